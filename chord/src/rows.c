/* rows: the rows on this node's own disk, under box and id. A row is written only where nothing is:
 * neither the row itself nor the tombstone that stands for its having been acknowledged. A
 * tombstone replaces anything. */
#include "inner.h"

#include <string.h>

void row_key(const struct peal_id *box, const struct peal_msg_id *id,
             uint8_t out[static ROW_KEY_BYTES])
{
    memcpy(out, box->b, ID_BYTES);
    memcpy(out + ID_BYTES, id->b, MSG_ID_BYTES);
}

int row_decode(struct peal_bytes stored, struct wire_s_row *out)
{
    union wire_any m;
    uint16_t type = 0;
    struct arena none;
    arena_init(&none, NULL, 0);
    int err = wire_decode(stored.p, stored.n, &type, &m, sizeof m, &none);
    if (err < 0 || type != WIRE_s_row)
        return PEAL_E_CORRUPT;
    *out = m.s_row;
    return 0;
}

bool row_over(const struct chord *c, const struct wire_row *row)
{
    return row->expires != 0 && row->expires <= c->wall;
}

bool row_due(const struct chord *c, const struct wire_row *row)
{
    return row_over(c, row) && c->wall - row->expires >= CLK_MAX_AHEAD_MS;
}

/* Rows that come from elsewhere are of a known kind, and no later than the clocks that are
 * tolerated can make them: else a row would outlive its tombstone, or never count as settled. */
static bool is_sane(const struct chord *c, const struct wire_row *row)
{
    const uint64_t life = (uint64_t)CHORD_ROW_DAYS * 24 * 3600 * 1000;
    const uint64_t slack = 2 * (uint64_t)CLK_MAX_AHEAD_MS;
    return row->kind >= WIRE_ROW_MESSAGE && row->kind <= WIRE_ROW_EXPIRED && row->expires != 0 &&
           row->expires <= c->wall + life + slack && clk_ms(row->stamp) <= c->wall + slack;
}

/* A row's share of a page. */
size_t row_bytes(const struct wire_row *row)
{
    return row->body.n + row->from.n + 96;
}

void row_store(struct chord *c, const struct wire_row *row, const struct peal_id *hint, bool lazy)
{
    uint8_t key[ROW_KEY_BYTES];
    row_key(&row->box, &row->id, key);
    struct wire_s_row s = {.row = *row};
    if (hint != NULL)
        s.hint = *hint;
    /* encoded in what is left of the scratch arena, without its zeroing: this is the hot path */
    size_t mark = c->scratch.used;
    struct wr w;
    wr_init(&w, c->scratch.p + mark, c->scratch.cap - mark);
    int err = wire_encode(WIRE_s_row, &s, &w);
    CHECK(err == 0);
    bool tomb = row->kind == WIRE_ROW_TOMBSTONE;
    enum step_op op = tomb ? STEP_PUT : STEP_PUT_IF_ABSENT;
    /* In a ring that keeps one copy a row that is acknowledged in time need never touch the disk.
     * Should it be a second attempt at a row that is on disk already, that one stays, is delivered
     * once more, and is deleted then: at least once, as promised. */
    if (lazy)
        step_write_lazy(c->u, STEP_ROWS, op, peal_bytes_of(key, sizeof key),
                        peal_bytes_of(w.p, w.n), roster_copies(&c->roster) == 1);
    else
        step_write(c->u, STEP_ROWS, op, peal_bytes_of(key, sizeof key), peal_bytes_of(w.p, w.n));
    c->rows += !tomb;
    if (!tomb)
        mark_stored(c, row);
    mark_dirty(c, &row->box);
}

void row_delete(struct chord *c, const struct peal_id *box, const struct peal_msg_id *id)
{
    uint8_t key[ROW_KEY_BYTES];
    row_key(box, id, key);
    box_deleting(c, box, id);
    if (c->rows > 0)
        c->rows--;
    if (roster_copies(&c->roster) == 1) {
        step_write_lazy(c->u, STEP_ROWS, STEP_DEL, peal_bytes_of(key, sizeof key),
                        (struct peal_bytes){0}, false);
        return;
    }
    struct wire_row tomb = {.box = *box,
                            .id = *id,
                            .kind = WIRE_ROW_TOMBSTONE,
                            .stamp = ring_stamp(c->ring, c->ev),
                            .expires = c->wall + (uint64_t)CHORD_TOMBSTONE_DAYS * 24 * 3600 * 1000};
    /* Not lazy: the row has nothing more to wait for, and its author waits for "stored". */
    row_store(c, &tomb, NULL, false);
}

