/* Receiving: rows are opened, put on the disk in one transaction per batch together with the
 * receipts they are due, and only then acknowledged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

enum { MARK_MAX = 64 }; /* messages that one recv gives, or one read takes */

/* ---- a batch ------------------------------------------------------------------------- */

struct change {
    struct peal_msg_id id;
    char peer[NAME_BYTES_MAX + 1];
    int state;
};

struct fresh {
    struct peal_msg_id id;
    char peer[NAME_BYTES_MAX + 1];
    bool owed; /* a receipt */
};

struct batch {
    struct peal_msg_id acks[WIRE_PAGE_ROWS];
    size_t ack_n;
    struct {
        const char *name;
        json_t *data;
    } events[WIRE_PAGE_ROWS]; /* messages that are new here, or look different now */
    size_t event_n;
    struct fresh fresh[WIRE_PAGE_ROWS];
    size_t fresh_n;
    struct change *changes; /* states that a receipt advanced */
    size_t change_n, change_cap;
    char warning[CLIENT_WHY_MAX]; /* the last thing that was amiss; "" */
};

static int note_change(struct batch *b, const struct peal_msg_id *id, const char *peer, int state)
{
    if (b->change_n == b->change_cap) {
        size_t cap = b->change_cap == 0 ? 64 : 2 * b->change_cap;
        struct change *more = realloc(b->changes, cap * sizeof *more);
        if (more == NULL)
            return PEAL_E_NO_MEMORY;
        b->changes = more;
        b->change_cap = cap;
    }
    struct change *ch = &b->changes[b->change_n++];
    *ch = (struct change){.id = *id, .state = state};
    (void)snprintf(ch->peer, sizeof ch->peer, "%s", peer);
    return 0;
}

/* Why an envelope cannot be read, for people. */
static const char *unreadable_why(int err)
{
    switch (err) {
    case PEAL_E_NOT_FOUND:
        return "its author is unknown";
    case PEAL_E_STALE:
        return "it was sealed with other keys than those known; the author's key may have changed";
    case PEAL_E_VERSION:
        return "it needs a newer program";
    case PEAL_E_AUTH:
        return "its signature is wrong";
    default:
        return "it is damaged";
    }
}

static uint64_t sane_stamp(struct client *c, uint64_t said, uint64_t server)
{
    uint64_t wall = net_wall_ms();
    if (clk_seen(&c->clock, said, wall) == 0)
        return said;
    if (server <= INT64_MAX && clk_seen(&c->clock, server, wall) == 0)
        return server;
    return clk_now(&c->clock, wall);
}

static void note_event(struct batch *b, const char *name, json_t *data)
{
    CHECK(b->event_n < WIRE_PAGE_ROWS); /* one per row */
    b->events[b->event_n].name = name;
    b->events[b->event_n].data = data;
    b->event_n += data != NULL;
}

static int keep_entry(struct client *c, struct batch *b, const struct entry *e)
{
    int err = profile_message_add(c->profile, c->account.name, e);
    if (err == PEAL_E_EXISTS) {
        /* it came before: acknowledged again, told and receipted once */
        if (!amend_is_by(c, e->peer, &e->id))
            (void)snprintf(b->warning, sizeof b->warning,
                           "a message from %s was refused: its id is another message's", e->peer);
        return 0;
    }
    if (err == 0)
        err = amend_arrived(c, e->peer, &e->id);
    if (err != 0)
        return err;
    struct fresh *f = &b->fresh[b->fresh_n++];
    *f = (struct fresh){.id = e->id, .owed = e->state == MSG_DELIVERED};
    (void)snprintf(f->peer, sizeof f->peer, "%s", e->peer);
    note_event(b, "message", message_json(c, &e->id));
    return 0;
}

static int keep_vanish(struct client *c, struct batch *b, const struct wire_row *row,
                       const char *from, const struct content *content)
{
    bool changed = false;
    int err = vanish_received(c, from, &row->id, content->vanish,
                              sane_stamp(c, content->stamp, row->stamp), &changed);
    if (changed)
        note_event(b, "vanish",
                   json_pack("{s:s,s:I,s:s}", "name", from, "seconds", (json_int_t)content->vanish,
                             "by", from));
    return err;
}

