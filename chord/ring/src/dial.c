/* dial: whom to dial, when again, whom to give up. A node that the ring needs is tried until it
 * answers, in growing intervals; any other once, each time somebody asks for it. Addresses given by
 * the operator are tried for as long as this node is alone, and now and then until they have
 * answered once: nobody else may know of the ring that is behind one. */
#include "inner.h"

#include <string.h>

#define NO_INDEX UINT32_MAX

static struct peal_bytes address_of(const struct node *n)
{
    return peal_bytes_of(n->contact.address, n->contact.address_n);
}

static struct peal_bytes join_address(const struct join *j)
{
    return peal_bytes_of(j->address, j->n);
}

/* Open to the node, whether hello was said or not. */
static bool is_linked(const struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_get(r, id);
    if (n != NULL && n->link != NO_INDEX)
        return true;
    for (uint32_t i = 0; i < r->links_n; i++)
        if (id_eq(&r->links[i].peer, id))
            return true;
    return false;
}

static uint64_t pause_after(struct ring *r, uint32_t tries)
{
    uint64_t wait = DIAL_FIRST_US;
    for (uint32_t i = 1; i < tries && wait < DIAL_MOST_US; i++)
        wait *= 2;
    return r->now + ring__jitter(r, wait < DIAL_MOST_US ? wait : DIAL_MOST_US);
}

/* ---- the list of nodes that are seen to ---- */

static void rest(struct ring *r, struct node *n)
{
    struct dials *d = &r->dials;
    uint32_t at = (uint32_t)(n - r->book.nodes);
    CHECK(n->dial_wanted);
    n->dial_wanted = false;
    if (n->dialling) {
        CHECK(d->under_way > 0);
        n->dialling = false;
        d->under_way--;
        ring__wake(r, PART_DIAL, r->now); /* another may have its turn */
    }
    for (uint32_t i = 0; i < d->n; i++)
        if (d->at[i] == at) {
            d->at[i] = d->at[--d->n];
            return;
        }
    peal_check_failed("a node that is seen to is in the list", __FILE__, __LINE__);
}

void ring__reach(struct ring *r, struct node *n)
{
    CHECK(n->contact.address_n > 0);
    if (n->dial_wanted || r->phase == RING_LEFT || n->link != NO_INDEX || r->dials.n == DIALS_MAX)
        return;
    n->dial_wanted = true;
    if (n->dial_us < r->now) /* else the pause after the last try is not over */
        n->dial_us = r->now;
    r->dials.at[r->dials.n++] = (uint32_t)(n - r->book.nodes);
    ring__wake(r, PART_DIAL, n->dial_us);
}

void dial_up(struct ring *r, struct node *n)
{
    if (n->dial_wanted)
        rest(r, n);
    n->dial_us = 0;
    n->up_us = r->now;
}

void dial_again(struct ring *r, struct node *n)
{
    CHECK(n->link == NO_INDEX);
    if (r->now - n->up_us >= DIAL_LIVED_US) {
        n->dial_tries = 0;
    } else {
        if (n->dial_tries < UINT16_MAX)
            n->dial_tries++;
        n->dial_us = pause_after(r, n->dial_tries);
    }
    ring__reach(r, n);
}

void dial_busy(struct ring *r, struct node *n)
{
    if (n->dial_wanted)
        rest(r, n);
    if (n->link != NO_INDEX)
        return;
    if (n->dial_tries < UINT16_MAX)
        n->dial_tries++;
    n->dial_us = pause_after(r, n->dial_tries);
    if (ring__needed(r, &n->contact.id))
        ring__reach(r, n);
}

void dial_moved(struct ring *r, struct node *n)
{
    bool wanted = n->dial_wanted;
    n->stranger = 0;
    r->news = true; /* the layer above tells others where nodes are */
    dial_up(r, n);
    n->dial_tries = 0;
    if (wanted || ring__needed(r, &n->contact.id))
        ring__reach(r, n);
}

