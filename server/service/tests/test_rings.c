/* The service on several nodes: names, sessions and messages while nodes die; a random test against
 * an oracle. */
#include "people.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host *ring(uint32_t nodes, uint8_t replicas, uint64_t seed)
{
    struct host_opts o = {.nodes = nodes,
                          .replicas = replicas,
                          .seed = seed,
                          .sessions_max = 32,
                          .locations_max = 64};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 60 * HOST_SEC), "a ring of %u is whole", nodes);
    return h;
}

/* A home that dies after it was asked about somebody's presence is not waited for. */
Test(rings, found_while_a_home_dies)
{
    for (uint32_t dead = 1; dead < 3; dead++) {
        struct host *h = ring(3, 2, dead);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
        person_register(&a, 0);
        person_register(&b, 0);
        struct wire_c_find m = {.req = ++b.req, .name = peal_bytes_str("alice")};
        host_say(h, b.client, WIRE_c_find, &m);
        host_kill(h, dead);
        const union wire_any *u = host_expect(h, b.client, WIRE_c_user, 150 * HOST_MS);
        cr_assert_not_null(u, "alice is found as soon as node %u is known to be down", dead);
        cr_assert(u->c_user.online, "and is online, as the others know");
        host_free(h);
    }
}

/* Two at two servers at the same instant: one owner, and one clear refusal. */
Test(rings, one_name_two_servers)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct host *h = ring(3, 2, seed);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "alice");
        b.auth[0] ^= 1;
        person_greet(&a, 0);
        person_greet(&b, 1);
        person_ask_register(&a, 1);
        person_ask_register(&b, 2);
        host_run(h, 10 * HOST_SEC);
        int owners = 0, refused = 0;
        uint8_t winner[32];
        for (uint32_t i = 0; i < 2; i++) {
            uint16_t type = 0;
            const union wire_any *m = NULL;
            while ((m = host_next(h, i, &type)) != NULL) {
                if (type == WIRE_c_session) {
                    owners++;
                    memcpy(winner, m->c_session.bundle.p, 32);
                }
                refused += type == WIRE_c_error && m->c_error.code == (uint16_t)-PEAL_E_EXISTS;
            }
        }
        cr_assert_eq(owners, 1, "seed %lu: %d owners", (unsigned long)seed, owners);
        cr_assert_eq(refused, 1, "seed %lu: %d refusals", (unsigned long)seed, refused);
        for (uint32_t n = 0; n < 3; n++) {
            struct person p = person_of(h, 2 + n, "asker");
            person_greet(&p, n);
            const struct wire_c_user *u = person_find(&p, "alice");
            cr_assert(peal_bytes_eq(u->bundle, peal_bytes_of(winner, 32)),
                      "node %u knows the owner", n);
            cr_assert(u->online, "node %u knows where she is", n);
        }
        host_free(h);
    }
}

/* The first answer that client gets within us: a session, an error, or nothing (then 0 and no
 * generation). */
static int answer(struct person *p, uint64_t us)
{
    uint64_t end = host_now(p->h) + us;
    p->generation = 0;
    while (host_now(p->h) < end && host_connected(p->h, p->client)) {
        uint16_t type = 0;
        const union wire_any *m = host_next(p->h, p->client, &type);
        if (m == NULL)
            host_run(p->h, HOST_MS);
        else if (type == WIRE_c_error)
            return -(int)m->c_error.code;
        else if (type == WIRE_c_session) {
            memcpy(p->token, m->c_session.token.p, WIRE_TOKEN_BYTES);
            p->generation = m->c_session.generation;
            return 0;
        }
    }
    return 0;
}

/* Asks again and again with one req_id, each time at the next server that lives, until there is a
 * session; the first server dies after a while, and comes back after some tries. Never is the name
 * taken, never is anything done a second time. */
