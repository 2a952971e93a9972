/* Failure domains: which members an arc's copies go to, held against the rule said plainly, over
 * random rosters; and their form in a roster that a peer sends. */
#include "inner.h"

#include <criterion/criterion.h>
#include <string.h>

enum { ROUNDS = 2000 };

static struct domain named(const char *name)
{
    struct domain d;
    cr_assert_eq(domain_take(&d, peal_bytes_str(name)), 0, "%s", name);
    return d;
}

/* Up to 16 members, in `domains` domains; of ten members so many have one. */
static struct roster some(struct rng *g, size_t domains, uint64_t of_ten)
{
    static const char *const names[] = {"a", "b", "cellar", "d.4", "e-e", "sixteen-letters-"};
    struct roster r = {.ring = {{1}}, .epoch = 7, .n = 1 + rng_below(g, 16)};
    r.replicas = (uint8_t)rng_below(g, CHORD_REPLICAS_MAX + 1);
    for (size_t i = 0; i < r.n; i++)
        r.members[i] = (struct peal_id){{(uint8_t)(1 + 10 * i)}};
    for (size_t i = 0; i < r.n; i++) {
        struct domain d = {{0}};
        if (domains > 0 && rng_below(g, 10) < of_ten)
            d = named(names[rng_below(g, domains)]);
        roster_place(&r, i, &d);
    }
    return r;
}

static bool same(const struct roster *r, size_t a, size_t b)
{
    return r->domains[a].name[0] != 0 && domain_eq(&r->domains[a], &r->domains[b]);
}

/* How many domains there are, members that have none counted each. */
static size_t domains_of(const struct roster *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again = again || same(r, i, k);
        n += !again;
    }
    return n;
}

Test(domains, without_any_homes_are_the_next_members)
{
    struct rng g;
    rng_init(&g, 1);
    for (int round = 0; round < ROUNDS; round++) {
        struct roster r = some(&g, 0, 0);
        struct peal_id home[CHORD_REPLICAS_MAX + 1];
        size_t arc = rng_below(&g, r.n), n = arc_home(&r, arc, home);
        cr_assert_eq(n, roster_copies(&r), "as many as there are to be");
        for (size_t i = 0; i < n; i++)
            cr_assert(id_eq(&home[i], &r.members[(arc + i) % r.n]), "number %zu", i);
    }
}

Test(domains, no_domain_has_a_second_copy_before_each_has_one)
{
    struct rng g;
    rng_init(&g, 2);
    for (int round = 0; round < ROUNDS; round++) {
        struct roster r = some(&g, 1 + rng_below(&g, 6), 1 + rng_below(&g, 10));
        uint8_t order[WIRE_ROSTER_MAX];
        size_t arc = rng_below(&g, r.n), all = domains_of(&r);
        cr_assert_eq(arc_order(&r, arc, r.n, order), r.n, "everybody has a turn");
        cr_assert_eq(order[0], arc, "the first is the arc's own");
        for (size_t i = 0; i < r.n; i++) {
            size_t dist = (order[i] + r.n - arc) % r.n;
            bool again = false;
            for (size_t k = 0; k < i; k++) {
                cr_assert_neq(order[k], order[i], "nobody twice");
                again = again || same(&r, order[k], order[i]);
            }
            cr_assert_eq(again, i >= all, "number %zu of %zu domains", i, all);
            for (size_t x = 0; x < r.n; x++) { /* nobody nearer could have had this turn */
                size_t nearer = (x + r.n - arc) % r.n;
                bool had = false, shares = false;
                for (size_t k = 0; k < i; k++) {
                    had = had || order[k] == x;
                    shares = shares || same(&r, order[k], x);
                }
                cr_assert(nearer >= dist || had || (shares && i < all), "%zu before %u", x,
                          order[i]);
            }
        }
    }
}

