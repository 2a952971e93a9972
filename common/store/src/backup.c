/* Backups: a copy of the data file at one moment, by SQLite's backup interface, while another
 * process may be writing; and putting such a copy in the place of a data file. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate.h"
#include "sqlite.h"
#include "swap.h"

#define RESTORE_SUFFIX ".restore"

enum { STEP_PAGES = 256, BUSY_MS = 5000 };

struct backup {
    sqlite3 *from, *to;
    store_progress *progress;
    void *arg;
    struct store_copied *out;
    char *why;
    sqlite3_int64 version; /* of the file's form */
};

static int say(struct backup *b, sqlite3 *db, int rc, const char *what)
{
    (void)snprintf(b->why, STORE_TEXT_MAX, "%s: %s", what,
                   db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    return sqlite_error(db, rc);
}

static int open_file(struct backup *b, const char *path, int flags, sqlite3 **db)
{
    int rc =
        sqlite3_open_v2(path, db, flags | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(*db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*db, "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF", NULL,
                          NULL, NULL);
    return rc == SQLITE_OK ? 0 : say(b, *db, rc, "cannot open the database");
}

/* ---- what a file is ---- */

/* The number that sql gives, when it gives one. */
static int number(struct backup *b, sqlite3 *db, const char *sql, sqlite3_int64 *out)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    int err = rc == SQLITE_ROW ? 0 : say(b, db, rc, "cannot read the database");
    (void)sqlite3_finalize(stmt);
    return err;
}

/* A data file of this program, not of a newer one. */
static int check_form(struct backup *b, sqlite3 *db)
{
    sqlite3_int64 tables = 0;
    int rc = number(b, db, "PRAGMA user_version", &b->version);
#define X(name, table) "'" table "',"
    if (rc == 0)
        rc = number(b, db,
                    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN "
                    "(" STORE_SPACES(X) "'')",
                    &tables);
#undef X
    if (rc == 0 && b->version > STORE_SCHEMA_VERSION) {
        (void)snprintf(b->why, STORE_TEXT_MAX,
                       "the database has version %lld, this program knows %d and older",
                       (long long)b->version, STORE_SCHEMA_VERSION);
        return PEAL_E_VERSION;
    }
    if (rc == 0 && (b->version < 1 || tables != SPACE_COUNT)) {
        (void)snprintf(b->why, STORE_TEXT_MAX, "this is no database of peald");
        return PEAL_E_CORRUPT;
    }
    return rc;
}

static int check_pages(struct backup *b, sqlite3 *db)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    int err = 0;
    if (rc != SQLITE_ROW)
        err = say(b, db, rc, "cannot read the database");
    else if (said == NULL || strcmp(said, "ok") != 0) {
        (void)snprintf(b->why, STORE_TEXT_MAX, "the database is damaged: %.180s",
                       said != NULL ? said : "?");
        err = PEAL_E_CORRUPT;
    }
    (void)sqlite3_finalize(stmt);
    return err;
}

/* Counts the pairs of a space in a table, and those that are not as they were written: by version
 * 1, or by this one. */
static int check_pairs(struct backup *b, sqlite3 *db, enum store_space space, const char *table,
                       bool former)
{
    char sql[96];
    sqlite3_stmt *stmt;
    (void)snprintf(sql, sizeof sql, "SELECT key, value, sum FROM %s", table);
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct peal_bytes key = sqlite_column(stmt, 0), value = sqlite_column(stmt, 1);
        sqlite3_int64 sum = sqlite3_column_int64(stmt, 2);
        bool sound = key.n > 0 && key.n <= STORE_KEY_MAX && value.n <= STORE_VALUE_MAX &&
                     (former ? migrate_checksum_1(space, key, value)
                             : sqlite_checksum(space, key, value)) == sum;
        b->out->pairs[space] += sound;
        b->out->damaged += !sound;
        rc = SQLITE_OK;
    }
    int err = rc == SQLITE_DONE ? 0 : say(b, db, rc, "cannot read the database");
    (void)sqlite3_finalize(stmt);
    return err;
}

