/* The node's state and what its parts offer each other. Not for anyone outside this folder.
 *
 * | file       | part                                                                     |
 * |------------|--------------------------------------------------------------------------|
 * | chord.c    | memory, dispatch of events and messages, timers                           |
 * | peers.c    | what is known of other nodes: their reports, who is up; sending            |
 * | found.c    | discovery, founding, dissolving, asking for admission, beacons            |
 * | roster.c   | the sorted list, homes and arcs, Paxos for each epoch                     |
 * | admit.c    | the proposer of epochs, the queue of those who ask                        |
 * | remove.c   | taking servers out of the roster                                         |
 * | unite.c    | rings founded apart: which goes into which, and how it goes               |
 * | former.c   | what was left behind by that: its last roster, its registers, taking in   |
 * | ready.c    | of which arcs the copies are complete; the epochs that are over           |
 * | copy.c     | copying what is missing, and who answers it                               |
 * | acceptor.c | a register's acceptor, merging of copies                                  |
 * | register.c | a register's proposer                                                     |
 * | cache.c    | what this proposer may write next without asking first                    |
 * | rows.c     | rows on this node's disk: storing, deleting, listing                      |
 * | marks.c    | where the reading of a mailbox begins, past what was acknowledged          |
 * | boxes.c    | how much waits in each mailbox, against its limits                       |
 * | put.c      | writing a row to its homes                                                |
 * | read.c     | reading the union of a box's rows                                         |
 * | cells.c    | the digests of each arc's parts: marking, reading, adding up              |
 * | inventory.c| what of a part is here, and what another home lacks of it                 |
 * | repair.c   | rounds and descent between homes; giving records, within a bandwidth      |
 * | sweep.c    | expiry, and handing over what this node is not home of                    |
 * | expire.c   | telling the author of a message that has waited in vain                  |
 * | view.c     | what is shown to others                                                   |
 *
 * Every public call notes its event and update in the struct (now, wall, rd, u), so that the parts
 * need not pass them on. */
#ifndef PEAL_CHORD_INNER_H
#define PEAL_CHORD_INNER_H

#include "peal/chord.h"

#include "peal/crypto.h"
#include "peal/ring.h"

enum {
    MS = 1000,
    SECOND = 1000 * 1000,

    DISCOVERY_US = 700 * MS,
    JOIN_WINDOW_US = 1500 * MS,
    HEARD_US = 1 * SECOND, /* a rosterless node counts as present for so long after it was heard */
    BEACON_SEEK_US = 150 * MS,
    BEACON_RING_US = 1 * SECOND,
    ASK_FIRST_US = 300 * MS,
    ASK_MOST_US = 2 * SECOND,
    RING_MEMORY_US = 30 * SECOND,
    WAITING_SAY_US = 5 * SECOND,
    YIELD_US = 3 * SECOND, /* an empty ring of one gives way to any other ring after so long */

    ADMITS_MAX = 32,
    ADMIT_WAIT_US = 10 * SECOND,
    PROPOSE_WAIT_US = 2 * SECOND,
    PROPOSAL_HOLD_US = 10 * SECOND,
    REMOVE_AGAIN_US = 500 * MS,
    DOWNS_EVERY_US = 1 * SECOND,
    DOWNS_FIRST_US = 10 * SECOND, /* after a start: who is up has been heard by then */
    AWAY_US = 30 * SECOND, /* who left in good order is back by then, if it was to be restarted: no
                              newcomer is admitted that would make keys wait meanwhile */
    DOWN_SEEN_US = 30 * SECOND, /* a clock that was set forward takes nobody out who was not down
                                   for   so long */
    EPOCH_BITS = 23, /* a register's round is epoch << ROUND_BITS | count: a new epoch outdoes every
                        older ballot */
    ROUND_BITS = 40,
    ROSTER_ROUND_BITS = 48, /* rounds for one epoch of the roster, which begin at 1 in each: this
                               node's are counted one by one, a peer that names a later one than
                               these is not sound */

    UNITE_EVERY_US = 1 * SECOND,
    UNITE_WAIT_US = 5 * SECOND,  /* rings that are just being founded sort themselves out first */
    UNITE_HEARD_US = 4 * SECOND, /* another ring counts as there for so long */
    UNITE_ANY_US = 30 * SECOND,  /* after so long any ring will do, not only the one gone into */
    OTHERS_MAX = 8,              /* other rings known of at a time */
    FORMERS_MAX = 8,             /* rings known that have gone into others */
    MOVE_BATCH = 128,            /* registers set aside in one update */
    MOVE_REST_US = 1 * MS,
    TAKE_MAX = 16, /* registers being taken in at a time */
    TAKE_ASK_US = 1 * SECOND,
    TAKE_CHANGE_US = 5 * SECOND,
    TAKE_REST_US = 1 * SECOND,    /* between two passes over what is left, the first ones */
    TAKE_AGAIN_US = 5 * SECOND,   /* and later */
    TAKE_UNSURE_US = 30 * SECOND, /* what one that is not linked said last counts for so long */
    TAKE_STUCK = 3, /* passes without success after which nobody waits for what is left */

    COPY_WAIT_US = 2 * SECOND,
    COPY_SCAN_MAX = 4096, /* records looked at for one page */
    COPY_JOBS_MAX = 2 * WIRE_ROSTER_MAX,
    PAST_MAX = 512,            /* epochs that are over and remembered */
    JUMP_WAIT_US = 3 * SECOND, /* for somebody who remembers more of them */
    PARTS_MAX = WIRE_ROSTER_MAX + 1,

    REG_PHASE_US = 1 * SECOND,  /* a phase that is not complete by then is begun again */
    REG_SLOTS = 256,            /* registers asked for at one time; the others wait in line */
    REG_TRIP_FIRST_US = 5 * MS, /* a round trip to a quorum, before any was measured */
    REG_TRIP_LEAST_US = 1 * MS,
    REG_PAUSE_FIRST = 4, /* round trips to wait, on the average, when another proposer came in … */
    REG_PAUSE = 8,       /* … between, once and once more */
    REG_PAUSE_MOST_US = 200 * MS,
    REG_LEAP_MOST = 16,     /* a power of two */
    REG_GRAIN_US = 10 * MS, /* those in line look at their deadlines together */
    SETTLES_MAX = 16,       /* operations under way beside which registers are not settled */
    SETTLE_EVERY_US = 100 * MS,
    RETRY_US = 100 * MS,
    ROOM_BYTES = 2 << 20, /* more than any one operation puts into an update */
    ROOM_EFFECTS = 256,
    ROOM_WAIT_US = 1 * MS,

