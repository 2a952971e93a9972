/* ring: the object's memory, its life, where events and messages go, and what others may see. The
 * parts are listed in inner.h. */
#include "inner.h"

#include <string.h>

enum { ALIGN = 16 };
#define NO_INDEX UINT32_MAX

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- memory ---- */

struct bounds {
    uint32_t hints, links, finds, flights;
};

static uint32_t bound_or(uint32_t bound, uint32_t normal)
{
    return bound != 0 ? bound : normal;
}

static struct bounds bounds_of(const struct ring_config *cfg)
{
    return (struct bounds){.hints = bound_or(cfg->hints_max, RING_HINTS_DEFAULT),
                           .links = bound_or(cfg->links_max, RING_LINKS_DEFAULT),
                           .finds = bound_or(cfg->finds_max, RING_FINDS_DEFAULT),
                           .flights = bound_or(cfg->flights_max, RING_FLIGHTS_DEFAULT)};
}

static uint8_t successors_of(const struct ring_config *cfg)
{
    return cfg->successors != 0 ? cfg->successors : RING_SUCCESSORS_DEFAULT;
}

static uint64_t time_or(uint64_t us, uint64_t normal)
{
    return us != 0 ? us : normal;
}

static bool bounds_good(const struct ring_config *cfg)
{
    struct bounds b = bounds_of(cfg);
    return successors_of(cfg) <= RING_SUCCESSORS_MAX && b.hints >= RING_HINTS_MIN &&
           b.hints <= RING_HINTS_MAX && b.links > successors_of(cfg) && b.links <= RING_LINKS_MAX &&
           b.finds <= SLAB_MAX && b.flights <= SLAB_MAX;
}

size_t ring_size(const struct ring_config *cfg)
{
    if (!bounds_good(cfg))
        return sizeof(struct ring); /* ring_init says what is wrong */
    struct bounds b = bounds_of(cfg);
    return round_up(sizeof(struct ring)) + round_up(book_bytes(b.hints)) +
           round_up(sizeof(struct link) * b.links) + round_up(map_size(b.links, sizeof(uint32_t))) +
           round_up(slab_size(b.finds, sizeof(struct find))) +
           round_up(slab_size(b.flights, sizeof(struct flight))) + SCRATCH_BYTES;
}

static bool app_good(const struct ring_app *a)
{
    return a->up != NULL && a->down != NULL && a->message != NULL && a->found != NULL &&
           a->cast != NULL && a->changed != NULL && a->load != NULL && a->peer_load != NULL;
}

/* The longest any of the intervals may be: sums of them stay far from the end of a uint64_t. */
static const uint64_t INTERVAL_MAX_US = UINT64_C(24) * 3600 * SECOND;

static int take_times(struct ring_config *c)
{
    c->stabilise_us = time_or(c->stabilise_us, STABILISE_US);
    c->ping_us = time_or(c->ping_us, PING_US);
    c->silence_us = time_or(c->silence_us, SILENCE_US);
    c->seek_us = time_or(c->seek_us, c->joins_n > 0 ? SEEK_JOINS_US : SEEK_US);
    if (c->stabilise_us > INTERVAL_MAX_US || c->ping_us > INTERVAL_MAX_US ||
        c->silence_us > INTERVAL_MAX_US || c->seek_us > INTERVAL_MAX_US ||
        c->silence_us / 2 < c->ping_us)
        return PEAL_E_USAGE;
    return 0;
}

