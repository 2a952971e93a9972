/* chord: the object's memory, its life, and where events and messages go. The parts are listed in
 * inner.h. */
#include "inner.h"

#include <string.h>

_Static_assert((int)WINDOW_IDS <= (int)WIRE_PAGE_IDS, "a window's ids fit into a page");

enum { ALIGN = 16 };

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static uint32_t bound_or(uint32_t bound, uint32_t normal)
{
    return bound != 0 ? bound : normal;
}

static struct bounds bounds_of(const struct chord_config *cfg)
{
    struct bounds b = {.puts = bound_or(cfg->puts_max, CHORD_PUTS_DEFAULT),
                       .regs = bound_or(cfg->regs_max, CHORD_REGS_DEFAULT),
                       .reads = bound_or(cfg->reads_max, CHORD_READS_DEFAULT),
                       .blocks = bound_or(cfg->bodies_max, CHORD_BODIES_DEFAULT) / POOL_BLOCK,
                       .cached = bound_or(cfg->cached_max, CHORD_CACHED_DEFAULT),
                       .cached_blocks =
                           bound_or(cfg->cached_bytes, CHORD_CACHED_BYTES_DEFAULT) / POOL_BLOCK};
    CHECK(b.puts <= SLAB_MAX && b.regs <= SLAB_MAX - TAKE_MAX && b.reads <= SLAB_MAX);
    CHECK(b.blocks >= WIRE_BODY_MAX / POOL_BLOCK && b.cached <= SLAB_MAX);
    CHECK(b.cached_blocks >= WIRE_REGISTER_MAX / POOL_BLOCK);
    return b;
}

static struct ring_config ring_config_of(struct chord *c, const struct chord_config *cfg)
{
    struct ring_config r = {
        .contact = cfg->contact, .joins_n = cfg->joins_n, .remember = true, .seed = ~cfg->seed};
    for (size_t i = 0; i < cfg->joins_n && i < RING_JOINS_MAX; i++)
        r.joins[i] = cfg->joins[i];
    peers_app(c, &r.app);
    return r;
}

/* What takes registers in has room of its own: the app's operations may be waiting for that. */
static uint32_t regs_of(const struct bounds *b)
{
    return b->regs + TAKE_MAX;
}

static uint32_t slots_of(const struct bounds *b)
{
    return regs_of(b) < REG_SLOTS ? regs_of(b) : REG_SLOTS;
}

size_t chord_size(const struct chord_config *cfg)
{
    struct bounds b = bounds_of(cfg);
    struct ring_config ring = ring_config_of(NULL, cfg);
    return round_up(sizeof(struct chord)) + round_up(ring_size(&ring)) + SCRATCH_BYTES +
           round_up(slab_size(regs_of(&b), sizeof(struct reg_op))) +
           round_up(slab_size(slots_of(&b), sizeof(struct reg_slot))) +
           round_up(map_size(b.regs, ID_BYTES)) + round_up(cache_size(&b)) +
           round_up(slab_size(b.puts, sizeof(struct put_op))) +
           round_up(slab_size(b.reads, sizeof(struct read_op))) + round_up(pool_size(b.blocks));
}

static int take_config(struct chord *c, const struct chord_config *cfg)
{
    if (cfg->replicas > CHORD_REPLICAS_MAX || cfg->joins_n > CHORD_JOINS_MAX ||
        cfg->expect > WIRE_ROSTER_MAX || cfg->app.reg_change == NULL || cfg->app.reg_done == NULL ||
        cfg->app.reg_same == NULL || cfg->app.set_done == NULL || cfg->app.set_rows == NULL ||
        cfg->app.row_stored == NULL || cfg->app.message == NULL || cfg->app.found == NULL ||
        cfg->app.changed == NULL)
        return PEAL_E_USAGE;
    if (!id_eq(&cfg->contact.id, &cfg->self) || cfg->repair_bytes > CHORD_REPAIR_BYTES_MAX)
        return PEAL_E_USAGE;
    if (domain_take(&c->domain, cfg->domain) < 0)
        return PEAL_E_USAGE;
    c->cfg = *cfg;
    c->cfg.domain = (struct peal_bytes){0};
    c->joins_n = cfg->joins_n;
    memset(&c->cfg.contact, 0, sizeof c->cfg.contact);
    for (size_t i = 0; i < cfg->joins_n; i++) {
        if (cfg->joins[i].n == 0 || cfg->joins[i].n > WIRE_ADDRESS_MAX)
            return PEAL_E_USAGE;
        memcpy(c->joins[i].address, cfg->joins[i].p, cfg->joins[i].n);
        c->joins[i].n = cfg->joins[i].n;
        c->cfg.joins[i] = (struct peal_bytes){0};
    }
    return 0;
}

