/* Recovery keys. The vectors are of an implementation of its own, in Python's hashlib. */
#include <criterion/criterion.h>
#include <peal/crypto.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *key, *text, *auth, *wrap, *hash;
} vectors[] = {
    {"0000000000000000000000000000000000000121", "0000-0000-0000-0000-0000-0000-0000-0091",
     "54fa59b192345d34532cfbc1e8d4979050b4ecd4039b009f1732b9b1218b3e78",
     "f1981736475b3b43cb68a0c2bfb36fed0f5679dd6e9cb92a3b0b60205f4ad9a9",
     "e0ca7dc70839a23514c78775358ed9c333a85c2e7eb5d00416444e08cee04de3"},
    {"000102030405060708090a0b0c0d0e0f101110d4", "000G-40R4-0M30-E209-185G-R38E-1W81-246M",
     "9a7401162a0f849df1a3f389cfcd72e61892f3c63e5f2c874aa9e8b962651c84",
     "09c2c9d4fc5c7020eadd8fc183f570706e011a8e9900cd0d9551f1c4a7e5ca62",
     "03c4f17a2d3acd55ee7ae57acb0c60db09b5c309ad4d98bef428d906b53609e6"},
    {"fffffffffffffffffffffffffffffffffffffc4a", "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZ2A",
     "9cf8731a6d7e30c0bdcbe2923e56e44b381a88adf07944358f8548db64eb4d57",
     "3ccc2fd07e7b8668e4d74fff1c383bd4d2edbfd0ffbb3f252c7f02f939ec0bb3",
     "c7eb960bf8594bfb9910b773b21eaa7574f042d1a8bd342235dcaa32ddc6ac3b"},
};

static void unhex(const char *text, size_t n, uint8_t *out)
{
    cr_assert_eq(strlen(text), 2 * n, "the vector's length");
    cr_assert_eq(peal_unhex(text, n, out), 0, "the vector is hexadecimal");
}

static int parse(const char *text, struct cry_recovery *out)
{
    return cry_recovery_parse(peal_bytes_str(text), out);
}

Test(recovery, is_what_another_implementation_makes)
{
    for (size_t i = 0; i < PEAL_COUNT(vectors); i++) {
        struct cry_recovery k, want;
        struct peal_secret auth, wrap;
        uint8_t hash[CRY_HASH_BYTES], expected[32];
        char text[CRY_RECOVERY_TEXT];
        unhex(vectors[i].key, sizeof want.b, want.b);
        cry_recovery_text(&want, text);
        cr_assert_str_eq(text, vectors[i].text, "vector %zu is %s", i, text);
        cr_assert_eq(parse(vectors[i].text, &k), 0, "vector %zu is parsed", i);
        cr_assert_eq(memcmp(k.b, want.b, sizeof k.b), 0, "vector %zu: its bytes", i);
        cry_recovery_split(&k, &auth, &wrap);
        unhex(vectors[i].auth, 32, expected);
        cr_assert_eq(memcmp(auth.b, expected, 32), 0, "vector %zu: what authenticates", i);
        unhex(vectors[i].wrap, 32, expected);
        cr_assert_eq(memcmp(wrap.b, expected, 32), 0, "vector %zu: what wraps", i);
        cry_recovery_hash(auth.b, hash);
        unhex(vectors[i].hash, 32, expected);
        cr_assert_eq(memcmp(hash, expected, 32), 0, "vector %zu: what the server keeps", i);
    }
}

Test(recovery, is_taken_as_people_type_it)
{
    struct cry_recovery k, again;
    char text[CRY_RECOVERY_TEXT], typed[CRY_RECOVERY_INPUT_MAX + 2];
    for (int round = 0; round < 200; round++) {
        cry_recovery_new(&k);
        cry_recovery_text(&k, text);
        cr_assert_eq(parse(text, &again), 0, "%s", text);
        cr_assert_eq(memcmp(k.b, again.b, sizeof k.b), 0, "%s comes back", text);
        size_t n = 0;
        for (const char *s = text; *s != '\0'; s++) {
            char c = *s;
            if (c == '0')
                c = "0oO"[round % 3];
            else if (c == '1')
                c = "1iIlL"[round % 5];
            else if (c == '-')
                c = "- "[round % 2];
            else if (c >= 'A' && round % 2 == 0)
                c = (char)(c - 'A' + 'a');
            typed[n++] = c;
        }
        typed[n++] = ' ';
        typed[n] = '\0';
        cr_assert_eq(parse(typed, &again), 0, "%s, typed for %s", typed, text);
        cr_assert_eq(memcmp(k.b, again.b, sizeof k.b), 0, "%s is %s", typed, text);
    }
}

