/* core: what the files of the client share.
 *
 * The session:
 *
 *   state      when                                 and then
 *   NOBODY     no account is in the profile         ACTIVE (register, login)
 *   AWAY       an account with a token, no link     RESUMING (link up), ACTIVE (login)
 *   RESUMING   c_resume is under way                ACTIVE (c_session), OUTSIDE (refused), AWAY
 *                                                   (link down)
 *   ACTIVE     the server has the session           AWAY (link down), OUTSIDE (taken over)
 *   OUTSIDE    the ring does not take the token     ACTIVE (login)
 *
 * and NOBODY from each by logout.
 *
 * An ask is one request to the server with its answer: sent when there is a link, again after a
 * change of servers (its number and content stay the same), given up at its deadline. A find is the
 * ask for somebody's record (c_find), shared by all who wait for the same name, so that what waits
 * keeps its order. A call is a command under way. */
#ifndef PEAL_CLIENT_CORE_H
#define PEAL_CLIENT_CORE_H

#include <peal/reach.h>
#include <uv.h>

#include "profile.h"

#define CLIENT_NEVER UINT64_MAX

enum {
    CONTACTS_CACHED = 32,
    PRESENCE_CACHED = 64,
    RETRY_FIRST_US = 300 * 1000, /* after the ring said "not now"; doubles */
    RETRY_MAX_US = 5 * 1000 * 1000,
    FULL_MAX = 32,                   /* mailboxes known to be full */
    FULL_FIRST_US = 4 * 1000 * 1000, /* after one was said to be full; doubles; jittered by half */
    FULL_MOST_US = 10 * 60 * 1000 * 1000,
    FLIGHT_US = 15 * 1000 * 1000, /* without an answer to a message: it is sent again */
    SETTLE_US = 1200 * 1000,      /* after the session began, without rows: the mailbox is empty */
    SETTLED_US = 300 * 1000,      /* after the last rows, likewise */
    REDELIVER_US = 5 * 1000 * 1000,
};

enum session_state {
    SESSION_NOBODY,
    SESSION_AWAY,
    SESSION_RESUMING,
    SESSION_ACTIVE,
    SESSION_OUTSIDE
};

struct answer {
    int err; /* 0, or why there is no answer of the wanted type */
    enum wire_type type;
    const void *msg;
    const char *message, *hint; /* of an error, for people; never NULL */
};

struct ask {
    struct ask *next;
    struct client *c;
    uint64_t req;
    bool sent;  /* on the present link */
    bool begun; /* was sent at all: the deadline is the answer's now */
    uint64_t deadline_us, retry_us, pause_us;
    enum wire_type wants; /* type of the good answer */
    int (*send)(struct ask *a);
    /* Exactly once, unless it is dropped; the ask is freed afterwards. */
    void (*done)(struct ask *a, const struct answer *answer);
    void *user;
    char name[NAME_BYTES_MAX + 1]; /* of a find, of a lookup */
    /* What the server said last, if that was "not now"; "": nothing. */
    char why[WIRE_TEXT_MAX + 1], hint[WIRE_TEXT_MAX + 1];
};

struct contact {
    char name[NAME_BYTES_MAX + 1];
    struct cry_public *keys; /* NULL: the place is free */
    bool changed;            /* the ring shows another bundle than the pinned one */
    bool checked;            /* compared with the ring's in this run */
    uint64_t used;
};

struct presence {
    char name[NAME_BYTES_MAX + 1];
    bool online;
    uint64_t last_seen;
};

struct flight {
    struct peal_msg_id id;
    char peer[NAME_BYTES_MAX + 1];
    uint8_t kind;
    bool amends; /* a change: it has no line in the history */
    uint64_t sent_us;
};

/* peer "": free. retry_us CLIENT_NEVER: a message to it is on its way. */
struct full_box {
    char peer[NAME_BYTES_MAX + 1];
    char why[WIRE_TEXT_MAX + 1];
    uint64_t retry_us, pause_us;
};

/* What an envelope holds. Version 2 (u8), kind (u8), the author's stamp (u64, at most 63 bits), and
 * then by kind:
 *
 *   TEXT    reply_to (16 bytes; zeros: none), vanish (u32), text
 *   EDIT    target (16), text
 *   DELETE  target (16)
 *   VANISH  vanish (u32): what this side's messages of the conversation have from now on, and the
 *           other side's are to have
 *
 * The text is the rest: UTF-8, 1 … CLIENT_TEXT_MAX bytes. vanish is the number of seconds after
 * reading after which the message is to go, 0: never. Version 1 is read as well, and not written
 * any more: the stamp (u64), and the text. */
