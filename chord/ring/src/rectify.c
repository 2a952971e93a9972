/* rectify: Zave's operation on a notify: whether who notifies is the predecessor from now on. If
 * the one that there is lies nearer, it is pinged, and replaced only when it does not answer.
 *
 * Not for: saying notify, nor the successor list (upkeep.c). */
#include "inner.h"

static void prdc_changed(struct ring *r, bool joined)
{
    r->count.rectified++;
    upkeep_pointers_changed(r);
    const struct node *n = book_find(r, &r->z.prdc);
    if (joined && n != NULL)
        gossip_begin(r, n, false, false);
}

/* The suspected predecessor is dead: whoever notified takes its place. */
static void replace_suspect(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->rectifying);
    up->rectifying = false;
    if (!id_eq(&up->suspect, &r->z.prdc) || upkeep_is_dead(r, &up->notifier))
        return; /* settled otherwise, or the notifier is gone too */
    zave_replace_prdc(&r->z, &up->notifier);
    prdc_changed(r, false);
}

static void suspect_late(struct ring *r)
{
    struct upkeep *up = &r->up;
    const struct link *l = ring__link_to(r, &up->suspect);
    if (l != NULL && l->heard_us > up->suspect_heard && !upkeep_is_gone(r, &up->suspect))
        up->rectifying = false;
    else
        replace_suspect(r);
}

static void suspect_prdc(struct ring *r, const struct peal_id *notifier)
{
    struct upkeep *up = &r->up;
    if (!up->rectifying || id_between(&up->notifier, notifier, &r->z.self))
        up->notifier = *notifier;
    if (up->rectifying && id_eq(&up->suspect, &r->z.prdc))
        return;
    up->rectifying = true;
    up->suspect = r->z.prdc;
    up->suspect_heard = 0;
    if (upkeep_is_gone(r, &up->suspect)) {
        replace_suspect(r);
        return;
    }
    struct link *l = ring__link_to(r, &up->suspect);
    if (l != NULL) {
        up->suspect_heard = l->heard_us;
        up->rectify_us = r->now + ring__rto_to(r, &up->suspect) * QUERY_TRIES;
        ring__ping_now(r, l);
    } else {
        up->rectify_us = r->now + DIAL_GIVE_UP_US;
        upkeep_reach(r, &up->suspect);
    }
    upkeep_wake(r);
}

void ring__on_notify(struct ring *r, struct link *l, const struct wire_r_notify *m)
{
    const struct peal_id n = l->peer;
    ring__node_state(r, l, &m->state);
    if (r->phase != RING_LARGE || m->state.phase != RING_LARGE)
        return;
    const struct peal_id before = r->z.prdc;
    if (zave_rectify(&r->z, &n) == RECTIFY_PING_PRDC)
        suspect_prdc(r, &n);
    else if (!id_eq(&before, &r->z.prdc))
        prdc_changed(r, id_is_zero(&before) || !upkeep_is_gone(r, &before));
}

/* ---- what else happens ---- */

void rectify_timer(struct ring *r)
{
    if (r->up.rectifying && r->now >= r->up.rectify_us)
        suspect_late(r);
}

static bool is_suspect(const struct ring *r, const struct peal_id *id)
{
    return r->up.rectifying && id_eq(&r->up.suspect, id);
}

void rectify_up(struct ring *r, const struct peal_id *id)
{
    if (is_suspect(r, id))
        r->up.rectifying = false;
}

void rectify_dead(struct ring *r, const struct peal_id *id)
{
    if (is_suspect(r, id))
        replace_suspect(r);
}

bool rectify_needs(const struct ring *r, const struct peal_id *id)
{
    return is_suspect(r, id) || (r->up.rectifying && id_eq(&r->up.notifier, id));
}
