/* The contracts of the JSON codec. */
#include <criterion/criterion.h>
#include <peal/wire.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "sample.h"

enum { BUF = WIRE_JSON_MAX, HEAP = 4 << 20 };

static uint8_t bin[BUF], bin2[BUF];
static char json[BUF], json2[BUF];
static _Alignas(16) uint8_t heap[HEAP], heap2[HEAP];

#define EACH_MESSAGE(t) (uint16_t t = sample_next(1); t != 0; t = sample_next(t + 1U))

static size_t to_bin(uint16_t type, const void *msg, uint8_t *out)
{
    struct wr w;
    wr_init(&w, out, BUF);
    cr_assert_eq(wire_encode(type, msg, &w), 0, "%s encodes", wire_type_name(type));
    return w.n;
}

static size_t to_json(uint16_t type, const void *msg, char *out)
{
    struct wr w;
    size_t size = 0;
    wr_init(&w, out, BUF);
    cr_assert_eq(wire_to_json(type, msg, &w), 0, "%s as JSON", wire_type_name(type));
    cr_assert_eq(wire_json_size(type, msg, &size), 0, "%s is measured", wire_type_name(type));
    cr_assert_eq(size, w.n, "%s: the measured size is the written one", wire_type_name(type));
    return w.n;
}

/* Binary, JSON, message, both again: all the same. The arena is as small as the contract allows. */
static void assert_round_trip(uint16_t type, const void *msg)
{
    const char *name = wire_type_name(type);
    char why[WIRE_WHY_MAX] = "";
    union wire_any back;
    struct arena a;
    uint16_t got = 0;
    size_t n = to_bin(type, msg, bin), len = to_json(type, msg, json);
    cr_assert_leq(wire_json_arena(len), sizeof heap2 - 1, "the arena is large enough");
    arena_init(&a, heap2 + 1, wire_json_arena(len));
    char *exact = malloc(len);
    cr_assert_not_null(exact, "memory");
    memcpy(exact, json, len);
    int err = wire_from_json(exact, len, &got, &back, sizeof back, &a, why);
    memset(exact, 0, len); /* the message must not need it */
    free(exact);
    cr_assert_eq(err, 0, "%s is read: %s", name, why);
    cr_assert_eq(got, type, "%s stays what it is", name);
    cr_assert_eq(to_bin(got, &back, bin2), n, "%s: the same length", name);
    cr_assert_eq(memcmp(bin, bin2, n), 0, "%s: the same bytes", name);
    cr_assert_eq(to_json(got, &back, json2), len, "%s: the same text", name);
    cr_assert_eq(memcmp(json, json2, len), 0, "%s: the same text", name);
}

Test(json, random_round_trip)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    rng_init(&r, 6);
    for (int i = 0; i < 30; i++) {
        for
            EACH_MESSAGE(t)
            {
                arena_init(&a, heap, sizeof heap);
                struct sample s = {&r, &a, 200, 4, false};
                sample_fill(&s, wire_desc_of(t), &msg);
                assert_round_trip(t, &msg);
            }
    }
}

Test(json, full_lists)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    rng_init(&r, 7);
    for
        EACH_MESSAGE(t)
        {
            arena_init(&a, heap, sizeof heap);
            struct sample s = {&r, &a, 1, SIZE_MAX, true};
            sample_fill(&s, wire_desc_of(t), &msg);
            assert_round_trip(t, &msg);
        }
}

Test(json, base64_of_every_length)
{
    struct rng r;
    uint8_t body[100];
    rng_init(&r, 8);
    for (size_t n = 0; n <= sizeof body; n++) {
        rng_fill(&r, body, n);
        struct wire_c_send m = {.body = peal_bytes_of(body, n)};
        assert_round_trip(WIRE_c_send, &m);
    }
}

/* Every ASCII character: what RFC 8259 wants escaped is, since jansson reads it back. */
Test(json, escapes)
{
    uint8_t all[127];
    for (uint8_t c = 1; c <= sizeof all; c++)
        all[c - 1] = c;
    struct wire_c_find m = {.name = peal_bytes_of(all, sizeof all)};
    assert_round_trip(WIRE_c_find, &m);
}

