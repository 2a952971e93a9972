/* The node's state and what its parts offer each other. Not for anyone outside this folder.
 *
 * | file      | part                                                                            |
 * |-----------|---------------------------------------------------------------------------------|
 * | ring.c    | memory, dispatch of events and messages, timers, views                          |
 * | contact.c | contacts: form and signature                                                    |
 * | heap.c    | the bytes of the book's addresses                                               |
 * | book.c    | the book of everyone known: sorted, bounded, eviction by usefulness, on disk    |
 * | links.c   | links, hello, round trips, silence                                              |
 * | dial.c    | dialling: whom, when again, whom to give up                                     |
 * | zave.c    | Zave's operations as pure functions over successor list and predecessor         |
 * | upkeep.c  | the same as messages between nodes: stabilise, joining after a place            |
 * | answer.c  | what a member answers who asks for its list, and when                           |
 * | rectify.c | who notifies, and the predecessor                                               |
 * | small.c   | rings of 1 to r, and the ways between SEEKING, SMALL and LARGE                  |
 * | route.c   | lookups: path, progress, hedging, answers                                       |
 * | hop.c     | which node a lookup goes to next                                                |
 * | finger.c  | fingers                                                                         |
 * | gossip.c  | rumours along the tree, within the budget                                       |
 * | compare.c | comparing what two nodes know                                                   |
 * | cast.c    | broadcast                                                                       |
 * | merge.c   | the dead and the foreign: trying them, finding this node's place in their ring  |
 * | elect.c   | Chang and Roberts' election                                                     |
 * | beacon.c  | beacons: when to say them, what to make of them                                 |
 * | view.c    | what the layer above may see                                                    |
 * | above.c   | small services for the layer above                                              |
 *
 * Every public call notes its event and update in the struct (now, wall, u), so that the parts need
 * not pass them on. All messages of this layer are eager: they promise nothing that is on disk.
 *
 * Timers: each part has one due time (enum part). ring__wake() brings it forward; when it has come,
 * ring_step sets it to never and calls PART_timer, which does what is due and wakes itself again
 * for the next. */
#ifndef PEAL_RING_INNER_H
#define PEAL_RING_INNER_H

#include "peal/ring.h"

#include "peal/crypto.h"

#include <string.h>

enum {
    MS = 1000,
    SECOND = 1000 * 1000,

    STABILISE_US = 1 * SECOND,
    PING_US = 300 * MS,
    PING_SHARE_US = 16 * MS, /* a link's share of the time between two pings of those watched */
    SILENCE_US = 1 * SECOND,
    SILENCE_RTOS = 4,
    SEEK_US = 700 * MS,
    SEEK_JOINS_US = 1500 * MS,
    HELLO_WAIT_US = 3 * SECOND,

    RTO_FIRST_US = 1 * SECOND, /* before the first sample (RFC 6298, 2.1) */
    RTO_MIN_US = 5 * MS,       /* below it timers and schedulers are the noise, not the network */
    RTO_MAX_US = 4 * SECOND,
    SAMPLES = 20, /* round trips kept of a peer: its 95th percentile is the second largest */
    P95_FIRST_US = 200 * MS, /* before there are SAMPLES_FEW of them */
    SAMPLES_FEW = 4,

    DIAL_FIRST_US = 50 * MS, /* the first retry; doubles with jitter up to the next */
    DIAL_MOST_US = 2 * SECOND,
    DIAL_TRIPS = 4, /* before a dial was measured: TCP's round trip, TLS's, hello's, and one more */
    DIAL_GIVE_UP_US = 8 * SECOND, /* without word from the host a dial counts as failed */
    DIAL_NEXT_US = 250 * MS,      /* a node's next address is tried besides (RFC 8305, 5) */
    DIALS_OF_NODE = 2,            /* at a time */
    LINK_IDLE_US = 60 * SECOND,   /* a link that nobody needs is closed after so long */
    LINK_SPARE_US = 4 * SECOND,   /* one that was used less long ago gives way to no lookup's: where
                                     all places are taken, they change hands no faster than that */

    QUERY_TRIES = 3, /* of one query, each a retransmission time-out apart */
    ASKERS_MAX = 64, /* nodes that wait for an answer while this one is busy */
    PENDING_US =
        20 * MS, /* a busy node's asker that is itself waited for begins again after so long */
    STALE_ROUNDS =
        3, /* a stranger's word that its ring is large is looked into after so many rounds */

    SPARE_HEDGES = 4, /* of one lookup, over its whole path */
    FINGERS_MAX = ID_BITS,
    FINGER_EVERY = 4,   /* rounds of stabilise between two lookups of one finger */
    FIND_TRIES_MAX = 8, /* of one lookup by its beginner */
    HOPS_TRIED_MAX = 4, /* next hops that a node tries for one lookup */

    RUMOURS_MAX = 256,            /* waiting to be passed on */
    RUMOUR_WAIT_US = 1 * SECOND,  /* for a ping to ride on; then a message of its own */
    RUMOUR_KEEP_US = 20 * SECOND, /* a newcomer's, beyond its due time for want of budget: comparing
                                     tells it to those who do not know yet */
    RUMOUR_AHEAD_MS = 600 * 1000, /* a stamp further in the future is refused */
    BUDGET_BURST_S = 30,          /* seconds of the gossip budget that may be saved up */
    BUDGET_LEAST = 512,      /* bytes that may be, however small: any one message of one item */
    RECENT_MAX = 64,         /* rumours passed on lately, so that a second copy goes no further */
    RECENT_US = 10 * SECOND, /* what "lately" is */
    COMPARE_ROUNDS = 10,     /* rounds of stabilise between two comparisons that a node begins */
    FEW = 2, /* a part with no more nodes is sent instead of compared further: digests
                cost about as much as one contact */

    CASTS_MAX = 128, /* broadcasts remembered, so that a second copy goes no further */
    CAST_DEPTH_MAX = 64,

    PROBE_ROUNDS = 4,    /* rounds between two tries of dead and foreign contacts */
    SELF_ROUNDS = 16,    /* rounds between two lookups of this node through a random contact */
    DEAD_KEEP_DAYS = 30, /* a dead contact is tried for so long */

