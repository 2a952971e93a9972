/* clang-format off */
/* register: the proposer of CASPaxos, one operation at a time per slot.
 *
 *   BEHIND --those before it on its key are over--> LINE --a slot is free--> one of these:
 *
 *   a read                     LOOK
 *   something is cached        the change leaves it: LOOK; it writes: ACCEPT
 *   else                       PREPARE
 *
 *   LOOK    --a majority holds the same--> (change) --leaves it--> done
 *           --it does not, or the change writes--> PREPARE
 *   PREPARE --a majority promises--> (change) --leaves what all of it holds--> done
 *                                             --else--> ACCEPT
 *   ACCEPT  --a majority accepts--> done
 *           --refused, and nothing was asked before--> PREPARE
 *   LOOK, PREPARE, ACCEPT --refused, too few answers, too late, new epoch--> WAIT
 *   WAIT    --after a pause at random--> LINE
 *
 * A change that leaves the value is settled without an ACCEPT when a whole majority holds the same
 * accepted ballot of this epoch, since that value is then decided; otherwise it is written again.
 * (Of an older epoch's ballot some may be copies: what one had accepted alone would look decided,
 * while another holds a higher one that was not copied.) A change
 * function that refuses is told so only after what it has read is settled, for else it might have
 * refused for something that never was.
 *
 * One round trip (Rystsov, 2.2.1). With each ACCEPT the proposer names the ballot that it will use
 * next, and who accepts promises that one too, in the same write. Those who accept are thus a
 * majority that has answered a PREPARE of the next ballot, saying "what I accepted last is this
 * very value"; so is a majority whose promises a change that left the value did not use. cache.c
 * keeps that answer. Why the value is what a quorum would have been asked for at a later time: the
 * answer to a PREPARE does not grow old. Let n be the ballot, v the value, Q those who promised n
 * when they held v. A value with a ballot below n that is not in v's past would need a majority to
 * accept it after Q promised n, and one of those is in Q, and refuses. A value with a ballot above
 * n is accepted by a majority only after a majority has promised a ballot above n; one of those is
 * in every majority that is to accept n, and refuses: then the ACCEPT fails, and all begins anew
 * with a PREPARE. So an ACCEPT of n that succeeds follows on v and on nothing later. n is used for
 * one value only, as the entry goes when it is used. A proposer that has restarted has forgotten n,
 * and may come to it by counting; but it asks first, and nobody in Q promises n again (acceptor.c).
 *
 * A look promises nothing, so it takes nothing from a proposer that goes on without asking. Why
 * what a majority M holds alike (ballot b, of this epoch) is the register's value at some time during the look: it
 * is decided, since M accepted it; and had another been decided by a ballot above b before the look
 * began, one of M would have accepted that and said so. It costs a round trip, and on the homes'
 * disks no write but a mark of nothing, for what they say must be durable when they say it. */
/* clang-format on */
#include "inner.h"

#include <string.h>

static const uint64_t count_most = ((uint64_t)1 << ROUND_BITS) - 1;

void ops_wake(struct chord *c, uint64_t at_us)
{
    if (at_us < c->ops_us)
        c->ops_us = at_us;
}

bool ops_room(struct chord *c)
{
    const struct step_update *u = c->u;
    if (u->arena.cap - u->arena.used >= ROOM_BYTES && u->n < 2 * ROOM_EFFECTS)
        return true;
    ops_wake(c, c->now + ROOM_WAIT_US);
    return false;
}

void chord_reg_stats(const struct chord *c, struct chord_reg_stats *out)
{
    *out = c->reg_stats;
}

/* A peer that names more than half of an epoch's ballots is believed for its register only. */
void reg_met(struct chord *c, const struct wire_ballot *b)
{
    uint64_t count = b->round & count_most;
    if (b->round >> ROUND_BITS == c->roster.epoch && count > c->reg_count && count < count_most / 2)
        c->reg_count = count;
}

/* ---- the line ---- */

static struct reg_op *op_at(const struct chord *c, uint32_t handle)
{
    struct reg_op *o = slab_get(&c->regs, handle);
    CHECK(o != NULL || handle == 0);
    return o;
}

