/* Rosters by hand, one core event by event among servers that the test plays: readiness for each
 * arc, epochs in their order, being taken out. */
#include <criterion/criterion.h>

#include "scene.h"

#include <string.h>

/* ---- what is copied ---- */

Test(roster_hand, a_newcomer_asks_for_each_range_those_who_were_its_homes)
{
    struct scene s;
    enter(&s, PEERS);
    struct ring before = take_out(&s.r, &s.o->self.id);
    size_t all = 0;
    for (size_t i = 0; i < PEERS; i++)
        for (size_t k = 0, n = one_count(s.o, link_of(i), WIRE_n_copy); k < n; k++) {
            struct wire_n_copy q = asked(&s, i, k);
            cr_assert_eq(q.base, EPOCH - 1, "as of the epoch before");
            cr_assert(is_home(&s.r, &q.upto, &s.o->self.id), "what it is a home of now");
            cr_assert(is_home(&before, &q.upto, &s.peer[i].id), "of somebody who was one then");
            all++;
        }
    cr_assert_eq(all, 9, "three ranges, each of its three homes, not %zu", all);
    one_free(s.o);
}

Test(roster_hand, two_of_three_homes_make_an_arc_ready_and_that_one_only)
{
    struct scene s;
    enter(&s, PEERS);
    struct peal_id first = {{0}}, other = {{0}};
    uint64_t op[PEERS] = {0};
    for (size_t i = 0; i < PEERS; i++)
        for (size_t k = 0, n = one_count(s.o, link_of(i), WIRE_n_copy); k < n; k++) {
            struct wire_n_copy q = asked(&s, i, k);
            if (id_is_zero(&first))
                first = q.upto;
            if (id_eq(&q.upto, &first))
                op[i] = q.op;
            else
                other = q.upto;
        }
    cr_assert_eq(vote_code(&s, &first), PEAL_E_BUSY, "it has nothing yet");
    cr_assert_eq(set_code(&s, &first, false), PEAL_E_BUSY, "its list is not complete");
    cr_assert_eq(set_code(&s, &first, true), 0, "but what comes it stores");
    size_t answered = 0;
    for (size_t i = 0; i < PEERS; i++) {
        if (op[i] == 0)
            continue;
        cr_assert_eq(vote_code(&s, &first), answered < 2 ? PEAL_E_BUSY : 0, "after %zu", answered);
        gives(&s, i, op[i], 0);
        answered++;
    }
    cr_assert_eq(vote_code(&s, &first), 0, "it votes");
    cr_assert_eq(set_code(&s, &first, false), 0, "and lists");
    cr_assert_eq(vote_code(&s, &other), PEAL_E_BUSY, "not on what is of another arc");
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "it is not ready for everything");
    s.o = one_again(s.o, true);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    for (size_t i = 0; i < PEERS; i++)
        linked(&s, i);
    cr_assert_eq(vote_code(&s, &first), 0, "nor does it forget that");
    cr_assert_eq(vote_code(&s, &other), PEAL_E_BUSY, "or the other thing");
    one_free(s.o);
}

Test(roster_hand, who_was_never_ready_does_not_count)
{
    struct scene s;
    enter(&s, PEERS);
    for (size_t i = 0; i < PEERS; i++)
        for (size_t k = 0, n = one_count(s.o, link_of(i), WIRE_n_copy); k < n; k++)
            gives(&s, i, asked(&s, i, k).op, i == 0 ? 0 : PEAL_E_NOT_FOUND);
    for (size_t i = 0; i < s.r.n; i++)
        cr_assert(!is_home(&s.r, &s.r.members[i], &s.o->self.id) ||
                      vote_code(&s, &s.r.members[i]) == PEAL_E_BUSY,
                  "one of three is no more for the others' having nothing");
    one_free(s.o);
}

/* A restart; whoever is in s->r is linked again. */
static void restart(struct scene *s)
{
    s->o = one_again(s->o, true);
    one_event(s->o, (struct step_event){.kind = STEP_START});
    for (size_t i = 0; i < s->peers; i++)
        linked(s, i);
}

/* Of three homes two are left, whose majority is both, but one of which may lack what was decided:
 * together they vote at once, since what one lacks the other has. */
Test(roster_hand, a_smaller_home_votes_and_is_ready_when_it_has_heard_the_others_of_the_larger)
{
    struct scene s;
    enter(&s, 2);
    complete(&s);
    s.peers = 1;
    one_forget(s.o);
    s.r = take_out(&s.r, &s.peer[1].id);
    tells(&s, 0, &s.r, false);
    cr_assert_eq(chord_state(s.o->chord), CHORD_COPYING, "it is not ready");
    one_wait(s.o, STEP_US);
    cr_assert_eq(asked(&s, 0, 0).base, EPOCH, "it asks the other about the epoch before");
    for (int lives = 0; lives < 2; lives++) {
        cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "it votes");
        cr_assert_eq(set_code(&s, &s.o->self.id, false), PEAL_E_UNKNOWN,
                     "and lists, but says that something may be lacking");
        struct peal_id from = s.peer[0].id;
        cr_assert_eq(give_code(&s, 0, s.r.epoch, &from, &s.o->self.id), PEAL_E_NOT_FOUND,
                     "to who asks for everything it has nothing to give");
        if (lives == 0)
            restart(&s);
    }
    one_wait(s.o, STEP_US);
    complete(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "then it votes as before");
    cr_assert_eq(set_code(&s, &s.o->self.id, false), 0, "and lists everything");
    s.r = take_out(&s.r, &s.peer[0].id);
    tells(&s, 0, &s.r, false);
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "of two each has everything");
    one_free(s.o);
}

