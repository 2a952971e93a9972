/* ready: for which arcs this node's copies are complete (its share in copy.c's argument), carried
 * from epoch to epoch, on which it votes before they are, and the epochs that are over, which say
 * who was a home when.
 *
 * Every member adopts every epoch, one after the other: who was away is told those that it missed
 * (roster.c). One that finds nobody who remembers them skips them, and is ready for nothing then
 * unless they can only have added servers. */
#include "inner.h"

#include <string.h>

_Static_assert((int)ARCS_MAX <= 64, "a bit for each arc");

enum { PAST_KEY = 4 + ID_BYTES + 8 };

/* ---- epochs that are over ---- */

static void past_key(const struct peal_id *ring, uint64_t epoch, uint8_t out[static PAST_KEY])
{
    struct wr w;
    wr_init(&w, out, PAST_KEY);
    wr_bytes(&w, "past", 4);
    wr_bytes(&w, ring->b, ID_BYTES);
    wr_u64(&w, epoch);
}

/* c->roster has been replaced by another, or is about to be. */
void past_save(struct chord *c)
{
    struct peal_id ids[ROSTER_IDS];
    struct wire_s_past s = {.roster = roster_view(&c->roster, ids), .ready = c->ready};
    uint8_t mem[ROSTER_IDS * ID_BYTES + 256], key[PAST_KEY];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    int err = wire_encode(WIRE_s_past, &s, &w);
    CHECK(err == 0);
    past_key(&c->roster.ring, c->roster.epoch, key);
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_of(key, sizeof key), peal_bytes_of(mem, w.n));
    c->past = (struct past){.roster = c->roster, .ready = c->ready};
    if (c->roster.epoch <= PAST_MAX)
        return;
    past_key(&c->roster.ring, c->roster.epoch - PAST_MAX, key);
    step_write(c->u, STEP_META, STEP_DEL, peal_bytes_of(key, sizeof key), (struct peal_bytes){0});
}

bool past_load(struct chord *c, const struct peal_id *ring, uint64_t epoch, struct past *out)
{
    uint8_t key[PAST_KEY];
    union wire_any m;
    uint16_t type = 0;
    struct peal_bytes v;
    size_t mark = c->scratch.used;
    if (c->past.roster.epoch == epoch && id_eq(&c->past.roster.ring, ring) &&
        epoch != 0) { /* perhaps of this very update */
        *out = c->past;
        return true;
    }
    past_key(ring, epoch, key);
    int err = c->rd->get(c->rd->ctx, STEP_META, peal_bytes_of(key, sizeof key), &c->scratch, &v);
    if (err == 0)
        err = wire_decode(v.p, v.n, &type, &m, sizeof m, &c->scratch);
    bool found =
        err == 0 && type == WIRE_s_past && roster_take(&out->roster, &m.s_past.roster) == 0;
    found = found && out->roster.epoch == epoch && id_eq(&out->roster.ring, ring);
    if (found)
        out->ready = m.s_past.ready;
    c->scratch.used = mark;
    return found;
}

/* ---- homes of ranges ---- */

static size_t with(const struct peal_id *ids, size_t n, const struct peal_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (id_eq(&ids[i], id))
            return 1;
    return 0;
}

bool arc_has(const struct roster *r, size_t arc, const struct peal_id *id)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    return with(home, arc_home(r, arc, home), id) != 0;
}

struct peal_id arc_from(const struct roster *r, size_t arc)
{
    return r->members[(arc + r->n - 1) % r->n];
}

size_t roster_parts(const struct roster *r, const struct peal_id *from, const struct peal_id *upto,
                    struct part out[static PARTS_MAX])
{
    size_t n = 0;
    struct peal_id at = *from;
    for (;;) {
        size_t next = roster_after(r, &at);
        const struct peal_id *end = &r->members[next];
        bool inside = id_between(&at, end, upto);
        CHECK(n < PARTS_MAX);
        out[n++] = (struct part){.from = at, .upto = inside ? *end : *upto, .arc = next};
        if (!inside)
            return n;
        at = *end;
    }
}

