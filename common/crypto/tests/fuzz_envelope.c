/* Fuzzing of what strangers send: envelopes, bundles, wrapped keys, beacons, certificates. The
 * first byte says which. */
#include "fixture.h"

static struct cry_keys *alice, *bob;
static uint8_t out[CRY_ENVELOPE_MAX];

static void fuzz_envelope(struct peal_bytes b)
{
    struct cry_context ctx = sample_context();
    struct cry_envelope_keys keys;
    size_t n = 0;
    int form = cry_envelope_peek(b, &keys);
    int rc = cry_envelope_open(bob, cry_keys_public(alice), &ctx, b, sizeof out, out, &n);
    int own = cry_envelope_open_own(alice, &ctx, b, sizeof out, out, &n);
    CHECK(rc <= 0 && own <= 0);
    CHECK(form == 0 || (rc == form && own == form)); /* what has no form does not open */
    CHECK(rc != 0 || (own == 0 && n <= CRY_PLAIN_MAX && cry_envelope_size(n) == b.n));
}

static void fuzz_bundle(struct peal_bytes b)
{
    struct cry_public *p = NULL;
    int rc = cry_public_parse(b, &p);
    CHECK((rc == 0) == (p != NULL));
    CHECK(rc != 0 || peal_bytes_eq(cry_public_bundle(p), b));
    cry_public_free(p);
}

/* Signed anew, so that the fuzzer gets past the signature to the DER. */
static void fuzz_spki(struct peal_bytes spki)
{
    uint8_t bundle[CRY_BUNDLE_MAX];
    uint8_t sig[CRY_SIG_BYTES];
    struct wr w;
    if (spki.n > CRY_SPKI_MAX)
        return;
    wr_init(&w, bundle, sizeof bundle);
    wr_u8(&w, 1);
    wr_var(&w, spki);
    wr_bytes(&w, alice->sign.pub, CRY_PUB_BYTES);
    cry_keys_sign(alice, DOMAIN_BUNDLE, peal_bytes_of(bundle, w.n), sig);
    wr_bytes(&w, sig, sizeof sig);
    fuzz_bundle(peal_bytes_of(bundle, w.n));
}

static void fuzz_others(struct peal_bytes b)
{
    struct peal_secret key = secret_from(0);
    struct octets ca = octets_of(V_CA);
    struct cry_keys *k = NULL;
    struct peal_id id;
    size_t n = 0;
    int rc = cry_beacon_open(&key, b, sizeof out, out, &n);
    CHECK(rc <= 0);
    rc = cry_keys_unwrap(&key, peal_bytes_str("alice"), b, &k);
    CHECK((rc == 0) == (k != NULL));
    cry_keys_free(k);
    rc = cry_cert_verify(b, view(&ca), &id);
    CHECK(rc <= 0);
    rc = cry_cert_verify(view(&ca), b, &id);
    CHECK(rc <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (alice == NULL) {
        alice = alice_new();
        bob = bob_new();
    }
    if (size == 0)
        return 0;
    struct peal_bytes b = peal_bytes_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        fuzz_envelope(b);
        break;
    case 1:
        fuzz_bundle(b);
        break;
    case 2:
        fuzz_spki(b);
        break;
    default:
        fuzz_others(b);
        break;
    }
    return 0;
}
