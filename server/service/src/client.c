/* Links of clients: who may say what in which state, and what is answered at once. */
#include "inner.h"

#include <stdio.h>
#include <string.h>

/* ---- saying ---- */

/* All that clients are told is durable on the ring already, or promises nothing. Everything but
 * c_stored goes out at once, so that it arrives in the order in which it was said. */
void client_say(struct svc *s, const struct client *c, uint16_t type, const void *msg)
{
    CHECK(c->state != CLIENT_CLOSING);
    step_send_eager(s->u, c->link, type, msg);
}

void client_error(struct svc *s, const struct client *c, uint64_t req, int err, const char *message,
                  const char *hint)
{
    CHECK(err < 0);
    struct wire_c_error m = {.req = req,
                             .code = code_of(err),
                             .message = peal_bytes_str(message),
                             .hint = peal_bytes_str(hint)};
    s->stats.refused++;
    client_say(s, c, WIRE_c_error, &m);
}

const char *client_prose(int err, const char **hint)
{
    switch (err) {
    case PEAL_E_UNAVAILABLE:
        *hint = "try again in a moment; nothing was changed";
        return "too few of the servers that keep this can be reached";
    case PEAL_E_UNKNOWN:
        *hint = "try again; the same request is not done twice";
        return "the servers did not confirm in time: it is not known whether it was done";
    case PEAL_E_BUSY:
    case PEAL_E_FULL:
        *hint = "try again in a few seconds";
        return "the server has too much to do at once";
    case PEAL_E_NO_SPACE:
        *hint = "the operators must make room on the servers' disks; it is tried again until then";
        return "the servers have no room left";
    case PEAL_E_STALE:
        *hint = "try again";
        return "the account was changed at the same time from elsewhere";
    default:
        *hint = "if it stays so, tell the operators of the server";
        return err_prose(err);
    }
}

void client_failure(struct svc *s, const struct client *c, uint64_t req, int err)
{
    const char *hint = NULL;
    const char *message = client_prose(err, &hint);
    client_error(s, c, req, err, message, hint);
}

/* ---- links ---- */

struct client *client_of_link(const struct svc *s, uint32_t link)
{
    uint32_t h = 0;
    if (link == STEP_SELF || !map_get(&s->links, &link, &h))
        return NULL;
    struct client *c = client_get(s, h);
    CHECK(c != NULL && c->link == link);
    return c;
}

/* An address without its port: what is before the last colon. */
static struct peal_bytes host_of(struct peal_bytes address)
{
    size_t n = address.n;
    while (n > 0 && address.p[n - 1] != ':')
        n--;
    return n > 0 ? peal_bytes_of(address.p, n - 1) : address;
}

void client_up(struct svc *s)
{
    const struct step_event *ev = s->ev;
    uint32_t h = 0;
    struct client *c = slab_take(&s->clients, &h);
    if (c == NULL || map_put(&s->links, &ev->link, h) != 0) {
        /* Not even a slot to refuse it from: its frames, if any, are nobody's. */
        CHECK(c == NULL);
        step_close(s->u, ev->link, PEAL_E_BUSY, "too many clients");
        return;
    }
    c->handle = h;
    c->link = ev->link;
    c->heard_us = c->since_us = c->asked_us = ev->now_us;
    c->servers_seen = s->servers_serial;
    c->failure_cell = request_failure_cell(s, "address", host_of(ev->address));
    s->links_n++;
    if (s->leaving)
        client_bye(s, c, PEAL_E_UNAVAILABLE, "this server is stopping; another one will do");
    else if (s->links_n > s->sessions_max)
        client_bye(s, c, PEAL_E_BUSY,
                   "this server has as many clients as it can serve; try another one");
    else
        chord_set_load(s->chord, s->links_n);
}

static void forget(struct svc *s, struct client *c, bool tell)
{
    if (c->state == CLIENT_SESSION)
        session_end(s, c, tell);
    CHECK(c->flights == 0 && c->watches == 0);
    if (c->observer)
        s->observers--;
    c->observer = false;
    if (c->state != CLIENT_CLOSING) {
        CHECK(s->links_n > 0);
        s->links_n--;
        chord_set_load(s->chord, s->links_n);
    }
}

static void release(struct svc *s, struct client *c)
{
    CHECK(c->state == CLIENT_CLOSING);
    bool was = map_del(&s->links, &c->link);
    CHECK(was);
    slab_release(&s->clients, c->handle);
}

void client_down(struct svc *s, struct client *c)
{
    forget(s, c, true);
    c->state = CLIENT_CLOSING;
    release(s, c);
}

