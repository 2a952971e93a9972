/* route: lookups on their way. What begins here, what is handed on, what comes back.
 *
 * Recursive over open links: each hop acknowledges a lookup, or answers it, at once; so a hop that
 * is late by its own measured round trips is noticed by the hop before, not by the asker, who may
 * be ten hops away. Lookups are stateless in the nodes they pass, but for those handed on and not
 * yet acknowledged (struct flight). The answer goes back along the path.
 *
 *     asker --r_find--> hop --r_find--> owner          refused (REFUSED, BUSY): instead of the
 *           <--ack----      <--found---                acknowledgement, so that the hop before
 *           <--found--                                 goes another way
 *
 * Whoever asks for an owner is about to talk to it: so one that is known and not linked is dialled,
 * and the lookup waits for the link. It waits no longer than dials are known to take (dial_limit),
 * counted from when that dial began; then the link is late, and the lookup goes over an open one.
 * It does so at once when the dial is not to be had: while there is a pause after one that failed,
 * DIALS_AT_ONCE are under way, or no link may give way to it (ring__has_room). On its way a lookup
 * waits for a link only where there is no other way: nobody there needs the link afterwards.
 *
 * A hop that does not answer within its time-out, and from which nothing else was heard since, is
 * passed by from then on, as the dead are, until it is heard (ring__doubt): so a node that has died
 * in silence costs each of its peers one time-out, not one for each lookup until its link is
 * closed.
 *
 * A late hop is hedged: the same lookup, once, to the second best next hop; a lookup has
 * SPARE_HEDGES of them in all. The asker itself begins again, by another first hop, when it hears
 * nothing.
 *
 * A copy that comes to a node where the lookup is still under way is acknowledged, and goes no
 * further.
 *
 * Which way: hop.c. Not for: data; what an owner does with its keys. */
#include "inner.h"

#include <string.h>

enum {
    TRY_MIN_US = 20 * MS,  /* a lookup is given at least so long */
    RETRY_US = 1 * SECOND, /* after a failure the next try need not wait longer */
    LINKS_ASKED = 8,       /* links whose percentiles are averaged */
};

/* ---- small things ---- */

static uint16_t code_of(int err)
{
    CHECK(err <= 0 && err > -UINT16_MAX);
    return (uint16_t)-err;
}

static bool code_known(uint16_t code)
{
    static const int codes[] = {0, PEAL_E_UNAVAILABLE, PEAL_E_TOO_LONG, PEAL_E_BUSY,
                                PEAL_E_REFUSED};
    for (size_t i = 0; i < PEAL_COUNT(codes); i++)
        if (code == code_of(codes[i]))
            return true;
    return false;
}

static bool has(const struct peal_id *ids, size_t n, const struct peal_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (ring__same_id(&ids[i], id))
            return true;
    return false;
}

/* No id zero, none twice. */
static bool path_sound(const struct wire_ids *path)
{
    for (size_t i = 0; i < path->n; i++)
        if (id_is_zero(&path->v[i]) || has(path->v, i, &path->v[i]))
            return false;
    return path->n > 0 && path->n <= WIRE_PATH_MAX;
}

static void wake(struct ring *r, const struct flight *f)
{
    ring__wake(r, PART_ROUTE, f->hedge_us < f->until_us ? f->hedge_us : f->until_us);
}

/* Items of a slab until all in use were seen: the places behind them are not looked at. Not for
 * loops that begin or end lookups: those may put new items before old ones. */
struct each {
    uint32_t at, left, handle;
};

static struct each each_of(const struct slab *s)
{
    return (struct each){.left = s->used};
}

static void *next_of(const struct slab *s, struct each *e)
{
    if (e->left == 0)
        return NULL;
    e->left--;
    return slab_each(s, &e->at, &e->handle);
}

/* The lookup begun here that this operation number is a try of. */
static struct find *find_of(struct ring *r, uint64_t op, uint32_t *handle)
{
    struct find *f;
    for (struct each e = each_of(&r->finds); (f = next_of(&r->finds, &e)) != NULL;)
        if (f->tries > 0 && op - f->op < f->tries) {
            *handle = e.handle;
            return f;
        }
    return NULL;
}

