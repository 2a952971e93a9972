/* keys: an account's keys, their public bundle, and their wrapped form. */
#include "crypto_int.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, LATER_VERSION = 2, RSA_BITS = 8 * CRY_RSA_BYTES, PRIVATE_MAX = 2560 };

static const char wrap_domain[] = "peal.keys.1";

_Static_assert(1 + 4 + PRIVATE_MAX + SECRET_BYTES + CRY_BOX_OVERHEAD <= CRY_WRAPPED_MAX,
               "the largest private part fits its box");

/* ---- RSA-OAEP ---- */

static bool set_oaep(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
}

int cry_rsa_wrap(const struct cry_public *p, const struct peal_secret *content,
                 uint8_t out[static CRY_RSA_BYTES])
{
    size_t n = CRY_RSA_BYTES;
    if (EVP_PKEY_encrypt(p->enc, out, &n, content->b, sizeof content->b) != 1 || n != CRY_RSA_BYTES)
        return cry_ossl_fail(PEAL_E_CRYPTO);
    return 0;
}

int cry_rsa_unwrap(const struct cry_keys *k, const uint8_t in[static CRY_RSA_BYTES],
                   struct peal_secret *content)
{
    uint8_t plain[CRY_RSA_BYTES]; /* OpenSSL wants room for the modulus, whatever comes out */
    size_t n = sizeof plain;
    int rc = 0;
    if (EVP_PKEY_decrypt(k->dec, plain, &n, in, CRY_RSA_BYTES) != 1 || n != sizeof content->b)
        rc = cry_ossl_fail(PEAL_E_CRYPTO);
    else
        memcpy(content->b, plain, sizeof content->b);
    sodium_memzero(plain, sizeof plain);
    return rc;
}

/* Plain RSA of 3072 bits, odd modulus, e = 65537. */
static bool rsa_in_form(const EVP_PKEY *rsa)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    bool ok = EVP_PKEY_is_a(rsa, "RSA") == 1 && EVP_PKEY_get_bits(rsa) == RSA_BITS &&
              EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
              EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(n) &&
              BN_is_word(e, RSA_F4);
    BN_free(n);
    BN_free(e);
    return ok;
}

/* ---- public half ---- */

/* The RSA key of a SubjectPublicKeyInfo in its one DER form, or NULL. */
static EVP_PKEY *spki_parse(struct peal_bytes spki)
{
    const unsigned char *p = spki.p;
    unsigned char *again = NULL;
    EVP_PKEY *rsa = d2i_PUBKEY(NULL, &p, (long)spki.n);
    if (rsa == NULL)
        return NULL;
    int n = rsa_in_form(rsa) ? i2d_PUBKEY(rsa, &again) : -1;
    bool ok = n > 0 && (size_t)n == spki.n && memcmp(again, spki.p, spki.n) == 0;
    OPENSSL_free(again);
    if (ok)
        return rsa;
    EVP_PKEY_free(rsa);
    return NULL;
}

void cry_public_free(struct cry_public *p)
{
    if (p == NULL)
        return;
    EVP_PKEY_CTX_free(p->enc);
    EVP_PKEY_free(p->rsa);
    free(p);
}

struct peal_bytes cry_public_bundle(const struct cry_public *p)
{
    return peal_bytes_of(p->bundle, p->bundle_n);
}

const uint8_t *cry_public_fingerprint(const struct cry_public *p)
{
    return p->fp;
}

/* The fields of a bundle, as views into it. */
struct bundle {
    struct peal_bytes spki, sign_pub, body, sig;
    uint32_t number; /* 0: the next two are empty */
    struct peal_bytes before, before_sig;
};

static int bundle_parse(struct peal_bytes b, struct bundle *out)
{
    struct rd r;
    rd_init(&r, b.p, b.n);
    uint8_t version = rd_u8(&r);
    if (r.err == 0 && version != VERSION && version != LATER_VERSION)
        return PEAL_E_VERSION;
    *out = (struct bundle){.number = 0};
    out->spki = rd_var(&r, CRY_SPKI_MAX);
    out->sign_pub = rd_bytes(&r, CRY_PUB_BYTES);
    if (version == LATER_VERSION) {
        out->number = rd_u32(&r);
        out->before = rd_bytes(&r, CRY_FP_BYTES);
        out->before_sig = rd_bytes(&r, CRY_SIG_BYTES);
    }
    out->sig = rd_bytes(&r, CRY_SIG_BYTES);
    int rc = rd_end(&r);
    if (rc != 0)
        return rc;
    if (version == LATER_VERSION && out->number == 0)
        return PEAL_E_MALFORMED;
    out->body = peal_bytes_of(b.p, b.n - CRY_SIG_BYTES);
    return 0;
}

