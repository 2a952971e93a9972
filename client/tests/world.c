#include "world.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the servers ---------------------------------------------------------------------------- */

struct world_account *world_account(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->account_n; i++) {
        if (strcmp(w->accounts[i].name, name) == 0)
            return &w->accounts[i];
    }
    return NULL;
}

static struct world_account *account_of(struct world *w, struct peal_bytes name)
{
    char text[NAME_BYTES_MAX + 1];
    cr_assert_eq(peal_bytes_to_str(name, sizeof text, text), 0, "a name with a NUL");
    cr_assert(name_is_canonical(name), "a name that is not canonical: %s", text);
    return world_account(w, text);
}

static struct world_account *account_on(struct world *w, struct net_link *link)
{
    for (size_t i = 0; i < w->account_n; i++) {
        if (w->accounts[i].link == link)
            return &w->accounts[i];
    }
    return NULL;
}

static void say_error(struct net_link *link, uint64_t req, int err, const char *message)
{
    struct wire_c_error m = {
        .req = req, .code = (uint16_t)-err, .message = peal_bytes_str(message)};
    fake_say(link, WIRE_c_error, &m);
}

static void deliver(struct world *w, struct world_account *a)
{
    struct wire_row rows[WIRE_PAGE_ROWS];
    size_t n = 0;
    for (size_t i = 0; i < w->row_n && n < WIRE_PAGE_ROWS; i++) {
        struct world_row *r = &w->rows[i];
        if (r->acked || strcmp(r->to, a->name) != 0)
            continue;
        rows[n++] = (struct wire_row){.id = r->id,
                                      .kind = r->kind,
                                      .from = peal_bytes_str(r->from),
                                      .stamp = r->stamp,
                                      .body = peal_bytes_of(r->body, r->body_n)};
    }
    struct wire_c_deliver m = {.rows = {.v = rows, .n = n}};
    if (a->link != NULL)
        fake_say(a->link, WIRE_c_deliver, &m);
}

void world_deliver(struct world *w, const char *name)
{
    deliver(w, world_account(w, name));
}

static void open_session(struct fake *f, struct net_link *link, uint64_t req,
                         struct world_account *a)
{
    struct world *w = f->user;
    if (a->link != NULL && a->link != link) {
        struct wire_c_bye bye = {.code = -PEAL_E_TAKEN_OVER,
                                 .message = peal_bytes_str("in use elsewhere")};
        fake_say(a->link, WIRE_c_bye, &bye);
        net_link_close(a->link, "taken over");
    }
    a->at = f;
    a->link = link;
    struct wire_c_session s = {.req = req,
                               .name = peal_bytes_str(a->name),
                               .display = peal_bytes_str(a->display),
                               .receipts = a->receipts,
                               .unread = a->unread,
                               .session_days = a->session_days,
                               .generation = a->generation,
                               .token = peal_bytes_of(a->token, sizeof a->token),
                               .bundle = peal_bytes_of(a->bundle, a->bundle_n),
                               .wrapped = peal_bytes_of(a->wrapped, a->wrapped_n)};
    fake_say(link, WIRE_c_session, &s);
    deliver(w, a);
}

static void take_recovery(struct world_account *a, struct peal_bytes recovery,
                          struct peal_bytes rescued)
{
    cr_assert_eq(recovery.n, sizeof a->recovery, "%zu bytes of a hash", recovery.n);
    memcpy(a->recovery, recovery.p, sizeof a->recovery);
    memcpy(a->rescued, rescued.p, rescued.n);
    a->rescued_n = rescued.n;
}

static void on_register(struct fake *f, struct net_link *link, const struct wire_c_register *m)
{
    struct world *w = f->user;
    if (account_of(w, m->name) != NULL) {
        say_error(link, m->req, PEAL_E_EXISTS, "the name is taken");
        return;
    }
    struct world_account *a = &w->accounts[w->account_n++];
    cr_assert_eq(peal_bytes_to_str(m->name, sizeof a->name, a->name), 0, "a name with a NUL");
    memcpy(a->salt, m->salt.p, 16);
    memcpy(a->auth, m->auth.p, 32);
    memcpy(a->bundle, m->bundle.p, m->bundle.n);
    a->bundle_n = m->bundle.n;
    memcpy(a->wrapped, m->wrapped.p, m->wrapped.n);
    a->wrapped_n = m->wrapped.n;
    take_recovery(a, m->recovery, m->rescued);
    cr_assert_eq(peal_bytes_to_str(m->display, sizeof a->display, a->display), 0, "with a NUL");
    a->receipts = true;
    a->ops = m->ops;
    a->mem_kib = m->mem_kib;
    a->generation = 1;
    cry_random(a->token, sizeof a->token);
    open_session(f, link, m->req, a);
}

