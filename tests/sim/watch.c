#include "watch.h"

#include "peal/feed.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <uv.h>

enum {
    TURN_EVENTS = 256, /* of the world, at most, between two turns of the loop */
    GONE_US = 30 * US, /* so long a dead node is shown when there are more than can be */
    NS_PER_US = 1000,
    NS_PER_MS = 1000 * 1000,
    SECOND_MS = 1000,
    LAG_NS = 100 * NS_PER_MS, /* what a slow machine may catch up on; beyond, it is let be */
    TEXT_MAX = 256,
};

/* A node's place in the ring. */
struct place {
    struct wire_node shown; /* its address is filled in only when it is shown */
    uint32_t node;
    bool met; /* it has run, or the seer has heard of it */
    bool taken;
    uint64_t gone_us; /* since when it is down */
};

/* How much was told in the present second. */
struct budget {
    uint64_t since_ms;
    unsigned n;
};

struct watch {
    struct sim_watcher watcher;
    const char *what;
    double pace;
    uv_loop_t loop;
    uv_timer_t pushes, wakes; /* wakes: ends a turn that waits */
    uv_signal_t intr, term;
    struct feed *feed;
    int signum; /* that asked for an end; 0: none */
    bool lingering, waited;

    const struct world *w; /* NULL: no run goes on */
    uint32_t nodes;
    struct place *places;                     /* by id */
    uint32_t seer;                            /* WORLD_NOBODY: nobody lives */
    size_t told_shown, told_of;               /* in the last word about the connection */
    uint64_t at_us, events, zero_ns, lookups; /* zero: the real time of virtual time 0 */
    bool fresh;                               /* something happened since the last push */
    struct budget traces, paths;
};

/* ---- the ring, as the seer sees it ---- */

static const struct ring *ring_at(const struct watch *x, uint32_t node)
{
    return world_core_of(x->w, node);
}

static uint32_t find_seer(const struct watch *x)
{
    for (uint32_t i = 0; i < x->nodes; i++) {
        struct peal_id id = world_id(x->w, i);
        if (world_running(x->w, i) && !world_paused(x->w, i) && ring_is_up(ring_at(x, i), &id))
            return i;
    }
    return WORLD_NOBODY;
}

/* What the seer knows of the node, or else the node of itself. */
static bool contact_of(const struct watch *x, const struct place *p, bool *seen,
                       struct wire_contact *out)
{
    const struct peal_id *id = &p->shown.id;
    *seen = x->seer != WORLD_NOBODY && ring_contact(ring_at(x, x->seer), id, out) == 0;
    return *seen ||
           (world_running(x->w, p->node) && ring_contact(ring_at(x, p->node), id, out) == 0);
}

/* A living node is the one nearest to its own id. */
static bool believed_alive(const struct watch *x, const struct place *p)
{
    struct peal_id nearest;
    return ring_guess(ring_at(x, x->seer), &p->shown.id, &nearest) && id_eq(&nearest, &p->shown.id);
}

/* Whether the node would answer the seer. The seer may hold it to be of another ring all the same,
 * which from here cannot be told from death. */
static bool answers(const struct watch *x, uint32_t node)
{
    if (!world_running(x->w, node) || world_paused(x->w, node))
        return false;
    return x->seer == WORLD_NOBODY ||
           !(world_is_cut(x->w, x->seer, node) || world_is_cut(x->w, node, x->seer));
}

static enum wire_node_status state_in(enum ring_phase phase)
{
    switch (phase) {
    case RING_SEEKING:
        return WIRE_NODE_JOINING;
    case RING_SMALL:
    case RING_LARGE:
        return WIRE_NODE_UP;
    case RING_LEFT:
        return WIRE_NODE_LEAVING;
    }
    return WIRE_NODE_DOWN;
}