/* Nothing more is to be done for it. Its first hop may answer yet, later than usual: to leave out
 * just those round trips would make the peer look faster than it is, and be hedged ever more. */
static void end_flight(struct ring *r, struct flight *f, uint32_t handle)
{
    if (f->waits || !f->hedged) {
        slab_release(&r->flights, handle);
        return;
    }
    f->over = true;
    f->hedge_us = UINT64_MAX;
}

/* The flight of this lookup that is not over. */
static const struct flight *flight_under_way(const struct ring *r, const struct peal_id *asker,
                                             uint64_t op)
{
    const struct flight *f;
    for (struct each e = each_of(&r->flights); (f = next_of(&r->flights, &e)) != NULL;)
        if (f->op == op && !f->over && id_eq(&f->asker, asker))
            return f;
    return NULL;
}

/* The flight of this lookup that went to this node: rather one that is not over. */
static struct flight *flight_of(struct ring *r, const struct peal_id *asker, uint64_t op,
                                const struct peal_id *to, uint32_t *handle)
{
    struct flight *f, *best = NULL;
    for (struct each e = each_of(&r->flights); (f = next_of(&r->flights, &e)) != NULL;)
        if (f->op == op && id_eq(&f->asker, asker) && has(f->tried, f->tried_n, to) &&
            (best == NULL || !f->over)) {
            best = f;
            *handle = e.handle;
        }
    return best;
}

static void cancel(struct ring *r, uint64_t op)
{
    struct flight *f;
    for (struct each e = each_of(&r->flights); (f = next_of(&r->flights, &e)) != NULL;)
        if (f->op == op && ring__is_self(r, &f->asker))
            end_flight(r, f, e.handle);
}

/* ---- the end of a lookup begun here ---- */

static void tell_app(struct ring *r, const struct find *f, int err, const struct wire_r_found *m)
{
    if (err != 0) {
        r->cfg.app.found(r->cfg.app.ctx, r->u, f->token, err, NULL);
        return;
    }
    /* A path whose last node answered for one that it had passed does not end with the owner. */
    struct peal_id path[WIRE_PATH_MAX + 1];
    size_t n = m->path.n;
    memcpy(path, m->path.v, n * sizeof path[0]);
    if (!id_eq(&path[n - 1], &m->owner.v[0].id))
        path[n++] = m->owner.v[0].id;
    struct ring_found found = {.key = f->key,
                               .owner = m->owner.v[0],
                               .path = path,
                               .path_n = n,
                               .hops = n - 1,
                               .took_us = r->now - f->began_us};
    r->cfg.app.found(r->cfg.app.ctx, r->u, f->token, 0, &found);
}

static void tell_place(struct ring *r, int err, const struct wire_r_found *m)
{
    const struct wire_contact *at = err == 0 ? &m->owner.v[0] : NULL;
    const struct wire_contact *after = err == 0 ? &m->predecessor.v[0] : NULL;
    CHECK(err != 0 || m->predecessor.n == 1);
    if (r->phase == RING_LARGE)
        merge_placed(r, err, at, after);
    else
        small_placed(r, err, at != NULL ? &at->id : NULL, after != NULL ? &after->id : NULL);
}

/* m: NULL unless err is 0. */
static void finish(struct ring *r, uint32_t handle, int err, const struct wire_r_found *m)
{
    struct find *at = slab_get(&r->finds, handle);
    CHECK(at != NULL && (err == 0) == (m != NULL));
    struct find f = *at;
    slab_release(&r->finds, handle);
    if (f.tries > 0)
        cancel(r, f.op + f.tries - 1U);
    if (err == 0 && f.tries == 1 && m->path.n > 1) {
        struct took *t = &r->took;
        t->us[t->at] = r->now - f.began_us;
        t->at = (t->at + 1) % SAMPLES;
        t->n += t->n < SAMPLES;
    }
    switch (f.what) {
    case FIND_FOR_APP:
        tell_app(r, &f, err, m);
        return;
    case FIND_FOR_FINGER:
        finger_found(r, f.token, err, err == 0 ? &m->owner.v[0] : NULL);
        return;
    case FIND_FOR_PLACE:
        tell_place(r, err, m);
        return;
    }
}

