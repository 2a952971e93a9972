/* gossip: rumours of who lives and who is dead, along the tree of broadcast (cast.c), so that every
 * node hears each of them once. They ride on the pings of upkeep, or go by themselves when none
 * comes along in time; and they never cost more than the budget: a token bucket of
 * ring_config.gossip_bytes a second with BUDGET_BURST_S seconds saved up. Only word of another ring
 * is not held back by it: it is rare, at most one in RECENT_US, and urgent. What gets lost
 * for want of budget, links or memory, comparing repairs (compare.c).
 *
 * A rumour is passed on whether or not it was news here, since those before its limit have it from
 * this node only. But often several nodes find out the same and begin the same rumour; so what was
 * passed on lately is remembered with how far it went, and a second copy goes only to those beyond.
 * Each node thus passes on, of each piece of news, at most every range that it was given, once: if
 * no message is lost everyone hears of it, whichever copies met on the way. */
#include "inner.h"

#include <string.h>

enum {
    /* a contact's, without address, key and signature; stamp, two flags, limit */
    RUMOUR_BYTES = ID_BYTES + 8 + 3 * 4 + 8 + 2 + ID_BYTES,
    RUMOURS_HEAD = 2 + ID_BYTES + 8 + 4, /* of r_rumours */
    SENDS_MAX = 4 * RUMOURS_MAX,         /* messages of one timer */
};

/* What is said of whom. */
struct fact {
    struct peal_id about;
    uint64_t incarnation, stamp;
    bool dead, foreign;
};

/* ---- the budget ---- */

size_t gossip_burst(const struct ring *r)
{
    if (r->cfg.gossip_bytes == RING_GOSSIP_NONE)
        return 0;
    size_t burst = (size_t)r->cfg.gossip_bytes * BUDGET_BURST_S;
    return burst > BUDGET_LEAST ? burst : BUDGET_LEAST;
}

static void fill(struct ring *r)
{
    struct gossip *g = &r->gossip;
    uint64_t most = (uint64_t)gossip_burst(r) * SECOND, rate = r->cfg.gossip_bytes;
    CHECK(rate > 0 && r->now >= g->filled_us);
    uint64_t us = r->now - g->filled_us;
    bool full = !g->begun || us >= most / rate || g->tokens + us * rate >= most;
    g->tokens = full ? most : g->tokens + us * rate;
    g->filled_us = r->now;
    g->begun = true;
}

size_t gossip_left(struct ring *r)
{
    fill(r);
    return (size_t)(r->gossip.tokens / SECOND);
}

uint64_t gossip_when(struct ring *r, size_t n)
{
    fill(r);
    uint64_t need = (uint64_t)(n < gossip_burst(r) ? n : gossip_burst(r)) * SECOND;
    uint64_t rate = r->cfg.gossip_bytes;
    return need <= r->gossip.tokens ? r->now : r->now + (need - r->gossip.tokens + rate - 1) / rate;
}

bool gossip_spend(struct ring *r, size_t n)
{
    if (r->cfg.gossip_bytes == RING_GOSSIP_NONE)
        return false;
    if (gossip_left(r) < n)
        return false;
    gossip_charge(r, n);
    return true;
}

void gossip_charge(struct ring *r, size_t n)
{
    r->count.gossip_bytes += n;
    if (r->cfg.gossip_bytes == RING_GOSSIP_NONE)
        return;
    fill(r);
    uint64_t cost = (uint64_t)n * SECOND;
    r->gossip.tokens -= cost < r->gossip.tokens ? cost : r->gossip.tokens;
}

/* ---- rumours ---- */

size_t ring__rumour_bytes(const struct wire_rumour *w)
{
    return RUMOUR_BYTES + w->contact.addresses.n + w->contact.key.n + w->contact.signature.n;
}