/* An edit or a deletion. */
static int keep_change(struct client *c, struct batch *b, const struct wire_row *row,
                       const char *from, const struct content *content)
{
    bool changed = false;
    uint64_t at_ms = clk_ms(sane_stamp(c, content->stamp, row->stamp));
    int err = amend_received(c, from, &row->id, content, at_ms, &changed);
    if (err == PEAL_E_REFUSED) {
        (void)snprintf(b->warning, sizeof b->warning,
                       "%s tried to change a message of somebody else", from);
        return 0;
    }
    if (changed)
        note_event(b, "changed", message_json(c, &content->target));
    return err;
}

static int keep_unreadable(struct client *c, struct batch *b, const struct wire_row *row,
                           const char *from, int why)
{
    char text[CLIENT_WHY_MAX];
    (void)snprintf(text, sizeof text, "(this message could not be read: %s)", unreadable_why(why));
    (void)snprintf(b->warning, sizeof b->warning, "a message from %s could not be read: %s", from,
                   unreadable_why(why));
    struct entry e = {.id = row->id,
                      .peer = from,
                      .unread = true,
                      .state = MSG_UNREADABLE,
                      .text = peal_bytes_str(text),
                      .raw = row->body};
    e.stamp = sane_stamp(c, row->stamp, row->stamp);
    return keep_entry(c, b, &e);
}

/* Sealed by other keys than the pinned ones: does the ring show those by now? */
static void suspect(struct client *c, const struct contact *author, struct peal_bytes envelope)
{
    struct cry_envelope_keys named;
    if (author->changed || cry_envelope_peek(envelope, &named) != 0 ||
        cry_equal(named.from_fp, cry_public_fingerprint(author->keys), CRY_FP_BYTES))
        return;
    int err = contact_find(c, author->name);
    (void)err; /* too many at once: asked when this person is written to */
}

static int keep_message(struct client *c, struct batch *b, const struct wire_row *row,
                        const char *from, int known)
{
    struct contact *author;
    int err = known != 0 ? known : contact_get(c, from, &author);
    if (err == PEAL_E_NOT_FOUND)
        return keep_unreadable(c, b, row, from, err);
    if (err != 0)
        return err;
    struct cry_context ctx = {
        .id = row->id, .from = row->from, .to = peal_bytes_str(c->account.name)};
    struct entry e = {.id = row->id, .peer = from, .unread = true, .state = MSG_DELIVERED};
    uint8_t *plain = malloc(row->body.n + 1);
    size_t n;
    struct content content;
    if (plain == NULL)
        return PEAL_E_NO_MEMORY;
    int bad = cry_envelope_open(c->keys, author->keys, &ctx, row->body, row->body.n, plain, &n);
    if (bad == 0)
        bad = content_read(peal_bytes_of(plain, n), &content);
    else if (bad == PEAL_E_STALE)
        suspect(c, author, row->body);
    if (bad == PEAL_E_NO_MEMORY) {
        err = bad;
    } else if (bad != 0) {
        err = keep_unreadable(c, b, row, from, bad);
    } else if (content.kind == CONTENT_VANISH) {
        err = keep_vanish(c, b, row, from, &content);
    } else if (content.kind != CONTENT_TEXT) {
        err = keep_change(c, b, row, from, &content);
    } else {
        e.text = content.text;
        e.reply_to = content.target;
        e.replies = content.replies;
        e.vanish = content.vanish;
        e.stamp = sane_stamp(c, content.stamp, row->stamp);
        err = keep_entry(c, b, &e);
    }
    cry_wipe(plain, row->body.n + 1);
    free(plain);
    return err;
}

