#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

/* ---- time ----------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void client_arm(struct client *c)
{
    uint64_t due = earlier(earlier(c->redeliver_us, c->vanish_us), outbox_due(c));
    bool up = reach_is_up(c->reach);
    for (const struct ask *a = c->asks; a != NULL; a = a->next) {
        due = earlier(due, a->deadline_us);
        if (!a->sent && up)
            due = earlier(due, a->retry_us);
    }
    for (const struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (call->over) {
            due = 0;
            break;
        }
        due = earlier(due, call->due_us);
        if (call->receiving || call->syncing)
            due = earlier(due, c->settled_us);
    }
    net_timer_at(c->timer, due);
}

static void unlink_ask(struct ask *a)
{
    struct ask **at = &a->c->asks;
    while (*at != a) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = a->next;
    a->c->ask_count--;
}

void ask_drop(struct ask *a)
{
    unlink_ask(a);
    free(a);
}

/* Out of the list first: what done does may look there, or ask the same again. */
static void ask_settle(struct ask *a, const struct answer *answer)
{
    unlink_ask(a);
    a->done(a, answer);
    free(a);
}

const char *client_why_away(const struct client *c)
{
    return c->reason[0] != '\0' ? c->reason : "no server answers; name one with --server HOST:PORT";
}

static void asks_tick(struct client *c, uint64_t now)
{
    struct ask *a = c->asks;
    while (a != NULL) {
        if (now < a->deadline_us) {
            a = a->next;
            continue;
        }
        struct answer answer = {
            .err = PEAL_E_UNAVAILABLE,
            .message =
                a->begun ? "no answer came from the ring in time" : "no server can be reached",
            .hint = a->begun ? "try again in a moment" : client_why_away(c),
        };
        if (a->why[0] != '\0') {
            answer.message = a->why;
            answer.hint = a->hint;
        }
        ask_settle(a, &answer);
        a = c->asks; /* done may have changed the list */
    }
}

static void tick(void *user)
{
    struct client *c = user;
    uint64_t now = net_now_us();
    asks_tick(c, now);
    outbox_tick(c, now);
    if (now >= c->redeliver_us) {
        c->redeliver_us = CLIENT_NEVER;
        reach_renew(c->reach, "received messages could not be kept");
    }
    if (now >= c->settled_us)
        c->settled_us = CLIENT_NEVER;
    if (now >= c->vanish_us)
        vanish_tick(c, now);
    recv_wake(c);
    calls_tick(c, now);
    calls_sweep(c);
    asks_pump(c);
    client_arm(c);
}

uint64_t client_stamp(struct client *c)
{
    return clk_now(&c->clock, net_wall_ms());
}

/* Ids sort in the order of their stamps. */
void client_msg_id(uint64_t stamp, struct peal_msg_id *out)
{
    struct wr w;
    wr_init(&w, out->b, sizeof out->b);
    wr_u64(&w, stamp);
    cry_random(out->b + 8, sizeof out->b - 8);
}

/* ---- events ------------------------------------------------------------------------------------
 */

void client_emit(struct client *c, const char *name, json_t *data)
{
    if (data != NULL && c->event != NULL)
        c->event(c->user, name, data);
    json_decref(data);
}

void client_trouble(struct client *c, int err, const char *message, const char *hint)
{
    client_emit(
        c, "trouble",
        json_pack("{s:s,s:s,s:s}", "code", err_name(err), "message", message, "hint", hint));
}

static void emit_connection(struct client *c)
{
    bool up = reach_is_up(c->reach);
    client_emit(c, "connection",
                json_pack("{s:b,s:o,s:s}", "connected", up, "server",
                          up ? json_string(reach_address(c->reach)) : json_null(), "reason",
                          up ? "" : c->reason));
}

/* ---- asks ---------------------------------------------------------------------------- */

