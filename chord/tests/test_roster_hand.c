/* Rosters by hand, one core event by event among servers that the test plays: readiness for each
 * arc, epochs in their order, removal, renewal. Peer i is linked over LINK + i. */
#include <criterion/criterion.h>

#include "one.h"

#include <string.h>

enum {
    LINK = 7,
    PEERS = 4,
    ROUND_BITS = 40,
    MS_US = 1000,
    STEP_US = 50 * MS_US,
    EPOCH = 5, /* in which this node is admitted */
};

struct ring { /* owns what a wire_roster shows */
    uint64_t epoch;
    size_t n;
    struct peal_id members[PEERS + 2];
};

struct scene {
    struct one *o;
    struct one_peer peer[PEERS];
    size_t peers;
    struct ring r;
};

static const struct peal_id RING = {{0xcc, 1}};

static struct wire_roster shown(struct ring *r)
{
    return (struct wire_roster){
        .ring = RING, .epoch = r->epoch, .replicas = 2, .members = {.v = r->members, .n = r->n}};
}

static void put_in(struct ring *r, const struct peal_id *id)
{
    size_t at = r->n++;
    for (; at > 0 && id_cmp(&r->members[at - 1], id) > 0; at--)
        r->members[at] = r->members[at - 1];
    r->members[at] = *id;
}

static struct ring take_out(const struct ring *r, const struct peal_id *id)
{
    struct ring v = {.epoch = r->epoch + 1};
    for (size_t i = 0; i < r->n; i++)
        if (!id_eq(&r->members[i], id))
            v.members[v.n++] = r->members[i];
    return v;
}

static struct ring next(const struct ring *r)
{
    struct ring v = *r;
    v.epoch++;
    return v;
}

static uint32_t link_of(size_t i)
{
    return (uint32_t)(LINK + i);
}

static void says(struct scene *s, size_t i)
{
    struct wire_n_state m = {.ring = RING,
                             .size = (uint32_t)s->r.n,
                             .state = {.epoch = s->r.epoch, .ready_epoch = s->r.epoch}};
    one_hear(s->o, link_of(i), WIRE_n_state, &m);
}

static void tells(struct scene *s, size_t i, struct ring *r, bool skips)
{
    struct wire_n_roster m = {.roster = shown(r), .skips = skips};
    one_hear(s->o, link_of(i), WIRE_n_roster, &m);
}

static int accept_code(struct scene *s, struct ring *r, bool newcomer, bool lost)
{
    union wire_any m;
    struct wire_n_roster_accept a = {
        .epoch = r->epoch, .ballot = {.round = 9, .node = s->peer[0].id}, .roster = shown(r)};
    if (newcomer)
        a.newcomer = s->o->self.id;
    if (lost)
        a.lost = s->o->self.id;
    one_forget(s->o);
    one_hear(s->o, LINK, WIRE_n_roster_accept, &a);
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_roster_accepted, &m), "it answers");
    return -(int)m.n_roster_accepted.code;
}

static int vote_code(struct scene *s, const struct peal_id *key)
{
    static uint64_t count;
    union wire_any m;
    struct wire_n_reg_prepare q = {
        .ring = RING,
        .epoch = s->r.epoch,
        .op = 5,
        .key = *key,
        .ballot = {.round = s->r.epoch << ROUND_BITS | ++count, .node = s->peer[0].id}};
    one_forget(s->o);
    one_hear(s->o, LINK, WIRE_n_reg_prepare, &q);
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_reg_promise, &m), "it answers");
    return -(int)m.n_reg_promise.code;
}

static void linked(struct scene *s, size_t i)
{
    struct wire_roster w = shown(&s->r);
    one_link(s->o, link_of(i), &s->peer[i], false);
    one_hello(s->o, link_of(i), &s->peer[i], &w);
    says(s, i);
}

static void begin(struct scene *s, size_t peers)
{
    *s = (struct scene){.o = one_new(1, true, NULL), .peers = peers, .r.epoch = EPOCH};
    put_in(&s->r, &s->o->self.id);
    for (size_t i = 0; i < PEERS; i++)
        s->peer[i] = one_peer((uint8_t)(50 + i));
    for (size_t i = 0; i < peers; i++)
        put_in(&s->r, &s->peer[i].id);
    one_event(s->o, (struct step_event){.kind = STEP_START});
}

