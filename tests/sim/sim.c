/* sim: the queue of events, nodes, disks, and the host's law. Links are in sim_net.c. */
#include "sim_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_FIRST = 1024,
    STOP_US = 100 * 1000,
    WORK_MAX = 1024,
    START_US = 1000 * 1000,
};

static const uint64_t WALL_START_MS = 1700000000000;

/* ---- memory ---- */

void *must(void *p)
{
    CHECK(p != NULL);
    return p;
}

uint8_t *copy_of(struct peal_bytes b)
{
    uint8_t *p = must(malloc(b.n + 1));
    if (b.n > 0)
        memcpy(p, b.p, b.n);
    p[b.n] = 0;
    return p;
}

/* ---- the heap ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void push(struct sim *s, struct event ev)
{
    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap == 0 ? EVENTS_FIRST : 2 * s->heap_cap;
        s->heap = must(realloc(s->heap, s->heap_cap * sizeof *s->heap));
    }
    size_t i = s->heap_n++;
    while (i > 0 && before(&ev, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = ev;
}

static struct event pop(struct sim *s)
{
    CHECK(s->heap_n > 0);
    struct event top = s->heap[0], last = s->heap[--s->heap_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_n)
            break;
        if (child + 1 < s->heap_n && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    if (s->heap_n > 0)
        s->heap[i] = last;
    return top;
}

struct event new_event(struct sim *s, enum event_kind kind, size_t node, uint64_t at)
{
    return (struct event){.at = at,
                          .seq = s->seq++,
                          .kind = kind,
                          .node = node,
                          .life = node < SIM_NODES_MAX ? s->nodes[node].life : 0};
}

static void event_free(struct event *ev)
{
    free(ev->bytes);
    if (ev->kind == EV_STEP) {
        free((void *)(uintptr_t)ev->step.bytes.p);
        free((void *)(uintptr_t)ev->step.address.p);
    }
}

uint64_t between_us(struct sim *s, const uint64_t range[2])
{
    return range[0] + rng_below(&s->rng, range[1] - range[0] + 1);
}

/* FNV-1a, 64 bits. */
static void digest_add(struct sim *s, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        s->digest = (s->digest ^ b[i]) * 0x100000001b3u;
}

void step_later(struct sim *s, size_t node, uint64_t at, const struct step_event *ev)
{
    struct event e = new_event(s, EV_STEP, node, at);
    e.step = *ev;
    e.step.bytes.p = copy_of(ev->bytes);
    e.step.address.p = copy_of(ev->address);
    push(s, e);
}

/* ---- the store as a core sees it ---- */

static int reader_get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
                      struct peal_bytes *value)
{
    struct node *n = ctx;
    int err = store_get(n->store, (enum store_space)space, key, a, value);
    return err == PEAL_E_FULL ? PEAL_E_NO_MEMORY : err;
}

/* A corrupt record is left out. */
static int reader_scan(void *ctx, enum step_space space, struct peal_bytes from,
                       struct peal_bytes to, size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    struct node *n = ctx;
    int err = store_scan(n->store, (enum store_space)space, from, to, limit, fn, fn_ctx);
    uint8_t after[STORE_KEY_MAX + 1];
    while (err == PEAL_E_CORRUPT) {
        struct peal_bytes bad = store_corrupt_key(n->store);
        CHECK(bad.n > 0 && bad.n < sizeof after);
        memcpy(after, bad.p, bad.n);
        after[bad.n] = 0;
        err = store_scan(n->store, (enum store_space)space, peal_bytes_of(after, bad.n + 1), to,
                         limit, fn, fn_ctx);
    }
    return err;
}

/* ---- effects ---- */

static int default_work(enum step_work work, struct peal_bytes in, uint8_t *out, size_t cap,
                        size_t *n)
{
    *n = 0;
    if (work == STEP_WORK_HASH) {
        CHECK(2 * in.n + 1 <= cap);
        peal_hex(in.p, in.n, (char *)out);
        *n = 2 * in.n;
        return 0;
    }
    char hex[2 * SECRET_BYTES + 1];
    CHECK(in.n >= SECRET_BYTES);
    peal_hex(in.p, SECRET_BYTES, hex);
    bool same = in.n == SECRET_BYTES + 2 * SECRET_BYTES &&
                memcmp(in.p + SECRET_BYTES, hex, 2 * SECRET_BYTES) == 0;
    return same ? 0 : PEAL_E_AUTH;
}

