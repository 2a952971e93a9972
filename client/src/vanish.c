/* Messages that vanish: how long those of a conversation stay is agreed between the two sides, each
 * message carries it, and each profile counts by itself. */
#include "core.h"

enum {
    VANISH_AT_ONCE = 64,               /* messages in one turn of the loop */
    VANISH_LOOK_US = 60 * 1000 * 1000, /* the wall clock may be put forward meanwhile */
};

/* ---- what is agreed ------------------------------------------------------------------ */

int vanish_received(struct client *c, const char *from, const struct peal_msg_id *id,
                    uint32_t seconds, uint64_t stamp, bool *changed)
{
    return profile_vanish_set(c->profile, c->account.name, from, seconds, stamp, id, changed);
}

int vanish_add(const struct client *c, const char *name, json_t *line)
{
    uint32_t seconds = 0;
    int err = profile_vanish(c->profile, c->account.name, name, &seconds);
    if (err == 0 && seconds != 0 && json_object_set_new(line, "vanish", json_integer(seconds)) != 0)
        err = PEAL_E_NO_MEMORY;
    return err;
}

static void told(struct client_call *call, const char *name)
{
    uint32_t seconds = 0;
    int err = profile_vanish(call->c->profile, call->c->account.name, name, &seconds);
    if (err == 0)
        call_reply(call, json_pack("{s:s,s:I}", "name", name, "seconds", (json_int_t)seconds));
    else
        call_fail(call, err, "the profile cannot be read", err_prose(err));
}

/* Within a transaction. */
static int keep(struct client *c, const struct contact *to, const char *name, uint32_t seconds,
                struct peal_msg_id *id)
{
    struct content content = {.kind = CONTENT_VANISH, .stamp = client_stamp(c), .vanish = seconds};
    bool done;
    client_msg_id(content.stamp, id);
    int err =
        profile_vanish_set(c->profile, c->account.name, name, seconds, content.stamp, id, &done);
    /* it has no line in the history: as a change it names itself */
    return err == 0 ? outbox_content(c, to, name, id, &content, id) : err;
}

void cmd_vanish(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    struct contact *to;
    uint64_t seconds;
    uint64_t wait;
    json_t *given = json_object_get(call->args, "seconds");
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    if (given == NULL || json_is_null(given)) {
        told(call, name);
        return;
    }
    if (call_number(call, "seconds", 0, CLIENT_VANISH_MAX_S, &seconds) != 0 ||
        call_number(call, "wait", 0, CLIENT_SEND_WAIT_MAX_MS, &wait) != 0 ||
        call_other(call, name) != 0 || call_recipient(call, name, &to) != 0)
        return;
    int err = profile_begin(c->profile);
    if (err == 0) {
        err = keep(c, to, name, (uint32_t)seconds, &call->sent_id);
        if (err == 0)
            err = profile_commit(c->profile);
        else
            profile_rollback(c->profile);
    }
    if (err != 0) {
        call_fail(call, err, "this cannot be kept, so nothing was changed", err_prose(err));
        return;
    }
    client_emit(c, "vanish",
                json_pack("{s:s,s:I,s:s}", "name", name, "seconds", (json_int_t)seconds, "by",
                          c->account.name));
    call->amending = true;
    call->about = call->sent_id;
    outbox_go(call, to, name, wait);
}

/* ---- time ---------------------------------------------------------------------------- */

int vanish_begin(struct client *c, const struct peal_msg_id *id)
{
    bool done = false;
    int err = profile_vanish_begin(c->profile, c->account.name, id, net_wall_ms(), &done);
    if (done)
        c->vanish_us = 0; /* looked at with the next tick */
    return err;
}

static int take_out(struct client *c, const struct peal_msg_id *id)
{
    char hex[2 * MSG_ID_BYTES + 1];
    int err = profile_begin(c->profile);
    if (err != 0)
        return err;
    err = profile_forget(c->profile, c->account.name, id, net_wall_ms());
    if (err != 0) {
        profile_rollback(c->profile);
        return err;
    }
    err = profile_commit(c->profile);
    peal_hex(id->b, sizeof id->b, hex);
    if (err == 0)
        client_emit(c, "forgotten", json_pack("{s:[s]}", "ids", hex));
    return err;
}

void vanish_tick(struct client *c, uint64_t now_us)
{
    struct peal_msg_id id;
    uint64_t at_ms = 0;
    uint64_t wall_ms = net_wall_ms();
    int err = c->session == SESSION_NOBODY ? PEAL_E_NOT_FOUND : 0;
    c->vanish_us = now_us + VANISH_LOOK_US;
    for (int i = 0; i < VANISH_AT_ONCE && err == 0; i++) {
        err = profile_vanish_next(c->profile, c->account.name, &id, &at_ms);
        if (err == 0 && at_ms > wall_ms) {
            uint64_t left_us = (at_ms - wall_ms) * 1000;
            if (left_us < VANISH_LOOK_US)
                c->vanish_us = now_us + left_us;
            return;
        }
        if (err == 0)
            err = take_out(c, &id);
    }
    if (err == 0)
        c->vanish_us = now_us; /* there may be more */
    else if (err != PEAL_E_NOT_FOUND)
        client_trouble(c, err, "messages that are due cannot vanish", err_prose(err));
}
