/* Rosters under chaos: servers die for good and are taken out, by hand or by themselves, fresh ones
 * take their places until none of the first is left, disks are lost under servers that keep their
 * ids, some that were taken out come back; amid crashes between any two effects, partitions and
 * pauses, while clients change registers and rows. What must hold at the end is what test_ring.c
 * asks: registers are linearizable, acknowledged rows are on all their homes, the ring is whole.
 *
 * What a ring is not asked: to outlive more than its copies do. The next server is lost for good
 * only when the ring has mended after the last one. */
#include <criterion/criterion.h>

#include "group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES_MOST = 18,
    FIRST_MOST = 9,
    SEEDS = 16, /* of each kind */
    NAMES = 16,
    LISTS = 4,
    BOXES = 5,
    US_S = 1000 * 1000,
    OP_US = 3 * US_S,
    FORM_US = 20 * US_S,
    CHAOS_US = 60 * US_S,
    CALM_US = 8 * US_S, /* whole for so long: rows that stand-ins held are at home */
    HEAL_US = 60 * US_S,
    SETTLE_US = 60 * US_S,
    AUTO_US = 5 * US_S,
};

/* Seeds that once failed. */
static const uint64_t kept[] = {
    1163, /* (by itself) a promise that came to nothing kept two homes apart for ever */
    386,  /* one that waited to be renewed counted as up, and not ready, after the next epoch */
};

enum fate { FATE_FRESH, FATE_IN, FATE_DEAD, FATE_OUT };

struct play {
    size_t domains; /* that servers are in; 0: each is one of its own */
    struct group *g;
    uint64_t seed;
    size_t first;
    enum fate fate[NODES_MOST];
    uint64_t up_us[NODES_MOST];    /* when to start it again; 0: it is not down for a while */
    uint64_t pause_us[NODES_MOST]; /* when to go on */
    uint64_t heal_us, whole_us;
    size_t removal; /* an op; SIZE_MAX: none */
    size_t removed, wiped, distrusted, returned, replaced, lost;
};

static struct rng *dice(const struct play *p)
{
    return sim_rng(p->g->sim);
}

static size_t size_seen_by(const struct play *p, size_t node)
{
    static uint8_t mem[64 * 1024];
    struct arena a;
    struct wire_c_ring v;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(p->g, node), &a, &v);
    return v.nodes.n;
}

static bool names(const struct play *p, size_t by, size_t node)
{
    static uint8_t mem[64 * 1024];
    struct arena a;
    struct wire_c_ring v;
    struct peal_id id = sim_id(p->g->sim, node);
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(p->g, by), &a, &v);
    for (size_t i = 0; i < v.nodes.n; i++)
        if (id_eq(&v.nodes.v[i].id, &id))
            return true;
    return false;
}

/* A running node that is in the ring: one that is alone may be about to give way. SIZE_MAX: none.
 */
static size_t someone(const struct play *p)
{
    size_t n = p->g->cfg.nodes, from = rng_below(dice(p), n);
    for (size_t i = 0; i < n; i++) {
        size_t at = (from + i) % n;
        if (p->fate[at] == FATE_IN && sim_running(p->g->sim, at) && size_seen_by(p, at) > 1)
            return at;
    }
    return SIZE_MAX;
}

static size_t one_with(const struct play *p, enum fate fate)
{
    size_t n = p->g->cfg.nodes, from = rng_below(dice(p), n);
    for (size_t i = 0; i < n; i++)
        if (p->fate[(from + i) % n] == fate)
            return (from + i) % n;
    return SIZE_MAX;
}

static size_t count(const struct play *p, enum fate fate)
{
    size_t n = 0;
    for (size_t i = 0; i < p->g->cfg.nodes; i++)
        n += p->fate[i] == fate;
    return n;
}

static size_t down(const struct play *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->g->cfg.nodes; i++)
        n += p->fate[i] == FATE_IN && !sim_running(p->g->sim, i);
    return n;
}

/* Puts the node into some domain, from its next start on. */
static void into_domain(struct play *p, size_t node)
{
    if (p->domains > 0)
        (void)snprintf(p->g->domain[node], sizeof p->g->domain[node], "rack-%u",
                       (unsigned)rng_below(dice(p), p->domains));
}