/* A death needs no contact: it is believed of a known node only. */
static struct wire_rumour death_of(const struct peal_id *id, uint64_t incarnation, uint64_t stamp)
{
    return (struct wire_rumour){
        .contact = {.id = *id, .incarnation = incarnation}, .stamp = stamp, .dead = true};
}

struct wire_rumour ring__rumour_of(const struct node *n, bool foreign)
{
    CHECK(n->contact.address_n > 0);
    if (n->dead)
        return death_of(&n->contact.id, n->contact.incarnation, n->stamp);
    return (struct wire_rumour){
        .contact = ring__contact_view(&n->contact), .stamp = n->stamp, .foreign = foreign};
}

struct wire_rumour ring__rumour_of_self(struct ring *r)
{
    return (struct wire_rumour){.contact = ring__contact_view(&r->self),
                                .stamp = clk_now(&r->clk, r->wall)};
}

/* ---- what was passed on lately ---- */

static struct recent *recent_of(struct ring *r, const struct fact *f)
{
    struct gossip *g = &r->gossip;
    size_t n = g->recent_n < RECENT_MAX ? g->recent_n : RECENT_MAX;
    for (size_t i = 0; i < n; i++) {
        struct recent *e = &g->recent[i];
        if (e->foreign == f->foreign && (f->foreign || id_eq(&e->about, &f->about)))
            return e;
    }
    return NULL;
}

/* Takes note that f goes to everyone before limit. *before: how far it went already, or NULL.
 * False: so far that nobody is left. */
static bool note(struct ring *r, const struct fact *f, const struct peal_id *limit,
                 struct peal_id *before, bool *went)
{
    struct gossip *g = &r->gossip;
    struct recent *e = recent_of(r, f);
    *went = e != NULL && e->dead == f->dead && r->now - e->at_us < RECENT_US &&
            (f->foreign || e->incarnation == f->incarnation);
    if (*went) {
        *before = e->limit;
        if (!cast_farther(&r->self.id, limit, &e->limit))
            return false;
        e->limit = *limit;
        return true;
    }
    if (e == NULL)
        e = &g->recent[g->recent_n++ % RECENT_MAX];
    *e = (struct recent){.about = f->about,
                         .limit = *limit,
                         .incarnation = f->incarnation,
                         .at_us = r->now,
                         .dead = f->dead,
                         .foreign = f->foreign};
    return true;
}

/* The branches that f goes to: of those before limit, all that did not have it from here. */
static size_t branches_of(struct ring *r, const struct fact *f, const struct peal_id *limit,
                          struct branch out[static WAYS_MAX])
{
    struct peal_id before;
    bool went;
    if (r->cfg.gossip_bytes == RING_GOSSIP_NONE || !note(r, f, limit, &before, &went))
        return 0;
    size_t n = cast_branches(r, limit, out), k = 0;
    for (size_t i = 0; i < n; i++)
        if (!went || cast_farther(&r->self.id, &out[i].limit, &before))
            out[k++] = out[i];
    return k;
}

/* ---- waiting ---- */

static void forget(struct gossip *g, size_t i)
{
    CHECK(i < g->n);
    g->foreign_n -= g->waiting[i].foreign;
    memmove(&g->waiting[i], &g->waiting[i + 1], sizeof g->waiting[0] * (g->n - i - 1));
    g->n--;
}

/* The oldest rumour of life about somebody dead since, else the oldest. */
static size_t least(struct ring *r)
{
    const struct gossip *g = &r->gossip;
    for (size_t i = 0; i < g->n; i++) {
        const struct node *n = g->waiting[i].dead ? NULL : book_find(r, &g->waiting[i].about);
        if (n != NULL && n->dead)
            return i;
    }
    return 0;
}