static void insist(struct person *p, void (*ask)(struct person *, uint64_t), uint64_t req_id,
                   uint64_t dies_us, uint64_t generation, const char *what)
{
    enum { TRIES = 12 };
    struct host *h = p->h;
    uint8_t token[WIRE_TOKEN_BYTES];
    person_greet(p, 0);
    ask(p, req_id);
    host_run(h, dies_us);
    host_kill(h, 0);
    for (uint32_t i = 0; i < TRIES; i++) {
        if (i == 3)
            host_start(h, 0);
        person_greet(p, 1 + i % 2);
        ask(p, req_id);
        int err = answer(p, 6 * HOST_SEC);
        cr_assert(err == 0 || err == PEAL_E_UNKNOWN || err == PEAL_E_UNAVAILABLE ||
                      err == PEAL_E_BUSY,
                  "%s, dies after %d us: try %u: %s", what, (int)dies_us, i, err_name(err));
        if (err == 0 && p->generation != 0)
            break;
    }
    cr_assert_eq(p->generation, generation, "%s, dies after %d us: session %d", what, (int)dies_us,
                 (int)p->generation);
    memcpy(token, p->token, sizeof token);
    host_hang_up(h, p->client);
    person_greet(p, 1);
    ask(p, req_id);
    person_session(p);
    cr_assert_eq(p->generation, generation, "%s: once more", what);
    cr_assert_eq(memcmp(p->token, token, sizeof token), 0, "%s: the same token", what);
}

Test(rings, who_asks_again_elsewhere_gets_the_first_result)
{
    for (uint64_t us = 0; us <= 60 * HOST_MS; us += 1500) {
        struct host *h = ring(3, 2, 40 + us);
        struct person alice = person_of(h, 0, "alice"), again = person_of(h, 1, "alice");
        alice.has_rescue = true;
        insist(&alice, person_ask_register, 7, us, 1, "registered");
        if (!host_alive(h, 0))
            host_start(h, 0);
        cr_assert(host_whole(h, 60 * HOST_SEC), "whole again");
        insist(&again, person_ask_login, 8, us, 2, "logged in");
        if (!host_alive(h, 0))
            host_start(h, 0);
        cr_assert(host_whole(h, 60 * HOST_SEC), "whole again");
        insist(&again, person_ask_password, 9, us, 3, "changed the password");
        memcpy(again.auth, again.new_auth, sizeof again.auth);
        host_hang_up(h, again.client);
        person_login(&again, 1);
        cr_assert_eq(again.generation, 4, "the new password logs in");
        host_hang_up(h, again.client);
        if (!host_alive(h, 0))
            host_start(h, 0);
        cr_assert(host_whole(h, 60 * HOST_SEC), "whole again");
        memset(again.new_auth, 0x77, sizeof again.new_auth);
        insist(&again, person_ask_reset, 10, us, 5, "reset the password");
        host_free(h);
    }
}

/* A deletion is done once, whichever server is asked and whichever dies; the session at another
 * server ends, and the mailbox is empty at all homes, even when the server that began has died. */
Test(rings, a_deletion_survives_its_server)
{
    for (uint64_t us = 0; us <= 40 * HOST_MS; us += 4 * HOST_MS) {
        enum { TRIES = 12 };
        struct host *h = ring(3, 2, 70 + us);
        struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
        struct person here = person_of(h, 2, "alice");
        person_register(&alice, 1);
        person_register(&bob, 2);
        host_mute(h, 0); /* acknowledges nothing */
        for (uint64_t i = 1; i <= 200; i++)
            person_send(&bob, "alice", people_id(h, i), "unread");
        host_run(h, HOST_SEC);
        for (uint32_t n = 0; n < 3; n++)
            cr_assert_eq(host_rows(h, n), 200, "they wait at node %u: %zu", n, host_rows(h, n));
        person_greet(&here, 0);
        person_ask_delete(&here, 5);
        host_run(h, us);
        host_kill(h, 0);
        const union wire_any *done = NULL;
        for (uint32_t i = 0; i < TRIES && done == NULL; i++) {
            if (i == 3)
                host_start(h, 0);
            person_greet(&here, 1 + i % 2);
            person_ask_delete(&here, 5);
            done = host_expect(h, 2, WIRE_c_ok, 6 * HOST_SEC);
        }
        cr_assert_not_null(done, "dies after %d us: deleted", (int)us);
        if (!host_alive(h, 0))
            host_start(h, 0);
        cr_assert(host_whole(h, 60 * HOST_SEC), "whole again");
        host_run(h, 60 * HOST_SEC);
        for (uint32_t n = 0; n < 3; n++)
            cr_assert_eq(host_rows(h, n), 0, "dies after %d us: %zu rows at node %u", (int)us,
                         host_rows(h, n), n);
        cr_assert(!host_connected(h, 0), "the session has ended");
        for (uint32_t n = 0; n < 3; n++) {
            struct person p = person_of(h, 3 + n, "alice");
            person_greet(&p, n);
            person_ask_login(&p, 50 + n);
            person_refused(&p, PEAL_E_NOT_FOUND);
            person_ask_register(&p, 60 + n);
            person_refused(&p, PEAL_E_EXISTS);
        }
        host_free(h);
    }
}

