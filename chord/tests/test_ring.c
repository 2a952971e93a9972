/* Several cores in the simulator: forming a ring, homes, stand-ins, deletion, leaving, moving. */
#include <criterion/criterion.h>

#include "group.h"

#include <string.h>

enum {
    FORM_US = 10 * 1000 * 1000,
    OP_US = 2 * 1000 * 1000,
    SETTLE_US = 60 * 1000 * 1000,
    SECOND_US = 1000 * 1000
};

static struct group *five(uint64_t seed)
{
    struct sim_config cfg = {.seed = seed, .nodes = 5, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    group_start_all(r);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "five servers form a ring");
    return r;
}

static size_t home_at(struct group *r, const struct peal_id *key, size_t place)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t n = chord_home(group_chord(r, 0), key, home);
    cr_assert_lt(place, n, "there are that many homes");
    return group_index(r, &home[place]);
}

/* A node that is not home of key. */
static size_t outsider(struct group *r, const struct peal_id *key, size_t which)
{
    for (size_t i = 0; i < r->cfg.nodes; i++)
        if (!chord_is_home(group_chord(r, i), key) && which-- == 0)
            return i;
    cr_assert_fail("every node is home");
    return 0;
}

Test(rings, homes_are_the_next_three_clockwise)
{
    struct group *r = five(1);
    for (uint32_t k = 0; k < 200; k++) {
        struct peal_id key = group_key(r, k);
        size_t first = 0;
        while (first < 5) {
            struct peal_id id = sim_id(r->sim, first);
            if (id_cmp(&id, &key) >= 0)
                break;
            first++;
        }
        for (size_t i = 0; i < 3; i++)
            cr_assert_eq(home_at(r, &key, i), (first + i) % 5, "home %zu of key %u", i, k);
        for (size_t i = 0; i < 5; i++)
            cr_assert_eq(chord_is_home(group_chord(r, i), &key), (i + 5 - first % 5) % 5 < 3,
                         "node %zu, key %u", i, k);
    }
    group_free(r);
}

