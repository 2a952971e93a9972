/* The oracle itself: good histories pass, each kind of bad one is found and named. */
#include <criterion/criterion.h>

#include "history.h"

#include <stdlib.h>
#include <string.h>

static struct peal_bytes b(const char *s)
{
    return s == NULL ? (struct peal_bytes){0} : peal_bytes_str(s);
}

static const char KEY[] = "k";

/* ---- short forms ---- */

static size_t begin(struct history *h, uint64_t at, enum history_op op, const char *from,
                    const char *value)
{
    return history_invoke(h, at, "", b(KEY), op, b(from), b(value));
}

static void end(struct history *h, size_t op, uint64_t at, enum history_end how, const char *told)
{
    struct peal_bytes v = b(told);
    history_finish(h, op, at, how, &v);
}

static void quiet(struct history *h, size_t op, uint64_t at, enum history_end how)
{
    history_finish(h, op, at, how, NULL);
}

static void get(struct history *h, uint64_t from, uint64_t to, const char *value)
{
    end(h, begin(h, from, HISTORY_READ, NULL, NULL), to, HISTORY_OK, value);
}

static void set(struct history *h, uint64_t from, uint64_t to, const char *value)
{
    quiet(h, begin(h, from, HISTORY_WRITE, NULL, value), to, HISTORY_OK);
}

static void cas(struct history *h, uint64_t from, uint64_t to, const char *old, const char *value)
{
    quiet(h, begin(h, from, HISTORY_CAS, old, value), to, HISTORY_OK);
}

static void append(struct history *h, uint64_t from, uint64_t to, const char *value,
                   const char *told)
{
    end(h, begin(h, from, HISTORY_APPEND, NULL, value), to, HISTORY_OK, told);
}

/* What the oracle says, and that it says so in words. */
static struct history_result judge(struct history *h)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    cr_assert_not_null(out, "no memory");
    struct history_result r = history_check(h, out);
    fclose(out);
    if (r.verdict == HISTORY_BAD)
        cr_assert_not_null(strstr(text, history_kind_text(r.kind)),
                           "the explanation does not say what is wrong: %s", text);
    else
        cr_assert_eq(n, 0, "nothing is wrong, and yet: %s", text);
    free(text);
    return r;
}

static void good(struct history *h, const char *what)
{
    struct history_result r = judge(h);
    cr_assert_eq(r.verdict, HISTORY_GOOD, "%s: %s", what, history_kind_text(r.kind));
    history_free(h);
}

static void bad(struct history *h, enum history_kind kind, const char *what)
{
    struct history_result r = judge(h);
    cr_assert_eq(r.verdict, HISTORY_BAD, "%s passes", what);
    cr_assert_eq(r.kind, kind, "%s is called: %s", what, history_kind_text(r.kind));
    history_free(h);
}

/* ---- registers ---- */

Test(history, what_happened_one_after_the_other_is_good)
{
    struct history *h = history_new();
    get(h, 1, 2, NULL);
    set(h, 3, 4, "a");
    get(h, 5, 6, "a");
    cas(h, 7, 8, "a", "b");
    append(h, 9, 10, "<1>", "b<1>");
    end(h, begin(h, 11, HISTORY_CAS, "a", "c"), 12, HISTORY_REFUSED, "b<1>");
    quiet(h, begin(h, 13, HISTORY_CAS, "a", "c"), 14, HISTORY_REFUSED);
    quiet(h, begin(h, 15, HISTORY_WRITE, NULL, "d"), 16, HISTORY_FAIL);
    quiet(h, begin(h, 15, HISTORY_READ, NULL, NULL), 16, HISTORY_UNKNOWN);
    get(h, 17, 18, "b<1>");
    struct history_result r = judge(h);
    cr_assert_eq(r.ops, 10, "all are counted, not %zu", r.ops);
    cr_assert_eq(r.unknown, 1, "one is unknown, not %zu", r.unknown);
    good(h, "a sequence");
}

Test(history, what_overlaps_may_have_happened_in_any_order)
{
    struct history *h = history_new();
    set(h, 1, 10, "a");
    set(h, 1, 10, "b");
    get(h, 2, 3, NULL);
    get(h, 4, 5, "b");
    get(h, 6, 7, "a");
    get(h, 11, 12, "a");
    good(h, "overlapping writes");
    h = history_new();
    cas(h, 1, 10, "b", "c"); /* begun first, and third */
    cas(h, 2, 10, "a", "b");
    cas(h, 3, 10, NULL, "a");
    good(h, "overlapping changes");
}

