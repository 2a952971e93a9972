/* repair: homes of an arc compare a digest of what they hold of it, and where it differs their
 * inventories, page by page in turns; each pulls what it lacks and pushes what the other lacks. A
 * register's newer ballot wins, and a tombstone wins over a row. Rows that are only seconds old are
 * left out, since they are still on their way; an arc that has not changed since its digest was
 * made is not read again. */
#include "inner.h"

#include <string.h>

void mark_dirty(struct chord *c, const struct peal_id *key)
{
    for (size_t i = 0; i < c->arcs_n; i++)
        if (id_in_arc(&c->arcs[i].from, key, &c->arcs[i].upto)) {
            c->arcs[i].dirty = true;
            return;
        }
}

/* ---- pages of records ---- */

bool batch_add(struct chord *c, struct batch *b, enum step_space space, struct peal_bytes key,
               struct peal_bytes value)
{
    size_t mark = c->scratch.used;
    struct reg_state r;
    struct wire_s_row s;
    bool first = b->records_n + b->rows_n == 0;
    if (space == STEP_REGISTERS) {
        if (key.n != ID_BYTES || reg_decode(value, &r) < 0 || r.accepted.round == 0)
            return true;
        if (b->records_n == WIRE_PAGE_ROWS ||
            (!first && b->bytes + r.value.n + 64 > WIRE_PAGE_BYTES))
            return false;
        struct peal_bytes copy = arena_copy(&c->scratch, r.value);
        if (copy.p == NULL)
            return false;
        b->bytes += r.value.n + 64;
        b->records[b->records_n++] = (struct wire_record){
            .key = id_from_bytes(key.p), .accepted = r.accepted, .value = copy};
        return true;
    }
    if (row_decode(value, &s) < 0 || row_over(c, &s.row))
        return true;
    if (b->rows_n == WIRE_PAGE_ROWS || (!first && b->bytes + row_bytes(&s.row) > WIRE_PAGE_BYTES))
        return false;
    struct peal_bytes all = arena_copy(&c->scratch, value);
    if (all.p == NULL || row_decode(all, &s) < 0) {
        c->scratch.used = mark;
        return false;
    }
    b->bytes += row_bytes(&s.row);
    b->rows[b->rows_n++] = s.row;
    return true;
}

void batch_apply(struct chord *c, const struct wire_record_list *records,
                 const struct wire_row_list *rows)
{
    for (size_t i = 0; i < records->n; i++)
        reg_merge(c, &records->v[i]);
    for (size_t i = 0; i < rows->n; i++) {
        struct wire_s_row old;
        size_t mark = c->scratch.used;
        if (row_over(c, &rows->v[i]))
            continue;
        if (row_load(c, &rows->v[i].box, &rows->v[i].id, &old) == PEAL_E_CORRUPT) {
            uint8_t key[ROW_KEY_BYTES]; /* else "put if absent" would keep the damaged one */
            row_key(&rows->v[i].box, &rows->v[i].id, key);
            step_write(c->u, STEP_ROWS, STEP_DEL, peal_bytes_of(key, sizeof key),
                       (struct peal_bytes){0});
        }
        c->scratch.used = mark;
        row_store(c, &rows->v[i], NULL, false);
    }
}

static void send_batch(struct chord *c, const struct peal_id *to, struct batch *b)
{
    if (b->records_n + b->rows_n == 0)
        return;
    struct wire_n_records m = {.ring = c->roster.ring,
                               .epoch = c->roster.epoch,
                               .records = {.v = b->records, .n = b->records_n},
                               .rows = {.v = b->rows, .n = b->rows_n}};
    (void)send_to(c, to, WIRE_n_records, &m);
}

/* Sends the records of which the keys are given, in at most pages pages; the rest waits for another
 * round. */
