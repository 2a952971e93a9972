/* A host's life: opening and closing, and turning what happens on links, disk and clock into the
 * core's events. */
#include "disk.h"
#include "host_internal.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    HOST_DIAL_TIMEOUT_US = 3 * 1000 * 1000,
    HOST_LEAVE_US = 3 * 1000 * 1000,   /* how long clients may take to go */
    HOST_NEEDED_US = 60 * 1000 * 1000, /* how long another server may take to copy what only that
                                          one and too few others have */
    HOST_NODE_LINKS = 2 * WIRE_ROSTER_MAX, /* kept free for servers, however many clients come */
};

/* ---- steps ---- */

static int apply(struct host *h, struct step_event *ev)
{
    ev->now_us = net_now_us();
    ev->wall_ms = net_wall_ms();
    ev->reader = &h->reader;
    step_update_reset(&h->update);
    svc_step(h->svc, ev, &h->update);
    return effects_apply(h);
}

/* That writes were refused the core hears at once (peal/step.h); that the store is well again, be
 * it a moment later, with the next look at it. */
static void one_step(struct host *h, struct step_event *ev)
{
    int err = apply(h, ev);
    if (err == 0 || h->store_err != 0)
        return;
    struct step_event unwell = {.kind = STEP_STORE_STATE, .err = err};
    h->store_err = err;
    log_line(STEP_WARN, "store", "this server steps back until it is well again");
    err = apply(h, &unwell);
    (void)err; /* it has been told */
}

static void drain_self(struct host *h)
{
    while (h->self != NULL) {
        struct host_self *s = h->self;
        h->self = s->next;
        if (h->self == NULL)
            h->self_end = &h->self;
        struct step_event ev = {
            .kind = STEP_RECEIVED, .link = STEP_SELF, .bytes = peal_bytes_of(s->bytes, s->n)};
        one_step(h, &ev);
        free(s);
    }
}

static void tell_undialled(struct host *h);

/* The core leaves the ring once its clients have gone elsewhere; then, or when that takes too long,
 * the links are closed and nothing keeps the loop any more. */
static void go_on_leaving(struct host *h)
{
    if (h->left)
        return;
    uint64_t now = net_now_us(), due = svc_deadline(h->svc), by = h->leave_by_us;
    if (now >= by && chord_is_needed(svc_chord(h->svc)))
        by += HOST_NEEDED_US;
    h->left = chord_state(svc_chord(h->svc)) == CHORD_LEFT || now >= by;
    if (!h->left) {
        net_timer_at(h->timer, due < by ? due : by);
        return;
    }
    store_flush(h->store);
    net_timer_stop(h->timer);
    net_loop_shutdown(h->loop, "this server is leaving");
}

static void after_steps(struct host *h)
{
    if (h->leaving) {
        go_on_leaving(h);
        return;
    }
    uint64_t due = svc_deadline(h->svc);
    if (due != h->deadline) {
        h->deadline = due;
        net_timer_at(h->timer, due);
    }
    if (!h->ready && chord_state(svc_chord(h->svc)) == CHORD_MEMBER) {
        h->ready = true;
        char listen[NET_ADDR_TEXT];
        bool any = net_addr_is_any(net_listener_addr(h->listener));
        net_addr_text(any ? &h->announced.v[0] : net_listener_addr(h->listener), listen);
        announce_say_link(h);
        h->cfg.ready(h->cfg.user, &h->cfg.identity.id, listen);
    }
}

void host_step(struct host *h, struct step_event *ev)
{
    /* Net callbacks never come from inside a call (peal/net.h), so that steps cannot nest. */
    CHECK(!h->running);
    h->running = true;
    one_step(h, ev);
    drain_self(h);
    tell_undialled(h);
    h->running = false;
    after_steps(h);
}

static void tell_store(struct host *h)
{
    bool news = false;
    struct step_event ev = {.kind = STEP_STORE_STATE, .err = disk_health(h, &news)};
    if (news)
        host_step(h, &ev);
}

static void on_timer(void *user)
{
    struct host *h = user;
    h->deadline = UINT64_MAX;
    disk_tick(h);
    tell_store(h);
    struct step_event ev = {.kind = STEP_TIMER};
    host_step(h, &ev);
}

static void on_store(void *user)
{
    struct host *h = user;
    CHECK(!h->running);
    h->running = true;
    effects_release(h);
    drain_self(h);
    tell_undialled(h);
    h->running = false;
    tell_store(h);
    after_steps(h);
}