    TARGETS_MAX = 16, /* nodes that one put has tried */
    POOL_BLOCK = 1024,
    WINDOW_IDS = 256, /* ids that a read lists at a time; at most WIRE_PAGE_IDS */
    READ_PHASE_US = 1 * SECOND,
    READ_AGAIN_US = 10 * MS, /* a read for which too few homes have answered has another try, */
    READ_AGAIN_MOST_US = 160 * MS,  /* later each time, */
    READ_AGAIN_TIL_US = 1 * SECOND, /* for so long */
    PUT_AGAIN_US = 10 * MS,         /* a put that a home refused has another try */
    PUT_GRAIN_US = 10 * MS, /* puts wake together, since each wake-up looks at all of them */

    ARCS_MAX = WIRE_ROSTER_MAX, /* arcs that this node is home of */
    ITEM_MAX = WIRE_PAGE_ITEMS,
    CELL_BITS_MAX = 10,           /* an arc has at most 1,024 cells */
    CELLS_MAX = 16384,            /* of all arcs: fewer of each once there are more than 16 */
    REPAIR_EVERY_US = 2 * SECOND, /* between two rounds of an arc in which something differed, */
    REPAIR_REST_US = 60 * SECOND, /* and at most; each one without a difference doubles it, */
    EARLY_ROUNDS = 4,             /* but for the first ones after a change in the ring */
    /* Upkeep reads at most SCAN_STEP records in SCAN_EVERY_US, 12,800 a second: at some 4 us each
     * that is 5 % of a processor, and no step takes longer than half a millisecond. A round of 60
     * seconds gets through 768,000 at that rate. For FAST_US after a membership change or a
     * restart, when copies may be missing, it is SCAN_FAST, 102,400 a second, as long as this node
     * has no operations of its own to see to. */
    SCAN_EVERY_US = 10 * MS,
    SCAN_STEP = 128,
    SCAN_FAST = 1024,
    SCAN_RUN = 4, /* what it costs to begin anywhere, in records */
    FAST_US = 60 * SECOND,
    TICK_US = 50 * MS,
    SETTLE_MS = 3000, /* younger rows are not compared: they are still on their way */
    SETTLE_GRAIN_MS = 2048,
    /* Rows that expire within one or two of these do not count: each home drops them when it suits
     */
    EXPIRY_GRAIN_MS = 1 << 19,
    REREAD_GRAINS = 24 * 3600 * 1000 / EXPIRY_GRAIN_MS, /* a cell is read again after so long at the
                                                           latest: disks forget silently */
    STEP_BITS = 4,   /* depth from a part to those compared next: 2^4 is WIRE_DIGESTS_MAX */
    LEAF_ITEMS = 64, /* a part with so many at both homes together is listed, not cut further */
    ASKED_MAX = 32,  /* digests that wait until this node has read what they are compared with */
    SAYS_MAX = 1024, /* digests and lists that wait for bandwidth: as many as an arc has cells */
    SAYS_STEP = 16,  /* of them, in one update */
    GIVES_MAX = 64,  /* lists of records that wait for bandwidth */
    GIVE_KEYS = WIRE_PAGE_ROWS, /* in each */
    GIVE_PAGES = 4,             /* of records, in one update */
    GIVE_REST_US = 1 * MS,
    WITH_US = 2 * SECOND,    /* an arc that is made equal to one home's is not to another's, until
                                nothing has come for so long: else both would bring the same */
    COPIED_US = 10 * SECOND, /* who copied so lately gets it all by that */
    COPY_TIMES = 8, /* a server that copies is not safe yet: it is given so many times as much */
    BURST_LEAST = 2 * WIRE_PAGE_BYTES,
    SWEEP_STEP = 512,
    EXPIRING_MAX = 8, /* expired messages whose authors are being told */
    EXPIRY_PUT_US = 10 * SECOND,
    MARKS_MAX = 2048,  /* boxes of which it is known where reading begins */
    BOXES_MAX = 2048,  /* boxes counted between two passes of the sweep */
    BOX_WAYS = 4,      /* places in which a box's count may lie */
    BOX_NEAR_PART = 8, /* from one part in so many of its limits on a box is counted exactly */
    SWEEP_REST_US = 30 * SECOND,
    HANDOVER_WAIT_US = 5 * SECOND,

    SCRATCH_BYTES = 1 << 20,
    ROW_KEY_BYTES = ID_BYTES + MSG_ID_BYTES,
    VOTERS_MAX = WIRE_ROSTER_MAX,
    ROSTER_IDS = WIRE_ROSTER_MAX + WIRE_TAKES_MAX, /* of a roster's view */
};

/* Who said it. */
struct source {
    struct peal_id id;
};

struct ring_mark { /* what a node says its ring is; id zero: it is in none */
    struct peal_id id;
    uint64_t epoch;
    uint32_t size;
};

struct domain { /* zeros after its name; all zeros: none, the member is one of its own */
    uint8_t name[WIRE_DOMAIN_MAX];
};

struct peer { /* a node that was heard of */
    bool used;
    bool linked; /* the overlay has a good link to it */
    bool up;     /* linked, of this ring and its roster, and not leaving */
    bool leaving;
    bool state_known;
    struct peal_id id;
    uint64_t heard_us;
    struct ring_mark ring;
    uint64_t met_us;      /* since when its ring is known to be another one; 0: it is not */
    struct domain domain; /* as it says, with its state */
    struct wire_node_state state;
    uint64_t gave_us; /* when it last copied from here; 0: not */
};

struct roster {
    struct peal_id ring;
    uint64_t epoch; /* 0: none */
    uint8_t replicas;
    size_t n;
    struct peal_id members[WIRE_ROSTER_MAX];
    struct domain domains[WIRE_ROSTER_MAX]; /* of members; zeros behind the n-th */
    bool apart;                             /* some member has one */
    size_t takes_n;
    struct peal_id takes[WIRE_TAKES_MAX];
    struct peal_id into; /* zero: none */
};

struct past { /* an epoch that is over, and this node's bits of `ready` at its end */
    struct roster roster;
    uint64_t ready;
};

struct part { /* of a range of keys: what lies in one arc of some roster */
    struct peal_id from, upto;
    size_t arc;
};

struct copy_source { /* somebody who was a home of what is to be copied */
    struct peal_id id;
    uint64_t op, due_us; /* op 0: no answer is waited for */
    uint8_t cursor[WIRE_KEY_MAX];
    size_t cursor_n;
    bool done;
};

struct copy_job { /* ]from, upto], a part of an arc that this node is not ready for */
    size_t arc;
    struct peal_id from, upto;
    uint64_t base; /* the epoch of which they were, or are, the homes */
    size_t need;   /* so many of the sources */
    size_t sources_n;
    struct copy_source sources[CHORD_REPLICAS_MAX + 1];
};

struct other { /* a ring that this node is not in; epoch 0: free */
    struct roster roster;
    uint64_t met_us, heard_us;
};