static void look_at(struct watch *x, struct place *p)
{
    struct wire_contact c = {0};
    struct ring_view v;
    bool seen, running = world_running(x->w, p->node);
    bool known = contact_of(x, p, &seen, &c);
    uint8_t before = p->shown.state;
    p->met = p->met || known;
    if (!p->met)
        return;
    if (known)
        p->shown.incarnation = c.incarnation;
    p->shown.successor = p->shown.predecessor = (struct peal_id){{0}};
    p->shown.state = WIRE_NODE_DOWN;
    bool up = answers(x, p->node) || (seen && believed_alive(x, p));
    if (up && !running)
        p->shown.state = before == WIRE_NODE_DOWN ? WIRE_NODE_UP : before; /* not yet found out */
    if (up && running) {
        ring_look(ring_at(x, p->node), &v);
        p->shown.state = (uint8_t)state_in(v.phase);
        p->shown.successor = v.successors_n > 0 ? v.successors[0] : v.self;
        p->shown.predecessor = v.predecessor;
    }
    if (p->shown.state == WIRE_NODE_DOWN && before != WIRE_NODE_DOWN)
        p->gone_us = x->at_us;
}

/* Whether the pointers of all that are up close, and nobody is joining. */
static bool is_whole(const struct watch *x)
{
    const struct wire_node *first = NULL, *last = NULL;
    for (uint32_t i = 0; i < x->nodes; i++) {
        const struct wire_node *n = &x->places[i].shown;
        if (!x->places[i].met || n->state == WIRE_NODE_DOWN || n->state == WIRE_NODE_LEAVING)
            continue;
        if (n->state == WIRE_NODE_JOINING || (last != NULL && !(id_eq(&last->successor, &n->id) &&
                                                                id_eq(&n->predecessor, &last->id))))
            return false;
        first = first == NULL ? n : first;
        last = n;
    }
    if (first == NULL)
        return false;
    return id_eq(&last->successor, &first->id) &&
           (first == last || id_eq(&first->predecessor, &last->id));
}

/* ---- which of them are shown ---- */

static bool stands(const struct watch *x, const struct place *p, bool crowded)
{
    bool gone = p->shown.state == WIRE_NODE_DOWN && x->at_us - p->gone_us >= GONE_US;
    return p->met && !(crowded && gone);
}

/* The first at or after the place that stands and is not taken; there must be one. */
static struct place *next_of(struct watch *x, size_t place, bool crowded)
{
    for (uint32_t i = 0; i < x->nodes; i++) {
        struct place *p = &x->places[(place + i) % x->nodes];
        if (!p->taken && stands(x, p, crowded))
            return p;
    }
    CHECK(false);
    return NULL;
}