/* Where the memory after it begins. */
static uint8_t *regs_init(struct chord *c, uint8_t *at, const struct bounds *b)
{
    struct rng g;
    rng_init(&g, c->cfg.seed ^ UINT64_C(0x7265676973746572)); /* the maps' own */
    slab_init(&c->regs, at, regs_of(b), sizeof(struct reg_op));
    at += round_up(slab_size(regs_of(b), sizeof(struct reg_op)));
    slab_init(&c->slots, at, slots_of(b), sizeof(struct reg_slot));
    at += round_up(slab_size(slots_of(b), sizeof(struct reg_slot)));
    map_init(&c->turns, at, b->regs, ID_BYTES, &g);
    at += round_up(map_size(b->regs, ID_BYTES));
    cache_init(&c->cache, at, b, &g);
    c->trip_us = REG_TRIP_FIRST_US;
    return at + round_up(cache_size(b));
}

int chord_init(void *mem, const struct chord_config *cfg, struct chord **out)
{
    CHECK(mem != NULL && (uintptr_t)mem % ALIGN == 0);
    struct chord *c = mem;
    struct bounds b = bounds_of(cfg);
    uint8_t *at = (uint8_t *)mem + round_up(sizeof *c);
    memset(c, 0, sizeof *c);
    int err = take_config(c, cfg);
    if (err < 0)
        return err;
    rng_init(&c->rng, cfg->seed);
    struct rng salt;
    rng_init(&salt, ~cfg->seed); /* apart, so that what follows from the seed stays the same */
    c->salt = rng_next(&salt);
    c->state = CHORD_DISCOVERING;
    c->ops_us = UINT64_MAX;
    arena_init(&c->scratch, at, SCRATCH_BYTES);
    at += SCRATCH_BYTES;
    at = regs_init(c, at, &b);
    slab_init(&c->puts, at, b.puts, sizeof(struct put_op));
    at += round_up(slab_size(b.puts, sizeof(struct put_op)));
    slab_init(&c->reads, at, b.reads, sizeof(struct read_op));
    at += round_up(slab_size(b.reads, sizeof(struct read_op)));
    pool_init(&c->pool, at, b.blocks);
    at += round_up(pool_size(b.blocks));
    struct ring_config ring = ring_config_of(c, cfg);
    err = ring_init(at, &ring, &c->ring);
    if (err < 0)
        return err;
    *out = c;
    return 0;
}

void note_call(struct chord *c, const struct step_event *ev, struct step_update *u)
{
    CHECK(ev->now_us >= c->now && ev->reader != NULL && u != NULL);
    c->now = ev->now_us;
    c->wall = ev->wall_ms;
    c->rd = ev->reader;
    c->at = (struct step_event){
        .kind = STEP_TIMER, .now_us = ev->now_us, .wall_ms = ev->wall_ms, .reader = ev->reader};
    c->ev = &c->at;
    c->u = u;
}

uint64_t jitter(struct chord *c, uint64_t us)
{
    return us / 2 + rng_below(&c->rng, us + 1);
}

void hold_answer(struct chord *c)
{
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_str("held"), (struct peal_bytes){0});
}

const char *short_id(const struct peal_id *id, char out[static 9])
{
    peal_hex(id->b, 4, out);
    return out;
}

void set_state(struct chord *c, enum chord_state s)
{
    if (s == c->state)
        return;
    step_trace(c->u, STEP_INFO, "state", "%s, was %s", chord_state_name(s),
               chord_state_name(c->state));
    c->state = s;
    c->changed = c->state_news = true;
    coordinator_update(c);
}

/* ---- messages ---- */

