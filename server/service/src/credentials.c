/* What changes an account: its password. Each is one linearizable change of the account's register,
 * made once the old password has proved right, and each remembers its req_id there, as logins do:
 * a retry through any server finds what the first try did.
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

void credentials_password(struct svc *s, struct client *c, const struct wire_c_password *m)
{
    struct record_password p = {.auth = m->new_auth,
                                .salt = m->salt,
                                .wrapped = m->wrapped,
                                .ops = m->ops,
                                .mem_kib = m->mem_kib};
    uint32_t cell = 0;
    if (!account_may_sign_in(s, c) || !account_check_name(s, c, m->req, m->name) ||
        !is_own_account(s, c, m->req, m->name))
        return;
    const char *fault = record_password_fault(&p);
    if (fault == NULL && m->auth.n != sizeof((struct request *)0)->auth)
        fault = "this is not an authentication key";
    if (fault != NULL) {
        client_error(s, c, m->req, PEAL_E_MALFORMED, fault, "update the client");
        return;
    }
    if (!request_may_guess(s, c, m->req, m->name, &cell))
        return;
    struct request *r = request_begin(s, c, REQ_PASSWORD, m->req, m->name);
    if (r == NULL)
        return;
    struct wire_s_account a = {
        .version = 1, .salt = m->salt, .ops = m->ops, .mem_kib = m->mem_kib, .wrapped = m->wrapped};
    int err = draft(s, r, &a);
    if (err != 0) {
        request_fail(s, r, err, NULL, NULL);
        return;
    }
    r->failure_cell = cell;
    r->id = m->req_id;
    memcpy(r->auth, m->auth.p, sizeof r->auth);
    memcpy(r->new_auth, m->new_auth.p, sizeof r->new_auth);
    request_make_token(r, r->new_auth);
    request_operate(s, r, PHASE_READ);
}

/* ---- the phases ---- */

/* Of what has been done the password is the new one by now. */
void credentials_read(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    r->retry = record_has_done(a, &r->id);
    request_verify(s, r, a, r->retry ? r->new_auth : r->auth);
}

void credentials_verified(struct svc *s, struct request *r)
{
    if (r->retry)
        request_operate(s, r, PHASE_CHANGE);
    else
        request_hash(s, r, r->new_auth);
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
    if (!peal_bytes_eq(a->bcrypt, peal_bytes_str(r->bcrypt)))
        return PEAL_E_STALE;
    read_draft(s, r, &d);
    a->salt = d.salt;
    a->ops = d.ops;
    a->mem_kib = d.mem_kib;
    a->wrapped = d.wrapped;
    a->bcrypt = peal_bytes_str(r->hashed);
    a->token = peal_bytes_of(r->token_hash, sizeof r->token_hash);
    a->token_at = s->ev->wall_ms;
    a->generation++;
    a->cred_epoch++;
    record_remember(a, &r->id, logins);
    return record_write(s, a, value);
}

int credentials_change(struct svc *s, struct request *r, struct peal_bytes old,
                       struct peal_bytes *value)
{
    struct wire_s_account a;
    if (old.n == 0)
        return PEAL_E_NOT_FOUND;
    int err = record_read(old, &a);
    return err != 0 ? err : change_password(s, r, &a, value);
}

void credentials_changed(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    account_sign_in(s, r, a);
}
