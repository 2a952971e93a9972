/* dial: whom to dial, when again, whom to give up. A node that the ring needs is tried until it
 * answers, in growing intervals; any other once, each time somebody asks for it. Addresses given by
 * the operator are tried for as long as this node is alone, and now and then until they have
 * answered once: nobody else may know of the ring that is behind one.
 *
 * A node's addresses are tried one after the other, that which worked last first: the next when one
 * has failed, or DIAL_NEXT_US after it was begun, then besides it (RFC 8305), DIALS_OF_NODE at a
 * time. Of two links that come of it links.c closes one. The try has failed when all of them
 * have. */
#include "inner.h"

#include <string.h>

#define NO_INDEX UINT32_MAX

static size_t address_count(const struct node *n)
{
    return wire_address_count(ring__addresses(&n->contact));
}

struct peal_bytes dial_address(const struct node *n)
{
    return wire_address(ring__addresses(&n->contact), n->best);
}

static bool has_bit(uint8_t bits, size_t i)
{
    return ((unsigned)bits >> i & 1U) != 0;
}

/* Which of its addresses is to be tried next; as many as it has: all were, in this try. */
static size_t next_of(const struct node *n)
{
    size_t i = n->best, count = address_count(n);
    CHECK(i < count);
    if (!has_bit(n->begun, i))
        return i;
    i = 0;
    while (i < count && has_bit(n->begun, i))
        i++;
    return i;
}

static unsigned open_count(const struct node *n)
{
    unsigned count = 0;
    for (size_t i = 0; i < WIRE_CONTACT_ADDRESSES_MAX; i++)
        count += has_bit(n->open, i);
    return count;
}

