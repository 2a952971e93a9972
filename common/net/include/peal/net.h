/* net: how a program of Peal talks to others: one event loop, TLS 1.3 links that carry frames,
 * listening, dialling, timers, datagrams to multicast groups, and this machine's own addresses.
 *
 * Not for: what the bytes mean (peal/wire.h), who is alive (heartbeats are the layers' above), whom
 * to dial or what to announce.
 *
 * Threads: a loop and everything made on it belong to one thread, the one that runs it; only
 * net_wake_fire may be called elsewhere. Callbacks run on the loop's thread and never from inside a
 * call that the program makes, with one exception: net_loop_free. A callback may call anything
 * here, and may close, abort or free the very object that it was called for, but must not run or
 * free the loop.
 *
 * Time: microseconds of a clock that never goes back, unless a name says otherwise. */
#ifndef PEAL_NET_H
#define PEAL_NET_H

#include <peal/base.h>

struct cry_identity; /* peal/crypto.h: a node's key and certificates */
struct uv_loop_s;

enum {
    NET_FRAME_MAX = 256 * 1024,    /* payload of one frame */
    NET_OUT_MAX = 4 * 1024 * 1024, /* default bound of what waits to be sent on one link */
    NET_LINKS_MAX = 16384,         /* default bound of links on one loop, half-open ones included */
    NET_HALF_OPEN_MAX = 256, /* default bound of accepted links in their handshake, per listener */
    NET_HANDSHAKE_US = 10000000, /* default time that an accepted link has for its handshake */
    NET_CLOSE_US = 2000000,      /* default time that net_link_close has to flush */
    NET_RESOLVED_MAX = 8,        /* addresses of one name that are tried */
    NET_HOST_MAX = 255,          /* bytes of a host name */
    NET_REASON_MAX = 256,        /* bytes of a reason, with its NUL; longer ones are cut */
    NET_DATAGRAM_MAX = 1400,     /* bytes of one datagram */
    NET_INTERFACES_MAX = 32,     /* interface addresses that multicast uses */
    NET_ADDRS_MAX = 256,         /* addresses that net_addrs tells of */
    NET_GROUPS_MAX = 2,          /* multicast groups used at a time, one of each family */
    NET_FINGERPRINT_BYTES = 32,  /* SHA-256 of a ring's certificate authority */
};

/* ---- addresses ------------------------------------------------------------------------------- */

/* An address in numbers. ip_len is 4 or 16, or 0 for "none". */
struct net_addr {
    uint8_t ip[16];
    uint8_t ip_len;
    uint16_t port;
    uint32_t zone; /* interface index of a link-local IPv6 address, otherwise 0 */
    bool passing;  /* net_addrs: of IPv6, not to be told to others; see there */
};

enum { NET_ADDR_TEXT = 80 };
/* "192.0.2.1:7001" or "[2001:db8::1]:7001", with "%eth0" before the bracket for a zone; "none" when
 * ip_len is 0. */
void net_addr_text(const struct net_addr *a, char out[static NET_ADDR_TEXT]);
/* Only the address, without port, brackets and zone. */
void net_addr_ip_text(const struct net_addr *a, char out[static NET_ADDR_TEXT]);
/* The inverse of net_addr_text; names are refused (PEAL_E_MALFORMED). */
PEAL_MUST int net_addr_parse(const char *text, struct net_addr *out);
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_loopback(const struct net_addr *a);
/* 0.0.0.0 or [::]: fine for listening, but nothing that one may announce. */
bool net_addr_is_any(const struct net_addr *a);

/* Where to go, as people write it: a name or a number, a port, and perhaps the fingerprint of the
 * ring that is expected there. */
struct net_place {
    char host[NET_HOST_MAX + 1]; /* without brackets */
    uint16_t port;
    bool pinned; /* fingerprint is set */
    uint8_t fingerprint[NET_FINGERPRINT_BYTES];
};

enum { NET_PLACE_TEXT = NET_HOST_MAX + 96 };
/* Accepts "HOST:PORT", "[V6]:PORT" and "peal://HOST:PORT#FINGERPRINT" (as cry_fp_text writes it;
 * "#…" may be missing, a "/" before it is allowed). Without ":PORT", default_port is taken, unless
 * that is 0. On PEAL_E_MALFORMED, why says in a clause what is wrong with the text. */
PEAL_MUST int net_place_parse(const char *text, uint16_t default_port, struct net_place *out,
                              char why[static NET_REASON_MAX]);
/* "host:port", or "peal://host:port#fingerprint" when pinned. */
void net_place_text(const struct net_place *p, char out[static NET_PLACE_TEXT]);
struct net_place net_place_of(const struct net_addr *a);

/* ---- loop ------------------------------------------------------------------------------------ */

