/* Contacts with several addresses: which lists are refused, in which order they are dialled, and
 * how the book keeps their bytes. */
#include "lone.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"

/* ---- form ---- */

static struct peal_bytes list_of(uint8_t mem[static WIRE_ADDRESSES_BYTES], const char *const text[],
                                 size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at = wire_address_add(mem, at, peal_bytes_str(text[i]));
    return peal_bytes_of(mem, at);
}

static const char *const FOUR[] = {"10.0.0.1:7000", "[2001:db8::1]:7000", "10.0.0.1:7001",
                                   "server.example:65535"};
static const char *const TWICE[] = {"10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.1:7000"};
static const char *const BAD[] = {"10.0.0.1",    ":7000",          "10.0.0.1:",       "10.0.0.1:0",
                                  "10.0.0.1:07", "10.0.0.1:65536", "10.0.0.1:x",      "a b:1",
                                  "a,b:1",       "\x1b[0m:1",      "[::1:1",          "::1:7000",
                                  "[]:1",        "[::1]7000",      "caf\xc3\xa9:7000"};

Test(contact, has_one_to_four_addresses_none_twice)
{
    struct lone_peer p = lone_peer(2);
    struct wire_contact w = lone_contact(&p);
    uint8_t mem[WIRE_ADDRESSES_BYTES];
    for (size_t n = 1; n <= PEAL_COUNT(FOUR); n++) {
        w.addresses = list_of(mem, FOUR, n);
        cr_assert_null(ring_contact_wrong(&w), "%zu addresses: %s", n, ring_contact_wrong(&w));
    }
    w.addresses.n = 0;
    cr_assert_str_eq(ring_contact_wrong(&w), "a contact without an address", "none");
    w.addresses = list_of(mem, TWICE, 3);
    cr_assert_str_eq(ring_contact_wrong(&w), "a contact with the same address twice", "twice");
    static const uint8_t five[] = {3,   'a', ':', '1', 3,   'b', ':', '1', 3,   'c',
                                   ':', '1', 3,   'd', ':', '1', 3,   'e', ':', '1'};
    w.addresses = peal_bytes_of(five, sizeof five);
    cr_assert_str_eq(ring_contact_wrong(&w), "a contact with too many addresses", "five");
    for (size_t i = 0; i < PEAL_COUNT(BAD); i++) {
        const char *const two[] = {"10.0.0.1:7000", BAD[i]};
        w.addresses = list_of(mem, two, 2);
        cr_assert_str_eq(ring_contact_wrong(&w), "a contact with an address that is not HOST:PORT",
                         "“%s”", BAD[i]);
        cr_assert_eq(ring_contact_verify(NULL, &w), PEAL_E_MALFORMED, "“%s” is verified", BAD[i]);
    }
}

Test(contact, its_signature_covers_all_addresses_and_their_order)
{
    struct lone_peer p = lone_peer(2);
    strcpy(p.more[0], "10.2.0.2:7000");
    struct wire_contact w = lone_contact(&p);
    uint8_t mem[WIRE_ADDRESSES_BYTES];
    cr_assert_eq(ring_contact_verify(NULL, &w), 0, "it is not verified");
    const char *const turned[] = {p.more[0], p.address}, *const other[] = {p.address, "10.2.0.3:1"};
    w.addresses = list_of(mem, turned, 2);
    cr_assert_eq(ring_contact_verify(NULL, &w), PEAL_E_AUTH, "another order is believed");
    w.addresses = list_of(mem, other, 2);
    cr_assert_eq(ring_contact_verify(NULL, &w), PEAL_E_AUTH, "another second one is believed");
    w.addresses = list_of(mem, other, 1);
    cr_assert_eq(ring_contact_verify(NULL, &w), PEAL_E_AUTH, "the second may be left out");
}

static struct lone *started(void)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1});
    lone_start(o);
    lone_forget(o);
    return o;
}

