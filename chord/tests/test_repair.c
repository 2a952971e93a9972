/* Repair in the simulator: homes whose disks differ become equal, for a price in proportion to the
 * difference; a ring in which nothing differs says next to nothing. */
#include <criterion/criterion.h>

#include "group.h"
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORM_US = 10 * 1000 * 1000,
    HEAL_US = 120 * 1000 * 1000,
    LOOK_US = 100 * 1000,
    STAMP_BITS = 16, /* of a hybrid logical clock, below its milliseconds */
    BODY = 200,
    ROWS = 20000,
};

static const uint64_t FAR = (uint64_t)1 << 50; /* an expiry that no test lives to see, ms */

static struct group *ring_of(uint64_t seed, size_t nodes, uint32_t rate)
{
    struct sim_config cfg = {
        .seed = seed, .nodes = nodes, .replicas = 2, .join_first = true, .repair_bytes = rate};
    struct group *r = group_new(&cfg);
    group_start_all(r);
    cr_assert(group_wait_whole(r, nodes, nodes, FORM_US), "seed %llu: a ring of %zu",
              (unsigned long long)seed, nodes);
    return r;
}

static void stop_all(struct group *r)
{
    for (size_t i = 0; i < r->cfg.nodes; i++)
        if (sim_running(r->sim, i))
            sim_crash(r->sim, i);
}

/* Starts all again; counting begins. */
static void start_again(struct group *r)
{
    memset(r->sent, 0, sizeof r->sent);
    group_start_all(r);
    cr_assert(group_wait_whole(r, r->cfg.nodes, r->cfg.nodes, FORM_US), "the ring is whole again");
}

static struct wire_row a_row(struct rng *g, uint8_t kind)
{
    static uint8_t body[BODY];
    struct wire_row row = {.kind = kind, .stamp = (uint64_t)1 << STAMP_BITS, .expires = FAR};
    rng_fill(g, row.box.b, ID_BYTES);
    rng_fill(g, row.id.b, MSG_ID_BYTES);
    row.from = peal_bytes_str("alice");
    if (kind != WIRE_ROW_TOMBSTONE)
        row.body = peal_bytes_of(body, sizeof body);
    return row;
}

/* n rows, one in four a tombstone; on the disks of `nodes`, a bit each. */
static void fill(struct group *r, struct rng *g, size_t n, uint64_t nodes)
{
    for (size_t k = 0; k < n; k++) {
        struct wire_row row = a_row(g, k % 4 == 3 ? WIRE_ROW_TOMBSTONE : WIRE_ROW_MESSAGE);
        for (size_t i = 0; i < r->cfg.nodes; i++)
            if ((nodes >> i & 1) != 0)
                group_disk_put(r, i, &row, 1);
    }
}

struct contents {
    uint64_t rows, tombs, sum;
};

static bool count_row(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct contents *x = ctx;
    struct wire_s_row s;
    cr_assert_eq(row_decode(value, &s), 0, "a row can be read");
    bool tomb = s.row.kind == WIRE_ROW_TOMBSTONE;
    x->rows++;
    x->tombs += tomb;
    static const uint8_t name[CRY_SHORT_KEY_BYTES] = {1};
    x->sum += cry_short(name, key) * (tomb ? 3 : 1);
    return true;
}

static struct contents contents_of(struct group *r, size_t node)
{
    struct contents x = {0};
    int err = store_scan(sim_store(r->sim, node), STORE_ROWS, (struct peal_bytes){0},
                         (struct peal_bytes){0}, SIZE_MAX, count_row, &x);
    cr_assert_eq(err, 0, "the disk can be read");
    return x;
}

struct healing {
    struct group *r;
    uint64_t next_us;
};

static bool is_healed(void *arg)
{
    struct healing *h = arg;
    if (sim_now(h->r->sim) < h->next_us)
        return false;
    h->next_us = sim_now(h->r->sim) + LOOK_US;
    struct contents x = contents_of(h->r, 0);
    for (size_t i = 1; i < h->r->cfg.nodes; i++) {
        struct contents y = contents_of(h->r, i);
        if (x.rows != y.rows || x.sum != y.sum)
            return false;
    }
    return true;
}

