/* recovery: a key on paper that opens an account whose password is forgotten. */
#include "crypto_int.h"

#include <sodium.h>
#include <string.h>

enum { DIGITS = 32, DIGIT_BITS = 5, GROUP = 4, CHECK_BITS = 10 };

_Static_assert(DIGITS *DIGIT_BITS == 8 * CRY_RECOVERY_BYTES, "no bit is left over");
_Static_assert(DIGITS + DIGITS / GROUP == CRY_RECOVERY_TEXT, "hyphens between groups, and NUL");

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static const char context[crypto_kdf_CONTEXTBYTES] = {'p', 'e', 'a', 'l', 'r', 'c', 'v', 'r'};

/* Puts the check into the lowest bits. */
static void seal(struct cry_recovery *k)
{
    uint8_t hash[CRY_HASH_BYTES];
    k->b[CRY_RECOVERY_BYTES - 2] &= 0xff << (CHECK_BITS - 8) & 0xff;
    k->b[CRY_RECOVERY_BYTES - 1] = 0;
    cry_digest("peal.recovery.0", peal_bytes_of(k->b, sizeof k->b), hash);
    unsigned check = (unsigned)(hash[0] << 8 | hash[1]) >> (16 - CHECK_BITS);
    k->b[CRY_RECOVERY_BYTES - 2] |= (uint8_t)(check >> 8);
    k->b[CRY_RECOVERY_BYTES - 1] = (uint8_t)check;
    sodium_memzero(hash, sizeof hash);
}

void cry_recovery_new(struct cry_recovery *out)
{
    randombytes_buf(out->b, sizeof out->b);
    seal(out);
}

void cry_recovery_text(const struct cry_recovery *k, char out[static CRY_RECOVERY_TEXT])
{
    size_t n = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        size_t bit = i * DIGIT_BITS;
        unsigned two = (unsigned)k->b[bit / 8] << 8;
        if (bit / 8 + 1 < CRY_RECOVERY_BYTES)
            two |= k->b[bit / 8 + 1];
        if (i > 0 && i % GROUP == 0)
            out[n++] = '-';
        out[n++] = alphabet[two >> (16 - DIGIT_BITS - bit % 8) & 31];
    }
    out[n] = '\0';
    CHECK(n + 1 == CRY_RECOVERY_TEXT);
}

/* Its value, or -1. */
static int digit_of(uint8_t c)
{
    if (c >= 'a' && c <= 'z')
        c = (uint8_t)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    else if (c == 'I' || c == 'L')
        c = '1';
    const char *at = c != 0 ? strchr(alphabet, c) : NULL;
    return at != NULL ? (int)(at - alphabet) : -1;
}

int cry_recovery_parse(struct peal_bytes text, struct cry_recovery *out)
{
    struct cry_recovery k = {{0}}, sealed;
    size_t n = 0;
    int err = text.n > CRY_RECOVERY_INPUT_MAX ? PEAL_E_TOO_LONG : 0;
    for (size_t i = 0; i < text.n && err == 0; i++) {
        if (text.p[i] == ' ' || text.p[i] == '-')
            continue;
        int digit = digit_of(text.p[i]);
        if (digit < 0 || n == DIGITS) {
            err = PEAL_E_MALFORMED;
            break;
        }
        for (size_t bit = 0; bit < DIGIT_BITS; bit++)
            if ((digit >> (DIGIT_BITS - 1 - bit) & 1) != 0)
                k.b[(n * DIGIT_BITS + bit) / 8] |= (uint8_t)(0x80 >> (n * DIGIT_BITS + bit) % 8);
        n++;
    }
    if (err == 0 && n != DIGITS)
        err = PEAL_E_MALFORMED;
    sealed = k;
    seal(&sealed);
    if (err == 0 && sodium_memcmp(sealed.b, k.b, sizeof k.b) != 0)
        err = PEAL_E_CORRUPT;
    if (err == 0)
        *out = k;
    sodium_memzero(&k, sizeof k);
    sodium_memzero(&sealed, sizeof sealed);
    return err;
}

void cry_recovery_split(const struct cry_recovery *k, struct peal_secret *auth,
                        struct peal_secret *wrap)
{
    uint8_t key[crypto_kdf_KEYBYTES];
    _Static_assert((int)sizeof key == (int)CRY_HASH_BYTES, "a digest is such a key");
    cry_digest("peal.recovery.1", peal_bytes_of(k->b, sizeof k->b), key);
    int rc = crypto_kdf_derive_from_key(auth->b, sizeof auth->b, 1, context, key);
    CHECK(rc == 0);
    rc = crypto_kdf_derive_from_key(wrap->b, sizeof wrap->b, 2, context, key);
    CHECK(rc == 0);
    sodium_memzero(key, sizeof key);
}

void cry_recovery_hash(const uint8_t auth[static SECRET_BYTES], uint8_t out[static CRY_HASH_BYTES])
{
    cry_digest("peal.recovery.2", peal_bytes_of(auth, SECRET_BYTES), out);
}
