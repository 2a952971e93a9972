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
 * opened later; the client is told that its session is over.
 *
 * Not for: what changes an account otherwise (credentials.c). */
#include "inner.h"

#include <stdio.h>
#include <string.h>

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

bool account_may_sign_in(struct svc *s, struct client *c)
{
    if (!c->signing_in)
        return true;
    client_close(s, c, PEAL_E_REFUSED, "signs in twice at once");
    return false;
}

static void fail_not_found(struct svc *s, struct request *r)
{
    request_fail_naming(s, r, PEAL_E_NOT_FOUND, "there is no account named ", "",
                        r->kind == REQ_FIND
                            ? "check the spelling; names are the same on every server"
                            : "check the spelling, or register the name");
}

static void fail_taken(struct svc *s, struct request *r)
{
    request_fail_naming(s, r, PEAL_E_EXISTS, "the name ", " is taken",
                        "choose another name, or log in if it is yours");
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
        request_operate(s, r, PHASE_READ);
}

void account_find(struct svc *s, struct client *c, const struct wire_c_find *m)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = 0;
    if (!account_check_name(s, c, m->req, m->name))
        return;
    struct request *r = request_begin(s, c, REQ_FIND, m->req, m->name);
    if (r == NULL)
        return;
    r->phase = PHASE_PRESENCE;
    r->due_us = s->ev->now_us + PRESENCE_US;
    size_t n = session_homes(s, &r->box, homes, &mark);
    struct wire_n_presence here = {0};
    struct wire_n_presence_get ask = {.op = request_token(r), .box = r->box};
    for (size_t i = 0; i < n; i++) {
        if (id_eq(&homes[i], &s->self))
            home_presence(s, &r->box, &here);
        else if (chord_send(s->chord, s->u, &homes[i], WIRE_n_presence_get, &ask, true) == 0)
            r->asked[r->asked_n++] = homes[i];
    }
    note_presence(r, &here); /* what this node itself knows */
    if (r->asked_n == 0)
        request_operate(s, r, PHASE_READ);
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
            request_operate(s, r, PHASE_READ);
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
            request_operate(s, r, PHASE_READ);
}

static void found(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct client *c = request_asker(s, r);
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
    request_finish(s, r);
}

/* ---- sessions ---- */

void account_sign_in(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct client *c = request_asker(s, r);
    if (c == NULL) {
        request_finish(s, r);
        return;
    }
    if (c->state == CLIENT_SESSION) /* a change of it; to the homes it is as a login elsewhere */
        session_end(s, c, false);
    CHECK(c->state == CLIENT_GREETED);
    if (session_open(s, c, &r->box, a->name, a->generation) != 0) {
        request_fail(s, r, PEAL_E_STALE, NULL, NULL);
        return;
    }
    struct wire_c_session m = {.req = r->req,
                               .name = a->name,
                               .display = a->display,
                               .generation = a->generation,
                               .token = peal_bytes_of(r->token, sizeof r->token),
                               .bundle = a->bundle,
                               .wrapped = a->wrapped,
                               .receipts = a->receipts,
                               .unread = a->unread,
                               .session_days = a->session_days};
    client_say(s, c, WIRE_c_session, &m);
    request_finish(s, r);
    session_begin(s, c);
}

void account_resume(struct svc *s, struct client *c, const struct wire_c_resume *m)
{
    if (!account_may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    if (m->token.n != WIRE_TOKEN_BYTES) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, "this is not a session token", "log in again");
        return;
    }
    struct request *r = request_begin(s, c, REQ_RESUME, m->req, m->name);
    if (r == NULL)
        return;
    request_take_token(r, m->token);
    request_operate(s, r, PHASE_READ);
}

/* A token is void so many days after it was given, as the account wants it. */
static bool is_expired(const struct svc *s, const struct wire_s_account *a)
{
    const uint64_t days = a->session_days;
    uint64_t now = s->ev->wall_ms;
    return days > 0 && now > a->token_at && now - a->token_at >= days * DAY_MS;
}

static void resumed(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    if (request_owns(r, a) && is_expired(s, a))
        request_fail(s, r, PEAL_E_AUTH, "this session has expired", "log in with the password");
    else if (request_owns(r, a))
        account_sign_in(s, r, a);
    else
        request_fail(s, r, PEAL_E_AUTH, "this session has ended", "log in with the password");
}

void account_logout(struct svc *s, struct client *c, const struct wire_c_logout *m)
{
    struct request *r = request_begin(s, c, REQ_LOGOUT, m->req, peal_bytes_of(c->name, c->name_n));
    if (r == NULL)
        return;
    r->generation = c->generation;
    request_operate(s, r, PHASE_CHANGE);
}

