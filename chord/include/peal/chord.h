/* chord: what stands on the overlay (peal/ring.h, of which each object has one): the roster,
 * replica groups, the two kinds of replicated data, and their repair. Sans-I/O (peal/step.h). One
 * object is one node.
 *
 * Not for: what a node does for people (peal/service.h), links, disks, discovery packets on the
 * wire (the host's).
 *
 * Follows: D. Rystsov, "CASPaxos" (2018) for registers; L. Lamport's single-decree Paxos for each
 * roster epoch, one server at a time.
 *
 * Limits of this form: WIRE_ROSTER_MAX servers in a roster, each of which holds a link to every
 * other; the overlay may be larger. */
#ifndef PEAL_CHORD_H
#define PEAL_CHORD_H

#include "peal/ring.h"
#include "peal/step.h"

struct chord;

enum {
    CHORD_REPLICAS_DEFAULT = 2, /* K; R = K + 1 copies */
    CHORD_REPLICAS_MAX = 7,
    CHORD_JOINS_MAX = 16,  /* addresses given with --join */
    CHORD_PEERS_MAX = 320, /* nodes heard of, admitted or not */
    /* operations under way that this node began */
    CHORD_PUTS_DEFAULT = 16384, /* 1000 pairs of people, 8 messages and 8 receipts each */
    CHORD_REGS_DEFAULT = 4096, /* of which 256 are asked for at one time; the others wait in line */
    CHORD_CACHED_DEFAULT = 1024, /* registers that this node wrote last, and may write again … */
    CHORD_CACHED_BYTES_DEFAULT = 2 << 20, /* … in one round trip; bytes of their values */
    CHORD_READS_DEFAULT = 1024,
    CHORD_BODIES_DEFAULT = 16 << 20, /* bytes of bodies that wait to be stored at other nodes */
    CHORD_ROW_DAYS = 30,             /* the longest that a row may live: more is refused */
    CHORD_TOMBSTONE_DAYS = 31, /* longer than what it stands for, by more than clocks are apart */
    CHORD_LABEL_MAX = 160,
    CHORD_REMOVES_MAX = 8, /* removals under way that this node was asked for */
    CHORD_REPAIR_BYTES_DEFAULT = 4 << 20,
    CHORD_REPAIR_BYTES_MAX = 1 << 30,
};

/* clang-format off */
/* A node's life.
 *
 *   DISCOVERING --a ring answers--> ASKING --in a roster--> COPYING --has its copies--> MEMBER
 *        |                             ^                       ^  |                    ^   |
 *        |                             +--taken out, distrusted---+----(or MEMBER)     |   |
 *        +--a roster on disk names this node, not yet ready----+                       |  LEAVE
 *        +--a roster on disk names this node, ready before-----------------------------+   |
 *        +--nobody answers, enough are here, lowest id of them: founds a ring----------+   v
 *                                                                                         LEFT
 *   COPYING, MEMBER --the ring goes into another--> MOVING --its registers are set aside--> ASKING
 *   MEMBER --an epoch makes it a home of more--> COPYING
 * "Has its copies": of each range of keys that it has become a home of, from so many of the range's
 * old homes that each majority of them is covered, all of which have given up the old epoch. Readiness
 * is each arc's own: while it is COPYING a node serves the arcs that it has.
 *
 * | state       | answers register and set requests  | in quorums         | says beacons           |
 * |-------------|------------------------------------|--------------------|------------------------|
 * | DISCOVERING | no                                 | no                 | yes                    |
 * | ASKING      | no                                 | no                 | yes                    |
 * | COPYING     | rows are stored; else as it has    | of arcs that it    | no                     |
 * |             | the arc: yes, or refuses BUSY      | has, or votes on   |                        |
 * | MEMBER      | yes                                | yes                | coordinator, or alone  |
 * | MOVING      | sets: yes; registers: refuses BUSY | no                 | no                     |
 * | LEFT        | no                                 | as the roster says | no                     |
 */