/* Another of its addresses may be tried in this try. */
static bool has_next(const struct node *n)
{
    return open_count(n) < DIALS_OF_NODE && next_of(n) < address_count(n);
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
    CHECK(n->dial_wanted && d->under_way >= open_count(n));
    n->dial_wanted = n->dialling = false;
    if (n->open != 0)
        ring__wake(r, PART_DIAL, r->now); /* another may have its turn */
    d->under_way -= open_count(n);
    n->open = n->begun = 0;
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
    n->strangers = 0;
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

/* One of its addresses, or all that were begun, came to nothing: on with the next, which need not
 * wait any more. */
static void go_on(struct ring *r, struct node *n)
{
    bool more = n->dial_wanted && n->begun != 0 && has_next(n);
    if (!more && n->open == 0) {
        failed(r, n);
    } else if (more) {
        n->dial_us = r->now;
        ring__wake(r, PART_DIAL, r->now);
    } else {
        n->dial_us = n->until_us; /* another is being tried still */
    }
}

void dial_lost(struct ring *r, struct node *n)
{
    if (n->link == NO_INDEX)
        go_on(r, n);
}

/* ---- how long they take ---- */

uint64_t dial_began(const struct node *n)
{
    bool one = n->dialling && (n->begun & (n->begun - 1U)) == 0; /* of two nobody knows whose it was */
    return one ? n->until_us - DIAL_GIVE_UP_US : 0;
}

uint64_t dial_limit(const struct ring *r)
{
    return r->dials.took.srtt_us == 0 ? 0 : ring__trips_rto(&r->dials.took);
}

bool dial_ready(const struct ring *r, const struct node *n)
{
    if (n->contact.address_n == 0)
        return false;
    if (n->dialling || is_linked(r, &n->contact.id))
        return true;
    if (r->dials.under_way == DIALS_AT_ONCE || (!n->dial_wanted && r->dials.n == DIALS_MAX))
        return false;
    return n->dial_us <= r->now;
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
 * contact. Said once of each address. */
static void note_stranger(struct ring *r, struct node *n, struct peal_bytes at,
                          const struct peal_id *peer)
{
    uint8_t bit = (uint8_t)(1U << wire_address_find(ring__addresses(&n->contact), at));
    if ((n->strangers & bit) != 0)
        return;
    n->strangers |= bit;
    char theirs[9], id[9];
    step_trace(r->u, STEP_INFO, "stranger", "%s answers at %.*s, where %s was expected",
               ring__is_self(r, peer) ? "this server itself" : ring__short_id(peer, theirs),
               (int)at.n, (const char *)at.p, ring__short_id(&n->contact.id, id));
}

/* Whether the node's dial of this address is under way; *bit: which that is. */
static bool is_open(const struct node *n, struct peal_bytes address, uint8_t *bit)
{
    if (n->open == 0)
        return false;
    size_t i = wire_address_find(ring__addresses(&n->contact), address);
    if (i == SIZE_MAX)
        return false;
    *bit = (uint8_t)(1U << i);
    return (n->open & *bit) != 0;
}

/* The peer was reached there. */
static void note_best(struct ring *r, struct peal_bytes address, const struct peal_id *peer)
{
    struct node *n = book_find(r, peer);
    size_t i = n == NULL ? SIZE_MAX : wire_address_find(ring__addresses(&n->contact), address);
    if (i != SIZE_MAX)
        n->best = (uint8_t)i;
}

/* FNV-1a: it is only compared with those of a node's own few. */
uint32_t dial_host(struct peal_bytes address)
{
    uint32_t h = 0x811c9dc5;
    size_t n = address.n;
    while (n > 0 && address.p[n - 1] != ':')
        n--;
    for (size_t i = 0; i < n; i++)
        h = (h ^ address.p[i]) * 0x01000193;
    return h;
}

void dial_came(struct node *n, uint32_t host)
{
    struct peal_bytes a;
    if (dial_host(dial_address(n)) == host)
        return;
    for (size_t i = 0; (a = wire_address(ring__addresses(&n->contact), i)).n > 0; i++)
        if (dial_host(a) == host) {
            n->best = (uint8_t)i;
            return;
        }
}

/* Several entries may have one address: all of them end with its dial. */
void dial_ended(struct ring *r, struct peal_bytes address, bool good, const struct peal_id *peer)
{
    struct peal_id vain[DIALS_AT_ONCE];
    size_t vain_n = 0;
    uint8_t bit;
    CHECK(good == (peer != NULL));
    for (uint32_t i = 0; i < r->dials.n; i++) {
        struct node *n = &r->book.nodes[r->dials.at[i]];
        if (!is_open(n, address, &bit))
            continue;
        n->open &= (uint8_t)~bit;
        CHECK(r->dials.under_way > 0);
        r->dials.under_way--;
        n->dial_us = r->now + HELLO_WAIT_US; /* what is left is its hello */
        if (good && !id_eq(&n->contact.id, peer))
            note_stranger(r, n, address, peer);
        if (!good || !id_eq(&n->contact.id, peer)) {
            CHECK(vain_n < PEAL_COUNT(vain));
            vain[vain_n++] = n->contact.id;
        }
    }
    if (good)
        note_best(r, address, peer);
    for (size_t i = 0; i < r->cfg.joins_n; i++)
        if (r->joins[i].dialling && peal_bytes_eq(join_address(&r->joins[i]), address))
            join_ended(r, &r->joins[i], good);
    for (size_t i = 0; i < vain_n; i++) {
        struct node *n = book_find(r, &vain[i]);
        if (n != NULL)
            go_on(r, n);
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
        uint8_t bit;
        if (is_open(&r->book.nodes[r->dials.at[i]], address, &bit))
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

/* Begins with the node's next address. */
static void dial_next(struct ring *r, struct node *n)
{
    size_t i = next_of(n);
    CHECK(has_next(n) && !has_bit(n->open, i));
    dial(r, wire_address(ring__addresses(&n->contact), i));
    n->open |= (uint8_t)(1U << i);
    n->begun |= (uint8_t)(1U << i);
    n->dialling = true;
    n->until_us = r->now + DIAL_GIVE_UP_US;
    n->dial_us = has_next(n) ? r->now + DIAL_NEXT_US : n->until_us;
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
    if (n->open != 0 && r->now >= n->until_us) { /* the host never said how they ended */
        r->dials.under_way -= open_count(n);
        n->open = 0;
    }
    if (n->dialling && n->open == 0 && !has_next(n)) {
        failed(r, n);
        return r->now;
    }
    if (r->dials.under_way == DIALS_AT_ONCE) /* the end of any dial wakes this part */
        return n->open != 0 ? n->until_us : UINT64_MAX;
    dial_next(r, n);
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