static void work(struct sim *s, size_t node, const struct step_effect *e)
{
    uint8_t out[WORK_MAX];
    size_t n = 0;
    struct step_event ev = {.kind = STEP_WORKED, .token = e->token};
    ev.err = s->cfg.work != NULL ? s->cfg.work(s->cfg.ctx, e->work, e->bytes, out, sizeof out, &n)
                                 : default_work(e->work, e->bytes, out, sizeof out, &n);
    ev.bytes = peal_bytes_of(out, n);
    step_later(s, node, s->now + s->cfg.work_us, &ev);
}

static void carry_out(struct sim *s, size_t node, const struct step_effect *e)
{
    struct node *n = &s->nodes[node];
    struct step_event ev = {0};
    digest_add(s, &s->now, sizeof s->now);
    digest_add(s, &node, sizeof node);
    digest_add(s, e->bytes.p, e->bytes.n);
    switch (e->kind) {
    case STEP_WRITE:
        break;
    case STEP_SEND:
        CHECK(e->bytes.n >= 2 && e->bytes.p[0] == 0); /* a message's type is a u16 */
        s->messages[e->bytes.p[1]]++;
        if (e->link == STEP_SELF) {
            ev = (struct step_event){.kind = STEP_RECEIVED, .link = STEP_SELF, .bytes = e->bytes};
            step_later(s, node, s->now, &ev);
        } else {
            send_frame(s, e->link, e->bytes);
        }
        break;
    case STEP_CLOSE:
        close_end(s, e->link);
        break;
    case STEP_DIAL:
        dial(s, node, e->bytes);
        break;
    case STEP_WORK:
        work(s, node, e);
        break;
    case STEP_SAY_BEACON:
        beacon(s, node, e->bytes);
        break;
    case STEP_TRACE:
        if (s->cfg.verbose)
            fprintf(stderr, "%10.3f %zu %s: %.*s\n", (double)s->now / 1000.0, node, e->name,
                    (int)e->bytes.n, (const char *)e->bytes.p);
        if (s->cfg.trace != NULL)
            s->cfg.trace(s->cfg.ctx, node, e);
        break;
    }
    if (n->crash_after > 0 && --n->crash_after == 0)
        sim_crash(s, node);
}

static void hold(struct node *n, uint64_t ticket, const struct step_effect *e)
{
    struct held *h = must(malloc(sizeof *h));
    *h = (struct held){.ticket = ticket, .e = *e};
    h->e.bytes.p = copy_of(e->bytes);
    if (n->last == NULL)
        n->first = h;
    else
        n->last->next = h;
    n->last = h;
}

static void held_free(struct held *h)
{
    free((void *)(uintptr_t)h->e.bytes.p);
    free(h);
}

/* Submits the update's writes; the ticket, 0 when there are none. An error when they are refused.
 */
static int submit(struct sim *s, size_t node, uint64_t *ticket)
{
    struct node *n = &s->nodes[node];
    struct store_write *w = must(malloc((s->u.n + 1) * sizeof *w));
    size_t count = 0;
    for (size_t i = 0; i < s->u.n; i++) {
        const struct step_effect *e = &s->u.effects[i];
        if (e->kind != STEP_WRITE)
            continue;
        digest_add(s, e->key.p, e->key.n);
        w[count++] = (struct store_write){.space = (enum store_space)e->space,
                                          .op = (enum store_op)e->op,
                                          .key = e->key,
                                          .value = e->bytes,
                                          .lazy = e->lazy,
                                          .fresh = e->fresh};
    }
    if (count > s->writes_most)
        s->writes_most = count;
    *ticket = 0;
    int err = count > 0 ? store_submit(n->store, w, count, ticket) : 0;
    free(w);
    if (err != 0) {
        CHECK(err == store_health(n->store)); /* never for what the core asked */
        return err;
    }
    if (count > 0 && !n->committing) {
        n->committing = true;
        push(s, new_event(s, EV_COMMIT, node, s->now + between_us(s, s->cfg.fsync_us)));
    }
    return 0;
}

