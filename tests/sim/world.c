/* world: the heap of what is to come, nodes, their steps, and the run. Links are in world_net.c,
 * disks in world_disk.c. */
#include "world_inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEAP_FIRST = 4096, PARCELS_FIRST = 4096, ARITY = 4, ORIGIN_US = 1000 * 1000 * 1000 };

static const uint64_t WALL_START_MS = 1700000000000;

void *world__must(void *p)
{
    CHECK(p != NULL);
    return p;
}

/* ---- digest ---- */

/* FNV-1a on words of 64 bits, with the high half folded in, since its multiplication carries
 * upwards only. */
void world__mix(struct world *w, uint64_t v)
{
    uint64_t h = (w->digest ^ v) * 0x100000001b3u;
    w->digest = h ^ h >> 29;
}

static void mix_bytes(struct world *w, struct peal_bytes b)
{
    world__mix(w, b.n);
    for (size_t i = 0; i < b.n; i += 8) {
        uint64_t v = 0;
        memcpy(&v, b.p + i, b.n - i < 8 ? b.n - i : 8);
        world__mix(w, v);
    }
}

void world_note(struct world *w, uint64_t what)
{
    world__mix(w, w->now);
    world__mix(w, what);
}

/* ---- the heap ---- */

static bool before(const struct entry *a, const struct entry *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct world *w, struct entry e)
{
    if (w->heap_n == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? HEAP_FIRST : 2 * w->heap_cap;
        w->heap = world__must(realloc(w->heap, w->heap_cap * sizeof *w->heap));
    }
    size_t i = w->heap_n++;
    while (i > 0 && before(&e, &w->heap[(i - 1) / ARITY])) {
        w->heap[i] = w->heap[(i - 1) / ARITY];
        i = (i - 1) / ARITY;
    }
    w->heap[i] = e;
}

static struct entry pop(struct world *w)
{
    CHECK(w->heap_n > 0);
    struct entry top = w->heap[0], last = w->heap[--w->heap_n];
    size_t i = 0;
    for (;;) {
        size_t least = ARITY * i + 1;
        if (least >= w->heap_n)
            break;
        size_t end = least + ARITY < w->heap_n ? least + ARITY : w->heap_n;
        for (size_t c = least + 1; c < end; c++)
            if (before(&w->heap[c], &w->heap[least]))
                least = c;
        if (!before(&w->heap[least], &last))
            break;
        w->heap[i] = w->heap[least];
        i = least;
    }
    if (w->heap_n > 0)
        w->heap[i] = last;
    return top;
}

/* ---- parcels and their bytes ---- */

static struct buffer *buffer_take(struct world *w, struct peal_bytes b)
{
    CHECK(b.n <= WORLD_FRAME_MAX);
    uint32_t size_class = 0;
    while ((size_t)CLASS_FIRST << size_class < b.n)
        size_class++;
    CHECK(size_class < CLASSES);
    struct buffer *p = w->free[size_class];
    if (p != NULL)
        w->free[size_class] = p->next;
    else
        p = world__must(malloc(sizeof *p + ((size_t)CLASS_FIRST << size_class)));
    p->size_class = size_class;
    memcpy(p->bytes, b.p, b.n);
    return p;
}

static uint32_t parcel_take(struct world *w)
{
    if (w->parcels_free != NONE) {
        uint32_t i = w->parcels_free;
        w->parcels_free = w->parcels[i].next;
        return i;
    }
    if (w->parcels_n == w->parcels_cap) {
        w->parcels_cap = w->parcels_cap == 0 ? PARCELS_FIRST : 2 * w->parcels_cap;
        w->parcels = world__must(realloc(w->parcels, w->parcels_cap * sizeof *w->parcels));
    }
    return w->parcels_n++;
}

static void parcel_free(struct world *w, uint32_t i)
{
    struct parcel *p = &w->parcels[i];
    if (p->buffer != NULL) {
        p->buffer->next = w->free[p->buffer->size_class];
        w->free[p->buffer->size_class] = p->buffer;
        p->buffer = NULL;
    }
    p->next = w->parcels_free;
    w->parcels_free = i;
}

void world__post(struct world *w, uint64_t at, const struct parcel *p, struct peal_bytes bytes)
{
    CHECK(at >= w->now);
    uint32_t i = parcel_take(w);
    w->parcels[i] = *p;
    w->parcels[i].next = NONE;
    w->parcels[i].n = (uint32_t)bytes.n;
    w->parcels[i].buffer = bytes.n > 0 ? buffer_take(w, bytes) : NULL;
    world__repost(w, at, i);
}

