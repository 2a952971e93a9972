/* One core, event by event: founding, what closes a link, sealing, merging. */
#include <criterion/criterion.h>

#include "one.h"

#include <string.h>

enum { LINK = 7, ROUND_BITS = 40 };

static struct one *start(uint8_t n, bool discovery, const char *join)
{
    struct one *o = one_new(n, discovery, join);
    one_event(o, (struct step_event){.kind = STEP_START});
    return o;
}

static void hear_beacon(struct one *o, struct one_peer *p, const struct wire_roster *r)
{
    uint8_t mem[1024];
    struct wire_m_beacon b = {.contact = one_contact(p)};
    struct wr w;
    if (r != NULL) {
        b.ring = r->ring;
        b.epoch = r->epoch;
        b.size = (uint32_t)r->members.n;
    }
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(WIRE_m_beacon, &b, &w), 0, "the beacon encodes");
    one_event(o, (struct step_event){.kind = STEP_BEACON, .bytes = peal_bytes_of(mem, w.n)});
}

static uint8_t smaller_than(const struct peal_id *id, bool smaller)
{
    for (uint8_t n = 100; n < 200; n++) {
        struct one_peer p = one_peer(n);
        if ((id_cmp(&p.id, id) < 0) == smaller)
            return n;
    }
    cr_assert_fail("no such id");
    return 0;
}

Test(core, founds_alone_at_once_when_nobody_can_be_heard)
{
    struct one *o = start(1, false, NULL);
    one_wait(o, 100000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "it is a ring of one");
    cr_assert_null(one_find(o, STEP_SAY_BEACON, 0, NULL), "no beacon without discovery");
    struct peal_id key = o->self.id, home[CHORD_REPLICAS_MAX + 1];
    cr_assert_eq(chord_home(o->chord, &key, home), 1, "one home");
    cr_assert(id_eq(&home[0], &o->self.id), "itself");
    one_free(o);
}

static size_t count_until_busy(struct one *o, int (*begin)(struct one *o))
{
    size_t n = 0;
    int err = 0;
    while ((err = begin(o)) == 0)
        n++;
    cr_assert_eq(err, PEAL_E_BUSY, "refused with %s after %zu", err_name(err), n);
    return n;
}

static int put_little(struct one *o)
{
    return one_begin_put(o, 1);
}

static int put_much(struct one *o)
{
    return one_begin_put(o, WIRE_BODY_MAX);
}

/* A node in no ring yet keeps what it is asked to do. */
Test(core, each_kind_of_operation_has_its_own_bound)
{
    struct one *o = start(1, true, NULL);
    cr_assert_eq(count_until_busy(o, one_begin_read), ONE_READS, "reads");
    cr_assert_eq(count_until_busy(o, one_begin_change), ONE_REGS, "changes of registers");
    cr_assert_eq(count_until_busy(o, put_much), ONE_BODIES / WIRE_BODY_MAX, "large bodies");
    cr_assert_eq(count_until_busy(o, put_little), 0, "no room for a small one");
    one_wait(o, 500000);
    cr_assert_eq(o->done_n, ONE_READS + ONE_REGS + ONE_BODIES / WIRE_BODY_MAX, "all of them end");
    cr_assert_eq(count_until_busy(o, put_little), ONE_PUTS, "small bodies");
    one_free(o);
}

Test(core, listens_before_it_founds)
{
    struct one *o = start(1, true, NULL);
    one_wait(o, 500000);
    cr_assert_eq(chord_state(o->chord), CHORD_DISCOVERING, "it still listens");
    union wire_any m;
    cr_assert_not_null(one_find(o, STEP_SAY_BEACON, 0, &m), "and says that it is there");
    cr_assert_eq(m.m_beacon.epoch, 0, "in no ring");
    one_wait(o, 500000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "nobody was there");
    one_free(o);
}

