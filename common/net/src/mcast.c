/* Multicast: for each group one socket that shares the group's port and is a member on every
 * interface, and one with a port of its own that sends out of every interface and hears the
 * replies. */
#include "net_internal.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MCAST_TTL = 4, GROUP_TEXT_MAX = 128 };

/* An interface's address; for IPv6 only the index counts. */
struct mcast_if {
    struct net_addr addr;
    unsigned index;
};

/* One group's sockets. */
struct mcast_half {
    struct net_mcast *mcast;
    struct net_addr group;
    bool open; /* both are in use */
    uv_udp_t in, out;
    size_t ifs_n;
    struct mcast_if ifs[NET_INTERFACES_MAX];
};

struct net_mcast {
    LIST_ENTRY(net_mcast) entry;
    struct net_loop *loop;
    struct net_mcast_opts opts;
    struct net_watch *watch;
    size_t n;
    struct mcast_half halves[NET_GROUPS_MAX];
    uint8_t handles; /* libuv handles that are not closed yet, and one while in use */
    uint8_t buf[NET_DATAGRAM_MAX + 1]; /* one more shows what is too long */
};

static int udp_fd(const uv_udp_t *udp)
{
    uv_os_fd_t fd = -1;
    int err = uv_fileno((const uv_handle_t *)udp, &fd);
    CHECK(err == 0);
    return fd;
}

/* ---- groups ---- */

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

static int groups_check(const struct net_groups *g, char why[static NET_REASON_MAX])
{
    if (g->n == 0 || g->n > NET_GROUPS_MAX) {
        net_why(why, "one or two multicast groups are needed");
        return PEAL_E_USAGE;
    }
    for (size_t i = 0; i < g->n; i++) {
        int err = group_check(&g->v[i], why);
        if (err)
            return err;
    }
    if (g->n == 2 && g->v[0].ip_len == g->v[1].ip_len) {
        net_why(why, "of two multicast groups one is for IPv4 and the other for IPv6");
        return PEAL_E_USAGE;
    }
    return 0;
}

int net_groups_parse(const char *text, struct net_groups *out, char why[static NET_REASON_MAX])
{
    *out = (struct net_groups){0};
    why[0] = 0;
    if (strcmp(text, "off") == 0)
        return 0;
    for (const char *p = text; p;) {
        const char *comma = strchr(p, ',');
        size_t n = comma ? (size_t)(comma - p) : strlen(p);
        char one[GROUP_TEXT_MAX];
        if (out->n == NET_GROUPS_MAX) {
            net_why(why, "\"%.100s\" names more than two groups", text);
            return PEAL_E_MALFORMED;
        }
        (void)snprintf(one, sizeof one, "%.*s", n < sizeof one ? (int)n : 0, p);
        if (net_addr_parse(one, &out->v[out->n]) != 0) {
            net_why(why,
                    "\"%.100s\" is neither \"off\" nor one or two of the form GROUP:PORT with a "
                    "comma between, as in \"239.80.69.76:7600,[ff02::5065:616c]:7600\"",
                    text);
            return PEAL_E_MALFORMED;
        }
        out->n++;
        p = comma ? comma + 1 : NULL;
    }
    return groups_check(out, why) ? PEAL_E_MALFORMED : 0;
}

/* ---- interfaces ---- */

static struct ip_mreqn mreq4(const struct mcast_half *h, const struct mcast_if *i)
{
    struct ip_mreqn r = {.imr_ifindex = (int)i->index};
    memcpy(&r.imr_multiaddr, h->group.ip, 4);
    memcpy(&r.imr_address, i->addr.ip, 4);
    return r;
}

/* A second address of an interface finds the first one's membership there already, which is as
 * good. */
static bool join(const struct mcast_half *h, const struct mcast_if *i)
{
    int r;
    if (h->group.ip_len == 4) {
        struct ip_mreqn req = mreq4(h, i);
        r = setsockopt(udp_fd(&h->in), IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof req);
    } else {
        struct ipv6_mreq req = {.ipv6mr_interface = i->index};
        memcpy(&req.ipv6mr_multiaddr, h->group.ip, 16);
        r = setsockopt(udp_fd(&h->in), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &req, sizeof req);
    }
    return r == 0 || errno == EADDRINUSE;
}

