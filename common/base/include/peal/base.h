/* base: what every layer of Peal stands on: errors, invariants, byte views, identifiers on the
 * ring, the seeded generator, the bounded cursor, and two containers of fixed capacity.
 *
 * Not for: anything that allocates, makes a system call or reads a clock. Memory, time and
 * randomness come from the caller. Thread safety: none of these objects locks; an object belongs to
 * one thread at a time. Pure functions may run anywhere. */
#ifndef PEAL_BASE_H
#define PEAL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEAL_MUST              __attribute__((warn_unused_result))
#define PEAL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* ---- errors -----------------------------------------------------------------------------
 * X(NAME, name, number, prose): the one list of what can go wrong. Functions return 0 (PEAL_OK) or
 * one of these, all negative. The number is part of the protocol (an error message carries it), so
 * numbers are never reused. */
#define PEAL_ERRORS(X)                                                                             \
    X(FULL, full, -1, "a fixed capacity is used up")                                               \
    X(TRUNCATED, truncated, -2, "the input ends too early")                                        \
    X(TRAILING, trailing, -3, "bytes are left over after the end")                                 \
    X(MALFORMED, malformed, -4, "the input is not of its form")                                    \
    X(TOO_LONG, too_long, -5, "a field is longer than its maximum")                                \
    X(VERSION, version, -6, "a version this program does not speak")                               \
    X(NOT_FOUND, not_found, -7, "there is no such thing")                                          \
    X(EXISTS, exists, -8, "it exists already")                                                     \
    X(REFUSED, refused, -9, "refused")                                                             \
    X(AUTH, auth, -10, "the proof of identity is wrong")                                           \
    X(CRYPTO, crypto, -11, "a cryptographic operation failed")                                     \
    X(IO, io, -12, "reading or writing failed")                                                    \
    X(NO_SPACE, no_space, -13, "the disk or quota is full")                                        \
    X(CORRUPT, corrupt, -14, "stored data is damaged")                                             \
    X(UNKNOWN, unknown, -15, "the outcome is not known; the same request may be tried again")      \
    X(UNAVAILABLE, unavailable, -16, "not enough servers can be reached")                          \
    X(STALE, stale, -17, "based on an older state")                                                \
    X(BUSY, busy, -18, "too much at once; try again later")                                        \
    X(NO_MEMORY, no_memory, -19, "no memory")                                                      \
    X(CLOSED, closed, -20, "the link is closed")                                                   \
    X(USAGE, usage, -21, "the call is not of its form")                                            \
    X(TAKEN_OVER, taken_over, -22, "the account is in use elsewhere now")                          \
    X(FOREIGN, foreign, -23, "it belongs to another ring")                                         \
    X(QUOTA, quota, -24, "the mailbox is full")

enum peal_err {
    PEAL_OK = 0,
#define X(NAME, name, number, prose) PEAL_E_##NAME = number,
    PEAL_ERRORS(X)
#undef X
};

/* The error's name in lower case ("not_found"), and its prose; both static. Any int is accepted: an
 * unknown one gives "unknown_error". `err_from_name` is the inverse of err_name and returns PEAL_OK
 * for a name it does not know. */
const char *err_name(int err);
const char *err_prose(int err);
int err_from_name(const char *name);

/* ---- invariants -------------------------------------------------------------------------
 * CHECK stays on in release: a core that has lost an invariant must stop before it harms data.
 * Never used on a peer's input. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            peal_check_failed(#cond, __FILE__, __LINE__);                                          \
    } while (0)

_Noreturn void peal_check_failed(const char *cond, const char *file, int line);

#define PEAL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- byte views -------------------------------------------------------------------------
 * A view does not own its bytes; it lives as long as what it points into. n == 0 allows p == NULL.
 */
struct peal_bytes {
    const uint8_t *p;
    size_t n;
};

struct peal_bytes peal_bytes_of(const void *p, size_t n);
/* Of a NUL-terminated string, without its NUL. */
struct peal_bytes peal_bytes_str(const char *s);
/* Equality in time that depends on the contents: not for secrets (see peal/crypto.h). */
bool peal_bytes_eq(struct peal_bytes a, struct peal_bytes b);
/* Copies into out and NUL-terminates; PEAL_E_TOO_LONG when it does not fit, PEAL_E_MALFORMED when
 * it holds a NUL. */
PEAL_MUST int peal_bytes_to_str(struct peal_bytes b, size_t size, char out[]);

/* Lower-case hexadecimal; out has 2n+1 bytes and is NUL-terminated. */
void peal_hex(const uint8_t *p, size_t n, char *out);
/* Exactly 2n hexadecimal digits (either case), the whole string s, into out; otherwise
 * PEAL_E_MALFORMED and out is as it was. */
