/* Messages with random contents, made from the descriptors, for the tests of both codecs. */
#ifndef PEAL_WIRE_SAMPLE_H
#define PEAL_WIRE_SAMPLE_H

#include <peal/wire.h>

struct sample {
    struct rng *rng;
    struct arena *arena; /* where contents go */
    size_t bytes_max;    /* BYTES and STR are at most that long, and never above their maximum */
    size_t items_max;    /* lists, likewise */
    bool full;           /* not at most, but exactly that long; STR is then ASCII */
};

/* Fills the struct of d; aborts when the arena is too small. */
void sample_fill(const struct sample *s, const struct wire_desc *d, void *out);

/* All messages: the first number from `type` on, or 0. for (t = sample_next(1); t != 0; t =
 * sample_next(t + 1)) */
uint16_t sample_next(unsigned type);

#endif
