/* elect: the coordinator, by E. Chang and R. Roberts' algorithm on the ring: a candidature goes
 * clockwise, to each node's first live successor; the lowest id goes on, what is higher is replaced
 * or swallowed; the candidature that comes back has won and is announced once around. With every
 * node standing at once it takes N * H_N candidatures on average, N (N + 1) / 2 at most.
 *
 * Besides, a coordinator that lives answers a candidature, begun by somebody who took it for dead
 * or knew another, by announcing itself; and of two coordinators the lower stays.
 *
 * What it is not: agreement. For a while there may be two coordinators, or none; it ends, since
 * neighbours compare, and whoever waits in vain stands again. */
#include "inner.h"

#include <string.h>

enum {
    ELECT_BACKOFF_MAX = 5, /* doublings of the wait, while nobody is elected */
    ELECT_HOPS_MORE = 16,  /* beyond four times round, by the size believed in, a message is lost */
};

enum elect_act elect_judge(const struct peal_id *self, bool eligible, bool participant,
                           const struct peal_id *candidate)
{
    if (id_eq(candidate, self))
        return eligible && participant ? ELECT_WON : ELECT_SWALLOW;
    if (id_is_zero(candidate)) {
        if (participant)
            return ELECT_SWALLOW;
        return eligible ? ELECT_STAND : ELECT_PASS;
    }
    if (!eligible || id_cmp(candidate, self) < 0)
        return ELECT_PASS;
    return participant ? ELECT_SWALLOW : ELECT_STAND;
}

static uint32_t hops_max(const struct ring *r)
{
    uint32_t size = r->size < (UINT32_MAX - ELECT_HOPS_MORE) / 4 ? r->size : 0;
    return 4 * size + ELECT_HOPS_MORE;
}

/* How long an election may take: some rounds, and every hop as the one to the successor. */
static uint64_t round_us(struct ring *r)
{
    const struct peal_id *best = upkeep_best(r);
    const struct link *l = best == NULL ? NULL : ring__link_to(r, best);
    uint64_t hop = l == NULL || l->trips.srtt_us == 0 ? RTO_MIN_US : l->trips.srtt_us;
    return ELECT_ROUNDS * r->cfg.stabilise_us + r->size * hop;
}

/* How long a candidate waits for its end: longer each time. */
static uint64_t wait_us(struct ring *r)
{
    uint64_t wait = round_us(r);
    unsigned doubled = r->elect.tries < ELECT_BACKOFF_MAX ? r->elect.tries : ELECT_BACKOFF_MAX;
    return (wait << doubled) + rng_below(&r->rng, wait / 2 + 1);
}

static void set(struct ring *r, const struct peal_id *coordinator)
{
    struct elect *e = &r->elect;
    if (!id_eq(&e->coordinator, coordinator)) {
        char id[9];
        step_trace(r->u, STEP_INFO, "coordinator", "%s", ring__short_id(coordinator, id));
        r->news = true;
    }
    *e = (struct elect){.coordinator = *coordinator, .since_ms = r->wall};
}

/* Somebody has found it dead since then. */
static bool died_since(const struct ring *r, const struct peal_id *id, uint64_t ms)
{
    const struct node *n = ring__is_self(r, id) ? NULL : book_get(r, id);
    return n != NULL && n->dead && clk_ms(n->stamp) > ms;
}

/* So lately that what names it may have been said before. Who is dead for longer, and is named now,
 * was beyond a partition. */
static bool died_lately(struct ring *r, const struct peal_id *id)
{
    uint64_t round_ms = round_us(r) / MS;
    return died_since(r, id, r->wall > round_ms ? r->wall - round_ms : 0);
}

/* Takes part from now on, and waits for the announcement. */
static void take_part(struct ring *r)
{
    r->elect.participant = true;
    r->elect.differ_us = 0;
    r->elect.until_us = r->now + wait_us(r);
    ring__wake(r, PART_ELECT, r->elect.until_us);
}

/* Says it to the first live successor; false: there is none. */
static bool send(struct ring *r, bool elected, const struct peal_id *who, uint32_t hops)
{
    struct elect *e = &r->elect;
    const struct peal_id *best = upkeep_best(r);
    struct wire_r_elect a = {.candidate = *who, .hops = hops};
    struct wire_r_elected b = {.coordinator = *who, .hops = hops};
    if (best == NULL)
        return false;
    e->elected = elected;
    e->sent = *who;
    e->sent_to = *best;
    e->sent_us = r->now;
    e->hops = hops;
    if (!ring__say(r, best, elected ? WIRE_r_elected : WIRE_r_elect, elected ? (void *)&b : &a))
        return false;
    if (elected)
        r->count.elected_messages++;
    else
        r->count.elect_messages++;
    return true;
}

