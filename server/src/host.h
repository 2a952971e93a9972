/* host: runs a service core (peal/service.h) on real links, a real disk and real time, keeping the
 * host's law of peal/step.h: writes durable, then sends, then replies.
 *
 *   links, multicast, clock --> step_event --> svc_step --> step_update --> store, links, workers
 *
 * Not for: settings and key files (main.c), what any message means (the core's). */
#ifndef PEALD_HOST_H
#define PEALD_HOST_H

#include "peal/crypto.h"
#include "peal/net.h"
#include "peal/service.h"
#include "peal/store.h"

struct host;

enum { HOST_WHY_MAX = 1024, HOST_JOINS_MAX = CHORD_JOINS_MAX };

struct host_config {
    struct net_loop *loop;
    const char *db_path;
    const char *incarnation_path; /* where this server's last incarnation is kept */
    struct net_addr listen;
    /* None: the address listened on, or, when that is a wildcard, this machine's, chosen anew when
     * they change. Port 0: the one listened on. */
    struct net_addr announce[WIRE_CONTACT_ADDRESSES_MAX];
    size_t announce_n;
    struct cry_identity identity;
    struct peal_secret beacon_key;
    uint8_t operator_pub[CRY_PUB_BYTES]; /* of cry_ring_operator_key */
    const char *joins[HOST_JOINS_MAX];
    size_t joins_n;
    uint8_t replicas;
    uint8_t expect;           /* as chord_config's */
    const char *domain;       /* likewise; lives during host_new */
    uint64_t auto_remove_us;  /* likewise */
    struct net_groups groups; /* n 0: no multicast */
    uint32_t clients_max;
    unsigned bcrypt_cost;
    uint64_t quota_bytes;
    uint32_t repair_bytes;                    /* as chord_config's */
    uint64_t mailbox_messages, mailbox_bytes; /* as chord_config's box_*_max */
    uint32_t message_days;                    /* as svc_config's */
    /* Once, when the node has become a member of a ring and serves. */
    void (*ready)(void *user, const struct peal_id *id, const char *listen);
    void *user;
};

/* Opens the store, listens, starts the core. On an error why says what was wrong and what to do.
 * The loop outlives the host. */
PEAL_MUST int host_new(const struct host_config *cfg, struct host **out,
                       char why[static HOST_WHY_MAX]);
/* What this server is and has done, at this moment. */
struct host_figures {
    enum chord_state state;
    int store_err; /* 0, or why its disk takes nothing: it is in no quorum then */
    bool serves;   /* it is a member, has its copies, and its disk takes writes */
    bool whole;    /* the ring, as it sees it */
    uint64_t epoch, rows;
    size_t members, members_up;
    size_t known_living, known_dead; /* nodes, on the overlay */
    struct svc_stats service;
    struct store_stats store;
    struct ring_counters overlay;
};
void host_figures(const struct host *h, struct host_figures *out);

/* Leaves the ring in good order and shuts the loop down; net_loop_run returns when it is done. */
void host_leave(struct host *h);
/* Makes everything that was submitted durable; an error says that this failed. After net_loop_run
 * has returned, before net_loop_free. */
PEAL_MUST int host_free(struct host *h);

#endif
