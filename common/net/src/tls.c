/* TLS: the three roles' contexts, whom they accept, and the BIO through which OpenSSL reads what a
 * socket brought and writes into the loop's buffer, so that no link has buffers of its own. */
#include "net_internal.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define X(name, text) text,
static const char *const alpn_text[] = {NET_ALPNS(X)};
#undef X

enum { ALPN_TEXT_MAX = 32 };

_Static_assert((int)NET_FINGERPRINT_BYTES == (int)CRY_FP_BYTES, "one size of fingerprint");

const char *net_alpn_text(enum net_alpn alpn)
{
    CHECK((size_t)alpn < PEAL_COUNT(alpn_text));
    return alpn_text[alpn];
}

/* ---- certificates ---- */

static struct peal_bytes cert_der(const X509 *cert, size_t cap, uint8_t out[])
{
    int n = i2d_X509(cert, NULL);
    if (n <= 0 || (size_t)n > cap)
        return (struct peal_bytes){0};
    uint8_t *p = out;
    n = i2d_X509(cert, &p);
    return peal_bytes_of(out, n > 0 ? (size_t)n : 0);
}

/* Nodes know their ring's authority; what the other side sends along does not count. */
static int verify_in_ring(struct net_link *link, struct peal_bytes leaf)
{
    const struct net_tls *tls = link->tls;
    int err = cry_cert_verify(leaf, peal_bytes_of(tls->ca, tls->ca_n), &link->info.peer_id);
    if (err == 0)
        memcpy(link->info.fingerprint, tls->fingerprint, sizeof link->info.fingerprint);
    return err;
}

/* Clients know at most the authority's fingerprint, and get the authority from the server. */
static int verify_pinned(struct net_link *link, struct peal_bytes leaf, struct peal_bytes ca)
{
    const struct net_tls *tls = link->tls;
    uint8_t fp[CRY_FP_BYTES];
    int err = cry_ca_fingerprint(ca, fp);
    if (err)
        return err;
    if (tls->pinned && !cry_equal(fp, tls->fingerprint, sizeof fp))
        return PEAL_E_FOREIGN;
    err = cry_cert_verify(leaf, ca, &link->info.peer_id);
    /* it sent this authority itself: not another ring, but a false claim */
    if (err)
        return PEAL_E_AUTH;
    memcpy(link->info.fingerprint, fp, sizeof fp);
    return 0;
}

/* In place of OpenSSL's chain building; 1 accepts. */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct net_link *link = SSL_get_app_data(ssl);
    uint8_t leaf[CRY_CERT_MAX], ca[CRY_CERT_MAX];
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
    struct peal_bytes leaf_der = cert_der(X509_STORE_CTX_get0_cert(store), sizeof leaf, leaf);
    int err = 0;
    if (link->tls->role != NET_ROLE_CLIENT)
        err = verify_in_ring(link, leaf_der);
    else if (sk_X509_num(chain) < 2)
        err = PEAL_E_AUTH;
    else
        err = verify_pinned(link, leaf_der, cert_der(sk_X509_value(chain, 1), sizeof ca, ca));
    link->verdict = err;
    link->info.has_peer_id = err == 0;
    /* these choose the alert that tells the other side: unknown_ca or bad_certificate (RFC
     * 8446, 6.2) */
    X509_STORE_CTX_set_error(store, err == 0 ? X509_V_OK
                                    : err == PEAL_E_FOREIGN
                                        ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                                        : X509_V_ERR_CERT_REJECTED);
    return err == 0;
}

/* ---- ALPN ---- */

static bool alpn_find(const uint8_t *p, size_t n, enum net_alpn *out)
{
    for (size_t i = 0; i < PEAL_COUNT(alpn_text); i++) {
        if (strlen(alpn_text[i]) == n && memcmp(p, alpn_text[i], n) == 0) {
            *out = (enum net_alpn)i;
            return true;
        }
    }
    return false;
}

