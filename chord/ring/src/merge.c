/* merge: two rings that do not know of each other stay two for ever, however well each is kept. So
 * those who died, and whoever is foreign, are tried again and again; whoever answers and is of a
 * ring of many is asked for this node's own place in it; and who follows there is a candidate for
 * this node's successor, which Zave's stabilise may take from any source (after Shafaat, Ghodsi and
 * Haridi, PPNA 2009, without their queues).
 *
 * One node's place is not enough: rings of random ids interleave everywhere. So word of the other
 * ring goes to everyone along the tree of broadcast. A node passes it on only when it has found its
 * own place, and then names not the contact it was told but the one that it has found there: so
 * each foreign node is asked by a few, and all of this ring in about log2 N lookups one after
 * another. Of many who find out at the same time most hear it before they have said it, and say
 * nothing.
 *
 * Even when everything looks healthy each node looks itself up now and then through a contact taken
 * at random; and who loses half its neighbours at once reaches everyone it believes to live. Small
 * rings do the trying only; meeting is small.c's. */
#include "inner.h"

#include <string.h>

enum {
    PROBE_WALK_MAX = 64, /* contacts looked at for one to try */
    DOUBTS_MAX = 8,      /* nodes believed alive that are tried at a time, either way */
    PLACE_ROUNDS = 4,    /* a lookup of the own place has failed after so many */
    NEW_ROUNDS = 4,      /* who is a member for less cannot tell another ring from newcomers */
    WAVE_ROUNDS = 2,     /* word of another ring waits for it no longer than so many */
    ROLL_LEAST = 2, /* neighbours lost lately, beside which half of the list, that make a roll */
    ROLL_MAX = 512, /* nodes reached in one */
    ROLL_A_ROUND = 2,
};
#define DEAD_KEEP_MS ((uint64_t)DEAD_KEEP_DAYS * 24 * 3600 * 1000)

/* ---- this node's place in another ring ---- */

/* When this node's phase changes meanwhile, its answer is somebody else's. */
static bool is_placing(struct ring *r)
{
    struct merge *m = &r->merge;
    m->placing = m->placing && r->now <= m->place_us;
    return m->placing;
}

static bool place_through(struct ring *r, const struct peal_id *via)
{
    struct merge *m = &r->merge;
    if (is_placing(r) || r->phase != RING_LARGE)
        return false;
    CHECK(!ring__is_self(r, via) && ring__link_to(r, via) != NULL);
    m->via = *via;
    m->awaited = false;
    m->placing = true; /* first: the answer may come within the call */
    uint64_t wait = PLACE_ROUNDS * r->cfg.stabilise_us;
    m->place_us = r->now + wait;
    int err = route_begin(r, FIND_FOR_PLACE, RING_FIND_PLACE, &r->self.id, &m->via, 0, wait);
    if (err != 0)
        m->placing = false;
    return err == 0;
}

/* The same, when it can be linked first. */
static void place_later(struct ring *r, struct node *n)
{
    struct merge *m = &r->merge;
    if (is_placing(r) || r->phase != RING_LARGE)
        return;
    if (ring__link_to(r, &n->contact.id) != NULL) {
        (void)place_through(r, &n->contact.id);
        return;
    }
    m->awaited = true;
    m->via = n->contact.id;
    ring__reach(r, n);
}

static void note_placed(struct ring *r)
{
    r->merge.placed_us = r->now;
    r->merge.placed_ms = r->wall;
}

bool merge_doubts(const struct ring *r, uint64_t stamp)
{
    return clk_ms(stamp) <= r->merge.placed_ms;
}

/* Word of the other ring goes on. */
static void wave_on(struct ring *r)
{
    struct merge *m = &r->merge;
    bool on = m->wave == WAVE_OWN || (m->wave == WAVE_HEARD && m->wave_on);
    m->wave = WAVE_NONE;
    const struct node *n = book_find(r, &m->wave_via);
    if (on && n != NULL && n->contact.address_n > 0)
        gossip_foreign(r, n, &m->wave_limit);
}

static void wake(struct ring *r)
{
    const struct merge *m = &r->merge;
    uint64_t next = m->probe_us < m->self_us ? m->probe_us : m->self_us;
    if (m->wave != WAVE_NONE && m->wave_us < next)
        next = m->wave_us;
    if (m->roll_left > 0 && m->roll_us < next)
        next = m->roll_us;
    ring__wake(r, PART_MERGE, next);
}