struct former { /* a ring that has gone into another, at its last epoch; this node was in it or not
                 */
    struct roster roster;
    bool ready; /* this node's copies of its registers were complete */
    bool done;  /* none of them is left here */
};

enum take_phase { TAKE_FREE, TAKE_ASK, TAKE_CHANGE };

struct take { /* one register of a former ring, on its way into this one */
    enum take_phase phase;
    size_t former; /* whose it is here */
    size_t asked;  /* whose old home is being asked */
    struct peal_id key;
    uint64_t op; /* 0: free */
    uint64_t until_us;
    struct peal_id home[CHORD_REPLICAS_MAX + 1]; /* in the ring asked */
    size_t homes, need, oks;
    uint8_t answered; /* a bit per home */
    struct wire_ballot best;
    size_t value_n;
    uint8_t value[WIRE_REGISTER_MAX];
};

struct taking {
    struct take at[TAKE_MAX];
    size_t former; /* the one whose registers are gone through */
    struct peal_id after;
    bool begun;  /* `after` counts */
    bool ended;  /* the pass has met the last key; what is under way is waited for */
    bool all;    /* also those that another member of the old ring sees to first */
    size_t left; /* that this pass could not take in */
    size_t taken;
    uint32_t fruitless; /* passes in a row that took nothing in and left something */
    uint64_t due_us;
};

enum propose_phase { PROPOSE_IDLE, PROPOSE_PREPARE, PROPOSE_NEWCOMER, PROPOSE_ACCEPT };

struct propose {
    enum propose_phase phase;
    struct wire_ballot ballot;
    struct roster value;
    struct wire_ballot best; /* the highest accepted ballot among the promises */
    struct peal_id newcomer; /* accepts first; zero: nobody */
    struct peal_id lost;     /* has forgotten its votes: its promise does not count; zero: none */
    bool yes[VOTERS_MAX];    /* by place in value.members (PREPARE: in the decided roster) */
    uint64_t until_us;
};

struct admit {
    struct peal_id id;
    bool lost; /* it is a member, and is to be renewed */
    struct domain domain;
    uint64_t until_us;
};

struct down {          /* a member that is down */
    struct peal_id id; /* zero: free */
    uint64_t since_ms; /* by the wall clock; on disk under "down" ‖ id */
    uint64_t seen_us;  /* since when this process sees it */
};

struct removal { /* that this node was asked for */
    uint64_t op; /* 0: free */
    uint64_t token, until_us, ask_us;
    struct peal_id id;
    bool asked; /* the coordinator, and it has not refused since */
    int code;   /* the last refusal, and why */
    char why[WIRE_TEXT_MAX];
};

/* ---- operations ---- */

enum reg_phase { REG_BEHIND, REG_LINE, REG_WAIT, REG_LOOK, REG_PREPARE, REG_ACCEPT };

struct reg_op {
    uint64_t token;
    struct peal_id key;
    uint64_t deadline_us, wake_us;
    uint64_t sent_us; /* of the phase under way */
    enum reg_phase phase;
    uint32_t handle;
    uint32_t ahead, behind; /* of the same key; 0: none */
    uint32_t prev, next;    /* LINE; 0: none */
    uint32_t slot;          /* LOOK, PREPARE, ACCEPT: of c->slots */
    uint32_t tries;
    uint32_t trips; /* phases begun, of all tries */
    uint64_t epoch;
    struct wire_ballot ballot, best;
    struct wire_ballot after; /* ACCEPT: the ballot named as the next one */
    uint64_t above;           /* the next round must exceed it */
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    uint8_t homes, need, oks, nos;
    uint8_t answered; /* a bit per home */
    bool same;        /* every promise so far reported the same accepted ballot */
    bool wrote;       /* a value of the change function's was sent, in this try or an earlier one */
    bool mine;        /* of former.c, not of the app: token is a take's op */
    bool read;        /* the change function is not asked */
    bool looked;
    bool cached;    /* ACCEPT: by a ballot that was named before */
    bool contended; /* … a moment ago: if it is refused, others are at work right now */
    int result;     /* what the change function said, to be told when the read is settled */
};

struct reg_slot { /* the value of an operation that is asking */
    size_t n;
    uint8_t b[WIRE_REGISTER_MAX];
};

struct cached { /* cache.c */
    struct peal_id key;
    struct wire_ballot next;     /* promised to this node by a majority, and used for nothing yet */
    struct wire_ballot accepted; /* the value's */
    uint32_t n, block;
    uint32_t handle, newer, older; /* 0: none */
    uint64_t kept_us;
};

/* FULL: a home in which the mailbox is full; nobody stands in for it. */
enum target_state { TARGET_SENT, TARGET_OK, TARGET_FAILED, TARGET_FULL };

struct target {
    struct peal_id id;
    struct peal_id hint;
    enum target_state state;
};

struct put_op {
    uint64_t token;
    uint64_t deadline_us, wake_us;
    uint32_t handle;
    uint64_t epoch;
    struct peal_id box;
    struct peal_msg_id id;
    uint8_t kind, from_n;
    uint8_t from[WIRE_NAME_MAX];
    uint64_t stamp, expires;
    uint32_t body_n, blocks; /* the body's first block; NO_BLOCK: the row is read back from this
                                node's own disk */
    bool push, pushed;
    bool own; /* of expire.c, not of the app */
    struct peal_id push_to;
    uint8_t need;
    bool sent;
    int refused; /* the last refusal's code */
    struct target targets[TARGETS_MAX];
    size_t targets_n;
};

enum read_phase { READ_LIST, READ_GET };

struct read_target {
    struct peal_id id;
    bool home, waiting, answered, failed;
    bool partly; /* a home that may lack some of what was acknowledged before the present epoch */
    bool more;
    struct peal_msg_id upto; /* more: its list ends here */
};

struct read_op {
    uint64_t token;
    uint64_t deadline_us, wake_us, phase_us;
    uint32_t handle;
    uint32_t attempt;
    struct peal_id box;
    struct peal_msg_id after;
    enum read_phase phase;
    struct read_target targets[CHORD_REPLICAS_MAX + 1];
    size_t targets_n;
    uint8_t need;          /* homes that must have answered for the union to be complete … */
    uint8_t need_partly;   /* … with those that may lack something among them */
    uint64_t again_til_us; /* from then on it ends with what there is; 0: it had no other try yet */
    uint64_t again_us;     /* before the next one */
    bool truncated, incomplete;
    size_t n, at, asked;
    size_t holder;
    struct peal_msg_id ids[WINDOW_IDS];
    uint8_t mask[WINDOW_IDS];
};

#define REG_SETTLE UINT64_MAX /* in place of a take's op: what is there is written anew */

#define NO_BLOCK UINT32_MAX /* in place of a block: none */

