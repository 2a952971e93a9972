/* Links: a TCP connection with TLS on it, from its making to its report.
 *
 *   dialled --> RESOLVING --> CONNECTING --> HANDSHAKE --> UP --> DRAINING --> CLOSING --> freed
 *   accepted ------------------------------> HANDSHAKE
 *
 * From every state a failure goes straight to CLOSING; from HANDSHAKE to DRAINING when an alert
 * that refuses the other side has to go out first.
 *
 * CLOSING waits for libuv to let go of the handles. A link is reported (`down` or `refused`)
 * exactly once: when it is freed, or already when its handshake is refused. */
#include "net_internal.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TO(state) (1u << (state))
static const unsigned may_become[] = {
    [LINK_RESOLVING] = TO(LINK_CONNECTING) | TO(LINK_CLOSING),
    [LINK_CONNECTING] = TO(LINK_HANDSHAKE) | TO(LINK_CLOSING),
    [LINK_HANDSHAKE] = TO(LINK_UP) | TO(LINK_DRAINING) | TO(LINK_CLOSING),
    [LINK_UP] = TO(LINK_DRAINING) | TO(LINK_CLOSING),
    [LINK_DRAINING] = TO(LINK_CLOSING),
    [LINK_CLOSING] = 0,
};

void net_link_state_set(struct net_link *link, enum link_state to)
{
    CHECK(may_become[link->state] & TO(to));
    link->state = to;
}

/* ---- beginning and end ---- */

int net_link_new(struct net_loop *loop, enum link_state state, struct net_tls *tls,
                 const struct net_events *events, void *user, struct net_link **out)
{
    *out = NULL;
    CHECK(state == LINK_RESOLVING || state == LINK_HANDSHAKE);
    if (loop->ending)
        return PEAL_E_CLOSED;
    if (loop->links_n >= loop->config.links_max)
        return PEAL_E_BUSY;
    struct net_link *link = calloc(1, sizeof *link);
    if (!link)
        return PEAL_E_NO_MEMORY;
    *link = (struct net_link){
        .loop = loop, .state = state, .tls = net_tls_share(tls), .events = events, .user = user};
    STAILQ_INIT(&link->out);
    int err = uv_timer_init(&loop->uv, &link->timer);
    CHECK(err == 0);
    link->timer.data = link;
    link->handles = 1;
    TAILQ_INSERT_TAIL(&loop->links, link, entry);
    loop->links_n++;
    *out = link;
    return 0;
}

void net_link_tcp_init(struct net_link *link)
{
    CHECK(!link->tcp_open);
    int err = uv_tcp_init(&link->loop->uv, &link->tcp);
    CHECK(err == 0);
    link->tcp.data = link;
    link->tcp_open = true;
    link->handles++;
}

static void link_report(struct net_link *link)
{
    if (link->reported)
        return;
    link->reported = true;
    const char *reason = link->reason ? link->reason : err_prose(link->err);
    if (!link->info.dialled && !link->has_been_up) {
        if (link->events->refused)
            link->events->refused(link->user, &link->info.peer, link->err, reason);
    } else if (link->events->down) {
        link->events->down(link, link->err, reason);
    }
}

void net_link_on_closed(uv_handle_t *h)
{
    struct net_link *link = h->data;
    CHECK(link->handles > 0);
    if (--link->handles > 0)
        return;
    CHECK(link->state == LINK_CLOSING);
    link_report(link);
    TAILQ_REMOVE(&link->loop->links, link, entry);
    link->loop->links_n--;
    SSL_free(link->ssl);
    net_tls_free(link->tls);
    free(link->reason);
    free(link);
}

void net_link_half_open_end(struct net_link *link)
{
    if (!link->listener)
        return;
    TAILQ_REMOVE(&link->listener->half_open, link, half_open);
    link->listener->half_open_n--;
    link->listener = NULL;
}

/* The first reason counts: what ends a link that is being closed is a consequence. */
static void reason_set(struct net_link *link, int err, const char *reason)
{
    if (link->err)
        return;
    CHECK(err < 0);
    link->err = err;
    link->reason = strdup(reason);
}