/* In a ring that is smaller than its homes would be, a newcomer makes them larger: of the others so
 * few can lack anything that it may as well. */
Test(roster_hand, a_newcomer_to_a_home_that_grows_votes_at_once)
{
    for (size_t peers = 1; peers <= PEERS; peers++) {
        struct scene s;
        int vote = peers < 3 ? 0 : PEAL_E_BUSY;
        enter(&s, peers);
        for (int lives = 0; lives < 2; lives++) {
            cr_assert_eq(vote_code(&s, &s.o->self.id), vote, "with %zu others", peers);
            cr_assert_eq(set_code(&s, &s.o->self.id, false), PEAL_E_BUSY, "it has no list");
            if (lives == 0)
                restart(&s);
        }
        s.r = next(&s.r);
        tells(&s, 0, &s.r, false);
        cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_BUSY,
                     "another epoch may have decided things without it");
        one_free(s.o);
    }
}

/* Who was not ready when the home shrank may lack more than is allowed for. */
Test(roster_hand, who_was_not_ready_in_the_larger_home_does_not_vote_in_the_smaller)
{
    struct scene s;
    enter(&s, 2);
    s.peers = 1;
    s.r = take_out(&s.r, &s.peer[1].id);
    tells(&s, 0, &s.r, false);
    cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_BUSY, "it had just begun to copy");
    cr_assert_eq(set_code(&s, &s.o->self.id, false), PEAL_E_BUSY, "and has no list");
    one_free(s.o);
}

/* It may become a home in an epoch that it has not heard of. */
Test(roster_hand, who_is_asked_in_a_later_epoch_gives_no_list)
{
    struct scene s;
    enter(&s, PEERS);
    complete(&s);
    size_t boxes = 0;
    for (size_t i = 0; i < s.r.n; i++) {
        struct ring now = s.r;
        struct peal_id box = s.r.members[i];
        cr_assert_eq(set_code(&s, &box, false), 0, "box %zu", i);
        s.r = next(&s.r);
        cr_assert_eq(set_code(&s, &box, false), PEAL_E_STALE, "box %zu, an epoch later", i);
        s.r = now;
        boxes += !is_home(&s.r, &box, &s.o->self.id);
    }
    cr_assert_gt(boxes, 0, "of some it is no home");
    one_free(s.o);
}

/* ---- what is read ---- */

/* The answer to a read's question for a list: nothing, and a code. */
static void lists(struct scene *s, size_t i, int code)
{
    union wire_any m;
    cr_assert_not_null(one_sent(s->o, link_of(i), WIRE_n_set_list, &m), "peer %zu is asked", i);
    struct wire_n_set_page a = {
        .epoch = s->r.epoch, .op = m.n_set_list.op, .code = (uint16_t)-code};
    one_hear(s->o, link_of(i), WIRE_n_set_page, &a);
}

/* How a read ends in a home of two that were three: this node's own list may lack something, and
 * the other says that of its own, or an error. */
static int read_in_a_smaller_home(int code)
{
    struct scene s;
    enter(&s, 2);
    complete(&s);
    s.peers = 1;
    s.r = take_out(&s.r, &s.peer[1].id);
    tells(&s, 0, &s.r, false);
    one_forget(s.o);
    size_t done = s.o->done_n;
    cr_assert_eq(one_begin_read(s.o), 0, "it begins");
    for (int t = 0; t < 40 && s.o->done_n == done; t++) {
        if (one_count(s.o, link_of(0), WIRE_n_set_list) > 0)
            lists(&s, 0, code);
        one_forget(s.o);
        one_wait(s.o, 10 * MS_US);
    }
    cr_assert_eq(s.o->done_n, done + 1, "it ends");
    int err = s.o->done_err;
    one_free(s.o);
    return err;
}

Test(roster_hand, what_two_lists_may_lack_they_do_not_lack_together)
{
    cr_assert_eq(read_in_a_smaller_home(PEAL_E_UNKNOWN), 0, "both may lack something");
    cr_assert_eq(read_in_a_smaller_home(0), 0, "the other has everything");
    cr_assert_eq(read_in_a_smaller_home(PEAL_E_BUSY), PEAL_E_UNAVAILABLE, "its own is not enough");
}

