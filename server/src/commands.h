/* commands: what peald does with a database instead of serving from it: backup and restore.
 *
 * Not for: what a server does about its own database while it serves (disk.c). */
#ifndef PEALD_COMMANDS_H
#define PEALD_COMMANDS_H

#include "options.h"

#include "peal/store.h"

enum { COMMANDS_WHY_MAX = 1024 };

/* The path of the database in the data folder; false when it is too long. */
bool commands_db(const struct options *o, char out[static STORE_PATH_MAX]);

/* Copies the database to o->file and says on standard output what that has; how far it has come on
 * standard error, when that is a terminal. On an error why says what was wrong. */
PEAL_MUST int commands_backup(const struct options *o, char why[static COMMANDS_WHY_MAX]);
/* Puts o->file in the place of the database, marked so that nobody relies on it, unless
 * o->all_lost. Refuses a folder without the key of the server whose database it is. */
PEAL_MUST int commands_restore(const struct options *o, char why[static COMMANDS_WHY_MAX]);

#endif