void net_link_fail(struct net_link *link, int err, const char *fmt, ...)
{
    char why[NET_REASON_MAX];
    va_list args;
    if (link->state == LINK_CLOSING)
        return;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    reason_set(link, err, why);
    net_link_submit(link); /* an alert, perhaps; that can fail the link as well */
    if (link->state == LINK_CLOSING)
        return;
    if (link->dial)
        net_dial_cancel(link);
    net_link_state_set(link, LINK_CLOSING);
    net_link_half_open_end(link);
    if (link->is_dirty) {
        TAILQ_REMOVE(&link->loop->dirty, link, dirty);
        link->loop->dirty_n--;
        link->is_dirty = false;
    }
    net_frames_drop_out(link);
    net_frames_drop_in(link);
    if (link->tcp_open) {
        link->tcp_open = false;
        uv_close((uv_handle_t *)&link->tcp, net_link_on_closed);
    }
    uv_close((uv_handle_t *)&link->timer, net_link_on_closed);
}

/* ---- time ---- */

static void on_deadline(uv_timer_t *h)
{
    struct net_link *link = h->data;
    switch (link->state) {
    case LINK_RESOLVING:
        net_link_fail(link, PEAL_E_UNAVAILABLE, "looking up the name took too long");
        break;
    case LINK_CONNECTING:
        net_link_fail(link, PEAL_E_UNAVAILABLE, "connecting took too long");
        break;
    case LINK_HANDSHAKE:
        net_link_fail(link, PEAL_E_UNAVAILABLE, "the handshake took too long");
        break;
    case LINK_UP: {
        uint64_t quiet = net_now_us() - link->last_in_us;
        if (link->tx_broken)
            net_link_fail(link, PEAL_E_IO, "the connection broke off");
        else if (quiet >= link->idle_us)
            net_link_fail(link, PEAL_E_UNAVAILABLE, "nothing was heard for too long");
        else
            net_link_deadline(link, link->idle_us - quiet);
        break;
    }
    case LINK_DRAINING:
        net_link_fail(link, link->err, "closing took too long");
        break;
    case LINK_CLOSING:
        break;
    }
}

void net_link_deadline(struct net_link *link, uint64_t us)
{
    int err = uv_timer_start(&link->timer, on_deadline, us / 1000 + 1, 0);
    CHECK(err == 0);
}

void net_link_idle_set(struct net_link *link, uint64_t idle_us)
{
    link->idle_us = idle_us;
    link->last_in_us = net_now_us();
    if (link->state != LINK_UP || link->tx_broken)
        return;
    if (idle_us)
        net_link_deadline(link, idle_us);
    else
        (void)uv_timer_stop(&link->timer);
}

/* ---- out ---- */

struct link_write {
    uv_write_t req;
    size_t n;
    uint8_t b[];
};

/* What the other side said before it went away may still lie here unread (an alert with the reason,
 * for one), so reading ends the link, within a bounded time. */
static void tx_break(struct net_link *link)
{
    link->tx_broken = true;
    net_frames_drop_out(link);
    if (link->state == LINK_UP)
        net_link_deadline(link, link->loop->config.close_us);
}

static void on_written(uv_write_t *req, int status)
{
    struct link_write *w = (struct link_write *)req->data;
    struct net_link *link = req->handle->data;
    link->tx_n -= w->n;
    free(w);
    if (link->state == LINK_CLOSING)
        return;
    if (status < 0)
        tx_break(link);
    else if (link->tx_n == 0)
        net_link_dirty(link);
}

static void tx_later(struct net_link *link, const uint8_t *p, size_t n)
{
    struct link_write *w = malloc(sizeof *w + n);
    if (!w) {
        tx_break(link);
        return;
    }
    w->req.data = w;
    w->n = n;
    memcpy(w->b, p, n);
    uv_buf_t buf = uv_buf_init((char *)w->b, (unsigned)n);
    if (uv_write(&w->req, (uv_stream_t *)&link->tcp, &buf, 1, on_written)) {
        free(w);
        tx_break(link);
        return;
    }
    link->tx_n += n;
}

