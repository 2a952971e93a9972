/* sign: Ed25519 with a domain before each message, so that a signature made for one purpose is none
 * for another. */
#include "crypto_int.h"

#include <sodium.h>
#include <string.h>

_Static_assert((int)SECRET_BYTES == (int)crypto_sign_SEEDBYTES, "Ed25519's seed");
_Static_assert((int)CRY_PUB_BYTES == (int)crypto_sign_PUBLICKEYBYTES, "Ed25519's public key");
_Static_assert((int)CRY_SIG_BYTES == (int)crypto_sign_BYTES, "Ed25519's signature");

enum { SIGNED_MAX = 1 + CRY_DOMAIN_MAX + CRY_SIGN_MAX };

/* What is signed: the domain's length, the domain, the message. */
static size_t signed_form(const char *domain, struct peal_bytes message,
                          uint8_t out[static SIGNED_MAX])
{
    size_t domain_n = strnlen(domain, CRY_DOMAIN_MAX + 1);
    CHECK(domain_n >= 1 && domain_n <= CRY_DOMAIN_MAX);
    struct wr w;
    wr_init(&w, out, SIGNED_MAX);
    wr_u8(&w, (uint8_t)domain_n);
    wr_bytes(&w, domain, domain_n);
    wr_bytes(&w, message.p, message.n);
    int rc = wr_end(&w);
    CHECK(rc == 0);
    return w.n;
}

void cry_sign_key_from_seed(const struct peal_secret *seed, struct cry_sign_key *out)
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES];
    struct peal_secret copy = *seed; /* seed may be out->seed */
    int rc = crypto_sign_seed_keypair(out->pub, sk, copy.b);
    CHECK(rc == 0);
    out->seed = copy;
    sodium_memzero(sk, sizeof sk);
    sodium_memzero(&copy, sizeof copy);
}

void cry_sign(const struct cry_sign_key *key, const char *domain, struct peal_bytes message,
              uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t text[SIGNED_MAX];
    uint8_t sk[crypto_sign_SECRETKEYBYTES]; /* libsodium's form: seed, then public key */
    CHECK(message.n <= CRY_SIGN_MAX);
    size_t n = signed_form(domain, message, text);
    memcpy(sk, key->seed.b, SECRET_BYTES);
    memcpy(sk + SECRET_BYTES, key->pub, CRY_PUB_BYTES);
    int rc = crypto_sign_detached(sig, NULL, text, n, sk);
    CHECK(rc == 0);
    sodium_memzero(sk, sizeof sk);
}

int cry_verify(const uint8_t pub[static CRY_PUB_BYTES], const char *domain,
               struct peal_bytes message, const uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t text[SIGNED_MAX];
    if (message.n > CRY_SIGN_MAX)
        return PEAL_E_TOO_LONG;
    size_t n = signed_form(domain, message, text);
    return crypto_sign_verify_detached(sig, text, n, pub) == 0 ? 0 : PEAL_E_AUTH;
}
