/* zave.c: each operation by itself, and all of them against each other: a random run over a shared
 * state in which the paper's invariant is asserted after every step. So that the oracle is known to
 * be able to fail, three well-known mistakes are put in and must be found.
 *
 * PEAL_ZAVE_SEEDS: how many runs, instead of SEEDS. */
#include "inner.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/* Point i of 256 equal steps around the circle, `plus` beyond it. */
static struct peal_id at(unsigned i, unsigned plus)
{
    struct peal_id id = {0};
    id.b[0] = (uint8_t)i;
    id.b[ID_BYTES - 1] = (uint8_t)plus;
    return id;
}

static struct zave node(unsigned self, unsigned prdc, uint8_t r, const unsigned *succ, size_t n)
{
    struct zave z = {.self = at(self, 0), .r = r, .prdc = at(prdc, 0)};
    for (size_t i = 0; i < n; i++)
        z.succ[z.n++].id = at(succ[i], 0);
    zave_pad(&z);
    return z;
}
#define NODE(self, prdc, r, ...)                                                                   \
    node(self, prdc, r, (const unsigned[]){__VA_ARGS__},                                           \
         sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static bool is_list(const struct zave *z, const unsigned *succ, size_t n)
{
    if (z->n != z->r)
        return false;
    for (size_t i = 0; i < z->n; i++) {
        struct peal_id want = i < n ? at(succ[i], 0) : id_add_pow2(&z->succ[i - 1].id, 0);
        if (z->succ[i].artificial != (i >= n) || !id_eq(&z->succ[i].id, &want))
            return false;
    }
    return true;
}
#define IS_LIST(z, ...)                                                                            \
    is_list(z, (const unsigned[]){__VA_ARGS__},                                                    \
            sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

/* ---- each operation ---- */

Test(zave, join_takes_the_whole_list_and_m_as_predecessor)
{
    struct zave m = NODE(10, 250, 3, 40, 60, 90);
    struct zave j = {.self = at(20, 0), .r = 3};
    zave_join(&j, &m);
    cr_assert(IS_LIST(&j, 40, 60, 90), "all of m's entries");
    cr_assert(id_eq(&j.prdc, &m.self), "m is the predecessor");
    cr_assert(!zave_is_round(&j), "the list does not come back");
}

Test(zave, join_wraps_around_zero)
{
    struct zave m = NODE(250, 200, 3, 5, 30, 90);
    struct zave j = {.self = at(255, 0), .r = 3};
    zave_join(&j, &m);
    cr_assert(IS_LIST(&j, 5, 30, 90), "past zero");
}

Test(zave, join_of_a_node_that_expects_more_pads_and_of_one_that_expects_less_cuts)
{
    struct zave m = NODE(10, 250, 2, 40, 60);
    struct zave j = {.self = at(20, 0), .r = 4}, k = {.self = at(20, 0), .r = 1};
    zave_join(&j, &m);
    cr_assert(IS_LIST(&j, 40, 60), "two entries and two artificial ones");
    zave_join(&k, &m);
    cr_assert(IS_LIST(&k, 40), "one entry");
}

Test(zave, drop_head_moves_up_and_pads)
{
    struct zave z = NODE(10, 250, 3, 40, 60, 90);
    zave_drop_head(&z);
    cr_assert(IS_LIST(&z, 60, 90), "the head is gone, an artificial entry is last");
    cr_assert(id_eq(&z.succ[2].id, &(struct peal_id){.b = {90, [ID_BYTES - 1] = 1}}),
              "its id is the last one's plus one");
    zave_drop_head(&z);
    zave_drop_head(&z);
    cr_assert(z.n == 3 && z.succ[0].artificial, "nobody is left, and there are still three");
}

Test(zave, take_has_s_first_and_leaves_its_last_entry_out)
{
    struct zave z = NODE(10, 250, 3, 40, 60, 90), s = NODE(40, 10, 3, 70, 90, 120);
    cr_assert(!zave_take(&z, &s, &s.prdc), "its predecessor is this node");
    cr_assert(IS_LIST(&z, 40, 70, 90), "s and two of its entries");
    cr_assert(!zave_is_round(&z), "not round");
}

Test(zave, take_says_whether_the_predecessor_lies_between)
{
    static const struct {
        unsigned self, s, prdc;
        bool between;
        const char *what;
    } cases[] = {
        {10, 40, 20, true, "between"},           {10, 40, 5, false, "before this node"},
        {10, 40, 41, false, "after s"},          {10, 40, 40, false, "s itself"},
        {250, 40, 255, true, "before zero"},     {250, 40, 0, true, "at zero"},
        {250, 40, 39, true, "after zero"},       {250, 40, 249, false, "before, with wrap-around"},
        {250, 40, 250, false, "this node again"}};
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        struct zave z = NODE(cases[i].self, 0, 2, cases[i].s, 60),
                    s = NODE(cases[i].s, 0, 2, 60, 90);
        struct peal_id p = at(cases[i].prdc, 0);
        cr_assert_eq(zave_take(&z, &s, &p), cases[i].between, "%s", cases[i].what);
    }
    struct zave z = NODE(10, 0, 2, 40, 60), s = NODE(40, 0, 2, 60, 90);
    cr_assert(!zave_take(&z, &s, NULL), "no predecessor is none to be queried");
}

Test(zave, a_list_with_self_is_cut_before_it_and_is_round)
{
    struct zave z = NODE(10, 90, 4, 40, 60, 90, 120), s = NODE(40, 10, 4, 60, 90, 10);
    zave_take(&z, &s, &s.prdc);
    cr_assert(IS_LIST(&z, 40, 60, 90), "up to the one before this node");
    cr_assert(zave_is_round(&z), "it has come round");
    zave_drop_head(&z);
    cr_assert(!zave_is_round(&z), "a dropped entry says no more about everyone");
}

Test(zave, a_circle_of_exactly_r_others_is_not_round)
{
    struct zave z = NODE(10, 90, 3, 40, 60, 90), s = NODE(40, 10, 3, 60, 90, 10);
    zave_take(&z, &s, &s.prdc);
    cr_assert(IS_LIST(&z, 40, 60, 90), "the three others");
    cr_assert(!zave_is_round(&z), "there is no room for self in it");
}

Test(zave, a_list_that_runs_past_self_is_cut_and_not_round)
{
    struct zave z = NODE(10, 5, 4, 40, 60, 90, 120), s = NODE(40, 5, 4, 60, 5, 20, 30);
    zave_take(&z, &s, NULL);
    cr_assert(IS_LIST(&z, 40, 60, 5), "what lies beyond self is not after 5");
    cr_assert(!zave_is_round(&z), "self is not in it");
}

Test(zave, a_list_out_of_order_is_cut)
{
    struct zave z = NODE(10, 5, 4, 40, 60, 90, 120), s = NODE(40, 5, 4, 90, 60, 120, 130);
    zave_take(&z, &s, NULL);
    cr_assert(IS_LIST(&z, 40, 90), "up to the last in order");
    struct zave twice = NODE(40, 5, 4, 60, 60, 90, 120);
    zave_take(&z, &twice, NULL);
    cr_assert(IS_LIST(&z, 40, 60), "up to the first of two that are the same");
}

Test(zave, artificial_entries_are_not_passed_off_as_nodes)
{
    struct zave z = NODE(10, 5, 3, 40, 60, 90), s = NODE(40, 5, 3, 60);
    zave_take(&z, &s, NULL);
    cr_assert(IS_LIST(&z, 40, 60), "s, its one entry, and an artificial one");
    struct zave lonely = {.self = at(40, 0), .r = 3};
    zave_pad(&lonely);
    zave_take(&z, &lonely, NULL);
    cr_assert(IS_LIST(&z, 40), "s alone");
}

Test(zave, an_artificial_id_that_is_a_nodes_stands_for_nobody)
{
    /* self's own id as an artificial entry: the list ends, and is not round */
    struct zave z = NODE(10, 5, 3, 40, 60, 90);
    struct zave s = {.self = at(40, 0), .r = 3, .n = 1};
    s.succ[0].id = at(9, 0);
    memset(&s.succ[0].id.b[1], 0xff, ID_BYTES - 1); /* one below self */
    zave_pad(&s);
    cr_assert(id_eq(&s.succ[1].id, &z.self), "the artificial id is self's");
    zave_take(&z, &s, NULL);
    cr_assert(!zave_is_round(&z), "an artificial self is not self");
    cr_assert_eq(z.n, 3, "three entries");
    cr_assert(z.succ[2].artificial && !z.succ[1].artificial, "the last one is artificial");
    /* a node with the id that is artificial in the list is a candidate all the same */
    struct zave y = NODE(10, 5, 2, 40), p = NODE(20, 10, 2, 40, 60);
    cr_assert(zave_take_candidate(&y, &p), "a candidate between");
    cr_assert(IS_LIST(&y, 20, 40), "taken");
}

Test(zave, a_candidate_is_taken_only_from_between)
{
    struct zave z = NODE(250, 200, 3, 40, 60, 90), p = NODE(20, 250, 3, 40, 60, 90);
    struct zave old = z;
    struct zave s = NODE(40, 20, 3, 60, 90, 120), far = NODE(60, 20, 3, 90, 120, 200);
    struct zave self = NODE(250, 200, 3, 40, 60, 90);
    cr_assert(!zave_take_candidate(&z, &s), "the head is not before itself");
    cr_assert(!zave_take_candidate(&z, &far), "beyond the head");
    cr_assert(!zave_take_candidate(&z, &self), "self");
    cr_assert_eq(memcmp(&old, &z, sizeof z), 0, "nothing has changed");
    cr_assert(zave_take_candidate(&z, &p), "between, past zero");
    cr_assert(IS_LIST(&z, 20, 40, 60), "it and two of its entries");
}

Test(zave, a_candidate_is_welcome_where_no_head_is_left)
{
    struct zave z = {.self = at(10, 0), .r = 2}, p = NODE(200, 10, 2, 220, 230);
    zave_pad(&z);
    cr_assert(zave_take_candidate(&z, &p), "anyone");
    cr_assert(IS_LIST(&z, 200, 220), "taken");
}

Test(zave, rectify)
{
    struct zave z = NODE(10, 200, 2, 40, 60);
    struct peal_id nearer = at(250, 0), far = at(150, 0), self = at(10, 0), wrapped = at(3, 0);
    cr_assert_eq(zave_rectify(&z, &nearer), RECTIFY_DONE, "nearer");
    cr_assert(id_eq(&z.prdc, &nearer), "taken");
    cr_assert_eq(zave_rectify(&z, &nearer), RECTIFY_DONE, "the same again");
    cr_assert_eq(zave_rectify(&z, &wrapped), RECTIFY_DONE, "nearer, past zero");
    cr_assert(id_eq(&z.prdc, &wrapped), "taken");
    cr_assert_eq(zave_rectify(&z, &far), RECTIFY_PING_PRDC, "farther");
    cr_assert(id_eq(&z.prdc, &wrapped), "not taken before the ping");
    zave_replace_prdc(&z, &far);
    cr_assert(id_eq(&z.prdc, &far), "taken after it");
    cr_assert_eq(zave_rectify(&z, &self), RECTIFY_DONE, "self");
    cr_assert(id_eq(&z.prdc, &far), "is nobody's news");
    z.prdc = self;
    cr_assert_eq(zave_rectify(&z, &far), RECTIFY_DONE, "who was alone takes anyone");
    cr_assert(id_eq(&z.prdc, &far), "taken");
    zave_clear(&z);
    cr_assert_eq(zave_rectify(&z, &far), RECTIFY_DONE, "who has none takes anyone");
    cr_assert(id_eq(&z.prdc, &far), "taken");
}

Test(zave, derive)
{
    static const unsigned all[] = {10, 40, 60, 90, 250};
    struct peal_id ids[5];
    for (size_t i = 0; i < 5; i++)
        ids[i] = at(all[i], 0);
    for (uint8_t r = 1; r <= 6; r++) {
        for (size_t n = 1; n <= 5; n++) {
            for (size_t self = 0; self < n; self++) {
                struct zave z = {.self = ids[self], .r = r};
                zave_derive(&z, ids, n);
                size_t want = n - 1 < r ? n - 1 : r;
                cr_assert_eq(z.n, want, "%zu of %zu members", want, n);
                for (size_t i = 0; i < z.n; i++)
                    cr_assert(!z.succ[i].artificial &&
                                  id_eq(&z.succ[i].id, &ids[(self + 1 + i) % n]),
                              "entry %zu", i);
                cr_assert(id_eq(&z.prdc, &ids[(self + n - 1) % n]), "predecessor");
                cr_assert(!zave_is_round(&z), "nothing was taken");
                zave_pad(&z);
                cr_assert_eq(z.n, r, "padded");
            }
        }
    }
}

/* ---- all of them against each other ---- */

enum {
    NODES_MAX = 12,
    STRIDE = 256 / NODES_MAX,
    SEEDS = 2000,
    OPS = 200,
    SETTLE_ROUNDS = 100,
    IDEAL_ROUNDS = 5
};

enum mistake {
    NO_MISTAKE,
    ADOPT_UNASKED, /* s's predecessor becomes the head without a query */
    HEAD_APART,    /* step 2 sets the head; the rest of the list follows with the next step 1 */
    JOIN_WITH_ONE  /* a node joins with one successor */
};

struct model {
    struct rng rng;
    enum mistake mistake;
    unsigned n;
    uint8_t r;
    struct zave z[NODES_MAX];
    bool member[NODES_MAX], step_2[NODES_MAX];
    unsigned saved[NODES_MAX];
    bool notes[NODES_MAX][NODES_MAX]; /* from, to: under way, also from one that has failed since */
    bool principal[NODES_MAX];
    const char *wrong; /* the first that was */
};

static unsigned below(struct model *m, unsigned n)
{
    return (unsigned)rng_below(&m->rng, n);
}

static int index_of(const struct model *m, const struct peal_id *id)
{
    unsigned i = (uint8_t)(id->b[0] - m->z[0].self.b[0]) / STRIDE;
    return i < m->n && id_eq(&m->z[i].self, id) ? (int)i : -1;
}

/* The live node that the entry stands for, or -1. */
static int live(const struct model *m, const struct succ *s)
{
    int i = s->artificial ? -1 : index_of(m, &s->id);
    return i >= 0 && m->member[i] ? i : -1;
}

static int best(const struct model *m, unsigned i)
{
    for (size_t k = 0; k < m->z[i].n; k++)
        if (live(m, &m->z[i].succ[k]) >= 0)
            return live(m, &m->z[i].succ[k]);
    return -1;
}

static bool one_live_successor(const struct model *m)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->member[i] && best(m, i) < 0)
            return false;
    return true;
}