void client_close(struct svc *s, struct client *c, int err, const char *reason)
{
    CHECK(c->state != CLIENT_CLOSING);
    /* A session that goes on elsewhere is not closed; nor does the homes' view of it change for a
     * server that stops. */
    forget(s, c, err != PEAL_E_TAKEN_OVER && err != PEAL_E_CLOSED && !s->leaving);
    c->state = CLIENT_CLOSING;
    c->since_us = s->ev->now_us;
    step_close(s->u, c->link, err, reason);
}

void client_bye(struct svc *s, struct client *c, int err, const char *message)
{
    struct wire_c_bye m = {.code = code_of(err), .message = peal_bytes_str(message)};
    client_say(s, c, WIRE_c_bye, &m);
    client_close(s, c, err, message);
}

/* Deadlines of the link itself. True when it was closed. */
bool client_tick(struct svc *s, struct client *c)
{
    uint64_t now = s->ev->now_us;
    CHECK(c->heard_us <= now);
    if (c->state == CLIENT_CLOSING) {
        if (now - c->since_us > CLOSING_US)
            release(s, c);
        return true;
    }
    if (c->state == CLIENT_NEW && now - c->since_us > HELLO_US) {
        client_close(s, c, PEAL_E_UNAVAILABLE, "said nothing after connecting");
        return true;
    }
    if (now - c->heard_us > (uint64_t)SVC_OFFLINE_AFTER_MS * MS) {
        client_close(s, c, PEAL_E_UNAVAILABLE, "no heartbeat");
        return true;
    }
    return false;
}

/* ---- the list of servers ---- */

void client_servers_tick(struct svc *s)
{
    struct wire_server_list list = {0};
    struct wire_c_servers m;
    if (s->clients.used == 0)
        return;
    if (s->servers_dirty) {
        struct cry_hash h;
        uint8_t hash[CRY_HASH_BYTES];
        s->servers_dirty = false;
        chord_servers(s->chord, &s->u->arena, &list);
        cry_hash_init(&h, "peal.servers.1");
        for (size_t i = 0; i < list.n; i++)
            cry_hash_part(&h, list.v[i].address);
        cry_hash_end(&h, hash);
        if (!cry_equal(hash, s->servers_hash, sizeof hash))
            s->servers_serial++;
        memcpy(s->servers_hash, hash, sizeof hash);
    }
    uint32_t at = 0;
    uint32_t h = 0;
    uint32_t told = 0;
    struct client *c = NULL;
    while (told < LISTS_PER_TICK && (c = slab_each(&s->clients, &at, &h)) != NULL) {
        if (c->servers_seen == s->servers_serial ||
            (c->state != CLIENT_GREETED && c->state != CLIENT_SESSION))
            continue;
        if (list.n == 0)
            chord_servers(s->chord, &s->u->arena, &list);
        m.servers = list;
        client_say(s, c, WIRE_c_servers, &m);
        c->servers_seen = s->servers_serial;
        told++;
    }
}

/* ---- what clients say ---- */

static void on_hello(struct svc *s, struct client *c, const union wire_any *m)
{
    if (m->c_hello.version != WIRE_VERSION) {
        client_bye(
            s, c, PEAL_E_VERSION,
            "this server speaks another version of the protocol: update the older of the two");
        return;
    }
    c->state = CLIENT_GREETED;
    struct wire_c_welcome w = {.version = WIRE_VERSION,
                               .agent = peal_bytes_str("peald/" PEAL_VERSION),
                               .server = s->self,
                               .now = s->ev->wall_ms};
    chord_servers(s->chord, &s->u->arena, &w.servers);
    c->servers_seen = s->servers_serial;
    client_say(s, c, WIRE_c_welcome, &w);
}

static void on_ping(struct svc *s, struct client *c, const union wire_any *m)
{
    struct wire_c_pong pong = {.nonce = m->c_ping.nonce};
    client_say(s, c, WIRE_c_pong, &pong);
}

static void on_find(struct svc *s, struct client *c, const union wire_any *m)
{
    account_find(s, c, &m->c_find);
}

static void on_register(struct svc *s, struct client *c, const union wire_any *m)
{
    account_register(s, c, &m->c_register);
}

static void on_login(struct svc *s, struct client *c, const union wire_any *m)
{
    account_login(s, c, &m->c_login);
}

static void on_resume(struct svc *s, struct client *c, const union wire_any *m)
{
    account_resume(s, c, &m->c_resume);
}

static void on_logout(struct svc *s, struct client *c, const union wire_any *m)
{
    account_logout(s, c, &m->c_logout);
}

static void on_password(struct svc *s, struct client *c, const union wire_any *m)
{
    credentials_password(s, c, &m->c_password);
}

static void on_rescue(struct svc *s, struct client *c, const union wire_any *m)
{
    credentials_rescue(s, c, &m->c_rescue);
}

static void on_reset(struct svc *s, struct client *c, const union wire_any *m)
{
    credentials_reset(s, c, &m->c_reset);
}

