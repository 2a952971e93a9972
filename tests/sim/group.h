/* group: a simulated ring of chord cores under a small app, with what tests of it need: operations
 * whose outcomes are kept, conditions to wait for, and looks into disks. */
#ifndef PEAL_SIM_GROUP_H
#define PEAL_SIM_GROUP_H

#include "sim.h"

enum {
    GROUP_OPS_MAX = 1 << 15,
    GROUP_VALUE_MAX = WIRE_REGISTER_MAX,
    GROUP_READ_MAX = 2048,
    GROUP_TALLY_BYTES = 8
};

enum group_op_kind {
    GROUP_CLAIM,  /* register: mine when it is empty */
    GROUP_APPEND, /* register: a list of u32 numbers; appends the op's own unless it is in already
                   */
    GROUP_GET,    /* register: reads */
    GROUP_LEAVE,  /* register: a change that leaves it as it is */
    GROUP_TALLY,  /* register: counts the operations of each node, each once */
    GROUP_PUT,
    GROUP_READ,
    GROUP_FIND,   /* the overlay's lookup */
    GROUP_REMOVE, /* takes the server that is the key out of the ring */
};

enum { GROUP_RUNNING = 1 }; /* an op's err before its end; for ever when its node crashed */

struct group_op {
    enum group_op_kind kind;
    size_t node;
    struct peal_id key;
    struct peal_msg_id id; /* PUT: the row's */
    uint64_t began_us, ended_us;
    int err;
    bool deleted;   /* PUT: a deletion was asked for */
    uint8_t *value; /* what the register was decided to be; READ: the ids, in the order given; FIND:
                       the path, the owner last; REMOVE: why not */
    size_t value_n; /* bytes; READ: rows; FIND: nodes */
};

struct group;

enum { GROUP_TYPES = 128 }; /* of messages between servers */

struct group_sent { /* over links between nodes */
    uint64_t messages, bytes;
};

struct group_node { /* an app's ctx */
    struct group *group;
    size_t at;
    uint64_t stored, pushed, messages, changes;
    uint64_t box_rows_max; /* of its configuration, from its next start on */
    uint8_t scratch[GROUP_VALUE_MAX];
};

struct group {
    struct sim *sim;
    struct sim_config cfg;
    struct group_node nodes[SIM_NODES_MAX];
    struct group_op ops[GROUP_OPS_MAX];
    size_t ops_n;
    uint32_t forgotten;      /* operations before those */
    uint64_t auto_remove_us; /* given to cores that are started from then on */
    char domain[SIM_NODES_MAX][WIRE_DOMAIN_MAX + 1]; /* likewise; empty: none */
    size_t founded, dissolved, warned, strangers, waiting;
    bool tells_expired; /* word of an expired row goes to group_word_box of its box */
    size_t clashes;     /* registers of a ring gone into another that were somebody else's there */
    struct group_sent sent[SIM_NODES_MAX][GROUP_TYPES]; /* by node and type */
};

/* cfg: core, ctx and trace are filled in. Freed with group_free. */
struct group *group_new(const struct sim_config *cfg);
void group_free(struct group *r);
void group_start_all(struct group *r);
const struct chord *group_chord(const struct group *r, size_t node);
size_t group_index(const struct group *r, const struct peal_id *id);

/* All running nodes are members of one ring of `size`, in one epoch, and see it whole with `live`
 * nodes up. */
bool group_whole(struct group *r, size_t size, size_t live);
/* Waits for that, at most us. */
bool group_wait_whole(struct group *r, size_t size, size_t live, uint64_t us);

/* What all nodes have sent so far of messages [first, last]. */
struct group_sent group_sent(const struct group *r, uint16_t first, uint16_t last);

/* Begins an operation at a running node; its number, or SIZE_MAX when chord was busy. */
size_t group_begin(struct group *r, size_t node, enum group_op_kind kind, const struct peal_id *key,
                   uint64_t timeout_us);
size_t group_put(struct group *r, size_t node, const struct peal_id *box, size_t body_n,
                 uint64_t timeout_us);
void group_del(struct group *r, size_t node, const struct peal_id *box,
               const struct peal_msg_id *id);
/* Runs until the operation has ended, at most us; its err. */
int group_wait(struct group *r, size_t op, uint64_t us);

/* Makes room for as many operations as at first: none is under way, and all of them are forgotten.
 */
void group_forget(struct group *r);

/* Whether the node's disk has the row, and as what: -1 nothing, else its kind. */
int group_disk_row(struct group *r, size_t node, const struct peal_id *box,
                   const struct peal_msg_id *id);
/* Puts rows onto the disk of a node that does not run: for a ring in which copies are missing. */
void group_disk_put(struct group *r, size_t node, const struct wire_row *rows, size_t n);
/* How many keys the node's disk has in the space. */
uint64_t group_disk_count(struct group *r, size_t node, enum store_space space);
/* What a register that GROUP_TALLY changes was decided to be when o ended: how often it was changed
 * at node. */
uint32_t group_tally(const struct group_op *o, size_t node);
struct peal_id group_key(struct group *r, uint32_t n);
struct peal_id group_word_box(const struct peal_id *box);

#endif
