/* admit: the proposer of epochs. The coordinator, elected on the overlay's ring (peal/ring.h),
 * admits one server at a time and only when all live members are ready; two coordinators at once
 * are harmless, since Paxos decides.
 *
 *   IDLE --someone asks--> PREPARE --majority promised--> NEWCOMER --it accepted--> ACCEPT
 *    ^                                                                                |
 *    +-------------------majorities of the old and of the new roster------------------+
 *
 * The newcomer accepts first: one that dies in between then leaves nothing behind that a majority
 * would have to wait for. An epoch that admits nobody (unite.c) goes from PREPARE to ACCEPT. */
#include "inner.h"

#include <string.h>

void coordinator_update(struct chord *c)
{
    struct ring_view v;
    ring_set_eligible(c->ring, c->state == CHORD_MEMBER || c->state == CHORD_COPYING);
    ring_look(c->ring, &v);
    struct peal_id now = {{0}}, live[WIRE_ROSTER_MAX];
    if (roster_has(&c->roster, &v.coordinator))
        now = v.coordinator;
    else if (!id_is_zero(&v.coordinator) && live_members(c, live) > 0)
        now = live[0]; /* the overlay has elected one of another ring: two that are to unite */
    if (id_eq(&now, &c->coordinator))
        return;
    c->coordinator = now;
    c->changed = c->state_news = true;
    char id[9];
    if (id_is_zero(&now))
        return;
    step_trace(c->u, STEP_INFO, "coordinator", "%s is the coordinator%s", short_id(&now, id),
               is_self(c, &now) ? " (this node)" : "");
}

/* ---- who asks ---- */

static void remember(struct chord *c, const struct peal_id *id)
{
    struct admit *free = NULL;
    for (size_t i = 0; i < ADMITS_MAX; i++) {
        struct admit *a = &c->admits[i];
        bool live = a->until_us > c->now;
        if (live && id_eq(&a->id, id)) {
            a->until_us = c->now + ADMIT_WAIT_US;
            return;
        }
        if (!live && !id_is_zero(&a->id)) {
            if (!roster_has(&c->roster, &a->id))
                want(c, &a->id, false);
            a->id = (struct peal_id){{0}};
        }
        if (!live && free == NULL)
            free = a;
    }
    if (free != NULL) /* else it asks again */
    {
        *free = (struct admit){.id = *id, .until_us = c->now + ADMIT_WAIT_US};
        want(c, id, true);
    }
}

void on_admit(struct chord *c, const struct source *src, const struct wire_n_admit *m)
{
    if (c->roster.epoch == 0 || roster_sealed(&c->roster))
        return;
    if (is_self(c, &m->contact.id) || ring_learn(c->ring, c->ev, c->u, &m->contact) < 0)
        return;
    struct peer *p = peer_met(c, &m->contact.id);
    if (p == NULL)
        return;
    if (id_eq(&p->id, &src->id))
        p->ring = (struct ring_mark){0};
    p->met_us = 0;
    if (roster_has(&c->roster, &p->id)) {
        roster_tell(c, src);
        return;
    }
    if (!id_eq(&c->coordinator, &c->cfg.self)) {
        struct wire_n_admit on = *m;
        if (!id_eq(&src->id, &c->coordinator) && !id_is_zero(&c->coordinator))
            (void)send_to(c, &c->coordinator, WIRE_n_admit, &on);
        return;
    }
    remember(c, &p->id);
    admit_timer(c);
}

/* ---- proposing ---- */

static bool all_ready(const struct chord *c)
{
    if (c->state != CHORD_MEMBER)
        return false;
    for (size_t i = 0; i < c->roster.n; i++) {
        const struct peal_id *id = &c->roster.members[i];
        if (is_self(c, id) || !is_up(c, id))
            continue;
        const struct peer *p = peer_of_const(c, id);
        CHECK(p != NULL);
        if (!p->state_known || p->state.epoch != c->roster.epoch ||
            p->state.ready_epoch != c->roster.epoch)
            return false;
    }
    return true;
}

static struct roster with_member(const struct roster *r, const struct peal_id *id)
{
    struct roster v = *r;
    size_t at = 0;
    CHECK(r->n < WIRE_ROSTER_MAX && !roster_has(r, id));
    while (at < v.n && id_cmp(&v.members[at], id) < 0)
        at++;
    memmove(&v.members[at + 1], &v.members[at], (v.n - at) * sizeof v.members[0]);
    v.members[at] = *id;
    v.n++;
    v.epoch++;
    return v;
}

static void ask_all(struct chord *c, const struct roster *whom, uint16_t type)
{
    struct propose *q = &c->prop;
    struct roster voters =
        *whom; /* this node's own vote may change the state while we go through it */
    struct roster value = q->value, base = c->roster;
    struct peal_id members[ROSTER_IDS];
    struct wire_ballot ballot = q->ballot;
    for (size_t i = 0; i < voters.n; i++) {
        union wire_any m;
        memset(&m, 0, sizeof m);
        if (type == WIRE_n_roster_prepare)
            m.n_roster_prepare = (struct wire_n_roster_prepare){
                .epoch = base.epoch + 1, .ballot = ballot, .base = roster_view(&base, members)};
        else
            m.n_roster_accept =
                (struct wire_n_roster_accept){.epoch = value.epoch,
                                              .ballot = ballot,
                                              .newcomer = q->newcomer,
                                              .roster = roster_view(&value, members)};
        (void)request(c, &voters.members[i], type, &m);
    }
}

