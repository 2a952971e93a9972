/* Registers on several servers: how many round trips an operation takes, what makes a proposer ask
 * again, who wins when many want to write, and what is said when time is up. */
#include <criterion/criterion.h>

#include "group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES = 5,
    SEC = 1000 * 1000,
    FORM_US = 10 * SEC,
    OP_US = 5 * SEC,
    ROUND = 6, /* messages of a round with three homes: a question and an answer each … */
};

static struct group *form(uint64_t seed, size_t nodes, uint32_t ops_max)
{
    struct sim_config cfg = {
        .seed = seed, .nodes = nodes, .replicas = 2, .discovery = true, .ops_max = ops_max};
    struct group *r = group_new(&cfg);
    group_start_all(r);
    cr_assert(group_wait_whole(r, nodes, nodes, FORM_US), "seed %d: %zu servers form a ring",
              (int)seed, nodes);
    sim_run(r->sim, SEC);
    return r;
}

static int run(struct group *r, size_t node, enum group_op_kind kind, const struct peal_id *key)
{
    size_t op = group_begin(r, node, kind, key, OP_US);
    cr_assert_neq(op, SIZE_MAX, "node %zu is busy", node);
    return group_wait(r, op, OP_US + 1);
}

static const struct group_op *last_op(const struct group *r)
{
    return &r->ops[r->ops_n - 1];
}

/* What was sent for registers. */
struct count {
    uint64_t prepare, promise, accept, accepted;
};

static struct count counted(const struct group *r)
{
    return (struct count){.prepare = sim_messages(r->sim, WIRE_n_reg_prepare),
                          .promise = sim_messages(r->sim, WIRE_n_reg_promise),
                          .accept = sim_messages(r->sim, WIRE_n_reg_accept),
                          .accepted = sim_messages(r->sim, WIRE_n_reg_accepted)};
}

static struct chord_reg_stats stats(const struct group *r, size_t node)
{
    struct chord_reg_stats s;
    chord_reg_stats(group_chord(r, node), &s);
    return s;
}

/* … but that a home asks itself without one. */
static uint64_t messages(const struct group *r, size_t node, const struct peal_id *key, uint64_t of)
{
    return of == 0 ? 0 : of - chord_is_home(group_chord(r, node), key);
}

/* Runs one operation; asking and writing: the messages of each kind that it cost. */
static void costs(struct group *r, size_t node, enum group_op_kind kind, const struct peal_id *key,
                  uint64_t asking, uint64_t writing, const char *what)
{
    struct count before = counted(r);
    cr_assert_eq(run(r, node, kind, key), 0, "%s: done", what);
    sim_run(r->sim, SEC); /* the last of the answers */
    struct count now = counted(r);
    asking = messages(r, node, key, asking);
    writing = messages(r, node, key, writing);
    cr_assert_eq(now.prepare - before.prepare + now.promise - before.promise, asking,
                 "%s: %d messages to ask", what,
                 (int)(now.prepare - before.prepare + now.promise - before.promise));
    cr_assert_eq(now.accept - before.accept + now.accepted - before.accepted, writing,
                 "%s: %d messages to write", what,
                 (int)(now.accept - before.accept + now.accepted - before.accepted));
}

