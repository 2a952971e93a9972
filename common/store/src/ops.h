/* ops: the table of functions that a back end fills in, and what both back ends have in common.
 * Internal to the store. */
#ifndef STORE_OPS_H
#define STORE_OPS_H

#include <stdatomic.h>

#include "merge.h"

struct store_ops {
    /* Writes what is pending, frees s; the result is store_close's. */
    int (*close)(struct store *s);
    /* Takes the unit, whose writes are well-formed, or leaves it untouched with an error. */
    int (*submit)(struct store *s, struct unit *u);
    void (*flush)(struct store *s);
    void (*health_text)(struct store *s, char text[static STORE_TEXT_MAX]);
    int (*get)(struct store *s, enum store_space space, struct peal_bytes key, struct arena *a,
               struct peal_bytes *value);
    int (*scan)(struct store *s, struct scan *scan);
    void (*stats)(struct store *s, struct store_stats *out);
    void (*set_quota)(struct store *s, uint64_t bytes);
};

/* The head of every back end's own struct. */
struct store {
    const struct store_ops *ops;
    struct store_config config;
    uint64_t dice;       /* heights in the tables */
    struct queue now;    /* what waits */
    struct queue flight; /* what is being written; always empty in memory */
    uint64_t last;       /* newest ticket */
    struct store_stats stats;
    _Atomic uint64_t durable;
    _Atomic int health;
    bool inside; /* in a scan's callback */
    char text[STORE_TEXT_MAX];
    uint8_t corrupt_key[STORE_KEY_MAX];
    size_t corrupt_size;
};

void store_init(struct store *s, const struct store_ops *ops, const struct store_config *config,
                bool keep_older);
/* Frees the queues' entries. */
void store_fini(struct store *s);

/* The common part of submit: takes the unit into s->now, or PEAL_E_BUSY, PEAL_E_TOO_LONG. The
 * caller holds the lock, if there is one. */
PEAL_MUST int store_take(struct store *s, struct unit *u);
/* Brings store_durable up to date; true when it moved. Under the same lock. */
bool store_advance(struct store *s);

/* Says why the call fails, in store_error_text. */
void store_say(struct store *s, const char *format, ...) PEAL_PRINTF(2, 3);
/* Says that the row is corrupt, and remembers its key. Returns PEAL_E_CORRUPT. */
int store_say_corrupt(struct store *s, enum store_space space, struct peal_bytes key);
/* A copy of v in a: 0 or PEAL_E_FULL. */
PEAL_MUST int store_copy_out(struct store *s, struct arena *a, struct peal_bytes v,
                             struct peal_bytes *out);

extern const struct store_ops store_memory_ops;
extern const struct store_ops store_sqlite_ops;

#endif
