/* Account keys: bundles, wrapping, and RSA-OAEP's known answers. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static void init(void)
{
    cr_assert(cry_init() == 0, "the libraries start");
}

TestSuite(keys, .init = init);

/* Project Wycheproof, rsa_oaep_3072_sha256_mgf1sha256_test.json, tcId 7; Bob's is the key of its
 * group. */
#define OAEP_MESSAGE "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define OAEP_CIPHERTEXT                                                                            \
    "0351794ac968e26863bfa67aa4d602c725b79ca9a4cd907a9e03c7575b975bfd99fa491b5bc3f93e1eac5b48d950" \
    "90"                                                                                           \
    "e10a29d9e4edce709c74886ee2d5067bcabab044e239cb4c23e1ffa8a8666fbdc706ecf49225697fb6f1a095e20d" \
    "cc"                                                                                           \
    "a49090548d9fd0b8533b090823a76ce6c8c8a139a20b3e930a8d2ef8d868fd92c086c06a86c172e40e76f9920a6d" \
    "e6"                                                                                           \
    "ab2fbff2cbe029b685dbc20da94e84442050b0128200446bf227eca935e1bfa8c89ec3454ea3a82cc792a2512d85" \
    "13"                                                                                           \
    "f2ddaf172e35e735ad69a5f892ad0c216e84ea9e92129d8272db269173cbc525e61fdfa5533e2e69a4670ed95f49" \
    "58"                                                                                           \
    "c684476c208002667fc7f687260eb54d9cea88bbfeb7b6d7aa640cf0ad0af22ecae17034c762bf832a9e8ef09092" \
    "6c"                                                                                           \
    "5ad4fe6a15b6e5ef69da001bb7fbc608bc024bcf38e157dbb57974169bdf302ec177e48d15a1d0c919d9b8862cd9" \
    "1d"                                                                                           \
    "454a96df1c720561928e282b9e922d0d8218d65b74bb740cb7cf7455e97a5e6bba07424382c31c37549d7f29bf7e" \
    "2e"                                                                                           \
    "23093ee861dce0ef"

/* The same file, tcId 4: a valid ciphertext of "123400", which is no content key. */
#define OAEP_SHORT                                                                                 \
    "157562f61b512b11b02d1f8299e62f55ffb9c1cb5facb33c75fee79ea8bfb68314d48a7868c05b8c97de4af54e49" \
    "60"                                                                                           \
    "868a694a3c302c73195a8acfdc78137231dc960dab44bad191c4bb2b9f8b162a73799ba2083d93c55b425f5857c9" \
    "25"                                                                                           \
    "f2aea6af19514825fb18724555a5b11ef553889af38c7585c35033d1eb9b71e56ec0a1a1185e4e6e5b7aab351404" \
    "f0"                                                                                           \
    "d4a4416023449d84f3bebdf57d5666ffaea80be1958be5d7da7ad2c081aa338203516aba1e11642192aa4024e5fe" \
    "d6"                                                                                           \
    "119aad7456bf13c2dd561c4ac9ac887eeaf4b53bf15e007b043de9abd6619a6fad5df35a336f744d5034af72a6ce" \
    "ec"                                                                                           \
    "b9305da973c50615c29b98a8d0afa8c54f5cfe80f8efba51b08cf921cf55c69314523619e753f3056ee704a947c2" \
    "4d"                                                                                           \
    "12e8817d5312ea5f6d8444da4061d26f18ab660f0eb88019506eda480195395e6e948d42e96c3ac8723f5514d87d" \
    "a3"                                                                                           \
    "bc47432ab60e93efd8e6100589318f1b85d1c4bd04820be2892a8acca1e3633950b111859c6ee2063cc061a44a73" \
    "7f"                                                                                           \
    "faa2c158da806864"