Test(core, leaves_founding_to_a_smaller_id)
{
    struct one *o = start(1, true, NULL);
    struct one_peer p = one_peer(smaller_than(&o->self.id, true));
    for (int i = 0; i < 20; i++) {
        hear_beacon(o, &p, NULL);
        one_wait(o, 200000);
    }
    cr_assert_eq(chord_state(o->chord), CHORD_DISCOVERING, "the smaller id is to found");
    one_wait(o, 1500000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "but it is gone");
    one_free(o);
}

Test(core, founds_before_a_larger_id)
{
    struct one *o = start(1, true, NULL);
    struct one_peer p = one_peer(smaller_than(&o->self.id, false));
    hear_beacon(o, &p, NULL);
    one_wait(o, 400000);
    hear_beacon(o, &p, NULL);
    one_wait(o, 500000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "the smallest founds");
    one_free(o);
}

Test(core, never_founds_alone_when_told_whom_to_join)
{
    struct one *o = start(1, true, "10.9.9.9:1");
    bool warned = false;
    for (int i = 0; i < 300; i++) {
        one_wait(o, 100000);
        if (one_find(o, STEP_DIAL, 0, NULL) != NULL)
            one_event(o, (struct step_event){.kind = STEP_LINK_DOWN,
                                             .dialled = true,
                                             .address = peal_bytes_str("10.9.9.9:1"),
                                             .err = PEAL_E_CLOSED});
        warned = warned || one_find(o, STEP_TRACE, 0, NULL) != NULL;
        one_forget(o);
    }
    cr_assert(warned, "it says whom it waits for");
    cr_assert_eq(chord_state(o->chord), CHORD_DISCOVERING, "it waits");
    one_free(o);
}

Test(core, asks_a_ring_that_it_hears_of)
{
    struct one *o = start(1, true, NULL);
    struct one_peer p = one_peer(50);
    struct wire_roster r = {
        .ring = p.id, .epoch = 1, .replicas = 2, .members = {.v = &p.id, .n = 1}};
    hear_beacon(o, &p, &r);
    one_wait(o, 100000);
    const struct one_said *d = one_find(o, STEP_DIAL, 0, NULL);
    cr_assert(d != NULL && memcmp(d->bytes, p.address, d->n) == 0, "it dials");
    one_link(o, LINK, &p, true);
    one_hello(o, LINK, &p, &r);
    one_wait(o, 500000);
    union wire_any m;
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_admit, &m), "and asks to be admitted");
    cr_assert(id_eq(&m.n_admit.contact.id, &o->self.id), "itself");
    cr_assert_eq(chord_state(o->chord), CHORD_ASKING, "and waits for the answer");
    one_free(o);
}

/* ---- what closes a link ---- */

static void expect_closed(struct one *o, int err, const char *why)
{
    const struct one_said *s = one_find(o, STEP_CLOSE, 0, NULL);
    cr_assert(s != NULL && s->link == LINK, "%s: the link is closed", why);
    cr_assert_eq(s->err, err, "%s: %s, not %s", why, err_name(s->err), err_name(err));
    cr_assert_gt(s->n, 0, "%s: with a reason", why);
    one_free(o);
}

static struct one *linked(struct one_peer *p)
{
    struct one *o = start(1, false, NULL);
    *p = one_peer(50);
    one_wait(o, 100000);
    one_link(o, LINK, p, false);
    one_forget(o);
    return o;
}

Test(core, closes_on_bytes_that_are_no_message)
{
    struct one_peer p;
    struct one *o = linked(&p);
    one_event(o, (struct step_event){.kind = STEP_RECEIVED,
                                     .link = LINK,
                                     .bytes = peal_bytes_str("\x01\x02 nonsense")});
    expect_closed(o, PEAL_E_MALFORMED, "nonsense");
}

