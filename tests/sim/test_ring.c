/* Rings under chaos: many seeds, each with crashes between any two effects, partitions, broken
 * links and pauses, while clients change registers and sets. What must hold at the end: registers
 * one order of all changes that agrees with real time, seen alike by every read; a name has one
 * owner sets        what was acknowledged and not deleted is on every home; what was gone stays
 * gone ring        whole, in one epoch, every node the one it was */
#include <criterion/criterion.h>

#include "group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES = 5,
    GROWN = 7,  /* in the seeds in which servers join amid the chaos */
    SEEDS = 60, /* of each of the two kinds */
    NAMES = 24,
    LISTS = 3,
    BOXES = 5,
    OP_TIMEOUT_US = 3 * 1000 * 1000,
    CHAOS_US = 15 * 1000 * 1000,
    FORM_US = 10 * 1000 * 1000,
    HEAL_US = 30 * 1000 * 1000,
    SETTLE_US = 60 * 1000 * 1000,
};

/* Seeds that once failed. */
static const uint64_t kept[] = {
    2932, /* a server that had heard of a ring founded another one while it was cut off */
    392,  /* a proposer used a ballot again that it had used before its restart */
    2155, /* a peer that joined between the two hellos was never taken for a member */
};

static struct group *make(uint64_t seed, size_t nodes, bool verbose)
{
    struct sim_config cfg = {.seed = seed, .nodes = nodes, .replicas = 2, .verbose = verbose};
    /* servers that come later are told whom to join: cut off from the ring they would found
     * another, and rings that hold something do not merge yet */
    cfg.discovery = nodes == NODES && seed % 3 != 0;
    cfg.join_first = !cfg.discovery;
    cfg.beacon_loss = seed % 2 == 0 ? 20 : 0;
    return group_new(&cfg);
}

static struct group *form(uint64_t seed, bool verbose)
{
    struct group *r = make(seed, NODES, verbose);
    group_start_all(r);
    return r;
}

/* ---- chaos ---- */

struct chaos {
    struct group *r;
    bool cut;
    uint64_t heal_us;
    uint64_t pause_us[GROWN];
    uint64_t restart_us[GROWN];
    bool begun[GROWN]; /* the node has run before */
};

static size_t down(const struct chaos *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->r->cfg.nodes; i++)
        n += x->begun[i] && !sim_running(x->r->sim, i);
    return n;
}

static void fault(struct chaos *x)
{
    struct sim *s = x->r->sim;
    struct rng *g = sim_rng(s);
    size_t nodes = x->r->cfg.nodes;
    size_t a = rng_below(g, nodes), b = (a + 1 + rng_below(g, nodes - 1)) % nodes;
    bool may_fall = down(x) < 2 && sim_running(s, a);
    if (rng_below(g, 40) == 0) { /* the power goes everywhere */
        for (size_t i = 0; i < nodes; i++)
            sim_crash(s, i);
        return;
    }
    switch (rng_below(g, 8)) {
    case 0:
        if (may_fall)
            sim_crash(s, a);
        break;
    case 1:
    case 2:
        if (may_fall && down(x) < 1)
            sim_crash_after(s, a, 1 + (uint32_t)rng_below(g, 200));
        break;
    case 3:
        sim_partition(s, rng_below(g, 1u << nodes));
        x->heal_us = sim_now(s) + rng_below(g, 3000000);
        break;
    case 4:
        sim_cut(s, a, b, true);
        x->heal_us = sim_now(s) + rng_below(g, 3000000);
        break;
    case 5:
        sim_break(s, a, b);
        break;
    case 6:
        sim_pause(s, a, true);
        x->pause_us[a] = sim_now(s) + rng_below(g, 2500000);
        break;
    default:
        if (may_fall && rng_below(g, 4) == 0)
            sim_leave(s, a);
        break;
    }
}

static void mend(struct chaos *x)
{
    struct sim *s = x->r->sim;
    if (x->heal_us != 0 && sim_now(s) >= x->heal_us) {
        sim_partition(s, 0);
        x->heal_us = 0;
    }
    for (size_t i = 0; i < x->r->cfg.nodes; i++) {
        if (x->pause_us[i] != 0 && sim_now(s) >= x->pause_us[i]) {
            sim_pause(s, i, false);
            x->pause_us[i] = 0;
        }
        if (sim_running(s, i)) {
            x->begun[i] = true;
            x->restart_us[i] = 0;
        } else if (x->restart_us[i] == 0) {
            x->restart_us[i] = sim_now(s) + 1 + rng_below(sim_rng(s), 3000000);
        } else if (sim_now(s) >= x->restart_us[i]) {
            sim_start(s, i);
        }
    }
}

