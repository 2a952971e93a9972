/* profile: the client's folder and its SQLite file. Synchronous; every function here belongs to the
 * loop's thread.
 *
 * Rows belong to an account by its name (`me`), so that a profile that was used by two accounts
 * mixes nothing. The account's private keys lie in the file in a box under `device_key`, which lies
 * beside them: what protects both is the folder's mode. */
#ifndef PEAL_PROFILE_H
#define PEAL_PROFILE_H

#include <peal/client.h>
#include <peal/crypto.h>
#include <peal/name.h>
#include <peal/schema.h>

/* Ordered, but for EXPIRED, which comes between STORED and DELIVERED: a state only ever advances.
 * EXPIRED is a server's word only, and takes nothing back that the recipient has signed. */
enum msg_state {
    MSG_QUEUED = 0,
    MSG_FAILED = 1,
    MSG_STORED = 2,
    MSG_DELIVERED = 3,
    MSG_READ = 4,
    MSG_UNREADABLE = 5,
    MSG_EXPIRED = 6,
};
const char *msg_state_name(int state);

/* What the account's owner wants of every client of it (c_settings). */
struct settings {
    bool receipts;         /* tells others what has been read, and wants to know it of them */
    uint16_t unread;       /* messages shown at a time; 0: all */
    uint16_t session_days; /* after which the session's token is void; 0: never */
};

struct account {
    char name[NAME_BYTES_MAX + 1];
    char display[WIRE_NAME_MAX + 1];
    bool has_token;
    uint8_t token[WIRE_TOKEN_BYTES];
    uint64_t generation;
    struct settings settings;
    uint8_t keys[CRY_WRAPPED_MAX]; /* under device_key */
    size_t keys_n;
};

/* A message of the history. Views belong to the caller, or in a callback to SQLite. */
struct entry {
    struct peal_msg_id id;
    const char *peer;
    bool outgoing;
    bool unread;
    int state;
    uint64_t stamp;
    struct peal_bytes text;
    struct peal_bytes raw; /* of an unreadable one: the envelope */
    bool replies;
    struct peal_msg_id reply_to;
    uint64_t edit_stamp;            /* of the edit that counts; 0: none */
    uint64_t edited_ms, deleted_ms; /* 0: not */
    bool imported;                  /* nobody has proved it */
    uint32_t vanish;                /* seconds after reading; 0: stays */
    uint64_t vanishes_ms;           /* 0: stays, or not known yet */
};

struct outrow {
    int64_t seq;
    struct peal_msg_id id;
    const char *peer;
    uint8_t kind;
    struct peal_bytes body;  /* p == NULL: not sealed yet */
    struct peal_bytes plain; /* then the content (core.h) */
    bool amends;             /* a change of target, not a message */
    struct peal_msg_id target;
};

/* An edit or a deletion. */
struct amendment {
    struct peal_msg_id target, id;
    bool deletes;   /* instead of edits */
    uint64_t stamp; /* the author's: the greatest counts */
    uint64_t at_ms; /* when, for people; not 0 */
    struct peal_bytes text;
};

/* All of these return 0 or PEAL_E_IO, PEAL_E_NO_SPACE, PEAL_E_CORRUPT, besides what is named. */
const char *profile_dir(const struct profile *p);
/* Nested transactions are a broken invariant. A failed commit rolls back. */
PEAL_MUST int profile_begin(struct profile *p);
PEAL_MUST int profile_commit(struct profile *p);
void profile_rollback(struct profile *p);

PEAL_MUST int profile_device_key(struct profile *p, struct peal_secret *out);
/* PEAL_E_NOT_FOUND: nothing is pinned. */
PEAL_MUST int profile_pin(struct profile *p, uint8_t out[static CRY_FP_BYTES]);
PEAL_MUST int profile_pin_set(struct profile *p, const uint8_t pin[static CRY_FP_BYTES]);

/* The present account; PEAL_E_NOT_FOUND when there is none. */
PEAL_MUST int profile_account(struct profile *p, struct account *out);
PEAL_MUST int profile_account_set(struct profile *p, const struct account *a);
PEAL_MUST int profile_account_clear(struct profile *p);

/* Remembers an address; the PROFILE_SERVERS_MAX latest are kept. */
enum { PROFILE_SERVERS_MAX = 64 };
PEAL_MUST int profile_server_add(struct profile *p, const char *address, uint64_t now_ms);
PEAL_MUST int profile_servers(struct profile *p, void (*each)(void *user, const char *address),
                              void *user);

/* A contact's pinned bundle; PEAL_E_NOT_FOUND. *changed: the ring showed another one since. */
PEAL_MUST int profile_contact(struct profile *p, const char *me, const char *name,
                              uint8_t out[static CRY_BUNDLE_MAX], size_t *n, bool *changed);
PEAL_MUST int profile_contact_pin(struct profile *p, const char *me, const char *name,
                                  struct peal_bytes bundle);