static struct reg_slot *slot_of(const struct chord *c, const struct reg_op *o)
{
    struct reg_slot *s = slab_get(&c->slots, o->slot);
    CHECK(s != NULL);
    return s;
}

static void join_line(struct chord *c, struct reg_op *o)
{
    struct reg_op *last = op_at(c, c->line_end);
    o->phase = REG_LINE;
    o->prev = c->line_end;
    o->next = 0;
    *(last != NULL ? &last->next : &c->line) = o->handle;
    c->line_end = o->handle;
}

static void leave_line(struct chord *c, struct reg_op *o)
{
    struct reg_op *prev = op_at(c, o->prev), *next = op_at(c, o->next);
    CHECK(o->phase == REG_LINE);
    *(prev != NULL ? &prev->next : &c->line) = o->next;
    *(next != NULL ? &next->prev : &c->line_end) = o->prev;
    o->prev = o->next = 0;
}

/* Its key's next one has its turn. */
static void leave_key(struct chord *c, struct reg_op *o)
{
    struct reg_op *ahead = op_at(c, o->ahead), *behind = op_at(c, o->behind);
    if (behind != NULL)
        behind->ahead = o->ahead;
    if (ahead != NULL)
        ahead->behind = o->behind;
    if (behind != NULL && ahead == NULL)
        join_line(c, behind);
    if (behind == NULL && ahead == NULL) {
        bool was = map_del(&c->turns, o->key.b);
        CHECK(was);
    } else if (behind == NULL) {
        int err = map_put(&c->turns, o->key.b, o->ahead);
        CHECK(err == 0);
    }
}

static void give_slot(struct chord *c, struct reg_op *o)
{
    if (o->slot != 0)
        slab_release(&c->slots, o->slot);
    o->slot = 0;
}

/* ---- its end, and its next try ---- */

static void wake_at(struct chord *c, struct reg_op *o, uint64_t at_us)
{
    o->wake_us = at_us < o->deadline_us ? at_us : o->deadline_us;
    ops_wake(c, o->wake_us);
}

static void again(struct chord *c, struct reg_op *o, uint64_t after_us)
{
    CHECK(o->phase != REG_BEHIND && o->phase != REG_LINE);
    give_slot(c, o);
    o->phase = REG_WAIT;
    if (o->tries < UINT32_MAX)
        o->tries++;
    c->reg_stats.again++;
    wake_at(c, o, c->now + jitter(c, after_us));
}

/* Another proposer has come in between, or is about to. The shortest pause lets one that was
 * promised its ballot write; the longest leaves room for as many as there are likely to be, and
 * does not grow with the tries, or who has waited long would lose against who has just come. */
static void back_off(struct chord *c, struct reg_op *o)
{
    uint64_t trip = c->trip_us < REG_TRIP_LEAST_US ? REG_TRIP_LEAST_US : c->trip_us;
    uint64_t us = trip * (o->tries == 0 ? REG_PAUSE_FIRST : REG_PAUSE);
    again(c, o, us < REG_PAUSE_MOST_US ? us : REG_PAUSE_MOST_US);
}

static void count_end(struct chord *c, const struct reg_op *o, int err)
{
    struct chord_reg_stats *s = &c->reg_stats;
    s->ended++;
    s->ok += err == 0;
    if (o->tries > s->tries_most)
        s->tries_most = o->tries;
    if (o->trips > s->trips_most)
        s->trips_most = o->trips;
}

static void finish(struct chord *c, struct reg_op *o, int err)
{
    uint64_t token = o->token;
    size_t mark = c->scratch.used;
    struct peal_bytes value = {0};
    if (err == 0 || o->result < 0) {
        const struct reg_slot *s = slot_of(c, o);
        value = arena_copy(&c->scratch, peal_bytes_of(s->b, s->n));
    }
    bool mine = o->mine;
    count_end(c, o, err);
    give_slot(c, o);
    if (o->phase == REG_LINE)
        leave_line(c, o);
    if (!mine) {
        leave_key(c, o);
        CHECK(c->regs_app > 0);
        c->regs_app--;
    }
    slab_release(&c->regs, o->handle);
    if (mine)
        take_done(c, token, err, value);
    else
        c->cfg.app.reg_done(c->cfg.app.ctx, c->u, token, err, value);
    c->scratch.used = mark;
}