struct pool { /* blocks for the bodies of rows that are being put elsewhere */
    uint8_t *data;
    uint32_t *next;
    uint32_t cap, free, used;
};

struct cache { /* of one epoch of one ring */
    struct slab slab;
    struct map keys;
    struct pool pool;
    uint32_t newest, oldest;
    struct peal_id ring;
    uint64_t epoch;
};

/* ---- repair ---- */

struct cell { /* the smallest part of an arc of which a digest is kept */
    uint64_t sum;
    uint32_t count;
    uint32_t cut;   /* as of when, in SETTLE_GRAIN_MS; 0: it was never read */
    uint32_t until; /* in EXPIRY_GRAIN_MS: from then on something in it does not count any more */
    bool stale;     /* written since its reading began */
    bool young;     /* there was something later than the cut */
};

struct arc {
    struct peal_id from, upto;
    size_t index;   /* of upto in the roster: its home begins there */
    uint8_t length; /* bits of the number (upto - from - 1) */
    uint8_t bits;   /* it has 1 << bits cells: its parts at this depth */
    uint16_t block; /* where they lie */
    bool saying;    /* a round has begun, and waits for cells to be read */
    bool found;     /* something differed since the last round */
    bool all;       /* the next round goes to every home; else of a pair the smaller id begins */
    uint8_t alike;  /* a bit per home: since a member went down last its digest was the same once */
    uint8_t early;  /* so many rounds before they become rarer */
    uint64_t due_us, every_us;
    struct peal_id with; /* whose copies differed last, */
    uint64_t with_us;    /* and when something last came of it */
};

struct range { /* of keys: (from, upto], all when the two are equal */
    struct peal_id from, upto;
};

struct sum {
    uint64_t digest;
    uint32_t count;
};

/* A place in a range's inventory, which goes by space and then clockwise: everything up to and with
 * this key is behind it. A range that crosses zero has two parts. */
struct place {
    uint8_t space;
    uint8_t part;
    uint8_t key[WIRE_KEY_MAX];
    size_t n; /* 0: the part's beginning */
};

struct scan { /* of the cells [cell, end) */
    bool active;
    size_t arc;
    uint32_t cell, end, cut;
    struct place at;
};

/* Digests of another home, which wait for the same cells to be read here. */
struct question {
    bool say; /* nobody's: this node's own round */
    struct peal_id peer;
    size_t arc;
    uint32_t cut, first;
    uint8_t bits, n;
    struct sum sums[WIRE_DIGESTS_MAX];
};

/* SAY_DIGESTS: of the part's parts. SAY_ITEMS: the inventory from `after` on. SAY_ALL: gives
 * everything from `after` on, since the peer has nothing there. */
enum say_kind { SAY_DIGESTS, SAY_ITEMS, SAY_ALL };

struct say {
    enum say_kind kind;
    struct peal_id peer;
    size_t arc;
    uint32_t cut, part;
    uint8_t bits;
    struct place after;
};

struct give_key {
    uint8_t space, n;
    uint8_t key[ROW_KEY_BYTES];
};

struct give {
    struct peal_id peer;
    size_t n, at;
    struct give_key keys[GIVE_KEYS];
};

struct bucket {
    int64_t level; /* bytes; below zero it is owed */
    uint64_t us;
};

struct repair {
    bool on;            /* there are other homes */
    uint8_t block_bits; /* room for so many cells, in bits, for each arc */
    uint8_t key[16];    /* of the digests: the ring's */
    size_t left;        /* records that may be read before scan_us */
    uint64_t scan_us, give_us, fast_us;
    uint64_t copied_us; /* when a page of what is being copied came last; 0: never */
    bool again;         /* a queue was full: what it could not take comes again */
    struct bucket bucket, copying;
    struct question asked[ASKED_MAX];
    struct say says[SAYS_MAX];
    struct give gives[GIVES_MAX];
    size_t asked_n, says_n, gives_n;
    struct cell cells[CELLS_MAX];
};

struct stray {
    uint8_t space;
    uint8_t key[ROW_KEY_BYTES];
    uint8_t key_n;
    uint8_t kind;                /* a row's */
    struct wire_ballot accepted; /* a register's */
};

struct handover { /* what is being given to its proper homes */
    bool active;
    uint64_t op, until_us;
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes;
    bool asked[CHORD_REPLICAS_MAX + 1], ok[CHORD_REPLICAS_MAX + 1];
    struct stray items[WIRE_PAGE_ROWS];
    size_t n;
};

struct sweep {
    uint8_t space;
    uint8_t after[WIRE_KEY_MAX];
    size_t after_n;
    uint64_t rows;
    uint64_t due_us;
    bool again; /* begin anew at once when the pass is over */
    struct handover over;
};

struct expiring { /* an expired message's row, without its body */
    bool used, begun;
    struct peal_id box;
    struct peal_msg_id id;
    uint8_t from_n, from[WIRE_NAME_MAX];
    uint64_t stamp, expires;
};

struct expire {
    struct expiring at[EXPIRING_MAX];
    bool stuck; /* one could not be told: this pass waits for no other */
};

struct mark {
    bool used;
    struct peal_id box;
    struct peal_msg_id first; /* nothing waits in the box before it */
};

struct marks {
    struct mark at[MARKS_MAX];
    uint64_t stored_us; /* when a row was last written */
};

struct box_count { /* rows 0: free */
    struct peal_id box;
    uint32_t rows;
    uint64_t bytes;
};

struct boxes {
    struct box_count at[BOXES_MAX];
    bool counting; /* the sweep is within a box: `now` is what it has met of it */
    struct box_count now;
};

struct chord {
    struct chord_config cfg;
    struct domain domain;        /* this node's */
    struct ring *ring;           /* in the same block of memory */
    struct step_event at;        /* the time of the last call, for calls of the overlay */
    const struct step_event *ev; /* that */
    enum chord_state state;
    struct rng rng;
    uint64_t salt;

    /* of the call under way */
    uint64_t now, wall;
    const struct step_reader *rd;
    struct step_update *u;
    struct arena scratch;

    struct peer peers[CHORD_PEERS_MAX];
    size_t peers_n; /* places that were ever used */
    struct join {
        uint8_t address[WIRE_ADDRESS_MAX];
        size_t n;
    } joins[CHORD_JOINS_MAX];
    size_t joins_n;
    uint64_t tick_us;

    uint64_t start_us, beacon_us, ask_us, waiting_us;
    uint32_t asks;