Test(json, golden)
{
    struct golden g;
    for (unsigned i = 0; golden_message(i, &g); i++) {
        size_t n = to_json(g.type, &g.msg, json);
        json[n] = '\0';
        cr_assert_str_eq(json, g.json, "the text of %s", wire_type_name(g.type));
        assert_round_trip(g.type, &g.msg);
    }
}

Test(json, does_not_fit)
{
    struct wire_c_find m = {.req = 1, .name = peal_bytes_str("a\nb\"c")};
    size_t n = to_json(WIRE_c_find, &m, json);
    struct wr w;
    for (size_t k = 0; k < n; k++) {
        wr_init(&w, json2, k);
        cr_assert_eq(wire_to_json(WIRE_c_find, &m, &w), PEAL_E_FULL, "%zu bytes", k);
    }
    wr_init(&w, json2, BUF);
    cr_assert_eq(wire_to_json(0, &m, &w), PEAL_E_USAGE, "an unknown number");
    m.name = peal_bytes_str("\xc3\x28");
    wr_init(&w, json2, BUF);
    cr_assert_eq(wire_to_json(WIRE_c_find, &m, &w), PEAL_E_MALFORMED, "bad UTF-8");
    cr_assert_eq(w.n, 0, "nothing is written");
}

static int read_text(const char *text, size_t n, char why[WIRE_WHY_MAX])
{
    union wire_any msg;
    struct arena a;
    uint16_t type = 9;
    arena_init(&a, heap, sizeof heap);
    why[0] = '\0';
    int err = wire_from_json(text, n, &type, &msg, sizeof msg, &a, why);
    if (err != 0) {
        cr_assert_eq(type, 0, "no type after an error");
        cr_assert_eq(a.used, 0, "the arena is as it was after an error");
        cr_assert_neq(why[0], '\0', "the error is explained");
        cr_assert_eq(wire_from_json(text, n, &type, &msg, sizeof msg, &a, NULL), err,
                     "the same without an explanation");
    }
    return err;
}

