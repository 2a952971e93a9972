/* links: what is open to other nodes. Every link begins with hello on both sides; of two links
 * between the same pair the one that the smaller id dialled stays, unless the other belongs to a
 * newer incarnation. Round trips are estimated as in RFC 6298; a link that is silent for longer
 * than they explain is closed, and its node counts as dead. */
#include "inner.h"

#include <string.h>

#define NO_INDEX UINT32_MAX

static uint32_t index_of(const struct ring *r, const struct link *l)
{
    CHECK(l >= r->links && l < r->links + r->links_n);
    return (uint32_t)(l - r->links);
}

struct link *ring__link_of(struct ring *r, uint32_t handle)
{
    uint32_t i = r->link_hint; /* within a step it is mostly the same one */
    if (i < r->links_n && r->links[i].handle == handle)
        return &r->links[i];
    if (!map_get(&r->handles, &handle, &i))
        return NULL;
    CHECK(i < r->links_n && r->links[i].handle == handle);
    r->link_hint = i;
    return &r->links[i];
}

struct link *ring__link_to(struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_get(r, id);
    if (n == NULL || n->link == NO_INDEX)
        return NULL;
    CHECK(n->link < r->links_n && r->links[n->link].hello);
    return &r->links[n->link];
}

bool ring__points_to(struct ring *r, const struct peal_id *id)
{
    return upkeep_needs(r, id) || finger_needs(r, id) || route_needs(r, id) ||
           (r->merge.placing && id_eq(&r->merge.via, id));
}

/* As ring__needed, but for those whom small.c only means to meet. */
static bool holds(struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_get(r, id);
    return (n != NULL && (n->wanted || n->mate)) || ring__points_to(r, id);
}

bool ring__needed(struct ring *r, const struct peal_id *id)
{
    return holds(r, id) || small_needs(r, id);
}

/* ---- round trips ---- */

void ring__trips_add(struct trips *t, uint64_t us)
{
    if (t->srtt_us == 0) {
        t->srtt_us = us + 1; /* 0 means that there is none */
        t->rttvar_us = us / 2;
        return;
    }
    uint64_t gap = us > t->srtt_us ? us - t->srtt_us : t->srtt_us - us;
    t->rttvar_us = (3 * t->rttvar_us + gap) / 4;
    t->srtt_us = (7 * t->srtt_us + us) / 8 + 1;
}

uint64_t ring__trips_rto(const struct trips *t)
{
    if (t->srtt_us == 0)
        return RTO_FIRST_US;
    uint64_t rto = t->srtt_us + 4 * t->rttvar_us;
    if (rto < RTO_MIN_US)
        return RTO_MIN_US;
    return rto > RTO_MAX_US ? RTO_MAX_US : rto;
}

void ring__link_sample(struct link *l, uint64_t us)
{
    if (us > RTO_MAX_US)
        us = RTO_MAX_US;
    l->samples[l->samples_at] = (uint32_t)us;
    l->samples_at = (l->samples_at + 1) % SAMPLES;
    if (l->samples_n < SAMPLES)
        l->samples_n++;
    ring__trips_add(&l->trips, us);
}

static uint64_t rto_of(const struct link *l)
{
    return l == NULL ? RTO_FIRST_US : ring__trips_rto(&l->trips);
}

uint64_t ring__rto_to(struct ring *r, const struct peal_id *id)
{
    return rto_of(ring__link_to(r, id));
}

/* Of SAMPLES the second largest; of fewer the largest. */
uint64_t ring__p95_to(struct ring *r, const struct peal_id *id)
{
    const struct link *l = ring__link_to(r, id);
    if (l == NULL || l->samples_n < SAMPLES_FEW)
        return P95_FIRST_US;
    uint32_t first = 0, second = 0;
    for (uint32_t i = 0; i < l->samples_n; i++) {
        uint32_t s = l->samples[i];
        if (s >= first) {
            second = first;
            first = s;
        } else if (s > second) {
            second = s;
        }
    }
    return l->samples_n == SAMPLES ? second : first;
}