struct ask *ask_new(struct client *c, enum wire_type wants, int (*send)(struct ask *a),
                    void (*done)(struct ask *a, const struct answer *answer), void *user)
{
    struct ask *a = c->ask_count < CLIENT_ASKS_MAX ? calloc(1, sizeof *a) : NULL;
    if (a == NULL)
        return NULL;
    a->c = c;
    a->req = ++c->last_req;
    a->wants = wants;
    a->send = send;
    a->done = done;
    a->user = user;
    a->pause_us = RETRY_FIRST_US;
    a->deadline_us = net_now_us() + (uint64_t)CLIENT_CONNECT_WAIT_MS * 1000;
    struct ask **at = &c->asks;
    while (*at != NULL)
        at = &(*at)->next;
    *at = a;
    c->ask_count++;
    client_arm(c);
    return a;
}

static void asks_clear(struct client *c)
{
    struct ask *next;
    for (struct ask *a = c->asks; a != NULL; a = next) {
        next = a->next;
        free(a);
    }
    c->asks = NULL;
    c->ask_count = 0;
}

void asks_pump(struct client *c)
{
    if (!reach_is_up(c->reach))
        return;
    uint64_t now = net_now_us();
    size_t sent = 0;
    for (const struct ask *a = c->asks; a != NULL; a = a->next)
        sent += a->sent;
    for (struct ask *a = c->asks; a != NULL; a = a->next) {
        /* what begins a session does not wait behind the rest */
        if (a->sent || now < a->retry_us ||
            (sent >= CLIENT_ASKS_SENT_MAX && a->wants != WIRE_c_session))
            continue;
        if (a->send(a) != 0)
            continue; /* the link is going; sent again on the next one */
        a->sent = true;
        sent++;
        if (!a->begun)
            a->deadline_us = now + (uint64_t)CLIENT_ASK_WAIT_MS * 1000;
        a->begun = true;
    }
    client_arm(c);
}

static struct ask *ask_of(struct client *c, uint64_t req)
{
    for (struct ask *a = c->asks; a != NULL; a = a->next) {
        if (a->sent && a->req == req)
            return a;
    }
    return NULL;
}

/* The ring cannot say now; the same request may be repeated. */
static bool is_passing(const struct ask *a, int err)
{
    if (err == PEAL_E_UNKNOWN || err == PEAL_E_UNAVAILABLE)
        return true;
    return a->wants != WIRE_c_session && (err == PEAL_E_BUSY || err == PEAL_E_STALE);
}

static void on_answer(struct client *c, uint64_t req, enum wire_type type, const void *msg)
{
    struct ask *a = ask_of(c, req);
    if (a == NULL)
        return; /* given up meanwhile */
    struct answer answer = {.type = type, .msg = msg, .message = "", .hint = ""};
    if (type != a->wants) {
        answer.err = PEAL_E_MALFORMED;
        answer.message = "the server gave an answer of another kind";
    }
    ask_settle(a, &answer);
    asks_pump(c);
}

static void text_of(struct peal_bytes b, char out[static WIRE_TEXT_MAX + 1])
{
    if (peal_bytes_to_str(b, WIRE_TEXT_MAX + 1, out) != 0)
        out[0] = '\0';
}

static void on_error(struct client *c, const struct wire_c_error *msg)
{
    char message[WIRE_TEXT_MAX + 1];
    char hint[WIRE_TEXT_MAX + 1];
    int err = msg->code == 0 || msg->code > INT16_MAX ? PEAL_E_UNKNOWN : -(int)msg->code;
    text_of(msg->message, message);
    text_of(msg->hint, hint);
    struct ask *a = ask_of(c, msg->req);
    if (a == NULL) {
        if (msg->req == 0)
            client_trouble(c, err, message[0] != '\0' ? message : err_prose(err), hint);
        return;
    }
    uint64_t now = net_now_us();
    if (is_passing(a, err) && now + a->pause_us < a->deadline_us) {
        a->sent = false;
        a->retry_us = now + a->pause_us;
        a->pause_us = earlier(2 * a->pause_us, RETRY_MAX_US);
        (void)snprintf(a->why, sizeof a->why, "%s", message);
        (void)snprintf(a->hint, sizeof a->hint, "%s", hint);
        client_arm(c);
        return;
    }
    struct answer answer = {
        .err = err,
        .type = WIRE_c_error,
        .msg = msg,
        .message = message[0] != '\0' ? message : err_prose(err),
        .hint = hint,
    };
    ask_settle(a, &answer);
    asks_pump(c);
}

