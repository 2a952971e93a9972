/* What only the SQLite back end does: files, locks, its thread's timing, kill -9, a disk that
 * really is full. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "twins.h"

static void beside(const struct twin *t, const char *suffix, char out[PATH_MAX + 8])
{
    snprintf(out, PATH_MAX + 8, "%s%s", t->path, suffix);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    cr_assert(sqlite3_open(path, &db) == SQLITE_OK, "no connection to %s", path);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    cr_assert(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* Closes the store and expects that it does not open again. */
static void expect_refusal(struct twin *t, int expected, const char *saying)
{
    char why[STORE_TEXT_MAX];
    struct store *s;
    int rc = store_open_sqlite(t->path, &t->config, why, &s);
    cr_assert(rc == expected && s == NULL, "opening gives %s: %s", err_name(rc), why);
    cr_assert(strstr(why, saying) != NULL, "it says: %s", why);
}

static void close_now(struct twin *t)
{
    int rc = store_close(t->s);
    cr_assert(rc == 0, "closing gives %s", err_name(rc));
    t->s = NULL;
}

/* ---- files ---- */

Test(sqlite, only_the_owner_can_read_the_files)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    struct twin t;
    twin_open(&t, true);
    twin_do(&t, twin_put(STORE_ROWS, "a", "1"));
    twin_sync(&t);
    for (size_t i = 0; i < PEAL_COUNT(suffixes); i++) {
        char path[PATH_MAX + 8];
        struct stat st;
        beside(&t, suffixes[i], path);
        cr_assert(stat(path, &st) == 0, "%s is there", path);
        cr_assert((st.st_mode & 0777) == 0600, "%s has mode %o", path, st.st_mode & 0777);
    }
    twin_close(&t);
}

Test(sqlite, a_second_opener_is_refused)
{
    struct twin t;
    twin_open(&t, true);
    expect_refusal(&t, PEAL_E_BUSY, "another peald uses");
    twin_do(&t, twin_put(STORE_ROWS, "a", "1"));
    twin_reopen(&t);
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "a"), "1") == 0, "the first one was not disturbed");
    twin_close(&t);
}

Test(sqlite, a_file_of_a_newer_program_is_refused)
{
    struct twin t;
    twin_open(&t, true);
    close_now(&t);
    run_sql(t.path, "PRAGMA user_version = 3");
    expect_refusal(&t, PEAL_E_VERSION, "version 3");
    run_sql(t.path, "PRAGMA user_version = 2");
    twin_replace(&t);
    twin_close(&t);
}

Test(sqlite, a_file_that_is_no_database_is_refused)
{
    struct twin t;
    twin_open(&t, true);
    close_now(&t);
    FILE *f = fopen(t.path, "w");
    cr_assert(f != NULL, "cannot write");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", f);
    fclose(f);
    expect_refusal(&t, PEAL_E_CORRUPT, "data file");
    twin_close(&t);
}

Test(sqlite, a_damaged_page_is_found_at_the_start)
{
    enum { PAGE = 8192 };
    struct twin t;
    twin_open(&t, true);
    for (int i = 0; i < 200; i++) {
        static char value[1000];
        char key[16];
        memset(value, 'v', sizeof value - 1);
        snprintf(key, sizeof key, "%d", i);
        twin_do(&t, twin_lazy(twin_put(STORE_ROWS, key, value)));
    }
    close_now(&t);
    int fd = open(t.path, O_RDWR);
    struct stat st;
    cr_assert(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 10 * PAGE, "the file has many pages");
    uint8_t junk[200];
    memset(junk, 0xa5, sizeof junk);
    cr_assert(pwrite(fd, junk, sizeof junk, 8 * PAGE) == (ssize_t)sizeof junk, "cannot damage");
    close(fd);
    expect_refusal(&t, PEAL_E_CORRUPT, "damaged");
    twin_close(&t);
}

Test(sqlite, a_folder_that_is_not_there)
{
    struct twin t;
    twin_open(&t, true);
    close_now(&t);
    char path[PATH_MAX];
    memcpy(path, t.path, sizeof path);
    snprintf(t.path, sizeof t.path, "%s/nowhere/data.db", t.folder);
    expect_refusal(&t, PEAL_E_IO, "nowhere");
    memcpy(t.path, path, sizeof path);
    twin_close(&t);
}

