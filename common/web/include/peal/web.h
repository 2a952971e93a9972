/* web: the small HTTP server that a program of Peal shows its page with: embedded assets, commands
 * as POST with JSON, pushes as server-sent events. libmicrohttpd does HTTP/1.1; every callback runs
 * on the thread of the libuv loop that the caller owns.
 *
 * Not for: anything that faces the open internet, TLS, uploads, or files from the disk: what is not
 * in the table of assets is not served.
 *
 * Who may call: the Host header must be one of the names below (against DNS rebinding), Origin,
 * when there is one, must be this page's own, and a token of this run, which only the page knows,
 * must come with each command and stream. That keeps other pages in the same browser out. It does
 * not keep out a process that may connect to the port and reads index.html: the address that is
 * listened on decides who that can be.
 *
 *   GET  /, /PATH            an asset; "/" is "/index.html"; else on_page's
 *   POST /api/NAME           a command; Content-Type: application/json, X-Peal-Token: TOKEN
 *   GET  /api/events?token=  the stream of events (text/event-stream)
 *
 * Refusals are JSON, {"error":{"code","message","hint"}}: 403 bad_host, bad_origin, bad_token; 404
 * not_found; 405 bad_method; 411 length_required; 413 too_large; 415 bad_type; 503 busy. What is
 * not HTTP at all gets a short page of libmicrohttpd's, or its connection closed. Nothing in a path
 * is decoded: one with % is unknown. */
#ifndef PEAL_WEB_H
#define PEAL_WEB_H

#include <peal/base.h>
#include <uv.h>

enum {
    WEB_BODY_MAX = 128 * 1024, /* bytes of a command's body; more is 413 */
    WEB_PAGE_MAX = 64 * 1024,  /* bytes of a page that on_page makes */
    WEB_NAME_MAX = 32,         /* bytes of a command's name: a-z, 0-9, '-', '_' */
    WEB_TOKEN_CHARS = 32,      /* the token: hexadecimal digits */
    WEB_HOSTS_MAX = 16,        /* extra hosts */
    WEB_HOST_MAX = 255,        /* bytes of a host with its port */
    WEB_CONNECTIONS = 64,      /* default of max_connections */
    WEB_SUBSCRIBERS = 32,      /* default of max_subscribers */
    WEB_QUEUE_MAX = 1 << 20,   /* default of queue_max, bytes */
    WEB_HEARTBEAT_MS = 15000,  /* default of heartbeat_ms */
    WEB_REQUEST_MS = 15000,    /* default of request_ms */
};

struct web;
/* A command that waits for its reply. Given to on_command, valid until web_reply or on_cancel. */
struct web_request;
/* An open stream of events. Valid only during on_subscribe. */
struct web_subscriber;

/* One embedded file. cmake/assets.cmake generates tables of these; all of it is static. */
struct web_asset {
    const char *path; /* "/index.html" */
    const char *type; /* "text/html; charset=utf-8" */
    const uint8_t *bytes;
    size_t n;
};

/* Zero means the default where one is named. Strings and tables must live as long as the web,
 * except where said. */
struct web_config {
    const struct web_asset *assets;
    size_t asset_count;

    /* WEB_TOKEN_CHARS hexadecimal digits from a cryptographic generator, new in each run; NULL:
     * none is asked for (then on_command must be NULL: a page that only shows). Copied. */
    const char *token;
    /* What in the asset "/index.html" is replaced by the token (by nothing when there is none),
     * e.g. "{{token}}"; NULL: index.html is served as it is. Every occurrence is replaced. */
    const char *token_placeholder;

    /* Further values of Host to accept, "name:port", for a page that is reached through a forwarded
     * port or a proxy; their Origin may be http or https. Always accepted: the listen address,
     * localhost, 127.0.0.1 and [::1], each with the listen port. Copied. */
    const char *const *hosts;
    size_t host_count; /* <= WEB_HOSTS_MAX */

    void *ctx; /* first argument of the callbacks */