static void send_elect(struct ring *r, const struct peal_id *candidate, uint32_t hops)
{
    if (send(r, false, candidate, hops))
        return;
    /* lost; the wait is short, for the next successor is known within a round */
    r->elect.until_us = r->now + r->cfg.stabilise_us;
    ring__wake(r, PART_ELECT, r->elect.until_us);
}

static void send_elected(struct ring *r, const struct peal_id *coordinator, uint32_t hops)
{
    (void)send(r, true, coordinator, hops);
}

/* Whoever was to pass the last message on is dead, and perhaps was then. */
static void send_again(struct ring *r)
{
    const struct elect *e = &r->elect;
    struct peal_id who = e->sent;
    if (r->now - e->sent_us > ELECT_ROUNDS * r->cfg.stabilise_us)
        return;
    if (e->elected && id_eq(&who, &e->coordinator))
        send_elected(r, &who, e->hops);
    else if (!e->elected && e->participant)
        send_elect(r, &who, e->hops);
}

/* This node is the coordinator, and lives; once a round is enough. */
static void announce(struct ring *r)
{
    struct elect *e = &r->elect;
    CHECK(ring__is_self(r, &e->coordinator));
    if (e->said_us != 0 && r->now - e->said_us < r->cfg.stabilise_us)
        return;
    e->said_us = r->now;
    send_elected(r, &r->self.id, 1);
}

static void stand(struct ring *r)
{
    CHECK(ring__is_member(r));
    if (upkeep_best(r) == NULL) { /* alone */
        struct peal_id none = {{0}};
        set(r, r->cfg.eligible ? &r->self.id : &none);
        return;
    }
    take_part(r);
    if (r->elect.tries < UINT8_MAX)
        r->elect.tries++;
    struct peal_id none = {{0}};
    send_elect(r, r->cfg.eligible ? &r->self.id : &none, 1);
}

/* ---- neighbours ---- */

static const struct peal_id *word_of(struct ring *r, const struct peal_id *id)
{
    if (id == NULL || id_is_zero(id) || ring__is_self(r, id))
        return NULL;
    const struct link *l = ring__link_to(r, id);
    if (l == NULL || id_is_zero(&l->state.coordinator) || died_lately(r, &l->state.coordinator))
        return NULL;
    return &l->state.coordinator;
}

/* The coordinator is dead, or a neighbour names another. */
static bool differs(struct ring *r)
{
    const struct elect *e = &r->elect;
    if (id_is_zero(&e->coordinator))
        return false;
    const struct peal_id *succ = word_of(r, upkeep_best(r)), *prdc = word_of(r, &r->z.prdc);
    return died_since(r, &e->coordinator, e->since_ms) ||
           (succ != NULL && !id_eq(succ, &e->coordinator)) ||
           (prdc != NULL && !id_eq(prdc, &e->coordinator));
}

static bool take_over(struct ring *r)
{
    const struct peal_id *word = word_of(r, upkeep_best(r));
    if (word == NULL)
        word = word_of(r, &r->z.prdc);
    if (word == NULL)
        return false;
    struct peal_id coordinator = *word;
    /* a neighbour that still names this node speaks of the time before it was gone */
    if (ring__is_self(r, &coordinator) && !r->cfg.eligible)
        return false;
    set(r, &coordinator);
    return true;
}

void elect_start(struct ring *r)
{
    ring__wake(r, PART_ELECT, r->now);
}

/* A member without coordinator, that has not waited yet. */
static void begin(struct ring *r)
{
    struct elect *e = &r->elect;
    CHECK(id_is_zero(&e->coordinator) && !e->participant && e->until_us == 0);
    if (take_over(r))
        return;
    if (upkeep_best(r) == NULL) {
        stand(r);
        return;
    }
    e->until_us = r->now + r->cfg.stabilise_us; /* for a neighbour's word */
    ring__wake(r, PART_ELECT, e->until_us);
}

/* Whoever waits for a coordinator waits for somebody like this node. */
void elect_eligible(struct ring *r)
{
    if (ring__is_member(r) && r->cfg.eligible && id_is_zero(&r->elect.coordinator) && !take_over(r))
        stand(r);
    ring__wake(r, PART_ELECT, r->now);
}

