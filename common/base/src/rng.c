/* xoshiro256** 1.0 by David Blackman and Sebastiano Vigna ("Scrambled linear pseudorandom number
 * generators", 2018), seeded by splitmix64 as its authors advise. */
#include <peal/base.h>

static uint64_t splitmix64(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15U;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

void rng_init(struct rng *r, uint64_t seed)
{
    for (size_t i = 0; i < PEAL_COUNT(r->s); i++)
        r->s[i] = splitmix64(&seed);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t result = rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl(r->s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    CHECK(bound > 0);
    /* Values below 2^64 mod bound would be met once too often. Each try is refused with a
     * probability below one half, so that the last one stands in less than one of 2^128 calls. */
    enum { TRIES = 128 };
    uint64_t least = (UINT64_MAX - bound + 1) % bound;
    uint64_t x = rng_next(r);
    for (int i = 1; i < TRIES && x < least; i++)
        x = rng_next(r);
    return x % bound;
}

void rng_fill(struct rng *r, void *out, size_t n)
{
    uint8_t *p = out;
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 8 == 0)
            x = rng_next(r);
        p[i] = (uint8_t)(x >> (i % 8 * 8));
    }
}
