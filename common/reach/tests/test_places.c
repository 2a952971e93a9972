#include "places.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct net_place at(unsigned port)
{
    struct net_place p = {.host = "127.0.0.1", .port = (uint16_t)port};
    return p;
}

static int add(struct places *p, unsigned port, bool chosen)
{
    bool fresh;
    struct net_place place = at(port);
    return places_add(p, &place, chosen, &fresh);
}

static unsigned take(struct places *p)
{
    int i = places_take(p);
    return i == PLACES_NONE ? 0 : p->v[i].at.port;
}

Test(places, chosen_first_then_each_once)
{
    struct places p;
    places_init(&p, 1);
    add(&p, 1, false);
    add(&p, 2, true);
    add(&p, 3, false);
    cr_assert_eq(take(&p), 2, "the chosen place does not come first");
    unsigned a = take(&p);
    unsigned b = take(&p);
    cr_assert((a == 1 && b == 3) || (a == 3 && b == 1), "took %u and %u", a, b);
    cr_assert_eq(take(&p), 0, "a place was given twice in one pass");
}

Test(places, the_lost_one_comes_last)
{
    struct places p;
    places_init(&p, 1);
    add(&p, 1, true);
    add(&p, 2, false);
    int first = places_take(&p);
    places_served(&p, first);
    places_failed(&p, first);
    places_again(&p);
    cr_assert_eq(take(&p), 2, "the place that was just lost was tried first");
    cr_assert_eq(take(&p), 1, "the lost place was not tried again");
}

Test(places, equals_in_random_order)
{
    unsigned first[3] = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct places p;
        places_init(&p, seed);
        for (unsigned port = 1; port <= 3; port++)
            add(&p, port, false);
        first[take(&p) - 1]++;
    }
    for (size_t i = 0; i < 3; i++)
        cr_assert_gt(first[i], 5, "place %zu came first only %u times of 60", i, first[i]);
}

Test(places, the_same_place_is_one)
{
    struct places p;
    bool fresh;
    struct net_place place = at(7);
    places_init(&p, 1);
    int a = places_add(&p, &place, false, &fresh);
    cr_assert(fresh, "a new place was known");
    int b = places_add(&p, &place, true, &fresh);
    cr_assert(!fresh && a == b && p.n == 1, "the same place came in twice");
    cr_assert(p.v[a].chosen, "a known place was not promoted");
}

Test(places, the_worst_learned_one_gives_way)
{
    struct places p;
    places_init(&p, 1);
    for (unsigned port = 1; port <= REACH_PLACES_MAX; port++)
        add(&p, port, port != 5);
    cr_assert_geq(add(&p, 1000, false), 0, "no place was made");
    bool found = false;
    for (size_t i = 0; i < p.n; i++) {
        cr_assert_neq(p.v[i].at.port, 5, "the learned place is still there");
        found = found || p.v[i].at.port == 1000;
    }
    cr_assert(found && p.n == REACH_PLACES_MAX, "the new place is not in");
    places_init(&p, 1);
    for (unsigned port = 1; port <= REACH_PLACES_MAX; port++)
        add(&p, port, true);
    cr_assert_eq(add(&p, 1000, true), PEAL_E_FULL, "a chosen place was driven out");
}
