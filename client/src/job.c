#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void password_wipe(struct job_password *p)
{
    if (p->text != NULL)
        cry_wipe(p->text, p->n);
    free(p->text);
    p->text = NULL;
}

static void job_free(struct job *job)
{
    password_wipe(&job->old);
    password_wipe(&job->fresh);
    cry_keys_free(job->keys);
    cry_wipe(job, sizeof *job);
    free(job);
}

static int split(struct job_password *p)
{
    if (p->text == NULL)
        return 0;
    return cry_password_split(peal_bytes_of(p->text, p->n), &p->kdf, &p->auth, &p->wrap);
}

static void work(uv_work_t *uv)
{
    struct job *job = uv->data;
    job->err = split(&job->old);
    if (job->err == 0)
        job->err = split(&job->fresh);
    if (job->err == 0 && job->kind == JOB_REGISTER)
        job->err = cry_keys_new(&job->keys);
}

static void after(uv_work_t *uv, int status)
{
    struct job *job = uv->data;
    job->c->jobs--;
    job->busy = false;
    password_wipe(&job->old);
    password_wipe(&job->fresh);
    if (job->call == NULL) {
        job_free(job);
        return;
    }
    int err = job->err != 0 ? job->err : status != 0 ? PEAL_E_NO_MEMORY : 0;
    if (err != 0)
        job_fail(job, err,
                 err == PEAL_E_REFUSED ? "the server asks for a weak use of the password"
                                       : err_prose(err),
                 "");
    else
        job->then(job);
}

struct job *job_new(struct client_call *call, enum job_kind kind, const char *name)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->c = call->c;
    job->call = call;
    job->kind = kind;
    (void)snprintf(job->name, sizeof job->name, "%s", name);
    cry_msg_id(net_wall_ms(), &job->req_id);
    job->work.data = job;
    return job;
}

int job_take(struct job *job, const char *key, struct job_password *into)
{
    json_t *password = json_object_get(job->call->args, key);
    size_t n = json_string_length(password);
    CHECK(into->text == NULL && json_is_string(password));
    into->text = malloc(n + 1);
    if (into->text == NULL)
        return PEAL_E_NO_MEMORY;
    memcpy(into->text, json_string_value(password), n);
    into->n = n;
    cry_wipe((char *)json_string_value(password), n);
    json_object_del(job->call->args, key);
    return 0;
}

static int kdf_of(const struct wire_c_user *user, struct job_password *into)
{
    if (user->salt.n != CRY_SALT_BYTES || user->mem_kib > CRY_KDF_MEM_MAX / 1024)
        return PEAL_E_MALFORMED;
    memcpy(into->kdf.salt, user->salt.p, sizeof into->kdf.salt);
    into->kdf.ops = user->ops;
    into->kdf.mem = user->mem_kib * 1024;
    return 0;
}

void job_none(struct client_call *call, struct job *job)
{
    if (job != NULL)
        job_free(job);
    call_fail(call, PEAL_E_NO_MEMORY, NULL, NULL);
}

struct job *job_of_found(struct client_call *call, const struct answer *answer, enum job_kind kind,
                         const char *key)
{
    const struct wire_c_user *user = answer->msg;
    char name[NAME_BYTES_MAX + 1];
    struct job_password old = {0};
    if (answer->err != 0) {
        bool none = answer->err == PEAL_E_NOT_FOUND;
        call_fail(call, answer->err, answer->message,
                  none ? "check the name, or register it" : answer->hint);
        return NULL;
    }
    if (peal_bytes_to_str(user->name, sizeof name, name) != 0 || kdf_of(user, &old) != 0) {
        call_fail(call, PEAL_E_MALFORMED, "the account's record is not of its form", "");
        return NULL;
    }
    struct job *job = job_new(call, kind, name);
    if (job != NULL)
        job->old.kdf = old.kdf;
    if (job == NULL || job_take(job, key, &job->old) != 0) {
        job_none(call, job);
        return NULL;
    }
    return job;
}

void job_start(struct job *job, void (*then)(struct job *job))
{
    job->then = then;
    job->call->job = job;
    job->busy = true;
    int rc = uv_queue_work(net_loop_uv(job->c->loop), &job->work, work, after);
    CHECK(rc == 0);
    job->c->jobs++;
}

void job_forget(struct job *job)
{
    job->call = NULL;
    if (!job->busy)
        job_free(job);
}

int job_wrap(struct job *job, const struct cry_keys *keys)
{
    return cry_keys_wrap(keys, &job->fresh.wrap, peal_bytes_str(job->name), sizeof job->wrapped,
                         job->wrapped, &job->wrapped_n);
}

int job_make_recovery(struct job *job, const struct cry_keys *keys)
{
    struct peal_secret auth, wrap;
    cry_recovery_new(&job->recovery);
    job->has_recovery = true;
    cry_recovery_split(&job->recovery, &auth, &wrap);
    cry_recovery_hash(auth.b, job->recovery_hash);
    int err = cry_keys_wrap(keys, &wrap, peal_bytes_str(job->name), sizeof job->rescued,
                            job->rescued, &job->rescued_n);
    cry_wipe(&auth, sizeof auth);
    cry_wipe(&wrap, sizeof wrap);
    return err;
}

json_t *job_with_recovery(const struct job *job, json_t *object)
{
    char text[CRY_RECOVERY_TEXT];
    if (!job->has_recovery || object == NULL)
        return object;
    cry_recovery_text(&job->recovery, text);
    if (json_object_set_new(object, "recovery", json_string(text)) != 0) {
        json_decref(object);
        object = NULL;
    }
    cry_wipe(text, sizeof text);
    return object;
}

void job_end(struct job *job)
{
    CHECK(job->call == NULL || job->call->job == job || job->call->job == NULL);
    if (job->call != NULL)
        job->call->job = NULL;
    job_free(job);
}

void job_fail(struct job *job, int err, const char *message, const char *hint)
{
    struct client_call *call = job->call;
    job_end(job);
    call_fail(call, err, message, hint);
}
