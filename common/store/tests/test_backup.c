/* Backups and what is made of them; the views. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "twins.h"

static struct twin t;
static char copy[PATH_MAX + 8], why[STORE_TEXT_MAX], aside[STORE_PATH_MAX];
static struct store_copied copied;

static void setup(void)
{
    twin_open(&t, true);
    snprintf(copy, sizeof copy, "%s.copy", t.path);
}

static void teardown(void)
{
    twin_close(&t);
}

TestSuite(backup, .init = setup, .fini = teardown);
TestSuite(views, .init = setup, .fini = teardown);

static void close_now(void)
{
    int rc = store_close(t.s);
    cr_assert(rc == 0, "closing gives %s", err_name(rc));
    t.s = NULL;
}

static void open_now(void)
{
    int rc = store_open_sqlite(t.path, &t.config, why, &t.s);
    cr_assert(rc == 0, "it opens: %s", why);
}

static int backup(void)
{
    return store_backup(t.path, copy, NULL, NULL, &copied, why);
}

static int restore(const struct store_write *also, size_t n)
{
    return store_restore(t.path, copy, also, n, NULL, NULL, &copied, aside, why);
}

static void fill(char mark)
{
    char key[16], value[] = "valueX";
    value[5] = mark;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        twin_do(&t, twin_put(i % 2 == 0 ? STORE_REGISTERS : STORE_ROWS, key, value));
    }
    twin_sync(&t);
}

static void damage_file(const char *path, off_t at, size_t n)
{
    uint8_t junk[64];
    int fd = open(path, O_RDWR);
    memset(junk, 0xa5, sizeof junk);
    cr_assert(fd >= 0 && pwrite(fd, junk, n, at) == (ssize_t)n, "cannot damage %s", path);
    close(fd);
}

Test(backup, of_an_open_store_is_one_private_file)
{
    struct stat st;
    char log[PATH_MAX + 16];
    fill('1');
    int rc = backup();
    cr_assert(rc == 0, "%s: %s", err_name(rc), why);
    cr_assert(copied.pairs[STORE_REGISTERS] == 50 && copied.pairs[STORE_ROWS] == 50,
              "50 of each, not %lu and %lu", (unsigned long)copied.pairs[STORE_REGISTERS],
              (unsigned long)copied.pairs[STORE_ROWS]);
    cr_assert(copied.damaged == 0, "all of them sound");
    cr_assert(stat(copy, &st) == 0 && (st.st_mode & 0777) == 0600, "mode %o", st.st_mode & 0777);
    cr_assert(copied.bytes == (uint64_t)st.st_size, "its size is said");
    snprintf(log, sizeof log, "%s-wal", copy);
    cr_assert(access(log, F_OK) != 0, "it needs no log");
    fill('2');
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "k1"), "value2") == 0, "the store goes on");
    rc = backup();
    cr_assert(rc == PEAL_E_EXISTS, "%s", err_name(rc));
    cr_assert(strstr(why, "is there already") != NULL, "it says: %s", why);
    close_now();
    rc = restore(NULL, 0);
    cr_assert(rc == 0, "%s: %s", err_name(rc), why);
    open_now();
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "k1"), "value1") == 0, "what the backup had");
    cr_assert(twin_count(&t, STORE_REGISTERS, "", "") == 50, "all of it");
}

static void count_progress(void *arg, uint64_t done, uint64_t total)
{
    uint64_t *last = arg;
    cr_assert(done <= total && done >= *last, "%lu of %lu", (unsigned long)done,
              (unsigned long)total);
    *last = done;
}

/* Another process writes all the time; what the copy has is a prefix of it. */
Test(backup, while_somebody_writes_is_of_one_moment)
{
    enum { ROUNDS = 5, LEAST_BYTES = 8 << 20 };
    close_now();
    int up[2];
    cr_assert(pipe(up) == 0, "a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        char pair[2][16], value[2000];
        memset(value, 'v', sizeof value);
        if (store_open_sqlite(t.path, &t.config, why, &t.s) != 0 || write(up[1], "!", 1) != 1)
            _exit(1);
        for (unsigned i = 0;; i++) {
            struct store_write w[2];
            for (int k = 0; k < 2; k++) {
                snprintf(pair[k], sizeof pair[k], "%c%u", 'a' + k, i % 5000);
                w[k] = (struct store_write){.space = k == 0 ? STORE_REGISTERS : STORE_ROWS,
                                            .key = peal_bytes_str(pair[k]),
                                            .value = peal_bytes_of(value, sizeof value)};
            }
            int rc = store_submit(t.s, w, 2, NULL);
            if (rc != 0 && rc != PEAL_E_BUSY)
                _exit(2);
        }
    }
    char c;
    cr_assert(read(up[0], &c, 1) == 1, "the other one writes");
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t last = 0; /* a copy that began anew would go back */
        unlink(copy);
        int rc = store_backup(t.path, copy, count_progress, &last, &copied, why);
        cr_assert(rc == 0, "%s: %s", err_name(rc), why);
        cr_assert(copied.pairs[STORE_REGISTERS] == copied.pairs[STORE_ROWS],
                  "whole units only: %lu and %lu", (unsigned long)copied.pairs[STORE_REGISTERS],
                  (unsigned long)copied.pairs[STORE_ROWS]);
        cr_assert(copied.damaged == 0, "all sound");
        if (copied.bytes < LEAST_BYTES)
            i--; /* one step: not yet what this test is about */
    }
    int status;
    cr_assert(waitpid(pid, &status, WNOHANG) == 0, "the writer was not disturbed: %d", status);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    close(up[0]);
    close(up[1]);
    uint64_t pairs = copied.pairs[STORE_ROWS];
    cr_assert(restore(NULL, 0) == 0, "%s", why);
    open_now();
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == pairs, "and the last one can be restored");
}

