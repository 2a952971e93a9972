#include "client.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_MS = 20000 };

static void on_guard(uv_timer_t *t)
{
    (void)t;
    cr_assert_fail("what the test waits for did not happen");
}

static void on_freed(uv_handle_t *h)
{
    *(bool *)h->data = true;
}

struct guard_timer {
    uv_timer_t t;
    bool freed;
};

static void guard_start(uv_loop_t *loop, struct guard_timer *g)
{
    g->freed = false;
    cr_assert_eq(uv_timer_init(loop, &g->t), 0, "a timer");
    g->t.data = &g->freed;
    cr_assert_eq(uv_timer_start(&g->t, on_guard, GUARD_MS, 0), 0, "a timer");
}

static void guard_stop(uv_loop_t *loop, struct guard_timer *g)
{
    uv_close((uv_handle_t *)&g->t, on_freed);
    while (!g->freed)
        uv_run(loop, UV_RUN_NOWAIT);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct client *c = h->data;
    (void)hint;
    *buf = uv_buf_init(c->buf + c->n, (unsigned)(CLIENT_BUF - c->n));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = s->data;
    (void)buf;
    if (n < 0) {
        c->closed = true;
        uv_read_stop(s);
        return;
    }
    c->n += (size_t)n;
    c->buf[c->n] = '\0';
}

static void on_connect(uv_connect_t *r, int status)
{
    struct client *c = r->handle->data;
    cr_assert_eq(status, 0, "connecting: %s", uv_strerror(status));
    c->connected = true;
}

struct client *client_new(uv_loop_t *loop, unsigned port, bool reading)
{
    struct client *c = calloc(1, sizeof *c);
    struct sockaddr_in to;
    struct guard_timer g;
    cr_assert_not_null(c, "memory");
    cr_assert_eq(uv_ip4_addr("127.0.0.1", (int)port, &to), 0, "an address");
    cr_assert_eq(uv_tcp_init(loop, &c->tcp), 0, "a socket");
    c->tcp.data = c;
    cr_assert_eq(uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&to, on_connect), 0,
                 "connect");
    guard_start(loop, &g);
    while (!c->connected)
        uv_run(loop, UV_RUN_ONCE);
    guard_stop(loop, &g);
    if (reading)
        cr_assert_eq(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0, "read");
    return c;
}

struct write {
    uv_write_t r;
    char data[];
};

static void on_write(uv_write_t *r, int status)
{
    (void)status; /* the server may have hung up: the reading side sees that */
    free(r);
}

void client_write(struct client *c, const char *data, size_t n)
{
    struct write *w = malloc(sizeof *w + n);
    cr_assert_not_null(w, "memory");
    memcpy(w->data, data, n);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    if (uv_write(&w->r, (uv_stream_t *)&c->tcp, &buf, 1, on_write) != 0)
        free(w);
}

void client_say(struct client *c, const char *text)
{
    client_write(c, text, strlen(text));
}

bool client_wait(struct client *c, const char *text)
{
    struct guard_timer g;
    guard_start(c->tcp.loop, &g);
    while (strstr(c->buf, text) == NULL && !c->closed)
        uv_run(c->tcp.loop, UV_RUN_ONCE);
    guard_stop(c->tcp.loop, &g);
    return strstr(c->buf, text) != NULL;
}

void client_wait_closed(struct client *c)
{
    struct guard_timer g;
    guard_start(c->tcp.loop, &g);
    while (!c->closed)
        uv_run(c->tcp.loop, UV_RUN_ONCE);
    guard_stop(c->tcp.loop, &g);
}

void client_clear(struct client *c)
{
    c->n = 0;
    c->buf[0] = '\0';
}

static void on_closed(uv_handle_t *h)
{
    struct client *c = h->data;
    c->freed = true;
}

void client_free(struct client *c)
{
    uv_loop_t *loop = c->tcp.loop;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    while (!c->freed)
        uv_run(loop, UV_RUN_NOWAIT);
    free(c);
}

void wait_count(uv_loop_t *loop, const unsigned *what, unsigned n)
{
    struct guard_timer g;
    guard_start(loop, &g);
    while (*what < n)
        uv_run(loop, UV_RUN_ONCE);
    guard_stop(loop, &g);
}
