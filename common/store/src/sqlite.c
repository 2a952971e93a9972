/* The SQLite back end: opening and checking the file, submitting to the writer's thread (writer.c),
 * reading. */
#include "image.h"
#include "index.h"
#include "migrate.h"
#include "swap.h"
#include "views.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sqlite_store *sqlite_of(struct store *s)
{
    CHECK(s->ops == &store_sqlite_ops);
    return (struct sqlite_store *)s;
}

sqlite3_int64 sqlite_checksum(enum store_space space, struct peal_bytes key,
                              struct peal_bytes value)
{
    static const uint8_t seed[crypto_shorthash_KEYBYTES] = "peal.store.sum.2";
    uint8_t all[2 + STORE_KEY_MAX + crypto_shorthash_BYTES] = {(uint8_t)space, (uint8_t)key.n};
    uint8_t hash[crypto_shorthash_BYTES];
    CHECK(key.n > 0 && key.n <= STORE_KEY_MAX);
    memcpy(all + 2, key.p, key.n);
    (void)crypto_shorthash(all + 2 + key.n, value.p, value.n, seed);
    (void)crypto_shorthash(hash, all, 2 + key.n + crypto_shorthash_BYTES, seed);
    sqlite3_int64 sum;
    struct rd r;
    rd_init(&r, hash, sizeof hash);
    uint64_t v = rd_u64(&r);
    memcpy(&sum, &v, sizeof sum);
    return sum;
}

bool sqlite_sound(enum store_space space, struct peal_bytes key, struct peal_bytes value,
                  sqlite3_int64 sum)
{
    return value.n <= STORE_VALUE_MAX && sqlite_checksum(space, key, value) == sum;
}

/* ---- statements ---- */

int sqlite_run(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? reset : rc;
}

struct peal_bytes sqlite_column(sqlite3_stmt *stmt, int column)
{
    const void *p = sqlite3_column_blob(stmt, column);
    int n = sqlite3_column_bytes(stmt, column);
    return peal_bytes_of(p, (size_t)n);
}

int sqlite_bind(sqlite3_stmt *stmt, int place, struct peal_bytes bytes)
{
    return sqlite3_bind_blob(stmt, place, bytes.n > 0 ? (const void *)bytes.p : "", (int)bytes.n,
                             SQLITE_STATIC);
}

int sqlite_error(sqlite3 *db, int rc)
{
    int saved = db != NULL ? sqlite3_system_errno(db) : 0;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return PEAL_E_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return PEAL_E_CORRUPT;
    case SQLITE_NOMEM:
        return PEAL_E_NO_MEMORY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return saved == ENOSPC || saved == EDQUOT ? PEAL_E_NO_SPACE : PEAL_E_IO;
    default:
        return PEAL_E_IO;
    }
}

/* ---- the files ---- */

/* Makes the file before SQLite does, so that its mode (and with it that of the log beside it) is
 * ours from the start. */
static int make_file(const char *path, char why[static STORE_TEXT_MAX])
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_say(why, "cannot open", path);
    int rc = fchmod(fd, 0600) == 0 ? 0 : file_say(why, "cannot set the mode of", path);
    (void)close(fd);
    return rc != 0 ? rc : file_sync_folder(path, why);
}

/* ---- the schema ---- */

/* Pages of 8 KiB: rows of up to 2 KB, a sealed message's size, then stay out of overflow pages. */
static const char writer_pragmas[] = "PRAGMA busy_timeout = 2000;"
                                     "PRAGMA page_size = 8192;"
                                     "PRAGMA journal_mode = WAL;"
                                     "PRAGMA synchronous = FULL;"
                                     "PRAGMA wal_autocheckpoint = 2000;"
                                     "PRAGMA cell_size_check = ON;"
                                     "PRAGMA secure_delete = FAST;"
                                     "PRAGMA trusted_schema = OFF;"
                                     "PRAGMA cache_size = -16384;";
