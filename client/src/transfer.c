/* A conversation out of a profile, and into another one. */
#include <stdio.h>
#include <string.h>

#include "core.h"

enum { STAMP_DIGITS = 16 };

/* ---- export -------------------------------------------------------------------------- */

struct page {
    struct client *c;
    json_t *messages;
    size_t limit, bytes;
    bool more, failed;
};

static bool add_message(void *user, const struct entry *e)
{
    struct page *page = user;
    char stamp[STAMP_DIGITS + 1];
    if (json_array_size(page->messages) == page->limit || page->bytes >= CLIENT_EXPORT_BYTES) {
        page->more = true;
        return false;
    }
    (void)snprintf(stamp, sizeof stamp, "%016llx", (unsigned long long)e->stamp);
    json_t *m = entry_json(page->c, e);
    page->failed = m == NULL || json_object_set_new(m, "stamp", json_string(stamp)) != 0 ||
                   json_object_del(m, "unread") != 0 || json_array_append(page->messages, m) != 0;
    page->bytes += e->text.n;
    json_decref(m);
    return !page->failed;
}

void cmd_export(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    struct peal_msg_id id = {{0}};
    uint64_t stamp = 0;
    uint64_t limit;
    json_t *after = json_object_get(call->args, "after");
    if (call_account(call) != 0 || call_name(call, "name", name) != 0 ||
        call_number(call, "limit", CLIENT_PAGE_MAX, CLIENT_PAGE_MAX, &limit) != 0)
        return;
    if (after != NULL && !json_is_null(after)) {
        if (call_message(call, "after", &id) != 0)
            return;
        int bad = profile_stamp_of(c->profile, c->account.name, &id, &stamp);
        if (bad != 0) {
            call_fail(call, bad, "the history cannot be read", err_prose(bad));
            return;
        }
    }
    struct page page = {.c = c, .messages = json_array(), .limit = limit > 0 ? (size_t)limit : 1};
    int err = profile_forwards(c->profile, c->account.name, name, stamp, &id, add_message, &page);
    if (err == 0 && (page.failed || page.messages == NULL))
        err = PEAL_E_NO_MEMORY;
    if (err != 0) {
        json_decref(page.messages);
        call_fail(call, err, "the history cannot be read", err_prose(err));
        return;
    }
    call_reply(call, json_pack("{s:o,s:b}", "messages", page.messages, "more", (int)page.more));
}

/* ---- import -------------------------------------------------------------------------- */

static bool read_hex_id(json_t *m, const char *key, struct peal_msg_id *out)
{
    json_t *text = json_object_get(m, key);
    return json_string_length(text) == (size_t)2 * MSG_ID_BYTES &&
           peal_unhex(json_string_value(text), sizeof out->b, out->b) == 0;
}

/* A time in milliseconds; not there: 0. */
static bool read_ms(json_t *m, const char *key, uint64_t *out)
{
    json_t *value = json_object_get(m, key);
    json_int_t ms = json_integer_value(value);
    *out = (uint64_t)ms;
    return value == NULL || (json_is_integer(value) && ms > 0 && ms < (json_int_t)1 << 47);
}

/* Without a stamp, from the time. One that lies too far ahead would draw this client's clock along.
 */
static bool read_stamp(struct client *c, json_t *m, uint64_t *out)
{
    json_t *text = json_object_get(m, "stamp");
    uint8_t bytes[STAMP_DIGITS / 2];
    struct rd r;
    if (!read_ms(m, "sent_at", out))
        return false;
    *out <<= 16;
    if (text != NULL) {
        if (json_string_length(text) != STAMP_DIGITS ||
            peal_unhex(json_string_value(text), sizeof bytes, bytes) != 0)
            return false;
        rd_init(&r, bytes, sizeof bytes);
        *out = rd_u64(&r);
    }
    return *out <= INT64_MAX && clk_seen(&c->clock, *out, net_wall_ms()) == 0;
}

