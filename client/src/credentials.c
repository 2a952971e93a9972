/* What changes an account, said with its password or its recovery key. Another password leaves the
 * session there is and enters the account anew, as a login does: so that whatever link it is asked
 * over, a retry at the next server finds what the first try has done, and the old session goes on
 * when nothing was.
 *
 * Not for: registering, logging in and out (account.c). */
#include "job.h"

/* Who logs out while a job is under way takes the keys along. */
static bool is_still_here(struct job *job)
{
    if (job->c->session != SESSION_NOBODY)
        return true;
    job_fail(job, PEAL_E_AUTH, "the account has been left meanwhile", "log in first");
    return false;
}

/* ---- another password ---------------------------------------------------------------- */

static int send_password(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct wire_c_password msg = {
        .req = a->req,
        .req_id = job->req_id,
        .name = peal_bytes_str(job->name),
        .auth = peal_bytes_of(job->old.auth.b, sizeof job->old.auth.b),
        .salt = peal_bytes_of(job->fresh.kdf.salt, sizeof job->fresh.kdf.salt),
        .ops = job->fresh.kdf.ops,
        .mem_kib = job->fresh.kdf.mem / 1024,
        .new_auth = peal_bytes_of(job->fresh.auth.b, sizeof job->fresh.auth.b),
        .wrapped = peal_bytes_of(job->wrapped, job->wrapped_n),
    };
    return reach_send(a->c->reach, WIRE_c_password, &msg);
}

static void password_ready(struct job *job)
{
    if (!is_still_here(job))
        return;
    int err = job_wrap(job, job->c->keys);
    if (err != 0)
        job_fail(job, err, err_prose(err), "");
    else
        account_enter(job, send_password);
}

static void password_found(struct client_call *call, const struct answer *answer)
{
    struct job *job = job_of_found(call, answer, JOB_PASSWORD, "old");
    if (job == NULL)
        return;
    if (job_take(job, "new", &job->fresh) != 0) {
        job_none(call, job);
        return;
    }
    cry_kdf_new(&job->fresh.kdf);
    job_start(job, password_ready);
}

void cmd_password(struct client_call *call)
{
    if (call_account(call) != 0 || account_password(call, "old", "the present password") != 0 ||
        account_password(call, "new", "the new password") != 0 || account_alone(call) != 0)
        return;
    account_set_aside(call->c);
    account_find_own(call, call->c->account.name, password_found);
}

/* ---- a forgotten password ------------------------------------------------------------ */

static int send_reset(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct wire_c_reset msg = {
        .req = a->req,
        .req_id = job->req_id,
        .name = peal_bytes_str(job->name),
        .auth = peal_bytes_of(job->rescue_auth.b, sizeof job->rescue_auth.b),
        .salt = peal_bytes_of(job->fresh.kdf.salt, sizeof job->fresh.kdf.salt),
        .ops = job->fresh.kdf.ops,
        .mem_kib = job->fresh.kdf.mem / 1024,
        .new_auth = peal_bytes_of(job->fresh.auth.b, sizeof job->fresh.auth.b),
        .wrapped = peal_bytes_of(job->wrapped, job->wrapped_n),
        .recovery = peal_bytes_of(job->recovery_hash, sizeof job->recovery_hash),
        .rescued = peal_bytes_of(job->rescued, job->rescued_n),
    };
    return reach_send(a->c->reach, WIRE_c_reset, &msg);
}

static void reset_ready(struct job *job)
{
    int err = job_wrap(job, job->keys);
    if (err == 0)
        err = job_make_recovery(job, job->keys);
    if (err != 0)
        job_fail(job, err, err_prose(err), "");
    else
        account_enter(job, send_reset);
}

static int send_rescue(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct wire_c_rescue msg = {.req = a->req,
                                .name = peal_bytes_str(job->name),
                                .auth =
                                    peal_bytes_of(job->rescue_auth.b, sizeof job->rescue_auth.b)};
    return reach_send(a->c->reach, WIRE_c_rescue, &msg);
}

/* Opens what the key wrapped before anything is changed. */
static void rescued(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    call->ask = NULL;
    if (answer->err != 0) {
        job_fail(job, answer->err, answer->message, answer->hint);
        return;
    }
    const struct wire_c_rescued *msg = answer->msg;
    int err =
        cry_keys_unwrap(&job->rescue_wrap, peal_bytes_str(job->name), msg->wrapped, &job->keys);
    if (err != 0 || !peal_bytes_eq(cry_public_bundle(cry_keys_public(job->keys)), msg->bundle)) {
        job_fail(job, PEAL_E_AUTH,
                 "the server's account record does not belong to this recovery key",
                 "the record is damaged, or the server is not honest");
        return;
    }
    cry_kdf_new(&job->fresh.kdf);
    job_start(job, reset_ready);
}

