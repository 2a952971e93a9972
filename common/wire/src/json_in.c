/* Reading JSON, strictly: jansson parses, and the descriptors say what must be there. */
#include <peal/wire.h>

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "wire_internal.h"

/* A place in the message, for the error text: field names, and the index where one is a list (else
 * -1). */
struct step {
    const char *name;
    long index;
};

struct reader {
    struct arena *a;
    char *why; /* may be NULL */
    unsigned depth;
    struct step path[WIRE_DEPTH_MAX + 1];
};

/* The length of a text of WIRE_WHY_MAX bytes after snprintf was to add len to n. */
static size_t grown(size_t n, int len)
{
    CHECK(len >= 0);
    return (size_t)len < WIRE_WHY_MAX - n ? n + (size_t)len : WIRE_WHY_MAX - 1;
}

/* Writes "message.field[2].field: reason" and gives err back. The text quotes the input, so what is
 * not printable ASCII is masked: then it may go into a log or a message as it is. */
PEAL_PRINTF(3, 4)
static int refuse(struct reader *r, int err, const char *fmt, ...)
{
    if (r->why == NULL)
        return err;
    char *why = r->why;
    size_t n = 0;
    for (unsigned i = 0; i <= r->depth; i++) {
        const char *dot = i > 0 ? "." : "";
        n = grown(n, snprintf(why + n, WIRE_WHY_MAX - n, "%s%s", dot, r->path[i].name));
        if (r->path[i].index >= 0)
            n = grown(n, snprintf(why + n, WIRE_WHY_MAX - n, "[%ld]", r->path[i].index));
    }
    n = grown(n, snprintf(why + n, WIRE_WHY_MAX - n, ": "));
    va_list args;
    va_start(args, fmt);
    n = grown(n, vsnprintf(why + n, WIRE_WHY_MAX - n, fmt, args));
    va_end(args);
    for (size_t i = 0; i < n; i++)
        if (r->why[i] < 0x20 || r->why[i] > 0x7e)
            r->why[i] = '?';
    return err;
}

static int no_room(struct reader *r)
{
    return refuse(r, PEAL_E_FULL, "the memory for the message is used up");
}

/* ---- values ---- */

static int get_integer(struct reader *r, const json_t *j, uint32_t max, uint32_t *out)
{
    if (!json_is_integer(j))
        return refuse(r, PEAL_E_MALFORMED, "is not an integer");
    json_int_t v = json_integer_value(j);
    if (v < 0 || v > (json_int_t)max)
        return refuse(r, PEAL_E_MALFORMED, "is not between 0 and %lu", (unsigned long)max);
    *out = (uint32_t)v;
    return 0;
}

static int get_u64(struct reader *r, const json_t *j, uint64_t *out)
{
    const char *s = json_string_value(j);
    size_t n = json_string_length(j);
    bool ok = s != NULL && n >= 1 && n <= 20 && (n == 1 || s[0] != '0');
    uint64_t v = 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = s[i] >= '0' && s[i] <= '9';
        uint64_t digit = (uint64_t)(s[i] - '0');
        ok = ok && v <= (UINT64_MAX - digit) / 10;
        v = v * 10 + digit;
    }
    if (!ok)
        return refuse(r, PEAL_E_MALFORMED, "is not a 64-bit number as a decimal string");
    *out = v;
    return 0;
}

/* n bytes as lower-case hexadecimal: one spelling only. */
static int get_hex(struct reader *r, const json_t *j, size_t n, uint8_t *out)
{
    const char *s = json_string_value(j);
    bool ok = s != NULL && json_string_length(j) == 2 * n;
    for (size_t i = 0; ok && i < 2 * n; i++)
        ok = s[i] < 'A' || s[i] > 'F';
    if (!ok || peal_unhex(s, n, out) != 0)
        return refuse(r, PEAL_E_MALFORMED, "is not %zu lower-case hexadecimal digits", 2 * n);
    return 0;
}

static int too_long(struct reader *r, const struct wire_field *f, const char *what)
{
    return refuse(r, PEAL_E_TOO_LONG, "is longer than %lu %s", (unsigned long)f->max, what);
}

static int get_str(struct reader *r, const json_t *j, const struct wire_field *f,
                   struct peal_bytes *out)
{
    if (!json_is_string(j))
        return refuse(r, PEAL_E_MALFORMED, "is not a string");
    struct peal_bytes b = peal_bytes_of(json_string_value(j), json_string_length(j));
    if (b.n > f->max)
        return too_long(r, f, "bytes");
    if (!peal_utf8_valid(b))
        return refuse(r, PEAL_E_MALFORMED, "is not valid UTF-8");
    *out = arena_copy(r->a, b);
    return out->p != NULL ? 0 : no_room(r);
}

