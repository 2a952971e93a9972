/* Registering, logging in, resuming and leaving. The password is stretched on a worker; it and the
 * two keys that come of it are wiped as soon as they have done their work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queries.h"

/* One run of the password function, and of key making for a new account. The worker owns it until
 * `job_after`. */
struct job {
    uv_work_t work;
    struct client *c;
    struct client_call *call; /* NULL: nobody waits any more */
    bool is_new;
    bool ran; /* the worker is done with it */
    char name[NAME_BYTES_MAX + 1];
    char *password;
    size_t password_n;
    struct cry_kdf kdf;
    struct peal_msg_id req_id;
    int err;
    struct peal_secret auth, wrap;
    struct cry_keys *keys; /* of a new account */
    uint8_t wrapped[CRY_WRAPPED_MAX];
    size_t wrapped_n;
};

static void job_free(struct job *job)
{
    if (job->password != NULL)
        cry_wipe(job->password, job->password_n);
    free(job->password);
    cry_keys_free(job->keys);
    cry_wipe(job, sizeof *job);
    free(job);
}

static void job_work(uv_work_t *work)
{
    struct job *job = work->data;
    struct peal_bytes password = peal_bytes_of(job->password, job->password_n);
    struct peal_bytes name = peal_bytes_str(job->name);
    job->err = cry_password_split(password, &job->kdf, &job->auth, &job->wrap);
    if (job->err == 0 && job->is_new)
        job->err = cry_keys_new(&job->keys);
    if (job->err == 0 && job->is_new)
        job->err = cry_keys_wrap(job->keys, &job->wrap, name, sizeof job->wrapped, job->wrapped,
                                 &job->wrapped_n);
}

void job_forget(struct job *job)
{
    job->call = NULL;
    if (job->ran)
        job_free(job);
}

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

