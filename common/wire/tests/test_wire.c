/* The contracts of the schema's tables and of the binary codec. */
#include <criterion/criterion.h>
#include <peal/wire.h>

#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "sample.h"
#include "wire_internal.h"

enum { BUF = 1 << 20, HEAP = 1 << 20 };

static uint8_t buf[BUF], buf2[BUF];
static _Alignas(16) uint8_t heap[HEAP], heap2[WIRE_ARENA_MAX + 16];

#define EACH_MESSAGE(t) (uint16_t t = sample_next(1); t != 0; t = sample_next(t + 1U))

/* Decodes from memory of exactly n bytes, so that AddressSanitizer sees a read beyond them. */
static int decode_exact(const uint8_t *p, size_t n, uint16_t *type, union wire_any *msg,
                        struct arena *a, uint8_t **mem)
{
    *mem = malloc(n > 0 ? n : 1);
    cr_assert_not_null(*mem, "memory");
    memcpy(*mem, p, n);
    return wire_decode(*mem, n, type, msg, sizeof *msg, a);
}

/* The result of decoding alone. */
static int verdict(const uint8_t *p, size_t n)
{
    union wire_any msg;
    struct arena a;
    uint16_t type = 1;
    uint8_t *mem = NULL;
    arena_init(&a, heap2 + 1, WIRE_ARENA_MAX + 15);
    int err = decode_exact(p, n, &type, &msg, &a, &mem);
    if (err != 0) {
        cr_assert_eq(type, 0, "no type after an error");
        cr_assert_eq(a.used, 0, "the arena is as it was after an error");
    }
    free(mem);
    return err;
}

static size_t encode(uint16_t type, const void *msg, uint8_t *out)
{
    struct wr w;
    size_t size = 0;
    wr_init(&w, out, BUF);
    cr_assert_eq(wire_encode(type, msg, &w), 0, "%s encodes", wire_type_name(type));
    cr_assert_eq(wire_encoded_size(type, msg, &size), 0, "%s is measured", wire_type_name(type));
    cr_assert_eq(size, w.n, "%s: the measured size is the written one", wire_type_name(type));
    return w.n;
}

/* Decodes and encodes again: the same bytes. */
static void assert_round_trip(const uint8_t *p, size_t n, const char *name)
{
    union wire_any msg;
    struct arena a;
    uint16_t type = 0;
    uint8_t *mem = NULL;
    arena_init(&a, heap2 + 1, WIRE_ARENA_MAX + 15);
    cr_assert_eq(decode_exact(p, n, &type, &msg, &a, &mem), 0, "%s decodes", name);
    cr_assert_eq(encode(type, &msg, buf2), n, "%s: the same length", name);
    cr_assert_eq(memcmp(p, buf2, n), 0, "%s: the same bytes", name);
    free(mem);
}

static unsigned depth_of(const struct wire_desc *d)
{
    unsigned most = 0;
    for (uint32_t i = 0; i < d->field_count; i++) {
        unsigned sub = d->fields[i].sub != NULL ? depth_of(d->fields[i].sub()) : 0;
        most = sub > most ? sub : most;
    }
    return most + 1;
}

Test(schema, tables_are_sound)
{
    unsigned count = 0;
    for
        EACH_MESSAGE(t)
        {
            const struct wire_desc *d = wire_desc_of(t);
            cr_assert_eq(d->type, t, "%s knows its number", d->name);
            cr_assert_str_eq(wire_type_name(t), d->name, "its name");
            cr_assert_eq(wire_type_of(peal_bytes_str(d->name)), t, "and the way back");
            cr_assert_leq(depth_of(d), WIRE_DEPTH_MAX, "%s is not too deep", d->name);
            cr_assert_leq(d->size, WIRE_MSG_MAX_SIZE, "%s fits the union", d->name);
            for (uint32_t i = 0; i < d->field_count; i++)
                cr_assert_str_neq(d->fields[i].name, "t", "%s: \"t\" is JSON's own", d->name);
            count++;
        }
    cr_assert_gt(count, 50, "the real schema");
    cr_assert_null(wire_desc_of(0), "0 is none");
    cr_assert_null(wire_desc_of(UINT16_MAX), "nor is this");
    cr_assert_str_eq(wire_type_name(0), "unknown", "no name");
    cr_assert_eq(wire_type_of(peal_bytes_str("c_sen")), 0, "a part of a name is none");
    cr_assert_eq(wire_type_of((struct peal_bytes){NULL, 0}), 0, "nor is an empty one");
    cr_assert_eq(WIRE_c_send, wire_type_of(peal_bytes_str("c_send")), "the enum agrees");
}

