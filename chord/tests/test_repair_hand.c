/* One home, by hand: what it says to another home's digests and lists, and to nonsense. */
#include <criterion/criterion.h>

#include "inner.h"
#include "one.h"

#include <string.h>

enum { LINK = 7, CELLS = 1 << CELL_BITS_MAX };

static const uint64_t FAR = (uint64_t)1 << 50;

/* A member of a ring of two; the other, p, is the test, linked and up. */
static struct one *paired(struct one_peer *p)
{
    struct one *o = one_new(3, false, NULL);
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 3000000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "it has founded a ring");
    *p = one_peer(5);
    one_link(o, LINK, p, false);
    one_hello(o, LINK, p, NULL);
    union wire_any m;
    struct wire_n_admit ask = {.contact = one_contact(p)};
    one_hear(o, LINK, WIRE_n_admit, &ask);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_roster_accept, &m), "it is to be admitted");
    struct wire_n_roster_accepted yes = {.epoch = 2, .ballot = m.n_roster_accept.ballot};
    one_hear(o, LINK, WIRE_n_roster_accepted, &yes);
    one_hear(o, LINK, WIRE_n_roster_accepted, &yes); /* the newcomer first, then with all */
    one_forget(o);
    cr_assert(chord_is_up(o->chord, &p->id), "the other one is up");
    return o;
}

static void store_row(struct one *o, const struct wire_row *row)
{
    struct wire_n_records m = {
        .ring = o->self.id, .epoch = 2, .rows = {.v = (struct wire_row *)(uintptr_t)row, .n = 1}};
    one_hear(o, LINK, WIRE_n_records, &m);
}

static struct wire_row row_at(const struct peal_id *box, uint8_t id)
{
    return (struct wire_row){.box = *box,
                             .id = {{id}},
                             .kind = WIRE_ROW_MESSAGE,
                             .from = peal_bytes_str("a"),
                             .stamp = 1,
                             .expires = FAR};
}

/* Both arcs are these, one way round or the other. */
static struct wire_n_arc_digest question(struct one *o, const struct one_peer *p, uint8_t *sums,
                                         size_t n)
{
    return (struct wire_n_arc_digest){.epoch = 2,
                                      .from = p->id,
                                      .upto = o->self.id,
                                      .cut = (1700000000000 + o->now_us / 1000) - SETTLE_MS,
                                      .sums = peal_bytes_of(sums, 12 * n)};
}

static void sum_put(uint8_t *at, uint64_t digest, uint32_t count)
{
    struct wr w;
    wr_init(&w, at, 12);
    wr_u64(&w, digest);
    wr_u32(&w, count);
}

/* Until what an earlier one began is over. The peer is heard of, so it stays up. */
static void rest(struct one *o)
{
    union wire_any m;
    for (size_t i = 0; i < 40; i++) {
        one_wait(o, WITH_US / 10);
        if (one_sent(o, LINK, WIRE_r_ping, &m) != NULL) {
            struct wire_r_pong pong = {
                .nonce = m.r_ping.nonce, .state = m.r_ping.state, .load = m.r_ping.load};
            pong.state.successor = pong.state.predecessor = o->self.id;
            one_hear(o, LINK, WIRE_r_pong, &pong);
        }
        one_forget(o);
    }
}

static size_t talk(const struct one *o)
{
    return one_count(o, LINK, WIRE_n_arc_digest) + one_count(o, LINK, WIRE_n_arc_items) +
           one_count(o, LINK, WIRE_n_pull) + one_count(o, LINK, WIRE_n_records);
}

/* Keys of the arc (p, o], one in each of its first cells. */
static struct peal_id key_in(const struct one *o, const struct one_peer *p, uint32_t part,
                             uint8_t bits)
{
    struct arc a = {.from = p->id, .upto = o->self.id};
    for (size_t i = 0; i < o->chord->arcs_n; i++)
        if (id_eq(&o->chord->arcs[i].upto, &a.upto))
            a = o->chord->arcs[i];
    struct range r;
    cr_assert(parts_range(&a, bits, part, part + 1, &r), "the part is there");
    return id_add_pow2(&r.from, 0);
}

