/* Addresses: between text, numbers and the system's structures. */
#include "net_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char scheme[] = "peal://";

void net_why(char why[static NET_REASON_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, NET_REASON_MAX, fmt, args);
    va_end(args);
}

void net_addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *out)
{
    *out = (struct net_addr){0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, sa, sizeof v4);
        out->ip_len = 4;
        memcpy(out->ip, &v4.sin_addr, 4);
        out->port = ntohs(v4.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, sa, sizeof v6);
        out->port = ntohs(v6.sin6_port);
        /* a dual-stack socket shows IPv4 peers as mapped: one form only above */
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            out->ip_len = 4;
            memcpy(out->ip, &v6.sin6_addr.s6_addr[12], 4);
        } else {
            out->ip_len = 16;
            memcpy(out->ip, &v6.sin6_addr, 16);
            if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&v6.sin6_addr))
                out->zone = v6.sin6_scope_id;
        }
    }
}

void net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (a->ip_len == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
        memcpy(&v4.sin_addr, a->ip, 4);
        memcpy(out, &v4, sizeof v4);
    } else if (a->ip_len == 16) {
        struct sockaddr_in6 v6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->zone};
        memcpy(&v6.sin6_addr, a->ip, 16);
        memcpy(out, &v6, sizeof v6);
    }
}

void net_addr_ip_text(const struct net_addr *a, char out[static NET_ADDR_TEXT])
{
    if (a->ip_len != 4 && a->ip_len != 16) {
        (void)snprintf(out, NET_ADDR_TEXT, "none");
        return;
    }
    const char *ok = inet_ntop(a->ip_len == 4 ? AF_INET : AF_INET6, a->ip, out, NET_ADDR_TEXT);
    CHECK(ok);
    if (a->zone == 0)
        return;
    char name[IF_NAMESIZE];
    size_t n = strlen(out);
    if (if_indextoname(a->zone, name))
        (void)snprintf(out + n, NET_ADDR_TEXT - n, "%%%s", name);
    else
        (void)snprintf(out + n, NET_ADDR_TEXT - n, "%%%u", a->zone);
}

void net_addr_text(const struct net_addr *a, char out[static NET_ADDR_TEXT])
{
    char ip[NET_ADDR_TEXT];
    net_addr_ip_text(a, ip);
    if (a->ip_len == 0)
        (void)snprintf(out, NET_ADDR_TEXT, "none");
    else
        (void)snprintf(out, NET_ADDR_TEXT, a->ip_len == 16 ? "[%.70s]:%u" : "%.70s:%u", ip,
                       a->port);
}

/* A number without brackets and port; false when it is a name. */
static bool addr_of_host(const char *host, struct net_addr *out)
{
    *out = (struct net_addr){0};
    if (inet_pton(AF_INET, host, out->ip) == 1) {
        out->ip_len = 4;
        return true;
    }
    char ip[INET6_ADDRSTRLEN];
    const char *zone = strchr(host, '%');
    size_t n = zone ? (size_t)(zone - host) : strlen(host);
    if (n >= sizeof ip)
        return false;
    memcpy(ip, host, n);
    ip[n] = 0;
    if (inet_pton(AF_INET6, ip, out->ip) != 1)
        return false;
    out->ip_len = 16;
    if (zone) {
        out->zone = if_nametoindex(zone + 1);
        if (out->zone == 0)
            return false;
    }
    return true;
}

