/* The outbox: sealed once, on the disk before they go out, repeated under the same id until the
 * ring has them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

/* ---- states -------------------------------------------------------------------------- */

/* What the server last said of what must be known before anything goes to the peer: whether the
 * session is still this client's, and their keys; "": nothing. */
static const char *why_not_yet(const struct client *c, const char *peer)
{
    for (const struct ask *a = c->asks; a != NULL; a = a->next) {
        if (a->why[0] != '\0' &&
            (a->wants == WIRE_c_session || (a->wants == WIRE_c_user && strcmp(a->name, peer) == 0)))
            return a->why;
    }
    return "";
}

static const char *why_queued(struct client *c, const char *peer)
{
    if (!reach_is_up(c->reach))
        return client_why_away(c);
    if (c->session == SESSION_OUTSIDE)
        return "the account is in use elsewhere";
    if (contact_is_changed(c, peer))
        return "their key has changed";
    const char *full = full_why(c, peer);
    if (full != NULL)
        return full;
    return c->unsent[0] != '\0' ? c->unsent : why_not_yet(c, peer);
}

/* `queued` says why: it is the one state that somebody may have to do something about. */
static json_t *sent_json(const struct client_call *call, const char *peer, int state)
{
    struct client *c = call->c;
    char id[2 * MSG_ID_BYTES + 1];
    peal_hex(call->about.b, sizeof call->about.b, id);
    json_t *sent = json_pack("{s:s,s:s,s:s}", "id", id, "to", peer, "state", msg_state_name(state));
    if (sent != NULL && state == MSG_QUEUED &&
        (json_object_set_new(sent, "connected", json_boolean(reach_is_up(c->reach))) != 0 ||
         json_object_set_new(sent, "reason", json_string(why_queued(c, peer))) != 0)) {
        json_decref(sent);
        return NULL;
    }
    return sent;
}

/* The ring takes nothing at the moment; said once, until it takes something again. */
static void note_unsent(struct client *c, int err, const char *why)
{
    if (strcmp(c->unsent, why) == 0)
        return;
    (void)snprintf(c->unsent, sizeof c->unsent, "%s", why);
    client_trouble(c, err, why, "the message stays queued and is tried again by itself");
}

/* Who waits for it hears it. */
static void tell_sent(struct client *c, const struct peal_msg_id *id, const char *peer, int state)
{
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over && call->sending && msg_id_eq(&call->sent_id, id))
            call_reply(call, sent_json(call, peer, state));
    }
}

void message_advanced(struct client *c, const struct peal_msg_id *id, const char *peer, int state)
{
    char hex[2 * MSG_ID_BYTES + 1];
    peal_hex(id->b, sizeof id->b, hex);
    client_emit(
        c, "state",
        json_pack("{s:s,s:s,s:s}", "id", hex, "peer", peer, "state", msg_state_name(state)));
    tell_sent(c, id, peer, state);
}

int message_advance(struct client *c, const struct peal_msg_id *id, const char *peer, int state,
                    bool *done)
{
    int err = profile_message_advance(c->profile, c->account.name, id, peer, state, done);
    bool taken = state == MSG_STORED || state == MSG_DELIVERED || state == MSG_READ;
    return err == 0 && *done && taken ? vanish_begin(c, id) : err;
}

/* ---- flights ------------------------------------------------------------------------- */

static struct flight *flight_of(struct client *c, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < c->flight_count; i++) {
        if (msg_id_eq(&c->flights[i].id, id))
            return &c->flights[i];
    }
    return NULL;
}

static void land(struct client *c, struct flight *f)
{
    if (f->kind == WIRE_ROW_MESSAGE)
        full_landed(c, f->peer);
    *f = c->flights[--c->flight_count];
}

