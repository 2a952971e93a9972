#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "db.h"

/* Each migration brings the file from version i to i + 1, inside one transaction. What has been
 * released is not changed any more: a new form is a new line at the end. */
static const char *const migrations[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE account(one INTEGER PRIMARY KEY CHECK(one=1), name TEXT NOT NULL, display TEXT "
    "NOT NULL,"
    " token BLOB, generation INTEGER NOT NULL, keys BLOB NOT NULL);"
    "CREATE TABLE server(address TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE contact(me TEXT, name TEXT, bundle BLOB NOT NULL, changed INTEGER NOT NULL,"
    " PRIMARY KEY(me,name)) WITHOUT ROWID;"
    "CREATE TABLE message(me TEXT NOT NULL, id BLOB NOT NULL, peer TEXT NOT NULL, outgoing INTEGER "
    "NOT NULL,"
    " unread INTEGER NOT NULL, state INTEGER NOT NULL, stamp INTEGER NOT NULL, text TEXT NOT NULL, "
    "raw BLOB,"
    " PRIMARY KEY(me,id));"
    "CREATE INDEX message_peer ON message(me,peer,stamp,id);"
    "CREATE INDEX message_unread ON message(me,stamp) WHERE unread=1;"
    "CREATE TABLE outbox(seq INTEGER PRIMARY KEY AUTOINCREMENT, me TEXT NOT NULL, id BLOB NOT NULL,"
    " peer TEXT NOT NULL, kind INTEGER NOT NULL, body BLOB, UNIQUE(me,id));",
    "CREATE TABLE verified(me TEXT, name TEXT, own BLOB NOT NULL, theirs BLOB NOT NULL,"
    " PRIMARY KEY(me,name)) WITHOUT ROWID;",
    /* Edits and deletions. What waits to be sealed lies in the outbox, complete: content version 1
     * (version, stamp, text) of what waited before. */
    "ALTER TABLE message ADD COLUMN reply_to BLOB;"
    "ALTER TABLE message ADD COLUMN edit_stamp INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE message ADD COLUMN edit_id BLOB;"
    "ALTER TABLE message ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE message ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE outbox ADD COLUMN plain BLOB;"
    "ALTER TABLE outbox ADD COLUMN target BLOB;"
    "UPDATE outbox SET plain=(SELECT CAST(x'01'||substr(m.id,1,8)||CAST(m.text AS BLOB) AS BLOB)"
    " FROM message AS m WHERE m.me=outbox.me AND m.id=outbox.id) WHERE body IS NULL;"
    "CREATE TABLE pending(seq INTEGER PRIMARY KEY AUTOINCREMENT, me TEXT NOT NULL,"
    " peer TEXT NOT NULL, target BLOB NOT NULL, kind INTEGER NOT NULL, stamp INTEGER NOT NULL,"
    " op BLOB NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE(me,peer,target));"
    "CREATE INDEX message_time ON message(me,stamp,id);",
    /* Forgotten messages, so that they stay so when the ring delivers them again; drafts. */
    "CREATE TABLE gone(me TEXT NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL,"
    " PRIMARY KEY(me,id)) WITHOUT ROWID;"
    "CREATE INDEX gone_at ON gone(at);"
    "CREATE TABLE draft(me TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,"
    " at INTEGER NOT NULL, PRIMARY KEY(me,name)) WITHOUT ROWID;",
    "ALTER TABLE message ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE message ADD COLUMN vanish INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE message ADD COLUMN vanishes INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX message_vanishes ON message(me,vanishes) WHERE vanishes>0;"
    "CREATE TABLE vanish(me TEXT NOT NULL, name TEXT NOT NULL, seconds INTEGER NOT NULL,"
    " stamp INTEGER NOT NULL, op BLOB NOT NULL, PRIMARY KEY(me,name)) WITHOUT ROWID;",
};
enum { SCHEMA_VERSION = PEAL_COUNT(migrations), BUSY_MS = 2000 };

/* ---- statements ------------------------------------------------------------------------------ */

int db_err(int rc)
{
    /* the one growth of a file whose lack of room SQLite does not call FULL */
    if (rc == SQLITE_IOERR_SHMSIZE)
        return PEAL_E_NO_SPACE;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return PEAL_E_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return PEAL_E_CORRUPT;
    case SQLITE_NOMEM:
        return PEAL_E_NO_MEMORY;
    case SQLITE_BUSY:
        return PEAL_E_BUSY;
    default:
        return PEAL_E_IO;
    }
}

