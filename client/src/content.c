#include <string.h>

#include "core.h"

enum { CONTENT_VERSION = 1, RECEIPT_VERSION = 1 };

_Static_assert((int)CONTENT_MAX <= (int)CRY_PLAIN_MAX, "the longest text fits into an envelope");
_Static_assert((int)CRY_ENVELOPE_MAX <= (int)WIRE_BODY_MAX, "and its envelope into a row");

int content_write(uint64_t stamp, struct peal_bytes text, size_t cap, uint8_t out[], size_t *n)
{
    struct wr w;
    wr_init(&w, out, cap);
    wr_u8(&w, CONTENT_VERSION);
    wr_u64(&w, stamp);
    wr_bytes(&w, text.p, text.n);
    *n = w.n;
    return wr_end(&w);
}

int content_read(struct peal_bytes in, uint64_t *stamp, struct peal_bytes *text)
{
    struct rd r;
    rd_init(&r, in.p, in.n);
    if (rd_u8(&r) != CONTENT_VERSION && r.err == 0)
        return PEAL_E_VERSION;
    *stamp = rd_u64(&r);
    if (rd_left(&r) > CLIENT_TEXT_MAX)
        return PEAL_E_TOO_LONG;
    *text = rd_bytes(&r, rd_left(&r));
    int err = rd_end(&r);
    if (err != 0)
        return err;
    return text->n == 0 || *stamp > INT64_MAX || !peal_utf8_valid(*text) ? PEAL_E_MALFORMED : 0;
}

int receipt_write(const struct receipt *r, size_t cap, uint8_t out[], size_t *n)
{
    CHECK(r->n > 0 && r->n <= WIRE_ACK_MAX);
    struct wr w;
    wr_init(&w, out, cap);
    wr_u8(&w, RECEIPT_VERSION);
    wr_u8(&w, r->state);
    wr_u16(&w, (uint16_t)r->n);
    for (size_t i = 0; i < r->n; i++)
        wr_bytes(&w, r->ids[i].b, sizeof r->ids[i].b);
    wr_bytes(&w, r->sig, sizeof r->sig);
    *n = w.n;
    return wr_end(&w);
}

int receipt_read(struct peal_bytes in, struct receipt *out)
{
    struct rd r;
    rd_init(&r, in.p, in.n);
    if (rd_u8(&r) != RECEIPT_VERSION && r.err == 0)
        return PEAL_E_VERSION;
    out->state = rd_u8(&r);
    out->n = rd_u16(&r);
    if (out->n > WIRE_ACK_MAX)
        return PEAL_E_TOO_LONG;
    for (size_t i = 0; i < out->n; i++)
        rd_copy(&r, out->ids[i].b, sizeof out->ids[i].b);
    rd_copy(&r, out->sig, sizeof out->sig);
    int err = rd_end(&r);
    if (err != 0)
        return err;
    return out->n == 0 || (out->state != MSG_DELIVERED && out->state != MSG_READ) ? PEAL_E_MALFORMED
                                                                                  : 0;
}
