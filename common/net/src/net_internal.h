/* What the files of net share. Not for anybody else. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <openssl/ssl.h>
#include <peal/crypto.h>
#include <peal/net.h>
#include <sys/queue.h>
#include <uv.h>

enum {
    NET_HEADER = 4,          /* bytes of a frame's length */
    NET_CHUNK = 16 * 1024,   /* plaintext of one full TLS record (RFC 8446, 5.1) */
    NET_POOL_MAX = 64,       /* idle chunks that a loop keeps */
    NET_READ = 64 * 1024,    /* bytes that are read from a socket at once */
    NET_CIPHER = 128 * 1024, /* bytes that are handed to the system at once */
    NET_DIRTY_MAX = 256,     /* links that wait for a turn's end before some are flushed earlier */
    NET_PARTIAL_MIN = 2 * 1024, /* first size of the buffer for an incomplete frame */
    NET_BACKLOG = 512,
};

struct net_chunk {
    STAILQ_ENTRY(net_chunk) next;
    uint32_t n;
    uint8_t b[NET_CHUNK];
};
STAILQ_HEAD(net_chunks, net_chunk);

struct net_timer {
    LIST_ENTRY(net_timer) entry;
    struct net_loop *loop;
    uv_timer_t uv;
    uint64_t due_us;
    void (*fire)(void *user);
    void *user;
};

struct net_wake {
    LIST_ENTRY(net_wake) entry;
    struct net_loop *loop;
    uv_async_t uv;
    void (*wake)(void *user);
    void *user;
};

struct net_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* what timers and the caller queued leaves before the loop waits */
    uv_check_t check;     /* what frames brought about leaves after they were all read */
    struct net_loop_config config;
    bool ending; /* in net_loop_free: nothing new is started */
    BIO_METHOD *bio;

    uint32_t links_n;
    TAILQ_HEAD(, net_link) links;
    uint32_t dirty_n;
    TAILQ_HEAD(, net_link) dirty;
    LIST_HEAD(, net_timer) timers;
    LIST_HEAD(, net_wake) wakes;
    LIST_HEAD(, net_listener) listeners;
    LIST_HEAD(, net_mcast) mcasts;
    LIST_HEAD(, net_watch) watches;

    struct net_chunks pool;
    uint32_t pool_n;
    size_t cipher_n;            /* bytes in cipher: of the one link that is in OpenSSL's hands */
    uint8_t cipher[NET_CIPHER]; /* on the way out */
    uint8_t read[NET_READ];     /* ciphertext as it came */
    uint8_t plain[NET_READ];    /* decrypted, being cut into frames */
};

enum net_role { NET_ROLE_SERVER, NET_ROLE_NODE, NET_ROLE_CLIENT };

struct net_tls {
    SSL_CTX *ctx;
    enum net_role role;
    uint32_t refs;
    bool pinned;
    uint8_t fingerprint[NET_FINGERPRINT_BYTES]; /* own ring's, or the pin */
    size_t ca_n;
    uint8_t ca[CRY_CERT_MAX]; /* own ring's authority */
};

struct net_listener {
    LIST_ENTRY(net_listener) entry;
    struct net_loop *loop;
    struct net_listen_opts opts;
    struct net_addr addr;
    uv_tcp_t tcp;
    uv_tcp_t scrap; /* takes callers for whom there is no link, one per turn, only to be closed */
    bool scrap_busy;
    bool owed; /* a caller waits for scrap */
    bool freed;
    uint8_t handles;
    uint32_t half_open_n;
    TAILQ_HEAD(, net_link) half_open; /* oldest first */
};

enum link_state {
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_HANDSHAKE,
    LINK_UP,
    LINK_DRAINING,
    LINK_CLOSING,
};

struct net_dial; /* dial.c: what only a link that is not connected yet needs */

/* An incomplete frame, its length in front; p is NULL when nothing is pending. */
struct net_partial {
    uint8_t *p;
    size_t have, need, cap;
};

