/* The service's contract at one node: accounts, sessions, messages, presence, bounds, bad input. */
#include "people.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host *one(void)
{
    struct host_opts o = {
        .nodes = 1, .replicas = 0, .seed = 1, .sessions_max = 32, .locations_max = 64};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 20 * HOST_SEC), "a ring of one");
    return h;
}

/* ---- accounts ---- */

Test(account, one_owner_and_retries)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    struct person other = person_of(h, 1, "alice");
    struct person retry = person_of(h, 2, "alice");
    other.auth[0] ^= 1;
    person_greet(&alice, 0);
    person_ask_register(&alice, 77);
    person_session(&alice);
    cr_assert_eq(alice.generation, 1, "the first session");

    person_greet(&other, 0);
    person_ask_register(&other, 78);
    const struct wire_c_error *e = person_refused(&other, PEAL_E_EXISTS);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("the name alice is taken")),
              "a clear refusal");
    person_ask_register(&other, 77);
    person_refused(&other, PEAL_E_EXISTS);
    other.auth[0] ^= 1;
    person_ask_register(&other, 79);
    person_refused(&other, PEAL_E_EXISTS);

    person_greet(&retry, 0);
    person_ask_register(&retry, 77);
    person_session(&retry);
    cr_assert_eq(retry.generation, 1, "the retry has the first one's session");
    cr_assert_eq(memcmp(retry.token, alice.token, WIRE_TOKEN_BYTES), 0, "and its token");
    person_bye(&alice, PEAL_E_CLOSED);
    host_hang_up(h, 2);
    person_resume(&retry, 0);
    cr_assert_eq(retry.generation, 1, "which is good");
    host_free(h);
}

/* A request that was answered once is not done again, however late its retry comes. */
Test(account, what_is_asked_again_is_done_once)
{
    struct host *h = one();
    struct person first = person_of(h, 0, "alice"), late = person_of(h, 1, "alice");
    struct person again = person_of(h, 2, "alice"), thief = person_of(h, 3, "alice");
    person_greet(&first, 0);
    person_ask_register(&first, 70);
    person_session(&first);
    person_greet(&again, 0);
    person_ask_login(&again, 71);
    person_session(&again);
    cr_assert_eq(again.generation, 2, "a login takes over");
    cr_assert_neq(memcmp(again.token, first.token, WIRE_TOKEN_BYTES), 0, "with another token");
    person_bye(&first, PEAL_E_TAKEN_OVER);

    person_greet(&late, 0);
    person_ask_register(&late, 70);
    person_refused(&late, PEAL_E_TAKEN_OVER); /* not "taken": it is her own */
    person_greet(&thief, 0);
    thief.auth[1] ^= 1;
    person_ask_register(&thief, 70);
    person_refused(&thief, PEAL_E_EXISTS);
    cr_assert(host_connected(h, 2), "the session is not disturbed");

    host_hang_up(h, 2);
    person_greet(&again, 0);
    uint8_t token[WIRE_TOKEN_BYTES];
    memcpy(token, again.token, sizeof token);
    person_ask_login(&again, 71);
    person_session(&again);
    cr_assert_eq(again.generation, 2, "the same login again is the same session");
    cr_assert_eq(memcmp(again.token, token, sizeof token), 0, "by the same token");

    person_ask_login(&late, 72);
    person_session(&late);
    cr_assert_eq(late.generation, 3, "another one takes over");
    person_bye(&again, PEAL_E_TAKEN_OVER);
    person_greet(&again, 0);
    person_ask_login(&again, 71);
    person_refused(&again, PEAL_E_TAKEN_OVER);
    cr_assert(host_connected(h, 1), "and the first one's retry does not take it back");
    struct wire_c_logout out = {.req = 5};
    host_say(h, 1, WIRE_c_logout, &out);
    cr_assert_not_null(host_expect(h, 1, WIRE_c_ok, PEOPLE_WAIT), "logged out");
    person_ask_login(&again, 72);
    person_refused(&again, PEAL_E_TAKEN_OVER);
    person_ask_register(&again, 70);
    person_refused(&again, PEAL_E_TAKEN_OVER);
    host_free(h);
}

