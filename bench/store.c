/* peal-store-bench: how fast the store makes rows durable, beside plain SQLite tables that hold the
 * same rows on the same disk, and how fast it reads a mailbox that lies scattered among others.
 *
 *   peal-store-bench append [--schema store] [--body 256] [--commit 1000] [--there 0] [--rows
 * 200000] peal-store-bench scan   [--schema store] [--body 256] [--there 500000] [--rows 10000]
 *
 * append: --there rows are there already; then --rows more come, --commit in each transaction, each
 * transaction durable before the next; the store is given the next one's rows while it writes, as a
 * server does. Keys are 36 random bytes, all in mailboxes of their own: the
 * worst case. scan: --rows of one mailbox, scattered evenly among --there others, are read in the
 * order of their keys, first with nothing of the file in memory, then again.
 *
 * Schemas: store is Peal's; bare has numbers for keys and cannot find a row by its key, a limit
 * that no other can reach; indexed is bare with a unique index on the key; hashed is bare with an
 * index on 8 bytes of the key, so it finds rows but has no order; blob is a table of keys in their
 * order, as the store's was in version 1. All have the store's pragmas, checksums apart, and
 * insert each transaction's rows in the order of their keys.
 *
 * Prints one JSON object. TMPDIR says where the file lies. Not for: judging. */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "peal/store.h"

enum {
    KEY = 36,
    BOX = 20, /* of the key's bytes */
    BODY_MAX = 8192,
    COMMIT_MAX = STORE_UNIT_MAX,
    COMMITS_MAX = 1 << 20,
    FILL = 1000, /* rows in a transaction beforehand */
};

struct key {
    uint8_t b[KEY];
};

/* What is measured: a table of functions per schema. */
struct bench {
    const char *schema;
    uint64_t body, commit, there, rows;
    char folder[200], path[256];
    struct rng rng;
    uint8_t value[BODY_MAX];
    struct key keys[COMMIT_MAX];
    /* the store */
    struct store *store;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t wakes;
    /* plain SQLite */
    sqlite3 *db;
    sqlite3_stmt *insert;
    bool hashed;
    /* figures */
    double *ms;
    size_t commits;
};

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "peal-store-bench: %s: %s\n", what, why);
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Of all threads, the system's share included. */
static double cpu_us(void)
{
    struct rusage r;
    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

/* ---- bytes written to the log: SQLite's own file functions with one of them replaced ---- */

static struct {
    sqlite3_vfs shim, *base;
    sqlite3_io_methods methods;
    int (*write)(sqlite3_file *f, const void *p, int n, sqlite3_int64 at);
    _Atomic uint64_t bytes;
} wal;

static int wal_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    wal.bytes += (uint64_t)n;
    return wal.write(f, p, n, at);
}

static int wal_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    int rc = wal.base->xOpen(wal.base, name, f, flags, out);
    if (rc != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0)
        return rc;
    if (wal.write == NULL) { /* the first of them, before there are threads */
        wal.methods = *f->pMethods;
        wal.write = wal.methods.xWrite;
        wal.methods.xWrite = wal_write;
    }
    f->pMethods = &wal.methods;
    return rc;
}

static void count_wal(void)
{
    wal.base = sqlite3_vfs_find(NULL);
    wal.shim = *wal.base;
    wal.shim.zName = "counting";
    wal.shim.xOpen = wal_open;
    if (sqlite3_vfs_register(&wal.shim, 1) != SQLITE_OK)
        die("sqlite", "takes no file functions");
}

/* ---- plain SQLite ---- */

static void sql(struct bench *b, const char *text)
{
    if (sqlite3_exec(b->db, text, NULL, NULL, NULL) != SQLITE_OK)
        die(text, sqlite3_errmsg(b->db));
}

