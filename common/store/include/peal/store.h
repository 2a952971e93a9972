/* store: an ordered key-value store in named spaces: writes are grouped and made durable in the
 * background, reads are synchronous and see everything that was submitted. Two back ends behind one
 * table of functions pass the same tests: SQLite (the production one, one writer thread) and memory
 * (tests and the simulator: no thread, no clock, deterministic).
 *
 * Not for: knowing what the values mean, secondary indices, transactions that read. One process at
 * a time per data file.
 *
 * Threads: all calls on one store come from one thread (the loop's); a store may be handed to
 * another thread as a whole.
 *
 * The promise. Each submit is one unit with a growing ticket. After any crash the spaces hold what
 * some prefix of the submits makes, whole units only, at least all up to store_durable(); except
 * that a put which a later submit had deleted while it still waited ("cancelled") may never have
 * existed, its ticket counting as done from then on. An error loses nothing that was given a
 * ticket: it waits, store_durable() stands still, and it is written when the disk takes writes
 * again. */
#ifndef PEAL_STORE_H
#define PEAL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peal/base.h"

/* X(NAME, table): the spaces, each with its own keys. */
#define STORE_SPACES(X)                                                                            \
    X(META, "meta")           /* what the node knows about itself */                               \
    X(REGISTERS, "registers") /* compare-and-swap registers, by key */                             \
    X(ROWS, "rows")           /* immutable rows of the replicated sets */

enum store_space {
#define X(name, table) STORE_##name,
    STORE_SPACES(X)
#undef X
};

enum {
    STORE_KEY_MAX = 64,           /* bytes of a key; at least 1 */
    STORE_VALUE_MAX = 128 * 1024, /* bytes of a value; 0 is allowed */
    STORE_UNIT_MAX = 1024,        /* writes in one submit */
    STORE_TEXT_MAX = 256,         /* bytes of an error's text, its NUL included */
    STORE_PATH_MAX = 4096,        /* bytes of a file's path, its NUL included */
    STORE_SCHEMA_VERSION = 2,     /* PRAGMA user_version of the files this program writes */
    STORE_LAZY_US = 20 * 1000,    /* defaults of struct store_config, see there */
    STORE_PENDING_MAX = 64 << 20,
    STORE_FLUSH_BYTES = 8 << 20,
    STORE_RETRY_MS = 250,
    STORE_RECENT_MAX = 64 * 1024,
};

/* For people who look into the file with sqlite3 there are views: users and backups (key, bytes)
 * over the registers, mail and mail_backups (mailbox, id, bytes) over the rows. Which of the two
 * shows a pair is not stored with it: it follows from the arc that META has under this key, two
 * keys of 20 bytes, `after` and `upto`: what lies in (after, upto] clockwise is the node's own, the
 * rest are copies. Without an arc all four are empty. */
#define STORE_ARC_KEY "arc"

struct store;

/* Made by store_config_default; then change what differs. */
struct store_config {
    /* How long a lazy write may wait for a write that cancels it, in microseconds; 0: it does not
     * wait. SQLite only. */
    uint32_t lazy_us;
    /* Most bytes in memory that are not durable yet (keys, values and about 100 bytes each);
     * beyond, submit is PEAL_E_BUSY. */
    size_t pending_max;
    /* Lazy writes wait no longer once this many bytes are pending. */
    size_t flush_bytes;
    /* How long after a failed write it is tried again, in milliseconds; > 0. */
    uint32_t retry_ms;
    /* Most bytes of the database file, 0: no limit but the disk. What goes beyond fails as a full
     * disk does. SQLite only. */
    uint64_t quota_bytes;
    /* About how many of the newest rows have their keys in memory (about 120 bytes each), before
     * they are moved to an index on disk; at most three times as many, after a start. More make
     * that cheaper. SQLite only. */
    uint32_t recent_max;
    /* Called after store_durable() or store_health() has changed; from the writer's thread, or from
     * inside store_submit on the caller's. Must only pass the news on (uv_async_send), never call
     * the store. May be NULL. The memory back end never calls it. */
    void (*wake)(void *arg);
    void *wake_arg;
};

struct store_config store_config_default(void);

/* ---- opening ---- */

/* Opens or makes the database file at path (mode 0600; the folder exists), checks it, and brings
 * one of an older version up to date, all of which takes time in proportion to its size; what is
 * cut short is gone on with by the next opening. The file path + ".lock" keeps other processes out.
 * On an error *out is NULL and why says in prose what it was:
 *
 * - PEAL_E_BUSY: another process has it open
 * - PEAL_E_CORRUPT: it is no database, or its quick check failed, or its log is damaged
 *   (store_salvage)
 * - PEAL_E_VERSION: a newer program wrote it
 * - PEAL_E_USAGE: the path is too long
 * - PEAL_E_NO_SPACE, PEAL_E_IO, PEAL_E_NO_MEMORY */
PEAL_MUST int store_open_sqlite(const char *path, const struct store_config *config,
                                char why[static STORE_TEXT_MAX], struct store **out);