bool ring__doubted(const struct link *l)
{
    return l->doubt_us > l->heard_us;
}

void ring__doubt(struct ring *r, struct link *l, uint64_t sent_us)
{
    CHECK(l->hello && sent_us <= r->now);
    if (l->heard_us >= sent_us || ring__doubted(l))
        return; /* it lives, and has lost one lookup; or it is asked already */
    l->doubt_us = r->now;
    ring__ping_now(r, l);
}

/* ---- sending ---- */

struct header { /* what every message between nodes begins with */
    struct peal_id to;
    uint64_t stamp;
};
_Static_assert(offsetof(struct wire_r_hello, to) == offsetof(struct header, to) &&
                   offsetof(struct wire_r_hello, stamp) == offsetof(struct header, stamp) &&
                   offsetof(struct wire_r_bye, stamp) == offsetof(struct header, stamp) &&
                   offsetof(struct wire_n_admit, stamp) == offsetof(struct header, stamp),
               "messages between nodes begin with the header");

static void count_sent(struct ring *r, uint16_t type, size_t bytes)
{
    r->count.messages++;
    r->count.bytes += bytes;
    if (type == WIRE_r_find || type == WIRE_r_find_ack || type == WIRE_r_found)
        r->count.find_bytes += bytes;
}

/* What any two nodes say to each other as long as they are linked is no use of a link. */
bool ring__is_use(uint16_t type)
{
    return type != WIRE_r_ping && type != WIRE_r_pong && type != WIRE_r_rumours &&
           type != WIRE_r_compare && type != WIRE_r_known;
}

static void send(struct ring *r, struct link *l, uint16_t type, void *msg, bool eager)
{
    struct header h = {.to = l == NULL ? r->self.id : l->peer, .stamp = clk_now(&r->clk, r->wall)};
    memcpy((uint8_t *)msg + offsetof(struct header, to), &h.to, sizeof h.to);
    memcpy((uint8_t *)msg + offsetof(struct header, stamp), &h.stamp, sizeof h.stamp);
    if (eager)
        step_send_eager(r->u, l == NULL ? STEP_SELF : l->handle, type, msg);
    else
        step_send(r->u, l == NULL ? STEP_SELF : l->handle, type, msg);
    if (l == NULL)
        return;
    l->said_us = r->now;
    if (ring__is_use(type))
        l->used_us = r->now;
    count_sent(r, type, r->u->effects[r->u->n - 1].bytes.n);
}

void ring__say_on(struct ring *r, struct link *l, uint16_t type, void *msg)
{
    CHECK(type >= WIRE_FIRST_RING && type < WIRE_FIRST_CLIENT);
    CHECK(l->hello || type == WIRE_r_hello || type == WIRE_r_bye);
    send(r, l, type, msg, true);
}

void ring__send_app(struct ring *r, struct link *l, uint16_t type, void *msg, bool eager)
{
    CHECK(type < WIRE_FIRST_RING && (l == NULL || l->hello));
    send(r, l, type, msg, eager);
}

bool ring__say(struct ring *r, const struct peal_id *to, uint16_t type, void *msg)
{
    struct link *l = ring__link_to(r, to);
    if (l == NULL)
        return false;
    ring__say_on(r, l, type, msg);
    return true;
}

static void say_hello(struct ring *r, struct link *l)
{
    struct wire_r_hello m = {.version = WIRE_VERSION, .contact = ring__contact_view(&r->self)};
    ring__my_state(r, &m.state);
    ring__say_on(r, l, WIRE_r_hello, &m);
}

/* ---- the end of links ---- */

static void forget(struct ring *r, struct link *l)
{
    uint32_t at = index_of(r, l), last = --r->links_n;
    bool was = map_del(&r->handles, &l->handle);
    CHECK(was);
    if (at == last)
        return;
    r->links[at] = r->links[last];
    int err = map_put(&r->handles, &r->links[at].handle, at);
    CHECK(err == 0);
    struct node *n = book_find(r, &r->links[at].peer);
    if (n != NULL && n->link == last)
        n->link = at;
}