Test(keys, oaep_is_wycheproofs)
{
    struct cry_keys *bob = bob_new();
    struct octets ct = octets_of(OAEP_CIPHERTEXT);
    struct octets msg = octets_of(OAEP_MESSAGE);
    struct octets brief = octets_of(OAEP_SHORT);
    struct peal_secret out;
    cr_assert(ct.n == CRY_RSA_BYTES, "a block");
    cr_assert(cry_rsa_unwrap(bob, ct.b, &out) == 0, "decrypts");
    cr_assert(memcmp(out.b, msg.b, msg.n) == 0, "the message");
    ct.b[200] ^= 1;
    cr_assert(cry_rsa_unwrap(bob, ct.b, &out) == PEAL_E_CRYPTO, "not when changed");
    cr_assert(cry_rsa_unwrap(bob, brief.b, &out) == PEAL_E_CRYPTO, "a key of another length");
    memset(ct.b, 0xff, ct.n);
    cr_assert(cry_rsa_unwrap(bob, ct.b, &out) == PEAL_E_CRYPTO, "not above the modulus");
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
    cry_keys_free(bob);
}

Test(keys, oaep_round_trips_and_is_randomised)
{
    struct cry_keys *bob = bob_new();
    struct peal_secret key = secret_from(3);
    struct peal_secret out;
    uint8_t a[CRY_RSA_BYTES];
    uint8_t b[CRY_RSA_BYTES];
    for (int i = 0; i < 8; i++) { /* the prepared contexts serve again and again */
        cr_assert(cry_rsa_wrap(bob->pub, &key, a) == 0, "wraps");
        cr_assert(cry_rsa_wrap(bob->pub, &key, b) == 0, "wraps again");
        cr_assert(memcmp(a, b, sizeof a) != 0, "differently");
        cr_assert(cry_rsa_unwrap(bob, a, &out) == 0 && cry_secret_eq(&key, &out), "round %d", i);
    }
    cry_keys_free(bob);
}

Test(keys, bundle_is_what_the_other_implementation_makes)
{
    struct cry_keys *bob = bob_new();
    struct octets bundle = octets_of(V_BOB_BUNDLE);
    struct octets fp = octets_of(V_BOB_FP);
    const struct cry_public *p = cry_keys_public(bob);
    cr_assert(peal_bytes_eq(cry_public_bundle(p), view(&bundle)), "byte for byte");
    cr_assert(memcmp(cry_public_fingerprint(p), fp.b, fp.n) == 0, "and its fingerprint");
    cry_keys_free(bob);
    cry_keys_free(NULL);
}

Test(keys, bundle_parses_alone)
{
    struct octets bundle = octets_of(V_BOB_BUNDLE);
    struct cry_public *p = NULL;
    cr_assert(cry_public_parse(view(&bundle), &p) == 0, "parses");
    cr_assert(peal_bytes_eq(cry_public_bundle(p), view(&bundle)), "keeps its bytes");
    cry_public_free(p);
    cry_public_free(NULL);
}

Test(keys, bundle_with_any_byte_changed_is_refused)
{
    struct octets bundle = octets_of(V_BOB_BUNDLE);
    struct cry_public *p = NULL;
    for (size_t i = 0; i < bundle.n; i++) {
        bundle.b[i] ^= 1;
        int rc = cry_public_parse(view(&bundle), &p);
        cr_assert(rc < 0 && p == NULL, "byte %zu: %d", i, rc);
        if (i == 0)
            cr_assert(rc == PEAL_E_VERSION, "the first is the version");
        else if (i >= 5)
            cr_assert(rc == PEAL_E_AUTH, "byte %zu is signed: %d", i, rc);
        bundle.b[i] ^= 1;
    }
    for (size_t n = 0; n < bundle.n; n++)
        cr_assert(cry_public_parse(peal_bytes_of(bundle.b, n), &p) == PEAL_E_TRUNCATED,
                  "cut to %zu", n);
    bundle.b[bundle.n++] = 0;
    cr_assert(cry_public_parse(view(&bundle), &p) == PEAL_E_TRAILING, "a byte too many");
    bundle.b[1] = 1;
    cr_assert(cry_public_parse(view(&bundle), &p) == PEAL_E_TOO_LONG, "a huge key");
}

