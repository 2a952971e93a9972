#include "twins.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LONG_US = 2000 * 1000 * 1000, GIVE_UP_S = 60, LIST_MAX = 64 * 1024 };

static void woken(void *arg)
{
    struct twin *t = arg;
    pthread_mutex_lock(&t->mutex);
    t->wakes++;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->mutex);
}

static void open_store(struct twin *t)
{
    char why[STORE_TEXT_MAX] = "";
    int rc = t->sqlite ? store_open_sqlite(t->path, &t->config, why, &t->s)
                       : store_open_memory(&t->config, &t->s);
    cr_assert(rc == 0, "the store does not open: %s %s", err_name(rc), why);
}

void twin_open(struct twin *t, bool sqlite)
{
    memset(t, 0, sizeof *t);
    t->sqlite = sqlite;
    rng_init(&t->rng, 1);
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->cond, NULL);
    t->config = store_config_default();
    t->config.lazy_us = LONG_US;
    t->config.retry_ms = 1;
    t->config.wake = woken;
    t->config.wake_arg = t;
    if (sqlite) {
        const char *tmp = getenv("TMPDIR");
        snprintf(t->folder, sizeof t->folder, "%s/peal-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
        cr_assert(mkdtemp(t->folder) != NULL, "no folder for the test: %s", t->folder);
        snprintf(t->path, sizeof t->path, "%s/data.db", t->folder);
    }
    open_store(t);
}

static void remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[PATH_MAX + 256];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(path);
    }
    closedir(d);
    rmdir(folder);
}

void twin_close(struct twin *t)
{
    int rc = store_close(t->s);
    cr_expect(rc == 0, "closing fails: %s", err_name(rc));
    if (t->sqlite)
        remove_folder(t->folder);
}

void twin_replace(struct twin *t)
{
    int rc = store_close(t->s);
    cr_assert(rc == 0, "closing fails: %s", err_name(rc));
    open_store(t);
}

void twin_reopen(struct twin *t)
{
    if (t->sqlite) {
        twin_replace(t);
        return;
    }
    int rc = store_memory_commit(t->s);
    cr_assert(rc == 0, "committing fails: %s", err_name(rc));
    store_memory_crash(t->s, &t->rng);
}

/* Waits for one more wake after the number seen. */
static void wait_wake(struct twin *t, uint64_t seen)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GIVE_UP_S;
    int rc = 0;
    pthread_mutex_lock(&t->mutex);
    while (t->wakes == seen && rc == 0)
        rc = pthread_cond_timedwait(&t->cond, &t->mutex, &until);
    pthread_mutex_unlock(&t->mutex);
    cr_assert(rc == 0, "the store never woke its host");
}

static uint64_t wakes(struct twin *t)
{
    pthread_mutex_lock(&t->mutex);
    uint64_t n = t->wakes;
    pthread_mutex_unlock(&t->mutex);
    return n;
}

void twin_wait_durable(struct twin *t, uint64_t ticket)
{
    if (!t->sqlite) {
        int rc = store_memory_commit(t->s);
        cr_assert(rc == 0, "committing fails: %s", err_name(rc));
        cr_assert(store_durable(t->s) >= ticket, "a commit leaves tickets behind");
        return;
    }
    for (;;) {
        uint64_t seen = wakes(t);
        if (store_durable(t->s) >= ticket)
            return;
        wait_wake(t, seen);
    }
}

void twin_sync(struct twin *t)
{
    uint64_t ticket;
    int rc = store_submit(t->s, NULL, 0, &ticket);
    cr_assert(rc == 0, "an empty submit fails: %s", err_name(rc));
    store_flush(t->s);
    twin_wait_durable(t, ticket);
}

void twin_wait_health(struct twin *t, int health)
{
    store_flush(t->s);
    if (!t->sqlite) {
        int rc = store_memory_commit(t->s);
        cr_assert(rc == health, "committing gives %s", err_name(rc));
        cr_assert(store_health(t->s) == health, "health is %s", err_name(store_health(t->s)));
        return;
    }
    for (;;) {
        uint64_t seen = wakes(t);
        if (store_health(t->s) == health)
            return;
        wait_wake(t, seen);
    }
}