PEAL_MUST int profile_contact_changed(struct profile *p, const char *me, const char *name,
                                      bool changed);

/* ---- pins.c */
/* Another bundle is the pinned one from now on: it has not changed, and nothing of it is verified.
 * Within a transaction. */
PEAL_MUST int profile_contact_repin(struct profile *p, const char *me, const char *name,
                                    struct peal_bytes bundle);
/* The two sides' digests (cry_safety_digest) for which a safety number was compared;
 * PEAL_E_NOT_FOUND. */
PEAL_MUST int profile_verified(struct profile *p, const char *me, const char *name,
                               uint8_t own[static CRY_HASH_BYTES],
                               uint8_t theirs[static CRY_HASH_BYTES]);
PEAL_MUST int profile_verified_set(struct profile *p, const char *me, const char *name,
                                   const uint8_t own[static CRY_HASH_BYTES],
                                   const uint8_t theirs[static CRY_HASH_BYTES]);
/* The first `limit` unreadable entries of peer after (stamp, id), in order: id, stamp, raw. each
 * must not write. */
PEAL_MUST int profile_sealed(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                             const struct peal_msg_id *id, uint32_t limit,
                             void (*each)(void *user, const struct entry *e), void *user);
/* Such an entry, to make room for what it turned out to be. */
PEAL_MUST int profile_sealed_del(struct profile *p, const char *me, const struct peal_msg_id *id);

/* PEAL_E_EXISTS: an entry of this id is in already (and stays as it is), or was and is forgotten.
 */
PEAL_MUST int profile_message_add(struct profile *p, const char *me, const struct entry *e);
/* Advances the state of an outgoing message to peer; *done: it did advance. peer NULL: whoever it
 * is to. */
PEAL_MUST int profile_message_advance(struct profile *p, const char *me,
                                      const struct peal_msg_id *id, const char *peer, int state,
                                      bool *done);
/* To whom an outgoing message is; PEAL_E_NOT_FOUND. */
PEAL_MUST int profile_message_peer(struct profile *p, const char *me, const struct peal_msg_id *id,
                                   char out[static NAME_BYTES_MAX + 1]);
/* PEAL_E_NOT_FOUND. */
PEAL_MUST int profile_message_state(struct profile *p, const char *me, const struct peal_msg_id *id,
                                    int *state);
/* The largest stamp of a message, 0 for none. */
PEAL_MUST int profile_last_stamp(struct profile *p, const char *me, uint64_t *out);

/* A message as it is; views only within each. PEAL_E_NOT_FOUND. */
PEAL_MUST int profile_message(struct profile *p, const char *me, const struct peal_msg_id *id,
                              void (*each)(void *user, const struct entry *e), void *user);
/* The message whose id begins or ends with these CLIENT_ID_DIGITS_MIN … 32 hexadecimal digits.
 * PEAL_E_NOT_FOUND; PEAL_E_USAGE: of several. */
PEAL_MUST int profile_message_like(struct profile *p, const char *me, const char *digits,
                                   struct peal_msg_id *out);

/* Changes a message of peer, or one to peer (outgoing). *done: it looks different now; not when it
 * is not there, not the author's, or a greater change counts already. */
PEAL_MUST int profile_amend(struct profile *p, const char *me, const char *peer, bool outgoing,
                            const struct amendment *a, bool *done);
/* Keeps a change by peer of what is not there; the greatest of each target, CLIENT_PENDING_MAX of
 * them per peer, the latest. */
PEAL_MUST int profile_pending_put(struct profile *p, const char *me, const char *peer,
                                  const struct amendment *a);
/* Applies what was kept for this message and drops it. *done: as above. */
PEAL_MUST int profile_pending_apply(struct profile *p, const char *me, const char *peer,
                                    const struct peal_msg_id *target, bool *done);

/* Takes a message out; it stays out when it comes again. PEAL_E_NOT_FOUND. GONE_DAYS later nobody
 * can bring it any more (rows live for 30 days on the ring), and the trace goes as well. */
enum { GONE_DAYS = 60 };
PEAL_MUST int profile_forget(struct profile *p, const char *me, const struct peal_msg_id *id,
                             uint64_t now_ms);
/* The same with all of a conversation, with its draft and what waits for its messages; *n messages.
 * In one transaction of the caller's, as above. */
PEAL_MUST int profile_forget_peer(struct profile *p, const char *me, const char *peer,
                                  uint64_t now_ms, uint64_t *n);
PEAL_MUST int profile_is_gone(struct profile *p, const char *me, const struct peal_msg_id *id,
                              bool *gone);
/* How many unread messages there are: of each who has written one, the latest first, at most
 * `limit`; and in all. */
PEAL_MUST int profile_unread_counts(struct profile *p, const char *me, uint32_t limit,
                                    void (*each)(void *user, const char *peer, uint64_t n),
                                    void *user);
