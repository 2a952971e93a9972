/* Tests of upkeep: what a member does when all its successors have died, when a list that reaches
 * round leaves somebody out, when whoever it asks is late, and when it has heard other than its
 * list says; of small: a mate's word that its ring is large; and of merge: whom it tries, and
 * whether a place that was found is one in another ring. */
#include "byhand.h"

#include <criterion/criterion.h>

static size_t no_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    (void)ctx, (void)out;
    return 0;
}

static void set_up(void)
{
    hand_set_up();
    ring.cfg.app.load = no_load; /* pings carry it */
    ring.cfg.gossip_bytes = RING_GOSSIP_DEFAULT;
}

TestSuite(upkeep, .init = set_up, .fini = hand_tear_down);
TestSuite(small, .init = set_up, .fini = hand_tear_down);
TestSuite(merge, .init = set_up, .fini = hand_tear_down);

static void successors_die(void)
{
    be(RING_LARGE, four, 4);
    for (size_t i = 0; i < 4; i++) {
        unlink_node(four[i]);
        dies(four[i]);
    }
}

static bool asks(unsigned whom, enum op_phase phase)
{
    struct peal_id expected = id(whom);
    return ring.up.phase == phase && id_eq(&ring.up.asked, &expected);
}

/* The queried node's answer to the query under way. */
static void answers(unsigned from, const unsigned *succ, size_t n)
{
    struct wire_contact list[RING_SUCCESSORS_MAX];
    struct contact of[RING_SUCCESSORS_MAX];
    for (size_t i = 0; i < n; i++) {
        struct peal_id entry = id(succ[i]);
        of[i] = contact_of(&entry);
        list[i] = ring__contact_view(&of[i]);
    }
    struct wire_r_view v = {.op = ring.up.op,
                            .digest = 1 + from,
                            .state = {.phase = RING_LARGE},
                            .successors = {.v = list, .n = n}};
    ring__on_view(&ring, linked(from), &v);
    collect();
}

static bool head_is(unsigned first)
{
    struct peal_id expected = id(first);
    return !ring.z.succ[0].artificial && id_eq(&ring.z.succ[0].id, &expected);
}

Test(upkeep, without_a_successor_the_next_linked_member_is_asked)
{
    static const unsigned list[] = {0xc0, 0xd0};
    successors_die();
    linked(0x20);
    linked(0xa0);
    linked(0x70)->state.phase = RING_SEEKING;
    upkeep_timer(&ring);
    cr_assert(asks(0xa0, OP_STEP_2), "the next one clockwise that is a member is a candidate");
    cr_assert_eq(ring.phase, RING_LARGE, "and this node is a member still");
    answers(0xa0, list, 2);
    cr_assert(head_is(0xa0), "it is the head");
    cr_assert_not_null(upkeep_best(&ring), "and alive");
}

Test(upkeep, the_next_linked_member_that_refuses_is_not_asked_again)
{
    successors_die();
    linked(0xa0);
    upkeep_timer(&ring);
    cr_assert(asks(0xa0, OP_STEP_2), "the next one is a candidate");
    struct wire_r_view v = {
        .op = ring.up.op, .code = (uint16_t)-PEAL_E_REFUSED, .state = {.phase = RING_SEEKING}};
    ring__on_view(&ring, linked(0xa0), &v);
    cr_assert_eq(ring.up.phase, OP_IDLE, "it is no member");
    cr_assert_gt(ring.up.round_us, ring.now, "the next try is not at once");
    cr_assert_leq(ring.up.round_us, ring.now + SECOND, "but soon");
    ring.now = ring.up.round_us;
    upkeep_timer(&ring);
    cr_assert(asks(0x30, OP_STEP_2), "the one after it, for it is all that is left");
}

Test(upkeep, without_anyone_linked_a_member_is_a_small_ring)
{
    successors_die();
    unlink_node(0x30);
    dies(0x30);
    upkeep_timer(&ring);
    cr_assert_eq(ring.phase, RING_SMALL, "there is nobody to ask");
    cr_assert_eq(ring.z.n, 0, "it is the only member it knows");
}

