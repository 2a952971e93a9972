/* records: a simulated ring whose replicated records are changed while everything goes wrong, and
 * what is judged at the end. For tests of what chord promises of registers and sets:
 *
 * - every register's history is linearizable, and every acknowledged row is read once (history.h);
 * - at rest every record lies on all its homes, alike, and nowhere else;
 * - what was deleted stays deleted, and nothing changes by itself.
 *
 * Not for: what people do (the service), rings founded apart (chord/tests/test_unite.c). */
#ifndef PEAL_SIM_RECORDS_H
#define PEAL_SIM_RECORDS_H

#include "group.h"
#include "history.h"

enum {
    RECORDS_NAMES = 10,
    RECORDS_LISTS = 3,
    RECORDS_BOXES = 4,
    RECORDS_OP_US = 3 * 1000 * 1000,
    RECORDS_FORM_US = 20 * 1000 * 1000,
    RECORDS_HEAL_US = 120 * 1000 * 1000,
    RECORDS_SETTLE_US = 90 * 1000 * 1000,
    RECORDS_WHY_MAX = 16 * 1024,
    RECORDS_NODES_MAX = 16,
};

/* Which faults there are; a set of bits. */
enum records_fault {
    RECORDS_CRASH = 1 << 0, /* also in the middle of an update, of one or of all */
    RECORDS_LEAVE = 1 << 1,
    RECORDS_PAUSE = 1 << 2,
    RECORDS_BREAK = 1 << 3, /* links */
    RECORDS_CUT = 1 << 4,   /* a pair, or what one says to another: held back, or lost */
    RECORDS_PART = 1 << 5,  /* two sides; several; a bridge; each sees only its neighbours; pairs
                               at random */
    RECORDS_CLOCK = 1 << 6, /* skew and drift */
    RECORDS_DISK = 1 << 7,  /* full, found out at once or by the next write */
    RECORDS_JOIN = 1 << 8,  /* servers that were never there come one after the other */
    RECORDS_ALL = (1 << 9) - 1
};

struct records {
    struct group *group;
    uint64_t seed;
    uint8_t copies;               /* R */
    bool gone[RECORDS_NODES_MAX]; /* for good: never started again */
    bool begun[RECORDS_NODES_MAX];
    bool out[RECORDS_NODES_MAX]; /* gone, and taken out of the ring */
    struct history *history;
    size_t recorded;              /* operations of the group that are in it */
    size_t call[GROUP_OPS_MAX];   /* of a register's operation: its number there */
    bool done[GROUP_OPS_MAX];     /* its end is in it as well */
    bool sure[GROUP_OPS_MAX];     /* of a row: it was deleted at rest */
    size_t shown[RECORDS_BOXES];  /* the reads of the last records_judge */
    struct history_result result; /* of it */
    char why[RECORDS_WHY_MAX];    /* what is wrong, for people */
};

/* servers of cfg.nodes are started at first; the others may join: by the first one's address, or
 * (by beacons, and no partition) whoever is there. What each seed means is decided here: latencies,
 * beacons, which is who. Freed with records_free. */
enum records_joining { RECORDS_AT_THE_FIRST, RECORDS_BY_BEACONS };
struct records *records_new(uint64_t seed, size_t nodes, size_t servers, uint8_t replicas,
                            enum records_joining joining, bool verbose);
void records_free(struct records *t);

/* Some operation at a running server, or at all of them at once. change: else only reads of boxes.
 */
void records_op(struct records *t, bool change);
/* Operations and faults for so long; then all faults end and everyone who is not gone is started.
 */
void records_trouble(struct records *t, uint64_t us, unsigned faults, bool change);
/* Waits until the ring is whole, and then until nothing is left to be repaired. False: it does not
 * become whole, and why says so. */
bool records_rest(struct records *t);
/* Deletes some rows that were acknowledged, from anywhere; they are gone after a rest. At rest, or
 * when some servers are down and the others hear each other. */
void records_delete_some(struct records *t, size_t n);
/* So many servers, not the first, lose power and disk, and never come back. */
void records_lose(struct records *t, size_t n);
/* That one, which runs. */
void records_lose_one(struct records *t, size_t node);
/* Takes one that is gone out of the ring; false: it cannot be, and why says so. */
bool records_remove(struct records *t, size_t node);
/* A server that was never there comes; false: none is left. */
bool records_join(struct records *t);

/* ---- what must be so at rest; false: why says what is wrong ---- */

/* Every record that anyone has is on all its homes, alike, and nowhere else; every row that was
 * acknowledged and not deleted is among them; what records_delete_some deleted is not. */
bool records_in_place(struct records *t);
/* Reads every register and every box at some running server, and judges the history so far. */
bool records_judge(struct records *t);
/* Reads every box: exactly the rows of the last records_judge but those deleted since. */
bool records_same(struct records *t);
/* After some were lost: every box gives what it had in the last records_judge, also where too few
 * homes are left to say that this is all; registers can be read, or cannot, and are what they were.
 */
bool records_survive(struct records *t);

#endif
