#include "client.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN "0123456789abcdef0123456789abcdef"

static const char page[] = "<meta name=\"t\" content=\"{{token}}\">{{token}}!";
static const char script[] = "let x = '{{token}}';";
static const struct web_asset assets[] = {
    {"/index.html", "text/html; charset=utf-8", (const uint8_t *)page, sizeof page - 1},
    {"/app.js", "text/javascript; charset=utf-8", (const uint8_t *)script, sizeof script - 1},
};

/* A program under test: what its callbacks saw. Command "echo" replies at once, "later" keeps its
 * request, "fail" refuses. */
struct app {
    uv_loop_t loop;
    struct web *web;
    struct web_request *kept[8];
    unsigned kept_n, cancelled, subscribed, commands;
    size_t body_n;
    unsigned port;
};

static void on_command(void *ctx, struct web_request *req, const char *name, const char *body,
                       size_t n)
{
    struct app *a = ctx;
    a->commands++;
    a->body_n = n;
    cr_assert_eq(body[n], '\0', "the body ends in a NUL");
    if (strcmp(name, "later") == 0) {
        cr_assert_null(web_request_get(req), "no pointer at first");
        web_request_set(req, a);
        a->kept[a->kept_n++] = req;
    } else if (strcmp(name, "fail") == 0) {
        web_reply_error(req, 409, "taken", "a \"quoted\" name", NULL);
    } else {
        web_reply(req, 200, body, n);
    }
}

static void on_cancel(void *ctx, struct web_request *req)
{
    struct app *a = ctx;
    cr_assert_eq(web_request_get(req), a, "the owner's pointer");
    a->cancelled++;
}

static void on_subscribe(void *ctx, struct web_subscriber *sub)
{
    struct app *a = ctx;
    a->subscribed++;
    web_send(sub, "hello", "{\"first\":true}", 14);
}

static unsigned on_page(void *ctx, const char *path, char out[static WEB_PAGE_MAX], size_t *n,
                        const char **type)
{
    struct app *a = ctx;
    a->commands++;
    *type = "text/x-figures";
    if (strcmp(path, "/full") == 0) {
        memset(out, 'x', WEB_PAGE_MAX);
        *n = WEB_PAGE_MAX;
        return 200;
    }
    *n = (size_t)snprintf(out, WEB_PAGE_MAX, "made for %s", path);
    return strcmp(path, "/ill") == 0 ? 503 : strcmp(path, "/well") == 0 ? 200 : 0;
}

static struct web_config config_of(struct app *a)
{
    return (struct web_config){
        .assets = assets,
        .asset_count = PEAL_COUNT(assets),
        .token = TOKEN,
        .token_placeholder = "{{token}}",
        .ctx = a,
        .on_command = on_command,
        .on_cancel = on_cancel,
        .on_subscribe = on_subscribe,
    };
}

static void app_start(struct app *a, const struct web_config *config)
{
    a->kept_n = a->cancelled = a->subscribed = a->commands = 0;
    cr_assert_eq(uv_loop_init(&a->loop), 0, "a loop");
    int err = web_new(&a->loop, "127.0.0.1:0", config, &a->web);
    cr_assert_eq(err, 0, "web_new: %s", err == 0 ? "" : "refused");
    a->port = web_port(a->web);
    cr_assert_neq(a->port, 0, "a port was chosen");
}

static struct app *app_default(void)
{
    static struct app a;
    struct web_config config = config_of(&a);
    app_start(&a, &config);
    return &a;
}

static void app_stop(struct app *a)
{
    web_free(a->web);
    while (uv_run(&a->loop, UV_RUN_DEFAULT) != 0)
        ;
    cr_assert_eq(uv_loop_close(&a->loop), 0, "no handle is left in the loop");
}

/* Sends a request whose Host is right, and which has these further header lines and this body. */
static void ask(struct app *a, struct client *c, const char *line, const char *more,
                const char *body)
{
    char head[1024];
    int n =
        snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s", line, a->port, more);
    cr_assert(n > 0 && (size_t)n < sizeof head, "the head fits");
    client_say(c, head);
    if (body != NULL) {
        snprintf(head, sizeof head, "Content-Length: %zu\r\n", strlen(body));
        client_say(c, head);
    }
    client_say(c, "\r\n");
    if (body != NULL)
        client_say(c, body);
}