Test(backup, tells_how_far_it_has_come)
{
    static char value[100 * 1024];
    uint64_t last = 0;
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        twin_do(&t, twin_put(STORE_ROWS, key, value));
    }
    twin_sync(&t);
    int rc = store_backup(t.path, copy, count_progress, &last, &copied, why);
    cr_assert(rc == 0, "%s", why);
    cr_assert(last == copied.bytes, "in the end all: %lu of %lu", (unsigned long)last,
              (unsigned long)copied.bytes);
}

Test(backup, of_nothing_or_of_something_else)
{
    struct stat st;
    close_now();
    FILE *f = fopen(t.path, "w");
    for (int i = 0; i < 5000; i++)
        fputs("no database\n", f);
    fclose(f);
    int rc = backup();
    cr_assert(rc == PEAL_E_CORRUPT, "%s: %s", err_name(rc), why);
    cr_assert(stat(copy, &st) != 0, "nothing is left of it");
    unlink(t.path);
    rc = backup();
    cr_assert(rc == PEAL_E_NOT_FOUND, "%s: %s", err_name(rc), why);
    cr_assert(stat(copy, &st) != 0 && stat(t.path, &st) != 0, "nothing is made");
}

Test(backup, of_a_damaged_file_is_refused_and_its_damaged_pairs_are_counted)
{
    fill('1');
    close_now();
    sqlite3 *db;
    cr_assert(sqlite3_open(t.path, &db) == SQLITE_OK, "a connection");
    cr_assert(sqlite3_exec(db, "UPDATE rows SET value = x'00' WHERE key = x'6b31'", NULL, NULL,
                           NULL) == SQLITE_OK,
              "one value is changed");
    sqlite3_close(db);
    cr_assert(backup() == 0, "%s", why);
    cr_assert(copied.damaged == 1 && copied.pairs[STORE_ROWS] == 49, "one of 50 is damaged");
    unlink(copy);
    long long root = twin_ask(&t, "SELECT rootpage FROM sqlite_schema WHERE name = 'rows'");
    damage_file(t.path, (off_t)(root - 1) * 8192, 64);
    int rc = backup();
    cr_assert(rc == PEAL_E_CORRUPT, "%s: %s", err_name(rc), why);
    cr_assert(access(copy, F_OK) != 0, "there is no such copy");
}

/* ---- restoring ---- */

Test(restore, keeps_the_present_file_and_adds_what_is_asked, .init = setup, .fini = teardown)
{
    struct store_write also = {
        .space = STORE_META, .key = peal_bytes_str("mark"), .value = peal_bytes_str("restored")};
    fill('1');
    cr_assert(backup() == 0, "%s", why);
    fill('2');
    close_now();
    cr_assert(restore(&also, 1) == 0, "%s", why);
    open_now();
    cr_assert(strcmp(twin_get(&t, STORE_REGISTERS, "k2"), "value1") == 0, "the backup's");
    cr_assert(strcmp(twin_get(&t, STORE_META, "mark"), "restored") == 0, "and the mark");
    close_now();
    cr_assert(strstr(aside, ".aside-") != NULL, "kept as %s", aside);
    snprintf(t.path, sizeof t.path, "%s", aside);
    open_now();
    cr_assert(strcmp(twin_get(&t, STORE_REGISTERS, "k2"), "value2") == 0,
              "the one before is whole");
}

Test(restore, of_what_does_not_fit_changes_nothing, .init = setup, .fini = teardown)
{
    static const struct {
        const char *sql;
        int expected;
        const char *saying;
    } cases[] = {
        {"PRAGMA user_version = 99", PEAL_E_VERSION, "version 99"},
        {"PRAGMA user_version = 0", PEAL_E_CORRUPT, "no database of peald"},
        {"PRAGMA user_version = 1; DROP VIEW users; DROP VIEW backups; DROP TABLE registers",
         PEAL_E_CORRUPT, "no database of peald"},
    };
    fill('1');
    cr_assert(backup() == 0, "%s", why);
    fill('2');
    int rc = restore(NULL, 0);
    cr_assert(rc == PEAL_E_BUSY, "the server runs: %s", err_name(rc));
    cr_assert(strstr(why, "another peald uses") != NULL, "it says: %s", why);
    close_now();
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        sqlite3 *db;
        cr_assert(sqlite3_open(copy, &db) == SQLITE_OK, "a connection");
        cr_assert(sqlite3_exec(db, cases[i].sql, NULL, NULL, NULL) == SQLITE_OK, "case %zu: %s", i,
                  sqlite3_errmsg(db));
        sqlite3_close(db);
        rc = restore(NULL, 0);
        cr_assert(rc == cases[i].expected, "case %zu: %s: %s", i, err_name(rc), why);
        cr_assert(strstr(why, cases[i].saying) != NULL, "case %zu says: %s", i, why);
    }
    damage_file(copy, 0, 16);
    rc = restore(NULL, 0);
    cr_assert(rc == PEAL_E_CORRUPT, "no database at all: %s", err_name(rc));
    unlink(copy);
    rc = restore(NULL, 0);
    cr_assert(rc == PEAL_E_NOT_FOUND, "no file at all: %s", err_name(rc));
    cr_assert(aside[0] == '\0', "nothing was moved");
    open_now();
    cr_assert(strcmp(twin_get(&t, STORE_REGISTERS, "k2"), "value2") == 0, "as it was");
}

