/* A full disk: whoever waits for a row that nobody else can take is told at once; and what was
 * refused is not so afterwards. */
#include "scene.h"

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

/* ---- what was refused is not so ---- */

static void well_again(struct scene *s)
{
    one_event(s->o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    s->o->refuses = false;
    one_event(s->o, (struct step_event){.kind = STEP_STORE_STATE, .err = 0});
}

static size_t give_all(struct scene *s)
{
    size_t given = 0;
    for (size_t i = 0; i < s->peers; i++)
        for (size_t k = 0, n = one_count(s->o, link_of(i), WIRE_n_copy); k < n; k++, given++)
            gives(s, i, asked(s, i, k).op, 0);
    one_forget(s->o);
    return given;
}

/* The last page of its copies comes when the disk is full, which it hears only then: were that
 * page's records lost, it would say of every name in it that there is no such name. */
Test(full, a_copy_that_was_refused_is_copied_again)
{
    struct scene s;
    enter(&s, 3);
    s.o->refuses = true;
    cr_assert_gt(give_all(&s), 0, "it was asked");
    well_again(&s);
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "it does not have them");
    cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_BUSY, "and has no vote");
    pass(&s, 2000 * MS_US);
    complete(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "when it has them it does");
    one_free(s.o);
}

/* Of what it needs one half was refused: with the other half alone it is not ready. */
Test(full, half_of_a_copy_that_was_refused_is_copied_again)
{
    struct scene s;
    enter(&s, 3);
    size_t n = one_count(s.o, link_of(0), WIRE_n_copy);
    cr_assert_gt(n, 0, "the first was asked");
    s.o->refuses = true;
    for (size_t k = 0; k < n; k++)
        gives(&s, 0, asked(&s, 0, k).op, 0);
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "it needs two");
    one_forget(s.o);
    well_again(&s);
    pass(&s, 3000 * MS_US);
    n = one_count(s.o, link_of(1), WIRE_n_copy);
    for (size_t k = 0; k < n; k++)
        gives(&s, 1, asked(&s, 1, k).op, 0);
    cr_assert_gt(one_count(s.o, link_of(0), WIRE_n_copy), 0, "the first is asked again");
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "what it gave is not there");
    complete(&s);
    one_free(s.o);
}

Test(full, a_page_that_comes_while_it_is_full_is_passed_over)
{
    struct scene s;
    enter(&s, 3);
    one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    cr_assert_gt(give_all(&s), 0, "it was asked");
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "they count for nothing");
    one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE, .err = 0});
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "nor afterwards");
    pass(&s, 2000 * MS_US);
    complete(&s);
    one_free(s.o);
}

Test(full, an_epoch_that_was_refused_is_adopted_again)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    struct ring before = s.r, after = take_out(&s.r, &s.peer[2].id);
    s.o->refuses = true;
    tells(&s, 0, &after, false);
    s.r = after;
    well_again(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_STALE, "it is not in the next epoch");
    s.r = before;
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "but in the one on its disk");
    tells(&s, 0, &after, false);
    s.r = after;
    s.peers = 2;
    for (size_t i = 0; i < s.peers; i++)
        says(&s, i);
    complete(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "until it hears of that again");
    one_free(s.o);
}

Test(full, an_admission_that_was_refused_is_entered_again)
{
    struct scene s;
    begin(&s, 3);
    struct ring now = s.r, before = take_out(&s.r, &s.o->self.id);
    before.epoch = EPOCH - 1;
    s.r = before;
    for (size_t i = 0; i < 3; i++)
        linked(&s, i);
    s.r = now;
    cr_assert_eq(accept_code(&s, &s.r, true, false), 0, "it accepts its admission");
    s.o->refuses = true;
    tells(&s, 0, &s.r, false);
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "it is admitted");
    well_again(&s);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "its disk does not say so");
    for (size_t i = 0; i < 3; i++)
        says(&s, i);
    tells(&s, 0, &s.r, false);
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "it has accepted that, and enters");
    complete(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "as if nothing had been");
    one_free(s.o);
}

/* A full disk that refused nothing that matters: nothing is begun anew. */
Test(full, what_was_written_stays)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_NO_SPACE, "it has no vote");
    one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE, .err = 0});
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "it has its copies");
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "and votes at once");
    one_free(s.o);
}