/* A rightly signed bundle around any SubjectPublicKeyInfo. */
static int parse_signed(struct peal_bytes spki)
{
    struct peal_secret seed = secret_from(5);
    struct cry_sign_key key;
    uint8_t b[CRY_BUNDLE_MAX];
    uint8_t sig[CRY_SIG_BYTES];
    struct cry_public *p = NULL;
    struct wr w;
    cry_sign_key_from_seed(&seed, &key);
    wr_init(&w, b, sizeof b);
    wr_u8(&w, 1);
    wr_var(&w, spki);
    wr_bytes(&w, key.pub, sizeof key.pub);
    cry_sign(&key, DOMAIN_BUNDLE, peal_bytes_of(b, w.n), sig);
    wr_bytes(&w, sig, sizeof sig);
    cr_assert(wr_end(&w) == 0, "the bundle is written");
    int rc = cry_public_parse(peal_bytes_of(b, w.n), &p);
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
    cry_public_free(p);
    return rc;
}

Test(keys, bundle_takes_only_our_kind_of_rsa)
{
    struct octets bundle = octets_of(V_BOB_BUNDLE);
    struct octets spki = {.n = bundle.n - 1 - 4 - CRY_PUB_BYTES - CRY_SIG_BYTES};
    memcpy(spki.b, bundle.b + 5, spki.n);
    cr_assert(parse_signed(view(&spki)) == 0, "a good one passes");

    cr_assert(parse_signed(peal_bytes_of(spki.b, spki.n - 1)) == PEAL_E_MALFORMED, "cut");
    cr_assert(parse_signed(peal_bytes_of(NULL, 0)) == PEAL_E_MALFORMED, "none");
    struct octets ber = spki; /* 30 82 LL LL … becomes 30 80 … 00 00: as long, and not DER */
    ber.b[1] = 0x80;
    memmove(ber.b + 2, spki.b + 4, spki.n - 4);
    memset(ber.b + spki.n - 2, 0, 2);
    cr_assert(parse_signed(view(&ber)) == PEAL_E_MALFORMED, "of indefinite length");
    spki.b[spki.n] = 0;
    cr_assert(parse_signed(peal_bytes_of(spki.b, spki.n + 1)) == PEAL_E_MALFORMED, "a byte more");
    spki.b[spki.n - 1] = 3; /* … 02 03 01 00 01: e becomes 65539 */
    cr_assert(parse_signed(view(&spki)) == PEAL_E_MALFORMED, "another exponent");
    spki.b[spki.n - 1] = 1;
    spki.b[spki.n - 6] ^= 1; /* the modulus' last byte */
    cr_assert(parse_signed(view(&spki)) == PEAL_E_MALFORMED, "an even modulus");

    unsigned char *der = NULL;
    EVP_PKEY *small = EVP_RSA_gen(1024);
    int n = i2d_PUBKEY(small, &der);
    cr_assert(n > 0, "a smaller key");
    cr_assert(parse_signed(peal_bytes_of(der, (size_t)n)) == PEAL_E_MALFORMED, "1024 bits");
    OPENSSL_free(der);
    EVP_PKEY_free(small);
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    der = NULL;
    n = i2d_PUBKEY(ec, &der);
    cr_assert(n > 0, "a key of another kind");
    cr_assert(parse_signed(peal_bytes_of(der, (size_t)n)) == PEAL_E_MALFORMED, "elliptic");
    OPENSSL_free(der);
    EVP_PKEY_free(ec);
}

