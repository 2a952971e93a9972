/* Rings founded apart, which hold something, become one: nothing that was acknowledged in either is
 * lost, whoever dies on the way. In the simulator: whole chord cores, disks that forget. */
#include <criterion/criterion.h>

#include "group.h"

#include <stdlib.h>
#include <string.h>

enum {
    SECOND_US = 1000 * 1000,
    FORM_US = 20 * SECOND_US,
    UNITE_US = 60 * SECOND_US,
    OP_US = 5 * SECOND_US,
    NODES_MOST = 12,
    KEYS = 24, /* registers that each ring has */
    ROWS = 24,
    PARTS_MOST = 3,
};

/* Nodes in parts that have never heard of each other. */
struct world {
    struct group *g;
    size_t nodes, parts;
    size_t part[NODES_MOST];
    size_t claim[PARTS_MOST][KEYS], list[PARTS_MOST], row[PARTS_MOST][ROWS];
    struct peal_id listed[PARTS_MOST];
};

static void cut_all(struct world *w, bool cut)
{
    for (size_t a = 0; a < w->nodes; a++)
        for (size_t b = 0; b < a; b++)
            if (w->part[a] != w->part[b])
                sim_cut(w->g->sim, a, b, cut);
}

static size_t size_of(const struct world *w, size_t part)
{
    size_t n = 0;
    for (size_t i = 0; i < w->nodes; i++)
        n += w->part[i] == part;
    return n;
}

static bool parts_whole(void *arg)
{
    static uint8_t mem[64 * 1024];
    const struct world *w = arg;
    for (size_t i = 0; i < w->nodes; i++) {
        struct arena a;
        struct wire_c_ring v;
        arena_init(&a, mem, sizeof mem);
        chord_ring(group_chord(w->g, i), &a, &v);
        if (!v.whole || v.nodes.n != size_of(w, w->part[i]) ||
            chord_state(group_chord(w->g, i)) != CHORD_MEMBER)
            return false;
    }
    return true;
}

/* A running node of the part. */
static size_t one_of(const struct world *w, size_t part, size_t which)
{
    for (size_t i = 0; i < 2 * w->nodes; i++) {
        size_t at = (i + which) % w->nodes;
        if (w->part[at] == part && sim_running(w->g->sim, at))
            return at;
    }
    cr_assert_fail("a part has nobody left");
    return 0;
}

static struct peal_id key_of(struct world *w, size_t part, size_t k)
{
    return group_key(w->g, (uint32_t)(1000 * part + k));
}

static void fill(struct world *w)
{
    for (size_t p = 0; p < w->parts; p++) {
        for (size_t k = 0; k < KEYS; k++) {
            struct peal_id key = key_of(w, p, k);
            w->claim[p][k] = group_begin(w->g, one_of(w, p, k), GROUP_CLAIM, &key, OP_US);
            cr_assert_eq(group_wait(w->g, w->claim[p][k], OP_US), 0, "part %zu claims %zu", p, k);
        }
        w->listed[p] = key_of(w, p, 900);
        w->list[p] = group_begin(w->g, one_of(w, p, 0), GROUP_APPEND, &w->listed[p], OP_US);
        cr_assert_eq(group_wait(w->g, w->list[p], OP_US), 0, "part %zu begins a list", p);
        for (size_t k = 0; k < ROWS; k++) {
            struct peal_id box = key_of(w, p, 500 + k / 2);
            w->row[p][k] = group_put(w->g, one_of(w, p, k), &box, 100, OP_US);
            cr_assert_eq(group_wait(w->g, w->row[p][k], OP_US), 0, "part %zu puts %zu", p, k);
        }
    }
}