Test(history, a_time_that_is_the_same_is_an_overlap)
{
    struct history *h = history_new();
    set(h, 1, 5, "a");
    get(h, 5, 6, NULL);
    good(h, "a read that begins when the write ends");
    h = history_new();
    set(h, 1, 5, "a");
    get(h, 6, 7, NULL);
    bad(h, HISTORY_ORDER, "a read that begins after it");
}

Test(history, a_stale_read_is_found)
{
    struct history *h = history_new();
    set(h, 1, 2, "a");
    set(h, 3, 4, "b");
    get(h, 5, 6, "a");
    bad(h, HISTORY_ORDER, "a stale read");
}

Test(history, time_does_not_go_back_between_reads)
{
    struct history *h = history_new();
    set(h, 1, 2, "a");
    set(h, 3, 20, "b");
    get(h, 4, 5, "b");
    get(h, 6, 7, "a");
    bad(h, HISTORY_ORDER, "new, then old");
}

Test(history, two_that_saw_different_orders_are_found)
{
    struct history *h = history_new();
    set(h, 1, 100, "a");
    set(h, 1, 100, "b");
    get(h, 10, 11, "a");
    get(h, 12, 13, "b");
    get(h, 14, 15, "a");
    bad(h, HISTORY_ORDER, "a, b, a of two writes");
}

Test(history, two_owners_of_a_name_are_found)
{
    struct history *h = history_new();
    cas(h, 1, 10, NULL, "a");
    cas(h, 2, 9, NULL, "b");
    bad(h, HISTORY_TWICE_SET, "two owners");
}

Test(history, a_lost_update_is_found)
{
    struct history *h = history_new();
    append(h, 1, 2, "<1>", "<1>");
    append(h, 3, 10, "<2>", "<1><2>");
    append(h, 3, 10, "<3>", "<1><3>");
    bad(h, HISTORY_TWICE_SET, "two changes of one value");
    h = history_new();
    append(h, 1, 2, "<1>", "<1>");
    append(h, 3, 4, "<2>", "<1>");
    bad(h, HISTORY_LOST, "a change that its own answer lacks");
    h = history_new();
    append(h, 1, 2, "<1>", "<1>");
    cas(h, 3, 4, "<1>", "b");
    get(h, 5, 6, "<1>");
    bad(h, HISTORY_ORDER, "a change that is gone again");
}

Test(history, a_value_from_nowhere_is_found)
{
    struct history *h = history_new();
    set(h, 1, 2, "a");
    get(h, 3, 4, "b");
    bad(h, HISTORY_NOWHERE, "a value from nowhere");
    h = history_new();
    quiet(h, begin(h, 1, HISTORY_WRITE, NULL, "a"), 2, HISTORY_FAIL);
    get(h, 3, 4, "a");
    bad(h, HISTORY_NOWHERE, "what was said not to have happened");
}

Test(history, a_read_before_the_write_is_found)
{
    struct history *h = history_new();
    get(h, 1, 2, "a");
    set(h, 3, 4, "a");
    bad(h, HISTORY_FORESEEN, "a read before the write");
    h = history_new();
    get(h, 1, 6, "a");
    quiet(h, begin(h, 7, HISTORY_WRITE, NULL, "a"), 9, HISTORY_UNKNOWN);
    bad(h, HISTORY_FORESEEN, "a read before the write of unknown outcome");
}

Test(history, a_refusal_of_what_was_there_is_found)
{
    struct history *h = history_new();
    set(h, 1, 2, "a");
    quiet(h, begin(h, 3, HISTORY_CAS, "a", "b"), 4, HISTORY_REFUSED);
    bad(h, HISTORY_ORDER, "it was there");
    h = history_new();
    set(h, 1, 2, "a");
    end(h, begin(h, 3, HISTORY_CAS, "a", "b"), 4, HISTORY_REFUSED, "a");
    bad(h, HISTORY_LOST, "it says so itself");
    h = history_new();
    set(h, 1, 20, "c");
    set(h, 1, 2, "a");
    quiet(h, begin(h, 3, HISTORY_CAS, "a", "b"), 4, HISTORY_REFUSED);
    get(h, 5, 6, "a");
    quiet(h, begin(h, 7, HISTORY_WRITE, NULL, "d"), 8, HISTORY_UNKNOWN);
    bad(h, HISTORY_ORDER, "a, something else, a again, which nobody wrote twice");
}