static void on_find(struct fake *f, struct net_link *link, const struct wire_c_find *m)
{
    const struct world *w = f->user;
    struct world_account *a = account_of(f->user, m->name);
    if (w->hold_finds)
        return;
    if (a == NULL || a->deleted) {
        say_error(link, m->req, PEAL_E_NOT_FOUND,
                  a == NULL ? "no such account" : "the account was deleted");
        return;
    }
    struct wire_c_user u = {.req = m->req,
                            .name = m->name,
                            .display = m->name,
                            .bundle = peal_bytes_of(a->bundle, a->bundle_n),
                            .salt = peal_bytes_of(a->salt, sizeof a->salt),
                            .ops = a->ops,
                            .mem_kib = a->mem_kib,
                            .online = a->link != NULL,
                            .last_seen = 1700000000000};
    fake_say(link, WIRE_c_user, &u);
}

static void on_login(struct fake *f, struct net_link *link, const struct wire_c_login *m)
{
    struct world_account *a = account_of(f->user, m->name);
    if (a == NULL || memcmp(a->auth, m->auth.p, 32) != 0) {
        say_error(link, m->req, PEAL_E_AUTH, "the password is wrong");
        return;
    }
    a->generation++;
    cry_random(a->token, sizeof a->token);
    open_session(f, link, m->req, a);
}

static bool lost(struct world *w, struct net_link *link)
{
    bool lose = w->lose_password;
    w->lose_password = false;
    if (lose)
        net_link_close(link, "lost");
    return lose;
}

/* Once for a req_id: then the session of the first time. */
static void on_password(struct fake *f, struct net_link *link, const struct wire_c_password *m)
{
    struct world *w = f->user;
    struct world_account *a = account_of(w, m->name);
    bool again = a != NULL && msg_id_eq(&a->changed_by, &m->req_id);
    w->password_asks++;
    if (a == NULL || memcmp(a->auth, again ? m->new_auth.p : m->auth.p, 32) != 0) {
        say_error(link, m->req, PEAL_E_AUTH, "the password is wrong");
        return;
    }
    if (!again) {
        memcpy(a->auth, m->new_auth.p, 32);
        memcpy(a->salt, m->salt.p, 16);
        memcpy(a->wrapped, m->wrapped.p, m->wrapped.n);
        a->wrapped_n = m->wrapped.n;
        a->ops = m->ops;
        a->mem_kib = m->mem_kib;
        a->generation++;
        a->changed_by = m->req_id;
        cry_random(a->token, sizeof a->token);
    }
    if (!lost(w, link))
        open_session(f, link, m->req, a);
}

static bool is_recovery(const struct world_account *a, struct peal_bytes auth)
{
    uint8_t hash[CRY_HASH_BYTES];
    cr_assert_eq(auth.n, 32, "%zu bytes authenticate", auth.n);
    cry_recovery_hash(auth.p, hash);
    return a != NULL && a->rescued_n > 0 && memcmp(hash, a->recovery, sizeof hash) == 0;
}

static void on_rescue(struct fake *f, struct net_link *link, const struct wire_c_rescue *m)
{
    struct world *w = f->user;
    struct world_account *a = account_of(w, m->name);
    w->rescue_asks++;
    if (a == NULL || a->rescued_n == 0 || !is_recovery(a, m->auth)) {
        say_error(link, m->req, a == NULL ? PEAL_E_NOT_FOUND : PEAL_E_AUTH,
                  "this is not the account's recovery key");
        return;
    }
    struct wire_c_rescued rescued = {.req = m->req,
                                     .wrapped = peal_bytes_of(a->rescued, a->rescued_n),
                                     .bundle = peal_bytes_of(a->bundle, a->bundle_n)};
    fake_say(link, WIRE_c_rescued, &rescued);
}

