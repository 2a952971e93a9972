/* oracle: Zave's invariant over all nodes of a world, kept up with every step, and the ideal ring
 * at the end. It knows each node's ring_view and nothing else; what it says in oracle.c's head is
 * what it holds the nodes to. */
#ifndef PEAL_SIM_ORACLE_H
#define PEAL_SIM_ORACLE_H

#include "peal/ring.h"

struct oracle;

enum { ORACLE_WHY_MAX = 256, ORACLE_NODES_MAX = 1 << 15 };

struct oracle_config {
    const struct peal_id *ids; /* of all nodes that there will ever be, all different; copied */
    uint32_t nodes;
    uint8_t r;
    void *ctx;
    /* A broken rule, in words. node: whose step broke it. */
    void (*violated)(void *ctx, uint32_t node, const char *why);
    /* May be NULL. The node became a member, or is one no longer. */
    void (*member)(void *ctx, uint32_t node, bool is);
    /* May be NULL. Whether the node has a link to another: one that it has none to, and gives up,
     * it has taken for dead. */
    bool (*linked)(void *ctx, uint32_t node, const struct peal_id *other);
};

struct oracle *oracle_new(const struct oracle_config *cfg);
void oracle_free(struct oracle *o);

/* The node has taken a step. */
void oracle_saw(struct oracle *o, uint32_t node, const struct ring_view *v);
/* The node's process is gone. */
void oracle_gone(struct oracle *o, uint32_t node);
/* From now on (or no longer) the proof's assumptions do not hold: breaks are counted, not told. */
void oracle_excuse(struct oracle *o, bool on);
/* The costly rules, about all nodes at once. They are checked every now and then by itself. */
void oracle_check(struct oracle *o);

struct oracle_figures {
    uint64_t updates;  /* views that differed from the last */
    uint64_t checks;   /* of the costly kind */
    uint64_t violated; /* told */
    uint64_t excused;  /* breaks while excused */
    uint64_t assumed;  /* breaks by deaths alone, or by time-outs that were none, both of which the
                         proof assumes away */
    uint64_t armed;    /* times that the invariant was found to hold and was watched from then */
    uint32_t members, large, small, principals;
    uint32_t least_principals; /* while armed */
    uint32_t phases_most;      /* how often one node has changed its phase, at most */
};
void oracle_figures(const struct oracle *o, struct oracle_figures *out);
bool oracle_is_armed(const struct oracle *o);

bool oracle_is_member(const struct oracle *o, uint32_t node);
/* Places in the order of ids, and back. */
uint32_t oracle_place(const struct oracle *o, uint32_t node);
uint32_t oracle_node_at(const struct oracle *o, uint32_t place);
/* The first place at or after the id; oracle_config.nodes when there is none before zero. */
uint32_t oracle_place_of(const struct oracle *o, const struct peal_id *id);
/* The node of that id; UINT32_MAX: there is none. */
uint32_t oracle_node_of(const struct oracle *o, const struct peal_id *id);

/* Whether the members for which in(ctx, node) holds (NULL: all) form the ideal ring: each the right
 * phase, list and predecessor. If not, why. */
bool oracle_ideal(const struct oracle *o, bool (*in)(void *ctx, uint32_t node), void *ctx,
                  char why[static ORACLE_WHY_MAX]);

#endif