static int keep_receipt(struct client *c, struct batch *b, const struct wire_row *row,
                        const char *from, int known)
{
    struct contact *author;
    struct receipt r;
    int err = known != 0 ? known : contact_get(c, from, &author);
    if (err != 0 && err != PEAL_E_NOT_FOUND)
        return err;
    int bad = err;
    if (bad == 0)
        bad = receipt_read(row->body, &r);
    if (bad == 0) {
        struct cry_receipt signing = {.state = r.state,
                                      .by = row->from,
                                      .to = peal_bytes_str(c->account.name),
                                      .ids = r.ids,
                                      .n = r.n};
        bad = cry_receipt_verify(author->keys, &signing, r.sig);
    }
    if (bad != 0) { /* it proves nothing, and nothing else depends on it */
        (void)snprintf(b->warning, sizeof b->warning, "a receipt from %s was refused: %s", from,
                       err_prose(bad));
        return 0;
    }
    /* who tells nobody what has been read is not told of others */
    int state = r.state == MSG_READ && !c->account.settings.receipts ? MSG_DELIVERED : r.state;
    for (size_t i = 0; i < r.n && err == 0; i++) {
        bool done = false;
        err = message_advance(c, &r.ids[i], from, state, &done);
        if (err == 0 && done)
            err = note_change(b, &r.ids[i], from, state);
    }
    return err;
}

/* A server says that one of our messages was not fetched in time. Nobody has signed that: it counts
 * for a message of which nothing better is known, and a receipt undoes it. */
static int keep_expired(struct client *c, struct batch *b, const struct wire_row *row)
{
    struct peal_msg_id id;
    char peer[NAME_BYTES_MAX + 1];
    bool done = false;
    if (row->body.n != sizeof id.b) {
        (void)snprintf(b->warning, sizeof b->warning, "a server delivered something malformed");
        return 0;
    }
    memcpy(id.b, row->body.p, sizeof id.b);
    int err = profile_message_peer(c->profile, c->account.name, &id, peer);
    if (err == PEAL_E_NOT_FOUND)
        return 0; /* written in another profile */
    if (err == 0)
        err = message_advance(c, &id, peer, MSG_EXPIRED, &done);
    return err == 0 && done ? note_change(b, &id, peer, MSG_EXPIRED) : err;
}

/* known: 0 when the author's keys may be looked up, otherwise why there are none. */
static int keep_row(struct client *c, struct batch *b, const struct wire_row *row, int known)
{
    char from[NAME_BYTES_MAX + 1];
    int err = 0;
    if (row->kind == WIRE_ROW_EXPIRED)
        err = keep_expired(c, b, row);
    else if (!name_is_canonical(row->from) || peal_bytes_to_str(row->from, sizeof from, from) != 0)
        (void)snprintf(b->warning, sizeof b->warning,
                       "a server delivered something without an author");
    else if (row->kind == WIRE_ROW_MESSAGE)
        err = keep_message(c, b, row, from, known);
    else if (row->kind == WIRE_ROW_RECEIPT)
        err = keep_receipt(c, b, row, from, known);
    else
        (void)snprintf(b->warning, sizeof b->warning,
                       "a server delivered something of an unknown kind");
    if (err == 0)
        b->acks[b->ack_n++] = row->id;
    return err;
}

/* One receipt per author for what is new in the batch. */
static int owe_receipts(struct client *c, struct batch *b)
{
    struct peal_msg_id ids[WIRE_PAGE_ROWS];
    int err = 0;
    for (size_t i = 0; i < b->fresh_n && err == 0; i++) {
        size_t n = 0;
        for (size_t j = i; j < b->fresh_n; j++) {
            if (!b->fresh[j].owed || strcmp(b->fresh[j].peer, b->fresh[i].peer) != 0)
                continue;
            ids[n++] = b->fresh[j].id;
            b->fresh[j].owed = false;
        }
        if (n > 0)
            err = outbox_receipt(c, b->fresh[i].peer, MSG_DELIVERED, ids, n);
    }
    return err;
}