static void queue(struct ring *r, const struct fact *f, const struct branch *b, uint64_t due_us)
{
    struct gossip *g = &r->gossip;
    struct rumour q = {.to = b->to,
                       .about = f->about,
                       .limit = b->limit,
                       .incarnation = f->incarnation,
                       .stamp = f->stamp,
                       .due_us = due_us,
                       .dead = f->dead,
                       .foreign = f->foreign};
    ring__wake(r, PART_GOSSIP, due_us);
    for (size_t i = 0; i < g->n; i++) {
        struct rumour *w = &g->waiting[i];
        if (!ring__same_id(&w->to, &q.to) || !ring__same_id(&w->about, &q.about) ||
            w->foreign != q.foreign)
            continue;
        if (w->due_us < q.due_us)
            q.due_us = w->due_us;
        if (w->dead == q.dead && cast_farther(&r->self.id, &w->limit, &q.limit))
            q.limit = w->limit;
        *w = q;
        return;
    }
    if (g->n == RUMOURS_MAX)
        forget(g, least(r));
    g->waiting[g->n++] = q;
    g->foreign_n += q.foreign;
}

static void spread(struct ring *r, const struct fact *f, const struct peal_id *limit,
                   uint64_t due_us)
{
    struct branch out[WAYS_MAX];
    size_t n = branches_of(r, f, limit, out);
    for (size_t i = 0; i < n; i++)
        queue(r, f, &out[i], due_us);
}

/* As it may be said now. False: not any more. */
static bool form(struct ring *r, const struct rumour *q, struct wire_rumour *out)
{
    if (q->dead) {
        *out = death_of(&q->about, q->incarnation, q->stamp);
    } else if (ring__is_self(r, &q->about)) {
        *out = (struct wire_rumour){.contact = ring__contact_view(&r->self), .stamp = q->stamp};
    } else {
        const struct node *n = book_find(r, &q->about);
        if (n == NULL || n->dead || n->contact.address_n == 0)
            return false;
        *out = ring__rumour_of(n, q->foreign);
    }
    out->limit = q->limit;
    return true;
}

/* Takes what waits for `to` and may be said. head: bytes that the first costs besides. *short_of:
 * bytes that were missing for one more, or 0. */
static size_t take(struct ring *r, const struct peal_id *to, size_t head,
                   struct wire_rumour v[static WIRE_RUMOURS_MAX], size_t *short_of)
{
    struct gossip *g = &r->gossip;
    size_t k = 0, kept = 0;
    *short_of = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct rumour *q = &g->waiting[i];
        bool its =
            k < WIRE_RUMOURS_MAX && (q->foreign || *short_of == 0) && ring__same_id(&q->to, to);
        if (its && !form(r, q, &v[k])) {
            g->foreign_n -= q->foreign;
            continue;
        }
        if (its) {
            size_t cost = ring__rumour_bytes(&v[k]) + (k == 0 ? head : 0);
            if (q->foreign)
                gossip_charge(r, cost);
            else if (!gossip_spend(r, cost))
                *short_of = cost;
            its = q->foreign || *short_of == 0;
        }
        if (its) {
            g->foreign_n -= q->foreign;
            k++;
        } else {
            if (kept != i)
                g->waiting[kept] = *q;
            kept++;
        }
    }
    g->n = kept;
    return k;
}

struct wire_rumour_list gossip_take(struct ring *r, const struct peal_id *to)
{
    struct wire_rumour_list list = {NULL, 0};
    size_t its = 0;
    if (r->gossip.n == 0 || (r->gossip.foreign_n == 0 && gossip_left(r) < RUMOUR_BYTES))
        return list; /* the shortest of them may not be said */
    for (size_t i = 0; i < r->gossip.n && its < WIRE_RUMOURS_MAX; i++)
        its += ring__same_id(&r->gossip.waiting[i].to, to);
    if (its == 0)
        return list;
    list.v = arena_take(&r->scratch, its * sizeof *list.v);
    size_t short_of;
    if (list.v != NULL)
        list.n = take(r, to, 0, list.v, &short_of);
    return list;
}