void merge_foreign(struct ring *r, struct node *n, const struct peal_id *limit)
{
    struct merge *m = &r->merge;
    if (r->phase != RING_LARGE) {
        if (limit != NULL)
            gossip_foreign(r, n, limit);
        return;
    }
    if (!upkeep_needs(r, &n->contact.id))
        n->foreign = true;
    if (m->wave == WAVE_HEARD) {
        if (limit != NULL && (!m->wave_on || cast_farther(&r->self.id, limit, &m->wave_limit)))
            m->wave_limit = *limit;
        m->wave_on = m->wave_on || limit != NULL;
        return;
    }
    bool done = m->wave == WAVE_OWN || (m->placed_us != 0 && r->now - m->placed_us < RECENT_US);
    m->wave_via = m->wave == WAVE_OWN ? m->wave_via : n->contact.id;
    m->wave = WAVE_HEARD;
    m->wave_on = limit != NULL;
    m->wave_limit = limit != NULL ? *limit : r->self.id;
    m->wave_us = r->now + WAVE_ROUNDS * r->cfg.stabilise_us;
    if (done) { /* the place is found already: only the word goes on */
        wave_on(r);
        return;
    }
    note_placed(r);
    place_later(r, n);
    wake(r);
}

static bool is_successor(const struct ring *r, const struct peal_id *id)
{
    for (size_t i = 0; i < r->z.n; i++)
        if (!r->z.succ[i].artificial && id_eq(id, &r->z.succ[i].id))
            return true;
    return false;
}

/* Whether the answer is that of this very ring, perhaps a little behind: stabilise will do. Any
 * successor will: where many join at once m may not have heard yet of those before it. */
static bool is_this_ring(struct ring *r, const struct peal_id *m, const struct peal_id *after)
{
    return ring__is_self(r, after) || ring__is_self(r, m) || id_eq(m, &r->z.prdc) ||
           is_successor(r, after);
}

static bool learn(struct ring *r, const struct wire_contact *w)
{
    bool news;
    struct node *n;
    return book_take(r, w, false, clk_now(&r->clk, r->wall), &news, &n) == 0 && !n->dead;
}

/* A member since not long ago may not have heard of all who joined beside it, nor they of it. */
static bool is_new(const struct ring *r)
{
    return r->now - r->merge.member_us < NEW_ROUNDS * r->cfg.stabilise_us;
}

void merge_placed(struct ring *r, int err, const struct wire_contact *m,
                  const struct wire_contact *after)
{
    struct merge *g = &r->merge;
    if (!g->placing || r->phase != RING_LARGE)
        return; /* it was begun as a member of a small ring */
    g->placing = false;
    struct node *via = book_find(r, &g->via);
    if (err == 0 && is_this_ring(r, &m->id, &after->id)) {
        if (via != NULL)
            via->foreign = false;
    } else if (err == 0 && is_new(r)) {
        if (learn(r, after))
            upkeep_candidate(r, &after->id);
    } else if (err == 0 && learn(r, m) && learn(r, after)) {
        CHECK(r->z.n > 0);
        struct peal_id next = after->id;
        note_placed(r);
        r->count.merges++;
        if (id_between(&r->self.id, &next, &r->z.succ[0].id))
            upkeep_candidate(r, &next);
        char a[9], b[9];
        step_trace(r->u, STEP_INFO, "merge", "place between %s and %s of another ring",
                   ring__short_id(&m->id, a), ring__short_id(&next, b));
        g->wave_via = next;
        if (g->wave == WAVE_NONE) {
            g->wave = WAVE_OWN;
            g->wave_limit = r->self.id;
            g->wave_us = r->now + rng_below(&r->rng, r->cfg.stabilise_us);
        }
    }
    if (g->wave == WAVE_HEARD)
        wave_on(r);
    wake(r);
}

static bool unknown(struct ring *r, const struct peal_id *id)
{
    return !id_is_zero(id) && !ring__is_self(r, id) && book_find(r, id) == NULL;
}

/* Both neighbours that the peer names are strangers, or somebody lives between it and its
 * successor. */
static bool contradicts(struct ring *r, const struct link *l)
{
    const struct peal_id *succ = &l->state.successor;
    if (id_is_zero(succ) || id_eq(succ, &l->peer))
        return false;
    if (unknown(r, succ) && unknown(r, &l->state.predecessor))
        return true;
    if (id_between(&l->peer, &r->self.id, succ))
        return true;
    const struct node *n = ring__is_self(r, succ) ? NULL : book_find(r, succ);
    return book_living_in(r, &l->peer, succ) > (n != NULL && !n->dead);
}

