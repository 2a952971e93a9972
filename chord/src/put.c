/* put: writing a row to its homes. Each home that is down has its place taken by the next live
 * member after the homes, which notes for whom it holds the row. Done when W = R/2 + 1 nodes have
 * it on disk; the others get it all the same. */
#include "inner.h"

#include <string.h>

/* ---- the pool of bodies ---- */

size_t pool_size(uint32_t blocks)
{
    return (size_t)blocks * (POOL_BLOCK + sizeof(uint32_t));
}

void pool_init(struct pool *p, void *mem, uint32_t blocks)
{
    p->data = mem;
    p->next = (uint32_t *)(void *)((uint8_t *)mem + (size_t)blocks * POOL_BLOCK);
    p->cap = blocks;
    p->used = 0;
    p->free = 0;
    for (uint32_t i = 0; i < blocks; i++)
        p->next[i] = i + 1 < blocks ? i + 1 : NO_BLOCK;
}

bool pool_keep(struct pool *p, struct peal_bytes b, uint32_t *first)
{
    size_t need = b.n == 0 ? 1 : (b.n + POOL_BLOCK - 1) / POOL_BLOCK;
    if (need > p->cap - p->used)
        return false;
    *first = p->free;
    uint32_t at = p->free, last = NO_BLOCK;
    for (size_t i = 0; i < need; i++) {
        CHECK(at != NO_BLOCK);
        size_t off = i * POOL_BLOCK, n = b.n - off < POOL_BLOCK ? b.n - off : POOL_BLOCK;
        if (n > 0)
            memcpy(p->data + (size_t)at * POOL_BLOCK, b.p + off, n);
        last = at;
        at = p->next[at];
    }
    p->free = at;
    p->next[last] = NO_BLOCK;
    p->used += (uint32_t)need;
    return true;
}

void pool_drop(struct pool *p, uint32_t first)
{
    while (first != NO_BLOCK) {
        uint32_t next = p->next[first];
        CHECK(p->used > 0);
        p->next[first] = p->free;
        p->free = first;
        p->used--;
        first = next;
    }
}

void pool_copy(const struct pool *p, uint32_t first, size_t n, uint8_t *out)
{
    for (size_t off = 0; off < n; off += POOL_BLOCK) {
        CHECK(first != NO_BLOCK);
        size_t part = n - off < POOL_BLOCK ? n - off : POOL_BLOCK;
        memcpy(out + off, p->data + (size_t)first * POOL_BLOCK, part);
        first = p->next[first];
    }
}

static struct peal_bytes pool_read(struct chord *c, uint32_t first, size_t n)
{
    uint8_t *out = arena_take(&c->scratch, n);
    CHECK(out != NULL);
    pool_copy(&c->pool, first, n, out);
    return peal_bytes_of(out, n);
}

/* ---- the operation ---- */

static void finish(struct chord *c, struct put_op *o, int err)
{
    uint64_t token = o->token;
    pool_drop(&c->pool, o->blocks);
    bool own = o->own;
    slab_release(&c->puts, o->handle);
    if (own)
        expire_done(c, token, err);
    else
        c->cfg.app.set_done(c->cfg.app.ctx, c->u, token, err);
}

static struct target *target_of(struct put_op *o, const struct peal_id *id)
{
    for (size_t i = 0; i < o->targets_n; i++)
        if (id_eq(&o->targets[i].id, id))
            return &o->targets[i];
    return NULL;
}

static bool covered(const struct put_op *o, const struct peal_id *home)
{
    for (size_t i = 0; i < o->targets_n; i++) {
        const struct target *t = &o->targets[i];
        if (t->state != TARGET_FAILED && (id_eq(&t->id, home) || id_eq(&t->hint, home)))
            return true;
    }
    return false;
}

static void send_row(struct chord *c, struct put_op *o, const struct wire_row *row,
                     const struct peal_id *to, const struct peal_id *hint, bool push)
{
    struct target *t = target_of(o, to);
    if (t == NULL) {
        if (o->targets_n == TARGETS_MAX)
            return;
        t = &o->targets[o->targets_n++];
        *t = (struct target){.id = *to};
    }
    if (t->state != TARGET_OK)
        t->state = TARGET_SENT;
    t->hint = hint == NULL ? (struct peal_id){{0}} : *hint;
    union wire_any m;
    memset(&m, 0, sizeof m.n_set_put);
    m.n_set_put = (struct wire_n_set_put){
        .epoch = o->epoch, .op = o->handle, .hint = t->hint, .push = push, .row = *row};
    if (push) {
        o->pushed = true;
        o->push_to = *to;
    }
    o->sent = true;
    if (!request(c, to, WIRE_n_set_put, &m))
        t->state = TARGET_FAILED;
}

