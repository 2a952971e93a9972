/* roster: the admitted servers, sorted, and what follows from them alone: homes and arcs. Each
 * epoch is decided by single-decree Paxos (Lamport): promises from a majority of the roster before
 * it, acceptances from majorities of that one and of the proposed one. A node that adopts an epoch
 * seals the one before: it refuses that one's operations. */
#include "inner.h"

#include <string.h>

static const char ROSTER_KEY[] = "roster", FRESH_KEY[] = "fresh", DISTRUST_KEY[] = "distrust";

int ballot_cmp(const struct wire_ballot *a, const struct wire_ballot *b)
{
    if (a->round != b->round)
        return a->round < b->round ? -1 : 1;
    return id_cmp(&a->node, &b->node);
}

struct wire_roster roster_view(const struct roster *r, struct peal_id buf[static ROSTER_IDS])
{
    memcpy(buf, r->members, r->n * sizeof buf[0]);
    memcpy(buf + r->n, r->takes, r->takes_n * sizeof buf[0]);
    return (struct wire_roster){
        .ring = r->ring,
        .epoch = r->epoch,
        .replicas = r->replicas,
        .members = {.v = buf, .n = r->n},
        .takes = {.v = buf + r->n, .n = r->takes_n},
        .into = r->into,
        .domains = peal_bytes_of(r->domains[0].name, r->apart ? r->n * WIRE_DOMAIN_MAX : 0)};
}

/* Ids in ascending order, none of them zero or that one. */
static bool ids_sound(const struct wire_ids *ids, const struct peal_id * not )
{
    for (size_t i = 0; i < ids->n; i++)
        if (id_is_zero(&ids->v[i]) || (not != NULL && id_eq(&ids->v[i], not )) ||
            (i > 0 && id_cmp(&ids->v[i - 1], &ids->v[i]) >= 0))
            return false;
    return true;
}

/* ---- failure domains ---- */

_Static_assert(sizeof(struct domain) == WIRE_DOMAIN_MAX, "as it travels");

bool chord_is_domain(struct peal_bytes name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t b = name.p[i];
        if (!(b >= 'a' && b <= 'z') && !(b >= '0' && b <= '9') && b != '.' && b != '_' && b != '-')
            return false;
    }
    return name.n > 0 && name.n <= WIRE_DOMAIN_MAX;
}

int domain_take(struct domain *out, struct peal_bytes name)
{
    *out = (struct domain){{0}};
    if (name.n == 0)
        return 0;
    if (!chord_is_domain(name))
        return PEAL_E_MALFORMED;
    memcpy(out->name, name.p, name.n);
    return 0;
}

struct peal_bytes domain_name(const struct domain *d)
{
    size_t n = 0;
    while (n < WIRE_DOMAIN_MAX && d->name[n] != 0)
        n++;
    return peal_bytes_of(d->name, n);
}

bool domain_eq(const struct domain *a, const struct domain *b)
{
    return memcmp(a->name, b->name, WIRE_DOMAIN_MAX) == 0;
}

void roster_place(struct roster *r, size_t at, const struct domain *d)
{
    CHECK(at < r->n);
    r->domains[at] = *d;
    r->apart = false;
    for (size_t i = 0; i < r->n; i++)
        r->apart = r->apart || r->domains[i].name[0] != 0;
}

/* One for each member in the one form that there is, or nothing. */
static int domains_take(struct roster *r, struct peal_bytes b)
{
    if (b.n != 0 && b.n != r->n * WIRE_DOMAIN_MAX)
        return PEAL_E_MALFORMED;
    for (size_t i = 0; b.n != 0 && i < r->n; i++) {
        struct domain d, whole;
        memcpy(whole.name, b.p + i * WIRE_DOMAIN_MAX, WIRE_DOMAIN_MAX);
        if (domain_take(&d, domain_name(&whole)) < 0 || !domain_eq(&d, &whole))
            return PEAL_E_MALFORMED;
        roster_place(r, i, &d);
    }
    return b.n != 0 && !r->apart ? PEAL_E_MALFORMED : 0;
}