void world__repost(struct world *w, uint64_t at, uint32_t parcel)
{
    CHECK(parcel < w->parcels_n);
    push(w, (struct entry){.at = at, .seq = w->seq++, .parcel = parcel});
}

void world__append(struct world *w, uint32_t *first, uint32_t *last, uint32_t parcel)
{
    w->parcels[parcel].next = NONE;
    if (*first == NONE)
        *first = parcel;
    else
        w->parcels[*last].next = parcel;
    *last = parcel;
}

/* ---- clocks ---- */

uint64_t world_mono(const struct world *w, uint32_t node)
{
    const struct wnode *n = &w->nodes[node];
    return n->origin_us +
           (uint64_t)((int64_t)w->now + (int64_t)w->now * n->ppm / WORLD_PER_MILLION);
}

uint64_t world_wall_ms(const struct world *w, uint32_t node)
{
    const struct wnode *n = &w->nodes[node];
    uint64_t run_us = world_mono(w, node) - n->origin_us;
    return (uint64_t)((int64_t)(WALL_START_MS + run_us / 1000) + n->wall_ms);
}

/* The first moment at which the node's clock says local or later. */
static uint64_t when(const struct world *w, const struct wnode *n, uint64_t local)
{
    if (local <= n->origin_us)
        return w->now;
    int64_t run = (int64_t)(local - n->origin_us);
    int64_t at = run;
    if (n->ppm != 0) {
        /* in two parts, since a run of months times a million is beyond 64 bits */
        int64_t rate = WORLD_PER_MILLION + n->ppm;
        at = run / rate * WORLD_PER_MILLION + run % rate * WORLD_PER_MILLION / rate;
        while (at + at * n->ppm / WORLD_PER_MILLION < run)
            at++;
    }
    return (uint64_t)at < w->now ? w->now : (uint64_t)at;
}

/* ---- steps ---- */

static void set_timer(struct world *w, uint32_t node)
{
    struct wnode *n = &w->nodes[node];
    if (n->core == NULL)
        return;
    uint64_t local = w->cfg.core->deadline(n->core);
    if (local == UINT64_MAX)
        return;
    uint64_t at = when(w, n, local);
    if (at >= n->timer_at)
        return; /* the entry that is there comes first, and sees to this one */
    n->timer_at = at;
    push(w, (struct entry){.at = at, .seq = w->seq++, .parcel = NONE, .node = node});
}

static void send(struct world *w, uint32_t node, const struct step_effect *e)
{
    if (e->link != STEP_SELF) {
        world__send(w, node, e->link, e->bytes);
        return;
    }
    struct parcel p = {.kind = PARCEL_SELF, .node = node, .life = w->nodes[node].life};
    world__post(w, w->now, &p, e->bytes);
}

static void carry_out(struct world *w, uint32_t node, const struct step_effect *e)
{
    world__mix(w, (uint64_t)node << 32 | (uint64_t)e->kind);
    mix_bytes(w, e->bytes);
    switch (e->kind) {
    case STEP_WRITE:
        mix_bytes(w, e->key);
        disk__write(&w->nodes[node].disk, e);
        break;
    case STEP_SEND:
        send(w, node, e);
        break;
    case STEP_CLOSE:
        world__close(w, node, e->link);
        break;
    case STEP_DIAL:
        world__dial(w, node, e->bytes);
        break;
    case STEP_WORK:
        CHECK(e->kind != STEP_WORK); /* the overlay has no such work */
        break;
    case STEP_SAY_BEACON:
        world__beacon(w, node, e->bytes);
        break;
    case STEP_TRACE:
        if (w->cfg.trace != NULL)
            w->cfg.trace(w->cfg.ctx, node, e);
        break;
    }
}

/* Writes, eager sends, everything else: the host's law where all is durable at once. */
static int turn_of(const struct step_effect *e)
{
    if (e->kind == STEP_WRITE)
        return 0;
    return e->kind == STEP_SEND && e->eager ? 1 : 2;
}

static void obey(struct world *w, uint32_t node)
{
    for (int turn = 0; turn <= 2; turn++)
        for (size_t i = 0; i < w->u.n; i++)
            if (turn_of(&w->u.effects[i]) == turn)
                carry_out(w, node, &w->u.effects[i]);
}

