/* The contracts of base: errors, bytes, identifiers, clock, generator, cursors. */
#include <criterion/criterion.h>
#include <peal/base.h>

#include <signal.h>
#include <string.h>

enum { RUNS = 20000 };

/* Random identifiers of a small space, so that equal and neighbouring ones are met often: the
 * lowest byte varies over 8 values, and the rest is all zeros or all ones, which tries the
 * wrap-around. */
static struct peal_id small_id(struct rng *r)
{
    struct peal_id id;
    uint64_t x = rng_next(r);
    memset(id.b, x & 1 ? 0xff : 0x00, ID_BYTES);
    id.b[ID_BYTES - 1] = (uint8_t)(x & 1 ? 0xf8 | (x >> 8 & 7) : x >> 8 & 7);
    return id;
}

static struct peal_id any_id(struct rng *r)
{
    struct peal_id id;
    rng_fill(r, id.b, sizeof id.b);
    return rng_below(r, 2) == 0 ? id : small_id(r);
}

/* a + b modulo 2^160, from the sums of powers of two: an independent way to check id_distance. */
static struct peal_id id_sum(const struct peal_id *a, const struct peal_id *b)
{
    struct peal_id r = *a;
    for (unsigned bit = 0; bit < ID_BITS; bit++)
        if (b->b[ID_BYTES - 1 - bit / 8] >> (bit % 8) & 1)
            r = id_add_pow2(&r, bit);
    return r;
}

Test(error, names_and_numbers)
{
    cr_assert_str_eq(err_name(PEAL_E_NOT_FOUND), "not_found", "a name is in lower case");
    cr_assert_str_eq(err_name(0), "ok", "0 is no error");
    cr_assert_str_eq(err_name(-9999), "unknown_error", "any int is accepted");
    cr_assert_str_eq(err_prose(12345), "unknown error", "any int is accepted");
    cr_assert_eq(err_from_name("no such name"), 0, "an unknown name gives 0");
    cr_assert_eq(PEAL_E_FULL, -1, "numbers are part of the protocol");
    cr_assert_eq(PEAL_E_FOREIGN, -23, "numbers are part of the protocol");
    for (int e = PEAL_E_FOREIGN; e < 0; e++) {
        cr_assert_eq(err_from_name(err_name(e)), e, "%d is named %s", e, err_name(e));
        cr_assert_gt(strlen(err_prose(e)), 5, "%s has prose", err_name(e));
    }
}

Test(error, check_aborts, .signal = SIGABRT)
{
    volatile int one = 1;
    CHECK(one == 1);
    CHECK(one == 2);
}

Test(bytes, equality_and_strings)
{
    char out[4];
    cr_assert(peal_bytes_eq(peal_bytes_str(""), (struct peal_bytes){NULL, 0}), "empty is empty");
    cr_assert(peal_bytes_eq(peal_bytes_str("abc"), peal_bytes_of("abcd", 3)), "same bytes");
    cr_assert_not(peal_bytes_eq(peal_bytes_str("abc"), peal_bytes_str("abd")), "other bytes");
    cr_assert_not(peal_bytes_eq(peal_bytes_str("abc"), peal_bytes_str("ab")), "other length");
    cr_assert_eq(peal_bytes_to_str(peal_bytes_str("abc"), sizeof out, out), 0, "3 + NUL fit");
    cr_assert_str_eq(out, "abc", "and are copied");
    cr_assert_eq(peal_bytes_to_str(peal_bytes_str("abcd"), sizeof out, out), PEAL_E_TOO_LONG,
                 "4 + NUL do not fit");
    cr_assert_eq(peal_bytes_to_str(peal_bytes_of("a\0b", 3), sizeof out, out), PEAL_E_MALFORMED,
                 "a NUL inside is refused");
    cr_assert_eq(peal_bytes_to_str((struct peal_bytes){NULL, 0}, sizeof out, out), 0, "empty");
    cr_assert_str_eq(out, "", "gives the empty string");
}

