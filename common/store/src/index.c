#include "index.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    APPLY_STEP = 256, /* keys that are changed in memory before the readers get a turn */
    SWEEP_EXTRA = 8,  /* a sweep moves one key in so many more than were appended */
};

static const char *const statements[ROWS_COUNT] = {
    [ROWS_APPEND] = "INSERT INTO rows (id, key, sum, value) VALUES (?1, ?2, ?3, ?4)",
    [ROWS_REPLACE] = "UPDATE rows SET sum = ?3, value = ?4 WHERE id = ?1 AND key = ?2",
    [ROWS_DELETE] = "DELETE FROM rows WHERE id = ?1 AND key = ?2",
    [ROWS_PLACE] = "REPLACE INTO rows_index (key, id) VALUES (?1, ?2)",
    [ROWS_UNPLACE] = "DELETE FROM rows_index WHERE key = ?1",
    [ROWS_MARK] = "UPDATE rows_mark SET id = ?1",
    [ROWS_SINCE] = "SELECT id, key FROM rows WHERE id > ?1 ORDER BY id",
    [ROWS_FIND] = "SELECT id FROM rows_index WHERE key = ?1",
    [ROWS_READ] = "SELECT key, sum, value FROM rows WHERE id = ?1",
    [ROWS_WALK] = "SELECT key, id FROM rows_index WHERE key >= ?1 ORDER BY key",
};

int index_prepare(struct connection *c, bool writer)
{
    enum rows_statement from = writer ? ROWS_APPEND : ROWS_FIND;
    enum rows_statement to = writer ? ROWS_FIND : ROWS_WALK;
    int rc = SQLITE_OK;
    for (size_t i = from; rc == SQLITE_OK && i <= to; i++)
        rc = sqlite3_prepare_v3(c->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &c->rows[i],
                                NULL);
    return rc;
}

/* A recent key in memory; NULL: no memory. */
static struct entry *recent_entry(struct index *x, struct peal_bytes key, int64_t row)
{
    struct store_write w = {.space = STORE_ROWS, .op = STORE_PUT, .key = key};
    struct entry *e = table_entry(&x->dice, &w);
    if (e != NULL)
        e->row = row;
    return e;
}

/* ---- writing ---- */

/* Where the key's row is; *row 0: nowhere. *recent is the key in memory, or NULL. */
static int find(struct sqlite_store *s, struct peal_bytes key, int64_t *row, struct entry **recent)
{
    *row = 0;
    *recent = table_find(&s->index.recent, key);
    if (*recent != NULL)
        *row = (*recent)->row;
    if (*recent != NULL || !s->index.state.placed)
        return SQLITE_OK;
    sqlite3_stmt *stmt = s->writer.rows[ROWS_FIND];
    int rc = sqlite_bind(stmt, 1, key);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *row = sqlite3_column_int64(stmt, 0);
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : reset;
}

/* Runs a statement whose first two places are a row's number and its key. */
static int run_on(sqlite3_stmt *stmt, int64_t row, struct peal_bytes key)
{
    int rc = sqlite3_bind_int64(stmt, 1, row);
    if (rc == SQLITE_OK)
        rc = sqlite_bind(stmt, 2, key);
    return rc == SQLITE_OK ? sqlite_run(stmt) : rc;
}

/* The same, with checksum and value behind them. */
static int run_with(sqlite3_stmt *stmt, int64_t row, const struct entry *e)
{
    struct peal_bytes key = entry_key(e);
    struct peal_bytes value = entry_value(e);
    int rc = sqlite3_bind_int64(stmt, 3, sqlite_checksum(STORE_ROWS, key, value));
    if (rc == SQLITE_OK)
        rc = sqlite_bind(stmt, 4, value);
    return rc == SQLITE_OK ? run_on(stmt, row, key) : rc;
}

static int append(struct sqlite_store *s, const struct entry *e, struct index_step *step)
{
    struct entry *added = recent_entry(&s->index, entry_key(e), step->state.last + 1);
    if (added == NULL)
        return SQLITE_NOMEM;
    added->next = step->added;
    step->added = added;
    step->appended++;
    step->state.last++;
    return run_with(s->writer.rows[ROWS_APPEND], added->row, e);
}

static void drop_recent(struct index_step *step, struct entry *recent)
{
    CHECK(!recent->gone);
    recent->gone = true;
    recent->next = step->gone;
    step->gone = recent;
}

/* The key may be in rows_index although it is recent: see the head of index.h. */
static int unplace(struct sqlite_store *s, struct peal_bytes key, struct entry *recent,
                   struct index_step *step)
{
    sqlite3_stmt *stmt = s->writer.rows[ROWS_UNPLACE];
    if (recent != NULL)
        drop_recent(step, recent);
    if (!s->index.state.placed)
        return SQLITE_OK;
    int rc = sqlite_bind(stmt, 1, key);
    return rc == SQLITE_OK ? sqlite_run(stmt) : rc;
}