    struct roster roster;
    uint64_t ready;          /* a bit for each arc of it */
    uint64_t votes;          /* likewise, of arcs that it votes on although it is not ready */
    uint64_t partly;         /* of those it was ready for before this epoch */
    uint64_t base[ARCS_MAX]; /* of the arcs that it is not ready for: whose homes are asked */
    uint64_t trusted;        /* what it was ready for before that epoch does not count */
    struct past past;        /* the epoch before; its roster's epoch 0: not known */
    struct copy_job jobs[COPY_JOBS_MAX];
    size_t jobs_n;
    uint64_t planned;         /* arcs of which all that is missing is among the jobs */
    uint64_t jump_us;         /* when to skip epochs that nobody remembers; 0: no need is known */
    struct peal_id of;        /* the ring whose registers this node has; zero: none */
    struct peal_id of_stored; /* as it is on disk under "of" */
    bool strange; /* of which ring they are is not known; until they are set aside it enters none */
    uint64_t lost;   /* in no ring: the last epoch that names this node all the same; 0: none */
    bool distrusted; /* on disk under "distrust": what this node has promised is not known */
    struct wire_ballot promised, accepted;
    struct roster proposal;
    bool renewal; /* the proposal renews this node */
    uint64_t proposal_us;
    struct propose prop;
    uint64_t round; /* of this node's last roster ballot, or met since, for the next epoch */
    struct admit admits[ADMITS_MAX];
    struct removal removals[CHORD_REMOVES_MAX];
    struct down downs[WIRE_ROSTER_MAX];
    uint64_t downs_us;
    struct peal_id coordinator;

    struct other others[OTHERS_MAX];
    struct former formers[FORMERS_MAX]; /* as they ended; after a restart by id */
    size_t formers_n;
    uint64_t unite_us, move_us;
    uint64_t moved_us; /* since when this node waits to be admitted elsewhere */
    struct taking taking;

    int store_err;
    uint64_t rows;
    uint32_t clients;
    bool changed;    /* app.changed is due */
    bool state_news; /* this node's own report changed: everyone linked hears it at once */

    struct slab regs, puts, reads;
    struct pool pool;
    uint64_t reg_count; /* of ballots for registers, whatever the epoch or the ring: above that of
                           each that this node has used or met */
    struct slab slots;
    struct map turns;        /* a register's key -> the last operation in its line */
    uint32_t line, line_end; /* first and last of those that wait for a slot */
    uint32_t regs_app;       /* operations of the app's */
    uint64_t trip_us;        /* a round trip to a quorum, measured */
    struct cache cache;
    struct chord_reg_stats reg_stats;
    uint64_t settle_us; /* when the next register may be settled */
    uint64_t ops_us;    /* the earliest wake-up among the operations */

    struct arc arcs[ARCS_MAX];
    size_t arcs_n;
    struct scan scan;
    struct repair repair;
    struct sweep sweep;
    struct boxes boxes;
    struct marks marks;
    struct expire expire;
};

/* chord.c */
void message(struct chord *c, const struct peal_id *from, uint16_t type, union wire_any *m);
void note_call(struct chord *c, const struct step_event *ev, struct step_update *u);
void dispatch(struct chord *c, const struct source *src, uint16_t type, union wire_any *m);
/* A moment in the future, at random between half of us and one and a half. */
uint64_t jitter(struct chord *c, uint64_t us);
void set_state(struct chord *c, enum chord_state s);
/* Has this update wait until everything written so far is durable, although it need not write
 * anything itself. */
void hold_answer(struct chord *c);
const char *short_id(const struct peal_id *id, char out[static 9]);
static inline struct peal_bytes id_bytes(const struct peal_id *id)
{
    return peal_bytes_of(id->b, ID_BYTES);
}

/* peers.c */
struct peer *peer_of(struct chord *c, const struct peal_id *id);
const struct peer *peer_of_const(const struct chord *c, const struct peal_id *id);
/* The node's entry, a new one if need be; NULL when the table is full of better ones. */
struct peer *peer_met(struct chord *c, const struct peal_id *id);
void on_state(struct chord *c, const struct source *src, const struct wire_n_state *m);
void peers_app(struct chord *c, struct ring_app *out);
/* Nobody is up any more. */
void peers_all_down(struct chord *c, const char *why);
/* The overlay is to keep links to the roster's members and to those who ask to be admitted. */
void peers_want(struct chord *c);
void want(struct chord *c, const struct peal_id *id, bool want);
void say_state(struct chord *c);
void send_on(struct chord *c, const struct peal_id *to, uint16_t type, void *msg, bool eager);
/* False when there is no link; to this node itself it goes through STEP_SELF. */
bool send_to(struct chord *c, const struct peal_id *to, uint16_t type, void *msg);
void answer(struct chord *c, const struct source *src, uint16_t type, void *msg);
/* As send_to, but this node's own share is done at once, in the same update. */
bool request(struct chord *c, const struct peal_id *to, uint16_t type, union wire_any *m);
bool is_self(const struct chord *c, const struct peal_id *id);
/* A member that can be asked now: this node, or one whose link is good. */
bool is_up(const struct chord *c, const struct peal_id *id);

/* found.c */
void found_start(struct chord *c);
void found_timer(struct chord *c);
void on_beacon(struct chord *c, const struct wire_m_beacon *b);
/* p's ring became known. */
void ring_met(struct chord *c, struct peer *p);
bool same_ring(const struct chord *c, const struct peer *p);
/* For a scan: sets *(bool *)ctx, and ends it. */
bool any_key(void *ctx, struct peal_bytes key, struct peal_bytes value);
void say_beacon(struct chord *c);

/* roster.c */
struct wire_roster roster_view(const struct roster *r, struct peal_id buf[static ROSTER_IDS]);
int roster_take(struct roster *out, const struct wire_roster *w);
/* A stored roster of an earlier build's form. */
struct wire_roster roster_from_1(const struct wire_roster_1 *r);
/* Empty: none. PEAL_E_MALFORMED: no domain's name. */
int domain_take(struct domain *out, struct peal_bytes name);
struct peal_bytes domain_name(const struct domain *d); /* lives in d */
bool domain_eq(const struct domain *a, const struct domain *b);
/* The member at that place is in that domain. */
void roster_place(struct roster *r, size_t at, const struct domain *d);
/* The members' places as an arc's copies are given to them: clockwise, no two of one domain as long
 * as there are others. The first `most` of them; returns that. */
size_t arc_order(const struct roster *r, size_t arc, size_t most,
                 uint8_t out[static WIRE_ROSTER_MAX]);
bool roster_has(const struct roster *r, const struct peal_id *id);
bool roster_takes(const struct roster *r, const struct peal_id *ring);
/* Its ring has gone into another: this is its last epoch. */
static inline bool roster_sealed(const struct roster *r)
{
    return !id_is_zero(&r->into);
}
size_t roster_index(const struct roster *r, const struct peal_id *id);
size_t roster_copies(const struct roster *r);
size_t roster_home(const struct roster *r, const struct peal_id *key,
                   struct peal_id out[static CHORD_REPLICAS_MAX + 1]);
