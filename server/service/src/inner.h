/* What the parts of the service share. Not for anybody else.
 *
 * service.c  memory, events, the tick          client.c   links of clients, and what they may say
 * account.c  find, register, log in, resume    session.c  sessions at their gateway
 * credentials.c  what changes an account       request.c  requests that take more than one step
 * record.c   the record of an account
 * home.c     where sessions are, at the homes  deliver.c  a mailbox on its way to its owner
 * watch.c    presence and the ring for those who watch
 * lookup.c   where the record of a name is, and the way there
 * remove.c   taking a server out of the ring  purge.c    mailboxes of accounts that are no more
 *
 * All times with _us are the events' monotonic microseconds. Handles are of base's slabs: a stale
 * one finds nothing. */
#ifndef PEAL_SERVICE_INNER_H
#define PEAL_SERVICE_INNER_H

#include "peal/crypto.h"
#include "peal/name.h"
#include "peal/service.h"

enum {
    MS = 1000,
    SEC = 1000 * MS,

    TICK_US = 100 * MS,    /* how exact all slow things are */
    HELLO_US = 10 * SEC,   /* a new link says who it is */
    CLOSING_US = 60 * SEC, /* a closed link that the host never reported as down is forgotten */
    REFRESH_US = 10 * SEC, /* a session tells its homes that it lives */
    REREAD_US = 60 * SEC,  /* a session looks into its mailbox, whatever may have been lost */
    LOCATION_TTL_US = 30 * SEC, /* a location that was not refreshed is offline */
    ORPHAN_TTL_US = 15 * SEC,   /* the same, when its server is down */
    REGISTER_US = 5 * SEC,      /* bound of a register operation */
    PUT_US = 10 * SEC,          /* bound of storing a message */
    READ_US = 5 * SEC,          /* bound of reading a mailbox */
    READ_RETRY_US = 1 * SEC,    /* after a read that failed */
    LOOKUP_US = 5 * SEC,        /* bound of a lookup */
    REMOVE_US = 10 * SEC,       /* bound of a removal: less than a client waits */
    PRESENCE_US = 300 * MS,     /* homes answer about presence, or do without them */
    NOTICE_US = 300 * MS,       /* a row that was announced should have been pushed by then */
    WATCH_US = 1 * SEC,         /* how often presence is asked for */
    RING_US = 500 * MS,         /* least time between two pushes of the ring */
    RING_QUIET_US = 2 * SEC,    /* greatest, for its counters */
    STRANGER_US = 10 * SEC,     /* without a session, a link may ask … */
    STRANGER_REQUESTS = 64,     /* … so much in that time */

    FLIGHT_ROWS = 256,         /* rows of one session that are delivered and not acknowledged */
    FLIGHT_BYTES = 512 * 1024, /* bytes of these; one more row may start below it */
    FLIGHTS_PER_SESSION = 8,   /* memory for them, on the average */
    SEEN_SLOTS = 16384,        /* ids acknowledged lately; a power of two */
    UNSEEN_MAX = 4,            /* announced rows that one session waits for by id */
    STORED_MAX = WIRE_ACK_MAX, /* ids collected in a step for c_stored */
    NOTICES_MAX = 2048,        /* rows to announce to gateways */
    DRAFTS_MAX = 256,          /* registrations under way */
    WATCHES_PER_SESSION = 4,   /* memory for them, on the average; at most WIRE_WATCH_MAX for one */
    OBSERVERS_MAX = 64,
    LOOKUPS_MAX = 256,   /* under way */
    PURGES_MAX = 64,     /* mailboxes that are being emptied */
    PURGE_READS = 256,   /* of one of them; what is left expires */
    NAME_KEPT_DAYS = 30, /* that the name of a deleted account stays taken */
    LOOKUPS_TOLD = 4,    /* of others, that observers are told of in a second */
    TRACES_PER_STEP = 8,
    FAILURE_CELLS = 4096,   /* a power of two */
    ADDRESS_FAILURES = 100, /* wrong passwords from one address per minute */
    MINUTE_US = 60 * SEC,
    SPARE_LINKS = 64, /* slots for links beyond sessions_max: refused ones, while they close */
    BYES_PER_STEP = 1024,
    ANNOUNCES_PER_TICK = 128,
    READS_PER_TICK = 64,
    LISTS_PER_TICK = 256, /* clients told of a new list of servers */
    TICK_ARENA = 1 << 20, /* bytes of an update beyond which a tick starts nothing more */
    EVICT_TRIES = 64,
    ERROR_TEXT = 256,
};

