#include "lookup.h"

#include "peal/feed.h"
#include "peal/name.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_REQ = 2 }; /* 1 is that of the ring (main.c) */

struct asked {
    uint64_t req;                /* 0: the place is free */
    struct web_request *request; /* NULL: the page is gone */
    uint64_t due_us;
    char name[NAME_BYTES_MAX + 1];
};

struct lookups {
    struct reach *reach;
    struct web *web;
    struct net_timer *timer;
    struct asked asked[LOOKUPS_MAX];
    uint64_t last_req;
    uint64_t serial;
    uint64_t since_us; /* of the time in which `count` were asked */
    unsigned count;
};

static void arm(struct lookups *l)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < LOOKUPS_MAX; i++) {
        if (l->asked[i].req != 0 && l->asked[i].due_us < due)
            due = l->asked[i].due_us;
    }
    net_timer_at(l->timer, due);
}

/* Frees the place; the page that waits there, or NULL. */
static struct web_request *settle(struct lookups *l, struct asked *a)
{
    struct web_request *request = a->request;
    CHECK(a->req != 0);
    memset(a, 0, sizeof *a);
    arm(l);
    return request;
}

static struct asked *asked_of(struct lookups *l, uint64_t req)
{
    for (size_t i = 0; req != 0 && i < LOOKUPS_MAX; i++) {
        if (l->asked[i].req == req)
            return &l->asked[i];
    }
    return NULL;
}

static unsigned status_of(int err)
{
    bool bad = err == PEAL_E_USAGE || err == PEAL_E_MALFORMED || err == PEAL_E_TOO_LONG ||
               err == PEAL_E_REFUSED;
    return bad ? 400 : 503;
}

static void refuse(struct web_request *request, int err, const char *message, const char *hint)
{
    web_reply_error(request, status_of(err), err_name(err), message, hint);
}

static void fail(struct lookups *l, struct asked *a, int err, const char *message, const char *hint)
{
    struct web_request *request = settle(l, a);
    if (request != NULL)
        refuse(request, err, message, hint);
}

static void on_timer(void *user)
{
    struct lookups *l = user;
    uint64_t now = net_now_us();
    for (size_t i = 0; i < LOOKUPS_MAX; i++) {
        if (l->asked[i].req != 0 && now >= l->asked[i].due_us)
            fail(l, &l->asked[i], PEAL_E_UNAVAILABLE, "the server did not answer in time",
                 "try again in a moment");
    }
    arm(l);
}

int lookups_new(struct net_loop *loop, struct reach *reach, struct web *web, struct lookups **out)
{
    struct lookups *l = calloc(1, sizeof *l);
    if (l == NULL)
        return PEAL_E_NO_MEMORY;
    l->reach = reach;
    l->web = web;
    l->last_req = FIRST_REQ - 1;
    int err = net_timer_new(loop, on_timer, l, &l->timer);
    if (err != 0) {
        free(l);
        return err;
    }
    *out = l;
    return 0;
}

void lookups_free(struct lookups *l)
{
    if (l == NULL)
        return;
    net_timer_free(l->timer);
    free(l);
}

/* ---- asking ---- */

/* True with the canonical name; otherwise the page was told what is wrong. */
static bool read_name(struct web_request *request, const char *body, size_t n,
                      char name[static NAME_BYTES_MAX + 1])
{
    json_t *j = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
    json_t *text = json_object_get(j, "name");
    int err = PEAL_E_MALFORMED;
    if (!json_is_object(j)) {
        refuse(request, err, "the body is not a JSON object", NULL);
    } else if (!json_is_string(text)) {
        refuse(request, err, "a name is missing", "give it as \"name\"");
    } else {
        err =
            name_canonical(peal_bytes_of(json_string_value(text), json_string_length(text)), name);
        if (err != 0)
            refuse(request, err, name_why(err),
                   "a name has 1 to 32 characters: letters, digits, '.', '_' and '-'");
    }
    json_decref(j);
    return err == 0;
}