Test(hand, a_digest_that_is_the_same_is_not_answered)
{
    struct one_peer p;
    struct one *o = paired(&p);
    uint8_t sums[12];
    sum_put(sums, 0, 0);
    rest(o);
    struct wire_n_arc_digest q = question(o, &p, sums, 1);
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 100000);
    cr_assert_eq(talk(o), 0, "nothing to say");
    one_free(o);
}

Test(hand, who_has_nothing_is_given_everything_and_who_lacks_asks_for_it)
{
    struct one_peer p;
    struct one *o = paired(&p);
    union wire_any m;
    uint8_t sums[12];
    sum_put(sums, 5, 7);
    rest(o);
    struct wire_n_arc_digest q = question(o, &p, sums, 1);
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 100000);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_arc_items, &m), "an empty list");
    cr_assert(m.n_arc_items.items.n == 0 && !m.n_arc_items.more && m.n_arc_items.bits == 0,
              "of the whole arc");
    for (uint32_t i = 0; i < 100; i++) {
        struct peal_id box = key_in(o, &p, i, CELL_BITS_MAX);
        struct wire_row row = row_at(&box, 1);
        store_row(o, &row);
    }
    rest(o);
    sum_put(sums, 0, 0);
    q = question(o, &p, sums, 1);
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 1000000);
    size_t rows = 0;
    for (size_t i = 0; i < one_count(o, LINK, WIRE_n_records); i++) {
        cr_assert_not_null(one_nth(o, LINK, WIRE_n_records, i, &m), "a page");
        rows += m.n_records.rows.n;
    }
    cr_assert_eq(rows, 100, "all of it, once");
    cr_assert_eq(one_count(o, LINK, WIRE_n_arc_items), 0, "without a list");
    one_free(o);
}

Test(hand, a_difference_is_followed_down_to_a_list)
{
    struct one_peer p;
    struct one *o = paired(&p);
    union wire_any m;
    uint8_t sums[12 * WIRE_DIGESTS_MAX];
    for (uint32_t i = 0; i < 200; i++) {
        struct peal_id box = key_in(o, &p, i % 500, CELL_BITS_MAX);
        struct wire_row row = row_at(&box, (uint8_t)(1 + i));
        store_row(o, &row);
    }
    rest(o);
    sum_put(sums, 1, 200);
    struct wire_n_arc_digest q = question(o, &p, sums, 1);
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 100000);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_arc_digest, &m), "its parts");
    cr_assert(m.n_arc_digest.bits == STEP_BITS && m.n_arc_digest.first == 0 &&
                  m.n_arc_digest.sums.n == sizeof sums &&
                  m.n_arc_digest.cut == q.cut / SETTLE_GRAIN_MS * SETTLE_GRAIN_MS,
              "sixteen, as of the same moment");
    memcpy(sums, m.n_arc_digest.sums.p, sizeof sums);
    sums[12 * 2] ^= 1; /* all the same but for one part, the third */
    one_forget(o);
    q = question(o, &p, sums, WIRE_DIGESTS_MAX);
    q.bits = STEP_BITS;
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 100000);
    cr_assert_eq(one_count(o, LINK, WIRE_n_arc_digest), 1, "one part");
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_arc_digest, &m), "its parts");
    cr_assert(m.n_arc_digest.bits == 2 * STEP_BITS && m.n_arc_digest.first == 2 * 16,
              "the third's");
    memcpy(sums, m.n_arc_digest.sums.p, sizeof sums);
    sums[12 * 15 + 11] ^= 1; /* one less or more */
    one_forget(o);
    q = question(o, &p, sums, WIRE_DIGESTS_MAX);
    q.bits = 2 * STEP_BITS;
    q.first = 2 * 16;
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 100000);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_arc_items, &m), "a list of what is there");
    cr_assert(m.n_arc_items.bits == 2 * STEP_BITS && m.n_arc_items.part == 2 * 16 + 15, "its part");
    cr_assert_eq(m.n_arc_items.items.n, 4, "four cells with a row each");
    one_free(o);
}

