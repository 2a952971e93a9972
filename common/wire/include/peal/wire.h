/* wire: the C structs of peal/schema.h and the two codecs that are generated from it.
 *
 * Binary (canonical, no allocation): a u16 message number, then the fields in the schema's order,
 * with nothing between them. U8 to U64 big-endian; BOOL one byte, 0 or 1; ID 20 and MSGID 16 bytes;
 * BYTES and STR a u32 length and the bytes; STRUCT its fields; LIST, IDS and MSGIDS a u32 count and
 * the items; ADDRS a u32 length of all that follows, and for each address a byte that says how long
 * it is, 1 to WIRE_ADDRESS_MAX, and its text, UTF-8 as in a STR. Every message has exactly one
 * encoding, so what decodes re-encodes to the same bytes.
 *
 * JSON (strict): {"t":"c_ping","nonce":"7"}: the message's name in "t", every field by its name,
 * none left out, none besides, in any order. U8, U16 and U32 are integers; U64 a decimal string
 * without leading zeros (JavaScript's numbers end at 2^53); BOOL true or false; ID and MSGID
 * lower-case hexadecimal; BYTES base64url without padding (RFC 4648, section 5); STR a string;
 * STRUCT an object; lists arrays, of ADDRS one of strings.
 *
 * Not for: framing (peal/net.h), or what a message means (docs/protocol.md). */
#ifndef PEAL_WIRE_H
#define PEAL_WIRE_H

#include <peal/base.h>
#include <peal/schema.h>

/* ---- structs ----------------------------------------------------------------------------
 * struct wire_NAME for every embedded struct and every message; struct wire_NAME_list for lists of
 * an embedded struct. BYTES and STR are views and lists are pointers: a struct owns none of what it
 * shows. n == 0 allows v == NULL. ADDRS is a view of the addresses as they are encoded, without the
 * length of all (wire_address): so a struct with a list of addresses is no larger than with one. */
struct wire_ids {
    struct peal_id *v;
    size_t n;
};

struct wire_msgids {
    struct peal_msg_id *v;
    size_t n;
};

#define WIRE_MEMBER_U8(name, arg)         uint8_t name;
#define WIRE_MEMBER_U16(name, arg)        uint16_t name;
#define WIRE_MEMBER_U32(name, arg)        uint32_t name;
#define WIRE_MEMBER_U64(name, arg)        uint64_t name;
#define WIRE_MEMBER_BOOL(name, arg)       bool name;
#define WIRE_MEMBER_ID(name, arg)         struct peal_id name;
#define WIRE_MEMBER_MSGID(name, arg)      struct peal_msg_id name;
#define WIRE_MEMBER_BYTES(name, arg)      struct peal_bytes name;
#define WIRE_MEMBER_STR(name, arg)        struct peal_bytes name;
#define WIRE_MEMBER_STRUCT(name, arg)     struct wire_##arg name;
#define WIRE_MEMBER_LIST(name, arg)       struct wire_##arg##_list name;
#define WIRE_MEMBER_IDS(name, arg)        struct wire_ids name;
#define WIRE_MEMBER_MSGIDS(name, arg)     struct wire_msgids name;
#define WIRE_MEMBER_ADDRS(name, arg)      struct peal_bytes name;
#define WIRE_MEMBER(kind, name, arg, max) WIRE_MEMBER_##kind(name, arg)

#define WIRE_DECLARE_STRUCT(name)                                                                  \
    struct wire_##name {                                                                           \
        WIRE_FIELDS_##name(WIRE_MEMBER)                                                            \
    };                                                                                             \
    struct wire_##name##_list {                                                                    \
        struct wire_##name *v;                                                                     \
        size_t n;                                                                                  \
    };
WIRE_STRUCTS(WIRE_DECLARE_STRUCT)

#define WIRE_DECLARE_MESSAGE(number, name)                                                         \
    struct wire_##name {                                                                           \
        WIRE_FIELDS_##name(WIRE_MEMBER)                                                            \
    };
WIRE_MESSAGES(WIRE_DECLARE_MESSAGE)