#define COMMAND_HEADERS "Content-Type: application/json\r\nX-Peal-Token: " TOKEN "\r\n"
#define EVENTS          "GET /api/events?token=" TOKEN

static void command(struct app *a, struct client *c, const char *name, const char *body)
{
    char line[64];
    snprintf(line, sizeof line, "POST /api/%s", name);
    ask(a, c, line, COMMAND_HEADERS, body);
}

/* ---- assets ---- */

Test(web, page_with_token_and_headers)
{
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    ask(a, c, "GET /", "", NULL);
    cr_assert(client_wait(c, "<meta name=\"t\" content=\"" TOKEN "\">" TOKEN "!"),
              "the token is in each of its places: %s", c->buf);
    static const char *const want[] = {"HTTP/1.1 200",
                                       "Cache-Control: no-store",
                                       "Content-Type: text/html; charset=utf-8",
                                       "X-Content-Type-Options: nosniff",
                                       "Referrer-Policy: no-referrer",
                                       "Cross-Origin-Opener-Policy: same-origin",
                                       "script-src 'self'",
                                       "default-src 'none'",
                                       "frame-ancestors 'none'",
                                       "base-uri 'none'",
                                       "form-action 'none'"};
    for (size_t i = 0; i < PEAL_COUNT(want); i++)
        cr_assert_not_null(strstr(c->buf, want[i]), "the answer has %s", want[i]);
    client_clear(c); /* the same connection serves the next one */
    ask(a, c, "GET /app.js", "", NULL);
    cr_assert(client_wait(c, "let x = '{{token}}';"), "only the page gets the token");
    cr_assert_not_null(strstr(c->buf, "Cache-Control: no-cache"), "scripts are revalidated");
    client_clear(c);
    ask(a, c, "HEAD /index.html", "", NULL);
    cr_assert(client_wait(c, "\r\n\r\n"), "HEAD");
    cr_assert_null(strstr(c->buf, "<meta"), "has no body");
    client_free(c);
    app_stop(a);
}

Test(web, url_names_the_page)
{
    struct app *a = app_default();
    char want[64];
    snprintf(want, sizeof want, "http://127.0.0.1:%u/", a->port);
    cr_assert_str_eq(web_url(a->web), want, "the address");
    struct web *other;
    struct web_config config = config_of(a);
    cr_assert_eq(web_new(&a->loop, want + 7, &config, &other), PEAL_E_USAGE, "a slash at the end");
    want[strlen(want) - 1] = '\0';
    cr_assert_eq(web_new(&a->loop, want + 7, &config, &other), PEAL_E_EXISTS, "address in use");
    cr_assert_eq(web_new(&a->loop, "203.0.113.1:0", &config, &other), PEAL_E_NOT_FOUND,
                 "not this machine's");
    cr_assert_eq(web_new(&a->loop, "example.org:0", &config, &other), PEAL_E_USAGE, "a name");
    config.token = NULL;
    cr_assert_eq(web_new(&a->loop, "127.0.0.1:0", &config, &other), PEAL_E_USAGE,
                 "commands without a token");
    config = config_of(a);
    cr_assert_eq(web_new(&a->loop, "0.0.0.0:0", &config, &other), 0, "wildcard");
    cr_assert_eq(strncmp(web_url(other), "http://127.0.0.1:", 17), 0, "is reached on loopback");
    web_free(other);
    app_stop(a);
}

/* ---- who may call, and how: each line is one request and the start and code of its answer ---- */

struct refused {
    const char *what, *head; /* %u is the port */
    const char *status, *code;
};

#define POST_HEAD "POST /api/echo HTTP/1.1\r\nHost: localhost:%u\r\n"
#define JSON_TYPE "Content-Type: application/json\r\n"
#define TOKEN_OK  "X-Peal-Token: " TOKEN "\r\n"

