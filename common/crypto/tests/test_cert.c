/* Certificates: the same bytes everywhere, and nothing but a node's own certificate passes. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

static void init(void)
{
    cr_assert(cry_init() == 0, "the libraries start");
}

TestSuite(cert, .init = init);

static struct cry_identity sample_identity(void)
{
    struct peal_secret ring = secret_from(0);
    struct peal_secret seed = secret_from(32);
    struct cry_identity who;
    cr_assert(cry_identity_make(&ring, &seed, &who) == 0, "an identity is made");
    return who;
}

static struct peal_bytes cert_of(const struct cry_identity *w)
{
    return peal_bytes_of(w->cert, w->cert_n);
}

static struct peal_bytes ca_of(const struct cry_identity *w)
{
    return peal_bytes_of(w->ca, w->ca_n);
}

Test(cert, is_what_the_other_implementation_makes)
{
    struct cry_identity who = sample_identity();
    struct octets ca = octets_of(V_CA);
    struct octets cert = octets_of(V_NODE_CERT);
    struct octets fp = octets_of(V_CA_FP);
    struct octets id = octets_of(V_NODE_ID);
    cr_assert(peal_bytes_eq(ca_of(&who), view(&ca)), "the authority, byte for byte");
    cr_assert(peal_bytes_eq(cert_of(&who), view(&cert)), "the node's, byte for byte");
    cr_assert(memcmp(who.fingerprint, fp.b, fp.n) == 0, "the fingerprint");
    cr_assert(memcmp(who.id.b, id.b, id.n) == 0, "the id");
}

Test(cert, is_determined_by_the_keys)
{
    struct cry_identity a = sample_identity();
    struct cry_identity b = sample_identity();
    struct peal_secret ring = secret_from(0);
    struct peal_secret seed_32 = secret_from(32);
    struct peal_secret seed = secret_from(33);
    uint8_t ca[CRY_CERT_MAX];
    size_t n = 0;
    cr_assert(peal_bytes_eq(cert_of(&a), cert_of(&b)), "the same keys give the same certificate");
    cr_assert(cry_secret_eq(&a.key.seed, &seed_32) && id_eq(&a.id, &b.id), "and the same node");
    cr_assert(cry_ca_make(&ring, ca, &n) == 0, "the authority alone");
    cr_assert(peal_bytes_eq(ca_of(&a), peal_bytes_of(ca, n)), "is the same");
    cr_assert(cry_identity_make(&ring, &seed, &b) == 0, "another node");
    cr_assert(peal_bytes_eq(ca_of(&a), ca_of(&b)), "of the same ring has the same authority");
    cr_assert(!id_eq(&a.id, &b.id), "and its own id");
    ring.b[0] ^= 1;
    cr_assert(cry_identity_make(&ring, &seed, &b) == 0, "a node of another ring");
    cr_assert(!peal_bytes_eq(ca_of(&a), ca_of(&b)), "has another authority");
    cr_assert(memcmp(a.fingerprint, b.fingerprint, CRY_FP_BYTES) != 0, "and fingerprint");
}

Test(cert, names_the_node)
{
    struct cry_identity who = sample_identity();
    struct peal_id id;
    cr_assert(cry_cert_verify(cert_of(&who), ca_of(&who), &id) == 0, "verifies");
    cr_assert(id_eq(&id, &who.id), "the id in it");
    struct peal_id of_key = cry_node_id(who.key.pub);
    cr_assert(id_eq(&id, &of_key), "is the hash of the key");
    cr_assert(ERR_peek_error() == 0, "and leaves no error behind in the queue");
}

Test(cert, of_another_ring_is_foreign)
{
    struct cry_identity who = sample_identity();
    struct cry_identity stranger;
    struct peal_secret ring = secret_from(100);
    struct peal_secret seed = secret_from(32);
    struct peal_id id;
    cr_assert(cry_identity_make(&ring, &seed, &stranger) == 0, "another ring, the same node key");
    cr_assert(cry_cert_verify(cert_of(&stranger), ca_of(&who), &id) == PEAL_E_FOREIGN, "foreign");
    cr_assert(cry_cert_verify(ca_of(&stranger), ca_of(&who), &id) == PEAL_E_FOREIGN, "its CA too");
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
}

Test(cert, with_any_byte_changed_is_refused)
{
    struct cry_identity who = sample_identity();
    struct peal_id id;
    for (size_t i = 0; i < who.cert_n; i++) {
        who.cert[i] ^= 1;
        int rc = cry_cert_verify(cert_of(&who), ca_of(&who), &id);
        cr_assert(rc == PEAL_E_MALFORMED || rc == PEAL_E_FOREIGN || rc == PEAL_E_AUTH,
                  "byte %zu: %d", i, rc);
        who.cert[i] ^= 1;
    }
    for (size_t i = 0; i < who.ca_n; i++) {
        who.ca[i] ^= 1;
        int rc = cry_cert_verify(cert_of(&who), ca_of(&who), &id);
        cr_assert(rc < 0, "byte %zu of the authority: %d", i, rc);
        who.ca[i] ^= 1;
    }
    cr_assert(cry_cert_verify(cert_of(&who), ca_of(&who), &id) == 0, "unchanged it passes again");
}

Test(cert, out_of_form_is_malformed)
{
    struct cry_identity who = sample_identity();
    struct peal_id id;
    uint8_t fp[CRY_FP_BYTES];
    static uint8_t big[CRY_CERT_MAX + 1];
    struct peal_bytes cut = peal_bytes_of(who.cert, who.cert_n - 1);
    struct peal_bytes more = peal_bytes_of(who.cert, who.cert_n + 1);
    struct peal_bytes none = peal_bytes_of(NULL, 0);
    cr_assert(cry_cert_verify(cut, ca_of(&who), &id) == PEAL_E_MALFORMED, "cut");
    cr_assert(cry_cert_verify(more, ca_of(&who), &id) == PEAL_E_MALFORMED, "a byte too many");
    cr_assert(cry_cert_verify(none, ca_of(&who), &id) == PEAL_E_MALFORMED, "nothing");
    cr_assert(cry_cert_verify(cert_of(&who), none, &id) == PEAL_E_MALFORMED, "no authority");
    cr_assert(cry_cert_verify(peal_bytes_of(big, sizeof big), ca_of(&who), &id) == PEAL_E_MALFORMED,
              "too long");
    cr_assert(cry_ca_fingerprint(cut, fp) == PEAL_E_MALFORMED, "no fingerprint of half of one");
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
}

/* ---- forgeries by someone who holds the ring key ---- */

