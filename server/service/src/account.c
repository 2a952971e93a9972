/* Accounts: finding, registering, logging in, resuming, logging out. An account is one register on
 * the ring, so that each of these is one linearizable read or change of it; requests wait in slots
 * for what they asked of chord and of the bcrypt workers.
 *
 * Retries. A client sends what was not answered again, through any server, with the same req_id,
 * and gets the first result. The session's token follows from the authentication key and the req_id
 * (with BLAKE2b, which only who has the key can repeat), so any server finds in the register
 * whether the session there is this request's own, and can say its token once more. A registration
 * whose req_id is the register's has been done, and a login whose req_id is among the last ones as
 * well, whatever came after them: neither is done again, since that would end a session that was
 * opened later; the client is told that its session is over. */
#include "inner.h"

#include <stdio.h>
#include <string.h>

static const char token_domain[] = "peal.session.1";

/* ---- requests ---- */

static uint64_t token_of(const struct request *r)
{
    return token_make(TOKEN_REQUEST, 0, r->handle);
}

/* The client that still waits for the answer, or NULL. */
static struct client *asker(const struct svc *s, const struct request *r)
{
    struct client *c = client_get(s, r->client);
    return c != NULL && c->state != CLIENT_CLOSING ? c : NULL;
}

static struct request *begin(struct svc *s, struct client *c, enum request_kind kind, uint64_t req,
                             struct peal_bytes name)
{
    uint32_t h = 0;
    CHECK(name.n >= 1 && name.n <= WIRE_NAME_MAX);
    struct request *r = c->requests < SVC_LINK_REQUESTS_MAX ? slab_take(&s->requests, &h) : NULL;
    if (r == NULL) {
        client_failure(s, c, req, PEAL_E_BUSY);
        return NULL;
    }
    r->handle = h;
    r->kind = kind;
    r->client = c->handle;
    r->req = req;
    r->box = cry_account_key(name);
    memcpy(r->name, name.p, name.n);
    r->name_n = (uint8_t)name.n;
    c->requests++;
    c->signing_in |= kind == REQ_REGISTER || kind == REQ_LOGIN || kind == REQ_RESUME;
    return r;
}

static void finish(struct svc *s, struct request *r)
{
    struct client *c = client_get(s, r->client);
    if (c != NULL) {
        CHECK(c->requests > 0);
        c->requests--;
        if (r->kind == REQ_REGISTER || r->kind == REQ_LOGIN || r->kind == REQ_RESUME)
            c->signing_in = false;
    }
    if (r->draft != 0)
        slab_release(&s->drafts, r->draft);
    cry_wipe(r->auth, sizeof r->auth);
    cry_wipe(r->token, sizeof r->token);
    slab_release(&s->requests, r->handle);
}

static void fail(struct svc *s, struct request *r, int err, const char *message, const char *hint)
{
    struct client *c = asker(s, r);
    if (c != NULL && message != NULL)
        client_error(s, c, r->req, err, message, hint);
    else if (c != NULL)
        client_failure(s, c, r->req, err);
    finish(s, r);
}

static void fail_naming(struct svc *s, struct request *r, int err, const char *before,
                        const char *after, const char *hint)
{
    char text[ERROR_TEXT];
    char name[WIRE_NAME_MAX + 1];
    memcpy(name, r->name, r->name_n);
    name[r->name_n] = 0;
    (void)snprintf(text, sizeof text, "%s%s%s", before, name, after);
    fail(s, r, err, text, hint);
}

static void fail_not_found(struct svc *s, struct request *r)
{
    fail_naming(s, r, PEAL_E_NOT_FOUND, "there is no account named ", "",
                r->kind == REQ_FIND ? "check the spelling; names are the same on every server"
                                    : "check the spelling, or register the name");
}

static void fail_taken(struct svc *s, struct request *r)
{
    fail_naming(s, r, PEAL_E_EXISTS, "the name ", " is taken", "choose another name");
}