static void plain_open(struct bench *b)
{
    static const char pragmas[] = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;"
                                  "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;"
                                  "PRAGMA secure_delete = FAST; PRAGMA cache_size = -16384;";
    static const char numbered[] = "CREATE TABLE r (id INTEGER PRIMARY KEY, key BLOB NOT NULL,"
                                   " sum INTEGER NOT NULL, value BLOB NOT NULL) STRICT";
    static const char blob[] = "CREATE TABLE r (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL,"
                               " sum INTEGER NOT NULL) STRICT, WITHOUT ROWID";
    if (sqlite3_open(b->path, &b->db) != SQLITE_OK)
        die(b->path, "cannot be opened");
    sql(b, pragmas);
    sql(b, strcmp(b->schema, "blob") == 0 ? blob : numbered);
    if (strcmp(b->schema, "indexed") == 0)
        sql(b, "CREATE UNIQUE INDEX i ON r (key)");
    b->hashed = strcmp(b->schema, "hashed") == 0;
    if (b->hashed)
        sql(b, "CREATE INDEX i ON r (sum)");
    static const char insert[] = "INSERT INTO r (key, sum, value) VALUES (?1, ?2, ?3)"
                                 " ON CONFLICT DO NOTHING";
    if (sqlite3_prepare_v2(b->db, insert, -1, &b->insert, NULL) != SQLITE_OK)
        die(insert, sqlite3_errmsg(b->db));
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, KEY);
}

static void plain_commit(struct bench *b, size_t n)
{
    qsort(b->keys, n, sizeof b->keys[0], by_key);
    sql(b, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < n; i++) {
        sqlite3_int64 sum = 1;
        if (b->hashed)
            memcpy(&sum, b->keys[i].b + KEY - sizeof sum, sizeof sum);
        (void)sqlite3_bind_blob(b->insert, 1, b->keys[i].b, KEY, SQLITE_STATIC);
        (void)sqlite3_bind_int64(b->insert, 2, sum);
        (void)sqlite3_bind_blob(b->insert, 3, b->value, (int)b->body, SQLITE_STATIC);
        if (sqlite3_step(b->insert) != SQLITE_DONE)
            die("inserting", sqlite3_errmsg(b->db));
        (void)sqlite3_reset(b->insert);
    }
    sql(b, "COMMIT");
}

static size_t plain_scan(struct bench *b, const struct key *box)
{
    static const char select[] = "SELECT key, value FROM r WHERE key >= ?1 ORDER BY key";
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(b->db, select, -1, &stmt, NULL) != SQLITE_OK)
        die(select, sqlite3_errmsg(b->db));
    (void)sqlite3_bind_blob(stmt, 1, box->b, BOX, SQLITE_STATIC);
    size_t n = 0;
    while (sqlite3_step(stmt) == SQLITE_ROW &&
           memcmp(sqlite3_column_blob(stmt, 0), box->b, BOX) == 0)
        n += sqlite3_column_bytes(stmt, 1) == (int)b->body;
    (void)sqlite3_finalize(stmt);
    return n;
}

static void plain_close(struct bench *b)
{
    (void)sqlite3_finalize(b->insert);
    (void)sqlite3_close(b->db);
}

/* ---- the store ---- */

static void woken(void *arg)
{
    struct bench *b = arg;
    (void)pthread_mutex_lock(&b->mutex);
    b->wakes++;
    (void)pthread_cond_signal(&b->cond);
    (void)pthread_mutex_unlock(&b->mutex);
}

static void store_open(struct bench *b)
{
    char why[STORE_TEXT_MAX];
    struct store_config config = store_config_default();
    config.wake = woken;
    config.wake_arg = b;
    if (store_open_sqlite(b->path, &config, why, &b->store) != 0)
        die(b->path, why);
}

static void wait_durable(struct bench *b, uint64_t ticket)
{
    (void)pthread_mutex_lock(&b->mutex);
    while (store_durable(b->store) < ticket)
        (void)pthread_cond_wait(&b->cond, &b->mutex);
    (void)pthread_mutex_unlock(&b->mutex);
}

/* When the unit before this one is durable. */
static void store_commit(struct bench *b, size_t n)
{
    static struct store_write w[COMMIT_MAX];
    uint64_t ticket = 0;
    for (size_t i = 0; i < n; i++)
        w[i] = (struct store_write){.space = STORE_ROWS,
                                    .op = STORE_PUT_IF_ABSENT,
                                    .key = peal_bytes_of(b->keys[i].b, KEY),
                                    .value = peal_bytes_of(b->value, b->body)};
    if (store_submit(b->store, w, n, &ticket) != 0)
        die("submitting", store_error_text(b->store));
    wait_durable(b, ticket - 1);
}