Test(schema, least_and_greatest_lengths)
{
    static _Alignas(16) uint8_t large[16 << 20];
    struct rng r;
    struct arena a;
    union wire_any msg;
    rng_init(&r, 1);
    for
        EACH_MESSAGE(t)
        {
            const struct wire_desc *d = wire_desc_of(t);
            size_t n = 0;
            memset(&msg, 0, sizeof msg);
            cr_assert_eq(wire_encoded_size(t, &msg, &n), 0, "%s: a message of zeros is sound",
                         d->name);
            cr_assert_eq(n, 2U + d->min_bytes, "%s: the least length", d->name);
            arena_init(&a, large, sizeof large);
            struct sample s = {&r, &a, SIZE_MAX, SIZE_MAX, true};
            sample_fill(&s, d, &msg);
            cr_assert_eq(wire_encoded_size(t, &msg, &n), 0, "%s: the greatest is sound", d->name);
            cr_assert_eq(n, 2U + d->max_bytes, "%s: the greatest length", d->name);
        }
}

/* All lists at their maximum at once: WIRE_ARENA_MAX is enough. */
Test(binary, full_lists_fit_the_arena)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    rng_init(&r, 2);
    for
        EACH_MESSAGE(t)
        {
            arena_init(&a, heap, sizeof heap);
            struct sample s = {&r, &a, 3, SIZE_MAX, true};
            sample_fill(&s, wire_desc_of(t), &msg);
            assert_round_trip(buf, encode(t, &msg, buf), wire_type_name(t));
        }
}

Test(binary, random_round_trip)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    rng_init(&r, 3);
    for (int i = 0; i < 60; i++) {
        for
            EACH_MESSAGE(t)
            {
                arena_init(&a, heap, sizeof heap);
                struct sample s = {&r, &a, 300, 5, false};
                sample_fill(&s, wire_desc_of(t), &msg);
                assert_round_trip(buf, encode(t, &msg, buf), wire_type_name(t));
            }
    }
}

Test(binary, every_truncation_and_a_trailing_byte)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    rng_init(&r, 4);
    for
        EACH_MESSAGE(t)
        {
            arena_init(&a, heap, sizeof heap);
            struct sample s = {&r, &a, 20, 3, true};
            sample_fill(&s, wire_desc_of(t), &msg);
            size_t n = encode(t, &msg, buf);
            for (size_t k = 0; k < n; k++)
                cr_assert_eq(verdict(buf, k), PEAL_E_TRUNCATED, "%s cut to %zu of %zu bytes",
                             wire_type_name(t), k, n);
            buf[n] = 0;
            cr_assert_eq(verdict(buf, n + 1), PEAL_E_TRAILING, "%s and a byte", wire_type_name(t));
            struct wr w;
            for (size_t k = 0; k < n; k++) {
                wr_init(&w, buf2, k);
                cr_assert_eq(wire_encode(t, &msg, &w), PEAL_E_FULL, "%zu bytes do not hold %s", k,
                             wire_type_name(t));
            }
        }
}

/* ---- every maximum, met and passed by one ---- */

/* The way to a field: the fields above it, and it. */
struct way {
    const struct wire_field *f[WIRE_DEPTH_MAX + 1];
    unsigned n;
};

/* The member at the end of the way; on it, lists have one item. */
static uint8_t *member_at(const struct way *way, uint8_t *msg)
{
    for (unsigned i = 0;; i++) {
        msg += way->f[i]->offset;
        if (i + 1 == way->n)
            return msg;
        if (way->f[i]->kind == WIRE_KIND_LIST)
            msg = wire_get_span(msg).v;
    }
}