/* It was done before, and what it began has ended. */
static void fail_over(struct svc *s, struct request *r)
{
    fail(s, r, PEAL_E_TAKEN_OVER, "this was done before, and its session is over", "log in again");
}

/* A register operation in this phase; the request may be over when it returns. */
static void operate(struct svc *s, struct request *r, enum request_phase phase)
{
    r->phase = phase;
    uint32_t h = r->handle;
    /* a login reads what it is about to change */
    bool only = phase == PHASE_READ && r->kind != REQ_LOGIN;
    int err = (only ? chord_reg_read : chord_reg_change)(s->chord, s->ev, s->u, token_of(r),
                                                         &r->box, REGISTER_US);
    if (err != 0) {
        r = slab_get(&s->requests, h);
        CHECK(r != NULL);
        fail(s, r, err, NULL, NULL);
    }
}

bool account_check_name(struct svc *s, const struct client *c, uint64_t req, struct peal_bytes name)
{
    char canonical[NAME_BYTES_MAX + 1];
    char hint[ERROR_TEXT];
    if (name_is_canonical(name))
        return true;
    int err = name_canonical(name, canonical);
    if (err != 0) {
        client_error(s, c, req, err, name_why(err), "choose another spelling");
    } else {
        (void)snprintf(hint, sizeof hint, "ask for %s", canonical);
        client_error(s, c, req, PEAL_E_MALFORMED, "the name is not in its canonical form", hint);
    }
    return false;
}

/* A second one of these at a time is out of state: it could only fight with the first. */
static bool may_sign_in(struct svc *s, struct client *c)
{
    if (!c->signing_in)
        return true;
    client_close(s, c, PEAL_E_REFUSED, "signs in twice at once");
    return false;
}

/* ---- tokens and failures ---- */

/* The same for the same request, at every server. */
static void make_token(struct request *r)
{
    struct cry_hash h;
    cry_hash_init(&h, "peal.session.2");
    cry_hash_part(&h, peal_bytes_of(r->auth, sizeof r->auth));
    cry_hash_part(&h, peal_bytes_of(r->name, r->name_n));
    cry_hash_part(&h, peal_bytes_of(r->id.b, sizeof r->id.b));
    cry_hash_end(&h, r->token);
    cry_digest(token_domain, peal_bytes_of(r->token, sizeof r->token), r->token_hash);
    cry_wipe(&h, sizeof h);
}

static bool is_own_token(const struct request *r, const struct wire_s_account *a)
{
    return a->token.n == sizeof r->token_hash &&
           cry_equal(a->token.p, r->token_hash, sizeof r->token_hash);
}

uint32_t account_failure_cell(const struct svc *s, const char *kind, struct peal_bytes who)
{
    struct cry_hash h;
    uint8_t hash[CRY_HASH_BYTES];
    uint32_t cell = 0;
    cry_hash_init(&h, "peal.failures.1");
    /* Where the maps' seed lies does not matter, only that a stranger cannot know it. */
    cry_hash_add(&h, s->links.seed, sizeof s->links.seed);
    cry_hash_part(&h, peal_bytes_str(kind));
    cry_hash_part(&h, who);
    cry_hash_end(&h, hash);
    memcpy(&cell, hash, sizeof cell);
    return cell & (FAILURE_CELLS - 1);
}

static struct failure_cell *cell_now(struct svc *s, uint32_t at)
{
    struct failure_cell *x = &s->failures[at];
    uint32_t minute = (uint32_t)(s->ev->now_us / MINUTE_US);
    if (x->minute != minute)
        *x = (struct failure_cell){.minute = minute};
    return x;
}

/* ---- find ---- */

static void note_presence(struct request *r, const struct wire_n_presence *m)
{
    CHECK(r->phase == PHASE_PRESENCE);
    bool better = m->generation > r->generation ||
                  (m->generation == r->generation && m->online && !r->online);
    if (better) {
        r->generation = m->generation;
        r->online = m->online;
        r->last_seen = m->last_seen;
    }
}