int cry_public_parse(struct peal_bytes bundle, struct cry_public **out)
{
    struct bundle b;
    int rc = bundle_parse(bundle, &b);
    if (rc != 0)
        return rc;
    CHECK(bundle.n <= CRY_BUNDLE_MAX);
    if (cry_verify(b.sign_pub.p, DOMAIN_BUNDLE, b.body, b.sig.p) != 0)
        return PEAL_E_AUTH;
    struct cry_public *p = calloc(1, sizeof *p);
    if (p == NULL)
        return PEAL_E_NO_MEMORY;
    p->rsa = spki_parse(b.spki);
    if (p->rsa == NULL) {
        rc = PEAL_E_MALFORMED;
        goto fail;
    }
    p->enc = EVP_PKEY_CTX_new_from_pkey(NULL, p->rsa, NULL);
    if (p->enc == NULL || EVP_PKEY_encrypt_init(p->enc) != 1 || !set_oaep(p->enc)) {
        rc = PEAL_E_CRYPTO;
        goto fail;
    }
    memcpy(p->sign_pub, b.sign_pub.p, CRY_PUB_BYTES);
    memcpy(p->bundle, bundle.p, bundle.n);
    p->bundle_n = bundle.n;
    p->number = b.number;
    if (b.number != 0) {
        memcpy(p->before, b.before.p, CRY_FP_BYTES);
        memcpy(p->before_sig, b.before_sig.p, CRY_SIG_BYTES);
    }
    cry_digest(DOMAIN_BUNDLE, bundle, p->fp);
    *out = p;
    return 0;
fail:
    cry_public_free(p);
    return cry_ossl_fail(rc);
}

uint32_t cry_public_number(const struct cry_public *p)
{
    return p->number;
}

int cry_public_succeeds(const struct cry_public *next, const struct cry_public *before)
{
    if (next->number == 0 || next->number - 1 != before->number ||
        !cry_equal(next->before, before->fp, CRY_FP_BYTES))
        return PEAL_E_STALE;
    CHECK(next->bundle_n > 2 * (size_t)CRY_SIG_BYTES);
    struct peal_bytes said = peal_bytes_of(next->bundle, next->bundle_n - 2 * CRY_SIG_BYTES);
    return cry_verify(before->sign_pub, DOMAIN_SUCCEED, said, next->before_sig);
}

int cry_public_chain(const struct cry_public *pinned, const struct peal_bytes bundles[], size_t n,
                     struct cry_public **last)
{
    struct cry_public *at = NULL;
    int rc = n == 0 ? PEAL_E_USAGE : n > CRY_CHAIN_MAX ? PEAL_E_TOO_LONG : 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct cry_public *next = NULL;
        rc = cry_public_parse(bundles[i], &next);
        if (rc == 0)
            rc = cry_public_succeeds(next, at != NULL ? at : pinned);
        cry_public_free(at);
        at = next;
    }
    if (rc != 0) {
        cry_public_free(at);
        return rc;
    }
    *last = at;
    return 0;
}

int cry_public_verify(const struct cry_public *p, const char *domain, struct peal_bytes message,
                      const uint8_t sig[static CRY_SIG_BYTES])
{
    return cry_verify(p->sign_pub, domain, message, sig);
}

/* ---- private half ---- */

void cry_keys_free(struct cry_keys *k)
{
    if (k == NULL)
        return;
    cry_public_free(k->pub);
    EVP_PKEY_CTX_free(k->dec);
    EVP_PKEY_free(k->rsa);
    sodium_memzero(k, sizeof *k);
    free(k);
}

const struct cry_public *cry_keys_public(const struct cry_keys *k)
{
    return k->pub;
}

void cry_keys_sign(const struct cry_keys *k, const char *domain, struct peal_bytes message,
                   uint8_t sig[static CRY_SIG_BYTES])
{
    cry_sign(&k->sign, domain, message, sig);
}

/* Makes the bundle and takes it through the parser, so that whoever holds keys holds what others
 * will accept. */
static int make_public(struct cry_keys *k)
{
    uint8_t bundle[CRY_BUNDLE_MAX];
    uint8_t sig[CRY_SIG_BYTES];
    unsigned char *spki = NULL;
    struct wr w;
    int n = i2d_PUBKEY(k->rsa, &spki);
    if (n <= 0 || n > CRY_SPKI_MAX) {
        OPENSSL_free(spki);
        return PEAL_E_CRYPTO;
    }
    wr_init(&w, bundle, sizeof bundle);
    wr_u8(&w, VERSION);
    wr_var(&w, peal_bytes_of(spki, (size_t)n));
    wr_bytes(&w, k->sign.pub, CRY_PUB_BYTES);
    OPENSSL_free(spki);
    cry_sign(&k->sign, DOMAIN_BUNDLE, peal_bytes_of(bundle, w.n), sig);
    wr_bytes(&w, sig, sizeof sig);
    int rc = wr_end(&w);
    CHECK(rc == 0);
    return cry_public_parse(peal_bytes_of(bundle, w.n), &k->pub);
}

