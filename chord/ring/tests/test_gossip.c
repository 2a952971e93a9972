/* What nodes tell each other of the ring: ranges and their digests, the budget, rumours, comparing.
 */
#include <criterion/criterion.h>

#include "mates.h"

#include <string.h>

/* ---- ranges ---- */

Test(gossip, parts_of_a_range_are_equal_and_all_of_it)
{
    struct rng g;
    rng_init(&g, 4);
    for (size_t round = 0; round < 2000; round++) {
        struct peal_id from = mates_random_id(&g), upto = mates_random_id(&g);
        if (round % 5 == 0)
            upto = from;      /* all of it */
        if (round % 7 == 0) { /* narrow */
            upto = id_add_pow2(&from, (unsigned)rng_below(&g, 12));
            upto = id_add_pow2(&upto, (unsigned)rng_below(&g, 12));
        }
        unsigned n = 1 + (unsigned)rng_below(&g, WIRE_DIGESTS_MAX);
        struct peal_id first = compare_bound(&from, &upto, 0, n),
                       last = compare_bound(&from, &upto, n, n);
        cr_assert(id_eq(&first, &from), "the first part begins where the range does");
        cr_assert(id_eq(&last, &upto), "the last ends where it does");
        struct peal_id least = {{0}}, most = {{0}};
        for (unsigned k = 0; k < n && n > 1; k++) {
            struct peal_id a = compare_bound(&from, &upto, k, n),
                           b = compare_bound(&from, &upto, k + 1, n), d = id_distance(&a, &b);
            if (k == 0 || id_cmp(&d, &least) < 0)
                least = d;
            if (k == 0 || id_cmp(&d, &most) > 0)
                most = d;
        }
        struct peal_id one_more = id_add_pow2(&least, 0);
        cr_assert(id_eq(&most, &least) || id_eq(&most, &one_more),
                  "parts differ by one id at most");
    }
}

Test(gossip, sixteenths_of_all_are_what_the_first_digit_says)
{
    struct peal_id zero = {{0}};
    for (unsigned k = 0; k < 16; k++) {
        struct peal_id want = {{(uint8_t)(k << 4)}}, got = compare_bound(&zero, &zero, k, 16);
        cr_assert(id_eq(&got, &want), "part %u", k);
    }
}

/* ---- digests ---- */

static void digests(struct one *o, const struct peal_id *from, const struct peal_id *upto,
                    unsigned n, uint64_t digest[static WIRE_DIGESTS_MAX],
                    uint32_t count[static WIRE_DIGESTS_MAX])
{
    compare_digests(o->r, from, upto, n, digest, count);
}

Test(gossip, digests_differ_where_the_sets_do_and_nowhere_else)
{
    enum { N = 120 };
    struct rng g;
    rng_init(&g, 7);
    struct peal_id ids[N];
    mates_random_ring(&g, ids, N);
    for (size_t odd = 0; odd < 30; odd++) {
        /* two nodes that know each other and all the rest, in different orders; then one of them
         * knows one less, or of another incarnation, or as dead */
        struct one *a = mates_node(&ids[10], 0), *b = mates_node(&ids[70], 0);
        size_t other = 20 + odd;
        for (size_t i = 0; i < N; i++) {
            if (i != 10)
                mates_learn(a, &ids[i], 1, false);
            size_t k = N - 1 - i;
            if (k == 70 || (k == other && odd % 3 == 0))
                continue;
            mates_learn(b, &ids[k], k == other && odd % 3 == 1 ? 2 : 1, k == other && odd % 3 == 2);
        }
        for (size_t round = 0; round < 60; round++) {
            struct peal_id from = mates_random_id(&g), upto = mates_random_id(&g);
            if (round % 4 == 0)
                upto = from;
            if (round % 5 == 0)
                from = ids[rng_below(&g, N)];
            if (round % 6 == 0)
                upto = ids[rng_below(&g, N)];
            unsigned n = 1 + (unsigned)rng_below(&g, WIRE_DIGESTS_MAX);
            uint64_t da[WIRE_DIGESTS_MAX], db[WIRE_DIGESTS_MAX];
            uint32_t ca[WIRE_DIGESTS_MAX], cb[WIRE_DIGESTS_MAX];
            digests(a, &from, &upto, n, da, ca);
            digests(b, &from, &upto, n, db, cb);
            for (unsigned k = 0; k < n; k++) {
                struct peal_id low = compare_bound(&from, &upto, k, n),
                               high = compare_bound(&from, &upto, k + 1, n);
                bool empty = id_eq(&low, &high) && n > 1;
                uint32_t want = 0;
                for (size_t i = 0; i < N && !empty; i++)
                    want += id_in_arc(&low, &ids[i], &high);
                bool its = !empty && id_in_arc(&low, &ids[other], &high);
                cr_assert_eq(ca[k], want, "part %u of %u: %u nodes, not %u", k, n, want, ca[k]);
                cr_assert_eq(cb[k], want - (its && odd % 3 != 1), "the other's part %u", k);
                cr_assert_eq(da[k] == db[k], !its, "part %u of %u", k, n);
                cr_assert_eq(da[k] == 0, want == 0, "zero is nobody");
            }
        }
        mates_free(a);
        mates_free(b);
    }
}