static void on_recovery(struct svc *s, struct client *c, const union wire_any *m)
{
    credentials_recovery(s, c, &m->c_recovery);
}

static void on_settings(struct svc *s, struct client *c, const union wire_any *m)
{
    credentials_settings(s, c, &m->c_settings);
}

static void on_delete(struct svc *s, struct client *c, const union wire_any *m)
{
    credentials_delete(s, c, &m->c_delete);
}

static void on_ack(struct svc *s, struct client *c, const union wire_any *m)
{
    deliver_ack(s, c, &m->c_ack.ids);
}

static void on_watch(struct svc *s, struct client *c, const union wire_any *m)
{
    watch_set(s, c, &m->c_watch);
}

static void on_lookup(struct svc *s, struct client *c, const union wire_any *m)
{
    lookup_ask(s, c, &m->c_lookup);
}

static void on_remove(struct svc *s, struct client *c, const union wire_any *m)
{
    remove_ask(s, c, &m->c_remove);
}

static void on_ring_get(struct svc *s, struct client *c, const union wire_any *m)
{
    watch_ring_get(s, c, &m->c_ring_get);
}

static void unsent(struct svc *s, const struct client *c, const struct peal_msg_id *id, int err,
                   const char *message, const char *hint)
{
    struct wire_c_unsent m = {.id = *id,
                              .code = code_of(err),
                              .message = peal_bytes_str(message),
                              .hint = peal_bytes_str(hint)};
    s->stats.refused++;
    client_say(s, c, WIRE_c_unsent, &m);
}

static void unsent_because(struct svc *s, const struct client *c, const struct peal_msg_id *id,
                           int err)
{
    const char *hint = NULL;
    const char *message = client_prose(err, &hint);
    unsent(s, c, id, err, message, hint);
}

static void on_send(struct svc *s, struct client *c, const union wire_any *any)
{
    const struct wire_c_send *m = &any->c_send;
    const uint64_t days = s->message_days;
    static const struct peal_msg_id no_id = {{0}};
    if ((m->kind != WIRE_ROW_MESSAGE && m->kind != WIRE_ROW_RECEIPT) || m->body.n == 0 ||
        (m->kind == WIRE_ROW_RECEIPT && m->body.n > WIRE_RECEIPT_MAX) ||
        msg_id_eq(&m->id, &no_id)) {
        unsent(s, c, &m->id, PEAL_E_MALFORMED, "this is neither a message nor a receipt",
               "update the client");
        return;
    }
    if (!name_is_canonical(m->name)) {
        unsent(s, c, &m->id, PEAL_E_MALFORMED, "the recipient's name is not in its canonical form",
               "names are lower-case letters, digits, '.', '_' and '-'");
        return;
    }
    uint32_t h = 0;
    struct send *out = c->sends < SVC_LINK_SENDS_MAX ? slab_take(&s->sends, &h) : NULL;
    if (out == NULL) {
        unsent(s, c, &m->id, PEAL_E_BUSY, "too many messages are on their way at once",
               "wait for those sent before to be stored");
        return;
    }
    out->client = c->handle;
    out->id = m->id;
    out->to_n = (uint8_t)m->name.n;
    memcpy(out->to, m->name.p, m->name.n);
    c->sends++;
    struct wire_row row = {.box = cry_account_key(m->name),
                           .id = m->id,
                           .kind = m->kind,
                           .from = peal_bytes_of(c->name, c->name_n),
                           .stamp = chord_stamp(s->chord, s->ev),
                           .expires = s->ev->wall_ms + days * 24 * 3600 * 1000,
                           .body = m->body};
    int err =
        chord_set_put(s->chord, s->ev, s->u, token_make(TOKEN_SEND, 0, h), &row, true, PUT_US);
    if (err != 0) {
        slab_release(&s->sends, h);
        c->sends--;
        unsent_because(s, c, &m->id, err);
    }
}

void client_stored(struct svc *s, struct send *m, int err)
{
    struct client *c = client_get(s, m->client);
    if (err == 0)
        s->stats.stored++;
    if (c == NULL)
        return;
    CHECK(c->sends > 0);
    c->sends--;
    if (c->state == CLIENT_CLOSING)
        return;
    if (err == PEAL_E_QUOTA) {
        char full[WIRE_NAME_MAX + 32];
        (void)snprintf(full, sizeof full, "the mailbox of %.*s is full", (int)m->to_n, m->to);
        unsent(s, c, &m->id, err, full,
               "there is room again when they have fetched what waits for them; it is tried again "
               "until then");
        return;
    }
    if (err != 0) {
        unsent_because(s, c, &m->id, err);
        return;
    }
    if (s->stored_n == STORED_MAX)
        client_flush_stored(s);
    s->stored[s->stored_n++] = (struct stored){.client = m->client, .id = m->id};
}