Test(keys, fresh_keys_work)
{
    struct cry_keys *k = NULL;
    struct cry_keys *again = NULL;
    struct peal_secret wrap = secret_from(1);
    uint8_t box[CRY_WRAPPED_MAX];
    uint8_t sig[CRY_SIG_BYTES];
    size_t n = 0;
    struct peal_bytes name = peal_bytes_str("carol");
    struct peal_bytes text = peal_bytes_str("I was here");
    cr_assert(cry_keys_new(&k) == 0, "made");
    cr_assert(cry_keys_wrap(k, &wrap, name, sizeof box, box, &n) == 0, "wrapped");
    cr_assert(cry_keys_unwrap(&wrap, name, peal_bytes_of(box, n), &again) == 0, "unwrapped");
    cr_assert(peal_bytes_eq(cry_public_bundle(cry_keys_public(k)),
                            cry_public_bundle(cry_keys_public(again))),
              "the same bundle");
    cry_keys_sign(again, "peal.test.1", text, sig);
    cr_assert(cry_public_verify(cry_keys_public(k), "peal.test.1", text, sig) == 0,
              "one signs, the "
              "other verifies");
    cr_assert(cry_public_verify(cry_keys_public(k), "peal.test.2", text, sig) == PEAL_E_AUTH,
              "not in another domain");
    cry_keys_free(again);
    cry_keys_free(k);
}

Test(keys, wrapped_open_only_with_key_and_name)
{
    struct cry_keys *alice = alice_new();
    struct cry_keys *out = NULL;
    struct peal_secret wrap = secret_from(1);
    struct peal_secret other = secret_from(2);
    uint8_t box[CRY_WRAPPED_MAX + 1];
    size_t n = 0;
    struct peal_bytes name = peal_bytes_str("alice");
    cr_assert(cry_keys_wrap(alice, &wrap, name, 0, box, &n) == PEAL_E_FULL, "no room at all");
    cr_assert(cry_keys_wrap(alice, &wrap, name, 1000, box, &n) == PEAL_E_FULL, "too little room");
    cr_assert(cry_keys_wrap(alice, &wrap, name, sizeof box, box, &n) == 0, "wrapped");
    struct peal_bytes b = peal_bytes_of(box, n);
    cr_assert(n <= CRY_WRAPPED_MAX, "within its maximum: %zu", n);
    cr_assert(cry_keys_unwrap(&other, name, b, &out) == PEAL_E_AUTH, "another key");
    cr_assert(cry_keys_unwrap(&wrap, peal_bytes_str("alicf"), b, &out) == PEAL_E_AUTH, "another's");
    for (size_t i = 0; i < n; i++) {
        box[i] ^= 1;
        int want = i == 0 ? PEAL_E_VERSION : PEAL_E_AUTH;
        cr_assert(cry_keys_unwrap(&wrap, name, b, &out) == want, "byte %zu", i);
        box[i] ^= 1;
    }
    cr_assert(cry_keys_unwrap(&wrap, name, peal_bytes_of(box, 0), &out) == PEAL_E_TRUNCATED,
              "none");
    cr_assert(cry_keys_unwrap(&wrap, name, peal_bytes_of(box, 20), &out) == PEAL_E_TRUNCATED,
              "cut");
    cr_assert(cry_keys_unwrap(&wrap, name, peal_bytes_of(box, sizeof box), &out) == PEAL_E_TOO_LONG,
              "too long");
    cr_assert(out == NULL, "nothing came of these");
    cr_assert(cry_keys_unwrap(&wrap, name, b, &out) == 0, "unchanged it opens");
    cry_keys_free(out);
    cry_keys_free(alice);
}

Test(keys, genuine_box_with_nonsense_is_corrupt)
{
    struct peal_secret wrap = secret_from(1);
    struct cry_keys *out = NULL;
    uint8_t box[256];
    size_t n = 0;
    struct peal_bytes aad = peal_bytes_str("peal.keys.1alice");
    box[0] = 1;
    cr_assert(cry_box_seal(&wrap, aad, peal_bytes_str("nonsense"), sizeof box - 1, box + 1, &n) ==
                  0,
              "sealed by the owner of the key");
    cr_assert(cry_keys_unwrap(&wrap, peal_bytes_str("alice"), peal_bytes_of(box, n + 1), &out) ==
                  PEAL_E_CORRUPT,
              "not of the form");
    uint8_t plain[4 + 3 + SECRET_BYTES] = {0, 0, 0, 3, 'r', 's', 'a'};
    cr_assert(cry_box_seal(&wrap, aad, peal_bytes_of(plain, sizeof plain), sizeof box - 1, box + 1,
                           &n) == 0,
              "sealed again");
    cr_assert(cry_keys_unwrap(&wrap, peal_bytes_str("alice"), peal_bytes_of(box, n + 1), &out) ==
                  PEAL_E_CORRUPT,
              "no RSA key in it");
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
}