/* A hello with these addresses, signed by its node, closes the link; what for. */
static void assert_refused(const char *const text[], size_t n, const char *why)
{
    struct lone *o = started();
    struct lone_peer p = lone_peer(2);
    uint8_t mem[WIRE_ADDRESSES_BYTES], body[RING_CONTACT_BODY_MAX];
    lone_link(o, 7, &p, false);
    lone_forget(o);
    struct wire_r_hello m = {.version = WIRE_VERSION, .contact = lone_contact(&p)};
    m.contact.addresses = list_of(mem, text, n);
    cry_sign(&p.key, RING_CONTACT_DOMAIN, peal_bytes_of(body, ring_contact_body(&m.contact, body)),
             p.sig);
    lone_hear(o, 7, WIRE_r_hello, &m);
    const struct lone_said *s = lone_find(o, STEP_CLOSE, 0, NULL);
    cr_assert_not_null(s, "it is not refused: %s", why);
    cr_assert(s->link == 7 && s->err == PEAL_E_MALFORMED, "closed for %s", err_name(s->err));
    cr_assert(s->n >= strlen(why) && memcmp(s->bytes, why, strlen(why)) == 0, "not “%s” but “%.*s”",
              why, (int)s->n, (const char *)s->bytes);
    cr_assert_eq(o->ring->book.n, 0, "it is in the book");
    lone_free(o);
}

Test(contact, a_bad_list_closes_the_link_and_says_why)
{
    assert_refused(FOUR, 0, "a contact without an address");
    assert_refused(TWICE, 3, "a contact with the same address twice");
    assert_refused(BAD, 1, "a contact with an address that is not HOST:PORT");
}

/* ---- the order in which they are dialled ---- */

static const char *const AT[] = {"10.1.0.2:7000", "[2001:db8::2]:7000", "10.2.0.2:7000",
                                 "10.3.0.2:7000"};

static struct lone_peer peer_at(size_t n)
{
    struct lone_peer p = lone_peer(2);
    strcpy(p.address, AT[0]);
    for (size_t i = 1; i < n; i++)
        strcpy(p.more[i - 1], AT[i]);
    return p;
}

/* Known, and wanted. */
static struct node *want(struct lone *o, struct lone_peer *p)
{
    bool news;
    struct wire_contact w = lone_contact(p);
    int err = ring_want(o->ring, &p->id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_forget(o);
    lone_in(o);
    struct node *n = book_learn(o->ring, &w, false, 1, &news);
    cr_assert_not_null(n, "it is not taken");
    lone_out(o);
    lone_wait(o, 0);
    return n;
}

/* What was dialled since the last look is this, and nothing else; NULL: nothing. */
static void assert_dialled(struct lone *o, const char *address)
{
    size_t n = lone_count(o, STEP_DIAL, 0);
    const struct lone_said *s = lone_find(o, STEP_DIAL, 0, NULL);
    cr_assert_eq(n, address != NULL, "%zu dials, the last of %.*s", n, s == NULL ? 0 : (int)s->n,
                 s == NULL ? "" : (const char *)s->bytes);
    if (address != NULL)
        cr_assert(peal_bytes_eq(peal_bytes_of(s->bytes, s->n), peal_bytes_str(address)),
                  "not %s but %.*s", address, (int)s->n, (const char *)s->bytes);
    lone_forget(o);
}

static void fail(struct lone *o, const char *address)
{
    lone_unlink(o, STEP_NO_LINK, address, true);
    lone_wait(o, 0);
}

Test(addresses, the_next_is_tried_at_once_when_one_fails_and_the_pause_comes_after_all)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(4);
    struct node *n = want(o, &p);
    for (size_t i = 0; i < 4; i++) {
        assert_dialled(o, AT[i]);
        cr_assert(!n->dead, "it is given up before all were tried");
        fail(o, AT[i]);
    }
    cr_assert(n->dead && n->dial_tries == 1 && !n->dialling, "it is not given up");
    assert_dialled(o, NULL);
    cr_assert_eq(o->ring->dials.under_way, 0, "%u are under way", o->ring->dials.under_way);
    lone_wait(o, 2 * DIAL_FIRST_US);
    assert_dialled(o, AT[0]);
    lone_free(o);
}