Test(sqlite, a_checksum_binds_space_key_and_value)
{
    static const char *const changes[] = {
        "UPDATE meta SET key = x'62'",
        "UPDATE meta SET value = x'32'",
        "UPDATE meta SET sum = sum + 1",
        "INSERT INTO registers SELECT * FROM meta",
        "INSERT INTO rows SELECT 1, key, sum, value FROM meta",
    };
    static const enum store_space spaces[] = {STORE_META, STORE_META, STORE_META, STORE_REGISTERS,
                                              STORE_ROWS};
    for (size_t i = 0; i < PEAL_COUNT(changes); i++) {
        struct twin t;
        twin_open(&t, true);
        twin_do(&t, twin_put(STORE_META, "a", "1"));
        close_now(&t);
        cr_assert(twin_sql(&t, changes[i]) == 1, "%s changes nothing", changes[i]);
        twin_replace(&t);
        const char *got = twin_get(&t, spaces[i], i == 0 ? "b" : "a");
        cr_assert(strcmp(got, "corrupt") == 0, "after %s it is %s", changes[i], got);
        twin_close(&t);
    }
}

/* ---- the thread ---- */

Test(sqlite, a_lazy_write_waits_only_so_long)
{
    struct twin t;
    twin_open(&t, true);
    t.config.lazy_us = 2000;
    twin_replace(&t);
    uint64_t ticket = twin_do(&t, twin_lazy(twin_put(STORE_ROWS, "a", "1")));
    twin_wait_durable(&t, ticket);
    ticket = twin_do(&t, twin_lazy(twin_put(STORE_ROWS, "b", "1")));
    twin_wait_durable(&t, ticket);
    twin_close(&t);
}

Test(sqlite, lazy_writes_wait_no_longer_when_they_are_many)
{
    struct twin t;
    twin_open(&t, true);
    t.config.flush_bytes = 10000;
    twin_replace(&t);
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    uint64_t ticket = 0;
    for (int i = 0; i < 10; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        ticket = twin_do(&t, twin_lazy(twin_put(STORE_ROWS, key, value)));
    }
    twin_wait_durable(&t, ticket);
    twin_close(&t);
}

Test(sqlite, submits_during_a_transaction_share_the_next)
{
    enum { N = 2000 };
    struct twin t;
    twin_open(&t, true);
    uint64_t ticket = 0;
    for (int i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        ticket = twin_do(&t, twin_put(STORE_ROWS, key, "v"));
    }
    twin_wait_durable(&t, ticket);
    struct store_stats f;
    store_stats(t.s, &f);
    cr_assert(f.puts_written == N, "all are written");
    cr_assert(f.commits < N, "in %llu transactions", (unsigned long long)f.commits);
    twin_close(&t);
}

Test(sqlite, a_quota_stops_growth_and_is_lifted)
{
    struct twin t;
    twin_open(&t, true);
    t.config.quota_bytes = 512 * 1024;
    twin_replace(&t);
    static char value[32000];
    memset(value, 'q', sizeof value - 1);
    int rc = 0;
    unsigned taken = 0;
    for (; taken < 100 && rc == 0; taken += rc == 0) {
        char key[16];
        snprintf(key, sizeof key, "%03u", taken);
        struct store_write w = twin_put(STORE_ROWS, key, value);
        rc = store_submit(t.s, &w, 1, NULL);
    }
    twin_wait_health(&t, PEAL_E_NO_SPACE);
    struct stat st;
    cr_assert(stat(t.path, &st) == 0 && st.st_size <= 512 * 1024, "the file grew to %lld",
              (long long)st.st_size);
    store_set_quota(t.s, 0);
    twin_wait_health(&t, 0);
    twin_sync(&t);
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == taken, "every write that was taken is there");
    twin_close(&t);
}

/* ---- kill -9 ---- */

enum { KILL_ROUNDS = 8, CHILD_UNITS = 1 << 20 };

/* Writes units without end, row N and the count, and reports through the pipe each durable ticket
 * it learns of. */
static void child_main(const char *path, int report, unsigned first)
{
    struct store_config config = store_config_default();
    config.lazy_us = 500;
    char why[STORE_TEXT_MAX];
    struct store *s;
    if (store_open_sqlite(path, &config, why, &s) != 0)
        _exit(2);
    uint64_t reported = 0;
    for (unsigned i = 0; i < CHILD_UNITS; i++) {
        char key[32], value[32];
        snprintf(key, sizeof key, "%08u", first + i);
        snprintf(value, sizeof value, "%u", first + i + 1);
        struct store_write w[] = {twin_put(STORE_ROWS, key, value),
                                  twin_put(STORE_META, "count", value)};
        w[0].lazy = w[1].lazy = i % 3 != 0;
        if (store_submit(s, w, 2, NULL) != 0)
            _exit(3);
        uint64_t durable = store_durable(s);
        if (durable > reported && write(report, &durable, sizeof durable) != sizeof durable)
            _exit(4);
        reported = durable;
    }
    _exit(5);
}