static void dispatch_data(struct chord *c, const struct source *src, uint16_t type,
                          union wire_any *m)
{
    switch (type) {
    case WIRE_n_reg_prepare:
        on_reg_prepare(c, src, &m->n_reg_prepare);
        break;
    case WIRE_n_reg_promise:
        on_reg_promise(c, src, &m->n_reg_promise);
        break;
    case WIRE_n_reg_accept:
        on_reg_accept(c, src, &m->n_reg_accept);
        break;
    case WIRE_n_reg_accepted:
        on_reg_accepted(c, src, &m->n_reg_accepted);
        break;
    case WIRE_n_set_put:
        on_set_put(c, src, &m->n_set_put);
        break;
    case WIRE_n_set_ok:
        on_set_ok(c, src, &m->n_set_ok);
        break;
    case WIRE_n_set_del:
        on_set_del(c, src, &m->n_set_del);
        break;
    case WIRE_n_set_list:
        on_set_list(c, src, &m->n_set_list);
        break;
    case WIRE_n_set_get:
        on_set_get(c, src, &m->n_set_get);
        break;
    case WIRE_n_set_page:
        on_set_page(c, src, &m->n_set_page);
        break;
    default:
        break;
    }
}

static void dispatch_repair(struct chord *c, const struct source *src, uint16_t type,
                            union wire_any *m)
{
    switch (type) {
    case WIRE_n_arc_digest:
        on_arc_digest(c, src, &m->n_arc_digest);
        break;
    case WIRE_n_arc_items:
        on_arc_items(c, src, &m->n_arc_items);
        break;
    case WIRE_n_pull:
        on_pull(c, src, &m->n_pull);
        break;
    case WIRE_n_records:
        on_records(c, src, &m->n_records);
        break;
    case WIRE_n_copy:
        on_copy(c, src, &m->n_copy);
        break;
    case WIRE_n_copy_page:
        on_copy_page(c, src, &m->n_copy_page);
        break;
    default:
        break;
    }
}

void dispatch(struct chord *c, const struct source *src, uint16_t type, union wire_any *m)
{
    switch (type) {
    case WIRE_n_state:
        on_state(c, src, &m->n_state);
        break;
    case WIRE_n_admit:
        on_admit(c, src, &m->n_admit);
        break;
    case WIRE_n_roster:
        roster_learn(c, src, &m->n_roster.roster, m->n_roster.skips);
        break;
    case WIRE_n_remove:
        on_remove(c, src, &m->n_remove);
        break;
    case WIRE_n_removed:
        on_removed(c, src, &m->n_removed);
        break;
    case WIRE_n_other:
        on_other(c, src, &m->n_other);
        break;
    case WIRE_n_former:
        on_former(c, src, &m->n_former);
        break;
    case WIRE_n_former_is:
        on_former_is(c, src, &m->n_former_is);
        break;
    case WIRE_n_roster_prepare:
        on_roster_prepare(c, src, &m->n_roster_prepare);
        break;
    case WIRE_n_roster_promise:
        on_roster_promise(c, src, &m->n_roster_promise);
        break;
    case WIRE_n_roster_accept:
        on_roster_accept(c, src, &m->n_roster_accept);
        break;
    case WIRE_n_roster_accepted:
        on_roster_accepted(c, src, &m->n_roster_accepted);
        break;
    default:
        if (type >= WIRE_n_arc_digest)
            dispatch_repair(c, src, type, m);
        else
            dispatch_data(c, src, type, m);
        break;
    }
}

void message(struct chord *c, const struct peal_id *from, uint16_t type, union wire_any *m)
{
    struct source src = {.id = *from};
    if (type < WIRE_FIRST_SERVICE)
        dispatch(c, &src, type, m);
    else if (is_self(c, from) || chord_is_up(c, from))
        c->cfg.app.message(c->cfg.app.ctx, c->u, from, type, m);
}

int chord_find(struct chord *c, const struct step_event *ev, struct step_update *u, uint64_t token,
               const struct peal_id *key, uint64_t timeout_us)
{
    note_call(c, ev, u);
    return ring_find(c->ring, ev, u, token, key, timeout_us);
}

int chord_send(struct chord *c, struct step_update *u, const struct peal_id *to, uint16_t type,
               void *msg, bool eager)
{
    CHECK(type >= WIRE_FIRST_SERVICE && type < WIRE_FIRST_RING);
    c->u = u;
    if (!is_self(c, to) && !chord_is_up(c, to))
        return PEAL_E_UNAVAILABLE;
    return ring_send(c->ring, c->ev, u, to, type, msg, eager);
}

/* ---- events ---- */