enum content_kind { CONTENT_TEXT = 1, CONTENT_EDIT = 2, CONTENT_DELETE = 3, CONTENT_VANISH = 4 };
enum { CONTENT_HEAD = 1 + 1 + 8 + MSG_ID_BYTES + 4, CONTENT_MAX = CONTENT_HEAD + CLIENT_TEXT_MAX };
struct content {
    enum content_kind kind;
    uint64_t stamp;
    bool replies; /* of TEXT: target is what it answers */
    struct peal_msg_id target;
    uint32_t vanish;
    struct peal_bytes text; /* belongs to whoever made it; when read, a view of what was read */
};

struct held {
    struct held *next;
    struct wire_row row; /* its views point to bytes */
    uint8_t bytes[];
};

/* A server that the ring is to do without, and the operator's word for it. */
struct removal {
    uint64_t epoch;
    struct peal_id id;
    uint8_t proof[CRY_SIG_BYTES];
};

struct client_call {
    struct client_call *next;
    struct client *c;
    json_t *args;
    void (*reply)(void *user, json_t *object, bool last);
    void *user;
    bool starting; /* within client_command */
    bool over;
    uint64_t due_us; /* when `expired` is called; CLIENT_NEVER: not */
    void (*expired)(struct client_call *call);
    /* waits for a find of this name; "": for none */
    char finding[NAME_BYTES_MAX + 1];
    void (*found)(struct client_call *call, const struct answer *answer);
    struct ask *ask;
    struct job *job;
    /* settings, display */
    bool setting; /* one is on its way, and asks for these */
    struct settings settings;
    char display[WIRE_NAME_MAX + 1];
    bool entering; /* register, login, or what enters the account anew like them */
    /* send */
    bool sending;  /* waits for sent_id to be stored */
    bool amending; /* sent_id is that of a change: it has no line in the history */
    struct peal_msg_id sent_id, about; /* about: the message that is told in the answer */
    char sent_to[NAME_BYTES_MAX + 1];
    /* recv */
    bool receiving, follow, flushing;
    uint64_t count, max;
    uint64_t until_us;    /* wait so long for a first message; send: for the answer */
    uint64_t patience_us; /* and so long for the mailbox to be emptied */
    bool greeting;        /* whoami: waits for the link */
    bool syncing;         /* sync: waits for the mailbox to be emptied */
    bool leaving;         /* logout: waits for the session */
    struct removal removal;
};

struct client {
    struct net_loop *loop;
    struct profile *profile;
    struct reach *reach;
    struct net_timer *timer;
    void (*event)(void *user, const char *name, json_t *data);
    void *user;
    bool started;
    char reason[CLIENT_WHY_MAX]; /* why there is no server */
    int reason_err;
    uint64_t away_since_us;         /* the start, or the end of the last link */
    char unsent[WIRE_TEXT_MAX + 1]; /* why the ring takes no messages now; "": it does */

    enum session_state session;
    bool entering;          /* a login is under way: the old session is not resumed meanwhile */
    struct account account; /* in every state but NOBODY */
    struct cry_keys *keys;
    struct peal_secret device_key;
    struct clk_hlc clock;

    struct client_call *calls;
    size_t call_count;
    struct ask *asks;
    size_t ask_count;
    uint64_t last_req;
    size_t jobs;

    struct contact contacts[CONTACTS_CACHED];
    uint64_t contact_uses;
    struct presence presence[PRESENCE_CACHED];
    size_t presence_count, presence_next;
    char watched[NAME_BYTES_MAX + 1];

    struct flight flights[CLIENT_FLIGHTS_MAX];
    size_t flight_count;
    int64_t cursor; /* outbox rows up to this one are in flight */
    uint64_t retry_us, retry_pause_us;
    struct full_box full[FULL_MAX];

    struct held *held;
    size_t held_count;
    uint64_t settled_us;   /* when the mailbox counts as emptied */
    uint64_t vanish_us;    /* when something is to vanish, or to be looked whether */
    uint64_t redeliver_us; /* when the server is asked anew for what could not be kept */
};

