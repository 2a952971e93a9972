/* How lookups travel (route.c), and fingers (finger.c). */
#include <criterion/criterion.h>

#include <string.h>

#include "byhand.h"

TestSuite(route, .init = hand_set_up, .fini = hand_tear_down);
TestSuite(finger, .init = hand_set_up, .fini = hand_tear_down);

static struct wire_r_find find_of(enum ring_find_kind kind, unsigned key, struct peal_id *path,
                                  size_t n)
{
    return (struct wire_r_find){
        .op = 77, .kind = (uint8_t)kind, .spare = 2, .key = id(key), .path = {path, n}};
}

static void hear_find(unsigned from, const struct wire_r_find *m)
{
    ring__on_find(&ring, linked(from), m);
    collect();
}

static void assert_closed(int err, const char *what)
{
    cr_assert_eq(said_n, 1, "%s: one thing is done", what);
    cr_assert_eq(said[0].type, 0, "%s: the link is closed", what);
    cr_assert_eq(said[0].err, err, "%s: %s", what, err_name(said[0].err));
}

static void assert_refused(unsigned to, int code, uint64_t loops, const char *what)
{
    cr_assert_eq(said_n, 1, "%s: one answer, no acknowledgement", what);
    const struct said *s = assert_said(0, to, WIRE_r_found, what);
    cr_assert_eq(s->m.r_found.code, -code, "%s: %s", what, err_name(-(int)s->m.r_found.code));
    cr_assert_eq(s->m.r_found.at, s->m.r_found.path.n - 1, "%s: for the hop before", what);
    cr_assert_eq(ring.count.loops, loops, "%s: counted", what);
}

Test(route, hands_on)
{
    be_classic();
    struct peal_id path[] = {id(0x10), id(0x18)};
    linked(0x18);
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x55, path, 2);
    hear_find(0x18, &m);
    cr_assert_eq(said_n, 2, "an acknowledgement and the lookup");
    const struct said *ack = assert_said(0, 0x18, WIRE_r_find_ack, "first");
    cr_assert(ack->m.r_find_ack.op == 77 && id_eq(&ack->m.r_find_ack.asker, &path[0]), "which");
    const struct wire_r_find *f = &assert_said(1, 0x58, WIRE_r_find, "then")->m.r_find;
    struct peal_id self = id(SELF), key = id(0x55);
    cr_assert(f->op == 77 && f->spare == 2 && id_eq(&f->key, &key), "unchanged");
    cr_assert_eq(f->path.n, 3, "this node has joined the path");
    cr_assert(id_eq(&f->path.v[0], &path[0]) && id_eq(&f->path.v[1], &path[1]) &&
                  id_eq(&f->path.v[2], &self),
              "at its end");
    cr_assert_eq(ring.flights.used, 1, "and is watched");
    cr_assert_eq(know(0x58)->uses, 1, "the hop was of use");
    cr_assert(route_needs(&ring, &know(0x58)->contact.id), "its link is needed");

    struct wire_r_find_ack back = {.op = 77, .asker = path[0]};
    ring.now += 1000;
    ring__on_find_ack(&ring, linked(0x50), &back);
    cr_assert_eq(ring.flights.used, 1, "somebody else's word does not count");
    ring__on_find_ack(&ring, linked(0x58), &back);
    cr_assert_eq(ring.flights.used, 0, "it was taken over");
    cr_assert_eq(linked(0x58)->samples_n, 1, "and gave a round trip");
    cr_assert_eq(linked(0x58)->samples[0], 1000, "of a millisecond");
    cr_assert_not(route_needs(&ring, &know(0x58)->contact.id), "needed no longer");
}

Test(route, a_second_copy_goes_no_further)
{
    be_classic();
    struct peal_id path[] = {id(0x10), id(0x18)}, other[] = {id(0x10), id(0x20)};
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x55, path, 2);
    hear_find(0x18, &m);
    cr_assert_eq(said_n, 2, "the first is handed on");
    m = find_of(RING_FIND_OWNER, 0x55, other, 2);
    hear_find(0x20, &m);
    cr_assert_eq(said_n, 1, "the second");
    assert_said(0, 0x20, WIRE_r_find_ack, "is only acknowledged");
    other[0] = id(0x11);
    m = find_of(RING_FIND_OWNER, 0x55, other, 2);
    hear_find(0x20, &m);
    cr_assert_eq(said_n, 2, "another asker's is another lookup");
    struct wire_r_find_ack back = {.op = 77, .asker = path[0]};
    ring__on_find_ack(&ring, linked(0x58), &back);
    other[0] = id(0x10);
    m = find_of(RING_FIND_OWNER, 0x55, other, 2);
    hear_find(0x20, &m);
    cr_assert_eq(said_n, 2, "once it is gone, a copy is like any lookup");
}

