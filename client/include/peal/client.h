/* clang-format off */
/* client: the core of a Peal client: an account, its sealed messages, an outbox that survives a
 * crash, the local history, and the link to whichever server of the ring answers. One command
 * interface, in JSON, for the command line, the control socket and the web page.
 *
 * Not for: showing anything. It never prints, and it takes no decision that is the user's.
 *
 * Everything runs on the thread of the loop; only the password function and the making of keys run
 * on libuv's workers. The profile's file is written synchronously (SQLite, synchronous=FULL): when
 * a call says that something is stored, it is.
 *
 * Commands are objects {"cmd":NAME, ...}; the answer is the object named here, or
 * {"error":{"code","message","hint"}}, its code one of err_name's:
 *
 *   whoami {wait?}              {"name"|null,"display","account"|null,"session","server"|null,
 *                               "connected","reason","fingerprint"}; name: who is logged in;
 *                               account: whose profile this is, even when session is "elsewhere"
 *                               (the ring does not take this client's session any more) and not
 *                               "here"; "none": nobody's. reason: why it is not connected, or "".
 *                               The fingerprint is the ring's, as after # in a link (peal/net.h)
 *   register {name,password}    as whoami, and {"recovery"}: the account's recovery key, which
 *                               resets a forgotten password. It is said this once and not kept here
 *   login {name,password}       as whoami
 *   logout {}                   {}; history and outbox stay in the profile, for the next login
 *   password {old,new}          as whoami. The account's password is the new one from then on, and
 *                               every other session of it ends; also from a client whose session
 *                               has ended ("elsewhere"), which has it then. unknown: no answer
 *                               came, and one of the two counts. auth: the old one is wrong, and
 *                               nothing has changed
 *   recovery {password}         {"recovery"}: another recovery key, in the place of the one before
 *   reset {name,recovery,password}
 *                               as register: the account's password is the new one, every session
 *                               of it ends, and another recovery key takes the used one's place. A
 *                               mistyped key is malformed, and no server is asked; auth: it is not
 *                               the account's; refused: the account has none. unknown as above
 *   delete {password}           {}: the account is no more. Its password, keys and settings are
 *                               erased from the ring, its sessions end, its waiting messages are
 *                               removed, and its name can be registered again after 30 days, by
 *                               anybody. The history stays in the profile; what waited to be sent
 *                               does not. unknown as above
 *   settings {receipts?,unread?,session_days?}
 *                               {"display","receipts","unread","session_days"}: the account's,
 *                               which every client of it has; those that are given are set first.
 *                               receipts false: nobody is told what has been read here, and of
 *                               others it is not shown (delivered at most); unread: how many
 *                               unread messages recv gives at most when nobody says, 0 to 65535,
 *                               0: as many as there are; session_days: the client is logged out so
 *                               many days after it was logged in, when it connects next; 0: never.
 *                               busy: others are being set
 *   display {text}              as settings; what the account is called besides its name: one line
 *                               of 1 to 128 bytes
 *   send {to,text,reply_to?,wait?}
 *                               {"id","to","state"}, after `wait` ms at the latest; without it as
 *                               soon as the message is on our disk, which is before anything is
 *                               asked of the ring. Of `queued` also {"connected","reason"}: why no
 *                               server is reached, or why the ring takes nothing now, be it for
 *                               this recipient, whose mailbox is full ("": not known). Without a
 *                               server it waits CLIENT_LINK_WAIT_MS from the start or from the end
 *                               of the last link, not longer. When there is no such user
 *                               (not_found) or the ring refuses, the message is in the history as
 *                               failed; who waits gets the error, otherwise it is a trouble event.
 *                               The same when their key has changed (auth) and somebody waits; what
 *                               nobody waits for stays queued and says so in its reason (see
 *                               "Other people's keys"). A key known to have changed is an error at
 *                               once, and nothing is kept. reply_to: the id of a message of the
 *                               same conversation
 *   edit {id,text,wait?}        {"id","to","state"}: gives one's own message another text, on both
 *                               sides. Here it counts at once; the state is that of the word to the
 *                               other side, queued or stored, waited for as with send. refused: not
 *                               one's own, deleted, or never sent
 *   unsend {id,wait?}           {"id","to","state"}: deletes one's own message on both sides, as
 *                               edit. What has not been sealed yet is never sent: its state is
 *                               failed. The other side may have read it, and a client that does not
 *                               know of this still shows it
 *   history {name,limit?,before?}
 *                               {"messages":[message],"more"}, oldest first; before: a message's
 *                               id, or a time
 *   status {name}               {"name","online","last_seen","changed","verified"}
 *   conversations {}            {"conversations":[{"name","online","last_seen","unread",
 *                               "changed","verified","last":message|null,"draft"?,"vanish"?}]}
 *   read {name}                 {}; marks as read, and sends the receipts
 *   read {ids,wait?}            {"count","queued"}; the same with those of at most 64 messages that
 *                               are unread; waits up to `wait` ms for what is queued to go out
 *   unread {}                   {"total","conversations":[{"name","unread"}]}, those with unread
 *                               messages, the latest first
 *   forget {ids}, {name}        {"count"}: takes at most 64 messages, or a whole conversation with
 *                               its draft, out of this profile; the other side keeps them, and what
 *                               is queued is sent all the same. What the ring delivers of it again,
 *                               or what changes it later, does not bring it back
 *   draft {name,text?}          {"name","text","saved_at"}: keeps a text that is not to be sent
 *                               yet, one per person; "" removes it; without a text, what is kept
 *                               ("": nothing). quota: CLIENT_DRAFTS_MAX persons have one
 *   search {text,name?,limit?,before?}
 *                               {"messages":[message],"more","before"}: those whose text has this
 *                               piece, whatever the case of letters (Unicode's case folding), the
 *                               newest first, of everybody or of one conversation. One call looks
 *                               at CLIENT_SEARCH_MESSAGES, or CLIENT_SEARCH_BYTES of text; more:
 *                               there may be others, which a call with that `before` finds. A
 *                               limit of 0 is one of 1, here and with export
 *   export {name,after?,limit?} {"messages":[message],"more"}, oldest first, from after that id;
 *                               each has its "stamp" besides (16 hexadecimal digits), and is what
 *                               import takes. A page ends with CLIENT_EXPORT_BYTES of text. What
 *                               vanishes is left out
 *   import {name,messages}      {"added","passed"}: at most CLIENT_PAGE_MAX of export's messages,
 *                               all or none. What is here already is passed over; what was
 *                               forgotten comes back. Nobody has proved what is imported, which
 *                               "imported" says of it; it is read, and what was queued is failed,
 *                               since it is not sent from here
 *   vanish {name,seconds?,wait?}
 *                               without seconds {"name","seconds"}: after how long messages of the
 *                               conversation vanish that are written from now on, 0: never. With
 *                               seconds (at most CLIENT_VANISH_MAX_S) as edit: sets it for both
 *                               sides, each of which can; of two that do so at once, the later
 *                               counts. A message vanishes from a profile so long after it was read
 *                               there, one's own so long after the ring took it. Whether the other
 *                               side's client does so is in its hands
 *   watch {name|null}           {}; whose presence is told, besides the latest conversations'
 *   recv {wait?,max?,follow?}   each unread message, oldest first, at most 64, as it is once shown;
 *                               none is marked: whoever has shown them says so with `read`, and
 *                               gets them again otherwise. Then {"count","queued","more"}; more:
 *                               there may be others at once. wait: for a first one, in seconds;
 *                               max 0: as many as the settings say; follow: without an end
 *   sync {wait?}                {"settled"}, when what waited on the ring is here, or after `wait`
 *                               ms
 *   ring {}                     {"whole","size","up","epoch","coordinator","nodes":[...]}; up: how
 *                               many are in the state "up"
 *   lookup {name}               {"key","owner","path","hops","microseconds"}: where the ring keeps
 *                               the name's record, whether there is one or not: its key, the first
 *                               live server at or after it, and the servers that the question
 *                               passed, the asked one first and the owner last
 *   trust {name}                {"name","pinned","shown","changed","number"}: the fingerprints, 64
 *                               hexadecimal digits each, of the key that this client goes by and of
 *                               the one that the ring shows now, and the safety number that there
 *                               would be with the latter. Somebody new is pinned by it
 *   trust {name,fingerprint}    the same, once the shown key is the pinned one: it is accepted if it
 *                               is the one of that fingerprint. stale: it is another by now, and
 *                               nothing has changed
 *   safety {name}               {"name","number","qr","verified","changed"}; number: 60 digits in
 *                               groups of five, the same at both ends; qr: what a QR code of it
 *                               says. Asks the ring only about somebody new
 *   verify {name,number}        as safety. number: what was compared with the other side, with or
 *                               without blanks, or what a QR code of theirs says; auth: it is not
 *                               the one that is here, or their key has changed
 *   remove {id, epoch, proof}   {"removed"}: takes a server that is gone for good out of the ring's
 *                               roster of that epoch; proof: cry_remove_sign's, in hexadecimal.
 *                               stale: the roster has changed meanwhile
 *
 * A message is {"id","from","to","text","sent_at","state","unread"}, and "reason" with one that is
 * queued because the ring says that the recipient's mailbox is full, or because their key has
 * changed; "reply_to" (an id, as its author says: perhaps of nothing that is here); "edited_at";
 * "deleted_at", and then no text; "imported"; "vanish", after how many seconds, and "vanishes_at",
 * once that is known. Times are Unix milliseconds. Names are brought into their canonical form
 * (peal/name.h).
 *
 * A conversation has the same order at both ends: by the hybrid logical clock of the authors, then
 * by id. A client's clock takes in every stamp that it receives, so that an answer comes after what
 * it answers, and refuses those of authors whose clocks run more than CLK_MAX_AHEAD_MS ahead
 * (peal/base.h): these are placed by the time at which a server took them. Only its author can edit
 * or delete a message; of several edits the one with the greatest stamp counts, at both ends and in
 * whatever order they come, and a deletion counts more than any of them. What comes before the
 * message that it is about is kept until that comes, CLIENT_PENDING_MAX per author.
 *
 * Where a command takes the id of a message that is here, its first or its last digits do (at least
 * CLIENT_ID_DIGITS_MIN of its 32), if no other message has them: not_found, usage.
 *
 * Other people's keys: the first one that the ring shows for a name is pinned. When it shows
 * another one (looked at once in a run for whoever is written to, with each status and trust, and
 * when something comes that was sealed with other keys), a trouble event (auth) says so, `changed`
 * is true from then on, and nothing is sent to that person: until the ring shows the pinned key
 * again, or `trust` accepts the new one. What waits goes out then, but for what was sealed to the
 * former key: it fails with the reason. What comes under another key than the pinned one is
 * unreadable until `trust` accepts that key, and is read then; what comes under the pinned key is
 * read as before. verified: `verify` was given for exactly this pair of keys, one's own and the
 * pinned one.
 *
 * Events: message (a new message), changed (a message that was edited or deleted), key
 * {"name","changed"}, forgotten {"ids"} or {"name"} (what vanishes as well), imported {"name"},
 * vanish {"name","seconds","by"}, state {"id","peer","state"} (and "reason", as above), presence
 * {"name","online","last_seen"}, connection {"connected","server","reason"}, session
 * {"name"|null,"reason"}, and trouble {"code","message","hint"}.
 *
 * What the states promise:
 *
 *   queued      it is on this disk
 *   failed      it was refused for good, or deleted before it was sent
 *   stored      it is on the disks of the ring's quorum
 *   expired     a server says that it was not fetched in time and is gone. Nobody has signed that:
 *               a receipt, also a later one, has the last word
 *   delivered   it is on the recipient's disk: a receipt that the recipient signed says so
 *   read        likewise
 *   unreadable  of an incoming one: the envelope did not open. It is acknowledged, kept as it came
 *               in the profile, shown with the reason as its text, and no receipt is sent.
 *
 * A state only ever advances. */
