/* The store's contract, run over both back ends: each test here is three, sqlite/NAME, memory/NAME,
 * and late/NAME: SQLite with next to no recent keys, so that the rows' index is always at work. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "twins.h"

#define BOTH(name)                                                                                 \
    static void name(struct twin *t);                                                              \
    Test(sqlite, name)                                                                             \
    {                                                                                              \
        struct twin t;                                                                             \
        twin_open(&t, true);                                                                       \
        name(&t);                                                                                  \
        twin_close(&t);                                                                            \
    }                                                                                              \
    Test(late, name)                                                                               \
    {                                                                                              \
        struct twin t;                                                                             \
        twin_open(&t, true);                                                                       \
        t.config.recent_max = 3;                                                                   \
        twin_replace(&t);                                                                          \
        name(&t);                                                                                  \
        twin_close(&t);                                                                            \
    }                                                                                              \
    Test(memory, name)                                                                             \
    {                                                                                              \
        struct twin t;                                                                             \
        twin_open(&t, false);                                                                      \
        name(&t);                                                                                  \
        twin_close(&t);                                                                            \
    }                                                                                              \
    static void name(struct twin *t)

#define IS(got, expected)                                                                          \
    do {                                                                                           \
        const char *is_got = (got);                                                                \
        cr_assert(strcmp(is_got, expected) == 0, "%s is \"%s\", not \"%s\"", #got, is_got,         \
                  expected);                                                                       \
    } while (0)

static struct store_stats figures(struct twin *t)
{
    struct store_stats f;
    store_stats(t->s, &f);
    return f;
}

/* ---- writing and reading ---- */

BOTH(put_get_del)
{
    IS(twin_get(t, STORE_ROWS, "a"), "-");
    twin_do(t, twin_put(STORE_ROWS, "a", "1"));
    twin_do(t, twin_put(STORE_META, "a", "other"));
    IS(twin_get(t, STORE_ROWS, "a"), "1");
    twin_do(t, twin_put(STORE_ROWS, "a", "2"));
    IS(twin_get(t, STORE_ROWS, "a"), "2");
    twin_reopen(t);
    IS(twin_get(t, STORE_ROWS, "a"), "2");
    twin_do(t, twin_del(STORE_ROWS, "a"));
    twin_do(t, twin_del(STORE_ROWS, "never"));
    IS(twin_get(t, STORE_ROWS, "a"), "-");
    twin_reopen(t);
    IS(twin_get(t, STORE_ROWS, "a"), "-");
    IS(twin_get(t, STORE_META, "a"), "other");
    IS(twin_get(t, STORE_REGISTERS, "a"), "-");
}

BOTH(replacing_a_durable_value)
{
    twin_do(t, twin_put(STORE_REGISTERS, "k", "old"));
    twin_sync(t);
    twin_do(t, twin_put(STORE_REGISTERS, "k", "newer"));
    IS(twin_get(t, STORE_REGISTERS, "k"), "newer");
    twin_reopen(t);
    IS(twin_get(t, STORE_REGISTERS, "k"), "newer");
    cr_assert(twin_count(t, STORE_REGISTERS, "", "") == 1, "a replaced key counts once");
}

BOTH(largest_and_smallest)
{
    static uint8_t big[STORE_VALUE_MAX], room[STORE_VALUE_MAX + 64], key[STORE_KEY_MAX];
    rng_fill(&t->rng, big, sizeof big);
    rng_fill(&t->rng, key, sizeof key);
    struct store_write w[2] = {
        {.space = STORE_ROWS,
         .key = peal_bytes_of(key, sizeof key),
         .value = peal_bytes_of(big, sizeof big)},
        {.space = STORE_ROWS, .key = peal_bytes_of("\0", 1), .value = {0}},
    };
    cr_assert(store_submit(t->s, w, 2, NULL) == 0, "a value of the largest size is allowed");
    for (int round = 0; round < 2; round++) {
        struct arena a;
        struct peal_bytes v;
        arena_init(&a, room, sizeof room);
        cr_assert(store_get(t->s, STORE_ROWS, w[0].key, &a, &v) == 0, "the big one is there");
        cr_assert(peal_bytes_eq(v, w[0].value), "and is what was written");
        arena_reset(&a);
        cr_assert(store_get(t->s, STORE_ROWS, w[1].key, &a, &v) == 0, "the empty one is there");
        cr_assert(v.n == 0, "and is empty");
        arena_init(&a, room, 100);
        cr_assert(store_get(t->s, STORE_ROWS, w[0].key, &a, &v) == PEAL_E_FULL, "no room");
        twin_reopen(t);
    }
}