/* As many logins are remembered as an account has room for; and each has its place in the order. */
Test(account, the_last_logins_are_remembered)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    for (uint64_t i = 1; i <= 2 * WIRE_LOGINS_MAX; i++) {
        struct person p = person_of(h, 1 + (uint32_t)i, "alice");
        person_greet(&p, 0);
        person_ask_login(&p, 100 + i);
        person_session(&p);
        cr_assert_eq(p.generation, 1 + i, "login %d", (int)i);
        if (i == 1)
            continue;
        struct person late = person_of(h, 30, "alice");
        uint64_t old = i > WIRE_LOGINS_MAX ? i - WIRE_LOGINS_MAX + 1 : 1;
        person_greet(&late, 0);
        person_ask_login(&late, 100 + old);
        person_refused(&late, PEAL_E_TAKEN_OVER);
        person_ask_login(&late, 100 + i);
        person_session(&late);
        cr_assert_eq(late.generation, 1 + i, "login %d again", (int)i);
    }
    host_free(h);
}

/* An account that an earlier build stored can be read, and logged in to. */
Test(account, one_that_an_earlier_build_stored)
{
    for (unsigned form = 0; form <= 1; form++) {
        struct host *h = one();
        struct person alice = person_of(h, 0, "alice");
        person_register(&alice, 0);
        host_run(h, HOST_SEC);
        host_kill(h, 0);
        cr_assert_eq(host_age_accounts(h, 0, form), 1, "hers is stored as it was then");
        host_start(h, 0);
        cr_assert(host_whole(h, 20 * HOST_SEC), "a ring of one");
        person_resume(&alice, 0);
        cr_assert_eq(alice.generation, 1, "her session goes on");
        struct person next = person_of(h, 1, "alice");
        person_login(&next, 0);
        cr_assert_eq(next.generation, 2, "it is the same account");
        person_bye(&alice, PEAL_E_TAKEN_OVER);
        host_run(h, HOST_SEC);
        host_kill(h, 0);
        cr_assert_eq(host_age_accounts(h, 0, form), 1, "it was written in the new form");
        host_free(h);
    }
}

Test(account, fields_are_checked)
{
    struct host *h = one();
    struct person p = person_of(h, 0, "Alice");
    person_greet(&p, 0);
    person_ask_register(&p, 1);
    const struct wire_c_error *e = person_refused(&p, PEAL_E_MALFORMED);
    cr_assert(peal_bytes_eq(e->hint, peal_bytes_str("ask for alice")),
              "the canonical name is offered");
    strcpy(p.name, "a b");
    person_ask_register(&p, 1);
    person_refused(&p, PEAL_E_MALFORMED);
    memset(p.name, 'a', 33);
    p.name[33] = 0;
    person_ask_register(&p, 1);
    person_refused(&p, PEAL_E_TOO_LONG);
    strcpy(p.name, "p\xd0\xb0ypal");
    person_ask_login(&p, 1);
    person_refused(&p, PEAL_E_REFUSED);
    struct wire_c_register m = {
        .req = 9, .name = peal_bytes_str("alice"), .auth = peal_bytes_of(p.auth, 32)};
    host_say(h, 0, WIRE_c_register, &m);
    person_refused(&p, PEAL_E_MALFORMED);
    host_free(h);
}

