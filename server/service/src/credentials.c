/* What changes an account: its password and its recovery key. Each is one linearizable change of
 * the account's register, made once the password or the recovery key has proved right, and each
 * remembers its req_id there, as logins do: a retry through any server finds what the first try
 * did.
 *
 * Not for: logging in and out (account.c). */
#include "inner.h"

#include <string.h>

static bool is_own_account(struct svc *s, const struct client *c, uint64_t req,
                           struct peal_bytes name)
{
    if (c->state != CLIENT_SESSION || peal_bytes_eq(name, peal_bytes_of(c->name, c->name_n)))
        return true;
    client_error(s, c, req, PEAL_E_REFUSED, "this session is that of another account",
                 "log out first");
    return false;
}

/* What the request puts into the account, for as long as it lasts. PEAL_E_BUSY. */
static int draft(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct wr w;
    struct draft *d = slab_take(&s->drafts, &r->draft);
    if (d == NULL)
        return PEAL_E_BUSY;
    wr_init(&w, d->bytes, sizeof d->bytes);
    int err = wire_encode(WIRE_s_account, a, &w);
    d->n = w.n;
    return err;
}

static void read_draft(const struct svc *s, const struct request *r, struct wire_s_account *out)
{
    const struct draft *d = slab_get(&s->drafts, r->draft);
    CHECK(d != NULL);
    int err = record_read(peal_bytes_of(d->bytes, d->n), out);
    CHECK(err == 0);
}

/* ---- asking ---- */

/* A request that is to change the account; NULL: it has been answered. fault: what is wrong with
 * it. auth: the authenticating half of the password or of the recovery key. */
static struct request *ask(struct svc *s, struct client *c, enum request_kind kind, uint64_t req,
                           struct peal_bytes name, const char *fault, struct peal_bytes auth)
{
    uint32_t cell = 0;
    if (fault == NULL && auth.n != sizeof((struct request *)0)->auth)
        fault = "this is not an authentication key";
    if (fault != NULL) {
        client_error(s, c, req, PEAL_E_MALFORMED, fault, "update the client");
        return NULL;
    }
    if (!request_may_guess(s, c, req, name, &cell))
        return NULL;
    struct request *r = request_begin(s, c, kind, req, name);
    if (r == NULL)
        return NULL;
    r->failure_cell = cell;
    memcpy(r->auth, auth.p, sizeof r->auth);
    return r;
}

/* Goes on with a request that was begun: it changes a into the record. */
static void go_on(struct svc *s, struct request *r, const struct peal_msg_id *id,
                  struct peal_bytes new_auth, const struct wire_s_account *a)
{
    int err = draft(s, r, a);
    if (err != 0) {
        request_fail(s, r, err, NULL, NULL);
        return;
    }
    r->id = *id;
    if (new_auth.n > 0) {
        CHECK(new_auth.n == sizeof r->new_auth);
        memcpy(r->new_auth, new_auth.p, sizeof r->new_auth);
        request_make_token(r, r->new_auth);
    }
    request_operate(s, r, PHASE_READ);
}

void credentials_password(struct svc *s, struct client *c, const struct wire_c_password *m)
{
    struct record_password p = {.auth = m->new_auth,
                                .salt = m->salt,
                                .wrapped = m->wrapped,
                                .ops = m->ops,
                                .mem_kib = m->mem_kib};
    struct wire_s_account a = {
        .version = 1, .salt = m->salt, .ops = m->ops, .mem_kib = m->mem_kib, .wrapped = m->wrapped};
    if (!account_may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name) ||
        !is_own_account(s, c, m->req, m->name))
        return;
    struct request *r =
        ask(s, c, REQ_PASSWORD, m->req, m->name, record_password_fault(&p), m->auth);
    if (r != NULL)
        go_on(s, r, &m->req_id, m->new_auth, &a);
}

void credentials_rescue(struct svc *s, struct client *c, const struct wire_c_rescue *m)
{
    if (!account_check_name(s, c, m->req, m->name))
        return;
    struct request *r = ask(s, c, REQ_RESCUE, m->req, m->name, NULL, m->auth);
    if (r != NULL)
        request_operate(s, r, PHASE_READ);
}

