/* Marks: what a list passes over because it was acknowledged must not be passed over when the disk
 * has it after all. */
#include "scene.h"

#include <criterion/criterion.h>
#include <string.h>

/* How many ids of the box it lists to a peer. */
static size_t listed(struct one *o, const struct peal_id *box)
{
    struct wire_n_set_list m = {.epoch = EPOCH, .op = 3, .box = *box, .ids_only = true};
    union wire_any page;
    one_forget(o);
    one_hear(o, LINK, WIRE_n_set_list, &m);
    cr_assert_not_null(one_sent(o, LINK, WIRE_n_set_page, &page), "it answers");
    cr_assert_eq(page.n_set_page.code, 0, "it may be read");
    return page.n_set_page.ids.n;
}

/* A tombstone was read, and then refused by the disk: the row is there again. */
Test(marks, what_the_disk_refused_hides_nothing)
{
    struct scene s;
    enter(&s, 2); /* one of three servers: each of them is a home of every box */
    complete(&s);
    struct one *o = s.o;
    struct wire_n_set_put put = {.epoch = EPOCH,
                                 .op = 6,
                                 .row = {.box = {{0xb0}},
                                         .id = {{1}},
                                         .kind = WIRE_ROW_MESSAGE,
                                         .from = peal_bytes_str("alice"),
                                         .stamp = one_wall(o) << 16,
                                         .expires = one_wall(o) + 24 * 3600 * 1000}};
    one_hear(o, LINK, WIRE_n_set_put, &put);
    cr_assert_eq(listed(o, &put.row.box), 1, "it is here");
    struct wire_n_set_del del = {
        .epoch = EPOCH, .box = put.row.box, .ids = {.v = &put.row.id, .n = 1}};
    one_hear(o, LINK, WIRE_n_set_del, &del);
    cr_assert_eq(one_disk_row(o, &put.row.box, &put.row.id), WIRE_ROW_TOMBSTONE, "a tombstone");
    one_wait(o, 1000);
    cr_assert_eq(listed(o, &put.row.box), 0, "acknowledged");

    struct wire_s_row was = {.row = put.row};
    uint8_t key[ID_BYTES + MSG_ID_BYTES], value[512];
    struct wr w;
    memcpy(key, put.row.box.b, ID_BYTES);
    memcpy(key + ID_BYTES, put.row.id.b, MSG_ID_BYTES);
    wr_init(&w, value, sizeof value);
    cr_assert_eq(wire_encode(WIRE_s_row, &was, &w), 0, "encoded");
    struct store_write back = {.space = STORE_ROWS,
                               .op = STORE_PUT,
                               .key = peal_bytes_of(key, sizeof key),
                               .value = peal_bytes_of(value, w.n)};
    cr_assert_eq(store_submit(o->store, &back, 1, NULL), 0, "as the disk has it");
    one_event(o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    one_event(o, (struct step_event){.kind = STEP_STORE_STATE, .err = 0});
    one_wait(o, 1000);
    cr_assert_eq(listed(o, &put.row.box), 1, "it is here again");
    one_free(o);
}
