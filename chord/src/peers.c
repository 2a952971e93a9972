/* peers: what is known of other nodes, who of them is up, and sending. Links are the overlay's
 * (peal/ring.h): it says when one is good and when it is lost. A node is up when it is linked, says
 * that it belongs to this ring, stands in the roster and is not leaving. */
#include "inner.h"

#include <string.h>

bool is_self(const struct chord *c, const struct peal_id *id)
{
    return id_eq(id, &c->cfg.self);
}

bool is_up(const struct chord *c, const struct peal_id *id)
{
    if (is_self(c, id))
        return c->state == CHORD_MEMBER || c->state == CHORD_COPYING || c->state == CHORD_MOVING;
    const struct peer *p = peer_of_const(c, id);
    return p != NULL && p->up;
}

/* ---- the table ---- */

struct peer *peer_of(struct chord *c, const struct peal_id *id)
{
    for (size_t i = 0; i < c->peers_n; i++)
        if (c->peers[i].used && id_eq(&c->peers[i].id, id))
            return &c->peers[i];
    return NULL;
}

const struct peer *peer_of_const(const struct chord *c, const struct peal_id *id)
{
    for (size_t i = 0; i < c->peers_n; i++)
        if (c->peers[i].used && id_eq(&c->peers[i].id, id))
            return &c->peers[i];
    return NULL;
}

/* A free place, or that of the node heard longest ago which is neither a member nor linked. */
static struct peer *place_for(struct chord *c)
{
    struct peer *oldest = NULL;
    if (c->peers_n < CHORD_PEERS_MAX)
        return &c->peers[c->peers_n++];
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (p->linked || roster_has(&c->roster, &p->id))
            continue;
        if (oldest == NULL || p->heard_us < oldest->heard_us)
            oldest = p;
    }
    return oldest;
}

struct peer *peer_met(struct chord *c, const struct peal_id *id)
{
    if (is_self(c, id))
        return NULL;
    struct peer *p = peer_of(c, id);
    if (p != NULL)
        return p;
    p = place_for(c);
    if (p == NULL)
        return NULL;
    *p = (struct peer){.used = true, .id = *id};
    CHECK(c->peers_n <= CHORD_PEERS_MAX);
    return p;
}

/* ---- sending ---- */

void send_on(struct chord *c, const struct peal_id *to, uint16_t type, void *msg, bool eager)
{
    int err = ring_send(c->ring, c->ev, c->u, to, type, msg, eager);
    CHECK(err == 0 || err == PEAL_E_UNAVAILABLE);
}

bool send_to(struct chord *c, const struct peal_id *to, uint16_t type, void *msg)
{
    int err = ring_send(c->ring, c->ev, c->u, to, type, msg, false);
    CHECK(err == 0 || err == PEAL_E_UNAVAILABLE);
    return err == 0;
}

void answer(struct chord *c, const struct source *src, uint16_t type, void *msg)
{
    (void)send_to(c, &src->id, type, msg); /* who has lost its link asks again */
}

bool request(struct chord *c, const struct peal_id *to, uint16_t type, union wire_any *m)
{
    if (!is_self(c, to))
        return send_to(c, to, type, m);
    struct source self = {.id = c->cfg.self};
    dispatch(c, &self, type, m);
    return true;
}

/* ---- up and down ---- */

static void peer_up(struct chord *c, struct peer *p)
{
    if (p->up || !p->linked || p->leaving || !roster_has(&c->roster, &p->id) || !same_ring(c, p))
        return;
    p->up = true;
    c->changed = c->state_news = true;
    char id[9];
    struct peal_bytes at = ring_address(c->ring, &p->id);
    step_trace(c->u, STEP_INFO, "member", "%s is up at %.*s", short_id(&p->id, id), (int)at.n,
               (const char *)at.p);
    coordinator_update(c);
    repair_soon(c);
    sweep_soon(c);
    ops_wake(c, c->now);
}

static void peer_down(struct chord *c, struct peer *p, const char *why)
{
    bool was = p->up;
    p->up = false;
    p->state_known = false;
    struct peal_id id = p->id;
    if (!was)
        return;
    c->changed = c->state_news = true;
    char text[9];
    step_trace(c->u, STEP_INFO, "member", "%s is down: %s", short_id(&id, text), why);
    repair_doubt(c);
    coordinator_update(c);
    regs_lost(c, &id);
    puts_lost(c, &id);
    reads_lost(c, &id);
}

void peers_all_down(struct chord *c, const char *why)
{
    for (size_t i = 0; i < c->peers_n; i++)
        if (c->peers[i].used)
            peer_down(c, &c->peers[i], why);
    regs_lost(c, &c->cfg.self);
    puts_lost(c, &c->cfg.self);
    reads_lost(c, &c->cfg.self);
}

/* ---- reports ---- */

static struct wire_n_state my_report(const struct chord *c)
{
    struct wire_n_state m = {.size = (uint32_t)c->roster.n, .domain = domain_name(&c->domain)};
    if (c->state != CHORD_LEFT)
        m.ring = c->roster.ring;
    my_state(c, &m.state);
    return m;
}

void say_state(struct chord *c)
{
    c->state_news = false;
    for (size_t i = 0; i < c->peers_n; i++) {
        if (!c->peers[i].used || !c->peers[i].linked)
            continue;
        struct wire_n_state m = my_report(c);
        send_on(c, &c->peers[i].id, WIRE_n_state, &m, true);
    }
}