    ELECT_ROUNDS = 3, /* rounds without an announcement after which a candidate stands again */
    BEACON_SEEK_US = 150 * MS,
    BEACON_ALONE_US = 1 * SECOND,
    BEACON_RING_US = 2 * SECOND,

    BOOK_ADDRESS_BYTES = 56, /* of addresses, for each place of the book: see heap.c */
    HEAP_SPARE = 16,         /* of those bytes so great a part stays free */

    SAVE_EVERY_US = 1 * SECOND,
    SAVE_BATCH = 64,   /* contacts written in one update */
    GONE_MAX = 64,     /* contacts to be taken off the disk, before the next write */
    BOOK_RECENT = 256, /* a power of two: places kept of nodes asked for lately */
    EVICT_SAMPLE = 32, /* nodes looked at to find the one that gives way */
    EVICT_BUCKETS = 4, /* distances looked at, the most crowded first */

    HELLO_SHARE = 4,   /* of all links a quarter at most may have said no hello, if not dialled */
    LINKS_OF_PEER = 4, /* links of one peer that may wait for hello at a time */
    LINKS_ROUND = 256, /* links that one timer drops at most */
    SAMPLE_PINGS = 4,  /* a ping is not left out when so many intervals went without a sample */
    PING_WINDOW = 8,   /* pings due within an eighth of their interval go together */
    CLOSED_MAX = LINKS_ROUND, /* links closed by this node lately, of which the host will report */
    DIALS_AT_ONCE = 32,       /* dials under way */
    DIALS_MAX = 512,          /* nodes being seen to, those under way included */
    DIAL_LIVED_US = 1 * SECOND, /* a link good for so long is dialled again at once */
    JOIN_SLOW_US = 10 * SECOND, /* between tries of a join while this node is not alone */
    START_DIALS = 32,           /* remembered nodes tried on START */
    LEAVE_BYES = 2048,          /* peers that are told of the leave; others see the link close */

    SCRATCH_PARTS = 24 * 1024, /* what the parts build besides the message under way: a few lists */
};