/* The next live member after the homes that has not been tried. */
static const struct peal_id *stand_in(const struct chord *c, struct put_op *o)
{
    const struct roster *r = &c->roster;
    uint8_t order[WIRE_ROSTER_MAX];
    CHECK(r->n > 0);
    size_t n = arc_order(r, roster_arc(r, &o->box), r->n, order);
    for (size_t i = roster_copies(r); i < n; i++) {
        const struct peal_id *id = &r->members[order[i]];
        if (is_up(c, id) && target_of(o, id) == NULL)
            return id;
    }
    return NULL;
}

/* Full disks, and nobody left who could make up the number: the author is told at once, instead of
 * when the time is up. */
static bool is_hopeless(const struct chord *c, const struct put_op *o)
{
    if (o->refused != PEAL_E_NO_SPACE && c->store_err != PEAL_E_NO_SPACE)
        return false;
    size_t able = 0;
    for (size_t i = 0; i < o->targets_n; i++)
        able += o->targets[i].state != TARGET_FAILED;
    return able < o->need;
}

/* So many homes, or those who stand in for them, have no room left in the mailbox that the others
 * are too few. */
static bool is_full(const struct chord *c, const struct put_op *o)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = roster_home(&c->roster, &o->box, home), full = 0;
    for (size_t i = 0; i < o->targets_n; i++) {
        const struct target *t = &o->targets[i];
        for (size_t k = 0; k < homes && t->state == TARGET_FULL; k++)
            full += id_eq(&home[k], &t->id) || id_eq(&home[k], &t->hint);
    }
    return homes >= o->need && full > homes - o->need;
}

static void place(struct chord *c, struct put_op *o, const struct wire_row *row)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = roster_home(&c->roster, &o->box, home);
    o->epoch = c->roster.epoch;
    o->need = (uint8_t)majority(homes);
    bool usable[CHORD_REPLICAS_MAX + 1];
    for (size_t i = 0; i < homes; i++) {
        const struct target *t = target_of(o, &home[i]);
        bool full = is_self(c, &home[i]) && c->store_err < 0;
        usable[i] = is_up(c, &home[i]) && !full &&
                    (t == NULL || t->state == TARGET_SENT || t->state == TARGET_OK);
        bool push = usable[i] && o->push && !o->pushed;
        if (usable[i] && (push || !covered(o, &home[i])))
            send_row(c, o, row, &home[i], NULL, push);
    }
    for (size_t i = 0; i < homes; i++) {
        if (usable[i] || covered(o, &home[i]))
            continue;
        const struct peal_id *other = stand_in(c, o);
        if (other != NULL)
            send_row(c, o, row, other, &home[i], o->push && !o->pushed);
    }
    if (is_hopeless(c, o) || is_full(c, o)) {
        finish(c, o, is_full(c, o) ? PEAL_E_QUOTA : PEAL_E_NO_SPACE);
        return;
    }
    o->wake_us = (c->now + RETRY_US + RETRY_US / 2) / PUT_GRAIN_US * PUT_GRAIN_US + PUT_GRAIN_US;
    if (o->wake_us > o->deadline_us)
        o->wake_us = o->deadline_us;
    ops_wake(c, o->wake_us);
}

/* Places the row again from what was kept of it. */
static void place_again(struct chord *c, struct put_op *o)
{
    size_t mark = c->scratch.used;
    struct wire_row row = {.box = o->box,
                           .id = o->id,
                           .kind = o->kind,
                           .from = peal_bytes_of(o->from, o->from_n),
                           .stamp = o->stamp,
                           .expires = o->expires};
    if (c->roster.epoch == 0 || c->state == CHORD_LEFT) {
        o->wake_us = c->now + RETRY_US;
        ops_wake(c, o->wake_us);
        return;
    }
    if (o->blocks != NO_BLOCK) {
        row.body = pool_read(c, o->blocks, o->body_n);
    } else {
        struct wire_s_row s;
        int err = row_load(c, &o->box, &o->id, &s);
        if (err < 0 ||
            s.row.kind ==
                WIRE_ROW_TOMBSTONE) { /* it was acknowledged and is gone, or the disk lost it */
            c->scratch.used = mark;
            const struct target *self = target_of(o, &c->cfg.self);
            bool had = self != NULL && self->state == TARGET_OK;
            finish(c, o, err == 0 || (err == PEAL_E_NOT_FOUND && had) ? 0 : PEAL_E_UNKNOWN);
            return;
        }
        row.body = s.row.body;
    }
    place(c, o, &row);
    c->scratch.used = mark;
}