Test(addresses, the_next_is_tried_besides_one_that_takes_long_and_never_three)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(4);
    struct node *n = want(o, &p);
    assert_dialled(o, AT[0]);
    lone_wait(o, DIAL_NEXT_US - MS);
    assert_dialled(o, NULL);
    lone_wait(o, MS);
    assert_dialled(o, AT[1]);
    cr_assert_eq(o->ring->dials.under_way, DIALS_OF_NODE, "%u under way", o->ring->dials.under_way);
    lone_wait(o, 4 * DIAL_NEXT_US);
    assert_dialled(o, NULL);
    fail(o, AT[0]);
    assert_dialled(o, AT[2]);
    fail(o, AT[2]);
    assert_dialled(o, AT[3]);
    fail(o, AT[3]);
    cr_assert(!n->dead && n->dialling, "it is given up while one is being tried");
    fail(o, AT[1]);
    cr_assert(n->dead && n->dial_tries == 1, "all have failed");
    lone_free(o);
}

Test(addresses, that_which_worked_last_is_tried_first)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(3);
    (void)want(o, &p);
    fail(o, AT[0]);
    fail(o, AT[1]);
    lone_forget(o);
    lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                      .link = 8,
                                      .dialled = true,
                                      .peer = p.id,
                                      .address = peal_bytes_str(AT[2])});
    lone_hello(o, 8, &p, RING_SEEKING);
    cr_assert(ring_is_up(o->ring, &p.id), "it is not up");
    cr_assert(peal_bytes_eq(ring_address(o->ring, &p.id), peal_bytes_str(AT[2])),
              "its link's address is not shown");
    p.incarnation++; /* it has others now, and that one still */
    strcpy(p.address, "10.8.8.8:8");
    lone_hello(o, 8, &p, RING_SEEKING);
    lone_wait(o, DIAL_LIVED_US);
    lone_forget(o);
    lone_unlink(o, 8, AT[2], true);
    lone_wait(o, 0);
    assert_dialled(o, AT[2]);
    fail(o, AT[2]);
    assert_dialled(o, "10.8.8.8:8");
    fail(o, "10.8.8.8:8");
    assert_dialled(o, AT[1]);
    lone_free(o);
}

/* What works while others are being tried changes the order, and none is tried twice. */
Test(addresses, each_is_tried_once_though_the_best_changes)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(3);
    struct node *n = want(o, &p);
    for (int i = 0; i < 3; i++)
        fail(o, AT[i]);
    lone_forget(o);
    n->best = 2;
    lone_wait(o, 2 * DIAL_FIRST_US);
    assert_dialled(o, AT[2]);
    lone_wait(o, DIAL_NEXT_US);
    assert_dialled(o, AT[0]);
    lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                      .link = 8,
                                      .dialled = true,
                                      .peer = p.id,
                                      .address = peal_bytes_str(AT[0])});
    cr_assert_eq(n->best, 0, "the best is that which works");
    lone_forget(o);
    lone_unlink(o, 8, AT[0], true);
    lone_wait(o, 0);
    assert_dialled(o, AT[1]);
    lone_free(o);
}

/* Where a link comes from says on which of its networks the node can be reached. */
Test(addresses, that_which_a_link_came_from_is_tried_first)
{
    static const char *const from[] = {"10.2.0.2:40123", "[2001:db8::2]:40123", "10.9.9.9:7000"};
    static const uint8_t best[] = {2, 1, 0}; /* the last is none of its own */
    for (size_t i = 0; i < PEAL_COUNT(from); i++) {
        struct lone *o = started();
        struct lone_peer p = peer_at(3);
        lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                          .link = 7,
                                          .peer = p.id,
                                          .address = peal_bytes_str(from[i])});
        lone_hello(o, 7, &p, RING_SEEKING);
        cr_assert(peal_bytes_eq(ring_address(o->ring, &p.id), peal_bytes_str(AT[best[i]])),
                  "from %s", from[i]);
        lone_free(o);
    }
}

