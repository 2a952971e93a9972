/* Boxes: their limits, what becomes of messages that wait in vain, and what was deleted. One core
 * by hand, then several in the simulator. */
#include "group.h"
#include "one.h"

#include <criterion/criterion.h>
#include <string.h>

enum {
    FORM_US = 10 * 1000 * 1000,
    OP_US = 2 * 1000 * 1000,
    SETTLE_US = 60 * 1000 * 1000,
    SECOND_US = 1000 * 1000,
    HOUR_MS = 3600 * 1000,
    PASS_US = 70 * 1000 * 1000, /* longer than the sweep rests between two passes */
};

static struct one *limited(uint64_t rows, uint64_t bytes)
{
    struct one_limits limits = {.rows = rows, .bytes = bytes, .tells = true};
    struct one *o = one_new_limited(1, &limits);
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 100000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "a ring of one");
    return o;
}

static struct peal_id box_no(uint32_t n)
{
    struct peal_id box = {{0}};
    memcpy(box.b, &n, sizeof n);
    box.b[ID_BYTES - 1] = 1;
    return box;
}

static struct peal_msg_id id_no(uint32_t n)
{
    n++; /* nothing is after an id of zeros */
    return (struct peal_msg_id){
        {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

/* A message with a body of n bytes, at most 1000. */
static struct wire_row message_no(const struct one *o, uint32_t box, uint32_t id, size_t n)
{
    static const uint8_t body[1000] = {1};
    return (struct wire_row){.box = box_no(box),
                             .id = id_no(id),
                             .kind = WIRE_ROW_MESSAGE,
                             .from = peal_bytes_str("alice"),
                             .stamp = one_wall(o) << 16,
                             .expires = one_wall(o) + 24 * HOUR_MS,
                             .body = peal_bytes_of(body, n)};
}

static int put_no(struct one *o, uint32_t box, uint32_t id)
{
    struct wire_row row = message_no(o, box, id, 10);
    return one_put(o, &row);
}

static void del_no(struct one *o, uint32_t box, uint32_t id)
{
    struct peal_id b = box_no(box);
    struct peal_msg_id i = id_no(id);
    one_delete(o, &b, &i, 1);
}

/* How many more messages the box takes, with ids from `from` on. */
static uint32_t room(struct one *o, uint32_t box, uint32_t from)
{
    uint32_t n = 0;
    while (put_no(o, box, from + n) == 0)
        n++;
    cr_assert_eq(o->done_err, PEAL_E_QUOTA, "refused with %s", err_name(o->done_err));
    return n;
}

/* ---- limits ---- */

Test(boxes, a_full_box_takes_no_message_and_everything_else)
{
    struct one *o = limited(3, 0);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(put_no(o, 1, i), 0, "message %u", i);
    cr_assert_eq(put_no(o, 1, 3), PEAL_E_QUOTA, "the fourth is refused");
    struct peal_id box = box_no(1);
    struct peal_msg_id fourth = id_no(3);
    cr_assert_eq(one_disk_row(o, &box, &fourth), -1, "and is not written");
    cr_assert_eq(put_no(o, 1, 1), 0, "one that is here already is stored, as it was");
    struct wire_row receipt = message_no(o, 1, 50, 10);
    receipt.kind = WIRE_ROW_RECEIPT;
    cr_assert_eq(one_put(o, &receipt), 0, "a receipt is taken");
    cr_assert_eq(put_no(o, 2, 3), 0, "another box has room");
    del_no(o, 1, 50);
    cr_assert_eq(put_no(o, 1, 3), PEAL_E_QUOTA, "a receipt less makes no room");
    del_no(o, 1, 77);
    cr_assert_eq(put_no(o, 1, 3), PEAL_E_QUOTA, "nor does what was not there");
    del_no(o, 1, 0);
    cr_assert_eq(put_no(o, 1, 3), 0, "a message less does, at once");
    cr_assert_eq(put_no(o, 1, 4), PEAL_E_QUOTA, "one");
    one_free(o);
}

Test(boxes, bytes_count_as_well)
{
    struct one *o = limited(0, 250);
    struct wire_row row = message_no(o, 1, 1, 1000);
    cr_assert_eq(one_put(o, &row), 0, "an empty box takes anything");
    del_no(o, 1, 1);
    for (uint32_t i = 2; i < 4; i++) {
        row = message_no(o, 1, i, 100);
        cr_assert_eq(one_put(o, &row), 0, "message %u fits", i);
    }
    row = message_no(o, 1, 4, 51);
    cr_assert_eq(one_put(o, &row), PEAL_E_QUOTA, "a byte too much");
    row = message_no(o, 1, 5, 50);
    cr_assert_eq(one_put(o, &row), 0, "not a byte too much");
    one_free(o);
}

Test(boxes, without_limits_nothing_is_refused)
{
    struct one *o = limited(0, 0);
    for (uint32_t i = 0; i < 300; i++)
        cr_assert_eq(put_no(o, 1, i), 0, "message %u", i);
    one_free(o);
}

Test(boxes, copies_from_others_are_never_refused_and_count)
{
    struct one *o = limited(3, 0);
    struct one_peer p = one_peer(50);
    one_link(o, 7, &p, false);
    one_hello(o, 7, &p, NULL);
    struct wire_row rows[5];
    for (uint32_t i = 0; i < 5; i++)
        rows[i] = message_no(o, 1, i, 10);
    struct wire_n_records m = {.ring = o->self.id, .epoch = 1, .rows = {.v = rows, .n = 5}};
    one_hear(o, 7, WIRE_n_records, &m);
    struct peal_id box = box_no(1);
    cr_assert_eq(one_rows(o, &box), 5, "all five are here");
    cr_assert_eq(put_no(o, 1, 9), PEAL_E_QUOTA, "the box is full");
    struct wire_row tomb = {
        .box = box, .kind = WIRE_ROW_TOMBSTONE, .expires = one_wall(o) + 24 * HOUR_MS};
    for (uint32_t i = 0; i < 3; i++) {
        tomb.id = id_no(i);
        m.rows.v = &tomb;
        m.rows.n = 1;
        one_hear(o, 7, WIRE_n_records, &m);
    }
    cr_assert_eq(one_rows(o, &box), 2, "three were acknowledged elsewhere");
    cr_assert_eq(room(o, 1, 10), 1, "and so there is room for one");
    one_free(o);
}

/* What is counted only in memory is found again by the sweep. */
Test(boxes, a_full_box_is_full_after_a_restart)
{
    struct one *o = limited(5, 0);
    cr_assert_eq(room(o, 1, 0), 5, "five");
    o = one_again(o, false);
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 2 * SECOND_US);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "a member, as before");
    cr_assert_eq(put_no(o, 1, 9), PEAL_E_QUOTA, "full");
    one_free(o);
}

/* Far from the limit nothing is looked up: the same row twice counts twice. Nearer to it, and by
 * each pass, it is set right: the box takes what its limit says. */
Test(boxes, the_limit_is_met_exactly_in_the_end)
{
    enum { LIMIT = 160, NEAR = LIMIT / 8 };
    struct one *o = limited(LIMIT, 0);
    for (uint32_t i = 0; i < NEAR / 2; i++)
        for (int k = 0; k < 4; k++)
            cr_assert_eq(put_no(o, 1, i), 0, "message %u", i);
    one_wait(o, PASS_US);
    cr_assert_eq(room(o, 1, NEAR / 2), LIMIT - NEAR / 2, "what was sent again is not counted");
    for (uint32_t i = 0; i < LIMIT; i++)
        del_no(o, 1, i);
    struct peal_id box = box_no(1);
    cr_assert_eq(one_rows(o, &box), 0, "all of it is gone");
    one_wait(o, PASS_US);
    uint32_t again = room(o, 1, 1000);
    cr_assert(again <= LIMIT && again >= LIMIT - NEAR, "nearly all of it is there again: %u",
              again);
    one_free(o);
}

/* A pass takes several steps for a large box, in which rows come and go before and behind it. */
Test(boxes, what_comes_and_goes_during_a_pass_is_counted)
{
    enum { LIMIT = 2000, HAVE = 1600, EVERY = 7 };
    struct one *o = limited(LIMIT, 0);
    uint32_t left = HAVE, next = 10 * HAVE;
    for (uint32_t i = 0; i < HAVE; i++)
        cr_assert_eq(put_no(o, 1, 10 * i), 0, "message %u", i);
    /* from the middle of one pass into the middle of the next ones */
    for (uint32_t i = 0; i < HAVE / EVERY; i++) {
        one_wait(o, 37 * 1000 * (i % 20 == 0 ? 100 : 1));
        del_no(o, 1, 10 * (HAVE - 1 - EVERY * i));
        del_no(o, 1, 10 * (EVERY * i + 1));
        left -= 2;
        cr_assert_eq(put_no(o, 1, 10 * EVERY * i + 5), 0, "behind");
        cr_assert_eq(put_no(o, 1, next++), 0, "before");
        cr_assert_eq(put_no(o, 1, next - 1), 0, "once more");
        left += 2;
    }
    struct peal_id box = box_no(1);
    left = (uint32_t)one_rows(o, &box);
    cr_assert_eq(room(o, 1, next), LIMIT - left, "with %u in it", left);
    one_free(o);
}

/* More boxes than are kept count of: the full ones are not forgotten for the others. */
Test(boxes, many_boxes_do_not_hide_a_full_one)
{
    enum { LIMIT = 4, OTHERS = 6000 };
    struct one *o = limited(LIMIT, 0);
    cr_assert_eq(room(o, 1, 0), LIMIT, "full");
    for (uint32_t i = 0; i < OTHERS; i++)
        cr_assert_eq(put_no(o, 2 + i, 0), 0, "box %u", i);
    cr_assert_eq(put_no(o, 1, 9), PEAL_E_QUOTA, "it still is");
    one_wait(o, PASS_US);
    cr_assert_eq(put_no(o, 1, 9), PEAL_E_QUOTA, "also after a pass");
    del_no(o, 1, 0);
    cr_assert_eq(put_no(o, 1, 9), 0, "until there is room");
    one_free(o);
}

/* ---- what may be put ---- */

static int put_code(struct one *o, const struct wire_row *row)
{
    struct wire_n_set_put put = {.epoch = 1, .op = 6, .row = *row};
    union wire_any m;
    one_forget(o);
    one_hear(o, 7, WIRE_n_set_put, &put);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_set_ok, &m), "it answers");
    return -(int)m.n_set_ok.code;
}