void net_link_submit(struct net_link *link)
{
    struct net_loop *loop = link->loop;
    size_t n = loop->cipher_n, done = 0;
    loop->cipher_n = 0;
    if (n == 0 || link->state == LINK_CLOSING || link->tx_broken)
        return;
    link->stats.bytes_out += n;
    link->stats.writes++;
    if (link->tx_n == 0) {
        uv_buf_t buf = uv_buf_init((char *)loop->cipher, (unsigned)n);
        int r = uv_try_write((uv_stream_t *)&link->tcp, &buf, 1);
        if (r < 0 && r != UV_EAGAIN) {
            tx_break(link);
            return;
        }
        done = r > 0 ? (size_t)r : 0;
    }
    if (done == n)
        return;
    /* answers to the other side's key updates are not frames and are bounded here */
    if (link->tx_n > (size_t)loop->config.out_max + NET_CIPHER)
        net_link_fail(link, PEAL_E_FULL, "slow reader: %zu bytes wait for it", link->tx_n);
    else
        tx_later(link, loop->cipher + done, n - done);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

/* close_notify has been written: FIN follows, then the other side's turn to close. */
static void link_bye(struct net_link *link)
{
    link->said_bye = true;
    net_link_submit(link);
    if (link->state == LINK_DRAINING &&
        uv_shutdown(&link->req.shutdown, (uv_stream_t *)&link->tcp, on_shutdown))
        net_link_fail(link, PEAL_E_IO, "the connection broke off");
}

void net_link_flush(struct net_link *link)
{
    struct net_chunk *c;
    if (link->state != LINK_UP && link->state != LINK_DRAINING)
        return;
    while (link->tx_n == 0 && (c = STAILQ_FIRST(&link->out))) {
        ERR_clear_error();
        if (SSL_write(link->ssl, c->b, (int)c->n) != (int)c->n) {
            char why[NET_REASON_MAX];
            int err = net_tls_failure(link, why);
            net_link_fail(link, err, "%s", why);
            return;
        }
        /* a full buffer was handed on meanwhile, which may have found the connection broken */
        if (STAILQ_FIRST(&link->out) != c)
            break;
        link->stats.records_out++;
        net_frames_chunk_done(link);
    }
    net_link_submit(link);
    if (link->state == LINK_DRAINING && STAILQ_EMPTY(&link->out) && !link->said_bye) {
        ERR_clear_error();
        (void)SSL_shutdown(link->ssl);
        link_bye(link);
    }
}

void net_link_flush_all(struct net_loop *loop)
{
    struct net_link *link;
    while ((link = TAILQ_FIRST(&loop->dirty))) {
        TAILQ_REMOVE(&loop->dirty, link, dirty);
        loop->dirty_n--;
        link->is_dirty = false;
        net_link_flush(link);
    }
}

void net_link_dirty(struct net_link *link)
{
    struct net_loop *loop = link->loop;
    if (link->is_dirty)
        return;
    link->is_dirty = true;
    TAILQ_INSERT_TAIL(&loop->dirty, link, dirty);
    if (++loop->dirty_n >= NET_DIRTY_MAX)
        net_link_flush_all(loop);
}

/* ---- handshake ---- */

/* On the accepting side the alert must get through before the connection goes, or the caller would
 * never learn why. */
static void link_refuse(struct net_link *link, int err, const char *why)
{
    if (link->info.dialled) {
        net_link_fail(link, err, "%s", why);
        return;
    }
    reason_set(link, err, why);
    net_link_state_set(link, LINK_DRAINING);
    net_link_deadline(link, link->loop->config.close_us);
    link_bye(link);
    link_report(link);
}

static void local_addr(const struct net_link *link, struct net_addr *out)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;
    if (uv_tcp_getsockname(&link->tcp, (struct sockaddr *)&ss, &n) == 0)
        net_addr_from_sockaddr((struct sockaddr *)&ss, out);
}

static void link_came_up(struct net_link *link)
{
    enum net_alpn alpn;
    if (net_tls_alpn(link->ssl, &alpn) || (link->info.dialled && alpn != link->info.alpn)) {
        link_refuse(link, PEAL_E_REFUSED, "the other side does not speak this protocol");
        return;
    }
    if ((link->info.dialled || alpn == NET_ALPN_NODE) && !link->info.has_peer_id) {
        link_refuse(link, PEAL_E_AUTH, "the other side showed no certificate");
        return;
    }
    link->info.alpn = alpn;
    if (!link->info.dialled)
        memcpy(link->info.fingerprint, link->tls->fingerprint, sizeof link->info.fingerprint);
    local_addr(link, &link->info.local);
    net_link_half_open_end(link);
    net_link_state_set(link, LINK_UP);
    link->has_been_up = true;
    net_link_idle_set(link, link->idle_us);
    if (link->out_n)
        net_link_dirty(link);
    if (link->events->up)
        link->events->up(link);
}

static void link_handshake(struct net_link *link)
{
    ERR_clear_error();
    int r = SSL_do_handshake(link->ssl);
    if (r == 1) {
        net_link_submit(link);
        link_came_up(link);
        return;
    }
    if (SSL_get_error(link->ssl, r) == SSL_ERROR_WANT_READ) {
        net_link_submit(link);
        return;
    }
    char why[NET_REASON_MAX];
    int err = net_tls_failure(link, why);
    link_refuse(link, err, why);
}

