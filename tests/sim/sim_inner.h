/* What the simulator's two files share. */
#ifndef PEAL_SIM_INNER_H
#define PEAL_SIM_INNER_H

#include "sim.h"

#include "peal/crypto.h"

enum {
    REFUSED_US = 1000,
    DIAL_TIMEOUT_US = 1000 * 1000,
};

enum event_kind {
    EV_STEP,
    EV_TIMER,
    EV_COMMIT,
    EV_DIAL,
    EV_ARRIVE,
    EV_STOP,
    EV_CLIENT_FRAME,
    EV_CLIENT_CLOSED
};

/* Something that will happen. life: of the node at the time; an event of an earlier life is
 * dropped. */
struct event {
    uint64_t at, seq;
    enum event_kind kind;
    size_t node;
    uint32_t life;
    struct step_event step; /* EV_STEP; its bytes and address are owned */
    uint32_t link;          /* EV_ARRIVE, EV_CLIENT_*: the receiving end */
    uint8_t *bytes;
    size_t n;
    size_t to; /* EV_DIAL */
};

/* An effect that waits for its update to be durable. */
struct held {
    struct held *next;
    uint64_t ticket;
    struct step_effect e; /* bytes are owned */
};

struct end { /* of a link */
    uint32_t handle;
    size_t node; /* SIZE_MAX: a client */
    bool open;
    bool deaf;     /* something on its way to it was lost: nothing comes any more */
    uint64_t last; /* when the last frame sent to it arrives: frames keep their order */
};

struct link {
    enum step_link_kind kind;
    struct end end[2]; /* the first dialled */
};

struct node {
    struct peal_id id;
    struct cry_sign_key key;
    char address[WIRE_ADDRESS_MAX], also[WIRE_ADDRESS_MAX]; /* also: empty, or a second one */
    uint64_t incarnation;
    bool running, paused, left;
    uint32_t life;
    void *mem, *core;
    struct store *store;
    struct step_reader reader;
    struct held *first, *last;
    bool committing;
    int store_err; /* what the core was last told */
    uint64_t timer_at;
    int64_t skew_ms, drift_ppm;
    uint64_t drift_us;    /* since when */
    uint32_t crash_after; /* 0: not */
    struct event *stalled;
    size_t stalled_n;
};

struct sim {
    struct sim_config cfg;
    struct rng rng;
    uint64_t now, seq, digest, refused;
    size_t writes_most;
    uint64_t messages[WIRE_TYPE_MAX + 1];
    struct event *heap;
    size_t heap_n, heap_cap;
    struct link *links;
    size_t links_n, links_cap;
    uint8_t cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* enum sim_way, from … to */
    struct node nodes[SIM_NODES_MAX];
    struct step_update u;
    void *update_mem;
};

/* sim.c */
void *must(void *p);
uint8_t *copy_of(struct peal_bytes b);
uint64_t between_us(struct sim *s, const uint64_t range[2]);
void push(struct sim *s, struct event ev);
struct event new_event(struct sim *s, enum event_kind kind, size_t node, uint64_t at);
void step_later(struct sim *s, size_t node, uint64_t at, const struct step_event *ev);

/* sim_net.c */
struct end *end_of(struct sim *s, uint32_t handle);
struct end *other_end(struct sim *s, uint32_t handle);
enum sim_way way_of(const struct sim *s, size_t from, size_t to);
void close_end(struct sim *s, uint32_t handle);
void link_step(struct sim *s, uint32_t handle, enum step_event_kind kind, uint64_t at, int err);
void dial(struct sim *s, size_t from, struct peal_bytes address);
/* A dial has come through to the other side. */
void dialled(struct sim *s, const struct event *ev);
void send_frame(struct sim *s, uint32_t handle, struct peal_bytes b);
void beacon(struct sim *s, size_t from, struct peal_bytes b);

#endif
