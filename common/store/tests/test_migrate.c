/* A data file of version 1 becomes one of version 2, whatever happens meanwhile. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "twins.h"

enum { ROWS = 3000, OTHERS = 50, DAMAGED = 1234 };

/* ---- version 1, as the program of then wrote it ---- */

static const char *const schema_1 =
    "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;"
    "CREATE TABLE meta (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE registers (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL,"
    " sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE rows (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

static sqlite3_int64 sum_1(int space, const char *key, const char *value)
{
    uint8_t head[2] = {(uint8_t)space, (uint8_t)strlen(key)}, hash[crypto_generichash_BYTES_MIN];
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, sizeof hash);
    crypto_generichash_update(&st, head, sizeof head);
    crypto_generichash_update(&st, (const uint8_t *)key, strlen(key));
    crypto_generichash_update(&st, (const uint8_t *)value, strlen(value));
    crypto_generichash_final(&st, hash, sizeof hash);
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | hash[i];
    return (sqlite3_int64)v;
}

static void key_of(unsigned i, char out[16])
{
    snprintf(out, 16, "%08x", i * 2654435761U);
}

static void value_of(unsigned i, char out[400])
{
    snprintf(out, 400, "%0*u", (int)(10 + i % 380), i);
}

static void insert_1(sqlite3 *db, enum store_space space, unsigned i)
{
    char sql[128], key[16], value[400];
    sqlite3_stmt *stmt;
    key_of(i, key);
    value_of(i, value);
    snprintf(sql, sizeof sql, "INSERT INTO %s (key, value, sum) VALUES (?1, ?2, ?3)",
             store_space_name(space));
    cr_assert(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_bind_blob(stmt, 1, key, (int)strlen(key), SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, value, (int)strlen(value), SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, sum_1(space, key, value) + (i == DAMAGED));
    cr_assert(sqlite3_step(stmt) == SQLITE_DONE, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
}

/* In place of the twin's file, which is closed, one of version 1. */
static void write_version_1(const struct twin *t)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < PEAL_COUNT(suffixes); i++) {
        char path[PATH_MAX + 8];
        snprintf(path, sizeof path, "%s%s", t->path, suffixes[i]);
        unlink(path);
    }
    sqlite3 *db;
    cr_assert(sqlite3_open(t->path, &db) == SQLITE_OK, "no file %s", t->path);
    int rc = sqlite3_exec(db, schema_1, NULL, NULL, NULL);
    cr_assert(rc == SQLITE_OK, "version 1: %s", sqlite3_errmsg(db));
    sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    for (unsigned i = 0; i < OTHERS; i++) {
        insert_1(db, STORE_META, i);
        insert_1(db, STORE_REGISTERS, i);
    }
    for (unsigned i = 0; i < ROWS; i++)
        insert_1(db, STORE_ROWS, i);
    rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    cr_assert(rc == SQLITE_OK, "version 1: %s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void close_now(struct twin *t)
{
    int rc = store_close(t->s);
    cr_assert(rc == 0, "closing gives %s", err_name(rc));
    t->s = NULL;
}

static void open_version_1(struct twin *t)
{
    cr_assert(sodium_init() >= 0, "no libsodium");
    twin_open(t, true);
    close_now(t);
    write_version_1(t);
}

static void expect_all(struct twin *t)
{
    static const enum store_space spaces[] = {STORE_META, STORE_REGISTERS, STORE_ROWS};
    static const unsigned counts[] = {OTHERS, OTHERS, ROWS};
    for (size_t space = 0; space < PEAL_COUNT(spaces); space++) {
        for (unsigned i = 0; i < counts[space]; i++) {
            char key[16], value[400];
            key_of(i, key);
            value_of(i, value);
            const char *got = twin_get(t, spaces[space], key);
            cr_assert(strcmp(got, i == DAMAGED ? "corrupt" : value) == 0, "row %u of %s is %s", i,
                      store_space_name(spaces[space]), got);
        }
        cr_assert(twin_count(t, spaces[space], "", "") == counts[space], "and nothing else in %s",
                  store_space_name(spaces[space]));
    }
    cr_assert(twin_ask(t, "PRAGMA user_version") == STORE_SCHEMA_VERSION, "it is up to date");
    cr_assert(twin_ask(t, "SELECT count(*) FROM sqlite_schema WHERE name = 'rows_1'") == 0,
              "nothing of the old table is left");
}

Test(migrate, a_file_of_version_1_is_read_completely)
{
    struct twin t;
    open_version_1(&t);
    cr_assert(twin_ask(&t, "PRAGMA user_version") == 1, "it is of version 1");
    twin_replace(&t);
    expect_all(&t);
    char key[16];
    key_of(DAMAGED, key);
    twin_do(&t, twin_put(STORE_ROWS, key, "repaired"));
    twin_reopen(&t);
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, key), "repaired") == 0, "and is repaired");
    twin_close(&t);
}