/* Homes that have just changed epochs are asked again. */
Test(roster_hand, a_read_that_meets_a_change_of_epochs_goes_on)
{
    struct scene s;
    enter(&s, 2);
    complete(&s);
    size_t done = s.o->done_n;
    one_forget(s.o);
    cr_assert_eq(one_begin_read(s.o), 0, "it begins");
    for (size_t i = 0; i < 2; i++)
        lists(&s, i, PEAL_E_STALE);
    one_forget(s.o);
    one_wait(s.o, 20 * MS_US);
    cr_assert_eq(s.o->done_n, done, "it has not ended");
    for (size_t i = 0; i < 2; i++)
        lists(&s, i, 0);
    one_wait(s.o, MS_US);
    cr_assert_eq(s.o->done_n, done + 1, "it ends");
    cr_assert_eq(s.o->done_err, 0, "well");
    one_free(s.o);
}

Test(roster_hand, of_a_removal_it_copies_only_what_it_was_no_home_of)
{
    for (size_t gone = 0; gone < PEERS; gone++) {
        struct scene s;
        enter(&s, PEERS);
        complete(&s);
        struct ring was = s.r;
        s.r = take_out(&s.r, &s.peer[gone].id);
        s.peers = gone; /* those before it answer */
        one_forget(s.o);
        tells(&s, gone == 0 ? 1 : 0, &s.r, false);
        one_wait(s.o, STEP_US);
        size_t got = 0;
        for (size_t i = 0; i < PEERS; i++)
            for (size_t k = 0, n = one_count(s.o, link_of(i), WIRE_n_copy); k < n; k++) {
                struct wire_n_copy q = asked(&s, i, k);
                cr_assert(!is_home(&was, &q.upto, &s.o->self.id), "it has that already");
                cr_assert(is_home(&s.r, &q.upto, &s.o->self.id), "it is no home of that");
                cr_assert(is_home(&was, &q.upto, &s.peer[i].id), "nor was the other");
                got++;
            }
        size_t new = 0;
        for (size_t i = 0; i < was.n; i++)
            new += !is_home(&was, &was.members[i], &s.o->self.id) &&
                   is_home(&s.r, &was.members[i], &s.o->self.id);
        cr_assert_eq(new == 0, got == 0, "%zu ranges are new, and %zu were asked for", new, got);
        cr_assert_eq(new == 0, chord_state(s.o->chord) == CHORD_MEMBER, "ready or not");
        /* two arcs become one, for which it is ready when it was for both */
        struct peal_id merged = home_at(&s.r, &s.peer[gone].id, 0);
        for (size_t i = 0; i < was.n; i++)
            if (is_home(&was, &was.members[i], &s.o->self.id) && !id_eq(&was.members[i], &merged) &&
                !id_eq(&was.members[i], &s.peer[gone].id))
                cr_assert_eq(vote_code(&s, &was.members[i]), 0, "what it had goes on");
        one_free(s.o);
    }
}

/* ---- what is given ---- */

Test(roster_hand, it_gives_what_it_was_ready_for_when_it_was)
{
    struct scene s;
    enter(&s, 3);
    struct peal_id from = s.r.members[0], upto = s.r.members[1];
    bool home = is_home(&s.r, &upto, &s.o->self.id);
    cr_assert_eq(give_code(&s, 0, EPOCH, &from, &upto), PEAL_E_NOT_FOUND, "it has nothing yet");
    complete(&s);
    cr_assert_eq(give_code(&s, 0, EPOCH, &from, &upto), home ? 0 : PEAL_E_NOT_FOUND,
                 "it has what it is a home of");
    cr_assert_eq(give_code(&s, 0, EPOCH - 1, &from, &upto), PEAL_E_NOT_FOUND,
                 "it was not there then");
    struct ring was = s.r;
    s.r = next(&s.r); /* another server, with which all homes may be others */
    put_in(&s.r, &s.peer[3].id);
    for (size_t i = 0; i < was.n; i++) {
        struct peal_id a = was.members[(i + was.n - 1) % was.n], b = was.members[i];
        cr_assert_eq(give_code(&s, 0, EPOCH, &a, &b),
                     is_home(&was, &b, &s.o->self.id) ? 0 : PEAL_E_NOT_FOUND,
                     "range %zu of the epoch that is over", i);
    }
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "it has adopted it, and lacks nothing");
    s.r.epoch--;
    cr_assert_eq(give_code(&s, 0, EPOCH, &from, &upto), PEAL_E_STALE, "not in the old one");
    s.r.epoch++;
    cr_assert_eq(give_code(&s, 0, EPOCH + 9, &from, &upto), PEAL_E_NOT_FOUND, "nor in one to come");
    one_free(s.o);
}

Test(roster_hand, a_cursor_that_is_none_closes_the_link)
{
    static const char *const bad[] = {"\x01", "\x09\x01", "\x01\x07", "\x02\x02key"};
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        struct scene s;
        enter(&s, 2);
        struct wire_n_copy q = {.roster = shown(&s.r),
                                .base = EPOCH,
                                .upto = s.r.members[0],
                                .op = 7,
                                .cursor = peal_bytes_str(bad[i])};
        one_forget(s.o);
        one_hear(s.o, LINK, WIRE_n_copy, &q);
        const struct one_said *c = one_find(s.o, STEP_CLOSE, 0, NULL);
        cr_assert(c != NULL && c->err == PEAL_E_MALFORMED, "cursor %zu", i);
        one_free(s.o);
    }
}

/* ---- epochs in their order ---- */