static const char reader_pragmas[] = "PRAGMA busy_timeout = 2000;"
                                     "PRAGMA cell_size_check = ON;"
                                     "PRAGMA trusted_schema = OFF;"
                                     "PRAGMA cache_size = -16384;";

int sqlite_say_open(char why[static STORE_TEXT_MAX], sqlite3 *db, int rc, const char *what)
{
    (void)snprintf(why, STORE_TEXT_MAX, "%s: %s", what,
                   db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    return sqlite_error(db, rc);
}

static int run(sqlite3 *db, const char *sql, const char *what, char why[static STORE_TEXT_MAX])
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_say_open(why, db, rc, what);
}

/* The first column of the first row of a pragma. */
static int ask(sqlite3 *db, const char *sql, size_t size, char answer[],
               char why[static STORE_TEXT_MAX])
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return sqlite_say_open(why, db, rc, "cannot read the data file");
    rc = sqlite3_step(stmt);
    const unsigned char *text = rc == SQLITE_ROW ? sqlite3_column_text(stmt, 0) : NULL;
    (void)snprintf(answer, size, "%s", text != NULL ? (const char *)text : "");
    int err = rc == SQLITE_ROW ? 0 : sqlite_say_open(why, db, rc, "cannot read the data file");
    (void)sqlite3_finalize(stmt);
    return err;
}

static int check_file(sqlite3 *db, char why[static STORE_TEXT_MAX])
{
    char answer[STORE_TEXT_MAX / 2];
    int rc = ask(db, "PRAGMA quick_check(1)", sizeof answer, answer, why);
    if (rc != 0)
        return rc;
    if (strcmp(answer, "ok") == 0)
        return 0;
    (void)snprintf(why, STORE_TEXT_MAX, "the data file is damaged: %s", answer);
    return PEAL_E_CORRUPT;
}

/* ---- connections ---- */

static const char *const statements[STMT_COUNT] = {
    [STMT_PUT] = "INSERT INTO %s (key, value, sum) VALUES (?1, ?2, ?3) ON CONFLICT (key)"
                 " DO UPDATE SET value = excluded.value, sum = excluded.sum",
    [STMT_PUT_IF_ABSENT] = "INSERT INTO %s (key, value, sum) VALUES (?1, ?2, ?3)"
                           " ON CONFLICT (key) DO NOTHING",
    [STMT_DEL] = "DELETE FROM %s WHERE key = ?1",
    [STMT_GET] = "SELECT key, value, sum FROM %s WHERE key = ?1",
    [STMT_SCAN] = "SELECT key, value, sum FROM %s WHERE key >= ?1 ORDER BY key",
    [STMT_KEYS] = "SELECT key FROM %s WHERE key >= ?1 ORDER BY key",
};

static int prepare(struct connection *c, enum statement from, enum statement to,
                   char why[static STORE_TEXT_MAX])
{
    int made = index_prepare(c, from == STMT_PUT);
    if (made != SQLITE_OK)
        return sqlite_say_open(why, c->db, made, "cannot use the data file");
    for (size_t space = 0; space < SPACE_COUNT; space++) {
        for (size_t i = from; i <= to && space != STORE_ROWS; i++) {
            char sql[256];
            char *format =
                sqlite3_mprintf(statements[i], store_space_name((enum store_space)space));
            if (format == NULL)
                return PEAL_E_NO_MEMORY;
            (void)snprintf(sql, sizeof sql, "%s", format);
            sqlite3_free(format);
            int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                        &c->stmt[space][i], NULL);
            if (rc != SQLITE_OK)
                return sqlite_say_open(why, c->db, rc, "cannot use the data file");
        }
    }
    return 0;
}

static int connect_db(struct connection *c, const char *path, int flags, const char *pragmas,
                      char why[static STORE_TEXT_MAX])
{
    int rc = sqlite3_open_v2(
        path, &c->db,
        flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK)
        return sqlite_say_open(why, c->db, rc, "cannot open the data file");
    return run(c->db, pragmas, "cannot use the data file", why);
}