static void on_reset(struct fake *f, struct net_link *link, const struct wire_c_reset *m)
{
    struct world *w = f->user;
    struct world_account *a = account_of(w, m->name);
    cr_assert_not_null(a, "nobody's is reset");
    bool again = msg_id_eq(&a->changed_by, &m->req_id);
    if (!again && !is_recovery(a, m->auth)) {
        say_error(link, m->req, PEAL_E_AUTH, "this is not the account's recovery key");
        return;
    }
    if (!again) {
        memcpy(a->auth, m->new_auth.p, 32);
        memcpy(a->salt, m->salt.p, 16);
        memcpy(a->wrapped, m->wrapped.p, m->wrapped.n);
        a->wrapped_n = m->wrapped.n;
        take_recovery(a, m->recovery, m->rescued);
        a->ops = m->ops;
        a->mem_kib = m->mem_kib;
        a->generation++;
        a->changed_by = m->req_id;
        cry_random(a->token, sizeof a->token);
    }
    if (!lost(w, link))
        open_session(f, link, m->req, a);
}

static void on_recovery(struct world *w, struct net_link *link, const struct wire_c_recovery *m)
{
    struct world_account *a = account_on(w, link);
    struct wire_c_ok ok = {.req = m->req};
    cr_assert_not_null(a, "a recovery key without a session");
    if (memcmp(a->auth, m->auth.p, 32) != 0) {
        say_error(link, m->req, PEAL_E_AUTH, "the password is wrong");
        return;
    }
    if (!msg_id_eq(&a->changed_by, &m->req_id))
        take_recovery(a, m->recovery, m->rescued);
    a->changed_by = m->req_id;
    if (!lost(w, link))
        fake_say(link, WIRE_c_ok, &ok);
}

static void on_settings(struct world *w, struct net_link *link, const struct wire_c_settings *m)
{
    struct world_account *a = account_on(w, link);
    struct wire_c_ok ok = {.req = m->req};
    cr_assert_not_null(a, "settings without a session");
    cr_assert_eq(peal_bytes_to_str(m->display, sizeof a->display, a->display), 0, "with a NUL");
    a->receipts = m->receipts;
    a->unread = m->unread;
    a->session_days = m->session_days;
    if (!lost(w, link))
        fake_say(link, WIRE_c_ok, &ok);
}

static void on_delete(struct world *w, struct net_link *link, const struct wire_c_delete *m)
{
    struct world_account *a = account_of(w, m->name);
    struct wire_c_ok ok = {.req = m->req};
    bool again = a != NULL && a->deleted && msg_id_eq(&a->changed_by, &m->req_id);
    if (a == NULL || (a->deleted && !again)) {
        say_error(link, m->req, PEAL_E_NOT_FOUND, "the account was deleted");
    } else if (memcmp(a->auth, m->auth.p, 32) != 0) {
        say_error(link, m->req, PEAL_E_AUTH, "the password is wrong");
    } else {
        a->deleted = true;
        a->changed_by = m->req_id;
        memset(a->token, 0, sizeof a->token);
        if (!lost(w, link))
            fake_say(link, WIRE_c_ok, &ok);
    }
}

static void on_resume(struct fake *f, struct net_link *link, const struct wire_c_resume *m)
{
    struct world *w = f->user;
    struct world_account *a = account_of(w, m->name);
    if (w->lost_resumes > 0) {
        w->lost_resumes--;
        say_error(link, m->req, PEAL_E_UNAVAILABLE, "too few servers");
        return;
    }
    if (a == NULL || memcmp(a->token, m->token.p, 32) != 0)
        say_error(link, m->req, PEAL_E_AUTH, "this session has ended");
    else
        open_session(f, link, m->req, a);
}

static bool is_known(const struct world *w, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < w->row_n; i++) {
        if (msg_id_eq(&w->rows[i].id, id))
            return true;
    }
    return false;
}