static const struct refused refused_table[] = {
    {"no Host", "GET / HTTP/1.0\r\n\r\n", "403", "bad_host"},
    {"a rebound name", "GET / HTTP/1.1\r\nHost: evil.example:%u\r\n\r\n", "403", "bad_host"},
    {"another port", "GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "403", "bad_host"},
    {"two hosts", "GET / HTTP/1.1\r\nHost: localhost:%u\r\nHost: evil.example\r\n\r\n", "403",
     "bad_host"},
    {"a foreign origin", "GET / HTTP/1.1\r\nHost: localhost:%u\r\nOrigin: http://evil\r\n\r\n",
     "403", "bad_origin"},
    {"the null origin", POST_HEAD JSON_TYPE TOKEN_OK "Origin: null\r\nContent-Length: 0\r\n\r\n",
     "403", "bad_origin"},
    {"no token", POST_HEAD JSON_TYPE "Content-Length: 2\r\n\r\n{}", "403", "bad_token"},
    {"a wrong token",
     POST_HEAD JSON_TYPE
     "X-Peal-Token: 00000000000000000000000000000000\r\nContent-Length: 2\r\n\r\n{}",
     "403", "bad_token"},
    {"a form", POST_HEAD TOKEN_OK "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", "415",
     "bad_type"},
    {"no type", POST_HEAD TOKEN_OK "Content-Length: 2\r\n\r\n{}", "415", "bad_type"},
    {"a command by GET", "GET /api/echo HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "405",
     "bad_method"},
    {"posting to the page", "POST / HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 1\r\n\r\nx",
     "405", "bad_method"},
    {"posting to the stream",
     "POST /api/events HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 0\r\n\r\n", "405",
     "bad_method"},
    {"the stream without a token", "GET /api/events HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "403",
     "bad_token"},
    {"the stream with a wrong one",
     "GET /api/events?token=0 HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "403", "bad_token"},
    {"an unknown page", "GET /nothing HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "404", "not_found"},
    {"a way out", "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "404",
     "not_found"},
    {"an escaped way out",
     "GET /%%2e%%2e/%%2e%%2e/etc/passwd HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "404",
     "not_found"},
    {"a page with a NUL", "GET /app.js%%00.html HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", "404",
     "not_found"},
    {"no command", "POST /api/ HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 0\r\n\r\n", "404",
     "not_found"},
    {"a command below another",
     "POST /api/echo/x HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 0\r\n\r\n", "404",
     "not_found"},
    {"a body too long", POST_HEAD JSON_TYPE TOKEN_OK "Content-Length: 131073\r\n\r\n", "413",
     "too_large"},
    {"a body beyond numbers",
     POST_HEAD JSON_TYPE TOKEN_OK "Content-Length: 18446744073709551614\r\n\r\n", "413",
     "too_large"},
    {"a body of no said length", POST_HEAD JSON_TYPE TOKEN_OK "Transfer-Encoding: chunked\r\n\r\n",
     "411", "length_required"},
};

/* The parameter is an index: each test is a process of its own, where the strings lie elsewhere. */
ParameterizedTestParameters(web, refused)
{
    static size_t index[PEAL_COUNT(refused_table)];
    for (size_t i = 0; i < PEAL_COUNT(index); i++)
        index[i] = i;
    return cr_make_param_array(size_t, index, PEAL_COUNT(index));
}

ParameterizedTest(size_t *index, web, refused)
{
    const struct refused *r = &refused_table[*index];
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    char head[1024], want[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(head, sizeof head, r->head, a->port);
#pragma GCC diagnostic pop
    client_say(c, head);
    snprintf(want, sizeof want, "{\"error\":{\"code\":\"%s\",\"message\":\"", r->code);
    cr_assert(client_wait(c, want), "%s: expected %s, got %s", r->what, want, c->buf);
    snprintf(want, sizeof want, " %s ", r->status);
    cr_assert_eq(strncmp(c->buf + 8, want, 5), 0, "%s: expected %s, got %.40s", r->what, want,
                 c->buf);
    cr_assert_eq(a->commands, 0, "%s: no command ran", r->what);
    cr_assert_eq(a->subscribed, 0, "%s: no stream was opened", r->what);
    client_free(c);
    app_stop(a);
}

Test(web, method_errors_name_what_is_allowed)
{
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    ask(a, c, "DELETE /api/echo", "", NULL);
    cr_assert(client_wait(c, "bad_method"), "refused");
    cr_assert_not_null(strstr(c->buf, "Allow: POST\r\n"), "POST is what is allowed");
    client_free(c);
    app_stop(a);
}

Test(web, extra_hosts)
{
    struct app a;
    static const char *const hosts[] = {"peal.example"};
    struct web_config config = config_of(&a);
    config.hosts = hosts;
    config.host_count = 1;
    app_start(&a, &config);
    struct client *c = client_new(&a.loop, a.port, true);
    client_say(c,
               "POST /api/echo HTTP/1.1\r\nHost: peal.example\r\nOrigin: https://peal.example\r\n"
               "Content-Length: 4\r\n" COMMAND_HEADERS "\r\n1234");
    cr_assert(client_wait(c, "\r\n\r\n1234"), "a proxy's name is accepted: %s", c->buf);
    client_free(c);
    app_stop(&a);
}

/* ---- commands ---- */

Test(web, command_replies_at_once)
{
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    command(a, c, "echo", "{\"x\":[1]}");
    cr_assert(client_wait(c, "\r\n\r\n{\"x\":[1]}"), "the reply: %s", c->buf);
    cr_assert_not_null(strstr(c->buf, "200 OK"), "status");
    cr_assert_not_null(strstr(c->buf, "Content-Type: application/json"), "type");
    cr_assert_not_null(strstr(c->buf, "Cache-Control: no-store"), "not cached");
    client_clear(c);
    command(a, c, "fail", "");
    cr_assert(client_wait(c, "{\"error\":{\"code\":\"taken\",\"message\":\"a \\\"quoted\\\" name\","
                             "\"hint\":\"\"}}"),
              "an error: %s", c->buf);
    cr_assert_eq(strncmp(c->buf, "HTTP/1.1 409 ", 13), 0, "its status");
    client_free(c);
    app_stop(a);
}

Test(web, largest_body)
{
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    static char body[WEB_BODY_MAX + 1];
    memset(body, 'b', WEB_BODY_MAX - 1);
    body[WEB_BODY_MAX - 1] = 'E';
    command(a, c, "echo", body);
    cr_assert(client_wait(c, "bE"), "all of it came and went back");
    cr_assert_eq(a->body_n, WEB_BODY_MAX, "the length is exact");
    client_free(c);
    app_stop(a);
}

Test(web, command_replies_later)
{
    struct app *a = app_default();
    struct client *c[2];
    for (unsigned i = 0; i < 2; i++) {
        c[i] = client_new(&a->loop, a->port, true);
        command(a, c[i], "later", "{}");
        wait_count(&a->loop, &a->kept_n, i + 1);
    }
    web_reply(a->kept[1], 200, "{\"n\":1}", 7);
    cr_assert(client_wait(c[1], "{\"n\":1}"), "the second is answered first");
    cr_assert_eq(c[0]->n, 0, "the first still waits");
    web_reply_error(a->kept[0], 503, "unavailable", "No server.", "Wait.");
    cr_assert(client_wait(c[0], "\"hint\":\"Wait.\""), "then the first");
    client_clear(c[0]);
    command(a, c[0], "echo", "[]");
    cr_assert(client_wait(c[0], "\r\n\r\n[]"), "its connection can be used again");
    cr_assert_eq(a->cancelled, 0, "none was cancelled");
    client_free(c[0]);
    client_free(c[1]);
    app_stop(a);
}

Test(web, command_is_cancelled_when_the_browser_goes)
{
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    command(a, c, "later", "{}");
    wait_count(&a->loop, &a->kept_n, 1);
    client_free(c);
    wait_count(&a->loop, &a->cancelled, 1);
    c = client_new(&a->loop, a->port, true);
    command(a, c, "echo", "[2]");
    cr_assert(client_wait(c, "[2]"), "others are served");
    client_free(c);
    app_stop(a);
    cr_assert_eq(a->cancelled, 1, "it is cancelled once");
}

Test(web, free_cancels_what_waits)
{
    struct app *a = app_default();
    struct client *c[3];
    for (unsigned i = 0; i < 2; i++) {
        c[i] = client_new(&a->loop, a->port, true);
        command(a, c[i], "later", "{}");
        wait_count(&a->loop, &a->kept_n, i + 1);
    }
    c[2] = client_new(&a->loop, a->port, true);
    ask(a, c[2], EVENTS, "", NULL);
    cr_assert(client_wait(c[2], "event: hello"), "a stream is open");
    web_reply(a->kept[0], 200, "{}", 2); /* answered, but not sent yet */
    web_free(a->web);
    cr_assert_eq(a->cancelled, 1, "the other one is cancelled");
    for (unsigned i = 0; i < 3; i++) {
        client_wait_closed(c[i]);
        client_free(c[i]);
    }
    while (uv_run(&a->loop, UV_RUN_DEFAULT) != 0)
        ;
    cr_assert_eq(uv_loop_close(&a->loop), 0, "no handle is left in the loop");
}

/* ---- events ---- */

Test(web, events_reach_every_subscriber)
{
    struct app *a = app_default();
    struct client *c[2];
    for (unsigned i = 0; i < 2; i++) {
        c[i] = client_new(&a->loop, a->port, true);
        ask(a, c[i], EVENTS, "", NULL);
        cr_assert(client_wait(c[i], "event: hello\ndata: {\"first\":true}\n\n"),
                  "its own first event: %s", c[i]->buf);
        cr_assert_not_null(strstr(c[i]->buf, "Content-Type: text/event-stream"), "type");
        cr_assert_not_null(strstr(c[i]->buf, "retry: 1000\n\n"), "how soon to come back");
    }
    cr_assert_eq(web_subscribers(a->web), 2, "two streams");
    client_clear(c[0]);
    web_push(a->web, "message", "{\"a\":\n1}", 8);
    web_push(a->web, "state", "{}", 2);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(client_wait(c[i], "event: message\ndata: {\"a\": 1}\n\n"),
                  "pushed to each, on one line: %s", c[i]->buf);
        cr_assert(client_wait(c[i], "event: state\ndata: {}\n\n"), "and the next");
    }
    cr_assert_null(strstr(c[0]->buf, "hello"), "the first event of the other is not sent to it");
    client_free(c[0]);
    while (web_subscribers(a->web) != 1)
        uv_run(&a->loop, UV_RUN_ONCE);
    web_push(a->web, "last", "3", 1);
    cr_assert(client_wait(c[1], "event: last\ndata: 3\n\n"), "the one that stayed gets the next");
    client_free(c[1]);
    app_stop(a);
}

/* The body of a chunked answer (RFC 9112, section 7.1), as far as it has come. */
static void unchunk(const char *answer, char *out)
{
    const char *p = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(p, "a whole head");
    p += 4;
    while (*p != '\0') {
        char *data;
        unsigned long n = strtoul(p, &data, 16);
        cr_assert_eq(strncmp(data, "\r\n", 2), 0, "a chunk begins with its length");
        data += 2;
        cr_assert(strlen(data) >= n + 2, "the chunk is whole");
        memcpy(out, data, n);
        out += n;
        p = data + n + 2;
    }
    *out = '\0';
}

Test(web, many_events_arrive_whole_and_in_order)
{
    struct app *a = app_default();
    struct client *c = client_new(&a->loop, a->port, true);
    ask(a, c, EVENTS, "", NULL);
    cr_assert(client_wait(c, "event: hello"), "open");
    enum { EVENTS_N = 5000 };
    char json[32], want[64];
    for (unsigned i = 0; i < EVENTS_N; i++) {
        int n = snprintf(json, sizeof json, "{\"i\":%u}", i);
        web_push(a->web, "n", json, (size_t)n);
    }
    snprintf(want, sizeof want, "{\"i\":%u}\n\n", EVENTS_N - 1);
    cr_assert(client_wait(c, want), "the last one");
    static char stream[CLIENT_BUF];
    unchunk(c->buf, stream);
    const char *at = strstr(stream, "event: n\n");
    cr_assert_not_null(at, "they follow the first event");
    for (unsigned i = 0; i < EVENTS_N; i++) {
        int n = snprintf(want, sizeof want, "event: n\ndata: {\"i\":%u}\n\n", i);
        cr_assert_eq(strncmp(at, want, (size_t)n), 0, "event %u is whole and in its place", i);
        at += n;
    }
    cr_assert_eq(*at, '\0', "and nothing else");
    client_free(c);
    app_stop(a);
}

Test(web, heartbeat)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.heartbeat_ms = 20;
    app_start(&a, &config);
    struct client *c = client_new(&a.loop, a.port, true);
    ask(&a, c, EVENTS, "", NULL);
    cr_assert(client_wait(c, "\r\n:\n\n\r\n"), "a comment on its own: %s", c->buf);
    client_free(c);
    app_stop(&a);
}

Test(web, slow_subscriber_is_dropped)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.queue_max = 256 * 1024;
    app_start(&a, &config);
    struct client *slow = client_new(&a.loop, a.port, false);
    ask(&a, slow, EVENTS, "", NULL);
    struct client *good = client_new(&a.loop, a.port, true);
    ask(&a, good, EVENTS, "", NULL);
    cr_assert(client_wait(good, "event: hello"), "the good one is open");
    wait_count(&a.loop, &a.subscribed, 2);
    static char json[64 * 1024];
    memset(json, '1', sizeof json);
    unsigned pushed = 0;
    enum { PUSHES_MAX = 4096 }; /* 256 MiB: more than the system's socket buffers can hold */
    while (web_subscribers(a.web) == 2 && pushed++ < PUSHES_MAX) {
        web_push(a.web, "big", json, sizeof json);
        web_push(a.web, "mark", "7", 1);
        client_clear(good);
        cr_assert(client_wait(good, "event: mark\ndata: 7\n\n"), "the good one keeps up");
    }
    cr_assert_eq(web_subscribers(a.web), 1, "the slow one is dropped after %u events", pushed);
    static char huge[256 * 1024];
    memset(huge, '1', sizeof huge);
    web_push(a.web, "huge", huge, sizeof huge);
    client_wait_closed(good);
    cr_assert_eq(web_subscribers(a.web), 0, "an event beyond the limit drops whoever waits");
    client_free(slow);
    client_free(good);
    app_stop(&a);
}

Test(web, stuck_subscriber_is_closed_by_the_deadline)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.request_ms = 100;
    config.queue_max = 64 * 1024 * 1024;
    app_start(&a, &config);
    struct client *slow = client_new(&a.loop, a.port, false);
    ask(&a, slow, EVENTS, "", NULL);
    wait_count(&a.loop, &a.subscribed, 1);
    static char json[32 * 1024 * 1024];
    memset(json, '1', sizeof json);
    web_push(a.web, "big", json, sizeof json);
    cr_assert_eq(web_subscribers(a.web), 1, "within the limit of the queue");
    while (web_subscribers(a.web) != 0)
        uv_run(&a.loop, UV_RUN_ONCE);
    client_free(slow);
    app_stop(&a);
}

