/* repair: homes of an arc compare a digest of what they hold of it; where it differs, those of its
 * parts, and so on, until what is left is small or at one of them only. Then they list it, and each
 * pulls what it lacks and gives what the other lacks (inventory.c).
 *
 * Rounds go on always: every REPAIR_EVERY_US while there are differences, ever more rarely when
 * there are none. What this sends is bounded by a bucket of bytes: digests and lists wait in
 * `says`, records in `gives`, digests of others that this node has yet to read for in `asked`. What
 * does not fit into one of these is forgotten, and found again by the next round. */
#include "inner.h"

#include <string.h>

enum { SUM_BYTES = 12 };

bool repairs(const struct chord *c)
{
    return c->repair.on && c->store_err == 0 && c->roster.n > 1 &&
           (c->state == CHORD_MEMBER || c->state == CHORD_COPYING);
}

/* ---- bandwidth ---- */

static uint64_t rate(const struct chord *c)
{
    return c->cfg.repair_bytes != 0 ? c->cfg.repair_bytes : CHORD_REPAIR_BYTES_DEFAULT;
}

static int64_t burst(uint64_t rate)
{
    uint64_t quarter = rate / 4;
    return (int64_t)(quarter > BURST_LEAST ? quarter : BURST_LEAST);
}

static void refill(const struct chord *c, struct bucket *b, uint64_t rate)
{
    uint64_t us = c->now - b->us;
    uint64_t more = us > 60 * (uint64_t)SECOND ? UINT64_MAX : us * rate / SECOND;
    if (more == 0)
        return;
    b->us = c->now;
    if (more > (uint64_t)(burst(rate) - b->level))
        b->level = burst(rate);
    else
        b->level += (int64_t)more;
}

static void spend(struct chord *c, struct bucket *b, size_t from)
{
    CHECK(from <= c->u->n);
    for (size_t i = from; i < c->u->n; i++)
        if (c->u->effects[i].kind == STEP_SEND)
            b->level -= (int64_t)c->u->effects[i].bytes.n;
}

bool repair_may_send(struct chord *c)
{
    refill(c, &c->repair.bucket, rate(c));
    return c->repair.bucket.level > 0;
}

/* Other sending, which goes on as soon as nothing is owed, would leave it nothing: so it may owe.
 */
bool repair_may_hand_over(struct chord *c)
{
    refill(c, &c->repair.bucket, rate(c));
    return c->repair.bucket.level > -burst(rate(c));
}

void repair_spent(struct chord *c, size_t from)
{
    spend(c, &c->repair.bucket, from);
}

bool repair_may_copy(struct chord *c)
{
    refill(c, &c->repair.copying, COPY_TIMES * rate(c));
    return c->repair.copying.level > 0;
}

void repair_copied(struct chord *c, size_t from)
{
    spend(c, &c->repair.copying, from);
}

