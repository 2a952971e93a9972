/* sweep: goes through everything on this node's disk, a little at a time: what has expired is
 * dropped, rows are counted, and what this node is not home of (held in another's place, or left
 * over from an earlier epoch) is given to its homes and dropped when every one of them has said
 * that it has it on disk. */
#include "inner.h"

#include <string.h>

enum { SWEEP_OP = 1 }; /* marks a handover's number, in its upper half, against those of puts */

void sweep_soon(struct chord *c)
{
    c->sweep.again = true;
    if (c->sweep.due_us > c->now + SECOND)
        c->sweep.due_us = c->now + jitter(c, SECOND / 2);
}

void sweep_stray(struct chord *c)
{
    uint64_t at = c->now + REPAIR_EVERY_US;
    c->sweep.again = true;
    if (at < c->sweep.due_us)
        c->sweep.due_us = at;
}

struct sweeping {
    struct chord *c;
    struct batch batch;
    size_t seen, dropped;
    bool stopped;
};

/* Takes a record that belongs elsewhere into the handover; false when it has to wait for the next
 * one. */
static bool take_stray(struct sweeping *s, struct peal_bytes key, struct peal_bytes value,
                       uint8_t kind, const struct wire_ballot *accepted)
{
    struct chord *c = s->c;
    struct handover *h = &c->sweep.over;
    struct peal_id id = id_from_bytes(key.p), home[CHORD_REPLICAS_MAX + 1];
    size_t homes = roster_home(&c->roster, &id, home);
    if (h->n == WIRE_PAGE_ROWS || (h->n > 0 && !id_eq(&home[0], &h->home[0])))
        return false;
    size_t before = s->batch.records_n + s->batch.rows_n;
    if (!batch_add(c, &s->batch, c->sweep.space, key, value))
        return false;
    if (s->batch.records_n + s->batch.rows_n == before)
        return true; /* nothing in it that could be given */
    h->homes = homes;
    memcpy(h->home, home, homes * sizeof home[0]);
    struct stray *t = &h->items[h->n++];
    *t = (struct stray){
        .space = c->sweep.space, .key_n = (uint8_t)key.n, .kind = kind, .accepted = *accepted};
    memcpy(t->key, key.p, key.n);
    return true;
}

static bool sweep_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct sweeping *s = ctx;
    struct chord *c = s->c;
    struct sweep *w = &c->sweep;
    size_t form = w->space == STEP_REGISTERS ? ID_BYTES : ROW_KEY_BYTES;
    struct wire_s_row row = {0};
    struct reg_state reg = {0};
    bool good = key.n == form && (w->space == STEP_REGISTERS ? reg_decode(value, &reg) == 0
                                                             : row_decode(value, &row) == 0);
    enum expire_answer over = EXPIRE_KEEP;
    if (good && w->space == STEP_ROWS && row_due(c, &row.row))
        over = expire_take(c, &row.row);
    if (over == EXPIRE_WAIT) {
        s->stopped = true;
        return false;
    }
    if (over == EXPIRE_DROP) {
        step_write_lazy(c->u, STEP_ROWS, STEP_DEL, key, (struct peal_bytes){0}, false);
        mark_dirty(c, &row.row.box);
        s->dropped++;
    } else if (good) {
        struct peal_id id = id_from_bytes(key.p);
        if (!roster_is_home(&c->roster, &id, &c->cfg.self) &&
            !take_stray(s, key, value, row.row.kind, &reg.accepted)) {
            s->stopped = true;
            return false;
        }
        w->rows += w->space == STEP_ROWS && row.row.kind != WIRE_ROW_TOMBSTONE;
        if (w->space == STEP_ROWS)
            box_met(c, &row.row);
    }
    if (key.n <= WIRE_KEY_MAX) {
        memcpy(w->after, key.p, key.n);
        w->after_n = key.n;
    }
    s->seen++;
    return true;
}

static void give(struct chord *c, struct batch *b)
{
    struct handover *h = &c->sweep.over;
    h->active = true;
    h->op = (uint64_t)SWEEP_OP << 32 | (uint32_t)rng_next(&c->rng);
    h->until_us = c->now + HANDOVER_WAIT_US;
    bool any = false;
    size_t from = c->u->n;
    for (size_t i = 0; i < h->homes; i++) {
        struct wire_n_records m = {.ring = c->roster.ring,
                                   .epoch = c->roster.epoch,
                                   .op = h->op,
                                   .records = {.v = b->records, .n = b->records_n},
                                   .rows = {.v = b->rows, .n = b->rows_n}};
        h->ok[i] = false;
        h->asked[i] = is_up(c, &h->home[i]) && send_to(c, &h->home[i], WIRE_n_records, &m);
        any = any || h->asked[i];
    }
    repair_spent(c, from);
    if (!any) {
        h->active = false;
        h->n = 0;
    }
}