Test(rings, one_of_two_rings_founded_at_once_dissolves)
{
    struct sim_config cfg = {.seed = 4, .nodes = 2, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    sim_cut(r->sim, 0, 1, true);
    group_start_all(r);
    sim_run(r->sim, 2 * SECOND_US);
    cr_assert_eq(r->founded, 2, "each founded its own");
    sim_cut(r->sim, 0, 1, false);
    cr_assert(group_wait_whole(r, 2, 2, FORM_US), "they are one ring");
    cr_assert_eq(r->dissolved, 1, "one gave way");
    group_free(r);
}

Test(rings, a_ring_with_data_absorbs_an_empty_one_whatever_their_ids)
{
    for (size_t with = 0; with < 2; with++) {
        struct sim_config cfg = {.seed = 4, .nodes = 2, .replicas = 2, .discovery = true};
        struct group *r = group_new(&cfg);
        sim_cut(r->sim, 0, 1, true);
        group_start_all(r);
        sim_run(r->sim, 2 * SECOND_US);
        struct peal_id key = group_key(r, 1);
        size_t op = group_begin(r, with, GROUP_CLAIM, &key, OP_US);
        cr_assert_eq(group_wait(r, op, OP_US), 0, "claimed");
        sim_cut(r->sim, 0, 1, false);
        cr_assert(group_wait_whole(r, 2, 2, FORM_US), "they are one ring");
        size_t get = group_begin(r, 1 - with, GROUP_GET, &key, OP_US);
        cr_assert_eq(group_wait(r, get, OP_US), 0, "read at the other");
        cr_assert_eq(r->ops[get].value_n, 4, "it is there");
        group_free(r);
    }
}

Test(rings, one_name_claimed_at_all_five_at_once_has_one_owner)
{
    struct group *r = five(5);
    for (uint32_t k = 0; k < 20; k++) {
        struct peal_id key = group_key(r, k);
        size_t op[5], won = 0;
        for (size_t i = 0; i < 5; i++)
            op[i] = group_begin(r, i, GROUP_CLAIM, &key, OP_US);
        for (size_t i = 0; i < 5; i++) {
            int err = group_wait(r, op[i], OP_US);
            cr_assert(err == 0 || err == PEAL_E_EXISTS, "a clear answer, not %s", err_name(err));
            won += err == 0;
        }
        cr_assert_eq(won, 1, "name %u has %zu owners", k, won);
    }
    group_free(r);
}

Test(rings, a_server_that_is_cut_off_promises_nothing)
{
    struct group *r = five(6);
    struct peal_id key = group_key(r, 1);
    size_t lone = home_at(r, &key, 0);
    sim_partition(r->sim, 1u << lone);
    sim_run(r->sim, 3 * SECOND_US);
    size_t claim = group_begin(r, lone, GROUP_CLAIM, &key, OP_US),
           put = group_put(r, lone, &key, 10, OP_US),
           read = group_begin(r, lone, GROUP_READ, &key, OP_US);
    cr_assert_eq(group_wait(r, claim, 2 * OP_US), PEAL_E_UNAVAILABLE, "no name is given");
    cr_assert_eq(group_wait(r, put, 2 * OP_US), PEAL_E_UNKNOWN,
                 "one copy is not enough to say stored");
    cr_assert_eq(group_wait(r, read, 2 * OP_US), PEAL_E_UNAVAILABLE,
                 "it cannot know that it saw everything");
    size_t other = (lone + 1) % 5;
    claim = group_begin(r, other, GROUP_CLAIM, &key, OP_US);
    cr_assert_eq(group_wait(r, claim, OP_US), 0, "the others go on");
    put = group_put(r, other, &key, 10, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "the others go on");
    group_free(r);
}

Test(rings, a_stand_in_holds_the_row_until_the_home_is_back)
{
    struct group *r = five(7);
    struct peal_id box = group_key(r, 1);
    size_t home = home_at(r, &box, 1), by = outsider(r, &box, 0), other = outsider(r, &box, 1);
    sim_crash(r->sim, home);
    cr_assert(group_wait_whole(r, 5, 4, FORM_US), "the ring closes");
    size_t put = group_put(r, by, &box, 100, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "stored");
    sim_run(r->sim, SECOND_US);
    const struct peal_msg_id *id = &r->ops[put].id;
    cr_assert(group_disk_row(r, by, &box, id) >= 0 || group_disk_row(r, other, &box, id) >= 0,
              "someone stands in");
    sim_start(r->sim, home);
    sim_run(r->sim, SETTLE_US);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(group_disk_row(r, home_at(r, &box, i), &box, id), WIRE_ROW_MESSAGE,
                     "home %zu has it", i);
    cr_assert_eq(group_disk_row(r, by, &box, id), -1, "nobody else keeps it");
    cr_assert_eq(group_disk_row(r, other, &box, id), -1, "nobody else keeps it");
    group_free(r);
}

static void put_again(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    struct group_op *o = arg;
    struct wire_row row = {.box = o->key,
                           .id = o->id,
                           .kind = WIRE_ROW_MESSAGE,
                           .stamp = chord_stamp(core, ev),
                           .expires = ev->wall_ms + 3600 * 1000};
    o->err = GROUP_RUNNING;
    cr_assert_eq(chord_set_put(core, ev, u, o->value_n, &row, false, OP_US), 0, "begun");
}

Test(rings, what_was_deleted_stays_deleted)
{
    struct group *r = five(8);
    struct peal_id box = group_key(r, 1);
    size_t home = home_at(r, &box, 2), by = outsider(r, &box, 0);
    size_t put = group_put(r, by, &box, 100, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "stored");
    sim_run(r->sim, SECOND_US);
    sim_crash(r->sim, home);
    cr_assert(group_wait_whole(r, 5, 4, FORM_US), "the ring closes");
    group_del(r, by, &box, &r->ops[put].id);
    sim_run(r->sim, SECOND_US);
    sim_start(r->sim, home);
    sim_run(r->sim, SETTLE_US);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(group_disk_row(r, home_at(r, &box, i), &box, &r->ops[put].id),
                     WIRE_ROW_TOMBSTONE, "home %zu knows of the deletion", i);
    r->ops[put].value_n = put; /* the token: the same message comes once more */
    sim_call(r->sim, by, put_again, &r->ops[put]);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "a retry is told that it is stored");
    sim_run(r->sim, SECOND_US);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(group_disk_row(r, home_at(r, &box, i), &box, &r->ops[put].id),
                     WIRE_ROW_TOMBSTONE, "home %zu does not take it back", i);
    size_t read = group_begin(r, by, GROUP_READ, &box, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    cr_assert_eq(r->ops[read].value_n, 0, "and nobody sees it");
    group_free(r);
}

Test(rings, a_ring_of_one_keeps_no_tombstones)
{
    struct sim_config cfg = {.seed = 9, .nodes = 1, .replicas = 0};
    struct group *r = group_new(&cfg);
    group_start_all(r);
    cr_assert(group_wait_whole(r, 1, 1, SECOND_US), "alone at once");
    struct peal_id box = group_key(r, 1);
    size_t put = group_put(r, 0, &box, 100, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "stored");
    group_del(r, 0, &box, &r->ops[put].id);
    sim_run(r->sim, SECOND_US);
    cr_assert_eq(group_disk_count(r, 0, STORE_ROWS), 0, "nothing is left");
    group_free(r);
}

Test(rings, long_boxes_are_read_in_pages)
{
    struct group *r = five(10);
    struct peal_id box = group_key(r, 1);
    enum { ROWS = 700 };
    for (size_t i = 0; i < ROWS; i++) {
        size_t op = group_put(r, i % 5, &box, i % 230 == 0 ? WIRE_BODY_MAX - 100 : 100, OP_US);
        cr_assert_neq(op, SIZE_MAX, "row %zu is begun", i);
        cr_assert_eq(group_wait(r, op, OP_US), 0, "row %zu is stored", i);
    }
    sim_crash(r->sim, home_at(r, &box, 0));
    cr_assert(group_wait_whole(r, 5, 4, FORM_US), "the ring closes");
    for (size_t i = 0; i < 5; i++) {
        if (!sim_running(r->sim, i))
            continue;
        size_t read = group_begin(r, i, GROUP_READ, &box, 2 * OP_US);
        cr_assert_eq(group_wait(r, read, 2 * OP_US), 0, "read at %zu", i);
        cr_assert_eq(r->ops[read].value_n, ROWS, "all of them, once, at %zu: %zu", i,
                     r->ops[read].value_n);
        for (size_t k = 1; k < ROWS; k++)
            cr_assert_lt(memcmp(r->ops[read].value + (k - 1) * MSG_ID_BYTES,
                                r->ops[read].value + k * MSG_ID_BYTES, MSG_ID_BYTES),
                         0, "in order");
    }
    group_free(r);
}

Test(rings, expired_rows_go)
{
    struct group *r = five(12);
    struct peal_id box = group_key(r, 1);
    size_t put = group_put(r, 0, &box, 100, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "stored");
    for (size_t i = 0; i < 5; i++)
        sim_skew(r->sim, i, 3 * 3600 * 1000); /* two hours after its time */
    size_t read = group_begin(r, 0, GROUP_READ, &box, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    cr_assert_eq(r->ops[read].value_n, 0, "it is not shown");
    sim_run(r->sim, SETTLE_US);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(group_disk_count(r, i, STORE_ROWS), 0, "nor kept at %zu", i);
    group_free(r);
}

Test(rings, a_server_that_leaves_is_down_at_once)
{
    struct group *r = five(13);
    sim_leave(r->sim, 2);
    sim_run(r->sim, 20 * 1000);
    struct peal_id id = sim_id(r->sim, 2);
    for (size_t i = 0; i < 5; i++)
        cr_assert(i == 2 || !chord_is_up(group_chord(r, i), &id), "seen by %zu", i);
    sim_run(r->sim, SECOND_US);
    cr_assert(group_whole(r, 5, 4), "the ring has closed");
    sim_start(r->sim, 2);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "and it comes back as the same node");
    group_free(r);
}

Test(rings, a_server_that_moves_is_found_at_its_new_address)
{
    struct group *r = five(14);
    static uint8_t mem[16384];
    sim_move(r->sim, 3, "10.0.7.7:7000");
    sim_run(r->sim, SECOND_US);
    for (size_t i = 0; i < 5; i++) {
        struct arena a;
        struct wire_server_list v;
        bool found = false;
        arena_init(&a, mem, sizeof mem);
        chord_servers(group_chord(r, i), &a, &v);
        cr_assert_eq(v.n, 5, "all five are told of");
        for (size_t k = 0; k < v.n; k++)
            found = found || peal_bytes_eq(v.v[k].address, peal_bytes_str("10.0.7.7:7000"));
        cr_assert(found, "node %zu knows", i);
        if (i != 3)
            sim_break(r->sim, i, 3);
    }
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "and it is dialled there");
    group_free(r);
}

