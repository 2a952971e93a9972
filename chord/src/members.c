/* members: links to other nodes, and who is up. Every link begins with hello on both sides; of two
 * links between the same pair the one that the smaller id dialled stays, unless the other belongs
 * to a newer incarnation. A link that is silent for longer than its round trips explain is closed
 * (round trips as in RFC 6298). */
#include "inner.h"

#include <string.h>

bool is_self(const struct chord *c, const struct peal_id *id)
{
    return id_eq(id, &c->cfg.self);
}

bool is_up(const struct chord *c, const struct peal_id *id)
{
    if (is_self(c, id))
        return c->state == CHORD_MEMBER || c->state == CHORD_COPYING;
    const struct peer *p = peer_of_const(c, id);
    return p != NULL && p->up;
}

struct node_link *link_of(struct chord *c, uint32_t link)
{
    for (size_t i = 0; i < c->links_n; i++)
        if (c->links[i].link == link)
            return &c->links[i];
    return NULL;
}

/* ---- sending ---- */

void send_on(struct chord *c, uint32_t link, const struct peal_id *to, uint16_t type, void *msg,
             bool eager)
{
    struct header h = {.to = *to, .stamp = clk_now(&c->clk, c->wall)};
    memcpy((uint8_t *)msg + offsetof(struct header, to), &h.to, sizeof h.to);
    memcpy((uint8_t *)msg + offsetof(struct header, stamp), &h.stamp, sizeof h.stamp);
    if (eager)
        step_send_eager(c->u, link, type, msg);
    else
        step_send(c->u, link, type, msg);
}

bool send_to(struct chord *c, const struct peal_id *to, uint16_t type, void *msg)
{
    if (is_self(c, to)) {
        send_on(c, STEP_SELF, to, type, msg, false);
        return true;
    }
    const struct peer *p = peer_of(c, to);
    if (p == NULL || p->link == STEP_NO_LINK)
        return false;
    send_on(c, p->link, to, type, msg, false);
    return true;
}

void answer(struct chord *c, const struct source *src, uint16_t type, void *msg)
{
    if (src->link == STEP_SELF || link_of(c, src->link) != NULL)
        send_on(c, src->link, &src->id, type, msg, false);
}

bool request(struct chord *c, const struct peal_id *to, uint16_t type, union wire_any *m)
{
    if (!is_self(c, to))
        return send_to(c, to, type, m);
    struct source self = {.id = c->cfg.self, .link = STEP_SELF};
    dispatch(c, &self, type, m);
    return true;
}

/* ---- up and down ---- */

static void peer_up(struct chord *c, struct peer *p)
{
    if (p->up || !roster_has(&c->roster, &p->contact.id) || !same_ring(c, p))
        return;
    p->up = true;
    p->leaving = false;
    c->changed = c->state_news = true;
    char id[9];
    step_trace(c->u, STEP_INFO, "member", "%s is up at %.*s", short_id(&p->contact.id, id),
               (int)p->contact.address_n, (const char *)p->contact.address);
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
    p->copy_due_us = 0;
    struct peal_id id = p->contact.id;
    if (!was)
        return;
    c->changed = c->state_news = true;
    char text[9];
    step_trace(c->u, STEP_INFO, "member", "%s is down: %s", short_id(&id, text), why);
    coordinator_update(c);
    regs_lost(c, &id);
    puts_lost(c, &id);
    reads_lost(c, &id);
}

static void forget_link(struct chord *c, struct node_link *l)
{
    size_t at = (size_t)(l - c->links);
    CHECK(at < c->links_n);
    c->links[at] = c->links[--c->links_n];
}

/* The peer's other link, if it has one that said hello. */
static struct node_link *other_link(struct chord *c, const struct peal_id *peer)
{
    for (size_t i = 0; i < c->links_n; i++)
        if (c->links[i].hello && id_eq(&c->links[i].peer, peer))
            return &c->links[i];
    return NULL;
}

/* link is gone or about to be. */
static void lost_link(struct chord *c, struct node_link *l, const char *why)
{
    struct peer *p = peer_of(c, &l->peer);
    uint32_t link = l->link;
    forget_link(c, l);
    if (p == NULL || p->link != link)
        return;
    const struct node_link *other = other_link(c, &p->contact.id);
    p->link = other == NULL ? STEP_NO_LINK : other->link;
    if (other != NULL)
        return;
    peer_down(c, p, why);
    p->dial.at_us = c->now + jitter(c, DIAL_FIRST_US);
}

void drop_link(struct chord *c, struct node_link *l, int err, const char *why)
{
    step_close(c->u, l->link, err, why);
    lost_link(c, l, why);
}

/* ---- dialling ---- */