/* ---- bundles that follow each other ---- */

static struct cry_public *parsed(const char *hex)
{
    struct octets bundle = octets_of(hex);
    struct cry_public *p = NULL;
    cr_assert(cry_public_parse(view(&bundle), &p) == 0, "the bundle parses");
    return p;
}

Test(keys, later_bundles_are_what_the_other_implementation_makes)
{
    struct cry_public *first = parsed(V_BOB_BUNDLE);
    struct cry_public *second = parsed(V_BOB_SECOND);
    struct cry_public *third = parsed(V_BOB_THIRD);
    cr_assert_eq(cry_public_number(first), 0, "the first");
    cr_assert_eq(cry_public_number(second), 1, "the second");
    cr_assert_eq(cry_public_number(third), 2, "the third");
    cr_assert(cry_public_succeeds(second, first) == 0, "the second follows the first");
    cr_assert(cry_public_succeeds(third, second) == 0, "the third follows the second");
    cr_assert(cry_public_succeeds(third, first) == PEAL_E_STALE, "one is left out");
    cr_assert(cry_public_succeeds(first, second) == PEAL_E_STALE, "backwards");
    cr_assert(cry_public_succeeds(second, second) == PEAL_E_STALE, "itself");
    cr_assert(cry_public_succeeds(first, first) == PEAL_E_STALE, "a first one follows none");
    cry_public_free(first);
    cry_public_free(second);
    cry_public_free(third);
}

Test(keys, a_later_bundle_with_any_byte_changed_is_refused)
{
    struct octets bundle = octets_of(V_BOB_SECOND);
    struct cry_public *p = NULL;
    for (size_t i = 0; i < bundle.n; i++) {
        bundle.b[i] ^= 1;
        int rc = cry_public_parse(view(&bundle), &p);
        cr_assert(rc < 0 && p == NULL, "byte %zu: %d", i, rc);
        bundle.b[i] ^= 1;
    }
    for (size_t n = 0; n < bundle.n; n++)
        cr_assert(cry_public_parse(peal_bytes_of(bundle.b, n), &p) == PEAL_E_TRUNCATED,
                  "cut to %zu", n);
    bundle.b[bundle.n++] = 0;
    cr_assert(cry_public_parse(view(&bundle), &p) == PEAL_E_TRAILING, "a byte too many");
}

/* Bob's second bundle, of that number, said to come after `before` and signed by `by` for that, in
 * its own right by its owner. */
static int follow(uint32_t number, const uint8_t before[static CRY_FP_BYTES], uint8_t by,
                  const char *domain, struct cry_public **out)
{
    struct octets b = octets_of(V_BOB_SECOND);
    struct cry_sign_key key;
    struct peal_secret seed;
    uint8_t sig[CRY_SIG_BYTES];
    struct wr w;
    size_t at = b.n - 2 * CRY_SIG_BYTES - CRY_FP_BYTES - 4;
    wr_init(&w, b.b + at, b.n - at);
    wr_u32(&w, number);
    wr_bytes(&w, before, CRY_FP_BYTES);
    memset(seed.b, by, sizeof seed.b);
    cry_sign_key_from_seed(&seed, &key);
    cry_sign(&key, domain, peal_bytes_of(b.b, at + w.n), sig);
    wr_bytes(&w, sig, sizeof sig);
    memset(seed.b, 'C', sizeof seed.b);
    cry_sign_key_from_seed(&seed, &key);
    cry_sign(&key, DOMAIN_BUNDLE, peal_bytes_of(b.b, at + w.n), sig);
    wr_bytes(&w, sig, sizeof sig);
    cr_assert(wr_end(&w) == 0 && at + w.n == b.n, "the bundle is written");
    return cry_public_parse(view(&b), out);
}