/* Waits until all disks hold the same rows; the microseconds that took. */
static uint64_t heal(struct group *r, const char *what)
{
    struct healing h = {.r = r};
    uint64_t from = sim_now(r->sim);
    cr_assert(sim_until(r->sim, is_healed, &h, HEAL_US), "%s: the homes became equal", what);
    return sim_now(r->sim) - from;
}

static struct group_sent repair_sent(const struct group *r)
{
    return group_sent(r, WIRE_n_arc_digest, WIRE_n_records);
}

static struct group_sent talk_sent(const struct group *r)
{
    return group_sent(r, WIRE_n_arc_digest, WIRE_n_pull);
}

/* ---- the price ---- */

/* 20,000 records at two homes, of which `differ` are at one of them only. */
static void costs(size_t differ)
{
    struct group *r = ring_of(7, 2, 0);
    struct rng g;
    rng_init(&g, differ);
    stop_all(r);
    fill(r, &g, ROWS - differ, 3);
    fill(r, &g, differ - differ / 2, 1);
    fill(r, &g, differ / 2, 2);
    start_again(r);
    heal(r, "20,000 records");
    struct contents x = contents_of(r, 0);
    cr_assert_eq(x.rows, ROWS, "every row is there");
    cr_assert_eq(x.tombs, (ROWS - differ) / 4 + (differ - differ / 2) / 4 + differ / 2 / 4,
                 "and every tombstone");
    struct group_sent talk = talk_sent(r), all = repair_sent(r);
    uint64_t moved = all.bytes - talk.bytes;
    cr_log_info("%zu of %d: %llu messages, %llu bytes; records in %llu bytes", differ, (int)ROWS,
                (unsigned long long)talk.messages, (unsigned long long)talk.bytes,
                (unsigned long long)moved);
    /* A row's way down is four digests of 330 bytes, shared by those that lie together, and a list
     * of a few dozen items of 60; nothing is fetched twice. */
    cr_assert_leq(talk.bytes, 2000 + 6000 * differ, "what is said grows with the difference");
    cr_assert_leq(talk.bytes, ROWS * 100, "and does not exceed listing everything");
    cr_assert_leq(talk.messages, 10 + 12 * differ, "so do the messages");
    cr_assert_leq(moved, differ * (BODY + 200), "only what was missing moves, once");
    group_free(r);
}

Test(repair, one_difference_in_20000)
{
    costs(1);
}

Test(repair, ten_differences_in_20000)
{
    costs(10);
}

Test(repair, a_thousand_differences_in_20000)
{
    costs(1000);
}

/* One mailbox is one cell, however large: its lists are compared page by page, in turns. */
Test(repair, a_large_mailbox_with_differences_both_ways)
{
    enum { N = 6 * ITEM_MAX };
    struct group *r = ring_of(8, 2, 0);
    struct rng g;
    rng_init(&g, 3);
    stop_all(r);
    struct wire_row row = a_row(&g, WIRE_ROW_MESSAGE);
    size_t missing = 0;
    for (size_t k = 0; k < N; k++) {
        rng_fill(&g, row.id.b, MSG_ID_BYTES);
        size_t at = rng_below(&g, 20); /* 0, 1: at that home only */
        missing += at < 2;
        for (size_t i = 0; i < 2; i++)
            if (at >= 2 || at == i)
                group_disk_put(r, i, &row, 1);
    }
    start_again(r);
    heal(r, "a large mailbox");
    cr_assert_eq(contents_of(r, 0).rows, N, "every row is at both");
    struct group_sent talk = talk_sent(r), all = repair_sent(r);
    cr_assert_leq(talk.bytes, N * 100 + missing * 100, "listed about once: %llu",
                  (unsigned long long)talk.bytes);
    cr_assert_leq(all.bytes - talk.bytes, missing * (BODY + 200), "what was missing moved once");
    group_free(r);
}

/* Nothing is asked about what is at one home only. */
Test(repair, an_empty_disk_is_filled_at_the_price_of_its_rows)
{
    for (size_t empty = 0; empty < 2; empty++) {
        struct group *r = ring_of(9, 2, 0);
        struct rng g;
        rng_init(&g, 5);
        stop_all(r);
        fill(r, &g, ROWS, empty == 0 ? 2 : 1);
        start_again(r);
        uint64_t us = heal(r, "an empty disk");
        struct group_sent talk = talk_sent(r), all = repair_sent(r);
        cr_log_info("%llu ms, %llu bytes said", (unsigned long long)us / 1000,
                    (unsigned long long)talk.bytes);
        cr_assert_leq(talk.bytes, 20000, "hardly anything is said");
        cr_assert_leq(all.bytes, (uint64_t)ROWS * (BODY + 200), "each row moves once");
        group_free(r);
    }
}

