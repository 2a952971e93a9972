/* envelope: messages sealed from one account to another, and the receipts that answer them. The
 * forms stand in peal/crypto.h.
 *
 * The signature is outside the encryption, so that a stranger's envelope costs no RSA operation;
 * that nobody can take the signature off and claim the message as his own is ensured by the
 * additional data, which holds the sender's fingerprint. */
#include "crypto_int.h"

#include <sodium.h>
#include <string.h>

enum {
    VERSION = 1,
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    SEALED_MAX = CRY_PLAIN_MAX + CRY_PAD_BLOCK + TAG,
};

_Static_assert((int)CRY_ENVELOPE_HEAD == 1 + 2 * CRY_FP_BYTES + 2 * CRY_RSA_BYTES + (int)NONCE,
               "the head ends with the nonce");

/* An envelope's fields, as views into it. */
struct envelope {
    const uint8_t *from_fp, *to_fp, *to_key, *from_key, *nonce, *sig;
    struct peal_bytes head, sealed;
};

static int envelope_parse(struct peal_bytes e, struct envelope *out)
{
    struct rd r;
    rd_init(&r, e.p, e.n);
    uint8_t version = rd_u8(&r);
    if (r.err == 0 && version != VERSION)
        return PEAL_E_VERSION;
    out->from_fp = rd_bytes(&r, CRY_FP_BYTES).p;
    out->to_fp = rd_bytes(&r, CRY_FP_BYTES).p;
    out->to_key = rd_bytes(&r, CRY_RSA_BYTES).p;
    out->from_key = rd_bytes(&r, CRY_RSA_BYTES).p;
    out->nonce = rd_bytes(&r, NONCE).p;
    out->sealed = rd_var(&r, SEALED_MAX);
    out->sig = rd_bytes(&r, CRY_SIG_BYTES).p;
    int rc = rd_end(&r);
    if (rc != 0)
        return rc;
    if (out->sealed.n < CRY_PAD_BLOCK + TAG || (out->sealed.n - TAG) % CRY_PAD_BLOCK != 0)
        return PEAL_E_MALFORMED;
    out->head = peal_bytes_of(e.p, CRY_ENVELOPE_HEAD);
    return 0;
}

/* What the ciphertext is bound to: the envelope's head, and what travels beside it. */
static void context_digest(struct peal_bytes head, const struct cry_context *ctx,
                           uint8_t out[static CRY_HASH_BYTES])
{
    struct cry_hash h;
    CHECK(head.n == CRY_ENVELOPE_HEAD);
    cry_hash_init(&h, DOMAIN_ENVELOPE);
    cry_hash_add(&h, head.p, head.n);
    cry_hash_add(&h, ctx->id.b, MSG_ID_BYTES);
    cry_hash_part(&h, ctx->from);
    cry_hash_part(&h, ctx->to);
    cry_hash_end(&h, out);
}

/* What is signed: the digest of the context, then that of the ciphertext. */
struct signed_text {
    uint8_t b[2 * CRY_HASH_BYTES];
};

static void signed_text_of(const uint8_t digest[static CRY_HASH_BYTES], struct peal_bytes sealed,
                           struct signed_text *out)
{
    memcpy(out->b, digest, CRY_HASH_BYTES);
    cry_digest(DOMAIN_SEALED, sealed, out->b + CRY_HASH_BYTES);
}

size_t cry_envelope_size(size_t plain_n)
{
    CHECK(plain_n <= CRY_PLAIN_MAX);
    return CRY_ENVELOPE_OVERHEAD + (plain_n / CRY_PAD_BLOCK + 1) * CRY_PAD_BLOCK;
}

static int write_head(const struct cry_keys *from, const struct cry_public *to,
                      const struct peal_secret *content, struct wr *w)
{
    uint8_t wrapped[CRY_RSA_BYTES];
    uint8_t nonce[NONCE];
    wr_u8(w, VERSION);
    wr_bytes(w, from->pub->fp, CRY_FP_BYTES);
    wr_bytes(w, to->fp, CRY_FP_BYTES);
    int rc = cry_rsa_wrap(to, content, wrapped);
    if (rc != 0)
        return rc;
    wr_bytes(w, wrapped, sizeof wrapped);
    rc = cry_rsa_wrap(from->pub, content, wrapped);
    if (rc != 0)
        return rc;
    wr_bytes(w, wrapped, sizeof wrapped);
    randombytes_buf(nonce, sizeof nonce);
    wr_bytes(w, nonce, sizeof nonce);
    return wr_end(w);
}

