/* The control socket's owner's side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "profile.h"

struct peer;

struct given {
    struct peer *peer;
    bool used;
    struct client_call *call; /* NULL while client_command runs */
    json_int_t req;
    bool resumable; /* recv: whoever gave it goes on elsewhere, and nothing is lost */
};

struct peer {
    uv_pipe_t pipe;
    uv_shutdown_t bye;
    struct control *s;
    struct peer *next;
    struct given given[CONTROL_CALLS_MAX];
    bool events;
    bool ending; /* its last line is queued */
    bool closed;
    size_t n, cap;
    char *line; /* n bytes came and are no line yet */
};

struct control {
    uv_pipe_t server;
    struct client *client;
    struct peer *peers;
    size_t peer_count;
    size_t handles; /* open ones; the memory goes with the last */
    bool listening;
    bool freeing;
    char path[108];
};

/* ---- peers' ends --------------------------------------------------------------------------------
 */

static void gone(struct control *s)
{
    CHECK(s->handles > 0);
    if (--s->handles == 0 && s->freeing)
        free(s);
}

static void server_closed(uv_handle_t *handle)
{
    gone(handle->data);
}

static void peer_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data;
    struct control *s = p->s;
    struct peer **at = &s->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    s->peer_count--;
    free(p->line);
    free(p);
    gone(s);
}

static void peer_close(struct peer *p)
{
    if (p->closed)
        return;
    p->closed = true;
    for (size_t i = 0; i < CONTROL_CALLS_MAX; i++) {
        if (p->given[i].used && p->given[i].call != NULL)
            client_cancel(p->given[i].call);
        p->given[i].used = false;
    }
    uv_close((uv_handle_t *)&p->pipe, peer_closed);
}

static void bye_sent(uv_shutdown_t *req, int status)
{
    (void)status;
    peer_close(req->data);
}

static bool is_busy(const struct peer *p)
{
    for (size_t i = 0; i < CONTROL_CALLS_MAX; i++) {
        if (p->given[i].used)
            return true;
    }
    return false;
}

/* When nobody new is let in any more, a peer whose commands are answered is done. */
static void peer_settle(struct peer *p)
{
    if (p->s->listening || p->closed || p->ending || is_busy(p))
        return;
    p->ending = true;
    p->bye.data = p;
    if (uv_shutdown(&p->bye, (uv_stream_t *)&p->pipe, bye_sent) != 0)
        peer_close(p);
}

/* ---- lines out ----------------------------------------------------------------------- */

struct out {
    uv_write_t req;
    struct peer *peer;
    char *text;
};

static void written(uv_write_t *req, int status)
{
    struct out *o = req->data;
    struct peer *p = o->peer;
    free(o->text);
    free(o);
    if (status < 0)
        peer_close(p);
}

/* Gives line up. */
static void peer_send(struct peer *p, json_t *line)
{
    size_t n = line != NULL ? json_dumpb(line, NULL, 0, JSON_COMPACT) : 0;
    struct out *o = n > 0 && !p->closed && !p->ending ? malloc(sizeof *o) : NULL;
    char *text = o != NULL ? malloc(n + 1) : NULL;
    if (text != NULL &&
        uv_stream_get_write_queue_size((uv_stream_t *)&p->pipe) + n < CONTROL_OUT_MAX) {
        json_dumpb(line, text, n, JSON_COMPACT);
        text[n] = '\n';
        uv_buf_t buf = uv_buf_init(text, (unsigned)n + 1);
        *o = (struct out){.peer = p, .text = text};
        o->req.data = o;
        if (uv_write(&o->req, (uv_stream_t *)&p->pipe, &buf, 1, written) == 0) {
            json_decref(line);
            return;
        }
    }
    free(text);
    free(o);
    json_decref(line);
    if (!p->ending)
        peer_close(p);
}

static void on_reply(void *user, json_t *object, bool last)
{
    struct given *g = user;
    struct peer *p = g->peer;
    if (last)
        g->used = false;
    peer_send(p, json_pack("{s:I,s:O,s:b}", "req", g->req, "reply", object, "last", (int)last));
    if (last)
        peer_settle(p);
}

void control_event(struct control *s, const char *name, json_t *data)
{
    for (struct peer *p = s->peers; p != NULL; p = p->next) {
        if (p->events && !p->closed && !p->ending)
            peer_send(p, json_pack("{s:s,s:O}", "event", name, "data", data));
    }
}

/* ---- lines in ------------------------------------------------------------------------ */

static struct given *free_given(struct peer *p)
{
    for (size_t i = 0; i < CONTROL_CALLS_MAX; i++) {
        if (!p->given[i].used)
            return &p->given[i];
    }
    return NULL;
}