static void give_up(struct ring *r, uint32_t handle)
{
    const struct find *f = slab_get(&r->finds, handle);
    CHECK(f != NULL);
    int err = f->err == PEAL_E_TOO_LONG ? PEAL_E_TOO_LONG : PEAL_E_UNAVAILABLE;
    finish(r, handle, err, NULL);
}

/* The last try came to nothing. It is begun again: soon at first, since what refused may be a node
 * that has just joined or is about to leave; then later, so that the tries last until the end:
 * meanwhile the ring may heal. */
static void try_failed(struct ring *r, struct find *f, int err)
{
    CHECK(err != 0 && f->tries > 0);
    f->err = err;
    f->try_us = UINT64_MAX;
    if (f->tries >= FIND_TRIES_MAX || f->until_us <= r->now)
        return;
    uint64_t wait = (uint64_t)RTO_MIN_US << (2 * (f->tries - 1));
    uint64_t most = (f->until_us - r->now) / (FIND_TRIES_MAX - f->tries + 1U);
    if (most < RETRY_US)
        most = RETRY_US;
    else if (most > RTO_MAX_US)
        most = RTO_MAX_US;
    f->try_us = r->now + ring__jitter(r, wait < most ? wait : most);
    ring__wake(r, PART_ROUTE, f->try_us);
}

/* ---- answers ---- */

/* Sends an answer to the nearest node before place `from` in its path that can be reached. */
static void send_back(struct ring *r, struct wire_r_found *m, size_t from)
{
    CHECK(from <= m->path.n);
    for (size_t i = from; i-- > 0;) {
        m->at = (uint8_t)i;
        if (ring__say(r, &m->path.v[i], WIRE_r_found, m))
            return;
    }
}

/* Ends the lookup q here: m has code, owner and predecessor. */
static void reply(struct ring *r, struct flight *q, struct wire_r_found *m)
{
    CHECK(q->path_n > 0 && ring__is_self(r, &q->path[q->path_n - 1]));
    m->op = q->op;
    m->kind = q->kind;
    m->key = q->key;
    m->path = (struct wire_ids){q->path, q->path_n};
    if (q->path_n > 1) {
        send_back(r, m, q->path_n - 1U);
        return;
    }
    uint32_t handle;
    struct find *f = find_of(r, q->op, &handle);
    if (f != NULL && m->code == 0)
        finish(r, handle, 0, m);
    else if (f != NULL)
        try_failed(r, f, -(int)m->code);
}

static void reply_error(struct ring *r, struct flight *q, int err)
{
    struct wire_r_found m = {.code = code_of(err)};
    reply(r, q, &m);
}

static void reply_owner(struct ring *r, struct flight *q)
{
    struct wire_contact self = ring__contact_view(&r->self), other;
    struct wire_r_found m = {.owner = {&self, 1}};
    const struct peal_id *id = &r->z.prdc;
    if (q->kind == RING_FIND_PLACE)
        id = upkeep_best(r);
    if (id == NULL || ring__is_self(r, id)) { /* alone: this node follows itself */
        other = self;
        m.predecessor = (struct wire_contact_list){&other, 1};
    } else {
        const struct node *n = book_find(r, id);
        if (n != NULL && n->contact.address_n > 0) {
            other = ring__contact_view(&n->contact);
            m.predecessor = (struct wire_contact_list){&other, 1};
        }
    }
    if (q->kind == RING_FIND_PLACE && m.predecessor.n == 0)
        reply_error(r, q, PEAL_E_UNAVAILABLE);
    else
        reply(r, q, &m);
}

/* For a node that the lookup has passed already. */
static void reply_for(struct ring *r, struct flight *q, const struct peal_id *id)
{
    const struct node *n = book_find(r, id);
    CHECK(n != NULL);
    struct wire_contact owner = ring__contact_view(&n->contact);
    struct wire_contact self = ring__contact_view(&r->self);
    struct wire_r_found m = {.owner = {&owner, 1}, .predecessor = {&self, 1}};
    reply(r, q, &m);
}

