/* Multicast: one socket that shares the group's port and is a member on every interface, and one
 * with a port of its own that sends out of every interface and hears the replies. */
#include "net_internal.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { MCAST_TTL = 4, MCAST_RESCAN_MS = 5000, MCAST_SOCKETS = 2 };

/* An interface's address; for IPv6 only the index counts. */
struct mcast_if {
    struct net_addr addr;
    unsigned index;
};

struct net_mcast {
    LIST_ENTRY(net_mcast) entry;
    struct net_loop *loop;
    struct net_mcast_opts opts;
    uv_udp_t in, out;
    uv_timer_t rescan;
    uint8_t handles;
    size_t ifs_n;
    struct mcast_if ifs[NET_INTERFACES_MAX];
    uint8_t buf[NET_DATAGRAM_MAX + 1]; /* one more shows what is too long */
};

static int udp_fd(const uv_udp_t *udp)
{
    uv_os_fd_t fd = -1;
    int err = uv_fileno((const uv_handle_t *)udp, &fd);
    CHECK(err == 0);
    return fd;
}

static struct ip_mreqn mreq4(const struct net_mcast *m, const struct mcast_if *i)
{
    struct ip_mreqn r = {.imr_ifindex = (int)i->index};
    memcpy(&r.imr_multiaddr, m->opts.group.ip, 4);
    memcpy(&r.imr_address, i->addr.ip, 4);
    return r;
}

/* A second address of an interface finds the first one's membership there already, which is as
 * good. */
static bool join(const struct net_mcast *m, const struct mcast_if *i)
{
    int r;
    if (m->opts.group.ip_len == 4) {
        struct ip_mreqn req = mreq4(m, i);
        r = setsockopt(udp_fd(&m->in), IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof req);
    } else {
        struct ipv6_mreq req = {.ipv6mr_interface = i->index};
        memcpy(&req.ipv6mr_multiaddr, m->opts.group.ip, 16);
        r = setsockopt(udp_fd(&m->in), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &req, sizeof req);
    }
    return r == 0 || errno == EADDRINUSE;
}

static bool leave_by(const struct net_mcast *m, const struct mcast_if *i)
{
    if (m->opts.group.ip_len == 4) {
        struct ip_mreqn req = mreq4(m, i);
        return setsockopt(udp_fd(&m->out), IPPROTO_IP, IP_MULTICAST_IF, &req, sizeof req) == 0;
    }
    int index = (int)i->index;
    return setsockopt(udp_fd(&m->out), IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index) == 0;
}

static bool same_if(const struct net_mcast *m, const struct mcast_if *a, const struct mcast_if *b)
{
    return a->index == b->index && (m->opts.group.ip_len == 16 || net_addr_eq(&a->addr, &b->addr));
}

static bool known_if(const struct net_mcast *m, const struct mcast_if *list, size_t n,
                     const struct mcast_if *i)
{
    for (size_t k = 0; k < n; k++)
        if (same_if(m, &list[k], i))
            return true;
    return false;
}

/* Joins on interfaces that are new. Those that went took their membership along (the system drops
 * it). */
static void scan(struct net_mcast *m)
{
    uv_interface_address_t *all;
    int n;
    if (uv_interface_addresses(&all, &n))
        return;
    struct mcast_if now[NET_INTERFACES_MAX];
    size_t now_n = 0;
    for (int k = 0; k < n && now_n < NET_INTERFACES_MAX; k++) {
        struct mcast_if i = {.index = if_nametoindex(all[k].name)};
        net_addr_from_sockaddr((struct sockaddr *)&all[k].address, &i.addr);
        if (i.index == 0 || i.addr.ip_len != m->opts.group.ip_len || known_if(m, now, now_n, &i))
            continue;
        if (known_if(m, m->ifs, m->ifs_n, &i) || join(m, &i))
            now[now_n++] = i;
    }
    uv_free_interface_addresses(all, n);
    memcpy(m->ifs, now, sizeof now);
    m->ifs_n = now_n;
}

static void on_rescan(uv_timer_t *h)
{
    scan(h->data);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct net_mcast *m = h->data;
    (void)suggested;
    *buf = uv_buf_init((char *)m->buf, sizeof m->buf);
}

static void on_datagram(uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                        unsigned flags)
{
    struct net_mcast *m = h->data;
    (void)flags;
    if (n <= 0 || n > NET_DATAGRAM_MAX || !from)
        return;
    struct net_addr addr;
    net_addr_from_sockaddr(from, &addr);
    m->opts.datagram(m->opts.user, &addr, peal_bytes_of(buf->base, (size_t)n));
}

static int out_settings(struct net_mcast *m)
{
    int fd = udp_fd(&m->out), on = 1, hops = m->opts.ttl, r;
    if (m->opts.group.ip_len == 4) {
        r = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops);
        r |= setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
    } else {
        r = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
        r |= setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &on, sizeof on);
    }
    return r ? uv_translate_sys_error(errno) : 0;
}