/* Clients may be where only one of a server's addresses is seen. */
Test(rings, clients_are_told_of_all_addresses)
{
    struct group *r = five(14);
    static uint8_t mem[16384];
    sim_also(r->sim, 3, "10.0.8.8:7000");
    sim_run(r->sim, SECOND_US);
    for (size_t i = 0; i < 5; i++) {
        struct arena a;
        struct wire_server_list v;
        arena_init(&a, mem, sizeof mem);
        chord_servers(group_chord(r, i), &a, &v);
        cr_assert_eq(v.n, 6, "node %zu tells of %zu", i, v.n);
        cr_assert(peal_bytes_eq(v.v[0].address, sim_address(r->sim, i)), "its own is the first");
        for (size_t k = 0; k < 5; k++)
            cr_assert(!peal_bytes_eq(v.v[k].address, peal_bytes_str("10.0.8.8:7000")),
                      "one of each comes first");
        cr_assert(peal_bytes_eq(v.v[5].address, peal_bytes_str("10.0.8.8:7000")),
                  "node %zu knows the other", i);
    }
    sim_move(r->sim, 3, "10.0.9.9:7000"); /* the second stays, and is where it is reached */
    for (size_t i = 0; i < 5; i++)
        if (i != 3)
            sim_break(r->sim, i, 3);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "the ring is whole");
    group_free(r);
}