/* The end of time for o. */
static void expire(struct chord *c, struct reg_op *o)
{
    o->result = 0;
    finish(c, o, o->wrote ? PEAL_E_UNKNOWN : PEAL_E_UNAVAILABLE);
}

/* ---- rounds ---- */

static void send_phase(struct chord *c, struct reg_op *o)
{
    const struct reg_slot *s = slot_of(c, o);
    uint32_t handle = o->handle;
    o->answered = o->oks = o->nos = 0;
    o->sent_us = c->now;
    o->trips++;
    wake_at(c, o, c->now + REG_PHASE_US);
    for (size_t i = 0; i < o->homes; i++) {
        union wire_any m;
        memset(&m, 0, sizeof m);
        if (o->phase == REG_ACCEPT)
            m.n_reg_accept = (struct wire_n_reg_accept){.ring = c->roster.ring,
                                                        .epoch = o->epoch,
                                                        .op = handle,
                                                        .key = o->key,
                                                        .ballot = o->ballot,
                                                        .next = o->after,
                                                        .value = peal_bytes_of(s->b, s->n)};
        else
            m.n_reg_prepare = (struct wire_n_reg_prepare){.ring = c->roster.ring,
                                                          .epoch = o->epoch,
                                                          .op = handle,
                                                          .look = o->phase == REG_LOOK,
                                                          .key = o->key,
                                                          .ballot = o->ballot};
        bool asked = is_up(c, &o->home[i]) &&
                     request(c, &o->home[i],
                             o->phase == REG_ACCEPT ? WIRE_n_reg_accept : WIRE_n_reg_prepare, &m);
        if (asked)
            continue;
        o->answered |= (uint8_t)(1u << i); /* nothing is waited for from who is down */
        o->nos++;
    }
    if (o->homes - o->nos < o->need)
        back_off(c, o);
}

/* A ballot above all that o has met, and has had itself. False: a peer has promised the epoch's
 * last one. Who was refused leaps, further each time: another that writes without asking counts on
 * with each round trip, and would be ahead again. */
static bool new_ballot(struct chord *c, const struct reg_op *o, struct wire_ballot *out)
{
    uint64_t count = c->reg_count;
    if (o->above >> ROUND_BITS == o->epoch && (o->above & count_most) > count)
        count = o->above & count_most;
    if (o->ballot.round >> ROUND_BITS == o->epoch && (o->ballot.round & count_most) > count)
        count = o->ballot.round & count_most;
    uint64_t leap = 1;
    if (o->above != 0)
        leap <<= o->tries < REG_LEAP_MOST ? o->tries : REG_LEAP_MOST;
    if (count_most - count < leap)
        leap = count_most - count;
    if (leap == 0)
        return false;
    count += leap;
    if (count < count_most / 2) /* beyond, it is o's register's only: see reg_met */
        c->reg_count = count;
    *out = (struct wire_ballot){.round = o->epoch << ROUND_BITS | count, .node = c->cfg.self};
    return true;
}

static void ask(struct chord *c, struct reg_op *o, enum reg_phase phase)
{
    if (!new_ballot(c, o, &o->ballot)) {
        again(c, o, RETRY_US);
        return;
    }
    if (phase == REG_LOOK) {
        c->reg_stats.looks++;
    } else {
        cache_drop(c, &o->key);
        c->reg_stats.prepares++;
    }
    o->phase = phase;
    o->looked = o->looked || phase == REG_LOOK;
    o->best = (struct wire_ballot){0};
    o->same = true;
    o->cached = false;
    o->result = 0;
    slot_of(c, o)->n = 0;
    send_phase(c, o);
}

/* changed: o's slot holds what the change function made. */
static void write_value(struct chord *c, struct reg_op *o, bool changed)
{
    o->wrote = o->wrote || changed;
    o->phase = REG_ACCEPT;
    if (!new_ballot(c, o, &o->after))
        o->after = (struct wire_ballot){0};
    CHECK(o->after.round == 0 || ballot_cmp(&o->after, &o->ballot) > 0);
    c->reg_stats.accepts++;
    c->reg_stats.kept += o->cached;
    send_phase(c, o);
}

