/* The server itself: its socket, its place in the loop, its connections and their deadlines. */
#include "inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 128, POOL_BYTES = 32 * 1024, SWEEPS = 4, SWEEP_MIN_MS = 10 };

uint64_t web_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- running libmicrohttpd ---- */

static void on_timer(uv_timer_t *t);

static void run(struct web *web)
{
    web->again = false;
    web->depth++;
    /* MHD_NO would mean a daemon started with other options than ours */
    enum MHD_Result ok = MHD_run(web->mhd);
    web->depth--;
    CHECK(ok == MHD_YES);
    MHD_UNSIGNED_LONG_LONG ms = 0;
    int err = web->again || MHD_get_timeout(web->mhd, &ms) == MHD_YES
                  ? uv_timer_start(&web->timer, on_timer, ms, 0)
                  : uv_timer_stop(&web->timer);
    CHECK(err == 0);
}

static void on_timer(uv_timer_t *t)
{
    run(t->data);
}

static void on_ready(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    run(p->data);
}

/* ---- connections ---- */

static void on_watch(uv_poll_t *p, int status, int events)
{
    struct conn *c = p->data;
    (void)status;
    (void)events; /* only the end of the peer's side is watched for */
    CHECK(c->suspended);
    c->web->depth++;
    if (c->waiting != NULL) {
        request_cancel(c->waiting);
        conn_resume(c);
    } else if (c->sub != NULL) {
        events_drop(c->sub);
    }
    c->web->depth--;
    CHECK(!c->suspended);
}

void conn_suspend(struct conn *c)
{
    CHECK(!c->suspended && !c->web->stopping);
    c->suspended = true;
    MHD_suspend_connection(c->mhd);
    int err = uv_poll_start(&c->watch, UV_DISCONNECT, on_watch);
    CHECK(err == 0);
}

void conn_resume(struct conn *c)
{
    CHECK(c->suspended);
    c->suspended = false;
    int err = uv_poll_stop(&c->watch);
    CHECK(err == 0);
    MHD_resume_connection(c->mhd);
    /* in external polling a resumed connection moves only in the next MHD_run */
    c->web->again = true;
    err = uv_timer_start(&c->web->timer, on_timer, 0, 0);
    CHECK(err == 0);
}

void conn_shut(struct conn *c)
{
    CHECK(!c->suspended);
    if (shutdown(c->fd, SHUT_RDWR) != 0)
        CHECK(errno == ENOTCONN); /* ended already */
}

static void release(struct web *web)
{
    CHECK(web->handles > 0);
    if (--web->handles == 0)
        free(web);
}

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    release(c->web);
    free(c);
}

static void close_conn(struct conn *c)
{
    struct web *web = c->web;
    CHECK(c->waiting == NULL && !c->suspended);
    web->again = true; /* below its limit libmicrohttpd accepts again, from the next MHD_run on */
    if (c->sub != NULL)
        c->sub->conn = NULL;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        web->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    uv_close((uv_handle_t *)&c->watch, on_conn_closed);
}

static struct conn *open_conn(struct web *web, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct conn *c = info != NULL ? calloc(1, sizeof *c) : NULL;
    if (c == NULL)
        return NULL;
    if (uv_poll_init(web->loop, &c->watch, info->connect_fd) != 0) {
        free(c);
        return NULL;
    }
    web->handles++;
    c->watch.data = c;
    c->web = web;
    c->mhd = mhd;
    c->fd = info->connect_fd;
    c->state = CONN_READING;
    c->since = web_ms();
    c->next = web->conns;
    if (web->conns != NULL)
        web->conns->prev = c;
    web->conns = c;
    return c;
}

/* Without memory the connection gets no context, and its first request closes it. */
static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *context = open_conn(cls, mhd);
    else if (*context != NULL)
        close_conn(*context);
}

static bool is_late(const struct conn *c, uint64_t now)
{
    if (now - c->since < c->web->config.request_ms)
        return false;
    switch (c->state) {
    case CONN_READING:
    case CONN_WRITING:
        return true;
    case CONN_STREAMING:
        return c->sub != NULL && c->sub->n > 0;
    case CONN_WAITING:
        break; /* its owner's time, not the peer's */
    }
    return false;
}

static void on_sweep(uv_timer_t *t)
{
    struct web *web = t->data;
    uint64_t now = web_ms();
    for (struct conn *c = web->conns; c != NULL; c = c->next) {
        if (!c->suspended && is_late(c, now))
            conn_shut(c);
    }
}