Test(account, passwords)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    struct person thief = person_of(h, 1, "alice");
    struct person nobody = person_of(h, 2, "nobody");
    person_register(&alice, 0);
    thief.auth[5] ^= 4;
    person_greet(&thief, 0);
    person_ask_login(&thief, 1);
    const struct wire_c_error *e = person_refused(&thief, PEAL_E_AUTH);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("the password is wrong")), "said plainly");
    cr_assert(host_connected(h, 0), "the owner is not disturbed");
    person_greet(&nobody, 0);
    person_ask_login(&nobody, 1);
    e = person_refused(&nobody, PEAL_E_NOT_FOUND);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("there is no account named nobody")),
              "named");
    for (int i = 1; i < SVC_LOGIN_FAILURES; i++) {
        person_ask_login(&thief, 1);
        person_refused(&thief, PEAL_E_AUTH);
    }
    person_ask_login(&thief, 1);
    person_refused(&thief, PEAL_E_BUSY);
    host_run(h, 61 * (uint64_t)HOST_SEC);
    person_ask_login(&thief, 1);
    person_refused(&thief, PEAL_E_AUTH);
    struct person again = person_of(h, 3, "alice");
    person_login(&again, 0);
    cr_assert_eq(again.generation, 2, "the right password takes over");
    person_bye(&alice, PEAL_E_TAKEN_OVER);
    host_run(h, HOST_SEC);
    cr_assert(!host_connected(h, 0), "the old link is closed");
    host_free(h);
}

Test(account, guesses_at_once_count)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    host_hang_up(h, 0);
    int wrong = 0, busy = 0;
    struct person thieves[2 * SVC_LOGIN_FAILURES];
    for (uint32_t i = 0; i < 2 * SVC_LOGIN_FAILURES; i++) {
        thieves[i] = person_of(h, i + 1, "alice");
        thieves[i].auth[0] ^= 1;
        person_greet(&thieves[i], 0);
    }
    for (uint32_t i = 0; i < 2 * SVC_LOGIN_FAILURES; i++)
        person_ask_login(&thieves[i], 1);
    for (uint32_t i = 0; i < 2 * SVC_LOGIN_FAILURES; i++) {
        const union wire_any *m = host_expect(h, i + 1, WIRE_c_error, PEOPLE_WAIT);
        cr_assert_not_null(m, "an answer to guess %u", i);
        wrong += m->c_error.code == (uint16_t)-PEAL_E_AUTH;
        busy += m->c_error.code == (uint16_t)-PEAL_E_BUSY;
    }
    cr_assert_eq(wrong, SVC_LOGIN_FAILURES, "%d guesses were tried", wrong);
    cr_assert_eq(busy, SVC_LOGIN_FAILURES, "%d were not", busy);
    host_free(h);
}

Test(account, resume_and_logout)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    struct person copy = alice;
    copy.client = 1;
    person_resume(&copy, 0);
    cr_assert_eq(copy.generation, alice.generation, "the same session");
    person_bye(&alice, PEAL_E_CLOSED);
    struct person wrong = copy;
    wrong.client = 2;
    wrong.token[3] ^= 1;
    person_greet(&wrong, 0);
    person_ask_resume(&wrong);
    person_refused(&wrong, PEAL_E_AUTH);
    struct wire_c_logout out = {.req = 5};
    host_say(h, 1, WIRE_c_logout, &out);
    cr_assert_not_null(host_expect(h, 1, WIRE_c_ok, PEOPLE_WAIT), "logged out");
    person_ask_resume(&copy);
    person_refused(&copy, PEAL_E_AUTH);
    person_ask_login(&copy, 3);
    person_session(&copy);
    cr_assert_eq(copy.generation, 2, "the link serves another session");
    host_free(h);
}

Test(account, find)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    struct person bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_greet(&bob, 0);
    const struct wire_c_user *u = person_find(&bob, "alice");
    cr_assert(u->online, "alice is online");
    cr_assert(peal_bytes_eq(u->bundle, peal_bytes_of(alice.auth, 32)), "her keys");
    cr_assert(u->salt.n == CRY_SALT_BYTES && u->salt.p[1] == 2 && u->ops == CRY_KDF_OPS_DEFAULT,
              "her salt");
    cr_assert(peal_bytes_eq(u->display, peal_bytes_str("Somebody")), "her display name");
    uint64_t wall = host_wall(h);
    host_hang_up(h, 0);
    host_run(h, HOST_SEC);
    u = person_find(&bob, "alice");
    cr_assert(!u->online, "alice is offline");
    cr_assert(u->last_seen + 1000 >= wall && u->last_seen <= host_wall(h), "since now");
    struct wire_c_find m = {.req = 9, .name = peal_bytes_str("carol")};
    host_say(h, 1, WIRE_c_find, &m);
    const struct wire_c_error *e = person_refused(&bob, PEAL_E_NOT_FOUND);
    cr_assert_eq(e->req, 9, "the answer is to the question");
    host_free(h);
}