Test(route, answers)
{
    be_classic();
    struct peal_id path[] = {id(0x10), id(0x18)}, self = id(SELF);
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x38, path, 2);
    hear_find(0x18, &m);
    cr_assert_eq(said_n, 1, "the answer is acknowledgement enough");
    const struct wire_r_found *f = &assert_said(0, 0x18, WIRE_r_found, "owner")->m.r_found;
    struct peal_id prdc = id(0x30);
    cr_assert(f->code == 0 && f->op == 77 && f->at == 1 && f->path.n == 3, "form");
    cr_assert(id_eq(&f->path.v[2], &self), "the path ends here");
    cr_assert(f->owner.n == 1 && id_eq(&f->owner.v[0].id, &self), "the owner");
    cr_assert(f->predecessor.n == 1 && id_eq(&f->predecessor.v[0].id, &prdc), "who is before it");

    m = find_of(RING_FIND_PLACE, 0x48, path, 2);
    hear_find(0x18, &m);
    f = &assert_said(0, 0x18, WIRE_r_found, "place")->m.r_found;
    struct peal_id after = id(0x50);
    cr_assert(id_eq(&f->owner.v[0].id, &self) && id_eq(&f->predecessor.v[0].id, &after),
              "after this node, before its first successor");

    path[0] = id(0x50);
    m = find_of(RING_FIND_OWNER, 0x48, path, 2);
    hear_find(0x18, &m);
    f = &assert_said(0, 0x18, WIRE_r_found, "for another")->m.r_found;
    cr_assert(id_eq(&f->owner.v[0].id, &path[0]), "the owner is who was passed");
    cr_assert_eq(f->path.n, 3, "and is not in the path twice");
}

Test(route, refuses)
{
    be_classic();
    linked(0x18);
    struct peal_id loop[] = {id(SELF), id(0x18)};
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x55, loop, 2);
    hear_find(0x18, &m);
    assert_refused(0x18, PEAL_E_REFUSED, 1, "a loop");

    linked(0x20);
    struct peal_id wrong[] = {id(0x10), id(0x20)};
    m = find_of(RING_FIND_OWNER, 0x19, wrong, 2);
    hear_find(0x20, &m);
    assert_refused(0x20, PEAL_E_REFUSED, 2, "0x20 was beyond the key, and this node is farther");

    struct peal_id past[] = {id(0x18)};
    m = find_of(RING_FIND_PLACE, 0x28, past, 1);
    hear_find(0x18, &m);
    assert_refused(0x18, PEAL_E_REFUSED, 3, "a place is not looked for beyond it");

    struct peal_id full[WIRE_PATH_MAX];
    for (unsigned i = 0; i < WIRE_PATH_MAX; i++)
        full[i] = id(0x80 + i);
    full[WIRE_PATH_MAX - 1] = id(0x18);
    m = find_of(RING_FIND_OWNER, 0x55, full, WIRE_PATH_MAX);
    hear_find(0x18, &m);
    assert_refused(0x18, PEAL_E_TOO_LONG, 4, "too many hops");
    full[WIRE_PATH_MAX - 2] = id(0x18);
    m = find_of(RING_FIND_OWNER, 0x55, full, WIRE_PATH_MAX - 1);
    hear_find(0x18, &m);
    assert_said(1, 0x58, WIRE_r_find, "one hop less is handed on");

    ring.phase = RING_SEEKING;
    m = find_of(RING_FIND_OWNER, 0x55, past, 1);
    hear_find(0x18, &m);
    assert_refused(0x18, PEAL_E_REFUSED, 4, "not a member: no fault of the lookup's");
}

Test(route, no_room_for_another)
{
    be_classic();
    struct peal_id path[] = {id(0x18)};
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x55, path, 1);
    for (unsigned i = 0; i < FLIGHTS; i++) {
        m.op = i;
        hear_find(0x18, &m);
        cr_assert_eq(said_n, 2, "lookup %u is handed on", i);
    }
    m.op = FLIGHTS;
    hear_find(0x18, &m);
    assert_refused(0x18, PEAL_E_BUSY, 0, "one too many");
    m.key = id(0x38);
    hear_find(0x18, &m);
    cr_assert_eq(assert_said(0, 0x18, WIRE_r_found, "own")->m.r_found.code, 0,
                 "what this node owns it can always say");
}

struct forged {
    const char *what;
    size_t path_n;
    unsigned path[3];
    uint8_t kind, spare;
};

Test(route, forged_lookups)
{
    static const struct forged cases[] = {
        {"no path", 0, {0}, 0, 2},
        {"the sender is not its end", 2, {0x18, 0x10}, 0, 2},
        {"somebody is in it twice", 3, {0x10, 0x10, 0x18}, 0, 2},
        {"the sender is in it twice", 3, {0x18, 0x10, 0x18}, 0, 2},
        {"nobody is in it", 2, {0, 0x18}, 0, 2},
        {"an unknown kind", 1, {0x18}, 2, 2},
        {"too many hedges", 1, {0x18}, 0, SPARE_HEDGES + 1},
    };
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        const struct forged *c = &cases[i];
        hand_tear_down();
        hand_set_up();
        be_classic();
        struct peal_id path[3];
        for (size_t k = 0; k < c->path_n; k++)
            path[k] = id(c->path[k]);
        struct wire_r_find m = find_of((enum ring_find_kind)c->kind, 0x55, path, c->path_n);
        m.spare = c->spare;
        hear_find(0x18, &m);
        assert_closed(PEAL_E_MALFORMED, c->what);
        cr_assert_eq(ring.flights.used, 0, "%s: and it goes nowhere", c->what);
    }
}

/* ---- answers on their way back ---- */

static struct peal_id back_path[] = {{{0x10}}, {{0x18}}, {{SELF}}, {{0x58}}, {{0x55}}};
static struct contact owner_contact;
static struct wire_contact owner_view;

