/* watch: shows what is simulated on the visualizer's page while it goes on: the ring as the live
 * member of the lowest number sees it, what nodes trace, and the ways of lookups, from the same
 * messages that a server sends to peal-visualizer (peal/feed.h). A watched run is the same as one
 * that nobody watches, to the byte.
 *
 * A node that is dead, asleep or cut off from the seer is down from when the seer has found out;
 * every other one is as it says of itself, as are its successor and predecessor. The ring has no
 * epoch here and no node has clients: both are 0. Times are the nodes' own clocks: virtual time.
 *
 * Not for: asking the nodes anything. The page's lookups are refused, since they would change the
 * run. */
#ifndef PEAL_SIM_WATCH_H
#define PEAL_SIM_WATCH_H

#include "scenario.h"

enum {
    WATCH_SHOWN_MAX = WIRE_ROSTER_MAX, /* nodes; of more, those that lie evenly in the ring */
    WATCH_RING_MS = 200,               /* between two pushes of the ring, in real time */
    WATCH_TRACES_MAX = 10,             /* in a real second; the others are left out */
    WATCH_PATHS_MAX = 4,               /* likewise, lookups */
    WATCH_PAGE_MS = 10 * 1000,         /* that a paced run waits for its first page */
    WATCH_EXIT_INTERRUPTED = 130,      /* 128 and SIGINT, as shells have it */
};
#define WATCH_STAYS    UINT32_MAX /* beyond what ISO C lets an enumerator be */
#define WATCH_PACE_MAX 1e6

struct watch;

/* Serves the page on 127.0.0.1:port (0: a free one) and says where to `out`. pace: virtual seconds
 * in a real one, 0: as fast as it goes. what: the scenario, for the page. The errors of feed_new.
 */
PEAL_MUST int watch_new(uint32_t port, double pace, const char *what, FILE *out,
                        struct watch **watch);
/* NULL is allowed. */
void watch_free(struct watch *x);
/* For sim_options, as long as x lives. While a run goes on, SIGINT and SIGTERM end the process,
 * with WATCH_EXIT_INTERRUPTED: a run cannot be left half-way. */
const struct sim_watcher *watch_watcher(const struct watch *x);
/* Serves on until SIGINT, SIGTERM, a key on the terminal, or so many seconds have passed. */
void watch_linger(struct watch *x, uint32_t seconds);

#endif
