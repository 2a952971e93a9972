/* The contract of name: one spelling per name, and a distinct error for each way to have none. */
#include <criterion/criterion.h>
#include <peal/name.h>

#include <string.h>

static void expect(const char *in, int err, const char *out)
{
    char got[NAME_BYTES_MAX + 1];
    int r = name_canonical(peal_bytes_str(in), got);
    cr_assert_eq(r, err, "\"%s\" gives %s, expected %s", in, err_name(r), err_name(err));
    cr_assert_str_eq(got, err == 0 ? out : "", "\"%s\" becomes \"%s\"", in, got);
    if (err == 0) {
        cr_assert(name_is_canonical(peal_bytes_str(out)), "\"%s\" is canonical", out);
        cr_assert_eq(name_is_canonical(peal_bytes_str(in)), strcmp(in, out) == 0,
                     "\"%s\" counts as canonical exactly when it is its own form", in);
    } else {
        cr_assert_not(name_is_canonical(peal_bytes_str(in)), "\"%s\" is not canonical", in);
    }
}

Test(name, ascii)
{
    expect("alice", 0, "alice");
    expect("Alice", 0, "alice");
    expect("a.b_c-9", 0, "a.b_c-9");
    expect("7", 0, "7");
    expect("abcdefghijklmnopqrstuvwxyz012345", 0, "abcdefghijklmnopqrstuvwxyz012345");
    expect("abcdefghijklmnopqrstuvwxyz0123456", PEAL_E_TOO_LONG, NULL);
    expect("", PEAL_E_USAGE, NULL);
    expect("a b", PEAL_E_MALFORMED, NULL);
    expect("a@b", PEAL_E_MALFORMED, NULL);
    expect("a\tb", PEAL_E_MALFORMED, NULL);
    expect("a/b", PEAL_E_MALFORMED, NULL);
}

Test(name, one_spelling)
{
    expect("J\xc3\xbcrgen", 0, "j\xc3\xbcrgen");  /* upper case */
    expect("Ju\xcc\x88rgen", 0, "j\xc3\xbcrgen"); /* u and a combining diaeresis */
    expect("Stra\xc3\x9f"
           "e",
           0, "strasse");                                  /* sharp s folds to ss */
    expect("\xef\xbc\xa1lice", 0, "alice");                /* fullwidth A */
    expect("\xef\xbd\xb6\xef\xbe\x9e", 0, "\xe3\x82\xac"); /* halfwidth KA and voiced mark: GA */
    expect("\xce\xa3\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x82", 0,
           "\xcf\x83\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x83"); /* final sigma folds */
    expect("\xef\xac\x81", 0, "fi");                                    /* a ligature folds */
    expect("\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e", 0, "\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e");
    expect("\xe0\xa4\xb9\xe0\xa4\xbf", 0,
           "\xe0\xa4\xb9\xe0\xa4\xbf"); /* a Devanagari letter with its vowel sign */
    expect("\xd9\xa3\xd8\xb9\xd9\x84\xd9\x8a", 0, "\xd9\xa3\xd8\xb9\xd9\x84\xd9\x8a");
}

Test(name, lengths_count_characters)
{
    char in[4 * NAME_CHARS_MAX + 8] = "";
    for (int i = 0; i < NAME_CHARS_MAX; i++)
        strcat(in, "\xf0\xa0\x80\x80"); /* U+20000, four bytes */
    expect(in, 0, in);
    strcat(in, "a");
    expect(in, PEAL_E_TOO_LONG, NULL);
    static uint8_t much[NAME_INPUT_MAX + 1];
    char out[NAME_BYTES_MAX + 1];
    memset(much, 'a', sizeof much);
    cr_assert_eq(name_canonical(peal_bytes_of(much, sizeof much), out), PEAL_E_TOO_LONG,
                 "more than is looked at");
    for (size_t i = 0; i + 2 < sizeof much; i += 2)
        memcpy(much + i, "\xce\x90", 2); /* folds to three code points */
    cr_assert_eq(name_canonical(peal_bytes_of(much, NAME_INPUT_MAX), out), PEAL_E_TOO_LONG,
                 "what grows by folding");
}