/* What the change function makes of old; its value, if any, is in o's slot then. */
static int consult(struct chord *c, struct reg_op *o, struct peal_bytes old)
{
    struct peal_bytes value = {0};
    uint32_t handle = o->handle;
    int r = 0;
    if (o->mine)
        r = take_change(c, o->token, old, &value);
    else if (!o->read)
        r = c->cfg.app.reg_change(c->cfg.app.ctx, o->token, old, &value);
    CHECK(slab_get(&c->regs, handle) == o && value.n <= WIRE_REGISTER_MAX);
    o->result = r < 0 ? r : 0;
    if (r > 0) {
        struct reg_slot *s = slot_of(c, o);
        if (value.n > 0)
            memmove(s->b, value.p, value.n);
        s->n = value.n;
    }
    return r;
}

/* To say that there is nothing might be wrong in a moment. */
static bool too_early(struct chord *c, const struct reg_op *o, size_t n)
{
    return n == 0 && !o->mine && take_expected(c);
}

/* Goes on from what is cached; false when nothing is. */
static bool go_on(struct chord *c, struct reg_op *o)
{
    const struct cached *e = o->mine || o->read ? NULL : cache_find(c, &o->key);
    if (e == NULL || too_early(c, o, e->n))
        return false;
    size_t mark = c->scratch.used;
    struct wire_ballot next = e->next;
    o->contended = c->now - e->kept_us < REG_PAUSE_MOST_US;
    int r = consult(c, o, cache_value(c, e));
    c->scratch.used = mark;
    if (r <= 0) { /* it must hear that from a quorum */
        if (o->looked)
            return false;
        ask(c, o, REG_LOOK);
        return true;
    }
    e = cache_find(c, &o->key);
    if (e == NULL || ballot_cmp(&e->next, &next) != 0)
        return false; /* the app began something that let another operation of this key begin */
    cache_drop(c, &o->key);
    o->ballot = next;
    o->cached = true;
    write_value(c, o, true);
    return true;
}

static size_t homes_up(const struct chord *c, const struct reg_op *o)
{
    size_t n = 0;
    for (size_t i = 0; i < o->homes; i++)
        n += is_up(c, &o->home[i]);
    return n;
}

/* Whether a quorum can be asked now; if so, o knows whom. */
static bool can_ask(struct chord *c, struct reg_op *o)
{
    if (c->roster.epoch == 0 || c->state == CHORD_LEFT)
        return false;
    o->epoch = c->roster.epoch;
    o->homes = (uint8_t)roster_home(&c->roster, &o->key, o->home);
    o->need = (uint8_t)majority(o->homes);
    return homes_up(c, o) >= o->need;
}

/* Those whose turn it is begin, as far as there are slots. */
static void pump(struct chord *c)
{
    struct reg_op *o;
    while ((o = op_at(c, c->line)) != NULL && ops_room(c)) {
        bool can = can_ask(c, o);
        if (can && slab_take(&c->slots, &o->slot) == NULL)
            return;
        leave_line(c, o);
        o->phase = REG_WAIT;
        if (!can)
            again(c, o, RETRY_US);
        else if (o->read && !o->looked)
            ask(c, o, REG_LOOK);
        else if (!go_on(c, o))
            ask(c, o, REG_PREPARE);
    }
}

/* ---- beginning ---- */

static uint64_t line_due(const struct reg_op *o)
{
    return o->deadline_us / REG_GRAIN_US * REG_GRAIN_US;
}

static struct reg_op *start(struct chord *c, uint64_t token, const struct peal_id *key,
                            uint64_t timeout_us, bool mine)
{
    uint32_t handle = 0, last = 0;
    if (!mine && c->regs_app == c->regs.cap - TAKE_MAX)
        return NULL;
    struct reg_op *o = slab_take(&c->regs, &handle);
    if (o == NULL)
        return NULL;
    o->token = token;
    o->key = *key;
    o->handle = handle;
    o->deadline_us = c->now + timeout_us;
    o->mine = mine;
    ops_wake(c, line_due(o));
    if (mine) {
        join_line(c, o);
        return o;
    }
    c->regs_app++;
    if (map_get(&c->turns, key->b, &last)) {
        o->phase = REG_BEHIND;
        o->ahead = last;
        op_at(c, last)->behind = handle;
    } else {
        join_line(c, o);
    }
    int err = map_put(&c->turns, key->b, handle);
    CHECK(err == 0);
    return o;
}