/* Checks a peer's roster: an epoch, a ring, members in ascending order. */
int roster_take(struct roster *out, const struct wire_roster *w)
{
    if (w->epoch == 0 || w->epoch >> EPOCH_BITS != 0 || id_is_zero(&w->ring) || w->members.n == 0 ||
        w->members.n > WIRE_ROSTER_MAX || w->replicas > CHORD_REPLICAS_MAX)
        return PEAL_E_MALFORMED;
    if (!ids_sound(&w->members, NULL) || w->takes.n > WIRE_TAKES_MAX ||
        !ids_sound(&w->takes, &w->ring) || id_eq(&w->into, &w->ring))
        return PEAL_E_MALFORMED;
    *out = (struct roster){.ring = w->ring,
                           .epoch = w->epoch,
                           .replicas = w->replicas,
                           .n = w->members.n,
                           .takes_n = w->takes.n,
                           .into = w->into};
    memcpy(out->members, w->members.v, w->members.n * sizeof out->members[0]);
    if (domains_take(out, w->domains) < 0)
        return PEAL_E_MALFORMED;
    if (w->takes.n > 0) /* an empty list has no place */
        memcpy(out->takes, w->takes.v, w->takes.n * sizeof out->takes[0]);
    return 0;
}

/* ---- homes ---- */