static void on_line(struct peer *p, const char *line, size_t n)
{
    json_t *request = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    json_t *req = json_object_get(request, "req");
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    struct given *g = free_given(p);
    if (!json_is_integer(req) || cmd == NULL) {
        peer_close(p);
    } else if (strcmp(cmd, "events") == 0) {
        p->events = true;
        peer_send(p, json_pack("{s:O,s:{},s:b}", "req", req, "reply", "last", 1));
    } else if (g == NULL) {
        json_t *error =
            client_error(PEAL_E_BUSY, "too many commands at once", "wait for the answers");
        peer_send(p, json_pack("{s:O,s:o,s:b}", "req", req, "reply", error, "last", 1));
    } else {
        struct client_call *call = NULL;
        *g = (struct given){.peer = p,
                            .used = true,
                            .req = json_integer_value(req),
                            .resumable = strcmp(cmd, "recv") == 0};
        client_command(p->s->client, request, on_reply, g, &call);
        if (call != NULL && p->closed)
            client_cancel(call); /* the peer was dropped while it was being answered */
        else if (call != NULL)
            g->call = call;
    }
    json_decref(request);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct peer *p = handle->data;
    (void)suggested;
    if (p->cap - p->n < 4096) {
        size_t cap = p->cap == 0 ? 8192 : 2 * p->cap;
        char *more = cap <= (size_t)2 * CONTROL_LINE_MAX ? realloc(p->line, cap) : NULL;
        if (more == NULL) {
            *buf = uv_buf_init(NULL, 0); /* on_read hears UV_ENOBUFS */
            return;
        }
        p->line = more;
        p->cap = cap;
    }
    *buf = uv_buf_init(p->line + p->n, (unsigned)(p->cap - p->n));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct peer *p = stream->data;
    (void)buf;
    if (got < 0) {
        peer_close(p);
        return;
    }
    p->n += (size_t)got;
    size_t at = 0;
    while (!p->closed && !p->ending) {
        char *end = memchr(p->line + at, '\n', p->n - at);
        if (end == NULL)
            break;
        size_t n = (size_t)(end - (p->line + at));
        on_line(p, p->line + at, n);
        at += n + 1;
    }
    if (p->closed)
        return;
    if (at > 0)
        memmove(p->line, p->line + at, p->n - at);
    p->n -= at;
    if (p->n > CONTROL_LINE_MAX)
        peer_close(p);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct control *s = server->data;
    struct peer *p = status == 0 ? calloc(1, sizeof *p) : NULL;
    if (p == NULL)
        return;
    p->s = s;
    int rc = uv_pipe_init(server->loop, &p->pipe, 0);
    CHECK(rc == 0);
    p->pipe.data = p;
    p->next = s->peers;
    s->peers = p;
    s->peer_count++;
    s->handles++;
    if (uv_accept(server, (uv_stream_t *)&p->pipe) != 0 || s->peer_count > CONTROL_PEERS_MAX ||
        uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_read) != 0) {
        peer_close(p);
        return;
    }
    peer_send(p, json_pack("{s:s,s:I}", "peal", PEAL_VERSION, "pid", (json_int_t)getpid()));
}

/* ---- life ---------------------------------------------------------------------------- */

int control_new(struct net_loop *loop, struct client *c, const char *dir, struct control **out,
                char why[static CLIENT_WHY_MAX])
{
    struct control *s = calloc(1, sizeof *s);
    if (s == NULL)
        return PEAL_E_NO_MEMORY;
    int err = profile_control(dir, true, s->path);
    if (err != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "the control socket's path cannot be recorded: %s",
                       err_prose(err));
        free(s);
        return err;
    }
    s->client = c;
    int rc = uv_pipe_init(net_loop_uv(loop), &s->server, 0);
    CHECK(rc == 0);
    s->server.data = s;
    s->handles = 1;
    (void)unlink(s->path); /* the profile's lock is ours, so whatever is there is left over */
    mode_t mask = umask(0177);
    rc = uv_pipe_bind(&s->server, s->path);
    umask(mask);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->server, CONTROL_PEERS_MAX, on_connection);
    if (rc != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "%s: %s", s->path, uv_strerror(rc));
        control_free(s);
        return rc == UV_ENOSPC ? PEAL_E_NO_SPACE : PEAL_E_IO;
    }
    s->listening = true;
    uv_unref((uv_handle_t *)&s->server);
    *out = s;
    return 0;
}

static void stop_listening(struct control *s)
{
    if (uv_is_closing((uv_handle_t *)&s->server))
        return;
    if (s->listening)
        (void)unlink(s->path);
    s->listening = false;
    uv_close((uv_handle_t *)&s->server, server_closed);
}

void control_drain(struct control *s)
{
    stop_listening(s);
    for (struct peer *p = s->peers; p != NULL; p = p->next) {
        for (size_t i = 0; i < CONTROL_CALLS_MAX; i++) {
            struct given *g = &p->given[i];
            if (!g->used || !g->resumable || g->call == NULL)
                continue;
            client_cancel(g->call);
            g->used = false;
        }
        peer_settle(p);
    }
}

bool control_is_idle(const struct control *s)
{
    return s->peer_count == 0;
}

void control_free(struct control *s)
{
    if (s == NULL)
        return;
    s->freeing = true;
    stop_listening(s);
    for (struct peer *p = s->peers; p != NULL; p = p->next)
        peer_close(p);
    if (s->handles == 0)
        free(s);
}
