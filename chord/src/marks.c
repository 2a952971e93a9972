/* marks: where the reading of a box begins. What was acknowledged leaves tombstones for a month,
 * and most of what is older than the oldest row that waits is such: a list that has gone through
 * them once notes where it met the first row, so that the next ones begin there, and cost what
 * waits and not what was.
 *
 * A mark is only as good as what was read: it is lowered by every row that is written before it,
 * not raised by a list that may not see a row of the same update yet, and all of them are forgotten
 * when the store has refused writes that were read already. */
#include "inner.h"

#include <string.h>

static struct mark *place_of(struct chord *c, const struct peal_id *box)
{
    uint64_t x = 0;
    memcpy(&x, box->b, sizeof x);
    x = (x ^ c->salt) * 0x9e3779b97f4a7c15;
    return &c->marks.at[(x >> 32) % MARKS_MAX];
}

struct peal_msg_id mark_of(struct chord *c, const struct peal_id *box)
{
    const struct mark *m = place_of(c, box);
    return m->used && id_eq(&m->box, box) ? m->first : (struct peal_msg_id){{0}};
}

void mark_stored(struct chord *c, const struct wire_row *row)
{
    struct mark *m = place_of(c, &row->box);
    c->marks.stored_us = c->now;
    if (m->used && id_eq(&m->box, &row->box) && msg_id_cmp(&row->id, &m->first) < 0)
        m->first = row->id;
}

void mark_listed(struct chord *c, const struct peal_id *box, const struct peal_msg_id *first)
{
    if (c->marks.stored_us != c->now && roster_copies(&c->roster) > 1)
        *place_of(c, box) = (struct mark){.used = true, .box = *box, .first = *first};
}

void marks_forget(struct chord *c)
{
    memset(c->marks.at, 0, sizeof c->marks.at);
}
