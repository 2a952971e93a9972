/* cache: what this node, as a register's proposer, may write next without asking first: the ballot
 * that a majority of the homes has promised it, and the value that they had accepted when they did.
 * The argument why that is enough stands in register.c.
 *
 * An entry is of one epoch of one ring, and the whole is forgotten with them. It is dropped when
 * its ballot is used, since a ballot may be used for one value only; whatever follows on that
 * (refusal, silence, an outcome that is not known) finds nothing here. It is also dropped, because
 * it will hardly be of use, when another server's ballot for the key is met. A home that goes down
 * takes nothing away: what the others have promised stands, and they are a majority or not.
 *
 * Nothing of it is on disk: who restarts asks first, and who asks is refused every ballot that was
 * ever promised. */
#include "inner.h"

#include <string.h>

enum { ALIGN = 16 };

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

size_t cache_size(const struct bounds *b)
{
    return round_up(slab_size(b->cached, sizeof(struct cached))) +
           round_up(map_size(b->cached, ID_BYTES)) + round_up(pool_size(b->cached_blocks));
}

void cache_init(struct cache *k, void *mem, const struct bounds *b, struct rng *g)
{
    uint8_t *at = mem;
    slab_init(&k->slab, at, b->cached, sizeof(struct cached));
    at += round_up(slab_size(b->cached, sizeof(struct cached)));
    map_init(&k->keys, at, b->cached, ID_BYTES, g);
    at += round_up(map_size(b->cached, ID_BYTES));
    pool_init(&k->pool, at, b->cached_blocks);
}

static void forget(struct cache *k, struct cached *e)
{
    struct cached *newer = slab_get(&k->slab, e->newer), *older = slab_get(&k->slab, e->older);
    *(newer != NULL ? &newer->older : &k->newest) = e->older;
    *(older != NULL ? &older->newer : &k->oldest) = e->newer;
    bool was = map_del(&k->keys, e->key.b);
    CHECK(was);
    pool_drop(&k->pool, e->block);
    slab_release(&k->slab, e->handle);
}

/* The cache, empty if what it held was of another epoch or ring. */
static struct cache *present(struct chord *c)
{
    struct cache *k = &c->cache;
    if (k->epoch == c->roster.epoch && id_eq(&k->ring, &c->roster.ring))
        return k;
    for (struct cached *e; (e = slab_get(&k->slab, k->oldest)) != NULL;)
        forget(k, e);
    CHECK(k->slab.used == 0 && k->pool.used == 0);
    k->epoch = c->roster.epoch;
    k->ring = c->roster.ring;
    return k;
}

struct cached *cache_find(struct chord *c, const struct peal_id *key)
{
    struct cache *k = present(c);
    uint32_t h = 0;
    if (!map_get(&k->keys, key->b, &h))
        return NULL;
    struct cached *e = slab_get(&k->slab, h);
    CHECK(e != NULL && id_eq(&e->key, key));
    return e;
}

struct peal_bytes cache_value(struct chord *c, const struct cached *e)
{
    uint8_t *out = arena_take(&c->scratch, e->n);
    CHECK(out != NULL || e->n == 0);
    pool_copy(&c->cache.pool, e->block, e->n, out);
    return peal_bytes_of(out, e->n);
}

void cache_drop(struct chord *c, const struct peal_id *key)
{
    struct cached *e = cache_find(c, key);
    if (e != NULL)
        forget(&c->cache, e);
}

void cache_put(struct chord *c, uint64_t epoch, const struct peal_id *key,
               const struct wire_ballot *next, const struct wire_ballot *accepted,
               struct peal_bytes value)
{
    struct cache *k = present(c);
    uint32_t h = 0, block = NO_BLOCK;
    cache_drop(c, key);
    if (k->epoch != epoch || next->round == 0)
        return;
    CHECK(ballot_cmp(next, accepted) > 0 && next->round >> ROUND_BITS == epoch);
    while (k->slab.used == k->slab.cap || !pool_keep(&k->pool, value, &block)) {
        struct cached *last = slab_get(&k->slab, k->oldest);
        CHECK(last != NULL); /* one value always fits */
        forget(k, last);
    }
    struct cached *e = slab_take(&k->slab, &h);
    CHECK(e != NULL);
    *e = (struct cached){.key = *key,
                         .next = *next,
                         .accepted = *accepted,
                         .n = (uint32_t)value.n,
                         .block = block,
                         .handle = h,
                         .kept_us = c->now,
                         .older = k->newest};
    struct cached *newest = slab_get(&k->slab, k->newest);
    *(newest != NULL ? &newest->newer : &k->oldest) = h;
    k->newest = h;
    int err = map_put(&k->keys, key->b, h);
    CHECK(err == 0);
}
