/* The rows' index of the SQLite back end: that it keeps up and keeps small, what damage to it does,
 * and a process that dies at any of its writes. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "twins.h"

enum { RECENT = 16 };

static void open_late(struct twin *t)
{
    twin_open(t, true);
    t->config.recent_max = RECENT;
    twin_replace(t);
}

/* Keys that come in no order. */
static void key_of(unsigned i, char out[16])
{
    snprintf(out, 16, "%08x", i * 2654435761U);
}

static void put_many(struct twin *t, unsigned from, unsigned n, const char *value)
{
    uint64_t ticket = 0;
    for (unsigned i = from; i < from + n; i++) {
        char key[16];
        key_of(i, key);
        ticket = twin_do(t, twin_put(STORE_ROWS, key, value));
        if (i % 5 == 0)
            twin_wait_durable(t, ticket);
    }
    twin_wait_durable(t, ticket);
}

static long long behind_the_mark(const struct twin *t)
{
    return twin_ask(t, "SELECT count(*) FROM rows WHERE id > (SELECT id FROM rows_mark)");
}

/* Closes and opens, and expects that the start had nothing to build anew: that would move the mark.
 */
static void reopen_unchanged(struct twin *t)
{
    int rc = store_close(t->s);
    cr_assert(rc == 0, "closing gives %s", err_name(rc));
    t->s = NULL;
    long long mark = twin_ask(t, "SELECT id FROM rows_mark");
    twin_replace(t);
    long long after = twin_ask(t, "SELECT id FROM rows_mark");
    cr_assert(mark == after, "the start moved the mark from %lld to %lld", mark, after);
}

static bool pass(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)arg;
    return true;
}

static void expect_whole(struct twin *t, unsigned n)
{
    unsigned seen = 0;
    struct peal_bytes all = {0};
    int rc = store_scan(t->s, STORE_ROWS, all, all, SIZE_MAX, pass, &seen);
    cr_assert(rc == 0 && seen == n, "%u rows are read of %u: %s", seen, n, err_name(rc));
}

/* ---- keeping up ---- */

Test(index, sweeps_move_the_keys_and_the_mark_follows)
{
    struct twin t;
    open_late(&t);
    put_many(&t, 0, 1000, "v");
    long long placed = twin_ask(&t, "SELECT count(*) FROM rows_index");
    cr_assert(placed >= 1000 - RECENT - 8 && placed < 1000, "%lld of 1000 keys are on disk",
              placed);
    long long behind = behind_the_mark(&t);
    cr_assert(behind <= 3 * RECENT + 8, "a start would have to read %lld rows", behind);
    reopen_unchanged(&t);
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == 1000, "each key is there once");
    put_many(&t, 1000, 200, "v");
    behind = behind_the_mark(&t);
    cr_assert(behind <= 3 * RECENT + 8, "after a start, %lld rows are behind the mark", behind);
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == 1200, "each key is there once");
    twin_close(&t);
}

/* A mailbox whose keys grow: each new one is just ahead of the sweep. */
Test(index, keys_that_come_in_order_do_not_run_ahead_of_the_sweep)
{
    struct twin t;
    open_late(&t);
    uint64_t ticket = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%08u", i);
        ticket = twin_do(&t, twin_put(STORE_ROWS, key, "v"));
        if (i % 3 == 0)
            twin_wait_durable(&t, ticket);
    }
    twin_wait_durable(&t, ticket);
    cr_assert(behind_the_mark(&t) <= 3 * RECENT + 8, "%lld rows are behind the mark",
              behind_the_mark(&t));
    twin_close(&t);
}

Test(index, few_rows_need_no_index_on_disk)
{
    struct twin t;
    twin_open(&t, true);
    put_many(&t, 0, 1000, "v");
    cr_assert(twin_ask(&t, "SELECT count(*) FROM rows_index") == 0, "all keys are in memory");
    twin_reopen(&t);
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == 1000, "after a start as well");
    twin_close(&t);
}