void account_presence(struct svc *s, struct request *r, const struct peal_id *from,
                      const struct wire_n_presence *m)
{
    uint32_t i = 0;
    while (i < r->asked_n && !id_eq(&r->asked[i], from))
        i++;
    if (i == r->asked_n)
        return;
    note_presence(r, m);
    r->asked[i] = r->asked[--r->asked_n];
    if (r->asked_n == 0)
        operate(s, r, PHASE_READ);
}

void account_find(struct svc *s, struct client *c, const struct wire_c_find *m)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = 0;
    if (!account_check_name(s, c, m->req, m->name))
        return;
    struct request *r = begin(s, c, REQ_FIND, m->req, m->name);
    if (r == NULL)
        return;
    r->phase = PHASE_PRESENCE;
    r->due_us = s->ev->now_us + PRESENCE_US;
    size_t n = session_homes(s, &r->box, homes, &mark);
    struct wire_n_presence here = {0};
    struct wire_n_presence_get ask = {.op = token_of(r), .box = r->box};
    for (size_t i = 0; i < n; i++) {
        if (id_eq(&homes[i], &s->self))
            home_presence(s, &r->box, &here);
        else if (chord_send(s->chord, s->u, &homes[i], WIRE_n_presence_get, &ask, true) == 0)
            r->asked[r->asked_n++] = homes[i];
    }
    note_presence(r, &here); /* what this node itself knows */
    if (r->asked_n == 0)
        operate(s, r, PHASE_READ);
}

/* A home that is down now will not answer. */
void account_homes_changed(struct svc *s)
{
    uint32_t at = 0;
    uint32_t h = 0;
    struct request *r = NULL;
    while (s->requests.used > 0 && (r = slab_each(&s->requests, &at, &h)) != NULL) {
        if (r->phase != PHASE_PRESENCE)
            continue;
        for (uint32_t i = r->asked_n; i > 0; i--)
            if (!chord_is_up(s->chord, &r->asked[i - 1]))
                r->asked[i - 1] = r->asked[--r->asked_n];
        if (r->asked_n > 0)
            continue;
        if (update_has_room(s))
            operate(s, r, PHASE_READ);
        else
            r->due_us = s->ev->now_us;
    }
}

/* Homes that are late about presence are done without. */
void account_tick(struct svc *s)
{
    uint32_t at = 0;
    uint32_t h = 0;
    struct request *r = NULL;
    while (s->requests.used > 0 && (r = slab_each(&s->requests, &at, &h)) != NULL)
        if (r->phase == PHASE_PRESENCE && s->ev->now_us >= r->due_us && update_has_room(s))
            operate(s, r, PHASE_READ);
}

static void found(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct client *c = asker(s, r);
    struct wire_c_user m = {.req = r->req,
                            .name = a->name,
                            .display = a->display,
                            .bundle = a->bundle,
                            .salt = a->salt,
                            .ops = a->ops,
                            .mem_kib = a->mem_kib,
                            .online = r->online,
                            .last_seen = r->last_seen};
    if (c != NULL)
        client_say(s, c, WIRE_c_user, &m);
    finish(s, r);
}

/* ---- sessions ---- */

/* The register says that this client has the session. */
static void sign_in(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct client *c = asker(s, r);
    if (c == NULL) {
        finish(s, r);
        return;
    }
    CHECK(c->state == CLIENT_GREETED);
    if (session_open(s, c, &r->box, a->name, a->generation) != 0) {
        fail(s, r, PEAL_E_STALE, NULL, NULL);
        return;
    }
    struct wire_c_session m = {.req = r->req,
                               .name = a->name,
                               .display = a->display,
                               .generation = a->generation,
                               .token = peal_bytes_of(r->token, sizeof r->token),
                               .bundle = a->bundle,
                               .wrapped = a->wrapped};
    client_say(s, c, WIRE_c_session, &m);
    finish(s, r);
    session_begin(s, c);
}

