/* Links, hello, pings and dials: one node with peers that the test plays. */
#include "lone.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lone *started(void)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1});
    lone_start(o);
    lone_forget(o);
    return o;
}

static void assert_closed(const struct lone *o, uint32_t link, int err)
{
    const struct lone_said *s = lone_find(o, STEP_CLOSE, 0, NULL);
    cr_assert_not_null(s, "no link is closed");
    cr_assert_eq(s->link, link, "link %u is closed, not %u", s->link, link);
    cr_assert_eq(s->err, err, "closed for %s, not %s", err_name(s->err), err_name(err));
}

/* ---- the object ---- */

Test(ring, refuses_a_configuration_out_of_bounds)
{
    struct lone_peer p = lone_peer(1);
    struct lone *o = lone_new(&(struct lone_options){.n = 1}); /* for a good set of functions */
    struct ring_config good = {.contact = lone_contact(&p), .app = o->ring->cfg.app};
    struct ring_config bad[10];
    for (size_t i = 0; i < PEAL_COUNT(bad); i++)
        bad[i] = good;
    bad[0].successors = RING_SUCCESSORS_MAX + 1;
    bad[1].hints_max = RING_HINTS_MIN - 1;
    bad[2].hints_max = RING_HINTS_MAX + 1;
    bad[3].links_max = RING_SUCCESSORS_DEFAULT;
    bad[4].links_max = RING_LINKS_MAX + 1;
    bad[5].finds_max = SLAB_MAX + 1;
    bad[6].joins_n = RING_JOINS_MAX + 1;
    bad[7].joins_n = 1; /* an empty address */
    bad[8].ping_us = SECOND;
    bad[8].silence_us = SECOND;
    bad[9].app.load = NULL;
    struct ring *r;
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        void *mem = aligned_alloc(16, (ring_size(&bad[i]) + 15) / 16 * 16);
        int err = ring_init(mem, &bad[i], &r);
        cr_assert_eq(err, PEAL_E_USAGE, "configuration %zu: %s", i, err_name(err));
        free(mem);
    }
    void *mem = aligned_alloc(16, (ring_size(&good) + 15) / 16 * 16);
    good.contact.incarnation++; /* not what is signed */
    int err = ring_init(mem, &good, &r);
    cr_assert_eq(err, PEAL_E_AUTH, "a contact that is not signed: %s", err_name(err));
    free(mem);
    lone_free(o);
}

Test(ring, has_room_for_any_message_between_nodes)
{
    size_t most = 0;
#define X(number, name)                                                                            \
    if ((number) < WIRE_FIRST_CLIENT && sizeof(((union wire_heap *)0)->name) > most)               \
        most = sizeof(((union wire_heap *)0)->name);
    WIRE_MESSAGES(X)
#undef X
    cr_assert_leq(most + SCRATCH_PARTS, SCRATCH_BYTES, "%zu bytes are not enough for %zu",
                  (size_t)SCRATCH_BYTES, most);
}

/* ---- hello ---- */

Test(links, a_node_is_up_after_hello)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_link(o, 7, &p, false);
    union wire_any m;
    cr_assert_not_null(lone_find(o, STEP_SEND, WIRE_r_hello, &m), "no hello is said");
    cr_assert(id_eq(&m.r_hello.to, &p.id) && id_eq(&m.r_hello.contact.id, &o->self.id),
              "it is for another, or of another");
    cr_assert_eq(o->up_n, 0, "the node is up before its hello");
    cr_assert(!ring_is_up(o->ring, &p.id), "it is up before its hello");
    lone_hello(o, 7, &p, RING_SEEKING);
    cr_assert(o->up_n == 1 && id_eq(&o->last_up, &p.id), "the node is not up");
    cr_assert(ring_is_up(o->ring, &p.id), "it is not up");
    struct wire_contact w;
    int err = ring_contact(o->ring, &p.id, &w);
    cr_assert(err == 0 && peal_bytes_eq(wire_address(w.addresses, 0), peal_bytes_str(p.address)),
              "its contact is not known");
    lone_hello(o, 7, &p, RING_SEEKING); /* once more, as a duplicated frame */
    cr_assert(o->up_n == 1 && lone_find(o, STEP_CLOSE, 0, NULL) == NULL,
              "a second hello is no mere repetition");
    lone_unlink(o, 7, p.address, false);
    cr_assert(o->down_n == 1 && !ring_is_up(o->ring, &p.id), "the node is not down");
    lone_free(o);
}

