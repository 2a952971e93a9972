/* sim: many nodes in one process, with virtual time, a seeded network and disks that forget. One
 * seed gives one run, to the byte: sim_digest tells. For tests of anything that speaks peal/step.h:
 * chord with a test's own app, or the whole service.
 *
 * The network: links are like TCP: whole frames, in order within a link, delayed at random, never
 * lost or doubled while the link lives. A cut holds back what is under way in both directions until
 * it heals; or it loses what goes one way, and then everything that follows on the same link, for a
 * stream has no gaps: its receiver hears nothing any more, not even its end. Dialling across either
 * fails after a second. Beacons are like UDP: to everyone not cut off, lost at random.
 *
 * The disk: the store's memory back end. What an update wrote becomes durable after a delay, and
 * only then do its sends go out, as the host's law says (peal/step.h). Of an update that is refused
 * only what promises nothing is done. A crash keeps a random prefix of what was not durable.
 *
 * Not for: real time, threads, TLS. */
#ifndef PEAL_SIM_H
#define PEAL_SIM_H

#include "peal/chord.h"
#include "peal/store.h"

struct sim;

enum { SIM_NODES_MAX = 64, SIM_CLIENTS_MAX = 1024 };

/* The object under test. */
struct sim_core {
    size_t (*size)(void *ctx, size_t node, const struct chord_config *base);
    /* base: what the harness chose: identity, contact, joins, discovery, replicas, seed; .app is
     * empty. */
    int (*init)(void *ctx, size_t node, void *mem, const struct chord_config *base, void **core);
    void (*step)(void *core, const struct step_event *ev, struct step_update *u);
    uint64_t (*deadline)(const void *core);
};

struct sim_config {
    uint64_t seed;
    size_t nodes;
    uint8_t replicas;
    bool discovery;         /* beacons are heard */
    uint8_t expect;         /* how many are to be there before one founds a ring; 0: whoever is */
    bool join_first;        /* every node is given the first one's address to join */
    uint32_t ops_max;       /* of each kind of operation; 0: 64 */
    uint32_t repair_bytes;  /* as chord_config's */
    uint64_t latency_us[2]; /* one way, uniform; 0: 200 to 2,000 */
    uint64_t fsync_us[2];   /* 0: 100 to 5,000 */
    uint32_t beacon_loss;   /* of 100 */
    uint64_t work_us;       /* how long a WORK effect takes */
    bool verbose;           /* traces to standard error */
    const struct sim_core *core;
    void *ctx; /* for core and the callbacks */
    /* Any of these may be NULL. The default of work: the input's hexadecimal form as the hash. */
    int (*work)(void *ctx, enum step_work work, struct peal_bytes input, uint8_t *out, size_t cap,
                size_t *n);
    void (*trace)(void *ctx, size_t node, const struct step_effect *e);
    void (*client_frame)(void *ctx, uint32_t client, struct peal_bytes frame);
    void (*client_closed)(void *ctx, uint32_t client, int err, struct peal_bytes reason);
    /* A frame goes from one node to another. */
    void (*sent)(void *ctx, size_t from, size_t to, struct peal_bytes frame);
};

/* No node runs yet. Aborts when memory is short. */
struct sim *sim_new(const struct sim_config *cfg);
void sim_free(struct sim *s);

/* Nodes in the ascending order of their ids. */
struct peal_id sim_id(const struct sim *s, size_t node);
struct peal_bytes sim_address(const struct sim *s, size_t node);
bool sim_running(const struct sim *s, size_t node);
/* The core, or NULL when it is not running. */
void *sim_core_of(const struct sim *s, size_t node);
struct store *sim_store(const struct sim *s, size_t node);
/* As a core would be given it; valid as long as s. */
const struct step_reader *sim_reader(const struct sim *s, size_t node);
uint64_t sim_now(const struct sim *s); /* microseconds */
struct rng *sim_rng(struct sim *s);
uint64_t sim_digest(const struct sim *s);
/* Updates whose writes a disk refused. */
uint64_t sim_refused(const struct sim *s);
/* Messages of that type that nodes sent so far, those to themselves among them. */
uint64_t sim_messages(const struct sim *s, uint16_t type);
/* The most writes that an update held, refused ones too. */
size_t sim_writes_most(const struct sim *s);

void sim_start(struct sim *s, size_t node);
/* Power loss: what was not durable is lost but for a random prefix, links break, held updates are
 * gone. */
void sim_crash(struct sim *s, size_t node);
/* The same after so many more effects of the node have been carried out, wherever in an update that
 * is. */
void sim_crash_after(struct sim *s, size_t node, uint32_t effects);
/* Another, empty disk for a node that does not run. */
void sim_wipe(struct sim *s, size_t node);
/* LEAVE, and a stop in good order 100 ms later. */
void sim_leave(struct sim *s, size_t node);
/* Nothing reaches a paused node, and it does nothing; all of it comes later. */
void sim_pause(struct sim *s, size_t node, bool paused);
/* Both ways: held back, or through again. */
void sim_cut(struct sim *s, size_t a, size_t b, bool cut);
/* What goes from one node to another: through, held back until it is through again, or lost. */
enum sim_way { SIM_THROUGH, SIM_HELD, SIM_LOST };
void sim_cut_way(struct sim *s, size_t from, size_t to, enum sim_way how);
/* Cuts every pair of which exactly one is in group, heals all others. group: a bit per node; 0
 * heals everything. */
void sim_partition(struct sim *s, uint64_t group);
/* Breaks the links between a and b at once. */
void sim_break(struct sim *s, size_t a, size_t b);
/* Gives the running node another address; links stay. */
void sim_move(struct sim *s, size_t node, const char *address);
/* Likewise a second one besides. */
void sim_also(struct sim *s, size_t node, const char *address);
void sim_skew(struct sim *s, size_t node, int64_t ms);
/* The node's wall clock runs fast (ppm > 0) or slow from now on, in millionths; where it stands now
 * it stays. */
void sim_drift(struct sim *s, size_t node, int64_t ppm);
/* Gives the node a STORE_STATE event, and makes its disk refuse to commit (err < 0) or not. */
void sim_disk(struct sim *s, size_t node, int err);
/* The node's disk has found itself full and refuses every write; the core has not heard of it yet
 * (sim_disk tells). */
void sim_refuse(struct sim *s, size_t node);

/* Runs until virtual time has gone on by us. */
void sim_run(struct sim *s, uint64_t us);
/* Runs until done(arg), checked after each event, or for at most us; what done said last. */
bool sim_until(struct sim *s, bool (*done)(void *arg), void *arg, uint64_t us);
/* Calls fn with the running node's core, in the place of an event; what it does counts as a step.
 */
void sim_call(struct sim *s, size_t node,
              void (*fn)(void *core, const struct step_event *ev, struct step_update *u, void *arg),
              void *arg);

/* A client's link to a node; its number, or 0 when the node does not run. */
uint32_t sim_client_open(struct sim *s, size_t node);
void sim_client_send(struct sim *s, uint32_t client, struct peal_bytes frame);
void sim_client_close(struct sim *s, uint32_t client);

#endif
