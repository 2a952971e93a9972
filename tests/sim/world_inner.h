/* The world's state and what its files offer each other. Not for anyone else. */
#ifndef PEAL_SIM_WORLD_INNER_H
#define PEAL_SIM_WORLD_INNER_H

#include "world.h"

#define NONE UINT32_MAX

enum {
    CLASSES = 15, /* frame buffers of 64 bytes to 1 MiB, by powers of two */
    CLASS_FIRST = 64,
    LEAVE_US = 100 * 1000, /* between LEAVE and the end of the process */
};

/* ---- what is under way ---- */

struct buffer {
    struct buffer *next; /* free ones */
    uint32_t size_class;
    uint8_t bytes[];
};

enum parcel_kind {
    PARCEL_FRAME,  /* to an end */
    PARCEL_UP,     /* to an end: LINK_UP */
    PARCEL_FIN,    /* to an end: the other side closed, or a reset */
    PARCEL_SELF,   /* to a node: a frame from itself */
    PARCEL_DIAL,   /* at a node's dial: TCP's round trip is over */
    PARCEL_SHAKEN, /* at a node's dial: TLS's too */
    PARCEL_FAILED, /* at a node: its dial failed */
    PARCEL_BEACON, /* from a node, to its segment */
    PARCEL_CALL,   /* world_at */
    PARCEL_END,    /* a node that left ends */
};

struct parcel {
    enum parcel_kind kind;
    uint32_t next; /* free, deferred or held ones */
    uint32_t node; /* for whom; BEACON: from whom */
    uint32_t life; /* of that node; for ends: the link's generation */
    uint32_t end;
    uint64_t since_us; /* of a dial: when it began; how long after the last try it tries again */
    uint64_t again_us;
    uint32_t address; /* of a dial; NONE: its text, which is no address here, is in the buffer */
    uint32_t n;
    int err;
    struct buffer *buffer;
    void (*fn)(void *arg, uint64_t what);
    void *arg;
    uint64_t what;
};

/* In the heap: a parcel, or (parcel NONE) a node's timer. */
struct entry {
    uint64_t at, seq;
    uint32_t parcel, node;
};

/* ---- links ---- */

/* An end's handle, as the core knows it, is its place and the link's generation. A link whose
 * generations are used up is not used again, so that no handle ever comes back. */
struct end {
    uint32_t node;
    uint32_t next, prev; /* of the node's open ends */
    uint64_t last;       /* when the last thing on its way to this end comes */
    bool open, told;     /* told: the core has had its LINK_UP */
    bool reset_due;
};

struct wlink {
    struct end end[2]; /* the dialler's first */
    uint32_t gen;
    uint32_t next;    /* free ones */
    uint32_t address; /* that was dialled */
    bool torn;        /* nothing comes through any more, either way */
};

enum { GEN_BITS = 8, GEN_MAX = (1 << GEN_BITS) - 2, PLACE_BITS = 32 - GEN_BITS };

/* ---- nodes ---- */

struct record {
    uint8_t key[WIRE_KEY_MAX];
    uint8_t key_n;
    enum step_space space;
    uint32_t n;
    uint8_t *value;
};

/* Sorted by space and key. */
struct disk {
    struct record **at;
    size_t n, cap;
};

struct wnode {
    struct peal_id id;
    void *mem, *core; /* NULL: it does not run */
    size_t mem_n;
    struct disk disk;
    struct step_reader reader;
    uint32_t life, address, also; /* NONE: it has no such address */
    uint8_t networks;
    uint32_t first_end, ends;
    uint32_t deferred, deferred_last, deferred_n;
    uint64_t timer_at; /* the earliest entry in the heap; UINT64_MAX: none */
    uint64_t origin_us;
    int64_t ppm, wall_ms;
    uint8_t region;
    uint32_t group, segment;
    bool paused, host_down, leaving;
};

struct world {
    struct world_config cfg;
    struct wnode *nodes;
    uint64_t now, seq, digest;
    struct rng rng;
    struct step_update u;
    void *u_mem;
    bool stepping;
    struct world_figures figures;

    struct entry *heap;
    size_t heap_n, heap_cap;
    struct parcel *parcels;
    uint32_t parcels_n, parcels_cap, parcels_free;
    struct buffer *free[CLASSES];

    struct wlink *links;
    uint32_t links_n, links_cap, links_free, links_free_last;
    uint32_t *owners;  /* by address */
    uint8_t *networks; /* likewise */
    uint8_t cut[WORLD_GROUPS_MAX][WORLD_GROUPS_MAX];
    uint32_t held, held_last;
};

/* ---- world.c ---- */
void *world__must(void *p);
void world__mix(struct world *w, uint64_t v);
/* Schedules a parcel, which the world owns from now on; its bytes are copied. */
void world__post(struct world *w, uint64_t at, const struct parcel *p, struct peal_bytes bytes);
/* Puts a parcel that is there already into the heap again. */
void world__repost(struct world *w, uint64_t at, uint32_t parcel);
/* Appends a parcel to a list of them. */
void world__append(struct world *w, uint32_t *first, uint32_t *last, uint32_t parcel);
void world__step(struct world *w, uint32_t node, struct step_event *ev);

/* ---- world_net.c ---- */
uint64_t world__latency(struct world *w, uint32_t from, uint32_t to);
void world__place_nodes(struct world *w);
void world__send(struct world *w, uint32_t node, uint32_t handle, struct peal_bytes b);
void world__close(struct world *w, uint32_t node, uint32_t handle);
void world__dial(struct world *w, uint32_t node, struct peal_bytes address);
void world__beacon(struct world *w, uint32_t node, struct peal_bytes b);
/* All links of a node end on its side; loud: the others are told. */
void world__drop_links(struct world *w, uint32_t node, bool loud);
/* What a parcel of the network does at its time. True: it was kept for later. */
bool world__arrive(struct world *w, uint32_t parcel);

/* ---- world_disk.c ---- */
void disk__reader(struct disk *d, struct step_reader *out);
void disk__write(struct disk *d, const struct step_effect *e);
void disk__clear(struct disk *d);

#endif