Test(rings, a_full_disk_leaves_the_quorum_and_comes_back)
{
    struct group *r = five(15);
    struct peal_id key = group_key(r, 1);
    size_t full = home_at(r, &key, 0), by = outsider(r, &key, 0);
    sim_disk(r->sim, full, PEAL_E_NO_SPACE);
    size_t put = group_put(r, by, &key, 100, OP_US),
           claim = group_begin(r, by, GROUP_CLAIM, &key, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "the others store it");
    cr_assert_eq(group_wait(r, claim, OP_US), 0, "the others decide");
    cr_assert_eq(group_disk_row(r, full, &key, &r->ops[put].id), -1,
                 "the full one has not taken it");
    sim_disk(r->sim, full, 0);
    sim_run(r->sim, SETTLE_US);
    cr_assert_eq(group_disk_row(r, full, &key, &r->ops[put].id), WIRE_ROW_MESSAGE,
                 "it has, once it could");
    group_free(r);
}

Test(rings, a_refused_write_is_not_called_stored)
{
    struct group *r = five(7);
    struct peal_id box = group_key(r, 1);
    size_t by = home_at(r, &box, 0), held = 0;
    sim_refuse(r->sim, by); /* its own copy; and nothing is said that goes with it */
    size_t put = group_put(r, by, &box, 100, OP_US);
    cr_assert_gt(sim_refused(r->sim), 0, "the disk refused something");
    sim_run(r->sim, 20 * 1000);
    sim_disk(r->sim, by, PEAL_E_NO_SPACE);
    int err = group_wait(r, put, 2 * OP_US);
    cr_assert_neq(err, GROUP_RUNNING, "the sender is told something");
    sim_disk(r->sim, by, 0);
    sim_run(r->sim, FORM_US);
    for (size_t i = 0; i < 3; i++)
        held += group_disk_row(r, home_at(r, &box, i), &box, &r->ops[put].id) == WIRE_ROW_MESSAGE;
    cr_assert(err != 0 || held >= 2, "told %s with %zu copies", err_name(err), held);
    put = group_put(r, by, &box, 100, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "the next one is stored");
    group_free(r);
}

