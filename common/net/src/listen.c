/* Listening: taking callers in, with bounds on how many there are and how many are not done with
 * their handshake. */
#include "net_internal.h"

#include <stdlib.h>

static void on_listener_closed(uv_handle_t *h)
{
    struct net_listener *l = h->data;
    if (--l->handles > 0)
        return;
    net_tls_free(l->opts.tls);
    free(l);
}

static void peer_addr(const uv_tcp_t *tcp, struct net_addr *out)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;
    if (uv_tcp_getpeername(tcp, (struct sockaddr *)&ss, &n) == 0)
        net_addr_from_sockaddr((struct sockaddr *)&ss, out);
}

static void refused(struct net_listener *l, const struct net_addr *peer, int err,
                    const char *reason)
{
    if (l->opts.events->refused)
        l->opts.events->refused(l->opts.user, peer, err, reason);
}

static void accept_one(struct net_listener *l);

static void on_scrap_closed(uv_handle_t *h)
{
    struct net_listener *l = h->data;
    l->scrap_busy = false;
    bool again = l->owed && !l->freed;
    l->owed = false;
    if (again)
        accept_one(l);
    on_listener_closed(h);
}

/* A caller that is not accepted would keep libuv from ever reporting another one: take it and close
 * it. */
static void scrap_one(struct net_listener *l, int why)
{
    if (l->scrap_busy) {
        l->owed = true;
        return;
    }
    struct net_addr peer = {0};
    int err = uv_tcp_init(&l->loop->uv, &l->scrap);
    CHECK(err == 0);
    l->scrap.data = l;
    l->scrap_busy = true;
    l->handles++;
    if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&l->scrap) == 0)
        peer_addr(&l->scrap, &peer);
    uv_close((uv_handle_t *)&l->scrap, on_scrap_closed);
    refused(l, &peer, why, why == PEAL_E_BUSY ? "too many links" : err_prose(why));
}

static void accept_one(struct net_listener *l)
{
    struct net_link *link;
    int err =
        net_link_new(l->loop, LINK_HANDSHAKE, l->opts.tls, l->opts.events, l->opts.user, &link);
    if (err) {
        scrap_one(l, err);
        return;
    }
    net_link_tcp_init(link);
    err = uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&link->tcp);
    if (err) {
        net_link_fail(link, PEAL_E_IO, "accepting: %s", uv_strerror(err));
        return;
    }
    peer_addr(&link->tcp, &link->info.peer);
    if (l->half_open_n >= l->opts.half_open_max)
        net_link_fail(TAILQ_FIRST(&l->half_open), PEAL_E_BUSY, "gave way to a newer caller");
    link->listener = l;
    TAILQ_INSERT_TAIL(&l->half_open, link, half_open);
    l->half_open_n++;
    net_link_deadline(link, l->opts.handshake_us);
    net_link_start(link);
}

static void on_connection(uv_stream_t *s, int status)
{
    struct net_listener *l = s->data;
    static const struct net_addr nobody;
    if (status < 0)
        refused(l, &nobody, PEAL_E_IO, uv_strerror(status));
    else
        accept_one(l);
}

static int listen_error(const struct net_addr *addr, int uv_err, char why[static NET_REASON_MAX])
{
    char text[NET_ADDR_TEXT];
    net_addr_ip_text(addr, text);
    switch (uv_err) {
    case UV_EADDRINUSE:
        net_why(why, "port %u of %s is already in use", addr->port, text);
        return PEAL_E_EXISTS;
    case UV_EADDRNOTAVAIL:
        net_why(why, "this machine does not have the address %s", text);
        return PEAL_E_NOT_FOUND;
    case UV_EACCES:
        net_why(why, "port %u of %s needs more rights than this program has", addr->port, text);
        return PEAL_E_REFUSED;
    default:
        net_why(why, "listening on port %u of %s: %s", addr->port, text, uv_strerror(uv_err));
        return PEAL_E_IO;
    }
}

static int listen_start(struct net_listener *l)
{
    struct sockaddr_storage ss;
    net_addr_to_sockaddr(&l->opts.addr, &ss);
    int err = uv_tcp_bind(&l->tcp, (struct sockaddr *)&ss, 0);
    if (err == 0)
        err = uv_tcp_simultaneous_accepts(&l->tcp, 1);
    if (err == 0)
        err = uv_listen((uv_stream_t *)&l->tcp, NET_BACKLOG, on_connection);
    int n = sizeof ss;
    if (err == 0)
        err = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&ss, &n);
    if (err == 0)
        net_addr_from_sockaddr((struct sockaddr *)&ss, &l->addr);
    return err;
}

int net_listen(struct net_loop *loop, const struct net_listen_opts *opts, struct net_listener **out,
               char why[static NET_REASON_MAX])
{
    *out = NULL;
    CHECK(opts->tls && opts->tls->role == NET_ROLE_SERVER && opts->events);
    if (loop->ending || opts->addr.ip_len == 0) {
        net_why(why, loop->ending ? "the program is ending" : "there is no address to listen on");
        return loop->ending ? PEAL_E_CLOSED : PEAL_E_USAGE;
    }
    struct net_listener *l = calloc(1, sizeof *l);
    if (!l) {
        net_why(why, "%s", err_prose(PEAL_E_NO_MEMORY));
        return PEAL_E_NO_MEMORY;
    }
    *l = (struct net_listener){.loop = loop, .opts = *opts, .handles = 1};
    if (l->opts.half_open_max == 0)
        l->opts.half_open_max = NET_HALF_OPEN_MAX;
    if (l->opts.handshake_us == 0)
        l->opts.handshake_us = NET_HANDSHAKE_US;
    (void)net_tls_share(l->opts.tls);
    TAILQ_INIT(&l->half_open);
    LIST_INSERT_HEAD(&loop->listeners, l, entry);
    int err = uv_tcp_init(&loop->uv, &l->tcp);
    CHECK(err == 0);
    l->tcp.data = l;
    err = listen_start(l);
    if (err) {
        err = listen_error(&opts->addr, err, why);
        net_listener_free(l);
        return err;
    }
    *out = l;
    return 0;
}

const struct net_addr *net_listener_addr(const struct net_listener *l)
{
    return &l->addr;
}

void net_listener_free(struct net_listener *l)
{
    if (!l)
        return;
    CHECK(!l->freed);
    l->freed = true;
    LIST_REMOVE(l, entry);
    struct net_link *link;
    while ((link = TAILQ_FIRST(&l->half_open))) {
        link->reported = true;
        net_link_fail(link, PEAL_E_CLOSED, "no longer listening");
    }
    uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
}
