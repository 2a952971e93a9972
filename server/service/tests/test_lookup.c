/* Lookups: where a name's record is, and the way there, as clients and observers are told. */
#include "people.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { NODES = 3, NAMES = 12 };

static struct host *ring(void)
{
    struct host_opts o = {.nodes = NODES, .replicas = 2, .seed = 5, .sessions_max = 32};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 60 * HOST_SEC), "a ring of three is whole");
    return h;
}

/* The first node at or after the key, by looking at all of them. */
static struct peal_id owner_of(const struct host *h, const struct peal_id *key)
{
    struct peal_id best = {0};
    for (uint32_t i = 0; i < NODES; i++) {
        struct peal_id id = host_node_id(h, i);
        bool after = id_cmp(&id, key) >= 0;
        bool best_after = id_cmp(&best, key) >= 0;
        if (i == 0 || (after && !best_after) || (after == best_after && id_cmp(&id, &best) < 0))
            best = id;
    }
    return best;
}

static void ask(struct host *h, uint32_t client, uint64_t req, const char *name)
{
    struct wire_c_lookup m = {.req = req, .name = peal_bytes_str(name)};
    host_say(h, client, WIRE_c_lookup, &m);
}

static void expect_path(struct host *h, uint32_t client, uint32_t node, uint64_t req,
                        const char *name)
{
    struct peal_id key = cry_account_key(peal_bytes_str(name));
    struct peal_id owner = owner_of(h, &key);
    struct peal_id self = host_node_id(h, node);
    const union wire_any *u = host_expect(h, client, WIRE_c_path, PEOPLE_WAIT);
    cr_assert_not_null(u, "%s at node %u: no answer", name, node);
    const struct wire_c_path *m = &u->c_path;
    cr_assert_eq(m->req, req, "another request's");
    cr_assert(id_eq(&m->key, &key), "%s: another key", name);
    cr_assert(id_eq(&m->owner, &owner), "%s at node %u: another owner", name, node);
    cr_assert(m->path.n >= 1 && m->path.n <= NODES, "%zu on the path", m->path.n);
    cr_assert(id_eq(&m->path.v[0], &self), "it begins elsewhere");
    cr_assert(id_eq(&m->path.v[m->path.n - 1], &owner), "it ends elsewhere");
    cr_assert_eq(m->path.n == 1, id_eq(&self, &owner), "%s: hops", name);
}

/* A name whose record is not at node 0. */
static const char *elsewhere(const struct host *h)
{
    static char name[16];
    struct peal_id self = host_node_id(h, 0);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "name%u", i);
        struct peal_id key = cry_account_key(peal_bytes_str(name));
        struct peal_id owner = owner_of(h, &key);
        if (!id_eq(&owner, &self))
            return name;
    }
    cr_assert_fail("node 0 owns everything");
    return NULL;
}

Test(lookup, names_the_owner_and_the_way)
{
    struct host *h = ring();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    for (uint32_t n = 0; n < NODES; n++) {
        struct person p = person_of(h, 1 + n, "eve");
        person_greet(&p, n);
        ask(h, 1 + n, 7, "alice");
        expect_path(h, 1 + n, n, 7, "alice");
        for (unsigned i = 0; i < NAMES; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "nobody%u", i);
            ask(h, 1 + n, 100 + i, name);
            expect_path(h, 1 + n, n, 100 + i, name);
        }
    }
    ask(h, 0, 8, "alice");
    expect_path(h, 0, 0, 8, "alice");
    host_free(h);
}

Test(lookup, takes_canonical_names_only)
{
    struct host *h = ring();
    struct person p = person_of(h, 0, "eve");
    person_greet(&p, 0);
    ask(h, 0, 3, "Alice");
    const struct wire_c_error *e = person_refused(&p, PEAL_E_MALFORMED);
    cr_assert(peal_bytes_eq(e->hint, peal_bytes_str("ask for alice")), "it says which");
    ask(h, 0, 4, "al ice");
    person_refused(&p, PEAL_E_MALFORMED);
    ask(h, 0, 5, "");
    person_refused(&p, PEAL_E_USAGE);
    host_free(h);
}

