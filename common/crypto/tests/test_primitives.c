/* Known answers of the primitives, and of what this module makes of them: hashing, signing, boxes,
 * beacons, passwords. Sources stand beside each vector; those named V_… are make_vectors.py's. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sodium.h>

static void init(void)
{
    cr_assert(cry_init() == 0, "the libraries start");
    cr_assert(cry_init() == 0, "and may be started again");
}

TestSuite(primitives, .init = init);

#define assert_bytes(got, hex, what)                                                               \
    do {                                                                                           \
        struct octets want_ = octets_of(hex);                                                      \
        cr_assert(memcmp(got, want_.b, want_.n) == 0, "%s", what);                                 \
    } while (0)

/* ---- secrets ---- */

Test(primitives, secrets_compare_and_wipe)
{
    struct peal_secret a;
    struct peal_secret b;
    uint8_t zero[SECRET_BYTES] = {0};
    cry_secret_new(&a);
    b = a;
    cr_assert(cry_secret_eq(&a, &b), "a copy is equal");
    for (size_t i = 0; i < sizeof b.b; i++) {
        b.b[i] ^= 0x80;
        cr_assert(!cry_secret_eq(&a, &b), "byte %zu counts", i);
        b.b[i] ^= 0x80;
    }
    cry_secret_new(&b);
    cr_assert(!cry_secret_eq(&a, &b), "fresh secrets differ");
    cry_wipe(&a, sizeof a);
    cr_assert(memcmp(a.b, zero, sizeof zero) == 0, "wiped");
    cr_assert(cry_equal("ab", "ab", 2), "equal bytes");
    cr_assert(!cry_equal("ab", "aB", 2), "unequal bytes");
    cr_assert(cry_equal(NULL, NULL, 0), "nothing equals nothing");
    cry_wipe(NULL, 0);
}

/* ---- hashing ---- */

Test(primitives, blake2b_is_rfc_7693)
{
    uint8_t out[64];
    cr_assert(crypto_generichash(out, 64, (const uint8_t *)"abc", 3, NULL, 0) == 0, "hashes");
    assert_bytes(out, /* RFC 7693, appendix A */
                 "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                 "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
                 "BLAKE2b-512 of abc");
}

Test(primitives, hashes_with_domains)
{
    struct peal_id id = cry_account_key(peal_bytes_str("alice"));
    struct peal_id other;
    uint8_t out[CRY_HASH_BYTES];
    assert_bytes(id.b, V_ACCOUNT_ALICE, "the account key of alice");
    cry_id("peal.account.1", peal_bytes_str("alice"), &other);
    cr_assert(id_eq(&id, &other), "cry_id in the same domain agrees");
    cry_id("peal.account.2", peal_bytes_str("alice"), &other);
    cr_assert(!id_eq(&id, &other), "another domain gives another id");
    cry_digest("peal.test.1", peal_bytes_str("abc"), out);
    assert_bytes(out, V_DIGEST_ABC, "a digest");
}

/* The first and the last but one of the reference implementation's vectors for SipHash-2-4: of the
 * bytes 0, 1, 2 … under the key 0, 1, 2 … 15, least significant byte first. */
Test(primitives, short_hashes_are_siphash)
{
    uint8_t key[CRY_SHORT_KEY_BYTES], data[15];
    for (uint8_t i = 0; i < sizeof key; i++)
        key[i] = i;
    for (uint8_t i = 0; i < sizeof data; i++)
        data[i] = i;
    cr_assert_eq(cry_short(key, (struct peal_bytes){0}), 0x310e0edd47db6f72, "of nothing");
    cr_assert_eq(cry_short(key, peal_bytes_of(data, 15)), 0xe545be4961ca29a1, "of 15 bytes");
    key[0] = 1;
    cr_assert_neq(cry_short(key, peal_bytes_of(data, 15)), 0xe545be4961ca29a1, "another key");
}

