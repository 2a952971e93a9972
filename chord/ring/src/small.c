/* clang-format off */
/* small: rings of 1 to r members, and the ways between SEEKING, SMALL and LARGE.
 *
 * Not for: anything that Zave's operations do in a ring of more than r (upkeep.c).
 *
 * SMALL: each member is linked with each other one (its mates), and derives its neighbours from the
 * sorted list of itself and them. Mate is whoever is linked and says SMALL; two small rings that
 * meet are one at once. A mate that says LARGE later stays a mate as long as one of its neighbours
 * is of this ring: it belongs to the same members, and only believes that they are more than r.
 *
 * Why it converges, once nobody comes or goes and links come up between all who know each other:
 *
 * 1. SEEKING ends, and never begins again. A node that is linked with a LARGE one asks it for its
 *    place, more and more seldom, until it has joined or the other is LARGE no more; else it is
 *    SMALL after seek_us at the latest.
 * 2. SMALL nodes that are linked tell each other of all their mates, and reach for everyone they
 *    hear of. So of SMALL nodes that can hear of each other at all each is linked with each in the
 *    end, all derive from the same list, and these pointers are the ideal ring.
 * 3. If the list has more than r members, each turns LARGE when nobody new has come for a ping's
 *    time and nobody is known who is not linked, or a mate has turned first; all from the same
 *    list, so that Zave's proof begins where it wants to: in an ideal ring of more than r. Who
 *    knows that its list is not whole when a mate turns first takes its list from the mate's ring
 *    as in (6). If lists differ nevertheless, then by living nodes that somebody knows: each of
 *    them is news to the others and so a candidate of Zave's second step, which is safe whatever
 *    it is.
 * 4. If it has no more than r, a node that is LARGE takes, within r rounds, a list that reaches
 *    round to itself: dead entries leave at the head, one round each. It turns SMALL with the list
 *    as its mates. It does not if a live node that it had in its list, or its predecessor, or a
 *    LARGE one that it is linked with is not in the new one: then somebody is missing in that
 *    list, not in the ring. A list without a live entry says nothing of the ring: its owner takes
 *    a linked LARGE node as head, and turns SMALL only if there is none.
 * 5. SMALL and LARGE do not chase each other. A mate's LARGE is looked at when it follows its
 *    SMALL (an edge), never because it lasts, but for the patience of (6); the last to leave LARGE
 *    by (4) therefore draws nobody up again. Nor does an edge for as long as that patience, once
 *    this node itself has left LARGE by (4), unless it counts more than r: else two of them could
 *    draw each other up in turn, through a third that has not yet left. Up goes who counts more
 *    than r live members, down who has a complete list of no more than r; in a set of members that
 *    does not change one is false.
 * 6. SMALL beside LARGE does not last. A SMALL node that has been linked with a LARGE one for
 *    STALE_ROUNDS rounds (a mate: r rounds more, for (4) needs them) looks for its own place
 *    through it. It is in that ring already, as m's successor: then it takes over the rest of m's
 *    list. Or it is not: then it joins as a fresh node does. Either is Zave's JOIN, after m, and
 *    cannot hurt the LARGE ring. If m knows of nobody but this node, the others of that ring are
 *    gone, and the two begin again with whoever is linked. With more than r members, about to
 *    turn LARGE itself, it looks at a LARGE stranger at once: better join its ring now than merge
 *    two of them later. To those members of a LARGE ring that are no mates a SMALL node answers
 *    "no member", so that pointers to an earlier life of it are given up and never joined with
 *    its small ring's; but "pending" while it looks for its place there.
 *
 * At the boundary: of r + 1 members one dies: all go down by (4). It comes back: it links with all
 * r before it says SMALL (their state tells how many they are), and says it; each counts r + 1 at
 * the same time and goes up by (3) with the same list. If it meets one that is still LARGE, it
 * joins there, whose list then does not reach round any more, and those that are down already are
 * brought up by (6). */
/* clang-format on */
#include "inner.h"

#include <string.h>

enum {
    PLACE_WAIT_US = 4 * SECOND, /* for the answer of a lookup of this node's place */
    PLACE_AGAIN_US = 100 * MS,  /* SEEKING: before the next one, with jitter; then longer */
    PLACE_DOUBLES = 4,          /* so often */
    SETTLE_PINGS = 8,           /* so long at most newcomers delay the step to LARGE */
    /* A node that is not LARGE reaches for whoever it hears of only up to so many: more than a
     * small ring ever has, and too few to dial its way through a ring of thousands. */
    SMALL_KNOWN_MAX = 4 * RING_SUCCESSORS_MAX,
};