static int take_config(struct ring *r, const struct ring_config *cfg)
{
    if (!bounds_good(cfg) || !app_good(&cfg->app) || cfg->joins_n > RING_JOINS_MAX)
        return PEAL_E_USAGE;
    r->cfg = *cfg;
    memset(&r->cfg.contact, 0, sizeof r->cfg.contact);
    r->cfg.successors = r->r = successors_of(cfg);
    r->cfg.gossip_bytes = bound_or(cfg->gossip_bytes, RING_GOSSIP_DEFAULT);
    if (r->cfg.verify == NULL)
        r->cfg.verify = ring_contact_verify;
    for (size_t i = 0; i < cfg->joins_n; i++) {
        if (cfg->joins[i].n == 0 || cfg->joins[i].n > WIRE_ADDRESS_MAX)
            return PEAL_E_USAGE;
        memcpy(r->joins[i].address, cfg->joins[i].p, cfg->joins[i].n);
        r->joins[i].n = (uint8_t)cfg->joins[i].n;
        r->cfg.joins[i] = (struct peal_bytes){0};
    }
    int err = take_times(&r->cfg);
    return err < 0 ? err : ring__self_take(r, &cfg->contact);
}

int ring_init(void *mem, const struct ring_config *cfg, struct ring **out)
{
    CHECK(mem != NULL && (uintptr_t)mem % ALIGN == 0);
    struct ring *r = mem;
    memset(r, 0, sizeof *r);
    int err = take_config(r, cfg);
    if (err < 0)
        return err;
    struct bounds b = bounds_of(cfg);
    uint8_t *at = (uint8_t *)mem + round_up(sizeof *r);
    rng_init(&r->rng, cfg->seed);
    book_init(&r->book, at, b.hints);
    at += round_up(book_bytes(b.hints));
    r->links = (struct link *)at;
    r->links_cap = b.links;
    at += round_up(sizeof(struct link) * b.links);
    map_init(&r->handles, at, b.links, sizeof(uint32_t), &r->rng);
    at += round_up(map_size(b.links, sizeof(uint32_t)));
    slab_init(&r->finds, at, b.finds, sizeof(struct find));
    at += round_up(slab_size(b.finds, sizeof(struct find)));
    slab_init(&r->flights, at, b.flights, sizeof(struct flight));
    at += round_up(slab_size(b.flights, sizeof(struct flight)));
    arena_init(&r->scratch, at, SCRATCH_BYTES);
    CHECK(at + SCRATCH_BYTES == (uint8_t *)mem + ring_size(cfg));
    for (size_t p = 0; p < PARTS; p++)
        r->due[p] = UINT64_MAX;
    r->phase = RING_SEEKING;
    r->z.self = r->self.id;
    r->z.r = r->r;
    *out = r;
    return 0;
}

/* ---- what the parts use ---- */

void ring__note_call(struct ring *r, const struct step_event *ev, struct step_update *u)
{
    CHECK(ev->now_us >= r->now && ev->reader != NULL && u != NULL);
    r->now = ev->now_us;
    r->wall = ev->wall_ms;
    r->rd = ev->reader;
    r->u = u;
}

void ring__wake(struct ring *r, enum part p, uint64_t at_us)
{
    CHECK(p < PARTS);
    if (at_us < r->due[p])
        r->due[p] = at_us;
}

uint64_t ring__jitter(struct ring *r, uint64_t us)
{
    CHECK(us <= INTERVAL_MAX_US);
    return us / 2 + rng_below(&r->rng, us + 1);
}

const char *ring_phase_name(enum ring_phase p)
{
    switch (p) {
    case RING_SEEKING:
        return "seeking";
    case RING_SMALL:
        return "small";
    case RING_LARGE:
        return "large";
    case RING_LEFT:
        return "left";
    }
    return "unknown";
}

void ring__set_phase(struct ring *r, enum ring_phase p)
{
    CHECK(r->phase != RING_LEFT);
    if (p == r->phase)
        return;
    step_trace(r->u, STEP_INFO, "phase", "%s, was %s", ring_phase_name(p),
               ring_phase_name(r->phase));
    bool was = ring__is_member(r);
    r->phase = p;
    r->news = true;
    if (!was && ring__is_member(r))
        r->joined = true;
}

bool ring__is_member(const struct ring *r)
{
    return r->phase == RING_SMALL || r->phase == RING_LARGE;
}

bool ring__is_alone(const struct ring *r)
{
    return r->phase == RING_SEEKING || (r->phase == RING_SMALL && r->z.n == 0);
}