static void disconnect(struct connection *c)
{
    for (size_t space = 0; space < SPACE_COUNT; space++) {
        for (size_t i = 0; i < STMT_COUNT; i++)
            (void)sqlite3_finalize(c->stmt[space][i]);
    }
    for (size_t i = 0; i < ROWS_COUNT; i++)
        (void)sqlite3_finalize(c->rows[i]);
    int rc = sqlite3_close(c->db);
    CHECK(rc == SQLITE_OK);
    *c = (struct connection){0};
}

static int open_writer(struct sqlite_store *s, const char *path, char why[static STORE_TEXT_MAX])
{
    struct connection *c = &s->writer;
    char mode[16];
    int rc = connect_db(c, path, SQLITE_OPEN_READWRITE, writer_pragmas, why);
    if (rc == 0)
        rc = ask(c->db, "PRAGMA journal_mode", sizeof mode, mode, why);
    if (rc == 0 && strcmp(mode, "wal") != 0) {
        (void)snprintf(why, STORE_TEXT_MAX, "this file system cannot hold a write-ahead log");
        rc = PEAL_E_IO;
    }
    if (rc == 0)
        rc = check_file(c->db, why);
    if (rc == 0)
        rc = migrate(c->db, why);
    if (rc == 0)
        views_make(c->db);
    if (rc == 0)
        rc = prepare(c, STMT_PUT, STMT_DEL, why);
    return rc == 0 ? index_open(s, why) : rc;
}

static int open_reader(struct sqlite_store *s, const char *path, char why[static STORE_TEXT_MAX])
{
    int rc = connect_db(&s->reader, path, SQLITE_OPEN_READONLY, reader_pragmas, why);
    return rc == 0 ? prepare(&s->reader, STMT_GET, STMT_KEYS, why) : rc;
}

/* ---- open and close ---- */

static void dispose(struct sqlite_store *s)
{
    disconnect(&s->reader);
    disconnect(&s->writer);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    index_close(s);
    store_fini(&s->store);
    (void)pthread_cond_destroy(&s->cond);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}

static struct sqlite_store *sqlite_new(const struct store_config *config)
{
    struct sqlite_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    store_init(&s->store, &store_sqlite_ops, config, false);
    s->lock_fd = -1;
    atomic_init(&s->quota, config->quota_bytes);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->cond, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&s->mutex, NULL);
    return s;
}

int store_open_sqlite(const char *path, const struct store_config *config,
                      char why[static STORE_TEXT_MAX], struct store **out)
{
    *out = NULL;
    why[0] = '\0';
    struct sqlite_store *s = sodium_init() >= 0 ? sqlite_new(config) : NULL;
    if (s == NULL) {
        (void)snprintf(why, STORE_TEXT_MAX, "%s", err_prose(PEAL_E_NO_MEMORY));
        return PEAL_E_NO_MEMORY;
    }
    char aside[STORE_PATH_MAX];
    int rc = file_lock(path, &s->lock_fd, why);
    if (rc == 0)
        rc = swap_finish(path, aside, why);
    if (rc == 0)
        rc = image_check_log(path, why);
    if (rc == 0)
        rc = make_file(path, why);
    if (rc == 0)
        rc = open_writer(s, path, why);
    if (rc == 0)
        rc = open_reader(s, path, why);
    if (rc == 0)
        rc = writer_start(s);
    if (rc != 0) {
        if (why[0] == '\0')
            (void)snprintf(why, STORE_TEXT_MAX, "%s", err_prose(rc));
        dispose(s);
        return rc;
    }
    *out = &s->store;
    return 0;
}

static int sqlite_close(struct store *st)
{
    struct sqlite_store *s = sqlite_of(st);
    writer_stop(s);
    int rc = store_health(st);
    CHECK(rc != 0 || st->now.first == NULL);
    dispose(s);
    return rc;
}