Test(history, what_is_unknown_may_happen_late_or_never)
{
    struct history *h = history_new();
    quiet(h, begin(h, 1, HISTORY_WRITE, NULL, "a"), 2, HISTORY_UNKNOWN);
    get(h, 3, 4, NULL);
    set(h, 5, 6, "b");
    get(h, 7, 8, "b");
    get(h, 9, 10, "a");
    get(h, 11, 12, "a");
    good(h, "a late write");
    h = history_new();
    quiet(h, begin(h, 1, HISTORY_CAS, NULL, "a"), 2, HISTORY_UNKNOWN);
    cas(h, 3, 4, NULL, "b");
    good(h, "one that never happens");
    h = history_new();
    quiet(h, begin(h, 1, HISTORY_APPEND, NULL, "<1>"), 2, HISTORY_UNKNOWN);
    (void)begin(h, 1, HISTORY_APPEND, NULL, "<4>");
    append(h, 3, 4, "<2>", "<2>");
    append(h, 5, 6, "<3>", "<2><1><3>");
    good(h, "an append between others");
}

Test(history, what_is_unknown_happens_once_at_most_and_not_before_it_began)
{
    struct history *h = history_new();
    quiet(h, begin(h, 1, HISTORY_WRITE, NULL, "a"), 2, HISTORY_UNKNOWN);
    get(h, 3, 4, "a");
    set(h, 5, 6, "b");
    get(h, 7, 8, "a");
    bad(h, HISTORY_ORDER, "twice");
    h = history_new();
    get(h, 1, 2, "a");
    (void)begin(h, 3, HISTORY_WRITE, NULL, "a");
    bad(h, HISTORY_FORESEEN, "before it began");
    h = history_new();
    quiet(h, begin(h, 1, HISTORY_APPEND, NULL, "<1>"), 2, HISTORY_UNKNOWN);
    append(h, 3, 4, "<2>", "<1><2>");
    append(h, 5, 6, "<3>", "<2><1><3>");
    cr_assert_eq(judge(h).verdict, HISTORY_BAD, "an append in two places passes");
    history_free(h);
}

/* Each attempt of a client that retries a change is an operation of its own. */
Test(history, a_retry_after_unknown_may_find_its_own_first_attempt)
{
    struct history *h = history_new();
    quiet(h, begin(h, 1, HISTORY_CAS, NULL, "a"), 2, HISTORY_UNKNOWN);
    end(h, begin(h, 3, HISTORY_CAS, NULL, "a"), 4, HISTORY_REFUSED, "a");
    get(h, 5, 6, "a");
    good(h, "the first attempt has worked");
}

/* A proposer that has to try again finds what its first attempt left, and others behind it. */
Test(history, an_append_may_be_found_in_the_middle_of_what_it_is_told)
{
    struct history *h = history_new();
    append(h, 1, 10, "<1>", "<1><2>");
    append(h, 2, 5, "<2>", "<1><2>");
    good(h, "first, and told last");
    h = history_new();
    append(h, 1, 10, "<1>", "<1><2>");
    append(h, 11, 12, "<2>", "<1><2>");
    cr_assert_eq(judge(h).verdict, HISTORY_BAD, "told of what had not begun");
    history_free(h);
}

Test(history, keys_are_judged_apart)
{
    struct history *h = history_new();
    for (int i = 0; i < 3; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        size_t op = history_invoke(h, 1, "", b(key), HISTORY_CAS, b(NULL), b("a"));
        quiet(h, op, 2, HISTORY_OK);
        op = history_invoke(h, 3, "", b(key), HISTORY_READ, b(NULL), b(NULL));
        end(h, op, 4, HISTORY_OK, i == 1 ? NULL : "a");
    }
    struct history_result r = judge(h);
    cr_assert_eq(r.keys, 3, "three keys, not %zu", r.keys);
    cr_assert_eq(r.faults, 1, "one is wrong, not %zu", r.faults);
    history_free(h);
}