/* Whether the keys of ]from, upto] all lie in arcs of r whose bits are set. */
static bool all_in(const struct roster *r, uint64_t ready, const struct peal_id *from,
                   const struct peal_id *upto)
{
    struct part parts[PARTS_MAX];
    size_t n = roster_parts(r, from, upto, parts);
    for (size_t i = 0; i < n; i++)
        if ((ready >> parts[i].arc & 1) == 0)
            return false;
    return true;
}

/* ---- from one epoch to the next ---- */

/* An arc that this node did not get ready for in time: whether the homes of `base` can still say
 * everything, although epochs have passed in which `now` has decided (copy.c, "several epochs"). */
static bool base_holds(struct chord *c, const struct roster *now, size_t arc, uint64_t base)
{
    struct past was;
    struct part parts[PARTS_MAX];
    struct peal_id home[CHORD_REPLICAS_MAX + 1], old[CHORD_REPLICAS_MAX + 1];
    if (!past_load(c, &c->roster.ring, base, &was))
        return false;
    size_t homes = arc_home(now, arc, home);
    struct peal_id from = arc_from(now, arc);
    size_t n = roster_parts(&was.roster, &from, &now->members[arc], parts);
    for (size_t i = 0; i < n; i++) {
        size_t olds = arc_home(&was.roster, parts[i].arc, old), others = olds, outside = 0;
        others -= with(old, olds, &c->cfg.self);
        for (size_t k = 0; k < homes; k++)
            outside += !is_self(c, &home[k]) && with(old, olds, &home[k]) == 0;
        if (others + outside > spare(olds) + majority(homes))
            return false;
    }
    return true;
}

static bool same_homes(const struct roster *a, size_t i, const struct roster *b, size_t k)
{
    struct peal_id x[CHORD_REPLICAS_MAX + 1], y[CHORD_REPLICAS_MAX + 1];
    struct peal_id from = arc_from(a, i), other = arc_from(b, k);
    size_t n = arc_home(a, i, x);
    if (!id_eq(&from, &other) || arc_home(b, k, y) != n)
        return false;
    for (size_t h = 0; h < n; h++)
        if (with(y, n, &x[h]) == 0)
            return false;
    return true;
}

static uint64_t base_next(struct chord *c, const struct roster *next, size_t arc)
{
    const struct roster *was = &c->roster;
    size_t old = roster_index(was, &next->members[arc]);
    if (old < was->n && (c->ready >> old & 1) == 0 && arc_has(was, old, &c->cfg.self) &&
        same_homes(next, arc, was, old) && base_holds(c, next, arc, c->base[old]))
        return c->base[old];
    return was->epoch;
}

void ready_next(struct chord *c, const struct roster *next)
{
    uint64_t ready = 0, base[ARCS_MAX] = {0};
    bool fewer = spare(roster_copies(next)) < spare(roster_copies(&c->roster));
    for (size_t i = 0; i < next->n; i++) {
        struct peal_id from = arc_from(next, i);
        if (!arc_has(next, i, &c->cfg.self))
            continue;
        if (!fewer && all_in(&c->roster, c->ready, &from, &next->members[i]))
            ready |= UINT64_C(1) << i;
        else
            base[i] = base_next(c, next, i);
    }
    c->ready = ready;
    memcpy(c->base, base, sizeof c->base);
}

/* Each epoch makes one change: when what r has more accounts for all of them, none in between took
 * a server out or renewed one. */
bool only_grew(const struct roster *was, const struct roster *r)
{
    uint64_t more = !id_is_zero(&r->into);
    for (size_t i = 0; i < was->n; i++)
        if (!roster_has(r, &was->members[i]))
            return false;
    for (size_t i = 0; i < was->takes_n; i++)
        if (!roster_takes(r, &was->takes[i]))
            return false;
    more += r->n - was->n + r->takes_n - was->takes_n;
    return r->epoch - was->epoch == more;
}

