/* merge: what a reader sees: the durable pairs with the waiting writes laid over them. */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "queue.h"

/* What reading a row gives when the row is found and is not as it was written. PEAL_E_CORRUPT is
 * something else: the file is damaged, and no row of it is to blame. */
enum { ROW_UNSOUND = 1 };

/* The durable side of a scan, in the order of the keys. */
struct base_cursor {
    /* Goes to the next pair: 1, then key is valid until the next call; 0 at the end; negative enum
     * peal_err. */
    int (*step)(struct base_cursor *c);
    /* Reads the value of the pair it stands on, valid as long as key: 0, ROW_UNSOUND or an
     * error. */
    int (*read)(struct base_cursor *c);
    struct peal_bytes key, value;
};

struct scan {
    enum store_space space;
    struct peal_bytes from, to;
    size_t limit;
    store_each *each; /* NULL: only count */
    void *arg;
    uint64_t count;                     /* out */
    uint8_t corrupt_key[STORE_KEY_MAX]; /* out, with PEAL_E_CORRUPT */
    size_t corrupt_size;
};

enum { MERGE_LAYERS = 2 };

/* layers: from the newest to the oldest. */
PEAL_MUST int merge_scan(const struct queue *const layers[static MERGE_LAYERS],
                         struct base_cursor *base, struct scan *s);

enum merge_found {
    MERGE_VALUE,  /* the entry's value, whatever is durable */
    MERGE_ABSENT, /* it is not there, whatever is durable */
    MERGE_BELOW,  /* what is durable; when nothing is, the entry's value, or absent when there is no
                     entry */
};

enum merge_found merge_get(const struct queue *const layers[static MERGE_LAYERS],
                           enum store_space space, struct peal_bytes key, const struct entry **e);

#endif