/* ---- messages ---- */

Test(message, sent_stored_delivered_acknowledged)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&alice, "bob", id, "hello");
    person_delivered(&bob, "alice", id, "hello");
    person_stored(&alice, id);
    cr_assert_eq(host_rows(h, 0), 1, "it waits for the acknowledgement");
    person_ack(&bob, id);
    host_run(h, HOST_SEC);
    cr_assert_eq(host_rows(h, 0), 0, "and is gone");
    person_no_rows(&bob, 20 * HOST_SEC);
    person_send(&alice, "bob", people_id(h, 2), "again");
    person_send(&alice, "alice", people_id(h, 3), "a note to herself");
    person_delivered(&alice, "alice", people_id(h, 3), "a note to herself");
    struct svc_stats st;
    svc_stats(host_svc(h, 0), &st);
    cr_assert_eq(st.sessions, 2, "two sessions");
    cr_assert_eq(st.delivered, 3, "three rows");
    host_free(h);
}

/* Nobody is told "stored" before the row is on the disk, and the push does not wait for it. */
Test(message, stored_means_durable)
{
    struct host_opts o = {
        .nodes = 1, .seed = 3, .sessions_max = 8, .locations_max = 8, .fsync_us = 50 * HOST_MS};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 20 * HOST_SEC), "a ring of one");
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&alice, "bob", id, "hello");
    uint64_t sent = host_now(h);
    person_delivered(&bob, "alice", id, "hello");
    cr_assert_lt(host_now(h) - sent, 10 * HOST_MS, "pushed at once");
    person_stored(&alice, id);
    cr_assert_geq(host_now(h) - sent, 50 * HOST_MS, "stored when it is durable");
    host_free(h);
}

Test(message, waits_for_the_absent_in_order)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    struct peal_msg_id ids[3];
    char text[24];
    person_register(&alice, 0);
    person_register(&bob, 0);
    host_hang_up(h, 1);
    host_run(h, HOST_SEC);
    for (int i = 0; i < 3; i++) {
        ids[i] = people_id(h, (uint64_t)i);
        (void)snprintf(text, sizeof text, "waiting %d", i);
        person_send(&alice, "bob", ids[i], text);
        person_stored(&alice, ids[i]);
    }
    person_resume(&bob, 0);
    const struct wire_c_deliver *m = person_rows(&bob, PEOPLE_WAIT);
    cr_assert_not_null(m, "what waited is delivered");
    cr_assert_eq(m->rows.n, 3, "all three");
    for (int i = 0; i < 3; i++)
        cr_assert(msg_id_eq(&m->rows.v[i].id, &ids[i]), "number %d is in its place", i);
    person_no_rows(&bob, 12 * HOST_SEC);
    host_hang_up(h, 1);
    person_resume(&bob, 0);
    m = person_rows(&bob, PEOPLE_WAIT);
    cr_assert(m != NULL && m->rows.n == 3, "not acknowledged: delivered again to the next session");
    struct wire_c_ack ack = {.ids = {.v = ids, .n = 3}};
    host_say(h, 1, WIRE_c_ack, &ack);
    person_send(&alice, "bob", people_id(h, 9), "now");
    person_delivered(&bob, "alice", people_id(h, 9), "now");
    host_free(h);
}

/* More than fits in flight: it comes in order, as fast as it is acknowledged, and pushes of the
 * meantime are not lost. */