/* Its link is gone: what was for it and those behind it goes to whoever covers them now. */
static void detour(struct ring *r, const struct rumour *q)
{
    struct fact f = {.about = q->about,
                     .incarnation = q->incarnation,
                     .stamp = q->stamp,
                     .dead = q->dead,
                     .foreign = q->foreign};
    struct branch out[WAYS_MAX];
    size_t n = cast_branches(r, &q->limit, out);
    for (size_t i = 0; i < n; i++)
        if (cast_farther(&r->self.id, &out[i].limit, &q->to))
            queue(r, &f, &out[i], r->now);
}

/* False: the budget is used up. */
static bool send_to(struct ring *r, const struct peal_id *to)
{
    struct wire_rumour v[WIRE_RUMOURS_MAX];
    size_t short_of;
    struct wire_r_rumours m = {.rumours = {.v = v}};
    m.rumours.n = take(r, to, RUMOURS_HEAD, v, &short_of);
    if (m.rumours.n > 0) {
        bool said = ring__say(r, to, WIRE_r_rumours, &m);
        CHECK(said);
    }
    if (short_of > 0)
        ring__wake(r, PART_GOSSIP, gossip_when(r, short_of));
    return short_of == 0;
}

/* The first that is due, of the foreign or of all; g->n: none is. *next: when the others are. */
static size_t first_due(const struct ring *r, bool foreign, uint64_t *next)
{
    const struct gossip *g = &r->gossip;
    *next = UINT64_MAX;
    for (size_t i = 0; i < g->n; i++) {
        const struct rumour *q = &g->waiting[i];
        if (q->due_us <= r->now && (q->foreign || !foreign))
            return i;
        if (q->due_us > r->now && q->due_us < *next)
            *next = q->due_us;
    }
    return g->n;
}

/* False: the budget is used up. */
static bool send_due(struct ring *r, bool foreign, size_t *sends)
{
    struct gossip *g = &r->gossip;
    uint64_t next;
    size_t i;
    while ((i = first_due(r, foreign, &next)) < g->n && *sends < SENDS_MAX) {
        struct rumour q = g->waiting[i];
        ++*sends;
        if (ring__link_to(r, &q.to) == NULL) {
            forget(g, i);
            detour(r, &q);
        } else if (!send_to(r, &q.to) && !foreign) {
            return false;
        }
    }
    if (!foreign && (i < g->n || next != UINT64_MAX))
        ring__wake(r, PART_GOSSIP, i < g->n ? r->now : next);
    return true;
}

/* Word of life that has waited too long: among many newcomers there is not the budget to tell all
 * of each. Deaths wait on: they are not compared. */
static void drop_old(struct ring *r)
{
    struct gossip *g = &r->gossip;
    size_t kept = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct rumour *q = &g->waiting[i];
        if (!q->dead && !q->foreign && q->due_us + RUMOUR_KEEP_US < r->now)
            continue;
        if (kept != i)
            g->waiting[kept] = *q;
        kept++;
    }
    g->n = kept;
}

void gossip_timer(struct ring *r)
{
    size_t sends = 0;
    drop_old(r);
    (void)send_due(r, true, &sends);
    if (!send_due(r, false, &sends)) { /* send_to has woken it for when there is budget again */
        uint64_t next;
        (void)first_due(r, true, &next);
        if (next != UINT64_MAX)
            ring__wake(r, PART_GOSSIP, next);
    }
}

void gossip_start(struct ring *r)
{
    if (r->cfg.gossip_bytes != RING_GOSSIP_NONE)
        fill(r);
}

/* ---- beginning ---- */

void gossip_begin(struct ring *r, const struct node *n, bool dead, bool foreign)
{
    CHECK(!(dead && foreign));
    if (!ring__is_member(r) || n->contact.address_n == 0)
        return;
    if (foreign) {
        gossip_foreign(r, n, &r->self.id);
        return;
    }
    struct fact f = {.about = n->contact.id,
                     .incarnation = n->contact.incarnation,
                     .stamp = n->stamp,
                     .dead = dead};
    spread(r, &f, &r->self.id, r->now + RUMOUR_WAIT_US);
}

