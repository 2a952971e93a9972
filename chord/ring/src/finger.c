/* finger: links across the ring. finger i is the owner of self + 2^i, for those i whose target lies
 * beyond the successor list. With them a key is found in a logarithmic number of hops by nodes that
 * know nobody else; where everyone's contact is known they are only what broadcasts, rumours and
 * stand-by ways go over.
 *
 * On becoming LARGE all are looked up, one after the other from the highest bit down; later one
 * every FINGER_EVERY rounds of stabilise, round robin. When the book covers the ring no lookup is
 * needed: its first living node at or after the target is the finger.
 *
 * Not for: correctness. A wrong finger costs a hop, never an answer (I. Stoica et al., 2003). */
#include "inner.h"

enum { FINGER_FIND_US = 10 * SECOND, FINGER_AGAIN_US = 100 * MS };

static uint64_t pause_us(struct ring *r)
{
    return ring__jitter(r, FINGER_EVERY * r->cfg.stabilise_us);
}

static bool live(struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_find(r, id);
    return n != NULL && !n->dead && !n->foreign;
}

/* The last live successor; NULL: none. */
static const struct peal_id *last_successor(struct ring *r)
{
    for (size_t i = r->z.n; i-- > 0;)
        if (!r->z.succ[i].artificial && live(r, &r->z.succ[i].id))
            return &r->z.succ[i].id;
    return NULL;
}

/* The lowest bit whose target lies beyond the successor list; FINGERS_MAX: none does. */
static int lowest(struct ring *r)
{
    const struct peal_id *last = last_successor(r);
    if (last == NULL)
        return FINGERS_MAX;
    int bit = FINGERS_MAX;
    while (bit > 0) {
        struct peal_id target = id_add_pow2(&r->self.id, (unsigned)bit - 1);
        if (id_in_arc(&r->self.id, &target, last))
            break;
        bit--;
    }
    return bit;
}

/* The successor list has grown or shrunk: so do the fingers. */
static void fit(struct ring *r)
{
    struct fingers *f = &r->fingers;
    int low = lowest(r);
    for (int i = f->low; i < low; i++)
        f->at[i] = (struct peal_id){{0}};
    if (low < f->low) {
        f->next = f->low - 1;
        f->filling = true;
    }
    f->low = low;
    if (f->next < low)
        f->next = FINGERS_MAX - 1;
}

static void set(struct ring *r, int bit, const struct peal_id *id)
{
    CHECK(bit >= 0 && bit < FINGERS_MAX);
    if (ring__is_self(r, id)) { /* nobody lies beyond the target */
        r->fingers.at[bit] = (struct peal_id){{0}};
        return;
    }
    r->fingers.at[bit] = *id;
    struct node *n = book_find(r, id);
    if (n != NULL && ring__link_to(r, id) == NULL)
        ring__reach(r, n);
}

/* Those that could not be dialled when they were found. */
static void keep_links(struct ring *r)
{
    for (int i = r->fingers.low; i < FINGERS_MAX; i++) {
        const struct peal_id *id = &r->fingers.at[i];
        struct node *n = id_is_zero(id) ? NULL : book_find(r, id);
        if (n != NULL && !n->dead && ring__link_to(r, id) == NULL)
            ring__reach(r, n);
    }
}

static void from_book(struct ring *r, int bit)
{
    struct peal_id target = id_add_pow2(&r->self.id, (unsigned)bit);
    const struct node *n = hop_first_living(r, &target);
    if (n == NULL)
        r->fingers.at[bit] = (struct peal_id){{0}};
    else if (!id_eq(&r->fingers.at[bit], &n->contact.id))
        set(r, bit, &n->contact.id);
}

static void ask(struct ring *r)
{
    struct fingers *f = &r->fingers;
    struct peal_id target = id_add_pow2(&r->self.id, (unsigned)f->next);
    f->asking = true; /* first: the answer may come within the call */
    if (route_begin(r, FIND_FOR_FINGER, RING_FIND_OWNER, &target, NULL, (uint64_t)f->next,
                    FINGER_FIND_US) != 0) {
        f->asking = false;
        ring__wake(r, PART_FINGER, r->now + ring__jitter(r, FINGER_AGAIN_US));
    }
}

