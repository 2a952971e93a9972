/* A run: what scenarios have in common. Not for anyone outside them. */
#ifndef PEAL_SIM_SCENARIO_INNER_H
#define PEAL_SIM_SCENARIO_INNER_H

#include "scenario.h"

#include "peal/crypto.h"

enum {
    BOOTSTRAPS = 3, /* addresses of living members that a newcomer is told */
    FIND_TIMEOUT_US = 10 * US,
    FIND_GRACE_US = 1 * US, /* beyond its time-out a lookup must have ended */
};

/* A node for the run, in all its lives. */
struct fellow {
    struct run *run;
    uint32_t node;
    uint64_t incarnation;
    struct cry_sign_key *key; /* real_keys only */
    uint32_t joins[BOOTSTRAPS];
    uint32_t joins_n;
    uint32_t running_at; /* place in run.running, or UINT32_MAX */
    uint64_t heard;      /* the last broadcast that it heard; 0: none */
    uint32_t heard_times;
};

struct lookup {
    struct peal_id key;
    uint64_t began_us;
    uint32_t asker;
    uint32_t log_at;
    bool under_way;
    uint32_t serial; /* how many had this place before; with it, the token */
    uint32_t next;   /* free ones */
};

struct lookups { /* since run_lookups_reset */
    uint64_t begun, right, wrong, failed, abandoned, busy;
    uint64_t one_hop;
    uint64_t hops_sum, hops[HOPS_MAX + 1]; /* of the right ones */
    uint32_t *took_us;                     /* of the right ones */
    size_t took_n, took_cap;
};

/* A change of membership, so that a lookup's outcome can be held against every moment of its time.
 */
struct change {
    uint32_t place;
    bool joined;
};

struct run {
    const struct scenario *scenario;
    const struct sim_options *opt;
    struct sim_options *own; /* the same, for a scenario's own defaults */
    FILE *out;
    struct outcome *result;
    struct rng rng; /* the scenario's own choices */
    uint64_t mac_key[2];
    uint8_t r;
    uint32_t nodes;                   /* in the world, started or not */
    bool beacons, remember, no_hints; /* of every node's configuration */
    bool near_first; /* every second node would have its second address tried first */
    uint32_t rogue;  /* lookups may pass it over, and it begins none; WORLD_NOBODY: there is none */
    struct signed_contact *contact; /* run_contact's */
    struct world *w;
    struct oracle *o;
    struct fellow *fellows;
    uint32_t *running, running_n;

    struct lookup *under_way;
    uint32_t under_way_n, under_way_cap, under_way_free, open;
    struct change *log;
    uint32_t log_n, log_cap;
    struct lookups lookups;
    double lookup_rate; /* a second, of the whole world; 0: none */
    uint64_t lookup_epoch;

    struct ring_counters gone; /* of lives that are over */
    uint64_t casts_heard, cast_copies, cast_seq, cast_last_us;
    const char *prefix; /* of the figures' names; NULL: none */
    uint64_t events, oracle_updates, oracle_checks, oracle_excused, oracle_assumed, oracle_armed;
    uint32_t phases_most;
};

/* ---- scenario_run.c ---- */

/* Opens the world with so many nodes, of which none runs. tweak may be NULL. */
void run_open(struct run *r, uint32_t nodes, void (*tweak)(struct world_config *c));
void run_close(struct run *r);
uint64_t run_now(const struct run *r);
uint32_t run_duration(const struct run *r);
double run_fraction(const struct run *r, double own);
double run_rate(const struct run *r, double own);

void PEAL_PRINTF(3, 4) run_violation(struct run *r, uint32_t node, const char *fmt, ...);
void run_figure(struct run *r, const char *name, double value, int decimals, const char *prose);

/* As oracle_excuse; where links are not as TCP's it is always excused. */
void run_excuse(struct run *r, bool on);
size_t run_node_bytes(struct run *r); /* ring_size */