/* The same register changed at every node at the same instant. */
static void rush(struct group *r)
{
    struct rng *g = sim_rng(r->sim);
    bool claim = rng_below(g, 2) == 0;
    struct peal_id key =
        group_key(r, claim ? (uint32_t)rng_below(g, NAMES) : 100 + (uint32_t)rng_below(g, LISTS));
    for (size_t i = 0; i < r->cfg.nodes; i++)
        if (sim_running(r->sim, i) && r->ops_n + 1 < GROUP_OPS_MAX)
            (void)group_begin(r, i, claim ? GROUP_CLAIM : GROUP_APPEND, &key, OP_TIMEOUT_US);
}

static void some_op(struct group *r, bool change)
{
    struct rng *g = sim_rng(r->sim);
    size_t node = rng_below(g, r->cfg.nodes);
    if (change && rng_below(g, 20) == 0)
        rush(r);
    if (!sim_running(r->sim, node) || r->ops_n + 1 >= GROUP_OPS_MAX)
        return;
    struct peal_id name = group_key(r, (uint32_t)rng_below(g, NAMES));
    struct peal_id list = group_key(r, 100 + (uint32_t)rng_below(g, LISTS));
    struct peal_id box = group_key(r, 200 + (uint32_t)rng_below(g, BOXES));
    switch (change ? rng_below(g, 7) : 5) {
    case 0:
        (void)group_begin(r, node, GROUP_CLAIM, &name, OP_TIMEOUT_US);
        break;
    case 1:
        (void)group_begin(r, node, GROUP_APPEND, &list, OP_TIMEOUT_US);
        break;
    case 2:
        (void)group_begin(r, node, GROUP_GET, &list, OP_TIMEOUT_US);
        break;
    case 3:
    case 4:
        (void)group_put(r, node, &box, rng_below(g, 3000), OP_TIMEOUT_US);
        break;
    case 5:
        (void)group_begin(r, node, GROUP_READ, &box, OP_TIMEOUT_US);
        break;
    default:
        for (size_t tries = 0; tries < 10 && r->ops_n > 0; tries++) {
            struct group_op *o = &r->ops[rng_below(g, r->ops_n)];
            if (o->kind != GROUP_PUT || o->err != 0)
                continue;
            o->deleted = true;
            group_del(r, node, &o->key, &o->id);
            break;
        }
        break;
    }
}

static void chaos(struct group *r, uint64_t us, bool change)
{
    struct chaos x = {.r = r};
    for (size_t i = 0; i < r->cfg.nodes; i++)
        x.begun[i] = sim_running(r->sim, i);
    struct rng *g = sim_rng(r->sim);
    uint64_t end = sim_now(r->sim) + us, next_fault = sim_now(r->sim);
    while (sim_now(r->sim) < end) {
        sim_run(r->sim, 1 + rng_below(g, 40000));
        mend(&x);
        if (sim_now(r->sim) >= next_fault) {
            fault(&x);
            next_fault = sim_now(r->sim) + rng_below(g, 1500000);
        }
        some_op(r, change);
    }
    sim_partition(r->sim, 0);
    for (size_t i = 0; i < r->cfg.nodes; i++) {
        sim_pause(r->sim, i, false);
        sim_crash_after(r->sim, i, 0);
    }
    sim_run(r->sim, 200000); /* whoever is leaving has left */
    group_start_all(r);
}

/* ---- oracles ---- */

static int final_value(struct group *r, const struct peal_id *key, const struct group_op **out)
{
    size_t op =
        group_begin(r, rng_below(sim_rng(r->sim), r->cfg.nodes), GROUP_GET, key, OP_TIMEOUT_US);
    int err = group_wait(r, op, OP_TIMEOUT_US + 1);
    *out = &r->ops[op];
    return err;
}

static uint32_t number_at(const uint8_t *p)
{
    struct rd d;
    rd_init(&d, p, 4);
    return rd_u32(&d);
}

static void check_names(struct group *r, uint64_t seed)
{
    for (uint32_t k = 0; k < NAMES; k++) {
        struct peal_id key = group_key(r, k);
        const struct group_op *last = NULL;
        size_t ops = r->ops_n;
        int err = final_value(r, &key, &last);
        cr_assert_eq(err, 0, "seed %llu: name %u cannot be read: %s", (unsigned long long)seed, k,
                     err_name(err));
        size_t owner = last->value_n == 0 ? SIZE_MAX : number_at(last->value) - 1;
        for (size_t i = 0; i < ops; i++) {
            const struct group_op *o = &r->ops[i];
            if (o->kind != GROUP_CLAIM || !id_eq(&o->key, &key))
                continue;
            if (o->err == 0)
                cr_assert_eq(owner, i, "seed %llu: name %u was given to %zu and belongs to %zu",
                             (unsigned long long)seed, k, i, owner);
            if (o->err == PEAL_E_EXISTS || o->err == PEAL_E_UNAVAILABLE)
                cr_assert_neq(owner, i, "seed %llu: name %u belongs to %zu, which was refused: %s",
                              (unsigned long long)seed, k, i, err_name(o->err));
        }
    }
}

