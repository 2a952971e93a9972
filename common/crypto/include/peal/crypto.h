/* crypto: hashing, signing, sealing, certificates and password functions. Every primitive is
 * libsodium's, OpenSSL's or libxcrypt's; this module only fixes their parameters, their domain
 * separation and the byte forms, in one place.
 *
 * Not for: TLS (peal/net.h), files, clocks, policy. It reads no file and asks for no time; what is
 * random comes from the system's generator through libsodium.
 *
 * Thread safety: functions without an object may run on any thread at once. `struct cry_keys` and
 * `struct cry_public` keep prepared contexts inside and belong to one thread at a time, also where
 * they are passed as const.
 *
 * Common errors: PEAL_E_FULL: the caller's `cap` is too small (nothing useful is in `out` then).
 * PEAL_E_NO_MEMORY, PEAL_E_CRYPTO: a library failed. An argument that breaks a contract about the
 * caller's own data is a broken invariant (CHECK). */
#ifndef PEAL_CRYPTO_H
#define PEAL_CRYPTO_H

#include <peal/base.h>

/* Once per process, before anything else here; further calls do nothing. PEAL_E_CRYPTO when the
 * system has no randomness. */
PEAL_MUST int cry_init(void);

/* ---- randomness and secrets ----
 * Each secret that is kept is 32 bytes: a key or a seed. It has no textual form, is compared in
 * constant time and is wiped by its owner. Passwords are byte views; their owner wipes them with
 * cry_wipe. */
enum { SECRET_BYTES = 32 };

struct peal_secret {
    uint8_t b[SECRET_BYTES];
};

void cry_random(void *out, size_t n);
void cry_secret_new(struct peal_secret *out);
/* Constant time in the contents. */
bool cry_secret_eq(const struct peal_secret *a, const struct peal_secret *b);
bool cry_equal(const void *a, const void *b, size_t n);
/* Overwrites n bytes in a way that the compiler keeps. */
void cry_wipe(void *p, size_t n);

/* ---- hashing ----
 * BLAKE2b (RFC 7693). `domain` is its personalisation: 1 to CRY_DOMAIN_MAX characters, zero-padded,
 * so that hashes made for different purposes never coincide. Domains used here: peal.account.1,
 * peal.node.1, peal.bundle.1, peal.envelope.1, peal.sealed.1, peal.receipt.1, peal.safety.1,
 * peal.succeed.1, peal.recovery.0 to peal.recovery.2; other modules choose their own and never
 * these. */
enum { CRY_DOMAIN_MAX = 16, CRY_HASH_BYTES = 32 };

/* BLAKE2b-160, for identifiers on the ring. */
void cry_id(const char *domain, struct peal_bytes data, struct peal_id *out);
/* BLAKE2b-256. */
void cry_digest(const char *domain, struct peal_bytes data, uint8_t out[static CRY_HASH_BYTES]);

/* SipHash-2-4 under a key: 64 bits that nobody without the key can foresee, at a tenth of a
 * digest's cost. For tables and comparisons among those who hold the key; no proof of anything. */
enum { CRY_SHORT_KEY_BYTES = 16 };
uint64_t cry_short(const uint8_t key[static CRY_SHORT_KEY_BYTES], struct peal_bytes data);

/* BLAKE2b-256 in pieces. The state is plain memory: it may be copied to hash a common beginning
 * once, and needs no release. */
struct cry_hash {
    _Alignas(64) uint8_t state[384];
};

void cry_hash_init(struct cry_hash *h, const char *domain);
/* The bytes as they are: where one piece ends does not count. */
void cry_hash_add(struct cry_hash *h, const void *p, size_t n);
/* The length as a u64, then the bytes: a list of parts hashes differently from any other list. */
void cry_hash_part(struct cry_hash *h, struct peal_bytes part);
void cry_hash_end(struct cry_hash *h, uint8_t out[static CRY_HASH_BYTES]);

/* Where an account's record lies on the ring: the hash of its canonical name. */
struct peal_id cry_account_key(struct peal_bytes canonical_name);

/* A fresh message id: 48 bits of wall_ms (Unix milliseconds, < 2^48) and 80 random bits. */
void cry_msg_id(uint64_t wall_ms, struct peal_msg_id *out);

/* ---- signatures ----
 * Ed25519 (RFC 8032) over: the domain's length (u8), the domain, the message. Longer messages are
 * hashed first. */
enum { CRY_PUB_BYTES = 32, CRY_SIG_BYTES = 64, CRY_SIGN_MAX = 4096 };

