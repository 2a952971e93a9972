/* Whether keys are served while servers join, leave, are removed and move: rings whose every server
 * asks for registers and mailboxes all the time, in which copying takes seconds, since little may
 * be sent of it. Times are virtual. What is measured:
 *
 *   an operation's time      from its beginning to its end;
 *   a key's time unserved    since an operation on it began, or another one on it ended, whichever
 *                            is later, until one ends.
 *
 * Nothing may fail, nothing may be missing from what is read, and neither time may exceed what some
 * round trips take: it must not depend on how much there is to be copied. */
#include <criterion/criterion.h>

#include "group.h"

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
    MS_US = 1000,
    S_US = 1000 * 1000,
    SEEDS = SANITISED ? 1 : 4,
    SEEDS_TWO = SANITISED ? 2 : 12,
    NODES = 8,
    REGISTERS = 120,
    BOXES = 120,
    KEYS = REGISTERS + BOXES,
    ROWS_FIRST = 3, /* of each box, before anything changes */
    BODY_FIRST = 2000,
    BODY_LATER = 100,
    REPAIR_BYTES = 4096, /* a second; eight times as much for copying, once 256 KiB are spent */
    COPIED_LEAST_US = 5 * S_US, /* by all changes of a run, on the average */
    GRAIN_US = 500,
    EVERY_US = 8 * MS_US, /* a server begins an operation */
    OP_US = 30 * S_US,    /* none gives up before it is measured */
    FORM_US = 20 * S_US,
    CHANGE_US = 240 * S_US,
    CALM_US = S_US,
    AWAY_US = 3 * S_US,
    ACTIVE_MAX = 1024,

    /* The network and the disks: one way, and one wait for a disk. */
    WAY_US = 2 * MS_US,
    DISK_US = 5 * MS_US,
    /* There and back, when both ends have something to write first. */
    TRIP_US = 2 * WAY_US + 2 * DISK_US,
    /* A register's change is two round trips, asking and writing. Of those that meet a change of
     * the ring and, when they are tried again, another server's change of the same register: the
     * first try, a pause of 4 round trips on the average (6 at most), the second try, a pause of 8
     * (12), and the third. Everything else takes less. */
    TRIPS = 2 + 6 + 2 + 12 + 2,
    BOUND_US = TRIPS * TRIP_US,
};

struct box {
    struct {
        struct peal_msg_id id;
        uint64_t acked_us;
    } * rows;
    size_t n, cap;
};

struct active {
    size_t op, key;
    uint32_t least; /* of a register: changes that had ended when it began */
};

struct figures {
    uint64_t op_us, key_us, ops, failed;
    char why[200]; /* the first that failed */
};

struct hand {
    struct group *g;
    uint64_t seed;
    size_t servers;
    bool in[NODES], asks[NODES];
    size_t next_key[NODES];
    uint64_t next_us[NODES];
    struct active active[ACTIVE_MAX];
    size_t active_n;
    size_t pending[KEYS];
    uint64_t asked_us[KEYS];
    uint32_t changed[REGISTERS];
    struct box boxes[BOXES];
    struct figures now; /* of the change under way */
    const char *what;
    uint64_t epoch;     /* in which it ends */
    uint64_t copied_us; /* of all so far */
};

#define SAY(h) (unsigned long long)(h)->seed, (h)->servers, (h)->what

static struct peal_id key_at(const struct hand *h, size_t key)
{
    return group_key(h->g, (uint32_t)key);
}

/* ---- what is asked ---- */

static void begin(struct hand *h, size_t node, size_t key, enum group_op_kind kind, size_t body)
{
    struct peal_id id = key_at(h, key);
    cr_assert_lt(h->active_n, ACTIVE_MAX, "seed %llu, ring of %zu, %s: too many are under way",
                 SAY(h));
    size_t op = kind == GROUP_PUT ? group_put(h->g, node, &id, body, OP_US)
                                  : group_begin(h->g, node, kind, &id, OP_US);
    cr_assert_neq(op, SIZE_MAX, "seed %llu, ring of %zu, %s: server %zu is busy", SAY(h), node);
    h->active[h->active_n++] =
        (struct active){.op = op, .key = key, .least = key < REGISTERS ? h->changed[key] : 0};
    if (h->pending[key]++ == 0)
        h->asked_us[key] = sim_now(h->g->sim);
}