/* ---- in ---- */

static void link_pull(struct net_link *link)
{
    while (link->state == LINK_UP) {
        size_t n;
        uint8_t *to = net_frames_space(link, &n);
        if (!to)
            return;
        bool record = SSL_pending(link->ssl) == 0;
        ERR_clear_error();
        int r = SSL_read(link->ssl, to, (int)n);
        int e = SSL_get_error(link->ssl, r);
        /* the answer to a key update leaves before `frame` can make another link use the buffer */
        if (r > 0)
            net_link_submit(link);
        if (r > 0 && link->state == LINK_UP) {
            link->stats.records_in += record;
            if (!net_frames_take(link, (size_t)r))
                return;
            continue;
        }
        if (link->state != LINK_UP)
            return;
        if (e == SSL_ERROR_WANT_READ) {
            net_link_submit(link);
            return;
        }
        char why[NET_REASON_MAX];
        int err = net_tls_failure(link, why);
        if (e == SSL_ERROR_ZERO_RETURN)
            net_link_fail(link, PEAL_E_CLOSED, "closed by the other side");
        else
            net_link_fail(link, err, "%s", why);
    }
}

static void link_ended(struct net_link *link, int uv_err)
{
    const char *when = link->has_been_up ? "" : " during the handshake";
    if (uv_err == UV_EOF)
        net_link_fail(link, PEAL_E_CLOSED, "the other side went away%s", when);
    else
        net_link_fail(link, PEAL_E_IO, "the connection broke off%s: %s", when, uv_strerror(uv_err));
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct net_link *link = h->data;
    (void)suggested;
    *buf = uv_buf_init((char *)link->loop->read, NET_READ);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct net_link *link = s->data;
    if (n < 0)
        link_ended(link, (int)n);
    if (n <= 0)
        return;
    link->stats.bytes_in += (uint64_t)n;
    if (link->idle_us)
        link->last_in_us = net_now_us();
    link->rx = (const uint8_t *)buf->base;
    link->rx_n = (size_t)n;
    if (link->state == LINK_HANDSHAKE)
        link_handshake(link);
    if (link->state == LINK_UP)
        link_pull(link);
    /* in the other states the other side's last words are not listened to */
    link->rx_n = 0;
}

void net_link_start(struct net_link *link)
{
    (void)uv_tcp_nodelay(&link->tcp, 1);
    if (net_tls_attach(link, link->info.alpn)) {
        net_link_fail(link, PEAL_E_NO_MEMORY, "no memory for the link");
        return;
    }
    int err = uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_read);
    if (err)
        net_link_fail(link, PEAL_E_IO, "reading: %s", uv_strerror(err));
    else
        link_handshake(link);
}

/* ---- for the program ---- */

const struct net_link_info *net_link_info(const struct net_link *link)
{
    return &link->info;
}

void *net_link_user(const struct net_link *link)
{
    return link->user;
}

void net_link_user_set(struct net_link *link, void *user)
{
    link->user = user;
}

size_t net_link_queued(const struct net_link *link)
{
    return link->out_n + link->tx_n;
}

int net_link_send(struct net_link *link, struct peal_bytes payload)
{
    if (link->state > LINK_UP || link->tx_broken)
        return PEAL_E_CLOSED;
    if (payload.n == 0 || payload.n > NET_FRAME_MAX)
        return PEAL_E_USAGE;
    size_t waiting = net_link_queued(link), max = link->loop->config.out_max;
    if (waiting > max || payload.n + NET_HEADER > max - waiting) {
        net_link_fail(link, PEAL_E_FULL, "slow reader: %zu bytes wait for it", waiting);
        return PEAL_E_FULL;
    }
    int err = net_frames_queue(link, payload);
    if (err == 0 && link->state == LINK_UP)
        net_link_dirty(link);
    return err;
}

void net_link_close(struct net_link *link, const char *reason)
{
    if (link->state < LINK_UP) {
        net_link_fail(link, PEAL_E_CLOSED, "%s", reason);
    } else if (link->state == LINK_UP) {
        reason_set(link, PEAL_E_CLOSED, reason);
        net_link_state_set(link, LINK_DRAINING);
        net_frames_drop_in(link);
        net_link_deadline(link, link->loop->config.close_us);
        net_link_dirty(link);
    }
}

void net_link_abort(struct net_link *link, const char *reason)
{
    net_link_fail(link, PEAL_E_CLOSED, "%s", reason);
}

void net_link_stats(const struct net_link *link, struct net_link_stats *out)
{
    *out = link->stats;
}