/* Chosen before the server says whether it wants a certificate, so that only nodes are asked for
 * one. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned int in_n, void *arg)
{
    (void)arg;
    for (size_t at = 0; at < in_n && in[at] <= in_n - at - 1; at += 1u + in[at]) {
        enum net_alpn alpn;
        if (!alpn_find(in + at + 1, in[at], &alpn))
            continue;
        *out = in + at + 1;
        *out_n = in[at];
        SSL_set_verify(ssl,
                       alpn == NET_ALPN_NODE ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                             : SSL_VERIFY_NONE,
                       NULL);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int net_tls_alpn(const SSL *ssl, enum net_alpn *out)
{
    const unsigned char *p = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl, &p, &n);
    return p && alpn_find(p, n, out) ? 0 : PEAL_E_MALFORMED;
}

/* ---- contexts ---- */

static int ctx_settings(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* two certificates with their headers; OpenSSL's default would let a stranger make us hold 100
     * KiB */
    (void)SSL_CTX_set_max_cert_list(ctx, 4L * CRY_CERT_MAX);
    int ok = SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1;
    ok &= SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1;
    ok &= SSL_CTX_set_num_tickets(ctx, 0) == 1;
    ok &= SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1;
    ok &= SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
                                        "TLS_AES_256_GCM_SHA384") == 1;
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    return ok ? 0 : PEAL_E_CRYPTO;
}

static int ctx_identity(SSL_CTX *ctx, const struct cry_identity *self)
{
    int err = PEAL_E_CRYPTO;
    X509 *ca = NULL;
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, self->key.seed.b, SECRET_BYTES);
    if (!key || SSL_CTX_use_certificate_ASN1(ctx, (int)self->cert_n, self->cert) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        goto out;
    const uint8_t *p = self->ca;
    ca = d2i_X509(NULL, &p, (long)self->ca_n);
    if (ca && SSL_CTX_add1_chain_cert(ctx, ca) == 1)
        err = 0;
out:
    X509_free(ca);
    EVP_PKEY_free(key);
    return err;
}

static int tls_new(enum net_role role, const struct cry_identity *self, const uint8_t *pin,
                   struct net_tls **out)
{
    int err = PEAL_E_NO_MEMORY;
    *out = NULL;
    struct net_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return err;
    tls->role = role;
    tls->refs = 1;
    tls->ctx = SSL_CTX_new(role == NET_ROLE_SERVER ? TLS_server_method() : TLS_client_method());
    if (!tls->ctx)
        goto fail;
    err = ctx_settings(tls->ctx);
    if (err)
        goto fail;
    if (self) {
        CHECK(self->ca_n <= sizeof tls->ca && self->cert_n <= sizeof self->cert);
        memcpy(tls->ca, self->ca, self->ca_n);
        tls->ca_n = self->ca_n;
        memcpy(tls->fingerprint, self->fingerprint, sizeof tls->fingerprint);
        err = ctx_identity(tls->ctx, self);
        if (err)
            goto fail;
    }
    if (pin) {
        tls->pinned = true;
        memcpy(tls->fingerprint, pin, sizeof tls->fingerprint);
    }
    if (role == NET_ROLE_SERVER)
        SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, NULL);
    else
        SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    *out = tls;
    return 0;

fail:
    ERR_clear_error();
    net_tls_free(tls);
    return err;
}

int net_tls_server_new(const struct cry_identity *self, struct net_tls **out)
{
    return tls_new(NET_ROLE_SERVER, self, NULL, out);
}

int net_tls_node_new(const struct cry_identity *self, struct net_tls **out)
{
    return tls_new(NET_ROLE_NODE, self, NULL, out);
}

int net_tls_client_new(const uint8_t *pin, struct net_tls **out)
{
    return tls_new(NET_ROLE_CLIENT, NULL, pin, out);
}

struct net_tls *net_tls_share(struct net_tls *tls)
{
    tls->refs++;
    return tls;
}