static void some_op(struct play *p)
{
    struct group *r = p->g;
    size_t node = someone(p);
    if (node == SIZE_MAX || r->ops_n + 64 >= GROUP_OPS_MAX)
        return;
    struct peal_id name = group_key(r, (uint32_t)rng_below(dice(p), NAMES));
    struct peal_id list = group_key(r, 100 + (uint32_t)rng_below(dice(p), LISTS));
    struct peal_id box = group_key(r, 200 + (uint32_t)rng_below(dice(p), BOXES));
    switch (rng_below(dice(p), 7)) {
    case 0:
        (void)group_begin(r, node, GROUP_CLAIM, &name, OP_US);
        break;
    case 1:
    case 2:
        (void)group_begin(r, node, GROUP_APPEND, &list, OP_US);
        break;
    case 3:
        (void)group_begin(r, node, GROUP_GET, &list, OP_US);
        break;
    case 4:
        (void)group_begin(r, node, GROUP_READ, &box, OP_US);
        break;
    default:
        (void)group_put(r, node, &box, rng_below(dice(p), 500), OP_US);
        break;
    }
}

/* ---- faults ---- */

static void distrusts(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    (void)arg;
    chord_distrust(core, ev, u, peal_bytes_str("the test says so"));
}

static void fall(struct play *p, size_t node)
{
    sim_crash(p->g->sim, node);
    p->up_us[node] = sim_now(p->g->sim) + 1 + rng_below(dice(p), 3 * US_S);
}

/* Something for good: a server dies, or its disk, or what it has promised. */
static void lose(struct play *p)
{
    size_t node = someone(p);
    if (node == SIZE_MAX || p->g->cfg.replicas == 0)
        return;
    p->lost++;
    p->whole_us = 0;
    switch (rng_below(dice(p), 4)) {
    case 0:
        sim_crash(p->g->sim, node);
        sim_wipe(p->g->sim, node);
        p->up_us[node] = sim_now(p->g->sim) + 1 + rng_below(dice(p), 3 * US_S);
        p->wiped++;
        break;
    case 1:
        sim_call(p->g->sim, node, distrusts, NULL);
        p->distrusted++;
        break;
    default:
        if (count(p, FATE_IN) <= 3) /* of two no majority is left when one dies */
            break;
        sim_crash(p->g->sim, node);
        p->fate[node] = FATE_DEAD;
        break;
    }
}

static void join(struct play *p)
{
    size_t node = one_with(p, FATE_FRESH);
    bool back = count(p, FATE_OUT) > 0 && rng_below(dice(p), 3) == 0;
    if (back)
        node = one_with(p, FATE_OUT); /* with the disk that it had */
    if (node == SIZE_MAX || count(p, FATE_IN) >= FIRST_MOST + 2 || p->heal_us != 0)
        return;
    p->returned += back;
    p->replaced += !back;
    p->fate[node] = FATE_IN;
    sim_start(p->g->sim, node);
}

static void fault(struct play *p)
{
    struct sim *s = p->g->sim;
    size_t nodes = p->g->cfg.nodes, a = someone(p);
    bool joined = true;
    for (size_t i = 0; i < nodes; i++)
        joined = joined && (!sim_running(s, i) || size_seen_by(p, i) > 1);
    if (a == SIZE_MAX)
        return;
    switch (rng_below(dice(p), 8)) {
    case 0:
        if (down(p) < 2)
            fall(p, a);
        break;
    case 1:
        if (down(p) < 1)
            sim_crash_after(s, a, 1 + (uint32_t)rng_below(dice(p), 200));
        break;
    case 2: /* who is in no ring yet would found another one when it is cut off */
        if (joined) {
            sim_partition(s, rng_below(dice(p), UINT64_C(1) << nodes));
            p->heal_us = sim_now(s) + rng_below(dice(p), 3 * US_S);
        }
        break;
    case 3:
        sim_break(s, a, rng_below(dice(p), nodes));
        break;
    case 4:
        sim_pause(s, a, true);
        p->pause_us[a] = sim_now(s) + rng_below(dice(p), 2 * US_S);
        break;
    default:
        join(p);
        break;
    }
}

static void mend(struct play *p)
{
    struct sim *s = p->g->sim;
    if (p->heal_us != 0 && sim_now(s) >= p->heal_us) {
        sim_partition(s, 0);
        p->heal_us = 0;
    }
    for (size_t i = 0; i < p->g->cfg.nodes; i++) {
        if (p->pause_us[i] != 0 && sim_now(s) >= p->pause_us[i]) {
            sim_pause(s, i, false);
            p->pause_us[i] = 0;
        }
        if (p->fate[i] != FATE_IN || sim_running(s, i))
            continue;
        if (p->up_us[i] == 0)
            p->up_us[i] = sim_now(s) + 1 + rng_below(dice(p), 3 * US_S);
        if (sim_now(s) >= p->up_us[i] && p->heal_us == 0) {
            p->up_us[i] = 0;
            if (rng_below(dice(p), 8) == 0)
                into_domain(p, i); /* somebody has carried it elsewhere */
            sim_start(s, i);
        }
    }
}