Test(name, refused_characters)
{
    expect("a\xe2\x80\x8b"
           "b",
           PEAL_E_MALFORMED, NULL); /* zero width space */
    expect("a\xe2\x80\xae"
           "b",
           PEAL_E_MALFORMED, NULL);                     /* right-to-left override */
    expect("\xef\xb7\xba", PEAL_E_MALFORMED, NULL);     /* a presentation form */
    expect("x\xc2\xb2", PEAL_E_MALFORMED, NULL);        /* superscript two */
    expect("\xe2\x85\xa3", PEAL_E_MALFORMED, NULL);     /* Roman numeral four */
    expect("\xf0\x9f\x98\x80", PEAL_E_MALFORMED, NULL); /* an emoji */
    expect("\xcc\x88"
           "a",
           PEAL_E_MALFORMED, NULL);              /* a mark without a letter */
    expect("1\xcc\x88", PEAL_E_MALFORMED, NULL); /* a mark on a digit */
    expect("\xe1\x85\x9f"
           "a",
           PEAL_E_MALFORMED, NULL);                 /* Hangul filler: invisible */
    expect("\xe3\x85\xa4", PEAL_E_MALFORMED, NULL); /* another */
    expect("\xc3", PEAL_E_MALFORMED, NULL);         /* half a character */
    expect("\xed\xa0\x80", PEAL_E_MALFORMED, NULL); /* a surrogate */
    cr_assert_not(name_is_canonical(peal_bytes_of("a\0b", 3)), "a NUL within");
}

Test(name, refused_together)
{
    expect("p\xd0\xb0ypal", PEAL_E_REFUSED, NULL); /* a Cyrillic a */
    expect("\xce\xbfmega", PEAL_E_REFUSED, NULL);  /* a Greek o */
    expect("a\xd7\x90", PEAL_E_REFUSED, NULL);     /* Latin and Hebrew */
    expect("\xd7\x90\xd7\x91"
           "1",
           0,
           "\xd7\x90\xd7\x91"
           "1"); /* digits go with every script */
    expect("\xe6\x9d\x8e"
           "a",
           0,
           "\xe6\x9d\x8e"
           "a"); /* Han and Latin are not alike */
    cr_assert_str_neq(name_why(PEAL_E_REFUSED), name_why(PEAL_E_MALFORMED), "distinct prose");
    cr_assert_str_neq(name_why(PEAL_E_USAGE), name_why(PEAL_E_TOO_LONG), "distinct prose");
}

/* Whatever comes out is canonical, and no random input harms. */
Test(name, settles)
{
    struct rng r;
    rng_init(&r, 7);
    int good = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t in[64];
        size_t n = 0;
        for (uint64_t k = 1 + rng_below(&r, 6); k > 0; k--) {
            uint32_t c = (uint32_t)rng_below(&r, rng_below(&r, 2) ? 0x3100 : 0x20000);
            if (c < 0x80) {
                in[n++] = (uint8_t)(c != 0 ? c : 'a');
            } else if (c < 0x800) {
                in[n++] = (uint8_t)(0xc0 | c >> 6);
                in[n++] = (uint8_t)(0x80 | (c & 0x3f));
            } else if (c < 0x10000) {
                in[n++] = (uint8_t)(0xe0 | c >> 12);
                in[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
                in[n++] = (uint8_t)(0x80 | (c & 0x3f));
            } else {
                in[n++] = (uint8_t)(0xf0 | c >> 18);
                in[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
                in[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
                in[n++] = (uint8_t)(0x80 | (c & 0x3f));
            }
        }
        char out[NAME_BYTES_MAX + 1];
        if (name_canonical(peal_bytes_of(in, n), out) != 0)
            continue;
        good++;
        char again[NAME_BYTES_MAX + 1];
        cr_assert_eq(name_canonical(peal_bytes_str(out), again), 0, "run %d: stays a name", i);
        cr_assert_str_eq(again, out, "run %d: has settled", i);
        cr_assert(name_is_canonical(peal_bytes_str(out)), "run %d: is canonical", i);
    }
    cr_assert_gt(good, 100, "the runs made %d names", good);
}
