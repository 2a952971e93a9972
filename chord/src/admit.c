/* admit: the proposer of epochs. The coordinator, elected on the overlay's ring (peal/ring.h),
 * admits one server at a time and only when all live members are ready; two coordinators at once
 * are harmless, since Paxos decides.
 *
 *   IDLE --someone asks--> PREPARE --majority promised--> NEWCOMER --it accepted--> ACCEPT
 *    ^                                                                                |
 *    +-------------------majorities of the old and of the new roster------------------+
 *
 * The newcomer accepts first: one that dies in between then leaves nothing behind that a majority
 * would have to wait for. An epoch that admits nobody (unite.c, remove.c) goes from PREPARE to
 * ACCEPT. A member that has lost its state is renewed: an epoch with the same members, which it
 * accepts first. */
#include "inner.h"

#include <stdio.h>
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

static void remember(struct chord *c, const struct peal_id *id, bool lost,
                     const struct domain *domain)
{
    struct admit *free = NULL;
    for (size_t i = 0; i < ADMITS_MAX; i++) {
        struct admit *a = &c->admits[i];
        bool live = a->until_us > c->now;
        if (live && id_eq(&a->id, id)) {
            a->until_us = c->now + ADMIT_WAIT_US;
            a->lost = lost;
            a->domain = *domain;
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
        *free = (struct admit){
            .id = *id, .lost = lost, .domain = *domain, .until_us = c->now + ADMIT_WAIT_US};
        want(c, id, true);
    }
}

void on_admit(struct chord *c, const struct source *src, const struct wire_n_admit *m)
{
    struct domain domain;
    if (c->roster.epoch == 0 || roster_sealed(&c->roster))
        return;
    if (domain_take(&domain, m->domain) < 0) {
        ring_refuse(c->ring, c->ev, c->u, &src->id, PEAL_E_MALFORMED, "that is no failure domain");
        return;
    }
    if (is_self(c, &m->contact.id) || ring_learn(c->ring, c->ev, c->u, &m->contact) < 0)
        return;
    struct peer *p = peer_met(c, &m->contact.id);
    if (p == NULL)
        return;
    if (id_eq(&p->id, &src->id))
        p->ring = (struct ring_mark){0};
    p->met_us = 0;
    bool in = roster_has(&c->roster, &p->id);
    if (in && m->lost < c->roster.epoch) {
        roster_tell(c, src); /* it may have been admitted, or renewed, by this one */
        return;
    }
    if (!id_eq(&c->coordinator, &c->cfg.self)) {
        struct wire_n_admit on = *m;
        if (!id_eq(&src->id, &c->coordinator) && !id_is_zero(&c->coordinator))
            (void)send_to(c, &c->coordinator, WIRE_n_admit, &on);
        return;
    }
    remember(c, &p->id, in, &domain);
    admit_timer(c);
}

/* ---- what can be copied ---- */

static bool homes_change(const struct roster *was, size_t old, const struct roster *v, size_t arc,
                         const struct peal_id *gone)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t n = arc_home(v, arc, home);
    bool change = arc_has(was, old, gone) || spare(n) < spare(roster_copies(was));
    for (size_t i = 0; i < n; i++)
        change = change || !arc_has(was, old, &home[i]);
    return change;
}

bool can_copy(const struct chord *c, const struct roster *v, const struct peal_id *gone,
              char why[static WIRE_TEXT_MAX])
{
    const struct roster *was = &c->roster;
    bool renewed = roster_has(v, gone);
    for (size_t i = 0; i < v->n; i++) {
        struct part parts[PARTS_MAX];
        struct peal_id from = arc_from(v, i), home[CHORD_REPLICAS_MAX + 1];
        size_t n = roster_parts(was, &from, &v->members[i], parts);
        for (size_t k = 0; k < n; k++) {
            size_t homes = arc_home(was, parts[k].arc, home), live = 0, need = spare(homes) + 1;
            if (!homes_change(was, parts[k].arc, v, i, gone) || (renewed && homes == 1))
                continue;
            for (size_t h = 0; h < homes; h++)
                live += !id_eq(&home[h], gone) && is_up(c, &home[h]);
            char a[9], b[9];
            if (live >= need)
                continue;
            (void)snprintf(why, WIRE_TEXT_MAX,
                           "of the keys from %s to %s only %zu of %zu copies are at other servers "
                           "that are up, and %zu are needed",
                           short_id(&parts[k].from, a), short_id(&parts[k].upto, b), live, homes,
                           need);
            return false;
        }
    }
    return true;
}

