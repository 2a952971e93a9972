/* Mailboxes through the service: their limits, messages that wait in vain, what may be put into
 * them and taken out, and that what was taken out does not come back. */
#include "people.h"

#include <criterion/criterion.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000, SETTLE = 60 * HOST_SEC };

static struct host *ring(uint32_t nodes, uint64_t seed, uint64_t box_rows_max, uint32_t days)
{
    struct host_opts o = {.nodes = nodes,
                          .replicas = nodes > 1 ? 2 : 0,
                          .seed = seed,
                          .sessions_max = 32,
                          .locations_max = 64,
                          .box_rows_max = box_rows_max,
                          .message_days = days};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 60 * HOST_SEC), "a ring of %u is whole", nodes);
    return h;
}

static const struct wire_c_unsent *unsent(struct person *p, struct peal_msg_id id, int err)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_unsent, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s is told", p->name);
    cr_assert(msg_id_eq(&m->c_unsent.id, &id), "of this message");
    cr_assert_eq(-(int)m->c_unsent.code, err, "%s, expected %s", err_name(-(int)m->c_unsent.code),
                 err_name(err));
    cr_assert(m->c_unsent.hint.n > 0, "what to do about it");
    return &m->c_unsent;
}

static size_t all_rows(struct host *h, uint32_t nodes)
{
    size_t n = 0;
    for (uint32_t i = 0; i < nodes; i++)
        n += host_rows(h, i);
    return n;
}

/* ---- limits ---- */

static void fill_bobs_mailbox(uint32_t nodes)
{
    enum { LIMIT = 5 };
    struct host *h = ring(nodes, 5, LIMIT, 0);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob"),
                  c = person_of(h, 2, "carol");
    person_register(&a, 0);
    person_register(&b, 0);
    person_register(&c, 0);
    host_hang_up(h, 1);
    host_hang_up(h, 2);
    host_run(h, HOST_SEC);
    struct peal_msg_id ids[LIMIT + 1];
    for (uint64_t i = 0; i <= LIMIT; i++) {
        ids[i] = people_id(h, i);
        person_send(&a, "bob", ids[i], "hello");
        if (i < LIMIT)
            person_stored(&a, ids[i]);
    }
    const struct wire_c_unsent *u = unsent(&a, ids[LIMIT], PEAL_E_QUOTA);
    cr_assert(peal_bytes_eq(u->message, peal_bytes_str("the mailbox of bob is full")),
              "said plainly, not “%.*s”", (int)u->message.n, (const char *)u->message.p);
    struct peal_msg_id other = people_id(h, 50);
    person_send(&a, "carol", other, "hello");
    person_stored(&a, other);
    person_send(&a, "bob", ids[0], "hello");
    person_stored(&a, ids[0]);
    person_resume(&b, nodes - 1);
    const struct wire_c_deliver *d = person_rows(&b, PEOPLE_WAIT);
    cr_assert(d != NULL && d->rows.n == LIMIT, "what is there is delivered");
    person_ack(&b, ids[2]);
    host_run(h, HOST_SEC);
    person_send(&a, "bob", ids[LIMIT], "hello");
    person_stored(&a, ids[LIMIT]);
    d = person_rows(&b, PEOPLE_WAIT);
    cr_assert(d != NULL && d->rows.n == 1 && msg_id_eq(&d->rows.v[0].id, &ids[LIMIT]),
              "as soon as there is room");
    host_free(h);
}

Test(mailboxes, a_full_one_is_said_and_has_room_again)
{
    fill_bobs_mailbox(1);
    fill_bobs_mailbox(3);
    fill_bobs_mailbox(5);
}

/* ---- what may be put, and taken ---- */