int row_load(struct chord *c, const struct peal_id *box, const struct peal_msg_id *id,
             struct wire_s_row *out)
{
    uint8_t key[ROW_KEY_BYTES];
    struct peal_bytes v;
    row_key(box, id, key);
    int err = c->rd->get(c->rd->ctx, STEP_ROWS, peal_bytes_of(key, sizeof key), &c->scratch, &v);
    return err < 0 ? err : row_decode(v, out);
}

/* ---- what peers ask ---- */

static int may_keep(struct chord *c, const struct source *src, uint64_t epoch)
{
    if (c->store_err < 0)
        return c->store_err;
    if (c->state != CHORD_MEMBER && c->state != CHORD_COPYING && c->state != CHORD_MOVING)
        return PEAL_E_BUSY;
    if (epoch >= c->roster.epoch)
        return 0; /* a row is safe wherever it lies; one of a later epoch finds its home through
                     repair */
    roster_tell(c, src);
    return PEAL_E_STALE;
}

void on_set_put(struct chord *c, const struct source *src, const struct wire_n_set_put *m)
{
    struct wire_n_set_ok a = {.epoch = c->roster.epoch, .op = m->op};
    int code = may_keep(c, src, m->epoch);
    bool home = roster_is_home(&c->roster, &m->row.box, &c->cfg.self);
    if (code == 0 && !is_sane(c, &m->row))
        code = PEAL_E_MALFORMED;
    if (code == 0 && !box_takes(c, &m->row))
        code = PEAL_E_QUOTA;
    if (code == 0) {
        box_added(c, &m->row, false);
        row_store(c, &m->row, id_is_zero(&m->hint) ? NULL : &m->hint, m->push);
        if (home || m->push)
            c->cfg.app.row_stored(c->cfg.app.ctx, c->u, &m->row, m->push);
        if (!home)
            sweep_stray(c);
    }
    a.code = (uint16_t)-code;
    answer(c, src, WIRE_n_set_ok, &a);
}

void on_set_del(struct chord *c, const struct source *src, const struct wire_n_set_del *m)
{
    (void)src;
    if (c->store_err < 0 ||
        (c->state != CHORD_MEMBER && c->state != CHORD_COPYING && c->state != CHORD_MOVING))
        return;
    for (size_t i = 0; i < m->ids.n; i++)
        row_delete(c, &m->box, &m->ids.v[i]);
}

void chord_set_del(struct chord *c, const struct step_event *ev, struct step_update *u,
                   const struct peal_id *box, const struct peal_msg_id *ids, size_t n)
{
    note_call(c, ev, u);
    CHECK(n <= WIRE_ACK_MAX);
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = roster_home(&c->roster, box, home);
    struct peal_msg_id copy[WIRE_ACK_MAX];
    memcpy(copy, ids, n * sizeof copy[0]);
    for (size_t i = 0; i < homes; i++) {
        union wire_any m;
        memset(&m, 0, sizeof m);
        m.n_set_del = (struct wire_n_set_del){
            .epoch = c->roster.epoch, .box = *box, .ids = {.v = copy, .n = n}};
        if (is_up(c, &home[i]))
            (void)request(c, &home[i], WIRE_n_set_del, &m);
    }
}

struct listing {
    const struct chord *c;
    struct peal_msg_id *ids;
    size_t n, max;
    bool more, met;
    struct peal_msg_id first; /* met: of what may be a row, shown or not */
};

static bool list_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct listing *l = ctx;
    struct wire_s_row s;
    if (key.n != ROW_KEY_BYTES)
        return true;
    bool good = row_decode(value, &s) == 0;
    if (good && s.row.kind == WIRE_ROW_TOMBSTONE)
        return true;
    if (!l->met)
        memcpy(l->first.b, key.p + ID_BYTES, MSG_ID_BYTES);
    l->met = true;
    if (!good || row_over(l->c, &s.row))
        return true;
    if (l->n == l->max) {
        l->more = true;
        return false;
    }
    memcpy(l->ids[l->n++].b, key.p + ID_BYTES, MSG_ID_BYTES);
    return true;
}

/* 0; PEAL_E_UNKNOWN: what is here is given, but something may be lacking (copy.c, "votes before it
 * is ready"); or why nothing is. */
