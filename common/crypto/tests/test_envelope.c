/* Envelopes and receipts: who can open them, and that nothing about them can be changed. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <openssl/err.h>

static struct cry_keys *alice, *bob;

static void init(void)
{
    alice = alice_new();
    bob = bob_new();
}

static void fini(void)
{
    cry_keys_free(alice);
    cry_keys_free(bob);
}

TestSuite(envelope, .init = init, .fini = fini);

static uint8_t sealed[CRY_ENVELOPE_MAX + 8];
static uint8_t opened[CRY_ENVELOPE_MAX + 8];

static struct peal_bytes seal(struct peal_bytes plain)
{
    struct cry_context ctx = sample_context();
    size_t n = 0;
    int rc = cry_envelope_seal(alice, cry_keys_public(bob), &ctx, plain, sizeof sealed, sealed, &n);
    cr_assert(rc == 0, "seals: %d", rc);
    cr_assert(n == cry_envelope_size(plain.n), "of the size foretold");
    return peal_bytes_of(sealed, n);
}

static int open_it(struct peal_bytes e, size_t *n)
{
    struct cry_context ctx = sample_context();
    return cry_envelope_open(bob, cry_keys_public(alice), &ctx, e, sizeof opened, opened, n);
}

static int open_own(struct peal_bytes e, size_t *n)
{
    struct cry_context ctx = sample_context();
    return cry_envelope_open_own(alice, &ctx, e, sizeof opened, opened, n);
}

Test(envelope, of_the_other_implementation_opens)
{
    struct octets e = octets_of(V_ENVELOPE);
    size_t n = 0;
    cr_assert(open_it(view(&e), &n) == 0, "for the recipient");
    cr_assert(n == strlen(SAMPLE_PLAIN) && memcmp(opened, SAMPLE_PLAIN, n) == 0, "the text");
    memset(opened, 0, sizeof opened);
    cr_assert(open_own(view(&e), &n) == 0, "for its author");
    cr_assert(n == strlen(SAMPLE_PLAIN) && memcmp(opened, SAMPLE_PLAIN, n) == 0, "the same text");
}

static const size_t sizes[] = {0, 1, 255, 256, 257, 4096, CRY_PLAIN_MAX - 1, CRY_PLAIN_MAX};

Test(envelope, of_every_size_round_trips)
{
    static uint8_t plain[CRY_PLAIN_MAX];
    cry_random(plain, sizeof plain);
    for (size_t i = 0; i < PEAL_COUNT(sizes); i++) {
        struct peal_bytes e = seal(peal_bytes_of(plain, sizes[i]));
        size_t n = 1;
        cr_assert(e.n <= CRY_ENVELOPE_MAX, "within the maximum");
        cr_assert(open_it(e, &n) == 0 && n == sizes[i], "recipient, %zu bytes", sizes[i]);
        cr_assert(memcmp(opened, plain, n) == 0, "the same bytes");
        cr_assert(open_own(e, &n) == 0 && n == sizes[i], "author, %zu bytes", sizes[i]);
        cr_assert(memcmp(opened, plain, n) == 0, "the same bytes");
    }
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
}

Test(envelope, hides_the_length)
{
    cr_assert(cry_envelope_size(0) == cry_envelope_size(255), "up to 255 bytes look the same");
    cr_assert(cry_envelope_size(256) == cry_envelope_size(255) + CRY_PAD_BLOCK,
              "then a block more");
    cr_assert(cry_envelope_size(CRY_PLAIN_MAX) == CRY_ENVELOPE_MAX, "the largest");
}

Test(envelope, has_limits)
{
    static uint8_t plain[CRY_PLAIN_MAX + 1];
    struct cry_context ctx = sample_context();
    size_t n = 0;
    const struct cry_public *to = cry_keys_public(bob);
    cr_assert(cry_envelope_seal(alice, to, &ctx, peal_bytes_of(plain, sizeof plain), sizeof sealed,
                                sealed, &n) == PEAL_E_TOO_LONG,
              "too long a text");
    size_t need = cry_envelope_size(10);
    struct peal_bytes ten = peal_bytes_of(plain, 10);
    cr_assert(cry_envelope_seal(alice, to, &ctx, ten, need - 1, sealed, &n) == PEAL_E_FULL, "room");
    cr_assert(cry_envelope_seal(alice, to, &ctx, ten, need, sealed, &n) == 0, "exact room");
    struct peal_bytes e = peal_bytes_of(sealed, n);
    cr_assert(cry_envelope_open(bob, cry_keys_public(alice), &ctx, e, CRY_PAD_BLOCK - 1, opened,
                                &n) == PEAL_E_FULL,
              "too little room to open");
    cr_assert(cry_envelope_open(bob, cry_keys_public(alice), &ctx, e, CRY_PAD_BLOCK, opened, &n) ==
                      0 &&
                  n == 10,
              "exact room to open");
}

Test(envelope, is_fresh_each_time)
{
    struct peal_bytes a = seal(peal_bytes_str("again"));
    static uint8_t first[CRY_ENVELOPE_MAX];
    memcpy(first, a.p, a.n);
    struct peal_bytes b = seal(peal_bytes_str("again"));
    const size_t key = 1 + 2 * CRY_FP_BYTES;
    const size_t nonce = CRY_ENVELOPE_HEAD - 24;
    cr_assert(memcmp(first + key, b.p + key, CRY_RSA_BYTES) != 0, "another wrapped key");
    cr_assert(memcmp(first + nonce, b.p + nonce, 24) != 0, "another nonce");
    cr_assert(memcmp(first + CRY_ENVELOPE_HEAD, b.p + CRY_ENVELOPE_HEAD, 4) == 0, "as long");
    cr_assert(memcmp(first + CRY_ENVELOPE_HEAD + 4, b.p + CRY_ENVELOPE_HEAD + 4, 256) != 0,
              "another ciphertext");
}

Test(envelope, names_its_keys)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    struct cry_envelope_keys k;
    cr_assert(cry_envelope_peek(e, &k) == 0, "peeks");
    cr_assert(memcmp(k.from_fp, cry_public_fingerprint(cry_keys_public(alice)), CRY_FP_BYTES) == 0,
              "the sender's");
    cr_assert(memcmp(k.to_fp, cry_public_fingerprint(cry_keys_public(bob)), CRY_FP_BYTES) == 0,
              "the recipient's");
    cr_assert(cry_envelope_peek(peal_bytes_of(e.p, e.n - 1), &k) == PEAL_E_TRUNCATED,
              "not of half");
}

/* Every byte: what it belongs to decides the error, and none passes. */
Test(envelope, with_any_byte_changed_is_refused, .timeout = 60)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    const size_t fps = 1 + 2 * CRY_FP_BYTES;
    size_t n = 0;
    for (size_t i = 0; i < e.n; i++) {
        bool length = i >= CRY_ENVELOPE_HEAD && i < CRY_ENVELOPE_HEAD + 4;
        sealed[i] ^= 1;
        int rc = open_it(e, &n);
        int own = open_own(e, &n);
        if (i == 0)
            cr_assert(rc == PEAL_E_VERSION && own == PEAL_E_VERSION, "version: %d %d", rc, own);
        else if (i < 1 + CRY_FP_BYTES)
            cr_assert(rc == PEAL_E_STALE && own == PEAL_E_STALE, "sender: %d %d", rc, own);
        else if (i < fps)
            cr_assert(rc == PEAL_E_STALE && own == PEAL_E_AUTH, "recipient: %d %d", rc, own);
        else if (length)
            cr_assert(rc < 0 && rc != PEAL_E_AUTH && own == rc, "length: %d %d", rc, own);
        else
            cr_assert(rc == PEAL_E_AUTH && own == PEAL_E_AUTH, "byte %zu: %d %d", i, rc, own);
        sealed[i] ^= 1;
    }
    cr_assert(open_it(e, &n) == 0 && n == 5, "unchanged it opens");
}