Test(roster_hand, epochs_are_adopted_one_after_the_other)
{
    struct scene s;
    union wire_any m;
    enter(&s, 3);
    complete(&s);
    struct ring second = next(&s.r), third = next(&second);
    put_in(&second, &s.peer[3].id);
    third = next(&second);
    one_forget(s.o);
    tells(&s, 0, &third, false);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "it is where it was");
    tells(&s, 0, &third, false);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_state, &m), "and says where that is");
    cr_assert_eq(m.n_state.state.epoch, EPOCH, "there");
    tells(&s, 0, &second, false);
    tells(&s, 0, &third, false);
    s.r = third;
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "it has gone through both, and lacks nothing");
    one_free(s.o);
}

Test(roster_hand, what_nobody_remembers_is_skipped_and_copied_anew)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    struct ring later = s.r;
    later.epoch += 4; /* one was taken out, perhaps, and has come back */
    tells(&s, 0, &later, true);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "another may remember more");
    pass(&s, 3500 * MS_US);
    tells(&s, 0, &later, true);
    s.r = later;
    cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_BUSY, "it cannot know what it lacks");
    complete(&s);
    one_free(s.o);
}

Test(roster_hand, who_was_away_is_told_what_follows_on_its_own)
{
    struct scene s;
    union wire_any m;
    enter(&s, 3);
    complete(&s);
    struct ring second = next(&s.r), third;
    put_in(&second, &s.peer[3].id);
    third = next(&second);
    tells(&s, 0, &second, false);
    tells(&s, 0, &third, false);
    one_forget(s.o);
    says(&s, 1); /* it is where this node was */
    cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster, &m), "it is told");
    cr_assert_eq(m.n_roster.roster.epoch, EPOCH + 1, "the next");
    cr_assert_not(m.n_roster.skips, "which follows at once");
    s.r.epoch = 2;
    one_forget(s.o);
    says(&s, 1);
    cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster, &m), "it is told");
    cr_assert(m.n_roster.skips && m.n_roster.roster.epoch == EPOCH + 2,
              "what this node never knew it cannot tell");
    one_free(s.o);
}

/* ---- taken out ---- */

Test(roster_hand, who_was_taken_out_votes_on_nothing_and_asks_as_a_new_one)
{
    struct scene s;
    union wire_any m;
    enter(&s, 3);
    complete(&s);
    struct peal_id box = s.o->self.id;
    cr_assert_eq(set_code(&s, &box, true), 0, "it holds a row");
    cr_assert_eq(vote_code(&s, &box), 0, "and a register");
    struct ring without = take_out(&s.r, &s.o->self.id);
    one_forget(s.o);
    tells(&s, 0, &without, false);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it asks");
    s.r = without;
    for (int t = 0; t < 40 && one_sent(s.o, LINK, WIRE_n_admit, &m) == NULL; t++) {
        says(&s, 0);
        one_wait(s.o, STEP_US);
    }
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_admit, &m), "it asks");
    cr_assert_eq(m.n_admit.lost, 0, "as a new one");
    cr_assert_neq(vote_code(&s, &box), 0, "it votes on nothing");
    uint64_t rows = 0, regs = 0;
    cr_assert_eq(
        store_count(s.o->store, STORE_ROWS, (struct peal_bytes){0}, (struct peal_bytes){0}, &rows),
        0, "counted");
    cr_assert_eq(store_count(s.o->store, STORE_REGISTERS, (struct peal_bytes){0},
                             (struct peal_bytes){0}, &regs),
                 0, "counted");
    cr_assert(rows == 1 && regs == 1, "what it had is on its disk");
    one_free(s.o);
}

Test(roster_hand, an_old_copy_is_knowledge_whatever_was_promised_and_never_a_step_back)
{
    struct scene s;
    union wire_any m;
    enter(&s, 3);
    complete(&s);
    struct peal_id key = s.o->self.id;
    cr_assert_eq(vote_code(&s, &key), 0, "it has promised a ballot of this epoch");
    static const char *const value[] = {"decided", "earlier"};
    for (uint64_t i = 0; i < 2; i++) {
        struct wire_record v = {.key = key,
                                .accepted = {.round = (4 - i) << ROUND_BITS | 1},
                                .value = peal_bytes_str(value[i])};
        struct wire_n_records g = {.ring = RING, .epoch = EPOCH, .records = {.v = &v, .n = 1}};
        one_hear(s.o, LINK, WIRE_n_records, &g);
        cr_assert_eq(vote_code(&s, &key), 0, "it promises more");
        cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_promise, &m), "and says");
        cr_assert(peal_bytes_eq(m.n_reg_promise.value, peal_bytes_str("decided")),
                  "what an older epoch decided, and nothing that is older still");
    }
    one_free(s.o);
}

