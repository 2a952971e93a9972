/* inventory: once a part of an arc is known to differ, and is small, two homes go through their
 * lists of it, page by page in turns; each pulls what it lacks and gives what the other lacks. A
 * register's newer ballot wins, and a tombstone wins over a row. */
#include "inner.h"

#include <string.h>

struct inventory {
    struct wire_item items[ITEM_MAX];
    uint8_t keys[ITEM_MAX][ROW_KEY_BYTES];
    size_t n;
    bool more;
    struct place end; /* how far it goes, when there is more */
};

static bool inventory_add(struct walk *w, struct wire_item item)
{
    struct inventory *v = w->ctx;
    if (v->n == ITEM_MAX)
        return false;
    CHECK(item.key.n <= ROW_KEY_BYTES);
    memcpy(v->keys[v->n], item.key.p, item.key.n);
    item.key.p = v->keys[v->n];
    v->items[v->n++] = item;
    return true;
}

static size_t key_form(uint8_t space)
{
    return space == STEP_REGISTERS ? ID_BYTES : ROW_KEY_BYTES;
}

/* A page of it, from `after` on. */
static struct inventory *take_inventory(struct chord *c, const struct range *r, uint32_t cut,
                                        const struct place *after)
{
    struct inventory *v = arena_take(&c->scratch, sizeof *v);
    CHECK(v != NULL);
    v->n = 0;
    v->end = *after;
    struct walk w = {
        .c = c, .at = &v->end, .cut = cut, .left = 8 * ITEM_MAX, .each = inventory_add, .ctx = v};
    v->more = !walk_range(&w, r);
    if (v->more && v->end.n != key_form(v->end.space))
        v->more = false; /* it ends at a key of no known form: the rest waits for better times */
    return v;
}

static int place_cmp(const struct place *a, const struct place *b)
{
    if (a->space != b->space)
        return a->space < b->space ? -1 : 1;
    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    size_t n = a->n < b->n ? a->n : b->n;
    int cmp = n == 0 ? 0 : memcmp(a->key, b->key, n);
    return cmp != 0 ? cmp : a->n < b->n ? -1 : a->n > b->n;
}

static struct place place_of(const struct range *r, uint8_t space, struct peal_bytes key)
{
    struct place p = {.space = space, .n = key.n};
    CHECK(key.n >= ID_BYTES && key.n <= ROW_KEY_BYTES);
    struct peal_id id = id_from_bytes(key.p);
    p.part = id_cmp(&r->from, &r->upto) >= 0 && id_cmp(&id, &r->upto) <= 0;
    memcpy(p.key, key.p, key.n);
    return p;
}

/* On a link: nothing, or a space and a key. */
static struct peal_bytes place_out(const struct place *p, uint8_t buf[static 1 + ROW_KEY_BYTES])
{
    if (p->n == 0)
        return (struct peal_bytes){0};
    CHECK(p->n <= ROW_KEY_BYTES);
    buf[0] = p->space;
    memcpy(buf + 1, p->key, p->n);
    return peal_bytes_of(buf, 1 + p->n);
}

/* False when it is neither, or does not lie in the range. */
static bool place_in(const struct range *r, struct peal_bytes b, struct place *out)
{
    *out = (struct place){.space = STEP_REGISTERS};
    if (b.n == 0)
        return true;
    if ((b.p[0] != STEP_REGISTERS && b.p[0] != STEP_ROWS) || b.n != 1 + key_form(b.p[0]))
        return false;
    *out = place_of(r, b.p[0], peal_bytes_of(b.p + 1, b.n - 1));
    struct peal_id id = id_from_bytes(b.p + 1);
    return id_in_arc(&r->from, &id, &r->upto);
}