bool roster_is_home(const struct roster *r, const struct peal_id *key, const struct peal_id *id);
static inline size_t majority(size_t n)
{
    return n / 2 + 1;
}
/* How many of so many homes a majority leaves out. */
static inline size_t spare(size_t homes)
{
    return homes - majority(homes);
}
size_t arc_home(const struct roster *r, size_t arc,
                struct peal_id out[static CHORD_REPLICAS_MAX + 1]);
/* The arc that the key lies in. */
size_t roster_arc(const struct roster *r, const struct peal_id *key);
/* The place of the first member behind id, clockwise. */
size_t roster_after(const struct roster *r, const struct peal_id *id);
int ballot_cmp(const struct wire_ballot *a, const struct wire_ballot *b);
void roster_save(struct chord *c);
void roster_load(struct chord *c);
/* The same in every respect. */
bool same_roster(const struct roster *a, const struct roster *b);
/* Members of the new roster that are linked count as up from now on; whoever is in none no longer
 * does. Who was in the one before, and says that it is in none, has lost it. */
void members_refresh(struct chord *c, const struct roster *before);
/* r: the one after this node's own, or any later one; its first one if it is in none. */
void roster_adopt(struct chord *c, const struct roster *r);
/* skips: those in between are not known to who says so. */
void roster_learn(struct chord *c, const struct source *src, const struct wire_roster *w,
                  bool skips);
/* The same with one that was checked, of this node's ring or while it is in none. p: NULL when this
 * node is in a ring and has decided it itself. */
void roster_offered(struct chord *c, struct peer *p, const struct roster *r, bool skips);
/* The next epoch's roster, without id. */
struct roster roster_without(const struct roster *r, const struct peal_id *id);
void roster_call_on(struct chord *c, const struct roster *r);
/* reload.c: the store takes writes again, some of which it had refused. */
void reload(struct chord *c);
/* This node's votes count no more from now on; it leaves the roster at the next tick. */
void distrust(struct chord *c, struct peal_bytes why);
/* Only the mark. */
void distrust_mark(struct chord *c, bool set);
void distrust_timer(struct chord *c);
/* This node is in no roster any more. Nothing on disk but the roster changes. */
void roster_leave(struct chord *c);
/* Whether a peer's ballot for an epoch is below the bound; if not, its link is closed. */
bool roster_ballot_sound(struct chord *c, const struct source *src, const struct wire_ballot *b);
void roster_tell(struct chord *c, const struct source *src);
void roster_tell_all(struct chord *c);
void on_roster_prepare(struct chord *c, const struct source *src,
                       const struct wire_n_roster_prepare *m);
void on_roster_accept(struct chord *c, const struct source *src,
                      const struct wire_n_roster_accept *m);
void arcs_rebuild(struct chord *c);

/* ready.c */
void past_save(struct chord *c);
/* False when it is not remembered. */
bool past_load(struct chord *c, const struct peal_id *ring, uint64_t epoch, struct past *out);
bool arc_has(const struct roster *r, size_t arc, const struct peal_id *id);
struct peal_id arc_from(const struct roster *r, size_t arc);
/* Cuts ]from, upto] at the members of r. */
size_t roster_parts(const struct roster *r, const struct peal_id *from, const struct peal_id *upto,
                    struct part out[static PARTS_MAX]);
/* From c->roster, whose past is saved, to next: sets ready and base. */
void ready_next(struct chord *c, const struct roster *next);
void ready_none(struct chord *c, const struct roster *next);
/* The same with one that does not follow at once. */
void ready_jump(struct chord *c, const struct roster *next);
/* No epoch from was to r took a server out, or renewed one. */
bool only_grew(const struct roster *was, const struct roster *r);
bool ready_for(const struct chord *c, const struct peal_id *key);
/* Whether it may vote on key: it is ready, or each majority has one in it that is. */
bool votes_for(const struct chord *c, const struct peal_id *key);
/* It is not ready for key, but was in the epoch before, in which the home was larger. */
bool ready_partly(const struct chord *c, const struct peal_id *key);
/* After a change of c->roster, ready and arcs: sets votes and partly. */
void votes_assign(struct chord *c);
/* For all the arcs that it is home of. */
bool ready_all(const struct chord *c);
/* Whether it was a ready home of all those keys in the epoch. */
bool ready_then(struct chord *c, uint64_t epoch, const struct peal_id *from,
                const struct peal_id *upto);

/* admit.c */
void on_admit(struct chord *c, const struct source *src, const struct wire_n_admit *m);
void on_roster_promise(struct chord *c, const struct source *src,
                       const struct wire_n_roster_promise *m);
void on_roster_accepted(struct chord *c, const struct source *src,
                        const struct wire_n_roster_accepted *m);
void admit_timer(struct chord *c);
void coordinator_update(struct chord *c);
/* Whether this node is to propose the next epoch now: the coordinator, which proposes nothing, of a
 * ring in which all that live are ready. */
bool may_propose(const struct chord *c);
/* value: what follows on this node's roster. newcomer: whom it has more, or renews, zero: nobody;
 * lost: it has forgotten its votes. */
void propose(struct chord *c, const struct roster *value, const struct peal_id *newcomer,
             bool lost);
/* Whether all that v changes can be copied: each range of keys that gets another home has enough
 * homes now that are up, without `gone` (zero: nobody); if not, says which, for people. */
bool can_copy(const struct chord *c, const struct roster *v, const struct peal_id *gone,
              char why[static WIRE_TEXT_MAX]);

/* remove.c */
void on_remove(struct chord *c, const struct source *src, const struct wire_n_remove *m);
void on_removed(struct chord *c, const struct source *src, const struct wire_n_removed *m);
void remove_timer(struct chord *c);
void downs_load(struct chord *c);
/* Why id cannot be taken out now, for people; 0: it can. */
int remove_check(struct chord *c, const struct peal_id *id, char why[static WIRE_TEXT_MAX]);
void remove_propose(struct chord *c, const struct peal_id *id);

/* unite.c */
/* r: the decided roster of a ring that this node is not in. */
void unite_met(struct chord *c, const struct roster *r);
/* p says that it belongs to another ring. */
void unite_heard(struct chord *c, const struct peer *p);
void on_other(struct chord *c, const struct source *src, const struct wire_n_other *m);
void unite_timer(struct chord *c);
/* When it wants to be called before the next tick; UINT64_MAX: it does not. */
uint64_t unite_deadline(const struct chord *c);

/* former.c */
struct former *former_of(struct chord *c, const struct peal_id *ring);
void former_load(struct chord *c);
/* Keeps r as that of a ring that has ended. ready: this node was in it, with complete copies. */
void former_add(struct chord *c, const struct roster *r, bool ready);
/* Of which ring this node's registers are: on its disk apart from the roster, which may not be
 * readable, while they are that ring's all the same. */
