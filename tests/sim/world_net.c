/* world: the network: latencies, links, dials, cuts, beacons. */
#include "world_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINKS_FIRST = 1024,
    PORT = 7400,
    JITTER_SHARE = 20,           /* WIDE: a way takes up to a twentieth longer than its median */
    JITTER_US = 1000,            /* and up to so much more */
    DIAL_AGAIN_US = 1000 * 1000, /* of a dial that nobody answers; then twice as long, and so on */
    STOPPED_US = 50 * 1000,      /* how often a dial of a stopped process sees whether it goes on */
    LATE_WAYS = 8,               /* a reordered or doubled frame comes up to so many ways later */
};

/* Round trips in ms between eight places of the world: round numbers of the order in which public
 * clouds have them between their regions (with what light in glass needs as the least: a test sees
 * to that). They are of no provider and no date, and nothing that depends on one is to be read out
 * of them. Virginia, Oregon, Ireland, Frankfurt, Tokyo, Singapore, Mumbai, São Paulo. */
/* clang-format off */
static const uint16_t ROUND_TRIP_MS[WORLD_REGIONS][WORLD_REGIONS] = {
    {  1,  62,  68,  92, 150, 215, 190, 115 },
    { 62,   1, 122, 142,  98, 163, 218, 175 },
    { 68, 122,   1,  25, 203, 175, 122, 178 },
    { 92, 142,  25,   1, 225, 160, 112, 203 },
    {150,  98, 203, 225,   1,  70, 130, 257 },
    {215, 163, 175, 160,  70,   1,  57, 325 },
    {190, 218, 122, 112, 130,  57,   1, 300 },
    {115, 175, 178, 203, 257, 325, 300,   1 },
};
/* clang-format on */

uint32_t world_round_trip_ms(uint32_t a, uint32_t b)
{
    CHECK(a < WORLD_REGIONS && b < WORLD_REGIONS);
    return ROUND_TRIP_MS[a][b];
}

uint64_t world__latency(struct world *w, uint32_t from, uint32_t to)
{
    const uint64_t *us = w->cfg.latency_us;
    switch (w->cfg.latency) {
    case WORLD_CONSTANT:
        return us[0];
    case WORLD_UNIFORM:
        CHECK(us[0] <= us[1]);
        return us[0] + rng_below(&w->rng, us[1] - us[0] + 1);
    case WORLD_WIDE: {
        uint64_t way =
            (uint64_t)ROUND_TRIP_MS[w->nodes[from].region][w->nodes[to].region] * 1000 / 2;
        return way + rng_below(&w->rng, way / JITTER_SHARE + JITTER_US);
    }
    }
    return us[0];
}

static bool chance(struct world *w, uint32_t per_million)
{
    return per_million > 0 && rng_below(&w->rng, WORLD_PER_MILLION) < per_million;
}

/* ---- addresses ---- */

void world_address_text(uint32_t address, char out[static WIRE_ADDRESS_MAX])
{
    CHECK(address < WORLD_ADDRESSES_MAX);
    (void)snprintf(out, WIRE_ADDRESS_MAX, "10.%u.%u.%u:%d", address >> 16, address >> 8 & 0xff,
                   address & 0xff, (int)PORT);
}

/* NONE for what is no address here. */
static uint32_t address_of(struct peal_bytes text)
{
    char s[WIRE_ADDRESS_MAX + 1], again[WIRE_ADDRESS_MAX];
    unsigned a, b, c;
    if (peal_bytes_to_str(text, sizeof s, s) != 0 ||
        sscanf(s, "10.%3u.%3u.%3u:", &a, &b, &c) != 3 || a > 3 || b > 255 || c > 255)
        return NONE;
    world_address_text(a << 16 | b << 8 | c, again);
    return strcmp(s, again) == 0 ? a << 16 | b << 8 | c : NONE;
}