Test(envelope, of_another_length_is_refused)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    size_t n = 0;
    for (size_t k = 0; k < e.n; k++)
        cr_assert(open_it(peal_bytes_of(sealed, k), &n) == PEAL_E_TRUNCATED, "cut to %zu", k);
    cr_assert(open_it(peal_bytes_of(sealed, e.n + 1), &n) == PEAL_E_TRAILING, "a byte more");
    sealed[CRY_ENVELOPE_HEAD] = 0x7f;
    cr_assert(open_it(e, &n) == PEAL_E_TOO_LONG, "a huge length");
}

/* The ciphertext's length must be whole blocks and a tag, whatever else fits. */
Test(envelope, of_a_broken_block_is_malformed)
{
    static const uint8_t plain[300]; /* two blocks and a tag: 528 = 0x210 */
    struct peal_bytes e = seal(peal_bytes_of(plain, sizeof plain));
    size_t n = 0;
    cr_assert(sealed[CRY_ENVELOPE_HEAD + 2] == 2 && sealed[CRY_ENVELOPE_HEAD + 3] == 16, "length");
    sealed[CRY_ENVELOPE_HEAD + 3] = 15;
    cr_assert(open_it(peal_bytes_of(sealed, e.n - 1), &n) == PEAL_E_MALFORMED, "a byte less");
    sealed[CRY_ENVELOPE_HEAD + 2] = 0;
    sealed[CRY_ENVELOPE_HEAD + 3] = 16;
    cr_assert(open_it(peal_bytes_of(sealed, e.n - 512), &n) == PEAL_E_MALFORMED, "no block at all");
}

