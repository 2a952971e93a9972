/* The profile's messages that vanish. */
#include "db.h"

int profile_vanish(struct profile *p, const char *me, const char *name, uint32_t *seconds)
{
    int64_t n = 0;
    sqlite3_stmt *st = db_use(p, DB_VANISH_GET);
    db_str(st, 1, me);
    db_str(st, 2, name);
    int err = db_number(p, DB_VANISH_GET, &n);
    *seconds = (uint32_t)n;
    return err == PEAL_E_NOT_FOUND ? 0 : err;
}

int profile_vanish_set(struct profile *p, const char *me, const char *name, uint32_t seconds,
                       uint64_t stamp, const struct peal_msg_id *id, bool *done)
{
    sqlite3_stmt *st = db_use(p, DB_VANISH_SET);
    db_str(st, 1, me);
    db_str(st, 2, name);
    db_int(st, 3, seconds);
    db_int(st, 4, (int64_t)stamp);
    db_blob(st, 5, id->b, sizeof id->b);
    int err = db_run(p, DB_VANISH_SET);
    *done = err == 0 && sqlite3_changes(p->db) != 0;
    return err;
}

int profile_vanish_begin(struct profile *p, const char *me, const struct peal_msg_id *id,
                         uint64_t now_ms, bool *done)
{
    db_int(db_use_id(p, DB_VANISH_BEGIN, me, id), 3, (int64_t)now_ms);
    int err = db_run(p, DB_VANISH_BEGIN);
    *done = err == 0 && sqlite3_changes(p->db) != 0;
    return err;
}

int profile_vanish_next(struct profile *p, const char *me, struct peal_msg_id *id, uint64_t *at_ms)
{
    sqlite3_stmt *st = db_use(p, DB_VANISH_NEXT);
    db_str(st, 1, me);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (rc == SQLITE_ROW) {
        err = db_id(db_col(st, 0), id);
        *at_ms = (uint64_t)sqlite3_column_int64(st, 1);
    }
    db_done(p, DB_VANISH_NEXT);
    return err;
}