/* A row keeps its number when its value is replaced. Should the number not lead to a row of that
 * key, which is damage, the key gets a new one. */
static int replace(struct sqlite_store *s, const struct entry *e, int64_t row, struct entry *recent,
                   struct index_step *step)
{
    int rc = run_with(s->writer.rows[ROWS_REPLACE], row, e);
    if (rc != SQLITE_OK || sqlite3_changes(s->writer.db) > 0)
        return rc;
    rc = unplace(s, entry_key(e), recent, step);
    return rc == SQLITE_OK ? append(s, e, step) : rc;
}

int index_write(struct sqlite_store *s, const struct entry *e, struct index_step *step)
{
    struct peal_bytes key = entry_key(e);
    struct entry *recent;
    int64_t row;
    int rc = find(s, key, &row, &recent);
    if (rc != SQLITE_OK)
        return rc;
    switch ((enum store_op)e->op) {
    case STORE_PUT:
        return row != 0 ? replace(s, e, row, recent, step) : append(s, e, step);
    case STORE_PUT_IF_ABSENT:
        return row != 0 ? SQLITE_OK : append(s, e, step);
    case STORE_DEL:
        if (row == 0)
            return SQLITE_OK;
        rc = run_on(s->writer.rows[ROWS_DELETE], row, key);
        return rc == SQLITE_OK ? unplace(s, key, recent, step) : rc;
    }
    CHECK(false);
    return SQLITE_MISUSE;
}

/* ---- the sweep ---- */

static int place(struct sqlite_store *s, struct entry *recent, struct index_step *step)
{
    sqlite3_stmt *stmt = s->writer.rows[ROWS_PLACE];
    int rc = sqlite3_bind_int64(stmt, 2, recent->row);
    if (rc == SQLITE_OK)
        rc = sqlite_bind(stmt, 1, entry_key(recent));
    if (rc == SQLITE_OK)
        rc = sqlite_run(stmt);
    if (rc == SQLITE_OK)
        drop_recent(step, recent);
    return rc;
}

static int end_sweep(struct sqlite_store *s, struct index_state *state)
{
    sqlite3_stmt *stmt = s->writer.rows[ROWS_MARK];
    state->sweeping = false;
    state->mark = state->upto;
    int rc = sqlite3_bind_int64(stmt, 1, state->mark);
    return rc == SQLITE_OK ? sqlite_run(stmt) : rc;
}

int index_sweep(struct sqlite_store *s, struct index_step *step)
{
    struct index *x = &s->index;
    struct index_state *state = &step->state;
    if (step->appended == 0)
        return SQLITE_OK;
    if (!state->sweeping) {
        if (x->recent_n < s->store.config.recent_max)
            return SQLITE_OK;
        state->sweeping = true;
        state->placed = true;
        state->upto = x->state.last;
        state->hand_size = 0;
    }
    size_t left = step->appended + step->appended / SWEEP_EXTRA + 1;
    struct entry *e = table_seek(&x->recent, peal_bytes_of(state->hand, state->hand_size));
    for (; e != NULL && left > 0; e = table_next(e)) {
        if (e->row > state->upto || e->gone)
            continue;
        int rc = place(s, e, step);
        if (rc != SQLITE_OK)
            return rc;
        left--;
    }
    if (e == NULL)
        return end_sweep(s, state);
    struct peal_bytes hand = entry_key(e);
    memcpy(state->hand, hand.p, hand.n);
    state->hand_size = hand.n;
    return SQLITE_OK;
}

/* ---- a step in memory ---- */

static void add_recent(struct index *x, struct entry *e)
{
    struct table_path path;
    struct entry *old = table_path(&x->recent, entry_key(e), &path);
    CHECK(old == NULL);
    table_link(&path, e);
    x->recent_n++;
}

static void remove_recent(struct index *x, struct entry *e)
{
    struct table_path path;
    struct entry *old = table_path(&x->recent, entry_key(e), &path);
    CHECK(old == e && x->recent_n > 0);
    table_unlink(&path, e);
    x->recent_n--;
    free(e);
}

static void free_list(struct entry *e)
{
    while (e != NULL) {
        struct entry *next = e->next;
        free(e);
        e = next;
    }
}

void index_apply(struct sqlite_store *s, struct index_step *step)
{
    struct index *x = &s->index;
    size_t turns = 0;
    (void)pthread_mutex_lock(&s->mutex);
    while (step->gone != NULL || step->added != NULL) {
        struct entry **list = step->gone != NULL ? &step->gone : &step->added;
        bool gone = list == &step->gone;
        struct entry *e = *list;
        *list = e->next;
        if (gone)
            remove_recent(x, e);
        else
            add_recent(x, e);
        if (++turns % APPLY_STEP == 0) {
            (void)pthread_mutex_unlock(&s->mutex);
            (void)pthread_mutex_lock(&s->mutex);
        }
    }
    (void)pthread_mutex_unlock(&s->mutex);
    x->state = step->state;
}