/* clang-format on */
#ifndef PEAL_CLIENT_H
#define PEAL_CLIENT_H

#include <jansson.h>
#include <peal/net.h>

enum {
    CLIENT_TEXT_MAX = 64 * 1024, /* bytes of a message's text */
    CLIENT_SERVERS_MAX = 32,     /* chosen servers */
    CLIENT_FLIGHTS_MAX = 64,     /* messages sent and not answered yet */
    CLIENT_CALLS_MAX = 64,       /* commands under way */
    CLIENT_ASKS_MAX = 64,        /* requests to the server, waiting ones included */
    CLIENT_ASKS_SENT_MAX = 6,    /* of these on the way */
    CLIENT_HELD_MAX = 256,       /* received rows whose author's keys are being fetched */
    CLIENT_PAGE_MAX = 500,       /* messages in one history answer */
    CLIENT_CONVERSATIONS_MAX = 1000,
    CLIENT_PENDING_MAX = 256, /* changes per author that came before what they change */
    CLIENT_DRAFTS_MAX = 1000,
    CLIENT_VANISH_MAX_S = 366 * 24 * 3600,
    CLIENT_SEARCH_MESSAGES = 20000, /* that one search looks at */
    CLIENT_SEARCH_BYTES = 8 * 1024 * 1024,
    CLIENT_EXPORT_BYTES = 256 * 1024,
    CLIENT_ID_DIGITS_MIN = 4,      /* of a message's id, in a command */
    CLIENT_CONNECT_WAIT_MS = 5000, /* how long a command waits for a server */
    CLIENT_ASK_WAIT_MS = 12000,    /* and for its answer */
    CLIENT_LINK_WAIT_MS = 2000,    /* what a send gives a link that began to be set up */
    CLIENT_SEND_WAIT_MAX_MS = 60000,
    CLIENT_PATH_MAX = 4096,
    CLIENT_WHY_MAX = 512,
};

