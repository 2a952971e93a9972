/* Bump arena and slab over the caller's memory. */
#include <peal/base.h>

#include <string.h>

enum { ALIGN = 16 };

static size_t align_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- arena ---- */

void arena_init(struct arena *a, void *p, size_t cap)
{
    CHECK(p != NULL || cap == 0);
    *a = (struct arena){.p = p, .cap = cap};
}

void arena_reset(struct arena *a)
{
    a->used = 0;
}

void *arena_take(struct arena *a, size_t n)
{
    static _Alignas(ALIGN) uint8_t nothing[ALIGN];
    CHECK(a->used <= a->cap);
    if (n == 0)
        return nothing;
    size_t left = a->cap - a->used;
    if (left == 0)
        return NULL;
    size_t skip = (ALIGN - (uintptr_t)(a->p + a->used) % ALIGN) % ALIGN;
    if (skip > left || n > left - skip)
        return NULL;
    uint8_t *p = a->p + a->used + skip;
    a->used += skip + n;
    memset(p, 0, n);
    return p;
}

struct peal_bytes arena_copy(struct arena *a, struct peal_bytes b)
{
    uint8_t *p = b.n < SIZE_MAX ? arena_take(a, b.n + 1) : NULL;
    if (p == NULL)
        return (struct peal_bytes){.p = NULL, .n = 0};
    if (b.n > 0)
        memcpy(p, b.p, b.n);
    return (struct peal_bytes){.p = p, .n = b.n};
}

/* ---- slab: a handle is the generation above index_bits bits of index ---- */

static const uint32_t in_use = 1U << 31;

size_t slab_size(uint32_t cap, size_t item_size)
{
    CHECK(cap >= 1 && cap <= SLAB_MAX);
    CHECK(item_size >= 1 && item_size <= (SIZE_MAX >> 1) / SLAB_MAX - (size_t)2 * ALIGN);
    return align_up(item_size) * cap + 2 * sizeof(uint32_t) * cap;
}

void slab_init(struct slab *s, void *mem, uint32_t cap, size_t item_size)
{
    CHECK(mem != NULL && (uintptr_t)mem % ALIGN == 0);
    CHECK(cap >= 1 && cap <= SLAB_MAX && item_size >= 1);
    size_t stride = align_up(item_size);
    uint8_t *block = mem;
    *s = (struct slab){.items = block, .cap = cap, .item_size = stride, .index_bits = 1};
    s->meta = (void *)(block + stride * cap);
    s->free = s->meta + cap;
    while (1U << s->index_bits < cap)
        s->index_bits++;
    for (uint32_t i = 0; i < cap; i++) {
        s->meta[i] = 0;
        s->free[i] = i;
    }
}

void *slab_take(struct slab *s, uint32_t *handle)
{
    CHECK(s->used <= s->cap);
    if (s->used == s->cap) {
        *handle = 0;
        return NULL;
    }
    uint32_t i = s->free[s->head];
    CHECK(i < s->cap && (s->meta[i] & in_use) == 0);
    s->head = (s->head + 1) % s->cap;
    s->used++;
    /* Generation 0 is left out: so no handle is 0. */
    uint32_t generation = s->meta[i] < UINT32_MAX >> s->index_bits ? s->meta[i] + 1 : 1;
    s->meta[i] = generation | in_use;
    *handle = generation << s->index_bits | i;
    uint8_t *item = s->items + s->item_size * i;
    memset(item, 0, s->item_size);
    return item;
}

void *slab_get(const struct slab *s, uint32_t handle)
{
    uint32_t i = handle & ((1U << s->index_bits) - 1);
    if (i >= s->cap || s->meta[i] != (handle >> s->index_bits | in_use))
        return NULL;
    return s->items + s->item_size * i;
}

void slab_release(struct slab *s, uint32_t handle)
{
    CHECK(slab_get(s, handle) != NULL);
    CHECK(s->used > 0);
    uint32_t i = handle & ((1U << s->index_bits) - 1);
    s->meta[i] &= ~in_use;
    /* The queue holds cap - used indices from head on. */
    s->free[(s->head + s->cap - s->used) % s->cap] = i;
    s->used--;
}

void *slab_each(const struct slab *s, uint32_t *at, uint32_t *handle)
{
    for (; *at < s->cap; (*at)++) {
        uint32_t i = *at;
        if ((s->meta[i] & in_use) == 0)
            continue;
        *handle = (s->meta[i] & ~in_use) << s->index_bits | i;
        (*at)++;
        return s->items + s->item_size * i;
    }
    *handle = 0;
    return NULL;
}