/* Instead of an acknowledgement: the sender goes another way (but with TOO_LONG). */
static void refuse(struct ring *r, struct link *l, const struct wire_r_find *m, int err)
{
    struct wire_r_found no = {.op = m->op,
                              .kind = m->kind,
                              .code = code_of(err),
                              .key = m->key,
                              .at = (uint8_t)(m->path.n - 1),
                              .path = m->path};
    ring__say_on(r, l, WIRE_r_found, &no);
}

/* ---- handing on ---- */

static bool send_on(struct ring *r, struct flight *f, const struct peal_id *to)
{
    struct wire_r_find m = {.op = f->op,
                            .kind = f->kind,
                            .spare = f->spare,
                            .key = f->key,
                            .path = {f->path, f->path_n}};
    if (!ring__say(r, to, WIRE_r_find, &m))
        return false;
    r->count.forwards++;
    struct node *n = book_find(r, to);
    if (n != NULL && n->uses < UINT32_MAX)
        n->uses++;
    return true;
}

static void note_tried(struct flight *f, const struct peal_id *id)
{
    CHECK(f->tried_n < HOPS_TRIED_MAX);
    f->tried[f->tried_n++] = *id;
}

static void sent(struct ring *r, struct flight *f)
{
    f->waits = false;
    f->sent_us = r->now;
    f->hedge_us = UINT64_MAX;
    if (f->spare > 0 && !f->fixed && !f->hedged)
        f->hedge_us = r->now + ring__p95_to(r, &f->to);
    f->until_us = r->now + 3 * ring__rto_to(r, &f->to);
    wake(r, f);
}

/* What a round trip takes that is not slow, over all. */
static uint64_t common_p95(struct ring *r)
{
    uint64_t sum = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->links_n && n < LINKS_ASKED; i++)
        if (r->links[i].hello && r->links[i].samples_n >= SAMPLES_FEW) {
            sum += ring__p95_to(r, &r->links[i].peer);
            n++;
        }
    return n > 0 ? sum / n : P95_FIRST_US;
}

/* When a link to the node is late, its dial beginning now at the latest. */
static uint64_t link_late(struct ring *r, const struct node *n)
{
    uint64_t began = dial_began(n), limit = dial_limit(r);
    if (limit == 0)
        limit = DIAL_TRIPS * common_p95(r);
    return (began != 0 ? began : r->now) + limit;
}

/* The first hop of a lookup that begins here: another one is better for its next try, which comes
 * later by what a link to it may take. */
static void note_first(struct ring *r, const struct flight *q, const struct peal_id *to,
                       uint64_t link_us)
{
    uint32_t handle;
    struct find *f = q->path_n == 1 ? find_of(r, q->op, &handle) : NULL;
    if (f == NULL)
        return;
    f->first = *to;
    if (f->try_us != UINT64_MAX)
        f->try_us += link_us;
}

static void launch(struct ring *r, struct flight *q, const struct hop *h)
{
    uint32_t handle;
    CHECK(h->way == WAY_ON && !ring__is_self(r, &h->to));
    struct flight *f = slab_take(&r->flights, &handle);
    if (f == NULL) {
        reply_error(r, q, PEAL_E_BUSY);
        return;
    }
    *f = *q;
    f->to = h->to;
    note_tried(f, &h->to);
    if (h->linked && send_on(r, f, &h->to)) {
        note_first(r, q, &h->to, 0);
        sent(r, f);
        return;
    }
    struct node *n = book_find(r, &h->to);
    uint64_t late = q->path_n == 1 && n != NULL ? link_late(r, n) : r->now + common_p95(r);
    note_first(r, q, &h->to, late > r->now ? late - r->now : 0);
    f->waits = true;
    f->sent_us = r->now;
    f->hedge_us = late;
    f->until_us = r->now + 3 * (uint64_t)RTO_FIRST_US;
    wake(r, f);
    if (n != NULL)
        ring__reach(r, n);
}

/* Whether it is worth waiting for a link to the node: there is room for it, nothing delays it, and
 * it is not late already. */
static bool may_link(struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_find(r, id);
    return n != NULL && dial_ready(r, n) && link_late(r, n) > r->now && ring__has_room(r);
}

