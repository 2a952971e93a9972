/* disk: a node's store for tests of the service: a sorted table with a log to undo what is not
 * durable yet. */
#ifndef PEAL_TEST_DISK_H
#define PEAL_TEST_DISK_H

#include <peal/step.h>

struct blob {
    uint8_t *p;
    size_t n;
};

struct record {
    enum step_space space;
    struct blob key, value;
};

struct undo {
    uint64_t ticket;
    enum step_space space;
    struct blob key, value;
    bool had;
};

struct disk {
    struct record *v;
    size_t n, cap;
    struct undo *undo;
    size_t undo_n, undo_cap;
    uint64_t row_reads; /* of STEP_ROWS */
};

/* Room for need items of size bytes; ends the test when there is no memory. */
void *grow(void *p, size_t *cap, size_t need, size_t size);
/* A copy on the heap. */
struct blob blob_of(struct peal_bytes b);
struct peal_bytes view(const struct blob *b);

/* One WRITE of the update with this ticket. */
void disk_write(struct disk *d, const struct step_effect *e, uint64_t ticket);
/* What was written with this ticket or before is durable. */
void disk_commit(struct disk *d, uint64_t ticket);
/* Everything else is lost. */
void disk_crash(struct disk *d);
void disk_free(struct disk *d);
/* Stores all accounts anew as an earlier build did (s_account_0 or s_account_1, by form); how many
 * there are. */
size_t disk_age_accounts(struct disk *d, unsigned form);
/* For struct step_reader, with ctx = the disk. */
int disk_get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
             struct peal_bytes *value);
int disk_scan(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
              size_t limit, step_scan_fn *fn, void *fn_ctx);

#endif
