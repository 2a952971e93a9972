/* The profile's messages and outbox. */
#include <string.h>

#include "db.h"

const char *msg_state_name(int state)
{
    static const char *const names[] = {
        [MSG_QUEUED] = "queued",       [MSG_FAILED] = "failed", [MSG_STORED] = "stored",
        [MSG_DELIVERED] = "delivered", [MSG_READ] = "read",     [MSG_UNREADABLE] = "unreadable",
        [MSG_EXPIRED] = "expired",
    };
    return state >= 0 && (size_t)state < PEAL_COUNT(names) ? names[state] : "unknown";
}

static sqlite3_stmt *use_with_id(struct profile *p, enum db_sql sql, const char *me,
                                 const struct peal_msg_id *id)
{
    sqlite3_stmt *st = db_use(p, sql);
    db_str(st, 1, me);
    db_blob(st, 2, id->b, sizeof id->b);
    return st;
}

int profile_message_add(struct profile *p, const char *me, const struct entry *e)
{
    sqlite3_stmt *st = use_with_id(p, DB_MESSAGE_ADD, me, &e->id);
    db_str(st, 3, e->peer);
    db_int(st, 4, e->outgoing);
    db_int(st, 5, e->unread);
    db_int(st, 6, e->state);
    db_int(st, 7, (int64_t)e->stamp);
    sqlite3_bind_text64(st, 8, e->text.n != 0 ? (const char *)e->text.p : "", e->text.n,
                        SQLITE_STATIC, SQLITE_UTF8);
    if (e->raw.n != 0)
        db_blob(st, 9, e->raw.p, e->raw.n);
    int err = db_run(p, DB_MESSAGE_ADD);
    if (err == 0 && sqlite3_changes(p->db) == 0)
        err = PEAL_E_EXISTS;
    return err;
}

int profile_message_advance(struct profile *p, const char *me, const struct peal_msg_id *id,
                            const char *peer, int state, bool *done)
{
    sqlite3_stmt *st = use_with_id(p, DB_MESSAGE_ADVANCE, me, id);
    if (peer != NULL)
        db_str(st, 3, peer);
    db_int(st, 4, state);
    int err = db_run(p, DB_MESSAGE_ADVANCE);
    *done = err == 0 && sqlite3_changes(p->db) != 0;
    return err;
}

int profile_message_peer(struct profile *p, const char *me, const struct peal_msg_id *id,
                         char out[static NAME_BYTES_MAX + 1])
{
    sqlite3_stmt *st = use_with_id(p, DB_MESSAGE_PEER, me, id);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0)
        err = peal_bytes_to_str(db_col(st, 0), NAME_BYTES_MAX + 1, out);
    db_done(p, DB_MESSAGE_PEER);
    return err;
}

/* The one number that a statement gives. */
static int one_number(struct profile *p, enum db_sql sql, int64_t *out)
{
    int rc = sqlite3_step(p->stmts[sql]);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0)
        *out = sqlite3_column_int64(p->stmts[sql], 0);
    db_done(p, sql);
    return err;
}

int profile_message_state(struct profile *p, const char *me, const struct peal_msg_id *id,
                          int *state)
{
    int64_t value = 0;
    (void)use_with_id(p, DB_MESSAGE_STATE, me, id);
    int err = one_number(p, DB_MESSAGE_STATE, &value);
    *state = (int)value;
    return err;
}

int profile_last_stamp(struct profile *p, const char *me, uint64_t *out)
{
    int64_t value = 0;
    db_str(db_use(p, DB_LAST_STAMP), 1, me);
    int err = one_number(p, DB_LAST_STAMP, &value);
    *out = (uint64_t)value;
    return err;
}

int profile_stamp_of(struct profile *p, const char *me, const struct peal_msg_id *id,
                     uint64_t *stamp)
{
    int64_t value = 0;
    (void)use_with_id(p, DB_STAMP_OF, me, id);
    int err = one_number(p, DB_STAMP_OF, &value);
    *stamp = (uint64_t)value;
    return err;
}

