/* feed: the visualizer's page and what is told to it: serves the embedded page and pushes a ring's
 * view, its traces and its lookups as server-sent events; a page that opens later gets the last
 * view and the last traces. Who fills it decides where they come from: peal-visualizer asks a
 * server, peal-sim looks at simulated nodes.
 *
 *   event connection {"connected","servers":[text],"reason"}
 *   event ring       {"whole","size","epoch","coordinator","nodes":[{"id","address","incarnation",
 *                     "state","successor","predecessor","clients","rows"}],"seen_by","at"}
 *   event trace      {"at","node","kind","text"}
 *   event path       {"serial","at","key","owner","path":[id],"hops","microseconds"}
 *
 * Ids are in hexadecimal, null where there is none; times are Unix time in milliseconds. Not for:
 * how often something is told, which is the caller's to bound. */
#ifndef PEAL_FEED_H
#define PEAL_FEED_H

#include "peal/web.h"
#include "peal/wire.h"

#include <jansson.h>

enum {
    FEED_TRACES_KEPT = 50, /* for a page that opens later */
    FEED_TRACE_MAX = 4096, /* bytes of one trace as JSON; a longer one is not told */
};

struct feed;

/* What pages ask, as in peal/web.h; a NULL on_cancel: on_command always replies at once. */
struct feed_commands {
    void *ctx;
    void (*on_command)(void *ctx, struct web_request *req, const char *name, const char *body,
                       size_t n);
    void (*on_cancel)(void *ctx, struct web_request *req);
};

/* Serves the page on "ADDR:PORT" until feed_free, with a token of its own. Errors: web_new's. */
PEAL_MUST int feed_new(uv_loop_t *loop, const char *listen, const struct feed_commands *commands,
                       struct feed **out);
/* The loop must run once more to release the memory of the connections. NULL is allowed. */
void feed_free(struct feed *f);
/* Why feed_new failed, for somebody who chose the port. Static. */
const char *feed_why(int err);
struct web *feed_web(const struct feed *f); /* as long as f lives */

/* Whether what is told is live; through: where it comes from; reason: why it is not. Copied. */
void feed_connection(struct feed *f, bool connected, const char *through, const char *reason);
/* size: of the whole ring, of which r may name a part. */
void feed_ring(struct feed *f, const struct wire_c_ring *r, size_t size);
/* What pages tell by themselves, from the differences between two views, is left out. */
void feed_trace(struct feed *f, const struct wire_c_trace *t);
/* Tells of a lookup; at: when. Its path must have an entry. Returns what was told, the caller's
 * (json_decref); NULL: no memory. */
json_t *feed_path(struct web *web, const struct wire_c_path *m, uint64_t serial, uint64_t at);

#endif