/* part: which part each node is in, a digit each. */
static struct world apart(uint64_t seed, const char *part)
{
    struct world w = {.nodes = strlen(part)};
    for (size_t i = 0; i < w.nodes; i++) {
        w.part[i] = (size_t)(part[i] - '0');
        w.parts = w.part[i] + 1 > w.parts ? w.part[i] + 1 : w.parts;
    }
    struct sim_config cfg = {
        .seed = seed, .nodes = w.nodes, .replicas = 2, .discovery = true, .ops_max = 256};
    cfg.verbose = getenv("PEAL_SIM_VERBOSE") != NULL;
    w.g = group_new(&cfg);
    cut_all(&w, true);
    group_start_all(w.g);
    cr_assert(sim_until(w.g->sim, parts_whole, &w, FORM_US), "seed %d: each part is a ring",
              (int)seed);
    fill(&w);
    return w;
}

static uint32_t number_at(const struct group_op *o, size_t at)
{
    struct rd r;
    cr_assert_leq(4 * at + 4, o->value_n, "the register has %zu bytes", o->value_n);
    rd_init(&r, o->value + 4 * at, 4);
    return rd_u32(&r);
}

static bool listed(const struct group_op *o, size_t op)
{
    for (size_t i = 0; i < o->value_n / 4; i++)
        if (number_at(o, i) == op + 1)
            return true;
    return false;
}

static void check_claims(struct world *w, int seed)
{
    for (size_t p = 0; p < w->parts; p++)
        for (size_t k = 0; k < KEYS; k++) {
            struct peal_id key = key_of(w, p, k);
            size_t get = group_begin(w->g, (p + k) % w->nodes, GROUP_GET, &key, OP_US);
            cr_assert_eq(group_wait(w->g, get, OP_US), 0, "seed %d: %zu of part %zu is read", seed,
                         k, p);
            cr_assert_eq(number_at(&w->g->ops[get], 0), w->claim[p][k] + 1,
                         "seed %d: %zu of part %zu is whose it was", seed, k, p);
        }
}

static bool rows_there(void *arg)
{
    struct world *w = arg;
    for (size_t p = 0; p < w->parts; p++)
        for (size_t k = 0; k < ROWS; k++) {
            const struct group_op *o = &w->g->ops[w->row[p][k]];
            struct peal_id home[CHORD_REPLICAS_MAX + 1];
            size_t n = chord_home(group_chord(w->g, 0), &o->key, home);
            for (size_t i = 0; i < n; i++)
                if (group_disk_row(w->g, group_index(w->g, &home[i]), &o->key, &o->id) < 0)
                    return false;
        }
    return true;
}

static void check(struct world *w, int seed)
{
    cr_assert(group_wait_whole(w->g, w->nodes, w->nodes, UNITE_US), "seed %d: one ring", seed);
    check_claims(w, seed);
    cr_assert(sim_until(w->g->sim, rows_there, w, UNITE_US), "seed %d: each row at each home",
              seed);
    cr_assert_eq(w->g->clashes, 0, "seed %d: nothing belonged to two", seed);
}

Test(unite, two_rings_of_one_become_one)
{
    for (int seed = 1; seed <= 8; seed++) {
        struct world w = apart((uint64_t)seed, "01");
        cut_all(&w, false);
        check(&w, seed);
        group_free(w.g);
    }
}

Test(unite, rings_of_different_sizes_become_one_and_lose_nothing)
{
    static const char *const parts[] = {"00011", "01111", "0011", "010101", "01"};
    for (int seed = 1; seed <= 15; seed++) {
        struct world w = apart((uint64_t)seed, parts[(size_t)seed % PEAL_COUNT(parts)]);
        cut_all(&w, false);
        check(&w, seed);
        group_free(w.g);
    }
}

Test(unite, three_rings_that_meet_at_once_become_one)
{
    static const char *const parts[] = {"001122", "012012", "0001112", "012"};
    for (int seed = 1; seed <= 12; seed++) {
        struct world w = apart((uint64_t)seed, parts[(size_t)seed % PEAL_COUNT(parts)]);
        cut_all(&w, false);
        check(&w, seed);
        group_free(w.g);
    }
}

