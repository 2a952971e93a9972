/* Writing JSON. Nothing is allocated, so that a server can write into the frame it is about to
 * send. */
#include <peal/wire.h>

#include "wire_internal.h"

/* Where the text goes: counted, and written unless w is NULL. */
struct sink {
    struct wr *w;
    size_t n;
};

static void put(struct sink *s, const void *p, size_t n)
{
    if (s->w != NULL)
        wr_bytes(s->w, p, n);
    s->n += n;
}

static void put_text(struct sink *s, const char *text)
{
    put(s, text, strlen(text));
}

static void put_number(struct sink *s, uint64_t v)
{
    char digits[20]; /* of UINT64_MAX */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(s, digits + at, sizeof digits - at);
}

static void put_hex(struct sink *s, const uint8_t *p, size_t n)
{
    char hex[ID_HEX];
    CHECK(2 * n + 1 <= sizeof hex);
    peal_hex(p, n, hex);
    put_text(s, "\"");
    put(s, hex, 2 * n);
    put_text(s, "\"");
}

/* base64url without padding (RFC 4648, section 5) */
static void put_base64(struct sink *s, struct peal_bytes b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    put_text(s, "\"");
    for (size_t i = 0; i < b.n; i += 3) {
        size_t left = b.n - i < 3 ? b.n - i : 3;
        uint32_t v = (uint32_t)b.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)b.p[i + 1] << 8;
        if (left > 2)
            v |= b.p[i + 2];
        const char out[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63],
                             digits[v & 63]};
        put(s, out, left + 1);
    }
    put_text(s, "\"");
}

/* Valid UTF-8 with what RFC 8259, section 7 wants escaped. */
static void put_string(struct sink *s, struct peal_bytes b)
{
    size_t plain = 0; /* start of the run that needs no escape */
    put_text(s, "\"");
    for (size_t i = 0; i < b.n; i++) {
        uint8_t c = b.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(s, b.p + plain, i - plain);
        plain = i + 1;
        if (c >= 0x20) {
            const char out[2] = {'\\', (char)c};
            put(s, out, sizeof out);
        } else {
            char hex[3];
            peal_hex(&c, 1, hex);
            put_text(s, "\\u00");
            put_text(s, hex);
        }
    }
    if (plain < b.n)
        put(s, b.p + plain, b.n - plain);
    put_text(s, "\"");
}

static void put_addresses(struct sink *s, struct peal_bytes list)
{
    put_text(s, "[");
    for (size_t i = 0; i < wire_address_count(list); i++) {
        if (i > 0)
            put_text(s, ",");
        put_string(s, wire_address(list, i));
    }
    put_text(s, "]");
}

static void put_struct(struct sink *s, const struct wire_desc *d, const uint8_t *from,
                       unsigned depth);

static void put_list(struct sink *s, const struct wire_field *f, const uint8_t *member,
                     unsigned depth)
{
    struct wire_span list = wire_get_span(member);
    const uint8_t *v = list.v;
    put_text(s, "[");
    for (size_t i = 0; i < list.n; i++) {
        if (i > 0)
            put_text(s, ",");
        if (f->kind == WIRE_KIND_IDS)
            put_hex(s, v + i * ID_BYTES, ID_BYTES);
        else if (f->kind == WIRE_KIND_MSGIDS)
            put_hex(s, v + i * MSG_ID_BYTES, MSG_ID_BYTES);
        else
            put_struct(s, f->sub(), v + i * f->sub()->size, depth + 1);
    }
    put_text(s, "]");
}

static void put_value(struct sink *s, const struct wire_field *f, const uint8_t *member,
                      unsigned depth)
{
    const void *p = member;
    switch (f->kind) {
    case WIRE_KIND_U8:
        put_number(s, *member);
        break;
    case WIRE_KIND_U16:
        put_number(s, *(const uint16_t *)p);
        break;
    case WIRE_KIND_U32:
        put_number(s, *(const uint32_t *)p);
        break;
    case WIRE_KIND_U64:
        put_text(s, "\"");
        put_number(s, *(const uint64_t *)p);
        put_text(s, "\"");
        break;
    case WIRE_KIND_BOOL:
        put_text(s, *(const bool *)p ? "true" : "false");
        break;
    case WIRE_KIND_ID:
        put_hex(s, member, ID_BYTES);
        break;
    case WIRE_KIND_MSGID:
        put_hex(s, member, MSG_ID_BYTES);
        break;
    case WIRE_KIND_BYTES:
        put_base64(s, *(const struct peal_bytes *)p);
        break;
    case WIRE_KIND_STR:
        put_string(s, *(const struct peal_bytes *)p);
        break;
    case WIRE_KIND_ADDRS:
        put_addresses(s, *(const struct peal_bytes *)p);
        break;
    case WIRE_KIND_STRUCT:
        put_struct(s, f->sub(), member, depth + 1);
        break;
    case WIRE_KIND_LIST:
    case WIRE_KIND_IDS:
    case WIRE_KIND_MSGIDS:
        put_list(s, f, member, depth);
        break;
    }
}

static void put_struct(struct sink *s, const struct wire_desc *d, const uint8_t *from,
                       unsigned depth)
{
    CHECK(depth <= WIRE_DEPTH_MAX);
    put_text(s, "{");
    if (d->type != 0) {
        put_text(s, "\"t\":\"");
        put_text(s, d->name);
        put_text(s, "\"");
    }
    for (uint32_t i = 0; i < d->field_count; i++) {
        put_text(s, i > 0 || d->type != 0 ? ",\"" : "\"");
        put_text(s, d->fields[i].name);
        put_text(s, "\":");
        put_value(s, &d->fields[i], from + d->fields[i].offset, depth);
    }
    put_text(s, "}");
}

int wire_to_json(uint16_t type, const void *msg, struct wr *w)
{
    struct sink s = {.w = w};
    size_t n = 0;
    int err = wire_encoded_size(type, msg, &n); /* for its checks */
    if (err != 0)
        wr_fail(w, err);
    else
        put_struct(&s, wire_desc_of(type), msg, 1);
    return wr_end(w);
}

int wire_json_size(uint16_t type, const void *msg, size_t *n)
{
    struct sink s = {.w = NULL};
    int err = wire_encoded_size(type, msg, n);
    if (err == 0)
        put_struct(&s, wire_desc_of(type), msg, 1);
    *n = s.n;
    return err;
}