Test(primitives, hash_in_pieces)
{
    struct cry_hash h;
    struct cry_hash copy;
    uint8_t out[CRY_HASH_BYTES];
    cry_hash_init(&h, "peal.test.1");
    cry_hash_add(&h, "a", 1);
    cry_hash_add(&h, NULL, 0);
    copy = h;
    cry_hash_add(&h, "bc", 2);
    cry_hash_end(&h, out);
    assert_bytes(out, V_DIGEST_ABC, "pieces hash as the whole");
    cry_hash_add(&copy, "bc", 2);
    cry_hash_end(&copy, out);
    assert_bytes(out, V_DIGEST_ABC, "a copied state goes on from there");

    cry_hash_init(&h, "peal.test.1");
    cry_hash_part(&h, peal_bytes_str("ab"));
    cry_hash_part(&h, peal_bytes_of(NULL, 0));
    cry_hash_part(&h, peal_bytes_str("c"));
    cry_hash_end(&h, out);
    assert_bytes(out, V_DIGEST_PARTS, "parts are told apart");
}

Test(primitives, hash_of_a_long_domain_is_a_broken_invariant, .signal = SIGABRT)
{
    struct cry_hash h;
    cry_hash_init(&h, "peal.seventeen.ch");
}

Test(primitives, message_ids_carry_their_time)
{
    struct peal_msg_id a;
    struct peal_msg_id b;
    cry_msg_id(0x0123456789abULL, &a);
    cry_msg_id(0x0123456789abULL, &b);
    assert_bytes(a.b, "0123456789ab", "48 bits of time, big-endian");
    cr_assert(memcmp(a.b, b.b, 6) == 0, "the same time");
    cr_assert(!msg_id_eq(&a, &b), "80 random bits keep them apart");
    cry_msg_id(0x0123456789acULL, &b);
    cr_assert(msg_id_cmp(&a, &b) < 0, "later ids are larger");
}

/* ---- signatures ---- */

static const struct {
    const char *seed, *pub, *msg, *sig;
} rfc8032[] = {
    /* RFC 8032, section 7.1: TEST 1 and TEST 3 */
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
};

Test(primitives, ed25519_is_rfc_8032)
{
    for (size_t i = 0; i < PEAL_COUNT(rfc8032); i++) {
        struct octets seed = octets_of(rfc8032[i].seed);
        struct octets msg = octets_of(rfc8032[i].msg);
        struct peal_secret s;
        struct cry_sign_key key;
        uint8_t sk[64];
        uint8_t sig[64];
        memcpy(s.b, seed.b, sizeof s.b);
        cry_sign_key_from_seed(&s, &key);
        assert_bytes(key.pub, rfc8032[i].pub, "the public key of the seed");
        memcpy(sk, key.seed.b, 32);
        memcpy(sk + 32, key.pub, 32);
        cr_assert(crypto_sign_detached(sig, NULL, msg.b, msg.n, sk) == 0, "signs");
        assert_bytes(sig, rfc8032[i].sig, "the signature");
    }
}

Test(primitives, signatures_are_bound_to_domain_key_and_message)
{
    struct peal_secret seed = secret_from(32);
    struct cry_sign_key key;
    struct cry_sign_key other;
    uint8_t sig[CRY_SIG_BYTES];
    struct peal_bytes abc = peal_bytes_str("abc");
    cry_sign_key_from_seed(&seed, &key);
    seed.b[0] ^= 1;
    cry_sign_key_from_seed(&seed, &other);
    cry_sign(&key, "peal.test.1", abc, sig);
    assert_bytes(sig, V_SIG_ABC, "as the other implementation signs");
    cr_assert(cry_verify(key.pub, "peal.test.1", abc, sig) == 0, "verifies");
    cr_assert(cry_verify(key.pub, "peal.test.2", abc, sig) == PEAL_E_AUTH, "other domain");
    cr_assert(cry_verify(key.pub, "peal.test.1", peal_bytes_str("abd"), sig) == PEAL_E_AUTH,
              "other message");
    cr_assert(cry_verify(other.pub, "peal.test.1", abc, sig) == PEAL_E_AUTH, "other key");
    /* domain and message do not run into each other */
    cr_assert(cry_verify(key.pub, "peal.test.", peal_bytes_str("1abc"), sig) == PEAL_E_AUTH,
              "the boundary is signed");
    for (size_t i = 0; i < sizeof sig; i++) {
        sig[i] ^= 1;
        cr_assert(cry_verify(key.pub, "peal.test.1", abc, sig) == PEAL_E_AUTH, "byte %zu", i);
        sig[i] ^= 1;
    }
}