bool ring__is_self(const struct ring *r, const struct peal_id *id)
{
    return id_eq(id, &r->self.id);
}

const char *ring__short_id(const struct peal_id *id, char out[static 9])
{
    peal_hex(id->b, 4, out);
    return out;
}

void ring__my_state(const struct ring *r, struct wire_ring_state *out)
{
    *out = (struct wire_ring_state){
        .phase = (uint8_t)r->phase, .size = r->size, .coordinator = r->elect.coordinator};
    if (!ring__is_member(r))
        return;
    out->predecessor = r->z.prdc;
    if (r->z.n == 0)
        out->successor = r->self.id;
    else if (!r->z.succ[0].artificial)
        out->successor = r->z.succ[0].id;
}

/* From how densely the successors lie: they are a random sample of the ring. */
static uint32_t density_size(struct ring *r)
{
    uint8_t k = 0;
    while (k < r->z.n && !r->z.succ[k].artificial)
        k++;
    if (k == 0)
        return 1;
    const struct peal_id *last = &r->z.succ[k - 1].id;
    if (r->dense.k == k && id_eq(&r->dense.last, last))
        return r->dense.size;
    struct peal_id d = id_distance(&r->self.id, last);
    uint64_t width = 0;
    for (size_t i = 0; i < sizeof width; i++)
        width = width << 8 | d.b[i];
    uint64_t gap = width / k, n = UINT32_MAX;
    if (gap > 0) {
        n = UINT64_MAX / gap;
        n += UINT64_MAX % gap >= gap - gap / 2; /* rounded */
    }
    r->dense.k = k;
    r->dense.last = *last;
    r->dense.size = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    return r->dense.size;
}

/* Those known are counted, unless that is plainly too few for how densely the ring is peopled. */
bool ring__measure(struct ring *r)
{
    if (r->phase != RING_LARGE)
        return false; /* small.c counts */
    uint32_t known = r->book.living + 1, dense = density_size(r);
    uint32_t size = !r->cfg.no_hints && known >= dense / 2 ? known : dense;
    bool changed = size != r->size;
    r->size = size;
    return changed;
}

/* ---- up and down ---- */

void ring__node_up(struct ring *r, struct link *l)
{
    struct peal_id id = l->peer;
    uint32_t handle = l->handle;
    struct node *n = book_find(r, &id);
    CHECK(n != NULL && n->link != NO_INDEX && !n->up);
    bool back = n->dead;
    book_living(r, n);
    n->lost = n->left = false;
    dial_up(r, n);
    char text[9];
    struct peal_bytes at = dial_address(n);
    step_trace(r->u, STEP_INFO, "node", "%s is up at %.*s", ring__short_id(&id, text), (int)at.n,
               (const char *)at.p);
    small_up(r, l);
    upkeep_up(r, &id);
    route_up(r, &id);
    if (back)
        upkeep_candidate(r, &id);
    if ((l = ring__link_of(r, handle)) != NULL)
        merge_up(r, l);
    if (r->phase == RING_SMALL && (l = ring__link_of(r, handle)) != NULL)
        compare_tell(r, l);
    n = book_find(r, &id);
    if (n == NULL || n->link == NO_INDEX || n->up)
        return; /* one of the parts has closed it */
    n->up = true;
    r->cfg.app.up(r->cfg.app.ctx, r->u, &id);
}

static void tell_parts_dead(struct ring *r, const struct peal_id *id)
{
    small_dead(r, id);
    upkeep_dead(r, id);
    route_dead(r, id);
    finger_dead(r, id);
    elect_dead(r, id);
}

static void tell_down(struct ring *r, const struct peal_id *id, const char *why)
{
    struct node *n = book_find(r, id);
    char text[9];
    step_trace(r->u, STEP_INFO, "node", "%s is down: %s", ring__short_id(id, text), why);
    if (n == NULL || !n->up)
        return;
    n->up = false;
    r->cfg.app.down(r->cfg.app.ctx, r->u, id, why);
}