Test(core, closes_on_a_clients_message)
{
    struct one_peer p;
    struct one *o = linked(&p);
    struct wire_c_send m = {.kind = 1};
    uint8_t mem[256];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(WIRE_c_send, &m, &w), 0, "it encodes");
    one_event(o, (struct step_event){
                     .kind = STEP_RECEIVED, .link = LINK, .bytes = peal_bytes_of(mem, w.n)});
    expect_closed(o, PEAL_E_MALFORMED, "a client's message");
}

Test(core, closes_when_hello_does_not_come_first)
{
    struct one_peer p;
    struct one *o = linked(&p);
    struct wire_r_ping m = {.nonce = 1};
    one_hear(o, LINK, WIRE_r_ping, &m);
    expect_closed(o, PEAL_E_MALFORMED, "no hello");
}

Test(core, closes_when_no_hello_comes)
{
    struct one_peer p;
    struct one *o = linked(&p);
    one_wait(o, 4000000);
    expect_closed(o, PEAL_E_CLOSED, "silence");
}

Test(core, closes_on_anothers_contact)
{
    struct one_peer p, q = one_peer(51);
    struct one *o = linked(&p);
    one_hello(o, LINK, &q, NULL);
    expect_closed(o, PEAL_E_AUTH, "another's contact");
}

Test(core, closes_on_a_forged_contact)
{
    struct one_peer p;
    struct one *o = linked(&p);
    struct wire_r_hello m = {.version = WIRE_VERSION, .contact = one_contact(&p)};
    p.sig[3] ^= 1;
    one_hear(o, LINK, WIRE_r_hello, &m);
    expect_closed(o, PEAL_E_AUTH, "a forged signature");
}

Test(core, closes_on_another_version)
{
    struct one_peer p;
    struct one *o = linked(&p);
    struct wire_r_hello m = {.version = WIRE_VERSION + 1, .contact = one_contact(&p)};
    one_hear(o, LINK, WIRE_r_hello, &m);
    expect_closed(o, PEAL_E_VERSION, "another version");
}

Test(core, closes_on_an_unsorted_roster)
{
    struct one_peer p;
    struct one *o = linked(&p);
    struct peal_id members[2] = {p.id, p.id};
    struct wire_roster r = {
        .ring = p.id, .epoch = 2, .replicas = 2, .members = {.v = members, .n = 2}};
    one_hello(o, LINK, &p, &r);
    expect_closed(o, PEAL_E_MALFORMED, "a roster with one member twice");
}

Test(core, closes_on_a_message_for_another_node)
{
    struct one_peer p;
    struct one *o = linked(&p);
    one_hello(o, LINK, &p, NULL);
    one_forget(o);
    struct wire_r_ping m = {.to = p.id, .nonce = 1};
    uint8_t mem[512];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(WIRE_r_ping, &m, &w), 0, "it encodes");
    one_event(o, (struct step_event){
                     .kind = STEP_RECEIVED, .link = LINK, .bytes = peal_bytes_of(mem, w.n)});
    expect_closed(o, PEAL_E_REFUSED, "another's message");
}

Test(core, random_messages_do_no_harm)
{
    struct one *o = start(1, false, NULL);
    struct rng g;
    struct one_peer p = one_peer(50);
    one_wait(o, 100000);
    rng_init(&g, 3);
    uint32_t link = LINK;
    for (int i = 0; i < 20000; i++) {
        static uint8_t frame[4096];
        if (i % 8 == 0) {
            one_event(o, (struct step_event){.kind = STEP_LINK_DOWN,
                                             .link = link,
                                             .link_kind = STEP_LINK_NODE,
                                             .address = peal_bytes_str(p.address)});
            one_link(o, ++link, &p, false);
            one_hello(o, link, &p, NULL);
        }
        size_t n = rng_below(&g, 200);
        rng_fill(&g, frame, n);
        for (size_t k = 2; k < n; k++) /* mostly zeros, so that many of them decode */
            if (rng_below(&g, 100) < 97)
                frame[k] = 0;
        if (n >= 2) {
            frame[0] = 0;
            frame[1] = (uint8_t)rng_below(&g, 40);
        }
        if (n < 200) {
            memset(frame + n, 0, 1024 - n);
            const struct wire_desc *d = n >= 2 ? wire_desc_of(frame[1]) : NULL;
            n = d != NULL ? d->min_bytes + 2u : n;
        }
        one_event(o, (struct step_event){
                         .kind = STEP_RECEIVED, .link = link, .bytes = peal_bytes_of(frame, n)});
        one_forget(o);
        o->now_us += 1000;
    }
    struct peal_id key = {{9}};
    cr_assert_eq(one_change(o, &key, 'a'), 0, "it still works");
    one_free(o);
}

