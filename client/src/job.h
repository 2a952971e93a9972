/* job: one run of the password function on a worker (and of key making, for a new account), for a
 * command that enters an account or changes what opens it. Passwords and what comes of them are
 * wiped as soon as they have done their work.
 *
 * Not for: what is asked of the server with it (account.c, credentials.c). */
#ifndef PEAL_CLIENT_JOB_H
#define PEAL_CLIENT_JOB_H

#include "core.h"

enum job_kind { JOB_REGISTER, JOB_LOGIN, JOB_PASSWORD, JOB_RESET, JOB_RECOVERY, JOB_DELETE };

/* A password; text NULL: there is none. */
struct job_password {
    char *text;
    size_t n;
    struct cry_kdf kdf;
    struct peal_secret auth, wrap;
};

/* The worker owns it until `then` or job_forget. */
struct job {
    uv_work_t work;
    struct client *c;
    struct client_call *call; /* NULL: nobody waits any more */
    enum job_kind kind;
    bool busy; /* a worker has it */
    char name[NAME_BYTES_MAX + 1];
    struct peal_msg_id req_id;
    struct job_password old;   /* the one that the account has */
    struct job_password fresh; /* the one that it is to have */
    int err;
    struct cry_keys *keys;                       /* of a new account, or those that were rescued */
    struct peal_secret rescue_auth, rescue_wrap; /* of the recovery key that is given */
    bool has_recovery;                           /* there is a new one */
    struct cry_recovery recovery;
    uint8_t recovery_hash[CRY_HASH_BYTES]; /* what the server keeps of it */
    uint8_t rescued[CRY_WRAPPED_MAX];      /* the private keys under it */
    size_t rescued_n;
    uint8_t wrapped[CRY_WRAPPED_MAX];
    size_t wrapped_n;
    void (*then)(struct job *job);
};

/* NULL: no memory. */
struct job *job_new(struct client_call *call, enum job_kind kind, const char *name);
/* Takes a password out of the call's arguments, where it has been checked. PEAL_E_NO_MEMORY. */
PEAL_MUST int job_take(struct job *job, const char *key, struct job_password *into);
/* There is no memory for it: ends it (job may be NULL) and the call. */
void job_none(struct client_call *call, struct job *job);
/* For the account that was found, with the password that it has out of the arguments. NULL: the
 * call has been answered. */
struct job *job_of_found(struct client_call *call, const struct answer *answer, enum job_kind kind,
                         const char *key);
/* Gives the job to a worker; then is called on the loop, when it went well and somebody still
 * waits.
 */
void job_start(struct job *job, void (*then)(struct job *job));
/* On the loop: wraps keys under the new password (job.wrapped). */
PEAL_MUST int job_wrap(struct job *job, const struct cry_keys *keys);
/* Makes a recovery key, and wraps keys under it. */
PEAL_MUST int job_make_recovery(struct job *job, const struct cry_keys *keys);
/* Its text into an answer; object is given up when there is no memory, and NULL comes back. */
json_t *job_with_recovery(const struct job *job, json_t *object);
/* Ends job and call with an error. */
void job_fail(struct job *job, int err, const char *message, const char *hint);
/* Ends the job, and takes it off its call. */
void job_end(struct job *job);

/* ---- account.c, for what else enters an account ---- */

/* A password in the arguments, checked; on an error the call has been answered. what: in prose. */
PEAL_MUST int account_password(struct client_call *call, const char *key, const char *what);
/* Refuses a name when the profile holds another account; on an error the call has been answered. */
PEAL_MUST int account_check_profile(struct client_call *call, const char *name);
/* Ends job and call by what the server, or nobody, has said to what a job asked. begun: it may have
 * been heard. */
void account_refused(struct job *job, const struct answer *answer, bool begun);
/* One at a time: two would contend for the same profile. On an error the call has been answered. */
PEAL_MUST int account_alone(struct client_call *call);
/* The account is no more, or not here any more: the profile keeps its history alone. Answers the
 * call. */
void account_leave(struct client_call *call, const char *reason);
/* A link carries one session. Whoever enters anew leaves the one there is, and takes a fresh link.
 */
void account_set_aside(struct client *c);
/* Asks for the account's record, for its salt; then found. On an error the call has been answered.
 */
void account_find_own(struct client_call *call, const char *name,
                      void (*found)(struct client_call *call, const struct answer *answer));
/* As the `send` of an ask that a server takes only in a session: 0 when there is one; otherwise the
 * ask is to be sent a little later, and this is what its `send` returns. */
int account_in_session(struct ask *a);
/* Sends by `send` what is answered with c_session, and takes the account that comes of it. */
void account_enter(struct job *job, int (*send)(struct ask *a));

#endif