static void batch_told(struct client *c, struct batch *b)
{
    struct wire_c_ack ack = {.ids = {.v = b->acks, .n = b->ack_n}};
    int err = reach_send(c->reach, WIRE_c_ack, &ack);
    (void)err; /* the link is going: delivered again, recognised, acknowledged then */
    for (size_t i = 0; i < b->event_n; i++) {
        client_emit(c, b->events[i].name, b->events[i].data);
        b->events[i].data = NULL;
    }
    for (size_t i = 0; i < b->change_n; i++) {
        message_advanced(c, &b->changes[i].id, b->changes[i].peer, b->changes[i].state);
        if (b->changes[i].state != MSG_EXPIRED)
            full_try(c, b->changes[i].peer); /* who has fetched something has made room */
    }
    if (b->warning[0] != '\0')
        client_trouble(c, PEAL_E_MALFORMED, b->warning, "it is kept in the profile as it came");
}

/* How rows come to us. */
enum coming {
    FROM_THE_RING,
    WITHOUT_AN_AUTHOR, /* nobody has that name */
    ONCE_MORE,         /* they lie in the profile as unreadable ones */
};

/* rows: n <= WIRE_PAGE_ROWS of them. */
static void keep_rows(struct client *c, const struct wire_row *const rows[], size_t n,
                      enum coming how)
{
    int known = how == WITHOUT_AN_AUTHOR ? PEAL_E_NOT_FOUND : 0;
    struct batch *b = calloc(1, sizeof *b);
    int err = b == NULL ? PEAL_E_NO_MEMORY : profile_begin(c->profile);
    if (err == 0) {
        for (size_t i = 0; i < n && err == 0; i++) {
            if (how == ONCE_MORE)
                err = profile_sealed_del(c->profile, c->account.name, &rows[i]->id);
            if (err == 0)
                err = keep_row(c, b, rows[i], known);
        }
        if (err == 0)
            err = owe_receipts(c, b);
        if (err == 0)
            err = profile_commit(c->profile);
        else
            profile_rollback(c->profile);
    }
    if (err == 0) {
        batch_told(c, b);
        outbox_pump(c);
    } else {
        client_trouble(
            c, err, "received messages cannot be kept; the ring keeps them and delivers them again",
            err == PEAL_E_NO_SPACE ? "make space on the disk" : err_prose(err));
        if (c->redeliver_us == CLIENT_NEVER)
            c->redeliver_us = net_now_us() + REDELIVER_US;
    }
    for (size_t i = 0; b != NULL && i < b->event_n; i++)
        json_decref(b->events[i].data);
    free(b != NULL ? b->changes : NULL);
    free(b);
}

/* ---- rows whose author is not known yet ---------------------------------------------- */

void held_clear(struct client *c)
{
    while (c->held != NULL) {
        struct held *h = c->held;
        c->held = h->next;
        free(h);
    }
    c->held_count = 0;
}

static void hold(struct client *c, const struct wire_row *row, const char *from)
{
    struct held **at = &c->held;
    for (; *at != NULL; at = &(*at)->next) {
        if (msg_id_eq(&(*at)->row.id, &row->id))
            return;
    }
    size_t n = row->body.n + row->from.n;
    struct held *h = c->held_count < CLIENT_HELD_MAX ? malloc(sizeof *h + n) : NULL;
    if (h == NULL || contact_find(c, from) != 0) {
        free(h); /* unacknowledged: delivered again with the next link */
        if (c->redeliver_us == CLIENT_NEVER)
            c->redeliver_us = net_now_us() + REDELIVER_US;
        return;
    }
    h->next = NULL;
    h->row = *row;
    memcpy(h->bytes, row->from.p, row->from.n);
    if (row->body.n != 0)
        memcpy(h->bytes + row->from.n, row->body.p, row->body.n);
    h->row.from.p = h->bytes;
    h->row.body.p = h->bytes + row->from.n;
    *at = h;
    c->held_count++;
}

