#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peal/client.h>

#include "client_page.h"
#include <peal/crypto.h>

/* A command of the page that waits for its answer. */
struct pending {
    struct pending *prev, *next;
    struct webui *w;
    struct web_request *req; /* NULL: the browser went away */
};

struct webui {
    struct client *client;
    struct web *web;
    struct pending *pending;
    char token[WEB_TOKEN_CHARS + 1];
};

static void pending_free(struct pending *p)
{
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        p->w->pending = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    free(p);
}

static void answer(struct web_request *req, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text == NULL)
        web_reply_error(req, 503, "no_memory", "no memory", NULL);
    else
        web_reply(req, client_http_status(client_error_of(object)), text, strlen(text));
    free(text);
}

static void on_reply(void *user, json_t *object, bool last)
{
    struct pending *p = user;
    if (!last)
        return;
    if (p->req != NULL)
        answer(p->req, object);
    pending_free(p);
}

static void on_command(void *ctx, struct web_request *req, const char *name, const char *body,
                       size_t n)
{
    struct webui *w = ctx;
    json_t *request = n == 0 ? json_object() : json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
    struct pending *p = NULL;
    if (!json_is_object(request)) {
        web_reply_error(req, 400, "malformed", "the body is not a JSON object", NULL);
    } else if (strcmp(name, "recv") == 0) {
        web_reply_error(req, 400, "usage", "a page listens to events instead", "GET /api/events");
    } else if ((p = calloc(1, sizeof *p)) == NULL ||
               json_object_set_new(request, "cmd", json_string(name)) != 0) {
        free(p);
        web_reply_error(req, 503, "no_memory", "no memory", NULL);
    } else {
        *p = (struct pending){.next = w->pending, .w = w, .req = req};
        if (w->pending != NULL)
            w->pending->prev = p;
        w->pending = p;
        web_request_set(req, p);
        client_command(w->client, request, on_reply, p, NULL);
    }
    json_decref(request);
}

/* What was asked is done all the same; only the answer has nobody to go to. */
static void on_cancel(void *ctx, struct web_request *req)
{
    struct pending *p = web_request_get(req);
    (void)ctx;
    if (p != NULL)
        p->req = NULL;
}

int webui_new(struct net_loop *loop, struct client *c, const char *listen, struct webui **out,
              char why[static CLIENT_WHY_MAX])
{
    struct webui *w = calloc(1, sizeof *w);
    if (w == NULL)
        return PEAL_E_NO_MEMORY;
    uint8_t random[WEB_TOKEN_CHARS / 2];
    cry_random(random, sizeof random);
    peal_hex(random, sizeof random, w->token);
    w->client = c;
    struct web_config config = {
        .assets = client_page,
        .asset_count = client_page_count,
        .token = w->token,
        .token_placeholder = "{{token}}",
        .ctx = w,
        .on_command = on_command,
        .on_cancel = on_cancel,
    };
    int err = web_new(net_loop_uv(loop), listen, &config, &w->web);
    if (err != 0) {
        const char *cause = err_prose(err);
        if (err == PEAL_E_USAGE)
            cause = "write it as ADDR:PORT, for instance 127.0.0.1:8080";
        else if (err == PEAL_E_EXISTS)
            cause = "the port is in use";
        (void)snprintf(why, CLIENT_WHY_MAX, "the page cannot be served on %.100s: %s", listen, cause);
        free(w);
        return err;
    }
    *out = w;
    return 0;
}

const char *webui_url(const struct webui *w)
{
    return web_url(w->web);
}

void webui_event(struct webui *w, const char *name, json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT);
    if (text != NULL)
        web_push(w->web, name, text, strlen(text));
    free(text);
}

void webui_free(struct webui *w)
{
    if (w == NULL)
        return;
    web_free(w->web);
    struct pending *next;
    for (struct pending *p = w->pending; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    free(w);
}
