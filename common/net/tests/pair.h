/* What the tests of net share: two rings, a listener, recording callbacks, and raw peers that do
 * not keep to the rules. */
#ifndef PAIR_H
#define PAIR_H

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <peal/crypto.h>
#include <peal/net.h>

/* One side's record: the user pointer of its links. */
struct side {
    struct net_link *link; /* of the last `up` */
    unsigned ups, downs, refusals;
    int err; /* of the last down or refusal */
    char reason[NET_REASON_MAX];
    struct net_link_info info;
    uint64_t frames, bytes;
    bool echo;        /* frames are sent back */
    uint64_t stop_at; /* at this frame: */
    void (*stop)(struct net_link *, const char *);
    bool stopped;
    uint64_t frames_after_stop;
    uint8_t digest[CRY_HASH_BYTES]; /* of all frames in order */
    struct cry_hash hash;
};

struct world {
    struct cry_identity a, b, foreign; /* a and b are of one ring */
    struct net_loop *loop;
    struct net_tls *server, *node, *foreign_node, *client;
    struct net_listener *listener;
    struct net_listen_opts listen; /* to be changed before world_listen */
    struct side in, out;
};

extern const struct net_events events;

/* Every suite's beginning: a test that waits for what never comes is killed, and so named. */
void watch(void);

void side_init(struct side *s);
/* The loop (config may be NULL), identities and contexts. */
void world_init(struct world *w, const struct net_loop_config *config);
/* Listens at 127.0.0.1. */
void world_listen(struct world *w);
struct net_link *world_dial(struct world *w, struct net_tls *tls, enum net_alpn alpn);
/* A node link that is up at both ends: w->in.link and w->out.link. */
void world_connect(struct world *w);
void world_free(struct world *w);

/* Whether ::1 exists here; some containers lack it. */
bool has_ipv6(void);

/* A plain TCP connection to the listener, blocking. */
int raw_connect(const struct world *w);

/* A peer of its own making, on a thread: blocking TLS with whatever it likes. */
struct raw_tls {
    const struct world *w;
    const struct cry_identity *identity; /* NULL: shows none */
    bool strange;                        /* shows a large RSA certificate of its own */
    bool rekey;                          /* asks for new keys before each piece */
    const char *alpn;                    /* NULL: none */
    int max_version;
    const uint8_t *send; /* after the handshake, in pieces of random size up to piece */
    size_t send_n, piece;
    bool abrupt; /* then goes away without a word; otherwise reads to the end */
    bool wait;   /* reads nothing before raw_tls_release */
    int reason;  /* OpenSSL's reason of the error that ended it, 0 when the other side closed it */
    bool connected; /* its handshake succeeded */
    struct net_wake *done;
    bool is_done;
    int gate[2];
    pthread_t thread;
};

void raw_tls_start(struct raw_tls *r);
void raw_tls_release(struct raw_tls *r);
void raw_tls_join(struct raw_tls *r);

#define UNTIL(loop, cond)                                                                          \
    while (!(cond))                                                                                \
    cr_assert(net_loop_once((loop), true) || (cond),                                               \
              "the loop has nothing left to do before " #cond)

#endif