void dial_soon(struct chord *c, struct peer *p)
{
    if (p->link == STEP_NO_LINK && !p->dial.under_way)
        p->dial = (struct dial){.at_us = c->now};
}

static void dial_failed(struct chord *c, struct dial *d)
{
    uint64_t wait = DIAL_FIRST_US;
    for (uint32_t i = 0; i < d->tries && wait < DIAL_MOST_US; i++)
        wait *= 2;
    d->under_way = false;
    if (d->tries < UINT32_MAX)
        d->tries++;
    d->at_us = c->now + jitter(c, wait < DIAL_MOST_US ? wait : DIAL_MOST_US);
}

/* The state of dialling address, which may be a join and a contact at once. */
static void dial_ended(struct chord *c, struct peal_bytes address, bool good)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (!p->used || !p->dial.under_way ||
            !peal_bytes_eq(peal_bytes_of(p->contact.address, p->contact.address_n), address))
            continue;
        if (good)
            p->dial.under_way = false; /* tries stay until hello */
        else
            dial_failed(c, &p->dial);
    }
    for (size_t i = 0; i < c->cfg.joins_n; i++) {
        struct join *j = &c->joins[i];
        if (!j->dial.under_way || !peal_bytes_eq(peal_bytes_of(j->address, j->n), address))
            continue;
        if (good)
            j->dial.under_way = false;
        else
            dial_failed(c, &j->dial);
    }
}

static bool dial_due(struct chord *c, struct dial *d)
{
    if (c->now < d->at_us)
        return false;
    if (d->under_way) { /* the host never said how it ended */
        dial_failed(c, d);
        return false;
    }
    d->under_way = true;
    d->at_us = c->now + DIAL_GIVE_UP_US;
    return true;
}

static bool linked(struct chord *c, const struct peal_id *id)
{
    for (size_t i = 0; i < c->links_n; i++)
        if (id_eq(&c->links[i].peer, id))
            return true;
    return false;
}

/* Members dial members; a node in no ring dials everyone it knows; to join, also addresses. */
static void dial_all(struct chord *c)
{
    bool member = c->roster.epoch != 0;
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (!p->used || p->link != STEP_NO_LINK || linked(c, &p->contact.id) ||
            (member && !roster_has(&c->roster, &p->contact.id)))
            continue;
        if (dial_due(c, &p->dial))
            step_dial(c->u, peal_bytes_of(p->contact.address, p->contact.address_n));
    }
    if (member && c->roster.n > 1)
        return;
    for (size_t i = 0; i < c->cfg.joins_n; i++) {
        struct join *j = &c->joins[i];
        if (j->self || (j->known && linked(c, &j->peer)))
            continue;
        if (dial_due(c, &j->dial))
            step_dial(c->u, peal_bytes_of(j->address, j->n));
    }
}

/* An address is only where a node was last known to be; who answers there is who its certificate
 * says. The node that was expected has moved or is gone: its own word, or another's, brings its new
 * contact. */
static void note_strangers(struct chord *c, struct peal_bytes address, const struct peal_id *peer)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (!p->used || id_eq(&p->contact.id, peer) ||
            !peal_bytes_eq(peal_bytes_of(p->contact.address, p->contact.address_n), address))
            continue;
        p->dial.at_us = c->now + jitter(c, STRANGER_WAIT_US);
        if (id_eq(&p->stranger, peer))
            continue;
        p->stranger = *peer;
        char theirs[9], id[9];
        step_trace(c->u, STEP_INFO, "stranger", "%s answers at %.*s, where %s was expected",
                   is_self(c, peer) ? "this server itself" : short_id(peer, theirs), (int)address.n,
                   (const char *)address.p, short_id(&p->contact.id, id));
    }
}

/* ---- links ---- */

static void say_hello(struct chord *c, struct node_link *l)
{
    struct peal_id members[WIRE_ROSTER_MAX];
    struct wire_n_hello m = {.version = WIRE_VERSION, .contact = contact_view(&c->self)};
    if (c->state != CHORD_LEFT)
        m.roster = roster_view(&c->roster, members);
    l->said_epoch = m.roster.epoch;
    send_on(c, l->link, &l->peer, WIRE_n_hello, &m, true);
}

static void note_join(struct chord *c, struct peal_bytes address, const struct peal_id *peer)
{
    for (size_t i = 0; i < c->cfg.joins_n; i++) {
        struct join *j = &c->joins[i];
        if (!peal_bytes_eq(peal_bytes_of(j->address, j->n), address))
            continue;
        j->known = true;
        j->peer = *peer;
        j->self = is_self(c, peer);
        j->dial.tries = 0;
    }
}