/* raw: the encoding of a message of zeros but for the way's lists. at: where the field's length
 * stands. Puts n items there. */
static size_t with_items(const uint8_t *raw, size_t len, size_t at, const struct wire_field *f,
                         uint32_t n, uint8_t *out)
{
    size_t item = 1;
    if (f->kind == WIRE_KIND_ADDRS)
        item = 1 + WIRE_ADDRESS_MAX;
    if (f->kind == WIRE_KIND_LIST)
        item = f->sub()->min_bytes;
    else if (f->kind == WIRE_KIND_IDS || f->kind == WIRE_KIND_MSGIDS)
        item = f->kind == WIRE_KIND_IDS ? ID_BYTES : MSG_ID_BYTES;
    cr_assert_leq(len + n * item, BUF, "the buffer is large enough");
    memcpy(out, raw, at);
    bool text = f->kind == WIRE_KIND_STR || f->kind == WIRE_KIND_ADDRS;
    uint32_t said = f->kind == WIRE_KIND_ADDRS ? n * (uint32_t)item : n;
    for (int i = 0; i < 4; i++)
        out[at + (size_t)i] = (uint8_t)(said >> (24 - 8 * i));
    memset(out + at + 4, text ? 'a' : 0, n * item);
    for (uint32_t i = 0; f->kind == WIRE_KIND_ADDRS && i < n; i++)
        out[at + 4 + i * item] = WIRE_ADDRESS_MAX;
    memcpy(out + at + 4 + n * item, raw + at + 4, len - at - 4);
    return len + n * item;
}

static void try_maximum(const struct way *way, const uint8_t *raw, size_t len, size_t at)
{
    const struct wire_field *f = way->f[way->n - 1];
    union wire_any msg;
    struct arena a;
    struct wr w;
    uint16_t type = 0;
    uint8_t *mem = NULL;
    size_t size = 0;
    size_t n = with_items(raw, len, at, f, f->max, buf);
    arena_init(&a, heap2, WIRE_ARENA_MAX);
    cr_assert_eq(decode_exact(buf, n, &type, &msg, &a, &mem), 0, "%s at its maximum", f->name);
    assert_round_trip(buf, n, f->name);
    cr_assert_eq(verdict(buf2, with_items(raw, len, at, f, f->max + 1, buf2)), PEAL_E_TOO_LONG,
                 "%s above its maximum is not decoded", f->name);

    uint8_t *member = member_at(way, (uint8_t *)&msg);
    if (f->kind == WIRE_KIND_BYTES || f->kind == WIRE_KIND_STR) {
        struct peal_bytes b = {mem, f->max + 1};
        memcpy(member, &b, sizeof b);
    } else if (f->kind == WIRE_KIND_ADDRS) {
        static const uint8_t five[] = {1, 'a', 1, 'b', 1, 'c', 1, 'd', 1, 'e'};
        struct peal_bytes b = {five, sizeof five};
        memcpy(member, &b, sizeof b);
    } else {
        wire_set_span(member, (struct wire_span){heap2, f->max + 1});
    }
    wr_init(&w, buf2, BUF);
    cr_assert_eq(wire_encode(type, &msg, &w), PEAL_E_TOO_LONG, "nor encoded: %s", f->name);
    cr_assert_eq(wire_encoded_size(type, &msg, &size), PEAL_E_TOO_LONG, "nor measured");
    wr_init(&w, buf2, BUF);
    cr_assert_eq(wire_to_json(type, &msg, &w), PEAL_E_TOO_LONG, "nor written as JSON");
    free(mem);
}