static void give_up(struct world *w, uint32_t *address)
{
    if (*address != NONE)
        w->owners[*address] = NONE;
    *address = NONE;
}

void world_move(struct world *w, uint32_t node, uint32_t address, bool torn)
{
    struct wnode *n = &w->nodes[node];
    CHECK(node < w->cfg.nodes && address < WORLD_ADDRESSES_MAX && !w->stepping);
    world_note(w, (uint64_t)node << 32 | address);
    give_up(w, &n->address);
    give_up(w, &n->also);
    if (w->owners[address] != NONE) {
        struct wnode *owner = &w->nodes[w->owners[address]];
        give_up(w, owner->address == address ? &owner->address : &owner->also);
    }
    n->address = address;
    w->owners[address] = node;
    for (uint32_t e = n->first_end; torn && e != NONE; e = w->links[e / 2].end[e % 2].next)
        w->links[e / 2].torn = true;
}

void world_also(struct world *w, uint32_t node, uint32_t address)
{
    struct wnode *n = &w->nodes[node];
    CHECK(node < w->cfg.nodes && address < WORLD_ADDRESSES_MAX && !w->stepping);
    CHECK(n->also == NONE && w->owners[address] == NONE);
    world_note(w, (uint64_t)node << 32 | address);
    n->also = address;
    w->owners[address] = node;
}

void world_networks(struct world *w, uint32_t node, uint8_t networks)
{
    CHECK(node < w->cfg.nodes);
    w->nodes[node].networks = networks;
}

void world_reach(struct world *w, uint32_t address, uint8_t networks)
{
    CHECK(address < WORLD_ADDRESSES_MAX);
    w->networks[address] = networks;
}

uint32_t world_unplug(struct world *w, uint32_t address)
{
    uint32_t torn = 0;
    world_reach(w, address, 0);
    for (uint32_t i = 0; i < w->links_n; i++) {
        struct wlink *l = &w->links[i];
        if (l->address != address || !(l->end[0].open || l->end[1].open))
            continue;
        l->torn = true;
        torn++;
    }
    return torn;
}

/* ---- cuts ---- */

void world_group(struct world *w, uint32_t node, uint32_t group)
{
    CHECK(node < w->cfg.nodes && group < WORLD_GROUPS_MAX);
    w->nodes[node].group = group;
}

void world_segment(struct world *w, uint32_t node, uint32_t segment)
{
    CHECK(node < w->cfg.nodes);
    w->nodes[node].segment = segment;
}

static enum world_cut cut_of(const struct world *w, uint32_t from, uint32_t to)
{
    return (enum world_cut)w->cut[w->nodes[from].group][w->nodes[to].group];
}

bool world_is_cut(const struct world *w, uint32_t from_node, uint32_t to_node)
{
    return cut_of(w, from_node, to_node) != WORLD_THROUGH;
}

static bool cut_somehow(const struct world *w, uint32_t a, uint32_t b)
{
    return world_is_cut(w, a, b) || world_is_cut(w, b, a);
}

/* What was held back tries again, in the order in which it came; what is cut still is held again.
 */
static void release_held(struct world *w)
{
    uint32_t i = w->held;
    w->held = w->held_last = NONE;
    while (i != NONE) {
        uint32_t next = w->parcels[i].next;
        world__repost(w, w->now, i);
        i = next;
    }
}

void world_cut(struct world *w, uint32_t from, uint32_t to, enum world_cut how)
{
    CHECK(from < WORLD_GROUPS_MAX && to < WORLD_GROUPS_MAX);
    world_note(w, (uint64_t)from << 32 | (uint64_t)to << 8 | (uint64_t)how);
    w->cut[from][to] = (uint8_t)how;
    release_held(w);
}

void world_heal(struct world *w)
{
    memset(w->cut, WORLD_THROUGH, sizeof w->cut);
    release_held(w);
}

/* ---- links ---- */