static uint64_t round_of(const struct ring *r)
{
    return r->cfg.stabilise_us != 0 ? r->cfg.stabilise_us : STABILISE_US;
}

static uint64_t ping_of(const struct ring *r)
{
    return r->cfg.ping_us != 0 ? r->cfg.ping_us : PING_US;
}

static uint64_t seek_of(const struct ring *r)
{
    if (r->cfg.seek_us != 0)
        return r->cfg.seek_us;
    return r->cfg.joins_n > 0 ? SEEK_JOINS_US : SEEK_US;
}

/* The node at the other end of link i, if this is its good link. */
static struct node *node_at(struct ring *r, uint32_t i)
{
    CHECK(i < r->links_n);
    if (!r->links[i].hello)
        return NULL;
    struct node *n = book_find(r, &r->links[i].peer);
    return n != NULL && n->link == i ? n : NULL;
}

/* All of a small ring's LARGE members fall back to SMALL in less. */
static uint64_t mate_patience(const struct ring *r)
{
    return ((uint64_t)STALE_ROUNDS + r->r) * round_of(r);
}

static bool says(const struct link *l, enum ring_phase p)
{
    return l->state.phase == (uint8_t)p;
}

static bool is_mate(struct ring *r, const struct peal_id *id)
{
    if (ring__is_self(r, id))
        return true;
    const struct node *n = book_find(r, id);
    return n != NULL && n->mate && n->link != UINT32_MAX;
}

/* A mate is of this ring, whatever was heard of it before the rings became one. */
static void set_mate(struct node *n, bool mate)
{
    n->mate = mate;
    if (mate)
        n->foreign = false;
}

/* ---- pointers ---- */

/* The r nearest mates clockwise, nearest first, and the last of all before self. */
struct round {
    struct peal_id next[RING_SUCCESSORS_MAX], last;
    size_t n, members; /* members: self and all mates */
};

static void insert_next(struct ring *r, struct round *c, const struct peal_id *id)
{
    size_t at = c->n;
    while (at > 0 && id_between(&r->z.self, id, &c->next[at - 1]))
        at--;
    if (at == r->r)
        return;
    size_t keep = c->n < r->r ? c->n : (size_t)r->r - 1;
    memmove(&c->next[at + 1], &c->next[at], (keep - at) * sizeof c->next[0]);
    c->next[at] = *id;
    c->n = keep + 1;
}

static void look_round(struct ring *r, struct round *c)
{
    memset(c, 0, sizeof *c);
    c->last = r->z.self;
    c->members = 1;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct node *n = node_at(r, i);
        if (n == NULL || !n->mate)
            continue;
        const struct peal_id *id = &n->contact.id;
        c->members++;
        insert_next(r, c, id);
        if (id_between(&c->last, id, &r->z.self))
            c->last = *id;
    }
    CHECK(c->n <= r->r && c->n < c->members);
}

static size_t members(struct ring *r)
{
    struct round c;
    look_round(r, &c);
    return c.members;
}

static void sort_ids(struct peal_id *ids, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct peal_id id = ids[i];
        size_t at = i;
        for (; at > 0 && id_cmp(&id, &ids[at - 1]) < 0; at--)
            ids[at] = ids[at - 1];
        ids[at] = id;
    }
}

/* Successors and predecessor from self and mates. Of many mates only those are handed on that can
 * be either. */
static size_t derive(struct ring *r)
{
    struct round c;
    look_round(r, &c);
    struct peal_id ids[RING_SUCCESSORS_MAX + 2];
    size_t n = 0;
    ids[n++] = r->z.self;
    for (size_t i = 0; i < c.n; i++)
        ids[n++] = c.next[i];
    if (c.members - 1 > c.n)
        ids[n++] = c.last;
    sort_ids(ids, n);
    const struct zave before = r->z;
    zave_derive(&r->z, ids, n);
    if (before.n != r->z.n || !id_eq(&before.prdc, &r->z.prdc) ||
        memcmp(before.succ, r->z.succ, sizeof before.succ) != 0 || r->size != c.members)
        r->news = true;
    r->size = (uint32_t)c.members;
    return c.members;
}

/* ---- phases ---- */

static void tell_all(struct ring *r)
{
    for (uint32_t i = 0; i < r->links_n; i++)
        if (node_at(r, i) != NULL)
            ring__ping_now(r, &r->links[i]);
}

/* Everyone whom this node believes to be alive is linked, and a mate. */
static bool is_complete(struct ring *r)
{
    return r->book.living + 1 == members(r);
}

