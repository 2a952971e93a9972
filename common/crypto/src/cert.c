/* cert: the ring's certificate authority and its nodes' certificates. Not for TLS itself
 * (peal/net.h).
 *
 * Every byte is determined by the keys: string types, dates and serials are set outright and
 * Ed25519 signs without randomness, so nodes that never spoke to each other hold the same
 * authority. */
#include "crypto_int.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <string.h>

#define CA_NAME    "Peal ring"
#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER  "99991231235959Z" /* RFC 5280 4.1.2.5: no well-defined end */

enum { SERIAL_BYTES = 16 };

struct extension {
    int nid;
    const char *value;
};

static const struct extension ca_extensions[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign"},
    {NID_subject_key_identifier, "hash"},
};

static const struct extension node_extensions[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},   {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth,clientAuth"},   {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

static bool set_name(X509_NAME *name, const char *cn)
{
    return X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                                      (const unsigned char *)cn, -1, -1, 0) == 1;
}

static bool set_serial(X509 *x, const uint8_t *p, size_t n)
{
    BIGNUM *bn = BN_bin2bn(p, (int)n, NULL);
    bool ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL;
    BN_free(bn);
    return ok;
}

static bool add_extensions(X509 *x, X509 *issuer, const struct extension *list, size_t n)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, list[i].nid, list[i].value);
        bool ok = e != NULL && X509_add_ext(x, e, -1) == 1;
        X509_EXTENSION_free(e);
        if (!ok)
            return false;
    }
    return true;
}

/* All of a certificate but its extensions and its signature; NULL on failure. */
static X509 *cert_new(const uint8_t pub[static CRY_PUB_BYTES], const char *cn,
                      const uint8_t *serial, size_t serial_n)
{
    X509 *x = X509_new();
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, CRY_PUB_BYTES);
    bool ok = x != NULL && key != NULL && X509_set_version(x, X509_VERSION_3) == 1 &&
              set_serial(x, serial, serial_n) && set_name(X509_get_subject_name(x), cn) &&
              set_name(X509_get_issuer_name(x), CA_NAME) &&
              ASN1_TIME_set_string_X509(X509_getm_notBefore(x), NOT_BEFORE) == 1 &&
              ASN1_TIME_set_string_X509(X509_getm_notAfter(x), NOT_AFTER) == 1 &&
              X509_set_pubkey(x, key) == 1;
    EVP_PKEY_free(key);
    if (!ok) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static int cert_der(X509 *x, uint8_t out[static CRY_CERT_MAX], size_t *n)
{
    int len = i2d_X509(x, NULL);
    if (len <= 0)
        return PEAL_E_CRYPTO;
    CHECK(len <= CRY_CERT_MAX);
    unsigned char *p = out;
    *n = (size_t)i2d_X509(x, &p);
    return 0;
}

/* The authority's certificate, signed; NULL on failure. */
static X509 *ca_new(const struct cry_sign_key *ca, EVP_PKEY *signer)
{
    const uint8_t serial[] = {1};
    X509 *x = cert_new(ca->pub, CA_NAME, serial, sizeof serial);
    if (x != NULL && add_extensions(x, x, ca_extensions, PEAL_COUNT(ca_extensions)) &&
        X509_sign(x, signer, NULL) > 0)
        return x;
    X509_free(x);
    return NULL;
}

static X509 *node_new(const struct cry_identity *who, X509 *ca, EVP_PKEY *signer)
{
    char cn[ID_HEX];
    uint8_t serial[SERIAL_BYTES];
    id_hex(&who->id, cn);
    memcpy(serial, who->id.b, SERIAL_BYTES);
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and always of full length */
    X509 *x = cert_new(who->key.pub, cn, serial, sizeof serial);
    if (x != NULL && add_extensions(x, ca, node_extensions, PEAL_COUNT(node_extensions)) &&
        X509_sign(x, signer, NULL) > 0)
        return x;
    X509_free(x);
    return NULL;
}

static EVP_PKEY *signer_new(const struct cry_sign_key *key)
{
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed.b, SECRET_BYTES);
}

int cry_ca_make(const struct peal_secret *ring, uint8_t out[static CRY_CERT_MAX], size_t *n)
{
    struct cry_sign_key ca;
    cry_ring_ca_key(ring, &ca);
    EVP_PKEY *signer = signer_new(&ca);
    X509 *x = signer != NULL ? ca_new(&ca, signer) : NULL;
    int rc = x != NULL ? cert_der(x, out, n) : PEAL_E_CRYPTO;
    X509_free(x);
    EVP_PKEY_free(signer);
    sodium_memzero(&ca, sizeof ca);
    return rc == 0 ? 0 : cry_ossl_fail(rc);
}