Test(addresses, another_node_at_one_of_them_is_passed_over)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(2), other = lone_peer(3);
    struct node *n = want(o, &p);
    assert_dialled(o, AT[0]);
    lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                      .link = 7,
                                      .dialled = true,
                                      .peer = other.id,
                                      .address = peal_bytes_str(AT[0])});
    lone_wait(o, 0);
    assert_dialled(o, AT[1]);
    cr_assert(!n->dead && n->best == 0, "it is dead, or its address is the other's");
    lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                      .link = 8,
                                      .dialled = true,
                                      .peer = p.id,
                                      .address = peal_bytes_str(AT[1])});
    lone_hello(o, 8, &p, RING_SEEKING);
    cr_assert(ring_is_up(o->ring, &p.id) && n->best == 1, "it is not up there");
    lone_free(o);
}

/* Of two dials that both succeed one link stays; the node is up once, and never down. */
Test(addresses, both_may_succeed_and_one_link_stays)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(2);
    struct node *n = want(o, &p);
    lone_wait(o, DIAL_NEXT_US);
    cr_assert_eq(lone_count(o, STEP_DIAL, 0), 2, "both are dialled");
    for (uint32_t i = 0; i < 2; i++)
        lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                          .link = 7 + i,
                                          .dialled = true,
                                          .peer = p.id,
                                          .address = peal_bytes_str(AT[i])});
    lone_hello(o, 7, &p, RING_SEEKING);
    lone_hello(o, 8, &p, RING_SEEKING);
    const struct lone_said *s = lone_find(o, STEP_CLOSE, 0, NULL);
    cr_assert(s != NULL && s->link == 8, "the second stays");
    lone_unlink(o, 8, AT[1], true);
    lone_wait(o, SECOND);
    cr_assert(ring_is_up(o->ring, &p.id) && o->up_n == 1 && o->down_n == 0, "up %zu, down %zu",
              o->up_n, o->down_n);
    cr_assert(n->open == 0 && o->ring->dials.under_way == 0, "a dial is under way");
    lone_free(o);
}

Test(addresses, a_host_that_says_nothing_does_not_keep_the_others_waiting)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(4);
    struct node *n = want(o, &p);
    lone_forget(o);
    lone_wait(o, DIAL_GIVE_UP_US + 3 * DIAL_NEXT_US);
    cr_assert_eq(lone_count(o, STEP_DIAL, 0), 3, "%zu dials", lone_count(o, STEP_DIAL, 0));
    cr_assert(!n->dead, "two are left to be tried");
    lone_wait(o, DIAL_GIVE_UP_US + 3 * DIAL_NEXT_US);
    cr_assert(n->dead, "all four were tried");
    lone_free(o);
}

/* A link that ends before its hello is a way that does not work. */
Test(addresses, the_next_is_tried_when_no_hello_comes)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(2);
    struct node *n = want(o, &p);
    assert_dialled(o, AT[0]);
    lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                      .link = 7,
                                      .dialled = true,
                                      .peer = p.id,
                                      .address = peal_bytes_str(AT[0])});
    lone_wait(o, 2 * DIAL_NEXT_US);
    assert_dialled(o, NULL);
    lone_wait(o, HELLO_WAIT_US);
    assert_dialled(o, AT[1]);
    cr_assert(!n->dead, "it is dead");
    fail(o, AT[1]);
    cr_assert(n->dead, "it is not dead");
    lone_free(o);
}

