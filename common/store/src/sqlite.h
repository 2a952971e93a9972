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

/* Of the rows space, which has its own (index.c). */
enum rows_statement {
    ROWS_APPEND,
    ROWS_REPLACE,
    ROWS_DELETE,
    ROWS_PLACE,
    ROWS_UNPLACE,
    ROWS_MARK,
    ROWS_SINCE,
    ROWS_FIND,
    ROWS_READ,
    ROWS_WALK,
    ROWS_COUNT,
};

/* One connection, used by one thread, with its prepared statements (those it needs; the others are
 * NULL). */
struct connection {
    sqlite3 *db;
    sqlite3_stmt *stmt[SPACE_COUNT][STMT_COUNT];
    sqlite3_stmt *rows[ROWS_COUNT];
};

/* How far the index of the rows has come (index.h). */
struct index_state {
    int64_t last; /* the highest number that a row was given */
    int64_t mark; /* rows up to this one are in rows_index */
    bool placed;  /* rows_index may have a key; until then nobody looks there */
    bool sweeping;
    int64_t upto; /* the sweep moves the keys of rows up to this one */
    uint8_t hand[STORE_KEY_MAX];
    size_t hand_size; /* the sweep goes on at this key; 0: with the first */
};

struct index {
    struct table recent; /* changed by the writer's thread only, under the mutex */
    size_t recent_n;
    struct index_state state; /* the writer's thread, like the rest */
    uint64_t dice;
    bool unsure; /* a transaction failed: perhaps it took all the same */
};

/* What one transaction does to the index. */
struct index_step {
    struct entry *added; /* to become recent; by next */
    struct entry *gone;  /* recent, to be dropped; by next */
    size_t appended;
    struct index_state state;
};

struct sqlite_store {
    struct store store;       /* first; now, flight, last and stats are under the mutex */
    struct connection reader; /* the loop's thread */
    struct connection writer; /* the writer's thread, once it runs */
    struct index index;       /* of the rows */
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
/* What stands beside each pair in the file: SipHash-2-4 with a fixed key over space, the key's
 * length, key and the value's own SipHash. Finds damage, not malice. */
sqlite3_int64 sqlite_checksum(enum store_space space, struct peal_bytes key,
                              struct peal_bytes value);
/* Whether sum is the checksum of such a row, whose value then is of a length that is allowed. */
bool sqlite_sound(enum store_space space, struct peal_bytes key, struct peal_bytes value,
                  sqlite3_int64 sum);
/* Steps a statement that gives no row, and resets it. SQLITE_OK or an error. */
int sqlite_run(sqlite3_stmt *stmt);
struct peal_bytes sqlite_column(sqlite3_stmt *stmt, int column);
/* As sqlite3_bind_blob, but an empty one is not NULL. The bytes stay the caller's. */
int sqlite_bind(sqlite3_stmt *stmt, int place, struct peal_bytes bytes);
/* The enum peal_err for what the connection's last call gave. */
int sqlite_error(sqlite3 *db, int rc);

/* Says that reading failed with that SQLite result code; its enum peal_err. */
int sqlite_say_read(struct sqlite_store *s, int rc);
/* Says that a key is of n bytes, which no key can be. Returns PEAL_E_CORRUPT. */
int sqlite_say_key(struct sqlite_store *s, enum store_space space, size_t n);
/* Says why opening failed, in why; its enum peal_err. */
int sqlite_say_open(char why[static STORE_TEXT_MAX], sqlite3 *db, int rc, const char *what);

/* Starts the thread. 0 or PEAL_E_NO_MEMORY. */
PEAL_MUST int writer_start(struct sqlite_store *s);
/* Has what is pending written once more and ends the thread, if it runs. */
void writer_stop(struct sqlite_store *s);
/* Under the mutex: wakes the writer when something is due before it would wake by itself. */
void writer_nudge(struct sqlite_store *s);

#endif