Test(json, strict)
{
    static const struct {
        const char *text;
        int err;
        const char *why; /* what the explanation starts with */
    } cases[] = {
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"a\"}", 0, ""},
        {" { \"name\" : \"\\u0061\" , \"req\":\"7\",\"t\":\"c_find\" } \n", 0, ""},
        {"{\"t\":\"c_find\",\"req\":\"0\",\"name\":\"\"}", 0, ""},
        {"{\"t\":\"c_find\",\"req\":\"18446744073709551615\",\"name\":\"a\"}", 0, ""},
        /* not a message */
        {"", PEAL_E_MALFORMED, "message: at byte"},
        {"{", PEAL_E_MALFORMED, "message: at byte"},
        {"[]", PEAL_E_MALFORMED, "message: is not an object"},
        {"7", PEAL_E_MALFORMED, "message: "},
        {"{}", PEAL_E_MALFORMED, "message: has no string \"t\""},
        {"{\"t\":7}", PEAL_E_MALFORMED, "message: has no string \"t\""},
        {"{\"t\":\"c_fin\"}", PEAL_E_VERSION, "message: there is no message \"c_fin\""},
        {"{\"t\":\"\"}", PEAL_E_VERSION, "message: there is no message"},
        {"{\"t\":\"c_ok\",\"req\":\"7\"} x", PEAL_E_MALFORMED, "message: at byte"},
        {"{\"t\":\"c_ok\",\"req\":\"7\",}", PEAL_E_MALFORMED, "message: at byte"},
        {"[[[[[[[[[[[[]]]]]]]]]]]]", PEAL_E_MALFORMED, "message: is nested too deeply"},
        /* fields */
        {"{\"t\":\"c_find\",\"req\":\"7\"}", PEAL_E_MALFORMED, "c_find.name: is missing"},
        {"{\"t\":\"c_ok\",\"req\":\"7\",\"x\":1}", PEAL_E_MALFORMED,
         "c_ok: there is no field \"x\""},
        {"{\"t\":\"c_ok\",\"req\":\"7\",\"req\":\"7\"}", PEAL_E_MALFORMED, "message: at byte"},
        {"{\"t\":\"c_ok\",\"t\":\"c_ok\",\"req\":\"7\"}", PEAL_E_MALFORMED, "message: at byte"},
        {"{\"t\":\"c_ok\",\"req\":null}", PEAL_E_MALFORMED, "c_ok.req: is not a 64-bit"},
        /* U64 */
        {"{\"t\":\"c_ok\",\"req\":7}", PEAL_E_MALFORMED, "c_ok.req: is not a 64-bit"},
        {"{\"t\":\"c_ok\",\"req\":\"\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"07\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"-1\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"+1\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\" 1\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"1e3\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"18446744073709551616\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"99999999999999999999\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        {"{\"t\":\"c_ok\",\"req\":\"184467440737095516150\"}", PEAL_E_MALFORMED, "c_ok.req: "},
        /* small integers */
        {"{\"t\":\"m_probe\",\"version\":65535}", 0, ""},
        {"{\"t\":\"m_probe\",\"version\":65536}", PEAL_E_MALFORMED, "m_probe.version: is not betw"},
        {"{\"t\":\"m_probe\",\"version\":-1}", PEAL_E_MALFORMED, "m_probe.version: is not betw"},
        {"{\"t\":\"m_probe\",\"version\":1.0}", PEAL_E_MALFORMED, "m_probe.version: is not an"},
        {"{\"t\":\"m_probe\",\"version\":\"1\"}", PEAL_E_MALFORMED, "m_probe.version: is not an"},
        {"{\"t\":\"m_probe\",\"version\":true}", PEAL_E_MALFORMED, "m_probe.version: is not an"},
        {"{\"t\":\"m_probe\",\"version\":99999999999999999999}", PEAL_E_MALFORMED, "message: at"},
        /* BOOL */
        {"{\"t\":\"c_ring_get\",\"req\":\"7\",\"observe\":true}", 0, ""},
        {"{\"t\":\"c_ring_get\",\"req\":\"7\",\"observe\":1}", PEAL_E_MALFORMED,
         "c_ring_get.observe: is not true or false"},
        /* STR */
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":7}", PEAL_E_MALFORMED,
         "c_find.name: is not a s"},
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"\xff\"}", PEAL_E_MALFORMED,
         "message: at byte"},
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"\\u0000\"}", PEAL_E_MALFORMED, "message: at"},
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"\\ud800\"}", PEAL_E_MALFORMED, "message: at"},
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"\n\"}", PEAL_E_MALFORMED, "message: at byte"},
        /* IDs, in lists */
        {"{\"t\":\"c_ack\",\"ids\":[]}", 0, ""},
        {"{\"t\":\"c_ack\",\"ids\":{}}", PEAL_E_MALFORMED, "c_ack.ids: is not an array"},
        {"{\"t\":\"c_ack\",\"ids\":[\"0102030405060708090a0b0c0d0e0f10\"]}", 0, ""},
        {"{\"t\":\"c_ack\",\"ids\":[\"0102030405060708090a0b0c0d0e0f10\",\"01\"]}",
         PEAL_E_MALFORMED, "c_ack.ids[1]: is not 32 lower-case hexadecimal digits"},
        {"{\"t\":\"c_ack\",\"ids\":[\"0102030405060708090A0B0C0D0E0F10\"]}", PEAL_E_MALFORMED,
         "c_ack.ids[0]: "},
        {"{\"t\":\"c_ack\",\"ids\":[\"0102030405060708090a0b0c0d0e0f1g\"]}", PEAL_E_MALFORMED,
         "c_ack.ids[0]: "},
        {"{\"t\":\"c_ack\",\"ids\":[7]}", PEAL_E_MALFORMED, "c_ack.ids[0]: "},
        /* structs in lists */
        {"{\"t\":\"c_watch\",\"names\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", 0, ""},
        {"{\"t\":\"c_watch\",\"names\":[\"a\"]}", PEAL_E_MALFORMED,
         "c_watch.names[0]: is not an object"},
        {"{\"t\":\"c_watch\",\"names\":[{\"name\":\"a\"},{}]}", PEAL_E_MALFORMED,
         "c_watch.names[1].name: is missing"},
        {"{\"t\":\"c_watch\",\"names\":[{\"name\":\"a\",\"t\":\"name\"}]}", PEAL_E_MALFORMED,
         "c_watch.names[0]: there is no field \"t\""},
        {"{\"t\":\"c_ok\",\"req\":\"7\",\"\xc3\xa9\":1}", PEAL_E_MALFORMED,
         "c_ok: there is no field \"??\""},
    };
    char why[WIRE_WHY_MAX];
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        int err = read_text(cases[i].text, strlen(cases[i].text), why);
        cr_assert_eq(err, cases[i].err, "%s: %s", cases[i].text, err_name(err));
        cr_assert_eq(strncmp(why, cases[i].why, strlen(cases[i].why)), 0, "%s: %s", cases[i].text,
                     why);
    }
}

