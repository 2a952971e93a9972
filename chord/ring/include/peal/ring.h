/* ring: the overlay alone. Who is there, who follows whom on the circle of identifiers, and the way
 * to the node that owns a key. Sans-I/O (peal/step.h); one object is one node.
 *
 * Not for: records, copies, rosters (peal/chord.h, which stands on this), nor anything people do.
 *
 * Follows:
 * - upkeep: P. Zave, "Reasoning about identifier spaces: how to make Chord correct" (TSE 2017);
 *   fingers: I. Stoica et al., "Chord" (TON 2003);
 * - one hop with everyone's contact known: A. Gupta, B. Liskov, R. Rodrigues, "Efficient routing
 * for peer-to-peer overlays" (NSDI 2004);
 * - broadcast: S. El-Ansary et al., "Efficient broadcast in structured P2P networks" (IPTPS 2003);
 * - merging: T. Shafaat, A. Ghodsi, S. Haridi, "Dealing with network partitions in structured
 *   overlay networks" (PPNA 2009), reduced to what Zave's stabilise may take as a candidate;
 * - time-outs: V. Jacobson's estimator as in RFC 6298, and each peer's own 95th percentile;
 * - election: E. Chang, R. Roberts (CACM 1979), lowest id.
 *
 * Trust: links prove ids (mutual TLS under the ring's authority), contacts are signed by the node
 * they show, and everybody with a link holds the ring key. A peer's bad bytes close its link. */
#ifndef PEAL_RING_H
#define PEAL_RING_H

#include "peal/step.h"

struct ring;

enum {
    RING_SUCCESSORS_DEFAULT = 8,
    RING_SUCCESSORS_MAX = WIRE_SUCCESSORS_MAX,
    RING_HINTS_DEFAULT = 4096, /* nodes known, dead ones included */
    RING_HINTS_MIN = 64,
    RING_HINTS_MAX = 1 << 16,
    RING_LINKS_DEFAULT = 256,
    RING_LINKS_MAX = 4096,
    RING_FINDS_DEFAULT = 256,   /* lookups under way that this node began */
    RING_FLIGHTS_DEFAULT = 256, /* lookups handed on and not yet acknowledged */
    RING_JOINS_MAX = 16,
    RING_WANTS_MAX = WIRE_ROSTER_MAX + 32, /* nodes to which the layer above wants a link */
    RING_GOSSIP_DEFAULT = 200, /* bytes a second that a node may say of others, on average */
    RING_CONTACT_BODY_MAX = ID_BYTES + 8 + 4 + WIRE_ADDRESSES_BYTES,
};
#define RING_GOSSIP_NONE UINT32_MAX

/* What a contact's signature covers: id (20), incarnation (u64), all addresses as they are encoded,
 * in the domain RING_CONTACT_DOMAIN (cry_sign). Returns how many bytes. */
#define RING_CONTACT_DOMAIN "peal.contact.1"
size_t ring_contact_body(const struct wire_contact *w, uint8_t out[static RING_CONTACT_BODY_MAX]);
/* NULL, or what is wrong with a contact's form, for people: an id, a key, a signature, and 1 to
 * WIRE_CONTACT_ADDRESSES_MAX addresses HOST:PORT or [HOST]:PORT, none twice. */
const char *ring_contact_wrong(const struct wire_contact *w);
/* 0; PEAL_E_MALFORMED (form), PEAL_E_AUTH (the id is not the key's, or the signature is not good).
 * The default of ring_config.verify. */
PEAL_MUST int ring_contact_verify(void *ctx, const struct wire_contact *w);

/* clang-format off */
/* A node's life.
 *
 *                 +--a small ring, or nobody, answers--> SMALL --more than r known as members--+
 *                 |                                      ^   |                                 |
 *   SEEKING ------+             its list reaches round --+   +--place found in a larger ring--+|
 *                 |                     to itself        |                                    vv
 *                 +--place found in a ring of many------ | --------------------------------> LARGE
 *                                                        +--------------------------------------+
 *   any --LEAVE--> LEFT
 *
 * | phase   | member | successors and predecessor             | answers a query | lookups           |
 * |---------|--------|----------------------------------------|-----------------|-------------------|
 * | SEEKING | no     | none                                   | REFUSED         | begun: wait       |
 * | SMALL   | yes    | its neighbours among all live members  | yes             | yes               |
 * | LARGE   | yes    | Zave's                                 | yes, or pending | yes               |
 * | LEFT    | no     | none                                   | no              | no                |
 *
 * SMALL is the form for 1 to r members: everyone is linked with everyone, so that the sorted list of
 * live members says it all. A node is in it as long as it knows no more than r - and comes back to
 * it when its successor list, complete, reaches round to itself. Zave's proof begins at r + 1. */
/* clang-format on */
enum ring_phase { RING_SEEKING, RING_SMALL, RING_LARGE, RING_LEFT };

