/* reach: keeps one link from a client program to some server of a ring, whichever answers: knows
 * where servers may be, checks that they belong to the ring, says hello, notices silence, and goes
 * to the next server at once when one is gone.
 *
 * Not for: who is logged in, or repeating what was under way when a link broke: the owner does that
 * on `up`.
 *
 * Addresses come from the list the caller gives, from what the servers themselves tell (c_welcome,
 * c_servers), and from multicast (m_probe, m_answer). None of them is believed: what counts is the
 * ring's fingerprint, which TLS proves. Without a pin the first server that answers sets it, and
 * `pinned` tells the caller, who keeps it.
 *
 *            reach_start                       hello, welcome
 *   STOPPED ------------> SEARCHING --------------------------------> UP
 *      ^                   |     ^   link lost, server silent (down)   |
 *      |   reach_stop      |     '-------------------------------------'
 *      '-------------------'-------------------------------------------'
 *
 * Searching: up to REACH_DIALS servers are tried at a time, the second REACH_HEDGE_US after the
 * first; the first that welcomes is taken. After a loss the next server is dialled at once (within
 * REACH_JITTER_US); when all were tried in vain the pause doubles, up to REACH_PAUSE_MAX_US.
 *
 * Silence: a ping goes out every REACH_PING_US, and also when something was sent and nothing came
 * back for REACH_PROBE_US. A server that sends nothing at all until the ping's deadline is dead:
 * while an answer is expected, four times the measured round trip with its variation, but at least
 * REACH_SILENCE_MIN_US; otherwise REACH_SILENCE_MAX_US.
 *
 * Everything runs on the loop's thread; callbacks come from the loop, never from inside a call, and
 * may call anything here but reach_free. Times in microseconds. */
#ifndef PEAL_REACH_H
#define PEAL_REACH_H

#include <peal/net.h>
#include <peal/wire.h>

enum {
    REACH_PORT = 7600,      /* of a server named without one */
    REACH_PLACES_MAX = 128, /* addresses known at a time; the least useful learned one gives way */
    REACH_DIALS = 2,
    REACH_HEDGE_US = 300 * 1000,
    REACH_DIAL_US = 3 * 1000 * 1000, /* for connection, TLS and welcome together */
    REACH_JITTER_US = 100 * 1000,
    REACH_PAUSE_MAX_US = 5 * 1000 * 1000,
    REACH_PING_US = 5 * 1000 * 1000,
    REACH_PROBE_US = 400 * 1000,
    REACH_SILENCE_MIN_US = 1000 * 1000,
    REACH_SILENCE_MAX_US = 4 * 1000 * 1000,
    REACH_MCAST_US = 1000 * 1000, /* between probes while searching */
    REACH_AGENT_MAX = 63,
};

struct reach;

/* All but message may be NULL. Strings and structs are valid during the call. */
struct reach_events {
    /* A server of the ring welcomed us. address: "host:port" as it was dialled. */
    void (*up)(void *user, const char *address, const struct wire_c_welcome *welcome);
    /* Every message but c_welcome, c_pong and c_servers; msg is the struct of the type. */
    void (*message)(void *user, enum wire_type type, const void *msg);
    /* After `up`: that link is gone, and the search goes on. err as net_events' down, or
     * PEAL_E_UNAVAILABLE for a silent server. */
    void (*down)(void *user, int err, const char *reason);
    /* While searching: one server could not be had. PEAL_E_FOREIGN: it belongs to another ring. */
    void (*failed)(void *user, const char *address, int err, const char *reason);
    /* No pin was given, and this is the first ring that answered: it is pinned from now on. Comes
     * before `up`. */
    void (*pinned)(void *user, const uint8_t fingerprint[static NET_FINGERPRINT_BYTES]);
    /* The ring's servers as one of them tells: worth remembering. */
    void (*servers)(void *user, const struct wire_server_list *servers);
};

/* Copied, but for events. Zero in a field: its default. */
struct reach_config {
    const struct reach_events *events; /* lives as long as the reach */
    void *user;
    const char *agent;  /* program and version for the server's log, at most REACH_AGENT_MAX bytes;
                           NULL: "peal" */
    bool json;          /* speak peal-json/1 instead of peal-bin/1 */
    const uint8_t *pin; /* the ring's fingerprint, NET_FINGERPRINT_BYTES; NULL: unknown yet */
    struct net_groups mcast; /* groups to ask on; n 0: do not ask */
};

PEAL_MUST int reach_new(struct net_loop *loop, const struct reach_config *config,
                        struct reach **out);
/* Adds a place to try; `chosen` ones (the user named them) come first and are never dropped. A
 * place with a fingerprint pins the ring when nothing is pinned yet. PEAL_E_FOREIGN: its
 * fingerprint is another than the pinned one. PEAL_E_FULL: REACH_PLACES_MAX chosen ones already. A
 * place that is known already is no error. */
PEAL_MUST int reach_add(struct reach *r, const struct net_place *place, bool chosen);
/* Begins to search. Without any place and without multicast it waits for reach_add. */
void reach_start(struct reach *r);
/* Says good-bye (what is queued is sent) and does not come back until reach_start. No `down`
 * follows. */
void reach_stop(struct reach *r, const char *reason);
/* Gives up the present link, if any, and searches anew, beginning with another server: `down`
 * follows with PEAL_E_CLOSED. */
void reach_renew(struct reach *r, const char *reason);
/* Stops at once and frees; NULL is allowed. Not from a callback. */
void reach_free(struct reach *r);

/* Queues a message. PEAL_E_UNAVAILABLE: no server at the moment (nothing is kept: send again on
 * `up`). PEAL_E_FULL, which ends the link: the server reads too slowly. Else as wire_encode.
 * Messages that ask for an answer arm the watch for silence; c_ack, c_watch and c_ping do not. */
PEAL_MUST int reach_send(struct reach *r, enum wire_type type, const void *msg);
bool reach_is_up(const struct reach *r);
/* The server of the present link ("host:port"), or "". */
const char *reach_address(const struct reach *r);
/* The pinned fingerprint, or NULL. */
const uint8_t *reach_pin(const struct reach *r);
/* Bytes that wait to be sent on the present link. */
size_t reach_queued(const struct reach *r);
/* The measured round trip, smoothed (RFC 6298); 0 when not known yet. */
uint64_t reach_rtt_us(const struct reach *r);

#endif
