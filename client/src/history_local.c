/* What is done in the profile alone: forgetting, counting, drafts. */
#include "db.h"

int profile_forget(struct profile *p, const char *me, const struct peal_msg_id *id, uint64_t now_ms)
{
    CHECK(p->in_txn);
    (void)db_use_id(p, DB_MESSAGE_FORGET, me, id);
    int err = db_run(p, DB_MESSAGE_FORGET);
    if (err == 0 && sqlite3_changes(p->db) == 0)
        err = PEAL_E_NOT_FOUND;
    if (err != 0)
        return err;
    db_int(db_use_id(p, DB_GONE_ADD, me, id), 3, (int64_t)now_ms);
    err = db_run(p, DB_GONE_ADD);
    uint64_t keep_ms = (uint64_t)GONE_DAYS * 24 * 3600 * 1000;
    db_int(db_use(p, DB_GONE_TRIM), 1, now_ms > keep_ms ? (int64_t)(now_ms - keep_ms) : 0);
    int bad = db_run(p, DB_GONE_TRIM);
    return err != 0 ? err : bad;
}

/* A statement of somebody's: ?1 and ?2. */
static sqlite3_stmt *use_name(struct profile *p, enum db_sql sql, const char *me, const char *name)
{
    sqlite3_stmt *st = db_use(p, sql);
    db_str(st, 1, me);
    db_str(st, 2, name);
    return st;
}

int profile_forget_peer(struct profile *p, const char *me, const char *peer, uint64_t now_ms,
                        uint64_t *n)
{
    static const enum db_sql rest[] = {DB_PENDING_FORGET_PEER, DB_DRAFT_DEL,
                                       DB_MESSAGE_FORGET_PEER};
    CHECK(p->in_txn);
    db_int(use_name(p, DB_GONE_ADD_PEER, me, peer), 3, (int64_t)now_ms);
    int err = db_run(p, DB_GONE_ADD_PEER);
    for (size_t i = 0; i < PEAL_COUNT(rest) && err == 0; i++) {
        (void)use_name(p, rest[i], me, peer);
        err = db_run(p, rest[i]);
    }
    *n = err == 0 ? (uint64_t)sqlite3_changes(p->db) : 0;
    return err;
}

int profile_is_gone(struct profile *p, const char *me, const struct peal_msg_id *id, bool *gone)
{
    int64_t one = 0;
    (void)db_use_id(p, DB_GONE_HAS, me, id);
    int err = db_number(p, DB_GONE_HAS, &one);
    *gone = err == 0;
    return err == PEAL_E_NOT_FOUND ? 0 : err;
}

int profile_unread_counts(struct profile *p, const char *me, uint32_t limit,
                          void (*each)(void *user, const char *peer, uint64_t n), void *user)
{
    sqlite3_stmt *st = db_use(p, DB_UNREAD_COUNTS);
    db_str(st, 1, me);
    db_int(st, 2, limit);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        each(user, (const char *)sqlite3_column_text(st, 0), (uint64_t)sqlite3_column_int64(st, 1));
    db_done(p, DB_UNREAD_COUNTS);
    return db_err(rc);
}

int profile_unread_count(struct profile *p, const char *me, uint64_t *out)
{
    int64_t n = 0;
    db_str(db_use(p, DB_UNREAD_COUNT), 1, me);
    int err = db_number(p, DB_UNREAD_COUNT, &n);
    *out = (uint64_t)n;
    return err;
}

int profile_draft_set(struct profile *p, const char *me, const char *name, struct peal_bytes text,
                      uint64_t now_ms)
{
    int64_t n = 0;
    if (text.n == 0) {
        (void)use_name(p, DB_DRAFT_DEL, me, name);
        return db_run(p, DB_DRAFT_DEL);
    }
    (void)use_name(p, DB_DRAFT_COUNT, me, name);
    int err = db_number(p, DB_DRAFT_COUNT, &n);
    if (err != 0 || n >= CLIENT_DRAFTS_MAX)
        return err != 0 ? err : PEAL_E_QUOTA;
    sqlite3_stmt *st = use_name(p, DB_DRAFT_SET, me, name);
    db_text(st, 3, text);
    db_int(st, 4, (int64_t)now_ms);
    return db_run(p, DB_DRAFT_SET);
}

int profile_draft(struct profile *p, const char *me, const char *name,
                  void (*each)(void *user, struct peal_bytes text, uint64_t at_ms), void *user)
{
    sqlite3_stmt *st = use_name(p, DB_DRAFT_GET, me, name);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (rc == SQLITE_ROW)
        each(user, db_col(st, 0), (uint64_t)sqlite3_column_int64(st, 1));
    db_done(p, DB_DRAFT_GET);
    return err;
}
