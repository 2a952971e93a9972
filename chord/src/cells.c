/* cells: the digests that are kept of each arc, so that homes can find out where they differ
 * without reading everything. An arc is halved again and again, down to cells (the cut follows from
 * the arc's bounds alone, so it is the same at every home). A cell's digest is the sum of its
 * items'; that of a larger part is the sum of its cells'. A write makes one cell stale, which alone
 * is read again, when somebody wants to compare it.
 *
 * Digests are as of a moment, the cut: homes that read the same cell at different times take the
 * same rows for settled. What a cell shows stays true for later cuts when nothing in it was
 * younger, was written since, or was to expire. docs/adr/0010 says why digests are not kept up at
 * each write. */
#include "inner.h"

#include <string.h>

/* ---- where a key lies ---- */

static struct peal_id minus_one(struct peal_id x)
{
    for (size_t i = ID_BYTES; i-- > 0;)
        if (x.b[i]-- != 0)
            break;
    return x;
}

static uint8_t bit_length(const struct peal_id *x)
{
    size_t i = 0;
    while (i < ID_BYTES && x->b[i] == 0)
        i++;
    unsigned n = (unsigned)(ID_BYTES - i) * 8;
    for (uint8_t top = 0x80; i < ID_BYTES && (x->b[i] & top) == 0; top >>= 1)
        n--;
    return (uint8_t)n;
}

uint32_t cell_of(const struct arc *a, const struct peal_id *key)
{
    CHECK(a->bits <= a->length && a->bits <= CELL_BITS_MAX);
    if (a->bits == 0)
        return 0;
    struct peal_id x = id_distance(&a->from, key);
    x = minus_one(x);
    unsigned shift = a->length - (unsigned)a->bits;
    size_t low = ID_BYTES - 1 - shift / 8;
    uint32_t v = x.b[low];
    for (size_t i = 1; i <= 2 && i <= low; i++)
        v |= (uint32_t)x.b[low - i] << 8 * i;
    return v >> shift % 8 & ((1U << a->bits) - 1);
}

/* i << shift, without what does not fit. */
static struct peal_id shifted(uint32_t i, unsigned shift)
{
    struct peal_id x = {{0}};
    uint64_t v = (uint64_t)i << shift % 8;
    for (size_t at = shift / 8; at < ID_BYTES && v != 0; at++, v >>= 8)
        x.b[ID_BYTES - 1 - at] = (uint8_t)v;
    return x;
}

static struct peal_id plus(const struct peal_id *a, const struct peal_id *b)
{
    struct peal_id out;
    unsigned carry = 0;
    for (size_t i = ID_BYTES; i-- > 0; carry >>= 8) {
        carry += (unsigned)a->b[i] + b->b[i];
        out.b[i] = (uint8_t)carry;
    }
    return out;
}

bool parts_range(const struct arc *a, uint8_t bits, uint32_t first, uint32_t end, struct range *out)
{
    CHECK(bits <= a->length && bits <= CELL_BITS_MAX && first < end && end <= 1U << bits);
    struct peal_id all = id_distance(&a->from, &a->upto); /* zero: the ring */
    struct peal_id lo = shifted(first, a->length - (unsigned)bits);
    struct peal_id hi = shifted(end, a->length - (unsigned)bits);
    if (!id_is_zero(&all) && id_cmp(&lo, &all) >= 0)
        return false;
    if (id_is_zero(&hi) || (!id_is_zero(&all) && id_cmp(&hi, &all) > 0))
        hi = all;
    out->from = plus(&a->from, &lo);
    out->upto = plus(&a->from, &hi);
    return true;
}

/* ---- marking ---- */

static struct cell *cells_of(struct chord *c, const struct arc *a)
{
    return c->repair.cells + ((size_t)a->block << c->repair.block_bits);
}

void mark_dirty(struct chord *c, const struct peal_id *key)
{
    if (!c->repair.on)
        return;
    for (size_t i = 0; i < c->arcs_n; i++)
        if (id_in_arc(&c->arcs[i].from, key, &c->arcs[i].upto)) {
            cells_of(c, &c->arcs[i])[cell_of(&c->arcs[i], key)].stale = true;
            return;
        }
}

/* So many cells for each arc that all have room. An arc of few keys has fewer. */
static uint8_t bits_for(size_t arcs)
{
    uint8_t bits = CELL_BITS_MAX;
    while (arcs << bits > CELLS_MAX)
        bits--;
    return bits;
}

