/* read: the union of a box's rows over its live homes, oldest first.
 *
 *   LIST: every live home gives its ids after `after`; the lowest of their union make a window
 *   GET:  the window's rows are fetched page by page from whoever has them (from this node's own
 * disk first), and given out
 *
 * Then the next window, until nobody has more or the app has had enough. A home that fails on the
 * way is left out; when too few homes are left for the union to be complete, it goes on a moment
 * later from what was given last, with the homes as they are then (they may have changed epochs).
 * When that has not helped for a second, the rows are given all the same and the read ends with
 * PEAL_E_UNAVAILABLE. */
#include "inner.h"

#include <string.h>

static void finish(struct chord *c, struct read_op *o, int err)
{
    uint64_t token = o->token;
    slab_release(&c->reads, o->handle);
    (void)c->cfg.app.set_rows(c->cfg.app.ctx, c->u, token, err, NULL, 0, true);
}

static uint64_t op_number(const struct read_op *o)
{
    return (uint64_t)o->attempt << 32 | o->handle;
}

static void wait_phase(struct chord *c, struct read_op *o)
{
    o->phase_us = c->now + READ_PHASE_US;
    o->wake_us = o->phase_us < o->deadline_us ? o->phase_us : o->deadline_us;
    ops_wake(c, o->wake_us);
}

static void list(struct chord *c, struct read_op *o)
{
    o->phase = READ_LIST;
    o->attempt++;
    o->n = o->at = o->asked = 0;
    o->truncated = false;
    wait_phase(c, o);
    for (size_t i = 0; i < o->targets_n; i++) {
        struct read_target *t = &o->targets[i];
        t->waiting = t->answered = t->partly = t->more = false;
        if (t->failed)
            continue;
        union wire_any m;
        memset(&m, 0, sizeof m.n_set_list);
        m.n_set_list = (struct wire_n_set_list){.epoch = c->roster.epoch,
                                                .op = op_number(o),
                                                .box = o->box,
                                                .after = o->after,
                                                .ids_only = true};
        t->waiting = request(c, &t->id, WIRE_n_set_list, &m);
        t->failed = !t->waiting;
    }
}

static void choose_targets(struct chord *c, struct read_op *o)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t homes = roster_home(&c->roster, &o->box, home);
    const struct roster *r = &c->roster;
    o->need = (uint8_t)(spare(homes) + 1);
    o->need_partly = (uint8_t)(spare(homes + 1) + 1); /* the home was larger by one before */
    o->targets_n = 0;
    if (homes == 0)
        return;
    for (size_t i = 0; i < homes; i++)
        if (is_up(c, &home[i]) &&
            (!is_self(c, &home[i]) || ready_for(c, &o->box) || ready_partly(c, &o->box)))
            o->targets[o->targets_n++] = (struct read_target){.id = home[i], .home = true};
    uint8_t order[WIRE_ROSTER_MAX];
    size_t n = arc_order(r, roster_arc(r, &o->box), r->n, order);
    for (size_t i = homes; i < n && o->targets_n < homes;
         i++) { /* stand-ins for those that are down */
        const struct peal_id *id = &r->members[order[i]];
        if (is_up(c, id))
            o->targets[o->targets_n++] = (struct read_target){.id = *id};
    }
}

int chord_set_read(struct chord *c, const struct step_event *ev, struct step_update *u,
                   uint64_t token, const struct peal_id *box, const struct peal_msg_id *after,
                   uint64_t timeout_us)
{
    note_call(c, ev, u);
    uint32_t handle = 0;
    struct read_op *o = slab_take(&c->reads, &handle);
    if (o == NULL)
        return PEAL_E_BUSY;
    o->token = token;
    o->handle = handle;
    o->box = *box;
    if (after != NULL)
        o->after = *after;
    o->deadline_us = c->now + timeout_us;
    choose_targets(c, o);
    if (o->targets_n == 0) { /* tried again until the deadline */
        o->wake_us = c->now + RETRY_US;
        ops_wake(c, o->wake_us);
        return 0;
    }
    list(c, o);
    return 0;
}

/* What there is would not be complete: whether it goes on from `after` with the homes as they are
 * in a moment. Some may just have changed epochs, or this node may have links to few as yet. */
static bool again(struct chord *c, struct read_op *o, const struct peal_msg_id *after)
{
    if (o->again_til_us == 0) {
        uint64_t most = (o->deadline_us - c->now) / 2;
        o->again_til_us = c->now + (most < READ_AGAIN_TIL_US ? most : READ_AGAIN_TIL_US);
        o->again_us = READ_AGAIN_US;
    }
    if (c->now >= o->again_til_us)
        return false;
    o->after = *after;
    o->targets_n = 0;
    o->wake_us = c->now + jitter(c, o->again_us);
    if (o->again_us < READ_AGAIN_MOST_US)
        o->again_us *= 2;
    ops_wake(c, o->wake_us);
    return true;
}