Test(lookup, a_ring_that_does_not_answer)
{
    struct host *h = ring();
    struct person p = person_of(h, 0, "eve");
    person_greet(&p, 0);
    host_lose(h, WIRE_r_find, 100);
    ask(h, 0, 3, elsewhere(h));
    const struct wire_c_error *e = person_refused(&p, PEAL_E_UNAVAILABLE);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("the ring did not answer in time")),
              "it says so");
    cr_assert_eq(e->req, 3, "another request");
    cr_assert_gt(e->hint.n, 0, "and what to do");
    host_lose(h, WIRE_r_find, 0);
    ask(h, 0, 4, elsewhere(h));
    expect_path(h, 0, 0, 4, elsewhere(h));
    host_free(h);
}

Test(lookup, a_link_may_ask_so_many_at_once)
{
    struct host *h = ring();
    struct person p = person_of(h, 0, "alice");
    person_register(&p, 0);
    host_lose(h, WIRE_r_find, 100);
    for (uint64_t i = 0; i < 3 * SVC_LINK_REQUESTS_MAX; i++)
        ask(h, 0, 100 + i, elsewhere(h));
    for (uint64_t i = 0; i < 2 * SVC_LINK_REQUESTS_MAX; i++)
        person_refused(&p, PEAL_E_BUSY);
    for (uint64_t i = 0; i < SVC_LINK_REQUESTS_MAX; i++)
        person_refused(&p, PEAL_E_UNAVAILABLE);
    host_free(h);
}

/* More than the table holds: what was asked for by those who went is given up. */
Test(lookup, those_who_go_leave_nothing_behind)
{
    struct host *h = ring();
    struct person p = person_of(h, 0, "eve");
    for (unsigned i = 0; i < 300; i++) {
        person_greet(&p, 0);
        ask(h, 0, 3, elsewhere(h));
        host_run(h, HOST_MS / 10);
        host_hang_up(h, 0);
    }
    host_run(h, 10 * HOST_SEC);
    person_greet(&p, 0);
    ask(h, 0, 4, elsewhere(h));
    expect_path(h, 0, 0, 4, elsewhere(h));
    host_free(h);
}

static unsigned paths_told(struct host *h, uint32_t client)
{
    unsigned n = 0;
    uint16_t type = 0;
    const union wire_any *u = NULL;
    while ((u = host_next(h, client, &type)) != NULL) {
        if (type == WIRE_c_path) {
            cr_assert_eq(u->c_path.req, 0, "an answer to what was not asked");
            n++;
        }
    }
    return n;
}

Test(lookup, observers_see_those_of_others)
{
    struct host *h = ring();
    struct person alice = person_of(h, 0, "alice");
    struct person eve = person_of(h, 1, "eve");
    struct wire_c_ring_get get = {.req = 1, .observe = true};
    person_register(&alice, 0);
    person_greet(&eve, 0);
    host_say(h, 1, WIRE_c_ring_get, &get);
    cr_assert_not_null(host_expect(h, 1, WIRE_c_ring, PEOPLE_WAIT), "the ring");
    ask(h, 0, 8, "bob");
    expect_path(h, 0, 0, 8, "bob");
    expect_path(h, 1, 0, 0, "bob");
    ask(h, 1, 9, "bob");
    expect_path(h, 1, 0, 9, "bob");
    host_run(h, 2 * HOST_SEC);
    cr_assert_eq(paths_told(h, 1), 0, "its own twice");
    for (uint64_t i = 0; i < 20; i++) {
        ask(h, 0, 100 + i, "bob");
        expect_path(h, 0, 0, 100 + i, "bob");
    }
    host_run(h, HOST_SEC / 10);
    unsigned told = paths_told(h, 1);
    cr_assert(told >= 1 && told <= 8, "of twenty at once %u were told", told);
    cr_assert_eq(paths_told(h, 0), 0, "to one who does not observe");
    host_free(h);
}