/* The place of the first member that is not before id. */
static size_t lower_bound(const struct roster *r, const struct peal_id *id)
{
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (id_cmp(&r->members[mid], id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* r->n when it is not a member. */
size_t roster_index(const struct roster *r, const struct peal_id *id)
{
    size_t at = lower_bound(r, id);
    return at < r->n && id_eq(&r->members[at], id) ? at : r->n;
}

bool roster_has(const struct roster *r, const struct peal_id *id)
{
    return roster_index(r, id) < r->n;
}

bool roster_takes(const struct roster *r, const struct peal_id *ring)
{
    for (size_t i = 0; i < r->takes_n; i++)
        if (id_eq(&r->takes[i], ring))
            return true;
    return false;
}

size_t roster_copies(const struct roster *r)
{
    size_t copies = (size_t)r->replicas + 1;
    return copies < r->n ? copies : r->n;
}

static bool is_taken(const struct roster *r, const uint8_t *chosen, size_t n, size_t at)
{
    for (size_t i = 0; i < n && r->domains[at].name[0] != 0; i++)
        if (domain_eq(&r->domains[chosen[i]], &r->domains[at]))
            return true;
    return false;
}

size_t arc_order(const struct roster *r, size_t arc, size_t most,
                 uint8_t out[static WIRE_ROSTER_MAX])
{
    uint64_t chosen = 0;
    size_t n = 0;
    CHECK(arc < r->n && most <= r->n);
    for (int again = 0; again <= r->apart; again++) /* then whoever is left, as near as can be */
        for (size_t i = 0; i < r->n && n < most; i++) {
            size_t at = (arc + i) % r->n;
            bool skip = r->apart && again == 0 && is_taken(r, out, n, at);
            if (skip || (chosen >> at & 1) != 0)
                continue;
            chosen |= UINT64_C(1) << at;
            out[n++] = (uint8_t)at;
        }
    CHECK(n == most);
    return n;
}

/* The one place that says which members are an arc's homes, nearest first. An arc is the keys from
 * behind one member up to the next, and goes by that one's place. */
size_t arc_home(const struct roster *r, size_t arc,
                struct peal_id out[static CHORD_REPLICAS_MAX + 1])
{
    uint8_t order[WIRE_ROSTER_MAX];
    size_t copies = arc_order(r, arc, roster_copies(r), order);
    for (size_t i = 0; i < copies; i++)
        out[i] = r->members[order[i]];
    return copies;
}

size_t roster_arc(const struct roster *r, const struct peal_id *key)
{
    return lower_bound(r, key) % r->n;
}

size_t roster_after(const struct roster *r, const struct peal_id *id)
{
    size_t at = lower_bound(r, id);
    at += at < r->n && id_eq(&r->members[at], id);
    return at % r->n;
}

size_t roster_home(const struct roster *r, const struct peal_id *key,
                   struct peal_id out[static CHORD_REPLICAS_MAX + 1])
{
    return r->n == 0 ? 0 : arc_home(r, roster_arc(r, key), out);
}

bool roster_is_home(const struct roster *r, const struct peal_id *key, const struct peal_id *id)
{
    return r->n > 0 && arc_has(r, roster_arc(r, key), id);
}

/* The arcs that this node is home of. */
void arcs_rebuild(struct chord *c)
{
    const struct roster *r = &c->roster;
    struct arc old[ARCS_MAX];
    size_t old_n = c->arcs_n;
    memcpy(old, c->arcs, old_n * sizeof old[0]);
    c->arcs_n = 0;
    for (size_t i = 0; i < r->n; i++)
        if (arc_has(r, i, &c->cfg.self))
            c->arcs[c->arcs_n++] =
                (struct arc){.from = arc_from(r, i), .upto = r->members[i], .index = i};
    CHECK(c->arcs_n <= ARCS_MAX);
    cells_assign(c, old, old_n);
}

/* ---- on disk ---- */

void roster_save(struct chord *c)
{
    struct peal_id a[ROSTER_IDS], b[ROSTER_IDS];
    struct wire_arc_base bases[ARCS_MAX];
    struct wire_s_roster s = {.decided = roster_view(&c->roster, a),
                              .ready = c->ready,
                              .copying.v = bases,
                              .trusted = c->trusted,
                              .promised = c->promised,
                              .accepted = c->accepted,
                              .proposal = roster_view(&c->proposal, b),
                              .renewal = c->renewal,
                              .of = c->of};
    for (size_t i = 0; i < c->arcs_n; i++) {
        size_t arc = c->arcs[i].index;
        if ((c->ready >> arc & 1) == 0)
            bases[s.copying.n++] =
                (struct wire_arc_base){.arc = (uint8_t)arc, .base = c->base[arc]};
    }
    uint8_t mem[2 * (ROSTER_IDS * ID_BYTES + 64 + ID_BYTES) + 9 * ARCS_MAX + 192];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    int err = wire_encode(WIRE_s_roster, &s, &w);
    CHECK(err == 0);
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_str(ROSTER_KEY), peal_bytes_of(mem, w.n));
    of_save(c);
}

void distrust_mark(struct chord *c, bool set)
{
    c->distrusted = set;
    step_write(c->u, STEP_META, set ? STEP_PUT : STEP_DEL, peal_bytes_str(DISTRUST_KEY),
               (struct peal_bytes){0});
}

/* Of the epoch that would be the next, or in no ring the first. */
static void forget_votes(struct chord *c)
{
    memset(&c->promised, 0, sizeof c->promised);
    memset(&c->accepted, 0, sizeof c->accepted);
    memset(&c->proposal, 0, sizeof c->proposal);
    c->renewal = false;
}

static struct wire_roster_1 from_0(const struct wire_roster_0 *r)
{
    return (struct wire_roster_1){
        .ring = r->ring, .epoch = r->epoch, .replicas = r->replicas, .members = r->members};
}

struct wire_roster roster_from_1(const struct wire_roster_1 *r)
{
    return (struct wire_roster){.ring = r->ring,
                                .epoch = r->epoch,
                                .replicas = r->replicas,
                                .members = r->members,
                                .takes = r->takes,
                                .into = r->into};
}

/* What an earlier build stored: it was ready for everything or for nothing. */
static struct wire_s_roster from_1(const struct wire_s_roster_1 *old)
{
    bool ready = old->ready_epoch == old->decided.epoch;
    return (struct wire_s_roster){.decided = roster_from_1(&old->decided),
                                  .ready = ready ? UINT64_MAX : 0,
                                  .promised = old->promised,
                                  .accepted = old->accepted,
                                  .proposal = roster_from_1(&old->proposal)};
}

/* What is stored, whichever build wrote it; PEAL_E_CORRUPT: something else is. */
static int stored_form(uint16_t type, const union wire_any *m, struct wire_s_roster *out)
{
    const struct wire_s_roster_0 *old = &m->s_roster_0;
    if (type == WIRE_s_roster)
        *out = m->s_roster;
    else if (type == WIRE_s_roster_1)
        *out = from_1(&m->s_roster_1);
    else if (type == WIRE_s_roster_0)
        *out = from_1(&(struct wire_s_roster_1){.decided = from_0(&old->decided),
                                                .ready_epoch = old->ready_epoch,
                                                .promised = old->promised,
                                                .accepted = old->accepted,
                                                .proposal = from_0(&old->proposal)});
    else
        return PEAL_E_CORRUPT;
    return 0;
}

/* Bits of the arcs that this node is home of. */
static uint64_t my_arcs(const struct chord *c)
{
    uint64_t mine = 0;
    for (size_t i = 0; i < c->roster.n; i++)
        if (arc_has(&c->roster, i, &c->cfg.self))
            mine |= UINT64_C(1) << i;
    return mine;
}

static void take_stored(struct chord *c, const struct wire_s_roster *s)
{
    c->ready = s->ready & my_arcs(c);
    for (size_t i = 0; i < ARCS_MAX; i++)
        c->base[i] = c->roster.epoch; /* unless it is said below */
    for (size_t i = 0; i < s->copying.n; i++)
        if (s->copying.v[i].arc < ARCS_MAX)
            c->base[s->copying.v[i].arc] = s->copying.v[i].base;
    c->trusted = s->trusted;
    c->promised = s->promised;
    c->accepted = s->accepted;
    c->renewal = s->renewal;
    c->of = c->roster.epoch != 0 ? c->roster.ring : s->of;
    c->proposal_us = c->now;
    /* an earlier build kept its admission's epoch there until it was ready */
    if (c->roster.epoch != 0 && c->proposal.epoch == c->roster.epoch)
        c->proposal = (struct roster){0};
}

void roster_load(struct chord *c)
{
    size_t mark = c->scratch.used;
    struct peal_bytes v;
    of_load(c);
    c->distrusted =
        c->rd->get(c->rd->ctx, STEP_META, peal_bytes_str(DISTRUST_KEY), &c->scratch, &v) == 0;
    if (c->rd->get(c->rd->ctx, STEP_META, peal_bytes_str(FRESH_KEY), &c->scratch, &v) == 0)
        step_write(c->u, STEP_META, STEP_DEL, peal_bytes_str(FRESH_KEY), (struct peal_bytes){0});
    int err = c->rd->get(c->rd->ctx, STEP_META, peal_bytes_str(ROSTER_KEY), &c->scratch, &v);
    union wire_any m;
    uint16_t type = 0;
    if (err == 0)
        err = wire_decode(v.p, v.n, &type, &m, sizeof m, &c->scratch);
    struct wire_s_roster s;
    if (err == 0)
        err = stored_form(type, &m, &s);
    if (err == 0 && s.decided.epoch != 0)
        err = roster_take(&c->roster, &s.decided);
    if (err == 0 && s.proposal.epoch != 0)
        err = roster_take(&c->proposal, &s.proposal);
    if (err == 0) {
        take_stored(c, &s);
        of_save(c);
    } else {
        memset(&c->roster, 0, sizeof c->roster);
        memset(&c->proposal, 0, sizeof c->proposal);
        of_lost(c);
    }
    if (err != 0 && err != PEAL_E_NOT_FOUND) {
        distrust_mark(c, true);
        step_trace(c->u, STEP_WARN, "store", "the roster cannot be read: %s", err_prose(err));
    }
    if (c->distrusted && c->roster.epoch == 0) /* else what it once accepted would count as its */
        forget_votes(c);                       /* admission, whatever it did in the ring since */
    c->scratch.used = mark;
}

/* ---- distrust ---- */

void chord_distrust(struct chord *c, const struct step_event *ev, struct step_update *u,
                    struct peal_bytes why)
{
    note_call(c, ev, u);
    distrust(c, why);
}

void distrust(struct chord *c, struct peal_bytes why)
{
    if (c->distrusted || c->state == CHORD_LEFT)
        return;
    step_trace(c->u, STEP_WARN, "distrust", "this server's promises no longer hold: %.*s",
               (int)why.n, (const char *)why.p);
    if (c->roster.n == 1) /* a ring of one, which has nobody to promise anything to */
        return;
    distrust_mark(c, true);
    if (c->roster.epoch == 0) { /* as at a start */
        forget_votes(c);
        roster_save(c);
    }
    c->tick_us = c->now;
}

void distrust_timer(struct chord *c)
{
    if (!c->distrusted || c->roster.epoch == 0 || roster_sealed(&c->roster))
        return;
    struct roster was = c->roster;
    roster_leave(c);
    roster_call_on(c, &was);
}

/* ---- learning ---- */

/* The one after the peer's own, as long as it is remembered. */
void roster_tell(struct chord *c, const struct source *src)
{
    if (c->roster.epoch == 0 || is_self(c, &src->id))
        return;
    struct peal_id members[ROSTER_IDS];
    struct past p;
    const struct peer *peer = peer_of(c, &src->id);
    uint64_t theirs =
        peer != NULL && peer->state_known && same_ring(c, peer) ? peer->state.epoch : 0;
    bool behind = theirs != 0 && theirs + 1 < c->roster.epoch;
    bool known = behind && past_load(c, &c->roster.ring, theirs + 1, &p);
    struct wire_n_roster m = {.roster = roster_view(known ? &p.roster : &c->roster, members),
                              .skips = behind && !known};
    answer(c, src, WIRE_n_roster, &m);
}

void roster_tell_all(struct chord *c)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *p = &c->peers[i];
        if (!p->used || !p->linked)
            continue;
        struct source src = {.id = p->id};
        roster_tell(c, &src);
    }
}

