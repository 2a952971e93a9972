/* Byte views, hexadecimal and UTF-8. */
#include <peal/base.h>

#include <string.h>

struct peal_bytes peal_bytes_of(const void *p, size_t n)
{
    CHECK(p != NULL || n == 0);
    return (struct peal_bytes){.p = p, .n = n};
}

struct peal_bytes peal_bytes_str(const char *s)
{
    return (struct peal_bytes){.p = (const uint8_t *)s, .n = strlen(s)};
}

bool peal_bytes_eq(struct peal_bytes a, struct peal_bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int peal_bytes_to_str(struct peal_bytes b, size_t size, char out[])
{
    CHECK(size > 0);
    out[0] = '\0';
    if (b.n >= size)
        return PEAL_E_TOO_LONG;
    if (b.n == 0)
        return 0;
    if (memchr(b.p, 0, b.n) != NULL)
        return PEAL_E_MALFORMED;
    memcpy(out, b.p, b.n);
    out[b.n] = '\0';
    return 0;
}

void peal_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

/* The value of a hexadecimal digit, or -1. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int peal_unhex(const char *s, size_t n, uint8_t *out)
{
    /* In order: a short string's NUL fails before anything behind it is read. */
    for (size_t i = 0; i < 2 * n; i++)
        if (digit(s[i]) < 0)
            return PEAL_E_MALFORMED;
    if (s[2 * n] != '\0')
        return PEAL_E_MALFORMED;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((unsigned)digit(s[2 * i]) << 4 | (unsigned)digit(s[2 * i + 1]));
    return 0;
}

/* Length of the well-formed sequence at the head of p[0 … n), n > 0, or 0. (RFC 3629, section 4:
 * the second byte's range depends on the first; that excludes overlong forms and surrogates) */
static size_t sequence(const uint8_t *p, size_t n)
{
    uint8_t lo = 0x80;
    uint8_t hi = 0xbf;
    size_t len = 0;
    if (p[0] >= 0x01 && p[0] <= 0x7f)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        len = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        len = 4;
    if (len == 0 || len > n)
        return 0;
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return len;
}

bool peal_utf8_valid(struct peal_bytes b)
{
    for (size_t i = 0; i < b.n;) {
        size_t len = sequence(b.p + i, b.n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}