void say_items(struct chord *c, const struct say *s)
{
    const struct arc *a = &c->arcs[s->arc];
    struct range r;
    size_t mark = c->scratch.used;
    if (!parts_range(a, s->bits, s->part, s->part + 1, &r))
        return;
    struct inventory *v = take_inventory(c, &r, s->cut, &s->after);
    uint8_t after[1 + ROW_KEY_BYTES], end[1 + ROW_KEY_BYTES];
    struct wire_n_arc_items m = {.epoch = c->roster.epoch,
                                 .from = a->from,
                                 .upto = a->upto,
                                 .cut = (uint64_t)s->cut * SETTLE_GRAIN_MS,
                                 .bits = s->bits,
                                 .part = s->part,
                                 .after = place_out(&s->after, after),
                                 .more = v->more,
                                 .items = {.v = v->items, .n = v->n}};
    if (v->more)
        m.end = place_out(&v->end, end);
    (void)repair_send(c, &s->peer, WIRE_n_arc_items, &m);
    c->scratch.used = mark;
}

static void trace_found(struct chord *c, const struct peal_id *peer, size_t give, size_t fetch)
{
    char id[9];
    step_trace(c->u, STEP_INFO, "repair", "with %s: %zu to give, %zu to fetch", short_id(peer, id),
               give, fetch);
}

void say_all(struct chord *c, const struct say *s)
{
    struct range r;
    size_t mark = c->scratch.used;
    if (!parts_range(&c->arcs[s->arc], s->bits, s->part, s->part + 1, &r))
        return;
    struct inventory *v = take_inventory(c, &r, s->cut, &s->after);
    if (v->n > 0) {
        repair_found(c, &c->arcs[s->arc], &s->peer);
        trace_found(c, &s->peer, v->n, 0);
        give_later(c, &s->peer, v->items, v->n);
    }
    if (v->more) {
        struct say next = *s;
        next.after = v->end;
        say_later(c, &next);
    }
    c->scratch.used = mark;
}

/* ---- comparing ---- */

struct differences {
    struct wire_item push[ITEM_MAX];
    struct peal_id registers[ITEM_MAX];
    struct wire_row_key rows[ITEM_MAX];
    size_t push_n, registers_n, rows_n;
};

static void lacks(struct differences *d, const struct wire_item *theirs)
{
    if (theirs->space == STEP_REGISTERS)
        d->registers[d->registers_n++] = id_from_bytes(theirs->key.p);
    else {
        struct wire_row_key *k = &d->rows[d->rows_n++];
        k->box = id_from_bytes(theirs->key.p);
        memcpy(k->id.b, theirs->key.p + ID_BYTES, MSG_ID_BYTES);
    }
}

/* Goes through both lists up to the place until. */
static void compare(const struct range *r, const struct inventory *mine,
                    const struct wire_item *theirs, size_t n, const struct place *until,
                    struct differences *d)
{
    size_t i = 0, j = 0;
    while (i < mine->n || j < n) {
        struct place p, q;
        int cmp = i == mine->n ? 1 : j == n ? -1 : 0;
        if (i < mine->n)
            p = place_of(r, mine->items[i].space, mine->items[i].key);
        if (j < n)
            q = place_of(r, theirs[j].space, theirs[j].key);
        if (cmp == 0)
            cmp = place_cmp(&p, &q);
        if (until != NULL && place_cmp(cmp <= 0 ? &p : &q, until) > 0)
            return;
        int newer =
            cmp != 0 ? -cmp : memcmp(mine->items[i].digest.b, theirs[j].digest.b, MSG_ID_BYTES);
        if (newer > 0)
            d->push[d->push_n++] = mine->items[i];
        else if (newer < 0)
            lacks(d, &theirs[j]);
        i += cmp <= 0;
        j += cmp >= 0;
    }
}

/* Peers' keys have the form of their space, lie in the range, and ascend. end: where the list ends,
 * when there is more. */
static bool items_valid(const struct range *r, const struct wire_n_arc_items *m,
                        struct place *after, struct place *end)
{
    if (!place_in(r, m->after, after) || !place_in(r, m->end, end))
        return false;
    struct place last = *after;
    bool first = m->after.n == 0;
    for (size_t i = 0; i < m->items.n; i++) {
        const struct wire_item *t = &m->items.v[i];
        if ((t->space != STEP_REGISTERS && t->space != STEP_ROWS) || t->key.n != key_form(t->space))
            return false;
        struct peal_id id = id_from_bytes(t->key.p);
        struct place p = place_of(r, t->space, t->key);
        if (!id_in_arc(&r->from, &id, &r->upto) || (!first && place_cmp(&last, &p) >= 0))
            return false;
        last = p;
        first = false;
    }
    if (!m->more)
        return m->end.n == 0;
    return m->end.n > 0 && place_cmp(after, end) < 0 && place_cmp(&last, end) <= 0;
}