static void store_settle(struct bench *b)
{
    uint64_t ticket = 0;
    if (store_submit(b->store, NULL, 0, &ticket) != 0)
        die("submitting", store_error_text(b->store));
    wait_durable(b, ticket);
}

struct reading {
    const struct bench *b;
    size_t n;
};

static bool read_one(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    struct reading *r = arg;
    (void)key;
    r->n += value.n == r->b->body;
    return true;
}

static size_t read_box(struct bench *b, const struct key *box)
{
    struct reading r = {.b = b};
    struct key to = *box;
    memset(to.b + BOX, 0xff, KEY - BOX);
    if (store_scan(b->store, STORE_ROWS, peal_bytes_of(box->b, BOX), peal_bytes_of(to.b, KEY),
                   SIZE_MAX, read_one, &r) != 0)
        die("reading", store_error_text(b->store));
    return r.n;
}

/* ---- both ---- */

static bool is_store(const struct bench *b)
{
    return strcmp(b->schema, "store") == 0;
}

static void open_it(struct bench *b)
{
    if (is_store(b))
        store_open(b);
    else
        plain_open(b);
}

static void settle(struct bench *b)
{
    if (is_store(b))
        store_settle(b);
}

static void commit(struct bench *b, size_t n)
{
    if (is_store(b))
        store_commit(b, n);
    else
        plain_commit(b, n);
}

static void close_it(struct bench *b)
{
    if (is_store(b) && store_close(b->store) != 0)
        die("closing", "failed");
    if (!is_store(b))
        plain_close(b);
}

