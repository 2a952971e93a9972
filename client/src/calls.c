#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "queries.h"

static const struct command {
    const char *name;
    void (*start)(struct client_call *call);
} commands[] = {
    {"whoami", cmd_whoami},     {"register", cmd_register},
    {"login", cmd_login},       {"logout", cmd_logout},
    {"send", cmd_send},         {"history", cmd_history},
    {"status", cmd_status},     {"conversations", cmd_conversations},
    {"read", cmd_read},         {"watch", cmd_watch},
    {"recv", cmd_recv},         {"ring", cmd_ring},
    {"sync", cmd_sync},         {"lookup", cmd_lookup},
    {"remove", cmd_remove},     {"password", cmd_password},
    {"settings", cmd_settings}, {"display", cmd_display},
    {"reset", cmd_reset},       {"recovery", cmd_recovery},
    {"delete", cmd_delete},     {"trust", cmd_trust},
    {"safety", cmd_safety},     {"verify", cmd_verify},
    {"edit", cmd_edit},         {"unsend", cmd_unsend},
    {"unread", cmd_unread},     {"forget", cmd_forget},
    {"draft", cmd_draft},       {"search", cmd_search},
    {"export", cmd_export},     {"import", cmd_import},
    {"vanish", cmd_vanish},
};

/* ---- errors ------------------------------------------------------------------------------------
 */

json_t *client_error(int err, const char *message, const char *hint)
{
    return json_pack("{s:{s:s,s:s,s:s}}", "error", "code", err_name(err), "message",
                     message != NULL ? message : err_prose(err), "hint", hint != NULL ? hint : "");
}

int client_error_of(json_t *object)
{
    json_t *error = json_object_get(object, "error");
    if (error == NULL)
        return 0;
    const char *code = json_string_value(json_object_get(error, "code"));
    int err = code != NULL ? err_from_name(code) : 0;
    return err != 0 ? err : PEAL_E_MALFORMED;
}

static const struct {
    int err;
    unsigned http;
    int exit;
} statuses[] = {
    {PEAL_OK, 200, 0},           {PEAL_E_USAGE, 400, 2},       {PEAL_E_MALFORMED, 400, 1},
    {PEAL_E_TOO_LONG, 400, 1},   {PEAL_E_AUTH, 403, 1},        {PEAL_E_REFUSED, 403, 1},
    {PEAL_E_TAKEN_OVER, 403, 1}, {PEAL_E_STALE, 403, 1},       {PEAL_E_NOT_FOUND, 404, 1},
    {PEAL_E_EXISTS, 409, 1},     {PEAL_E_UNAVAILABLE, 503, 3}, {PEAL_E_UNKNOWN, 503, 3},
    {PEAL_E_FOREIGN, 503, 3},    {PEAL_E_QUOTA, 503, 3},
};

unsigned client_http_status(int err)
{
    for (size_t i = 0; i < PEAL_COUNT(statuses); i++) {
        if (statuses[i].err == err)
            return statuses[i].http;
    }
    return 503;
}

int client_exit_status(int err)
{
    for (size_t i = 0; i < PEAL_COUNT(statuses); i++) {
        if (statuses[i].err == err)
            return statuses[i].exit;
    }
    return 1;
}

/* ---- calls --------------------------------------------------------------------------- */

static void finish(struct client_call *call)
{
    struct client *c = call->c;
    CHECK(!call->over);
    call->over = true;
    call->due_us = CLIENT_NEVER;
    call->finding[0] = '\0';
    call->sending = call->receiving = call->flushing = false;
    call->greeting = call->syncing = call->leaving = false;
    if (call->ask != NULL)
        ask_drop(call->ask);
    if (call->job != NULL)
        job_forget(call->job);
    call->ask = NULL;
    call->job = NULL;
    c->call_count--;
    if (call->entering)
        account_entered(c);
    client_arm(c);
}

void call_more(struct client_call *call, json_t *object)
{
    if (!call->over && object != NULL)
        call->reply(call->user, object, false);
    json_decref(object);
}

void call_reply(struct client_call *call, json_t *object)
{
    static const char no_memory[] =
        "{\"error\":{\"code\":\"no_memory\",\"message\":\"no memory\",\"hint\":\"\"}}";
    void (*reply)(void *user, json_t *obj, bool last) = call->reply;
    void *user = call->user;
    finish(call);
    if (object == NULL)
        object = json_loads(no_memory, 0, NULL);
    reply(user, object, true);
    json_decref(object);
}

void call_fail(struct client_call *call, int err, const char *message, const char *hint)
{
    call_reply(call, client_error(err, message, hint));
}

void call_fail_answer(struct client_call *call, const struct answer *answer)
{
    call_fail(call, answer->err, answer->message, answer->hint);
}

void client_cancel(struct client_call *call)
{
    finish(call);
}

void calls_sweep(struct client *c)
{
    struct client_call **at = &c->calls;
    while (*at != NULL) {
        struct client_call *call = *at;
        if (!call->over || call->starting) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        json_decref(call->args);
        free(call);
    }
}

