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

int profile_message_add(struct profile *p, const char *me, const struct entry *e)
{
    sqlite3_stmt *st = db_use_id(p, DB_MESSAGE_ADD, me, &e->id);
    db_str(st, 3, e->peer);
    db_int(st, 4, e->outgoing);
    db_int(st, 5, e->unread);
    db_int(st, 6, e->state);
    db_int(st, 7, (int64_t)e->stamp);
    db_text(st, 8, e->text);
    if (e->raw.n != 0)
        db_blob(st, 9, e->raw.p, e->raw.n);
    if (e->replies)
        db_blob(st, 10, e->reply_to.b, sizeof e->reply_to.b);
    db_int(st, 11, e->vanish);
    int err = db_run(p, DB_MESSAGE_ADD);
    if (err == 0 && sqlite3_changes(p->db) == 0)
        err = PEAL_E_EXISTS;
    return err;
}

int profile_message_advance(struct profile *p, const char *me, const struct peal_msg_id *id,
                            const char *peer, int state, bool *done)
{
    sqlite3_stmt *st = db_use_id(p, DB_MESSAGE_ADVANCE, me, id);
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
    sqlite3_stmt *st = db_use_id(p, DB_MESSAGE_PEER, me, id);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0)
        err = peal_bytes_to_str(db_col(st, 0), NAME_BYTES_MAX + 1, out);
    db_done(p, DB_MESSAGE_PEER);
    return err;
}

int profile_message_state(struct profile *p, const char *me, const struct peal_msg_id *id,
                          int *state)
{
    int64_t value = 0;
    (void)db_use_id(p, DB_MESSAGE_STATE, me, id);
    int err = db_number(p, DB_MESSAGE_STATE, &value);
    *state = (int)value;
    return err;
}

int profile_last_stamp(struct profile *p, const char *me, uint64_t *out)
{
    int64_t value = 0;
    db_str(db_use(p, DB_LAST_STAMP), 1, me);
    int err = db_number(p, DB_LAST_STAMP, &value);
    *out = (uint64_t)value;
    return err;
}

int profile_stamp_of(struct profile *p, const char *me, const struct peal_msg_id *id,
                     uint64_t *stamp)
{
    int64_t value = 0;
    (void)db_use_id(p, DB_STAMP_OF, me, id);
    int err = db_number(p, DB_STAMP_OF, &value);
    *stamp = (uint64_t)value;
    return err;
}

int profile_mark_read(struct profile *p, const char *me, const struct peal_msg_id *id)
{
    (void)db_use_id(p, DB_MESSAGE_READ, me, id);
    return db_run(p, DB_MESSAGE_READ);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static int each_entry(struct profile *p, enum db_sql sql,
                      void (*each)(void *user, const struct entry *e), void *user)
{
    sqlite3_stmt *st = p->stmts[sql];
    int rc;
    int err = 0;
    while (err == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
        struct entry e;
        err = rc == SQLITE_ROW ? db_entry(st, &e) : db_err(rc);
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
        err = rc == SQLITE_ROW ? db_entry(st, &e) : db_err(rc);
        if (err == 0)
            each(user, &e, (uint64_t)sqlite3_column_int64(st, DB_ENTRY_COLUMNS));
    }
    db_done(p, DB_CONVERSATIONS);
    return err;
}

/* ---- outbox -------------------------------------------------------------------------- */

int profile_outbox_add(struct profile *p, const char *me, const struct outrow *row)
{
    sqlite3_stmt *st = db_use_id(p, DB_OUTBOX_ADD, me, &row->id);
    db_str(st, 3, row->peer);
    db_int(st, 4, row->kind);
    if (row->body.p != NULL)
        db_blob(st, 5, row->body.p, row->body.n);
    if (row->plain.p != NULL)
        db_blob(st, 6, row->plain.p, row->plain.n);
    if (row->amends)
        db_blob(st, 7, row->target.b, sizeof row->target.b);
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
    (void)db_use_id(p, DB_OUTBOX_DEL, me, id);
    return db_run(p, DB_OUTBOX_DEL);
}

int profile_outbox_has(struct profile *p, const char *me, const struct peal_msg_id *id, bool *has)
{
    int64_t one = 0;
    (void)db_use_id(p, DB_OUTBOX_HAS, me, id);
    int err = db_number(p, DB_OUTBOX_HAS, &one);
    *has = err == 0;
    return err == PEAL_E_NOT_FOUND ? 0 : err;
}

int profile_outbox_take_back(struct profile *p, const char *me, const struct peal_msg_id *id,
                             bool *done)
{
    (void)db_use_id(p, DB_OUTBOX_TAKE_BACK, me, id);
    int err = db_run(p, DB_OUTBOX_TAKE_BACK);
    *done = err == 0 && sqlite3_changes(p->db) != 0;
    if (!*done)
        return err;
    (void)db_use_id(p, DB_OUTBOX_FORGET, me, id);
    return db_run(p, DB_OUTBOX_FORGET);
}

/* column 4: what it holds, sealed or not */
static int read_outrow(sqlite3_stmt *st, struct outrow *row, bool sealed)
{
    *row = (struct outrow){.amends = sqlite3_column_type(st, 5) != SQLITE_NULL};
    row->seq = sqlite3_column_int64(st, 0);
    row->peer = (const char *)sqlite3_column_text(st, 2);
    row->kind = (uint8_t)sqlite3_column_int(st, 3);
    *(sealed ? &row->body : &row->plain) = db_col(st, 4);
    int err = db_id(db_col(st, 1), &row->id);
    return err == 0 && row->amends ? db_id(db_col(st, 5), &row->target) : err;
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
        err = rc == SQLITE_ROW ? read_outrow(st, &row, true) : db_err(rc);
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
    int err = db_number(p, DB_OUTBOX_COUNT, &value);
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
        err = rc == SQLITE_ROW ? read_outrow(st, &row, false) : db_err(rc);
        if (err == 0)
            each(user, &row);
    }
    db_done(p, DB_UNSEALED);
    return err;
}