Test(primitives, signing_at_the_limit)
{
    static uint8_t big[CRY_SIGN_MAX + 1];
    struct peal_secret seed = secret_from(1);
    struct cry_sign_key key;
    uint8_t sig[CRY_SIG_BYTES];
    cry_sign_key_from_seed(&seed, &key);
    cry_sign(&key, "peal.test.1", peal_bytes_of(big, CRY_SIGN_MAX), sig);
    cr_assert(cry_verify(key.pub, "peal.test.1", peal_bytes_of(big, CRY_SIGN_MAX), sig) == 0,
              "the longest message");
    cr_assert(cry_verify(key.pub, "peal.test.1", peal_bytes_of(big, CRY_SIGN_MAX + 1), sig) ==
                  PEAL_E_TOO_LONG,
              "one more is refused");
    cry_sign(&key, "peal.test.1", peal_bytes_of(NULL, 0), sig);
    cr_assert(cry_verify(key.pub, "peal.test.1", peal_bytes_of(NULL, 0), sig) == 0,
              "the empty one");
}

Test(primitives, a_key_from_its_own_seed_in_place)
{
    struct cry_sign_key a;
    struct cry_sign_key b;
    struct peal_secret seed = secret_from(9);
    cry_sign_key_from_seed(&seed, &a);
    b.seed = seed;
    cry_sign_key_from_seed(&b.seed, &b);
    cr_assert(memcmp(&a, &b, sizeof a) == 0, "the seed may lie in the key");
}

/* ---- boxes ---- */

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1 */
#define XCHACHA_PLAIN                                                                              \
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " \
    "sunscreen would be it."

Test(primitives, a_box_is_the_drafts_vector)
{
    struct octets aad = octets_of("50515253c0c1c2c3c4c5c6c7");
    struct octets box = octets_of(
        "404142434445464748494a4b4c4d4e4f5051525354555657"
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3"
        "a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2b"
        "c369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49");
    struct peal_secret key = secret_from(0x80);
    uint8_t out[256];
    size_t n = 0;
    cr_assert(cry_box_open(&key, view(&aad), view(&box), sizeof out, out, &n) == 0, "opens");
    cr_assert(n == strlen(XCHACHA_PLAIN) && memcmp(out, XCHACHA_PLAIN, n) == 0, "the plaintext");
}

Test(primitives, boxes_are_bound_and_bounded)
{
    struct peal_secret key = secret_from(1);
    struct peal_secret other = secret_from(2);
    struct peal_bytes aad = peal_bytes_str("for bob");
    struct peal_bytes plain = peal_bytes_str("what is inside");
    uint8_t box[128];
    uint8_t out[128];
    size_t n = 0;
    size_t m = 0;
    size_t need = plain.n + CRY_BOX_OVERHEAD;
    cr_assert(cry_box_seal(&key, aad, plain, need - 1, box, &n) == PEAL_E_FULL,
              "too small a buffer");
    cr_assert(cry_box_seal(&key, aad, plain, 0, box, &n) == PEAL_E_FULL, "no buffer");
    cr_assert(cry_box_seal(&key, aad, plain, need, box, &n) == 0 && n == need, "an exact one");
    struct peal_bytes b = peal_bytes_of(box, n);
    cr_assert(cry_box_open(&key, aad, b, plain.n - 1, out, &m) == PEAL_E_FULL, "no room to open");
    cr_assert(cry_box_open(&key, aad, b, plain.n, out, &m) == 0 && m == plain.n, "exact room");
    cr_assert(memcmp(out, plain.p, m) == 0, "what went in");
    cr_assert(cry_box_open(&other, aad, b, sizeof out, out, &m) == PEAL_E_AUTH, "another key");
    cr_assert(cry_box_open(&key, plain, b, sizeof out, out, &m) == PEAL_E_AUTH, "another aad");
    for (size_t i = 0; i < n; i++) {
        box[i] ^= 0x10;
        cr_assert(cry_box_open(&key, aad, b, sizeof out, out, &m) == PEAL_E_AUTH, "byte %zu", i);
        box[i] ^= 0x10;
    }
    for (size_t k = 0; k < n; k++)
        cr_assert(cry_box_open(&key, aad, peal_bytes_of(box, k), sizeof out, out, &m) ==
                      (k < CRY_BOX_OVERHEAD ? PEAL_E_TRUNCATED : PEAL_E_AUTH),
                  "cut to %zu", k);
    cr_assert(cry_box_seal(&key, aad, peal_bytes_of(NULL, 0), sizeof box, box, &n) == 0, "empty");
    cr_assert(cry_box_open(&key, aad, peal_bytes_of(box, n), 0, out, &m) == 0 && m == 0,
              "an empty box opens into nothing");
}

