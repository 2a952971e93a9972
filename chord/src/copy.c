/* clang-format off */
/* copy: what makes a node ready for an arc, and who answers it.
 *
 * For a key with R homes in an epoch, maj = R/2 + 1 of them decide a register or acknowledge a row
 * (a row counts where it lies, ready or not), and only those vote that are ready for the key, or may
 * before they are ("votes before it is ready"). Let spare = R - maj, and say that a node lacks a
 * value when it was decided or acknowledged in an epoch that is over and neither it nor what came of
 * it is on the node's disk. What is kept true:
 *
 *   of the homes that are ready for a key, at most spare lack a value.                        (*)
 *
 * Hence a register's majority, if all of it is ready, has each earlier decision in it (maj > spare),
 * and what spare + 1 ready homes have is everything: so many a node that gets ready must hear,
 * itself included if it was one of them. Why (*) is true of each epoch, if it was of the one before:
 *
 *   decided then     maj have it: R - maj lack it. A late vote cannot come: whoever answers a copy
 *                    has adopted the new epoch before, on its disk, so its vote lies before its
 *                    answer, and of spare + 1 that answer one is among any maj that decide.
 *   stays home       it lacks no more than before. In a smaller home spare may be smaller: then
 *                    nobody is ready until it has heard the others, itself counted (ready_next).
 *   comes to be home it is not ready until it has heard spare + 1 ready homes of the epoch before,
 *                    for each part of an old arc that its arc is made of. It then lacks nothing.
 *   is removed       one that lacks it less, or one that has it: neither makes another one lack it.
 *   has lost its state, and is renewed: as one that comes to be home; the new epoch's ballots outdo
 *                    what it had promised. It hears spare + 1 of the other homes that are ready now.
 *
 * A home that was never ready says so and does not count, not even as having nothing: a value that
 * was decided before it came may be lacked by all but one of those that were asked besides.
 *
 * Several epochs: who did not get ready in time goes on asking the homes of its base, the epoch
 * before that in which it became home, while the arc and its homes stay the same. What was decided
 * meanwhile, in later epochs, was decided by maj of the homes of now without itself (or with its own
 * vote: then it does not lack it); at most `outside` of them are not in the base. They and the spare + 1 that answer meet if
 * spare + 1 + maj - outside > the base's homes without itself (base_holds in ready.c); the answers
 * are given in the present epoch, behind those votes. If they need not meet, or the homes have
 * changed, the base is the epoch before the new one, of which (*) is true again.
 * One that skipped epochs, or is renewed, has the homes of now as its base: (*).
 *
 * Votes before it is ready (votes_assign in ready.c): a majority must have each earlier decision in
 * it, not in each of its members. Of the homes of now, those that were ready for the key in the
 * epoch before lack a value at most spare (as it was then) at a time, and each one that was no home
 * then may lack it. So if spare + new < maj (as it is now), all of these vote from the beginning.
 * That is so when R grows or shrinks by one, and of an even R always; not when one of an odd R is
 * replaced: there the others are a majority, and vote. Who was a home before and not ready does not
 * vote so, nor does anyone once another epoch has come. A late vote of the old epoch hides nothing
 * either: of the maj (of then) whose votes decide, one is among any maj of now that has answered,
 * and has voted before it adopted the new one. (*) is as true as before: what is decided so is on
 * the disks of maj homes, and who copies hears those who were ready.
 *
 * A mailbox that is read: the ready homes that answer must be spare + 1. In a home that has shrunk
 * they may also be spare (as it was before) + 1 of those that were ready before, each of which says
 * of its list that something may be lacking (rows.c, read.c).
 *
 * Waiting for each other for ever: the coordinator changes the homes of an arc only while spare + 1
 * of them that are ready, the one that goes not counted, are up (admit.c); they may fall, but have
 * what is needed when they are back, and nobody's being ready depends on one that is not.
 *
 * R = 1: spare is 0, the one home has everything, and it alone can give it. Renewed it has nobody to
 * ask: what it had is lost, and it is ready with what it has. Rings smaller than K + 1: R is their
 * size, and grows and shrinks with them; see "stays home".
 *
 * Rows that a stand-in holds are nobody's to give: they come home by the sweep. */
/* clang-format on */
#include "inner.h"

#include <string.h>

/* ---- what is to be copied ---- */

/* Whether there is room for it. own: this node was one of those that have it. */
static bool add_job(struct chord *c, size_t arc, const struct part *part,
                    const struct roster *roster, bool own)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = arc_home(roster, part->arc, home);
    struct copy_job j = {.arc = arc,
                         .from = part->from,
                         .upto = part->upto,
                         .base = roster->epoch,
                         .need = spare(homes) + 1 - own};
    for (size_t i = 0; i < homes; i++)
        if (!is_self(c, &home[i]))
            j.sources[j.sources_n++] = (struct copy_source){.id = home[i]};
    if (j.need == 0)
        return true;
    if (c->jobs_n == COPY_JOBS_MAX)
        return false;
    c->jobs[c->jobs_n++] = j;
    return true;
}