void credentials_reset(struct svc *s, struct client *c, const struct wire_c_reset *m)
{
    struct record_password p = {.auth = m->new_auth,
                                .salt = m->salt,
                                .wrapped = m->wrapped,
                                .ops = m->ops,
                                .mem_kib = m->mem_kib};
    struct wire_s_account a = {.version = 1,
                               .salt = m->salt,
                               .ops = m->ops,
                               .mem_kib = m->mem_kib,
                               .wrapped = m->wrapped,
                               .recovery = m->recovery,
                               .rescued = m->rescued};
    if (!account_may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name))
        return;
    const char *fault = record_password_fault(&p);
    if (fault == NULL)
        fault = record_recovery_fault(m->recovery, m->rescued, true);
    struct request *r = ask(s, c, REQ_RESET, m->req, m->name, fault, m->auth);
    if (r != NULL)
        go_on(s, r, &m->req_id, m->new_auth, &a);
}

void credentials_recovery(struct svc *s, struct client *c, const struct wire_c_recovery *m)
{
    struct wire_s_account a = {.version = 1, .recovery = m->recovery, .rescued = m->rescued};
    struct request *r = ask(s, c, REQ_RECOVERY, m->req, peal_bytes_of(c->name, c->name_n),
                            record_recovery_fault(m->recovery, m->rescued, false), m->auth);
    if (r != NULL)
        go_on(s, r, &m->req_id, (struct peal_bytes){0}, &a);
}

void credentials_settings(struct svc *s, struct client *c, const struct wire_c_settings *m)
{
    struct peal_bytes name = peal_bytes_of(c->name, c->name_n);
    struct wire_s_account a = {.version = 1,
                               .display = m->display.n > 0 ? m->display : name,
                               .receipts = m->receipts,
                               .unread = m->unread,
                               .session_days = m->session_days};
    if (!record_is_text(m->display)) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, "the display name is not plain text",
                     "one line, without control characters");
        return;
    }
    struct request *r = request_begin(s, c, REQ_SETTINGS, m->req, name);
    if (r == NULL)
        return;
    r->generation = c->generation;
    int err = draft(s, r, &a);
    if (err != 0)
        request_fail(s, r, err, NULL, NULL);
    else
        request_operate(s, r, PHASE_CHANGE);
}

void credentials_delete(struct svc *s, struct client *c, const struct wire_c_delete *m)
{
    struct wire_s_account a = {.version = 1};
    if (!account_check_name(s, c, m->req, m->name) || !is_own_account(s, c, m->req, m->name))
        return;
    struct request *r = ask(s, c, REQ_DELETE, m->req, m->name, NULL, m->auth);
    if (r != NULL)
        go_on(s, r, &m->req_id, (struct peal_bytes){0}, &a);
}

/* ---- the phases ---- */

static bool is_recovery_of(const struct request *r, const struct wire_s_account *a)
{
    uint8_t hash[CRY_HASH_BYTES];
    cry_recovery_hash(r->auth, hash);
    return a->recovery.n == sizeof hash && cry_equal(a->recovery.p, hash, sizeof hash);
}

/* Whether the recovery key is the account's; if not, the request is over. */
static bool is_rescued(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    if (a->recovery.n == 0) {
        request_fail(s, r, PEAL_E_REFUSED, "this account has no recovery key",
                     "only its password opens it");
        return false;
    }
    if (!request_guess(s, r))
        return false;
    bool right = is_recovery_of(r, a);
    request_guessed(s, r, right);
    if (!right)
        request_fail(s, r, PEAL_E_AUTH, "this is not the account's recovery key",
                     "look for a later one: each takes the place of the one before");
    return right;
}

static void rescued(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct client *c = request_asker(s, r);
    struct wire_c_rescued m = {.req = r->req, .wrapped = a->rescued, .bundle = a->bundle};
    if (c != NULL)
        client_say(s, c, WIRE_c_rescued, &m);
    request_finish(s, r);
}

/* Of what has been done the password is the new one by now. */
void credentials_read(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    r->retry = record_has_done(a, &r->id);
    if (r->kind == REQ_PASSWORD || r->kind == REQ_RECOVERY || r->kind == REQ_DELETE)
        request_verify(s, r, a, r->kind == REQ_PASSWORD && r->retry ? r->new_auth : r->auth);
    else if (r->kind == REQ_RESET && r->retry)
        request_verify(s, r, a, r->new_auth);
    else if (!is_rescued(s, r, a))
        return;
    else if (r->kind == REQ_RESET)
        request_hash(s, r, r->new_auth);
    else
        rescued(s, r, a);
}

