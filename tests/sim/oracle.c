/* oracle: what it holds the nodes to.
 *
 * Members are nodes in phase SMALL or LARGE whose process runs. A dead entry is one that names no
 * member. The rules of LARGE are about LARGE members alone; between(a, x, b) is id_between.
 *
 * After every step, as long as armed:
 *   OneLiveSuccessor      the member that stepped has a live entry;
 *   order                 its list is ordered clockwise from itself, without itself or duplicates,
 *                         and has r entries;
 *   predecessor           it has one;
 *   SufficientPrincipals  at least r + 1 LARGE members are skipped by no LARGE member's extended
 *                         list: no adjacent pair (a, b) of it has between(a, p, b).
 * Every few steps per node, as long as armed (oracle_check):
 *   one ring              over best (the first live entry) there is exactly one cycle, and going
 *                         round it once goes round the circle of identifiers once;
 *   appendages            hang on it (which follows when each has a best and there is one cycle);
 *   principals            are on it.
 *
 * Armed. The proof begins at an ideal ring of r + 1; how a handful becomes one (SMALL to LARGE) and
 * how two rings become one are not part of it. So the rules are watched from the moment at which
 * all of them hold, every member is LARGE and there are r + 1 of them, and no longer once there are
 * fewer. A SMALL node that comes later (a newcomer that has not found the others yet) is a ring of
 * its own and does not disarm.
 *
 * A break while armed is a violation, told once: then the rules are disarmed until they hold again.
 * It is counted only, when the proof's assumptions do not hold: while excused (oracle_excuse: lost
 * messages, cuts, pauses, after which time-outs do not mean death), or when a death itself is the
 * break, since the proof assumes that no death takes a member's last live entry or leaves fewer
 * than r + 1 principals; or when a member gives up its last live entry, to which it has no link: it
 * has taken it for dead (a dial of a node that was dead when it began ends in vain although the
 * node is back), and the proof assumes that a time-out means dead. An answer may outlive its node:
 * who takes the list that a node had when it died has asked before that death, and what breaks by
 * it was broken by the death.
 *
 * SMALL: the list of a SMALL member is ordered, without itself or duplicates, of at most r entries.
 *
 * At quiescence (oracle_ideal): with more than r members all are LARGE, each list is exactly the
 * next r and each predecessor exactly the one before; with r or fewer all are SMALL and each list
 * is all the others.
 *
 * How it is kept up: each LARGE member's extended list is r pairs, each pair a range of places in
 * the order of all ids; a segment tree over the places knows for the least number of pairs that
 * skip a LARGE member, and how many such members there are. A step changes few pairs. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

enum {
    FAR = 1 << 28,      /* added to the cover of places without a LARGE member */
    CHECK_EVERY = 4,    /* updates per node between two costly checks */
    CHECK_LEAST = 1000, /* updates */
};

/* Places first to last skipped by a pair, going round when last < first; empty: first NOWHERE. */
struct range {
    uint32_t first, last;
};

struct watched {
    struct peal_id id;
    uint32_t place;
    enum ring_phase phase;
    bool alive;
    uint32_t phases; /* how often it changed its phase */
    uint8_t n;
    struct peal_id prdc; /* zero: none */
    struct peal_id succ_id[RING_SUCCESSORS_MAX];
    uint32_t succ[RING_SUCCESSORS_MAX]; /* places; NOWHERE: artificial, or nobody's id */
    bool artificial[RING_SUCCESSORS_MAX];
    struct range skips[RING_SUCCESSORS_MAX];
    struct peal_id last[RING_SUCCESSORS_MAX]; /* its list, without artificial ones, when it died */
    uint8_t last_n;
};

struct cover { /* of a subtree, `add` of its own included, its ancestors' not */
    int32_t add, least;
    uint32_t least_n;
};

struct oracle {
    struct oracle_config cfg;
    struct watched *nodes;
    uint32_t *at; /* node by place */
    struct cover *tree;
    uint32_t leaves;
    struct oracle_figures figures;
    bool armed, excused, deaths;
    uint64_t check_due; /* at which update */
    uint32_t *mark;     /* by place, of the costly check */
};

static void *must(void *p)
{
    CHECK(p != NULL);
    return p;
}