/* ---- histories at random ---- */

enum { VALUES_MAX = 64 };

struct change { /* by place in the play; to 0: none, or its client does not know */
    uint64_t from, to;
};

/* A register that is played: n operations, each of which takes effect at its own instant, in the
 * order of their numbers, and is seen by its client from some time before until some time after. */
static void play(struct history *h, struct rng *g, size_t n, struct change changes[VALUES_MAX])
{
    char values[VALUES_MAX][8] = {""};
    size_t now = 0;
    CHECK(n < VALUES_MAX);
    for (size_t i = 1; i <= n; i++) {
        uint64_t at = 100 * i, from = at - rng_below(g, 250) % at, to = at + rng_below(g, 250);
        snprintf(values[i], sizeof values[i], "v%zu", i);
        bool sure = rng_below(g, 8) != 0;
        size_t kind = rng_below(g, 4), op;
        if (kind == 0) {
            op = begin(h, from, HISTORY_READ, NULL, NULL);
            end(h, op, to, HISTORY_OK, values[now]);
            continue;
        }
        if (kind == 1)
            op = begin(h, from, HISTORY_WRITE, NULL, values[i]);
        else
            op = begin(h, from, HISTORY_CAS, kind == 2 ? values[now] : "another", values[i]);
        if (!sure)
            quiet(h, op, to, HISTORY_UNKNOWN);
        else if (kind == 3)
            end(h, op, to, HISTORY_REFUSED, values[now]);
        else
            quiet(h, op, to, HISTORY_OK);
        if (kind == 3)
            continue;
        now = i;
        changes[i] = (struct change){.from = from, .to = sure ? to : 0};
    }
}

Test(history, what_was_played_on_a_register_is_always_good)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng g;
        struct change changes[VALUES_MAX] = {0};
        struct history *h = history_new();
        rng_init(&g, seed);
        play(h, &g, 3 + rng_below(&g, 40), changes);
        struct history_result r = judge(h);
        cr_assert_eq(r.verdict, HISTORY_GOOD, "seed %d: %s", (int)seed, history_kind_text(r.kind));
        history_free(h);
    }
}

/* At the end somebody reads what a change had replaced that began after it was over. */
Test(history, what_was_played_and_spoilt_is_always_bad)
{
    size_t spoilt = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct rng g;
        struct change c[VALUES_MAX] = {0};
        struct history *h = history_new();
        size_t old = 0, n;
        rng_init(&g, seed);
        n = 10 + rng_below(&g, 40);
        play(h, &g, n, c);
        for (size_t i = 1; i <= n; i++)
            for (size_t k = i + 1; k <= n; k++)
                if (c[i].to != 0 && c[k].to != 0 && c[i].to < c[k].from && rng_below(&g, 3) == 0)
                    old = i;
        if (old > 0) {
            char value[24];
            snprintf(value, sizeof value, "v%zu", old);
            get(h, 100000, 100001, value);
            struct history_result r = judge(h);
            cr_assert_eq(r.verdict, HISTORY_BAD, "seed %d: it passes", (int)seed);
            cr_assert_eq(r.kind, HISTORY_ORDER, "seed %d: it is called %s", (int)seed,
                         history_kind_text(r.kind));
            spoilt++;
        }
        history_free(h);
    }
    cr_assert_gt(spoilt, 500, "%zu of 1000 could be spoilt", spoilt);
}

/* The other way round: a small history is good exactly when trying all orders finds one. */
struct tiny {
    size_t n;
    struct {
        enum history_op op;
        uint64_t from, to; /* to: UINT64_MAX for unknown */
        char need, value;  /* 0: null */
    } at[7];
};

static bool any_order(const struct tiny *t, unsigned placed, char state)
{
    bool all = true;
    for (size_t i = 0; i < t->n; i++)
        all = all && ((placed >> i & 1) != 0 || t->at[i].to == UINT64_MAX);
    if (all)
        return true;
    for (size_t i = 0; i < t->n; i++) {
        bool first = (placed >> i & 1) == 0;
        for (size_t k = 0; k < t->n; k++)
            first = first && ((placed >> k & 1) != 0 || t->at[k].to >= t->at[i].from);
        if (!first || (t->at[i].op != HISTORY_WRITE && t->at[i].need != state))
            continue;
        char next = t->at[i].op == HISTORY_READ ? state : t->at[i].value;
        if (any_order(t, placed | 1u << i, next))
            return true;
    }
    return false;
}

