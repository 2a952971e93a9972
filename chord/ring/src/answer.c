/* answer: what a member says of its list and predecessor to who asks (r_query), when it may: at
 * once while no operation of its own is under way, else when that is over (enum op_phase in
 * inner.h).
 *
 * Not for: asking, and what is made of answers (upkeep.c). */
#include "inner.h"

#include <string.h>

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * FNV_PRIME;
    return h;
}

static uint64_t contact_digest(uint64_t h, const struct wire_contact *c)
{
    uint8_t tail[9] = {c->addresses.n == 0};
    for (int i = 0; i < 8; i++)
        tail[1 + i] = (uint8_t)(c->incarnation >> (8 * i));
    return fnv(fnv(h, c->id.b, sizeof c->id.b), tail, sizeof tail);
}

/* An entry without a contact cannot be told from an artificial one, and is of as little use. */
static struct wire_contact entry_view(struct ring *r, const struct peal_id *id, bool artificial)
{
    if (!artificial && ring__is_self(r, id))
        return ring__contact_view(&r->self);
    const struct node *n = artificial ? NULL : book_find(r, id);
    if (n == NULL || n->contact.address_n == 0)
        return (struct wire_contact){.id = *id};
    return ring__contact_view(&n->contact);
}

/* List and predecessor as others see them; prdc without address: not known. Returns the digest. */
static uint64_t look(struct ring *r, struct wire_contact succ[static RING_SUCCESSORS_MAX],
                     struct wire_contact *prdc)
{
    CHECK(ring__is_member(r));
    CHECK(r->z.n <= RING_SUCCESSORS_MAX);
    uint64_t digest = FNV_BASIS;
    *prdc = (struct wire_contact){0};
    for (size_t i = 0; i < r->z.n; i++) {
        succ[i] = entry_view(r, &r->z.succ[i].id, r->z.succ[i].artificial);
        digest = contact_digest(digest, &succ[i]);
    }
    if (!ring__is_self(r, &r->z.prdc)) {
        *prdc = entry_view(r, &r->z.prdc, false);
        if (prdc->addresses.n > 0)
            digest = contact_digest(digest, prdc);
    }
    return digest == 0 ? 1 : digest; /* 0 says that there is none */
}

static void say_all(struct ring *r, const struct asker *a)
{
    struct wire_contact succ[RING_SUCCESSORS_MAX], prdc;
    struct wire_r_view v = {.op = a->op, .digest = look(r, succ, &prdc)};
    if (a->have == v.digest) {
        v.code = (uint16_t)-PEAL_E_STALE;
    } else {
        v.successors = (struct wire_contact_list){.v = succ, .n = r->z.n};
        if (prdc.addresses.n > 0)
            v.predecessor = (struct wire_contact_list){.v = &prdc, .n = 1};
    }
    ring__my_state(r, &v.state);
    ring__say(r, &a->id, WIRE_r_view, &v);
}

void answer_hint(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->phase == OP_IDLE && r->phase == RING_LARGE);
    up->hint_us = 0;
    up->hinted_us = r->now;
    struct wire_contact succ[RING_SUCCESSORS_MAX], prdc;
    struct wire_r_view v = {.code = (uint16_t)-PEAL_E_STALE, .digest = look(r, succ, &prdc)};
    ring__my_state(r, &v.state);
    (void)ring__say(r, &r->z.prdc, WIRE_r_view, &v); /* else the next round tells it */
}

void answer_without(struct ring *r, struct link *l, uint64_t op, int err)
{
    struct wire_r_view v = {.op = op, .code = (uint16_t)-err};
    ring__my_state(r, &v.state);
    ring__say_on(r, l, WIRE_r_view, &v);
}

void answer_later(struct upkeep *up, const struct asker *a)
{
    for (size_t i = 0; i < up->askers_n; i++) {
        if (id_eq(&up->askers[i].id, &a->id)) {
            up->askers[i] = *a;
            return;
        }
    }
    if (up->askers_n == ASKERS_MAX) {
        memmove(&up->askers[0], &up->askers[1], (ASKERS_MAX - 1) * sizeof up->askers[0]);
        up->askers_n--;
    }
    up->askers[up->askers_n++] = *a;
}

bool answer_is_for(struct ring *r, const struct peal_id *id)
{
    if (r->phase == RING_LARGE)
        return true;
    const struct node *n = book_find(r, id);
    return r->phase == RING_SMALL && n != NULL && n->mate;
}

void answer_one(struct ring *r, const struct asker *a)
{
    struct link *l = ring__link_to(r, &a->id);
    if (answer_is_for(r, &a->id))
        say_all(r, a);
    else if (l != NULL)
        answer_without(r, l, a->op, PEAL_E_REFUSED);
}

void answer_askers(struct ring *r)
{
    struct upkeep *up = &r->up;
    size_t n = up->askers_n;
    CHECK(n <= ASKERS_MAX);
    up->askers_n = 0;
    for (size_t i = 0; i < n; i++)
        answer_one(r, &up->askers[i]);
}
