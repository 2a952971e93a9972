#include <stdio.h>
#include <string.h>

#include "queries.h"

/* ---- whoami -------------------------------------------------------------------------- */

json_t *whoami_json(const struct client *c)
{
    char fp[CRY_FP_TEXT] = "";
    const uint8_t *pin = reach_pin(c->reach);
    bool in = c->session != SESSION_NOBODY && c->session != SESSION_OUTSIDE;
    bool up = reach_is_up(c->reach);
    bool some = c->session != SESSION_NOBODY;
    const char *session = in ? "here" : some ? "elsewhere" : "none";
    if (pin != NULL)
        cry_fp_text(pin, fp);
    return json_pack("{s:o,s:s,s:o,s:s,s:o,s:b,s:s,s:s}", "name",
                     in ? json_string(c->account.name) : json_null(), "display",
                     in ? c->account.display : "", "account",
                     some ? json_string(c->account.name) : json_null(), "session", session,
                     "server", up ? json_string(reach_address(c->reach)) : json_null(), "connected",
                     (int)up, "reason", up ? "" : client_why_away(c), "fingerprint", fp);
}

static void whoami_now(struct client_call *call)
{
    call_reply(call, whoami_json(call->c));
}

static bool is_introduced(const struct client *c)
{
    return reach_is_up(c->reach) && c->session != SESSION_RESUMING && c->session != SESSION_AWAY;
}

void cmd_whoami(struct client_call *call)
{
    uint64_t wait;
    if (call_number(call, "wait", 0, CLIENT_SEND_WAIT_MAX_MS, &wait) != 0)
        return;
    if (wait == 0 || is_introduced(call->c)) {
        whoami_now(call);
        return;
    }
    call->greeting = true;
    call_wait(call, wait, whoami_now);
}

void calls_link_changed(struct client *c)
{
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over && call->greeting && is_introduced(c))
            whoami_now(call);
        else if (!call->over && call->leaving)
            account_logout(call);
        else if (!call->over && call->sending)
            send_link_changed(call);
    }
    recv_wake(c);
}

/* ---- history ------------------------------------------------------------------------- */

struct page {
    struct client *c;
    json_t *messages;
    bool failed;
};

static void add_message(void *user, const struct entry *e)
{
    struct page *page = user;
    if (json_array_append_new(page->messages, entry_json(page->c, e)) != 0)
        page->failed = true;
}

int call_before(struct client_call *call, uint64_t *stamp, struct peal_msg_id *id, bool *has_id)
{
    json_t *before = json_object_get(call->args, "before");
    *stamp = INT64_MAX;
    *has_id = false;
    if (before == NULL || json_is_null(before))
        return 0;
    if (json_is_integer(before) && json_integer_value(before) >= 0) {
        uint64_t ms = (uint64_t)json_integer_value(before);
        *stamp = ms < (1ull << 47) ? ms << 16 : INT64_MAX;
        return 0;
    }
    const char *text = json_string_value(before);
    int err = text != NULL ? peal_unhex(text, MSG_ID_BYTES, id->b) : PEAL_E_USAGE;
    if (err == 0)
        err = profile_stamp_of(call->c->profile, call->c->account.name, id, stamp);
    *has_id = err == 0;
    if (err != 0)
        call_fail(call, err == PEAL_E_NOT_FOUND ? err : PEAL_E_USAGE, "`before` names no message",
                  "give a message's id, or a time in milliseconds");
    return err;
}

void cmd_history(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    uint64_t limit;
    uint64_t stamp;
    struct peal_msg_id id;
    bool has_id;
    if (call_account(call) != 0 || call_name(call, "name", name) != 0 ||
        call_number(call, "limit", 50, CLIENT_PAGE_MAX, &limit) != 0 ||
        call_before(call, &stamp, &id, &has_id) != 0)
        return;
    struct page page = {.c = c, .messages = json_array()};
    /* one more than asked for tells whether there are more */
    int err = profile_history(c->profile, c->account.name, name, stamp, has_id ? &id : NULL,
                              (uint32_t)limit + 1, add_message, &page);
    if (err == 0 && (page.failed || page.messages == NULL))
        err = PEAL_E_NO_MEMORY;
    if (err != 0) {
        json_decref(page.messages);
        call_fail(call, err, "the history cannot be read", err_prose(err));
        return;
    }
    bool more = json_array_size(page.messages) > limit;
    if (more)
        json_array_remove(page.messages, 0);
    call_reply(call, json_pack("{s:o,s:b}", "messages", page.messages, "more", (int)more));
}