static void ask(struct hand *h, size_t node)
{
    /* each goes through all keys in an order of its own: no two are at one key again and again */
    static const size_t strides[NODES] = {7, 11, 13, 17, 19, 23, 29, 31};
    size_t key = (h->next_key[node] += strides[node]) % KEYS;
    struct rng *g = sim_rng(h->g->sim);
    if (key < REGISTERS)
        begin(h, node, key, rng_below(g, 2) == 0 ? GROUP_GET : GROUP_TALLY, 0);
    else if (rng_below(g, 6) == 0)
        begin(h, node, key, GROUP_PUT, BODY_LATER);
    else
        begin(h, node, key, GROUP_READ, 0);
}

/* ---- what is answered ---- */

static uint32_t tallied(const struct hand *h, const struct group_op *o)
{
    uint32_t n = 0;
    for (size_t i = 0; i < h->g->cfg.nodes; i++)
        n += group_tally(o, i);
    return n;
}

static void put_ended(const struct group_op *o, struct box *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap == 0 ? 16 : 2 * b->cap;
        b->rows = realloc(b->rows, b->cap * sizeof *b->rows);
        cr_assert_not_null(b->rows, "memory");
    }
    b->rows[b->n].id = o->id;
    b->rows[b->n++].acked_us = o->ended_us;
}

static bool has_row(const struct group_op *o, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < o->value_n; i++)
        if (memcmp(o->value + i * MSG_ID_BYTES, id->b, MSG_ID_BYTES) == 0)
            return true;
    return false;
}

static void read_ended(struct hand *h, const struct group_op *o, const struct box *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->rows[i].acked_us <= o->began_us && !has_row(o, &b->rows[i].id) &&
            h->now.failed++ == 0)
            (void)snprintf(h->now.why, sizeof h->now.why,
                           "a read at %zu misses a row that was acknowledged %llu us before",
                           o->node, (unsigned long long)(o->began_us - b->rows[i].acked_us));
}

static const char *const kinds[] = {[GROUP_GET] = "register read",
                                    [GROUP_TALLY] = "register change",
                                    [GROUP_PUT] = "put",
                                    [GROUP_READ] = "mailbox read"};

static void ended(struct hand *h, const struct active *a)
{
    const struct group_op *o = &h->g->ops[a->op];
    uint64_t took = o->ended_us - o->began_us, since = h->asked_us[a->key];
    uint64_t unserved = o->ended_us > since ? o->ended_us - since : 0;
    if (o->err != 0 && h->now.failed++ == 0)
        (void)snprintf(h->now.why, sizeof h->now.why, "a %s at %zu ends with %s after %llu us",
                       kinds[o->kind], o->node, err_name(o->err), (unsigned long long)took);
    if (took > h->now.op_us)
        h->now.op_us = took;
    if (unserved > h->now.key_us)
        h->now.key_us = unserved;
    if (took > 80 * MS_US && getenv("PEAL_SIM_VERBOSE") != NULL)
        (void)fprintf(stderr, "%10.3f: a %s at %zu took %llu us\n", (double)o->ended_us / 1000.0,
                      kinds[o->kind], o->node, (unsigned long long)took);
    h->now.ops++;
    h->pending[a->key]--;
    if (o->err != 0)
        return;
    if (o->ended_us > since)
        h->asked_us[a->key] = o->ended_us;
    if (a->key < REGISTERS) {
        uint32_t n = tallied(h, o);
        cr_assert_geq(n, a->least + (o->kind == GROUP_TALLY),
                      "seed %llu, ring of %zu, %s: of %u changes %u are there", SAY(h), a->least,
                      n);
        h->changed[a->key] += o->kind == GROUP_TALLY;
    } else if (o->kind == GROUP_PUT) {
        put_ended(o, &h->boxes[a->key - REGISTERS]);
    } else {
        read_ended(h, o, &h->boxes[a->key - REGISTERS]);
    }
}

/* One grain of time; whoever asks goes on asking. */
static void live(struct hand *h)
{
    struct sim *s = h->g->sim;
    size_t kept = 0;
    sim_run(s, GRAIN_US);
    for (size_t i = 0; i < h->active_n; i++) {
        struct active a = h->active[i];
        if (h->g->ops[a.op].err == GROUP_RUNNING)
            h->active[kept++] = a;
        else
            ended(h, &a);
    }
    h->active_n = kept;
    for (size_t i = 0; i < NODES; i++) {
        if (!h->asks[i] || !sim_running(s, i) || sim_now(s) < h->next_us[i])
            continue;
        h->next_us[i] = sim_now(s) + EVERY_US;
        ask(h, i);
    }
}