static struct wire_r_found found_of(uint64_t op, uint8_t at)
{
    struct peal_id owner = id(0x55);
    owner_contact = contact_of(&owner);
    owner_view = ring__contact_view(&owner_contact);
    return (struct wire_r_found){.op = op,
                                 .kind = RING_FIND_OWNER,
                                 .key = id(0x54),
                                 .owner = {&owner_view, 1},
                                 .at = at,
                                 .path = {back_path, PEAL_COUNT(back_path)}};
}

static void hear_found(unsigned from, const struct wire_r_found *m)
{
    ring__on_found(&ring, linked(from), m);
    collect();
}

Test(route, passes_answers_back)
{
    be(RING_LARGE, four, 4);
    linked(0x18), linked(0x10);
    struct wire_r_found m = found_of(77, 2);
    hear_found(0x58, &m);
    cr_assert_eq(said_n, 1, "one message");
    const struct wire_r_found *f = &assert_said(0, 0x18, WIRE_r_found, "back")->m.r_found;
    cr_assert(f->at == 1 && f->path.n == 5 && f->owner.n == 1, "one place nearer to the asker");
    struct peal_id owner = id(0x55);
    cr_assert_not_null(book_find(&ring, &owner), "and the owner is known from now on");
    unlink_node(0x18);
    m = found_of(77, 2);
    hear_found(0x55, &m);
    f = &assert_said(0, 0x10, WIRE_r_found, "skipping")->m.r_found;
    cr_assert_eq(f->at, 0, "whose link is gone is left out, on either side");
    unlink_node(0x10);
    hear_found(0x58, &m);
    cr_assert_eq(said_n, 0, "nobody to tell");
}

Test(route, hints_off_learns_nothing_on_the_way)
{
    be_classic();
    linked(0x18);
    struct wire_r_found m = found_of(77, 2);
    hear_found(0x58, &m);
    assert_said(0, 0x18, WIRE_r_found, "back");
    struct peal_id owner = id(0x55);
    cr_assert_null(book_find(&ring, &owner), "the book has what classic Chord has");
}

Test(route, forged_answers)
{
    for (int c = 0;; c++) {
        hand_tear_down();
        hand_set_up();
        be(RING_LARGE, four, 4);
        linked(0x18);
        struct wire_r_found m = found_of(77, 2);
        struct peal_id path[5];
        unsigned from = 0x58;
        memcpy(path, back_path, sizeof path);
        m.path.v = path;
        const char *what = NULL;
        switch (c) {
        case 0:
            what = "at beyond the path", m.at = 5;
            break;
        case 1:
            what = "at another's place", m.at = 1;
            break;
        case 2:
            what = "not from the path", from = 0x60;
            break;
        case 3:
            what = "from the asker's side", from = 0x18;
            break;
        case 4:
            what = "somebody twice", path[4] = id(0x18);
            break;
        case 5:
            what = "no path", m.path.n = 0;
            break;
        case 6:
            what = "an owner whom it has not passed", path[4] = id(0x56);
            break;
        case 7:
            what = "no owner", m.owner.n = 0;
            break;
        case 8:
            what = "an owner and an error", m.code = -PEAL_E_UNAVAILABLE;
            break;
        case 9:
            what = "an unknown code", m.code = 999, m.owner.n = 0;
            break;
        case 10:
            what = "an unknown kind", m.kind = 2;
            break;
        case 11:
            what = "a place without a neighbour", m.kind = RING_FIND_PLACE;
            break;
        default:
            return;
        }
        hear_found(from, &m);
        assert_closed(PEAL_E_MALFORMED, what);
    }
}

/* ---- lookups that begin here ---- */

static void begin(unsigned key, uint64_t token, uint64_t timeout_us)
{
    struct peal_id k = id(key);
    cr_assert_eq(route_begin(&ring, FIND_FOR_APP, RING_FIND_OWNER, &k, NULL, token, timeout_us), 0,
                 "begun");
    collect();
}

static void let_time_come(uint64_t at)
{
    cr_assert_geq(at, ring.now, "time does not go back");
    ring.now = at;
    ring.due[PART_ROUTE] = UINT64_MAX;
    route_timer(&ring);
    collect();
}

/* An answer from 0x55, by way of `hop`. */
static void answer_by(unsigned hop, uint64_t op)
{
    static struct peal_id path[3];
    path[0] = id(SELF), path[1] = id(hop), path[2] = id(0x55);
    struct wire_r_found m = found_of(op, 0);
    m.path = (struct wire_ids){path, 3};
    hear_found(hop, &m);
}

Test(route, finds)
{
    be_classic();
    begin(0x38, 5, SECOND);
    cr_assert(ended.n == 1 && ended.err == 0 && ended.token == 5, "its own: at once");
    cr_assert(ended.path_n == 1 && ended.owner.b[0] == SELF, "no hop");
    cr_assert_eq(ring.finds.used, 0, "and over");

    begin(0x54, 6, SECOND);
    const struct wire_r_find *f = &assert_said(0, 0x58, WIRE_r_find, "handed on")->m.r_find;
    cr_assert(f->path.n == 1 && f->spare == SPARE_HEDGES, "as it begins");
    uint64_t op = f->op;
    ring.now += 2000;
    answer_by(0x58, op);
    cr_assert(ended.n == 2 && ended.err == 0 && ended.token == 6, "found");
    cr_assert(ended.path_n == 3 && ended.owner.b[0] == 0x55, "the owner is told");
    cr_assert(ring.finds.used == 0 && ring.flights.used == 0, "nothing is left");
    cr_assert_eq(linked(0x58)->samples_n, 1, "the answer was an acknowledgement");
    struct peal_id owner = id(0x55);
    cr_assert_not_null(book_find(&ring, &owner), "whoever asked knows the owner");
    answer_by(0x58, op);
    cr_assert_eq(ended.n, 2, "a second answer is not told");
    cr_assert_eq(said_n, 0, "nor a fault");
}

