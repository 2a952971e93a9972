/* swap: gives a data file's place to another one, so that after a crash at any moment either the
 * old one is there whole, or the next start completes what was begun.
 *
 * A file beside the data file with the name path + SWAP_SUFFIX is complete and durable, and is to
 * take its place: it gets that name last, and loses it last. Internal to the store. */
#ifndef STORE_SWAP_H
#define STORE_SWAP_H

#include "peal/store.h"

#define SWAP_SUFFIX ".next"

/* Keeps other processes out of the data file at path until *fd is closed. PEAL_E_BUSY: another one
 * has it. */
PEAL_MUST int file_lock(const char *path, int *fd, char why[static STORE_TEXT_MAX]);
/* Makes the names in path's folder durable. */
PEAL_MUST int file_sync_folder(const char *path, char why[static STORE_TEXT_MAX]);
/* Says that the system call on path failed, by errno. Returns PEAL_E_NO_SPACE or PEAL_E_IO. */
int file_say(char why[static STORE_TEXT_MAX], const char *what, const char *path);
/* path and suffix in out; PEAL_E_USAGE when that is too long. */
PEAL_MUST int file_beside(const char *path, const char *suffix, char out[static STORE_PATH_MAX],
                          char why[static STORE_TEXT_MAX]);
/* Removes path + suffix and what SQLite and the lock leave beside it; what is not there is no
 * error. */
void file_remove(const char *path, const char *suffix);

/* Under path's lock, with nobody having it open. When a file waits to take path's place: what is
 * there, with its log, is kept under the name aside (a date in it, never that of a file which is
 * there), and the waiting one takes its place. aside is "" when nothing was there or none waits. */
PEAL_MUST int swap_finish(const char *path, char aside[static STORE_PATH_MAX],
                          char why[static STORE_TEXT_MAX]);
/* Has the finished and closed file path + suffix wait to take path's place, and swaps. */
PEAL_MUST int swap_in(const char *path, const char *suffix, char aside[static STORE_PATH_MAX],
                      char why[static STORE_TEXT_MAX]);

#endif