static bool launch(void *user, const struct outrow *row)
{
    struct client *c = user;
    bool goes = row->kind != WIRE_ROW_MESSAGE ||
                (!contact_is_changed(c, row->peer) && full_lets(c, row->peer));
    if (flight_of(c, &row->id) == NULL && goes) {
        struct wire_c_send msg = {
            .id = row->id, .name = peal_bytes_str(row->peer), .kind = row->kind, .body = row->body};
        if (reach_send(c->reach, WIRE_c_send, &msg) != 0)
            return false; /* the link is going: the next session begins anew */
        struct flight *f = &c->flights[c->flight_count++];
        *f = (struct flight){
            .id = row->id, .kind = row->kind, .amends = row->amends, .sent_us = net_now_us()};
        (void)snprintf(f->peer, sizeof f->peer, "%s", row->peer);
    }
    c->cursor = row->seq;
    return c->flight_count < CLIENT_FLIGHTS_MAX;
}

void outbox_pump(struct client *c)
{
    if (c->session != SESSION_ACTIVE || c->flight_count == CLIENT_FLIGHTS_MAX)
        return;
    int err = profile_outbox(c->profile, c->account.name, c->cursor, launch, c);
    if (err != 0)
        client_trouble(c, err, "the outbox cannot be read", err_prose(err));
    client_arm(c);
}

void outbox_link_down(struct client *c)
{
    c->flight_count = 0;
    c->cursor = 0;
    full_link_down(c);
    c->retry_us = CLIENT_NEVER;
    c->retry_pause_us = RETRY_FIRST_US;
}

uint64_t outbox_due(const struct client *c)
{
    uint64_t due = c->retry_us;
    if (c->session == SESSION_ACTIVE && c->flight_count < CLIENT_FLIGHTS_MAX && full_due(c) < due)
        due = full_due(c);
    for (size_t i = 0; i < c->flight_count; i++) {
        if (c->flights[i].sent_us + FLIGHT_US < due)
            due = c->flights[i].sent_us + FLIGHT_US;
    }
    return due;
}

void outbox_tick(struct client *c, uint64_t now)
{
    bool full = now >= full_due(c) && c->session == SESSION_ACTIVE;
    bool again = now >= c->retry_us || full;
    for (size_t i = c->flight_count; i-- > 0;) {
        if (now < c->flights[i].sent_us + FLIGHT_US)
            continue;
        land(c, &c->flights[i]);
        again = true;
    }
    if (!again)
        return;
    c->retry_us = CLIENT_NEVER;
    c->cursor = 0;
    outbox_find_all(c);
    outbox_pump(c);
    if (full && c->flight_count < CLIENT_FLIGHTS_MAX && c->session == SESSION_ACTIVE)
        full_forget_due(c, now);
}

static void retry_later(struct client *c)
{
    if (c->retry_us != CLIENT_NEVER)
        return;
    c->retry_us = net_now_us() + c->retry_pause_us;
    c->retry_pause_us = 2 * c->retry_pause_us > RETRY_MAX_US ? RETRY_MAX_US : 2 * c->retry_pause_us;
}

/* ---- the server's answers ------------------------------------------------------------ */

void on_stored(struct client *c, const struct wire_c_stored *msg)
{
    struct flight landed[WIRE_ACK_MAX];
    size_t n = 0;
    bool room = false;
    int err = profile_begin(c->profile);
    for (size_t i = 0; i < msg->ids.n && err == 0; i++) {
        const struct peal_msg_id *id = &msg->ids.v[i];
        struct flight *f = flight_of(c, id);
        if (f == NULL)
            continue; /* given up and sent again, or nothing of ours */
        bool done = false;
        if (f->kind == WIRE_ROW_MESSAGE)
            err = message_advance(c, id, f->peer, MSG_STORED, &done);
        if (err == 0)
            err = profile_outbox_del(c->profile, c->account.name, id);
        if (err == 0 && (done || f->amends))
            landed[n++] = *f;
        if (f->kind == WIRE_ROW_MESSAGE)
            room = full_over(c, f->peer) || room;
        land(c, f);
        if (err != 0)
            profile_rollback(c->profile);
    }
    if (err == 0)
        err = profile_commit(c->profile);
    if (err != 0) {
        client_trouble(c, err, "what the ring has stored cannot be noted; it is sent again",
                       err_prose(err));
        retry_later(c);
        return;
    }
    c->retry_pause_us = RETRY_FIRST_US;
    c->unsent[0] = '\0';
    if (room)
        c->cursor = 0; /* what waited for it was passed by */
    for (size_t i = 0; i < n; i++) {
        if (landed[i].amends)
            tell_sent(c, &landed[i].id, landed[i].peer, MSG_STORED);
        else
            message_advanced(c, &landed[i].id, landed[i].peer, MSG_STORED);
    }
    outbox_pump(c);
    recv_wake(c);
}