Test(route, does_not_tell_what_is_forged)
{
    be_classic();
    begin(0x54, 6, SECOND);
    uint64_t op = said[0].m.r_find.op;
    struct peal_id path[] = {id(SELF), id(0x58), id(0x55)};
    struct wire_r_found m = found_of(op, 0);
    m.path = (struct wire_ids){path, 3};
    memset(owner_contact.signature, FORGED, sizeof owner_contact.signature);
    owner_view = ring__contact_view(&owner_contact);
    hear_found(0x58, &m);
    cr_assert_eq(ended.n, 0, "a forged contact is not told");
    m = found_of(op, 0);
    m.path = (struct wire_ids){path, 3};
    m.key = id(0x53);
    hear_found(0x58, &m);
    cr_assert_eq(ended.n, 0, "nor the answer to another question");
    m.key = id(0x54);
    hear_found(0x58, &m);
    cr_assert_eq(ended.n, 1, "the real one is");
}

Test(route, tells_the_owner_that_was_passed)
{
    be_classic();
    begin(0x54, 6, SECOND);
    uint64_t op = said[0].m.r_find.op;
    struct peal_id path[] = {id(SELF), id(0x55), id(0x58)};
    struct wire_r_found m = found_of(op, 0);
    m.path = (struct wire_ids){path, 3};
    hear_found(0x58, &m);
    cr_assert(ended.n == 1 && ended.owner.b[0] == 0x55, "found");
    cr_assert(ended.path_n == 4 && ended.path[3].b[0] == 0x55, "the path ends with the owner");
}

Test(route, waits_for_membership)
{
    be_classic();
    ring.phase = RING_SEEKING;
    begin(0x54, 6, SECOND);
    cr_assert(said_n == 0 && ended.n == 0 && ring.finds.used == 1, "it waits");
    ring.phase = RING_LARGE;
    route_ready(&ring);
    collect();
    assert_said(0, 0x58, WIRE_r_find, "begun");
    ring.phase = RING_SEEKING;
    hand_tear_down();
    hand_set_up();
    be_classic();
    ring.phase = RING_SEEKING;
    begin(0x54, 7, SECOND);
    cr_assert_eq(ring.due[PART_ROUTE], T0 + SECOND, "it wakes for nothing but its end");
    let_time_come(T0 + SECOND);
    cr_assert(ended.n == 1 && ended.err == PEAL_E_UNAVAILABLE, "in vain");
}

Test(route, tries_again_by_another_hop)
{
    be_classic();
    linked(0x90);
    finger(157, 0x90);
    begin(0xa0, 6, 3 * SECOND);
    uint64_t op = said[0].m.r_find.op;
    assert_said(0, 0x90, WIRE_r_find, "the nearest");
    struct wire_r_find_ack ack = {.op = op, .asker = id(SELF)};
    ring__on_find_ack(&ring, linked(0x90), &ack);
    cr_assert_eq(ring.due[PART_ROUTE] > T0, true, "not at once");
    let_time_come(T0 + SECOND);
    const struct wire_r_find *f = &assert_said(0, 0x68, WIRE_r_find, "another")->m.r_find;
    cr_assert_eq(f->op, op + 1, "each try has its number");
    struct wire_r_found no = {.op = op,
                              .code = -PEAL_E_UNAVAILABLE,
                              .key = id(0xa0),
                              .path = {(struct peal_id[]){id(SELF), id(0x90)}, 2}};
    hear_found(0x90, &no);
    cr_assert_eq(ring.finds.used, 1, "the first one's failure is no news");
    struct peal_id path[] = {id(SELF), id(0x90), id(0x55)};
    struct wire_r_found m = found_of(op, 0);
    m.key = id(0xa0);
    m.path = (struct wire_ids){path, 3};
    hear_found(0x90, &m);
    cr_assert(ended.n == 1 && ended.err == 0, "its late answer is");
    cr_assert(ring.finds.used == 0 && ring.flights.used == 0, "and nothing is left");
}

Test(route, ends_unavailable)
{
    be_classic();
    begin(0xa0, 6, 30 * SECOND);
    uint64_t end = T0 + 30 * (uint64_t)SECOND;
    int turns = 0;
    while (ended.n == 0 && turns++ < 1000) {
        cr_assert(ring.due[PART_ROUTE] != UINT64_MAX, "there is something to wait for");
        let_time_come(ring.due[PART_ROUTE]);
    }
    cr_assert(ended.n == 1 && ended.err == PEAL_E_UNAVAILABLE, "nobody answered");
    cr_assert_eq(ring.now, end, "in the end, not before");
    cr_assert_eq(ring.flights.used, 0, "nothing is left");
    cr_assert_lt(ring.count.forwards, FIND_TRIES_MAX * (HOPS_TRIED_MAX + 1), "bounded");
    cr_assert_gt(ring.count.timeouts, 0, "hops have timed out");
}

