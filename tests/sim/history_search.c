/* The search for an order of one key's operations: Wing and Gong's, with Lowe's memory of the
 * configurations that led nowhere.
 *
 * A configuration is the set of steps that have been put in order and the value they leave. A step
 * may come next when no step that is still to be placed had ended before it began.
 *
 * Two things keep the search small without missing an order:
 *
 * - A step that changes nothing and fits now is placed at once: wherever else it stands in an
 *   order, moving it here leaves that an order.
 * - An optional step is placed only where it matters. If an order has an optional step directly
 *   before a write that overwrites whatever it left, the order without it is one as well; so of the
 *   orders with the fewest optional steps none is missed. */
#include "history_inner.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum { CHUNK = 1 << 20, SEEN_FIRST = 1024 };

/* ---- configurations that were met ---- */

struct chunk {
    struct chunk *next;
    size_t used;
    uint8_t p[CHUNK];
};

struct seen {
    struct chunk *chunks;
    const uint8_t **slots;
    size_t slots_n, n, bytes;
};

static uint64_t seen_hash(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* Kept with its length in front. */
static size_t seen_slot(const struct seen *s, const uint8_t *key, uint32_t n)
{
    size_t i = (size_t)seen_hash(key, n) & (s->slots_n - 1);
    for (; s->slots[i] != NULL; i = (i + 1) & (s->slots_n - 1)) {
        uint32_t have;
        memcpy(&have, s->slots[i], sizeof have);
        if (have == n && memcmp(s->slots[i] + sizeof have, key, n) == 0)
            break;
    }
    return i;
}

static void seen_grow(struct seen *s)
{
    const uint8_t **old = s->slots;
    size_t old_n = s->slots_n;
    s->slots_n = old_n == 0 ? SEEN_FIRST : 2 * old_n;
    s->slots = history_must(calloc(s->slots_n, sizeof *s->slots));
    s->bytes += (s->slots_n - old_n) * sizeof *s->slots;
    for (size_t i = 0; i < old_n; i++) {
        if (old[i] == NULL)
            continue;
        uint32_t n;
        memcpy(&n, old[i], sizeof n);
        s->slots[seen_slot(s, old[i] + sizeof n, n)] = old[i];
    }
    free(old);
}

/* Whether it is new. */
static bool seen_add(struct seen *s, const uint8_t *key, uint32_t n)
{
    if (2 * (s->n + 1) > s->slots_n)
        seen_grow(s);
    size_t slot = seen_slot(s, key, n);
    if (s->slots[slot] != NULL)
        return false;
    CHECK(sizeof n + n <= CHUNK);
    if (s->chunks == NULL || CHUNK - s->chunks->used < sizeof n + n) {
        struct chunk *c = history_must(malloc(sizeof *c));
        c->next = s->chunks;
        c->used = 0;
        s->chunks = c;
        s->bytes += sizeof *c;
    }
    uint8_t *p = s->chunks->p + s->chunks->used;
    memcpy(p, &n, sizeof n);
    memcpy(p + sizeof n, key, n);
    s->chunks->used += sizeof n + n;
    s->slots[slot] = p;
    s->n++;
    return true;
}

static void seen_free(struct seen *s)
{
    for (struct chunk *c = s->chunks, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    free(s->slots);
}

/* ---- the search ---- */

struct frame { /* a step that was placed */
    uint32_t step, state;
    bool after_optional;
    bool only; /* nothing else need be tried in its place */
};

struct search {
    struct texts *texts;
    const struct order_step *steps;
    size_t n, needed, optional; /* steps; of them */
    /* The steps that are not placed, in the order of their beginnings; place n is both ends. */
    uint32_t *next, *prev;
    uint32_t *rank; /* among the needed ones, or among the optional ones */
    uint64_t *needed_end, *needed_begin, *optional_begin;
    uint8_t *needed_in, *optional_in; /* by rank */
    size_t placed;                    /* needed ones */
    size_t first;                     /* rank of the first needed one that is not placed */
    uint32_t state;
    bool after_optional;
    struct frame *stack;
    size_t depth;
    struct seen seen;
    uint8_t *key;
};

static bool fits(const struct search *s, const struct order_step *t)
{
    if (s->after_optional && t->needs == NEEDS_NOTHING && t->does == DOES_SET)
        return false;
    switch (t->needs) {
    case NEEDS_NOTHING:
        return true;
    case NEEDS_IS:
        return s->state == t->what;
    case NEEDS_NOT:
        return s->state != t->what;
    case NEEDS_WHAT_CANNOT_BE:
        break;
    }
    return false;
}

static uint32_t state_after(struct search *s, const struct order_step *t)
{
    if (t->does == DOES_NOTHING)
        return s->state;
    if (t->does == DOES_SET)
        return t->value;
    struct peal_bytes a = text_bytes(s->texts, s->state), b = text_bytes(s->texts, t->value);
    uint8_t *both = history_must(malloc(a.n + b.n + 1));
    memcpy(both, a.p, a.n);
    memcpy(both + a.n, b.p, b.n);
    uint32_t v = text_number(s->texts, peal_bytes_of(both, a.n + b.n));
    free(both);
    return v;
}

/* How many of the times, which ascend, are at most t. */
static size_t count_upto(const uint64_t *times, size_t n, uint64_t t)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (times[mid] <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void add_bits(uint8_t *key, uint32_t *n, const uint8_t *in, size_t from, size_t to)
{
    for (size_t i = from; i < to; i += 8) {
        uint8_t b = 0;
        for (size_t k = 0; k < 8 && i + k < to; k++)
            b |= (uint8_t)(in[i + k] << k);
        key[(*n)++] = b;
    }
}

/* Whether the present configuration is met for the first time. What began after the first step that
 * is not placed had ended cannot have been placed, so it takes no room. */
static bool is_new(struct search *s)
{
    while (s->first < s->needed && s->needed_in[s->first])
        s->first++;
    uint64_t end = s->first < s->needed ? s->needed_end[s->first] : UINT64_MAX;
    uint32_t first = (uint32_t)s->first, n = 0;
    memcpy(s->key, &first, sizeof first);
    memcpy(s->key + sizeof first, &s->state, sizeof s->state);
    n = 2 * sizeof first;
    s->key[n++] = s->after_optional;
    add_bits(s->key, &n, s->needed_in, s->first, count_upto(s->needed_begin, s->needed, end));
    add_bits(s->key, &n, s->optional_in, 0, count_upto(s->optional_begin, s->optional, end));
    return seen_add(&s->seen, s->key, n);
}

static void place(struct search *s, uint32_t i, bool only)
{
    const struct order_step *t = &s->steps[i];
    s->stack[s->depth++] = (struct frame){
        .step = i, .state = s->state, .after_optional = s->after_optional, .only = only};
    s->state = state_after(s, t);
    s->after_optional = t->optional;
    s->next[s->prev[i]] = s->next[i];
    s->prev[s->next[i]] = s->prev[i];
    if (t->optional)
        s->optional_in[s->rank[i]] = 1;
    else
        s->needed_in[s->rank[i]] = 1;
    s->placed += !t->optional;
}

static struct frame take_back(struct search *s)
{
    struct frame f = s->stack[--s->depth];
    uint32_t i = f.step;
    s->next[s->prev[i]] = i;
    s->prev[s->next[i]] = i;
    if (s->steps[i].optional) {
        s->optional_in[s->rank[i]] = 0;
    } else {
        s->needed_in[s->rank[i]] = 0;
        s->placed--;
        if (s->rank[i] < s->first)
            s->first = s->rank[i];
    }
    s->state = f.state;
    s->after_optional = f.after_optional;
    return f;
}

/* The first step behind `after` that may come next and fits; quiet: that changes nothing. */
static uint32_t candidate(const struct search *s, uint32_t after, bool quiet)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = s->next[s->n]; i < s->n; i = s->next[i]) {
        const struct order_step *t = &s->steps[i];
        if (t->began_us > least)
            break;
        if (!t->optional && t->ended_us < least)
            least = t->ended_us;
        if ((after == NONE || i > after) && (!quiet || t->does == DOES_NOTHING) && fits(s, t))
            return i;
    }
    return NONE;
}

/* Whether every value that is needed can come about at all: else a search would go through all
 * orders of what leads nowhere. */
static bool has_sources(const struct order_step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool found = steps[i].optional || steps[i].needs != NEEDS_IS || steps[i].what == 0;
        for (size_t k = 0; k < n && !found; k++)
            found = steps[k].does == DOES_APPEND ||
                    (steps[k].does == DOES_SET && steps[k].value == steps[i].what);
        if (!found)
            return false;
    }
    return true;
}