Test(migrate, views_of_the_rows_go_on)
{
    struct twin t;
    open_version_1(&t);
    twin_sql(&t, "CREATE VIEW v AS SELECT key, value FROM rows");
    twin_replace(&t);
    cr_assert(twin_ask(&t, "SELECT count(*) FROM v") == ROWS, "the view sees the new table");
    twin_close(&t);
}

static _Noreturn void child_main(const struct twin *t, unsigned kill_at)
{
    char why[STORE_TEXT_MAX];
    struct store *s;
    faults_kill_at(kill_at);
    if (store_open_sqlite(t->path, &t->config, why, &s) != 0)
        _exit(2);
    _exit(0);
}

/* In a child that dies at that write. False: it was done before. */
static bool migrate_and_die(const struct twin *t, unsigned kill_at)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        child_main(t, kill_at);
    cr_assert(waitpid(child, &status, 0) == child, "no child");
    cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "the child ended with %d",
              WEXITSTATUS(status));
    return WIFSIGNALED(status);
}

Test(migrate, a_start_that_dies_at_any_write_is_gone_on_with, .timeout = 300)
{
    enum { STEP = 23 };
    struct twin t;
    open_version_1(&t);
    unsigned died = 0, halfway = 0;
    for (unsigned kill_at = 1; migrate_and_die(&t, kill_at); kill_at += STEP) {
        died++;
        /* and once more, so that it also dies going on */
        (void)migrate_and_die(&t, 1 + kill_at / 2);
        halfway += twin_ask(&t, "SELECT count(*) FROM sqlite_schema WHERE name = 'rows_1'") == 1;
        twin_replace(&t);
        expect_all(&t);
        close_now(&t);
        write_version_1(&t);
    }
    cr_assert(died >= 10 && halfway >= 3, "%u died, %u of them between two steps", died, halfway);
    t.s = NULL;
    twin_replace(&t);
    expect_all(&t);
    twin_close(&t);
}

/* ---- salvaging and backups ---- */

static void expect_salvaged(struct twin *t, const char *newer)
{
    struct store_salvaged out;
    char why[STORE_TEXT_MAX], key[16], value[400];
    int rc = store_salvage(t->path, NULL, 0, &out, why);
    cr_assert(rc == 0, "salvaging gives %s: %s", err_name(rc), why);
    cr_assert(out.kept[STORE_META] == OTHERS && out.kept[STORE_REGISTERS] == OTHERS &&
                  out.kept[STORE_ROWS] == ROWS - 1,
              "kept are %lu, %lu and %lu", (unsigned long)out.kept[STORE_META],
              (unsigned long)out.kept[STORE_REGISTERS], (unsigned long)out.kept[STORE_ROWS]);
    cr_assert(out.lost == 1, "%lu are lost, not the one", (unsigned long)out.lost);
    twin_replace(t);
    for (unsigned i = 0; i < ROWS; i++) {
        key_of(i, key);
        value_of(i, value);
        const char *expected = i == DAMAGED ? "-" : i == 0 && newer != NULL ? newer : value;
        const char *got = twin_get(t, STORE_ROWS, key);
        cr_assert(strcmp(got, expected) == 0, "row %u is %s", i, got);
    }
    close_now(t);
}

static void expect_backup(const struct twin *t)
{
    char copy[PATH_MAX + 8], why[STORE_TEXT_MAX];
    struct store_copied copied;
    snprintf(copy, sizeof copy, "%s.copy", t->path);
    int rc = store_backup(t->path, copy, NULL, NULL, &copied, why);
    cr_assert(rc == 0, "a backup gives %s: %s", err_name(rc), why);
    cr_assert(copied.damaged == 1, "%lu are damaged", (unsigned long)copied.damaged);
    cr_assert(copied.pairs[STORE_META] == OTHERS && copied.pairs[STORE_REGISTERS] == OTHERS &&
                  copied.pairs[STORE_ROWS] == ROWS - 1,
              "%lu, %lu and %lu pairs", (unsigned long)copied.pairs[STORE_META],
              (unsigned long)copied.pairs[STORE_REGISTERS],
              (unsigned long)copied.pairs[STORE_ROWS]);
    unlink(copy);
}