static void fill_event(struct world *w, uint32_t node, struct step_event *ev)
{
    ev->now_us = world_mono(w, node);
    ev->wall_ms = world_wall_ms(w, node);
    ev->reader = &w->nodes[node].reader;
}

static void begin(struct world *w, uint32_t node, struct step_event *ev)
{
    CHECK(w->nodes[node].core != NULL && !w->stepping);
    fill_event(w, node, ev);
    step_update_reset(&w->u);
    w->stepping = true;
    world__mix(w, w->now);
    w->figures.steps++;
}

static void end(struct world *w, uint32_t node)
{
    w->stepping = false;
    obey(w, node);
    set_timer(w, node);
    if (w->cfg.stepped != NULL)
        w->cfg.stepped(w->cfg.ctx, node);
}

void world__step(struct world *w, uint32_t node, struct step_event *ev)
{
    begin(w, node, ev);
    w->cfg.core->step(w->nodes[node].core, ev, &w->u);
    end(w, node);
}

void world_event(struct world *w, uint32_t node, struct step_event *ev)
{
    world__step(w, node, ev);
}

void world_call(struct world *w, uint32_t node, world_call_fn *fn, void *arg)
{
    struct step_event ev = {.kind = STEP_TIMER};
    begin(w, node, &ev);
    fn(w->nodes[node].core, &ev, &w->u, arg);
    end(w, node);
}

/* ---- lives ---- */

void world_start(struct world *w, uint32_t node, bool keep)
{
    struct wnode *n = &w->nodes[node];
    CHECK(node < w->cfg.nodes && n->core == NULL && !w->stepping);
    if (!keep)
        disk__clear(&n->disk);
    n->life++;
    n->paused = n->host_down = n->leaving = false;
    n->origin_us = ORIGIN_US + rng_below(&w->rng, ORIGIN_US);
    n->timer_at = UINT64_MAX;
    size_t size = w->cfg.core->size(w->cfg.ctx, node);
    /* Fresh pages are zero and cost nothing until they are used. */
    n->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(n->mem != MAP_FAILED);
    n->mem_n = size;
    int err = w->cfg.core->init(w->cfg.ctx, node, n->mem, &n->core);
    CHECK(err == 0 && n->core != NULL);
    struct step_event ev = {.kind = STEP_START};
    world__step(w, node, &ev);
}

static void drop_deferred(struct world *w, struct wnode *n)
{
    while (n->deferred != NONE) {
        uint32_t i = n->deferred;
        n->deferred = w->parcels[i].next;
        parcel_free(w, i);
    }
    n->deferred_n = 0;
}

void world_crash(struct world *w, uint32_t node, bool silent)
{
    struct wnode *n = &w->nodes[node];
    CHECK(node < w->cfg.nodes && n->core != NULL && !w->stepping);
    world_note(w, (uint64_t)node << 1 | silent);
    n->host_down = silent;
    world__drop_links(w, node, !silent);
    drop_deferred(w, n);
    int err = munmap(n->mem, n->mem_n);
    CHECK(err == 0);
    n->mem = n->core = NULL;
    n->life++;
    n->paused = n->leaving = false;
}

void world_leave(struct world *w, uint32_t node)
{
    struct step_event ev = {.kind = STEP_LEAVE};
    struct wnode *n = &w->nodes[node];
    CHECK(n->core != NULL && !n->leaving);
    n->leaving = true;
    struct parcel p = {.kind = PARCEL_END, .node = node, .life = n->life};
    world__post(w, w->now + LEAVE_US, &p, (struct peal_bytes){0});
    world__step(w, node, &ev);
}

void world_pause(struct world *w, uint32_t node, bool paused)
{
    struct wnode *n = &w->nodes[node];
    CHECK(n->core != NULL && !w->stepping);
    world_note(w, (uint64_t)node << 1 | paused);
    if (n->paused && !paused) {
        n->timer_at = UINT64_MAX;
        while (n->deferred != NONE) {
            uint32_t i = n->deferred;
            n->deferred = w->parcels[i].next;
            world__repost(w, w->now, i);
        }
        n->deferred_n = 0;
    }
    n->paused = paused;
    if (!paused)
        set_timer(w, node);
}

void world_host(struct world *w, uint32_t node, bool living)
{
    CHECK(node < w->cfg.nodes && (living || w->nodes[node].core == NULL));
    w->nodes[node].host_down = !living;
}

/* ---- the run ---- */