static struct history *history_of(const struct tiny *t)
{
    struct history *h = history_new();
    for (size_t i = 0; i < t->n; i++) {
        char need[2] = {t->at[i].need}, value[2] = {t->at[i].value};
        bool read = t->at[i].op == HISTORY_READ, is_cas = t->at[i].op == HISTORY_CAS;
        size_t op = begin(h, t->at[i].from, t->at[i].op, is_cas ? need : NULL, read ? NULL : value);
        if (t->at[i].to == UINT64_MAX)
            continue;
        if (read)
            end(h, op, t->at[i].to, HISTORY_OK, need);
        else
            quiet(h, op, t->at[i].to, HISTORY_OK);
    }
    return h;
}

Test(history, the_search_agrees_with_trying_all_orders)
{
    static const char values[] = {0, 'a', 'b', 'c'}; /* few, so that they are written twice */
    size_t verdicts[2] = {0};
    for (uint64_t seed = 1; seed <= 40000; seed++) {
        struct rng g;
        struct tiny t = {0};
        rng_init(&g, seed);
        t.n = 2 + rng_below(&g, PEAL_COUNT(t.at) - 1);
        for (size_t i = 0; i < t.n; i++) {
            t.at[i].op = (enum history_op)rng_below(&g, 3);
            t.at[i].from = rng_below(&g, 30);
            t.at[i].to = t.at[i].from + rng_below(&g, 12);
            if (t.at[i].op != HISTORY_READ && rng_below(&g, 4) == 0)
                t.at[i].to = UINT64_MAX;
            t.at[i].need = values[rng_below(&g, 4)];
            t.at[i].value = values[1 + rng_below(&g, 3)];
        }
        struct history *h = history_of(&t);
        bool is_good = any_order(&t, 0, 0);
        struct history_result r = judge(h);
        cr_assert_eq(r.verdict, is_good ? HISTORY_GOOD : HISTORY_BAD,
                     "seed %d: it %s an order, and the oracle says: %s", (int)seed,
                     is_good ? "has" : "has not", history_kind_text(r.kind));
        verdicts[is_good]++;
        history_free(h);
    }
    cr_assert(verdicts[0] > 4000 && verdicts[1] > 4000, "%zu bad and %zu good ones prove little",
              verdicts[0], verdicts[1]);
}

Test(history, a_long_history_with_many_unknowns_is_decided)
{
    struct history *h = history_new();
    struct rng g;
    char value[2048] = "";
    rng_init(&g, 5);
    for (size_t i = 0; i < 300; i++) {
        char mine[16], told[2048];
        snprintf(mine, sizeof mine, "<%zu>", i);
        uint64_t at = 100 * i, from = at - rng_below(&g, 1000) % (at + 1);
        uint64_t to = at + rng_below(&g, 1000);
        size_t op = begin(h, from, i % 3 == 0 ? HISTORY_READ : HISTORY_APPEND, NULL,
                          i % 3 == 0 ? NULL : mine);
        bool lost = i % 3 == 1 && rng_below(&g, 2) == 0;
        if (i % 3 != 0 && !lost)
            strcat(value, mine);
        memcpy(told, value, sizeof told);
        if (i % 3 != 0 && (lost || rng_below(&g, 3) == 0))
            quiet(h, op, to, HISTORY_UNKNOWN);
        else
            end(h, op, to, HISTORY_OK, told);
    }
    cr_assert_eq(judge(h).verdict, HISTORY_GOOD, "it is good");
    get(h, 40000, 40001, "<1>");
    bad(h, HISTORY_ORDER, "with a stale read at its end");
}

Test(history, what_is_too_much_is_not_said_to_be_good)
{
    struct history *h = history_new();
    for (int i = 0; i < 40; i++) {
        char v[16];
        snprintf(v, sizeof v, "%d", i);
        set(h, 1, 1000, v);
    }
    get(h, 1001, 1002, "0");
    get(h, 1001, 1002, "1");
    cr_assert_eq(history_check(h, NULL).verdict, HISTORY_UNDECIDED,
                 "each of 40 writes may have been last, and two of them cannot");
    history_free(h);
}