/* ---- client.c: link, asks, time ------------------------------------------------------ */
void client_arm(struct client *c);
/* Emits an event and gives the object up; data NULL: nothing. */
void client_emit(struct client *c, const char *name, json_t *data);
void client_trouble(struct client *c, int err, const char *message, const char *hint);
/* Why there is no server, for people; valid until the link changes. */
const char *client_why_away(const struct client *c);
uint64_t client_stamp(struct client *c);
void client_msg_id(uint64_t stamp, struct peal_msg_id *out);
/* A new ask, to be sent soon. NULL: too many, or no memory. */
struct ask *ask_new(struct client *c, enum wire_type wants, int (*send)(struct ask *a),
                    void (*done)(struct ask *a, const struct answer *answer), void *user);
/* Without a call of done. */
void ask_drop(struct ask *a);
/* Sends what waits and may go. */
void asks_pump(struct client *c);

/* ---- calls.c ------------------------------------------------------------------------- */
void call_reply(struct client_call *call, json_t *object); /* the last one; gives the object up */
void call_more(struct client_call *call, json_t *object);  /* one of several */
void call_fail(struct client_call *call, int err, const char *message, const char *hint);
void call_fail_answer(struct client_call *call, const struct answer *answer);
/* The canonical form of a name in the arguments; on an error the call has been answered. */
PEAL_MUST int call_name(struct client_call *call, const char *key,
                        char out[static NAME_BYTES_MAX + 1]);
/* Fails the call unless there is an account. */
PEAL_MUST int call_account(struct client_call *call);
/* Fails the call unless there is an account whose session is this client's, or may be again. */
PEAL_MUST int call_session(struct client_call *call);
/* A whole number of the arguments in [0, max]; fallback when it is not there; on an error the call
 * has been answered. */
PEAL_MUST int call_number(struct client_call *call, const char *key, uint64_t fallback,
                          uint64_t max, uint64_t *out);
void call_wait(struct client_call *call, uint64_t ms, void (*expired)(struct client_call *call));
void calls_tick(struct client *c, uint64_t now);
json_t *entry_json(struct client *c, const struct entry *e);
/* The id of a message that is here, perhaps shortened, in the arguments; on an error the call has
 * been answered. */
PEAL_MUST int call_message(struct client_call *call, const char *key, struct peal_msg_id *out);
/* At most CALL_IDS_MAX of them, in the array `ids`; likewise. */
enum { CALL_IDS_MAX = 64 };
PEAL_MUST int call_messages(struct client_call *call, struct peal_msg_id out[static CALL_IDS_MAX],
                            size_t *n);
/* What `before` says, a message's id or a time, as the place in the order of messages; without it,
 * behind the last one. *has_id: before that message, otherwise before all of the stamp. Likewise.
 */
PEAL_MUST int call_before(struct client_call *call, uint64_t *stamp, struct peal_msg_id *id,
                          bool *has_id);
/* The text of a message in the arguments, 1 … CLIENT_TEXT_MAX bytes of UTF-8; likewise. */
PEAL_MUST int call_text(struct client_call *call, struct peal_bytes *out);
/* Frees calls that are over; not while one of them runs. */
void calls_sweep(struct client *c);
/* What waits for the link may look again. */
void calls_link_changed(struct client *c);

/* ---- account.c ----------------------------------------------------------------------- */
PEAL_MUST int account_load(struct client *c);
void account_link_up(struct client *c);
void account_link_down(struct client *c);
/* The server ended the session. */
void account_bye(struct client *c, int code, const char *message);
/* A registration or login is over, however: what it held back goes on. */
void account_entered(struct client *c);
void cmd_register(struct client_call *call);
void cmd_login(struct client_call *call);
void cmd_logout(struct client_call *call);
/* The session changed: a logout may have what it waits for. */
void account_logout(struct client_call *call);

/* ---- credentials.c ------------------------------------------------------------------- */
void cmd_password(struct client_call *call);
void cmd_reset(struct client_call *call);
void cmd_recovery(struct client_call *call);
void cmd_delete(struct client_call *call);

/* ---- settings.c ---------------------------------------------------------------------- */
void cmd_settings(struct client_call *call);
void cmd_display(struct client_call *call);

/* ---- job.c --------------------------------------------------------------------------- */
/* Its result is not wanted any more. */
void job_forget(struct job *job);

/* ---- contacts.c ---------------------------------------------------------------------- */
/* The pinned keys; PEAL_E_NOT_FOUND. Valid until the next call of any contact function. */
PEAL_MUST int contact_get(struct client *c, const char *name, struct contact **out);
void contacts_clear(struct client *c);
/* Whether the ring shows another key than the pinned one: nothing is sent to them then. false of
 * whoever is not known. */
