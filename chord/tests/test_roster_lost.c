/* Rosters by hand: servers that have lost what they promised, renewal, what is not accepted,
 * removal as the one sees it that was asked for it, and what earlier builds stored. */
#include <criterion/criterion.h>

#include "scene.h"

#include <string.h>

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

Test(roster_lost, who_has_lost_its_disk_is_renewed_before_it_votes)
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

Test(roster_lost, who_is_distrusted_votes_on_nothing_at_once_and_after_a_restart)
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

static void again(struct scene *s)
{
    s->o = one_again(s->o, true);
    one_event(s->o, (struct step_event){.kind = STEP_START});
}

/* The mark, as whoever restores a backup leaves it. */
static void restored(struct scene *s)
{
    struct store_write w = {
        .space = STORE_META, .op = STORE_PUT, .key = peal_bytes_str("distrust")};
    cr_assert_eq(store_submit(s->o->store, &w, 1, NULL), 0, "marked");
    again(s);
}

/* It had accepted the epoch that admits or renews it when the backup was made, and no more. What
 * became of that it does not know, nor what it has promised in it since; so a later one, or that
 * very one, is not its first. */
Test(roster_lost, what_a_restored_backup_had_accepted_is_no_admission)
{
    for (int kind = 0; kind < 8; kind++) {
        struct scene s;
        bool running = kind % 2 == 1, renewal = kind / 2 % 2 == 1;
        begin(&s, 3);
        struct ring r = s.r;
        if (!renewal)
            s.r = take_out(&s.r, &s.o->self.id);
        s.r.epoch = EPOCH - 1;
        for (size_t i = 0; i < 3; i++)
            linked(&s, i);
        cr_assert_eq(accept_code(&s, &r, true, renewal), 0, "it accepts its admission");
        if (running)
            distrusts(s.o);
        else
            restored(&s);
        s.r = kind < 4 ? r : next(&r);
        for (size_t i = 0; i < 3 && !running; i++)
            linked(&s, i);
        tells(&s, 0, &s.r, false);
        cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it is in no ring by that");
        cr_assert_eq(asks_renewal(&s), s.r.epoch, "it asks to be renewed");
        renewed(&s);
        one_free(s.o);
    }
}

static void damage(struct one *o, enum store_space space, struct peal_bytes key)
{
    struct store_write w = {
        .space = space, .op = STORE_PUT, .key = key, .value = peal_bytes_str("\x01\x02 nonsense")};
    cr_assert_eq(store_submit(o->store, &w, 1, NULL), 0, "damaged");
}

static void take(struct one *o, struct peal_bytes key)
{
    struct store_write w = {.space = STORE_META, .op = STORE_DEL, .key = key};
    cr_assert_eq(store_submit(o->store, &w, 1, NULL), 0, "taken away");
}

Test(roster_lost, a_damaged_register_is_lost_promises_and_a_copy_replaces_it)
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

Test(roster_lost, a_damaged_register_is_not_left_out_of_a_copy)
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

Test(roster_lost, a_roster_that_cannot_be_read_founds_no_other_ring)
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

/* Peer i is of another ring, without this node. */
static const struct peal_id OTHER = {{0xdd, 2}};

static struct wire_roster other_ring(struct scene *s)
{
    static struct ring r;
    r = take_out(&s->r, &s->o->self.id);
    struct wire_roster w = shown(&r);
    w.ring = OTHER;
    return w;
}

static void meets_other(struct scene *s, size_t i)
{
    struct wire_roster w = other_ring(s);
    one_link(s->o, link_of(i), &s->peer[i], false);
    one_hello(s->o, link_of(i), &s->peer[i], &w);
}

/* Goes on among those of the other ring; whether it asks them to admit it, and nothing is to be
 * renewed. */
static bool asks_other(struct scene *s)
{
    union wire_any m;
    struct wire_roster w = other_ring(s);
    struct wire_n_state is = {.ring = OTHER, .size = (uint32_t)w.members.n, .state.epoch = w.epoch};
    for (int t = 0; t < 100; t++) {
        for (size_t i = 0; i < s->peers; i++) {
            one_hear(s->o, link_of(i), WIRE_n_state, &is);
            if (one_sent(s->o, link_of(i), WIRE_n_admit, &m) != NULL)
                return m.n_admit.lost == 0;
        }
        one_wait(s->o, STEP_US);
    }
    return false;
}

static size_t registers(struct one *o)
{
    uint64_t n = 0;
    struct peal_bytes all = {0};
    cr_assert_eq(store_count(o->store, STORE_REGISTERS, all, all, &n), 0, "counted");
    return (size_t)n;
}

/* Its registers are its ring's: another ring would take them for its own. It knows which ring that
 * was although it no longer knows the roster. */
/* What it says to the other ring's admitting it. */
static int other_code(struct scene *s)
{
    union wire_any m;
    struct wire_roster w = other_ring(s);
    struct ring with = {.epoch = w.epoch + 1, .n = w.members.n};
    memcpy(with.members, w.members.v, w.members.n * sizeof with.members[0]);
    put_in(&with, &s->o->self.id);
    struct wire_n_roster_accept a = {.epoch = with.epoch,
                                     .ballot = {.round = 3, .node = s->peer[0].id},
                                     .newcomer = s->o->self.id,
                                     .roster = shown(&with)};
    a.roster.ring = OTHER;
    one_hear(s->o, LINK, WIRE_n_roster_accept, &a);
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_roster_accepted, &m), "it answers");
    return -(int)m.n_roster_accepted.code;
}