static size_t same_arc(const struct arc *a, const struct arc *old, size_t old_n)
{
    size_t i = 0;
    while (i < old_n && !(id_eq(&a->from, &old[i].from) && id_eq(&a->upto, &old[i].upto)))
        i++;
    return i;
}

void cells_assign(struct chord *c, const struct arc *old, size_t old_n)
{
    struct repair *p = &c->repair;
    uint8_t key[CRY_HASH_BYTES], bits = bits_for(c->arcs_n);
    bool taken[ARCS_MAX] = {false};
    cry_digest("peal.cell.1", id_bytes(&c->roster.ring), key);
    bool keep = p->on && bits == p->block_bits && memcmp(p->key, key, sizeof p->key) == 0;
    memcpy(p->key, key, sizeof p->key);
    p->on = roster_copies(&c->roster) > 1;
    p->block_bits = bits;
    p->asked_n = p->says_n = p->gives_n = 0;
    c->scan = (struct scan){0};
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct arc *a = &c->arcs[i];
        struct peal_id d = id_distance(&a->from, &a->upto);
        d = minus_one(d);
        a->length = bit_length(&d);
        a->bits = bits < a->length ? bits : a->length;
        a->every_us = REPAIR_EVERY_US;
        a->due_us = c->now + jitter(c, REPAIR_EVERY_US);
        size_t was = keep ? same_arc(a, old, old_n) : old_n;
        a->block = was < old_n ? old[was].block : UINT16_MAX;
        if (was < old_n)
            taken[a->block] = true;
    }
    uint16_t block = 0;
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct arc *a = &c->arcs[i];
        if (a->block != UINT16_MAX)
            continue;
        while (taken[block])
            block++;
        CHECK(block < ARCS_MAX && (block + (size_t)1) << bits <= CELLS_MAX);
        a->block = block++;
        memset(cells_of(c, a), 0, sizeof(struct cell) << a->bits);
    }
}

struct sum part_sum(const struct chord *c, const struct arc *a, uint8_t bits, uint32_t part)
{
    CHECK(bits <= a->bits && part < 1U << bits);
    const struct cell *v = c->repair.cells + ((size_t)a->block << c->repair.block_bits);
    struct sum s = {0};
    uint32_t each = 1U << (a->bits - bits);
    for (uint32_t i = part * each; i < (part + 1) * each; i++) {
        s.digest ^= v[i].sum;
        s.count += v[i].count;
    }
    return s;
}

/* ---- going through a range ---- */

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

static uint64_t horizon(uint32_t cut)
{
    return (uint64_t)cut * SETTLE_GRAIN_MS / EXPIRY_GRAIN_MS + 1;
}

/* Whether it counts, and then as what. */
static bool row_counts(struct walk *w, struct peal_bytes key, struct peal_bytes value,
                       struct wire_item *item)
{
    struct wire_s_row s;
    if (key.n != ROW_KEY_BYTES || row_decode(value, &s) < 0)
        return false;
    if (s.row.expires != 0 && s.row.expires / EXPIRY_GRAIN_MS <= horizon(w->cut))
        return false;
    if (clk_ms(s.row.stamp) / SETTLE_GRAIN_MS >= w->cut) {
        if (w->young != NULL)
            w->young(w, key);
        return false;
    }
    w->expires = s.row.expires;
    item->digest.b[0] = s.row.kind == WIRE_ROW_TOMBSTONE ? 2 : 1;
    return true;
}

static bool register_counts(struct peal_bytes key, struct peal_bytes value, struct wire_item *item)
{
    struct reg_state r;
    if (key.n != ID_BYTES || reg_decode(value, &r) < 0 || r.accepted.round == 0)
        return false;
    struct wr out;
    wr_init(&out, item->digest.b, MSG_ID_BYTES);
    wr_u64(&out, r.accepted.round);
    wr_bytes(&out, r.accepted.node.b, MSG_ID_BYTES - 8);
    return true;
}

static bool walk_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct walk *w = ctx;
    struct wire_item item = {.space = w->at->space, .key = key};
    w->expires = 0;
    bool counts = w->at->space == STEP_REGISTERS ? register_counts(key, value, &item)
                                                 : row_counts(w, key, value, &item);
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

