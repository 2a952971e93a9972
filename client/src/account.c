/* Registering, logging in, resuming and leaving.
 *
 * Not for: what changes an account (credentials.c). */
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "queries.h"

/* ---- the session -------------------------------------------------------------------------------
 */

static void emit_session(struct client *c, const char *reason)
{
    bool in = c->session == SESSION_ACTIVE;
    client_emit(c, "session",
                json_pack("{s:o,s:s}", "name", in ? json_string(c->account.name) : json_null(),
                          "reason", reason));
}

static void begin_session(struct client *c)
{
    c->session = SESSION_ACTIVE;
    c->settled_us = net_now_us() + SETTLE_US;
    c->cursor = 0;
    emit_session(c, "");
    presence_watch(c);
    outbox_find_all(c);
    outbox_pump(c);
    calls_link_changed(c);
}

/* The ring does not take the token any more. The account stays, so that the history can be read. */
static void end_session(struct client *c, const char *reason)
{
    c->account.has_token = false;
    cry_wipe(c->account.token, sizeof c->account.token);
    c->session = SESSION_OUTSIDE;
    c->settled_us = CLIENT_NEVER;
    outbox_link_down(c);
    held_clear(c);
    int err = profile_account_set(c->profile, &c->account);
    if (err != 0)
        client_trouble(c, err, "the end of the session cannot be kept", err_prose(err));
    emit_session(c, reason);
    calls_link_changed(c);
}

static int send_resume(struct ask *a)
{
    struct client *c = a->c;
    struct wire_c_resume msg = {
        .req = a->req,
        .name = peal_bytes_str(c->account.name),
        .token = peal_bytes_of(c->account.token, sizeof c->account.token),
    };
    return reach_send(c->reach, WIRE_c_resume, &msg);
}

/* What the server says of the account goes for this client too; a name that is no text is passed
 * over. */
static void take_settings(struct account *a, const struct wire_c_session *msg)
{
    char display[sizeof a->display];
    if (peal_bytes_to_str(msg->display, sizeof display, display) == 0)
        memcpy(a->display, display, sizeof display);
    a->settings = (struct settings){
        .receipts = msg->receipts, .unread = msg->unread, .session_days = msg->session_days};
}

static void resumed(struct ask *a, const struct answer *answer)
{
    struct client *c = a->c;
    if (c->session != SESSION_RESUMING)
        return;
    if (answer->err == 0) {
        const struct wire_c_session *msg = answer->msg;
        c->account.generation = msg->generation;
        take_settings(&c->account, msg);
        if (msg->token.n == sizeof c->account.token)
            memcpy(c->account.token, msg->token.p, msg->token.n);
        int err = profile_account_set(c->profile, &c->account);
        if (err != 0)
            client_trouble(c, err, "the session cannot be kept", err_prose(err));
        begin_session(c);
        return;
    }
    if (answer->err == PEAL_E_UNAVAILABLE || answer->err == PEAL_E_UNKNOWN ||
        answer->err == PEAL_E_BUSY || answer->err == PEAL_E_MALFORMED) {
        /* this server cannot say; another may */
        c->session = SESSION_AWAY;
        reach_renew(c->reach, "the session could not be resumed here");
        return;
    }
    end_session(c, answer->err == PEAL_E_TAKEN_OVER ? "taken_over" : answer->message);
}

static struct ask *resume_under_way(struct client *c)
{
    for (struct ask *a = c->asks; a != NULL; a = a->next) {
        if (a->done == resumed)
            return a;
    }
    return NULL;
}

void account_link_up(struct client *c)
{
    if (c->session != SESSION_AWAY || !c->account.has_token || c->entering)
        return;
    c->session = SESSION_RESUMING;
    if (resume_under_way(c) != NULL)
        return; /* still waiting from the last link */
    if (ask_new(c, WIRE_c_session, send_resume, resumed, NULL) == NULL) {
        c->session = SESSION_AWAY;
        reach_renew(c->reach, "too much waits to resume the session");
    }
}

void account_link_down(struct client *c)
{
    if (c->session == SESSION_ACTIVE || c->session == SESSION_RESUMING)
        c->session = SESSION_AWAY;
    c->settled_us = CLIENT_NEVER;
}

void account_bye(struct client *c, int code, const char *message)
{
    if (c->session != SESSION_ACTIVE && c->session != SESSION_RESUMING)
        return;
    if (code == PEAL_E_TAKEN_OVER)
        end_session(c, "taken_over");
    else if (code == PEAL_E_AUTH)
        end_session(c, message);
    /* otherwise the server is leaving: the link's end follows, and the session goes on elsewhere */
}