void twin_fill(struct twin *t, bool full)
{
    if (t->sqlite)
        store_set_quota(t->s, full ? 1 : 0);
    else
        store_memory_fill(t->s, full);
}

void twin_damage(struct twin *t, enum store_space space, const char *key)
{
    if (!t->sqlite) {
        int rc = store_memory_damage(t->s, space, peal_bytes_str(key));
        cr_assert(rc == 0, "nothing to damage: %s", err_name(rc));
        return;
    }
    char sql[256];
    snprintf(sql, sizeof sql, "UPDATE %s SET value = x'00' WHERE key = CAST('%s' AS BLOB)",
             store_space_name(space), key);
    cr_assert(twin_sql(t, sql) == 1, "nothing to damage: %s", sql);
}

/* ---- SQLite's file ---- */

static sqlite3 *connect_to(const struct twin *t)
{
    sqlite3 *db;
    cr_assert(sqlite3_open(t->path, &db) == SQLITE_OK, "no connection to %s", t->path);
    sqlite3_busy_timeout(db, GIVE_UP_S * 1000);
    return db;
}

int twin_sql(const struct twin *t, const char *sql)
{
    sqlite3 *db = connect_to(t);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    cr_assert(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    int n = sqlite3_changes(db);
    sqlite3_close(db);
    return n;
}

long long twin_ask(const struct twin *t, const char *sql)
{
    sqlite3 *db = connect_to(t);
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    cr_assert(rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW, "%s: %s", sql,
              sqlite3_errmsg(db));
    long long answer = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return answer;
}

/* ---- short forms ---- */

struct store_write twin_put(enum store_space space, const char *key, const char *value)
{
    return (struct store_write){.space = space,
                                .op = STORE_PUT,
                                .key = peal_bytes_str(key),
                                .value = peal_bytes_str(value)};
}

struct store_write twin_absent(enum store_space space, const char *key, const char *value)
{
    struct store_write w = twin_put(space, key, value);
    w.op = STORE_PUT_IF_ABSENT;
    return w;
}

struct store_write twin_del(enum store_space space, const char *key)
{
    return (struct store_write){.space = space, .op = STORE_DEL, .key = peal_bytes_str(key)};
}

struct store_write twin_lazy(struct store_write w)
{
    w.lazy = true;
    return w;
}

struct store_write twin_fresh(struct store_write w)
{
    w.lazy = true;
    w.fresh = true;
    return w;
}

uint64_t twin_do(struct twin *t, struct store_write w)
{
    uint64_t ticket = 0;
    int rc = store_submit(t->s, &w, 1, &ticket);
    cr_assert(rc == 0, "a submit fails: %s: %s", err_name(rc), store_error_text(t->s));
    return ticket;
}

const char *twin_get(struct twin *t, enum store_space space, const char *key)
{
    static uint8_t room[STORE_VALUE_MAX + 64];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, room, sizeof room);
    int rc = store_get(t->s, space, peal_bytes_str(key), &a, &v);
    if (rc == PEAL_E_NOT_FOUND)
        return "-";
    return rc == 0 ? (const char *)v.p : err_name(rc);
}

struct list {
    char text[LIST_MAX];
    size_t n;
};

static bool list_pair(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    struct list *l = arg;
    int n = snprintf(l->text + l->n, sizeof l->text - l->n, "%s%.*s=%.*s", l->n > 0 ? " " : "",
                     (int)key.n, (const char *)key.p, (int)value.n, (const char *)value.p);
    l->n += (size_t)n;
    cr_assert(l->n < sizeof l->text, "too much to list");
    return true;
}

const char *twin_list(struct twin *t, enum store_space space, const char *from, const char *to,
                      size_t limit)
{
    static struct list l;
    l.n = 0;
    l.text[0] = '\0';
    int rc =
        store_scan(t->s, space, peal_bytes_str(from), peal_bytes_str(to), limit, list_pair, &l);
    if (rc != 0)
        snprintf(l.text + l.n, sizeof l.text - l.n, " %s", err_name(rc));
    return l.text;
}

uint64_t twin_count(struct twin *t, enum store_space space, const char *from, const char *to)
{
    uint64_t n;
    int rc = store_count(t->s, space, peal_bytes_str(from), peal_bytes_str(to), &n);
    cr_assert(rc == 0, "counting fails: %s", err_name(rc));
    return n;
}