BOTH(what_is_not_of_its_form_is_refused_whole)
{
    static uint8_t big[STORE_VALUE_MAX + 1];
    struct store_write good = twin_put(STORE_ROWS, "good", "1");
    struct store_write bad[] = {
        {.space = STORE_ROWS, .op = STORE_PUT},
        {.space = STORE_ROWS, .op = STORE_DEL, .key = {big, STORE_KEY_MAX + 1}},
        {.space = STORE_ROWS, .op = STORE_PUT, .key = {big, 1}, .value = {big, sizeof big}},
        {.space = (enum store_space)3, .op = STORE_PUT, .key = {big, 1}},
        {.space = STORE_ROWS, .op = (enum store_op)3, .key = {big, 1}},
    };
    const int expected[] = {PEAL_E_USAGE, PEAL_E_TOO_LONG, PEAL_E_TOO_LONG, PEAL_E_USAGE,
                            PEAL_E_USAGE};
    uint64_t ticket = 77;
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        struct store_write w[2] = {good, bad[i]};
        int rc = store_submit(t->s, w, 2, &ticket);
        cr_assert(rc == expected[i], "bad write %zu gives %s", i, err_name(rc));
        cr_assert(store_error_text(t->s)[0] != '\0', "bad write %zu is explained", i);
        cr_assert(ticket == 77, "and gets no ticket");
    }
    static struct store_write many[STORE_UNIT_MAX + 1];
    for (size_t i = 0; i < PEAL_COUNT(many); i++)
        many[i] = good;
    cr_assert(store_submit(t->s, many, STORE_UNIT_MAX + 1, NULL) == PEAL_E_USAGE, "too many");
    IS(twin_get(t, STORE_ROWS, "good"), "-");
    cr_assert(store_submit(t->s, many, STORE_UNIT_MAX, &ticket) == 0, "the most that is allowed");
    cr_assert(ticket == 1, "the first ticket is %llu", (unsigned long long)ticket);
    uint8_t room[16];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, room, sizeof room);
    cr_assert(store_get(t->s, STORE_ROWS, (struct peal_bytes){0}, &a, &v) == PEAL_E_USAGE,
              "no key");
}

BOTH(tickets_grow_and_become_durable_in_order)
{
    cr_assert(store_durable(t->s) == 0, "nothing is durable yet");
    uint64_t ticket;
    cr_assert(store_submit(t->s, NULL, 0, &ticket) == 0, "empty");
    cr_assert(ticket == 1 && store_durable(t->s) == 1, "an empty first ticket is done at once");
    cr_assert(twin_do(t, twin_lazy(twin_put(STORE_ROWS, "a", "1"))) == 2, "second");
    cr_assert(store_submit(t->s, NULL, 0, &ticket) == 0, "empty");
    cr_assert(ticket == 3, "third");
    cr_assert(store_durable(t->s) == 1, "an empty ticket waits for those before it");
    cr_assert(twin_do(t, twin_put(STORE_ROWS, "b", "1")) == 4, "fourth");
    twin_wait_durable(t, 4);
    cr_assert(store_durable(t->s) == 4, "a write that is not lazy takes the lazy ones along");
    cr_assert(figures(t).pending_keys == 0 && figures(t).pending_bytes == 0, "nothing waits");
}