static void resumed(struct ask *a, const struct answer *answer)
{
    struct client *c = a->c;
    if (c->session != SESSION_RESUMING)
        return;
    if (answer->err == 0) {
        const struct wire_c_session *msg = answer->msg;
        c->account.generation = msg->generation;
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

static void fail_job(struct job *job, int err, const char *message, const char *hint)
{
    struct client_call *call = job->call;
    call->job = NULL;
    job_free(job);
    call_fail(call, err, message, hint);
}

/* The server's word on who this is must match what the password opens. */
static int session_keys(struct job *job, const struct wire_c_session *msg)
{
    struct peal_bytes name = peal_bytes_str(job->name);
    if (!peal_bytes_eq(msg->name, name))
        return PEAL_E_MALFORMED;
    if (job->keys == NULL) {
        int err = cry_keys_unwrap(&job->wrap, name, msg->wrapped, &job->keys);
        if (err != 0)
            return err;
    }
    struct peal_bytes own = cry_public_bundle(cry_keys_public(job->keys));
    return peal_bytes_eq(own, msg->bundle) ? 0 : PEAL_E_AUTH;
}

static void entered(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct client *c = call->c;
    call->ask = NULL;
    if (answer->err != 0) {
        if (answer->err == PEAL_E_EXISTS)
            fail_job(job, PEAL_E_EXISTS, "this name is taken",
                     "choose another name, or log in if it is yours");
        else if (answer->err == PEAL_E_AUTH)
            fail_job(job, PEAL_E_AUTH, "the password is wrong", "try again; nobody can reset it");
        else if (answer->err == PEAL_E_UNAVAILABLE && a->begun && job->is_new)
            fail_job(job, PEAL_E_UNKNOWN, "it is not known whether the name is registered now",
                     "log in with the same password; if there is no such user, register again");
        else
            fail_job(job, answer->err, answer->message, answer->hint);
        return;
    }
    int err = session_keys(job, answer->msg);
    if (err != 0) {
        fail_job(job, PEAL_E_AUTH, "the server's account record does not belong to this password",
                 "the record is damaged, or the server is not honest");
        return;
    }
    err = adopt(c, answer->msg, job->name, job->keys);
    if (err != 0) {
        fail_job(job, err, "the account cannot be kept in the profile",
                 "log in again when the disk has space");
        return;
    }
    job->keys = NULL;
    call->job = NULL;
    job_free(job);
    call_reply(call, whoami_json(c));
}

static int send_enter(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct peal_bytes name = peal_bytes_str(job->name);
    struct peal_bytes auth = peal_bytes_of(job->auth.b, sizeof job->auth.b);
    if (!job->is_new) {
        struct wire_c_login msg = {
            .req = a->req, .req_id = job->req_id, .name = name, .auth = auth};
        return reach_send(a->c->reach, WIRE_c_login, &msg);
    }
    struct wire_c_register msg = {
        .req = a->req,
        .req_id = job->req_id,
        .name = name,
        .display = name,
        .salt = peal_bytes_of(job->kdf.salt, sizeof job->kdf.salt),
        .ops = job->kdf.ops,
        .mem_kib = job->kdf.mem / 1024,
        .auth = auth,
        .bundle = cry_public_bundle(cry_keys_public(job->keys)),
        .wrapped = peal_bytes_of(job->wrapped, job->wrapped_n),
    };
    return reach_send(a->c->reach, WIRE_c_register, &msg);
}

static void job_after(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct client_call *call = job->call;
    job->c->jobs--;
    job->ran = true;
    if (call == NULL) {
        job_free(job);
        return;
    }
    cry_wipe(job->password, job->password_n);
    if (status != 0 || job->err != 0) {
        int err = job->err != 0 ? job->err : PEAL_E_NO_MEMORY;
        fail_job(job, err,
                 err == PEAL_E_REFUSED ? "the server asks for a weak use of the password"
                                       : err_prose(err),
                 "");
        return;
    }
    call->ask = ask_new(job->c, WIRE_c_session, send_enter, entered, call);
    if (call->ask == NULL)
        fail_job(job, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
    else
        asks_pump(job->c);
}

/* Moves the password out of the arguments. */
static struct job *job_new(struct client_call *call, bool is_new, const char *name)
{
    json_t *password = json_object_get(call->args, "password");
    size_t n = json_string_length(password);
    struct job *job = calloc(1, sizeof *job);
    char *copy = malloc(n + 1);
    if (job == NULL || copy == NULL) {
        free(job);
        free(copy);
        return NULL;
    }
    memcpy(copy, json_string_value(password), n);
    cry_wipe((char *)json_string_value(password), n);
    json_object_del(call->args, "password");
    job->c = call->c;
    job->call = call;
    job->is_new = is_new;
    job->password = copy;
    job->password_n = n;
    (void)snprintf(job->name, sizeof job->name, "%s", name);
    cry_msg_id(net_wall_ms(), &job->req_id);
    job->work.data = job;
    return job;
}

static void job_start(struct client_call *call, struct job *job)
{
    if (job == NULL) {
        call_fail(call, PEAL_E_NO_MEMORY, NULL, NULL);
        return;
    }
    call->job = job;
    int rc = uv_queue_work(net_loop_uv(call->c->loop), &job->work, job_work, job_after);
    CHECK(rc == 0);
    call->c->jobs++;
}

/* What register and login ask of their arguments; on an error the call has been answered. */
static int check_entry(struct client_call *call, char name[static NAME_BYTES_MAX + 1])
{
    struct client *c = call->c;
    json_t *password = json_object_get(call->args, "password");
    int err = call_name(call, "name", name);
    if (err != 0)
        return err;
    size_t n = json_string_length(password);
    if (!json_is_string(password) || n == 0 || n > CRY_PASSWORD_MAX) {
        err = n > CRY_PASSWORD_MAX ? PEAL_E_TOO_LONG : PEAL_E_USAGE;
        call_fail(call, err,
                  n == 0 ? "the password is missing" : "the password is longer than 1024 bytes",
                  "a few words in a row make a good password");
        return err;
    }
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

/* One at a time: two would contend for the same profile. */
static int check_alone(struct client_call *call)
{
    for (const struct client_call *other = call->c->calls; other != NULL; other = other->next) {
        if (other->entering && !other->over) {
            call_fail(call, PEAL_E_BUSY, "a registration or login is under way",
                      "wait for its end");
            return PEAL_E_BUSY;
        }
    }
    call->entering = true;
    return 0;
}

void cmd_register(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    if (check_entry(call, name) != 0 || check_alone(call) != 0)
        return;
    if (call->c->session != SESSION_NOBODY) {
        call_fail(call, PEAL_E_EXISTS, "this profile has this account already", "log in instead");
        return;
    }
    struct job *job = job_new(call, true, name);
    if (job != NULL)
        cry_kdf_new(&job->kdf);
    job_start(call, job);
}

static void login_found(struct client_call *call, const struct answer *answer)
{
    if (answer->err == PEAL_E_NOT_FOUND) {
        call_fail(call, PEAL_E_NOT_FOUND, "there is no such user",
                  "check the name, or register it");
        return;
    }
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    const struct wire_c_user *user = answer->msg;
    char name[NAME_BYTES_MAX + 1];
    if (user->salt.n != CRY_SALT_BYTES || user->mem_kib > CRY_KDF_MEM_MAX / 1024 ||
        peal_bytes_to_str(user->name, sizeof name, name) != 0) {
        call_fail(call, PEAL_E_MALFORMED, "the account's record is not of its form", "");
        return;
    }
    struct job *job = job_new(call, false, name);
    if (job != NULL) {
        memcpy(job->kdf.salt, user->salt.p, sizeof job->kdf.salt);
        job->kdf.ops = user->ops;
        job->kdf.mem = user->mem_kib * 1024;
    }
    job_start(call, job);
}

/* A link carries one session. Whoever logs in anew leaves the one there is, and takes a fresh link.
 */
static void set_aside(struct client *c)
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

void cmd_login(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    if (check_entry(call, name) != 0 || check_alone(call) != 0)
        return;
    call->found = login_found;
    set_aside(call->c);
    int err = contact_find(call->c, name);
    if (err != 0) {
        call_fail(call, err, "too many requests at once", "try again in a moment");
        return;
    }
    (void)snprintf(call->finding, sizeof call->finding, "%s", name);
}

/* ---- logout -------------------------------------------------------------------------- */

static void leave(struct client_call *call)
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
    emit_session(c, "logout");
    call_reply(call, json_object());
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
