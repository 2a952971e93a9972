/* The binary codec: walks over a struct by its descriptor. Recursion follows the schema, in which a
 * struct holds only structs declared before it; so its depth is at most WIRE_DEPTH_MAX. */
#include <peal/wire.h>

#include "wire_internal.h"

/* 0, or why a BYTES, STR or ADDRS may not be sent. */
static int check_bytes(const struct wire_field *f, struct peal_bytes b)
{
    if (f->kind == WIRE_KIND_ADDRS)
        return wire_addresses_check(b, f->max);
    if (b.n > f->max)
        return PEAL_E_TOO_LONG;
    return f->kind == WIRE_KIND_STR && !peal_utf8_valid(b) ? PEAL_E_MALFORMED : 0;
}

/* ---- size ---- */

static int measure(const struct wire_desc *d, const uint8_t *from, unsigned depth, size_t *n);

static int measure_list(const struct wire_field *f, const uint8_t *member, unsigned depth,
                        size_t *n)
{
    struct wire_span list = wire_get_span(member);
    if (list.n > f->max)
        return PEAL_E_TOO_LONG;
    CHECK(list.v != NULL || list.n == 0);
    *n += 4;
    if (f->kind == WIRE_KIND_IDS)
        *n += list.n * ID_BYTES;
    else if (f->kind == WIRE_KIND_MSGIDS)
        *n += list.n * MSG_ID_BYTES;
    int err = 0;
    for (size_t i = 0; err == 0 && f->kind == WIRE_KIND_LIST && i < list.n; i++)
        err = measure(f->sub(), (const uint8_t *)list.v + i * f->sub()->size, depth + 1, n);
    return err;
}

/* Adds the encoded length of the field to *n. */
static int measure_field(const struct wire_field *f, const uint8_t *member, unsigned depth,
                         size_t *n)
{
    const struct peal_bytes *b = (const void *)member;
    switch (f->kind) {
    case WIRE_KIND_U8:
    case WIRE_KIND_BOOL:
        *n += 1;
        return 0;
    case WIRE_KIND_U16:
        *n += 2;
        return 0;
    case WIRE_KIND_U32:
        *n += 4;
        return 0;
    case WIRE_KIND_U64:
        *n += 8;
        return 0;
    case WIRE_KIND_ID:
        *n += ID_BYTES;
        return 0;
    case WIRE_KIND_MSGID:
        *n += MSG_ID_BYTES;
        return 0;
    case WIRE_KIND_BYTES:
    case WIRE_KIND_STR:
    case WIRE_KIND_ADDRS:
        *n += 4 + b->n;
        return check_bytes(f, *b);
    case WIRE_KIND_STRUCT:
        return measure(f->sub(), member, depth + 1, n);
    case WIRE_KIND_LIST:
    case WIRE_KIND_IDS:
    case WIRE_KIND_MSGIDS:
        return measure_list(f, member, depth, n);
    }
    CHECK(f->kind <= WIRE_KIND_ADDRS);
    return PEAL_E_USAGE;
}

static int measure(const struct wire_desc *d, const uint8_t *from, unsigned depth, size_t *n)
{
    CHECK(depth <= WIRE_DEPTH_MAX);
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < d->field_count; i++)
        err = measure_field(&d->fields[i], from + d->fields[i].offset, depth, n);
    return err;
}

int wire_encoded_size(uint16_t type, const void *msg, size_t *n)
{
    const struct wire_desc *d = wire_desc_of(type);
    *n = 2;
    return d != NULL ? measure(d, msg, 1, n) : PEAL_E_USAGE;
}

/* ---- encoding ---- */

static void encode(const struct wire_desc *d, const uint8_t *from, unsigned depth, struct wr *w);

static void encode_bytes(const struct wire_field *f, struct peal_bytes b, struct wr *w)
{
    int err = check_bytes(f, b);
    if (err == 0)
        wr_var(w, b);
    else
        wr_fail(w, err);
}