/* ---- put if absent ---- */

BOTH(put_if_absent)
{
    twin_do(t, twin_absent(STORE_ROWS, "a", "1"));
    twin_do(t, twin_absent(STORE_ROWS, "a", "2"));
    IS(twin_get(t, STORE_ROWS, "a"), "1");
    twin_sync(t);
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "a", "3")));
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "b", "4")));
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=1 b=4");
    twin_do(t, twin_lazy(twin_put(STORE_ROWS, "b", "5")));
    twin_do(t, twin_lazy(twin_del(STORE_ROWS, "c")));
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "c", "6")));
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=1 b=5 c=6");
    twin_reopen(t);
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=1 b=5 c=6");
}

BOTH(put_if_absent_over_a_waiting_deletion)
{
    twin_do(t, twin_put(STORE_ROWS, "a", "old"));
    twin_sync(t);
    twin_do(t, twin_lazy(twin_del(STORE_ROWS, "a")));
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "a", "new")));
    IS(twin_get(t, STORE_ROWS, "a"), "new");
    twin_reopen(t);
    IS(twin_get(t, STORE_ROWS, "a"), "new");
}

/* ---- cancelling ---- */

BOTH(a_fresh_put_that_is_deleted_never_touches_the_disk)
{
    uint64_t put = twin_do(t, twin_fresh(twin_absent(STORE_ROWS, "m1", "hello")));
    cr_assert(store_durable(t->s) == put - 1, "the put waits");
    IS(twin_get(t, STORE_ROWS, "m1"), "hello");
    uint64_t del = twin_do(t, twin_del(STORE_ROWS, "m1"));
    cr_assert(store_durable(t->s) == del, "both are done at once");
    IS(twin_get(t, STORE_ROWS, "m1"), "-");
    IS(twin_list(t, STORE_ROWS, "", "", 9), "");
    twin_sync(t);
    struct store_stats f = figures(t);
    cr_assert(f.cancelled == 1 && f.puts_written == 0 && f.dels_written == 0, "nothing is written");
    cr_assert(f.commits == 0, "there was no transaction");
    cr_assert(f.pending_bytes == 0 && f.pending_keys == 0, "nothing waits");
}

BOTH(a_stream_of_cancelled_puts_makes_no_transaction)
{
    enum { N = 20000, OPEN = 50 };
    char key[16];
    for (int i = 0; i < N + OPEN; i++) {
        if (i < N) {
            snprintf(key, sizeof key, "%05d", i);
            twin_do(t, twin_fresh(twin_absent(STORE_ROWS, key, "a message")));
        }
        if (i >= OPEN) {
            snprintf(key, sizeof key, "%05d", i - OPEN);
            twin_do(t, twin_del(STORE_ROWS, key));
        }
    }
    struct store_stats f = figures(t);
    cr_assert(f.cancelled == N && f.commits == 0, "%llu cancelled, %llu transactions",
              (unsigned long long)f.cancelled, (unsigned long long)f.commits);
    cr_assert(store_durable(t->s) == 2 * N, "all are done");
}

BOTH(cancelling_in_the_middle_leaves_the_others)
{
    uint64_t a = twin_do(t, twin_fresh(twin_absent(STORE_ROWS, "a", "1")));
    uint64_t b = twin_do(t, twin_fresh(twin_absent(STORE_ROWS, "b", "2")));
    uint64_t c = twin_do(t, twin_fresh(twin_absent(STORE_ROWS, "c", "3")));
    twin_do(t, twin_del(STORE_ROWS, "b"));
    cr_assert(store_durable(t->s) == a - 1, "a still waits");
    twin_do(t, twin_del(STORE_ROWS, "a"));
    cr_assert(store_durable(t->s) == b, "a and b are cancelled, c waits");
    twin_reopen(t);
    IS(twin_list(t, STORE_ROWS, "", "", 9), "c=3");
    (void)c;
}

