/* hop: which node a lookup goes to next. Pure: it looks at the ring's state and changes nothing.
 *
 * A lookup for a key first comes nearer to it clockwise, through nodes that precede it. Then it
 * steps over the key: to the owner, if the hop before knew everyone; else to a node beyond the
 * owner, from which it goes back, against the clock. So every hop is strictly nearer than the one
 * before, and a lookup that is not is refused (route.c). Which of the two a node is in follows from
 * the path alone (hop_passed).
 *
 * | from        | with everyone's contact known              | as in classic Chord               |
 * |-------------|--------------------------------------------|-----------------------------------|
 * | before key  | first living node at or after key, else    | first live successor at or after  |
 * |             | the nearest before it that is linked       | key, else the nearest before it   |
 * | beyond key  | first living node in [key, self)           | predecessor                       |
 *
 * Not for: sending, waiting, time (route.c). */
#include "inner.h"

enum { OPINIONS_LEAST = 3 }; /* on the ring's size, besides this node's own */

enum usable { USABLE_NOT, USABLE_KNOWN, USABLE_LINKED };

static const struct hop no_way = {.way = WAY_NONE};
static const struct hop answer = {.way = WAY_SELF};

static struct hop hop_to(enum way way, const struct peal_id *id, bool linked)
{
    return (struct hop){.way = way, .linked = linked, .to = *id};
}

static bool among(const struct peal_id *ids, size_t n, const struct peal_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (id_eq(&ids[i], id))
            return true;
    return false;
}

static bool in_path(const struct flight *f, const struct peal_id *id)
{
    return among(f->path, f->path_n, id);
}

/* x in [from, before) */
static bool within(const struct peal_id *from, const struct peal_id *x,
                   const struct peal_id *before)
{
    return id_eq(from, x) || id_between(from, x, before);
}

static enum usable alive(const struct ring *r, const struct node *n)
{
    if (n == NULL || n->dead || n->foreign)
        return USABLE_NOT;
    if (n->link == UINT32_MAX)
        return n->contact.address_n > 0 ? USABLE_KNOWN : USABLE_NOT;
    CHECK(n->link < r->links_n);
    uint8_t phase = r->links[n->link].state.phase;
    return phase == RING_SMALL || phase == RING_LARGE ? USABLE_LINKED : USABLE_NOT;
}

/* By this lookup in vain; or by another, and it has been silent since. In a small ring there is no
 * other way, and who is not in its list owns nothing. */
static bool was_tried(const struct ring *r, const struct flight *f, const struct node *n)
{
    if (among(f->tried, f->tried_n, &n->contact.id))
        return true;
    return r->phase == RING_LARGE && n->link != UINT32_MAX && ring__doubted(&r->links[n->link]);
}

static enum usable usable_node(const struct ring *r, const struct flight *f, const struct node *n)
{
    enum usable u = alive(r, n);
    if (u == USABLE_NOT || was_tried(r, f, n) || in_path(f, &n->contact.id))
        return USABLE_NOT;
    return u;
}

static enum usable usable(struct ring *r, const struct flight *f, const struct peal_id *id)
{
    return ring__is_self(r, id) ? USABLE_NOT : usable_node(r, f, book_find(r, id));
}

bool hop_passed(const struct flight *f, size_t i)
{
    CHECK(i < f->path_n);
    return i > 0 && id_in_arc(&f->path[i - 1], &f->key, &f->path[i]);
}

/* So few successors lie so densely now and then that the ring seems twice as large as it is: with
 * eight of them to one node in twenty. Its fingers, which lie elsewhere, give a second opinion. */
static bool fingers_agree(const struct ring *r, uint64_t size)
{
    const struct peal_id *last = &r->self.id;
    uint32_t asked = 0, agree = 0;
    for (int i = FINGERS_MAX - 1; i >= r->fingers.low; i--) {
        const struct peal_id *id = &r->fingers.at[i];
        const struct node *n = id_is_zero(id) || id_eq(id, last) ? NULL : book_get(r, id);
        last = id;
        if (n == NULL || n->link == UINT32_MAX)
            continue;
        const struct wire_ring_state *said = &r->links[n->link].state;
        asked += said->phase == RING_LARGE;
        agree += said->phase == RING_LARGE && said->size <= size;
    }
    return asked >= OPINIONS_LEAST && 2 * agree > asked;
}

bool hop_covers(const struct ring *r)
{
    uint64_t twice = 2 * ((uint64_t)r->book.living + 1);
    return !r->cfg.no_hints && r->phase == RING_LARGE &&
           (twice >= r->size || fingers_agree(r, twice));
}

struct node *hop_first_living(struct ring *r, const struct peal_id *from)
{
    uint32_t n = r->book.n;
    uint32_t at = book_rank(r, from);
    for (uint32_t i = 0; i < n && i < HOP_WALK_MAX; i++) {
        struct node *k = book_at(r, (at + i) % n);
        if (!within(from, &k->contact.id, &r->self.id))
            return NULL;
        if (alive(r, k) != USABLE_NOT)
            return k;
    }
    return NULL;
}