/* ---- others -------------------------------------------------------------------------- */

static void status_found(struct client_call *call, const struct answer *answer)
{
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    const struct wire_c_user *user = answer->msg;
    char name[NAME_BYTES_MAX + 1];
    struct key_flags key = {.changed = false};
    if (peal_bytes_to_str(user->name, sizeof name, name) == 0)
        key = key_flags(call->c, name);
    call_reply(call,
               json_pack("{s:s%,s:b,s:I,s:b,s:b}", "name", (const char *)user->name.p, user->name.n,
                         "online", (int)user->online, "last_seen", (json_int_t)user->last_seen,
                         "changed", (int)key.changed, "verified", (int)key.verified));
}

void cmd_status(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    if (call_name(call, "name", name) != 0)
        return;
    int err = contact_find(call->c, name);
    if (err != 0) {
        call_fail(call, err, "too many requests at once", "try again in a moment");
        return;
    }
    (void)snprintf(call->finding, sizeof call->finding, "%s", name);
    call->found = status_found;
}

struct overview {
    struct client *c;
    json_t *list;
    bool failed;
};

static void add_conversation(void *user, const struct entry *last, uint64_t unread)
{
    struct overview *o = user;
    const struct presence *p = presence_get(o->c, last->peer);
    struct key_flags key = key_flags(o->c, last->peer);
    json_t *line = json_pack(
        "{s:s,s:b,s:I,s:I,s:b,s:b,s:o}", "name", last->peer, "online", p != NULL && p->online,
        "last_seen", (json_int_t)(p != NULL ? p->last_seen : 0), "unread", (json_int_t)unread,
        "changed", (int)key.changed, "verified", (int)key.verified, "last", entry_json(o->c, last));
    if (line != NULL)
        o->failed |=
            draft_add(o->c, last->peer, line) != 0 || vanish_add(o->c, last->peer, line) != 0;
    if (json_array_append_new(o->list, line) != 0)
        o->failed = true;
}

void cmd_conversations(struct client_call *call)
{
    struct client *c = call->c;
    if (call_account(call) != 0)
        return;
    struct overview o = {.c = c, .list = json_array()};
    int err = profile_conversations(c->profile, c->account.name, CLIENT_CONVERSATIONS_MAX,
                                    add_conversation, &o);
    if (err == 0 && (o.failed || o.list == NULL))
        err = PEAL_E_NO_MEMORY;
    if (err != 0) {
        json_decref(o.list);
        call_fail(call, err, "the history cannot be read", err_prose(err));
        return;
    }
    call_reply(call, json_pack("{s:o}", "conversations", o.list));
}

void cmd_watch(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1] = "";
    if (call_account(call) != 0)
        return;
    if (!json_is_null(json_object_get(call->args, "name")) && call_name(call, "name", name) != 0)
        return;
    (void)snprintf(c->watched, sizeof c->watched, "%s", name);
    presence_watch(c);
    call_reply(call, json_object());
}

/* ---- the ring ------------------------------------------------------------------------ */

static const char *node_state_name(uint8_t state)
{
    static const char *const names[] = {[WIRE_NODE_DOWN] = "down",
                                        [WIRE_NODE_UP] = "up",
                                        [WIRE_NODE_JOINING] = "joining",
                                        [WIRE_NODE_LEAVING] = "leaving",
                                        [WIRE_NODE_UNWELL] = "unwell"};
    return state < PEAL_COUNT(names) ? names[state] : "unknown";
}

static json_t *node_json(const struct wire_node *node)
{
    char id[ID_HEX];
    char next[ID_HEX];
    char before[ID_HEX];
    id_hex(&node->id, id);
    id_hex(&node->successor, next);
    id_hex(&node->predecessor, before);
    return json_pack("{s:s,s:s%,s:I,s:s,s:s,s:s,s:I,s:I,s:s%}", "id", id, "address",
                     node->address.n != 0 ? (const char *)node->address.p : "", node->address.n,
                     "incarnation", (json_int_t)node->incarnation, "state",
                     node_state_name(node->state), "successor", next, "predecessor", before,
                     "clients", (json_int_t)node->clients, "rows", (json_int_t)node->rows, "domain",
                     node->domain.n != 0 ? (const char *)node->domain.p : "", node->domain.n);
}