Test(mailboxes, a_client_puts_messages_and_receipts_and_nothing_else)
{
    static uint8_t body[WIRE_BODY_MAX];
    struct host *h = ring(1, 6, 0, 0);
    struct person a = person_of(h, 0, "alice");
    person_register(&a, 0);
    struct wire_c_send m = {.name = peal_bytes_str("bob"), .body = peal_bytes_of(body, 100)};
    for (unsigned kind = 0; kind < 256; kind++) {
        m.id = people_id(h, kind);
        m.kind = (uint8_t)kind;
        host_say(h, 0, WIRE_c_send, &m);
        if (kind == WIRE_ROW_MESSAGE || kind == WIRE_ROW_RECEIPT)
            person_stored(&a, m.id);
        else
            unsent(&a, m.id, PEAL_E_MALFORMED);
    }
    m.kind = WIRE_ROW_RECEIPT;
    m.id = people_id(h, 1000);
    m.body.n = WIRE_RECEIPT_MAX;
    host_say(h, 0, WIRE_c_send, &m);
    person_stored(&a, m.id);
    m.id = people_id(h, 1001);
    m.body.n++;
    host_say(h, 0, WIRE_c_send, &m);
    unsent(&a, m.id, PEAL_E_MALFORMED);
    m.kind = WIRE_ROW_MESSAGE;
    memset(&m.id, 0, sizeof m.id);
    host_say(h, 0, WIRE_c_send, &m);
    unsent(&a, m.id, PEAL_E_MALFORMED);
    cr_assert_eq(host_keys(h, 0), 3, "what was refused is not there");
    host_free(h);
}

/* Else an account could fill the ring with tombstones. */
Test(mailboxes, only_what_was_delivered_can_be_acknowledged)
{
    struct host *h = ring(3, 7, 0, 0);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    for (uint64_t i = 0; i < 20; i++)
        person_ack(&b, people_id(h, i));
    host_run(h, HOST_SEC);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(host_keys(h, i), 0, "node %u keeps nothing of it", i);
    struct peal_msg_id id = people_id(h, 99);
    person_send(&a, "bob", id, "hello");
    person_delivered(&b, "alice", id, "hello");
    person_stored(&a, id);
    person_ack(&a, id); /* not hers */
    person_ack(&b, id);
    person_ack(&b, id);
    host_run(h, HOST_SEC);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(host_rows(h, i), 0, "it is gone at node %u", i);
        cr_assert_eq(host_keys(h, i), 1, "and leaves one tombstone");
    }
    host_free(h);
}

/* ---- expiry ---- */

static void skew_all(struct host *h, uint32_t nodes, uint64_t ms)
{
    for (uint32_t i = 0; i < nodes; i++)
        host_skew(h, i, ms);
}

static void expect_word(struct person *p, struct peal_msg_id id)
{
    const struct wire_c_deliver *d = person_rows(p, 2 * (uint64_t)SETTLE);
    cr_assert(d != NULL && d->rows.n == 1, "%s is told", p->name);
    const struct wire_row *row = &d->rows.v[0];
    cr_assert_eq(row->kind, WIRE_ROW_EXPIRED, "that something expired");
    cr_assert_eq(row->from.n, 0, "by a server");
    cr_assert(peal_bytes_eq(row->body, peal_bytes_of(id.b, sizeof id.b)), "this message");
}

static void wait_in_vain(uint32_t nodes, bool online)
{
    struct host *h = ring(nodes, 8, 0, 1);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    host_hang_up(h, 1);
    host_run(h, HOST_SEC);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&a, "bob", id, "hello");
    person_stored(&a, id);
    if (!online)
        host_hang_up(h, 0);
    skew_all(h, nodes, 23 * HOUR_MS);
    host_run(h, SETTLE);
    cr_assert_gt(all_rows(h, nodes), 0, "a day is not over");
    skew_all(h, nodes, 26 * HOUR_MS);
    host_run(h, 2 * (uint64_t)SETTLE);
    if (!online)
        person_resume(&a, nodes - 1);
    expect_word(&a, id);
    person_no_rows(&a, SETTLE);
    person_resume(&b, 0);
    person_caught_up(&b);
    const struct wire_row *row = NULL;
    host_hang_up(h, 0); /* not acknowledged: it comes again */
    person_resume(&a, 0);
    const struct wire_c_deliver *d = person_rows(&a, PEOPLE_WAIT);
    cr_assert(d != NULL && d->rows.n == 1, "once more");
    row = &d->rows.v[0];
    person_ack(&a, row->id);
    host_run(h, SETTLE);
    cr_assert_eq(all_rows(h, nodes), 0, "nothing is left");
    host_free(h);
}

