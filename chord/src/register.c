/* register: the proposer of CASPaxos, one operation at a time per slot.
 *
 *   WAIT --wake--> PREPARE --majority promised--> (change) --> ACCEPT --majority accepted--> done
 *    ^                |                                          |
 *    +----------------+--refused, too few answers, new epoch-----+   (back-off at random)
 *
 * A read is an operation whose change leaves the value: it is settled at once when a whole majority
 * holds the same accepted ballot of this epoch, since that value is then decided; otherwise it is
 * written again. (Of an older epoch's ballot some may be copies: what one had accepted alone would
 * look decided, while another holds a higher one that was not copied.)
 * A change function that refuses is told so only after what it has read is settled, for else it
 * might have refused for something that never was. */
#include "inner.h"

#include <string.h>

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

static void wake_at(struct chord *c, struct reg_op *o, uint64_t at_us)
{
    o->wake_us = at_us < o->deadline_us ? at_us : o->deadline_us;
    ops_wake(c, o->wake_us);
}

static void again(struct chord *c, struct reg_op *o, uint64_t after_us)
{
    o->phase = REG_WAIT;
    uint64_t wait = after_us;
    for (uint32_t i = 0; i < o->tries && wait < RETRY_US; i++)
        wait *= 2;
    if (o->tries < UINT32_MAX)
        o->tries++;
    wake_at(c, o, c->now + jitter(c, wait));
}

static void finish(struct chord *c, struct reg_op *o, int err)
{
    uint64_t token = o->token;
    size_t mark = c->scratch.used;
    struct peal_bytes value = {0};
    if (err == 0 || o->result < 0)
        value = arena_copy(&c->scratch, peal_bytes_of(o->value, o->value_n));
    bool mine = o->mine;
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
    finish(c, o, o->accept_sent ? PEAL_E_UNKNOWN : PEAL_E_UNAVAILABLE);
}

static void send_phase(struct chord *c, struct reg_op *o)
{
    uint32_t handle = o->handle;
    for (size_t i = 0; i < o->homes; i++) {
        union wire_any m;
        memset(&m, 0, sizeof m);
        if (!is_up(c, &o->home[i]))
            continue;
        if (o->phase == REG_PREPARE) {
            m.n_reg_prepare = (struct wire_n_reg_prepare){
                .ring = c->roster.ring,
                .epoch = o->epoch,
                .op = handle,
                .key = o->key,
                .ballot = o->ballot};
            (void)request(c, &o->home[i], WIRE_n_reg_prepare, &m);
        } else {
            m.n_reg_accept =
                (struct wire_n_reg_accept){.ring = c->roster.ring,
                                           .epoch = o->epoch,
                                           .op = handle,
                                           .key = o->key,
                                           .ballot = o->ballot,
                                           .value = peal_bytes_of(o->value, o->value_n)};
            (void)request(c, &o->home[i], WIRE_n_reg_accept, &m);
        }
    }
}

static size_t homes_up(const struct chord *c, const struct reg_op *o)
{
    size_t n = 0;
    for (size_t i = 0; i < o->homes; i++)
        n += is_up(c, &o->home[i]);
    return n;
}

static void begin(struct chord *c, struct reg_op *o)
{
    if (c->roster.epoch == 0 || c->state == CHORD_LEFT) {
        again(c, o, RETRY_US);
        return;
    }
    o->epoch = c->roster.epoch;
    o->homes = (uint8_t)roster_home(&c->roster, &o->key, o->home);
    o->need = (uint8_t)majority(o->homes);
    if (homes_up(c, o) < o->need) {
        again(c, o, RETRY_US);
        return;
    }
    const uint64_t count_most = ((uint64_t)1 << ROUND_BITS) - 1;
    uint64_t count = c->reg_count;
    if (o->above >> ROUND_BITS == o->epoch && (o->above & count_most) > count)
        count = o->above & count_most;
    if (count == count_most) { /* a peer has promised the epoch's last ballot */
        again(c, o, RETRY_US);
        return;
    }
    c->reg_count = ++count;
    uint64_t round = o->epoch << ROUND_BITS | count;
    o->ballot = (struct wire_ballot){.round = round, .node = c->cfg.self};
    o->phase = REG_PREPARE;
    o->best = (struct wire_ballot){0};
    o->same = true;
    o->answered = o->oks = o->nos = 0;
    o->value_n = 0;
    o->result = 0;
    wake_at(c, o, c->now + REG_PHASE_US);
    send_phase(c, o);
}

static int start(struct chord *c, uint64_t token, const struct peal_id *key, uint64_t timeout_us,
                 bool mine)
{
    uint32_t handle = 0;
    struct reg_op *o = slab_take(&c->regs, &handle);
    if (o == NULL)
        return PEAL_E_BUSY;
    o->token = token;
    o->key = *key;
    o->handle = handle;
    o->deadline_us = c->now + timeout_us;
    o->mine = mine;
    begin(c, o);
    return 0;
}

int chord_reg_change(struct chord *c, const struct step_event *ev, struct step_update *u,
                     uint64_t token, const struct peal_id *key, uint64_t timeout_us)
{
    note_call(c, ev, u);
    return start(c, token, key, timeout_us, false);
}