BOTH(without_the_promise_the_deletion_is_written)
{
    twin_do(t, twin_put(STORE_ROWS, "a", "old"));
    twin_sync(t);
    uint64_t put = twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "a", "new")));
    uint64_t del = twin_do(t, twin_del(STORE_ROWS, "a"));
    cr_assert(store_durable(t->s) == put, "the put is cancelled, the deletion (%llu) waits",
              (unsigned long long)del);
    IS(twin_get(t, STORE_ROWS, "a"), "-");
    twin_reopen(t);
    IS(twin_get(t, STORE_ROWS, "a"), "-");
}

BOTH(a_deletion_after_the_put_is_durable)
{
    twin_do(t, twin_fresh(twin_absent(STORE_ROWS, "a", "1")));
    twin_sync(t);
    twin_do(t, twin_lazy(twin_del(STORE_ROWS, "a")));
    IS(twin_get(t, STORE_ROWS, "a"), "-");
    twin_reopen(t);
    IS(twin_get(t, STORE_ROWS, "a"), "-");
}

BOTH(a_put_between_two_deletions)
{
    twin_do(t, twin_put(STORE_ROWS, "a", "old"));
    twin_sync(t);
    uint64_t del = twin_do(t, twin_lazy(twin_del(STORE_ROWS, "a")));
    twin_do(t, twin_fresh(twin_put(STORE_ROWS, "a", "new")));
    IS(twin_get(t, STORE_ROWS, "a"), "new");
    twin_do(t, twin_del(STORE_ROWS, "a"));
    cr_assert(store_durable(t->s) == del - 1, "the first deletion still has to be written");
    IS(twin_get(t, STORE_ROWS, "a"), "-");
    twin_reopen(t);
    IS(twin_get(t, STORE_ROWS, "a"), "-");
}

BOTH(puts_on_one_key_merge_and_keep_the_oldest_ticket)
{
    uint64_t first = twin_do(t, twin_lazy(twin_put(STORE_META, "n", "1")));
    twin_do(t, twin_lazy(twin_put(STORE_META, "n", "22")));
    twin_do(t, twin_lazy(twin_put(STORE_META, "n", "333")));
    cr_assert(store_durable(t->s) == first - 1,
              "the first is not durable while its successor waits");
    twin_sync(t);
    struct store_stats f = figures(t);
    cr_assert(f.puts_written == 1 && f.merged == 2, "one write: %llu, %llu merged",
              (unsigned long long)f.puts_written, (unsigned long long)f.merged);
    IS(twin_get(t, STORE_META, "n"), "333");
}

BOTH(a_fresh_put_stays_fresh_when_it_is_replaced)
{
    twin_do(t, twin_fresh(twin_put(STORE_ROWS, "a", "1")));
    twin_do(t, twin_lazy(twin_put(STORE_ROWS, "a", "2")));
    uint64_t del = twin_do(t, twin_del(STORE_ROWS, "a"));
    cr_assert(store_durable(t->s) == del, "all three are done");
    twin_sync(t);
    cr_assert(figures(t).commits == 0, "and nothing was written");
}

BOTH(one_key_many_times_in_a_unit)
{
    struct store_write w[] = {
        twin_put(STORE_ROWS, "a", "1"),    twin_del(STORE_ROWS, "a"),
        twin_absent(STORE_ROWS, "a", "2"), twin_put(STORE_ROWS, "b", "1"),
        twin_put(STORE_ROWS, "c", "1"),    twin_del(STORE_ROWS, "c"),
    };
    cr_assert(store_submit(t->s, w, PEAL_COUNT(w), NULL) == 0, "a unit");
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=2 b=1");
    twin_reopen(t);
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=2 b=1");
}

/* ---- scanning ---- */