static void push_keys(struct chord *c, const struct peal_id *to, const struct wire_item *v,
                      size_t n, size_t pages)
{
    struct batch b = {0};
    size_t mark = c->scratch.used;
    for (size_t i = 0; i < n && pages > 0; i++) {
        struct peal_bytes value;
        enum step_space space = v[i].space == STEP_REGISTERS ? STEP_REGISTERS : STEP_ROWS;
        if (c->rd->get(c->rd->ctx, space, v[i].key, &c->scratch, &value) < 0)
            continue;
        if (batch_add(c, &b, space, v[i].key, value))
            continue;
        send_batch(c, to, &b);
        b.records_n = b.rows_n = b.bytes = 0;
        pages--;
        c->scratch.used = mark;
        i--;
    }
    if (pages > 0)
        send_batch(c, to, &b);
    c->scratch.used = mark;
}

void on_records(struct chord *c, const struct source *src, const struct wire_n_records *m)
{
    int code = c->store_err;
    if (code == 0 && c->state != CHORD_MEMBER && c->state != CHORD_COPYING)
        code = PEAL_E_BUSY;
    if (code == 0 && !id_eq(&m->ring, &c->roster.ring))
        code = PEAL_E_STALE;
    if (code == 0)
        batch_apply(c, &m->records, &m->rows);
    for (size_t i = 0; code == 0 && i < m->rows.n; i++) /* its owner may be waiting for it */
        if (!row_over(c, &m->rows.v[i]) &&
            roster_is_home(&c->roster, &m->rows.v[i].box, &c->cfg.self))
            c->cfg.app.row_stored(c->cfg.app.ctx, c->u, &m->rows.v[i], false);
    if (m->op == 0)
        return;
    if (code == 0)
        hold_answer(c); /* it may all have been here already, and not yet be durable */
    struct wire_n_set_ok a = {.epoch = c->roster.epoch, .op = m->op, .code = (uint16_t)-code};
    answer(c, src, WIRE_n_set_ok, &a);
}

void on_pull(struct chord *c, const struct source *src, const struct wire_n_pull *m)
{
    if (c->state != CHORD_MEMBER && c->state != CHORD_COPYING)
        return;
    struct wire_item v[2 * WIRE_PAGE_ROWS];
    uint8_t keys[WIRE_PAGE_ROWS][ROW_KEY_BYTES];
    size_t n = 0;
    CHECK(m->registers.n <= WIRE_PAGE_ROWS && m->rows.n <= WIRE_PAGE_ROWS);
    for (size_t i = 0; i < m->registers.n; i++)
        v[n++] = (struct wire_item){.space = STEP_REGISTERS, .key = id_bytes(&m->registers.v[i])};
    for (size_t i = 0; i < m->rows.n; i++) {
        row_key(&m->rows.v[i].box, &m->rows.v[i].id, keys[i]);
        v[n++] =
            (struct wire_item){.space = STEP_ROWS, .key = peal_bytes_of(keys[i], ROW_KEY_BYTES)};
    }
    push_keys(c, &src->id, v, n, 2 * PUSHES_MAX);
}

/* ---- going through an arc ---- */

static struct peal_id after_id(const struct peal_id *id, bool *over)
{
    struct peal_id next = id_add_pow2(id, 0);
    *over = id_is_zero(&next);
    return next;
}

bool range_part(const struct peal_id *behind, const struct peal_id *last, uint8_t part,
                struct peal_id *lo, struct peal_id *hi, bool *no_end)
{
    bool wraps = id_cmp(behind, last) >= 0;
    bool from_over, upto_over;
    struct peal_id from = after_id(behind, &from_over), upto = after_id(last, &upto_over);
    if (part == 0 && !wraps) {
        *lo = from;
        *hi = upto;
        *no_end = upto_over;
        return true;
    }
    if (part == 0) {
        *lo = from;
        *no_end = true;
        return !from_over;
    }
    *lo = (struct peal_id){{0}};
    *hi = upto;
    *no_end = upto_over;
    return wraps;
}