void members_refresh(struct chord *c, const struct roster *before)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (!p->used)
            continue;
        bool in = roster_has(&c->roster, &p->id);
        if (in && id_is_zero(&p->ring.id) && !roster_has(before, &p->id))
            p->ring = (struct ring_mark){.id = c->roster.ring, .epoch = c->roster.epoch};
        p->up = in && same_ring(c, p) && p->linked && !p->leaving;
    }
}

static struct roster without(const struct roster *r, const struct peal_id *id)
{
    struct roster v = *r;
    size_t at = roster_index(r, id);
    CHECK(at < r->n && r->n > 1);
    memmove(&v.members[at], &v.members[at + 1], (v.n - at - 1) * sizeof v.members[0]);
    memmove(&v.domains[at], &v.domains[at + 1], (v.n - at - 1) * sizeof v.domains[0]);
    v.n--;
    memset(&v.domains[v.n], 0, sizeof v.domains[0]);
    roster_place(&v, 0, &v.domains[0]);
    return v;
}

struct roster roster_without(const struct roster *r, const struct peal_id *id)
{
    struct roster v = without(r, id);
    v.epoch++;
    return v;
}

/* What this node's copies are worth in r, which follows on nothing here: it has founded the ring,
 * or is admitted or renewed by it. */
static void ready_first(struct chord *c, const struct roster *r, bool founded)
{
    c->trusted = r->epoch;
    if (founded) {
        c->ready = 1;
    } else if (c->renewal) {
        ready_none(c, r);
        if (roster_copies(r) == 1) { /* what it had is lost, and nobody else has it */
            c->ready = UINT64_MAX;
            step_trace(c->u, STEP_WARN, "lost", "what only this server had may be lost");
        }
    } else { /* the one before, as everyone else in it knew it */
        c->roster = without(r, &c->cfg.self);
        c->roster.epoch = r->epoch - 1;
        c->ready = 0;
        past_save(c);
        ready_next(c, r);
    }
    if (c->distrusted)
        distrust_mark(c, false); /* from here on it can be relied on again */
    c->lost = 0;
}