#define NEVER  UINT64_MAX
#define DAY_MS ((uint64_t)24 * 3600 * 1000)

/* ---- clients ----
 *
 *   NEW --c_hello--> GREETED --c_register, c_login, c_resume--> SESSION --c_logout--> GREETED
 *    |                  |                                          |
 *    +------------------+------ anything wrong, silence, bye ------+--> CLOSING --LINK_DOWN--> -
 *
 * What each state may say stands in the table of client.c. */
enum client_state { CLIENT_NEW, CLIENT_GREETED, CLIENT_SESSION, CLIENT_CLOSING };

/* A row that a home has and that has not come yet. */
struct unseen {
    struct peal_msg_id id;
    uint64_t author; /* as n_notice has it */
};

struct client {
    uint32_t handle; /* this slot's own */
    uint32_t link;
    enum client_state state;
    bool observer;
    bool signing_in;   /* a registration, login or resumption is under way */
    uint16_t requests; /* under way */
    uint16_t sends;    /* not stored yet */
    uint16_t asked;    /* as a stranger, since asked_us */
    uint64_t asked_us;
    uint64_t heard_us;
    uint64_t since_us;     /* of the link; of CLOSING */
    uint32_t failure_cell; /* of its address */
    uint32_t servers_seen; /* svc.servers_serial that it was told */

    /* SESSION */
    struct peal_id box;
    char name[WIRE_NAME_MAX];
    uint8_t name_n;
    uint64_t generation;
    uint64_t active; /* the stamp of its opening */
    uint64_t refresh_us;
    uint64_t reread_us;
    uint32_t view;       /* svc.view that its homes were looked up in */
    uint64_t homes_mark; /* which homes, and which of them up */
    uint32_t homes_ok;   /* that took the last announcement */

    /* delivery: deliver.c */
    bool reading, more, again, holding, held, has_cursor, told_empty;
    uint32_t read_serial;
    struct peal_msg_id cursor, held_low;
    uint64_t retry_us;
    uint32_t flights, flight_rows; /* first of the chain; how many */
    size_t flight_bytes;
    struct unseen unseen[UNSEEN_MAX];
    uint8_t unseen_n;
    bool unseen_more;
    uint64_t unseen_us;

    uint32_t watches; /* first of the chain */
};

/* A row that was sent to a client and is not acknowledged. */
struct flight {
    uint32_t client;
    struct peal_msg_id id;
    uint32_t bytes;
    uint32_t next, prev;
};

struct flight_key {
    uint32_t client;
    struct peal_msg_id id;
};

/* A message on its way to its homes. */
struct send {
    uint32_t client;
    struct peal_msg_id id;
    uint8_t to_n;
    char to[WIRE_NAME_MAX];
};

struct stored {
    uint32_t client;
    struct peal_msg_id id;
};

struct watch {
    uint32_t client;
    struct peal_id box;
    char name[WIRE_NAME_MAX];
    uint8_t name_n;
    bool known, online;
    uint64_t generation; /* of the best answer to the last question */
    uint64_t heard_us;   /* when an answer last counted */
    uint64_t last_seen;
    uint64_t ask_us;
    uint32_t next;               /* of the client's */
    uint32_t next_box, prev_box; /* of those who watch the same account */
};

/* The way to a name's record, asked for and not answered yet. */
struct lookup {
    uint32_t client;
    uint64_t req;
};

