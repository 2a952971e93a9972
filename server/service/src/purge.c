/* Mailboxes of accounts that are no more: read from their beginning and deleted page by page, in
 * the background. What this server leaves undone (it dies, homes are down, a mailbox is filled as
 * fast as it is emptied) whoever is asked about the account next goes on with; what nobody does
 * expires.
 *
 * Not for: the record (credentials.c). */
#include "inner.h"

static void read_on(struct svc *s, uint32_t handle)
{
    struct purge *p = slab_get(&s->purges, handle);
    CHECK(p != NULL && !p->reading);
    p->reading = true;
    p->reads++;
    p->found = 0;
    int err = chord_set_read(s->chord, s->ev, s->u, token_make(TOKEN_PURGE, 0, handle), &p->box,
                             NULL, READ_US);
    if (err != 0) {
        p->reading = false;
        p->retry_us = s->ev->now_us + READ_RETRY_US;
    }
}

void purge_begin(struct svc *s, const struct peal_id *box)
{
    uint32_t at = 0, h = 0;
    struct purge *p = NULL;
    while (s->purges.used > 0 && (p = slab_each(&s->purges, &at, &h)) != NULL)
        if (id_eq(&p->box, box))
            return;
    p = slab_take(&s->purges, &h);
    if (p == NULL)
        return;
    *p = (struct purge){.box = *box};
    read_on(s, h);
}

/* It is over when a whole read found nothing, when there were too many, or when homes are missing:
 * they have what they have. */
static void read_over(struct svc *s, uint32_t handle, struct purge *p, int err)
{
    p->reading = false;
    if (err != 0 || p->found == 0 || p->reads >= PURGE_READS)
        slab_release(&s->purges, handle);
    else
        p->retry_us = s->ev->now_us;
}

bool purge_rows(struct svc *s, uint32_t handle, int err, const struct wire_row *rows, size_t n,
                bool last)
{
    struct peal_msg_id ids[WIRE_PAGE_ROWS];
    struct purge *p = slab_get(&s->purges, handle);
    CHECK(p != NULL && p->reading && n <= WIRE_PAGE_ROWS);
    for (size_t i = 0; i < n; i++)
        ids[i] = rows[i].id;
    p->found += n;
    if (n > 0)
        chord_set_del(s->chord, s->ev, s->u, &p->box, ids, n);
    bool more = !last && update_has_room(s);
    if (!more)
        read_over(s, handle, p, err);
    return more;
}

void purge_tick(struct svc *s)
{
    uint32_t at = 0, h = 0;
    struct purge *p = NULL;
    while (s->purges.used > 0 && (p = slab_each(&s->purges, &at, &h)) != NULL) {
        if (p->reading || s->ev->now_us < p->retry_us || !update_has_room(s))
            continue;
        if (p->reads >= PURGE_READS)
            slab_release(&s->purges, h);
        else
            read_on(s, h);
    }
}
