/* The profile's keys of others: what was accepted and what was verified, and what arrived sealed
 * with keys that were not accepted yet. */
#include <string.h>

#include "db.h"

static sqlite3_stmt *use_of(struct profile *p, enum db_sql sql, const char *me, const char *name)
{
    sqlite3_stmt *st = db_use(p, sql);
    db_str(st, 1, me);
    db_str(st, 2, name);
    return st;
}

int profile_contact_repin(struct profile *p, const char *me, const char *name,
                          struct peal_bytes bundle)
{
    CHECK(p->in_txn);
    sqlite3_stmt *st = use_of(p, DB_CONTACT_REPIN, me, name);
    db_blob(st, 3, bundle.p, bundle.n);
    int err = db_run(p, DB_CONTACT_REPIN);
    if (err != 0)
        return err;
    (void)use_of(p, DB_VERIFIED_DEL, me, name);
    return db_run(p, DB_VERIFIED_DEL);
}

int profile_verified(struct profile *p, const char *me, const char *name,
                     uint8_t own[static CRY_HASH_BYTES], uint8_t theirs[static CRY_HASH_BYTES])
{
    sqlite3_stmt *st = use_of(p, DB_VERIFIED_GET, me, name);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0) {
        struct peal_bytes one = db_col(st, 0);
        struct peal_bytes other = db_col(st, 1);
        if (one.n == CRY_HASH_BYTES && other.n == CRY_HASH_BYTES) {
            memcpy(own, one.p, one.n);
            memcpy(theirs, other.p, other.n);
        } else {
            err = PEAL_E_CORRUPT;
        }
    }
    db_done(p, DB_VERIFIED_GET);
    return err;
}

int profile_verified_set(struct profile *p, const char *me, const char *name,
                         const uint8_t own[static CRY_HASH_BYTES],
                         const uint8_t theirs[static CRY_HASH_BYTES])
{
    sqlite3_stmt *st = use_of(p, DB_VERIFIED_SET, me, name);
    db_blob(st, 3, own, CRY_HASH_BYTES);
    db_blob(st, 4, theirs, CRY_HASH_BYTES);
    return db_run(p, DB_VERIFIED_SET);
}

int profile_sealed(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                   const struct peal_msg_id *id, uint32_t limit,
                   void (*each)(void *user, const struct entry *e), void *user)
{
    sqlite3_stmt *st = use_of(p, DB_SEALED, me, peer);
    db_int(st, 3, (int64_t)stamp);
    db_blob(st, 4, id->b, sizeof id->b);
    db_int(st, 5, limit);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct peal_bytes is = db_col(st, 0);
        struct entry e = {.peer = peer,
                          .state = MSG_UNREADABLE,
                          .stamp = (uint64_t)sqlite3_column_int64(st, 1),
                          .raw = db_col(st, 2)};
        if (is.n != sizeof e.id.b) {
            rc = SQLITE_CORRUPT;
            break;
        }
        memcpy(e.id.b, is.p, is.n);
        each(user, &e);
    }
    db_done(p, DB_SEALED);
    return db_err(rc);
}

int profile_sealed_del(struct profile *p, const char *me, const struct peal_msg_id *id)
{
    sqlite3_stmt *st = db_use(p, DB_SEALED_DEL);
    db_str(st, 1, me);
    db_blob(st, 2, id->b, sizeof id->b);
    return db_run(p, DB_SEALED_DEL);
}