Test(route, too_long_is_told)
{
    be_classic();
    begin(0xa0, 6, SECOND);
    while (ended.n == 0) {
        uint64_t op = said[0].m.r_find.op;
        unsigned to = ring.links[said[0].link - 1000].peer.b[0];
        struct wire_r_found no = {.op = op,
                                  .code = -PEAL_E_TOO_LONG,
                                  .key = id(0xa0),
                                  .path = {(struct peal_id[]){id(SELF), id(to)}, 2}};
        hear_found(to, &no);
        cr_assert_eq(said_n, 0, "not at once");
        while (said_n == 0 && ended.n == 0)
            let_time_come(ring.due[PART_ROUTE]);
    }
    cr_assert(ended.n == 1 && ended.err == PEAL_E_TOO_LONG, "too many hops");
}

Test(route, through_a_given_hop)
{
    be_classic();
    ring.phase = RING_SEEKING;
    linked(0x90);
    struct peal_id via = id(0x90), self = id(SELF);
    cr_assert_eq(route_begin(&ring, FIND_FOR_APP, RING_FIND_PLACE, &self, &via, 3, SECOND), 0,
                 "not a member, and yet");
    collect();
    const struct wire_r_find *f = &assert_said(0, 0x90, WIRE_r_find, "through it")->m.r_find;
    cr_assert(f->kind == RING_FIND_PLACE && id_eq(&f->key, &self), "its place");
    struct peal_id path[] = {id(SELF), id(0x90)};
    struct wire_r_found no = {.op = f->op,
                              .kind = RING_FIND_PLACE,
                              .code = -PEAL_E_UNAVAILABLE,
                              .key = self,
                              .path = {path, 2}};
    hear_found(0x90, &no);
    cr_assert(ended.n == 0 && said_n == 0, "not yet given up");
    let_time_come(ring.due[PART_ROUTE]);
    assert_said(0, 0x90, WIRE_r_find, "the same hop again");
    unlink_node(0x90);
    route_dead(&ring, &via);
    collect();
    cr_assert(ended.n == 1 && ended.err == PEAL_E_UNAVAILABLE, "there is no other");
    cr_assert(ring.flights.used == 0 && ring.finds.used == 0, "nothing is left");
}

/* ---- late hops ---- */

static uint64_t hand_on_to_58(uint8_t spare)
{
    static struct peal_id path[] = {{{0x18}}};
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x55, path, 1);
    for (int i = 0; i < SAMPLES_FEW; i++)
        ring__link_sample(linked(0x58), 10 * MS);
    linked(0x58)->trips = (struct trips){.srtt_us = 10 * MS};
    m.spare = spare;
    hear_find(0x18, &m);
    assert_said(1, 0x58, WIRE_r_find, "handed on");
    return ring.due[PART_ROUTE];
}

Test(route, hedges_once)
{
    be_classic();
    cr_assert_eq(hand_on_to_58(2), T0 + 10 * MS, "due at the peer's own percentile");
    let_time_come(T0 + 10 * MS);
    cr_assert_eq(said_n, 1, "one hedge");
    cr_assert_eq(assert_said(0, 0x50, WIRE_r_find, "second best")->m.r_find.spare, 1, "one less");
    cr_assert_eq(ring.count.hedges, 1, "counted");
    let_time_come(T0 + 20 * MS);
    cr_assert_eq(said_n, 0, "once");
    struct wire_r_find_ack ack = {.op = 77, .asker = id(0x18)};
    ring__on_find_ack(&ring, linked(0x50), &ack);
    cr_assert_not(route_needs(&ring, &know(0x58)->contact.id), "either may take it over");
    cr_assert_eq(linked(0x50)->samples_n, 0, "when the second was sent is not kept");
    cr_assert_eq(ring.flights.used, 1, "of the first the round trip is awaited");
    let_time_come(T0 + 25 * MS);
    cr_assert_eq(said_n, 0, "and nothing else");
    ring__on_find_ack(&ring, linked(0x58), &ack);
    cr_assert_eq(linked(0x58)->samples_n, SAMPLES_FEW + 1, "late as it is");
    cr_assert_eq(linked(0x58)->samples[SAMPLES_FEW], 25 * MS, "it counts");
    cr_assert_eq(ring.flights.used, 0, "over");

    hand_on_to_58(2);
    let_time_come(T0 + 50 * MS);
    cr_assert_eq(said_n, 1, "hedged again");
    ring__on_find_ack(&ring, linked(0x50), &ack);
    let_time_come(ring.due[PART_ROUTE]);
    cr_assert(said_n == 0 && ring.flights.used == 0, "one that never answers is not tried again");
}

Test(route, without_spare_it_waits)
{
    be_classic();
    cr_assert_eq(hand_on_to_58(0), T0 + 30 * MS, "until it counts as not answering");
    let_time_come(T0 + 30 * MS);
    assert_said(0, 0x60, WIRE_r_find, "then the next");
    cr_assert_eq(ring.count.timeouts, 1, "counted");
    let_time_come(ring.due[PART_ROUTE]);
    assert_said(0, 0x68, WIRE_r_find, "and the next");
    let_time_come(ring.due[PART_ROUTE]);
    assert_said(0, 0x50, WIRE_r_find, "and who is before the key");
    let_time_come(ring.due[PART_ROUTE]);
    const struct wire_r_found *f = &assert_said(0, 0x18, WIRE_r_found, "no way")->m.r_found;
    cr_assert(f->code == -PEAL_E_UNAVAILABLE && f->path.n == 2 && f->at == 0, "back");
    cr_assert_eq(ring.flights.used, 0, "over");
}