static void on_send(struct fake *f, struct net_link *link, const struct wire_c_send *m)
{
    struct world *w = f->user;
    struct world_account *from = account_on(w, link);
    cr_assert_not_null(from, "a message without a session");
    w->sends++;
    if (w->busy > 0 || w->refuse_sends) {
        w->busy -= w->busy > 0;
        struct wire_c_unsent no = {.id = m->id,
                                   .code = w->refuse_sends ? -PEAL_E_REFUSED : -PEAL_E_BUSY,
                                   .message = peal_bytes_str("not now")};
        fake_say(link, WIRE_c_unsent, &no);
        return;
    }
    if (m->kind == WIRE_ROW_MESSAGE && peal_bytes_eq(m->name, peal_bytes_str(w->full))) {
        char why[NAME_BYTES_MAX + 32];
        (void)snprintf(why, sizeof why, "the mailbox of %s is full", w->full);
        struct wire_c_unsent no = {
            .id = m->id, .code = -PEAL_E_QUOTA, .message = peal_bytes_str(why)};
        w->full_told++;
        fake_say(link, WIRE_c_unsent, &no);
        return;
    }
    if (!is_known(w, &m->id)) {
        struct world_row *r = &w->rows[w->row_n++];
        cr_assert_leq(w->row_n, WORLD_ROWS, "too many rows");
        *r = (struct world_row){
            .id = m->id, .kind = m->kind, .stamp = net_wall_ms() << 16, .body_n = m->body.n};
        cr_assert_eq(peal_bytes_to_str(m->name, sizeof r->to, r->to), 0, "a name with a NUL");
        (void)snprintf(r->from, sizeof r->from, "%s", from->name);
        r->body = malloc(m->body.n);
        memcpy(r->body, m->body.p, m->body.n);
    }
    if (w->hold_stored) {
        if (w->sends > w->max_flying)
            w->max_flying = w->sends;
        return;
    }
    struct peal_msg_id id = m->id;
    struct wire_c_stored stored = {.ids = {.v = &id, .n = 1}};
    fake_say(link, WIRE_c_stored, &stored);
    struct world_account *to = account_of(w, m->name);
    if (to != NULL)
        deliver(w, to);
}

static void on_ack(struct fake *f, const struct wire_c_ack *m)
{
    struct world *w = f->user;
    for (size_t i = 0; i < m->ids.n; i++) {
        for (size_t j = 0; j < w->row_n; j++) {
            if (msg_id_eq(&w->rows[j].id, &m->ids.v[i]))
                w->rows[j].acked = true;
        }
    }
}

/* A ring of two; the other one is joining. */
static void on_ring_get(struct net_link *link, const struct wire_c_ring_get *m)
{
    struct wire_node nodes[] = {{.id = {.b = {1}},
                                 .address = peal_bytes_str("192.0.2.1:7600"),
                                 .incarnation = 4,
                                 .state = WIRE_NODE_UP,
                                 .successor = {.b = {2}},
                                 .predecessor = {.b = {2}},
                                 .clients = 1,
                                 .rows = 5},
                                {.id = {.b = {2}},
                                 .address = peal_bytes_str("192.0.2.2:7600"),
                                 .incarnation = 1,
                                 .state = WIRE_NODE_JOINING}};
    struct wire_c_ring ring = {.req = m->req,
                               .whole = true,
                               .epoch = 3,
                               .coordinator = nodes[0].id,
                               .nodes = {.v = nodes, .n = PEAL_COUNT(nodes)}};
    fake_say(link, WIRE_c_ring, &ring);
}

static void on_lookup(struct world *w, struct net_link *link, const struct wire_c_lookup *m)
{
    struct peal_id path[] = {{.b = {1}}, {.b = {3}}, {.b = {2}}};
    struct world_account *a = account_of(w, m->name); /* and the name is canonical */
    if (w->lost_lookups > 0) {
        w->lost_lookups--;
        say_error(link, m->req, PEAL_E_UNAVAILABLE, "the ring did not answer in time");
        return;
    }
    struct wire_c_path found = {.req = m->req,
                                .key = cry_account_key(m->name),
                                .owner = path[a != NULL ? 2 : 0],
                                .path = {.v = path, .n = a != NULL ? PEAL_COUNT(path) : 1},
                                .micros = 640};
    fake_say(link, WIRE_c_path, &found);
}

