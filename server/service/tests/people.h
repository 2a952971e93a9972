/* people: clients of the little world, in words: what tests of the service say over and over. */
#ifndef PEAL_TEST_PEOPLE_H
#define PEAL_TEST_PEOPLE_H

#include "host.h"

enum { PEOPLE_WAIT = 10 * HOST_SEC };

/* What a person keeps between links. */
struct person {
    struct host *h;
    uint32_t client;
    char name[WIRE_NAME_MAX + 1];
    uint8_t auth[32];
    uint8_t new_auth[32];   /* what a new password makes of it */
    bool has_rescue;        /* registers with a recovery key */
    uint8_t rescue[32];     /* its authenticating half … */
    uint8_t new_rescue[32]; /* … and that of the one that follows */
    uint8_t token[WIRE_TOKEN_BYTES];
    uint64_t generation;
    uint64_t req;
};

struct person person_of(struct host *h, uint32_t client, const char *name);
/* Connects and says hello; expects the welcome. */
void person_greet(struct person *p, uint32_t node);
/* Only asks; the answer is the caller's to wait for. */
void person_ask_register(struct person *p, uint64_t req_id);
void person_ask_login(struct person *p, uint64_t req_id);
void person_ask_resume(struct person *p);
void person_ask_password(struct person *p, uint64_t req_id);
void person_ask_rescue(struct person *p);
void person_ask_reset(struct person *p, uint64_t req_id);
void person_ask_recovery(struct person *p, uint64_t req_id);
/* Expects c_ok to the last question. */
void person_done(struct person *p);
void person_ask_delete(struct person *p, uint64_t req_id);
void person_ask_settings(struct person *p, const char *display, bool receipts, uint16_t unread,
                         uint16_t session_days);
/* Greets at the node and registers, logs in, resumes; expects a session. */
void person_register(struct person *p, uint32_t node);
void person_login(struct person *p, uint32_t node);
void person_resume(struct person *p, uint32_t node);
/* Expects the session that was asked for. */
void person_session(struct person *p);
/* Expects c_error with this code; returns its message. */
const struct wire_c_error *person_refused(struct person *p, int err);
const struct wire_c_bye *person_bye(struct person *p, int err);
/* A message id: later calls give greater ones. */
struct peal_msg_id people_id(struct host *h, uint64_t n);
void person_send(struct person *p, const char *to, struct peal_msg_id id, const char *text);
/* Expects c_stored with exactly this id. */
void person_stored(struct person *p, struct peal_msg_id id);
/* Waits for a page with rows; NULL after us microseconds. */
const struct wire_c_deliver *person_rows(struct person *p, uint64_t us);
/* Expects the empty page that says that all that waited was delivered, with no rows before it. */
void person_caught_up(struct person *p);
/* Expects c_deliver of exactly this row. */
void person_delivered(struct person *p, const char *from, struct peal_msg_id id, const char *text);
void person_ack(struct person *p, struct peal_msg_id id);
/* The answer to c_find. */
const struct wire_c_user *person_find(struct person *p, const char *name);
/* Many messages wait for bob, who comes back at the node and acknowledges what he gets, while alice
 * says more: all of it comes once, and what waited first and in order. */
void people_full_mailbox(struct person *alice, struct person *bob, uint32_t node);
/* So many messages wait for bob, who comes back at the node and takes them; returns how many rows
 * the disks of all nodes were asked for meanwhile. */
uint64_t people_count_reads(struct person *alice, struct person *bob, uint32_t node, size_t many);
/* Nothing of this type comes within us. */
void person_silence(struct person *p, uint16_t type, uint64_t us);
/* No rows come within us. */
void person_no_rows(struct person *p, uint64_t us);

#endif