/* An empty store in memory. It makes nothing durable but in store_memory_commit (or see
 * store_memory_auto). */
PEAL_MUST int store_open_memory(const struct store_config *config, struct store **out);

/* Makes everything pending durable, then closes and frees s in any case. An error (what
 * store_health gives) says that the last submits could not be written: what store_durable() had not
 * reported may be lost. s may be NULL. */
PEAL_MUST int store_close(struct store *s);

/* ---- writing ---- */

enum store_op {
    STORE_PUT,           /* adds or replaces */
    STORE_PUT_IF_ABSENT, /* adds; changes nothing when the key is there */
    STORE_DEL,           /* removes; changes nothing when the key is not there */
};

struct store_write {
    enum store_space space;
    enum store_op op;
    struct peal_bytes key;
    struct peal_bytes value; /* ignored by STORE_DEL */
    /* May wait up to lazy_us, in the hope that a STORE_DEL of the same key comes first: then
     * neither is ever written. It waits no longer when any write that is not lazy is submitted,
     * since tickets become durable in their order. */
    bool lazy;
    /* For a put: a promise that the key is not there at this moment (store_get would not find it).
     * When it is then deleted while it waits, nothing at all is left to write; without the promise
     * the deletion is, lazily. A false promise can leave a deleted key in the file. */
    bool fresh;
};

/* Submits n writes (0 … STORE_UNIT_MAX) as one unit, in their order; keys and values are copied.
 * *ticket (may be NULL) is its number: 1, 2, 3 … since the store was opened. With n == 0 the ticket
 * is done as soon as all before it are. After an error nothing of the unit was taken and no ticket
 * was given:
 *
 * - PEAL_E_USAGE, PEAL_E_TOO_LONG: a write is not of its form, or the unit exceeds pending_max
 * - PEAL_E_BUSY: too much is pending; the caller sheds load
 * - PEAL_E_NO_SPACE, PEAL_E_IO, PEAL_E_CORRUPT: the store has failed (store_health) and takes
 *   nothing until it recovers
 * - PEAL_E_NO_MEMORY */
PEAL_MUST int store_submit(struct store *s, const struct store_write *w, size_t n,
                           uint64_t *ticket);

/* The highest ticket T such that every ticket up to T is durable (fsynced) or cancelled. Never
 * falls. Cheap. */
uint64_t store_durable(struct store *s);

/* Lazy writes submitted so far wait no longer. Returns at once (memory back end: nothing to do). */
void store_flush(struct store *s);

/* 0, or why writes fail at the moment: PEAL_E_NO_SPACE, PEAL_E_IO, PEAL_E_CORRUPT. The store tries
 * again by itself every retry_ms and becomes healthy by itself. Reads go on meanwhile. Cheap. */
int store_health(struct store *s);

/* What the last call on s that gave an error (store_health included) has to say, in prose; ""
 * before any. Valid until the next call on s. */
const char *store_error_text(const struct store *s);

/* Changes quota_bytes; counts from the next batch of writes on. A quota below the present size
 * stops growth only. SQLite only. */
void store_set_quota(struct store *s, uint64_t bytes);

/* ---- reading ---- */

/* The value of key, copied into a. PEAL_E_NOT_FOUND; PEAL_E_FULL when it does not fit into a;
 * PEAL_E_CORRUPT when the row does not match its checksum: the error's text names it, and a
 * STORE_PUT or STORE_DEL repairs it; PEAL_E_USAGE, PEAL_E_TOO_LONG for a key not of its form;
 * PEAL_E_IO. */
PEAL_MUST int store_get(struct store *s, enum store_space space, struct peal_bytes key,
                        struct arena *a, struct peal_bytes *value);

/* Called with each pair, in the order of the keys (bytewise, a prefix before what it begins). The
 * views are valid during the call. Returns false to stop. It must not call the store. */
typedef bool store_each(void *arg, struct peal_bytes key, struct peal_bytes value);

/* Goes through the keys of [from, to), at most limit of them. An empty from means from the first
 * key, an empty to means to the last. When a row is corrupt, everything before it has been given,
 * and the result is PEAL_E_CORRUPT: see store_corrupt_key. Other errors as store_get. */
PEAL_MUST int store_scan(struct store *s, enum store_space space, struct peal_bytes from,
                         struct peal_bytes to, size_t limit, store_each *each, void *arg);

/* How many keys [from, to) has. Reads them all, but not their values. */
PEAL_MUST int store_count(struct store *s, enum store_space space, struct peal_bytes from,
                          struct peal_bytes to, uint64_t *count);

/* The key of the row that last gave PEAL_E_CORRUPT, with which a scan goes on behind the row; empty
 * before any, and when the file itself is so damaged that no row can be named. Valid until the next
 * call on s. */
struct peal_bytes store_corrupt_key(const struct store *s);

/* The space's name ("rows"); static. */
const char *store_space_name(enum store_space space);