Test(registers, a_server_that_goes_on_needs_one_round_trip)
{
    struct group *r = form(1, NODES, 0);
    for (size_t node = 0; node < NODES; node++) { /* as a home and as none */
        struct peal_id key = group_key(r, (uint32_t)node), own = group_key(r, 100 + (uint32_t)node);
        size_t other = (node + 1) % NODES;
        costs(r, node, GROUP_APPEND, &key, ROUND, ROUND, "the first change asks and writes");
        for (size_t i = 0; i < 3; i++)
            costs(r, node, GROUP_APPEND, &key, 0, ROUND, "the next one writes");
        costs(r, node, GROUP_GET, &key, ROUND, 0, "a read looks");
        costs(r, other, GROUP_GET, &key, ROUND, 0, "and so does one elsewhere");
        costs(r, node, GROUP_LEAVE, &key, ROUND, 0, "a change that leaves it looks as well");
        costs(r, node, GROUP_APPEND, &key, 0, ROUND, "none of that has taken anything away");
        costs(r, other, GROUP_GET, &key, ROUND, 0, "a look shows how far the others have counted");
        costs(r, other, GROUP_LEAVE, &key, ROUND, 0, "a change that leaves it, elsewhere, asks");
        costs(r, other, GROUP_APPEND, &key, 0, ROUND, "and was promised that it may write");
        cr_assert_eq(last_op(r)->value_n, 6 * 4, "all six are there");
        costs(r, node, GROUP_LEAVE, &own, ROUND, 0, "nor need there be anything yet");
        costs(r, node, GROUP_APPEND, &own, 0, ROUND, "to be promised");
    }
    group_free(r);
}

/* Whoever wrote before learns it by a refusal at the latest, and nothing is lost. */
Test(registers, what_another_server_wrote_in_between_is_not_overlooked)
{
    struct group *r = form(2, NODES, 0);
    for (uint32_t k = 0; k < 20; k++) {
        struct peal_id key = group_key(r, k);
        for (size_t i = 0; i < 4 * NODES; i++) {
            size_t node = rng_below(sim_rng(r->sim), NODES);
            cr_assert_eq(run(r, node, GROUP_APPEND, &key), 0, "change %zu of %u", i, k);
            cr_assert_eq(last_op(r)->value_n, 4 * (i + 1), "key %u: %zu changes, %zu bytes", k,
                         i + 1, last_op(r)->value_n);
            size_t reader = rng_below(sim_rng(r->sim), NODES);
            cr_assert_eq(run(r, reader, GROUP_GET, &key), 0, "read %zu of %u", i, k);
            cr_assert_eq(last_op(r)->value_n, 4 * (i + 1), "key %u: read at %zu", k, reader);
            reader = rng_below(sim_rng(r->sim), NODES);
            cr_assert_eq(run(r, reader, GROUP_LEAVE, &key), 0, "left %zu of %u", i, k);
            cr_assert_eq(last_op(r)->value_n, 4 * (i + 1), "key %u: left at %zu", k, reader);
        }
    }
    uint64_t kept = 0, again = 0;
    for (size_t i = 0; i < NODES; i++) {
        kept += stats(r, i).kept;
        again += stats(r, i).again;
    }
    cr_assert_gt(kept, 20, "some went on without asking, %d", (int)kept);
    cr_assert_gt(again, 20, "some were too late for that, %d", (int)again);
    group_free(r);
}

Test(registers, a_new_epoch_makes_everyone_ask_again)
{
    struct sim_config cfg = {.seed = 3, .nodes = NODES + 1, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    struct peal_id key = group_key(r, 1);
    for (size_t i = 0; i < NODES; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, NODES, NODES, FORM_US), "a ring");
    costs(r, 0, GROUP_APPEND, &key, ROUND, ROUND, "written");
    sim_start(r->sim, NODES);
    cr_assert(group_wait_whole(r, NODES + 1, NODES + 1, FORM_US), "of one more");
    costs(r, 0, GROUP_APPEND, &key, ROUND, ROUND, "what was promised was of the old epoch");
    costs(r, 0, GROUP_APPEND, &key, 0, ROUND, "what is promised now is of this one");
    cr_assert_eq(last_op(r)->value_n, 12, "all three are there");
    group_free(r);
}

/* A promise that was named with an acceptance outlives the power of all; the proposer's memory of
 * it does not. */