/* Of one arc whose homes are `homes` now and `next` then: whether a majority serves it now, and too
 * few could then, until those who are new have copied, since one of the others is away; which one.
 */
static const struct peal_id *missed(const struct chord *c, const struct peal_id *homes, size_t n,
                                    const struct peal_id *next, size_t next_n)
{
    const struct peal_id *away = NULL;
    size_t now = 0, then = 0, more = 0, more_up = 0;
    for (size_t i = 0; i < n; i++)
        now += is_up(c, &homes[i]);
    for (size_t i = 0; i < next_n; i++) {
        bool old = false, up = is_up(c, &next[i]);
        for (size_t k = 0; k < n; k++)
            old = old || id_eq(&homes[k], &next[i]);
        then += old && up;
        more += !old;
        more_up += !old && (up || !roster_has(&c->roster, &next[i]));
        if (old && !up)
            away = &next[i];
    }
    if (spare(n) + more < majority(next_n)) /* they vote at once (copy.c) */
        then += more_up;
    return now >= majority(n) && then < majority(next_n) ? away : NULL;
}

/* It left in good order, not long ago: it is being restarted, as likely as not. */
static bool will_be_back(const struct chord *c, const struct peal_id *id)
{
    const struct peer *p = peer_of_const(c, id);
    return p != NULL && p->leaving && c->now - p->heard_us < AWAY_US;
}

/* Whether v would take keys out of service that are served now, and not if it came when somebody is
 * back (any: whoever that is; else only who will be); if so, says who, for people. */
static bool should_wait(const struct chord *c, const struct roster *v, bool any,
                        char why[static WIRE_TEXT_MAX])
{
    for (size_t i = 0; i < v->n; i++) {
        struct part parts[PARTS_MAX];
        struct peal_id from = arc_from(v, i), home[CHORD_REPLICAS_MAX + 1],
                       next[CHORD_REPLICAS_MAX + 1];
        size_t n = roster_parts(&c->roster, &from, &v->members[i], parts);
        size_t next_n = arc_home(v, i, next);
        for (size_t k = 0; k < n; k++) {
            size_t homes = arc_home(&c->roster, parts[k].arc, home);
            const struct peal_id *away = missed(c, home, homes, next, next_n);
            if (away == NULL || (!any && !will_be_back(c, away)))
                continue;
            char id[9], a[9], b[9];
            (void)snprintf(why, WIRE_TEXT_MAX,
                           "%s is down: the keys from %s to %s could not be served until they are "
                           "copied",
                           short_id(away, id), short_id(&parts[k].from, a),
                           short_id(&parts[k].upto, b));
            return true;
        }
    }
    return false;
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

static struct roster with_member(const struct roster *r, const struct peal_id *id,
                                 const struct domain *domain)
{
    struct roster v = *r;
    size_t at = 0;
    CHECK(r->n < WIRE_ROSTER_MAX && !roster_has(r, id));
    while (at < v.n && id_cmp(&v.members[at], id) < 0)
        at++;
    memmove(&v.members[at + 1], &v.members[at], (v.n - at) * sizeof v.members[0]);
    memmove(&v.domains[at + 1], &v.domains[at], (v.n - at) * sizeof v.domains[0]);
    v.members[at] = *id;
    v.n++;
    v.epoch++;
    roster_place(&v, at, domain);
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
                                              .lost = q->lost,
                                              .roster = roster_view(&value, members)};
        (void)request(c, &voters.members[i], type, &m);
    }
}

/* The round of this node's next ballot. */
static uint64_t next_round(const struct chord *c)
{
    return 1 + (c->round > c->promised.round ? c->round : c->promised.round);
}