/* ---- beacons ---- */

Test(primitives, beacons_of_the_ring)
{
    struct peal_secret ring = secret_from(0);
    struct peal_secret key;
    struct octets packet = octets_of(V_BEACON);
    uint8_t out[CRY_BEACON_BODY_MAX];
    size_t n = 0;
    cry_ring_beacon_key(&ring, &key);
    assert_bytes(key.b, V_BEACON_KEY, "the derived key");
    cr_assert(cry_beacon_open(&key, view(&packet), sizeof out, out, &n) == 0, "the kept packet");
    cr_assert(n == 9 && memcmp(out, "here I am", 9) == 0, "its body");
    ring.b[31] ^= 1;
    cry_ring_beacon_key(&ring, &key);
    cr_assert(cry_beacon_open(&key, view(&packet), sizeof out, out, &n) == PEAL_E_FOREIGN,
              "another ring's");
}

/* ---- the operator's word ---- */

Test(primitives, an_operators_word_is_for_one_server_of_one_roster)
{
    struct peal_secret ring = secret_from(0);
    struct cry_sign_key operator_key, ca;
    struct peal_id id = {{0x12, 0x34}}, other = {{0x12, 0x35}};
    uint8_t sig[CRY_SIG_BYTES];
    cry_ring_operator_key(&ring, &operator_key);
    cry_ring_ca_key(&ring, &ca);
    cr_assert(memcmp(operator_key.pub, ca.pub, sizeof ca.pub) != 0, "a key of its own");
    cry_remove_sign(&operator_key, 7, &id, sig);
    cr_assert_eq(cry_remove_verify(operator_key.pub, 7, &id, sig), 0, "the word itself");
    cr_assert_eq(cry_remove_verify(operator_key.pub, 8, &id, sig), PEAL_E_AUTH, "a later roster");
    cr_assert_eq(cry_remove_verify(operator_key.pub, 7, &other, sig), PEAL_E_AUTH, "another one");
    cr_assert_eq(cry_remove_verify(ca.pub, 7, &id, sig), PEAL_E_AUTH, "another key");
    ring.b[0] ^= 1;
    cry_ring_operator_key(&ring, &operator_key);
    cr_assert_eq(cry_remove_verify(operator_key.pub, 7, &id, sig), PEAL_E_AUTH, "another ring");
}

Test(primitives, beacons_out_of_form)
{
    static const uint8_t body[CRY_BEACON_BODY_MAX + 1];
    struct peal_secret key = secret_from(7);
    uint8_t packet[CRY_BEACON_MAX + 1];
    uint8_t out[CRY_BEACON_MAX];
    size_t n = 0;
    size_t m = 0;
    cr_assert(cry_beacon_seal(&key, peal_bytes_of(body, sizeof body), sizeof packet, packet, &n) ==
                  PEAL_E_TOO_LONG,
              "too long a body");
    struct peal_bytes b = peal_bytes_of(body, CRY_BEACON_BODY_MAX);
    cr_assert(cry_beacon_seal(&key, b, CRY_BEACON_MAX - 1, packet, &n) == PEAL_E_FULL, "no room");
    cr_assert(cry_beacon_seal(&key, b, 4, packet, &n) == PEAL_E_FULL, "hardly any room");
    cr_assert(cry_beacon_seal(&key, b, CRY_BEACON_MAX, packet, &n) == 0 && n == CRY_BEACON_MAX,
              "the largest fits exactly");
    struct peal_bytes p = peal_bytes_of(packet, n);
    cr_assert(cry_beacon_open(&key, p, sizeof out, out, &m) == 0 && m == b.n, "and opens");
    cr_assert(cry_beacon_open(&key, p, m - 1, out, &m) == PEAL_E_FULL, "no room to open");
    for (size_t i = 0; i < n; i++) {
        packet[i] ^= 1;
        int want = i < 4 ? PEAL_E_MALFORMED : i == 4 ? PEAL_E_VERSION : PEAL_E_FOREIGN;
        cr_assert(cry_beacon_open(&key, p, sizeof out, out, &m) == want, "byte %zu", i);
        packet[i] ^= 1;
    }
    cr_assert(cry_beacon_open(&key, peal_bytes_of(packet, sizeof packet), sizeof out, out, &m) ==
                  PEAL_E_TOO_LONG,
              "longer than any beacon");
    cr_assert(cry_beacon_open(&key, peal_bytes_of(NULL, 0), sizeof out, out, &m) ==
                  PEAL_E_MALFORMED,
              "an empty datagram");
    cr_assert(cry_beacon_open(&key, peal_bytes_of(packet, 5), sizeof out, out, &m) ==
                  PEAL_E_TRUNCATED,
              "a head without a box");
}