Test(message, a_full_mailbox)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    people_full_mailbox(&alice, &bob, 0);
    cr_assert_eq(host_rows(h, 0), 0, "the mailbox is empty");
    host_free(h);
}

/* The end of what waited is said once in a session, whether or not anything waited. */
Test(message, nothing_more_is_said_once)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_caught_up(&alice);
    person_register(&bob, 0);
    person_caught_up(&bob);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&alice, "bob", id, "hello");
    person_delivered(&bob, "alice", id, "hello");
    person_silence(&bob, WIRE_c_deliver, 70 * HOST_SEC); /* it is looked into again meanwhile */
    host_hang_up(h, 1);
    person_resume(&bob, 0);
    person_delivered(&bob, "alice", id, "hello");
    person_caught_up(&bob);
    person_ack(&bob, id);
    host_run(h, HOST_SEC);
    host_hang_up(h, 1);
    person_resume(&bob, 0);
    person_caught_up(&bob);
    host_free(h);
}

enum { MANY = 10000, READS_PER_ROW = 4 };

/* However much waits, it is not read over and over. */
Test(message, a_large_mailbox_is_read_a_few_times)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    uint64_t n = people_count_reads(&alice, &bob, 0, MANY);
    cr_assert_leq(n, READS_PER_ROW * MANY, "%lu rows were read for %d", (unsigned long)n, MANY);
    host_free(h);
}

Test(message, bounds_and_bad_ones)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    static uint8_t big[WIRE_BODY_MAX];
    person_register(&alice, 0);
    struct wire_c_send m = {.id = people_id(h, 1),
                            .name = peal_bytes_str("bob"),
                            .kind = 9,
                            .body = peal_bytes_of(big, 10)};
    host_say(h, 0, WIRE_c_send, &m);
    const union wire_any *u = host_expect(h, 0, WIRE_c_unsent, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_unsent.code == (uint16_t)-PEAL_E_MALFORMED, "no such kind");
    m.kind = WIRE_ROW_MESSAGE;
    m.name = peal_bytes_str("Bob");
    host_say(h, 0, WIRE_c_send, &m);
    u = host_expect(h, 0, WIRE_c_unsent, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_unsent.code == (uint16_t)-PEAL_E_MALFORMED, "no such name");
    m.name = peal_bytes_str("bob");
    m.body = peal_bytes_of(big, sizeof big);
    host_say(h, 0, WIRE_c_send, &m);
    person_stored(&alice, m.id);
    m.body = peal_bytes_of(big, 8);
    for (uint64_t i = 0; i < SVC_LINK_SENDS_MAX + 10; i++) {
        m.id = people_id(h, 100 + i);
        host_say(h, 0, WIRE_c_send, &m);
    }
    size_t stored = 0, busy = 0;
    uint16_t type = 0;
    host_run(h, 5 * HOST_SEC);
    while ((u = host_next(h, 0, &type)) != NULL) {
        stored += type == WIRE_c_stored ? u->c_stored.ids.n : 0;
        busy += type == WIRE_c_unsent && u->c_unsent.code == (uint16_t)-PEAL_E_BUSY;
    }
    cr_assert_eq(stored + busy, SVC_LINK_SENDS_MAX + 10, "each has an answer: %zu stored, %zu busy",
                 stored, busy);
    cr_assert_geq(stored, SVC_LINK_SENDS_MAX, "as many as may be under way");
    host_store_state(h, 0, PEAL_E_NO_SPACE);
    m.id = people_id(h, 999);
    host_say(h, 0, WIRE_c_send, &m);
    u = host_expect(h, 0, WIRE_c_unsent, 30 * HOST_SEC);
    cr_assert(u != NULL && u->c_unsent.code != 0 && u->c_unsent.hint.n > 0, "a full disk is said");
    host_free(h);
}

/* ---- presence ---- */

