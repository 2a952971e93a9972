/* ring: a simulated ring of chord cores under a small app, with what tests of it need: operations
 * whose outcomes are kept, conditions to wait for, and looks into disks. */
#ifndef PEAL_SIM_RING_H
#define PEAL_SIM_RING_H

#include "sim.h"

enum { RING_OPS_MAX = 8192, RING_VALUE_MAX = WIRE_REGISTER_MAX, RING_READ_MAX = 2048 };

enum ring_op_kind {
    RING_CLAIM,  /* register: mine when it is empty */
    RING_APPEND, /* register: a list of u32 numbers; appends the op's own unless it is in already */
    RING_GET,    /* register: reads */
    RING_PUT,
    RING_READ,
};

enum { RING_RUNNING = 1 }; /* an op's err before its end; for ever when its node crashed */

struct ring_op {
    enum ring_op_kind kind;
    size_t node;
    struct peal_id key;
    struct peal_msg_id id; /* PUT: the row's */
    uint64_t began_us, ended_us;
    int err;
    bool deleted;   /* PUT: a deletion was asked for */
    uint8_t *value; /* what the register was decided to be; READ: the ids, in the order given */
    size_t value_n; /* bytes; READ: rows */
};

struct ring;

struct ring_node { /* an app's ctx */
    struct ring *ring;
    size_t at;
    uint64_t stored, pushed, messages, changes;
    uint8_t scratch[RING_VALUE_MAX];
};

struct ring {
    struct sim *sim;
    struct sim_config cfg;
    struct ring_node nodes[SIM_NODES_MAX];
    struct ring_op ops[RING_OPS_MAX];
    size_t ops_n;
    size_t founded, dissolved, warned, strangers, waiting;
};

/* cfg: core, ctx and trace are filled in. Freed with ring_free. */
struct ring *ring_new(const struct sim_config *cfg);
void ring_free(struct ring *r);
void ring_start_all(struct ring *r);
const struct chord *ring_chord(const struct ring *r, size_t node);
size_t ring_index(const struct ring *r, const struct peal_id *id);

/* All running nodes are members of one ring of `size`, in one epoch, and see it whole with `live`
 * nodes up. */
bool ring_whole(struct ring *r, size_t size, size_t live);
/* Waits for that, at most us. */
bool ring_wait_whole(struct ring *r, size_t size, size_t live, uint64_t us);

/* Begins an operation at a running node; its number, or SIZE_MAX when chord was busy. */
size_t ring_begin(struct ring *r, size_t node, enum ring_op_kind kind, const struct peal_id *key,
                  uint64_t timeout_us);
size_t ring_put(struct ring *r, size_t node, const struct peal_id *box, size_t body_n,
                uint64_t timeout_us);
void ring_del(struct ring *r, size_t node, const struct peal_id *box, const struct peal_msg_id *id);
/* Runs until the operation has ended, at most us; its err. */
int ring_wait(struct ring *r, size_t op, uint64_t us);

/* Whether the node's disk has the row, and as what: -1 nothing, else its kind. */
int ring_disk_row(struct ring *r, size_t node, const struct peal_id *box,
                  const struct peal_msg_id *id);
/* How many keys the node's disk has in the space. */
uint64_t ring_disk_count(struct ring *r, size_t node, enum store_space space);
struct peal_id ring_key(struct ring *r, uint32_t n);

#endif
