/* found: how a node that is in no ring finds one or founds it, and how two rings founded at once
 * become one.
 *
 * A node without a roster says beacons and listens. When anyone it hears has a ring it asks to be
 * admitted there. When nobody has, after a while, the lowest id of those present founds a ring of
 * itself; a node that was told how many to expect waits until so many are present, so that of
 * exactly so many, started in any order, exactly one founds. Without that two may do so at once (a
 * lost packet): a ring of one that holds nothing yet dissolves itself on meeting another. Rings
 * that hold something unite (unite.c). */
#include "inner.h"

#include <string.h>

bool same_ring(const struct chord *c, const struct peer *p)
{
    return c->roster.epoch != 0 && id_eq(&p->ring.id, &c->roster.ring);
}

/* ---- beacons ---- */

static struct wire_contact own_contact(const struct chord *c)
{
    struct wire_contact w;
    int err = ring_contact(c->ring, &c->cfg.self, &w);
    CHECK(err == 0);
    return w;
}

void say_beacon(struct chord *c)
{
    struct wire_m_beacon b = {.contact = own_contact(c),
                              .ring = c->roster.ring,
                              .epoch = c->roster.epoch,
                              .size = (uint32_t)c->roster.n};
    step_beacon(c->u, &b);
}

static bool beacon_mine(const struct chord *c)
{
    if (!c->cfg.discovery)
        return false;
    if (c->state == CHORD_DISCOVERING || c->state == CHORD_ASKING)
        return true;
    return c->state == CHORD_MEMBER && id_eq(&c->coordinator, &c->cfg.self);
}

/* The overlay has learned the contact, and dials it when there is need. */
void on_beacon(struct chord *c, const struct wire_m_beacon *b)
{
    struct wire_contact known;
    if (ring_contact(c->ring, &b->contact.id, &known) < 0 ||
        b->contact.incarnation < known.incarnation)
        return;
    struct peer *p = peer_met(c, &b->contact.id);
    if (p == NULL)
        return;
    p->heard_us = c->now;
    p->ring = (struct ring_mark){.id = b->ring, .epoch = b->epoch, .size = b->size};
    if (b->epoch == 0)
        p->ring = (struct ring_mark){0};
    ring_met(c, p);
}

/* ---- two rings ---- */

bool any_key(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    (void)key;
    (void)value;
    *(bool *)ctx = true;
    return false;
}

static bool holds_nothing(const struct chord *c)
{
    bool any = false;
    int err = c->rd->scan(c->rd->ctx, STEP_REGISTERS, (struct peal_bytes){0},
                          (struct peal_bytes){0}, 1, any_key, &any);
    if (err == 0 && !any)
        err = c->rd->scan(c->rd->ctx, STEP_ROWS, (struct peal_bytes){0}, (struct peal_bytes){0}, 1,
                          any_key, &any);
    return err == 0 && !any;
}

static bool dissolvable(const struct chord *c)
{
    return c->state == CHORD_MEMBER && c->roster.n == 1 && c->accepted.round == 0 &&
           c->prop.phase == PROPOSE_IDLE && c->roster.takes_n == 0 && c->regs.used == 0 &&
           c->puts.used == 0 && c->reads.used == 0 && holds_nothing(c);
}

static void dissolve(struct chord *c, const struct peer *p)
{
    char mine[9], theirs[9];
    step_trace(c->u, STEP_INFO, "dissolved", "the empty ring %s gives way to %s",
               short_id(&c->roster.ring, mine), short_id(&p->ring.id, theirs));
    c->of = (struct peal_id){{0}};
    roster_leave(c);
}

/* What it belongs to has not ended. */
static bool in_a_ring(struct chord *c, const struct peer *p)
{
    return p->ring.epoch != 0 && former_of(c, &p->ring.id) == NULL;
}