/* ---- passwords ---- */

Test(primitives, argon2id_is_libsodiums_vector)
{
    /* libsodium 1.0.18, test/default/pwhash_argon2id.c, the sixth of tv() */
    struct octets password =
        octets_of("b540beb016a5366524d4605156493f9874514a5aa58818cd0c6dfffaa9e90205f17b");
    struct octets salt = octets_of("44071f6d181561670bda728d43fb79b4");
    uint8_t out[231];
    cr_assert(crypto_pwhash(out, sizeof out, (const char *)password.b, password.n, salt.b, 1,
                            1631659, crypto_pwhash_ALG_ARGON2ID13) == 0,
              "stretches");
    assert_bytes(
        out,
        "7fb72409b0987f8190c3729710e98c3f80c5a8727d425fdcde7f3644d467fe973f5b5fee683bd3fce812"
        "cb9ae5e9921a2d06c2f1905e4e839692f2b934b682f11a2fe2b90482ea5dd234863516dba6f52dc0702d",
        "its first bytes");
}

/* Computed with another implementation of Argon2id and bcrypt (hash-wasm 4): password, salt 00 …
 * 0f, two passes, 19 MiB. */
#define PASSWORD "correct horse battery staple"
#define AUTH     "c948a1912c7c128e9156e3a94722a5366e6c62f33a082f77f46eb57bc1bad034"
#define WRAP     "420feff9f780f2b13b889f7a6dcf263da5a4310898aa51ff4de932e6a0adcd11"
#define STORED   "$2b$05$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO"

static struct cry_kdf cheapest(void)
{
    struct cry_kdf kdf = {.ops = CRY_KDF_OPS_MIN, .mem = CRY_KDF_MEM_MIN};
    for (size_t i = 0; i < sizeof kdf.salt; i++)
        kdf.salt[i] = (uint8_t)i;
    return kdf;
}

Test(primitives, a_password_becomes_two_keys)
{
    struct cry_kdf kdf = cheapest();
    struct peal_secret auth;
    struct peal_secret wrap;
    cr_assert(cry_password_split(peal_bytes_str(PASSWORD), &kdf, &auth, &wrap) == 0, "splits");
    assert_bytes(auth.b, AUTH, "the key that authenticates");
    assert_bytes(wrap.b, WRAP, "the key that wraps");
    kdf.salt[15] ^= 1;
    cr_assert(cry_password_split(peal_bytes_str(PASSWORD), &kdf, &auth, &wrap) == 0, "other salt");
    struct octets want = octets_of(AUTH);
    cr_assert(memcmp(auth.b, want.b, want.n) != 0, "another salt gives other keys");
}

Test(primitives, password_parameters_have_limits)
{
    static char longest[CRY_PASSWORD_MAX + 1];
    struct peal_secret a;
    struct peal_secret w;
    struct cry_kdf kdf = cheapest();
    struct peal_bytes p = peal_bytes_str(PASSWORD);
    memset(longest, 'x', sizeof longest);
    cr_assert(cry_password_split(peal_bytes_of(NULL, 0), &kdf, &a, &w) == PEAL_E_USAGE, "empty");
    cr_assert(cry_password_split(peal_bytes_of(longest, sizeof longest), &kdf, &a, &w) ==
                  PEAL_E_TOO_LONG,
              "too long");
    cr_assert(cry_password_split(peal_bytes_of(longest, CRY_PASSWORD_MAX), &kdf, &a, &w) == 0,
              "the longest");
    kdf.ops = CRY_KDF_OPS_MIN - 1;
    cr_assert(cry_password_split(p, &kdf, &a, &w) == PEAL_E_REFUSED, "too few passes");
    kdf.ops = CRY_KDF_OPS_MAX + 1;
    cr_assert(cry_password_split(p, &kdf, &a, &w) == PEAL_E_REFUSED, "too many passes");
    kdf = cheapest();
    kdf.mem = CRY_KDF_MEM_MIN - 1;
    cr_assert(cry_password_split(p, &kdf, &a, &w) == PEAL_E_REFUSED, "too little memory");
    kdf.mem = UINT32_MAX;
    cr_assert(cry_password_split(p, &kdf, &a, &w) == PEAL_E_REFUSED, "too much memory");
    struct cry_kdf fresh;
    struct cry_kdf again;
    cry_kdf_new(&fresh);
    cry_kdf_new(&again);
    cr_assert(fresh.ops == CRY_KDF_OPS_DEFAULT && fresh.mem == CRY_KDF_MEM_DEFAULT, "defaults");
    cr_assert(memcmp(fresh.salt, again.salt, sizeof fresh.salt) != 0, "salts are fresh");
}