/* ---- the budget ---- */

static const uint32_t rates[] = {20, 200, 5000};

Test(gossip, never_more_is_spent_than_saved)
{
    struct rng g;
    rng_init(&g, 8);
    for (size_t k = 0; k < PEAL_COUNT(rates); k++) {
        struct peal_id self = mates_random_id(&g);
        struct one *o = mates_node(&self, rates[k]);
        struct ring *r = o->r;
        uint64_t spent = 0, began = r->now;
        cr_assert_eq(gossip_left(r), gossip_burst(r), "it begins with all that may be saved");
        for (size_t round = 0; round < 20000; round++) {
            r->now += rng_below(&g, 4) == 0 ? rng_below(&g, 3 * SECOND) : rng_below(&g, 20 * MS);
            size_t n = 1 + rng_below(&g, 400), left = gossip_left(r);
            bool may = gossip_spend(r, n);
            cr_assert_eq(may, n <= left, "it may spend what is left, and no more");
            if (!may) {
                uint64_t when = gossip_when(r, n);
                cr_assert_gt(when, r->now, "later");
                r->now = when - 1;
                cr_assert_not(gossip_spend(r, n), "not a moment earlier");
                r->now = when;
                cr_assert(gossip_spend(r, n), "then it may");
            }
            spent += n;
            double most = (double)gossip_burst(r) + (double)(r->now - began) / SECOND * rates[k];
            cr_assert_leq((double)spent, most, "%zu: within the budget", round);
        }
        cr_assert_eq(r->count.gossip_bytes, spent, "and it is counted");
        mates_free(o);
    }
}

Test(gossip, without_gossip_nothing_may_be_said)
{
    struct rng g;
    rng_init(&g, 9);
    struct peal_id self = mates_random_id(&g);
    struct one *o = mates_node(&self, RING_GOSSIP_NONE);
    cr_assert_not(gossip_spend(o->r, 1), "no budget");
    mates_free(o);
}

/* ---- rumours ---- */

/* Time goes on, with the mates' pings; nothing is lost of what it says: *bytes of rumours. */
static void rumour_bytes(struct one *o, size_t *bytes, size_t *n)
{
    static const uint16_t types[] = {WIRE_r_ping, WIRE_r_pong, WIRE_r_rumours};
    struct said s;
    for (size_t t = 0; t < PEAL_COUNT(types); t++)
        for (size_t at = 0; mates_said(o, &at, types[t], &s);) {
            const struct wire_rumour_list *list = s.type == WIRE_r_rumours ? &s.m.r_rumours.rumours
                                                  : s.type == WIRE_r_ping  ? &s.m.r_ping.rumours
                                                                           : &s.m.r_pong.rumours;
            for (size_t i = 0; i < list->n; i++)
                *bytes += ring__rumour_bytes(&list->v[i]);
            *n += list->n;
        }
    for (size_t at = 0; mates_said(o, &at, WIRE_r_known, &s);)
        for (size_t i = 0; i < s.m.r_known.rumours.n; i++)
            *bytes += ring__rumour_bytes(&s.m.r_known.rumours.v[i]);
}