void merge_up(struct ring *r, struct link *l)
{
    CHECK(l->hello);
    struct merge *m = &r->merge;
    if (r->phase != RING_LARGE || l->state.phase != RING_LARGE)
        return;
    const struct node *n = book_find(r, &l->peer);
    bool awaited = m->awaited && id_eq(&m->via, &l->peer);
    bool strange = n != NULL && (n->foreign || n->dead);
    if (awaited || strange || contradicts(r, l))
        (void)place_through(r, &l->peer);
}

/* ---- trying ---- */

static bool is_lost(const struct ring *r, const struct node *n)
{
    if (n->contact.address_n == 0 || n->dialling)
        return false;
    return n->foreign || (n->dead && clk_ms(n->stamp) + DEAD_KEEP_MS >= r->wall);
}

static void try_one(struct ring *r, struct node *n)
{
    if (n->foreign)
        place_later(r, n);
    if (ring__link_to(r, &n->contact.id) == NULL)
        ring__reach(r, n);
}

/* Tries the nearest that is lost, seen from this node, on its way to `end` - or one of the next:
 * the nearest may be gone for good. */
static void try_towards(struct ring *r, const struct peal_id *end, bool clockwise)
{
    const struct peal_id *self = &r->self.id;
    uint32_t n = r->book.n, rank = book_rank(r, self);
    struct node *found = NULL;
    for (uint32_t i = 0; i < n && i < PROBE_WALK_MAX; i++) {
        struct node *x = book_at(r, clockwise ? (rank + i) % n : (rank + n - 1 - i) % n);
        const struct peal_id *id = &x->contact.id;
        if (clockwise ? !id_between(self, id, end) : !id_between(end, id, self))
            break;
        if (!is_lost(r, x))
            continue;
        found = x;
        if (rng_below(&r->rng, 2) == 0)
            break;
    }
    if (found != NULL)
        try_one(r, found);
}

/* As far as the ring knows, nobody lives between this node and its neighbours. Who is believed to,
 * and has no link, has died without a word of it coming here; or it is missing in the ring: a cut
 * has left it without all those who had it for a neighbour, and the others never try it, since for
 * them it is neither dead nor foreign. */
static void try_between(struct ring *r, const struct peal_id *end, bool clockwise)
{
    const struct peal_id *self = &r->self.id;
    uint32_t n = r->book.n, rank = book_rank(r, self), tried = 0;
    for (uint32_t i = 0; i < n && i < PROBE_WALK_MAX && tried < DOUBTS_MAX; i++) {
        struct node *x = book_at(r, clockwise ? (rank + i) % n : (rank + n - 1 - i) % n);
        const struct peal_id *id = &x->contact.id;
        if (clockwise ? !id_between(self, id, end) : !id_between(end, id, self))
            break;
        if (x->dead || x->link != UINT32_MAX || x->contact.address_n == 0)
            continue;
        ring__reach(r, x);
        tried++;
    }
}

static void try_any(struct ring *r)
{
    uint32_t n = r->book.n;
    uint32_t first = n == 0 ? 0 : (uint32_t)rng_below(&r->rng, n);
    for (uint32_t i = 0; i < n && i < PROBE_WALK_MAX; i++) {
        struct node *x = book_at(r, (first + i) % n);
        if (is_lost(r, x)) {
            try_one(r, x);
            return;
        }
    }
}

/* Whoever listens at a configured address and is not linked. */
static void try_join(struct ring *r)
{
    struct join *j = &r->joins[rng_below(&r->rng, RING_JOINS_MAX)];
    if (j->n == 0 || j->self || j->dialling || r->now < j->dial_us ||
        (j->known && ring__link_to(r, &j->peer) != NULL))
        return;
    j->dial_us = r->now;
    ring__wake(r, PART_DIAL, r->now);
}

static void probe(struct ring *r)
{
    const struct peal_id *self = &r->self.id;
    bool any = r->book.n > r->book.living || r->phase == RING_LARGE;
    const struct peal_id next = r->z.n > 0 ? r->z.succ[0].id : *self;
    const struct peal_id before = id_is_zero(&r->z.prdc) ? *self : r->z.prdc;
    try_between(r, &next, true);
    try_between(r, &before, false);
    if (any && r->book.n > 0) {
        try_towards(r, &next, true);
        try_towards(r, &before, false);
        try_any(r);
    }
    try_join(r);
}