Test(route, a_refusal_goes_another_way)
{
    be_classic();
    hand_on_to_58(2);
    struct peal_id path[] = {id(0x18), id(SELF)};
    struct wire_r_found no = {
        .op = 77, .code = -PEAL_E_REFUSED, .key = id(0x55), .at = 1, .path = {path, 2}};
    hear_found(0x60, &no);
    cr_assert_eq(said_n, 0, "not from one that was not asked");
    hear_found(0x58, &no);
    assert_said(0, 0x50, WIRE_r_find, "another way, before the key");
    no.code = -PEAL_E_TOO_LONG;
    hear_found(0x50, &no);
    const struct wire_r_found *f = &assert_said(0, 0x18, WIRE_r_found, "too long")->m.r_found;
    cr_assert(f->code == -PEAL_E_TOO_LONG && f->at == 0, "that goes back to the asker");
    cr_assert_eq(ring.flights.used, 0, "over");
}

Test(route, a_dead_hop)
{
    be_classic();
    hand_on_to_58(2);
    unlink_node(0x58);
    dies(0x58);
    struct peal_id dead = id(0x58);
    route_dead(&ring, &dead);
    collect();
    assert_said(0, 0x60, WIRE_r_find, "at once the next");
    route_dead(&ring, &dead);
    collect();
    cr_assert_eq(said_n, 0, "that is all");
}

Test(route, a_dead_hop_that_had_taken_over)
{
    be_classic();
    begin(0x54, 6, SECOND);
    struct wire_r_find_ack ack = {.op = said[0].m.r_find.op, .asker = id(SELF)};
    ring__on_find_ack(&ring, linked(0x58), &ack);
    unlink_node(0x58);
    dies(0x58);
    struct peal_id dead = id(0x58);
    route_dead(&ring, &dead);
    collect();
    assert_said(0, 0x60, WIRE_r_find, "begun again at once");
}

/* ---- links that are waited for ---- */

/* The owner of 0x8c is 0x90, which everyone knows and nobody is linked with. */
static struct node *owner_without_link(void)
{
    be(RING_LARGE, four, 4);
    ring.size = 7;
    return know(0x90);
}

/* Its dial begins now, as dial.c does it. */
static void dials(struct node *n)
{
    cr_assert(n->dial_wanted, "a link to it is seen to");
    n->dialling = true;
    n->open = n->begun = 1;
    n->dial_us = n->until_us = ring.now + DIAL_GIVE_UP_US;
    ring.dials.under_way++;
}

static void no_dial(struct node *n)
{
    n->dialling = false;
    n->open = n->begun = 0;
    n->dial_us = 0;
    ring.dials.under_way--;
}

Test(route, waits_for_a_link)
{
    struct node *owner = owner_without_link();
    begin(0x8c, 6, 10 * SECOND);
    cr_assert_eq(said_n, 0, "the owner is known, and not linked");
    cr_assert(owner->dial_wanted, "a link to it is under way");
    cr_assert(route_needs(&ring, &owner->contact.id), "and needed");
    cr_assert_eq(ring.due[PART_ROUTE], T0 + DIAL_TRIPS * P95_FIRST_US,
                 "before any dial was measured: for some round trips");
    let_time_come(T0 + DIAL_TRIPS * P95_FIRST_US - MS);
    cr_assert_eq(said_n, 0, "it is not late yet");
    link_node(owner);
    route_up(&ring, &owner->contact.id);
    collect();
    assert_said(0, 0x90, WIRE_r_find, "one hop");
    cr_assert_eq(ring.count.hedges, 0, "no hedge");
    cr_assert_eq(ring.count.find_timeouts, 0, "and nothing was late");
}

Test(route, a_dial_is_late_after_what_dials_take)
{
    struct node *owner = owner_without_link();
    for (int i = 0; i < SAMPLES; i++)
        ring__trips_add(&ring.dials.took, 30 * MS);
    uint64_t limit = dial_limit(&ring);
    cr_assert(limit >= 30 * MS && limit < 40 * MS, "%llu us", (unsigned long long)limit);
    begin(0x8c, 6, 10 * SECOND);
    dials(owner);
    cr_assert_eq(ring.due[PART_ROUTE], T0 + limit, "as long as dials take");
    let_time_come(T0 + limit - 10 * MS);
    begin(0x8d, 7, 10 * SECOND);
    cr_assert_eq(said_n, 0, "the second lookup waits for the same dial");
    let_time_come(T0 + limit);
    cr_assert_eq(said_n, 2, "and no longer than the first");
    assert_said(0, 0x68, WIRE_r_find, "over an open link");
    assert_said(1, 0x68, WIRE_r_find, "over an open link");
    cr_assert_eq(ring.count.find_timeouts, 2, "both count");
    begin(0x8e, 8, 10 * SECOND);
    assert_said(0, 0x68, WIRE_r_find, "what is late is not waited for at all");
}

Test(route, goes_on_without_the_link)
{
    struct node *owner = owner_without_link();
    begin(0x8c, 6, 10 * SECOND);
    let_time_come(T0 + DIAL_TRIPS * P95_FIRST_US);
    assert_said(0, 0x68, WIRE_r_find, "over an open link");
    cr_assert_eq(ring.count.hedges, 0, "nothing was sent twice");
    cr_assert_eq(ring.count.find_timeouts, 1, "the link was waited for in vain");
    link_node(owner);
    route_up(&ring, &owner->contact.id);
    collect();
    cr_assert_eq(said_n, 0, "it is on its way already");
}