bool place_next(struct place *at)
{
    at->n = 0;
    if (at->part == 0) {
        at->part = 1;
        return true;
    }
    at->part = 0;
    if (at->space == STEP_REGISTERS) {
        at->space = STEP_ROWS;
        return true;
    }
    return false;
}

struct walk {
    struct chord *c;
    struct place *at;
    uint64_t cut;
    bool skipped, stopped;
    size_t left, seen;
    bool (*each)(struct walk *w, struct wire_item item);
    void *ctx;
};

static bool walk_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct walk *w = ctx;
    struct wire_item item = {.space = w->at->space, .key = key};
    bool counts = key.n <= WIRE_KEY_MAX;
    if (w->at->space == STEP_REGISTERS) {
        struct reg_state r;
        counts = counts && reg_decode(value, &r) == 0 && r.accepted.round != 0;
        if (counts) {
            struct wr out;
            wr_init(&out, item.digest.b, MSG_ID_BYTES);
            wr_u64(&out, r.accepted.round);
            wr_bytes(&out, r.accepted.node.b, MSG_ID_BYTES - 8);
        }
    } else {
        struct wire_s_row s;
        counts = counts && key.n == ROW_KEY_BYTES && row_decode(value, &s) == 0 &&
                 !row_over(w->c, &s.row);
        if (counts && clk_ms(s.row.stamp) > w->cut) {
            w->skipped = true;
            counts = false;
        }
        if (counts)
            item.digest.b[0] = s.row.kind == WIRE_ROW_TOMBSTONE ? 2 : 1;
    }
    if (counts && !w->each(w, item)) {
        w->stopped = true;
        return false;
    }
    if (key.n <= WIRE_KEY_MAX) {
        memcpy(w->at->key, key.p, key.n);
        w->at->n = key.n;
    }
    w->seen++;
    return true;
}

/* Goes on from w->at, over at most w->left records. True when the arc's end was reached. */
static bool walk(struct walk *w, const struct arc *a)
{
    for (;;) {
        struct peal_id lo, hi;
        bool no_end = false;
        if (range_part(&a->from, &a->upto, w->at->part, &lo, &hi, &no_end)) {
            uint8_t from[WIRE_KEY_MAX + 1];
            size_t n = ID_BYTES;
            memcpy(from, lo.b, ID_BYTES);
            if (w->at->n > 0) {
                memcpy(from, w->at->key, w->at->n);
                n = w->at->n < WIRE_KEY_MAX ? w->at->n : WIRE_KEY_MAX - 1;
                from[n++] = 0;
            }
            size_t before = w->seen;
            int err = w->c->rd->scan(w->c->rd->ctx, w->at->space, peal_bytes_of(from, n),
                                     no_end ? (struct peal_bytes){0} : id_bytes(&hi), w->left,
                                     walk_one, w);
            if (err < 0)
                step_trace(w->c->u, STEP_WARN, "store", "a record cannot be read: %s",
                           err_prose(err));
            size_t got = w->seen - before;
            if (w->stopped || (err == 0 && got == w->left))
                return false;
            w->left -= got;
        }
        if (!place_next(w->at))
            return true;
    }
}

static uint64_t settle_cut(const struct chord *c)
{
    uint64_t cut = c->wall > SETTLE_MS ? c->wall - SETTLE_MS : 0;
    return cut - cut % SETTLE_GRAIN_MS;
}

/* ---- inventories ---- */

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

