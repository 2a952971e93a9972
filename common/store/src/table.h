/* table: keys in their order in memory: a skip list (Pugh, CACM 33(6), 1990) whose entries carry
 * their key and value. Not for: locking; the owner does that. */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include "peal/store.h"

enum {
    TABLE_LEVELS = 12, /* 4^12 keys before searches get slower */
};

struct entry;

/* One level's step ahead. The prefix of the key there stands in it, so that a search reads only
 * those entries that it goes through, not those that it stops before. */
struct link {
    struct entry *to; /* NULL: the end */
    uint64_t prefix;  /* of to's key: its first 8 bytes */
};

/* What waits for one key (or, in the memory back end, is durable for it). */
struct entry {
    struct entry *prev, *next; /* the queue's order of tickets */
    struct entry *older;       /* what this one replaced, when the queue keeps that */
    union {
        uint64_t ticket; /* the first submit that is done only once this is written */
        int64_t row;     /* of a recent key (index.h): its row's number */
    };
    uint64_t own;      /* the submit that made this */
    uint64_t deadline; /* when a lazy write stops waiting, microseconds of the monotonic clock */
    uint64_t prefix;
    uint32_t value_size;
    uint8_t key_size;
    uint8_t space; /* enum store_space */
    uint8_t op;    /* enum store_op */
    uint8_t levels;
    bool lazy;
    bool fresh;  /* a put whose key was not there: deleting it leaves nothing to write */
    bool rooted; /* a put that came over a deletion which is still to be written */
    bool bad;    /* damaged on purpose (store_memory_damage) */
    bool gone;   /* a recent key that the running transaction drops */
    struct link forward[];
    /* key and value follow */
};

struct table {
    struct link head[TABLE_LEVELS];
};

/* Where a search went down: per level, the link that leads to or past the key. */
struct table_path {
    struct link *link[TABLE_LEVELS];
};

/* A new entry, in no table, for the write. dice: what its height is drawn from, not 0. NULL: no
 * memory. Freed by free(). */
struct entry *table_entry(uint64_t *dice, const struct store_write *w);
struct peal_bytes entry_key(const struct entry *e);
struct peal_bytes entry_value(const struct entry *e);
/* What an entry for such a write costs in memory, about. */
size_t entry_cost(size_t key_size, size_t value_size);

/* Negative, 0, positive, as memcmp: bytewise, a prefix first. */
int key_cmp(struct peal_bytes a, struct peal_bytes b);

/* In the order of the keys; NULL at the end. */
struct entry *table_first(const struct table *t);
struct entry *table_next(const struct entry *e);
/* The entry of exactly that key, or NULL. */
struct entry *table_find(const struct table *t, struct peal_bytes key);
/* The first entry at or after key, or NULL at the end. */
struct entry *table_seek(const struct table *t, struct peal_bytes key);
/* As table_find, and remembers the way for link and unlink, until the table's next change by
 * another way. */
struct entry *table_path(struct table *t, struct peal_bytes key, struct table_path *path);
void table_link(struct table_path *path, struct entry *e);
void table_unlink(struct table_path *path, struct entry *e);

#endif