bool contact_is_changed(struct client *c, const char *name);
/* What to do about it, for people. */
extern const char key_changed_hint[];
/* Goes by another key from now on. */
PEAL_MUST int contact_repin(struct client *c, const char *name, struct peal_bytes bundle);
/* Asks for somebody's record, unless that is under way; PEAL_E_BUSY. Tells calls (call->finding),
 * held rows and unsealed messages. */
PEAL_MUST int contact_find(struct client *c, const char *name);
void presence_note(struct client *c, const char *name, bool online, uint64_t last_seen);
const struct presence *presence_get(const struct client *c, const char *name);
/* Tells the server whose presence is wanted: the watched one and the latest conversations. */
void presence_watch(struct client *c);
void on_presence(struct client *c, const struct wire_c_presence *msg);

/* ---- trust.c, safety.c --------------------------------------------------------------- */
void cmd_trust(struct client_call *call);
void cmd_safety(struct client_call *call);
void cmd_verify(struct client_call *call);
/* Both false of whoever is not known. */
struct key_flags {
    bool changed, verified;
};
struct key_flags key_flags(struct client *c, const char *name);
/* The safety number with somebody of this bundle, in groups. */
enum { SAFETY_TEXT = CRY_SAFETY_DIGITS + CRY_SAFETY_DIGITS / 5 };
void safety_text(const struct client *c, const char *name, struct peal_bytes bundle,
                 char out[static SAFETY_TEXT]);

/* ---- send.c -------------------------------------------------------------------------- */
void cmd_send(struct client_call *call);
/* Fails the call when this client may not write to anybody now. */
PEAL_MUST int call_may_write(struct client_call *call);
/* The same, or when that is oneself. */
PEAL_MUST int call_other(struct client_call *call, const char *name);
/* The recipient's keys, or *to NULL when the ring is to be asked about them before anything is
 * sealed; on an error the call has been answered. */
PEAL_MUST int call_recipient(struct client_call *call, const char *peer, struct contact **to);
/* Within a transaction: seals a content under this id, or keeps it to be sealed (to NULL), and
 * queues it. target: what it changes, or NULL. */
PEAL_MUST int outbox_content(struct client *c, const struct contact *to, const char *peer,
                             const struct peal_msg_id *id, const struct content *content,
                             const struct peal_msg_id *target);
/* After the commit: sends, and answers the call once it is known what became of sent_id, after
 * `wait_ms` at the latest. */
void outbox_go(struct client_call *call, const struct contact *to, const char *peer,
               uint64_t wait_ms);
/* The session changed: a send need not wait for one that is over. */
void send_link_changed(struct client_call *call);
/* Sends what waits, as far as the flights allow. */
void outbox_pump(struct client *c);
void outbox_link_down(struct client *c);
void outbox_tick(struct client *c, uint64_t now);
uint64_t outbox_due(const struct client *c);
/* The answer about somebody's keys: seals what waits for them, fails it, or tries again later. */
void outbox_found(struct client *c, const char *name, const struct answer *answer);
void outbox_find_all(struct client *c);
/* Fails what is sealed for somebody and has not been sent. */
PEAL_MUST int outbox_renounce(struct client *c, const char *name);
/* Within a transaction: queues a receipt of n messages of one author, n <= WIRE_ACK_MAX; none that
 * they were read, when the account's settings say so. */
PEAL_MUST int outbox_receipt(struct client *c, const char *to, int state,
                             const struct peal_msg_id *ids, size_t n);
void on_stored(struct client *c, const struct wire_c_stored *msg);
void on_unsent(struct client *c, const struct wire_c_unsent *msg);
/* Advances a state, tells about it, and wakes who waits for it. */
PEAL_MUST int message_advance(struct client *c, const struct peal_msg_id *id, const char *peer,
                              int state, bool *done);
void message_advanced(struct client *c, const struct peal_msg_id *id, const char *peer, int state);

/* ---- full.c -------------------------------------------------------------------------- */
/* Why messages to this peer wait; NULL: their mailbox is not known to be full. */
const char *full_why(const struct client *c, const char *peer);
/* Whether a message to the peer may be sent now; if their mailbox was full, it is the one that
 * tries. */
bool full_lets(struct client *c, const char *peer);
/* The ring says that it is full. */
void full_note(struct client *c, const char *peer, const char *why);
/* A message to the peer is not on its way any more, whatever became of it. */
void full_landed(struct client *c, const char *peer);
/* It has room: true when it was known to be full. */
bool full_over(struct client *c, const char *peer);
/* It may have room by now. */
void full_try(struct client *c, const char *peer);
void full_link_down(struct client *c);
/* When the next one is to be tried. */
uint64_t full_due(const struct client *c);
/* Those that are due: nothing waits for them. */
void full_forget_due(struct client *c, uint64_t now);