static void send_bad(struct lone *o, uint32_t link, struct lone_peer *p, int which)
{
    struct wire_r_hello m = {.version = WIRE_VERSION, .contact = lone_contact(p)};
    struct wire_r_ping ping = {.nonce = 1};
    struct wire_c_ping client = {.nonce = 1};
    struct lone_peer other = lone_peer(9);
    uint8_t bytes[256] = {0};
    struct step_event ev = {.kind = STEP_RECEIVED, .link = link, .bytes = peal_bytes_of(bytes, 20)};
    switch (which) {
    case 0:
        m.version++;
        lone_hear(o, link, WIRE_r_hello, &m);
        break;
    case 1:
        m.contact = lone_contact(&other);
        lone_hear(o, link, WIRE_r_hello, &m);
        break;
    case 2:
        m.contact.incarnation++;
        lone_hear(o, link, WIRE_r_hello, &m);
        break;
    case 3:
        lone_hear(o, link, WIRE_r_ping, &ping);
        break;
    case 4:
        m.state.phase = RING_LEFT + 1;
        lone_hear(o, link, WIRE_r_hello, &m);
        break;
    case 5:
        lone_event(o, ev);
        break;
    case 6: /* of the client's protocol: never decoded */
        bytes[1] = WIRE_c_ping;
        (void)client;
        lone_event(o, ev);
        break;
    case 7:
        ev.bytes.n = 0;
        lone_event(o, ev);
        break;
    default:
        cr_assert_fail("there is no such case");
    }
}

Test(links, closes_on_a_bad_hello)
{
    static const int errs[] = {PEAL_E_VERSION,   PEAL_E_AUTH,      PEAL_E_AUTH,
                               PEAL_E_MALFORMED, PEAL_E_MALFORMED, PEAL_E_MALFORMED,
                               PEAL_E_MALFORMED, PEAL_E_MALFORMED};
    for (int i = 0; i < (int)PEAL_COUNT(errs); i++) {
        struct lone *o = started();
        struct lone_peer p = lone_peer(2);
        lone_link(o, 7, &p, false);
        send_bad(o, 7, &p, i);
        assert_closed(o, 7, errs[i]);
        cr_assert(o->up_n == 0 && o->down_n == 0, "case %d: it was up", i);
        cr_assert_eq(o->ring->links_n, 0, "case %d: the link is kept", i);
        lone_hello(o, 7, &p, RING_SEEKING); /* what was under way when it was closed */
        cr_assert_eq(o->up_n, 0, "case %d: a closed link is heard", i);
        lone_unlink(o, 7, p.address, false);
        lone_free(o);
    }
}

Test(links, closes_on_a_message_for_another)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2), other = lone_peer(3);
    lone_meet(o, 7, &p, false);
    uint8_t buf[512];
    struct wire_r_ping m = {.to = other.id, .nonce = 5};
    struct wr w;
    wr_init(&w, buf, sizeof buf);
    int err = wire_encode(WIRE_r_ping, &m, &w);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_event(
        o, (struct step_event){.kind = STEP_RECEIVED, .link = 7, .bytes = peal_bytes_of(buf, w.n)});
    assert_closed(o, 7, PEAL_E_REFUSED);
    cr_assert_eq(o->down_n, 1, "its node is up still");
    lone_free(o);
}

Test(links, hello_may_be_for_nobody_but_nothing_else)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    uint8_t buf[512];
    lone_link(o, 7, &p, false);
    for (int i = 0; i < 2; i++) {
        struct wire_r_hello hello = {.version = WIRE_VERSION, .contact = lone_contact(&p)};
        struct wire_r_ping ping = {.nonce = 5};
        struct wr w;
        wr_init(&w, buf, sizeof buf);
        int err =
            i == 0 ? wire_encode(WIRE_r_hello, &hello, &w) : wire_encode(WIRE_r_ping, &ping, &w);
        cr_assert_eq(err, 0, "%s", err_name(err));
        lone_event(o, (struct step_event){
                          .kind = STEP_RECEIVED, .link = 7, .bytes = peal_bytes_of(buf, w.n)});
        cr_assert_eq(o->ring->links_n, i == 0 ? 1 : 0, "message %d: %u links", i, o->ring->links_n);
    }
    lone_free(o);
}

/* ---- two links of one pair ---- */

static struct lone_peer smaller_or_larger(const struct lone *o, bool smaller)
{
    for (uint8_t n = 2; n < 100; n++) {
        struct lone_peer p = lone_peer(n);
        if ((id_cmp(&p.id, &o->self.id) < 0) == smaller)
            return p;
    }
    cr_assert_fail("no such id");
    return lone_peer(0);
}

Test(links, of_two_links_the_smaller_ids_stays)
{
    for (int i = 0; i < 4; i++) {
        struct lone *o = started();
        bool smaller = i % 2 == 0, first_dialled = i / 2 == 0;
        struct lone_peer p = smaller_or_larger(o, smaller);
        lone_meet(o, 7, &p, first_dialled);
        lone_link(o, 8, &p, !first_dialled);
        lone_hello(o, 8, &p, RING_SEEKING);
        uint32_t mine = first_dialled ? 7 : 8, its = first_dialled ? 8 : 7;
        assert_closed(o, smaller ? mine : its, PEAL_E_EXISTS);
        cr_assert(o->up_n == 1 && o->down_n == 0, "case %d: up %zu, down %zu", i, o->up_n,
                  o->down_n);
        cr_assert_eq(o->ring->links_n, 1, "case %d: %u links", i, o->ring->links_n);
        cr_assert_eq(ring__link_to(o->ring, &p.id)->handle, smaller ? its : mine,
                     "case %d: the wrong one stays", i);
        lone_free(o);
    }
}