sqlite3_stmt *db_use(struct profile *p, enum db_sql sql)
{
    CHECK(!p->used[sql]);
    p->used[sql] = true;
    return p->stmts[sql];
}

void db_done(struct profile *p, enum db_sql sql)
{
    CHECK(p->used[sql]);
    p->used[sql] = false;
    sqlite3_reset(p->stmts[sql]);
    sqlite3_clear_bindings(p->stmts[sql]);
}

/* Binding fails only for want of memory; the parameter is NULL then, and the step fails on the
 * column's NOT NULL. */
void db_str(sqlite3_stmt *st, int at, const char *s)
{
    sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
}

void db_blob(sqlite3_stmt *st, int at, const void *bytes, size_t n)
{
    sqlite3_bind_blob64(st, at, bytes, n, SQLITE_STATIC);
}

void db_int(sqlite3_stmt *st, int at, int64_t v)
{
    sqlite3_bind_int64(st, at, v);
}

int db_run(struct profile *p, enum db_sql sql)
{
    int err = db_err(sqlite3_step(p->stmts[sql]));
    db_done(p, sql);
    return err;
}

int db_number(struct profile *p, enum db_sql sql, int64_t *out)
{
    int rc = sqlite3_step(p->stmts[sql]);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0)
        *out = sqlite3_column_int64(p->stmts[sql], 0);
    db_done(p, sql);
    return err;
}

struct peal_bytes db_col(sqlite3_stmt *st, int at)
{
    const void *bytes = sqlite3_column_blob(st, at);
    return peal_bytes_of(bytes, (size_t)sqlite3_column_bytes(st, at));
}

int db_id(struct peal_bytes b, struct peal_msg_id *out)
{
    if (b.n != sizeof out->b)
        return PEAL_E_CORRUPT;
    memcpy(out->b, b.p, sizeof out->b);
    return 0;
}

void db_text(sqlite3_stmt *st, int at, struct peal_bytes text)
{
    sqlite3_bind_text64(st, at, text.n != 0 ? (const char *)text.p : "", text.n, SQLITE_STATIC,
                        SQLITE_UTF8);
}

sqlite3_stmt *db_use_id(struct profile *p, enum db_sql sql, const char *me,
                        const struct peal_msg_id *id)
{
    sqlite3_stmt *st = db_use(p, sql);
    db_str(st, 1, me);
    db_blob(st, 2, id->b, sizeof id->b);
    return st;
}

int db_entry(sqlite3_stmt *st, struct entry *e)
{
    *e = (struct entry){.replies = sqlite3_column_type(st, 7) != SQLITE_NULL};
    int err = db_id(db_col(st, 0), &e->id);
    e->peer = (const char *)sqlite3_column_text(st, 1);
    e->outgoing = sqlite3_column_int(st, 2) != 0;
    e->unread = sqlite3_column_int(st, 3) != 0;
    e->state = sqlite3_column_int(st, 4);
    e->stamp = (uint64_t)sqlite3_column_int64(st, 5);
    e->text.p = sqlite3_column_text(st, 6);
    e->text.n = (size_t)sqlite3_column_bytes(st, 6);
    if (err == 0 && e->replies)
        err = db_id(db_col(st, 7), &e->reply_to);
    e->edit_stamp = (uint64_t)sqlite3_column_int64(st, 8);
    e->edited_ms = (uint64_t)sqlite3_column_int64(st, 9);
    e->deleted_ms = (uint64_t)sqlite3_column_int64(st, 10);
    e->imported = sqlite3_column_int(st, 11) != 0;
    e->vanish = (uint32_t)sqlite3_column_int64(st, 12);
    e->vanishes_ms = (uint64_t)sqlite3_column_int64(st, 13);
    return err;
}

int profile_begin(struct profile *p)
{
    CHECK(!p->in_txn);
    (void)db_use(p, DB_BEGIN);
    int err = db_run(p, DB_BEGIN);
    p->in_txn = err == 0;
    return err;
}

int profile_commit(struct profile *p)
{
    CHECK(p->in_txn);
    (void)db_use(p, DB_COMMIT);
    int err = db_run(p, DB_COMMIT);
    if (err != 0)
        profile_rollback(p);
    p->in_txn = false;
    return err;
}

void profile_rollback(struct profile *p)
{
    CHECK(p->in_txn);
    p->in_txn = false;
    if (sqlite3_get_autocommit(p->db))
        return; /* SQLite did it by itself, as it does when the disk is full */
    (void)db_use(p, DB_ROLLBACK);
    int err = db_run(p, DB_ROLLBACK);
    (void)err; /* what is left undone is undone by the journal when the file is opened next */
}