Test(presence, watched)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    struct wire_name names[2] = {{.name = peal_bytes_str("bob")},
                                 {.name = peal_bytes_str("carol")}};
    struct wire_c_watch m = {.names = {.v = names, .n = 2}};
    host_say(h, 0, WIRE_c_watch, &m);
    for (int i = 0; i < 2; i++) {
        const union wire_any *u = host_expect(h, 0, WIRE_c_presence, PEOPLE_WAIT);
        cr_assert(u != NULL && !u->c_presence.online, "nobody is there");
    }
    person_register(&bob, 0);
    const union wire_any *u = host_expect(h, 0, WIRE_c_presence, 50 * HOST_MS);
    cr_assert(u != NULL && u->c_presence.online &&
                  peal_bytes_eq(u->c_presence.name, peal_bytes_str("bob")),
              "bob came, and alice knows at once");
    person_silence(&alice, WIRE_c_presence, 40 * HOST_SEC);
    host_mute(h, 1);
    u = host_expect(h, 0, WIRE_c_presence, 14 * (uint64_t)HOST_SEC - 6 * HOST_SEC);
    cr_assert_null(u, "a short silence is nothing");
    u = host_expect(h, 0, WIRE_c_presence, 10 * HOST_SEC);
    cr_assert(u != NULL && !u->c_presence.online, "a long one is");
    cr_assert(host_wall(h) - u->c_presence.last_seen < 17000,
              "last seen when he last said something");
    m.names.n = 0;
    host_say(h, 0, WIRE_c_watch, &m);
    host_run(h, HOST_SEC);
    person_login(&bob, 0);
    person_silence(&alice, WIRE_c_presence, 5 * HOST_SEC);
    host_free(h);
}

/* ---- the ring ---- */

Test(ring, seen_and_observed)
{
    struct host *h = one();
    struct person eve = person_of(h, 0, "eve");
    person_greet(&eve, 0);
    struct wire_c_ring_get m = {.req = 4, .observe = false};
    host_say(h, 0, WIRE_c_ring_get, &m);
    const union wire_any *u = host_expect(h, 0, WIRE_c_ring, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_ring.req == 4 && u->c_ring.whole && u->c_ring.nodes.n == 1,
              "the ring");
    person_silence(&eve, WIRE_c_ring, 5 * HOST_SEC);
    m.observe = true;
    host_say(h, 0, WIRE_c_ring_get, &m);
    u = host_expect(h, 0, WIRE_c_ring, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_ring.req == 4, "at once");
    u = host_expect(h, 0, WIRE_c_ring, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_ring.req == 0, "and then by itself");
    host_store_state(h, 0, PEAL_E_IO);
    cr_assert_not_null(host_expect(h, 0, WIRE_c_trace, PEOPLE_WAIT),
                       "what the node says of itself is passed on");
    u = host_expect(h, 0, WIRE_c_ring, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_ring.nodes.v[0].state == WIRE_NODE_UNWELL, "and so is its state");
    host_store_state(h, 0, 0);
    u = host_expect(h, 0, WIRE_c_ring, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_ring.nodes.v[0].state == WIRE_NODE_UP, "until it is well again");
    host_free(h);
}

Test(ring, leaving)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), late = person_of(h, 1, "late");
    person_register(&alice, 0);
    host_leave(h, 0);
    person_bye(&alice, PEAL_E_UNAVAILABLE);
    host_run(h, HOST_SEC);
    cr_assert(!host_connected(h, 0), "the link is closed");
    cr_assert_eq(chord_state(svc_chord(host_svc(h, 0))), CHORD_LEFT, "the node has left");
    host_connect(h, 1, 0);
    person_bye(&late, PEAL_E_UNAVAILABLE);
    host_free(h);
}

/* ---- bad input ---- */

static void expect_closed(struct host *h, uint32_t client, const char *what)
{
    host_run(h, HOST_SEC);
    cr_assert(!host_connected(h, client), "%s closes the link", what);
    cr_assert(strlen(host_reason(h, client)) > 0, "%s: with a reason", what);
}

