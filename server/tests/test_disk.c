/* What a server does when its database is damaged, or of no use to it, at the start; and what the
 * core is told of a disk that fails. */
#include "disk.h"
#include "log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 8192, ROWS = 400 };

static struct host h;
static char dir[64], db[96], why[HOST_WHY_MAX];

static void wake(void *arg)
{
    (void)arg;
}

static void setup(void)
{
    memset(&h, 0, sizeof h);
    log_level_set(STEP_WARN);
    snprintf(dir, sizeof dir, "/tmp/peald-disk-XXXXXX");
    cr_assert_not_null(mkdtemp(dir), "a folder");
    snprintf(db, sizeof db, "%s/peald.db", dir);
    h.cfg.db_path = db;
    h.store_wake = wake;
}

static void close_store(void)
{
    cr_assert_eq(store_close(h.store), 0, "it closes");
    h.store = NULL;
}

static void teardown(void)
{
    char command[128];
    if (h.store != NULL)
        close_store();
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0, "the folder is removed");
}

TestSuite(disk, .init = setup, .fini = teardown);

static void open_store(void)
{
    cr_assert_eq(disk_open(&h, why), 0, "%s", why);
}

static void put(enum store_space space, const char *key, struct peal_bytes value)
{
    struct store_write w = {.space = space, .key = peal_bytes_str(key), .value = value};
    cr_assert_eq(store_submit(h.store, &w, 1, NULL), 0, "%s", store_error_text(h.store));
}

static bool has(enum store_space space, const char *key)
{
    static uint8_t mem[64 * 1024];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, mem, sizeof mem);
    int err = store_get(h.store, space, peal_bytes_str(key), &a, &v);
    cr_assert(err == 0 || err == PEAL_E_NOT_FOUND, "%s: %s", key, store_error_text(h.store));
    return err == 0;
}

static void put_roster(size_t members)
{
    uint8_t mem[1024];
    struct peal_id ids[3] = {{.b = {1}}, {.b = {2}}, {.b = {3}}};
    struct wire_s_roster s = {
        .decided = {
            .ring = ids[0], .epoch = 3, .replicas = 2, .members = {.v = ids, .n = members}}};
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(WIRE_s_roster, &s, &w), 0, "it encodes");
    put(STORE_META, "roster", peal_bytes_of(mem, w.n));
}

static void fill(void)
{
    static uint8_t value[1000];
    memset(value, 'v', sizeof value);
    open_store();
    put_roster(3);
    put(STORE_META, "fresh", (struct peal_bytes){0});
    put(STORE_META, "note", peal_bytes_str("kept"));
    for (int i = 0; i < ROWS; i++) {
        char key[16];
        snprintf(key, sizeof key, "row%d", i);
        put(i % 2 == 0 ? STORE_ROWS : STORE_REGISTERS, key, peal_bytes_of(value, sizeof value));
    }
    close_store();
}

static uint64_t count(enum store_space space)
{
    uint64_t n = 0;
    struct peal_bytes all = {0};
    cr_assert_eq(store_count(h.store, space, all, all, &n), 0, "%s", store_error_text(h.store));
    return n;
}

static void damage(off_t at)
{
    uint8_t junk[200];
    int fd = open(db, O_RDWR);
    memset(junk, 0xa5, sizeof junk);
    cr_assert(fd >= 0 && pwrite(fd, junk, sizeof junk, at) == (ssize_t)sizeof junk, "damage");
    close(fd);
}