static struct wire_n_arc_items list_of(struct one *o, const struct one_peer *p,
                                       struct wire_item *items, size_t n)
{
    return (struct wire_n_arc_items){.epoch = 2,
                                     .from = p->id,
                                     .upto = o->self.id,
                                     .cut = 1700000000000,
                                     .bits = 2,
                                     .part = 1,
                                     .items = {.v = items, .n = n}};
}

Test(hand, a_list_is_answered_with_pulls_and_rows)
{
    struct one_peer p;
    struct one *o = paired(&p);
    union wire_any m;
    struct peal_id box = key_in(o, &p, 1, 2);
    struct wire_row mine = row_at(&box, 1), old = row_at(&box, 2), tomb = row_at(&box, 3);
    tomb.kind = WIRE_ROW_TOMBSTONE;
    store_row(o, &mine);
    store_row(o, &old);
    store_row(o, &tomb);
    rest(o);
    uint8_t keys[4][ROW_KEY_BYTES];
    struct wire_item items[4];
    for (uint8_t i = 0; i < 4; i++) {
        struct peal_msg_id id = {{(uint8_t)(i + 2)}}; /* the peer has 2, 3, 4 and 5 */
        row_key(&box, &id, keys[i]);
        items[i] = (struct wire_item){.space = STEP_ROWS,
                                      .key = peal_bytes_of(keys[i], ROW_KEY_BYTES),
                                      .digest = {{i == 0 ? 2 : 1}}}; /* 2 is a tombstone there */
    }
    struct wire_n_arc_items q = list_of(o, &p, items, 4);
    one_hear(o, LINK, WIRE_n_arc_items, &q);
    one_wait(o, 100000);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_pull, &m), "it asks");
    cr_assert_eq(m.n_pull.rows.n, 3, "for the tombstone and the two that it has not");
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_records, &m), "it gives");
    cr_assert_eq(m.n_records.rows.n, 2, "its own row and its own tombstone");
    one_forget(o);
    struct wire_row_key want[2] = {{.box = box, .id = {{1}}}, {.box = box, .id = {{99}}}};
    struct wire_n_pull pull = {.epoch = 2, .rows = {.v = want, .n = 2}};
    one_hear(o, LINK, WIRE_n_pull, &pull);
    one_wait(o, 100000);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_records, &m), "it is given");
    cr_assert_eq(m.n_records.rows.n, 1, "what is there of what was asked for");
    one_free(o);
}

/* ---- nonsense ---- */

static void ignored(struct one *o, uint16_t type, void *m, const char *what)
{
    one_forget(o);
    one_hear(o, LINK, type, m);
    one_wait(o, 20000);
    cr_assert_eq(one_count(o, LINK, WIRE_n_arc_items) + one_count(o, LINK, WIRE_n_pull) +
                     one_count(o, LINK, WIRE_n_records),
                 0, "%s: no answer", what);
    union wire_any d;
    if (one_sent(o, LINK, WIRE_n_arc_digest, &d) != NULL) /* a round of its own at the most */
        cr_assert_eq(d.n_arc_digest.bits, 0, "%s: no answer", what);
}