Test(restore, where_there_was_nothing, .init = setup, .fini = teardown)
{
    fill('1');
    cr_assert(backup() == 0, "%s", why);
    close_now();
    unlink(t.path);
    cr_assert(restore(NULL, 0) == 0, "%s", why);
    cr_assert(aside[0] == '\0', "nothing was to be kept");
    open_now();
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == 50, "it is there");
}

/* ---- views ---- */

static const char *ask(const char *sql)
{
    static char out[4096];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    size_t n = 0;
    out[0] = '\0';
    cr_assert(sqlite3_open_v2(t.path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK, "a reader");
    cr_assert(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql,
              sqlite3_errmsg(db));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            n += (size_t)snprintf(out + n, sizeof out - n, "%.6s%s",
                                  (const char *)sqlite3_column_text(stmt, i),
                                  i + 1 < sqlite3_column_count(stmt) ? ":" : " ");
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return out;
}

static void set_arc(uint8_t after, uint8_t upto)
{
    uint8_t arc[40] = {after};
    arc[20] = upto;
    struct store_write w = {.space = STORE_META,
                            .key = peal_bytes_str(STORE_ARC_KEY),
                            .value = peal_bytes_of(arc, sizeof arc),
                            .lazy = true};
    twin_do(&t, w);
    twin_sync(&t);
}

static void put_key(enum store_space space, uint8_t first, size_t n)
{
    uint8_t key[36] = {first};
    struct store_write w = {
        .space = space, .key = peal_bytes_of(key, n), .value = peal_bytes_str("secret")};
    twin_do(&t, w);
}

Test(views, show_the_same_pairs_by_the_arc)
{
    static const struct {
        uint8_t after, upto;
        const char *users, *backups;
    } cases[] = {
        {0x10, 0x30, "200000:6 300000:6 ", "100000:6 400000:6 "},
        {0x30, 0x10, "100000:6 400000:6 ", "200000:6 300000:6 "}, /* across zero */
        {0x40, 0x10, "100000:6 ", "200000:6 300000:6 400000:6 "},
        {0x20, 0x20, "100000:6 200000:6 300000:6 400000:6 ", ""}, /* alone */
    };
    for (uint8_t i = 0x10; i <= 0x40; i = (uint8_t)(i + 0x10)) {
        put_key(STORE_REGISTERS, i, 20);
        put_key(STORE_ROWS, i, 36);
    }
    twin_sync(&t);
    cr_assert_str_eq(ask("SELECT * FROM users"), "", "in no ring nothing is known");
    cr_assert_str_eq(ask("SELECT * FROM backups"), "", "of either");
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        set_arc(cases[i].after, cases[i].upto);
        cr_assert_str_eq(ask("SELECT key, bytes FROM users ORDER BY key"), cases[i].users,
                         "case %zu", i);
        cr_assert_str_eq(ask("SELECT key, bytes FROM backups ORDER BY key"), cases[i].backups,
                         "case %zu", i);
        cr_assert_str_eq(ask("SELECT mailbox, bytes FROM mail ORDER BY mailbox"), cases[i].users,
                         "case %zu", i);
        cr_assert_str_eq(ask("SELECT mailbox, bytes FROM mail_backups ORDER BY mailbox"),
                         cases[i].backups, "case %zu", i);
    }
}

Test(views, another_builds_views_are_made_anew_and_the_right_ones_left_alone)
{
    close_now();
    sqlite3 *db;
    cr_assert(sqlite3_open(t.path, &db) == SQLITE_OK, "a connection");
    cr_assert(sqlite3_exec(db, "DROP VIEW users; CREATE VIEW users AS SELECT 1", NULL, NULL,
                           NULL) == SQLITE_OK,
              "another build's");
    sqlite3_close(db);
    open_now();
    put_key(STORE_REGISTERS, 0x20, 20);
    set_arc(0x10, 0x30);
    cr_assert_str_eq(ask("SELECT bytes FROM users"), "6 ", "this build's");
    char before[32];
    snprintf(before, sizeof before, "%s", ask("PRAGMA schema_version"));
    close_now();
    open_now();
    cr_assert_str_eq(ask("PRAGMA schema_version"), before, "nothing is changed for nothing");
}