/* Also notes who is one. */
static bool sufficient_principals(struct model *m)
{
    memcpy(m->principal, m->member, sizeof m->principal);
    for (unsigned i = 0; i < m->n; i++) {
        const struct zave *z = &m->z[i];
        unsigned p = i; /* the last node at or before a */
        for (size_t k = 0; m->member[i] && k < z->n; k++) {
            const struct peal_id *a = k == 0 ? &z->self : &z->succ[k - 1].id;
            for (unsigned n = 0; n < m->n; n++) { /* all that lie between a and the next entry */
                unsigned next = (p + 1) % m->n;
                if (!id_between(a, &m->z[next].self, &z->succ[k].id))
                    break;
                m->principal[next] = false;
                p = next;
            }
            if (index_of(m, &z->succ[k].id) >= 0)
                p = (unsigned)index_of(m, &z->succ[k].id);
        }
    }
    unsigned count = 0;
    for (unsigned p = 0; p < m->n; p++)
        count += m->principal[p];
    return count >= (unsigned)m->r + 1;
}

/* Each ESL goes once around at most, clockwise: so nothing is in it twice. */
static bool ordered_lists(const struct model *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        const struct zave *z = &m->z[i];
        if (m->member[i] && z->n != m->r)
            return false;
        for (size_t k = 1; m->member[i] && k < z->n; k++)
            if (!id_between(&z->self, &z->succ[k - 1].id, &z->succ[k].id))
                return false;
        if (m->member[i] && id_eq(&z->succ[0].id, &z->self))
            return false;
    }
    return true;
}

