/* Chord's replicated records under every kind of fault: many seeds, each another ring (three to
 * nine servers, none to three copies besides the first), another network and other troubles. */
#include <criterion/criterion.h>

#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITISED 1
#endif
#endif
#ifndef SANITISED
#define SANITISED 0
#endif

enum {
    SEEDS = SANITISED ? 30 : 200, /* ten times slower */
    SOME = 20,                    /* as many as the sums below are made for */
    TROUBLE_US = 15 * 1000 * 1000,
    AFTER_US = 4 * 1000 * 1000,
};

#define MUST(t, what)                                                                              \
    cr_assert(what, "seed %llu: %s%s", (unsigned long long)(t)->seed, (t)->why, again(t))

/* The line that does it again. */
static const char *again(const struct records *t)
{
    static char line[100];
    bool chaos = strncmp(criterion_current_test->name, "chaos", 5) == 0;
    (void)snprintf(line, sizeof line, "\nPEAL_SIM_SEED=%llu test_records --filter 'records/chaos*'",
                   (unsigned long long)t->seed);
    return chaos ? line : "";
}

/* Seeds that once failed; what each was. */
static const uint64_t kept[] = {
    5,   /* a home that was read from before repair came never got the register's newest value */
    65,  /* likewise, in a ring that grows */
    243, /* of the harness: a disk found itself full while it recovered */
};

/* PEAL_SIM_HISTORY=FILE: the history of a seed, for peal-check. */
static void save_history(const struct records *t)
{
    const char *path = getenv("PEAL_SIM_HISTORY");
    FILE *out = path == NULL ? NULL : fopen(path, "w");
    if (out == NULL)
        return;
    history_save(t->history, out);
    fclose(out);
}

static void run_seed(uint64_t seed, bool verbose)
{
    struct rng g;
    rng_init(&g, seed ^ 0x5ec04d5);
    size_t nodes = 3 + rng_below(&g, 7);
    size_t servers = rng_below(&g, 3) == 0 ? 1 + rng_below(&g, nodes) : nodes;
    uint8_t replicas = (uint8_t)rng_below(&g, 4);
    struct records *t = records_new(seed, nodes, servers, replicas, RECORDS_AT_THE_FIRST, verbose);
    MUST(t, t->why[0] == '\0');
    records_trouble(t, TROUBLE_US, RECORDS_ALL, true);
    MUST(t, records_rest(t));
    MUST(t, records_in_place(t));
    bool good = records_judge(t);
    save_history(t);
    MUST(t, good);
    records_delete_some(t, 5);
    records_trouble(t, AFTER_US, RECORDS_ALL, false);
    MUST(t, records_rest(t));
    MUST(t, records_in_place(t));
    MUST(t, records_same(t));
    records_free(t);
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *n = getenv(variable);
    return n == NULL ? otherwise : strtoull(n, NULL, 10);
}

/* PEAL_SIM_SEED=n runs that one and says what happens; PEAL_SIM_SEEDS=n runs so many, from
 * PEAL_SIM_FROM + 1 on. */
static void run_seeds(uint64_t share)
{
    if (getenv("PEAL_SIM_SEED") != NULL) {
        if (number_of("PEAL_SIM_SEED", 0) % 2 == share)
            run_seed(number_of("PEAL_SIM_SEED", 0), true);
        return;
    }
    uint64_t from = number_of("PEAL_SIM_FROM", 0), seeds = number_of("PEAL_SIM_SEEDS", SEEDS);
    for (uint64_t seed = from + 1; seed <= from + seeds; seed++)
        if (seed % 2 == share)
            run_seed(seed, false);
}

Test(records, chaos_even)
{
    run_seeds(0);
}

Test(records, chaos_odd)
{
    run_seeds(1);
}

Test(records, kept_seeds)
{
    for (size_t i = 0; i < PEAL_COUNT(kept); i++)
        run_seed(kept[i], false);
}

Test(records, the_same_seed_gives_the_same_run)
{
    uint64_t digest[3];
    for (size_t i = 0; i < PEAL_COUNT(digest); i++) {
        struct records *t = records_new(i < 2 ? 7 : 8, 5, 5, 2, RECORDS_AT_THE_FIRST, false);
        records_trouble(t, TROUBLE_US, RECORDS_ALL, true);
        digest[i] = sim_digest(t->group->sim);
        records_free(t);
    }
    cr_assert_eq(digest[0], digest[1], "one seed, two runs");
    cr_assert_neq(digest[0], digest[2], "two seeds, one run");
}