/* ---- opening ------------------------------------------------------------------------------------
 */

int profile_default(char out[static CLIENT_PATH_MAX])
{
    const char *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (data != NULL && data[0] == '/')
        n = snprintf(out, CLIENT_PATH_MAX, "%s/peal", data);
    else if (home != NULL && home[0] != '\0')
        n = snprintf(out, CLIENT_PATH_MAX, "%s/.local/share/peal", home);
    if (n < 0)
        return PEAL_E_NOT_FOUND;
    return n < CLIENT_PATH_MAX ? 0 : PEAL_E_TOO_LONG;
}

static int errno_err(void)
{
    return errno == ENOSPC || errno == EDQUOT ? PEAL_E_NO_SPACE : PEAL_E_IO;
}

static int make_dirs(const char *dir)
{
    char path[CLIENT_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", dir);
    for (char *s = path + 1; *s != '\0'; s++) {
        if (*s != '/')
            continue;
        *s = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return errno_err();
        *s = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return errno_err();
    return 0;
}

static int take_lock(struct profile *p, char why[static CLIENT_WHY_MAX])
{
    char path[CLIENT_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/lock", p->dir);
    p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->lock < 0) {
        int err = errno_err();
        (void)snprintf(why, CLIENT_WHY_MAX, "%.300s: %s", path, strerror(errno));
        return err;
    }
    if (flock(p->lock, LOCK_EX | LOCK_NB) != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "another process runs on the profile %.300s", p->dir);
        return PEAL_E_BUSY;
    }
    return 0;
}

static int migrate(struct profile *p, char why[static CLIENT_WHY_MAX])
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(p->db, "PRAGMA user_version", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    int version = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
    sqlite3_finalize(st);
    if (version > SCHEMA_VERSION) {
        (void)snprintf(why, CLIENT_WHY_MAX, "the profile %.300s was written by a newer peal",
                       p->dir);
        return PEAL_E_VERSION;
    }
    for (; version >= 0 && version < SCHEMA_VERSION; version++) {
        char set[64];
        (void)snprintf(set, sizeof set, "PRAGMA user_version=%d; COMMIT", version + 1);
        rc = sqlite3_exec(p->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(p->db, migrations[version], NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(p->db, set, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            break;
    }
    if (version == SCHEMA_VERSION)
        return 0;
    (void)snprintf(why, CLIENT_WHY_MAX, "%.300s/profile.db: %s", p->dir, sqlite3_errmsg(p->db));
    int err = db_err(rc);
    return err != 0 ? err : PEAL_E_CORRUPT;
}

static int open_db(struct profile *p, char why[static CLIENT_WHY_MAX])
{
    static const char *const texts[DB_STATEMENTS_N] = {
#define X(NAME, text) [DB_##NAME] = text,
        DB_STATEMENTS(X)
#undef X
    };
    char path[CLIENT_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/profile.db", p->dir);
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, &p->db, flags, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(p->db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            p->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON",
            NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        const char *what = p->db != NULL ? sqlite3_errmsg(p->db) : "no memory";
        int err = db_err(rc);
        (void)snprintf(why, CLIENT_WHY_MAX, "%.300s: %s", path,
                       err == PEAL_E_NO_SPACE ? "the disk is full" : what);
        return err;
    }
    int err = migrate(p, why);
    for (size_t i = 0; i < DB_STATEMENTS_N && err == 0; i++) {
        rc = sqlite3_prepare_v3(p->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &p->stmts[i], NULL);
        err = db_err(rc);
        if (err != 0)
            (void)snprintf(why, CLIENT_WHY_MAX, "%.300s: %s", path, sqlite3_errmsg(p->db));
    }
    return err;
}

int profile_open(const char *dir, struct profile **out, char why[static CLIENT_WHY_MAX])
{
    struct profile *p = calloc(1, sizeof *p);
    if (p == NULL)
        return PEAL_E_NO_MEMORY;
    p->lock = -1;
    mode_t mask = umask(0077);
    int err = PEAL_E_TOO_LONG;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    (void)snprintf(why, CLIENT_WHY_MAX, "the profile's path is not of its form");
    if (n == 0 || n >= sizeof p->dir)
        goto out;
    (void)snprintf(p->dir, sizeof p->dir, "%.*s", (int)n, dir);
    err = make_dirs(p->dir);
    if (err != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "%.300s: %s", p->dir, strerror(errno));
        goto out;
    }
    err = take_lock(p, why);
    if (err == 0)
        err = open_db(p, why);
out:
    umask(mask);
    if (err != 0) {
        profile_close(p);
        return err;
    }
    why[0] = '\0';
    *out = p;
    return 0;
}

void profile_close(struct profile *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < DB_STATEMENTS_N; i++)
        sqlite3_finalize(p->stmts[i]);
    sqlite3_close(p->db);
    if (p->lock >= 0)
        close(p->lock);
    free(p);
}

const char *profile_dir(const struct profile *p)
{
    return p->dir;
}

/* ---- small facts --------------------------------------------------------------------- */

static int meta_get(struct profile *p, const char *key, void *out, size_t n)
{
    sqlite3_stmt *st = db_use(p, DB_META_GET);
    db_str(st, 1, key);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0) {
        struct peal_bytes value = db_col(st, 0);
        if (value.n == n)
            memcpy(out, value.p, n);
        else
            err = PEAL_E_CORRUPT;
    }
    db_done(p, DB_META_GET);
    return err;
}

static int meta_set(struct profile *p, const char *key, const void *value, size_t n)
{
    sqlite3_stmt *st = db_use(p, DB_META_SET);
    db_str(st, 1, key);
    db_blob(st, 2, value, n);
    return db_run(p, DB_META_SET);
}

int profile_device_key(struct profile *p, struct peal_secret *out)
{
    int err = meta_get(p, "device_key", out->b, sizeof out->b);
    if (err != PEAL_E_NOT_FOUND)
        return err;
    cry_secret_new(out);
    return meta_set(p, "device_key", out->b, sizeof out->b);
}

int profile_pin(struct profile *p, uint8_t out[static CRY_FP_BYTES])
{
    return meta_get(p, "ring", out, CRY_FP_BYTES);
}

int profile_pin_set(struct profile *p, const uint8_t pin[static CRY_FP_BYTES])
{
    return meta_set(p, "ring", pin, CRY_FP_BYTES);
}

static int copy_str(struct peal_bytes from, size_t cap, char out[])
{
    return peal_bytes_to_str(from, cap, out) == 0 ? 0 : PEAL_E_CORRUPT;
}

/* A version (u8) = 1, receipts (u8), unread (u16), session_days (u16). */
enum { SETTINGS_VERSION = 1, SETTINGS_BYTES = 6 };

/* What was written before there were settings has the usual ones. */
static int settings_get(struct profile *p, struct settings *out)
{
    uint8_t b[SETTINGS_BYTES];
    struct rd r;
    *out = (struct settings){.receipts = true};
    int err = meta_get(p, "settings", b, sizeof b);
    if (err != 0)
        return err == PEAL_E_NOT_FOUND ? 0 : err;
    rd_init(&r, b, sizeof b);
    uint8_t version = rd_u8(&r);
    out->receipts = rd_u8(&r) != 0;
    out->unread = rd_u16(&r);
    out->session_days = rd_u16(&r);
    return rd_end(&r) == 0 && version == SETTINGS_VERSION ? 0 : PEAL_E_CORRUPT;
}

static int settings_set(struct profile *p, const struct settings *s)
{
    uint8_t b[SETTINGS_BYTES];
    struct wr w;
    wr_init(&w, b, sizeof b);
    wr_u8(&w, SETTINGS_VERSION);
    wr_u8(&w, s->receipts);
    wr_u16(&w, s->unread);
    wr_u16(&w, s->session_days);
    int err = wr_end(&w);
    CHECK(err == 0);
    return meta_set(p, "settings", b, sizeof b);
}

int profile_account(struct profile *p, struct account *out)
{
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = db_use(p, DB_ACCOUNT_GET);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0) {
        struct peal_bytes token = db_col(st, 2);
        struct peal_bytes keys = db_col(st, 4);
        err = copy_str(db_col(st, 0), sizeof out->name, out->name);
        if (err == 0)
            err = copy_str(db_col(st, 1), sizeof out->display, out->display);
        if (err == 0 &&
            ((token.n != 0 && token.n != sizeof out->token) || keys.n > sizeof out->keys))
            err = PEAL_E_CORRUPT;
        if (err == 0) {
            out->has_token = token.n != 0;
            if (out->has_token)
                memcpy(out->token, token.p, token.n);
            memcpy(out->keys, keys.p, keys.n);
            out->keys_n = keys.n;
            out->generation = (uint64_t)sqlite3_column_int64(st, 3);
        }
    }
    db_done(p, DB_ACCOUNT_GET);
    return err == 0 ? settings_get(p, &out->settings) : err;
}

int profile_account_set(struct profile *p, const struct account *a)
{
    int err = settings_set(p, &a->settings);
    if (err != 0)
        return err;
    sqlite3_stmt *st = db_use(p, DB_ACCOUNT_SET);
    db_str(st, 1, a->name);
    db_str(st, 2, a->display);
    if (a->has_token)
        db_blob(st, 3, a->token, sizeof a->token);
    db_int(st, 4, (int64_t)a->generation);
    db_blob(st, 5, a->keys, a->keys_n);
    return db_run(p, DB_ACCOUNT_SET);
}

int profile_account_clear(struct profile *p)
{
    (void)db_use(p, DB_ACCOUNT_CLEAR);
    return db_run(p, DB_ACCOUNT_CLEAR);
}

int profile_server_add(struct profile *p, const char *address, uint64_t now_ms)
{
    sqlite3_stmt *st = db_use(p, DB_SERVER_ADD);
    db_str(st, 1, address);
    db_int(st, 2, (int64_t)now_ms);
    int err = db_run(p, DB_SERVER_ADD);
    if (err != 0)
        return err;
    st = db_use(p, DB_SERVER_TRIM);
    db_int(st, 1, PROFILE_SERVERS_MAX);
    return db_run(p, DB_SERVER_TRIM);
}

int profile_servers(struct profile *p, void (*each)(void *user, const char *address), void *user)
{
    sqlite3_stmt *st = db_use(p, DB_SERVERS);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        each(user, (const char *)sqlite3_column_text(st, 0));
    db_done(p, DB_SERVERS);
    return db_err(rc);
}

/* ---- contacts ------------------------------------------------------------------------ */

int profile_contact(struct profile *p, const char *me, const char *name,
                    uint8_t out[static CRY_BUNDLE_MAX], size_t *n, bool *changed)
{
    sqlite3_stmt *st = db_use(p, DB_CONTACT_GET);
    db_str(st, 1, me);
    db_str(st, 2, name);
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? PEAL_E_NOT_FOUND : db_err(rc);
    if (err == 0) {
        struct peal_bytes bundle = db_col(st, 0);
        *changed = sqlite3_column_int(st, 1) != 0;
        *n = bundle.n;
        if (bundle.n > CRY_BUNDLE_MAX)
            err = PEAL_E_CORRUPT;
        else
            memcpy(out, bundle.p, bundle.n);
    }
    db_done(p, DB_CONTACT_GET);
    return err;
}

int profile_contact_pin(struct profile *p, const char *me, const char *name,
                        struct peal_bytes bundle)
{
    sqlite3_stmt *st = db_use(p, DB_CONTACT_PIN);
    db_str(st, 1, me);
    db_str(st, 2, name);
    db_blob(st, 3, bundle.p, bundle.n);
    return db_run(p, DB_CONTACT_PIN);
}

int profile_contact_changed(struct profile *p, const char *me, const char *name, bool changed)
{
    sqlite3_stmt *st = db_use(p, DB_CONTACT_CHANGED);
    db_str(st, 1, me);
    db_str(st, 2, name);
    db_int(st, 3, changed);
    return db_run(p, DB_CONTACT_CHANGED);
}

/* ---- the control socket's path ------------------------------------------------------- */

/* A path in a folder of this user alone, with a random name, so that nobody else can have put
 * something there. */
static void short_path(char out[static 108])
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    uint8_t random[12];
    char hex[2 * sizeof random + 1];
    cry_random(random, sizeof random);
    peal_hex(random, sizeof random, hex);
    if (run == NULL || run[0] != '/' || strlen(run) > 60)
        run = "/tmp";
    (void)snprintf(out, 108, "%s/peal-%s.sock", run, hex);
}

int profile_control(const char *dir, bool make, char out[static 108])
{
    _Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == 108,
                   "the length of a socket's path");
    char record[CLIENT_PATH_MAX + 16];
    int n = snprintf(out, 108, "%s/control.sock", dir);
    if (n > 0 && n < 108)
        return 0;
    (void)snprintf(record, sizeof record, "%s/control.path", dir);
    int fd = open(record, make ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOENT ? PEAL_E_NOT_FOUND : errno_err();
    ssize_t got = read(fd, out, 107);
    int err = 0;
    if (got > 0) {
        out[got] = '\0';
    } else if (make) {
        short_path(out);
        if (write(fd, out, strlen(out)) != (ssize_t)strlen(out))
            err = errno_err();
    } else {
        err = PEAL_E_NOT_FOUND;
    }
    close(fd);
    return err;
}