/* In the ring with all of them, as a newcomer that copies. */
static void enter(struct scene *s, size_t peers)
{
    begin(s, peers);
    struct ring before = take_out(&s->r, &s->o->self.id), now = s->r;
    before.epoch = EPOCH - 1;
    s->r = before;
    for (size_t i = 0; i < peers; i++)
        linked(s, i);
    s->r = now;
    cr_assert_eq(accept_code(s, &s->r, true, false), 0, "it accepts its admission");
    one_forget(s->o);
    tells(s, 0, &s->r, false);
    for (size_t i = 0; i < peers; i++)
        says(s, i);
    cr_assert_eq(chord_state(s->o->chord), CHORD_COPYING, "it is admitted");
    one_wait(s->o, STEP_US);
}

/* What one_nth shows is valid until the next. */
static struct wire_n_copy asked(struct scene *s, size_t i, size_t k)
{
    union wire_any m;
    cr_assert_not_null(one_nth(s->o, link_of(i), WIRE_n_copy, k, &m), "it was asked");
    return m.n_copy;
}

static void gives(struct scene *s, size_t i, uint64_t op, int code)
{
    struct wire_n_copy_page a = {.epoch = s->r.epoch, .op = op, .code = (uint16_t)-code};
    one_hear(s->o, link_of(i), WIRE_n_copy_page, &a);
}

/* Time goes on, and all of them are there. */
static void pass(struct scene *s, uint64_t us)
{
    for (uint64_t t = 0; t < us; t += STEP_US) {
        for (size_t i = 0; i < s->peers; i++)
            says(s, i);
        one_wait(s->o, STEP_US);
    }
}

/* All that was asked of everyone is given. */
static void complete(struct scene *s)
{
    for (int t = 0; t < 60 && chord_state(s->o->chord) == CHORD_COPYING; t++) {
        for (size_t i = 0; i < s->peers; i++)
            for (size_t k = 0, n = one_count(s->o, link_of(i), WIRE_n_copy); k < n; k++)
                gives(s, i, asked(s, i, k).op, 0);
        one_forget(s->o);
        for (size_t i = 0; i < s->peers; i++)
            says(s, i);
        one_wait(s->o, STEP_US);
    }
    cr_assert_eq(chord_state(s->o->chord), CHORD_MEMBER, "it has its copies");
}

static struct peal_id home_at(const struct ring *r, const struct peal_id *key, size_t i)
{
    size_t at = 0;
    while (at < r->n && id_cmp(&r->members[at], key) < 0)
        at++;
    return r->members[(at + i) % r->n];
}

static bool is_home(const struct ring *r, const struct peal_id *key, const struct peal_id *id)
{
    for (size_t i = 0; i < 3 && i < r->n; i++) {
        struct peal_id h = home_at(r, key, i);
        if (id_eq(&h, id))
            return true;
    }
    return false;
}

static int set_code(struct scene *s, const struct peal_id *box, bool put)
{
    union wire_any m;
    struct wire_n_set_put p = {
        .epoch = s->r.epoch, .op = 6, .row = {.box = *box, .id = {{1}}, .kind = WIRE_ROW_MESSAGE}};
    struct wire_n_set_list l = {.epoch = s->r.epoch, .op = 6, .box = *box, .ids_only = true};
    one_forget(s->o);
    if (put)
        one_hear(s->o, LINK, WIRE_n_set_put, &p);
    else
        one_hear(s->o, LINK, WIRE_n_set_list, &l);
    if (put) {
        cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_set_ok, &m), "it answers");
        return -(int)m.n_set_ok.code;
    }
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_set_page, &m), "it answers");
    return -(int)m.n_set_page.code;
}

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

/* Of three homes two are left, whose majority is both, but one of which may lack what was decided.
 */
Test(roster_hand, a_smaller_home_is_ready_when_it_has_heard_the_others_of_the_larger)
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
    cr_assert_eq(vote_code(&s, &s.o->self.id), PEAL_E_BUSY, "and does not vote");
    complete(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "then it does");
    s.r = take_out(&s.r, &s.peer[0].id);
    tells(&s, 0, &s.r, false);
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "of two each has everything");
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