/* Within two seconds of the mates' pings: how often a rumour of id goes to mate i. */
static void listen(struct one *o, const struct peal_id *id, bool dead, size_t got[static MATES])
{
    static const uint16_t types[] = {WIRE_r_ping, WIRE_r_pong, WIRE_r_rumours};
    memset(got, 0, MATES * sizeof got[0]);
    for (size_t round = 0; round < 20 * MATES; round++) {
        if (round % MATES == 0)
            o->now += 100 * MS;
        mates_ping(o, round % MATES);
        struct said s;
        for (size_t t = 0; t < PEAL_COUNT(types); t++)
            for (size_t at = 0; mates_said(o, &at, types[t], &s);) {
                const struct wire_rumour_list *list = s.type == WIRE_r_rumours
                                                          ? &s.m.r_rumours.rumours
                                                      : s.type == WIRE_r_ping ? &s.m.r_ping.rumours
                                                                              : &s.m.r_pong.rumours;
                for (size_t i = 0; i < list->n; i++)
                    if (id_eq(&list->v[i].contact.id, id) && list->v[i].dead == dead)
                        got[s.link - 1]++;
            }
    }
}

Test(gossip, a_second_copy_goes_only_to_those_beyond_the_first)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    rng_init(&g, 11);
    struct peal_id id = mates_random_id(&g);
    size_t got[MATES];
    mates_rumour(o, MATES - 1, mates_life(o, &id, &o->mate[2]));
    listen(o, &id, false, got);
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], i < 2, "mate %zu is before the limit or not", i);
    mates_rumour(o, MATES - 1, mates_life(o, &id, &o->mate[2]));
    listen(o, &id, false, got);
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], 0, "mate %zu has it", i);
    mates_rumour(o, MATES - 1, mates_life(o, &id, &o->mate[4]));
    listen(o, &id, false, got);
    /* mate 1's piece was bounded by 2 both times: it has passed it on already */
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], i == 2 || i == 3, "mate %zu is beyond the first limit or not", i);
    mates_free(o);
}

Test(gossip, a_death_needs_no_contact_and_goes_on_though_unknown)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    rng_init(&g, 12);
    struct peal_id known = mates_random_id(&g), unknown = mates_random_id(&g);
    size_t got[MATES];
    mates_rumour(o, 0, mates_life(o, &known, &o->r->self.id));
    cr_assert_not(book_find(o->r, &known)->dead, "it lives");
    mates_rumour(o, 4, mates_death(o, &known, &o->mate[4]));
    cr_assert(book_find(o->r, &known)->dead, "it is dead");
    mates_rumour(o, 4, mates_death(o, &unknown, &o->mate[4]));
    cr_assert_null(book_find(o->r, &unknown), "nobody is made up");
    listen(o, &unknown, true, got);
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], i < 4, "mate %zu hears of the unknown's death, or not", i);
    mates_free(o);
}

Test(gossip, rumours_of_many_stay_within_the_budget_and_all_are_said)
{
    enum { NEWS = 40 };
    struct one *o = mates_ring(300);
    struct rng g;
    rng_init(&g, 10);
    size_t bytes = 0, said = 0;
    uint64_t began = o->now, counted = o->r->count.gossip_bytes;
    for (size_t i = 0; i < NEWS; i++) {
        struct peal_id id = mates_random_id(&g);
        mates_rumour(o, MATES - 1, mates_death(o, &id, &o->mate[MATES - 1]));
        rumour_bytes(o, &bytes, &said);
    }
    for (size_t round = 0; round < 2000 && said < (size_t)NEWS * (MATES - 1); round++) {
        o->now += 100 * MS;
        for (size_t i = 0; i < MATES; i++) {
            mates_ping(o, i);
            rumour_bytes(o, &bytes, &said);
        }
        double most = (double)gossip_burst(o->r) + (double)(o->now - began) / SECOND * 300;
        cr_assert_leq((double)bytes, most, "round %zu: %zu bytes", round, bytes);
        for (size_t i = 0; i < MATES; i++)
            cr_assert_not(o->closed[i], "no mate is dropped");
    }
    cr_assert_eq(said, (size_t)NEWS * (MATES - 1), "all news went to all mates before its limit");
    cr_assert_geq(o->r->count.gossip_bytes - counted, bytes, "and was counted");
    mates_free(o);
}

