/* boxes: how many message rows wait in each box, here, and how many bytes they take: what the
 * limits of the configuration are held against. Memory only; the sweep, which meets all rows of a
 * box one after the other, sets it right, and puts and deletions are counted in between.
 *
 * A box that is far from its limits (BOX_NEAR_PART) is counted without reading anything: a row put
 * twice counts twice, and a deletion takes off an average row. Nearer to them each put and each
 * deletion looks first whether the row is here, so that from there on the count is exact.
 *
 * The table keeps BOXES_MAX boxes; where there is no room the emptiest of BOX_WAYS goes. What is
 * forgotten like that, and everything at a restart, is missing from the count until the sweep has
 * gone past. */
#include "inner.h"

#include <string.h>

static bool has_limits(const struct chord *c)
{
    return c->cfg.box_rows_max != 0 || c->cfg.box_bytes_max != 0;
}

/* What a row counts for. */
static uint64_t weight(const struct wire_row *row)
{
    return row->body.n;
}

/* The place of a box is not to be guessed from outside: it is salted. */
static struct box_count *ways_of(struct chord *c, const struct peal_id *box)
{
    uint64_t x = 0;
    memcpy(&x, box->b, sizeof x);
    x = (x ^ c->salt) * 0x9e3779b97f4a7c15;
    return &c->boxes.at[(x >> 32) % (BOXES_MAX / BOX_WAYS) * BOX_WAYS];
}

static struct box_count *count_of(struct chord *c, const struct peal_id *box)
{
    struct box_count *w = ways_of(c, box);
    for (size_t i = 0; i < BOX_WAYS; i++)
        if (w[i].rows != 0 && id_eq(&w[i].box, box))
            return &w[i];
    return NULL;
}

/* How full, in parts of BOX_FULL. */
enum { BOX_FULL = 1 << 16 };
static uint64_t fullness(const struct chord *c, const struct box_count *b)
{
    uint64_t rows_max = c->cfg.box_rows_max, bytes_max = c->cfg.box_bytes_max;
    uint64_t rows = rows_max == 0 ? 0 : (uint64_t)b->rows * BOX_FULL / rows_max;
    uint64_t bytes = bytes_max == 0 ? 0 : b->bytes / (bytes_max / BOX_FULL + 1);
    return rows > bytes ? rows : bytes;
}

static bool is_near(const struct chord *c, const struct box_count *b)
{
    uint64_t rows_max = c->cfg.box_rows_max, bytes_max = c->cfg.box_bytes_max;
    return (rows_max != 0 && b->rows >= rows_max / BOX_NEAR_PART) ||
           (bytes_max != 0 && b->bytes >= bytes_max / BOX_NEAR_PART);
}

/* The box's count, or that of another one, emptied for it. */
static struct box_count *count_for(struct chord *c, const struct peal_id *box)
{
    struct box_count *b = count_of(c, box), *w = ways_of(c, box);
    if (b != NULL)
        return b;
    b = w;
    for (size_t i = 1; i < BOX_WAYS; i++)
        if (fullness(c, &w[i]) < fullness(c, b) || (b->rows != 0 && w[i].rows == 0))
            b = &w[i];
    *b = (struct box_count){.box = *box};
    return b;
}

/* The sweep is within this box, and past the row: it will not meet it any more. */
static bool is_behind(const struct chord *c, const struct peal_id *box,
                      const struct peal_msg_id *id)
{
    const struct box_count *now = &c->boxes.now;
    if (!c->boxes.counting || !id_eq(&now->box, box) || c->sweep.after_n != ROW_KEY_BYTES)
        return false;
    uint8_t key[ROW_KEY_BYTES];
    row_key(box, id, key);
    return memcmp(key, c->sweep.after, sizeof key) <= 0;
}

static bool is_here(struct chord *c, const struct wire_row *row)
{
    struct wire_s_row s;
    size_t mark = c->scratch.used;
    int err = row_load(c, &row->box, &row->id, &s);
    c->scratch.used = mark;
    return err == 0;
}

bool box_takes(struct chord *c, const struct wire_row *row)
{
    if (row->kind != WIRE_ROW_MESSAGE || !has_limits(c))
        return true;
    const struct box_count *b = count_of(c, &row->box);
    if (b == NULL) /* nothing is known of it; an empty box takes any row */
        return true;
    bool rows = c->cfg.box_rows_max != 0 && b->rows >= c->cfg.box_rows_max;
    bool bytes = c->cfg.box_bytes_max != 0 && (b->bytes >= c->cfg.box_bytes_max ||
                                               weight(row) > c->cfg.box_bytes_max - b->bytes);
    return (!rows && !bytes) || is_here(c, row);
}

static void more(struct box_count *b, const struct wire_row *row)
{
    b->rows += b->rows < UINT32_MAX;
    b->bytes += weight(row);
}

static void less(struct box_count *b, uint64_t bytes)
{
    b->bytes -= bytes < b->bytes ? bytes : b->bytes;
    b->rows -= b->rows > 0;
    if (b->rows == 0)
        b->bytes = 0;
}

void box_added(struct chord *c, const struct wire_row *row, bool is_new)
{
    if (row->kind != WIRE_ROW_MESSAGE || !has_limits(c))
        return;
    struct box_count *b = count_for(c, &row->box);
    bool behind = is_behind(c, &row->box, &row->id);
    if (!is_new && (behind || is_near(c, b)) && is_here(c, row))
        return;
    more(b, row);
    if (behind)
        more(&c->boxes.now, row);
}

void box_deleting(struct chord *c, const struct peal_id *box, const struct peal_msg_id *id)
{
    struct box_count *b = count_of(c, box);
    if (b == NULL)
        return;
    bool behind = is_behind(c, box, id);
    if (!behind && !is_near(c, b)) {
        less(b, b->bytes / b->rows);
        return;
    }
    struct wire_s_row s;
    size_t mark = c->scratch.used;
    if (row_load(c, box, id, &s) == 0 && s.row.kind == WIRE_ROW_MESSAGE) {
        less(b, weight(&s.row));
        if (behind)
            less(&c->boxes.now, weight(&s.row));
    }
    c->scratch.used = mark;
}

/* What the sweep has met of a box is all there is of it. */
static void close_box(struct chord *c)
{
    struct boxes *x = &c->boxes;
    if (!x->counting)
        return;
    x->counting = false;
    if (!is_near(c, &x->now) && count_of(c, &x->now.box) == NULL)
        return; /* too few to be worth a place */
    struct box_count *b = count_for(c, &x->now.box);
    *b = x->now;
}

void box_met(struct chord *c, const struct wire_row *row)
{
    struct boxes *x = &c->boxes;
    if (!has_limits(c))
        return;
    if (!x->counting || !id_eq(&x->now.box, &row->box)) {
        close_box(c);
        x->counting = true;
        x->now = (struct box_count){.box = row->box};
    }
    if (row->kind == WIRE_ROW_MESSAGE)
        more(&x->now, row);
}

void box_met_all(struct chord *c)
{
    close_box(c);
}
