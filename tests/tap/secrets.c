/* peal-secrets: tells a test what only a client knows, so that the test can look for it where it
 * must not be.
 *
 *   peal-secrets keys PROFILE                    {"name","rsa","seed","device"}: the account's
 * private keys (RSA as PKCS #1 DER) and
 *                                                the key that they lie under in the profile, in
 * hexadecimal
 *   peal-secrets split SALT OPS MEM-KIB          reads a password from standard input;
 * {"auth","wrap"} in hexadecimal */
#include <peal/crypto.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096, NUMBER_BASE = 10 };

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "peal-secrets: %s: %s\n", what, why);
    exit(1);
}

static void print_hex(const char *name, const uint8_t *p, size_t n)
{
    char *hex = malloc(2 * n + 1);
    if (hex == NULL)
        die(name, "no memory");
    peal_hex(p, n, hex);
    printf("\"%s\":\"%s\"", name, hex);
    free(hex);
}

/* One row of a query, as blobs. */
static sqlite3_stmt *row_of(sqlite3 *db, const char *query)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, query, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
        die(query, sqlite3_errmsg(db));
    return st;
}

static struct peal_bytes column(sqlite3_stmt *st, int i)
{
    const void *p = sqlite3_column_blob(st, i);
    return peal_bytes_of(p, (size_t)sqlite3_column_bytes(st, i));
}

/* Opens the box of cry_keys_wrap: version 1 (u8), then a box bound to "peal.keys.1" and the name,
 * with the RSA key's DER (u32 length
 * and bytes) and the Ed25519 seed in it. */
static void print_keys(const struct peal_secret *device, struct peal_bytes name,
                       struct peal_bytes wrapped)
{
    static const char domain[] = "peal.keys.1";
    uint8_t aad[sizeof domain + CRY_NAME_MAX], plain[CRY_WRAPPED_MAX];
    struct wr w;
    struct rd r;
    size_t n = 0;
    wr_init(&w, aad, sizeof aad);
    wr_bytes(&w, domain, sizeof domain - 1);
    wr_bytes(&w, name.p, name.n);
    if (wr_end(&w) != 0 || wrapped.n < 1 || wrapped.p[0] != 1 ||
        cry_box_open(device, peal_bytes_of(aad, w.n), peal_bytes_of(wrapped.p + 1, wrapped.n - 1),
                     sizeof plain, plain, &n) != 0)
        die("the account's keys", "do not open");
    rd_init(&r, plain, n);
    struct peal_bytes rsa = rd_var(&r, sizeof plain);
    struct peal_bytes seed = rd_bytes(&r, SECRET_BYTES);
    if (rd_end(&r) != 0)
        die("the account's keys", "are not of their form");
    printf("{\"name\":\"%.*s\",", (int)name.n, (const char *)name.p);
    print_hex("rsa", rsa.p, rsa.n);
    putchar(',');
    print_hex("seed", seed.p, seed.n);
    putchar(',');
    print_hex("device", device->b, sizeof device->b);
    puts("}");
}

static void keys(const char *profile)
{
    char path[PATH_SIZE];
    sqlite3 *db = NULL;
    struct peal_secret device;
    snprintf(path, sizeof path, "%s/profile.db", profile);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        die(path, sqlite3_errmsg(db));
    sqlite3_stmt *meta = row_of(db, "SELECT value FROM meta WHERE key='device_key'");
    sqlite3_stmt *account = row_of(db, "SELECT name, keys FROM account");
    struct peal_bytes key = column(meta, 0);
    if (key.n != sizeof device.b)
        die("the profile's key", "is not of its form");
    memcpy(device.b, key.p, key.n);
    print_keys(&device, column(account, 0), column(account, 1));
    sqlite3_finalize(meta);
    sqlite3_finalize(account);
    sqlite3_close(db);
}

static void split(char *const argv[])
{
    char password[CRY_PASSWORD_MAX + 1];
    struct cry_kdf kdf;
    struct peal_secret auth, wrap;
    size_t n = fread(password, 1, sizeof password, stdin);
    if (peal_unhex(argv[0], CRY_SALT_BYTES, kdf.salt) != 0)
        die(argv[0], "is not a salt");
    kdf.ops = (uint32_t)strtoul(argv[1], NULL, NUMBER_BASE);
    kdf.mem = (uint32_t)strtoul(argv[2], NULL, NUMBER_BASE) << 10;
    int err = cry_password_split(peal_bytes_of(password, n), &kdf, &auth, &wrap);
    if (err != 0)
        die("the password", err_name(err));
    putchar('{');
    print_hex("auth", auth.b, sizeof auth.b);
    putchar(',');
    print_hex("wrap", wrap.b, sizeof wrap.b);
    puts("}");
}

int main(int argc, char *argv[])
{
    if (cry_init() != 0)
        die("randomness", "there is none");
    if (argc == 3 && strcmp(argv[1], "keys") == 0)
        keys(argv[2]);
    else if (argc == 5 && strcmp(argv[1], "split") == 0)
        split(argv + 2);
    else
        die("usage", "peal-secrets keys PROFILE | split SALT OPS MEM-KIB");
    return 0;
}