Test(envelope, is_bound_to_id_and_names)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    const struct cry_public *from = cry_keys_public(alice);
    static const char long_name[CRY_NAME_MAX + 1] = "x";
    size_t n = 0;
    struct cry_context ctx = sample_context();
    ctx.id.b[15] ^= 1;
    cr_assert(cry_envelope_open(bob, from, &ctx, e, sizeof opened, opened, &n) == PEAL_E_AUTH,
              "id");
    ctx = sample_context();
    ctx.from = peal_bytes_str("alicE");
    cr_assert(cry_envelope_open(bob, from, &ctx, e, sizeof opened, opened, &n) == PEAL_E_AUTH,
              "the sender's name");
    ctx = sample_context();
    ctx.to = peal_bytes_str("mallory");
    cr_assert(cry_envelope_open(bob, from, &ctx, e, sizeof opened, opened, &n) == PEAL_E_AUTH,
              "the recipient's name");
    ctx.to = peal_bytes_of(NULL, 0);
    cr_assert(cry_envelope_open(bob, from, &ctx, e, sizeof opened, opened, &n) == PEAL_E_MALFORMED,
              "no name");
    ctx.to = peal_bytes_of(long_name, sizeof long_name);
    cr_assert(cry_envelope_open(bob, from, &ctx, e, sizeof opened, opened, &n) == PEAL_E_MALFORMED,
              "too long a name");
}

Test(envelope, is_for_its_parties_alone)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    struct cry_keys *eve = NULL;
    struct cry_context ctx = sample_context();
    size_t n = 0;
    cr_assert(cry_keys_new(&eve) == 0, "a third account");
    cr_assert(cry_envelope_open(eve, cry_keys_public(alice), &ctx, e, sizeof opened, opened, &n) ==
                  PEAL_E_STALE,
              "not for eve");
    cr_assert(cry_envelope_open(bob, cry_keys_public(eve), &ctx, e, sizeof opened, opened, &n) ==
                  PEAL_E_STALE,
              "not from eve");
    cr_assert(cry_envelope_open_own(bob, &ctx, e, sizeof opened, opened, &n) == PEAL_E_STALE,
              "not the recipient's own");
    /* eve takes the place of the recipient, in the envelope's claim only */
    memcpy(sealed + 1 + CRY_FP_BYTES, cry_public_fingerprint(cry_keys_public(eve)), CRY_FP_BYTES);
    cr_assert(cry_envelope_open(eve, cry_keys_public(alice), &ctx, e, sizeof opened, opened, &n) ==
                  PEAL_E_AUTH,
              "the signature covers the recipient");
    cry_keys_free(eve);
}

/* Signs an envelope anew as k's, after a change. */
static void sign_again(const struct cry_keys *k, struct peal_bytes e)
{
    struct cry_context ctx = sample_context();
    struct cry_hash h;
    uint8_t text[2 * CRY_HASH_BYTES];
    size_t sealed_n = e.n - CRY_ENVELOPE_HEAD - 4 - CRY_SIG_BYTES;
    cry_hash_init(&h, DOMAIN_ENVELOPE);
    cry_hash_add(&h, e.p, CRY_ENVELOPE_HEAD);
    cry_hash_add(&h, ctx.id.b, MSG_ID_BYTES);
    cry_hash_part(&h, ctx.from);
    cry_hash_part(&h, ctx.to);
    cry_hash_end(&h, text);
    cry_digest(DOMAIN_SEALED, peal_bytes_of(e.p + CRY_ENVELOPE_HEAD + 4, sealed_n),
               text + CRY_HASH_BYTES);
    cry_keys_sign(k, DOMAIN_ENVELOPE, peal_bytes_of(text, sizeof text),
                  sealed + e.n - CRY_SIG_BYTES);
}

Test(envelope, cannot_be_claimed_by_another)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    struct cry_keys *eve = NULL;
    struct cry_context ctx = sample_context();
    size_t n = 0;
    sign_again(alice, e);
    cr_assert(open_it(e, &n) == 0, "signing anew by its author changes nothing");
    cr_assert(cry_keys_new(&eve) == 0, "a third account");
    memcpy(sealed + 1, cry_public_fingerprint(cry_keys_public(eve)), CRY_FP_BYTES);
    sign_again(eve, e);
    cr_assert(cry_envelope_open(bob, cry_keys_public(eve), &ctx, e, sizeof opened, opened, &n) ==
                  PEAL_E_CRYPTO,
              "the ciphertext knows its author");
    cry_keys_free(eve);
}