/* Who was there before has lost homes by that, and come to none. */
void ready_jump(struct chord *c, const struct roster *next)
{
    if (only_grew(&c->roster, next)) {
        ready_next(c, next);
        for (size_t i = 0; i < next->n; i++)
            c->base[i] = next->epoch;
    } else {
        ready_none(c, next);
    }
}

void ready_none(struct chord *c, const struct roster *next)
{
    c->ready = 0;
    for (size_t i = 0; i < ARCS_MAX; i++)
        c->base[i] = i < next->n ? next->epoch : 0;
}

/* Of an arc's part that was, in `was`, in one whose homes are old: whether this node votes on it at
 * once, and (partly) whether it was ready there (copy.c, "votes before it is ready"). */
static bool votes_at_once(const struct chord *c, const struct past *was, const struct part *part,
                          const struct peal_id *home, size_t homes, bool *partly)
{
    struct peal_id old[CHORD_REPLICAS_MAX + 1];
    size_t olds = arc_home(&was->roster, part->arc, old), more = 0;
    *partly = with(old, olds, &c->cfg.self) != 0;
    if (*partly && (was->roster.epoch < c->trusted ||
                    !all_in(&was->roster, was->ready, &part->from, &part->upto)))
        return false;
    for (size_t i = 0; i < homes; i++)
        more += with(old, olds, &home[i]) == 0;
    return spare(olds) + more < majority(homes);
}

void votes_assign(struct chord *c)
{
    const struct roster *r = &c->roster;
    struct past was;
    struct part parts[PARTS_MAX];
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    c->votes = c->partly = 0;
    if (r->epoch < 2 || !past_load(c, &r->ring, r->epoch - 1, &was))
        return;
    for (size_t i = 0; i < c->arcs_n; i++) {
        const struct arc *a = &c->arcs[i];
        uint64_t bit = UINT64_C(1) << a->index;
        if ((c->ready & bit) != 0 || c->base[a->index] != was.roster.epoch)
            continue;
        size_t homes = arc_home(r, a->index, home);
        size_t n = roster_parts(&was.roster, &a->from, &a->upto, parts), votes = 0, old = 0;
        for (size_t k = 0; k < n; k++) {
            bool partly = false;
            votes += votes_at_once(c, &was, &parts[k], home, homes, &partly);
            old += partly;
        }
        c->votes |= votes == n ? bit : 0;
        c->partly |= votes == n && old == n ? bit : 0;
    }
}

/* ---- asked ---- */

bool ready_for(const struct chord *c, const struct peal_id *key)
{
    return c->roster.epoch != 0 && !c->distrusted &&
           (c->ready >> roster_arc(&c->roster, key) & 1) != 0;
}

bool votes_for(const struct chord *c, const struct peal_id *key)
{
    return c->roster.epoch != 0 && !c->distrusted &&
           ((c->ready | c->votes) >> roster_arc(&c->roster, key) & 1) != 0;
}

bool ready_partly(const struct chord *c, const struct peal_id *key)
{
    return c->roster.epoch != 0 && !c->distrusted && !ready_for(c, key) &&
           (c->partly >> roster_arc(&c->roster, key) & 1) != 0;
}

bool ready_all(const struct chord *c)
{
    for (size_t i = 0; i < c->arcs_n; i++)
        if ((c->ready >> c->arcs[i].index & 1) == 0)
            return false;
    return c->roster.epoch != 0 && !c->distrusted;
}

bool ready_then(struct chord *c, uint64_t epoch, const struct peal_id *from,
                const struct peal_id *upto)
{
    struct past p;
    if (c->distrusted || epoch < c->trusted)
        return false;
    if (epoch == c->roster.epoch)
        return all_in(&c->roster, c->ready, from, upto);
    return past_load(c, &c->roster.ring, epoch, &p) && all_in(&p.roster, p.ready, from, upto);
}
