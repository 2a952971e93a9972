/* The digests of an arc's cells, by hand: where a key lies, what a write makes stale, what is read
 * again; and what a home makes of other homes' digests and lists. */
#include <criterion/criterion.h>

#include "inner.h"
#include "one.h"

#include <stdlib.h>
#include <string.h>

static struct peal_id random_id(struct rng *g)
{
    struct peal_id id;
    rng_fill(g, id.b, ID_BYTES);
    return id;
}

/* ---- where a key lies ---- */

static struct peal_id next_to(struct peal_id id, uint64_t by)
{
    for (unsigned bit = 0; bit < 64; bit++)
        if ((by >> bit & 1) != 0)
            id = id_add_pow2(&id, bit);
    return id;
}

static struct arc arc_between(const struct peal_id *from, const struct peal_id *upto, uint8_t bits)
{
    struct chord *c = calloc(1, sizeof *c);
    cr_assert_not_null(c, "memory");
    c->roster = (struct roster){.epoch = 1, .replicas = 1, .n = 2};
    c->arcs_n = 1;
    c->arcs[0] = (struct arc){.from = *from, .upto = *upto};
    cells_assign(c, NULL, 0);
    struct arc a = c->arcs[0];
    free(c);
    a.bits = a.bits < bits ? a.bits : bits;
    return a;
}

/* All parts of one depth, in their order, are the arc, without gaps or overlaps. */
static void parts_fit(const struct arc *a, uint8_t bits)
{
    struct range r;
    struct peal_id at = a->from;
    bool ended = false;
    for (uint32_t i = 0; i < 1U << bits; i++) {
        bool any = parts_range(a, bits, i, i + 1, &r);
        cr_assert(i > 0 || any, "the first has keys");
        cr_assert(!any || !ended, "none after the arc's end");
        ended = !any;
        if (!any)
            continue;
        cr_assert(id_eq(&r.from, &at), "part %u at depth %u begins where the last one ends", i,
                  bits);
        cr_assert(i == 0 || !id_eq(&r.from, &r.upto), "part %u is not everything", i);
        at = r.upto;
    }
    cr_assert(id_eq(&at, &a->upto), "and the last ends with the arc, at depth %u", bits);
}

static void key_fits(const struct arc *a, const struct peal_id *key)
{
    struct range r;
    uint32_t cell = cell_of(a, key);
    for (uint8_t bits = 0; bits <= a->bits; bits++) {
        uint32_t part = cell >> (a->bits - bits);
        cr_assert(parts_range(a, bits, part, part + 1, &r), "its part is there");
        cr_assert(id_in_arc(&r.from, key, &r.upto), "and has it, at depth %u", bits);
    }
}

Test(cells, each_key_lies_in_the_part_of_its_number)
{
    struct rng g;
    rng_init(&g, 1);
    for (size_t round = 0; round < 300; round++) {
        struct peal_id from = random_id(&g), upto = random_id(&g);
        if (round % 3 == 1)
            upto = next_to(from, 1 + rng_below(&g, (uint64_t)1 << rng_below(&g, 40)));
        if (round % 7 == 2)
            upto = from; /* the ring */
        if (round % 11 == 3)
            memset(from.b, 0xff, ID_BYTES); /* begins just before zero */
        if (round % 11 == 4)
            memset(upto.b, 0, ID_BYTES); /* ends with zero */
        struct arc a = arc_between(&from, &upto, (uint8_t)rng_below(&g, CELL_BITS_MAX + 1));
        parts_fit(&a, (uint8_t)rng_below(&g, a.bits + 1U));
        struct peal_id first = next_to(from, 1);
        key_fits(&a, &first);
        key_fits(&a, &upto);
        for (size_t k = 0; k < 20; k++) {
            struct peal_id key = random_id(&g);
            if (round % 3 == 1)
                key = next_to(from, 1 + rng_below(&g, (uint64_t)1 << rng_below(&g, 40)));
            if (id_in_arc(&a.from, &key, &a.upto))
                key_fits(&a, &key);
        }
    }
}