/* ---- rings that meet ---- */

Test(core, an_empty_ring_of_one_gives_way)
{
    struct one_peer p, q = one_peer(51);
    struct one *o = linked(&p);
    struct peal_id members[2] = {p.id, q.id};
    if (id_cmp(&members[0], &members[1]) > 0) {
        members[0] = q.id;
        members[1] = p.id;
    }
    struct wire_roster r = {
        .ring = p.id, .epoch = 2, .replicas = 2, .members = {.v = members, .n = 2}};
    one_hello(o, LINK, &p, &r);
    cr_assert_eq(chord_state(o->chord), CHORD_ASKING, "it asks the larger ring");
    cr_assert_null(one_find(o, STEP_CLOSE, 0, NULL), "over the same link");
    one_free(o);
}

Test(core, a_ring_that_holds_something_does_not_give_way)
{
    struct one_peer p, q = one_peer(51);
    struct one *o = linked(&p);
    struct peal_id members[2] = {p.id, q.id}, key = {{1}};
    if (id_cmp(&members[0], &members[1]) > 0) {
        members[0] = q.id;
        members[1] = p.id;
    }
    struct wire_roster r = {
        .ring = p.id, .epoch = 2, .replicas = 2, .members = {.v = members, .n = 2}};
    cr_assert_eq(one_change(o, &key, 'a'), 0, "a register is written");
    one_hello(o, LINK, &p, &r);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "it stays");
    cr_assert_not(chord_is_up(o->chord, &p.id), "who is of another roster is nobody here");
    cr_assert_null(one_find(o, STEP_CLOSE, 0, NULL), "but both are of one overlay");
    cr_assert_eq(one_change(o, &key, 'b'), 0, "and its registers are its own");
    one_free(o);
}

/* ---- registers, epochs, the disk ---- */

static struct one *asked(struct one_peer *p)
{
    struct one *o = linked(p);
    one_hello(o, LINK, p, NULL);
    one_forget(o);
    return o;
}

static int prepare_code(struct one *o, const struct one_peer *p, uint64_t epoch,
                        uint64_t round_epoch, uint64_t count)
{
    union wire_any m;
    struct wire_n_reg_prepare q = {
        .ring = o->self.id,
        .epoch = epoch,
        .op = 5,
        .key = {{1}},
        .ballot = {.round = round_epoch << ROUND_BITS | count, .node = p->id}};
    one_forget(o);
    one_hear(o, LINK, WIRE_n_reg_prepare, &q);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_reg_promise, &m), "it answers");
    return -(int)m.n_reg_promise.code;
}

Test(core, an_epoch_that_is_sealed_gets_no_votes)
{
    struct one_peer p;
    struct one *o = asked(&p);
    cr_assert_eq(prepare_code(o, &p, 0, 0, 9), PEAL_E_STALE, "an older epoch");
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_roster, NULL), "and is told the present one");
    cr_assert_eq(prepare_code(o, &p, 2, 2, 9), PEAL_E_STALE, "a later epoch");
    cr_assert_eq(prepare_code(o, &p, 1, 0, 9), PEAL_E_STALE, "an older epoch's ballot");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 9), 0, "this epoch");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 8), PEAL_E_REFUSED, "less than was promised");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 9), PEAL_E_REFUSED, "the same ballot once more");
    struct wire_n_set_put put = {.epoch = 0, .op = 6, .row = {.box = {{1}}, .kind = 1}};
    union wire_any m;
    one_hear(o, LINK, WIRE_n_set_put, &put);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_set_ok, &m), "it answers");
    cr_assert_eq(m.n_set_ok.code, -PEAL_E_STALE, "rows of an older epoch go to their new homes");
    one_free(o);
}