/* What 0xa0 has lost its list for, and took this node for a head; 0xc0 lives, and is not in it. */
Test(upkeep, a_list_that_leaves_a_linked_member_out_is_not_everyone)
{
    static const unsigned list[] = {SELF};
    successors_die();
    unlink_node(0x30);
    dies(0x30);
    linked(0xa0);
    linked(0xc0);
    upkeep_timer(&ring);
    answers(0xa0, list, 1);
    cr_assert(zave_is_round(&ring.z), "the list reaches round");
    cr_assert_eq(ring.phase, RING_LARGE, "but somebody is missing in it");
}

Test(upkeep, a_list_of_all_linked_members_is_everyone)
{
    static const unsigned list[] = {0xc0, SELF};
    successors_die();
    unlink_node(0x30);
    dies(0x30);
    linked(0xa0);
    linked(0xc0);
    upkeep_timer(&ring);
    answers(0xa0, list, 2);
    cr_assert_eq(ring.phase, RING_SMALL, "three are no more than the list is long");
}

Test(upkeep, who_waits_is_answered_when_the_queried_node_is_late)
{
    static const unsigned list[] = {0x58, 0x60, 0x68, 0x70};
    struct wire_r_query q = {.op = 77};
    be(RING_LARGE, four, 4);
    linked(0x20);
    upkeep_timer(&ring);
    cr_assert(asks(0x50, OP_STEP_1), "the head is asked");
    uint64_t op = ring.up.op;
    ring__on_query(&ring, linked(0x20), &q);
    cr_assert(ring.up.askers_n == 1 && ring.up.op == op, "in time: the asker waits");
    ring.now = ring.up.due_us;
    upkeep_timer(&ring);
    cr_assert(ring.up.askers_n == 0 && ring.up.op != op, "late: it is answered, and asked anew");
    struct wire_r_view old = {.op = op, .digest = 1, .state = {.phase = RING_LARGE}};
    ring__on_view(&ring, linked(0x50), &old);
    cr_assert(asks(0x50, OP_STEP_1), "the answer to what was asked before is not taken");
    op = ring.up.op;
    uint64_t due = ring.up.due_us;
    ring__on_query(&ring, linked(0x20), &q);
    cr_assert(ring.up.askers_n == 0 && ring.up.op != op, "whoever comes then is answered at once");
    cr_assert_geq(ring.up.due_us, due, "and the queried node has time enough for the new query");
    answers(0x50, list, 4);
    cr_assert(head_is(0x50) && ring.up.phase == OP_IDLE, "the answer to the last one is taken");
}

/* This node was cut off for a time and took for dead who lives. */
Test(upkeep, a_death_known_from_before_is_not_believed_of_a_new_entry)
{
    static const unsigned list[] = {0x58, 0x60, 0x70};
    be(RING_LARGE, four, 4);
    know(0x70);
    dies(0x70);
    upkeep_timer(&ring);
    answers(0x50, list, 3);
    cr_assert(know(0x70)->dial_wanted, "it is tried");
    for (size_t i = 0; i < 3; i++) {
        unsigned head = i == 0 ? 0x50 : list[i - 1];
        unlink_node(head);
        dies(head);
    }
    ring.up.round_us = ring.now;
    upkeep_timer(&ring);
    cr_assert(head_is(0x70), "and not dropped before it could answer");
    struct peal_id it = id(0x70);
    upkeep_dead(&ring, &it);
    upkeep_timer(&ring);
    cr_assert(ring.z.succ[0].artificial, "the try was in vain");
}