void credentials_verified(struct svc *s, struct request *r)
{
    if (r->kind == REQ_PASSWORD && !r->retry)
        request_hash(s, r, r->new_auth);
    else
        request_operate(s, r, PHASE_CHANGE);
}

/* Whether what let the request in still counts. */
static bool is_let_in(const struct request *r, const struct wire_s_account *a)
{
    if (r->kind == REQ_RESET)
        return is_recovery_of(r, a);
    return peal_bytes_eq(a->bcrypt, peal_bytes_str(r->bcrypt));
}

/* The session is the request's own, or it was opened later: then nothing is to be done any more. */
static int change_password(struct svc *s, struct request *r, struct wire_s_account *a,
                           struct peal_bytes *value)
{
    struct wire_s_account d;
    uint8_t logins[RECORD_LOGINS_BYTES];
    if (request_owns(r, a))
        return 0;
    if (r->retry || record_has_done(a, &r->id))
        return PEAL_E_TAKEN_OVER;
    if (!is_let_in(r, a))
        return PEAL_E_STALE;
    read_draft(s, r, &d);
    a->salt = d.salt;
    a->ops = d.ops;
    a->mem_kib = d.mem_kib;
    a->wrapped = d.wrapped;
    if (r->kind == REQ_RESET) {
        a->recovery = d.recovery;
        a->rescued = d.rescued;
    }
    a->bcrypt = peal_bytes_str(r->hashed);
    a->token = peal_bytes_of(r->token_hash, sizeof r->token_hash);
    a->token_at = s->ev->wall_ms;
    a->generation++;
    a->cred_epoch++;
    record_remember(a, &r->id, logins);
    return record_write(s, a, value);
}

static int change_recovery(struct svc *s, struct request *r, struct wire_s_account *a,
                           struct peal_bytes *value)
{
    struct wire_s_account d;
    uint8_t logins[RECORD_LOGINS_BYTES];
    if (r->retry || record_has_done(a, &r->id))
        return 0;
    if (!is_let_in(r, a))
        return PEAL_E_STALE;
    read_draft(s, r, &d);
    a->recovery = d.recovery;
    a->rescued = d.rescued;
    a->cred_epoch++;
    record_remember(a, &r->id, logins);
    return record_write(s, a, value);
}

/* Only the account's present session may; it does not log itself out by that. */
static int change_settings(struct svc *s, struct request *r, struct wire_s_account *a,
                           struct peal_bytes *value)
{
    struct wire_s_account d;
    if (a->generation != r->generation || a->token.n == 0)
        return PEAL_E_TAKEN_OVER;
    read_draft(s, r, &d);
    a->display = d.display;
    a->receipts = d.receipts;
    a->unread = d.unread;
    a->session_days = d.session_days;
    if (a->token_at == 0) /* given by an earlier build: counted from now */
        a->token_at = s->ev->wall_ms;
    return record_write(s, a, value);
}

/* What is left keeps the name from others, and a retry from failing. */
static int change_delete(struct svc *s, struct request *r, struct wire_s_account *a,
                         struct peal_bytes *value)
{
    uint8_t logins[RECORD_LOGINS_BYTES];
    if (!is_let_in(r, a))
        return PEAL_E_STALE;
    struct wire_s_account end = {.version = 1,
                                 .name = a->name,
                                 .created = a->created,
                                 .cred_epoch = a->cred_epoch + 1,
                                 .generation = a->generation + 1,
                                 .deleted = s->ev->wall_ms};
    record_remember(&end, &r->id, logins);
    return record_write(s, &end, value);
}

int credentials_change(struct svc *s, struct request *r, struct peal_bytes old,
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
    if (r->kind == REQ_SETTINGS)
        return change_settings(s, r, &a, value);
    if (r->kind == REQ_DELETE)
        return change_delete(s, r, &a, value);
    return (r->kind == REQ_RECOVERY ? change_recovery : change_password)(s, r, &a, value);
}

void credentials_changed(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    struct client *c = request_asker(s, r);
    struct wire_c_ok ok = {.req = r->req};
    if (r->kind == REQ_PASSWORD || r->kind == REQ_RESET) {
        account_sign_in(s, r, a);
        return;
    }
    if (r->kind == REQ_DELETE) {
        if (c != NULL && c->state == CLIENT_SESSION)
            session_end(s, c, false);
        session_fence(s, &r->box, a->generation);
        c = request_asker(s, r);
    }
    if (c != NULL)
        client_say(s, c, WIRE_c_ok, &ok);
    request_finish(s, r);
}