/* Takes over rsa, also on failure. */
static int keys_make(EVP_PKEY *rsa, const struct peal_secret *seed, struct cry_keys **out)
{
    struct cry_keys *k = calloc(1, sizeof *k);
    if (k == NULL) {
        EVP_PKEY_free(rsa);
        return PEAL_E_NO_MEMORY;
    }
    k->rsa = rsa;
    cry_sign_key_from_seed(seed, &k->sign);
    k->dec = EVP_PKEY_CTX_new_from_pkey(NULL, rsa, NULL);
    int rc = PEAL_E_CRYPTO;
    if (k->dec != NULL && EVP_PKEY_decrypt_init(k->dec) == 1 && set_oaep(k->dec))
        rc = make_public(k);
    if (rc != 0) {
        cry_keys_free(k);
        return cry_ossl_fail(rc);
    }
    *out = k;
    return 0;
}

int cry_keys_new(struct cry_keys **out)
{
    struct peal_secret seed;
    EVP_PKEY *rsa = EVP_RSA_gen(RSA_BITS);
    if (rsa == NULL)
        return cry_ossl_fail(PEAL_E_CRYPTO);
    cry_secret_new(&seed);
    int rc = keys_make(rsa, &seed, out);
    sodium_memzero(&seed, sizeof seed);
    return rc;
}

int cry_keys_from_parts(struct peal_bytes rsa_der, const struct peal_secret *seed,
                        struct cry_keys **out)
{
    const unsigned char *p = rsa_der.p;
    EVP_PKEY *rsa = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &p, (long)rsa_der.n);
    if (rsa == NULL || p != rsa_der.p + rsa_der.n || !rsa_in_form(rsa)) {
        EVP_PKEY_free(rsa);
        return cry_ossl_fail(PEAL_E_CORRUPT);
    }
    return keys_make(rsa, seed, out);
}

/* What a box with private keys is bound to: "peal.keys.1", then the name. */
struct wrap_aad {
    uint8_t b[sizeof wrap_domain - 1 + CRY_NAME_MAX];
    size_t n;
};

static void wrap_aad_of(struct peal_bytes name, struct wrap_aad *out)
{
    struct wr w;
    wr_init(&w, out->b, sizeof out->b);
    wr_bytes(&w, wrap_domain, sizeof wrap_domain - 1);
    wr_bytes(&w, name.p, name.n);
    int rc = wr_end(&w);
    CHECK(rc == 0);
    out->n = w.n;
}

int cry_keys_wrap(const struct cry_keys *k, const struct peal_secret *wrap, struct peal_bytes name,
                  size_t cap, uint8_t out[], size_t *n)
{
    uint8_t plain[4 + PRIVATE_MAX + SECRET_BYTES];
    struct wrap_aad aad;
    struct wr w;
    unsigned char *der = NULL;
    CHECK(cry_name_in_form(name));
    if (cap < 1)
        return PEAL_E_FULL;
    int der_n = i2d_PrivateKey(k->rsa, &der);
    if (der_n <= 0)
        return cry_ossl_fail(PEAL_E_CRYPTO);
    wr_init(&w, plain, sizeof plain);
    wr_var(&w, peal_bytes_of(der, (size_t)der_n));
    wr_bytes(&w, k->sign.seed.b, SECRET_BYTES);
    OPENSSL_clear_free(der, (size_t)der_n);
    int rc = wr_end(&w);
    CHECK(rc == 0);
    wrap_aad_of(name, &aad);
    size_t box_n = 0;
    rc = cry_box_seal(wrap, peal_bytes_of(aad.b, aad.n), peal_bytes_of(plain, w.n), cap - 1,
                      out + 1, &box_n);
    sodium_memzero(plain, sizeof plain);
    if (rc != 0)
        return rc;
    out[0] = VERSION;
    *n = 1 + box_n;
    return 0;
}

int cry_keys_unwrap(const struct peal_secret *wrap, struct peal_bytes name,
                    struct peal_bytes wrapped, struct cry_keys **out)
{
    uint8_t plain[CRY_WRAPPED_MAX];
    struct peal_secret seed;
    struct wrap_aad aad;
    struct rd r;
    size_t n = 0;
    CHECK(cry_name_in_form(name));
    if (wrapped.n < 1)
        return PEAL_E_TRUNCATED;
    if (wrapped.n > CRY_WRAPPED_MAX)
        return PEAL_E_TOO_LONG;
    if (wrapped.p[0] != VERSION)
        return PEAL_E_VERSION;
    wrap_aad_of(name, &aad);
    int rc = cry_box_open(wrap, peal_bytes_of(aad.b, aad.n),
                          peal_bytes_of(wrapped.p + 1, wrapped.n - 1), sizeof plain, plain, &n);
    if (rc != 0)
        return rc;
    rd_init(&r, plain, n);
    struct peal_bytes der = rd_var(&r, PRIVATE_MAX);
    rd_copy(&r, seed.b, SECRET_BYTES);
    rc = rd_end(&r) == 0 ? cry_keys_from_parts(der, &seed, out) : PEAL_E_CORRUPT;
    sodium_memzero(&seed, sizeof seed);
    sodium_memzero(plain, sizeof plain);
    return rc;
}
