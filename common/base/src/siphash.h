/* SipHash-c-d (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), for hash tables
 * only. */
#ifndef PEAL_SIPHASH_H
#define PEAL_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t sip_rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

static inline void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = sip_rotl(v[1], 13) ^ v[0];
    v[0] = sip_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = sip_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = sip_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = sip_rotl(v[1], 17) ^ v[2];
    v[2] = sip_rotl(v[2], 32);
}

/* c rounds per 8 bytes, d at the end. */
static inline uint64_t sip_hash(unsigned c, unsigned d, const uint64_t key[static 2],
                                const uint8_t *p, size_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};
    for (size_t i = 0; i <= n / 8; i++) {
        size_t left = n - 8 * i < 8 ? n - 8 * i : 8;
        uint64_t m = left < 8 ? (uint64_t)(n & 0xff) << 56 : 0;
        for (size_t k = 0; k < left; k++)
            m |= (uint64_t)p[8 * i + k] << (8 * k);
        v[3] ^= m;
        for (unsigned k = 0; k < c; k++)
            sip_round(v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for (unsigned k = 0; k < d; k++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