/* ---- the profile's folder
 *
 * One folder is one client: it holds the account, the pinned ring, the history. Whoever runs on it
 * holds a lock in it. */
struct profile;

/* $XDG_DATA_HOME/peal, or ~/.local/share/peal. PEAL_E_NOT_FOUND: neither variable is set. */
PEAL_MUST int profile_default(char out[static CLIENT_PATH_MAX]);
/* Makes the folder (0700) when it is not there, locks it and opens its file. PEAL_E_BUSY: another
 * process has it (its commands go through profile_control). PEAL_E_VERSION: written by a newer
 * program. PEAL_E_CORRUPT, PEAL_E_NO_SPACE, PEAL_E_IO. why says it. */
PEAL_MUST int profile_open(const char *dir, struct profile **out, char why[static CLIENT_WHY_MAX]);
void profile_close(struct profile *p); /* NULL is allowed */

/* ---- the client ---------------------------------------------------------------------- */

struct client;
/* A command under way; gone after its last reply. */
struct client_call;

/* Everything is copied but for profile, which the client uses and the caller closes afterwards. */
struct client_config {
    struct profile *profile;
    const struct net_place *servers; /* the chosen ones */
    size_t server_count;
    struct net_groups mcast; /* n 0: do not ask on multicast */
    /* Something happened; data belongs to the client. May be NULL. */
    void (*event)(void *user, const char *name, json_t *data);
    void *user;
};

