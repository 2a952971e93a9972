/* One request: what it asks for, whether it may, and its answer. */
#include "inner.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A page may load only what this server serves; nobody may frame it, open it as a resource of
 * theirs, or learn its address. */
static const char *const common_headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     "img-src 'self' data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
     "frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"X-Frame-Options", "DENY"},
};

bool response_dress(struct MHD_Response *r, const char *type, const char *cache)
{
    for (size_t i = 0; i < PEAL_COUNT(common_headers); i++) {
        if (MHD_add_response_header(r, common_headers[i][0], common_headers[i][1]) != MHD_YES)
            return false;
    }
    return MHD_add_response_header(r, "Content-Type", type) == MHD_YES &&
           MHD_add_response_header(r, "Cache-Control", cache) == MHD_YES;
}

static struct MHD_Response *json_response(const char *json, size_t n)
{
    /* the buffer is only read: the library copies it */
    struct MHD_Response *r =
        MHD_create_response_from_buffer(n, (void *)json, MHD_RESPMEM_MUST_COPY);
    if (r != NULL && !response_dress(r, "application/json", "no-store")) {
        MHD_destroy_response(r);
        r = NULL;
    }
    return r;
}

static struct MHD_Response *error_response(const char *code, const char *message, const char *hint)
{
    json_t *o = json_pack("{s:{s:s,s:s,s:s}}", "error", "code", code, "message", message, "hint",
                          hint != NULL ? hint : "");
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (text == NULL)
        return NULL;
    struct MHD_Response *r = json_response(text, strlen(text));
    free(text);
    return r;
}

/* Queues r, which is given away; NULL closes the connection. */
static enum MHD_Result answer(struct web_request *req, unsigned status, struct MHD_Response *r)
{
    if (r == NULL)
        return MHD_NO;
    req->conn->since = web_ms();
    if (req->conn->state != CONN_STREAMING)
        req->conn->state = CONN_WRITING;
    enum MHD_Result ok = MHD_queue_response(req->conn->mhd, status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result answer_refusal(struct web_request *req)
{
    const struct refusal *f = &req->refusal;
    struct MHD_Response *r = error_response(f->code, f->message, f->hint);
    if (r != NULL && req->allow != NULL &&
        MHD_add_response_header(r, "Allow", req->allow) != MHD_YES) {
        MHD_destroy_response(r);
        r = NULL;
    }
    return answer(req, f->status, r);
}

/* ---- checks ---- */

static void refuse(struct web_request *req, unsigned status, const char *code, const char *message,
                   const char *hint)
{
    req->refusal = (struct refusal){status, code, message, hint};
}

static const char *header(struct web_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->conn->mhd, MHD_HEADER_KIND, name);
}

struct count {
    const char *name;
    unsigned n;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    struct count *c = cls;
    (void)kind;
    (void)value;
    if (strcasecmp(key, c->name) == 0)
        c->n++;
    return MHD_YES;
}

static unsigned headers(struct web_request *req, const char *name)
{
    struct count c = {name, 0};
    (void)MHD_get_connection_values(req->conn->mhd, MHD_HEADER_KIND, count_header, &c);
    return c.n;
}

/* Whose page is it that asks? */
static bool check_caller(struct web_request *req)
{
    const char *host = header(req, "Host"), *origin = header(req, "Origin");
    if (headers(req, "Host") != 1 || !guard_host(&req->web->guard, host)) {
        refuse(req, MHD_HTTP_FORBIDDEN, "bad_host", "The page is not served under this name.",
               "Open it at the address that the program printed when it started.");
        return false;
    }
    unsigned origins = headers(req, "Origin");
    if (origins > 1 || (origins == 1 && !guard_origin(&req->web->guard, origin, host))) {
        refuse(req, MHD_HTTP_FORBIDDEN, "bad_origin", "Another page may not use this one.", "");
        return false;
    }
    return true;
}

static void check_token(struct web_request *req, const char *given)
{
    if (!guard_token(&req->web->guard, given))
        refuse(req, MHD_HTTP_FORBIDDEN, "bad_token",
               "The program was started anew since the page was loaded.", "Reload the page.");
}

static void wrong_method(struct web_request *req, const char *allow)
{
    req->allow = allow;
    refuse(req, MHD_HTTP_METHOD_NOT_ALLOWED, "bad_method", "That cannot be done here.", "");
}

static void not_found(struct web_request *req)
{
    refuse(req, MHD_HTTP_NOT_FOUND, "not_found", "There is no such page.", "");
}

static void route_events(struct web_request *req, const char *method)
{
    req->kind = KIND_EVENTS;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
        wrong_method(req, "GET");
        return;
    }
    check_token(req, MHD_lookup_connection_value(req->conn->mhd, MHD_GET_ARGUMENT_KIND, "token"));
    if (req->refusal.code == NULL && req->web->sub_count >= req->web->config.max_subscribers)
        refuse(req, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "Too many pages are open.",
               "Close some of them.");
}

