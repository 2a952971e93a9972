/* How word spreads: the tree of broadcast, and the election. */
#include <criterion/criterion.h>

#include "mates.h"

#include <math.h>
#include <string.h>

enum { NODES_MAX = 200, SUCCESSORS = 8 };

/* ---- the tree ---- */

static size_t owner_of(const struct peal_id *ids, size_t n, const struct peal_id *key)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (id_cmp(&ids[mid], key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low % n;
}

/* Successors, then what the fingers of an ideal ring add. */
static size_t ideal_ways(const struct peal_id *ids, size_t n, size_t at, size_t successors,
                         struct peal_id out[static WAYS_MAX])
{
    size_t k = 0;
    while (k < successors && k + 1 < n) {
        out[k] = ids[(at + 1 + k) % n];
        k++;
    }
    for (unsigned bit = 0; bit < ID_BITS; bit++) {
        struct peal_id target = id_add_pow2(&ids[at], bit);
        size_t owner = owner_of(ids, n, &target);
        const struct peal_id *last = k == 0 ? &ids[at] : &out[k - 1];
        if (owner != at && id_between(last, &ids[owner], &ids[at]))
            out[k++] = ids[owner];
    }
    return k;
}

struct tree {
    const struct peal_id *ids;
    size_t n, messages, deepest, got[NODES_MAX];
};

static struct peal_id ways_of[NODES_MAX][WAYS_MAX];
static size_t ways_n[NODES_MAX];

static void spread_from(struct tree *t, size_t at, const struct peal_id *limit, size_t depth)
{
    struct branch out[WAYS_MAX];
    t->got[at]++;
    if (depth > t->deepest)
        t->deepest = depth;
    cr_assert_leq(depth, t->n, "the tree ends");
    size_t n = cast_split(&t->ids[at], limit, ways_of[at], ways_n[at], out);
    for (size_t i = 0; i < n; i++) {
        t->messages++;
        spread_from(t, owner_of(t->ids, t->n, &out[i].to), &out[i].limit, depth + 1);
    }
}

static void check_tree(const struct peal_id *ids, size_t n, size_t successors, size_t bound)
{
    for (size_t at = 0; at < n; at++)
        ways_n[at] = ideal_ways(ids, n, at, successors, ways_of[at]);
    for (size_t origin = 0; origin < n; origin += n < 20 ? 1 : 7) {
        struct tree t = {.ids = ids, .n = n};
        spread_from(&t, origin, &ids[origin], 0);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(t.got[i], 1, "node %zu of %zu gets it once, not %zu times", i, n,
                         t.got[i]);
        cr_assert_eq(t.messages, n - 1, "%zu nodes: %zu messages", n, t.messages);
        cr_assert_leq(t.deepest, bound, "%zu nodes: %zu deep", n, t.deepest);
    }
}

Test(spread, each_node_gets_a_broadcast_once)
{
    struct rng g;
    rng_init(&g, 1);
    for (size_t n = 1; n <= NODES_MAX; n++) {
        struct peal_id ids[NODES_MAX];
        mates_random_ring(&g, ids, n);
        size_t log = 0;
        while ((size_t)1 << log < n)
            log++;
        /* ids halve with each step, nodes only about; mates are all one step away */
        check_tree(ids, n, SUCCESSORS, log + 4);
        check_tree(ids, n, 1, log + 6);
        if (n <= SUCCESSORS + 1)
            check_tree(ids, n, SUCCESSORS, 1);
    }
}

Test(spread, evenly_spaced_the_tree_is_log2_deep)
{
    enum { LOG = 7, N = 1 << LOG };
    struct peal_id ids[N] = {{{0}}};
    for (unsigned i = 0; i < N; i++)
        ids[i].b[0] = (uint8_t)(i << (8 - LOG));
    check_tree(ids, N, 1, LOG);
}

Test(spread, a_piece_ends_before_its_limit)
{
    struct rng g;
    rng_init(&g, 2);
    for (size_t round = 0; round < 200; round++) {
        struct peal_id ids[40], ways[WAYS_MAX];
        struct branch out[WAYS_MAX];
        mates_random_ring(&g, ids, 40);
        struct peal_id limit = mates_random_id(&g);
        size_t at = rng_below(&g, 40), n = ideal_ways(ids, 40, at, SUCCESSORS, ways);
        n = cast_split(&ids[at], &limit, ways, n, out);
        for (size_t i = 0; i < n; i++) {
            cr_assert(id_between(&ids[at], &out[i].to, &limit), "a branch lies in the piece");
            cr_assert(id_eq(&out[i].limit, i + 1 < n ? &out[i + 1].to : &limit),
                      "a branch ends where the next begins");
        }
    }
}

Test(spread, self_is_the_farthest)
{
    struct rng g;
    rng_init(&g, 3);
    for (size_t round = 0; round < 1000; round++) {
        struct peal_id self = mates_random_id(&g), a = mates_random_id(&g), b = mates_random_id(&g);
        struct peal_id to_a = id_distance(&self, &a), to_b = id_distance(&self, &b);
        cr_assert_eq(cast_farther(&self, &a, &b), id_cmp(&to_a, &to_b) > 0, "by distance");
        cr_assert(cast_farther(&self, &self, &a), "self is farther than another");
        cr_assert_not(cast_farther(&self, &a, &self), "another is not farther than self");
        cr_assert_not(cast_farther(&self, &a, &a), "nothing is farther than itself");
    }
}

/* ---- broadcast ---- */

Test(spread, a_broadcast_goes_on_within_its_limit_and_once)
{
    struct one *o = mates_ring(PLENTY);
    struct wire_r_cast m = {.origin = o->mate[4],
                            .seq = 9,
                            .kind = 3,
                            .depth = 1,
                            .limit = o->mate[3],
                            .body = peal_bytes_str("word")};
    struct said s;
    size_t at = 0, got[MATES] = {0};
    mates_say(o, 4, WIRE_r_cast, &m);
    while (mates_said(o, &at, WIRE_r_cast, &s)) {
        got[s.link - 1]++;
        cr_assert_eq(s.m.r_cast.depth, 2, "one deeper");
        cr_assert(id_eq(&s.m.r_cast.limit, &o->mate[s.link]), "up to the next mate");
        cr_assert(peal_bytes_eq(s.m.r_cast.body, m.body), "the same body");
    }
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], i < 3, "mate %zu", i);
    cr_assert_eq(o->casts, 1, "delivered");
    cr_assert(id_eq(&o->cast_origin, &o->mate[4]), "from its origin");
    mates_say(o, 2, WIRE_r_cast, &m);
    at = 0;
    cr_assert_not(mates_said(o, &at, WIRE_r_cast, &s), "a second copy goes no further");
    cr_assert_eq(o->casts, 1, "and is not delivered");
    m.seq++;
    m.limit = o->mate[3]; /* beyond the one who gives it */
    mates_say(o, 2, WIRE_r_cast, &m);
    for (at = 0; mates_said(o, &at, WIRE_r_cast, &s);)
        cr_assert_lt(s.link, 3, "a forged limit does not lead round the giver");
    m.seq++;
    m.limit = o->r->self.id;
    mates_say(o, 2, WIRE_r_cast, &m);
    at = 0;
    cr_assert_not(mates_said(o, &at, WIRE_r_cast, &s), "its own id as limit: nobody else's");
    cr_assert_eq(o->casts, 3, "but its own");
    mates_free(o);
}

