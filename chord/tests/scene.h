/* scene: one core and up to PEERS servers that the test plays, which are in one ring with it. Peer
 * i is linked over LINK + i. Each fails the test when what it needs does not come about. */
#ifndef PEAL_CHORD_TEST_SCENE_H
#define PEAL_CHORD_TEST_SCENE_H

#include "one.h"

enum {
    LINK = 7,
    PEERS = 4,
    ROUND_BITS = 40,
    MS_US = 1000,
    STEP_US = 50 * MS_US,
    EPOCH = 5, /* in which this node is admitted */
};

struct ring { /* owns what a wire_roster shows */
    uint64_t epoch;
    size_t n;
    struct peal_id members[PEERS + 2];
};

struct scene {
    struct one *o;
    struct one_peer peer[PEERS];
    size_t peers;
    struct ring r;
};

extern const struct peal_id RING;

struct wire_roster shown(struct ring *r);
void put_in(struct ring *r, const struct peal_id *id);
/* The next epoch, without id; the next one with the same members. */
struct ring take_out(const struct ring *r, const struct peal_id *id);
struct ring next(const struct ring *r);
struct peal_id home_at(const struct ring *r, const struct peal_id *key, size_t i);
bool is_home(const struct ring *r, const struct peal_id *key, const struct peal_id *id);

/* Started, in no ring; s->r is the one with itself and so many peers. */
void begin(struct scene *s, size_t peers);
uint32_t link_of(size_t i);
void linked(struct scene *s, size_t i);
/* In the ring with all of them, as a newcomer that copies. */
void enter(struct scene *s, size_t peers);
/* All that was asked of everyone is given. */
void complete(struct scene *s);

/* Peer i is in s->r, and ready. */
void says(struct scene *s, size_t i);
void tells(struct scene *s, size_t i, struct ring *r, bool skips);
/* Time goes on, and all of them are there. */
void pass(struct scene *s, uint64_t us);

/* What it answers to peer 0: a roster to accept; a vote on key, in s->r's epoch with a ballot
 * higher than all before; a row for the box (put), or a list of it; and to peer `to`, a copy. 0 or
 * an error. */
int accept_code(struct scene *s, struct ring *r, bool newcomer, bool lost);
int vote_code(struct scene *s, const struct peal_id *key);
int set_code(struct scene *s, const struct peal_id *box, bool put);
int give_code(struct scene *s, size_t to, uint64_t base, const struct peal_id *from,
              const struct peal_id *upto);

/* The k-th n_copy that it has sent to peer i; its bytes are valid until the next look. */
struct wire_n_copy asked(struct scene *s, size_t i, size_t k);
/* Peer i answers one: nothing more, or an error. */
void gives(struct scene *s, size_t i, uint64_t op, int code);

#endif