static bool is_member(const struct watched *n)
{
    return n->alive && (n->phase == RING_SMALL || n->phase == RING_LARGE);
}

static bool is_large(const struct watched *n)
{
    return n->alive && n->phase == RING_LARGE;
}

/* ---- the tree ---- */

static void join_up(struct oracle *o, uint32_t i)
{
    struct cover *c = &o->tree[i];
    const struct cover *a = &o->tree[2 * i], *b = &o->tree[2 * i + 1];
    c->least = (a->least < b->least ? a->least : b->least) + c->add;
    c->least_n = (a->least <= b->least ? a->least_n : 0) + (b->least <= a->least ? b->least_n : 0);
}

/* Adds to the places first … last; the subtree i holds from … upto. */
static void add(struct oracle *o, uint32_t i, uint32_t from, uint32_t upto, uint32_t first,
                uint32_t last, int32_t by)
{
    if (last < from || upto < first)
        return;
    if (first <= from && upto <= last) {
        o->tree[i].add += by;
        o->tree[i].least += by;
        return;
    }
    uint32_t mid = from + (upto - from) / 2;
    add(o, 2 * i, from, mid, first, last, by);
    add(o, 2 * i + 1, mid + 1, upto, first, last, by);
    join_up(o, i);
}

static void add_range(struct oracle *o, struct range r, int32_t by)
{
    if (r.first == NOWHERE)
        return;
    if (r.first <= r.last) {
        add(o, 1, 0, o->leaves - 1, r.first, r.last, by);
        return;
    }
    add(o, 1, 0, o->leaves - 1, r.first, o->leaves - 1, by);
    add(o, 1, 0, o->leaves - 1, 0, r.last, by);
}

static uint32_t principals(const struct oracle *o)
{
    return o->tree[1].least == 0 ? o->tree[1].least_n : 0;
}

/* How many pairs skip the place. */
static int32_t cover_of(const struct oracle *o, uint32_t place)
{
    int32_t sum = 0;
    for (uint32_t i = o->leaves + place; i >= 1; i /= 2)
        sum += i >= o->leaves ? o->tree[i].least : o->tree[i].add;
    return sum;
}

/* ---- places ---- */

static int by_id(const void *a, const void *b)
{
    const struct watched *const *x = a, *const *y = b;
    return id_cmp(&(*x)->id, &(*y)->id);
}