Test(links, a_restarted_nodes_link_replaces_the_old)
{
    struct lone *o = started();
    struct lone_peer p = smaller_or_larger(o, false);
    lone_meet(o, 7, &p, true);
    p.incarnation = 2;
    lone_link(o, 8, &p, false); /* of equal incarnations this one would have to go */
    lone_hello(o, 8, &p, RING_SEEKING);
    assert_closed(o, 7, PEAL_E_EXISTS);
    cr_assert(o->up_n == 2 && o->down_n == 1, "it has not been down: up %zu, down %zu", o->up_n,
              o->down_n);
    cr_assert_eq(ring__link_to(o->ring, &p.id)->handle, 8, "the old link stays");
    lone_wait(o, 10);
    cr_assert_null(lone_find(o, STEP_DIAL, 0, NULL), "it is dialled though it is linked");
    lone_unlink(o, 7, p.address, true);
    cr_assert(ring_is_up(o->ring, &p.id) && o->down_n == 1, "the old link's end counts");
    lone_free(o);
}

/* The peer closes the one that it need not keep before its hello over the other has come. */
Test(links, a_node_is_not_down_while_its_other_link_waits_for_hello)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_meet(o, 7, &p, true);
    lone_link(o, 8, &p, false);
    lone_unlink(o, 7, p.address, true);
    cr_assert_eq(o->down_n, 0, "it is down");
    lone_hello(o, 8, &p, RING_SEEKING);
    cr_assert(o->up_n == 1 && o->down_n == 0 && ring_is_up(o->ring, &p.id), "it went down");
    lone_link(o, 9, &p, true);
    lone_link(o, 10, &p, false);
    lone_unlink(o, 8, p.address, false);
    cr_assert_eq(o->down_n, 0, "it is down");
    lone_hello(o, 10, &p, RING_SEEKING); /* not the one that was waited for */
    cr_assert(o->up_n == 1 && o->down_n == 0, "up %zu, down %zu", o->up_n, o->down_n);
    lone_unlink(o, 9, p.address, true);
    cr_assert_eq(o->down_n, 0, "it is down");
    lone_unlink(o, 10, p.address, false);
    cr_assert(o->down_n == 1 && !ring_is_up(o->ring, &p.id), "without any link it is up still");
    lone_free(o);
}

Test(links, leads_back_to_itself)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .join = "10.7.7.7:7"});
    struct lone_peer self = o->self;
    lone_start(o);
    cr_assert_not_null(lone_find(o, STEP_DIAL, 0, NULL), "the join is not dialled");
    strcpy(self.address, "10.7.7.7:7");
    lone_link(o, 7, &self, true);
    assert_closed(o, 7, PEAL_E_EXISTS);
    lone_forget(o);
    lone_wait(o, 20 * SECOND);
    cr_assert_null(lone_find(o, STEP_DIAL, 0, NULL), "it dials itself again");
    lone_free(o);
}

/* ---- limits ---- */

Test(links, those_without_hello_do_not_crowd_out_others)
{
    enum { LINKS = 32 };
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .links = LINKS});
    lone_start(o);
    struct lone_peer good[4];
    for (uint32_t i = 0; i < 4; i++) {
        good[i] = lone_peer((uint8_t)(2 + i));
        lone_meet(o, 500 + i, &good[i], i % 2 == 0);
    }
    for (uint32_t i = 0; i < 100; i++) {
        struct lone_peer p = lone_peer((uint8_t)(20 + i));
        lone_link(o, 1000 + i, &p, false);
        cr_assert_leq(o->ring->links_n, 4 + LINKS / HELLO_SHARE, "%u links after %u",
                      o->ring->links_n, i);
    }
    struct lone_peer late = lone_peer(10);
    lone_meet(o, 2000, &late, false);
    cr_assert(ring_is_up(o->ring, &late.id), "a good one is refused");
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(ring_is_up(o->ring, &good[i].id), "good link %u is gone", i);
    for (uint32_t i = 0; i < 10; i++) /* and one that opens links again and again */
        lone_link(o, 3000 + i, &late, false);
    size_t waiting = 0;
    for (uint32_t i = 0; i < o->ring->links_n; i++)
        waiting += !o->ring->links[i].hello && id_eq(&o->ring->links[i].peer, &late.id);
    cr_assert_leq(waiting, LINKS_OF_PEER, "%zu links of one node wait", waiting);
    lone_wait(o, HELLO_WAIT_US + MS);
    for (uint32_t i = 0; i < o->ring->links_n; i++)
        cr_assert(o->ring->links[i].hello, "one without hello is there after so long");
    lone_free(o);
}