Test(route, its_next_try_comes_later_by_the_dial)
{
    owner_without_link();
    for (int i = 0; i < SAMPLES; i++)
        ring.took.us[i] = 2 * MS;
    ring.took.n = SAMPLES; /* lookups over links: 20 ms are enough for one */
    begin(0x8c, 6, 10 * SECOND);
    let_time_come(T0 + 100 * MS);
    cr_assert_eq(said_n, 0, "the first try is waiting still");
    const struct find *f;
    uint32_t at = 0, handle;
    f = slab_each(&ring.finds, &at, &handle);
    cr_assert_not_null(f, "under way");
    cr_assert_eq(f->tries, 1, "and no second one was begun");
}

Test(route, where_it_cannot_be_dialled_none_is_waited_for)
{
    struct node *owner = owner_without_link();
    owner->dial_us = T0 + SECOND; /* its last dial failed */
    begin(0x8c, 6, 10 * SECOND);
    assert_said(0, 0x68, WIRE_r_find, "a pause between dials");
    owner->dial_us = 0;
    ring.dials.under_way = DIALS_AT_ONCE;
    begin(0x8d, 7, 10 * SECOND);
    assert_said(0, 0x68, WIRE_r_find, "too many dials are under way");
    ring.dials.under_way = 0;
    begin(0x8e, 8, 10 * SECOND);
    cr_assert_eq(said_n, 0, "now it may be dialled");
    dials(owner);
    no_dial(owner);
}

/* Nobody here is about to talk to the owner. */
Test(route, on_its_way_a_lookup_waits_for_no_link)
{
    struct node *owner = owner_without_link();
    struct peal_id path[] = {id(0x18)};
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x8c, path, 1);
    hear_find(0x18, &m);
    cr_assert_eq(said_n, 2, "acknowledged, and handed on");
    assert_said(1, 0x68, WIRE_r_find, "over an open link");
    cr_assert_not(owner->dial_wanted, "nobody is dialled");
}

Test(route, without_room_for_links_none_is_waited_for)
{
    owner_without_link();
    ring.links_cap = ring.links_n;
    begin(0x8c, 6, 10 * SECOND);
    assert_said(0, 0x68, WIRE_r_find, "all of them are needed: over an open one at once");
    linked(0xd0)->used_us = ring.now; /* nobody needs it */
    ring.links_cap = ring.links_n;
    begin(0x8d, 7, 10 * SECOND);
    assert_said(0, 0x68, WIRE_r_find, "its place is not to be had so soon after it was used");
    let_time_come(T0 + LINK_SPARE_US);
    begin(0x8e, 8, 10 * SECOND);
    cr_assert_eq(said_n, 0, "but it is after a while");
    cr_assert(know(0x90)->dial_wanted, "the owner is dialled");
}

/* Those that this node opened for lookups go first; the peers' fingers last: to be unused for long
 * and heard over all the same is what tells them. */
Test(route, fingers_of_others_give_way_last)
{
    owner_without_link();
    ring.now += 2 * LINK_IDLE_US;
    static const unsigned order[] = {0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5};
    struct link *l[PEAL_COUNT(order)];
    for (unsigned i = 0; i < PEAL_COUNT(order); i++) {
        l[i] = linked(order[i]);
        l[i]->heard_us = ring.now;
        l[i]->used_us = ring.now - 20 * SECOND + i * SECOND;
        l[i]->dialled = i < 2;
    }
    l[4]->used_us = l[5]->used_us = T0; /* only the peers can be in need of these */
    l[4]->dialled = true;
    l[5]->used_us++;
    for (unsigned i = 0; i < PEAL_COUNT(order); i++) {
        const struct link *least = ring__spare(&ring);
        cr_assert_not_null(least, "number %u gives way", i);
        cr_assert_eq(least->peer.b[0], order[i], "number %u: %02x", i, least->peer.b[0]);
        know(order[i])->wanted = true;
    }
    cr_assert_null(ring__spare(&ring), "the rest is needed");
}

/* ---- nodes that were silent ---- */

Test(route, who_was_silent_is_passed_by_until_it_is_heard)
{
    be_classic();
    cr_assert_eq(hand_on_to_58(0), T0 + 30 * MS, "until it counts as not answering");
    let_time_come(T0 + 30 * MS);
    assert_said(0, 0x60, WIRE_r_find, "then the next");
    struct link *silent = linked(0x58);
    cr_assert(ring__doubted(silent), "it is in doubt");
    cr_assert_eq(silent->asked_us, ring.now, "and pinged");
    cr_assert_eq(ring.count.find_timeouts, 1, "counted");
    struct peal_id path[] = {id(0x18)};
    struct wire_r_find m = find_of(RING_FIND_OWNER, 0x54, path, 1);
    m.op = 78;
    hear_find(0x18, &m);
    assert_said(1, 0x60, WIRE_r_find, "the next lookup does not wait for it again");
    silent->heard_us = ++ring.now; /* its pong */
    cr_assert_not(ring__doubted(silent), "it is there again");
    m.op = 79;
    hear_find(0x18, &m);
    assert_said(1, 0x58, WIRE_r_find, "and asked as before");
}

Test(route, one_lost_lookup_raises_no_doubt)
{
    be_classic();
    hand_on_to_58(0);
    linked(0x58)->heard_us = T0 + MS; /* a ping of its own */
    let_time_come(T0 + 30 * MS);
    assert_said(0, 0x60, WIRE_r_find, "the lookup goes on");
    cr_assert_not(ring__doubted(linked(0x58)), "but it lives, as was heard meanwhile");
}

