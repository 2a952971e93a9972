/* acceptor: a register's acceptor (Rystsov's CASPaxos). A ballot's round begins with the epoch, so
 * that every ballot of a new epoch outdoes those of the one before: a value that was accepted too
 * late there can never hide one decided here. */
#include "inner.h"

#include <string.h>

int reg_decode(struct peal_bytes stored, struct reg_state *out)
{
    union wire_any m;
    uint16_t type = 0;
    struct arena none;
    arena_init(&none, NULL, 0);
    int err = wire_decode(stored.p, stored.n, &type, &m, sizeof m, &none);
    if (err < 0 || type != WIRE_s_register)
        return PEAL_E_CORRUPT;
    *out = (struct reg_state){.promised = m.s_register.promised,
                              .accepted = m.s_register.accepted,
                              .value = m.s_register.value};
    return 0;
}

/* What this very update writes, the store does not yet show. */
static bool in_update(const struct chord *c, const struct peal_id *key, struct peal_bytes *v)
{
    for (size_t i = c->u->n; i > 0; i--) {
        const struct step_effect *e = &c->u->effects[i - 1];
        if (e->kind != STEP_WRITE || e->space != STEP_REGISTERS ||
            !peal_bytes_eq(e->key, id_bytes(key)))
            continue;
        CHECK(e->op == STEP_PUT || e->op == STEP_DEL);
        *v = e->op == STEP_PUT ? e->bytes : (struct peal_bytes){0};
        return true;
    }
    return false;
}

int reg_load(struct chord *c, const struct peal_id *key, struct reg_state *out)
{
    struct peal_bytes v;
    *out = (struct reg_state){0};
    if (in_update(c, key, &v))
        return v.n == 0 ? 0 : reg_decode(v, out);
    int err = c->rd->get(c->rd->ctx, STEP_REGISTERS, id_bytes(key), &c->scratch, &v);
    if (err == PEAL_E_NOT_FOUND)
        return 0;
    return err < 0 ? err : reg_decode(v, out);
}

static void reg_save(struct chord *c, const struct peal_id *key, const struct reg_state *r)
{
    struct wire_s_register s = {
        .promised = r->promised, .accepted = r->accepted, .value = r->value};
    uint8_t mem[WIRE_REGISTER_MAX + 128];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    int err = wire_encode(WIRE_s_register, &s, &w);
    CHECK(err == 0);
    step_write(c->u, STEP_REGISTERS, STEP_PUT, id_bytes(key), peal_bytes_of(mem, w.n));
}

void reg_damaged(struct chord *c, const struct peal_id *key)
{
    distrust(c, peal_bytes_str("a register on its disk is damaged"));
    if (c->distrusted) /* the mark stands for it from now on, and the others have copies */
        step_write(c->u, STEP_REGISTERS, STEP_DEL, id_bytes(key), (struct peal_bytes){0});
}

static int reg_open(struct chord *c, const struct peal_id *key, struct reg_state *out)
{
    int err = reg_load(c, key, out);
    if (err == PEAL_E_CORRUPT)
        reg_damaged(c, key);
    return err;
}

/* It has promised a ballot that came to nothing, so it may take no copy of what the others have: it
 * would be offered it for ever. Writing what is there anew makes them alike. */
static void settle(struct chord *c, const struct peal_id *key)
{
    if (c->regs.used < SETTLES_MAX && c->now >= c->settle_us &&
        reg_begin_take(c, REG_SETTLE, key, TAKE_CHANGE_US) == 0)
        c->settle_us = c->now + SETTLE_EVERY_US;
}

/* A ballot's epoch is at most that of the ring that it is of: a later one would outdo all that is
 * to come. */
bool reg_ballot_sound(struct chord *c, const struct source *src, const struct wire_ballot *b,
                      uint64_t epoch)
{
    if (b->round >> ROUND_BITS <= epoch)
        return true;
    ring_refuse(c->ring, c->ev, c->u, &src->id, PEAL_E_MALFORMED,
                "a register's ballot is of an epoch to come");
    return false;
}

bool reg_copies_sound(struct chord *c, const struct source *src, const struct wire_record_list *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (!reg_ballot_sound(c, src, &v->v[i].accepted, c->roster.epoch))
            return false;
    return true;
}

/* A copy counts as a late acceptance, so one of this epoch must not be behind what was promised.
 * What was accepted in an older one cannot be decided by it any more (every majority's word on it
 * was heard): it is only knowledge, and a node that promised much when it was a home long ago needs
 * it as well as another. */