/* Takes a message out of the outbox for good. */
static int give_up(struct client *c, const struct peal_msg_id *id, const char *peer, bool *done)
{
    int err = profile_begin(c->profile);
    if (err != 0)
        return err;
    err = message_advance(c, id, peer, MSG_FAILED, done);
    if (err == 0)
        err = profile_outbox_del(c->profile, c->account.name, id);
    if (err == 0)
        return profile_commit(c->profile);
    profile_rollback(c->profile);
    return err;
}

static bool is_final(int err)
{
    switch (err) {
    case PEAL_E_NOT_FOUND:
    case PEAL_E_REFUSED:
    case PEAL_E_TOO_LONG:
    case PEAL_E_MALFORMED:
    case PEAL_E_USAGE:
    case PEAL_E_VERSION:
        return true;
    default:
        return false;
    }
}

/* A message will not be sent: who waits for it gets the reason instead of the state; when nobody
 * does, everybody hears it. */
static void tell_failed(struct client *c, const struct peal_msg_id *id, const char *peer,
                        bool amends, int err, const char *why, const char *hint)
{
    bool heard = false;
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (call->over || !call->sending || !msg_id_eq(&call->sent_id, id))
            continue;
        call_fail(call, err, why, hint);
        heard = true;
    }
    if (!heard)
        client_trouble(c, err, why, hint);
    if (!amends)
        message_advanced(c, id, peer, MSG_FAILED);
}

static void tell_queued(struct client *c, const struct peal_msg_id *id, const char *peer,
                        const char *why)
{
    char hex[2 * MSG_ID_BYTES + 1];
    peal_hex(id->b, sizeof id->b, hex);
    client_emit(c, "state",
                json_pack("{s:s,s:s,s:s,s:s}", "id", hex, "peer", peer, "state",
                          msg_state_name(MSG_QUEUED), "reason", why));
}

/* It stays where it is, and so does what was written after it; who waits is told that much. */
static void refused_full(struct client *c, const struct flight *f, const char *why)
{
    full_note(c, f->peer, why);
    if (!f->amends)
        tell_queued(c, &f->id, f->peer, why);
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over && call->sending && strcmp(call->sent_to, f->peer) == 0 &&
            flight_of(c, &call->sent_id) == NULL)
            call_reply(call, sent_json(call, f->peer, MSG_QUEUED));
    }
    outbox_pump(c);
    recv_wake(c);
}

void on_unsent(struct client *c, const struct wire_c_unsent *msg)
{
    struct flight *found = flight_of(c, &msg->id);
    if (found == NULL)
        return;
    struct flight f = *found;
    land(c, found);
    int code = -(int)msg->code;
    char why[WIRE_TEXT_MAX + 1];
    if (peal_bytes_to_str(msg->message, sizeof why, why) != 0 || why[0] == '\0')
        (void)snprintf(why, sizeof why, "%s", err_prose(code));
    if (code == PEAL_E_QUOTA && f.kind == WIRE_ROW_MESSAGE) {
        refused_full(c, &f, why);
        return;
    }
    if (!is_final(code)) {
        note_unsent(c, code, why);
        retry_later(c);
        return;
    }
    bool done = false;
    int err = give_up(c, &f.id, f.peer, &done);
    if (err != 0) {
        client_trouble(c, err, "a refusal cannot be noted", err_prose(err));
        retry_later(c);
        return;
    }
    if (f.amends)
        tell_failed(c, &f.id, f.peer, true, code, why, "the other side does not see the change");
    else if (done)
        tell_failed(c, &f.id, f.peer, false, code, why,
                    "the message stays in the history as failed");
    outbox_pump(c);
    recv_wake(c);
}

/* ---- sealing ------------------------------------------------------------------------- */