bool repair_send(struct chord *c, const struct peal_id *to, uint16_t type, void *msg)
{
    size_t from = c->u->n;
    bool ok = send_to(c, to, type, msg);
    repair_spent(c, from);
    return ok;
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
        int err = row_load(c, &rows->v[i].box, &rows->v[i].id, &old);
        if (rows->v[i].kind == WIRE_ROW_TOMBSTONE)
            box_deleting(c, &rows->v[i].box, &rows->v[i].id);
        else if (err != 0)
            box_added(c, &rows->v[i], true);
        if (err == PEAL_E_CORRUPT) {
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
    (void)repair_send(c, to, WIRE_n_records, &m);
}

/* ---- giving ---- */

bool give_room(const struct chord *c, size_t n)
{
    return (GIVES_MAX - c->repair.gives_n) * GIVE_KEYS >= n;
}

void give_later(struct chord *c, const struct peal_id *to, const struct wire_item *v, size_t n)
{
    struct repair *p = &c->repair;
    struct give *g = NULL;
    for (size_t i = 0; i < p->gives_n; i++)
        if (id_eq(&p->gives[i].peer, to))
            g = &p->gives[i]; /* the last one may have room */
    for (size_t i = 0; i < n; i++) {
        if (g == NULL || g->n == GIVE_KEYS) {
            if (p->gives_n == GIVES_MAX) {
                p->again = true;
                return;
            }
            g = &p->gives[p->gives_n++];
            g->peer = *to;
            g->n = g->at = 0;
        }
        struct give_key *k = &g->keys[g->n++];
        CHECK(v[i].key.n <= ROW_KEY_BYTES);
        k->space = v[i].space;
        k->n = (uint8_t)v[i].key.n;
        memcpy(k->key, v[i].key.p, v[i].key.n);
    }
}

/* A page of them. */
static void give_page(struct chord *c, struct give *g)
{
    struct batch *b = arena_take(&c->scratch, sizeof *b);
    CHECK(b != NULL);
    b->records_n = b->rows_n = b->bytes = 0;
    while (g->at < g->n) {
        const struct give_key *k = &g->keys[g->at];
        struct peal_bytes value;
        enum step_space space = k->space == STEP_REGISTERS ? STEP_REGISTERS : STEP_ROWS;
        struct peal_bytes key = peal_bytes_of(k->key, k->n);
        size_t mark = c->scratch.used;
        if (c->rd->get(c->rd->ctx, space, key, &c->scratch, &value) == 0 &&
            !batch_add(c, b, space, key, value))
            break;
        if (b->records_n + b->rows_n == 0)
            c->scratch.used = mark;
        g->at++;
    }
    send_batch(c, &g->peer, b);
}

void on_records(struct chord *c, const struct source *src, const struct wire_n_records *m)
{
    int code = c->store_err;
    if (code == 0 && c->state != CHORD_MEMBER && c->state != CHORD_COPYING)
        code = PEAL_E_BUSY;
    if (code == 0 && (!id_eq(&m->ring, &c->roster.ring) || m->epoch > c->roster.epoch))
        code = PEAL_E_STALE; /* what this node cannot know yet it is offered again */
    if (code == 0 && !reg_copies_sound(c, src, &m->records))
        return;
    if (code == 0)
        batch_apply(c, &m->records, &m->rows);
    for (size_t i = 0; i < c->arcs_n; i++)
        if (id_eq(&c->arcs[i].with, &src->id))
            c->arcs[i].with_us = c->now;
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
    if (!repairs(c))
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
    give_later(c, &src->id, v, n);
    repair_timer(c);
}

/* ---- saying ---- */

struct arc *arc_of(struct chord *c, const struct peal_id *from, const struct peal_id *upto)
{
    for (size_t i = 0; i < c->arcs_n; i++)
        if (id_eq(&c->arcs[i].from, from) && id_eq(&c->arcs[i].upto, upto))
            return &c->arcs[i];
    return NULL;
}

void say_later(struct chord *c, const struct say *s)
{
    struct repair *p = &c->repair;
    if (p->says_n == SAYS_MAX)
        p->again = true;
    else
        p->says[p->says_n++] = *s;
}

/* Digests of parts [first, first + n) at depth bits. */
static void send_sums(struct chord *c, const struct arc *a, const struct peal_id *to, uint32_t cut,
                      uint8_t bits, uint32_t first, size_t n)
{
    uint8_t bytes[SUM_BYTES * WIRE_DIGESTS_MAX];
    struct wr w;
    CHECK(n > 0 && n <= WIRE_DIGESTS_MAX);
    wr_init(&w, bytes, sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        struct sum s = part_sum(c, a, bits, first + (uint32_t)i);
        wr_u64(&w, s.digest);
        wr_u32(&w, s.count);
    }
    struct wire_n_arc_digest m = {.epoch = c->roster.epoch,
                                  .from = a->from,
                                  .upto = a->upto,
                                  .cut = (uint64_t)cut * SETTLE_GRAIN_MS,
                                  .bits = bits,
                                  .first = first,
                                  .sums = peal_bytes_of(bytes, w.n)};
    (void)repair_send(c, to, WIRE_n_arc_digest, &m);
}

static uint8_t deeper(const struct arc *a, uint8_t bits)
{
    unsigned next = (unsigned)bits + STEP_BITS;
    return (uint8_t)(next < a->bits ? next : a->bits);
}

static void say_one(struct chord *c, const struct say *s)
{
    const struct arc *a = &c->arcs[s->arc];
    if (!is_up(c, &s->peer))
        return;
    if (s->kind == SAY_DIGESTS) {
        uint8_t next = deeper(a, s->bits), step = (uint8_t)(next - s->bits);
        send_sums(c, a, &s->peer, s->cut, next, s->part << step, (size_t)1 << step);
    } else if (s->kind == SAY_ITEMS) {
        say_items(c, s);
    } else {
        say_all(c, s);
    }
}

static bool update_has_room(const struct chord *c)
{
    return c->u->arena.cap - c->u->arena.used > ROOM_BYTES && c->u->cap - c->u->n > ROOM_EFFECTS;
}

static bool may_go_on(struct chord *c)
{
    return repair_may_send(c) && update_has_room(c);
}

/* What waits for bandwidth, as far as it goes. Lists wait until the records that earlier ones asked
 * for are on their way. */
static void send_waiting(struct chord *c)
{
    struct repair *p = &c->repair;
    if (c->now < p->give_us || p->says_n + p->gives_n == 0)
        return;
    p->give_us = c->now + GIVE_REST_US;
    for (size_t k = 0; k < GIVE_PAGES && p->gives_n > 0 && may_go_on(c); k++) {
        struct give *g = &p->gives[0];
        size_t mark = c->scratch.used;
        if (is_up(c, &g->peer))
            give_page(c, g);
        else
            g->at = g->n;
        c->scratch.used = mark;
        if (g->at == g->n)
            memmove(g, g + 1, --p->gives_n * sizeof *g);
    }
    size_t k = 0;
    while (k < SAYS_STEP && k < p->says_n && p->gives_n <= GIVES_MAX / 2 && may_go_on(c)) {
        struct say s = p->says[k++]; /* it may put another one behind all these */
        say_one(c, &s);
    }
    memmove(p->says, p->says + k, (p->says_n - k) * sizeof p->says[0]);
    p->says_n -= k;
    if (p->again && p->says_n + p->gives_n == 0) {
        p->again = false;
        repair_self(c);
    }
}

/* ---- rounds ---- */

static void arcs_hurry(struct chord *c, bool all)
{
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct arc *a = &c->arcs[i];
        uint64_t at = c->now + jitter(c, REPAIR_EVERY_US / 8);
        a->every_us = REPAIR_EVERY_US;
        a->early = EARLY_ROUNDS;
        a->all = a->all || all;
        if (at < a->due_us)
            a->due_us = at;
    }
}