/* The mailbox of an account that was deleted, being emptied. */
struct purge {
    struct peal_id box;
    bool reading;
    uint32_t reads;    /* begun */
    uint64_t retry_us; /* when the next one may begin */
    size_t found;      /* rows of the read under way */
};

/* A server that somebody wants out of the ring. */
struct removal {
    uint32_t client;
    uint64_t req;
    struct peal_id id;
};

/* ---- requests: a client's question that takes more than one step: request.c ---- */

enum request_kind {
    REQ_FIND,
    REQ_REGISTER,
    REQ_LOGIN,
    REQ_RESUME,
    REQ_LOGOUT,
    REQ_PASSWORD,
    REQ_RESCUE,
    REQ_RESET,
    REQ_RECOVERY,
    REQ_SETTINGS,
    REQ_DELETE
};

/*   FIND      PRESENCE --> READ --> answered
 *   RESUME                 READ --> answered
 *   LOGIN                  READ --> VERIFY --> CHANGE --> answered
 *   REGISTER               HASH --> CHANGE --> answered
 *                                     +--> done before, and over: VERIFY --> answered
 *   LOGOUT                          CHANGE --> answered
 *   PASSWORD               READ --> VERIFY --> HASH --> CHANGE --> answered
 *                                     +--> done before: CHANGE --> answered
 *   RESCUE                 READ --> answered
 *   RESET                  READ --> HASH --> CHANGE --> answered
 *                           +--> done before: VERIFY --> CHANGE --> answered
 *   RECOVERY               READ --> VERIFY --> CHANGE --> answered
 *   SETTINGS                        CHANGE --> answered
 *   DELETE                 READ --> VERIFY --> CHANGE --> answered
 *                           +--> done before: answered */
enum request_phase { PHASE_PRESENCE, PHASE_READ, PHASE_HASH, PHASE_VERIFY, PHASE_CHANGE };

struct request {
    uint32_t handle;
    enum request_kind kind;
    enum request_phase phase;
    uint32_t client;
    uint64_t req; /* the client's number */
    struct peal_id box;
    char name[WIRE_NAME_MAX];
    uint8_t name_n;

    uint64_t due_us;                              /* PRESENCE */
    struct peal_id asked[CHORD_REPLICAS_MAX + 1]; /* PRESENCE: homes that have yet to answer */
    uint32_t asked_n;
    uint64_t generation; /* PRESENCE: of the best answer; LOGOUT, SETTINGS: the session's */
    bool online;
    uint64_t last_seen;

    struct peal_msg_id id; /* req_id */
    uint8_t auth[32];
    uint8_t new_auth[32]; /* PASSWORD, RESET */
    uint8_t token[WIRE_TOKEN_BYTES];
    uint8_t token_hash[CRY_HASH_BYTES];
    char bcrypt[CRY_BCRYPT_SIZE]; /* the record's, which was verified */
    char hashed[CRY_BCRYPT_SIZE]; /* the new one */
    bool retry;     /* REGISTER: it was done before, and its session is over; else: it was done */
    uint32_t draft; /* of what changes more than the session */
    uint32_t failure_cell; /* of the account */
};

/* What a request puts into the account, as an encoded s_account: of a registration all but bcrypt
 * and token. */
struct draft {
    size_t n;
    uint8_t bytes[WIRE_REGISTER_MAX];
};

/* ---- at a home ---- */

/* When gateways are told of rows that this home was not the one to push. */
enum announcing { ANNOUNCE_AT_TICK, ANNOUNCE_IN_STEP, ANNOUNCE_COUNT };

struct location {
    struct peal_id box;
    struct peal_id gateway;
    uint64_t generation;
    uint64_t active;
    uint64_t heard_us;
    uint64_t last_seen; /* Unix milliseconds */
    bool online;
    bool due;   /* it is in the chain svc.announce[when] */
    bool paced; /* `pace` holds for svc.view `view` */
    enum announcing when, pace;
    uint32_t view;
    uint32_t notices;  /* first of the chain */
    uint32_t next_due; /* the next location with notices */
};

