/* index: the rows space of the SQLite back end. Rows lie in the order in which they were written,
 * so that a transaction fills pages from front to back instead of touching one page per row; where
 * a key is to be found says an index that is kept up late:
 *
 *     key --> recent keys (in memory) --> rows_index (on disk) --> nothing
 *                      |                        |
 *                      +-------- number --------+--> rows (on disk): number, key, sum, value
 *
 * New rows get growing numbers, and their keys are recent. When recent_max of them are, a sweep
 * goes through them in the order of the keys and moves each into rows_index, a few more in each
 * transaction than it appends; so pages of the index are written once for many keys, no
 * transaction is held up for long, and the number of recent keys stays near recent_max. When the
 * sweep is over, every row up to the number that was the highest when it began is in rows_index:
 * that is the mark. At the start the keys of the rows behind the mark are recent again, those
 * included that the unfinished sweep had moved: they then are in both, with the same number.
 *
 * Everything that a transaction changes here it only notes (struct index_step); it is in force
 * once the transaction has committed. docs/adr/0009-late-index.md says what was measured.
 *
 * Not for: the other spaces, which are small and whose keys are written again and again. */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "sqlite.h"

/* The writer's thread. Writes one entry of the rows space. A SQLite result code. */
PEAL_MUST int index_write(struct sqlite_store *s, const struct entry *e, struct index_step *step);
/* The writer's thread, at the end of a transaction: goes on with the sweep, or begins one. A SQLite
 * result code. */
PEAL_MUST int index_sweep(struct sqlite_store *s, struct index_step *step);

/* The writer's thread, without the mutex: a step before any write of its transaction. A SQLite
 * result code; after an error there is nothing to forget. */
PEAL_MUST int index_begin(struct sqlite_store *s, struct index_step *step);
/* The transaction has committed: makes the step true. Takes the mutex, a little at a time: while
 * the batch is in flight, readers do not look at what changes. */
void index_apply(struct sqlite_store *s, struct index_step *step);
/* The transaction has not, or perhaps has. */
void index_forget(struct sqlite_store *s, struct index_step *step);

/* Before the thread runs: compares rows_index with the rows and builds it anew if they differ, and
 * reads the recent keys. */
PEAL_MUST int index_open(struct sqlite_store *s, char why[static STORE_TEXT_MAX]);
void index_close(struct sqlite_store *s);

/* Prepares the statements of the reader or of the writer. A SQLite result code. */
PEAL_MUST int index_prepare(struct connection *c, bool writer);

/* ---- reading: under the mutex ---- */

/* A view of the key's value, valid until index_read_end. 0, PEAL_E_NOT_FOUND; ROW_UNSOUND when the
 * row is not there or not of that key or does not match its checksum; errors, which it has said. */
PEAL_MUST int index_read(struct sqlite_store *s, struct peal_bytes key, struct peal_bytes *value);
void index_read_end(struct sqlite_store *s);

struct index_cursor {
    struct base_cursor base; /* first */
    struct sqlite_store *s;
    const struct entry *recent; /* the first one that is not passed yet, or NULL */
    bool begun;                 /* the walk along rows_index is; it is after from */
    bool on;                    /* and stands on an entry, that is not passed yet */
    int64_t row;                /* of base.key */
    const struct entry *at;     /* base.key is of this recent one, if any */
    bool placed;                /* base.key is in rows_index */
};

/* A cursor over the rows space from that key on (empty: from the first), for merge_scan; also
 * ended by index_read_end. 0 or an error, which it has said. */
PEAL_MUST int index_cursor(struct sqlite_store *s, struct peal_bytes from, struct index_cursor *c);

#endif