static void send_pulls(struct chord *c, const struct peal_id *to, struct differences *d)
{
    size_t r = 0, s = 0;
    while (r < d->registers_n || s < d->rows_n) {
        size_t rn = d->registers_n - r < WIRE_PAGE_ROWS ? d->registers_n - r : WIRE_PAGE_ROWS;
        size_t sn = d->rows_n - s < WIRE_PAGE_ROWS ? d->rows_n - s : WIRE_PAGE_ROWS;
        struct wire_n_pull m = {.epoch = c->roster.epoch,
                                .registers = {.v = d->registers + r, .n = rn},
                                .rows = {.v = d->rows + s, .n = sn}};
        (void)repair_send(c, to, WIRE_n_pull, &m);
        r += rn;
        s += sn;
    }
}

/* Compares as far as both lists go; then it is this node's turn to go on from there. */
static void compare_page(struct chord *c, const struct peal_id *peer, struct say *s,
                         const struct range *r, const struct wire_n_arc_items *m,
                         const struct place *end)
{
    struct differences *d = arena_take(&c->scratch, sizeof *d);
    struct inventory *mine = take_inventory(c, r, s->cut, &s->after);
    CHECK(d != NULL);
    d->push_n = d->registers_n = d->rows_n = 0;
    struct place until =
        mine->more && (!m->more || place_cmp(&mine->end, end) < 0) ? mine->end : *end;
    bool over = !m->more && !mine->more;
    compare(r, mine, m->items.v, m->items.n, over ? NULL : &until, d);
    if (d->push_n + d->registers_n + d->rows_n > 0) {
        repair_found(c, &c->arcs[s->arc], peer);
        trace_found(c, peer, d->push_n, d->registers_n + d->rows_n);
        send_pulls(c, peer, d);
        give_later(c, peer, d->push, d->push_n);
    }
    if (over)
        return;
    bool rest_mine = !m->more;
    if (rest_mine && m->items.n > 0) {
        const struct wire_item *t = &m->items.v[m->items.n - 1];
        struct place last = place_of(r, t->space, t->key);
        rest_mine = place_cmp(&last, &until) <= 0;
    }
    s->kind = rest_mine ? SAY_ALL : SAY_ITEMS;
    s->after = until;
    say_later(c, s);
}

void on_arc_items(struct chord *c, const struct source *src, const struct wire_n_arc_items *m)
{
    struct arc *a = arc_of(c, &m->from, &m->upto);
    struct range r;
    struct say s = {.kind = SAY_ITEMS,
                    .peer = src->id,
                    .cut = (uint32_t)(m->cut / SETTLE_GRAIN_MS),
                    .part = m->part,
                    .bits = m->bits};
    struct place end;
    if (!repairs(c) || a == NULL || m->epoch != c->roster.epoch || s.cut == 0 ||
        !roster_is_home(&c->roster, &a->upto, &src->id) || m->cut / SETTLE_GRAIN_MS > UINT32_MAX ||
        m->bits > a->length || m->bits > CELL_BITS_MAX || m->part >> m->bits != 0)
        return;
    s.arc = (size_t)(a - c->arcs);
    if (!parts_range(a, s.bits, s.part, s.part + 1, &r) || !items_valid(&r, m, &s.after, &end))
        return;
    a->with = src->id;
    a->with_us = c->now;
    size_t mark = c->scratch.used;
    if (give_room(c, ITEM_MAX) && repair_may_send(c))
        compare_page(c, &src->id, &s, &r, m, &end);
    else
        say_later(c, &s); /* the same from the other side, when there is bandwidth for it */
    c->scratch.used = mark;
    repair_timer(c);
}