void gossip_foreign(struct ring *r, const struct node *n, const struct peal_id *limit)
{
    CHECK(n->contact.address_n > 0);
    struct fact f = {.about = n->contact.id,
                     .incarnation = n->contact.incarnation,
                     .stamp = n->stamp,
                     .foreign = true};
    spread(r, &f, limit, r->now);
}

/* This node, though somebody took it for dead. */
static void alive(struct ring *r)
{
    struct wire_rumour w = ring__rumour_of_self(r);
    struct fact f = {.about = r->self.id, .incarnation = r->self.incarnation, .stamp = w.stamp};
    struct recent *e = recent_of(r, &f);
    r->gossip.alive = w.stamp;
    if (e != NULL)
        e->dead = true; /* that is the last word now, so that everyone hears this one too */
    spread(r, &f, &r->self.id, r->now + RUMOUR_WAIT_US);
}

void gossip_self(struct ring *r)
{
    struct wire_rumour w = ring__rumour_of_self(r);
    struct fact f = {.about = r->self.id, .incarnation = r->self.incarnation, .stamp = w.stamp};
    struct branch out[WAYS_MAX];
    size_t n = branches_of(r, &f, &r->self.id, out);
    r->gossip.alive = w.stamp;
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct link *l = &r->links[i];
        if (!l->hello || ring__link_to(r, &l->peer) != l)
            continue;
        w.limit = l->peer;
        for (size_t k = 0; k < n; k++)
            if (id_eq(&out[k].to, &l->peer))
                w.limit = out[k].limit;
        struct wire_r_rumours m = {.rumours = {.v = &w, .n = 1}};
        gossip_charge(r, RUMOURS_HEAD + ring__rumour_bytes(&w));
        ring__say_on(r, l, WIRE_r_rumours, &m);
    }
}

/* ---- hearing ---- */

static bool well_formed(const struct wire_rumour *w)
{
    const struct wire_contact *k = &w->contact;
    if (id_is_zero(&k->id) || (w->dead && w->foreign))
        return false;
    return !w->dead || (k->addresses.n == 0 && k->key.n == 0 && k->signature.n == 0);
}

static bool on_time(struct ring *r, const struct wire_rumour *w)
{
    return clk_ms(w->stamp) <= r->wall + RUMOUR_AHEAD_MS &&
           clk_seen(&r->clk, w->stamp, r->wall) == 0;
}

int gossip_learn(struct ring *r, const struct wire_rumour *w, bool *news)
{
    CHECK(!ring__is_self(r, &w->contact.id));
    *news = false;
    if (!well_formed(w))
        return PEAL_E_MALFORMED;
    if (!on_time(r, w))
        return PEAL_E_STALE;
    struct node *n = book_find(r, &w->contact.id);
    if (n != NULL && n->contact.incarnation > w->contact.incarnation)
        return PEAL_E_STALE;
    if (w->dead) {
        if (n == NULL || n->contact.incarnation != w->contact.incarnation)
            return PEAL_E_NOT_FOUND;
        struct wire_contact known = ring__contact_view(&n->contact);
        int err = book_take(r, &known, true, w->stamp, news, &n);
        return err == 0 && !n->dead && n->stamp > w->stamp ? PEAL_E_STALE : err;
    }
    int err = book_take(r, &w->contact, false, w->stamp, news, &n);
    if (err == 0 && !w->foreign && !n->dead)
        n->foreign = false; /* the rings are one, or this ring would not speak of it so */
    return err == 0 && n->dead ? PEAL_E_STALE : err;
}

/* This node is the subject. Its death is answered, and goes no further; its life is passed on as
 * any other's. */