static void on_heartbeat(uv_timer_t *t)
{
    events_heartbeat(t->data);
}

/* ---- starting ---- */

/* Nothing that this server knows is written with %, so nothing is decoded: an escaped path is an
 * unknown one. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    (void)mhd;
    return strlen(s);
}

static int error_of(int sys)
{
    switch (sys) {
    case EADDRINUSE:
        return PEAL_E_EXISTS;
    case EACCES:
    case EPERM:
        return PEAL_E_REFUSED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return PEAL_E_NOT_FOUND;
    case ENOMEM:
        return PEAL_E_NO_MEMORY;
    default:
        return PEAL_E_IO;
    }
}

/* A listening socket; at->port and at->host become the actual ones. */
static int listen_on(struct guard_listen *at, int *out)
{
    struct sockaddr_storage addr = {0};
    socklen_t n = at->v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int err = at->v6 ? uv_ip6_addr(at->host, (int)at->port, (struct sockaddr_in6 *)&addr)
                     : uv_ip4_addr(at->host, (int)at->port, (struct sockaddr_in *)&addr);
    if (err != 0)
        return PEAL_E_USAGE;
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_of(errno);
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&addr, n) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &n) != 0) {
        err = error_of(errno);
        close(fd);
        return err;
    }
    if (at->v6) {
        at->port = ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
        err = uv_ip6_name((struct sockaddr_in6 *)&addr, at->host, sizeof at->host);
    } else {
        at->port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
        err = uv_ip4_name((struct sockaddr_in *)&addr, at->host, sizeof at->host);
    }
    CHECK(err == 0);
    *out = fd;
    return 0;
}

static int configure(struct web *web, const struct web_config *config)
{
    if ((config->token == NULL && config->on_command != NULL) ||
        (config->token_placeholder != NULL && config->token_placeholder[0] == '\0') ||
        (config->assets == NULL && config->asset_count > 0))
        return PEAL_E_USAGE;
    web->config = *config;
    struct web_config *c = &web->config;
    c->hosts = NULL; /* the guard has its own copy, and of the token */
    c->token = NULL;
    if (c->max_connections == 0)
        c->max_connections = WEB_CONNECTIONS;
    if (c->max_subscribers == 0)
        c->max_subscribers = WEB_SUBSCRIBERS;
    if (c->queue_max == 0)
        c->queue_max = WEB_QUEUE_MAX;
    if (c->heartbeat_ms == 0)
        c->heartbeat_ms = WEB_HEARTBEAT_MS;
    if (c->request_ms == 0)
        c->request_ms = WEB_REQUEST_MS;
    return 0;
}

/* index.html with the token in its place. */
static struct MHD_Response *page_response(struct web *web, const struct web_asset *a)
{
    const char *mark = web->config.token_placeholder;
    size_t mark_n = strlen(mark), token_n = strlen(web->guard.token), count = 0;
    const uint8_t *end = a->bytes + a->n, *at, *p = a->bytes;
    while ((at = memmem(p, (size_t)(end - p), mark, mark_n)) != NULL) {
        p = at + mark_n;
        count++;
    }
    size_t n = a->n - count * mark_n + count * token_n, used = 0;
    char *page = malloc(n + 1);
    if (page == NULL)
        return NULL;
    for (p = a->bytes; (at = memmem(p, (size_t)(end - p), mark, mark_n)) != NULL; p = at + mark_n) {
        memcpy(page + used, p, (size_t)(at - p));
        used += (size_t)(at - p);
        memcpy(page + used, web->guard.token, token_n);
        used += token_n;
    }
    memcpy(page + used, p, (size_t)(end - p));
    CHECK(used + (size_t)(end - p) == n);
    struct MHD_Response *r = MHD_create_response_from_buffer(n, page, MHD_RESPMEM_MUST_FREE);
    if (r == NULL)
        free(page);
    return r;
}

static int make_assets(struct web *web)
{
    size_t n = web->config.asset_count;
    web->assets = calloc(n + 1, sizeof(struct MHD_Response *));
    if (web->assets == NULL)
        return PEAL_E_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const struct web_asset *a = &web->config.assets[i];
        bool page = web->config.token_placeholder != NULL && strcmp(a->path, "/index.html") == 0;
        /* static bytes, which are only read */
        web->assets[i] =
            page ? page_response(web, a)
                 : MHD_create_response_from_buffer(a->n, (void *)a->bytes, MHD_RESPMEM_PERSISTENT);
        if (web->assets[i] == NULL ||
            !response_dress(web->assets[i], a->type, page ? "no-store" : "no-cache"))
            return PEAL_E_NO_MEMORY;
    }
    return 0;
}