void index_forget(struct sqlite_store *s, struct index_step *step)
{
    for (struct entry *e = step->gone; e != NULL; e = e->next)
        e->gone = false;
    free_list(step->added);
    *step = (struct index_step){0};
    s->index.unsure = true;
}

/* ---- from the file ---- */

/* The keys of the rows behind `since` become recent. A SQLite result code; SQLITE_CORRUPT_INDEX
 * when a key is not of its form. */
static int read_recent(struct sqlite_store *s, int64_t since)
{
    struct index *x = &s->index;
    sqlite3_stmt *stmt = s->writer.rows[ROWS_SINCE];
    int rc = sqlite3_bind_int64(stmt, 1, since);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t row = sqlite3_column_int64(stmt, 0);
        struct peal_bytes key = sqlite_column(stmt, 1);
        rc = key.n > 0 && key.n <= STORE_KEY_MAX ? SQLITE_OK : SQLITE_CORRUPT_INDEX;
        struct entry *e = rc == SQLITE_OK ? recent_entry(x, key, row) : NULL;
        if (e == NULL)
            rc = rc == SQLITE_OK ? SQLITE_NOMEM : rc;
        if (rc != SQLITE_OK)
            break;
        (void)pthread_mutex_lock(&s->mutex);
        struct table_path path;
        struct entry *old = table_path(&x->recent, key, &path);
        if (old != NULL) { /* of two rows with one key, which is damage, the newer one */
            table_unlink(&path, old);
            free(old);
            x->recent_n--;
        }
        table_link(&path, e);
        x->recent_n++;
        (void)pthread_mutex_unlock(&s->mutex);
        x->state.last = row;
    }
    (void)sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int index_begin(struct sqlite_store *s, struct index_step *step)
{
    struct index *x = &s->index;
    int rc = x->unsure ? read_recent(s, x->state.last) : SQLITE_OK;
    if (rc == SQLITE_OK) {
        x->unsure = false;
        *step = (struct index_step){.state = x->state};
    }
    return rc;
}

/* What the pairs of key and number come to, in whatever order they are met. */
struct tally {
    uint64_t n, sum;
};

