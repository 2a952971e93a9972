/* image: the pages of an SQLite file, read without SQLite: the newest that the file or its
 * write-ahead log has of each, whatever is damaged around them (sqlite.org/fileformat2.html).
 *
 * Not for: what the pages mean (salvage.c). Internal to the store. */
#ifndef STORE_IMAGE_H
#define STORE_IMAGE_H

#include "peal/store.h"

enum {
    IMAGE_PAGE = 8192,         /* the page size of the files this program writes */
    IMAGE_PAGES_MAX = 1 << 26, /* 512 GiB, and 320 MiB of memory for what is known of its pages */
};

enum image_mark {
    IMAGE_STALE = 1, /* free, or a newer form of it in the log is damaged: what it has may be old */
    IMAGE_USED = 2,  /* read as what it is */
    IMAGE_BAD = 4,   /* not read as a whole */
    IMAGE_FREE = 8,  /* on the list of free pages, and so stale */
    IMAGE_LATE = 16, /* a newer form of it stands behind the log's last sound commit: torn, or
                      * damaged, and then what it has is old */
};

struct image {
    int fd, log;     /* log -1: there is none */
    uint32_t pages;  /* numbered 1 … pages */
    uint32_t *frame; /* by number: its newest frame in the log + 1; 0: it is in the file */
    uint8_t *marks;  /* by number: of enum image_mark */
    /* Of the log's frames: 1 for what is damaged, or belongs to nothing that was certainly
     * committed, and so is no page above. */
    uint32_t frames;
    uint8_t *loose;
};

/* PEAL_E_CORRUPT: the log beside path is damaged in a place that was durable. SQLite takes that for
 * its end, and forgets what was committed behind it. PEAL_E_IO, PEAL_E_USAGE. */
PEAL_MUST int image_check_log(const char *path, char why[static STORE_TEXT_MAX]);
/* PEAL_E_IO, PEAL_E_NO_MEMORY, PEAL_E_FULL (too large). image_close in any case. */
PEAL_MUST int image_open(struct image *m, const char *path, char why[static STORE_TEXT_MAX]);
void image_close(struct image *m);
/* False when there is no such page, or the disk does not give it. What the file has less of is
 * zeroes. */
bool image_read(const struct image *m, uint32_t page, uint8_t out[static IMAGE_PAGE]);
/* The page in frame i of the log, loose or not. */
bool image_frame(const struct image *m, uint32_t i, uint8_t out[static IMAGE_PAGE]);

#endif