static int load_keys(struct client *c)
{
    struct peal_bytes name = peal_bytes_str(c->account.name);
    struct peal_bytes wrapped = peal_bytes_of(c->account.keys, c->account.keys_n);
    return cry_keys_unwrap(&c->device_key, name, wrapped, &c->keys);
}

static int load_clock(struct client *c)
{
    uint64_t last;
    int err = profile_last_stamp(c->profile, c->account.name, &last);
    if (err == 0 && last > c->clock.last)
        c->clock.last = last;
    return err;
}

int account_load(struct client *c)
{
    int err = profile_device_key(c->profile, &c->device_key);
    if (err != 0)
        return err;
    err = profile_account(c->profile, &c->account);
    if (err == PEAL_E_NOT_FOUND)
        return 0;
    if (err == 0)
        err = load_keys(c);
    if (err == 0)
        err = load_clock(c);
    if (err == 0)
        c->session = c->account.has_token ? SESSION_AWAY : SESSION_OUTSIDE;
    return err == PEAL_E_AUTH ? PEAL_E_CORRUPT : err;
}

/* ---- register and login -------------------------------------------------------------- */

/* Takes the account that the server confirmed: onto the disk first. keys are given up on success.
 */
static int adopt(struct client *c, const struct wire_c_session *msg, const char *name,
                 struct cry_keys *keys)
{
    struct account a = {.has_token = true, .generation = msg->generation};
    if (msg->token.n != sizeof a.token)
        return PEAL_E_MALFORMED;
    (void)snprintf(a.name, sizeof a.name, "%s", name);
    int err = peal_bytes_to_str(msg->display, sizeof a.display, a.display);
    if (err != 0)
        return PEAL_E_MALFORMED;
    take_settings(&a, msg);
    memcpy(a.token, msg->token.p, sizeof a.token);
    err =
        cry_keys_wrap(keys, &c->device_key, peal_bytes_str(name), sizeof a.keys, a.keys, &a.keys_n);
    if (err == 0)
        err = profile_account_set(c->profile, &a);
    if (err == 0) {
        contacts_clear(c);
        cry_keys_free(c->keys);
        c->keys = keys;
        c->account = a;
        c->watched[0] = '\0';
        int late = load_clock(c);
        if (late != 0)
            client_trouble(c, late, "the history cannot be read", err_prose(late));
        begin_session(c);
    }
    cry_wipe(&a, sizeof a);
    return err;
}

/* The server's word on who this is must match what the password opens. */
static int session_keys(struct job *job, const struct wire_c_session *msg)
{
    struct peal_bytes name = peal_bytes_str(job->name);
    const struct job_password *p = job->kind == JOB_LOGIN ? &job->old : &job->fresh;
    if (!peal_bytes_eq(msg->name, name))
        return PEAL_E_MALFORMED;
    if (job->keys == NULL) {
        int err = cry_keys_unwrap(&p->wrap, name, msg->wrapped, &job->keys);
        if (err != 0)
            return err;
    }
    struct peal_bytes own = cry_public_bundle(cry_keys_public(job->keys));
    return peal_bytes_eq(own, msg->bundle) ? 0 : PEAL_E_AUTH;
}

/* Nobody knows whether it was done: what to try. */
static const struct {
    const char *message, *hint;
} unknown[] = {
    [JOB_REGISTER] = {"it is not known whether the name is registered now",
                      "log in with the same password; if there is no such user, register again"},
    [JOB_LOGIN] = {NULL, NULL},
    [JOB_PASSWORD] = {"it is not known whether the new password counts now",
                      "log in with the new password, or, if that is wrong, with the old one"},
    [JOB_RESET] = {"it is not known whether the new password counts now",
                   "log in with it and ask for a new recovery key, or, if it is wrong, try again"},
    [JOB_RECOVERY] = {"it is not known whether the new recovery key counts now",
                      "ask for another one"},
    [JOB_DELETE] = {"it is not known whether the account is deleted now",
                    "log in: that says whether it was"},
};

