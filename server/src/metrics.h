/* metrics: a server's figures over HTTP, for a program that watches it (Prometheus' text format,
 * version 0.0.4) and for a health check. No names, ids of people or contents are in them.
 *
 *   GET /metrics   figures, one a line
 *   GET /health    "serves" with 200 while this server is a member with its copies and its disk
 * takes writes; else why not, with 503
 *
 * Not for: the open internet: whoever reaches the address reads them (peal/web.h's checks of Host
 * and Origin keep browsers' pages out). */
#ifndef PEALD_METRICS_H
#define PEALD_METRICS_H

#include "host.h"

struct metrics;

/* Listens on listen ("ADDR:PORT") until metrics_free; there is nothing to show yet (503). On an
 * error, as web_new's, why says what to do. */
PEAL_MUST int metrics_new(struct net_loop *loop, const char *listen, struct metrics **out,
                          char why[static HOST_WHY_MAX]);
/* Shows host's figures from now on; it outlives m. NULL m is allowed. */
void metrics_show(struct metrics *m, const struct host *host);
/* The loop must run once more. NULL is allowed. */
void metrics_free(struct metrics *m);
/* "http://127.0.0.1:9100/", as long as m. */
const char *metrics_url(const struct metrics *m);

/* The text of /metrics; how many bytes, at most cap. */
size_t metrics_text(const struct host_figures *f, size_t cap, char out[]);
/* That of /health; *status: 200 or 503. */
size_t metrics_health(const struct host_figures *f, size_t cap, char out[], unsigned *status);

#endif