static int may_read(struct chord *c, const struct source *src, uint64_t epoch,
                    const struct peal_id *box)
{
    bool home = roster_is_home(&c->roster, box, &c->cfg.self);
    bool serves = c->state == CHORD_MEMBER || c->state == CHORD_COPYING || c->state == CHORD_MOVING;
    bool partly = ready_partly(c, box);
    if (!serves || (home && !partly && !ready_for(c, box)))
        return PEAL_E_BUSY; /* its list might pass for a complete one */
    if (epoch == c->roster.epoch)
        return partly ? PEAL_E_UNKNOWN : 0;
    if (epoch < c->roster.epoch)
        roster_tell(c, src);
    return PEAL_E_STALE; /* in a later one this node may be a home that has nothing yet */
}

static void load_page(struct chord *c, const struct peal_id *box, const struct peal_msg_id *ids,
                      size_t n, struct wire_row rows[static WIRE_PAGE_ROWS],
                      struct wire_n_set_page *page)
{
    size_t bytes = 0;
    page->rows.v = rows;
    for (size_t i = 0; i < n; i++) {
        struct wire_s_row s;
        size_t mark = c->scratch.used;
        int err = row_load(c, box, &ids[i], &s);
        if (err < 0 && err != PEAL_E_NOT_FOUND)
            step_trace(c->u, STEP_WARN, "store", "a row cannot be read: %s", err_prose(err));
        if (err < 0 || s.row.kind == WIRE_ROW_TOMBSTONE || row_over(c, &s.row)) {
            c->scratch.used = mark;
            continue;
        }
        if (page->rows.n == WIRE_PAGE_ROWS ||
            (page->rows.n > 0 && bytes + row_bytes(&s.row) > WIRE_PAGE_BYTES)) {
            page->more = true;
            return;
        }
        bytes += row_bytes(&s.row);
        rows[page->rows.n++] = s.row;
    }
}

void on_set_list(struct chord *c, const struct source *src, const struct wire_n_set_list *m)
{
    struct peal_msg_id ids[WINDOW_IDS];
    struct wire_row rows[WIRE_PAGE_ROWS];
    struct wire_n_set_page a = {.epoch = c->roster.epoch, .op = m->op};
    size_t mark = c->scratch.used;
    int code = may_read(c, src, m->epoch, &m->box);
    bool partly = code == PEAL_E_UNKNOWN;
    if (code == 0 || partly) {
        uint8_t from[ROW_KEY_BYTES + 1] = {0}, to[ROW_KEY_BYTES + 1];
        /* with the zero byte behind it, the first key after that of `after` */
        size_t from_n = sizeof from;
        struct peal_msg_id first = mark_of(c, &m->box), zero = {{0}};
        bool begins = msg_id_eq(&m->after, &zero) || msg_id_cmp(&m->after, &first) < 0;
        row_key(&m->box, begins ? &first : &m->after, from);
        if (begins)
            from_n = ROW_KEY_BYTES;
        memcpy(to, m->box.b, ID_BYTES);
        memset(to + ID_BYTES, 0xff, sizeof to - ID_BYTES);
        struct listing l = {.c = c, .ids = ids, .max = m->ids_only ? WINDOW_IDS : WIRE_PAGE_ROWS};
        memset(l.first.b, 0xff, MSG_ID_BYTES);
        code = c->rd->scan(c->rd->ctx, STEP_ROWS, peal_bytes_of(from, from_n),
                           peal_bytes_of(to, sizeof to), SIZE_MAX, list_one, &l);
        if (code == 0 && begins)
            mark_listed(c, &m->box, &l.first);
        a.more = l.more;
        if (m->ids_only) {
            a.ids.v = ids;
            a.ids.n = l.n;
        } else if (code == 0) {
            load_page(c, &m->box, ids, l.n, rows, &a);
            a.more = a.more || l.more;
        }
        if (code == 0 && partly)
            code = PEAL_E_UNKNOWN;
    }
    a.code = (uint16_t)-code;
    answer(c, src, WIRE_n_set_page, &a);
    c->scratch.used = mark;
}

void on_set_get(struct chord *c, const struct source *src, const struct wire_n_set_get *m)
{
    struct wire_row rows[WIRE_PAGE_ROWS];
    struct wire_n_set_page a = {.epoch = c->roster.epoch, .op = m->op};
    size_t mark = c->scratch.used;
    int code = may_read(c, src, m->epoch, &m->box);
    if (code == PEAL_E_UNKNOWN) /* these rows it has */
        code = 0;
    if (code == 0)
        load_page(c, &m->box, m->ids.v, m->ids.n, rows, &a);
    a.code = (uint16_t)-code;
    answer(c, src, WIRE_n_set_page, &a);
    c->scratch.used = mark;
}