struct forgery {
    const char *what;
    const char *cn;  /* NULL: the right one */
    const char *eku; /* NULL: none */
    const char *basic;
    const char *key_usage;
    bool two_names;
};

static const struct forgery forgeries[] = {
    {"another's name", "0000000000000000000000000000000000000000", "serverAuth,clientAuth",
     "critical,CA:FALSE", "critical,digitalSignature", false},
    {"no name of a node", "bob", "serverAuth,clientAuth", "critical,CA:FALSE",
     "critical,digitalSignature", false},
    {"a name and more", V_NODE_ID "00", "serverAuth,clientAuth", "critical,CA:FALSE",
     "critical,digitalSignature", false},
    {"two names", NULL, "serverAuth,clientAuth", "critical,CA:FALSE", "critical,digitalSignature",
     true},
    {"a server only", NULL, "serverAuth", "critical,CA:FALSE", "critical,digitalSignature", false},
    {"a client only", NULL, "clientAuth", "critical,CA:FALSE", "critical,digitalSignature", false},
    {"for anything", NULL, NULL, "critical,CA:FALSE", "critical,digitalSignature", false},
    {"an authority of its own", NULL, "serverAuth,clientAuth", "critical,CA:TRUE",
     "critical,keyCertSign,digitalSignature", false},
};

static void add_extension(X509 *x, X509 *ca, int nid, const char *value)
{
    X509V3_CTX ctx;
    if (value == NULL)
        return;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    cr_assert(e != NULL && X509_add_ext(x, e, -1) == 1, "extension %s", value);
    X509_EXTENSION_free(e);
}

/* A certificate as the forgery says, rightly signed by the authority. */
static size_t forge(const struct forgery *f, const struct cry_identity *who, uint8_t *out)
{
    struct peal_secret ring = secret_from(0);
    struct cry_sign_key ca_key;
    char cn[ID_HEX];
    const unsigned char *p = who->ca;
    X509 *ca = d2i_X509(NULL, &p, (long)who->ca_n);
    X509 *x = X509_new();
    cry_ring_ca_key(&ring, &ca_key);
    EVP_PKEY *signer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, ca_key.seed.b, 32);
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, who->key.pub, 32);
    X509_NAME *subject = X509_get_subject_name(x);
    id_hex(&who->id, cn);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 77);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               (const unsigned char *)(f->cn != NULL ? f->cn : cn), -1, -1, 0);
    if (f->two_names)
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)"bob", -1,
                                   -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(ca));
    ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z");
    X509_set_pubkey(x, key);
    add_extension(x, ca, NID_basic_constraints, f->basic);
    add_extension(x, ca, NID_key_usage, f->key_usage);
    add_extension(x, ca, NID_ext_key_usage, f->eku);
    add_extension(x, ca, NID_subject_key_identifier, "hash");
    add_extension(x, ca, NID_authority_key_identifier, "keyid:always");
    cr_assert(X509_sign(x, signer, NULL) > 0, "the forger signs");
    unsigned char *q = out;
    int n = i2d_X509(x, &q);
    cr_assert(n > 0 && n <= CRY_CERT_MAX, "encodes");
    X509_free(x);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    return (size_t)n;
}

