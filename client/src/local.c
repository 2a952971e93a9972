/* Commands that the other side does not hear of. */
#include <stdio.h>

#include "core.h"

/* ---- unread -------------------------------------------------------------------------- */

struct counts {
    json_t *list;
    bool failed;
};

static void add_count(void *user, const char *peer, uint64_t n)
{
    struct counts *counts = user;
    json_t *line = json_pack("{s:s,s:I}", "name", peer, "unread", (json_int_t)n);
    if (json_array_append_new(counts->list, line) != 0)
        counts->failed = true;
}

void cmd_unread(struct client_call *call)
{
    struct client *c = call->c;
    uint64_t total = 0;
    if (call_account(call) != 0)
        return;
    struct counts counts = {.list = json_array()};
    int err = profile_unread_counts(c->profile, c->account.name, CLIENT_CONVERSATIONS_MAX,
                                    add_count, &counts);
    if (err == 0)
        err = profile_unread_count(c->profile, c->account.name, &total);
    if (err == 0 && (counts.failed || counts.list == NULL))
        err = PEAL_E_NO_MEMORY;
    if (err != 0) {
        json_decref(counts.list);
        call_fail(call, err, "the history cannot be read", err_prose(err));
        return;
    }
    call_reply(call,
               json_pack("{s:I,s:o}", "total", (json_int_t)total, "conversations", counts.list));
}

/* ---- forget -------------------------------------------------------------------------- */

/* A message that is named twice is forgotten once. */
static int forget_ids(struct client *c, const struct peal_msg_id ids[], size_t n, uint64_t *done)
{
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        err = profile_forget(c->profile, c->account.name, &ids[i], net_wall_ms());
        *done += err == 0;
        if (err == PEAL_E_NOT_FOUND)
            err = 0;
    }
    return err;
}

static json_t *ids_json(const struct peal_msg_id ids[], size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        char hex[2 * MSG_ID_BYTES + 1];
        peal_hex(ids[i].b, sizeof ids[i].b, hex);
        json_array_append_new(list, json_string(hex));
    }
    return list;
}

void cmd_forget(struct client_call *call)
{
    struct client *c = call->c;
    struct peal_msg_id ids[CALL_IDS_MAX];
    char name[NAME_BYTES_MAX + 1];
    size_t n = 0;
    uint64_t done = 0;
    bool listed = json_object_get(call->args, "ids") != NULL;
    if (call_account(call) != 0 ||
        (listed ? call_messages(call, ids, &n) : call_name(call, "name", name)) != 0)
        return;
    int err = profile_begin(c->profile);
    if (err == 0) {
        err = listed ? forget_ids(c, ids, n, &done)
                     : profile_forget_peer(c->profile, c->account.name, name, net_wall_ms(), &done);
        if (err == 0)
            err = profile_commit(c->profile);
        else
            profile_rollback(c->profile);
    }
    if (err != 0) {
        call_fail(call, err, "nothing could be forgotten", err_prose(err));
        return;
    }
    client_emit(c, "forgotten",
                listed ? json_pack("{s:o}", "ids", ids_json(ids, n))
                       : json_pack("{s:s}", "name", name));
    call_reply(call, json_pack("{s:I}", "count", (json_int_t)done));
}

/* ---- drafts -------------------------------------------------------------------------- */

struct draft {
    json_t *text;
    uint64_t at_ms;
};

static void note_draft(void *user, struct peal_bytes text, uint64_t at_ms)
{
    struct draft *d = user;
    d->text = json_stringn((const char *)text.p, text.n);
    d->at_ms = at_ms;
}

int draft_add(const struct client *c, const char *name, json_t *line)
{
    struct draft d = {.text = NULL};
    int err = profile_draft(c->profile, c->account.name, name, note_draft, &d);
    if (err != 0)
        return err == PEAL_E_NOT_FOUND ? 0 : err;
    return json_object_set_new(line, "draft", d.text) == 0 ? 0 : PEAL_E_NO_MEMORY;
}

/* What is kept, as the answer. */
static void draft_told(struct client_call *call, const char *name)
{
    struct client *c = call->c;
    struct draft d = {.text = NULL};
    int err = profile_draft(c->profile, c->account.name, name, note_draft, &d);
    if (err == 0 || err == PEAL_E_NOT_FOUND)
        call_reply(call,
                   json_pack("{s:s,s:o,s:I}", "name", name, "text",
                             err == 0 ? d.text : json_string(""), "saved_at", (json_int_t)d.at_ms));
    else
        call_fail(call, err, "the draft cannot be read", err_prose(err));
}

void cmd_draft(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    json_t *given = json_object_get(call->args, "text");
    struct peal_bytes text = peal_bytes_of(NULL, 0);
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    if (given == NULL || json_is_null(given)) {
        draft_told(call, name);
        return;
    }
    bool removes = json_is_string(given) && json_string_length(given) == 0;
    if (!removes && call_text(call, &text) != 0)
        return;
    int err = profile_draft_set(c->profile, c->account.name, name, text, net_wall_ms());
    if (err == PEAL_E_QUOTA)
        call_fail(call, err, "there are too many drafts", "send or remove some first");
    else if (err != 0)
        call_fail(call, err, "the draft cannot be kept", err_prose(err));
    else
        draft_told(call, name);
}
