/* scenario: the table of them, and one run of one. */
#include "scenario_inner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct scenario SCENARIOS[] = {
    {"steady", "a ring that nothing happens to: hops, upkeep per node, memory, speed", 100, 60,
     scenario_steady},
    {"flash-join", "all at once: r + 2 nodes, then all the others within a second", 100, 60,
     scenario_flash_join},
    {"mass-death", "--fraction of the nodes die silently at once: lookups before and after repair",
     200, 60, scenario_mass_death},
    {"churn", "--rate joins and as many silent deaths a second: failed lookups, time-outs, bytes",
     500, 1800, scenario_churn},
    {"partition", "cut into --parts, each of which must be a ring; then healed into one", 60, 60,
     scenario_partition},
    {"merge", "--parts rings that never met; one contact of each is made known in the next", 60, 60,
     scenario_merge},
    {"small", "1 to --nodes nodes that start, die, leave, pause at random", 12, 60, scenario_small},
    {"paths", "hops without hints, beside the theory", 1024, 60, scenario_paths},
    {"onehop", "hints on: when does every node know all, and how many lookups take one hop", 200,
     600, scenario_onehop},
    {"broadcast", "one broadcast after the other: N - 1 messages each, and everybody once", 100, 60,
     scenario_broadcast},
    {"election", "messages of an election; the coordinator dies", 64, 60, scenario_election},
    {"address", "nodes change their addresses, swap them, take those of the dead", 40, 60,
     scenario_address},
    {"networks", "nodes with two addresses, one of which only some of the others reach", 40, 30,
     scenario_networks},
    {"pause", "--fraction of the nodes stop and come back as if nothing had been", 40, 60,
     scenario_pause},
    {"drift", "clocks that run and stand differently", 60, 120, scenario_drift},
    {"oneway", "what goes from one part to the other is lost, and not the other way", 40, 60,
     scenario_oneway},
    {"forged", "a member says whatever it likes: nothing breaks, counters say so", 40, 60,
     scenario_forged},
    {NULL, NULL, 0, 0, NULL},
};

const struct scenario *scenarios(void)
{
    return SCENARIOS;
}

const struct scenario *scenario_of(const char *name)
{
    for (const struct scenario *s = SCENARIOS; s->name != NULL; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static void oracle_into_figures(struct run *r)
{
    run_figure(r, "oracle_updates", (double)r->oracle_updates, 0,
               "changes of a node's view that the oracle checked");
    run_figure(r, "oracle_checks", (double)r->oracle_checks, 0, "checks of the ring as a whole");
    run_figure(r, "oracle_armed", (double)r->oracle_armed, 0,
               "times that the invariant held and was watched from then");
    run_figure(r, "oracle_excused", (double)r->oracle_excused, 0,
               "breaks while the proof's assumptions did not hold");
    run_figure(r, "oracle_assumed_away", (double)r->oracle_assumed, 0,
               "breaks by deaths alone, which the proof assumes away");
    run_figure(r, "phases_most", r->phases_most, 0, "changes of its phase by one node, at most");
    run_figure(r, "events", (double)r->events, 0, "events of the world");
}

void scenario_run(const struct scenario *s, const struct sim_options *opt, FILE *out,
                  struct outcome *result)
{
    struct sim_options own = *opt;
    struct run r = {.scenario = s,
                    .opt = &own,
                    .own = &own,
                    .out = out,
                    .result = result,
                    .rogue = WORLD_NOBODY};
    *result = (struct outcome){0};
    if (own.nodes == 0)
        own.nodes = s->nodes;
    rng_init(&r.rng, own.seed ^ 0x7065616c73696du);
    s->fn(&r);
    run_close(&r);
    oracle_into_figures(&r);
}

struct line {
    char *at;
    size_t left;
};

static void PEAL_PRINTF(2, 3) add(struct line *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(l->at, l->left, fmt, args);
    va_end(args);
    size_t got = n < 0 ? 0 : (size_t)n < l->left ? (size_t)n : l->left - 1;
    l->at += got;
    l->left -= got;
}

void scenario_command(const struct sim_options *o, uint64_t seed, char out[static LINE_MAX])
{
    static const char *const LATENCIES[] = {"constant", "uniform", "wide"};
    struct line l = {out, LINE_MAX};
    add(&l, "peal-sim --scenario %s --nodes %u --seed %llu", o->scenario, o->nodes,
        (unsigned long long)seed);
    if (o->duration_s != 0)
        add(&l, " --duration %u", o->duration_s);
    if (o->loss > 0)
        add(&l, " --loss %g", o->loss);
    if (o->duplicate > 0)
        add(&l, " --duplicate %g", o->duplicate);
    if (o->reorder > 0)
        add(&l, " --reorder %g", o->reorder);
    if (o->fraction >= 0)
        add(&l, " --fraction %g", o->fraction);
    if (o->rate >= 0)
        add(&l, " --rate %g", o->rate);
    if (o->successors != 0)
        add(&l, " --successors %u", o->successors);
    if (o->stabilise_s != 0)
        add(&l, " --stabilise %u", o->stabilise_s);
    if (o->ping_s > 0)
        add(&l, " --ping %g", o->ping_s);
    if (o->gossip == RING_GOSSIP_NONE)
        add(&l, " --gossip off");
    else if (o->gossip != 0)
        add(&l, " --gossip %u", o->gossip);
    if (o->hints != 0)
        add(&l, " --hints %u", o->hints);
    if (o->parts != 0)
        add(&l, " --parts %u", o->parts);
    if (o->drift_ppm != 0)
        add(&l, " --drift %u", o->drift_ppm);
    if (o->latency != WORLD_UNIFORM)
        add(&l, " --latency %s", LATENCIES[o->latency]);
    add(&l, "%s%s", o->no_hints ? " --no-hints" : "", o->real_keys ? " --real-keys" : "");
}
