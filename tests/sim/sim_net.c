/* The simulated network: links like TCP, beacons like UDP. */
#include "sim_inner.h"

#include <stdlib.h>

enum { LINKS_FIRST = 256 };

/* ---- links ---- */

static struct link *link_at(struct sim *s, uint32_t handle)
{
    size_t i = (handle - 1) / 2;
    CHECK(handle > 0 && i < s->links_n);
    return &s->links[i];
}

struct end *end_of(struct sim *s, uint32_t handle)
{
    return &link_at(s, handle)->end[(handle - 1) % 2];
}

struct end *other_end(struct sim *s, uint32_t handle)
{
    return &link_at(s, handle)->end[handle % 2];
}

enum sim_way way_of(const struct sim *s, size_t from, size_t to)
{
    if (from >= SIM_NODES_MAX || to >= SIM_NODES_MAX)
        return SIM_THROUGH; /* a client */
    return (enum sim_way)s->cut[from][to];
}

static bool is_cut(const struct sim *s, size_t a, size_t b)
{
    return way_of(s, a, b) != SIM_THROUGH || way_of(s, b, a) != SIM_THROUGH;
}

static struct link *new_link(struct sim *s, enum step_link_kind kind, size_t a, size_t b)
{
    if (s->links_n == s->links_cap) {
        s->links_cap = s->links_cap == 0 ? LINKS_FIRST : 2 * s->links_cap;
        s->links = must(realloc(s->links, s->links_cap * sizeof *s->links));
    }
    struct link *l = &s->links[s->links_n];
    uint32_t base = (uint32_t)(2 * s->links_n++ + 1);
    *l = (struct link){.kind = kind,
                       .end = {{.handle = base, .node = a}, {.handle = base + 1, .node = b}}};
    return l;
}

/* Something goes over a link towards `to`, after everything before it. */
static uint64_t arrival(struct sim *s, struct end *to)
{
    uint64_t at = s->now + between_us(s, s->cfg.latency_us);
    if (at <= to->last)
        at = to->last + 1;
    to->last = at;
    return at;
}

/* One end is closed; the other hears of it, when it can. */
void close_end(struct sim *s, uint32_t handle)
{
    struct end *mine = end_of(s, handle), *other = other_end(s, handle);
    if (!mine->open)
        return;
    mine->open = false;
    if (!other->open)
        return;
    struct event ev = new_event(s, other->node == SIZE_MAX ? EV_CLIENT_CLOSED : EV_ARRIVE,
                                other->node, arrival(s, other));
    ev.link = other->handle;
    push(s, ev);
}

void link_step(struct sim *s, uint32_t handle, enum step_event_kind kind, uint64_t at, int err)
{
    const struct link *l = link_at(s, handle);
    const struct end *mine = end_of(s, handle), *other = other_end(s, handle);
    struct step_event ev = {.kind = kind,
                            .link = handle,
                            .link_kind = l->kind,
                            .dialled = mine == &l->end[0],
                            .err = err,
                            .address = peal_bytes_str("client")};
    if (other->node != SIZE_MAX) {
        ev.peer = s->nodes[other->node].id;
        ev.address = peal_bytes_str(s->nodes[other->node].address);
    }
    step_later(s, mine->node, at, &ev);
}

void dial(struct sim *s, size_t from, struct peal_bytes address)
{
    size_t to = SIZE_MAX;
    for (size_t i = 0; i < s->cfg.nodes; i++)
        if (peal_bytes_eq(peal_bytes_str(s->nodes[i].address), address) ||
            peal_bytes_eq(peal_bytes_str(s->nodes[i].also), address))
            to = i;
    struct step_event failed = {
        .kind = STEP_LINK_DOWN, .dialled = true, .address = address, .err = PEAL_E_CLOSED};
    if (to == SIZE_MAX) {
        step_later(s, from, s->now + REFUSED_US, &failed);
        return;
    }
    if (is_cut(s, from, to)) {
        step_later(s, from, s->now + DIAL_TIMEOUT_US, &failed);
        return;
    }
    struct event ev = new_event(s, EV_DIAL, from, s->now + between_us(s, s->cfg.latency_us));
    ev.to = to;
    push(s, ev);
}

/* A dial has come through to the other side. */
void dialled(struct sim *s, const struct event *ev)
{
    struct node *to = &s->nodes[ev->to];
    if (!to->running || to->left || is_cut(s, ev->node, ev->to)) {
        struct step_event failed = {.kind = STEP_LINK_DOWN,
                                    .dialled = true,
                                    .address = peal_bytes_str(to->address),
                                    .err = PEAL_E_CLOSED};
        step_later(s, ev->node, s->now + between_us(s, s->cfg.latency_us), &failed);
        return;
    }
    struct link *l = new_link(s, STEP_LINK_NODE, ev->node, ev->to);
    l->end[0].open = l->end[1].open = true;
    link_step(s, l->end[1].handle, STEP_LINK_UP, s->now, 0);
    link_step(s, l->end[0].handle, STEP_LINK_UP, arrival(s, &l->end[0]), 0);
}

void send_frame(struct sim *s, uint32_t handle, struct peal_bytes b)
{
    if (!end_of(s, handle)->open)
        return;
    struct end *to = other_end(s, handle);
    size_t from = end_of(s, handle)->node;
    if (s->cfg.sent != NULL && to->node != SIZE_MAX && from != SIZE_MAX)
        s->cfg.sent(s->cfg.ctx, from, to->node, b);
    struct event ev =
        new_event(s, to->node == SIZE_MAX ? EV_CLIENT_FRAME : EV_ARRIVE, to->node, arrival(s, to));
    ev.link = to->handle;
    ev.bytes = copy_of(b);
    ev.n = b.n;
    push(s, ev);
}

void beacon(struct sim *s, size_t from, struct peal_bytes b)
{
    for (size_t i = 0; s->cfg.discovery && i < s->cfg.nodes; i++) {
        bool lost = rng_below(&s->rng, 100) < s->cfg.beacon_loss;
        if (i == from || lost || way_of(s, from, i) != SIM_THROUGH || !s->nodes[i].running)
            continue;
        struct step_event ev = {.kind = STEP_BEACON, .bytes = b};
        step_later(s, i, s->now + between_us(s, s->cfg.latency_us), &ev);
    }
}

/* ---- clients ---- */

uint32_t sim_client_open(struct sim *s, size_t node)
{
    if (!s->nodes[node].running || s->nodes[node].left)
        return 0;
    struct link *l = new_link(s, STEP_LINK_CLIENT, SIZE_MAX, node);
    l->end[0].open = l->end[1].open = true;
    link_step(s, l->end[1].handle, STEP_LINK_UP, arrival(s, &l->end[1]), 0);
    return l->end[0].handle;
}

void sim_client_send(struct sim *s, uint32_t client, struct peal_bytes frame)
{
    send_frame(s, client, frame);
}

void sim_client_close(struct sim *s, uint32_t client)
{
    close_end(s, client);
}