Test(boxes, rows_that_no_server_makes_are_refused)
{
    struct one *o = limited(0, 0);
    struct one_peer p = one_peer(50);
    one_link(o, 7, &p, false);
    one_hello(o, 7, &p, NULL);
    struct wire_row good = message_no(o, 1, 1, 10), row = good;
    cr_assert_eq(put_code(o, &row), 0, "a message");
    for (unsigned kind = 0; kind < 256; kind++) {
        row = good;
        row.id = id_no(kind + 2);
        row.kind = (uint8_t)kind;
        bool known =
            kind == WIRE_ROW_MESSAGE || kind == WIRE_ROW_RECEIPT || kind == WIRE_ROW_EXPIRED;
        cr_assert_eq(put_code(o, &row), known ? 0 : PEAL_E_MALFORMED, "kind %u", kind);
    }
    row = good;
    row.id = id_no(1000);
    row.expires = 0;
    cr_assert_eq(put_code(o, &row), PEAL_E_MALFORMED, "one that never expires");
    row.expires = one_wall(o) + (uint64_t)(CHORD_ROW_DAYS + 1) * 24 * HOUR_MS;
    cr_assert_eq(put_code(o, &row), PEAL_E_MALFORMED, "one that outlives its tombstone");
    row.expires = one_wall(o) + (uint64_t)CHORD_ROW_DAYS * 24 * HOUR_MS + HOUR_MS;
    cr_assert_eq(put_code(o, &row), 0, "a server whose clock is an hour ahead");
    row.stamp = (one_wall(o) + 24 * HOUR_MS) << 16;
    cr_assert_eq(put_code(o, &row), PEAL_E_MALFORMED, "one of tomorrow");
    one_free(o);
}

