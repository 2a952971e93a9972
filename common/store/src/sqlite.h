/* The SQLite back end's insides, shared by its reading side (sqlite.c) and its writer's thread
 * (writer.c). */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include "ops.h"

enum statement {
    STMT_PUT,
    STMT_PUT_IF_ABSENT,
    STMT_DEL,
    STMT_GET,
    STMT_SCAN,
    STMT_KEYS,
    STMT_COUNT,
};

/* One connection, used by one thread, with its prepared statements (those it needs; the others are
 * NULL). */
struct connection {
    sqlite3 *db;
    sqlite3_stmt *stmt[SPACE_COUNT][STMT_COUNT];
};

struct sqlite_store {
    struct store store;       /* first; now, flight, last and stats are under the mutex */
    struct connection reader; /* the loop's thread */
    struct connection writer; /* the writer's thread, once it runs */
    int lock_fd;

    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* on the monotonic clock */
    bool running;

    /* under the mutex */
    bool stop;
    uint64_t sleeps_until; /* of the writer: 0 when awake, UINT64_MAX when nothing waits */
    uint64_t retry_at;     /* when what is in flight is tried again */
    char health_text[STORE_TEXT_MAX];

    _Atomic uint64_t quota;
    uint64_t quota_in_force; /* the writer's thread */
};

/* Microseconds of the monotonic clock. */
uint64_t sqlite_now_us(void);
/* The first 8 bytes of BLAKE2b over space, the key's length, key and value. */
sqlite3_int64 sqlite_checksum(enum store_space space, struct peal_bytes key,
                              struct peal_bytes value);
/* The enum peal_err for what the connection's last call gave. */
int sqlite_error(sqlite3 *db, int rc);

/* Starts the thread. 0 or PEAL_E_NO_MEMORY. */
PEAL_MUST int writer_start(struct sqlite_store *s);
/* Has what is pending written once more and ends the thread, if it runs. */
void writer_stop(struct sqlite_store *s);
/* Under the mutex: wakes the writer when something is due before it would wake by itself. */
void writer_nudge(struct sqlite_store *s);

#endif