static void logged_out(struct svc *s, struct request *r)
{
    struct client *c = request_asker(s, r);
    struct wire_c_ok m = {.req = r->req};
    if (c != NULL) {
        if (c->state == CLIENT_SESSION && c->generation == r->generation)
            session_end(s, c, true);
        client_say(s, c, WIRE_c_ok, &m);
    }
    request_finish(s, r);
}

/* ---- log in ---- */

void account_login(struct svc *s, struct client *c, const struct wire_c_login *m)
{
    if (!account_may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    if (m->auth.n != sizeof((struct request *)0)->auth) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, "this is not an authentication key",
                     "update the client");
        return;
    }
    uint32_t cell = 0;
    if (!request_may_guess(s, c, m->req, m->name, &cell))
        return;
    struct request *r = request_begin(s, c, REQ_LOGIN, m->req, m->name);
    if (r == NULL)
        return;
    r->failure_cell = cell;
    r->id = m->req_id;
    memcpy(r->auth, m->auth.p, sizeof r->auth);
    request_make_token(r, r->auth);
    request_operate(s, r, PHASE_READ);
}

static void verified(struct svc *s, struct request *r, int err)
{
    cry_wipe(r->auth, sizeof r->auth);
    request_guessed(s, r, err != PEAL_E_AUTH);
    if (err == PEAL_E_AUTH) {
        /* Whoever registers again with another password knows the req_id, but does not own the
         * name. */
        if (r->kind == REQ_REGISTER)
            fail_taken(s, r);
        else
            request_fail(s, r, PEAL_E_AUTH, "the password is wrong",
                         "try again; mind upper and lower case");
    } else if (err != 0) {
        request_fail(s, r, err, NULL, NULL);
    } else if (r->kind == REQ_REGISTER) {
        request_fail_over(s, r);
    } else if (r->kind == REQ_LOGIN) {
        request_operate(s, r, PHASE_CHANGE);
    } else {
        credentials_verified(s, r);
    }
}

/* ---- register ---- */

static const char *registration_fault(const struct wire_c_register *m)
{
    struct record_password p = {.auth = m->auth,
                                .salt = m->salt,
                                .wrapped = m->wrapped,
                                .ops = m->ops,
                                .mem_kib = m->mem_kib};
    if (!record_is_text(m->display))
        return "the display name is not plain text";
    if (m->bundle.n == 0)
        return "the account's keys are missing";
    const char *fault = record_password_fault(&p);
    return fault != NULL ? fault : record_recovery_fault(m->recovery, m->rescued, true);
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
                               .wrapped = m->wrapped,
                               .recovery = m->recovery,
                               .rescued = m->rescued,
                               .receipts = true,
                               .token_at = s->ev->wall_ms};
    wr_init(&w, d->bytes, sizeof d->bytes);
    int err = wire_encode(WIRE_s_account, &a, &w);
    d->n = w.n;
    return err;
}

void account_register(struct svc *s, struct client *c, const struct wire_c_register *m)
{
    if (!account_may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    const char *fault = registration_fault(m);
    if (fault != NULL) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, fault, "update the client");
        return;
    }
    struct request *r = request_begin(s, c, REQ_REGISTER, m->req, m->name);
    if (r == NULL)
        return;
    struct draft *d = slab_take(&s->drafts, &r->draft);
    int err = d != NULL ? draft_account(s, m, d) : PEAL_E_BUSY;
    if (err != 0) {
        request_fail(s, r, err, NULL, NULL);
        return;
    }
    r->failure_cell = request_failure_cell(s, "account", m->name);
    r->id = m->req_id;
    memcpy(r->auth, m->auth.p, sizeof r->auth);
    request_make_token(r, r->auth);
    request_hash(s, r, r->auth);
}