/* Hand-over: while servers join, leave in good order (chord_is_needed, STEP_LEAVE), are taken out
 * or move to another domain, every key is served all the time: an operation takes some round trips
 * more, whatever there is to be copied, and none fails for it. Who becomes a home copies while the
 * others, which are a majority, serve; where they would be none (a home that grows or shrinks with a
 * ring that is smaller than K + 1) it votes at once (copy.c). An epoch that would take keys out of
 * service, because one of the others is away, waits until that is back: a move of domains for as
 * long as it is away, an admission for half a minute when it left in good order. Not so:
 *
 * | when                                       | which keys wait, and for what                   |
 * |--------------------------------------------|-------------------------------------------------|
 * | K = 0                                      | those that go to another server: registers and  |
 * |                                            | reads, until it has copied them                 |
 * | so many homes are away that those left are | those keys: registers and reads (of two homes   |
 * | no majority: one of two, two of three      | one is enough to read), until enough are back   |
 * | one is away and another has not copied     | those that both are homes of: registers and     |
 * | yet: one was admitted beside one that had  | reads, until it has copied, or the other is     |
 * | died or left for long (take that out       | back                                            |
 * | first), or one died, or did not wait       |                                                 |
 * | one of two homes is renewed                | registers, until it has copied                  |
 * | a ring goes into another (MOVING)          | registers, until they are taken in              |
 *
 * A server that has just started has links to nobody: its own operations wait until it has enough,
 * and what it puts meanwhile may lie with stand-ins (chord_set_read).
 */
/* clang-format on */
enum chord_state {
    CHORD_DISCOVERING,
    CHORD_ASKING,
    CHORD_COPYING,
    CHORD_MEMBER,
    CHORD_MOVING,
    CHORD_LEFT
};

const char *chord_state_name(enum chord_state s);

/* What the layer above answers and learns. Called from within chord_step and the operations below,
 * with the update of that step; may begin further operations. All views are valid during the call
 * only. */
struct chord_app {
    void *ctx;
    /* The change function of chord_reg_change, on the value read by a quorum (old.n == 0: the
     * register is empty). Returns 1 with *value (valid until the next call into chord, at most
     * WIRE_REGISTER_MAX) to write it, 0 to leave it (the identity: then the read is still
     * linearizable), or a negative error to end the operation with it. May be called more than
     * once. */
    int (*reg_change)(void *ctx, uint64_t token, struct peal_bytes old, struct peal_bytes *value);
    /* The end of a register operation: err 0 and the value that is decided now; the change
     * function's error; PEAL_E_UNKNOWN (the change may or may not have happened, or may happen
     * yet); PEAL_E_UNAVAILABLE (no quorum was reached, and in no try was a value of the change
     * function's sent to anyone: it has not happened and will not). */
    void (*reg_done)(void *ctx, struct step_update *u, uint64_t token, int err,
                     struct peal_bytes value);
    /* Two rings have become one, and both had something in the register key: `kept` stands. Whether
     * `other` is an older form of the same thing; if not, a trace says that it is set aside, and it
     * stays on this node's disk. name (at most CHORD_LABEL_MAX characters and a NUL; empty at
     * first): what to call it there. */
    bool (*reg_same)(void *ctx, struct peal_bytes kept, struct peal_bytes other,
                     char name[static CHORD_LABEL_MAX + 1]);
    /* The end of chord_set_put: 0 once W copies are durable; PEAL_E_UNKNOWN, PEAL_E_UNAVAILABLE,
     * PEAL_E_NO_SPACE; PEAL_E_QUOTA: so many homes say that the box is full that W copies cannot be
     * had (fewer may have been written, and stay). */
    void (*set_done)(void *ctx, struct step_update *u, uint64_t token, int err);
    /* A page of chord_set_read, oldest first; last: no more calls for this token. err < 0: the read
     * is over (and last is true); PEAL_E_UNAVAILABLE when fewer homes answered than make it
     * complete (what they had was given before). Returns whether to go on: false ends the read, and
     * nothing more is told of it (no matter when last). */
    bool (*set_rows)(void *ctx, struct step_update *u, uint64_t token, int err,
                     const struct wire_row *rows, size_t n, bool last);
    /* At a home of row->box: the row is being written in this update. push: this home is the one to
     * push it. */
    void (*row_stored)(void *ctx, struct step_update *u, const struct wire_row *row, bool push);
    /* A message row that this node holds has expired; its body is not given. Fills in the row that
     * tells its author, of another kind than a message, which is then put (and pushed) as by
     * chord_set_put before the expired one is dropped; views valid until the next call of the app.
     * A function of the row alone, so that every node that holds it makes the same one. Returns
     * false when nobody is to be told. NULL: nobody ever is. */
    bool (*row_expired)(void *ctx, const struct wire_row *row, struct wire_row *word);
    /* A node message of type >= WIRE_FIRST_SERVICE from an admitted, live member (or from this node
     * itself). msg: the decoded struct. */
    void (*message)(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                    const void *msg);
    /* The end of chord_find, as ring_app's. */
    void (*found)(void *ctx, struct step_update *u, uint64_t token, int err,
                  const struct ring_found *f);
    /* The end of chord_remove: err 0 once this node's own roster no longer names the server; an
     * error with text, prose for people that says why. NULL: chord_remove is not used. */
    void (*removed)(void *ctx, struct step_update *u, uint64_t token, int err,
                    struct peal_bytes text);
    /* The set of live members, the roster, or this node's own state changed (the new view is
     * chord_ring's). */
    void (*changed)(void *ctx, struct step_update *u);
};