Test(registers, a_restart_forgets_what_may_be_written_and_not_what_was_promised)
{
    struct group *r = form(4, NODES, 0);
    struct peal_id key = group_key(r, 1);
    costs(r, 0, GROUP_APPEND, &key, ROUND, ROUND, "written");
    costs(r, 0, GROUP_APPEND, &key, 0, ROUND, "written again");
    for (size_t i = 0; i < NODES; i++)
        sim_crash(r->sim, i);
    group_start_all(r);
    cr_assert(group_wait_whole(r, NODES, NODES, 2 * FORM_US), "all are back");
    struct count before = counted(r);
    cr_assert_eq(run(r, 0, GROUP_APPEND, &key), 0, "written after that");
    cr_assert_eq(last_op(r)->value_n, 12, "on what was there");
    cr_assert_gt(counted(r).prepare, before.prepare, "it asked");
    cr_assert_geq(stats(r, 0).prepares, 2, "and was refused what it had been promised before");
    group_free(r);
}

/* ---- many who want to write ---- */

struct hammer {
    size_t op[NODES];
    uint32_t done[NODES];
};

/* Every server changes one register again and again, each as soon as its last change is done. */
static uint32_t hammer(uint64_t seed, size_t nodes, uint64_t us, uint32_t *tries)
{
    struct group *r = form(seed, nodes, 0);
    struct peal_id key = group_key(r, 1);
    struct hammer h = {0};
    uint32_t sum = 0;
    uint64_t end = sim_now(r->sim) + us;
    for (size_t i = 0; i < nodes; i++)
        h.op[i] = group_begin(r, i, GROUP_TALLY, &key, OP_US);
    for (size_t busy = nodes; busy > 0;) {
        sim_run(r->sim, 500);
        for (size_t i = 0; i < nodes; i++) {
            if (h.op[i] == SIZE_MAX || r->ops[h.op[i]].err == GROUP_RUNNING)
                continue;
            cr_assert_eq(r->ops[h.op[i]].err, 0, "seed %d: change %u at %zu: %s", (int)seed,
                         h.done[i], i, err_name(r->ops[h.op[i]].err));
            h.done[i]++;
            h.op[i] = SIZE_MAX;
            if (sim_now(r->sim) < end)
                h.op[i] = group_begin(r, i, GROUP_TALLY, &key, OP_US);
            busy -= h.op[i] == SIZE_MAX;
        }
    }
    cr_assert_eq(run(r, 0, GROUP_GET, &key), 0, "seed %d: read", (int)seed);
    for (size_t i = 0; i < nodes; i++) {
        cr_assert_eq(group_tally(last_op(r), i), h.done[i], "seed %d: node %zu counts", (int)seed,
                     i);
        cr_assert_gt(h.done[i], 0, "seed %d: node %zu never wrote", (int)seed, i);
        sum += h.done[i];
        if (stats(r, i).tries_most > *tries)
            *tries = stats(r, i).tries_most;
    }
    group_free(r);
    return sum;
}

static uint64_t seeds_or(uint64_t normal)
{
    const char *more = getenv("PEAL_SIM_SEEDS");
    return more == NULL ? normal : strtoull(more, NULL, 10);
}

enum { TRIES_MOST = 25, HAMMER_US = 60 * SEC };

static void hammer_all(size_t nodes)
{
    uint64_t seeds = seeds_or(10), sum = 0;
    uint32_t tries = 0, least = UINT32_MAX;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint32_t n = hammer(seed, nodes, HAMMER_US, &tries);
        sum += n;
        least = n < least ? n : least;
    }
    cr_assert_leq(tries, TRIES_MOST, "%u tries for one change", tries);
    if (getenv("PEAL_SIM_SAY") != NULL)
        fprintf(stderr, "%zu servers: %u tries at most, %.0f changes a minute, %u at least\n",
                nodes, tries, (double)sum / (double)seeds, least);
}

Test(registers, two_servers_that_want_to_write_both_do)
{
    hammer_all(2);
}

Test(registers, three_servers_that_want_to_write_all_do)
{
    hammer_all(3);
}

Test(registers, five_servers_that_want_to_write_all_do)
{
    hammer_all(5);
}

/* ---- many at once at one server ---- */

enum { STORM = 3000, STORM_ONE = 500, STORM_MAX = 4096 };