PEAL_MUST int peal_unhex(const char *s, size_t n, uint8_t *out);

/* True when b is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF)
 * without NUL. */
bool peal_utf8_valid(struct peal_bytes b);

/* ---- identifiers ------------------------------------------------------------------------
 * A point on the ring of 2^160 identifiers, most significant byte first. */
enum { ID_BYTES = 20, ID_BITS = 160, ID_HEX = 2 * ID_BYTES + 1, MSG_ID_BYTES = 16 };

struct peal_id {
    uint8_t b[ID_BYTES];
};

/* A message's identifier: 128 bits that its author made (48 bits of time in milliseconds, then
 * random). */
struct peal_msg_id {
    uint8_t b[MSG_ID_BYTES];
};

int id_cmp(const struct peal_id *a, const struct peal_id *b);
bool id_eq(const struct peal_id *a, const struct peal_id *b);
bool id_is_zero(const struct peal_id *a);
/* Zave's between(a, x, b): going clockwise from a, x is met strictly before b, and is not a. When a
 * == b it holds for every x but a. (TSE 2017, "Reasoning about identifier spaces", section 3) */
bool id_between(const struct peal_id *a, const struct peal_id *x, const struct peal_id *b);
/* x in (a, b]: the half-open arc that b owns when a precedes it; when a == b, the whole ring. */
bool id_in_arc(const struct peal_id *a, const struct peal_id *x, const struct peal_id *b);
/* a + 2^bit modulo 2^160; bit < ID_BITS. */
struct peal_id id_add_pow2(const struct peal_id *a, unsigned bit);
/* Clockwise distance from a to b: b - a modulo 2^160. */
struct peal_id id_distance(const struct peal_id *a, const struct peal_id *b);
struct peal_id id_from_bytes(const uint8_t b[static ID_BYTES]);
void id_hex(const struct peal_id *a, char out[static ID_HEX]);
PEAL_MUST int id_unhex(const char *s, struct peal_id *out);
bool msg_id_eq(const struct peal_msg_id *a, const struct peal_msg_id *b);
int msg_id_cmp(const struct peal_msg_id *a, const struct peal_msg_id *b);

/* ---- clock ------------------------------------------------------------------------------
 * Hybrid logical clock (Kulkarni et al., 2014) packed in 64 bits: 48 bits of Unix time in
 * milliseconds, 16 bits of counter. Later events have larger values across all nodes whose messages
 * carry it. */
struct clk_hlc {
    uint64_t last;
};

/* A new stamp, larger than every stamp made or seen. wall_ms is the caller's Unix time in
 * milliseconds, < 2^48. */
uint64_t clk_now(struct clk_hlc *c, uint64_t wall_ms);
/* Takes note of a stamp that a message carried. One that lies more than CLK_MAX_AHEAD_MS ahead of
 * wall_ms is refused (PEAL_E_MALFORMED) and changes nothing, so that one wrong clock cannot drag
 * the others along. */
enum { CLK_MAX_AHEAD_MS = 3600 * 1000 };
PEAL_MUST int clk_seen(struct clk_hlc *c, uint64_t stamp, uint64_t wall_ms);
/* A stamp's time in milliseconds of Unix time. */
uint64_t clk_ms(uint64_t stamp);

/* ---- seeded generator -------------------------------------------------------------------
 * xoshiro256** 1.0 (Blackman and Vigna), seeded through splitmix64. For jitter, ballots' back-off
 * and simulation: one seed gives one run. Never for keys: those come from peal/crypto.h. */
struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);
void rng_fill(struct rng *r, void *out, size_t n);

/* ---- cursors ----------------------------------------------------------------------------
 * Reader and writer over a caller's buffer, big-endian, with a sticky error: after the first error
 * every further read gives zeros and every further write does nothing, so a decoder checks once, at
 * its end. */
struct rd {
    const uint8_t *p;
    const uint8_t *end;
    int err;
};

void rd_init(struct rd *r, const void *p, size_t n);
/* Bytes not yet read; 0 after an error. */
size_t rd_left(const struct rd *r);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* A view of the next n bytes, into the reader's buffer; empty after an error. */
struct peal_bytes rd_bytes(struct rd *r, size_t n);
/* A u32 length and that many bytes; a length above max is PEAL_E_TOO_LONG. */
struct peal_bytes rd_var(struct rd *r, size_t max);
/* The next n bytes into out; zeros after an error. */
void rd_copy(struct rd *r, void *out, size_t n);
struct peal_id rd_id(struct rd *r);
/* Sets the sticky error unless one is set already; err < 0. */
void rd_fail(struct rd *r, int err);
/* The sticky error, or PEAL_E_TRAILING when bytes are left, or 0. */
PEAL_MUST int rd_end(const struct rd *r);