static size_t place_in(const struct group_op *list, size_t op)
{
    for (size_t i = 0; i + 4 <= list->value_n; i += 4)
        if (number_at(list->value + i) == op + 1)
            return i / 4 + 1;
    return 0;
}

/* Every value that was ever reported is a beginning of the last one, and its length grows with real
 * time. */
static void check_list(struct group *r, uint64_t seed, uint32_t k)
{
    struct peal_id key = group_key(r, 100 + k);
    const struct group_op *last = NULL;
    size_t ops = r->ops_n;
    int err = final_value(r, &key, &last);
    cr_assert_eq(err, 0, "seed %llu: list %u cannot be read: %s", (unsigned long long)seed, k,
                 err_name(err));
    for (size_t i = 0; i < ops; i++) {
        const struct group_op *o = &r->ops[i];
        if ((o->kind != GROUP_APPEND && o->kind != GROUP_GET) || !id_eq(&o->key, &key))
            continue;
        size_t at = place_in(last, i);
        if (o->err == PEAL_E_UNAVAILABLE)
            cr_assert_eq(at, 0, "seed %llu: %zu was said not to have happened",
                         (unsigned long long)seed, i);
        if (o->err != 0)
            continue;
        cr_assert(o->kind == GROUP_GET || at > 0, "seed %llu: change %zu was lost",
                  (unsigned long long)seed, i);
        cr_assert(o->value_n <= last->value_n &&
                      (o->value_n == 0 || memcmp(o->value, last->value, o->value_n) == 0),
                  "seed %llu: %zu saw what is not the beginning of the history",
                  (unsigned long long)seed, i);
        for (size_t j = 0; j < ops; j++) {
            const struct group_op *q = &r->ops[j];
            if ((q->kind == GROUP_APPEND || q->kind == GROUP_GET) && q->err == 0 &&
                id_eq(&q->key, &key) && q->ended_us < o->began_us)
                cr_assert_leq(q->value_n, o->value_n, "seed %llu: %zu came after %zu and saw less",
                              (unsigned long long)seed, i, j);
        }
    }
}

static void check_copies(struct group *r, uint64_t seed)
{
    for (size_t i = 0; i < r->ops_n; i++) {
        const struct group_op *o = &r->ops[i];
        struct peal_id home[CHORD_REPLICAS_MAX + 1];
        if (o->kind != GROUP_PUT || o->err != 0 || o->deleted)
            continue;
        size_t homes = chord_home(group_chord(r, 0), &o->key, home);
        cr_assert_eq(homes, 3, "seed %llu: %zu homes", (unsigned long long)seed, homes);
        for (size_t k = 0; k < homes; k++)
            cr_assert_eq(group_disk_row(r, group_index(r, &home[k]), &o->key, &o->id),
                         WIRE_ROW_MESSAGE, "seed %llu: row %zu is not on home %zu",
                         (unsigned long long)seed, i, k);
    }
}

static bool listed(const struct group_op *read, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < read->value_n; i++)
        if (memcmp(read->value + i * MSG_ID_BYTES, id->b, MSG_ID_BYTES) == 0)
            return true;
    return false;
}

/* Reads every box; the sum of what is in them. Each read is complete, in order and without
 * repetition. */
static void check_reads(struct group *r, uint64_t seed, size_t reads[static BOXES])
{
    for (uint32_t b = 0; b < BOXES; b++) {
        struct peal_id box = group_key(r, 200 + b);
        size_t op = group_begin(r, rng_below(sim_rng(r->sim), r->cfg.nodes), GROUP_READ, &box,
                                OP_TIMEOUT_US);
        int err = group_wait(r, op, OP_TIMEOUT_US + 1);
        cr_assert_eq(err, 0, "seed %llu: box %u cannot be read: %s", (unsigned long long)seed, b,
                     err_name(err));
        const struct group_op *read = &r->ops[op];
        for (size_t i = 1; i < read->value_n; i++)
            cr_assert_lt(memcmp(read->value + (i - 1) * MSG_ID_BYTES,
                                read->value + i * MSG_ID_BYTES, MSG_ID_BYTES),
                         0, "seed %llu: box %u is not in order", (unsigned long long)seed, b);
        for (size_t i = 0; i < op; i++) {
            const struct group_op *o = &r->ops[i];
            if (o->kind == GROUP_PUT && o->err == 0 && !o->deleted && id_eq(&o->key, &box))
                cr_assert(listed(read, &o->id),
                          "seed %llu: row %zu was acknowledged and is not read",
                          (unsigned long long)seed, i);
        }
        reads[b] = op;
    }
}