void repair_soon(struct chord *c)
{
    c->repair.fast_us = c->now + FAST_US;
    arcs_hurry(c, false);
}

void repair_self(struct chord *c)
{
    arcs_hurry(c, true);
}

void repair_found(struct chord *c, struct arc *a, const struct peal_id *peer)
{
    a->found = true;
    a->with = *peer;
    a->with_us = c->now;
    a->every_us = REPAIR_EVERY_US;
    uint64_t at = c->now + REPAIR_EVERY_US;
    if (at < a->due_us)
        a->due_us = at;
}

/* What an earlier round has found is still being seen to; or peer gets everything by copying, or
 * this node does. */
static bool is_busy_with(struct chord *c, const struct arc *a, const struct peal_id *peer)
{
    const struct repair *p = &c->repair;
    const struct peer *e = peer_of(c, peer);
    for (size_t i = 0; i < p->says_n; i++)
        if (id_eq(&p->says[i].peer, peer))
            return true;
    for (size_t i = 0; i < p->gives_n; i++)
        if (id_eq(&p->gives[i].peer, peer))
            return true;
    bool ready = (c->ready >> a->index & 1) != 0;
    if (e == NULL || (!ready && p->copied_us != 0 && c->now - p->copied_us < COPIED_US))
        return true;
    if (id_eq(&a->with, peer) && c->now - a->with_us < WITH_US / 2)
        return true;
    return e->gave_us != 0 && c->now - e->gave_us < COPIED_US;
}

/* The homes that this node's next round is for; how many there are. */
static size_t audience(struct chord *c, const struct arc *a,
                       struct peal_id out[static CHORD_REPLICAS_MAX + 1])
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t n = 0, homes = arc_home(&c->roster, a->index, home);
    for (size_t i = 0; i < homes; i++) {
        bool first = a->all || id_cmp(&c->cfg.self, &home[i]) < 0;
        if (first && !is_self(c, &home[i]) && is_up(c, &home[i]))
            out[n++] = home[i];
    }
    return n;
}