static void store_wake(void *arg)
{
    struct host *h = arg;
    net_wake_fire(h->wake);
}

/* ---- reading ---- */

static const enum store_space spaces[] = {
    [STEP_META] = STORE_META, [STEP_REGISTERS] = STORE_REGISTERS, [STEP_ROWS] = STORE_ROWS};

/* One damaged row is no reason to step back: repair brings it back from the other homes. */
static void note_failure(struct host *h, int err)
{
    if (err == PEAL_E_CORRUPT && store_corrupt_key(h->store).n > 0)
        log_line(STEP_WARN, "store", "%s", store_error_text(h->store));
    else if (err == PEAL_E_IO || err == PEAL_E_CORRUPT)
        disk_read_failed(h, err);
}

static int reader_get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
                      struct peal_bytes *value)
{
    struct host *h = ctx;
    int err = store_get(h->store, spaces[space], key, a, value);
    note_failure(h, err);
    return err;
}

struct counted {
    step_scan_fn *fn;
    void *ctx;
    size_t left;
    bool stopped;
};

static bool count_one(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    struct counted *c = arg;
    c->left--;
    c->stopped = !c->fn(c->ctx, key, value);
    return !c->stopped;
}

static int reader_scan(void *ctx, enum step_space space, struct peal_bytes from,
                       struct peal_bytes to, size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    struct host *h = ctx;
    struct counted c = {.fn = fn, .ctx = fn_ctx, .left = limit};
    uint8_t after[STORE_KEY_MAX + 1];
    int err = store_scan(h->store, spaces[space], from, to, limit, count_one, &c);
    /* A damaged row is left out, and the scan goes on behind it: repair brings it back from the
     * other homes. */
    while (err == PEAL_E_CORRUPT) {
        struct peal_bytes bad = store_corrupt_key(h->store);
        if (bad.n == 0)
            break; /* a page, and with it nobody knows what */
        CHECK(bad.n < sizeof after);
        note_failure(h, err);
        memcpy(after, bad.p, bad.n);
        after[bad.n] = 0;
        if (c.left == 0 || c.stopped)
            return 0;
        err = store_scan(h->store, spaces[space], peal_bytes_of(after, bad.n + 1), to, c.left,
                         count_one, &c);
    }
    note_failure(h, err);
    return err;
}

/* ---- links ---- */

static struct host_link *link_new(struct host *h, struct net_link *net)
{
    uint32_t handle = 0;
    struct host_link *l = slab_take(&h->links, &handle);
    if (l == NULL)
        return NULL;
    CHECK(handle != STEP_NO_LINK && handle != STEP_SELF);
    *l = (struct host_link){.host = h, .net = net, .handle = handle};
    net_link_user_set(net, l);
    return l;
}

static void tell_up(struct host *h, struct host_link *l)
{
    const struct net_link_info *info = net_link_info(l->net);
    l->up = true;
    l->node = info->alpn == NET_ALPN_NODE;
    l->json = info->alpn == NET_ALPN_JSON;
    if (!info->dialled)
        net_addr_text(&info->peer, l->address);
    struct step_event ev = {.kind = STEP_LINK_UP,
                            .link = l->handle,
                            .link_kind = l->node ? STEP_LINK_NODE : STEP_LINK_CLIENT,
                            .dialled = info->dialled,
                            .peer = info->peer_id,
                            .address = peal_bytes_str(l->address)};
    host_step(h, &ev);
}

static void on_accept_up(struct net_link *net)
{
    struct host *h = net_link_user(net);
    bool node = net_link_info(net)->alpn == NET_ALPN_NODE;
    bool room = node || h->links.cap - h->links.used > HOST_NODE_LINKS;
    struct host_link *l = room ? link_new(h, net) : NULL;
    if (l == NULL) {
        net_link_user_set(net, NULL);
        net_link_abort(net, "this server has too many links");
        return;
    }
    tell_up(h, l);
}

static void on_dial_up(struct net_link *net)
{
    struct host_link *l = net_link_user(net);
    tell_up(l->host, l);
}