Test(hand, digests_of_no_known_form_are_ignored)
{
    struct one_peer p;
    struct one *o = paired(&p);
    uint8_t sums[12 * WIRE_DIGESTS_MAX];
    memset(sums, 0x5a, sizeof sums);
    rest(o);
    const struct wire_n_arc_digest good = question(o, &p, sums, 1);
    struct wire_n_arc_digest q = good;
    q.sums.n = 0;
    ignored(o, WIRE_n_arc_digest, &q, "none");
    q.sums.n = 13;
    ignored(o, WIRE_n_arc_digest, &q, "one and a part of one");
    q.sums.n = 24;
    ignored(o, WIRE_n_arc_digest, &q, "two at depth 0");
    q = good;
    q.first = 1;
    ignored(o, WIRE_n_arc_digest, &q, "the second at depth 0");
    q.bits = 4;
    q.first = 15;
    q.sums.n = 24;
    ignored(o, WIRE_n_arc_digest, &q, "the 17th of 16");
    q.first = UINT32_MAX;
    ignored(o, WIRE_n_arc_digest, &q, "beyond all");
    q = good;
    q.bits = CELL_BITS_MAX + 1;
    ignored(o, WIRE_n_arc_digest, &q, "deeper than anything is cut");
    q.bits = 255;
    ignored(o, WIRE_n_arc_digest, &q, "deeper than an id is long");
    q = good;
    q.cut = 0;
    ignored(o, WIRE_n_arc_digest, &q, "as of the beginning of time");
    q.cut = UINT64_MAX;
    ignored(o, WIRE_n_arc_digest, &q, "as of its end");
    q = good;
    q.epoch = 3;
    ignored(o, WIRE_n_arc_digest, &q, "another epoch");
    q = good;
    q.from.b[5]++;
    ignored(o, WIRE_n_arc_digest, &q, "an arc that is none");
    cr_assert_null(one_find(o, STEP_CLOSE, 0, NULL), "the link stays");
    q = good;
    one_forget(o);
    one_hear(o, LINK, WIRE_n_arc_digest, &q);
    one_wait(o, 20000);
    cr_assert_gt(one_count(o, LINK, WIRE_n_arc_items), 0, "what is of its form is answered");
    one_free(o);
}

Test(hand, lists_of_no_known_form_are_ignored)
{
    struct one_peer p;
    struct one *o = paired(&p);
    struct peal_id box = key_in(o, &p, 1, 2), other = key_in(o, &p, 0, 2);
    uint8_t key[3][ROW_KEY_BYTES], place[1 + ROW_KEY_BYTES] = {STEP_ROWS};
    struct wire_item two[2];
    for (uint8_t i = 0; i < 3; i++) {
        struct peal_msg_id id = {{(uint8_t)(i + 1)}};
        row_key(i < 2 ? &box : &other, &id, key[i]);
        if (i < 2)
            two[i] = (struct wire_item){
                .space = STEP_ROWS, .key = peal_bytes_of(key[i], ROW_KEY_BYTES), .digest = {{1}}};
    }
    rest(o);
    const struct wire_n_arc_items good = list_of(o, &p, two, 2);
    struct wire_item bad[2] = {two[1], two[0]};
    struct wire_n_arc_items q = list_of(o, &p, bad, 2);
    ignored(o, WIRE_n_arc_items, &q, "not ascending");
    bad[0] = bad[1] = two[0];
    ignored(o, WIRE_n_arc_items, &q, "twice the same");
    q.items.n = 1;
    bad[0].key.n--;
    ignored(o, WIRE_n_arc_items, &q, "a key too short");
    bad[0] = two[0];
    bad[0].space = STEP_REGISTERS;
    ignored(o, WIRE_n_arc_items, &q, "a row's key among registers");
    bad[0].space = STEP_META;
    ignored(o, WIRE_n_arc_items, &q, "a space that is not shared");
    bad[0] = two[0];
    bad[0].key.p = key[2];
    ignored(o, WIRE_n_arc_items, &q, "of another part");
    q = good;
    q.more = true;
    ignored(o, WIRE_n_arc_items, &q, "more, but from where");
    memcpy(place + 1, key[0], ROW_KEY_BYTES);
    q.end = peal_bytes_of(place, sizeof place);
    ignored(o, WIRE_n_arc_items, &q, "an end before the last item");
    q.more = false;
    ignored(o, WIRE_n_arc_items, &q, "an end without more");
    q = good;
    q.after = peal_bytes_of(place, sizeof place);
    ignored(o, WIRE_n_arc_items, &q, "an item not behind the beginning");
    q.after.n = 5;
    ignored(o, WIRE_n_arc_items, &q, "a beginning of no form");
    memcpy(place + 1, key[2], ROW_KEY_BYTES);
    q.after.n = sizeof place;
    ignored(o, WIRE_n_arc_items, &q, "a beginning elsewhere");
    q = good;
    q.part = 4;
    ignored(o, WIRE_n_arc_items, &q, "the fifth of four parts");
    q.bits = 200;
    ignored(o, WIRE_n_arc_items, &q, "deeper than an id is long");
    q = good;
    q.cut = UINT64_MAX;
    ignored(o, WIRE_n_arc_items, &q, "as of the end of time");
    q = good;
    q.epoch = 1;
    ignored(o, WIRE_n_arc_items, &q, "another epoch");
    cr_assert_null(one_find(o, STEP_CLOSE, 0, NULL), "the link stays");
    q = good;
    one_forget(o);
    one_hear(o, LINK, WIRE_n_arc_items, &q);
    one_wait(o, 20000);
    cr_assert_eq(one_count(o, LINK, WIRE_n_pull), 1, "what is of its form is answered");
    one_free(o);
}

