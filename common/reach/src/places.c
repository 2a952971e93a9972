#include "places.h"

#include <string.h>

void places_init(struct places *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    p->pass = 1;
    rng_init(&p->rng, seed);
}

static int victim(const struct places *p)
{
    int worst = PLACES_NONE;
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].chosen || p->v[i].busy)
            continue;
        if (worst == PLACES_NONE || p->v[i].failures > p->v[worst].failures)
            worst = (int)i;
    }
    return worst;
}

int places_add(struct places *p, const struct net_place *at, bool chosen, bool *fresh)
{
    *fresh = false;
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].at.port == at->port && strcmp(p->v[i].at.host, at->host) == 0) {
            p->v[i].chosen = p->v[i].chosen || chosen;
            return (int)i;
        }
    }
    int index = p->n < REACH_PLACES_MAX ? (int)p->n++ : victim(p);
    if (index == PLACES_NONE)
        return PEAL_E_FULL;
    p->v[index] = (struct place){.at = *at, .chosen = chosen};
    *fresh = true;
    return index;
}

/* Does a come before b? Equals are settled by the caller. */
static int order(const struct place *a, const struct place *b)
{
    if (a->failures != b->failures)
        return a->failures < b->failures ? -1 : 1;
    if (a->chosen != b->chosen)
        return a->chosen ? -1 : 1;
    return 0;
}

int places_take(struct places *p)
{
    int best = PLACES_NONE;
    uint64_t equals = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].busy || p->v[i].pass == p->pass)
            continue;
        int way = best == PLACES_NONE ? -1 : order(&p->v[i], &p->v[best]);
        equals = way < 0 ? 1 : equals + (way == 0);
        if (way < 0 || (way == 0 && rng_below(&p->rng, equals) == 0))
            best = (int)i;
    }
    if (best != PLACES_NONE) {
        p->v[best].busy = true;
        p->v[best].pass = p->pass;
    }
    return best;
}

void places_again(struct places *p)
{
    p->pass++;
}

void places_failed(struct places *p, int index)
{
    CHECK(index >= 0 && (size_t)index < p->n && p->v[index].busy);
    p->v[index].busy = false;
    if (p->v[index].failures < UINT32_MAX)
        p->v[index].failures++;
}

void places_served(struct places *p, int index)
{
    CHECK(index >= 0 && (size_t)index < p->n);
    p->v[index].failures = 0;
}