static enum history_verdict run(struct search *s)
{
    uint32_t after = NONE;
    while (s->placed < s->needed) {
        if (s->seen.bytes > HISTORY_MEMORY_MAX)
            return HISTORY_UNDECIDED;
        uint32_t i = after == NONE ? candidate(s, NONE, true) : NONE;
        bool only = i != NONE;
        if (i == NONE)
            i = candidate(s, after, false);
        if (i != NONE) {
            place(s, i, only);
            after = NONE;
            if (is_new(s))
                continue;
        }
        struct frame f;
        do {
            if (s->depth == 0)
                return HISTORY_BAD;
            f = take_back(s);
        } while (f.only);
        after = f.step;
    }
    return HISTORY_GOOD;
}

static int by_begin(const void *a, const void *b)
{
    const struct order_step *x = a, *y = b;
    if (x->began_us != y->began_us)
        return x->began_us < y->began_us ? -1 : 1;
    if (x->ended_us != y->ended_us)
        return x->ended_us < y->ended_us ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

enum history_verdict order_search(struct texts *t, struct order_step *steps, size_t n)
{
    qsort(steps, n, sizeof *steps, by_begin);
    struct search s = {.texts = t, .steps = steps, .n = n};
    if (!has_sources(steps, n))
        return HISTORY_BAD;
    s.next = history_must(calloc(n + 1, sizeof *s.next));
    s.prev = history_must(calloc(n + 1, sizeof *s.prev));
    s.rank = history_must(calloc(n + 1, sizeof *s.rank));
    s.needed_end = history_must(calloc(n + 1, sizeof *s.needed_end));
    s.needed_begin = history_must(calloc(n + 1, sizeof *s.needed_begin));
    s.optional_begin = history_must(calloc(n + 1, sizeof *s.optional_begin));
    s.needed_in = history_must(calloc(n + 1, 1));
    s.optional_in = history_must(calloc(n + 1, 1));
    s.stack = history_must(calloc(n + 1, sizeof *s.stack));
    s.key = history_must(calloc(1, n / 8 + 64));
    for (size_t i = 0; i <= n; i++) {
        s.next[i] = (uint32_t)(i == n ? 0 : i + 1);
        s.prev[i] = (uint32_t)(i == 0 ? n : i - 1);
    }
    for (size_t i = 0; i < n; i++) {
        if (steps[i].optional) {
            s.optional_begin[s.optional] = steps[i].began_us;
            s.rank[i] = (uint32_t)s.optional++;
            continue;
        }
        s.needed_begin[s.needed] = steps[i].began_us;
        s.needed_end[s.needed] = steps[i].ended_us;
        s.rank[i] = (uint32_t)s.needed++;
    }
    enum history_verdict v = run(&s);
    seen_free(&s.seen);
    free(s.next);
    free(s.prev);
    free(s.rank);
    free(s.needed_end);
    free(s.needed_begin);
    free(s.optional_begin);
    free(s.needed_in);
    free(s.optional_in);
    free(s.stack);
    free(s.key);
    return v;
}
