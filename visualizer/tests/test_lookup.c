/* Lookups between a raw page and a scripted server: real HTTP, real TLS. */
#include "../../common/reach/tests/fake.h"
#include "../../common/web/tests/client.h"
#include "lookup.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define TOKEN "0123456789abcdef0123456789abcdef"
#define ID_1  "0100000000000000000000000000000000000000"
#define ID_2  "0200000000000000000000000000000000000000"
#define ID_9  "0900000000000000000000000000000000000000"

static const struct web_asset assets[] = {{"/index.html", "text/html", (const uint8_t *)"x", 1}};

struct rig {
    struct net_loop *loop;
    struct reach *reach;
    struct web *web;
    struct lookups *lookups;
    struct fake server;
    struct cry_identity id;
    struct net_link *link; /* over which was asked last */
    unsigned asked, cancelled;
    uint64_t last_req;
    struct client *page, *stream;
};

/* alice is two hops away, bob cannot be found now, and of carol nothing is said. */
static void on_lookup(struct fake *f, struct net_link *link, uint16_t type,
                      const union wire_any *msg)
{
    struct rig *r = f->user;
    struct peal_id path[] = {{.b = {1}}, {.b = {9}}, {.b = {2}}};
    cr_assert_eq(type, WIRE_c_lookup, "the visualizer says %s", wire_type_name(type));
    const struct wire_c_lookup *m = &msg->c_lookup;
    r->asked++;
    r->link = link;
    r->last_req = m->req;
    if (peal_bytes_eq(m->name, peal_bytes_str("alice"))) {
        struct wire_c_path found = {.req = m->req,
                                    .key = {.b = {1, 1}},
                                    .owner = path[2],
                                    .path = {.v = path, .n = 3},
                                    .micros = 640};
        fake_say(link, WIRE_c_path, &found);
    } else if (peal_bytes_eq(m->name, peal_bytes_str("bob"))) {
        struct wire_c_error no = {.req = m->req,
                                  .code = (uint16_t)-PEAL_E_UNAVAILABLE,
                                  .message = peal_bytes_str("not in time"),
                                  .hint = peal_bytes_str("again")};
        fake_say(link, WIRE_c_error, &no);
    }
}

static void on_message(void *user, enum wire_type type, const void *msg)
{
    struct rig *r = user;
    if (type == WIRE_c_path)
        lookups_path(r->lookups, msg);
    else if (type == WIRE_c_error)
        lookups_error(r->lookups, msg);
}

static void on_down(void *user, int err, const char *reason)
{
    struct rig *r = user;
    (void)err;
    (void)reason;
    lookups_down(r->lookups);
}

static const struct reach_events events = {.message = on_message, .down = on_down};

static void on_command(void *ctx, struct web_request *request, const char *name, const char *body,
                       size_t n)
{
    struct rig *r = ctx;
    cr_assert_str_eq(name, "lookup", "another command");
    lookups_ask(r->lookups, request, body, n, "nobody listens");
}

static void on_cancel(void *ctx, struct web_request *request)
{
    struct rig *r = ctx;
    r->cancelled++;
    lookups_cancel(r->lookups, request);
}

static bool is_up(void *user)
{
    return reach_is_up(((struct rig *)user)->reach);
}

static bool is_down(void *user)
{
    return !is_up(user);
}