static void route_command(struct web_request *req, const char *method, const char *name)
{
    req->kind = KIND_COMMAND;
    if (req->web->config.on_command == NULL || !guard_is_name(name)) {
        not_found(req);
        return;
    }
    memcpy(req->name, name, strlen(name) + 1);
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) {
        wrong_method(req, "POST");
        return;
    }
    if (!guard_is_json(header(req, "Content-Type"))) {
        refuse(req, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "bad_type", "A command's body must be JSON.",
               "Send Content-Type: application/json.");
        return;
    }
    check_token(req, header(req, "X-Peal-Token"));
}

/* What the program makes at this moment; false when it makes no such page. */
static bool make_page(struct web_request *req, const char *path)
{
    const struct web_config *config = &req->web->config;
    const char *type = "text/plain; charset=utf-8";
    size_t n = 0;
    char *out = config->on_page != NULL ? malloc(WEB_PAGE_MAX) : NULL;
    if (out == NULL)
        return false;
    req->status = config->on_page(config->ctx, path, out, &n, &type);
    CHECK(n <= WEB_PAGE_MAX && (req->status == 0 || (req->status >= 200 && req->status <= 599)));
    if (req->status != 0)
        req->page = MHD_create_response_from_buffer(n, out, MHD_RESPMEM_MUST_COPY);
    free(out);
    if (req->page != NULL && !response_dress(req->page, type, "no-store")) {
        MHD_destroy_response(req->page);
        req->page = NULL;
    }
    return req->page != NULL;
}

static void route_asset(struct web_request *req, const char *method, const char *url)
{
    const char *path = strcmp(url, "/") == 0 ? "/index.html" : url;
    const struct web_config *config = &req->web->config;
    req->kind = KIND_ASSET;
    for (req->asset = 0; req->asset < config->asset_count; req->asset++) {
        if (strcmp(config->assets[req->asset].path, path) == 0)
            break;
    }
    bool reads =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    if (req->asset == config->asset_count && reads && make_page(req, path))
        req->kind = KIND_PAGE;
    else if (req->asset == config->asset_count)
        not_found(req);
    else if (!reads)
        wrong_method(req, "GET, HEAD");
}

/* Refuses what is too long to be read to its end. The length was checked to be a number by
 * libmicrohttpd. */
static bool check_length(struct web_request *req, size_t *n)
{
    const char *length = header(req, "Content-Length");
    *n = 0;
    if (headers(req, "Transfer-Encoding") > 0) {
        refuse(req, MHD_HTTP_LENGTH_REQUIRED, "length_required", "The length must be said first.",
               "Send Content-Length instead of Transfer-Encoding.");
        return false;
    }
    if (length == NULL)
        return true;
    unsigned long long v = strtoull(length, NULL, 10);
    if (v > WEB_BODY_MAX) {
        refuse(req, MHD_HTTP_CONTENT_TOO_LARGE, "too_large", "That is too long.",
               "At most 128 KiB can be sent at once.");
        return false;
    }
    *n = (size_t)v;
    return true;
}

/* ---- the life of a request ---- */

static enum MHD_Result begin(struct web *web, struct conn *c, const char *url, const char *method,
                             void **state)
{
    struct web_request *req = calloc(1, sizeof *req);
    if (req == NULL)
        return MHD_NO;
    *state = req; /* request_completed frees it */
    req->web = web;
    req->conn = c;
    size_t length;
    if (!check_length(req, &length))
        return answer_refusal(req); /* its body is not read; the connection closes */
    if (check_caller(req)) {
        static const char api[] = "/api/";
        if (strcmp(url, "/api/events") == 0)
            route_events(req, method);
        else if (strncmp(url, api, sizeof api - 1) == 0)
            route_command(req, method, url + sizeof api - 1);
        else
            route_asset(req, method, url);
    }
    if (req->refusal.code == NULL && req->kind == KIND_COMMAND) {
        req->body = malloc(length + 1);
        if (req->body == NULL)
            return MHD_NO;
        req->cap = length;
    }
    return MHD_YES;
}