/* More than can be asked for at one time wait for each other, and none is refused; those of one key
 * are done in the order in which they came. */
Test(registers, a_storm_waits_in_line)
{
    struct group *r = form(5, NODES, STORM_MAX);
    struct peal_id one = group_key(r, STORM);
    size_t first = r->ops_n;
    for (uint32_t k = 0; k < STORM; k++) {
        struct peal_id key = group_key(r, k);
        cr_assert_neq(group_begin(r, 1, GROUP_CLAIM, &key, OP_US), SIZE_MAX, "%u begins", k);
    }
    size_t then = r->ops_n;
    for (size_t i = 0; i < STORM_ONE; i++)
        cr_assert_neq(group_begin(r, 1, GROUP_APPEND, &one, OP_US), SIZE_MAX, "%zu begins", i);
    for (size_t i = STORM + STORM_ONE; i < STORM_MAX; i++) {
        struct peal_id key = group_key(r, (uint32_t)i);
        cr_assert_neq(group_begin(r, 1, GROUP_GET, &key, OP_US), SIZE_MAX, "%zu begins", i);
    }
    cr_assert_eq(group_begin(r, 1, GROUP_GET, &one, OP_US), SIZE_MAX, "the line has an end");
    uint64_t began = sim_now(r->sim);
    for (size_t op = first; op < r->ops_n; op++)
        cr_assert_eq(group_wait(r, op, OP_US), 0, "operation %zu: %s", op,
                     err_name(r->ops[op].err));
    cr_assert_lt(sim_now(r->sim) - began, OP_US, "all are done in their time");
    for (size_t op = then; op < then + STORM_ONE; op++)
        cr_assert_eq(r->ops[op].value_n, 4 * (op - then + 1), "change %zu was number %zu",
                     op - then + 1, r->ops[op].value_n / 4);
    cr_assert_leq(sim_writes_most(r->sim), STORE_UNIT_MAX, "%zu writes in one update",
                  sim_writes_most(r->sim));
    cr_assert_neq(group_begin(r, 1, GROUP_GET, &one, OP_US), SIZE_MAX, "there is room again");
    group_free(r);
}

/* What waits behind others ends when its own time is up, and those behind it go on. */
Test(registers, who_waits_in_line_ends_in_time)
{
    enum { WAIT_US = 300 * 1000, LONG = 8 };
    struct group *r = form(6, NODES, 0);
    struct peal_id key = group_key(r, 1);
    size_t op[2 * LONG];
    sim_partition(r->sim, 1u << 2);
    for (size_t i = 0; i < PEAL_COUNT(op); i++)
        op[i] = group_begin(r, 2, GROUP_APPEND, &key, i % 2 == 0 ? 4 * OP_US : WAIT_US);
    sim_run(r->sim, WAIT_US);
    for (size_t i = 1; i < PEAL_COUNT(op); i += 2)
        cr_assert_eq(r->ops[op[i]].err, PEAL_E_UNAVAILABLE, "%zu: %s", i,
                     err_name(r->ops[op[i]].err));
    sim_run(r->sim, SEC);
    sim_partition(r->sim, 0);
    for (size_t i = 0; i < PEAL_COUNT(op); i += 2) {
        cr_assert_eq(group_wait(r, op[i], 4 * OP_US), 0, "%zu goes on", i);
        cr_assert_eq(r->ops[op[i]].value_n, 4 * (i / 2 + 1), "%zu comes in its turn", i);
    }
    group_free(r);
}

/* ---- when time is up ---- */

static bool accept_sent(void *arg)
{
    const struct group *r = arg;
    return sim_messages(r->sim, WIRE_n_reg_accept) > 0;
}

/* Once a value was sent, what followed on it is not known, however many tries came to nothing after
 * that; before that nothing has been written, and never will be. */