/* At least one ring over best, at most one, ordered, with every principal on it. Everyone else
 * hangs on it, since from everyone best leads to a ring in the end. */
static bool one_ordered_ring(const struct model *m)
{
    bool cyclic[NODES_MAX] = {false}, walked[NODES_MAX] = {false};
    unsigned all = 0, length = 0, wraps = 0;
    int last = -1;
    for (unsigned i = 0; i < m->n; i++) {
        if (!m->member[i])
            continue;
        last = (int)i;
        for (unsigned k = 0; k < m->n; k++)
            last = best(m, (unsigned)last);
        all += !cyclic[last];
        cyclic[last] = true;
    }
    int x = last;
    do {
        int next = best(m, (unsigned)x);
        wraps += id_cmp(&m->z[next].self, &m->z[x].self) <= 0;
        walked[x] = true;
        length++;
        x = next;
    } while (x != last);
    for (unsigned i = 0; i < m->n; i++)
        if (m->principal[i] && !walked[i])
            return false;
    return all == length && wraps == 1;
}

static bool is_ideal(const struct model *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        unsigned p = i;
        for (size_t k = 0; m->member[i] && k < m->r; k++) {
            do
                p = (p + 1) % m->n;
            while (!m->member[p]);
            if (live(m, &m->z[i].succ[k]) != (int)p ||
                (k == 0 && !id_eq(&m->z[p].prdc, &m->z[i].self)))
                return false;
        }
    }
    return true;
}