Test(spread, an_origin_gets_its_own_broadcast)
{
    struct one *o = mates_ring(PLENTY);
    struct step_event ev = {
        .now_us = o->now, .wall_ms = MATES_WALL_MS + o->now / MS, .reader = &mates_store};
    static uint8_t body[WIRE_CAST_MAX + 1];
    struct said s;
    size_t at = 0, n = 0;
    step_update_reset(&o->u);
    cr_assert_eq(ring_cast(o->r, &ev, &o->u, 1, peal_bytes_of(body, sizeof body)), PEAL_E_TOO_LONG,
                 "too long");
    cr_assert_eq(ring_cast(o->r, &ev, &o->u, 1, peal_bytes_of(body, 10)), 0, "said");
    while (mates_said(o, &at, WIRE_r_cast, &s))
        n++;
    cr_assert_eq(n, MATES, "to every mate");
    cr_assert_eq(o->casts, 1, "and to itself");
    cr_assert_eq(o->r->count.casts, MATES, "counted");
    mates_free(o);
}

/* ---- election ---- */

enum { VOTERS_MAX = 60 };

/* All of the ring stand at once; rank[i]: of the i-th node's id. How many candidatures are sent
 * until one is back, and none is under way. */
static size_t election(const size_t *rank, size_t n)
{
    static size_t at[VOTERS_MAX * VOTERS_MAX], who[VOTERS_MAX * VOTERS_MAX];
    struct peal_id ids[VOTERS_MAX] = {{{0}}};
    size_t head = 0, tail = 0, winner = n;
    bool participant[VOTERS_MAX];
    for (size_t i = 0; i < n; i++) {
        ids[i].b[ID_BYTES - 1] = (uint8_t)(rank[i] + 1);
        participant[i] = true;
        at[tail] = (i + 1) % n;
        who[tail++] = i;
    }
    for (; head < tail; head++) {
        size_t i = at[head];
        switch (elect_judge(&ids[i], true, participant[i], &ids[who[head]])) {
        case ELECT_PASS:
            cr_assert_lt(tail, PEAL_COUNT(at), "it ends");
            at[tail] = (i + 1) % n;
            who[tail++] = who[head];
            break;
        case ELECT_STAND:
            cr_assert_fail("all stand already");
            break;
        case ELECT_WON:
            cr_assert_eq(winner, n, "one winner");
            winner = i;
            break;
        case ELECT_SWALLOW:
            break;
        }
    }
    cr_assert_lt(winner, n, "somebody wins");
    cr_assert_eq(rank[winner], 0, "the lowest id");
    return tail;
}

