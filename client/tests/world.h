/* world: a ring of one or two fake servers with one set of accounts and mailboxes between them, and
 * clients with profiles of their own, all in the test's process. What the servers do is scripted
 * and in memory; what the clients do is real. */
#ifndef PEAL_CLIENT_WORLD_H
#define PEAL_CLIENT_WORLD_H

#include "../../common/reach/tests/fake.h"
#include "core.h"

enum { WORLD_ACCOUNTS = 4, WORLD_ROWS = 1024, WORLD_SERVERS = 2, WORLD_CLIENTS = 3 };

struct world_account {
    char name[NAME_BYTES_MAX + 1];
    uint8_t salt[16], auth[32], token[32], bundle[WIRE_BUNDLE_MAX], wrapped[WIRE_WRAPPED_MAX];
    size_t bundle_n, wrapped_n;
    uint8_t recovery[32], rescued[WIRE_WRAPPED_MAX]; /* rescued_n 0: there is no recovery key */
    size_t rescued_n;
    char display[WIRE_NAME_MAX + 1];
    bool deleted;
    bool receipts;
    uint16_t unread, session_days;
    uint32_t ops, mem_kib;
    uint64_t generation;
    struct peal_msg_id changed_by; /* the last c_password that counted */
    struct fake *at;               /* its session */
    struct net_link *link;
};

struct world_row {
    char to[NAME_BYTES_MAX + 1];
    char from[NAME_BYTES_MAX + 1];
    struct peal_msg_id id;
    uint8_t kind;
    uint64_t stamp;
    uint8_t *body;
    size_t body_n;
    bool acked;
};

struct world_client {
    struct world *w;
    char dir[64];
    struct profile *profile;
    struct client *client;
    json_t *events; /* [[name, data]…] */
    json_t *reply;  /* the last answer */
    json_t *more;   /* what came before it */
    bool done;
};

struct world {
    struct net_loop *loop;
    struct fake servers[WORLD_SERVERS];
    struct cry_identity ids[WORLD_SERVERS];
    struct world_account accounts[WORLD_ACCOUNTS];
    size_t account_n;
    struct world_row rows[WORLD_ROWS]; /* in the order of their arrival */
    size_t row_n;
    unsigned sends;                /* c_send that came */
    unsigned max_flying;           /* most that were unanswered at a time */
    bool hold_stored;              /* takes messages, answers nothing */
    bool hold_finds;               /* says nothing about anybody's keys */
    unsigned busy;                 /* so many sends are told BUSY */
    bool refuse_sends;             /* every one is told REFUSED */
    char full[NAME_BYTES_MAX + 1]; /* whose mailbox takes no message: QUOTA */
    unsigned full_told;
    unsigned password_asks, rescue_asks;
    bool lose_password; /* one (or a reset, a recovery key) is done and not answered: the link goes
                         */
    unsigned lost_lookups; /* so many are told UNAVAILABLE */
    unsigned lost_resumes; /* likewise */
    struct world_client clients[WORLD_CLIENTS];
};

void world_up(struct world *w);
void world_down(struct world *w);
/* A client with a new profile that knows all living servers. */
struct world_client *world_client(struct world *w, size_t i);
/* The same profile again. */
void world_client_open(struct world_client *wc);
/* As if the process had ended: nothing is said to anybody. */
void world_client_close(struct world_client *wc);
struct world_account *world_account(struct world *w, const char *name);
/* A command and its answer, which lives until the next one. */
json_t *world_do(struct world_client *wc, json_t *request);
/* The same, and it must succeed. */
json_t *world_ok(struct world_client *wc, json_t *request);
/* The code of its error, "" for none. */
const char *world_code(struct world_client *wc, json_t *request);
/* Waits until an event of this name with this value at key came (value NULL: any), from the first
 * event on; its data. */
json_t *world_event(struct world_client *wc, const char *name, const char *key, const char *value);
void world_register(struct world_client *wc, const char *name);
/* Sends without waiting; the id, until the next command. */
const char *world_send(struct world_client *wc, const char *to, const char *text);
/* Gives every waiting row of an account to its session again. */
void world_deliver(struct world *w, const char *name);
void world_turn(struct world *w); /* one turn of the loop */

#endif