static void on_any(struct fake *f, struct net_link *link, uint16_t type, const union wire_any *msg)
{
    switch (type) {
    case WIRE_c_register:
        on_register(f, link, &msg->c_register);
        break;
    case WIRE_c_find:
        on_find(f, link, &msg->c_find);
        break;
    case WIRE_c_login:
        on_login(f, link, &msg->c_login);
        break;
    case WIRE_c_rescue:
        on_rescue(f, link, &msg->c_rescue);
        break;
    case WIRE_c_reset:
        on_reset(f, link, &msg->c_reset);
        break;
    case WIRE_c_recovery:
        on_recovery(f->user, link, &msg->c_recovery);
        break;
    case WIRE_c_settings:
        on_settings(f->user, link, &msg->c_settings);
        break;
    case WIRE_c_delete:
        on_delete(f->user, link, &msg->c_delete);
        break;
    case WIRE_c_password:
        on_password(f, link, &msg->c_password);
        break;
    case WIRE_c_resume:
        on_resume(f, link, &msg->c_resume);
        break;
    case WIRE_c_send:
        on_send(f, link, &msg->c_send);
        break;
    case WIRE_c_ack:
        on_ack(f, &msg->c_ack);
        break;
    case WIRE_c_logout: {
        struct world_account *a = account_on(f->user, link);
        struct wire_c_ok ok = {.req = msg->c_logout.req};
        cr_assert_not_null(a, "a logout without a session");
        a->link = NULL;
        memset(a->token, 0, sizeof a->token);
        fake_say(link, WIRE_c_ok, &ok);
        break;
    }
    case WIRE_c_ring_get:
        on_ring_get(link, &msg->c_ring_get);
        break;
    case WIRE_c_lookup:
        on_lookup(f->user, link, &msg->c_lookup);
        break;
    case WIRE_c_watch:
        for (size_t i = 0; i < msg->c_watch.names.n; i++) {
            struct world_account *a = account_of(f->user, msg->c_watch.names.v[i].name);
            struct wire_c_presence p = {.name = msg->c_watch.names.v[i].name,
                                        .online = a != NULL && a->link != NULL};
            fake_say(link, WIRE_c_presence, &p);
        }
        break;
    default:
        cr_assert_fail("the client sent %s", wire_type_name(type));
    }
}

static void on_gone(struct fake *f, struct net_link *link)
{
    struct world_account *a = account_on(f->user, link);
    if (a != NULL)
        a->link = NULL;
}