struct notice {
    struct peal_msg_id id;
    uint64_t author;
    uint32_t next;
};

/* Wrong passwords in a minute, by a keyed hash of the account or address; those that share a cell
 * are counted together. */
struct failure_cell {
    uint32_t minute;
    uint16_t count;
};

struct seen {
    uint32_t client;
    struct peal_msg_id id;
};

struct svc {
    struct chord *chord;
    struct peal_id self;
    uint32_t sessions_max;
    uint32_t message_days;
    /* the step under way */
    const struct step_event *ev;
    struct step_update *u;

    uint64_t tick_us;
    bool leaving, left;
    uint32_t view; /* counts changes of the ring */
    uint32_t servers_serial;
    uint8_t servers_hash[CRY_HASH_BYTES];
    bool homes_dirty; /* in this step servers went down or came up */
    bool servers_dirty;
    bool ring_dirty;
    uint64_t ring_us; /* of the last push */
    uint32_t observers;
    uint64_t paths_us; /* since when paths_told are counted */
    uint32_t paths_told;
    uint32_t sessions_n;
    uint32_t links_n; /* not CLOSING */
    uint32_t evict_at;
    uint32_t announce[ANNOUNCE_COUNT]; /* first location with notices */
    uint32_t tick_at;                  /* where the tick's paced work goes on */

    struct slab clients, requests, drafts, sends, flights, watches, locations, notices, lookups;
    struct slab removals, purges;
    struct map links;     /* u32 link -> client */
    struct map sessions;  /* box -> client */
    struct map located;   /* box -> location */
    struct map in_flight; /* flight_key -> flight */
    struct map watched;   /* box -> first watch */
    struct seen *seen;
    struct failure_cell *failures;

    struct stored stored[STORED_MAX];
    size_t stored_n;
    struct arena heap; /* of what a client's message decodes to */
    uint8_t scratch[WIRE_REGISTER_MAX];
    uint8_t operator_pub[CRY_PUB_BYTES]; /* svc_config's */
    struct svc_stats stats;
};

/* Tokens of chord's operations: whose they are, and a handle. */
enum token_kind {
    TOKEN_REQUEST = 1,
    TOKEN_SEND = 2,
    TOKEN_READ = 3,
    TOKEN_WATCH = 4,
    TOKEN_LOOKUP = 5,
    TOKEN_REMOVE = 6,
    TOKEN_PURGE = 7
};

static inline uint64_t token_make(enum token_kind kind, uint32_t serial, uint32_t handle)
{
    return (uint64_t)kind << 56 | (uint64_t)(serial & 0xffffff) << 32 | handle;
}

static inline enum token_kind token_kind(uint64_t token)
{
    return (enum token_kind)(token >> 56);
}

static inline uint32_t token_serial(uint64_t token)
{
    return (uint32_t)(token >> 32) & 0xffffff;
}

static inline struct client *client_get(const struct svc *s, uint32_t handle)
{
    return slab_get(&s->clients, handle);
}

static inline uint16_t code_of(int err)
{
    return (uint16_t)-err;
}

/* Whether a tick may start more: an update is bounded, and what waits has its turn in the next
 * tick. */
static inline bool update_has_room(const struct svc *s)
{
    return s->u->arena.used < TICK_ARENA && s->u->n < STEP_EFFECTS_MAX / 4;
}

/* client.c */
void client_up(struct svc *s);
void client_down(struct svc *s, struct client *c);
void client_received(struct svc *s, struct client *c);
struct client *client_of_link(const struct svc *s, uint32_t link);
/* Sends to the client at once. */
void client_say(struct svc *s, const struct client *c, uint16_t type, const void *msg);
void client_error(struct svc *s, const struct client *c, uint64_t req, int err, const char *message,
                  const char *hint);
