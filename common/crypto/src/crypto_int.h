/* crypto_int: what the module's files share, and what its tests reach that callers must not. */
#ifndef PEAL_CRYPTO_INT_H
#define PEAL_CRYPTO_INT_H

#include <openssl/evp.h>
#include <peal/crypto.h>

/* The one domain per purpose; see the list in peal/crypto.h. */
#define DOMAIN_ACCOUNT  "peal.account.1"
#define DOMAIN_NODE     "peal.node.1"
#define DOMAIN_BUNDLE   "peal.bundle.1"
#define DOMAIN_ENVELOPE "peal.envelope.1"
#define DOMAIN_SEALED   "peal.sealed.1"
#define DOMAIN_RECEIPT  "peal.receipt.1"
#define DOMAIN_SAFETY   "peal.safety.1"
#define DOMAIN_SUCCEED  "peal.succeed.1"

struct cry_public {
    EVP_PKEY *rsa;
    EVP_PKEY_CTX *enc; /* prepared for OAEP: setting one up costs as much as using it */
    uint8_t sign_pub[CRY_PUB_BYTES];
    uint8_t fp[CRY_FP_BYTES];
    uint8_t bundle[CRY_BUNDLE_MAX];
    size_t bundle_n;
    /* of a number above 0 */
    uint32_t number;
    uint8_t before[CRY_FP_BYTES];
    uint8_t before_sig[CRY_SIG_BYTES];
};

struct cry_keys {
    struct cry_sign_key sign;
    EVP_PKEY *rsa;
    EVP_PKEY_CTX *dec; /* prepared for OAEP */
    struct cry_public *pub;
};

/* Empties OpenSSL's queue of errors, in which TLS would find ours and take it for its own; gives
 * err back. */
int cry_ossl_fail(int err);

/* A name is 1 … CRY_NAME_MAX bytes. */
bool cry_name_in_form(struct peal_bytes name);

/* Keys from an RSA private key (PKCS#1 DER) and an Ed25519 seed; PEAL_E_CORRUPT when they are not
 * of our form. */
PEAL_MUST int cry_keys_from_parts(struct peal_bytes rsa_der, const struct peal_secret *seed,
                                  struct cry_keys **out);

/* RSA-OAEP of a 32-byte content key; PEAL_E_CRYPTO. */
PEAL_MUST int cry_rsa_wrap(const struct cry_public *p, const struct peal_secret *content,
                           uint8_t out[static CRY_RSA_BYTES]);
PEAL_MUST int cry_rsa_unwrap(const struct cry_keys *k, const uint8_t in[static CRY_RSA_BYTES],
                             struct peal_secret *content);

/* bcrypt as libxcrypt does it: setting is a salt string or a whole hash. PEAL_E_CRYPTO when
 * libxcrypt refuses it. */
PEAL_MUST int cry_bcrypt_raw(const char *phrase, const char *setting,
                             char out[static CRY_BCRYPT_SIZE]);

#endif