Test(index, numbers_of_deleted_rows_do_not_come_back)
{
    struct twin t;
    open_late(&t);
    put_many(&t, 0, 200, "v");
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        key_of(i, key);
        twin_do(&t, twin_del(STORE_ROWS, key));
    }
    reopen_unchanged(&t);
    cr_assert(twin_ask(&t, "SELECT count(*) FROM rows_index") == 0, "the index is empty too");
    put_many(&t, 0, 5, "w");
    cr_assert(behind_the_mark(&t) == 5, "they are behind the mark: %lld", behind_the_mark(&t));
    twin_reopen(&t);
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == 5, "so a start finds them");
    twin_close(&t);
}

Test(index, deleted_rows_make_room_for_new_ones)
{
    enum { N = 3000 };
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    struct twin t;
    struct stat before, after;
    open_late(&t);
    put_many(&t, 0, N, value);
    twin_reopen(&t);
    cr_assert(stat(t.path, &before) == 0, "no file");
    for (unsigned round = 1; round < 4; round++) {
        for (unsigned i = (round - 1) * N; i < round * N; i++) {
            char key[16];
            key_of(i, key);
            twin_do(&t, twin_lazy(twin_del(STORE_ROWS, key)));
        }
        twin_sync(&t);
        put_many(&t, round * N, N, value);
        twin_reopen(&t);
    }
    cr_assert(stat(t.path, &after) == 0, "no file");
    cr_assert(after.st_size < before.st_size * 5 / 4, "the file grew from %lld to %lld",
              (long long)before.st_size, (long long)after.st_size);
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == N, "the last ones are there");
    twin_close(&t);
}

/* ---- a transaction that fails ---- */

Test(index, what_a_failed_transaction_would_have_done_is_done_later)
{
    static char big[100000];
    memset(big, 'x', sizeof big - 1);
    struct twin t;
    open_late(&t);
    put_many(&t, 0, 100, "v");
    long long last = twin_ask(&t, "SELECT max(id) FROM rows");
    char recent[16], placed[16];
    key_of(99, recent);
    key_of(0, placed);
    twin_fill(&t, true);
    struct store_write unit[] = {twin_del(STORE_ROWS, recent), twin_del(STORE_ROWS, placed),
                                 twin_put(STORE_ROWS, "big", big), twin_put(STORE_ROWS, "b", "2")};
    int rc = store_submit(t.s, unit, PEAL_COUNT(unit), NULL);
    cr_assert(rc == 0, "the store does not know yet: %s", err_name(rc));
    twin_wait_health(&t, PEAL_E_NO_SPACE);
    cr_assert(twin_ask(&t, "SELECT max(id) FROM rows") == last, "nothing is written");
    cr_assert(twin_count(&t, STORE_ROWS, "", "") == 100, "but all of it is seen");
    twin_fill(&t, false);
    twin_wait_health(&t, 0);
    twin_sync(&t);
    for (int round = 0; round < 2; round++) {
        cr_assert(strcmp(twin_get(&t, STORE_ROWS, recent), "-") == 0, "a recent key is gone");
        cr_assert(strcmp(twin_get(&t, STORE_ROWS, placed), "-") == 0, "so is one on disk");
        cr_assert(strcmp(twin_get(&t, STORE_ROWS, "big"), big) == 0, "the new row is there");
        cr_assert(twin_ask(&t, "SELECT max(id) FROM rows") == last + 2, "each row once");
        expect_whole(&t, 100);
        reopen_unchanged(&t);
    }
    twin_close(&t);
}

/* ---- damage ---- */

/* 100 rows, and one of the keys that are in rows_index. */
static void damage_setup(struct twin *t, char key[16])
{
    open_late(t);
    put_many(t, 0, 100, "v");
    for (unsigned i = 0; i < 100; i++) {
        char sql[128];
        key_of(i, key);
        snprintf(sql, sizeof sql, "SELECT count(*) FROM rows_index WHERE key = CAST('%s' AS BLOB)",
                 key);
        if (twin_ask(t, sql) == 1)
            return;
    }
    cr_assert_fail("no key is in the index");
}