Test(mailboxes, who_wrote_in_vain_is_told)
{
    wait_in_vain(1, true);
    wait_in_vain(1, false);
    wait_in_vain(3, true);
    wait_in_vain(5, true);
    wait_in_vain(5, false);
}

/* The row has not been dropped yet: the acknowledgement counts, and nobody is told. */
Test(mailboxes, an_acknowledgement_in_the_last_hour_counts)
{
    struct host *h = ring(3, 9, 0, 1);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&a, "bob", id, "hello");
    person_stored(&a, id);
    person_delivered(&b, "alice", id, "hello");
    skew_all(h, 3, 24 * HOUR_MS + HOUR_MS / 2);
    host_run(h, SETTLE);
    cr_assert_gt(all_rows(h, 3), 0, "its time is over, but it is still there");
    person_ack(&b, id);
    host_run(h, HOST_SEC);
    skew_all(h, 3, 27 * HOUR_MS);
    person_no_rows(&a, 2 * (uint64_t)SETTLE);
    cr_assert_eq(all_rows(h, 3), 0, "gone");
    host_free(h);
}

/* Messages wait for so many days; a tombstone stands for longer. */
Test(mailboxes, a_tombstone_outlives_its_row)
{
    struct host *h = ring(3, 10, 0, 0);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&a, "bob", id, "hello");
    person_stored(&a, id);
    person_delivered(&b, "alice", id, "hello");
    host_run(h, HOST_SEC);
    host_kill(h, 2); /* which keeps the row */
    person_ack(&b, id);
    host_run(h, HOST_SEC);
    cr_assert_eq(host_rows(h, 2), 1, "one was away");
    skew_all(h, 3, (uint64_t)SVC_MESSAGE_DAYS * 24 * HOUR_MS + HOUR_MS / 2);
    host_run(h, 2 * (uint64_t)SETTLE);
    cr_assert_eq(host_keys(h, 0), 1, "the tombstone stands");
    host_start(h, 2);
    host_run(h, 2 * (uint64_t)SETTLE);
    cr_assert_eq(host_rows(h, 2), 0, "and wins over the row");
    person_no_rows(&a, SETTLE);
    skew_all(h, 3, (uint64_t)(SVC_MESSAGE_DAYS + 2) * 24 * HOUR_MS);
    host_run(h, 2 * (uint64_t)SETTLE);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(host_keys(h, i), 0, "in the end it goes as well");
    host_free(h);
}

/* ---- what was taken out stays out ---- */

Test(mailboxes, a_home_that_was_down_brings_nothing_back)
{
    for (uint32_t down = 1; down < 3; down++) {
        struct host *h = ring(3, 20 + down, 0, 0);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
        person_register(&a, 0);
        person_register(&b, 0);
        struct peal_msg_id id = people_id(h, 1);
        person_send(&a, "bob", id, "hello");
        person_stored(&a, id);
        person_delivered(&b, "alice", id, "hello");
        host_run(h, HOST_SEC);
        host_kill(h, down);
        host_run(h, HOST_SEC);
        person_ack(&b, id);
        host_run(h, HOST_SEC);
        host_start(h, down);
        host_run(h, SETTLE);
        cr_assert_eq(all_rows(h, 3), 0, "gone everywhere");
        host_hang_up(h, 1);
        person_resume(&b, down);
        person_caught_up(&b);
        host_free(h);
    }
}

/* Any one is down when the message is sent; who stands in for it still holds the row when it was
 * acknowledged. */
Test(mailboxes, a_stand_in_brings_nothing_back)
{
    for (uint32_t down = 1; down < 5; down++) {
        struct host *h = ring(5, 30 + down, 0, 0);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
        person_register(&a, 0);
        person_register(&b, 0);
        host_kill(h, down);
        host_run(h, 5 * HOST_SEC);
        struct peal_msg_id id = people_id(h, 1);
        person_send(&a, "bob", id, "hello");
        person_stored(&a, id);
        person_delivered(&b, "alice", id, "hello");
        person_ack(&b, id);
        host_run(h, HOST_SEC);
        host_start(h, down);
        host_run(h, 2 * (uint64_t)SETTLE);
        cr_assert_eq(all_rows(h, 5), 0, "node %u is back, and nothing with it", down);
        host_hang_up(h, 1);
        person_resume(&b, down);
        person_caught_up(&b);
        host_free(h);
    }
}