Test(rings, sessions_move)
{
    struct host *h = ring(5, 2, 11);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 1);
    for (uint32_t n = 1; n < 5; n++) {
        struct person next = a;
        next.client = n + 10;
        person_login(&next, n);
        person_bye(&a, PEAL_E_TAKEN_OVER);
        struct peal_msg_id id = people_id(h, n);
        person_send(&b, "alice", id, "where are you");
        person_delivered(&next, "bob", id, "where are you");
        person_stored(&b, id);
        person_ack(&next, id);
        a = next;
    }
    /* The same session at another server: the later link counts. */
    struct person over = a;
    over.client = 30;
    person_resume(&over, 2);
    person_bye(&a, PEAL_E_CLOSED);
    struct peal_msg_id id = people_id(h, 99);
    person_send(&b, "alice", id, "and now");
    person_delivered(&over, "bob", id, "and now");
    host_free(h);
}

Test(rings, watched_from_afar)
{
    struct host *h = ring(5, 0, 12);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    struct wire_name name = {.name = peal_bytes_str("bob")};
    struct wire_c_watch m = {.names = {.v = &name, .n = 1}};
    host_say(h, 0, WIRE_c_watch, &m);
    const union wire_any *u = host_expect(h, 0, WIRE_c_presence, PEOPLE_WAIT);
    cr_assert(u != NULL && !u->c_presence.online, "bob is not there yet");
    for (uint32_t n = 0; n < 5; n++) {
        if (n == 0)
            person_register(&b, n);
        else
            person_resume(&b, n);
        u = host_expect(h, 0, WIRE_c_presence, 3 * HOST_SEC);
        cr_assert(u != NULL && u->c_presence.online, "bob is at node %u", n);
        host_hang_up(h, 1);
        u = host_expect(h, 0, WIRE_c_presence, 3 * HOST_SEC);
        cr_assert(u != NULL && !u->c_presence.online, "bob has left node %u", n);
    }
    host_free(h);
}

Test(rings, servers_are_told)
{
    struct host *h = ring(3, 2, 16);
    struct person a = person_of(h, 0, "alice");
    person_greet(&a, 0);
    host_kill(h, 2);
    const union wire_any *m = NULL;
    do {
        m = host_expect(h, 0, WIRE_c_servers, PEOPLE_WAIT);
        cr_assert_not_null(m, "a server less");
    } while (m->c_servers.servers.n != 2);
    cr_assert(peal_bytes_eq(m->c_servers.servers.v[0].address, peal_bytes_str("10.0.0.1:7000")),
              "this one first");
    host_start(h, 2);
    do {
        m = host_expect(h, 0, WIRE_c_servers, PEOPLE_WAIT);
        cr_assert_not_null(m, "and there it is again");
    } while (m->c_servers.servers.n != 3);
    host_free(h);
}

/* What a dead server announced keeps its owner out of no other, however far ahead its clock was. */
Test(rings, a_dead_server_with_a_fast_clock_keeps_nobody_out)
{
    struct host *h = ring(5, 2, 11);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    host_skew(h, 0, 2 * 3600 * 1000);
    person_register(&a, 1);
    person_register(&b, 0);
    host_run(h, HOST_SEC);
    host_kill(h, 0);
    host_run(h, 3 * HOST_SEC);
    person_resume(&b, 2);
    person_silence(&b, WIRE_c_bye, 10 * HOST_SEC);
    cr_assert(host_connected(h, 1), "bob stays");
    struct peal_msg_id id = people_id(h, 1);
    person_send(&a, "bob", id, "there you are");
    person_delivered(&b, "alice", id, "there you are");
    host_free(h);
}