/* ---- expiry ---- */

Test(expiry, the_author_is_told_before_the_row_goes)
{
    struct one *o = limited(0, 0);
    struct wire_row row = message_no(o, 1, 1, 10), receipt = message_no(o, 1, 2, 10),
                    nobodys = message_no(o, 1, 3, 10);
    row.expires = receipt.expires = nobodys.expires = one_wall(o) + 5000;
    receipt.kind = WIRE_ROW_RECEIPT;
    nobodys.from.n = 0;
    struct peal_id box = row.box, word = box;
    word.b[0] ^= 0xff;
    cr_assert(one_put(o, &row) == 0 && one_put(o, &receipt) == 0 && one_put(o, &nobodys) == 0,
              "stored");
    cr_assert_eq(one_rows(o, &box), 3, "and shown");
    one_wait(o, 50 * (uint64_t)SECOND_US);
    cr_assert_eq(one_rows(o, &box), 0, "not shown any more");
    one_wait(o, 3500 * (uint64_t)SECOND_US);
    for (uint32_t i = 1; i <= 3; i++) {
        struct peal_msg_id id = id_no(i);
        cr_assert_neq(one_disk_row(o, &box, &id), -1, "row %u is kept for slow clocks", i);
    }
    cr_assert_eq(one_rows(o, &word), 0, "nobody has been told");
    one_wait(o, 200 * (uint64_t)SECOND_US);
    for (uint32_t i = 1; i <= 3; i++) {
        struct peal_msg_id id = id_no(i);
        cr_assert_eq(one_disk_row(o, &box, &id), -1, "row %u is gone", i);
    }
    cr_assert_eq(one_rows(o, &word), 1, "one author was told");
    struct peal_msg_id id = id_no(1);
    cr_assert_eq(one_disk_row(o, &word, &id), WIRE_ROW_EXPIRED, "of the message");
    one_free(o);
}

