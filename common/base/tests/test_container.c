/* The contracts of arena, slab and map. */
#include <criterion/criterion.h>
#include <peal/base.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "siphash.h"

Test(arena, alignment_and_limit)
{
    static _Alignas(16) uint8_t block[100];
    struct arena a;
    memset(block, 0xee, sizeof block);
    arena_init(&a, block + 1, 95); /* usable from block + 16 to block + 96 */
    uint8_t *p = arena_take(&a, 10), *q = arena_take(&a, 48);
    cr_assert(p == block + 16 && q == block + 32, "16-byte aligned, one after another");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(p[i], 0, "zeroed");
    cr_assert_eq(p[10], 0xee, "and no further");
    cr_assert_null(arena_take(&a, 17), "one byte too many");
    cr_assert_null(arena_take(&a, SIZE_MAX), "far too many");
    cr_assert_eq(arena_take(&a, 16), block + 80, "to the last byte");
    cr_assert_not_null(arena_take(&a, 0), "nothing always fits");
    cr_assert_null(arena_take(&a, 1), "full");
    arena_reset(&a);
    cr_assert_eq(arena_take(&a, 1), block + 16, "anew");
}

Test(arena, copy)
{
    static _Alignas(16) uint8_t block[16];
    struct arena a;
    arena_init(&a, block, sizeof block);
    struct peal_bytes c = arena_copy(&a, peal_bytes_str("fifteen letters"));
    cr_assert_eq(c.n, 15, "without the NUL");
    cr_assert_str_eq((const char *)c.p, "fifteen letters", "with a NUL behind");
    cr_assert_null(arena_copy(&a, peal_bytes_str("")).p, "no room for another NUL");
    arena_reset(&a);
    cr_assert_null(arena_copy(&a, peal_bytes_str("sixteen letters!")).p, "no room for its NUL");
    cr_assert_not_null(arena_copy(&a, (struct peal_bytes){NULL, 0}).p, "an empty one");
}

enum { SLAB_CAP = 5, ITEM = 24 };

static struct slab new_slab(uint32_t cap, size_t item)
{
    struct slab s;
    void *mem = malloc(slab_size(cap, item)); /* exactly, so that ASan sees an overrun */
    cr_assert_not_null(mem, "memory");
    memset(mem, 0xee, slab_size(cap, item));
    slab_init(&s, mem, cap, item);
    return s;
}

Test(slab, full_and_zeroed)
{
    struct slab s = new_slab(SLAB_CAP, ITEM);
    uint32_t h[SLAB_CAP], more = 1;
    for (uint32_t i = 0; i < SLAB_CAP; i++) {
        uint8_t *item = slab_take(&s, &h[i]);
        cr_assert(item != NULL && (uintptr_t)item % 16 == 0, "an aligned item");
        cr_assert_neq(h[i], 0, "a handle is never 0");
        for (int k = 0; k < ITEM; k++)
            cr_assert_eq(item[k], 0, "zeroed");
        memset(item, 0xaa, ITEM);
        cr_assert_eq(slab_get(&s, h[i]), item, "found by its handle");
    }
    cr_assert_null(slab_take(&s, &more), "all are in use");
    cr_assert_eq(more, 0, "no handle");
    slab_release(&s, h[2]);
    cr_assert_null(slab_get(&s, h[2]), "a stale handle finds nothing");
    uint8_t *again = slab_take(&s, &more);
    cr_assert(again != NULL && again[0] == 0 && again[ITEM - 1] == 0, "zeroed again");
    cr_assert_neq(more, h[2], "the same item has a new handle");
    cr_assert_null(slab_get(&s, h[2]), "and the old one stays stale");
    cr_assert_null(slab_get(&s, 0), "0 names nothing");
    cr_assert_null(slab_get(&s, UINT32_MAX), "nor does a made-up handle");
    free(s.items);
}

Test(slab, double_release, .signal = SIGABRT)
{
    struct slab s = new_slab(SLAB_CAP, ITEM);
    uint32_t h;
    (void)slab_take(&s, &h);
    slab_release(&s, h);
    slab_release(&s, h);
}

/* One item is the worst case for reuse: every handle is of the same index. */
Test(slab, one_item_generations)
{
    struct slab s = new_slab(1, 1);
    uint32_t first, h = 0;
    cr_assert_not_null(slab_take(&s, &first), "the item");
    slab_release(&s, first);
    for (int i = 0; i < 1 << 17; i++) {
        cr_assert_not_null(slab_take(&s, &h), "the item");
        cr_assert_neq(h, first, "handle of take %d", i);
        slab_release(&s, h);
    }
    s.meta[0] = UINT32_MAX >> 1; /* the last generation */
    cr_assert_not_null(slab_take(&s, &h), "the item");
    cr_assert(h != 0 && slab_get(&s, h) != NULL, "generations start again, without 0");
    free(s.items);
}

