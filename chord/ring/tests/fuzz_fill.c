#include "fuzz_fill.h"

#include <stdio.h>
#include <string.h>

/* In ascending order from 1 on; the node itself is 0x80…, with one neighbour very near. */
static const uint8_t firsts[WORLD_NODES] = {0x80, 0x08, 0x20, 0x38, 0x50, 0x68, 0x7f,
                                            0x80, 0x88, 0x90, 0xa8, 0xc0, 0xd8, 0xf0};
enum { NEAR = 7 }; /* whose id is the node's and one */

uint8_t script_byte(struct script *s)
{
    if (s->left == 0)
        return 0;
    s->left--;
    return *s->in++;
}

/* ---- the world ---- */

struct peal_id world_id(size_t who)
{
    struct peal_id id = {{0}};
    id.b[0] = who < WORLD_NODES ? firsts[who] : 1;
    id.b[ID_BYTES - 1] = who == NEAR ? 8 : 7;
    return id;
}

size_t world_who(const struct peal_id *id)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct peal_id known = world_id(i);
        if (id_eq(&known, id))
            return i;
    }
    return WORLD_NODES;
}

struct peal_id script_id(struct script *s)
{
    uint8_t b = script_byte(s);
    if (b < 0xf0)
        return world_id(b % WORLD_NODES);
    struct peal_id id = {{0}};
    if (b == 0xf0)
        return id;
    if (b < 0xf8) {
        memset(id.b, script_byte(s), sizeof id.b);
        return id;
    }
    struct peal_id near = world_id(script_byte(s) % WORLD_NODES);
    return id_add_pow2(&near, b % 8);
}

uint64_t script_number(struct script *s)
{
    uint8_t b = script_byte(s);
    if (b < 8)
        return b;
    if (b < 128)
        return s->numbers[b % SCRIPT_NUMBERS];
    if (b < 224)
        return ((SCRIPT_WALL_MS + s->now / 1000) << 16) + ((uint64_t)b << 20);
    return UINT64_MAX - (b - 224U);
}

struct peal_bytes world_address(size_t who)
{
    static char text[WORLD_NODES + 1][WIRE_ADDRESS_MAX];
    int n = snprintf(text[who], sizeof text[who], "10.0.0.%zu:7", who);
    return peal_bytes_of(text[who], (size_t)n);
}

/* Of some two, of which the second may lead to somebody else, or to nobody. */
struct peal_bytes world_addresses(size_t who)
{
    static uint8_t list[WORLD_NODES + 1][WIRE_ADDRESSES_BYTES];
    size_t n = wire_address_add(list[who], 0, world_address(who));
    if (who % 3 == 1)
        n = wire_address_add(list[who], n, world_address((who + 2) % (WORLD_NODES + 1)));
    if (who % 3 == 2)
        n = wire_address_add(list[who], n, peal_bytes_str("[2001:db8::1]:7"));
    return peal_bytes_of(list[who], n);
}

static const uint8_t zeros[WIRE_CAST_MAX], badly[64] = {1};

struct wire_contact world_contact(size_t who, uint64_t incarnation)
{
    return (struct wire_contact){.id = world_id(who),
                                 .incarnation = incarnation,
                                 .addresses = world_addresses(who),
                                 .key = peal_bytes_of(zeros, 32),
                                 .signature = peal_bytes_of(zeros, 64)};
}

struct wire_contact script_contact(struct script *s, size_t who)
{
    struct wire_contact w = world_contact(who, script_byte(s) & 3);
    uint8_t b = script_byte(s);
    if (b < 192)
        return w;
    switch (b % 8) {
    case 0:
        w.signature = peal_bytes_of(badly, sizeof badly);
        break;
    case 1:
        w.addresses = world_addresses(script_byte(s) % (WORLD_NODES + 1));
        break;
    case 2:
        w.addresses = w.key = w.signature = (struct peal_bytes){0};
        break;
    case 3:
        w.key.n = script_byte(s) % 33;
        break;
    case 4:
        w.signature.n = script_byte(s) % 65;
        break;
    case 5:
        w.id = script_id(s);
        break;
    default:
        w.incarnation = script_number(s);
        break;
    }
    return w;
}

/* ---- messages with fields from the input ---- */

static size_t few(struct script *s, uint32_t max)
{
    size_t n = script_byte(s);
    n = n < 0xf0 ? n % 7 : n;
    return n < max ? n : max;
}