/* Of the parts for which this node was ready, only what a smaller home makes necessary. */
static void add_arc(struct chord *c, const struct arc *a)
{
    struct part parts[PARTS_MAX];
    struct past was;
    uint64_t base = c->base[a->index];
    if (base == c->roster.epoch || !past_load(c, &c->roster.ring, base, &was))
        was = (struct past){.roster = c->roster};
    base = was.roster.epoch;
    size_t n = roster_parts(&was.roster, &a->from, &a->upto, parts);
    bool fewer = spare(roster_copies(&c->roster)) < spare(roster_copies(&was.roster));
    for (size_t i = 0; i < n; i++) {
        bool own = base != c->roster.epoch && ready_then(c, base, &parts[i].from, &parts[i].upto);
        if (own && !fewer)
            continue;
        if (!add_job(c, a->index, &parts[i], &was.roster, own))
            return;
    }
    c->planned |= UINT64_C(1) << a->index;
}

/* Plans anew what is missing; what was heard is heard again. */
void copy_begin(struct chord *c)
{
    c->jobs_n = 0;
    c->planned = 0;
    for (size_t i = 0; i < c->arcs_n; i++)
        if ((c->ready >> c->arcs[i].index & 1) == 0)
            add_arc(c, &c->arcs[i]);
    copy_timer(c);
}

static bool is_heard(const struct copy_job *j)
{
    size_t have = 0;
    for (size_t i = 0; i < j->sources_n; i++)
        have += j->sources[i].done;
    return have >= j->need;
}

/* The arcs of which everything was heard. */
static void finish(struct chord *c)
{
    uint64_t got = c->planned, before = c->ready;
    bool unplanned = false;
    for (size_t i = 0; i < c->jobs_n; i++)
        if (!is_heard(&c->jobs[i]))
            got &= ~(UINT64_C(1) << c->jobs[i].arc);
    c->ready |= got;
    if (c->ready == before)
        return;
    for (size_t i = 0; i < c->arcs_n; i++)
        unplanned = unplanned || ((c->ready | c->planned) >> c->arcs[i].index & 1) == 0;
    roster_save(c);
    repair_soon(c);
    if (ready_all(c) && c->state == CHORD_COPYING)
        set_state(c, CHORD_MEMBER);
    c->changed = c->state_news = true;
    if (unplanned)
        copy_begin(c);
}

static void ask(struct chord *c, const struct copy_job *j, struct copy_source *s)
{
    struct peal_id members[ROSTER_IDS];
    s->op = rng_next(&c->rng) | 1;
    s->due_us = c->now + COPY_WAIT_US;
    struct wire_n_copy m = {.roster = roster_view(&c->roster, members),
                            .base = j->base,
                            .from = j->from,
                            .upto = j->upto,
                            .op = s->op,
                            .cursor = peal_bytes_of(s->cursor, s->cursor_n)};
    (void)send_to(c, &s->id, WIRE_n_copy, &m);
}

void copy_timer(struct chord *c)
{
    if ((c->state != CHORD_COPYING && c->state != CHORD_MEMBER) || c->store_err < 0 ||
        c->distrusted)
        return;
    finish(c);
    for (size_t i = 0; i < c->jobs_n; i++) {
        struct copy_job *j = &c->jobs[i];
        if (is_heard(j))
            continue;
        for (size_t k = 0; k < j->sources_n; k++) {
            struct copy_source *s = &j->sources[k];
            const struct peer *p = peer_of_const(c, &s->id);
            if (!s->done && p != NULL && p->linked && same_ring(c, p) && c->now >= s->due_us)
                ask(c, j, s);
        }
    }
}

/* ---- who is asked ---- */

struct copy_scan {
    struct chord *c;
    struct batch *batch;
    struct place *at;
    size_t seen;
    bool full, damaged;
};

static bool copy_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct copy_scan *s = ctx;
    struct reg_state r;
    if (s->at->space == STEP_REGISTERS && key.n == ID_BYTES && reg_decode(value, &r) < 0) {
        struct peal_id id = id_from_bytes(key.p);
        reg_damaged(s->c, &id);
        s->damaged = true;
        return false;
    }
    if (key.n >= ID_BYTES &&
        !batch_add(s->c, s->batch, (enum step_space)s->at->space, key, value)) {
        s->full = true;
        return false;
    }
    if (key.n <= ROW_KEY_BYTES) {
        memcpy(s->at->key, key.p, key.n);
        s->at->n = key.n;
    }
    s->seen++;
    return true;
}

/* Goes on from s->at; 0 with *more, or an error. */
static int scan_range(struct copy_scan *s, const struct wire_n_copy *m, bool *more)
{
    const struct step_reader *rd = s->c->rd;
    do {
        struct peal_id lo, hi;
        bool no_end = false;
        uint8_t from[WIRE_KEY_MAX];
        size_t n = ID_BYTES;
        if (!range_part(&m->from, &m->upto, s->at->part, &lo, &hi, &no_end))
            continue;
        memcpy(from, lo.b, ID_BYTES);
        if (s->at->n > 0) { /* the first key after it */
            n = s->at->n;
            memcpy(from, s->at->key, n);
            from[n++] = 0;
        }
        int err = rd->scan(rd->ctx, (enum step_space)s->at->space, peal_bytes_of(from, n),
                           no_end ? (struct peal_bytes){0} : id_bytes(&hi), COPY_SCAN_MAX - s->seen,
                           copy_one, s);
        *more = s->full || s->seen == COPY_SCAN_MAX;
        if (err < 0 || *more)
            return err;
    } while (place_next(s->at));
    return 0;
}