/* What wire_decode takes from the arena for a message between nodes, at most. */
union ring_heap {
#define X(number, name)                                                                            \
    uint8_t name[(number) < WIRE_FIRST_CLIENT ? 1 WIRE_FIELDS_##name(WIRE_HEAP) : 1];
    WIRE_MESSAGES(X)
#undef X
};
enum { SCRATCH_BYTES = (sizeof(union ring_heap) + SCRATCH_PARTS + 15) / 16 * 16 };

enum part {
    PART_LINKS,
    PART_DIAL,
    PART_UPKEEP,
    PART_SMALL,
    PART_ROUTE,
    PART_FINGER,
    PART_GOSSIP,
    PART_COMPARE,
    PART_MERGE,
    PART_ELECT,
    PART_BEACON,
    PART_BOOK,
    PARTS
};

/* ---- who is known ---- */

struct contact {
    struct peal_id id;
    uint16_t address_n; /* bytes of all addresses; 0: not known, only the id is (wanted) */
    uint64_t incarnation;
    /* As in an ADDRS. A node's are the book's, which moves them when it takes note of anybody. */
    const uint8_t *addresses;
    uint8_t key[CRY_PUB_BYTES];
    uint8_t signature[CRY_SIG_BYTES];
};

struct node {
    struct contact contact;
    uint64_t stamp;    /* hybrid logical clock: when somebody last found what `dead` says */
    uint64_t up_us;    /* when its link became good last */
    uint64_t dial_us;  /* when the next try is due; of one under way the next address, or its end */
    uint64_t until_us; /* when the dials under way count as failed */
    uint32_t link;     /* index of its good link in links, or UINT32_MAX */
    uint32_t uses;     /* how often a lookup went to it; halved now and then */
    uint16_t dial_tries;
    uint8_t best;      /* which of its addresses the last link was over; its first until one was */
    uint8_t begun;     /* bits: those of its addresses that were dialled in this try */
    uint8_t open;      /* bits: those of which the dial is under way */
    uint8_t strangers; /* bits: those at which somebody else has answered, and it was said */
    bool dial_wanted;  /* somebody waits for it: dial.c tries until up, dead, or given up */
    bool dialling;     /* a try is under way */
    bool dead;         /* its last link or dial failed, or a rumour says so */
    uint64_t doubt_us; /* dead, but in a list that a neighbour has said since: until then a
                          successor that is to be tried */
    bool foreign;      /* it answers, and is not of this ring as far as is known */
    bool mate;         /* SMALL: of the same small ring */
    bool wanted;       /* ring_want */
    bool unsaved;      /* to be written to disk */
    bool stored;       /* it is on disk */
    bool up;           /* app.up was said, and app.down not yet */
    bool lost; /* a neighbour or mate whose link went: others hear of it if it does not answer */
    bool left; /* it said bye: not to be dialled again at once */
    uint32_t dead_prev, dead_next; /* places of the dead, those dead longest first */
};

/* Places of nodes by ascending id; prefix: the id's first 8 bytes, so that few ids are looked at.
 */
struct place {
    uint64_t prefix;
    uint32_t at;
};

/* See heap.c. */
struct heap {
    uint8_t *bytes;
    uint32_t cap, used, live;
};

struct book {
    struct heap heap;
    const struct node *kept; /* it is not to go now */
    struct node *nodes;
    struct place *order;
    uint32_t *free;   /* places of nodes that are free, a stack */
    uint32_t *recent; /* places of those asked for last, by their ids' first bytes; BOOK_RECENT */
    uint32_t cap, n, free_n;
    uint32_t living; /* known, not dead, this node not among them */
    uint32_t dead_first, dead_last;
    uint32_t buckets[ID_BITS]; /* how many nodes by floor(log2(distance from this node)) */
    uint32_t *save;            /* places to be written, a queue of cap */
    uint32_t save_at, save_n;
    struct peal_id gone[GONE_MAX]; /* to be deleted, before anything is written */
    uint32_t gone_n;
};

/* ---- links ---- */

struct trips { /* RFC 6298's estimator; srtt 0: no sample yet */
    uint64_t srtt_us, rttvar_us;
};

struct link {
    uint64_t check_us; /* nothing is due before; 0: to be looked at with the next timer */
    uint32_t handle;
    uint32_t from; /* dial_host of the peer's address; dialled: 0 */
    bool dialled, hello;
    struct peal_id peer;
    uint64_t incarnation;
    uint64_t opened_us, heard_us, used_us; /* used: see ring__is_use */
    uint64_t said_us;                      /* when anything was sent last */
    uint64_t ping_us;                      /* the next ping is due */
    uint64_t every_us;                     /* between pings, as last scheduled */
    uint64_t pinged_us;                    /* when the last one was due */
    uint64_t sampled_us;                   /* when a round trip was measured last */
    uint64_t asked_us;                     /* of the first ping since anything was heard; 0: none */
    uint64_t dialled_us;                   /* when its dial began; 0: it was the peer's */
    uint64_t doubt_us; /* when a lookup was late beyond its time-out last: see ring__doubted */
    uint64_t told;     /* digest of the state last said to the peer */
    bool heir;  /* the peer's good link went while this one waits for its hello: not down yet */
    bool quiet; /* nobody here needs it, or the peer ends it: its end is nobody's death */
    uint64_t nonce, nonce_us; /* of the ping under way; nonce_us 0: none */
    struct trips trips;
    uint32_t samples[SAMPLES]; /* the last round trips, a ring */
    uint32_t samples_n, samples_at;
    struct wire_ring_state state; /* what the peer last said of itself */
    uint64_t large_us; /* since when it says that its ring is large, and this node's is not; 0: it
                          does not */
    bool was_small;    /* a mate that has said SMALL: if it says LARGE now, the ring has grown */
    bool grew;         /* it has: this node's place there is to be found at once */
};

struct join {
    uint8_t address[WIRE_ADDRESS_MAX];
    uint8_t n;
    bool self;  /* it leads back to this node */
    bool known; /* peer is who answered last */
    bool dialling;
    uint16_t tries;
    uint64_t dial_us;
    struct peal_id peer;
};

/* ---- upkeep ---- */

struct succ {
    struct peal_id id;
    bool artificial; /* stands for nobody: never live, never contacted */
};

/* Zave's state of a member. LARGE: n == r. SMALL: n is the number of other members, at most r. */
struct zave {
    struct peal_id self;
    uint8_t r;
    uint8_t n;
    struct succ succ[RING_SUCCESSORS_MAX];
    struct peal_id prdc; /* self when it is the only member; zero when not a member */
    bool round;          /* the list as last taken reached round to self, and was cut there */
};

/* clang-format off */
/* What a member does besides answering: at most one of these at a time.
 *
 *   IDLE --round is due--> STEP_1 --succ[0] answered, its predecessor lies between--> STEP_2 --+
 *    ^                       |                                                                 |
 *    +-----------------------+--answered, or dead: notify-------------------------------------+
 *   IDLE --a place was found in a larger ring--> PLACING (query m) --answered--> IDLE, LARGE
 *   IDLE --a candidate from a hint--> STEP_2 (query it)
 *
 * In all but IDLE queries of others are answered "pending" and then, when it is IDLE again, in full.
 * Nothing is changed between query and answer, so an operation may always be given up: it is when the
 * queried node says "pending" and somebody waits for this one - else a circle of them would wait for
 * ever. And it may be begun anew: it is when the queried node is late and somebody waits. */
/* clang-format on */
enum op_phase { OP_IDLE, OP_STEP_1, OP_STEP_2, OP_PLACING };

struct asker {
    struct peal_id id;
    uint64_t op, have;
};

struct upkeep {
    enum op_phase phase;
    uint64_t op; /* number of the query under way */
    struct peal_id asked;
    uint8_t tries;
    uint64_t due_us;   /* not IDLE: when the query counts as lost */
    uint64_t round_us; /* of the next round */
    struct asker askers[ASKERS_MAX];
    size_t askers_n;
    /* the last full answer, for "as you have it" */
    uint64_t have;
    struct peal_id have_of;
    struct zave have_view; /* self: the answerer */
    bool have_prdc;
    /* rectify: prdc is pinged because of this notifier */
    bool rectifying;
    struct peal_id notifier;
    uint64_t rectify_us;    /* when the pinged predecessor counts as dead */
    struct peal_id suspect; /* who is pinged */
    uint64_t suspect_heard; /* its link's heard_us at that time */