static void note_settling(struct ring *r, size_t n)
{
    struct small *s = &r->small;
    if (n <= r->r) {
        s->settle_us = s->settle_by = 0;
        return;
    }
    if (s->settle_by == 0)
        s->settle_by = r->now + SETTLE_PINGS * ping_of(r);
    s->settle_us = r->now + ping_of(r);
    if (s->settle_us > s->settle_by)
        s->settle_us = s->settle_by;
    ring__wake(r, PART_SMALL, s->settle_us);
}

static void mates_changed(struct ring *r)
{
    if (r->phase == RING_SMALL)
        note_settling(r, derive(r));
}

/* Since when the peer says LARGE, or that it does not; the timer looks at it. */
static void note_large(struct ring *r, struct link *l)
{
    if (!says(l, RING_LARGE)) {
        l->large_us = 0;
        l->grew = false;
    } else if (l->large_us == 0) {
        l->large_us = r->now == 0 ? 1 : r->now;
        ring__wake(r, PART_SMALL, r->now);
    }
}

static void forget_small(struct ring *r)
{
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct node *n = book_find(r, &r->links[i].peer); /* also one between two links */
        if (n != NULL)
            n->mate = false;
        r->links[i].was_small = r->links[i].grew = false;
        r->links[i].large_us = 0;
    }
    r->small.settle_us = r->small.settle_by = 0;
    r->small.placing = false;
    r->small.place_us = r->now;
    r->small.place_tries = 0;
}

/* r->z is as a member of a LARGE ring has it. */
static void enter_large(struct ring *r)
{
    CHECK(r->phase == RING_SEEKING || r->phase == RING_SMALL);
    CHECK(r->z.n == r->z.r);
    upkeep_stop(r);
    ring__set_phase(r, RING_LARGE);
    tell_all(r);
    forget_small(r);
    upkeep_start(r);
    finger_start(r);
    merge_member(r);
}

static void grow(struct ring *r)
{
    CHECK(r->phase == RING_SMALL);
    size_t n = derive(r);
    CHECK(n > r->r);
    zave_pad(&r->z);
    enter_large(r);
}

/* Those that were only heard of while the ring was large: here everyone is linked with everyone. */
static void reach_known(struct ring *r)
{
    for (uint32_t i = 0; i < r->book.n && r->book.living <= SMALL_KNOWN_MAX; i++)
        small_heard(r, &book_at(r, i)->contact.id);
}

/* SMALL from SEEKING or LARGE; the mates are marked. */
static void enter_small(struct ring *r)
{
    CHECK(r->phase == RING_SEEKING || r->phase == RING_LARGE);
    r->small.placing = false;
    r->small.place_us = r->now;
    r->small.place_tries = 0;
    size_t n = derive(r);
    ring__set_phase(r, RING_SMALL);
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct link *l = &r->links[i];
        if (node_at(r, i) == NULL)
            continue;
        l->was_small = says(l, RING_SMALL);
        l->large_us = 0;
        note_large(r, l);
        if (says(l, RING_SMALL) || says(l, RING_SEEKING))
            compare_tell(r, l);
    }
    tell_all(r);
    reach_known(r);
    note_settling(r, n);
    r->news = true;
}

static void seek(struct ring *r)
{
    r->small.seek_us = r->now + seek_of(r);
    r->small.place_us = r->now;
    r->small.place_tries = 0;
    ring__wake(r, PART_SMALL, r->now);
}

void small_start(struct ring *r)
{
    r->z.self = r->self.id;
    r->z.r = r->r;
    CHECK(r->r > 0 && r->r <= RING_SUCCESSORS_MAX);
    CHECK(r->phase == RING_SEEKING);
    zave_clear(&r->z);
    memset(&r->small, 0, sizeof r->small);
    r->size = 1;
    seek(r);
}

/* Of the ring of which this node knows the list: in it, or next to somebody in it. */
static bool is_of_list(struct ring *r, const struct peal_id *id)
{
    if (ring__is_self(r, id) || id_eq(&r->z.prdc, id))
        return true;
    for (size_t i = 0; i < r->z.n; i++)
        if (!r->z.succ[i].artificial && id_eq(&r->z.succ[i].id, id))
            return true;
    return false;
}