static void fill_list(struct script *s, const struct wire_field *x, void *at, struct arena *a)
{
    struct wire_ids list = {.n = few(s, x->max)}; /* every list is a pointer and a count */
    const struct wire_desc *item = x->kind == WIRE_KIND_LIST ? x->sub() : NULL;
    size_t each = item != NULL               ? item->size
                  : x->kind == WIRE_KIND_IDS ? sizeof(struct peal_id)
                                             : sizeof(struct peal_msg_id);
    uint8_t *v = arena_take(a, list.n * each + 1);
    CHECK(v != NULL);
    for (size_t i = 0; i < list.n; i++) {
        if (item != NULL) {
            script_fill(s, item, v + i * each, a);
        } else {
            struct peal_id id = script_id(s);
            memcpy(v + i * each, &id, each);
        }
    }
    list.v = (struct peal_id *)(void *)v;
    memcpy(at, &list, sizeof list);
}

static void fill_bytes(struct script *s, const struct wire_field *x, void *at)
{
    size_t n = script_byte(s);
    n = n == 0xff ? x->max : n < x->max ? n : x->max;
    struct peal_bytes b = peal_bytes_of(zeros, n);
    if (x->kind == WIRE_KIND_STR)
        b = world_address(n % (WORLD_NODES + 1));
    else if (n <= s->left && n < 0xff) {
        b = peal_bytes_of(s->in, n);
        s->in += n;
        s->left -= n;
    }
    memcpy(at, &b, sizeof b);
}

static void fill_small(struct script *s, const struct wire_field *x, void *at)
{
    uint8_t b = script_byte(s);
    uint16_t u16 = strcmp(x->name, "version") == 0 && b < 0xf0 ? WIRE_VERSION
                   : b < 128                                   ? 0
                                                               : b % 32;
    uint32_t u32 = b < 200 ? b : UINT32_MAX - b;
    uint8_t u8 = strcmp(x->name, "phase") == 0 ? b % 5 : b < 0xf0 ? b % 4 : b;
    bool yes = b & 1;
    const void *from = x->kind == WIRE_KIND_U8    ? (const void *)&u8
                       : x->kind == WIRE_KIND_U16 ? (const void *)&u16
                       : x->kind == WIRE_KIND_U32 ? (const void *)&u32
                                                  : (const void *)&yes;
    size_t n = x->kind == WIRE_KIND_U8    ? sizeof u8
               : x->kind == WIRE_KIND_U16 ? sizeof u16
               : x->kind == WIRE_KIND_U32 ? sizeof u32
                                          : sizeof yes;
    memcpy(at, from, n);
}

static void fill_field(struct script *s, const struct wire_field *x, void *at, struct arena *a)
{
    struct peal_id id;
    uint64_t n;
    switch (x->kind) {
    case WIRE_KIND_U8:
    case WIRE_KIND_U16:
    case WIRE_KIND_U32:
    case WIRE_KIND_BOOL:
        fill_small(s, x, at);
        break;
    case WIRE_KIND_U64:
        n = script_number(s);
        memcpy(at, &n, sizeof n);
        break;
    case WIRE_KIND_ID:
        id = script_id(s);
        memcpy(at, &id, sizeof id);
        break;
    case WIRE_KIND_MSGID:
        memset(at, script_byte(s), MSG_ID_BYTES);
        break;
    case WIRE_KIND_BYTES:
    case WIRE_KIND_STR:
    case WIRE_KIND_ADDRS: /* only a contact has any, and that is not filled in by its fields */
        fill_bytes(s, x, at);
        break;
    case WIRE_KIND_STRUCT:
        script_fill(s, x->sub(), at, a);
        break;
    case WIRE_KIND_LIST:
    case WIRE_KIND_IDS:
    case WIRE_KIND_MSGIDS:
        fill_list(s, x, at, a);
        break;
    }
}

void script_fill(struct script *s, const struct wire_desc *d, void *at, struct arena *a)
{
    if (strcmp(d->name, "contact") == 0) {
        struct wire_contact w = script_contact(s, script_byte(s) % WORLD_NODES);
        memcpy(at, &w, sizeof w);
        return;
    }
    for (uint32_t i = 0; i < d->field_count; i++)
        fill_field(s, &d->fields[i], (uint8_t *)at + d->fields[i].offset, a);
}