struct epoch_wait {
    struct group *r;
    uint64_t before;
};

static bool epoch_changed(void *arg)
{
    static uint8_t mem[64 * 1024];
    struct epoch_wait *w = arg;
    struct arena a;
    struct wire_c_ring v;
    arena_init(&a, mem, sizeof mem);
    chord_ring(group_chord(w->r, 0), &a, &v);
    if (w->before == 0)
        w->before = v.epoch;
    return v.epoch != w->before;
}

/* Three servers with slow disks, and a fourth that begins to join. */
static struct group *three_and_one(struct epoch_wait *wait)
{
    struct sim_config cfg = {.seed = 3,
                             .nodes = 4,
                             .replicas = 2,
                             .discovery = true,
                             .ops_max = GROUP_OPS_MAX,
                             .fsync_us = {300 * 1000, 400 * 1000}};
    struct group *r = group_new(&cfg);
    for (size_t i = 0; i < 3; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, 3, 3, SETTLE_US), "three servers form a ring");
    *wait = (struct epoch_wait){.r = r};
    cr_assert(!epoch_changed(wait), "this is their epoch");
    sim_start(r->sim, 3);
    return r;
}

/* Every put that is under way goes out again when the epoch changes, in updates of bounded size. */
Test(rings, a_burst_when_the_epoch_changes_makes_no_giant_update)
{
    enum { BURST = 1600, BURSTS = 5, APART_US = 90 * 1000 };
    struct epoch_wait wait;
    struct group *r = three_and_one(&wait);
    uint64_t began = sim_now(r->sim);
    cr_assert(sim_until(r->sim, epoch_changed, &wait, SETTLE_US), "it is admitted");
    uint64_t took = sim_now(r->sim) - began;
    group_free(r);
    r = three_and_one(&wait); /* the same once more, now with puts just before that */
    struct peal_id box = group_key(r, 1);
    sim_run(r->sim, took > APART_US ? took - APART_US : 0);
    bool changed = epoch_changed(&wait);
    for (size_t i = 0; i < BURSTS && !changed; i++) {
        for (size_t k = 0; k < BURST; k++)
            cr_assert_neq(group_put(r, 0, &box, 100, FORM_US), SIZE_MAX, "put %zu begins", k);
        changed = sim_until(r->sim, epoch_changed, &wait, APART_US);
    }
    size_t open = 0;
    for (size_t i = 0; i < r->ops_n; i++)
        open += r->ops[i].err == GROUP_RUNNING;
    cr_assert(changed, "the epoch changes");
    cr_assert_gt(open, STORE_UNIT_MAX, "while many are under way: %zu", open);
    sim_run(r->sim, 2 * FORM_US);
    for (size_t i = 0; i < r->ops_n; i++)
        cr_assert_eq(r->ops[i].err, 0, "put %zu: %s", i, err_name(r->ops[i].err));
    cr_assert_leq(sim_writes_most(r->sim), STORE_UNIT_MAX, "%zu writes in one update",
                  sim_writes_most(r->sim));
    group_free(r);
}

