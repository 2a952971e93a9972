/* hash: the start of the libraries, randomness, secrets, BLAKE2b and the identifiers made of it. */
#include "crypto_int.h"

#include <openssl/err.h>
#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(struct cry_hash) == sizeof(crypto_generichash_blake2b_state),
               "cry_hash must hold libsodium's state");
_Static_assert(_Alignof(struct cry_hash) == _Alignof(crypto_generichash_blake2b_state),
               "aligned as libsodium wants it");
_Static_assert((int)CRY_DOMAIN_MAX == (int)crypto_generichash_blake2b_PERSONALBYTES,
               "a domain is BLAKE2b's personalisation");

int cry_init(void)
{
    return sodium_init() < 0 ? PEAL_E_CRYPTO : 0;
}

void cry_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

void cry_secret_new(struct peal_secret *out)
{
    randombytes_buf(out->b, sizeof out->b);
}

bool cry_secret_eq(const struct peal_secret *a, const struct peal_secret *b)
{
    return sodium_memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool cry_equal(const void *a, const void *b, size_t n)
{
    return n == 0 || sodium_memcmp(a, b, n) == 0;
}

void cry_wipe(void *p, size_t n)
{
    if (n > 0)
        sodium_memzero(p, n);
}

int cry_ossl_fail(int err)
{
    ERR_clear_error();
    return err;
}

bool cry_name_in_form(struct peal_bytes name)
{
    return name.n >= 1 && name.n <= CRY_NAME_MAX;
}

static crypto_generichash_blake2b_state *state_of(struct cry_hash *h)
{
    return (crypto_generichash_blake2b_state *)(void *)h->state;
}

static void hash_init(struct cry_hash *h, const char *domain, size_t out_n)
{
    uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = {0};
    size_t n = strnlen(domain, CRY_DOMAIN_MAX + 1);
    CHECK(n >= 1 && n <= CRY_DOMAIN_MAX);
    memcpy(personal, domain, n);
    int rc =
        crypto_generichash_blake2b_init_salt_personal(state_of(h), NULL, 0, out_n, NULL, personal);
    CHECK(rc == 0);
}

static void hash_end(struct cry_hash *h, uint8_t *out, size_t out_n)
{
    int rc = crypto_generichash_blake2b_final(state_of(h), out, out_n);
    CHECK(rc == 0);
}

void cry_hash_init(struct cry_hash *h, const char *domain)
{
    hash_init(h, domain, CRY_HASH_BYTES);
}

void cry_hash_add(struct cry_hash *h, const void *p, size_t n)
{
    if (n == 0)
        return;
    int rc = crypto_generichash_blake2b_update(state_of(h), p, n);
    CHECK(rc == 0);
}

void cry_hash_part(struct cry_hash *h, struct peal_bytes part)
{
    uint8_t length[8];
    struct wr w;
    wr_init(&w, length, sizeof length);
    wr_u64(&w, part.n);
    cry_hash_add(h, length, sizeof length);
    cry_hash_add(h, part.p, part.n);
}

void cry_hash_end(struct cry_hash *h, uint8_t out[static CRY_HASH_BYTES])
{
    hash_end(h, out, CRY_HASH_BYTES);
}

void cry_id(const char *domain, struct peal_bytes data, struct peal_id *out)
{
    struct cry_hash h;
    hash_init(&h, domain, ID_BYTES);
    cry_hash_add(&h, data.p, data.n);
    hash_end(&h, out->b, ID_BYTES);
}

void cry_digest(const char *domain, struct peal_bytes data, uint8_t out[static CRY_HASH_BYTES])
{
    struct cry_hash h;
    cry_hash_init(&h, domain);
    cry_hash_add(&h, data.p, data.n);
    cry_hash_end(&h, out);
}

uint64_t cry_short(const uint8_t key[static CRY_SHORT_KEY_BYTES], struct peal_bytes data)
{
    _Static_assert((int)CRY_SHORT_KEY_BYTES == (int)crypto_shorthash_KEYBYTES, "libsodium's");
    uint8_t out[crypto_shorthash_BYTES];
    crypto_shorthash(out, data.p, data.n, key);
    uint64_t x = 0;
    for (size_t i = 0; i < sizeof out; i++)
        x = x << 8 | out[i];
    return x;
}

struct peal_id cry_account_key(struct peal_bytes canonical_name)
{
    struct peal_id id;
    cry_id(DOMAIN_ACCOUNT, canonical_name, &id);
    return id;
}

struct peal_id cry_node_id(const uint8_t pub[static CRY_PUB_BYTES])
{
    struct peal_id id;
    cry_id(DOMAIN_NODE, peal_bytes_of(pub, CRY_PUB_BYTES), &id);
    return id;
}

void cry_msg_id(uint64_t wall_ms, struct peal_msg_id *out)
{
    CHECK(wall_ms >> 48 == 0);
    for (size_t i = 0; i < 6; i++)
        out->b[i] = (uint8_t)(wall_ms >> (40 - 8 * i));
    randombytes_buf(out->b + 6, MSG_ID_BYTES - 6);
}

void cry_safety_digest(struct peal_bytes name, struct peal_bytes bundle,
                       uint8_t out[static CRY_HASH_BYTES])
{
    struct cry_hash h;
    CHECK(cry_name_in_form(name));
    cry_hash_init(&h, DOMAIN_SAFETY);
    cry_hash_part(&h, name);
    cry_hash_part(&h, bundle);
    cry_hash_end(&h, out);
}

enum { SIDE_DIGITS = CRY_SAFETY_DIGITS / 2, GROUP = 5, GROUP_VALUES = 100000 };

static void safety_block(const uint8_t digest[static CRY_HASH_BYTES],
                         char out[static SIDE_DIGITS + 1])
{
    _Static_assert((int)SIDE_DIGITS <= (int)CRY_HASH_BYTES, "a byte of the digest for each digit");
    for (size_t at = 0; at < SIDE_DIGITS; at += GROUP) {
        uint64_t x = 0;
        for (size_t i = 0; i < GROUP; i++)
            x = x << 8 | digest[at + i];
        x %= GROUP_VALUES;
        for (size_t i = GROUP; i-- > 0; x /= 10)
            out[at + i] = (char)('0' + x % 10);
    }
    out[SIDE_DIGITS] = '\0';
}

void cry_safety_number(const uint8_t a[static CRY_HASH_BYTES],
                       const uint8_t b[static CRY_HASH_BYTES],
                       char out[static CRY_SAFETY_DIGITS + 1])
{
    char one[SIDE_DIGITS + 1];
    char other[SIDE_DIGITS + 1];
    safety_block(a, one);
    safety_block(b, other);
    bool first = strcmp(one, other) <= 0;
    memcpy(out, first ? one : other, SIDE_DIGITS);
    memcpy(out + SIDE_DIGITS, first ? other : one, sizeof one);
}