static double harmonic(size_t n)
{
    double h = 0;
    for (size_t k = 1; k <= n; k++)
        h += 1 / (double)k;
    return h;
}

/* All orders of rank[k … n): the sum of their messages. */
static size_t all_orders(size_t *rank, size_t k, size_t n, size_t *orders)
{
    if (k == n) {
        size_t m = election(rank, n);
        ++*orders;
        cr_assert_geq(m, 2 * n - 1, "not below the best case");
        cr_assert_leq(m, n * (n + 1) / 2, "not above the worst");
        return m;
    }
    size_t sum = 0;
    for (size_t i = k; i < n; i++) {
        size_t t = rank[k];
        rank[k] = rank[i];
        rank[i] = t;
        sum += all_orders(rank, k + 1, n, orders);
        rank[i] = rank[k];
        rank[k] = t;
    }
    return sum;
}

Test(spread, over_all_orders_an_election_takes_n_times_the_harmonic_number)
{
    for (size_t n = 1; n <= 7; n++) {
        size_t rank[VOTERS_MAX], orders = 0;
        for (size_t i = 0; i < n; i++)
            rank[i] = i;
        size_t sum = all_orders(rank, 0, n, &orders);
        double mean = (double)sum / (double)orders, want = (double)n * harmonic(n);
        cr_assert_lt(fabs(mean - want), 1e-9, "%zu nodes: %f, not %f", n, mean, want);
    }
}

Test(spread, an_election_in_random_order_costs_what_the_paper_says)
{
    enum { ORDERS = 500 };
    static const size_t sizes[] = {10, 30, VOTERS_MAX};
    struct rng g;
    rng_init(&g, 16);
    for (size_t k = 0; k < PEAL_COUNT(sizes); k++) {
        size_t n = sizes[k], sum = 0, rank[VOTERS_MAX];
        for (size_t order = 0; order < ORDERS; order++) {
            for (size_t i = 0; i < n; i++) {
                size_t j = rng_below(&g, i + 1);
                rank[i] = rank[j];
                rank[j] = i;
            }
            size_t m = election(rank, n);
            cr_assert_leq(m, n * (n + 1) / 2, "not above the worst case");
            sum += m;
        }
        double mean = (double)sum / ORDERS, want = (double)n * harmonic(n);
        cr_assert_lt(fabs(mean / want - 1), 0.05, "%zu nodes: %f, not about %f", n, mean, want);
    }
}

