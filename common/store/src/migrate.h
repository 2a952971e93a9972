/* migrate: from older versions of the data file to this one.
 *
 * | version | what                                                                                |
 * |---------|-------------------------------------------------------------------------------------|
 * | 0       | an empty file                                                                       |
 * | 1       | each space a table of keys in their order; checksums are BLAKE2b                    |
 * | 2       | the rows in the order in which they were written (index.h); checksums are SipHash   |
 *
 * From 1 to 2 the rows are moved a few at a time, each time in a transaction of their own, so that
 * a large file does not need twice its room; what is not moved yet waits in the table rows_1. A
 * start that was cut short, or met a full disk, is gone on with by the next. */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include "sqlite.h"

/* Brings the file up to date. PEAL_E_VERSION when a newer program wrote it; PEAL_E_NO_SPACE and the
 * others as store_open_sqlite gives them. */
PEAL_MUST int migrate(sqlite3 *db, char why[static STORE_TEXT_MAX]);

/* The checksum that version 1 had. */
sqlite3_int64 migrate_checksum_1(enum store_space space, struct peal_bytes key,
                                 struct peal_bytes value);

#endif