static void live_for(struct hand *h, uint64_t us)
{
    uint64_t end = sim_now(h->g->sim) + us;
    while (sim_now(h->g->sim) < end)
        live(h);
}

/* ---- changes ---- */

static size_t members(const struct hand *h)
{
    size_t n = 0;
    for (size_t i = 0; i < NODES; i++)
        n += h->in[i];
    return n;
}

static size_t running(const struct hand *h)
{
    size_t n = 0;
    for (size_t i = 0; i < NODES; i++)
        n += h->in[i] && sim_running(h->g->sim, i);
    return n;
}

static bool sees_all(const struct hand *h, size_t node)
{
    for (size_t i = 0; i < NODES; i++) {
        struct peal_id id = sim_id(h->g->sim, i);
        if (h->in[i] && sim_running(h->g->sim, i) && !chord_is_up(group_chord(h->g, node), &id))
            return false;
    }
    return true;
}

/* Whoever is in the ring asks, once it has links to the others: rows that it puts before may lie
 * with stand-ins for some seconds, where no read looks (chord_set_read). */
static void all_ask(struct hand *h)
{
    for (size_t i = 0; i < NODES; i++) {
        if (!h->in[i] || h->asks[i] || !sim_running(h->g->sim, i))
            continue;
        h->asks[i] = sees_all(h, i);
        h->next_us[i] = sim_now(h->g->sim) + rng_below(sim_rng(h->g->sim), EVERY_US);
    }
}

static uint64_t epoch(const struct hand *h)
{
    static uint8_t mem[64 * 1024];
    uint64_t most = 0;
    for (size_t i = 0; i < NODES; i++) {
        struct arena a;
        struct wire_c_ring v;
        arena_init(&a, mem, sizeof mem);
        if (!sim_running(h->g->sim, i))
            continue;
        chord_ring(group_chord(h->g, i), &a, &v);
        most = v.epoch > most ? v.epoch : most;
    }
    return most;
}

/* Nobody asks until all_ask; whatever was under way ends. */
static void fall_silent(struct hand *h)
{
    memset(h->asks, 0, sizeof h->asks);
    while (h->active_n > 0)
        live(h);
}

/* epochs: that come of it */
static void change_begins(struct hand *h, const char *what, uint64_t epochs)
{
    h->what = what;
    h->epoch = epoch(h) + epochs;
    h->now = (struct figures){0};
    live_for(h, CALM_US);
}

/* Until all is whole and copied, and for a while after. */
static void change_ends(struct hand *h)
{
    struct sim *s = h->g->sim;
    uint64_t began = sim_now(s), looked = began;
    bool whole = false;
    while (!whole) {
        live(h);
        all_ask(h);
        if (sim_now(s) - looked < 20 * MS_US)
            continue;
        looked = sim_now(s);
        whole = epoch(h) == h->epoch && group_whole(h->g, members(h), running(h));
        cr_assert_lt(sim_now(s), began + CHANGE_US, "seed %llu, ring of %zu, %s: it is not whole",
                     SAY(h));
    }
    uint64_t copied = sim_now(s) - began;
    h->copied_us += copied;
    live_for(h, CALM_US);
    fall_silent(h);
    group_forget(h->g);
    all_ask(h);
    if (getenv("PEAL_SIM_FIGURES") != NULL)
        (void)fprintf(stderr,
                      "seed %llu, ring of %zu, %-26s %6llu operations; longest %4llu ms, a key "
                      "unserved %4llu ms, copied in %5llu ms; %llu failed\n",
                      SAY(h), (unsigned long long)h->now.ops,
                      (unsigned long long)h->now.op_us / MS_US,
                      (unsigned long long)h->now.key_us / MS_US, (unsigned long long)copied / MS_US,
                      (unsigned long long)h->now.failed);
    cr_expect_eq(h->now.failed, 0, "seed %llu, ring of %zu, %s: %llu failed: %s", SAY(h),
                 (unsigned long long)h->now.failed, h->now.why);
    cr_expect_leq(h->now.op_us, BOUND_US, "seed %llu, ring of %zu, %s: an operation took %llu us",
                  SAY(h), (unsigned long long)h->now.op_us);
    cr_expect_leq(h->now.key_us, BOUND_US,
                  "seed %llu, ring of %zu, %s: a key was not served for %llu us", SAY(h),
                  (unsigned long long)h->now.key_us);
}