Test(spread, the_best_and_the_worst_order)
{
    for (size_t n = 1; n <= VOTERS_MAX; n++) {
        size_t up[VOTERS_MAX], down[VOTERS_MAX];
        for (size_t i = 0; i < n; i++) {
            up[i] = i;
            down[i] = n - 1 - i;
        }
        cr_assert_eq(election(down, n), 2 * n - 1, "descending: each but one is swallowed at once");
        cr_assert_eq(election(up, n), n * (n + 1) / 2, "ascending: each goes on to the lowest");
    }
}

Test(spread, who_is_not_eligible_only_passes_on)
{
    struct peal_id self = {{5}}, lower = {{4}}, higher = {{6}}, none = {{0}};
    cr_assert_eq(elect_judge(&self, false, false, &higher), ELECT_PASS, "a higher goes on");
    cr_assert_eq(elect_judge(&self, false, true, &higher), ELECT_PASS, "again");
    cr_assert_eq(elect_judge(&self, false, false, &lower), ELECT_PASS, "a lower too");
    cr_assert_eq(elect_judge(&self, false, true, &self), ELECT_SWALLOW, "it does not win");
    cr_assert_eq(elect_judge(&self, false, false, &none), ELECT_PASS, "a call goes on");
    cr_assert_eq(elect_judge(&self, false, true, &none), ELECT_SWALLOW, "once round");
    cr_assert_eq(elect_judge(&self, true, false, &none), ELECT_STAND, "a call makes one stand");
    cr_assert_eq(elect_judge(&self, true, false, &higher), ELECT_STAND, "so does a higher");
    cr_assert_eq(elect_judge(&self, true, true, &higher), ELECT_SWALLOW, "once");
    cr_assert_eq(elect_judge(&self, true, false, &self), ELECT_SWALLOW, "one that is late");
}

/* The messages of the type in the update: how many, and to whom the last went. */
static size_t count_said(struct one *o, uint16_t type, uint32_t *link)
{
    struct said s;
    size_t n = 0;
    for (size_t at = 0; mates_said(o, &at, type, &s); n++)
        *link = s.link;
    return n;
}

static struct one *one_with_coordinator(const struct peal_id *coordinator)
{
    struct one *o = mates_ring(PLENTY);
    struct wire_r_elected m = {.coordinator = *coordinator, .hops = 1};
    mates_say(o, 4, WIRE_r_elected, &m);
    cr_assert(id_eq(&o->r->elect.coordinator, coordinator), "the announced is believed in");
    return o;
}

Test(spread, an_announcement_goes_on_to_the_successor)
{
    struct one *o = mates_ring(PLENTY);
    struct wire_r_elected m = {.coordinator = o->mate[2], .hops = 3};
    uint32_t link = 0;
    uint64_t before = o->r->count.elected_messages;
    mates_say(o, 4, WIRE_r_elected, &m);
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 1, "once");
    cr_assert_eq(link, 1, "to the successor");
    cr_assert_eq(o->r->count.elected_messages, before + 1, "counted");
    m.hops = UINT32_MAX;
    m.coordinator = o->mate[1];
    mates_say(o, 4, WIRE_r_elected, &m);
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 0, "lost after too many hops");
    cr_assert(id_eq(&o->r->elect.coordinator, &o->mate[2]), "and not believed");
    mates_free(o);
}

