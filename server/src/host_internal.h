/* The host's parts, shared by host.c (life, events), effects.c (updates), announce.c (multicast,
 * own addresses) and json.c (the JSON encoding at the edge). */
#ifndef PEALD_HOST_INTERNAL_H
#define PEALD_HOST_INTERNAL_H

#include "address.h"
#include "beacon.h"
#include "host.h"

enum {
    HOST_SAY_US = 10 * 1000 * 1000, /* a warning that strangers can cause is logged this seldom */
};

/* One link, known to the core by its handle. */
struct host_link {
    struct host *host;
    struct net_link *net; /* NULL once it is down */
    uint32_t handle;
    bool json; /* speaks peal-json/1: transcoded here, the core sees the binary form only */
    bool up;   /* the core was told LINK_UP */
    bool node;
    bool ended; /* closed by this side; nothing more of it reaches the core */
    char address[NET_PLACE_TEXT];
};

/* What an update still has to do once its writes are durable: a copy of its effects, in one block
 * with their bytes. */
struct host_held {
    struct host_held *next;
    uint64_t ticket;
    size_t n;
    struct step_effect effects[];
};

/* A message to this node itself, waiting for its turn. */
struct host_self {
    struct host_self *next;
    size_t n;
    uint8_t bytes[];
};

/* A dial that could not even begin, to be told as LINK_DOWN. */
struct host_undialled {
    struct host_undialled *next;
    int err;
    size_t n;
    uint8_t address[];
};

struct host {
    struct host_config cfg;
    struct net_loop *loop;
    struct net_tls *tls_server, *tls_node;
    struct net_listener *listener;
    struct net_mcast *mcast;
    struct net_watch *watch; /* of this machine's addresses */
    struct net_timer *timer;
    struct net_wake *wake;
    struct store *store;
    struct step_reader reader;
    struct svc *svc;
    void *svc_mem;
    void *update_mem;
    struct step_update update;
    struct slab links;
    void *links_mem;
    struct host_held *held, **held_end;
    struct host_self *self, **self_end;
    struct host_undialled *undialled, **undialled_end;
    uint64_t deadline; /* the timer is set to this */
    uint32_t works;    /* under way on worker threads */
    struct addresses announced;
    uint8_t announced_list[WIRE_ADDRESSES_BYTES]; /* the same as a contact has them */
    size_t announced_list_n;
    bool away; /* the one address that is listened on is not this machine's at present */
    struct beacons beacons;
    int store_err; /* what the core was last told */
    int read_err;  /* why reading fails, 0: it does not */
    char read_text[STORE_TEXT_MAX];
    void (*store_wake)(void *arg);
    uint64_t disk_us;                                  /* when disk_tick last did anything */
    uint8_t arc[2 * ID_BYTES], arc_seen[2 * ID_BYTES]; /* as it is stored; as it was last */
    size_t arc_n;                                      /* 0: none is stored */
    bool running;                                      /* a step or its effects are under way */
    bool ready, leaving, left;
    uint64_t leave_by_us;     /* while leaving: when it is enough */
    uint64_t foreign_link_us; /* when a server of another ring was last logged */
    uint64_t foreign_said_us; /* when a foreign beacon was last logged */
    uint64_t forged_said_us;  /* when a beacon that its sender did not sign was last logged */
    struct arena json;        /* scratch of the transcoder */
    void *json_mem;
    uint8_t *json_out;
};

/* Feeds one event (kind and payload filled in by the caller, the rest here), then all messages to
 * self that follow from it. */
void host_step(struct host *h, struct step_event *ev);
/* Carries out h->update; may queue messages to self. An error when its writes were refused, which
 * the core is to hear before anything else. */
PEAL_MUST int effects_apply(struct host *h);
/* Goes on with held updates whose writes are durable now. */
void effects_release(struct host *h);
void effects_drop(struct host *h);

/* Begins a link to a node, or says why not; either way an event follows, after the present step. */
void host_dial(struct host *h, struct peal_bytes address);
/* The same outside of a step. */
void host_dial_now(struct host *h, struct peal_bytes address);

/* Sends one binary message over l, as JSON where the link speaks that. */
void host_send(struct host *h, struct host_link *l, struct peal_bytes message);

/* announce.c: multicast, and this server's own address, which is chosen anew when the machine's
 * addresses change */
PEAL_MUST int announce_open(struct host *h, char why[static HOST_WHY_MAX]);
void announce_close(struct host *h);
/* The contact with a new incarnation, signed; the views are of h and sig. */
void announce_sign(struct host *h, struct wire_contact *c, uint8_t sig[static CRY_SIG_BYTES]);
/* Tells whoever runs this server what to give to the first client. */
void announce_say_link(const struct host *h);
/* Signs and seals an encoded m_beacon and multicasts it; nothing without multicast. */
void announce_beacon(struct host *h, struct peal_bytes body);

PEAL_MUST int json_init(struct host *h);
void json_fini(struct host *h);
/* JSON to binary; *out lies in h->json's block and lives until the next call. On an error why names
 * the field. */
PEAL_MUST int json_to_binary(struct host *h, struct peal_bytes text, struct peal_bytes *out,
                             char why[static WIRE_WHY_MAX]);
PEAL_MUST int json_from_binary(struct host *h, struct peal_bytes message, struct peal_bytes *out);

#endif