BOTH(scans_merge_what_waits_with_what_is_durable)
{
    const char *const durable[] = {"a", "b", "bb", "d", "e"};
    for (size_t i = 0; i < PEAL_COUNT(durable); i++)
        twin_do(t, twin_put(STORE_ROWS, durable[i], "old"));
    twin_sync(t);
    twin_do(t, twin_lazy(twin_put(STORE_ROWS, "b", "new")));
    twin_do(t, twin_lazy(twin_put(STORE_ROWS, "c", "new")));
    twin_do(t, twin_lazy(twin_del(STORE_ROWS, "d")));
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "e", "new")));
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "f", "new")));
    twin_do(t, twin_lazy(twin_put(STORE_META, "b", "elsewhere")));
    IS(twin_list(t, STORE_ROWS, "", "", 99), "a=old b=new bb=old c=new e=old f=new");
    IS(twin_list(t, STORE_ROWS, "b", "", 99), "b=new bb=old c=new e=old f=new");
    IS(twin_list(t, STORE_ROWS, "ba", "f", 99), "bb=old c=new e=old");
    IS(twin_list(t, STORE_ROWS, "", "b", 99), "a=old");
    IS(twin_list(t, STORE_ROWS, "b", "b", 99), "");
    IS(twin_list(t, STORE_ROWS, "", "", 2), "a=old b=new");
    IS(twin_list(t, STORE_ROWS, "", "", 0), "");
    IS(twin_list(t, STORE_ROWS, "g", "", 99), "");
    cr_assert(twin_count(t, STORE_ROWS, "", "") == 6, "six keys");
    cr_assert(twin_count(t, STORE_ROWS, "b", "c") == 2, "two keys from b to c");
    cr_assert(twin_count(t, STORE_REGISTERS, "", "") == 0, "an empty space");
    twin_reopen(t);
    IS(twin_list(t, STORE_ROWS, "", "", 99), "a=old b=new bb=old c=new e=old f=new");
}

static bool first_only(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    (void)key;
    (void)value;
    ++*(int *)arg;
    return false;
}

BOTH(a_scan_stops_when_told)
{
    twin_do(t, twin_put(STORE_ROWS, "a", "1"));
    twin_do(t, twin_put(STORE_ROWS, "b", "1"));
    int calls = 0;
    struct peal_bytes all = {0};
    int rc = store_scan(t->s, STORE_ROWS, all, all, 99, first_only, &calls);
    cr_assert(rc == 0 && calls == 1, "%d calls, %s", calls, err_name(rc));
}

static bool append_value(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    cr_assert(key.n == 2 && value.n == 1, "a pair is as it was written");
    strncat(arg, (const char *)value.p, 1);
    return true;
}

BOTH(keys_are_bytes)
{
    static const uint8_t keys[][2] = {{0xff, 0xff}, {0x00, 0x01}, {0x80, 0x00}, {0x7f, 0xff}};
    static const char ranks[] = "3021";
    for (size_t i = 0; i < PEAL_COUNT(keys); i++) {
        struct store_write w = {.space = STORE_ROWS,
                                .key = peal_bytes_of(keys[i], 2),
                                .value = peal_bytes_of(&ranks[i], 1)};
        cr_assert(store_submit(t->s, &w, 1, NULL) == 0, "a key of any bytes");
        if (i == 1)
            twin_sync(t);
    }
    for (int round = 0; round < 2; round++) {
        char order[8] = "";
        struct peal_bytes all = {0};
        cr_assert(store_scan(t->s, STORE_ROWS, all, all, 99, append_value, order) == 0, "a scan");
        IS(order, "0123");
        IS(twin_list(t, STORE_ROWS, "\x7f", "\xff", 1), "\x7f\xff=1");
        twin_reopen(t);
    }
}

/* ---- limits and failures ---- */

