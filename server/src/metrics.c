#include "metrics.h"

#include "peal/web.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_CONNECTIONS = 8 };

struct metrics {
    struct web *web;
    const struct host *host; /* NULL: nothing to show yet */
};

/* ---- the text ---- */

/* X(name, type, field of host_figures, help); names as Prometheus' guide has them. */
#define FIGURES(X)                                                                                 \
    X("peal_serves", "gauge", f->serves, "1 while this server is in its quorums")                  \
    X("peal_ring_whole", "gauge", f->whole, "1 while the ring is whole, as this server sees it")   \
    X("peal_epoch", "gauge", f->epoch, "epoch of the roster")                                      \
    X("peal_members", "gauge", f->members, "servers in the roster")                                \
    X("peal_members_up", "gauge", f->members_up, "of those, up and ready")                         \
    X("peal_rows", "gauge", f->rows, "rows on this server's disk that wait for somebody")          \
    X("peal_nodes_living", "gauge", f->known_living, "nodes known on the overlay")                 \
    X("peal_nodes_dead", "gauge", f->known_dead, "nodes once known that are dead")                 \
    X("peal_store_error", "gauge", -f->store_err, "0, or the number of what its disk fails with")  \
    X("peal_store_pending_bytes", "gauge", f->store.pending_bytes, "bytes not durable yet")        \
    X("peal_store_submits_total", "counter", f->store.submits, "units given to the store")         \
    X("peal_store_commits_total", "counter", f->store.commits, "transactions that were durable")   \
    X("peal_store_failures_total", "counter", f->store.failures, "transactions that failed")       \
    X("peal_store_cancelled_total", "counter", f->store.cancelled,                                 \
      "rows deleted before they had to be written")                                                \
    X("peal_clients", "gauge", f->service.clients, "links of clients")                             \
    X("peal_sessions", "gauge", f->service.sessions, "people logged in here")                      \
    X("peal_requests", "gauge", f->service.requests, "requests under way")                         \
    X("peal_stored_total", "counter", f->service.stored,                                           \
      "messages that this server's clients were told are stored")                                  \
    X("peal_delivered_total", "counter", f->service.delivered, "rows given to clients")            \
    X("peal_refused_total", "counter", f->service.refused,                                         \
      "errors told, and links closed for what was said over them")

struct text {
    char *out;
    size_t cap, n;
};

static void line(struct text *t, const char *name, const char *type, const char *help,
                 uint64_t value)
{
    int n = snprintf(t->out + t->n, t->cap - t->n, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n",
                     name, help, name, type, name, value);
    CHECK(n > 0 && (size_t)n < t->cap - t->n); /* the table is fixed, and so is what it takes */
    t->n += (size_t)n;
}

size_t metrics_text(const struct host_figures *f, size_t cap, char out[])
{
    struct text t = {.out = out, .cap = cap};
    int n = snprintf(out, cap,
                     "# HELP peal_info what runs here\n# TYPE peal_info gauge\n"
                     "peal_info{version=\"%s\",state=\"%s\"} 1\n",
                     PEAL_VERSION, chord_state_name(f->state));
    CHECK(n > 0 && (size_t)n < cap);
    t.n = (size_t)n;
#define X(name, type, value, help) line(&t, name, type, help, (uint64_t)(value));
    FIGURES(X)
#undef X
#define X(name, prose) line(&t, "peal_overlay_" #name "_total", "counter", prose, f->overlay.name);
    RING_COUNTERS(X)
#undef X
    return t.n;
}

size_t metrics_health(const struct host_figures *f, size_t cap, char out[], unsigned *status)
{
    int n;
    *status = f->serves ? 200 : 503;
    if (f->serves)
        n = snprintf(out, cap, "serves\n");
    else if (f->store_err != 0)
        n = snprintf(out, cap, "its disk takes nothing: %s\n", err_prose(f->store_err));
    else
        n = snprintf(out, cap, "%s: not a member with all of its copies\n",
                     chord_state_name(f->state));
    CHECK(n > 0 && (size_t)n < cap);
    return (size_t)n;
}

/* ---- the pages ---- */

static unsigned on_page(void *ctx, const char *path, char out[static WEB_PAGE_MAX], size_t *n,
                        const char **type)
{
    const struct metrics *m = ctx;
    struct host_figures f;
    unsigned status = 200;
    bool health = strcmp(path, "/health") == 0;
    if (!health && strcmp(path, "/metrics") != 0)
        return 0;
    if (m->host == NULL) {
        *n = (size_t)snprintf(out, WEB_PAGE_MAX, "starting\n");
        return 503;
    }
    host_figures(m->host, &f);
    if (health)
        *n = metrics_health(&f, WEB_PAGE_MAX, out, &status);
    else
        *n = metrics_text(&f, WEB_PAGE_MAX, out);
    *type = health ? "text/plain; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
    return status;
}

static const char *why_not(int err)
{
    switch (err) {
    case PEAL_E_USAGE:
        return "not an address and a port, such as 127.0.0.1:9100";
    case PEAL_E_EXISTS:
        return "another program listens there; choose another port";
    case PEAL_E_REFUSED:
        return "this user may not listen there; choose a port above 1023";
    case PEAL_E_NOT_FOUND:
        return "this machine has no such address";
    default:
        return err_prose(err);
    }
}

int metrics_new(struct net_loop *loop, const char *listen, struct metrics **out,
                char why[static HOST_WHY_MAX])
{
    struct metrics *m = calloc(1, sizeof *m);
    int err = m != NULL ? 0 : PEAL_E_NO_MEMORY;
    if (err == 0) {
        struct web_config wc = {
            .ctx = m, .on_page = on_page, .max_connections = METRICS_CONNECTIONS};
        err = web_new(net_loop_uv(loop), listen, &wc, &m->web);
    }
    if (err != 0) {
        (void)snprintf(why, HOST_WHY_MAX, "--metrics %.200s: %s", listen, why_not(err));
        free(m);
        m = NULL;
    }
    *out = m;
    return err;
}

void metrics_show(struct metrics *m, const struct host *host)
{
    if (m != NULL)
        m->host = host;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    web_free(m->web);
    free(m);
}

const char *metrics_url(const struct metrics *m)
{
    return web_url(m->web);
}