void of_load(struct chord *c);
void of_save(struct chord *c);
/* There is no roster that could be read. If there was one, what it has promised is lost; and if
 * nothing says which ring that was, its registers are set aside before it enters any. */
void of_lost(struct chord *c);
void former_tell(struct chord *c, const struct former *f, const struct peal_id *to);
/* Sets registers of the ring c->of aside, MOVE_BATCH at most; how many, or an error. */
int former_set_aside(struct chord *c);
void on_former(struct chord *c, const struct source *src, const struct wire_n_former *m);
void on_former_is(struct chord *c, const struct source *src, const struct wire_n_former_is *m);
void take_timer(struct chord *c);
/* What is under way comes to nothing, and is begun again later: another ring may have more of it.
 */
void take_stop(struct chord *c);
/* Something is left that this node has not found impossible to take in now. */
bool take_pending(const struct chord *c);
/* Somebody who is linked says so of itself, or it is so of this node: a register that is empty here
 * may be one that is on its way. */
bool take_expected(const struct chord *c);
/* When it wants to be called before the next tick; UINT64_MAX: it does not. */
uint64_t take_deadline(const struct chord *c);
int take_change(struct chord *c, uint64_t op, struct peal_bytes old, struct peal_bytes *value);
void take_done(struct chord *c, uint64_t op, int err, struct peal_bytes value);

/* copy.c */
void copy_begin(struct chord *c);
void copy_timer(struct chord *c);
void on_copy(struct chord *c, const struct source *src, const struct wire_n_copy *m);
void on_copy_page(struct chord *c, const struct source *src, const struct wire_n_copy_page *m);

/* acceptor.c */
struct reg_state {
    struct wire_ballot promised, accepted;
    struct peal_bytes value; /* in the scratch arena */
};
int reg_load(struct chord *c, const struct peal_id *key, struct reg_state *out);
/* What it had promised there is not known: nor is, then, what it has promised anywhere. */
void reg_damaged(struct chord *c, const struct peal_id *key);
/* Whether a peer's ballot for a register is of one of those epochs; if not, its link is closed. */
bool reg_ballot_sound(struct chord *c, const struct source *src, const struct wire_ballot *b,
                      uint64_t epoch);
/* The same of all copies that it gives, which are of this node's epoch or older. */
bool reg_copies_sound(struct chord *c, const struct source *src, const struct wire_record_list *v);
/* r: of a sound list. */
void reg_merge(struct chord *c, const struct wire_record *r);
int reg_decode(struct peal_bytes stored, struct reg_state *out);
void on_reg_prepare(struct chord *c, const struct source *src, const struct wire_n_reg_prepare *m);
void on_reg_accept(struct chord *c, const struct source *src, const struct wire_n_reg_accept *m);

/* cache.c */
struct bounds { /* as chord_init was given them, the defaults filled in */
    uint32_t puts, regs, reads, blocks, cached, cached_blocks;
};
size_t cache_size(const struct bounds *b);
void cache_init(struct cache *k, void *mem, const struct bounds *b, struct rng *g);
/* NULL: nothing is known, or not in this epoch. Valid until the next call of this file. */
struct cached *cache_find(struct chord *c, const struct peal_id *key);
/* What cache_find gave. */
struct peal_bytes cache_value(struct chord *c, const struct cached *e);
void cache_drop(struct chord *c, const struct peal_id *key);
/* next: promised to this node by a majority in that epoch of the present ring, and never used; when
 * they promised it, what they had accepted last was value, by `accepted`. Keeps nothing of another
 * epoch than the present one. */
void cache_put(struct chord *c, uint64_t epoch, const struct peal_id *key,
               const struct wire_ballot *next, const struct wire_ballot *accepted,
               struct peal_bytes value);

/* register.c */
/* A ballot of this epoch was met: this node's next one outdoes it. */
void reg_met(struct chord *c, const struct wire_ballot *b);
/* As chord_reg_change, for former.c: take_change, take_done. op: a take's, or REG_SETTLE. */
int reg_begin_take(struct chord *c, uint64_t op, const struct peal_id *key, uint64_t timeout_us);
void on_reg_promise(struct chord *c, const struct source *src, const struct wire_n_reg_promise *m);
void on_reg_accepted(struct chord *c, const struct source *src,
                     const struct wire_n_reg_accepted *m);
void regs_timer(struct chord *c);
void regs_lost(struct chord *c, const struct peal_id *peer);
void ops_wake(struct chord *c, uint64_t at_us);
/* Whether the update has room for another operation's messages, however large. What has none goes
 * on a moment later. */
bool ops_room(struct chord *c);

/* rows.c */
void row_key(const struct peal_id *box, const struct peal_msg_id *id,
             uint8_t out[static ROW_KEY_BYTES]);
int row_decode(struct peal_bytes stored, struct wire_s_row *out);
void row_store(struct chord *c, const struct wire_row *row, const struct peal_id *hint, bool lazy);
void row_delete(struct chord *c, const struct peal_id *box, const struct peal_msg_id *id);
/* The row, in the scratch arena. */
int row_load(struct chord *c, const struct peal_id *box, const struct peal_msg_id *id,
             struct wire_s_row *out);
/* Its time is over: it is shown to nobody any more. */
bool row_over(const struct chord *c, const struct wire_row *row);
/* It may be dropped: its time is over by every clock that is not further off than is tolerated. */
bool row_due(const struct chord *c, const struct wire_row *row);
size_t row_bytes(const struct wire_row *row);
void on_set_put(struct chord *c, const struct source *src, const struct wire_n_set_put *m);
void on_set_del(struct chord *c, const struct source *src, const struct wire_n_set_del *m);
void on_set_list(struct chord *c, const struct source *src, const struct wire_n_set_list *m);
void on_set_get(struct chord *c, const struct source *src, const struct wire_n_set_get *m);

/* marks.c */
/* The id before which nothing waits in the box; zeros: not known. */
struct peal_msg_id mark_of(struct chord *c, const struct peal_id *box);
/* A row, not a tombstone, is being written. */
void mark_stored(struct chord *c, const struct wire_row *row);
/* A list from the beginning, or from the mark, met tombstones only before `first`. */
void mark_listed(struct chord *c, const struct peal_id *box, const struct peal_msg_id *first);
void marks_forget(struct chord *c);

/* boxes.c */
/* Whether the row's box has room for it, or holds it already. */
bool box_takes(struct chord *c, const struct wire_row *row);
/* Before the row is written. is_new: it is known not to be here. */
void box_added(struct chord *c, const struct wire_row *row, bool is_new);
/* Before whatever is there under this id goes. */
void box_deleting(struct chord *c, const struct peal_id *box, const struct peal_msg_id *id);
/* The sweep's: each row or tombstone that it meets, in their order; and its end. */
void box_met(struct chord *c, const struct wire_row *row);
void box_met_all(struct chord *c);

