/* world: what a node wrote, in memory. */
#include "world_inner.h"

#include <stdlib.h>
#include <string.h>

enum { RECORDS_FIRST = 8 };

static int order(const struct record *r, enum step_space space, struct peal_bytes key)
{
    if (r->space != space)
        return r->space < space ? -1 : 1;
    size_t n = r->key_n < key.n ? r->key_n : key.n;
    int c = n > 0 ? memcmp(r->key, key.p, n) : 0;
    if (c != 0 || r->key_n == key.n)
        return c;
    return r->key_n < key.n ? -1 : 1;
}

/* The first record at or after the key. */
static size_t place(const struct disk *d, enum step_space space, struct peal_bytes key)
{
    size_t lo = 0, hi = d->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (order(d->at[mid], space, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool is_at(const struct disk *d, size_t i, enum step_space space, struct peal_bytes key)
{
    return i < d->n && order(d->at[i], space, key) == 0;
}

static int get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
               struct peal_bytes *value)
{
    const struct disk *d = ctx;
    size_t i = place(d, space, key);
    if (!is_at(d, i, space, key))
        return PEAL_E_NOT_FOUND;
    *value = arena_copy(a, peal_bytes_of(d->at[i]->value, d->at[i]->n));
    return value->p == NULL ? PEAL_E_NO_MEMORY : 0;
}

static int scan(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
                size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    const struct disk *d = ctx;
    for (size_t i = place(d, space, from); i < d->n && limit > 0; i++, limit--) {
        const struct record *r = d->at[i];
        if (r->space != space || (to.n > 0 && order(r, space, to) >= 0))
            break;
        if (!fn(fn_ctx, peal_bytes_of(r->key, r->key_n), peal_bytes_of(r->value, r->n)))
            break;
    }
    return 0;
}

void disk__reader(struct disk *d, struct step_reader *out)
{
    *out = (struct step_reader){.ctx = d, .get = get, .scan = scan};
}

static void remove_at(struct disk *d, size_t i)
{
    free(d->at[i]->value);
    free(d->at[i]);
    memmove(&d->at[i], &d->at[i + 1], (d->n - i - 1) * sizeof *d->at);
    d->n--;
}

static void insert_at(struct disk *d, size_t i, const struct step_effect *e)
{
    CHECK(e->key.n > 0 && e->key.n <= WIRE_KEY_MAX);
    if (d->n == d->cap) {
        d->cap = d->cap == 0 ? RECORDS_FIRST : 2 * d->cap;
        d->at = world__must(realloc(d->at, d->cap * sizeof(struct record *)));
    }
    memmove(&d->at[i + 1], &d->at[i], (d->n - i) * sizeof *d->at);
    struct record *r = world__must(calloc(1, sizeof *r));
    r->space = e->space;
    memcpy(r->key, e->key.p, e->key.n);
    r->key_n = (uint8_t)e->key.n;
    d->at[i] = r;
    d->n++;
}

void disk__write(struct disk *d, const struct step_effect *e)
{
    CHECK(e->kind == STEP_WRITE);
    size_t i = place(d, e->space, e->key);
    bool there = is_at(d, i, e->space, e->key);
    if (e->op == STEP_DEL) {
        if (there)
            remove_at(d, i);
        return;
    }
    if (there && e->op == STEP_PUT_IF_ABSENT)
        return;
    if (!there)
        insert_at(d, i, e);
    struct record *r = d->at[i];
    r->value = world__must(realloc(r->value, e->bytes.n + 1));
    if (e->bytes.n > 0)
        memcpy(r->value, e->bytes.p, e->bytes.n);
    r->n = (uint32_t)e->bytes.n;
}

void disk__clear(struct disk *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->at[i]->value);
        free(d->at[i]);
    }
    free(d->at);
    *d = (struct disk){0};
}
