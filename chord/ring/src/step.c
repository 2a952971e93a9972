/* step: the helpers with which cores fill an update. See peal/step.h. */
#include "peal/step.h"

#include <stdio.h>
#include <string.h>

enum { STEP_ALIGN = 16, STEP_TRACE_MAX = WIRE_TEXT_MAX };

static size_t effects_bytes(void)
{
    size_t n = sizeof(struct step_effect) * STEP_EFFECTS_MAX;
    return (n + STEP_ALIGN - 1) / STEP_ALIGN * STEP_ALIGN;
}

size_t step_update_size(void)
{
    return effects_bytes() + STEP_ARENA_BYTES;
}

void step_update_init(struct step_update *u, void *mem)
{
    CHECK(u != NULL && mem != NULL);
    CHECK((uintptr_t)mem % STEP_ALIGN == 0);
    u->effects = mem;
    u->n = 0;
    u->cap = STEP_EFFECTS_MAX;
    arena_init(&u->arena, (uint8_t *)mem + effects_bytes(), STEP_ARENA_BYTES);
}

void step_update_reset(struct step_update *u)
{
    CHECK(u->cap == STEP_EFFECTS_MAX);
    u->n = 0;
    arena_reset(&u->arena);
}

static struct step_effect *add(struct step_update *u, enum step_effect_kind kind)
{
    CHECK(u->n < u->cap);
    struct step_effect *e = &u->effects[u->n++];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    return e;
}

/* Not by arena_copy: the copy is not zeroed first, since this is the hot path. */
static struct peal_bytes keep(struct step_update *u, struct peal_bytes b)
{
    struct arena *a = &u->arena;
    size_t at = (a->used + STEP_ALIGN - 1) / STEP_ALIGN * STEP_ALIGN;
    CHECK(at <= a->cap && b.n <= a->cap - at);
    if (b.n > 0)
        memcpy(a->p + at, b.p, b.n);
    a->used = at + b.n;
    return peal_bytes_of(a->p + at, b.n);
}

/* Encodes straight into what is left of the arena. A message of our own that does not encode is a
 * broken invariant. */
static struct peal_bytes encode(struct step_update *u, uint16_t type, const void *msg)
{
    struct arena *a = &u->arena;
    size_t at = (a->used + STEP_ALIGN - 1) / STEP_ALIGN * STEP_ALIGN;
    CHECK(at <= a->cap);
    struct wr w;
    wr_init(&w, a->p + at, a->cap - at);
    int err = wire_encode(type, msg, &w);
    CHECK(err == 0);
    a->used = at + w.n;
    return peal_bytes_of(a->p + at, w.n);
}

static void write_effect(struct step_update *u, enum step_space space, enum step_op op,
                         struct peal_bytes key, struct peal_bytes value, bool lazy, bool fresh)
{
    CHECK(key.n > 0 && key.n <= WIRE_KEY_MAX);
    struct step_effect *e = add(u, STEP_WRITE);
    e->space = space;
    e->op = op;
    e->lazy = lazy;
    e->fresh = fresh;
    e->key = keep(u, key);
    if (op != STEP_DEL)
        e->bytes = keep(u, value);
}

void step_write(struct step_update *u, enum step_space space, enum step_op op,
                struct peal_bytes key, struct peal_bytes value)
{
    write_effect(u, space, op, key, value, false, false);
}

void step_write_lazy(struct step_update *u, enum step_space space, enum step_op op,
                     struct peal_bytes key, struct peal_bytes value, bool fresh)
{
    write_effect(u, space, op, key, value, true, fresh);
}

static void send_effect(struct step_update *u, uint32_t link, uint16_t type, const void *msg,
                        bool eager)
{
    CHECK(link != STEP_NO_LINK);
    struct step_effect *e = add(u, STEP_SEND);
    e->link = link;
    e->eager = eager;
    e->bytes = encode(u, type, msg);
}

void step_send(struct step_update *u, uint32_t link, uint16_t type, const void *msg)
{
    send_effect(u, link, type, msg, false);
}

void step_send_eager(struct step_update *u, uint32_t link, uint16_t type, const void *msg)
{
    send_effect(u, link, type, msg, true);
}

void step_close(struct step_update *u, uint32_t link, int err, const char *reason)
{
    CHECK(link != STEP_NO_LINK && link != STEP_SELF);
    struct step_effect *e = add(u, STEP_CLOSE);
    e->link = link;
    e->err = err;
    e->bytes = keep(u, peal_bytes_str(reason));
}

void step_dial(struct step_update *u, struct peal_bytes address)
{
    CHECK(address.n > 0 && address.n <= WIRE_ADDRESS_MAX);
    struct step_effect *e = add(u, STEP_DIAL);
    e->bytes = keep(u, address);
}

void step_work(struct step_update *u, enum step_work work, uint64_t token, struct peal_bytes input)
{
    struct step_effect *e = add(u, STEP_WORK);
    e->work = work;
    e->token = token;
    e->bytes = keep(u, input);
}

void step_beacon(struct step_update *u, const struct wire_m_beacon *b)
{
    struct step_effect *e = add(u, STEP_SAY_BEACON);
    e->bytes = encode(u, WIRE_m_beacon, b);
}

void step_trace(struct step_update *u, enum step_level level, const char *name, const char *fmt,
                ...)
{
    CHECK(name != NULL && fmt != NULL);
    char text[STEP_TRACE_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    struct step_effect *e = add(u, STEP_TRACE);
    e->name = name;
    e->level = level;
    e->bytes = keep(u, peal_bytes_of(text, len));
}
