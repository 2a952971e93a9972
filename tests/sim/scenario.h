/* scenario: rings of peal/ring.h nodes in a world, what is done to them, and what is measured. A
 * scenario is a function over a run: it makes nodes start, look up, die, and notes figures;
 * whatever must not be is a violation.
 *
 * Contacts are signed with a keyed 64-bit mix instead of Ed25519 (unless real_keys): it still
 * refuses what was not signed with the run's key, and thousands of nodes can afford it. */
#ifndef PEAL_SIM_SCENARIO_H
#define PEAL_SIM_SCENARIO_H

#include "oracle.h"
#include "world.h"

#include <stdio.h>

enum {
    FIGURES_MAX = 64,
    FIGURE_NAME_MAX = 48, /* its NUL included */
    SEEDS_MAX = 1 << 20,
    VIOLATIONS_TOLD = 20, /* of one run; the others are counted */
    HOPS_MAX = WIRE_PATH_MAX,
    LINE_MAX = 512,
    US = 1000 * 1000, /* of a second */
};

/* Somebody who looks on while runs go on, and changes nothing in them: the world is const to it,
 * and so are the nodes' cores. Between opened and closing only; every member must be set. */
struct sim_watcher {
    void *ctx;
    void (*opened)(void *ctx, const struct world *w, uint32_t nodes);
    void (*closing)(void *ctx);                /* the world lives until it returns */
    void (*before)(void *ctx, uint64_t at_us); /* as in world.h */
    void (*trace)(void *ctx, uint32_t node, const struct step_effect *e);
    /* A lookup ended with an answer. Within a step. */
    void (*found)(void *ctx, uint32_t asker, const struct ring_found *f);
};

struct sim_options {
    const char *scenario;
    uint32_t nodes, duration_s; /* 0: the scenario's own */
    uint64_t seed;
    uint32_t seeds;
    double loss, duplicate, reorder;  /* 0 … 1 */
    double ping_s;                    /* 0: the core's own */
    double fraction, rate;            /* negative: the scenario's own */
    uint32_t successors, stabilise_s; /* 0: the core's own */
    uint32_t gossip;                  /* bytes a second; 0: the core's own; RING_GOSSIP_NONE: off */
    uint32_t hints;                   /* 0: as many as there are nodes, within the core's limits */
    uint32_t parts, drift_ppm;
    enum world_latency latency;
    bool no_hints, real_keys, json, verbose;
    const struct sim_watcher *watcher; /* NULL: nobody */
};

struct run;

struct scenario {
    const char *name, *line;
    uint32_t nodes, duration_s; /* unless told otherwise */
    void (*fn)(struct run *r);
};

struct figure {
    char name[FIGURE_NAME_MAX];
    const char *prose;
    double value;
    int decimals;
};

/* What a run found. */
struct outcome {
    uint64_t digest, violations;
    struct figure figures[FIGURES_MAX];
    size_t figures_n;
};

/* All scenarios, ended by one without a name; NULL when there is none of that name. */
const struct scenario *scenarios(void);
const struct scenario *scenario_of(const char *name);
/* Runs it once. Violations are told to `out` as they are found (NULL: to nobody). */
void scenario_run(const struct scenario *s, const struct sim_options *opt, FILE *out,
                  struct outcome *result);
/* The command that does the same again. */
void scenario_command(const struct sim_options *opt, uint64_t seed, char out[static LINE_MAX]);

#endif