void elect_state(struct ring *r, struct link *l)
{
    struct elect *e = &r->elect;
    if (!ring__is_member(r))
        return;
    const struct peal_id *best = upkeep_best(r);
    bool succ = best != NULL && id_eq(best, &l->peer);
    if (!succ && !id_eq(&l->peer, &r->z.prdc))
        return;
    if (id_is_zero(&e->coordinator)) {
        if (!e->participant && e->until_us == 0)
            begin(r);
        else if (!e->participant)
            (void)take_over(r);
        return;
    }
    if (!differs(r)) {
        e->differ_us = 0;
    } else if (e->differ_us == 0 && !e->participant) {
        e->differ_us = r->now;
        ring__wake(r, PART_ELECT, r->now + r->cfg.stabilise_us);
    }
}

void elect_dead(struct ring *r, const struct peal_id *id)
{
    struct elect *e = &r->elect;
    if (!ring__is_member(r))
        return;
    /* It is named until another is: it may only be this link that is gone, and then it will say so.
     */
    if (id_eq(id, &e->coordinator) && !e->participant)
        stand(r);
    else if (id_eq(id, &e->sent_to))
        send_again(r);
}

void elect_timer(struct ring *r)
{
    struct elect *e = &r->elect;
    if (!ring__is_member(r))
        return; /* elect_start comes when it is one */
    struct peal_id none = {{0}};
    if (ring__is_self(r, &e->coordinator) && !r->cfg.eligible) { /* no longer */
        set(r, &none);
        stand(r);
        return;
    }
    if (id_is_zero(&e->coordinator) && !e->participant && e->until_us == 0) {
        begin(r);
        return;
    }
    bool waits = (e->participant || id_is_zero(&e->coordinator)) && e->until_us != 0;
    if (waits && r->now >= e->until_us) {
        if (e->participant || !take_over(r))
            stand(r);
    } else if (waits) {
        ring__wake(r, PART_ELECT, e->until_us);
    } else if (e->differ_us != 0 && r->now < e->differ_us + r->cfg.stabilise_us) {
        ring__wake(r, PART_ELECT, e->differ_us + r->cfg.stabilise_us);
    } else if (e->differ_us != 0) {
        e->differ_us = 0;
        if (differs(r))
            stand(r);
    }
}

/* ---- messages ---- */

static void win(struct ring *r)
{
    CHECK(r->cfg.eligible);
    set(r, &r->self.id);
    announce(r);
}

void ring__on_elect(struct ring *r, struct link *l, const struct wire_r_elect *m)
{
    CHECK(l->hello);
    if (m->hops == 0) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a candidature that made no hop");
        return;
    }
    if (!ring__is_member(r) || m->hops > hops_max(r))
        return;
    struct elect *e = &r->elect;
    if (ring__is_self(r, &e->coordinator)) { /* somebody took it for dead */
        announce(r);
        return;
    }
    if (died_lately(r, &m->candidate)) { /* it would come back to nobody */
        if (!e->participant)
            stand(r);
        return;
    }
    switch (elect_judge(&r->self.id, r->cfg.eligible, e->participant, &m->candidate)) {
    case ELECT_PASS:
        take_part(r);
        send_elect(r, &m->candidate, m->hops + 1);
        break;
    case ELECT_STAND:
        stand(r);
        break;
    case ELECT_WON:
        win(r);
        break;
    case ELECT_SWALLOW:
        break;
    }
}

void ring__on_elected(struct ring *r, struct link *l, const struct wire_r_elected *m)
{
    CHECK(l->hello);
    if (m->hops == 0 || id_is_zero(&m->coordinator)) {
        ring__drop(r, l, PEAL_E_MALFORMED, "an announcement of nobody");
        return;
    }
    struct elect *e = &r->elect;
    if (!ring__is_member(r) || m->hops > hops_max(r) || ring__is_self(r, &m->coordinator))
        return;
    if (ring__is_self(r, &e->coordinator) && id_cmp(&r->self.id, &m->coordinator) < 0) {
        announce(r); /* both cannot stay: the lower does */
        return;
    }
    bool lower = !id_is_zero(&e->coordinator) && id_cmp(&e->coordinator, &m->coordinator) < 0 &&
                 !died_since(r, &e->coordinator, e->since_ms);
    if (lower && !e->participant)
        return; /* if this node's were dead, the other's candidature would have come by */
    if (died_lately(r, &m->coordinator)) {
        if (!e->participant)
            stand(r);
        return;
    }
    struct peal_id coordinator = m->coordinator;
    set(r, &coordinator);
    send_elected(r, &coordinator, m->hops + 1);
}