struct net_link {
    TAILQ_ENTRY(net_link) entry;     /* of the loop */
    TAILQ_ENTRY(net_link) dirty;     /* of the loop, when is_dirty */
    TAILQ_ENTRY(net_link) half_open; /* of the listener, when listener is set */
    struct net_loop *loop;
    struct net_listener *listener; /* until it is up */
    struct net_dial *dial;         /* until it is connected */
    struct net_tls *tls;
    SSL *ssl;
    const struct net_events *events;
    void *user;
    struct net_link_info info;
    uv_tcp_t tcp;
    uv_timer_t timer; /* handshake's, idle or closing bound, by state */
    union {
        uv_connect_t connect;
        uv_shutdown_t shutdown;
    } req; /* the one is over before the other begins */

    enum link_state state;
    uint8_t handles; /* open libuv handles of this link */
    bool tcp_open;   /* tcp is one of them, and not being closed */
    bool has_been_up;
    bool
        tx_broken; /* writing failed; what the other side still said is read before the link ends */
    bool is_dirty;
    bool said_bye; /* close_notify and FIN are on their way */
    bool reported; /* down or refused was called, or must not be */
    int err;
    char *reason; /* heap, or NULL when there was no memory for it */
    int verdict;  /* of the certificate check, 0 when it passed or was not made */

    const uint8_t *rx; /* ciphertext that OpenSSL may take */
    size_t rx_n;
    struct net_partial in;
    struct net_chunks out;
    struct net_chunk *out_last; /* of out, when that is not empty */
    size_t out_n;               /* plaintext bytes in out */
    size_t tx_n;                /* ciphertext bytes that libuv holds */
    uint64_t idle_us, last_in_us;
    struct net_link_stats stats;
};

/* addr.c */
void net_addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *out);
void net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out);
/* Formats into a reason, cutting what is too long. */
PEAL_PRINTF(2, 3) void net_why(char why[static NET_REASON_MAX], const char *fmt, ...);

/* tls.c */
struct net_tls *net_tls_share(struct net_tls *tls);
BIO_METHOD *net_bio_method(void);
/* Makes link->ssl; alpn counts when the link dials. */
PEAL_MUST int net_tls_attach(struct net_link *link, enum net_alpn alpn);
/* What was agreed on; PEAL_E_MALFORMED when nothing was. */
PEAL_MUST int net_tls_alpn(const SSL *ssl, enum net_alpn *out);
/* The error of the last OpenSSL call on the link as err and reason. */
int net_tls_failure(const struct net_link *link, char why[static NET_REASON_MAX]);

/* link.c */
/* A link that begins in the state RESOLVING (dialled) or HANDSHAKE (accepted), without its
 * connection. */
PEAL_MUST int net_link_new(struct net_loop *loop, enum link_state state, struct net_tls *tls,
                           const struct net_events *events, void *user, struct net_link **out);
void net_link_state_set(struct net_link *link, enum link_state to);
/* Ends the link now; its report follows from the loop. Does nothing on one that is closing already.
 */
PEAL_PRINTF(3, 4) void net_link_fail(struct net_link *link, int err, const char *fmt, ...);
/* Connected: starts the handshake. */
void net_link_start(struct net_link *link);
void net_link_deadline(struct net_link *link, uint64_t us);
/* Hands what OpenSSL wrote for this link to the system. */
void net_link_submit(struct net_link *link);
void net_link_flush(struct net_link *link);
void net_link_dirty(struct net_link *link);
void net_link_flush_all(struct net_loop *loop);
void net_link_half_open_end(struct net_link *link);
/* Makes link->tcp, which is not open. */
void net_link_tcp_init(struct net_link *link);
/* For uv_close of tcp and timer. */
void net_link_on_closed(uv_handle_t *h);

/* frames.c: both directions between frames and byte streams */
/* Where the next decrypted bytes go, and how many may. NULL without memory. */
uint8_t *net_frames_space(struct net_link *link, size_t *n);
/* Takes n bytes that were put there and calls `frame`. False when the link is no longer up. */
bool net_frames_take(struct net_link *link, size_t n);
void net_frames_drop_in(struct net_link *link);
PEAL_MUST int net_frames_queue(struct net_link *link, struct peal_bytes payload);
void net_frames_chunk_done(struct net_link *link);
void net_frames_drop_out(struct net_link *link);

/* dial.c */
/* Ends and forgets link->dial. */
void net_dial_cancel(struct net_link *link);

#endif