Test(upkeep, a_new_entry_that_does_not_answer_is_dropped)
{
    static const unsigned list[] = {0x58, 0x60, 0x70};
    be(RING_LARGE, four, 4);
    know(0x70);
    dies(0x70);
    upkeep_timer(&ring);
    answers(0x50, list, 3);
    for (size_t i = 0; i < 3; i++) {
        unsigned head = i == 0 ? 0x50 : list[i - 1];
        unlink_node(head);
        dies(head);
    }
    ring.now += 2 * SECOND;
    upkeep_timer(&ring);
    cr_assert(ring.z.succ[0].artificial, "it has had as long as a link may be silent");
}

/* Two rings of a few, linked with each other before either of them was large. */
Test(upkeep, a_linked_node_that_grows_large_is_a_candidate)
{
    be(RING_LARGE, four, 4);
    struct link *l = linked(0x48);
    struct peal_id it = id(0x48);
    l->state.phase = RING_SMALL;
    upkeep_up(&ring, &it);
    cr_assert(id_is_zero(&ring.up.candidate), "of another ring, and small");
    ring__node_state(&ring, l, &(struct wire_ring_state){.phase = RING_LARGE});
    upkeep_timer(&ring);
    cr_assert(asks(0x48, OP_STEP_2), "now it lies before the head");
}

/* Two that ask each other at the same time would else do it for ever, in step. */
Test(upkeep, word_of_a_busy_candidate_does_not_end_the_pause)
{
    struct wire_r_query q = {.op = 77};
    struct wire_ring_state large = {.phase = RING_LARGE};
    be(RING_LARGE, four, 4);
    struct link *l = linked(0x48);
    ring__node_state(&ring, l, &large);
    upkeep_timer(&ring);
    cr_assert(asks(0x48, OP_STEP_2), "it is asked");
    struct wire_r_view busy = {
        .op = ring.up.op, .code = (uint16_t)-PEAL_E_BUSY, .state = {.phase = RING_LARGE}};
    ring__on_query(&ring, l, &q);
    ring__on_view(&ring, linked(0x48), &busy);
    cr_assert_eq(ring.up.phase, OP_IDLE, "given up, for it waits for this node");
    uint64_t until = ring.up.candidate_us;
    cr_assert_gt(until, ring.now, "for a moment");
    ring__node_state(&ring, linked(0x48), &large);
    upkeep_timer(&ring);
    cr_assert(ring.up.candidate_us == until && !asks(0x48, OP_STEP_2), "that is not cut short");
    ring.now = until;
    upkeep_timer(&ring);
    cr_assert(asks(0x48, OP_STEP_2), "then it is asked again");
}

/* Two rings have become one, and its head's list names one that died for this node while they were
 * two. Until somebody tried it, every lookup of its keys passed it over. */
Test(upkeep, who_is_in_the_list_is_tried_though_believed_dead)
{
    static const unsigned list[] = {0x54, 0x58, 0x60};
    be(RING_LARGE, four, 4);
    dies(0x54);
    upkeep_timer(&ring);
    answers(0x50, list, 3);
    struct peal_id second = id(0x54);
    cr_assert(id_eq(&ring.z.succ[1].id, &second), "it is in this node's list now");
    cr_assert(know(0x54)->dead, "being in a list is no proof of life");
    cr_assert(know(0x54)->dial_wanted, "but reason enough to try it");
}

/* ---- whom merge tries ---- */

static void probes(void)
{
    ring.merge.self_us = ring.now + SECOND;
    ring.merge.probe_us = ring.now;
    merge_timer(&ring);
}

Test(merge, whoever_is_believed_to_live_between_neighbours_is_tried)
{
    be(RING_LARGE, four, 4);
    know(0x48), know(0x4c), know(0x38), know(0x80);
    ring.wall += (uint64_t)(DEAD_KEEP_DAYS + 1) * 24 * 3600 * 1000; /* nobody is lost */
    probes();
    cr_assert(know(0x48)->dial_wanted && know(0x4c)->dial_wanted, "between it and its successor");
    cr_assert(know(0x38)->dial_wanted, "between its predecessor and it");
    cr_assert(!know(0x80)->dial_wanted, "elsewhere its own neighbours would know");
}