static bool leave_by(const struct mcast_half *h, const struct mcast_if *i)
{
    if (h->group.ip_len == 4) {
        struct ip_mreqn req = mreq4(h, i);
        return setsockopt(udp_fd(&h->out), IPPROTO_IP, IP_MULTICAST_IF, &req, sizeof req) == 0;
    }
    int index = (int)i->index;
    return setsockopt(udp_fd(&h->out), IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index) == 0;
}

static bool same_if(const struct mcast_half *h, const struct mcast_if *a, const struct mcast_if *b)
{
    return a->index == b->index && (h->group.ip_len == 16 || net_addr_eq(&a->addr, &b->addr));
}

static bool known_if(const struct mcast_half *h, const struct mcast_if *list, size_t n,
                     const struct mcast_if *i)
{
    for (size_t k = 0; k < n; k++)
        if (same_if(h, &list[k], i))
            return true;
    return false;
}

/* Joins on interfaces that are new. Those that went took their membership along (the system drops
 * it). */
static void scan(struct mcast_half *h)
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
        if (i.index == 0 || i.addr.ip_len != h->group.ip_len || known_if(h, now, now_n, &i))
            continue;
        if (known_if(h, h->ifs, h->ifs_n, &i) || join(h, &i))
            now[now_n++] = i;
    }
    uv_free_interface_addresses(all, n);
    memcpy(h->ifs, now, now_n * sizeof now[0]);
    h->ifs_n = now_n;
}

static void on_changed(void *user)
{
    struct net_mcast *m = user;
    for (size_t i = 0; i < m->n; i++)
        if (m->halves[i].open)
            scan(&m->halves[i]);
}

/* ---- opening and closing ---- */

static void on_alloc(uv_handle_t *u, size_t suggested, uv_buf_t *buf)
{
    struct mcast_half *h = u->data;
    (void)suggested;
    *buf = uv_buf_init((char *)h->mcast->buf, sizeof h->mcast->buf);
}

static void on_datagram(uv_udp_t *u, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                        unsigned flags)
{
    struct mcast_half *h = u->data;
    (void)flags;
    if (n <= 0 || n > NET_DATAGRAM_MAX || !from)
        return;
    struct net_addr addr;
    net_addr_from_sockaddr(from, &addr);
    h->mcast->opts.datagram(h->mcast->opts.user, &addr, peal_bytes_of(buf->base, (size_t)n));
}

static int out_settings(struct mcast_half *h)
{
    int fd = udp_fd(&h->out), on = 1, hops = h->mcast->opts.ttl, r;
    if (h->group.ip_len == 4) {
        r = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops);
        r |= setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
    } else {
        r = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
        r |= setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &on, sizeof on);
    }
    return r ? uv_translate_sys_error(errno) : 0;
}

static int half_start(struct mcast_half *h)
{
    struct sockaddr_storage ss;
    struct net_addr any = {.ip_len = h->group.ip_len}, own = h->group;
    bool v6 = any.ip_len == 16;
    /* IPv4: bound to the group itself, so that no other group's datagrams to the same port come
     * along; a link-local IPv6 group can be bound to one interface only */
    if (v6)
        own = (struct net_addr){.ip_len = any.ip_len, .port = own.port};
    net_addr_to_sockaddr(&own, &ss);
    int err =
        uv_udp_bind(&h->in, (struct sockaddr *)&ss, UV_UDP_REUSEADDR | (v6 ? UV_UDP_IPV6ONLY : 0));
    net_addr_to_sockaddr(&any, &ss);
    if (err == 0)
        err = uv_udp_bind(&h->out, (struct sockaddr *)&ss, v6 ? UV_UDP_IPV6ONLY : 0);
    if (err == 0)
        err = out_settings(h);
    if (err == 0)
        err = uv_udp_recv_start(&h->in, on_alloc, on_datagram);
    if (err == 0)
        err = uv_udp_recv_start(&h->out, on_alloc, on_datagram);
    return err;
}

static void let_go(struct net_mcast *m)
{
    if (--m->handles == 0)
        free(m);
}

static void on_closed(uv_handle_t *u)
{
    struct mcast_half *h = u->data;
    let_go(h->mcast);
}

static void half_close(struct mcast_half *h)
{
    if (!h->open)
        return;
    h->open = false;
    uv_close((uv_handle_t *)&h->in, on_closed);
    uv_close((uv_handle_t *)&h->out, on_closed);
}

