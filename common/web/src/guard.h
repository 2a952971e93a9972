/* guard: who may call: the names of this server, and what Host, Origin, Content-Type and token must
 * be. Pure functions over strings. */
#ifndef PEAL_WEB_GUARD_H
#define PEAL_WEB_GUARD_H

#include <peal/base.h>
#include <peal/web.h>

enum { GUARD_OWN = 8, GUARD_NAMES = GUARD_OWN + WEB_HOSTS_MAX };

struct guard {
    char names[GUARD_NAMES][WEB_HOST_MAX + 1];
    size_t n;
    size_t own; /* the first names are this server's own, reached over plain HTTP; the rest are the
                   caller's extra ones */
    char token[WEB_TOKEN_CHARS + 1]; /* "" when none is asked for */
};

/* An address to listen on, taken apart. */
struct guard_listen {
    char host[64]; /* numeric, without brackets */
    bool v6;
    unsigned port;
};

/* "ADDR:PORT", "[ADDR]:PORT" or "localhost:PORT"; PEAL_E_USAGE when it is not of that form (the
 * address itself is not looked at). */
PEAL_MUST int guard_parse_listen(const char *s, struct guard_listen *out);

/* The accepted names: the loopback ones and the address listened on, with its actual port, then
 * extra[0..n). PEAL_E_USAGE when an extra one or the token is not of its form. token may be NULL.
 */
PEAL_MUST int guard_init(struct guard *g, const struct guard_listen *at, const char *token,
                         const char *const *extra, size_t n);

bool guard_host(const struct guard *g, const char *host);
/* Whether origin ("http://name:port") is the page's own, given the request's accepted host. */
bool guard_origin(const struct guard *g, const char *origin, const char *host);
/* given may be NULL; true for anything when no token is asked for. Takes the same time for each
 * wrong one. */
bool guard_token(const struct guard *g, const char *given);
/* Whether a Content-Type is application/json, with or without parameters. */
bool guard_is_json(const char *type);
/* Whether s is a command's or event's name: 1 to WEB_NAME_MAX of a-z, 0-9, '-', '_'. */
bool guard_is_name(const char *s);

#endif
