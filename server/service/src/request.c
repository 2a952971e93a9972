/* Requests: what a client asked and gets answered in a later step. Their slots, what ends them, and
 * what they have in common: the session's token and the count of wrong passwords.
 *
 * Not for: what each of them does (account.c, credentials.c). */
#include "inner.h"

#include <stdio.h>
#include <string.h>

/* ---- life ---- */

static bool signs_in(enum request_kind kind)
{
    return kind == REQ_REGISTER || kind == REQ_LOGIN || kind == REQ_RESUME ||
           kind == REQ_PASSWORD || kind == REQ_RESET;
}

uint64_t request_token(const struct request *r)
{
    return token_make(TOKEN_REQUEST, 0, r->handle);
}

struct client *request_asker(const struct svc *s, const struct request *r)
{
    struct client *c = client_get(s, r->client);
    return c != NULL && c->state != CLIENT_CLOSING ? c : NULL;
}

struct request *request_begin(struct svc *s, struct client *c, enum request_kind kind, uint64_t req,
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
    c->signing_in |= signs_in(kind);
    return r;
}

void request_finish(struct svc *s, struct request *r)
{
    struct client *c = client_get(s, r->client);
    if (c != NULL) {
        CHECK(c->requests > 0);
        c->requests--;
        if (signs_in(r->kind))
            c->signing_in = false;
    }
    if (r->draft != 0)
        slab_release(&s->drafts, r->draft);
    cry_wipe(r->auth, sizeof r->auth);
    cry_wipe(r->new_auth, sizeof r->new_auth);
    cry_wipe(r->token, sizeof r->token);
    slab_release(&s->requests, r->handle);
}

void request_fail(struct svc *s, struct request *r, int err, const char *message, const char *hint)
{
    struct client *c = request_asker(s, r);
    if (c != NULL && message != NULL)
        client_error(s, c, r->req, err, message, hint);
    else if (c != NULL)
        client_failure(s, c, r->req, err);
    request_finish(s, r);
}

void request_fail_naming(struct svc *s, struct request *r, int err, const char *before,
                         const char *after, const char *hint)
{
    char text[ERROR_TEXT];
    char name[WIRE_NAME_MAX + 1];
    memcpy(name, r->name, r->name_n);
    name[r->name_n] = 0;
    (void)snprintf(text, sizeof text, "%s%s%s", before, name, after);
    request_fail(s, r, err, text, hint);
}

/* It was done before, and what it began has ended. */
void request_fail_over(struct svc *s, struct request *r)
{
    request_fail(s, r, PEAL_E_TAKEN_OVER, "this was done before, and its session is over",
                 "log in again");
}

void request_fail_deleted(struct svc *s, struct request *r, const struct wire_s_account *a)
{
    char after[96];
    uint64_t now = s->ev->wall_ms;
    uint64_t free_at = a->deleted + NAME_KEPT_DAYS * DAY_MS;
    uint64_t days = free_at > now ? (free_at - now + DAY_MS - 1) / DAY_MS : 0;
    if (r->kind != REQ_REGISTER) {
        request_fail_naming(s, r, PEAL_E_NOT_FOUND, "the account ", " was deleted",
                            "there is no way back; its name can be registered again after 30 days");
        return;
    }
    (void)snprintf(after, sizeof after,
                   " was deleted; its name can be registered again in %llu day%s",
                   (unsigned long long)days, days == 1 ? "" : "s");
    request_fail_naming(s, r, PEAL_E_EXISTS, "the account ", after, "choose another name");
}

void request_operate(struct svc *s, struct request *r, enum request_phase phase)
{
    r->phase = phase;
    uint32_t h = r->handle;
    /* what changes a record reads what it is about to change */
    bool only = phase == PHASE_READ &&
                (r->kind == REQ_FIND || r->kind == REQ_RESUME || r->kind == REQ_RESCUE);
    int err = (only ? chord_reg_read : chord_reg_change)(s->chord, s->ev, s->u, request_token(r),
                                                         &r->box, REGISTER_US);
    if (err != 0) {
        r = slab_get(&s->requests, h);
        CHECK(r != NULL);
        request_fail(s, r, err, NULL, NULL);
    }
}

