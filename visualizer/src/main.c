/* peal-visualizer: shows a ring live in a browser. Asks a server for its view of the ring and for
 * what happens on it, over the clients' protocol, and passes both on to the page as server-sent
 * events. What the page asks for itself is in lookup.h.
 *
 * Not for: changing anything. It needs no account and holds no key. */
#include "lookup.h"
#include "peal/crypto.h"
#include "peal/feed.h"
#include "peal/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, SERVERS_MAX = 16 };

struct program {
    struct net_loop *loop;
    struct reach *reach;
    struct feed *feed;
    struct lookups *lookups;
    uv_signal_t term, intr;
    char reason[NET_REASON_MAX]; /* why no server is reached */
};

static void tell_connection(struct program *p)
{
    feed_connection(p->feed, reach_is_up(p->reach), reach_address(p->reach), p->reason);
}

static void on_command(void *ctx, struct web_request *request, const char *name, const char *body,
                       size_t n)
{
    struct program *p = ctx;
    if (strcmp(name, "lookup") == 0)
        lookups_ask(p->lookups, request, body, n, p->reason);
    else
        web_reply_error(request, 404, "not_found", "there is no such command", NULL);
}

static void on_cancel(void *ctx, struct web_request *request)
{
    const struct program *p = ctx;
    lookups_cancel(p->lookups, request);
}

/* ---- the server ---- */

static void on_up(void *user, const char *address, const struct wire_c_welcome *welcome)
{
    struct program *p = user;
    struct wire_c_ring_get get = {.req = 1, .observe = true};
    (void)welcome;
    fprintf(stderr, "peal-visualizer: watching the ring through %s\n", address);
    p->reason[0] = '\0';
    if (reach_send(p->reach, WIRE_c_ring_get, &get) != 0)
        reach_renew(p->reach, "the server takes no question");
    tell_connection(p);
}

static void on_message(void *user, enum wire_type type, const void *msg)
{
    struct program *p = user;
    if (type == WIRE_c_ring) {
        const struct wire_c_ring *ring = msg;
        feed_ring(p->feed, ring, ring->nodes.n);
    } else if (type == WIRE_c_trace)
        feed_trace(p->feed, msg);
    else if (type == WIRE_c_path)
        lookups_path(p->lookups, msg);
    else if (type == WIRE_c_error)
        lookups_error(p->lookups, msg);
}

static void on_down(void *user, int err, const char *reason)
{
    struct program *p = user;
    (void)err;
    (void)snprintf(p->reason, sizeof p->reason, "%s", reason);
    lookups_down(p->lookups);
    tell_connection(p);
}

static void on_failed(void *user, const char *address, int err, const char *reason)
{
    struct program *p = user;
    (void)err;
    (void)snprintf(p->reason, sizeof p->reason, "%.80s: %.150s", address, reason);
    tell_connection(p);
}

static const struct reach_events events = {
    .up = on_up, .message = on_message, .down = on_down, .failed = on_failed};

/* ---- the program ---- */

static const char help[] =
    "peal-visualizer " PEAL_VERSION ": shows a Peal ring live in a browser\n\n"
    "Usage: peal-visualizer --listen ADDR:PORT [--server HOST:PORT]... [--multicast "
    "GROUP:PORT[,GROUP:PORT]|off]\n\n"
    "  --listen ADDR:PORT         where the page is served; port 0 chooses a free one\n"
    "  --server HOST:PORT         a server of the ring, up to 16 times; "
    "peal://HOST:PORT#FINGERPRINT pins the ring\n"
    "  --multicast GROUP:PORT[,GROUP:PORT]|off\n"
    "                             where to ask for servers (default " NET_GROUPS_DEFAULT ",\n"
    "                             or PEAL_MULTICAST)\n"
    "  --help, --version\n\n"
    "Prints \"ready web=http://...\" once it serves. SIGTERM and SIGINT end it.\n";

struct settings {
    const char *listen, *multicast;
    const char *servers[SERVERS_MAX];
    size_t servers_n;
};

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "peal-visualizer: %s%s\nhint: peal-visualizer --help lists the options\n", what,
            value);
    return EXIT_USAGE;
}