static void on_frame(struct net_link *net, struct peal_bytes payload)
{
    struct host_link *l = net_link_user(net);
    if (l == NULL || l->ended)
        return;
    struct host *h = l->host;
    struct step_event ev = {.kind = STEP_RECEIVED, .link = l->handle, .bytes = payload};
    if (l->json) {
        char why[WIRE_WHY_MAX];
        int err = json_to_binary(h, payload, &ev.bytes, why);
        if (err != 0) {
            log_line(STEP_INFO, "link", "closing %s: %s", l->address, why);
            l->ended = true;
            net_link_close(net, why);
            return;
        }
    }
    host_step(h, &ev);
}

/* That a node which is down cannot be dialled is said once by the core, and not at every try; that
 * a server is of another ring, this seldom, and with the remedy. */
static void say_down(struct host *h, const struct host_link *l, int err, const char *reason)
{
    bool dialled = net_link_info(l->net)->dialled;
    bool usual = err == PEAL_E_CLOSED ||
                 (!l->up && (!dialled || err == PEAL_E_REFUSED || err == PEAL_E_UNAVAILABLE));
    if (!dialled || err != PEAL_E_FOREIGN) {
        log_line(usual ? STEP_DEBUG : STEP_INFO, "link", "%s is down: %s", l->address, reason);
        return;
    }
    uint64_t now = net_now_us();
    if (h->foreign_link_us != 0 && now - h->foreign_link_us < HOST_SAY_US)
        return;
    h->foreign_link_us = now;
    log_line(
        STEP_WARN, "link",
        "%s belongs to another ring (%s): this server cannot join it with its key; copy the ring "
        "key of that server and give it here with --ring-key-file",
        l->address, reason);
}

static void link_end(struct host_link *l, int err, const char *reason)
{
    struct host *h = l->host;
    const struct net_link_info *info = net_link_info(l->net);
    bool tell = l->up || info->dialled;
    say_down(h, l, err, reason);
    struct step_event ev = {.kind = STEP_LINK_DOWN,
                            .link = l->handle,
                            .link_kind =
                                l->node || info->dialled ? STEP_LINK_NODE : STEP_LINK_CLIENT,
                            .dialled = info->dialled,
                            .address = peal_bytes_str(l->address),
                            .err = err};
    l->net = NULL;
    if (tell && h->svc != NULL)
        host_step(h, &ev);
    slab_release(&h->links, ev.link);
}

static void on_down(struct net_link *net, int err, const char *reason)
{
    struct host_link *l = net_link_user(net);
    if (l != NULL)
        link_end(l, err, reason);
}

static void on_refused(void *user, const struct net_addr *peer, int err, const char *reason)
{
    (void)user;
    char text[NET_ADDR_TEXT];
    net_addr_text(peer, text);
    log_line(err == PEAL_E_CLOSED ? STEP_DEBUG : STEP_INFO, "link", "%s was refused: %s", text,
             reason);
}

static const struct net_events accept_events = {
    .up = on_accept_up, .frame = on_frame, .down = on_down, .refused = on_refused};
static const struct net_events dial_events = {.up = on_dial_up, .frame = on_frame, .down = on_down};

/* A dial that ended before there was a link: told like any other, but only after the step that
 * asked for it, since steps do not nest. */
static void dial_failed(struct host *h, struct peal_bytes address, int err)
{
    struct host_undialled *u = malloc(sizeof *u + address.n);
    CHECK(u != NULL);
    u->next = NULL;
    u->err = err;
    u->n = address.n;
    memcpy(u->address, address.p, address.n);
    *h->undialled_end = u;
    h->undialled_end = &u->next;
}

static void tell_undialled(struct host *h)
{
    while (h->undialled != NULL) {
        struct host_undialled *u = h->undialled;
        h->undialled = u->next;
        if (h->undialled == NULL)
            h->undialled_end = &h->undialled;
        struct step_event ev = {.kind = STEP_LINK_DOWN,
                                .link_kind = STEP_LINK_NODE,
                                .dialled = true,
                                .address = peal_bytes_of(u->address, u->n),
                                .err = u->err};
        one_step(h, &ev);
        drain_self(h);
        free(u);
    }
}