/* What only_grew and readiness rest on. */
Test(domains, nobody_comes_to_be_home_by_anothers_admission)
{
    struct rng g;
    rng_init(&g, 3);
    for (int round = 0; round < ROUNDS; round++) {
        struct roster r = some(&g, 1 + rng_below(&g, 6), 1 + rng_below(&g, 10)), less;
        if (r.n < 2)
            continue;
        if (r.replicas > r.n - 2) /* else there are fewer copies before than after */
            r.replicas = (uint8_t)(r.n - 2);
        size_t gone = rng_below(&g, r.n);
        less = roster_without(&r, &r.members[gone]);
        for (size_t i = 0; i < less.n; i++) {
            struct peal_id before[CHORD_REPLICAS_MAX + 1];
            size_t n = arc_home(&less, i, before);
            size_t arc = roster_index(&r, &less.members[i]), news = 0;
            struct peal_id after[CHORD_REPLICAS_MAX + 1];
            cr_assert_eq(arc_home(&r, arc, after), n, "as many");
            for (size_t k = 0; k < n; k++) {
                bool was = false;
                for (size_t h = 0; h < n; h++)
                    was = was || id_eq(&after[k], &before[h]);
                news += !was;
                cr_assert(was || id_eq(&after[k], &r.members[gone]), "another has come to it");
            }
            cr_assert_leq(news, 1, "one comes, one goes");
        }
    }
}

Test(domains, travel_with_the_roster)
{
    struct rng g;
    struct peal_id ids[ROSTER_IDS];
    struct roster back;
    rng_init(&g, 4);
    for (int round = 0; round < ROUNDS; round++) {
        struct roster r = some(&g, rng_below(&g, 7), rng_below(&g, 11));
        struct wire_roster w = roster_view(&r, ids);
        cr_assert_eq(w.domains.n, r.apart ? r.n * WIRE_DOMAIN_MAX : 0, "said only if there is one");
        cr_assert_eq(roster_take(&back, &w), 0, "it is taken");
        cr_assert(back.apart == r.apart && memcmp(back.domains, r.domains, sizeof r.domains) == 0,
                  "as it was");
    }
}

Test(domains, other_forms_are_refused)
{
    static const struct {
        const char *bytes;
        const char *what;
    } bad[] = {
        {"A\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a capital letter"},
        {"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0", "something behind the end"},
        {"\0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "something behind nothing"},
        {"a b\0\0\0\0\0\0\0\0\0\0\0\0\0", "a space"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "none, at length"},
    };
    struct peal_id ids[ROSTER_IDS];
    struct roster r = {.ring = {{1}}, .epoch = 7, .replicas = 2, .n = 1}, back;
    r.members[0] = (struct peal_id){{9}};
    struct wire_roster w = roster_view(&r, ids);
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        w.domains = peal_bytes_of(bad[i].bytes, WIRE_DOMAIN_MAX);
        cr_assert_eq(roster_take(&back, &w), PEAL_E_MALFORMED, "%s", bad[i].what);
    }
    w.domains = peal_bytes_of("aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb", 2 * WIRE_DOMAIN_MAX);
    cr_assert_eq(roster_take(&back, &w), PEAL_E_MALFORMED, "more than members");
    w.domains.n = WIRE_DOMAIN_MAX - 1;
    cr_assert_eq(roster_take(&back, &w), PEAL_E_MALFORMED, "not a whole one");
    w.domains.n = WIRE_DOMAIN_MAX;
    cr_assert_eq(roster_take(&back, &w), 0, "sixteen letters are one");
}

Test(domains, names)
{
    static const char *const good[] = {"a", "house-2", "eu.west_1", "0123456789abcdef"};
    static const char *const bad[] = {"", "House", "a b", "0123456789abcdefg", "é", "a/b"};
    for (size_t i = 0; i < PEAL_COUNT(good); i++)
        cr_assert(chord_is_domain(peal_bytes_str(good[i])), "%s", good[i]);
    for (size_t i = 0; i < PEAL_COUNT(bad); i++)
        cr_assert(!chord_is_domain(peal_bytes_str(bad[i])), "%s", bad[i]);
}