static void encode_list(const struct wire_field *f, const uint8_t *member, unsigned depth,
                        struct wr *w)
{
    struct wire_span list = wire_get_span(member);
    if (list.n > f->max) {
        wr_fail(w, PEAL_E_TOO_LONG);
        return;
    }
    CHECK(list.v != NULL || list.n == 0);
    wr_u32(w, (uint32_t)list.n);
    if (f->kind == WIRE_KIND_IDS)
        wr_bytes(w, list.v, list.n * ID_BYTES);
    else if (f->kind == WIRE_KIND_MSGIDS)
        wr_bytes(w, list.v, list.n * MSG_ID_BYTES);
    for (size_t i = 0; f->kind == WIRE_KIND_LIST && i < list.n; i++)
        encode(f->sub(), (const uint8_t *)list.v + i * f->sub()->size, depth + 1, w);
}

static void encode_field(const struct wire_field *f, const uint8_t *member, unsigned depth,
                         struct wr *w)
{
    const void *p = member;
    switch (f->kind) {
    case WIRE_KIND_U8:
        wr_u8(w, *member);
        break;
    case WIRE_KIND_U16:
        wr_u16(w, *(const uint16_t *)p);
        break;
    case WIRE_KIND_U32:
        wr_u32(w, *(const uint32_t *)p);
        break;
    case WIRE_KIND_U64:
        wr_u64(w, *(const uint64_t *)p);
        break;
    case WIRE_KIND_BOOL:
        wr_u8(w, *(const bool *)p ? 1 : 0);
        break;
    case WIRE_KIND_ID:
        wr_bytes(w, member, ID_BYTES);
        break;
    case WIRE_KIND_MSGID:
        wr_bytes(w, member, MSG_ID_BYTES);
        break;
    case WIRE_KIND_BYTES:
    case WIRE_KIND_STR:
    case WIRE_KIND_ADDRS:
        encode_bytes(f, *(const struct peal_bytes *)p, w);
        break;
    case WIRE_KIND_STRUCT:
        encode(f->sub(), member, depth + 1, w);
        break;
    case WIRE_KIND_LIST:
    case WIRE_KIND_IDS:
    case WIRE_KIND_MSGIDS:
        encode_list(f, member, depth, w);
        break;
    }
}

static void encode(const struct wire_desc *d, const uint8_t *from, unsigned depth, struct wr *w)
{
    CHECK(depth <= WIRE_DEPTH_MAX);
    for (uint32_t i = 0; i < d->field_count; i++)
        encode_field(&d->fields[i], from + d->fields[i].offset, depth, w);
}

int wire_encode(uint16_t type, const void *msg, struct wr *w)
{
    const struct wire_desc *d = wire_desc_of(type);
    if (d == NULL) {
        wr_fail(w, PEAL_E_USAGE);
        return wr_end(w);
    }
    wr_u16(w, type);
    encode(d, msg, 1, w);
    return wr_end(w);
}

/* ---- decoding ---- */

static void decode(struct rd *r, const struct wire_desc *d, uint8_t *to, unsigned depth,
                   struct arena *a);

static bool decode_bool(struct rd *r)
{
    uint8_t v = rd_u8(r);
    if (v > 1)
        rd_fail(r, PEAL_E_MALFORMED);
    return v == 1;
}

static struct peal_bytes decode_bytes(struct rd *r, const struct wire_field *f)
{
    bool list = f->kind == WIRE_KIND_ADDRS;
    struct peal_bytes b = rd_var(r, list ? f->max * (1 + WIRE_ADDRESS_MAX) : f->max);
    if (f->kind == WIRE_KIND_STR && !peal_utf8_valid(b))
        rd_fail(r, PEAL_E_MALFORMED);
    int err = list && r->err == 0 ? wire_addresses_check(b, f->max) : 0;
    if (err != 0)
        rd_fail(r, err);
    return b;
}