void ring_met(struct chord *c, struct peer *p)
{
    const struct former *gone = p->ring.epoch != 0 ? former_of(c, &p->ring.id) : NULL;
    if (gone != NULL) {
        if (p->linked && p->ring.epoch < gone->roster.epoch)
            former_tell(c, gone, &p->id);
        return;
    }
    if (p->ring.epoch == 0 || c->roster.epoch == 0 || same_ring(c, p)) {
        p->met_us = 0;
        if (p->ring.epoch != 0 && c->state == CHORD_DISCOVERING) {
            set_state(c, CHORD_ASKING);
            c->ask_us = c->now;
        }
        return;
    }
    if (p->met_us == 0)
        p->met_us = c->now;
    bool larger = p->ring.size > c->roster.n;
    bool equal_first = p->ring.size == c->roster.n && id_cmp(&p->ring.id, &c->roster.ring) < 0;
    bool waited = c->now - p->met_us >= YIELD_US;
    if ((larger || equal_first || waited) && dissolvable(c)) {
        dissolve(c, p);
        return;
    }
    unite_heard(c, p);
}

/* ---- asking and founding ---- */

static bool present(const struct chord *c, const struct peer *p)
{
    return p->used && (p->linked || (p->heard_us != 0 && c->now - p->heard_us < HEARD_US));
}

static size_t joins_elsewhere(const struct chord *c)
{
    size_t n = 0;
    struct peal_id who;
    for (size_t i = 0; i < c->joins_n; i++)
        n += !ring_join_answered(c->ring, i, &who) || !is_self(c, &who);
    return n;
}

static bool join_answers(struct chord *c)
{
    struct peal_id who;
    for (size_t i = 0; i < c->joins_n; i++) {
        const struct peer *p = ring_join_answered(c->ring, i, &who) ? peer_of(c, &who) : NULL;
        if (p != NULL && present(c, p))
            return true;
    }
    return false;
}

/* A ring was heard of that cannot be reached now: to found another would be to live beside it for
 * ever. One who was told whom to join waits for it as long as it runs. */
static bool ring_remembered(struct chord *c, bool joining)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *p = &c->peers[i];
        if (p->used && in_a_ring(c, p) && (joining || c->now - p->heard_us < RING_MEMORY_US))
            return true;
    }
    return false;
}

static void found(struct chord *c)
{
    struct roster r = {.ring = c->cfg.self, .epoch = 1, .replicas = c->cfg.replicas, .n = 1};
    r.members[0] = c->cfg.self;
    roster_place(&r, 0, &c->domain);
    memset(&c->accepted, 0, sizeof c->accepted); /* a ring that would have admitted it is gone */
    memset(&c->proposal, 0, sizeof c->proposal);
    roster_adopt(c, &r);
    CHECK(c->state == CHORD_MEMBER);
    char id[9];
    step_trace(c->u, STEP_INFO, "founded", "a ring of one, %s", short_id(&r.ring, id));
    roster_tell_all(c);
    if (c->cfg.discovery)
        say_beacon(c);
}

static void say_waiting(struct chord *c)
{
    if (c->now < c->waiting_us)
        return;
    c->waiting_us = c->now + WAITING_SAY_US;
    if (c->formers_n > 0) {
        char ring[9];
        step_trace(c->u, STEP_WARN, "waiting",
                   "waiting for ring %s, into which this node's ring has gone",
                   short_id(&c->formers[c->formers_n - 1].roster.into, ring));
        return;
    }
    if (!id_is_zero(&c->of)) {
        char ring[9];
        step_trace(c->u, STEP_WARN, "waiting", "waiting for ring %s, whose records this node has",
                   short_id(&c->of, ring));
        return;
    }
    if (joins_elsewhere(c) == 0)
        step_trace(c->u, STEP_WARN, "waiting",
                   "waiting for the ring that was here, which does not answer");
    struct peal_id who;
    for (size_t i = 0; i < c->joins_n; i++)
        if (!ring_join_answered(c->ring, i, &who) || !is_self(c, &who))
            step_trace(c->u, STEP_WARN, "waiting", "waiting for %.*s, which does not answer",
                       (int)c->joins[i].n, (const char *)c->joins[i].address);
}

static void say_expecting(struct chord *c, size_t here)
{
    if (c->now < c->waiting_us)
        return;
    c->waiting_us = c->now + WAITING_SAY_US;
    step_trace(c->u, STEP_INFO, "waiting",
               "%zu of the %u servers that are to found the ring are here", here, c->cfg.expect);
}