/* Pads and encrypts plain to out, which has the room that cry_envelope_size counted. */
static size_t write_sealed(const struct peal_secret *content, const uint8_t *nonce,
                           const uint8_t digest[static CRY_HASH_BYTES], struct peal_bytes plain,
                           uint8_t *out)
{
    size_t padded = 0;
    if (plain.n > 0)
        memcpy(out, plain.p, plain.n);
    int rc = sodium_pad(&padded, out, plain.n, CRY_PAD_BLOCK, plain.n + CRY_PAD_BLOCK);
    CHECK(rc == 0);
    rc = crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, out, padded, digest, CRY_HASH_BYTES,
                                                    NULL, nonce, content->b);
    CHECK(rc == 0);
    return padded + TAG;
}

int cry_envelope_seal(const struct cry_keys *from, const struct cry_public *to,
                      const struct cry_context *ctx, struct peal_bytes plain, size_t cap,
                      uint8_t out[], size_t *n)
{
    struct peal_secret content;
    struct signed_text text;
    uint8_t digest[CRY_HASH_BYTES];
    uint8_t sig[CRY_SIG_BYTES];
    struct wr w;
    CHECK(cry_name_in_form(ctx->from) && cry_name_in_form(ctx->to));
    if (plain.n > CRY_PLAIN_MAX)
        return PEAL_E_TOO_LONG;
    size_t size = cry_envelope_size(plain.n);
    if (cap < size)
        return PEAL_E_FULL;
    wr_init(&w, out, size);
    cry_secret_new(&content);
    int rc = write_head(from, to, &content, &w);
    if (rc != 0)
        goto out;
    CHECK(w.n == CRY_ENVELOPE_HEAD);
    context_digest(peal_bytes_of(out, w.n), ctx, digest);
    wr_u32(&w, (uint32_t)(size - CRY_ENVELOPE_OVERHEAD + TAG));
    uint8_t *sealed = out + w.n;
    size_t sealed_n =
        write_sealed(&content, out + CRY_ENVELOPE_HEAD - NONCE, digest, plain, sealed);
    w.n += sealed_n;
    signed_text_of(digest, peal_bytes_of(sealed, sealed_n), &text);
    cry_keys_sign(from, DOMAIN_ENVELOPE, peal_bytes_of(text.b, sizeof text.b), sig);
    wr_bytes(&w, sig, sizeof sig);
    rc = wr_end(&w);
    CHECK(rc == 0 && w.n == size);
    *n = size;
out:
    sodium_memzero(&content, sizeof content);
    return rc;
}

int cry_envelope_peek(struct peal_bytes envelope, struct cry_envelope_keys *out)
{
    struct envelope e;
    int rc = envelope_parse(envelope, &e);
    if (rc != 0)
        return rc;
    out->from_fp = e.from_fp;
    out->to_fp = e.to_fp;
    return 0;
}

static int verify_signature(const struct envelope *e, const struct cry_public *from,
                            const uint8_t digest[static CRY_HASH_BYTES])
{
    struct signed_text text;
    signed_text_of(digest, e->sealed, &text);
    return cry_public_verify(from, DOMAIN_ENVELOPE, peal_bytes_of(text.b, sizeof text.b), e->sig);
}

/* Verifies an envelope that was parsed and whose fingerprints were found right, and opens it with
 * the wrapped key given. */