/* Puts the row into the outbox with its content sealed. */
static int seal(struct client *c, const struct contact *to, struct outrow row)
{
    size_t cap = cry_envelope_size(row.plain.n);
    size_t n;
    uint8_t *body = malloc(cap);
    if (body == NULL)
        return PEAL_E_NO_MEMORY;
    struct cry_context ctx = {
        .id = row.id, .from = peal_bytes_str(c->account.name), .to = peal_bytes_str(to->name)};
    int err = cry_envelope_seal(c->keys, to->keys, &ctx, row.plain, cap, body, &n);
    row.peer = to->name;
    row.plain = peal_bytes_of(NULL, 0);
    if (err == 0) {
        row.body = peal_bytes_of(body, n);
        err = profile_outbox_add(c->profile, c->account.name, &row);
    }
    free(body);
    return err;
}

int outbox_content(struct client *c, const struct contact *to, const char *peer,
                   const struct peal_msg_id *id, const struct content *content,
                   const struct peal_msg_id *target)
{
    size_t cap = CONTENT_HEAD + content->text.n;
    size_t n;
    uint8_t *plain = malloc(cap);
    struct outrow row = {
        .id = *id, .peer = peer, .kind = WIRE_ROW_MESSAGE, .amends = target != NULL};
    if (plain == NULL)
        return PEAL_E_NO_MEMORY;
    if (target != NULL)
        row.target = *target;
    int err = content_write(content, cap, plain, &n);
    row.plain = peal_bytes_of(plain, n);
    if (err == 0)
        err = to != NULL ? seal(c, to, row) : profile_outbox_add(c->profile, c->account.name, &row);
    cry_wipe(plain, cap);
    free(plain);
    return err;
}

int outbox_receipt(struct client *c, const char *to, int state, const struct peal_msg_id *ids,
                   size_t n)
{
    struct receipt r = {.state = (uint8_t)state, .n = n};
    uint8_t body[RECEIPT_MAX];
    size_t body_n;
    CHECK(n > 0 && n <= WIRE_ACK_MAX);
    if (state == MSG_READ && !c->account.settings.receipts)
        return 0;
    memcpy(r.ids, ids, n * sizeof ids[0]);
    struct cry_receipt signing = {.state = r.state,
                                  .by = peal_bytes_str(c->account.name),
                                  .to = peal_bytes_str(to),
                                  .ids = ids,
                                  .n = n};
    cry_receipt_sign(c->keys, &signing, r.sig);
    int err = receipt_write(&r, sizeof body, body, &body_n);
    if (err != 0)
        return err;
    struct outrow row = {.peer = to, .kind = WIRE_ROW_RECEIPT, .body = peal_bytes_of(body, body_n)};
    client_msg_id(client_stamp(c), &row.id);
    return profile_outbox_add(c->profile, c->account.name, &row);
}

/* ---- messages that were written before their recipient's keys were known ------------- */

struct unsealed {
    struct unsealed *next;
    struct outrow row; /* its content points to bytes */
    uint8_t bytes[];
};

struct unsealed_list {
    struct unsealed *first, **last;
    bool short_of_memory;
};

static void copy_unsealed(void *user, const struct outrow *row)
{
    struct unsealed_list *list = user;
    struct unsealed *u = malloc(sizeof *u + row->plain.n);
    if (u == NULL) {
        list->short_of_memory = true;
        return;
    }
    u->next = NULL;
    u->row = *row;
    u->row.peer = NULL; /* whoever asked knows it */
    if (row->plain.n != 0)
        memcpy(u->bytes, row->plain.p, row->plain.n);
    u->row.plain.p = u->bytes;
    *list->last = u;
    list->last = &u->next;
}

static void fail_one(struct client *c, const char *name, const struct outrow *row,
                     const struct answer *answer)
{
    bool done = false;
    int bad = give_up(c, &row->id, name, &done);
    if (bad != 0)
        client_trouble(c, bad, "a refusal cannot be noted", err_prose(bad));
    if (done || (bad == 0 && row->amends))
        tell_failed(c, &row->id, name, row->amends, answer->err, answer->message, answer->hint);
}

static void fail_unsealed(struct client *c, const char *name, const struct unsealed *u,
                          const struct answer *answer)
{
    for (; u != NULL; u = u->next)
        fail_one(c, name, &u->row, answer);
}

