/* roster: the admitted servers, sorted, and what follows from them alone: homes and arcs. Each
 * epoch is decided by single-decree Paxos (Lamport): promises from a majority of the roster before
 * it, acceptances from majorities of that one and of the proposed one. A node that adopts an epoch
 * seals the one before: it refuses that one's operations. */
#include "inner.h"

#include <string.h>

static const char ROSTER_KEY[] = "roster", FRESH_KEY[] = "fresh";

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
    return (struct wire_roster){.ring = r->ring,
                                .epoch = r->epoch,
                                .replicas = r->replicas,
                                .members = {.v = buf, .n = r->n},
                                .takes = {.v = buf + r->n, .n = r->takes_n},
                                .into = r->into};
}

/* Ids in ascending order, none of them zero or that one. */
static bool ids_sound(const struct wire_ids *ids, const struct peal_id *not)
{
    for (size_t i = 0; i < ids->n; i++)
        if (id_is_zero(&ids->v[i]) || (not != NULL && id_eq(&ids->v[i], not)) ||
            (i > 0 && id_cmp(&ids->v[i - 1], &ids->v[i]) >= 0))
            return false;
    return true;
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

size_t roster_home(const struct roster *r, const struct peal_id *key,
                   struct peal_id out[static CHORD_REPLICAS_MAX + 1])
{
    size_t copies = roster_copies(r);
    size_t at = lower_bound(r, key);
    for (size_t i = 0; i < copies; i++)
        out[i] = r->members[(at + i) % r->n];
    return copies;
}

bool roster_is_home(const struct roster *r, const struct peal_id *key, const struct peal_id *id)
{
    size_t mine = roster_index(r, id);
    if (mine == r->n)
        return false;
    size_t first = lower_bound(r, key) % r->n;
    return (mine + r->n - first) % r->n < roster_copies(r);
}

/* The arcs that this node is home of: those that end at itself and at the members before it. */
void arcs_rebuild(struct chord *c)
{
    const struct roster *r = &c->roster;
    c->arcs_n = 0;
    c->scan = (struct scan){0};
    size_t mine = roster_index(r, &c->cfg.self);
    if (mine == r->n)
        return;
    for (size_t i = 0; i < roster_copies(r); i++) {
        size_t at = (mine + r->n - i) % r->n;
        c->arcs[c->arcs_n++] = (struct arc){.from = r->members[(at + r->n - 1) % r->n],
                                            .upto = r->members[at],
                                            .index = at,
                                            .dirty = true};
    }
    CHECK(c->arcs_n <= ARCS_MAX);
}

/* ---- on disk ---- */

void roster_save(struct chord *c)
{
    struct peal_id a[ROSTER_IDS], b[ROSTER_IDS];
    struct wire_s_roster s = {.decided = roster_view(&c->roster, a),
                              .ready_epoch = c->ready_epoch,
                              .promised = c->promised,
                              .accepted = c->accepted,
                              .proposal = roster_view(&c->proposal, b)};
    uint8_t mem[2 * (ROSTER_IDS * ID_BYTES + 64 + ID_BYTES) + 128];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    int err = wire_encode(WIRE_s_roster, &s, &w);
    CHECK(err == 0);
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_str(ROSTER_KEY), peal_bytes_of(mem, w.n));
}

void roster_fresh(struct chord *c, bool fresh)
{
    if (fresh == c->fresh)
        return;
    c->fresh = fresh;
    step_write(c->u, STEP_META, fresh ? STEP_PUT : STEP_DEL, peal_bytes_str(FRESH_KEY),
               (struct peal_bytes){0});
}

static struct wire_roster from_0(const struct wire_roster_0 *r)
{
    return (struct wire_roster){
        .ring = r->ring, .epoch = r->epoch, .replicas = r->replicas, .members = r->members};
}

/* What is stored, whichever build wrote it; PEAL_E_CORRUPT: something else is. */
static int stored_form(uint16_t type, const union wire_any *m, struct wire_s_roster *out)
{
    const struct wire_s_roster_0 *old = &m->s_roster_0;
    if (type == WIRE_s_roster)
        *out = m->s_roster;
    else if (type == WIRE_s_roster_0)
        *out = (struct wire_s_roster){.decided = from_0(&old->decided),
                                      .ready_epoch = old->ready_epoch,
                                      .promised = old->promised,
                                      .accepted = old->accepted,
                                      .proposal = from_0(&old->proposal)};
    else
        return PEAL_E_CORRUPT;
    return 0;
}

void roster_load(struct chord *c)
{
    size_t mark = c->scratch.used;
    struct peal_bytes v;
    c->fresh = c->rd->get(c->rd->ctx, STEP_META, peal_bytes_str(FRESH_KEY), &c->scratch, &v) == 0;
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
        c->copy_first = c->roster.epoch != 0 && c->proposal.epoch == c->roster.epoch;
        c->ready_epoch = s.ready_epoch;
        c->promised = s.promised;
        c->accepted = s.accepted;
        c->proposal_us = c->now;
    } else if (err != PEAL_E_NOT_FOUND) {
        /* what this node promised is lost: it asks for admission again, and copies before it votes
         */
        memset(&c->roster, 0, sizeof c->roster);
        step_trace(c->u, STEP_WARN, "store", "the roster cannot be read: %s", err_prose(err));
    }
    c->scratch.used = mark;
}

/* ---- learning ---- */