static int send_ring(struct ask *a)
{
    struct wire_c_ring_get msg = {.req = a->req, .observe = false};
    return reach_send(a->c->reach, WIRE_c_ring_get, &msg);
}

static void ring_answered(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    call->ask = NULL;
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    const struct wire_c_ring *ring = answer->msg;
    char coordinator[ID_HEX];
    id_hex(&ring->coordinator, coordinator);
    size_t up = 0;
    json_t *nodes = json_array();
    for (size_t i = 0; i < ring->nodes.n; i++) {
        up += ring->nodes.v[i].state == WIRE_NODE_UP;
        json_array_append_new(nodes, node_json(&ring->nodes.v[i]));
    }
    call_reply(call,
               json_pack("{s:b,s:I,s:I,s:I,s:s,s:o}", "whole", (int)ring->whole, "size",
                         (json_int_t)ring->nodes.n, "up", (json_int_t)up, "epoch",
                         (json_int_t)ring->epoch, "coordinator", coordinator, "nodes", nodes));
}

void cmd_ring(struct client_call *call)
{
    call->ask = ask_new(call->c, WIRE_c_ring, send_ring, ring_answered, call);
    if (call->ask == NULL)
        call_fail(call, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
}

static int send_lookup(struct ask *a)
{
    struct wire_c_lookup msg = {.req = a->req, .name = peal_bytes_str(a->name)};
    return reach_send(a->c->reach, WIRE_c_lookup, &msg);
}

static void lookup_answered(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    call->ask = NULL;
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    const struct wire_c_path *found = answer->msg;
    char key[ID_HEX];
    char owner[ID_HEX];
    char id[ID_HEX];
    if (found->path.n == 0) {
        call_fail(call, PEAL_E_MALFORMED, "the server gave an answer without a path",
                  "update the older of client and server");
        return;
    }
    id_hex(&found->key, key);
    id_hex(&found->owner, owner);
    json_t *path = json_array();
    for (size_t i = 0; i < found->path.n; i++) {
        id_hex(&found->path.v[i], id);
        json_array_append_new(path, json_string(id));
    }
    call_reply(call, json_pack("{s:s,s:s,s:o,s:I,s:I}", "key", key, "owner", owner, "path", path,
                               "hops", (json_int_t)(found->path.n - 1), "microseconds",
                               (json_int_t)found->micros));
}

void cmd_lookup(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    if (call_name(call, "name", name) != 0)
        return;
    call->ask = ask_new(call->c, WIRE_c_path, send_lookup, lookup_answered, call);
    if (call->ask == NULL) {
        call_fail(call, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
        return;
    }
    (void)snprintf(call->ask->name, sizeof call->ask->name, "%s", name);
}

static int send_remove(struct ask *a)
{
    const struct client_call *call = a->user;
    const struct removal *r = &call->removal;
    struct wire_c_remove msg = {.req = a->req,
                                .epoch = r->epoch,
                                .id = r->id,
                                .proof = peal_bytes_of(r->proof, sizeof r->proof)};
    return reach_send(a->c->reach, WIRE_c_remove, &msg);
}

static void remove_answered(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    char id[ID_HEX];
    call->ask = NULL;
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    id_hex(&call->removal.id, id);
    call_reply(call, json_pack("{s:s}", "removed", id));
}

void cmd_remove(struct client_call *call)
{
    struct removal *r = &call->removal;
    const char *id = json_string_value(json_object_get(call->args, "id"));
    const char *proof = json_string_value(json_object_get(call->args, "proof"));
    if (call_number(call, "epoch", 0, INT64_MAX, &r->epoch) != 0)
        return;
    if (id == NULL || peal_unhex(id, ID_BYTES, r->id.b) != 0 || proof == NULL ||
        peal_unhex(proof, sizeof r->proof, r->proof) != 0) {
        call_fail(call, PEAL_E_USAGE, "`id` or `proof` is not of its form",
                  "both are hexadecimal: 40 digits, and 128");
        return;
    }
    call->ask = ask_new(call->c, WIRE_c_ok, send_remove, remove_answered, call);
    if (call->ask == NULL)
        call_fail(call, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
}