/* A link to the peer that has said hello, or one that has not yet. */
static struct link *other_link(struct ring *r, const struct peal_id *peer, bool hello)
{
    for (uint32_t i = 0; i < r->links_n; i++)
        if (r->links[i].hello == hello && id_eq(&r->links[i].peer, peer))
            return &r->links[i];
    return NULL;
}

/* The link is gone or about to be. When both sides dial at once each closes one of two links, and
 * the close may come before the other link's hello: the node is not down until that fails too. */
static void lost(struct ring *r, struct link *l, const char *why)
{
    struct link was = *l;
    struct node *n = book_find(r, &was.peer);
    bool good = n != NULL && n->link == index_of(r, l);
    CHECK(!good || was.hello);
    if (good)
        n->link = NO_INDEX;
    forget(r, l);
    if (n == NULL)
        return;
    if (!good && !was.heir) {
        if (!was.hello && was.dialled && was.quiet)
            dial_busy(r, n);
        else if (!was.hello && was.dialled)
            dial_lost(r, n);
        else if (!was.hello && ring__needed(r, &was.peer))
            ring__reach(r, n);
        return;
    }
    if (n->link != NO_INDEX)
        return; /* a third link has become good */
    struct link *next = other_link(r, &was.peer, true);
    if (next != NULL) {
        n->link = index_of(r, next);
        return;
    }
    next = other_link(r, &was.peer, false);
    if (next != NULL)
        next->heir = true;
    else if (was.quiet)
        ring__node_quiet(r, &was.peer);
    else
        ring__node_down(r, &was.peer, why);
}

void ring__drop(struct ring *r, struct link *l, int err, const char *why)
{
    step_close(r->u, l->handle, err, why);
    r->closed[r->closed_at++ % CLOSED_MAX] = l->handle;
    lost(r, l, why);
}

/* Says that it is for the link alone. */
static void drop_only(struct ring *r, struct link *l, int err, const char *why)
{
    struct wire_r_bye m = {.code = (uint16_t)-err};
    ring__say_on(r, l, WIRE_r_bye, &m);
    l->quiet = true;
    ring__drop(r, l, err, why);
}

static bool closed_here(const struct ring *r, uint32_t handle)
{
    for (size_t i = 0; i < CLOSED_MAX; i++)
        if (r->closed[i] == handle)
            return true;
    return false;
}

void ring__on_link_down(struct ring *r, const struct step_event *ev)
{
    if (ev->link_kind != STEP_LINK_NODE)
        return;
    struct link *l = ev->link == STEP_NO_LINK ? NULL : ring__link_of(r, ev->link);
    if (l != NULL)
        lost(r, l, ev->err == 0 ? "the link closed" : err_prose(ev->err));
    else if (ev->dialled && (ev->link == STEP_NO_LINK || !closed_here(r, ev->link)))
        dial_ended(r, ev->address, false, NULL);
}

/* ---- new links ---- */

/* Of links that nobody here needs, those are the least useful that this node opened, for a lookup
 * once; the most useful those that were last used so long ago that only the peer's need can keep
 * them open: they are its fingers. */
static int worth(const struct ring *r, const struct link *l)
{
    bool unused = r->now - l->used_us > LINK_IDLE_US;
    bool kept = unused && r->now - l->heard_us <= 2 * r->cfg.stabilise_us;
    return kept ? 2 : l->dialled ? 0 : 1;
}

/* The one that gives way to another: the least useful, of those the least recently used. */
struct link *ring__spare(struct ring *r)
{
    struct link *least = NULL;
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct link *l = &r->links[i];
        if (!l->hello)
            continue;
        int more = least == NULL ? -1 : worth(r, l) - worth(r, least);
        if ((more < 0 || (more == 0 && l->used_us < least->used_us)) && !holds(r, &l->peer))
            least = l;
    }
    return least;
}