struct cry_sign_key {
    struct peal_secret seed;
    uint8_t pub[CRY_PUB_BYTES];
};

void cry_sign_key_from_seed(const struct peal_secret *seed, struct cry_sign_key *out);
/* message.n <= CRY_SIGN_MAX. */
void cry_sign(const struct cry_sign_key *key, const char *domain, struct peal_bytes message,
              uint8_t sig[static CRY_SIG_BYTES]);
/* PEAL_E_AUTH: not this key's signature of this message in this domain. PEAL_E_TOO_LONG: message.n
 * > CRY_SIGN_MAX. */
PEAL_MUST int cry_verify(const uint8_t pub[static CRY_PUB_BYTES], const char *domain,
                         struct peal_bytes message, const uint8_t sig[static CRY_SIG_BYTES]);

/* A node's id: the hash of its Ed25519 public key. */
struct peal_id cry_node_id(const uint8_t pub[static CRY_PUB_BYTES]);

/* ---- boxes ----
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a key of ours with a random nonce: nonce
 * (24), ciphertext, tag (16). `aad` is what the box is bound to and does not carry. For data at
 * rest and for what passes through strangers. */
enum { CRY_BOX_OVERHEAD = 24 + 16 };

/* Writes plain.n + CRY_BOX_OVERHEAD bytes to out; out must not overlap plain. */
PEAL_MUST int cry_box_seal(const struct peal_secret *key, struct peal_bytes aad,
                           struct peal_bytes plain, size_t cap, uint8_t out[], size_t *n);
/* Writes box.n - CRY_BOX_OVERHEAD bytes. PEAL_E_TRUNCATED: too short to be a box. PEAL_E_AUTH:
 * other key, other aad, or changed on the way; out holds no plaintext then. */
PEAL_MUST int cry_box_open(const struct peal_secret *key, struct peal_bytes aad,
                           struct peal_bytes box, size_t cap, uint8_t out[], size_t *n);

/* ---- the ring's key and its beacon ----
 * The ring key is 32 random bytes. From it libsodium's crypto_kdf (context "pealring") derives:
 * subkey 1, the seed of the authority's Ed25519 key; subkey 2, the beacon's key; subkey 3, the seed
 * of the operator's Ed25519 key, with which whoever holds the ring key tells servers what to do. */
void cry_ring_ca_key(const struct peal_secret *ring, struct cry_sign_key *out);
void cry_ring_beacon_key(const struct peal_secret *ring, struct peal_secret *out);
void cry_ring_operator_key(const struct peal_secret *ring, struct cry_sign_key *out);

/* The operator's word that server id is to be taken out of the roster of that epoch, and of no
 * other: said again later it says nothing. Domain "peal.remove.1", over epoch (u64) and id. */
void cry_remove_sign(const struct cry_sign_key *operator_key, uint64_t epoch,
                     const struct peal_id *id, uint8_t sig[static CRY_SIG_BYTES]);
/* PEAL_E_AUTH: not this operator's word. */
PEAL_MUST int cry_remove_verify(const uint8_t operator_pub[static CRY_PUB_BYTES], uint64_t epoch,
                                const struct peal_id *id, const uint8_t sig[static CRY_SIG_BYTES]);

/* A beacon packet: "PEAL" (4), version 1 (u8), and a box under the beacon key bound to these five
 * bytes. */
enum {
    CRY_BEACON_OVERHEAD = 4 + 1 + CRY_BOX_OVERHEAD,
    CRY_BEACON_MAX = 1232, /* IPv6's smallest MTU of 1280 less the headers of IPv6 and UDP */
    CRY_BEACON_BODY_MAX = CRY_BEACON_MAX - CRY_BEACON_OVERHEAD,
};

/* body.n <= CRY_BEACON_BODY_MAX, else PEAL_E_TOO_LONG. */
PEAL_MUST int cry_beacon_seal(const struct peal_secret *beacon_key, struct peal_bytes body,
                              size_t cap, uint8_t out[], size_t *n);
/* PEAL_E_MALFORMED: no beacon at all. PEAL_E_VERSION: a beacon of another version.
 * PEAL_E_TRUNCATED, PEAL_E_TOO_LONG: as named. PEAL_E_FOREIGN: a beacon of another ring (or
 * tampered with). */
PEAL_MUST int cry_beacon_open(const struct peal_secret *beacon_key, struct peal_bytes packet,
                              size_t cap, uint8_t out[], size_t *n);