bool walk_range(struct walk *w, const struct range *r)
{
    for (;;) {
        struct peal_id lo, hi;
        bool no_end = false;
        if (range_part(&r->from, &r->upto, w->at->part, &lo, &hi, &no_end)) {
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

/* ---- reading cells ---- */

uint32_t settle_cut(struct chord *c)
{
    /* By the clock that rows are stamped with: the servers' own may be far apart. */
    uint64_t now = clk_ms(ring_stamp(c->ring, c->ev));
    return (uint32_t)((now > SETTLE_MS ? now - SETTLE_MS : 0) / SETTLE_GRAIN_MS);
}

static struct cell *cell_at(struct walk *w, struct peal_bytes key)
{
    const struct arc *a = w->ctx;
    struct peal_id id = id_from_bytes(key.p);
    uint32_t i = cell_of(a, &id);
    CHECK(i >= w->c->scan.cell && i < w->c->scan.end);
    return cells_of(w->c, a) + i;
}

static bool cell_add(struct walk *w, struct wire_item item)
{
    struct cell *cell = cell_at(w, item.key);
    uint8_t all[1 + ROW_KEY_BYTES + MSG_ID_BYTES];
    CHECK(item.key.n <= ROW_KEY_BYTES);
    all[0] = item.space;
    memcpy(all + 1, item.key.p, item.key.n);
    memcpy(all + 1 + item.key.n, item.digest.b, MSG_ID_BYTES);
    cell->sum ^= cry_short(w->c->repair.key, peal_bytes_of(all, 1 + item.key.n + MSG_ID_BYTES));
    cell->count++;
    uint64_t until = w->expires / EXPIRY_GRAIN_MS;
    if (w->expires != 0 && until < cell->until)
        cell->until = (uint32_t)until;
    return true;
}

static void cell_young(struct walk *w, struct peal_bytes key)
{
    cell_at(w, key)->young = true;
}

static bool is_known(struct chord *c, size_t arc, uint32_t i, uint32_t cut)
{
    const struct scan *s = &c->scan;
    const struct cell *cell = cells_of(c, &c->arcs[arc]) + i;
    if (cell->cut == 0 || (s->active && s->arc == arc && i >= s->cell && i < s->end))
        return false;
    if (cell->cut == cut)
        return true; /* what was written since is later, or is compared in the next round */
    return !cell->stale && !cell->young && horizon(cut) < cell->until;
}

static void begin(struct chord *c, size_t arc, uint32_t cell, uint32_t end, uint32_t cut)
{
    c->scan = (struct scan){.active = true,
                            .arc = arc,
                            .cell = cell,
                            .end = end,
                            .cut = cut,
                            .at = {.space = STEP_REGISTERS}};
    for (uint32_t i = cell; i < end; i++)
        cells_of(c, &c->arcs[arc])[i] =
            (struct cell){.cut = cut, .until = (uint32_t)horizon(cut) + REREAD_GRAINS};
}

static bool is_idle(const struct chord *c)
{
    return c->puts.used + c->regs.used + c->reads.used == 0;
}

/* Some more of what is being read, as far as this step goes. */
static void read_on(struct chord *c)
{
    struct scan *s = &c->scan;
    struct arc *a = &c->arcs[s->arc];
    struct walk w = {.c = c,
                     .at = &s->at,
                     .cut = s->cut,
                     .left = c->repair.left,
                     .each = cell_add,
                     .young = cell_young,
                     .ctx = a};
    struct range r;
    if (!parts_range(a, a->bits, s->cell, s->end, &r) || walk_range(&w, &r))
        s->active = false;
    size_t cost = w.seen + SCAN_RUN;
    c->repair.left -= cost < c->repair.left ? cost : c->repair.left;
}

/* Reads see nothing that this very update writes. */
static bool is_writing(const struct chord *c)
{
    for (size_t i = 0; i < c->u->n; i++)
        if (c->u->effects[i].kind == STEP_WRITE && c->u->effects[i].space != STEP_META)
            return true;
    return false;
}

bool cells_known(struct chord *c, size_t arc, uint32_t first, uint32_t end, uint32_t cut)
{
    CHECK(arc < c->arcs_n && cut > 0);
    for (;;) {
        if (!c->scan.active) {
            while (first < end && is_known(c, arc, first, cut))
                first++;
            if (first == end)
                return true;
        }
        if (c->now >= c->repair.scan_us) {
            c->repair.scan_us = c->now + SCAN_EVERY_US;
            c->repair.left = c->now < c->repair.fast_us && is_idle(c) ? SCAN_FAST : SCAN_STEP;
        }
        if (c->repair.left == 0 || is_writing(c))
            return false;
        if (!c->scan.active) {
            uint32_t last = first + 1;
            while (last < end && !is_known(c, arc, last, cut))
                last++;
            begin(c, arc, first, last, cut);
        }
        read_on(c);
    }
}