/* ---- the roll ---- */

/* A cut leaves a ring in each part, and perhaps beside it some that had just joined, of whom only
 * one node of the part had heard, far from their place: nobody who looks after that place knows
 * them, for that one they are neither lost nor between its neighbours, and they themselves know
 * only who is beyond the cut. So who loses half of its neighbours at a time reaches everybody it
 * believes to live, once; merge_up sees to whoever is not where it should be. */
void merge_lost(struct ring *r)
{
    struct merge *m = &r->merge;
    if (m->lost_n == 0 || r->now - m->lost_us > RECENT_US) {
        m->lost_n = 0;
        m->lost_us = r->now;
    }
    m->lost_n++;
    uint32_t least = r->r / 2u > ROLL_LEAST ? r->r / 2u : ROLL_LEAST;
    if (m->lost_n < least || r->phase != RING_LARGE)
        return;
    m->lost_n = 0;
    m->roll_left = ROLL_MAX;
    m->roll_at = r->self.id;
    m->roll_us = r->now + ring__jitter(r, r->cfg.stabilise_us);
    wake(r);
}

static void call_roll(struct ring *r)
{
    struct merge *m = &r->merge;
    uint32_t n = r->book.n, at = book_rank(r, &m->roll_at), called = 0;
    if (n < 2)
        m->roll_left = 0; /* nobody else is known */
    for (uint32_t i = 0; i < n && i < PROBE_WALK_MAX && called < ROLL_A_ROUND; i++) {
        struct node *x = book_at(r, (at + i) % n);
        if (id_eq(&x->contact.id, &m->roll_at))
            continue;
        if (m->roll_left == 0 || id_between(&m->roll_at, &r->self.id, &x->contact.id)) {
            m->roll_left = 0; /* once round */
            return;
        }
        m->roll_at = x->contact.id;
        if (x->dead || x->link != UINT32_MAX || x->contact.address_n == 0)
            continue;
        ring__reach(r, x);
        m->roll_left--;
        called++;
    }
    m->roll_us = r->now + ring__jitter(r, r->cfg.stabilise_us);
}

static void look_self_up(struct ring *r)
{
    struct peal_id ways[WAYS_MAX];
    size_t ways_n = finger_ways(r, ways);
    uint32_t n = r->book.n;
    uint32_t first = n == 0 ? 0 : (uint32_t)rng_below(&r->rng, n);
    for (uint32_t i = 0; i < n && i < PROBE_WALK_MAX; i++) {
        struct node *x = book_at(r, (first + i) % n);
        bool way = x->dead || x->dialling || x->contact.address_n == 0;
        for (size_t k = 0; k < ways_n && !way; k++)
            way = id_eq(&ways[k], &x->contact.id);
        if (!way) {
            place_later(r, x);
            return;
        }
    }
}

static void start(struct ring *r)
{
    r->merge.probe_us = r->now + ring__jitter(r, PROBE_ROUNDS * r->cfg.stabilise_us);
    r->merge.self_us = r->now + ring__jitter(r, SELF_ROUNDS * r->cfg.stabilise_us);
    wake(r);
}

void merge_timer(struct ring *r)
{
    struct merge *m = &r->merge;
    uint64_t round = r->cfg.stabilise_us;
    if (!ring__is_member(r)) {
        m->wave = WAVE_NONE;
        m->roll_left = 0;
        start(r);
        return;
    }
    if (m->wave != WAVE_NONE && r->now >= m->wave_us)
        wave_on(r);
    if (r->now >= m->probe_us) {
        m->probe_us = r->now + ring__jitter(r, PROBE_ROUNDS * round);
        probe(r);
    }
    if (m->roll_left > 0 && r->now >= m->roll_us)
        call_roll(r);
    if (r->now >= m->self_us) {
        m->self_us = r->now + ring__jitter(r, SELF_ROUNDS * round);
        if (r->phase == RING_LARGE && m->wave == WAVE_NONE)
            look_self_up(r);
    }
    wake(r);
}

void merge_start(struct ring *r)
{
    start(r);
}

void merge_member(struct ring *r)
{
    CHECK(r->phase == RING_LARGE);
    r->merge.member_us = r->now;
}