static bool make_room(struct ring *r)
{
    struct link *l = ring__spare(r);
    if (l == NULL)
        return false;
    drop_only(r, l, PEAL_E_BUSY, "its place is needed for another link");
    return r->links_n < r->links_cap;
}

bool ring__has_room(struct ring *r)
{
    if (r->links_n < r->links_cap)
        return true;
    const struct link *l = ring__spare(r);
    return l != NULL && r->now - l->used_us >= LINK_SPARE_US;
}

/* Whoever opens links and says nothing must not crowd out the others: of those the oldest goes. */
static void bound_hellos(struct ring *r)
{
    struct link *oldest = NULL;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct link *l = &r->links[i];
        if (l->hello || l->dialled)
            continue;
        waiting++;
        if (oldest == NULL || l->opened_us < oldest->opened_us)
            oldest = l;
    }
    if (waiting > r->links_cap / HELLO_SHARE)
        drop_only(r, oldest, PEAL_E_BUSY, "too many links without hello");
}

/* 0, or why no more links of the peer are taken. */
static int refuse(struct ring *r, const struct step_event *ev, const char **why)
{
    if (ring__is_self(r, &ev->peer)) {
        *why = "this is the same node";
        return PEAL_E_EXISTS;
    }
    const struct link *good = ring__link_to(r, &ev->peer);
    if (ev->dialled && good != NULL && good->dialled) {
        *why = "there is a link already";
        return PEAL_E_EXISTS;
    }
    size_t waiting = 0;
    for (uint32_t i = 0; i < r->links_n; i++)
        waiting += !r->links[i].hello && id_eq(&r->links[i].peer, &ev->peer);
    if (waiting >= LINKS_OF_PEER || (r->links_n == r->links_cap && !make_room(r))) {
        *why = "no room for another link";
        return PEAL_E_BUSY;
    }
    return 0;
}

void ring__on_link_up(struct ring *r, const struct step_event *ev)
{
    if (ev->link_kind != STEP_LINK_NODE)
        return;
    CHECK(ev->link != STEP_NO_LINK && ev->link != STEP_SELF);
    CHECK(ring__link_of(r, ev->link) == NULL);
    uint64_t began = 0;
    if (ev->dialled) {
        const struct node *n = book_find(r, &ev->peer);
        began = n != NULL ? dial_began(n) : 0;
        dial_ended(r, ev->address, true, &ev->peer);
        dial_joined(r, ev->address, &ev->peer);
    }
    const char *why = NULL;
    int err = refuse(r, ev, &why);
    if (err < 0) {
        struct link none = {.handle = ev->link, .peer = ev->peer};
        struct wire_r_bye m = {.code = (uint16_t)-err};
        if (err == PEAL_E_BUSY)
            ring__say_on(r, &none, WIRE_r_bye, &m);
        step_close(r->u, ev->link, err, why);
        r->closed[r->closed_at++ % CLOSED_MAX] = ev->link;
        struct node *n = err == PEAL_E_BUSY ? book_find(r, &ev->peer) : NULL;
        if (ev->dialled && n != NULL)
            dial_busy(r, n);
        return;
    }
    struct link *l = &r->links[r->links_n];
    *l = (struct link){.handle = ev->link,
                       .dialled = ev->dialled,
                       .peer = ev->peer,
                       .from = ev->dialled ? 0 : dial_host(ev->address),
                       .opened_us = r->now,
                       .heard_us = r->now,
                       .used_us = r->now,
                       .sampled_us = r->now,
                       .dialled_us = began,
                       .every_us = r->cfg.stabilise_us};
    err = map_put(&r->handles, &l->handle, r->links_n++);
    CHECK(err == 0);
    say_hello(r, l);
    ring__wake(r, PART_LINKS, r->now + HELLO_WAIT_US);
    if (!ev->dialled)
        bound_hellos(r);
}

/* ---- hello ---- */