void held_found(struct client *c, const char *name, const struct answer *answer)
{
    struct peal_bytes from = peal_bytes_str(name);
    bool is_over =
        answer->err == 0 || answer->err == PEAL_E_NOT_FOUND || answer->err == PEAL_E_MALFORMED;
    const struct wire_row *rows[WIRE_PAGE_ROWS];
    struct held *taken[WIRE_PAGE_ROWS];
    size_t n;
    do {
        n = 0;
        for (struct held **at = &c->held; *at != NULL && n < WIRE_PAGE_ROWS;) {
            if (!peal_bytes_eq((*at)->row.from, from)) {
                at = &(*at)->next;
                continue;
            }
            taken[n] = *at;
            rows[n] = &taken[n]->row;
            n++;
            *at = (*at)->next;
            c->held_count--;
        }
        if (n > 0 && is_over)
            keep_rows(c, rows, n, answer->err == 0 ? FROM_THE_RING : WITHOUT_AN_AUTHOR);
        else if (n > 0 && c->redeliver_us == CLIENT_NEVER)
            c->redeliver_us = net_now_us() + REDELIVER_US;
        for (size_t i = 0; i < n; i++)
            free(taken[i]);
    } while (n > 0);
    recv_wake(c);
}

/* ---- rows whose author's key was accepted later -------------------------------------- */

struct reopened {
    const char *name;
    const uint8_t *fp;
    uint64_t stamp; /* where the next page begins */
    struct peal_msg_id id;
    size_t seen, n;
    struct wire_row rows[WIRE_PAGE_ROWS]; /* bodies are owned */
    bool short_of_memory;
};

static void note_sealed(void *user, const struct entry *e)
{
    struct reopened *r = user;
    struct cry_envelope_keys named;
    r->seen++;
    r->stamp = e->stamp;
    r->id = e->id;
    if (cry_envelope_peek(e->raw, &named) != 0 || !cry_equal(named.from_fp, r->fp, CRY_FP_BYTES))
        return;
    uint8_t *body = malloc(e->raw.n);
    if (body == NULL) {
        r->short_of_memory = true;
        return;
    }
    memcpy(body, e->raw.p, e->raw.n);
    r->rows[r->n++] = (struct wire_row){.id = e->id,
                                        .kind = WIRE_ROW_MESSAGE,
                                        .from = peal_bytes_str(r->name),
                                        .stamp = e->stamp,
                                        .body = peal_bytes_of(body, e->raw.n)};
}

void recv_reopen(struct client *c, const char *name, const uint8_t fp[static CRY_FP_BYTES])
{
    struct reopened *r = calloc(1, sizeof *r);
    const struct wire_row *rows[WIRE_PAGE_ROWS];
    int err = r == NULL ? PEAL_E_NO_MEMORY : 0;
    if (err == 0)
        *r = (struct reopened){.name = name, .fp = fp};
    for (bool more = true; err == 0 && more;) {
        r->seen = r->n = 0;
        err = profile_sealed(c->profile, c->account.name, name, r->stamp, &r->id, WIRE_PAGE_ROWS,
                             note_sealed, r);
        more = r->seen == WIRE_PAGE_ROWS;
        if (err == 0 && r->short_of_memory)
            err = PEAL_E_NO_MEMORY;
        for (size_t i = 0; i < r->n; i++)
            rows[i] = &r->rows[i];
        if (err == 0 && r->n > 0)
            keep_rows(c, rows, r->n, ONCE_MORE);
        for (size_t i = 0; i < r->n; i++)
            free((void *)r->rows[i].body.p);
    }
    if (err != 0)
        client_trouble(c, err, "what came under the new key cannot be opened yet",
                       "accept the key again to try again");
    free(r);
    recv_wake(c);
}