/* What is not known, or was on its way, is not going to be sent from here. */
static int read_state(const char *name, bool outgoing)
{
    static const int ours[] = {MSG_STORED, MSG_DELIVERED, MSG_READ, MSG_EXPIRED};
    if (!outgoing)
        return name != NULL && strcmp(name, msg_state_name(MSG_UNREADABLE)) == 0 ? MSG_UNREADABLE
                                                                                 : MSG_READ;
    for (size_t i = 0; i < PEAL_COUNT(ours); i++) {
        if (name != NULL && strcmp(name, msg_state_name(ours[i])) == 0)
            return ours[i];
    }
    return MSG_FAILED;
}

static bool is_name(json_t *m, const char *key, const char *name)
{
    const char *text = json_string_value(json_object_get(m, key));
    return text != NULL && strcmp(text, name) == 0;
}

static bool read_message(struct client *c, json_t *m, const char *peer, struct entry *e)
{
    json_t *text = json_object_get(m, "text");
    bool from = is_name(m, "from", peer);
    *e = (struct entry){.peer = peer, .outgoing = !from, .imported = true};
    e->text = peal_bytes_of(json_string_value(text), json_string_length(text));
    e->state = read_state(json_string_value(json_object_get(m, "state")), e->outgoing);
    e->replies = json_object_get(m, "reply_to") != NULL;
    bool ok = json_is_object(m) && from != is_name(m, "to", peer) && json_is_string(text) &&
              e->text.n <= CLIENT_TEXT_MAX && peal_utf8_valid(e->text) &&
              read_hex_id(m, "id", &e->id) && read_stamp(c, m, &e->stamp) &&
              (!e->replies || read_hex_id(m, "reply_to", &e->reply_to)) &&
              read_ms(m, "edited_at", &e->edited_ms) && read_ms(m, "deleted_at", &e->deleted_ms);
    e->edit_stamp = e->edited_ms << 16;
    return ok && (e->deleted_ms != 0) == (e->text.n == 0);
}

/* *bad: the first message that is not of its form (PEAL_E_MALFORMED). */
static int import_all(struct client *c, const char *name, json_t *messages, json_int_t *added,
                      size_t *bad)
{
    size_t i;
    json_t *m;
    json_array_foreach(messages, i, m)
    {
        struct entry e;
        *bad = i;
        if (!read_message(c, m, name, &e))
            return PEAL_E_MALFORMED;
        int err = profile_import(c->profile, c->account.name, &e);
        if (err != 0 && err != PEAL_E_EXISTS)
            return err;
        *added += err == 0;
    }
    return 0;
}

void cmd_import(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    char why[CLIENT_WHY_MAX];
    json_t *messages = json_object_get(call->args, "messages");
    json_int_t added = 0;
    size_t bad = 0;
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    if (!json_is_array(messages) || json_array_size(messages) > CLIENT_PAGE_MAX ||
        strcmp(name, c->account.name) == 0) {
        call_fail(call, PEAL_E_USAGE, "`messages` is no list of messages with somebody else",
                  "give at most 500, as export gives them");
        return;
    }
    int err = profile_begin(c->profile);
    if (err == 0) {
        err = import_all(c, name, messages, &added, &bad);
        if (err == 0)
            err = profile_commit(c->profile);
        else
            profile_rollback(c->profile);
    }
    if (err == 0) {
        client_emit(c, "imported", json_pack("{s:s}", "name", name));
        call_reply(call, json_pack("{s:I,s:I}", "added", added, "passed",
                                   (json_int_t)json_array_size(messages) - added));
    } else if (err == PEAL_E_MALFORMED) {
        (void)snprintf(why, sizeof why, "message %zu of the list is none with %s", bad + 1, name);
        call_fail(call, err, why, "nothing of the list was imported");
    } else {
        call_fail(call, err, "nothing could be imported", err_prose(err));
    }
}