Test(unite, a_name_that_both_have_stays_whose_it_is_in_the_ring_that_takes_the_other_in)
{
    struct world w = apart(3, "00011");
    struct peal_id key = key_of(&w, 0, 700);
    size_t op[2];
    for (size_t p = 0; p < 2; p++) {
        op[p] = group_begin(w.g, one_of(&w, p, 0), GROUP_CLAIM, &key, OP_US);
        cr_assert_eq(group_wait(w.g, op[p], OP_US), 0, "part %zu has it", p);
    }
    size_t before = w.g->warned;
    cut_all(&w, false);
    cr_assert(group_wait_whole(w.g, 5, 5, UNITE_US), "one ring");
    for (size_t i = 0; i < 5; i++) {
        size_t get = group_begin(w.g, i, GROUP_GET, &key, OP_US);
        cr_assert_eq(group_wait(w.g, get, OP_US), 0, "read at %zu", i);
        cr_assert_eq(number_at(&w.g->ops[get], 0), op[0] + 1, "the larger ring's stands");
    }
    cr_assert_gt(w.g->clashes, 0, "it was noticed");
    cr_assert_gt(w.g->warned, before, "and said");
    check_claims(&w, 3);
    group_free(w.g);
}

/* The node's ring has everyone in it. */
static bool united(const struct world *w, size_t node)
{
    static uint8_t mem[64 * 1024];
    struct arena a;
    struct wire_c_ring v;
    if (!sim_running(w->g->sim, node))
        return false;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(w->g, node), &a, &v);
    return v.nodes.n == w->nodes;
}

struct waiting_for {
    const struct world *w;
    size_t node, members;
};

/* Lists are written to at all nodes all the time; what was acknowledged is in them at the end, each
 * once. Crashes: any node, at any moment, back a little later. */
static void under_load(int seed, const char *part, bool crashes, bool cuts)
{
    enum { WRITES = 120 };
    struct world w = apart((uint64_t)seed, part);
    struct rng rng;
    size_t op[WRITES], of[WRITES];
    uint32_t down = 0;
    rng_init(&rng, (uint64_t)seed * 31 + 7);
    cut_all(&w, false);
    for (size_t i = 0; i < WRITES; i++) {
        size_t node = (size_t)rng_below(&rng, w.nodes);
        /* who has not met the others' ring yet would begin a list of its own under that name */
        of[i] = united(&w, node) ? (size_t)rng_below(&rng, w.parts) : w.part[node];
        op[i] = sim_running(w.g->sim, node)
                    ? group_begin(w.g, node, GROUP_APPEND, &w.listed[of[i]], OP_US)
                    : SIZE_MAX;
        if (crashes && i % 6 == 0) {
            size_t victim = (size_t)rng_below(&rng, w.nodes);
            if (sim_running(w.g->sim, victim) && down == 0) {
                sim_crash_after(w.g->sim, victim, (uint32_t)rng_below(&rng, 40));
                down = 1;
            }
        }
        if (cuts && i % 15 == 7)
            sim_partition(w.g->sim, rng_below(&rng, 1u << w.nodes));
        if (cuts && i % 15 == 14)
            sim_partition(w.g->sim, 0);
        sim_run(w.g->sim, rng_below(&rng, 200 * 1000));
        for (size_t k = 0; k < w.nodes && i % 6 == 4; k++)
            if (!sim_running(w.g->sim, k)) {
                sim_start(w.g->sim, k);
                down = 0;
            }
        down = 0;
        for (size_t k = 0; k < w.nodes; k++)
            down += !sim_running(w.g->sim, k);
    }
    sim_partition(w.g->sim, 0);
    sim_run(w.g->sim, OP_US); /* whatever was to crash has crashed */
    for (size_t k = 0; k < w.nodes; k++)
        if (!sim_running(w.g->sim, k))
            sim_start(w.g->sim, k);
    check(&w, seed);
    size_t get[PARTS_MOST], acknowledged = 0;
    for (size_t p = 0; p < w.parts; p++) {
        get[p] = group_begin(w.g, 0, GROUP_GET, &w.listed[p], OP_US);
        cr_assert_eq(group_wait(w.g, get[p], OP_US), 0, "seed %d: list %zu is read", seed, p);
        cr_assert(listed(&w.g->ops[get[p]], w.list[p]), "seed %d: its beginning", seed);
    }
    for (size_t i = 0; i < WRITES; i++) {
        if (op[i] == SIZE_MAX || w.g->ops[op[i]].err != 0)
            continue;
        acknowledged++;
        cr_assert(listed(&w.g->ops[get[of[i]]], op[i]), "seed %d: write %zu was acknowledged", seed,
                  i);
    }
    cr_assert_gt(acknowledged, WRITES / 4, "seed %d: of %d writes only %zu", seed, WRITES,
                 acknowledged);
    group_free(w.g);
}