void account_resume(struct svc *s, struct client *c, const struct wire_c_resume *m)
{
    if (!may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    if (m->token.n != WIRE_TOKEN_BYTES) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, "this is not a session token", "log in again");
        return;
    }
    struct request *r = begin(s, c, REQ_RESUME, m->req, m->name);
    if (r == NULL)
        return;
    memcpy(r->token, m->token.p, sizeof r->token);
    cry_digest(token_domain, m->token, r->token_hash);
    operate(s, r, PHASE_READ);
}

static void resumed(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    if (is_own_token(r, a))
        sign_in(s, r, a);
    else
        fail(s, r, PEAL_E_AUTH, "this session has ended", "log in with the password");
}

void account_logout(struct svc *s, struct client *c, const struct wire_c_logout *m)
{
    struct request *r = begin(s, c, REQ_LOGOUT, m->req, peal_bytes_of(c->name, c->name_n));
    if (r == NULL)
        return;
    r->generation = c->generation;
    operate(s, r, PHASE_CHANGE);
}

static void logged_out(struct svc *s, struct request *r)
{
    struct client *c = asker(s, r);
    struct wire_c_ok m = {.req = r->req};
    if (c != NULL) {
        if (c->state == CLIENT_SESSION && c->generation == r->generation)
            session_end(s, c, true);
        client_say(s, c, WIRE_c_ok, &m);
    }
    finish(s, r);
}

/* ---- log in ---- */

void account_login(struct svc *s, struct client *c, const struct wire_c_login *m)
{
    if (!may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    if (m->auth.n != sizeof((struct request *)0)->auth) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, "this is not an authentication key",
                     "update the client");
        return;
    }
    uint32_t cell = account_failure_cell(s, "account", m->name);
    if (cell_now(s, cell)->count >= SVC_LOGIN_FAILURES ||
        cell_now(s, c->failure_cell)->count >= ADDRESS_FAILURES) {
        client_error(s, c, m->req, PEAL_E_BUSY, "there were too many wrong passwords",
                     "wait a minute and try again");
        return;
    }
    struct request *r = begin(s, c, REQ_LOGIN, m->req, m->name);
    if (r == NULL)
        return;
    r->failure_cell = cell;
    r->id = m->req_id;
    memcpy(r->auth, m->auth.p, sizeof r->auth);
    make_token(r);
    operate(s, r, PHASE_READ);
}

/* Counts as a failure until the password has proved right, so that guesses at the same time count
 * as well. */
static void verify(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    uint8_t input[sizeof r->auth + CRY_BCRYPT_SIZE];
    CHECK(a->bcrypt.n < sizeof r->bcrypt);
    if (cell_now(s, r->failure_cell)->count >= SVC_LOGIN_FAILURES) {
        fail(s, r, PEAL_E_BUSY, "there were too many wrong passwords",
             "wait a minute and try again");
        return;
    }
    cell_now(s, r->failure_cell)->count++;
    r->phase = PHASE_VERIFY;
    memcpy(r->bcrypt, a->bcrypt.p, a->bcrypt.n);
    r->bcrypt[a->bcrypt.n] = 0;
    memcpy(input, r->auth, sizeof r->auth);
    memcpy(input + sizeof r->auth, a->bcrypt.p, a->bcrypt.n);
    step_work(s->u, STEP_WORK_VERIFY, token_of(r),
              peal_bytes_of(input, sizeof r->auth + a->bcrypt.n));
    cry_wipe(input, sizeof input);
}