/* crypt_blowfish 1.3, wrapper.c */
static const struct {
    const char *hash, *phrase;
} blowfish[] = {
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
    {"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
    {"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
     "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are "
     "ignored"},
    {"$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3"},
    {"$2b$05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq", "\xa3"},
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", ""},
};

Test(primitives, bcrypt_is_crypt_blowfishs)
{
    char out[CRY_BCRYPT_SIZE];
    for (size_t i = 0; i < PEAL_COUNT(blowfish); i++) {
        cr_assert(cry_bcrypt_raw(blowfish[i].phrase, blowfish[i].hash, out) == 0, "hash %zu", i);
        cr_assert_str_eq(out, blowfish[i].hash, "vector %zu", i);
    }
    cr_assert(cry_bcrypt_raw("U*U", "$2b$03$CCCCCCCCCCCCCCCCCCCCC.", out) == PEAL_E_CRYPTO,
              "too low a cost is refused");
}

Test(primitives, bcrypt_of_an_authentication_key)
{
    struct octets key = octets_of(AUTH);
    struct peal_secret auth;
    char hash[CRY_BCRYPT_SIZE];
    char again[CRY_BCRYPT_SIZE];
    memcpy(auth.b, key.b, sizeof auth.b);
    cr_assert(cry_bcrypt_verify(&auth, STORED) == 0, "as the other implementation hashed it");
    cr_assert(cry_bcrypt_hash(&auth, CRY_BCRYPT_COST_MIN, hash) == 0, "hashes");
    cr_assert(strncmp(hash, "$2b$04$", 7) == 0 && strlen(hash) == 60, "in its form: %s", hash);
    cr_assert(cry_bcrypt_hash(&auth, CRY_BCRYPT_COST_MIN, again) == 0, "hashes again");
    cr_assert_str_neq(hash, again, "salts are fresh");
    cr_assert(cry_bcrypt_verify(&auth, hash) == 0, "verifies");
    for (size_t i = 0; i < sizeof auth.b; i += 31) { /* the first and the last byte count */
        auth.b[i] ^= 1;
        cr_assert(cry_bcrypt_verify(&auth, hash) == PEAL_E_AUTH, "byte %zu of the key", i);
        auth.b[i] ^= 1;
    }
}

static const char *const bad_hashes[] = {
    "",
    "*0",
    "$2b$05$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYp",
    "$2b$05$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpOO",
    "$2a$05$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO",
    "$2b$31$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO",
    "$2b$03$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO",
    "$2b$x5$C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO",
    "$2b$05.C/CQCvOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO",
    "$2b$05$C/CQ!vOTDfaWEPmZF/ycFuKe.ki9GiFgDq8ZcaTzwpNOSpbTbAYpO",
};

Test(primitives, bcrypt_out_of_form)
{
    struct peal_secret auth = secret_from(0);
    char out[CRY_BCRYPT_SIZE];
    for (size_t i = 0; i < PEAL_COUNT(bad_hashes); i++)
        cr_assert(cry_bcrypt_verify(&auth, bad_hashes[i]) == PEAL_E_CORRUPT, "%s", bad_hashes[i]);
    cr_assert(cry_bcrypt_hash(&auth, CRY_BCRYPT_COST_MIN - 1, out) == PEAL_E_USAGE, "cost too low");
    cr_assert(cry_bcrypt_hash(&auth, CRY_BCRYPT_COST_MAX + 1, out) == PEAL_E_USAGE, "too high");
}