static struct end *end_at(struct world *w, uint32_t end)
{
    CHECK(end / 2 < w->links_n);
    return &w->links[end / 2].end[end % 2];
}

static struct end *other_of(struct world *w, uint32_t end)
{
    return end_at(w, end ^ 1);
}

static uint32_t handle_of(const struct world *w, uint32_t end)
{
    return w->links[end / 2].gen << PLACE_BITS | end;
}

/* The node's open end of that handle, or NONE: the core may be a step behind. */
static uint32_t end_of(struct world *w, uint32_t node, uint32_t handle)
{
    uint32_t end = handle & ((1u << PLACE_BITS) - 1);
    if (end / 2 >= w->links_n || handle_of(w, end) != handle)
        return NONE;
    const struct end *e = end_at(w, end);
    return e->open && e->node == node ? end : NONE;
}

static void open_end(struct world *w, uint32_t end, uint32_t node)
{
    struct wnode *n = &w->nodes[node];
    *end_at(w, end) = (struct end){.node = node, .next = n->first_end, .prev = NONE, .open = true};
    if (n->first_end != NONE)
        end_at(w, n->first_end)->prev = end;
    n->first_end = end;
    n->ends++;
}

static void link_release(struct world *w, uint32_t i)
{
    struct wlink *l = &w->links[i];
    if (++l->gen > GEN_MAX)
        return; /* never again */
    l->next = NONE;
    if (w->links_free == NONE)
        w->links_free = i;
    else
        w->links[w->links_free_last].next = i;
    w->links_free_last = i;
}

static void shut_end(struct world *w, uint32_t end)
{
    struct end *e = end_at(w, end);
    struct wnode *n = &w->nodes[e->node];
    CHECK(e->open && n->ends > 0);
    e->open = false;
    n->ends--;
    if (e->prev == NONE)
        n->first_end = e->next;
    else
        end_at(w, e->prev)->next = e->next;
    if (e->next != NONE)
        end_at(w, e->next)->prev = e->prev;
    if (!other_of(w, end)->open)
        link_release(w, end / 2);
}

static uint32_t link_take(struct world *w)
{
    if (w->links_free != NONE) {
        uint32_t i = w->links_free;
        w->links_free = w->links[i].next;
        return i;
    }
    if (w->links_n == w->links_cap) {
        w->links_cap = w->links_cap == 0 ? LINKS_FIRST : 2 * w->links_cap;
        CHECK(w->links_cap <= 1u << (PLACE_BITS - 1));
        w->links = world__must(realloc(w->links, w->links_cap * sizeof *w->links));
    }
    w->links[w->links_n].gen = 1;
    return w->links_n++;
}

/* When something sent now over the link comes to `end`, after everything before it. */
static uint64_t arrival(struct world *w, uint32_t end)
{
    struct end *e = end_at(w, end);
    uint64_t at = w->now + world__latency(w, other_of(w, end)->node, e->node);
    if (at < e->last)
        at = e->last;
    e->last = at;
    return at;
}

static void post_to(struct world *w, enum parcel_kind kind, uint32_t end, uint64_t at,
                    struct peal_bytes b)
{
    struct parcel p = {.kind = kind,
                       .node = end_at(w, end)->node,
                       .life = w->links[end / 2].gen,
                       .end = end,
                       .err = PEAL_E_CLOSED};
    world__post(w, at, &p, b);
}

static void tell(struct world *w, uint32_t end, uint32_t handle, enum step_event_kind kind, int err)
{
    const struct wlink *l = &w->links[end / 2];
    const struct end *e = &l->end[end % 2], *other = &l->end[end % 2 ^ 1];
    char text[WIRE_ADDRESS_MAX];
    bool dialled = end % 2 == 0;
    uint32_t address = dialled ? l->address : w->nodes[other->node].address;
    if (address != NONE)
        world_address_text(address, text);
    else
        (void)snprintf(text, sizeof text, "10.255.0.0:%d", (int)PORT);
    struct step_event ev = {.kind = kind,
                            .link = handle,
                            .link_kind = STEP_LINK_NODE,
                            .dialled = dialled,
                            .peer = w->nodes[other->node].id,
                            .address = peal_bytes_str(text),
                            .err = err};
    world__step(w, e->node, &ev);
}