static int half_open(struct net_mcast *m, const struct net_addr *group,
                     char why[static NET_REASON_MAX])
{
    struct mcast_half *h = &m->halves[m->n++];
    *h = (struct mcast_half){.mcast = m, .group = *group, .open = true};
    m->handles += 2;
    int err = uv_udp_init(&m->loop->uv, &h->in);
    err |= uv_udp_init(&m->loop->uv, &h->out);
    CHECK(err == 0);
    h->in.data = h->out.data = h;
    char text[NET_ADDR_TEXT];
    net_addr_text(group, text);
    err = half_start(h);
    if (err) {
        net_why(why, "the multicast group %s: %s", text, uv_strerror(err));
        half_close(h);
        return PEAL_E_IO;
    }
    scan(h);
    if (h->ifs_n == 0) /* one may come */
        net_why(why, "the multicast group %s: no interface has an IPv%d address now", text,
                group->ip_len == 4 ? 4 : 6);
    return 0;
}

int net_mcast_open(struct net_loop *loop, const struct net_mcast_opts *opts, struct net_mcast **out,
                   char why[static NET_REASON_MAX])
{
    *out = NULL;
    why[0] = 0;
    CHECK(opts->datagram);
    int err = groups_check(&opts->groups, why);
    if (err)
        return err;
    struct net_mcast *m = loop->ending ? NULL : calloc(1, sizeof *m);
    if (!m) {
        err = loop->ending ? PEAL_E_CLOSED : PEAL_E_NO_MEMORY;
        net_why(why, "%s", err_prose(err));
        return err;
    }
    *m = (struct net_mcast){.loop = loop, .opts = *opts, .handles = 1};
    if (m->opts.ttl == 0)
        m->opts.ttl = MCAST_TTL;
    LIST_INSERT_HEAD(&loop->mcasts, m, entry);
    /* watched before the first look, so that no change falls between the two */
    err = net_watch_open(loop, on_changed, m, &m->watch, why);
    bool any = false;
    for (size_t i = 0; err == 0 && i < opts->groups.n; i++)
        any |= half_open(m, &opts->groups.v[i], why) == 0;
    if (!any) {
        net_mcast_free(m);
        return err ? err : PEAL_E_IO;
    }
    *out = m;
    return 0;
}

void net_mcast_free(struct net_mcast *m)
{
    if (!m)
        return;
    LIST_REMOVE(m, entry);
    net_watch_free(m->watch);
    for (size_t i = 0; i < m->n; i++)
        half_close(&m->halves[i]);
    let_go(m);
}

/* ---- sending ---- */

static bool send_to(struct mcast_half *h, const struct net_addr *to, struct peal_bytes data)
{
    struct sockaddr_storage ss;
    net_addr_to_sockaddr(to, &ss);
    char copy[NET_DATAGRAM_MAX]; /* libuv's buffers are not const */
    memcpy(copy, data.p, data.n);
    uv_buf_t buf = uv_buf_init(copy, (unsigned)data.n);
    return uv_udp_try_send(&h->out, &buf, 1, (struct sockaddr *)&ss) >= 0;
}

static bool send_everywhere(struct mcast_half *h, struct peal_bytes data)
{
    bool sent = false;
    for (size_t k = 0; k < h->ifs_n; k++) {
        struct net_addr to = h->group;
        if (to.ip_len == 16)
            to.zone = h->ifs[k].index;
        sent |= leave_by(h, &h->ifs[k]) && send_to(h, &to, data);
    }
    return sent;
}

int net_mcast_send(struct net_mcast *m, struct peal_bytes data)
{
    if (data.n == 0 || data.n > NET_DATAGRAM_MAX)
        return PEAL_E_USAGE;
    bool sent = false;
    for (size_t i = 0; i < m->n; i++)
        sent |= m->halves[i].open && send_everywhere(&m->halves[i], data);
    return sent ? 0 : PEAL_E_IO;
}

int net_mcast_reply(struct net_mcast *m, const struct net_addr *to, struct peal_bytes data)
{
    if (data.n == 0 || data.n > NET_DATAGRAM_MAX)
        return PEAL_E_USAGE;
    for (size_t i = 0; i < m->n; i++)
        if (m->halves[i].open && m->halves[i].group.ip_len == to->ip_len)
            return send_to(&m->halves[i], to, data) ? 0 : PEAL_E_IO;
    return PEAL_E_USAGE;
}