/* grow: begins with three servers, and the other four join amid the chaos. */
static void run_seed(uint64_t seed, bool grow, bool verbose)
{
    size_t nodes = grow ? GROWN : NODES, start = grow ? 3 : NODES;
    struct group *r = make(seed, nodes, verbose);
    size_t first[BOXES], second[BOXES];
    for (size_t i = 0; i < start; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, start, start, FORM_US), "seed %llu: no ring formed",
              (unsigned long long)seed);
    chaos(r, CHAOS_US, true);
    cr_assert(group_wait_whole(r, nodes, nodes, HEAL_US), "seed %llu: the ring did not heal",
              (unsigned long long)seed);
    sim_run(r->sim, SETTLE_US);
    check_names(r, seed);
    for (uint32_t k = 0; k < LISTS; k++)
        check_list(r, seed, k);
    check_copies(r, seed);
    check_reads(r, seed, first);
    chaos(r, CHAOS_US / 3, false);
    cr_assert(group_wait_whole(r, nodes, nodes, HEAL_US), "seed %llu: the ring did not heal again",
              (unsigned long long)seed);
    sim_run(r->sim, SETTLE_US);
    check_reads(r, seed, second);
    check_copies(r, seed);
    for (size_t b = 0; b < BOXES; b++) {
        const struct group_op *x = &r->ops[first[b]], *y = &r->ops[second[b]];
        cr_assert(
            x->value_n == y->value_n &&
                (x->value_n == 0 || memcmp(x->value, y->value, x->value_n * MSG_ID_BYTES) == 0),
            "seed %llu: box %zu changed by itself, from %zu rows to %zu", (unsigned long long)seed,
            b, x->value_n, y->value_n);
    }
    group_free(r);
}

static uint64_t seeds_or(uint64_t normal)
{
    const char *more = getenv("PEAL_SIM_SEEDS");
    return more == NULL ? normal : strtoull(more, NULL, 10);
}

/* PEAL_SIM_SEED=n runs that one and says what happens; PEAL_SIM_SEEDS=n runs more of them, from
 * PEAL_SIM_FROM on. */
static void run_seeds(bool grow, uint64_t share)
{
    const char *one = getenv("PEAL_SIM_SEED"), *from = getenv("PEAL_SIM_FROM");
    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10), grow, true);
        return;
    }
    uint64_t seeds = seeds_or(SEEDS);
    uint64_t first = from == NULL ? 0 : strtoull(from, NULL, 10);
    for (uint64_t i = 1 + share; i <= seeds; i += 2)
        run_seed(first + i, grow, false);
}

Test(ring, chaos_odd)
{
    run_seeds(false, 0);
}

Test(ring, chaos_even)
{
    run_seeds(false, 1);
}

Test(ring, chaos_while_growing_odd)
{
    run_seeds(true, 0);
}

Test(ring, chaos_while_growing_even)
{
    run_seeds(true, 1);
}

Test(ring, kept_seeds)
{
    for (size_t i = 0; i < PEAL_COUNT(kept); i++) {
        run_seed(kept[i], false, false);
        run_seed(kept[i], true, false);
    }
}

Test(ring, the_same_seed_gives_the_same_run)
{
    uint64_t digest[3];
    for (size_t i = 0; i < PEAL_COUNT(digest); i++) {
        struct group *r = form(i < 2 ? 7 : 8, false);
        cr_assert(group_wait_whole(r, NODES, NODES, FORM_US), "no ring formed");
        chaos(r, CHAOS_US / 3, true);
        digest[i] = sim_digest(r->sim);
        group_free(r);
    }
    cr_assert_eq(digest[0], digest[1], "one seed, two runs");
    cr_assert_neq(digest[0], digest[2], "two seeds, one run");
}

Test(ring, each_of_five_is_killed_and_comes_back_as_itself)
{
    struct group *r = form(11, false);
    cr_assert(group_wait_whole(r, NODES, NODES, 5 * 1000 * 1000),
              "five servers are whole within 5 s");
    for (size_t i = 0; i < NODES; i++) {
        sim_crash(r->sim, i);
        cr_assert(group_wait_whole(r, NODES, NODES - 1, 2 * 1000 * 1000),
                  "the ring closes within 2 s of losing %zu", i);
        struct peal_id key = group_key(r, 300 + (uint32_t)i);
        size_t other = (i + 1) % NODES;
        size_t claim = group_begin(r, other, GROUP_CLAIM, &key, OP_TIMEOUT_US);
        cr_assert_eq(group_wait(r, claim, 1000 * 1000), 0,
                     "a register is written while %zu is down", i);
        size_t put = group_put(r, other, &key, 100, OP_TIMEOUT_US);
        cr_assert_eq(group_wait(r, put, 1000 * 1000), 0, "a row is stored while %zu is down", i);
        sim_start(r->sim, i);
        cr_assert(group_wait_whole(r, NODES, NODES, 3 * 1000 * 1000), "%zu is back", i);
    }
    sim_run(r->sim, SETTLE_US);
    check_copies(r, 11);
    group_free(r);
}