Test(web, subscribers_are_limited)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.max_subscribers = 1;
    app_start(&a, &config);
    struct client *one = client_new(&a.loop, a.port, true);
    ask(&a, one, EVENTS, "", NULL);
    cr_assert(client_wait(one, "event: hello"), "the first");
    struct client *two = client_new(&a.loop, a.port, true);
    ask(&a, two, EVENTS, "", NULL);
    cr_assert(client_wait(two, "\"code\":\"busy\""), "the second is refused: %s", two->buf);
    cr_assert_eq(strncmp(two->buf, "HTTP/1.1 503 ", 13), 0, "status");
    client_free(one);
    client_free(two);
    app_stop(&a);
}

Test(web, page_without_commands)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.token = NULL;
    config.on_command = NULL;
    app_start(&a, &config);
    struct client *c = client_new(&a.loop, a.port, true);
    ask(&a, c, "GET /", "", NULL);
    cr_assert(client_wait(c, "content=\"\">!"), "the placeholder is empty: %s", c->buf);
    client_clear(c);
    command(&a, c, "echo", "{}");
    cr_assert(client_wait(c, "not_found"), "there are no commands");
    client_clear(c);
    ask(&a, c, "GET /api/events", "", NULL);
    cr_assert(client_wait(c, "event: hello"), "events need no token");
    client_free(c);
    app_stop(&a);
}