void roster_adopt(struct chord *c, const struct roster *r)
{
    CHECK(r->epoch > c->roster.epoch && roster_has(r, &c->cfg.self));
    CHECK(c->roster.epoch == 0 || id_eq(&r->ring, &c->roster.ring));
    bool first = c->roster.epoch == 0, founded = first && c->accepted.round == 0;
    if (first) {
        ready_first(c, r, founded);
    } else {
        past_save(c);
        if (r->epoch == c->roster.epoch + 1)
            ready_next(c, r);
        else
            ready_jump(c, r);
    }
    struct roster before = c->roster;
    c->roster = *r;
    c->of = r->ring;
    c->ready &= my_arcs(c);
    c->jump_us = 0;
    forget_votes(c);
    c->prop.phase = PROPOSE_IDLE;
    c->round = 0;
    arcs_rebuild(c);
    votes_assign(c);
    roster_save(c);
    step_trace(c->u, STEP_INFO, "epoch", "epoch %llu: %zu servers", (unsigned long long)r->epoch,
               r->n);
    members_refresh(c, &before);
    peers_want(c);
    if (c->state != CHORD_LEFT)
        set_state(c, roster_sealed(r) ? CHORD_MOVING : ready_all(c) ? CHORD_MEMBER : CHORD_COPYING);
    c->move_us = c->now + MOVE_REST_US; /* what this very update writes is to be seen then */
    if (first)
        roster_tell_all(c); /* so that everyone linked knows to which ring this node belongs now */
    copy_begin(c);
    coordinator_update(c);
    repair_soon(c);
    sweep_soon(c);
    ops_wake(c, c->now);
    c->changed = c->state_news = true;
}