/* ---- tokens ---- */

static const char token_domain[] = "peal.session.1";

void request_make_token(struct request *r, const uint8_t auth[static 32])
{
    struct cry_hash h;
    cry_hash_init(&h, "peal.session.2");
    cry_hash_part(&h, peal_bytes_of(auth, 32));
    cry_hash_part(&h, peal_bytes_of(r->name, r->name_n));
    cry_hash_part(&h, peal_bytes_of(r->id.b, sizeof r->id.b));
    cry_hash_end(&h, r->token);
    cry_digest(token_domain, peal_bytes_of(r->token, sizeof r->token), r->token_hash);
    cry_wipe(&h, sizeof h);
}

void request_take_token(struct request *r, struct peal_bytes token)
{
    CHECK(token.n == sizeof r->token);
    memcpy(r->token, token.p, sizeof r->token);
    cry_digest(token_domain, token, r->token_hash);
}

bool request_owns(const struct request *r, const struct wire_s_account *a)
{
    return a->token.n == sizeof r->token_hash &&
           cry_equal(a->token.p, r->token_hash, sizeof r->token_hash);
}

/* ---- failures ---- */

uint32_t request_failure_cell(const struct svc *s, const char *kind, struct peal_bytes who)
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

bool request_may_guess(struct svc *s, struct client *c, uint64_t req, struct peal_bytes name,
                       uint32_t *cell)
{
    *cell = request_failure_cell(s, "account", name);
    if (cell_now(s, *cell)->count < SVC_LOGIN_FAILURES &&
        cell_now(s, c->failure_cell)->count < ADDRESS_FAILURES)
        return true;
    client_error(s, c, req, PEAL_E_BUSY, "there were too many wrong passwords",
                 "wait a minute and try again");
    return false;
}

bool request_guess(struct svc *s, struct request *r)
{
    if (cell_now(s, r->failure_cell)->count >= SVC_LOGIN_FAILURES) {
        request_fail(s, r, PEAL_E_BUSY, "there were too many wrong passwords",
                     "wait a minute and try again");
        return false;
    }
    cell_now(s, r->failure_cell)->count++;
    return true;
}

void request_guessed(struct svc *s, struct request *r, bool right)
{
    const struct client *c = client_get(s, r->client);
    if (right && cell_now(s, r->failure_cell)->count > 0)
        cell_now(s, r->failure_cell)->count--;
    else if (!right && c != NULL && cell_now(s, c->failure_cell)->count < UINT16_MAX)
        cell_now(s, c->failure_cell)->count++;
}

void request_verify(struct svc *s, struct request *r, const struct wire_s_account *a,
                    const uint8_t auth[static 32])
{
    uint8_t input[32 + CRY_BCRYPT_SIZE];
    CHECK(a->bcrypt.n < sizeof r->bcrypt);
    if (!request_guess(s, r))
        return;
    r->phase = PHASE_VERIFY;
    memcpy(r->bcrypt, a->bcrypt.p, a->bcrypt.n);
    r->bcrypt[a->bcrypt.n] = 0;
    memcpy(input, auth, 32);
    memcpy(input + 32, a->bcrypt.p, a->bcrypt.n);
    step_work(s->u, STEP_WORK_VERIFY, request_token(r), peal_bytes_of(input, 32 + a->bcrypt.n));
    cry_wipe(input, sizeof input);
}

void request_hash(struct svc *s, struct request *r, const uint8_t auth[static 32])
{
    r->phase = PHASE_HASH;
    step_work(s->u, STEP_WORK_HASH, request_token(r), peal_bytes_of(auth, 32));
}