void world_up(struct world *w)
{
    memset(w, 0, sizeof *w);
    struct net_loop_config config = {.close_us = 200 * 1000};
    int err = net_loop_new(&config, &w->loop);
    cr_assert_eq(err, 0, "no loop");
    for (unsigned i = 0; i < WORLD_SERVERS; i++) {
        fake_identity(1, i + 1, &w->ids[i]);
        w->servers[i].on = on_any;
        w->servers[i].gone = on_gone;
        w->servers[i].user = w;
        fake_start(&w->servers[i], w->loop, &w->ids[i]);
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void world_down(struct world *w)
{
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        struct world_client *wc = &w->clients[i];
        if (wc->client != NULL)
            world_client_close(wc);
        json_decref(wc->events);
        json_decref(wc->reply);
        json_decref(wc->more);
        if (wc->dir[0] != '\0')
            nftw(wc->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    for (size_t i = 0; i < WORLD_SERVERS; i++) {
        if (w->servers[i].listener != NULL)
            fake_kill(&w->servers[i]);
    }
    net_loop_free(w->loop);
    for (size_t i = 0; i < w->row_n; i++)
        free(w->rows[i].body);
}

/* ---- the clients --------------------------------------------------------------------------------
 */

static void on_event(void *user, const char *name, json_t *data)
{
    struct world_client *wc = user;
    json_array_append_new(wc->events, json_pack("[sO]", name, data));
}

void world_client_open(struct world_client *wc)
{
    char why[CLIENT_WHY_MAX];
    struct net_place places[WORLD_SERVERS];
    size_t n = 0;
    for (size_t i = 0; i < WORLD_SERVERS; i++) {
        if (wc->w->servers[i].listener != NULL)
            places[n++] = wc->w->servers[i].place;
    }
    int err = profile_open(wc->dir, &wc->profile, why);
    cr_assert_eq(err, 0, "the profile: %s", why);
    struct client_config config = {.profile = wc->profile,
                                   .servers = places,
                                   .server_count = n,
                                   .event = on_event,
                                   .user = wc};
    err = client_new(wc->w->loop, &config, &wc->client, why);
    cr_assert_eq(err, 0, "the client: %s", why);
    client_start(wc->client);
}

struct world_client *world_client(struct world *w, size_t i)
{
    struct world_client *wc = &w->clients[i];
    wc->w = w;
    (void)snprintf(wc->dir, sizeof wc->dir, "/tmp/peal-test-XXXXXX");
    cr_assert_not_null(mkdtemp(wc->dir), "no folder");
    wc->events = json_array();
    wc->more = json_array();
    world_client_open(wc);
    return wc;
}

static bool no_jobs(void *user)
{
    return ((struct client *)user)->jobs == 0;
}

void world_client_close(struct world_client *wc)
{
    client_stop(wc->client);
    fake_until(wc->w->loop, no_jobs, wc->client, "the workers");
    client_free(wc->client);
    profile_close(wc->profile);
    wc->client = NULL;
    wc->profile = NULL;
}

static void on_reply(void *user, json_t *object, bool last)
{
    struct world_client *wc = user;
    if (!last) {
        json_array_append(wc->more, object);
        return;
    }
    json_decref(wc->reply);
    wc->reply = json_incref(object);
    wc->done = true;
}

static bool is_done(void *user)
{
    return ((struct world_client *)user)->done;
}

json_t *world_do(struct world_client *wc, json_t *request)
{
    wc->done = false;
    json_array_clear(wc->more);
    cr_assert_not_null(request, "the request is not of its form");
    client_command(wc->client, request, on_reply, wc, NULL);
    fake_until(wc->w->loop, is_done, wc, "an answer");
    json_decref(request);
    return wc->reply;
}

json_t *world_ok(struct world_client *wc, json_t *request)
{
    json_t *reply = world_do(wc, request);
    char *text = json_dumps(reply, JSON_COMPACT);
    cr_assert_eq(client_error_of(reply), 0, "refused: %s", text);
    free(text);
    return reply;
}

const char *world_code(struct world_client *wc, json_t *request)
{
    json_t *error = json_object_get(world_do(wc, request), "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    return code != NULL ? code : "";
}

struct wanted {
    struct world_client *wc;
    const char *name, *key, *value;
    json_t *data;
};

static bool has_event(void *user)
{
    struct wanted *want = user;
    size_t i;
    json_t *event;
    json_array_foreach(want->wc->events, i, event)
    {
        json_t *data = json_array_get(event, 1);
        const char *value =
            want->key != NULL ? json_string_value(json_object_get(data, want->key)) : NULL;
        if (strcmp(json_string_value(json_array_get(event, 0)), want->name) != 0 ||
            (want->value != NULL && (value == NULL || strcmp(value, want->value) != 0)))
            continue;
        want->data = data;
        return true;
    }
    return false;
}

json_t *world_event(struct world_client *wc, const char *name, const char *key, const char *value)
{
    char what[128];
    struct wanted want = {.wc = wc, .name = name, .key = key, .value = value};
    (void)snprintf(what, sizeof what, "event %s with %s=%s", name, key != NULL ? key : "",
                   value != NULL ? value : "");
    fake_until(wc->w->loop, has_event, &want, what);
    return want.data;
}

void world_register(struct world_client *wc, const char *name)
{
    world_ok(wc, json_pack("{s:s,s:s,s:s}", "cmd", "register", "name", name, "password",
                           "correct horse"));
}

const char *world_send(struct world_client *wc, const char *to, const char *text)
{
    json_t *reply = world_ok(wc, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", to, "text", text));
    return json_string_value(json_object_get(reply, "id"));
}

void world_turn(struct world *w)
{
    net_loop_once(w->loop, true);
}