static int give_code(struct scene *s, size_t to, uint64_t base, const struct peal_id *from,
                     const struct peal_id *upto)
{
    union wire_any m;
    struct wire_n_copy q = {
        .roster = shown(&s->r), .base = base, .from = *from, .upto = *upto, .op = 77};
    one_forget(s->o);
    one_hear(s->o, link_of(to), WIRE_n_copy, &q);
    const struct one_said *said = one_sent(s->o, link_of(to), WIRE_n_copy_page, &m);
    cr_assert_not_null(said, "it answers");
    cr_assert(m.n_copy_page.code != 0 || said->held, "the seal is durable first");
    return -(int)m.n_copy_page.code;
}

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
    struct wire_ballot b = {.round = epoch << ROUND_BITS | 1, .node = s.peer[0].id};
    struct wire_record v = {.key = s.o->self.id, .accepted = b, .value = peal_bytes_str("copied")};
    struct wire_n_records g = {.ring = RING, .epoch = EPOCH, .records = {.v = &v, .n = 1}};
    one_hear(s.o, LINK, WIRE_n_records, &g);
    one_forget(s.o);
    s.o->want = 0;
    size_t before = s.o->done_n;
    cr_assert_eq(one_begin_change(s.o), 0, "it reads");
    bool settled = false, written = false;
    for (int t = 0; t < 20 && !settled && !written; t++) { /* its first ballot may be too low */
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

/* ---- lost, distrusted, damaged ---- */

/* Waits until it asks; the epoch of which it says that it has lost it. */
static uint64_t asks_renewal(struct scene *s)
{
    union wire_any m;
    one_forget(s->o);
    for (int t = 0; t < 100; t++) {
        for (size_t i = 0; i < s->peers; i++) {
            says(s, i);
            if (one_sent(s->o, link_of(i), WIRE_n_admit, &m) != NULL && m.n_admit.lost != 0)
                return m.n_admit.lost;
            tells(s, i, &s->r, false);
        }
        one_wait(s->o, STEP_US);
    }
    return 0;
}

static void renewed(struct scene *s)
{
    s->r = next(&s->r);
    cr_assert_eq(accept_code(s, &s->r, true, true), 0, "it accepts its renewal");
    one_forget(s->o);
    tells(s, 0, &s->r, false);
    cr_assert_eq(chord_state(s->o->chord), CHORD_COPYING, "it copies");
    for (size_t i = 0; i < s->peers; i++)
        says(s, i);
    one_wait(s->o, STEP_US);
    cr_assert_eq(asked(s, 0, 0).base, s->r.epoch, "of the homes of now");
    cr_assert_eq(vote_code(s, &s->o->self.id), PEAL_E_BUSY, "and does not vote before");
    complete(s);
    cr_assert_eq(vote_code(s, &s->o->self.id), 0, "then it does");
}

Test(roster_hand, who_has_lost_its_disk_is_renewed_before_it_votes)
{
    struct scene s;
    begin(&s, 3);
    for (size_t i = 0; i < 3; i++)
        linked(&s, i);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING,
                 "a roster names it: it does not adopt that");
    cr_assert_eq(asks_renewal(&s), EPOCH, "it says so");
    struct ring other = next(&s.r), far = next(&other);
    cr_assert_eq(accept_code(&s, &other, false, false), PEAL_E_STALE, "it may have voted there");
    cr_assert_eq(accept_code(&s, &far, true, true), PEAL_E_STALE, "that is not what it asked for");
    renewed(&s);
    one_free(s.o);
}

static void distrusts(struct one *o)
{
    struct step_event ev = {
        .kind = STEP_TIMER, .now_us = o->now_us, .wall_ms = 1700000000000, .reader = &o->reader};
    step_update_reset(&o->u);
    chord_distrust(o->chord, &ev, &o->u, peal_bytes_str("a backup was restored"));
    for (size_t i = 0; i < o->u.n; i++) {
        const struct step_effect *e = &o->u.effects[i];
        struct store_write w = {.space = (enum store_space)e->space,
                                .op = (enum store_op)e->op,
                                .key = e->key,
                                .value = e->bytes};
        if (e->kind == STEP_WRITE)
            cr_assert_eq(store_submit(o->store, &w, 1, NULL), 0, "written");
    }
}

