/* fuzz_fill: what a script of bytes is turned into: a small world of nodes, and messages whose
 * fields are mostly plausible in it. Any bytes are a script; after its end there are zeros. */
#ifndef PEAL_RING_FUZZ_FILL_H
#define PEAL_RING_FUZZ_FILL_H

#include "peal/ring.h"

enum {
    WORLD_NODES = 14, /* that there are; the first is the node under test */
    SCRIPT_NUMBERS = 32,
};
#define SCRIPT_WALL_MS UINT64_C(1700000000000)

struct script {
    const uint8_t *in;
    size_t left;
    uint64_t now;                     /* for plausible stamps */
    uint64_t numbers[SCRIPT_NUMBERS]; /* that the node said lately, the last of them */
    size_t numbers_n;                 /* ever */
};

/* who == WORLD_NODES is allowed for address and contact: somebody else. */
struct peal_id world_id(size_t who);
size_t world_who(const struct peal_id *id); /* WORLD_NODES: none of them */
struct peal_bytes world_address(size_t who);
struct peal_bytes world_addresses(size_t who);
struct wire_contact world_contact(size_t who, uint64_t incarnation);

uint8_t script_byte(struct script *s);
struct peal_id script_id(struct script *s);
uint64_t script_number(struct script *s);
/* Mostly the node's own; a signature that begins with another byte than 0 is a bad one. */
struct wire_contact script_contact(struct script *s, size_t who);
/* All fields of the struct at `at`; lists come from the arena, which must suffice. */
void script_fill(struct script *s, const struct wire_desc *d, void *at, struct arena *a);

#endif