/* Zero in a field means its default. */
struct net_loop_config {
    uint32_t links_max;
    uint32_t out_max;  /* bytes, at least NET_FRAME_MAX + 4 */
    uint64_t close_us; /* bound of net_link_close's flushing */
};

struct net_loop;

/* config may be NULL. Ignores SIGPIPE for the whole process, since a peer that leaves must not end
 * the program. */
PEAL_MUST int net_loop_new(const struct net_loop_config *config, struct net_loop **out);
/* The loop underneath, for signals, uv_queue_work and the like. The caller closes its own handles
 * (uv_close) before net_loop_free; one that is still open then is a broken invariant. */
struct uv_loop_s *net_loop_uv(struct net_loop *loop);
/* Runs until net_loop_stop, or until nothing is left that could happen. */
void net_loop_run(struct net_loop *loop);
/* One turn: waits for the next event when wait is true, and handles all that is there. False when
 * nothing is left. */
bool net_loop_once(struct net_loop *loop, bool wait);
/* Makes net_loop_run return after this turn. */
void net_loop_stop(struct net_loop *loop);
/* Orderly end: closes every link as net_link_close does. Once they are gone, and the caller has
 * freed its listeners, multicast, watches, timers and wakes and closed its uv handles, net_loop_run
 * returns.
 */
void net_loop_shutdown(struct net_loop *loop, const char *reason);
/* Aborts what is left (each link's down is called from here), then frees the loop with its timers,
 * wakes, listeners, multicast and watches; their pointers are dead then. Waits for name look-ups
 * under way. NULL is allowed. What a down calls meanwhile to start something new gives
 * PEAL_E_CLOSED. */
void net_loop_free(struct net_loop *loop);

uint64_t net_now_us(void);  /* monotonic, any thread */
uint64_t net_wall_ms(void); /* Unix time, any thread */

/* One-shot timer that can be restarted. */
struct net_timer;
PEAL_MUST int net_timer_new(struct net_loop *loop, void (*fire)(void *user), void *user,
                            struct net_timer **out);
/* Fires once when net_now_us() >= due_us, never before, usually within a millisecond; replaces an
 * earlier due time. A due time in the past fires in the loop's next turn; UINT64_MAX stops the
 * timer. */
void net_timer_at(struct net_timer *t, uint64_t due_us);
void net_timer_stop(struct net_timer *t);
void net_timer_free(struct net_timer *t); /* NULL is allowed */

/* Lets another thread make the loop call wake: several fires before the loop turns may become one
 * call. */
struct net_wake;
PEAL_MUST int net_wake_new(struct net_loop *loop, void (*wake)(void *user), void *user,
                           struct net_wake **out);
void net_wake_fire(struct net_wake *w); /* any thread, also in a signal handler */
/* Lets the loop end although the wake exists (hold = false; true at first). */
void net_wake_hold(struct net_wake *w, bool hold);
void net_wake_free(struct net_wake *w); /* NULL is allowed; no thread may fire it any more */

/* ---- TLS ------------------------------------------------------------------------------------- */

/* What is spoken on a link; the TLS extension ALPN (RFC 7301) chooses. */
#define NET_ALPNS(X)                                                                               \
    X(NODE, "peal-node/1")                                                                         \
    X(BIN, "peal-bin/1")                                                                           \
    X(JSON, "peal-json/1")
enum net_alpn {
#define X(name, text) NET_ALPN_##name,
    NET_ALPNS(X)
#undef X
};
const char *net_alpn_text(enum net_alpn alpn);

/* Settings of one role, TLS 1.3 only (RFC 8446), without session tickets and early data. Links and
 * listeners hold a share, so that a context may be freed while they live. The identity is copied.
 */
struct net_tls;

/* For listening. Of a peer that speaks peal-node/1 a certificate of the identity's own ring is
 * demanded; clients show none. */
PEAL_MUST int net_tls_server_new(const struct cry_identity *self, struct net_tls **out);
/* For dialling as a node: only a server of the identity's own ring is accepted, another ring's
 * gives PEAL_E_FOREIGN. */
PEAL_MUST int net_tls_node_new(const struct cry_identity *self, struct net_tls **out);
/* For dialling as a client: the server's certificate must be signed by the authority that it sends
 * along. With a pin, an authority of another fingerprint gives PEAL_E_FOREIGN; without (NULL),
 * net_link_info tells the fingerprint, to be pinned. */
PEAL_MUST int net_tls_client_new(const uint8_t *pin, struct net_tls **out);
void net_tls_free(struct net_tls *tls); /* NULL is allowed */

/* ---- links -------------------------------------------------------------------------------------
 * A link carries frames both ways: a big-endian u32 length (1 … NET_FRAME_MAX) and the payload. Any
 * other length closes it. */
