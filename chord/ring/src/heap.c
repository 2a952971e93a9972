/* heap: the bytes of the addresses of everyone in the book. Most nodes have one address, some have
 * four, so the book has room for so many bytes, not for four of everyone. Pieces are laid one after
 * the other; when the end is reached those in use are moved together. That is not often: a 16th
 * stays free, so that between two such moves at least so much was put in. */
#include "inner.h"

#include <string.h>

/* Before each piece: whose it is, and its bytes. */
#define HEAD   (sizeof(uint32_t) + sizeof(uint16_t))
#define NOBODY UINT32_MAX

void heap_init(struct heap *h, uint8_t *mem, uint32_t cap)
{
    CHECK(cap - cap / HEAP_SPARE >= HEAD + WIRE_ADDRESSES_BYTES);
    *h = (struct heap){.bytes = mem, .cap = cap};
}

static void write_head(uint8_t *at, uint32_t place, uint16_t n)
{
    memcpy(at, &place, sizeof place);
    memcpy(at + sizeof place, &n, sizeof n);
}

static void read_head(const uint8_t *at, uint32_t *place, uint16_t *n)
{
    memcpy(place, at, sizeof *place);
    memcpy(n, at + sizeof *place, sizeof *n);
}

bool heap_has(const struct heap *h, size_t n, size_t instead)
{
    size_t live = h->live - (instead == 0 ? 0 : HEAD + instead);
    CHECK(n <= WIRE_ADDRESSES_BYTES && live <= h->used);
    return live + HEAD + n <= h->cap - h->cap / HEAP_SPARE;
}

static void move_together(struct book *b)
{
    struct heap *h = &b->heap;
    size_t to = 0;
    uint32_t place;
    uint16_t n;
    for (size_t at = 0; at < h->used; at += HEAD + n) {
        read_head(h->bytes + at, &place, &n);
        CHECK(HEAD + n <= h->used - at);
        if (place == NOBODY)
            continue;
        memmove(h->bytes + to, h->bytes + at, HEAD + n);
        b->nodes[place].contact.addresses = h->bytes + to + HEAD;
        to += HEAD + n;
    }
    CHECK(to == h->live);
    h->used = (uint32_t)to;
}

void heap_put(struct book *b, uint32_t place, struct peal_bytes list)
{
    struct heap *h = &b->heap;
    struct contact *k = &b->nodes[place].contact;
    CHECK(place < b->cap && list.n > 0 && heap_has(h, list.n, 0));
    if (h->cap - h->used < HEAD + list.n)
        move_together(b);
    CHECK(h->cap - h->used >= HEAD + list.n);
    uint8_t *at = h->bytes + h->used;
    write_head(at, place, (uint16_t)list.n);
    memcpy(at + HEAD, list.p, list.n);
    h->used += (uint32_t)(HEAD + list.n);
    h->live += (uint32_t)(HEAD + list.n);
    k->addresses = at + HEAD;
    k->address_n = (uint16_t)list.n;
}

void heap_drop(struct book *b, uint32_t place)
{
    struct heap *h = &b->heap;
    struct contact *k = &b->nodes[place].contact;
    CHECK(k->addresses >= h->bytes + HEAD && k->addresses < h->bytes + h->used);
    uint8_t *at = h->bytes + (k->addresses - h->bytes) - HEAD;
    uint32_t whose;
    uint16_t n;
    read_head(at, &whose, &n);
    CHECK(whose == place && n == k->address_n && h->live >= HEAD + n);
    write_head(at, NOBODY, n);
    h->live -= (uint32_t)(HEAD + n);
    k->addresses = NULL;
    k->address_n = 0;
}
