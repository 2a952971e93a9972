/* world: thousands of nodes in one process, with virtual time and a seeded network. One seed gives
 * one run, to the byte: world_digest tells. For anything that speaks peal/step.h; this module knows
 * nothing of what its nodes say to each other.
 *
 * The network. A link is like TCP: whole frames, in order, delayed, none lost or doubled as long as
 * both ends live. On top of that, when asked for: loss (a frame is really gone, which is harsher
 * than TCP, whose losses are delays), duplicates, and frames that come after later ones. A dial
 * takes two round trips (TCP's and TLS's); the dialled side has its LINK_UP half a round trip
 * later. On a living host a dial that nobody listens for fails after one round trip; on a dead one
 * (world_host) and across a cut after WORLD_DIAL_TIMEOUT_US, unless there is an answer to one of
 * the tries until then; a paused node's host takes the dial, and the node sees to it when it goes
 * on. A process that ends in front of a living host breaks its links (RST); one that ends silently
 * leaves them half-open: what is sent over them is gone, until its host lives again and answers
 * with a reset. Beacons are like UDP, to everyone in the sender's segment.
 *
 * The disk: what an update writes is durable at once, so that the host's law (peal/step.h) holds
 * with nothing held back. Torn writes, lost ones and full disks are sim.h's.
 *
 * Clocks: every node's monotonic clock has an origin and a rate of its own, its wall clock an
 * offset.
 *
 * Calls are made between steps, never out of a node's step: there, world_at with the time that it
 * is now. Memory is short: the process ends (CHECK). Not for: real time, threads, TLS. */
#ifndef PEAL_SIM_WORLD_H
#define PEAL_SIM_WORLD_H

#include "peal/step.h"

struct world;

enum {
    WORLD_NODES_MAX = 20000,
    WORLD_ADDRESSES_MAX = 1 << 18,
    WORLD_GROUPS_MAX = 16,
    WORLD_DEFERRED_MAX = 1 << 16, /* what waits for one paused node; more is lost */
    WORLD_FRAME_MAX = 1 << 20,
    WORLD_DIAL_TIMEOUT_US = 10 * 1000 * 1000, /* NET_HANDSHAKE_US of a real host */
    WORLD_PER_MILLION = 1000 * 1000,
    WORLD_REGIONS = 8,
};
#define WORLD_NOBODY UINT32_MAX

/* The object under test. `node` is its number in the world. */
struct world_core {
    /* Bytes of memory for the node's core; given zeroed and 16-byte aligned. */
    size_t (*size)(void *ctx, uint32_t node);
    PEAL_MUST int (*init)(void *ctx, uint32_t node, void *mem, void **core);
    void (*step)(void *core, const struct step_event *ev, struct step_update *u);
    uint64_t (*deadline)(const void *core);
};

/* One way. CONSTANT: the first of latency_us. UNIFORM: between both. WIDE: eight regions of the
 * world, nodes dealt out at random (the matrix is in world_net.c). */
enum world_latency { WORLD_CONSTANT, WORLD_UNIFORM, WORLD_WIDE };

/* WIDE: there and back, without what chance adds; the regions are named in world_net.c. */
uint32_t world_round_trip_ms(uint32_t a, uint32_t b);

struct world_config {
    uint64_t seed;
    uint32_t nodes; /* numbers 0 … nodes - 1; at most WORLD_NODES_MAX */
    enum world_latency latency;
    uint64_t latency_us[2]; /* both 0: 500 and 2,000 (CONSTANT: 1,000) */
    uint32_t loss;          /* of a million frames or beacons, so many are lost */
    uint32_t duplicate;     /* come twice */
    uint32_t reorder;       /* come after later ones */
    uint32_t drift_ppm;     /* of a monotonic clock at most, either way */
    uint32_t drift_ms;      /* of a wall clock at most, either way */
    const struct world_core *core;
    void *ctx; /* for core and the callbacks, any of which may be NULL */
    /* The node has taken a step and its effects were carried out. */
    void (*stepped)(void *ctx, uint32_t node);
    void (*trace)(void *ctx, uint32_t node, const struct step_effect *e);
    /* Virtual time is about to go on to at_us, or to stay there for another event. Nothing is being
     * stepped; it may take its time, and must change nothing. */
    void (*before)(void *ctx, uint64_t at_us);
};

/* ids: cfg->nodes of them, copied; NULL: random ones. Nobody runs yet; node i has address i. */
struct world *world_new(const struct world_config *cfg, const struct peal_id *ids);
void world_free(struct world *w);