void reg_merge(struct chord *c, const struct wire_record *r)
{
    size_t mark = c->scratch.used;
    struct reg_state s;
    int err = reg_open(c, &r->key, &s);
    bool old = r->accepted.round >> ROUND_BITS < c->roster.epoch, behind = false;
    if (err == PEAL_E_CORRUPT) { /* the damaged one is of no use */
        s = (struct reg_state){0};
        err = 0;
    }
    if (err == 0 && r->accepted.round != 0 && (old || ballot_cmp(&r->accepted, &s.promised) >= 0) &&
        ballot_cmp(&r->accepted, &s.accepted) > 0) {
        s.accepted = r->accepted;
        if (ballot_cmp(&s.promised, &s.accepted) < 0)
            s.promised = s.accepted;
        s.value = r->value;
        reg_save(c, &r->key, &s);
        mark_dirty(c, &r->key);
    } else if (err == 0) {
        behind = ballot_cmp(&r->accepted, &s.accepted) > 0;
    } else {
        step_trace(c->u, STEP_WARN, "store", "a register cannot be read: %s", err_prose(err));
    }
    c->scratch.used = mark;
    if (behind && ready_for(c, &r->key))
        settle(c, &r->key);
}

/* Whether this node may vote on key in epoch. */
static int may_vote(struct chord *c, const struct source *src, const struct peal_id *ring,
                    uint64_t epoch, const struct peal_id *key, const struct wire_ballot *b)
{
    if (c->store_err < 0)
        return c->store_err;
    if (!id_eq(ring, &c->roster.ring))
        return PEAL_E_STALE; /* it was on its way when one of the two changed rings */
    if (epoch != c->roster.epoch || b->round >> ROUND_BITS != epoch) {
        if (epoch < c->roster.epoch)
            roster_tell(c, src);
        return PEAL_E_STALE;
    }
    if (!roster_is_home(&c->roster, key, &c->cfg.self))
        return PEAL_E_STALE;
    bool serves = c->state == CHORD_MEMBER || c->state == CHORD_COPYING;
    return serves && votes_for(c, key) ? 0 : PEAL_E_BUSY;
}

/* Another server is at work on key: this one's next ballot for it is to be higher, and what it
 * remembers of it is old. */
static void meet(struct chord *c, const struct peal_id *key, const struct wire_ballot *b)
{
    reg_met(c, b);
    if (!is_self(c, &b->node))
        cache_drop(c, key);
}

void on_reg_prepare(struct chord *c, const struct source *src, const struct wire_n_reg_prepare *m)
{
    size_t mark = c->scratch.used;
    struct reg_state s = {0};
    int code = may_vote(c, src, &m->ring, m->epoch, &m->key, &m->ballot);
    if (code == 0)
        code = reg_open(c, &m->key, &s);
    if (code == 0 && m->look) {
        hold_answer(c); /* what was accepted need not be durable yet */
    } else if (code == 0 && ballot_cmp(&m->ballot, &s.promised) <= 0) {
        /* the same ballot twice is a proposer's that has restarted and forgotten it, or forgotten
         * that it named it as its next: it could be for another value */
        code = PEAL_E_REFUSED;
    } else if (code == 0) {
        s.promised = m->ballot;
        reg_save(c, &m->key, &s);
        meet(c, &m->key, &m->ballot);
    }
    struct wire_n_reg_promise a = {.epoch = c->roster.epoch,
                                   .op = m->op,
                                   .code = (uint16_t)-code,
                                   .ballot = m->ballot,
                                   .promised = s.promised,
                                   .accepted = s.accepted,
                                   .value = s.value};
    answer(c, src, WIRE_n_reg_promise, &a);
    c->scratch.used = mark;
}

/* Whether next may be promised with an acceptance of ballot. */
static bool may_follow(const struct wire_ballot *next, const struct wire_ballot *ballot)
{
    return next->round == 0 || (next->round >> ROUND_BITS == ballot->round >> ROUND_BITS &&
                                next->round > ballot->round && id_eq(&next->node, &ballot->node));
}

void on_reg_accept(struct chord *c, const struct source *src, const struct wire_n_reg_accept *m)
{
    size_t mark = c->scratch.used;
    struct reg_state s = {0};
    int code = may_vote(c, src, &m->ring, m->epoch, &m->key, &m->ballot);
    if (code == 0)
        code = reg_open(c, &m->key, &s);
    if (code == 0 && !may_follow(&m->next, &m->ballot))
        code = PEAL_E_MALFORMED;
    if (code == 0 && ballot_cmp(&m->ballot, &s.promised) < 0)
        code = PEAL_E_REFUSED;
    if (code == 0) {
        s = (struct reg_state){.promised = m->next.round != 0 ? m->next : m->ballot,
                               .accepted = m->ballot,
                               .value = m->value};
        reg_save(c, &m->key, &s);
        meet(c, &m->key, &s.promised);
        mark_dirty(c, &m->key); /* a promise alone is nothing that homes compare */
    }
    struct wire_n_reg_accepted a = {.epoch = c->roster.epoch,
                                    .op = m->op,
                                    .code = (uint16_t)-code,
                                    .ballot = m->ballot,
                                    .promised = s.promised};
    answer(c, src, WIRE_n_reg_accepted, &a);
    c->scratch.used = mark;
}