Test(envelope, signed_nonsense_does_not_decrypt)
{
    struct peal_bytes e = seal(peal_bytes_str("hello"));
    size_t n = 0;
    sealed[CRY_ENVELOPE_HEAD + 10] ^= 1; /* in the ciphertext */
    sign_again(alice, e);
    cr_assert(open_it(e, &n) == PEAL_E_CRYPTO, "a changed ciphertext");
    sealed[CRY_ENVELOPE_HEAD + 10] ^= 1;
    sealed[1 + 2 * CRY_FP_BYTES + 100] ^= 1; /* in the recipient's wrapped key */
    sign_again(alice, e);
    cr_assert(open_it(e, &n) == PEAL_E_CRYPTO, "a changed wrapped key");
    cr_assert(open_own(e, &n) == PEAL_E_CRYPTO, "of the other party, too");
    cr_assert(ERR_peek_error() == 0, "no error is left in the queue");
}

Test(envelope, to_oneself)
{
    struct cry_context ctx = sample_context();
    size_t n = 0;
    size_t m = 0;
    struct peal_bytes text = peal_bytes_str("do not forget");
    ctx.to = ctx.from;
    cr_assert(cry_envelope_seal(alice, cry_keys_public(alice), &ctx, text, sizeof sealed, sealed,
                                &n) == 0,
              "seals");
    struct peal_bytes e = peal_bytes_of(sealed, n);
    cr_assert(
        cry_envelope_open(alice, cry_keys_public(alice), &ctx, e, sizeof opened, opened, &m) == 0,
        "opens as the recipient");
    cr_assert(m == text.n && memcmp(opened, text.p, m) == 0, "the text");
    cr_assert(cry_envelope_open_own(alice, &ctx, e, sizeof opened, opened, &m) == 0,
              "as the author");
}

/* ---- receipts ---- */

static const struct peal_msg_id ids[] = {{{1}}, {{2}}, {{3}}};

static struct cry_receipt sample_receipt(void)
{
    struct cry_receipt r = {.state = 2,
                            .by = peal_bytes_str("zo\xc3\xab.m"),
                            .to = peal_bytes_str("alice"),
                            .ids = ids,
                            .n = 3};
    return r;
}

Test(envelope, receipts_are_bound_to_all_they_say)
{
    static const struct peal_msg_id swapped[] = {{{2}}, {{1}}, {{3}}};
    uint8_t sig[CRY_SIG_BYTES];
    const struct cry_public *p = cry_keys_public(bob);
    struct cry_receipt r = sample_receipt();
    cry_receipt_sign(bob, &r, sig);
    cr_assert(cry_receipt_verify(p, &r, sig) == 0, "verifies");
    cr_assert(cry_receipt_verify(cry_keys_public(alice), &r, sig) == PEAL_E_AUTH, "not alice's");
    r.state = 3;
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_AUTH, "another state");
    r = sample_receipt();
    r.by = peal_bytes_str("bob");
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_AUTH, "another signer's name");
    r = sample_receipt();
    r.to = peal_bytes_str("carol");
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_AUTH, "to another");
    r = sample_receipt();
    r.n = 2;
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_AUTH, "one id less");
    r.n = 3;
    r.ids = swapped;
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_AUTH, "another order");
    r = sample_receipt();
    sig[5] ^= 1;
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_AUTH, "another signature");
}

Test(envelope, receipts_have_limits)
{
    static struct peal_msg_id many[CRY_RECEIPT_IDS_MAX + 1];
    static const char long_name[CRY_NAME_MAX + 1] = "x";
    uint8_t sig[CRY_SIG_BYTES];
    const struct cry_public *p = cry_keys_public(bob);
    struct cry_receipt r = sample_receipt();
    r.ids = many;
    r.n = CRY_RECEIPT_IDS_MAX;
    cry_receipt_sign(bob, &r, sig);
    cr_assert(cry_receipt_verify(p, &r, sig) == 0, "the longest list");
    r.n++;
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_TOO_LONG, "one more");
    r.n = 0;
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_MALFORMED, "none");
    r = sample_receipt();
    r.by = peal_bytes_of(long_name, sizeof long_name);
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_TOO_LONG, "too long a name");
    r = sample_receipt();
    r.to = peal_bytes_of(NULL, 0);
    cr_assert(cry_receipt_verify(p, &r, sig) == PEAL_E_MALFORMED, "no name");
}
