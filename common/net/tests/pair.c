#include "pair.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_up(struct net_link *link)
{
    struct side *s = net_link_user(link);
    s->link = link;
    s->ups++;
    s->info = *net_link_info(link);
}

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    struct side *s = net_link_user(link);
    if (s->stopped)
        s->frames_after_stop++;
    s->frames++;
    s->bytes += payload.n;
    cry_hash_part(&s->hash, payload);
    if (s->echo) {
        int err = net_link_send(link, payload);
        cr_assert(err == 0, "echoing gives %s", err_name(err));
    }
    if (s->stop && s->frames == s->stop_at) {
        s->stopped = true;
        s->stop(link, "enough");
    }
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    struct side *s = net_link_user(link);
    s->downs++;
    s->err = err;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    if (s->link == link)
        s->link = NULL;
}

static void on_refused(void *user, const struct net_addr *peer, int err, const char *reason)
{
    struct side *s = user;
    s->refusals++;
    s->err = err;
    s->info.peer = *peer;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
}

const struct net_events events = {
    .up = on_up, .frame = on_frame, .down = on_down, .refused = on_refused};

void watch(void)
{
    enum { PATIENCE_S = 100 };
    (void)alarm(PATIENCE_S);
}

void side_init(struct side *s)
{
    memset(s, 0, sizeof *s);
    cry_hash_init(&s->hash, "peal.test.net");
}

static void identity(const struct peal_secret *ring, struct cry_identity *out)
{
    struct peal_secret seed;
    cry_secret_new(&seed);
    int err = cry_identity_make(ring, &seed, out);
    cr_assert(err == 0, "making an identity gives %s", err_name(err));
}

void world_init(struct world *w, const struct net_loop_config *config)
{
    memset(w, 0, sizeof *w);
    cr_assert(cry_init() == 0, "cry_init");
    struct peal_secret ring, other;
    cry_secret_new(&ring);
    cry_secret_new(&other);
    identity(&ring, &w->a);
    identity(&ring, &w->b);
    identity(&other, &w->foreign);
    cr_assert(net_loop_new(config, &w->loop) == 0, "net_loop_new");
    cr_assert(net_tls_server_new(&w->a, &w->server) == 0, "server context");
    cr_assert(net_tls_node_new(&w->b, &w->node) == 0, "node context");
    cr_assert(net_tls_node_new(&w->foreign, &w->foreign_node) == 0, "foreign node context");
    cr_assert(net_tls_client_new(NULL, &w->client) == 0, "client context");
    side_init(&w->in);
    side_init(&w->out);
    w->listen = (struct net_listen_opts){.tls = w->server, .events = &events, .user = &w->in};
    cr_assert(net_addr_parse("127.0.0.1:0", &w->listen.addr) == 0, "address");
}

void world_listen(struct world *w)
{
    char why[NET_REASON_MAX] = "";
    int err = net_listen(w->loop, &w->listen, &w->listener, why);
    cr_assert(err == 0, "net_listen gives %s: %s", err_name(err), why);
}

struct net_link *world_dial(struct world *w, struct net_tls *tls, enum net_alpn alpn)
{
    struct net_dial_opts opts = {.place = net_place_of(net_listener_addr(w->listener)),
                                 .tls = tls,
                                 .alpn = alpn,
                                 .events = &events,
                                 .user = &w->out};
    struct net_link *link;
    int err = net_dial(w->loop, &opts, &link);
    cr_assert(err == 0, "net_dial gives %s", err_name(err));
    return link;
}

void world_connect(struct world *w)
{
    world_listen(w);
    (void)world_dial(w, w->node, NET_ALPN_NODE);
    UNTIL(w->loop, w->in.ups && w->out.ups);
}

void world_free(struct world *w)
{
    net_tls_free(w->server);
    net_tls_free(w->node);
    net_tls_free(w->foreign_node);
    net_tls_free(w->client);
    net_loop_free(w->loop);
}

bool has_ipv6(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

int raw_connect(const struct world *w)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(net_listener_addr(w->listener)->port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "connecting");
    return fd;
}

/* Self-signed, RSA, larger than any certificate of a ring. */
static void raw_strange(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    for (unsigned i = 0; i < 20; i++)
        X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_ASC,
                                   (const uint8_t *)"a unit of some other organisation", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX_use_certificate(ctx, cert);
    SSL_CTX_use_PrivateKey(ctx, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static SSL_CTX *raw_ctx(const struct raw_tls *r)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (r->max_version)
        SSL_CTX_set_max_proto_version(ctx, r->max_version);
    if (r->identity) {
        EVP_PKEY *key =
            EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, r->identity->key.seed.b, 32);
        SSL_CTX_use_certificate_ASN1(ctx, (int)r->identity->cert_n, r->identity->cert);
        SSL_CTX_use_PrivateKey(ctx, key);
        EVP_PKEY_free(key);
    }
    if (r->strange)
        raw_strange(ctx);
    if (r->alpn) {
        uint8_t list[64];
        list[0] = (uint8_t)strlen(r->alpn);
        memcpy(list + 1, r->alpn, list[0]);
        SSL_CTX_set_alpn_protos(ctx, list, 1u + list[0]);
    }
    return ctx;
}

static bool raw_send(struct raw_tls *r, SSL *ssl)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (size_t at = 0; at < r->send_n;) {
        size_t n = 1 + (size_t)rng_below(&rng, r->piece ? r->piece : r->send_n);
        if (n > r->send_n - at)
            n = r->send_n - at;
        if (r->rekey && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
            return false;
        if (SSL_write(ssl, r->send + at, (int)n) <= 0)
            return false;
        at += n;
    }
    return true;
}

static void *raw_run(void *arg)
{
    struct raw_tls *r = arg;
    char buf[4096];
    int fd = raw_connect(r->w);
    SSL_CTX *ctx = raw_ctx(r);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    ERR_clear_error();
    r->connected = SSL_connect(ssl) == 1;
    bool sent = r->connected && raw_send(r, ssl);
    if (r->wait)
        (void)!read(r->gate[0], buf, 1);
    while (sent && !r->abrupt && SSL_read(ssl, buf, sizeof buf) > 0)
        continue;
    if (r->abrupt) {
        /* what was sent must get there: closing with answers unread would take it back */
        shutdown(fd, SHUT_WR);
        while (recv(fd, buf, sizeof buf, 0) > 0)
            continue;
    }
    r->reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    net_wake_fire(r->done);
    return NULL;
}

static void raw_done(void *user)
{
    struct raw_tls *r = user;
    r->is_done = true;
}

void raw_tls_start(struct raw_tls *r)
{
    cr_assert(pipe(r->gate) == 0, "pipe");
    cr_assert(net_wake_new(r->w->loop, raw_done, r, &r->done) == 0, "net_wake_new");
    cr_assert(pthread_create(&r->thread, NULL, raw_run, r) == 0, "pthread_create");
}

void raw_tls_release(struct raw_tls *r)
{
    cr_assert(write(r->gate[1], "g", 1) == 1, "write");
}

void raw_tls_join(struct raw_tls *r)
{
    UNTIL(r->w->loop, r->is_done);
    pthread_join(r->thread, NULL);
    net_wake_free(r->done);
    close(r->gate[0]);
    close(r->gate[1]);
}