Test(expiry, what_is_acknowledged_in_time_was_not_in_vain)
{
    struct one *o = limited(0, 0);
    struct wire_row row = message_no(o, 1, 1, 10);
    row.expires = one_wall(o) + 5000;
    struct peal_id word = row.box;
    word.b[0] ^= 0xff;
    cr_assert_eq(one_put(o, &row), 0, "stored");
    one_wait(o, 3000 * (uint64_t)SECOND_US);
    del_no(o, 1, 1);
    one_wait(o, 1000 * (uint64_t)SECOND_US);
    cr_assert_eq(one_rows(o, &word), 0, "the author is not told that it expired");
    one_free(o);
}

/* Many at once, and a full box: all are told of, and there is room again. */
Test(expiry, a_box_that_expires_has_room_again)
{
    enum { LIMIT = 300 };
    struct one *o = limited(LIMIT, 0);
    struct wire_row row = {0};
    for (uint32_t i = 0; i < LIMIT; i++) {
        row = message_no(o, 1, i, 10);
        row.expires = one_wall(o) + 100 * 1000;
        cr_assert_eq(one_put(o, &row), 0, "message %u", i);
    }
    cr_assert_eq(put_no(o, 1, LIMIT), PEAL_E_QUOTA, "full");
    one_wait(o, 3900 * (uint64_t)SECOND_US);
    struct peal_id word = row.box;
    word.b[0] ^= 0xff;
    cr_assert_eq(one_rows(o, &word), LIMIT, "each author is told");
    cr_assert_eq(room(o, 1, LIMIT), LIMIT, "empty");
    one_free(o);
}

/* ---- several servers ---- */

static struct group *five(uint64_t seed, uint64_t box_rows_max)
{
    struct sim_config cfg = {.seed = seed, .nodes = 5, .replicas = 2, .discovery = true};
    struct group *r = group_new(&cfg);
    for (size_t i = 0; i < 5; i++)
        r->nodes[i].box_rows_max = box_rows_max;
    r->tells_expired = true;
    group_start_all(r);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "five servers form a ring");
    return r;
}