static void damage(struct twin *t, const char *change, const char *key)
{
    char sql[256];
    snprintf(sql, sizeof sql, "%s WHERE key = CAST('%s' AS BLOB)", change, key);
    cr_assert(twin_sql(t, sql) == 1, "nothing is damaged by %s", sql);
}

static void expect_named(struct twin *t, const char *key)
{
    const char *got = twin_get(t, STORE_ROWS, key);
    cr_assert(strcmp(got, "corrupt") == 0, "getting %s gives %s", key, got);
    cr_assert(peal_bytes_eq(store_corrupt_key(t->s), peal_bytes_str(key)), "the key is given");
    unsigned n = 0;
    struct peal_bytes all = {0};
    int rc = store_scan(t->s, STORE_ROWS, all, all, SIZE_MAX, pass, &n);
    cr_assert(rc == PEAL_E_CORRUPT, "a scan gives %s", err_name(rc));
    cr_assert(peal_bytes_eq(store_corrupt_key(t->s), peal_bytes_str(key)), "and names the key");
    cr_assert(twin_count(t, STORE_ROWS, "", "") == 100, "it is still counted");
    cr_assert(store_health(t->s) == 0, "writes go on");
}

static void repair_by_put(struct twin *t, const char *key)
{
    twin_do(t, twin_put(STORE_ROWS, key, "repaired"));
    twin_sync(t);
    for (int round = 0; round < 2; round++) {
        const char *got = twin_get(t, STORE_ROWS, key);
        cr_assert(strcmp(got, "repaired") == 0, "after the repair it is %s", got);
        twin_reopen(t);
    }
}

Test(index, an_entry_that_leads_to_another_row)
{
    struct twin t;
    char key[16];
    damage_setup(&t, key);
    damage(&t, "UPDATE rows_index SET id = (SELECT max(id) FROM rows)", key);
    expect_named(&t, key);
    twin_do(&t, twin_put(STORE_ROWS, key, "repaired"));
    twin_sync(&t);
    expect_whole(&t, 100);
    twin_close(&t);
}

Test(index, an_entry_that_leads_nowhere)
{
    struct twin t;
    char key[16];
    damage_setup(&t, key);
    damage(&t, "UPDATE rows_index SET id = 1000000", key);
    expect_named(&t, key);
    repair_by_put(&t, key);
    twin_close(&t);
}

Test(index, an_entry_that_leads_astray_is_deleted_and_the_other_row_is_not)
{
    struct twin t;
    char key[16];
    damage_setup(&t, key);
    damage(&t, "UPDATE rows_index SET id = (SELECT max(id) FROM rows)", key);
    twin_do(&t, twin_del(STORE_ROWS, key));
    twin_sync(&t);
    cr_assert(strcmp(twin_get(&t, STORE_ROWS, key), "-") == 0, "it is gone");
    expect_whole(&t, 99);
    twin_close(&t);
}

Test(index, a_row_that_is_lost_behind_the_index)
{
    struct twin t;
    char key[16];
    damage_setup(&t, key);
    damage(&t, "DELETE FROM rows", key);
    expect_named(&t, key);
    repair_by_put(&t, key);
    expect_whole(&t, 100);
    twin_close(&t);
}

Test(index, a_recent_row_that_is_lost)
{
    struct twin t;
    char key[16];
    open_late(&t);
    put_many(&t, 0, 100, "v");
    key_of(99, key);
    damage(&t, "DELETE FROM rows", key);
    expect_named(&t, key);
    repair_by_put(&t, key);
    expect_whole(&t, 100);
    twin_close(&t);
}