/* An array of strings, packed as in the binary encoding. */
static int get_addresses(struct reader *r, const json_t *j, const struct wire_field *f,
                         struct peal_bytes *out)
{
    static const struct wire_field address = {.max = WIRE_ADDRESS_MAX};
    uint8_t list[WIRE_ADDRESSES_BYTES];
    size_t n = 0;
    int err = 0;
    CHECK(f->max <= WIRE_CONTACT_ADDRESSES_MAX);
    if (!json_is_array(j))
        return refuse(r, PEAL_E_MALFORMED, "is not an array");
    if (json_array_size(j) > f->max)
        return too_long(r, f, "items");
    for (size_t i = 0; err == 0 && i < json_array_size(j); i++) {
        struct peal_bytes b;
        r->path[r->depth].index = (long)i;
        err = get_str(r, json_array_get(j, i), &address, &b);
        if (err == 0 && b.n == 0)
            err = refuse(r, PEAL_E_MALFORMED, "is empty");
        if (err == 0)
            n = wire_address_add(list, n, b);
    }
    r->path[r->depth].index = -1;
    if (err != 0)
        return err;
    *out = arena_copy(r->a, peal_bytes_of(list, n));
    return out->p != NULL ? 0 : no_room(r);
}

/* The value of a base64url digit, or -1. */
static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

/* n digits into n * 6 / 8 bytes; false when one is no digit or the bits left over are not zero. */
static bool base64_decode(const char *s, size_t n, uint8_t *out)
{
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        int v = base64_digit(s[i]);
        if (v < 0)
            return false;
        bits = (bits << 6 | (uint32_t)v) & 0x3fff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            *out++ = (uint8_t)(bits >> have);
        }
    }
    return have < 6 && (bits & ((1U << have) - 1)) == 0;
}

static int get_base64(struct reader *r, const json_t *j, const struct wire_field *f,
                      struct peal_bytes *out)
{
    if (!json_is_string(j))
        return refuse(r, PEAL_E_MALFORMED, "is not a string");
    size_t digits = json_string_length(j);
    size_t n = digits / 4 * 3 + digits % 4 * 6 / 8;
    if (n > f->max)
        return too_long(r, f, "bytes");
    uint8_t *p = arena_take(r->a, n);
    if (p == NULL)
        return no_room(r);
    if (!base64_decode(json_string_value(j), digits, p))
        return refuse(r, PEAL_E_MALFORMED, "is not base64url without padding");
    *out = peal_bytes_of(p, n);
    return 0;
}

/* ---- structs and lists ---- */

static int get_struct(struct reader *r, const json_t *j, const struct wire_desc *d, uint8_t *to);

static int get_list(struct reader *r, const json_t *j, const struct wire_field *f, uint8_t *member)
{
    if (!json_is_array(j))
        return refuse(r, PEAL_E_MALFORMED, "is not an array");
    struct wire_span list = {.n = json_array_size(j)};
    if (list.n > f->max)
        return too_long(r, f, "items");
    if (list.n == 0)
        return 0;
    size_t size = f->kind == WIRE_KIND_IDS ? ID_BYTES : MSG_ID_BYTES;
    if (f->kind == WIRE_KIND_LIST)
        size = f->sub()->size;
    list.v = arena_take(r->a, list.n * size);
    if (list.v == NULL)
        return no_room(r);
    int err = 0;
    for (size_t i = 0; err == 0 && i < list.n; i++) {
        const json_t *item = json_array_get(j, i);
        uint8_t *to = (uint8_t *)list.v + i * size;
        r->path[r->depth].index = (long)i;
        err = f->kind == WIRE_KIND_LIST ? get_struct(r, item, f->sub(), to)
                                        : get_hex(r, item, size, to);
    }
    r->path[r->depth].index = -1;
    wire_set_span(member, list);
    return err;
}

static int get_value(struct reader *r, const json_t *j, const struct wire_field *f, uint8_t *member)
{
    void *p = member;
    uint32_t v = 0;
    int err = 0;
    switch (f->kind) {
    case WIRE_KIND_U8:
        err = get_integer(r, j, UINT8_MAX, &v);
        *member = (uint8_t)v;
        return err;
    case WIRE_KIND_U16:
        err = get_integer(r, j, UINT16_MAX, &v);
        *(uint16_t *)p = (uint16_t)v;
        return err;
    case WIRE_KIND_U32:
        return get_integer(r, j, UINT32_MAX, p);
    case WIRE_KIND_U64:
        return get_u64(r, j, p);
    case WIRE_KIND_BOOL:
        *(bool *)p = json_is_true(j);
        return json_is_boolean(j) ? 0 : refuse(r, PEAL_E_MALFORMED, "is not true or false");
    case WIRE_KIND_ID:
        return get_hex(r, j, ID_BYTES, member);
    case WIRE_KIND_MSGID:
        return get_hex(r, j, MSG_ID_BYTES, member);
    case WIRE_KIND_BYTES:
        return get_base64(r, j, f, p);
    case WIRE_KIND_STR:
        return get_str(r, j, f, p);
    case WIRE_KIND_ADDRS:
        return get_addresses(r, j, f, p);
    case WIRE_KIND_STRUCT:
        return get_struct(r, j, f->sub(), member);
    case WIRE_KIND_LIST:
    case WIRE_KIND_IDS:
    case WIRE_KIND_MSGIDS:
        return get_list(r, j, f, member);
    }
    CHECK(f->kind <= WIRE_KIND_ADDRS);
    return PEAL_E_USAGE;
}