static void verified(struct svc *s, struct request *r, int err)
{
    struct client *c = client_get(s, r->client);
    cry_wipe(r->auth, sizeof r->auth);
    if (err == PEAL_E_AUTH) {
        if (c != NULL && cell_now(s, c->failure_cell)->count < UINT16_MAX)
            cell_now(s, c->failure_cell)->count++;
        /* Whoever registers again with another password knows the req_id, but does not own the
         * name. */
        if (r->kind == REQ_REGISTER)
            fail_taken(s, r);
        else
            fail(s, r, PEAL_E_AUTH, "the password is wrong",
                 "try again; mind upper and lower case");
        return;
    }
    if (cell_now(s, r->failure_cell)->count > 0)
        cell_now(s, r->failure_cell)->count--;
    if (err != 0) {
        fail(s, r, err, NULL, NULL);
        return;
    }
    if (r->kind == REQ_REGISTER)
        fail_over(s, r);
    else
        operate(s, r, PHASE_CHANGE);
}

/* ---- register ---- */

static bool is_text(struct peal_bytes b)
{
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] < 0x20 || b.p[i] == 0x7f)
            return false;
    return peal_utf8_valid(b);
}

static const char *registration_fault(const struct wire_c_register *m)
{
    uint64_t mem = (uint64_t)m->mem_kib * 1024;
    if (!is_text(m->display))
        return "the display name is not plain text";
    if (m->auth.n != 32)
        return "the authentication key is not 32 bytes long";
    if (m->salt.n != CRY_SALT_BYTES)
        return "the salt is not 16 bytes long";
    if (m->ops < CRY_KDF_OPS_MIN || m->ops > CRY_KDF_OPS_MAX || mem < CRY_KDF_MEM_MIN ||
        mem > CRY_KDF_MEM_MAX)
        return "the password function's cost is outside its limits";
    if (m->bundle.n == 0 || m->wrapped.n == 0)
        return "the account's keys are missing";
    return NULL;
}

static int draft_account(struct svc *s, const struct wire_c_register *m, struct draft *d)
{
    struct wr w;
    struct wire_s_account a = {.version = 1,
                               .name = m->name,
                               .display = m->display.n > 0 ? m->display : m->name,
                               .created = s->ev->wall_ms,
                               .cred_epoch = 1,
                               .generation = 1,
                               .request = m->req_id,
                               .salt = m->salt,
                               .ops = m->ops,
                               .mem_kib = m->mem_kib,
                               .bundle = m->bundle,
                               .wrapped = m->wrapped};
    wr_init(&w, d->bytes, sizeof d->bytes);
    int err = wire_encode(WIRE_s_account, &a, &w);
    d->n = w.n;
    return err;
}

void account_register(struct svc *s, struct client *c, const struct wire_c_register *m)
{
    if (!may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    const char *fault = registration_fault(m);
    if (fault != NULL) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, fault, "update the client");
        return;
    }
    struct request *r = begin(s, c, REQ_REGISTER, m->req, m->name);
    if (r == NULL)
        return;
    struct draft *d = slab_take(&s->drafts, &r->draft);
    int err = d != NULL ? draft_account(s, m, d) : PEAL_E_BUSY;
    if (err != 0) {
        fail(s, r, err, NULL, NULL);
        return;
    }
    r->failure_cell = account_failure_cell(s, "account", m->name);
    r->phase = PHASE_HASH;
    r->id = m->req_id;
    memcpy(r->auth, m->auth.p, sizeof r->auth);
    make_token(r);
    step_work(s->u, STEP_WORK_HASH, token_of(r), m->auth);
}

static void hashed(struct svc *s, struct request *r, int err, struct peal_bytes text)
{
    if (err == 0)
        err = peal_bytes_to_str(text, sizeof r->bcrypt, r->bcrypt);
    if (err != 0) {
        fail(s, r, err, NULL, NULL);
        return;
    }
    operate(s, r, PHASE_CHANGE);
}