static void take_inventory(struct chord *c, const struct arc *a, const struct place *after,
                           struct inventory *v)
{
    v->n = 0;
    v->end = *after;
    struct walk w = {.c = c,
                     .at = &v->end,
                     .cut = settle_cut(c),
                     .left = 8 * ITEM_MAX,
                     .each = inventory_add,
                     .ctx = v};
    v->more = !walk(&w, a);
    if (v->more && v->n == 0)
        v->more =
            false; /* nothing that counts in so long a stretch: the next round begins elsewhere */
    if (v->more && v->n > 0) { /* it ends with its last item */
        const struct wire_item *last = &v->items[v->n - 1];
        struct peal_id id = id_from_bytes(last->key.p);
        v->end = (struct place){.space = last->space, .n = last->key.n};
        v->end.part = id_cmp(&a->from, &a->upto) >= 0 && id_cmp(&id, &a->upto) <= 0;
        memcpy(v->end.key, last->key.p, last->key.n);
    }
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

static struct place place_of(const struct arc *a, uint8_t space, struct peal_bytes key)
{
    struct place p = {.space = space, .n = key.n};
    CHECK(key.n >= ID_BYTES && key.n <= ROW_KEY_BYTES);
    struct peal_id id = id_from_bytes(key.p);
    p.part = id_cmp(&a->from, &a->upto) >= 0 && id_cmp(&id, &a->upto) <= 0;
    memcpy(p.key, key.p, key.n);
    return p;
}

/* `after` on a link: nothing, or a space and a key. */
static void send_inventory(struct chord *c, const struct peal_id *to, const struct arc *a,
                           const struct place *after, struct inventory *v)
{
    uint8_t from[1 + ROW_KEY_BYTES];
    struct wire_n_arc_items m = {
        .epoch = c->roster.epoch, .from = a->from, .upto = a->upto, .more = v->more};
    if (after->n > 0) {
        from[0] = after->space;
        memcpy(from + 1, after->key, after->n);
        m.after = peal_bytes_of(from, 1 + after->n);
    }
    m.items.v = v->items;
    m.items.n = v->n;
    (void)send_to(c, to, WIRE_n_arc_items, &m);
}

static struct arc *arc_of(struct chord *c, const struct peal_id *from, const struct peal_id *upto)
{
    for (size_t i = 0; i < c->arcs_n; i++)
        if (id_eq(&c->arcs[i].from, from) && id_eq(&c->arcs[i].upto, upto))
            return &c->arcs[i];
    return NULL;
}

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
static void compare(const struct arc *a, const struct inventory *mine,
                    const struct wire_item *theirs, size_t n, const struct place *until,
                    struct differences *d)
{
    size_t i = 0, j = 0;
    while (i < mine->n || j < n) {
        struct place p, q;
        int cmp = i == mine->n ? 1 : j == n ? -1 : 0;
        if (i < mine->n)
            p = place_of(a, mine->items[i].space, mine->items[i].key);
        if (j < n)
            q = place_of(a, theirs[j].space, theirs[j].key);
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

/* Peers' keys have the form of their space, lie in the arc, and ascend. */
static bool items_valid(const struct arc *a, const struct wire_n_arc_items *m)
{
    struct place last = {.space = STEP_REGISTERS};
    for (size_t i = 0; i < m->items.n; i++) {
        const struct wire_item *t = &m->items.v[i];
        size_t form = t->space == STEP_REGISTERS ? ID_BYTES : ROW_KEY_BYTES;
        if ((t->space != STEP_REGISTERS && t->space != STEP_ROWS) || t->key.n != form)
            return false;
        struct peal_id id = id_from_bytes(t->key.p);
        struct place p = place_of(a, t->space, t->key);
        if (!id_in_arc(&a->from, &id, &a->upto) || (i > 0 && place_cmp(&last, &p) >= 0))
            return false;
        last = p;
    }
    if (m->after.n == 0)
        return m->items.n > 0 || !m->more;
    if (m->after.p[0] != STEP_REGISTERS && m->after.p[0] != STEP_ROWS)
        return false;
    return m->after.n == 1u + (m->after.p[0] == STEP_REGISTERS ? ID_BYTES : ROW_KEY_BYTES) &&
           (m->items.n > 0 || !m->more);
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
        (void)send_to(c, to, WIRE_n_pull, &m);
        r += rn;
        s += sn;
    }
}

/* A page of the peer's inventory: compared as far as both lists go, then it is this node's turn to
 * go on from there. */
void on_arc_items(struct chord *c, const struct source *src, const struct wire_n_arc_items *m)
{
    const struct arc *a = arc_of(c, &m->from, &m->upto);
    if (a == NULL || m->epoch != c->roster.epoch || c->store_err < 0 ||
        (c->state != CHORD_MEMBER && c->state != CHORD_COPYING) || !items_valid(a, m))
        return;
    struct place after = {.space = STEP_REGISTERS};
    if (m->after.n > 0)
        after = place_of(a, m->after.p[0], peal_bytes_of(m->after.p + 1, m->after.n - 1));
    size_t mark = c->scratch.used;
    struct inventory *mine = arena_take(&c->scratch, sizeof *mine);
    struct differences *d = arena_take(&c->scratch, sizeof *d);
    CHECK(mine != NULL && d != NULL);
    take_inventory(c, a, &after, mine);
    bool end = !m->more && !mine->more;
    struct place until = mine->end;
    if (m->more) {
        const struct wire_item *last = &m->items.v[m->items.n - 1];
        struct place theirs = place_of(a, last->space, last->key);
        if (!mine->more || place_cmp(&theirs, &until) < 0)
            until = theirs;
    }
    compare(a, mine, m->items.v, m->items.n, end ? NULL : &until, d);
    if (d->push_n + d->registers_n + d->rows_n > 0) {
        char id[9];
        step_trace(c->u, STEP_INFO, "repair", "with %s: %zu to give, %zu to fetch",
                   short_id(&src->id, id), d->push_n, d->registers_n + d->rows_n);
        send_pulls(c, &src->id, d);
        push_keys(c, &src->id, d->push, d->push_n, PUSHES_MAX);
    }
    if (!end && place_cmp(&until, &after) > 0) {
        take_inventory(c, a, &until, mine);
        send_inventory(c, &src->id, a, &until, mine);
    }
    c->scratch.used = mark;
}

/* ---- digests ---- */

static bool digest_add(struct walk *w, struct wire_item item)
{
    uint8_t all[1 + ROW_KEY_BYTES + MSG_ID_BYTES], out[CRY_HASH_BYTES];
    uint8_t *sum = w->ctx;
    CHECK(item.key.n <= ROW_KEY_BYTES);
    all[0] = item.space;
    memcpy(all + 1, item.key.p, item.key.n);
    memcpy(all + 1 + item.key.n, item.digest.b, MSG_ID_BYTES);
    cry_digest("peal.item.1", peal_bytes_of(all, 1 + item.key.n + MSG_ID_BYTES), out);
    for (size_t i = 0; i < MSG_ID_BYTES; i++)
        sum[i] ^= out[i];
    return true;
}

static void differs(struct chord *c, const struct peal_id *peer, const struct arc *a)
{
    size_t mark = c->scratch.used;
    struct inventory *v = arena_take(&c->scratch, sizeof *v);
    struct place start = {.space = STEP_REGISTERS};
    CHECK(v != NULL);
    take_inventory(c, a, &start, v);
    send_inventory(c, peer, a, &start, v);
    c->scratch.used = mark;
}

static void say_digest(struct chord *c, const struct arc *a)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = arc_home(&c->roster, a->index, home);
    for (size_t i = 0; i < homes; i++) {
        const struct peal_id *id = &home[i];
        if (id_cmp(&c->cfg.self, id) >= 0 || !is_up(c, id))
            continue; /* of a pair, the smaller id speaks first */
        struct wire_n_arc_digest m = {.epoch = c->roster.epoch, .from = a->from, .upto = a->upto};
        memcpy(m.digest.b, a->digest, MSG_ID_BYTES);
        (void)send_to(c, id, WIRE_n_arc_digest, &m);
    }
}

static void scan_arc(struct chord *c, size_t at)
{
    c->arcs[at].dirty = false;
    c->scan = (struct scan){.active = true, .arc = at, .at = {.space = STEP_REGISTERS}};
    c->scan_us = c->now;
}

static void compared(struct chord *c, struct arc *a, const struct peal_id *with, bool same)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = arc_home(&c->roster, a->index, home);
    for (size_t i = 0; i < homes; i++)
        if (id_eq(&home[i], with))
            a->alike = (uint8_t)((a->alike & ~(1u << i)) | (unsigned)same << i);
    if (!same)
        differs(c, with, a);
}