/* put.c */
size_t pool_size(uint32_t blocks);
void pool_init(struct pool *p, void *mem, uint32_t blocks);
/* False when there is no room. *first: of its blocks. */
bool pool_keep(struct pool *p, struct peal_bytes b, uint32_t *first);
void pool_drop(struct pool *p, uint32_t first);
void pool_copy(const struct pool *p, uint32_t first, size_t n, uint8_t *out);
void on_set_ok(struct chord *c, const struct source *src, const struct wire_n_set_ok *m);
void puts_timer(struct chord *c);
void puts_lost(struct chord *c, const struct peal_id *peer);
/* As chord_set_put with push, for expire.c: expire_done. */
PEAL_MUST int put_begin_own(struct chord *c, uint64_t token, const struct wire_row *row,
                            uint64_t timeout_us);

/* read.c */
void on_set_page(struct chord *c, const struct source *src, const struct wire_n_set_page *m);
void reads_timer(struct chord *c);
void reads_lost(struct chord *c, const struct peal_id *peer);

/* cells.c */
/* Something under key was written, or is being written in this update. */
void mark_dirty(struct chord *c, const struct peal_id *key);
/* The arcs are new; those that were among the old ones keep what is known of them. */
void cells_assign(struct chord *c, const struct arc *old, size_t old_n);
uint32_t cell_of(const struct arc *a, const struct peal_id *key);
/* The keys of parts [first, end) at depth bits, at most the arc's length; false when they lie
 * beyond its end. */
bool parts_range(const struct arc *a, uint8_t bits, uint32_t first, uint32_t end,
                 struct range *out);
/* Of a part at depth bits, at most the arc's. */
struct sum part_sum(const struct chord *c, const struct arc *a, uint8_t bits, uint32_t part);
/* Whether the cells [first, end) of the arc are known as of the cut; if not, some are now being
 * read. With the time for it, reads the next few records. */
bool cells_known(struct chord *c, size_t arc, uint32_t first, uint32_t end, uint32_t cut);
/* The keys of a part of ]behind, last]: [lo, hi), no end if no_end. False when there is no such
 * part; there are two, 0 and 1. */
bool range_part(const struct peal_id *behind, const struct peal_id *last, uint8_t part,
                struct peal_id *lo, struct peal_id *hi, bool *no_end);
/* To the next part, or space; false when there is none. */
bool place_next(struct place *at);
/* As of when rows can be compared now. */
uint32_t settle_cut(struct chord *c);

/* Goes through a range from a place on. */
struct walk {
    struct chord *c;
    struct place *at;
    uint32_t cut;
    bool stopped;
    size_t left, seen;
    uint64_t expires; /* of the item at hand; 0: never */
    /* What counts; returns whether to go on. */
    bool (*each)(struct walk *w, struct wire_item item);
    void (*young)(struct walk *w, struct peal_bytes key); /* NULL: whatever is later than the cut */
    void *ctx;
};
/* Over at most w->left records. True when the range's end was reached. */
bool walk_range(struct walk *w, const struct range *r);

/* inventory.c */
void on_arc_items(struct chord *c, const struct source *src, const struct wire_n_arc_items *m);
/* SAY_ITEMS, SAY_ALL. */
void say_items(struct chord *c, const struct say *s);
void say_all(struct chord *c, const struct say *s);

/* repair.c */
/* Copies may be missing: rounds begin at once. */
void repair_soon(struct chord *c);
/* Likewise, and it is this node that may lack something. */
void repair_self(struct chord *c);
/* Since a member went down last, all that this node is to compare was found the same. */
bool repair_alike(const struct chord *c);
/* A member went down. */
void repair_doubt(struct chord *c);
void repair_timer(struct chord *c);
/* When it wants to be called before the next tick; UINT64_MAX: it does not. */
uint64_t repair_deadline(const struct chord *c);
bool repairs(const struct chord *c);
/* Counts what the update's effects from `from` on send against the bandwidth. */
void repair_spent(struct chord *c, size_t from);
/* Whether there is bandwidth for anything; for what does not wait long, when others do. */
bool repair_may_send(struct chord *c);
bool repair_may_hand_over(struct chord *c);
/* Likewise for what others copy from here, which is counted apart. */
bool repair_may_copy(struct chord *c);
void repair_copied(struct chord *c, size_t from);
bool repair_send(struct chord *c, const struct peal_id *to, uint16_t type, void *msg);
struct arc *arc_of(struct chord *c, const struct peal_id *from, const struct peal_id *upto);
/* Something of the arc differs from peer's. */
void repair_found(struct chord *c, struct arc *a, const struct peal_id *peer);
void say_later(struct chord *c, const struct say *s);
/* Whether there is room for giving so many records. */
bool give_room(const struct chord *c, size_t n);
void give_later(struct chord *c, const struct peal_id *to, const struct wire_item *v, size_t n);
void on_arc_digest(struct chord *c, const struct source *src, const struct wire_n_arc_digest *m);
void on_pull(struct chord *c, const struct source *src, const struct wire_n_pull *m);
void on_records(struct chord *c, const struct source *src, const struct wire_n_records *m);

/* A page of registers and rows being gathered, bounded in number and bytes; what it shows lies in
 * the scratch arena. */
struct batch {
    struct wire_record records[WIRE_PAGE_ROWS];
    struct wire_row rows[WIRE_PAGE_ROWS];
    size_t records_n, rows_n, bytes;
};
/* False when it is full. value: as stored. */
bool batch_add(struct chord *c, struct batch *b, enum step_space space, struct peal_bytes key,
               struct peal_bytes value);
void batch_apply(struct chord *c, const struct wire_record_list *records,
                 const struct wire_row_list *rows);

/* sweep.c */
void sweep_soon(struct chord *c);
/* A record was stored that belongs elsewhere. */
void sweep_stray(struct chord *c);
void sweep_timer(struct chord *c);
void sweep_ok(struct chord *c, const struct source *src, const struct wire_n_set_ok *m);

/* expire.c */
enum expire_answer { EXPIRE_DROP, EXPIRE_KEEP, EXPIRE_WAIT };
/* What the sweep does with a row that may be dropped: that; pass it by; or stop at it for now. */
enum expire_answer expire_take(struct chord *c, const struct wire_row *row);
/* Tells the authors of those that were taken. */
void expire_begin(struct chord *c);
void expire_done(struct chord *c, uint64_t token, int err);
/* A pass of the sweep is over. */
void expire_pass(struct chord *c);

/* view.c */
void my_state(const struct chord *c, struct wire_node_state *out);
/* The live members with this node among them, sorted; returns how many. */
size_t live_members(const struct chord *c, struct peal_id out[static WIRE_ROSTER_MAX]);

#endif