struct chord_config {
    struct peal_id self;
    struct wire_contact contact; /* this node's, signed; the views must outlive chord_init only */
    struct peal_bytes joins[CHORD_JOINS_MAX];
    size_t joins_n;
    bool discovery; /* beacons can be heard: wait for some before founding a ring */
    /* How many nodes must be present, this one included, before one of them (that with the lowest
     * id) founds a ring, at most WIRE_ROSTER_MAX; a ring that is there already is joined at once. 0
     * or 1: whoever is present. */
    uint8_t expect;
    uint8_t replicas; /* K, used when this node founds the ring; else the ring's own counts */
    /* The failure domain that this node is in (a rack, a house, a site): copies of one key are kept
     * in as many of them as there are, before a second one in any. A name as chord_is_domain has
     * it, or empty: one of its own. Views must outlive chord_init only. A node that comes back with
     * another one is moved to it by an epoch of its own. */
    struct peal_bytes domain;
    /* The coordinator takes out a member that has been down for so long, as chord_remove would,
     * when nothing can be lost by it: besides, all that it is a home of was compared by its other
     * homes since it went down. It counts by the wall clock, and through restarts. 0: never. */
    uint64_t auto_remove_us;
    /* Bounds of the operations under way that this node began, each at most SLAB_MAX, and of the
     * bytes of bodies kept for puts of which this node is not a home (at least WIRE_BODY_MAX; a
     * body takes whole KiB). 0: CHORD_*_DEFAULT. Of these chord_init touches only the indices. */
    uint32_t puts_max, regs_max, reads_max;
    uint32_t bodies_max;
    /* Bounds of what is remembered of registers: how many, at most SLAB_MAX, and bytes, at least
     * WIRE_REGISTER_MAX, a value taking whole KiB. What was used longest ago is forgotten first. 0:
     * CHORD_CACHED_*DEFAULT. */
    uint32_t cached_max, cached_bytes;
    /* Bytes a second that this node sends for repair: digests and lists of what it holds, and the
     * records that other homes lack or that belong elsewhere. It saves up for a quarter of a
     * second, or for 256 KiB when that is more. What new servers copy comes on top, up to eight
     * times as much. At most CHORD_REPAIR_BYTES_MAX; 0: the default. */
    uint32_t repair_bytes;
    /* A box that holds so many message rows, or bytes of their bodies, takes no further message at
     * this node (receipts and other rows always, and copies from other nodes as well: of a message
     * that is refused as a whole some copy may be left, which repair then spreads). 0: no limit. An
     * empty box takes any row. A node that stands in for a home counts what it holds itself, so
     * that a box may come to twice its limit while a home is down.
     * Counted in memory: exact to within one part in eight of the limit, and but for what was put
     * between two passes of the sweep into boxes beyond the 2048 that are kept count of, and for
     * what had been there before a restart, until the first pass after it is over. */
    uint64_t box_rows_max, box_bytes_max;
    uint64_t seed;
    struct chord_app app;
};