/* WIRE_n_hello = 1 and so on: the numbers of messages. 0 is none. */
enum wire_type {
#define X(number, name) WIRE_##name = number,
    WIRE_MESSAGES(X)
#undef X
};

/* Room for any message. */
union wire_any {
#define X(number, name) struct wire_##name name;
    WIRE_MESSAGES(X)
#undef X
};

enum {
    WIRE_TYPE_MAX = 255,                          /* the largest message number */
    WIRE_DEPTH_MAX = 4,                           /* a message is 1 deep, a struct in it 2, … */
    WIRE_MSG_MAX_SIZE = sizeof(union wire_any),   /* of any message's struct */
    WIRE_JSON_MAX = 1024 * 1024,                  /* bytes of JSON that wire_from_json reads */
    WIRE_JSON_DEPTH_MAX = 2 * WIRE_DEPTH_MAX + 1, /* nested brackets, likewise */
    WIRE_WHY_MAX = 160,                           /* bytes of an error text, its NUL included */
    WIRE_ADDRESSES_BYTES =
        WIRE_CONTACT_ADDRESSES_MAX * (1 + WIRE_ADDRESS_MAX), /* an ADDRS' bytes */
};

/* ---- addresses (ADDRS) ------------------------------------------------------------------ */

/* The i-th address of a list; empty when it has no more. */
struct peal_bytes wire_address(struct peal_bytes list, size_t i);
size_t wire_address_count(struct peal_bytes list);
/* The place of an address in the list, or SIZE_MAX. */
size_t wire_address_find(struct peal_bytes list, struct peal_bytes address);
/* Appends an address of 1 to WIRE_ADDRESS_MAX bytes to the list of n bytes at out, which is not
 * full; returns the list's bytes then. */
size_t wire_address_add(uint8_t out[static WIRE_ADDRESSES_BYTES], size_t n,
                        struct peal_bytes address);