bool may_propose(const struct chord *c)
{
    return c->prop.phase == PROPOSE_IDLE && c->state == CHORD_MEMBER &&
           id_eq(&c->coordinator, &c->cfg.self) && c->store_err >= 0 && all_ready(c);
}

void propose(struct chord *c, const struct roster *value, const struct peal_id *newcomer)
{
    CHECK(may_propose(c) && value->epoch == c->roster.epoch + 1);
    struct propose *q = &c->prop;
    uint64_t round = c->round > c->promised.round ? c->round : c->promised.round;
    c->round = round + 1;
    *q = (struct propose){.phase = PROPOSE_PREPARE,
                          .ballot = {.round = c->round, .node = c->cfg.self},
                          .value = *value,
                          .newcomer = *newcomer,
                          .until_us = c->now + jitter(c, PROPOSE_WAIT_US)};
    ask_all(c, &c->roster, WIRE_n_roster_prepare);
}

static void give_up(struct chord *c, uint64_t promised)
{
    if (promised > c->round && promised < UINT64_MAX / 2)
        c->round = promised;
    c->prop.phase = PROPOSE_IDLE;
}

void admit_timer(struct chord *c)
{
    struct propose *q = &c->prop;
    if (q->phase != PROPOSE_IDLE) {
        if (c->now < q->until_us)
            return;
        give_up(c, 0);
    }
    if (c->roster.epoch == 0 || c->roster.n == WIRE_ROSTER_MAX || !may_propose(c))
        return;
    for (size_t i = 0; i < ADMITS_MAX; i++) {
        struct admit *a = &c->admits[i];
        if (a->until_us <= c->now)
            continue;
        const struct peer *p = peer_of(c, &a->id);
        if (roster_has(&c->roster, &a->id)) {
            a->until_us = 0;
        } else if (p != NULL && p->linked) {
            struct roster value = with_member(&c->roster, &a->id);
            propose(c, &value, &a->id);
            return;
        }
    }
}

static size_t yes_in(const struct propose *q, const struct roster *r)
{
    size_t n = 0;
    for (size_t i = 0; i < q->value.n; i++)
        n += q->yes[i] && roster_has(r, &q->value.members[i]);
    return n;
}

void on_roster_promise(struct chord *c, const struct source *src,
                       const struct wire_n_roster_promise *m)
{
    struct propose *q = &c->prop;
    size_t at = roster_index(&q->value, &src->id);
    if (q->phase != PROPOSE_PREPARE || ballot_cmp(&m->ballot, &q->ballot) != 0 || at == q->value.n)
        return;
    if (m->code != 0) {
        if (m->code == (uint16_t)-PEAL_E_REFUSED)
            give_up(c, m->promised.round);
        return;
    }
    struct roster seen;
    if (m->accepted.round != 0 && ballot_cmp(&m->accepted, &q->best) > 0 &&
        roster_take(&seen, &m->roster) == 0 && seen.epoch == c->roster.epoch + 1 &&
        id_eq(&seen.ring, &c->roster.ring)) {
        bool yes[VOTERS_MAX] = {false}; /* places move with the value */
        for (size_t i = 0; i < q->value.n; i++) {
            size_t to = roster_index(&seen, &q->value.members[i]);
            if (q->yes[i] && to < seen.n)
                yes[to] = true;
        }
        q->best = m->accepted;
        q->value = seen;
        q->newcomer = (struct peal_id){{0}};
        memcpy(q->yes, yes, sizeof yes);
        for (size_t i = 0; i < seen.n; i++)
            if (!roster_has(&c->roster, &seen.members[i]))
                q->newcomer = seen.members[i];
        at = roster_index(&q->value, &src->id);
        if (at == seen.n)
            return;
    }
    q->yes[at] = true;
    if (yes_in(q, &c->roster) < majority(c->roster.n))
        return;
    memset(q->yes, 0, sizeof q->yes);
    if (id_is_zero(&q->newcomer)) {
        q->phase = PROPOSE_ACCEPT;
        ask_all(c, &c->roster, WIRE_n_roster_accept);
        return;
    }
    q->phase = PROPOSE_NEWCOMER;
    struct roster one = {.n = 1};
    one.members[0] = q->newcomer;
    ask_all(c, &one, WIRE_n_roster_accept);
}

static void decide(struct chord *c)
{
    struct roster value = c->prop.value;
    struct peal_id newcomer = c->prop.newcomer;
    char id[9];
    if (!id_is_zero(&newcomer))
        step_trace(c->u, STEP_INFO, "admitted", "%s is admitted in epoch %llu",
                   short_id(&newcomer, id), (unsigned long long)value.epoch);
    roster_adopt(c, &value);
    roster_tell_all(c);
}

void on_roster_accepted(struct chord *c, const struct source *src,
                        const struct wire_n_roster_accepted *m)
{
    struct propose *q = &c->prop;
    size_t at = roster_index(&q->value, &src->id);
    if ((q->phase != PROPOSE_NEWCOMER && q->phase != PROPOSE_ACCEPT) ||
        ballot_cmp(&m->ballot, &q->ballot) != 0 || at == q->value.n)
        return;
    if (m->code != 0) {
        if (m->code == (uint16_t)-PEAL_E_REFUSED)
            give_up(c, m->promised.round);
        return;
    }
    q->yes[at] = true;
    if (q->phase == PROPOSE_NEWCOMER) {
        q->phase = PROPOSE_ACCEPT;
        ask_all(c, &c->roster, WIRE_n_roster_accept);
        return;
    }
    if (yes_in(q, &c->roster) >= majority(c->roster.n) &&
        yes_in(q, &q->value) >= majority(q->value.n))
        decide(c);
}
