/* byhand: a node whose state the test builds itself, so that each case says all that matters for
 * it: who is known, linked, dead, successor or finger. Nothing happens to it but what a test calls.
 */
#ifndef PEAL_RING_TEST_BYHAND_H
#define PEAL_RING_TEST_BYHAND_H

#include "inner.h"

enum {
    NODES = 128,
    LINKS = 64,
    FINDS = 8,
    FLIGHTS = 8,
    SAID_MAX = 64,
    SELF = 0x40,
    FORGED = 0xbd, /* first byte of a signature that is not good */
    T0 = 5 * SECOND,
};

extern struct ring ring;

void hand_set_up(void);
void hand_tear_down(void);

/* Ids are written as their first byte. */
static inline struct peal_id id(unsigned first)
{
    return (struct peal_id){{(uint8_t)first}};
}

/* Self is 0x40, its predecessor 0x30, its successors as given; all linked. */
void be(enum ring_phase phase, const unsigned *succ, size_t n);
/* LARGE, successors 0x50 to 0x68, no hints. */
void be_classic(void);
extern const unsigned four[4];

struct contact contact_of(const struct peal_id *who);
/* In the book from now on, living. */
struct node *know(unsigned first);
struct node *know_id(const struct peal_id *who);
/* Known, and linked from now on, as a member of a large ring. */
struct link *linked(unsigned first);
struct link *link_node(struct node *n);
/* Takes the link away; nobody is told. */
void unlink_node(unsigned first);
/* Found dead; it must have no link. */
void dies(unsigned first);
void finger(unsigned bit, unsigned first);

/* How lookups that began here have ended: how many, and the last one. */
struct ended {
    int n, err;
    uint64_t token;
    struct peal_id owner, path[WIRE_PATH_MAX + 1];
    size_t path_n;
};
extern struct ended ended;

/* What was sent and closed since collect() was called last, of lookups. */
struct said {
    uint32_t link;
    uint16_t type; /* 0: the link was closed */
    union wire_any m;
    int err;
};
extern struct said said[SAID_MAX];
extern size_t said_n;
void collect(void);
/* said[i] is a message of that type to that node. */
const struct said *assert_said(size_t i, unsigned to, uint16_t type, const char *what);

#endif