/* ---- recv.c -------------------------------------------------------------------------- */
void on_deliver(struct client *c, const struct wire_c_deliver *msg);
/* Rows of this author can be opened now, or never. */
void held_found(struct client *c, const char *name, const struct answer *answer);
void held_clear(struct client *c);
/* Opens what this author sealed with these keys before they were the pinned ones. */
void recv_reopen(struct client *c, const char *name, const uint8_t fp[static CRY_FP_BYTES]);
void cmd_recv(struct client_call *call);
void cmd_read(struct client_call *call);
void cmd_sync(struct client_call *call);
/* Looks whether waiting recv calls have something to give. */
void recv_wake(struct client *c);

/* ---- amend.c: edits and deletions ---------------------------------------------------- */
void cmd_edit(struct client_call *call);
void cmd_unsend(struct client_call *call);
/* Within a transaction: an edit or a deletion by `from` has come, its stamp said by the author and
 * at_ms the time to be shown. PEAL_E_REFUSED: what it is about is not the author's. *changed: a
 * message here looks different now. */
PEAL_MUST int amend_received(struct client *c, const char *from, const struct peal_msg_id *id,
                             const struct content *content, uint64_t at_ms, bool *changed);
/* Within a transaction: a message of `from` is new here; what came for it before counts now. */
PEAL_MUST int amend_arrived(struct client *c, const char *from, const struct peal_msg_id *id);
/* Whether the incoming message of this id is by `from`. */
bool amend_is_by(struct client *c, const char *from, const struct peal_msg_id *id);
/* A message of the history as it is now, NULL: it is not there, or there is no memory. */
json_t *message_json(struct client *c, const struct peal_msg_id *id);

/* ---- local.c: what the other side does not hear of ----------------------------------- */
void cmd_unread(struct client_call *call);
void cmd_forget(struct client_call *call);
void cmd_draft(struct client_call *call);
/* Adds "draft" to a conversation's line, when there is one. Not 0: no memory, or it cannot be read.
 */
PEAL_MUST int draft_add(const struct client *c, const char *name, json_t *line);

/* ---- search.c, transfer.c ------------------------------------------------------------- */
void cmd_search(struct client_call *call);
void cmd_export(struct client_call *call);
void cmd_import(struct client_call *call);

/* ---- vanish.c -------------------------------------------------------------------------- */
void cmd_vanish(struct client_call *call);
/* Within a transaction: the other side has set it, at this stamp, in the row of this id. */
PEAL_MUST int vanish_received(struct client *c, const char *from, const struct peal_msg_id *id,
                              uint32_t seconds, uint64_t stamp, bool *changed);
/* Within a transaction: the message has been read, or taken by the ring: its time begins. */
PEAL_MUST int vanish_begin(struct client *c, const struct peal_msg_id *id);
/* Takes out what is due, and looks when the next one is. */
void vanish_tick(struct client *c, uint64_t now_us);
/* Adds "vanish" to a conversation's line, as draft_add does. */
PEAL_MUST int vanish_add(const struct client *c, const char *name, json_t *line);

/* ---- content.c ----------------------------------------------------------------------- */
PEAL_MUST int content_write(const struct content *content, size_t cap, uint8_t out[], size_t *n);
/* PEAL_E_VERSION (also of an unknown kind), PEAL_E_TRUNCATED, PEAL_E_TRAILING, PEAL_E_MALFORMED
 * (not UTF-8, no text, or a stamp beyond 63 bits), PEAL_E_TOO_LONG. */
PEAL_MUST int content_read(struct peal_bytes in, struct content *out);
/* What a receipt row holds: version 1 (u8), state (u8: MSG_DELIVERED or MSG_READ), ids (u16 count,
 * 16 bytes each), the signature. */
enum { RECEIPT_MAX = 1 + 1 + 2 + WIRE_ACK_MAX * MSG_ID_BYTES + CRY_SIG_BYTES };
struct receipt {
    uint8_t state;
    size_t n;
    struct peal_msg_id ids[WIRE_ACK_MAX];
    uint8_t sig[CRY_SIG_BYTES];
};
PEAL_MUST int receipt_write(const struct receipt *r, size_t cap, uint8_t out[], size_t *n);
PEAL_MUST int receipt_read(struct peal_bytes in, struct receipt *out);

#endif