BOTH(too_much_waiting_is_busy)
{
    t->config.pending_max = 20000;
    twin_replace(t);
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    int rc = 0;
    uint64_t last = 0;
    char key[16];
    for (int i = 0; i < 30 && rc == 0; i++) {
        snprintf(key, sizeof key, "%03d", i);
        struct store_write w = twin_lazy(twin_put(STORE_ROWS, key, value));
        rc = store_submit(t->s, &w, 1, &last);
    }
    cr_assert(rc == PEAL_E_BUSY, "the bound holds: %s", err_name(rc));
    cr_assert(last >= 15 && last < 20, "after %llu", (unsigned long long)last);
    IS(twin_get(t, STORE_ROWS, key), "-");
    cr_assert(store_health(t->s) == 0, "busy is no failure");
    static char large[30000];
    struct store_write w = {.space = STORE_ROWS,
                            .key = peal_bytes_str("large"),
                            .value = peal_bytes_of(large, sizeof large)};
    cr_assert(store_submit(t->s, &w, 1, NULL) == PEAL_E_TOO_LONG, "this would never be taken");
    store_flush(t->s);
    twin_wait_durable(t, last);
    twin_do(t, twin_put(STORE_ROWS, key, value));
    cr_assert(twin_count(t, STORE_ROWS, "", "") == last + 1, "all that had a ticket are there");
}

BOTH(a_full_disk_loses_nothing_and_heals)
{
    static char big[100000];
    memset(big, 'x', sizeof big - 1);
    twin_do(t, twin_put(STORE_META, "before", "1"));
    twin_sync(t);
    uint64_t durable = store_durable(t->s);
    twin_fill(t, true);
    struct store_write unit[] = {twin_put(STORE_ROWS, "a", big), twin_put(STORE_ROWS, "b", "2"),
                                 twin_del(STORE_META, "before")};
    uint64_t ticket;
    cr_assert(store_submit(t->s, unit, 3, &ticket) == 0, "the store does not know yet");
    twin_wait_health(t, PEAL_E_NO_SPACE);
    cr_assert(store_error_text(t->s)[0] != '\0', "it says why");
    struct store_write more = twin_put(STORE_ROWS, "c", "3");
    cr_assert(store_submit(t->s, &more, 1, NULL) == PEAL_E_NO_SPACE, "nothing more is taken");
    cr_assert(store_submit(t->s, NULL, 0, NULL) == PEAL_E_NO_SPACE, "not even an empty unit");
    cr_assert(store_durable(t->s) == durable, "and nothing has become durable");
    IS(twin_get(t, STORE_ROWS, "b"), "2");
    IS(twin_get(t, STORE_ROWS, "c"), "-");
    cr_assert(figures(t).failures > 0, "failures are counted");
    twin_fill(t, false);
    twin_wait_health(t, 0);
    twin_wait_durable(t, ticket);
    twin_do(t, more);
    twin_reopen(t);
    IS(twin_list(t, STORE_ROWS, "b", "", 9), "b=2 c=3");
    IS(twin_get(t, STORE_ROWS, "a"), big);
    IS(twin_get(t, STORE_META, "before"), "-");
}

BOTH(closing_on_a_full_disk_says_so)
{
    static char big[100000];
    memset(big, 'x', sizeof big - 1);
    twin_do(t, twin_put(STORE_META, "kept", "1"));
    twin_sync(t);
    twin_fill(t, true);
    twin_do(t, twin_lazy(twin_put(STORE_ROWS, "a", big)));
    cr_assert(store_close(t->s) == PEAL_E_NO_SPACE, "what could not be written is not passed over");
    t->s = NULL;
}

BOTH(a_damaged_row_is_named_and_can_be_repaired)
{
    twin_do(t, twin_put(STORE_ROWS, "a", "1"));
    twin_do(t, twin_put(STORE_ROWS, "b", "2"));
    twin_do(t, twin_put(STORE_ROWS, "c", "3"));
    twin_sync(t);
    twin_damage(t, STORE_ROWS, "b");
    IS(twin_get(t, STORE_ROWS, "b"), "corrupt");
    cr_assert(strstr(store_error_text(t->s), "62 of rows") != NULL, "the text names the key: %s",
              store_error_text(t->s));
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=1 corrupt");
    cr_assert(peal_bytes_eq(store_corrupt_key(t->s), peal_bytes_str("b")), "the key is given");
    IS(twin_list(t, STORE_ROWS, "b\x01", "", 9), "c=3");
    cr_assert(twin_count(t, STORE_ROWS, "", "") == 3, "the key is still counted");
    cr_assert(store_health(t->s) == 0, "writes go on");
    twin_do(t, twin_lazy(twin_absent(STORE_ROWS, "b", "no")));
    IS(twin_get(t, STORE_ROWS, "b"), "corrupt");
    twin_do(t, twin_lazy(twin_put(STORE_ROWS, "b", "two")));
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=1 b=two c=3");
    twin_reopen(t);
    IS(twin_list(t, STORE_ROWS, "", "", 9), "a=1 b=two c=3");
}