bool repair_alike(const struct chord *c)
{
    for (size_t k = 0; k < c->arcs_n; k++) {
        struct peal_id home[CHORD_REPLICAS_MAX + 1];
        size_t homes = arc_home(&c->roster, c->arcs[k].index, home);
        for (size_t i = 0; i < homes; i++) /* of a pair the larger id compares */
            if (id_cmp(&home[i], &c->cfg.self) < 0 && is_up(c, &home[i]) &&
                (c->arcs[k].alike >> i & 1) == 0)
                return false;
    }
    return c->state == CHORD_MEMBER;
}

void repair_doubt(struct chord *c)
{
    for (size_t k = 0; k < c->arcs_n; k++)
        c->arcs[k].alike = 0;
}

void on_arc_digest(struct chord *c, const struct source *src, const struct wire_n_arc_digest *m)
{
    struct arc *a = arc_of(c, &m->from, &m->upto);
    if (a == NULL || m->epoch != c->roster.epoch ||
        (c->state != CHORD_MEMBER && c->state != CHORD_COPYING))
        return;
    if (a->have && !a->dirty && !(c->scan.active && &c->arcs[c->scan.arc] == a)) {
        compared(c, a, &src->id, memcmp(a->digest, m->digest.b, MSG_ID_BYTES) == 0);
        return;
    }
    a->asked = true;
    a->by = src->id;
    memcpy(a->theirs, m->digest.b, MSG_ID_BYTES);
    if (!c->scan.active)
        scan_arc(c, (size_t)(a - c->arcs));
}