void host_dial(struct host *h, struct peal_bytes address)
{
    struct net_dial_opts opts = {.tls = h->tls_node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &dial_events,
                                 .timeout_us = HOST_DIAL_TIMEOUT_US};
    char text[NET_PLACE_TEXT], why[NET_REASON_MAX];
    struct net_link *net = NULL;
    int err = peal_bytes_to_str(address, sizeof text, text);
    if (err == 0)
        err = net_place_parse(text, 0, &opts.place, why);
    else
        (void)snprintf(why, sizeof why, "the address is not text");
    /* Peers on one machine's loopback addresses are told apart by where they come from. */
    if (err == 0 && net_addr_is_loopback(&h->announced.v[0])) {
        opts.from = h->announced.v[0];
        opts.from.port = 0;
    }
    if (err == 0 && (err = net_dial(h->loop, &opts, &net)) != 0)
        (void)snprintf(why, sizeof why, "%s", err_prose(err));
    struct host_link *l = err == 0 ? link_new(h, net) : NULL;
    if (l != NULL) {
        (void)snprintf(l->address, sizeof l->address, "%s", text);
        return;
    }
    if (net != NULL) {
        net_link_user_set(net, NULL);
        net_link_abort(net, "too many links");
        (void)snprintf(why, sizeof why, "this server has too many links");
    }
    dial_failed(h, address, err != 0 ? err : PEAL_E_FULL);
    log_line(STEP_WARN, "link", "%.*s cannot be dialled: %s", (int)address.n,
             (const char *)address.p, why);
}

void host_dial_now(struct host *h, struct peal_bytes address)
{
    CHECK(!h->running);
    h->running = true;
    host_dial(h, address);
    tell_undialled(h);
    h->running = false;
    after_steps(h);
}

void host_send(struct host *h, struct host_link *l, struct peal_bytes message)
{
    struct peal_bytes out = message;
    if (l->json && json_from_binary(h, message, &out) != 0) {
        log_line(STEP_WARN, "link", "a message for %s is too long for JSON", l->address);
        l->ended = true;
        net_link_close(l->net, "a message for you is too long for JSON");
        return;
    }
    int err = net_link_send(l->net, out);
    if (err != 0)
        log_line(STEP_DEBUG, "link", "a message for %s was not sent: %s", l->address,
                 err_prose(err));
}

/* ---- opening and closing ---- */

static int open_links(struct host *h, char *why)
{
    int err = net_tls_server_new(&h->cfg.identity, &h->tls_server);
    if (err == 0)
        err = net_tls_node_new(&h->cfg.identity, &h->tls_node);
    if (err != 0) {
        (void)snprintf(why, HOST_WHY_MAX, "TLS cannot be set up: %s", err_prose(err));
        return err;
    }
    struct net_listen_opts opts = {
        .addr = h->cfg.listen, .tls = h->tls_server, .events = &accept_events, .user = h};
    char reason[NET_REASON_MAX];
    err = net_listen(h->loop, &opts, &h->listener, reason);
    if (err != 0) {
        (void)snprintf(why, HOST_WHY_MAX, "--listen: %s", reason);
        return err;
    }
    return announce_open(h, why);
}

static int open_store(struct host *h, char *why)
{
    h->store_wake = store_wake;
    int err = net_wake_new(h->loop, on_store, h, &h->wake);
    if (err == 0)
        err = net_timer_new(h->loop, on_timer, h, &h->timer);
    if (err != 0) {
        (void)snprintf(why, HOST_WHY_MAX, "%s", err_prose(err));
        return err;
    }
    net_wake_hold(h->wake, false);
    err = disk_open(h, why);
    h->reader = (struct step_reader){.ctx = h, .get = reader_get, .scan = reader_scan};
    return err;
}

