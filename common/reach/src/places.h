/* places: the bounded table of addresses where servers may be, and the order in which they are
 * tried.
 *
 * Trying goes in passes: within one, each place is tried once; those that failed least first, among
 * them the chosen ones, so that the one that was just lost comes last; equals in random order, so
 * that a dead server's clients spread over the others. */
#ifndef PEAL_REACH_PLACES_H
#define PEAL_REACH_PLACES_H

#include <peal/reach.h>

struct place {
    struct net_place at;
    bool chosen;
    bool busy;         /* being dialled, or the present server */
    uint32_t failures; /* in a row */
    uint64_t pass;     /* the pass it was tried in last */
};

struct places {
    struct place v[REACH_PLACES_MAX];
    size_t n;
    uint64_t pass;
    struct rng rng;
};

enum { PLACES_NONE = -1 };

void places_init(struct places *p, uint64_t seed);
/* The index of the place, new or known; PEAL_E_FULL when no learned one can give way. *fresh: it
 * was not known. */
PEAL_MUST int places_add(struct places *p, const struct net_place *at, bool chosen, bool *fresh);
/* Marks the next place of this pass as tried and busy, and returns its index; PLACES_NONE when the
 * pass is over. */
int places_take(struct places *p);
/* Begins the next pass. */
void places_again(struct places *p);
void places_failed(struct places *p, int index);
void places_served(struct places *p, int index);

#endif