/* A node that has lost all others reaches for those that it knows, unless they are too many. */
Test(merge, who_is_alone_tries_those_nearest_that_it_believes_to_live)
{
    enum { BELIEVED = 64, PROBES = 4 };
    be(RING_SMALL, four, 0);
    unlink_node(0x30);
    dies(0x30);
    ring.z.prdc = id(SELF);
    for (unsigned i = 0; i < BELIEVED; i++)
        know(0x80 + i);
    for (int round = 0; round < PROBES; round++) {
        probes();
        cr_assert(know(0x80)->dial_wanted || round > 0, "the nearest one way");
        cr_assert(know(0x80 + BELIEVED - 1)->dial_wanted || round > 0, "and the other");
        cr_assert(!know(0x80 + BELIEVED / 2)->dial_wanted || round == PROBES - 1,
                  "not all at once");
        for (unsigned i = 0; i < BELIEVED; i++)
            if (know(0x80 + i)->dial_wanted) { /* in vain */
                dial_up(&ring, know(0x80 + i));
                dies(0x80 + i);
            }
    }
    cr_assert(know(0x80 + BELIEVED / 2)->dead, "but in the end");
}

/* ---- the way back to a large ring ---- */

static void mate_grows(unsigned mate)
{
    struct link *l = linked(mate);
    l->state.phase = RING_SMALL;
    small_state(&ring, l);
    l->state = (struct wire_ring_state){.phase = RING_LARGE, .successor = id(SELF)};
    small_state(&ring, l);
    cr_assert_eq(ring.due[PART_SMALL], ring.now, "it is looked at");
    ring.due[PART_SMALL] = UINT64_MAX;
    small_timer(&ring);
    collect();
}

Test(small, a_mate_that_grows_is_followed_at_once)
{
    be(RING_SMALL, four, 0);
    mate_grows(0x30);
    cr_assert(ring.small.placing, "this node's place there is looked for");
}

Test(small, a_mate_that_grows_is_not_followed_by_who_has_just_come_down)
{
    static const unsigned list[] = {0xc0, SELF};
    successors_die();
    linked(0xa0);
    linked(0xc0);
    unlink_node(0x30);
    dies(0x30);
    upkeep_timer(&ring);
    answers(0xa0, list, 2);
    mate_grows(0xc0);
    cr_assert_eq(ring.phase, RING_SMALL, "its list reached round");
    cr_assert(!ring.small.placing, "so the others' soon will");
    cr_assert(ring.due[PART_SMALL] > ring.now, "it is looked at later again");
    ring.now = ring.due[PART_SMALL];
    small_timer(&ring);
    cr_assert(ring.small.placing, "it is");
}

/* It was heard of by a beacon before it was met: until then the rings were two. */
Test(small, a_mate_is_not_foreign_any_more)
{
    static const unsigned succ[] = {0x50};
    be(RING_SMALL, succ, 1);
    linked(0x50)->state.phase = linked(0x30)->state.phase = RING_SMALL;
    know(0x30)->mate = know(0x50)->mate = true;
    struct link *l = linked(0x80);
    know(0x80)->foreign = true;
    l->state = (struct wire_ring_state){.phase = RING_SMALL};
    small_state(&ring, l);
    cr_assert(know(0x80)->mate, "it is a mate");
    cr_assert_not(know(0x80)->foreign, "and of this ring");
    struct flight f = {
        .kind = RING_FIND_OWNER, .key = id(0x70), .path = {ring.self.id}, .path_n = 1};
    struct hop h = hop_choose(&ring, &f, false);
    struct peal_id owner = id(0x80);
    cr_assert(h.way == WAY_ON && id_eq(&h.to, &owner), "lookups of its keys go to it");
}

/* ---- another ring ---- */

/* This node's place as looked up through 0x20: between 0x38, which is not known here, and after. */
static void placed_before(unsigned after)
{
    struct peal_id before = id(0x38), next = id(after);
    struct contact a = contact_of(&before), b = contact_of(&next);
    struct wire_contact wa = ring__contact_view(&a), wb = ring__contact_view(&b);
    know(0x20)->foreign = true;
    ring.merge.placing = true;
    ring.merge.via = id(0x20);
    merge_placed(&ring, 0, &wa, &wb);
}

