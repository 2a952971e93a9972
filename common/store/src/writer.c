/* The writer's thread: takes the whole queue, writes it in one transaction, reports. Its states:
 *
 *     idle --(something waits)--> holding --(urgent, many, or the oldest is due)--> writing
 *      ^                                                                          |  |  ^
 *      +--------------------------------(committed)-------------------------------+  |  |
 *                                                                 failed <--(error)--+  |
 *                                                                    +--(retry_ms)------+
 *
 * The batch stays in s->flight until a transaction with all of it has succeeded. Writing it again
 * is harmless even where an error left open whether it took: each key occurs once in it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "index.h"

uint64_t sqlite_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- one batch ---- */

static int write_entry(struct sqlite_store *s, const struct entry *e)
{
    struct connection *c = &s->writer;
    enum store_space space = (enum store_space)e->space;
    struct peal_bytes key = entry_key(e);
    struct peal_bytes value = entry_value(e);
    sqlite3_stmt *stmt = NULL;
    switch ((enum store_op)e->op) {
    case STORE_PUT:
        stmt = c->stmt[space][STMT_PUT];
        break;
    case STORE_PUT_IF_ABSENT:
        stmt = c->stmt[space][STMT_PUT_IF_ABSENT];
        break;
    case STORE_DEL:
        stmt = c->stmt[space][STMT_DEL];
        break;
    }
    CHECK(stmt != NULL);
    int rc = sqlite_bind(stmt, 1, key);
    if (rc == SQLITE_OK && e->op != STORE_DEL)
        rc = sqlite_bind(stmt, 2, value);
    if (rc == SQLITE_OK && e->op != STORE_DEL)
        rc = sqlite3_bind_int64(stmt, 3, sqlite_checksum(space, key, value));
    return rc == SQLITE_OK ? sqlite_run(stmt) : rc;
}

static int write_entries(struct sqlite_store *s, struct index_step *step, struct store_stats *done)
{
    for (size_t i = 0; i < SPACE_COUNT; i++) {
        const struct table *t = &s->store.flight.spaces[i];
        for (const struct entry *e = table_first(t); e != NULL; e = table_next(e)) {
            int rc = i == STORE_ROWS ? index_write(s, e, step) : write_entry(s, e);
            if (rc != SQLITE_OK)
                return rc;
            *(e->op == STORE_DEL ? &done->dels_written : &done->puts_written) += 1;
        }
    }
    return index_sweep(s, step);
}

/* The quota is SQLite's limit on the file's pages; 0 asks for SQLite's own maximum. */
static int apply_quota(struct sqlite_store *s)
{
    uint64_t quota = atomic_load(&s->quota);
    if (quota == s->quota_in_force)
        return SQLITE_OK;
    sqlite3 *db = s->writer.db;
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, "PRAGMA page_size", -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return rc;
    uint64_t page = sqlite3_step(stmt) == SQLITE_ROW ? (uint64_t)sqlite3_column_int(stmt, 0) : 1;
    (void)sqlite3_finalize(stmt);
    uint64_t pages = quota == 0 ? UINT32_MAX - 1 : quota / page;
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count = %llu",
                   (unsigned long long)(pages == 0 ? 1 : pages));
    rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        s->quota_in_force = quota;
    return rc;
}

/* Writes s->flight, which nobody changes meanwhile. On an error says why. */
static int write_batch(struct sqlite_store *s, struct store_stats *done, char text[STORE_TEXT_MAX])
{
    sqlite3 *db = s->writer.db;
    struct index_step step = {0};
    int rc = apply_quota(s);
    if (rc == SQLITE_OK)
        rc = index_begin(s, &step);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = write_entries(s, &step, done);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        index_apply(s, &step);
        return 0;
    }
    index_forget(s, &step);
    (void)snprintf(text, STORE_TEXT_MAX, "writing to the store fails: %s (SQLite error %d)",
                   sqlite3_errmsg(db), sqlite3_extended_errcode(db));
    int err = sqlite_error(db, rc);
    if (!sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    switch (err) {
    case PEAL_E_NO_SPACE:
    case PEAL_E_CORRUPT:
        return err;
    default:
        return PEAL_E_IO;
    }
}