/* Takes the dead one out, at whoever can be asked, until it is out. */
static void remove_dead(struct play *p)
{
    struct group *r = p->g;
    size_t dead = one_with(p, FATE_DEAD), by = someone(p);
    if (dead == SIZE_MAX || by == SIZE_MAX)
        return;
    if (p->removal == SIZE_MAX) {
        struct peal_id id = sim_id(r->sim, dead);
        if (r->auto_remove_us == 0 && r->ops_n + 64 < GROUP_OPS_MAX)
            p->removal = group_begin(r, by, GROUP_REMOVE, &id, OP_US);
        else if (!names(p, by, dead) && group_whole(r, count(p, FATE_IN), count(p, FATE_IN)))
            p->fate[dead] = FATE_OUT;
        p->removed += p->fate[dead] == FATE_OUT;
        return;
    }
    const struct group_op *o = &r->ops[p->removal];
    if (o->err == 0 || o->err == PEAL_E_NOT_FOUND) {
        p->fate[dead] = FATE_OUT;
        p->removed++;
    }
    if (o->err != GROUP_RUNNING || sim_now(r->sim) > o->began_us + 2 * (uint64_t)OP_US)
        p->removal = SIZE_MAX;
}

static bool is_whole(struct play *p)
{
    size_t n = count(p, FATE_IN);
    if (p->heal_us != 0 || count(p, FATE_DEAD) > 0 || !group_whole(p->g, n, n)) {
        p->whole_us = 0;
        return false;
    }
    if (p->whole_us == 0)
        p->whole_us = sim_now(p->g->sim);
    return sim_now(p->g->sim) - p->whole_us >= CALM_US;
}

static void chaos(struct play *p)
{
    struct sim *s = p->g->sim;
    uint64_t end = sim_now(s) + CHAOS_US, next = sim_now(s), calm = 0;
    while (sim_now(s) < end) {
        sim_run(s, 1 + rng_below(dice(p), 60000));
        mend(p);
        remove_dead(p);
        some_op(p);
        if (sim_now(s) < next)
            continue;
        next = sim_now(s) + rng_below(dice(p), 1500000);
        if (is_whole(p)) {
            lose(p);
            calm = 0;
        } else if (count(p, FATE_DEAD) > 0 || calm++ < 12) {
            fault(p);
        } else if (calm > 30) { /* long enough to have mended, had it been left alone */
            calm = 0;
        }
    }
}

static void heal(struct play *p)
{
    struct sim *s = p->g->sim;
    uint64_t end = sim_now(s) + HEAL_US;
    sim_partition(s, 0);
    p->heal_us = 0;
    for (size_t i = 0; i < p->g->cfg.nodes; i++) {
        sim_pause(s, i, false);
        sim_crash_after(s, i, 0);
        p->pause_us[i] = 0;
    }
    for (bool whole = false; !whole && sim_now(s) < end;) {
        sim_run(s, 100000);
        mend(p);
        remove_dead(p);
        whole = count(p, FATE_DEAD) == 0 && group_whole(p->g, count(p, FATE_IN), count(p, FATE_IN));
    }
    cr_assert_eq(count(p, FATE_DEAD), 0, "seed %llu: the dead one was not taken out",
                 (unsigned long long)p->seed);
    cr_assert(group_whole(p->g, count(p, FATE_IN), count(p, FATE_IN)),
              "seed %llu: the ring did not heal", (unsigned long long)p->seed);
    sim_run(s, SETTLE_US);
}

/* ---- oracles ---- */

static const struct group_op *final_value(struct play *p, const struct peal_id *key)
{
    size_t op = group_begin(p->g, someone(p), GROUP_GET, key, OP_US);
    int err = group_wait(p->g, op, OP_US + 1);
    cr_assert_eq(err, 0, "seed %llu: a register cannot be read: %s", (unsigned long long)p->seed,
                 err_name(err));
    return &p->g->ops[op];
}

static uint32_t number_at(const uint8_t *v)
{
    struct rd d;
    rd_init(&d, v, 4);
    return rd_u32(&d);
}

static void check_names(struct play *p)
{
    for (uint32_t k = 0; k < NAMES; k++) {
        struct peal_id key = group_key(p->g, k);
        size_t ops = p->g->ops_n;
        const struct group_op *last = final_value(p, &key);
        size_t owner = last->value_n == 0 ? SIZE_MAX : number_at(last->value) - 1;
        for (size_t i = 0; i < ops; i++) {
            const struct group_op *o = &p->g->ops[i];
            if (o->kind != GROUP_CLAIM || !id_eq(&o->key, &key))
                continue;
            if (o->err == 0)
                cr_assert_eq(owner, i, "seed %llu: name %u was given to %zu and belongs to %zu",
                             (unsigned long long)p->seed, k, i, owner);
            if (o->err == PEAL_E_EXISTS || o->err == PEAL_E_UNAVAILABLE)
                cr_assert_neq(owner, i, "seed %llu: name %u belongs to %zu, which was refused",
                              (unsigned long long)p->seed, k, i);
        }
    }
}