Test(bytes, hex)
{
    static const uint8_t in[] = {0x00, 0x9a, 0xff};
    char text[2 * sizeof in + 1];
    uint8_t out[sizeof in] = {1, 2, 3};
    peal_hex(in, sizeof in, text);
    cr_assert_str_eq(text, "009aff", "lower case");
    static const char *const bad[] = {"", "009af", "009aff0", "009afg", "00 9af", "-09aff"};
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        cr_assert_eq(peal_unhex(bad[i], 3, out), PEAL_E_MALFORMED, "\"%s\" is refused", bad[i]);
        cr_assert_eq(out[0], 1, "and out is as it was");
    }
    cr_assert_eq(peal_unhex("009AfF", 3, out), 0, "either case");
    cr_assert_eq(memcmp(in, out, sizeof in), 0, "the inverse");
}

Test(bytes, utf8)
{
    static const struct {
        const char *s;
        bool ok;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"\x7f", true},
        {"\xc2\x80", true},         /* U+0080, the least of two bytes */
        {"\xdf\xbf", true},         /* U+07FF */
        {"\xe0\xa0\x80", true},     /* U+0800 */
        {"\xed\x9f\xbf", true},     /* U+D7FF, before the surrogates */
        {"\xee\x80\x80", true},     /* U+E000, after them */
        {"\xef\xbf\xbf", true},     /* U+FFFF, a noncharacter, yet well-formed */
        {"\xf0\x90\x80\x80", true}, /* U+10000 */
        {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
        {"\x80", false},            /* a continuation alone */
        {"\xbf", false},
        {"\xc0\x80", false}, /* overlong NUL */
        {"\xc1\xbf", false}, /* overlong U+007F */
        {"\xc2", false},     /* cut off */
        {"\xc2\x41", false},
        {"\xe0\x9f\xbf", false}, /* overlong U+07FF */
        {"\xe0\xa0", false},
        {"\xe2\x82\x28", false},
        {"\xed\xa0\x80", false},     /* U+D800 */
        {"\xed\xbf\xbf", false},     /* U+DFFF */
        {"\xf0\x8f\xbf\xbf", false}, /* overlong U+FFFF */
        {"\xf0\x90\x80", false},
        {"\xf4\x90\x80\x80", false}, /* U+110000 */
        {"\xf5\x80\x80\x80", false},
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"ok\xe2\x82\xac then \xff", false},
    };
    for (size_t i = 0; i < PEAL_COUNT(cases); i++)
        cr_assert_eq(peal_utf8_valid(peal_bytes_str(cases[i].s)), cases[i].ok, "case %zu", i);
    cr_assert_not(peal_utf8_valid(peal_bytes_of("a\0b", 3)), "NUL is refused");
    cr_assert(peal_utf8_valid((struct peal_bytes){NULL, 0}), "the empty view");
}

Test(id, order_and_hex)
{
    struct peal_id a = {{0}}, b = {{0}}, c;
    char hex[ID_HEX];
    b.b[0] = 1;
    a.b[ID_BYTES - 1] = 0xff;
    cr_assert_lt(id_cmp(&a, &b), 0, "the first byte is the most significant");
    cr_assert_not(id_is_zero(&a), "not zero");
    id_hex(&a, hex);
    cr_assert_str_eq(hex, "00000000000000000000000000000000000000ff", "hexadecimal");
    cr_assert_eq(id_unhex(hex, &c), 0, "read back");
    cr_assert(id_eq(&a, &c), "the same");
    cr_assert_eq(id_unhex("00ff", &c), PEAL_E_MALFORMED, "too short");
    c = id_from_bytes(b.b);
    cr_assert(id_eq(&c, &b), "from bytes");
    struct peal_msg_id m = {{1}}, n = {{2}};
    cr_assert(msg_id_eq(&m, &m) && !msg_id_eq(&m, &n), "equality");
    cr_assert_lt(msg_id_cmp(&m, &n), 0, "order");
}