/* A dial's handshake is over at the dialler. */
static void new_link(struct world *w, uint32_t from, uint32_t to, uint32_t address)
{
    uint32_t i = link_take(w);
    struct wlink *l = &w->links[i];
    l->address = address;
    l->torn = false;
    open_end(w, 2 * i, from);
    open_end(w, 2 * i + 1, to);
    w->figures.links++;
    post_to(w, PARCEL_UP, 2 * i + 1, arrival(w, 2 * i + 1), (struct peal_bytes){0});
    end_at(w, 2 * i)->told = true;
    tell(w, 2 * i, handle_of(w, 2 * i), STEP_LINK_UP, 0);
}

void world_link(struct world *w, uint32_t from, uint32_t to)
{
    CHECK(w->nodes[from].core != NULL && w->nodes[to].core != NULL && !w->stepping);
    new_link(w, from, to, w->nodes[to].address);
}

/* The other side is gone without a word. Once its host is there again, it answers what is sent with
 * a reset. */
static void send_to_nobody(struct world *w, uint32_t end)
{
    struct end *mine = end_at(w, end);
    uint32_t to = other_of(w, end)->node;
    if (mine->reset_due || w->nodes[to].host_down || w->links[end / 2].torn ||
        cut_somehow(w, mine->node, to))
        return;
    mine->reset_due = true;
    w->figures.resets++;
    uint64_t at = w->now + world__latency(w, mine->node, to) + world__latency(w, to, mine->node);
    post_to(w, PARCEL_FIN, end, at > mine->last ? at : mine->last, (struct peal_bytes){0});
}

void world__send(struct world *w, uint32_t node, uint32_t handle, struct peal_bytes b)
{
    uint32_t end = end_of(w, node, handle);
    if (end == NONE)
        return;
    w->figures.frames++;
    w->figures.bytes += b.n;
    uint32_t to = end ^ 1;
    if (!end_at(w, to)->open) {
        send_to_nobody(w, end);
        return;
    }
    if (w->links[end / 2].torn || chance(w, w->cfg.loss)) {
        w->figures.lost++;
        return;
    }
    uint64_t way = world__latency(w, node, end_at(w, to)->node);
    uint64_t late = w->now + way + rng_below(&w->rng, LATE_WAYS * way + 1);
    /* Before the other side's LINK_UP nothing can come. */
    if (end_at(w, to)->told && chance(w, w->cfg.reorder)) {
        w->figures.reordered++;
        post_to(w, PARCEL_FRAME, to, late, b);
        return;
    }
    post_to(w, PARCEL_FRAME, to, arrival(w, to), b);
    if (end_at(w, to)->told && chance(w, w->cfg.duplicate)) {
        w->figures.doubled++;
        post_to(w, PARCEL_FRAME, to, late, b);
    }
}

void world__close(struct world *w, uint32_t node, uint32_t handle)
{
    uint32_t end = end_of(w, node, handle);
    if (end == NONE)
        return;
    if (other_of(w, end)->open && !w->links[end / 2].torn)
        post_to(w, PARCEL_FIN, end ^ 1, arrival(w, end ^ 1), (struct peal_bytes){0});
    shut_end(w, end);
}

void world__drop_links(struct world *w, uint32_t node, bool loud)
{
    struct wnode *n = &w->nodes[node];
    while (n->first_end != NONE) {
        uint32_t end = n->first_end;
        if (loud)
            world__close(w, node, handle_of(w, end));
        else
            shut_end(w, end);
    }
}

