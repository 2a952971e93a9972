/* scenario: nodes with two addresses, of which one is on a network that only some of the others are
 * on. */
#include "scenario_inner.h"

enum {
    LOOKUPS = 500,
    LOOKUPS_S = 10,
    NOTICE_S = 5, /* a silent link is given up by then */
    SEGMENTS = 2,
    EVERYWHERE = 1 << SEGMENTS, /* the network that all nodes are on */
};

static uint32_t segment_of(uint32_t node)
{
    return node / 2 % SEGMENTS;
}

/* Its address on its segment. */
static uint32_t near_address(const struct run *r, uint32_t node)
{
    return r->nodes + node;
}

static void lay_cables(struct run *r)
{
    for (uint32_t i = 0; i < r->nodes; i++) {
        uint8_t segment = (uint8_t)(1U << segment_of(i));
        world_networks(r->w, i, segment | EVERYWHERE);
        world_reach(r->w, i, EVERYWHERE);
        world_also(r->w, i, near_address(r, i));
        world_reach(r->w, near_address(r, i), segment);
    }
}

void scenario_networks(struct run *r)
{
    r->near_first = true;
    run_open(r, r->opt->nodes, NULL);
    lay_cables(r);
    if (!run_grow(r, 0, r->nodes))
        return;
    world_run(r->w, (uint64_t)run_duration(r) * US);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_figure(r, "segments_seconds", run_settle(r, run_patience(r), "two segments"), 1,
               "seconds until the ring was ideal again after lookups over two segments");
    uint32_t torn = 0;
    run_excuse(r, true); /* torn links: time-outs that do not mean death */
    for (uint32_t i = 0; i < r->nodes; i++)
        if (segment_of(i) == 0)
            torn += world_unplug(r->w, near_address(r, i));
    if (torn == 0)
        run_violation(r, WORLD_NOBODY, "no link was dialled at an address of a segment");
    run_figure(r, "torn_links", torn, 0, "links that went with the network of one segment");
    world_run(r->w, (uint64_t)NOTICE_S * US);
    run_figure(r, "unplugged_seconds", NOTICE_S + run_settle(r, run_patience(r), "a segment went"),
               1, "seconds after that when the ring was ideal, their silence noticed");
    run_excuse(r, false);
    world_run(r->w, (uint64_t)run_duration(r) * US);
    run_lookups_over(r, LOOKUPS, LOOKUPS_S);
    run_all_right(r, "with addresses that only some reach");
    run_lookup_figures(r);
}