/* Of an update whose writes were refused, only what promises nothing is done. */
static void obey_refused(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    uint32_t life = n->life;
    s->refused++;
    for (size_t i = 0; i < s->u.n && n->life == life; i++) {
        const struct step_effect *e = &s->u.effects[i];
        if (e->kind != STEP_WRITE && (e->kind != STEP_SEND || e->eager))
            carry_out(s, node, e);
    }
}

/* The host's law: writes, eager sends, and everything else once the writes are durable. False: the
 * writes were refused, which the core is to hear before anything else. */
static bool obey(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    uint32_t life = n->life;
    uint64_t ticket = 0;
    if (submit(s, node, &ticket) != 0) {
        obey_refused(s, node);
        return false;
    }
    for (int eager = 1; eager >= 0; eager--)
        for (size_t i = 0; i < s->u.n && n->life == life; i++) {
            const struct step_effect *e = &s->u.effects[i];
            bool now = e->kind == STEP_SEND && e->eager;
            if (e->kind == STEP_WRITE || now != (eager == 1))
                continue;
            if (now || ticket == 0)
                carry_out(s, node, e);
            else
                hold(n, ticket, e);
        }
    return true;
}

static void release(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    uint32_t life = n->life;
    uint64_t durable = store_durable(n->store);
    while (n->life == life && n->first != NULL && n->first->ticket <= durable) {
        struct held *h = n->first;
        n->first = h->next;
        if (n->first == NULL)
            n->last = NULL;
        carry_out(s, node, &h->e);
        held_free(h);
    }
}

static void set_timer(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    if (!n->running)
        return;
    uint64_t at = s->cfg.core->deadline(n->core);
    if (at == UINT64_MAX || at >= n->timer_at)
        return;
    n->timer_at = at < s->now ? s->now : at;
    push(s, new_event(s, EV_TIMER, node, n->timer_at));
}

static int64_t off_ms(const struct sim *s, const struct node *n)
{
    return n->skew_ms + (int64_t)(s->now - n->drift_us) * n->drift_ppm / (1000 * 1000 * 1000);
}

static void fill_event(struct sim *s, const struct node *n, struct step_event *ev)
{
    ev->now_us = s->now;
    ev->wall_ms = (uint64_t)((int64_t)(WALL_START_MS + s->now / 1000) + off_ms(s, n));
    ev->reader = &n->reader;
}

static bool one_step(struct sim *s, size_t node, struct step_event *ev)
{
    struct node *n = &s->nodes[node];
    uint32_t life = n->life;
    CHECK(n->running);
    fill_event(s, n, ev);
    step_update_reset(&s->u);
    s->cfg.core->step(n->core, ev, &s->u);
    bool done = obey(s, node);
    set_timer(s, node);
    return done || n->life != life;
}

static void tell_store(struct sim *s, size_t node, int err)
{
    struct step_event ev = {.kind = STEP_STORE_STATE, .err = err};
    if (s->nodes[node].store_err == err)
        return;
    s->nodes[node].store_err = err;
    bool done = one_step(s, node, &ev);
    CHECK(done || err < 0);
}

static void run_step(struct sim *s, size_t node, struct step_event *ev)
{
    if (!one_step(s, node, ev))
        tell_store(s, node, PEAL_E_NO_SPACE);
}

void sim_call(struct sim *s, size_t node,
              void (*fn)(void *core, const struct step_event *ev, struct step_update *u, void *arg),
              void *arg)
{
    struct node *n = &s->nodes[node];
    struct step_event ev = {.kind = STEP_TIMER};
    CHECK(n->running);
    fill_event(s, n, &ev);
    step_update_reset(&s->u);
    uint32_t life = n->life;
    fn(n->core, &ev, &s->u, arg);
    bool done = obey(s, node);
    set_timer(s, node);
    if (!done && n->life == life)
        tell_store(s, node, PEAL_E_NO_SPACE);
}

/* ---- happening ---- */

