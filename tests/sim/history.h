/* history: what clients of a replicated store did and were told, with times, and the oracle that
 * says whether the store may have behaved so. For the simulator, which records histories as it
 * goes, and for tests with real processes, which write them to files that peal-check reads.
 *
 * Registers must be linearizable (Herlihy and Wing, "Linearizability", TOPLAS 1990): there is one
 * order of all operations, in which each one that had ended before another began comes before it,
 * and each one saw what the last change before it had left. Keys are judged one by one: by Herlihy
 * and Wing's locality theorem all are right together if each one is. Messages must be stored before
 * they count, shown exactly once, and not be heard of again.
 *
 * The search is Wing and Gong's ("Testing and verifying concurrent objects", JPDC 1993), which
 * remembers the configurations it has been in (Lowe, "Testing for linearizability", CCPE 2017).
 * Where every value is written once and every change names what it replaced (compare and swap, or
 * an append that tells the outcome), at most one change fits each state, and the search is
 * polynomial; so no second algorithm for that case (Gibbons and Korach, "Testing shared memories",
 * SIAM J. Comput. 1997) is needed beside it. In general the problem is NP-complete: what needs more
 * than HISTORY_MEMORY_MAX is UNDECIDED, which no test may take for good.
 *
 * Not for: order between keys, order between messages.
 *
 * Times are of one monotonic clock, in microseconds: all clients of one history are on one machine.
 *
 * ---- the file's form ----
 *
 * One JSON object per line (UTF-8, at most HISTORY_LINE_MAX bytes), in any order; an unknown field
 * or event is an error. What happened to a register:
 *
 *   {"at_us":10,"id":"c1-1","event":"invoke","key":"name/al","op":"cas","from":null,"value":"A"}
 *   {"at_us":25,"id":"c1-1","event":"ok"}
 *   {"at_us":30,"id":"c2-1","event":"invoke","key":"name/al","op":"read","by":"bob's telephone"}
 *   {"at_us":44,"id":"c2-1","event":"ok","value":"A"}
 *
 *   id     names the operation; unique in the file
 *   by     who did it, for the reader of an explanation; may be missing
 *   op     read     gives the value
 *          write    sets value, whatever was there
 *          cas      sets value if the register holds `from` (both may be null)
 *          append   adds the text value at the end of what is there, once; no element may occur
 *                   within another or across two ("<7>" is good)
 *   value  text, or null for "nothing was ever written"; "" is the same as null
 *   event  ok       done. value: of a read, what it gave; of an append, what is there now (may be
 *                   missing); of others none
 *          refused  a cas found something else than `from` and changed nothing. value: what it
 *                   found (may be missing)
 *          fail     certainly not done and never will be; says nothing of what is there
 *          unknown  may have been done, or may be done at any later time, or never
 *   An operation without an end (its client was killed) is unknown.
 *
 * What happened to a message ("message" is its id):
 *
 *   {"at_us":1,"event":"sent","message":"m1","from":"alice","to":"bob"}   given to be stored
 *   {"at_us":2,"event":"stored","message":"m1"}      acknowledged: from now on it may not be lost
 *   {"at_us":2,"event":"fail","message":"m1"}        certainly not stored and never will be
 *   {"at_us":2,"event":"unknown","message":"m1"}     no answer
 *   {"at_us":3,"event":"delivered","message":"m1","to":"bob"}  arrived; may happen again
 *   {"at_us":3,"event":"shown","message":"m1","to":"bob"}      the reader saw it
 *   {"at_us":4,"event":"deleted","message":"m1"}     its deletion was acknowledged
 *
 * "sent" may come again with the same id (a retry; to another reader: a message to several), and
 * opens the outcome anew after "fail". At the end of the file every message that was stored must
 * have been shown to each reader once, unless it was deleted before: a test lets readers catch up
 * before it ends. */
#ifndef PEAL_SIM_HISTORY_H
#define PEAL_SIM_HISTORY_H

#include "peal/base.h"

#include <stdio.h>