    /* POST /api/NAME passed all checks. body is the n bytes that came, with a NUL after them, and
     * is not yet known to be JSON; it and name live until web_reply or on_cancel. The callback or
     * somebody later calls web_reply exactly once, unless on_cancel came first. NULL: there are no
     * commands (404). */
    void (*on_command)(void *ctx, struct web_request *req, const char *name, const char *body,
                       size_t n);
    /* The browser went away before the reply (it ended the connection or its side of it), or
     * web_free was called: req is gone after this returns, and must not be replied to. May be NULL
     * when web_reply is always called within on_command. */
    void (*on_cancel)(void *ctx, struct web_request *req);
    /* A page opened the stream; web_send gives it its first events. NULL: nothing to say at first.
     */
    void (*on_subscribe)(void *ctx, struct web_subscriber *sub);
    /* GET of a path that is no asset (its query is not in it): a page that is made at this moment.
     * Writes it to out, its length to *n and its type (static) to *type, and returns the HTTP
     * status, 200 to 599; 0: there is no such page (404). NULL: there are none. */
    unsigned (*on_page)(void *ctx, const char *path, char out[static WEB_PAGE_MAX], size_t *n,
                        const char **type);

    unsigned max_connections; /* further ones wait in the listen queue */
    unsigned max_subscribers; /* further ones get 503 */
    size_t queue_max; /* bytes that wait for one subscriber; beyond, its stream is closed, and the
                         page opens it anew */
    unsigned heartbeat_ms; /* a comment is sent to every subscriber this often, so that a dead one
                              is noticed */
    /* A connection that has not brought its whole request this long after it was opened or after
     * its last response, or does not take its response for this long, is closed. */
    unsigned request_ms;
};

/* Listens on "ADDR:PORT" ("127.0.0.1:8080", "[::1]:0", "localhost:0"; numeric otherwise; port 0
 * lets the system choose) and serves on loop until web_free. PEAL_E_USAGE (listen or config not of
 * its form), PEAL_E_EXISTS (address in use), PEAL_E_REFUSED (not allowed to listen there),
 * PEAL_E_NOT_FOUND (not an address of this machine), PEAL_E_IO, PEAL_E_NO_MEMORY. */
PEAL_MUST int web_new(uv_loop_t *loop, const char *listen, const struct web_config *config,
                      struct web **out);

/* Stops listening, cancels what waits (on_cancel), closes every connection. The loop must run once
 * more to release the memory. NULL is allowed. Not to be called from one of the callbacks above. */
void web_free(struct web *web);

/* The port that is listened on, and the page's address ("http://127.0.0.1:8080/"), which lives as
 * long as web; for a wildcard address it names the loopback one. */
unsigned web_port(const struct web *web);
const char *web_url(const struct web *web);

/* Open streams at this moment. */
unsigned web_subscribers(const struct web *web);

/* Answers with an HTTP status of 200 to 599 and n bytes of JSON, which are copied; req is gone
 * afterwards. On the loop's thread, within on_command or later. When there is no memory for the
 * answer the connection is closed. */
void web_reply(struct web_request *req, unsigned status, const char *json, size_t n);
/* The same with {"error":{"code","message","hint"}}. The strings are UTF-8; hint may be NULL for
 * "". */
void web_reply_error(struct web_request *req, unsigned status, const char *code,
                     const char *message, const char *hint);

/* A pointer of the caller's, NULL at first. */
void web_request_set(struct web_request *req, void *user);
void *web_request_get(const struct web_request *req);

/* Queues one event for every subscriber, or for one within on_subscribe. event: a-z, 0-9, '-', '_';
 * json: n bytes of one JSON value, copied (line ends in it become spaces: in JSON they can only be
 * space between tokens). A subscriber whose queue would exceed queue_max is dropped. On the loop's
 * thread; also from within the callbacks. */
void web_push(struct web *web, const char *event, const char *json, size_t n);
void web_send(struct web_subscriber *sub, const char *event, const char *json, size_t n);

#endif