Test(cells, an_arc_of_few_keys_has_few_cells)
{
    struct rng g;
    rng_init(&g, 2);
    for (uint64_t keys = 1; keys <= 40; keys++) {
        struct peal_id from = random_id(&g), upto = next_to(from, keys);
        struct arc a = arc_between(&from, &upto, CELL_BITS_MAX);
        cr_assert_geq(1U << a.bits, keys, "%llu keys", (unsigned long long)keys);
        cr_assert_lt(1U << a.bits, 2 * keys, "and not many more cells");
        for (uint64_t k = 1; k <= keys; k++) {
            struct peal_id key = next_to(from, k);
            cr_assert_eq(cell_of(&a, &key), k - 1, "one key a cell");
        }
        parts_fit(&a, a.bits);
    }
}

/* ---- a home with a disk ---- */

enum { WALL = 1700000000 };

struct home {
    struct chord *c;
    struct store *store;
    struct step_reader reader;
    struct step_event ev;
    void *update_mem, *scratch;
    struct step_update u;
    size_t scanned;
    uint32_t cut;
};

struct scanning {
    struct home *h;
    step_scan_fn *fn;
    void *ctx;
};

static bool count_scanned(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct scanning *s = ctx;
    s->h->scanned++;
    return s->fn(s->ctx, key, value);
}

static int scan(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
                size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    struct scanning s = {.h = ctx, .fn = fn, .ctx = fn_ctx};
    return store_scan(s.h->store, (enum store_space)space, from, to, limit, count_scanned, &s);
}

static struct home home_new(const struct peal_id *ids, size_t n, size_t self)
{
    struct home h = {.cut = WALL / SETTLE_GRAIN_MS * 1000};
    struct store_config cfg = store_config_default();
    int err = store_open_memory(&cfg, &h.store);
    cr_assert_eq(err, 0, "a store");
    store_memory_auto(h.store, true);
    h.c = calloc(1, sizeof *h.c);
    h.update_mem = aligned_alloc(16, (step_update_size() + 15) / 16 * 16);
    h.scratch = malloc(SCRATCH_BYTES);
    cr_assert(h.c != NULL && h.update_mem != NULL && h.scratch != NULL, "memory");
    arena_init(&h.c->scratch, h.scratch, SCRATCH_BYTES);
    rng_init(&h.c->rng, 1);
    h.c->cfg.self = ids[self];
    h.c->roster = (struct roster){.ring = {{9}}, .epoch = 1, .replicas = 2, .n = n};
    memcpy(h.c->roster.members, ids, n * sizeof ids[0]);
    arcs_rebuild(h.c);
    return h;
}

static void home_free(struct home *h)
{
    cr_assert_eq(store_close(h->store), 0, "closed");
    free(h->c);
    free(h->update_mem);
    free(h->scratch);
}

/* The next step, SCAN_EVERY_US later. */
static void step(struct home *h)
{
    h->reader = (struct step_reader){.ctx = h, .scan = scan};
    step_update_init(&h->u, h->update_mem);
    h->c->rd = &h->reader;
    h->c->u = &h->u;
    h->c->now += SCAN_EVERY_US;
}

static void put(struct home *h, const struct peal_id *box, uint64_t id, uint8_t kind,
                uint64_t stamp_ms, uint64_t expires)
{
    uint8_t key[ROW_KEY_BYTES], mem[256];
    struct wire_s_row s = {.row = {.box = *box,
                                   .kind = kind,
                                   .stamp = stamp_ms << 16,
                                   .expires = expires,
                                   .from = peal_bytes_str("a")}};
    memcpy(s.row.id.b, &id, sizeof id);
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(WIRE_s_row, &s, &w), 0, "encoded");
    row_key(box, &s.row.id, key);
    struct store_write put = {.space = STORE_ROWS,
                              .op = STORE_PUT,
                              .key = peal_bytes_of(key, sizeof key),
                              .value = peal_bytes_of(mem, w.n)};
    cr_assert_eq(store_submit(h->store, &put, 1, NULL), 0, "stored");
    mark_dirty(h->c, box);
}