struct wr {
    uint8_t *p;
    size_t n;   /* written so far */
    size_t cap; /* bytes the caller gave */
    int err;
};

void wr_init(struct wr *w, void *p, size_t cap);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, const void *p, size_t n);
/* A u32 length and the bytes; PEAL_E_TOO_LONG when the length does not fit into a u32. */
void wr_var(struct wr *w, struct peal_bytes b);
void wr_id(struct wr *w, const struct peal_id *id);
void wr_fail(struct wr *w, int err);
/* The sticky error (PEAL_E_FULL when the buffer was too small), or 0; then w->n bytes are valid. */
PEAL_MUST int wr_end(const struct wr *w);

/* ---- bump arena -------------------------------------------------------------------------
 * Hands out pieces of a caller's block, 16-byte aligned, until it is used up; freed as a whole by
 * arena_reset. */
struct arena {
    uint8_t *p;
    size_t used;
    size_t cap;
};

void arena_init(struct arena *a, void *p, size_t cap);
void arena_reset(struct arena *a);
/* n zeroed bytes, or NULL when they do not fit (n == 0 gives a valid pointer). */
void *arena_take(struct arena *a, size_t n);
/* A copy of b in the arena, with a NUL after it; p == NULL in the result when it does not fit. */
struct peal_bytes arena_copy(struct arena *a, struct peal_bytes b);

/* ---- slab: a pool of equal items --------------------------------------------------------
 * Fixed number of items of one size in the caller's memory, each named by a handle whose generation
 * makes a stale handle harmless: looking one up gives NULL. A handle is never 0. Free items are
 * reused in the order of their release and the generation has all bits of the handle that the index
 * leaves, so that a handle comes back only after more than 2^31 calls of slab_take. */
struct slab {
    uint8_t *items;
    uint32_t *meta; /* per item: generation; the top bit marks it as in use */
    uint32_t *free; /* queue of free indices, a ring of cap places */
    uint32_t head;  /* place of the next free index */
    uint32_t cap, used;
    uint32_t index_bits;
    size_t item_size; /* rounded up to 16 bytes */
};

enum { SLAB_MAX = 1 << 16 };
/* Bytes of memory that slab_init needs for cap (1 … SLAB_MAX) items of item_size; the block must be
 * 16-byte aligned. */
size_t slab_size(uint32_t cap, size_t item_size);
void slab_init(struct slab *s, void *mem, uint32_t cap, size_t item_size);
/* A zeroed item and its handle, or NULL when all are in use. */
void *slab_take(struct slab *s, uint32_t *handle);
/* The item, or NULL for a handle that was released (or never given). */
void *slab_get(const struct slab *s, uint32_t handle);
/* A stale handle is a broken invariant. */
void slab_release(struct slab *s, uint32_t handle);
/* Iteration: the first item in use at index *at or after, with its handle; advances *at past it.
 * NULL at the end. Releasing the item that was given is allowed. Start with *at = 0. */
void *slab_each(const struct slab *s, uint32_t *at, uint32_t *handle);

/* ---- map: fixed-capacity hash table
 * --------------------------------------------------------------------------------------- Keys of
 * one fixed size to a uint32_t value (a slab handle, usually). Open addressing with backward-shift
 * deletion; the hash is SipHash-1-3 keyed by the seed, so that a peer who chooses keys cannot
 * choose collisions. */
struct map {
    uint8_t *slots;
    size_t slot_size;
    uint32_t cap; /* entries that fit; the table has a power of two of slots, at most 3/4 used */
    uint32_t mask;
    uint32_t used;
    uint32_t key_size;
    uint64_t seed[2];
};

enum { MAP_KEY_MAX = 64, MAP_MAX = 1 << 26 };
/* Bytes of memory that map_init needs for cap (1 … MAP_MAX) entries with keys of key_size (1 …
 * MAP_KEY_MAX) bytes; the block must be 4-byte aligned. */
size_t map_size(uint32_t cap, uint32_t key_size);
void map_init(struct map *m, void *mem, uint32_t cap, uint32_t key_size, struct rng *r);
/* Adds or replaces; PEAL_E_FULL when cap entries are in and the key is not. */
PEAL_MUST int map_put(struct map *m, const void *key, uint32_t value);
/* True when the key is in; then *value (unless value is NULL) is set. */
bool map_get(const struct map *m, const void *key, uint32_t *value);
/* True when it was there. */
bool map_del(struct map *m, const void *key);

#endif