void account_refused(struct job *job, const struct answer *answer, bool begun)
{
    bool lost = (answer->err == PEAL_E_UNAVAILABLE && begun) || answer->err == PEAL_E_UNKNOWN;
    if (answer->err == PEAL_E_AUTH && job->kind != JOB_REGISTER && job->kind != JOB_RESET)
        job_fail(job, PEAL_E_AUTH, "the password is wrong",
                 "try again; the recovery key resets a forgotten one");
    else if (lost && unknown[job->kind].message != NULL)
        job_fail(job, PEAL_E_UNKNOWN, unknown[job->kind].message, unknown[job->kind].hint);
    else
        job_fail(job, answer->err, answer->message, answer->hint);
}

static void entered(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct client *c = call->c;
    call->ask = NULL;
    if (answer->err != 0) {
        account_refused(job, answer, a->begun);
        return;
    }
    int err = session_keys(job, answer->msg);
    if (err != 0) {
        job_fail(job, PEAL_E_AUTH, "the server's account record does not belong to this password",
                 "the record is damaged, or the server is not honest");
        return;
    }
    err = adopt(c, answer->msg, job->name, job->keys);
    if (err != 0) {
        job_fail(job, err, "the account cannot be kept in the profile",
                 "log in again when the disk has space");
        return;
    }
    job->keys = NULL;
    json_t *reply = job_with_recovery(job, whoami_json(c));
    job_end(job);
    call_reply(call, reply);
}

int account_in_session(struct ask *a)
{
    if (a->c->session == SESSION_ACTIVE)
        return 0;
    a->retry_us = net_now_us() + RETRY_FIRST_US;
    return PEAL_E_UNAVAILABLE;
}