static void drop(struct home *h, const struct peal_id *box, uint64_t id)
{
    uint8_t key[ROW_KEY_BYTES];
    struct peal_msg_id m = {{0}};
    memcpy(m.b, &id, sizeof id);
    row_key(box, &m, key);
    struct store_write del = {
        .space = STORE_ROWS, .op = STORE_DEL, .key = peal_bytes_of(key, sizeof key)};
    cr_assert_eq(store_submit(h->store, &del, 1, NULL), 0, "dropped");
    mark_dirty(h->c, box);
}

/* Reads what has to be read; how many records that was. What was written since the last time counts
 * when the cut is a later one. */
static size_t know(struct home *h)
{
    h->scanned = 0;
    for (size_t i = 0; i < h->c->arcs_n; i++) {
        size_t steps = 0;
        do {
            step(h);
            cr_assert_lt(steps++, 100000, "it ends");
        } while (!cells_known(h->c, i, 0, 1U << h->c->arcs[i].bits, h->cut));
    }
    return h->scanned;
}

static const struct arc *arc_at(const struct home *h, const struct peal_id *key)
{
    for (size_t i = 0; i < h->c->arcs_n; i++)
        if (id_in_arc(&h->c->arcs[i].from, key, &h->c->arcs[i].upto))
            return &h->c->arcs[i];
    cr_assert_fail("it is home of it");
    return NULL;
}

static bool same(const struct home *a, const struct home *b, uint8_t bits)
{
    for (size_t i = 0; i < a->c->arcs_n; i++) {
        const struct arc *x = &a->c->arcs[i], *y = NULL;
        for (size_t k = 0; k < b->c->arcs_n; k++)
            if (id_eq(&b->c->arcs[k].upto, &x->upto))
                y = &b->c->arcs[k];
        cr_assert_not_null(y, "the same arcs");
        for (uint32_t k = 0; k < 1U << bits; k++) {
            struct sum s = part_sum(a->c, x, bits, k), t = part_sum(b->c, y, bits, k);
            if (s.digest != t.digest || s.count != t.count)
                return false;
        }
    }
    return true;
}

static void three(struct peal_id ids[static 3])
{
    for (size_t i = 0; i < 3; i++)
        ids[i] = (struct peal_id){{(uint8_t)(0x30 + 0x40 * i), 7}};
}

static const uint64_t FAR = (uint64_t)1 << 50;

Test(cells, equal_contents_give_equal_digests_whatever_the_order)
{
    struct peal_id ids[3];
    struct rng g;
    three(ids);
    rng_init(&g, 3);
    struct home a = home_new(ids, 3, 0), b = home_new(ids, 3, 2);
    enum { N = 3000 };
    static struct peal_id box[N];
    for (size_t i = 0; i < N; i++)
        box[i] = random_id(&g);
    for (size_t i = 0; i < N; i++) {
        put(&a, &box[i], i, i % 3 == 0 ? WIRE_ROW_TOMBSTONE : WIRE_ROW_MESSAGE, 5, FAR);
        if (i % 500 == 0)
            know(&a);
    }
    for (size_t i = N; i-- > 0;) {
        put(&b, &box[i], i, WIRE_ROW_MESSAGE, 6 + i % 100, FAR);
        if (i % 400 == 0)
            know(&b);
    }
    a.cut = ++b.cut;
    know(&a);
    know(&b);
    cr_assert(!same(&a, &b, 0), "a row and a tombstone differ");
    for (size_t i = 0; i < N; i += 3)
        put(&b, &box[i], i, WIRE_ROW_TOMBSTONE, 7, FAR - 1 - (uint64_t)i);
    b.cut++;
    know(&b);
    cr_assert(same(&a, &b, 0), "equal arcs");
    cr_assert(same(&a, &b, CELL_BITS_MAX), "and each of their cells");
    drop(&b, &box[1234], 1234);
    b.cut++;
    know(&b);
    cr_assert(!same(&a, &b, 0), "one less is seen");
    home_free(&a);
    home_free(&b);
}