/* This node and a peer hold the same ballot of the epoch; whether a read is content with that. */
static bool read_is_settled_by(uint64_t epoch)
{
    struct scene s;
    union wire_any m;
    enter(&s, 2);
    complete(&s);
    struct wire_ballot b = {.round = epoch << ROUND_BITS | 1, .node = {{0, 1}}};
    struct wire_record v = {.key = s.o->self.id, .accepted = b, .value = peal_bytes_str("copied")};
    struct wire_n_records g = {.ring = RING, .epoch = EPOCH, .records = {.v = &v, .n = 1}};
    one_hear(s.o, LINK, WIRE_n_records, &g);
    one_forget(s.o);
    s.o->want = 0;
    size_t before = s.o->done_n;
    cr_assert_eq(one_begin_change(s.o), 0, "it reads");
    bool settled = false, written = false;
    for (int t = 0; t < 20 && !settled && !written; t++) {
        if (one_sent(s.o, LINK, WIRE_n_reg_prepare, &m) != NULL) {
            struct wire_n_reg_promise a = {.epoch = EPOCH,
                                           .op = m.n_reg_prepare.op,
                                           .ballot = m.n_reg_prepare.ballot,
                                           .promised = m.n_reg_prepare.ballot,
                                           .accepted = b,
                                           .value = v.value};
            one_forget(s.o);
            one_hear(s.o, LINK, WIRE_n_reg_promise, &a);
        }
        settled = s.o->done_n > before;
        if (settled)
            cr_assert_eq(s.o->done_err, 0, "it ends well");
        written = one_sent(s.o, LINK, WIRE_n_reg_accept, &m) != NULL;
        if (written)
            cr_assert(peal_bytes_eq(m.n_reg_accept.value, v.value), "what it has read");
        one_wait(s.o, 10 * MS_US);
    }
    cr_assert_neq(settled, written, "the one or the other");
    one_free(s.o);
    return settled;
}

Test(roster_hand, copies_from_an_older_epoch_are_no_majority)
{
    cr_assert_not(read_is_settled_by(EPOCH - 1), "one may have accepted it, and one copied it");
    cr_assert(read_is_settled_by(EPOCH), "both have accepted it");
}

/* A promise to a proposer that died keeps it from taking the others' copy, which repair would offer
 * it for ever. */
Test(roster_hand, a_register_that_a_promise_keeps_behind_is_written_anew)
{
    struct scene s;
    union wire_any m;
    enter(&s, 2);
    complete(&s);
    struct peal_id key = s.o->self.id;
    cr_assert_eq(vote_code(&s, &key), 0, "promised");
    struct wire_record v = {.key = key,
                            .accepted = {.round = (uint64_t)EPOCH << ROUND_BITS | 1},
                            .value = peal_bytes_str("late")};
    cr_assert_eq(vote_code(&s, &key), 0, "promised again");
    struct wire_n_records g = {.ring = RING, .epoch = EPOCH, .records = {.v = &v, .n = 1}};
    one_forget(s.o);
    one_hear(s.o, LINK, WIRE_n_records, &g);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, &m), "it reads the register");
    cr_assert(id_eq(&m.n_reg_prepare.key, &key), "that one");
    for (int t = 0; t < 20 && one_sent(s.o, LINK, WIRE_n_reg_accept, &m) == NULL; t++) {
        if (one_sent(s.o, LINK, WIRE_n_reg_prepare, &m) != NULL) {
            struct wire_n_reg_promise a = {.epoch = EPOCH,
                                           .op = m.n_reg_prepare.op,
                                           .ballot = m.n_reg_prepare.ballot,
                                           .promised = m.n_reg_prepare.ballot,
                                           .accepted = v.accepted,
                                           .value = v.value};
            one_forget(s.o);
            one_hear(s.o, LINK, WIRE_n_reg_promise, &a);
        }
        if (one_sent(s.o, LINK, WIRE_n_reg_accept, &m) == NULL)
            one_wait(s.o, 10 * MS_US);
    }
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_accept, &m), "and writes");
    cr_assert(peal_bytes_eq(m.n_reg_accept.value, v.value), "what the others have");
    one_free(s.o);
}

/* ---- the proposer ---- */

/* This node wins an election among those that are there. */
static void wins(struct scene *s)
{
    struct wire_r_elect stand = {.hops = 1}, back = {.candidate = s->o->self.id, .hops = 2};
    one_hear(s->o, LINK, WIRE_r_elect, &stand);
    one_hear(s->o, LINK, WIRE_r_elect, &back);
    pass(s, 2 * STEP_US);
}

/* Peer i, which has lost its state in s->r's epoch, asks to be renewed. */
static void asks_to_be_renewed(struct scene *s, size_t i)
{
    struct wire_n_state none = {.size = 0};
    struct wire_n_admit m = {.contact = one_contact(&s->peer[i]), .lost = s->r.epoch};
    one_hear(s->o, link_of(i), WIRE_n_state, &none);
    one_hear(s->o, link_of(i), WIRE_n_admit, &m);
}

/* Peer i promises what it was asked for last, having accepted `seen` by a ballot (NULL: nothing).
 */
static void promises(struct scene *s, size_t i, struct ring *seen)
{
    union wire_any m;
    cr_assert_not_null(one_sent(s->o, link_of(i), WIRE_n_roster_prepare, &m), "%zu is asked", i);
    struct wire_n_roster_promise a = {.epoch = m.n_roster_prepare.epoch,
                                      .ballot = m.n_roster_prepare.ballot,
                                      .promised = m.n_roster_prepare.ballot};
    if (seen != NULL) {
        a.accepted = (struct wire_ballot){.round = 1, .node = {{0, 1}}};
        a.roster = shown(seen);
    }
    one_hear(s->o, link_of(i), WIRE_n_roster_promise, &a);
}