Test(roster_hand, who_is_distrusted_votes_on_nothing_at_once_and_after_a_restart)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    struct peal_id upto = s.o->self.id, from = s.r.members[0];
    for (size_t i = 0; i < s.r.n; i++)
        if (id_eq(&s.r.members[i], &upto))
            from = s.r.members[(i + s.r.n - 1) % s.r.n];
    s.r = next(&s.r);
    tells(&s, 0, &s.r, false);
    cr_assert_eq(give_code(&s, 0, EPOCH, &from, &upto), 0, "it had what it was a home of");
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "it votes");
    distrusts(s.o);
    s.o = one_again(s.o, true); /* the power goes before its next tick */
    one_event(s.o, (struct step_event){.kind = STEP_START});
    for (size_t i = 0; i < 3; i++)
        linked(&s, i);
    cr_assert_neq(vote_code(&s, &s.o->self.id), 0, "not any more");
    cr_assert_eq(asks_renewal(&s), EPOCH + 1, "it asks");
    renewed(&s);
    cr_assert_eq(give_code(&s, 0, EPOCH, &from, &upto), PEAL_E_NOT_FOUND,
                 "what it had before is not what it had");
    s.o = one_again(s.o, true);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "the mark is gone");
    one_free(s.o);
}

static void damage(struct one *o, enum store_space space, struct peal_bytes key)
{
    struct store_write w = {
        .space = space, .op = STORE_PUT, .key = key, .value = peal_bytes_str("\x01\x02 nonsense")};
    cr_assert_eq(store_submit(o->store, &w, 1, NULL), 0, "damaged");
}

Test(roster_hand, a_damaged_register_is_lost_promises_and_a_copy_replaces_it)
{
    struct scene s;
    union wire_any m;
    enter(&s, 3);
    complete(&s);
    struct peal_id key = s.o->self.id;
    damage(s.o, STORE_REGISTERS, peal_bytes_of(key.b, ID_BYTES));
    cr_assert_eq(vote_code(&s, &key), PEAL_E_CORRUPT, "it says why");
    struct peal_id other = s.r.members[0];
    cr_assert_neq(vote_code(&s, &other), 0, "it votes on nothing else either");
    one_wait(s.o, STEP_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it has left the roster");
    cr_assert_eq(asks_renewal(&s), EPOCH, "it asks");
    renewed(&s);
    struct wire_record v = {
        .key = key, .accepted = {.round = 4ull << ROUND_BITS | 1}, .value = peal_bytes_str("good")};
    struct wire_n_records g = {.ring = RING, .epoch = EPOCH, .records = {.v = &v, .n = 1}};
    damage(s.o, STORE_REGISTERS, peal_bytes_of(key.b, ID_BYTES));
    one_hear(s.o, LINK, WIRE_n_records, &g);
    static uint8_t mem[1024];
    struct arena a;
    struct peal_bytes got;
    arena_init(&a, mem, sizeof mem);
    cr_assert_eq(store_get(s.o->store, STORE_REGISTERS, peal_bytes_of(key.b, ID_BYTES), &a, &got),
                 0, "it is there");
    uint16_t type = 0;
    cr_assert(wire_decode(got.p, got.n, &type, &m, sizeof m, &a) == 0 && type == WIRE_s_register &&
                  peal_bytes_eq(m.s_register.value, peal_bytes_str("good")),
              "the copy");
    one_free(s.o);
}

Test(roster_hand, a_damaged_register_is_not_left_out_of_a_copy)
{
    struct scene s;
    enter(&s, 2);
    complete(&s);
    struct peal_id key = s.o->self.id;
    damage(s.o, STORE_REGISTERS, peal_bytes_of(key.b, ID_BYTES));
    cr_assert_eq(give_code(&s, 0, EPOCH, &s.r.members[0], &s.r.members[0]), PEAL_E_CORRUPT,
                 "the other waits for one who has it");
    one_free(s.o);
}

Test(roster_hand, a_roster_that_cannot_be_read_founds_no_other_ring)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    damage(s.o, STORE_META, peal_bytes_str("roster"));
    s.o = one_again(s.o, false);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    one_wait(s.o, 5000 * MS_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_DISCOVERING, "it waits for those who know it");
    for (size_t i = 0; i < 3; i++)
        linked(&s, i);
    cr_assert_eq(asks_renewal(&s), EPOCH, "it asks");
    renewed(&s);
    one_free(s.o);
}

