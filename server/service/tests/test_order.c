/* The order in which a session gets its messages: what somebody said later does not come before
 * what was stored earlier, whatever gets lost on the way. */
#include "people.h"

#include <criterion/criterion.h>

static struct host *ring(uint32_t nodes, uint64_t seed)
{
    struct host_opts o = {
        .nodes = nodes, .replicas = 2, .seed = seed, .sessions_max = 32, .locations_max = 64};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 60 * HOST_SEC), "a ring of %u is whole", nodes);
    return h;
}

/* What bob has got: ids of people_id, whose numbers are `first` and those after it. */
struct inbox {
    struct person *bob;
    uint64_t first, got;
};

/* Takes and acknowledges what has come; each row has to be the next one. */
static void take(struct inbox *b)
{
    uint16_t type = 0;
    const union wire_any *m = NULL;
    while ((m = host_next(b->bob->h, b->bob->client, &type)) != NULL) {
        if (type != WIRE_c_deliver || m->c_deliver.rows.n == 0)
            continue;
        struct peal_msg_id ids[WIRE_PAGE_ROWS];
        size_t n = m->c_deliver.rows.n;
        for (size_t i = 0; i < n; i++) {
            struct rd r;
            ids[i] = m->c_deliver.rows.v[i].id;
            rd_init(&r, ids[i].b + MSG_ID_BYTES - sizeof(uint64_t), sizeof(uint64_t));
            uint64_t number = rd_u64(&r);
            cr_assert_eq(number, b->first + b->got, "number %lu comes after %lu others",
                         (unsigned long)number, (unsigned long)b->got);
            b->got++;
        }
        struct wire_c_ack ack = {.ids = {.v = ids, .n = n}};
        host_say(b->bob->h, b->bob->client, WIRE_c_ack, &ack);
    }
}

static bool has_all(void *ctx)
{
    struct inbox *b = ctx;
    take(b);
    return b->got >= 2;
}

/* The home that is to push it loses the first message; the second one is pushed. */
Test(order, a_push_gets_lost)
{
    for (uint32_t nodes = 3; nodes <= 5; nodes++) {
        struct host *h = ring(nodes, 70 + nodes);
        struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
        person_register(&a, 0);
        person_register(&b, 0);
        for (uint32_t n = 0; n < nodes; n++) {
            person_resume(&b, n);
            host_run(h, HOST_SEC);
            struct inbox in = {.bob = &b, .first = 10 * (uint64_t)n};
            uint64_t from = host_now(h);
            take(&in);
            host_lose(h, WIRE_n_push, 100);
            struct peal_msg_id id = people_id(h, in.first);
            person_send(&a, "bob", id, "first");
            person_stored(&a, id);
            host_lose(h, WIRE_n_push, 0);
            id = people_id(h, in.first + 1);
            person_send(&a, "bob", id, "second");
            cr_assert(host_until(h, HOST_SEC, has_all, &in), "both come to node %u of %u", n,
                      nodes);
            cr_assert_lt(host_now(h) - from, HOST_SEC / 4, "and soon, to node %u of %u: %lu ms", n,
                         nodes, (unsigned long)(host_now(h) - from) / HOST_MS);
            person_stored(&a, id);
        }
        host_free(h);
    }
}

/* Somebody writes all the time, while the recipient comes back, again and again: what waited, and
 * what comes while that is read. */
Test(order, said_while_it_is_read)
{
    enum { ROUNDS = 6, SAID = 900, COMES_AFTER = 60 };
    struct host *h = ring(5, 80);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 0);
    for (uint32_t k = 0; k < ROUNDS; k++) {
        struct inbox in = {.bob = &b, .first = 1000 * (uint64_t)k};
        host_hang_up(h, b.client);
        host_run(h, HOST_SEC);
        for (uint32_t i = 0; i < SAID; i++) {
            person_send(&a, "bob", people_id(h, in.first + i), "x");
            host_run(h, 50 * (1 + k));
            if (i == COMES_AFTER)
                person_resume(&b, k % 5);
            if (i > COMES_AFTER)
                take(&in);
        }
        uint64_t from = host_now(h);
        while (in.got < SAID && host_now(h) - from < 2 * HOST_SEC) {
            host_run(h, HOST_MS);
            take(&in);
        }
        cr_assert_eq(in.got, SAID, "all of it comes: %lu", (unsigned long)in.got);
        cr_assert_lt(host_now(h) - from, HOST_SEC / 2, "soon: %lu ms",
                     (unsigned long)(host_now(h) - from) / HOST_MS);
    }
    host_free(h);
}

/* Whoever takes what comes too slowly gets the rest later, and what is said meanwhile after it. */
Test(order, no_room_in_flight)
{
    enum { SAID = 700 };
    struct host *h = ring(5, 81);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob");
    person_register(&a, 0);
    person_register(&b, 2);
    struct inbox in = {.bob = &b};
    host_run(h, HOST_SEC);
    for (uint32_t i = 0; i < SAID; i++) {
        person_send(&a, "bob", people_id(h, i), "x");
        host_run(h, 500);
        if (i > SAID / 2 && i % 50 == 0)
            take(&in);
    }
    uint64_t from = host_now(h);
    while (in.got < SAID && host_now(h) - from < 5 * HOST_SEC) {
        host_run(h, HOST_MS);
        take(&in);
    }
    cr_assert_eq(in.got, SAID, "all of it comes: %lu", (unsigned long)in.got);
    host_free(h);
}

/* Somebody whose messages are always passed over by those of others is not held up by them. */
Test(order, others_are_not_waited_for)
{
    struct host *h = ring(5, 82);
    struct person a = person_of(h, 0, "alice"), b = person_of(h, 1, "bob"),
                  c = person_of(h, 2, "carol");
    person_register(&a, 0);
    person_register(&b, 0);
    person_register(&c, 0);
    for (uint32_t n = 0; n < 5; n++) {
        person_resume(&b, n);
        host_run(h, HOST_SEC);
        host_lose(h, WIRE_n_push, 100);
        struct peal_msg_id one = people_id(h, 10 * n), two = people_id(h, 10 * n + 1);
        person_send(&a, "bob", one, "lost for a moment");
        person_stored(&a, one);
        host_run(h, 100 * HOST_MS); /* what is announced of it has come */
        host_lose(h, WIRE_n_push, 0);
        const struct wire_c_deliver *m = NULL;
        uint64_t from = host_now(h);
        person_send(&c, "bob", two, "of somebody else");
        do {
            m = person_rows(&b, PEOPLE_WAIT);
            cr_assert_not_null(m, "carol's comes to node %u", n);
        } while (!msg_id_eq(&m->rows.v[m->rows.n - 1].id, &two));
        cr_assert_lt(host_now(h) - from, 50 * HOST_MS, "at once, to node %u", n);
        person_stored(&c, two);
        person_ack(&b, two);
        person_ack(&b, one);
        host_run(h, HOST_SEC);
        while (host_waiting(h, b.client) > 0)
            (void)person_rows(&b, HOST_MS);
        person_ack(&b, one);
    }
    host_free(h);
}