bool world_inject(struct world *w, uint32_t from, uint32_t to, struct peal_bytes frame)
{
    CHECK(!w->stepping && frame.n > 0);
    for (uint32_t e = w->nodes[from].first_end; e != NONE; e = end_at(w, e)->next) {
        const struct end *other = other_of(w, e);
        if (other->node != to || !other->open)
            continue;
        world_note(w, (uint64_t)from << 32 | to);
        post_to(w, PARCEL_FRAME, e ^ 1, arrival(w, e ^ 1), frame);
        return true;
    }
    return false;
}

/* ---- dials ---- */

static void dial_fails(struct world *w, const struct parcel *dial)
{
    struct parcel p = *dial;
    p.kind = PARCEL_FAILED;
    p.err = PEAL_E_CLOSED;
    world__post(w, w->now, &p, (struct peal_bytes){0});
}

void world__dial(struct world *w, uint32_t node, struct peal_bytes address)
{
    struct parcel p = {.kind = PARCEL_DIAL,
                       .node = node,
                       .life = w->nodes[node].life,
                       .end = NONE,
                       .address = address_of(address),
                       .since_us = w->now};
    w->figures.dials++;
    world_note(w, p.address);
    if (p.address == NONE) { /* no address of this world: a name that does not resolve */
        p.kind = PARCEL_FAILED;
        p.err = PEAL_E_USAGE;
        world__post(w, w->now, &p, address);
        return;
    }
    uint32_t to = w->owners[p.address];
    uint64_t trip = world__latency(w, node, to == NONE ? node : to);
    trip += world__latency(w, to == NONE ? node : to, node);
    world__post(w, w->now + trip, &p, (struct peal_bytes){0});
}

enum answering { ANSWERS, STOPPED, SILENT };

/* Whether the dial goes unanswered, for now: the host is silent or cut off, or (STOPPED) has a
 * process that does not go on. */
static enum answering dialled_host(const struct world *w, const struct parcel *p)
{
    uint32_t to = w->owners[p->address];
    bool away = (w->nodes[p->node].networks & w->networks[p->address]) == 0;
    if (to == NONE || away || cut_somehow(w, p->node, to) ||
        (w->nodes[to].core == NULL && w->nodes[to].host_down))
        return SILENT;
    return w->nodes[to].paused ? STOPPED : ANSWERS;
}

/* What is not answered is said again, at growing intervals (the first after a second, as Linux does
 * with a SYN); what a stopped process was sent it finds when it goes on. True: kept, to be tried
 * again. */
static bool dial_again(struct world *w, uint32_t parcel, bool stopped)
{
    struct parcel *p = &w->parcels[parcel];
    uint64_t until = p->since_us + WORLD_DIAL_TIMEOUT_US, at = w->now + STOPPED_US;
    if (!stopped) {
        p->again_us = p->again_us == 0 ? DIAL_AGAIN_US : 2 * p->again_us;
        at = w->now + p->again_us;
    }
    if (w->now >= until)
        return false;
    world__repost(w, at < until ? at : until, parcel);
    return true;
}

/* A host that lives and does not listen refuses. True: the parcel was kept for later. */
static bool dial_goes_on(struct world *w, uint32_t parcel)
{
    struct parcel p = w->parcels[parcel];
    uint32_t to = w->owners[p.address];
    enum answering how = dialled_host(w, &p);
    if (how != ANSWERS && dial_again(w, parcel, how == STOPPED))
        return true;
    if (how != ANSWERS || w->nodes[to].core == NULL || w->nodes[to].leaving) {
        dial_fails(w, &p);
        return false;
    }
    if (p.kind == PARCEL_SHAKEN) {
        new_link(w, p.node, to, p.address);
        return false;
    }
    struct parcel next = p;
    next.kind = PARCEL_SHAKEN;
    next.again_us = 0;
    uint64_t trip = world__latency(w, p.node, to) + world__latency(w, to, p.node);
    world__post(w, w->now + trip, &next, (struct peal_bytes){0});
    return false;
}