static enum MHD_Result wait_or_answer(struct web_request *req)
{
    switch (req->stage) {
    case STAGE_ANSWERED: {
        struct MHD_Response *r = req->response;
        req->response = NULL;
        return answer(req, req->status, r);
    }
    case STAGE_WAITING:
        conn_suspend(req->conn);
        return MHD_YES;
    case STAGE_BODY:
    case STAGE_GONE:
        break;
    }
    return MHD_NO;
}

static enum MHD_Result dispatch(struct web_request *req)
{
    struct web *web = req->web;
    if (req->refusal.code != NULL)
        return answer_refusal(req);
    switch (req->kind) {
    case KIND_ASSET:
        req->conn->state = CONN_WRITING;
        req->conn->since = web_ms();
        return MHD_queue_response(req->conn->mhd, MHD_HTTP_OK, web->assets[req->asset]);
    case KIND_PAGE: {
        struct MHD_Response *page = req->page;
        req->conn->state = CONN_WRITING;
        req->conn->since = web_ms();
        req->page = NULL;
        return answer(req, req->status, page);
    }
    case KIND_EVENTS:
        req->conn->state = CONN_STREAMING;
        return answer(req, MHD_HTTP_OK, events_open(web, req->conn));
    case KIND_COMMAND:
        break;
    }
    req->body[req->n] = '\0';
    req->stage = STAGE_WAITING;
    req->conn->state = CONN_WAITING;
    req->conn->waiting = req;
    req->in_handler = true;
    web->config.on_command(web->config.ctx, req, req->name, req->body, req->n);
    req->in_handler = false;
    return wait_or_answer(req);
}

enum MHD_Result request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data, size_t *n,
                               void **state)
{
    struct web *web = cls;
    (void)version;
    if (*state == NULL) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct conn *c = info != NULL ? info->socket_context : NULL;
        return c != NULL ? begin(web, c, url, method, state) : MHD_NO;
    }
    struct web_request *req = *state;
    if (*n > 0) {
        if (req->body != NULL) {
            CHECK(*n <= req->cap - req->n);
            memcpy(req->body + req->n, data, *n);
            req->n += *n;
        }
        *n = 0; /* a refused body is read and forgotten */
        return MHD_YES;
    }
    return req->stage == STAGE_BODY ? dispatch(req) : wait_or_answer(req);
}

void request_cancel(struct web_request *req)
{
    CHECK(req->stage == STAGE_WAITING);
    struct web *web = req->web;
    req->stage = STAGE_GONE;
    req->conn->waiting = NULL;
    if (web->config.on_cancel != NULL)
        web->config.on_cancel(web->config.ctx, req);
}

void request_completed(void *cls, struct MHD_Connection *mhd, void **state,
                       enum MHD_RequestTerminationCode why)
{
    struct web_request *req = *state;
    (void)cls;
    (void)mhd;
    (void)why;
    if (req == NULL)
        return;
    *state = NULL;
    if (req->stage == STAGE_WAITING)
        request_cancel(req);
    req->conn->state = CONN_READING;
    req->conn->since = web_ms();
    if (req->response != NULL)
        MHD_destroy_response(req->response);
    if (req->page != NULL)
        MHD_destroy_response(req->page);
    free(req->body);
    free(req);
}

/* ---- replies ---- */

static void reply(struct web_request *req, unsigned status, struct MHD_Response *r)
{
    CHECK(req->stage == STAGE_WAITING);
    CHECK(status >= 200 && status <= 599);
    req->stage = STAGE_ANSWERED;
    req->status = status;
    req->response = r;
    req->conn->waiting = NULL;
    if (!req->in_handler)
        conn_resume(req->conn);
}

void web_reply(struct web_request *req, unsigned status, const char *json, size_t n)
{
    reply(req, status, json_response(json, n));
}

void web_reply_error(struct web_request *req, unsigned status, const char *code,
                     const char *message, const char *hint)
{
    reply(req, status, error_response(code, message, hint));
}

void web_request_set(struct web_request *req, void *user)
{
    req->user = user;
}

void *web_request_get(const struct web_request *req)
{
    return req->user;
}