static void arrive(struct sim *s, struct event *ev)
{
    struct end *mine = end_of(s, ev->link);
    if (!mine->open)
        return;
    struct step_event step = {
        .kind = STEP_RECEIVED, .link = ev->link, .bytes = peal_bytes_of(ev->bytes, ev->n)};
    if (ev->bytes != NULL) {
        run_step(s, ev->node, &step);
        return;
    }
    mine->open = false;
    link_step(s, ev->link, STEP_LINK_DOWN, s->now, PEAL_E_CLOSED);
}

static void commit(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    n->committing = false;
    if (store_memory_commit(n->store) < 0) { /* full: again later */
        n->committing = true;
        push(s, new_event(s, EV_COMMIT, node, s->now + DIAL_TIMEOUT_US));
        return;
    }
    release(s, node);
}

static void stall(struct node *n, struct event ev)
{
    n->stalled = must(realloc(n->stalled, (n->stalled_n + 1) * sizeof *n->stalled));
    n->stalled[n->stalled_n++] = ev;
}

/* What is on its way to an end meets a cut. True: it waits for the cut to heal and then tries
 * again, or it is lost, and so is all that follows it. */
static bool cut_off(struct sim *s, struct event *ev)
{
    if (ev->kind != EV_ARRIVE)
        return false;
    struct end *mine = end_of(s, ev->link);
    enum sim_way way = way_of(s, other_end(s, ev->link)->node, ev->node);
    if (way == SIM_LOST || mine->deaf) {
        mine->deaf = true;
        event_free(ev);
        return true;
    }
    if (way == SIM_THROUGH)
        return false;
    ev->at =
        s->now +
        10 * REFUSED_US; /* all that is under way moves on together, and stays in order by seq */
    if (mine->last < ev->at)
        mine->last = ev->at;
    push(s, *ev);
    return true;
}

/* Handles the next event. */
static void happen(struct sim *s)
{
    struct event ev = pop(s);
    CHECK(ev.at >= s->now);
    s->now = ev.at;
    struct node *n = ev.node < SIM_NODES_MAX ? &s->nodes[ev.node] : NULL;
    bool dead = n != NULL && (!n->running || ev.life != n->life);
    if (!dead && cut_off(s, &ev))
        return;
    if (!dead && n != NULL && n->paused && ev.kind != EV_COMMIT) {
        if (ev.kind == EV_TIMER)
            n->timer_at = UINT64_MAX;
        stall(n, ev);
        return;
    }
    switch (ev.kind) {
    case EV_STEP:
        if (!dead)
            run_step(s, ev.node, &ev.step);
        break;
    case EV_TIMER:
        if (dead || ev.at != n->timer_at)
            break;
        n->timer_at = UINT64_MAX;
        ev.step = (struct step_event){.kind = STEP_TIMER};
        if (s->cfg.core->deadline(n->core) <= s->now)
            run_step(s, ev.node, &ev.step);
        else
            set_timer(s, ev.node);
        break;
    case EV_COMMIT:
        if (!dead)
            commit(s, ev.node);
        break;
    case EV_DIAL:
        if (!dead)
            dialled(s, &ev);
        break;
    case EV_ARRIVE:
        if (!dead)
            arrive(s, &ev);
        break;
    case EV_STOP:
        if (!dead) {
            int err = store_memory_commit(n->store);
            (void)err; /* a full disk: then it ends as in a crash */
            sim_crash(s, ev.node);
        }
        break;
    case EV_CLIENT_FRAME:
        if (end_of(s, ev.link)->open && s->cfg.client_frame != NULL)
            s->cfg.client_frame(s->cfg.ctx, ev.link, peal_bytes_of(ev.bytes, ev.n));
        break;
    case EV_CLIENT_CLOSED:
        if (end_of(s, ev.link)->open && s->cfg.client_closed != NULL)
            s->cfg.client_closed(s->cfg.ctx, ev.link, PEAL_E_CLOSED, (struct peal_bytes){0});
        end_of(s, ev.link)->open = false;
        break;
    }
    event_free(&ev);
}

bool sim_until(struct sim *s, bool (*done)(void *arg), void *arg, uint64_t us)
{
    uint64_t end = s->now + us;
    for (;;) {
        if (done != NULL && done(arg))
            return true;
        if (s->heap_n == 0 || s->heap[0].at > end)
            break;
        happen(s);
    }
    s->now = end;
    return false;
}

