/* twins: both back ends of the store behind one set of controls, for the tests that both must pass.
 */
#ifndef TWINS_H
#define TWINS_H

#include <limits.h>
#include <pthread.h>

#include "peal/store.h"

struct twin {
    bool sqlite;
    struct store *s;
    struct store_config config; /* in force from the next twin_replace on */
    struct rng rng;
    char folder[PATH_MAX - 16];
    char path[PATH_MAX]; /* of the data file */
    /* what wake has said; under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t wakes;
};

/* Opens an empty store whose lazy writes wait "for ever" (half an hour), so that no test depends on
 * time; under config the other defaults hold. */
void twin_open(struct twin *t, bool sqlite);
/* Closes the store if it is open and removes its folder. */
void twin_close(struct twin *t);
/* Closes and opens again; in memory: commits, then crashes. */
void twin_reopen(struct twin *t);
/* Closes the store and opens it under t->config; in memory it is an empty one. */
void twin_replace(struct twin *t);
/* Flushes, and waits until everything submitted is durable. */
void twin_sync(struct twin *t);
/* Waits until store_durable gives at least ticket; in memory: commits. */
void twin_wait_durable(struct twin *t, uint64_t ticket);
/* Flushes, and waits until store_health gives health. */
void twin_wait_health(struct twin *t, int health);
/* As on a full disk, and not any more. */
void twin_fill(struct twin *t, bool full);
/* Damages the value that is durable for key. */
void twin_damage(struct twin *t, enum store_space space, const char *key);

/* ---- SQLite's file, from another connection ---- */

/* Runs SQL on the file; the number of rows that its last statement changed. */
int twin_sql(const struct twin *t, const char *sql);
/* The first column of the first row. */
long long twin_ask(const struct twin *t, const char *sql);

/* ---- short forms; keys and values are strings ---- */

struct store_write twin_put(enum store_space space, const char *key, const char *value);
struct store_write twin_absent(enum store_space space, const char *key, const char *value);
struct store_write twin_del(enum store_space space, const char *key);
struct store_write twin_lazy(struct store_write w);
struct store_write twin_fresh(struct store_write w); /* lazy as well */

/* Submits the one write, which must succeed; its ticket. */
uint64_t twin_do(struct twin *t, struct store_write w);
/* The value as a string in a static buffer; "-" when absent; the error's name otherwise. */
const char *twin_get(struct twin *t, enum store_space space, const char *key);
/* The pairs of [from, to) as "k=v k=v" in a static buffer, and at its end the error's name, if any.
 */
const char *twin_list(struct twin *t, enum store_space space, const char *from, const char *to,
                      size_t limit);
uint64_t twin_count(struct twin *t, enum store_space space, const char *from, const char *to);

#endif