static void timer(struct world *w, const struct entry *e)
{
    struct wnode *n = &w->nodes[e->node];
    if (n->timer_at != e->at || n->core == NULL)
        return; /* of an earlier life, or an earlier one has seen to it */
    if (n->paused)
        return; /* set again when it goes on */
    n->timer_at = UINT64_MAX;
    if (w->cfg.core->deadline(n->core) > world_mono(w, e->node)) {
        set_timer(w, e->node);
        return;
    }
    struct step_event ev = {.kind = STEP_TIMER};
    world__step(w, e->node, &ev);
}

/* A parcel whose addressee is a node that is paused waits for it. True: it was kept. */
static bool defer(struct world *w, uint32_t node, uint32_t parcel)
{
    struct wnode *n = &w->nodes[node];
    if (!n->paused || n->deferred_n == WORLD_DEFERRED_MAX)
        return false;
    n->deferred_n++;
    world__append(w, &n->deferred, &n->deferred_last, parcel);
    return true;
}

/* True: the parcel was kept for later. */
static bool deliver(struct world *w, uint32_t i)
{
    struct parcel p = w->parcels[i];
    switch (p.kind) {
    case PARCEL_CALL:
        p.fn(p.arg, p.what);
        return false;
    case PARCEL_END:
        if (w->nodes[p.node].life == p.life)
            world_crash(w, p.node, false);
        return false;
    case PARCEL_SELF: {
        if (w->nodes[p.node].life != p.life)
            return false;
        if (w->nodes[p.node].paused)
            return defer(w, p.node, i);
        struct step_event ev = {
            .kind = STEP_RECEIVED, .link = STEP_SELF, .bytes = peal_bytes_of(p.buffer->bytes, p.n)};
        world__step(w, p.node, &ev);
        return false;
    }
    case PARCEL_DIAL:
    case PARCEL_SHAKEN:
    case PARCEL_FAILED:
        if (w->nodes[p.node].life != p.life)
            return false;
        return w->nodes[p.node].paused ? defer(w, p.node, i) : world__arrive(w, i);
    case PARCEL_FRAME:
    case PARCEL_UP:
    case PARCEL_FIN: {
        const struct wlink *l = &w->links[p.end / 2];
        const struct end *e = &l->end[p.end % 2];
        if (l->gen != p.life || !e->open)
            return false;
        return w->nodes[e->node].paused ? defer(w, e->node, i) : world__arrive(w, i);
    }
    case PARCEL_BEACON:
        return world__arrive(w, i);
    }
    return false;
}

static void happen(struct world *w)
{
    struct entry e = pop(w);
    CHECK(e.at >= w->now);
    w->now = e.at;
    w->figures.events++;
    if (e.parcel == NONE)
        timer(w, &e);
    else if (!deliver(w, e.parcel))
        parcel_free(w, e.parcel);
}

static void tell_before(const struct world *w, uint64_t at)
{
    if (w->cfg.before != NULL)
        w->cfg.before(w->cfg.ctx, at);
}

void world_run(struct world *w, uint64_t us)
{
    uint64_t until = w->now + us;
    while (w->heap_n > 0 && w->heap[0].at <= until) {
        tell_before(w, w->heap[0].at);
        happen(w);
    }
    tell_before(w, until);
    w->now = until;
}

bool world_until(struct world *w, bool (*done)(void *arg), void *arg, uint64_t every_us,
                 uint64_t us)
{
    CHECK(every_us > 0);
    uint64_t until = w->now + us;
    while (w->now < until) {
        if (done(arg))
            return true;
        uint64_t left = until - w->now;
        world_run(w, left < every_us ? left : every_us);
    }
    return done(arg);
}

void world_at(struct world *w, uint64_t at_us, void (*fn)(void *arg, uint64_t what), void *arg,
              uint64_t what)
{
    struct parcel p = {.kind = PARCEL_CALL, .fn = fn, .arg = arg, .what = what};
    world__post(w, at_us < w->now ? w->now : at_us, &p, (struct peal_bytes){0});
}

/* ---- the world as a whole ---- */

static int64_t either_way(struct rng *r, uint32_t most)
{
    return (int64_t)rng_below(r, 2 * (uint64_t)most + 1) - (int64_t)most;
}