static bool has_number(const struct group_op *list, size_t op)
{
    for (size_t i = 0; i + 4 <= list->value_n; i += 4)
        if (number_at(list->value + i) == op + 1)
            return true;
    return false;
}

/* Every value that was reported is a beginning of the last one, and grows with real time. */
static void check_list(struct play *p, uint32_t k)
{
    struct peal_id key = group_key(p->g, 100 + k);
    size_t ops = p->g->ops_n;
    const struct group_op *last = final_value(p, &key);
    unsigned long long seed = p->seed;
    for (size_t i = 0; i < ops; i++) {
        const struct group_op *o = &p->g->ops[i];
        if ((o->kind != GROUP_APPEND && o->kind != GROUP_GET) || !id_eq(&o->key, &key))
            continue;
        if (o->err == PEAL_E_UNAVAILABLE)
            cr_assert(!has_number(last, i), "seed %llu: %zu was said not to have happened", seed,
                      i);
        if (o->err != 0)
            continue;
        cr_assert(o->kind == GROUP_GET || has_number(last, i),
                  "seed %llu: change %zu of list %u was lost", seed, i, k);
        cr_assert(o->value_n <= last->value_n &&
                      (o->value_n == 0 || memcmp(o->value, last->value, o->value_n) == 0),
                  "seed %llu: %zu saw what is not the beginning of the history", seed, i);
        for (size_t j = 0; j < ops; j++) {
            const struct group_op *q = &p->g->ops[j];
            if ((q->kind == GROUP_APPEND || q->kind == GROUP_GET) && q->err == 0 &&
                id_eq(&q->key, &key) && q->ended_us < o->began_us)
                cr_assert_leq(q->value_n, o->value_n, "seed %llu: %zu came after %zu and saw less",
                              seed, i, j);
        }
    }
}

static void check_rows(struct play *p)
{
    size_t by = someone(p), stored = 0;
    for (size_t i = 0; i < p->g->ops_n; i++) {
        const struct group_op *o = &p->g->ops[i];
        struct peal_id home[CHORD_REPLICAS_MAX + 1];
        if (o->kind != GROUP_PUT || o->err != 0)
            continue;
        stored++;
        size_t homes = chord_home(group_chord(p->g, by), &o->key, home);
        for (size_t k = 0; k < homes; k++)
            cr_assert_eq(group_disk_row(p->g, group_index(p->g, &home[k]), &o->key, &o->id),
                         WIRE_ROW_MESSAGE, "seed %llu: row %zu is not on home %zu",
                         (unsigned long long)p->seed, i, k);
    }
    cr_assert_gt(stored, 10, "seed %llu: nothing was stored", (unsigned long long)p->seed);
}

/* ---- runs ---- */

static struct play begin(uint64_t seed, uint8_t replicas, size_t first, bool automatic,
                         bool verbose)
{
    struct play p = {.seed = seed, .first = first, .removal = SIZE_MAX};
    struct sim_config cfg = {.seed = seed,
                             .nodes = 2 * first,
                             .replicas = replicas,
                             .discovery = true,
                             .ops_max = 256,
                             .verbose = verbose};
    p.g = group_new(&cfg);
    p.g->auto_remove_us = automatic ? AUTO_US : 0;
    p.domains = seed % 3 == 1 ? 2 + seed % 4 : 0;
    for (size_t i = 0; i < cfg.nodes; i++)
        into_domain(&p, i);
    for (size_t n = 0; n < first;) {
        size_t at = rng_below(dice(&p), cfg.nodes);
        if (p.fate[at] != FATE_FRESH)
            continue;
        p.fate[at] = FATE_IN;
        sim_start(p.g->sim, at);
        n++;
    }
    cr_assert(group_wait_whole(p.g, first, first, FORM_US), "seed %llu: no ring formed",
              (unsigned long long)seed);
    return p;
}

static void check(struct play *p)
{
    check_names(p);
    for (uint32_t k = 0; k < LISTS; k++)
        check_list(p, k);
    check_rows(p);
}

