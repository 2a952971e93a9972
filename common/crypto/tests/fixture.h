/* fixture: what the tests of this module share: hexadecimal literals, and two accounts with fixed
 * keys (making RSA keys takes too long to do it in every test). */
#ifndef PEAL_CRYPTO_FIXTURE_H
#define PEAL_CRYPTO_FIXTURE_H

#include <crypto_int.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

enum { FIXTURE_MAX = 4096 };

struct octets {
    uint8_t b[FIXTURE_MAX];
    size_t n;
};

static inline struct octets octets_of(const char *hex)
{
    struct octets o;
    o.n = strlen(hex) / 2;
    CHECK(o.n <= FIXTURE_MAX);
    int rc = peal_unhex(hex, o.n, o.b);
    CHECK(rc == 0);
    return o;
}

static inline struct peal_bytes view(const struct octets *o)
{
    return peal_bytes_of(o->b, o->n);
}

static inline struct cry_keys *account_of(const char *rsa_hex, uint8_t seed_byte)
{
    struct octets der = octets_of(rsa_hex);
    struct peal_secret seed;
    struct cry_keys *k = NULL;
    int rc = cry_init();
    CHECK(rc == 0);
    memset(seed.b, seed_byte, sizeof seed.b);
    rc = cry_keys_from_parts(view(&der), &seed, &k);
    CHECK(rc == 0);
    return k;
}

static inline struct cry_keys *alice_new(void)
{
    return account_of(V_ALICE_RSA, 'A');
}

static inline struct cry_keys *bob_new(void)
{
    return account_of(V_BOB_RSA, 'B');
}

/* 00 01 02 … from the given first byte. */
static inline struct peal_secret secret_from(uint8_t first)
{
    struct peal_secret s;
    for (size_t i = 0; i < sizeof s.b; i++)
        s.b[i] = (uint8_t)(first + i);
    return s;
}

/* The context of V_ENVELOPE. */
static inline struct cry_context sample_context(void)
{
    struct cry_context c = {.from = peal_bytes_str("alice"), .to = peal_bytes_str("zo\xc3\xab.m")};
    for (size_t i = 0; i < MSG_ID_BYTES; i++)
        c.id.b[i] = (uint8_t)(0xe0 + i);
    return c;
}

#define SAMPLE_PLAIN "The ring closes, and nothing that was said is lost."

#endif