Test(unite, what_is_written_meanwhile_is_kept)
{
    for (int seed = 1; seed <= 10; seed++)
        under_load(seed, seed % 2 == 0 ? "00011" : "000111", false, false);
}

static int number_of(const char *variable, int otherwise)
{
    const char *n = getenv(variable);
    return n != NULL ? atoi(n) : otherwise;
}

static int first_seed(void)
{
    return number_of("PEAL_SIM_FROM", 1);
}

static int last_seed(int few)
{
    return first_seed() + number_of("PEAL_SIM_SEEDS", few) - 1;
}

static const char *parts_of(int seed)
{
    return seed % 3 == 0 ? "0001122" : seed % 3 == 1 ? "00011" : "000111";
}

Test(unite, whoever_crashes_on_the_way)
{
    for (int seed = first_seed(); seed <= last_seed(30); seed++)
        under_load(seed, parts_of(seed), true, false);
}

Test(unite, whoever_is_cut_off_on_the_way)
{
    for (int seed = first_seed(); seed <= last_seed(30); seed++)
        under_load(seed, parts_of(seed), false, true);
}

Test(unite, whoever_crashes_or_is_cut_off_on_the_way)
{
    for (int seed = first_seed(); seed <= last_seed(20); seed++)
        under_load(seed, parts_of(seed), true, true);
}

/* What random seeds have found: a register that was taken in past a ring that it had gone through;
 * one whose taking in went on in another ring; a claim by one who had not heard of those on their
 * way. */
Test(unite, seeds_that_failed_once)
{
    under_load(219, parts_of(219), false, true);
    under_load(1446, parts_of(1446), false, true);
    under_load(43, parts_of(43), true, false);
}

Test(unite, a_server_that_was_away_follows_its_ring)
{
    for (int seed = 1; seed <= 6; seed++) {
        struct world w = apart((uint64_t)seed, "0000111");
        size_t away = one_of(&w, 1, (size_t)seed);
        sim_crash(w.g->sim, away);
        cut_all(&w, false);
        cr_assert(group_wait_whole(w.g, 6, 6, UNITE_US), "seed %d: the others are one ring", seed);
        sim_start(w.g->sim, away);
        check(&w, seed);
        group_free(w.g);
    }
}

static void distrusts(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    (void)arg;
    chord_distrust(core, ev, u, peal_bytes_str("the test says so"));
}

/* It has left its roster, and is down before it is renewed; then its ring ends. */
Test(unite, a_distrusted_server_whose_ring_has_ended_meanwhile_follows_it)
{
    struct world w = apart(1, "0000111");
    size_t away = one_of(&w, 1, 1);
    sim_call(w.g->sim, away, distrusts, NULL);
    sim_run(w.g->sim, 20 * 1000);
    sim_crash(w.g->sim, away);
    cut_all(&w, false);
    cr_assert(group_wait_whole(w.g, 6, 6, UNITE_US), "the others are one ring");
    sim_start(w.g->sim, away);
    bool ok = group_wait_whole(w.g, 7, 7, 2 * UNITE_US);
    cr_assert(ok, "it comes to them");
    group_free(w.g);
}