/* No home hears of the acknowledgement but one. */
Test(mailboxes, an_acknowledgement_that_gets_lost_is_repaired)
{
    struct host *h = ring(3, 41, 0, 0);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    struct peal_msg_id id = people_id(h, 1);
    person_send(&a, "bob", id, "hello");
    person_stored(&a, id);
    person_delivered(&b, "alice", id, "hello");
    host_run(h, HOST_SEC);
    host_lose(h, WIRE_n_set_del, 100);
    person_ack(&b, id);
    host_run(h, HOST_SEC);
    cr_assert_eq(all_rows(h, 3), 2, "the others have not heard of it");
    host_run(h, SETTLE);
    cr_assert_eq(all_rows(h, 3), 0, "repair tells them");
    host_free(h);
}

/* The sender does not hear that it is stored, and sends it again after it was acknowledged. */
Test(mailboxes, a_message_that_is_sent_again_after_its_acknowledgement_stays_out)
{
    struct host *h = ring(5, 42, 0, 0);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    struct peal_id box = cry_account_key(peal_bytes_str("bob"));
    uint32_t by = 0;
    while (chord_is_home(svc_chord(host_svc(h, by)), &box)) /* else it would see the tombstone */
        by++;
    person_register(&a, by);
    person_register(&b, by);
    struct peal_msg_id id = people_id(h, 1);
    host_lose(h, WIRE_n_set_ok, 100);
    person_send(&a, "bob", id, "hello");
    person_delivered(&b, "alice", id, "hello");
    person_ack(&b, id);
    host_run(h, PEOPLE_WAIT);
    unsent(&a, id, PEAL_E_UNKNOWN);
    host_lose(h, WIRE_n_set_ok, 0);
    person_send(&a, "bob", id, "hello");
    person_stored(&a, id);
    person_no_rows(&b, SETTLE);
    host_run(h, SETTLE);
    cr_assert_eq(all_rows(h, 5), 0, "nothing waits");
    host_free(h);
}

/* ---- what a read costs ---- */

enum { BEFORE = 3000, A_FEW = 200 };

/* What was acknowledged is gone through once, and not by each session that begins. */
Test(mailboxes, reading_costs_what_waits_and_not_what_was)
{
    struct host *h = ring(3, 60, 0, 0);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    (void)people_count_reads(&a, &b, 0, BEFORE);
    host_run(h, HOST_SEC);
    cr_assert_eq(all_rows(h, 3), 0, "nothing waits");
    cr_assert_geq(host_keys(h, 0), BEFORE, "but there was something");
    struct peal_msg_id old = people_id(h, 0), next = people_id(h, 99);
    host_hang_up(h, 1);
    person_resume(&b, 0);
    person_caught_up(&b);
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t before = host_row_reads(h);
        host_hang_up(h, 1);
        person_resume(&b, i % 3);
        person_caught_up(&b);
        uint64_t n = host_row_reads(h) - before;
        cr_assert_leq(n, A_FEW, "session %u: %lu rows were read", i, (unsigned long)n);
    }
    host_hang_up(h, 1);
    host_run(h, HOST_SEC);
    old.b[1]--; /* from somebody whose clock is behind, by years */
    struct person c = person_of(h, 2, "carol");
    person_register(&c, 2);
    person_send(&c, "bob", next, "a");
    person_stored(&c, next);
    person_send(&c, "bob", old, "b");
    person_stored(&c, old);
    person_resume(&b, 1);
    const struct wire_c_deliver *d = person_rows(&b, PEOPLE_WAIT);
    cr_assert(d != NULL && d->rows.n == 2,
              "what comes now is delivered, however old it says it is");
    cr_assert(msg_id_eq(&d->rows.v[0].id, &old) && msg_id_eq(&d->rows.v[1].id, &next), "in order");
    host_free(h);
}