static void new_node(struct world *w, uint32_t i, const struct peal_id *ids)
{
    struct wnode *n = &w->nodes[i];
    if (ids != NULL)
        n->id = ids[i];
    else
        rng_fill(&w->rng, n->id.b, ID_BYTES);
    n->address = i;
    n->also = NONE;
    n->networks = UINT8_MAX;
    n->first_end = n->deferred = n->deferred_last = NONE;
    n->timer_at = UINT64_MAX;
    n->ppm = either_way(&w->rng, w->cfg.drift_ppm);
    n->wall_ms = either_way(&w->rng, w->cfg.drift_ms);
    n->region = (uint8_t)rng_below(&w->rng, WORLD_REGIONS);
    disk__reader(&n->disk, &n->reader);
    w->owners[i] = i;
}

struct world *world_new(const struct world_config *cfg, const struct peal_id *ids)
{
    CHECK(cfg->nodes > 0 && cfg->nodes <= WORLD_NODES_MAX);
    CHECK(cfg->core != NULL && cfg->drift_ppm < WORLD_PER_MILLION / 2);
    struct world *w = world__must(calloc(1, sizeof *w));
    w->cfg = *cfg;
    if (w->cfg.latency_us[0] == 0 && w->cfg.latency_us[1] == 0) {
        w->cfg.latency_us[0] = cfg->latency == WORLD_CONSTANT ? 1000 : 500;
        w->cfg.latency_us[1] = 2000;
    }
    w->digest = 0xcbf29ce484222325u;
    rng_init(&w->rng, cfg->seed);
    w->nodes = world__must(calloc(cfg->nodes, sizeof *w->nodes));
    w->owners = world__must(malloc(WORLD_ADDRESSES_MAX * sizeof *w->owners));
    memset(w->owners, 0xff, WORLD_ADDRESSES_MAX * sizeof *w->owners);
    w->networks = world__must(malloc(WORLD_ADDRESSES_MAX));
    memset(w->networks, UINT8_MAX, WORLD_ADDRESSES_MAX);
    w->parcels_free = w->links_free = w->links_free_last = w->held = w->held_last = NONE;
    for (uint32_t i = 0; i < cfg->nodes; i++)
        new_node(w, i, ids);
    w->u_mem = world__must(aligned_alloc(16, (step_update_size() + 15) / 16 * 16));
    step_update_init(&w->u, w->u_mem);
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->parcels_n; i++)
        free(w->parcels[i].buffer);
    for (size_t c = 0; c < CLASSES; c++)
        while (w->free[c] != NULL) {
            struct buffer *b = w->free[c];
            w->free[c] = b->next;
            free(b);
        }
    for (uint32_t i = 0; i < w->cfg.nodes; i++) {
        disk__clear(&w->nodes[i].disk);
        if (w->nodes[i].mem != NULL)
            (void)munmap(w->nodes[i].mem, w->nodes[i].mem_n);
    }
    free(w->parcels);
    free(w->heap);
    free(w->links);
    free(w->owners);
    free(w->networks);
    free(w->nodes);
    free(w->u_mem);
    free(w);
}

struct peal_id world_id(const struct world *w, uint32_t node)
{
    CHECK(node < w->cfg.nodes);
    return w->nodes[node].id;
}

uint32_t world_address(const struct world *w, uint32_t node)
{
    CHECK(node < w->cfg.nodes);
    return w->nodes[node].address;
}

uint32_t world_address_at(const struct world *w, uint32_t node, uint32_t i)
{
    const struct wnode *n = &w->nodes[node];
    uint32_t all[] = {n->address, n->also}, k = 0;
    CHECK(node < w->cfg.nodes);
    for (size_t a = 0; a < PEAL_COUNT(all); a++)
        if (all[a] != NONE && k++ == i)
            return all[a];
    return WORLD_NOBODY;
}

bool world_running(const struct world *w, uint32_t node)
{
    CHECK(node < w->cfg.nodes);
    return w->nodes[node].core != NULL;
}

bool world_paused(const struct world *w, uint32_t node)
{
    CHECK(node < w->cfg.nodes);
    return w->nodes[node].paused;
}

void *world_core_of(const struct world *w, uint32_t node)
{
    CHECK(node < w->cfg.nodes);
    return w->nodes[node].core;
}

uint64_t world_now(const struct world *w)
{
    return w->now;
}

struct rng *world_rng(struct world *w)
{
    return &w->rng;
}

uint64_t world_digest(const struct world *w)
{
    return w->digest;
}

const struct world_figures *world_figures(const struct world *w)
{
    return &w->figures;
}

uint32_t world_links(const struct world *w, uint32_t node)
{
    CHECK(node < w->cfg.nodes);
    return w->nodes[node].ends;
}