static struct hop choose(struct ring *r, const struct flight *q)
{
    struct hop none = {.way = WAY_NONE};
    if (q->fixed || q->tried_n >= HOPS_TRIED_MAX)
        return none;
    struct hop h = hop_choose(r, q, false);
    if (h.way != WAY_ON || h.linked || (q->path_n == 1 && may_link(r, &h.to)))
        return h;
    struct hop open = hop_choose(r, q, true);
    return open.way == WAY_ON ? open : h;
}

static void hand_on(struct ring *r, struct flight *q, const struct hop *h)
{
    switch (h->way) {
    case WAY_SELF:
        reply_owner(r, q);
        return;
    case WAY_FOR:
        reply_for(r, q, &h->to);
        return;
    case WAY_NONE:
        reply_error(r, q, PEAL_E_UNAVAILABLE);
        return;
    case WAY_ON:
        launch(r, q, h);
        return;
    }
}

/* It did not answer in time, or died first. Its round trip may be all that was still waited for. */
static void note_timeout(struct ring *r, const struct flight *f)
{
    struct link *l = f->waits ? NULL : ring__link_to(r, &f->to);
    r->count.timeouts++;
    r->count.find_timeouts++;
    if (l != NULL)
        ring__doubt(r, l, f->sent_us);
}

/* The hop it went to is no good, dead or (refused) unwilling: by another way, from here. */
static void again(struct ring *r, uint32_t handle, bool refused)
{
    struct flight *f = slab_get(&r->flights, handle);
    CHECK(f != NULL);
    struct flight q = *f;
    slab_release(&r->flights, handle);
    q.before = q.before || refused;
    if (q.over || (!ring__is_member(r) && !q.fixed))
        return;
    struct hop h = choose(r, &q);
    hand_on(r, &q, &h);
}

/* Later than it should be. Waiting for a link: over an open one instead, if there is any. Else the
 * same lookup goes a second way. */
static void hedge(struct ring *r, struct flight *f)
{
    f->hedge_us = UINT64_MAX;
    if (f->fixed || f->tried_n >= HOPS_TRIED_MAX || !ring__is_member(r))
        return;
    struct hop h = hop_choose(r, f, true);
    if (h.way != WAY_ON)
        return;
    CHECK(h.linked);
    if (f->waits)
        note_timeout(r, f);
    else
        f->spare--;
    if (!send_on(r, f, &h.to))
        return;
    note_tried(f, &h.to);
    if (f->waits) {
        f->to = h.to;
        sent(r, f);
    } else {
        f->hedged = true;
        r->count.hedges++;
    }
}

/* ---- lookups that begin here ---- */

/* How long a try may take: twice what nearly all took that one try sufficed for; then ever longer.
 */
static uint64_t try_limit(const struct ring *r, unsigned tries)
{
    CHECK(tries > 0 && tries <= FIND_TRIES_MAX);
    uint64_t most = 0, second = 0;
    for (uint32_t i = 0; i < r->took.n; i++) {
        uint64_t us = r->took.us[i];
        second = us > most ? most : us > second ? us : second;
        most = us > most ? us : most;
    }
    uint64_t us = r->took.n < SAMPLES_FEW ? (uint64_t)SECOND : 2 * second;
    us = us < TRY_MIN_US ? TRY_MIN_US : us > RTO_MAX_US ? RTO_MAX_US : us;
    us <<= tries - 1;
    return us < RTO_MAX_US ? us : RTO_MAX_US;
}

/* The way of a new try: another first hop than the last try's, if there is one. */
static struct hop first_hop(struct ring *r, struct flight *q, const struct find *f)
{
    if (f->via_set) {
        q->fixed = true;
        return (struct hop){.way = WAY_ON, .linked = true, .to = f->via};
    }
    if (!id_is_zero(&f->first)) {
        const struct node *n = book_find(r, &f->first);
        note_tried(q, &f->first);
        q->before = n != NULL && !n->dead;
        struct hop h = choose(r, q);
        if (h.way == WAY_ON)
            return h;
        q->tried_n = 0;
        q->before = false;
    }
    return choose(r, q);
}