/* Rows in random mailboxes; `every` (0: never) so many, one of the box. */
static void fill(struct bench *b, uint64_t rows, uint64_t every, const struct key *box)
{
    for (uint64_t done = 0; done < rows;) {
        size_t n = rows - done < FILL ? (size_t)(rows - done) : FILL;
        for (size_t i = 0; i < n; i++) {
            rng_fill(&b->rng, b->keys[i].b, KEY);
            if (every > 0 && (done + i) % every == 0)
                memcpy(b->keys[i].b, box->b, BOX);
        }
        commit(b, n);
        done += n;
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_append(struct bench *b)
{
    open_it(b);
    fill(b, b->there, 0, NULL);
    settle(b);
    wal.bytes = 0;
    double begin = now_ms(), spent = 0, cpu = cpu_us();
    for (uint64_t done = 0; done < b->rows && b->commits < COMMITS_MAX;) {
        size_t n = b->rows - done < b->commit ? (size_t)(b->rows - done) : (size_t)b->commit;
        double t = now_ms();
        for (size_t i = 0; i < n; i++)
            rng_fill(&b->rng, b->keys[i].b, KEY);
        double from = now_ms();
        spent += from - t;
        commit(b, n);
        b->ms[b->commits++] = now_ms() - from;
        done += n;
    }
    settle(b);
    double ms = now_ms() - begin - spent;
    cpu = cpu_us() - cpu;
    uint64_t bytes = wal.bytes;
    close_it(b);
    qsort(b->ms, b->commits, sizeof b->ms[0], by_size);
    printf("{\"bench\":\"store\",\"schema\":\"%s\",\"body\":%llu,\"commit\":%llu,\"there\":%llu,"
           "\"rows\":%llu,\"per_s\":%.0f,\"commit_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f},"
           "\"wal_bytes_per_row\":%.0f,\"cpu_us_per_row\":%.2f}\n",
           b->schema, (unsigned long long)b->body, (unsigned long long)b->commit,
           (unsigned long long)b->there, (unsigned long long)b->rows, (double)b->rows / ms * 1e3,
           b->ms[b->commits / 2], b->ms[b->commits * 99 / 100], b->ms[b->commits - 1],
           (double)bytes / (double)b->rows, cpu / (double)b->rows);
}

static double scan_ms(struct bench *b, const struct key *box, size_t expected)
{
    double t = now_ms();
    size_t n = is_store(b) ? read_box(b, box) : plain_scan(b, box);
    if (n != expected)
        die("reading", "not all of the mailbox is there");
    return now_ms() - t;
}

static void bench_scan(struct bench *b)
{
    struct key box;
    rng_fill(&b->rng, box.b, BOX);
    uint64_t all = b->there + b->rows, every = all / b->rows;
    open_it(b);
    fill(b, every * b->rows, every, &box);
    close_it(b);
    if (is_store(b))
        store_open(b);
    else if (sqlite3_open(b->path, &b->db) == SQLITE_OK)
        b->insert = NULL;
    int fd = open(b->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        die(b->path, "cannot be dropped from memory");
    (void)close(fd);
    double cold = scan_ms(b, &box, b->rows), warm = scan_ms(b, &box, b->rows);
    close_it(b);
    printf("{\"bench\":\"scan\",\"schema\":\"%s\",\"body\":%llu,\"there\":%llu,\"rows\":%llu,"
           "\"cold_ms\":%.1f,\"warm_ms\":%.1f}\n",
           b->schema, (unsigned long long)b->body, (unsigned long long)b->there,
           (unsigned long long)b->rows, cold, warm);
}

static uint64_t number(const char *flag, const char *text, uint64_t lo, uint64_t hi)
{
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || v < lo || v > hi)
        die(flag, "not a whole number within its limits");
    return v;
}

static const char *schema(const char *name)
{
    static const char *const names[] = {"store", "bare", "indexed", "hashed", "blob"};
    for (size_t i = 0; i < PEAL_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0)
            return names[i];
    }
    die("no such schema", name);
}

static void read_options(struct bench *b, int argc, char *argv[])
{
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--schema") == 0)
            b->schema = schema(argv[i + 1]);
        else if (strcmp(argv[i], "--body") == 0)
            b->body = number(argv[i], argv[i + 1], 1, BODY_MAX);
        else if (strcmp(argv[i], "--commit") == 0)
            b->commit = number(argv[i], argv[i + 1], 1, COMMIT_MAX);
        else if (strcmp(argv[i], "--there") == 0)
            b->there = number(argv[i], argv[i + 1], 0, 100 * 1000 * 1000);
        else if (strcmp(argv[i], "--rows") == 0)
            b->rows = number(argv[i], argv[i + 1], 1, 100 * 1000 * 1000);
        else
            die("no such option", argv[i]);
    }
}

int main(int argc, char *argv[])
{
    static struct bench b = {.schema = "store", .body = 256, .commit = 1000, .rows = 200000};
    bool scan = argc >= 2 && strcmp(argv[1], "scan") == 0;
    if (argc < 2 || (!scan && strcmp(argv[1], "append") != 0))
        die("usage", "peal-store-bench append|scan [OPTION VALUE]...");
    if (scan) {
        b.there = 500000;
        b.rows = 10000;
    }
    read_options(&b, argc, argv);
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(b.folder, sizeof b.folder, "%s/peal-bench-XXXXXX", tmp != NULL ? tmp : "/tmp");
    b.ms = calloc(COMMITS_MAX, sizeof b.ms[0]);
    if (b.ms == NULL || mkdtemp(b.folder) == NULL)
        die(b.folder, "cannot be made");
    (void)snprintf(b.path, sizeof b.path, "%s/data.db", b.folder);
    (void)pthread_mutex_init(&b.mutex, NULL);
    (void)pthread_cond_init(&b.cond, NULL);
    rng_init(&b.rng, 1);
    rng_fill(&b.rng, b.value, sizeof b.value);
    count_wal();
    if (scan)
        bench_scan(&b);
    else
        bench_append(&b);
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < PEAL_COUNT(suffixes); i++) {
        char name[sizeof b.path + 8];
        (void)snprintf(name, sizeof name, "%s%s", b.path, suffixes[i]);
        (void)unlink(name);
    }
    (void)rmdir(b.folder);
    return 0;
}