static size_t pick(const struct hand *h, bool in)
{
    for (;;) {
        size_t i = rng_below(sim_rng(h->g->sim), NODES);
        if (h->in[i] == in && sim_running(h->g->sim, i) == in)
            return i;
    }
}

/* It says goodbye when its own clients' operations have ended, and nothing depends on it alone, as
 * peald does. */
static void bye(struct hand *h, size_t node)
{
    bool busy = true;
    h->asks[node] = false;
    while (busy) {
        live(h);
        busy = chord_is_needed(group_chord(h->g, node));
        for (size_t i = 0; i < h->active_n; i++)
            busy = busy || h->g->ops[h->active[i].op].node == node;
    }
    sim_leave(h->g->sim, node);
    while (sim_running(h->g->sim, node))
        live(h);
}

static size_t fresh(struct hand *h)
{
    size_t node = 0;
    while (h->in[node] || sim_running(h->g->sim, node) || h->next_key[node] > 0)
        node++;
    cr_assert_lt(node, NODES, "somebody is left to join");
    h->in[node] = true;
    h->next_key[node] = rng_below(sim_rng(h->g->sim), KEYS);
    return node;
}

static void join(struct hand *h, const char *what)
{
    change_begins(h, what, 1);
    size_t node = fresh(h);
    sim_start(h->g->sim, node);
    change_ends(h);
}

static void leave(struct hand *h)
{
    change_begins(h, "one leaves and comes back", 0);
    size_t node = pick(h, true);
    bye(h, node);
    live_for(h, AWAY_US);
    sim_start(h->g->sim, node);
    change_ends(h);
}

static void take_out(struct hand *h, const char *what)
{
    change_begins(h, what, 1);
    size_t node = pick(h, true), by = node;
    bye(h, node);
    live_for(h, CALM_US);
    while (by == node)
        by = pick(h, true);
    struct peal_id id = sim_id(h->g->sim, node);
    size_t op = group_begin(h->g, by, GROUP_REMOVE, &id, CHANGE_US);
    while (h->g->ops[op].err == GROUP_RUNNING)
        live(h);
    cr_assert_eq(h->g->ops[op].err, 0, "seed %llu, ring of %zu, %s: it cannot be: %.*s", SAY(h),
                 (int)h->g->ops[op].value_n, (const char *)h->g->ops[op].value);
    h->in[node] = false;
    change_ends(h);
}

static void move(struct hand *h, const char *what, const char *domain)
{
    change_begins(h, what, 1);
    size_t node = pick(h, true);
    while (strcmp(h->g->domain[node], domain) == 0)
        node = pick(h, true);
    (void)snprintf(h->g->domain[node], sizeof h->g->domain[node], "%s", domain);
    bye(h, node);
    sim_start(h->g->sim, node);
    change_ends(h);
}

static void join_beside_one_that_is_away(struct hand *h)
{
    change_begins(h, "one joins, another is away", 1);
    size_t away = pick(h, true);
    bye(h, away);
    sim_start(h->g->sim, fresh(h));
    live_for(h, AWAY_US);
    sim_start(h->g->sim, away);
    change_ends(h);
}

static bool are_linked(void *arg)
{
    struct hand *h = arg;
    return group_whole(h->g, members(h), running(h));
}

/* While the mover starts anew two are away, which is one too many: nobody asks then. */
static void move_beside_one_that_is_away(struct hand *h)
{
    change_begins(h, "one moves, another is away", 1);
    size_t away = pick(h, true), node = away;
    while (node == away || strcmp(h->g->domain[node], "rack-1") == 0)
        node = pick(h, true);
    (void)snprintf(h->g->domain[node], sizeof h->g->domain[node], "rack-1");
    bye(h, away);
    fall_silent(h);
    bye(h, node);
    sim_start(h->g->sim, node);
    cr_assert(sim_until(h->g->sim, are_linked, h, FORM_US), "seed %llu, ring of %zu, %s: linked",
              SAY(h));
    all_ask(h);
    live_for(h, AWAY_US);
    sim_start(h->g->sim, away);
    change_ends(h);
}