static int begin(struct chord *c, uint64_t token, const struct wire_row *row, bool push, bool own,
                 uint64_t timeout_us)
{
    CHECK(row->body.n <= WIRE_BODY_MAX && row->from.n <= WIRE_NAME_MAX);
    uint32_t handle = 0;
    struct put_op *o = slab_take(&c->puts, &handle);
    if (o == NULL)
        return PEAL_E_BUSY;
    o->token = token;
    o->own = own;
    o->handle = handle;
    o->deadline_us = c->now + timeout_us;
    o->box = row->box;
    o->id = row->id;
    o->kind = row->kind;
    o->from_n = (uint8_t)row->from.n;
    if (row->from.n > 0)
        memcpy(o->from, row->from.p, row->from.n);
    o->stamp = row->stamp;
    o->expires = row->expires;
    o->body_n = (uint32_t)row->body.n;
    o->push = push;
    o->blocks = NO_BLOCK;
    bool mine = c->state == CHORD_MEMBER && c->store_err == 0 &&
                roster_is_home(&c->roster, &row->box, &c->cfg.self) && box_takes(c, row);
    if (!mine && !pool_keep(&c->pool, row->body, &o->blocks)) {
        slab_release(&c->puts, handle);
        return PEAL_E_BUSY;
    }
    if (c->roster.epoch == 0 || c->state == CHORD_LEFT) {
        o->wake_us = c->now + RETRY_US;
        ops_wake(c, o->wake_us);
        return 0;
    }
    place(c, o, row);
    return 0;
}

int chord_set_put(struct chord *c, const struct step_event *ev, struct step_update *u,
                  uint64_t token, const struct wire_row *row, bool push, uint64_t timeout_us)
{
    note_call(c, ev, u);
    return begin(c, token, row, push, false, timeout_us);
}

int put_begin_own(struct chord *c, uint64_t token, const struct wire_row *row, uint64_t timeout_us)
{
    return begin(c, token, row, true, true, timeout_us);
}

void on_set_ok(struct chord *c, const struct source *src, const struct wire_n_set_ok *m)
{
    if (m->op > UINT32_MAX) {
        sweep_ok(c, src, m);
        return;
    }
    struct put_op *o = slab_get(&c->puts, (uint32_t)m->op);
    struct target *t = o == NULL ? NULL : target_of(o, &src->id);
    if (t == NULL)
        return;
    if (m->code == 0) {
        t->state = TARGET_OK;
        size_t oks = 0;
        for (size_t i = 0; i < o->targets_n; i++)
            oks += o->targets[i].state == TARGET_OK;
        if (oks >= o->need)
            finish(c, o, 0);
        return;
    }
    o->refused = -(int)m->code;
    t->state = o->refused == PEAL_E_QUOTA ? TARGET_FULL : TARGET_FAILED;
    if (o->pushed && id_eq(&o->push_to, &src->id))
        o->pushed = false;
    if (o->refused == PEAL_E_STALE && m->epoch < c->roster.epoch)
        roster_tell(c, src);
    if (o->refused == PEAL_E_STALE || o->refused == PEAL_E_BUSY) { /* soon it may be otherwise */
        o->wake_us = c->now + jitter(c, PUT_AGAIN_US);
        ops_wake(c, o->wake_us);
        return;
    }
    place_again(c, o);
}

void puts_timer(struct chord *c)
{
    uint32_t at = 0, handle = 0;
    struct put_op *o;
    while ((o = slab_each(&c->puts, &at, &handle)) != NULL) {
        if (!ops_room(c))
            return;
        if (c->now >= o->deadline_us) {
            bool full = o->refused == PEAL_E_NO_SPACE;
            finish(c, o, full ? PEAL_E_NO_SPACE : o->sent ? PEAL_E_UNKNOWN : PEAL_E_UNAVAILABLE);
            continue;
        }
        if (c->now < o->wake_us) {
            ops_wake(c, o->wake_us);
            continue;
        }
        size_t kept = 0; /* whoever failed may be tried again, and so may whoever has not answered,
                            or has said that the mailbox is full, in another epoch */
        for (size_t i = 0; i < o->targets_n; i++)
            if (o->targets[i].state == TARGET_OK ||
                (o->targets[i].state != TARGET_FAILED && o->epoch == c->roster.epoch))
                o->targets[kept++] = o->targets[i];
        o->targets_n = kept;
        place_again(c, o);
    }
}

void puts_lost(struct chord *c, const struct peal_id *peer)
{
    uint32_t at = 0, handle = 0;
    struct put_op *o;
    while ((o = slab_each(&c->puts, &at, &handle)) != NULL) {
        struct target *t = target_of(o, peer);
        if (t == NULL || t->state != TARGET_SENT)
            continue;
        t->state = TARGET_FAILED;
        if (o->pushed && id_eq(&o->push_to, peer))
            o->pushed = false;
        o->wake_us = c->now;
        ops_wake(c, c->now);
    }
}
