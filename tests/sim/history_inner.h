/* What the history's files share. */
#ifndef PEAL_SIM_HISTORY_INNER_H
#define PEAL_SIM_HISTORY_INNER_H

#include "history.h"

enum { NOT_ENDED = -1 };
#define NO_TEXT UINT32_MAX /* in place of a text's number: none */

struct text {
    char *p; /* with a NUL behind it */
    size_t n;
};

/* Every text once, by number; number 0 is the empty one, which is null. */
struct texts {
    struct text *at;
    size_t n, cap;
    uint32_t *slots; /* number + 1, 0: free */
    size_t slots_n;  /* a power of two, at most half used */
};

struct reg_call {
    enum history_op op;
    int end; /* enum history_end, or NOT_ENDED */
    uint32_t by, key, from, value;
    uint32_t told; /* NO_TEXT: nothing */
    uint64_t began_us, ended_us;
};

struct said { /* of a message */
    enum history_event event;
    uint32_t message, who, reader;
    uint64_t at_us;
    size_t seq;
};

struct history {
    struct texts *texts;
    struct reg_call *calls;
    size_t calls_n, calls_cap;
    struct said *said;
    size_t said_n, said_cap;
};

/* history.c */
uint32_t text_number(struct texts *t, struct peal_bytes b);
struct peal_bytes text_bytes(const struct texts *t, uint32_t number);
void *history_must(void *p);

/* ---- one key, as the search sees it ---- */

enum step_needs { NEEDS_NOTHING, NEEDS_IS, NEEDS_NOT, NEEDS_WHAT_CANNOT_BE };
enum step_does { DOES_NOTHING, DOES_SET, DOES_APPEND };

struct order_step {
    enum step_needs needs;
    enum step_does does;
    bool optional; /* may be left out, and then has no end */
    uint32_t what; /* NEEDS_IS, NEEDS_NOT */
    uint32_t value;
    uint64_t began_us, ended_us;
    size_t call;
};

/* Whether there is an order of the steps; sorts them by their beginnings. texts: gets new ones. */
enum history_verdict order_search(struct texts *t, struct order_step *steps, size_t n);

/* Judges the calls of one key; explains on out (may be NULL). */
enum history_verdict order_check(const struct history *h, const size_t *calls, size_t n, FILE *out,
                                 enum history_kind *kind);

/* Judges what was said of one message, ordered by time. */
enum history_kind message_check(const struct history *h, const struct said *said, size_t n,
                                FILE *out, struct history_result *r);

/* A text for people: quoted, at most so many bytes of it. */
void text_show(FILE *out, const struct texts *t, uint32_t number);

#endif