struct net_link;

/* Valid as long as the link; all of it is zero before `up`, but for dialled, alpn (when dialled)
 * and what is known of peer. */
struct net_link_info {
    enum net_alpn alpn;
    bool dialled;                               /* by this side */
    bool has_peer_id;                           /* the other side showed a certificate */
    struct peal_id peer_id;                     /* the id in it */
    uint8_t fingerprint[NET_FINGERPRINT_BYTES]; /* of the ring's authority (an accepted client: our
                                                   own ring's) */
    struct net_addr peer;                       /* as this side sees it */
    struct net_addr local;
};

/* Called with the link they are about. `up` may be NULL, `frame` too (frames are dropped then),
 * `down` too. */
struct net_events {
    /* The handshake is done. On a dialled link the other side may still refuse this side's
     * certificate: `down` follows then. */
    void (*up)(struct net_link *link);
    /* A whole frame; the view is valid during the call. Not called after net_link_close or
     * net_link_abort. */
    void (*frame)(struct net_link *link, struct peal_bytes payload);
    /* Exactly once, for every link that was dialled and for every accepted one that came up; the
     * link is dead afterwards. err is PEAL_E_CLOSED when either side closed it, otherwise:
     * PEAL_E_FOREIGN another ring; PEAL_E_AUTH no or a wrong certificate; PEAL_E_REFUSED nobody
     * listens there; PEAL_E_NOT_FOUND unknown name; PEAL_E_UNAVAILABLE timed out or unreachable;
     * PEAL_E_MALFORMED or PEAL_E_TOO_LONG a bad frame, PEAL_E_CRYPTO bad TLS; PEAL_E_FULL slow
     * reader; PEAL_E_IO. reason is a clause for people, without a full stop. */
    void (*down)(struct net_link *link, int err, const char *reason);
    /* Of a listener only, may be NULL: somebody came and did not get as far as `up`. */
    void (*refused)(void *user, const struct net_addr *peer, int err, const char *reason);
};

const struct net_link_info *net_link_info(const struct net_link *link);
/* The caller's pointer: at first what the dial or listen options say. */
void *net_link_user(const struct net_link *link);
void net_link_user_set(struct net_link *link, void *user);

/* Queues a copy of one payload. All that is queued in one turn of the loop is sent together at its
 * end. A link that is dialled but not up yet queues too. PEAL_E_USAGE: empty or longer than
 * NET_FRAME_MAX. PEAL_E_CLOSED: closing or failed already. PEAL_E_FULL: the bound would be passed;
 * the peer reads too slowly, and the link is aborted (`down` follows). PEAL_E_NO_MEMORY: not
 * queued. */
PEAL_MUST int net_link_send(struct net_link *link, struct peal_bytes payload);
/* Bytes that wait in this process to be sent. Whoever sends much looks here and keeps below the
 * bound. */
size_t net_link_queued(const struct net_link *link);
/* Sends what is queued, says good-bye and waits for the other side to be done, at most the
 * configured time; then `down` with PEAL_E_CLOSED and this reason. A second close changes nothing.
 */
void net_link_close(struct net_link *link, const char *reason);
/* The same at once: what is queued is lost. */
void net_link_abort(struct net_link *link, const char *reason);
/* Closes the link when nothing came for that long (PEAL_E_UNAVAILABLE); 0, the default: never. */
void net_link_idle_set(struct net_link *link, uint64_t idle_us);

struct net_link_stats {
    uint64_t bytes_in, bytes_out;     /* on the wire, TLS included */
    uint64_t frames_in, frames_out;   /* out: queued ones */
    uint64_t records_in, records_out; /* of application data */
    uint64_t writes;                  /* hand-overs to the system */
};
void net_link_stats(const struct net_link *link, struct net_link_stats *out);

/* ---- listening and dialling ------------------------------------------------------------------ */

struct net_listen_opts {
    struct net_addr addr;            /* port 0: a free one is chosen */
    struct net_tls *tls;             /* of net_tls_server_new */
    const struct net_events *events; /* static, or living as long as the listener and its links */
    void *user;                      /* of `refused`, and at first of each accepted link */
    uint32_t half_open_max; /* 0: the default. When it is reached, the oldest handshake gives way to
                               the newest caller */
    uint64_t handshake_us;  /* 0: the default */
};

struct net_listener;
/* On an error why says what is wrong, for instance that the port is taken (PEAL_E_EXISTS) or that
 * this machine does not have the address (PEAL_E_NOT_FOUND). */
PEAL_MUST int net_listen(struct net_loop *loop, const struct net_listen_opts *opts,
                         struct net_listener **out, char why[static NET_REASON_MAX]);
