/* Edits and deletions of messages that are here already: one's own, and those that others make of
 * theirs. Each is a sealed row of its own. Whoever receives it looks that it is by the author of
 * what it is about; what came first, or twice, or in another order, ends the same. */
#include <stdio.h>
#include <string.h>

#include "core.h"

/* ---- the message that it is about ---------------------------------------------------- */

struct found {
    char peer[NAME_BYTES_MAX + 1];
    bool outgoing, deleted;
    int state;
    uint64_t edit_stamp;
};

static void note_found(void *user, const struct entry *e)
{
    struct found *f = user;
    *f = (struct found){.outgoing = e->outgoing,
                        .deleted = e->deleted_ms != 0,
                        .state = e->state,
                        .edit_stamp = e->edit_stamp};
    (void)snprintf(f->peer, sizeof f->peer, "%s", e->peer);
}

struct shown {
    struct client *c;
    json_t *message;
};

static void show(void *user, const struct entry *e)
{
    struct shown *s = user;
    s->message = entry_json(s->c, e);
}

json_t *message_json(struct client *c, const struct peal_msg_id *id)
{
    struct shown s = {.c = c};
    int err = profile_message(c->profile, c->account.name, id, show, &s);
    (void)err; /* there is nothing to show then */
    return s.message;
}

static int read_message(struct client_call *call, json_t *given, struct peal_msg_id *out)
{
    const char *text = json_string_value(given);
    if (text == NULL) {
        call_fail(call, PEAL_E_USAGE, "a message's id is missing", "the history shows the ids");
        return PEAL_E_USAGE;
    }
    int err = profile_message_like(call->c->profile, call->c->account.name, text, out);
    if (err == PEAL_E_NOT_FOUND)
        call_fail(call, err, "there is no such message", "the history shows the ids");
    else if (err == PEAL_E_USAGE)
        call_fail(call, err, "several messages have an id like that", "give more of its digits");
    else if (err != 0)
        call_fail(call, err, "the history cannot be read", err_prose(err));
    return err;
}

int call_message(struct client_call *call, const char *key, struct peal_msg_id *out)
{
    if (call_account(call) != 0)
        return PEAL_E_AUTH;
    return read_message(call, json_object_get(call->args, key), out);
}

int call_messages(struct client_call *call, struct peal_msg_id out[static CALL_IDS_MAX], size_t *n)
{
    json_t *list = json_object_get(call->args, "ids");
    *n = json_array_size(list);
    if (call_account(call) != 0)
        return PEAL_E_AUTH;
    if (*n == 0 || *n > CALL_IDS_MAX) {
        call_fail(call, PEAL_E_USAGE, "`ids` is no list of messages",
                  "give at most 64 messages' ids");
        return PEAL_E_USAGE;
    }
    for (size_t i = 0; i < *n; i++) {
        int err = read_message(call, json_array_get(list, i), &out[i]);
        if (err != 0)
            return err;
    }
    return 0;
}

/* ---- received ------------------------------------------------------------------------ */

bool amend_is_by(struct client *c, const char *from, const struct peal_msg_id *id)
{
    struct found f = {.outgoing = true};
    bool gone = false;
    int err = profile_message(c->profile, c->account.name, id, note_found, &f);
    if (err == PEAL_E_NOT_FOUND)
        err = profile_is_gone(c->profile, c->account.name, id, &gone);
    return err == 0 && (gone || (!f.outgoing && strcmp(f.peer, from) == 0));
}

int amend_received(struct client *c, const char *from, const struct peal_msg_id *id,
                   const struct content *content, uint64_t at_ms, bool *changed)
{
    struct amendment a = {.target = content->target,
                          .id = *id,
                          .deletes = content->kind == CONTENT_DELETE,
                          .stamp = content->stamp,
                          .at_ms = at_ms != 0 ? at_ms : 1,
                          .text = content->text};
    struct found f;
    CHECK(content->kind == CONTENT_EDIT || content->kind == CONTENT_DELETE);
    int err = profile_amend(c->profile, c->account.name, from, false, &a, changed);
    if (err != 0 || *changed)
        return err;
    err = profile_message(c->profile, c->account.name, &a.target, note_found, &f);
    if (err == PEAL_E_NOT_FOUND) {
        bool gone = false;
        err = profile_is_gone(c->profile, c->account.name, &a.target, &gone);
        if (err == 0 && !gone)
            err = profile_pending_put(c->profile, c->account.name, from, &a);
        return err;
    }
    return err == 0 && (f.outgoing || strcmp(f.peer, from) != 0) ? PEAL_E_REFUSED : err;
}