Test(web, pages_made_at_the_moment)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.on_page = on_page;
    app_start(&a, &config);
    struct client *c = client_new(&a.loop, a.port, true);
    ask(&a, c, "GET /well?x=1", "", NULL);
    cr_assert(client_wait(c, "made for /well"), "without its query: %s", c->buf);
    cr_assert_not_null(strstr(c->buf, "HTTP/1.1 200"), "200");
    cr_assert_not_null(strstr(c->buf, "Content-Type: text/x-figures"), "its type");
    cr_assert_not_null(strstr(c->buf, "Cache-Control: no-store"), "it is of this moment");
    client_clear(c);
    ask(&a, c, "GET /ill", "", NULL);
    cr_assert(client_wait(c, "made for /ill"), "%s", c->buf);
    cr_assert_not_null(strstr(c->buf, "HTTP/1.1 503"), "its status");
    client_clear(c);
    ask(&a, c, "HEAD /well", "", NULL);
    cr_assert(client_wait(c, "Content-Length: 14\r\n"), "the head says how long it is");
    client_wait(c, "\r\n\r\n");
    client_clear(c);
    ask(&a, c, "GET /full", "", NULL);
    cr_assert(client_wait(c, "Content-Length: 65536\r\n"), "the largest");
    cr_assert(client_wait(c, "xxxxxxxx"), "and its body");
    while (c->n < WEB_PAGE_MAX)
        (void)uv_run(&a.loop, UV_RUN_ONCE);
    client_clear(c);
    unsigned made = a.commands;
    ask(&a, c, "POST /well", "", "{}");
    cr_assert(client_wait(c, "not_found"), "pages are read");
    cr_assert_eq(a.commands, made, "nobody was asked to make one");
    client_clear(c);
    ask(&a, c, "GET /none", "", NULL);
    cr_assert(client_wait(c, "not_found"), "what is not made is not there");
    client_clear(c);
    ask(&a, c, "GET /", "", NULL);
    cr_assert(client_wait(c, TOKEN "!"), "assets come first");
    client_free(c);
    app_stop(&a);
}