/* A contact whose addresses are this JSON. */
#define PLACED(addresses)                                                                          \
    "{\"t\":\"n_contacts\",\"to\":\"0000000000000000000000000000000000000000\",\"stamp\":\"1\","   \
    "\"contacts\":[{\"id\":\"0000000000000000000000000000000000000000\",\"incarnation\":\"1\","    \
    "\"addresses\":" addresses ",\"key\":\"\",\"signature\":\"\"}]}"
#define SIXTY_FOUR "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(json, addresses)
{
    static const struct {
        const char *text;
        int err;
        const char *why;
    } cases[] = {
        {PLACED("[]"), 0, ""},
        {PLACED("[\"10.0.0.1:7000\",\"[2001:db8::1]:7000\"]"), 0, ""},
        {PLACED("[\"a\",\"b\",\"c\",\"d\"]"), 0, ""},
        {PLACED("[\"" SIXTY_FOUR "\"]"), 0, ""},
        {PLACED("[\"a\",\"b\",\"c\",\"d\",\"e\"]"), PEAL_E_TOO_LONG,
         "n_contacts.contacts[0].addresses: is longer than 4 items"},
        {PLACED("[\"a\",\"" SIXTY_FOUR "a\"]"), PEAL_E_TOO_LONG,
         "n_contacts.contacts[0].addresses[1]: is longer than 64 bytes"},
        {PLACED("[\"a\",\"\"]"), PEAL_E_MALFORMED, "n_contacts.contacts[0].addresses[1]: is empty"},
        {PLACED("[7]"), PEAL_E_MALFORMED, "n_contacts.contacts[0].addresses[0]: is not a string"},
        {PLACED("\"a\""), PEAL_E_MALFORMED, "n_contacts.contacts[0].addresses: is not an array"},
    };
    char why[WIRE_WHY_MAX];
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        int err = read_text(cases[i].text, strlen(cases[i].text), why);
        cr_assert_eq(err, cases[i].err, "%s: %s", cases[i].text, err_name(err));
        cr_assert_str_eq(why, cases[i].why, "%s: %s", cases[i].text, why);
    }
}

Test(json, base64_is_strict)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"", true},     {"AA", true},     {"AAA", true},    {"AAAA", true},
        {"-_8", true},  {"A", false},     {"AAAAA", false}, {"AB", false},
        {"AAB", false}, {"AA==", false},  {"AAA=", false},  {"+/8", false},
        {"A A", false}, {"AA\\n", false}, {"AA.A", false},  {"\\u00e9A", false},
    };
    char text[256], why[WIRE_WHY_MAX];
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        int n = snprintf(text, sizeof text,
                         "{\"t\":\"c_resume\",\"req\":\"7\",\"name\":\"a\",\"token\":\"%s\"}",
                         cases[i].text);
        cr_assert_eq(read_text(text, (size_t)n, why), cases[i].ok ? 0 : PEAL_E_MALFORMED,
                     "\"%s\": %s", cases[i].text, why);
    }
}

/* head, n times item with commas between, tail. */
static size_t repeat(const char *head, const char *item, const char *comma, size_t n,
                     const char *tail)
{
    char *p = stpcpy(json, head);
    for (size_t i = 0; i < n; i++) {
        p = stpcpy(p, i > 0 ? comma : "");
        p = stpcpy(p, item);
    }
    p = stpcpy(p, tail);
    return (size_t)(p - json);
}