/* The first place at or after the k-th of WATCH_SHOWN_MAX points that lie evenly in the ring. */
static size_t place_at(const struct watch *x, size_t k)
{
    struct peal_id point = {{(uint8_t)(k * (UINT8_MAX + 1) / WATCH_SHOWN_MAX)}};
    size_t from = 0, to = x->nodes;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (id_cmp(&x->places[middle].shown.id, &point) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Returns how many there are; of many, those that lie next to evenly spaced points are shown, so
 * that the choice changes little as nodes come and go. */
static size_t choose(struct watch *x, struct place *shown[static WATCH_SHOWN_MAX], size_t *n)
{
    size_t met = 0, stand = 0;
    for (uint32_t i = 0; i < x->nodes; i++) {
        x->places[i].taken = false;
        met += x->places[i].met;
    }
    bool crowded = met > WATCH_SHOWN_MAX;
    for (uint32_t i = 0; i < x->nodes; i++)
        stand += stands(x, &x->places[i], crowded);
    *n = stand < WATCH_SHOWN_MAX ? stand : WATCH_SHOWN_MAX;
    for (size_t k = 0; k < *n; k++) {
        shown[k] = next_of(x, place_at(x, k), crowded);
        shown[k]->taken = true;
    }
    return stand;
}

static struct peal_bytes address_of(const struct watch *x, const struct place *p,
                                    char text[static WIRE_ADDRESS_MAX])
{
    struct wire_contact c;
    bool seen;
    uint32_t address = world_address(x->w, p->node);
    if (contact_of(x, p, &seen, &c))
        return wire_address(c.addresses, 0);
    text[0] = 0;
    if (address != WORLD_NOBODY)
        world_address_text(address, text);
    return peal_bytes_str(text);
}

/* ---- telling the page ---- */

static void tell_connection(struct watch *x, size_t shown, size_t of, bool over)
{
    char text[TEXT_MAX], part[TEXT_MAX / 2] = "";
    if (shown < of)
        (void)snprintf(part, sizeof part, ": %zu of %zu nodes are shown", shown, of);
    (void)snprintf(text, sizeof text, "peal-sim, %.64s%s%s", x->what, part,
                   over ? " (the run is over)" : "");
    feed_connection(x->feed, true, text, "");
    x->told_shown = shown;
    x->told_of = of;
}

static void tell_ring(struct watch *x)
{
    char addresses[WATCH_SHOWN_MAX][WIRE_ADDRESS_MAX];
    struct wire_node nodes[WATCH_SHOWN_MAX];
    struct place *shown[WATCH_SHOWN_MAX];
    struct ring_view v;
    struct wire_c_ring m = {.nodes = {.v = nodes}};
    x->fresh = false;
    x->seer = find_seer(x);
    for (uint32_t i = 0; i < x->nodes; i++)
        look_at(x, &x->places[i]);
    size_t of = choose(x, shown, &m.nodes.n);
    for (size_t i = 0; i < m.nodes.n; i++) {
        nodes[i] = shown[i]->shown;
        nodes[i].address = address_of(x, shown[i], addresses[i]);
    }
    m.whole = is_whole(x);
    m.at = world_wall_ms(x->w, x->seer != WORLD_NOBODY ? x->seer : 0);
    if (x->seer != WORLD_NOBODY) {
        ring_look(ring_at(x, x->seer), &v);
        m.seen_by = v.self;
        m.coordinator = v.coordinator;
    }
    if (m.nodes.n != x->told_shown || of != x->told_of)
        tell_connection(x, m.nodes.n, of, false);
    feed_ring(x->feed, &m, of);
}

static bool within(struct watch *x, struct budget *b, unsigned most)
{
    uint64_t now = uv_now(&x->loop);
    if (now - b->since_ms >= SECOND_MS)
        *b = (struct budget){.since_ms = now};
    return b->n++ < most;
}

static void on_trace(void *ctx, uint32_t node, const struct step_effect *e)
{
    struct watch *x = ctx;
    if (x->w == NULL || e->level < STEP_INFO)
        return;
    struct wire_c_trace m = {.at = world_wall_ms(x->w, node),
                             .node = world_id(x->w, node),
                             .kind = peal_bytes_str(e->name),
                             .text = e->bytes};
    if (m.text.n <= WIRE_TEXT_MAX && peal_utf8_valid(m.text) &&
        within(x, &x->traces, WATCH_TRACES_MAX))
        feed_trace(x->feed, &m);
}

static void on_found(void *ctx, uint32_t asker, const struct ring_found *f)
{
    struct watch *x = ctx;
    struct peal_id path[WIRE_PATH_MAX];
    if (f->path_n == 0 || f->path_n > WIRE_PATH_MAX || !within(x, &x->paths, WATCH_PATHS_MAX))
        return;
    memcpy(path, f->path, f->path_n * sizeof *path);
    struct wire_c_path m = {.key = f->key,
                            .owner = f->owner.id,
                            .path = {.v = path, .n = f->path_n},
                            .micros = f->took_us};
    json_decref(feed_path(feed_web(x->feed), &m, ++x->lookups, world_wall_ms(x->w, asker)));
}

static void on_command(void *ctx, struct web_request *req, const char *name, const char *body,
                       size_t n)
{
    (void)ctx, (void)name, (void)body, (void)n;
    web_reply_error(req, 400, err_name(PEAL_E_REFUSED),
                    "A simulated ring takes no questions: they would change the run.",
                    "The lookups that its scenario makes are drawn as they end.");
}

/* ---- time ---- */

static void on_push(uv_timer_t *t)
{
    struct watch *x = t->data;
    if (x->w != NULL && x->fresh)
        tell_ring(x);
}

static void on_wake(uv_timer_t *t)
{
    const struct watch *x = t->data;
    if (x->lingering)
        uv_stop(t->loop);
}

static void on_signal(uv_signal_t *s, int signum)
{
    struct watch *x = s->data;
    x->signum = signum;
    if (x->lingering)
        uv_stop(s->loop);
}

/* One turn of the loop; does not return when the user wants an end. */
static void turn(struct watch *x, uv_run_mode mode)
{
    (void)uv_run(&x->loop, mode);
    if (x->signum == 0)
        return;
    fprintf(stderr, "peal-sim: interrupted at %.1f virtual seconds: there is no verdict\n",
            (double)x->at_us / US);
    watch_free(x);
    exit(WATCH_EXIT_INTERRUPTED);
}

static void wake_in(struct watch *x, uint64_t ms)
{
    uv_update_time(&x->loop);
    int err = uv_timer_start(&x->wakes, on_wake, ms, 0);
    CHECK(err == 0);
}

/* Waits until it is time for what happens at at_us; to less than a millisecond. */
static void keep_pace(struct watch *x, uint64_t at_us)
{
    uint64_t due = x->zero_ns + (uint64_t)((double)at_us / x->pace * NS_PER_US), now = uv_hrtime();
    if (now > due + LAG_NS)
        x->zero_ns += now - due;
    for (; now + NS_PER_MS <= due; now = uv_hrtime()) {
        wake_in(x, (due - now) / NS_PER_MS);
        turn(x, UV_RUN_ONCE);
    }
}

static void on_before(void *ctx, uint64_t at_us)
{
    struct watch *x = ctx;
    if (at_us > x->at_us && x->pace > 0)
        keep_pace(x, at_us);
    if (++x->events % TURN_EVENTS == 0)
        turn(x, UV_RUN_NOWAIT);
    x->at_us = at_us;
    x->fresh = true;
}

/* So that nobody who opens the page at once misses the beginning. */
static void wait_for_page(struct watch *x)
{
    uint64_t began = uv_hrtime() / NS_PER_MS;
    for (uint64_t now = began;
         web_subscribers(feed_web(x->feed)) == 0 && now - began < WATCH_PAGE_MS;
         now = uv_hrtime() / NS_PER_MS) {
        wake_in(x, WATCH_PAGE_MS - (now - began));
        turn(x, UV_RUN_ONCE);
    }
}

/* ---- runs ---- */

static int by_id(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return id_cmp(&x->shown.id, &y->shown.id);
}

static void on_opened(void *ctx, const struct world *w, uint32_t nodes)
{
    struct watch *x = ctx;
    CHECK(x->w == NULL && x->places == NULL);
    x->places = calloc(nodes, sizeof *x->places);
    CHECK(x->places != NULL);
    for (uint32_t i = 0; i < nodes; i++)
        x->places[i] = (struct place){.node = i, .shown = {.id = world_id(w, i)}};
    qsort(x->places, nodes, sizeof *x->places, by_id);
    tell_connection(x, 0, 0, false);
    if (x->pace > 0 && !x->waited)
        wait_for_page(x);
    x->waited = true;
    x->w = w;
    x->nodes = nodes;
    x->at_us = 0;
    x->zero_ns = uv_hrtime();
}

static void on_closing(void *ctx)
{
    struct watch *x = ctx;
    CHECK(x->w != NULL);
    tell_ring(x);
    tell_connection(x, x->told_shown, x->told_of, true);
    turn(x, UV_RUN_NOWAIT);
    x->w = NULL;
    free(x->places);
    x->places = NULL;
}

const struct sim_watcher *watch_watcher(const struct watch *x)
{
    return &x->watcher;
}

/* ---- opening, staying, closing ---- */

static void start_signal(struct watch *x, uv_signal_t *s, int signum)
{
    int err = uv_signal_init(&x->loop, s);
    CHECK(err == 0);
    s->data = x;
    err = uv_signal_start(s, on_signal, signum);
    CHECK(err == 0);
}

static void start_timers(struct watch *x)
{
    int err = uv_timer_init(&x->loop, &x->pushes);
    CHECK(err == 0);
    err = uv_timer_init(&x->loop, &x->wakes);
    CHECK(err == 0);
    x->pushes.data = x->wakes.data = x;
    err = uv_timer_start(&x->pushes, on_push, WATCH_RING_MS, WATCH_RING_MS);
    CHECK(err == 0);
}

static void close_loop(struct watch *x)
{
    (void)uv_run(&x->loop, UV_RUN_DEFAULT); /* until all handles have closed */
    int err = uv_loop_close(&x->loop);
    CHECK(err == 0);
    free(x);
}

int watch_new(uint32_t port, double pace, const char *what, FILE *out, struct watch **watch)
{
    char listen[TEXT_MAX];
    struct feed_commands commands = {.on_command = on_command};
    struct watch *x = calloc(1, sizeof *x);
    CHECK(x != NULL && port <= UINT16_MAX && pace >= 0);
    x->what = what;
    x->pace = pace;
    x->watcher = (struct sim_watcher){.ctx = x,
                                      .opened = on_opened,
                                      .closing = on_closing,
                                      .before = on_before,
                                      .trace = on_trace,
                                      .found = on_found};
    int err = uv_loop_init(&x->loop);
    CHECK(err == 0);
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    err = feed_new(&x->loop, listen, &commands, &x->feed);
    if (err != 0) {
        close_loop(x);
        return err;
    }
    start_signal(x, &x->intr, SIGINT);
    start_signal(x, &x->term, SIGTERM);
    start_timers(x);
    fprintf(out, "ready web=%s\n", web_url(feed_web(x->feed)));
    (void)fflush(out);
    *watch = x;
    return 0;
}

void watch_free(struct watch *x)
{
    if (x == NULL)
        return;
    feed_free(x->feed);
    uv_close((uv_handle_t *)&x->intr, NULL);
    uv_close((uv_handle_t *)&x->term, NULL);
    uv_close((uv_handle_t *)&x->pushes, NULL);
    uv_close((uv_handle_t *)&x->wakes, NULL);
    free(x->places);
    close_loop(x);
}

static void on_key(uv_poll_t *p, int status, int events)
{
    char key[TEXT_MAX];
    (void)status, (void)events;
    (void)!read(STDIN_FILENO, key, sizeof key); /* or the shell would get it */
    uv_stop(p->loop);
}

/* Single keys instead of lines, unless somebody else has the terminal; false then. */
static bool take_keys(struct termios *before)
{
    struct termios keys;
    if (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, before) != 0)
        return false;
    keys = *before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    return tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
}

void watch_linger(struct watch *x, uint32_t seconds)
{
    struct termios before;
    uv_poll_t keys;
    CHECK(x->w == NULL);
    x->lingering = true;
    bool polled = take_keys(&before) && uv_poll_init(&x->loop, &keys, STDIN_FILENO) == 0;
    if (polled)
        (void)!uv_poll_start(&keys, UV_READABLE, on_key);
    if (seconds != WATCH_STAYS)
        wake_in(x, (uint64_t)seconds * SECOND_MS);
    if (seconds > 0)
        fprintf(stderr, "peal-sim: the run is over; %s stays%s\n", web_url(feed_web(x->feed)),
                polled ? " until a key is pressed" : "");
    if (x->signum == 0)
        (void)uv_run(&x->loop, UV_RUN_DEFAULT);
    if (polled) {
        uv_close((uv_handle_t *)&keys, NULL);
        (void)uv_run(&x->loop, UV_RUN_NOWAIT);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
}