static void leave_beside_one_that_copies(struct hand *h)
{
    change_begins(h, "one leaves, another copies", 1);
    size_t away = pick(h, true), node = fresh(h);
    sim_start(h->g->sim, node);
    while (epoch(h) < h->epoch)
        live(h);
    live_for(h, 100 * MS_US);
    bye(h, away);
    live_for(h, AWAY_US);
    sim_start(h->g->sim, away);
    change_ends(h);
}

/* ---- runs ---- */

static void fill(struct hand *h)
{
    size_t by = pick(h, true);
    for (size_t key = 0; key < KEYS; key++) {
        if (key < REGISTERS)
            begin(h, by, key, GROUP_TALLY, 0);
        for (size_t i = 0; key >= REGISTERS && i < ROWS_FIRST; i++) {
            begin(h, by, key, GROUP_PUT, BODY_FIRST);
            live_for(h, 2 * MS_US);
        }
        live(h);
    }
}

static struct hand *hand_new(uint64_t seed, size_t servers)
{
    struct hand *h = calloc(1, sizeof *h);
    cr_assert_not_null(h, "memory");
    struct sim_config cfg = {.seed = seed,
                             .nodes = NODES,
                             .replicas = 2,
                             .discovery = true,
                             .ops_max = ACTIVE_MAX,
                             .repair_bytes = REPAIR_BYTES,
                             .latency_us = {WAY_US / 10, WAY_US},
                             .fsync_us = {DISK_US / 50, DISK_US},
                             .verbose = getenv("PEAL_SIM_VERBOSE") != NULL};
    h->seed = seed;
    h->servers = servers;
    h->what = "at first";
    h->g = group_new(&cfg);
    for (size_t i = 0; i < servers;) {
        size_t node = rng_below(sim_rng(h->g->sim), NODES);
        if (h->in[node])
            continue;
        h->in[node] = true;
        h->next_key[node] = 1 + rng_below(sim_rng(h->g->sim), KEYS);
        sim_start(h->g->sim, node);
        i++;
    }
    cr_assert(group_wait_whole(h->g, servers, servers, FORM_US), "seed %llu: no ring of %zu",
              (unsigned long long)seed, servers);
    fill(h);
    all_ask(h);
    return h;
}

static void hand_free(struct hand *h)
{
    for (size_t i = 0; i < BOXES; i++)
        free(h->boxes[i].rows);
    group_free(h->g);
    free(h);
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *n = getenv(variable);
    return n == NULL ? otherwise : strtoull(n, NULL, 10);
}

/* PEAL_SIM_SEEDS=n runs so many, from PEAL_SIM_FROM + 1 on. PEAL_SIM_FIGURES=1 says what was
 * measured, PEAL_SIM_VERBOSE=1 what happened. */
static void run(size_t servers)
{
    uint64_t from = number_of("PEAL_SIM_FROM", 0), seeds = number_of("PEAL_SIM_SEEDS", SEEDS);
    uint64_t copied_us = 0;
    for (uint64_t seed = from + 1; seed <= from + seeds; seed++) {
        struct hand *h = hand_new(seed, servers);
        join(h, "one joins");
        leave(h);
        take_out(h, "one is removed");
        take_out(h, "another one is removed");
        join(h, "one joins again");
        move(h, "one moves", "rack-1");
        move(h, "another one moves", "rack-1");
        move(h, "a third one moves", "rack-2");
        copied_us += h->copied_us;
        hand_free(h);
    }
    cr_assert_geq(copied_us, seeds * COPIED_LEAST_US,
                  "rings of %zu: copying for %llu us proves little", servers,
                  (unsigned long long)copied_us);
}

Test(handover, ring_of_three)
{
    run(3);
}

Test(handover, ring_of_four)
{
    run(4);
}

Test(handover, ring_of_five)
{
    run(5);
}

Test(handover, two_at_once)
{
    uint64_t from = number_of("PEAL_SIM_FROM", 0), seeds = number_of("PEAL_SIM_SEEDS", SEEDS_TWO);
    for (uint64_t seed = from + 1; seed <= from + seeds; seed++) {
        struct hand *h = hand_new(seed, 3 + seed % 3);
        if (h->servers > 3) { /* else all are homes of everything, wherever they are */
            move(h, "one moves", "rack-1");
            move_beside_one_that_is_away(h);
        }
        join_beside_one_that_is_away(h);
        leave_beside_one_that_copies(h);
        hand_free(h);
    }
}