/* ---- fingers ---- */

Test(finger, looked_up_from_the_top)
{
    be_classic();
    finger_start(&ring);
    cr_assert_eq(ring.due[PART_FINGER], T0, "at once");
    finger_timer(&ring);
    collect();
    struct peal_id self = id(SELF), target = id_add_pow2(&self, 159);
    const struct wire_r_find *f = &assert_said(0, 0x68, WIRE_r_find, "the highest")->m.r_find;
    cr_assert(id_eq(&f->key, &target), "the far side of the ring");
    cr_assert_eq(ring.fingers.low, 158, "0x40 + 0x40 lies beyond 0x68, 0x40 + 0x20 does not");
    finger_timer(&ring);
    collect();
    cr_assert_eq(said_n, 0, "one at a time");
    struct peal_id path[] = {self, id(0x68), id(0xc8)};
    struct contact k = contact_of(&path[2]);
    struct wire_contact w = ring__contact_view(&k);
    struct wire_r_found m = {.op = f->op, .key = target, .owner = {&w, 1}, .path = {path, 3}};
    ring.due[PART_FINGER] = UINT64_MAX;
    hear_found(0x68, &m);
    cr_assert(id_eq(&ring.fingers.at[159], &path[2]), "found");
    cr_assert(finger_needs(&ring, &path[2]), "its link is needed");
    cr_assert(know(0xc8)->dial_wanted, "and opened");
    cr_assert_eq(ring.due[PART_FINGER], T0, "the next follows at once");
    finger_timer(&ring);
    collect();
    target = id_add_pow2(&self, 158);
    f = &assert_said(0, 0x68, WIRE_r_find, "the next")->m.r_find;
    cr_assert(id_eq(&f->key, &target), "one bit less");
    path[2] = id(0x80);
    k = contact_of(&path[2]);
    w = ring__contact_view(&k);
    m = (struct wire_r_found){.op = f->op, .key = target, .owner = {&w, 1}, .path = {path, 3}};
    ring.due[PART_FINGER] = UINT64_MAX;
    hear_found(0x68, &m);
    cr_assert_geq(ring.due[PART_FINGER], T0 + FINGER_EVERY * SECOND / 2, "all set: now and then");
    cr_assert_eq(ring.fingers.next, 159, "from the top again");
}

Test(finger, from_the_book)
{
    be(RING_LARGE, four, 4);
    know(0x80), know(0xc8), know(0xd0);
    ring.size = 9;
    finger_start(&ring);
    finger_timer(&ring);
    collect();
    cr_assert_eq(said_n, 0, "no lookup is needed");
    struct peal_id c8 = id(0xc8), d0 = id(0xd0), x80 = id(0x80);
    cr_assert(id_eq(&ring.fingers.at[159], &c8) && id_eq(&ring.fingers.at[158], &x80), "both");
    cr_assert_not(finger_needs(&ring, &d0), "nobody else");
    dies(0xc8);
    finger_dead(&ring, &c8);
    cr_assert(id_eq(&ring.fingers.at[159], &d0), "the next one takes its place");
    ring.size = 1000;
    dies(0xd0);
    ring.due[PART_FINGER] = UINT64_MAX;
    finger_dead(&ring, &d0);
    cr_assert(id_is_zero(&ring.fingers.at[159]), "too few are known: none");
    cr_assert_leq(ring.due[PART_FINGER], T0 + SECOND, "and it is looked up soon");
    cr_assert_eq(ring.fingers.next, 159, "that one");
}

Test(finger, follow_the_list)
{
    be_classic();
    finger_start(&ring);
    finger_timer(&ring);
    cr_assert_eq(ring.fingers.low, 158, "with the whole list");
    ring.fingers.at[158] = id(0x80);
    ring.z.succ[3].id = id(0x98);
    linked(0x98);
    ring.fingers.asking = false;
    finger_timer(&ring);
    cr_assert_eq(ring.fingers.low, 159, "it reaches farther now");
    cr_assert(id_is_zero(&ring.fingers.at[158]), "what it has reached is no finger");
    unlink_node(0x98);
    dies(0x98);
    ring.fingers.asking = false;
    finger_timer(&ring);
    cr_assert_eq(ring.fingers.low, 158, "and less far");
    cr_assert(ring.fingers.filling && ring.fingers.next == 158, "the gap is looked up soon");
}

Test(finger, ways_go_clockwise)
{
    struct peal_id out[WAYS_MAX];
    be_classic();
    linked(0xc0), linked(0x80), know(0xe0);
    finger(158, 0x80);
    finger(159, 0xc0);
    static const unsigned want[] = {0x50, 0x58, 0x60, 0x68, 0x80, 0xc0};
    size_t n = finger_ways(&ring, out);
    cr_assert_eq(n, PEAL_COUNT(want), "six, not %zu", n);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(out[i].b[0], want[i], "number %zu", i);
    finger(157, 0x80);
    finger(156, 0x60);
    cr_assert_eq(finger_ways(&ring, out), 6, "none twice");
    ring.fingers.at[159] = id(0xe0);
    cr_assert_eq(finger_ways(&ring, out), 5, "only who is linked");
    unlink_node(0x50);
    cr_assert_eq(finger_ways(&ring, out), 4, "of the successors as well");
    ring.phase = RING_SMALL;
    cr_assert_eq(finger_ways(&ring, out), 3, "a small ring has no fingers");
}