static bool too_many(struct lookups *l, uint64_t now)
{
    if (now - l->since_us >= LOOKUPS_TIME_US) {
        l->since_us = now;
        l->count = 0;
    }
    return l->count >= LOOKUPS_IN_TIME;
}

void lookups_ask(struct lookups *l, struct web_request *request, const char *body, size_t n,
                 const char *away)
{
    char name[NAME_BYTES_MAX + 1];
    struct asked *a = NULL;
    uint64_t now = net_now_us();
    if (!read_name(request, body, n, name))
        return;
    for (size_t i = 0; a == NULL && i < LOOKUPS_MAX; i++)
        a = l->asked[i].req == 0 ? &l->asked[i] : NULL;
    if (!reach_is_up(l->reach)) {
        refuse(request, PEAL_E_UNAVAILABLE, "no server can be reached", away);
        return;
    }
    if (a == NULL || too_many(l, now)) {
        refuse(request, PEAL_E_BUSY, "too many lookups at once", "try again in a few seconds");
        return;
    }
    struct wire_c_lookup m = {.req = l->last_req + 1, .name = peal_bytes_str(name)};
    int err = reach_send(l->reach, WIRE_c_lookup, &m);
    if (err != 0) {
        refuse(request, PEAL_E_UNAVAILABLE, "the server takes no question", err_prose(err));
        return;
    }
    l->last_req++;
    l->count++;
    *a = (struct asked){.req = m.req, .request = request, .due_us = now + LOOKUP_WAIT_US};
    memcpy(a->name, name, sizeof name);
    arm(l);
}

void lookups_cancel(struct lookups *l, const struct web_request *request)
{
    for (size_t i = 0; i < LOOKUPS_MAX; i++) {
        if (l->asked[i].req != 0 && l->asked[i].request == request)
            l->asked[i].request = NULL;
    }
}

/* ---- answers ---- */

static void answer(struct web_request *request, json_t *found, const char *name)
{
    char *text = NULL;
    if (json_object_set_new(found, "name", json_string(name)) == 0)
        text = json_dumps(found, JSON_COMPACT);
    if (text != NULL)
        web_reply(request, 200, text, strlen(text));
    else
        refuse(request, PEAL_E_NO_MEMORY, "no memory", NULL);
    free(text);
}

void lookups_path(struct lookups *l, const struct wire_c_path *m)
{
    struct asked *a = asked_of(l, m->req);
    if (m->path.n == 0) {
        if (a != NULL)
            fail(l, a, PEAL_E_UNAVAILABLE, "the server gave an answer without a path",
                 "update the older of server and visualizer");
        return;
    }
    if (a == NULL && m->req != 0)
        return; /* given up meanwhile */
    json_t *found = feed_path(l->web, m, ++l->serial, net_wall_ms());
    if (a != NULL) {
        char name[NAME_BYTES_MAX + 1];
        memcpy(name, a->name, sizeof name);
        struct web_request *request = settle(l, a);
        if (request != NULL)
            answer(request, found, name);
    }
    json_decref(found);
}

void lookups_error(struct lookups *l, const struct wire_c_error *m)
{
    char message[WIRE_TEXT_MAX + 1];
    char hint[WIRE_TEXT_MAX + 1];
    struct asked *a = asked_of(l, m->req);
    int err = m->code == 0 || m->code > INT16_MAX ? PEAL_E_UNKNOWN : -(int)m->code;
    if (a == NULL)
        return;
    if (peal_bytes_to_str(m->message, sizeof message, message) != 0 || message[0] == '\0')
        (void)snprintf(message, sizeof message, "%s", err_prose(err));
    if (peal_bytes_to_str(m->hint, sizeof hint, hint) != 0)
        hint[0] = '\0';
    fail(l, a, err, message, hint);
}

void lookups_down(struct lookups *l)
{
    for (size_t i = 0; i < LOOKUPS_MAX; i++) {
        if (l->asked[i].req != 0)
            fail(l, &l->asked[i], PEAL_E_UNAVAILABLE, "the server went away before it answered",
                 "another one is tried; ask again in a moment");
    }
}