/* ---- certificates ----
 * X.509 v3 with Ed25519 (RFC 5280, RFC 8410), DER. The authority's certificate follows from the
 * ring key alone and a node's from the ring key and the node's seed: the same bytes wherever and
 * whenever they are made (fixed serials, valid from 2020-01-01 to 9999-12-31). The fingerprint is
 * SHA-256 over the authority's SubjectPublicKeyInfo, as in RFC 7469. */
enum { CRY_CERT_MAX = 1024, CRY_FP_BYTES = 32, CRY_FP_TEXT = 44 };

struct cry_identity {
    struct cry_sign_key
        key; /* for TLS: EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key.seed.b, 32) */
    struct peal_id id; /* cry_node_id(key.pub); the certificate's CN is its hex form */
    uint8_t cert[CRY_CERT_MAX];
    size_t cert_n;
    uint8_t ca[CRY_CERT_MAX];
    size_t ca_n;
    uint8_t fingerprint[CRY_FP_BYTES];
};

/* The identity holds the node's private key: wipe it with cry_wipe when done. */
PEAL_MUST int cry_identity_make(const struct peal_secret *ring, const struct peal_secret *node_seed,
                                struct cry_identity *out);
/* The authority's certificate alone. */
PEAL_MUST int cry_ca_make(const struct peal_secret *ring, uint8_t out[static CRY_CERT_MAX],
                          size_t *n);
/* Is leaf the certificate of a node, issued by this authority? On success *id is the node. The
 * caller decides whether it trusts the authority (compares it, or its fingerprint, with what it
 * knows); validity dates are not looked at. PEAL_E_MALFORMED: not DER certificates of the form
 * above. PEAL_E_FOREIGN: well-formed, but not issued by this authority. PEAL_E_AUTH: issued by it,
 * but the name is not the hash of the key, or it is no node's certificate. */
PEAL_MUST int cry_cert_verify(struct peal_bytes leaf, struct peal_bytes ca, struct peal_id *id);
/* PEAL_E_MALFORMED: not one DER certificate with an Ed25519 key. */
PEAL_MUST int cry_ca_fingerprint(struct peal_bytes ca, uint8_t out[static CRY_FP_BYTES]);
/* Unpadded base64url, 43 characters and NUL: the form after # in peal://host:port#fingerprint. */
void cry_fp_text(const uint8_t fp[static CRY_FP_BYTES], char out[static CRY_FP_TEXT]);
/* PEAL_E_MALFORMED unless text is exactly what cry_fp_text writes for some fingerprint. */
PEAL_MUST int cry_fp_parse(const char *text, uint8_t out[static CRY_FP_BYTES]);

/* ---- passwords ----
 * Client: Argon2id (RFC 9106, one lane) stretches the password into two keys. The server sees the
 * first, never the second. The parameters come from a server, so they have a floor (OWASP's least,
 * which keeps a lying server from a cheap guess) and a ceiling. */
enum {
    CRY_PASSWORD_MAX = 1024,
    CRY_SALT_BYTES = 16,
    CRY_KDF_OPS_MIN = 2,
    CRY_KDF_OPS_MAX = 16,
    CRY_KDF_OPS_DEFAULT = 3,
    CRY_KDF_MEM_MIN = 19 << 20,  /* bytes */
    CRY_KDF_MEM_MAX = 512 << 20, /* bytes */
    CRY_KDF_MEM_DEFAULT = 64 << 20,
};

struct cry_kdf {
    uint8_t salt[CRY_SALT_BYTES]; /* random, one per account and password */
    uint32_t ops;
    uint32_t mem; /* bytes */
};

/* The default parameters with a fresh salt. */
void cry_kdf_new(struct cry_kdf *out);
/* Takes `mem` bytes and tens to hundreds of milliseconds. PEAL_E_USAGE: the password is empty.
 * PEAL_E_TOO_LONG: longer than CRY_PASSWORD_MAX. PEAL_E_REFUSED: parameters outside the limits.
 * PEAL_E_NO_MEMORY: mem cannot be had. */
PEAL_MUST int cry_password_split(struct peal_bytes password, const struct cry_kdf *kdf,
                                 struct peal_secret *auth, struct peal_secret *wrap);

/* Server: bcrypt ("$2b$", libxcrypt) of the unpadded base64url of the authentication key (43
 * characters, below bcrypt's 72). 2^cost rounds: for worker threads. About 40 KiB of stack. */
enum {
    CRY_BCRYPT_SIZE = 64,
    CRY_BCRYPT_COST_MIN = 4,
    CRY_BCRYPT_COST_MAX = 18,
    CRY_BCRYPT_COST_DEFAULT = 10
};