int cry_identity_make(const struct peal_secret *ring, const struct peal_secret *node_seed,
                      struct cry_identity *out)
{
    struct cry_sign_key ca;
    X509 *ca_cert = NULL;
    X509 *cert = NULL;
    int rc = PEAL_E_CRYPTO;
    memset(out, 0, sizeof *out);
    cry_sign_key_from_seed(node_seed, &out->key);
    out->id = cry_node_id(out->key.pub);
    cry_ring_ca_key(ring, &ca);
    EVP_PKEY *signer = signer_new(&ca);
    if (signer == NULL)
        goto out;
    ca_cert = ca_new(&ca, signer);
    cert = ca_cert != NULL ? node_new(out, ca_cert, signer) : NULL;
    if (cert == NULL)
        goto out;
    rc = cert_der(ca_cert, out->ca, &out->ca_n);
    if (rc == 0)
        rc = cert_der(cert, out->cert, &out->cert_n);
    if (rc == 0)
        rc = cry_ca_fingerprint(peal_bytes_of(out->ca, out->ca_n), out->fingerprint);
out:
    X509_free(cert);
    X509_free(ca_cert);
    EVP_PKEY_free(signer);
    sodium_memzero(&ca, sizeof ca);
    if (rc != 0) {
        sodium_memzero(out, sizeof *out);
        return cry_ossl_fail(rc);
    }
    return 0;
}

/* One certificate with an Ed25519 key and nothing after it, or NULL. */
static X509 *cert_parse(struct peal_bytes der)
{
    if (der.n == 0 || der.n > CRY_CERT_MAX)
        return NULL;
    const unsigned char *p = der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.n);
    if (x == NULL)
        return NULL;
    const EVP_PKEY *key = X509_get0_pubkey(x);
    if (p == der.p + der.n && key != NULL && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519)
        return x;
    X509_free(x);
    return NULL;
}

/* The chain as RFC 5280 has it, without dates. */
static bool chain_valid(X509 *leaf, X509 *ca)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok = store != NULL && ctx != NULL && X509_STORE_add_cert(store, ca) == 1 &&
              X509_STORE_set_flags(store, X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_X509_STRICT |
                                              X509_V_FLAG_CHECK_SS_SIGNATURE) == 1 &&
              X509_STORE_CTX_init(ctx, store, leaf, NULL) == 1 && X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return ok;
}

/* A node's certificate: for both ends of a link, no authority, and named after its key. */
static bool is_node(X509 *leaf, struct peal_id *id)
{
    const uint32_t both = XKU_SSL_SERVER | XKU_SSL_CLIENT;
    uint8_t pub[CRY_PUB_BYTES];
    size_t pub_n = sizeof pub;
    char hex[ID_HEX];
    if (X509_check_ca(leaf) != 0 || X509_get_extended_key_usage(leaf) != both)
        return false;
    if (EVP_PKEY_get_raw_public_key(X509_get0_pubkey(leaf), pub, &pub_n) != 1 ||
        pub_n != sizeof pub)
        return false;
    const X509_NAME *name = X509_get_subject_name(leaf);
    if (X509_NAME_entry_count(name) != 1)
        return false;
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, 0);
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(entry);
    *id = cry_node_id(pub);
    id_hex(id, hex);
    return OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName &&
           ASN1_STRING_length(cn) == ID_HEX - 1 &&
           memcmp(ASN1_STRING_get0_data(cn), hex, ID_HEX - 1) == 0;
}

int cry_cert_verify(struct peal_bytes leaf, struct peal_bytes ca, struct peal_id *id)
{
    struct peal_id found;
    X509 *ca_cert = cert_parse(ca);
    X509 *cert = cert_parse(leaf);
    int rc = 0;
    if (ca_cert == NULL || cert == NULL)
        rc = PEAL_E_MALFORMED;
    else if (X509_verify(cert, X509_get0_pubkey(ca_cert)) != 1)
        rc = PEAL_E_FOREIGN;
    else if (!chain_valid(cert, ca_cert) || !is_node(cert, &found))
        rc = PEAL_E_AUTH;
    X509_free(cert);
    X509_free(ca_cert);
    if (rc != 0)
        return cry_ossl_fail(rc);
    *id = found;
    return 0;
}

int cry_ca_fingerprint(struct peal_bytes ca, uint8_t out[static CRY_FP_BYTES])
{
    _Static_assert((int)CRY_FP_BYTES == (int)SHA256_DIGEST_LENGTH, "SHA-256");
    unsigned char *spki = NULL;
    X509 *x = cert_parse(ca);
    if (x == NULL)
        return cry_ossl_fail(PEAL_E_MALFORMED);
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    bool ok = n > 0 && EVP_Digest(spki, (size_t)n, out, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(spki);
    X509_free(x);
    return ok ? 0 : cry_ossl_fail(PEAL_E_CRYPTO);
}

void cry_fp_text(const uint8_t fp[static CRY_FP_BYTES], char out[static CRY_FP_TEXT])
{
    (void)sodium_bin2base64(out, CRY_FP_TEXT, fp, CRY_FP_BYTES,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int cry_fp_parse(const char *text, uint8_t out[static CRY_FP_BYTES])
{
    uint8_t fp[CRY_FP_BYTES];
    size_t n = 0;
    size_t len = strnlen(text, CRY_FP_TEXT);
    /* libsodium refuses other alphabets and spare bits that are not zero: one form only */
    if (len != CRY_FP_TEXT - 1 ||
        sodium_base642bin(fp, sizeof fp, text, len, NULL, &n, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        n != sizeof fp)
        return PEAL_E_MALFORMED;
    memcpy(out, fp, sizeof fp);
    return 0;
}
