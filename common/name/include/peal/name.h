/* name: the one spelling of an account's name. Clients bring what people type into it; servers
 * accept nothing else.
 *
 * Not for: display names, which are free text.
 *
 * Follows the UsernameCaseMapped profile of PRECIS (RFC 8265) with case folding in place of
 * lower-casing: width mapping, case folding, NFC. Of what RFC 8264 allows in identifiers, names
 * have letters, digits, the marks that some scripts write on letters, and '.', '_', '-'. Pure: no
 * allocation; Unicode's tables are utf8proc's. */
#ifndef PEAL_NAME_H
#define PEAL_NAME_H

#include <peal/base.h>

enum {
    NAME_CHARS_MAX = 32,                 /* characters (code points) of a canonical name */
    NAME_BYTES_MAX = 4 * NAME_CHARS_MAX, /* bytes of one */
    NAME_INPUT_MAX = 512,                /* bytes that are looked at */
};

/* The canonical form of `in`, NUL-terminated, into out; on an error out is the empty string.
 * PEAL_E_USAGE: nothing there. PEAL_E_TOO_LONG: more than NAME_CHARS_MAX characters.
 * PEAL_E_MALFORMED: not UTF-8, or a character that names do not have.
 * PEAL_E_REFUSED: each character is fine, but not together: letters of Latin, Greek and Cyrillic
 * mixed (they look alike), or letters of left-to-right and right-to-left scripts mixed (they are
 * shown in another order than they are stored). */
PEAL_MUST int name_canonical(struct peal_bytes in, char out[static NAME_BYTES_MAX + 1]);
/* True when `in` is what name_canonical makes of it. */
bool name_is_canonical(struct peal_bytes in);
/* One sentence for people on an error of name_canonical; static. */
const char *name_why(int err);

#endif