/* Of 1 to WIRE_DOMAIN_MAX bytes of a-z, 0-9, '.', '_' and '-'. */
bool chord_is_domain(struct peal_bytes name);
size_t chord_size(const struct chord_config *cfg);
/* mem: chord_size(cfg) bytes, 16-byte aligned, the caller's for as long as the object is used. */
PEAL_MUST int chord_init(void *mem, const struct chord_config *cfg, struct chord **out);

/* Feeds one event. Client links' events are not for this core. Appends effects to u. */
void chord_step(struct chord *c, const struct step_event *ev, struct step_update *u);
/* When the next TIMER event is due, in the events' monotonic microseconds; UINT64_MAX: not at all.
 */
uint64_t chord_deadline(const struct chord *c);

/* ---- operations: ev is the event in whose step they are called ---- */

/* Reads the register key at a quorum, applies app.reg_change, writes what it returns at a quorum;
 * ends with app.reg_done, within timeout_us. Linearizable. Those for one key go one after the other
 * in the order in which they came, and those of all keys wait for room to ask in; what is undone at
 * its deadline ends. PEAL_E_BUSY when regs_max of these are under way. Contention with other
 * servers backs off at random, and all that fails is tried again until the deadline.
 *
 * Two round trips; one, when this node was the last to change the register (and remembers it), or
 * the change function leaves what a majority holds alike. app.reg_change may be called before this
 * returns. */
PEAL_MUST int chord_reg_change(struct chord *c, const struct step_event *ev, struct step_update *u,
                               uint64_t token, const struct peal_id *key, uint64_t timeout_us);
/* The same without a change, and without calling app.reg_change. One round trip when a majority
 * holds the same, which promises nothing: whoever changes the register meanwhile does not notice.
 */
PEAL_MUST int chord_reg_read(struct chord *c, const struct step_event *ev, struct step_update *u,
                             uint64_t token, const struct peal_id *key, uint64_t timeout_us);
/* Since chord_init. */
struct chord_reg_stats {
    uint64_t ended, ok;
    uint64_t looks, prepares, accepts; /* rounds that were begun, each a message to every home */
    uint64_t kept;                     /* of the accepts, those that needed no other round first */
    uint64_t again;                    /* tries that came to nothing and were not the last */
    uint32_t tries_most, trips_most;   /* of one operation; a trip is a round */
};
void chord_reg_stats(const struct chord *c, struct chord_reg_stats *out);
/* Expiry: a row is not shown any more by a home whose clock says that row->expires is over, and is
 * dropped an hour (CLK_MAX_AHEAD_MS) later: homes whose clocks are apart by less than that never
 * show what another has dropped, or has told its author about. An acknowledgement that comes before
 * a home drops the row counts there; one that comes later finds nothing.
 *
 * Writes row to home(row->box), stand-ins taking the place of homes that are down; ends with
 * app.set_done. Idempotent by (box, id). push: ask the first live home to push the row
 * (app.row_stored there). PEAL_E_BUSY when puts_max of these are under way, or the bodies kept for
 * them leave no room for this one. */
PEAL_MUST int chord_set_put(struct chord *c, const struct step_event *ev, struct step_update *u,
                            uint64_t token, const struct wire_row *row, bool push,
                            uint64_t timeout_us);
/* Deletes rows at all live homes, leaving tombstones (none when the ring keeps one copy). Nothing
 * comes back: what a home missed, repair brings. n <= WIRE_ACK_MAX. */
void chord_set_del(struct chord *c, const struct step_event *ev, struct step_update *u,
                   const struct peal_id *box, const struct peal_msg_id *ids, size_t n);
/* Reads the union of box's rows over its live homes, with id > after (NULL: all), in pages;
 * app.set_rows. When fewer homes answer than make it complete, it is tried again for a second (or
 * half of timeout_us) before that is told. PEAL_E_BUSY when reads_max of these are under way. Only
 * what is about to be given out is read from the disks: a mailbox of any size that is read by many
 * reads, each ended by app.set_rows and continued by the next one's `after`, costs each home a few
 * row reads per row. Complete as far as homes know: what a stand-in still holds for a home that has
 * just come back is handed over within seconds, and told by app.row_stored at the homes then. */
PEAL_MUST int chord_set_read(struct chord *c, const struct step_event *ev, struct step_update *u,
                             uint64_t token, const struct peal_id *box,
                             const struct peal_msg_id *after, uint64_t timeout_us);