/* ---- messages ---- */

static void say(struct history *h, uint64_t at, enum history_event e)
{
    bool named = e == HISTORY_SENT || e == HISTORY_DELIVERED || e == HISTORY_SHOWN;
    history_message(h, at, e, b("m"), e == HISTORY_SENT ? "alice" : NULL, named ? "bob" : NULL);
}

static struct history *told(const enum history_event *e, size_t n)
{
    struct history *h = history_new();
    for (size_t i = 0; i < n; i++)
        say(h, 10 * (i + 1), e[i]);
    return h;
}

#define TOLD(...)                                                                                  \
    told((const enum history_event[]){__VA_ARGS__},                                                \
         sizeof((const enum history_event[]){__VA_ARGS__}) / sizeof(enum history_event))

Test(history, messages_that_are_shown_once_are_good)
{
    good(TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_DELIVERED, HISTORY_SHOWN, HISTORY_DELETED),
         "a message's life");
    good(TOLD(HISTORY_SENT, HISTORY_NO_ANSWER), "one of which nothing was heard");
    good(TOLD(HISTORY_SENT, HISTORY_NO_ANSWER, HISTORY_SHOWN), "shown, and not known to be stored");
    good(TOLD(HISTORY_SENT, HISTORY_SHOWN, HISTORY_STORED), "shown before it was acknowledged");
    good(TOLD(HISTORY_SENT, HISTORY_NOT_STORED), "refused");
    good(TOLD(HISTORY_SENT, HISTORY_NOT_STORED, HISTORY_SENT, HISTORY_STORED, HISTORY_SHOWN),
         "refused, and sent again");
    good(TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_DELETED), "deleted unseen");
    struct history *h = TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_DELIVERED, HISTORY_SHOWN,
                             HISTORY_DELIVERED, HISTORY_DELETED, HISTORY_DELIVERED);
    struct history_result r = judge(h);
    cr_assert_eq(r.duplicates, 2, "two deliveries too many, not %zu", r.duplicates);
    cr_assert(r.stored == 1 && r.shown == 1 && r.messages == 1, "the figures");
    good(h, "delivered three times, shown once");
}

Test(history, each_wrong_of_a_message_is_found)
{
    bad(TOLD(HISTORY_SENT, HISTORY_STORED), HISTORY_M_LOST, "lost");
    bad(TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_DELIVERED), HISTORY_M_LOST, "never shown");
    bad(TOLD(HISTORY_SENT, HISTORY_NO_ANSWER, HISTORY_SENT, HISTORY_STORED), HISTORY_M_LOST,
        "lost after a retry");
    bad(TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_SHOWN, HISTORY_SHOWN), HISTORY_M_TWICE, "twice");
    bad(TOLD(HISTORY_SHOWN), HISTORY_M_INVENTED, "never sent");
    bad(TOLD(HISTORY_DELIVERED, HISTORY_SENT), HISTORY_M_INVENTED, "before it was sent");
    bad(TOLD(HISTORY_STORED), HISTORY_M_INVENTED, "stored, and never sent");
    bad(TOLD(HISTORY_SENT, HISTORY_NOT_STORED, HISTORY_SHOWN), HISTORY_M_GHOST, "refused, shown");
    bad(TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_DELETED, HISTORY_SHOWN), HISTORY_M_RISEN,
        "deleted, shown");
}

Test(history, a_message_is_for_those_it_was_sent_to)
{
    struct history *h = TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_SHOWN);
    history_message(h, 15, HISTORY_SENT, b("m"), "alice", "carol");
    bad(h, HISTORY_M_LOST, "to two, shown to one");
    h = TOLD(HISTORY_SENT, HISTORY_STORED, HISTORY_SHOWN);
    history_message(h, 50, HISTORY_DELIVERED, b("m"), NULL, "carol");
    bad(h, HISTORY_M_STRAY, "to somebody else");
}

/* ---- files ---- */

static int load(struct history *h, const char *text, char why[static HISTORY_WHY_MAX])
{
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    cr_assert_not_null(in, "no memory");
    int err = history_load(h, in, why);
    fclose(in);
    return err;
}

