/* one: a single chord core with a store and a peer that the test plays itself, one event at a time.
 */
#ifndef PEAL_CHORD_TEST_ONE_H
#define PEAL_CHORD_TEST_ONE_H

#include "peal/chord.h"
#include "peal/crypto.h"
#include "peal/store.h"

enum {
    ONE_SAID_MAX = 512,
    ONE_FRAME_MAX = 96 * 1024,
    ONE_PUTS = 16,
    ONE_REGS = 12,
    ONE_READS = 8,
    ONE_CACHED = 6,
    ONE_CACHED_BYTES = WIRE_REGISTER_MAX,
    ONE_BODIES = 2 * WIRE_BODY_MAX
};

struct one_peer {
    struct cry_sign_key key;
    struct peal_id id;
    char address[WIRE_ADDRESS_MAX];
    uint8_t list[WIRE_ADDRESSES_BYTES];
    uint64_t incarnation;
    uint8_t sig[CRY_SIG_BYTES];
};

struct one_said { /* an effect that was not for this node itself */
    enum step_effect_kind kind;
    uint32_t link;
    int err;
    uint16_t type;
    bool held; /* a send: it waits until what its update writes is durable */
    uint8_t *bytes;
    size_t n;
};

struct one_limits { /* of the configuration */
    uint64_t rows, bytes;
    bool tells; /* app.row_expired is there: word goes to the box with the first byte inverted */
};

struct one {
    struct one_limits limits;
    struct chord *chord;
    void *mem, *update_mem;
    struct step_update u;
    struct store *store;
    struct step_reader reader;
    uint64_t now_us;
    bool refuses; /* its store does: writes are lost, and sends that are to wait for them */
    uint8_t n;    /* of one_peer */
    struct one_peer self;
    struct one_said said[ONE_SAID_MAX];
    size_t said_n;
    /* of the app */
    int done_err;
    size_t done_n, changes, rows_n; /* rows: of the read under way */
    uint8_t value[WIRE_REGISTER_MAX];
    size_t value_n;
    void (*removed)(void *ctx, struct step_update *u, uint64_t token, int err,
                    struct peal_bytes text);
    uint8_t want; /* the byte that the change function appends; 0: it only reads */
    size_t grow;  /* so many times */
};

struct one_peer one_peer(uint8_t n);
struct wire_contact one_contact(struct one_peer *p);

/* joins: NULL or an address. Not started. */
struct one *one_new(uint8_t n, bool discovery, const char *join);
struct one *one_new_limited(uint8_t n, const struct one_limits *limits);
void one_free(struct one *o);
void one_event(struct one *o, struct step_event ev);
/* Lets time go on by us, with TIMER events where they are due. */
void one_wait(struct one *o, uint64_t us);
void one_link(struct one *o, uint32_t link, const struct one_peer *p, bool dialled);
/* Gives it a message over a link; the header's `to` is this node. */
void one_hear(struct one *o, uint32_t link, uint16_t type, void *msg);
/* hello of p, whose roster is r (NULL: none). */
void one_hello(struct one *o, uint32_t link, struct one_peer *p, const struct wire_roster *r);
/* The last such effect, or NULL; of sends, the last of the type. m: decoded; valid until the next
 * call. */
const struct one_said *one_find(const struct one *o, enum step_effect_kind kind, uint16_t type,
                                union wire_any *m);
/* As one_find, of sends over one link. */
const struct one_said *one_sent(const struct one *o, uint32_t link, uint16_t type,
                                union wire_any *m);
/* How many of the type were sent over the link since, and one of them, the first being 0. */
size_t one_count(const struct one *o, uint32_t link, uint16_t type);
const struct one_said *one_nth(const struct one *o, uint32_t link, uint16_t type, size_t nth,
                               union wire_any *m);
void one_forget(struct one *o);
/* Another process of the same node, on the same disk, not started; o is freed. */
struct one *one_again(struct one *o, bool discovery);
/* Changes (or reads: append 0) a register and waits 200 ms at most; 1 when it has not ended by
 * then. */
int one_change(struct one *o, const struct peal_id *key, uint8_t append);

/* What the app's removed does from then on, and chord_remove, for a second. */
void one_on_removed(struct one *o, void (*removed)(void *ctx, struct step_update *u, uint64_t token,
                                                   int err, struct peal_bytes text));
int one_begin_remove(struct one *o, const struct peal_id *id, uint64_t token);
/* Begin such an operation on the box or register of this node's own id; what chord said of it. */
int one_begin_change(struct one *o);
int one_begin_put(struct one *o, size_t body_n);
int one_begin_read(struct one *o);

/* Writes such a row, and waits for the end of that; its error. */
int one_put(struct one *o, const struct wire_row *row);
void one_delete(struct one *o, const struct peal_id *box, const struct peal_msg_id *ids, size_t n);
/* As what it lies on the disk: -1 nothing, else its kind. */
int one_disk_row(struct one *o, const struct peal_id *box, const struct peal_msg_id *id);
/* How many rows a read of the box gives. */
size_t one_rows(struct one *o, const struct peal_id *box);
uint64_t one_wall(const struct one *o);

#endif