    uint64_t hint_us;   /* when the predecessor hears that the list has changed; 0: it has not */
    uint64_t hinted_us; /* when it heard last */
    uint64_t asked_us;  /* when the query was said first */
    bool pending;       /* the queried node said that it is busy */
    /* zero: none */
    struct peal_id candidate; /* the nearest one that lies before the head, not yet queried */
    uint64_t candidate_us;    /* not before */
    struct peal_id owed;      /* to whom a notify is due as soon as a link is up */
    struct peal_id place;     /* to be queried for PLACING as soon as a link is up */
    uint64_t place_us;        /* how long that is waited for */
};

/* ---- small rings ---- */

struct small {
    uint64_t seek_us;    /* SEEKING: until then others are waited for */
    uint64_t settle_us;  /* SMALL, more than r members: LARGE then, if no more come; 0: not so */
    uint64_t settle_by;  /* and then at the latest */
    uint64_t place_us;   /* when a place may be looked for (again) */
    uint64_t calm_us;    /* LARGE no more, and until then not again because of a mate's word */
    uint8_t place_tries; /* in vain, in a row; no more than matter */
    bool placing;        /* a lookup of this node's place is under way, or the query after it */
    struct peal_id via;  /* through whom */
};

/* ---- lookups ---- */

/* For whom a lookup is. */
enum find_for { FIND_FOR_APP, FIND_FOR_FINGER, FIND_FOR_PLACE };

struct find {                            /* begun here */
    uint64_t token;                      /* APP: its own; FINGER: which; PLACE: unused */
    uint64_t began_us, until_us, try_us; /* try: when it is begun again */
    uint64_t op;
    enum find_for what;
    enum ring_find_kind kind;
    uint8_t tries;
    bool via_set;
    struct peal_id via; /* PLACE through another ring: the first hop */
    struct peal_id key;
    struct peal_id first; /* the first hop of the last try; zero: none yet */
    int err;              /* what the last answer said, 0: none came */
};

struct flight { /* handed on by this node, not yet acknowledged */
    struct peal_id asker, to;
    uint64_t op, sent_us;
    uint64_t hedge_us; /* when the second path is tried; UINT64_MAX: it was, or may not be */
    uint64_t until_us; /* when `to` counts as not answering */
    uint8_t kind, spare;
    bool hedged, waits; /* waits: for a link to `to`; nothing was sent yet */
    bool fixed;         /* `to` was prescribed: there is no other way */
    bool over;          /* it went the second way: only the first hop's round trip is waited for */
    bool before;        /* what was tried lives: only who is before the key may be asked besides */
    struct peal_id tried[HOPS_TRIED_MAX]; /* next hops tried so far */
    uint8_t tried_n;
    struct peal_id key;
    uint8_t path_n; /* this node included, last */
    struct peal_id path[WIRE_PATH_MAX];
};

/* What a node does with a lookup: it answers; it answers for one that the lookup has passed
 * already; it hands it on; it knows no way. */
enum way { WAY_SELF, WAY_FOR, WAY_ON, WAY_NONE };

struct hop {
    enum way way;
    bool linked;       /* ON: a link is good */
    struct peal_id to; /* ON, FOR */
};

struct took { /* how long the last lookups took that one try sufficed for */
    uint64_t us[SAMPLES];
    uint32_t n, at;
};

struct fingers { /* at[i]: owner of self + 2^i, as last found; zero: not known, or nearer than the
                    last successor */
    struct peal_id at[FINGERS_MAX];
    int next;     /* to be looked up */
    int low;      /* the targets of those below are nearer than the last successor */
    bool asking;  /* a lookup is under way */
    bool filling; /* those from next down are looked up without a pause */
};

/* ---- rumours ---- */

struct rumour { /* waiting to go to `to` */
    struct peal_id to, about, limit;
    uint64_t incarnation, stamp;
    uint64_t due_us;
    bool dead, foreign;
};

/* What was passed on lately, and how far: to every node before limit (self: to everyone). Of the
 * foreign all are one: they are one word that another ring is there. */
struct recent {
    struct peal_id about, limit;
    uint64_t incarnation, at_us;
    bool dead, foreign;
};

struct gossip {
    uint64_t tokens; /* bytes that may be said now, times SECOND */
    uint64_t filled_us;
    bool begun; /* the first tokens were given: all that may be saved up */
    struct rumour waiting[RUMOURS_MAX];
    size_t n;
    size_t foreign_n; /* of them */
    struct recent recent[RECENT_MAX];
    size_t recent_n; /* ever; the last RECENT_MAX are kept */
    uint64_t alive;  /* stamp of this node's last word that it lives */
};

struct compare {
    uint64_t due_us;
    uint8_t part;   /* learning the ring: the part to be asked for next */
    uint8_t rested; /* likewise: rounds since it asked last */
    bool learning;  /* a member since not long ago */
    uint8_t found;  /* differences that the last comparison showed; no more than matter */
    uint32_t span;  /* nodes that the last one was about */
};

struct seen_cast {
    struct peal_id origin;
    uint64_t seq;
};

struct elect {
    struct peal_id coordinator; /* zero: none known */
    bool participant;
    uint64_t until_us;  /* when a candidate stands again */
    uint64_t differ_us; /* since when a neighbour names another coordinator; 0: none does */
    uint8_t tries;      /* stood in vain */
    uint64_t said_us;   /* when this node last announced itself */
    uint64_t since_ms;  /* Unix time at which the coordinator was believed in */
    /* The last message, said again when its receiver turns out dead: whose candidature, or whose
     * announcement (elected). */
    bool elected;
    uint32_t hops;
    struct peal_id sent, sent_to;
    uint64_t sent_us;
};

struct merge {
    uint64_t probe_us, self_us;
    uint64_t member_us; /* since when this node is LARGE */
    bool placing;       /* a PLACE lookup is under way */
    bool awaited;       /* a link to via is: the lookup begins when it is up */
    uint64_t place_us;  /* when the lookup counts as lost */
    struct peal_id via;
    uint64_t placed_us; /* when the last place was found, or looked for because of a rumour */
    uint64_t placed_ms; /* the same as Unix time */
    /* Word of another ring, to be passed on when this node has found its own place there. */
    enum { WAVE_NONE, WAVE_HEARD, WAVE_OWN } wave; /* OWN: found here, and nobody spoke of it yet */
    bool wave_on;                                  /* HEARD: there is somebody to pass it on to */
    uint64_t wave_us;                              /* at the latest then */
    struct peal_id wave_via, wave_limit;
    /* After a cut: everybody believed to live is reached once, clockwise from here. */
    uint32_t lost_n; /* neighbours that died since */
    uint64_t lost_us;
    uint32_t roll_left;     /* that may still be reached in this one; 0: there is none */
    struct peal_id roll_at; /* who is behind this node */
    uint64_t roll_us;
};

/* Nodes to be dialled: places in the book. */
struct dials {
    uint32_t at[DIALS_MAX];
    uint32_t n, under_way;
    struct trips took; /* from a dial to the node's hello */
};

struct ring {
    struct ring_config cfg; /* its views are empty */
    struct contact self;
    uint8_t self_addresses[WIRE_ADDRESSES_BYTES];
    enum ring_phase phase;
    uint8_t r;
    struct rng rng;
    struct clk_hlc clk;
    struct ring_counters count;

    /* of the call under way */
    uint64_t now, wall;
    const struct step_reader *rd;
    struct step_update *u;
    struct arena scratch;
    bool news;    /* app.changed is due */
    bool started; /* START has come */
    bool joined;  /* it has become a member in this step */
    bool stands;  /* its eligibility has changed since the last step */

    uint64_t due[PARTS];
    struct book book;
    struct link *links;
    uint32_t links_cap, links_n;
    struct map handles; /* a link's handle to its index */
    uint32_t link_hint; /* the index asked for last */
    uint32_t closed[CLOSED_MAX];
    uint32_t closed_at;
    struct peal_id wants[RING_WANTS_MAX]; /* whether known or not */
    uint32_t wants_n;
    struct dials dials;
    struct join joins[RING_JOINS_MAX];
    uint64_t start_us;