/* ---- writing ---- */

static bool has_lazy(const struct unit *u)
{
    for (const struct entry *e = u->first; e != NULL; e = e->next) {
        if (e->lazy || e->op == STORE_DEL)
            return true;
    }
    return false;
}

static int sqlite_submit(struct store *st, struct unit *u)
{
    struct sqlite_store *s = sqlite_of(st);
    if (has_lazy(u))
        u->deadline = sqlite_now_us() + st->config.lazy_us;
    (void)pthread_mutex_lock(&s->mutex);
    int rc = store_take(st, u);
    bool news = rc == 0 && store_advance(st);
    if (rc == 0)
        writer_nudge(s);
    (void)pthread_mutex_unlock(&s->mutex);
    if (news && st->config.wake != NULL)
        st->config.wake(st->config.wake_arg);
    return rc;
}

static void sqlite_flush(struct store *st)
{
    struct sqlite_store *s = sqlite_of(st);
    (void)pthread_mutex_lock(&s->mutex);
    st->now.urgent = st->now.first != NULL;
    writer_nudge(s);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void sqlite_health_text(struct store *st, char text[static STORE_TEXT_MAX])
{
    struct sqlite_store *s = sqlite_of(st);
    (void)pthread_mutex_lock(&s->mutex);
    memcpy(text, s->health_text, STORE_TEXT_MAX);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void sqlite_stats(struct store *st, struct store_stats *out)
{
    struct sqlite_store *s = sqlite_of(st);
    (void)pthread_mutex_lock(&s->mutex);
    *out = st->stats;
    out->pending_bytes = st->now.bytes + st->flight.bytes;
    out->pending_keys = st->now.keys + st->flight.keys;
    (void)pthread_mutex_unlock(&s->mutex);
}

static void sqlite_set_quota(struct store *st, uint64_t bytes)
{
    atomic_store(&sqlite_of(st)->quota, bytes);
}

/* ---- reading: under the mutex, so that what leaves the queue is in the file already ---- */

int sqlite_say_read(struct sqlite_store *s, int rc)
{
    s->store.corrupt_size = 0;
    store_say(&s->store, "reading from the store fails: %s", sqlite3_errmsg(s->reader.db));
    return sqlite_error(s->reader.db, rc);
}

int sqlite_say_key(struct sqlite_store *s, enum store_space space, size_t n)
{
    s->store.corrupt_size = 0;
    store_say(&s->store, "a key of %zu bytes in %s", n, store_space_name(space));
    return PEAL_E_CORRUPT;
}

/* The row that stmt stands on; views into it. 0 or ROW_UNSOUND. */
static int row_value(sqlite3_stmt *stmt, enum store_space space, struct peal_bytes key,
                     struct peal_bytes *value)
{
    *value = sqlite_column(stmt, 1);
    bool sound = sqlite_sound(space, key, *value, sqlite3_column_int64(stmt, 2));
    return sound ? 0 : ROW_UNSOUND;
}

/* A view of the value that stmt, of one of the other spaces than the rows, finds for key:
 * 0, PEAL_E_NOT_FOUND, ROW_UNSOUND or an error, which it has said. */
static int find_row(struct sqlite_store *s, sqlite3_stmt *stmt, enum store_space space,
                    struct peal_bytes key, struct peal_bytes *value)
{
    int rc = sqlite_bind(stmt, 1, key);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE)
        return PEAL_E_NOT_FOUND;
    return rc == SQLITE_ROW ? row_value(stmt, space, key, value) : sqlite_say_read(s, rc);
}

/* The durable value of key: 0, PEAL_E_NOT_FOUND or an error. */
static int read_row(struct sqlite_store *s, enum store_space space, struct peal_bytes key,
                    struct arena *a, struct peal_bytes *value)
{
    sqlite3_stmt *stmt = s->reader.stmt[space][STMT_GET];
    struct peal_bytes view;
    int rc = space == STORE_ROWS ? index_read(s, key, &view) : find_row(s, stmt, space, key, &view);
    if (rc == 0)
        rc = store_copy_out(&s->store, a, view, value);
    else if (rc == ROW_UNSOUND)
        rc = store_say_corrupt(&s->store, space, key);
    if (space == STORE_ROWS)
        index_read_end(s);
    else
        (void)sqlite3_reset(stmt);
    return rc;
}

static int sqlite_get(struct store *st, enum store_space space, struct peal_bytes key,
                      struct arena *a, struct peal_bytes *value)
{
    struct sqlite_store *s = sqlite_of(st);
    const struct queue *layers[MERGE_LAYERS] = {&st->now, &st->flight};
    const struct entry *e;
    int rc = PEAL_E_NOT_FOUND;
    (void)pthread_mutex_lock(&s->mutex);
    enum merge_found found = merge_get(layers, space, key, &e);
    if (found == MERGE_BELOW)
        rc = read_row(s, space, key, a, value);
    if (rc == PEAL_E_NOT_FOUND && found != MERGE_ABSENT && e != NULL)
        rc = store_copy_out(st, a, entry_value(e), value);
    (void)pthread_mutex_unlock(&s->mutex);
    return rc;
}

struct sqlite_cursor {
    struct base_cursor base; /* first */
    struct sqlite_store *s;
    sqlite3_stmt *stmt;
    enum store_space space;
};

static int cursor_step(struct base_cursor *base)
{
    struct sqlite_cursor *c = (struct sqlite_cursor *)base;
    int rc = sqlite3_step(c->stmt);
    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return sqlite_say_read(c->s, rc);
    base->key = sqlite_column(c->stmt, 0);
    if (base->key.n == 0 || base->key.n > STORE_KEY_MAX)
        return sqlite_say_key(c->s, c->space, base->key.n);
    return 1;
}

static int cursor_read(struct base_cursor *base)
{
    struct sqlite_cursor *c = (struct sqlite_cursor *)base;
    return row_value(c->stmt, c->space, base->key, &base->value);
}

static int scan_rows(struct sqlite_store *s, const struct queue *const layers[static MERGE_LAYERS],
                     struct scan *scan)
{
    struct index_cursor c;
    int rc = index_cursor(s, scan->from, &c);
    if (rc == 0)
        rc = merge_scan(layers, &c.base, scan);
    index_read_end(s);
    return rc;
}

static int scan_space(struct sqlite_store *s, const struct queue *const layers[static MERGE_LAYERS],
                      struct scan *scan)
{
    enum statement which = scan->each != NULL ? STMT_SCAN : STMT_KEYS;
    struct sqlite_cursor c = {
        .base = {.step = cursor_step, .read = cursor_read},
        .s = s,
        .stmt = s->reader.stmt[scan->space][which],
        .space = scan->space,
    };
    int rc = sqlite_bind(c.stmt, 1, scan->from);
    if (rc != SQLITE_OK)
        return sqlite_say_read(s, rc);
    rc = merge_scan(layers, &c.base, scan);
    (void)sqlite3_reset(c.stmt);
    return rc;
}

static int sqlite_scan(struct store *st, struct scan *scan)
{
    struct sqlite_store *s = sqlite_of(st);
    const struct queue *layers[MERGE_LAYERS] = {&st->now, &st->flight};
    (void)pthread_mutex_lock(&s->mutex);
    int rc = scan->space == STORE_ROWS ? scan_rows(s, layers, scan) : scan_space(s, layers, scan);
    (void)pthread_mutex_unlock(&s->mutex);
    return rc;
}

const struct store_ops store_sqlite_ops = {
    .close = sqlite_close,
    .submit = sqlite_submit,
    .flush = sqlite_flush,
    .health_text = sqlite_health_text,
    .get = sqlite_get,
    .scan = sqlite_scan,
    .stats = sqlite_stats,
    .set_quota = sqlite_set_quota,
};