static void try_now(struct ring *r, uint32_t handle)
{
    struct find *f = slab_get(&r->finds, handle);
    CHECK(f != NULL && f->tries < FIND_TRIES_MAX);
    f->try_us = UINT64_MAX;
    if (!f->via_set && !ring__is_member(r))
        return; /* route_ready() begins it */
    if (f->via_set && ring__link_to(r, &f->via) == NULL) {
        finish(r, handle, PEAL_E_UNAVAILABLE, NULL);
        return;
    }
    if (f->tries > 0)
        cancel(r, f->op + f->tries - 1U);
    struct flight q = {.asker = r->self.id,
                       .op = f->op + f->tries,
                       .kind = (uint8_t)f->kind,
                       .spare = SPARE_HEDGES,
                       .key = f->key,
                       .path_n = 1};
    q.path[0] = r->self.id;
    f->tries++;
    f->err = 0;
    if (f->tries < FIND_TRIES_MAX) {
        f->try_us = r->now + try_limit(r, f->tries);
        ring__wake(r, PART_ROUTE, f->try_us);
    }
    struct hop h = first_hop(r, &q, f);
    hand_on(r, &q, &h);
}

int route_begin(struct ring *r, enum find_for what, enum ring_find_kind kind,
                const struct peal_id *key, const struct peal_id *via, uint64_t token,
                uint64_t timeout_us)
{
    CHECK(via == NULL || !ring__is_self(r, via));
    CHECK(r->phase != RING_LEFT);
    uint32_t handle;
    struct find *f = slab_take(&r->finds, &handle);
    if (f == NULL)
        return PEAL_E_BUSY;
    r->count.finds++;
    f->token = token;
    f->began_us = r->now;
    f->until_us = timeout_us < UINT64_MAX - r->now ? r->now + timeout_us : UINT64_MAX;
    f->op = r->next_op;
    r->next_op += FIND_TRIES_MAX; /* each try has its own number */
    f->what = what;
    f->kind = kind;
    f->key = *key;
    f->via_set = via != NULL;
    if (via != NULL)
        f->via = *via;
    ring__wake(r, PART_ROUTE, f->until_us);
    try_now(r, handle);
    return 0;
}

void route_ready(struct ring *r)
{
    CHECK(ring__is_member(r));
    const struct find *f;
    uint32_t handle;
    for (uint32_t at = 0; (f = slab_each(&r->finds, &at, &handle)) != NULL;)
        if (f->tries == 0 && !f->via_set)
            try_now(r, handle);
}

/* ---- messages ---- */

/* What this node has to say against a sound lookup; 0: nothing. */
static int objection(struct ring *r, const struct flight *q, const struct wire_r_find *m)
{
    if (!ring__is_member(r))
        return PEAL_E_REFUSED;
    if (has(m->path.v, m->path.n, &r->self.id))
        return PEAL_E_REFUSED;
    if (m->path.n >= WIRE_PATH_MAX)
        return PEAL_E_TOO_LONG;
    /* Beyond the key one goes back; where a node belongs, only what is before it counts. */
    bool was = hop_passed(q, q->path_n - 2U), is = hop_passed(q, q->path_n - 1U);
    if ((was && !is) || (is && q->kind == RING_FIND_PLACE))
        return PEAL_E_REFUSED;
    return 0;
}

void ring__on_find(struct ring *r, struct link *l, const struct wire_r_find *m)
{
    if (m->kind > RING_FIND_PLACE || m->spare > SPARE_HEDGES) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a lookup of an unknown kind, or with too many hedges");
        return;
    }
    if (!path_sound(&m->path) || !id_eq(&m->path.v[m->path.n - 1], &l->peer)) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a lookup's path that its sender is not the end of");
        return;
    }
    struct flight q = {
        .asker = m->path.v[0], .op = m->op, .kind = m->kind, .spare = m->spare, .key = m->key};
    if (m->path.n < WIRE_PATH_MAX) {
        memcpy(q.path, m->path.v, m->path.n * sizeof q.path[0]);
        q.path[m->path.n] = r->self.id;
        q.path_n = (uint8_t)(m->path.n + 1);
    }
    int err = objection(r, &q, m);
    if (err != 0) {
        r->count.loops += ring__is_member(r);
        refuse(r, l, m, err);
        return;
    }
    /* A second copy, hedged somewhere: the first one is seen to. */
    bool twice = flight_under_way(r, &q.asker, q.op) != NULL;
    struct hop h = twice ? (struct hop){.way = WAY_ON} : choose(r, &q);
    if (h.way == WAY_NONE || (h.way == WAY_ON && !twice && r->flights.used == r->flights.cap)) {
        refuse(r, l, m, h.way == WAY_NONE ? PEAL_E_REFUSED : PEAL_E_BUSY);
        return;
    }
    if (h.way == WAY_ON) { /* an answer that goes out at once is acknowledgement enough */
        struct wire_r_find_ack ack = {.op = m->op, .asker = m->path.v[0]};
        ring__say_on(r, l, WIRE_r_find_ack, &ack);
    }
    if (!twice)
        hand_on(r, &q, &h);
}