Test(id, between_laws)
{
    struct rng r;
    rng_init(&r, 1);
    for (int i = 0; i < RUNS; i++) {
        struct peal_id a = any_id(&r), x = any_id(&r), b = any_id(&r);
        bool in = id_between(&a, &x, &b);
        cr_assert_not(id_between(&a, &a, &b), "an arc lacks its start");
        if (!id_eq(&a, &b))
            cr_assert_not(id_between(&a, &b, &b), "and its end");
        cr_assert_eq(id_between(&a, &x, &a), !id_eq(&a, &x), "the arc a..a is all but a");
        cr_assert_eq(id_in_arc(&a, &x, &b), in || id_eq(&x, &b), "(a, b] = (a, b) and b");
        cr_assert(id_in_arc(&a, &x, &a), "(a, a] is the whole ring");
        if (!id_eq(&a, &b) && !id_eq(&a, &x) && !id_eq(&x, &b)) {
            cr_assert_neq(in, id_between(&b, &x, &a), "x is on one of the two arcs");
            cr_assert_eq(in, id_between(&x, &b, &a), "the order turns around");
            struct peal_id ax = id_distance(&a, &x), ab = id_distance(&a, &b);
            cr_assert_eq(in, id_cmp(&ax, &ab) < 0, "nearer to a than b is");
        }
    }
}

Test(id, arithmetic_wraps)
{
    struct rng r;
    rng_init(&r, 2);
    struct peal_id top, zero = {{0}};
    memset(top.b, 0xff, ID_BYTES);
    struct peal_id wrapped = id_add_pow2(&top, 0);
    cr_assert(id_is_zero(&wrapped), "2^160 - 1 + 1 = 0");
    struct peal_id one = id_distance(&top, &zero);
    cr_assert(one.b[ID_BYTES - 1] == 1 && one.b[0] == 0, "one step over the top");
    struct peal_id high = id_add_pow2(&zero, ID_BITS - 1);
    cr_assert(high.b[0] == 0x80 && high.b[1] == 0, "2^159");
    for (int i = 0; i < RUNS / 10; i++) {
        struct peal_id a = any_id(&r), b = any_id(&r);
        struct peal_id d = id_distance(&a, &b), e = id_distance(&b, &a);
        struct peal_id back = id_sum(&a, &d), whole = id_sum(&d, &e);
        cr_assert(id_eq(&back, &b), "a + (b - a) = b");
        cr_assert(id_is_zero(&whole), "there and back is a whole turn");
        unsigned bit = (unsigned)rng_below(&r, ID_BITS);
        struct peal_id far = id_add_pow2(&a, bit), pow = id_add_pow2(&zero, bit);
        struct peal_id step = id_distance(&a, &far);
        cr_assert(id_eq(&step, &pow), "a + 2^%u lies 2^%u away", bit, bit);
    }
}

Test(id, add_beyond_the_ring, .signal = SIGABRT)
{
    struct peal_id zero = {{0}};
    (void)id_add_pow2(&zero, ID_BITS);
}

Test(clock, stamps_increase)
{
    struct clk_hlc c = {0};
    struct rng r;
    rng_init(&r, 3);
    uint64_t wall = 1700000000000, last = 0;
    for (int i = 0; i < RUNS; i++) {
        wall = wall + rng_below(&r, 5) - 2; /* a clock that steps back as well */
        uint64_t stamp = clk_now(&c, wall);
        cr_assert_gt(stamp, last, "stamp %d is larger than the one before", i);
        cr_assert_geq(clk_ms(stamp), wall, "and not before the wall clock");
        last = stamp;
    }
}

Test(clock, counter_carries)
{
    struct clk_hlc c = {0};
    uint64_t first = clk_now(&c, 1000), last = first;
    cr_assert_eq(first, (uint64_t)1000 << 16, "time above, counter below");
    for (int i = 0; i < 1 << 16; i++)
        last = clk_now(&c, 1000);
    cr_assert_eq(clk_ms(last), 1001, "2^16 stamps in one millisecond borrow from the next");
}