static int open_parsed(const struct envelope *e, const struct cry_keys *own,
                       const struct cry_public *from, const uint8_t *wrapped,
                       const struct cry_context *ctx, size_t cap, uint8_t out[], size_t *n)
{
    struct peal_secret content;
    uint8_t digest[CRY_HASH_BYTES];
    size_t padded = e->sealed.n - TAG;
    size_t plain_n = 0;
    if (!cry_name_in_form(ctx->from) || !cry_name_in_form(ctx->to))
        return PEAL_E_MALFORMED;
    if (cap < padded)
        return PEAL_E_FULL;
    context_digest(e->head, ctx, digest);
    int rc = verify_signature(e, from, digest);
    if (rc != 0)
        return rc;
    rc = cry_rsa_unwrap(own, wrapped, &content);
    if (rc != 0)
        return rc;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, e->sealed.p, e->sealed.n,
                                                   digest, sizeof digest, e->nonce,
                                                   content.b) != 0 ||
        sodium_unpad(&plain_n, out, padded, CRY_PAD_BLOCK) != 0)
        rc = PEAL_E_CRYPTO;
    else if (plain_n > CRY_PLAIN_MAX)
        rc = PEAL_E_TOO_LONG;
    else
        *n = plain_n;
    sodium_memzero(&content, sizeof content);
    return rc;
}

static bool same_fp(const uint8_t *fp, const struct cry_public *p)
{
    return memcmp(fp, p->fp, CRY_FP_BYTES) == 0;
}

int cry_envelope_open(const struct cry_keys *own, const struct cry_public *from,
                      const struct cry_context *ctx, struct peal_bytes envelope, size_t cap,
                      uint8_t out[], size_t *n)
{
    struct envelope e;
    int rc = envelope_parse(envelope, &e);
    if (rc != 0)
        return rc;
    if (!same_fp(e.from_fp, from) || !same_fp(e.to_fp, own->pub))
        return PEAL_E_STALE;
    return open_parsed(&e, own, from, e.to_key, ctx, cap, out, n);
}

int cry_envelope_open_own(const struct cry_keys *own, const struct cry_context *ctx,
                          struct peal_bytes envelope, size_t cap, uint8_t out[], size_t *n)
{
    struct envelope e;
    int rc = envelope_parse(envelope, &e);
    if (rc != 0)
        return rc;
    if (!same_fp(e.from_fp, own->pub))
        return PEAL_E_STALE;
    return open_parsed(&e, own, own->pub, e.from_key, ctx, cap, out, n);
}

/* ---- receipts ---- */

static void receipt_digest(const struct cry_receipt *r, uint8_t out[static CRY_HASH_BYTES])
{
    _Static_assert(sizeof(struct peal_msg_id) == MSG_ID_BYTES, "ids lie side by side");
    struct cry_hash h;
    cry_hash_init(&h, DOMAIN_RECEIPT);
    cry_hash_add(&h, &r->state, 1);
    cry_hash_part(&h, r->by);
    cry_hash_part(&h, r->to);
    cry_hash_part(&h, peal_bytes_of(r->ids, r->n * MSG_ID_BYTES));
    cry_hash_end(&h, out);
}

static int receipt_in_form(const struct cry_receipt *r)
{
    if (r->by.n > CRY_NAME_MAX || r->to.n > CRY_NAME_MAX || r->n > CRY_RECEIPT_IDS_MAX)
        return PEAL_E_TOO_LONG;
    return r->by.n > 0 && r->to.n > 0 && r->n > 0 ? 0 : PEAL_E_MALFORMED;
}

void cry_receipt_sign(const struct cry_keys *k, const struct cry_receipt *r,
                      uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t digest[CRY_HASH_BYTES];
    CHECK(receipt_in_form(r) == 0);
    receipt_digest(r, digest);
    cry_keys_sign(k, DOMAIN_RECEIPT, peal_bytes_of(digest, sizeof digest), sig);
}

int cry_receipt_verify(const struct cry_public *p, const struct cry_receipt *r,
                       const uint8_t sig[static CRY_SIG_BYTES])
{
    uint8_t digest[CRY_HASH_BYTES];
    int rc = receipt_in_form(r);
    if (rc != 0)
        return rc;
    receipt_digest(r, digest);
    return cry_public_verify(p, DOMAIN_RECEIPT, peal_bytes_of(digest, sizeof digest), sig);
}
