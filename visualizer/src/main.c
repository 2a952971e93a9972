/* peal-visualizer: shows a ring live in a browser. Asks a server for its view of the ring and for
 * what happens on it, over the clients' protocol, and passes both on to the page as server-sent
 * events. What the page asks for itself is in lookup.h.
 *
 * Not for: changing anything. It needs no account and holds no key. */
#include "lookup.h"
#include "peal/crypto.h"
#include "peal/reach.h"
#include "peal/web.h"
#include "visualizer_assets.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    SERVERS_MAX = 16,
    TRACES_KEPT = 50,
    EVENT_MAX = 4096
};

struct program {
    struct net_loop *loop;
    struct reach *reach;
    struct web *web;
    struct lookups *lookups;
    uv_signal_t term, intr;
    char *ring; /* the last event "ring", for pages that open later; NULL before the first */
    char traces[TRACES_KEPT][EVENT_MAX];
    size_t traces_at, traces_n;
    char reason[NET_REASON_MAX]; /* why no server is reached */
};

/* ---- events for the page ---- */

static json_t *id_json(const struct peal_id *id)
{
    char hex[ID_HEX];
    if (id_is_zero(id))
        return json_null();
    id_hex(id, hex);
    return json_string(hex);
}

static json_t *text_json(struct peal_bytes b)
{
    return json_stringn((const char *)b.p, b.n);
}

static const char *state_text(uint8_t state)
{
    switch ((enum wire_node_status)state) {
    case WIRE_NODE_DOWN:
        return "down";
    case WIRE_NODE_UP:
        return "up";
    case WIRE_NODE_JOINING:
        return "joining";
    case WIRE_NODE_LEAVING:
        return "leaving";
    }
    return "unknown";
}

static json_t *ring_json(const struct wire_c_ring *r)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < r->nodes.n; i++) {
        const struct wire_node *n = &r->nodes.v[i];
        json_array_append_new(
            nodes, json_pack("{s:o, s:o, s:I, s:s, s:o, s:o, s:I, s:I}", "id", id_json(&n->id),
                             "address", text_json(n->address), "incarnation",
                             (json_int_t)n->incarnation, "state", state_text(n->state), "successor",
                             id_json(&n->successor), "predecessor", id_json(&n->predecessor),
                             "clients", (json_int_t)n->clients, "rows", (json_int_t)n->rows));
    }
    return json_pack("{s:b, s:I, s:I, s:o, s:o, s:o, s:I}", "whole", (int)r->whole, "size",
                     (json_int_t)r->nodes.n, "epoch", (json_int_t)r->epoch, "coordinator",
                     id_json(&r->coordinator), "nodes", nodes, "seen_by", id_json(&r->seen_by),
                     "at", (json_int_t)r->at);
}

static char *connection_text(const struct program *p)
{
    json_t *j = json_pack("{s:b, s:[s], s:s}", "connected", (int)reach_is_up(p->reach), "servers",
                          reach_address(p->reach), "reason", p->reason);
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

static void push_connection(struct program *p)
{
    char *text = connection_text(p);
    if (text != NULL)
        web_push(p->web, "connection", text, strlen(text));
    free(text);
}

static void on_ring(struct program *p, const struct wire_c_ring *r)
{
    json_t *j = ring_json(r);
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (text == NULL)
        return;
    free(p->ring);
    p->ring = text;
    web_push(p->web, "ring", text, strlen(text));
}

/* What the page tells by itself, from the differences between two views of the ring. */
static bool seen_in_ring(struct peal_bytes kind)
{
    static const char *const kinds[] = {"member", "epoch", "coordinator"};
    for (size_t i = 0; i < PEAL_COUNT(kinds); i++) {
        if (peal_bytes_eq(kind, peal_bytes_str(kinds[i])))
            return true;
    }
    return false;
}

static void on_trace(struct program *p, const struct wire_c_trace *t)
{
    if (seen_in_ring(t->kind))
        return;
    json_t *j =
        json_pack("{s:I, s:o, s:o, s:o}", "at", (json_int_t)t->at, "node", id_json(&t->node),
                  "kind", text_json(t->kind), "text", text_json(t->text));
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (text != NULL && strlen(text) < EVENT_MAX) {
        memcpy(p->traces[p->traces_at], text, strlen(text) + 1);
        p->traces_at = (p->traces_at + 1) % TRACES_KEPT;
        p->traces_n += p->traces_n < TRACES_KEPT;
        web_push(p->web, "trace", text, strlen(text));
    }
    free(text);
}

static void on_subscribe(void *ctx, struct web_subscriber *sub)
{
    struct program *p = ctx;
    char *text = connection_text(p);
    if (text != NULL)
        web_send(sub, "connection", text, strlen(text));
    free(text);
    if (p->ring != NULL)
        web_send(sub, "ring", p->ring, strlen(p->ring));
    for (size_t i = 0; i < p->traces_n; i++) {
        const char *t = p->traces[(p->traces_at + TRACES_KEPT - p->traces_n + i) % TRACES_KEPT];
        web_send(sub, "trace", t, strlen(t));
    }
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
    push_connection(p);
}

static void on_message(void *user, enum wire_type type, const void *msg)
{
    struct program *p = user;
    if (type == WIRE_c_ring)
        on_ring(p, msg);
    else if (type == WIRE_c_trace)
        on_trace(p, msg);
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
    push_connection(p);
}

static void on_failed(void *user, const char *address, int err, const char *reason)
{
    struct program *p = user;
    (void)err;
    (void)snprintf(p->reason, sizeof p->reason, "%.80s: %.150s", address, reason);
    push_connection(p);
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
    uint8_t random[WEB_TOKEN_CHARS / 2];
    char token[WEB_TOKEN_CHARS + 1];
    cry_random(random, sizeof random);
    peal_hex(random, sizeof random, token);
    struct web_config wc = {.assets = visualizer_assets,
                            .asset_count = visualizer_assets_count,
                            .token = token,
                            .token_placeholder = "{{token}}",
                            .ctx = p,
                            .on_command = on_command,
                            .on_cancel = on_cancel,
                            .on_subscribe = on_subscribe};
    int err = web_new(net_loop_uv(p->loop), s->listen, &wc, &p->web);
    if (err == 0)
        err = lookups_new(p->loop, p->reach, p->web, &p->lookups);
    if (err == 0)
        return -1;
    if (err == PEAL_E_USAGE)
        return usage("--listen: not of the form ADDR:PORT: ", s->listen);
    fprintf(stderr, "peal-visualizer: --listen %s: %s\n", s->listen,
            err == PEAL_E_EXISTS ? "the port is in use; choose another, or 0 for any free one"
                                 : err_prose(err));
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
        printf("ready web=%s\n", web_url(p.web));
        (void)fflush(stdout);
        reach_start(p.reach);
        net_loop_run(p.loop);
        uv_close((uv_handle_t *)&p.term, NULL);
        uv_close((uv_handle_t *)&p.intr, NULL);
        code = EXIT_OK;
    }
    reach_free(p.reach);
    web_free(p.web);
    lookups_free(p.lookups);
    while (net_loop_once(p.loop, false))
        ;
    net_loop_free(p.loop);
    free(p.ring);
    return code;
}