Test(unite, a_server_that_was_away_is_heard_by_those_it_left_and_decides_nothing_with_them)
{
    /* Two of the smaller ring's three are away, each on its own, when the third cannot decide
     * alone: nothing happens until one of them is back. */
    struct world w = apart(5, "0000111");
    size_t a = one_of(&w, 1, 0);
    size_t b = a;
    for (size_t i = 0; i < w.nodes; i++)
        if (w.part[i] == 1 && i != a)
            b = i;
    sim_crash(w.g->sim, a);
    sim_crash(w.g->sim, b);
    cut_all(&w, false);
    sim_run(w.g->sim, 2 * (uint64_t)FORM_US);
    size_t third = one_of(&w, 1, 0);
    cr_assert_eq(chord_state(group_chord(w.g, third)), CHORD_MEMBER,
                 "one of three decides nothing");
    sim_start(w.g->sim, a);
    cr_assert(group_wait_whole(w.g, 6, 6, UNITE_US), "two of three do");
    sim_start(w.g->sim, b);
    check(&w, 5);
    group_free(w.g);
}

static bool has_left(void *arg)
{
    const struct waiting_for *f = arg;
    return chord_state(group_chord(f->w->g, f->node)) == CHORD_ASKING;
}

/* Those of the larger ring that it meets have never been in its ring, and know how that ended.
 * (They admit it when one of the two that are away is back: of some arcs two of three homes are.)
 */
Test(unite, a_server_that_was_away_is_told_by_those_whom_its_ring_has_gone_to)
{
    for (int seed = 1; seed <= 4; seed++) {
        struct world w = apart((uint64_t)seed, "0000111");
        size_t away = one_of(&w, 1, (size_t)seed);
        sim_crash(w.g->sim, away);
        cut_all(&w, false);
        cr_assert(group_wait_whole(w.g, 6, 6, UNITE_US), "seed %d: the others are one ring", seed);
        sim_run(w.g->sim, OP_US); /* all of it is taken in, but for what the one that is away has */
        for (size_t i = 0; i < w.nodes; i++)
            if (w.part[i] == 1 && sim_running(w.g->sim, i))
                sim_crash(w.g->sim, i);
        sim_start(w.g->sim, away);
        struct waiting_for f = {.w = &w, .node = away};
        cr_assert(sim_until(w.g->sim, has_left, &f, UNITE_US), "seed %d: it follows", seed);
        group_start_all(w.g);
        check(&w, seed);
        group_free(w.g);
    }
}

enum { LATE_WRITES = 3 };

struct late {
    struct world w;
    size_t away, other; /* of part 1 */
    size_t op[LATE_WRITES];
    uint64_t met_us;
};

static bool has_ended(void *arg)
{
    const struct late *l = arg;
    return chord_state(group_chord(l->w.g, l->other)) != CHORD_MEMBER;
}

/* Two rings meet; the server of the smaller one that would take its list in is away when the list
 * is written to. */
static struct late late_begin(int seed)
{
    struct late l = {.w = apart((uint64_t)seed, "0000111")};
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t n = chord_home(group_chord(l.w.g, one_of(&l.w, 1, 0)), &l.w.listed[1], home);
    cr_assert_eq(n, 3, "seed %d: three homes", seed);
    l.away = group_index(l.w.g, &home[0]);
    l.other = group_index(l.w.g, &home[1]);
    cut_all(&l.w, false);
    l.met_us = sim_now(l.w.g->sim);
    sim_crash(l.w.g->sim, l.away);
    for (size_t i = 0; i < LATE_WRITES; i++) {
        l.op[i] = group_begin(l.w.g, l.other, GROUP_APPEND, &l.w.listed[1], OP_US);
        cr_assert_eq(group_wait(l.w.g, l.op[i], OP_US), 0, "seed %d: write %zu", seed, i);
    }
    return l;
}