Test(bad, out_of_state)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), p = person_of(h, 1, "mallory");
    struct wire_c_hello hello = {.version = WIRE_VERSION};
    struct wire_c_ping ping = {0};
    struct wire_c_ack ack = {0};
    struct wire_c_welcome welcome = {0};
    struct wire_r_ping node = {0};
    struct wire_c_logout out = {0};
    person_register(&alice, 0);

    host_connect(h, 1, 0);
    host_say(h, 1, WIRE_c_ping, &ping);
    expect_closed(h, 1, "a ping before hello");
    person_greet(&p, 0);
    host_say(h, 1, WIRE_c_hello, &hello);
    expect_closed(h, 1, "a second hello");
    person_greet(&p, 0);
    person_send(&p, "alice", people_id(h, 1), "boo");
    expect_closed(h, 1, "a message without a session");
    person_greet(&p, 0);
    host_say(h, 1, WIRE_c_ack, &ack);
    expect_closed(h, 1, "an acknowledgement without a session");
    person_greet(&p, 0);
    host_say(h, 1, WIRE_c_welcome, &welcome);
    expect_closed(h, 1, "what only servers say");
    person_greet(&p, 0);
    host_say(h, 1, WIRE_r_ping, &node);
    expect_closed(h, 1, "what only nodes say");
    person_greet(&p, 0);
    host_say(h, 1, WIRE_c_logout, &out);
    expect_closed(h, 1, "a logout without a session");
    person_greet(&p, 0);
    person_ask_login(&p, 1);
    person_ask_login(&p, 2);
    expect_closed(h, 1, "two logins at once");
    host_connect(h, 1, 0);
    host_pinging(h, 1, false);
    host_run(h, 12 * HOST_SEC);
    cr_assert(!host_connected(h, 1), "who says nothing is not kept");
    hello.version = 99;
    host_connect(h, 1, 0);
    host_say(h, 1, WIRE_c_hello, &hello);
    person_bye(&p, PEAL_E_VERSION);
    cr_assert(host_connected(h, 0), "alice is not disturbed");
    (void)person_find(&alice, "alice");
    host_free(h);
}

Test(bad, random_bytes)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), p = person_of(h, 1, "mallory");
    struct rng r;
    person_register(&alice, 0);
    rng_init(&r, 5);
    for (int i = 0; i < 300; i++) {
        uint8_t b[200];
        size_t n = 1 + rng_below(&r, sizeof b);
        rng_fill(&r, b, n);
        if (n > 2 && rng_below(&r, 2) == 0) {
            b[0] = 0;
            b[1] = (uint8_t)(60 + rng_below(&r, 30));
        }
        if (rng_below(&r, 2) == 0)
            person_greet(&p, 0);
        else
            host_connect(h, 1, 0);
        host_say_bytes(h, 1, peal_bytes_of(b, n));
        host_run(h, 20 * HOST_MS);
        host_hang_up(h, 1);
    }
    host_connect(h, 1, 0);
    host_say_bytes(h, 1, peal_bytes_of("\0", 1));
    expect_closed(h, 1, "half a number");
    cr_assert(host_connected(h, 0), "alice is not disturbed");
    (void)person_find(&alice, "alice");
    struct svc_stats st;
    svc_stats(host_svc(h, 0), &st);
    cr_assert_eq(st.clients, 1, "only alice is left: %lu", (unsigned long)st.clients);
    host_free(h);
}

/* ---- bounds ---- */

Test(bounds, strangers)
{
    struct host *h = one();
    struct person p = person_of(h, 0, "alice");
    person_greet(&p, 0);
    struct wire_c_ring_get m = {.req = 4};
    int asked = 0;
    while (host_connected(h, 0) && asked < 1000) {
        host_say(h, 0, WIRE_c_ring_get, &m);
        host_run(h, HOST_MS);
        asked++;
    }
    cr_assert(asked > 20 && asked < 100, "a stranger may ask %d times", asked);
    person_greet(&p, 0);
    for (int i = 0; i < 100; i++) {
        host_say(h, 0, WIRE_c_ring_get, &m);
        host_run(h, HOST_SEC);
    }
    cr_assert(host_connected(h, 0), "as often as once a second for ever");
    host_free(h);
}