static void accepts(struct scene *s, size_t i)
{
    union wire_any m;
    cr_assert_not_null(one_sent(s->o, link_of(i), WIRE_n_roster_accept, &m), "%zu is asked", i);
    struct wire_n_roster_accepted a = {.epoch = m.n_roster_accept.epoch,
                                       .ballot = m.n_roster_accept.ballot,
                                       .promised = m.n_roster_accept.ballot};
    one_hear(s->o, link_of(i), WIRE_n_roster_accepted, &a);
}

static bool has_adopted(struct scene *s, uint64_t epoch)
{
    uint64_t was = s->r.epoch;
    s->r.epoch = epoch;
    int code = vote_code(s, &s->o->self.id);
    s->r.epoch = was;
    return code != PEAL_E_STALE;
}

/* Of five servers, this one (P) renews peer 3 (X) by a low ballot, while peer 0 (A), which it does
 * not hear, has been promised a higher one by X before X lost its state, and by peer 1 after it had
 * promised P's. A's majority {A, X, 1} has seen nothing accepted. Were P's value decided by X, P
 * and 2, A could have its own decided by A, 1 and 2. */
Test(roster_hand, the_vote_of_who_is_renewed_does_not_make_a_majority)
{
    struct scene s;
    enter(&s, PEERS);
    complete(&s);
    wins(&s);
    s.peers = 3;
    asks_to_be_renewed(&s, 3);
    promises(&s, 1, NULL);
    promises(&s, 2, NULL);
    accepts(&s, 3);
    accepts(&s, 2);
    cr_assert_not(has_adopted(&s, EPOCH + 1), "X, this one and 2 are not enough");
    one_free(s.o);
}

Test(roster_hand, enough_of_the_others_decide_a_renewal)
{
    struct scene s;
    enter(&s, PEERS);
    complete(&s);
    wins(&s);
    s.peers = 3;
    asks_to_be_renewed(&s, 3);
    promises(&s, 1, NULL);
    promises(&s, 2, NULL);
    accepts(&s, 3);
    accepts(&s, 2);
    accepts(&s, 1);
    cr_assert(has_adopted(&s, EPOCH + 1), "it is decided");
    one_free(s.o);
}

/* Another coordinator, that did not see this node, has had one member accept its removal; this one
 * is the coordinator now, and must bring that to its end, which takes it out. */
Test(roster_hand, a_coordinator_may_have_to_take_itself_out)
{
    struct scene s;
    union wire_any m;
    enter(&s, PEERS);
    complete(&s);
    wins(&s);
    struct ring without = take_out(&s.r, &s.o->self.id);
    s.peers = 3;
    asks_to_be_renewed(&s, 3); /* whatever it is that is proposed */
    promises(&s, 0, &without);
    promises(&s, 1, NULL);
    promises(&s, 2, NULL);
    for (size_t i = 0; i < 3; i++)
        accepts(&s, i);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it is out");
    cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster, &m), "the others are told");
    cr_assert_eq(m.n_roster.roster.epoch, EPOCH + 1, "what is decided");
    one_free(s.o);
}

/* ---- a ring of one that is none any more ---- */

/* A backup of the time when it was alone is restored (the host takes the mark away from a server
 * whose roster names it only); it hears of what came afterwards. Only it could have decided that:
 * it has forgotten what it promised since. */
Test(roster_hand, a_ring_of_one_that_hears_of_a_later_epoch_has_lost_its_state)
{
    struct scene s = {.o = one_new(1, false, NULL), .peers = 1, .r.epoch = 2};
    struct one *o = s.o;
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 100 * MS_US);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "it is alone");
    s.peer[0] = one_peer(50);
    struct peal_id members[2] = {o->self.id, s.peer[0].id};
    if (id_cmp(&members[0], &members[1]) > 0) {
        members[0] = s.peer[0].id;
        members[1] = o->self.id;
    }
    struct wire_roster w = {
        .ring = o->self.id, .epoch = 2, .replicas = 2, .members = {.v = members, .n = 2}};
    struct wire_n_roster told = {.roster = w};
    one_link(o, LINK, &s.peer[0], false);
    one_hello(o, LINK, &s.peer[0], &w);
    one_hear(o, LINK, WIRE_n_roster, &told);
    one_wait(o, 2 * STEP_US);
    cr_assert_eq(chord_state(o->chord), CHORD_ASKING, "it is to be renewed");
    one_free(o);
}

/* ---- members that are not sound ---- */

/* Of five servers, a register whose homes are three others. */
static struct peal_id elsewhere(struct scene *s)
{
    size_t i = 0;
    while (i < s->r.n && is_home(&s->r, &s->r.members[i], &s->o->self.id))
        i++;
    cr_assert_lt(i, s->r.n, "there is one");
    return s->r.members[i];
}

/* All of its homes answer what they are asked of it: they refuse, having promised that ballot; or
 * promise, having accepted it. Whether any was asked. */