int reg_begin_take(struct chord *c, uint64_t op, const struct peal_id *key, uint64_t timeout_us)
{
    return start(c, op, key, timeout_us, true);
}

/* The op that an answer belongs to, with the home's place; NULL when it is stale. */
static struct reg_op *op_of(struct chord *c, const struct source *src, uint64_t op,
                            enum reg_phase phase, const struct wire_ballot *b, uint8_t *bit)
{
    struct reg_op *o = op > UINT32_MAX ? NULL : slab_get(&c->regs, (uint32_t)op);
    if (o == NULL || o->phase != phase || ballot_cmp(&o->ballot, b) != 0)
        return NULL;
    for (size_t i = 0; i < o->homes; i++) {
        uint8_t mine = (uint8_t)(1u << i);
        if (!id_eq(&o->home[i], &src->id) || (o->answered & mine) != 0)
            continue;
        o->answered |= mine;
        *bit = mine;
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
    o->nos++;
    if (o->homes - o->nos >= o->need && code != PEAL_E_REFUSED)
        return; /* the others suffice */
    again(c, o, code == PEAL_E_STALE ? 2 * REG_BACKOFF_US : REG_BACKOFF_US);
}

static void change(struct chord *c, struct reg_op *o)
{
    struct peal_bytes value = {0}, old = peal_bytes_of(o->value, o->value_n);
    uint32_t handle = o->handle;
    if (o->value_n == 0 && !o->mine && take_expected(c)) {
        again(c, o, RETRY_US); /* to say that there is nothing might be wrong in a moment */
        return;
    }
    int r = o->mine ? take_change(c, o->token, old, &value)
                    : c->cfg.app.reg_change(c->cfg.app.ctx, o->token, old, &value);
    CHECK(slab_get(&c->regs, handle) == o);
    o->result = r < 0 ? r : 0;
    bool of_now = o->best.round == 0 || o->best.round >> ROUND_BITS == o->epoch;
    if (r <= 0 && o->same && of_now) {
        finish(c, o, o->result);
        return;
    }
    if (r > 0) {
        CHECK(value.n <= WIRE_REGISTER_MAX);
        memmove(o->value, value.p, value.n);
        o->value_n = value.n;
    }
    o->phase = REG_ACCEPT;
    o->answered = o->oks = o->nos = 0;
    o->accept_sent = true;
    wake_at(c, o, c->now + REG_PHASE_US);
    send_phase(c, o);
}

void on_reg_promise(struct chord *c, const struct source *src, const struct wire_n_reg_promise *m)
{
    uint8_t bit = 0;
    struct reg_op *o = op_of(c, src, m->op, REG_PREPARE, &m->ballot, &bit);
    if (o == NULL)
        return;
    if (m->code != 0) {
        refused(c, o, src, -(int)m->code, m->epoch, &m->promised);
        return;
    }
    int cmp = ballot_cmp(&m->accepted, &o->best);
    if (o->oks > 0 && cmp != 0)
        o->same = false;
    if (cmp > 0) {
        o->best = m->accepted;
        memcpy(o->value, m->value.p, m->value.n);
        o->value_n = m->value.n;
    }
    o->oks++;
    if (o->oks == o->need)
        change(c, o);
}

void on_reg_accepted(struct chord *c, const struct source *src, const struct wire_n_reg_accepted *m)
{
    uint8_t bit = 0;
    struct reg_op *o = op_of(c, src, m->op, REG_ACCEPT, &m->ballot, &bit);
    if (o == NULL)
        return;
    if (m->code != 0) {
        refused(c, o, src, -(int)m->code, m->epoch, &m->promised);
        return;
    }
    o->oks++;
    if (o->oks == o->need)
        finish(c, o, o->result);
}

void regs_timer(struct chord *c)
{
    uint32_t at = 0, handle = 0;
    struct reg_op *o;
    while ((o = slab_each(&c->regs, &at, &handle)) != NULL) {
        if (!ops_room(c))
            return;
        if (c->now >= o->deadline_us)
            expire(c, o);
        else if (o->phase == REG_WAIT && c->now >= o->wake_us)
            begin(c, o);
        else if (c->now >= o->wake_us)
            again(c, o, REG_BACKOFF_US);
        else if (o->epoch != c->roster.epoch && o->phase != REG_WAIT)
            again(c, o, REG_BACKOFF_US);
        else
            ops_wake(c, o->wake_us);
    }
}

/* peer went down: what it was still to answer will not come. */
void regs_lost(struct chord *c, const struct peal_id *peer)
{
    uint32_t at = 0, handle = 0;
    struct reg_op *o;
    while ((o = slab_each(&c->regs, &at, &handle)) != NULL) {
        for (size_t i = 0; o->phase != REG_WAIT && i < o->homes; i++) {
            if (!id_eq(&o->home[i], peer) || (o->answered & (1u << i)) != 0)
                continue;
            o->answered |= (uint8_t)(1u << i);
            o->nos++;
            if (o->homes - o->nos < o->need)
                again(c, o, REG_BACKOFF_US);
        }
    }
}