/* What there is to say about a key that is not the pinned one. */
enum { KEY_CHANGED_TEXT = NAME_BYTES_MAX + 64 };
static struct answer key_changed(const char *name, char text[static KEY_CHANGED_TEXT])
{
    (void)snprintf(text, KEY_CHANGED_TEXT, "the key of %s has changed: nothing is sent", name);
    return (struct answer){
        .err = PEAL_E_AUTH,
        .message = text,
        .hint = key_changed_hint,
    };
}

static bool is_awaited(const struct client *c, const struct peal_msg_id *id)
{
    for (const struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (!call->over && call->sending && msg_id_eq(&call->sent_id, id))
            return true;
    }
    return false;
}

/* Who waits for an answer gets one that is the end of it; what was left to us waits on. */
static void seal_none(struct client *c, const char *name, const struct unsealed *u)
{
    char text[KEY_CHANGED_TEXT];
    struct answer answer = key_changed(name, text);
    for (; u != NULL; u = u->next) {
        if (is_awaited(c, &u->row.id))
            fail_one(c, name, &u->row, &answer);
        else if (!u->row.amends)
            tell_queued(c, &u->row.id, name, text);
    }
}

static int seal_all(struct client *c, const char *name, const struct unsealed *u)
{
    struct contact *to;
    int err = contact_get(c, name, &to);
    if (err == 0 && to->changed) {
        seal_none(c, name, u);
        return 0;
    }
    if (err == 0)
        err = profile_begin(c->profile);
    if (err != 0)
        return err;
    for (; u != NULL && err == 0; u = u->next)
        err = seal(c, to, u->row);
    if (err == 0)
        return profile_commit(c->profile);
    profile_rollback(c->profile);
    return err;
}

void outbox_found(struct client *c, const char *name, const struct answer *answer)
{
    struct unsealed_list list = {.first = NULL};
    list.last = &list.first;
    int bad = profile_unsealed(c->profile, c->account.name, name, copy_unsealed, &list);
    if (bad == 0 && list.short_of_memory)
        bad = PEAL_E_NO_MEMORY;
    if (bad == 0 && list.first != NULL) {
        if (answer->err == 0) {
            bad = seal_all(c, name, list.first);
        } else if (is_final(answer->err)) {
            fail_unsealed(c, name, list.first, answer);
        } else {
            if (reach_is_up(c->reach))
                note_unsent(c, answer->err, answer->message);
            retry_later(c);
        }
    }
    if (bad != 0) {
        client_trouble(c, bad, "waiting messages cannot be sealed", err_prose(bad));
        retry_later(c);
    }
    while (list.first != NULL) {
        struct unsealed *u = list.first;
        list.first = u->next;
        free(u);
    }
    outbox_pump(c);
}

/* ---- what was sealed for a key that is not theirs any more --------------------------- */

enum { RENOUNCED_MAX = 64 }; /* at a time */

struct renounced {
    const char *name;
    struct peal_msg_id ids[RENOUNCED_MAX];
    bool amends[RENOUNCED_MAX];
    size_t n;
};

static bool note_renounced(void *user, const struct outrow *row)
{
    struct renounced *list = user;
    if (row->kind == WIRE_ROW_MESSAGE && strcmp(row->peer, list->name) == 0) {
        list->ids[list->n] = row->id;
        list->amends[list->n++] = row->amends;
    }
    return list->n < RENOUNCED_MAX;
}

int outbox_renounce(struct client *c, const char *name)
{
    struct renounced list = {.name = name};
    int err;
    do {
        list.n = 0;
        err = profile_outbox(c->profile, c->account.name, 0, note_renounced, &list);
        for (size_t i = 0; i < list.n && err == 0; i++) {
            bool done = false;
            err = give_up(c, &list.ids[i], name, &done);
            if (err == 0 && (done || list.amends[i]))
                tell_failed(c, &list.ids[i], name, list.amends[i], PEAL_E_STALE,
                            "a message was sealed for their former key",
                            "it stays in the history as failed: send it again");
        }
    } while (err == 0 && list.n > 0);
    return err;
}

static void find_one(void *user, const char *name)
{
    int err = contact_find(user, name);
    (void)err; /* too many at once: looked at again with the next session or retry */
}