/* The recovery key in the arguments; on an error the call has been answered. */
static int take_recovery(struct client_call *call, struct cry_recovery *out)
{
    json_t *text = json_object_get(call->args, "recovery");
    size_t n = json_string_length(text);
    int err = !json_is_string(text) || n == 0
                  ? PEAL_E_USAGE
                  : cry_recovery_parse(peal_bytes_of(json_string_value(text), n), out);
    if (err == 0) {
        cry_wipe((char *)json_string_value(text), n);
        json_object_del(call->args, "recovery");
    } else if (err == PEAL_E_USAGE) {
        call_fail(call, err, "the recovery key is missing", "it was shown at the registration");
    } else if (err == PEAL_E_CORRUPT) {
        call_fail(call, PEAL_E_MALFORMED, "the recovery key is mistyped",
                  "compare it with what was noted, character by character");
    } else {
        call_fail(call, PEAL_E_MALFORMED, "this is no recovery key",
                  "it has eight groups of four letters and digits");
    }
    return err;
}

void cmd_reset(struct client_call *call)
{
    char name[NAME_BYTES_MAX + 1];
    struct cry_recovery key;
    if (call_name(call, "name", name) != 0 ||
        account_password(call, "password", "the new password") != 0 ||
        account_check_profile(call, name) != 0 || take_recovery(call, &key) != 0)
        return;
    struct job *job = account_alone(call) == 0 ? job_new(call, JOB_RESET, name) : NULL;
    if (job == NULL || job_take(job, "password", &job->fresh) != 0) {
        cry_wipe(&key, sizeof key);
        if (call->entering)
            job_none(call, job);
        return;
    }
    cry_recovery_split(&key, &job->rescue_auth, &job->rescue_wrap);
    cry_wipe(&key, sizeof key);
    call->job = job;
    account_set_aside(call->c);
    call->ask = ask_new(call->c, WIRE_c_rescued, send_rescue, rescued, call);
    if (call->ask == NULL)
        job_fail(job, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
}

/* ---- another recovery key ------------------------------------------------------------ */

static int send_recovery(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct wire_c_recovery msg = {
        .req = a->req,
        .req_id = job->req_id,
        .auth = peal_bytes_of(job->old.auth.b, sizeof job->old.auth.b),
        .recovery = peal_bytes_of(job->recovery_hash, sizeof job->recovery_hash),
        .rescued = peal_bytes_of(job->rescued, job->rescued_n),
    };
    int err = account_in_session(a);
    return err != 0 ? err : reach_send(a->c->reach, WIRE_c_recovery, &msg);
}

static void recovery_done(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    call->ask = NULL;
    if (answer->err != 0) {
        account_refused(job, answer, a->begun);
        return;
    }
    json_t *reply = job_with_recovery(job, json_object());
    job_end(job);
    call_reply(call, reply);
}

static void recovery_ready(struct job *job)
{
    struct client_call *call = job->call;
    if (!is_still_here(job))
        return;
    int err = job_make_recovery(job, job->c->keys);
    if (err != 0) {
        job_fail(job, err, err_prose(err), "");
        return;
    }
    call->ask = ask_new(job->c, WIRE_c_ok, send_recovery, recovery_done, call);
    if (call->ask == NULL)
        job_fail(job, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
    else
        asks_pump(job->c);
}

static void recovery_found(struct client_call *call, const struct answer *answer)
{
    struct job *job = job_of_found(call, answer, JOB_RECOVERY, "password");
    if (job != NULL)
        job_start(job, recovery_ready);
}

void cmd_recovery(struct client_call *call)
{
    if (call_session(call) == 0 && account_password(call, "password", "the password") == 0)
        account_find_own(call, call->c->account.name, recovery_found);
}

/* ---- the end of the account ---------------------------------------------------------- */

static int send_delete(struct ask *a)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct wire_c_delete msg = {.req = a->req,
                                .req_id = job->req_id,
                                .name = peal_bytes_str(job->name),
                                .auth = peal_bytes_of(job->old.auth.b, sizeof job->old.auth.b)};
    return reach_send(a->c->reach, WIRE_c_delete, &msg);
}

/* What waited to be sent is nobody's any more: whoever registers the name later has other keys. */
static void deleted(struct ask *a, const struct answer *answer)
{
    struct client_call *call = a->user;
    struct job *job = call->job;
    struct client *c = call->c;
    call->ask = NULL;
    if (answer->err != 0) {
        account_refused(job, answer, a->begun);
        return;
    }
    int err = profile_outbox_clear(c->profile, job->name);
    job_end(job);
    if (err != 0)
        client_trouble(c, err, "what waited to be sent cannot be removed", err_prose(err));
    account_leave(call, "deleted");
}

static void delete_ready(struct job *job)
{
    struct client_call *call = job->call;
    call->ask = ask_new(job->c, WIRE_c_ok, send_delete, deleted, call);
    if (call->ask == NULL)
        job_fail(job, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
    else
        asks_pump(job->c);
}

static void delete_found(struct client_call *call, const struct answer *answer)
{
    struct job *job = job_of_found(call, answer, JOB_DELETE, "password");
    if (job != NULL)
        job_start(job, delete_ready);
}

void cmd_delete(struct client_call *call)
{
    if (call_account(call) != 0 || account_password(call, "password", "the password") != 0 ||
        account_alone(call) != 0)
        return;
    account_set_aside(call->c);
    account_find_own(call, call->c->account.name, delete_found);
}