Test(registers, what_may_have_been_written_is_unknown_and_the_rest_was_not)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct group *r = form(seed, 3, 0);
        struct peal_id key = group_key(r, 1);
        size_t sent = group_begin(r, 0, GROUP_APPEND, &key, OP_US);
        cr_assert(sim_until(r->sim, accept_sent, r, SEC), "seed %d: it writes", (int)seed);
        sim_partition(r->sim, 1u << 0);
        size_t behind = group_begin(r, 0, GROUP_APPEND, &key, OP_US);
        struct peal_id other = group_key(r, 2);
        size_t apart = group_begin(r, 0, GROUP_APPEND, &other, OP_US);
        cr_assert_eq(group_wait(r, sent, OP_US + 1), PEAL_E_UNKNOWN, "seed %d: %s", (int)seed,
                     err_name(r->ops[sent].err));
        cr_assert_eq(group_wait(r, behind, OP_US + 1), PEAL_E_UNAVAILABLE, "seed %d: behind it",
                     (int)seed);
        cr_assert_eq(group_wait(r, apart, OP_US + 1), PEAL_E_UNAVAILABLE, "seed %d: another",
                     (int)seed);
        cr_assert_geq(stats(r, 0).tries_most, 3, "seed %d: it was tried again", (int)seed);
        sim_partition(r->sim, 0);
        cr_assert(group_wait_whole(r, 3, 3, FORM_US), "seed %d: whole again", (int)seed);
        struct count before = counted(r);
        cr_assert_eq(run(r, 0, GROUP_APPEND, &key), 0, "seed %d: the next one", (int)seed);
        cr_assert_gt(counted(r).prepare, before.prepare, "seed %d: asks, for nothing is known",
                     (int)seed);
        size_t n = last_op(r)->value_n;
        cr_assert(n == 4 || n == 8, "seed %d: the unknown one has happened or not: %zu", (int)seed,
                  n);
        cr_assert_eq(run(r, 1, GROUP_GET, &other), 0, "seed %d: read", (int)seed);
        cr_assert_eq(last_op(r)->value_n, 0, "seed %d: it was not written", (int)seed);
        group_free(r);
    }
}

/* The same when what is sent at once, without asking, finds nobody. */
Test(registers, what_was_promised_is_used_once)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct group *r = form(seed, NODES, 0);
        struct peal_id key = group_key(r, 1);
        cr_assert_eq(run(r, 0, GROUP_APPEND, &key), 0, "seed %d: written", (int)seed);
        sim_run(r->sim, SEC);
        uint64_t kept = stats(r, 0).kept;
        size_t lost = group_begin(r, 0, GROUP_APPEND, &key, SEC / 2);
        cr_assert_eq(stats(r, 0).kept, kept + 1, "seed %d: sent without asking", (int)seed);
        sim_partition(r->sim, 1u << 0);
        cr_assert_eq(group_wait(r, lost, SEC), PEAL_E_UNKNOWN, "seed %d: nobody answers",
                     (int)seed);
        cr_assert_eq(run(r, 1, GROUP_APPEND, &key), 0, "seed %d: written elsewhere", (int)seed);
        sim_partition(r->sim, 0);
        cr_assert(group_wait_whole(r, NODES, NODES, FORM_US), "seed %d: whole again", (int)seed);
        cr_assert_eq(run(r, 0, GROUP_APPEND, &key), 0, "seed %d: the next one", (int)seed);
        cr_assert_eq(stats(r, 0).kept, kept + 1, "seed %d: asks", (int)seed);
        group_free(r);
    }
}

static bool linked_again(void *arg)
{
    const struct group *r = arg;
    struct peal_id one = sim_id(r->sim, 1), two = sim_id(r->sim, 2);
    return chord_is_up(group_chord(r, 0), &one) || chord_is_up(group_chord(r, 0), &two);
}

/* One home alone has a value: a read that meets it there has it written before it tells, or a later
 * read that does not meet it would go back. */
