/* records: the ring, its troubles, and resting. What is judged is in records_judge.c. */
#include "records.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_MOST = 2000,
    FAULT_EVERY_US = 1200 * 1000,
    FAULT_LASTS_US = 3 * 1000 * 1000,
    POLL_US = 5 * 1000 * 1000,
    /* a link on which something was lost is deaf, healed or not; it is given up by then, and every
     * operation has ended */
    SILENT_US = 15 * 1000 * 1000,
    REMOVE_US = 60 * 1000 * 1000,
    DELETED_US = 1000 * 1000, /* a deletion is on every disk by then */
    SKEW_MS = 15 * 1000,
    DRIFT_PPM = 5000, /* worse than any real clock */
};

struct records *records_new(uint64_t seed, size_t nodes, size_t servers, uint8_t replicas,
                            enum records_joining joining, bool verbose)
{
    CHECK(servers > 0 && servers <= nodes && nodes <= RECORDS_NODES_MAX);
    struct records *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    struct sim_config cfg = {
        .seed = seed, .nodes = nodes, .replicas = replicas, .verbose = verbose};
    /* who comes later is told whom to join: cut off, it would found a ring of its own */
    cfg.discovery = joining == RECORDS_BY_BEACONS || (servers == nodes && seed % 3 != 0);
    cfg.join_first = !cfg.discovery;
    cfg.beacon_loss = seed % 2 == 0 ? 20 : 0;
    if (seed % 5 == 0) /* far apart, with slow disks */
        cfg.latency_us[0] = 5000, cfg.latency_us[1] = 60000, cfg.fsync_us[1] = 60000;
    t->seed = seed;
    t->copies = (uint8_t)(replicas + 1);
    t->history = history_new();
    t->group = group_new(&cfg);
    for (size_t i = 0; i < servers; i++) {
        sim_start(t->group->sim, i);
        t->begun[i] = true;
    }
    if (!group_wait_whole(t->group, servers, servers, RECORDS_FORM_US))
        snprintf(t->why, sizeof t->why, "no ring of %zu forms", servers);
    return t;
}

void records_free(struct records *t)
{
    if (t == NULL)
        return;
    history_free(t->history);
    group_free(t->group);
    free(t);
}

/* ---- operations ---- */

static void begin(struct records *t, size_t node, enum group_op_kind kind, uint32_t key)
{
    struct peal_id id = group_key(t->group, key);
    if (sim_running(t->group->sim, node) && t->group->ops_n + 1 < GROUP_OPS_MAX)
        (void)group_begin(t->group, node, kind, &id, RECORDS_OP_US);
}

/* The same register, at every server, at the same instant. */
static void rush(struct records *t)
{
    struct rng *g = sim_rng(t->group->sim);
    bool claim = rng_below(g, 2) == 0;
    uint32_t key =
        claim ? (uint32_t)rng_below(g, RECORDS_NAMES) : 100 + (uint32_t)rng_below(g, RECORDS_LISTS);
    for (size_t i = 0; i < t->group->cfg.nodes; i++)
        begin(t, i, claim ? GROUP_CLAIM : GROUP_APPEND, key);
}

static void delete_one(struct records *t, size_t node, bool sure)
{
    struct group *r = t->group;
    enum { TRIES = 20 };
    for (size_t tries = 0; tries < TRIES && r->ops_n > 0; tries++) {
        size_t i = rng_below(sim_rng(r->sim), r->ops_n);
        struct group_op *o = &r->ops[i];
        if (o->kind != GROUP_PUT || o->err != 0 || o->deleted)
            continue;
        o->deleted = true;
        t->sure[i] = sure;
        group_del(r, node, &o->key, &o->id);
        return;
    }
}