/* PEAL_E_FOREIGN: a chosen server's fingerprint is not the profile's. */
PEAL_MUST int client_new(struct net_loop *loop, const struct client_config *config,
                         struct client **out, char why[static CLIENT_WHY_MAX]);
/* Begins to connect. */
void client_start(struct client *c);
/* Cancels every command (no further reply), says good-bye to the server. The loop then runs out of
 * this client's work. */
void client_stop(struct client *c);
/* After client_stop and after the loop has come to its end (or at least every worker has). NULL is
 * allowed. */
void client_free(struct client *c);

/* Gives a command. reply is called once with each message of recv (last: false) and once with the
 * answer (last: true), perhaps already within this call; the object belongs to the client. *call
 * (call may be NULL) is NULL when the answer has been given. */
void client_command(struct client *c, json_t *request,
                    void (*reply)(void *user, json_t *object, bool last), void *user,
                    struct client_call **call);
/* Whoever asked is gone: no reply follows. */
void client_cancel(struct client_call *call);

/* {"error":{…}} as above; NULL when there is no memory. hint may be NULL. */
json_t *client_error(int err, const char *message, const char *hint);
/* The error's number in an answer; 0 when the answer is none, PEAL_E_MALFORMED for a code that is
 * not known. */
int client_error_of(json_t *object);
/* What an error is over HTTP: 400, 403, 404, 409 or 503; 200 for 0. */
unsigned client_http_status(int err);
/* What an error is to a script: 0, 1 refused, 2 usage, 3 no server. */
int client_exit_status(int err);