void on_deliver(struct client *c, const struct wire_c_deliver *msg)
{
    if (c->session != SESSION_ACTIVE)
        return;
    const struct wire_row *rows[WIRE_PAGE_ROWS];
    size_t n = 0;
    if (c->settled_us != CLIENT_NEVER)
        c->settled_us = msg->rows.n == 0 ? 0 : net_now_us() + SETTLED_US;
    for (size_t i = 0; i < msg->rows.n; i++) {
        const struct wire_row *row = &msg->rows.v[i];
        char from[NAME_BYTES_MAX + 1];
        struct contact *author;
        bool named = row->kind != WIRE_ROW_EXPIRED && name_is_canonical(row->from) &&
                     peal_bytes_to_str(row->from, sizeof from, from) == 0;
        if (named && contact_get(c, from, &author) == PEAL_E_NOT_FOUND)
            hold(c, row, from);
        else
            rows[n++] = row;
    }
    if (n > 0)
        keep_rows(c, rows, n, FROM_THE_RING);
    if (c->settled_us == 0)
        c->settled_us = CLIENT_NEVER;
    recv_wake(c);
}

/* ---- reading ------------------------------------------------------------------------- */

struct marks {
    struct client *c;
    struct peal_msg_id ids[MARK_MAX];
    char peers[MARK_MAX][NAME_BYTES_MAX + 1];
    bool owed[MARK_MAX];
    size_t n;
    uint64_t seen;
    const struct peal_msg_id *wanted; /* NULL: every one */
    size_t wanted_n;
};

static bool is_wanted(const struct marks *m, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < m->wanted_n; i++) {
        if (msg_id_eq(&m->wanted[i], id))
            return true;
    }
    return m->wanted == NULL;
}

static void mark_one(void *user, const struct entry *e)
{
    struct marks *m = user;
    m->seen++;
    if (!is_wanted(m, &e->id))
        return;
    CHECK(m->n < MARK_MAX);
    m->ids[m->n] = e->id;
    m->owed[m->n] = e->state == MSG_DELIVERED;
    (void)snprintf(m->peers[m->n], sizeof m->peers[0], "%s", e->peer);
    m->n++;
}

static int mark_all(struct client *c, struct marks *m)
{
    int err = profile_begin(c->profile);
    if (err != 0)
        return err;
    for (size_t i = 0; i < m->n && err == 0; i++) {
        err = profile_mark_read(c->profile, c->account.name, &m->ids[i]);
        if (err == 0)
            err = vanish_begin(c, &m->ids[i]);
    }
    for (size_t i = 0; i < m->n && err == 0; i++) {
        struct peal_msg_id ids[MARK_MAX];
        size_t n = 0;
        for (size_t j = i; j < m->n; j++) {
            if (!m->owed[j] || strcmp(m->peers[j], m->peers[i]) != 0)
                continue;
            ids[n++] = m->ids[j];
            m->owed[j] = false;
        }
        if (n > 0)
            err = outbox_receipt(c, m->peers[i], MSG_READ, ids, n);
    }
    if (err == 0)
        return profile_commit(c->profile);
    profile_rollback(c->profile);
    return err;
}

/* Marks up to MARK_MAX of somebody's unread messages; *n of them. */
static int mark_peer(struct client *c, const char *peer, size_t *n)
{
    struct marks *m = calloc(1, sizeof *m);
    if (m == NULL)
        return PEAL_E_NO_MEMORY;
    int err = profile_unread(c->profile, c->account.name, peer, MARK_MAX, mark_one, m);
    if (err == 0 && m->n > 0)
        err = mark_all(c, m);
    *n = m->n;
    free(m);
    return err;
}

/* Marks those of these messages (n <= MARK_MAX, each once) that are unread; *marked of them. They
 * are usually the oldest, so that few others need to be looked at. */
static int mark_ids(struct client *c, const struct peal_msg_id ids[], size_t n, uint64_t *marked)
{
    struct marks *m = calloc(1, sizeof *m);
    int err = m == NULL ? PEAL_E_NO_MEMORY : 0;
    bool more = true;
    for (uint64_t limit = 2 * MARK_MAX; err == 0 && more; limit *= 8) {
        uint32_t most = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
        *m = (struct marks){.wanted = ids, .wanted_n = n};
        err = profile_unread(c->profile, c->account.name, NULL, most, mark_one, m);
        more = m->n < n && m->seen == most && most < UINT32_MAX;
    }
    if (err == 0 && m->n > 0)
        err = mark_all(c, m);
    *marked = m != NULL ? m->n : 0;
    free(m);
    return err;
}