const char *ring_phase_name(enum ring_phase p);

/* OWNER: the first live member at or after the key. PLACE: the live member m after whom a node of
 * that id belongs, between(m, key, m's successor); `owner` in the answer is then m itself and
 * `predecessor` m's first live successor. */
enum ring_find_kind { RING_FIND_OWNER = 0, RING_FIND_PLACE = 1 };

/* Where a lookup ended. Views, valid during the call. */
struct ring_found {
    struct peal_id key;
    struct wire_contact owner;
    const struct peal_id *path; /* who it passed: this node first, the owner last */
    size_t path_n;
    size_t hops; /* path_n - 1 */
    uint64_t took_us;
};

/* What the layer above is told, within ring_step and the calls below, with that step's update. May
 * make further calls. Every member must be set. */
struct ring_app {
    void *ctx;
    /* A link to the node is good now, or is no longer. */
    void (*up)(void *ctx, struct step_update *u, const struct peal_id *id);
    void (*down)(void *ctx, struct step_update *u, const struct peal_id *id, const char *why);
    /* A message of type < WIRE_FIRST_RING from a linked node, or from STEP_SELF. */
    void (*message)(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                    union wire_any *m);
    /* The end of ring_find. err: 0; PEAL_E_UNAVAILABLE (nobody answered in time), PEAL_E_TOO_LONG
     * (hop limit). f is NULL unless err is 0. */
    void (*found)(void *ctx, struct step_update *u, uint64_t token, int err,
                  const struct ring_found *f);
    /* A broadcast reached this node, once; also its origin. */
    void (*cast)(void *ctx, struct step_update *u, const struct peal_id *origin, uint8_t kind,
                 struct peal_bytes body);
    /* Phase, successors, predecessor, coordinator, the size believed in, or where a known node is,
     * has changed. */
    void (*changed)(void *ctx, struct step_update *u);
    /* What to say in the next ping: writes at most WIRE_LOAD_MAX bytes, returns how many. */
    size_t (*load)(void *ctx, uint8_t out[static WIRE_LOAD_MAX]);
    /* What a linked node said. */
    void (*peer_load)(void *ctx, struct step_update *u, const struct peal_id *id,
                      struct peal_bytes load);
};

struct ring_config {
    struct wire_contact contact; /* this node's, signed; the views must outlive ring_init only */
    struct peal_bytes joins[RING_JOINS_MAX]; /* likewise */
    size_t joins_n;
    uint8_t successors;              /* r, 0: default */
    uint32_t hints_max, links_max;   /* 0: default */
    uint32_t finds_max, flights_max; /* 0: default */
    uint32_t gossip_bytes;           /* a second; 0: default; RING_GOSSIP_NONE: none */
    bool no_hints;         /* route by successors and fingers only, as classic Chord does */
    bool beacons;          /* say beacons (STEP_SAY_BEACON) while alone and as coordinator */
    bool remember;         /* keep what is known on disk, for the next start */
    uint64_t stabilise_us; /* one round; 0: 1 s */
    /* Between two pings to successor and predecessor; to wanted nodes and a small ring's too, but
     * less often the more links there are; others are pinged once a round; 0: 300 ms */
    uint64_t ping_us;
    uint64_t silence_us; /* a link that says nothing for so long and four of its round trips is
                            dead; 0: 1 s. At least 2 pings. */
    uint64_t seek_us;    /* alone for so long: a ring of one; 0: 700 ms, with joins 1.5 s */
    uint64_t seed;
    bool eligible; /* may be elected coordinator; ring_set_eligible changes it */
    /* Checks a contact: ring_contact_verify when NULL. A simulation of thousands gives a cheaper
     * one; a real host never does. */
    int (*verify)(void *ctx, const struct wire_contact *w);
    void *verify_ctx;
    struct ring_app app;
};

size_t ring_size(const struct ring_config *cfg);
/* mem: ring_size(cfg) bytes, 16-byte aligned, the caller's for as long as the object is used.
 * PEAL_E_USAGE, or what verify says of the own contact. */
PEAL_MUST int ring_init(void *mem, const struct ring_config *cfg, struct ring **out);

/* Feeds one event; appends effects to u. Events of client links are not for it. STEP_LEAVE: says
 * bye to everyone; the phase is LEFT. */
void ring_step(struct ring *r, const struct step_event *ev, struct step_update *u);
/* When the next TIMER is due, in the events' monotonic microseconds; UINT64_MAX: not at all. */
uint64_t ring_deadline(const struct ring *r);

/* ---- operations; ev is the event in whose step they are called ---- */

/* Finds the owner of key; ends with app.found within timeout_us. While SEEKING it waits.
 * PEAL_E_BUSY when finds_max are under way; PEAL_E_CLOSED after LEAVE. */
PEAL_MUST int ring_find(struct ring *r, const struct step_event *ev, struct step_update *u,
                        uint64_t token, const struct peal_id *key, uint64_t timeout_us);