/* PEAL_E_USAGE: cost out of its limits. */
PEAL_MUST int cry_bcrypt_hash(const struct peal_secret *auth, unsigned cost,
                              char out[static CRY_BCRYPT_SIZE]);
/* 0, PEAL_E_AUTH (another key), or PEAL_E_CORRUPT (stored is not such a hash, or its cost is out of
 * the limits). */
PEAL_MUST int cry_bcrypt_verify(const struct peal_secret *auth, const char *stored);

/* ---- recovery keys ----
 * 150 random bits and 10 that check them (the first of the BLAKE2b-256, domain "peal.recovery.0",
 * of the 20 bytes with these bits zero), which opens an account whose password is forgotten. On
 * paper it is eight groups of four characters of Crockford's base 32, the highest bits first.
 *
 * BLAKE2b-256 (domain "peal.recovery.1") of the 20 bytes is a key of libsodium's crypto_kdf
 * (context "pealrcvr"): subkey 1 authenticates, subkey 2 wraps the private keys (cry_keys_wrap).
 * The server keeps the BLAKE2b-256 (domain "peal.recovery.2") of the first: it is too random to be
 * guessed, and needs no slow hash. Owners wipe a key as a secret. */
enum { CRY_RECOVERY_BYTES = 20, CRY_RECOVERY_TEXT = 8 * 4 + 7 + 1, CRY_RECOVERY_INPUT_MAX = 128 };

struct cry_recovery {
    uint8_t b[CRY_RECOVERY_BYTES];
};

void cry_recovery_new(struct cry_recovery *out);
/* "XXXX-XXXX-…" and NUL. */
void cry_recovery_text(const struct cry_recovery *k, char out[static CRY_RECOVERY_TEXT]);
/* As people type it: either case, blanks and hyphens anywhere, O for 0, I and L for 1.
 * PEAL_E_MALFORMED: other characters, or not 32 of them; PEAL_E_TOO_LONG: beyond
 * CRY_RECOVERY_INPUT_MAX; PEAL_E_CORRUPT: the check says that one is mistyped. */
PEAL_MUST int cry_recovery_parse(struct peal_bytes text, struct cry_recovery *out);
void cry_recovery_split(const struct cry_recovery *k, struct peal_secret *auth,
                        struct peal_secret *wrap);
/* What the server keeps of auth. */
void cry_recovery_hash(const uint8_t auth[static SECRET_BYTES], uint8_t out[static CRY_HASH_BYTES]);

/* ---- account keys ----
 * RSA-3072 (e = 65537) to receive and Ed25519 to sign. The public half is a bundle. An account's
 * first is of version 1 (u8): the RSA key as SubjectPublicKeyInfo (u32 length, DER), the Ed25519
 * key (32), and its signature over everything before. Each later one is of version 2: the same two
 * keys, its number (u32: 1, 2, …), the fingerprint of the bundle before it (32), the signature of
 * that one's Ed25519 key (domain "peal.succeed.1") over everything before, and its own over
 * everything before. This version makes no bundles of version 2. */
enum {
    CRY_SPKI_MAX = 512,
    CRY_BUNDLE_MAX =
        1 + 4 + CRY_SPKI_MAX + CRY_PUB_BYTES + 4 + CRY_FP_BYTES + 2 * CRY_SIG_BYTES,
    CRY_CHAIN_MAX = 64, /* bundles that are looked through at a time */
    CRY_WRAPPED_MAX = 4096,
    CRY_NAME_MAX = 128, /* bytes of a canonical account name: 32 characters of UTF-8 */
};

struct cry_keys;   /* an account's private and public keys; wiped when freed */
struct cry_public; /* a bundle, parsed and checked, ready for use */

/* Fresh keys; takes up to seconds. The caller frees *out. */
PEAL_MUST int cry_keys_new(struct cry_keys **out);
void cry_keys_free(struct cry_keys *k);
/* The public half; lives as long as k. */
const struct cry_public *cry_keys_public(const struct cry_keys *k);

/* The private keys in a box under the account's wrapping key, bound to the account's name (1 …
 * CRY_NAME_MAX bytes): what the server keeps for the next device. At most CRY_WRAPPED_MAX bytes.
 * Unwrapping gives keys with the same bundle, byte for byte. */
PEAL_MUST int cry_keys_wrap(const struct cry_keys *k, const struct peal_secret *wrap,
                            struct peal_bytes name, size_t cap, uint8_t out[], size_t *n);