Test(migrate, version_1_is_salvaged_and_backed_up_as_well)
{
    struct twin t;
    open_version_1(&t);
    expect_backup(&t);
    expect_salvaged(&t, NULL);
    twin_close(&t);
}

Test(migrate, halfway_it_is_salvaged_and_backed_up_as_well)
{
    static const char left[] = "SELECT count(*) FROM rows_1";
    struct twin t;
    open_version_1(&t);
    unsigned kill_at = 1;
    bool halfway = false;
    for (; !halfway && migrate_and_die(&t, kill_at); kill_at += 5) {
        halfway = twin_ask(&t, "SELECT count(*) FROM sqlite_schema WHERE name = 'rows_1'") == 1 &&
                  twin_ask(&t, left) > 0 && twin_ask(&t, left) < ROWS;
        if (!halfway)
            write_version_1(&t);
    }
    cr_assert(halfway, "it never stood still halfway");
    expect_backup(&t);
    expect_salvaged(&t, NULL);
    twin_close(&t);
}

/* Where the list of free pages is lost, nothing but its checksum tells an old row. */
Test(migrate, what_it_left_behind_is_older_than_any_row_since)
{
    enum { FREE_FIRST = 32, FREE_BYTES = 8 };
    static const uint8_t none[FREE_BYTES] = {0};
    struct twin t;
    char key[16];
    open_version_1(&t);
    twin_replace(&t);
    key_of(0, key);
    twin_do(&t, twin_put(STORE_ROWS, key, "newer"));
    close_now(&t);
    cr_assert(twin_ask(&t, "PRAGMA freelist_count") > 10, "the old pages are free");
    int fd = open(t.path, O_RDWR);
    cr_assert(fd >= 0 && pwrite(fd, none, sizeof none, FREE_FIRST) == FREE_BYTES, "cannot damage");
    close(fd);
    expect_salvaged(&t, "newer");
    twin_close(&t);
}

/* ---- a full disk ---- */

/* A small file system of the test's own over t->folder; false when the machine does not let it. */
static bool mount_small(const struct twin *t)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount("tmpfs", t->folder, "tmpfs", 0, "size=16m") == 0;
}

/* Fills the file system but for `left` bytes. */
static void fill_up(const char *path, off_t left)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0, "cannot make %s", path);
    off_t size = 0;
    for (ssize_t n; (n = write(fd, block, sizeof block)) > 0;)
        size += n;
    cr_assert(errno == ENOSPC, "filling up ended with %s", strerror(errno));
    cr_assert(ftruncate(fd, size - left) == 0, "cannot make room");
    close(fd);
}

Test(migrate, a_full_disk_is_said_and_loses_nothing)
{
    static const off_t room[] = {64 << 10, 512 << 10, 1024 << 10, 2048 << 10};
    struct twin t;
    unsigned refused = 0;
    twin_open(&t, true);
    close_now(&t);
    if (!mount_small(&t)) {
        twin_close(&t);
        cr_skip_test("this machine does not let a test mount a file system");
    }
    char ballast[PATH_MAX + 8];
    snprintf(ballast, sizeof ballast, "%s/ballast", t.folder);
    for (size_t i = 0; i < PEAL_COUNT(room); i++) {
        write_version_1(&t);
        fill_up(ballast, room[i]);
        char why[STORE_TEXT_MAX];
        int rc = store_open_sqlite(t.path, &t.config, why, &t.s);
        cr_assert(rc == 0 || rc == PEAL_E_NO_SPACE, "opening gives %s: %s", err_name(rc), why);
        if (rc != 0)
            cr_assert(strstr(why, "full") != NULL, "it says: %s", why);
        refused += rc != 0;
        cr_assert(unlink(ballast) == 0, "cannot make room");
        if (rc == 0)
            close_now(&t);
        twin_replace(&t);
        expect_all(&t);
        close_now(&t);
    }
    cr_assert(refused >= 2, "the disk was full %u times", refused);
    cr_assert(umount2(t.folder, MNT_DETACH) == 0, "cannot unmount");
    twin_close(&t);
}