static void scan_step(struct chord *c)
{
    struct scan *s = &c->scan;
    struct arc *a = &c->arcs[s->arc];
    struct walk w = {.c = c,
                     .at = &s->at,
                     .cut = settle_cut(c),
                     .left = SCAN_STEP,
                     .each = digest_add,
                     .ctx = s->digest};
    c->scan_us = c->now + SCAN_EVERY_US;
    bool done = walk(&w, a);
    s->skipped = s->skipped || w.skipped;
    if (!done)
        return;
    s->active = false;
    a->have = true;
    a->dirty = a->dirty || s->skipped;
    memcpy(a->digest, s->digest, MSG_ID_BYTES);
    say_digest(c, a);
    if (a->asked)
        compared(c, a, &a->by, memcmp(a->digest, a->theirs, MSG_ID_BYTES) == 0);
    a->asked = false;
}

void repair_soon(struct chord *c)
{
    uint64_t at = c->now + jitter(c, REPAIR_EVERY_US / 8);
    if (at < c->repair_us)
        c->repair_us = at;
}

/* A round: arcs that changed are digested, one after the other; the others' digests are known. */
void repair_timer(struct chord *c)
{
    if ((c->state != CHORD_MEMBER && c->state != CHORD_COPYING) || c->roster.n < 2 ||
        roster_copies(&c->roster) < 2)
        return;
    if (c->scan.active) {
        if (c->now >= c->scan_us)
            scan_step(c);
        return;
    }
    bool round = c->now >= c->repair_us;
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct arc *a = &c->arcs[i];
        if ((round && !a->have) || a->asked) {
            scan_arc(c, i);
            return;
        }
    }
    if (!round)
        return;
    c->repair_us = c->now + jitter(c, REPAIR_EVERY_US);
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct arc *a = &c->arcs[i];
        if (a->dirty)
            a->have = false; /* digested from now on */
        else if (a->have)
            say_digest(c, a);
    }
    for (size_t i = 0; i < c->arcs_n; i++)
        if (!c->arcs[i].have) {
            scan_arc(c, i);
            return;
        }
}