int net_addr_parse(const char *text, struct net_addr *out)
{
    struct net_place place;
    char why[NET_REASON_MAX];
    int err = net_place_parse(text, 0, &place, why);
    if (err)
        return err;
    if (place.pinned || strncmp(text, scheme, sizeof scheme - 1) == 0 ||
        !addr_of_host(place.host, out))
        return PEAL_E_MALFORMED;
    out->port = place.port;
    return 0;
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
    return a->ip_len == b->ip_len && a->port == b->port && a->zone == b->zone &&
           memcmp(a->ip, b->ip, a->ip_len) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    if (a->ip_len == 4)
        return a->ip[0] == 127;
    struct in6_addr v6;
    memcpy(&v6, a->ip, sizeof v6);
    return a->ip_len == 16 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool net_addr_is_any(const struct net_addr *a)
{
    static const uint8_t zero[16];
    return a->ip_len != 0 && memcmp(a->ip, zero, a->ip_len) == 0;
}

static bool parse_port(const char *text, size_t n, uint16_t *out)
{
    unsigned long v = 0;
    if (n == 0 || n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (unsigned long)(text[i] - '0');
    }
    *out = (uint16_t)v;
    return v <= UINT16_MAX;
}

/* RFC 1123's characters, and the underscore that container networks use. */
static bool host_name_ok(const char *host)
{
    for (const char *c = host; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.' && *c != '_')
            return false;
    return host[0] != '-' && host[0] != '.';
}

/* Splits off the host; *rest is what follows it. */
static int parse_host(const char *text, size_t n, struct net_place *out, size_t *rest,
                      char why[static NET_REASON_MAX])
{
    bool bracket = n > 0 && text[0] == '[';
    const char *end = memchr(text, bracket ? ']' : ':', n);
    if (bracket && !end) {
        net_why(why, "the bracket in \"%.100s\" is not closed", text);
        return PEAL_E_MALFORMED;
    }
    if (!bracket && end && memchr(end + 1, ':', n - (size_t)(end + 1 - text))) {
        net_why(why, "an IPv6 address stands in brackets, as in \"[::1]:7001\": \"%.100s\"", text);
        return PEAL_E_MALFORMED;
    }
    const char *host = text + bracket;
    size_t host_n = end ? (size_t)(end - host) : n;
    if (host_n == 0 || host_n > NET_HOST_MAX) {
        net_why(why,
                host_n == 0 ? "\"%.100s\" names no host" : "the host in \"%.100s…\" is too long",
                text);
        return PEAL_E_MALFORMED;
    }
    memcpy(out->host, host, host_n);
    out->host[host_n] = 0;
    *rest = (size_t)(host - text) + host_n + bracket;
    struct net_addr a;
    bool numeric = strlen(out->host) == host_n && addr_of_host(out->host, &a);
    if (bracket ? !numeric || a.ip_len != 16 : !numeric && !host_name_ok(out->host)) {
        net_why(why, bracket ? "\"%.100s\" is no IPv6 address" : "\"%.100s\" is no host name",
                out->host);
        return PEAL_E_MALFORMED;
    }
    return 0;
}

int net_place_parse(const char *text, uint16_t default_port, struct net_place *out,
                    char why[static NET_REASON_MAX])
{
    *out = (struct net_place){.port = default_port};
    why[0] = 0;
    const char *p = text;
    size_t n = strlen(p);
    if (strncmp(p, scheme, sizeof scheme - 1) == 0) {
        p += sizeof scheme - 1;
        const char *hash = strchr(p, '#');
        if (hash && cry_fp_parse(hash + 1, out->fingerprint)) {
            net_why(why, "what follows # in \"%.150s\" is no ring's fingerprint", text);
            return PEAL_E_MALFORMED;
        }
        out->pinned = hash;
        n = hash ? (size_t)(hash - p) : strlen(p);
        if (n > 0 && p[n - 1] == '/')
            n--;
    }
    size_t rest = 0;
    int err = parse_host(p, n, out, &rest, why);
    if (err)
        return err;
    if (rest == n && default_port) {
        return 0;
    } else if (rest == n) {
        net_why(why, "\"%.100s\" lacks a port, as in \"%.100s:7001\"", text, out->host);
        return PEAL_E_MALFORMED;
    }
    if (p[rest] != ':' || !parse_port(p + rest + 1, n - rest - 1, &out->port)) {
        net_why(why, "the port in \"%.100s\" is not a number up to 65535", text);
        return PEAL_E_MALFORMED;
    }
    return 0;
}

void net_place_text(const struct net_place *p, char out[static NET_PLACE_TEXT])
{
    char fp[CRY_FP_TEXT] = "";
    if (p->pinned)
        cry_fp_text(p->fingerprint, fp);
    bool v6 = strchr(p->host, ':');
    (void)snprintf(out, NET_PLACE_TEXT, "%s%s%s%s:%u%s%s", p->pinned ? scheme : "", v6 ? "[" : "",
                   p->host, v6 ? "]" : "", p->port, p->pinned ? "#" : "", fp);
}

struct net_place net_place_of(const struct net_addr *a)
{
    struct net_place p = {.port = a->port};
    char text[NET_ADDR_TEXT];
    net_addr_ip_text(a, text);
    memcpy(p.host, text, strlen(text) + 1);
    return p;
}