/* Else the seeds would prove little. */
Test(records, in_trouble_operations_end_in_every_way)
{
    size_t ended[GROUP_READ + 1][5] = {{0}}, deleted = 0, refused = 0, unknown = 0;
    for (uint64_t seed = 1; seed <= SOME; seed++) {
        struct records *t = records_new(seed, 5, 4, 2, RECORDS_AT_THE_FIRST, false);
        records_trouble(t, TROUBLE_US, RECORDS_ALL, true);
        MUST(t, records_rest(t));
        MUST(t, records_judge(t));
        for (size_t i = 0; i < t->group->ops_n; i++) {
            const struct group_op *o = &t->group->ops[i];
            ended[o->kind][o->err == 0                    ? 0
                           : o->err == PEAL_E_UNKNOWN     ? 1
                           : o->err == PEAL_E_UNAVAILABLE ? 2
                           : o->err == GROUP_RUNNING      ? 3
                                                          : 4]++;
            deleted += o->deleted;
        }
        refused += (size_t)sim_refused(t->group->sim);
        unknown += t->result.unknown;
        records_free(t);
    }
    static const struct {
        enum group_op_kind kind;
        size_t how, at_least; /* of twenty seeds */
        const char *what;
    } must[] = {
        {GROUP_CLAIM, 0, 50, "names taken"},
        {GROUP_CLAIM, 4, 50, "names refused"},
        {GROUP_APPEND, 0, 500, "lists appended to"},
        {GROUP_APPEND, 1, 20, "unknown appends"},
        {GROUP_APPEND, 2, 20, "appends that found no quorum"},
        {GROUP_APPEND, 3, 5, "appends cut short by a crash"},
        {GROUP_GET, 0, 100, "lists read"},
        {GROUP_PUT, 0, 500, "rows stored"},
        {GROUP_PUT, 1, 5, "unknown rows"},
        {GROUP_PUT, 3, 5, "rows cut short by a crash"},
        {GROUP_READ, 0, 100, "boxes read"},
        {GROUP_READ, 2, 5, "boxes that could not be"},
    };
    for (size_t i = 0; i < PEAL_COUNT(must); i++)
        cr_assert_geq(ended[must[i].kind][must[i].how], must[i].at_least * SOME / 20,
                      "of %s only %zu", must[i].what, ended[must[i].kind][must[i].how]);
    cr_assert_gt(deleted, SOME, "rows deleted: %zu", deleted);
    cr_assert_gt(refused, SOME, "updates that full disks refused: %zu", refused);
    cr_assert_gt(unknown, SOME, "registers' operations of unknown outcome: %zu", unknown);
}

/* ---- what is lost for good ---- */

/* After quiescent repair: as many servers as there are copies besides the first, at once. */
Test(records, with_k_disks_lost_at_once_nothing_is_lost)
{
    for (uint64_t seed = 1; seed <= SOME; seed++) {
        uint8_t replicas = (uint8_t)(1 + seed % 3);
        struct records *t =
            records_new(seed, 4 + seed % 4, 4 + seed % 4, replicas, RECORDS_AT_THE_FIRST, false);
        records_trouble(t, TROUBLE_US / 2, RECORDS_ALL, true);
        MUST(t, records_rest(t));
        MUST(t, records_in_place(t));
        MUST(t, records_judge(t));
        records_lose(t, replicas);
        sim_run(t->group->sim, 10 * 1000 * 1000);
        MUST(t, records_survive(t));
        records_free(t);
    }
}

/* The dead one stays in the roster, so that of its copies' other holders a majority is needed
 * still: another one cannot be lost before it is removed. */
Test(records, a_fresh_server_takes_over_from_one_that_is_lost)
{
    for (uint64_t seed = 1; seed <= SOME; seed++) {
        struct records *t = records_new(seed, 6, 5, 2, RECORDS_AT_THE_FIRST, false);
        records_trouble(t, TROUBLE_US / 2, RECORDS_ALL & ~(unsigned)RECORDS_JOIN, true);
        MUST(t, records_rest(t));
        MUST(t, records_in_place(t));
        records_lose(t, 1);
        cr_assert(records_join(t), "one is left to join");
        records_trouble(t, TROUBLE_US / 2, RECORDS_ALL, true);
        MUST(t, records_rest(t));
        MUST(t, records_in_place(t));
        MUST(t, records_judge(t));
        records_free(t);
    }
}