/* PEAL_E_AUTH: other key, other name, or damaged. PEAL_E_VERSION, PEAL_E_TRUNCATED,
 * PEAL_E_TOO_LONG: as named. PEAL_E_CORRUPT: the box is genuine but holds no valid keys. */
PEAL_MUST int cry_keys_unwrap(const struct peal_secret *wrap, struct peal_bytes name,
                              struct peal_bytes wrapped, struct cry_keys **out);

/* Parses a stranger's bundle; the caller frees *out. PEAL_E_VERSION, PEAL_E_TRUNCATED,
 * PEAL_E_TRAILING, PEAL_E_TOO_LONG: as named. PEAL_E_MALFORMED: the RSA key is not canonical DER of
 * 3072 bits and e = 65537, or a version 2 has the number 0. PEAL_E_AUTH: its own signature is wrong;
 * whether it is another one's successor is not looked at. */
PEAL_MUST int cry_public_parse(struct peal_bytes bundle, struct cry_public **out);
void cry_public_free(struct cry_public *p);
/* The bundle's bytes; live as long as p. */
struct peal_bytes cry_public_bundle(const struct cry_public *p);
/* BLAKE2b-256 over the bundle, CRY_FP_BYTES long: what clients pin. Lives as long as p. */
const uint8_t *cry_public_fingerprint(const struct cry_public *p);
/* Which of the account's bundles it says it is; 0: the first. */
uint32_t cry_public_number(const struct cry_public *p);
/* Does the owner of `before` say that next is their next bundle? PEAL_E_STALE: it is another one's
 * successor, or not the next number. PEAL_E_AUTH: it says so, but before's key did not sign it. */
PEAL_MUST int cry_public_succeeds(const struct cry_public *next, const struct cry_public *before);
/* The same along n <= CRY_CHAIN_MAX bundles, the oldest first: each succeeds the one before it, and
 * the first of them `pinned`. The caller frees *last, which is the newest (n 0: PEAL_E_USAGE; more
 * than the most: PEAL_E_TOO_LONG). Errors as of cry_public_parse and cry_public_succeeds. */
PEAL_MUST int cry_public_chain(const struct cry_public *pinned, const struct peal_bytes bundles[],
                               size_t n, struct cry_public **last);
/* As cry_sign and cry_verify, with an account's keys. */
void cry_keys_sign(const struct cry_keys *k, const char *domain, struct peal_bytes message,
                   uint8_t sig[static CRY_SIG_BYTES]);
PEAL_MUST int cry_public_verify(const struct cry_public *p, const char *domain,
                                struct peal_bytes message, const uint8_t sig[static CRY_SIG_BYTES]);

/* ---- safety numbers ----
 * What two people compare to know that nobody stands between them: 60 decimal digits that depend on
 * both names and both bundles, and on nothing else, the same whoever computes them. Each side gives
 * 30 of them, about 100 bits: 5 for each 5 bytes (big-endian, modulo 100000) of the first 30 bytes
 * of its digest; the smaller block comes first. A digest is the BLAKE2b-256 (domain
 * "peal.safety.1") of name and bundle as parts (cry_hash_part). */
enum { CRY_SAFETY_DIGITS = 60 };

/* One side: its canonical name (1 … CRY_NAME_MAX bytes) and its bundle. */
void cry_safety_digest(struct peal_bytes name, struct peal_bytes bundle,
                       uint8_t out[static CRY_HASH_BYTES]);
/* The digits, and NUL. The order of the two does not count. */
void cry_safety_number(const uint8_t a[static CRY_HASH_BYTES],
                       const uint8_t b[static CRY_HASH_BYTES],
                       char out[static CRY_SAFETY_DIGITS + 1]);

/* ---- envelopes ----
 * Version 1, big-endian, one form only:
 *   version (u8) = 1
 *   sender's fingerprint (32), recipient's fingerprint (32)
 *   content key, RSA-OAEP (SHA-256, MGF1 with SHA-256, no label) to the recipient (384)
 *   the same to the sender (384)
 *   nonce (24)
 *   ciphertext (u32 length and bytes): XChaCha20-Poly1305 of the plaintext, padded by ISO/IEC
 *       7816-4 to blocks of 256; additional data: digest
 *   signature (64): the sender's Ed25519, domain "peal.envelope.1", over digest and the BLAKE2b-256
 *       (domain "peal.sealed.1") of the ciphertext
 * digest is the BLAKE2b-256 (domain "peal.envelope.1") of everything up to and with the nonce, the
 * message id, and both names as parts (cry_hash_part), sender first. The message id and the names
 * travel beside the envelope and must be given to open it. */
