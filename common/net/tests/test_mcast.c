/* Multicast: two loops, as two processes on one host would be, and a group on a port that was free.
 */
#include "pair.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(net_mcast, .init = watch);

struct hearer {
    struct net_loop *loop;
    struct net_mcast *m;
    unsigned pings, pongs, others, loopback;
    struct net_addr from;
};

static void on_datagram(void *user, const struct net_addr *from, struct peal_bytes data)
{
    struct hearer *h = user;
    h->from = *from;
    h->loopback += net_addr_is_loopback(from);
    if (data.n == 4 && memcmp(data.p, "ping", 4) == 0)
        h->pings++;
    else if (data.n == 4 && memcmp(data.p, "pong", 4) == 0)
        h->pongs++;
    else
        h->others++;
}

static uint16_t free_udp_port(int family)
{
    struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
    socklen_t n = sizeof ss;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0, "socket");
    cr_assert(bind(fd, (struct sockaddr *)&ss,
                   family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) ==
                  0,
              "bind");
    cr_assert(getsockname(fd, (struct sockaddr *)&ss, &n) == 0, "getsockname");
    close(fd);
    return ntohs(family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port
                                   : ((struct sockaddr_in6 *)&ss)->sin6_port);
}

static void hearer_open(struct hearer *h, const char *group, uint16_t port)
{
    char text[NET_ADDR_TEXT], why[NET_REASON_MAX] = "";
    snprintf(text, sizeof text, "%s:%u", group, port);
    struct net_mcast_opts opts = {.datagram = on_datagram, .user = h};
    cr_assert(net_addr_parse(text, &opts.group) == 0, "%s", text);
    cr_assert(net_loop_new(NULL, &h->loop) == 0, "net_loop_new");
    int err = net_mcast_open(h->loop, &opts, &h->m, why);
    cr_assert(err == 0, "net_mcast_open gives %s: %s", err_name(err), why);
}

/* Whether any interface carries IPv6 multicast; the loopback interface commonly has no route for
 * it. */
static bool has_ipv6_multicast(void)
{
    bool has = false;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *all = fd >= 0 ? if_nameindex() : NULL;
    for (struct if_nameindex *i = all; i && i->if_index && !has; i++) {
        struct sockaddr_in6 sa = {
            .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_scope_id = i->if_index};
        (void)inet_pton(AF_INET6, "ff02::5065:616c", &sa.sin6_addr);
        has = sendto(fd, "x", 1, 0, (struct sockaddr *)&sa, sizeof sa) == 1;
    }
    if (all)
        if_freenameindex(all);
    if (fd >= 0)
        close(fd);
    return has;
}

static void echo_between(const char *group, int family)
{
    struct hearer a = {0}, b = {0};
    uint16_t port = free_udp_port(family);
    hearer_open(&a, group, port);
    hearer_open(&b, group, port);
    int err = net_mcast_send(a.m, peal_bytes_str("ping"));
    cr_assert(err == 0, "net_mcast_send gives %s", err_name(err));
    /* IPv4: also by way of the loopback interface, whatever the default route is */
    UNTIL(b.loop, b.pings && (b.loopback || family == AF_INET6));
    err = net_mcast_reply(b.m, &b.from, peal_bytes_str("pong"));
    cr_assert(err == 0, "net_mcast_reply gives %s", err_name(err));
    UNTIL(a.loop, a.pongs);
    cr_assert(a.others == 0 && b.others == 0 && b.pongs == 0, "nothing else, the reply only to a");
    UNTIL(a.loop, a.pings); /* the sender hears itself */
    net_mcast_free(a.m);
    net_loop_free(a.loop);
    net_loop_free(b.loop);
}

Test(net_mcast, two_loops_hear_each_other_over_ipv4)
{
    echo_between("239.255.80.76", AF_INET);
}

Test(net_mcast, two_loops_hear_each_other_over_ipv6)
{
    if (!has_ipv6_multicast())
        cr_skip_test("no interface here carries IPv6 multicast");
    echo_between("[ff02::5065:616c]", AF_INET6);
}

Test(net_mcast, what_is_no_group_is_refused)
{
    static const struct {
        const char *text, *says;
    } bads[] = {{"192.0.2.1:7001", "224.0.0.0"},
                {"[2001:db8::1]:7001", "ff02::/16"},
                {"[ff05::1]:7001", "ff02::/16"},
                {"239.1.2.3:0", "port"}};
    struct net_loop *loop;
    cr_assert(net_loop_new(NULL, &loop) == 0, "net_loop_new");
    for (size_t i = 0; i < PEAL_COUNT(bads); i++) {
        struct net_mcast_opts opts = {.datagram = on_datagram};
        struct net_mcast *m;
        char why[NET_REASON_MAX] = "";
        cr_assert(net_addr_parse(bads[i].text, &opts.group) == 0, "%s", bads[i].text);
        int err = net_mcast_open(loop, &opts, &m, why);
        cr_assert(err == PEAL_E_USAGE && !m, "%s gives %s", bads[i].text, err_name(err));
        cr_assert(strstr(why, bads[i].says), "%s: %s", bads[i].text, why);
    }
    net_loop_free(loop);
}

Test(net_mcast, too_long_a_datagram_is_refused)
{
    static uint8_t big[NET_DATAGRAM_MAX + 1];
    struct hearer a = {0};
    hearer_open(&a, "239.255.80.76", free_udp_port(AF_INET));
    cr_assert(net_mcast_send(a.m, peal_bytes_of(big, sizeof big)) == PEAL_E_USAGE, "too long");
    cr_assert(net_mcast_send(a.m, peal_bytes_of(big, 0)) == PEAL_E_USAGE, "empty");
    cr_assert(net_mcast_send(a.m, peal_bytes_of(big, NET_DATAGRAM_MAX)) == 0, "the longest");
    UNTIL(a.loop, a.others);
    net_loop_free(a.loop);
}