void on_link_up(struct chord *c, const struct step_event *ev)
{
    if (ev->link_kind != STEP_LINK_NODE)
        return;
    CHECK(ev->link != STEP_NO_LINK && ev->link != STEP_SELF && link_of(c, ev->link) == NULL);
    if (ev->dialled) {
        dial_ended(c, ev->address, true);
        note_strangers(c, ev->address, &ev->peer);
        note_join(c, ev->address, &ev->peer);
    }
    if (is_self(c, &ev->peer) || c->state == CHORD_LEFT || c->links_n == LINKS_MAX) {
        step_close(c->u, ev->link, is_self(c, &ev->peer) ? PEAL_E_EXISTS : PEAL_E_BUSY,
                   is_self(c, &ev->peer) ? "this is the same node" : "no room for another link");
        return;
    }
    const struct peer *p = peer_of(c, &ev->peer);
    const struct node_link *old = p == NULL ? NULL : link_of(c, p->link);
    if (ev->dialled && old != NULL && old->dialled) {
        step_close(c->u, ev->link, PEAL_E_EXISTS, "there is a link already");
        return;
    }
    struct node_link *l = &c->links[c->links_n++];
    *l = (struct node_link){.link = ev->link,
                            .dialled = ev->dialled,
                            .peer = ev->peer,
                            .opened_us = c->now,
                            .heard_us = c->now,
                            .ping_us = c->now};
    say_hello(c, l);
}

void on_link_down(struct chord *c, const struct step_event *ev)
{
    if (ev->link_kind != STEP_LINK_NODE)
        return;
    struct node_link *l = ev->link == STEP_NO_LINK ? NULL : link_of(c, ev->link);
    if (l != NULL)
        lost_link(c, l, ev->err == 0 ? "the link closed" : err_prose(ev->err));
    if (ev->dialled)
        dial_ended(c, ev->address, false);
}

/* Which of two links between this node and a peer stays. */
static bool newer_wins(const struct chord *c, const struct node_link *old,
                       const struct node_link *l)
{
    if (l->incarnation != old->incarnation)
        return l->incarnation > old->incarnation;
    if (l->dialled == old->dialled)
        return !l->dialled; /* dialled twice: the side that did so closes the second */
    bool smaller = id_cmp(&c->cfg.self, &l->peer) < 0;
    return l->dialled == smaller;
}

static bool hello_valid(struct chord *c, struct node_link *l, const struct wire_n_hello *m)
{
    if (m->version != WIRE_VERSION) {
        drop_link(c, l, PEAL_E_VERSION, "another version of the protocol");
        return false;
    }
    if (!id_eq(&m->contact.id, &l->peer)) {
        drop_link(c, l, PEAL_E_AUTH, "the contact is not the certificate's");
        return false;
    }
    if (contact_learn(c, &m->contact) == NULL) {
        drop_link(c, l, PEAL_E_AUTH, "the contact is not signed, or the table of contacts is full");
        return false;
    }
    struct roster r;
    if (m->roster.epoch != 0 && roster_take(&r, &m->roster) < 0) {
        drop_link(c, l, PEAL_E_MALFORMED, "the roster is not of its form");
        return false;
    }
    return true;
}

void on_hello(struct chord *c, struct node_link *l, const struct wire_n_hello *m)
{
    if (l->hello) {
        drop_link(c, l, PEAL_E_MALFORMED, "hello was said before");
        return;
    }
    if (!hello_valid(c, l, m))
        return;
    struct peer *p = peer_of(c, &l->peer);
    CHECK(p != NULL);
    l->incarnation = m->contact.incarnation;
    struct node_link *old = p->link == STEP_NO_LINK ? NULL : link_of(c, p->link);
    CHECK(old != l);
    if (old != NULL && !newer_wins(c, old, l)) {
        drop_link(c, l, PEAL_E_EXISTS, "another link stays");
        return;
    }
    l->hello = true;
    p->link = l->link;
    if (old != NULL && (l->incarnation != old->incarnation || l->dialled != old->dialled)) {
        bool restarted = l->incarnation > old->incarnation;
        uint32_t link = l->link;
        drop_link(c, old, PEAL_E_EXISTS, "another link stays");
        l = link_of(c, link); /* places have moved */
        CHECK(l != NULL);
        if (restarted)
            peer_down(c, p, "it has restarted or moved");
    }
    p->heard_us = c->now;
    p->leaving = false;
    p->dial.tries = 0;
    p->ring = (struct ring_mark){
        .id = m->roster.ring, .epoch = m->roster.epoch, .size = (uint32_t)m->roster.members.n};
    if (!ring_met(c, p)) {
        drop_link(c, l, PEAL_E_FOREIGN, "it belongs to another ring");
        return;
    }
    struct source src = {.id = p->contact.id, .link = p->link};
    if (m->roster.epoch != 0)
        roster_learn(c, &src, &m->roster);
    if (l->said_epoch != c->roster.epoch)
        roster_tell(c,
                    &src); /* this node has joined a ring, or another epoch, since it said hello */
    contacts_tell(c, p, NULL);
    peer_up(c, p);
}