Test(bounds, links)
{
    struct host *h = one();
    struct person p[40];
    for (uint32_t i = 0; i < 32; i++) {
        p[i] = person_of(h, i, "x");
        person_greet(&p[i], 0);
    }
    for (uint32_t i = 32; i < 40; i++) {
        p[i] = person_of(h, i, "x");
        host_connect(h, i, 0);
        person_bye(&p[i], PEAL_E_BUSY);
    }
    host_run(h, HOST_SEC);
    for (uint32_t i = 0; i < 40; i++)
        cr_assert_eq(host_connected(h, i), i < 32, "link %u", i);
    host_hang_up(h, 3);
    host_run(h, HOST_SEC);
    person_greet(&p[35], 0);
    host_free(h);
}

Test(bounds, requests_of_a_link)
{
    struct host *h = one();
    struct person p = person_of(h, 0, "alice");
    person_register(&p, 0);
    for (uint64_t i = 0; i < 3 * SVC_LINK_REQUESTS_MAX; i++) {
        struct wire_c_find m = {.req = 100 + i, .name = peal_bytes_str("alice")};
        host_say(h, 0, WIRE_c_find, &m);
    }
    host_run(h, 5 * HOST_SEC);
    size_t users = 0, busy = 0;
    uint16_t type = 0;
    const union wire_any *u = NULL;
    while ((u = host_next(h, 0, &type)) != NULL) {
        users += type == WIRE_c_user;
        busy += type == WIRE_c_error && u->c_error.code == (uint16_t)-PEAL_E_BUSY;
    }
    cr_assert_eq(users + busy, 3 * SVC_LINK_REQUESTS_MAX, "each has one answer");
    cr_assert_geq(users, SVC_LINK_REQUESTS_MAX, "%zu were answered", users);
    host_free(h);
}

/* More accounts than a home has room for: the last seen times of those who are away give way. */
Test(bounds, locations)
{
    struct host_opts o = {.nodes = 1, .seed = 9, .sessions_max = 8, .locations_max = 4};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 20 * HOST_SEC), "a ring of one");
    struct person p[8];
    char name[8];
    for (uint32_t i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof name, "u%u", i);
        p[i] = person_of(h, i, name);
        person_register(&p[i], 0);
        if (i < 2)
            host_hang_up(h, i);
    }
    struct svc_stats st;
    svc_stats(host_svc(h, 0), &st);
    cr_assert_eq(st.locations, 4, "no more than there is room for");
    for (uint32_t i = 2; i < 8; i++) {
        person_send(&p[2], p[i].name, people_id(h, i), "hello");
        person_delivered(&p[i], "u2", people_id(h, i), "hello");
    }
    host_free(h);
}

/* Rows that two clients take and never acknowledge use up no more than their part of the memory for
 * rows under way. */
Test(service, silent_clients_leave_room_for_others)
{
    struct host_opts o = {.nodes = 1, .seed = 5, .sessions_max = 8, .locations_max = 64};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 60 * HOST_SEC), "a ring of one");
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 3, "bob");
    struct person silent[2] = {person_of(h, 1, "xaver"), person_of(h, 2, "yvonne")};
    person_register(&a, 0);
    person_register(&b, 0);
    person_caught_up(&b);
    for (uint64_t i = 0; i < 2; i++) {
        person_register(&silent[i], 0);
        person_caught_up(&silent[i]);
    }
    for (uint64_t i = 0; i < 400; i++) {
        struct peal_msg_id id = people_id(h, 1000 + i);
        person_send(&a, silent[i % 2].name, id, "m");
        person_stored(&a, id);
    }
    struct peal_msg_id id = people_id(h, 5000);
    person_send(&a, "bob", id, "hello");
    person_delivered(&b, "alice", id, "hello");
    host_free(h);
}
