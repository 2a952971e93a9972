/* lone: a single ring object with a disk in memory and peers that the test plays itself, one event
 * at a time; and two such objects linked with each other. */
#ifndef PEAL_RING_TEST_LONE_H
#define PEAL_RING_TEST_LONE_H

#include "inner.h"

enum {
    LONE_SAID_MAX = 8192,
    LONE_STORE_MAX = 512,
    LONE_VALUE_MAX = 320,
    PAIR_WAY_US = 200, /* of a message from one to the other */
};

struct lone_peer {
    struct cry_sign_key key;
    struct peal_id id;
    char address[WIRE_ADDRESS_MAX];
    char more[WIRE_CONTACT_ADDRESSES_MAX - 1][WIRE_ADDRESS_MAX]; /* its other addresses, if any */
    uint8_t list[WIRE_ADDRESSES_BYTES];
    uint64_t incarnation;
    uint8_t sig[CRY_SIG_BYTES];
};

struct lone_said { /* an effect */
    enum step_effect_kind kind;
    uint32_t link;
    int err;
    uint16_t type;
    uint8_t *bytes;
    size_t n;
};

struct lone_record {
    uint8_t key[WIRE_KEY_MAX], value[LONE_VALUE_MAX];
    size_t key_n, value_n;
};

struct lone_store {
    struct lone_record records[LONE_STORE_MAX]; /* in order */
    size_t n;
};

/* What differs from the defaults. */
struct lone_options {
    uint8_t n; /* which identity */
    const char *join;
    uint32_t hints, links;
    bool cheap; /* contacts are not verified, so that there may be thousands */
    bool remember, beacons;
    struct lone_store *store; /* kept over restarts; NULL: its own */
};

struct lone {
    struct ring *ring;
    void *mem, *update_mem;
    struct step_update u;
    struct step_reader reader;
    struct lone_store *store, own_store;
    uint64_t now_us;
    struct lone_peer self;
    struct lone_said said[LONE_SAID_MAX];
    size_t said_n;
    /* of the app */
    size_t up_n, down_n, message_n, changed_n, load_n, found_n;
    struct peal_id last_up, last_down, last_from;
    uint8_t load[WIRE_LOAD_MAX], heard_load[WIRE_LOAD_MAX];
    size_t load_bytes, heard_load_n;
    int found_err;
};

/* The same n gives the same identity. */
struct lone_peer lone_peer(uint8_t n);
/* Signed by it; the views live as long as p is not changed. */
struct wire_contact lone_contact(struct lone_peer *p);
/* An unsigned contact of the given id, for cheap ones; views of static memory but for the id. */
struct wire_contact lone_unsigned(const struct peal_id *id, uint64_t incarnation);

/* Not started. */
struct lone *lone_new(const struct lone_options *o);
void lone_free(struct lone *o);
/* Its effects are appended to said; writes are done at once, what it says to itself comes back. */
void lone_event(struct lone *o, struct step_event ev);
void lone_start(struct lone *o);
/* Lets time go on by us, with TIMER events where they are due. */
void lone_wait(struct lone *o, uint64_t us);
void lone_link(struct lone *o, uint32_t link, const struct lone_peer *p, bool dialled);
/* The end of a link, or of a dial (link: STEP_NO_LINK). */
void lone_unlink(struct lone *o, uint32_t link, const char *address, bool dialled);
/* Gives it a message over a link; the header's `to` is this node. */
void lone_hear(struct lone *o, uint32_t link, uint16_t type, void *msg);
void lone_hello(struct lone *o, uint32_t link, struct lone_peer *p, enum ring_phase phase);
/* A good link: up and hello, as a node that seeks. */
void lone_meet(struct lone *o, uint32_t link, struct lone_peer *p, bool dialled);
/* The last such effect, or NULL; of sends, the last of the type. m, unless NULL: decoded, valid
 * until the next call. */
const struct lone_said *lone_find(const struct lone *o, enum step_effect_kind kind, uint16_t type,
                                  union wire_any *m);
size_t lone_count(const struct lone *o, enum step_effect_kind kind, uint16_t type);
void lone_forget(struct lone *o);
/* Around direct calls of the parts: as in a step of the present moment. */
void lone_in(struct lone *o);
void lone_out(struct lone *o);

/* Two objects: what one says over a link the other hears PAIR_WAY_US later. */
enum { PAIR_LINKS_MAX = 8, PAIR_FLIGHT_MAX = 1024 };

struct pair_link {
    uint32_t handle[2]; /* 0: closed at that side */
    bool cut;           /* nothing goes over it any more, and nobody knows */
    int dialler;
};

struct pair_event { /* on its way to side */
    uint64_t at_us;
    int side;
    struct step_event ev;
    uint8_t *bytes;
    char address[WIRE_ADDRESS_MAX + 1];
};

struct pair {
    struct lone *side[2];
    struct pair_link links[PAIR_LINKS_MAX];
    size_t links_n;
    struct pair_event flight[PAIR_FLIGHT_MAX];
    size_t flight_n, read[2]; /* read: effects of the side that are carried out */
    uint64_t now_us;
    uint32_t next_handle;
    bool refuse;     /* nobody can be dialled */
    uint32_t damage; /* one message in so many is damaged, one in twice as many repeated; 0: none */
    struct rng rng;
};

struct pair *pair_new(const struct lone_options *a, const struct lone_options *b);
void pair_free(struct pair *p);
void pair_start(struct pair *p, int side);
void pair_wait(struct pair *p, uint64_t us);
/* As if side had dialled the other by itself. */
void pair_dial(struct pair *p, int side);
/* How many links are open at both sides. */
size_t pair_open(const struct pair *p);

#endif