Test(repair, three_homes_of_which_one_lost_everything_bring_it_once)
{
    struct group *r = ring_of(11, 3, 200 * 1000); /* it takes seconds: many rounds */
    struct rng g;
    rng_init(&g, 6);
    stop_all(r);
    fill(r, &g, ROWS / 4, 3);
    start_again(r);
    heal(r, "three homes");
    struct group_sent all = repair_sent(r);
    /* one row in four is a tombstone, without a body */
    cr_assert_leq(all.bytes, (uint64_t)ROWS / 4 * (BODY * 3 / 4 + 100) * 5 / 4,
                  "two homes do not both bring all of it: %llu", (unsigned long long)all.bytes);
    group_free(r);
}

/* ---- bandwidth ---- */

Test(repair, its_bandwidth_is_kept)
{
    enum { RATE = 100 * 1000, N = 4000 };
    struct group *r = ring_of(13, 2, RATE);
    struct rng g;
    rng_init(&g, 7);
    stop_all(r);
    fill(r, &g, N, 1);
    start_again(r);
    uint64_t began = sim_now(r->sim), worst = 0;
    struct healing h = {.r = r};
    while (!is_healed(&h)) {
        cr_assert_lt(sim_now(r->sim) - began, HEAL_US, "it heals");
        sim_run(r->sim, 1000 * 1000);
        uint64_t us = sim_now(r->sim) - began, may = RATE * us / 1000000;
        uint64_t sent = repair_sent(r).bytes;
        if (sent > may && sent - may > worst)
            worst = sent - may;
    }
    cr_assert_leq(worst, (uint64_t)BURST_LEAST + 2 * WIRE_PAGE_BYTES,
                  "no more than was saved up, and a page, too early: %llu",
                  (unsigned long long)worst);
    uint64_t least = (repair_sent(r).bytes - BURST_LEAST) / RATE * 1000000;
    cr_assert_geq(sim_now(r->sim) - began + 1000000, least, "it took its time");
    cr_assert_leq(sim_now(r->sim) - began, 2 * least + 10 * 1000 * 1000, "and not much more");
    group_free(r);
}

/* A server that has lost its disk copies; that is bounded apart. */
Test(repair, copying_has_its_own_share)
{
    enum { RATE = 50 * 1000, N = 8000 };
    struct group *r = ring_of(15, 3, RATE);
    struct rng g;
    rng_init(&g, 7);
    stop_all(r);
    fill(r, &g, N, 7);
    sim_wipe(r->sim, 0);
    memset(r->sent, 0, sizeof r->sent);
    group_start_all(r);
    uint64_t began = sim_now(r->sim), worst = 0;
    struct healing h = {.r = r};
    while (!is_healed(&h)) {
        cr_assert_lt(sim_now(r->sim) - began, HEAL_US, "it heals");
        sim_run(r->sim, 200 * 1000);
        uint64_t us = sim_now(r->sim) - began, may = COPY_TIMES * RATE * us / 1000000;
        for (size_t i = 0; i < 3; i++) {
            uint64_t sent = r->sent[i][WIRE_n_copy_page].bytes;
            if (sent > may && sent - may > worst)
                worst = sent - may;
        }
    }
    cr_assert_gt(r->sent[1][WIRE_n_copy_page].bytes, N * BODY / 2, "it copied");
    cr_assert_leq(worst, (uint64_t)BURST_LEAST + 2 * WIRE_PAGE_BYTES,
                  "what was saved up, and a page: %llu", (unsigned long long)worst);
    cr_assert_leq(repair_sent(r).bytes, N * BODY / 4, "and repair did not do the same work");
    group_free(r);
}

/* More than the queues hold: the rest comes later. */
Test(repair, full_queues_lose_nothing)
{
    enum { N = 3 * GIVES_MAX * GIVE_KEYS };
    struct group *r = ring_of(17, 2, 0);
    struct rng g;
    rng_init(&g, 8);
    stop_all(r);
    fill(r, &g, N, 3);
    fill(r, &g, N, 1);
    fill(r, &g, N, 2);
    start_again(r);
    heal(r, "twelve thousand each");
    cr_assert_eq(contents_of(r, 0).rows, 3 * N, "all of them");
    group_free(r);
}

