/* What only the memory back end does: crashes that keep a prefix, automatic commits. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "twins.h"

enum { CRASHES = 300, UNITS = 20 };

/* Each unit writes a row of its own, and its number over the last one's. */
static void submit_unit(struct twin *t, unsigned i)
{
    char key[16], value[16];
    snprintf(key, sizeof key, "row%02u", i);
    snprintf(value, sizeof value, "%u", i);
    struct store_write w[] = {twin_lazy(twin_put(STORE_ROWS, key, value)),
                              twin_lazy(twin_put(STORE_META, "last", value))};
    cr_assert(store_submit(t->s, w, 2, NULL) == 0, "unit %u", i);
}

Test(memory, a_crash_keeps_a_prefix_of_whole_units)
{
    bool kept_seen[UNITS + 1] = {false};
    struct rng r;
    rng_init(&r, 7);
    for (int crash = 0; crash < CRASHES; crash++) {
        struct twin t;
        twin_open(&t, false);
        unsigned committed = (unsigned)rng_below(&r, UNITS);
        for (unsigned i = 1; i <= UNITS; i++) {
            submit_unit(&t, i);
            if (i == committed)
                cr_assert(store_memory_commit(t.s) == 0, "commits");
        }
        cr_assert(store_durable(t.s) == committed, "so much is durable");
        store_memory_crash(t.s, &r);
        const char *last = twin_get(&t, STORE_META, "last");
        unsigned kept = strcmp(last, "-") == 0 ? 0 : (unsigned)strtoul(last, NULL, 10);
        cr_assert(kept >= committed && kept <= UNITS, "%u of %u kept", kept, committed);
        cr_assert(twin_count(&t, STORE_ROWS, "", "") == kept,
                  "their rows, and no others, are there");
        cr_assert(store_durable(t.s) == 0, "tickets start again");
        kept_seen[kept] = true;
        submit_unit(&t, 1);
        cr_assert(store_memory_commit(t.s) == 0 && store_durable(t.s) == 1, "and it goes on");
        twin_close(&t);
    }
    unsigned different = 0;
    for (unsigned i = 0; i <= UNITS; i++)
        different += kept_seen[i];
    cr_assert(different > UNITS / 2, "all lengths of prefix occur: %u", different);
}

Test(memory, one_seed_gives_one_crash)
{
    char survivors[2][4096];
    for (int run = 0; run < 2; run++) {
        struct twin t;
        struct rng r;
        rng_init(&r, 99);
        twin_open(&t, false);
        for (unsigned i = 1; i <= UNITS; i++)
            submit_unit(&t, i);
        store_memory_crash(t.s, &r);
        snprintf(survivors[run], sizeof survivors[run], "%s",
                 twin_list(&t, STORE_ROWS, "", "", 99));
        twin_close(&t);
    }
    cr_assert(strcmp(survivors[0], survivors[1]) == 0, "%s, then %s", survivors[0], survivors[1]);
}

Test(memory, a_crash_between_two_deletions_is_never_undone_halfway)
{
    struct rng r;
    rng_init(&r, 3);
    bool old = false, gone = false;
    for (int crash = 0; crash < CRASHES; crash++) {
        struct twin t;
        twin_open(&t, false);
        twin_do(&t, twin_put(STORE_ROWS, "a", "old"));
        cr_assert(store_memory_commit(t.s) == 0, "commits");
        twin_do(&t, twin_del(STORE_ROWS, "a"));
        twin_do(&t, twin_put(STORE_ROWS, "a", "new"));
        twin_do(&t, twin_del(STORE_ROWS, "a"));
        store_memory_crash(t.s, &r);
        const char *got = twin_get(&t, STORE_ROWS, "a");
        cr_assert(strcmp(got, "old") == 0 || strcmp(got, "-") == 0, "it is %s", got);
        old |= strcmp(got, "old") == 0;
        gone |= strcmp(got, "-") == 0;
        twin_close(&t);
    }
    cr_assert(old && gone, "both outcomes occur");
}

Test(memory, automatic_commits)
{
    struct twin t;
    twin_open(&t, false);
    uint64_t first = twin_do(&t, twin_lazy(twin_put(STORE_ROWS, "a", "1")));
    cr_assert(store_durable(t.s) < first, "by itself nothing is durable");
    store_memory_auto(t.s, true);
    cr_assert(store_durable(t.s) == first, "switching it on commits");
    uint64_t second = twin_do(&t, twin_put(STORE_ROWS, "b", "1"));
    cr_assert(store_durable(t.s) == second, "every submit commits");
    store_memory_fill(t.s, true);
    uint64_t third = twin_do(&t, twin_put(STORE_ROWS, "c", "1"));
    cr_assert(store_durable(t.s) == second && store_health(t.s) == PEAL_E_NO_SPACE, "full");
    store_memory_fill(t.s, false);
    cr_assert(store_durable(t.s) == third && store_health(t.s) == 0, "room again");
    twin_close(&t);
}

Test(memory, there_is_nothing_to_damage_before_it_is_durable)
{
    struct twin t;
    twin_open(&t, false);
    twin_do(&t, twin_put(STORE_ROWS, "a", "1"));
    int rc = store_memory_damage(t.s, STORE_ROWS, peal_bytes_str("a"));
    cr_assert(rc == PEAL_E_NOT_FOUND, "it gives %s", err_name(rc));
    twin_close(&t);
}
