#include "guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HTTP_PORT = 80, PORT_MAX = 65535, PORT_DIGITS = 5 };

static int parse_port(const char *s, unsigned *out)
{
    size_t n = strlen(s);
    if (n == 0 || n > PORT_DIGITS || strspn(s, "0123456789") != n)
        return PEAL_E_USAGE;
    unsigned long v = strtoul(s, NULL, 10);
    if (v > PORT_MAX)
        return PEAL_E_USAGE;
    *out = (unsigned)v;
    return 0;
}

int guard_parse_listen(const char *s, struct guard_listen *out)
{
    const char *colon = strrchr(s, ':');
    if (colon == NULL || colon == s)
        return PEAL_E_USAGE;
    const char *from = s;
    size_t n = (size_t)(colon - s);
    out->v6 = s[0] == '[';
    if (out->v6) {
        if (n < 3 || s[n - 1] != ']')
            return PEAL_E_USAGE;
        from++;
        n -= 2;
    } else if (memchr(s, ':', n) != NULL) {
        return PEAL_E_USAGE; /* an IPv6 address needs its brackets */
    }
    if (n >= sizeof out->host)
        return PEAL_E_USAGE;
    memcpy(out->host, from, n);
    out->host[n] = '\0';
    if (strcmp(out->host, "localhost") == 0)
        memcpy(out->host, "127.0.0.1", sizeof "127.0.0.1");
    return parse_port(colon + 1, &out->port);
}

static void add_own(struct guard *g, const char *host, bool v6, unsigned port)
{
    CHECK(g->n < GUARD_OWN);
    const char *form = v6 ? "[%s]:%u" : "%s:%u";
    int n = snprintf(g->names[g->n], sizeof g->names[0], form, host, port);
    CHECK(n > 0 && (size_t)n < sizeof g->names[0]);
    g->n++;
}

/* Browsers leave the port out of Host when it is HTTP's own: every name so far without its port,
 * too. */
static void add_portless(struct guard *g)
{
    for (size_t i = 0, n = g->n; i < n && g->n < GUARD_OWN; i++) {
        char *to = g->names[g->n++];
        memcpy(to, g->names[i], sizeof g->names[0]);
        *strrchr(to, ':') = '\0';
    }
}

static bool is_host(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > WEB_HOST_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f || c == '/' || c == '@' || c == ',')
            return false;
    }
    return true;
}

int guard_init(struct guard *g, const struct guard_listen *at, const char *token,
               const char *const *extra, size_t n)
{
    memset(g, 0, sizeof *g);
    if (n > WEB_HOSTS_MAX)
        return PEAL_E_USAGE;
    if (token != NULL) {
        if (strlen(token) != WEB_TOKEN_CHARS ||
            strspn(token, "0123456789abcdefABCDEF") != WEB_TOKEN_CHARS)
            return PEAL_E_USAGE;
        memcpy(g->token, token, WEB_TOKEN_CHARS + 1);
    }
    add_own(g, "localhost", false, at->port);
    add_own(g, "127.0.0.1", false, at->port);
    add_own(g, "::1", true, at->port);
    add_own(g, at->host, at->v6, at->port);
    if (at->port == HTTP_PORT)
        add_portless(g);
    g->own = g->n;
    for (size_t i = 0; i < n; i++) {
        if (!is_host(extra[i]))
            return PEAL_E_USAGE;
        memcpy(g->names[g->n++], extra[i], strlen(extra[i]) + 1);
    }
    CHECK(g->n <= GUARD_NAMES);
    return 0;
}

static const char *find(const struct guard *g, const char *host, bool *own)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcasecmp(g->names[i], host) == 0) {
            *own = i < g->own;
            return g->names[i];
        }
    }
    return NULL;
}

bool guard_host(const struct guard *g, const char *host)
{
    bool own;
    return host != NULL && find(g, host, &own) != NULL;
}

bool guard_origin(const struct guard *g, const char *origin, const char *host)
{
    bool own = true;
    if (find(g, host, &own) == NULL)
        return false;
    const char *name = NULL;
    if (strncasecmp(origin, "http://", 7) == 0)
        name = origin + 7;
    else if (!own && strncasecmp(origin, "https://", 8) == 0)
        name = origin + 8;
    return name != NULL && strcasecmp(name, host) == 0;
}

bool guard_token(const struct guard *g, const char *given)
{
    if (g->token[0] == '\0')
        return true;
    if (given == NULL || strlen(given) != WEB_TOKEN_CHARS)
        return false;
    volatile unsigned char differ = 0;
    for (size_t i = 0; i < WEB_TOKEN_CHARS; i++)
        differ = (unsigned char)(differ | (unsigned char)(given[i] ^ g->token[i]));
    return differ == 0;
}

bool guard_is_json(const char *type)
{
    static const char json[] = "application/json";
    if (type == NULL || strncasecmp(type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

bool guard_is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return n > 0 && n <= WEB_NAME_MAX && s[n] == '\0';
}
