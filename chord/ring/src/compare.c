/* compare: what two nodes know of the ring, made equal, within the same budget as rumours. One says
 * a digest for each of WIRE_DIGESTS_MAX parts of a range; where the other's differ it says what it
 * knows of the part, if that is little, or else digests of the part's parts. So what rumours lost
 * is found again for about a message per ring that is equal, and a few for each difference.
 *
 * As long as there are differences a node compares a narrow range somewhere, whose parts hold about
 * one node each; without any, ever wider ones, and in the end the ring.
 *
 * A new member learns the ring this way: it asks each of its ways for another part, so that their
 * budgets add up; and then, as everyone does, compares again as soon as the budget allows for as
 * long as there is a difference.
 *
 * Only the living count (this node too, the foreign not): the dead differ for ever, since nobody
 * has to know them. A node that one side lists and the other knows to be dead, found so later, is
 * answered with its death; if that is not long ago, or known at first hand, and not from before two
 * rings met: else it is dialled first. */
#include "inner.h"

#include <string.h>

enum {
    TELL_MAX = 2 * RING_SUCCESSORS_MAX,        /* mates that one peer is told of at once */
    HEAD = 2 + ID_BYTES + 8,                   /* of any message here */
    COMPARE_BYTES = HEAD + 2 * ID_BYTES + 4,   /* of r_compare, without digests */
    KNOWN_BYTES = HEAD + 2 * ID_BYTES + 1 + 4, /* of r_known, without rumours */
    PARTS_LEAST = 4,                           /* of a range, when it is compared */
    TELLS_MAX = 4,        /* nodes of a part, to tell from its digest which the peer knows */
    SPAN_LEAST = 16,      /* nodes known here, in the least range that is compared */
    SPAN_TIMES = 4,       /* the next is so many times wider after one without a difference, and */
    SPAN_MANY = 4,        /* so many times narrower after one with so many */
    DRILLS_MAX = 2,       /* parts compared further in answer to one message: digests are dear */
    FRESH_MS = 60 * 1000, /* an older death that this node did not find itself is looked into before
                             it is said */
    REST_MAX = 8,         /* rounds between two questions of one who learns the ring */
    DISTANCE_BYTES = ID_BYTES + 2, /* a distance of up to 2^160, times WIRE_DIGESTS_MAX */
};

/* ---- ranges ---- */