/* The first living node of the book in [key, self), if it was not tried; linked: only if it has a
 * link. FOR: the lookup has passed it. */
static bool book_from(struct ring *r, const struct flight *f, bool linked, struct hop *out)
{
    uint32_t n = r->book.n;
    uint32_t at = book_rank(r, &f->key);
    for (uint32_t i = 0; i < n && i < HOP_WALK_MAX; i++) {
        const struct node *k = book_at(r, (at + i) % n);
        if (!within(&f->key, &k->contact.id, &r->self.id))
            return false;
        enum usable u = alive(r, k);
        if (u == USABLE_NOT || was_tried(r, f, k))
            continue;
        bool passed = in_path(f, &k->contact.id);
        *out = hop_to(passed ? WAY_FOR : WAY_ON, &k->contact.id, u == USABLE_LINKED);
        return passed || u == USABLE_LINKED || !linked;
    }
    return false;
}

/* The last usable node of the book in (self, key). */
static bool book_before(struct ring *r, const struct flight *f, struct hop *out)
{
    uint32_t n = r->book.n;
    uint32_t at = book_rank(r, &f->key);
    for (uint32_t i = 1; i <= n && i <= HOP_WALK_MAX; i++) {
        const struct node *k = book_at(r, (at + n - i) % n);
        if (!id_between(&r->self.id, &k->contact.id, &f->key))
            return false;
        enum usable u = usable_node(r, f, k);
        if (u == USABLE_NOT)
            continue;
        *out = hop_to(WAY_ON, &k->contact.id, u == USABLE_LINKED);
        return true;
    }
    return false;
}

/* The linked node nearest before the key. */
static bool links_before(struct ring *r, const struct flight *f, struct hop *out)
{
    struct peal_id best = r->self.id;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        if (l->hello && id_between(&best, &l->peer, &f->key) &&
            usable(r, f, &l->peer) == USABLE_LINKED)
            best = l->peer;
    }
    *out = hop_to(WAY_ON, &best, true);
    return !id_eq(&best, &r->self.id);
}

struct nearest {
    struct peal_id linked, known; /* self: none */
};

static void nearer(struct ring *r, const struct flight *f, const struct peal_id *id,
                   struct nearest *best)
{
    if (!id_between(&best->linked, id, &f->key))
        return;
    enum usable u = usable(r, f, id);
    if (u == USABLE_LINKED)
        best->linked = *id;
    else if (u == USABLE_KNOWN && id_between(&best->known, id, &f->key))
        best->known = *id;
}

/* The nearest before the key among successors and fingers: one with a link, if there is any. */
static bool ways_before(struct ring *r, const struct flight *f, bool linked, struct hop *out)
{
    const struct peal_id *self = &r->self.id;
    struct nearest best = {*self, *self};
    for (uint8_t i = 0; i < r->z.n; i++)
        if (!r->z.succ[i].artificial)
            nearer(r, f, &r->z.succ[i].id, &best);
    for (int i = FINGERS_MAX - 1; i >= r->fingers.low; i--)
        if (!id_is_zero(&r->fingers.at[i]))
            nearer(r, f, &r->fingers.at[i], &best);
    if (!id_eq(&best.linked, self))
        *out = hop_to(WAY_ON, &best.linked, true);
    else
        *out = hop_to(WAY_ON, &best.known, false);
    return !id_eq(&best.linked, self) || (!linked && !id_eq(&best.known, self));
}

/* The first live successor at or after the key: the owner, as far as this node can know. One that
 * the lookup has passed owns the key without knowing it yet (its predecessor has died). */
static bool successor_from(struct ring *r, const struct flight *f, bool linked, struct hop *out)
{
    for (uint8_t i = 0; i < r->z.n; i++) {
        const struct succ *s = &r->z.succ[i];
        if (s->artificial || !id_in_arc(&r->self.id, &f->key, &s->id))
            continue;
        if (in_path(f, &s->id) && alive(r, book_find(r, &s->id)) != USABLE_NOT) {
            *out = hop_to(WAY_FOR, &s->id, false);
            return true;
        }
        enum usable u = usable(r, f, &s->id);
        if (u == USABLE_NOT || (linked && u != USABLE_LINKED))
            continue;
        *out = hop_to(WAY_ON, &s->id, u == USABLE_LINKED);
        return true;
    }
    return false;
}

/* The key lies among this node's live successors. */
static bool is_near(struct ring *r, const struct peal_id *key)
{
    for (size_t i = r->z.n; i-- > 0;) {
        const struct succ *s = &r->z.succ[i];
        if (!s->artificial && alive(r, book_find(r, &s->id)) != USABLE_NOT)
            return id_in_arc(&r->self.id, key, &s->id);
    }
    return false;
}