Test(cells, a_write_has_its_own_cell_read_again_and_no_other)
{
    struct peal_id ids[3];
    struct rng g;
    three(ids);
    rng_init(&g, 4);
    struct home a = home_new(ids, 3, 1);
    for (uint64_t i = 0; i < 20000; i++) {
        struct peal_id box = random_id(&g);
        put(&a, &box, i, WIRE_ROW_MESSAGE, 5, FAR);
    }
    cr_assert_eq(know(&a), 20000, "everything is read once");
    a.cut++;
    cr_assert_eq(know(&a), 0, "and then nothing");
    for (uint64_t i = 0; i < 50; i++) {
        struct peal_id box = random_id(&g);
        const struct arc *c = arc_at(&a, &box);
        uint32_t before = part_sum(a.c, c, c->bits, cell_of(c, &box)).count;
        put(&a, &box, 30000 + i, WIRE_ROW_MESSAGE, 5, FAR);
        a.cut++;
        cr_assert_eq(know(&a), before + 1U, "its cell");
        cr_assert_eq(part_sum(a.c, c, c->bits, cell_of(c, &box)).count, before + 1U, "counts it");
    }
    home_free(&a);
}

Test(cells, a_step_reads_no_more_than_its_share)
{
    struct peal_id ids[3];
    struct rng g;
    three(ids);
    rng_init(&g, 5);
    struct home a = home_new(ids, 3, 1);
    struct peal_id one = random_id(&g); /* all in one box: one cell */
    for (uint64_t i = 0; i < 3000; i++)
        put(&a, &one, i, WIRE_ROW_MESSAGE, 5, FAR);
    for (size_t fast = 0; fast < 2; fast++) {
        size_t most = fast ? SCAN_FAST : SCAN_STEP, steps = 0;
        mark_dirty(a.c, &one);
        a.cut++;
        a.c->repair.fast_us = fast ? UINT64_MAX : 0;
        for (size_t i = 0; i < a.c->arcs_n; i++)
            for (;;) {
                a.scanned = 0;
                step(&a);
                bool done = cells_known(a.c, i, 0, 1U << a.c->arcs[i].bits, a.cut);
                cr_assert_leq(a.scanned, most, "at most %zu", most);
                cr_assert(!cells_known(a.c, i, 0, 1U << a.c->arcs[i].bits, a.cut + 1) || done,
                          "and no more at the same time");
                if (done)
                    break;
                cr_assert_lt(steps++, 10000, "it ends");
            }
        cr_assert_geq(steps + 1, 3000 / most, "it took its steps");
    }
    home_free(&a);
}

/* What is written in the same update, reads do not see. */
Test(cells, nothing_is_read_while_the_update_writes)
{
    struct peal_id ids[3], box = {{0x50}};
    three(ids);
    struct home a = home_new(ids, 3, 1);
    know(&a);
    step(&a);
    step_write(&a.u, STEP_ROWS, STEP_PUT, id_bytes(&box), (struct peal_bytes){0});
    mark_dirty(a.c, &box);
    const struct arc *c = arc_at(&a, &box);
    size_t at = (size_t)(c - a.c->arcs);
    cr_assert(!cells_known(a.c, at, 0, 1U << c->bits, a.cut + 1), "not now");
    put(&a, &box, 1, WIRE_ROW_MESSAGE, 5, FAR);
    step(&a);
    cr_assert(cells_known(a.c, at, 0, 1U << c->bits, a.cut + 1), "but then");
    cr_assert_eq(part_sum(a.c, c, 0, 0).count, 1, "and what was written is there");
    home_free(&a);
}

Test(cells, rows_later_than_the_cut_do_not_count_and_are_read_again)
{
    struct peal_id ids[3], box = {{0x50}};
    three(ids);
    struct home a = home_new(ids, 3, 1), b = home_new(ids, 3, 2);
    uint64_t ms = (uint64_t)a.cut * SETTLE_GRAIN_MS;
    put(&a, &box, 1, WIRE_ROW_MESSAGE, ms - 1, FAR);
    put(&b, &box, 1, WIRE_ROW_MESSAGE, ms - 1, FAR);
    put(&a, &box, 2, WIRE_ROW_MESSAGE, ms, FAR); /* not yet at b */
    know(&a);
    know(&b);
    cr_assert(same(&a, &b, CELL_BITS_MAX), "equal as of the cut");
    cr_assert_eq(part_sum(a.c, arc_at(&a, &box), 0, 0).count, 1, "one has settled");
    a.cut++;
    b.cut++;
    cr_assert_gt(know(&a), 0, "what was young is read again");
    know(&b);
    cr_assert(!same(&a, &b, 0), "later it counts");
    home_free(&a);
    home_free(&b);
}