static int mcast_start(struct net_mcast *m)
{
    struct sockaddr_storage ss;
    struct net_addr any = {.ip_len = m->opts.group.ip_len}, own = m->opts.group;
    bool v6 = any.ip_len == 16;
    /* IPv4: bound to the group itself, so that no other group's datagrams to the same port come
     * along; a link-local IPv6 group can be bound to one interface only */
    if (v6)
        own = (struct net_addr){.ip_len = any.ip_len, .port = own.port};
    net_addr_to_sockaddr(&own, &ss);
    int err =
        uv_udp_bind(&m->in, (struct sockaddr *)&ss, UV_UDP_REUSEADDR | (v6 ? UV_UDP_IPV6ONLY : 0));
    net_addr_to_sockaddr(&any, &ss);
    if (err == 0)
        err = uv_udp_bind(&m->out, (struct sockaddr *)&ss, 0);
    if (err == 0)
        err = out_settings(m);
    if (err == 0)
        err = uv_udp_recv_start(&m->in, on_alloc, on_datagram);
    if (err == 0)
        err = uv_udp_recv_start(&m->out, on_alloc, on_datagram);
    if (err == 0)
        err = uv_timer_start(&m->rescan, on_rescan, MCAST_RESCAN_MS, MCAST_RESCAN_MS);
    uv_unref((uv_handle_t *)&m->rescan);
    if (err == 0)
        scan(m);
    return err;
}

static int group_check(const struct net_addr *g, char why[static NET_REASON_MAX])
{
    char text[NET_ADDR_TEXT];
    net_addr_ip_text(g, text);
    if (g->ip_len == 4 && (g->ip[0] & 0xf0) != 0xe0)
        net_why(why, "%s is no multicast group (224.0.0.0 to 239.255.255.255)", text);
    else if (g->ip_len == 16 && (g->ip[0] != 0xff || (g->ip[1] & 0x0f) != 2))
        net_why(why, "%s is no multicast group of link-local scope (ff02::/16)", text);
    else if (g->ip_len != 4 && g->ip_len != 16)
        net_why(why, "no multicast group is given");
    else if (g->port == 0)
        net_why(why, "the multicast group %s needs a port", text);
    else
        return 0;
    return PEAL_E_USAGE;
}

static void on_closed(uv_handle_t *h)
{
    struct net_mcast *m = h->data;
    if (--m->handles == 0)
        free(m);
}

int net_mcast_open(struct net_loop *loop, const struct net_mcast_opts *opts, struct net_mcast **out,
                   char why[static NET_REASON_MAX])
{
    *out = NULL;
    CHECK(opts->datagram);
    int err = group_check(&opts->group, why);
    if (err)
        return err;
    struct net_mcast *m = loop->ending ? NULL : calloc(1, sizeof *m);
    if (!m) {
        err = loop->ending ? PEAL_E_CLOSED : PEAL_E_NO_MEMORY;
        net_why(why, "%s", err_prose(err));
        return err;
    }
    *m = (struct net_mcast){.loop = loop, .opts = *opts, .handles = MCAST_SOCKETS + 1};
    if (m->opts.ttl == 0)
        m->opts.ttl = MCAST_TTL;
    err = uv_udp_init(&loop->uv, &m->in);
    err |= uv_udp_init(&loop->uv, &m->out);
    err |= uv_timer_init(&loop->uv, &m->rescan);
    CHECK(err == 0);
    m->in.data = m->out.data = m->rescan.data = m;
    LIST_INSERT_HEAD(&loop->mcasts, m, entry);
    err = mcast_start(m);
    if (err) {
        char text[NET_ADDR_TEXT];
        net_addr_text(&opts->group, text);
        net_why(why, "the multicast group %s: %s", text, uv_strerror(err));
        net_mcast_free(m);
        return PEAL_E_IO;
    }
    *out = m;
    return 0;
}

static bool send_to(struct net_mcast *m, const struct net_addr *to, struct peal_bytes data)
{
    struct sockaddr_storage ss;
    net_addr_to_sockaddr(to, &ss);
    char copy[NET_DATAGRAM_MAX]; /* libuv's buffers are not const */
    memcpy(copy, data.p, data.n);
    uv_buf_t buf = uv_buf_init(copy, (unsigned)data.n);
    return uv_udp_try_send(&m->out, &buf, 1, (struct sockaddr *)&ss) >= 0;
}

int net_mcast_send(struct net_mcast *m, struct peal_bytes data)
{
    if (data.n == 0 || data.n > NET_DATAGRAM_MAX)
        return PEAL_E_USAGE;
    scan(m);
    bool sent = false;
    for (size_t k = 0; k < m->ifs_n; k++) {
        struct net_addr to = m->opts.group;
        if (to.ip_len == 16)
            to.zone = m->ifs[k].index;
        sent |= leave_by(m, &m->ifs[k]) && send_to(m, &to, data);
    }
    return sent ? 0 : PEAL_E_IO;
}

int net_mcast_reply(struct net_mcast *m, const struct net_addr *to, struct peal_bytes data)
{
    if (data.n == 0 || data.n > NET_DATAGRAM_MAX || to->ip_len != m->opts.group.ip_len)
        return PEAL_E_USAGE;
    return send_to(m, to, data) ? 0 : PEAL_E_IO;
}

void net_mcast_free(struct net_mcast *m)
{
    if (!m)
        return;
    LIST_REMOVE(m, entry);
    uv_close((uv_handle_t *)&m->in, on_closed);
    uv_close((uv_handle_t *)&m->out, on_closed);
    uv_close((uv_handle_t *)&m->rescan, on_closed);
}