/* The bound address, with the port that was chosen. */
const struct net_addr *net_listener_addr(const struct net_listener *l);
/* Stops listening; links that came up stay, handshakes under way are dropped without a call. NULL
 * is allowed. */
void net_listener_free(struct net_listener *l);

struct net_dial_opts {
    struct net_place place; /* its pin is not looked at here: give it to net_tls_client_new */
    struct net_tls *tls;    /* of net_tls_node_new or net_tls_client_new */
    enum net_alpn alpn;     /* NET_ALPN_NODE exactly with net_tls_node_new */
    const struct net_events *events; /* static, or living as long as the link */
    void *user;
    uint64_t timeout_us;  /* for all of it: name, connection, handshake; 0: NET_HANDSHAKE_US */
    struct net_addr from; /* where to dial from (port 0 as a rule); ip_len 0: the system chooses */
};

/* Starts a link; whatever happens afterwards comes as `up` and `down`. A name's addresses are tried
 * one after the other. An error here (then there is no link, and no `down`): PEAL_E_BUSY too many
 * links, PEAL_E_NO_MEMORY, PEAL_E_CLOSED the loop is being freed. */
PEAL_MUST int net_dial(struct net_loop *loop, const struct net_dial_opts *opts,
                       struct net_link **out);

/* ---- this machine's addresses ---------------------------------------------------------------- */

/* The addresses of this machine's interfaces that are up (with or without a carrier), with port 0
 * and the interface's index as the zone of link-local ones, in the system's order; returns how
 * many. When it is NET_ADDRS_MAX there may be more. Passing are those that the system is still
 * testing, or found to be another's (RFC 4862, 5.4), that it has deprecated, or made for its own
 * connections only and for a day or so (RFC 8981). */
size_t net_addrs(struct net_addr out[static NET_ADDRS_MAX]);

/* Tells when the kernel says that an interface or an address came, went or changed (rtnetlink, see
 * rtnetlink(7)). */
struct net_watch;

/* changed is called from the loop, once a turn however many notices came in it; not for what is
 * there already. What has changed is not said: who cares looks (net_addrs). A notice may be about
 * something that the caller does not see. PEAL_E_IO: the system gives no notices, and why says why.
 */
PEAL_MUST int net_watch_open(struct net_loop *loop, void (*changed)(void *user), void *user,
                             struct net_watch **out, char why[static NET_REASON_MAX]);
void net_watch_free(struct net_watch *w); /* NULL is allowed */

/* ---- multicast ---------------------------------------------------------------------------------
 * Datagrams to one group or two (IPv4 and IPv6 at once), out of and in through every interface,
 * loopback included (IPv6: where the system routes multicast there, which is seldom); interfaces
 * that come and go are followed as the kernel tells of them. A datagram is lost, repeated (once per
 * common interface and group), kept and sent again, or forged by anybody on the network: its
 * contents must be authenticated, and whoever sends also hears itself.
 */

/* Where the ring's servers beacon and clients ask, unless told otherwise. */
#define NET_GROUPS_DEFAULT "239.80.69.76:7600,[ff02::5065:616c]:7600"

/* IPv4 groups, or IPv6 groups of link-local scope (ff02::/16), with their ports, which are shared;
 * at most one of each family. n 0: no multicast at all. */
struct net_groups {
    struct net_addr v[NET_GROUPS_MAX];
    size_t n;
};

/* "GROUP:PORT", "GROUP:PORT,GROUP:PORT" or "off". On PEAL_E_MALFORMED, why says in a clause what is
 * wrong with the text. */
PEAL_MUST int net_groups_parse(const char *text, struct net_groups *out,
                               char why[static NET_REASON_MAX]);

struct net_mcast;

struct net_mcast_opts {
    struct net_groups groups; /* at least one */
    uint8_t ttl;              /* IPv4 routers passed, plus one; 0: 4 */
    /* data is valid during the call; from answers to net_mcast_reply. */
    void (*datagram)(void *user, const struct net_addr *from, struct peal_bytes data);
    void *user;
};

/* An error only when not one of the groups can be used. When one cannot, or no interface carries it
 * for the time being, why says so; otherwise it is empty. */
PEAL_MUST int net_mcast_open(struct net_loop *loop, const struct net_mcast_opts *opts,
                             struct net_mcast **out, char why[static NET_REASON_MAX]);
/* Best effort to every group on every interface; PEAL_E_IO when not one took it, PEAL_E_USAGE above
 * NET_DATAGRAM_MAX. */
PEAL_MUST int net_mcast_send(struct net_mcast *m, struct peal_bytes data);
/* To one address, from the socket that net_mcast_send uses. */
PEAL_MUST int net_mcast_reply(struct net_mcast *m, const struct net_addr *to,
                              struct peal_bytes data);
void net_mcast_free(struct net_mcast *m); /* NULL is allowed */

#endif