/* Says body to every live member, this one included, best effort: N - 1 messages in a ring that is
 * whole. kind is the layer above's. PEAL_E_TOO_LONG, PEAL_E_UNAVAILABLE when not a member. */
PEAL_MUST int ring_cast(struct ring *r, const struct step_event *ev, struct step_update *u,
                        uint8_t kind, struct peal_bytes body);
/* Keeps a link to the node (or no longer), whether the ring needs it or not. At most RING_WANTS_MAX
 * (PEAL_E_FULL). The node need not be known yet. */
PEAL_MUST int ring_want(struct ring *r, const struct peal_id *id, bool want);
/* Sends a message of type < WIRE_FIRST_RING over the link to the node, or to this node through
 * STEP_SELF; `to` and `stamp` are filled in. PEAL_E_UNAVAILABLE when no link is up. */
PEAL_MUST int ring_send(struct ring *r, const struct step_event *ev, struct step_update *u,
                        const struct peal_id *to, uint16_t type, void *msg, bool eager);
void ring_set_eligible(struct ring *r, bool eligible);
/* Takes note of a contact that came by another way than this layer's messages, as living. 0, or
 * what verify says. */
PEAL_MUST int ring_learn(struct ring *r, const struct step_event *ev, struct step_update *u,
                         const struct wire_contact *w);
/* Closes the link to a node whose message to the layer above was nonsense; app.down follows. */
void ring_refuse(struct ring *r, const struct step_event *ev, struct step_update *u,
                 const struct peal_id *id, int err, const char *why);
/* A stamp of this node's hybrid logical clock, later than every one made or heard here. */
uint64_t ring_stamp(struct ring *r, const struct step_event *ev);
/* Who answers at the i-th address of cfg.joins: true, and its id (this node's own when the address
 * leads back here), once somebody has. */
bool ring_join_answered(const struct ring *r, size_t i, struct peal_id *who);

/* ---- views ---- */

struct ring_view {
    enum ring_phase phase;
    struct peal_id self;
    struct peal_id predecessor; /* zero: none */
    struct peal_id successors[RING_SUCCESSORS_MAX];
    bool artificial[RING_SUCCESSORS_MAX]; /* an entry that stands for nobody */
    size_t successors_n;                  /* LARGE: always r; SMALL: the other members, at most r */
    struct peal_id coordinator;
    uint32_t size; /* believed */
    bool busy;     /* between a query and the use of its answer */
};
void ring_look(const struct ring *r, struct ring_view *out);
bool ring_is_up(const struct ring *r, const struct peal_id *id);
/* The contact known under id; PEAL_E_NOT_FOUND. Views valid until the next step or ring_learn. */
PEAL_MUST int ring_contact(const struct ring *r, const struct peal_id *id,
                           struct wire_contact *out);
/* The one of a contact's addresses over which the last link to it went, as far as that shows, or
 * its first; empty when it is not known. Valid as ring_contact's views. */
struct peal_bytes ring_address(const struct ring *r, const struct peal_id *id);
/* Whether the nearest known, living node at or after key is in (the hint's answer: no message is
 * sent). False when SEEKING. */
bool ring_guess(const struct ring *r, const struct peal_id *key, struct peal_id *out);

/* Figures since ring_init, for tests, benchmarks and metrics. X(name, prose) */
#define RING_COUNTERS(X)                                                                           \
    X(messages, "messages sent to others")                                                         \
    X(bytes, "their bytes, without links' own overhead")                                           \
    X(gossip_bytes, "of those, bytes of rumours and comparisons")                                  \
    X(find_bytes, "of those, bytes of lookups, their acknowledgements and answers")                \
    X(stabilised, "rounds of stabilise that ended")                                                \
    X(candidates, "candidates adopted as successor")                                               \
    X(rectified, "predecessors replaced")                                                          \
    X(timeouts, "queries and lookups' hops that were not answered in time")                        \
    X(find_timeouts, "of those, lookups' hops: late, dead before they answered, or not linked")    \
    X(hedges, "lookups sent along a second path")                                                  \
    X(finds, "lookups begun: the layer above's, fingers', and of this node's own place")           \
    X(forwards, "lookups handed on")                                                               \
    X(loops, "lookups refused: a loop, no progress, or too many hops")                             \
    X(elect_messages, "candidatures sent")                                                         \
    X(elected_messages, "announcements sent")                                                      \
    X(casts, "broadcast messages sent")                                                            \
    X(forged, "contacts refused: badly signed, or not their key's id")                             \
    X(evicted, "hints given up for better ones")                                                   \
    X(merges, "places found in another ring")
struct ring_counters {
#define X(name, prose) uint64_t name;
    RING_COUNTERS(X)
#undef X
};
const struct ring_counters *ring_count(const struct ring *r);
/* How many living nodes are known, and how many dead. */
void ring_known(const struct ring *r, size_t *living, size_t *dead);

#endif