Test(history, a_history_comes_back_from_its_file)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rng g;
        struct history *h = history_new(), *again = history_new();
        char *text = NULL, *text2 = NULL, why[HISTORY_WHY_MAX];
        size_t n = 0, n2 = 0;
        rng_init(&g, seed);
        struct change changes[VALUES_MAX] = {0};
        play(h, &g, 30, changes);
        append(h, 100, 200, "<\"\\\xc3\xa9>", "<\"\\\xc3\xa9>");
        (void)begin(h, 7, HISTORY_READ, NULL, NULL);
        for (int e = HISTORY_SENT; e <= HISTORY_DELETED; e++)
            say(h, 10 + (uint64_t)e, (enum history_event)e);
        FILE *out = open_memstream(&text, &n);
        history_save(h, out);
        fclose(out);
        int err = load(again, text, why);
        cr_assert_eq(err, 0, "seed %d: %s", (int)seed, why);
        struct history_result r = history_check(h, NULL), q = history_check(again, NULL);
        cr_assert(memcmp(&r, &q, sizeof r) == 0, "seed %d: the verdicts differ", (int)seed);
        free(text); /* ids are numbers in the order of the file, so they change once */
        out = open_memstream(&text, &n);
        history_save(again, out);
        fclose(out);
        struct history *third = history_new();
        err = load(third, text, why);
        cr_assert_eq(err, 0, "seed %d: %s", (int)seed, why);
        out = open_memstream(&text2, &n2);
        history_save(third, out);
        fclose(out);
        cr_assert(n == n2 && memcmp(text, text2, n) == 0, "seed %d: it differs when saved again",
                  (int)seed);
        history_free(third);
        free(text);
        free(text2);
        history_free(h);
        history_free(again);
    }
}

Test(history, a_file_not_of_its_form_is_refused_with_the_line)
{
    static const char *const lines[] = {
        "no json",
        "[]",
        "{\"event\":\"ok\",\"id\":\"1\"}",
        "{\"at_us\":-1,\"event\":\"ok\",\"id\":\"1\"}",
        "{\"at_us\":1.5,\"event\":\"ok\",\"id\":\"1\"}",
        "{\"at_us\":1,\"event\":\"ok\"}",
        "{\"at_us\":1,\"event\":\"ok\",\"id\":\"1\"}",
        "{\"at_us\":1,\"event\":\"what\",\"id\":\"1\"}",
        "{\"at_us\":1,\"event\":\"what\",\"message\":\"1\"}",
        "{\"at_us\":1,\"event\":\"sent\",\"message\":\"1\",\"from\":\"a\"}",
        "{\"at_us\":1,\"event\":\"shown\",\"message\":\"1\"}",
        "{\"at_us\":1,\"event\":\"stored\",\"message\":\"1\",\"to\":\"a\"}",
        "{\"at_us\":1,\"event\":\"stored\",\"message\":\"1\",\"message\":\"2\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"op\":\"read\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"steal\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"write\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"cas\",\"value\":"
        "\"v\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"read\",\"value\":"
        "\"v\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"append\",\"value\":"
        "null}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":7,\"op\":\"read\"}",
        "{\"at_us\":1,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"read\"}\n"
        "{\"at_us\":2,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"read\"}",
        "{\"at_us\":5,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"read\"}\n"
        "{\"at_us\":4,\"event\":\"ok\",\"id\":\"1\",\"value\":null}",
        "{\"at_us\":5,\"event\":\"invoke\",\"id\":\"1\",\"key\":\"k\",\"op\":\"read\"}\n"
        "{\"at_us\":6,\"event\":\"unknown\",\"id\":\"1\"}\n"
        "{\"at_us\":7,\"event\":\"ok\",\"id\":\"1\",\"value\":null}",
        "",
    };
    for (size_t i = 0; i < PEAL_COUNT(lines); i++) {
        char why[HISTORY_WHY_MAX], text[512];
        struct history *h = history_new();
        snprintf(text, sizeof text, "%s\n", lines[i]);
        int err = load(h, text, why);
        cr_assert_eq(err, PEAL_E_MALFORMED, "it is taken: %s", lines[i]);
        cr_assert(strncmp(why, "line ", 5) == 0, "no line is named: %s", why);
        history_free(h);
    }
}
