/* Streams of server-sent events (WHATWG HTML, section 9.2). */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16 * 1024, FIRST_CAP = 4096 };

static const char opening[] = "retry: 1000\n\n";
static const char heartbeat[] = ":\n\n";

/* Makes room for n more bytes at the end; false when the queue would exceed its limit, or without
 * memory. */
static bool room(struct web_subscriber *sub, size_t n)
{
    size_t max = sub->web->config.queue_max;
    if (n > max || sub->n > max - n)
        return false;
    if (sub->head > 0 && sub->cap - sub->head < sub->n + n) {
        memmove(sub->buf, sub->buf + sub->head, sub->n);
        sub->head = 0;
    }
    if (sub->cap - sub->head >= sub->n + n)
        return true;
    size_t cap = sub->cap > 0 ? sub->cap : FIRST_CAP;
    while (cap < sub->n + n)
        cap *= 2;
    char *buf = realloc(sub->buf, cap);
    if (buf == NULL)
        return false;
    sub->buf = buf;
    sub->cap = cap;
    return true;
}

static void put(struct web_subscriber *sub, const char *p, size_t n)
{
    CHECK(sub->cap - sub->head - sub->n >= n);
    if (n > 0)
        memcpy(sub->buf + sub->head + sub->n, p, n);
    sub->n += n;
}

static void put_json(struct web_subscriber *sub, const char *json, size_t n)
{
    char *to = sub->buf + sub->head + sub->n;
    put(sub, json, n);
    for (size_t i = 0; i < n; i++) {
        if (to[i] == '\n' || to[i] == '\r')
            to[i] = ' ';
    }
}

/* Bytes were added: has them sent. */
static void wake(struct web_subscriber *sub, bool was_empty)
{
    if (sub->conn == NULL)
        return;
    if (was_empty)
        sub->conn->since = web_ms();
    if (sub->conn->suspended)
        conn_resume(sub->conn);
}

static void queue_event(struct web_subscriber *sub, const char *event, const char *json, size_t n)
{
    static const char before[] = "event: ", between[] = "\ndata: ", after[] = "\n\n";
    size_t frame = sizeof before + sizeof between + sizeof after - 3 + strlen(event);
    if (sub->dropped)
        return;
    bool was_empty = sub->n == 0;
    if (n > SIZE_MAX - frame || !room(sub, frame + n)) {
        events_drop(sub);
        return;
    }
    put(sub, before, sizeof before - 1);
    put(sub, event, strlen(event));
    put(sub, between, sizeof between - 1);
    put_json(sub, json, n);
    put(sub, after, sizeof after - 1);
    wake(sub, was_empty);
}

void web_push(struct web *web, const char *event, const char *json, size_t n)
{
    CHECK(guard_is_name(event));
    for (struct web_subscriber *s = web->subs; s != NULL; s = s->next)
        queue_event(s, event, json, n);
}

void web_send(struct web_subscriber *sub, const char *event, const char *json, size_t n)
{
    CHECK(guard_is_name(event));
    queue_event(sub, event, json, n);
}

void events_heartbeat(struct web *web)
{
    for (struct web_subscriber *s = web->subs; s != NULL; s = s->next) {
        /* one that has bytes waiting is already being tried */
        if (s->dropped || s->n > 0 || !room(s, sizeof heartbeat - 1))
            continue;
        put(s, heartbeat, sizeof heartbeat - 1);
        wake(s, true);
    }
}

void events_drop(struct web_subscriber *sub)
{
    if (sub->dropped)
        return;
    sub->dropped = true;
    if (sub->conn == NULL)
        return;
    if (sub->conn->suspended)
        conn_resume(sub->conn);
    else
        conn_shut(sub->conn);
}

static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
    struct web_subscriber *sub = cls;
    (void)pos;
    CHECK(sub->conn != NULL && !sub->conn->suspended);
    sub->conn->since = web_ms();
    if (sub->dropped)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (sub->n == 0) {
        conn_suspend(sub->conn);
        return 0;
    }
    size_t n = sub->n < max ? sub->n : max;
    memcpy(out, sub->buf + sub->head, n);
    sub->n -= n;
    sub->head = sub->n == 0 ? 0 : sub->head + n;
    return (ssize_t)n;
}

static void free_stream(void *cls)
{
    struct web_subscriber *sub = cls;
    struct web *web = sub->web;
    if (sub->prev != NULL)
        sub->prev->next = sub->next;
    else
        web->subs = sub->next;
    if (sub->next != NULL)
        sub->next->prev = sub->prev;
    CHECK(web->sub_count > 0);
    web->sub_count--;
    if (sub->conn != NULL)
        sub->conn->sub = NULL;
    free(sub->buf);
    free(sub);
}

struct MHD_Response *events_open(struct web *web, struct conn *c)
{
    struct web_subscriber *sub = calloc(1, sizeof *sub);
    if (sub == NULL)
        return NULL;
    sub->web = web;
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK, read_stream, sub, free_stream);
    if (r == NULL) {
        free(sub);
        return NULL;
    }
    sub->conn = c;
    c->sub = sub;
    sub->next = web->subs;
    if (web->subs != NULL)
        web->subs->prev = sub;
    web->subs = sub;
    web->sub_count++;
    if (!response_dress(r, "text/event-stream", "no-store") ||
        MHD_add_response_header(r, "X-Accel-Buffering", "no") != MHD_YES ||
        !room(sub, sizeof opening - 1)) {
        MHD_destroy_response(r);
        return NULL;
    }
    put(sub, opening, sizeof opening - 1);
    if (web->config.on_subscribe != NULL)
        web->config.on_subscribe(web->config.ctx, sub);
    return r;
}

unsigned web_subscribers(const struct web *web)
{
    return web->sub_count;
}