void account_worked(struct svc *s)
{
    const struct step_event *ev = s->ev;
    if (token_kind(ev->token) != TOKEN_REQUEST)
        return;
    struct request *r = slab_get(&s->requests, (uint32_t)ev->token);
    if (r == NULL)
        return;
    if (r->phase == PHASE_HASH)
        hashed(s, r, ev->err, ev->bytes);
    else if (r->phase == PHASE_VERIFY)
        verified(s, r, ev->err);
}

/* ---- the register ---- */

/* As an earlier build stored it: of logins it knew the last one, in the place of the registration.
 */
static void take_old(const struct wire_s_account_0 *o, struct wire_s_account *a)
{
    *a = (struct wire_s_account){.version = o->version,
                                 .name = o->name,
                                 .display = o->display,
                                 .created = o->created,
                                 .cred_epoch = o->cred_epoch,
                                 .generation = o->generation,
                                 .token = o->token,
                                 .request = o->request,
                                 .bcrypt = o->bcrypt,
                                 .salt = o->salt,
                                 .ops = o->ops,
                                 .mem_kib = o->mem_kib,
                                 .bundle = o->bundle,
                                 .wrapped = o->wrapped};
}

static int read_account(struct peal_bytes value, struct wire_s_account *a)
{
    union wire_any m;
    struct arena none;
    uint16_t type = 0;
    arena_init(&none, NULL, 0);
    int err = wire_decode(value.p, value.n, &type, &m, sizeof m, &none);
    if (err != 0 || (type != WIRE_s_account && type != WIRE_s_account_0))
        return PEAL_E_CORRUPT;
    if (type == WIRE_s_account)
        *a = m.s_account;
    else
        take_old(&m.s_account_0, a);
    if (a->version != 1 || a->bcrypt.n >= CRY_BCRYPT_SIZE || a->logins.n % MSG_ID_BYTES != 0)
        return PEAL_E_CORRUPT;
    return 0;
}

bool account_same(struct peal_bytes kept, struct peal_bytes other,
                  char name[static CHORD_LABEL_MAX + 1])
{
    _Static_assert(sizeof "the account " + WIRE_NAME_MAX <= CHORD_LABEL_MAX + 1, "a label's size");
    struct wire_s_account a, b;
    if (read_account(other, &b) < 0)
        return false;
    (void)snprintf(name, CHORD_LABEL_MAX + 1, "the account %.*s", (int)b.name.n,
                   (const char *)b.name.p);
    return read_account(kept, &a) == 0 && a.created == b.created && peal_bytes_eq(a.name, b.name);
}

static int write_account(struct svc *s, const struct wire_s_account *a, struct peal_bytes *value)
{
    struct wr w;
    wr_init(&w, s->scratch, sizeof s->scratch);
    int err = wire_encode(WIRE_s_account, a, &w);
    *value = peal_bytes_of(s->scratch, w.n);
    return err != 0 ? err : 1;
}

static int change_register(struct svc *s, struct request *r, struct peal_bytes old,
                           struct peal_bytes *value)
{
    struct wire_s_account a;
    r->retry = false;
    if (old.n > 0) {
        int err = read_account(old, &a);
        if (err != 0)
            return err;
        if (!msg_id_eq(&a.request, &r->id))
            return PEAL_E_EXISTS;
        /* This very request, in this try or an earlier one; or its session is over; or somebody
         * else has seen its req_id. */
        r->retry = !is_own_token(r, &a);
        return 0;
    }
    const struct draft *d = slab_get(&s->drafts, r->draft);
    CHECK(d != NULL);
    int err = read_account(peal_bytes_of(d->bytes, d->n), &a);
    CHECK(err == 0);
    a.bcrypt = peal_bytes_str(r->bcrypt);
    a.token = peal_bytes_of(r->token_hash, sizeof r->token_hash);
    return write_account(s, &a, value);
}

static bool done_before(const struct wire_s_account *a, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < a->logins.n; i += MSG_ID_BYTES)
        if (memcmp(a->logins.p + i, id->b, MSG_ID_BYTES) == 0)
            return true;
    return false;
}