/* ---- the overlay under the roster ---- */

static bool same_coordinator(struct group *r, struct peal_id *who)
{
    static uint8_t mem[64 * 1024];
    *who = (struct peal_id){{0}};
    for (size_t i = 0; i < r->cfg.nodes; i++) {
        struct arena a;
        struct wire_c_ring v;
        if (!sim_running(r->sim, i))
            continue;
        arena_init(&a, mem, sizeof mem);
        chord_ring(group_chord(r, i), &a, &v);
        if (id_is_zero(&v.coordinator) || (!id_is_zero(who) && !id_eq(who, &v.coordinator)))
            return false;
        *who = v.coordinator;
    }
    size_t at = group_index(r, who);
    return at < r->cfg.nodes && sim_running(r->sim, at);
}

static bool is_led(void *arg)
{
    struct peal_id who;
    return same_coordinator(arg, &who);
}

/* Nodes are in the order of their ids. */
static size_t first_live(const struct group *r, const struct peal_id *key)
{
    size_t lowest = SIZE_MAX;
    for (size_t i = 0; i < r->cfg.nodes; i++) {
        struct peal_id id = sim_id(r->sim, i);
        if (!sim_running(r->sim, i))
            continue;
        if (id_cmp(&id, key) >= 0)
            return i;
        if (lowest == SIZE_MAX)
            lowest = i;
    }
    return lowest;
}

/* From every server, for keys at random and for each server's own id. */
static void check_lookups(struct group *r, uint64_t seed)
{
    size_t nodes = r->cfg.nodes, live = 0, first = r->ops_n;
    for (uint32_t k = 0; k < 2 * nodes; k++) {
        struct peal_id key = k < nodes ? sim_id(r->sim, k) : group_key(r, 500 + k);
        for (size_t i = 0; i < nodes; i++)
            if (sim_running(r->sim, i)) {
                size_t op = group_begin(r, i, GROUP_FIND, &key, OP_TIMEOUT_US);
                cr_assert_neq(op, SIZE_MAX, "seed %d: %zu is busy", (int)seed, i);
            }
    }
    for (size_t i = 0; i < nodes; i++)
        live += sim_running(r->sim, i);
    cr_assert_eq(r->ops_n - first, 2 * nodes * live, "seed %d: not all were begun", (int)seed);
    for (size_t op = first; op < r->ops_n; op++) {
        const struct group_op *o = &r->ops[op];
        int err = group_wait(r, op, OP_TIMEOUT_US);
        cr_assert_eq(err, 0, "seed %d: a lookup at %zu ended: %s", (int)seed, o->node,
                     err_name(err));
        struct peal_id owner = sim_id(r->sim, first_live(r, &o->key));
        cr_assert(memcmp(o->value + (o->value_n - 1) * ID_BYTES, owner.b, ID_BYTES) == 0,
                  "seed %d: a lookup at %zu names another than the first live server", (int)seed,
                  o->node);
    }
}

static void look_up_among(uint64_t seed, size_t nodes)
{
    struct group *r = make(seed, nodes, false);
    group_start_all(r);
    cr_assert(group_wait_whole(r, nodes, nodes, 2 * FORM_US), "seed %d: no ring of %zu", (int)seed,
              nodes);
    check_lookups(r, seed);
    size_t a = rng_below(sim_rng(r->sim), nodes);
    size_t b = (a + 1 + rng_below(sim_rng(r->sim), nodes - 1)) % nodes;
    sim_crash(r->sim, a);
    sim_crash(r->sim, b);
    cr_assert(group_wait_whole(r, nodes, nodes - 2, HEAL_US), "seed %d: the ring did not close",
              (int)seed);
    check_lookups(r, seed);
    sim_start(r->sim, a);
    sim_start(r->sim, b);
    cr_assert(group_wait_whole(r, nodes, nodes, HEAL_US), "seed %d: not whole again", (int)seed);
    check_lookups(r, seed);
    group_free(r);
}

/* Among five everyone knows everyone; fourteen are more than the successor list is long. */
Test(ring, lookups_name_the_first_live_server)
{
    uint64_t seeds = seeds_or(20);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        look_up_among(seed, NODES);
        look_up_among(seed, 14);
    }
}