int amend_arrived(struct client *c, const char *from, const struct peal_msg_id *id)
{
    bool changed; /* whoever adds it shows it as it is afterwards */
    return profile_pending_apply(c->profile, c->account.name, from, id, &changed);
}

/* ---- the commands -------------------------------------------------------------------- */

/* One's own message that can be changed; on an error the call has been answered. */
static int own_message(struct client_call *call, struct peal_msg_id *id, struct found *f)
{
    struct client *c = call->c;
    const char *why = NULL;
    if (call_message(call, "id", id) != 0 || call_may_write(call) != 0)
        return PEAL_E_USAGE;
    int err = profile_message(c->profile, c->account.name, id, note_found, f);
    if (err != 0) {
        call_fail(call, err, "the history cannot be read", err_prose(err));
        return err;
    }
    if (!f->outgoing)
        why = "only its author can change a message";
    else if (f->deleted)
        why = "this message is deleted";
    else if (f->state == MSG_FAILED)
        why = "this message was never sent";
    if (why == NULL)
        return 0;
    call_fail(call, PEAL_E_REFUSED, why, "nothing was changed");
    return PEAL_E_REFUSED;
}

/* Within a transaction. *unsent: nobody has seen the message, and nobody will. */
static int keep(struct client *c, const struct contact *to, const struct found *f,
                const struct content *content, const struct amendment *a, bool *unsent)
{
    const char *me = c->account.name;
    bool done = false;
    int err = profile_amend(c->profile, me, f->peer, true, a, &done);
    if (err == 0 && a->deletes)
        err = profile_outbox_take_back(c->profile, me, &a->target, unsent);
    if (err == 0 && *unsent)
        return message_advance(c, &a->target, f->peer, MSG_FAILED, &done);
    return err == 0 ? outbox_content(c, to, f->peer, &a->id, content, &a->target) : err;
}

static void amend(struct client_call *call, enum content_kind kind, struct peal_bytes text)
{
    struct client *c = call->c;
    struct amendment a = {.deletes = kind == CONTENT_DELETE, .text = text};
    struct found f;
    struct contact *to;
    uint64_t wait;
    bool unsent = false;
    if (call_number(call, "wait", 0, CLIENT_SEND_WAIT_MAX_MS, &wait) != 0 ||
        own_message(call, &a.target, &f) != 0 || call_recipient(call, f.peer, &to) != 0)
        return;
    a.stamp = client_stamp(c);
    if (a.stamp <= f.edit_stamp)
        a.stamp = f.edit_stamp + 1; /* the wall clock was put back between two runs */
    a.at_ms = clk_ms(a.stamp);
    client_msg_id(a.stamp, &a.id);
    struct content content = {.kind = kind, .stamp = a.stamp, .target = a.target, .text = text};
    int err = profile_begin(c->profile);
    if (err == 0) {
        err = keep(c, to, &f, &content, &a, &unsent);
        if (err == 0)
            err = profile_commit(c->profile);
        else
            profile_rollback(c->profile);
    }
    if (err != 0) {
        call_fail(call, err, "the change cannot be kept, so nothing was changed", err_prose(err));
        return;
    }
    call->about = a.target;
    client_emit(c, "changed", message_json(c, &a.target));
    if (unsent) {
        message_advanced(c, &a.target, f.peer, MSG_FAILED);
        char hex[2 * MSG_ID_BYTES + 1];
        peal_hex(a.target.b, sizeof a.target.b, hex);
        call_reply(call, json_pack("{s:s,s:s,s:s}", "id", hex, "to", f.peer, "state",
                                   msg_state_name(MSG_FAILED)));
        return;
    }
    call->amending = true;
    call->sent_id = a.id;
    outbox_go(call, to, f.peer, wait);
}

void cmd_edit(struct client_call *call)
{
    struct peal_bytes text;
    if (call_account(call) == 0 && call_text(call, &text) == 0)
        amend(call, CONTENT_EDIT, text);
}

void cmd_unsend(struct client_call *call)
{
    amend(call, CONTENT_DELETE, peal_bytes_of(NULL, 0));
}