static size_t home_at(struct group *r, const struct peal_id *key, size_t place)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    for (size_t i = 0; i < 5; i++) {
        if (!sim_running(r->sim, i))
            continue;
        size_t n = chord_home(group_chord(r, i), key, home);
        cr_assert_lt(place, n, "there are that many homes");
        return group_index(r, &home[place]);
    }
    cr_assert_fail("nobody runs");
    return 0;
}

static size_t outsider(struct group *r, const struct peal_id *key, size_t which)
{
    for (size_t i = 0; i < 5; i++) {
        bool home = false;
        for (size_t k = 0; k < 3; k++)
            home = home || home_at(r, key, k) == i;
        if (!home && which-- == 0)
            return i;
    }
    cr_assert_fail("every node is home");
    return 0;
}

static size_t put(struct group *r, size_t by, const struct peal_id *box, int want)
{
    size_t op = group_put(r, by, box, 100, OP_US);
    cr_assert_neq(op, SIZE_MAX, "begun");
    int err = group_wait(r, op, 2 * OP_US);
    cr_assert_eq(err, want, "%s, expected %s", err_name(err), err_name(want));
    return op;
}

static size_t kept_by(struct group *r, size_t node, const struct peal_id *box, size_t op)
{
    return group_disk_row(r, node, box, &r->ops[op].id) >= 0;
}

