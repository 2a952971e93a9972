/* Hash table of fixed capacity: linear probing, backward-shift deletion (Knuth, volume 3, 6.4,
 * algorithm R), so that there are no tombstones and a full probe ends at the first empty slot.
 *
 * A slot is {u32 tag, u32 value, key, padding to 4}. The tag is the hash's lower half with the top
 * bit set; 0 marks an empty slot. */
#include <peal/base.h>

#include <string.h>

#include "siphash.h"

enum { HEAD = 8 };

static const uint32_t occupied = 1U << 31;

static size_t slot_size(uint32_t key_size)
{
    return HEAD + (key_size + 3) / 4 * 4;
}

static uint32_t slot_count(uint32_t cap)
{
    uint32_t n = 4;
    while (n / 4 * 3 < cap)
        n *= 2;
    return n;
}

static uint32_t *slot_at(const struct map *m, uint32_t i)
{
    return (void *)(m->slots + m->slot_size * i);
}

size_t map_size(uint32_t cap, uint32_t key_size)
{
    CHECK(cap >= 1 && cap <= MAP_MAX);
    CHECK(key_size >= 1 && key_size <= MAP_KEY_MAX);
    return slot_size(key_size) * slot_count(cap);
}

void map_init(struct map *m, void *mem, uint32_t cap, uint32_t key_size, struct rng *r)
{
    CHECK(mem != NULL && (uintptr_t)mem % 4 == 0);
    size_t size = map_size(cap, key_size);
    *m = (struct map){.slots = mem,
                      .slot_size = slot_size(key_size),
                      .cap = cap,
                      .mask = slot_count(cap) - 1,
                      .key_size = key_size,
                      .seed = {rng_next(r), rng_next(r)}};
    memset(mem, 0, size);
}

/* The slot that holds the key, or the empty one where it belongs. At least a quarter of the slots
 * is empty, so the probe ends. */
static uint32_t find(const struct map *m, const void *key, uint32_t *tag)
{
    *tag = (uint32_t)sip_hash(1, 3, m->seed, key, m->key_size) | occupied;
    uint32_t i = *tag & m->mask;
    for (uint32_t probes = 0;; probes++, i = (i + 1) & m->mask) {
        CHECK(probes <= m->mask);
        const uint32_t *slot = slot_at(m, i);
        if (slot[0] == 0)
            return i;
        if (slot[0] == *tag && memcmp((const uint8_t *)slot + HEAD, key, m->key_size) == 0)
            return i;
    }
}

int map_put(struct map *m, const void *key, uint32_t value)
{
    CHECK(m->used <= m->cap);
    uint32_t tag = 0;
    uint32_t *slot = slot_at(m, find(m, key, &tag));
    if (slot[0] == 0) {
        if (m->used == m->cap)
            return PEAL_E_FULL;
        slot[0] = tag;
        memcpy((uint8_t *)slot + HEAD, key, m->key_size);
        m->used++;
    }
    slot[1] = value;
    return 0;
}

bool map_get(const struct map *m, const void *key, uint32_t *value)
{
    uint32_t tag = 0;
    const uint32_t *slot = slot_at(m, find(m, key, &tag));
    if (slot[0] == 0)
        return false;
    if (value != NULL)
        *value = slot[1];
    return true;
}

bool map_del(struct map *m, const void *key)
{
    uint32_t tag = 0;
    uint32_t hole = find(m, key, &tag);
    if (slot_at(m, hole)[0] == 0)
        return false;
    CHECK(m->used > 0);
    m->used--;
    for (uint32_t i = (hole + 1) & m->mask; slot_at(m, i)[0] != 0; i = (i + 1) & m->mask) {
        /* An entry may fill the hole when the hole lies on its probe path: from its home up to i.
         */
        uint32_t home = slot_at(m, i)[0] & m->mask;
        if (((i - home) & m->mask) < ((i - hole) & m->mask))
            continue;
        memcpy(slot_at(m, hole), slot_at(m, i), m->slot_size);
        hole = i;
    }
    memset(slot_at(m, hole), 0, m->slot_size);
    return true;
}