/* ---- pings ---- */

static void note_state(struct chord *c, struct peer *p, const struct wire_node_state *s)
{
    bool news = !p->state_known || p->state.epoch != s->epoch ||
                p->state.ready_epoch != s->ready_epoch ||
                !id_eq(&p->state.successor, &s->successor) ||
                !id_eq(&p->state.predecessor, &s->predecessor) || p->state.clients != s->clients;
    p->state = *s;
    p->state_known = true;
    p->heard_us = c->now;
    if (s->epoch != 0 && !id_is_zero(&p->ring.id) && s->epoch > p->ring.epoch)
        p->ring.epoch = s->epoch;
    if (news && p->up)
        c->changed = true;
    if (s->leaving && !p->leaving) {
        p->leaving = true;
        peer_down(c, p, "it is leaving");
        return;
    }
    if (s->epoch < c->roster.epoch) {
        struct source src = {.id = p->contact.id, .link = p->link};
        if (same_ring(c, p) || s->epoch == 0)
            roster_tell(c, &src);
    }
    if (!p->leaving)
        peer_up(c, p);
}

static void note_round_trip(struct node_link *l, uint64_t rtt)
{
    if (l->srtt_us == 0) {
        l->srtt_us = rtt + 1;
        l->rttvar_us = rtt / 2;
        return;
    }
    uint64_t gap = rtt > l->srtt_us ? rtt - l->srtt_us : l->srtt_us - rtt;
    l->rttvar_us = (3 * l->rttvar_us + gap) / 4;
    l->srtt_us = (7 * l->srtt_us + rtt) / 8 + 1;
}

static uint64_t silence_limit(const struct node_link *l)
{
    uint64_t rto = l->srtt_us + 4 * l->rttvar_us;
    uint64_t limit = PING_EVERY_US + RTO_MULTIPLE * rto;
    return limit > SILENCE_MIN_US ? limit : SILENCE_MIN_US;
}

void on_ping(struct chord *c, const struct source *src, const struct wire_n_ping *m)
{
    struct peer *p = peer_of(c, &src->id);
    CHECK(p != NULL);
    struct wire_n_pong a = {.nonce = m->nonce};
    my_state(c, &a.state);
    send_on(c, src->link, &src->id, WIRE_n_pong, &a, true);
    note_state(c, p, &m->state);
}

void on_pong(struct chord *c, const struct source *src, const struct wire_n_pong *m)
{
    struct peer *p = peer_of(c, &src->id);
    CHECK(p != NULL);
    struct node_link *l = link_of(c, src->link);
    if (l != NULL && l->nonce_us != 0 && m->nonce == l->nonce) {
        note_round_trip(l, c->now - l->nonce_us);
        l->nonce_us = 0;
    }
    note_state(c, p, &m->state);
}

static void ping_link(struct chord *c, struct node_link *l)
{
    struct wire_n_ping m = {0};
    if (l->nonce_us == 0) { /* one round trip is measured at a time */
        l->nonce = rng_next(&c->rng);
        l->nonce_us = c->now;
    }
    m.nonce = l->nonce;
    my_state(c, &m.state);
    l->ping_us = c->now + jitter(c, PING_EVERY_US);
    send_on(c, l->link, &l->peer, WIRE_n_ping, &m, true);
}

/* This node's own report changed: everyone hears of it now, not with the next ping. */
void say_state(struct chord *c)
{
    c->state_news = false;
    for (size_t i = 0; i < c->links_n; i++)
        if (c->links[i].hello)
            ping_link(c, &c->links[i]);
}

void members_timer(struct chord *c)
{
    if (c->state == CHORD_LEFT)
        return;
    for (size_t i = 0; i < c->links_n; i++) {
        struct node_link *l = &c->links[i];
        if (!l->hello && c->now - l->opened_us > HELLO_WAIT_US) {
            drop_link(c, l, PEAL_E_CLOSED, "no hello came");
            i--;
        } else if (l->hello && c->now - l->heard_us > silence_limit(l)) {
            drop_link(c, l, PEAL_E_CLOSED, "it fell silent");
            i--;
        } else if (l->hello && c->now >= l->ping_us) {
            ping_link(c, l);
        }
    }
    dial_all(c);
}