Test(gossip, its_own_death_is_answered_with_its_life)
{
    struct one *o = mates_ring(PLENTY);
    size_t got[MATES];
    uint64_t before = o->r->gossip.alive;
    struct wire_rumour w = mates_death(o, &o->r->self.id, &o->mate[4]);
    mates_rumour(o, 4, w);
    cr_assert_gt(o->r->gossip.alive, w.stamp, "its word is the later");
    cr_assert_gt(o->r->gossip.alive, before, "and new");
    listen(o, &o->r->self.id, false, got);
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], 1, "mate %zu hears that it lives", i);
    listen(o, &o->r->self.id, true, got);
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], 0, "nobody hears of its death from itself");
    mates_free(o);
}

Test(gossip, a_stamp_from_the_future_is_not_believed)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    rng_init(&g, 13);
    struct peal_id id = mates_random_id(&g);
    struct wire_rumour w = mates_life(o, &id, &o->mate[4]);
    w.stamp = (MATES_WALL_MS + o->now / MS + RUMOUR_AHEAD_MS + 1000) << 16;
    size_t got[MATES];
    mates_rumour(o, 4, w);
    cr_assert_null(book_find(o->r, &id), "it is not known");
    listen(o, &id, false, got);
    for (size_t i = 0; i < MATES; i++)
        cr_assert_eq(got[i], 0, "and nobody hears of it");
    mates_free(o);
}

enum bad {
    BAD_DEATH_WITH_CONTACT,
    BAD_DEAD_AND_FOREIGN,
    BAD_NOBODY,
    BAD_SIGNATURE,
    BAD_LISTED_DEAD,
    BAD_OUT_OF_RANGE,
    BAD_DIGESTS,
    BAD_NO_DIGESTS,
    BAD_CAST_DEPTH,
    BAD_CAST_ORIGIN,
    BAD_ELECT_HOPS,
    BAD_ELECTED_NOBODY,
    BADS
};

static void say_bad(struct one *o, enum bad bad)
{
    static const uint8_t unsigned_[CRY_SIG_BYTES] = {2};
    struct peal_id self = o->r->self.id, some = id_add_pow2(&self, 9);
    struct wire_rumour life = mates_life(o, &some, &self), death = mates_death(o, &some, &self);
    struct wire_r_known known = {.from = self, .upto = self, .rumours = {.v = &life, .n = 1}};
    struct wire_r_compare compare = {.from = self, .upto = self};
    struct wire_r_cast cast = {.origin = o->mate[0], .seq = 1, .depth = 1, .limit = self};
    struct wire_r_elect elect = {.candidate = self};
    struct wire_r_elected elected = {.hops = 1};
    switch (bad) {
    case BAD_DEATH_WITH_CONTACT:
        life.dead = true;
        mates_rumour(o, 0, life);
        break;
    case BAD_DEAD_AND_FOREIGN:
        death.foreign = true;
        mates_rumour(o, 0, death);
        break;
    case BAD_NOBODY:
        memset(&life.contact.id, 0, sizeof life.contact.id);
        mates_rumour(o, 0, life);
        break;
    case BAD_SIGNATURE:
        life.contact.signature = peal_bytes_of(unsigned_, sizeof unsigned_);
        mates_rumour(o, 0, life);
        break;
    case BAD_LISTED_DEAD:
        known.rumours.v = &death;
        mates_say(o, 0, WIRE_r_known, &known);
        break;
    case BAD_OUT_OF_RANGE:
        known.upto = id_add_pow2(&self, 8);
        mates_say(o, 0, WIRE_r_known, &known);
        break;
    case BAD_DIGESTS:
        compare.digests = peal_bytes_str("nine byte");
        mates_say(o, 0, WIRE_r_compare, &compare);
        break;
    case BAD_NO_DIGESTS:
        mates_say(o, 0, WIRE_r_compare, &compare);
        break;
    case BAD_CAST_DEPTH:
        cast.depth = CAST_DEPTH_MAX + 1;
        mates_say(o, 0, WIRE_r_cast, &cast);
        break;
    case BAD_CAST_ORIGIN:
        memset(&cast.origin, 0, sizeof cast.origin);
        mates_say(o, 0, WIRE_r_cast, &cast);
        break;
    case BAD_ELECT_HOPS:
        mates_say(o, 0, WIRE_r_elect, &elect);
        break;
    case BAD_ELECTED_NOBODY:
        mates_say(o, 0, WIRE_r_elected, &elected);
        break;
    case BADS:
        break;
    }
}