Test(rings, a_damaged_row_is_fetched_from_the_other_homes)
{
    struct sim_config cfg = {.seed = 7, .nodes = 3, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    group_start_all(r);
    cr_assert(group_wait_whole(r, 3, 3, FORM_US), "three servers form a ring");
    struct peal_id box = group_key(r, 1);
    size_t put = group_put(r, 0, &box, 100, OP_US);
    cr_assert_eq(group_wait(r, put, OP_US), 0, "stored");
    sim_run(r->sim, 20 * SECOND_US);
    const struct peal_msg_id *id = &r->ops[put].id;
    uint8_t key[ID_BYTES + MSG_ID_BYTES];
    memcpy(key, box.b, ID_BYTES);
    memcpy(key + ID_BYTES, id->b, MSG_ID_BYTES);
    cr_assert_eq(group_disk_row(r, 1, &box, id), WIRE_ROW_MESSAGE, "it has its copy");
    int err = store_memory_damage(sim_store(r->sim, 1), STORE_ROWS, peal_bytes_of(key, sizeof key));
    cr_assert_eq(err, 0, "damaged");
    cr_assert_eq(group_disk_row(r, 1, &box, id), -1, "it cannot be read");
    size_t next = group_put(r, 0, &box, 100, OP_US); /* the homes compare what they have */
    cr_assert_eq(group_wait(r, next, OP_US), 0, "stored");
    sim_run(r->sim, SETTLE_US);
    cr_assert_eq(group_disk_row(r, 1, &box, id), WIRE_ROW_MESSAGE, "it has it again");
    group_free(r);
}

/* A sender that reaches no home, while nobody else misses one: the rows go to stand-ins, which hand
 * them over. Whoever waits at a home must hear of it. */
Test(rings, a_row_that_is_handed_over_is_announced)
{
    struct group *r = five(9);
    struct peal_id box = group_key(r, 2);
    size_t by = outsider(r, &box, 0), home[3];
    uint64_t told[3];
    for (size_t i = 0; i < 3; i++) {
        home[i] = home_at(r, &box, i);
        sim_cut(r->sim, by, home[i], true);
    }
    sim_run(r->sim, 5 * SECOND_US);
    for (size_t i = 0; i < 3; i++)
        told[i] = r->nodes[home[i]].stored;
    size_t put = group_put(r, by, &box, 100, FORM_US);
    cr_assert_eq(group_wait(r, put, FORM_US), 0, "stored by stand-ins");
    sim_run(r->sim, 20 * SECOND_US);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(group_disk_row(r, home[i], &box, &r->ops[put].id), WIRE_ROW_MESSAGE,
                     "home %zu has it", i);
        cr_assert_gt(r->nodes[home[i]].stored, told[i], "the app at home %zu knows", i);
    }
    group_free(r);
}

Test(rings, one_copy_per_row_moves_with_its_home)
{
    struct sim_config cfg = {.seed = 16, .nodes = 4, .replicas = 0, .join_first = true};
    struct group *r = group_new(&cfg);
    sim_start(r->sim, 0);
    cr_assert(group_wait_whole(r, 1, 1, FORM_US), "the first is alone");
    enum { ROWS = 300 };
    size_t op[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        struct peal_id box = group_key(r, (uint32_t)i);
        op[i] = group_put(r, 0, &box, 50, OP_US);
        cr_assert_eq(group_wait(r, op[i], OP_US), 0, "stored");
        if (i < 50)
            cr_assert_eq(group_wait(r, group_begin(r, 0, GROUP_CLAIM, &box, OP_US), OP_US), 0,
                         "claimed");
    }
    for (size_t i = 1; i < 4; i++)
        sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, 4, 4, FORM_US), "four");
    for (size_t i = 0; i < 50; i++) {
        struct peal_id key = group_key(r, (uint32_t)i);
        cr_assert_eq(group_wait(r, group_begin(r, i % 4, GROUP_CLAIM, &key, OP_US), OP_US),
                     PEAL_E_EXISTS, "name %zu keeps its owner", i);
    }
    sim_run(r->sim, 2 * SETTLE_US);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < 4; k++)
            cr_assert_eq(group_disk_row(r, k, &r->ops[op[i]].key, &r->ops[op[i]].id),
                         home_at(r, &r->ops[op[i]].key, 0) == k ? WIRE_ROW_MESSAGE : -1,
                         "row %zu at %zu", i, k);
    group_free(r);
}