static void hashed(struct svc *s, struct request *r, int err, struct peal_bytes text)
{
    if (err == 0)
        err = peal_bytes_to_str(text, sizeof r->hashed, r->hashed);
    if (err != 0) {
        request_fail(s, r, err, NULL, NULL);
        return;
    }
    request_operate(s, r, PHASE_CHANGE);
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

/* before: the account of this name that was deleted, or NULL. Generations go on where that one's
 * ended, for homes remember them. */
static int register_anew(struct svc *s, const struct request *r,
                         const struct wire_s_account *before, struct peal_bytes *value)
{
    struct wire_s_account a;
    const struct draft *d = slab_get(&s->drafts, r->draft);
    CHECK(d != NULL);
    int err = record_read(peal_bytes_of(d->bytes, d->n), &a);
    CHECK(err == 0);
    a.bcrypt = peal_bytes_str(r->hashed);
    a.token = peal_bytes_of(r->token_hash, sizeof r->token_hash);
    if (before != NULL) {
        a.generation += before->generation;
        a.cred_epoch += before->cred_epoch;
    }
    return record_write(s, &a, value);
}

static int change_register(struct svc *s, struct request *r, struct peal_bytes old,
                           struct peal_bytes *value)
{
    struct wire_s_account a;
    r->retry = false;
    if (old.n > 0) {
        int err = record_read(old, &a);
        if (err != 0)
            return err;
        if (a.deleted != 0)
            return record_is_free(&a, s->ev->wall_ms) ? register_anew(s, r, &a, value) : 0;
        if (!msg_id_eq(&a.request, &r->id))
            return PEAL_E_EXISTS;
        /* This very request, in this try or an earlier one; or its session is over; or somebody
         * else has seen its req_id. */
        r->retry = !request_owns(r, &a);
        return 0;
    }
    return register_anew(s, r, NULL, value);
}

static int change_login(struct svc *s, struct request *r, struct peal_bytes old,
                        struct peal_bytes *value)
{
    struct wire_s_account a;
    if (old.n == 0)
        return PEAL_E_NOT_FOUND;
    int err = record_read(old, &a);
    if (err != 0)
        return err;
    if (a.deleted != 0)
        return 0; /* account_done says so */
    if (!peal_bytes_eq(a.bcrypt, peal_bytes_str(r->bcrypt)))
        return PEAL_E_STALE;
    if (request_owns(r, &a))
        return 0;
    if (record_has_done(&a, &r->id))
        return PEAL_E_TAKEN_OVER;
    uint8_t logins[RECORD_LOGINS_BYTES];
    record_remember(&a, &r->id, logins);
    a.generation++;
    a.token = peal_bytes_of(r->token_hash, sizeof r->token_hash);
    a.token_at = s->ev->wall_ms;
    return record_write(s, &a, value);
}

static int change_logout(struct svc *s, struct request *r, struct peal_bytes old,
                         struct peal_bytes *value)
{
    struct wire_s_account a;
    if (old.n == 0)
        return 0;
    int err = record_read(old, &a);
    if (err != 0)
        return err;
    if (a.generation != r->generation || a.token.n == 0)
        return 0;
    a.token = peal_bytes_of(NULL, 0);
    return record_write(s, &a, value);
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
    case REQ_PASSWORD:
    case REQ_RESET:
    case REQ_RECOVERY:
    case REQ_SETTINGS:
    case REQ_DELETE:
        return credentials_change(s, r, old, value);
    case REQ_FIND:
    case REQ_RESUME:
    case REQ_RESCUE:
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
        request_verify(s, r, a, r->auth);
        break;
    case REQ_RESUME:
        resumed(s, r, a);
        break;
    case REQ_PASSWORD:
    case REQ_RESCUE:
    case REQ_RESET:
    case REQ_RECOVERY:
    case REQ_DELETE:
        credentials_read(s, r, a);
        break;
    case REQ_REGISTER:
    case REQ_LOGOUT:
    case REQ_SETTINGS:
        CHECK(r->phase != PHASE_READ);
    }
}

static void change_done(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    switch (r->kind) {
    case REQ_REGISTER:
        if (r->retry)
            request_verify(s, r, a, r->auth); /* whose it is, the password tells */
        else
            account_sign_in(s, r, a);
        break;
    case REQ_LOGIN:
        account_sign_in(s, r, a);
        break;
    case REQ_LOGOUT:
        logged_out(s, r);
        break;
    case REQ_PASSWORD:
    case REQ_RESET:
    case REQ_RECOVERY:
    case REQ_SETTINGS:
    case REQ_DELETE:
        credentials_changed(s, r, a);
        break;
    case REQ_FIND:
    case REQ_RESUME:
    case REQ_RESCUE:
        CHECK(r->phase != PHASE_CHANGE);
    }
}

/* The record is a tombstone. Whoever comes across one goes on emptying the mailbox, should the
 * server that began have died. */
static void deleted(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    purge_begin(s, &r->box);
    if (r->kind == REQ_LOGOUT)
        logged_out(s, r);
    else if (r->kind == REQ_RESUME)
        request_fail(s, r, PEAL_E_AUTH, "this account was deleted", "there is no way back");
    else if (r->kind == REQ_DELETE && record_has_done(a, &r->id))
        credentials_changed(s, r, a);
    else
        request_fail_deleted(s, r, a);
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
        err = record_read(value, &a);
    if (err == PEAL_E_NOT_FOUND)
        fail_not_found(s, r);
    else if (err == PEAL_E_EXISTS)
        fail_taken(s, r);
    else if (err == PEAL_E_TAKEN_OVER && r->kind == REQ_SETTINGS)
        request_fail(s, r, err, "this session is over", "log in again");
    else if (err == PEAL_E_TAKEN_OVER)
        request_fail_over(s, r);
    else if (err != 0)
        request_fail(s, r, err, NULL, NULL);
    else if (a.deleted != 0)
        deleted(s, r, &a);
    else if (r->phase == PHASE_READ)
        read_done(s, r, &a);
    else
        change_done(s, r, &a);
}