/* The peer has taken over a lookup, or answered it. A round trip is certain when the peer was sent
 * the lookup once (Karn). */
static void taken(struct ring *r, struct link *l, const struct peal_id *asker, uint64_t op)
{
    uint32_t handle;
    struct flight *f = flight_of(r, asker, op, &l->peer, &handle);
    if (f == NULL)
        return;
    if (!id_eq(&f->to, &l->peer)) {
        end_flight(r, f, handle);
        return;
    }
    if (!f->waits)
        ring__link_sample(l, r->now - f->sent_us);
    slab_release(&r->flights, handle);
}

void ring__on_find_ack(struct ring *r, struct link *l, const struct wire_r_find_ack *m)
{
    taken(r, l, &m->asker, m->op);
}

static const char *unsound(struct ring *r, const struct link *l, const struct wire_r_found *m)
{
    if (m->kind > RING_FIND_PLACE || !code_known(m->code))
        return "an answer of an unknown kind or code";
    if (!path_sound(&m->path) || m->at >= m->path.n || !ring__is_self(r, &m->path.v[m->at]))
        return "an answer's path that leads elsewhere";
    if (m->code != 0)
        return m->owner.n + m->predecessor.n == 0 ? NULL : "an answer that is none, with an owner";
    if (!has(m->path.v + m->at + 1, m->path.n - m->at - 1U, &l->peer))
        return "an answer from a node that its path does not come from";
    if (m->owner.n != 1 || !has(m->path.v, m->path.n, &m->owner.v[0].id))
        return "an answer whose owner it has not passed";
    if (m->kind == RING_FIND_PLACE && m->predecessor.n != 1)
        return "a place that nobody comes after";
    return NULL;
}

/* Takes note of whom the answer shows, and lets it show what the book has: so only what was
 * verified is told. False: it is forged. */
static bool learn(struct ring *r, struct wire_r_found *m, struct contact keep[static 2],
                  struct wire_contact show[static 2])
{
    struct wire_contact_list *lists[] = {&m->owner, &m->predecessor};
    /* The owner has just answered; of the other it only believes that it lives. */
    uint64_t stamps[] = {clk_now(&r->clk, r->wall), 0};
    for (size_t i = 0; i < PEAL_COUNT(lists); i++) {
        bool news = false;
        if (lists[i]->n == 0)
            continue;
        const struct wire_contact *w = &lists[i]->v[0];
        struct node *n = NULL;
        int err = book_take(r, w, false, stamps[i], &news, &n);
        if (err == PEAL_E_USAGE)
            keep[i] = r->self;
        else if (err == 0)
            keep[i] = n->contact;
        else if (err != PEAL_E_FULL || ring__contact_take(r, &keep[i], w) != 0)
            return false;
        struct peal_bytes at = arena_copy(&r->scratch, ring__addresses(&keep[i]));
        CHECK(at.p != NULL);
        keep[i].addresses = at.p; /* the book moves its own */
        show[i] = ring__contact_view(&keep[i]);
        lists[i]->v = &show[i];
    }
    return true;
}

/* An answer to a lookup that was begun here. */
static void on_mine(struct ring *r, struct wire_r_found *m)
{
    uint32_t handle;
    struct contact keep[2];
    struct wire_contact show[2];
    struct find *f = find_of(r, m->op, &handle);
    if (f == NULL || !id_eq(&f->key, &m->key) || f->kind != (enum ring_find_kind)m->kind)
        return; /* an earlier answer was enough */
    if (m->code != 0) {
        if (m->op - f->op == f->tries - 1U)
            try_failed(r, f, -(int)m->code);
        return;
    }
    if (learn(r, m, keep, show))
        finish(r, handle, 0, m);
}