void ring__node_down(struct ring *r, const struct peal_id *id, const char *why)
{
    struct peal_id dead = *id; /* id may point into what the parts change */
    struct node *n = book_find(r, &dead);
    CHECK(n != NULL && n->link == NO_INDEX);
    bool near = n->mate || upkeep_needs(r, &dead), left = n->left;
    book_dead(r, n);
    n->lost = near && !left;
    if (n->lost)
        merge_lost(r);
    tell_parts_dead(r, &dead);
    n = book_find(r, &dead);
    if (n != NULL && near && left)
        gossip_begin(r, n, true, false); /* there is no doubt about it */
    else if (n != NULL && !left)
        dial_again(r, n);
    tell_down(r, &dead, why);
}

void ring__node_quiet(struct ring *r, const struct peal_id *id)
{
    struct peal_id idle = *id;
    small_dead(r, &idle);
    route_dead(r, &idle);
    tell_down(r, &idle, "only the link has ended");
}

void ring__node_dead(struct ring *r, struct node *n)
{
    struct peal_id id = n->contact.id;
    CHECK(n->link == NO_INDEX);
    if (!n->dead) /* else it is known since its stamp */
        book_dead(r, n);
    tell_parts_dead(r, &id);
}

void ring__node_state(struct ring *r, struct link *l, const struct wire_ring_state *s)
{
    uint32_t handle = l->handle;
    CHECK(l->hello);
    l->state = *s;
    small_state(r, l);
    if ((l = ring__link_of(r, handle)) != NULL)
        elect_state(r, l);
}

/* ---- messages ---- */

/* What a peer says of itself in the message, or NULL. */
static const struct wire_ring_state *state_in(uint16_t type, const union wire_any *m)
{
    switch (type) {
    case WIRE_r_hello:
        return &m->r_hello.state;
    case WIRE_r_ping:
        return &m->r_ping.state;
    case WIRE_r_pong:
        return &m->r_pong.state;
    case WIRE_r_view:
        return &m->r_view.state;
    case WIRE_r_notify:
        return &m->r_notify.state;
    default:
        return NULL;
    }
}

static void dispatch_rest(struct ring *r, struct link *l, uint16_t type, const union wire_any *m)
{
    switch (type) {
    case WIRE_r_rumours:
        gossip_heard(r, l, &m->r_rumours.rumours);
        break;
    case WIRE_r_compare:
        ring__on_compare(r, l, &m->r_compare);
        break;
    case WIRE_r_known:
        ring__on_known(r, l, &m->r_known);
        break;
    case WIRE_r_cast:
        ring__on_cast(r, l, &m->r_cast);
        break;
    case WIRE_r_elect:
        ring__on_elect(r, l, &m->r_elect);
        break;
    case WIRE_r_elected:
        ring__on_elected(r, l, &m->r_elected);
        break;
    case WIRE_r_bye:
        ring__on_bye(r, l, &m->r_bye);
        break;
    default:
        ring__drop(r, l, PEAL_E_MALFORMED, "not a message that is known here");
        break;
    }
}

static void dispatch(struct ring *r, struct link *l, uint16_t type, const union wire_any *m)
{
    switch (type) {
    case WIRE_r_hello:
        ring__on_hello(r, l, &m->r_hello);
        break;
    case WIRE_r_ping:
        ring__on_ping(r, l, &m->r_ping);
        break;
    case WIRE_r_pong:
        ring__on_pong(r, l, &m->r_pong);
        break;
    case WIRE_r_query:
        ring__on_query(r, l, &m->r_query);
        break;
    case WIRE_r_view:
        ring__on_view(r, l, &m->r_view);
        break;
    case WIRE_r_notify:
        ring__on_notify(r, l, &m->r_notify);
        break;
    case WIRE_r_find:
        ring__on_find(r, l, &m->r_find);
        break;
    case WIRE_r_find_ack:
        ring__on_find_ack(r, l, &m->r_find_ack);
        break;
    case WIRE_r_found:
        ring__on_found(r, l, &m->r_found);
        break;
    default:
        dispatch_rest(r, l, type, m);
        break;
    }
}

