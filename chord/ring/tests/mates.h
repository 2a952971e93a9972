/* One node among mates that are played by the test: a small ring, message by message. */
#ifndef PEAL_RING_TESTS_MATES_H
#define PEAL_RING_TESTS_MATES_H

#include "inner.h"

enum { MATES = 5, SCRATCH = 1 << 20, PLENTY = 100 * 1000 /* bytes a second */ };

/* A message that the node said. */
struct said {
    uint32_t link;
    uint16_t type;
    union wire_any m;
};

struct one {
    struct ring *r;
    void *mem, *update_mem;
    struct step_update u;
    uint64_t now;
    struct peal_id mate[MATES];
    bool closed[MATES];
    size_t casts;
    struct peal_id cast_origin;
    uint8_t keep[SCRATCH];
    struct arena arena;
};

extern const struct step_reader mates_store; /* empty */
#define MATES_WALL_MS UINT64_C(1700000000000)

struct peal_id mates_random_id(struct rng *g);
/* n distinct ids, ascending. */
void mates_random_ring(struct rng *g, struct peal_id *ids, size_t n);
/* Signed as the node's verify wants it. */
struct wire_contact mates_contact(const struct peal_id *id, uint64_t incarnation);

/* A node alone that was not started. */
struct one *mates_node(const struct peal_id *self, uint32_t gossip_bytes);
/* A member of a small ring with MATES mates, numbered clockwise from it; mate i's link is i + 1.
 * The ids are the same each time. */
struct one *mates_ring(uint32_t gossip_bytes);
void mates_free(struct one *o);

/* The event happens now, at o->now; effects are added to the update's. */
void mates_step(struct one *o, struct step_event ev);
/* Mate i says the message; afterwards the update holds what came of it, nothing else. */
void mates_say(struct one *o, size_t i, uint16_t type, void *msg);
void mates_ping(struct one *o, size_t i);
void mates_rumour(struct one *o, size_t mate, struct wire_rumour w);
/* The next message of the type among the update's effects from *at on; false: none. */
bool mates_said(struct one *o, size_t *at, uint16_t type, struct said *out);

struct wire_rumour mates_life(const struct one *o, const struct peal_id *id,
                              const struct peal_id *limit);
struct wire_rumour mates_death(const struct one *o, const struct peal_id *id,
                               const struct peal_id *limit);
/* The node knows id from now on. */
void mates_learn(struct one *o, const struct peal_id *id, uint64_t incarnation, bool dead);

#endif