/* Which of two links between this node and a peer stays. */
static bool newer_wins(const struct ring *r, const struct link *old, const struct link *l)
{
    if (l->incarnation != old->incarnation)
        return l->incarnation > old->incarnation;
    if (l->dialled == old->dialled)
        return !l->dialled; /* dialled twice: the side that did so closes the second */
    bool smaller = id_cmp(&r->self.id, &l->peer) < 0;
    return l->dialled == smaller;
}

/* NULL: the link is closed. */
static struct node *hello_taken(struct ring *r, struct link *l, const struct wire_r_hello *m)
{
    if (m->version != WIRE_VERSION) {
        ring__drop(r, l, PEAL_E_VERSION, "another version of the protocol");
        return NULL;
    }
    if (!id_eq(&m->contact.id, &l->peer)) {
        ring__drop(r, l, PEAL_E_AUTH, "the contact is not the certificate's");
        return NULL;
    }
    uint32_t handle = l->handle;
    bool news;
    struct node *n;
    int err = book_take(r, &m->contact, false, 0, &news, &n);
    l = ring__link_of(r, handle);
    if (err == 0)
        return l == NULL ? NULL : n;
    if (l != NULL && err == PEAL_E_FULL)
        drop_only(r, l, PEAL_E_BUSY, "no room for another node");
    else if (l != NULL && err == PEAL_E_MALFORMED)
        ring__drop(r, l, err, ring_contact_wrong(&m->contact));
    else if (l != NULL)
        ring__drop(r, l, PEAL_E_AUTH, "the contact is not signed");
    return NULL;
}

/* The link, good now, takes the place of an older one. A node that has restarted is down in
 * between. */
static void replace(struct ring *r, struct link *l, struct link *old)
{
    struct peal_id peer = l->peer;
    uint32_t handle = l->handle;
    bool restarted = l->incarnation > old->incarnation;
    if (restarted || l->dialled != old->dialled)
        ring__drop(r, old, PEAL_E_EXISTS, "another link stays");
    if (!restarted)
        return;
    struct node *n = book_find(r, &peer);
    CHECK(n != NULL);
    n->link = NO_INDEX;
    ring__node_down(r, &peer, "it has restarted");
    n = book_find(r, &peer);
    l = ring__link_of(r, handle);
    if (n != NULL && l != NULL)
        n->link = index_of(r, l);
    else if (l != NULL)
        ring__drop(r, l, PEAL_E_BUSY, "no room for another node");
}

void ring__on_hello(struct ring *r, struct link *l, const struct wire_r_hello *m)
{
    uint32_t handle = l->handle;
    struct node *n = hello_taken(r, l, m);
    if (n == NULL)
        return;
    l = ring__link_of(r, handle);
    CHECK(l != NULL);
    l->incarnation = m->contact.incarnation;
    if (!l->hello) {
        struct link *old = n->link == NO_INDEX ? NULL : &r->links[n->link];
        CHECK(old != l);
        if (old != NULL && !newer_wins(r, old, l)) {
            ring__drop(r, l, PEAL_E_EXISTS, "another link stays");
            return;
        }
        l->hello = true;
        l->heir = false;
        if (l->dialled_us != 0)
            ring__trips_add(&r->dials.took, r->now - l->dialled_us);
        l->state = m->state;
        l->ping_us = r->now;
        l->check_us = 0;
        n->link = index_of(r, l);
        dial_came(n, l->from);
        ring__wake(r, PART_LINKS, r->now);
        if (old != NULL)
            replace(r, l, old);
        l = ring__link_of(r, handle);
        if (l == NULL)
            return;
        n = book_find(r, &l->peer);
        CHECK(n != NULL && n->link == index_of(r, l));
        if (n->up)
            dial_up(r, n);
        else
            ring__node_up(r, l);
    }
    l = ring__link_of(r, handle);
    if (l != NULL)
        ring__node_state(r, l, &m->state);
}