Test(json, maxima)
{
    static const struct {
        const char *head, *item, *comma, *tail;
        size_t max;
        const char *why;
    } cases[] = {
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"", "x", "", "\"}", WIRE_NAME_MAX,
         "c_find.name: is longer than 128 bytes"},
        {"{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"", "\\u00e9", "", "\"}", WIRE_NAME_MAX / 2,
         "c_find.name: is longer than 128 bytes"},
        /* three bytes each, and two at the end */
        {"{\"t\":\"c_resume\",\"req\":\"7\",\"name\":\"a\",\"token\":\"", "AAAA", "", "AAA\"}",
         WIRE_TOKEN_BYTES / 3, "c_resume.token: is longer than 32 bytes"},
        {"{\"t\":\"c_ack\",\"ids\":[", "\"0102030405060708090a0b0c0d0e0f10\"", ",", "]}",
         WIRE_ACK_MAX, "c_ack.ids: is longer than 256 items"},
        {"{\"t\":\"c_watch\",\"names\":[", "{\"name\":\"\"}", ",", "]}", WIRE_WATCH_MAX,
         "c_watch.names: is longer than 16 items"},
    };
    char why[WIRE_WHY_MAX];
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        size_t max = cases[i].max;
        size_t n = repeat(cases[i].head, cases[i].item, cases[i].comma, max, cases[i].tail);
        cr_assert_eq(read_text(json, n, why), 0, "case %zu at its maximum: %s", i, why);
        n = repeat(cases[i].head, cases[i].item, cases[i].comma, max + 1, cases[i].tail);
        cr_assert_eq(read_text(json, n, why), PEAL_E_TOO_LONG, "case %zu above: %s", i, why);
        cr_assert_str_eq(why, cases[i].why, "case %zu is explained", i);
    }
    memset(json, ' ', sizeof json);
    cr_assert_eq(read_text(json, sizeof json, why), PEAL_E_MALFORMED, "blank");
    cr_assert_eq(read_text(json, (size_t)WIRE_JSON_MAX + 1, why), PEAL_E_TOO_LONG, "too long");
}

Test(json, too_little_memory)
{
    static const char text[] = "{\"t\":\"c_find\",\"req\":\"7\",\"name\":\"alice\"}";
    union wire_any msg;
    struct arena a;
    uint16_t type = 0;
    arena_init(&a, heap, 5);
    cr_assert_eq(wire_from_json(text, sizeof text - 1, &type, &msg, sizeof msg, &a, NULL),
                 PEAL_E_FULL, "five letters and a NUL do not fit into five bytes");
    arena_init(&a, heap, sizeof heap);
    cr_assert_eq(wire_from_json(text, sizeof text - 1, &type, &msg, 3, &a, NULL), PEAL_E_FULL,
                 "nor a message into three");
}

/* Damaged text: an error, or a message that both codecs agree on. */
Test(json, random_damage)
{
    struct rng r;
    struct arena a;
    union wire_any msg;
    unsigned sound = 0, refused = 0;
    char why[WIRE_WHY_MAX];
    rng_init(&r, 9);
    for (int i = 0; i < 60; i++) {
        for
            EACH_MESSAGE(t)
            {
                arena_init(&a, heap2, sizeof heap2);
                struct sample s = {&r, &a, 12, 2, false};
                sample_fill(&s, wire_desc_of(t), &msg);
                size_t n = to_json(t, &msg, json);
                static const char odd[] = "\"\\{}[],:0a.e-\x80\xff tnu";
                for (uint64_t k = rng_below(&r, 3); k > 0; k--)
                    json[rng_below(&r, n)] = odd[rng_below(&r, sizeof odd)];
                if (read_text(json, n, why) != 0) {
                    refused++;
                    continue;
                }
                uint16_t type = 0;
                arena_init(&a, heap, sizeof heap);
                cr_assert_eq(wire_from_json(json, n, &type, &msg, sizeof msg, &a, NULL), 0,
                             "again");
                assert_round_trip(type, &msg);
                sound++;
            }
    }
    cr_assert(sound > 500 && refused > 500, "both happen: %u sound, %u refused", sound, refused);
}