void records_op(struct records *t, bool change)
{
    struct group *r = t->group;
    struct rng *g = sim_rng(r->sim);
    size_t node = rng_below(g, r->cfg.nodes);
    if (change && rng_below(g, 20) == 0)
        rush(t);
    if (!sim_running(r->sim, node) || r->ops_n + 1 >= GROUP_OPS_MAX)
        return;
    uint32_t name = (uint32_t)rng_below(g, RECORDS_NAMES);
    uint32_t list = 100 + (uint32_t)rng_below(g, RECORDS_LISTS);
    struct peal_id box = group_key(r, 200 + (uint32_t)rng_below(g, RECORDS_BOXES));
    switch (change ? rng_below(g, 8) : 7) {
    case 0:
        begin(t, node, GROUP_CLAIM, name);
        break;
    case 1:
    case 2:
        begin(t, node, GROUP_APPEND, list);
        break;
    case 3:
        begin(t, node, GROUP_GET, rng_below(g, 3) == 0 ? name : list);
        break;
    case 4:
    case 5:
        (void)group_put(r, node, &box, rng_below(g, BODY_MOST), RECORDS_OP_US);
        break;
    case 6:
        delete_one(t, node, false);
        break;
    default:
        (void)group_begin(r, node, GROUP_READ, &box, RECORDS_OP_US);
        break;
    }
}

static size_t some_running(struct records *t)
{
    struct sim *s = t->group->sim;
    size_t n = 0, nodes = t->group->cfg.nodes;
    for (size_t i = 0; i < nodes; i++)
        n += sim_running(s, i);
    CHECK(n > 0);
    size_t at = rng_below(sim_rng(s), n);
    for (size_t i = 0; i < nodes; i++)
        if (sim_running(s, i) && at-- == 0)
            return i;
    return SIZE_MAX;
}

void records_delete_some(struct records *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        delete_one(t, some_running(t), true);
    sim_run(t->group->sim, DELETED_US);
}

void records_lose_one(struct records *t, size_t node)
{
    CHECK(sim_running(t->group->sim, node));
    sim_crash(t->group->sim, node);
    t->gone[node] = true;
}

bool records_remove(struct records *t, size_t node)
{
    struct group *r = t->group;
    struct peal_id id = sim_id(r->sim, node);
    CHECK(t->gone[node]);
    size_t by = some_running(t), op = group_begin(r, by, GROUP_REMOVE, &id, REMOVE_US);
    CHECK(op != SIZE_MAX);
    int err = group_wait(r, op, REMOVE_US + 1);
    t->out[node] = err == 0;
    if (err != 0)
        snprintf(t->why, sizeof t->why, "server %zu cannot be removed: %s: %.*s", node,
                 err_name(err), (int)r->ops[op].value_n, (const char *)r->ops[op].value);
    return err == 0;
}

void records_lose(struct records *t, size_t n)
{
    struct sim *s = t->group->sim;
    while (n > 0) {
        size_t i = 1 + rng_below(sim_rng(s), t->group->cfg.nodes - 1);
        if (!sim_running(s, i))
            continue;
        records_lose_one(t, i);
        n--;
    }
}

bool records_join(struct records *t)
{
    for (size_t i = 0; i < t->group->cfg.nodes; i++) {
        if (t->begun[i])
            continue;
        sim_start(t->group->sim, i);
        t->begun[i] = true;
        return true;
    }
    return false;
}

/* ---- faults ---- */

struct trouble {
    struct records *t;
    struct sim *sim;
    struct rng *g;
    size_t nodes;
    unsigned faults;
    uint64_t heal_us;                     /* 0: nothing is cut */
    uint64_t until_us[RECORDS_NODES_MAX]; /* paused */
    uint64_t back_us[RECORDS_NODES_MAX];
    uint64_t disk_us[RECORDS_NODES_MAX]; /* full until then; 0: not */
    bool told[RECORDS_NODES_MAX];        /* its core knows */
};

static uint64_t soon(struct trouble *x)
{
    return sim_now(x->sim) + 1 + rng_below(x->g, FAULT_LASTS_US);
}

static size_t down(const struct trouble *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->nodes; i++)
        n += x->t->begun[i] && !sim_running(x->sim, i);
    return n;
}

/* Cuts what the function says, heals the rest. */
static void cut_as(struct trouble *x, bool (*apart)(const uint64_t *p, size_t a, size_t b),
                   const uint64_t p[static 4])
{
    for (size_t a = 0; a < x->nodes; a++)
        for (size_t b = a + 1; b < x->nodes; b++)
            sim_cut(x->sim, a, b, apart(p, a, b));
    x->heal_us = soon(x);
}