/* ---- bad behaviour ---- */

Test(web, idle_and_slow_connections_are_closed)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.request_ms = 100;
    app_start(&a, &config);
    struct client *idle = client_new(&a.loop, a.port, true);
    struct client *half = client_new(&a.loop, a.port, true);
    struct client *waits = client_new(&a.loop, a.port, true);
    client_say(half, "POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    command(&a, waits, "later", "{}");
    client_wait_closed(idle);
    client_wait_closed(half);
    cr_assert_not(waits->closed, "one that waits for its reply is not the peer's fault");
    wait_count(&a.loop, &a.kept_n, 1);
    web_reply(a.kept[0], 200, "{\"ok\":1}", 8);
    cr_assert(client_wait(waits, "{\"ok\":1}"), "and gets it");
    client_free(idle);
    client_free(half);
    client_free(waits);
    app_stop(&a);
}

Test(web, connections_beyond_the_limit_wait)
{
    struct app a;
    struct web_config config = config_of(&a);
    config.max_connections = 4;
    config.request_ms = 100;
    app_start(&a, &config);
    struct client *c[8];
    for (unsigned i = 0; i < 8; i++)
        c[i] = client_new(&a.loop, a.port, true);
    struct client *last = client_new(&a.loop, a.port, true);
    command(&a, last, "echo", "[9]");
    cr_assert(client_wait(last, "[9]"), "it is served when the idle ones have been closed");
    for (unsigned i = 0; i < 8; i++)
        client_free(c[i]);
    client_free(last);
    app_stop(&a);
}