static bool unchanged(struct chord *c, const struct stray *t)
{
    struct peal_bytes v;
    enum step_space space = t->space == STEP_REGISTERS ? STEP_REGISTERS : STEP_ROWS;
    if (c->rd->get(c->rd->ctx, space, peal_bytes_of(t->key, t->key_n), &c->scratch, &v) < 0)
        return false;
    if (space == STEP_REGISTERS) {
        struct reg_state r;
        return reg_decode(v, &r) == 0 && ballot_cmp(&r.accepted, &t->accepted) == 0;
    }
    struct wire_s_row s;
    return row_decode(v, &s) == 0 && s.row.kind == t->kind;
}

static void end_handover(struct chord *c)
{
    struct handover *h = &c->sweep.over;
    size_t oks = 0, dropped = 0;
    for (size_t i = 0; i < h->homes; i++)
        oks += h->ok[i];
    for (size_t i = 0; oks == h->homes && i < h->n; i++) {
        const struct stray *t = &h->items[i];
        struct peal_id id = id_from_bytes(t->key);
        size_t mark = c->scratch.used;
        enum step_space space = t->space == STEP_REGISTERS ? STEP_REGISTERS : STEP_ROWS;
        if (!roster_is_home(&c->roster, &id, &c->cfg.self) && unchanged(c, t)) {
            step_write(c->u, space, STEP_DEL, peal_bytes_of(t->key, t->key_n),
                       (struct peal_bytes){0});
            dropped++;
        }
        c->scratch.used = mark;
    }
    /* without a drop it is tried again and again, as long as a home is down */
    step_trace(c->u, dropped > 0 ? STEP_INFO : STEP_DEBUG, "repair",
               "handed over %zu records, %zu of %zu homes have them; %zu dropped", h->n, oks,
               h->homes, dropped);
    h->active = false;
    h->n = 0;
    if (c->sweep.space != STEP_REGISTERS || c->sweep.after_n > 0)
        c->sweep.due_us = c->now; /* in the middle of a pass, which goes on */
}

void sweep_ok(struct chord *c, const struct source *src, const struct wire_n_set_ok *m)
{
    struct handover *h = &c->sweep.over;
    if (!h->active || m->op != h->op)
        return;
    bool waiting = false;
    for (size_t i = 0; i < h->homes; i++) {
        if (h->asked[i] && id_eq(&h->home[i], &src->id)) {
            h->ok[i] = m->code == 0;
            h->asked[i] = false;
        }
        waiting = waiting || h->asked[i];
    }
    if (!waiting)
        end_handover(c);
}

static void end_pass(struct chord *c)
{
    struct sweep *w = &c->sweep;
    box_met_all(c);
    expire_pass(c);
    c->rows = w->rows;
    w->rows = 0;
    w->space = STEP_REGISTERS;
    w->after_n = 0;
    w->due_us = c->now + jitter(c, w->again ? REPAIR_EVERY_US : SWEEP_REST_US);
    w->again = false;
}

void sweep_timer(struct chord *c)
{
    struct sweep *w = &c->sweep;
    if (c->state != CHORD_MEMBER || c->store_err < 0)
        return;
    if (w->over.active) {
        if (c->now >= w->over.until_us)
            end_handover(c);
        return;
    }
    if (c->now < w->due_us || !repair_may_hand_over(c))
        return;
    if (w->space == STEP_META)
        w->space = STEP_REGISTERS;
    size_t mark = c->scratch.used;
    struct sweeping s = {.c = c};
    uint8_t from[WIRE_KEY_MAX + 1];
    size_t n = w->after_n < WIRE_KEY_MAX ? w->after_n : WIRE_KEY_MAX - 1;
    memcpy(from, w->after, n);
    if (n > 0)
        from[n++] = 0;
    int err = c->rd->scan(c->rd->ctx, w->space, peal_bytes_of(from, n), (struct peal_bytes){0},
                          SWEEP_STEP, sweep_one, &s);
    if (err < 0)
        step_trace(c->u, STEP_WARN, "store", "a record cannot be read: %s", err_prose(err));
    if (s.dropped > 0)
        step_trace(c->u, STEP_DEBUG, "repair", "%zu rows have expired", s.dropped);
    w->due_us = c->now + TICK_US;
    expire_begin(c);
    if (w->over.n > 0)
        give(c, &s.batch);
    c->scratch.used = mark;
    if (s.stopped || (err == 0 && s.seen == SWEEP_STEP))
        return;
    w->after_n = 0;
    if (w->space == STEP_REGISTERS)
        w->space = STEP_ROWS;
    else
        end_pass(c);
}
