/* Bounded big-endian reader and writer with a sticky error. */
#include <peal/base.h>

#include <string.h>

static const uint8_t nothing[1];

void rd_init(struct rd *r, const void *p, size_t n)
{
    CHECK(p != NULL || n == 0);
    r->p = n > 0 ? p : nothing;
    r->end = r->p + n;
    r->err = 0;
}

size_t rd_left(const struct rd *r)
{
    return r->err == 0 ? (size_t)(r->end - r->p) : 0;
}

void rd_fail(struct rd *r, int err)
{
    CHECK(err < 0);
    if (r->err == 0)
        r->err = err;
}

/* The next n bytes, or NULL and the error. */
static const uint8_t *take(struct rd *r, size_t n)
{
    if (r->err != 0)
        return NULL;
    if (n > (size_t)(r->end - r->p)) {
        r->err = PEAL_E_TRUNCATED;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

uint8_t rd_u8(struct rd *r)
{
    const uint8_t *p = take(r, 1);
    return p != NULL ? p[0] : 0;
}

uint16_t rd_u16(struct rd *r)
{
    const uint8_t *p = take(r, 2);
    if (p == NULL)
        return 0;
    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t rd_u32(struct rd *r)
{
    const uint8_t *p = take(r, 4);
    if (p == NULL)
        return 0;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint64_t rd_u64(struct rd *r)
{
    const uint8_t *p = take(r, 8);
    uint64_t v = 0;
    for (int i = 0; p != NULL && i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

struct peal_bytes rd_bytes(struct rd *r, size_t n)
{
    const uint8_t *p = take(r, n);
    return (struct peal_bytes){.p = p, .n = p != NULL ? n : 0};
}

struct peal_bytes rd_var(struct rd *r, size_t max)
{
    uint32_t n = rd_u32(r);
    if (n > max)
        rd_fail(r, PEAL_E_TOO_LONG);
    return rd_bytes(r, n);
}

void rd_copy(struct rd *r, void *out, size_t n)
{
    if (n == 0)
        return;
    const uint8_t *p = take(r, n);
    if (p != NULL)
        memcpy(out, p, n);
    else
        memset(out, 0, n);
}

struct peal_id rd_id(struct rd *r)
{
    struct peal_id id;
    rd_copy(r, id.b, ID_BYTES);
    return id;
}

int rd_end(const struct rd *r)
{
    if (r->err != 0)
        return r->err;
    return r->p == r->end ? 0 : PEAL_E_TRAILING;
}

void wr_init(struct wr *w, void *p, size_t cap)
{
    CHECK(p != NULL || cap == 0);
    *w = (struct wr){.p = p, .cap = cap};
}

void wr_fail(struct wr *w, int err)
{
    CHECK(err < 0);
    if (w->err == 0)
        w->err = err;
}

/* Room for n > 0 more bytes, or NULL and the error. */
static uint8_t *room(struct wr *w, size_t n)
{
    CHECK(w->n <= w->cap);
    if (w->err != 0)
        return NULL;
    if (n > w->cap - w->n) {
        w->err = PEAL_E_FULL;
        return NULL;
    }
    uint8_t *p = w->p + w->n;
    w->n += n;
    return p;
}

void wr_u8(struct wr *w, uint8_t v)
{
    uint8_t *p = room(w, 1);
    if (p != NULL)
        p[0] = v;
}

void wr_u16(struct wr *w, uint16_t v)
{
    uint8_t *p = room(w, 2);
    if (p == NULL)
        return;
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void wr_u32(struct wr *w, uint32_t v)
{
    uint8_t *p = room(w, 4);
    for (int i = 0; p != NULL && i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

void wr_u64(struct wr *w, uint64_t v)
{
    uint8_t *p = room(w, 8);
    for (int i = 0; p != NULL && i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

void wr_bytes(struct wr *w, const void *p, size_t n)
{
    CHECK(p != NULL || n == 0);
    if (n == 0)
        return;
    uint8_t *to = room(w, n);
    if (to != NULL)
        memcpy(to, p, n);
}

void wr_var(struct wr *w, struct peal_bytes b)
{
    if (b.n > UINT32_MAX) {
        wr_fail(w, PEAL_E_TOO_LONG);
        return;
    }
    wr_u32(w, (uint32_t)b.n);
    wr_bytes(w, b.p, b.n);
}

void wr_id(struct wr *w, const struct peal_id *id)
{
    wr_bytes(w, id->b, ID_BYTES);
}

int wr_end(const struct wr *w)
{
    return w->err;
}
