/* view: what others may see of the node. Nothing here changes anything. */
#include "inner.h"

void ring_look(const struct ring *r, struct ring_view *out)
{
    *out = (struct ring_view){.phase = r->phase,
                              .self = r->self.id,
                              .coordinator = r->elect.coordinator,
                              .size = r->size,
                              .busy = r->up.phase != OP_IDLE};
    if (!ring__is_member(r))
        return;
    out->predecessor = r->z.prdc;
    out->successors_n = r->z.n;
    CHECK(r->z.n <= RING_SUCCESSORS_MAX);
    for (size_t i = 0; i < r->z.n; i++) {
        out->successors[i] = r->z.succ[i].id;
        out->artificial[i] = r->z.succ[i].artificial;
    }
}

bool ring_is_up(const struct ring *r, const struct peal_id *id)
{
    if (ring__is_self(r, id))
        return ring__is_member(r);
    const struct node *n = book_get(r, id);
    return n != NULL && n->up;
}

int ring_contact(const struct ring *r, const struct peal_id *id, struct wire_contact *out)
{
    const struct node *n = book_get(r, id);
    if (n == NULL && !ring__is_self(r, id))
        return PEAL_E_NOT_FOUND;
    *out = ring__contact_view(n == NULL ? &r->self : &n->contact);
    return 0;
}

struct peal_bytes ring_address(const struct ring *r, const struct peal_id *id)
{
    if (ring__is_self(r, id))
        return wire_address(ring__addresses(&r->self), 0);
    const struct node *n = book_get(r, id);
    return n == NULL ? (struct peal_bytes){0} : dial_address(n);
}

bool ring_guess(const struct ring *r, const struct peal_id *key, struct peal_id *out)
{
    const struct book *b = &r->book;
    if (!ring__is_member(r))
        return false;
    *out = r->self.id;
    uint32_t first = book_rank(r, key);
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *n = &b->nodes[b->order[(first + i) % b->n].at];
        if (n->dead || n->foreign)
            continue;
        /* self is nearer when it lies between the key and the node */
        if (!id_eq(key, &r->self.id) &&
            (id_eq(key, &n->contact.id) || !id_between(key, &r->self.id, &n->contact.id)))
            *out = n->contact.id;
        return true;
    }
    return true;
}

const struct ring_counters *ring_count(const struct ring *r)
{
    return &r->count;
}

void ring_known(const struct ring *r, size_t *living, size_t *dead)
{
    *living = r->book.living;
    *dead = r->book.n - r->book.living;
}