/* ---- the window ---- */

static void window_add(struct read_op *o, const struct peal_msg_id *id, uint8_t bit)
{
    size_t lo = 0, hi = o->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (msg_id_cmp(&o->ids[mid], id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < o->n && msg_id_eq(&o->ids[lo], id)) {
        o->mask[lo] |= bit;
        return;
    }
    if (o->n == WINDOW_IDS) {
        o->truncated = true;
        if (lo == o->n)
            return;
        o->n--;
    }
    memmove(&o->ids[lo + 1], &o->ids[lo], (o->n - lo) * sizeof o->ids[0]);
    memmove(&o->mask[lo + 1], &o->mask[lo], o->n - lo);
    o->ids[lo] = *id;
    o->mask[lo] = bit;
    o->n++;
}

/* Whose rows to ask for next, or a wait for another try; false when the window is used up. */
static bool get_next(struct chord *c, struct read_op *o)
{
    while (o->at < o->n) {
        uint8_t usable = 0;
        size_t holder = o->targets_n;
        for (size_t i = o->targets_n; i > 0; i--) {
            const struct read_target *t = &o->targets[i - 1];
            if (t->failed || (o->mask[o->at] & (1u << (i - 1))) == 0)
                continue;
            usable |= (uint8_t)(1u << (i - 1));
            if (holder == o->targets_n || !is_self(c, &o->targets[holder].id))
                holder = i - 1;
        }
        if (usable == 0) { /* only lost homes had it */
            struct peal_msg_id given = o->at > 0 ? o->ids[o->at - 1] : o->after;
            if (again(c, o, &given))
                return true;
            o->incomplete = true;
            o->at++;
            continue;
        }
        o->holder = holder;
        o->asked = 0;
        while (o->asked < WIRE_PAGE_ROWS && o->at + o->asked < o->n &&
               (o->mask[o->at + o->asked] & (1u << holder)) != 0)
            o->asked++;
        o->attempt++;
        wait_phase(c, o);
        union wire_any m;
        memset(&m, 0, sizeof m.n_set_get);
        m.n_set_get = (struct wire_n_set_get){.epoch = c->roster.epoch,
                                              .op = op_number(o),
                                              .box = o->box,
                                              .ids = {.v = &o->ids[o->at], .n = o->asked}};
        if (request(c, &o->targets[holder].id, WIRE_n_set_get, &m))
            return true;
        o->targets[holder].failed = true;
    }
    return false;
}

/* Of those that have answered, each majority that has acknowledged a row has one. */
static bool is_complete(const struct read_op *o)
{
    size_t whole = 0, partly = 0;
    for (size_t i = 0; i < o->targets_n; i++) {
        const struct read_target *t = &o->targets[i];
        bool counts = t->home && t->answered && !t->failed;
        whole += counts && !t->partly;
        partly += counts && t->partly;
    }
    return whole >= o->need || whole + partly >= o->need_partly;
}

static void next_window(struct chord *c, struct read_op *o)
{
    bool more = o->truncated;
    for (size_t i = 0; i < o->targets_n; i++)
        more = more || (o->targets[i].more && !o->targets[i].failed);
    if (!more) {
        finish(c, o, o->incomplete ? PEAL_E_UNAVAILABLE : 0);
        return;
    }
    CHECK(o->n > 0);
    o->after = o->ids[o->n - 1];
    list(c, o);
}

/* Everyone has answered or is gone: what lies beyond the end of a list that was cut waits for the
 * next window. */
static void close_window(struct chord *c, struct read_op *o)
{
    size_t answered = 0;
    for (size_t i = 0; i < o->targets_n; i++) {
        const struct read_target *t = &o->targets[i];
        answered += t->answered && !t->failed;
        while (t->more && !t->failed && o->n > 0 && msg_id_cmp(&o->ids[o->n - 1], &t->upto) > 0) {
            o->n--;
            o->truncated = true;
        }
    }
    if (!is_complete(o)) {
        if (again(c, o, &o->after))
            return;
        o->incomplete = true;
    }
    if (answered == 0) {
        finish(c, o, PEAL_E_UNAVAILABLE);
        return;
    }
    o->phase = READ_GET;
    if (!get_next(c, o))
        next_window(c, o);
}

static bool still_waiting(const struct read_op *o)
{
    for (size_t i = 0; i < o->targets_n; i++)
        if (o->targets[i].waiting)
            return true;
    return false;
}

static void got_list(struct chord *c, struct read_op *o, size_t at, const struct wire_n_set_page *m)
{
    struct read_target *t = &o->targets[at];
    t->waiting = false;
    bool idle = m->more && (m->ids.n == 0 || msg_id_cmp(&m->ids.v[m->ids.n - 1], &o->after) <= 0);
    t->partly = m->code == (uint16_t)-PEAL_E_UNKNOWN;
    if ((m->code != 0 && !t->partly) || idle) {
        t->failed = true;
    } else {
        t->answered = true;
        t->more = m->more;
        for (size_t i = 0; i < m->ids.n; i++)
            if (msg_id_cmp(&m->ids.v[i], &o->after) > 0)
                window_add(o, &m->ids.v[i], (uint8_t)(1u << at));
        if (m->more)
            t->upto = m->ids.v[m->ids.n - 1];
    }
    if (!still_waiting(o))
        close_window(c, o);
}

static void got_rows(struct chord *c, struct read_op *o, size_t at, const struct wire_n_set_page *m)
{
    if (at != o->holder)
        return;
    uint32_t handle = o->handle;
    if (m->code != 0) {
        o->targets[at].failed = true;
        if (!get_next(c, o))
            next_window(c, o);
        return;
    }
    size_t n = 0, end = o->at + o->asked;
    for (size_t i = o->at; i < end && n < m->rows.n; i++)
        if (msg_id_eq(&o->ids[i], &m->rows.v[n].id) && id_eq(&o->box, &m->rows.v[n].box)) {
            n++;
            if (m->more)
                o->at = i + 1;
        }
    if (!m->more || n == 0)
        o->at = end;
    bool on = n == 0 || c->cfg.app.set_rows(c->cfg.app.ctx, c->u, o->token, 0, m->rows.v, n, false);
    CHECK(slab_get(&c->reads, handle) == o);
    if (!on) {
        slab_release(&c->reads, handle);
        return;
    }
    if (!get_next(c, o))
        next_window(c, o);
}

void on_set_page(struct chord *c, const struct source *src, const struct wire_n_set_page *m)
{
    struct read_op *o = slab_get(&c->reads, (uint32_t)m->op);
    if (o == NULL || op_number(o) != m->op)
        return;
    if (m->code == (uint16_t)-PEAL_E_STALE && m->epoch < c->roster.epoch)
        roster_tell(c, src);
    for (size_t i = 0; i < o->targets_n; i++) {
        if (!id_eq(&o->targets[i].id, &src->id))
            continue;
        if (o->phase == READ_LIST && o->targets[i].waiting)
            got_list(c, o, i, m);
        else if (o->phase == READ_GET)
            got_rows(c, o, i, m);
        return;
    }
}

/* Goes on when what the phase waited for has come or is lost. */
static void advance(struct chord *c, struct read_op *o)
{
    if (o->phase == READ_LIST && !still_waiting(o))
        close_window(c, o);
    else if (o->phase == READ_GET && o->targets[o->holder].failed && !get_next(c, o))
        next_window(c, o);
}

static void lose(struct read_op *o, size_t at)
{
    o->targets[at].waiting = false;
    o->targets[at].failed = true;
}

/* Whoever has not answered by now is left out. */
static void phase_over(struct read_op *o)
{
    for (size_t i = 0; i < o->targets_n; i++)
        if (o->phase == READ_LIST ? o->targets[i].waiting : o->holder == i)
            lose(o, i);
}

void reads_timer(struct chord *c)
{
    uint32_t at = 0, handle = 0;
    struct read_op *o;
    while ((o = slab_each(&c->reads, &at, &handle)) != NULL) {
        if (!ops_room(c))
            return;
        if (c->now >= o->deadline_us) {
            finish(c, o, PEAL_E_UNAVAILABLE);
        } else if (c->now < o->wake_us) {
            ops_wake(c, o->wake_us);
        } else if (o->targets_n == 0) {
            choose_targets(c, o);
            o->wake_us = c->now + RETRY_US;
            ops_wake(c, o->wake_us);
            if (o->targets_n > 0)
                list(c, o);
        } else {
            if (c->now >= o->phase_us)
                phase_over(o);
            o->wake_us = o->phase_us > c->now ? o->phase_us : c->now + READ_PHASE_US;
            ops_wake(c, o->wake_us);
            advance(c, o);
        }
    }
}

void reads_lost(struct chord *c, const struct peal_id *peer)
{
    uint32_t at = 0, handle = 0;
    struct read_op *o;
    while ((o = slab_each(&c->reads, &at, &handle)) != NULL)
        for (size_t i = 0; i < o->targets_n; i++)
            if (id_eq(&o->targets[i].id, peer) && !o->targets[i].failed) {
                lose(o, i);
                o->wake_us = c->now;
                ops_wake(c, c->now);
            }
}