Test(roster_hand, a_ring_of_one_has_nobody_to_be_distrusted_by)
{
    struct one *o = one_new(1, false, NULL);
    one_event(o, (struct step_event){.kind = STEP_START});
    one_wait(o, 100 * MS_US);
    distrusts(o);
    one_wait(o, 100 * MS_US);
    cr_assert_eq(chord_state(o->chord), CHORD_MEMBER, "it goes on");
    one_free(o);
}

/* ---- what may not be said, and what has no effect ---- */

Test(roster_hand, an_admission_to_a_ring_that_is_none_is_malformed)
{
    struct scene s;
    begin(&s, 2);
    linked(&s, 0);
    struct ring alone = {.epoch = 3, .n = 1, .members = {s.o->self.id}}, others = s.r;
    others = take_out(&others, &s.o->self.id);
    cr_assert_eq(accept_code(&s, &alone, true, false), PEAL_E_MALFORMED, "of itself alone");
    cr_assert_eq(accept_code(&s, &others, true, false), PEAL_E_MALFORMED, "without it");
    others.members[0] = others.members[1];
    cr_assert_eq(accept_code(&s, &others, true, false), PEAL_E_MALFORMED, "of one twice");
    one_free(s.o);
}

Test(roster_hand, who_is_in_no_roster_accepts_no_older_epoch_and_none_that_is_not_its_own)
{
    struct scene s;
    begin(&s, 2);
    linked(&s, 0);
    struct ring fresh = s.r, later;
    fresh.epoch += 3;
    cr_assert_eq(accept_code(&s, &fresh, true, false), 0, "its own");
    cr_assert_eq(accept_code(&s, &s.r, true, false), PEAL_E_STALE, "an older one");
    later = next(&fresh);
    cr_assert_eq(accept_code(&s, &later, false, false), PEAL_E_STALE, "another's");
    one_free(s.o);
}

static size_t removals_ended;
static int removal_err;

static void on_removed(void *ctx, struct step_update *u, uint64_t token, int err,
                       struct peal_bytes text)
{
    (void)ctx;
    (void)u;
    cr_assert_eq(token, 77, "the one that was begun");
    cr_assert_eq(err == 0, text.n == 0, "a reason for each refusal");
    removals_ended++;
    removal_err = err;
}

/* Peer 0 is the coordinator. */
static void elects(struct scene *s)
{
    struct wire_r_elected m = {.coordinator = s->peer[0].id, .hops = 1};
    one_hear(s->o, LINK, WIRE_r_elected, &m);
    one_forget(s->o);
}

/* Refusals come from the coordinator only; an answer to nothing, and an answer without a code, are
 * no answers. */
Test(roster_hand, only_the_coordinators_answer_ends_a_removal)
{
    struct scene s;
    union wire_any m;
    enter(&s, 3);
    complete(&s);
    elects(&s);
    one_on_removed(s.o, on_removed);
    removals_ended = 0;
    cr_assert_eq(one_begin_remove(s.o, &s.peer[2].id, 77), 0, "it is begun");
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_remove, &m), "the coordinator is asked");
    struct wire_n_removed a = {
        .op = m.n_remove.op, .code = (uint16_t)-PEAL_E_REFUSED, .text = peal_bytes_str("because")};
    one_hear(s.o, link_of(1), WIRE_n_removed, &a);
    cr_assert_eq(removals_ended, 0, "of another");
    a.op++;
    one_hear(s.o, LINK, WIRE_n_removed, &a);
    a.op--;
    a.code = 0;
    one_hear(s.o, LINK, WIRE_n_removed, &a);
    cr_assert_eq(removals_ended, 0, "to nothing, and nothing");
    a.code = (uint16_t)-PEAL_E_REFUSED;
    one_hear(s.o, LINK, WIRE_n_removed, &a);
    cr_assert(removals_ended == 1 && removal_err == PEAL_E_REFUSED, "that is one");
    one_hear(s.o, LINK, WIRE_n_removed, &a);
    cr_assert_eq(removals_ended, 1, "once");
    one_free(s.o);
}