bool may_propose(const struct chord *c)
{
    return next_round(c) >> ROSTER_ROUND_BITS == 0 && c->prop.phase == PROPOSE_IDLE &&
           c->state == CHORD_MEMBER && id_eq(&c->coordinator, &c->cfg.self) && c->store_err >= 0 &&
           all_ready(c);
}

void propose(struct chord *c, const struct roster *value, const struct peal_id *newcomer, bool lost)
{
    CHECK(may_propose(c) && value->epoch == c->roster.epoch + 1);
    struct propose *q = &c->prop;
    c->round = next_round(c);
    *q = (struct propose){.phase = PROPOSE_PREPARE,
                          .ballot = {.round = c->round, .node = c->cfg.self},
                          .value = *value,
                          .newcomer = *newcomer,
                          .until_us = c->now + jitter(c, PROPOSE_WAIT_US)};
    if (lost)
        q->lost = *newcomer;
    ask_all(c, &c->roster, WIRE_n_roster_prepare);
}

/* Of one that says it has promised more than half of the rounds this node does not learn to count:
 * one word would use up the others. */
static void give_up(struct chord *c, uint64_t promised)
{
    if (promised > c->round && promised >> (ROSTER_ROUND_BITS - 1) == 0)
        c->round = promised;
    c->prop.phase = PROPOSE_IDLE;
}

/* Whether it could be proposed. */
static bool admit_one(struct chord *c, const struct admit *a, bool in)
{
    char why[WIRE_TEXT_MAX], id[9];
    struct peal_id nobody = {{0}}, who = a->id;
    struct roster value = c->roster;
    if (in)
        value.epoch++;
    else
        value = with_member(&c->roster, &who, &a->domain);
    if (can_copy(c, &value, in ? &who : &nobody, why) &&
        (in || !should_wait(c, &value, false, why))) {
        propose(c, &value, &who, in);
        return true;
    }
    if (c->now >= c->waiting_us) {
        c->waiting_us = c->now + WAITING_SAY_US;
        step_trace(c->u, STEP_WARN, "waiting", "%s cannot be %s now: %s", short_id(&who, id),
                   in ? "renewed" : "admitted", why);
    }
    return false;
}

/* A member that says that it is in another failure domain than the roster has it. There is no
 * hurry: that costs no key its service. */
static void move_one(struct chord *c)
{
    char why[WIRE_TEXT_MAX], id[9];
    const struct peal_id nobody = {{0}};
    for (size_t i = 0; i < c->roster.n; i++) {
        const struct peal_id *who = &c->roster.members[i];
        const struct peer *p = is_self(c, who) ? NULL : peer_of_const(c, who);
        if (p != NULL ? !p->up || !p->state_known : !is_self(c, who))
            continue;
        const struct domain *d = p != NULL ? &p->domain : &c->domain;
        struct roster v = c->roster;
        v.epoch++;
        roster_place(&v, i, d);
        if (domain_eq(d, &c->roster.domains[i]) || !can_copy(c, &v, &nobody, why) ||
            should_wait(c, &v, true, why))
            continue;
        step_trace(c->u, STEP_INFO, "domain", "%s is to be in domain \"%.*s\"", short_id(who, id),
                   (int)domain_name(d).n, (const char *)domain_name(d).p);
        propose(c, &v, &nobody, false);
        return;
    }
}

bool chord_is_needed(const struct chord *c)
{
    if ((c->state != CHORD_MEMBER && c->state != CHORD_COPYING) || c->store_err < 0)
        return false;
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct peal_id home[CHORD_REPLICAS_MAX + 1];
        size_t homes = arc_home(&c->roster, c->arcs[i].index, home), others = 0;
        bool copies = false;
        if (!ready_for(c, &c->arcs[i].upto))
            continue;
        for (size_t k = 0; k < homes; k++) {
            const struct peer *p = peer_of_const(c, &home[k]);
            if (p == NULL || !p->up)
                continue;
            bool ready = p->state_known && p->state.epoch == c->roster.epoch &&
                         p->state.ready_epoch == c->roster.epoch;
            others += ready;
            copies = copies || !ready;
        }
        if (copies && others + 1 == majority(homes))
            return true;
    }
    return false;
}