static bool homes_answer(struct scene *s, const struct peal_id *key, bool refuse,
                         struct wire_ballot b)
{
    bool any = false;
    for (size_t i = 0; i < PEERS; i++) {
        union wire_any m;
        if (one_sent(s->o, link_of(i), WIRE_n_reg_prepare, &m) == NULL ||
            !id_eq(&m.n_reg_prepare.key, key))
            continue;
        struct wire_n_reg_promise a = {
            .epoch = EPOCH, .op = m.n_reg_prepare.op, .ballot = m.n_reg_prepare.ballot};
        a.promised = refuse ? b : a.ballot;
        a.code = refuse ? (uint16_t)-PEAL_E_REFUSED : 0;
        if (!refuse)
            a.accepted = b;
        one_hear(s->o, link_of(i), WIRE_n_reg_promise, &a);
        any = true;
    }
    return any;
}

Test(roster_hand, who_promises_less_than_it_has_accepted_is_not_believed)
{
    struct scene s;
    enter(&s, PEERS);
    complete(&s);
    struct peal_id key = elsewhere(&s);
    one_forget(s.o);
    cr_assert_eq(one_change(s.o, &key, 0), 1, "it asks, and waits");
    bool any = homes_answer(
        &s, &key, false,
        (struct wire_ballot){.round = ((uint64_t)EPOCH << ROUND_BITS) | 1 << 20, .node = {{0xff}}});
    cr_assert(any, "it was asked");
    one_free(s.o);
}

Test(roster_hand, who_has_promised_the_last_ballot_is_believed_of_its_register_only)
{
    struct scene s;
    enter(&s, PEERS);
    complete(&s);
    struct peal_id key = elsewhere(&s);
    union wire_any m;
    struct wire_ballot last = {.round = ((uint64_t)EPOCH + 1) << ROUND_BITS, .node = {{0xff}}};
    last.round -= 2;
    one_forget(s.o);
    cr_assert_eq(one_change(s.o, &key, 'a'), 1, "it asks, and waits");
    for (int i = 0; i < 4; i++) {
        (void)homes_answer(&s, &key, true, last);
        one_forget(s.o);
        one_wait(s.o, STEP_US);
    }
    one_forget(s.o);
    (void)one_change(s.o, &s.o->self.id, 'b');
    bool asked_other = false;
    for (size_t i = 0; i < PEERS && !asked_other; i++)
        asked_other = one_sent(s.o, link_of(i), WIRE_n_reg_prepare, &m) != NULL &&
                      id_eq(&m.n_reg_prepare.key, &s.o->self.id);
    cr_assert(asked_other, "another register's homes are asked");
    one_free(s.o);
}

/* What peer 0 says with such rounds, and whether its link is closed for it. */
static bool closes_for(struct scene *s, uint16_t type, void *msg)
{
    one_forget(s->o);
    one_hear(s->o, LINK, type, msg);
    const struct one_said *c = one_find(s->o, STEP_CLOSE, 0, NULL);
    return c != NULL && c->link == LINK && c->err == PEAL_E_MALFORMED;
}

enum { ROSTER_ROUND_BITS = 48 };

enum said { PREPARES, PROMISED, HAS_ACCEPTED, ACCEPTS, REFUSES, SAIDS };

static bool round_closes(enum said said, uint64_t round, bool *promised)
{
    struct scene s;
    union wire_any m;
    struct wire_ballot b = {.round = round, .node = {{0, 1}}};
    enter(&s, PEERS);
    complete(&s);
    struct ring then = next(&s.r);
    struct wire_n_roster_prepare p = {.epoch = then.epoch, .ballot = b, .base = shown(&s.r)};
    struct wire_n_roster_accept a = {.epoch = then.epoch, .ballot = b, .roster = shown(&then)};
    struct wire_n_roster_promise no = {
        .epoch = then.epoch, .code = (uint16_t)-PEAL_E_REFUSED, .promised = b};
    struct wire_n_roster_promise has = {.epoch = then.epoch, .accepted = b, .roster = shown(&then)};
    struct wire_n_roster_accepted nor = {
        .epoch = then.epoch, .code = (uint16_t)-PEAL_E_REFUSED, .promised = b};
    bool closed = false;
    switch (said) {
    case PREPARES:
        closed = closes_for(&s, WIRE_n_roster_prepare, &p);
        break;
    case PROMISED:
        closed = closes_for(&s, WIRE_n_roster_promise, &no);
        break;
    case HAS_ACCEPTED:
        closed = closes_for(&s, WIRE_n_roster_promise, &has);
        break;
    case ACCEPTS:
        closed = closes_for(&s, WIRE_n_roster_accept, &a);
        break;
    case REFUSES:
    case SAIDS:
        closed = closes_for(&s, WIRE_n_roster_accepted, &nor);
        break;
    }
    if (promised != NULL) { /* another proposer counts from the beginning */
        one_forget(s.o);
        p.ballot.round = 1;
        one_hear(s.o, link_of(1), WIRE_n_roster_prepare, &p);
        cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster_promise, &m), "it answers");
        *promised = m.n_roster_promise.code == 0;
    }
    one_free(s.o);
    return closed;
}