/* clang-format off */
/* Takes the server id out of the roster, for good: a new epoch has one server fewer. Its disk is
 * not touched; should it come back it learns that it was removed, and asks for admission as a new
 * one. Any member may be asked; ends with app.removed within timeout_us:
 *
 * | err         | why                                                                           |
 * |-------------|-------------------------------------------------------------------------------|
 * | 0           | it is removed, and this node has adopted the epoch                             |
 * | NOT_FOUND   | it is not a member                                                             |
 * | REFUSED     | it is up (stop it first); it is the last one; without it something could be    |
 * |             | lost: too few of the other copies of some range are at servers that are up     |
 * | BUSY        | some server still copies what the last change gave it (tried until timeout_us) |
 * | UNAVAILABLE | no coordinator, or no majority, can be reached; or this node is in no ring     |
 * | UNKNOWN     | it may be removed, or may be yet                                               |
 *
 * PEAL_E_BUSY (returned) when CHORD_REMOVES_MAX of these are under way. */
/* clang-format on */
PEAL_MUST int chord_remove(struct chord *c, const struct step_event *ev, struct step_update *u,
                           uint64_t token, const struct peal_id *id, uint64_t timeout_us);
/* What this node has promised as a voter can no longer be relied on: a backup was restored, a
 * damaged database file salvaged. The core says so itself when it meets a damaged register or a
 * roster that cannot be read. From this call on it votes on nothing, which outlasts a restart;
 * within a tick it leaves the roster and asks the ring to be renewed: an epoch with the same
 * members, in which it has to copy all its arcs before it votes. Rows and registers stay where they
 * are, and go on as copies. A ring of one just says it. why: prose, for the trace. */
void chord_distrust(struct chord *c, const struct step_event *ev, struct step_update *u,
                    struct peal_bytes why);
/* Whether some keys would be without service if this node went now, and will not be when another
 * server has copied what it became a home of: who is to leave in good order (STEP_LEAVE) waits for
 * that, if it can. */
bool chord_is_needed(const struct chord *c);
/* Sends a service message to a member, or to this node itself (then through STEP_SELF). The `to`
 * and `stamp` fields are filled in here. PEAL_E_UNAVAILABLE when no link to it is up. msg: the
 * struct wire_NAME of type, not const for that reason. */
PEAL_MUST int chord_send(struct chord *c, struct step_update *u, const struct peal_id *to,
                         uint16_t type, void *msg, bool eager);

/* Finds the first live node at or after the key, by the overlay's ring (peal/ring.h's ring_find);
 * ends with app.found. */
PEAL_MUST int chord_find(struct chord *c, const struct step_event *ev, struct step_update *u,
                         uint64_t token, const struct peal_id *key, uint64_t timeout_us);

/* ---- views ---- */

enum chord_state chord_state(const struct chord *c);
/* The homes of key, nearest first; returns how many (<= CHORD_REPLICAS_MAX + 1; 0 without a
 * roster). */
size_t chord_home(const struct chord *c, const struct peal_id *key,
                  struct peal_id out[static CHORD_REPLICAS_MAX + 1]);
bool chord_is_home(const struct chord *c, const struct peal_id *key);
/* The arc (*after, *upto] of keys whose nearest live home this node is: upto is itself, after the
 * member before it that is up, or itself when no other is. False: it is not a member. */
bool chord_arc(const struct chord *c, struct peal_id *after, struct peal_id *upto);
bool chord_is_up(const struct chord *c, const struct peal_id *node);
uint64_t chord_stamp(struct chord *c, const struct step_event *ev);
/* The ring as this node sees it; strings and lists in a. `whole`: the live members' own reports
 * agree: each one's successor and predecessor are its neighbours in the sorted list of live
 * members, and all are ready in one epoch. */
void chord_ring(const struct chord *c, struct arena *a, struct wire_c_ring *out);
/* The overlay's node, to look at. */
const struct ring *chord_overlay(const struct chord *c);
/* Addresses of the live members, this node's first: one of each, then their others, as far as the
 * list goes. */
void chord_servers(const struct chord *c, struct arena *a, struct wire_server_list *out);
/* What the service reports of this node in pings. */
void chord_set_load(struct chord *c, uint32_t clients);

#endif