void roster_leave(struct chord *c)
{
    for (size_t i = 0; i < ADMITS_MAX; i++)
        if (!id_is_zero(&c->admits[i].id))
            want(c, &c->admits[i].id, false);
    for (size_t i = 0; i < c->roster.n; i++)
        want(c, &c->roster.members[i], false);
    memset(&c->roster, 0, sizeof c->roster);
    memset(&c->past, 0, sizeof c->past);
    memset(c->admits, 0, sizeof c->admits);
    c->ready = c->votes = c->partly = 0;
    forget_votes(c);
    c->jump_us = 0;
    c->prop.phase = PROPOSE_IDLE;
    c->round = 0;
    arcs_rebuild(c);
    roster_save(c);
    copy_begin(c);
    memset(&c->sweep.over, 0, sizeof c->sweep.over);
    take_stop(c);
    /* So that no operation goes on with answers from the ring that was left: an epoch of the next
     * may have the same number. */
    peers_all_down(c, "this node is in no ring now");
    c->ask_us = c->now;
    c->asks = 0;
    set_state(c, CHORD_ASKING);
    coordinator_update(c);
}

/* Some of those in r are to be linked, so that there is somebody to ask. */
void roster_call_on(struct chord *c, const struct roster *r)
{
    enum { ASKED = 3 };
    for (size_t i = 0; i < ASKED && i < r->n; i++)
        want(c, &r->members[(rng_next(&c->rng) + i) % r->n], true);
}

bool same_roster(const struct roster *a, const struct roster *b)
{
    return id_eq(&a->ring, &b->ring) && a->epoch == b->epoch && a->replicas == b->replicas &&
           a->n == b->n && memcmp(a->members, b->members, a->n * sizeof a->members[0]) == 0 &&
           memcmp(a->domains, b->domains, a->n * sizeof a->domains[0]) == 0 &&
           a->takes_n == b->takes_n &&
           memcmp(a->takes, b->takes, a->takes_n * sizeof a->takes[0]) == 0 &&
           id_eq(&a->into, &b->into);
}

/* Named by a roster, in none itself: either it has accepted the epoch that admits or renews it, or
 * it has lost what it had.
 *
 * The first decided epoch that admits a node is the one that it accepted last: no epoch names it
 * that it has not accepted first, and once one is decided nobody proposes to admit it any more. If
 * it has accepted two of one epoch, they are the same when the first was decided (Paxos). (Of a
 * renewal this cannot be said, since others name it as well. Nor of a disk that is older than what
 * the node has done: who is distrusted has accepted nothing.) */
static void named_first(struct chord *c, struct peer *p, const struct roster *r)
{
    struct roster mine = c->proposal;
    bool voted = c->accepted.round != 0 && id_eq(&mine.ring, &r->ring);
    if (voted && same_roster(&mine, r)) {
        roster_adopt(c, r);
    } else if (voted && !c->renewal && r->epoch > mine.epoch) {
        roster_adopt(c, &mine);
        c->state_news = true; /* it is told what follows */
    } else if (!voted || c->renewal) {
        if (c->lost == 0)
            step_trace(
                c->u, STEP_WARN, "lost",
                "epoch %llu names this server, which has nothing to go with it: it asks to be "
                "renewed",
                (unsigned long long)r->epoch);
        c->lost = r->epoch > c->lost ? r->epoch : c->lost;
        ring_met(c, p);
    }
}