/* ---- quiet ---- */

Test(repair, a_quiet_ring_says_next_to_nothing)
{
    enum { MINUTES = 60 };
    struct group *r = ring_of(19, 5, 0);
    struct rng g;
    rng_init(&g, 9);
    for (size_t k = 0; k < 50; k++) {
        struct peal_id box = group_key(r, (uint32_t)k);
        cr_assert_eq(group_wait(r, group_put(r, k % 5, &box, 100, 2000000), 2000001), 0, "put");
    }
    sim_run(r->sim, HEAL_US);
    memset(r->sent, 0, sizeof r->sent);
    sim_run(r->sim, MINUTES * 60 * (uint64_t)1000000);
    struct group_sent s = repair_sent(r);
    cr_log_info("%llu messages, %llu bytes", (unsigned long long)s.messages,
                (unsigned long long)s.bytes);
    /* five arcs, of each three pairs of homes */
    cr_assert_leq(s.messages, MINUTES * 15 * 2, "about one round a minute");
    cr_assert_geq(s.messages, MINUTES * 15 / 2, "but it does not stop");
    cr_assert_leq(s.bytes, s.messages * 150, "and only the arcs' digests");
    group_free(r);
}

/* A member that comes back ends the quiet. */
Test(repair, what_was_missed_while_away_comes_within_seconds)
{
    struct group *r = ring_of(23, 3, 0);
    sim_run(r->sim, 10 * HEAL_US);
    sim_crash(r->sim, 2);
    sim_run(r->sim, 5 * 1000000);
    for (size_t k = 0; k < 30; k++) {
        struct peal_id box = group_key(r, (uint32_t)k);
        cr_assert_eq(group_wait(r, group_put(r, k % 2, &box, 100, 2000000), 2000001), 0, "put");
    }
    sim_run(r->sim, 10 * HEAL_US);
    sim_start(r->sim, 2);
    uint64_t us = heal(r, "a member that was away");
    cr_assert_leq(us, 10 * 1000000, "within ten seconds, not minutes: %llu us",
                  (unsigned long long)us);
    group_free(r);
}

/* ---- any difference ---- */

static void random_differences(uint64_t seed)
{
    struct rng g;
    rng_init(&g, seed);
    size_t nodes = 2 + rng_below(&g, 2), all = (size_t)1 << nodes;
    struct group *r = ring_of(seed, nodes, rng_below(&g, 4) == 0 ? 60000 : 0);
    stop_all(r);
    fill(r, &g, rng_below(&g, 1500), all - 1);
    for (size_t k = rng_below(&g, 6); k > 0; k--)
        fill(r, &g, rng_below(&g, 1 << rng_below(&g, 9)), 1 + rng_below(&g, all - 1));
    /* rows that are deleted at one home already, and many in one box */
    struct wire_row row = a_row(&g, WIRE_ROW_MESSAGE);
    for (size_t k = rng_below(&g, 200); k > 0; k--) {
        rng_fill(&g, row.id.b, MSG_ID_BYTES);
        for (size_t i = 0; i < nodes; i++) {
            row.kind = rng_below(&g, 3) == 0 ? WIRE_ROW_TOMBSTONE : WIRE_ROW_MESSAGE;
            if (rng_below(&g, 4) > 0)
                group_disk_put(r, i, &row, 1);
        }
    }
    start_again(r);
    char what[32];
    snprintf(what, sizeof what, "seed %llu", (unsigned long long)seed);
    heal(r, what);
    sim_run(r->sim, 2 * HEAL_US);
    struct group_sent before = repair_sent(r);
    sim_run(r->sim, HEAL_US);
    cr_assert_leq(repair_sent(r).messages - before.messages, 3 * nodes * 4,
                  "seed %llu: then it is quiet", (unsigned long long)seed);
    group_free(r);
}

Test(repair, any_difference_heals)
{
    const char *more = getenv("PEAL_SIM_SEEDS"), *one = getenv("PEAL_SIM_SEED");
    uint64_t seeds = more == NULL ? 60 : strtoull(more, NULL, 10);
    if (one != NULL)
        random_differences(strtoull(one, NULL, 10));
    for (uint64_t seed = 1; one == NULL && seed <= seeds; seed++)
        random_differences(seed);
}