void outbox_find_all(struct client *c)
{
    if (c->session != SESSION_ACTIVE)
        return;
    int err = profile_unsealed_names(c->profile, c->account.name, find_one, c);
    if (err != 0)
        client_trouble(c, err, "the outbox cannot be read", err_prose(err));
}

/* ---- the command --------------------------------------------------------------------- */

/* The answer is what is true now. */
static void send_over(struct client_call *call)
{
    struct client *c = call->c;
    int state = MSG_QUEUED;
    bool waits = true;
    int err = call->amending
                  ? profile_outbox_has(c->profile, c->account.name, &call->sent_id, &waits)
                  : profile_message_state(c->profile, c->account.name, &call->sent_id, &state);
    (void)err; /* then `queued`, which is true of what is on our disk */
    if (!waits)
        state = MSG_STORED;
    call_reply(call, sent_json(call, call->sent_to, state));
}

static void wait_until(struct client_call *call, uint64_t us,
                       void (*expired)(struct client_call *call))
{
    call->due_us = us;
    call->expired = expired;
    client_arm(call->c);
}

/* The connection had its chance. Nothing is gained by waiting on for one that is not there. */
static void send_patience(struct client_call *call)
{
    if (reach_is_up(call->c->reach) && call->c->session != SESSION_OUTSIDE)
        wait_until(call, call->until_us, send_over);
    else
        send_over(call);
}

void send_link_changed(struct client_call *call)
{
    if (call->c->session == SESSION_OUTSIDE)
        send_over(call);
}

/* It is on the disk: what remains is to hear what becomes of it. */
static void send_wait(struct client_call *call, const char *peer, uint64_t wait_ms)
{
    struct client *c = call->c;
    uint64_t now = net_now_us();
    uint64_t chance = c->away_since_us + (uint64_t)CLIENT_LINK_WAIT_MS * 1000;
    bool up = reach_is_up(c->reach);
    if (wait_ms == 0 || (!up && chance <= now) || (up && full_why(c, peer) != NULL)) {
        call_reply(call, sent_json(call, peer, MSG_QUEUED));
        return;
    }
    call->sending = true;
    (void)snprintf(call->sent_to, sizeof call->sent_to, "%s", peer);
    call->until_us = now + wait_ms * 1000;
    if (up || chance >= call->until_us)
        wait_until(call, call->until_us, send_over);
    else
        wait_until(call, chance, send_patience);
}

void outbox_go(struct client_call *call, const struct contact *to, const char *peer,
               uint64_t wait_ms)
{
    struct client *c = call->c;
    (void)snprintf(call->sent_to, sizeof call->sent_to, "%s", peer);
    if (!call->amending)
        call->about = call->sent_id;
    /* without a session, its begin asks for everybody who is missing */
    if (to == NULL && c->session == SESSION_ACTIVE && contact_find(c, peer) != 0)
        retry_later(c);
    send_wait(call, peer, wait_ms);
    outbox_pump(c);
}

/* Puts it into the outbox and the history at once. to NULL: sealed when the recipient's keys are
 * known. */
static int keep(struct client *c, const struct contact *to, struct entry *e)
{
    struct content content = {.kind = CONTENT_TEXT,
                              .replies = e->replies,
                              .vanish = e->vanish,
                              .target = e->reply_to,
                              .text = e->text};
    content.stamp = e->stamp = client_stamp(c);
    client_msg_id(e->stamp, &e->id);
    int err = profile_begin(c->profile);
    if (err != 0)
        return err;
    err = profile_message_add(c->profile, c->account.name, e);
    if (err == 0)
        err = outbox_content(c, to, e->peer, &e->id, &content, NULL);
    if (err == 0)
        return profile_commit(c->profile);
    profile_rollback(c->profile);
    return err;
}

