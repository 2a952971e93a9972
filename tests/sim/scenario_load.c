/* scenario: rings of many, and what they cost: steady, flash-join, mass-death, churn, paths,
 * onehop.
 */
#include "scenario_inner.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    SETTLED_LOOKUPS = 2000,
    MEND_EVERY_US = US / 20, /* how often mass-death looks whether the ring is ideal */
    KNOWN_EVERY_US = 1 * US, /* how often onehop asks who knows everyone */
    CHURN_STABILISE_S = 30,  /* as p2psim's */
    CHURN_PINGS = 3,         /* of each neighbour in a round: p2psim has none besides its rounds */
};

/* ---- measuring ---- */

void run_traffic(const struct run *r, struct traffic *now)
{
    run_counters(r, &now->said);
    now->arrived = world_figures(r->w)->arrived;
}

void run_traffic_figures(struct run *r, const struct traffic *before, double node_seconds)
{
    struct traffic now;
    run_traffic(r, &now);
    const struct ring_counters *c = &now.said, *was = &before->said;
    double gossip = (double)(c->gossip_bytes - was->gossip_bytes);
    double find = (double)(c->find_bytes - was->find_bytes);
    double all = (double)(c->bytes - was->bytes);
    run_figure(r, "bytes_per_node_second", all / node_seconds, 1, "bytes said a node and second");
    run_figure(r, "bytes_in_per_node_second",
               (double)(now.arrived - before->arrived) / node_seconds, 1, "bytes that came");
    run_figure(r, "upkeep_bytes_per_node_second", (all - gossip - find) / node_seconds, 1,
               "of those said, of upkeep");
    run_figure(r, "gossip_bytes_per_node_second", gossip / node_seconds, 1, "of those, of gossip");
    run_figure(r, "find_bytes_per_node_second", find / node_seconds, 1, "of those, of lookups");
    run_figure(r, "messages_per_node_second", (double)(c->messages - was->messages) / node_seconds,
               2, "messages said a node and second");
}

void run_lookups_over(struct run *r, uint32_t n, double seconds)
{
    run_lookups_reset(r);
    run_lookups(r, n / seconds);
    world_run(r->w, (uint64_t)(seconds * US));
    run_lookups_end(r);
}