/* How many of them can be asked now. */
static size_t free_of(struct chord *c, const struct arc *a, const struct peal_id *home, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += !is_busy_with(c, a, &home[i]);
    return k;
}

/* A round is over, but for what comes of it. whole: everybody has been asked. */
static void next_round(struct chord *c, struct arc *a, bool whole)
{
    uint64_t twice = 2 * a->every_us;
    if (a->found || !whole || a->early > 0)
        a->every_us = REPAIR_EVERY_US;
    else
        a->every_us = twice < REPAIR_REST_US ? twice : REPAIR_REST_US;
    a->due_us = c->now + jitter(c, a->every_us);
    if (a->early > 0)
        a->early--;
    a->all = a->all && !whole;
    a->found = a->saying = false;
}

static void say_round(struct chord *c, struct arc *a, uint32_t cut)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t n = audience(c, a, home), said = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_busy_with(c, a, &home[i])) {
            send_sums(c, a, &home[i], cut, 0, 0, 1);
            said++;
        }
    next_round(c, a, said == n);
}

static void ask(struct chord *c, const struct question *q)
{
    struct repair *p = &c->repair;
    size_t kept = 0;
    for (size_t i = 0; i < p->asked_n;
         i++) { /* a new round makes what is left of the last one void */
        const struct question *o = &p->asked[i];
        if (q->bits > 0 || q->say || o->say || o->arc != q->arc || !id_eq(&o->peer, &q->peer))
            p->asked[kept++] = *o;
    }
    p->asked_n = kept;
    if (kept < ASKED_MAX)
        p->asked[p->asked_n++] = *q;
    else if (q->say)
        c->arcs[q->arc].saying = false; /* it is due still */
    else
        p->again = true;
}

static void begin_rounds(struct chord *c)
{
    for (size_t i = 0; i < c->arcs_n; i++) {
        struct arc *a = &c->arcs[i];
        struct peal_id home[CHORD_REPLICAS_MAX + 1];
        if (a->saying || c->now < a->due_us)
            continue;
        size_t n = audience(c, a, home);
        if (free_of(c, a, home, n) == 0) {
            next_round(c, a, n == 0);
            continue;
        }
        uint32_t cut = settle_cut(c);
        if (cut == 0)
            return; /* a clock that has only just begun */
        a->saying = true;
        ask(c, &(struct question){.say = true, .arc = i, .cut = cut});
    }
}

/* ---- what other homes ask ---- */

static void differs(struct chord *c, const struct question *q, uint32_t part,
                    const struct sum *mine, const struct sum *theirs)
{
    struct arc *a = &c->arcs[q->arc];
    struct say s = {.kind = SAY_DIGESTS,
                    .peer = q->peer,
                    .arc = q->arc,
                    .cut = q->cut,
                    .part = part,
                    .bits = q->bits,
                    .after = {.space = STEP_REGISTERS}};
    a->with = q->peer;
    a->with_us = c->now;
    if (theirs->count == 0 && mine->count > 0)
        s.kind = SAY_ALL;
    else if (mine->count == 0 || q->bits == a->bits ||
             (uint64_t)mine->count + theirs->count <= LEAF_ITEMS)
        s.kind = SAY_ITEMS;
    say_later(c, &s);
}

/* What the whole arc's digest says of the two homes. */
static void note_alike(struct chord *c, struct arc *a, const struct question *q)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = arc_home(&c->roster, a->index, home);
    struct sum mine = part_sum(c, a, 0, 0);
    bool same = mine.digest == q->sums[0].digest && mine.count == q->sums[0].count;
    for (size_t i = 0; i < homes; i++)
        if (id_eq(&home[i], &q->peer))
            a->alike = (uint8_t)((a->alike & ~(1U << i)) | (unsigned)same << i);
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
    arcs_hurry(c, false);
}