static void note_state(struct chord *c, struct peer *p, const struct wire_n_state *m)
{
    const struct wire_node_state *s = &m->state;
    bool news = !p->state_known || p->state.epoch != s->epoch ||
                p->state.ready_epoch != s->ready_epoch ||
                !id_eq(&p->state.successor, &s->successor) ||
                !id_eq(&p->state.predecessor, &s->predecessor) || p->state.clients != s->clients ||
                p->state.unwell != s->unwell;
    bool restarted = p->up && s->epoch < p->state.epoch;
    if (domain_take(&p->domain, m->domain) < 0) {
        ring_refuse(c->ring, c->ev, c->u, &p->id, PEAL_E_MALFORMED, "that is no failure domain");
        return;
    }
    p->state = *s;
    p->state_known = true;
    p->heard_us = c->now;
    p->ring = (struct ring_mark){0};
    if (s->epoch != 0)
        p->ring = (struct ring_mark){.id = m->ring, .epoch = s->epoch, .size = m->size};
    if (news && p->up)
        c->changed = true;
    if (s->leaving != p->leaving || restarted) {
        p->leaving = s->leaving;
        peer_down(c, p, s->leaving ? "it is leaving" : "it has forgotten the roster");
        p->state = *s;
        p->state_known = true;
        if (p->leaving)
            return;
    }
    ring_met(c, p);
    struct source src = {.id = p->id};
    if (s->epoch < c->roster.epoch && (same_ring(c, p) || s->epoch == 0))
        roster_tell(c, &src);
    peer_up(c, p);
}

void on_state(struct chord *c, const struct source *src, const struct wire_n_state *m)
{
    struct peer *p = peer_of(c, &src->id);
    if (p != NULL && p->linked)
        note_state(c, p, m);
}

/* ---- what the overlay says ---- */

static void app_up(void *ctx, struct step_update *u, const struct peal_id *id)
{
    struct chord *c = ctx;
    struct peer *p = peer_met(c, id);
    CHECK(u == c->u);
    if (p == NULL)
        return; /* it is of no ring here, and more of these are linked than are noted */
    p->linked = true;
    p->leaving = false;
    p->heard_us = c->now;
    struct wire_n_state m = my_report(c);
    send_on(c, id, WIRE_n_state, &m, true);
    struct source src = {.id = *id};
    roster_tell(c, &src);
}

static void app_down(void *ctx, struct step_update *u, const struct peal_id *id, const char *why)
{
    struct chord *c = ctx;
    struct peer *p = peer_of(c, id);
    CHECK(u == c->u);
    if (p == NULL)
        return;
    p->linked = false;
    p->heard_us = c->now;
    peer_down(c, p, why);
}

static void app_message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                        union wire_any *m)
{
    struct chord *c = ctx;
    CHECK(u == c->u);
    if (!is_self(c, from) && peer_of(c, from) == NULL)
        return;
    message(c, from, type, m);
}

static void app_changed(void *ctx, struct step_update *u)
{
    struct chord *c = ctx;
    CHECK(u == c->u);
    coordinator_update(c);
    c->changed = c->state_news = true;
}

static size_t app_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    const struct chord *c = ctx;
    struct wire_n_state m = my_report(c);
    struct wr w;
    wr_init(&w, out, WIRE_LOAD_MAX);
    int err = wire_encode(WIRE_n_state, &m, &w);
    CHECK(err == 0);
    return w.n;
}

static void app_peer_load(void *ctx, struct step_update *u, const struct peal_id *id,
                          struct peal_bytes load)
{
    struct chord *c = ctx;
    union wire_any m;
    uint16_t type = 0;
    struct peer *p = peer_of(c, id);
    CHECK(u == c->u);
    if (p == NULL || !p->linked ||
        wire_decode(load.p, load.n, &type, &m, sizeof m, &c->scratch) < 0 || type != WIRE_n_state)
        return;
    note_state(c, p, &m.n_state);
}

static void app_found(void *ctx, struct step_update *u, uint64_t token, int err,
                      const struct ring_found *f)
{
    struct chord *c = ctx;
    CHECK(u == c->u && c->cfg.app.found != NULL);
    c->cfg.app.found(c->cfg.app.ctx, u, token, err, f);
}

static void app_cast(void *ctx, struct step_update *u, const struct peal_id *origin, uint8_t kind,
                     struct peal_bytes body)
{
    struct chord *c = ctx; /* nothing is broadcast yet */
    (void)origin;
    (void)kind;
    (void)body;
    CHECK(u == c->u);
}

/* ---- links wanted ---- */

void want(struct chord *c, const struct peal_id *id, bool want)
{
    if (is_self(c, id))
        return;
    int err = ring_want(c->ring, id, want);
    CHECK(err == 0);
}

void peers_want(struct chord *c)
{
    for (size_t i = 0; i < c->roster.n; i++)
        want(c, &c->roster.members[i], true);
}

void peers_app(struct chord *c, struct ring_app *out)
{
    *out = (struct ring_app){.ctx = c,
                             .up = app_up,
                             .down = app_down,
                             .message = app_message,
                             .found = app_found,
                             .cast = app_cast,
                             .changed = app_changed,
                             .load = app_load,
                             .peer_load = app_peer_load};
}