void ring__on_bye(struct ring *r, struct link *l, const struct wire_r_bye *m)
{
    struct peal_id peer = l->peer;
    struct node *n = book_find(r, &peer);
    CHECK(n != NULL || !l->hello);
    l->quiet = m->code != 0;
    if (n != NULL && m->code == 0)
        n->left = true;
    ring__drop(r, l, PEAL_E_CLOSED, "it said bye");
    n = m->code != 0 ? book_find(r, &peer) : NULL;
    if (n != NULL)
        dial_busy(r, n);
}

/* ---- pings ---- */

/* What the peer is to hear of soon when it changes; the size is not, since it often does. Ids are
 * hashes: their first bytes say enough. */
static uint64_t digest_of(const struct wire_ring_state *s)
{
    const struct peal_id *ids[] = {&s->successor, &s->predecessor, &s->coordinator};
    uint64_t h = s->phase;
    for (size_t i = 0; i < PEAL_COUNT(ids); i++) {
        uint64_t head;
        memcpy(&head, ids[i]->b, sizeof head);
        h = (h ^ head) * UINT64_C(0x9e3779b97f4a7c15); /* the golden ratio, as in splitmix64 */
        h ^= h >> 32;
    }
    return h;
}

static void say_state(struct ring *r, struct link *l, uint16_t type, uint64_t nonce)
{
    uint8_t load[WIRE_LOAD_MAX];
    struct wire_r_ping m = {.nonce = nonce};
    ring__my_state(r, &m.state);
    l->told = digest_of(&m.state);
    size_t n = r->cfg.app.load(r->cfg.app.ctx, load);
    CHECK(n <= sizeof load);
    m.load = peal_bytes_of(load, n);
    size_t mark = r->scratch.used;
    m.rumours = gossip_take(r, &l->peer);
    ring__say_on(r, l, type, &m);
    r->scratch.used = mark;
}

/* One round trip is measured at a time; a ping besides it has no nonce. */
void ring__ping_now(struct ring *r, struct link *l)
{
    uint64_t nonce = 0;
    if (l->nonce_us == 0 || r->now - l->nonce_us > RTO_MAX_US) {
        nonce = rng_next(&r->rng) | 1;
        l->nonce = nonce;
        l->nonce_us = r->now;
    }
    if (l->asked_us == 0)
        l->asked_us = r->now;
    l->check_us = 0;
    say_state(r, l, WIRE_r_ping, nonce);
}

static void heard_state(struct ring *r, uint32_t handle, const struct wire_r_ping *m)
{
    struct link *l = ring__link_of(r, handle);
    if (l == NULL)
        return;
    struct peal_id peer = l->peer;
    ring__node_state(r, l, &m->state);
    if (m->load.n > 0 && ring__link_of(r, handle) != NULL)
        r->cfg.app.peer_load(r->cfg.app.ctx, r->u, &peer, m->load);
    l = ring__link_of(r, handle);
    if (l != NULL && m->rumours.n > 0)
        gossip_heard(r, l, &m->rumours);
}

void ring__on_ping(struct ring *r, struct link *l, const struct wire_r_ping *m)
{
    uint32_t handle = l->handle;
    say_state(r, l, WIRE_r_pong, m->nonce);
    heard_state(r, handle, m);
}

_Static_assert(sizeof(struct wire_r_ping) == sizeof(struct wire_r_pong) &&
                   offsetof(struct wire_r_ping, rumours) == offsetof(struct wire_r_pong, rumours),
               "a pong has a ping's form");

void ring__on_pong(struct ring *r, struct link *l, const struct wire_r_pong *m)
{
    if (l->nonce_us != 0 && m->nonce != 0 && m->nonce == l->nonce) {
        ring__link_sample(l, r->now - l->nonce_us);
        l->sampled_us = r->now;
        l->nonce_us = 0;
    }
    struct wire_r_ping as;
    memcpy(&as, m, sizeof as);
    heard_state(r, l->handle, &as);
}

/* ---- the timer ---- */

/* When the link counts as dead. Of silence alone nothing follows: with a node that is rarely pinged
 * it is the rule. So the first ping without an answer counts as well, and then two pings' time. */