static void discover(struct chord *c)
{
    bool lowest = true;
    size_t here = 1;
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *p = &c->peers[i];
        if (!present(c, p))
            continue;
        if (in_a_ring(c, p)) {
            set_state(c, CHORD_ASKING);
            c->ask_us = c->now;
            return;
        }
        here++;
        if (id_cmp(&p->id, &c->cfg.self) < 0)
            lowest = false;
    }
    bool joining = joins_elsewhere(c) > 0;
    uint64_t window = joining ? JOIN_WINDOW_US : c->cfg.discovery ? DISCOVERY_US : 0;
    if (c->now - c->start_us < window)
        return;
    if (c->formers_n > 0 || c->distrusted || c->lost != 0 || !id_is_zero(&c->of) ||
        (joining && !join_answers(c)) || ring_remembered(c, joining)) {
        say_waiting(c);
        return;
    }
    if (here < c->cfg.expect) {
        say_expecting(c, here);
        return;
    }
    bool promised = c->accepted.round != 0 && c->now - c->proposal_us < PROPOSAL_HOLD_US;
    if (lowest &&
        !promised) /* a node that another ring may have admitted waits for that ring first */
        found(c);
}

/* Whether it is the one to ask: any that has a ring, but by one whose ring has gone into another
 * that one, for a while. */
static bool to_ask(struct chord *c, const struct peer *p)
{
    if (!in_a_ring(c, p) || c->strange)
        return false;
    if (!id_is_zero(&c->of)) /* its registers are that ring's */
        return id_eq(&p->ring.id, &c->of);
    if (c->formers_n == 0 || c->now - c->moved_us > UNITE_ANY_US)
        return true;
    for (size_t i = 0; i < c->formers_n; i++)
        if (id_eq(&p->ring.id, &c->formers[i].roster.into))
            return true;
    return false;
}

/* Asks one node that has a ring, another one each time. */
static void ask(struct chord *c)
{
    size_t n = 0, others = 0;
    struct peer *chosen = NULL, *other = NULL;
    bool known = false;
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (!p->used || !in_a_ring(c, p))
            continue;
        known = known || present(c, p);
        if (p->linked && !to_ask(c, p) && rng_below(&c->rng, ++others) == 0)
            other = p;
        if (!p->linked || !to_ask(c, p))
            continue;
        n++;
        if (rng_below(&c->rng, n) == 0)
            chosen = p;
    }
    if (chosen != NULL) {
        struct wire_n_admit m = {
            .contact = own_contact(c), .domain = domain_name(&c->domain), .lost = c->lost};
        (void)send_to(c, &chosen->id, WIRE_n_admit, &m);
    } else if (other != NULL && !id_is_zero(&c->of)) { /* has it gone into that one's ring? */
        struct wire_n_former m = {.ring = c->of};
        (void)send_to(c, &other->id, WIRE_n_former, &m);
        say_waiting(c);
    } else if (!known && c->now - c->ask_us > 2 * HEARD_US) {
        set_state(c, CHORD_DISCOVERING);
        c->start_us = c->now;
        return;
    } else {
        return; /* ask_us stands still: it says since when nobody is there */
    }
    uint64_t wait = ASK_FIRST_US;
    for (uint32_t i = 0; i < c->asks && wait < ASK_MOST_US; i++)
        wait *= 2;
    c->asks++;
    c->ask_us = c->now + jitter(c, wait < ASK_MOST_US ? wait : ASK_MOST_US);
}

void found_start(struct chord *c)
{
    c->start_us = c->beacon_us = c->moved_us = c->now;
    c->waiting_us = c->now + WAITING_SAY_US;
}

void found_timer(struct chord *c)
{
    if (c->state == CHORD_DISCOVERING)
        discover(c);
    if (c->state == CHORD_ASKING && c->now >= c->ask_us)
        ask(c);
    if (c->now >= c->beacon_us && beacon_mine(c)) {
        say_beacon(c);
        bool seek = c->roster.epoch == 0;
        c->beacon_us = c->now + jitter(c, seek ? BEACON_SEEK_US : BEACON_RING_US);
    }
    if (c->roster.n != 1 || c->roster.epoch == 0)
        return;
    for (size_t i = 0; i < c->peers_n && c->roster.epoch != 0; i++) {
        struct peer *p = &c->peers[i];
        if (p->used && p->met_us != 0 && present(c, p))
            ring_met(c, p);
    }
}