/* ---- the link ------------------------------------------------------------------------ */

static void on_up(void *user, const char *address, const struct wire_c_welcome *welcome)
{
    struct client *c = user;
    (void)welcome;
    c->reason[0] = '\0';
    int err = profile_server_add(c->profile, address, net_wall_ms());
    if (err != 0)
        client_trouble(c, err, "the server's address cannot be remembered", err_prose(err));
    emit_connection(c);
    account_link_up(c);
    asks_pump(c);
    calls_link_changed(c);
}

static void on_down(void *user, int err, const char *reason)
{
    struct client *c = user;
    (void)snprintf(c->reason, sizeof c->reason, "%s", reason);
    c->reason_err = err;
    c->away_since_us = net_now_us();
    for (struct ask *a = c->asks; a != NULL; a = a->next) {
        a->sent = false;
        a->retry_us = 0;
    }
    held_clear(c);
    outbox_link_down(c);
    account_link_down(c);
    emit_connection(c);
    client_arm(c);
}

static void on_failed(void *user, const char *address, int err, const char *reason)
{
    struct client *c = user;
    char text[CLIENT_WHY_MAX];
    (void)snprintf(text, sizeof text, "%s: %s", address,
                   err == PEAL_E_FOREIGN ? "this server belongs to another ring than this profile"
                                         : reason);
    /* another ring says more than silence does */
    if (c->reason_err == PEAL_E_FOREIGN && c->reason[0] != '\0' && err != PEAL_E_FOREIGN)
        return;
    c->reason_err = err;
    if (strcmp(text, c->reason) == 0)
        return;
    (void)snprintf(c->reason, sizeof c->reason, "%s", text);
    emit_connection(c);
}

static void on_pinned(void *user, const uint8_t fingerprint[static NET_FINGERPRINT_BYTES])
{
    struct client *c = user;
    int err = profile_pin_set(c->profile, fingerprint);
    if (err != 0)
        client_trouble(c, err, "the ring's fingerprint cannot be kept", err_prose(err));
}

static void on_servers(void *user, const struct wire_server_list *servers)
{
    struct client *c = user;
    uint64_t now = net_wall_ms();
    int err = profile_begin(c->profile);
    for (size_t i = 0; i < servers->n && err == 0; i++) {
        char address[WIRE_ADDRESS_MAX + 1];
        if (peal_bytes_to_str(servers->v[i].address, sizeof address, address) == 0)
            err = profile_server_add(c->profile, address, now);
        if (err != 0)
            profile_rollback(c->profile);
    }
    if (err == 0)
        err = profile_commit(c->profile);
    if (err != 0)
        client_trouble(c, err, "the servers' addresses cannot be remembered", err_prose(err));
}

static void on_bye(struct client *c, const struct wire_c_bye *msg)
{
    char message[WIRE_TEXT_MAX + 1];
    text_of(msg->message, message);
    account_bye(c, -(int)msg->code, message);
}

static void on_message(void *user, enum wire_type type, const void *msg)
{
    struct client *c = user;
    const union wire_any *any = msg;
    switch ((int)type) {
    case WIRE_c_user:
        on_answer(c, any->c_user.req, type, msg);
        break;
    case WIRE_c_session:
        on_answer(c, any->c_session.req, type, msg);
        break;
    case WIRE_c_rescued:
        on_answer(c, any->c_rescued.req, type, msg);
        break;
    case WIRE_c_ok:
        on_answer(c, any->c_ok.req, type, msg);
        break;
    case WIRE_c_ring:
        on_answer(c, any->c_ring.req, type, msg);
        break;
    case WIRE_c_path:
        on_answer(c, any->c_path.req, type, msg);
        break;
    case WIRE_c_error:
        on_error(c, &any->c_error);
        break;
    case WIRE_c_stored:
        on_stored(c, &any->c_stored);
        break;
    case WIRE_c_unsent:
        on_unsent(c, &any->c_unsent);
        break;
    case WIRE_c_deliver:
        on_deliver(c, &any->c_deliver);
        break;
    case WIRE_c_presence:
        on_presence(c, &any->c_presence);
        break;
    case WIRE_c_bye:
        on_bye(c, &any->c_bye);
        break;
    default:
        break; /* nothing that a client need understand */
    }
    client_arm(c);
}

