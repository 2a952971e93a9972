/* The profile's messages one after the other, for whoever looks through them, and what comes from
 * another profile. */
#include "db.h"

static int walk(struct profile *p, enum db_sql sql, uint64_t stamp, const struct peal_msg_id *id,
                bool (*each)(void *user, const struct entry *e), void *user)
{
    static const struct peal_msg_id first = {{0}};
    sqlite3_stmt *st = p->stmts[sql];
    db_int(st, 3, stamp > INT64_MAX ? INT64_MAX : (int64_t)stamp);
    db_blob(st, 4, id != NULL ? id->b : first.b, sizeof first.b);
    int rc;
    int err = 0;
    bool more = true;
    while (more && err == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
        struct entry e;
        err = rc == SQLITE_ROW ? db_entry(st, &e) : db_err(rc);
        if (err == 0)
            more = each(user, &e);
    }
    db_done(p, sql);
    return err;
}

int profile_backwards(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                      const struct peal_msg_id *id, bool (*each)(void *user, const struct entry *e),
                      void *user)
{
    enum db_sql sql = peer != NULL ? DB_BACKWARDS_PEER : DB_BACKWARDS;
    sqlite3_stmt *st = db_use(p, sql);
    db_str(st, 1, me);
    if (peer != NULL)
        db_str(st, 2, peer);
    return walk(p, sql, stamp, id, each, user);
}

int profile_forwards(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                     const struct peal_msg_id *id, bool (*each)(void *user, const struct entry *e),
                     void *user)
{
    sqlite3_stmt *st = db_use(p, DB_FORWARDS);
    db_str(st, 1, me);
    db_str(st, 2, peer);
    return walk(p, DB_FORWARDS, stamp, id, each, user);
}

int profile_import(struct profile *p, const char *me, const struct entry *e)
{
    CHECK(p->in_txn);
    sqlite3_stmt *st = db_use_id(p, DB_IMPORT, me, &e->id);
    db_str(st, 3, e->peer);
    db_int(st, 4, e->outgoing);
    db_int(st, 5, e->state);
    db_int(st, 6, (int64_t)e->stamp);
    db_text(st, 7, e->text);
    if (e->replies)
        db_blob(st, 8, e->reply_to.b, sizeof e->reply_to.b);
    db_int(st, 9, (int64_t)e->edit_stamp);
    db_int(st, 10, (int64_t)e->edited_ms);
    db_int(st, 11, (int64_t)e->deleted_ms);
    int err = db_run(p, DB_IMPORT);
    if (err == 0 && sqlite3_changes(p->db) == 0)
        err = PEAL_E_EXISTS;
    if (err != 0)
        return err;
    (void)db_use_id(p, DB_GONE_DEL, me, &e->id);
    return db_run(p, DB_GONE_DEL);
}