static void run_seed(uint64_t seed, bool automatic, bool verbose)
{
    struct play p = begin(seed, (uint8_t)(seed / 7 % 4), 3 + seed % 7, automatic, verbose);
    chaos(&p);
    heal(&p);
    check(&p);
    if (verbose)
        (void)fprintf(stderr,
                      "seed %llu: %zu lost, %zu removed, %zu wiped, %zu distrusted, %zu came back, "
                      "%zu joined\n",
                      (unsigned long long)seed, p.lost, p.removed, p.wiped, p.distrusted,
                      p.returned, p.replaced);
    group_free(p.g);
}

/* PEAL_SIM_SEED=n runs that one and says what happens; PEAL_SIM_SEEDS=n runs more of them, from
 * PEAL_SIM_FROM on. */
static void run_seeds(bool automatic, uint64_t share)
{
    const char *one = getenv("PEAL_SIM_SEED"), *from = getenv("PEAL_SIM_FROM");
    const char *more = getenv("PEAL_SIM_SEEDS");
    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10), automatic, true);
        return;
    }
    uint64_t seeds = more == NULL ? SEEDS : strtoull(more, NULL, 10);
    uint64_t first = from == NULL ? 0 : strtoull(from, NULL, 10);
    for (uint64_t i = 1 + share; i <= seeds; i += 2)
        run_seed(first + i, automatic, false);
}

Test(roster, chaos_odd)
{
    run_seeds(false, 0);
}

Test(roster, chaos_even)
{
    run_seeds(false, 1);
}

/* Nobody asks for it: the ring takes out who is away for long. */
Test(roster, chaos_with_removal_by_itself)
{
    run_seeds(true, 0);
}

Test(roster, kept_seeds)
{
    for (size_t i = 0; i < PEAL_COUNT(kept); i++)
        for (int automatic = 0; automatic < 2; automatic++)
            run_seed(kept[i], automatic == 1, false);
}

/* ---- what one home has missed ---- */

enum change { CHANGE_REMOVE, CHANGE_RENEW, CHANGE_ADMIT, CHANGES };

enum { DEAF, LOST, WRITER, KEYS = 30 };

struct ready {
    struct play *p;
    size_t size;
};

/* All that run are in a roster of that size, and have all their copies. */
static bool all_ready(void *arg)
{
    const struct ready *w = arg;
    for (size_t i = 0; i < w->p->g->cfg.nodes; i++)
        if (sim_running(w->p->g->sim, i) && (size_seen_by(w->p, i) != w->size ||
                                             chord_state(group_chord(w->p->g, i)) != CHORD_MEMBER))
            return false;
    return true;
}

/* Three members, each the next of the other, in the order of the roles that are dealt. */
static void deal(struct play *p, size_t role[static 3])
{
    size_t in[NODES_MOST], n = 0, from = rng_below(dice(p), p->first), turn = rng_below(dice(p), 3);
    for (size_t i = 0; i < p->g->cfg.nodes; i++)
        if (p->fate[i] == FATE_IN)
            in[n++] = i;
    for (size_t i = 0; i < 3; i++)
        role[(i + turn) % 3] = in[(from + i) % n];
}

static uint64_t epoch_of(const struct play *p, size_t node)
{
    static uint8_t mem[64 * 1024];
    struct arena a;
    struct wire_c_ring v;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(p->g, node), &a, &v);
    return v.epoch;
}

struct later {
    struct play *p;
    uint64_t epoch;
};

static bool is_later(void *arg)
{
    const struct later *l = arg;
    for (size_t i = 0; i < l->p->g->cfg.nodes; i++)
        if (sim_running(l->p->g->sim, i) && epoch_of(l->p, i) > l->epoch)
            return true;
    return false;
}

/* Until the first has adopted it. */
static bool change_roster(struct play *p, enum change change, const size_t role[static 3])
{
    struct sim *s = p->g->sim;
    struct peal_id gone = sim_id(s, role[LOST]);
    struct later l = {.p = p, .epoch = epoch_of(p, role[WRITER])};
    size_t fresh = one_with(p, FATE_FRESH);
    switch (change) {
    case CHANGE_RENEW:
        sim_wipe(s, role[LOST]);
        p->fate[role[LOST]] = FATE_IN;
        sim_start(s, role[LOST]);
        break;
    case CHANGE_ADMIT:
        p->fate[fresh] = FATE_IN;
        sim_start(s, fresh);
        break;
    case CHANGE_REMOVE:
    case CHANGES:
        (void)group_begin(p->g, role[WRITER], GROUP_REMOVE, &gone, OP_US);
        break;
    }
    return sim_until(s, is_later, &l, 10 * (uint64_t)US_S);
}