/* One server after the other loses its disk, is taken out, and a fresh one comes, until none of the
 * first ones is left. Writing goes on. */
Test(records, every_server_is_replaced_and_nothing_is_lost)
{
    enum { SERVERS = 4 };
    for (uint64_t seed = 1; seed <= SOME; seed++) {
        struct records *t = records_new(seed, 2 * SERVERS, SERVERS, (uint8_t)(1 + seed % 3),
                                        RECORDS_BY_BEACONS, false);
        MUST(t, t->why[0] == '\0');
        for (size_t i = 0; i < SERVERS; i++) {
            records_trouble(t, TROUBLE_US / 4, RECORDS_CRASH | RECORDS_PAUSE | RECORDS_BREAK, true);
            MUST(t, records_rest(t));
            MUST(t, records_in_place(t));
            records_lose_one(t, i);
            records_trouble(t, TROUBLE_US / 4, 0, true);
            MUST(t, records_remove(t, i));
            cr_assert(records_join(t), "one is left to join");
        }
        MUST(t, records_rest(t));
        MUST(t, records_in_place(t));
        MUST(t, records_judge(t));
        for (size_t i = 0; i < SERVERS; i++)
            cr_assert(t->out[i], "seed %d: the first ones are out", (int)seed);
        records_free(t);
    }
}

Test(records, what_was_deleted_while_a_home_was_away_is_deleted_there_too)
{
    for (uint64_t seed = 1; seed <= SOME; seed++) {
        struct records *t =
            records_new(seed, 4, 4, (uint8_t)(1 + seed % 3), RECORDS_AT_THE_FIRST, false);
        MUST(t, t->why[0] == '\0');
        records_trouble(t, TROUBLE_US / 2, 0, true);
        MUST(t, records_rest(t));
        MUST(t, records_judge(t));
        size_t away = seed % 4;
        sim_crash(t->group->sim, away);
        cr_assert(group_wait_whole(t->group, 4, 3, RECORDS_HEAL_US), "three are left");
        records_delete_some(t, 20);
        sim_start(t->group->sim, away);
        MUST(t, records_rest(t));
        MUST(t, records_in_place(t));
        MUST(t, records_same(t));
        records_trouble(t, AFTER_US, RECORDS_ALL, false);
        MUST(t, records_rest(t));
        MUST(t, records_in_place(t));
        MUST(t, records_same(t));
        records_free(t);
    }
}

/* ---- by hand ---- */

struct seen {
    struct records *t;
    size_t by, node;
};

static bool is_ready(void *arg)
{
    const struct seen *s = arg;
    struct sim *sim = s->t->group->sim;
    struct peal_id id = sim_id(sim, s->node);
    return chord_state(group_chord(s->t->group, s->node)) == CHORD_MEMBER &&
           chord_is_up(group_chord(s->t->group, s->by), &id);
}

/* A server is away while a name is given; when it is back somebody else asks for the name, in vain,
 * before repair has brought it. It has then promised a ballot above the one that it lacks; and
 * where it answers last, nobody notices that it lacks anything. */
static void ask_in_the_meantime(uint64_t seed)
{
    struct records *t = records_new(seed, 3, 3, 2, RECORDS_AT_THE_FIRST, false);
    struct group *r = t->group;
    struct peal_id key = group_key(r, 0);
    MUST(t, t->why[0] == '\0');
    sim_crash(r->sim, 2);
    cr_assert(group_wait_whole(r, 3, 2, RECORDS_HEAL_US), "two are left");
    size_t op = group_begin(r, 0, GROUP_CLAIM, &key, RECORDS_OP_US);
    cr_assert_eq(group_wait(r, op, RECORDS_OP_US), 0, "they are enough to give it");
    sim_start(r->sim, 2);
    struct seen s = {.t = t, .by = 1, .node = 2};
    cr_assert(sim_until(r->sim, is_ready, &s, RECORDS_HEAL_US), "the third is back");
    op = group_begin(r, 1, GROUP_CLAIM, &key, RECORDS_OP_US);
    cr_assert_eq(group_wait(r, op, RECORDS_OP_US), PEAL_E_EXISTS, "it is given");
    MUST(t, records_rest(t));
    MUST(t, records_in_place(t));
    records_free(t);
}