/* An error that follows from err alone. */
void client_failure(struct svc *s, const struct client *c, uint64_t req, int err);
/* Ends its session, if any, and closes the link; the slot stays until LINK_DOWN. */
void client_close(struct svc *s, struct client *c, int err, const char *reason);
/* The same after c_bye. */
void client_bye(struct svc *s, struct client *c, int err, const char *message);
void client_stored(struct svc *s, struct send *m, int err);
void client_flush_stored(struct svc *s);
bool client_tick(struct svc *s, struct client *c);
void client_servers_tick(struct svc *s);
const char *client_prose(int err, const char **hint);

/* request.c */
/* NULL: the client was told BUSY. */
struct request *request_begin(struct svc *s, struct client *c, enum request_kind kind, uint64_t req,
                              struct peal_bytes name);
uint64_t request_token(const struct request *r);
/* The client that still waits for the answer, or NULL. */
struct client *request_asker(const struct svc *s, const struct request *r);
void request_finish(struct svc *s, struct request *r);
/* Answers with an error, and ends the request; message NULL: what follows from err alone. */
void request_fail(struct svc *s, struct request *r, int err, const char *message, const char *hint);
/* The same, with the account's name between the two halves of the message. */
void request_fail_naming(struct svc *s, struct request *r, int err, const char *before,
                         const char *after, const char *hint);
void request_fail_over(struct svc *s, struct request *r);
/* The account was deleted: it is not found, or its name is still taken. */
void request_fail_deleted(struct svc *s, struct request *r, const struct wire_s_account *a);
/* A register operation in this phase; the request may be over when it returns. */
void request_operate(struct svc *s, struct request *r, enum request_phase phase);
/* The session's token that this request gives: the same for the same request, at every server. */
void request_make_token(struct request *r, const uint8_t auth[static 32]);
/* The one that a client has, of WIRE_TOKEN_BYTES. */
void request_take_token(struct request *r, struct peal_bytes token);
/* Whether the record's session is that of the request's token. */
bool request_owns(const struct request *r, const struct wire_s_account *a);
uint32_t request_failure_cell(const struct svc *s, const char *kind, struct peal_bytes who);
/* False when there were too many wrong passwords lately, for this account or from this address; the
 * client was told so. *cell: where the account's are counted. */
bool request_may_guess(struct svc *s, struct client *c, uint64_t req, struct peal_bytes name,
                       uint32_t *cell);
/* Counts as a wrong guess until request_guessed says that it was right, so that guesses at the same
 * time count as well. False: there were too many meanwhile, and the request is over. */
bool request_guess(struct svc *s, struct request *r);
/* What was counted as a wrong guess was a right one, or was wrong indeed. */
void request_guessed(struct svc *s, struct request *r, bool right);
/* Has a worker compare auth with the record's hash (PHASE_VERIFY); the request may be over when it
 * returns. */
void request_verify(struct svc *s, struct request *r, const struct wire_s_account *a,
                    const uint8_t auth[static 32]);
/* Has a worker hash auth (PHASE_HASH). */
void request_hash(struct svc *s, struct request *r, const uint8_t auth[static 32]);

/* record.c */
enum { RECORD_LOGINS_BYTES = WIRE_LOGINS_MAX * MSG_ID_BYTES };
/* Views into value. PEAL_E_CORRUPT: it is no account. */
PEAL_MUST int record_read(struct peal_bytes value, struct wire_s_account *a);
/* Into svc.scratch; 1, as chord_app.reg_change wants it, or an error. */
PEAL_MUST int record_write(struct svc *s, const struct wire_s_account *a, struct peal_bytes *value);
/* Whether two registers are forms of one registration. name: the second one's. */
bool record_same(struct peal_bytes kept, struct peal_bytes other,
                 char name[static CHORD_LABEL_MAX + 1]);