/* Starts a node, which is told the addresses of a few that run. */
void run_start(struct run *r, uint32_t node, bool keep);
/* The same with the address of one node (WORLD_NOBODY: none). */
void run_start_with(struct run *r, uint32_t node, bool keep, uint32_t join);
void run_crash(struct run *r, uint32_t node, bool silent);
void run_leave(struct run *r, uint32_t node);
/* Gives the node another address, and tells it so. */
void run_move(struct run *r, uint32_t node, uint32_t address, bool torn);
/* A running node hears a beacon of another. */
void run_hear(struct run *r, uint32_t hearer, uint32_t of);
/* Those who were told of each other may all be dead, and nobody who lives may know of another: then
 * only a beacon helps, or an operator, who names one of them to the others. Where nodes say beacons
 * by themselves it does nothing. */
void run_introduce(struct run *r);
/* One of the running nodes at random; WORLD_NOBODY: none runs. */
uint32_t run_any(struct run *r);
struct ring *run_ring(const struct run *r, uint32_t node);
/* The node's contact, signed; views live until the next call. */
struct wire_contact run_contact(struct run *r, uint32_t node, uint64_t incarnation);

/* Starts nodes first … first + n - 1, each time as many as run already, and waits for the ideal
 * ring in between. A violation when it does not come. False then. */
bool run_grow(struct run *r, uint32_t first, uint32_t n);
/* Waits for the ideal ring of those that run; a violation when it does not come in so many seconds.
 * The seconds it took, or negative. */
double run_settle(struct run *r, uint32_t seconds, const char *after);
bool run_is_ideal(struct run *r, char why[static ORACLE_WHY_MAX]);
/* Seconds in which a ring of that many rounds of stabilise settles, generously. */
uint32_t run_patience(const struct run *r);
double run_stabilise(const struct run *r); /* seconds */

/* Sum of the counters of all lives. */
void run_counters(const struct run *r, struct ring_counters *out);

/* ---- scenario_find.c ---- */

/* A lookup of a random key by a random member, so many a second, from now on; 0: no more. */
void run_lookups(struct run *r, double rate);
/* So many at once, by random members; how many were begun: less when none is met soon. */
uint32_t run_lookups_now(struct run *r, uint32_t n);
void run_lookup(struct run *r, uint32_t asker, const struct peal_id *key);
/* Runs until all have ended; one that does not is a violation. */
void run_lookups_end(struct run *r);
void run_lookups_reset(struct run *r);
void run_lookup_found(struct fellow *f, uint64_t token, int err, const struct ring_found *found);
/* The asker is gone. */
void run_lookups_abandon(struct run *r, uint32_t asker);
void run_member_changed(struct run *r, uint32_t node, bool joined);
double run_mean_hops(const struct run *r);
uint32_t run_hops_percentile(const struct run *r, double share);
double run_took_percentile_ms(struct run *r, double share);
/* Failed: no answer in time, or the wrong owner; of those that were not abandoned. */
double run_failed_share(const struct run *r);
/* Notes them as figures. */
void run_lookup_figures(struct run *r);

/* ---- scenario_load.c ---- */

struct traffic {
    struct ring_counters said;
    uint64_t arrived; /* bytes */
};
void run_traffic(const struct run *r, struct traffic *now);
/* What the nodes said and got since `before`, a node and second, split by purpose. */
void run_traffic_figures(struct run *r, const struct traffic *before, double node_seconds);
/* So many lookups by random members, over so many seconds; notes nothing. */
void run_lookups_over(struct run *r, uint32_t n, double seconds);
/* A violation when a lookup was not right, unless messages are lost. `when`: for the text. */
void run_all_right(struct run *r, const char *when);

/* ---- scenarios ---- */
void scenario_steady(struct run *r);
void scenario_flash_join(struct run *r);
void scenario_mass_death(struct run *r);
void scenario_churn(struct run *r);
void scenario_partition(struct run *r);
void scenario_merge(struct run *r);
void scenario_small(struct run *r);
void scenario_paths(struct run *r);
void scenario_onehop(struct run *r);
void scenario_broadcast(struct run *r);
void scenario_election(struct run *r);
void scenario_address(struct run *r);
void scenario_networks(struct run *r);
void scenario_pause(struct run *r);
void scenario_drift(struct run *r);
void scenario_oneway(struct run *r);
void scenario_forged(struct run *r);

#endif