Test(slab, random_against_model)
{
    enum { CAP = 61, STEPS = 50000 };
    struct slab s = new_slab(CAP, sizeof(uint64_t));
    static uint32_t live[CAP], stale[1000];
    static uint64_t value[CAP];
    size_t n = 0, stales = 0;
    struct rng r;
    rng_init(&r, 6);
    for (int i = 0; i < STEPS; i++) {
        if (rng_below(&r, 2) == 0 && n < CAP) {
            uint64_t *item = slab_take(&s, &live[n]);
            cr_assert(item != NULL && *item == 0, "a zeroed item");
            *item = value[n] = rng_next(&r) | 1;
            n++;
        } else if (n > 0) {
            size_t k = (size_t)rng_below(&r, n);
            const uint64_t *item = slab_get(&s, live[k]);
            cr_assert(item != NULL && *item == value[k], "an item keeps its value");
            slab_release(&s, live[k]);
            stale[stales++ % PEAL_COUNT(stale)] = live[k];
            live[k] = live[n - 1];
            value[k] = value[--n];
        }
        cr_assert_eq(s.used, n, "so many are in use");
        size_t known = stales < PEAL_COUNT(stale) ? stales : PEAL_COUNT(stale);
        if (known > 0)
            cr_assert_null(slab_get(&s, stale[rng_below(&r, known)]), "stale stays stale");
    }
    uint32_t at = 0, h, count = 0;
    while (slab_each(&s, &at, &h) != NULL) {
        cr_assert_not_null(slab_get(&s, h), "iteration gives handles");
        slab_release(&s, h); /* allowed */
        count++;
    }
    cr_assert_eq(count, n, "iteration meets every item once");
    cr_assert_eq(s.used, 0, "all released");
    free(s.items);
}

/* First outputs for messages 00, 00 01, … under the key 00 01 … 0f: SipHash-2-4 from the appendix
 * of the paper and its reference vectors. */
Test(map, siphash_vectors)
{
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    static const uint64_t want[] = {
        0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
        0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
        0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
        0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
        0x3f2acc7f57c29bdb,
    };
    uint8_t in[PEAL_COUNT(want)];
    for (size_t i = 0; i < PEAL_COUNT(want); i++) {
        in[i] = (uint8_t)i;
        cr_assert_eq(sip_hash(2, 4, key, in, i), want[i], "message of %zu bytes", i);
    }
}

static struct map new_map(uint32_t cap, uint32_t key_size, struct rng *r)
{
    struct map m;
    void *mem = malloc(map_size(cap, key_size));
    cr_assert_not_null(mem, "memory");
    map_init(&m, mem, cap, key_size, r);
    return m;
}

Test(map, full)
{
    struct rng r;
    rng_init(&r, 7);
    for (uint32_t cap = 1; cap < 70; cap++) {
        struct map m = new_map(cap, sizeof cap, &r);
        uint32_t v = 0;
        for (uint32_t k = 0; k < cap; k++)
            cr_assert_eq(map_put(&m, &k, k + 100), 0, "entry %u of %u", k, cap);
        cr_assert_eq(map_put(&m, &cap, 1), PEAL_E_FULL, "one more than %u", cap);
        uint32_t zero = 0;
        cr_assert_eq(map_put(&m, &zero, 7), 0, "replacing is no addition");
        cr_assert(map_get(&m, &zero, &v) && v == 7, "replaced");
        cr_assert(map_get(&m, &zero, NULL), "membership alone");
        cr_assert_not(map_get(&m, &cap, &v), "what was refused is not in");
        cr_assert(map_del(&m, &zero), "was there");
        cr_assert_not(map_del(&m, &zero), "is no more");
        cr_assert_eq(map_put(&m, &cap, 1), 0, "a place is free");
        free(m.slots);
    }
}

static void against_model(uint32_t cap, uint32_t key_size, uint64_t seed)
{
    enum { KEYS = 200, STEPS = 20000 };
    static uint8_t keys[KEYS][MAP_KEY_MAX];
    static uint32_t value[KEYS];
    static bool in[KEYS];
    struct rng r;
    rng_init(&r, seed);
    struct map m = new_map(cap, key_size, &r);
    memset(in, 0, sizeof in);
    for (int i = 0; i < KEYS; i++) {
        rng_fill(&r, keys[i], MAP_KEY_MAX);
        keys[i][0] = (uint8_t)i; /* distinct, however short */
    }
    uint32_t used = 0;
    for (int i = 0; i < STEPS; i++) {
        size_t k = (size_t)rng_below(&r, KEYS);
        uint32_t v = (uint32_t)rng_next(&r), got = 0;
        if (rng_below(&r, 2) == 0) {
            bool fits = in[k] || used < cap;
            cr_assert_eq(map_put(&m, keys[k], v), fits ? 0 : PEAL_E_FULL, "put at step %d", i);
            used += fits && !in[k];
            in[k] = in[k] || fits;
            value[k] = fits ? v : value[k];
        } else {
            cr_assert_eq(map_del(&m, keys[k]), in[k], "del at step %d", i);
            used -= in[k];
            in[k] = false;
        }
        cr_assert_eq(m.used, used, "count at step %d", i);
        k = (size_t)rng_below(&r, KEYS);
        cr_assert_eq(map_get(&m, keys[k], &got), in[k], "get at step %d", i);
        cr_assert(!in[k] || got == value[k], "value at step %d", i);
    }
    for (size_t k = 0; k < KEYS; k++)
        cr_assert_eq(map_get(&m, keys[k], NULL), in[k], "key %zu at the end", k);
    free(m.slots);
}

Test(map, random_against_model)
{
    static const uint32_t sizes[] = {1, 4, 7, 16, ID_BYTES, MAP_KEY_MAX};
    for (uint32_t i = 0; i < PEAL_COUNT(sizes); i++) {
        against_model(96, sizes[i], 10 + i); /* 96 of 128 slots: as full as it gets */
        against_model(300, sizes[i], 20 + i);
    }
}