/* Tries all limited fields of d, whose encoding starts at `at`; gives how many there were. */
static unsigned try_fields(struct way way, const struct wire_desc *d, const uint8_t *raw,
                           size_t len, size_t at)
{
    static const size_t fixed[] = {
        [WIRE_KIND_U8] = 1,    [WIRE_KIND_U16] = 2,
        [WIRE_KIND_U32] = 4,   [WIRE_KIND_U64] = 8,
        [WIRE_KIND_BOOL] = 1,  [WIRE_KIND_ID] = ID_BYTES,
        [WIRE_KIND_BYTES] = 4, [WIRE_KIND_MSGID] = MSG_ID_BYTES,
        [WIRE_KIND_STR] = 4,   [WIRE_KIND_LIST] = 4,
        [WIRE_KIND_IDS] = 4,   [WIRE_KIND_MSGIDS] = 4,
        [WIRE_KIND_ADDRS] = 4,
    };
    unsigned tried = 0;
    way.n++;
    for (uint32_t i = 0; i < d->field_count; i++) {
        const struct wire_field *f = &d->fields[i];
        way.f[way.n - 1] = f;
        if (f->max > 0) {
            try_maximum(&way, raw, len, at);
            tried++;
        }
        if (f->kind == WIRE_KIND_STRUCT) {
            tried += try_fields(way, f->sub(), raw, len, at);
        } else if (f->kind == WIRE_KIND_LIST) {
            static uint8_t one[WIRE_DEPTH_MAX][4096];
            size_t n = with_items(raw, len, at, f, 1, one[way.n]);
            tried += try_fields(way, f->sub(), one[way.n], n, at + 4);
        }
        at += f->kind == WIRE_KIND_STRUCT ? f->sub()->min_bytes : fixed[f->kind];
    }
    return tried;
}

Test(binary, maxima)
{
    unsigned tried = 0;
    for
        EACH_MESSAGE(t)
        {
            const struct wire_desc *d = wire_desc_of(t);
            uint8_t raw[4096] = {(uint8_t)(t >> 8), (uint8_t)t};
            cr_assert_leq(d->min_bytes, sizeof raw - 2, "the least message fits");
            tried += try_fields((struct way){.n = 0}, d, raw, 2U + d->min_bytes, 2);
        }
    cr_assert_gt(tried, 100, "there are limits to try");
}

/* ---- addresses ---- */

/* What becomes of an n_contacts of one whose ADDRS has these bytes. */
static int addresses_verdict(const char *list, size_t n)
{
    struct wire_contact c = {.incarnation = 1};
    struct wire_n_contacts m = {.contacts = {&c, 1}};
    size_t whole = encode(WIRE_n_contacts, &m, buf);
    size_t at = 2 + ID_BYTES + 8 + 4 + ID_BYTES + 8; /* header, count, id, incarnation */
    cr_assert_leq(n, UINT8_MAX, "one byte says how long");
    memmove(buf + at + 4 + n, buf + at + 4, whole - at - 4);
    memcpy(buf + at + 4, list, n);
    buf[at + 3] = (uint8_t)n;
    int err = verdict(buf, whole + n);
    c.addresses = peal_bytes_of(list, n);
    size_t size = 0;
    cr_assert_eq(wire_encoded_size(WIRE_n_contacts, &m, &size), err,
                 "what is not read is not said");
    if (err == 0)
        assert_round_trip(buf, whole + n, "a list of addresses");
    return err;
}

Test(addresses, what_is_a_list)
{
    char long_one[1 + WIRE_ADDRESS_MAX + 1];
    memset(long_one, 'a', sizeof long_one);
    long_one[0] = WIRE_ADDRESS_MAX;
    cr_assert_eq(addresses_verdict("", 0), 0, "none: a node of which no contact is known");
    cr_assert_eq(addresses_verdict("\1a", 2), 0, "one");
    cr_assert_eq(addresses_verdict("\1a\2bc\1d\1e", 9), 0, "four");
    cr_assert_eq(addresses_verdict("\1a\1b\1c\1d\1e", 10), PEAL_E_TOO_LONG, "five");
    cr_assert_eq(addresses_verdict(long_one, 1 + WIRE_ADDRESS_MAX), 0, "as long as may be");
    long_one[0]++;
    cr_assert_eq(addresses_verdict(long_one, sizeof long_one), PEAL_E_TOO_LONG, "longer");
    cr_assert_eq(addresses_verdict("\0", 1), PEAL_E_MALFORMED, "an empty one");
    cr_assert_eq(addresses_verdict("\1a\0", 3), PEAL_E_MALFORMED, "an empty one at the end");
    cr_assert_eq(addresses_verdict("\2a", 2), PEAL_E_MALFORMED, "longer than the list");
    cr_assert_eq(addresses_verdict("\1a\1", 3), PEAL_E_MALFORMED, "only a length");
    cr_assert_eq(addresses_verdict("\1\xc3\1\xa9", 4), PEAL_E_MALFORMED, "each is UTF-8");
    cr_assert_eq(addresses_verdict("\2a\0", 3), PEAL_E_MALFORMED, "no NUL");
}