/* NULL: the message may be dispatched; else what is wrong with it, and *err. */
static const char *wrong_with(struct ring *r, const struct link *l, uint16_t type,
                              const union wire_any *m, int *err)
{
    const struct wire_ring_state *s = state_in(type, m);
    const struct peal_id *to = &m->r_hello.to; /* every message between nodes begins with it */
    *err = PEAL_E_MALFORMED;
    if (!ring__is_self(r, to) && !(type == WIRE_r_hello && id_is_zero(to))) {
        *err = PEAL_E_REFUSED;
        return "a message for another node";
    }
    if (!l->hello && type != WIRE_r_hello && (type != WIRE_r_bye || m->r_bye.code == 0))
        return "hello must come first";
    if (s != NULL && s->phase > RING_LEFT)
        return "a phase that there is not";
    return NULL;
}

static void on_link_message(struct ring *r, struct link *l, struct peal_bytes bytes)
{
    union wire_any m;
    uint16_t type = 0;
    unsigned number = bytes.n < 2 ? 0 : (unsigned)bytes.p[0] << 8 | bytes.p[1];
    if (number >= WIRE_FIRST_CLIENT) { /* scratch has no room for them */
        ring__drop(r, l, PEAL_E_MALFORMED, "not a message between nodes");
        return;
    }
    int err = wire_decode(bytes.p, bytes.n, &type, &m, sizeof m, &r->scratch);
    if (err < 0) {
        ring__drop(r, l, PEAL_E_MALFORMED, err_prose(err));
        return;
    }
    const char *why = wrong_with(r, l, type, &m, &err);
    if (why != NULL) {
        ring__drop(r, l, err, why);
        return;
    }
    l->heard_us = r->now;
    l->asked_us = 0;
    if (ring__is_use(type))
        l->used_us = r->now;
    if (clk_seen(&r->clk, m.r_hello.stamp, r->wall) < 0 && !l->hello)
        step_trace(r->u, STEP_WARN, "clock", "a node's clock is far ahead of this one's");
    if (type >= WIRE_FIRST_RING) {
        dispatch(r, l, type, &m);
        return;
    }
    struct peal_id from = l->peer;
    r->cfg.app.message(r->cfg.app.ctx, r->u, &from, type, &m);
}

static void on_received(struct ring *r, const struct step_event *ev)
{
    if (ev->link != STEP_SELF) {
        struct link *l = ring__link_of(r, ev->link);
        if (l != NULL) /* else it was closed meanwhile */
            on_link_message(r, l, ev->bytes);
        return;
    }
    union wire_any m;
    uint16_t type = 0;
    int err = wire_decode(ev->bytes.p, ev->bytes.n, &type, &m, sizeof m, &r->scratch);
    CHECK(err == 0 && type < WIRE_FIRST_RING);
    r->cfg.app.message(r->cfg.app.ctx, r->u, &r->self.id, type, &m);
}

/* ---- events ---- */

static void on_start(struct ring *r)
{
    CHECK(!r->started);
    r->started = true;
    r->start_us = r->now;
    book_load(r);
    small_start(r);
    dial_start(r);
    gossip_start(r);
    compare_start(r);
    merge_start(r);
    elect_start(r);
    beacon_start(r);
    finger_start(r);
}

/* The host's word on this node's own addresses. */
static void on_contact(struct ring *r, struct peal_bytes bytes)
{
    union wire_any m;
    uint16_t type = 0;
    int err = wire_decode(bytes.p, bytes.n, &type, &m, sizeof m, &r->scratch);
    CHECK(err == 0 && type == WIRE_n_contacts && m.n_contacts.contacts.n == 1);
    const struct wire_contact *w = &m.n_contacts.contacts.v[0];
    CHECK(ring__is_self(r, &w->id) && w->incarnation > r->self.incarnation);
    err = ring__self_take(r, w);
    CHECK(err == 0);
    struct peal_bytes a;
    for (size_t i = 0; (a = wire_address(w->addresses, i)).n > 0; i++)
        step_trace(r->u, STEP_INFO, "address", "this node is %sat %.*s", i == 0 ? "" : "also ",
                   (int)a.n, (const char *)a.p);
    gossip_self(r);
}