void admit_timer(struct chord *c)
{
    struct propose *q = &c->prop;
    if (q->phase != PROPOSE_IDLE) {
        if (c->now < q->until_us)
            return;
        give_up(c, 0);
    }
    if (c->roster.epoch == 0 || !may_propose(c))
        return;
    for (size_t i = 0; i < ADMITS_MAX; i++) {
        struct admit *a = &c->admits[i];
        if (a->until_us <= c->now)
            continue;
        const struct peer *p = peer_of(c, &a->id);
        bool in = roster_has(&c->roster, &a->id), here = p != NULL && p->linked;
        if (in && !a->lost)
            a->until_us = 0;
        else if (here && (in || c->roster.n < WIRE_ROSTER_MAX) && admit_one(c, a, in))
            return;
    }
    move_one(c);
}

static size_t yes_in(const struct propose *q, const struct roster *r)
{
    size_t n = 0;
    for (size_t i = 0; i < q->value.n; i++)
        n += q->yes[i] && roster_has(r, &q->value.members[i]);
    return n;
}

/* Of those who have promised, or accepted. A majority; or, since the lost one has forgotten its
 * votes, so many of the others that each majority has one of them in it, whether the lost one was
 * in it or not. Promises: else what a majority has accepted could be missed. Acceptances: else
 * another coordinator with a higher ballot, which the lost one may have promised, could have a
 * majority that has only the lost one in common with those who accept this. */
static bool enough(const struct chord *c)
{
    const struct propose *q = &c->prop;
    size_t n = yes_in(q, &c->roster), at = roster_index(&q->value, &q->lost);
    if (id_is_zero(&q->lost))
        return n >= majority(c->roster.n);
    n -= at < q->value.n && q->yes[at];
    return n >= c->roster.n - majority(c->roster.n) + 1;
}

void on_roster_promise(struct chord *c, const struct source *src,
                       const struct wire_n_roster_promise *m)
{
    struct propose *q = &c->prop;
    size_t at = roster_index(&q->value, &src->id);
    if (!roster_ballot_sound(c, src, &m->promised) || !roster_ballot_sound(c, src, &m->accepted))
        return;
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
    if (!enough(c))
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

/* What another coordinator had begun takes this node out. */
static void decide_without_self(struct chord *c, const struct roster *value)
{
    struct peal_id members[ROSTER_IDS];
    for (size_t i = 0; i < value->n; i++) {
        struct wire_n_roster m = {.roster = roster_view(value, members)};
        (void)send_to(c, &value->members[i], WIRE_n_roster, &m);
    }
    roster_offered(c, NULL, value, false);
}

static void decide(struct chord *c)
{
    struct roster value = c->prop.value;
    struct peal_id newcomer = c->prop.newcomer;
    char id[9];
    bool lost = !id_is_zero(&newcomer) && roster_has(&c->roster, &newcomer);
    if (!id_is_zero(&newcomer))
        step_trace(c->u, STEP_INFO, "admitted", "%s is %s in epoch %llu", short_id(&newcomer, id),
                   lost ? "renewed" : "admitted", (unsigned long long)value.epoch);
    for (size_t i = 0; i < c->roster.n; i++)
        if (!roster_has(&value, &c->roster.members[i]))
            step_trace(c->u, STEP_WARN, "removed", "%s is taken out in epoch %llu",
                       short_id(&c->roster.members[i], id), (unsigned long long)value.epoch);
    for (size_t i = 0; i < ADMITS_MAX; i++)
        if (id_eq(&c->admits[i].id, &newcomer))
            c->admits[i].until_us = 0;
    if (!roster_has(&value, &c->cfg.self)) {
        decide_without_self(c, &value);
        return;
    }
    roster_adopt(c, &value);
    roster_tell_all(c);
}

void on_roster_accepted(struct chord *c, const struct source *src,
                        const struct wire_n_roster_accepted *m)
{
    struct propose *q = &c->prop;
    size_t at = roster_index(&q->value, &src->id);
    if (!roster_ballot_sound(c, src, &m->promised))
        return;
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
    if (enough(c) && yes_in(q, &q->value) >= majority(q->value.n))
        decide(c);
}