/* What wire_decode takes from the arena for one struct at most: its lists, each 16-byte aligned. */
#define WIRE_HEAP_U8(arg, max)     0
#define WIRE_HEAP_U16(arg, max)    0
#define WIRE_HEAP_U32(arg, max)    0
#define WIRE_HEAP_U64(arg, max)    0
#define WIRE_HEAP_BOOL(arg, max)   0
#define WIRE_HEAP_ID(arg, max)     0
#define WIRE_HEAP_MSGID(arg, max)  0
#define WIRE_HEAP_BYTES(arg, max)  0
#define WIRE_HEAP_STR(arg, max)    0
#define WIRE_HEAP_STRUCT(arg, max) WIRE_HEAP_OF_##arg
#define WIRE_HEAP_LIST(arg, max)                                                                   \
    ((max) * ((int)sizeof(struct wire_##arg) + WIRE_HEAP_OF_##arg) + 15)
#define WIRE_HEAP_IDS(arg, max)         ((max)*ID_BYTES + 15)
#define WIRE_HEAP_MSGIDS(arg, max)      ((max)*MSG_ID_BYTES + 15)
#define WIRE_HEAP_ADDRS(arg, max)       0
#define WIRE_HEAP(kind, name, arg, max) +WIRE_HEAP_##kind(arg, max)

#define WIRE_HEAP_STRUCT_OF(name) enum { WIRE_HEAP_OF_##name = 0 WIRE_FIELDS_##name(WIRE_HEAP) };
WIRE_STRUCTS(WIRE_HEAP_STRUCT_OF)

union wire_heap {
#define X(number, name) uint8_t name[1 WIRE_FIELDS_##name(WIRE_HEAP)];
    WIRE_MESSAGES(X)
#undef X
};

/* An arena with this much left is enough for wire_decode of any message. */
enum { WIRE_ARENA_MAX = sizeof(union wire_heap) };

/* ---- descriptors ------------------------------------------------------------------------
 * The schema as constant tables, for whoever walks messages generically. */
enum wire_kind {
    WIRE_KIND_U8,
    WIRE_KIND_U16,
    WIRE_KIND_U32,
    WIRE_KIND_U64,
    WIRE_KIND_BOOL,
    WIRE_KIND_ID,
    WIRE_KIND_MSGID,
    WIRE_KIND_BYTES,
    WIRE_KIND_STR,
    WIRE_KIND_STRUCT,
    WIRE_KIND_LIST,
    WIRE_KIND_IDS,
    WIRE_KIND_MSGIDS,
    WIRE_KIND_ADDRS,
};

struct wire_field {
    const char *name;
    const struct wire_desc *(*sub)(void); /* STRUCT, LIST: gives the item's; otherwise NULL */
    enum wire_kind kind;
    uint32_t offset; /* in the C struct */
    uint32_t max;    /* bytes (BYTES, STR) or items (LIST, IDS, MSGIDS, ADDRS); otherwise 0 */
};

struct wire_desc {
    const char *name;
    const struct wire_field *fields;
    uint32_t field_count;
    uint32_t size;      /* of the C struct */
    uint32_t min_bytes; /* of the binary encoding, without the message's number */
    uint32_t max_bytes;
    uint16_t type; /* the message's number; 0 for an embedded struct */
};

/* The descriptor of a message, or NULL for a number that the schema does not have. */
const struct wire_desc *wire_desc_of(uint16_t type);
/* The name of a message ("c_send"), or "unknown". */
const char *wire_type_name(uint16_t type);
/* The number of a message's name, or 0. */
uint16_t wire_type_of(struct peal_bytes name);

/* ---- binary -----------------------------------------------------------------------------
 * msg points to the struct of the type. Encoding checks what decoding checks, so that nothing
 * leaves that the other side must refuse: PEAL_E_TOO_LONG for a field above its maximum,
 * PEAL_E_MALFORMED for a STR or an address that is not valid UTF-8, PEAL_E_USAGE for an unknown
 * type, PEAL_E_FULL for too small a buffer. */
PEAL_MUST int wire_encode(uint16_t type, const void *msg, struct wr *w);
/* Bytes that wire_encode would write, its number included; errors as there, except PEAL_E_FULL. */
PEAL_MUST int wire_encoded_size(uint16_t type, const void *msg, size_t *n);

/* Decodes all of p[0 … n) into msg, which has msg_size bytes (a union wire_any always suffices).
 * Views point into p, lists lie in the arena; msg lives no longer than either. Errors:
 * PEAL_E_TRUNCATED, PEAL_E_TRAILING, PEAL_E_TOO_LONG, PEAL_E_MALFORMED, PEAL_E_VERSION (an unknown
 * number), PEAL_E_FULL (msg or the arena is too small); then *type is 0, msg is undefined, and the
 * arena is as it was. */
PEAL_MUST int wire_decode(const void *p, size_t n, uint16_t *type, void *msg, size_t msg_size,
                          struct arena *a);

/* ---- JSON -------------------------------------------------------------------------------
 * Writes one object on one line, without a newline or a NUL. Errors as wire_encode. */
PEAL_MUST int wire_to_json(uint16_t type, const void *msg, struct wr *w);
/* Bytes that wire_to_json would write; errors as there, except PEAL_E_FULL. */
PEAL_MUST int wire_json_size(uint16_t type, const void *msg, size_t *n);

/* As wire_decode, but everything is copied into the arena, so that msg does not need p any more.
 * Allocates while it runs (jansson). Errors: PEAL_E_MALFORMED, PEAL_E_TOO_LONG (also above
 * WIRE_JSON_MAX), PEAL_E_VERSION (an unknown message), PEAL_E_FULL, PEAL_E_NO_MEMORY. On an error a
 * text for people that names the field is in why, unless why is NULL: "c_deliver.rows[2].from: is
 * longer than 128 bytes". */
PEAL_MUST int wire_from_json(const char *p, size_t n, uint16_t *type, void *msg, size_t msg_size,
                             struct arena *a, char why[WIRE_WHY_MAX]);
/* An arena with this much left is enough for n bytes of JSON. */
size_t wire_json_arena(size_t n);

#endif