static void heard_of_self(struct ring *r, const struct wire_rumour *w, const struct peal_id *limit)
{
    if (w->contact.incarnation != r->self.incarnation || !on_time(r, w) || !ring__is_member(r))
        return;
    struct fact f = {.about = r->self.id, .incarnation = r->self.incarnation, .stamp = w->stamp};
    if (w->dead && w->stamp >= r->gossip.alive)
        alive(r);
    else if (!w->dead && !w->foreign && limit != NULL)
        spread(r, &f, limit, r->now + RUMOUR_WAIT_US);
}

/* The peer holds a node for dead, and says so to this one only (compare.c); but its link here was
 * heard of just now. */
static void witness(struct ring *r, struct link *l, const struct wire_rumour *w)
{
    struct node *n = book_find(r, &w->contact.id);
    const struct link *its = n == NULL ? NULL : ring__link_to(r, &w->contact.id);
    if (its == NULL || n->contact.incarnation != w->contact.incarnation ||
        its->heard_us + r->cfg.stabilise_us < r->now)
        return;
    book_living(r, n);
    struct wire_rumour life = ring__rumour_of(n, false);
    life.limit = l->peer;
    struct wire_r_rumours m = {.rumours = {.v = &life, .n = 1}};
    if (gossip_spend(r, RUMOURS_HEAD + ring__rumour_bytes(&life)))
        ring__say_on(r, l, WIRE_r_rumours, &m);
}

/* No room in the book for its subject, so it cannot wait; it goes on at once, or not at all. */
static void pass_at_once(struct ring *r, const struct wire_rumour *w, const struct fact *f,
                         const struct peal_id *limit)
{
    struct branch out[WAYS_MAX];
    size_t n = branches_of(r, f, limit, out);
    for (size_t i = 0; i < n; i++) {
        struct wire_rumour next = *w;
        next.limit = out[i].limit;
        struct wire_r_rumours m = {.rumours = {.v = &next, .n = 1}};
        if (gossip_spend(r, RUMOURS_HEAD + ring__rumour_bytes(&next)) &&
            !ring__say(r, &out[i].to, WIRE_r_rumours, &m))
            return;
    }
}

/* 0, or why the peer is not to be listened to. */
static int heard(struct ring *r, struct link *l, const struct wire_rumour *w)
{
    /* A piece never goes round to the one who gave it, whatever limit it names. */
    struct peal_id end = id_in_arc(&r->self.id, &w->limit, &l->peer) ? w->limit : l->peer;
    const struct peal_id *limit = ring__is_self(r, &w->limit) ? NULL : &end;
    if (ring__is_self(r, &w->contact.id)) {
        if (!well_formed(w))
            return PEAL_E_MALFORMED;
        heard_of_self(r, w, limit);
        return 0;
    }
    bool news;
    int err = gossip_learn(r, w, &news);
    if (err == PEAL_E_MALFORMED || err == PEAL_E_AUTH)
        return err;
    if (w->dead && limit == NULL)
        witness(r, l, w);
    struct node *n = book_find(r, &w->contact.id);
    if (w->foreign && err == 0 && n != NULL)
        merge_foreign(r, n, limit);
    if (limit == NULL || err == PEAL_E_STALE || (w->foreign && err == 0))
        return 0;
    struct fact f = {.about = w->contact.id,
                     .incarnation = w->contact.incarnation,
                     .stamp = w->stamp,
                     .dead = w->dead,
                     .foreign = w->foreign};
    if (err == PEAL_E_FULL)
        pass_at_once(r, w, &f, limit);
    else
        spread(r, &f, limit, r->now + RUMOUR_WAIT_US);
    return 0;
}

void gossip_heard(struct ring *r, struct link *l, const struct wire_rumour_list *list)
{
    CHECK(l->hello && list->n <= WIRE_RUMOURS_MAX);
    for (size_t i = 0; i < list->n; i++) {
        int err = heard(r, l, &list->v[i]);
        if (err != 0) {
            ring__drop(r, l, err, "a rumour that no honest node passes on");
            return;
        }
    }
}