Test(merge, a_place_beside_the_unknown_is_in_another_ring)
{
    be(RING_LARGE, four, 4);
    placed_before(0x48);
    cr_assert_eq(ring.count.merges, 1, "nobody here knew of 0x38 and 0x48");
    cr_assert_eq(ring.merge.wave, WAVE_OWN, "all are told");
    cr_assert(know(0x48)->dial_wanted, "it is a candidate");
}

Test(merge, a_place_before_any_successor_is_in_this_ring)
{
    be(RING_LARGE, four, 4);
    placed_before(0x60);
    cr_assert_eq(ring.count.merges, 0, "0x60 is of this ring");
    cr_assert_eq(ring.merge.wave, WAVE_NONE, "nobody is told of another");
    cr_assert_not(know(0x20)->foreign, "and who led there is of this one, too");
}

Test(merge, a_newcomer_speaks_of_no_other_ring)
{
    be(RING_LARGE, four, 4);
    merge_member(&ring);
    ring.now += SECOND;
    placed_before(0x48);
    cr_assert_eq(ring.count.merges, 0, "it may not have heard of 0x38 and 0x48 yet");
    cr_assert_eq(ring.merge.wave, WAVE_NONE, "nobody is told of another ring");
    cr_assert(know(0x48)->dial_wanted, "but it is a candidate");
    ring.now += 10 * SECOND;
    placed_before(0x44);
    cr_assert_eq(ring.count.merges, 1, "later it would have");
}

/* ---- the roll after a cut ---- */

static void loses(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        merge_lost(&ring);
}

/* How many of these are to be dialled after a moment in which nothing but the roll is due. */
static unsigned called(unsigned first, unsigned n)
{
    unsigned wanted = 0;
    ring.now += 2 * ring.cfg.stabilise_us;
    ring.merge.self_us = ring.merge.probe_us = ring.now + SECOND;
    merge_timer(&ring);
    for (unsigned i = 0; i < n; i++)
        wanted += know(first + i)->dial_wanted;
    return wanted;
}

/* Somebody who had just joined is known here and nowhere else in what the cut has left. */
Test(merge, who_loses_half_its_neighbours_reaches_everyone_it_believes_to_live)
{
    enum { FAR = 11 };
    be(RING_LARGE, four, 4);
    for (unsigned i = 0; i < FAR; i++)
        know(0x80 + i);
    dies(0x80);
    linked(0x81);
    loses(ring.r / 2);
    unsigned was = 0, rounds = 0;
    for (unsigned n = called(0x80, FAR); n > was; n = called(0x80, FAR)) {
        cr_assert_leq(n - was, 2, "two in a round");
        was = n;
        rounds++;
    }
    cr_assert_eq(was, FAR - 2, "%u of them", was);
    cr_assert(!know(0x80)->dial_wanted, "the dead are tried elsewhere");
    cr_assert(!know(0x81)->dial_wanted, "who is linked is reached already");
    cr_assert_geq(rounds, (FAR - 2) / 2, "%u rounds", rounds);
    dial_up(&ring, know(0x85));
    cr_assert_eq(called(0x80, FAR), FAR - 3, "nobody twice");
    cr_assert_eq(ring.merge.roll_left, 0, "it has ended");
}

Test(merge, a_few_neighbours_lost_make_no_roll)
{
    be(RING_LARGE, four, 4);
    know(0x80);
    loses(ring.r / 2 - 1);
    cr_assert_eq(called(0x80, 1), 0, "the list holds");
    ring.now += 2 * RECENT_US;
    loses(ring.r / 2 - 1);
    cr_assert_eq(called(0x80, 1), 0, "those before were lost long ago");
    loses(1);
    cr_assert_eq(called(0x80, 1), 1, "half of them at a time");
}