/* What a home knew of a session that has ended goes with its memory: then it must not speak for the
 * others. */
Test(rings, a_home_that_restarts_does_not_blur_last_seen)
{
    struct host *h = ring(5, 2, 21);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    struct peal_id box = cry_account_key(peal_bytes_str("bob"));
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint32_t home = UINT32_MAX, other[2], n = 0;
    cr_assert_eq(chord_home(svc_chord(host_svc(h, 0)), &box, homes), 3, "three homes");
    for (uint32_t i = 0; i < 5; i++) {
        struct peal_id id = host_node_id(h, i);
        if (id_eq(&id, &homes[0]))
            home = i;
        else if (!chord_is_home(svc_chord(host_svc(h, i)), &box))
            other[n++] = i;
    }
    person_register(&a, other[0]);
    person_register(&b, other[1]);
    host_run(h, 2 * HOST_SEC);
    host_hang_up(h, 1);
    host_run(h, HOST_SEC);
    struct wire_name name = {.name = peal_bytes_str("bob")};
    struct wire_c_watch m = {.names = {.v = &name, .n = 1}};
    host_say(h, 0, WIRE_c_watch, &m);
    const union wire_any *u = host_expect(h, 0, WIRE_c_presence, PEOPLE_WAIT);
    cr_assert(u != NULL && !u->c_presence.online, "bob has left");
    uint64_t seen = u->c_presence.last_seen;
    cr_assert_gt(seen, 0, "not long ago");
    host_kill(h, home);
    host_run(h, 5 * HOST_SEC);
    host_start(h, home);
    cr_assert(host_whole(h, 60 * HOST_SEC), "it is back");
    uint64_t end = host_now(h) + 60 * HOST_SEC;
    while ((u = host_expect(h, 0, WIRE_c_presence, end - host_now(h))) != NULL) {
        cr_assert(!u->c_presence.online, "bob is still away");
        cr_assert_eq(u->c_presence.last_seen, seen, "and has been since then");
    }
    cr_assert(host_connected(h, 0), "alice was there all the time");
    struct person c = person_of(h, 2, "carol"); /* begins to ask only now */
    uint64_t last = 0;
    person_register(&c, other[0]);
    host_say(h, 2, WIRE_c_watch, &m);
    end = host_now(h) + 5 * HOST_SEC;
    while ((u = host_expect(h, 2, WIRE_c_presence, end - host_now(h))) != NULL)
        last = u->c_presence.last_seen;
    cr_assert_eq(last, seen, "the other homes know");
    host_free(h);
}

/* Homes that were not the one to push announce the row, so that a push that gets lost costs a
 * moment and not the message. */
Test(rings, pushes_get_lost)
{
    struct host *h = ring(5, 2, 13);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    host_lose(h, WIRE_n_push, 100);
    for (uint32_t n = 0; n < 5; n++) {
        person_resume(&b, n);
        host_run(h, HOST_SEC);
        struct peal_msg_id id = people_id(h, n);
        uint64_t from = host_now(h);
        person_send(&a, "bob", id, "hello");
        person_delivered(&b, "alice", id, "hello");
        cr_assert_lt(host_now(h) - from, HOST_SEC, "at node %u", n);
        person_ack(&b, id);
        person_no_rows(&b, 2 * HOST_SEC);
    }
    host_free(h);
}

/* What is announced of sessions gets lost as well: a session that no home knows of looks for
 * itself, and is announced again. */
Test(rings, announcements_get_lost)
{
    struct host *h = ring(5, 0, 14);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    for (uint32_t n = 0; n < 5; n++) {
        host_lose(h, WIRE_n_session_open, 100);
        person_resume(&b, n);
        host_run(h, HOST_SEC);
        struct peal_msg_id id = people_id(h, 10 + n);
        person_send(&a, "bob", id, "hello");
        person_stored(&a, id);
        const struct wire_c_deliver *m = person_rows(&b, 12 * HOST_SEC);
        cr_assert(m != NULL && msg_id_eq(&m->rows.v[0].id, &id), "found at node %u", n);
        person_ack(&b, id);
        host_lose(h, WIRE_n_session_open, 0);
        host_run(h, 12 * HOST_SEC);
        id = people_id(h, 20 + n);
        uint64_t from = host_now(h);
        person_send(&a, "bob", id, "again");
        person_delivered(&b, "alice", id, "again");
        cr_assert_lt(host_now(h) - from, 50 * HOST_MS, "then it is pushed to node %u at once", n);
        person_stored(&a, id);
        person_ack(&b, id);
    }
    host_free(h);
}