static void mark_mates(struct ring *r)
{
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct node *n = node_at(r, i);
        const struct link *l = &r->links[i];
        if (n == NULL)
            continue;
        bool beside = says(l, RING_LARGE) &&
                      (is_of_list(r, &l->state.successor) || is_of_list(r, &l->state.predecessor));
        set_mate(n, says(l, RING_SMALL) ||
                        (!says(l, RING_SEEKING) && (is_of_list(r, &n->contact.id) || beside)));
    }
    for (size_t i = 0; i < r->z.n; i++) {
        struct node *n = r->z.succ[i].artificial ? NULL : book_find(r, &r->z.succ[i].id);
        if (n != NULL && !n->dead && n->link == UINT32_MAX && n->contact.address_n > 0)
            ring__reach(r, n);
    }
}

void small_round(struct ring *r)
{
    CHECK(r->phase == RING_LARGE);
    upkeep_stop(r);
    mark_mates(r);
    r->small.calm_us = r->now + mate_patience(r);
    enter_small(r);
}

/* ---- a place in a larger ring ---- */

static void place_later(struct ring *r)
{
    struct small *s = &r->small;
    bool soon = r->phase == RING_SEEKING || s->settle_us != 0;
    uint64_t wait = soon ? (uint64_t)PLACE_AGAIN_US << s->place_tries : round_of(r);
    if (s->place_tries < PLACE_DOUBLES)
        s->place_tries++;
    s->placing = false;
    s->place_us = r->now + ring__jitter(r, wait);
    ring__wake(r, PART_SMALL, s->place_us);
    upkeep_answer(r);
}

static void place_through(struct ring *r, const struct link *l)
{
    struct small *s = &r->small;
    CHECK(!s->placing && (r->phase == RING_SEEKING || r->phase == RING_SMALL));
    s->placing = true;
    s->via = l->peer;
    if (route_begin(r, FIND_FOR_PLACE, RING_FIND_PLACE, &r->z.self, &s->via, 0, PLACE_WAIT_US) != 0)
        place_later(r);
}

void small_placed(struct ring *r, int err, const struct peal_id *m, const struct peal_id *after)
{
    (void)after; /* m itself is asked */
    if (!r->small.placing || (r->phase != RING_SEEKING && r->phase != RING_SMALL))
        return;
    /* In vain: then at least the list of the node that was asked becomes known, for those through
     * whom this node came may die before it has a place. */
    const struct peal_id via = r->small.via;
    upkeep_place(r, err != 0 || m == NULL ? &via : m);
}

/* The ring that m is in has lost its others: this node and m are of it, and whoever else is linked
 * and a member, for there is nobody to ask. */
static void join_linked(struct ring *r)
{
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct node *n = node_at(r, i);
        if (n != NULL)
            set_mate(n, says(&r->links[i], RING_SMALL) || says(&r->links[i], RING_LARGE));
    }
    derive(r);
    zave_pad(&r->z);
    enter_large(r);
}

void small_place_ended(struct ring *r, enum place_end end)
{
    if (!r->small.placing || (r->phase != RING_SEEKING && r->phase != RING_SMALL))
        return;
    switch (end) {
    case PLACE_TAKEN:
        if (r->phase == RING_SMALL)
            r->count.merges++;
        enter_large(r);
        return;
    case PLACE_ALONE:
        if (r->phase == RING_SMALL) {
            join_linked(r);
            return;
        }
        place_later(r); /* m will notice that this node is no member, and be alone */
        return;
    case PLACE_NONE:
        place_later(r);
        return;
    }
}

/* ---- what is due ---- */

/* One of the linked LARGE nodes that may be asked, at random, but not the last one again if there
 * is another; NULL: there is none. */
static const struct link *pick_via(struct ring *r, size_t *n)
{
    const struct link *best = NULL;
    size_t others = 0;
    *n = 0;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        if (node_at(r, i) == NULL || !says(l, RING_LARGE))
            continue;
        ++*n;
        if (best == NULL)
            best = l;
        if (id_eq(&l->peer, &r->small.via))
            continue;
        if (rng_below(&r->rng, ++others) == 0)
            best = l;
    }
    return best;
}

/* Whether the ring of SMALL peers has been linked with: all of them that the largest counts. */
static bool all_linked(struct ring *r, bool *any)
{
    size_t n = 0, said = 0;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        if (node_at(r, i) == NULL || !says(l, RING_SMALL))
            continue;
        n++;
        if (l->state.size > said)
            said = l->state.size;
    }
    *any = n > 0;
    return n > 0 && n >= said;
}

static void seeking_timer(struct ring *r)
{
    struct small *s = &r->small;
    size_t large = 0;
    const struct link *via = pick_via(r, &large);
    if (s->placing)
        return;
    if (large > 0) {
        if (r->now >= s->place_us)
            place_through(r, via);
        else
            ring__wake(r, PART_SMALL, s->place_us);
        return;
    }
    bool any = false;
    if (!all_linked(r, &any) && r->now < s->seek_us) {
        ring__wake(r, PART_SMALL, s->seek_us);
        return;
    }
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct node *n = node_at(r, i);
        if (n != NULL)
            set_mate(n, says(&r->links[i], RING_SMALL));
    }
    enter_small(r);
}