Test(web, random_bytes_cost_nobody_else_anything)
{
    struct app *a = app_default();
    struct client *other = client_new(&a->loop, a->port, true);
    ask(a, other, EVENTS, "", NULL);
    cr_assert(client_wait(other, "event: hello"), "a stream is open");
    struct rng {
        uint64_t s;
    } r = {88172645463325252u};
    for (unsigned round = 0; round < 200; round++) {
        struct client *c = client_new(&a->loop, a->port, true);
        char bytes[600];
        size_t n = 0;
        if (round % 2 == 1)
            n = (size_t)snprintf(bytes, sizeof bytes, "POST /api/echo HTTP/1.1\r\nHost: ");
        for (; n < sizeof bytes; n++) {
            r.s ^= r.s << 13; /* xorshift64, Marsaglia 2003 */
            r.s ^= r.s >> 7;
            r.s ^= r.s << 17;
            bytes[n] = (char)(r.s >> 24);
        }
        client_write(c, bytes, sizeof bytes);
        client_say(c, "\r\n\r\n");
        uv_run(&a->loop, UV_RUN_NOWAIT);
        client_free(c);
    }
    cr_assert_eq(a->commands, 0, "no command ran");
    web_push(a->web, "still", "1", 1);
    cr_assert(client_wait(other, "event: still"), "the stream goes on");
    client_free(other);
    app_stop(a);
}