/* r is decided, of this node's ring, and later than its own. */
static void follow(struct chord *c, const struct roster *r, bool skips)
{
    bool next = r->epoch == c->roster.epoch + 1;
    if (c->roster.n == 1 && r->n > 1 && !roster_sealed(r) && roster_has(r, &c->cfg.self)) {
        /* It alone could have decided what follows, and adopts what it decides at once: what is on
         * its disk is older than what it has promised (a backup of that time, for one). Who is
         * still alone has nobody who could renew it. */
        step_trace(c->u, STEP_WARN, "distrust",
                   "epoch %llu follows on a ring of one that knows nothing of it",
                   (unsigned long long)r->epoch);
        distrust_mark(c, true);
        c->tick_us = c->now;
    } else if (!roster_has(r, &c->cfg.self)) {
        char id[9];
        struct roster by = *r;
        step_trace(c->u, STEP_WARN, "removed",
                   "this server was taken out of ring %s: it asks for admission as a new one",
                   short_id(&r->ring, id));
        roster_leave(c);
        if (roster_sealed(&by))
            former_add(c, &by, false);
        roster_call_on(c, &by);
    } else if (next || (roster_sealed(r) && only_grew(&c->roster, r)) ||
               (skips && c->jump_us != 0 && c->now >= c->jump_us)) {
        if (!next)
            step_trace(c->u, STEP_WARN, "epoch", "nobody remembers the epochs up to %llu",
                       (unsigned long long)r->epoch);
        roster_adopt(c, r);
    } else if (!skips) {
        c->state_news = true; /* who hears where this node is tells it what follows there */
    } else if (c->jump_us == 0) {
        c->jump_us = c->now + JUMP_WAIT_US; /* another may remember more */
    }
}

/* A roster that a peer holds to be decided. */
void roster_learn(struct chord *c, const struct source *src, const struct wire_roster *w,
                  bool skips)
{
    struct roster r;
    struct peer *p = peer_of(c, &src->id);
    if (p == NULL)
        return;
    if (roster_take(&r, w) < 0) {
        ring_refuse(c->ring, c->ev, c->u, &src->id, PEAL_E_MALFORMED,
                    "the roster is not of its form");
        return;
    }
    if (!id_eq(&p->ring.id, &r.ring) || p->ring.epoch < r.epoch)
        p->ring = (struct ring_mark){.id = r.ring, .epoch = r.epoch, .size = (uint32_t)r.n};
    if (former_of(c, &r.ring) != NULL) {
        ring_met(c, p);
        return;
    }
    bool foreign = c->roster.epoch != 0 && !id_eq(&r.ring, &c->roster.ring);
    if (foreign || c->state == CHORD_LEFT) {
        ring_met(c, p);
        if (foreign)
            unite_met(c, &r);
        return;
    }
    roster_offered(c, p, &r, skips);
}

void roster_offered(struct chord *c, struct peer *p, const struct roster *r, bool skips)
{
    if (r->epoch <= c->roster.epoch)
        return;
    if (c->roster.epoch != 0)
        follow(c, r, skips);
    else if (roster_has(r, &c->cfg.self))
        named_first(c, p, r);
    else
        ring_met(c, p);
}

/* ---- the acceptor ---- */

/* Every node holds the same to be too much: what one believes, all do. */
bool roster_ballot_sound(struct chord *c, const struct source *src, const struct wire_ballot *b)
{
    if (b->round >> ROSTER_ROUND_BITS == 0)
        return true;
    ring_refuse(c->ring, c->ev, c->u, &src->id, PEAL_E_MALFORMED,
                "nobody comes to such a ballot for a roster by counting");
    return false;
}

/* Brings this node to the epoch before the one that is voted on, when the proposer's base says so;
 * whether it may vote. */