enum {
    HISTORY_OPS_MAX = 1 << 20,     /* operations of registers */
    HISTORY_EVENTS_MAX = 1 << 22,  /* of messages */
    HISTORY_LINE_MAX = 1 << 20,    /* bytes of a line of a file */
    HISTORY_TEXT_MAX = 1 << 16,    /* bytes of a key, id, name or value */
    HISTORY_MEMORY_MAX = 32 << 20, /* bytes of configurations remembered for one key */
    HISTORY_SHOWN_MAX = 40,        /* operations in one explanation */
    HISTORY_FAULTS_MAX = 10,       /* keys and messages that are explained; the rest is counted */
};

enum history_op { HISTORY_READ, HISTORY_WRITE, HISTORY_CAS, HISTORY_APPEND };

enum history_end { HISTORY_OK, HISTORY_REFUSED, HISTORY_FAIL, HISTORY_UNKNOWN };

enum history_event {
    HISTORY_SENT,
    HISTORY_STORED,
    HISTORY_NOT_STORED, /* "fail" */
    HISTORY_NO_ANSWER,  /* "unknown" */
    HISTORY_DELIVERED,
    HISTORY_SHOWN,
    HISTORY_DELETED
};

/* What is wrong; the first words of an explanation are history_kind_text. */
enum history_kind {
    HISTORY_NOTHING,
    HISTORY_NOWHERE,    /* a value was seen that nobody wrote */
    HISTORY_FORESEEN,   /* a value was seen before its writer began */
    HISTORY_TWICE_SET,  /* two changes replaced the same value (two owners of a name, a lost update)
                         */
    HISTORY_LOST,       /* an acknowledged append is missing in what it was said to be part of */
    HISTORY_ORDER,      /* no order: a stale read, or two clients that saw different orders */
    HISTORY_M_LOST,     /* stored and not shown */
    HISTORY_M_TWICE,    /* shown more than once */
    HISTORY_M_INVENTED, /* never sent, or shown before it was */
    HISTORY_M_STRAY,    /* shown to somebody it was not for */
    HISTORY_M_GHOST,    /* shown though it was said not to be stored */
    HISTORY_M_RISEN,    /* shown after its deletion was acknowledged */
    HISTORY_KINDS
};

const char *history_kind_text(enum history_kind k);

enum history_verdict { HISTORY_GOOD, HISTORY_BAD, HISTORY_UNDECIDED };

struct history_result {
    enum history_verdict verdict;
    size_t keys, ops, unknown;                  /* of registers; unknown: of the ops */
    size_t messages, stored, shown, duplicates; /* duplicates: deliveries beyond the first */
    size_t faults;                              /* keys and messages with something wrong */
    enum history_kind kind;                     /* of the first one */
};

struct history;

/* Aborts when memory is short. */
struct history *history_new(void);
void history_free(struct history *h);

/* Begins an operation; its number. Texts are copied; an empty value (n == 0) is null. from: of
 * HISTORY_CAS only. by: "" for nobody in particular. */
size_t history_invoke(struct history *h, uint64_t at_us, const char *by, struct peal_bytes key,
                      enum history_op op, struct peal_bytes from, struct peal_bytes value);
/* Ends it, at or after its beginning, once. value: NULL when nothing was told. */
void history_finish(struct history *h, size_t op, uint64_t at_us, enum history_end end,
                    const struct peal_bytes *value);
/* who: SENT: the author; reader: SENT, DELIVERED, SHOWN. Else NULL. */
void history_message(struct history *h, uint64_t at_us, enum history_event event,
                     struct peal_bytes message, const char *who, const char *reader);

/* Adds a file in the form above. On an error the history is as far as the file was good, and why
 * (HISTORY_WHY_MAX bytes) names the line: PEAL_E_MALFORMED, PEAL_E_TOO_LONG, PEAL_E_FULL,
 * PEAL_E_IO. */
enum { HISTORY_WHY_MAX = 256 };
PEAL_MUST int history_load(struct history *h, FILE *in, char why[static HISTORY_WHY_MAX]);
/* In that form, ordered by time; ids are numbers. */
void history_save(const struct history *h, FILE *out);

/* Judges all of it. What is wrong is explained on out (NULL: not): of a register the shortest
 * beginning of its history that no order explains, with the operations that matter. */
struct history_result history_check(const struct history *h, FILE *out);

#endif
