#include "sample.h"

#include <string.h>

#include "wire_internal.h"

enum { LETTER_MAX = 4 };

/* A random code point as UTF-8, of every length and with what JSON escapes; never NUL. */
static size_t letter(struct rng *r, char out[LETTER_MAX])
{
    static const char *const odd[] = {"\"",
                                      "\\",
                                      "\n",
                                      "\x01",
                                      "/",
                                      "\x7f",
                                      "\xc2\x80",
                                      "\xe2\x80\xa8",
                                      "]",
                                      "\xc3\xa9",
                                      "\xf0\x9f\x90\x9f",
                                      "\xef\xbf\xbf"};
    uint64_t k = rng_below(r, 2 * PEAL_COUNT(odd));
    if (k >= PEAL_COUNT(odd)) {
        out[0] = (char)('a' + rng_below(r, 26));
        return 1;
    }
    memcpy(out, odd[k], strlen(odd[k]));
    return strlen(odd[k]);
}

static size_t length(const struct sample *s, size_t most, size_t field_max)
{
    if (most > field_max)
        most = field_max;
    return s->full ? most : (size_t)rng_below(s->rng, most + 1);
}

static struct peal_bytes fill_bytes(const struct sample *s, const struct wire_field *f)
{
    size_t n = length(s, s->bytes_max, f->max);
    uint8_t *p = arena_take(s->arena, n);
    CHECK(p != NULL);
    if (f->kind == WIRE_KIND_BYTES) {
        rng_fill(s->rng, p, n);
        return peal_bytes_of(p, n);
    }
    size_t at = 0;
    while (at < n) {
        char one[LETTER_MAX];
        size_t len = letter(s->rng, one);
        if (s->full || at + len > n) {
            one[0] = 'x';
            len = 1;
        }
        memcpy(p + at, one, len);
        at += len;
    }
    return peal_bytes_of(p, n);
}

static struct peal_bytes fill_addresses(const struct sample *s, const struct wire_field *f)
{
    static const struct wire_field address = {.kind = WIRE_KIND_STR, .max = WIRE_ADDRESS_MAX};
    size_t count = length(s, s->items_max, f->max), n = 0;
    uint8_t *p = arena_take(s->arena, WIRE_ADDRESSES_BYTES);
    CHECK(p != NULL);
    for (size_t i = 0; i < count; i++) {
        struct peal_bytes b = fill_bytes(s, &address);
        if (b.n > 0)
            n = wire_address_add(p, n, b);
    }
    return peal_bytes_of(p, n);
}

static struct wire_span fill_list(const struct sample *s, const struct wire_field *f)
{
    size_t size = f->kind == WIRE_KIND_IDS ? ID_BYTES : MSG_ID_BYTES;
    struct wire_span list = {.n = length(s, s->items_max, f->max)};
    if (f->kind == WIRE_KIND_LIST)
        size = f->sub()->size;
    list.v = arena_take(s->arena, list.n * size);
    CHECK(list.v != NULL);
    if (f->kind != WIRE_KIND_LIST)
        rng_fill(s->rng, list.v, list.n * size);
    for (size_t i = 0; f->kind == WIRE_KIND_LIST && i < list.n; i++)
        sample_fill(s, f->sub(), (uint8_t *)list.v + i * size);
    return list;
}

void sample_fill(const struct sample *s, const struct wire_desc *d, void *out)
{
    memset(out, 0, d->size);
    for (uint32_t i = 0; i < d->field_count; i++) {
        const struct wire_field *f = &d->fields[i];
        void *p = (uint8_t *)out + f->offset;
        /* Small and extreme numbers come up as often as others. */
        uint64_t v = rng_next(s->rng) >> rng_below(s->rng, 64);
        if (rng_below(s->rng, 8) == 0)
            v = UINT64_MAX;
        switch (f->kind) {
        case WIRE_KIND_U8:
            *(uint8_t *)p = (uint8_t)v;
            break;
        case WIRE_KIND_U16:
            *(uint16_t *)p = (uint16_t)v;
            break;
        case WIRE_KIND_U32:
            *(uint32_t *)p = (uint32_t)v;
            break;
        case WIRE_KIND_U64:
            *(uint64_t *)p = v;
            break;
        case WIRE_KIND_BOOL:
            *(bool *)p = rng_below(s->rng, 2) == 1;
            break;
        case WIRE_KIND_ID:
            rng_fill(s->rng, p, ID_BYTES);
            break;
        case WIRE_KIND_MSGID:
            rng_fill(s->rng, p, MSG_ID_BYTES);
            break;
        case WIRE_KIND_BYTES:
        case WIRE_KIND_STR:
            *(struct peal_bytes *)p = fill_bytes(s, f);
            break;
        case WIRE_KIND_ADDRS:
            *(struct peal_bytes *)p = fill_addresses(s, f);
            break;
        case WIRE_KIND_STRUCT:
            sample_fill(s, f->sub(), p);
            break;
        case WIRE_KIND_LIST:
        case WIRE_KIND_IDS:
        case WIRE_KIND_MSGIDS:
            wire_set_span(p, fill_list(s, f));
            break;
        }
    }
}

uint16_t sample_next(unsigned type)
{
    for (; type <= WIRE_TYPE_MAX; type++)
        if (wire_desc_of((uint16_t)type) != NULL)
            return (uint16_t)type;
    return 0;
}