Test(gossip, nonsense_closes_its_link)
{
    for (int bad = 0; bad < BADS; bad++) {
        struct one *o = mates_ring(PLENTY);
        say_bad(o, (enum bad)bad);
        for (size_t i = 0; i < MATES; i++)
            cr_assert_eq(o->closed[i], i == 0, "nonsense %d: mate %zu", bad, i);
        mates_free(o);
    }
}

/* ---- comparing ---- */

static void say_compare(struct one *o, size_t mate, const struct peal_id *from,
                        const struct peal_id *upto, size_t n, const uint64_t *digest)
{
    uint8_t bytes[8 * WIRE_DIGESTS_MAX];
    struct wr w;
    wr_init(&w, bytes, sizeof bytes);
    for (size_t k = 0; k < n; k++)
        wr_u64(&w, digest[k]);
    struct wire_r_compare m = {.from = *from, .upto = *upto, .digests = peal_bytes_of(bytes, w.n)};
    mates_say(o, mate, WIRE_r_compare, &m);
}

Test(gossip, a_comparison_is_answered_where_it_differs)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    rng_init(&g, 14);
    struct peal_id from = o->mate[1], extra = mates_random_id(&g);
    uint64_t digest[WIRE_DIGESTS_MAX];
    uint32_t count[WIRE_DIGESTS_MAX];
    struct said s;
    size_t at = 0, answers = 0;
    compare_digests(o->r, &from, &from, WIRE_DIGESTS_MAX, digest, count);
    say_compare(o, 1, &from, &from, WIRE_DIGESTS_MAX, digest);
    cr_assert_not(mates_said(o, &at, WIRE_r_known, &s), "equal: silence");
    at = 0;
    cr_assert_not(mates_said(o, &at, WIRE_r_compare, &s), "equal: no digests either");
    mates_learn(o, &extra, 1, false); /* what the mate does not know */
    say_compare(o, 1, &from, &from, WIRE_DIGESTS_MAX, digest);
    for (at = 0; mates_said(o, &at, WIRE_r_known, &s); answers++) {
        bool has = false;
        cr_assert_eq(s.link, 2, "to who compared");
        cr_assert(id_in_arc(&s.m.r_known.from, &extra, &s.m.r_known.upto), "its part only");
        for (size_t i = 0; i < s.m.r_known.rumours.n; i++) {
            const struct wire_rumour *w = &s.m.r_known.rumours.v[i];
            cr_assert(id_in_arc(&s.m.r_known.from, &w->contact.id, &s.m.r_known.upto), "in range");
            cr_assert(id_eq(&w->limit, &o->mate[1]), "for the mate alone");
            has = has || id_eq(&w->contact.id, &extra);
        }
        cr_assert(has, "what the mate lacks is said");
    }
    cr_assert_eq(answers, 1, "one part differs: one answer");
    mates_free(o);
}

/* The ring from `from` on, whose parts 4 to 8 nobody lives in; two ids in each of them. */
struct parts {
    struct peal_id from, in[WIRE_DIGESTS_MAX][2];
    uint64_t digest[WIRE_DIGESTS_MAX];
    uint32_t count[WIRE_DIGESTS_MAX];
};

static struct one *with_empty_parts(struct parts *p)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    bool empty = false;
    rng_init(&g, 16);
    for (int tries = 0; !empty && tries < 10000; tries++) {
        p->from = mates_random_id(&g);
        compare_digests(o->r, &p->from, &p->from, WIRE_DIGESTS_MAX, p->digest, p->count);
        empty = true;
        for (size_t k = 4; k <= 8; k++)
            empty = empty && p->count[k] == 0;
    }
    cr_assert(empty, "there are five parts without nodes");
    for (unsigned k = 0; k < WIRE_DIGESTS_MAX; k++) {
        p->in[k][0] = compare_bound(&p->from, &p->from, k, WIRE_DIGESTS_MAX);
        p->in[k][0] = id_add_pow2(&p->in[k][0], 20 + k);
        p->in[k][1] = id_add_pow2(&p->in[k][0], 40);
    }
    return o;
}

