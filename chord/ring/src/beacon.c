/* beacon: when this node says that it is there, to whoever listens on the local network, and what
 * it makes of others' beacons. Alone it says them often, a ring lets its coordinator do so. A
 * beacon proves nothing but that its contact is worth a try. */
#include "inner.h"

static bool is_coordinator(const struct ring *r)
{
    return ring__is_member(r) && !ring__is_alone(r) && ring__is_self(r, &r->elect.coordinator);
}

/* Until the next beacon; 0: this node says none. */
static uint64_t interval(const struct ring *r)
{
    if (!r->cfg.beacons || r->phase == RING_LEFT)
        return 0;
    if (r->phase == RING_SEEKING)
        return BEACON_SEEK_US;
    if (ring__is_alone(r))
        return BEACON_ALONE_US;
    return is_coordinator(r) ? BEACON_RING_US : 0;
}

static void say(struct ring *r)
{
    struct wire_m_beacon b = {
        .contact = ring__contact_view(&r->self), .ring = r->elect.coordinator, .size = r->size};
    step_beacon(r->u, &b);
}

void beacon_timer(struct ring *r)
{
    uint64_t every = interval(r);
    if (every == 0)
        return; /* beacon_changed begins it again */
    say(r);
    ring__wake(r, PART_BEACON, r->now + ring__jitter(r, every));
}

void beacon_start(struct ring *r)
{
    if (interval(r) > 0)
        ring__wake(r, PART_BEACON, r->now);
}

void beacon_changed(struct ring *r)
{
    uint64_t every = interval(r);
    if (every > 0)
        ring__wake(r, PART_BEACON, r->now + ring__jitter(r, every));
}

/* Nothing that is known is changed by it, but for a newer contact: it may be an old beacon that
 * somebody says again. */
void ring__on_beacon(struct ring *r, const struct wire_m_beacon *b)
{
    if (ring__is_self(r, &b->contact.id))
        return;
    bool known = book_get(r, &b->contact.id) != NULL, news;
    struct node *n = book_learn(r, &b->contact, false, 0, &news);
    if (n == NULL || n->link != UINT32_MAX)
        return;
    bool alone = ring__is_alone(r);
    if (!known && !alone)
        n->foreign = true;
    if (alone || !known || n->dead || n->foreign || is_coordinator(r))
        ring__reach(r, n);
}