/* Who has said LARGE for long enough is asked for this node's place. */
static void look_at_large(struct ring *r)
{
    struct small *s = &r->small;
    const struct link *via = NULL;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        const struct node *n = node_at(r, i);
        if (n == NULL || l->large_us == 0)
            continue;
        uint64_t patience = n->mate ? mate_patience(r) : STALE_ROUNDS * round_of(r);
        bool grew = l->grew && (r->now >= s->calm_us || s->settle_us != 0);
        bool at_once = grew || (s->settle_us != 0 && !n->mate); /* not two LARGE rings */
        uint64_t at = at_once ? r->now : l->large_us + patience;
        if (at < s->place_us)
            at = s->place_us;
        if (r->now < at)
            ring__wake(r, PART_SMALL, at);
        else if (via == NULL || id_eq(&via->peer, &s->via))
            via = l;
    }
    if (via != NULL && !s->placing)
        place_through(r, via);
}

void small_timer(struct ring *r)
{
    struct small *s = &r->small;
    if (r->phase == RING_SEEKING) {
        seeking_timer(r);
        return;
    }
    if (r->phase != RING_SMALL)
        return;
    if (s->settle_us != 0 && r->now >= s->settle_us) {
        size_t n = members(r);
        if (n > r->r && (r->now >= s->settle_by || is_complete(r))) {
            grow(r);
            return;
        }
        note_settling(r, n);
    } else if (s->settle_us != 0) {
        ring__wake(r, PART_SMALL, s->settle_us);
    }
    look_at_large(r);
}

/* ---- news of peers ---- */

/* A mate that said SMALL says LARGE. */
static void mate_grew(struct ring *r, struct link *l, struct node *n)
{
    bool beside = is_mate(r, &l->state.successor) || is_mate(r, &l->state.predecessor);
    if (!beside) { /* it has joined elsewhere */
        n->mate = false;
        mates_changed(r);
    } else if (members(r) > r->r && is_complete(r)) {
        grow(r);
        return;
    }
    l->grew = true;
    ring__wake(r, PART_SMALL, r->now);
}

static void peer_while_small(struct ring *r, struct link *l, struct node *n)
{
    switch ((enum ring_phase)l->state.phase) {
    case RING_SMALL:
        note_large(r, l);
        if (n->mate && l->was_small)
            return;
        l->was_small = true; /* on a link that took the place of another for the first time, too */
        set_mate(n, true);
        compare_tell(r, l);
        mates_changed(r);
        return;
    case RING_LARGE:
        note_large(r, l);
        if (n->mate && l->was_small) {
            l->was_small = false;
            mate_grew(r, l, n);
        }
        return;
    case RING_SEEKING:
    case RING_LEFT:
        note_large(r, l);
        l->was_small = false;
        if (n->mate) {
            n->mate = false;
            mates_changed(r);
        }
        return;
    }
}

void small_state(struct ring *r, struct link *l)
{
    struct node *n = book_find(r, &l->peer);
    if (n == NULL || n->link == UINT32_MAX || l->state.phase > RING_LEFT)
        return;
    if (r->phase == RING_SEEKING)
        ring__wake(r, PART_SMALL, r->now);
    else if (r->phase == RING_SMALL)
        peer_while_small(r, l, n);
    else if (r->phase == RING_LARGE && says(l, RING_LARGE))
        upkeep_candidate(r, &l->peer); /* it may have been none when its link came up */
}

void small_up(struct ring *r, struct link *l)
{
    small_state(r, l);
}

void small_dead(struct ring *r, const struct peal_id *id)
{
    struct node *n = book_find(r, id);
    if (n != NULL && n->mate) {
        n->mate = false;
        mates_changed(r);
    }
}

void small_heard(struct ring *r, const struct peal_id *id)
{
    struct node *n = book_find(r, id);
    if (n != NULL && !n->dead && n->link == UINT32_MAX && n->contact.address_n > 0 &&
        small_needs(r, id))
        ring__reach(r, n);
}

bool small_needs(struct ring *r, const struct peal_id *id)
{
    if (r->phase != RING_SEEKING && r->phase != RING_SMALL)
        return false;
    const struct node *n = book_find(r, id);
    return n != NULL && (n->mate || (!n->dead && r->book.living <= SMALL_KNOWN_MAX));
}