Test(boxes, the_homes_refuse_and_nobody_stands_in)
{
    struct group *r = five(7, 4);
    struct peal_id box = group_key(r, 1);
    for (size_t i = 0; i < 4; i++)
        put(r, i, &box, 0);
    for (size_t i = 0; i < 5; i++) {
        size_t op = group_put(r, i, &box, 100, OP_US);
        uint64_t from = sim_now(r->sim);
        cr_assert_eq(group_wait(r, op, OP_US), PEAL_E_QUOTA, "node %zu is told", i);
        cr_assert_lt(sim_now(r->sim) - from, OP_US / 2, "without waiting for its time to be up");
        for (size_t k = 0; k < 5; k++)
            cr_assert_eq(kept_by(r, k, &box, op), 0, "node %zu holds nothing", k);
    }
    size_t home = home_at(r, &box, 1);
    sim_crash(r->sim, home);
    cr_assert(group_wait_whole(r, 5, 4, FORM_US), "the ring closes");
    size_t by = outsider(r, &box, 0);
    for (size_t i = 0; i < 20; i++)
        put(r, by, &box, PEAL_E_QUOTA); /* one stands in, but two are full */
    sim_run(r->sim, SETTLE_US);
    size_t read = group_begin(r, by, GROUP_READ, &box, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    size_t n = r->ops[read].value_n;
    cr_assert_leq(n, 8, "what the stand-in took is bounded as well: %zu", n);
    for (size_t i = 0; i + 3 < n; i++) {
        struct peal_msg_id id;
        memcpy(id.b, r->ops[read].value + i * MSG_ID_BYTES, MSG_ID_BYTES);
        group_del(r, by, &box, &id);
    }
    sim_run(r->sim, SECOND_US);
    put(r, by, &box, 0);
    group_free(r);
}

Test(boxes, one_home_that_is_full_is_not_replaced)
{
    struct group *r = five(7, 0);
    struct peal_id box = group_key(r, 1);
    size_t full = home_at(r, &box, 0); /* to which it is put with a push, when there is one */
    sim_crash(r->sim, full);
    r->nodes[full].box_rows_max = 2;
    sim_start(r->sim, full);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "whole again");
    for (size_t i = 0; i < 12; i++) {
        size_t op = put(r, i % 5, &box, 0);
        for (size_t k = 0; k < 2; k++)
            cr_assert_eq(kept_by(r, outsider(r, &box, k), &box, op), 0,
                         "message %zu: nobody stands in for the full one", i);
        cr_assert_geq(kept_by(r, home_at(r, &box, 1), &box, op) +
                          kept_by(r, home_at(r, &box, 2), &box, op) + kept_by(r, full, &box, op),
                      2, "message %zu has its copies", i);
    }
    sim_run(r->sim, SETTLE_US); /* and repair brings the others, which are not refused */
    struct peal_id key = box;
    size_t read = group_begin(r, full, GROUP_READ, &key, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    cr_assert_eq(r->ops[read].value_n, 12, "all of it");
    for (size_t op = 0; op < 12; op++)
        cr_assert_eq(kept_by(r, full, &box, op), 1, "message %zu is at the full home too", op);
    group_free(r);
}

static void all_clocks(struct group *r, int64_t ms)
{
    for (size_t i = 0; i < 5; i++)
        sim_skew(r->sim, i, ms);
}

static size_t words(struct group *r, const struct peal_id *box, size_t op)
{
    struct peal_id word = group_word_box(box);
    size_t n = 0;
    for (size_t i = 0; i < 5; i++)
        n += group_disk_row(r, i, &word, &r->ops[op].id) == WIRE_ROW_EXPIRED;
    return n;
}

/* Every holder makes the same word; the author has one. */
Test(expiry, the_author_is_told_once_by_many)
{
    struct group *r = five(12, 0);
    struct peal_id box = group_key(r, 1), word = group_word_box(&box);
    size_t op = put(r, 0, &box, 0);
    all_clocks(r, 3 * HOUR_MS);
    sim_run(r->sim, 2 * SETTLE_US);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(kept_by(r, i, &box, op), 0, "it is not kept at %zu", i);
    cr_assert_eq(words(r, &box, op), 3, "the author's homes have word of it");
    size_t read = group_begin(r, 0, GROUP_READ, &word, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    cr_assert_eq(r->ops[read].value_n, 1, "one");
    group_free(r);
}

/* A clock that is ahead by less than is tolerated drops nothing that others show. */
Test(expiry, a_fast_clock_drops_nothing_that_is_shown)
{
    struct group *r = five(13, 0);
    struct peal_id box = group_key(r, 1);
    size_t op = put(r, 0, &box, 0); /* for an hour */
    size_t fast = home_at(r, &box, 0);
    sim_skew(r->sim, fast, HOUR_MS + HOUR_MS / 2);
    for (size_t i = 0; i < 5; i++)
        if (i != fast)
            sim_skew(r->sim, i, HOUR_MS / 2 + HOUR_MS / 4);
    sim_run(r->sim, 2 * SETTLE_US);
    cr_assert_eq(kept_by(r, fast, &box, op), 1, "the fast one keeps it");
    cr_assert_eq(words(r, &box, op), 0, "and tells nobody");
    size_t read = group_begin(r, home_at(r, &box, 1), GROUP_READ, &box, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    cr_assert_eq(r->ops[read].value_n, 1, "the others show it");
    group_free(r);
}

/* Alone it cannot keep a promise to the author. */
Test(expiry, what_nobody_can_be_told_of_is_kept)
{
    struct group *r = five(14, 0);
    struct peal_id box = group_key(r, 1);
    size_t op = put(r, 0, &box, 0), lone = home_at(r, &box, 1);
    sim_run(r->sim, SECOND_US);
    for (size_t i = 0; i < 5; i++)
        if (i != lone)
            sim_crash(r->sim, i);
    all_clocks(r, 3 * HOUR_MS);
    sim_run(r->sim, 3 * SETTLE_US);
    cr_assert_eq(kept_by(r, lone, &box, op), 1, "it is kept");
    for (size_t i = 0; i < 5; i++)
        if (i != lone)
            sim_start(r->sim, i);
    cr_assert(group_wait_whole(r, 5, 5, FORM_US), "whole again");
    sim_run(r->sim, 2 * SETTLE_US);
    cr_assert_eq(kept_by(r, lone, &box, op), 0, "until then");
    cr_assert_eq(words(r, &box, op), 3, "the author is told");
    group_free(r);
}

/* Others stand in for the author's homes; a crash at any moment loses nothing. */
Test(expiry, nothing_is_dropped_before_its_author_is_told)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct group *r = five(seed, 0);
        uint32_t n = 0;
        struct peal_id box = group_key(r, 0), word = group_word_box(&box);
        /* no home of the one is a home of the other, but one: 3 + 3 of 5 */
        while (home_at(r, &word, 0) == home_at(r, &box, 0) ||
               home_at(r, &word, 1) == home_at(r, &box, 0)) {
            box = group_key(r, ++n);
            word = group_word_box(&box);
        }
        size_t op = put(r, 0, &box, 0);
        size_t away[2] = {home_at(r, &word, 0), home_at(r, &word, 1)};
        for (size_t i = 0; i < 2; i++)
            sim_crash(r->sim, away[i]);
        cr_assert(group_wait_whole(r, 5, 3, FORM_US), "two are away");
        all_clocks(r, 3 * HOUR_MS);
        for (size_t t = 0; t < 20; t++) { /* homes crash now and then, in the midst of it */
            size_t home = home_at(r, &box, t % 3);
            sim_run(r->sim, rng_below(sim_rng(r->sim), 3 * SECOND_US));
            bool kept = false;
            for (size_t k = 0; k < 5; k++)
                kept = kept || kept_by(r, k, &box, op);
            cr_assert(kept || words(r, &box, op) >= 2, "seed %lu: lost", (unsigned long)seed);
            if (sim_running(r->sim, home)) {
                sim_crash(r->sim, home);
                sim_start(r->sim, home);
            }
        }
        for (size_t i = 0; i < 2; i++)
            if (!sim_running(r->sim, away[i]))
                sim_start(r->sim, away[i]);
        cr_assert(group_wait_whole(r, 5, 5, FORM_US), "whole again");
        sim_run(r->sim, 2 * SETTLE_US);
        for (size_t i = 0; i < 5; i++)
            cr_assert_eq(kept_by(r, i, &box, op), 0, "seed %lu: still kept at %zu",
                         (unsigned long)seed, i);
        cr_assert_eq(words(r, &box, op), 3, "seed %lu: the author is told", (unsigned long)seed);
        group_free(r);
    }
}

/* ---- deletion ---- */

struct again {
    struct group *r;
    size_t op;
};

static void put_it(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    struct again *a = arg;
    struct group_op *o = &a->r->ops[a->op];
    struct wire_row row = {.box = o->key,
                           .id = o->id,
                           .kind = WIRE_ROW_MESSAGE,
                           .stamp = chord_stamp(core, ev),
                           .expires = ev->wall_ms + HOUR_MS};
    o->err = GROUP_RUNNING;
    int err = chord_set_put(core, ev, u, a->op, &row, true, OP_US);
    cr_assert_eq(err, 0, "begun");
}

static void expect_gone(struct group *r, const struct peal_id *box, size_t op, uint64_t seed)
{
    for (size_t i = 0; i < 5; i++) {
        int kind = group_disk_row(r, i, box, &r->ops[op].id);
        cr_assert(kind == -1 || kind == WIRE_ROW_TOMBSTONE, "seed %lu: node %zu has it as %d",
                  (unsigned long)seed, i, kind);
    }
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(group_disk_row(r, home_at(r, box, i), box, &r->ops[op].id), WIRE_ROW_TOMBSTONE,
                     "seed %lu: home %zu knows of the deletion", (unsigned long)seed, i);
    size_t read = group_begin(r, outsider(r, box, 0), GROUP_READ, box, OP_US);
    cr_assert_eq(group_wait(r, read, OP_US), 0, "read");
    cr_assert_eq(r->ops[read].value_n, 0, "seed %lu: shown", (unsigned long)seed);
}

/* The acknowledgement of a row that was pushed overtakes the row on its way to other homes; and the
 * row is put again, from elsewhere, at any moment. */
Test(deletion, races_the_put)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct group *r = five(seed, 0);
        struct peal_id box = group_key(r, 1);
        size_t ops[20];
        for (size_t i = 0; i < PEAL_COUNT(ops); i++) {
            ops[i] = group_put(r, i % 5, &box, 100, OP_US);
            sim_run(r->sim, rng_below(sim_rng(r->sim), 5000));
            group_del(r, (i + 1) % 5, &box, &r->ops[ops[i]].id);
            sim_run(r->sim, rng_below(sim_rng(r->sim), 5000));
            int err = group_wait(r, ops[i], 2 * OP_US);
            cr_assert_eq(err, 0, "stored, or gone already: %s", err_name(err));
            struct again a = {.r = r, .op = ops[i]};
            sim_call(r->sim, (i + 2) % 5, put_it, &a);
            err = group_wait(r, ops[i], 2 * OP_US);
            cr_assert_eq(err, 0, "and so is the same once more: %s", err_name(err));
        }
        sim_run(r->sim, SETTLE_US);
        for (size_t i = 0; i < PEAL_COUNT(ops); i++)
            expect_gone(r, &box, ops[i], seed);
        group_free(r);
    }
}