static void on_start(struct chord *c)
{
    roster_load(c);
    former_load(c);
    downs_load(c);
    found_start(c);
    c->repair.fast_us = c->now + FAST_US;
    c->sweep.due_us = c->now + jitter(c, SECOND);
    c->sweep.again = true;
    if (c->roster.epoch == 0)
        return;
    if (!roster_has(&c->roster,
                    &c->cfg.self)) { /* another identity's disk: it cannot speak for this node */
        step_trace(c->u, STEP_WARN, "refused", "the stored roster does not name this node");
        memset(&c->roster, 0, sizeof c->roster);
        return;
    }
    peers_want(c);
    arcs_rebuild(c);
    votes_assign(c);
    set_state(c, roster_sealed(&c->roster) ? CHORD_MOVING
                 : ready_all(c)            ? CHORD_MEMBER
                                           : CHORD_COPYING);
    copy_begin(c);
    coordinator_update(c);
}

static void on_timer(struct chord *c)
{
    distrust_timer(c);
    found_timer(c);
    admit_timer(c);
    remove_timer(c);
    unite_timer(c);
    take_timer(c);
    copy_timer(c);
    repair_timer(c);
    sweep_timer(c);
    c->tick_us = c->now + TICK_US;
}

static void ops_timer(struct chord *c)
{
    c->ops_us = UINT64_MAX; /* each timer below puts its operations' wake-ups back */
    regs_timer(c);
    puts_timer(c);
    reads_timer(c);
}

static void on_event(struct chord *c, const struct step_event *ev)
{
    union wire_any m;
    uint16_t type = 0;
    switch (ev->kind) {
    case STEP_START:
        on_start(c);
        break;
    case STEP_RECEIVED:
    case STEP_LINK_UP:
    case STEP_LINK_DOWN:
    case STEP_TIMER:
        break; /* the overlay's, or only a reason to look at the clock */
    case STEP_BEACON:
        if (wire_decode(ev->bytes.p, ev->bytes.n, &type, &m, sizeof m, &c->scratch) == 0 &&
            type == WIRE_m_beacon)
            on_beacon(c, &m.m_beacon);
        break;
    case STEP_WORKED:
        break; /* this core asks for no work */
    case STEP_STORE_STATE:
        c->store_err = ev->err;
        marks_forget(c);
        c->changed = c->state_news = true;
        if (ev->err < 0)
            step_trace(c->u, STEP_WARN, "store", "no longer answers for its copies: %s",
                       err_prose(ev->err));
        else
            step_trace(c->u, STEP_INFO, "store", "answers for its copies again");
        if (ev->err == 0) {
            reload(c);
            repair_self(c);
        }
        break;
    case STEP_CONTACT:
        c->changed = true;
        break;
    case STEP_LEAVE:
        set_state(c, CHORD_LEFT);
        break;
    }
}

void chord_step(struct chord *c, const struct step_event *ev, struct step_update *u)
{
    note_call(c, ev, u);
    CHECK(ev->kind == STEP_START || c->rd != NULL);
    size_t mark = c->scratch.used;
    if (ev->kind == STEP_LEAVE) { /* what the others are to know is said while there are links */
        on_event(c, ev);
        say_state(c);
    }
    ring_step(c->ring, ev, u);
    if (c->state != CHORD_LEFT)
        on_event(c, ev);
    if (c->state != CHORD_LEFT) {
        if (c->now >= c->tick_us)
            on_timer(c);
        if (c->now >= repair_deadline(c))
            repair_timer(c);
        if (c->now >= unite_deadline(c))
            unite_timer(c);
        if (c->now >= take_deadline(c))
            take_timer(c);
    }
    if (c->now >= c->ops_us)
        ops_timer(c);
    if (c->state_news)
        say_state(c);
    if (c->changed) {
        c->changed = false;
        c->cfg.app.changed(c->cfg.app.ctx, u);
    }
    c->scratch.used = mark;
}

uint64_t chord_deadline(const struct chord *c)
{
    uint64_t at = ring_deadline(c->ring);
    if (c->state != CHORD_LEFT && c->tick_us < at)
        at = c->tick_us;
    if (repair_deadline(c) < at)
        at = repair_deadline(c);
    if (unite_deadline(c) < at)
        at = unite_deadline(c);
    if (take_deadline(c) < at)
        at = take_deadline(c);
    return c->ops_us < at ? c->ops_us : at;
}