Test(cert, forged_is_refused)
{
    static const struct forgery honest = {
        "honest", NULL, "serverAuth,clientAuth", "critical,CA:FALSE", "critical,digitalSignature",
        false};
    struct cry_identity who = sample_identity();
    struct peal_id id;
    uint8_t der[CRY_CERT_MAX];
    size_t n = forge(&honest, &who, der);
    cr_assert(cry_cert_verify(peal_bytes_of(der, n), ca_of(&who), &id) == 0,
              "the forger's tools can make a good one");
    for (size_t i = 0; i < PEAL_COUNT(forgeries); i++) {
        n = forge(&forgeries[i], &who, der);
        int rc = cry_cert_verify(peal_bytes_of(der, n), ca_of(&who), &id);
        cr_assert(rc == PEAL_E_AUTH, "%s: %d", forgeries[i].what, rc);
    }
}

/* A certificate signed by its own key, with a comment of that many characters in it; its size. */
static size_t self_signed(EVP_PKEY *key, const EVP_MD *md, size_t comment, uint8_t *out, size_t cap)
{
    char text[2 * CRY_CERT_MAX] = {0};
    X509 *x = X509_new();
    cr_assert(comment < sizeof text, "the comment fits");
    memset(text, 'x', comment);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)"Peal ring", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z");
    X509_set_pubkey(x, key);
    add_extension(x, x, NID_netscape_comment, text);
    cr_assert(X509_sign(x, key, md) > 0, "signs itself");
    int n = i2d_X509(x, NULL);
    cr_assert(n > 0 && (size_t)n <= cap, "encodes");
    unsigned char *q = out;
    i2d_X509(x, &q);
    X509_free(x);
    return (size_t)n;
}

Test(cert, of_another_kind_of_key_or_too_long_is_malformed)
{
    uint8_t der[4 * CRY_CERT_MAX];
    uint8_t fp[CRY_FP_BYTES];
    struct cry_identity who = sample_identity();
    struct peal_id id;
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    EVP_PKEY *ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, who.key.seed.b, 32);
    size_t n = self_signed(ed, NULL, 8, der, sizeof der);
    cr_assert(cry_ca_fingerprint(peal_bytes_of(der, n), fp) == 0, "Ed25519, short: has one");
    n = self_signed(ec, EVP_sha256(), 8, der, sizeof der);
    cr_assert(cry_ca_fingerprint(peal_bytes_of(der, n), fp) == PEAL_E_MALFORMED, "another kind");
    cr_assert(cry_cert_verify(peal_bytes_of(der, n), ca_of(&who), &id) == PEAL_E_MALFORMED, "leaf");
    n = self_signed(ed, NULL, CRY_CERT_MAX, der, sizeof der);
    cr_assert(n > CRY_CERT_MAX, "%zu bytes", n);
    cr_assert(cry_ca_fingerprint(peal_bytes_of(der, n), fp) == PEAL_E_MALFORMED, "too long");
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
}

Test(cert, of_a_node_is_no_authority)
{
    struct cry_identity who = sample_identity();
    struct peal_id id;
    cr_assert(cry_cert_verify(cert_of(&who), cert_of(&who), &id) == PEAL_E_FOREIGN,
              "a node does not vouch for itself");
    cr_assert(cry_cert_verify(ca_of(&who), ca_of(&who), &id) == PEAL_E_AUTH,
              "the authority is no node");
}

/* ---- fingerprints as text ---- */

Test(cert, fingerprints_have_one_text)
{
    struct cry_identity who = sample_identity();
    uint8_t back[CRY_FP_BYTES];
    char text[CRY_FP_TEXT];
    char bad[CRY_FP_TEXT + 1];
    cry_fp_text(who.fingerprint, text);
    cr_assert(strlen(text) == CRY_FP_TEXT - 1, "43 characters: %s", text);
    cr_assert(cry_fp_parse(text, back) == 0, "reads back");
    cr_assert(memcmp(back, who.fingerprint, sizeof back) == 0, "the same");
    cr_assert(cry_fp_parse("", back) == PEAL_E_MALFORMED, "empty");
    memcpy(bad, text, sizeof text);
    bad[42] = 0;
    cr_assert(cry_fp_parse(bad, back) == PEAL_E_MALFORMED, "a character short");
    memcpy(bad, text, sizeof text);
    bad[43] = 'A';
    bad[44] = 0;
    cr_assert(cry_fp_parse(bad, back) == PEAL_E_MALFORMED, "a character long");
    memcpy(bad, text, sizeof text);
    bad[10] = '+';
    cr_assert(cry_fp_parse(bad, back) == PEAL_E_MALFORMED, "the other alphabet");
    memcpy(bad, text, sizeof text);
    bad[42] = (char)(bad[42] + 1); /* only its spare bits differ */
    cr_assert(cry_fp_parse(bad, back) == PEAL_E_MALFORMED, "not the one form");
    uint8_t high[CRY_FP_BYTES];
    memset(high, 0xff, sizeof high);
    cry_fp_text(high, text);
    cr_assert_str_eq(text, "__________________________________________8", "base64url");
}