Test(sqlite, what_was_reported_durable_survives_kill_9)
{
    struct twin t;
    struct rng r;
    rng_init(&r, 11);
    twin_open(&t, true);
    unsigned rows = 0;
    for (int round = 0; round < KILL_ROUNDS; round++) {
        close_now(&t);
        int ends[2];
        cr_assert(pipe(ends) == 0, "no pipe");
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            child_main(t.path, ends[1], rows);
        }
        close(ends[1]);
        uint64_t enough = 1 + rng_below(&r, 3000), durable = 0, got;
        while (durable < enough && read(ends[0], &got, sizeof got) == sizeof got)
            durable = got;
        kill(child, SIGKILL);
        while (read(ends[0], &got, sizeof got) == sizeof got)
            durable = got;
        close(ends[0]);
        int status;
        cr_assert(waitpid(child, &status, 0) == child, "no child");
        cr_assert(WIFSIGNALED(status), "the child ended by itself with %d", WEXITSTATUS(status));
        twin_replace(&t);
        const char *text = twin_get(&t, STORE_META, "count");
        unsigned count = strcmp(text, "-") == 0 ? 0 : (unsigned)strtoul(text, NULL, 10);
        cr_assert(count >= rows + durable,
                  "%u units, %llu more were reported durable, %u are there", rows,
                  (unsigned long long)durable, count);
        cr_assert(twin_count(&t, STORE_ROWS, "", "") == count, "units are whole, and a prefix");
        rows = count;
    }
    twin_close(&t);
}

/* ---- a file system that gives errors ---- */

/* With a limit on files' sizes each write fails, as on a disk that is broken or read-only. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    cr_assert(getrlimit(RLIMIT_FSIZE, &limit) == 0, "no limits");
    limit.rlim_cur = bytes;
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0, "cannot set the limit");
}

Test(sqlite, a_disk_that_gives_errors_and_is_well_again)
{
    struct twin t;
    (void)signal(SIGXFSZ, SIG_IGN);
    twin_open(&t, true);
    twin_do(&t, twin_put(STORE_ROWS, "a", "1"));
    twin_sync(&t);
    limit_files(1);
    twin_do(&t, twin_put(STORE_ROWS, "b", "2"));
    twin_wait_health(&t, PEAL_E_IO);
    cr_assert(strstr(store_error_text(t.s), "I/O error") != NULL, "it says: %s",
              store_error_text(t.s));
    struct store_write w = twin_put(STORE_ROWS, "c", "3");
    int rc = store_submit(t.s, &w, 1, NULL);
    cr_assert(rc == PEAL_E_IO, "nothing more is taken: %s", err_name(rc));
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "a"), "1") == 0, "reading goes on");
    limit_files(RLIM_INFINITY);
    twin_wait_health(&t, 0);
    twin_sync(&t);
    twin_reopen(&t);
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "b"), "2") == 0, "what was taken is there");
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "c"), "-") == 0, "what was refused is not");
    twin_close(&t);
}

/* ---- a file system that is full ---- */

/* A small file system of the test's own over t->folder; false when the machine does not let it. */
static bool mount_small(const struct twin *t)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount("tmpfs", t->folder, "tmpfs", 0, "size=4m") == 0;
}

/* Fills what is left of the file system with a file of that name. */
static void fill_up(const char *path)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0, "cannot make %s", path);
    for (;;) {
        ssize_t n = write(fd, block, sizeof block);
        if (n <= 0)
            break;
    }
    cr_assert(errno == ENOSPC, "filling up ended with %s", strerror(errno));
    close(fd);
}

Test(sqlite, a_file_system_that_is_really_full)
{
    struct twin t;
    twin_open(&t, true);
    close_now(&t);
    if (!mount_small(&t)) {
        twin_close(&t);
        cr_skip_test("this machine does not let a test mount a file system");
    }
    twin_replace(&t);
    uint64_t ok = twin_do(&t, twin_put(STORE_ROWS, "before", "1"));
    twin_wait_durable(&t, ok);
    char ballast[PATH_MAX + 8];
    snprintf(ballast, sizeof ballast, "%s/ballast", t.folder);
    fill_up(ballast);
    static char big[100000];
    memset(big, 'x', sizeof big - 1);
    uint64_t waiting = twin_do(&t, twin_put(STORE_ROWS, "big", big));
    twin_wait_health(&t, PEAL_E_NO_SPACE);
    cr_assert(store_durable(t.s) == ok, "nothing more is durable");
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "before"), "1") == 0, "reads go on");
    cr_assert(unlink(ballast) == 0, "cannot make room");
    twin_wait_durable(&t, waiting);
    cr_assert(store_health(t.s) == 0, "it has healed by itself");
    twin_reopen(&t);
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, "big"), big) == 0, "the value that waited is there");
    close_now(&t);
    cr_assert(umount2(t.folder, MNT_DETACH) == 0, "cannot unmount");
    twin_close(&t);
}