void run_all_right(struct run *r, const char *when)
{
    if (run_failed_share(r) > 0 && r->opt->loss <= 0)
        run_violation(r, WORLD_NOBODY, "%s, %llu lookups were wrong and %llu unanswered, of %llu",
                      when, (unsigned long long)r->lookups.wrong,
                      (unsigned long long)(r->lookups.failed + r->lookups.busy),
                      (unsigned long long)r->lookups.begun);
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    int err = clock_gettime(clock, &t);
    CHECK(err == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes of memory that the process uses. */
static double resident(void)
{
    unsigned long all = 0, in = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%lu %lu", &all, &in) != 2)
        in = 0;
    if (f != NULL)
        (void)fclose(f);
    return (double)in * (double)sysconf(_SC_PAGESIZE);
}

/* ---- scenarios ---- */

void scenario_steady(struct run *r)
{
    struct traffic before;
    double empty = resident();
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_traffic(r, &before);
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    uint32_t seconds = run_duration(r);
    run_lookups_over(r, SETTLED_LOOKUPS, seconds);
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    double node_seconds = (double)seconds * r->nodes;
    run_traffic_figures(r, &before, node_seconds);
    run_lookup_figures(r);
    run_figure(r, "node_seconds_per_second", node_seconds / cpu, 0,
               "virtual seconds of a node in a second of one processor");
    run_figure(r, "bytes_per_node", (double)run_node_bytes(r), 0, "memory of a node (ring_size)");
    run_figure(r, "resident_bytes_per_node", (resident() - empty) / r->nodes, 0,
               "memory in use a node, the world's own included");
    run_all_right(r, "in a ring that nothing happens to");
    run_settle(r, run_patience(r), "nothing");
}

static void start_one(void *arg, uint64_t node)
{
    run_start(arg, (uint32_t)node, false);
}

static bool all_members(void *arg)
{
    const struct run *r = arg;
    struct oracle_figures f;
    oracle_figures(r->o, &f);
    return r->running_n == r->nodes && f.members == r->nodes && f.small == 0;
}

void scenario_flash_join(struct run *r)
{
    struct traffic before;
    run_open(r, r->opt->nodes, NULL);
    uint32_t first = r->nodes < (uint32_t)r->r + 2 ? r->nodes : (uint32_t)r->r + 2;
    if (!run_grow(r, 0, first))
        return;
    run_traffic(r, &before);
    uint64_t began = run_now(r);
    for (uint32_t i = first; i < r->nodes; i++)
        world_at(r->w, began + rng_below(&r->rng, US), start_one, r, i);
    bool in = world_until(r->w, all_members, r, US / 10, (uint64_t)run_patience(r) * US);
    if (!in && r->nodes > r->r)
        run_violation(r, WORLD_NOBODY, "not everyone has joined after %u s", run_patience(r));
    run_figure(r, "joined_seconds", (double)(run_now(r) - began) / US, 1,
               "seconds until everyone was a member");
    world_run(r->w, US);
    run_settle(r, run_patience(r), "a flash of joins");
    double took = (double)(run_now(r) - began) / US;
    run_figure(r, "ideal_seconds", took, 1, "seconds until the ring was ideal");
    run_traffic_figures(r, &before, took * r->nodes);
    run_lookups_over(r, SETTLED_LOOKUPS, run_duration(r));
    run_all_right(r, "after a flash of joins");
    run_lookup_figures(r);
}

/* So many of the running nodes die at once. */
static void kill_share(struct run *r, double share, bool silent)
{
    uint32_t n = (uint32_t)(share * r->running_n);
    for (uint32_t i = 0; i < n && r->running_n > 1; i++)
        run_crash(r, run_any(r), silent);
}

/* A survivor, and a dead node that was before its first live successor. */
struct unseen {
    uint32_t node;
    struct peal_id dead;
};

struct mending {
    struct run *run;
    struct unseen *unseen;
    size_t n;
    uint64_t detected_us, ideal_us; /* 0: not yet */
};

/* At the moment of the deaths: who has to notice what before its successor can be right. */
static void note_unseen(struct mending *m)
{
    struct run *r = m->run;
    m->unseen = malloc(((size_t)r->running_n * r->r + 1) * sizeof *m->unseen);
    CHECK(m->unseen != NULL);
    for (uint32_t i = 0; i < r->running_n; i++) {
        struct ring_view v;
        ring_look(run_ring(r, r->running[i]), &v);
        for (size_t k = 0; k < v.successors_n; k++) {
            uint32_t node = oracle_node_of(r->o, &v.successors[k]);
            if (node != WORLD_NOBODY && world_running(r->w, node))
                break;
            m->unseen[m->n++] = (struct unseen){.node = r->running[i], .dead = v.successors[k]};
        }
    }
}

static bool mended(void *arg)
{
    struct mending *m = arg;
    struct run *r = m->run;
    char why[ORACLE_WHY_MAX];
    for (size_t i = 0; i < m->n;)
        if (ring_is_up(run_ring(r, m->unseen[i].node), &m->unseen[i].dead))
            i++;
        else
            m->unseen[i] = m->unseen[--m->n];
    if (m->n > 0)
        return false;
    if (m->detected_us == 0)
        m->detected_us = run_now(r);
    if (!run_is_ideal(r, why))
        return false;
    m->ideal_us = run_now(r);
    return true;
}

/* Waits until the ring of the living is ideal, and says how long it took. */
static void mend(struct run *r, uint64_t died_us)
{
    struct mending m = {.run = r};
    char why[ORACLE_WHY_MAX];
    note_unseen(&m);
    if (!world_until(r->w, mended, &m, MEND_EVERY_US, (uint64_t)run_patience(r) * US)) {
        (void)run_is_ideal(r, why);
        run_violation(r, WORLD_NOBODY, "no ideal ring %u s after a mass death: %s", run_patience(r),
                      why);
    }
    free(m.unseen);
    bool ended = m.ideal_us != 0;
    double detected = (double)(m.detected_us - died_us) / US;
    double ideal = (double)(m.ideal_us - died_us) / US;
    run_figure(r, "detection_seconds", m.detected_us != 0 ? detected : -1, 2,
               "seconds until each survivor knew of all the dead before its successor");
    run_figure(r, "ideal_seconds", ended ? ideal : -1, 2,
               "seconds until the ring of the living was ideal");
    run_figure(r, "ideal_rounds", ended ? ideal / run_stabilise(r) : -1, 2,
               "the same in rounds of stabilise");
    run_figure(r, "ideal_rounds_after_detection",
               ended ? (ideal - detected) / run_stabilise(r) : -1, 2,
               "rounds of stabilise from that knowledge to the ideal ring");
}

void scenario_mass_death(struct run *r)
{
    struct traffic before;
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_lookups_over(r, SETTLED_LOOKUPS, run_duration(r));
    run_all_right(r, "before anybody died");
    run_figure(r, "living_hops_mean", run_mean_hops(r), 3, "hops before the deaths, mean");
    run_excuse(r, true);
    run_traffic(r, &before);
    kill_share(r, run_fraction(r, 0.3), true);
    uint64_t died = run_now(r);
    run_lookups_reset(r);
    (void)run_lookups_now(r, SETTLED_LOOKUPS);
    mend(r, died);
    run_lookups_end(r);
    r->prefix = "before_";
    run_lookup_figures(r);
    r->prefix = NULL;
    run_figure(r, "survivors", r->running_n, 0, "nodes that live");
    run_traffic_figures(r, &before, (double)(run_now(r) - died) / US * r->running_n);
    run_settle(r, run_patience(r), "a mass death was repaired");
    run_excuse(r, false);
    run_lookups_over(r, SETTLED_LOOKUPS, run_duration(r));
    run_all_right(r, "after a mass death was repaired");
    r->prefix = "after_";
    run_lookup_figures(r);
    r->prefix = NULL;
}

/* ---- churn ---- */

struct churn {
    struct run *run;
    uint32_t fresh; /* the next node that has never lived */
    double rate;
    bool over;
    uint64_t joined, died;
};

static uint64_t next_time(struct run *r, double rate)
{
    /* exponential: a Poisson process */
    double u = ((double)(rng_next(&r->rng) >> 11) + 1) / 9007199254740993.0;
    return run_now(r) + 1 + (uint64_t)(-log(u) / rate * US);
}

static void churn_join(void *arg, uint64_t what)
{
    struct churn *c = arg;
    if (c->over || c->fresh == c->run->nodes)
        return;
    run_start(c->run, c->fresh++, false);
    c->joined++;
    world_at(c->run->w, next_time(c->run, c->rate), churn_join, c, what);
}

static void churn_die(void *arg, uint64_t what)
{
    struct churn *c = arg;
    if (c->over)
        return;
    if (c->run->running_n > 1) {
        run_crash(c->run, run_any(c->run), true);
        c->died++;
    }
    world_at(c->run->w, next_time(c->run, c->rate), churn_die, c, what);
}

void scenario_churn(struct run *r)
{
    struct traffic before, after;
    uint32_t n = r->opt->nodes, seconds = run_duration(r);
    struct churn c = {.run = r, .fresh = n, .rate = run_rate(r, 0.05)};
    double joins = c.rate * seconds;
    uint32_t room = (uint32_t)(joins + 6 * sqrt(joins)) + 8;
    if (r->own->stabilise_s == 0)
        r->own->stabilise_s = CHURN_STABILISE_S;
    if (r->own->ping_s <= 0)
        r->own->ping_s = r->own->stabilise_s / CHURN_PINGS;
    if (n + room > WORLD_NODES_MAX)
        room = WORLD_NODES_MAX - n;
    run_open(r, n + room, NULL);
    if (!run_grow(r, 0, n))
        return;
    run_traffic(r, &before);
    if (c.rate > 0) {
        world_at(r->w, next_time(r, c.rate), churn_join, &c, 0);
        world_at(r->w, next_time(r, c.rate), churn_die, &c, 0);
    }
    run_lookups_over(r, seconds, seconds);
    c.over = true;
    run_traffic(r, &after);
    run_lookup_figures(r);
    double late = (double)(after.said.find_timeouts - before.said.find_timeouts);
    double all = (double)(after.said.timeouts - before.said.timeouts);
    double finds = (double)(after.said.finds - before.said.finds);
    run_figure(r, "timeouts_per_lookup", finds > 0 ? late / finds : 0, 4,
               "lookups' hops not answered in time, for each lookup, fingers' included");
    run_figure(r, "all_lookups", finds, 0, "lookups begun, those of fingers and places included");
    run_figure(r, "query_timeouts_per_node_hour", (all - late) / ((double)seconds * n / 3600), 2,
               "queries of upkeep not answered in time, a node and hour");
    run_traffic_figures(r, &before, (double)seconds * n);
    run_figure(r, "joined", (double)c.joined, 0, "nodes that came");
    run_figure(r, "died", (double)c.died, 0, "nodes that died");
    run_introduce(r);
    double took = run_settle(r, run_patience(r), "churn");
    run_figure(r, "ideal_seconds", took, 1, "seconds until the ring was ideal again");
    run_lookups_over(r, SETTLED_LOOKUPS, run_patience(r));
    run_all_right(r, "after churn");
}

/* ---- hops ---- */

/* Half of log2 N and what the last hop and the successor list make of it: 0.86, -0.05 and -1.0 for
 * lists of 1, 4 and 16, nearly linear in their logarithm. */
static double theory(uint32_t nodes, uint32_t r)
{
    return 0.5 * log2(nodes) + 0.86 - 0.465 * log2(r);
}

void scenario_paths(struct run *r)
{
    r->no_hints = true;
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    /* Fingers are looked up one by one. */
    world_run(r->w, (uint64_t)run_patience(r) * US);
    double hoped = theory(r->nodes, r->r);
    run_lookups_over(r, 5 * SETTLED_LOOKUPS, run_duration(r));
    run_all_right(r, "without hints");
    run_lookup_figures(r);
    run_figure(r, "hops_theory", hoped, 3, "hops by theory");
    if (run_mean_hops(r) > hoped + 1)
        run_violation(r, WORLD_NOBODY, "lookups take %.2f hops, theory says %.2f", run_mean_hops(r),
                      hoped);
}

static uint32_t knowing_all(const struct run *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->running_n; i++) {
        size_t living, dead;
        ring_known(run_ring(r, r->running[i]), &living, &dead);
        n += living + 1 >= r->running_n;
    }
    return n;
}

static bool all_know_all(void *arg)
{
    const struct run *r = arg;
    return knowing_all(r) == r->running_n;
}

void scenario_onehop(struct run *r)
{
    struct traffic before, after;
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    uint64_t began = run_now(r);
    run_traffic(r, &before);
    bool known = world_until(r->w, all_know_all, r, KNOWN_EVERY_US, (uint64_t)run_duration(r) * US);
    double took = (double)(run_now(r) - began) / US;
    run_traffic(r, &after);
    run_figure(r, "known_seconds", known ? took : -1, 0,
               "seconds from the ideal ring until everyone knew everyone (-1: never)");
    run_figure(r, "known_share", (double)knowing_all(r) / r->running_n, 4, "nodes that know all");
    run_figure(r, "known_bytes_per_node",
               (double)(after.said.gossip_bytes - before.said.gossip_bytes) / r->nodes, 0,
               "bytes of gossip a node until then");
    if (!known)
        run_violation(r, WORLD_NOBODY, "after %u s only %u of %u nodes know everyone",
                      run_duration(r), knowing_all(r), r->running_n);
    run_traffic(r, &before);
    run_lookups_over(r, SETTLED_LOOKUPS, 60);
    run_all_right(r, "with everyone known");
    run_lookup_figures(r);
    run_traffic_figures(r, &before, 60.0 * r->nodes);
    run_figure(r, "one_hop_share", (double)r->lookups.one_hop / (double)r->lookups.begun, 4,
               "lookups that were right with at most one hop");
}