void net_tls_free(struct net_tls *tls)
{
    if (!tls)
        return;
    CHECK(tls->refs > 0);
    if (--tls->refs > 0)
        return;
    SSL_CTX_free(tls->ctx);
    free(tls);
}

/* ---- BIO ---- */

static int bio_read(BIO *bio, char *out, int n)
{
    struct net_link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (link->rx_n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t take = n < 0 ? 0 : (size_t)n;
    if (take > link->rx_n)
        take = link->rx_n;
    memcpy(out, link->rx, take);
    link->rx += take;
    link->rx_n -= take;
    return (int)take;
}

/* Takes everything: how much may wait is net_link_send's to bound. */
static int bio_write(BIO *bio, const char *p, int n)
{
    struct net_link *link = BIO_get_data(bio);
    struct net_loop *loop = link->loop;
    BIO_clear_retry_flags(bio);
    if (n <= 0)
        return 0;
    if ((size_t)n > sizeof loop->cipher - loop->cipher_n)
        net_link_submit(link);
    CHECK((size_t)n <= sizeof loop->cipher - loop->cipher_n);
    memcpy(loop->cipher + loop->cipher_n, p, (size_t)n);
    loop->cipher_n += (size_t)n;
    return n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *net_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "link");
    if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

static int dial_alpn(SSL *ssl, enum net_alpn alpn)
{
    const char *text = net_alpn_text(alpn);
    uint8_t list[ALPN_TEXT_MAX];
    size_t n = strlen(text);
    CHECK(n + 1 <= sizeof list);
    list[0] = (uint8_t)n;
    memcpy(list + 1, text, n);
    return SSL_set_alpn_protos(ssl, list, (unsigned)n + 1) == 0 ? 0 : PEAL_E_CRYPTO;
}

int net_tls_attach(struct net_link *link, enum net_alpn alpn)
{
    SSL *ssl = SSL_new(link->tls->ctx);
    BIO *bio = BIO_new(link->loop->bio);
    if (!ssl || !bio) {
        BIO_free(bio);
        SSL_free(ssl);
        return PEAL_E_NO_MEMORY;
    }
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, link);
    link->ssl = ssl;
    if (link->tls->role == NET_ROLE_SERVER) {
        SSL_set_accept_state(ssl);
        return 0;
    }
    SSL_set_connect_state(ssl);
    return dial_alpn(ssl, alpn);
}

/* ---- failures ---- */

struct tls_reason {
    int reason; /* OpenSSL's */
    int err;
    const char *text;
};

/* What OpenSSL reports of interest, most of it alerts that the other side sent. */
static const struct tls_reason reasons[] = {
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, PEAL_E_FOREIGN, "the other side belongs to another ring"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, PEAL_E_AUTH, "the other side rejects our certificate"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, PEAL_E_AUTH, "the other side demands a certificate"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, PEAL_E_AUTH, "a node without a certificate"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, PEAL_E_REFUSED,
     "the other side does not speak this protocol"},
    {SSL_R_NO_APPLICATION_PROTOCOL, PEAL_E_REFUSED, "a protocol that is not spoken here"},
};

int net_tls_failure(const struct net_link *link, char why[static NET_REASON_MAX])
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);
    ERR_clear_error();
    if (link->verdict == PEAL_E_FOREIGN) {
        net_why(why, "the other side belongs to another ring");
        return PEAL_E_FOREIGN;
    }
    if (link->verdict) {
        net_why(why, "the other side's certificate is not a node's");
        return PEAL_E_AUTH;
    }
    for (size_t i = 0; i < PEAL_COUNT(reasons); i++) {
        if (reasons[i].reason == reason) {
            net_why(why, "%s", reasons[i].text);
            return reasons[i].err;
        }
    }
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    net_why(why, "TLS: %s", text ? text : "broken off");
    return PEAL_E_CRYPTO;
}