static uint64_t ends_at(const struct ring *r, const struct link *l)
{
    if (!l->hello)
        return l->opened_us + HELLO_WAIT_US;
    uint64_t slack = l->trips.srtt_us == 0 ? RTO_FIRST_US : SILENCE_RTOS * rto_of(l);
    uint64_t at = l->heard_us + r->cfg.silence_us + slack;
    if (l->quiet)
        return at + 2 * r->cfg.stabilise_us;
    if (l->asked_us == 0)
        return UINT64_MAX; /* until the next ping */
    uint64_t asked = l->asked_us + 2 * r->cfg.ping_us + slack;
    return asked > at ? asked : at;
}

static void drop_silent(struct ring *r, struct link *l)
{
    if (!l->hello)
        ring__drop(r, l, PEAL_E_CLOSED, "no hello came");
    else if (l->quiet)
        drop_only(r, l, PEAL_E_CLOSED, "nobody needs it");
    else
        ring__drop(r, l, PEAL_E_CLOSED, "it fell silent");
}

/* The more nodes are to be watched, the less often each of them is, but the neighbours. */
static uint64_t pings_every(struct ring *r, const struct node *n, bool near)
{
    uint64_t many = (uint64_t)r->links_n * PING_SHARE_US, round = r->cfg.stabilise_us;
    if (!near)
        return round;
    if (upkeep_near(r, &n->contact.id) || many < r->cfg.ping_us)
        return r->cfg.ping_us;
    return many < round || round < r->cfg.ping_us ? many : round;
}

/* The link's ping is due. Neighbours, mates and wanted nodes are pinged often, others once a round,
 * and those that nobody here needs not at all: their peers do, if they need this node. One is
 * spared when both have spoken since the last; the next is due as if that had been a ping, so that
 * silence is never longer than an interval's most. */
static void ping_due(struct ring *r, struct link *l, uint64_t digest)
{
    const struct node *n = book_get(r, &l->peer);
    CHECK(n != NULL);
    bool near = n->wanted || n->mate || upkeep_near(r, &l->peer);
    l->quiet = !near && r->now - l->used_us > LINK_IDLE_US && !ring__needed(r, &l->peer);
    uint64_t spoken = l->heard_us < l->said_us ? l->heard_us : l->said_us;
    bool spared = spoken > l->pinged_us && (!near || l->told == digest) && l->samples_n > 0 &&
                  r->now - l->sampled_us < SAMPLE_PINGS * l->every_us && !n->wanted;
    l->every_us = pings_every(r, n, near);
    l->pinged_us = r->now;
    l->ping_us = (spared ? spoken : r->now) + ring__jitter(r, l->every_us);
    if (l->quiet || (spared && l->ping_us > r->now + l->every_us / PING_WINDOW))
        return;
    l->ping_us = r->now + ring__jitter(r, l->every_us);
    ring__ping_now(r, l);
}

void links_timer(struct ring *r)
{
    struct wire_ring_state mine;
    ring__my_state(r, &mine);
    uint64_t digest = digest_of(&mine), next = UINT64_MAX;
    uint64_t window = r->cfg.ping_us / PING_WINDOW;
    uint32_t dropped = 0;
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct link *l = &r->links[i];
        if (l->check_us > r->now + window) {
            if (l->check_us < next)
                next = l->check_us;
            continue;
        }
        if (r->now >= ends_at(r, l)) {
            if (dropped++ == LINKS_ROUND) {
                next = r->now;
                break;
            }
            drop_silent(r, l);
            next = UINT64_MAX; /* places have moved: from the beginning */
            i = UINT32_MAX;
            continue;
        }
        if (l->hello && r->now + window >= l->ping_us)
            ping_due(r, l, digest);
        uint64_t at = ends_at(r, l);
        if (l->hello && l->ping_us < at)
            at = l->ping_us;
        l->check_us = at;
        if (at < next)
            next = at;
    }
    if (next != UINT64_MAX)
        ring__wake(r, PART_LINKS, next);
}