static void rig_up(struct rig *r)
{
    struct net_loop_config loop = {.close_us = 100 * 1000};
    struct web_config web = {.assets = assets,
                             .asset_count = PEAL_COUNT(assets),
                             .token = TOKEN,
                             .ctx = r,
                             .on_command = on_command,
                             .on_cancel = on_cancel};
    struct reach_config reach = {.events = &events, .user = r, .agent = "test"};
    char text[256];
    memset(r, 0, sizeof *r);
    cr_assert_eq(net_loop_new(&loop, &r->loop), 0, "no loop");
    fake_identity(1, 1, &r->id);
    r->server.on = on_lookup;
    r->server.user = r;
    fake_start(&r->server, r->loop, &r->id);
    cr_assert_eq(reach_new(r->loop, &reach, &r->reach), 0, "no reach");
    cr_assert_eq(reach_add(r->reach, &r->server.place, true), 0, "no place");
    cr_assert_eq(web_new(net_loop_uv(r->loop), "127.0.0.1:0", &web, &r->web), 0, "no web");
    cr_assert_eq(lookups_new(r->loop, r->reach, r->web, &r->lookups), 0, "no lookups");
    reach_start(r->reach);
    fake_until(r->loop, is_up, r, "a server");
    r->page = client_new(net_loop_uv(r->loop), web_port(r->web), true);
    r->stream = client_new(net_loop_uv(r->loop), web_port(r->web), true);
    (void)snprintf(text, sizeof text,
                   "GET /api/events?token=" TOKEN " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                   web_port(r->web));
    client_say(r->stream, text);
    cr_assert(client_wait(r->stream, "retry:"), "no stream: %s", r->stream->buf);
}

static void rig_down(struct rig *r)
{
    client_free(r->page);
    client_free(r->stream);
    reach_free(r->reach);
    web_free(r->web);
    lookups_free(r->lookups);
    if (r->server.listener != NULL)
        fake_kill(&r->server);
    while (net_loop_once(r->loop, false))
        ;
    net_loop_free(r->loop);
}

static void post(const struct rig *r, struct client *c, const char *body)
{
    char text[1024];
    client_clear(c);
    (void)snprintf(text, sizeof text,
                   "POST /api/lookup HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Peal-Token: " TOKEN
                   "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   web_port(r->web), strlen(body), body);
    client_say(c, text);
}

/* The page is answered so. */
static void expect(struct client *c, const char *status, const char *json)
{
    cr_assert(client_wait(c, "}"), "no answer: %s", c->buf);
    cr_assert_not_null(strstr(c->buf, status), "not %s: %s", status, c->buf);
    cr_assert(client_wait(c, json), "not %s: %s", json, c->buf);
}

Test(lookup, a_page_is_told_and_every_page_sees_it)
{
    struct rig r;
    rig_up(&r);
    post(&r, r.page, "{\"name\":\"ALICE\"}");
    expect(r.page, "200 OK",
           "\"path\":[\"" ID_1 "\",\"" ID_9 "\",\"" ID_2
           "\"],\"hops\":2,\"microseconds\":640,\"name\":\"alice\"}");
    cr_assert_not_null(strstr(r.page->buf, "{\"serial\":1,\"at\":"), "%s", r.page->buf);
    cr_assert(client_wait(r.stream, "\"microseconds\":640}"), "no event: %s", r.stream->buf);
    cr_assert_not_null(strstr(r.stream->buf, "event: path"), "another event");
    cr_assert_null(strstr(r.stream->buf, "alice"), "the name is the asking page's");
    struct peal_id here = {.b = {2}};
    struct wire_c_path other = {.owner = here, .path = {.v = &here, .n = 1}, .micros = 3};
    client_clear(r.stream);
    fake_say(r.link, WIRE_c_path, &other);
    cr_assert(client_wait(r.stream, "\"hops\":0,\"microseconds\":3}"), "%s", r.stream->buf);
    cr_assert_not_null(strstr(r.stream->buf, "{\"serial\":2,"), "%s", r.stream->buf);
    rig_down(&r);
}

Test(lookup, what_is_wrong_is_said)
{
    static const struct {
        const char *body, *status, *json;
    } bad[] = {
        {"", "400", "\"code\":\"malformed\""},
        {"[]", "400", "\"code\":\"malformed\""},
        {"{\"name\":5}", "400", "a name is missing"},
        {"{\"name\":\"a b\"}", "400", "\"code\":\"malformed\""},
        {"{\"name\":\"\"}", "400", "\"code\":\"usage\""},
        {"{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "400", "\"code\":\"too_long\""},
        {"{\"name\":\"bob\"}", "503", "\"message\":\"not in time\",\"hint\":\"again\""},
    };
    struct rig r;
    rig_up(&r);
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        post(&r, r.page, bad[i].body);
        expect(r.page, bad[i].status, bad[i].json);
    }
    cr_assert_eq(r.asked, 1, "the server was asked for what is no name");
    rig_down(&r);
}

Test(lookup, without_a_server)
{
    struct rig r;
    rig_up(&r);
    post(&r, r.page, "{\"name\":\"carol\"}");
    wait_count(net_loop_uv(r.loop), &r.asked, 1);
    fake_kill(&r.server);
    expect(r.page, "503", "the server went away before it answered");
    fake_until(r.loop, is_down, &r, "the end of the link");
    post(&r, r.page, "{\"name\":\"alice\"}");
    expect(r.page, "503", "\"hint\":\"nobody listens\"");
    rig_down(&r);
}

Test(lookup, so_many_at_once_and_no_more)
{
    struct rig r;
    struct client *pages[LOOKUPS_MAX];
    rig_up(&r);
    for (size_t i = 0; i < LOOKUPS_MAX; i++) {
        pages[i] = client_new(net_loop_uv(r.loop), web_port(r.web), true);
        post(&r, pages[i], "{\"name\":\"carol\"}");
    }
    wait_count(net_loop_uv(r.loop), &r.asked, LOOKUPS_MAX);
    post(&r, r.page, "{\"name\":\"alice\"}");
    expect(r.page, "503", "\"code\":\"busy\"");
    /* A page that goes keeps its place until the answer comes, which then goes nowhere. */
    client_free(pages[LOOKUPS_MAX - 1]);
    wait_count(net_loop_uv(r.loop), &r.cancelled, 1);
    struct wire_c_error no = {
        .req = r.last_req, .code = (uint16_t)-PEAL_E_UNAVAILABLE, .message = peal_bytes_str("no")};
    fake_say(r.link, WIRE_c_error, &no);
    for (unsigned n = 0; n < LOOKUPS_MAX - 1; n++) {
        no.req = r.last_req - 1 - n;
        fake_say(r.link, WIRE_c_error, &no);
    }
    for (size_t i = 0; i < LOOKUPS_MAX - 1; i++) {
        expect(pages[i], "503", "\"message\":\"no\"");
        client_free(pages[i]);
    }
    for (unsigned i = LOOKUPS_MAX; i < LOOKUPS_IN_TIME; i++) {
        post(&r, r.page, "{\"name\":\"alice\"}");
        expect(r.page, "200 OK", "\"name\":\"alice\"}");
    }
    post(&r, r.page, "{\"name\":\"alice\"}");
    expect(r.page, "503", "\"code\":\"busy\"");
    cr_assert_eq(r.asked, LOOKUPS_IN_TIME, "the server was asked %u times", r.asked);
    rig_down(&r);
}

Test(lookup, an_answer_to_nothing_changes_nothing)
{
    struct rig r;
    struct peal_id here = {.b = {2}};
    rig_up(&r);
    post(&r, r.page, "{\"name\":\"carol\"}");
    wait_count(net_loop_uv(r.loop), &r.asked, 1);
    struct wire_c_path m = {.req = 999, .path = {.v = &here, .n = 1}};
    struct wire_c_error e = {.req = 999, .code = 1};
    fake_say(r.link, WIRE_c_path, &m);
    fake_say(r.link, WIRE_c_error, &e);
    m = (struct wire_c_path){.req = 0};
    fake_say(r.link, WIRE_c_path, &m);
    m = (struct wire_c_path){.req = r.last_req};
    fake_say(r.link, WIRE_c_path, &m);
    expect(r.page, "503", "an answer without a path");
    post(&r, r.page, "{\"name\":\"alice\"}");
    expect(r.page, "200 OK", "{\"serial\":1,");
    rig_down(&r);
}