/* Names a member that the struct does not have. */
static int refuse_unknown(struct reader *r, const json_t *j, const struct wire_desc *d)
{
    const char *key = NULL;
    const char *unknown = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)j, key, value)
    {
        bool known = d->type != 0 && strcmp(key, "t") == 0;
        for (uint32_t i = 0; !known && i < d->field_count; i++)
            known = strcmp(key, d->fields[i].name) == 0;
        if (!known)
            unknown = key;
    }
    CHECK(unknown != NULL);
    return refuse(r, PEAL_E_MALFORMED, "there is no field \"%s\"", unknown);
}

static int get_struct(struct reader *r, const json_t *j, const struct wire_desc *d, uint8_t *to)
{
    if (!json_is_object(j))
        return refuse(r, PEAL_E_MALFORMED, "is not an object");
    r->depth++;
    CHECK(r->depth <= WIRE_DEPTH_MAX);
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < d->field_count; i++) {
        const struct wire_field *f = &d->fields[i];
        const json_t *value = json_object_get(j, f->name);
        r->path[r->depth] = (struct step){.name = f->name, .index = -1};
        err = value != NULL ? get_value(r, value, f, to + f->offset)
                            : refuse(r, PEAL_E_MALFORMED, "is missing");
    }
    r->depth--;
    if (err == 0 && json_object_size(j) != d->field_count + (d->type != 0 ? 1 : 0))
        err = refuse_unknown(r, j, d);
    return err;
}

/* ---- the whole ---- */

/* True when brackets outside of strings nest no deeper than a message can: jansson's own recursion
 * is bounded by that before it begins. */
static bool shallow(const char *p, size_t n)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string && p[i] == '\\') {
            i++;
        } else if (p[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && (p[i] == '{' || p[i] == '[')) {
            if (++depth > WIRE_JSON_DEPTH_MAX)
                return false;
        } else if (!in_string && (p[i] == '}' || p[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static int parse(struct reader *r, const char *p, size_t n, json_t **out)
{
    json_error_t e;
    if (n > WIRE_JSON_MAX)
        return refuse(r, PEAL_E_TOO_LONG, "is longer than %d bytes", WIRE_JSON_MAX);
    if (!shallow(p, n))
        return refuse(r, PEAL_E_MALFORMED, "is nested too deeply");
    *out = json_loadb(p, n, JSON_REJECT_DUPLICATES, &e);
    if (*out != NULL)
        return 0;
    if (json_error_code(&e) == json_error_out_of_memory)
        return refuse(r, PEAL_E_NO_MEMORY, "no memory");
    return refuse(r, PEAL_E_MALFORMED, "at byte %d: %s", e.position, e.text);
}

static int get_message(struct reader *r, const json_t *j, uint16_t *type, void *msg,
                       size_t msg_size)
{
    if (!json_is_object(j))
        return refuse(r, PEAL_E_MALFORMED, "is not an object");
    const json_t *t = json_object_get(j, "t");
    if (!json_is_string(t))
        return refuse(r, PEAL_E_MALFORMED, "has no string \"t\" that names it");
    *type = wire_type_of(peal_bytes_of(json_string_value(t), json_string_length(t)));
    const struct wire_desc *d = wire_desc_of(*type);
    if (d == NULL)
        return refuse(r, PEAL_E_VERSION, "there is no message \"%s\"", json_string_value(t));
    r->path[0].name = d->name;
    if (d->size > msg_size)
        return no_room(r);
    memset(msg, 0, d->size);
    return get_struct(r, j, d, msg);
}

int wire_from_json(const char *p, size_t n, uint16_t *type, void *msg, size_t msg_size,
                   struct arena *a, char why[WIRE_WHY_MAX])
{
    struct reader r = {.a = a, .why = why, .path = {{.name = "message", .index = -1}}};
    json_t *j = NULL;
    size_t mark = a->used;
    *type = 0;
    int err = parse(&r, p, n, &j);
    if (err == 0)
        err = get_message(&r, j, type, msg, msg_size);
    json_decref(j);
    if (err != 0) {
        *type = 0;
        a->used = mark;
    }
    return err;
}

size_t wire_json_arena(size_t n)
{
    /* A string of k bytes costs at most k + 16 and takes at least k + 6 characters ("a":"", and the
     * comma), or k + 3 in a list of addresses, which is short and has much text beside it; a list's
     * items are bounded by the schema. */
    return WIRE_ARENA_MAX + 3 * n;
}