void roster_tell(struct chord *c, const struct source *src)
{
    if (c->roster.epoch == 0 || is_self(c, &src->id))
        return;
    struct peal_id members[ROSTER_IDS];
    struct wire_n_roster m = {.roster = roster_view(&c->roster, members)};
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

/* Members of the new roster that are linked count as up from now on; whoever is in none no longer
 * does. */
static void refresh_members(struct chord *c)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (!p->used)
            continue;
        bool in = roster_has(&c->roster, &p->id);
        if (in && id_is_zero(&p->ring.id))
            p->ring = (struct ring_mark){.id = c->roster.ring, .epoch = c->roster.epoch};
        p->up = in && same_ring(c, p) && p->linked && !p->leaving;
    }
}

void roster_adopt(struct chord *c, const struct roster *r)
{
    CHECK(r->epoch > c->roster.epoch && roster_has(r, &c->cfg.self));
    CHECK(c->roster.epoch == 0 || id_eq(&r->ring, &c->roster.ring));
    bool newcomer = c->roster.epoch == 0 && c->ready_epoch == 0;
    bool ready = c->ready_epoch != 0 && (c->ready_epoch == c->roster.epoch || c->roster.epoch == 0);
    c->copy_first = newcomer && c->fresh && c->accepted.round != 0 && c->proposal.epoch == r->epoch;
    c->roster = *r;
    if (ready)
        c->ready_epoch = r->epoch; /* a new server takes ranges away, it gives none */
    memset(&c->promised, 0, sizeof c->promised);
    memset(&c->accepted, 0, sizeof c->accepted);
    /* what a new server remembers of its admission, should it have to begin copying again */
    c->proposal = c->copy_first ? *r : (struct roster){0};
    c->prop.phase = PROPOSE_IDLE;
    roster_save(c);
    arcs_rebuild(c);
    step_trace(c->u, STEP_INFO, "epoch", "epoch %llu: %zu servers", (unsigned long long)r->epoch,
               r->n);
    refresh_members(c);
    peers_want(c);
    if (c->state != CHORD_LEFT)
        set_state(c, roster_sealed(r) ? CHORD_MOVING : ready ? CHORD_MEMBER : CHORD_COPYING);
    c->move_us = c->now + MOVE_REST_US; /* what this very update writes is to be seen then */
    if (newcomer)
        roster_tell_all(c); /* so that everyone linked knows to which ring this node belongs now */
    if (c->state == CHORD_COPYING)
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
    memset(&c->promised, 0, sizeof c->promised);
    memset(&c->accepted, 0, sizeof c->accepted);
    memset(&c->proposal, 0, sizeof c->proposal);
    memset(c->admits, 0, sizeof c->admits);
    c->ready_epoch = 0;
    c->prop.phase = PROPOSE_IDLE;
    roster_fresh(c, false);
    roster_save(c);
    arcs_rebuild(c);
    memset(&c->sweep.over, 0, sizeof c->sweep.over);
    take_stop(c);
    /* So that no operation goes on with answers from the ring that was left: an epoch of the next may
     * have the same number. */
    peers_all_down(c, "this node is in no ring now");
    c->ask_us = c->now;
    c->asks = 0;
    set_state(c, CHORD_ASKING);
    coordinator_update(c);
}

/* A roster that a peer holds to be decided. */
void roster_learn(struct chord *c, const struct source *src, const struct wire_roster *w)
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
    if (r.epoch <= c->roster.epoch)
        return;
    if (roster_has(&r, &c->cfg.self)) {
        roster_adopt(c, &r);
    } else if (c->roster.epoch == 0) {
        ring_met(c, p);
    } else {
        step_trace(c->u, STEP_WARN, "refused", "epoch %llu does not name this node",
                   (unsigned long long)r.epoch);
    }
}

/* ---- the acceptor ---- */

/* Brings this node to the epoch before the one that is voted on, when the proposer's base says so;
 * whether it may vote. */
static int vote_check(struct chord *c, const struct source *src, uint64_t epoch,
                      const struct peal_id *ring)
{
    if (c->store_err < 0)
        return c->store_err;
    /* Its last epoch is decided; what this node voted there it no longer knows. */
    const struct former *gone = former_of(c, ring);
    if (gone != NULL) {
        former_tell(c, gone, &src->id);
        return PEAL_E_FOREIGN;
    }
    if (c->roster.epoch == 0) {
        bool other = c->accepted.round != 0 && !id_eq(&c->proposal.ring, ring);
        if (other && c->now - c->proposal_us < PROPOSAL_HOLD_US)
            return PEAL_E_BUSY;
        if (other || (c->accepted.round != 0 && c->proposal.epoch < epoch)) {
            memset(&c->promised, 0, sizeof c->promised);
            memset(&c->accepted, 0, sizeof c->accepted);
            memset(&c->proposal, 0, sizeof c->proposal);
        }
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
    roster_learn(c, src, &m->base);
    int code = vote_check(c, src, m->epoch, &m->base.ring);
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
    int code = roster_take(&r, &m->roster);
    if (code == 0 && r.epoch != m->epoch)
        code = PEAL_E_MALFORMED;
    if (code == 0)
        code = vote_check(c, src, m->epoch, &r.ring);
    if (code == 0 && ballot_cmp(&m->ballot, &c->promised) < 0)
        code = PEAL_E_REFUSED;
    if (code == 0) {
        if (c->roster.epoch == 0 && is_self(c, &m->newcomer))
            roster_fresh(c, true);
        c->promised = c->accepted = m->ballot;
        c->proposal = r;
        c->proposal_us = c->now;
        roster_save(c);
    }
    a.code = (uint16_t)-code;
    a.promised = c->promised;
    answer(c, src, WIRE_n_roster_accepted, &a);
}