Test(records, a_home_that_was_away_gets_a_name_that_was_asked_for_in_the_meantime)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        ask_in_the_meantime(seed);
}

static uint64_t epoch_of(const struct group *r, size_t node)
{
    static uint8_t mem[64 * 1024];
    struct arena a;
    struct wire_c_ring v;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(r, node), &a, &v);
    return v.epoch;
}

struct later {
    const struct group *r;
    size_t node;
    uint64_t epoch;
};

static bool has_decided(void *arg)
{
    const struct later *l = arg;
    return epoch_of(l->r, l->node) > l->epoch;
}

static bool is_member(void *arg)
{
    const struct later *l = arg;
    return chord_state(group_chord(l->r, l->node)) == CHORD_MEMBER;
}

static bool has_ended(void *arg)
{
    const struct later *l = arg;
    return l->r->ops[l->epoch].err != GROUP_RUNNING;
}

/* Of three homes of a register the last is to make place for a newcomer, and hears nothing of it:
 * while it changes the register it has the second one's promise in the old epoch, and its value
 * arrives there when the newcomer has copied from the other two. If it were taken, a majority of
 * the old homes would have it, and a majority of the new ones would not. */
Test(records, what_arrives_from_an_epoch_that_is_over_is_refused)
{
    enum { FIRST, SECOND, NEWCOMER, LAST, STEP_US = 2000 };
    struct sim_config cfg = {.seed = 1,
                             .nodes = 4,
                             .replicas = 2,
                             .join_first = true,
                             .latency_us = {1000, 1000},
                             .fsync_us = {100, 100}};
    struct group *r = group_new(&cfg);
    struct sim *s = r->sim;
    struct peal_id key = sim_id(s, FIRST); /* homes: it and the next two */
    for (size_t i = 0; i < 4; i++)
        if (i != NEWCOMER)
            sim_start(s, i);
    cr_assert(group_wait_whole(r, 3, 3, RECORDS_FORM_US), "no ring forms");
    struct later decided = {.r = r, .node = FIRST, .epoch = epoch_of(r, FIRST)};
    struct later ready = {.r = r, .node = NEWCOMER};
    sim_start(s, NEWCOMER);
    cr_assert(sim_until(s, has_decided, &decided, RECORDS_FORM_US), "nobody is admitted");
    cr_assert_eq(epoch_of(r, SECOND), decided.epoch, "the second has not heard of it yet");
    sim_cut(s, LAST, FIRST, true);
    sim_cut(s, LAST, NEWCOMER, true);
    sim_cut_way(s, FIRST, SECOND, SIM_HELD);
    struct later op = {.r = r};
    op.epoch = group_begin(r, LAST, GROUP_APPEND, &key, RECORDS_OP_US);
    sim_run(s, STEP_US); /* what it asks arrives, what follows from the answer cannot have */
    sim_cut_way(s, LAST, SECOND, SIM_HELD);
    sim_cut_way(s, FIRST, SECOND, SIM_THROUGH);
    cr_assert(sim_until(s, is_member, &ready, RECORDS_FORM_US), "the newcomer is not ready");
    cr_assert_leq(sim_now(s), r->ops[op.epoch].began_us + 800 * 1000,
                  "the change is begun anew before the newcomer is ready");
    cr_assert_eq(epoch_of(r, LAST), decided.epoch, "the last one has not heard of it");
    sim_cut_way(s, SECOND, LAST, SIM_HELD);
    sim_cut_way(s, LAST, SECOND, SIM_THROUGH);
    sim_run(s, 10 * STEP_US); /* the value arrives, and is answered */
    sim_cut_way(s, SECOND, LAST, SIM_THROUGH);
    (void)sim_until(s, has_ended, &op, RECORDS_OP_US + 1);
    bool acknowledged = r->ops[op.epoch].err == 0;
    sim_crash(s, SECOND);
    sim_crash(s, LAST);
    size_t get = group_begin(r, NEWCOMER, GROUP_GET, &key, RECORDS_OP_US);
    cr_assert_eq(group_wait(r, get, RECORDS_OP_US + 1), 0, "two of the new homes are a majority");
    cr_assert(!acknowledged || r->ops[get].value_n > 0, "an acknowledged change is not there");
    group_free(r);
}