Test(clock, seen)
{
    struct clk_hlc c = {0};
    uint64_t wall = 1700000000000, other = (wall + 500) << 16 | 7;
    cr_assert_eq(clk_seen(&c, other, wall), 0, "half a second ahead is taken");
    cr_assert_gt(clk_now(&c, wall), other, "and the next stamp is later");
    uint64_t before = c.last;
    cr_assert_eq(clk_seen(&c, (wall - 10) << 16, wall), 0, "an old stamp");
    cr_assert_eq(c.last, before, "changes nothing");
    cr_assert_eq(clk_seen(&c, (wall + CLK_MAX_AHEAD_MS + 1) << 16, wall), PEAL_E_MALFORMED,
                 "too far ahead is refused");
    cr_assert_eq(clk_seen(&c, UINT64_MAX, wall), PEAL_E_MALFORMED, "and so is the largest");
    cr_assert_eq(c.last, before, "and changes nothing");
    cr_assert_eq(clk_seen(&c, (wall + CLK_MAX_AHEAD_MS) << 16, wall), 0, "the limit itself");
}

/* Outputs of the authors' xoshiro256starstar.c for the state {1, 2, 3, 4}, and of their
 * splitmix64.c for the seed 1234567. */
Test(rng, published_vectors)
{
    static const uint64_t xoshiro[] = {11520U,
                                       0U,
                                       1509978240U,
                                       1215971899390074240U,
                                       1216172134540287360U,
                                       607988272756665600U,
                                       16172922978634559625U,
                                       8476171486693032832U,
                                       10595114339597558777U,
                                       2904607092377533576U};
    static const uint64_t splitmix[] = {6457827717110365317U, 3203168211198807973U,
                                        9817491932198370423U, 4593380528125082431U};
    struct rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < PEAL_COUNT(xoshiro); i++)
        cr_assert_eq(rng_next(&r), xoshiro[i], "xoshiro256** output %zu", i);
    rng_init(&r, 1234567);
    for (size_t i = 0; i < PEAL_COUNT(splitmix); i++)
        cr_assert_eq(r.s[i], splitmix[i], "splitmix64 output %zu", i);
}

Test(rng, below_is_in_range_and_even)
{
    struct rng r;
    rng_init(&r, 4);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++)
        seen[rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) /* mean 1000, deviation 29: ten deviations */
        cr_assert(seen[i] > 700 && seen[i] < 1300, "%d came %u times", i, seen[i]);
    cr_assert_eq(rng_below(&r, 1), 0, "the only value");
    /* Of 3/4 of the whole range, a plain remainder would give every second draw the lowest third.
     */
    uint64_t huge = (uint64_t)3 << 62;
    unsigned low = 0;
    for (int i = 0; i < 3000; i++) {
        uint64_t x = rng_below(&r, huge);
        cr_assert_lt(x, huge, "in range");
        low += x < huge / 3;
    }
    cr_assert(low > 800 && low < 1200, "a third is in the lowest third, not %u of 3000", low);
}

Test(rng, fill_is_little_endian_and_seeded)
{
    struct rng a, b;
    uint8_t out[11];
    rng_init(&a, 5);
    rng_init(&b, 5);
    rng_fill(&a, out, sizeof out);
    uint64_t x = rng_next(&b), y = rng_next(&b);
    cr_assert_eq(out[0], (uint8_t)x, "lowest byte first");
    cr_assert_eq(out[7], (uint8_t)(x >> 56), "highest byte eighth");
    cr_assert_eq(out[10], (uint8_t)(y >> 16), "then the next output");
    cr_assert_eq(rng_next(&a), rng_next(&b), "the same seed runs on the same");
}