/* The coordinator dies, again and again; whoever is elected admits a newcomer. */
static void elect_and_admit(uint64_t seed, size_t nodes)
{
    struct sim_config cfg = {.seed = seed, .nodes = nodes + 2, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    struct peal_id before, after;
    for (size_t i = 0; i < nodes; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, nodes, nodes, 2 * FORM_US), "seed %d: no ring of %zu", (int)seed,
              nodes);
    for (size_t died = 0; died < 2; died++) {
        cr_assert(sim_until(r->sim, is_led, r, FORM_US), "seed %d: no coordinator", (int)seed);
        cr_assert(same_coordinator(r, &before), "seed %d: they differ", (int)seed);
        sim_crash(r->sim, group_index(r, &before));
        cr_assert(sim_until(r->sim, is_led, r, 4 * 1000 * 1000),
                  "seed %d: no other coordinator within 4 s", (int)seed);
        cr_assert(same_coordinator(r, &after) && !id_eq(&before, &after),
                  "seed %d: the dead one is named still", (int)seed);
        sim_start(r->sim, nodes + died);
        cr_assert(group_wait_whole(r, nodes + died + 1, nodes + died, HEAL_US),
                  "seed %d: the newcomer is not admitted", (int)seed);
        sim_start(r->sim, group_index(r, &before));
        cr_assert(group_wait_whole(r, nodes + died + 1, nodes + died + 1, HEAL_US),
                  "seed %d: the dead one does not come back", (int)seed);
    }
    group_free(r);
}

Test(ring, another_coordinator_is_elected_and_admits)
{
    uint64_t seeds = seeds_or(20);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        elect_and_admit(seed, 3);
        elect_and_admit(seed, 11);
    }
}

/* So many of the servers, at random, are cut off from the others: both ways, or (lost) what they
 * say is lost and what they are told is not. */
static void part(struct group *r, size_t few, bool lost)
{
    size_t all = r->cfg.nodes;
    uint64_t group = 0;
    for (size_t n = 0; n < few;) {
        size_t i = rng_below(sim_rng(r->sim), all);
        n += (group >> i & 1) == 0;
        group |= UINT64_C(1) << i;
    }
    if (!lost)
        sim_partition(r->sim, group);
    for (size_t i = 0; lost && i < all; i++)
        for (size_t k = 0; k < all; k++)
            if ((group >> i & 1) != 0 && (group >> k & 1) == 0)
                sim_cut_way(r->sim, i, k, SIM_LOST);
}

/* What can be done on each side is done meanwhile. */
static void part_and_heal(uint64_t seed, size_t all, size_t few, bool lost)
{
    enum { LIVE_US = 60 * 1000 * 1000 };
    struct group *r = make(seed, all, false);
    struct peal_id who;
    group_start_all(r);
    cr_assert(group_wait_whole(r, all, all, 2 * FORM_US), "seed %d: no ring", (int)seed);
    for (size_t i = 0; i < 20; i++)
        some_op(r, true);
    sim_run(r->sim, OP_TIMEOUT_US);
    part(r, few, lost);
    for (uint64_t end = sim_now(r->sim) + LIVE_US; sim_now(r->sim) < end;) {
        sim_run(r->sim, 250 * 1000);
        some_op(r, true);
    }
    cr_assert(!group_whole(r, all, all), "seed %d: the cut parts nobody", (int)seed);
    sim_partition(r->sim, 0);
    cr_assert(group_wait_whole(r, all, all, HEAL_US), "seed %d: the ring did not heal", (int)seed);
    sim_run(r->sim, SETTLE_US);
    cr_assert(group_whole(r, all, all) && same_coordinator(r, &who),
              "seed %d: not one ring with one coordinator", (int)seed);
    size_t stored = 0, reads[BOXES];
    for (size_t i = 0; i < r->ops_n; i++)
        stored += r->ops[i].kind == GROUP_PUT && r->ops[i].err == 0;
    cr_assert_gt(stored, 0, "seed %d: nothing was acknowledged", (int)seed);
    check_names(r, seed);
    for (uint32_t k = 0; k < LISTS; k++)
        check_list(r, seed, k);
    check_copies(r, seed);
    check_reads(r, seed, reads);
    check_lookups(r, seed);
    group_free(r);
}

Test(ring, twelve_parted_into_seven_and_five_lose_nothing)
{
    uint64_t seeds = seeds_or(4);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        part_and_heal(seed, 12, 5, false);
}

Test(ring, five_of_which_some_are_not_heard_lose_nothing)
{
    uint64_t seeds = seeds_or(12);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        part_and_heal(seed, NODES, 1 + seed % (NODES - 1), true);
}

/* ---- addresses ---- */