void ring__on_found(struct ring *r, struct link *l, const struct wire_r_found *m)
{
    const char *why = unsound(r, l, m);
    if (why != NULL) {
        ring__drop(r, l, PEAL_E_MALFORMED, why);
        return;
    }
    bool refused = m->code != 0 && m->at + 1U == m->path.n;
    uint32_t handle;
    const struct flight *f = flight_of(r, &m->path.v[0], m->op, &l->peer, &handle);
    if (refused && f == NULL)
        return; /* it has gone another way already */
    if (refused && m->code != code_of(PEAL_E_TOO_LONG)) {
        if (id_eq(&f->to, &l->peer))
            again(r, handle, true);
        return;
    }
    if (f != NULL)
        taken(r, l, &m->path.v[0], m->op);
    struct wire_r_found copy = *m;
    if (m->at == 0) {
        on_mine(r, &copy);
        return;
    }
    struct contact keep[2];
    struct wire_contact show[2];
    if (m->code == 0 && !r->cfg.no_hints && !learn(r, &copy, keep, show))
        return;
    send_back(r, &copy, m->at);
}

/* ---- time, links ---- */

/* Whether anything is to be done for one. If not, it wakes for the first. */
static bool any_flight_due(struct ring *r)
{
    const struct flight *f;
    for (struct each e = each_of(&r->flights); (f = next_of(&r->flights, &e)) != NULL;) {
        if (f->until_us <= r->now || f->hedge_us <= r->now)
            return true;
        wake(r, f);
    }
    return false;
}

static void flights_due(struct ring *r)
{
    struct flight *f;
    uint32_t handle;
    if (!any_flight_due(r))
        return;
    for (uint32_t at = 0; (f = slab_each(&r->flights, &at, &handle)) != NULL;) {
        if (f->until_us <= r->now) {
            note_timeout(r, f);
            again(r, handle, false);
            continue;
        }
        if (f->hedge_us <= r->now)
            hedge(r, f);
        wake(r, f);
    }
}

static void finds_due(struct ring *r)
{
    const struct find *f;
    uint32_t handle;
    if (r->finds.used == 0)
        return;
    for (uint32_t at = 0; (f = slab_each(&r->finds, &at, &handle)) != NULL;) {
        if (f->until_us <= r->now) {
            give_up(r, handle);
            continue;
        }
        if (f->try_us <= r->now) {
            ring__wake(r, PART_ROUTE, f->until_us); /* the last try sets no time of its own */
            try_now(r, handle);
            continue;
        }
        ring__wake(r, PART_ROUTE, f->try_us < f->until_us ? f->try_us : f->until_us);
    }
}

void route_timer(struct ring *r)
{
    flights_due(r);
    finds_due(r);
}

void route_dead(struct ring *r, const struct peal_id *id)
{
    const struct flight *f;
    const struct find *mine;
    uint32_t handle;
    for (uint32_t at = 0; (f = slab_each(&r->flights, &at, &handle)) != NULL;)
        if (id_eq(&f->to, id)) {
            if (!f->waits) /* else the host has said how the dial ended */
                note_timeout(r, f);
            again(r, handle, false);
        }
    /* What it had taken over is as lost as it is. */
    for (uint32_t at = 0; (mine = slab_each(&r->finds, &at, &handle)) != NULL;)
        if (mine->tries > 0 && mine->tries < FIND_TRIES_MAX && id_eq(&mine->first, id) &&
            (mine->err == 0 || mine->via_set))
            try_now(r, handle);
}

void route_up(struct ring *r, const struct peal_id *id)
{
    struct flight *f;
    for (struct each e = each_of(&r->flights); (f = next_of(&r->flights, &e)) != NULL;)
        if (f->waits && id_eq(&f->to, id) && send_on(r, f, id))
            sent(r, f);
}

bool route_needs(struct ring *r, const struct peal_id *id)
{
    const struct flight *f;
    for (struct each e = each_of(&r->flights); (f = next_of(&r->flights, &e)) != NULL;)
        if (!f->over && id_eq(&f->to, id))
            return true;
    return false;
}