Test(spread, when_the_coordinator_dies_it_stands)
{
    struct rng g;
    rng_init(&g, 6);
    struct peal_id ids[MATES + 1];
    mates_random_ring(&g, ids, MATES + 1); /* as one_with_mates has it */
    struct one *o = one_with_coordinator(&ids[(3 + 2) % (MATES + 1)]);
    uint32_t link = 0;
    uint64_t before = o->r->count.elect_messages;
    step_update_reset(&o->u);
    mates_step(o, (struct step_event){.kind = STEP_LINK_DOWN, .link = 3, .err = PEAL_E_CLOSED});
    cr_assert_eq(count_said(o, WIRE_r_elect, &link), 1, "a candidature");
    cr_assert_eq(link, 1, "to the successor");
    cr_assert_eq(o->r->count.elect_messages, before + 1, "counted");
    struct wire_r_elected stale = {.coordinator = o->mate[2], .hops = 2};
    mates_say(o, 4, WIRE_r_elected, &stale);
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 0, "the dead one is not announced again");
    struct wire_r_elect back = {.candidate = o->r->self.id, .hops = MATES};
    mates_say(o, 4, WIRE_r_elect, &back);
    cr_assert(id_eq(&o->r->elect.coordinator, &o->r->self.id), "it has won");
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 1, "and says so");
    mates_free(o);
}

Test(spread, a_candidature_lost_with_its_receiver_is_sent_again)
{
    struct one *o = mates_ring(PLENTY);
    struct wire_r_elected known = {.coordinator = o->mate[2], .hops = 1};
    uint32_t link = 0;
    mates_say(o, 4, WIRE_r_elected, &known);
    step_update_reset(&o->u);
    mates_step(o, (struct step_event){.kind = STEP_LINK_DOWN, .link = 3, .err = PEAL_E_CLOSED});
    cr_assert_eq(count_said(o, WIRE_r_elect, &link), 1, "it stands");
    step_update_reset(&o->u);
    mates_step(o, (struct step_event){.kind = STEP_LINK_DOWN, .link = 1, .err = PEAL_E_CLOSED});
    cr_assert_eq(count_said(o, WIRE_r_elect, &link), 1, "again");
    cr_assert_eq(link, 2, "to the next");
    mates_free(o);
}

Test(spread, of_two_coordinators_the_lower_stays)
{
    struct one *o = mates_ring(PLENTY);
    size_t low = 0, high = 0;
    for (size_t i = 1; i < MATES; i++) {
        low = id_cmp(&o->mate[i], &o->mate[low]) < 0 ? i : low;
        high = id_cmp(&o->mate[i], &o->mate[high]) > 0 ? i : high;
    }
    struct wire_r_elected m = {.coordinator = o->mate[high], .hops = 1};
    uint32_t link = 0;
    mates_say(o, 4, WIRE_r_elected, &m);
    cr_assert(id_eq(&o->r->elect.coordinator, &o->mate[high]), "the first");
    m.coordinator = o->mate[low];
    mates_say(o, 4, WIRE_r_elected, &m);
    cr_assert(id_eq(&o->r->elect.coordinator, &o->mate[low]), "a lower one");
    m.coordinator = o->mate[high];
    mates_say(o, 4, WIRE_r_elected, &m);
    cr_assert(id_eq(&o->r->elect.coordinator, &o->mate[low]), "the higher is not believed");
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 0, "and goes no further");
    mates_free(o);
}

Test(spread, a_living_coordinator_answers_a_candidature)
{
    struct one *o = mates_ring(PLENTY);
    struct wire_r_elect back = {.candidate = o->r->self.id, .hops = MATES};
    struct wire_r_elect other = {.candidate = o->mate[0], .hops = 2};
    uint32_t link = 0;
    struct wire_r_elected known = {.coordinator = o->mate[2], .hops = 1};
    mates_say(o, 4, WIRE_r_elected, &known);
    step_update_reset(&o->u);
    mates_step(o, (struct step_event){.kind = STEP_LINK_DOWN, .link = 3, .err = PEAL_E_CLOSED});
    mates_say(o, 4, WIRE_r_elect, &back);
    cr_assert(id_eq(&o->r->elect.coordinator, &o->r->self.id), "it is the coordinator");
    o->now += STABILISE_US;
    mates_say(o, 4, WIRE_r_elect, &other);
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 1, "it says that it lives");
    mates_say(o, 4, WIRE_r_elect, &other);
    cr_assert_eq(count_said(o, WIRE_r_elected, &link), 0, "once a round");
    mates_free(o);
}