Test(cursor, round_trip_is_big_endian)
{
    uint8_t buf[64], copy[3];
    struct wr w;
    struct rd r;
    struct peal_id id = {{9, 8, 7}};
    wr_init(&w, buf, sizeof buf);
    wr_u8(&w, 0x01);
    wr_u16(&w, 0x0203);
    wr_u32(&w, 0x04050607);
    wr_u64(&w, 0x08090a0b0c0d0e0f);
    for (size_t i = 0; i < 15; i++)
        cr_assert_eq(buf[i], i + 1, "byte %zu", i);
    wr_var(&w, peal_bytes_str("view"));
    wr_id(&w, &id);
    wr_bytes(&w, "xyz", 3);
    wr_bytes(&w, NULL, 0);
    cr_assert_eq(wr_end(&w), 0, "all of it fits");
    cr_assert_eq(w.n, 1 + 2 + 4 + 8 + 8 + ID_BYTES + 3, "so many bytes");

    rd_init(&r, buf, w.n);
    cr_assert_eq(rd_u8(&r), 0x01, "u8");
    cr_assert_eq(rd_u16(&r), 0x0203, "u16");
    cr_assert_eq(rd_u32(&r), 0x04050607, "u32");
    cr_assert_eq(rd_u64(&r), 0x08090a0b0c0d0e0f, "u64");
    struct peal_bytes v = rd_var(&r, 4);
    cr_assert(peal_bytes_eq(v, peal_bytes_str("view")) && v.p == buf + 19, "a view, not a copy");
    struct peal_id back = rd_id(&r);
    cr_assert(id_eq(&back, &id), "id");
    cr_assert_eq(rd_end(&r), PEAL_E_TRAILING, "three bytes are left");
    cr_assert_eq(rd_left(&r), 3, "three");
    rd_copy(&r, copy, 3);
    cr_assert_eq(memcmp(copy, "xyz", 3), 0, "copied");
    cr_assert_eq(rd_end(&r), 0, "the end");
}

Test(cursor, reader_error_sticks)
{
    static const uint8_t in[] = {0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t copy[2] = {1, 1};
    struct rd r;
    rd_init(&r, in, sizeof in);
    cr_assert_eq(rd_u64(&r), 0, "too short for a u64");
    cr_assert_eq(rd_u8(&r), 0, "nothing more after the error");
    cr_assert_eq(rd_bytes(&r, 1).n, 0, "nothing");
    rd_copy(&r, copy, sizeof copy);
    cr_assert(copy[0] == 0 && copy[1] == 0, "zeros");
    cr_assert_eq(rd_left(&r), 0, "nothing is left");
    rd_fail(&r, PEAL_E_MALFORMED);
    cr_assert_eq(rd_end(&r), PEAL_E_TRUNCATED, "the first error stays");

    rd_init(&r, in, sizeof in);
    struct peal_bytes v = rd_var(&r, UINT32_MAX - 1);
    cr_assert(v.n == 0 && v.p == NULL, "empty");
    cr_assert_eq(rd_end(&r), PEAL_E_TOO_LONG, "above the maximum, though not there either");
    rd_init(&r, in, sizeof in);
    v = rd_var(&r, SIZE_MAX);
    cr_assert_eq(v.n, 0, "empty");
    cr_assert_eq(rd_end(&r), PEAL_E_TRUNCATED, "a length that points beyond the end");
    rd_init(&r, NULL, 0);
    cr_assert_eq(rd_end(&r), 0, "an empty input has ended");
    cr_assert_eq(rd_u16(&r), 0, "and gives nothing");
    cr_assert_eq(rd_end(&r), PEAL_E_TRUNCATED, "but an error");
}

Test(cursor, writer_error_sticks)
{
    uint8_t buf[4] = {0xee, 0xee, 0xee, 0xee};
    struct wr w;
    wr_init(&w, buf, 3);
    wr_u16(&w, 1);
    wr_u16(&w, 2);
    cr_assert_eq(wr_end(&w), PEAL_E_FULL, "4 bytes do not fit in 3");
    wr_u8(&w, 3);
    cr_assert_eq(w.n, 2, "nothing is written after the error, not even what would fit");
    cr_assert_eq(buf[2], 0xee, "nothing");
    wr_fail(&w, PEAL_E_USAGE);
    cr_assert_eq(wr_end(&w), PEAL_E_FULL, "the first error stays");
    wr_init(&w, NULL, 0);
    wr_bytes(&w, "", 0);
    cr_assert_eq(wr_end(&w), 0, "nothing into nothing");
    wr_u8(&w, 1);
    cr_assert_eq(wr_end(&w), PEAL_E_FULL, "something into nothing");
}