/* In vain. Others learn of the death of a neighbour whose link went first; of whom this node only
 * knew by hearsay they learn nothing. */
static void failed(struct ring *r, struct node *n)
{
    struct peal_id id = n->contact.id;
    if (n->dial_tries < UINT16_MAX)
        n->dial_tries++;
    n->dial_us = pause_after(r, n->dial_tries);
    if (n->dial_wanted)
        rest(r, n);
    if (is_linked(r, &id))
        return; /* it came from the other side meanwhile */
    bool tell = n->lost;
    n->lost = false;
    ring__node_dead(r, n);
    n = book_find(r, &id);
    if (n == NULL || !n->dead)
        return;
    if (tell)
        gossip_begin(r, n, true, false);
    if (ring__needed(r, &id))
        ring__reach(r, n);
}

void dial_lost(struct ring *r, struct node *n)
{
    if (n->link == NO_INDEX)
        failed(r, n);
}

/* ---- how dials end ---- */

static void join_ended(struct ring *r, struct join *j, bool good)
{
    CHECK(j->dialling && r->dials.under_way > 0);
    j->dialling = false;
    r->dials.under_way--;
    if (good) {
        j->tries = 0;
        j->dial_us = r->now + HELLO_WAIT_US;
        return;
    }
    if (j->tries < UINT16_MAX)
        j->tries++;
    j->dial_us =
        ring__is_alone(r) ? pause_after(r, j->tries) : r->now + ring__jitter(r, JOIN_SLOW_US);
}

/* An address is only where a node was last known to be; who answers there is who its certificate
 * says. The node that was expected has moved or is gone: its own word, or another's, brings its new
 * contact. Said once. */
static void note_stranger(struct ring *r, struct node *n, const struct peal_id *peer)
{
    uint64_t who = 0;
    memcpy(&who, peer->b, sizeof who);
    if (n->stranger == who)
        return;
    n->stranger = who;
    char theirs[9], id[9];
    step_trace(r->u, STEP_INFO, "stranger", "%s answers at %.*s, where %s was expected",
               ring__is_self(r, peer) ? "this server itself" : ring__short_id(peer, theirs),
               (int)n->contact.address_n, (const char *)n->contact.address,
               ring__short_id(&n->contact.id, id));
}

/* Several entries may have one address: all of them end with its dial. */
void dial_ended(struct ring *r, struct peal_bytes address, bool good, const struct peal_id *peer)
{
    struct peal_id vain[DIALS_AT_ONCE];
    size_t vain_n = 0;
    CHECK(good == (peer != NULL));
    for (uint32_t i = 0; i < r->dials.n; i++) {
        struct node *n = &r->book.nodes[r->dials.at[i]];
        if (!n->dialling || !peal_bytes_eq(address_of(n), address))
            continue;
        n->dialling = false;
        CHECK(r->dials.under_way > 0);
        r->dials.under_way--;
        n->dial_us = r->now + HELLO_WAIT_US; /* what is left is its hello */
        if (good && !id_eq(&n->contact.id, peer))
            note_stranger(r, n, peer);
        if (!good || !id_eq(&n->contact.id, peer)) {
            CHECK(vain_n < PEAL_COUNT(vain));
            vain[vain_n++] = n->contact.id;
        }
    }
    for (size_t i = 0; i < r->cfg.joins_n; i++)
        if (r->joins[i].dialling && peal_bytes_eq(join_address(&r->joins[i]), address))
            join_ended(r, &r->joins[i], good);
    for (size_t i = 0; i < vain_n; i++) {
        struct node *n = book_find(r, &vain[i]);
        if (n != NULL)
            failed(r, n);
    }
    ring__wake(r, PART_DIAL, r->now); /* another may have its turn */
}

void dial_joined(struct ring *r, struct peal_bytes address, const struct peal_id *id)
{
    for (size_t i = 0; i < r->cfg.joins_n; i++) {
        struct join *j = &r->joins[i];
        if (!peal_bytes_eq(join_address(j), address))
            continue;
        j->known = true;
        j->peer = *id;
        j->self = ring__is_self(r, id);
    }
}

