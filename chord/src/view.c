/* view: what a node shows of itself and of the ring. Successor and predecessor are each node's own
 * (the overlay's, peal/ring.h); the ring is whole when they are the neighbours in the sorted list
 * of live members. */
#include "inner.h"

#include <string.h>

size_t live_members(const struct chord *c, struct peal_id out[static WIRE_ROSTER_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < c->roster.n; i++)
        if (is_up(c, &c->roster.members[i]))
            out[n++] = c->roster.members[i];
    return n;
}

/* id's neighbours among the live; itself when it is alone. */
static void neighbours(const struct peal_id *live, size_t n, const struct peal_id *id,
                       struct peal_id *successor, struct peal_id *predecessor)
{
    *successor = *predecessor = *id;
    for (size_t i = 0; i < n; i++) {
        if (!id_eq(&live[i], id))
            continue;
        *successor = live[(i + 1) % n];
        *predecessor = live[(i + n - 1) % n];
    }
}

void my_state(const struct chord *c, struct wire_node_state *out)
{
    struct ring_view v;
    ring_look(c->ring, &v);
    *out = (struct wire_node_state){.epoch = c->state == CHORD_LEFT ? 0 : c->roster.epoch,
                                    .ready_epoch = c->state == CHORD_MEMBER ? c->roster.epoch : 0,
                                    .coordinator = c->coordinator,
                                    .clients = c->clients,
                                    .rows = c->rows,
                                    .leaving = c->state == CHORD_LEFT,
                                    .taking = take_pending(c),
                                    .alike = repair_alike(c),
                                    .unwell = c->store_err < 0};
    out->successor = v.successors_n > 0 ? v.successors[0] : c->cfg.self;
    out->predecessor = v.predecessor;
}

const char *chord_state_name(enum chord_state s)
{
    switch (s) {
    case CHORD_DISCOVERING:
        return "discovering";
    case CHORD_ASKING:
        return "asking";
    case CHORD_COPYING:
        return "copying";
    case CHORD_MEMBER:
        return "member";
    case CHORD_MOVING:
        return "moving";
    case CHORD_LEFT:
        return "left";
    }
    return "unknown";
}

enum chord_state chord_state(const struct chord *c)
{
    return c->state;
}

size_t chord_home(const struct chord *c, const struct peal_id *key,
                  struct peal_id out[static CHORD_REPLICAS_MAX + 1])
{
    return roster_home(&c->roster, key, out);
}

bool chord_is_home(const struct chord *c, const struct peal_id *key)
{
    return roster_is_home(&c->roster, key, &c->cfg.self);
}

bool chord_arc(const struct chord *c, struct peal_id *after, struct peal_id *upto)
{
    const struct roster *r = &c->roster;
    size_t mine = roster_index(r, &c->cfg.self);
    if (mine == r->n)
        return false;
    *after = *upto = c->cfg.self;
    for (size_t i = 1; i < r->n; i++) {
        const struct peal_id *before = &r->members[(mine + r->n - i) % r->n];
        if (!is_up(c, before))
            continue;
        *after = *before;
        break;
    }
    return true;
}

bool chord_is_up(const struct chord *c, const struct peal_id *node)
{
    return roster_has(&c->roster, node) && is_up(c, node);
}

uint64_t chord_stamp(struct chord *c, const struct step_event *ev)
{
    return ring_stamp(c->ring, ev);
}

const struct ring *chord_overlay(const struct chord *c)
{
    return c->ring;
}

void chord_set_load(struct chord *c, uint32_t clients)
{
    c->clients = clients;
}

static uint64_t incarnation_of(const struct chord *c, const struct peal_id *id)
{
    struct wire_contact w = {0};
    return ring_contact(c->ring, id, &w) < 0 ? 0 : w.incarnation;
}

/* One line of the ring; whether its own report agrees with the list. */
static bool fill_node(const struct chord *c, const struct peal_id *live, size_t n,
                      const struct peal_id *id, struct arena *a, struct wire_node *out)
{
    const struct peer *p = peer_of_const(c, id);
    bool self = is_self(c, id), up = is_up(c, id);
    struct wire_node_state s = {0};
    struct peal_id successor, predecessor;
    neighbours(live, n, id, &successor, &predecessor);
    if (self)
        my_state(c, &s);
    else if (p != NULL && p->state_known)
        s = p->state;
    *out = (struct wire_node){.id = *id, .clients = s.clients, .rows = s.rows};
    out->address = arena_copy(a, ring_address(c->ring, id));
    size_t at = roster_index(&c->roster, id);
    CHECK(at < c->roster.n);
    out->domain = arena_copy(a, domain_name(&c->roster.domains[at]));
    out->incarnation = incarnation_of(c, id);
    bool ready = s.ready_epoch == c->roster.epoch;
    out->state = WIRE_NODE_DOWN;
    if (up && s.unwell)
        out->state = WIRE_NODE_UNWELL;
    else if (up)
        out->state = ready ? WIRE_NODE_UP : WIRE_NODE_JOINING;
    else if (p != NULL && p->leaving && p->linked)
        out->state =
            WIRE_NODE_LEAVING; /* until its link is gone: then it is as far away as any other */
    if (!up)
        return true;
    out->successor = s.successor;
    out->predecessor = s.predecessor;
    return ready && s.epoch == c->roster.epoch && id_eq(&s.successor, &successor) &&
           id_eq(&s.predecessor, &predecessor);
}

void chord_ring(const struct chord *c, struct arena *a, struct wire_c_ring *out)
{
    struct peal_id live[WIRE_ROSTER_MAX];
    size_t n = live_members(c, live);
    *out = (struct wire_c_ring){.seen_by = c->cfg.self,
                                .at = c->wall,
                                .epoch = c->roster.epoch,
                                .coordinator = c->coordinator};
    out->nodes.v = arena_take(a, WIRE_ROSTER_MAX * sizeof *out->nodes.v);
    CHECK(out->nodes.v != NULL);
    out->whole = c->roster.epoch != 0;
    for (size_t i = 0; i < c->roster.n; i++)
        out->whole =
            fill_node(c, live, n, &c->roster.members[i], a, &out->nodes.v[out->nodes.n++]) &&
            out->whole;
    if (n == 0)
        out->whole = false;
}

/* Adds the k-th address of a member, if it has so many and there is room. */
static void add_server(const struct chord *c, const struct peal_id *id, size_t k, struct arena *a,
                       struct wire_server_list *out)
{
    struct wire_contact w = {0};
    if (out->n == WIRE_ROSTER_MAX || ring_contact(c->ring, id, &w) < 0)
        return;
    struct peal_bytes address = wire_address(w.addresses, k);
    if (address.n > 0)
        out->v[out->n++].address = arena_copy(a, address);
}

void chord_servers(const struct chord *c, struct arena *a, struct wire_server_list *out)
{
    struct peal_id live[WIRE_ROSTER_MAX];
    size_t n = live_members(c, live);
    out->v = arena_take(a, WIRE_ROSTER_MAX * sizeof *out->v);
    out->n = 0;
    CHECK(out->v != NULL);
    for (size_t k = 0; k < WIRE_CONTACT_ADDRESSES_MAX; k++) {
        add_server(c, &c->cfg.self, k, a, out);
        for (size_t i = 0; i < n; i++)
            if (!is_self(c, &live[i]))
                add_server(c, &live[i], k, a, out);
    }
}