static void check(struct model *m)
{
    if (m->wrong != NULL)
        return;
    if (!one_live_successor(m))
        m->wrong = "OneLiveSuccessor";
    else if (!sufficient_principals(m))
        m->wrong = "SufficientPrincipals";
    else if (!ordered_lists(m))
        m->wrong = "a list out of order, or with somebody twice";
    else if (!one_ordered_ring(m))
        m->wrong = "not one ordered ring with every principal on it";
}

/* r + 1 members, ideal, at random places; the circle's zero lies somewhere between them. */
static void begin(struct model *m, uint64_t seed, enum mistake mistake)
{
    memset(m, 0, sizeof *m);
    rng_init(&m->rng, seed);
    m->mistake = mistake;
    m->r = (uint8_t)(2 + below(m, 3));
    m->n = m->r + 2U + below(m, NODES_MAX - m->r - 1U);
    struct peal_id first = {0}, members[NODES_MAX];
    rng_fill(&m->rng, first.b, ID_BYTES);
    for (unsigned i = 0; i < m->n; i++) { /* ascending but for one step past zero, or none */
        m->z[i].self = first;
        m->z[i].self.b[0] = (uint8_t)(first.b[0] + i * STRIDE);
        m->z[i].r = m->r;
    }
    for (unsigned k = 0; k < m->r + 1U; k++) {
        unsigned i = below(m, m->n);
        while (m->member[i])
            i = (i + 1) % m->n;
        m->member[i] = true;
    }
    size_t count = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (m->member[i])
            members[count++] = m->z[i].self;
    for (unsigned i = 0; i < m->n; i++)
        if (m->member[i])
            zave_derive(&m->z[i], members, count);
    check(m);
}

