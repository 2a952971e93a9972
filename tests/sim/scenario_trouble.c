/* scenario: what happens to rings: partition, merge, small, pause, oneway, address, drift. */
#include "scenario_inner.h"

#include <math.h>
#include <string.h>

enum { LOOKUPS = 500, LOOKUPS_S = 10 };

static uint32_t parts_of(const struct run *r)
{
    uint32_t parts = r->opt->parts != 0 ? r->opt->parts : 2;
    return parts < r->nodes ? parts : r->nodes;
}

/* ---- introductions ---- */

/* Whether the node can find the other without anybody's help: it has its contact, living or dead,
 * or was told its address. */
static bool knows(const struct run *r, uint32_t node, uint32_t other)
{
    struct peal_id id = world_id(r->w, other);
    const struct fellow *f = &r->fellows[node];
    struct wire_contact c;
    if (ring_contact(run_ring(r, node), &id, &c) == 0 && c.addresses.n > 0)
        return true;
    for (uint32_t i = 0; i < f->joins_n; i++)
        if (f->joins[i] == world_address(r->w, other))
            return true;
    return false;
}

/* ---- partition ---- */

struct part {
    struct run *run;
    uint32_t parts, at;
    const uint32_t *of; /* by node */
};

static bool in_part(void *ctx, uint32_t node)
{
    const struct part *p = ctx;
    return p->of[node] == p->at && !world_paused(p->run->w, node);
}

static bool parts_ideal(void *arg)
{
    struct part *p = arg;
    char why[ORACLE_WHY_MAX];
    for (p->at = 0; p->at < p->parts; p->at++)
        if (!oracle_ideal(p->run->o, in_part, p, why))
            return false;
    return true;
}

/* Waits until each part is an ideal ring; the seconds, or negative after a violation. */
static double settle_parts(struct run *r, struct part *p, const char *after)
{
    char why[ORACLE_WHY_MAX];
    uint64_t began = run_now(r);
    if (world_until(r->w, parts_ideal, p, US / 4, (uint64_t)run_patience(r) * US))
        return (double)(run_now(r) - began) / US;
    for (p->at = 0; p->at < p->parts; p->at++)
        if (!oracle_ideal(r->o, in_part, p, why))
            run_violation(r, WORLD_NOBODY, "part %u is no ideal ring %u s after %s: %s", p->at,
                          run_patience(r), after, why);
    return -1;
}

/* Deals nodes out to parts: the first half to the first of two, and so on, by number. */
static void deal(struct run *r, uint32_t parts, uint32_t of[])
{
    for (uint32_t i = 0; i < r->nodes; i++)
        of[i] = i % parts;
}

/* took: as run_settle says it. */
static void merged(struct run *r, double took)
{
    run_figure(r, "merged_seconds", took, 2,
               "seconds from when they could meet until there was one ideal ring");
    run_figure(r, "merged_rounds", took < 0 ? -1 : took / run_stabilise(r), 2,
               "the same in rounds of stabilise");
}

/* The circles of a and of b are one from now on, named by the lower. */
static void join_circles(uint32_t circle[], uint32_t n, uint32_t a, uint32_t b)
{
    uint32_t low = circle[a] < circle[b] ? circle[a] : circle[b];
    uint32_t high = circle[a] < circle[b] ? circle[b] : circle[a];
    for (uint32_t i = 0; i < n; i++)
        if (circle[i] == high)
            circle[i] = low;
}

/* Right after a ring has grown few nodes know all of it. So the cut may leave some in a part who
 * have never heard of any other there, nor any other of them: whom they are to find then, they
 * cannot know. One of each such circle is told of somebody in its part, as by a beacon or an
 * operator, and nobody else is. How many were told. */
static uint32_t introduce_strangers(struct run *r, const struct part *p)
{
    static uint32_t circle[WORLD_NODES_MAX]; /* the first of those who can find each other */
    uint32_t told = 0;
    for (uint32_t i = 0; i < r->nodes; i++) {
        circle[i] = i;
        for (uint32_t k = 0; k < i; k++)
            if (p->of[i] == p->of[k] && circle[i] != circle[k] &&
                (knows(r, i, k) || knows(r, k, i)))
                join_circles(circle, i + 1, i, k);
    }
    for (uint32_t i = 0; i < r->nodes; i++) {
        uint32_t first = 0;
        while (p->of[first] != p->of[i])
            first++;
        if (circle[i] != i || first == i)
            continue;
        run_hear(r, i, first);
        told++;
    }
    return told;
}

