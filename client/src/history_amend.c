/* The profile's edits and deletions: applied to their message, or kept until it comes. */
#include <string.h>

#include "db.h"

int profile_message(struct profile *p, const char *me, const struct peal_msg_id *id,
                    void (*each)(void *user, const struct entry *e), void *user)
{
    sqlite3_stmt *st = db_use_id(p, DB_MESSAGE_GET, me, id);
    struct entry e;
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_DONE  ? PEAL_E_NOT_FOUND
              : rc == SQLITE_ROW ? db_entry(st, &e)
                                 : db_err(rc);
    if (err == 0)
        each(user, &e);
    db_done(p, DB_MESSAGE_GET);
    return err;
}

int profile_message_like(struct profile *p, const char *me, const char *digits,
                         struct peal_msg_id *out)
{
    size_t n = strlen(digits);
    if (n == (size_t)2 * MSG_ID_BYTES && peal_unhex(digits, MSG_ID_BYTES, out->b) == 0) {
        int state;
        return profile_message_state(p, me, out, &state);
    }
    if (n < CLIENT_ID_DIGITS_MIN || n > (size_t)2 * MSG_ID_BYTES ||
        strspn(digits, "0123456789abcdefABCDEF") != n)
        return PEAL_E_NOT_FOUND;
    sqlite3_stmt *st = db_use(p, DB_MESSAGE_LIKE);
    db_str(st, 1, me);
    db_str(st, 2, digits);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (rc == SQLITE_ROW) {
        err = db_id(db_col(st, 0), out);
        rc = sqlite3_step(st);
        if (err == 0)
            err = rc == SQLITE_ROW ? PEAL_E_USAGE : db_err(rc);
    }
    db_done(p, DB_MESSAGE_LIKE);
    return err;
}

int profile_amend(struct profile *p, const char *me, const char *peer, bool outgoing,
                  const struct amendment *a, bool *done)
{
    CHECK(a->at_ms != 0); /* which would say that nothing has happened */
    enum db_sql sql = a->deletes ? DB_MESSAGE_DELETE : DB_MESSAGE_EDIT;
    sqlite3_stmt *st = db_use_id(p, sql, me, &a->target);
    db_str(st, 3, peer);
    db_int(st, 4, outgoing);
    if (a->deletes) {
        db_int(st, 5, (int64_t)a->at_ms);
    } else {
        db_text(st, 5, a->text);
        db_int(st, 6, (int64_t)a->stamp);
        db_blob(st, 7, a->id.b, sizeof a->id.b);
        db_int(st, 8, (int64_t)a->at_ms);
    }
    int err = db_run(p, sql);
    *done = err == 0 && sqlite3_changes(p->db) != 0;
    return err;
}

int profile_pending_put(struct profile *p, const char *me, const char *peer,
                        const struct amendment *a)
{
    sqlite3_stmt *st = db_use(p, DB_PENDING_PUT);
    db_str(st, 1, me);
    db_str(st, 2, peer);
    db_blob(st, 3, a->target.b, sizeof a->target.b);
    db_int(st, 4, a->deletes);
    db_int(st, 5, (int64_t)a->stamp);
    db_blob(st, 6, a->id.b, sizeof a->id.b);
    db_int(st, 7, (int64_t)a->at_ms);
    db_text(st, 8, a->text);
    int err = db_run(p, DB_PENDING_PUT);
    if (err != 0)
        return err;
    st = db_use(p, DB_PENDING_TRIM);
    db_str(st, 1, me);
    db_str(st, 2, peer);
    db_int(st, 3, CLIENT_PENDING_MAX);
    return db_run(p, DB_PENDING_TRIM);
}

static sqlite3_stmt *use_pending(struct profile *p, enum db_sql sql, const char *me,
                                 const char *peer, const struct peal_msg_id *target)
{
    sqlite3_stmt *st = db_use(p, sql);
    db_str(st, 1, me);
    db_str(st, 2, peer);
    db_blob(st, 3, target->b, sizeof target->b);
    return st;
}

int profile_pending_apply(struct profile *p, const char *me, const char *peer,
                          const struct peal_msg_id *target, bool *done)
{
    sqlite3_stmt *st = use_pending(p, DB_PENDING_GET, me, peer, target);
    int rc = sqlite3_step(st);
    int err = db_err(rc);
    *done = false;
    if (rc == SQLITE_ROW) {
        struct amendment a = {.target = *target,
                              .deletes = sqlite3_column_int(st, 0) != 0,
                              .stamp = (uint64_t)sqlite3_column_int64(st, 1),
                              .at_ms = (uint64_t)sqlite3_column_int64(st, 3)};
        a.text.p = sqlite3_column_text(st, 4);
        a.text.n = (size_t)sqlite3_column_bytes(st, 4);
        err = db_id(db_col(st, 2), &a.id);
        if (err == 0)
            err = profile_amend(p, me, peer, false, &a, done);
    }
    db_done(p, DB_PENDING_GET);
    if (err != 0 || rc != SQLITE_ROW)
        return err;
    (void)use_pending(p, DB_PENDING_DEL, me, peer, target);
    return db_run(p, DB_PENDING_DEL);
}