static int start_app(struct chord *c, uint64_t token, const struct peal_id *key,
                     uint64_t timeout_us, bool read)
{
    struct reg_op *o = start(c, token, key, timeout_us, false);
    if (o == NULL)
        return PEAL_E_BUSY;
    o->read = read;
    pump(c);
    return 0;
}

int chord_reg_change(struct chord *c, const struct step_event *ev, struct step_update *u,
                     uint64_t token, const struct peal_id *key, uint64_t timeout_us)
{
    note_call(c, ev, u);
    return start_app(c, token, key, timeout_us, false);
}

int chord_reg_read(struct chord *c, const struct step_event *ev, struct step_update *u,
                   uint64_t token, const struct peal_id *key, uint64_t timeout_us)
{
    note_call(c, ev, u);
    return start_app(c, token, key, timeout_us, true);
}

int reg_begin_take(struct chord *c, uint64_t op, const struct peal_id *key, uint64_t timeout_us)
{
    if (start(c, op, key, timeout_us, true) == NULL)
        return PEAL_E_BUSY;
    pump(c);
    return 0;
}

/* ---- answers ---- */

/* The op that an answer belongs to, with the home's place; NULL when it is stale. A ballot is one
 * round's, but for that of a PREPARE and its ACCEPT. */
static struct reg_op *op_of(struct chord *c, const struct source *src, uint64_t op, bool accepted,
                            const struct wire_ballot *b)
{
    struct reg_op *o = op > UINT32_MAX ? NULL : slab_get(&c->regs, (uint32_t)op);
    if (o == NULL || o->slot == 0 || (o->phase == REG_ACCEPT) != accepted ||
        ballot_cmp(&o->ballot, b) != 0)
        return NULL;
    for (size_t i = 0; i < o->homes; i++) {
        uint8_t mine = (uint8_t)(1u << i);
        if (!id_eq(&o->home[i], &src->id) || (o->answered & mine) != 0)
            continue;
        o->answered |= mine;
        return o;
    }
    return NULL;
}

static void refused(struct chord *c, struct reg_op *o, const struct source *src, int code,
                    uint64_t epoch, const struct wire_ballot *promised)
{
    if (code == PEAL_E_STALE && epoch < c->roster.epoch)
        roster_tell(c, src);
    if (promised->round > o->above)
        o->above = promised->round;
    reg_met(c, promised);
    o->nos++;
    if (o->homes - o->nos >= o->need)
        return; /* the others suffice */
    bool old = o->phase == REG_PREPARE ? o->tries == 0 : o->cached && !o->contended;
    if (old && code == PEAL_E_REFUSED) { /* what this node knew is just old */
        o->tries++;
        c->reg_stats.again++;
        ask(c, o, REG_PREPARE);
    } else {
        back_off(c, o);
    }
}

/* What the majority that has answered holds is decided. */
static bool is_settled(const struct reg_op *o)
{
    return o->same && (o->best.round == 0 || o->best.round >> ROUND_BITS == o->epoch);
}

/* A majority has answered: what was asked is known. */
static void answered(struct chord *c, struct reg_op *o)
{
    struct reg_slot *s = slot_of(c, o);
    bool look = o->phase == REG_LOOK;
    if (look) {
        const struct cached *e = cache_find(c, &o->key);
        if (e != NULL && (!o->same || ballot_cmp(&e->accepted, &o->best) != 0))
            cache_drop(c, &o->key);
    }
    if (look && !is_settled(o)) {
        ask(c, o, REG_PREPARE);
        return;
    }
    if (too_early(c, o, s->n)) {
        again(c, o, RETRY_US);
        return;
    }
    int r = consult(c, o, peal_bytes_of(s->b, s->n));
    if (r <= 0 && is_settled(o)) {
        if (!look && !o->mine)
            cache_put(c, o->epoch, &o->key, &o->ballot, &o->best, peal_bytes_of(s->b, s->n));
        finish(c, o, o->result);
    } else if (look) {
        ask(c, o, REG_PREPARE);
    } else {
        write_value(c, o, r > 0);
    }
}