static uint64_t queued_count(struct client *c)
{
    uint64_t queued = 0;
    int err = profile_outbox_count(c->profile, c->account.name, &queued);
    (void)err; /* the count is a courtesy */
    return queued;
}

static void read_over(struct client_call *call)
{
    call_reply(call, json_pack("{s:I,s:I}", "count", (json_int_t)call->count, "queued",
                               (json_int_t)queued_count(call->c)));
}

/* On an error the call has been answered. */
static int read_ids(struct client_call *call, json_t *list, struct peal_msg_id ids[static MARK_MAX],
                    size_t *n)
{
    bool ok = json_is_array(list) && json_array_size(list) <= MARK_MAX;
    *n = 0;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        json_t *id = json_array_get(list, i);
        ok = json_is_string(id) && json_string_length(id) == (size_t)2 * MSG_ID_BYTES &&
             peal_unhex(json_string_value(id), MSG_ID_BYTES, ids[i].b) == 0;
        *n = i + 1;
    }
    if (ok)
        return 0;
    call_fail(call, PEAL_E_USAGE, "`ids` is no list of messages", "give at most 64 messages' ids");
    return PEAL_E_USAGE;
}

/* The receipts go out before the answer, if they can and `wait` allows it. */
static void read_list(struct client_call *call, json_t *list)
{
    struct client *c = call->c;
    struct peal_msg_id ids[MARK_MAX];
    size_t n;
    uint64_t wait;
    if (call_number(call, "wait", 0, CLIENT_SEND_WAIT_MAX_MS, &wait) != 0 ||
        read_ids(call, list, ids, &n) != 0)
        return;
    int err = mark_ids(c, ids, n, &call->count);
    if (err != 0) {
        call_fail(call, err, "the profile cannot be written", err_prose(err));
        return;
    }
    call->flushing = true;
    outbox_pump(c);
    if (call->over)
        return;
    if (wait == 0 || c->session != SESSION_ACTIVE || queued_count(c) == 0)
        read_over(call);
    else
        call_wait(call, wait, read_over);
}

void cmd_read(struct client_call *call)
{
    struct client *c = call->c;
    json_t *list = json_object_get(call->args, "ids");
    char name[NAME_BYTES_MAX + 1];
    size_t n = 0;
    if (call_account(call) != 0)
        return;
    if (list != NULL) {
        read_list(call, list);
        return;
    }
    if (call_name(call, "name", name) != 0)
        return;
    do {
        int err = mark_peer(c, name, &n);
        if (err != 0) {
            call_fail(call, err, "the profile cannot be written", err_prose(err));
            return;
        }
    } while (n > 0);
    outbox_pump(c);
    call_reply(call, json_object());
}

/* ---- recv ---------------------------------------------------------------------------- */

static bool is_settled(const struct client *c)
{
    if (c->session == SESSION_NOBODY || c->session == SESSION_OUTSIDE)
        return true; /* nothing more will come by itself */
    return c->session == SESSION_ACTIVE && c->settled_us == CLIENT_NEVER && c->held == NULL;
}

static void recv_over(struct client_call *call)
{
    struct client *c = call->c;
    if (call->count == 0 && c->session == SESSION_OUTSIDE)
        call_fail(call, PEAL_E_TAKEN_OVER,
                  "this client is logged out: the account is in use elsewhere",
                  "log in again to receive here");
    else if (call->count == 0 && c->session != SESSION_ACTIVE)
        call_fail(call, PEAL_E_UNAVAILABLE, "no server can be reached", client_why_away(c));
    else
        call_reply(call,
                   json_pack("{s:I,s:I,s:b}", "count", (json_int_t)call->count, "queued",
                             (json_int_t)queued_count(c), "more", (int)(call->count == MARK_MAX)));
}

