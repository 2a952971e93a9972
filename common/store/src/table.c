#include "table.h"

#include <stdlib.h>
#include <string.h>

static uint64_t key_prefix(struct peal_bytes key)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++)
        v = v << 8 | (i < key.n ? key.p[i] : 0);
    return v;
}

int key_cmp(struct peal_bytes a, struct peal_bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return (a.n > b.n) - (a.n < b.n);
}

static bool leads_before(const struct link *l, struct peal_bytes key, uint64_t prefix)
{
    if (l->to == NULL)
        return false;
    if (l->prefix != prefix)
        return l->prefix < prefix;
    return key_cmp(entry_key(l->to), key) < 0;
}

/* One level more with a chance of one in four (xorshift64, Marsaglia 2003: the heights need no
 * better generator). */
static uint8_t roll_levels(uint64_t *dice)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    uint8_t levels = 1;
    for (uint64_t d = *dice >> 20; levels < TABLE_LEVELS && (d & 3) == 0; d >>= 2)
        levels++;
    return levels;
}

struct entry *table_entry(uint64_t *dice, const struct store_write *w)
{
    size_t value_size = w->op == STORE_DEL ? 0 : w->value.n;
    CHECK(w->key.n <= STORE_KEY_MAX && value_size <= STORE_VALUE_MAX);
    uint8_t levels = roll_levels(dice);
    size_t head = sizeof(struct entry) + levels * sizeof(struct link);
    struct entry *e = malloc(head + w->key.n + value_size);
    if (e == NULL)
        return NULL;
    memset(e, 0, head);
    e->prefix = key_prefix(w->key);
    e->value_size = (uint32_t)value_size;
    e->key_size = (uint8_t)w->key.n;
    e->space = (uint8_t)w->space;
    e->op = (uint8_t)w->op;
    e->levels = levels;
    e->lazy = w->lazy;
    e->fresh = w->fresh && w->op != STORE_DEL;
    uint8_t *bytes = (uint8_t *)e + head;
    memcpy(bytes, w->key.p, w->key.n);
    if (value_size > 0)
        memcpy(bytes + w->key.n, w->value.p, value_size);
    return e;
}

struct peal_bytes entry_key(const struct entry *e)
{
    return peal_bytes_of(&e->forward[e->levels], e->key_size);
}

struct peal_bytes entry_value(const struct entry *e)
{
    return peal_bytes_of((const uint8_t *)&e->forward[e->levels] + e->key_size, e->value_size);
}

size_t entry_cost(size_t key_size, size_t value_size)
{
    return sizeof(struct entry) + 2 * sizeof(struct link) + key_size + value_size;
}

struct entry *table_first(const struct table *t)
{
    return t->head[0].to;
}

struct entry *table_next(const struct entry *e)
{
    return e->forward[0].to;
}

/* The link that leads to the key or past it. */
static const struct link *seek(const struct table *t, struct peal_bytes key, uint64_t prefix)
{
    const struct link *links = t->head;
    for (size_t i = TABLE_LEVELS; i-- > 0;) {
        while (leads_before(&links[i], key, prefix))
            links = links[i].to->forward;
    }
    return &links[0];
}

static bool leads_to(const struct link *l, struct peal_bytes key, uint64_t prefix)
{
    return l->to != NULL && l->prefix == prefix && key_cmp(entry_key(l->to), key) == 0;
}

struct entry *table_seek(const struct table *t, struct peal_bytes key)
{
    return seek(t, key, key_prefix(key))->to;
}

struct entry *table_find(const struct table *t, struct peal_bytes key)
{
    uint64_t prefix = key_prefix(key);
    const struct link *l = seek(t, key, prefix);
    return leads_to(l, key, prefix) ? l->to : NULL;
}

struct entry *table_path(struct table *t, struct peal_bytes key, struct table_path *path)
{
    uint64_t prefix = key_prefix(key);
    struct link *links = t->head;
    for (size_t i = TABLE_LEVELS; i-- > 0;) {
        while (leads_before(&links[i], key, prefix))
            links = links[i].to->forward;
        path->link[i] = &links[i];
    }
    return leads_to(&links[0], key, prefix) ? links[0].to : NULL;
}

void table_link(struct table_path *path, struct entry *e)
{
    CHECK(e->levels >= 1 && e->levels <= TABLE_LEVELS);
    for (size_t i = 0; i < e->levels; i++) {
        e->forward[i] = *path->link[i];
        *path->link[i] = (struct link){.to = e, .prefix = e->prefix};
    }
}

void table_unlink(struct table_path *path, struct entry *e)
{
    for (size_t i = 0; i < e->levels; i++) {
        CHECK(path->link[i]->to == e);
        *path->link[i] = e->forward[i];
    }
}