Test(links, the_least_used_gives_way_when_all_places_are_taken)
{
    enum { LINKS = 12 };
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .links = LINKS});
    lone_start(o);
    lone_wait(o, 2 * SECOND);
    struct lone_peer p[LINKS + 2];
    for (uint32_t i = 0; i < LINKS; i++) {
        p[i] = lone_peer((uint8_t)(2 + i));
        lone_meet(o, 10 + i, &p[i], false);
        lone_wait(o, 10 * MS);
    }
    for (uint32_t i = 0; i < LINKS; i++) /* but the third nobody may go */
        if (i != 2) {
            int err = ring_want(o->ring, &p[i].id, true);
            cr_assert_eq(err, 0, "%s", err_name(err));
        }
    p[LINKS] = lone_peer(90);
    lone_forget(o);
    lone_meet(o, 50, &p[LINKS], false);
    assert_closed(o, 12, PEAL_E_BUSY);
    cr_assert(ring_is_up(o->ring, &p[LINKS].id), "the new one has no place");
    cr_assert(!book_find(o->ring, &p[2].id)->dead, "who gave way counts as dead");
    int err = ring_want(o->ring, &p[LINKS].id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    p[LINKS + 1] = lone_peer(91);
    lone_link(o, 51, &p[LINKS + 1], false);
    assert_closed(o, 51, PEAL_E_BUSY);
    cr_assert_eq(o->ring->links_n, LINKS, "%u links", o->ring->links_n);
    lone_free(o);
}

/* ---- pings ---- */

Test(links, a_ping_is_answered_with_state_and_load)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_meet(o, 7, &p, false);
    o->load_bytes = 3;
    memcpy(o->load, "abc", 3);
    struct wire_r_ping m = {.nonce = 77, .load = peal_bytes_str("xy")};
    lone_hear(o, 7, WIRE_r_ping, &m);
    union wire_any a;
    cr_assert_not_null(lone_find(o, STEP_SEND, WIRE_r_pong, &a), "no pong");
    cr_assert_eq(a.r_pong.nonce, 77, "another nonce");
    cr_assert(peal_bytes_eq(a.r_pong.load, peal_bytes_str("abc")), "another load");
    cr_assert(o->heard_load_n == 2 && memcmp(o->heard_load, "xy", 2) == 0, "its load is not heard");
    lone_free(o);
}

static void answer_ping(struct lone *o, uint32_t link)
{
    union wire_any m;
    cr_assert_not_null(lone_find(o, STEP_SEND, WIRE_r_ping, &m), "no ping");
    struct wire_r_pong a = {.nonce = m.r_ping.nonce};
    lone_hear(o, link, WIRE_r_pong, &a);
}

Test(links, round_trips_are_estimated)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_meet(o, 7, &p, false);
    struct link *l = ring__link_to(o->ring, &p.id);
    cr_assert_eq(ring__rto_to(o->ring, &p.id), RTO_FIRST_US, "a time-out before any sample");
    cr_assert_eq(ring__p95_to(o->ring, &p.id), P95_FIRST_US, "a percentile before any sample");
    o->now_us += 40 * MS;
    answer_ping(o, 7);
    cr_assert_eq(l->trips.srtt_us, 40 * MS + 1, "srtt %llu", (unsigned long long)l->trips.srtt_us);
    cr_assert_eq(l->trips.rttvar_us, 20 * MS, "rttvar %llu",
                 (unsigned long long)l->trips.rttvar_us);
    answer_ping(o, 7); /* a duplicate */
    cr_assert_eq(l->samples_n, 1, "a duplicated pong is a sample");
    for (uint64_t i = 0; i < 30; i++)
        ring__link_sample(l, i == 25 ? 90 * MS : i == 27 ? 70 * MS : 40 * MS);
    cr_assert_eq(ring__p95_to(o->ring, &p.id), 70 * MS, "%llu is not the second largest",
                 (unsigned long long)ring__p95_to(o->ring, &p.id));
    lone_free(o);
}

Test(links, a_silent_link_is_closed_and_its_node_dead)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_meet(o, 7, &p, true);
    o->now_us += 10 * MS;
    answer_ping(o, 7);
    lone_forget(o);
    lone_wait(o, 900 * MS);
    cr_assert_null(lone_find(o, STEP_CLOSE, 0, NULL), "it is closed too soon");
    cr_assert(lone_count(o, STEP_SEND, WIRE_r_ping) > 0, "it is not pinged");
    lone_wait(o, 2 * SECOND);
    assert_closed(o, 7, PEAL_E_CLOSED);
    cr_assert(o->down_n == 1 && book_find(o->ring, &p.id)->dead, "its node is not dead");
    cr_assert_not_null(lone_find(o, STEP_DIAL, 0, NULL), "it is not dialled again");
    lone_unlink(o, 7, p.address, true); /* the host's word of the close: not of that dial */
    cr_assert(book_find(o->ring, &p.id)->dialling, "the dial under way counts as failed");
    lone_link(o, 8, &p, true);
    lone_hello(o, 8, &p, RING_SEEKING);
    cr_assert(o->up_n == 2 && !book_find(o->ring, &p.id)->dead, "it is not up again");
    lone_free(o);
}

