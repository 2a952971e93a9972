/* inner: what the files of web share: the server, its connections, requests and streams.
 *
 * libmicrohttpd polls nothing itself: its epoll descriptor sits in the loop as a uv_poll_t, and
 * MHD_run does the work when it is readable or MHD_get_timeout has passed. A connection that waits
 * for its reply or for events is suspended, which takes its socket out of that epoll; `watch` then
 * tells when the browser goes away.
 *
 *            accepted                   whole request              web_reply, error, asset
 *   (none) -----------> CONN_READING -------------------> WAITING ------------------------> WRITING
 *                            ^  \                                                              |
 *                            |   \  stream of events                                           |
 *                            |    '--------------------> STREAMING (until it is closed)        |
 *                            '-----------------------------------------------------------------'
 *                                                  response taken
 *   any state --> closed: the peer went away, a deadline passed (READING, WRITING, STREAMING with
 * bytes waiting), web_free */
#ifndef PEAL_WEB_INNER_H
#define PEAL_WEB_INNER_H

#include "guard.h"

#include <microhttpd.h>
#include <peal/web.h>

enum conn_state { CONN_READING, CONN_WAITING, CONN_WRITING, CONN_STREAMING };

struct conn {
    struct web *web;
    struct conn *prev, *next;
    struct MHD_Connection *mhd;
    uv_poll_t watch;
    int fd;
    enum conn_state state;
    bool suspended;
    uint64_t since;              /* ms: start of the present state, or of the last progress in it */
    struct web_request *waiting; /* in CONN_WAITING */
    struct web_subscriber *sub;  /* in CONN_STREAMING */
};

enum stage { STAGE_BODY, STAGE_WAITING, STAGE_ANSWERED, STAGE_GONE };

/* Why a request is refused; all static. code == NULL: it is not. */
struct refusal {
    unsigned status;
    const char *code, *message, *hint;
};

enum kind { KIND_ASSET, KIND_PAGE, KIND_COMMAND, KIND_EVENTS };

struct web_request {
    struct web *web;
    struct conn *conn;
    enum stage stage;
    enum kind kind;
    struct refusal refusal;
    const char *allow; /* with 405 */
    size_t asset;
    char name[WEB_NAME_MAX + 1];
    struct MHD_Response *page; /* of a KIND_PAGE, until it is queued */
    char *body;                /* cap + 1 bytes; NULL when nothing is kept */
    size_t n, cap;
    bool in_handler; /* on_command is running */
    unsigned status;
    struct MHD_Response *response; /* in STAGE_ANSWERED; NULL: there was no memory for it */
    void *user;
};

struct web_subscriber {
    struct web *web;
    struct conn *conn; /* NULL until the stream is queued */
    struct web_subscriber *prev, *next;
    char *buf; /* n bytes wait, from head on */
    size_t head, n, cap;
    bool dropped;
};

struct web {
    uv_loop_t *loop;
    struct web_config config;
    struct guard guard;
    unsigned port;
    char url[WEB_HOST_MAX + 16];
    struct MHD_Daemon *mhd;
    struct MHD_Response **assets; /* config.asset_count of them */
    uv_poll_t poll;
    uv_timer_t timer, sweep, heartbeat;
    unsigned handles; /* open handles of the loop; the memory goes with the last */
    unsigned depth;   /* of callbacks that run */
    bool stopping;
    bool again; /* since the last MHD_run began, something happened that only the next one sees */
    struct conn *conns;
    struct web_subscriber *subs;
    unsigned sub_count;
};

/* ---- web.c ---- */
uint64_t web_ms(void);
/* Suspends until conn_resume, or until the peer goes away (then conn_gone). */
void conn_suspend(struct conn *c);
void conn_resume(struct conn *c);
/* Makes libmicrohttpd close a connection that is not suspended: its socket has ended. */
void conn_shut(struct conn *c);

/* ---- request.c ---- */
enum MHD_Result request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data, size_t *n,
                               void **state);
void request_completed(void *cls, struct MHD_Connection *mhd, void **state,
                       enum MHD_RequestTerminationCode why);
/* The peer of a waiting request is gone: tells its owner. */
void request_cancel(struct web_request *req);
/* Adds the headers that every response carries; cache: the value of Cache-Control. False when out
 * of memory. */
bool response_dress(struct MHD_Response *r, const char *type, const char *cache);

/* ---- events.c ---- */
/* A new stream as a response to queue, or NULL (no memory); sub belongs to the response. */
struct MHD_Response *events_open(struct web *web, struct conn *c);
/* Closes one stream; it is freed when libmicrohttpd lets go of it. */
void events_drop(struct web_subscriber *sub);
void events_heartbeat(struct web *web);

#endif
