/* The schema as tables. Each stands in a function of its own, since a field's macro is not told
 * which struct it is in: `here` is. */
#include <peal/wire.h>

#include <string.h>

/* Least and greatest length of each kind's binary encoding. */
#define MIN_U8(arg, max)     1
#define MIN_U16(arg, max)    2
#define MIN_U32(arg, max)    4
#define MIN_U64(arg, max)    8
#define MIN_BOOL(arg, max)   1
#define MIN_ID(arg, max)     ID_BYTES
#define MIN_MSGID(arg, max)  MSG_ID_BYTES
#define MIN_BYTES(arg, max)  4
#define MIN_STR(arg, max)    4
#define MIN_STRUCT(arg, max) min_##arg
#define MIN_LIST(arg, max)   4
#define MIN_IDS(arg, max)    4
#define MIN_MSGIDS(arg, max) 4
#define MIN_ADDRS(arg, max)  4

#define MAX_U8(arg, max)     1
#define MAX_U16(arg, max)    2
#define MAX_U32(arg, max)    4
#define MAX_U64(arg, max)    8
#define MAX_BOOL(arg, max)   1
#define MAX_ID(arg, max)     ID_BYTES
#define MAX_MSGID(arg, max)  MSG_ID_BYTES
#define MAX_BYTES(arg, max)  (4 + (max))
#define MAX_STR(arg, max)    (4 + (max))
#define MAX_STRUCT(arg, max) max_##arg
#define MAX_LIST(arg, max)   (4 + (max)*max_##arg)
#define MAX_IDS(arg, max)    (4 + (max)*ID_BYTES)
#define MAX_MSGIDS(arg, max) (4 + (max)*MSG_ID_BYTES)
#define MAX_ADDRS(arg, max)  (4 + (max) * (1 + WIRE_ADDRESS_MAX))

#define SUB_U8(arg)     NULL
#define SUB_U16(arg)    NULL
#define SUB_U32(arg)    NULL
#define SUB_U64(arg)    NULL
#define SUB_BOOL(arg)   NULL
#define SUB_ID(arg)     NULL
#define SUB_MSGID(arg)  NULL
#define SUB_BYTES(arg)  NULL
#define SUB_STR(arg)    NULL
#define SUB_STRUCT(arg) desc_##arg
#define SUB_LIST(arg)   desc_##arg
#define SUB_IDS(arg)    NULL
#define SUB_MSGIDS(arg) NULL
#define SUB_ADDRS(arg)  NULL

#define MIN(kind, name, arg, max) +MIN_##kind(arg, max)
#define MAX(kind, name, arg, max) +MAX_##kind(arg, max)
#define FIELD(k, field, arg, most)                                                                 \
    {.name = #field,                                                                               \
     .sub = SUB_##k(arg),                                                                          \
     .kind = WIRE_KIND_##k,                                                                        \
     .offset = offsetof(here, field),                                                              \
     .max = (most)},

/* clang-format off */
#define LENGTHS(name) \
    enum { min_##name = 0 WIRE_FIELDS_##name(MIN), max_##name = 0 WIRE_FIELDS_##name(MAX) };
/* clang-format on */

#define DESC(number, struct_name)                                                                  \
    LENGTHS(struct_name)                                                                           \
    static const struct wire_desc *desc_##struct_name(void)                                        \
    {                                                                                              \
        typedef struct wire_##struct_name here;                                                    \
        static const struct wire_field fields[] = {WIRE_FIELDS_##struct_name(FIELD)};              \
        static const struct wire_desc desc = {.name = #struct_name,                                \
                                              .fields = fields,                                    \
                                              .field_count = PEAL_COUNT(fields),                   \
                                              .size = sizeof(here),                                \
                                              .min_bytes = min_##struct_name,                      \
                                              .max_bytes = max_##struct_name,                      \
                                              .type = (number)};                                   \
        return &desc;                                                                              \
    }

#define STRUCT_DESC(name) DESC(0, name)
WIRE_STRUCTS(STRUCT_DESC)
WIRE_MESSAGES(DESC)

static const struct wire_desc *(*const by_type[WIRE_TYPE_MAX + 1])(void) = {
#define X(number, name) [number] = desc_##name,
    WIRE_MESSAGES(X)
#undef X
};

const struct wire_desc *wire_desc_of(uint16_t type)
{
    return type <= WIRE_TYPE_MAX && by_type[type] != NULL ? by_type[type]() : NULL;
}

const char *wire_type_name(uint16_t type)
{
    const struct wire_desc *d = wire_desc_of(type);
    return d != NULL ? d->name : "unknown";
}

uint16_t wire_type_of(struct peal_bytes name)
{
    for (unsigned type = 1; type <= WIRE_TYPE_MAX; type++) {
        const struct wire_desc *d = wire_desc_of((uint16_t)type);
        if (d != NULL && strlen(d->name) == name.n && memcmp(d->name, name.p, name.n) == 0)
            return (uint16_t)type;
    }
    return 0;
}