static bool says_ping(const struct lone *o, uint32_t link)
{
    for (size_t i = 0; i < o->said_n; i++)
        if (o->said[i].kind == STEP_SEND && o->said[i].type == WIRE_r_ping &&
            o->said[i].link == link)
            return true;
    return false;
}

/* Three strangers of a member of a large ring: one pings, as who needs this node does; one is used
 * by the layer above; of the third nothing is heard. */
Test(links, an_idle_link_is_closed_and_its_node_not_dead)
{
    struct lone *o = started();
    lone_wait(o, 2 * SECOND);
    struct lone_peer p[3] = {lone_peer(2), lone_peer(3), lone_peer(4)};
    for (uint32_t i = 0; i < 3; i++)
        lone_meet(o, 7 + i, &p[i], false);
    o->ring->phase = RING_LARGE; /* where not everyone is needed */
    zave_pad(&o->ring->z);
    for (uint32_t i = 0; i < 900; i++) {
        struct wire_r_ping ping = {.nonce = 1};
        struct wire_n_notice notice = {.stamp = 0};
        if (i % 10 == 0)
            lone_hear(o, 7, WIRE_r_ping, &ping);
        if (i % 10 == 0)
            lone_hear(o, 8, WIRE_n_notice, &notice);
        for (uint32_t k = 7; k < 10; k++)
            if (says_ping(o, k)) {
                struct wire_r_pong pong = {.nonce = 1};
                lone_hear(o, k, WIRE_r_pong, &pong);
            }
        if (i < 500)
            cr_assert_eq(o->ring->links_n, 3, "after %u00 ms a link is gone", i);
        o->ring->due[PART_MERGE] = UINT64_MAX; /* it looks for other rings through anybody */
        lone_forget(o);
        lone_wait(o, 100 * MS);
    }
    cr_assert(ring_is_up(o->ring, &p[0].id), "who needs this node has lost it");
    cr_assert(ring_is_up(o->ring, &p[1].id), "a link in use is closed");
    cr_assert(!ring_is_up(o->ring, &p[2].id), "the idle link is kept");
    cr_assert(o->down_n == 1 && !book_find(o->ring, &p[2].id)->dead, "its node is dead");
    cr_assert_eq(o->ring->dials.n, 0, "it is dialled again");
    lone_free(o);
}

/* ---- dials ---- */

Test(dial, an_address_of_the_operator_is_tried_with_pauses)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .join = "10.7.7.7:7"});
    lone_start(o);
    uint64_t last = 0, least = UINT64_MAX, most = 0;
    size_t n = 0;
    for (uint64_t i = 0; i < 30000; i++) {
        if (lone_find(o, STEP_DIAL, 0, NULL) != NULL) {
            cr_assert_eq(lone_count(o, STEP_DIAL, 0), 1, "more than one dial at a time");
            if (n++ > 6) {
                least = o->now_us - last < least ? o->now_us - last : least;
                most = o->now_us - last > most ? o->now_us - last : most;
            }
            last = o->now_us;
            lone_forget(o);
            lone_unlink(o, STEP_NO_LINK, "10.7.7.7:7", true);
        }
        lone_wait(o, MS);
    }
    cr_assert(n > 12 && least >= DIAL_MOST_US / 2 && most <= 2 * DIAL_MOST_US,
              "%zu dials, in the end %llu to %llu us apart", n, (unsigned long long)least,
              (unsigned long long)most);
    lone_free(o);
}

/* Whoever is behind it may know of nobody here. */
Test(dial, an_address_that_never_answered_is_tried_in_company_too)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .join = "10.7.7.7:7"});
    struct lone_peer p = lone_peer(2);
    lone_start(o);
    lone_unlink(o, STEP_NO_LINK, "10.7.7.7:7", true);
    lone_link(o, 7, &p, false);
    lone_hello(o, 7, &p, RING_SMALL);
    lone_wait(o, 10 * MS);
    lone_forget(o);
    size_t n = 0;
    for (int i = 0; i < 600; i++) {
        struct wire_r_ping m = {.nonce = 1,
                                .state = {.phase = RING_SMALL, .size = 2, .successor = o->self.id}};
        lone_hear(o, 7, WIRE_r_ping, &m);
        lone_wait(o, 100 * MS);
        if (lone_find(o, STEP_DIAL, 0, NULL) == NULL)
            continue;
        n++;
        lone_forget(o);
        lone_unlink(o, STEP_NO_LINK, "10.7.7.7:7", true);
    }
    cr_assert(ring_is_up(o->ring, &p.id) && o->ring->z.n == 1, "it is alone");
    cr_assert(n >= 4 && n <= 16, "%zu tries in a minute", n);
    lone_free(o);
}