void scenario_partition(struct run *r)
{
    static uint32_t of[WORLD_NODES_MAX];
    uint32_t parts;
    run_open(r, r->opt->nodes, NULL);
    parts = parts_of(r);
    struct part p = {.run = r, .parts = parts, .of = of};
    deal(r, parts, of);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_excuse(r, true);
    for (uint32_t i = 0; i < r->nodes; i++)
        world_group(r->w, i, of[i]);
    for (uint32_t a = 0; a < parts; a++)
        for (uint32_t b = 0; b < parts; b++)
            if (a != b)
                world_cut(r->w, a, b, WORLD_LOST);
    run_figure(r, "parts", parts, 0, "parts of the partition");
    run_figure(r, "introduced", introduce_strangers(r, &p), 0,
               "nodes told of another in their part, which could not know of each other");
    run_figure(r, "parts_ideal_seconds", settle_parts(r, &p, "the cut"), 1,
               "seconds until each part was an ideal ring");
    world_run(r->w, (uint64_t)run_duration(r) * US);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "in a partition that has settled");
    world_heal(r->w);
    merged(r, run_settle(r, 2 * run_patience(r), "the cut was healed"));
    run_excuse(r, false);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "after a partition was healed");
    run_lookup_figures(r);
}

/* ---- merge ---- */

/* Rings that never met, of parts nodes each: grown one after the other, each by itself. */
static bool grow_parts(struct run *r, struct part *p, uint32_t of[])
{
    uint32_t each = r->nodes / p->parts;
    for (uint32_t i = 0; i < r->nodes; i++)
        of[i] = i / each < p->parts ? i / each : p->parts - 1;
    for (uint32_t i = 0; i < r->nodes; i++) {
        bool first = i == 0 || of[i] != of[i - 1];
        uint32_t begin = of[i] * each;
        uint32_t peer = first ? WORLD_NOBODY : begin + (uint32_t)rng_below(&r->rng, i - begin);
        run_start_with(r, i, false, peer);
        world_run(r->w, US / 4);
    }
    return settle_parts(r, p, "it was grown") >= 0;
}

void scenario_merge(struct run *r)
{
    static uint32_t of[WORLD_NODES_MAX];
    run_open(r, r->opt->nodes, NULL);
    struct part p = {.run = r, .parts = parts_of(r), .of = of};
    run_excuse(r, true); /* the proof knows of one ring */
    run_figure(r, "parts", p.parts, 0, "rings that had never met");
    if (!grow_parts(r, &p, of))
        return;
    for (uint32_t i = 1; i < r->nodes; i++)
        if (of[i] != of[i - 1])
            run_hear(r, i, i - 1);
    merged(r, run_settle(r, 2 * run_patience(r), "one contact became known"));
    run_excuse(r, false);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "after rings were merged");
    run_lookup_figures(r);
}

/* ---- small ---- */

enum {
    SMALL_ROUND_S = 20, /* of the duration asked for */
    SMALL_OPS = 40,     /* in a round */
    SMALL_TRIES = 16,
    SMALL_REST_MS = 3000, /* between two operations at most */
    SMALL_LOOKUPS = 20,
    SMALL_R_LEAST = 2,
    SMALL_R_MOST = 4,
    SMALL_WAKE_US = 3 * US
};

static uint32_t any_stopped(struct run *r)
{
    uint32_t n = r->nodes - r->running_n;
    if (n == 0)
        return WORLD_NOBODY;
    uint32_t k = (uint32_t)rng_below(&r->rng, n);
    for (uint32_t i = 0; i < r->nodes; i++)
        if (!world_running(r->w, i) && k-- == 0)
            return i;
    return WORLD_NOBODY; /* one that is leaving runs still */
}

static void wake_all(struct run *r)
{
    for (uint32_t i = 0; i < r->running_n; i++)
        if (world_paused(r->w, r->running[i]))
            world_pause(r->w, r->running[i], false);
}