static void notify(struct model *m, unsigned from, const struct succ *to)
{
    int i = to->artificial ? -1 : index_of(m, &to->id);
    if (i >= 0)
        m->notes[from][i] = true;
}

static void step_1(struct model *m, unsigned t)
{
    struct zave *z = &m->z[t];
    int s = live(m, &z->succ[0]);
    if (s < 0) {
        zave_drop_head(z);
        notify(m, t, &z->succ[0]);
        return;
    }
    bool known = !id_is_zero(&m->z[s].prdc);
    if (!zave_take(z, &m->z[s], known ? &m->z[s].prdc : NULL)) {
        notify(m, t, &z->succ[0]);
        return;
    }
    if (m->mistake == ADOPT_UNASKED) {
        z->succ[0].id = m->z[s].prdc;
        notify(m, t, &z->succ[0]);
        return;
    }
    m->step_2[t] = true;
    m->saved[t] = (unsigned)index_of(m, &m->z[s].prdc);
}

static void step_2(struct model *m, unsigned t)
{
    struct zave *z = &m->z[t];
    unsigned p = m->saved[t];
    m->step_2[t] = false;
    if (m->member[p]) {
        if (m->mistake == HEAD_APART)
            z->succ[0] = (struct succ){.id = m->z[p].self};
        else
            zave_take_candidate(z, &m->z[p]);
    }
    notify(m, t, &z->succ[0]);
}

static void rectify(struct model *m, unsigned to, unsigned from)
{
    m->notes[from][to] = false;
    if (!m->member[to])
        return;
    struct zave *z = &m->z[to];
    if (zave_rectify(z, &m->z[from].self) == RECTIFY_DONE)
        return;
    int prdc = index_of(m, &z->prdc);
    if (prdc < 0 || !m->member[prdc])
        zave_replace_prdc(z, &m->z[from].self);
}

static void join(struct model *m, unsigned j)
{
    for (unsigned tries = 0; tries < m->n; tries++) {
        unsigned i = below(m, m->n);
        if (!m->member[i] || !id_between(&m->z[i].self, &m->z[j].self, &m->z[i].succ[0].id))
            continue;
        zave_join(&m->z[j], &m->z[i]);
        if (m->mistake == JOIN_WITH_ONE) {
            m->z[j].n = 1;
            zave_pad(&m->z[j]);
        }
        m->member[j] = true;
        return;
    }
}