struct peal_id world_id(const struct world *w, uint32_t node);
/* Text of an address, "10.0.1.7:7400"; at most WIRE_ADDRESS_MAX bytes with its NUL. */
void world_address_text(uint32_t address, char out[static WIRE_ADDRESS_MAX]);
/* WORLD_NOBODY: it has none, since another node was given it. */
uint32_t world_address(const struct world *w, uint32_t node);
/* Of its addresses the i-th; WORLD_NOBODY: it has not so many. */
uint32_t world_address_at(const struct world *w, uint32_t node, uint32_t i);
bool world_running(const struct world *w, uint32_t node);
bool world_paused(const struct world *w, uint32_t node);
/* The core, or NULL when it is not running. */
void *world_core_of(const struct world *w, uint32_t node);
uint64_t world_now(const struct world *w); /* microseconds of virtual time */
/* As the node's clocks say. */
uint64_t world_mono(const struct world *w, uint32_t node);
uint64_t world_wall_ms(const struct world *w, uint32_t node);
struct rng *world_rng(struct world *w);
uint64_t world_digest(const struct world *w);
/* Lets the digest know of something outside the world, say a lookup's outcome. */
void world_note(struct world *w, uint64_t what);

struct world_figures {
    uint64_t events, steps, frames, bytes;
    uint64_t arrived;                       /* of those bytes, what came to its node */
    uint64_t lost, doubled, reordered, cut; /* frames */
    uint64_t dials, dials_failed, links, resets, beacons;
};
const struct world_figures *world_figures(const struct world *w);
/* Links that the node has open. */
uint32_t world_links(const struct world *w, uint32_t node);

/* Begins a life: START. keep: with what its earlier lives wrote. The host lives again. */
void world_start(struct world *w, uint32_t node, bool keep);
/* The process ends. silent: without a word to anybody, its host with it. */
void world_crash(struct world *w, uint32_t node, bool silent);
/* LEAVE, and an end in good order once its last words are out. */
void world_leave(struct world *w, uint32_t node);
/* Nothing is handed to a paused node and it does nothing; resumed, it gets all of it. */
void world_pause(struct world *w, uint32_t node, bool paused);
/* Whether a host whose process does not run answers dials with a refusal, or not at all. */
void world_host(struct world *w, uint32_t node, bool living);
/* The node has this address from now on, and no other; whoever had it has none. torn: its links
 * fall silent, as when a host changes its network. Telling the core is the caller's (STEP_CONTACT).
 */
void world_move(struct world *w, uint32_t node, uint32_t address, bool torn);
/* The node has this address as well, which nobody has. */
void world_also(struct world *w, uint32_t node, uint32_t address);
/* Networks are bits. A node is on all of them and every address as well, unless told otherwise: a
 * dial comes to an address only from a node that is on one of its networks. Links that there are
 * stay. */
void world_networks(struct world *w, uint32_t node, uint8_t networks);
void world_reach(struct world *w, uint32_t address, uint8_t networks);
/* Nobody comes to the address any more, and the links that were dialled there fall silent: how
 * many.
 */
uint32_t world_unplug(struct world *w, uint32_t address);
/* Nodes are in group 0 and segment 0 unless told otherwise. */
void world_group(struct world *w, uint32_t node, uint32_t group);
void world_segment(struct world *w, uint32_t node, uint32_t segment);
/* What goes from the first group to the second: through; held back until it is through again; or
 * lost. One way only. */
enum world_cut { WORLD_THROUGH, WORLD_HELD, WORLD_LOST };
void world_cut(struct world *w, uint32_t from, uint32_t to, enum world_cut how);
void world_heal(struct world *w); /* no cut any more */
bool world_is_cut(const struct world *w, uint32_t from_node, uint32_t to_node);

/* Gives a running node an event of the caller's: now, wall and reader are filled in. */
void world_event(struct world *w, uint32_t node, struct step_event *ev);
typedef void world_call_fn(void *core, const struct step_event *ev, struct step_update *u,
                           void *arg);
/* Calls fn with a running node's core, in the place of an event; what it does counts as a step. */
void world_call(struct world *w, uint32_t node, world_call_fn *fn, void *arg);
/* A frame to `to` as if `from` had sent it, over a link that they have. False: there is none. */
bool world_inject(struct world *w, uint32_t from, uint32_t to, struct peal_bytes frame);
/* A link between two running nodes, dialled by `from`, without a dial. */
void world_link(struct world *w, uint32_t from, uint32_t to);

/* Calls fn(arg) at the time (or now, when that is past), between steps. */
void world_at(struct world *w, uint64_t at_us, void (*fn)(void *arg, uint64_t what), void *arg,
              uint64_t what);
/* Runs until virtual time has gone on by us. */
void world_run(struct world *w, uint64_t us);
/* Runs until done(arg), asked every `every_us`, or for at most us; what done said last. */
bool world_until(struct world *w, bool (*done)(void *arg), void *arg, uint64_t every_us,
                 uint64_t us);

#endif