Test(dial, another_node_answers_at_the_address)
{
    struct lone *o = started();
    struct lone_peer meant = lone_peer(2), other = lone_peer(3);
    strcpy(other.address, meant.address);
    lone_in(o);
    bool news;
    struct wire_contact w = lone_contact(&meant);
    struct node *n = book_learn(o->ring, &w, false, 1, &news);
    ring__reach(o->ring, n);
    lone_out(o);
    lone_wait(o, 10);
    cr_assert(n->dialling && lone_find(o, STEP_DIAL, 0, NULL) != NULL, "it is not dialled");
    lone_meet(o, 7, &other, true);
    cr_assert(n->dead && !n->dialling, "who was meant is not dead");
    cr_assert(ring_is_up(o->ring, &other.id), "who answered is not up");
    lone_free(o);
}

Test(dial, a_node_that_is_not_needed_is_tried_once)
{
    struct lone *o = started();
    lone_wait(o, 2 * SECOND); /* a ring of one */
    struct lone_peer p = lone_peer(2);
    lone_in(o);
    bool news;
    struct wire_contact w = lone_contact(&p);
    struct node *n = book_learn(o->ring, &w, true, 1, &news);
    ring__reach(o->ring, n);
    ring__reach(o->ring, n);
    lone_out(o);
    lone_forget(o);
    lone_wait(o, 10);
    cr_assert_eq(lone_count(o, STEP_DIAL, 0), 1, "%zu dials", lone_count(o, STEP_DIAL, 0));
    lone_unlink(o, STEP_NO_LINK, p.address, true);
    cr_assert(n->dead && !n->dial_wanted && o->ring->dials.n == 0, "it is tried still");
    int err = ring_want(o->ring, &p.id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    for (int i = 0; i < 4; i++) {
        lone_forget(o);
        lone_wait(o, 3 * SECOND);
        cr_assert_eq(lone_count(o, STEP_DIAL, 0), 1, "wanted, but not tried for the %dth time", i);
        lone_unlink(o, STEP_NO_LINK, p.address, true);
    }
    lone_free(o);
}

Test(dial, how_long_it_takes_until_hello_is_measured)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    int err = ring_want(o->ring, &p.id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_in(o);
    bool news;
    struct wire_contact w = lone_contact(&p);
    struct node *n = book_learn(o->ring, &w, false, 1, &news);
    lone_out(o);
    cr_assert(!n->dialling && dial_began(n) == 0, "no dial yet");
    cr_assert(dial_ready(o->ring, n), "and nothing against one");
    cr_assert_eq(dial_limit(o->ring), 0, "nothing is known of dials");
    lone_wait(o, 10);
    cr_assert(n->dialling && dial_began(n) > 0 && dial_began(n) <= o->now_us, "under way");
    o->now_us = dial_began(n) + 20 * MS;
    lone_link(o, 7, &p, true);
    cr_assert(dial_ready(o->ring, n), "its hello is on its way");
    o->now_us += 10 * MS;
    lone_hello(o, 7, &p, RING_SEEKING);
    cr_assert_eq(o->ring->dials.took.srtt_us, 30 * MS + 1, "%llu us, hello included",
                 (unsigned long long)o->ring->dials.took.srtt_us);
    cr_assert_eq(dial_limit(o->ring), ring__trips_rto(&o->ring->dials.took), "late after that");
    uint64_t before = o->ring->dials.took.srtt_us;
    struct lone_peer q = lone_peer(3);
    lone_meet(o, 8, &q, false);
    cr_assert_eq(o->ring->dials.took.srtt_us, before, "the peer's own dials are not measured");
    lone_unlink(o, 7, p.address, true);
    lone_wait(o, 10);
    lone_unlink(o, STEP_NO_LINK, p.address, true);
    cr_assert(!n->dialling && !dial_ready(o->ring, n), "after a failure there is a pause");
    lone_free(o);
}

Test(dial, nodes_that_refuse_each_other_do_not_dial_without_pause)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    size_t dials = 0;
    int err = ring_want(o->ring, &p.id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_meet(o, 7, &p, true);
    lone_wait(o, DIAL_LIVED_US);
    lone_forget(o);
    lone_unlink(o, 7, p.address, true);
    lone_wait(o, 0);
    cr_assert_eq(lone_count(o, STEP_DIAL, 0), 1, "after a good link it is not dialled at once");
    for (uint32_t i = 0; i < 20000; i++) {
        if (lone_count(o, STEP_DIAL, 0) > 0) {
            dials++;
            lone_forget(o);
            lone_meet(o, 8 + i, &p, true);
            lone_unlink(o, 8 + i, p.address, true); /* it refuses */
        }
        lone_wait(o, MS);
    }
    cr_assert(dials >= 8 && dials <= 30, "%zu dials in 20 s", dials);
    lone_free(o);
}

Test(dial, only_so_many_are_under_way_at_a_time)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .cheap = true});
    lone_start(o);
    lone_wait(o, 2 * SECOND);
    struct rng rng;
    rng_init(&rng, 5);
    lone_in(o);
    char address[RING_WANTS_MAX][24];
    uint8_t list[WIRE_ADDRESSES_BYTES];
    for (uint32_t i = 0; i < RING_WANTS_MAX; i++) {
        struct peal_id id;
        rng_fill(&rng, id.b, sizeof id.b);
        struct wire_contact w = lone_unsigned(&id, 1);
        snprintf(address[i], sizeof address[i], "10.3.0.%u:1", i);
        w.addresses = peal_bytes_of(list, wire_address_add(list, 0, peal_bytes_str(address[i])));
        bool news;
        cr_assert_not_null(book_learn(o->ring, &w, true, 1, &news), "node %u is not taken", i);
        int err = ring_want(o->ring, &id, true);
        cr_assert_eq(err, 0, "%s", err_name(err));
    }
    lone_out(o);
    lone_forget(o);
    lone_wait(o, 0);
    size_t dials = lone_count(o, STEP_DIAL, 0);
    cr_assert_eq(dials, DIALS_AT_ONCE, "%zu are dialled at once", dials);
    for (size_t k = 0; k <= RING_WANTS_MAX / DIALS_AT_ONCE; k++) /* each makes way for another */
        for (size_t i = 0; i < RING_WANTS_MAX; i++)
            lone_unlink(o, STEP_NO_LINK, address[i], true);
    dials = lone_count(o, STEP_DIAL, 0);
    cr_assert_eq(dials, RING_WANTS_MAX, "%zu have been dialled", dials);
    cr_assert_eq(o->ring->dials.under_way, 0, "%u are under way", o->ring->dials.under_way);
    lone_wait(o, 5 * SECOND);
    cr_assert_leq(o->ring->dials.under_way, DIALS_AT_ONCE, "%u are under way",
                  o->ring->dials.under_way);
    lone_wait(o, DIAL_GIVE_UP_US + 5 * SECOND); /* the host says nothing about any of them */
    cr_assert_gt(lone_count(o, STEP_DIAL, 0), dials + DIALS_AT_ONCE, "the others had no turn");
    lone_free(o);
}

