/* The account's settings and its display name. They are the server's to keep, all of them at once,
 * and come with each session; what is here is what the last one brought, or what was set since. */
#include <stdio.h>
#include <string.h>

#include "job.h"

static json_t *settings_json(const struct client *c)
{
    const struct settings *s = &c->account.settings;
    return json_pack("{s:s,s:b,s:i,s:i}", "display", c->account.display, "receipts",
                     (int)s->receipts, "unread", (int)s->unread, "session_days",
                     (int)s->session_days);
}

static int send_settings(struct ask *a)
{
    const struct client_call *call = a->user;
    struct wire_c_settings msg = {.req = a->req,
                                  .display = peal_bytes_str(call->display),
                                  .receipts = call->settings.receipts,
                                  .unread = call->settings.unread,
                                  .session_days = call->settings.session_days};
    int err = account_in_session(a);
    return err != 0 ? err : reach_send(a->c->reach, WIRE_c_settings, &msg);
}

static void settings_done(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    struct client *c = call->c;
    call->ask = NULL;
    if (answer->err == PEAL_E_UNAVAILABLE && a->begun) {
        call_fail(call, PEAL_E_UNKNOWN, "it is not known whether that is set now", "set it again");
        return;
    }
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    c->account.settings = call->settings;
    (void)snprintf(c->account.display, sizeof c->account.display, "%s", call->display);
    int err = profile_account_set(c->profile, &c->account);
    if (err != 0) /* it is set; the next session brings it again */
        client_trouble(c, err, "the settings cannot be kept in the profile", err_prose(err));
    call_reply(call, settings_json(c));
}

/* All of them go at once, so that two at a time would undo each other. */
static void set(struct client_call *call)
{
    for (const struct client_call *other = call->c->calls; other != NULL; other = other->next) {
        if (other != call && other->setting && !other->over) {
            call_fail(call, PEAL_E_BUSY, "other settings are on their way", "wait for their end");
            return;
        }
    }
    call->setting = true;
    call->ask = ask_new(call->c, WIRE_c_ok, send_settings, settings_done, call);
    if (call->ask == NULL)
        call_fail(call, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
}

static void begin(struct client_call *call)
{
    call->settings = call->c->account.settings;
    (void)snprintf(call->display, sizeof call->display, "%s", call->c->account.display);
}

void cmd_settings(struct client_call *call)
{
    static const char *const keys[] = {"receipts", "unread", "session_days"};
    json_t *receipts = json_object_get(call->args, "receipts");
    uint64_t unread = 0, days = 0;
    bool any = false;
    if (call_account(call) != 0)
        return;
    begin(call);
    for (size_t i = 0; i < PEAL_COUNT(keys); i++)
        any |= json_object_get(call->args, keys[i]) != NULL;
    if (!any) {
        call_reply(call, settings_json(call->c));
        return;
    }
    if (receipts != NULL && !json_is_boolean(receipts)) {
        call_fail(call, PEAL_E_USAGE, "receipts are on or off", "receipts");
        return;
    }
    if (call_session(call) != 0 ||
        call_number(call, "unread", call->settings.unread, UINT16_MAX, &unread) != 0 ||
        call_number(call, "session_days", call->settings.session_days, UINT16_MAX, &days) != 0)
        return;
    if (receipts != NULL)
        call->settings.receipts = json_is_true(receipts);
    call->settings.unread = (uint16_t)unread;
    call->settings.session_days = (uint16_t)days;
    set(call);
}

void cmd_display(struct client_call *call)
{
    json_t *text = json_object_get(call->args, "text");
    size_t n = json_string_length(text);
    if (call_session(call) != 0)
        return;
    if (!json_is_string(text) || n == 0 || n > WIRE_NAME_MAX ||
        strlen(json_string_value(text)) != n) {
        call_fail(call, n > WIRE_NAME_MAX ? PEAL_E_TOO_LONG : PEAL_E_USAGE,
                  n > WIRE_NAME_MAX ? "the display name is longer than 128 bytes"
                                    : "the display name is missing",
                  "one line of text");
        return;
    }
    begin(call);
    (void)snprintf(call->display, sizeof call->display, "%s", json_string_value(text));
    set(call);
}