/* It is said on one side of a partition; on the other, homes and stand-ins keep the row, take the
 * same one again, and hand it on. */
Test(deletion, reaches_the_other_side_of_a_partition)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct group *r = five(seed, 0);
        struct peal_id box = group_key(r, 1);
        size_t away = home_at(r, &box, seed % 3), also = outsider(r, &box, seed % 2);
        size_t op = put(r, away, &box, 0);
        sim_run(r->sim, SECOND_US);
        sim_partition(r->sim, 1u << away | 1u << also);
        sim_run(r->sim, 5 * SECOND_US);
        group_del(r, home_at(r, &box, (seed + 1) % 3), &box, &r->ops[op].id);
        struct again a = {.r = r, .op = op};
        sim_call(r->sim, away, put_it, &a); /* the other outsider of that side stands in for both */
        sim_run(r->sim, 5 * SECOND_US);
        sim_partition(r->sim, 0);
        cr_assert(group_wait_whole(r, 5, 5, 3 * SETTLE_US), "whole again");
        sim_run(r->sim, 2 * SETTLE_US);
        expect_gone(r, &box, op, seed);
        group_free(r);
    }
}

/* ---- where reading begins ---- */

struct both {
    struct group *r;
    size_t put, read;
};

static void put_and_read(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    struct both *b = arg;
    struct again a = {.r = b->r, .op = b->put};
    put_it(core, ev, u, &a);
    b->r->ops[b->read].err = GROUP_RUNNING;
    int err = chord_set_read(core, ev, u, b->read, &b->r->ops[b->put].key, NULL, OP_US);
    cr_assert_eq(err, 0, "begun");
}