Test(keys, only_the_key_before_names_its_successor)
{
    struct cry_public *first = parsed(V_BOB_BUNDLE);
    const uint8_t *fp = cry_public_fingerprint(first);
    static const struct {
        uint32_t number;
        uint8_t by, other_fp;
        const char *domain;
        int want;
        const char *why;
    } cases[] = {
        {1, 'B', 0, DOMAIN_SUCCEED, 0, "as it should be"},
        {1, 'C', 0, DOMAIN_SUCCEED, PEAL_E_AUTH, "signed by itself"},
        {1, 'A', 0, DOMAIN_SUCCEED, PEAL_E_AUTH, "signed by somebody else"},
        {1, 'B', 0, DOMAIN_BUNDLE, PEAL_E_AUTH, "a signature for another purpose"},
        {2, 'B', 0, DOMAIN_SUCCEED, PEAL_E_STALE, "a number is left out"},
        {UINT32_MAX, 'B', 0, DOMAIN_SUCCEED, PEAL_E_STALE, "the last number"},
        {1, 'B', 1, DOMAIN_SUCCEED, PEAL_E_STALE, "another one's successor"},
    };
    struct cry_public *next = NULL;
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        uint8_t before[CRY_FP_BYTES];
        memcpy(before, fp, sizeof before);
        before[0] ^= cases[i].other_fp;
        cr_assert(follow(cases[i].number, before, cases[i].by, cases[i].domain, &next) == 0,
                  "%s: it does not parse", cases[i].why);
        int rc = cry_public_succeeds(next, first);
        cr_assert(rc == cases[i].want, "%s: %d", cases[i].why, rc);
        cry_public_free(next);
    }
    next = NULL;
    cr_assert(follow(0, fp, 'B', DOMAIN_SUCCEED, &next) == PEAL_E_MALFORMED && next == NULL,
              "a later one with the first one's number");
    cry_public_free(first);
}

Test(keys, a_chain_is_followed_from_what_is_pinned)
{
    struct octets b[] = {octets_of(V_BOB_SECOND), octets_of(V_BOB_THIRD), octets_of(V_BOB_BUNDLE)};
    struct cry_public *first = parsed(V_BOB_BUNDLE);
    struct cry_public *second = parsed(V_BOB_SECOND);
    struct cry_public *last = NULL;
    struct peal_bytes both[] = {view(&b[0]), view(&b[1])};
    struct peal_bytes turned[] = {view(&b[1]), view(&b[0])};
    struct peal_bytes false_end[] = {view(&b[0]), view(&b[2])};
    struct peal_bytes many[CRY_CHAIN_MAX + 1];
    cr_assert(cry_public_chain(first, both, 2, &last) == 0, "the whole chain");
    cr_assert(peal_bytes_eq(cry_public_bundle(last), both[1]), "ends with another one");
    cry_public_free(last);
    cr_assert(cry_public_chain(first, both, 1, &last) == 0, "its beginning");
    cry_public_free(last);
    cr_assert(cry_public_chain(second, both + 1, 1, &last) == 0, "from the second");
    cry_public_free(last);
    last = NULL;
    cr_assert(cry_public_chain(second, both, 2, &last) == PEAL_E_STALE, "begins before the pin");
    cr_assert(cry_public_chain(first, turned, 2, &last) == PEAL_E_STALE, "turned round");
    cr_assert(cry_public_chain(first, false_end, 2, &last) == PEAL_E_STALE,
              "a first one at the end");
    cr_assert(cry_public_chain(first, both, 0, &last) == PEAL_E_USAGE, "none");
    for (size_t i = 0; i < PEAL_COUNT(many); i++)
        many[i] = both[0];
    cr_assert(cry_public_chain(first, many, PEAL_COUNT(many), &last) == PEAL_E_TOO_LONG,
              "too long");
    b[1].b[b[1].n - 1] ^= 1;
    cr_assert(cry_public_chain(first, both, 2, &last) == PEAL_E_AUTH, "a damaged end");
    cr_assert(last == NULL, "something was given out after an error");
    cry_public_free(first);
    cry_public_free(second);
}

