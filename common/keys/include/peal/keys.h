/* keys: the two small secret files of a server: the ring's key and the node's own. An operator has
 * a copy of the first.
 *
 * Not for: what is derived from them (peal/crypto.h). */
#ifndef PEAL_KEYS_H
#define PEAL_KEYS_H

#include "peal/crypto.h"

enum { KEYS_WHY_MAX = 1024 };

/* Reads the secret in the file at path: 64 hexadecimal digits (a line end may follow), or exactly
 * 32 raw bytes. When there is no such file and make is true, makes one with a fresh secret, mode
 * 0600, durable before this returns; of several processes that do so at once, all get the same
 * secret. *made (may be NULL) says whether this call made it. PEAL_E_NOT_FOUND: no such file, and
 * make is false (why is not written); PEAL_E_MALFORMED: not of the form; PEAL_E_REFUSED: others
 * than its owner can read it; PEAL_E_IO. why: the file and what to do. */
PEAL_MUST int keys_load(const char *path, bool make, struct peal_secret *out, bool *made,
                        char why[static KEYS_WHY_MAX]);

/* Binds a data folder to a ring: the file at path keeps the ring's fingerprint from the first start
 * on. PEAL_E_FOREIGN: it keeps another one; PEAL_E_MALFORMED, PEAL_E_IO. */
PEAL_MUST int keys_bind(const char *path, const uint8_t fingerprint[static CRY_FP_BYTES],
                        char why[static KEYS_WHY_MAX]);

#endif