/* What every running node says of where a node is. */
static void check_address(struct group *r, size_t node, const char *address)
{
    static uint8_t mem[64 * 1024];
    struct peal_id id = sim_id(r->sim, node);
    for (size_t i = 0; i < r->cfg.nodes; i++) {
        struct arena a;
        struct wire_c_ring v;
        if (!sim_running(r->sim, i))
            continue;
        arena_init(&a, mem, sizeof mem);
        chord_ring(group_chord(r, i), &a, &v);
        for (size_t k = 0; k < v.nodes.n; k++)
            if (id_eq(&v.nodes.v[k].id, &id))
                cr_assert(peal_bytes_eq(v.nodes.v[k].address, peal_bytes_str(address)),
                          "%zu is at %.*s as %zu sees it, not at %s", node,
                          (int)v.nodes.v[k].address.n, (const char *)v.nodes.v[k].address.p, i,
                          address);
    }
}

/* Though no link breaks: clients have to be told where to go when one does. */
Test(ring, a_server_that_moves_is_news_for_the_layer_above)
{
    struct group *r = form(1, false);
    uint64_t before[NODES];
    cr_assert(group_wait_whole(r, NODES, NODES, FORM_US), "no ring formed");
    sim_run(r->sim, SETTLE_US);
    for (size_t i = 0; i < NODES; i++)
        before[i] = r->nodes[i].changes;
    sim_move(r->sim, 2, "10.9.9.9:7000");
    sim_run(r->sim, 1000 * 1000);
    for (size_t i = 0; i < NODES; i++)
        cr_assert_gt(r->nodes[i].changes, before[i], "%zu was not told", i);
    check_address(r, 2, "10.9.9.9:7000");
    group_free(r);
}

/* Two servers that each get the other's address while nobody can be told: whoever calls the one
 * reaches the other. They stay who they are. */
Test(ring, two_servers_that_swap_addresses_stay_themselves)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct group *r = form(3 * seed, false); /* these hear no beacons */
        char first[32], second[32];
        cr_assert(group_wait_whole(r, NODES, NODES, FORM_US), "no ring formed");
        snprintf(first, sizeof first, "%s", (const char *)sim_address(r->sim, 1).p);
        snprintf(second, sizeof second, "%s", (const char *)sim_address(r->sim, 2).p);
        for (size_t i = 0; i < NODES; i++) {
            sim_cut(r->sim, 1, i, i != 1);
            sim_cut(r->sim, 2, i, i != 2);
        }
        sim_move(r->sim, 1, "10.9.9.9:7000");
        sim_move(r->sim, 2, first);
        sim_move(r->sim, 1, second);
        for (size_t i = 0; i < NODES; i++) {
            sim_break(r->sim, 1, i);
            sim_break(r->sim, 2, i);
        }
        sim_run(r->sim, 3 * 1000 * 1000);
        sim_partition(r->sim, 0);
        cr_assert(group_wait_whole(r, NODES, NODES, HEAL_US), "seed %d: not whole again",
                  (int)seed);
        cr_assert_gt(r->strangers, 0, "seed %d: nobody noticed", (int)seed);
        check_address(r, 1, second);
        check_address(r, 2, first);
        group_free(r);
    }
}

/* A server dies, and another one is given its address: what is meant for the dead one does not
 * become the other's, and the dead one comes back elsewhere. */
Test(ring, another_server_at_a_dead_ones_address_is_another_server)
{
    struct sim_config cfg = {.seed = 5, .nodes = NODES + 1, .replicas = 2, .join_first = true};
    struct group *r = group_new(&cfg);
    char address[32];
    for (size_t i = 0; i < NODES; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, NODES, NODES, FORM_US), "no ring formed");
    struct peal_id dead = sim_id(r->sim, 3);
    snprintf(address, sizeof address, "%s", (const char *)sim_address(r->sim, 3).p);
    sim_crash(r->sim, 3);
    cr_assert(group_wait_whole(r, NODES, NODES - 1, HEAL_US), "the ring closes over it");
    sim_start(r->sim, NODES);
    sim_move(r->sim, NODES, address);
    cr_assert(group_wait_whole(r, NODES + 1, NODES, HEAL_US), "the newcomer is admitted");
    for (size_t i = 0; i < NODES; i++)
        cr_assert(i == 3 || !chord_is_up(group_chord(r, i), &dead),
                  "%zu takes the newcomer for the dead one", i);
    check_address(r, NODES, address);
    sim_run(r->sim, 10 * 1000 * 1000); /* the dead one is dialled, and the newcomer answers */
    cr_assert_gt(r->strangers, 0, "nobody noticed");
    cr_assert_lt(r->strangers, 2 * NODES, "each says so once, not %zu times", r->strangers);
    cr_assert(group_whole(r, NODES + 1, NODES), "and that changes nothing");
    sim_start(r->sim, 3);
    sim_move(r->sim, 3, "10.9.9.9:7000");
    cr_assert(group_wait_whole(r, NODES + 1, NODES + 1, HEAL_US), "the dead one is back");
    check_address(r, 3, "10.9.9.9:7000");
    check_address(r, NODES, address);
    group_free(r);
}