/* ---- figures ---- */

struct store_stats {
    uint64_t submits;
    uint64_t puts_written; /* puts that a committed transaction has executed */
    uint64_t dels_written;
    uint64_t cancelled; /* puts that were deleted while they waited and so never written */
    uint64_t merged;    /* writes made superfluous by others on the same key while they waited */
    uint64_t commits;
    uint64_t failures;      /* transactions that failed */
    uint64_t pending_bytes; /* now */
    uint64_t pending_keys;  /* now */
};

void store_stats(struct store *s, struct store_stats *out);

/* ---- damaged files, backups: on a data file that no store has open, but for store_backup ---- */

enum {
    STORE_SPACE_COUNT = 0
#define X(name, table) +1
    STORE_SPACES(X)
#undef X
};

struct store_salvaged {
    uint64_t kept[STORE_SPACE_COUNT]; /* by space */
    /* Records met that are not as they were written; what else the bad pages had, nobody knows. */
    uint64_t lost;
    uint64_t bad_pages, pages;
    uint64_t bad_frames;        /* of the log: damaged, or of a transaction whose end is */
    char aside[STORE_PATH_MAX]; /* where the damaged file is kept; "" when there was none */
};

/* Puts in place of the data file at path, which need not be a database at all, a new one with every
 * pair of it that still matches its checksum, wherever in the file or its log it stands, and with
 * the n writes `also` (at most STORE_UNIT_MAX). Of a key that was replaced an older value may come
 * back, when the newer one is damaged; one that was deleted may come back from where it once stood.
 * The damaged file and its log are moved aside and never deleted. Memory is bounded, but for 5
 * bytes per 8 KiB of the file. After an error, or a crash, the damaged file is either still in its
 * place, or the new one is put there by the next store_open_sqlite.
 *
 * - PEAL_E_BUSY: another process has it open
 * - PEAL_E_NO_SPACE: there is no room for the new file
 * - PEAL_E_IO, PEAL_E_NO_MEMORY, PEAL_E_USAGE, PEAL_E_FULL */
PEAL_MUST int store_salvage(const char *path, const struct store_write *also, size_t n,
                            struct store_salvaged *out, char why[static STORE_TEXT_MAX]);

struct store_copied {
    uint64_t pairs[STORE_SPACE_COUNT]; /* by space, each as it was written */
    uint64_t damaged;                  /* pairs that do not match their checksum */
    uint64_t bytes;                    /* of the copy */
};

/* Called now and then with the bytes that are copied and those that there are. */
typedef void store_progress(void *arg, uint64_t done, uint64_t total);

/* Copies the data file at path, as it is at one moment, to the new file `to` (mode 0600), while
 * another process may have it open and write; its log grows meanwhile. The copy is checked, made
 * durable, and only then has its name; it needs no log beside it. progress may be NULL.
 *
 * - PEAL_E_EXISTS: `to` is there, and was left alone
 * - PEAL_E_NOT_FOUND: there is no data file
 * - PEAL_E_CORRUPT: it is damaged, or is no data file of this program
 * - PEAL_E_VERSION: a newer program wrote it
 * - PEAL_E_NO_SPACE, PEAL_E_IO, PEAL_E_NO_MEMORY, PEAL_E_USAGE */
PEAL_MUST int store_backup(const char *path, const char *to, store_progress *progress, void *arg,
                           struct store_copied *out, char why[static STORE_TEXT_MAX]);

/* Puts a copy of the file `from`, with the n writes `also`, in the place of the data file at path,
 * which is moved aside as by store_salvage. Errors as store_backup's, of `from`; PEAL_E_BUSY:
 * another process has the data file open. After an error nothing has changed. */
PEAL_MUST int store_restore(const char *path, const char *from, const struct store_write *also,
                            size_t n, store_progress *progress, void *arg, struct store_copied *out,
                            char aside[static STORE_PATH_MAX], char why[static STORE_TEXT_MAX]);

/* ---- the memory back end's controls: a broken invariant on any other store ---- */

/* Makes everything submitted durable. PEAL_E_NO_SPACE while it is "full": the store then has failed
 * until a commit succeeds. */
PEAL_MUST int store_memory_commit(struct store *s);
/* When on, commits at the end of every submit (and now, when that succeeds). */
void store_memory_auto(struct store *s, bool on);
/* A crash and the restart after it: of the submits that are not durable, a prefix of random length
 * survives. Tickets start again at 1, figures at 0; what was set by store_memory_fill and _auto
 * stays. */
void store_memory_crash(struct store *s, struct rng *r);
/* Makes commits fail as on a full disk, or succeed again; with store_memory_auto the latter commits
 * at once. */
void store_memory_fill(struct store *s, bool full);
/* Damages the durable value of key, so that reading it gives PEAL_E_CORRUPT. PEAL_E_NOT_FOUND when
 * it is not durable. */
PEAL_MUST int store_memory_damage(struct store *s, enum store_space space, struct peal_bytes key);

#endif