static void alone(struct group *r, size_t node, bool cut)
{
    for (size_t i = 0; i < 5; i++)
        if (i != node)
            sim_cut(r->sim, node, i, cut);
    sim_run(r->sim, 3 * SECOND_US);
}

/* What the node shows of the box by itself, cut off from the others: less than a whole read. */
static size_t shown(struct group *r, size_t by, const struct peal_id *box)
{
    size_t read = group_begin(r, by, GROUP_READ, box, OP_US);
    cr_assert_eq(group_wait(r, read, 2 * OP_US), PEAL_E_UNAVAILABLE, "the others are missing");
    return r->ops[read].value_n;
}

/* A list does not see what is being written in the same update: that must not hide it later. */
Test(marks, a_row_of_the_same_update_is_not_passed_over)
{
    struct group *r = five(31, 0);
    struct peal_id box = group_key(r, 1);
    size_t home = home_at(r, &box, 0);
    size_t gone = put(r, home, &box, 0);
    group_del(r, home, &box, &r->ops[gone].id);
    sim_run(r->sim, SECOND_US);
    /* the operations that are begun again: one that put elsewhere, one that read */
    struct peal_id other = group_key(r, 2);
    struct both b = {.r = r, .put = put(r, home, &other, 0)};
    b.read = group_begin(r, home, GROUP_READ, &other, OP_US);
    cr_assert_eq(group_wait(r, b.read, OP_US), 0, "read");
    r->ops[b.put].key = box;
    sim_call(r->sim, home, put_and_read, &b);
    cr_assert_eq(group_wait(r, b.put, 2 * OP_US), 0, "stored");
    alone(r, home, true);
    cr_assert_eq(shown(r, home, &box), 1, "it is shown");
    group_free(r);
}