void sim_run(struct sim *s, uint64_t us)
{
    (void)sim_until(s, NULL, NULL, us);
}

/* ---- nodes ---- */

static void sign_contact(const struct node *n, struct wire_contact *w,
                         uint8_t list[static WIRE_ADDRESSES_BYTES],
                         uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t body[RING_CONTACT_BODY_MAX];
    size_t list_n = wire_address_add(list, 0, peal_bytes_str(n->address));
    if (n->also[0] != '\0')
        list_n = wire_address_add(list, list_n, peal_bytes_str(n->also));
    *w = (struct wire_contact){.id = n->id,
                               .incarnation = n->incarnation,
                               .addresses = peal_bytes_of(list, list_n),
                               .key = peal_bytes_of(n->key.pub, CRY_PUB_BYTES)};
    size_t size = ring_contact_body(w, body);
    cry_sign(&n->key, RING_CONTACT_DOMAIN, peal_bytes_of(body, size), sig);
    w->signature = peal_bytes_of(sig, CRY_SIG_BYTES);
}

void sim_start(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    CHECK(node < s->cfg.nodes && !n->running);
    uint8_t list[WIRE_ADDRESSES_BYTES], sig[CRY_SIG_BYTES];
    struct chord_config base = {.self = n->id,
                                .discovery = s->cfg.discovery,
                                .expect = s->cfg.expect,
                                .replicas = s->cfg.replicas,
                                .repair_bytes = s->cfg.repair_bytes,
                                .puts_max = s->cfg.ops_max,
                                .regs_max = s->cfg.ops_max,
                                .reads_max = s->cfg.ops_max,
                                .seed = rng_next(&s->rng)};
    n->incarnation++;
    sign_contact(n, &base.contact, list, sig);
    if (s->cfg.join_first) {
        base.joins[0] = peal_bytes_str(s->nodes[0].address);
        base.joins_n = 1;
    }
    size_t size = s->cfg.core->size(s->cfg.ctx, node, &base);
    n->mem = must(aligned_alloc(16, (size + 15) / 16 * 16));
    int err = s->cfg.core->init(s->cfg.ctx, node, n->mem, &base, &n->core);
    CHECK(err == 0);
    n->running = true;
    n->left = n->paused = n->committing = false;
    n->store_err = 0;
    n->timer_at = UINT64_MAX;
    n->crash_after = 0;
    n->life++;
    struct step_event ev = {.kind = STEP_START};
    run_step(s, node, &ev);
}

static void tell_contact(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    uint8_t list[WIRE_ADDRESSES_BYTES], sig[CRY_SIG_BYTES], mem[512];
    struct wire_contact w;
    struct wr out;
    CHECK(n->running);
    n->incarnation++;
    sign_contact(n, &w, list, sig);
    struct wire_n_contacts m = {.to = n->id, .contacts = {.v = &w, .n = 1}};
    wr_init(&out, mem, sizeof mem);
    int err = wire_encode(WIRE_n_contacts, &m, &out);
    CHECK(err == 0);
    struct step_event ev = {.kind = STEP_CONTACT, .bytes = peal_bytes_of(mem, out.n)};
    run_step(s, node, &ev);
}

void sim_move(struct sim *s, size_t node, const char *address)
{
    struct node *n = &s->nodes[node];
    int length = snprintf(n->address, sizeof n->address, "%s", address);
    CHECK(length > 0 && (size_t)length < sizeof n->address);
    tell_contact(s, node);
}

void sim_also(struct sim *s, size_t node, const char *address)
{
    struct node *n = &s->nodes[node];
    int length = snprintf(n->also, sizeof n->also, "%s", address);
    CHECK(length > 0 && (size_t)length < sizeof n->also);
    tell_contact(s, node);
}

