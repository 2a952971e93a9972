/* lookup: "where is this name?", asked by the pages and put to the server that is watched. Pages
 * get the way there as the answer to their command, and every page gets it as an event `path`,
 * as it does the lookups of others that the server tells of:
 *
 *   POST /api/lookup {"name"} -> {"serial","at","key","owner","path":[id],"hops","microseconds",
 *                                 "name"}
 *   event path                -> the same without the name; serial: which lookup, counted from 1
 *
 * Not for: the ring as it is, nor anything that needs an account. */
#ifndef PEAL_VISUALIZER_LOOKUP_H
#define PEAL_VISUALIZER_LOOKUP_H

#include "peal/reach.h"
#include "peal/web.h"

enum {
    LOOKUPS_MAX = 16,     /* under way; beyond, the page is told busy */
    LOOKUPS_IN_TIME = 20, /* asked in LOOKUPS_TIME_US, since a server hangs up on who asks more */
    LOOKUPS_TIME_US = 10 * 1000 * 1000,
    LOOKUP_WAIT_US = 8 * 1000 * 1000, /* for the server's answer, which itself waits for the ring */
};

struct lookups;

/* reach and web must outlive it, but for calls of web_free, which cancel what waits. */
PEAL_MUST int lookups_new(struct net_loop *loop, struct reach *reach, struct web *web,
                          struct lookups **out);
/* After web_free; NULL is allowed. */
void lookups_free(struct lookups *l);

/* A page's command of that name; answered now or later. away: why no server is reached. */
void lookups_ask(struct lookups *l, struct web_request *request, const char *body, size_t n,
                 const char *away);
/* The page that asked is gone. */
void lookups_cancel(struct lookups *l, const struct web_request *request);
/* What the server says. */
void lookups_path(struct lookups *l, const struct wire_c_path *m);
void lookups_error(struct lookups *l, const struct wire_c_error *m);
/* The link to the server is gone: nothing will be answered. */
void lookups_down(struct lookups *l);

#endif