/* An accept of `count` that names `next` (0: none) of p's as its next; the answer's code. */
static int accept_code(struct one *o, const struct one_peer *p, uint64_t count, uint64_t next,
                       const struct peal_id *whose)
{
    union wire_any m;
    struct wire_n_reg_accept a = {.ring = o->self.id,
                                  .epoch = 1,
                                  .op = 5,
                                  .key = {{1}},
                                  .ballot = {1ull << ROUND_BITS | count, p->id},
                                  .next = {next, *whose},
                                  .value = peal_bytes_str("v")};
    one_forget(o);
    one_hear(o, LINK, WIRE_n_reg_accept, &a);
    const struct one_said *said = one_find(o, STEP_SEND, WIRE_n_reg_accepted, &m);
    cr_assert_not_null(said, "it answers");
    cr_assert(m.n_reg_accepted.code != 0 || said->held, "once it is durable");
    return -(int)m.n_reg_accepted.code;
}

Test(core, who_accepts_promises_the_ballot_named_as_the_next)
{
    struct one_peer p, q = one_peer(51);
    struct one *o = asked(&p);
    const uint64_t in_epoch = 1ull << ROUND_BITS;
    cr_assert_eq(accept_code(o, &p, 9, in_epoch | 12, &p.id), 0, "accepted");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 10), PEAL_E_REFUSED, "less than the named one");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 12), PEAL_E_REFUSED, "the named one");
    cr_assert_eq(accept_code(o, &p, 10, in_epoch | 13, &p.id), PEAL_E_REFUSED, "less, to accept");
    o = one_again(o, false);
    one_event(o, (struct step_event){.kind = STEP_START});
    one_link(o, LINK, &p, false);
    one_hello(o, LINK, &p, NULL);
    cr_assert_eq(prepare_code(o, &p, 1, 1, 12), PEAL_E_REFUSED, "the named one, after a restart");
    cr_assert_eq(accept_code(o, &p, 12, in_epoch | 11, &p.id), PEAL_E_MALFORMED, "a lower next");
    cr_assert_eq(accept_code(o, &p, 12, in_epoch | 12, &p.id), PEAL_E_MALFORMED, "itself");
    cr_assert_eq(accept_code(o, &p, 12, in_epoch | 13, &q.id), PEAL_E_MALFORMED, "another's");
    cr_assert_eq(accept_code(o, &p, 12, 2 * in_epoch | 13, &p.id), PEAL_E_MALFORMED,
                 "a later epoch's");
    cr_assert_eq(accept_code(o, &p, 12, in_epoch | 13, &p.id), 0, "it is accepted without asking");
    cr_assert_eq(accept_code(o, &p, 13, 0, &p.id), 0, "and need not name another");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 14), 0, "of which nothing is promised then");
    one_free(o);
}