/* ---- the thread; everything below holds the mutex unless it says otherwise ---- */

/* When there is something to do: 0 is now, UINT64_MAX never. */
static uint64_t due(const struct sqlite_store *s)
{
    const struct queue *now = &s->store.now;
    if (s->store.flight.first != NULL)
        return s->stop ? 0 : s->retry_at;
    if (now->first == NULL)
        return UINT64_MAX;
    if (s->stop || now->urgent || now->bytes >= s->store.config.flush_bytes)
        return 0;
    return now->first->deadline;
}

void writer_nudge(struct sqlite_store *s)
{
    if (s->sleeps_until > due(s)) {
        s->sleeps_until = 0;
        (void)pthread_cond_signal(&s->cond);
    }
}

static void sleep_until(struct sqlite_store *s, uint64_t when)
{
    s->sleeps_until = when;
    if (when == UINT64_MAX) {
        (void)pthread_cond_wait(&s->cond, &s->mutex);
    } else {
        struct timespec t = {.tv_sec = (time_t)(when / 1000000),
                             .tv_nsec = (long)(when % 1000000) * 1000};
        (void)pthread_cond_timedwait(&s->cond, &s->mutex, &t);
    }
    s->sleeps_until = 0;
}

static void succeeded(struct sqlite_store *s, struct queue *written, const struct store_stats *done)
{
    struct store_stats *stats = &s->store.stats;
    *written = s->store.flight;
    queue_init(&s->store.flight, false);
    stats->commits++;
    stats->puts_written += done->puts_written;
    stats->dels_written += done->dels_written;
    atomic_store(&s->store.health, 0);
}

static void failed(struct sqlite_store *s, int err, const char text[STORE_TEXT_MAX])
{
    s->store.stats.failures++;
    memcpy(s->health_text, text, STORE_TEXT_MAX);
    atomic_store(&s->store.health, err);
    s->retry_at = sqlite_now_us() + (uint64_t)s->store.config.retry_ms * 1000;
}

/* One attempt at s->flight; lets go of the mutex while it writes. False: it failed. */
static bool attempt(struct sqlite_store *s)
{
    int health = atomic_load(&s->store.health);
    (void)pthread_mutex_unlock(&s->mutex);
    char text[STORE_TEXT_MAX] = "";
    struct store_stats done = {0};
    int rc = write_batch(s, &done, text);
    struct queue written = {0};
    (void)pthread_mutex_lock(&s->mutex);
    if (rc == 0)
        succeeded(s, &written, &done);
    else
        failed(s, rc, text);
    bool news = store_advance(&s->store) || health != rc;
    (void)pthread_mutex_unlock(&s->mutex);
    if (news && s->store.config.wake != NULL)
        s->store.config.wake(s->store.config.wake_arg);
    queue_free(&written);
    (void)pthread_mutex_lock(&s->mutex);
    return rc == 0;
}

static void *writer_main(void *arg)
{
    struct sqlite_store *s = arg;
    (void)pthread_mutex_lock(&s->mutex);
    for (;;) {
        uint64_t when = due(s);
        if (s->stop && when == UINT64_MAX)
            break;
        if (when > sqlite_now_us()) {
            sleep_until(s, when);
            continue;
        }
        if (s->store.flight.first == NULL) {
            s->store.flight = s->store.now;
            queue_init(&s->store.now, false);
        }
        if (!attempt(s) && s->stop)
            break;
    }
    (void)pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* Outside the mutex. Signals are the main thread's business. */
int writer_start(struct sqlite_store *s)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    s->running = pthread_create(&s->thread, NULL, writer_main, s) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->running ? 0 : PEAL_E_NO_MEMORY;
}

/* Outside the mutex. */
void writer_stop(struct sqlite_store *s)
{
    if (!s->running)
        return;
    (void)pthread_mutex_lock(&s->mutex);
    s->stop = true;
    (void)pthread_cond_signal(&s->cond);
    (void)pthread_mutex_unlock(&s->mutex);
    (void)pthread_join(s->thread, NULL);
    s->running = false;
}