/* A migration that was cut short has left the rest of the rows in rows_1. */
static int check_spaces(struct backup *b, sqlite3 *db)
{
    sqlite3_int64 waiting = 0;
    int err = number(b, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'rows_1'", &waiting);
    for (size_t i = 0; err == 0 && i < SPACE_COUNT; i++) {
        enum store_space space = (enum store_space)i;
        err = check_pairs(b, db, space, store_space_name(space), b->version == 1);
    }
    return err == 0 && waiting > 0 ? check_pairs(b, db, STORE_ROWS, "rows_1", true) : err;
}

/* ---- copying ---- */

/* One read transaction holds the source at one moment: a copy in steps would else begin anew
 * whenever somebody writes. */
static int copy_pages(struct backup *b)
{
    sqlite3_int64 tables = 0;
    int rc = sqlite3_exec(b->from, "BEGIN", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return say(b, b->from, rc, "cannot read the database");
    int err = number(b, b->from, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err == 0)
        err = check_form(b, b->from);
    sqlite3_backup *job = err == 0 ? sqlite3_backup_init(b->to, "main", b->from, "main") : NULL;
    if (err == 0 && job == NULL)
        err = say(b, b->to, sqlite3_errcode(b->to), "cannot begin the copy");
    while (job != NULL && rc == SQLITE_OK) {
        rc = sqlite3_backup_step(job, STEP_PAGES);
        if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
            (void)sqlite3_sleep(10);
            rc = SQLITE_OK;
            continue;
        }
        sqlite3_int64 page = 0, total = sqlite3_backup_pagecount(job);
        if ((rc == SQLITE_OK || rc == SQLITE_DONE) && b->progress != NULL &&
            (err = number(b, b->from, "PRAGMA page_size", &page)) == 0)
            b->progress(b->arg, (uint64_t)((total - sqlite3_backup_remaining(job)) * page),
                        (uint64_t)(total * page));
    }
    if (job != NULL) {
        rc = sqlite3_backup_finish(job);
        if (err == 0 && rc != SQLITE_OK)
            err = say(b, b->to, rc, "cannot copy the database");
    }
    (void)sqlite3_exec(b->from, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* The copy needs no log beside it: one file is all there is to keep. */
static int finish_copy(struct backup *b, const char *path)
{
    struct stat st;
    int rc = sqlite3_exec(b->to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    int err = rc == SQLITE_OK ? 0 : say(b, b->to, rc, "cannot complete the copy");
    if (err == 0)
        err = check_pages(b, b->to);
    if (err == 0)
        err = check_spaces(b, b->to);
    rc = sqlite3_close(b->to);
    CHECK(rc == SQLITE_OK);
    b->to = NULL;
    if (err != 0)
        return err;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0 || fstat(fd, &st) != 0)
        err = file_say(b->why, "cannot sync", path);
    else
        b->out->bytes = (uint64_t)st.st_size;
    if (fd >= 0)
        (void)close(fd);
    return err;
}

/* Copies to the new file `to`, which is removed again after an error. */
static int copy_file(struct backup *b, const char *from, const char *to)
{
    struct stat st;
    if (stat(from, &st) != 0) {
        int e = errno;
        (void)file_say(b->why, "cannot open", from);
        return e == ENOENT ? PEAL_E_NOT_FOUND : PEAL_E_IO;
    }
    int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_say(b->why, "cannot make", to);
    int err = fchmod(fd, 0600) == 0 ? 0 : file_say(b->why, "cannot set the mode of", to);
    (void)close(fd);
    if (err == 0)
        err = open_file(b, from, SQLITE_OPEN_READONLY, &b->from);
    if (err == 0)
        err = open_file(b, to, SQLITE_OPEN_READWRITE, &b->to);
    if (err == 0)
        err = copy_pages(b);
    int rc = sqlite3_close(b->from);
    CHECK(rc == SQLITE_OK);
    if (err == 0)
        err = finish_copy(b, to);
    rc = sqlite3_close(b->to);
    CHECK(rc == SQLITE_OK);
    if (err != 0)
        file_remove(to, "");
    return err;
}

int store_backup(const char *path, const char *to, store_progress *progress, void *arg,
                 struct store_copied *out, char why[static STORE_TEXT_MAX])
{
    char suffix[32], partial[STORE_PATH_MAX];
    struct stat st;
    struct backup b = {.progress = progress, .arg = arg, .out = out, .why = why};
    *out = (struct store_copied){0};
    why[0] = '\0';
    if (sodium_init() < 0)
        return PEAL_E_NO_MEMORY;
    (void)snprintf(suffix, sizeof suffix, ".partial-%ld", (long)getpid());
    int rc = file_beside(to, suffix, partial, why);
    if (rc != 0)
        return rc;
    if (lstat(to, &st) == 0) {
        (void)snprintf(why, STORE_TEXT_MAX, "%.180s is there already, and is left as it is", to);
        return PEAL_E_EXISTS;
    }
    file_remove(to, suffix); /* of a copy that was broken off */
    rc = copy_file(&b, path, partial);
    if (rc == 0 && link(partial, to) != 0) { /* unlike a renaming it replaces nothing */
        int e = errno;
        (void)file_say(why, "cannot make", to);
        rc = e == EEXIST ? PEAL_E_EXISTS : PEAL_E_IO;
    }
    file_remove(to, suffix);
    return rc == 0 ? file_sync_folder(to, why) : rc;
}

/* ---- restoring ---- */

/* Brings the copy to this program's form and adds what is to be in it. */
static int add_to(const char *path, const struct store_write *also, size_t n,
                  char why[static STORE_TEXT_MAX])
{
    struct store_config config = store_config_default();
    struct store *s;
    int rc = store_open_sqlite(path, &config, why, &s);
    if (rc != 0)
        return rc;
    rc = store_submit(s, also, n, NULL);
    if (rc != 0)
        (void)snprintf(why, STORE_TEXT_MAX, "%s", store_error_text(s));
    int closed = store_close(s);
    return rc != 0 ? rc : closed;
}

int store_restore(const char *path, const char *from, const struct store_write *also, size_t n,
                  store_progress *progress, void *arg, struct store_copied *out,
                  char aside[static STORE_PATH_MAX], char why[static STORE_TEXT_MAX])
{
    char fresh[STORE_PATH_MAX];
    int lock = -1;
    struct backup b = {.progress = progress, .arg = arg, .out = out, .why = why};
    *out = (struct store_copied){0};
    aside[0] = why[0] = '\0';
    if (sodium_init() < 0)
        return PEAL_E_NO_MEMORY;
    int rc = file_lock(path, &lock, why);
    if (rc == 0)
        rc = swap_finish(path, aside, why); /* what was begun before comes first */
    if (rc == 0)
        rc = file_beside(path, RESTORE_SUFFIX, fresh, why);
    if (rc == 0) {
        file_remove(path, RESTORE_SUFFIX);
        rc = copy_file(&b, from, fresh);
        if (rc == 0)
            rc = add_to(fresh, also, n, why);
        if (rc == 0)
            rc = swap_in(path, RESTORE_SUFFIX, aside, why);
        file_remove(path, RESTORE_SUFFIX);
    }
    if (rc != 0 && why[0] == '\0')
        (void)snprintf(why, STORE_TEXT_MAX, "%s", err_prose(rc));
    if (lock >= 0)
        (void)close(lock);
    return rc;
}