static void decode_list(struct rd *r, const struct wire_field *f, uint8_t *member, unsigned depth,
                        struct arena *a)
{
    size_t size = f->kind == WIRE_KIND_IDS ? ID_BYTES : MSG_ID_BYTES;
    size_t least = size;
    if (f->kind == WIRE_KIND_LIST) {
        size = f->sub()->size;
        least = f->sub()->min_bytes;
    }
    CHECK(least > 0);
    uint32_t n = rd_u32(r);
    if (n > f->max)
        rd_fail(r, PEAL_E_TOO_LONG);
    /* Before any memory is taken: a count alone must not cost more than what came with it. */
    else if (n > rd_left(r) / least)
        rd_fail(r, PEAL_E_TRUNCATED);
    if (r->err != 0 || n == 0)
        return;
    uint8_t *v = arena_take(a, n * size);
    if (v == NULL) {
        rd_fail(r, PEAL_E_FULL);
        return;
    }
    if (f->kind != WIRE_KIND_LIST)
        rd_copy(r, v, n * size);
    for (uint32_t i = 0; f->kind == WIRE_KIND_LIST && i < n && r->err == 0; i++)
        decode(r, f->sub(), v + i * size, depth + 1, a);
    wire_set_span(member, (struct wire_span){.v = v, .n = n});
}

static void decode_field(struct rd *r, const struct wire_field *f, uint8_t *member, unsigned depth,
                         struct arena *a)
{
    void *p = member;
    switch (f->kind) {
    case WIRE_KIND_U8:
        *member = rd_u8(r);
        break;
    case WIRE_KIND_U16:
        *(uint16_t *)p = rd_u16(r);
        break;
    case WIRE_KIND_U32:
        *(uint32_t *)p = rd_u32(r);
        break;
    case WIRE_KIND_U64:
        *(uint64_t *)p = rd_u64(r);
        break;
    case WIRE_KIND_BOOL:
        *(bool *)p = decode_bool(r);
        break;
    case WIRE_KIND_ID:
        rd_copy(r, member, ID_BYTES);
        break;
    case WIRE_KIND_MSGID:
        rd_copy(r, member, MSG_ID_BYTES);
        break;
    case WIRE_KIND_BYTES:
    case WIRE_KIND_STR:
    case WIRE_KIND_ADDRS:
        *(struct peal_bytes *)p = decode_bytes(r, f);
        break;
    case WIRE_KIND_STRUCT:
        decode(r, f->sub(), member, depth + 1, a);
        break;
    case WIRE_KIND_LIST:
    case WIRE_KIND_IDS:
    case WIRE_KIND_MSGIDS:
        decode_list(r, f, member, depth, a);
        break;
    }
}

static void decode(struct rd *r, const struct wire_desc *d, uint8_t *to, unsigned depth,
                   struct arena *a)
{
    CHECK(depth <= WIRE_DEPTH_MAX);
    for (uint32_t i = 0; i < d->field_count && r->err == 0; i++)
        decode_field(r, &d->fields[i], to + d->fields[i].offset, depth, a);
}

int wire_decode(const void *p, size_t n, uint16_t *type, void *msg, size_t msg_size,
                struct arena *a)
{
    struct rd r;
    size_t mark = a->used;
    rd_init(&r, p, n);
    *type = rd_u16(&r);
    const struct wire_desc *d = wire_desc_of(*type);
    if (d == NULL) { /* as after a truncated number: 0 is no message */
        rd_fail(&r, PEAL_E_VERSION);
    } else if (d->size > msg_size) {
        rd_fail(&r, PEAL_E_FULL);
    } else {
        memset(msg, 0, d->size);
        decode(&r, d, msg, 1, a);
    }
    int err = rd_end(&r);
    if (err != 0) {
        *type = 0;
        a->used = mark;
    }
    return err;
}