/* No queue grows, whatever comes in. */
Test(hand, queues_have_their_bounds)
{
    struct one_peer p;
    struct one *o = paired(&p);
    uint8_t sums[12 * WIRE_DIGESTS_MAX];
    for (uint32_t i = 0; i < 600; i++) {
        struct peal_id box = key_in(o, &p, i % 512, CELL_BITS_MAX);
        struct wire_row row = row_at(&box, (uint8_t)(1 + i / 512));
        store_row(o, &row);
    }
    rest(o);
    o->chord->cfg.repair_bytes = 1; /* and nothing gets out */
    o->chord->repair.bucket.level = -1000000;
    memset(sums, 1, sizeof sums);
    struct wire_row_key want[WIRE_PAGE_ROWS];
    for (uint32_t round = 0; round < 200; round++) {
        struct wire_n_arc_digest q = question(o, &p, sums, WIRE_DIGESTS_MAX);
        q.bits = CELL_BITS_MAX;
        q.first = round % 32 * 16;
        one_hear(o, LINK, WIRE_n_arc_digest, &q);
        for (uint32_t i = 0; i < WIRE_PAGE_ROWS; i++)
            want[i] = (struct wire_row_key){.box = key_in(o, &p, i, CELL_BITS_MAX),
                                            .id = {{(uint8_t)round}}};
        struct wire_n_pull pull = {.epoch = 2, .rows = {.v = want, .n = WIRE_PAGE_ROWS}};
        one_hear(o, LINK, WIRE_n_pull, &pull);
        one_forget(o);
    }
    const struct repair *r = &o->chord->repair;
    cr_assert(r->says_n <= SAYS_MAX && r->gives_n <= GIVES_MAX && r->asked_n <= ASKED_MAX,
              "%zu, %zu, %zu", r->says_n, r->gives_n, r->asked_n);
    cr_assert_eq(r->gives_n, GIVES_MAX, "one was full");
    cr_assert(r->again, "which is remembered");
    o->chord->cfg.repair_bytes = CHORD_REPAIR_BYTES_MAX;
    o->chord->repair.bucket.level = 0;
    for (size_t i = 0; i < 1000; i++) {
        one_wait(o, 1000);
        one_forget(o);
    }
    cr_assert_eq(r->says_n + r->gives_n, 0, "with bandwidth they become empty");
    cr_assert(!r->again, "and rounds begin");
    one_free(o);
}
