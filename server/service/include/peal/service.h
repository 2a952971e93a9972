/* service: what a node does for people, on top of chord: accounts, sessions, presence, mailboxes.
 * Sans-I/O (peal/step.h); the whole node's core: it owns the chord object and passes it the events
 * that are for it.
 *
 * Not for: passwords in the clear (the client never sends them), the contents of messages (sealed),
 * bcrypt itself (a WORK effect).
 *
 * An account is the register at cry_account_key(name); its mailbox is the set of the same key, so
 * that an account, its session and its waiting messages have one home. */
#ifndef PEAL_SERVICE_H
#define PEAL_SERVICE_H

#include "peal/chord.h"

struct svc;

enum {
    SVC_SESSIONS_DEFAULT = 4096,   /* client links at one node */
    SVC_LOCATIONS_DEFAULT = 16384, /* session locations and last-seen times kept at one home */
    SVC_REQUESTS_MAX = 4096,       /* requests under way */
    SVC_LINK_REQUESTS_MAX = 8,     /* of these per client link, sends not counted */
    SVC_LINK_SENDS_MAX =
        256, /* messages of one link that are not stored yet; more wait at the client (BUSY) */
    SVC_OFFLINE_AFTER_MS = 15000,      /* without a heartbeat */
    SVC_LOGIN_FAILURES = 10,           /* wrong passwords per account and minute, then BUSY */
    SVC_MESSAGE_DAYS = CHORD_ROW_DAYS, /* that a message waits for its recipient, at most */
};

/* Zero in a bound means its default. chord.puts_max bounds the messages of all clients of this node
 * that are not stored yet; beyond it they are told BUSY. */
struct svc_config {
    struct chord_config chord; /* .app is filled in by svc_init */
    uint32_t sessions_max;
    uint32_t locations_max;
    /* How many days a message that is sent at this node waits for its recipient, at most
     * SVC_MESSAGE_DAYS; then its sender is told that it has expired. 0: SVC_MESSAGE_DAYS. */
    uint32_t message_days;
    /* 32 random bytes per run: what the tables are keyed with, so that nobody can choose what
     * collides there, and a simulated run is repeatable. */
    uint8_t secret[32];
    uint8_t operator_pub[32]; /* of cry_ring_operator_key: whose word removes servers */
};

/* Of the host this core expects, besides its law: LINK_DOWN for each link that came up, also after
 * a CLOSE; an end to each WORK; TIMER when svc_deadline has come (earlier is harmless).
 *
 * LEAVE says good-bye to the clients first and lets chord leave when the last one was told, which
 * may take some TIMERs. */
size_t svc_size(const struct svc_config *cfg);
PEAL_MUST int svc_init(void *mem, const struct svc_config *cfg, struct svc **out);
void svc_step(struct svc *s, const struct step_event *ev, struct step_update *u);
uint64_t svc_deadline(const struct svc *s);
const struct chord *svc_chord(const struct svc *s);

/* Now: links of clients, sessions, locations known here as a home, requests under way. Since the
 * start: messages that this node's clients were told are stored, rows delivered to them, and errors
 * told or links closed for what was said over them. */
struct svc_stats {
    uint64_t clients, sessions, locations, requests, stored, delivered, refused;
};
void svc_stats(const struct svc *s, struct svc_stats *out);

#endif