/* Whether the name of a deleted account may be registered anew. */
bool record_is_free(const struct wire_s_account *a, uint64_t wall_ms);
/* Whether the request of this id is among the last that changed it. */
bool record_has_done(const struct wire_s_account *a, const struct peal_msg_id *id);
/* Puts it there; mem holds the list, as long as a is used. */
void record_remember(struct wire_s_account *a, const struct peal_msg_id *id,
                     uint8_t mem[static RECORD_LOGINS_BYTES]);
/* Plain text of one line, as a display name is: no control characters, none that turn the line
 * around. */
bool record_is_text(struct peal_bytes b);
/* Bytes of private keys, under the password and under the recovery key each: twice as many as these
 * take, and so few that a record of greatest parts can be stored. */
enum { RECORD_WRAPPED_MAX = 3072 };
/* What a password brings. */
struct record_password {
    struct peal_bytes auth, salt, wrapped;
    uint32_t ops, mem_kib;
};
/* What is wrong with it; NULL: nothing. */
const char *record_password_fault(const struct record_password *m);
/* The same of what a recovery key brings. Both may be empty when may_lack. */
const char *record_recovery_fault(struct peal_bytes recovery, struct peal_bytes rescued,
                                  bool may_lack);

/* account.c */
/* True when the name is fit to be asked for; otherwise the client was told why not. */
bool account_check_name(struct svc *s, const struct client *c, uint64_t req,
                        struct peal_bytes name);
/* A second one of these at a time is out of state: it could only fight with the first. False: the
 * link was closed. */
bool account_may_sign_in(struct svc *s, struct client *c);
void account_find(struct svc *s, struct client *c, const struct wire_c_find *m);
void account_register(struct svc *s, struct client *c, const struct wire_c_register *m);
void account_login(struct svc *s, struct client *c, const struct wire_c_login *m);
void account_resume(struct svc *s, struct client *c, const struct wire_c_resume *m);
void account_logout(struct svc *s, struct client *c, const struct wire_c_logout *m);
/* The register says that this client has the session: answers, and opens it. */
void account_sign_in(struct svc *s, struct request *r, const struct wire_s_account *a);
void account_worked(struct svc *s);
int account_change(struct svc *s, struct request *r, struct peal_bytes old,
                   struct peal_bytes *value);
void account_done(struct svc *s, struct request *r, int err, struct peal_bytes value);
void account_presence(struct svc *s, struct request *r, const struct peal_id *from,
                      const struct wire_n_presence *m);
/* Servers went down or came up: what waits for somebody who is gone goes on. */
void account_homes_changed(struct svc *s);
void account_tick(struct svc *s);

/* credentials.c: the rest of what is asked of an account, phase by phase */
void credentials_password(struct svc *s, struct client *c, const struct wire_c_password *m);
void credentials_rescue(struct svc *s, struct client *c, const struct wire_c_rescue *m);
void credentials_reset(struct svc *s, struct client *c, const struct wire_c_reset *m);
void credentials_recovery(struct svc *s, struct client *c, const struct wire_c_recovery *m);
void credentials_settings(struct svc *s, struct client *c, const struct wire_c_settings *m);
void credentials_delete(struct svc *s, struct client *c, const struct wire_c_delete *m);
void credentials_read(struct svc *s, struct request *r, const struct wire_s_account *a);
void credentials_verified(struct svc *s, struct request *r);
int credentials_change(struct svc *s, struct request *r, struct peal_bytes old,
                       struct peal_bytes *value);
void credentials_changed(struct svc *s, struct request *r, const struct wire_s_account *a);

/* session.c */
/* 0, or PEAL_E_STALE when a newer session of the account is at this node. */
PEAL_MUST int session_open(struct svc *s, struct client *c, const struct peal_id *box,
                           struct peal_bytes name, uint64_t generation);
/* After the client was told: announces the session, and begins to deliver. It may end it again. */
void session_begin(struct svc *s, struct client *c);
/* Forgets the session; tell: the homes are told when it was last seen. */
void session_end(struct svc *s, struct client *c, bool tell);
void session_ok(struct svc *s, const struct peal_id *box, int code, uint64_t generation);
void session_taken(struct svc *s, const struct peal_id *box, uint64_t generation);
/* The account's sessions of this generation or an earlier one are over: tells its homes, which tell
 * the gateways. */