Test(dial, a_new_address_is_dialled_at_once)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    int err = ring_want(o->ring, &p.id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_meet(o, 7, &p, true);
    lone_unlink(o, 7, p.address, true);
    lone_wait(o, 10);
    for (int i = 0; i < 8; i++) { /* until the pauses are long */
        lone_unlink(o, STEP_NO_LINK, p.address, true);
        lone_wait(o, 3 * SECOND);
    }
    lone_unlink(o, STEP_NO_LINK, p.address, true);
    lone_forget(o);
    p.incarnation = 2;
    strcpy(p.address, "10.8.8.8:8");
    lone_in(o);
    bool news;
    struct wire_contact w = lone_contact(&p);
    (void)book_learn(o->ring, &w, false, 1, &news);
    lone_out(o);
    lone_wait(o, 10);
    const struct lone_said *s = lone_find(o, STEP_DIAL, 0, NULL);
    cr_assert_not_null(s, "nothing is dialled");
    cr_assert(peal_bytes_eq(peal_bytes_of(s->bytes, s->n), peal_bytes_str(p.address)),
              "the old address is dialled");
    lone_free(o);
}

/* ---- this node's own affairs ---- */

Test(ring, tells_of_its_new_address)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_meet(o, 7, &p, false);
    lone_forget(o);
    o->self.incarnation = 2;
    strcpy(o->self.address, "10.5.5.5:5");
    struct wire_contact w = lone_contact(&o->self);
    struct wire_n_contacts n = {.contacts = {.v = &w, .n = 1}};
    uint8_t buf[512];
    struct wr b;
    wr_init(&b, buf, sizeof buf);
    int err = wire_encode(WIRE_n_contacts, &n, &b);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_event(o, (struct step_event){.kind = STEP_CONTACT, .bytes = peal_bytes_of(buf, b.n)});
    union wire_any m;
    cr_assert_not_null(lone_find(o, STEP_SEND, WIRE_r_rumours, &m), "nobody is told");
    cr_assert(
        m.r_rumours.rumours.n == 1 &&
            peal_bytes_eq(m.r_rumours.rumours.v[0].contact.addresses, peal_bytes_str("\x0a"
                                                                                     "10.5.5.5:5")),
        "told is something else");
    lone_free(o);
}

Test(ring, says_bye_when_it_leaves)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2), q = lone_peer(3);
    lone_meet(o, 7, &p, false);
    lone_link(o, 8, &q, false); /* has not said hello */
    lone_forget(o);
    struct step_event leave = {.kind = STEP_LEAVE};
    lone_event(o, leave);
    cr_assert_eq(lone_count(o, STEP_SEND, WIRE_r_bye), 1, "%zu byes",
                 lone_count(o, STEP_SEND, WIRE_r_bye));
    cr_assert_eq(lone_count(o, STEP_CLOSE, 0), 2, "%zu links are closed",
                 lone_count(o, STEP_CLOSE, 0));
    cr_assert(o->down_n == 1 && ring_deadline(o->ring) == UINT64_MAX, "it goes on");
    struct ring_view v;
    ring_look(o->ring, &v);
    cr_assert_eq(v.phase, RING_LEFT, "it is %s", ring_phase_name(v.phase));
    lone_link(o, 9, &q, false);
    assert_closed(o, 9, PEAL_E_CLOSED);
    lone_free(o);
}