static struct hop before_key(struct ring *r, const struct flight *f, bool linked)
{
    struct hop h;
    if (!r->cfg.no_hints && links_before(r, f, &h))
        return h;
    if (ways_before(r, f, linked, &h))
        return h;
    if (!linked && !r->cfg.no_hints && book_before(r, f, &h))
        return h;
    return no_way;
}

/* Besides a hop that lives and is only late, or refused, another one at or after the key must not
 * be asked: should its predecessor have died just now, it would take itself for the owner. */
static bool is_beside(const struct flight *f, bool linked)
{
    return f->before || (linked && f->tried_n > 0 && !f->waits);
}

static struct hop onward(struct ring *r, const struct flight *f, bool linked)
{
    struct hop h;
    bool near = is_near(r, &f->key), known = !r->cfg.no_hints && (near || hop_covers(r));
    if (is_beside(f, linked))
        return before_key(r, f, linked);
    if (linked && f->tried_n > 0) {
        h = before_key(r, f, true);
        if (h.way == WAY_ON)
            return h;
    }
    if (known && book_from(r, f, linked, &h) && (h.way == WAY_ON || near))
        return h;
    if ((!known || !linked || f->waits) && successor_from(r, f, linked, &h))
        return h;
    return before_key(r, f, linked);
}

/* The last hop before the key is the live node before this one, as far as the links tell (all that
 * have this node among their successors keep one). Else it came here by a hint that may have missed
 * the owner. */
static bool is_next(struct ring *r, const struct flight *f)
{
    size_t last = f->path_n - 1U;
    while (last > 0 && hop_passed(f, last))
        last--;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        if (l->hello && id_between(&f->path[last], &l->peer, &r->self.id) &&
            usable(r, f, &l->peer) == USABLE_LINKED)
            return false;
    }
    return true;
}

/* The predecessor, if it lies at or after the key and was not tried. */
static bool prdc_from(struct ring *r, const struct flight *f, struct hop *out)
{
    const struct peal_id *p = &r->z.prdc;
    const struct node *n = ring__is_self(r, p) ? NULL : book_find(r, p);
    enum usable u = alive(r, n);
    if (u == USABLE_NOT || !within(&f->key, p, &r->self.id) || was_tried(r, f, n))
        return false;
    *out = hop_to(in_path(f, p) ? WAY_FOR : WAY_ON, p, u == USABLE_LINKED);
    return true;
}

/* Beyond the key, and not its owner: against the clock. Nobody there answers: then this node acts
 * for the owner until its predecessor is replaced. */
static struct hop back(struct ring *r, const struct flight *f, bool linked)
{
    struct hop h, p;
    bool hint = !r->cfg.no_hints && book_from(r, f, false, &h), prdc = prdc_from(r, f, &p);
    if (is_beside(f, linked))
        return no_way;
    if (!hint && !prdc)
        return is_next(r, f) ? answer : no_way;
    /* A link is worth a hop more. */
    if (!hint || (prdc && !h.linked && p.way == WAY_ON && p.linked))
        h = p;
    if (h.way == WAY_FOR)
        return is_next(r, f) ? h : no_way;
    return linked && !h.linked ? no_way : h;
}

/* The list says it all: nobody else is there. */
static struct hop in_small(struct ring *r, const struct flight *f, bool linked)
{
    struct hop h;
    if (is_beside(f, linked))
        return no_way;
    if (successor_from(r, f, linked, &h))
        return h;
    return f->tried_n == 0 ? answer : no_way;
}

/* Zave's place of a new node. A member that has the key for its id is what comes after the place,
 * so that a node that looks for itself is told of itself. */
static struct hop place(struct ring *r, const struct flight *f, bool linked)
{
    struct hop h;
    const struct peal_id *best = upkeep_best(r);
    if (best == NULL || id_in_arc(&r->self.id, &f->key, best))
        return answer;
    if (r->phase == RING_LARGE && hop_covers(r) && book_before(r, f, &h) && (h.linked || !linked))
        return h;
    if (r->phase == RING_SMALL)
        return ways_before(r, f, linked, &h) ? h : no_way;
    return before_key(r, f, linked);
}

struct hop hop_choose(struct ring *r, const struct flight *f, bool linked)
{
    CHECK(f->path_n > 0 && f->path_n <= WIRE_PATH_MAX);
    CHECK(ring__is_self(r, &f->path[f->path_n - 1]));
    CHECK(ring__is_member(r));
    if (f->kind == RING_FIND_PLACE)
        return place(r, f, linked);
    if (upkeep_owns(r, &f->key))
        return answer;
    if (r->phase == RING_SMALL)
        return in_small(r, f, linked);
    return hop_passed(f, f->path_n - 1U) ? back(r, f, linked) : onward(r, f, linked);
}
