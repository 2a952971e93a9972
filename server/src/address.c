#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- choosing ---- */

enum rank { RANK_NONE, RANK_POOR, RANK_IPV6, RANK_IPV4 };

static enum rank rank_of(const struct net_addr *listen, const struct net_addr *a)
{
    if (net_addr_is_loopback(a) || net_addr_is_any(a) || a->zone != 0)
        return RANK_NONE;
    if (a->ip_len == 4)
        return a->ip[0] == 169 && a->ip[1] == 254 ? RANK_POOR : RANK_IPV4;
    bool link_local = a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
    if (listen->ip_len != 16 || link_local)
        return RANK_NONE;
    return a->passing ? RANK_POOR : RANK_IPV6;
}

static bool same_ip(const struct net_addr *a, const struct net_addr *b)
{
    return a->ip_len == b->ip_len && a->zone == b->zone && memcmp(a->ip, b->ip, a->ip_len) == 0;
}

bool address_is_there(const struct net_addr *a, const struct net_addr have[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_ip(a, &have[i]))
            return true;
    return net_addr_is_loopback(a);
}

bool addresses_eq(const struct addresses *a, const struct addresses *b)
{
    bool eq = a->n == b->n;
    for (size_t i = 0; eq && i < a->n; i++)
        eq = net_addr_eq(&a->v[i], &b->v[i]);
    return eq;
}

void addresses_add(struct addresses *l, const struct net_addr *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (net_addr_eq(&l->v[i], a))
            return;
    if (l->n < ADDRESSES_MAX)
        l->v[l->n++] = *a;
}

/* Adds those of the rank, until there are most in the list. */
static void add_ranked(struct addresses *l, enum rank rank, size_t most,
                       const struct net_addr *listen, const struct net_addr have[], size_t n)
{
    for (size_t i = 0; i < n && l->n < most; i++) {
        struct net_addr a = have[i];
        if (rank_of(listen, &a) != rank)
            continue;
        a.port = listen->port;
        addresses_add(l, &a);
    }
}

void address_choose(const struct net_addr *listen, const struct net_addr have[], size_t n,
                    struct addresses *l)
{
    static const struct net_addr loopback = {.ip = {127, 0, 0, 1}, .ip_len = 4};
    struct addresses found = {.n = 0};
    bool ipv6 = false;
    CHECK(net_addr_is_any(listen));
    for (size_t i = 0; i < n; i++)
        ipv6 = ipv6 || rank_of(listen, &have[i]) == RANK_IPV6;
    add_ranked(&found, RANK_IPV4, ADDRESSES_MAX - ipv6, listen, have, n);
    add_ranked(&found, RANK_IPV6, ADDRESSES_MAX, listen, have, n);
    if (found.n == 0)
        add_ranked(&found, RANK_POOR, 1, listen, have, n);
    if (found.n == 0)
        found = *l;
    if (found.n == 0)
        addresses_add(&found, &loopback);
    for (size_t i = 0; i < found.n; i++)
        found.v[i].port = listen->port;
    *l = found;
}

/* ---- incarnations ---- */

enum { DIGITS_MAX = 20, PATH_MAX_BYTES = 1024 };

static int fail(char *why, int err, const char *path, const char *what)
{
    (void)snprintf(why, ADDRESS_WHY_MAX, "%.300s: %.150s", path, what);
    return err;
}

/* 0 when there is no file yet. */
static int read_last(const char *path, uint64_t *last, char *why)
{
    char text[DIGITS_MAX + 2] = "", *end = NULL;
    *last = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : fail(why, PEAL_E_IO, path, strerror(errno));
    ssize_t n = read(fd, text, sizeof text - 1);
    int err = n < 0 ? fail(why, PEAL_E_IO, path, strerror(errno)) : 0;
    (void)close(fd);
    if (err != 0)
        return err;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (n == 0 || text[0] < '0' || text[0] > '9' || *end != '\n' || errno != 0 ||
        v >= UINT64_MAX - 1)
        return fail(why, PEAL_E_MALFORMED, path, "not a number on a line of its own");
    *last = v;
    return 0;
}

static int write_new(const char *path, const char *text, char *why)
{
    size_t n = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(why, PEAL_E_IO, path, strerror(errno));
    ssize_t w = write(fd, text, n);
    int err = 0;
    if (w != (ssize_t)n || fsync(fd) != 0)
        err = fail(why, PEAL_E_IO, path, w < 0 || w == (ssize_t)n ? strerror(errno) : "disk full");
    (void)close(fd);
    return err;
}

static int sync_folder_of(const char *path, char *why)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX_BYTES];
    (void)snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
                   slash != NULL ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -1 : fsync(fd);
    int err = r == 0 ? 0 : fail(why, PEAL_E_IO, dir, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return err;
}

int incarnation_next(const char *path, uint64_t wall_ms, uint64_t *out,
                     char why[static ADDRESS_WHY_MAX])
{
    char aside[PATH_MAX_BYTES], text[DIGITS_MAX + 2];
    uint64_t last = 0;
    *out = wall_ms;
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside)
        return fail(why, PEAL_E_IO, path, "the path is too long");
    int unread = read_last(path, &last, why);
    if (unread == PEAL_E_IO)
        return unread;
    if (*out <= last)
        *out = last + 1;
    (void)snprintf(text, sizeof text, "%" PRIu64 "\n", *out);
    char no[ADDRESS_WHY_MAX]; /* what was unreadable is the better explanation */
    char *to = unread == 0 ? why : no;
    int err = write_new(aside, text, to);
    if (err == 0 && rename(aside, path) != 0)
        err = fail(to, PEAL_E_IO, path, strerror(errno));
    if (err == 0)
        err = sync_folder_of(path, to);
    return unread != 0 ? unread : err;
}