/* One home drops what has expired, the other has not come to it; neither is wrong. */
Test(cells, homes_that_sweep_at_different_times_do_not_differ)
{
    struct peal_id ids[3];
    struct rng g;
    three(ids);
    rng_init(&g, 6);
    struct home a = home_new(ids, 3, 0), b = home_new(ids, 3, 1);
    enum { N = 400 };
    static struct peal_id box[N];
    static uint64_t expires[N];
    uint64_t from = (uint64_t)a.cut * SETTLE_GRAIN_MS;
    for (size_t i = 0; i < N; i++) {
        box[i] = random_id(&g);
        expires[i] = from + rng_below(&g, 8 * EXPIRY_GRAIN_MS);
        uint8_t kind = i % 2 == 0 ? WIRE_ROW_TOMBSTONE : WIRE_ROW_MESSAGE;
        put(&a, &box[i], i, kind, 5, expires[i]);
        put(&b, &box[i], i, kind, 5, expires[i]);
    }
    for (size_t k = 0; k < 200; k++) {
        a.cut = b.cut = a.cut + (uint32_t)(8 * EXPIRY_GRAIN_MS / SETTLE_GRAIN_MS / 200);
        uint64_t now = (uint64_t)a.cut * SETTLE_GRAIN_MS + SETTLE_MS;
        for (size_t i = 0; i < N; i++)
            if (expires[i] != 0 && expires[i] <= now && rng_below(&g, 3) == 0) {
                drop(rng_below(&g, 2) == 0 ? &a : &b, &box[i], i);
                expires[i] = 0;
            }
        know(&a);
        know(&b);
        cr_assert(same(&a, &b, CELL_BITS_MAX), "equal after %zu steps", k);
    }
    cr_assert_eq(part_sum(a.c, &a.c->arcs[0], 0, 0).count, 0, "in the end nothing counts");
    home_free(&a);
    home_free(&b);
}

Test(cells, everything_is_read_again_within_a_day)
{
    struct peal_id ids[3], box = {{0x50}};
    three(ids);
    struct home a = home_new(ids, 3, 1);
    put(&a, &box, 1, WIRE_ROW_MESSAGE, 5, FAR);
    know(&a);
    a.cut += 20 * 3600 * 1000 / SETTLE_GRAIN_MS;
    cr_assert_eq(know(&a), 0, "not yet");
    a.cut += 5 * 3600 * 1000 / SETTLE_GRAIN_MS;
    cr_assert_eq(know(&a), 1, "read once more");
    home_free(&a);
}

Test(cells, arcs_that_stay_keep_what_is_known_of_them)
{
    struct peal_id ids[4];
    struct rng g;
    three(ids);
    rng_init(&g, 8);
    struct home a = home_new(ids, 3, 0);
    size_t there = 0;
    ids[3] = (struct peal_id){{0xd0}}; /* cuts the arc that ends with ids[0] */
    for (uint64_t i = 0; i < 3000; i++) {
        struct peal_id box = random_id(&g);
        put(&a, &box, i, WIRE_ROW_MESSAGE, 5, FAR);
        there += id_in_arc(&ids[3], &box, &ids[0]);
    }
    cr_assert_eq(know(&a), 3000, "all is read");
    struct sum was = part_sum(a.c, arc_at(&a, &ids[2]), 0, 0);
    a.c->roster.members[3] = ids[3];
    a.c->roster.n = 4;
    a.c->roster.epoch = 2;
    arcs_rebuild(a.c);
    struct sum is = part_sum(a.c, arc_at(&a, &ids[2]), 0, 0);
    cr_assert(was.count == is.count && was.digest == is.digest && was.count > 0, "kept");
    size_t read = know(&a);
    cr_assert_geq(read, there, "the new arc is read");
    cr_assert_lt(read, 3000 - was.count + 1, "the old one is not");
    a.c->roster.ring.b[0]++;
    arcs_rebuild(a.c);
    cr_assert_geq(know(&a), 2000, "of another ring nothing is known");
    home_free(&a);
}