/* One thing that may happen to the ring; false: it cannot, as the ring is. A node alone may end as
 * well: the next operation starts one. */
static bool small_op(struct run *r, uint32_t wanted)
{
    enum { START, CRASH, SILENT, LEAVE, PAUSE, FIND, OPS };
    uint64_t op = rng_below(&r->rng, OPS);
    uint32_t any = run_any(r), stopped = any_stopped(r);
    if (any == WORLD_NOBODY || (r->running_n < wanted && rng_below(&r->rng, 2) == 0))
        op = START;
    switch (op) {
    case START:
        if (stopped == WORLD_NOBODY)
            return false;
        run_start(r, stopped, rng_below(&r->rng, 2) == 0);
        return true;
    case CRASH:
    case SILENT:
        run_crash(r, any, op == SILENT);
        return true;
    case LEAVE:
        if (world_paused(r->w, any))
            return false;
        run_leave(r, any);
        return true;
    case PAUSE:
        run_excuse(r, true);
        world_pause(r->w, any, !world_paused(r->w, any));
        return true;
    default:
        return run_lookups_now(r, 1) == 1;
    }
}

/* Rests are short more often than long, for what happens within a time-out is where mistakes are.
 */
static uint32_t small_ops(struct run *r)
{
    uint32_t wanted = 1 + (uint32_t)rng_below(&r->rng, r->nodes), done = 0;
    for (int k = 0; k < SMALL_OPS; k++) {
        bool did = false;
        for (int tries = 0; tries < SMALL_TRIES && !did; tries++)
            did = small_op(r, wanted);
        done += did;
        world_run(r->w, rng_below(&r->rng, 1 + rng_below(&r->rng, SMALL_REST_MS)) * 1000);
    }
    return done;
}

void scenario_small(struct run *r)
{
    r->r = r->opt->successors != 0
               ? (uint8_t)r->opt->successors
               : (uint8_t)(SMALL_R_LEAST + r->opt->seed % (SMALL_R_MOST - SMALL_R_LEAST + 1));
    r->remember = true;
    r->beacons = r->opt->seed / 2 % 2 == 0;
    run_open(r, r->opt->nodes, NULL);
    uint32_t rounds = (run_duration(r) + SMALL_ROUND_S - 1) / SMALL_ROUND_S;
    double worst = 0;
    uint64_t operations = 0;
    for (uint32_t i = 0; i < rounds && r->result->violations == 0; i++) {
        operations += small_ops(r);
        wake_all(r);
        run_introduce(r);
        world_run(r->w, SMALL_WAKE_US); /* those who slept find out what they missed */
        double took = run_settle(r, run_patience(r), "what happened to a small ring");
        worst = took > worst ? took : worst;
        run_excuse(r, false);
        run_lookups_end(r);
        run_lookups_reset(r);
        (void)run_lookups_now(r, SMALL_LOOKUPS);
        run_lookups_end(r);
        if (took >= 0)
            run_all_right(r, "in a small ring at rest");
    }
    run_figure(r, "operations", (double)operations, 0,
               "operations done, lookups at rest not among them");
    run_figure(r, "successors", r->r, 0, "length of the successor list");
    run_figure(r, "ideal_seconds_most", worst, 1, "seconds until the ring was ideal, at most");
}

/* ---- pause and oneway ---- */

void scenario_pause(struct run *r)
{
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_excuse(r, true);
    uint32_t n = (uint32_t)(run_fraction(r, 0.2) * r->nodes);
    for (uint32_t i = 0; i < n; i++)
        world_pause(r->w, i * (r->nodes / (n > 0 ? n : 1)), true);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    r->prefix = "paused_";
    run_lookup_figures(r);
    r->prefix = NULL;
    run_figure(r, "ideal_without_seconds", run_settle(r, run_patience(r), "nodes were paused"), 1,
               "seconds until the others were an ideal ring");
    world_run(r->w, (uint64_t)run_duration(r) * US);
    wake_all(r);
    world_run(r->w, US);
    run_figure(r, "ideal_seconds", 1 + run_settle(r, run_patience(r), "the paused came back"), 1,
               "seconds from their coming back until the ring was ideal");
    run_excuse(r, false);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "after the paused came back");
    run_lookup_figures(r);
}