/* A lookup from an earlier time as a member ends like any other. */
static void clear(struct ring *r)
{
    bool asking = r->fingers.asking;
    r->fingers = (struct fingers){.next = FINGERS_MAX - 1, .low = FINGERS_MAX, .asking = asking};
}

void finger_start(struct ring *r)
{
    CHECK(r->phase != RING_LEFT);
    clear(r);
    ring__wake(r, PART_FINGER, r->now);
}

/* In a small ring there are none; whether it has grown is seen once a round. */
static void not_yet(struct ring *r)
{
    clear(r);
    ring__wake(r, PART_FINGER, r->now + ring__jitter(r, r->cfg.stabilise_us));
}

void finger_timer(struct ring *r)
{
    struct fingers *f = &r->fingers;
    if (r->phase != RING_LARGE) {
        not_yet(r);
        return;
    }
    fit(r);
    keep_links(r);
    if (f->low < FINGERS_MAX && !hop_covers(r)) {
        if (!f->asking)
            ask(r);
        return;
    }
    for (int i = FINGERS_MAX - 1; i >= f->low; i--)
        from_book(r, i);
    f->filling = false;
    ring__wake(r, PART_FINGER, r->now + pause_us(r));
}

void finger_found(struct ring *r, uint64_t which, int err, const struct wire_contact *owner)
{
    struct fingers *f = &r->fingers;
    CHECK(which < FINGERS_MAX && f->asking);
    CHECK((err == 0) == (owner != NULL));
    f->asking = false;
    if (r->phase != RING_LARGE) {
        not_yet(r);
        return;
    }
    if (err == 0 && (int)which >= f->low)
        set(r, (int)which, &owner->id);
    if (f->next == (int)which && --f->next < f->low) {
        f->next = FINGERS_MAX - 1;
        f->filling = false;
    }
    uint64_t wait = !f->filling ? pause_us(r) : err != 0 ? ring__jitter(r, FINGER_AGAIN_US) : 0;
    ring__wake(r, PART_FINGER, r->now + wait);
}

void finger_dead(struct ring *r, const struct peal_id *id)
{
    struct fingers *f = &r->fingers;
    if (r->phase != RING_LARGE)
        return;
    for (int i = FINGERS_MAX - 1; i >= f->low; i--) {
        if (!id_eq(&f->at[i], id))
            continue;
        if (hop_covers(r)) {
            from_book(r, i);
            continue;
        }
        f->at[i] = (struct peal_id){{0}};
        f->next = f->filling && f->next > i ? f->next : i;
        f->filling = true;
        ring__wake(r, PART_FINGER, r->now + ring__jitter(r, FINGER_AGAIN_US));
    }
}

bool finger_needs(struct ring *r, const struct peal_id *id)
{
    if (r->phase != RING_LARGE)
        return false;
    for (int i = FINGERS_MAX - 1; i >= r->fingers.low; i--)
        if (ring__same_id(&r->fingers.at[i], id))
            return true;
    return false;
}

static bool linked(struct ring *r, const struct peal_id *id)
{
    return !ring__is_self(r, id) && live(r, id) && ring__link_to(r, id) != NULL;
}

size_t finger_ways(struct ring *r, struct peal_id out[static WAYS_MAX])
{
    size_t n = 0;
    for (uint8_t i = 0; i < r->z.n; i++)
        if (!r->z.succ[i].artificial && linked(r, &r->z.succ[i].id))
            out[n++] = r->z.succ[i].id;
    if (r->phase != RING_LARGE)
        return n;
    for (int i = r->fingers.low; i < FINGERS_MAX; i++) {
        const struct peal_id *id = &r->fingers.at[i];
        const struct peal_id *last = n > 0 ? &out[n - 1] : &r->self.id;
        if (!id_is_zero(id) && id_between(last, id, &r->self.id) && linked(r, id))
            out[n++] = *id;
    }
    CHECK(n <= WAYS_MAX);
    return n;
}