void session_fence(struct svc *s, const struct peal_id *box, uint64_t generation);
struct client *session_of(const struct svc *s, const struct peal_id *box);
bool session_tick(struct svc *s, struct client *c);
/* The homes of box that are up, this node included; returns how many. *mark: a digest of them. */
size_t session_homes(const struct svc *s, const struct peal_id *box,
                     struct peal_id out[static CHORD_REPLICAS_MAX + 1], uint64_t *mark);

/* home.c */
void home_open(struct svc *s, const struct peal_id *from, const struct wire_n_session_open *m,
               struct wire_n_session_ok *ok);
void home_close(struct svc *s, const struct peal_id *from, const struct wire_n_session_close *m);
void home_presence(struct svc *s, const struct peal_id *box, struct wire_n_presence *out);
void home_row(struct svc *s, const struct wire_row *row, bool push);
void home_flush_notices(struct svc *s, enum announcing when);
/* A number that tells its author from others, nearly always. */
uint64_t author_of(const struct wire_row *row);
/* The word for the author of a message that has expired, of which the body is not known; its views
 * are into row. False when it has no author. */
bool home_expired(const struct wire_row *row, struct wire_row *word);

/* deliver.c */
void deliver_push(struct svc *s, struct client *c, const struct wire_row *row);
void deliver_notice(struct svc *s, struct client *c, uint64_t author, const struct peal_msg_id *ids,
                    size_t n);
/* A page of the read under way; false when there is no room for more: the read is over then. */
bool deliver_rows(struct svc *s, struct client *c, int err, const struct wire_row *rows, size_t n,
                  bool last);
void deliver_ack(struct svc *s, struct client *c, const struct wire_msgids *ids);
/* Reads on, when there is something to read and room for it. True when it began. */
bool deliver_continue(struct svc *s, struct client *c);
bool deliver_tick(struct svc *s, struct client *c);
void deliver_forget(struct svc *s, struct client *c);

/* watch.c */
void watch_set(struct svc *s, struct client *c, const struct wire_c_watch *m);
void watch_forget(struct svc *s, struct client *c);
void watch_tick(struct svc *s, struct client *c);
void watch_presence(struct svc *s, uint32_t handle, const struct wire_n_presence *m);
/* At a home: an account's presence may have changed. */
void watch_changed(struct svc *s, const struct peal_id *box);
void watch_ring_get(struct svc *s, struct client *c, const struct wire_c_ring_get *m);
void watch_ring_tick(struct svc *s);
void watch_traces(struct svc *s, size_t first);
/* Tells the observers, but for the one that asked (NULL: nobody is left who did), of a lookup. At
 * most LOOKUPS_TOLD in a second: it is to look at, not to count. */
void watch_path(struct svc *s, const struct client *asker, const struct wire_c_path *m);

/* remove.c */
void remove_ask(struct svc *s, struct client *c, const struct wire_c_remove *m);
/* The end of a removal; err and text as of chord_app.removed. */
void remove_done(struct svc *s, uint32_t handle, int err, struct peal_bytes text);

/* purge.c */
/* Begins to empty the mailbox, unless that is under way here, or too many are. */
void purge_begin(struct svc *s, const struct peal_id *box);
/* A page of the read under way; as of chord_app.set_rows. */
bool purge_rows(struct svc *s, uint32_t handle, int err, const struct wire_row *rows, size_t n,
                bool last);
void purge_tick(struct svc *s);

/* lookup.c */
void lookup_ask(struct svc *s, struct client *c, const struct wire_c_lookup *m);
/* The end of a lookup; f as of chord_app.found. */
void lookup_found(struct svc *s, uint32_t handle, int err, const struct ring_found *f);

#endif