/* ---- random operations against a model ---- */

enum { MODEL_KEYS = 24, MODEL_STEPS = 6000 };

struct model {
    unsigned value[2][MODEL_KEYS]; /* 0: absent */
};

static void model_key(unsigned i, char out[8])
{
    /* of different lengths, some a prefix of others */
    static const char letters[] = "abcdefghijkl";
    snprintf(out, 8, "%.*s", (int)(1 + i % 3), &letters[i / 3]);
}

static struct store_write model_write(struct twin *t, struct model *m, char key[8], char value[16])
{
    static unsigned counter;
    unsigned space = (unsigned)rng_below(&t->rng, 2);
    unsigned i = (unsigned)rng_below(&t->rng, MODEL_KEYS);
    unsigned *now = &m->value[space][i];
    struct store_write w = {.space = space == 0 ? STORE_ROWS : STORE_META};
    model_key(i, key);
    snprintf(value, 16, "%u", ++counter);
    w.key = peal_bytes_str(key);
    w.value = peal_bytes_str(value);
    w.op = (enum store_op)rng_below(&t->rng, 3);
    w.lazy = rng_below(&t->rng, 8) != 0;
    w.fresh = *now == 0;
    if (w.op == STORE_DEL)
        *now = 0;
    else if (w.op == STORE_PUT || *now == 0)
        *now = counter;
    return w;
}

static void model_compare(struct twin *t, const struct model *m)
{
    for (unsigned space = 0; space < 2; space++) {
        enum store_space sp = space == 0 ? STORE_ROWS : STORE_META;
        unsigned count = 0;
        for (unsigned i = 0; i < MODEL_KEYS; i++) {
            char key[8], value[16] = "-";
            model_key(i, key);
            if (m->value[space][i] != 0) {
                snprintf(value, sizeof value, "%u", m->value[space][i]);
                count++;
            }
            IS(twin_get(t, sp, key), value);
            char pair[32];
            snprintf(pair, sizeof pair, "%s=%s", key, value);
            char end[10];
            snprintf(end, sizeof end, "%s\x01", key);
            IS(twin_list(t, sp, key, end, 2), m->value[space][i] != 0 ? pair : "");
        }
        cr_assert(twin_count(t, sp, "", "") == count, "%u keys in space %u", count, space);
    }
}

BOTH(random_operations_agree_with_a_model)
{
    static struct model m;
    memset(&m, 0, sizeof m);
    for (int step = 0; step < MODEL_STEPS; step++) {
        struct store_write w[4];
        char keys[4][8], values[4][16];
        size_t n = (size_t)rng_below(&t->rng, PEAL_COUNT(w) + 1);
        for (size_t i = 0; i < n; i++)
            w[i] = model_write(t, &m, keys[i], values[i]);
        int rc = store_submit(t->s, w, n, NULL);
        cr_assert(rc == 0, "step %d: %s", step, err_name(rc));
        uint64_t what = rng_below(&t->rng, 1000);
        if (what < 30)
            store_flush(t->s);
        else if (what < 60)
            twin_sync(t);
        else if (what < 63)
            twin_reopen(t);
        if (what % 20 == 0)
            model_compare(t, &m);
    }
    twin_reopen(t);
    model_compare(t, &m);
}