static void dial_failed(struct world *w, const struct parcel *p)
{
    char text[WIRE_ADDRESS_MAX];
    struct step_event ev = {.kind = STEP_LINK_DOWN,
                            .link = STEP_NO_LINK,
                            .link_kind = STEP_LINK_NODE,
                            .dialled = true,
                            .err = p->err};
    if (p->address != NONE) {
        world_address_text(p->address, text);
        ev.address = peal_bytes_str(text);
    } else {
        ev.address = peal_bytes_of(p->buffer->bytes, p->n);
    }
    w->figures.dials_failed++;
    world__step(w, p->node, &ev);
}

/* ---- beacons ---- */

void world__beacon(struct world *w, uint32_t node, struct peal_bytes b)
{
    struct parcel p = {.kind = PARCEL_BEACON, .node = node, .end = NONE};
    w->figures.beacons++;
    world__post(w, w->now + world__latency(w, node, node), &p, b);
}

static void beacon_heard(struct world *w, const struct parcel *p)
{
    uint32_t from = p->node, segment = w->nodes[from].segment;
    for (uint32_t i = 0; i < w->cfg.nodes; i++) {
        const struct wnode *n = &w->nodes[i];
        if (i == from || n->core == NULL || n->paused || n->segment != segment ||
            world_is_cut(w, from, i) || chance(w, w->cfg.loss))
            continue;
        struct step_event ev = {.kind = STEP_BEACON,
                                .bytes = peal_bytes_of(p->buffer->bytes, p->n)};
        world__step(w, i, &ev);
    }
}

/* ---- arrival ---- */

/* At an end that is open. True: held back. */
static bool arrive_at_end(struct world *w, uint32_t i)
{
    struct parcel p = w->parcels[i];
    struct end *e = end_at(w, p.end);
    const struct end *other = other_of(w, p.end);
    enum world_cut cut = cut_of(w, other->node, e->node);
    if (cut == WORLD_HELD) {
        world__append(w, &w->held, &w->held_last, i);
        return true;
    }
    bool lost = cut == WORLD_LOST || w->links[p.end / 2].torn;
    if (lost && p.kind == PARCEL_UP) {
        shut_end(w, p.end); /* its handshake never ended, and its core never heard of it */
        return false;
    }
    if (lost) {
        w->figures.cut++;
        e->reset_due = false;
        return false;
    }
    if (p.kind == PARCEL_UP) {
        e->told = true;
        tell(w, p.end, handle_of(w, p.end), STEP_LINK_UP, 0);
    } else if (p.kind == PARCEL_FIN) {
        bool told = e->told;
        uint32_t handle = handle_of(w, p.end);
        shut_end(w, p.end);
        if (told)
            tell(w, p.end, handle, STEP_LINK_DOWN, p.err);
    } else {
        struct step_event ev = {.kind = STEP_RECEIVED,
                                .link = handle_of(w, p.end),
                                .bytes = peal_bytes_of(p.buffer->bytes, p.n)};
        w->figures.arrived += p.n;
        world__step(w, e->node, &ev);
    }
    return false;
}

bool world__arrive(struct world *w, uint32_t parcel)
{
    struct parcel p = w->parcels[parcel];
    switch (p.kind) {
    case PARCEL_FRAME:
    case PARCEL_UP:
    case PARCEL_FIN:
        return arrive_at_end(w, parcel);
    case PARCEL_DIAL:
    case PARCEL_SHAKEN:
        return dial_goes_on(w, parcel);
    case PARCEL_FAILED:
        dial_failed(w, &p);
        return false;
    case PARCEL_BEACON:
        beacon_heard(w, &p);
        return false;
    case PARCEL_SELF:
    case PARCEL_CALL:
    case PARCEL_END:
        break;
    }
    CHECK(p.kind < PARCEL_SELF); /* the others are world.c's */
    return false;
}