static void free_assets(struct web *web)
{
    if (web->assets == NULL)
        return;
    for (size_t i = 0; i < web->config.asset_count; i++) {
        if (web->assets[i] != NULL)
            MHD_destroy_response(web->assets[i]);
    }
    free(web->assets);
    web->assets = NULL;
}

static void set_url(struct web *web, const struct guard_listen *at)
{
    const char *host = at->host;
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    int n = snprintf(web->url, sizeof web->url, at->v6 ? "http://[%s]:%u/" : "http://%s:%u/", host,
                     at->port);
    CHECK(n > 0 && (size_t)n < sizeof web->url);
    web->port = at->port;
}

/* Takes fd in every case. */
static int start_mhd(struct web *web, int fd)
{
    web->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, request_handle, web,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, web->config.max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        request_completed, web, MHD_OPTION_NOTIFY_CONNECTION, on_connection, web,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_END);
    if (web->mhd == NULL) {
        close(fd);
        return PEAL_E_IO;
    }
    return 0;
}

static void on_handle_closed(uv_handle_t *h)
{
    release(h->data);
}

static int add_timer(struct web *web, uv_timer_t *t)
{
    int err = uv_timer_init(web->loop, t);
    CHECK(err == 0); /* it cannot fail */
    t->data = web;
    web->handles++;
    return err;
}

static int start_loop(struct web *web)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(web->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || uv_poll_init(web->loop, &web->poll, info->epoll_fd) != 0)
        return PEAL_E_IO;
    web->poll.data = web;
    web->handles++;
    int err = add_timer(web, &web->timer);
    err |= add_timer(web, &web->sweep);
    err |= add_timer(web, &web->heartbeat);
    unsigned every = web->config.request_ms / SWEEPS;
    if (every < SWEEP_MIN_MS)
        every = SWEEP_MIN_MS;
    err |= uv_timer_start(&web->sweep, on_sweep, every, every);
    err |= uv_timer_start(&web->heartbeat, on_heartbeat, web->config.heartbeat_ms,
                          web->config.heartbeat_ms);
    CHECK(err == 0);
    return uv_poll_start(&web->poll, UV_READABLE, on_ready) == 0 ? 0 : PEAL_E_IO;
}

int web_new(uv_loop_t *loop, const char *listen, const struct web_config *config, struct web **out)
{
    struct guard_listen at;
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL)
        return PEAL_E_NO_MEMORY;
    web->loop = loop;
    web->handles = 1; /* this call's own */
    int fd = -1;
    int err = configure(web, config);
    if (err == 0)
        err = guard_parse_listen(listen, &at);
    if (err == 0)
        err = listen_on(&at, &fd);
    if (err != 0)
        goto fail;
    set_url(web, &at);
    err = guard_init(&web->guard, &at, config->token, config->hosts, config->host_count);
    if (err == 0)
        err = make_assets(web);
    if (err != 0) {
        close(fd);
        goto fail;
    }
    err = start_mhd(web, fd);
    if (err == 0)
        err = start_loop(web);
    if (err != 0)
        goto fail;
    *out = web;
    return 0;
fail:
    web_free(web);
    return err;
}

static void close_handle(struct web *web, uv_handle_t *h)
{
    if (h->data == web)
        uv_close(h, on_handle_closed);
}

void web_free(struct web *web)
{
    if (web == NULL)
        return;
    CHECK(web->depth == 0 && !web->stopping);
    web->stopping = true;
    for (struct conn *c = web->conns; c != NULL; c = c->next) {
        if (c->waiting != NULL)
            request_cancel(c->waiting);
        if (c->suspended)
            conn_resume(c);
    }
    close_handle(web, (uv_handle_t *)&web->poll);
    close_handle(web, (uv_handle_t *)&web->timer);
    close_handle(web, (uv_handle_t *)&web->sweep);
    close_handle(web, (uv_handle_t *)&web->heartbeat);
    if (web->mhd != NULL)
        MHD_stop_daemon(web->mhd);
    CHECK(web->conns == NULL && web->subs == NULL);
    free_assets(web);
    release(web);
}

unsigned web_port(const struct web *web)
{
    return web->port;
}

const char *web_url(const struct web *web)
{
    return web->url;
}