/* One c_stored for each client that has some. It waits for the update's writes, unlike the rest:
 * "stored" is the one word that must never be said too early. */
void client_flush_stored(struct svc *s)
{
    struct peal_msg_id ids[STORED_MAX];
    size_t n = s->stored_n;
    CHECK(n <= STORED_MAX);
    for (size_t i = 0; i < n; i++) {
        uint32_t h = s->stored[i].client;
        struct client *c = client_get(s, h);
        size_t k = 0;
        if (h == 0 || c == NULL || c->state == CLIENT_CLOSING)
            continue;
        for (size_t j = i; j < n; j++) {
            if (s->stored[j].client != h)
                continue;
            ids[k++] = s->stored[j].id;
            s->stored[j].client = 0;
        }
        struct wire_c_stored m = {.ids = {.v = ids, .n = k}};
        step_send(s->u, c->link, WIRE_c_stored, &m);
    }
    s->stored_n = 0;
}

/* ---- who may say what ---- */

#define IN_NEW     (1U << CLIENT_NEW)
#define IN_GREETED (1U << CLIENT_GREETED)
#define IN_SESSION (1U << CLIENT_SESSION)

struct rule {
    unsigned states;
    bool counted; /* among what a stranger may ask */
    void (*run)(struct svc *s, struct client *c, const union wire_any *m);
};

#define RULE(type) [WIRE_##type - WIRE_FIRST_CLIENT]

static const struct rule rules[WIRE_FIRST_MULTICAST - WIRE_FIRST_CLIENT] = {
    RULE(c_hello) = {IN_NEW, true, on_hello},
    RULE(c_ping) = {IN_GREETED | IN_SESSION, true, on_ping},
    RULE(c_find) = {IN_GREETED | IN_SESSION, true, on_find},
    RULE(c_register) = {IN_GREETED, true, on_register},
    RULE(c_login) = {IN_GREETED, true, on_login},
    RULE(c_resume) = {IN_GREETED, true, on_resume},
    RULE(c_logout) = {IN_SESSION, true, on_logout},
    RULE(c_password) = {IN_GREETED | IN_SESSION, true, on_password},
    RULE(c_rescue) = {IN_GREETED, true, on_rescue},
    RULE(c_reset) = {IN_GREETED, true, on_reset},
    RULE(c_recovery) = {IN_SESSION, true, on_recovery},
    RULE(c_settings) = {IN_SESSION, true, on_settings},
    RULE(c_delete) = {IN_GREETED | IN_SESSION, true, on_delete},
    RULE(c_send) = {IN_SESSION, false, on_send},
    RULE(c_ack) = {IN_SESSION, false, on_ack},
    RULE(c_watch) = {IN_SESSION, true, on_watch},
    RULE(c_ring_get) = {IN_GREETED | IN_SESSION, true, on_ring_get},
    RULE(c_lookup) = {IN_GREETED | IN_SESSION, true, on_lookup},
    RULE(c_remove) = {IN_GREETED | IN_SESSION, true, on_remove},
};

static void refuse(struct svc *s, struct client *c, int err, uint16_t type, const char *what)
{
    char reason[ERROR_TEXT];
    (void)snprintf(reason, sizeof reason, "%s: %s", wire_type_name(type), what);
    s->stats.refused++;
    client_close(s, c, err, reason);
}

static bool too_curious(struct svc *s, struct client *c)
{
    if (c->state == CLIENT_SESSION)
        return false;
    if (s->ev->now_us - c->asked_us >= STRANGER_US) {
        c->asked_us = s->ev->now_us;
        c->asked = 0;
    }
    return ++c->asked > STRANGER_REQUESTS;
}

void client_received(struct svc *s, struct client *c)
{
    union wire_any m;
    uint16_t type = 0;
    if (c->state == CLIENT_CLOSING)
        return;
    c->heard_us = s->ev->now_us;
    arena_reset(&s->heap);
    int err = wire_decode(s->ev->bytes.p, s->ev->bytes.n, &type, &m, sizeof m, &s->heap);
    if (err != 0) {
        s->stats.refused++;
        client_close(s, c, err, "a message that cannot be read");
        return;
    }
    const struct rule *rule = type >= WIRE_FIRST_CLIENT && type < WIRE_FIRST_MULTICAST
                                  ? &rules[type - WIRE_FIRST_CLIENT]
                                  : NULL;
    if (rule == NULL || rule->run == NULL)
        refuse(s, c, PEAL_E_REFUSED, type, "not for clients to say");
    else if ((rule->states & 1U << c->state) == 0)
        refuse(s, c, PEAL_E_REFUSED, type, "not at this point of the conversation");
    else if (rule->counted && too_curious(s, c))
        refuse(s, c, PEAL_E_BUSY, type, "too many requests without a session");
    else
        rule->run(s, c, &m);
}