PEAL_MUST int profile_unread_count(struct profile *p, const char *me, uint64_t *out);
/* A text that is not to be sent yet. text.n 0: removes it. PEAL_E_QUOTA. */
PEAL_MUST int profile_draft_set(struct profile *p, const char *me, const char *name,
                                struct peal_bytes text, uint64_t now_ms);
/* PEAL_E_NOT_FOUND. */
PEAL_MUST int profile_draft(struct profile *p, const char *me, const char *name,
                            void (*each)(void *user, struct peal_bytes text, uint64_t at_ms),
                            void *user);

/* Messages that can be read, those before (stamp, id) as in profile_history, the newest first, of
 * one peer or of everybody (NULL); each returns false to stop. */
PEAL_MUST int profile_backwards(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                                const struct peal_msg_id *id,
                                bool (*each)(void *user, const struct entry *e), void *user);
/* Those of a conversation after (stamp, id), oldest first; likewise. */
PEAL_MUST int profile_forwards(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                               const struct peal_msg_id *id,
                               bool (*each)(void *user, const struct entry *e), void *user);
/* Within a transaction: an imported message, forgotten or not. PEAL_E_EXISTS. */
PEAL_MUST int profile_import(struct profile *p, const char *me, const struct entry *e);

/* How long messages with somebody stay, 0: for ever. *seconds is that for who has not said so. */
PEAL_MUST int profile_vanish(struct profile *p, const char *me, const char *name,
                             uint32_t *seconds);
/* *done: it counts, since no greater (stamp, id) has been set. */
PEAL_MUST int profile_vanish_set(struct profile *p, const char *me, const char *name,
                                 uint32_t seconds, uint64_t stamp, const struct peal_msg_id *id,
                                 bool *done);
/* The message's time begins, if it has one and it has not begun; *done. */
PEAL_MUST int profile_vanish_begin(struct profile *p, const char *me, const struct peal_msg_id *id,
                                   uint64_t now_ms, bool *done);
/* The message that vanishes next, and when; PEAL_E_NOT_FOUND: none does. */
PEAL_MUST int profile_vanish_next(struct profile *p, const char *me, struct peal_msg_id *id,
                                  uint64_t *at_ms);

PEAL_MUST int profile_outbox_add(struct profile *p, const char *me, const struct outrow *row);
PEAL_MUST int profile_outbox_del(struct profile *p, const char *me, const struct peal_msg_id *id);
/* All of them. */
PEAL_MUST int profile_outbox_clear(struct profile *p, const char *me);
PEAL_MUST int profile_outbox_has(struct profile *p, const char *me, const struct peal_msg_id *id,
                                 bool *has);
/* Takes a row out that is not sealed, with the changes of it that are not; *done: it was there, so
 * that nobody has seen it. */
PEAL_MUST int profile_outbox_take_back(struct profile *p, const char *me,
                                       const struct peal_msg_id *id, bool *done);
/* Sealed rows with seq > after, in order; each returns false to stop. */
PEAL_MUST int profile_outbox(struct profile *p, const char *me, int64_t after,
                             bool (*each)(void *user, const struct outrow *row), void *user);
PEAL_MUST int profile_outbox_count(struct profile *p, const char *me, uint64_t *out);
/* Names with unsealed rows, and the unsealed ones of one name, in order; each must not write. */
PEAL_MUST int profile_unsealed_names(struct profile *p, const char *me,
                                     void (*each)(void *user, const char *name), void *user);
PEAL_MUST int profile_unsealed(struct profile *p, const char *me, const char *name,
                               void (*each)(void *user, const struct outrow *row), void *user);

/* The newest `limit` entries with peer that come before (stamp, id) (id NULL: strictly before the
 * stamp), oldest first. */
PEAL_MUST int profile_history(struct profile *p, const char *me, const char *peer, uint64_t stamp,
                              const struct peal_msg_id *id, uint32_t limit,
                              void (*each)(void *user, const struct entry *e), void *user);
/* PEAL_E_NOT_FOUND: no such message. */
PEAL_MUST int profile_stamp_of(struct profile *p, const char *me, const struct peal_msg_id *id,
                               uint64_t *stamp);
/* Unread incoming entries, oldest first; peer NULL: of everybody. */
PEAL_MUST int profile_unread(struct profile *p, const char *me, const char *peer, uint32_t limit,
                             void (*each)(void *user, const struct entry *e), void *user);
PEAL_MUST int profile_mark_read(struct profile *p, const char *me, const struct peal_msg_id *id);
/* One line per peer, latest first: the last entry and the number of unread ones. */
PEAL_MUST int profile_conversations(struct profile *p, const char *me, uint32_t limit,
                                    void (*each)(void *user, const struct entry *last,
                                                 uint64_t unread),
                                    void *user);

/* Where the control socket is, or is to be, in this folder: PROFILE/control.sock, or, when that is
 * too long for a socket, what PROFILE/control.path says. `make`: chooses and records one; otherwise
 * PEAL_E_NOT_FOUND when none is recorded. */
PEAL_MUST int profile_control(const char *dir, bool make, char out[static 108]);

#endif