void sim_crash(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    if (!n->running)
        return;
    n->running = false;
    n->life++;
    n->crash_after = 0;
    while (n->first != NULL) {
        struct held *h = n->first;
        n->first = h->next;
        held_free(h);
    }
    n->last = NULL;
    for (size_t i = 0; i < n->stalled_n; i++)
        event_free(&n->stalled[i]);
    n->stalled_n = 0;
    store_memory_crash(n->store, &s->rng);
    free(n->mem);
    n->mem = n->core = NULL;
    for (size_t i = 0; i < s->links_n; i++)
        for (size_t k = 0; k < 2; k++)
            if (s->links[i].end[k].open && s->links[i].end[k].node == node)
                close_end(s, s->links[i].end[k].handle);
}

void sim_wipe(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    struct store_config store = store_config_default();
    CHECK(!n->running);
    int err = store_close(n->store);
    CHECK(err == 0);
    err = store_open_memory(&store, &n->store);
    CHECK(err == 0);
}

void sim_crash_after(struct sim *s, size_t node, uint32_t effects)
{
    s->nodes[node].crash_after = effects;
}

void sim_leave(struct sim *s, size_t node)
{
    struct step_event ev = {.kind = STEP_LEAVE};
    s->nodes[node].left = true;
    run_step(s, node, &ev);
    if (s->nodes[node].running)
        push(s, new_event(s, EV_STOP, node, s->now + STOP_US));
}

void sim_pause(struct sim *s, size_t node, bool paused)
{
    struct node *n = &s->nodes[node];
    n->paused = paused && n->running;
    if (n->paused || !n->running)
        return;
    for (size_t i = 0; i < n->stalled_n; i++) {
        n->stalled[i].at = s->now;
        if (n->stalled[i].kind != EV_TIMER)
            push(s, n->stalled[i]);
    }
    n->stalled_n = 0;
    n->timer_at = UINT64_MAX;
    set_timer(s, node);
}

void sim_cut(struct sim *s, size_t a, size_t b, bool cut)
{
    sim_cut_way(s, a, b, cut ? SIM_HELD : SIM_THROUGH);
    sim_cut_way(s, b, a, cut ? SIM_HELD : SIM_THROUGH);
}

void sim_cut_way(struct sim *s, size_t from, size_t to, enum sim_way how)
{
    CHECK(from < s->cfg.nodes && to < s->cfg.nodes);
    s->cut[from][to] = (uint8_t)how;
}

void sim_partition(struct sim *s, uint64_t group)
{
    for (size_t a = 0; a < s->cfg.nodes; a++)
        for (size_t b = a + 1; b < s->cfg.nodes; b++)
            sim_cut(s, a, b, (group >> a & 1) != (group >> b & 1));
}

void sim_break(struct sim *s, size_t a, size_t b)
{
    for (size_t i = 0; i < s->links_n; i++) {
        struct link *l = &s->links[i];
        bool pair = (l->end[0].node == a && l->end[1].node == b) ||
                    (l->end[0].node == b && l->end[1].node == a);
        for (size_t k = 0; pair && k < 2; k++) {
            if (!l->end[k].open)
                continue;
            l->end[k].open = false;
            link_step(s, l->end[k].handle, STEP_LINK_DOWN, s->now, PEAL_E_CLOSED);
        }
    }
}

void sim_skew(struct sim *s, size_t node, int64_t ms)
{
    s->nodes[node].skew_ms = ms;
    s->nodes[node].drift_us = s->now;
}

void sim_drift(struct sim *s, size_t node, int64_t ppm)
{
    struct node *n = &s->nodes[node];
    n->skew_ms = off_ms(s, n);
    n->drift_us = s->now;
    n->drift_ppm = ppm;
}

void sim_disk(struct sim *s, size_t node, int err)
{
    struct node *n = &s->nodes[node];
    CHECK(err == 0 || err == PEAL_E_NO_SPACE);
    store_memory_fill(n->store, err < 0);
    if (err == 0) { /* it is well once it has written what waited */
        uint32_t life = n->life;
        int full = store_memory_commit(n->store);
        CHECK(full == 0);
        release(s, node);
        if (n->life != life)
            return;
    }
    if (n->running)
        tell_store(s, node, err);
}

