/* A full disk with nobody to stand in: whoever waits for the row is told at once. */
#include "one.h"

#include <criterion/criterion.h>

Test(full, a_put_is_refused_at_once)
{
    struct one *o = one_new(1, false, NULL);
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 100000);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "a ring of one");
    one_event(o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    o->done_n = 0;
    cr_assert_eq(one_begin_put(o, 100), 0, "the put begins");
    cr_assert_eq(o->done_n, 1, "and is over");
    cr_assert_eq(o->done_err, PEAL_E_NO_SPACE, "it says why");
    one_event(o, (struct step_event){.kind = STEP_STORE_STATE, .err = 0});
    cr_assert_eq(one_begin_put(o, 100), 0, "well again");
    one_wait(o, 100000);
    cr_assert_eq(o->done_n, 2, "it ends");
    cr_assert_eq(o->done_err, 0, "stored");
    one_free(o);
}