struct given {
    struct client *c;
    json_t *objects[MARK_MAX];
    size_t n;
};

/* As it is once it has been shown. */
static void give_one(void *user, const struct entry *e)
{
    struct given *g = user;
    struct entry shown = *e;
    shown.unread = false;
    shown.state = e->state == MSG_DELIVERED ? MSG_READ : e->state;
    CHECK(g->n < MARK_MAX);
    g->objects[g->n++] = entry_json(g->c, &shown);
}

/* Gives out the oldest unread messages and marks none: whoever hears them says with `read` which
 * ones were shown. A crash in between repeats, and loses nothing. */
static int give_some(struct client_call *call)
{
    struct client *c = call->c;
    struct given g = {.c = c};
    uint32_t limit = call->max < MARK_MAX ? (uint32_t)call->max : MARK_MAX;
    int err = profile_unread(c->profile, c->account.name, NULL, limit, give_one, &g);
    for (size_t i = 0; i < g.n; i++) {
        if (err == 0 && g.objects[i] == NULL)
            err = PEAL_E_NO_MEMORY;
        if (err == 0)
            call_more(call, g.objects[i]);
        else
            json_decref(g.objects[i]);
    }
    call->count = g.n;
    return err;
}

static void recv_try(struct client_call *call);

/* What is known to have been all is waited for as long as was asked, and not longer. */
static void recv_arm(struct client_call *call, bool settled)
{
    bool patient = !settled && call->patience_us > call->until_us;
    call->due_us = patient ? call->patience_us : call->until_us;
    call->expired = recv_try;
    client_arm(call->c);
}

static void recv_try(struct client_call *call)
{
    struct client *c = call->c;
    uint64_t now = net_now_us();
    bool settled = is_settled(c);
    bool late = now >= call->until_us && now >= call->patience_us;
    if (!call->follow)
        recv_arm(call, settled);
    if (!settled && !late && !call->follow)
        return;
    int err = give_some(call);
    if (call->over)
        return; /* whoever heard it went away while hearing */
    if (err != 0) {
        call_fail(call, err, "the profile cannot be read", err_prose(err));
        return;
    }
    bool tired = !call->follow && (late || (settled && now >= call->until_us));
    if (call->count > 0 || tired || c->session == SESSION_OUTSIDE || c->session == SESSION_NOBODY)
        recv_over(call);
}

static void sync_over(struct client_call *call)
{
    call_reply(call, json_pack("{s:b}", "settled", (int)is_settled(call->c)));
}

void cmd_sync(struct client_call *call)
{
    uint64_t wait;
    if (call_number(call, "wait", CLIENT_CONNECT_WAIT_MS, CLIENT_SEND_WAIT_MAX_MS, &wait) != 0)
        return;
    if (is_settled(call->c)) {
        sync_over(call);
        return;
    }
    call->syncing = true;
    call_wait(call, wait, sync_over);
}

void recv_wake(struct client *c)
{
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (call->over)
            continue;
        if (call->syncing && is_settled(c)) {
            sync_over(call);
        } else if (call->receiving) {
            recv_try(call);
        } else if (call->flushing && queued_count(c) == 0) {
            read_over(call);
        }
    }
}

void cmd_recv(struct client_call *call)
{
    uint64_t wait;
    if (call_account(call) != 0 || call_number(call, "wait", 0, 1000000, &wait) != 0 ||
        call_number(call, "max", 0, INT32_MAX, &call->max) != 0)
        return;
    if (call->max == 0 && !json_is_true(json_object_get(call->args, "follow")))
        call->max = call->c->account.settings.unread;
    if (call->max == 0)
        call->max = MARK_MAX;
    uint64_t now = net_now_us();
    uint64_t patience = (uint64_t)CLIENT_CONNECT_WAIT_MS * 1000 + SETTLE_US;
    call->receiving = true;
    call->follow = json_is_true(json_object_get(call->args, "follow"));
    call->until_us = now + wait * 1000000;
    call->patience_us = now + patience;
    recv_try(call);
}