static void damage_while_closed(struct twin *t, const char *sql)
{
    int rc = store_close(t->s);
    cr_assert(rc == 0, "closing gives %s", err_name(rc));
    cr_assert(twin_sql(t, sql) > 0, "nothing is damaged by %s", sql);
    t->s = NULL;
    twin_replace(t);
}

Test(index, what_differs_at_the_start_is_built_anew)
{
    static const char *const damages[] = {
        "DELETE FROM rows_index WHERE id = (SELECT min(id) FROM rows_index)",
        "UPDATE rows_index SET key = x'6f74686572' WHERE id = (SELECT min(id) FROM rows_index)",
        "UPDATE rows_index SET id = -id WHERE id = (SELECT min(id) FROM rows_index)",
        "DELETE FROM rows_index",
    };
    for (size_t i = 0; i < PEAL_COUNT(damages); i++) {
        struct twin t;
        char key[16];
        damage_setup(&t, key);
        damage_while_closed(&t, damages[i]);
        expect_whole(&t, 100);
        cr_assert(strcmp(twin_get(&t, STORE_ROWS, "other"), "-") == 0, "nothing is invented");
        put_many(&t, 100, 50, "v");
        expect_whole(&t, 150);
        twin_close(&t);
    }
}

/* ---- a process that dies ---- */

enum { KILL_ROUNDS = 60, KILL_MAX = 900, LAG = 40, CHILD_UNITS = 400 };

/* Unit i puts row i, deletes row i - LAG unless that is a multiple of 3, replaces row i - 5, and
 * counts. */
static size_t unit_of(unsigned i, char keys[3][16], char text[16], struct store_write w[4])
{
    size_t n = 0;
    key_of(i, keys[0]);
    snprintf(text, 16, "%u", i + 1);
    w[n++] = twin_put(STORE_META, "count", text);
    w[n++] = twin_absent(STORE_ROWS, keys[0], text);
    if (i >= 5) {
        key_of(i - 5, keys[1]);
        w[n++] = twin_put(STORE_ROWS, keys[1], text);
    }
    if (i >= LAG && (i - LAG) % 3 != 0) {
        key_of(i - LAG, keys[2]);
        w[n++] = twin_del(STORE_ROWS, keys[2]);
    }
    return n;
}

static _Noreturn void child_main(struct twin *t, int report, unsigned first, unsigned kill_at)
{
    char why[STORE_TEXT_MAX];
    faults_kill_at(kill_at);
    if (store_open_sqlite(t->path, &t->config, why, &t->s) != 0)
        _exit(2);
    uint64_t reported = 0;
    for (unsigned i = first; i < first + CHILD_UNITS; i++) {
        char keys[3][16], text[16];
        struct store_write w[4];
        uint64_t ticket;
        size_t n = unit_of(i, keys, text, w);
        if (store_submit(t->s, w, n, &ticket) != 0)
            _exit(3);
        if (i % 7 == 0) /* so that there are many transactions */
            twin_wait_durable(t, ticket);
        uint64_t durable = store_durable(t->s);
        if (durable > reported && write(report, &durable, sizeof durable) != sizeof durable)
            _exit(4);
        reported = durable;
    }
    _exit(store_close(t->s) == 0 ? 0 : 5);
}

static void expect_units(struct twin *t, unsigned count)
{
    unsigned rows = 0;
    for (unsigned i = 0; i < count; i++) {
        bool deleted = i + LAG < count && i % 3 != 0;
        char key[16], expected[16];
        key_of(i, key);
        snprintf(expected, sizeof expected, "%u", i + 5 < count ? i + 6 : i + 1);
        const char *got = twin_get(t, STORE_ROWS, key);
        cr_assert(strcmp(got, deleted ? "-" : expected) == 0, "of %u units, row %u is %s", count, i,
                  got);
        rows += !deleted;
    }
    cr_assert(twin_count(t, STORE_ROWS, "", "") == rows, "there are %u rows after %u units", rows,
              count);
    unsigned seen = 0;
    struct peal_bytes all = {0};
    int rc = store_scan(t->s, STORE_ROWS, all, all, SIZE_MAX, pass, &seen);
    cr_assert(rc == 0 && seen == rows, "a scan sees %u rows: %s", seen, err_name(rc));
}