enum {
    CRY_RSA_BYTES = 384,
    CRY_PAD_BLOCK = 256,
    CRY_PLAIN_MAX = (64 << 10) + 64, /* 64 KiB of text and a small header of the client's */
    CRY_ENVELOPE_HEAD = 1 + 2 * CRY_FP_BYTES + 2 * CRY_RSA_BYTES + 24,
    /* what an envelope has besides the padded plaintext */
    CRY_ENVELOPE_OVERHEAD = CRY_ENVELOPE_HEAD + 4 + 16 + CRY_SIG_BYTES,
    CRY_ENVELOPE_MAX = CRY_ENVELOPE_OVERHEAD + (CRY_PLAIN_MAX / CRY_PAD_BLOCK + 1) * CRY_PAD_BLOCK,
};

/* What an envelope is bound to. Views of the caller's. */
struct cry_context {
    struct peal_msg_id id;
    struct peal_bytes from, to; /* canonical names, 1 … CRY_NAME_MAX bytes each */
};

/* Exact size of the envelope of plain_n <= CRY_PLAIN_MAX bytes. */
size_t cry_envelope_size(size_t plain_n);
/* PEAL_E_TOO_LONG: plain.n > CRY_PLAIN_MAX. The names are the caller's to have checked. out must
 * not overlap plain. */
PEAL_MUST int cry_envelope_seal(const struct cry_keys *from, const struct cry_public *to,
                                const struct cry_context *ctx, struct peal_bytes plain, size_t cap,
                                uint8_t out[], size_t *n);
/* Which keys an envelope names, as views into it; nothing is verified yet. Errors of form as for
 * cry_envelope_open. */
struct cry_envelope_keys {
    const uint8_t *from_fp, *to_fp; /* CRY_FP_BYTES each */
};
PEAL_MUST int cry_envelope_peek(struct peal_bytes envelope, struct cry_envelope_keys *out);
/* Opens what was sealed to `own` by `from`. The plaintext and its padding are written to out: cap
 * must be at least the padded size; cap >= envelope.n always does. *n is the plaintext's size.
 * Nothing in out counts after an error. PEAL_E_VERSION: not version 1. PEAL_E_TRUNCATED,
 * PEAL_E_TRAILING, PEAL_E_TOO_LONG, PEAL_E_MALFORMED: it (or a name in ctx) is not of its form.
 * PEAL_E_STALE: sealed by or to other keys than those given. PEAL_E_AUTH: the signature is wrong,
 * or the message id or a name is another. PEAL_E_CRYPTO: signed by the sender, and yet it does not
 * decrypt. */
PEAL_MUST int cry_envelope_open(const struct cry_keys *own, const struct cry_public *from,
                                const struct cry_context *ctx, struct peal_bytes envelope,
                                size_t cap, uint8_t out[], size_t *n);
/* The same for the author's own copy; the recipient's keys are not needed. */
PEAL_MUST int cry_envelope_open_own(const struct cry_keys *own, const struct cry_context *ctx,
                                    struct peal_bytes envelope, size_t cap, uint8_t out[],
                                    size_t *n);

/* ---- receipts ----
 * The recipient's Ed25519 signature, domain "peal.receipt.1", over the BLAKE2b-256 of: state (u8),
 * both names as parts, and the ids as one part, in order. What the states mean is the caller's
 * protocol. */
enum { CRY_RECEIPT_IDS_MAX = 1024 };

struct cry_receipt {
    uint8_t state;
    struct peal_bytes by;          /* who received, and signs: 1 … CRY_NAME_MAX bytes */
    struct peal_bytes to;          /* who had sent: 1 … CRY_NAME_MAX bytes */
    const struct peal_msg_id *ids; /* n of them, 1 … CRY_RECEIPT_IDS_MAX */
    size_t n;
};

void cry_receipt_sign(const struct cry_keys *k, const struct cry_receipt *r,
                      uint8_t sig[static CRY_SIG_BYTES]);
/* PEAL_E_AUTH: not this account's receipt. PEAL_E_TOO_LONG, PEAL_E_MALFORMED: a name or the list is
 * beyond its limits, or empty. */
PEAL_MUST int cry_receipt_verify(const struct cry_public *p, const struct cry_receipt *r,
                                 const uint8_t sig[static CRY_SIG_BYTES]);

#endif