Test(core, who_only_looks_is_promised_nothing_and_told_what_is_durable)
{
    struct one_peer p;
    struct one *o = asked(&p);
    union wire_any m;
    cr_assert_eq(accept_code(o, &p, 9, 1ull << ROUND_BITS | 12, &p.id), 0, "accepted");
    struct wire_n_reg_prepare q = {.ring = o->self.id,
                                   .epoch = 1,
                                   .op = 5,
                                   .look = true,
                                   .key = {{1}},
                                   .ballot = {1ull << ROUND_BITS | 900, p.id}};
    for (int i = 0; i < 2; i++) {
        one_forget(o);
        one_hear(o, LINK, WIRE_n_reg_prepare, &q);
        const struct one_said *said = one_find(o, STEP_SEND, WIRE_n_reg_promise, &m);
        cr_assert_not_null(said, "it answers");
        cr_assert_eq(m.n_reg_promise.code, 0, "whatever the ballot");
        cr_assert(m.n_reg_promise.value.n == 1 && m.n_reg_promise.value.p[0] == 'v', "the value");
        cr_assert_eq(m.n_reg_promise.promised.round, 1ull << ROUND_BITS | 12, "as it was promised");
        cr_assert(said->held, "what was accepted may not be durable yet");
        q.ballot.round = 1ull << ROUND_BITS | 1;
    }
    cr_assert_eq(prepare_code(o, &p, 1, 1, 13), 0, "899 less than it looked with");
    q.epoch = 2;
    one_hear(o, LINK, WIRE_n_reg_prepare, &q);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_reg_promise, &m), "it answers");
    cr_assert_eq(m.n_reg_promise.code, -PEAL_E_STALE, "not in another epoch");
    one_free(o);
}

static struct chord_reg_stats stats(const struct one *o)
{
    struct chord_reg_stats s;
    chord_reg_stats(o->chord, &s);
    return s;
}

static struct peal_id key_of(uint8_t n)
{
    return (struct peal_id){{1, n}};
}

/* What is remembered is bounded in number; the one used longest ago goes first. */
Test(core, what_is_remembered_of_registers_has_its_bounds)
{
    struct one *o = start(1, false, NULL);
    one_wait(o, 100000);
    for (uint8_t i = 0; i <= ONE_CACHED; i++) {
        struct peal_id key = key_of(i);
        cr_assert_eq(one_change(o, &key, 'a'), 0, "written");
    }
    struct chord_reg_stats s = stats(o);
    cr_assert_eq(s.prepares, ONE_CACHED + 1, "each was asked for");
    for (uint8_t i = ONE_CACHED; i > 0; i--) {
        struct peal_id key = key_of(i);
        cr_assert_eq(one_change(o, &key, 'b'), 0, "written again");
    }
    cr_assert_eq(stats(o).prepares, s.prepares, "without asking");
    cr_assert_eq(stats(o).kept, ONE_CACHED, "all of them");
    struct peal_id first = key_of(0), last = key_of(ONE_CACHED), other = key_of(1);
    cr_assert_eq(one_change(o, &first, 'b'), 0, "written again");
    cr_assert_eq(stats(o).prepares, s.prepares + 1, "the first one was forgotten");
    cr_assert_eq(one_change(o, &last, 'c'), 0, "written again");
    cr_assert_eq(stats(o).prepares, s.prepares + 2, "and now the one used longest ago");
    cr_assert_eq(one_change(o, &other, 'c'), 0, "written again");
    cr_assert_eq(stats(o).prepares, s.prepares + 2, "and not the one used after that");
    cr_assert(o->value_n == 3 && memcmp(o->value, "abc", 3) == 0, "of which all is there");
    one_free(o);
}

/* And in bytes. */
Test(core, large_values_are_remembered_as_far_as_there_is_room)
{
    enum { LARGE = 1500, FIT = ONE_CACHED_BYTES / 2048 };
    struct one *o = start(1, false, NULL);
    one_wait(o, 100000);
    _Static_assert((int)FIT < (int)ONE_CACHED, "bytes are short before entries are");
    for (uint8_t i = 0; i <= FIT; i++) {
        struct peal_id key = key_of(i);
        o->grow = LARGE;
        cr_assert_eq(one_change(o, &key, 'a'), 0, "written");
        cr_assert_eq(o->value_n, LARGE, "large");
    }
    o->grow = 1;
    struct chord_reg_stats s = stats(o);
    struct peal_id first = key_of(0), last = key_of(FIT);
    cr_assert_eq(one_change(o, &last, 'b'), 0, "written again");
    cr_assert_eq(stats(o).prepares, s.prepares, "without asking");
    cr_assert_eq(o->value_n, LARGE + 1, "on what was there");
    cr_assert(o->value[LARGE - 1] == 'a' && o->value[LARGE] == 'b', "to the last byte");
    cr_assert_eq(one_change(o, &first, 'b'), 0, "written again");
    cr_assert_eq(stats(o).prepares, s.prepares + 1, "the first one was forgotten");
    one_free(o);
}