Test(roster_hand, a_round_that_nobody_comes_to_by_counting_closes_the_link)
{
    static const uint64_t rounds[] = {UINT64_MAX, UINT64_MAX / 2, 1ull << ROSTER_ROUND_BITS};
    for (enum said i = 0; i < SAIDS; i++) {
        for (size_t k = 0; k < PEAL_COUNT(rounds); k++)
            cr_assert(round_closes(i, rounds[k], NULL), "message %d, round %zu", (int)i, k);
        cr_assert_not(round_closes(i, rounds[2] - 1, NULL), "the last one, message %d", (int)i);
    }
    for (enum said i = 0; i < SAIDS; i += ACCEPTS) {
        bool promised = false;
        cr_assert(round_closes(i, UINT64_MAX, &promised) && promised, "nor is it kept");
    }
}

/* Peers that have promised nearly all rounds of this epoch, whether they have or only say so, do
 * not keep the coordinator from proposing, in this epoch or the next. */
Test(roster_hand, rounds_go_on_above_what_was_promised_and_begin_anew_in_each_epoch)
{
    struct scene s;
    union wire_any m;
    enter(&s, PEERS);
    complete(&s);
    wins(&s);
    uint64_t far = (1ull << (ROSTER_ROUND_BITS - 1)) + 7, last = 0;
    struct wire_n_roster_prepare p = {
        .epoch = EPOCH + 1, .ballot = {.round = far, .node = {{0xff}}}, .base = shown(&s.r)};
    one_hear(s.o, LINK, WIRE_n_roster_prepare, &p);
    s.peers = 3;
    asks_to_be_renewed(&s, 3);
    cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster_prepare, &m), "it proposes");
    cr_assert_eq(m.n_roster_prepare.ballot.round, far + 1, "above what it has promised");
    last = (1ull << ROSTER_ROUND_BITS) - 1;
    struct wire_n_roster_promise no = {.epoch = EPOCH + 1,
                                       .ballot = m.n_roster_prepare.ballot,
                                       .code = (uint16_t)-PEAL_E_REFUSED,
                                       .promised = {.round = last, .node = {{0xff}}}};
    one_forget(s.o);
    one_hear(s.o, LINK, WIRE_n_roster_promise, &no);
    pass(&s, 2 * STEP_US);
    cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster_prepare, &m), "and again");
    cr_assert_eq(m.n_roster_prepare.ballot.round, far + 2, "it counts on");
    s.r = next(&s.r);
    tells(&s, 0, &s.r, false);
    for (size_t i = 0; i < 3; i++)
        says(&s, i);
    one_forget(s.o);
    asks_to_be_renewed(&s, 3);
    for (int t = 0; t < 40 && one_sent(s.o, link_of(1), WIRE_n_roster_prepare, &m) == NULL; t++)
        pass(&s, STEP_US);
    cr_assert_not_null(one_sent(s.o, link_of(1), WIRE_n_roster_prepare, &m), "of the next epoch");
    cr_assert_eq(m.n_roster_prepare.ballot.round, 1, "it begins anew");
    one_free(s.o);
}

/* A copy of a register with a ballot of that epoch, as a record of repair, or on a page that is
 * copied, from one who is in that epoch; whether the link was closed for it, and whether a vote on
 * the register is possible all the same. */
static bool copy_closes(bool page, uint64_t of, uint64_t in, bool *votes)
{
    struct scene s;
    enter(&s, PEERS);
    struct wire_record v = {.key = s.o->self.id,
                            .accepted = {.round = of << ROUND_BITS | 1, .node = {{0, 1}}},
                            .value = peal_bytes_str("from nowhere")};
    struct wire_n_records g = {.ring = RING, .epoch = in, .records = {.v = &v, .n = 1}};
    struct wire_n_copy_page p = {.epoch = in, .records = {.v = &v, .n = 1}};
    bool closed = false;
    if (page) {
        p.op = asked(&s, 0, 0).op;
        closed = closes_for(&s, WIRE_n_copy_page, &p);
    } else {
        closed = closes_for(&s, WIRE_n_records, &g);
    }
    if (closed)
        linked(&s, 0);
    complete(&s);
    *votes = vote_code(&s, &s.o->self.id) == 0;
    one_free(s.o);
    return closed;
}

Test(roster_hand, a_copy_from_an_epoch_to_come_closes_the_link_and_is_not_kept)
{
    static const uint64_t later[] = {EPOCH + 1, (1u << 23) - 1, UINT64_MAX >> ROUND_BITS};
    bool votes = false;
    for (int page = 0; page < 2; page++) {
        for (size_t i = 0; i < PEAL_COUNT(later); i++) {
            cr_assert(copy_closes(page, later[i], EPOCH, &votes), "of epoch %d", (int)later[i]);
            cr_assert(votes, "no ballot of this epoch would outdo it");
        }
        cr_assert_not(copy_closes(page, EPOCH, EPOCH, &votes) || !votes, "of this one");
    }
    cr_assert_not(copy_closes(false, EPOCH + 1, EPOCH + 1, &votes), "this node may be behind");
    cr_assert(votes, "but it keeps nothing of what it cannot know");
}