/* Only as the paper assumes: everyone is left a live entry, and the ring its principals. */
static void fail(struct model *m, unsigned f)
{
    m->member[f] = false;
    if (!one_live_successor(m) || !sufficient_principals(m)) {
        m->member[f] = true;
        return;
    }
    m->step_2[f] = false;
    zave_clear(&m->z[f]);
    for (unsigned i = 0; i < m->n; i++)
        if (m->notes[f][i] && below(m, 2) == 0)
            m->notes[f][i] = false; /* else it was on its way already */
}

/* A live node between t and its head, from a hint. */
static void hint(struct model *m, unsigned t)
{
    unsigned q = below(m, m->n);
    if (m->member[q] && id_between(&m->z[t].self, &m->z[q].self, &m->z[t].succ[0].id)) {
        m->step_2[t] = true;
        m->saved[t] = q;
    }
}

static void deliver_one(struct model *m)
{
    unsigned from = below(m, m->n);
    for (unsigned i = 0; i < m->n; i++, from = (from + 1) % m->n)
        for (unsigned to = 0; to < m->n; to++)
            if (m->notes[from][to]) {
                rectify(m, to, from);
                return;
            }
}

static void operate(struct model *m)
{
    unsigned i = below(m, m->n), dice = below(m, 100);
    if (dice < 20) {
        deliver_one(m);
    } else if (!m->member[i]) {
        join(m, i);
    } else if (m->step_2[i]) {
        if (dice < 40)
            fail(m, i);
        else
            step_2(m, i);
    } else if (dice < 35) {
        fail(m, i);
    } else if (dice < 50) {
        hint(m, i);
    } else {
        step_1(m, i);
    }
    check(m);
}

/* No more joins and failures. */
static void settle(struct model *m)
{
    unsigned ideal = 0; /* rounds in a row */
    for (unsigned i = 0; i < SETTLE_ROUNDS && ideal < IDEAL_ROUNDS && m->wrong == NULL; i++) {
        ideal = is_ideal(m) ? ideal + 1 : 0;
        for (unsigned k = 0; k < m->n; k++) {
            unsigned t = below(m, m->n);
            if (!m->member[t])
                continue;
            if (m->step_2[t])
                step_2(m, t);
            else
                step_1(m, t);
            check(m);
            deliver_one(m);
            check(m);
        }
    }
    if (m->wrong == NULL && !is_ideal(m))
        m->wrong = "the ring has not become ideal";
}

static const char *run(struct model *m, uint64_t seed, enum mistake mistake, unsigned *ops)
{
    begin(m, seed, mistake);
    for (*ops = 0; *ops < OPS && m->wrong == NULL; ++*ops)
        operate(m);
    if (m->wrong == NULL)
        settle(m);
    return m->wrong;
}

static uint64_t seeds(void)
{
    const char *text = getenv("PEAL_ZAVE_SEEDS");
    return text == NULL ? SEEDS : strtoull(text, NULL, 10);
}

Test(zave, the_invariant_holds_whatever_happens, .timeout = 0)
{
    struct model m;
    uint64_t n = seeds();
    cr_assert_gt(n, 0, "PEAL_ZAVE_SEEDS is a number above 0");
    for (uint64_t seed = 1; seed <= n; seed++) {
        unsigned ops = 0;
        const char *wrong = run(&m, seed, NO_MISTAKE, &ops);
        cr_assert_null(wrong, "seed %llu, operation %u: %s", (unsigned long long)seed, ops, wrong);
    }
}

Test(zave, the_invariant_catches_well_known_mistakes)
{
    static const struct {
        enum mistake mistake;
        const char *name;
    } mistakes[] = {{ADOPT_UNASKED, "adopting s's predecessor unasked"},
                    {HEAD_APART, "updating head and list apart"},
                    {JOIN_WITH_ONE, "joining with one successor"}};
    struct model m;
    for (size_t i = 0; i < PEAL_COUNT(mistakes); i++) {
        unsigned found = 0, ops = 0;
        for (uint64_t seed = 1; seed <= SEEDS / 10; seed++)
            found += run(&m, seed, mistakes[i].mistake, &ops) != NULL;
        cr_assert_gt(found, 0, "%s: in no run", mistakes[i].name);
        cr_log_info("%s: %u of %d runs", mistakes[i].name, found, SEEDS / 10);
    }
}
