/* Taking a server out of the ring at an operator's word, as clients are told. */
#include "people.h"

#include <criterion/criterion.h>
#include <string.h>

enum { NODES = 5, EVE = 7 };

static struct host *ring(void)
{
    struct host_opts o = {.nodes = NODES, .replicas = 2, .seed = 5, .sessions_max = 32};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 60 * HOST_SEC), "a ring of five is whole");
    return h;
}

static uint64_t epoch_at(struct host *h, uint32_t node, size_t *size)
{
    static uint8_t mem[1 << 16];
    struct arena a;
    struct wire_c_ring ring;
    arena_init(&a, mem, sizeof mem);
    chord_ring(svc_chord(host_svc(h, node)), &a, &ring);
    if (size != NULL)
        *size = ring.nodes.n;
    return ring.epoch;
}

static void say(struct host *h, uint64_t req, uint64_t epoch, struct peal_id id,
                const struct cry_sign_key *key)
{
    uint8_t sig[CRY_SIG_BYTES];
    cry_remove_sign(key, epoch, &id, sig);
    struct wire_c_remove m = {
        .req = req, .epoch = epoch, .id = id, .proof = peal_bytes_of(sig, sizeof sig)};
    host_say(h, EVE, WIRE_c_remove, &m);
}

Test(remove, only_who_has_the_rings_key_is_heard)
{
    struct host *h = ring();
    struct person eve = person_of(h, EVE, "eve");
    struct peal_secret other = {{9}};
    struct cry_sign_key stranger;
    struct peal_id id = host_node_id(h, 3);
    uint64_t epoch = epoch_at(h, 0, NULL);
    person_greet(&eve, 0);
    host_kill(h, 3);
    cry_sign_key_from_seed(&other, &stranger);
    say(h, 1, epoch, id, &stranger);
    person_refused(&eve, PEAL_E_AUTH);
    struct wire_c_remove none = {.req = 2, .epoch = epoch, .id = id};
    host_say(h, EVE, WIRE_c_remove, &none);
    person_refused(&eve, PEAL_E_AUTH);
    uint8_t sig[CRY_SIG_BYTES];
    struct peal_id another = host_node_id(h, 2);
    cry_remove_sign(host_operator(h), epoch, &another, sig);
    struct wire_c_remove m = {
        .req = 3, .epoch = epoch, .id = id, .proof = peal_bytes_of(sig, sizeof sig)};
    host_say(h, EVE, WIRE_c_remove, &m);
    const struct wire_c_error *e = person_refused(&eve, PEAL_E_AUTH);
    cr_assert_eq(e->req, 3, "said of another server");
    size_t size = 0;
    cr_assert(epoch_at(h, 0, &size) == epoch && size == NODES, "nothing has changed");
    host_free(h);
}

Test(remove, a_word_for_an_older_roster_says_nothing)
{
    struct host *h = ring();
    struct person eve = person_of(h, EVE, "eve");
    uint64_t epoch = epoch_at(h, 0, NULL);
    person_greet(&eve, 0);
    host_kill(h, 3);
    say(h, 1, epoch - 1, host_node_id(h, 3), host_operator(h));
    const struct wire_c_error *e = person_refused(&eve, PEAL_E_STALE);
    cr_assert_eq(e->req, 1, "that request");
    cr_assert_eq(epoch_at(h, 0, NULL), epoch, "nothing has changed");
    host_free(h);
}

Test(remove, who_lives_or_is_unknown_is_not_removed)
{
    struct host *h = ring();
    struct person eve = person_of(h, EVE, "eve");
    uint64_t epoch = epoch_at(h, 0, NULL);
    struct peal_id nobody = {{0x42}};
    person_greet(&eve, 0);
    say(h, 1, epoch, host_node_id(h, 3), host_operator(h));
    const struct wire_c_error *e = person_refused(&eve, PEAL_E_REFUSED);
    cr_assert_gt(e->message.n, 0, "and why");
    say(h, 2, epoch, nobody, host_operator(h));
    person_refused(&eve, PEAL_E_NOT_FOUND);
    host_free(h);
}

Test(remove, a_dead_server_is_removed_and_what_it_kept_is_copied)
{
    struct host *h = ring();
    struct person alice = person_of(h, 0, "alice");
    struct person eve = person_of(h, EVE, "eve");
    person_register(&alice, 0);
    person_greet(&eve, 0);
    uint64_t epoch = epoch_at(h, 0, NULL);
    host_kill(h, 3);
    cr_assert(host_whole(h, 60 * HOST_SEC), "the ring has closed");
    say(h, 1, epoch, host_node_id(h, 3), host_operator(h));
    const union wire_any *u = host_expect(h, EVE, WIRE_c_ok, PEOPLE_WAIT);
    cr_assert(u != NULL && u->c_ok.req == 1, "it is done");
    size_t size = 0;
    cr_assert_eq(epoch_at(h, 0, &size), epoch + 1, "in the next epoch");
    cr_assert_eq(size, NODES - 1, "the ring has %zu servers", size);
    say(h, 2, epoch, host_node_id(h, 3), host_operator(h));
    person_refused(&eve, PEAL_E_STALE);
    cr_assert(host_whole(h, 60 * HOST_SEC), "all have their copies");
    host_free(h);
}

struct leaving {
    struct host *h;
    uint32_t node;
};

static bool has_left(void *ctx)
{
    const struct leaving *l = ctx;
    return chord_state(svc_chord(host_svc(l->h, l->node))) == CHORD_LEFT;
}

/* While another server copies what the removal has given it, some keys have two homes that serve
 * them: whoever of these is to leave stays until it is done. */
Test(remove, who_is_needed_while_another_copies_leaves_when_that_is_done)
{
    struct host *h = ring();
    struct person alice = person_of(h, 0, "alice");
    struct person eve = person_of(h, EVE, "eve");
    person_register(&alice, 0);
    person_greet(&eve, 0);
    host_kill(h, 3);
    cr_assert(host_whole(h, 60 * HOST_SEC), "the ring has closed");
    host_lose(h, WIRE_n_copy_page, 100);
    say(h, 1, epoch_at(h, 0, NULL), host_node_id(h, 3), host_operator(h));
    cr_assert_not_null(host_expect(h, EVE, WIRE_c_ok, PEOPLE_WAIT), "it is removed");
    host_run(h, HOST_SEC);
    struct leaving l = {.h = h, .node = 1};
    while (l.node < NODES && (l.node == 3 || !chord_is_needed(svc_chord(host_svc(h, l.node)))))
        l.node++;
    cr_assert_lt(l.node, NODES, "somebody is needed");
    host_leave(h, l.node);
    cr_assert(!host_until(h, 10 * HOST_SEC, has_left, &l), "it waits");
    host_lose(h, WIRE_n_copy_page, 0);
    cr_assert(host_until(h, 10 * HOST_SEC, has_left, &l), "it leaves");
    host_free(h);
}