Test(addresses, are_taken_out_and_found)
{
    static const char *const text[] = {"10.0.0.1:7000", "[2001:db8::1]:7000", "a:1", "b:2"};
    uint8_t mem[WIRE_ADDRESSES_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < PEAL_COUNT(text); i++)
        n = wire_address_add(mem, n, peal_bytes_str(text[i]));
    struct peal_bytes list = peal_bytes_of(mem, n);
    cr_assert_eq(wire_address_count(list), PEAL_COUNT(text), "all of them");
    for (size_t i = 0; i < PEAL_COUNT(text); i++) {
        cr_assert(peal_bytes_eq(wire_address(list, i), peal_bytes_str(text[i])), "%s", text[i]);
        cr_assert_eq(wire_address_find(list, peal_bytes_str(text[i])), i, "where %s is", text[i]);
    }
    cr_assert_eq(wire_address(list, PEAL_COUNT(text)).n, 0, "no fifth");
    cr_assert_eq(wire_address_find(list, peal_bytes_str("a:12")), SIZE_MAX, "not a part of one");
    cr_assert_eq(wire_address_count((struct peal_bytes){0}), 0, "none of none");
}

/* ---- bad input ---- */

Test(binary, not_canonical)
{
    /* c_ring_get: req, observe */
    uint8_t get[] = {0, WIRE_c_ring_get, 0, 0, 0, 0, 0, 0, 0, 7, 1};
    cr_assert_eq(verdict(get, sizeof get), 0, "true");
    get[sizeof get - 1] = 2;
    cr_assert_eq(verdict(get, sizeof get), PEAL_E_MALFORMED, "2 is no BOOL");
    get[sizeof get - 1] = 0xff;
    cr_assert_eq(verdict(get, sizeof get), PEAL_E_MALFORMED, "nor is 255");

    /* c_find: req, name */
    uint8_t find[] = {0, WIRE_c_find, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0xc3, 0xa9};
    cr_assert_eq(verdict(find, sizeof find), 0, "U+00E9");
    find[sizeof find - 1] = 0x28;
    cr_assert_eq(verdict(find, sizeof find), PEAL_E_MALFORMED, "not UTF-8");
    find[sizeof find - 2] = 'a';
    find[sizeof find - 1] = 0;
    cr_assert_eq(verdict(find, sizeof find), PEAL_E_MALFORMED, "a NUL");
}

Test(binary, unknown_and_short)
{
    static const uint8_t unknown[] = {0xff, 0xff, 1, 2, 3}, none[] = {0, 0};
    cr_assert_eq(verdict(unknown, sizeof unknown), PEAL_E_VERSION, "an unknown number");
    cr_assert_eq(verdict(none, sizeof none), PEAL_E_VERSION, "0 is no message");
    cr_assert_eq(verdict(none, 1), PEAL_E_TRUNCATED, "half a number");
    cr_assert_eq(verdict(none, 0), PEAL_E_TRUNCATED, "nothing");
    struct wr w;
    size_t n = 0;
    wr_init(&w, buf, BUF);
    cr_assert_eq(wire_encode(0, buf2, &w), PEAL_E_USAGE, "an unknown number is not encoded");
    cr_assert_eq(wire_encoded_size(0, buf2, &n), PEAL_E_USAGE, "nor measured");
    struct wire_c_find bad = {.name = peal_bytes_str("\xff")};
    wr_init(&w, buf, BUF);
    cr_assert_eq(wire_encode(WIRE_c_find, &bad, &w), PEAL_E_MALFORMED, "nor is bad UTF-8");
}