static int vote_check(struct chord *c, const struct source *src, uint64_t epoch,
                      const struct peal_id *ring, bool first)
{
    if (c->store_err < 0)
        return c->store_err;
    if (c->distrusted && c->roster.epoch != 0)
        return PEAL_E_BUSY;
    /* Its last epoch is decided; what this node voted there it no longer knows. */
    const struct former *gone = former_of(c, ring);
    if (gone != NULL) {
        former_tell(c, gone, &src->id);
        return PEAL_E_FOREIGN;
    }
    /* Who is in no roster has no vote on an epoch but its own first one: it may have voted on any
     * other before. */
    if (c->roster.epoch == 0 && !first)
        return PEAL_E_STALE;
    if (c->roster.epoch == 0 && c->strange)
        return PEAL_E_BUSY;
    if (c->roster.epoch == 0 && !id_is_zero(&c->of) && !id_eq(ring, &c->of))
        return PEAL_E_FOREIGN; /* its registers are of another one */
    if (c->roster.epoch == 0) {
        bool other = c->accepted.round != 0 && !id_eq(&c->proposal.ring, ring);
        if (other && c->now - c->proposal_us < PROPOSAL_HOLD_US)
            return PEAL_E_BUSY;
        if (!other && c->accepted.round != 0 && epoch < c->proposal.epoch)
            return PEAL_E_STALE;
        if (other || (c->accepted.round != 0 && c->proposal.epoch < epoch))
            forget_votes(c);
        return 0;
    }
    if (!id_eq(ring, &c->roster.ring))
        return PEAL_E_FOREIGN;
    if (epoch <= c->roster.epoch) {
        roster_tell(c, src);
        return PEAL_E_STALE;
    }
    if (roster_sealed(&c->roster)) {
        roster_tell(c, src);
        return PEAL_E_FOREIGN;
    }
    return epoch == c->roster.epoch + 1 ? 0 : PEAL_E_STALE;
}

void on_roster_prepare(struct chord *c, const struct source *src,
                       const struct wire_n_roster_prepare *m)
{
    struct wire_n_roster_promise a = {.epoch = m->epoch, .ballot = m->ballot};
    struct peal_id members[ROSTER_IDS];
    if (!roster_ballot_sound(c, src, &m->ballot))
        return;
    roster_learn(c, src, &m->base, false);
    int code = vote_check(c, src, m->epoch, &m->base.ring, false);
    if (code == 0 && ballot_cmp(&m->ballot, &c->promised) <= 0)
        code = PEAL_E_REFUSED;
    if (code == 0) {
        c->promised = m->ballot;
        roster_save(c);
    }
    a.code = (uint16_t)-code;
    a.promised = c->promised;
    a.accepted = c->accepted;
    a.roster = roster_view(&c->proposal, members);
    answer(c, src, WIRE_n_roster_promise, &a);
}

void on_roster_accept(struct chord *c, const struct source *src,
                      const struct wire_n_roster_accept *m)
{
    struct wire_n_roster_accepted a = {.epoch = m->epoch, .ballot = m->ballot};
    struct roster r;
    if (!roster_ballot_sound(c, src, &m->ballot))
        return;
    int code = roster_take(&r, &m->roster);
    if (code == 0 && r.epoch != m->epoch)
        code = PEAL_E_MALFORMED;
    bool renewal = is_self(c, &m->lost), first = renewal || is_self(c, &m->newcomer);
    if (code == 0 && first && (r.n < 2 || !roster_has(&r, &c->cfg.self)))
        code = PEAL_E_MALFORMED;
    if (code == 0 && c->roster.epoch == 0 && renewal && c->lost + 1 != m->epoch)
        code = PEAL_E_STALE;
    if (code == 0)
        code = vote_check(c, src, m->epoch, &r.ring, first);
    if (code == 0 && ballot_cmp(&m->ballot, &c->promised) < 0)
        code = PEAL_E_REFUSED;
    if (code == 0) {
        c->renewal = renewal && c->roster.epoch == 0;
        c->promised = c->accepted = m->ballot;
        c->proposal = r;
        c->proposal_us = c->now;
        roster_save(c);
    }
    a.code = (uint16_t)-code;
    a.promised = c->promised;
    answer(c, src, WIRE_n_roster_accepted, &a);
}