static int open_core(struct host *h, char *why)
{
    struct svc_config sc = {.sessions_max = h->cfg.clients_max,
                            .locations_max = SVC_LOCATIONS_DEFAULT,
                            .message_days = h->cfg.message_days};
    uint8_t sig[CRY_SIG_BYTES];
    sc.chord.self = h->cfg.identity.id;
    announce_sign(h, &sc.chord.contact, sig);
    for (size_t i = 0; i < h->cfg.joins_n; i++)
        sc.chord.joins[i] = peal_bytes_str(h->cfg.joins[i]);
    sc.chord.joins_n = h->cfg.joins_n;
    sc.chord.discovery = h->cfg.groups.n > 0;
    sc.chord.replicas = h->cfg.replicas;
    sc.chord.expect = h->cfg.expect;
    sc.chord.domain = peal_bytes_str(h->cfg.domain != NULL ? h->cfg.domain : "");
    h->cfg.domain = NULL;
    sc.chord.auto_remove_us = h->cfg.auto_remove_us;
    sc.chord.repair_bytes = h->cfg.repair_bytes;
    sc.chord.box_rows_max = h->cfg.mailbox_messages;
    sc.chord.box_bytes_max = h->cfg.mailbox_bytes;
    cry_random(&sc.chord.seed, sizeof sc.chord.seed);
    cry_random(sc.secret, sizeof sc.secret);
    memcpy(sc.operator_pub, h->cfg.operator_pub, sizeof sc.operator_pub);
    h->svc_mem = aligned_alloc(64, (svc_size(&sc) + 63) / 64 * 64);
    h->update_mem = aligned_alloc(64, (step_update_size() + 63) / 64 * 64);
    uint32_t links_max = h->cfg.clients_max + 2 * WIRE_ROSTER_MAX + 256;
    h->links_mem =
        aligned_alloc(64, (slab_size(links_max, sizeof(struct host_link)) + 63) / 64 * 64);
    int err = PEAL_E_NO_MEMORY;
    if (h->svc_mem != NULL && h->update_mem != NULL && h->links_mem != NULL)
        err = json_init(h);
    if (err == 0) {
        slab_init(&h->links, h->links_mem, links_max, sizeof(struct host_link));
        step_update_init(&h->update, h->update_mem);
        err = svc_init(h->svc_mem, &sc, &h->svc);
    }
    cry_wipe(&sc.secret, sizeof sc.secret);
    if (err != 0)
        (void)snprintf(why, HOST_WHY_MAX, "the server's core cannot start: %s", err_prose(err));
    return err;
}

int host_new(const struct host_config *cfg, struct host **out, char why[static HOST_WHY_MAX])
{
    struct host *h = calloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL) {
        (void)snprintf(why, HOST_WHY_MAX, "no memory");
        return PEAL_E_NO_MEMORY;
    }
    h->cfg = *cfg;
    h->loop = cfg->loop;
    h->held_end = &h->held;
    h->self_end = &h->self;
    h->undialled_end = &h->undialled;
    h->deadline = UINT64_MAX;
    int err = open_store(h, why);
    if (err == 0)
        err = open_links(h, why);
    if (err == 0)
        err = open_core(h, why);
    if (err != 0) {
        int closed = host_free(h);
        return closed != 0 && err == 0 ? closed : err;
    }
    struct step_event ev = {.kind = STEP_START};
    host_step(h, &ev);
    *out = h;
    return 0;
}

void host_leave(struct host *h)
{
    if (h->leaving)
        return;
    h->leaving = true;
    h->leave_by_us = net_now_us() + HOST_LEAVE_US;
    net_listener_free(h->listener);
    h->listener = NULL;
    announce_close(h);
    struct step_event ev = {.kind = STEP_LEAVE};
    host_step(h, &ev);
}

int host_free(struct host *h)
{
    CHECK(h->links_mem == NULL || h->links.used == 0);
    int err = store_close(h->store);
    h->store = NULL;
    net_tls_free(h->tls_server);
    net_tls_free(h->tls_node);
    effects_drop(h);
    json_fini(h);
    free(h->svc_mem);
    free(h->update_mem);
    free(h->links_mem);
    cry_wipe(&h->cfg, sizeof h->cfg);
    free(h);
    return err;
}

/* ---- figures ---- */

enum { VIEW_BYTES = 64 * 1024 }; /* more than the view of a ring takes */

void host_figures(const struct host *h, struct host_figures *out)
{
    const struct chord *c = svc_chord(h->svc);
    struct wire_c_ring ring = {0};
    struct arena a;
    void *mem = malloc(VIEW_BYTES);
    CHECK(mem != NULL);
    arena_init(&a, mem, VIEW_BYTES);
    *out = (struct host_figures){.state = chord_state(c), .store_err = store_health(h->store)};
    chord_ring(c, &a, &ring);
    out->serves = out->state == CHORD_MEMBER && out->store_err == 0 && !h->leaving;
    out->whole = ring.whole;
    out->epoch = ring.epoch;
    out->members = ring.nodes.n;
    for (size_t i = 0; i < ring.nodes.n; i++) {
        const struct wire_node *n = &ring.nodes.v[i];
        out->members_up += n->state == WIRE_NODE_UP;
        if (id_eq(&n->id, &h->cfg.identity.id))
            out->rows = n->rows;
    }
    free(mem);
    ring_known(chord_overlay(c), &out->known_living, &out->known_dead);
    out->overlay = *ring_count(chord_overlay(c));
    svc_stats(h->svc, &out->service);
    store_stats(h->store, &out->store);
}