Test(index, a_process_that_dies_at_any_write_loses_nothing_durable, .timeout = 300)
{
    struct twin t;
    open_late(&t);
    t.config.lazy_us = 0;
    unsigned units = 0, died = 0;
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        int rc = store_close(t.s);
        cr_assert(rc == 0, "closing gives %s", err_name(rc));
        t.s = NULL;
        int ends[2];
        cr_assert(pipe(ends) == 0, "no pipe");
        unsigned kill_at = 1 + (unsigned)rng_below(&t.rng, KILL_MAX);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            child_main(&t, ends[1], units, kill_at);
        }
        close(ends[1]);
        uint64_t durable = 0, got;
        while (read(ends[0], &got, sizeof got) == sizeof got)
            durable = got;
        close(ends[0]);
        int status;
        cr_assert(waitpid(child, &status, 0) == child, "no child");
        cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "the child ended with %d",
                  WEXITSTATUS(status));
        died += WIFSIGNALED(status);
        reopen_unchanged(&t);
        const char *text = twin_get(&t, STORE_META, "count");
        unsigned count = strcmp(text, "-") == 0 ? 0 : (unsigned)strtoul(text, NULL, 10);
        cr_assert(count >= units + durable, "%u units, %llu more were durable, %u are there", units,
                  (unsigned long long)durable, count);
        expect_units(&t, count);
        units = count;
    }
    cr_assert(died > KILL_ROUNDS / 2, "only %u children died", died);
    cr_assert(twin_ask(&t, "SELECT id FROM rows_mark") > 0, "there were sweeps");
    twin_close(&t);
}

static void damage_pages(const struct twin *t)
{
    enum { PAGE = 8192, PAGES = 12 };
    uint8_t junk[200];
    memset(junk, 0xa5, sizeof junk);
    FILE *f = fopen(t->path, "r+");
    cr_assert(f != NULL, "cannot open %s", t->path);
    for (long page = 1; page < PAGES; page++)
        cr_assert(fseek(f, page * PAGE, SEEK_SET) == 0 && fwrite(junk, sizeof junk, 1, f) == 1,
                  "cannot damage page %ld", page);
    fclose(f);
}

static void expect_unnamed(struct twin *t, enum store_space space)
{
    const char *name = store_space_name(space), *got = twin_get(t, space, "00000000");
    cr_assert(strcmp(got, "corrupt") == 0, "getting from %s gives %s", name, got);
    cr_assert(store_corrupt_key(t->s).n == 0, "no row of %s is named", name);
    unsigned n = 0;
    struct peal_bytes all = {0};
    int rc = store_scan(t->s, space, all, all, SIZE_MAX, pass, &n);
    cr_assert(rc == PEAL_E_CORRUPT, "a scan of %s gives %s", name, err_name(rc));
    cr_assert(store_corrupt_key(t->s).n == 0, "and names none of %s either", name);
}

/* Whoever is told of a row goes on behind it; of a page, that the file is damaged. Keys that are on
 * disk are not even found; those in memory lead to rows that cannot be read. */
Test(index, pages_that_go_bad_are_blamed_on_no_row)
{
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    for (int late = 0; late < 2; late++) {
        struct twin t;
        if (late == 0)
            twin_open(&t, true);
        else
            open_late(&t);
        put_many(&t, 0, 100, value);
        twin_do(&t, twin_put(STORE_REGISTERS, "00000000", "v"));
        twin_replace(&t); /* now nothing is in the log, nor in the reader's memory */
        damage_pages(&t);
        expect_unnamed(&t, STORE_ROWS);
        expect_unnamed(&t, STORE_REGISTERS);
        twin_close(&t);
    }
}