/* ---- the control socket
 *
 * A Unix stream socket in the profile (0600), through which other processes give commands to the
 * one that runs. Lines of JSON: the owner greets with {"peal":VERSION,"pid"}; then requests as
 * above with a number in "req"; answers {"req","reply":object,"last"};
 * {"cmd":"events"} asks for {"event":name,"data":object} from then on. A bad line ends the
 * connection, nothing else. */
enum {
    CONTROL_LINE_MAX = 512 * 1024,
    CONTROL_PEERS_MAX = 32,
    CONTROL_OUT_MAX = 4 * 1024 * 1024, /* waiting for one peer, which is dropped beyond */
    CONTROL_CALLS_MAX = 8,             /* commands under way per peer */
};

struct control;
/* The path in `why` on an error. PEAL_E_TOO_LONG never: a folder with too long a path gets its
 * socket elsewhere. */
PEAL_MUST int control_new(struct net_loop *loop, struct client *c, const char *dir,
                          struct control **out, char why[static CLIENT_WHY_MAX]);
void control_event(struct control *s, const char *name, json_t *data);
/* No new peers; those whose commands run are served until they are answered, but for recv, which
 * can be given again elsewhere: it ends without an answer. */
void control_drain(struct control *s);
/* Nothing under way. */
bool control_is_idle(const struct control *s);
/* Closes all, before client_stop; the loop frees it. NULL is allowed. */
void control_free(struct control *s);

/* The other side: connects and waits for the greeting. PEAL_E_NOT_FOUND: nobody serves there (any
 * more, or yet); PEAL_E_UNAVAILABLE: the owner does not answer. *fd is the caller's to close. */
PEAL_MUST int control_dial(const char *dir, int *fd, char why[static CLIENT_WHY_MAX]);

/* ---- the web page -------------------------------------------------------------------- */

struct webui;
/* Serves the page and its commands (POST /api/CMD, the arguments as body) on "ADDR:PORT". */
PEAL_MUST int webui_new(struct net_loop *loop, struct client *c, const char *listen,
                        struct webui **out, char why[static CLIENT_WHY_MAX]);
const char *webui_url(const struct webui *w);
void webui_event(struct webui *w, const char *name, json_t *data);
/* After client_stop, before client_free; NULL is allowed. */
void webui_free(struct webui *w);

#endif