static void note(struct one *o, struct parts *p)
{
    compare_digests(o->r, &p->from, &p->from, WIRE_DIGESTS_MAX, p->digest, p->count);
}

/* The only answer to the comparison; how many digests went with it besides. */
static struct wire_r_known only_answer(struct one *o, const struct parts *p, const char *what)
{
    struct said s, more;
    size_t at = 0;
    say_compare(o, 1, &p->from, &p->from, WIRE_DIGESTS_MAX, p->digest);
    cr_assert(mates_said(o, &at, WIRE_r_known, &s), "%s: it answers", what);
    struct wire_r_known m = s.m.r_known;
    cr_assert_not(mates_said(o, &at, WIRE_r_known, &more), "%s: once", what);
    at = 0;
    cr_assert_not(mates_said(o, &at, WIRE_r_compare, &more), "%s: without digests", what);
    return m;
}

static bool lists(const struct wire_r_known *m, const struct peal_id *id)
{
    for (size_t i = 0; i < m->rumours.n; i++)
        if (id_eq(&m->rumours.v[i].contact.id, id))
            return true;
    return false;
}

Test(gossip, a_digest_tells_which_of_few_the_peer_knows)
{
    struct parts p;
    struct one *o = with_empty_parts(&p);
    mates_learn(o, &p.in[5][0], 1, false);
    note(o, &p); /* so much the mate knows */
    mates_learn(o, &p.in[5][1], 1, false);
    struct wire_r_known m = only_answer(o, &p, "one of two");
    cr_assert_not(m.ask, "nothing is to be asked");
    cr_assert(m.rumours.n == 1 && lists(&m, &p.in[5][1]), "only what it does not know is said");
    mates_learn(o, &p.in[5][0], 2, false); /* it has moved since */
    m = only_answer(o, &p, "an old contact");
    cr_assert(m.ask && m.rumours.n == 2, "who is known by another contact is not known");
    mates_free(o);
}

Test(gossip, what_lacks_in_several_parts_is_said_at_once)
{
    struct parts p;
    struct one *o = with_empty_parts(&p);
    mates_learn(o, &p.in[6][0], 1, false);
    note(o, &p);
    mates_learn(o, &p.in[4][0], 1, false);
    mates_learn(o, &p.in[7][0], 1, false);
    struct wire_r_known m = only_answer(o, &p, "two parts");
    cr_assert_not(m.ask, "nothing is to be asked");
    cr_assert(m.rumours.n == 2 && lists(&m, &p.in[4][0]) && lists(&m, &p.in[7][0]),
              "both, and nobody whom the mate knows between them");
    mates_free(o);
}

Test(gossip, what_the_peer_knows_more_is_asked_at_once)
{
    struct parts p;
    struct one *o = with_empty_parts(&p);
    mates_learn(o, &p.in[4][0], 1, false);
    note(o, &p);
    p.digest[4] += 77, p.digest[7] += 78; /* others, too */
    struct wire_r_known m = only_answer(o, &p, "two parts");
    cr_assert(m.ask, "it asks");
    cr_assert(m.rumours.n == 1 && lists(&m, &p.in[4][0]), "and lists what it knows");
    cr_assert(id_in_arc(&m.from, &p.in[4][0], &m.upto) && id_in_arc(&m.from, &p.in[7][1], &m.upto),
              "of both parts");
    note(o, &p);
    p.digest[4] += 77, p.digest[8] += 78;
    mates_learn(o, &p.in[6][0], 1, false);
    p.digest[6] = 0;
    m = only_answer(o, &p, "one in between of whom the mate knows nobody");
    cr_assert(m.ask && m.rumours.n == 2, "which costs nothing more");
    note(o, &p);
    p.digest[4] += 77, p.digest[8] += 78;
    struct said s;
    size_t at = 0, answers = 0;
    say_compare(o, 1, &p.from, &p.from, WIRE_DIGESTS_MAX, p.digest);
    while (mates_said(o, &at, WIRE_r_known, &s)) {
        cr_assert(s.m.r_known.ask && !lists(&s.m.r_known, &p.in[6][0]), "not of what both know");
        cr_assert_not(id_in_arc(&s.m.r_known.from, &p.in[6][0], &s.m.r_known.upto),
                      "or the mate would tell of it");
        answers++;
    }
    cr_assert_eq(answers, 2, "%zu answers", answers);
    mates_free(o);
}