Test(ring, a_bye_is_death_without_another_try)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    lone_meet(o, 7, &p, false);
    lone_forget(o);
    struct wire_r_bye m = {.stamp = 0};
    lone_hear(o, 7, WIRE_r_bye, &m);
    cr_assert(o->down_n == 1 && book_find(o->ring, &p.id)->dead, "it is not dead");
    lone_wait(o, 10);
    cr_assert_null(lone_find(o, STEP_DIAL, 0, NULL), "it is dialled at once");
    lone_free(o);
}

Test(links, a_bye_of_the_link_alone_is_nobodys_death)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    struct wire_r_bye m = {.code = -PEAL_E_BUSY};
    int err = ring_want(o->ring, &p.id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_meet(o, 7, &p, true);
    lone_forget(o);
    lone_hear(o, 7, WIRE_r_bye, &m);
    const struct node *n = book_find(o->ring, &p.id);
    cr_assert(o->down_n == 1 && !ring_is_up(o->ring, &p.id), "it is up still");
    cr_assert(!n->dead, "it is dead");
    lone_wait(o, MS);
    cr_assert_null(lone_find(o, STEP_DIAL, 0, NULL), "it is dialled at once");
    for (uint32_t i = 0; i < 5; i++) { /* it has no room before its hello either */
        lone_wait(o, 3 * SECOND);
        cr_assert_eq(lone_count(o, STEP_DIAL, 0), 1, "%zu dials in time %u",
                     lone_count(o, STEP_DIAL, 0), i);
        lone_link(o, 8 + i, &p, true);
        lone_forget(o);
        lone_hear(o, 8 + i, WIRE_r_bye, &m);
        cr_assert(!n->dead && o->ring->links_n == 0, "it is dead, or the link is kept");
    }
    m.code = 0;
    lone_wait(o, 3 * SECOND);
    lone_link(o, 20, &p, true);
    lone_hear(o, 20, WIRE_r_bye, &m); /* who was never there cannot leave */
    assert_closed(o, 20, PEAL_E_MALFORMED);
    lone_free(o);
}

Test(links, who_finds_no_room_is_told)
{
    enum { LINKS = RING_SUCCESSORS_DEFAULT + 1 };
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .links = LINKS});
    lone_start(o);
    struct lone_peer p[LINKS + 1];
    for (uint32_t i = 0; i <= LINKS; i++) {
        p[i] = lone_peer((uint8_t)(2 + i));
        int err = ring_want(o->ring, &p[i].id, true);
        cr_assert_eq(err, 0, "%s", err_name(err));
        lone_forget(o);
        lone_meet(o, 10 + i, &p[i], i == LINKS);
    }
    union wire_any m;
    const struct lone_said *s = lone_find(o, STEP_SEND, WIRE_r_bye, &m);
    cr_assert(s != NULL && s->link == 10 + LINKS && m.r_bye.code == -PEAL_E_BUSY,
              "it is not told that there is no room");
    assert_closed(o, 10 + LINKS, PEAL_E_BUSY);
    cr_assert_eq(o->down_n, 0, "another has given way");
    lone_free(o);
}

Test(beacon, is_said_while_alone_and_heeded)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .beacons = true});
    lone_start(o);
    lone_wait(o, 600 * MS);
    cr_assert_geq(lone_count(o, STEP_SAY_BEACON, 0), 3, "%zu beacons while seeking",
                  lone_count(o, STEP_SAY_BEACON, 0));
    lone_forget(o);
    struct lone_peer p = lone_peer(2);
    struct wire_m_beacon b = {.contact = lone_contact(&p), .size = 1};
    uint8_t buf[512];
    struct wr w;
    wr_init(&w, buf, sizeof buf);
    int err = wire_encode(WIRE_m_beacon, &b, &w);
    cr_assert_eq(err, 0, "%s", err_name(err));
    struct step_event ev = {.kind = STEP_BEACON, .bytes = peal_bytes_of(buf, w.n)};
    lone_event(o, ev);
    lone_event(o, ev);
    lone_wait(o, 10);
    cr_assert_eq(lone_count(o, STEP_DIAL, 0), 1, "%zu dials", lone_count(o, STEP_DIAL, 0));
    ev.bytes.n--;
    lone_event(o, ev); /* cut short: ignored */
    lone_wait(o, 5 * SECOND);
    struct ring_view v;
    ring_look(o->ring, &v);
    cr_assert_eq(v.phase, RING_SMALL, "it is %s", ring_phase_name(v.phase));
    lone_forget(o);
    lone_wait(o, 10 * SECOND);
    size_t n = lone_count(o, STEP_SAY_BEACON, 0);
    cr_assert(n >= 7 && n <= 14, "%zu beacons in 10 s alone", n);
    lone_free(o);
}