static int tally(sqlite3 *db, const char *sql, struct tally *t)
{
    static const uint8_t seed[crypto_shorthash_KEYBYTES] = "peal.row.number";
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        uint8_t pair[STORE_KEY_MAX + 8], hash[crypto_shorthash_BYTES];
        struct peal_bytes key = sqlite_column(stmt, 0);
        struct wr w;
        wr_init(&w, pair, sizeof pair);
        wr_u64(&w, (uint64_t)sqlite3_column_int64(stmt, 1));
        wr_bytes(&w, key.p, key.n < STORE_KEY_MAX ? key.n : STORE_KEY_MAX);
        (void)crypto_shorthash(hash, pair, w.n, seed);
        struct rd r;
        rd_init(&r, hash, sizeof hash);
        t->sum += rd_u64(&r);
        t->n++;
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int read_mark(struct sqlite_store *s)
{
    static const char sql[] = "SELECT id, EXISTS (SELECT 1 FROM rows_index) FROM rows_mark";
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(s->writer.db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        s->index.state.mark = sqlite3_column_int64(stmt, 0);
        s->index.state.placed = sqlite3_column_int(stmt, 1) != 0;
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_CORRUPT_INDEX : rc;
}

/* rows_index holds nothing that the rows do not say as well: where they differ, the rows are
 * right. */
static int check(struct sqlite_store *s)
{
    static const char rows[] = "SELECT key, id FROM rows WHERE id <= (SELECT id FROM rows_mark)";
    static const char placed[] = "SELECT key, id FROM rows_index"
                                 " WHERE id <= (SELECT id FROM rows_mark)";
    static const char anew[] = "BEGIN IMMEDIATE;"
                               "DELETE FROM rows_index;"
                               "INSERT INTO rows_index (key, id) SELECT key, max(id) FROM rows"
                               " GROUP BY key ORDER BY key;"
                               "UPDATE rows_mark SET id = (SELECT coalesce(max(id), 0) FROM rows);"
                               "COMMIT";
    sqlite3 *db = s->writer.db;
    struct tally a = {0}, b = {0};
    int rc = tally(db, rows, &a);
    if (rc == SQLITE_OK)
        rc = tally(db, placed, &b);
    if (rc != SQLITE_OK || (a.n == b.n && a.sum == b.sum))
        return rc;
    rc = sqlite3_exec(db, anew, NULL, NULL, NULL);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int index_open(struct sqlite_store *s, char why[static STORE_TEXT_MAX])
{
    struct index *x = &s->index;
    x->dice = 0x9e3779b97f4a7c15U;
    int rc = check(s);
    if (rc == SQLITE_OK)
        rc = read_mark(s);
    x->state.last = x->state.mark;
    if (rc == SQLITE_OK)
        rc = read_recent(s, x->state.mark);
    if (rc == SQLITE_OK)
        return 0;
    if (rc != SQLITE_CORRUPT_INDEX)
        return sqlite_say_open(why, s->writer.db, rc, "cannot read the rows' index");
    (void)snprintf(why, STORE_TEXT_MAX, "the data file is damaged: the keys of its rows");
    return PEAL_E_CORRUPT;
}

void index_close(struct sqlite_store *s)
{
    for (struct entry *e = table_first(&s->index.recent), *next; e != NULL; e = next) {
        next = table_next(e);
        free(e);
    }
    s->index.recent = (struct table){0};
}

/* ---- reading ---- */

void index_read_end(struct sqlite_store *s)
{
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        if (s->reader.rows[i] != NULL)
            (void)sqlite3_reset(s->reader.rows[i]);
    }
}

static int read_row(struct sqlite_store *s, int64_t row, struct peal_bytes key,
                    struct peal_bytes *value)
{
    sqlite3_stmt *stmt = s->reader.rows[ROWS_READ];
    (void)sqlite3_reset(stmt);
    int rc = sqlite3_bind_int64(stmt, 1, row);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE)
        return ROW_UNSOUND;
    if (rc != SQLITE_ROW)
        return sqlite_say_read(s, rc);
    *value = sqlite_column(stmt, 2);
    bool sound = peal_bytes_eq(sqlite_column(stmt, 0), key) &&
                 sqlite_sound(STORE_ROWS, key, *value, sqlite3_column_int64(stmt, 1));
    return sound ? 0 : ROW_UNSOUND;
}

int index_read(struct sqlite_store *s, struct peal_bytes key, struct peal_bytes *value)
{
    const struct entry *recent = table_find(&s->index.recent, key);
    if (recent != NULL)
        return read_row(s, recent->row, key, value);
    sqlite3_stmt *stmt = s->reader.rows[ROWS_FIND];
    int rc = sqlite_bind(stmt, 1, key);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return read_row(s, sqlite3_column_int64(stmt, 0), key, value);
    return rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : sqlite_say_read(s, rc);
}

/* Goes to the next entry of rows_index. */
static int walk(struct index_cursor *c)
{
    int rc = sqlite3_step(c->s->reader.rows[ROWS_WALK]);
    c->begun = true;
    c->on = rc == SQLITE_ROW;
    return c->on || rc == SQLITE_DONE ? 0 : sqlite_say_read(c->s, rc);
}

static int cursor_step(struct base_cursor *base)
{
    struct index_cursor *c = (struct index_cursor *)base;
    sqlite3_stmt *stmt = c->s->reader.rows[ROWS_WALK];
    if (c->at != NULL)
        c->recent = table_next(c->at);
    int rc = !c->begun || c->placed ? walk(c) : 0;
    c->at = NULL;
    c->placed = false;
    if (rc != 0)
        return rc;
    if (!c->on && c->recent == NULL)
        return 0;
    struct peal_bytes placed = {0};
    if (c->on)
        placed = sqlite_column(stmt, 0);
    if (c->on && (placed.n == 0 || placed.n > STORE_KEY_MAX))
        return sqlite_say_key(c->s, STORE_ROWS, placed.n);
    int order = 0;
    if (c->on && c->recent != NULL)
        order = key_cmp(placed, entry_key(c->recent));
    if (c->on && order <= 0) {
        c->placed = true;
        c->row = sqlite3_column_int64(stmt, 1);
        base->key = placed;
    }
    if (c->recent != NULL && (!c->on || order >= 0)) {
        c->at = c->recent;
        c->row = c->recent->row;
        base->key = entry_key(c->recent);
    }
    return 1;
}

static int cursor_read(struct base_cursor *base)
{
    struct index_cursor *c = (struct index_cursor *)base;
    return read_row(c->s, c->row, base->key, &base->value);
}

int index_cursor(struct sqlite_store *s, struct peal_bytes from, struct index_cursor *c)
{
    *c = (struct index_cursor){
        .base = {.step = cursor_step, .read = cursor_read},
        .s = s,
        .recent = table_seek(&s->index.recent, from),
    };
    int rc = sqlite_bind(s->reader.rows[ROWS_WALK], 1, from);
    return rc == SQLITE_OK ? 0 : sqlite_say_read(s, rc);
}