/* Ten bits: of a thousand mistypings about one is missed. */
Test(recovery, a_mistyped_one_is_noticed)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct cry_recovery k, other;
    char text[CRY_RECOVERY_TEXT];
    size_t tried = 0, missed = 0, swapped = 0, swaps_missed = 0;
    cr_assert_eq(parse(vectors[1].text, &k), 0, "a good one");
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (const char *d = digits; *d != '\0'; d++) {
            memcpy(text, vectors[1].text, sizeof text);
            if (text[at] == '-' || text[at] == *d)
                continue;
            text[at] = *d;
            int err = parse(text, &other);
            cr_assert(err == 0 || err == PEAL_E_CORRUPT, "%s: %s", text, err_name(err));
            tried++;
            missed += err == 0;
        }
        memcpy(text, vectors[1].text, sizeof text);
        if (at + 1 >= sizeof text - 1 || text[at] == '-' || text[at + 1] == '-' ||
            text[at] == text[at + 1])
            continue;
        char c = text[at];
        text[at] = text[at + 1];
        text[at + 1] = c;
        swapped++;
        swaps_missed += parse(text, &other) == 0;
    }
    cr_assert_eq(tried, 32 * 31, "%zu tried", tried);
    cr_assert_leq(missed, 5, "%zu of %zu missed", missed, tried);
    cr_assert(swapped > 15 && swaps_missed <= 1, "%zu of %zu swaps missed", swaps_missed, swapped);
}

Test(recovery, out_of_form)
{
    struct cry_recovery k = {{7}};
    char long_one[CRY_RECOVERY_INPUT_MAX + 2];
    static const char *const bad[] = {"",
                                      "-",
                                      "0000",
                                      "U000-0000-0000-0000-0000-0000-0000-0000",
                                      "0000-0000-0000-0000-0000-0000-0000-000!",
                                      "0000\t0000",
                                      "\xc3\xa9"};
    for (size_t i = 0; i < PEAL_COUNT(bad); i++)
        cr_assert_eq(parse(bad[i], &k), PEAL_E_MALFORMED, "\"%s\" was taken", bad[i]);
    memcpy(long_one, vectors[0].text, CRY_RECOVERY_TEXT);
    long_one[CRY_RECOVERY_TEXT - 1] = '0';
    long_one[CRY_RECOVERY_TEXT] = '\0';
    cr_assert_eq(parse(long_one, &k), PEAL_E_MALFORMED, "a character too many");
    cr_assert_eq(cry_recovery_parse(peal_bytes_of(vectors[0].text, CRY_RECOVERY_TEXT), &k),
                 PEAL_E_MALFORMED, "with its NUL");
    memset(long_one, ' ', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    cr_assert_eq(parse(long_one, &k), PEAL_E_TOO_LONG, "without an end");
    cr_assert_eq(k.b[0], 7, "nothing was written");
}

/* The private keys come back with the right key alone. */
Test(recovery, opens_what_it_wrapped)
{
    struct cry_recovery k, other;
    struct peal_secret auth, wrap, wrong;
    struct cry_keys *keys = NULL, *again = NULL;
    uint8_t box[CRY_WRAPPED_MAX];
    size_t n = 0;
    cry_recovery_new(&k);
    cry_recovery_new(&other);
    cry_recovery_split(&k, &auth, &wrap);
    cry_recovery_split(&other, &auth, &wrong);
    cr_assert_eq(cry_keys_new(&keys), 0, "keys");
    cr_assert_eq(cry_keys_wrap(keys, &wrap, peal_bytes_str("alice"), sizeof box, box, &n), 0,
                 "wrapped");
    cr_assert_eq(cry_keys_unwrap(&wrong, peal_bytes_str("alice"), peal_bytes_of(box, n), &again),
                 PEAL_E_AUTH, "by another key");
    cr_assert_eq(cry_keys_unwrap(&wrap, peal_bytes_str("alice"), peal_bytes_of(box, n), &again), 0,
                 "unwrapped");
    cr_assert(peal_bytes_eq(cry_public_bundle(cry_keys_public(keys)),
                            cry_public_bundle(cry_keys_public(again))),
              "the same keys");
    cry_keys_free(keys);
    cry_keys_free(again);
}