static const struct reach_events link_events = {
    .up = on_up,
    .message = on_message,
    .down = on_down,
    .failed = on_failed,
    .pinned = on_pinned,
    .servers = on_servers,
};

/* ---- life ---------------------------------------------------------------------------- */

static void add_remembered(void *user, const char *address)
{
    struct client *c = user;
    struct net_place place;
    char why[NET_REASON_MAX];
    if (net_place_parse(address, REACH_PORT, &place, why) != 0)
        return;
    place.pinned = false;
    int err = reach_add(c->reach, &place, false);
    (void)err; /* the table is full of chosen ones: these come first anyway */
}

static int open_reach(struct client *c, const struct client_config *config,
                      char why[static CLIENT_WHY_MAX])
{
    uint8_t pin[CRY_FP_BYTES];
    int err = profile_pin(c->profile, pin);
    if (err != 0 && err != PEAL_E_NOT_FOUND)
        return err;
    struct reach_config rc = {
        .events = &link_events,
        .user = c,
        .agent = "peal/" PEAL_VERSION,
        .pin = err == 0 ? pin : NULL,
        .mcast = config->mcast,
    };
    bool was_pinned = rc.pin != NULL;
    err = reach_new(c->loop, &rc, &c->reach);
    for (size_t i = 0; i < config->server_count && err == 0; i++) {
        err = reach_add(c->reach, &config->servers[i], true);
        if (err == PEAL_E_FOREIGN)
            (void)snprintf(why, CLIENT_WHY_MAX,
                           "the server's fingerprint is not that of the ring of this profile");
    }
    if (err == 0 && !was_pinned && reach_pin(c->reach) != NULL)
        err = profile_pin_set(c->profile, reach_pin(c->reach));
    if (err == 0)
        err = profile_servers(c->profile, add_remembered, c);
    return err;
}

int client_new(struct net_loop *loop, const struct client_config *config, struct client **out,
               char why[static CLIENT_WHY_MAX])
{
    why[0] = '\0';
    int err = cry_init();
    struct client *c = err == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        err = err != 0 ? err : PEAL_E_NO_MEMORY;
        goto fail;
    }
    c->loop = loop;
    c->profile = config->profile;
    c->event = config->event;
    c->user = config->user;
    c->settled_us = c->redeliver_us = c->retry_us = CLIENT_NEVER;
    c->retry_pause_us = RETRY_FIRST_US;
    err = net_timer_new(loop, tick, c, &c->timer);
    if (err == 0)
        err = account_load(c);
    if (err == 0)
        err = open_reach(c, config, why);
    if (err == 0) {
        *out = c;
        return 0;
    }
fail:
    if (why[0] == '\0')
        (void)snprintf(why, CLIENT_WHY_MAX, "%s", err_prose(err));
    client_free(c);
    return err;
}

void client_start(struct client *c)
{
    c->started = true;
    c->away_since_us = net_now_us();
    vanish_tick(c, c->away_since_us);
    reach_start(c->reach);
}

void client_stop(struct client *c)
{
    c->started = false;
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over)
            client_cancel(call);
    }
    calls_sweep(c);
    asks_clear(c);
    held_clear(c);
    reach_stop(c->reach, "the program ends");
    account_link_down(c);
    outbox_link_down(c);
    net_timer_stop(c->timer);
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    CHECK(c->jobs == 0);
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over)
            client_cancel(call);
    }
    calls_sweep(c);
    asks_clear(c);
    held_clear(c);
    contacts_clear(c);
    reach_free(c->reach);
    net_timer_free(c->timer);
    cry_keys_free(c->keys);
    cry_wipe(&c->device_key, sizeof c->device_key);
    cry_wipe(&c->account, sizeof c->account);
    free(c);
}