uint32_t oracle_place_of(const struct oracle *o, const struct peal_id *id)
{
    uint32_t lo = 0, hi = o->cfg.nodes;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (id_cmp(&o->nodes[o->at[mid]].id, id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t oracle_node_of(const struct oracle *o, const struct peal_id *id)
{
    uint32_t p = oracle_place_of(o, id);
    return p < o->cfg.nodes && id_eq(&o->nodes[o->at[p]].id, id) ? o->at[p] : UINT32_MAX;
}

static uint32_t exact_place(const struct oracle *o, const struct peal_id *id)
{
    uint32_t n = oracle_node_of(o, id);
    return n == UINT32_MAX ? NOWHERE : o->nodes[n].place;
}

/* The places p with between(a, p, b). */
static struct range skipped(const struct oracle *o, const struct peal_id *a,
                            const struct peal_id *b)
{
    uint32_t n = o->cfg.nodes;
    uint32_t first = oracle_place_of(o, a), end = oracle_place_of(o, b);
    if (first < n && id_eq(&o->nodes[o->at[first]].id, a))
        first++;
    first %= n;
    uint32_t last = (end + n - 1) % n;
    /* Nobody lies between when going on from `first` comes to b before it comes to anyone. */
    const struct peal_id *next = &o->nodes[o->at[first]].id;
    if (!id_between(a, next, b))
        return (struct range){NOWHERE, NOWHERE};
    return (struct range){first, last};
}

/* ---- breaks ---- */

static void PEAL_PRINTF(3, 4) broken(struct oracle *o, uint32_t node, const char *fmt, ...)
{
    char why[ORACLE_WHY_MAX];
    o->armed = false;
    if (o->excused) {
        o->figures.excused++;
        return;
    }
    if (o->deaths) {
        o->figures.assumed++;
        return;
    }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    o->figures.violated++;
    o->cfg.violated(o->cfg.ctx, node, why);
}

static uint32_t best(const struct oracle *o, const struct watched *n)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->succ[i] != NOWHERE && is_large(&o->nodes[o->at[n->succ[i]]]))
            return n->succ[i];
    return NOWHERE;
}

/* The list is ordered clockwise from its owner, without it and without duplicates. */
static bool is_ordered(const struct ring_view *v)
{
    struct peal_id far = {{0}};
    for (size_t i = 0; i < v->successors_n; i++) {
        struct peal_id d = id_distance(&v->self, &v->successors[i]);
        if (id_cmp(&d, &far) <= 0)
            return false;
        far = d;
    }
    return true;
}

/* had: its best entry before the step, NOWHERE: none. */
static void no_best(struct oracle *o, uint32_t node, uint32_t had)
{
    bool deaths = o->deaths;
    if (had != NOWHERE && o->cfg.linked != NULL &&
        !o->cfg.linked(o->cfg.ctx, node, &o->nodes[o->at[had]].id))
        o->deaths = true; /* as good as one */
    broken(o, node, "OneLiveSuccessor: no entry of its successor list is alive");
    o->deaths = deaths;
}

static void rules_of_one(struct oracle *o, uint32_t node, const struct ring_view *v, uint32_t had)
{
    const struct watched *n = &o->nodes[node];
    if (v->phase == RING_SMALL && (!is_ordered(v) || v->successors_n > o->cfg.r)) {
        bool armed = o->armed;
        broken(o, node, "a small ring's list is unordered, has duplicates or is too long");
        o->armed = armed;
    }
    if (!o->armed || !is_large(n))
        return;
    if (n->n != o->cfg.r)
        broken(o, node, "its successor list has %u entries instead of %u", n->n, o->cfg.r);
    else if (!is_ordered(v))
        broken(o, node, "its successor list is not ordered, or has duplicates");
    else if (id_is_zero(&n->prdc))
        broken(o, node, "it is a member without a predecessor");
    else if (best(o, n) == NOWHERE)
        no_best(o, node, had);
}

static void rules_of_all(struct oracle *o, uint32_t node)
{
    if (!o->armed)
        return;
    if (o->figures.large <= o->cfg.r) {
        o->armed = false;
        return;
    }
    uint32_t p = principals(o);
    if (p < o->figures.least_principals)
        o->figures.least_principals = p;
    if (p < (uint32_t)o->cfg.r + 1)
        broken(o, node, "SufficientPrincipals: %u of %u members are principals, %u are needed", p,
               o->figures.large, o->cfg.r + 1u);
}

static void keep_last(struct watched *n)
{
    n->last_n = 0;
    for (size_t i = 0; i < n->n && !n->artificial[i]; i++)
        n->last[n->last_n++] = n->succ_id[i];
}

/* The list is what its head said before it died. */
static bool took_last_word(const struct oracle *o, const struct watched *n)
{
    if (n->n == 0 || n->succ[0] == NOWHERE || is_member(&o->nodes[o->at[n->succ[0]]]))
        return false;
    const struct watched *head = &o->nodes[o->at[n->succ[0]]];
    for (size_t i = 1; i < n->n && !n->artificial[i]; i++)
        if (i > head->last_n || !id_eq(&n->succ_id[i], &head->last[i - 1]))
            return false;
    return head->last_n > 0;
}

/* Deaths since the last step: who has lost its last live entry by them? */
static void after_deaths(struct oracle *o)
{
    for (uint32_t i = 0; i < o->cfg.nodes && o->armed; i++)
        if (is_large(&o->nodes[i]) && best(o, &o->nodes[i]) == NOWHERE)
            broken(o, i, "OneLiveSuccessor: no entry of its successor list is alive");
    rules_of_all(o, 0);
    o->deaths = false;
}

/* ---- the costly rules ---- */

/* Follows best from the place until it meets something marked; marks what it passes. Where it met
 * its own mark, or NOWHERE. */
static uint32_t follow(struct oracle *o, uint32_t place, uint32_t mark)
{
    for (uint32_t steps = 0; steps <= o->cfg.nodes; steps++) {
        if (o->mark[place] != 0)
            return o->mark[place] == mark ? place : NOWHERE;
        o->mark[place] = mark;
        place = best(o, &o->nodes[o->at[place]]);
        if (place == NOWHERE)
            return NOWHERE;
    }
    return NOWHERE;
}

/* How often the cycle goes round the circle; marks its places with `mark`. */
static uint32_t turns(struct oracle *o, uint32_t start, uint32_t mark, uint32_t *n)
{
    uint32_t at = start, round = 0;
    *n = 0;
    do {
        o->mark[at] = mark;
        uint32_t next = best(o, &o->nodes[o->at[at]]);
        CHECK(next != NOWHERE && *n < o->cfg.nodes);
        if (next <= at)
            round++;
        at = next;
        ++*n;
    } while (at != start);
    return round;
}

/* The rules about all LARGE members at once; NULL, or what is broken and where. */
static const char *whole(struct oracle *o, uint32_t *node)
{
    uint32_t mark = 0, cycles = 0, ring = NOWHERE, ring_n = 0;
    memset(o->mark, 0, o->cfg.nodes * sizeof *o->mark);
    for (uint32_t p = 0; p < o->cfg.nodes; p++) {
        if (o->mark[p] != 0 || !is_large(&o->nodes[o->at[p]]))
            continue;
        *node = o->at[p];
        if (best(o, &o->nodes[o->at[p]]) == NOWHERE)
            return "OneLiveSuccessor: no entry of its successor list is alive";
        uint32_t met = follow(o, p, ++mark);
        if (met == NOWHERE)
            continue;
        *node = o->at[met];
        if (++cycles > 1)
            return "there are two rings; one of them passes this node";
        ring = met;
    }
    if (cycles == 0)
        return "there is no ring";
    *node = o->at[ring];
    if (turns(o, ring, ++mark, &ring_n) != 1)
        return "the ring is not ordered: it goes round the identifiers more than once";
    uint32_t found = 0;
    for (uint32_t p = 0; p < o->cfg.nodes; p++) {
        if (!is_large(&o->nodes[o->at[p]]) || cover_of(o, p) != 0)
            continue;
        found++;
        *node = o->at[p];
        if (o->mark[p] != mark)
            return "a principal is not on the ring";
    }
    CHECK(found == principals(o));
    return NULL;
}

void oracle_check(struct oracle *o)
{
    uint32_t node = 0;
    if (o->deaths)
        after_deaths(o);
    o->figures.checks++;
    o->check_due = o->figures.updates + CHECK_LEAST + (uint64_t)CHECK_EVERY * o->figures.members;
    if (o->figures.large <= o->cfg.r)
        return;
    const char *why = whole(o, &node);
    if (o->armed) {
        if (why != NULL)
            broken(o, node, "%s", why);
        return;
    }
    if (why != NULL || o->figures.small > 0 || principals(o) <= o->cfg.r)
        return;
    o->armed = true;
    o->figures.armed++;
}

/* ---- what is seen ---- */

static void set_skips(struct oracle *o, struct watched *n, const struct ring_view *v)
{
    for (size_t i = 0; i < o->cfg.r; i++) {
        struct range s = {NOWHERE, NOWHERE};
        if (v != NULL && v->phase == RING_LARGE && i < v->successors_n)
            s = skipped(o, i == 0 ? &v->self : &v->successors[i - 1], &v->successors[i]);
        if (s.first == n->skips[i].first && s.last == n->skips[i].last)
            continue;
        add_range(o, n->skips[i], -1);
        add_range(o, s, 1);
        n->skips[i] = s;
    }
}

static void set_phase(struct oracle *o, uint32_t node, bool alive, enum ring_phase phase)
{
    struct watched *n = &o->nodes[node];
    bool was = is_member(n), large = is_large(n), small = was && !large;
    n->alive = alive;
    n->phase = phase;
    if (++n->phases > o->figures.phases_most)
        o->figures.phases_most = n->phases;
    bool now_small = is_member(n) && !is_large(n);
    o->figures.members += (uint32_t)is_member(n) - (uint32_t)was;
    o->figures.large += (uint32_t)is_large(n) - (uint32_t)large;
    o->figures.small += (uint32_t)now_small - (uint32_t)small;
    if (is_large(n) != large)
        add(o, 1, 0, o->leaves - 1, n->place, n->place, large ? FAR : -FAR);
    if (is_member(n) != was && o->cfg.member != NULL)
        o->cfg.member(o->cfg.ctx, node, !was);
}

/* True when the view says something else than the last. */
static bool take(struct oracle *o, struct watched *n, const struct ring_view *v)
{
    bool news = n->n != v->successors_n || !id_eq(&n->prdc, &v->predecessor);
    CHECK(v->successors_n <= RING_SUCCESSORS_MAX);
    for (size_t i = 0; i < v->successors_n; i++) {
        bool same = i < n->n && id_eq(&n->succ_id[i], &v->successors[i]) &&
                    v->artificial[i] == n->artificial[i];
        if (same)
            continue; /* nearly always: no search then */
        news = true;
        n->succ_id[i] = v->successors[i];
        n->artificial[i] = v->artificial[i];
        n->succ[i] = v->artificial[i] ? NOWHERE : exact_place(o, &v->successors[i]);
    }
    n->n = (uint8_t)v->successors_n;
    n->prdc = v->predecessor;
    return news;
}

void oracle_saw(struct oracle *o, uint32_t node, const struct ring_view *v)
{
    struct watched *n = &o->nodes[node];
    CHECK(node < o->cfg.nodes && id_eq(&n->id, &v->self));
    if (o->deaths)
        after_deaths(o);
    bool phase = !n->alive || n->phase != v->phase;
    uint32_t had = best(o, n);
    if (is_member(n) && v->phase != RING_SMALL && v->phase != RING_LARGE)
        keep_last(n);
    if (!take(o, n, v) && !phase)
        return;
    o->figures.updates++;
    set_skips(o, n, v);
    bool was = is_member(n);
    if (phase)
        set_phase(o, node, true, v->phase);
    if (was && !is_member(n)) { /* leaving is failing */
        o->deaths = true;
        return;
    }
    rules_of_one(o, node, v, had);
    o->deaths = took_last_word(o, n);
    rules_of_all(o, node);
    o->deaths = false;
    if (o->figures.updates >= o->check_due)
        oracle_check(o);
}

void oracle_gone(struct oracle *o, uint32_t node)
{
    struct watched *n = &o->nodes[node];
    CHECK(node < o->cfg.nodes);
    if (!n->alive)
        return;
    if (is_member(n))
        keep_last(n);
    set_skips(o, n, NULL);
    set_phase(o, node, false, RING_LEFT);
    n->n = 0;
    o->deaths = true;
}

void oracle_excuse(struct oracle *o, bool on)
{
    o->excused = on;
}

/* ---- the ideal ring ---- */

static const char *name_of(const struct oracle *o, uint32_t place, char out[static 9])
{
    if (place == NOWHERE)
        return "nobody";
    peal_hex(o->nodes[o->at[place]].id.b, 4, out);
    return out;
}

/* What keeps the i-th of m members (their places, ascending) from being as it should; NULL:
 * nothing. Neighbours first: wrong entries further on in lists mostly come of somebody's wrong
 * neighbour. */
static const char *unlike(const struct oracle *o, const uint32_t *places, uint32_t m, uint32_t i,
                          bool neighbours, uint32_t *is, uint32_t *should)
{
    const struct watched *n = &o->nodes[o->at[places[i]]];
    uint32_t len = m > o->cfg.r ? o->cfg.r : m - 1;
    *is = n->n > 0 ? n->succ[n->n - 1] : NOWHERE;
    *should = len > 0 ? places[(i + len) % m] : NOWHERE;
    if (n->phase != (m > o->cfg.r ? RING_LARGE : RING_SMALL))
        return "is in the wrong phase";
    if (n->n != len)
        return "has a list of the wrong length, that ends with the wrong node";
    for (uint32_t k = 0; k < (neighbours && len > 1 ? 1 : len); k++) {
        *is = n->succ[k];
        *should = places[(i + 1 + k) % m];
        if (*is != *should)
            return k == 0 ? "has the wrong successor" : "has a wrong entry in its list";
    }
    *is = id_is_zero(&n->prdc) ? NOWHERE : exact_place(o, &n->prdc);
    *should = places[(i + m - 1) % m];
    bool alone = m == 1 && id_is_zero(&n->prdc);
    return *is == *should || alone ? NULL : "has the wrong predecessor";
}

bool oracle_ideal(const struct oracle *o, bool (*in)(void *ctx, uint32_t node), void *ctx,
                  char why[static ORACLE_WHY_MAX])
{
    uint32_t *places = must(malloc(o->cfg.nodes * sizeof *places));
    uint32_t m = 0;
    const char *wrong = NULL;
    why[0] = 0;
    for (uint32_t p = 0; p < o->cfg.nodes && wrong == NULL; p++) {
        const struct watched *n = &o->nodes[o->at[p]];
        if (!n->alive || n->phase == RING_LEFT || (in != NULL && !in(ctx, o->at[p])))
            continue;
        places[m++] = p;
        if (!is_member(n)) {
            wrong = "runs and is not a member";
            (void)snprintf(why, ORACLE_WHY_MAX, "node %u %s", o->at[p], wrong);
        }
    }
    for (uint32_t k = 0; k < 2 * m && wrong == NULL; k++) {
        uint32_t is, should, i = k % m;
        char a[9], b[9], c[9];
        wrong = unlike(o, places, m, i, k < m, &is, &should);
        if (wrong != NULL)
            (void)snprintf(
                why, ORACLE_WHY_MAX, "node %u (%s) of %u %s: %s instead of %s (phase %s)",
                o->at[places[i]], name_of(o, places[i], a), m, wrong, name_of(o, is, b),
                name_of(o, should, c), ring_phase_name(o->nodes[o->at[places[i]]].phase));
    }
    free(places);
    return wrong == NULL;
}

/* ---- the whole ---- */

struct oracle *oracle_new(const struct oracle_config *cfg)
{
    CHECK(cfg->nodes > 0 && cfg->nodes <= ORACLE_NODES_MAX && cfg->violated != NULL);
    CHECK(cfg->r > 0 && cfg->r <= RING_SUCCESSORS_MAX);
    struct oracle *o = must(calloc(1, sizeof *o));
    o->cfg = *cfg;
    o->nodes = must(calloc(cfg->nodes, sizeof *o->nodes));
    o->at = must(calloc(cfg->nodes, sizeof *o->at));
    o->mark = must(calloc(cfg->nodes, sizeof *o->mark));
    struct watched **order = must(calloc(cfg->nodes, sizeof(struct watched *)));
    for (uint32_t i = 0; i < cfg->nodes; i++) {
        o->nodes[i] = (struct watched){.id = cfg->ids[i], .phase = RING_LEFT};
        memset(o->nodes[i].skips, 0xff, sizeof o->nodes[i].skips);
        order[i] = &o->nodes[i];
    }
    qsort(order, cfg->nodes, sizeof(struct watched *), by_id);
    for (uint32_t p = 0; p < cfg->nodes; p++) {
        CHECK(p == 0 || !id_eq(&order[p - 1]->id, &order[p]->id));
        order[p]->place = p;
        o->at[p] = (uint32_t)(order[p] - o->nodes);
    }
    free(order);
    for (o->leaves = 1; o->leaves < cfg->nodes;)
        o->leaves *= 2;
    o->tree = must(calloc((size_t)2 * o->leaves, sizeof *o->tree));
    for (uint32_t i = 2 * o->leaves - 1; i >= 1; i--) {
        if (i >= o->leaves)
            o->tree[i] = (struct cover){.least = FAR, .least_n = 1};
        else
            join_up(o, i);
    }
    o->cfg.ids = NULL;
    o->figures.least_principals = UINT32_MAX;
    o->check_due = 1;
    return o;
}

void oracle_free(struct oracle *o)
{
    if (o == NULL)
        return;
    free(o->nodes);
    free(o->at);
    free(o->mark);
    free(o->tree);
    free(o);
}

void oracle_figures(const struct oracle *o, struct oracle_figures *out)
{
    *out = o->figures;
    out->principals = principals(o);
}

bool oracle_is_armed(const struct oracle *o)
{
    return o->armed;
}

bool oracle_is_member(const struct oracle *o, uint32_t node)
{
    return is_member(&o->nodes[node]);
}

uint32_t oracle_place(const struct oracle *o, uint32_t node)
{
    CHECK(node < o->cfg.nodes);
    return o->nodes[node].place;
}

uint32_t oracle_node_at(const struct oracle *o, uint32_t place)
{
    CHECK(place < o->cfg.nodes);
    return o->at[place];
}