/* The cursor is a space, a part, and the last key there that was looked at. */
static bool cursor_take(struct peal_bytes cursor, struct place *at)
{
    *at = (struct place){.space = STEP_REGISTERS};
    if (cursor.n == 0)
        return true;
    if (cursor.n < 2 || cursor.n > 2 + ROW_KEY_BYTES || cursor.p[1] > 1 ||
        (cursor.p[0] != STEP_REGISTERS && cursor.p[0] != STEP_ROWS))
        return false;
    *at = (struct place){.space = cursor.p[0], .part = cursor.p[1], .n = cursor.n - 2};
    memcpy(at->key, cursor.p + 2, at->n);
    return true;
}

static int may_give(struct chord *c, const struct source *src, const struct wire_n_copy *m)
{
    if (c->store_err < 0)
        return c->store_err;
    if (m->roster.epoch != c->roster.epoch || !id_eq(&m->roster.ring, &c->roster.ring) ||
        !roster_has(&c->roster, &src->id))
        return PEAL_E_STALE;
    if (c->state != CHORD_MEMBER && c->state != CHORD_COPYING)
        return PEAL_E_BUSY;
    if (!ready_then(c, m->base, &m->from, &m->upto))
        return PEAL_E_NOT_FOUND;
    return repair_may_copy(c) ? 0 : PEAL_E_BUSY;
}

void on_copy(struct chord *c, const struct source *src, const struct wire_n_copy *m)
{
    struct place at;
    struct batch b = {0};
    uint8_t next[2 + ROW_KEY_BYTES];
    size_t mark = c->scratch.used;
    if (!cursor_take(m->cursor, &at)) {
        ring_refuse(c->ring, c->ev, c->u, &src->id, PEAL_E_MALFORMED,
                    "where a copy is to go on is not of its form");
        return;
    }
    roster_learn(c, src, &m->roster, false);
    struct wire_n_copy_page a = {.epoch = c->roster.epoch, .op = m->op};
    int code = may_give(c, src, m);
    if (code == 0 && m->cursor.n == 0)
        roster_save(c); /* the seal must outlast a crash before anyone relies on it */
    if (code == 0) {
        struct copy_scan s = {.c = c, .batch = &b, .at = &at};
        code = scan_range(&s, m, &a.more);
        if (s.damaged)
            code = PEAL_E_CORRUPT;
    }
    if (code == 0) {
        next[0] = at.space;
        next[1] = at.part;
        memcpy(next + 2, at.key, at.n);
        a.next = peal_bytes_of(next, 2 + at.n);
        a.records = (struct wire_record_list){.v = b.records, .n = b.records_n};
        a.rows = (struct wire_row_list){.v = b.rows, .n = b.rows_n};
    } else {
        a.more = false;
    }
    struct peer *p = peer_of(c, &src->id);
    if (p != NULL)
        p->gave_us = a.more || code == PEAL_E_BUSY ? c->now : 0;
    a.code = (uint16_t)-code;
    size_t from = c->u->n;
    answer(c, src, WIRE_n_copy_page, &a);
    repair_copied(c, from);
    c->scratch.used = mark;
}

/* ---- answers ---- */

static struct copy_source *source_of(struct chord *c, const struct source *src, uint64_t op,
                                     struct copy_job **job)
{
    for (size_t i = 0; op != 0 && i < c->jobs_n; i++)
        for (size_t k = 0; k < c->jobs[i].sources_n; k++) {
            struct copy_source *s = &c->jobs[i].sources[k];
            *job = &c->jobs[i];
            if (s->op == op && id_eq(&s->id, &src->id))
                return s;
        }
    return NULL;
}

void on_copy_page(struct chord *c, const struct source *src, const struct wire_n_copy_page *m)
{
    struct copy_job *j = NULL;
    struct copy_source *s = source_of(c, src, m->op, &j);
    if (s == NULL || s->done || c->distrusted || c->store_err < 0 ||
        (c->state != CHORD_COPYING && c->state != CHORD_MEMBER))
        return;
    s->op = 0;
    if (m->code != 0 || m->epoch != c->roster.epoch) {
        bool never = m->code == (uint16_t)-PEAL_E_NOT_FOUND;
        s->due_us = c->now + jitter(c, never ? COPY_WAIT_US : RETRY_US);
        return;
    }
    if (!reg_copies_sound(c, src, &m->records))
        return;
    c->repair.copied_us = c->now;
    batch_apply(c, &m->records, &m->rows);
    if (m->more && m->next.n <= sizeof s->cursor) {
        memcpy(s->cursor, m->next.p, m->next.n);
        s->cursor_n = m->next.n;
        ask(c, j, s);
        return;
    }
    s->done = !m->more;
    finish(c);
}