/* -1: go on; otherwise the exit status. */
static int read_settings(struct settings *s, int argc, char *argv[])
{
    s->multicast = getenv("PEAL_MULTICAST");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return EXIT_OK;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("peal-visualizer " PEAL_VERSION);
            return EXIT_OK;
        }
        bool listen = strcmp(argv[i], "--listen") == 0, mcast = strcmp(argv[i], "--multicast") == 0;
        if (!listen && !mcast && strcmp(argv[i], "--server") != 0)
            return usage("no such option: ", argv[i]);
        if (i + 1 == argc)
            return usage("a value is missing after ", argv[i]);
        const char *value = argv[++i];
        if (listen)
            s->listen = value;
        else if (mcast)
            s->multicast = value;
        else if (s->servers_n == SERVERS_MAX)
            return usage("too many servers, the last one: ", value);
        else
            s->servers[s->servers_n++] = value;
    }
    return s->listen != NULL
               ? -1
               : usage("--listen is required, for example --listen 127.0.0.1:8080", "");
}

static void on_signal(uv_signal_t *s, int signum)
{
    struct program *p = s->data;
    (void)signum;
    net_loop_stop(p->loop);
}

static void watch_signal(struct program *p, uv_signal_t *s, int signum)
{
    int r = uv_signal_init(net_loop_uv(p->loop), s);
    CHECK(r == 0);
    s->data = p;
    r = uv_signal_start(s, on_signal, signum);
    CHECK(r == 0);
}

static int start_reach(struct program *p, const struct settings *s)
{
    struct reach_config rc = {
        .events = &events, .user = p, .agent = "peal-visualizer/" PEAL_VERSION};
    const char *group =
        s->multicast != NULL && s->multicast[0] != '\0' ? s->multicast : NET_GROUPS_DEFAULT;
    char why[NET_REASON_MAX];
    if (strcmp(group, "off") == 0 && s->servers_n == 0)
        return usage("without multicast at least one --server is needed", "");
    if (net_groups_parse(group, &rc.mcast, why) != 0)
        return usage("--multicast: ", why);
    if (reach_new(p->loop, &rc, &p->reach) != 0)
        return usage("no memory", "");
    for (size_t i = 0; i < s->servers_n; i++) {
        struct net_place place;
        if (net_place_parse(s->servers[i], REACH_PORT, &place, why) != 0)
            return usage("--server: ", why);
        if (reach_add(p->reach, &place, true) != 0)
            return usage("--server: another ring than the servers before: ", s->servers[i]);
    }
    return -1;
}

static int start_web(struct program *p, const struct settings *s)
{
    struct feed_commands fc = {.ctx = p, .on_command = on_command, .on_cancel = on_cancel};
    int err = feed_new(net_loop_uv(p->loop), s->listen, &fc, &p->feed);
    if (err == 0)
        err = lookups_new(p->loop, p->reach, feed_web(p->feed), &p->lookups);
    if (err == 0)
        return -1;
    if (err == PEAL_E_USAGE)
        return usage("--listen: not of the form ADDR:PORT: ", s->listen);
    fprintf(stderr, "peal-visualizer: --listen %s: %s\n", s->listen, feed_why(err));
    return EXIT_FAILED;
}

int main(int argc, char *argv[])
{
    static struct program p;
    struct settings s = {0};
    int code = read_settings(&s, argc, argv);
    if (code >= 0)
        return code;
    if (cry_init() != 0 || net_loop_new(NULL, &p.loop) != 0) {
        fputs("peal-visualizer: the system gives no randomness or no event loop\n", stderr);
        return EXIT_FAILED;
    }
    code = start_reach(&p, &s);
    if (code < 0)
        code = start_web(&p, &s);
    if (code < 0) {
        watch_signal(&p, &p.term, SIGTERM);
        watch_signal(&p, &p.intr, SIGINT);
        printf("ready web=%s\n", web_url(feed_web(p.feed)));
        (void)fflush(stdout);
        tell_connection(&p);
        reach_start(p.reach);
        net_loop_run(p.loop);
        uv_close((uv_handle_t *)&p.term, NULL);
        uv_close((uv_handle_t *)&p.intr, NULL);
        code = EXIT_OK;
    }
    reach_free(p.reach);
    feed_free(p.feed);
    lookups_free(p.lookups);
    while (net_loop_once(p.loop, false))
        ;
    net_loop_free(p.loop);
    return code;
}