/* When everything is lost that is to hurry a row along, it still comes by itself. */
Test(rings, whatever_gets_lost)
{
    struct host *h = ring(5, 2, 15);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    host_lose(h, WIRE_n_push, 100);
    host_lose(h, WIRE_n_notice, 100);
    for (uint32_t n = 0; n < 5; n++) {
        person_resume(&b, n);
        host_run(h, HOST_SEC);
        struct peal_msg_id id = people_id(h, n);
        person_send(&a, "bob", id, "hello");
        person_stored(&a, id);
        const struct wire_c_deliver *m = person_rows(&b, 75 * (uint64_t)HOST_SEC);
        cr_assert(m != NULL && msg_id_eq(&m->rows.v[0].id, &id), "it comes to node %u", n);
        person_ack(&b, id);
    }
    host_free(h);
}

Test(rings, full_mailboxes)
{
    for (uint32_t n = 0; n < 5; n++) {
        struct host *h = ring(5, 2, 40 + n);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
        person_register(&a, 0);
        person_register(&b, n);
        people_full_mailbox(&a, &b, n);
        host_run(h, 10 * HOST_SEC);
        for (uint32_t i = 0; i < 5; i++)
            cr_assert_eq(host_rows(h, i), 0, "nothing is left at node %u", i);
        host_free(h);
    }
}

enum { MANY = 10000, READS_PER_COPY = 4 };

/* The same of a mailbox with three copies, whose rows are listed at each of them. */
Test(rings, a_large_mailbox_is_read_a_few_times)
{
    struct host *h = ring(3, 2, 50);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 1);
    uint64_t n = people_count_reads(&a, &b, 1, MANY);
    cr_assert_leq(n, 3 * READS_PER_COPY * MANY, "%lu rows were read for %d", (unsigned long)n,
                  MANY);
    host_free(h);
}

static void reconnect(struct person *p, uint32_t not_at)
{
    for (uint32_t n = 0; n < 5; n++)
        if (n != not_at && host_alive(p->h, n)) {
            person_resume(p, n);
            return;
        }
    cr_assert(false, "some node is alive");
}

/* Whichever of the five is killed: nothing that was said is lost, and both go on. */
Test(rings, any_of_five_killed)
{
    for (uint32_t victim = 0; victim < 5; victim++) {
        struct host *h = ring(5, 2, 20 + victim);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
        char text[32];
        person_register(&a, 1);
        person_register(&b, 3);
        host_hang_up(h, 1);
        host_run(h, HOST_SEC);
        struct peal_msg_id ids[6];
        for (uint64_t i = 0; i < 3; i++) {
            ids[i] = people_id(h, i);
            (void)snprintf(text, sizeof text, "before %lu", (unsigned long)i);
            person_send(&a, "bob", ids[i], text);
            person_stored(&a, ids[i]);
        }
        host_kill(h, victim);
        if (victim == 1)
            reconnect(&a, victim);
        uint64_t from = host_now(h);
        for (uint64_t i = 3; i < 6; i++) {
            ids[i] = people_id(h, i);
            (void)snprintf(text, sizeof text, "after %lu", (unsigned long)i);
            person_send(&a, "bob", ids[i], text);
            person_stored(&a, ids[i]);
        }
        cr_assert_lt(host_now(h) - from, 2 * HOST_SEC, "victim %u: goes on within two seconds",
                     victim);
        reconnect(&b, victim);
        size_t got = 0;
        while (got < 6) {
            const struct wire_c_deliver *m = person_rows(&b, PEOPLE_WAIT);
            cr_assert_not_null(m, "victim %u: number %zu is not lost", victim, got);
            for (size_t k = 0; k < m->rows.n; k++, got++)
                cr_assert(got < 6 && msg_id_eq(&m->rows.v[k].id, &ids[got]),
                          "victim %u: number %zu in its place, once", victim, got);
        }
        struct wire_c_ack ack = {.ids = {.v = ids, .n = 6}};
        host_say(h, 1, WIRE_c_ack, &ack);
        person_no_rows(&b, 15 * HOST_SEC);
        host_start(h, victim);
        cr_assert(host_whole(h, 60 * HOST_SEC), "victim %u comes back", victim);
        for (uint32_t n = 0; n < 5; n++) {
            struct peal_msg_id id = people_id(h, 100 + n);
            person_send(&a, "bob", id, "live");
            person_delivered(&b, "alice", id, "live");
            person_stored(&a, id);
            person_ack(&b, id);
        }
        host_free(h);
    }
}