static int change_login(struct svc *s, struct request *r, struct peal_bytes old,
                        struct peal_bytes *value)
{
    struct wire_s_account a;
    if (old.n == 0)
        return PEAL_E_NOT_FOUND;
    int err = read_account(old, &a);
    if (err != 0)
        return err;
    if (!peal_bytes_eq(a.bcrypt, peal_bytes_str(r->bcrypt)))
        return PEAL_E_STALE;
    if (is_own_token(r, &a))
        return 0;
    if (done_before(&a, &r->id))
        return PEAL_E_TAKEN_OVER;
    uint8_t logins[WIRE_LOGINS_MAX * MSG_ID_BYTES];
    size_t kept = a.logins.n < sizeof logins ? a.logins.n : sizeof logins - MSG_ID_BYTES;
    memcpy(logins, r->id.b, MSG_ID_BYTES);
    if (kept > 0)
        memcpy(logins + MSG_ID_BYTES, a.logins.p, kept);
    a.logins = peal_bytes_of(logins, MSG_ID_BYTES + kept);
    a.generation++;
    a.token = peal_bytes_of(r->token_hash, sizeof r->token_hash);
    return write_account(s, &a, value);
}

static int change_logout(struct svc *s, struct request *r, struct peal_bytes old,
                         struct peal_bytes *value)
{
    struct wire_s_account a;
    if (old.n == 0)
        return 0;
    int err = read_account(old, &a);
    if (err != 0)
        return err;
    if (a.generation != r->generation || a.token.n == 0)
        return 0;
    a.token = peal_bytes_of(NULL, 0);
    return write_account(s, &a, value);
}

int account_change(struct svc *s, struct request *r, struct peal_bytes old,
                   struct peal_bytes *value)
{
    if (r->phase != PHASE_CHANGE)
        return 0;
    switch (r->kind) {
    case REQ_REGISTER:
        return change_register(s, r, old, value);
    case REQ_LOGIN:
        return change_login(s, r, old, value);
    case REQ_LOGOUT:
        return change_logout(s, r, old, value);
    case REQ_FIND:
    case REQ_RESUME:
        return 0;
    }
    return PEAL_E_USAGE;
}

/* A read that a quorum answered. */
static void read_done(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    switch (r->kind) {
    case REQ_FIND:
        found(s, r, a);
        break;
    case REQ_LOGIN:
        verify(s, r, a);
        break;
    case REQ_RESUME:
        resumed(s, r, a);
        break;
    case REQ_REGISTER:
    case REQ_LOGOUT:
        CHECK(r->phase != PHASE_READ);
    }
}

static void change_done(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    if (r->kind == REQ_LOGOUT) {
        logged_out(s, r);
    } else if (r->kind == REQ_REGISTER && r->retry) {
        verify(s, r, a); /* whose it is, the password tells */
    } else {
        sign_in(s, r, a);
    }
}

void account_done(struct svc *s, struct request *r, int err, struct peal_bytes value)
{
    struct wire_s_account a;
    CHECK(r->phase == PHASE_READ || r->phase == PHASE_CHANGE);
    if (err == 0 && value.n == 0 && r->kind == REQ_LOGOUT) {
        logged_out(s, r);
        return;
    }
    if (err == 0 && value.n == 0)
        err = PEAL_E_NOT_FOUND;
    if (err == 0)
        err = read_account(value, &a);
    if (err == PEAL_E_NOT_FOUND)
        fail_not_found(s, r);
    else if (err == PEAL_E_EXISTS)
        fail_taken(s, r);
    else if (err == PEAL_E_TAKEN_OVER)
        fail_over(s, r);
    else if (err != 0)
        fail(s, r, err, NULL, NULL);
    else if (r->phase == PHASE_READ)
        read_done(s, r, &a);
    else
        change_done(s, r, &a);
}