Test(binary, too_little_memory)
{
    union wire_any msg;
    struct arena a;
    uint16_t type = 0;
    struct peal_msg_id ids[3] = {{{1}}, {{2}}, {{3}}};
    struct wire_c_ack ack = {.ids = {ids, 3}};
    size_t n = encode(WIRE_c_ack, &ack, buf);
    arena_init(&a, heap, sizeof ids + 16);
    cr_assert_not_null(arena_take(&a, 16), "something is in the arena already");
    cr_assert_eq(wire_decode(buf, n, &type, &msg, sizeof ack, &a), 0, "exactly enough");
    cr_assert_eq(msg.c_ack.ids.n, 3, "three");
    cr_assert(msg_id_eq(&msg.c_ack.ids.v[2], &ids[2]), "the third");
    a.used = 16;
    a.cap--;
    cr_assert_eq(wire_decode(buf, n, &type, &msg, sizeof ack, &a), PEAL_E_FULL, "one too few");
    cr_assert_eq(a.used, 16, "and the arena is as it was");
    cr_assert_eq(wire_decode(buf, n, &type, &msg, sizeof ack - 1, &a), PEAL_E_FULL,
                 "nor into a struct that is too small");
    /* A count that promises more than came takes no memory: with none there, it is still the
     * input's fault. */
    arena_init(&a, NULL, 0);
    cr_assert_eq(wire_decode(buf, n - 1, &type, &msg, sizeof msg, &a), PEAL_E_TRUNCATED,
                 "checked before memory is taken");
}

/* Whatever the bytes are: an error, or a message that encodes to the same bytes. */
Test(binary, random_bytes)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    unsigned sound = 0, refused = 0;
    rng_init(&r, 5);
    for (int i = 0; i < 200; i++) {
        for
            EACH_MESSAGE(t)
            {
                arena_init(&a, heap, sizeof heap);
                struct sample s = {&r, &a, 12, 2, false};
                sample_fill(&s, wire_desc_of(t), &msg);
                size_t n = encode(t, &msg, buf);
                if (i % 4 == 0)
                    rng_fill(&r, buf + 2, n - 2);
                for (uint64_t k = rng_below(&r, 4); k > 0; k--)
                    buf[rng_below(&r, n)] = (uint8_t)rng_next(&r);
                if (verdict(buf, n) == 0) {
                    assert_round_trip(buf, n, "a mutant");
                    sound++;
                } else {
                    refused++;
                }
            }
    }
    cr_assert(sound > 500 && refused > 500, "both happen: %u sound, %u refused", sound, refused);
}

/* The format cannot change unnoticed. */
Test(binary, golden)
{
    struct golden g;
    static char hex[2 * 4096 + 1];
    for (unsigned i = 0; golden_message(i, &g); i++) {
        size_t n = encode(g.type, &g.msg, buf);
        cr_assert_leq(n, 4096, "short");
        peal_hex(buf, n, hex);
        cr_assert_str_eq(hex, g.hex, "the encoding of %s", wire_type_name(g.type));
        union wire_any back;
        struct arena a;
        uint16_t type = 0;
        arena_init(&a, heap2, WIRE_ARENA_MAX);
        cr_assert_eq(wire_decode(buf, n, &type, &back, sizeof back, &a), 0, "decodes");
        cr_assert_eq(type, g.type, "the type");
        if (type == WIRE_c_send) { /* the members are where the table says */
            cr_assert(msg_id_eq(&back.c_send.id, &g.msg.c_send.id), "id");
            cr_assert(peal_bytes_eq(back.c_send.name, peal_bytes_str("bob")), "name");
            cr_assert_eq(back.c_send.kind, WIRE_ROW_MESSAGE, "kind");
            cr_assert(peal_bytes_eq(back.c_send.body, g.msg.c_send.body), "body");
            cr_assert(back.c_send.body.p > buf && back.c_send.body.p < buf + n, "a view");
        }
    }
}