Test(addresses, new_ones_are_tried_at_once_from_the_first)
{
    struct lone *o = started();
    struct lone_peer p = peer_at(3);
    struct node *n = want(o, &p);
    fail(o, AT[0]);
    lone_forget(o);
    p.incarnation++;
    strcpy(p.address, "10.8.8.8:8");
    bool news;
    struct wire_contact w = lone_contact(&p);
    lone_in(o);
    cr_assert_not_null(book_learn(o->ring, &w, false, 1, &news), "it is not taken");
    lone_out(o);
    lone_wait(o, 0);
    assert_dialled(o, "10.8.8.8:8");
    fail(o, AT[1]); /* of the old list */
    assert_dialled(o, NULL);
    cr_assert(!n->dead && n->open == 1, "the old one's end is taken for the new one's");
    lone_free(o);
}

/* ---- their bytes in the book ---- */

static void assert_kept(struct lone *o, const struct peal_id *id, struct peal_bytes list)
{
    const struct node *n = book_get(o->ring, id);
    cr_assert(n == NULL || peal_bytes_eq(ring__addresses(&n->contact), list),
              "a node has not its own addresses");
}

/* What so many nodes with so many addresses each have is in the book as it was learned, whatever
 * moves and goes. */
Test(addresses, stay_those_of_their_node_while_others_come_move_and_go)
{
    enum { NODES = 300, TURNS = 20000 };
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .hints = 128, .cheap = true});
    lone_start(o);
    static struct peal_id id[NODES];
    static uint64_t incarnation[NODES];
    static uint8_t list[NODES][WIRE_ADDRESSES_BYTES];
    static size_t list_n[NODES];
    struct rng rng;
    rng_init(&rng, 21);
    size_t full = 0, bytes = 0;
    for (size_t i = 0; i < NODES; i++)
        rng_fill(&rng, id[i].b, ID_BYTES);
    lone_in(o);
    for (size_t t = 0; t < TURNS; t++) {
        size_t i = rng_below(&rng, NODES), most = rng_below(&rng, 2) == 0 ? 4 : 1;
        uint8_t next[WIRE_ADDRESSES_BYTES];
        size_t n = 0;
        for (size_t k = 0; k < most; k++) {
            char text[WIRE_ADDRESS_MAX];
            int len = snprintf(text, sizeof text, "[2001:db8:%x:%zx::%zx]:7000",
                               (unsigned)rng_below(&rng, 0xffff), i, k);
            n = wire_address_add(next, n, peal_bytes_of(text, (size_t)len));
        }
        struct wire_contact w = lone_unsigned(&id[i], ++incarnation[i]);
        w.addresses = peal_bytes_of(next, n);
        bool news;
        if (book_learn(o->ring, &w, false, t + 1, &news) == NULL) {
            full++;
            continue;
        }
        memcpy(list[i], next, n);
        list_n[i] = n;
        bytes = o->ring->book.heap.live > bytes ? o->ring->book.heap.live : bytes;
        for (size_t k = 0; t % 16 == 0 && k < NODES; k++)
            assert_kept(o, &id[k], peal_bytes_of(list[k], list_n[k]));
    }
    lone_out(o);
    cr_assert_eq(full, 0, "no room for %zu", full);
    cr_assert(bytes > (size_t)BOOK_ADDRESS_BYTES * 128 * 7 / 8 && o->ring->book.n < 128,
              "it was not full of addresses: %zu bytes, %u nodes", bytes, o->ring->book.n);
    lone_free(o);
}

Test(addresses, are_remembered_on_disk)
{
    static struct lone_store disk;
    struct lone_peer p = peer_at(4);
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .remember = true, .store = &disk});
    bool news;
    lone_start(o);
    lone_in(o);
    struct wire_contact w = lone_contact(&p);
    cr_assert_not_null(book_learn(o->ring, &w, false, 1, &news), "it is not taken");
    lone_out(o);
    lone_wait(o, 2 * SAVE_EVERY_US);
    lone_free(o);
    o = lone_new(&(struct lone_options){.n = 1, .remember = true, .store = &disk});
    lone_start(o);
    const struct node *n = book_get(o->ring, &p.id);
    cr_assert(n != NULL && peal_bytes_eq(ring__addresses(&n->contact), w.addresses),
              "they are not what they were");
    lone_free(o);
}