static void end_finds(struct ring *r)
{
    uint32_t at = 0, handle;
    const struct find *f;
    while ((f = slab_each(&r->finds, &at, &handle)) != NULL) {
        uint64_t token = f->token;
        bool app = f->what == FIND_FOR_APP;
        slab_release(&r->finds, handle);
        if (app)
            r->cfg.app.found(r->cfg.app.ctx, r->u, token, PEAL_E_UNAVAILABLE, NULL);
    }
}

static void on_leave(struct ring *r)
{
    uint32_t byes = 0;
    for (uint32_t i = 0; i < r->links_n; i++) {
        struct wire_r_bye m = {.code = 0};
        if (r->links[i].hello && byes++ < LEAVE_BYES)
            ring__say_on(r, &r->links[i], WIRE_r_bye, &m);
    }
    ring__set_phase(r, RING_LEFT);
    for (size_t p = 0; p < PARTS; p++)
        r->due[p] = UINT64_MAX;
    while (r->links_n > 0) {
        struct link *l = &r->links[--r->links_n];
        struct peal_id id = l->peer;
        struct node *n = book_find(r, &id);
        step_close(r->u, l->handle, PEAL_E_CLOSED, "this node leaves");
        bool was = map_del(&r->handles, &l->handle);
        CHECK(was);
        if (n == NULL || n->link != r->links_n)
            continue;
        bool told = n->up;
        n->link = NO_INDEX;
        n->up = false;
        if (told)
            r->cfg.app.down(r->cfg.app.ctx, r->u, &id, "this node leaves");
    }
    end_finds(r);
}

static void on_event(struct ring *r, const struct step_event *ev)
{
    union wire_any m;
    uint16_t type = 0;
    switch (ev->kind) {
    case STEP_START:
        on_start(r);
        break;
    case STEP_RECEIVED:
        on_received(r, ev);
        break;
    case STEP_LINK_UP:
        ring__on_link_up(r, ev);
        break;
    case STEP_LINK_DOWN:
        ring__on_link_down(r, ev);
        break;
    case STEP_BEACON:
        if (ev->bytes.n >= 2 && ev->bytes.p[0] == 0 && ev->bytes.p[1] == WIRE_m_beacon &&
            wire_decode(ev->bytes.p, ev->bytes.n, &type, &m, sizeof m, &r->scratch) == 0)
            ring__on_beacon(r, &m.m_beacon);
        break;
    case STEP_CONTACT:
        on_contact(r, ev->bytes);
        break;
    case STEP_LEAVE:
        on_leave(r);
        break;
    case STEP_TIMER:
    case STEP_WORKED:      /* this core asks for no work */
    case STEP_STORE_STATE: /* and keeps nothing that must be durable */
        break;
    }
}

static void run_part(struct ring *r, enum part p)
{
    switch (p) {
    case PART_LINKS:
        links_timer(r);
        break;
    case PART_DIAL:
        dial_timer(r);
        break;
    case PART_UPKEEP:
        upkeep_timer(r);
        break;
    case PART_SMALL:
        small_timer(r);
        break;
    case PART_ROUTE:
        route_timer(r);
        break;
    case PART_FINGER:
        finger_timer(r);
        break;
    case PART_GOSSIP:
        gossip_timer(r);
        break;
    case PART_COMPARE:
        compare_timer(r);
        break;
    case PART_MERGE:
        merge_timer(r);
        break;
    case PART_ELECT:
        elect_timer(r);
        break;
    case PART_BEACON:
        beacon_timer(r);
        break;
    case PART_BOOK:
        book_timer(r);
        break;
    case PARTS:
        break;
    }
}

/* Every part at most once a step: one that wakes itself or another for now has its turn in the next
 * TIMER. */