/* Reads all of them at all nodes but one; how many could not be read. */
static size_t read_all(struct play *p, const struct peal_id key[static KEYS],
                       const size_t ops[static KEYS], size_t but)
{
    size_t first = p->g->ops_n, failed = 0;
    for (size_t k = 0; k < KEYS; k++)
        for (size_t by = 0; by < p->g->cfg.nodes; by++)
            if (by != but && sim_running(p->g->sim, by))
                (void)group_begin(p->g, by, GROUP_GET, &key[k], OP_US);
    sim_run(p->g->sim, OP_US + US_S);
    for (size_t op = first; op < p->g->ops_n; op++) {
        const struct group_op *o = &p->g->ops[op];
        failed += o->err != 0;
        for (size_t k = 0; k < KEYS; k++)
            if (o->err == 0 && id_eq(&o->key, &key[k]))
                cr_assert(p->g->ops[ops[k]].err != 0 || has_number(o, ops[k]),
                          "seed %d: key %zu is not what was acknowledged", (int)p->seed, k);
    }
    return failed;
}

/* One is cut off while registers are written, and then from the writer only: so it goes on lacking
 * them, and the others see both. A third home of theirs is lost, the roster changes, and the writer
 * stands still: whoever becomes a home then must not be content with the one that lacks them.
 * Returns whether all of it came about (not if one of the three is the coordinator). */
static bool missed(uint64_t seed, enum change change)
{
    size_t ops[KEYS], role[3];
    struct play p = begin(seed, (uint8_t)(2 + seed % 2), 5, false, false);
    struct sim *s = p.g->sim;
    struct peal_id key[KEYS];
    deal(&p, role);
    for (size_t i = 0; i < p.g->cfg.nodes; i++)
        if (i != role[DEAF])
            sim_cut(s, role[DEAF], i, true);
    sim_run(s, 5 * (uint64_t)US_S);
    for (uint32_t k = 0; k < KEYS; k++) {
        key[k] = group_key(p.g, 700 + k);
        ops[k] = group_begin(p.g, role[WRITER], GROUP_APPEND, &key[k], OP_US);
    }
    sim_run(s, OP_US + US_S);
    sim_crash(s, role[LOST]);
    p.fate[role[LOST]] = FATE_DEAD;
    for (size_t i = 0; i < p.g->cfg.nodes; i++)
        if (i != role[DEAF] && i != role[WRITER])
            sim_cut(s, role[DEAF], i, false);
    sim_run(s, 4 * (uint64_t)US_S);
    bool came = change_roster(&p, change, role);
    struct ready w = {.p = &p, .size = change == CHANGE_ADMIT ? 6 : change == CHANGE_RENEW ? 5 : 4};
    if (came) {
        sim_pause(s, role[WRITER], true);
        sim_run(s, 2 * (uint64_t)US_S);
        (void)read_all(&p, key, ops, role[WRITER]);
        sim_pause(s, role[WRITER], false);
        sim_partition(s, 0);
        came = sim_until(s, all_ready, &w, HEAL_US);
        sim_run(s, 5 * (uint64_t)US_S);
    }
    if (came)
        cr_assert_eq(read_all(&p, key, ops, SIZE_MAX), 0, "seed %d: some cannot be read",
                     (int)seed);
    group_free(p.g);
    return came;
}

Test(roster, what_one_home_missed_is_not_missed_by_the_next_epoch)
{
    for (enum change c = 0; c < CHANGES; c++) {
        size_t came = 0;
        for (uint64_t seed = 1; seed <= 24; seed++)
            came += missed(seed, c);
        cr_assert_gt(came, 5, "%zu of the runs with change %d came about", came, (int)c);
    }
}

/* ---- what is refused, and why ---- */

static int remove_at(struct group *r, size_t by, const struct peal_id *id, char why[static 512])
{
    size_t op = group_begin(r, by, GROUP_REMOVE, id, OP_US);
    int err = group_wait(r, op, 2 * OP_US);
    (void)snprintf(why, 512, "%.*s", (int)r->ops[op].value_n, (const char *)r->ops[op].value);
    return err;
}

static struct group *five(uint64_t seed, uint8_t replicas)
{
    struct sim_config cfg = {.seed = seed, .nodes = 5, .replicas = replicas, .discovery = true};
    struct group *r = group_new(&cfg);
    group_start_all(r);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "no ring formed");
    return r;
}