/* to NULL: not sealed before the ring has said whether the keys are the pinned ones. */
static void accept_text(struct client_call *call, const struct contact *to, struct entry e)
{
    struct client *c = call->c;
    uint64_t wait = 0;
    if (call_number(call, "wait", 0, CLIENT_SEND_WAIT_MAX_MS, &wait) != 0)
        return;
    int err = profile_vanish(c->profile, c->account.name, e.peer, &e.vanish);
    if (err == 0)
        err = keep(c, to, &e);
    if (err != 0) {
        call_fail(call, err,
                  err == PEAL_E_NO_SPACE ? "the disk is full: the message was not sent"
                                         : "the message cannot be kept, so it was not sent",
                  "make space and send it again");
        return;
    }
    call->sent_id = e.id;
    client_emit(c, "message", entry_json(c, &e));
    if (presence_get(c, e.peer) == NULL)
        presence_watch(c);
    outbox_go(call, to, e.peer, wait);
}

int call_text(struct client_call *call, struct peal_bytes *out)
{
    json_t *text = json_object_get(call->args, "text");
    size_t n = json_string_length(text);
    int err = 0;
    if (!json_is_string(text) || n == 0) {
        err = PEAL_E_USAGE;
        call_fail(call, err, "the message is empty", "write something");
    } else if (n > CLIENT_TEXT_MAX) {
        err = PEAL_E_TOO_LONG;
        call_fail(call, err, "the message is longer than 64 KiB", "send it in parts");
    } else if (!peal_utf8_valid(peal_bytes_of(json_string_value(text), n))) {
        err = PEAL_E_MALFORMED;
        call_fail(call, err, "the message is not valid UTF-8 text",
                  "Peal sends text, not binary data");
    }
    *out = peal_bytes_of(json_string_value(text), n);
    return err;
}

int call_may_write(struct client_call *call)
{
    if (call_account(call) != 0)
        return PEAL_E_AUTH;
    if (call->c->session != SESSION_OUTSIDE)
        return 0;
    call_fail(call, PEAL_E_TAKEN_OVER, "this client is logged out: the account is in use elsewhere",
              "log in again to write from here");
    return PEAL_E_TAKEN_OVER;
}

int call_other(struct client_call *call, const char *name)
{
    int err = call_may_write(call);
    if (err != 0 || strcmp(name, call->c->account.name) != 0)
        return err;
    call_fail(call, PEAL_E_REFUSED, "that is you", "give another name");
    return PEAL_E_REFUSED;
}

int call_recipient(struct client_call *call, const char *peer, struct contact **to)
{
    struct client *c = call->c;
    int err = contact_get(c, peer, to);
    if (err != 0 && err != PEAL_E_NOT_FOUND) {
        call_fail(call, err, "the recipient's keys cannot be read", err_prose(err));
        return err;
    }
    /* keys are compared with the ring's once in a run */
    bool checked = err == 0 && (*to)->checked;
    if (checked && (*to)->changed) {
        char text[KEY_CHANGED_TEXT];
        struct answer answer = key_changed(peer, text);
        call_fail_answer(call, &answer);
        return answer.err;
    }
    if (!checked)
        *to = NULL;
    return 0;
}

/* What the message answers, when it says so: one of the same conversation. */
static int read_reply(struct client_call *call, struct entry *e)
{
    json_t *given = json_object_get(call->args, "reply_to");
    if (given == NULL || json_is_null(given))
        return 0;
    int err = call_message(call, "reply_to", &e->reply_to);
    json_t *other = err == 0 ? message_json(call->c, &e->reply_to) : NULL;
    const char *from = json_string_value(json_object_get(other, "from"));
    const char *to = json_string_value(json_object_get(other, "to"));
    e->replies =
        from != NULL && to != NULL && (strcmp(from, e->peer) == 0 || strcmp(to, e->peer) == 0);
    json_decref(other);
    if (err == 0 && !e->replies) {
        err = PEAL_E_NOT_FOUND;
        call_fail(call, err, "`reply_to` is no message of this conversation",
                  "the history shows the ids");
    }
    return err;
}

void cmd_send(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    struct contact *to;
    struct entry e = {.peer = name, .outgoing = true, .state = MSG_QUEUED};
    if (call_account(call) != 0 || call_name(call, "to", name) != 0 ||
        call_text(call, &e.text) != 0 || call_other(call, name) != 0)
        return;
    if (read_reply(call, &e) == 0 && call_recipient(call, name, &to) == 0)
        accept_text(call, to, e);
}