/* Several parts: two bits of p per server say which. */
static bool parts(const uint64_t *p, size_t a, size_t b)
{
    return (p[0] >> 2 * a & 3) != (p[0] >> 2 * b & 3);
}

/* Two sides, and one server that both see. */
static bool bridge(const uint64_t *p, size_t a, size_t b)
{
    return a != p[1] && b != p[1] && (p[0] >> a & 1) != (p[0] >> b & 1);
}

/* Each sees so many to its left and right in a circle (p[2] places), in an order of its own: with
 * enough of them each one sees a majority, and no two the same. */
static bool circle(const uint64_t *p, size_t a, size_t b)
{
    size_t x = (size_t)(a * p[1] % p[2]), y = (size_t)(b * p[1] % p[2]);
    size_t d = x > y ? x - y : y - x;
    return (d < p[2] - d ? d : p[2] - d) > p[0];
}

/* Each pair for itself. */
static bool pairs(const uint64_t *p, size_t a, size_t b)
{
    struct rng g;
    rng_init(&g, p[0] ^ (a * RECORDS_NODES_MAX + b));
    return rng_below(&g, 3) == 0;
}

static void part(struct trouble *x)
{
    uint64_t p[4] = {rng_next(x->g), rng_below(x->g, x->nodes), x->nodes, 0};
    switch (rng_below(x->g, 5)) {
    case 0:
        sim_partition(x->sim, p[0] & ((UINT64_C(1) << x->nodes) - 1));
        x->heal_us = soon(x);
        break;
    case 1:
        cut_as(x, parts, p);
        break;
    case 2:
        cut_as(x, bridge, p);
        break;
    case 3:
        p[0] = (x->nodes / 2 + 1) / 2;
        p[1] = 1 + rng_below(x->g, x->nodes - 1);
        while (x->nodes % p[1] == 0 && p[1] > 1)
            p[1]--;
        cut_as(x, circle, p);
        break;
    default:
        cut_as(x, pairs, p);
        break;
    }
}

static void cut(struct trouble *x, size_t a, size_t b)
{
    size_t how = rng_below(x->g, 3);
    if (how == 0)
        sim_cut(x->sim, a, b, true);
    else
        sim_cut_way(x->sim, a, b, how == 1 ? SIM_HELD : SIM_LOST);
    x->heal_us = soon(x);
}

static void fill_disk(struct trouble *x, size_t a)
{
    size_t full = 0;
    for (size_t i = 0; i < x->nodes; i++)
        full += x->disk_us[i] != 0;
    if (!sim_running(x->sim, a) || store_health(sim_store(x->sim, a)) < 0 || x->disk_us[a] != 0 ||
        2 * (full + 1) > x->nodes)
        return;
    x->disk_us[a] = soon(x);
    x->told[a] = rng_below(x->g, 2) == 0;
    if (x->told[a])
        sim_disk(x->sim, a, PEAL_E_NO_SPACE);
    else
        sim_refuse(x->sim, a);
}

static void fault(struct trouble *x)
{
    size_t a = rng_below(x->g, x->nodes);
    size_t b = x->nodes == 1 ? a : (a + 1 + rng_below(x->g, x->nodes - 1)) % x->nodes;
    bool may_fall = sim_running(x->sim, a) && 2 * (down(x) + 1) <= x->nodes;
    unsigned kind = 1u << rng_below(x->g, 9);
    if ((x->faults & kind) == 0 || (a == b && kind >= RECORDS_BREAK))
        return;
    switch ((enum records_fault)kind) {
    case RECORDS_CRASH:
        if (rng_below(x->g, 8) == 0) /* the power goes everywhere */
            for (size_t i = 0; i < x->nodes; i++)
                sim_crash(x->sim, i);
        else if (may_fall && rng_below(x->g, 3) == 0)
            sim_crash(x->sim, a);
        else if (may_fall)
            sim_crash_after(x->sim, a, 1 + (uint32_t)rng_below(x->g, 200));
        break;
    case RECORDS_LEAVE:
        if (may_fall)
            sim_leave(x->sim, a);
        break;
    case RECORDS_PAUSE:
        sim_pause(x->sim, a, true);
        x->until_us[a] = soon(x);
        break;
    case RECORDS_BREAK:
        sim_break(x->sim, a, b);
        break;
    case RECORDS_CUT:
        cut(x, a, b);
        break;
    case RECORDS_PART:
        part(x);
        break;
    case RECORDS_CLOCK:
        if (rng_below(x->g, 2) == 0)
            sim_skew(x->sim, a, (int64_t)rng_below(x->g, 2 * SKEW_MS) - SKEW_MS);
        sim_drift(x->sim, a, (int64_t)rng_below(x->g, 2 * DRIFT_PPM) - DRIFT_PPM);
        break;
    case RECORDS_DISK:
        fill_disk(x, a);
        break;
    case RECORDS_JOIN:
        (void)records_join(x->t);
        break;
    case RECORDS_ALL:
        break;
    }
}

