/* zave: the operations of Zave's corrected Chord over one member's successor list and predecessor.
 * P. Zave, "Reasoning about identifier spaces: how to make Chord correct" (TSE 2017).
 *
 * Pure: who is alive, and what others' lists say, is the caller's to find out (upkeep.c). Rings of
 * no more than r members are not for these operations; small.c derives their pointers.
 *
 * Two things hold of every list here, whatever was taken: it is in clockwise order and ends before
 * z itself, so nothing is in it twice; and artificial entries come last. What a peer's list has
 * beyond the first entry that would break this is left out. */
#include "inner.h"

#include <string.h>

static bool is_real(const struct succ *s, const struct peal_id *id)
{
    return !s->artificial && id_eq(&s->id, id);
}

static void append(struct zave *z, const struct peal_id *id, bool artificial)
{
    CHECK(z->n < z->r);
    z->succ[z->n++] = (struct succ){.id = *id, .artificial = artificial};
}

void zave_pad(struct zave *z)
{
    CHECK(z->r > 0 && z->r <= RING_SUCCESSORS_MAX && z->n <= z->r);
    while (z->n < z->r) {
        struct peal_id next = id_add_pow2(z->n == 0 ? &z->self : &z->succ[z->n - 1].id, 0);
        append(z, &next, true);
    }
}

void zave_clear(struct zave *z)
{
    z->n = 0;
    z->round = false;
    memset(z->succ, 0, sizeof z->succ);
    z->prdc = (struct peal_id){0};
}

/* Appends id unless the list is full. False: the list is complete without it. */
static bool take_entry(struct zave *z, const struct peal_id *id)
{
    if (z->n == z->r)
        return false;
    if (id_eq(id, &z->self)) {
        z->round = true;
        return false;
    }
    const struct peal_id *last = z->n == 0 ? &z->self : &z->succ[z->n - 1].id;
    if (!id_between(last, id, &z->self))
        return false;
    append(z, id, false);
    return true;
}

/* succ := first (NULL: none), then from's entries, as far as there is room, in one assignment. */
static void take_list(struct zave *z, const struct peal_id *first, const struct zave *from)
{
    CHECK(z->r > 0 && z->r <= RING_SUCCESSORS_MAX && from->n <= RING_SUCCESSORS_MAX);
    z->n = 0;
    z->round = false;
    bool more = first == NULL || take_entry(z, first);
    for (size_t i = 0; more && i < from->n && !from->succ[i].artificial; i++)
        more = take_entry(z, &from->succ[i].id);
    zave_pad(z);
}

void zave_join(struct zave *z, const struct zave *m)
{
    CHECK(!id_eq(&m->self, &z->self));
    take_list(z, NULL, m);
    z->prdc = m->self;
}

void zave_drop_head(struct zave *z)
{
    CHECK(z->r > 0 && z->n == z->r);
    memmove(&z->succ[0], &z->succ[1], (size_t)(z->n - 1) * sizeof z->succ[0]);
    z->n--;
    z->round = false;
    zave_pad(z);
}

bool zave_take(struct zave *z, const struct zave *s, const struct peal_id *s_prdc)
{
    CHECK(!id_eq(&s->self, &z->self));
    CHECK(z->n == z->r && is_real(&z->succ[0], &s->self));
    take_list(z, &s->self, s);
    return s_prdc != NULL && id_between(&z->self, s_prdc, &s->self);
}

bool zave_take_candidate(struct zave *z, const struct zave *p)
{
    CHECK(z->n == z->r && z->r > 0);
    if (id_eq(&p->self, &z->self))
        return false;
    if (!z->succ[0].artificial && !id_between(&z->self, &p->self, &z->succ[0].id))
        return false;
    take_list(z, &p->self, p);
    return true;
}

enum rectify zave_rectify(struct zave *z, const struct peal_id *n)
{
    CHECK(!id_is_zero(&z->self));
    if (id_eq(n, &z->self) || id_eq(n, &z->prdc))
        return RECTIFY_DONE;
    if (!id_is_zero(&z->prdc) && !id_between(&z->prdc, n, &z->self))
        return RECTIFY_PING_PRDC;
    z->prdc = *n;
    return RECTIFY_DONE;
}

void zave_replace_prdc(struct zave *z, const struct peal_id *n)
{
    CHECK(!id_eq(n, &z->self));
    CHECK(!id_is_zero(n));
    z->prdc = *n;
}

bool zave_is_round(const struct zave *z)
{
    return z->round;
}

void zave_derive(struct zave *z, const struct peal_id *members, size_t n)
{
    size_t at = 0;
    while (at < n && !id_eq(&members[at], &z->self))
        at++;
    CHECK(at < n && z->r > 0 && z->r <= RING_SUCCESSORS_MAX);
    zave_clear(z);
    for (size_t i = 1; i < n && z->n < z->r; i++)
        append(z, &members[(at + i) % n], false);
    z->prdc = members[(at + n - 1) % n];
}