Test(core, a_sick_disk_answers_for_nothing)
{
    struct one_peer p;
    struct one *o = asked(&p);
    struct peal_id key = {{1}};
    one_event(o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    cr_assert_eq(prepare_code(o, &p, 1, 1, 9), PEAL_E_NO_SPACE, "it says why");
    cr_assert_eq(one_change(o, &key, 'a'), 1, "its own vote does not count either");
    one_wait(o, 300000);
    cr_assert_eq(o->done_err, PEAL_E_UNAVAILABLE, "nothing was written");
    one_event(o, (struct step_event){.kind = STEP_STORE_STATE, .err = 0});
    cr_assert_eq(prepare_code(o, &p, 1, 1, 10), 0, "well again");
    cr_assert_eq(one_change(o, &key, 'a'), 0, "and it counts");
    one_free(o);
}

static void give(struct one *o, uint64_t count_a, const char *a, uint64_t count_b, const char *b)
{
    struct wire_record v[2] = {{.key = {{1}},
                                .accepted = {.round = 1ull << ROUND_BITS | count_a},
                                .value = peal_bytes_str(a)},
                               {.key = {{1}},
                                .accepted = {.round = 1ull << ROUND_BITS | count_b},
                                .value = peal_bytes_str(b)}};
    struct wire_n_records m = {.ring = o->self.id, .epoch = 1, .records = {.v = v, .n = 2}};
    one_hear(o, LINK, WIRE_n_records, &m);
}

/* Rosters were stored without what uniting rings needs. */
Test(core, a_roster_that_an_earlier_build_stored_is_read)
{
    struct one *o = one_new(3, false, NULL);
    struct peal_id key = {{1}};
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 3000000);
    cr_assert_eq(one_change(o, &key, 'a'), 0, "it has founded a ring, and written");
    struct wire_roster_0 r = {
        .ring = o->self.id, .epoch = 1, .replicas = 2, .members = {&o->self.id, 1}};
    struct wire_s_roster_0 s = {.decided = r, .ready_epoch = 1};
    uint8_t mem[512];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(WIRE_s_roster_0, &s, &w), 0, "encoded");
    struct store_write put = {.space = STORE_META,
                              .op = STORE_PUT,
                              .key = peal_bytes_str("roster"),
                              .value = peal_bytes_of(mem, w.n)};
    uint64_t ticket;
    cr_assert_eq(store_submit(o->store, &put, 1, &ticket), 0, "as it was stored then");
    o = one_again(o, false);
    one_event(o, (struct step_event){.kind = STEP_START});
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "a member, as before");
    cr_assert_eq(one_change(o, &key, 0), 0, "read");
    cr_assert(o->value_n == 1 && o->value[0] == 'a', "what was written");
    one_free(o);
}

