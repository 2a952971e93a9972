/* queue: the writes that wait for one transaction, at most one per key: later writes on a key
 * replace earlier ones, and a deletion cancels puts. Since a transaction takes the whole queue,
 * units stay whole whatever was merged or cancelled.
 *
 * An entry's ticket is the first submit that is done only once the entry is written:
 *
 * | queued for the key | new write     | then queued         | its ticket                 |
 * |--------------------|---------------|---------------------|----------------------------|
 * | nothing            | any           | the new one         | new                        |
 * | put                | put           | the new put         | unchanged                  |
 * | put                | put if absent | unchanged           | unchanged                  |
 * | deletion           | put           | the new put, rooted | unchanged (the deletion's) |
 * | deletion           | deletion      | unchanged           | unchanged                  |
 * | put, rooted        | deletion      | the deletion        | unchanged (the first's)    |
 * | put, fresh         | deletion      | nothing             | -                          |
 * | put otherwise      | deletion      | the deletion, lazy  | new; the put is cancelled  |
 */
#ifndef STORE_QUEUE_H
#define STORE_QUEUE_H

#include "table.h"

enum { SPACE_COUNT = STORE_SPACE_COUNT };

struct queue {
    struct table spaces[SPACE_COUNT];
    struct entry *first, *last; /* by ticket */
    size_t bytes, keys;
    bool urgent;     /* holds a write that may not wait */
    bool keep_older; /* keeps what is replaced, for a crash of the memory back end */
};

/* Entries of one submit, made before anything is touched, so that the submit cannot fail half-way;
 * linked by next. */
struct unit {
    struct entry *first, *last;
    size_t bytes;
    uint64_t ticket;   /* set when taken */
    uint64_t deadline; /* of the lazy ones */
};

void queue_init(struct queue *q, bool keep_older);
void queue_free(struct queue *q);

/* Copies the writes. PEAL_E_NO_MEMORY. */
PEAL_MUST int unit_make(uint64_t *dice, const struct store_write *w, size_t n, struct unit *u);
void unit_free(struct unit *u);

/* Moves the unit's entries into q; counts what was merged and cancelled. Cannot fail. What is being
 * written meanwhile, in another queue, need not be looked at: it is executed before this one, and a
 * put whose key it may leave in the file is not fresh. */
void queue_take(struct queue *q, struct unit *u, struct store_stats *stats);

struct entry *queue_find(const struct queue *q, enum store_space space, struct peal_bytes key);

#endif
