#include "peal/feed.h"

#include "peal/crypto.h"
#include "visualizer_assets.h"

#include <stdlib.h>
#include <string.h>

struct feed {
    struct web *web;
    struct feed_commands commands;
    char *connection; /* the last of each, for pages that open later; NULL before the first */
    char *ring;
    char traces[FEED_TRACES_KEPT][FEED_TRACE_MAX];
    size_t traces_at, traces_n;
};

/* ---- as JSON ---- */

static json_t *id_json(const struct peal_id *id)
{
    char hex[ID_HEX];
    if (id_is_zero(id))
        return json_null();
    id_hex(id, hex);
    return json_string(hex);
}

static json_t *text_json(struct peal_bytes b)
{
    return json_stringn((const char *)b.p, b.n);
}

static const char *state_text(uint8_t state)
{
    switch ((enum wire_node_status)state) {
    case WIRE_NODE_DOWN:
        return "down";
    case WIRE_NODE_UP:
        return "up";
    case WIRE_NODE_JOINING:
        return "joining";
    case WIRE_NODE_LEAVING:
        return "leaving";
    case WIRE_NODE_UNWELL:
        return "unwell";
    }
    return "unknown";
}

static json_t *ring_json(const struct wire_c_ring *r, size_t size)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < r->nodes.n; i++) {
        const struct wire_node *n = &r->nodes.v[i];
        json_array_append_new(
            nodes, json_pack("{s:o, s:o, s:I, s:s, s:o, s:o, s:I, s:I}", "id", id_json(&n->id),
                             "address", text_json(n->address), "incarnation",
                             (json_int_t)n->incarnation, "state", state_text(n->state), "successor",
                             id_json(&n->successor), "predecessor", id_json(&n->predecessor),
                             "clients", (json_int_t)n->clients, "rows", (json_int_t)n->rows));
    }
    return json_pack("{s:b, s:I, s:I, s:o, s:o, s:o, s:I}", "whole", (int)r->whole, "size",
                     (json_int_t)size, "epoch", (json_int_t)r->epoch, "coordinator",
                     id_json(&r->coordinator), "nodes", nodes, "seen_by", id_json(&r->seen_by),
                     "at", (json_int_t)r->at);
}

static json_t *path_json(const struct wire_c_path *m, uint64_t serial, uint64_t at)
{
    json_t *path = json_array();
    CHECK(m->path.n > 0);
    for (size_t i = 0; i < m->path.n; i++)
        json_array_append_new(path, id_json(&m->path.v[i]));
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:I, s:I}", "serial", (json_int_t)serial, "at",
                     (json_int_t)at, "key", id_json(&m->key), "owner", id_json(&m->owner), "path",
                     path, "hops", (json_int_t)(m->path.n - 1), "microseconds",
                     (json_int_t)m->micros);
}

/* The text of j, which is given up; NULL: no memory. */
static char *text_of(json_t *j)
{
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

/* ---- telling ---- */

/* Tells it to all pages and keeps it for later ones. */
static void tell_last(struct feed *f, const char *event, json_t *j, char **last)
{
    char *text = text_of(j);
    if (text == NULL)
        return;
    free(*last);
    *last = text;
    web_push(f->web, event, text, strlen(text));
}

void feed_connection(struct feed *f, bool connected, const char *through, const char *reason)
{
    json_t *j = json_pack("{s:b, s:[s], s:s}", "connected", (int)connected, "servers", through,
                          "reason", reason);
    tell_last(f, "connection", j, &f->connection);
}

void feed_ring(struct feed *f, const struct wire_c_ring *r, size_t size)
{
    CHECK(size >= r->nodes.n);
    tell_last(f, "ring", ring_json(r, size), &f->ring);
}

static bool seen_in_ring(struct peal_bytes kind)
{
    static const char *const kinds[] = {"member", "epoch", "coordinator"};
    for (size_t i = 0; i < PEAL_COUNT(kinds); i++) {
        if (peal_bytes_eq(kind, peal_bytes_str(kinds[i])))
            return true;
    }
    return false;
}

void feed_trace(struct feed *f, const struct wire_c_trace *t)
{
    if (seen_in_ring(t->kind))
        return;
    char *text = text_of(json_pack("{s:I, s:o, s:o, s:o}", "at", (json_int_t)t->at, "node",
                                   id_json(&t->node), "kind", text_json(t->kind), "text",
                                   text_json(t->text)));
    if (text != NULL && strlen(text) < FEED_TRACE_MAX) {
        memcpy(f->traces[f->traces_at], text, strlen(text) + 1);
        f->traces_at = (f->traces_at + 1) % FEED_TRACES_KEPT;
        f->traces_n += f->traces_n < FEED_TRACES_KEPT;
        web_push(f->web, "trace", text, strlen(text));
    }
    free(text);
}

json_t *feed_path(struct web *web, const struct wire_c_path *m, uint64_t serial, uint64_t at)
{
    json_t *j = path_json(m, serial, at);
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    if (text != NULL)
        web_push(web, "path", text, strlen(text));
    free(text);
    return j;
}

static void on_subscribe(void *ctx, struct web_subscriber *sub)
{
    const struct feed *f = ctx;
    if (f->connection != NULL)
        web_send(sub, "connection", f->connection, strlen(f->connection));
    if (f->ring != NULL)
        web_send(sub, "ring", f->ring, strlen(f->ring));
    for (size_t i = 0; i < f->traces_n; i++) {
        size_t at = (f->traces_at + FEED_TRACES_KEPT - f->traces_n + i) % FEED_TRACES_KEPT;
        web_send(sub, "trace", f->traces[at], strlen(f->traces[at]));
    }
}

/* ---- serving ---- */

static void on_command(void *ctx, struct web_request *req, const char *name, const char *body,
                       size_t n)
{
    const struct feed *f = ctx;
    f->commands.on_command(f->commands.ctx, req, name, body, n);
}

static void on_cancel(void *ctx, struct web_request *req)
{
    const struct feed *f = ctx;
    if (f->commands.on_cancel != NULL)
        f->commands.on_cancel(f->commands.ctx, req);
}

int feed_new(uv_loop_t *loop, const char *listen, const struct feed_commands *commands,
             struct feed **out)
{
    uint8_t random[WEB_TOKEN_CHARS / 2];
    char token[WEB_TOKEN_CHARS + 1];
    struct feed *f = calloc(1, sizeof *f);
    if (f == NULL)
        return PEAL_E_NO_MEMORY;
    CHECK(commands->on_command != NULL);
    f->commands = *commands;
    cry_random(random, sizeof random);
    peal_hex(random, sizeof random, token);
    struct web_config wc = {.assets = visualizer_assets,
                            .asset_count = visualizer_assets_count,
                            .token = token,
                            .token_placeholder = "{{token}}",
                            .ctx = f,
                            .on_command = on_command,
                            .on_cancel = on_cancel,
                            .on_subscribe = on_subscribe};
    int err = web_new(loop, listen, &wc, &f->web);
    if (err != 0) {
        free(f);
        return err;
    }
    *out = f;
    return 0;
}

void feed_free(struct feed *f)
{
    if (f == NULL)
        return;
    web_free(f->web);
    free(f->connection);
    free(f->ring);
    free(f);
}

const char *feed_why(int err)
{
    return err == PEAL_E_EXISTS ? "the port is in use; choose another, or 0 for any free one"
                                : err_prose(err);
}

struct web *feed_web(const struct feed *f)
{
    return f->web;
}