/* A disk has room again; or its core, which has found out for itself by now, is told. */
static void mend_disk(struct trouble *x, size_t i, bool now)
{
    if (x->disk_us[i] == 0)
        return;
    if (now || sim_now(x->sim) >= x->disk_us[i] || !sim_running(x->sim, i)) {
        sim_disk(x->sim, i, 0);
        x->disk_us[i] = 0;
    } else if (!x->told[i]) {
        x->told[i] = true;
        sim_disk(x->sim, i, PEAL_E_NO_SPACE);
    }
}

static void mend(struct trouble *x)
{
    if (x->heal_us != 0 && sim_now(x->sim) >= x->heal_us) {
        sim_partition(x->sim, 0);
        x->heal_us = 0;
    }
    for (size_t i = 0; i < x->nodes; i++) {
        if (x->until_us[i] != 0 && sim_now(x->sim) >= x->until_us[i]) {
            sim_pause(x->sim, i, false);
            x->until_us[i] = 0;
        }
        mend_disk(x, i, false);
        if (sim_running(x->sim, i))
            x->back_us[i] = 0;
        else if (x->back_us[i] == 0)
            x->back_us[i] = soon(x);
        else if (sim_now(x->sim) >= x->back_us[i] && x->t->begun[i] && !x->t->gone[i])
            sim_start(x->sim, i);
    }
}

void records_trouble(struct records *t, uint64_t us, unsigned faults, bool change)
{
    struct group *r = t->group;
    struct trouble x = {
        .t = t, .sim = r->sim, .g = sim_rng(r->sim), .nodes = r->cfg.nodes, .faults = faults};
    uint64_t end = sim_now(r->sim) + us, next = sim_now(r->sim);
    while (sim_now(r->sim) < end) {
        sim_run(r->sim, 1 + rng_below(x.g, 40000));
        mend(&x);
        if (sim_now(r->sim) >= next) {
            fault(&x);
            next = sim_now(r->sim) + rng_below(x.g, FAULT_EVERY_US);
        }
        records_op(t, change);
    }
    sim_partition(r->sim, 0);
    for (size_t i = 0; i < x.nodes; i++) {
        sim_pause(r->sim, i, false);
        sim_crash_after(r->sim, i, 0);
        mend_disk(&x, i, true);
    }
    sim_run(r->sim, 200 * 1000); /* whoever is leaving has left */
    for (size_t i = 0; i < x.nodes; i++) {
        bool joins = t->begun[i] || (faults & RECORDS_JOIN) != 0;
        if (!joins || t->gone[i] || sim_running(r->sim, i))
            continue;
        sim_start(r->sim, i);
        t->begun[i] = true;
    }
}

bool records_rest(struct records *t)
{
    size_t size = 0, live = 0;
    sim_run(t->group->sim, SILENT_US);
    for (size_t i = 0; i < t->group->cfg.nodes; i++) {
        size += t->begun[i] && !t->out[i];
        live += t->begun[i] && !t->gone[i];
    }
    if (!group_wait_whole(t->group, size, live, RECORDS_HEAL_US)) {
        snprintf(t->why, sizeof t->why, "the ring of %zu, %zu of them up, is not whole again", size,
                 live);
        return false;
    }
    uint64_t end = sim_now(t->group->sim) + RECORDS_SETTLE_US;
    while (!records_in_place(t) && sim_now(t->group->sim) < end)
        sim_run(t->group->sim, POLL_US);
    if (group_whole(t->group, size, live))
        return true;
    snprintf(t->why, sizeof t->why, "the ring is whole no more");
    return false;
}