static bool is_majority(struct chord *c, struct reg_op *o)
{
    if (++o->oks != o->need)
        return false;
    int64_t more = (int64_t)(c->now - o->sent_us) - (int64_t)c->trip_us;
    c->trip_us = (uint64_t)((int64_t)c->trip_us + more / 8);
    return true;
}

void on_reg_promise(struct chord *c, const struct source *src, const struct wire_n_reg_promise *m)
{
    struct reg_op *o = op_of(c, src, m->op, false, &m->ballot);
    if (o == NULL)
        return;
    /* who promises a ballot has accepted none that is as high */
    bool sound = o->phase == REG_LOOK || ballot_cmp(&m->accepted, &o->ballot) < 0;
    if (m->code != 0) {
        refused(c, o, src, -(int)m->code, m->epoch, &m->promised);
    } else if (!sound) {
        refused(c, o, src, PEAL_E_MALFORMED, m->epoch, &m->promised);
    } else {
        reg_met(c, &m->promised);
        int cmp = ballot_cmp(&m->accepted, &o->best);
        if (o->oks > 0 && cmp != 0)
            o->same = false;
        if (cmp > 0) {
            struct reg_slot *s = slot_of(c, o);
            o->best = m->accepted;
            if (m->value.n > 0)
                memcpy(s->b, m->value.p, m->value.n);
            s->n = m->value.n;
        }
        if (is_majority(c, o))
            answered(c, o);
    }
    pump(c);
}

void on_reg_accepted(struct chord *c, const struct source *src, const struct wire_n_reg_accepted *m)
{
    struct reg_op *o = op_of(c, src, m->op, true, &m->ballot);
    if (o == NULL)
        return;
    if (m->code != 0) {
        refused(c, o, src, -(int)m->code, m->epoch, &m->promised);
    } else if (is_majority(c, o)) {
        const struct reg_slot *s = slot_of(c, o);
        if (!o->mine)
            cache_put(c, o->epoch, &o->key, &o->after, &o->ballot, peal_bytes_of(s->b, s->n));
        finish(c, o, o->result);
    }
    pump(c);
}

/* ---- time, and lost members ---- */

static void look_at(struct chord *c, struct reg_op *o)
{
    switch (o->phase) {
    case REG_BEHIND:
    case REG_LINE:
        if (c->now >= line_due(o))
            expire(c, o);
        else
            ops_wake(c, line_due(o));
        break;
    case REG_WAIT:
        if (c->now >= o->deadline_us)
            expire(c, o);
        else if (c->now >= o->wake_us)
            join_line(c, o);
        else
            ops_wake(c, o->wake_us);
        break;
    case REG_LOOK:
    case REG_PREPARE:
    case REG_ACCEPT:
        if (c->now >= o->deadline_us)
            expire(c, o);
        else if (c->now >= o->wake_us || o->epoch != c->roster.epoch)
            back_off(c, o);
        else
            ops_wake(c, o->wake_us);
        break;
    }
}

void regs_timer(struct chord *c)
{
    uint32_t at = 0, handle = 0;
    struct reg_op *o;
    while (c->regs.used > 0 && (o = slab_each(&c->regs, &at, &handle)) != NULL) {
        if (!ops_room(c))
            return;
        look_at(c, o);
    }
    pump(c);
}

/* peer went down: what it was still to answer will not come. */
void regs_lost(struct chord *c, const struct peal_id *peer)
{
    uint32_t at = 0, handle = 0;
    struct reg_op *o;
    while (c->regs.used > 0 && (o = slab_each(&c->regs, &at, &handle)) != NULL) {
        for (size_t i = 0; o->slot != 0 && i < o->homes; i++) {
            if (!id_eq(&o->home[i], peer) || (o->answered & (1u << i)) != 0)
                continue;
            o->answered |= (uint8_t)(1u << i);
            o->nos++;
            if (o->homes - o->nos < o->need)
                back_off(c, o);
        }
    }
    ops_wake(c, c->now);
}