/* One copy only: a node that was killed and started again still has what it said it had. */
Test(rings, one_copy_survives_a_restart)
{
    struct host *h = ring(5, 0, 31);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 1);
    host_hang_up(h, 1);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&a, "bob", id, "hello");
    person_stored(&a, id);
    for (uint32_t n = 0; n < 5; n++) {
        host_kill(h, n);
        host_run(h, HOST_SEC);
        host_start(h, n);
        cr_assert(host_whole(h, 60 * HOST_SEC), "node %u comes back", n);
    }
    person_resume(&b, 2);
    person_delivered(&b, "alice", id, "hello");
    host_free(h);
}

/* ---- random operations against an oracle ---- */

enum { PEOPLE = 4, SAID_MAX = 2000, STEPS = 400 };

struct said {
    struct peal_msg_id id;
    uint32_t from, to;
    bool stored;
    unsigned delivered;
};

struct oracle {
    struct host *h;
    struct person p[PEOPLE];
    bool in[PEOPLE]; /* has, or is about to have, a session */
    struct said *said;
    size_t n;
    uint64_t counter;
};

static struct said *said_of(struct oracle *o, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < o->n; i++)
        if (msg_id_eq(&o->said[i].id, id))
            return &o->said[i];
    return NULL;
}

static void take_rows(struct oracle *o, uint32_t who, const struct wire_c_deliver *m)
{
    struct peal_msg_id ids[WIRE_PAGE_ROWS];
    for (size_t k = 0; k < m->rows.n; k++) {
        struct said *x = said_of(o, &m->rows.v[k].id);
        cr_assert_not_null(x, "only what was said is delivered");
        cr_assert_eq(x->to, who, "to whom it was said");
        cr_assert(peal_bytes_eq(m->rows.v[k].from, peal_bytes_str(o->p[x->from].name)),
                  "from whom it was");
        x->delivered++;
        ids[k] = m->rows.v[k].id;
    }
    struct wire_c_ack ack = {.ids = {.v = ids, .n = m->rows.n}};
    if (rng_below(host_rng(o->h), 4) != 0)
        host_say(o->h, who, WIRE_c_ack, &ack);
}

static void listen_all(struct oracle *o)
{
    for (uint32_t i = 0; i < PEOPLE; i++) {
        uint16_t type = 0;
        const union wire_any *m = NULL;
        while ((m = host_next(o->h, i, &type)) != NULL) {
            if (type == WIRE_c_deliver) {
                take_rows(o, i, &m->c_deliver);
            } else if (type == WIRE_c_stored) {
                for (size_t k = 0; k < m->c_stored.ids.n; k++) {
                    struct said *x = said_of(o, &m->c_stored.ids.v[k]);
                    cr_assert(x != NULL && x->from == i, "only what this client said is stored");
                    x->stored = true;
                }
            } else if (type == WIRE_c_welcome) {
                person_ask_resume(&o->p[i]);
            } else if (type == WIRE_c_error) {
                cr_assert_neq(m->c_error.code, (uint16_t)-PEAL_E_AUTH, "a good token is good");
                host_hang_up(o->h, i);
                o->in[i] = false;
            } else if (type == WIRE_c_session) {
                o->in[i] = true;
            }
        }
        if (!host_connected(o->h, i))
            o->in[i] = false;
    }
}

static void come_back(struct oracle *o, uint32_t who)
{
    struct wire_c_hello m = {.version = WIRE_VERSION};
    uint32_t node = (uint32_t)rng_below(host_rng(o->h), 5);
    if (!host_alive(o->h, node))
        return;
    host_connect(o->h, who, node);
    host_say(o->h, who, WIRE_c_hello, &m);
}