/* ---- founding ---- */

/* Two servers that start at the same instant end in one ring; told to expect two, without a second
 * one having to give way. */
Test(ring, two_first_servers_found_one_ring)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        for (uint8_t expect = 0; expect <= 2; expect += 2) {
            struct sim_config cfg = {.seed = seed,
                                     .nodes = 2,
                                     .replicas = 1,
                                     .discovery = true,
                                     .expect = expect,
                                     .beacon_loss = 45 * (uint32_t)(seed % 3)};
            struct group *r = group_new(&cfg);
            group_start_all(r);
            /* of beacons that are lost nine times in ten, one may take a minute to be heard */
            cr_assert(group_wait_whole(r, 2, 2, 12 * FORM_US),
                      "seed %d, expecting %d: no ring of two", (int)seed, expect);
            if (expect > 0)
                cr_assert(r->founded == 1 && r->dissolved == 0,
                          "seed %d: founded %zu times, dissolved %zu times", (int)seed, r->founded,
                          r->dissolved);
            group_free(r);
        }
    }
}

static void five_expected(uint64_t seed, bool discovery)
{
    struct sim_config cfg = {.seed = seed,
                             .nodes = 6,
                             .replicas = 2,
                             .discovery = discovery,
                             .join_first = !discovery,
                             .expect = 5,
                             .beacon_loss = seed % 2 == 0 ? 30 : 0};
    struct group *r = group_new(&cfg);
    for (size_t i = 0; i < 3; i++)
        sim_start(r->sim, i);
    sim_run(r->sim, 60 * 1000 * 1000);
    cr_assert_eq(r->founded, 0, "seed %d: three of five have founded", (int)seed);
    cr_assert_geq(r->waiting, 3 * 60 / 6, "seed %d: they say that they wait, not %zu times",
                  (int)seed, r->waiting);
    sim_start(r->sim, 3);
    sim_run(r->sim, 5 * 1000 * 1000);
    cr_assert_eq(r->founded, 0, "seed %d: four of five have founded", (int)seed);
    sim_start(r->sim, 4);
    cr_assert(group_wait_whole(r, 5, 5, 2 * FORM_US), "seed %d: no ring of five", (int)seed);
    cr_assert(r->founded == 1 && r->dissolved == 0,
              "seed %d: founded %zu times, dissolved %zu times", (int)seed, r->founded,
              r->dissolved);
    /* a latecomer joins the ring that is there, whatever it was told to expect */
    for (size_t i = 1; i < 5; i++)
        sim_crash(r->sim, i);
    cr_assert(group_wait_whole(r, 5, 1, FORM_US), "seed %d: one is left", (int)seed);
    for (size_t i = 1; i < 6; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, 6, 6, 2 * FORM_US), "seed %d: no ring of six", (int)seed);
    cr_assert_eq(r->founded, 1, "seed %d: still one ring", (int)seed);
    group_free(r);
}

Test(ring, of_five_expected_exactly_one_founds_when_the_fifth_is_there)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        five_expected(seed, true);
        five_expected(seed, false);
    }
}

/* ---- admitted, and away before they were ready ---- */

struct roster_size {
    struct group *r;
    size_t size;
};

static bool roster_has_grown(void *arg)
{
    static uint8_t mem[64 * 1024];
    const struct roster_size *w = arg;
    struct arena a;
    struct wire_c_ring v;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(w->r, 0), &a, &v);
    return v.nodes.n == w->size;
}

/* Three servers, one after the other, lose power in the moment in which they are admitted. The
 * third is not admitted before one of the others is back: of an arc whose homes would be the three
 * of them only one of those that have it is left. When they come back none of them can copy from
 * the other two, who were never ready either. */
Test(ring, three_that_were_away_before_they_were_ready_do_not_wait_for_each_other)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim_config cfg = {.seed = seed, .nodes = 7, .replicas = 2, .join_first = true};
        struct group *r = group_new(&cfg);
        for (size_t i = 0; i < 4; i++)
            sim_start(r->sim, i);
        cr_assert(group_wait_whole(r, 4, 4, FORM_US), "seed %d: no ring formed", (int)seed);
        for (size_t i = 4; i < 7; i++) {
            struct roster_size w = {.r = r, .size = i + 1};
            sim_start(r->sim, i);
            cr_assert_eq(sim_until(r->sim, roster_has_grown, &w, FORM_US), i < 6,
                         "seed %d: of server %zu", (int)seed, i);
            sim_crash(r->sim, i);
        }
        for (size_t i = 4; i < 7; i++)
            sim_start(r->sim, i);
        cr_assert(group_wait_whole(r, 7, 7, HEAL_US), "seed %d: they wait for each other",
                  (int)seed);
        group_free(r);
    }
}
