/* This machine's addresses, and the kernel's notices that they have changed. */
#include "net_internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WATCH_READS_MAX = 64, /* notices taken in one turn; what is left comes in the next one */
    WATCH_NOTICE_MAX = 8192,
};

struct net_watch {
    LIST_ENTRY(net_watch) entry;
    int fd;
    uv_poll_t poll;
    void (*changed)(void *user);
    void *user;
    uint8_t buf[WATCH_NOTICE_MAX];
};

/* getifaddrs does not say what state an address is in; the kernel's own list does (of each address
 * its digits, interface, prefix, scope and flags, in hexadecimal). Where that cannot be read, none
 * is taken for passing. */
static void note_passing(struct net_addr v[], size_t n)
{
    enum { PASSING = IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED };
    char hex[2 * 16 + 1], line[128];
    unsigned flags = 0;
    uint8_t ip[16];
    FILE *f = fopen("/proc/net/if_inet6", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%32s %*x %*x %*x %x", hex, &flags) != 2 || !(flags & PASSING) ||
            peal_unhex(hex, sizeof ip, ip) != 0)
            continue;
        for (size_t i = 0; i < n; i++)
            if (v[i].ip_len == sizeof ip && memcmp(v[i].ip, ip, sizeof ip) == 0)
                v[i].passing = true;
    }
    if (f)
        (void)fclose(f);
}

size_t net_addrs(struct net_addr out[static NET_ADDRS_MAX])
{
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *i = all; i && n < NET_ADDRS_MAX; i = i->ifa_next) {
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
            continue;
        net_addr_from_sockaddr(i->ifa_addr, &out[n]);
        n += out[n].ip_len != 0;
    }
    freeifaddrs(all);
    note_passing(out, n);
    return n;
}

/* Which notice it is does not matter: a cut one counts, and so does ENOBUFS, which says that some
 * were lost. */
static bool take_notices(struct net_watch *w)
{
    bool any = false;
    for (int i = 0; i < WATCH_READS_MAX; i++) {
        struct sockaddr_nl from = {0};
        socklen_t from_n = sizeof from;
        ssize_t n = recvfrom(w->fd, w->buf, sizeof w->buf, 0, (struct sockaddr *)&from, &from_n);
        if (n < 0 && errno != EINTR && errno != ENOBUFS)
            break;
        bool kernel = from_n == sizeof from && from.nl_pid == 0;
        any |= n < 0 ? errno == ENOBUFS : kernel;
    }
    return any;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct net_watch *w = h->data;
    (void)events;
    bool any = take_notices(w);
    if (status < 0) { /* libuv stops at an error; this one (notices were lost) was just read off */
        int err = uv_poll_start(h, UV_READABLE, on_readable);
        CHECK(err == 0);
    }
    if (any)
        w->changed(w->user);
}

static int watch_socket(void)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK,
                              .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&own, sizeof own) == 0)
        return fd;
    int err = errno;
    (void)close(fd);
    errno = err;
    return -1;
}

int net_watch_open(struct net_loop *loop, void (*changed)(void *user), void *user,
                   struct net_watch **out, char why[static NET_REASON_MAX])
{
    *out = NULL;
    CHECK(changed);
    struct net_watch *w = loop->ending ? NULL : calloc(1, sizeof *w);
    if (!w) {
        int err = loop->ending ? PEAL_E_CLOSED : PEAL_E_NO_MEMORY;
        net_why(why, "%s", err_prose(err));
        return err;
    }
    w->changed = changed;
    w->user = user;
    w->fd = watch_socket();
    if (w->fd < 0) {
        net_why(why, "the system does not tell of changed addresses: %s", strerror(errno));
        free(w);
        return PEAL_E_IO;
    }
    int err = uv_poll_init(&loop->uv, &w->poll, w->fd);
    CHECK(err == 0);
    w->poll.data = w;
    err = uv_poll_start(&w->poll, UV_READABLE, on_readable);
    CHECK(err == 0);
    LIST_INSERT_HEAD(&loop->watches, w, entry);
    *out = w;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct net_watch *w = h->data;
    (void)close(w->fd);
    free(w);
}

void net_watch_free(struct net_watch *w)
{
    if (!w)
        return;
    LIST_REMOVE(w, entry);
    uv_close((uv_handle_t *)&w->poll, on_closed);
}