static void answer_question(struct chord *c, const struct question *q)
{
    struct arc *a = &c->arcs[q->arc];
    if (q->bits == 0)
        note_alike(c, a, q);
    for (uint32_t i = 0; i < q->n && q->bits <= a->bits; i++) {
        struct sum mine = part_sum(c, a, q->bits, q->first + i);
        if (mine.digest != q->sums[i].digest || mine.count != q->sums[i].count)
            differs(c, q, q->first + i, &mine, &q->sums[i]);
    }
    if (q->bits <= a->bits)
        return;
    /* the other side has smaller cells: what they are parts of here is listed */
    unsigned less = (unsigned)q->bits - a->bits;
    for (uint32_t i = q->first >> less; i <= (q->first + q->n - 1U) >> less; i++) {
        struct say s = {.kind = SAY_ITEMS,
                        .peer = q->peer,
                        .arc = q->arc,
                        .cut = q->cut,
                        .part = i,
                        .bits = a->bits,
                        .after = {.space = STEP_REGISTERS}};
        say_later(c, &s);
    }
}

static void answer_asked(struct chord *c)
{
    struct repair *p = &c->repair;
    while (p->asked_n > 0) {
        struct question q = p->asked[0];
        struct arc *a = &c->arcs[q.arc];
        uint32_t first = 0, end = 1U << a->bits;
        if (q.bits <= a->bits && !q.say) {
            first = q.first << (a->bits - q.bits);
            end = (q.first + q.n) << (a->bits - q.bits);
        }
        if (!cells_known(c, q.arc, first, end, q.cut))
            return;
        memmove(p->asked, p->asked + 1, --p->asked_n * sizeof p->asked[0]);
        if (q.say)
            say_round(c, a, q.cut);
        else
            answer_question(c, &q);
    }
}

static bool digest_sound(const struct arc *a, const struct wire_n_arc_digest *m)
{
    size_t n = m->sums.n / SUM_BYTES;
    uint64_t cut = m->cut / SETTLE_GRAIN_MS;
    return n > 0 && n <= WIRE_DIGESTS_MAX && m->sums.n % SUM_BYTES == 0 && cut > 0 &&
           cut <= UINT32_MAX && m->bits <= CELL_BITS_MAX && m->bits <= a->length &&
           m->first < 1U << m->bits && n <= (1U << m->bits) - m->first;
}

void on_arc_digest(struct chord *c, const struct source *src, const struct wire_n_arc_digest *m)
{
    struct arc *a = arc_of(c, &m->from, &m->upto);
    if (a == NULL || m->epoch != c->roster.epoch || !repairs(c) || !digest_sound(a, m) ||
        !roster_is_home(&c->roster, &a->upto, &src->id))
        return;
    bool other = !id_is_zero(&a->with) && !id_eq(&a->with, &src->id);
    if (m->bits == 0 && (is_busy_with(c, a, &src->id) || (other && c->now - a->with_us < WITH_US)))
        return;
    struct question q = {.peer = src->id,
                         .arc = (size_t)(a - c->arcs),
                         .cut = (uint32_t)(m->cut / SETTLE_GRAIN_MS),
                         .first = m->first,
                         .bits = m->bits,
                         .n = (uint8_t)(m->sums.n / SUM_BYTES)};
    struct rd in;
    rd_init(&in, m->sums.p, m->sums.n);
    for (size_t i = 0; i < q.n; i++) {
        q.sums[i].digest = rd_u64(&in);
        q.sums[i].count = rd_u32(&in);
    }
    int err = rd_end(&in);
    CHECK(err == 0);
    if (m->bits > 0 && id_eq(&a->with, &src->id))
        a->with_us = c->now;
    ask(c, &q);
    repair_timer(c);
}

void repair_timer(struct chord *c)
{
    if (!repairs(c))
        return;
    begin_rounds(c);
    answer_asked(c);
    send_waiting(c);
}

uint64_t repair_deadline(const struct chord *c)
{
    const struct repair *p = &c->repair;
    uint64_t at = UINT64_MAX;
    if (!repairs(c))
        return at;
    if (p->asked_n > 0)
        at = p->left > 0 ? c->now : p->scan_us;
    if (p->says_n + p->gives_n > 0) {
        uint64_t open = p->bucket.us;
        if (p->bucket.level <= 0)
            open += ((uint64_t)-p->bucket.level + 1) * SECOND / rate(c) + 1;
        open = open > p->give_us ? open : p->give_us;
        at = open < at ? open : at;
    }
    return at;
}