void sim_refuse(struct sim *s, size_t node)
{
    struct node *n = &s->nodes[node];
    const struct store_write w = {
        .space = STORE_META, .op = STORE_DEL, .key = peal_bytes_str("of nobody")};
    uint64_t ticket = 0;
    store_memory_fill(n->store, true);
    int err = store_submit(n->store, &w, 1, &ticket); /* the one at which it notices */
    CHECK(err == 0);
    err = store_memory_commit(n->store);
    CHECK(err == PEAL_E_NO_SPACE);
    if (!n->committing) {
        n->committing = true;
        push(s, new_event(s, EV_COMMIT, node, s->now + DIAL_TIMEOUT_US));
    }
}

/* ---- the whole ---- */

static int by_id(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    return id_cmp(&x->id, &y->id);
}

struct sim *sim_new(const struct sim_config *cfg)
{
    struct sim *s = must(calloc(1, sizeof *s));
    int err = cry_init();
    CHECK(err == 0 && cfg->nodes > 0 && cfg->nodes <= SIM_NODES_MAX);
    s->cfg = *cfg;
    if (s->cfg.ops_max == 0)
        s->cfg.ops_max = 64;
    if (s->cfg.latency_us[1] == 0)
        memcpy(s->cfg.latency_us, (uint64_t[]){200, 2000}, sizeof s->cfg.latency_us);
    if (s->cfg.fsync_us[1] == 0)
        memcpy(s->cfg.fsync_us, (uint64_t[]){100, 5000}, sizeof s->cfg.fsync_us);
    rng_init(&s->rng, cfg->seed);
    s->now = START_US;
    s->digest = 0xcbf29ce484222325u;
    s->update_mem = must(aligned_alloc(16, (step_update_size() + 15) / 16 * 16));
    step_update_init(&s->u, s->update_mem);
    struct store_config store = store_config_default();
    for (size_t i = 0; i < cfg->nodes; i++) {
        struct peal_secret seed;
        rng_fill(&s->rng, seed.b, sizeof seed.b);
        cry_sign_key_from_seed(&seed, &s->nodes[i].key);
        s->nodes[i].id = cry_node_id(s->nodes[i].key.pub);
    }
    qsort(s->nodes, cfg->nodes, sizeof s->nodes[0], by_id);
    for (size_t i = 0; i < cfg->nodes; i++) {
        struct node *n = &s->nodes[i];
        snprintf(n->address, sizeof n->address, "10.0.0.%zu:7000", i + 1);
        n->reader = (struct step_reader){.ctx = n, .get = reader_get, .scan = reader_scan};
        err = store_open_memory(&store, &n->store);
        CHECK(err == 0);
    }
    return s;
}

void sim_free(struct sim *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->cfg.nodes; i++) {
        struct node *n = &s->nodes[i];
        sim_crash(s, i);
        free(n->stalled);
        int err = store_close(n->store);
        (void)err; /* a disk that was made full stays so */
    }
    for (size_t i = 0; i < s->heap_n; i++)
        event_free(&s->heap[i]);
    free(s->heap);
    free(s->links);
    free(s->update_mem);
    free(s);
}

struct peal_id sim_id(const struct sim *s, size_t node)
{
    return s->nodes[node].id;
}

struct peal_bytes sim_address(const struct sim *s, size_t node)
{
    return peal_bytes_str(s->nodes[node].address);
}

bool sim_running(const struct sim *s, size_t node)
{
    return s->nodes[node].running;
}

void *sim_core_of(const struct sim *s, size_t node)
{
    return s->nodes[node].core;
}

struct store *sim_store(const struct sim *s, size_t node)
{
    return s->nodes[node].store;
}

const struct step_reader *sim_reader(const struct sim *s, size_t node)
{
    return &s->nodes[node].reader;
}

uint64_t sim_now(const struct sim *s)
{
    return s->now;
}

struct rng *sim_rng(struct sim *s)
{
    return &s->rng;
}

uint64_t sim_digest(const struct sim *s)
{
    return s->digest;
}

uint64_t sim_refused(const struct sim *s)
{
    return s->refused;
}

uint64_t sim_messages(const struct sim *s, uint16_t type)
{
    CHECK(type <= WIRE_TYPE_MAX);
    return s->messages[type];
}

size_t sim_writes_most(const struct sim *s)
{
    return s->writes_most;
}