int profile_mark_read(struct profile *p, const char *me, const struct peal_msg_id *id)
{
    (void)use_with_id(p, DB_MESSAGE_READ, me, id);
    return db_run(p, DB_MESSAGE_READ);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static int read_id(struct peal_bytes b, struct peal_msg_id *out)
{
    if (b.n != sizeof out->b)
        return PEAL_E_CORRUPT;
    memcpy(out->b, b.p, sizeof out->b);
    return 0;
}

static int read_entry(sqlite3_stmt *st, struct entry *e)
{
    memset(e, 0, sizeof *e);
    int err = read_id(db_col(st, 0), &e->id);
    e->peer = (const char *)sqlite3_column_text(st, 1);
    e->outgoing = sqlite3_column_int(st, 2) != 0;
    e->unread = sqlite3_column_int(st, 3) != 0;
    e->state = sqlite3_column_int(st, 4);
    e->stamp = (uint64_t)sqlite3_column_int64(st, 5);
    e->text.p = sqlite3_column_text(st, 6);
    e->text.n = (size_t)sqlite3_column_bytes(st, 6);
    return err;
}

static int each_entry(struct profile *p, enum db_sql sql,
                      void (*each)(void *user, const struct entry *e), void *user)
{
    sqlite3_stmt *st = p->stmts[sql];
    int rc;
    int err = 0;
    while (err == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
        struct entry e;
        err = rc == SQLITE_ROW ? read_entry(st, &e) : db_err(rc);
        if (err == 0)
            each(user, &e);
    }
    db_done(p, sql);
    return err;
}

int profile_history(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                    const struct peal_msg_id *id, uint32_t limit,
                    void (*each)(void *user, const struct entry *e), void *user)
{
    static const struct peal_msg_id first = {{0}};
    sqlite3_stmt *st = db_use(p, DB_HISTORY);
    db_str(st, 1, me);
    db_str(st, 2, peer);
    db_int(st, 3, stamp > INT64_MAX ? INT64_MAX : (int64_t)stamp);
    db_blob(st, 4, id != NULL ? id->b : first.b, sizeof first.b);
    db_int(st, 5, limit);
    return each_entry(p, DB_HISTORY, each, user);
}

int profile_unread(struct profile *p, const char *me, const char *peer, uint32_t limit,
                   void (*each)(void *user, const struct entry *e), void *user)
{
    sqlite3_stmt *st = db_use(p, DB_UNREAD);
    db_str(st, 1, me);
    if (peer != NULL)
        db_str(st, 2, peer);
    db_int(st, 3, limit);
    return each_entry(p, DB_UNREAD, each, user);
}

int profile_conversations(struct profile *p, const char *me, uint32_t limit,
                          void (*each)(void *user, const struct entry *last, uint64_t unread),
                          void *user)
{
    sqlite3_stmt *st = db_use(p, DB_CONVERSATIONS);
    db_str(st, 1, me);
    db_int(st, 2, limit);
    int rc;
    int err = 0;
    while (err == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
        struct entry e;
        err = rc == SQLITE_ROW ? read_entry(st, &e) : db_err(rc);
        if (err == 0)
            each(user, &e, (uint64_t)sqlite3_column_int64(st, 7));
    }
    db_done(p, DB_CONVERSATIONS);
    return err;
}

/* ---- outbox -------------------------------------------------------------------------- */

int profile_outbox_add(struct profile *p, const char *me, const struct outrow *row)
{
    sqlite3_stmt *st = use_with_id(p, DB_OUTBOX_ADD, me, &row->id);
    db_str(st, 3, row->peer);
    db_int(st, 4, row->kind);
    if (row->body.p != NULL)
        db_blob(st, 5, row->body.p, row->body.n);
    return db_run(p, DB_OUTBOX_ADD);
}

int profile_outbox_clear(struct profile *p, const char *me)
{
    sqlite3_stmt *st = db_use(p, DB_OUTBOX_CLEAR);
    db_str(st, 1, me);
    return db_run(p, DB_OUTBOX_CLEAR);
}

int profile_outbox_del(struct profile *p, const char *me, const struct peal_msg_id *id)
{
    (void)use_with_id(p, DB_OUTBOX_DEL, me, id);
    return db_run(p, DB_OUTBOX_DEL);
}

static int read_outrow(sqlite3_stmt *st, struct outrow *row)
{
    row->seq = sqlite3_column_int64(st, 0);
    row->peer = (const char *)sqlite3_column_text(st, 2);
    row->kind = (uint8_t)sqlite3_column_int(st, 3);
    row->body = db_col(st, 4);
    return read_id(db_col(st, 1), &row->id);
}

int profile_outbox(struct profile *p, const char *me, int64_t after,
                   bool (*each)(void *user, const struct outrow *row), void *user)
{
    sqlite3_stmt *st = db_use(p, DB_OUTBOX);
    db_str(st, 1, me);
    db_int(st, 2, after);
    int rc;
    int err = 0;
    bool more = true;
    while (more && err == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
        struct outrow row;
        err = rc == SQLITE_ROW ? read_outrow(st, &row) : db_err(rc);
        if (err == 0)
            more = each(user, &row);
    }
    db_done(p, DB_OUTBOX);
    return err;
}

int profile_outbox_count(struct profile *p, const char *me, uint64_t *out)
{
    int64_t value = 0;
    db_str(db_use(p, DB_OUTBOX_COUNT), 1, me);
    int err = one_number(p, DB_OUTBOX_COUNT, &value);
    *out = (uint64_t)value;
    return err;
}

int profile_unsealed_names(struct profile *p, const char *me,
                           void (*each)(void *user, const char *name), void *user)
{
    sqlite3_stmt *st = db_use(p, DB_UNSEALED_NAMES);
    db_str(st, 1, me);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        each(user, (const char *)sqlite3_column_text(st, 0));
    db_done(p, DB_UNSEALED_NAMES);
    return db_err(rc);
}

int profile_unsealed(struct profile *p, const char *me, const char *name,
                     void (*each)(void *user, const struct outrow *row), void *user)
{
    sqlite3_stmt *st = db_use(p, DB_UNSEALED);
    db_str(st, 1, me);
    db_str(st, 2, name);
    int rc;
    int err = 0;
    while (err == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
        struct outrow row;
        err = rc == SQLITE_ROW ? read_outrow(st, &row) : db_err(rc);
        if (err == 0)
            each(user, &row);
    }
    db_done(p, DB_UNSEALED);
    return err;
}