/* What ends it well is this node's own roster. */
Test(roster_hand, a_removal_ends_when_its_own_roster_no_longer_names_the_server)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    elects(&s);
    one_on_removed(s.o, on_removed);
    removals_ended = 0;
    cr_assert_eq(one_begin_remove(s.o, &s.peer[2].id, 77), 0, "it is begun");
    pass(&s, 2 * STEP_US);
    cr_assert_eq(removals_ended, 0, "nobody has said anything");
    s.peers = 2;
    s.r = take_out(&s.r, &s.peer[2].id);
    tells(&s, 0, &s.r, false);
    pass(&s, 2 * STEP_US);
    cr_assert(removals_ended == 1 && removal_err == 0, "it is done");
    cr_assert_eq(one_begin_remove(s.o, &s.peer[2].id, 77), 0, "again");
    cr_assert(removals_ended == 2 && removal_err == PEAL_E_NOT_FOUND, "it is no member");
    cr_assert_eq(one_begin_remove(s.o, &s.peer[1].id, 77), 0, "another");
    pass(&s, 1500 * MS_US);
    cr_assert(removals_ended == 3 && removal_err == PEAL_E_UNKNOWN, "nobody has answered");
    one_free(s.o);
}

/* ---- earlier builds ---- */

static struct wire_roster_1 shown_before(struct ring *r)
{
    return (struct wire_roster_1){
        .ring = RING, .epoch = r->epoch, .replicas = 2, .members = {.v = r->members, .n = r->n}};
}

/* Starts anew with this on the disk. */
static void found_stored(struct scene *s, struct peal_bytes key, uint16_t type, void *msg)
{
    uint8_t mem[512];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    cr_assert_eq(wire_encode(type, msg, &w), 0, "encoded");
    struct store_write put = {
        .space = STORE_META, .op = STORE_PUT, .key = key, .value = peal_bytes_of(mem, w.n)};
    cr_assert_eq(store_submit(s->o->store, &put, 1, NULL), 0, "as it was stored then");
    s->o = one_again(s->o, false);
    one_event(s->o, (struct step_event){.kind = STEP_START});
}

static enum chord_state stored_before(uint64_t ready_epoch)
{
    struct scene s;
    begin(&s, 3);
    struct wire_s_roster_1 old = {.decided = shown_before(&s.r), .ready_epoch = ready_epoch};
    found_stored(&s, peal_bytes_str("roster"), WIRE_s_roster_1, &old);
    enum chord_state state = chord_state(s.o->chord);
    for (size_t i = 0; i < 3; i++)
        linked(&s, i);
    one_wait(s.o, STEP_US);
    complete(&s);
    one_free(s.o);
    return state;
}

Test(roster_hand, a_roster_that_an_earlier_build_stored_is_ready_for_all_or_none)
{
    cr_assert_eq(stored_before(EPOCH), CHORD_MEMBER, "for all");
    cr_assert_eq(stored_before(EPOCH - 1), CHORD_COPYING, "for none");
}

Test(roster_hand, a_ring_that_had_ended_in_an_earlier_builds_time_is_remembered)
{
    struct scene s;
    begin(&s, 3);
    struct wire_s_former_1 old = {.roster = shown_before(&s.r), .ready = true};
    uint8_t key[6 + ID_BYTES] = "former";
    memcpy(key + 6, RING.b, ID_BYTES);
    old.roster.into = (struct peal_id){{0xdd}};
    found_stored(&s, peal_bytes_of(key, sizeof key), WIRE_s_former_1, &old);
    linked(&s, 0);
    s.r.epoch++;
    cr_assert_eq(accept_code(&s, &s.r, true, false), PEAL_E_FOREIGN, "it is over");
    one_free(s.o);
}