/* ---- safety numbers ---- */

struct safety_side {
    struct peal_bytes name, bundle;
};

static void number_of(struct safety_side a, struct safety_side b,
                      char out[static CRY_SAFETY_DIGITS + 1])
{
    uint8_t one[CRY_HASH_BYTES];
    uint8_t other[CRY_HASH_BYTES];
    cry_safety_digest(a.name, a.bundle, one);
    cry_safety_digest(b.name, b.bundle, other);
    cry_safety_number(one, other, out);
}

Test(keys, a_safety_number_is_what_the_other_implementation_makes)
{
    struct cry_keys *alice = alice_new();
    struct cry_keys *bob = bob_new();
    struct cry_context names = sample_context();
    struct safety_side a = {names.from, cry_public_bundle(cry_keys_public(alice))};
    struct safety_side b = {names.to, cry_public_bundle(cry_keys_public(bob))};
    char number[CRY_SAFETY_DIGITS + 1];
    number_of(a, b, number);
    cr_assert_str_eq(number, V_SAFETY, "another number: %s", number);
    number_of(b, a, number);
    cr_assert_str_eq(number, V_SAFETY, "the two ends see different numbers: %s", number);
    cry_keys_free(alice);
    cry_keys_free(bob);
}

Test(keys, a_safety_number_depends_on_names_and_keys)
{
    struct cry_keys *alice = alice_new();
    struct cry_keys *bob = bob_new();
    struct peal_bytes key = cry_public_bundle(cry_keys_public(alice));
    struct peal_bytes other = cry_public_bundle(cry_keys_public(bob));
    struct safety_side a = {peal_bytes_str("alice"), key};
    const struct safety_side others[] = {
        {peal_bytes_str("bob"), other},
        {peal_bytes_str("bobo"), other},
        {peal_bytes_str("bob"), key},
        /* the same bytes, divided in another way */
        {peal_bytes_str("bob\x01"), peal_bytes_of(other.p + 1, other.n - 1)},
    };
    char numbers[PEAL_COUNT(others)][CRY_SAFETY_DIGITS + 1];
    for (size_t i = 0; i < PEAL_COUNT(others); i++) {
        number_of(a, others[i], numbers[i]);
        cr_assert_eq(strspn(numbers[i], "0123456789"), (size_t)CRY_SAFETY_DIGITS,
                     "not sixty digits: %s", numbers[i]);
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq(numbers[i], numbers[j], "sides %zu and %zu have the same number", i,
                              j);
    }
    /* each side is in it as a block of its own */
    bool kept = false;
    for (size_t at = 0; at < CRY_SAFETY_DIGITS; at += CRY_SAFETY_DIGITS / 2) {
        kept =
            kept || memcmp(numbers[0], numbers[1] + at, CRY_SAFETY_DIGITS / 2) == 0 ||
            memcmp(numbers[0] + CRY_SAFETY_DIGITS / 2, numbers[1] + at, CRY_SAFETY_DIGITS / 2) == 0;
    }
    cr_assert(kept, "no block of the two is alice's: %s, %s", numbers[0], numbers[1]);
    cry_keys_free(alice);
    cry_keys_free(bob);
}

/* Both blocks begin with zeros, and the two are alike: nothing of a number is left out. */
Test(keys, a_safety_number_keeps_its_zeros)
{
    uint8_t none[CRY_HASH_BYTES] = {0};
    uint8_t most[CRY_HASH_BYTES];
    char number[CRY_SAFETY_DIGITS + 1];
    memset(most, 0xff, sizeof most);
    cry_safety_number(none, none, number);
    cr_assert_eq(strspn(number, "0"), (size_t)CRY_SAFETY_DIGITS, "not sixty zeros: %s", number);
    cry_safety_number(most, none, number);
    cr_assert_str_eq(number, "000000000000000000000000000000277752777527775277752777527775",
                     "2^40 - 1 is 1099511627775, and the smaller block comes first: %s", number);
}