void scenario_oneway(struct run *r)
{
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_excuse(r, true);
    uint32_t n = (uint32_t)(run_fraction(r, 0.3) * r->nodes);
    for (uint32_t i = 0; i < n; i++)
        world_group(r->w, i, 1);
    world_cut(r->w, 0, 1, WORLD_LOST);
    world_run(r->w, (uint64_t)run_duration(r) * US);
    world_heal(r->w);
    run_figure(r, "ideal_seconds", run_settle(r, 2 * run_patience(r), "the way was healed"), 1,
               "seconds from healing until the ring was ideal");
    run_excuse(r, false);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "after a way that was cut healed");
    run_lookup_figures(r);
}

/* ---- address ---- */

/* What every node has of its neighbours' addresses is what these are. */
static void check_addresses(struct run *r)
{
    for (uint32_t i = 0; i < r->running_n; i++) {
        struct ring_view v;
        struct wire_contact c;
        ring_look(run_ring(r, r->running[i]), &v);
        for (size_t k = 0; k < v.successors_n; k++) {
            char text[WIRE_ADDRESS_MAX];
            uint32_t node = oracle_node_of(r->o, &v.successors[k]);
            if (node == WORLD_NOBODY)
                continue;
            world_address_text(world_address(r->w, node), text);
            if (ring_contact(run_ring(r, r->running[i]), &v.successors[k], &c) != 0 ||
                !peal_bytes_eq(wire_address(c.addresses, 0), peal_bytes_str(text)))
                run_violation(r, r->running[i], "it does not know that its successor %u is at %s",
                              node, text);
        }
    }
}

void scenario_address(struct run *r)
{
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_excuse(r, true); /* torn links: time-outs that do not mean death */
    uint32_t n = r->nodes / 4;
    for (uint32_t i = 0; i < n; i++) { /* moves, some with their links torn */
        run_move(r, i, r->nodes + i, i % 2 == 0);
        world_run(r->w, US);
    }
    run_figure(r, "moved_seconds", run_settle(r, run_patience(r), "nodes moved"), 1,
               "seconds after the last move until the ring was ideal");
    for (uint32_t i = 0; i + 1 < n; i += 2) { /* swaps */
        uint32_t a = world_address(r->w, i), b = world_address(r->w, i + 1);
        run_move(r, i, b, true);
        run_move(r, i + 1, a, true);
        world_run(r->w, US);
    }
    run_figure(r, "swapped_seconds", run_settle(r, run_patience(r), "nodes swapped addresses"), 1,
               "seconds after the last swap until the ring was ideal");
    for (uint32_t i = 0; i < n; i++) { /* the addresses of the dead */
        uint32_t dead = n + i, heir = 2 * n + i, address = world_address(r->w, dead);
        run_crash(r, dead, true);
        run_move(r, heir, address, true);
        world_run(r->w, US);
    }
    run_figure(r, "inherited_seconds",
               run_settle(r, run_patience(r), "nodes took addresses of the dead"), 1,
               "seconds after the last such until the ring was ideal");
    run_excuse(r, false);
    world_run(r->w, (uint64_t)run_duration(r) * US);
    check_addresses(r);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "after addresses changed");
    run_lookup_figures(r);
}

/* ---- drift ---- */

static void clocks(struct world_config *c)
{
    if (c->drift_ppm == 0)
        c->drift_ppm = 500;
    c->drift_ms = 2 * 60 * 1000;
}

void scenario_drift(struct run *r)
{
    run_open(r, r->opt->nodes, clocks);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_lookups_over(r, LOOKUPS, run_duration(r));
    run_all_right(r, "with clocks that differ");
    uint32_t n = r->nodes / 4;
    for (uint32_t i = 0; i < n && r->running_n > 1; i++) {
        run_crash(r, i, i % 2 == 0);
        world_run(r->w, 3 * US);
    }
    for (uint32_t i = 0; i < n; i++) {
        run_start(r, i, true);
        world_run(r->w, US);
    }
    run_figure(r, "ideal_seconds", run_settle(r, run_patience(r), "deaths and returns"), 1,
               "seconds until the ring was ideal");
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "with clocks that differ, after deaths and returns");
    run_lookup_figures(r);
}
