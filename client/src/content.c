#include <string.h>

#include "core.h"

enum { CONTENT_FIRST = 1, CONTENT_VERSION = 2, RECEIPT_VERSION = 1 };

_Static_assert((int)CONTENT_MAX <= (int)CRY_PLAIN_MAX, "the longest text fits into an envelope");
_Static_assert((int)CRY_ENVELOPE_MAX <= (int)WIRE_BODY_MAX, "and its envelope into a row");

static const struct peal_msg_id nothing = {{0}};

static int write_body(struct wr *w, const struct content *content)
{
    switch (content->kind) {
    case CONTENT_TEXT:
        wr_bytes(w, content->replies ? content->target.b : nothing.b, sizeof nothing.b);
        wr_u32(w, content->vanish);
        wr_bytes(w, content->text.p, content->text.n);
        break;
    case CONTENT_EDIT:
        wr_bytes(w, content->target.b, sizeof content->target.b);
        wr_bytes(w, content->text.p, content->text.n);
        break;
    case CONTENT_DELETE:
        wr_bytes(w, content->target.b, sizeof content->target.b);
        break;
    case CONTENT_VANISH:
        wr_u32(w, content->vanish);
        break;
    }
    return wr_end(w);
}

int content_write(const struct content *content, size_t cap, uint8_t out[], size_t *n)
{
    struct wr w;
    wr_init(&w, out, cap);
    wr_u8(&w, CONTENT_VERSION);
    wr_u8(&w, (uint8_t)content->kind);
    wr_u64(&w, content->stamp);
    int err = write_body(&w, content);
    *n = w.n;
    return err;
}

static int read_text(struct rd *r, struct peal_bytes *out)
{
    if (rd_left(r) > CLIENT_TEXT_MAX)
        return PEAL_E_TOO_LONG;
    *out = rd_bytes(r, rd_left(r));
    if (r->err != 0)
        return r->err;
    return out->n == 0 || !peal_utf8_valid(*out) ? PEAL_E_MALFORMED : 0;
}

static int read_body(struct rd *r, struct content *out)
{
    switch (out->kind) {
    case CONTENT_TEXT:
        rd_copy(r, out->target.b, sizeof out->target.b);
        out->replies = !msg_id_eq(&out->target, &nothing);
        out->vanish = rd_u32(r);
        return read_text(r, &out->text);
    case CONTENT_EDIT:
        rd_copy(r, out->target.b, sizeof out->target.b);
        return read_text(r, &out->text);
    case CONTENT_DELETE:
        rd_copy(r, out->target.b, sizeof out->target.b);
        return 0;
    case CONTENT_VANISH:
        out->vanish = rd_u32(r);
        return 0;
    }
    return PEAL_E_VERSION;
}

int content_read(struct peal_bytes in, struct content *out)
{
    struct rd r;
    rd_init(&r, in.p, in.n);
    uint8_t version = rd_u8(&r);
    if (r.err == 0 && version != CONTENT_VERSION && version != CONTENT_FIRST)
        return PEAL_E_VERSION;
    *out = (struct content){.kind = CONTENT_TEXT};
    if (version == CONTENT_VERSION)
        out->kind = (enum content_kind)rd_u8(&r);
    out->stamp = rd_u64(&r);
    if (r.err != 0)
        return r.err;
    int err = version == CONTENT_FIRST ? read_text(&r, &out->text) : read_body(&r, out);
    if (err == 0)
        err = rd_end(&r);
    return err == 0 && out->stamp > INT64_MAX ? PEAL_E_MALFORMED : err;
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