void account_enter(struct job *job, int (*send)(struct ask *a))
{
    struct client_call *call = job->call;
    call->ask = ask_new(job->c, WIRE_c_session, send, entered, call);
    if (call->ask == NULL)
        job_fail(job, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
    else
        asks_pump(job->c);
}

static int send_register(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct peal_bytes name = peal_bytes_str(job->name);
    struct wire_c_register msg = {
        .req = a->req,
        .req_id = job->req_id,
        .name = name,
        .display = name,
        .salt = peal_bytes_of(job->fresh.kdf.salt, sizeof job->fresh.kdf.salt),
        .ops = job->fresh.kdf.ops,
        .mem_kib = job->fresh.kdf.mem / 1024,
        .auth = peal_bytes_of(job->fresh.auth.b, sizeof job->fresh.auth.b),
        .bundle = cry_public_bundle(cry_keys_public(job->keys)),
        .wrapped = peal_bytes_of(job->wrapped, job->wrapped_n),
        .recovery = peal_bytes_of(job->recovery_hash, sizeof job->recovery_hash),
        .rescued = peal_bytes_of(job->rescued, job->rescued_n),
    };
    return reach_send(a->c->reach, WIRE_c_register, &msg);
}

static int send_login(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct wire_c_login msg = {.req = a->req,
                               .req_id = job->req_id,
                               .name = peal_bytes_str(job->name),
                               .auth = peal_bytes_of(job->old.auth.b, sizeof job->old.auth.b)};
    return reach_send(a->c->reach, WIRE_c_login, &msg);
}

/* ---- register and login -------------------------------------------------------------- */

int account_password(struct client_call *call, const char *key, const char *what)
{
    json_t *password = json_object_get(call->args, key);
    size_t n = json_string_length(password);
    char message[128];
    if (json_is_string(password) && n > 0 && n <= CRY_PASSWORD_MAX)
        return 0;
    (void)snprintf(message, sizeof message, "%s is %s", what,
                   n == 0 ? "missing" : "longer than 1024 bytes");
    int err = n > CRY_PASSWORD_MAX ? PEAL_E_TOO_LONG : PEAL_E_USAGE;
    call_fail(call, err, message, "a few words in a row make a good password");
    return err;
}

/* What register and login ask of their arguments; on an error the call has been answered. */
static int check_entry(struct client_call *call, char name[static NAME_BYTES_MAX + 1])
{
    int err = call_name(call, "name", name);
    if (err == 0)
        err = account_password(call, "password", "the password");
    if (err != 0)
        return err;
    return account_check_profile(call, name);
}

int account_check_profile(struct client_call *call, const char *name)
{
    const struct client *c = call->c;
    if (c->session != SESSION_NOBODY && strcmp(name, c->account.name) != 0) {
        char message[NAME_BYTES_MAX + 64];
        (void)snprintf(message, sizeof message, "this profile holds the account and history of %s",
                       c->account.name);
        call_fail(call, PEAL_E_REFUSED, message,
                  "use another profile, or log out first (the history stays here for the next "
                  "login of that account)");
        return PEAL_E_REFUSED;
    }
    return 0;
}

int account_alone(struct client_call *call)
{
    for (const struct client_call *other = call->c->calls; other != NULL; other = other->next) {
        if (other->entering && !other->over) {
            call_fail(call, PEAL_E_BUSY, "a registration, a login or the like is under way",
                      "wait for its end");
            return PEAL_E_BUSY;
        }
    }
    call->entering = true;
    return 0;
}

static void register_ready(struct job *job)
{
    int err = job_wrap(job, job->keys);
    if (err == 0)
        err = job_make_recovery(job, job->keys);
    if (err != 0)
        job_fail(job, err, err_prose(err), "");
    else
        account_enter(job, send_register);
}

void cmd_register(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    if (check_entry(call, name) != 0 || account_alone(call) != 0)
        return;
    if (call->c->session != SESSION_NOBODY) {
        call_fail(call, PEAL_E_EXISTS, "this profile has this account already", "log in instead");
        return;
    }
    struct job *job = job_new(call, JOB_REGISTER, name);
    if (job == NULL || job_take(job, "password", &job->fresh) != 0) {
        job_none(call, job);
        return;
    }
    cry_kdf_new(&job->fresh.kdf);
    job_start(job, register_ready);
}

static void login_ready(struct job *job)
{
    account_enter(job, send_login);
}

static void login_found(struct client_call *call, const struct answer *answer)
{
    struct job *job = job_of_found(call, answer, JOB_LOGIN, "password");
    if (job != NULL)
        job_start(job, login_ready);
}

void account_set_aside(struct client *c)
{
    struct ask *resume = resume_under_way(c);
    if (resume != NULL)
        ask_drop(resume);
    c->entering = true;
    if (c->session != SESSION_RESUMING && c->session != SESSION_ACTIVE)
        return;
    c->session = SESSION_AWAY;
    c->settled_us = CLIENT_NEVER;
    outbox_link_down(c);
    held_clear(c);
    reach_renew(c->reach, "a new login");
}

void account_entered(struct client *c)
{
    c->entering = false;
    if (c->session == SESSION_AWAY && reach_is_up(c->reach))
        account_link_up(c);
}

void account_find_own(struct client_call *call, const char *name,
                      void (*found)(struct client_call *call, const struct answer *answer))
{
    call->found = found;
    int err = contact_find(call->c, name);
    if (err != 0)
        call_fail(call, err, "too many requests at once", "try again in a moment");
    else
        (void)snprintf(call->finding, sizeof call->finding, "%s", name);
}

void cmd_login(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    if (check_entry(call, name) != 0 || account_alone(call) != 0)
        return;
    account_set_aside(call->c);
    account_find_own(call, name, login_found);
}

/* ---- logout -------------------------------------------------------------------------- */

void account_leave(struct client_call *call, const char *reason)
{
    struct client *c = call->c;
    int err = profile_account_clear(c->profile);
    if (err != 0) {
        call_fail(call, err, "the profile cannot be written", err_prose(err));
        return;
    }
    outbox_link_down(c);
    held_clear(c);
    contacts_clear(c);
    c->presence_count = c->presence_next = 0;
    cry_keys_free(c->keys);
    c->keys = NULL;
    cry_wipe(&c->account, sizeof c->account);
    c->session = SESSION_NOBODY;
    c->settled_us = CLIENT_NEVER;
    emit_session(c, reason);
    call_reply(call, json_object());
}

static void leave(struct client_call *call)
{
    account_leave(call, "logout");
}

static int send_logout(struct ask *a)
{
    struct wire_c_logout msg = {.req = a->req};
    return reach_send(a->c->reach, WIRE_c_logout, &msg);
}

/* Whatever the server says: here the account is forgotten. */
static void logged_out(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    (void)answer;
    call->ask = NULL;
    leave(call);
}

/* A server takes a logout only within the session. */
void account_logout(struct client_call *call)
{
    struct client *c = call->c;
    if (c->session == SESSION_OUTSIDE || c->session == SESSION_NOBODY) {
        leave(call);
    } else if (c->session == SESSION_ACTIVE && call->ask == NULL) {
        call->ask = ask_new(c, WIRE_c_ok, send_logout, logged_out, call);
        if (call->ask == NULL)
            leave(call);
        else
            asks_pump(c);
    }
}

void cmd_logout(struct client_call *call)
{
    if (call_account(call) != 0)
        return;
    call->leaving = true;
    call_wait(call, CLIENT_CONNECT_WAIT_MS, leave);
    account_logout(call);
}