Test(registers, a_read_settles_what_it_tells)
{
    size_t met = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct group *r = form(seed, 3, 0);
        struct peal_id key = group_key(r, 1);
        cr_assert_eq(run(r, 0, GROUP_APPEND, &key), 0, "seed %d: written", (int)seed);
        sim_run(r->sim, SEC);
        size_t lost = group_begin(r, 0, GROUP_APPEND, &key, SEC / 10);
        sim_partition(r->sim, 1u << 0);
        sim_break(r->sim, 0, 1);
        sim_break(r->sim, 0, 2);
        cr_assert_eq(group_wait(r, lost, SEC), PEAL_E_UNKNOWN, "seed %d: alone", (int)seed);
        sim_partition(r->sim, 0);
        cr_assert(sim_until(r->sim, linked_again, r, FORM_US), "seed %d: linked", (int)seed);
        cr_assert_eq(run(r, 0, GROUP_GET, &key), 0, "seed %d: read", (int)seed);
        size_t told = last_op(r)->value_n;
        sim_partition(r->sim, 1u << 0);
        cr_assert_eq(run(r, 1, GROUP_GET, &key), 0, "seed %d: read elsewhere", (int)seed);
        cr_assert_geq(last_op(r)->value_n, told, "seed %d: %zu bytes were read, and then %zu",
                      (int)seed, told, last_op(r)->value_n);
        met += told == 8 && stats(r, 0).looks > 0 && stats(r, 0).prepares > 1;
        group_free(r);
    }
    cr_assert_gt(met, 5, "it was met alone %zu times", met);
}

/* One home cannot read what it has: it no longer votes, and is renewed; the other two are a
 * majority all the while. */
Test(registers, a_damaged_copy_blocks_nobody)
{
    struct group *r = form(7, 3, 0);
    for (uint32_t k = 0; k < 9; k++) {
        struct peal_id key = group_key(r, k);
        size_t bad = k % 3, by = k / 3;
        cr_assert_eq(run(r, by, GROUP_APPEND, &key), 0, "written");
        sim_run(r->sim, SEC);
        int err = store_memory_damage(sim_store(r->sim, bad), STORE_REGISTERS,
                                      peal_bytes_of(key.b, ID_BYTES));
        cr_assert_eq(err, 0, "damaged");
        for (size_t i = 0; i < 3; i++) {
            size_t node = (by + i) % 3;
            uint64_t began = sim_now(r->sim);
            cr_assert_eq(run(r, node, GROUP_APPEND, &key), 0, "written with %zu damaged", bad);
            cr_assert_eq(run(r, node, GROUP_GET, &key), 0, "read");
            cr_assert_eq(last_op(r)->value_n, 4 * (i + 2), "all of it");
            cr_assert(node == bad || sim_now(r->sim) - began < SEC, "%zu does not wait for it",
                      node);
        }
        cr_assert(group_wait_whole(r, 3, 3, FORM_US), "it is renewed");
    }
    group_free(r);
}

/* Of three homes one is down, and the other two are told different things by two who write at the
 * same time: neither waits for the third, which was never asked. */
Test(registers, who_contends_while_a_home_is_down_waits_for_nobody)
{
    enum { RUSHES = 200, LONG_US = SEC / 2 };
    struct group *r = form(6, 3, 0);
    struct peal_id key = group_key(r, 0);
    size_t ops[2];
    sim_crash(r->sim, 2);
    cr_assert(group_wait_whole(r, 3, 2, FORM_US), "two are left");
    for (size_t i = 0; i < RUSHES; i++) {
        for (size_t node = 0; node < 2; node++) {
            ops[node] = group_begin(r, node, GROUP_APPEND, &key, OP_US);
            cr_assert_neq(ops[node], SIZE_MAX, "node %zu is busy", node);
        }
        for (size_t node = 0; node < 2; node++) {
            cr_assert_eq(group_wait(r, ops[node], OP_US + 1), 0, "rush %zu: done", i);
            uint64_t us = r->ops[ops[node]].ended_us - r->ops[ops[node]].began_us;
            cr_assert_lt(us, LONG_US, "rush %zu: it took %llu us", i, (unsigned long long)us);
        }
    }
    group_free(r);
}