    struct zave z;
    struct upkeep up;
    struct small small;
    uint32_t size; /* believed */
    /* From how densely the successors lie, as worked out last: for the first so many, up to that
     * one. */
    struct {
        uint32_t size;
        uint8_t k;
        struct peal_id last;
    } dense;

    struct slab finds, flights; /* struct find, struct flight */
    uint64_t next_op;
    struct took took;
    struct fingers fingers;
    struct gossip gossip;
    struct compare compare;
    struct seen_cast casts[CASTS_MAX];
    size_t casts_n; /* ever; the last CASTS_MAX are kept */
    uint64_t cast_seq;
    struct elect elect;
    struct merge merge;
};

/* id_eq, for searches where nearly all differ: ids are hashes, and differ in their first bytes. */
static inline bool ring__same_id(const struct peal_id *a, const struct peal_id *b)
{
    uint64_t x, y;
    memcpy(&x, a->b, sizeof x);
    memcpy(&y, b->b, sizeof y);
    return x == y && id_eq(a, b);
}

/* ---- ring.c ---- */
/* What every public call does first. */
void ring__note_call(struct ring *r, const struct step_event *ev, struct step_update *u);
void ring__wake(struct ring *r, enum part p, uint64_t at_us);
/* A moment between half of us and one and a half, at random. */
uint64_t ring__jitter(struct ring *r, uint64_t us);
void ring__set_phase(struct ring *r, enum ring_phase p);
bool ring__is_member(const struct ring *r); /* SMALL or LARGE */
bool ring__is_self(const struct ring *r, const struct peal_id *id);
void ring__my_state(const struct ring *r, struct wire_ring_state *out);
const char *ring__short_id(const struct peal_id *id, char out[static 9]);
/* links.c says so; ring.c tells all parts and the app. */
void ring__node_up(struct ring *r, struct link *l);
/* The last good link to the node is gone: from now on it counts as dead, until it answers again. */
void ring__node_down(struct ring *r, const struct peal_id *id, const char *why);
/* The node's quiet link is gone. It lives, but is no mate without a link, and what was handed to it
 * may not come back. */
void ring__node_quiet(struct ring *r, const struct peal_id *id);
/* A node without a link was dialled in vain, or another answered in its place: it counts as dead.
 */
void ring__node_dead(struct ring *r, struct node *n);
/* Of one node, or SEEKING: there is nobody to ask. */
bool ring__is_alone(const struct ring *r);
/* Brings r->size up to date; true when it changed. */
bool ring__measure(struct ring *r);
/* The peer's own report came (hello, ping, pong, view, notify). */
void ring__node_state(struct ring *r, struct link *l, const struct wire_ring_state *s);

/* ---- contact.c ---- */
struct wire_contact ring__contact_view(const struct contact *k);
struct peal_bytes ring__addresses(const struct contact *k);
/* Form and signature (cfg.verify); a peer's bytes. *out's addresses are w's. */
int ring__contact_take(struct ring *r, struct contact *out, const struct wire_contact *w);
/* The same for this node's own contact, which is kept. */
int ring__self_take(struct ring *r, const struct wire_contact *w);

/* ---- heap.c ---- */
void heap_init(struct heap *h, uint8_t *mem, uint32_t cap);
/* Whether n bytes more may be put in; instead: of those that are in so many go first. */
bool heap_has(const struct heap *h, size_t n, size_t instead);
/* Gives the node at the place these addresses, which heap_has room for: it has none yet. Moves
 * those of others. */
void heap_put(struct book *b, uint32_t place, struct peal_bytes list);
void heap_drop(struct book *b, uint32_t place);

/* ---- book.c ---- */
size_t book_bytes(uint32_t cap);
void book_init(struct book *b, void *mem, uint32_t cap);
/* As book_learn, but says why there is no node: PEAL_E_USAGE (this node's own id), PEAL_E_FULL (no
 * room), PEAL_E_MALFORMED or PEAL_E_AUTH (the contact). */
int book_take(struct ring *r, const struct wire_contact *w, bool dead, uint64_t stamp, bool *news,
              struct node **out);
const struct node *book_get(const struct ring *r, const struct peal_id *id);
/* NULL when it is not known. Never this node itself. */
struct node *book_find(struct ring *r, const struct peal_id *id);
/* Takes note of a contact (verified here, unless nothing in it is news) and what is said of it.
 * A higher incarnation replaces a lower and counts as living; of equal incarnations the later stamp
 * is believed; a linked node is not dead whatever is said. *news: the contact, or life and death,
 * changed. NULL: this node's own id, badly signed, or no room. Adding may evict another. A living
 * node that is news is offered as candidate (upkeep_candidate). */
struct node *book_learn(struct ring *r, const struct wire_contact *w, bool dead, uint64_t stamp,
                        bool *news);
void book_dead(struct ring *r, struct node *n);   /* found so by this node, now */
void book_living(struct ring *r, struct node *n); /* likewise */
/* The i-th of book.n nodes in ascending order of ids. */
struct node *book_at(struct ring *r, uint32_t i);
/* How many nodes have an id below id: the index of the first at or after it (may be book.n). */
uint32_t book_rank(const struct ring *r, const struct peal_id *id);
/* Living nodes in (from, upto], from == upto: all. */
size_t book_living_in(struct ring *r, const struct peal_id *from, const struct peal_id *upto);
void book_load(struct ring *r);
void book_timer(struct ring *r); /* writes what is unsaved, SAVE_BATCH at a time */

/* ---- links.c ---- */
void ring__on_link_up(struct ring *r, const struct step_event *ev);
void ring__on_link_down(struct ring *r, const struct step_event *ev);
void ring__on_hello(struct ring *r, struct link *l, const struct wire_r_hello *m);
void ring__on_ping(struct ring *r, struct link *l, const struct wire_r_ping *m);
void ring__on_pong(struct ring *r, struct link *l, const struct wire_r_pong *m);
void ring__on_bye(struct ring *r, struct link *l, const struct wire_r_bye *m);
void links_timer(struct ring *r);
bool ring__is_use(uint16_t type); /* of a link: neither a ping nor hearsay */
struct link *ring__link_of(struct ring *r, uint32_t handle); /* NULL: not one of ours */
struct link *ring__link_to(struct ring *r,
                           const struct peal_id *id); /* good (hello said), or NULL */
/* Closes it; node_down follows when it was the node's good link. */
void ring__drop(struct ring *r, struct link *l, int err, const char *why);
void ring__say_on(struct ring *r, struct link *l, uint16_t type, void *msg);
/* False when no link is good: nothing was sent. */
bool ring__say(struct ring *r, const struct peal_id *to, uint16_t type, void *msg);
/* A message of the layer above; NULL: to this node itself. */
void ring__send_app(struct ring *r, struct link *l, uint16_t type, void *msg, bool eager);
void ring__ping_now(struct ring *r, struct link *l);
/* Smoothed time and deviation after another sample; the time-out that follows from them, within
 * RTO_MIN_US and RTO_MAX_US, RTO_FIRST_US before the first sample. */
void ring__trips_add(struct trips *t, uint64_t us);
uint64_t ring__trips_rto(const struct trips *t);
/* A round trip to the peer was measured: only of messages sent once (Karn). */
void ring__link_sample(struct link *l, uint64_t us);
/* A lookup sent to the peer at that time has got no answer in time. The peer is pinged; until it is
 * heard lookups pass it by, as they do with the dead. */
void ring__doubt(struct ring *r, struct link *l, uint64_t sent_us);
bool ring__doubted(const struct link *l);
/* The link that gives way when there is no place for another: of those that nobody here needs the
 * least useful. NULL: all are needed. */
struct link *ring__spare(struct ring *r);
/* There is a place for a link that a lookup would like: a free one, or one that may give way and
 * has not been used for LINK_SPARE_US. */
bool ring__has_room(struct ring *r);
/* Retransmission time-out and 95th percentile of the peer's round trip; the firsts without a link.
 */
uint64_t ring__rto_to(struct ring *r, const struct peal_id *id);
uint64_t ring__p95_to(struct ring *r, const struct peal_id *id);
/* Whether the ring has the node in a pointer: neighbours, fingers, lookups' next. */
bool ring__points_to(struct ring *r, const struct peal_id *id);
/* Whether the ring needs a link to the node: that, wanted, mates, and whoever small.c is to meet.
 */
bool ring__needed(struct ring *r, const struct peal_id *id);

/* ---- dial.c ---- */
/* Where the node was reached last, or came from; until then its first address. */
struct peal_bytes dial_address(const struct node *n);
/* Sees to a link to a known node: at once when it is not being tried; again, in growing intervals,
 * as long as it is needed (ring__needed()); for others one try. */
void ring__reach(struct ring *r, struct node *n);
void dial_ended(struct ring *r, struct peal_bytes address, bool good, const struct peal_id *peer);
void dial_timer(struct ring *r);
void dial_start(struct ring *r);
/* What an address without its port is known by. */
uint32_t dial_host(struct peal_bytes address);
/* A link came from the node: that of its addresses which is on the same host is one that works. */
void dial_came(struct node *n, uint32_t host);
void dial_up(struct ring *r, struct node *n); /* its link is good, or it is forgotten */
/* Its link is gone: at once, unless it was good for a moment only, as with nodes that refuse each
 * other. */
void dial_again(struct ring *r, struct node *n);
/* It lives and has no room, or no need of the link: not at once. */
void dial_busy(struct ring *r, struct node *n);
void dial_lost(struct ring *r, struct node *n); /* a link to it went before its hello */
/* When the dial under way to the node began; 0: none is, or several of its addresses are tried. */
uint64_t dial_began(const struct node *n);
/* How long dials take that are not late, hello included; 0: none was measured. */
uint64_t dial_limit(const struct ring *r);
/* Its link would come without delay: it is under way, or may be dialled at once. */
bool dial_ready(const struct ring *r, const struct node *n);
void dial_moved(struct ring *r, struct node *n); /* its addresses are others now */
/* The join's address led to this node; id: this node's own when it leads back. */
void dial_joined(struct ring *r, struct peal_bytes address, const struct peal_id *id);

/* ---- zave.c: pure; chord-correct's operations. Ids in arrays are as a view says them. ---- */
/* JOIN: succ := all of m's; prdc := m. */
void zave_join(struct zave *z, const struct zave *m);
/* STABILISE, step 1. Timed out: the head goes, an artificial entry comes last. Answered: takes s
 * and its list in one assignment; true when s's predecessor (s_prdc, NULL: none) is to be queried.
 */
void zave_drop_head(struct zave *z);
bool zave_take(struct zave *z, const struct zave *s, const struct peal_id *s_prdc);
/* STEP 2: p, alive, lies between z and its head still: takes p and its list. False: it does not. */
bool zave_take_candidate(struct zave *z, const struct zave *p);
/* RECTIFY on n's notify. */
enum rectify { RECTIFY_DONE, RECTIFY_PING_PRDC };
enum rectify zave_rectify(struct zave *z, const struct peal_id *n);
void zave_replace_prdc(struct zave *z, const struct peal_id *n);
/* The list as last taken, complete, reached round to z itself: the ring has no more than r members.
 * The three above cut the list before self and set z->round. */
bool zave_is_round(const struct zave *z);
/* succ and prdc from all n members (sorted by id, self among them). SMALL: min(n - 1, r) entries.
 */
void zave_derive(struct zave *z, const struct peal_id *members, size_t n);
/* Artificial entries up to r: a derived list becomes a LARGE one. */
void zave_pad(struct zave *z);
/* Not a member: no successor, no predecessor. */
void zave_clear(struct zave *z);

/* ---- upkeep.c ---- */
void upkeep_start(struct ring *r); /* on becoming LARGE */
void upkeep_stop(struct ring *r);  /* on being LARGE no more: gives up what is under way */
/* The place that was looked for is not to be had: who waits for it is answered. */
void upkeep_answer(struct ring *r);
void upkeep_timer(struct ring *r);
void ring__on_query(struct ring *r, struct link *l, const struct wire_r_query *m);
void ring__on_view(struct ring *r, struct link *l, const struct wire_r_view *m);
void upkeep_up(struct ring *r, const struct peal_id *id);
void upkeep_dead(struct ring *r, const struct peal_id *id);
/* A living node, from whatever source: if it lies between this node and its successor it is queried
 * and taken (STEP_2), if it is linked or can be. LARGE only, else nothing. */
void upkeep_candidate(struct ring *r, const struct peal_id *id);
/* Queries m and joins after it (PLACING), unless it turns out not to be the place. */
void upkeep_place(struct ring *r, const struct peal_id *m);
/* The first live entry: linked, or not known to be dead; NULL: none (alone, or not a member). */
const struct peal_id *upkeep_best(struct ring *r);
/* Next to this node: its first live successor, or its predecessor. */
bool upkeep_near(struct ring *r, const struct peal_id *id);
bool upkeep_needs(struct ring *r, const struct peal_id *id); /* succ, prdc, or being asked */
/* key in (prdc, self]; alone: always. */
bool upkeep_owns(struct ring *r, const struct peal_id *key);
/* Not to be reached, as far as is known: a node of which there is no contact is as good as dead. */
bool upkeep_is_dead(struct ring *r, const struct peal_id *id);
/* Dead, or alive and no member any more: it has restarted, or lost its place. */
bool upkeep_is_gone(struct ring *r, const struct peal_id *id);
void upkeep_reach(struct ring *r, const struct peal_id *id); /* dials it, unless it is dead */
/* The list or the predecessor is another than before. */
void upkeep_pointers_changed(struct ring *r);
void upkeep_wake(struct ring *r);

/* ---- answer.c ---- */
/* Whether the ring that this node is in is the asker's as well. To a LARGE asker that is no mate a
 * SMALL node is nothing: the entry that the asker has of it is of an earlier life. */
bool answer_is_for(struct ring *r, const struct peal_id *id);
void answer_one(struct ring *r, const struct asker *a);
void answer_without(struct ring *r, struct link *l, uint64_t op, int err);
/* Until answer_askers: of one asker the last query; of more than ASKERS_MAX the last ones. */
void answer_later(struct upkeep *up, const struct asker *a);
void answer_askers(struct ring *r);
/* Tells the predecessor that the list has changed. Only when it is idle: then what it says of its
 * list holds. */
void answer_hint(struct ring *r);

/* ---- rectify.c ---- */
void ring__on_notify(struct ring *r, struct link *l, const struct wire_r_notify *m);
void rectify_timer(struct ring *r);
void rectify_up(struct ring *r, const struct peal_id *id);
void rectify_dead(struct ring *r, const struct peal_id *id);
bool rectify_needs(const struct ring *r, const struct peal_id *id);

/* ---- small.c ---- */
void small_start(struct ring *r); /* START: SEEKING begins */
void small_timer(struct ring *r);
void small_up(struct ring *r, struct link *l);
void small_dead(struct ring *r, const struct peal_id *id);
void small_state(struct ring *r, struct link *l); /* l->state is news */
/* Its list has reached round to itself: LARGE becomes SMALL, the list's nodes its mates. Likewise
 * when no successor is left, nor anyone linked to take for one. */
void small_round(struct ring *r);
/* Not LARGE: news of a living node, to be linked with. */
void small_heard(struct ring *r, const struct peal_id *id);
/* Not LARGE: whether a link to the node is to be had. */
bool small_needs(struct ring *r, const struct peal_id *id);
/* How upkeep_place has ended. */
enum place_end {
    PLACE_TAKEN, /* r->z is that of a member after m */
    PLACE_NONE,  /* it was not the place, or m does not answer */
    PLACE_ALONE, /* m knows of nobody but this node */
};
void small_place_ended(struct ring *r, enum place_end end);
/* A PLACE lookup ended: err, or m after whom this node belongs and m's first live successor. */
void small_placed(struct ring *r, int err, const struct peal_id *m, const struct peal_id *after);

/* ---- route.c ---- */
void ring__on_find(struct ring *r, struct link *l, const struct wire_r_find *m);
void ring__on_find_ack(struct ring *r, struct link *l, const struct wire_r_find_ack *m);
void ring__on_found(struct ring *r, struct link *l, const struct wire_r_found *m);
/* Begins a lookup; via: the first hop (linked), NULL: this node looks for itself. PEAL_E_BUSY. */
int route_begin(struct ring *r, enum find_for what, enum ring_find_kind kind,
                const struct peal_id *key, const struct peal_id *via, uint64_t token,
                uint64_t timeout_us);
void route_timer(struct ring *r);
void route_dead(struct ring *r,
                const struct peal_id *id);               /* what was handed to it goes elsewhere */
void route_up(struct ring *r, const struct peal_id *id); /* what waited for a link to it */
void route_ready(struct ring *r);                        /* this node has become a member */
bool route_needs(struct ring *r, const struct peal_id *id);

/* ---- hop.c: looks at the state and changes nothing ---- */
/* What to do with a lookup whose path ends with this node, leaving out what was tried; linked: only
 * over links that are good. */
struct hop hop_choose(struct ring *r, const struct flight *f, bool linked);
/* The lookup has passed the key: path[i] lies at or after it, as seen from the hop before. */
bool hop_passed(const struct flight *f, size_t i);
/* What is known of the ring is enough to name a key's owner without asking. */
bool hop_covers(const struct ring *r);
/* The first living node of the book in [from, self), or NULL; looks at HOP_WALK_MAX at most. */
enum { HOP_WALK_MAX = 256 };
struct node *hop_first_living(struct ring *r, const struct peal_id *from);

/* ---- finger.c ---- */
void finger_timer(struct ring *r);
void finger_found(struct ring *r, uint64_t which, int err, const struct wire_contact *owner);
void finger_dead(struct ring *r, const struct peal_id *id);
bool finger_needs(struct ring *r, const struct peal_id *id);
void finger_start(struct ring *r);
/* The distinct live nodes that this one may hand things to, clockwise from it: successors, then
 * fingers (SMALL: all mates). Returns how many, at most FINGERS_MAX + RING_SUCCESSORS_MAX. */
enum { WAYS_MAX = FINGERS_MAX + RING_SUCCESSORS_MAX };
size_t finger_ways(struct ring *r, struct peal_id out[static WAYS_MAX]);

/* ---- gossip.c ---- */
/* Begins a rumour of a node this one has found alive (joined, moved) or dead, or foreign. */
void gossip_begin(struct ring *r, const struct node *n, bool dead, bool foreign);
/* This node's own contact is a new one: begins a rumour of it. */
void gossip_self(struct ring *r);
/* Rumours for the peer's next ping: at most as the budget allows; the list is in scratch. */
struct wire_rumour_list gossip_take(struct ring *r, const struct peal_id *to);
/* A peer's bad rumour drops its link: l is not to be used afterwards. */
void gossip_heard(struct ring *r, struct link *l, const struct wire_rumour_list *list);
void gossip_timer(struct ring *r);
void gossip_start(struct ring *r);
/* True when n bytes may be said now; they count as said. */
bool gossip_spend(struct ring *r, size_t n);
/* n bytes that have to be said whatever the budget: they count as said. */
void gossip_charge(struct ring *r, size_t n);
/* Bytes that may be said now; when n of them may be; the most that may ever be saved up. */
size_t gossip_left(struct ring *r);
uint64_t gossip_when(struct ring *r, size_t n);
size_t gossip_burst(const struct ring *r);
/* Learns what one node says of another (not of this one). PEAL_E_MALFORMED or PEAL_E_AUTH: a
 * rumour that no honest node passes on; PEAL_E_STALE: not believed, its clock is ahead or later
 * word is known; PEAL_E_FULL: no room in the book; PEAL_E_NOT_FOUND: the death of somebody not
 * known. *news as book_learn's. */
PEAL_MUST int gossip_learn(struct ring *r, const struct wire_rumour *w, bool *news);
/* This node's own contact is new: at once to all linked nodes, and to everyone. */
void gossip_self(struct ring *r);
/* Passes word of the foreign node on to everyone before limit; at once. */
void gossip_foreign(struct ring *r, const struct node *n, const struct peal_id *limit);
/* A rumour of this node itself. */
struct wire_rumour ring__rumour_of_self(struct ring *r);
/* A rumour about a known node, limit zero. */
struct wire_rumour ring__rumour_of(const struct node *n, bool foreign);
size_t ring__rumour_bytes(const struct wire_rumour *w); /* encoded */

/* ---- compare.c ---- */
void compare_timer(struct ring *r);
void compare_start(struct ring *r);
void ring__on_compare(struct ring *r, struct link *l, const struct wire_r_compare *m);
void ring__on_known(struct ring *r, struct link *l, const struct wire_r_known *m);
/* Parts of a range are numbered from 0; the bound of part k is where it ends and k + 1 begins:
 * from + k/n of the distance, rounded down. k <= n <= WIRE_DIGESTS_MAX. */
struct peal_id compare_bound(const struct peal_id *from, const struct peal_id *upto, unsigned k,
                             unsigned n);
/* Digests of the n parts of (from, upto], and how many living nodes, this one included, are in
 * each. */
void compare_digests(struct ring *r, const struct peal_id *from, const struct peal_id *upto,
                     unsigned n, uint64_t digest[static WIRE_DIGESTS_MAX],
                     uint32_t count[static WIRE_DIGESTS_MAX]);
/* SMALL: tells the peer of all mates, whatever the budget: without that no small ring forms. */
void compare_tell(struct ring *r, struct link *l);

/* ---- cast.c ---- */
void ring__on_cast(struct ring *r, struct link *l, const struct wire_r_cast *m);
/* The nodes to hand something to that is for everyone before limit, clockwise (limit == self:
 * everyone), each with its own limit. Returns how many. The tree of broadcast and of rumours. */
struct branch {
    struct peal_id to, limit;
};
size_t cast_branches(struct ring *r, const struct peal_id *limit,
                     struct branch out[static WAYS_MAX]);
/* The same over given ways, clockwise from self. */
size_t cast_split(const struct peal_id *self, const struct peal_id *limit,
                  const struct peal_id *ways, size_t n, struct branch out[static WAYS_MAX]);
/* Whether a lies farther clockwise from self than b; self itself is the farthest of all. */
bool cast_farther(const struct peal_id *self, const struct peal_id *a, const struct peal_id *b);

/* ---- merge.c ---- */
void merge_start(struct ring *r);
void merge_timer(struct ring *r);
void merge_member(struct ring *r); /* on becoming LARGE */
void merge_lost(struct ring *r);   /* a neighbour has died */
void merge_up(struct ring *r, struct link *l);
/* A rumour, to be passed on to everyone before limit (NULL: to nobody), said that this node lives
 * in another ring. */
void merge_foreign(struct ring *r, struct node *n, const struct peal_id *limit);
/* The answer of a PLACE lookup begun by merge (LARGE). */
void merge_placed(struct ring *r, int err, const struct wire_contact *m,
                  const struct wire_contact *after);
/* A death of then may be no more than that the rings were two. */
bool merge_doubts(const struct ring *r, uint64_t stamp);

/* ---- elect.c ---- */
void elect_start(struct ring *r);
void elect_eligible(struct ring *r); /* cfg.eligible has changed */
/* What Chang and Roberts' rule says of a candidature that has come. A candidate of zero is none
 * yet: so an ineligible node calls for an election. */
enum elect_act { ELECT_PASS, ELECT_STAND, ELECT_SWALLOW, ELECT_WON };
enum elect_act elect_judge(const struct peal_id *self, bool eligible, bool participant,
                           const struct peal_id *candidate);
void elect_timer(struct ring *r);
void elect_dead(struct ring *r, const struct peal_id *id);
void elect_state(struct ring *r, struct link *l); /* a neighbour's word of the coordinator */
void ring__on_elect(struct ring *r, struct link *l, const struct wire_r_elect *m);
void ring__on_elected(struct ring *r, struct link *l, const struct wire_r_elected *m);

/* ---- beacon.c ---- */
void beacon_start(struct ring *r);
void beacon_timer(struct ring *r);
void beacon_changed(struct ring *r); /* phase, mates or coordinator are news */
void ring__on_beacon(struct ring *r, const struct wire_m_beacon *b);

#endif
