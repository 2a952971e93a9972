/* copy: what makes a new server ready. It asks members for everything that the roster makes it a
 * home of; each adopts the epoch before it answers, so that nothing more can be decided in the one
 * before. It is ready when, whatever the key, a majority of the old home has answered: that is,
 * when all but R - majority(R) of the old members have.
 *
 * A member that was never ready itself has refused every vote, so whatever was decided was decided
 * by the others of the home: it is left out of the count. Else two that were admitted one after the
 * other, the first of which was away in between, would wait for each other for ever. (One that has
 * lost its roster does not know whether it was ready, and counts.) */
#include "inner.h"

#include <string.h>

/* How many of the other members may be missing. A server that is admitted in the present epoch
 * copies from the roster before it; one that could not finish then, and copies in a later epoch, is
 * itself one that is missing. */
static size_t may_miss(const struct chord *c)
{
    if (c->copy_first) {
        size_t copies = (size_t)c->roster.replicas + 1, old = c->roster.n - 1;
        size_t r = copies < old ? copies : old;
        return r - majority(r);
    }
    size_t r = roster_copies(&c->roster);
    size_t spare = r - majority(r);
    return spare > 0 ? spare - 1 : 0;
}

static void ask_copy(struct chord *c, struct peer *p)
{
    struct peal_id members[ROSTER_IDS];
    p->copy_op = rng_next(&c->rng) | 1;
    p->copy_due_us = c->now + COPY_WAIT_US;
    struct wire_n_copy m = {.roster = roster_view(&c->roster, members),
                            .op = p->copy_op,
                            .cursor = peal_bytes_of(p->cursor, p->cursor_n)};
    (void)send_to(c, &p->id, WIRE_n_copy, &m);
}

void copy_begin(struct chord *c)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        p->copied = p->unready = false;
        p->copy_due_us = 0;
        p->cursor_n = 0;
    }
    copy_timer(c);
}

static void finish_if_enough(struct chord *c)
{
    size_t have = 0, unready = 0;
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *p = &c->peers[i];
        if (!p->used || !roster_has(&c->roster, &p->id))
            continue;
        have += p->copied;
        unready += !p->copied && p->unready;
    }
    CHECK(have + unready < c->roster.n);
    if (have == 0 || c->roster.n - 1 - have - unready > may_miss(c))
        return;
    c->ready_epoch = c->roster.epoch;
    roster_fresh(c, false);
    roster_save(c);
    set_state(c, CHORD_MEMBER);
    c->changed = c->state_news = true;
    repair_soon(c);
}

void copy_timer(struct chord *c)
{
    if (c->state != CHORD_COPYING || c->store_err < 0)
        return;
    finish_if_enough(c);
    for (size_t i = 0; i < c->peers_n && c->state == CHORD_COPYING; i++) {
        struct peer *p = &c->peers[i];
        if (p->used && p->up && !p->copied && c->now >= p->copy_due_us)
            ask_copy(c, p);
    }
}

/* ---- the member that is asked ---- */

struct copy_scan {
    struct chord *c;
    struct batch *batch;
    const struct peal_id *home;
    enum step_space space;
    uint8_t last[WIRE_KEY_MAX];
    size_t last_n;
    size_t seen;
    bool full;
};

static bool copy_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct copy_scan *s = ctx;
    struct peal_id id;
    if (key.n < ID_BYTES || key.n > WIRE_KEY_MAX)
        return true;
    id = id_from_bytes(key.p);
    if (roster_is_home(&s->c->roster, &id, s->home) &&
        !batch_add(s->c, s->batch, s->space, key, value)) {
        s->full = true;
        return false;
    }
    memcpy(s->last, key.p, key.n);
    s->last_n = key.n;
    s->seen++;
    return true;
}

/* The cursor is a space and the last key in it that was looked at. */
void on_copy(struct chord *c, const struct source *src, const struct wire_n_copy *m)
{
    roster_learn(c, src, &m->roster);
    struct wire_n_copy_page a = {.epoch = c->roster.epoch, .op = m->op};
    int code = 0;
    if (c->store_err < 0)
        code = c->store_err;
    else if (m->roster.epoch != c->roster.epoch || !roster_has(&c->roster, &src->id))
        code = PEAL_E_STALE;
    else if (c->state != CHORD_MEMBER)
        code = c->fresh ? PEAL_E_NOT_FOUND : PEAL_E_BUSY;
    size_t mark = c->scratch.used;
    struct batch b = {0};
    uint8_t next[WIRE_KEY_MAX + 1];
    if ((code == 0 || code == PEAL_E_NOT_FOUND) && m->cursor.n == 0)
        roster_save(c); /* the seal must outlast a crash before anyone relies on it */
    if (code == 0) {
        uint8_t from[WIRE_KEY_MAX];
        size_t from_n = 0;
        struct copy_scan s = {.c = c, .batch = &b, .home = &src->id, .space = STEP_REGISTERS};
        if (m->cursor.n > 0 && m->cursor.p[0] == STEP_ROWS)
            s.space = STEP_ROWS;
        if (m->cursor.n > 1 && m->cursor.n < sizeof from) {
            from_n = m->cursor.n - 1;
            memcpy(from, m->cursor.p + 1, from_n);
            memcpy(s.last, from, from_n);
            s.last_n = from_n;
            from[from_n++] = 0; /* the first key after it */
        }
        code = c->rd->scan(c->rd->ctx, s.space, peal_bytes_of(from, from_n), (struct peal_bytes){0},
                           COPY_SCAN_MAX, copy_one, &s);
        bool space_done = !s.full && s.seen < COPY_SCAN_MAX;
        a.more = !space_done || s.space == STEP_REGISTERS;
        next[0] = (uint8_t)(space_done ? STEP_ROWS : s.space);
        size_t n = space_done ? 0 : s.last_n;
        memcpy(next + 1, s.last, n);
        a.next = peal_bytes_of(next, n + 1);
    }
    a.code = (uint16_t)-code;
    a.records.v = b.records;
    a.records.n = code == 0 ? b.records_n : 0;
    a.rows.v = b.rows;
    a.rows.n = code == 0 ? b.rows_n : 0;
    answer(c, src, WIRE_n_copy_page, &a);
    c->scratch.used = mark;
}

void on_copy_page(struct chord *c, const struct source *src, const struct wire_n_copy_page *m)
{
    struct peer *p = peer_of(c, &src->id);
    CHECK(p != NULL);
    if (c->state != CHORD_COPYING || p->copy_op != m->op || p->copied || m->op == 0)
        return;
    p->copy_op = 0;
    p->unready = m->code == (uint16_t)-PEAL_E_NOT_FOUND && m->epoch == c->roster.epoch;
    if (m->code != 0 || m->epoch != c->roster.epoch) {
        finish_if_enough(c);
        p->copy_due_us = c->now + jitter(c, RETRY_US);
        return;
    }
    batch_apply(c, &m->records, &m->rows);
    if (m->more) {
        memcpy(p->cursor, m->next.p, m->next.n);
        p->cursor_n = m->next.n;
        ask_copy(c, p);
        return;
    }
    p->copied = true;
    finish_if_enough(c);
}
