/* password: Argon2id on the client's side, bcrypt on the server's. */
#include "crypto_int.h"

#include <crypt.h>
#include <sodium.h>
#include <string.h>

enum { AUTH_TEXT = 44, BCRYPT_CHARS = 60 };

_Static_assert((int)CRY_SALT_BYTES == (int)crypto_pwhash_SALTBYTES, "Argon2id's salt");
_Static_assert(AUTH_TEXT == sodium_base64_ENCODED_LEN(SECRET_BYTES,
                                                      sodium_base64_VARIANT_URLSAFE_NO_PADDING),
               "43 characters and NUL");

void cry_kdf_new(struct cry_kdf *out)
{
    randombytes_buf(out->salt, sizeof out->salt);
    out->ops = CRY_KDF_OPS_DEFAULT;
    out->mem = CRY_KDF_MEM_DEFAULT;
}

int cry_password_split(struct peal_bytes password, const struct cry_kdf *kdf,
                       struct peal_secret *auth, struct peal_secret *wrap)
{
    uint8_t both[2 * SECRET_BYTES];
    if (password.n == 0)
        return PEAL_E_USAGE;
    if (password.n > CRY_PASSWORD_MAX)
        return PEAL_E_TOO_LONG;
    if (kdf->ops < CRY_KDF_OPS_MIN || kdf->ops > CRY_KDF_OPS_MAX || kdf->mem < CRY_KDF_MEM_MIN ||
        kdf->mem > CRY_KDF_MEM_MAX)
        return PEAL_E_REFUSED;
    if (crypto_pwhash(both, sizeof both, (const char *)password.p, password.n, kdf->salt, kdf->ops,
                      kdf->mem, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return PEAL_E_NO_MEMORY;
    memcpy(auth->b, both, SECRET_BYTES);
    memcpy(wrap->b, both + SECRET_BYTES, SECRET_BYTES);
    sodium_memzero(both, sizeof both);
    return 0;
}

int cry_bcrypt_raw(const char *phrase, const char *setting, char out[static CRY_BCRYPT_SIZE])
{
    struct crypt_data data;
    memset(&data, 0, sizeof data);
    const char *hash = crypt_rn(phrase, setting, &data, (int)sizeof data);
    int rc = PEAL_E_CRYPTO;
    if (hash != NULL && strlen(hash) < CRY_BCRYPT_SIZE) {
        memcpy(out, hash, strlen(hash) + 1);
        rc = 0;
    }
    sodium_memzero(&data, sizeof data);
    return rc;
}

static void auth_text(const struct peal_secret *auth, char out[static AUTH_TEXT])
{
    (void)sodium_bin2base64(out, AUTH_TEXT, auth->b, sizeof auth->b,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int cry_bcrypt_hash(const struct peal_secret *auth, unsigned cost, char out[static CRY_BCRYPT_SIZE])
{
    uint8_t salt[16];
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    char text[AUTH_TEXT];
    if (cost < CRY_BCRYPT_COST_MIN || cost > CRY_BCRYPT_COST_MAX)
        return PEAL_E_USAGE;
    randombytes_buf(salt, sizeof salt);
    if (crypt_gensalt_rn("$2b$", cost, (const char *)salt, (int)sizeof salt, setting,
                         (int)sizeof setting) == NULL)
        return PEAL_E_CRYPTO;
    auth_text(auth, text);
    int rc = cry_bcrypt_raw(text, setting, out);
    sodium_memzero(text, sizeof text);
    return rc;
}

static bool bcrypt_in_form(const char *s)
{
    if (strnlen(s, CRY_BCRYPT_SIZE) != BCRYPT_CHARS || strncmp(s, "$2b$", 4) != 0)
        return false;
    if (s[4] < '0' || s[4] > '9' || s[5] < '0' || s[5] > '9')
        return false;
    int cost = (s[4] - '0') * 10 + (s[5] - '0');
    return cost >= CRY_BCRYPT_COST_MIN && cost <= CRY_BCRYPT_COST_MAX;
}

int cry_bcrypt_verify(const struct peal_secret *auth, const char *stored)
{
    char text[AUTH_TEXT];
    char again[CRY_BCRYPT_SIZE];
    if (!bcrypt_in_form(stored))
        return PEAL_E_CORRUPT;
    auth_text(auth, text);
    int rc = cry_bcrypt_raw(text, stored, again);
    sodium_memzero(text, sizeof text);
    if (rc != 0)
        return PEAL_E_CORRUPT; /* characters in the salt that bcrypt does not have */
    return sodium_memcmp(again, stored, BCRYPT_CHARS) == 0 ? 0 : PEAL_E_AUTH;
}