Test(core, what_comes_from_another_ring_late_is_no_vote_and_no_copy)
{
    struct one_peer p;
    struct one *o = asked(&p);
    struct peal_id key = {{1}};
    union wire_any m;
    struct wire_n_reg_prepare q = {
        .ring = p.id, .epoch = 1, .key = key, .ballot = {1ull << ROUND_BITS | 9, p.id}};
    one_hear(o, LINK, WIRE_n_reg_prepare, &q);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_reg_promise, &m), "it answers");
    cr_assert_eq(m.n_reg_promise.code, -PEAL_E_STALE, "the epoch has the same number only");
    struct wire_n_reg_accept a = {
        .ring = p.id, .epoch = 1, .key = key, .ballot = q.ballot, .value = peal_bytes_str("b")};
    one_hear(o, LINK, WIRE_n_reg_accept, &a);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_reg_accepted, &m), "it answers");
    cr_assert_eq(m.n_reg_accepted.code, -PEAL_E_STALE, "nor is it accepted");
    struct wire_record v = {.key = key, .accepted = q.ballot, .value = peal_bytes_str("b")};
    struct wire_n_records copy = {.ring = p.id, .epoch = 1, .op = 7, .records = {.v = &v, .n = 1}};
    one_hear(o, LINK, WIRE_n_records, &copy);
    cr_assert_not_null(one_find(o, STEP_SEND, WIRE_n_set_ok, &m), "it answers");
    cr_assert_eq(m.n_set_ok.code, -PEAL_E_STALE, "a copy is not taken");
    cr_assert_eq(one_change(o, &key, 0), 0, "read");
    cr_assert_eq(o->value_n, 0, "nothing is there");
    one_free(o);
}

Test(core, copies_are_merged_as_late_acceptances)
{
    struct one_peer p;
    struct one *o = asked(&p);
    struct peal_id key = {{1}};
    cr_assert_eq(one_change(o, &key, 'a'), 0, "written");
    give(o, 0, "old", 0, "older");
    cr_assert_eq(one_change(o, &key, 0), 0, "read");
    cr_assert(o->value_n == 1 && o->value[0] == 'a', "a lower ballot changes nothing");
    give(o, 900, "new", 800, "middle");
    cr_assert_eq(one_change(o, &key, 0), 0, "read");
    cr_assert(o->value_n == 3 && memcmp(o->value, "new", 3) == 0,
              "a higher one does; within one message too");
    cr_assert_eq(prepare_code(o, &p, 1, 1, 5000), 0, "promised");
    give(o, 4000, "late", 4001, "late");
    cr_assert_eq(one_change(o, &key, 0), 0, "read");
    cr_assert(o->value_n == 3, "less than was promised is not taken");
    one_free(o);
}

Test(core, a_register_is_read_back_after_a_restart)
{
    struct one *o = start(1, false, NULL);
    struct peal_id key = {{1}};
    one_wait(o, 100000);
    cr_assert_eq(one_change(o, &key, 'a'), 0, "written");
    cr_assert_eq(one_change(o, &key, 'b'), 0, "written again");
    struct one *again = one_new(1, false, NULL);
    struct store *empty = again->store; /* the same disk, another process */
    again->store = o->store;
    o->store = empty;
    one_event(again, (struct step_event){.kind = STEP_START});
    cr_assert_eq(chord_state(again->chord), CHORD_MEMBER, "a member at once");
    cr_assert_eq(one_change(again, &key, 0), 0, "read");
    cr_assert(again->value_n == 2 && memcmp(again->value, "ab", 2) == 0, "it is there");
    one_free(o);
    one_free(again);
}

Test(core, a_new_incarnations_link_replaces_the_old_one)
{
    struct one_peer p;
    struct one *o = asked(&p);
    p.incarnation = 2;
    one_link(o, LINK + 1, &p, false);
    one_hello(o, LINK + 1, &p, NULL);
    const struct one_said *s = one_find(o, STEP_CLOSE, 0, NULL);
    cr_assert(s != NULL && s->link == LINK, "the old link goes");
    one_free(o);
}

Test(core, of_two_links_the_one_the_smaller_id_dialled_stays)
{
    struct one_peer p;
    struct one *o = asked(&p); /* p dialled */
    one_link(o, LINK + 1, &p, true);
    one_hello(o, LINK + 1, &p, NULL);
    const struct one_said *s = one_find(o, STEP_CLOSE, 0, NULL);
    uint32_t goes = id_cmp(&o->self.id, &p.id) < 0 ? LINK : LINK + 1;
    cr_assert(s != NULL && s->link == goes, "the other goes");
    one_free(o);
}