/* ---- the timer ---- */

/* A dial of the address is under way, for another node or a join. */
static bool under_way(const struct ring *r, struct peal_bytes address)
{
    for (uint32_t i = 0; i < r->dials.n; i++) {
        const struct node *n = &r->book.nodes[r->dials.at[i]];
        if (n->dialling && peal_bytes_eq(address_of(n), address))
            return true;
    }
    for (size_t i = 0; i < r->cfg.joins_n; i++)
        if (r->joins[i].dialling && peal_bytes_eq(join_address(&r->joins[i]), address))
            return true;
    return false;
}

static void dial(struct ring *r, struct peal_bytes address)
{
    CHECK(r->dials.under_way < DIALS_AT_ONCE);
    if (!under_way(r, address))
        step_dial(r->u, address);
    r->dials.under_way++;
}

/* What is due for a node; returns when more is. */
static uint64_t see_to(struct ring *r, struct node *n)
{
    if (r->now < n->dial_us)
        return n->dial_us;
    if (is_linked(r, &n->contact.id)) { /* its hello is waited for, by links.c */
        n->dial_us = r->now + HELLO_WAIT_US;
        return n->dial_us;
    }
    if (n->dialling) { /* the host never said how it ended */
        failed(r, n);
        return r->now;
    }
    if (r->dials.under_way == DIALS_AT_ONCE)
        return UINT64_MAX; /* the end of any dial wakes this part */
    dial(r, address_of(n));
    n->dialling = true;
    n->dial_us = r->now + DIAL_GIVE_UP_US;
    return n->dial_us;
}

static uint64_t see_to_join(struct ring *r, struct join *j)
{
    if (j->self)
        return UINT64_MAX;
    if (r->now < j->dial_us)
        return j->dial_us;
    if (j->dialling) {
        join_ended(r, j, false);
        return j->dial_us;
    }
    if (j->known && is_linked(r, &j->peer)) {
        j->dial_us = r->now + HELLO_WAIT_US;
        return j->dial_us;
    }
    if (r->dials.under_way == DIALS_AT_ONCE)
        return UINT64_MAX;
    dial(r, join_address(j));
    j->dialling = true;
    j->dial_us = r->now + DIAL_GIVE_UP_US;
    return j->dial_us;
}

void dial_timer(struct ring *r)
{
    uint64_t next = UINT64_MAX;
    if (r->phase == RING_LEFT)
        return;
    for (uint32_t i = r->dials.n; i > 0; i--) { /* backwards: what ends makes way at its place */
        if (i > r->dials.n)
            continue;
        struct node *n = &r->book.nodes[r->dials.at[i - 1]];
        uint64_t at = see_to(r, n);
        if (at < next)
            next = at;
    }
    for (size_t i = 0; i < r->cfg.joins_n; i++) {
        struct join *j = &r->joins[i];
        if (!j->dialling && j->known && !ring__is_alone(r))
            continue; /* it is in the book, and merge.c tries those that are dead */
        uint64_t at = see_to_join(r, j);
        if (at < next)
            next = at;
    }
    if (next != UINT64_MAX)
        ring__wake(r, PART_DIAL, next);
}

/* The remembered nodes that follow this one are the best to ask where its place is; the others are
 * a sample of the whole ring, in case its part of it has gone. */
void dial_start(struct ring *r)
{
    uint32_t n = r->book.n, after = n == 0 ? 0 : book_rank(r, &r->self.id);
    for (uint32_t i = 0; i < START_DIALS && i < n; i++) {
        bool all = n <= START_DIALS || i < START_DIALS / 2;
        uint32_t at = all ? (after + i) % n : (uint32_t)rng_below(&r->rng, n);
        ring__reach(r, book_at(r, at));
    }
    ring__wake(r, PART_DIAL, r->now);
}
