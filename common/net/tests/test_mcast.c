/* Multicast: two loops, as two processes on one host would be, and a group on a port that was free.
 */
#include "netns.h"
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
    unsigned pings, pongs, others, loopback, v4, v6; /* v4: those not over loopback */
    struct net_addr from;
};

static void on_datagram(void *user, const struct net_addr *from, struct peal_bytes data)
{
    struct hearer *h = user;
    h->from = *from;
    h->loopback += net_addr_is_loopback(from);
    h->v4 += from->ip_len == 4 && !net_addr_is_loopback(from);
    h->v6 += from->ip_len == 16;
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

static void hearer_open_groups(struct hearer *h, const char *groups, char *why)
{
    struct net_mcast_opts opts = {.datagram = on_datagram, .user = h};
    cr_assert(net_groups_parse(groups, &opts.groups, why) == 0, "%s", why);
    cr_assert(net_loop_new(NULL, &h->loop) == 0, "net_loop_new");
    int err = net_mcast_open(h->loop, &opts, &h->m, why);
    cr_assert(err == 0, "net_mcast_open gives %s: %s", err_name(err), why);
}

static void hearer_open(struct hearer *h, const char *group, uint16_t port)
{
    char text[NET_ADDR_TEXT], why[NET_REASON_MAX] = "";
    snprintf(text, sizeof text, "%s:%u", group, port);
    hearer_open_groups(h, text, why);
    cr_assert(why[0] == 0, "every group is used: %s", why);
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

Test(net_mcast, the_text_of_groups)
{
    static const struct {
        const char *text;
        size_t n;
        const char *says; /* NULL: it is fine */
    } cases[] = {{"off", 0, NULL},
                 {"239.1.2.3:77", 1, NULL},
                 {"[ff02::1:2]:77", 1, NULL},
                 {"239.1.2.3:77,[ff02::1:2]:78", 2, NULL},
                 {"[ff02::1:2]:78,239.1.2.3:77", 2, NULL},
                 {"", 0, "GROUP:PORT"},
                 {"somewhere", 0, "GROUP:PORT"},
                 {"239.1.2.3:77,", 0, "GROUP:PORT"},
                 {",239.1.2.3:77", 0, "GROUP:PORT"},
                 {"239.1.2.3:77,off", 0, "GROUP:PORT"},
                 {"239.1.2.3:77,[ff02::1]:77,239.1.2.4:77", 0, "more than two"},
                 {"239.1.2.3:77,239.1.2.4:77", 0, "IPv4 and the other for IPv6"},
                 {"192.0.2.1:7001", 0, "224.0.0.0"},
                 {"[2001:db8::1]:7001", 0, "ff02::/16"},
                 {"[ff05::1]:7001", 0, "ff02::/16"},
                 {"239.1.2.3:0", 0, "port"}};
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        struct net_groups g;
        char why[NET_REASON_MAX] = "";
        int err = net_groups_parse(cases[i].text, &g, why);
        cr_assert(err == (cases[i].says ? PEAL_E_MALFORMED : 0), "\"%s\" gives %s: %s",
                  cases[i].text, err_name(err), why);
        if (cases[i].says)
            cr_assert(strstr(why, cases[i].says), "\"%s\": %s", cases[i].text, why);
        else
            cr_assert(g.n == cases[i].n, "\"%s\": %zu groups", cases[i].text, g.n);
    }
}

Test(net_mcast, what_is_no_group_is_refused)
{
    struct net_loop *loop;
    struct net_mcast *m;
    char why[NET_REASON_MAX] = "";
    struct net_mcast_opts opts = {.datagram = on_datagram};
    cr_assert(net_loop_new(NULL, &loop) == 0, "net_loop_new");
    cr_assert(net_mcast_open(loop, &opts, &m, why) == PEAL_E_USAGE && !m, "no group at all");
    opts.groups.n = 1;
    cr_assert(net_addr_parse("192.0.2.1:7001", &opts.groups.v[0]) == 0, "an address");
    cr_assert(net_mcast_open(loop, &opts, &m, why) == PEAL_E_USAGE && !m, "no group's address");
    cr_assert(strstr(why, "224.0.0.0"), "%s", why);
    net_loop_free(loop);
}

/* A group that cannot be used: its port belongs to somebody who does not share it. */
Test(net_mcast, one_group_of_two_is_enough)
{
    if (!has_ipv6())
        cr_skip_test("no IPv6 here");
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
    socklen_t n = sizeof sa;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    cr_assert(fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0 &&
                  bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 &&
                  getsockname(fd, (struct sockaddr *)&sa, &n) == 0,
              "a port that is not shared");
    struct hearer a = {0};
    char text[2 * NET_ADDR_TEXT], why[NET_REASON_MAX] = "";
    snprintf(text, sizeof text, "[ff02::5065:616c]:%u,239.255.80.76:%u", ntohs(sa.sin6_port),
             free_udp_port(AF_INET));
    hearer_open_groups(&a, text, why);
    cr_assert(strstr(why, "ff02::5065:616c"), "which one cannot be used is said: %s", why);
    int err = net_mcast_send(a.m, peal_bytes_str("ping"));
    cr_assert(err == 0, "net_mcast_send gives %s", err_name(err));
    UNTIL(a.loop, a.pings);
    net_mcast_free(a.m);
    *strchr(text, ',') = 0;
    struct net_mcast_opts opts = {.datagram = on_datagram};
    cr_assert(net_groups_parse(text, &opts.groups, why) == 0, "%s", why);
    err = net_mcast_open(a.loop, &opts, &a.m, why);
    cr_assert(err == PEAL_E_IO && !a.m, "when none can be used it is an error: %s", err_name(err));
    net_loop_free(a.loop);
    close(fd);
}

Test(net_mcast, an_interface_that_is_not_there_is_said_and_waited_for)
{
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct hearer a = {0};
    char why[NET_REASON_MAX] = "";
    ip("link set lo down");
    hearer_open_groups(&a, "239.255.80.76:7601", why);
    cr_assert(strstr(why, "no interface has an IPv4 address"), "%s", why);
    cr_assert(net_mcast_send(a.m, peal_bytes_str("ping")) == PEAL_E_IO, "nowhere to send it");
    ip("link set lo up");
    while (net_mcast_send(a.m, peal_bytes_str("ping")) != 0)
        cr_assert(net_loop_once(a.loop, true), "the kernel tells of the interface");
    UNTIL(a.loop, a.pings);
    net_loop_free(a.loop);
}

/* A network of this test's own with one interface, and both groups over it. */
Test(net_mcast, both_groups_at_once_on_an_interface_that_comes_later)
{
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct hearer a = {0}, b = {0};
    char why[NET_REASON_MAX] = "";
    static const char groups[] = "239.255.80.76:7601,[ff02::5065:616c]:7602";
    hearer_open_groups(&a, groups, why);
    hearer_open_groups(&b, groups, why);
    ip("link add left type veth peer name right");
    ip("link set right up");
    ip("link set left up");
    ip("addr add 192.0.2.1/24 dev left");
    ip("addr add 2001:db8::1/64 dev left nodad");
    while (!b.v4 || !b.v6) { /* link-local addresses are checked for a moment before they serve */
        int err = net_mcast_send(a.m, peal_bytes_str("ping"));
        (void)err; /* nowhere to send to before the kernel has told of the interface */
        (void)net_loop_once(a.loop, false);
        (void)net_loop_once(b.loop, false);
    }
    struct net_addr to = b.from;
    while (!a.pongs) { /* the first may be lost, or wait, while neighbours are being looked up */
        int err = net_mcast_reply(b.m, &to, peal_bytes_str("pong"));
        cr_assert(err == 0 || err == PEAL_E_IO, "net_mcast_reply gives %s", err_name(err));
        (void)net_loop_once(a.loop, false);
    }
    net_loop_free(a.loop);
    net_loop_free(b.loop);
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