static void run_sql(const char *sql)
{
    sqlite3 *c;
    cr_assert(sqlite3_open(db, &c) == SQLITE_OK, "a connection");
    cr_assert(sqlite3_exec(c, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(c));
    sqlite3_close(c);
}

static int kept_aside(void)
{
    char command[128];
    snprintf(command, sizeof command, "exit $(ls %s | grep -c '[.]aside-.*Z$')", dir);
    return WEXITSTATUS(system(command));
}

Test(disk, a_sound_database_is_just_opened)
{
    fill();
    open_store();
    cr_assert(!has(STORE_META, DISK_DISTRUST_KEY), "it is relied on");
    cr_assert(has(STORE_META, "fresh"), "and as it was");
    cr_assert_eq(kept_aside(), 0, "nothing is moved");
}

Test(disk, a_damaged_one_is_salvaged_and_not_relied_on)
{
    fill();
    damage(12 * PAGE + 20);
    damage(20 * PAGE);
    open_store();
    cr_assert(has(STORE_META, DISK_DISTRUST_KEY), "the mark");
    cr_assert(has(STORE_META, "roster") && has(STORE_META, "note"), "what it knows of itself");
    cr_assert(!has(STORE_META, "fresh"), "nobody can vouch for that");
    cr_assert_gt(count(STORE_ROWS) + count(STORE_REGISTERS), ROWS * 8 / 10, "most of it is kept");
    cr_assert_eq(kept_aside(), 1, "the damaged file is, too");
    close_store();
    open_store();
    cr_assert(has(STORE_META, DISK_DISTRUST_KEY), "still");
    cr_assert_eq(kept_aside(), 1, "and no second time");
}

Test(disk, one_that_is_the_whole_ring_is_relied_on_all_the_same)
{
    fill();
    open_store();
    put_roster(1);
    close_store();
    damage(12 * PAGE + 20);
    open_store();
    cr_assert(!has(STORE_META, DISK_DISTRUST_KEY), "nobody could give it anything anew");
    cr_assert(has(STORE_META, "roster"), "it knows that it is alone");
    cr_assert_eq(kept_aside(), 1, "it was salvaged");
    put(STORE_META, DISK_DISTRUST_KEY, peal_bytes_str("restored"));
    close_store();
    open_store();
    cr_assert(!has(STORE_META, DISK_DISTRUST_KEY), "the same with one that was restored");
}

Test(disk, a_file_that_is_no_database)
{
    fill();
    FILE *f = fopen(db, "w");
    for (int i = 0; i < 1000; i++)
        fputs("no database\n", f);
    fclose(f);
    open_store();
    cr_assert(has(STORE_META, DISK_DISTRUST_KEY), "the mark");
    cr_assert_eq(count(STORE_ROWS), 0, "there was nothing to be saved");
    cr_assert_eq(kept_aside(), 1, "it is kept all the same");
}

Test(disk, a_roster_whose_row_is_damaged)
{
    fill();
    run_sql("UPDATE meta SET value = x'0102' WHERE key = CAST('roster' AS BLOB)");
    open_store();
    cr_assert(has(STORE_META, DISK_DISTRUST_KEY), "the mark");
    cr_assert(!has(STORE_META, "roster"), "it is lost");
    cr_assert(has(STORE_META, "note"), "the other notes are not");
    cr_assert_eq(count(STORE_ROWS), ROWS / 2, "nor the rest");
}

Test(disk, a_roster_that_is_not_of_its_form)
{
    fill();
    open_store();
    put(STORE_META, "roster", peal_bytes_str("as nobody would write it"));
    close_store();
    open_store();
    cr_assert(has(STORE_META, DISK_DISTRUST_KEY), "the mark");
    cr_assert(!has(STORE_META, "roster"), "it is not taken over");
    cr_assert_eq(count(STORE_ROWS), ROWS / 2, "the rest is");
}

Test(disk, what_nothing_can_be_done_about_is_refused)
{
    struct host other = {.cfg = {.db_path = db}, .store_wake = wake};
    fill();
    open_store();
    cr_assert_eq(disk_open(&other, why), PEAL_E_BUSY, "another has it");
    cr_assert_not_null(strstr(why, "another peald uses"), "%s", why);
    close_store();
    run_sql("PRAGMA user_version = 99");
    cr_assert_eq(disk_open(&other, why), PEAL_E_VERSION, "a newer one");
    cr_assert_not_null(strstr(why, "version 99"), "%s", why);
    cr_assert_eq(kept_aside(), 0, "it is left as it is");
    char nowhere[128];
    snprintf(nowhere, sizeof nowhere, "%s/nowhere/peald.db", dir);
    other.cfg.db_path = nowhere;
    cr_assert_eq(disk_open(&other, why), PEAL_E_IO, "no folder");
    cr_assert_not_null(strstr(why, "nowhere"), "%s", why);
}

Test(disk, a_page_that_goes_bad_while_it_runs_is_told_once)
{
    bool news = false;
    fill();
    open_store();
    cr_assert_eq(disk_health(&h, &news), 0, "all is well");
    cr_assert(!news, "as before");
    for (off_t page = 1; page < 40; page++) /* the tables' roots among them */
        damage(page * PAGE);
    uint8_t mem[2048];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, mem, sizeof mem);
    int err = store_get(h.store, STORE_ROWS, peal_bytes_str("row0"), &a, &v);
    cr_assert_eq(err, PEAL_E_CORRUPT, "a read meets it: %s", store_error_text(h.store));
    cr_assert_eq(store_corrupt_key(h.store).n, 0, "and no single row is to blame");
    disk_read_failed(&h, err);
    cr_assert_eq(disk_health(&h, &news), PEAL_E_CORRUPT, "the core is told");
    cr_assert(news, "now");
    disk_read_failed(&h, PEAL_E_IO);
    cr_assert_eq(disk_health(&h, &news), PEAL_E_CORRUPT, "it stays so");
    cr_assert(!news, "and is not news again");
    close_store();
    h.read_err = h.store_err = 0;
    open_store();
    cr_assert(has(STORE_META, DISK_DISTRUST_KEY), "the next start salvages");
}