void client_command(struct client *c, json_t *request,
                    void (*reply)(void *user, json_t *object, bool last), void *user,
                    struct client_call **out)
{
    const char *name = json_string_value(json_object_get(request, "cmd"));
    const struct command *command = NULL;
    json_t *error = NULL;
    if (out != NULL)
        *out = NULL;
    for (size_t i = 0; name != NULL && i < PEAL_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            command = &commands[i];
    }
    struct client_call *call = NULL;
    if (command == NULL)
        error = client_error(PEAL_E_USAGE, "there is no such command", "peal --help lists them");
    else if (c->call_count >= CLIENT_CALLS_MAX || (call = calloc(1, sizeof *call)) == NULL)
        error = client_error(PEAL_E_BUSY, "too many commands at once", "try again in a moment");
    if (error != NULL) {
        reply(user, error, true);
        json_decref(error);
        return;
    }
    *call = (struct client_call){.c = c,
                                 .args = json_incref(request),
                                 .reply = reply,
                                 .user = user,
                                 .due_us = CLIENT_NEVER,
                                 .starting = true};
    struct client_call **at = &c->calls;
    while (*at != NULL)
        at = &(*at)->next;
    *at = call;
    c->call_count++;
    command->start(call);
    call->starting = false;
    if (out != NULL && !call->over)
        *out = call;
    asks_pump(c);
    client_arm(c);
}

void call_wait(struct client_call *call, uint64_t ms, void (*expired)(struct client_call *call))
{
    call->due_us = net_now_us() + ms * 1000;
    call->expired = expired;
    client_arm(call->c);
}

void calls_tick(struct client *c, uint64_t now)
{
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over && now >= call->due_us) {
            call->due_us = CLIENT_NEVER;
            call->expired(call);
        }
    }
}

/* ---- arguments ----------------------------------------------------------------------- */

int call_name(struct client_call *call, const char *key, char out[static NAME_BYTES_MAX + 1])
{
    json_t *value = json_object_get(call->args, key);
    if (!json_is_string(value)) {
        call_fail(call, PEAL_E_USAGE, "a name is missing", "give the name of an account");
        return PEAL_E_USAGE;
    }
    int err =
        name_canonical(peal_bytes_of(json_string_value(value), json_string_length(value)), out);
    if (err != 0) {
        int code = err == PEAL_E_TOO_LONG ? err : PEAL_E_MALFORMED;
        call_fail(call, code, name_why(err),
                  "a name has 1 to 32 characters: letters, digits, '.', '_' and '-'");
    }
    return err;
}

int call_account(struct client_call *call)
{
    if (call->c->session != SESSION_NOBODY)
        return 0;
    call_fail(call, PEAL_E_AUTH, "nobody is logged in here", "register or log in first");
    return PEAL_E_AUTH;
}

int call_session(struct client_call *call)
{
    int err = call_account(call);
    if (err != 0 || call->c->session != SESSION_OUTSIDE)
        return err;
    call_fail(call, PEAL_E_AUTH, "the session has ended: the account is in use elsewhere",
              "log in again");
    return PEAL_E_AUTH;
}

int call_number(struct client_call *call, const char *key, uint64_t fallback, uint64_t max,
                uint64_t *out)
{
    json_t *value = json_object_get(call->args, key);
    *out = fallback;
    if (value == NULL || json_is_null(value))
        return 0;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || (uint64_t)n > max) {
        call_fail(call, PEAL_E_USAGE, "a number is not of its form", key);
        return PEAL_E_USAGE;
    }
    *out = (uint64_t)n;
    return 0;
}

/* What only some messages have. */
static int add_marks(json_t *m, const struct entry *e)
{
    char id[2 * MSG_ID_BYTES + 1];
    int bad = 0;
    peal_hex(e->reply_to.b, sizeof e->reply_to.b, id);
    if (e->replies)
        bad |= json_object_set_new(m, "reply_to", json_string(id));
    if (e->edited_ms != 0)
        bad |= json_object_set_new(m, "edited_at", json_integer((json_int_t)e->edited_ms));
    if (e->deleted_ms != 0)
        bad |= json_object_set_new(m, "deleted_at", json_integer((json_int_t)e->deleted_ms));
    if (e->imported)
        bad |= json_object_set_new(m, "imported", json_true());
    if (e->vanish != 0)
        bad |= json_object_set_new(m, "vanish", json_integer(e->vanish));
    if (e->vanishes_ms != 0)
        bad |= json_object_set_new(m, "vanishes_at", json_integer((json_int_t)e->vanishes_ms));
    return bad;
}

json_t *entry_json(struct client *c, const struct entry *e)
{
    char id[2 * MSG_ID_BYTES + 1];
    peal_hex(e->id.b, sizeof e->id.b, id);
    const char *me = c->account.name;
    json_t *m = json_pack("{s:s,s:s,s:s,s:s%,s:I,s:s,s:b}", "id", id, "from",
                          e->outgoing ? me : e->peer, "to", e->outgoing ? e->peer : me, "text",
                          e->text.n != 0 ? (const char *)e->text.p : "", e->text.n, "sent_at",
                          (json_int_t)clk_ms(e->stamp), "state", msg_state_name(e->state), "unread",
                          (int)e->unread);
    if (m != NULL && add_marks(m, e) != 0) {
        json_decref(m);
        return NULL;
    }
    const char *why = NULL;
    if (e->outgoing && e->state == MSG_QUEUED)
        why = contact_is_changed(c, e->peer) ? "their key has changed" : full_why(c, e->peer);
    if (m != NULL && why != NULL && json_object_set_new(m, "reason", json_string(why)) != 0) {
        json_decref(m);
        return NULL;
    }
    return m;
}