/* How many nodes the next comparison is about. */
static size_t compares(struct one *o, uint8_t found)
{
    struct said s;
    size_t at = 0;
    o->now += MS;
    o->r->compare.learning = false;
    o->r->compare.found = found;
    o->r->due[PART_COMPARE] = o->now;
    step_update_reset(&o->u);
    mates_step(o, (struct step_event){.kind = STEP_TIMER});
    cr_assert(mates_said(o, &at, WIRE_r_compare, &s), "it compares");
    return book_living_in(o->r, &s.m.r_compare.from, &s.m.r_compare.upto);
}

Test(gossip, a_comparison_is_the_narrower_the_more_differs)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    rng_init(&g, 17);
    while (o->r->book.living < 200) {
        struct peal_id id = mates_random_id(&g);
        mates_learn(o, &id, 1, false);
    }
    static const struct {
        uint8_t found;
        size_t nodes;
    } want[] = {{4, 16},  {0, 64},  {1, 64}, {3, 64}, {0, 200},
                {0, 200}, {1, 200}, {4, 64}, {4, 16}, {4, 16}};
    for (size_t i = 0; i < PEAL_COUNT(want); i++) {
        size_t got = compares(o, want[i].found);
        cr_assert_eq(got, want[i].nodes, "number %zu, after %d differences: %zu nodes", i,
                     want[i].found, got);
    }
    mates_free(o);
}

Test(gossip, asked_it_says_what_the_list_lacks)
{
    struct one *o = mates_ring(PLENTY);
    struct wire_rumour v[MATES];
    struct peal_id self = o->r->self.id;
    size_t n = 0;
    for (size_t i = 0; i < MATES; i++)
        if (i != 3)
            v[n++] = mates_life(o, &o->mate[i], &self);
    struct wire_r_known m = {.from = self, .upto = self, .ask = true, .rumours = {.v = v, .n = n}};
    mates_say(o, 0, WIRE_r_known, &m);
    struct said s;
    size_t at = 0;
    cr_assert(mates_said(o, &at, WIRE_r_known, &s), "it answers");
    cr_assert_not(s.m.r_known.ask, "and asks nothing back");
    cr_assert_eq(s.m.r_known.rumours.n, 2, "the one that lacks, and itself");
    cr_assert(id_eq(&s.m.r_known.rumours.v[0].contact.id, &o->mate[3]), "in order from the range");
    cr_assert(id_eq(&s.m.r_known.rumours.v[1].contact.id, &self), "itself ends its own ring");
    mates_free(o);
}

Test(gossip, who_is_listed_and_known_dead_is_answered_with_its_death)
{
    struct one *o = mates_ring(PLENTY);
    struct rng g;
    rng_init(&g, 15);
    struct peal_id id = mates_random_id(&g), self = o->r->self.id;
    struct wire_rumour life = mates_life(o, &id, &self);
    mates_rumour(o, 0, life);
    o->now += SECOND;
    mates_rumour(o, 0, mates_death(o, &id, &self));
    struct wire_r_known m = {.from = self, .upto = self, .rumours = {.v = &life, .n = 1}};
    mates_say(o, 1, WIRE_r_known, &m);
    struct said s;
    size_t at = 0;
    cr_assert(mates_said(o, &at, WIRE_r_rumours, &s), "it answers");
    cr_assert_eq(s.link, 2, "to who listed it");
    cr_assert(s.m.r_rumours.rumours.n == 1 && s.m.r_rumours.rumours.v[0].dead, "a death");
    cr_assert(id_eq(&s.m.r_rumours.rumours.v[0].contact.id, &id), "its death");
    cr_assert(book_find(o->r, &id)->dead, "it stays dead: the list's stamp is earlier");
    life.stamp = (MATES_WALL_MS + o->now / MS + 5000) << 16;
    mates_say(o, 1, WIRE_r_known, &m);
    cr_assert_not(book_find(o->r, &id)->dead, "a later stamp is believed");
    mates_free(o);
}