static void run_due(struct ring *r)
{
    for (size_t p = 0; p < PARTS && r->phase != RING_LEFT; p++) {
        if (r->due[p] > r->now)
            continue;
        r->due[p] = UINT64_MAX;
        run_part(r, (enum part)p);
    }
}

/* What a new member does, or one whose eligibility has changed; not where it became so, since the
 * part that made it one is in the middle of its work there. */
static void begin(struct ring *r)
{
    bool joined = r->joined && ring__is_member(r), stands = r->stands;
    r->joined = r->stands = false;
    if (joined)
        route_ready(r);
    if (joined) {
        elect_start(r);
        finger_start(r);
        compare_start(r);
        merge_start(r);
    }
    if (stands)
        elect_eligible(r);
}

void ring_step(struct ring *r, const struct step_event *ev, struct step_update *u)
{
    ring__note_call(r, ev, u);
    CHECK(r->started == (ev->kind != STEP_START));
    if (r->phase != RING_LEFT)
        on_event(r, ev);
    else if (ev->kind == STEP_LINK_UP && ev->link_kind == STEP_LINK_NODE)
        step_close(u, ev->link, PEAL_E_CLOSED, "this node has left");
    begin(r);
    run_due(r);
    begin(r);
    if (ring__measure(r))
        r->news = true;
    if (r->news) {
        r->news = false;
        beacon_changed(r);
        if (ring__is_alone(r))
            ring__wake(r, PART_DIAL, r->now);
        r->cfg.app.changed(r->cfg.app.ctx, u);
    }
    r->scratch.used = 0;
}

uint64_t ring_deadline(const struct ring *r)
{
    uint64_t at = UINT64_MAX;
    if (r->phase == RING_LEFT)
        return at;
    for (size_t p = 0; p < PARTS; p++)
        if (r->due[p] < at)
            at = r->due[p];
    return at;
}

/* ---- operations ---- */

int ring_find(struct ring *r, const struct step_event *ev, struct step_update *u, uint64_t token,
              const struct peal_id *key, uint64_t timeout_us)
{
    if (r->phase == RING_LEFT)
        return PEAL_E_CLOSED;
    ring__note_call(r, ev, u);
    size_t mark = r->scratch.used;
    int err = route_begin(r, FIND_FOR_APP, RING_FIND_OWNER, key, NULL, token, timeout_us);
    r->scratch.used = mark;
    return err;
}

static uint32_t want_at(const struct ring *r, const struct peal_id *id)
{
    uint32_t i = 0;
    while (i < r->wants_n && !id_eq(&r->wants[i], id))
        i++;
    return i;
}

int ring_want(struct ring *r, const struct peal_id *id, bool want)
{
    struct node *n = book_find(r, id);
    uint32_t at = want_at(r, id);
    if (want && at == r->wants_n) {
        if (r->wants_n == RING_WANTS_MAX)
            return PEAL_E_FULL;
        r->wants[r->wants_n++] = *id;
    } else if (!want && at < r->wants_n) {
        r->wants[at] = r->wants[--r->wants_n];
    }
    CHECK(r->wants_n <= RING_WANTS_MAX);
    if (n == NULL)
        return 0;
    n->wanted = want;
    if (want)
        ring__reach(r, n);
    return 0;
}

int ring_send(struct ring *r, const struct step_event *ev, struct step_update *u,
              const struct peal_id *to, uint16_t type, void *msg, bool eager)
{
    CHECK(type > 0 && type < WIRE_FIRST_RING);
    ring__note_call(r, ev, u);
    struct link *l = NULL;
    if (!ring__is_self(r, to)) {
        l = ring__link_to(r, to);
        if (l == NULL)
            return PEAL_E_UNAVAILABLE;
    }
    ring__send_app(r, l, type, msg, eager);
    return 0;
}

void ring_set_eligible(struct ring *r, bool eligible)
{
    if (r->cfg.eligible == eligible)
        return;
    r->cfg.eligible = eligible;
    r->stands = true;
    ring__wake(r, PART_ELECT, r->now);
}
