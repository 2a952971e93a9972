/* expire: a message that has waited in vain. Before its row goes, its author is told: the app makes
 * a row for the author's box (app.row_expired), the same one at every node that holds the message,
 * and only when W copies of that are durable is the message's row dropped. A crash in between
 * repeats it; that changes nothing, since rows are put by id.
 *
 * Begun by the sweep, EXPIRING_MAX at a time. */
#include "inner.h"

#include <string.h>

static bool is_expiring(const struct chord *c, const struct wire_row *row)
{
    for (size_t i = 0; i < EXPIRING_MAX; i++) {
        const struct expiring *e = &c->expire.at[i];
        if (e->used && id_eq(&e->box, &row->box) && msg_id_eq(&e->id, &row->id))
            return true;
    }
    return false;
}

enum expire_answer expire_take(struct chord *c, const struct wire_row *row)
{
    if (row->kind != WIRE_ROW_MESSAGE || c->cfg.app.row_expired == NULL)
        return EXPIRE_DROP;
    if (is_expiring(c, row))
        return EXPIRE_KEEP;
    for (size_t i = 0; i < EXPIRING_MAX; i++) {
        struct expiring *e = &c->expire.at[i];
        if (e->used)
            continue;
        *e = (struct expiring){.used = true,
                               .box = row->box,
                               .id = row->id,
                               .from_n = (uint8_t)row->from.n,
                               .stamp = row->stamp,
                               .expires = row->expires};
        if (row->from.n > 0)
            memcpy(e->from, row->from.p, row->from.n);
        return EXPIRE_KEEP;
    }
    return c->expire.stuck ? EXPIRE_KEEP : EXPIRE_WAIT;
}

/* Unless it was acknowledged meanwhile, which left a tombstone. */
static void drop(struct chord *c, const struct expiring *e)
{
    struct wire_s_row s;
    size_t mark = c->scratch.used;
    uint8_t key[ROW_KEY_BYTES];
    row_key(&e->box, &e->id, key);
    if (row_load(c, &e->box, &e->id, &s) == 0 && s.row.kind == WIRE_ROW_MESSAGE &&
        row_due(c, &s.row)) {
        box_deleting(c, &e->box, &e->id);
        step_write_lazy(c->u, STEP_ROWS, STEP_DEL, peal_bytes_of(key, sizeof key),
                        (struct peal_bytes){0}, false);
        mark_dirty(c, &e->box);
    }
    c->scratch.used = mark;
}

static int tell(struct chord *c, size_t at)
{
    struct expiring *e = &c->expire.at[at];
    struct wire_row row = {.box = e->box,
                           .id = e->id,
                           .kind = WIRE_ROW_MESSAGE,
                           .from = peal_bytes_of(e->from, e->from_n),
                           .stamp = e->stamp,
                           .expires = e->expires};
    struct wire_row word = {0};
    e->begun = true;
    if (!c->cfg.app.row_expired(c->cfg.app.ctx, &row, &word) || row_over(c, &word)) {
        drop(c, e);
        e->used = false;
        return 0;
    }
    CHECK(word.kind != WIRE_ROW_MESSAGE && word.kind != WIRE_ROW_TOMBSTONE);
    return put_begin_own(c, at, &word, EXPIRY_PUT_US);
}

void expire_begin(struct chord *c)
{
    for (size_t i = 0; i < EXPIRING_MAX; i++) {
        struct expiring *e = &c->expire.at[i];
        if (e->used && !e->begun && tell(c, i) < 0) {
            e->used = false;
            c->expire.stuck = true;
        }
    }
}

void expire_done(struct chord *c, uint64_t token, int err)
{
    CHECK(token < EXPIRING_MAX && c->expire.at[token].used);
    struct expiring *e = &c->expire.at[token];
    if (err == 0)
        drop(c, e);
    else
        c->expire.stuck = true;
    e->used = false;
}

void expire_pass(struct chord *c)
{
    c->expire.stuck = false;
}