Test(roster_lost, a_roster_that_cannot_be_read_brings_no_registers_into_another_ring)
{
    enum { DAMAGED, GONE, EARLIER_BUILD, KINDS };
    for (int kind = 0; kind < KINDS; kind++) {
        struct scene s;
        enter(&s, 3);
        complete(&s);
        cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "it has a register");
        if (kind == EARLIER_BUILD) { /* which wrote that only into its roster */
            take(s.o, peal_bytes_str("of"));
            again(&s);
        }
        if (kind == GONE)
            take(s.o, peal_bytes_str("roster"));
        else
            damage(s.o, STORE_META, peal_bytes_str("roster"));
        again(&s);
        for (size_t i = 0; i < 3; i++)
            meets_other(&s, i);
        cr_assert_not(asks_other(&s), "those are not its ring");
        cr_assert_eq(other_code(&s), PEAL_E_FOREIGN, "whatever they say");
        cr_assert_eq(asks_renewal(&s), EPOCH, "this is");
        renewed(&s);
        cr_assert_eq(registers(s.o), 1, "and what it had is there");
        one_free(s.o);
    }
}

static bool is_aside(struct one *o, const struct peal_id *key)
{
    static uint8_t mem[1024];
    struct arena a;
    struct peal_bytes got;
    uint8_t aside[6 + 2 * ID_BYTES] = "moved/";
    memcpy(aside + 6 + ID_BYTES, key->b, ID_BYTES);
    arena_init(&a, mem, sizeof mem);
    return store_get(o->store, STORE_META, peal_bytes_of(aside, sizeof aside), &a, &got) == 0;
}

/* It cannot know: it comes as one that has lost everything. */
Test(roster_lost, registers_of_a_ring_that_is_not_known_are_set_aside)
{
    enum { MANY = 300 }; /* more than are set aside in two updates */
    for (int gone = 0; gone < 2; gone++) {
        struct scene s;
        struct peal_id key[MANY];
        enter(&s, 3);
        complete(&s);
        for (size_t i = 0; i < MANY; i++) {
            key[i] = s.o->self.id;
            key[i].b[ID_BYTES - 2] -= (uint8_t)(1 + i / 256);
            key[i].b[ID_BYTES - 1] = (uint8_t)i;
            cr_assert_eq(vote_code(&s, &key[i]), 0, "it has register %zu", i);
        }
        static const char *const lost[] = {"roster", "of"};
        for (size_t i = 0; i < PEAL_COUNT(lost); i++)
            if (gone != 0)
                take(s.o, peal_bytes_str(lost[i]));
            else
                damage(s.o, STORE_META, peal_bytes_str(lost[i]));
        again(&s);
        one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
        for (size_t i = 0; i < 3; i++)
            meets_other(&s, i);
        cr_assert_not(asks_other(&s), "not with them");
        one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE});
        cr_assert_eq(other_code(&s), PEAL_E_BUSY, "nor as long as some are left");
        cr_assert(asks_other(&s), "any ring will do then");
        cr_assert_eq(registers(s.o), 0, "it comes with none");
        for (size_t i = 0; i < MANY; i++)
            cr_assert(is_aside(s.o, &key[i]), "but nothing is thrown away");
        cr_assert_eq(other_code(&s), 0, "and is admitted");
        one_free(s.o);
    }
}

Test(roster_lost, who_has_lost_which_ring_it_was_in_founds_none)
{
    struct scene s;
    enter(&s, 3);
    complete(&s);
    cr_assert_eq(vote_code(&s, &s.o->self.id), 0, "it has a register");
    take(s.o, peal_bytes_str("roster"));
    take(s.o, peal_bytes_str("of"));
    again(&s);
    one_wait(s.o, 5000 * MS_US);
    cr_assert_eq(registers(s.o), 0, "set aside");
    cr_assert_eq(chord_state(s.o->chord), CHORD_DISCOVERING, "it waits for somebody");
    one_free(s.o);
}

Test(roster_lost, a_ring_of_one_has_nobody_to_be_distrusted_by)
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

Test(roster_lost, an_admission_to_a_ring_that_is_none_is_malformed)
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

Test(roster_lost, who_is_in_no_roster_accepts_no_older_epoch_and_none_that_is_not_its_own)
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
Test(roster_lost, only_the_coordinators_answer_ends_a_removal)
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
Test(roster_lost, a_removal_ends_when_its_own_roster_no_longer_names_the_server)
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

Test(roster_lost, a_roster_that_an_earlier_build_stored_is_ready_for_all_or_none)
{
    cr_assert_eq(stored_before(EPOCH), CHORD_MEMBER, "for all");
    cr_assert_eq(stored_before(EPOCH - 1), CHORD_COPYING, "for none");
}

Test(roster_lost, a_ring_that_had_ended_in_an_earlier_builds_time_is_remembered)
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
