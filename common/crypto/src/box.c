/* box: authenticated encryption under a key of ours, the keys derived from the ring key, and the
 * beacon. */
#include "crypto_int.h"

#include <sodium.h>
#include <string.h>

enum {
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    SUBKEY_CA = 1,
    SUBKEY_BEACON = 2,
    SUBKEY_OPERATOR = 3,
    BEACON_HEAD = 5,
    REMOVE_TEXT = 8 + ID_BYTES,
};

_Static_assert((int)CRY_BOX_OVERHEAD == (int)NONCE + (int)TAG, "a box is nonce, ciphertext, tag");
_Static_assert((int)SECRET_BYTES == (int)crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
               "a box's key is a peal_secret");
_Static_assert((int)SECRET_BYTES == (int)crypto_kdf_KEYBYTES, "so is the ring key");

static const char ring_context[crypto_kdf_CONTEXTBYTES] = {'p', 'e', 'a', 'l', 'r', 'i', 'n', 'g'};
static const char REMOVE_DOMAIN[] = "peal.remove.1";
static const uint8_t beacon_head[BEACON_HEAD] = {'P', 'E', 'A', 'L', 1};

int cry_box_seal(const struct peal_secret *key, struct peal_bytes aad, struct peal_bytes plain,
                 size_t cap, uint8_t out[], size_t *n)
{
    if (cap < CRY_BOX_OVERHEAD || cap - CRY_BOX_OVERHEAD < plain.n)
        return PEAL_E_FULL;
    randombytes_buf(out, NONCE);
    int rc = crypto_aead_xchacha20poly1305_ietf_encrypt(out + NONCE, NULL, plain.p, plain.n, aad.p,
                                                        aad.n, NULL, out, key->b);
    CHECK(rc == 0);
    *n = plain.n + CRY_BOX_OVERHEAD;
    return 0;
}

int cry_box_open(const struct peal_secret *key, struct peal_bytes aad, struct peal_bytes box,
                 size_t cap, uint8_t out[], size_t *n)
{
    if (box.n < CRY_BOX_OVERHEAD)
        return PEAL_E_TRUNCATED;
    if (cap < box.n - CRY_BOX_OVERHEAD)
        return PEAL_E_FULL;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, box.p + NONCE, box.n - NONCE,
                                                   aad.p, aad.n, box.p, key->b) != 0)
        return PEAL_E_AUTH;
    *n = box.n - CRY_BOX_OVERHEAD;
    return 0;
}

static void ring_subkey(const struct peal_secret *ring, uint64_t number, struct peal_secret *out)
{
    int rc = crypto_kdf_derive_from_key(out->b, sizeof out->b, number, ring_context, ring->b);
    CHECK(rc == 0);
}

void cry_ring_ca_key(const struct peal_secret *ring, struct cry_sign_key *out)
{
    struct peal_secret seed;
    ring_subkey(ring, SUBKEY_CA, &seed);
    cry_sign_key_from_seed(&seed, out);
    sodium_memzero(&seed, sizeof seed);
}

void cry_ring_beacon_key(const struct peal_secret *ring, struct peal_secret *out)
{
    ring_subkey(ring, SUBKEY_BEACON, out);
}

void cry_ring_operator_key(const struct peal_secret *ring, struct cry_sign_key *out)
{
    struct peal_secret seed;
    ring_subkey(ring, SUBKEY_OPERATOR, &seed);
    cry_sign_key_from_seed(&seed, out);
    sodium_memzero(&seed, sizeof seed);
}

static size_t remove_text(uint64_t epoch, const struct peal_id *id, uint8_t out[static REMOVE_TEXT])
{
    struct wr w;
    wr_init(&w, out, REMOVE_TEXT);
    wr_u64(&w, epoch);
    wr_bytes(&w, id->b, ID_BYTES);
    CHECK(w.n == REMOVE_TEXT);
    return w.n;
}

void cry_remove_sign(const struct cry_sign_key *operator_key, uint64_t epoch,
                     const struct peal_id *id, uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t text[REMOVE_TEXT];
    size_t n = remove_text(epoch, id, text);
    cry_sign(operator_key, REMOVE_DOMAIN, peal_bytes_of(text, n), sig);
}

int cry_remove_verify(const uint8_t operator_pub[static CRY_PUB_BYTES], uint64_t epoch,
                      const struct peal_id *id, const uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t text[REMOVE_TEXT];
    size_t n = remove_text(epoch, id, text);
    return cry_verify(operator_pub, REMOVE_DOMAIN, peal_bytes_of(text, n), sig);
}

int cry_beacon_seal(const struct peal_secret *beacon_key, struct peal_bytes body, size_t cap,
                    uint8_t out[], size_t *n)
{
    if (body.n > CRY_BEACON_BODY_MAX)
        return PEAL_E_TOO_LONG;
    if (cap < BEACON_HEAD)
        return PEAL_E_FULL;
    size_t box_n = 0;
    int rc = cry_box_seal(beacon_key, peal_bytes_of(beacon_head, BEACON_HEAD), body,
                          cap - BEACON_HEAD, out + BEACON_HEAD, &box_n);
    if (rc != 0)
        return rc;
    memcpy(out, beacon_head, BEACON_HEAD);
    *n = BEACON_HEAD + box_n;
    return 0;
}

int cry_beacon_open(const struct peal_secret *beacon_key, struct peal_bytes packet, size_t cap,
                    uint8_t out[], size_t *n)
{
    struct rd r;
    rd_init(&r, packet.p, packet.n);
    struct peal_bytes magic = rd_bytes(&r, 4);
    uint8_t version = rd_u8(&r);
    struct peal_bytes box = rd_bytes(&r, rd_left(&r));
    if (r.err != 0 || memcmp(magic.p, beacon_head, 4) != 0)
        return PEAL_E_MALFORMED;
    if (version != beacon_head[4])
        return PEAL_E_VERSION;
    if (packet.n > CRY_BEACON_MAX)
        return PEAL_E_TOO_LONG;
    int rc = cry_box_open(beacon_key, peal_bytes_of(beacon_head, BEACON_HEAD), box, cap, out, n);
    return rc == PEAL_E_AUTH ? PEAL_E_FOREIGN : rc;
}
