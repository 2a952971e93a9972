/* What changes an account, said with its password. Each of these leaves the session there is and
 * enters the account anew, as a login does: so that whatever link it is asked over, a retry at the
 * next server finds what the first try has done, and the old session goes on when nothing was.
 *
 * Not for: registering, logging in and out (account.c). */
#include "job.h"

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
    if (job->c->session == SESSION_NOBODY) {
        job_fail(job, PEAL_E_AUTH, "the account has been left meanwhile", "log in first");
        return;
    }
    int err = cry_keys_wrap(job->c->keys, &job->fresh.wrap, peal_bytes_str(job->name),
                            sizeof job->wrapped, job->wrapped, &job->wrapped_n);
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