struct peal_id compare_bound(const struct peal_id *from, const struct peal_id *upto, unsigned k,
                             unsigned n)
{
    CHECK(n > 0 && n <= WIRE_DIGESTS_MAX && k <= n);
    struct peal_id d = id_distance(from, upto);
    uint8_t x[DISTANCE_BYTES] = {0}; /* the distance times k, then by n, then from is added */
    uint32_t carry = 0;
    memcpy(x + DISTANCE_BYTES - ID_BYTES, d.b, ID_BYTES);
    if (id_is_zero(&d))
        x[DISTANCE_BYTES - ID_BYTES - 1] = 1; /* all of it */
    for (size_t i = DISTANCE_BYTES; i-- > 0;) {
        carry += (uint32_t)x[i] * k;
        x[i] = (uint8_t)carry;
        carry >>= 8;
    }
    CHECK(carry == 0);
    for (size_t i = 0; i < DISTANCE_BYTES; i++) {
        carry = carry << 8 | x[i];
        x[i] = (uint8_t)(carry / n);
        carry %= n;
    }
    struct peal_id out;
    carry = 0;
    for (size_t i = ID_BYTES; i-- > 0;) {
        carry += (uint32_t)from->b[i] + x[i + DISTANCE_BYTES - ID_BYTES];
        out.b[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return out;
}

/* Walks over the living in (from, upto], clockwise, this node among them. */
struct walk {
    struct peal_id from;
    uint32_t at, left; /* of the book */
    bool self;         /* still to come */
};

static uint32_t rank_after(struct ring *r, const struct peal_id *id)
{
    uint32_t i = book_rank(r, id);
    return i < r->book.n && id_eq(&book_at(r, i)->contact.id, id) ? i + 1 : i;
}

static struct walk walk_of(struct ring *r, const struct peal_id *from, const struct peal_id *upto)
{
    uint32_t first = rank_after(r, from), end = rank_after(r, upto), n = r->book.n;
    int order = id_cmp(from, upto);
    struct walk w = {.from = *from, .at = first, .self = id_in_arc(from, &r->self.id, upto)};
    w.left = order == 0 ? n : order < 0 ? end - first : n - first + end;
    CHECK(w.left <= n);
    return w;
}

/* A node of a walk. n == NULL: this one. */
struct step {
    const struct node *n;
    const struct contact *contact;
};

static bool counts(const struct node *n)
{
    return !n->dead && !n->foreign && n->contact.address_n > 0;
}

static bool walk_next(struct ring *r, struct walk *w, struct step *out)
{
    while (w->left > 0 && !counts(book_at(r, w->at % r->book.n))) {
        w->at++;
        w->left--;
    }
    const struct node *n = w->left > 0 ? book_at(r, w->at % r->book.n) : NULL;
    if (w->self && (n == NULL || id_between(&w->from, &r->self.id, &n->contact.id))) {
        w->self = false;
        *out = (struct step){.n = NULL, .contact = &r->self};
        return true;
    }
    if (n == NULL)
        return false;
    w->at++;
    w->left--;
    *out = (struct step){.n = n, .contact = &n->contact};
    return true;
}

static struct wire_rumour rumour_of(struct ring *r, const struct step *s)
{
    return s->n == NULL ? ring__rumour_of_self(r) : ring__rumour_of(s->n, false);
}

/* ---- digests ---- */

/* Ids are hashes already; the rest is the finaliser of splitmix64, so that sums are not equal by
 * accident. Against those who choose their ids there is no defence, and nothing to gain: they are
 * of the ring, and what they hide is themselves. */
static uint64_t digest_of(const struct contact *k)
{
    uint64_t x = k->incarnation * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < 8; i++)
        x ^= (uint64_t)k->id.b[ID_BYTES - 1 - i] << 8 * i;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void compare_digests(struct ring *r, const struct peal_id *from, const struct peal_id *upto,
                     unsigned n, uint64_t digest[static WIRE_DIGESTS_MAX],
                     uint32_t count[static WIRE_DIGESTS_MAX])
{
    CHECK(n > 0 && n <= WIRE_DIGESTS_MAX);
    memset(digest, 0, n * sizeof digest[0]);
    memset(count, 0, n * sizeof count[0]);
    struct peal_id end[WIRE_DIGESTS_MAX]; /* of each part, as its distance from `from` */
    for (unsigned k = 0; k < n; k++) {
        struct peal_id bound = compare_bound(from, upto, k + 1, n);
        end[k] = id_distance(from, &bound);
    }
    struct walk w = walk_of(r, from, upto);
    struct step s;
    for (unsigned k = 0; walk_next(r, &w, &s);) {
        struct peal_id d = id_distance(from, &s.contact->id);
        bool last = id_is_zero(&d); /* `from` itself ends a range that is all of it */
        while (k + 1 < n && (last || id_cmp(&d, &end[k]) > 0))
            k++;
        digest[k] += digest_of(s.contact);
        count[k]++;
    }
}

/* ---- saying ---- */

/* Digests of (from, upto], in which this node knows `mine` nodes: of so many parts that most hold
 * one or none. False: no budget. */
static bool say_digests(struct ring *r, const struct peal_id *to, const struct peal_id *from,
                        const struct peal_id *upto, uint32_t mine)
{
    unsigned n = PARTS_LEAST;
    while (n < WIRE_DIGESTS_MAX && n < 2 * (uint64_t)mine)
        n *= 2;
    CHECK(n <= WIRE_DIGESTS_MAX);
    if (!gossip_spend(r, COMPARE_BYTES + 8 * n))
        return false;
    uint64_t digest[WIRE_DIGESTS_MAX];
    uint32_t count[WIRE_DIGESTS_MAX];
    uint8_t bytes[8 * WIRE_DIGESTS_MAX];
    compare_digests(r, from, upto, n, digest, count);
    struct wr w;
    wr_init(&w, bytes, sizeof bytes);
    for (size_t k = 0; k < n; k++)
        wr_u64(&w, digest[k]);
    int err = wr_end(&w);
    CHECK(err == 0);
    struct wire_r_compare m = {.from = *from, .upto = *upto, .digests = peal_bytes_of(bytes, w.n)};
    return ring__say(r, to, WIRE_r_compare, &m);
}

static bool listed(const struct wire_rumour_list *list, const struct contact *k)
{
    for (size_t i = 0; i < list->n; i++)
        if (id_eq(&list->v[i].contact.id, &k->id))
            return list->v[i].contact.incarnation >= k->incarnation;
    return false;
}

/* Who lives in (from, upto], without those in `but`. When not all of it may be said, by the message
 * or the budget, the range ends with the last that is. False: no budget for anything. */
static bool say_known(struct ring *r, const struct peal_id *to, const struct peal_id *from,
                      const struct peal_id *upto, bool ask, const struct wire_rumour_list *but)
{
    size_t left = gossip_left(r), cost = KNOWN_BYTES;
    struct wire_rumour v[WIRE_RUMOURS_MAX];
    struct wire_r_known m = {.from = *from, .upto = *upto, .ask = ask, .rumours = {.v = v}};
    struct walk w = walk_of(r, from, upto);
    struct step s;
    while (walk_next(r, &w, &s)) {
        if (but != NULL && listed(but, s.contact))
            continue;
        struct wire_rumour next = rumour_of(r, &s);
        size_t bytes = ring__rumour_bytes(&next);
        if (m.rumours.n == WIRE_RUMOURS_MAX || cost + bytes > left) {
            if (m.rumours.n == 0)
                return false;
            m.upto = v[m.rumours.n - 1].contact.id;
            break;
        }
        cost += bytes;
        next.limit = *to;
        v[m.rumours.n++] = next;
    }
    if ((m.rumours.n == 0 && !ask) || !gossip_spend(r, cost))
        return false;
    return ring__say(r, to, WIRE_r_known, &m);
}

static void tell(struct ring *r, struct link *l, struct wire_r_known *m)
{
    size_t bytes = KNOWN_BYTES;
    for (size_t i = 0; i < m->rumours.n; i++) {
        m->rumours.v[i].limit = l->peer;
        bytes += ring__rumour_bytes(&m->rumours.v[i]);
    }
    gossip_charge(r, bytes);
    ring__say_on(r, l, WIRE_r_known, m);
}

void compare_tell(struct ring *r, struct link *l)
{
    CHECK(l->hello);
    struct wire_rumour v[WIRE_RUMOURS_MAX];
    struct wire_r_known m = {.from = r->self.id, .upto = r->self.id, .rumours = {.v = v}};
    v[m.rumours.n++] = ring__rumour_of_self(r);
    /* When many start at once all are mates for a moment: to tell all of all would take N^3
     * contacts, and a small ring has no more than r. */
    uint32_t told = 0, first = (uint32_t)rng_below(&r->rng, r->links_n);
    for (uint32_t k = 0; k < r->links_n && told < TELL_MAX; k++) {
        uint32_t i = (first + k) % r->links_n;
        const struct node *n = book_find(r, &r->links[i].peer);
        if (n == NULL || n->link != i || !n->mate || !counts(n) || id_eq(&n->contact.id, &l->peer))
            continue;
        told++;
        if (m.rumours.n == WIRE_RUMOURS_MAX) {
            tell(r, l, &m);
            m.rumours.n = 0;
        }
        v[m.rumours.n++] = ring__rumour_of(n, false);
    }
    tell(r, l, &m);
}

/* ---- beginning ---- */

/* For what this node does not know of a range. */
static bool ask(struct ring *r, const struct peal_id *to, const struct peal_id *from,
                const struct peal_id *upto)
{
    struct walk w = walk_of(r, from, upto);
    struct step s;
    bool any = walk_next(r, &w, &s);
    return any ? say_digests(r, to, from, upto, WIRE_DIGESTS_MAX)
               : say_known(r, to, from, upto, true, NULL);
}

static size_t linked_ways(struct ring *r, struct peal_id out[static WAYS_MAX])
{
    size_t n = finger_ways(r, out), k = 0;
    CHECK(n <= WAYS_MAX);
    for (size_t i = 0; i < n; i++)
        if (ring__link_to(r, &out[i]) != NULL)
            out[k++] = out[i];
    return k;
}

/* Asks for as many parts as the budget allows, each of another way; for the rest when half of what
 * may be saved up is there again. */
static void learn(struct ring *r, const struct peal_id *ways, size_t n)
{
    enum { N = WIRE_DIGESTS_MAX };
    struct compare *c = &r->compare;
    const struct peal_id *self = &r->self.id;
    if (c->rested < REST_MAX)
        c->rested++;
    if (c->rested < REST_MAX && gossip_left(r) < gossip_burst(r) / 2)
        return; /* answers to others are no less use to the ring */
    for (; c->part < N; c->part++) {
        struct peal_id from = compare_bound(self, self, c->part, N);
        struct peal_id upto = compare_bound(self, self, c->part + 1U, N);
        /* the ways are denser nearby, so their places are not those of the parts */
        if (!ask(r, &ways[(size_t)c->part * n / N], &from, &upto))
            return;
        c->rested = 0;
    }
    c->learning = false;
}

/* How many of those known here are in the range to be compared next. While much differs a narrow
 * range shows as many differences as all of the ring, and shows at once which nodes they are. */
static uint32_t next_span(struct ring *r)
{
    struct compare *c = &r->compare;
    if (c->found == SPAN_MANY)
        c->span /= SPAN_TIMES;
    else if (c->found == 0 && c->span < r->book.living)
        c->span *= SPAN_TIMES;
    c->span = c->span < SPAN_LEAST ? SPAN_LEAST : c->span;
    return c->span < r->book.living ? c->span : r->book.living;
}

/* A range of about so many known nodes, anywhere; when they are all, the ring. */
static void range_of(struct ring *r, uint32_t nodes, struct peal_id *from, struct peal_id *upto)
{
    *from = *upto = r->self.id;
    if (nodes >= r->book.living)
        return;
    uint32_t first = (uint32_t)rng_below(&r->rng, r->book.n);
    *from = book_at(r, first)->contact.id;
    *upto = book_at(r, (first + nodes) % r->book.n)->contact.id;
}

/* With the next round, but not before half of what may be saved up is there, so that it is not all
 * digests and no news. */
static uint64_t soon(struct ring *r)
{
    uint64_t next = r->now + ring__jitter(r, r->cfg.stabilise_us);
    uint64_t when = gossip_when(r, gossip_burst(r) / 2);
    return when > next ? when : next;
}

void compare_timer(struct ring *r)
{
    struct compare *c = &r->compare;
    uint64_t round = r->cfg.stabilise_us;
    if (r->cfg.gossip_bytes == RING_GOSSIP_NONE)
        return;
    if (!ring__is_member(r)) { /* with the first round as one it begins */
        *c = (struct compare){
            .due_us = r->now + round, .learning = true, .found = SPAN_MANY, .rested = REST_MAX};
        ring__wake(r, PART_COMPARE, c->due_us);
        return;
    }
    struct peal_id ways[WAYS_MAX];
    size_t n = linked_ways(r, ways);
    if (n > 0 && c->learning) {
        learn(r, ways, n);
    } else if (n > 0) {
        struct peal_id from, upto;
        uint32_t nodes = next_span(r);
        range_of(r, nodes, &from, &upto);
        c->found = 0;
        (void)say_digests(r, &ways[rng_below(&r->rng, n)], &from, &upto, nodes);
    }
    /* Two full books that hold different parts of a large ring differ always. */
    bool full = r->book.n == r->book.cap;
    if (!c->learning && !full && c->span < r->book.living)
        c->due_us = soon(r); /* only of all the ring does no difference say that there is none */
    else
        c->due_us = r->now + ring__jitter(r, c->learning && !full ? round : COMPARE_ROUNDS * round);
    ring__wake(r, PART_COMPARE, c->due_us);
}

/* A difference was seen. */
static void found(struct ring *r)
{
    struct compare *c = &r->compare;
    if (c->found < SPAN_MANY)
        c->found++;
    if (c->found > 1 || c->learning || r->book.n == r->book.cap)
        return;
    uint64_t when = soon(r);
    if (c->due_us == 0 || when < c->due_us) {
        c->due_us = when;
        ring__wake(r, PART_COMPARE, when);
    }
}

void compare_start(struct ring *r)
{
    ring__wake(r, PART_COMPARE, r->now);
}

/* ---- answering ---- */

/* No more ids than parts: it is said as a whole. */
static bool is_narrow(const struct peal_id *from, const struct peal_id *upto)
{
    struct peal_id width = id_distance(from, upto);
    struct peal_id parts = {.b = {[ID_BYTES - 1] = WIRE_DIGESTS_MAX}};
    return !id_is_zero(&width) && id_cmp(&width, &parts) <= 0;
}

/* A part as compared. */
struct piece {
    struct peal_id from, upto;
    uint64_t theirs; /* the peer's digest */
    uint32_t mine;   /* nodes of it known here */
    uint32_t had;    /* of them, known to the peer as well, as far as is certain */
    bool differs;
    bool within; /* the peer knows nobody in it who is not known here */
};

/* A digest is a sum, and most parts hold few nodes: so it tells which of them the peer knows, if it
 * knows no others. Those are added to had. False: it knows others, or they are too many to tell. */
static bool tell_had(struct ring *r, const struct piece *p, struct wire_rumour_list *had)
{
    struct step at[TELLS_MAX];
    struct walk w = walk_of(r, &p->from, &p->upto);
    size_t n = 0;
    if (p->theirs == 0)
        return true;
    if (p->mine > TELLS_MAX)
        return false;
    while (walk_next(r, &w, &at[n]))
        if (++n == p->mine)
            break;
    CHECK(n == p->mine);
    for (unsigned set = 1; set < 1u << n; set++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (set >> i & 1) != 0 ? digest_of(at[i].contact) : 0;
        if (sum != p->theirs)
            continue;
        for (size_t i = 0; i < n; i++)
            if ((set >> i & 1) != 0 && had->n < WIRE_RUMOURS_MAX)
                had->v[had->n++] = rumour_of(r, &at[i]);
        return true;
    }
    return false;
}

static struct piece piece_of(struct ring *r, const struct wire_r_compare *m, unsigned k, unsigned n,
                             uint64_t theirs, uint64_t own, uint32_t mine)
{
    struct wire_rumour v[WIRE_RUMOURS_MAX];
    struct wire_rumour_list had = {.v = v};
    struct piece p = {.from = compare_bound(&m->from, &m->upto, k, n),
                      .upto = compare_bound(&m->from, &m->upto, k + 1, n),
                      .theirs = theirs,
                      .mine = mine,
                      .differs = theirs != own};
    p.within = !p.differs || tell_had(r, &p, &had);
    p.had = p.differs ? (uint32_t)had.n : mine;
    return p;
}

/* What to do about a part. GIVE: say what is known here and not there; ASK: say all that is known
 * here, and be told what is not; DRILL: compare its parts. */
enum remedy { REMEDY_NONE, REMEDY_GIVE, REMEDY_ASK, REMEDY_DRILL };

static enum remedy remedy_of(const struct piece *p)
{
    if (!p->differs)
        return REMEDY_NONE;
    if (p->within)
        return REMEDY_GIVE;
    return p->mine <= FEW ? REMEDY_ASK : REMEDY_DRILL;
}

/* How many parts from the first on go into one message, which costs less than one for each. Into
 * one that asks: those in which both know nobody in common, or the other would tell of them. Into
 * one that gives: those too of which few are known, and the same to both. */
static unsigned run_of(const struct piece *p, unsigned most, enum remedy *remedy)
{
    unsigned ask = 0, give = 1;
    for (unsigned k = 0; k < most; k++) {
        enum remedy its = remedy_of(&p[k]);
        if (its == REMEDY_DRILL || (its != REMEDY_ASK && p[k].had > 0))
            break;
        ask = its == REMEDY_ASK ? k + 1 : ask;
    }
    if (*remedy == REMEDY_DRILL || ask > 0) {
        *remedy = ask > 0 ? REMEDY_ASK : REMEDY_DRILL;
        return ask > 0 ? ask : 1;
    }
    uint32_t had = p[0].had;
    for (unsigned k = 1; k < most; k++) {
        enum remedy its = remedy_of(&p[k]);
        had += p[k].had;
        if (its == REMEDY_ASK || its == REMEDY_DRILL || had > WIRE_RUMOURS_MAX ||
            (its == REMEDY_NONE && p[k].mine > TELLS_MAX))
            break;
        give = its == REMEDY_GIVE ? k + 1 : give;
    }
    return give;
}

/* Answers for n parts. False: no budget. */
static bool apply(struct ring *r, const struct peal_id *to, enum remedy remedy,
                  const struct piece *p, unsigned n)
{
    CHECK(remedy != REMEDY_NONE && n > 0);
    const struct peal_id *from = &p[0].from, *upto = &p[n - 1].upto;
    if (remedy == REMEDY_DRILL)
        return say_digests(r, to, from, upto, p[0].mine);
    struct wire_rumour v[WIRE_RUMOURS_MAX];
    struct wire_rumour_list had = {.v = v};
    for (unsigned k = 0; remedy == REMEDY_GIVE && k < n; k++)
        (void)tell_had(r, &p[k], &had);
    return say_known(r, to, from, upto, remedy == REMEDY_ASK, &had);
}

/* Not always the same part first, or the last would never have its turn. */
static void answer(struct ring *r, const struct peal_id *to, const struct piece *p, unsigned n)
{
    unsigned drills = 0, first = (unsigned)rng_below(&r->rng, n);
    for (unsigned i = 0, run; i < n; i += run) {
        unsigned k = (first + i) % n;
        enum remedy remedy = remedy_of(&p[k]);
        run = 1;
        if (remedy == REMEDY_NONE)
            continue;
        found(r);
        run = run_of(&p[k], n - (i > k ? i : k), &remedy);
        if (id_eq(&p[k].from, &p[k + run - 1].upto) && run < n)
            continue; /* parts without ids: a range narrower than its parts are many */
        if (remedy == REMEDY_DRILL && is_narrow(&p[k].from, &p[k].upto))
            remedy = REMEDY_ASK;
        if (remedy == REMEDY_DRILL && drills++ >= DRILLS_MAX)
            continue;
        if (!apply(r, to, remedy, &p[k], run))
            return;
    }
}

void ring__on_compare(struct ring *r, struct link *l, const struct wire_r_compare *m)
{
    CHECK(l->hello);
    size_t n = m->digests.n / 8;
    if (n == 0 || m->digests.n % 8 != 0) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a comparison without whole digests");
        return;
    }
    CHECK(n <= WIRE_DIGESTS_MAX);
    if (!ring__is_member(r) || r->cfg.gossip_bytes == RING_GOSSIP_NONE)
        return;
    struct peal_id peer = l->peer;
    uint64_t digest[WIRE_DIGESTS_MAX];
    uint32_t count[WIRE_DIGESTS_MAX];
    compare_digests(r, &m->from, &m->upto, (unsigned)n, digest, count);
    struct rd rd;
    rd_init(&rd, m->digests.p, m->digests.n);
    struct piece p[WIRE_DIGESTS_MAX];
    for (unsigned k = 0; k < n; k++)
        p[k] = piece_of(r, m, k, (unsigned)n, rd_u64(&rd), digest[k], count[k]);
    CHECK(rd_end(&rd) == 0);
    answer(r, &peer, p, (unsigned)n);
}

static int check_known(const struct wire_r_known *m)
{
    for (size_t i = 0; i < m->rumours.n; i++) {
        const struct wire_rumour *w = &m->rumours.v[i];
        if (w->dead || w->foreign || !id_in_arc(&m->from, &w->contact.id, &m->upto))
            return PEAL_E_MALFORMED;
    }
    return 0;
}

/* Learns of one; when this node knows better, its death is added to `dead`. */
static int learn_one(struct ring *r, const struct wire_rumour *w, struct wire_rumour_list *dead)
{
    bool news;
    int err = gossip_learn(r, w, &news);
    if (err == PEAL_E_MALFORMED || err == PEAL_E_AUTH)
        return err;
    if (news)
        found(r);
    struct node *n = book_find(r, &w->contact.id);
    if (n == NULL || !n->dead || n->stamp <= w->stamp ||
        n->contact.incarnation != w->contact.incarnation)
        return 0;
    bool fresh = clk_ms(n->stamp) + FRESH_MS >= r->wall || n->dial_tries > 0;
    if (fresh && !merge_doubts(r, n->stamp))
        dead->v[dead->n++] = ring__rumour_of(n, false);
    else
        ring__reach(r, n); /* who is right? */
    return 0;
}

void ring__on_known(struct ring *r, struct link *l, const struct wire_r_known *m)
{
    CHECK(l->hello && m->rumours.n <= WIRE_RUMOURS_MAX);
    struct wire_rumour v[WIRE_RUMOURS_MAX];
    struct wire_r_rumours deaths = {.rumours = {.v = v}};
    int err = check_known(m);
    for (size_t i = 0; i < m->rumours.n && err == 0; i++)
        if (!ring__is_self(r, &m->rumours.v[i].contact.id))
            err = learn_one(r, &m->rumours.v[i], &deaths.rumours);
    if (err != 0) {
        ring__drop(r, l, err, "a list that no honest node says");
        return;
    }
    if (r->cfg.gossip_bytes == RING_GOSSIP_NONE || !ring__is_member(r))
        return;
    size_t bytes = HEAD + 4;
    for (size_t i = 0; i < deaths.rumours.n; i++) {
        v[i].limit = l->peer;
        bytes += ring__rumour_bytes(&v[i]);
    }
    if (deaths.rumours.n > 0 && gossip_spend(r, bytes))
        ring__say_on(r, l, WIRE_r_rumours, &deaths);
    if (m->ask)
        (void)say_known(r, &l->peer, &m->from, &m->upto, false, &m->rumours);
}