static void say_something(struct oracle *o, uint32_t who)
{
    uint32_t to = (uint32_t)rng_below(host_rng(o->h), PEOPLE);
    if (!o->in[who] || o->n == SAID_MAX)
        return;
    struct said *x = &o->said[o->n++];
    *x = (struct said){.id = people_id(o->h, ++o->counter), .from = who, .to = to};
    person_send(&o->p[who], o->p[to].name, x->id, "something");
}

static void random_step(struct oracle *o, uint32_t *down)
{
    struct rng *r = host_rng(o->h);
    uint32_t who = (uint32_t)rng_below(r, PEOPLE);
    switch (rng_below(r, 12)) {
    case 0:
        host_hang_up(o->h, who);
        o->in[who] = false;
        break;
    case 1:
        host_mute(o->h, who);
        o->in[who] = false;
        break;
    case 2:
    case 3:
        if (!host_connected(o->h, who) || !o->in[who])
            come_back(o, who);
        break;
    case 4:
        if (*down == UINT32_MAX) {
            *down = (uint32_t)rng_below(r, 5);
            host_kill(o->h, *down);
        } else if (rng_below(r, 3) == 0) {
            host_start(o->h, *down);
            *down = UINT32_MAX;
            cr_assert(host_whole(o->h, 60 * HOST_SEC), "the ring closes again");
        }
        break;
    default:
        say_something(o, who);
        break;
    }
}

static void random_run(uint64_t seed)
{
    uint32_t down = UINT32_MAX;
    struct oracle o = {.h = ring(5, 2, seed)};
    static const char *const names[PEOPLE] = {"alice", "bob", "carol", "dave"};
    /* Half of the runs lose some of what may be lost. */
    host_lose(o.h, WIRE_n_push, seed % 2 ? 40 : 0);
    host_lose(o.h, WIRE_n_notice, seed % 2 ? 20 : 0);
    host_lose(o.h, WIRE_n_session_open, seed % 4 == 1 ? 20 : 0);
    host_lose(o.h, WIRE_n_session_taken, seed % 4 == 3 ? 50 : 0);
    o.said = calloc(SAID_MAX, sizeof *o.said);
    cr_assert_not_null(o.said, "memory");
    for (uint32_t i = 0; i < PEOPLE; i++) {
        o.p[i] = person_of(o.h, i, names[i]);
        person_register(&o.p[i], i);
        o.in[i] = true;
    }
    for (int i = 0; i < STEPS; i++) {
        random_step(&o, &down);
        host_run(o.h, rng_below(host_rng(o.h), 200 * HOST_MS));
        listen_all(&o);
    }
    if (down != UINT32_MAX)
        host_start(o.h, down);
    cr_assert(host_whole(o.h, 60 * HOST_SEC), "the ring closes in the end");
    /* Whoever is there stays; the others come back. Nobody needs to be told anything more. */
    host_run(o.h, 20 * HOST_SEC);
    listen_all(&o);
    for (uint32_t i = 0; i < PEOPLE; i++)
        if (!o.in[i] || !host_connected(o.h, i))
            person_resume(&o.p[i], i);
    for (int i = 0; i < 75; i++) {
        host_run(o.h, HOST_SEC);
        listen_all(&o);
    }
    size_t stored = 0;
    for (size_t i = 0; i < o.n; i++) {
        stored += o.said[i].stored;
        cr_assert(!o.said[i].stored || o.said[i].delivered > 0,
                  "seed %lu: message %zu of %s to %s was stored and never delivered",
                  (unsigned long)seed, i, names[o.said[i].from], names[o.said[i].to]);
    }
    if (getenv("PEAL_SEED") != NULL)
        fprintf(stderr, "seed %lu: %zu said, %zu stored\n", (unsigned long)seed, o.n, stored);
    cr_assert_gt(stored, 20, "seed %lu: enough was said (%zu)", (unsigned long)seed, stored);
    free(o.said);
    host_free(o.h);
}

Test(rings, random_operations)
{
    const char *only = getenv("PEAL_SEED");
    if (only != NULL)
        random_run(strtoull(only, NULL, 10));
    else
        for (uint64_t seed = 1; seed <= 12; seed++)
            random_run(seed);
}