/* Whoever is asked; the nodes are in the order of their ids, so 0 and 1 are neighbours. */
Test(roster, a_removal_that_cannot_be_is_refused_with_the_reason)
{
    char why[512];
    for (size_t by = 2; by < 5; by++) {
        struct group *r = five(by, 2);
        struct peal_id zero = sim_id(r->sim, 0), nobody = {{1, 2, 3}};
        cr_assert_eq(remove_at(r, by, &nobody, why), PEAL_E_NOT_FOUND, "%s", why);
        cr_assert_eq(remove_at(r, by, &zero, why), PEAL_E_REFUSED, "%s", why);
        cr_assert(strstr(why, "is up: stop it first") != NULL, "%s", why);
        sim_crash(r->sim, 0);
        sim_crash(r->sim, 1);
        cr_assert(group_wait_whole(r, 5, 3, HEAL_US), "three are left");
        cr_assert_eq(remove_at(r, by, &zero, why), PEAL_E_REFUSED, "%s", why);
        cr_assert(strstr(why, "only 1 of 3 copies are at other servers that are up") != NULL, "%s",
                  why);
        size_t third = by == 2 ? 3 : 2;
        sim_crash(r->sim, third);
        cr_assert(group_wait_whole(r, 5, 2, HEAL_US), "two are left");
        cr_assert_eq(remove_at(r, by, &zero, why), PEAL_E_UNAVAILABLE, "%s", why);
        cr_assert(strstr(why, "no majority") != NULL, "%s", why);
        sim_start(r->sim, 1);
        sim_start(r->sim, third);
        cr_assert(group_wait_whole(r, 5, 4, HEAL_US), "four are left");
        cr_assert_eq(remove_at(r, by, &zero, why), 0, "%s", why);
        cr_assert(group_wait_whole(r, 4, 4, HEAL_US), "and the ring is whole without it");
        cr_assert_eq(remove_at(r, by, &zero, why), PEAL_E_NOT_FOUND, "%s", why);
        group_free(r);
    }
}

Test(roster, of_a_ring_that_keeps_one_copy_nobody_is_taken_out)
{
    char why[512];
    struct group *r = five(3, 0);
    struct peal_id zero = sim_id(r->sim, 0);
    sim_crash(r->sim, 0);
    cr_assert(group_wait_whole(r, 5, 4, HEAL_US), "four are left");
    cr_assert_eq(remove_at(r, 2, &zero, why), PEAL_E_REFUSED, "%s", why);
    cr_assert(strstr(why, "only 0 of 1 copies") != NULL, "%s", why);
    group_free(r);
}

/* Nobody else is left to make up a majority: the one that has everything is enough. */
Test(roster, of_two_the_one_that_lost_its_disk_is_renewed)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sim_config cfg = {.seed = seed, .nodes = 2, .replicas = 1 + seed % 2};
        cfg.discovery = true;
        struct group *r = group_new(&cfg);
        struct peal_id key = group_key(r, 1);
        group_start_all(r);
        cr_assert(group_wait_whole(r, 2, 2, FORM_US), "no ring formed");
        size_t claim = group_begin(r, seed % 2, GROUP_CLAIM, &key, OP_US);
        cr_assert_eq(group_wait(r, claim, OP_US), 0, "a name is claimed");
        sim_crash(r->sim, seed / 2 % 2);
        sim_wipe(r->sim, seed / 2 % 2);
        sim_run(r->sim, US_S);
        sim_start(r->sim, seed / 2 % 2);
        cr_assert(group_wait_whole(r, 2, 2, HEAL_US), "seed %d: it is not renewed", (int)seed);
        for (size_t by = 0; by < 2; by++) {
            size_t get = group_begin(r, by, GROUP_GET, &key, OP_US);
            cr_assert_eq(group_wait(r, get, OP_US), 0, "it can be read");
            cr_assert_eq(number_at(r->ops[get].value), claim + 1, "it is what it was");
        }
        group_free(r);
    }
}

/* It is away for less than it may, and then for longer; all of them are restarted meanwhile. */
Test(roster, who_is_away_for_too_long_is_taken_out_by_itself_and_not_before)
{
    struct sim_config cfg = {.seed = 5, .nodes = 5, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    r->auto_remove_us = 120 * (uint64_t)US_S;
    group_start_all(r);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "no ring formed");
    sim_crash(r->sim, 1);
    sim_run(r->sim, 60 * (uint64_t)US_S);
    sim_start(r->sim, 1);
    cr_assert(group_wait_whole(r, 5, 5, HEAL_US), "it is back");
    sim_run(r->sim, 5 * (uint64_t)US_S);
    sim_crash(r->sim, 1);
    for (size_t i = 0; i < 5; i++) {
        sim_run(r->sim, 20 * (uint64_t)US_S);
        size_t at = i == 1 ? 0 : i;
        sim_crash(r->sim, at);
        sim_start(r->sim, at);
    }
    sim_run(r->sim, 10 * (uint64_t)US_S);
    cr_assert(group_whole(r, 5, 4), "it is not yet away for so long");
    cr_assert(group_wait_whole(r, 4, 4, 60 * (uint64_t)US_S), "now it is");
    sim_start(r->sim, 1);
    cr_assert(group_wait_whole(r, 5, 5, HEAL_US), "it comes back as a new one");
    group_free(r);
}