/* It comes back just before its ring ends (when that will be, another run of the same seed says):
 * it is told of the end before it is told of the writes. */
Test(unite, a_server_that_comes_back_at_the_end_does_not_bring_what_is_old)
{
    enum { BEFORE_US = 600 * 1000 };
    for (int seed = 1; seed <= 10; seed++) {
        struct rng rng;
        struct late l = late_begin(seed);
        rng_init(&rng, (uint64_t)seed);
        cr_assert(sim_until(l.w.g->sim, has_ended, &l, UNITE_US), "seed %d: it ends", seed);
        uint64_t end_us = sim_now(l.w.g->sim) - l.met_us;
        group_free(l.w.g);
        l = late_begin(seed);
        uint64_t gone_us = sim_now(l.w.g->sim) - l.met_us;
        cr_assert_gt(end_us, gone_us + BEFORE_US, "seed %d: it is not over yet", seed);
        sim_run(l.w.g->sim, end_us - gone_us - rng_below(&rng, BEFORE_US));
        sim_start(l.w.g->sim, l.away);
        check(&l.w, seed);
        size_t get = group_begin(l.w.g, 0, GROUP_GET, &l.w.listed[1], OP_US);
        cr_assert_eq(group_wait(l.w.g, get, OP_US), 0, "seed %d: the list is read", seed);
        for (size_t i = 0; i < LATE_WRITES; i++)
            cr_assert(listed(&l.w.g->ops[get], l.op[i]), "seed %d: write %zu is there", seed, i);
        group_free(l.w.g);
    }
}

static void cut_parts(struct world *w, size_t one, size_t other, bool cut)
{
    for (size_t a = 0; a < w->nodes; a++)
        for (size_t b = 0; b < w->nodes; b++)
            if (w->part[a] == one && w->part[b] == other)
                sim_cut(w->g->sim, a, b, cut);
}

static bool has_members(void *arg)
{
    static uint8_t mem[64 * 1024];
    const struct waiting_for *f = arg;
    struct arena a;
    struct wire_c_ring v;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(f->w->g, f->node), &a, &v);
    return v.whole && v.nodes.n == f->members;
}

/* The last ring goes into the middle one while one of its servers is away, and that into the first
 * one. What was written in the middle one is not undone by what the late server has. */
Test(unite, a_server_that_was_away_follows_through_two_rings)
{
    for (int seed = 1; seed <= 5; seed++) {
        struct world w = apart((uint64_t)seed, "00000111222");
        size_t away = one_of(&w, 2, (size_t)seed), op[LATE_WRITES];
        struct waiting_for f = {.w = &w, .node = one_of(&w, 1, 0), .members = 5};
        sim_crash(w.g->sim, away);
        cut_parts(&w, 1, 2, false);
        cr_assert(sim_until(w.g->sim, has_members, &f, UNITE_US), "seed %d: two are one", seed);
        for (size_t i = 0; i < LATE_WRITES; i++) {
            op[i] = group_begin(w.g, f.node, GROUP_APPEND, &w.listed[2], OP_US);
            cr_assert_eq(group_wait(w.g, op[i], OP_US), 0, "seed %d: write %zu", seed, i);
        }
        cut_all(&w, false);
        f.members = 10;
        cr_assert(sim_until(w.g->sim, has_members, &f, UNITE_US), "seed %d: three are", seed);
        sim_start(w.g->sim, away);
        check(&w, seed);
        size_t get = group_begin(w.g, away, GROUP_GET, &w.listed[2], OP_US);
        cr_assert_eq(group_wait(w.g, get, OP_US), 0, "seed %d: the list is read", seed);
        cr_assert(listed(&w.g->ops[get], w.list[2]), "seed %d: its beginning", seed);
        for (size_t i = 0; i < LATE_WRITES; i++)
            cr_assert(listed(&w.g->ops[get], op[i]), "seed %d: write %zu is there", seed, i);
        group_free(w.g);
    }
}
