/* disk: what a server does about its own database: opens it, and mends it when it is damaged; tells
 * the core when the disk fails and when it is well again; keeps the arc for the file's views.
 *
 * Not for: carrying out the core's writes (effects.c), backups (commands.c). */
#ifndef PEALD_DISK_H
#define PEALD_DISK_H

#include "host_internal.h"

/* A pair of META which says that what this server promised cannot be relied on, since its database
 * was salvaged or comes from a backup: votes that it gave may be missing. The value is prose for
 * people. It is written only here, before the core sees that database for the first time, and lasts
 * until the core removes it.
 *
 * The core's part: a node that finds the pair at START votes on nothing, be it a register or a
 * roster, and counts in no quorum; it asks for a new epoch, in which it copies everything from its
 * peers, and removes the pair in the update in which it counts again. */
#define DISK_DISTRUST_KEY "distrust"

enum {
    DISK_ALSO_MAX = 3,
    DISK_CHECK_US = 1000 * 1000, /* how often arc and reading are looked after */
};

/* The writes that make a database one that is not relied on: `why` is to outlive them. *n of them
 * in out. */
void disk_distrust(const char *why, struct store_write out[static DISK_ALSO_MAX], size_t *n);
/* The writes that make it one that is. */
void disk_trust(struct store_write out[static DISK_ALSO_MAX], size_t *n);

/* Opens h->store. A database that is damaged, or none, or whose roster cannot be read, is moved
 * aside, what can be salvaged of it goes into a new one, which is marked with DISK_DISTRUST_KEY,
 * and the log says what was kept. A database whose roster names this server alone needs no mark,
 * and loses it. On an error nothing could be done, and why says what can be. */
PEAL_MUST int disk_open(struct host *h, char why[static HOST_WHY_MAX]);

/* A read failed with err: the disk, or a damaged page. */
void disk_read_failed(struct host *h, int err);
/* What the core is to be told of the disk: 0 or an error. When it changes, the log says it, once,
 * and *news is true. */
int disk_health(struct host *h, bool *news);
/* Now and then, outside of a step: looks whether reading works again, and whether the arc has
 * changed, which is then written lazily. */
void disk_tick(struct host *h);

#endif