/* Every server is replaced, one after the other. */
Test(roster, none_of_the_first_is_left_and_nothing_is_lost)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct play p = begin(seed, 1 + seed % 3, 3 + seed % 4, false, false);
        for (size_t n = 0; n < p.first; n++) {
            for (size_t i = 0; i < 60; i++) {
                some_op(&p);
                sim_run(p.g->sim, 20000);
            }
            size_t fresh = one_with(&p, FATE_FRESH), old = SIZE_MAX;
            p.fate[fresh] = FATE_IN;
            sim_start(p.g->sim, fresh);
            cr_assert(group_wait_whole(p.g, p.first + 1, p.first + 1, HEAL_US),
                      "seed %d: number %zu is not admitted", (int)seed, n);
            for (size_t i = 0; i < p.g->cfg.nodes && old == SIZE_MAX; i++)
                if (p.fate[i] == FATE_IN && i != fresh && p.pause_us[i] == 0)
                    old = i;
            for (size_t i = 0; i < p.g->cfg.nodes; i++)
                if (i == fresh)
                    p.pause_us[i] = 1; /* marks those that are new */
            sim_run(p.g->sim, CALM_US);
            sim_crash(p.g->sim, old);
            p.fate[old] = FATE_DEAD;
            for (size_t i = 0; i < 600 && p.fate[old] == FATE_DEAD; i++) {
                sim_run(p.g->sim, 50000);
                remove_dead(&p);
            }
            cr_assert_eq(p.fate[old], FATE_OUT, "seed %d: number %zu is not taken out", (int)seed,
                         n);
            cr_assert(group_wait_whole(p.g, p.first, p.first, HEAL_US),
                      "seed %d: the ring did not close", (int)seed);
        }
        sim_run(p.g->sim, SETTLE_US);
        check(&p);
        group_free(p.g);
    }
}

/* ---- failure domains ---- */

/* How many domains the copies of each row lie in, and that they lie nowhere else. */
static void check_spread(struct play *p, size_t domains)
{
    for (size_t i = 0; i < p->g->ops_n; i++) {
        const struct group_op *o = &p->g->ops[i];
        size_t copies = 0, apart = 0;
        const char *seen[SIM_NODES_MAX];
        if (o->kind != GROUP_PUT || o->err != 0)
            continue;
        for (size_t n = 0; n < p->g->cfg.nodes; n++) {
            if (group_disk_row(p->g, n, &o->key, &o->id) != WIRE_ROW_MESSAGE)
                continue;
            bool again = false;
            for (size_t k = 0; k < apart && !again; k++)
                again = strcmp(seen[k], p->g->domain[n]) == 0;
            if (!again)
                seen[apart++] = p->g->domain[n];
            copies++;
        }
        cr_assert_eq(copies, 3, "row %zu has %zu copies", i, copies);
        cr_assert_eq(apart, domains, "row %zu: its copies are in %zu domains", i, apart);
    }
}

static void write_some(struct play *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        some_op(p);
        sim_run(p->g->sim, 20000);
    }
}

Test(roster, copies_are_in_different_domains_and_move_when_servers_do)
{
    struct play p = {.seed = 9, .first = 6, .removal = SIZE_MAX};
    struct sim_config cfg = {
        .seed = 9, .nodes = 6, .replicas = 2, .discovery = true, .ops_max = 256};
    p.g = group_new(&cfg);
    for (size_t i = 0; i < 6; i++) { /* neighbours are in the same house */
        (void)snprintf(p.g->domain[i], sizeof p.g->domain[i], "house-%u", (unsigned)i / 2);
        p.fate[i] = FATE_IN;
    }
    group_start_all(p.g);
    cr_assert(group_wait_whole(p.g, 6, 6, FORM_US), "no ring formed");
    write_some(&p, 150);
    sim_run(p.g->sim, SETTLE_US);
    check_spread(&p, 3);
    static const struct {
        size_t node;
        const char *house;
    } moved[] = {{1, "house-2"}, {4, "house-0"}}; /* copies as they lie would share a house now */
    for (size_t i = 0; i < PEAL_COUNT(moved); i++) {
        size_t at = moved[i].node;
        sim_crash(p.g->sim, at);
        (void)snprintf(p.g->domain[at], sizeof p.g->domain[at], "%s", moved[i].house);
        sim_start(p.g->sim, at);
        cr_assert(group_wait_whole(p.g, 6, 6, HEAL_US), "it is back");
    }
    write_some(&p, 150);
    sim_run(p.g->sim, 2 * SETTLE_US);
    check_spread(&p, 3);
    check(&p);
    group_free(p.g);
}
