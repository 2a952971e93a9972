/* Dialling: from a name to addresses, and from one address to the next until a connection stands.
 */
#include "net_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct net_dial {
    struct net_link *link; /* NULL when the link ended while the name was looked up */
    uv_getaddrinfo_t look_up;
    bool looking_up;
    struct net_addr from;
    struct net_place place;
    struct net_addr addrs[NET_RESOLVED_MAX];
    size_t n, at;
    int uv_err; /* of the last address that was tried */
};

void net_dial_cancel(struct net_link *link)
{
    struct net_dial *dial = link->dial;
    link->dial = NULL;
    if (dial->looking_up) {
        dial->link = NULL;
        (void)uv_cancel((uv_req_t *)&dial->look_up);
    } else {
        free(dial);
    }
}

static int connect_error(int uv_err)
{
    switch (uv_err) {
    case UV_ECONNREFUSED:
        return PEAL_E_REFUSED;
    case UV_ENETUNREACH:
    case UV_EHOSTUNREACH:
    case UV_ENETDOWN:
    case UV_EHOSTDOWN:
    case UV_ETIMEDOUT:
    case UV_EADDRNOTAVAIL:
        return PEAL_E_UNAVAILABLE;
    default:
        return PEAL_E_IO;
    }
}

static void all_failed(struct net_link *link)
{
    struct net_dial *dial = link->dial;
    char where[NET_ADDR_TEXT];
    net_addr_text(&link->info.peer, where);
    int err = connect_error(dial->uv_err);
    if (err == PEAL_E_REFUSED)
        net_link_fail(link, err, "nobody listens at %s", where);
    else
        net_link_fail(link, err, "%s cannot be reached: %s", where, uv_strerror(dial->uv_err));
}

static void dial_next(struct net_link *link);

static void on_attempt_closed(uv_handle_t *h)
{
    struct net_link *link = h->data;
    if (link->state == LINK_CLOSING) {
        net_link_on_closed(h);
        return;
    }
    link->handles--;
    dial_next(link);
}

static void attempt_failed(struct net_link *link, int uv_err)
{
    link->dial->uv_err = uv_err;
    link->tcp_open = false;
    uv_close((uv_handle_t *)&link->tcp, on_attempt_closed);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct net_link *link = req->handle->data;
    if (link->state == LINK_CLOSING || status == UV_ECANCELED)
        return;
    if (status < 0) {
        attempt_failed(link, status);
        return;
    }
    net_dial_cancel(link);
    net_link_state_set(link, LINK_HANDSHAKE);
    net_link_start(link);
}

static void dial_next(struct net_link *link)
{
    struct net_dial *dial = link->dial;
    if (dial->at == dial->n) {
        all_failed(link);
        return;
    }
    struct sockaddr_storage ss;
    link->info.peer = dial->addrs[dial->at++];
    net_link_tcp_init(link);
    int err = 0;
    if (dial->from.ip_len == link->info.peer.ip_len) {
        net_addr_to_sockaddr(&dial->from, &ss);
        err = uv_tcp_bind(&link->tcp, (struct sockaddr *)&ss, 0);
    }
    net_addr_to_sockaddr(&link->info.peer, &ss);
    if (err == 0)
        err = uv_tcp_connect(&link->req.connect, &link->tcp, (struct sockaddr *)&ss, on_connect);
    if (err)
        attempt_failed(link, err);
}

static void look_up_failed(struct net_link *link, int uv_err)
{
    const char *host = link->dial->place.host;
    bool unknown = uv_err == UV_EAI_NONAME || uv_err == UV_EAI_NODATA;
    if (unknown)
        net_link_fail(link, PEAL_E_NOT_FOUND, "no host is named %.150s", host);
    else
        net_link_fail(link, PEAL_E_UNAVAILABLE, "the name %.150s cannot be looked up: %s", host,
                      uv_strerror(uv_err));
}

static void on_looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct net_dial *dial = req->data;
    struct net_link *link = dial->link;
    dial->looking_up = false;
    if (!link) {
        free(dial);
    } else {
        for (struct addrinfo *a = res; a && dial->n < NET_RESOLVED_MAX; a = a->ai_next) {
            net_addr_from_sockaddr(a->ai_addr, &dial->addrs[dial->n]);
            dial->addrs[dial->n].port = dial->place.port;
            dial->n += dial->addrs[dial->n].ip_len != 0;
        }
        if (status < 0 || dial->n == 0) {
            look_up_failed(link, status < 0 ? status : UV_EAI_NONAME);
        } else {
            net_link_state_set(link, LINK_CONNECTING);
            dial_next(link);
        }
    }
    uv_freeaddrinfo(res);
}

static void dial_start(struct net_link *link)
{
    struct net_dial *dial = link->dial;
    char text[NET_PLACE_TEXT];
    struct net_place plain = dial->place;
    plain.pinned = false;
    net_place_text(&plain, text);
    if (net_addr_parse(text, &dial->addrs[0]) == 0) {
        dial->n = 1;
        net_link_state_set(link, LINK_CONNECTING);
        dial_next(link);
        return;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    dial->look_up.data = dial;
    int err = uv_getaddrinfo(&link->loop->uv, &dial->look_up, on_looked_up, dial->place.host, NULL,
                             &hints);
    dial->looking_up = err == 0;
    if (err)
        look_up_failed(link, err);
}

int net_dial(struct net_loop *loop, const struct net_dial_opts *opts, struct net_link **out)
{
    *out = NULL;
    CHECK(opts->tls && opts->tls->role != NET_ROLE_SERVER && opts->events);
    CHECK((opts->tls->role == NET_ROLE_NODE) == (opts->alpn == NET_ALPN_NODE));
    struct net_dial *dial = calloc(1, sizeof *dial);
    if (!dial)
        return PEAL_E_NO_MEMORY;
    struct net_link *link;
    int err = net_link_new(loop, LINK_RESOLVING, opts->tls, opts->events, opts->user, &link);
    if (err) {
        free(dial);
        return err;
    }
    dial->link = link;
    dial->place = opts->place;
    dial->from = opts->from;
    link->dial = dial;
    link->info.dialled = true;
    link->info.alpn = opts->alpn;
    uv_update_time(&loop->uv);
    net_link_deadline(link, opts->timeout_us ? opts->timeout_us : NET_HANDSHAKE_US);
    dial_start(link);
    *out = link;
    return 0;
}
