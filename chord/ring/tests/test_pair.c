/* Two real nodes, linked with each other: what neither side alone can show. */
#include "lone.h"

#include <criterion/criterion.h>
#include <string.h>

static struct pair *met(bool both)
{
    struct pair *p = pair_new(&(struct lone_options){.n = 1},
                              &(struct lone_options){.n = 2, .join = "10.1.0.1:7000"});
    pair_start(p, 0);
    pair_start(p, 1);
    pair_wait(p, 100);
    if (both)
        pair_dial(p, 0); /* at the same time as the other */
    pair_wait(p, 3 * SECOND);
    return p;
}

static void assert_ring_of_two(struct pair *p)
{
    for (int s = 0; s < 2; s++) {
        struct ring_view v;
        ring_look(p->side[s]->ring, &v);
        const struct peal_id *other = &p->side[1 - s]->self.id;
        cr_assert_eq(v.phase, RING_SMALL, "side %d is %s", s, ring_phase_name(v.phase));
        cr_assert(v.successors_n == 1 && id_eq(&v.successors[0], other),
                  "side %d has another successor", s);
        cr_assert(id_eq(&v.predecessor, other), "side %d has another predecessor", s);
        cr_assert_eq(v.size, 2, "side %d believes in %u", s, v.size);
        cr_assert(ring_is_up(p->side[s]->ring, other), "side %d is not linked", s);
    }
}

Test(pair, forms_a_ring_of_two)
{
    struct pair *p = met(false);
    assert_ring_of_two(p);
    cr_assert_eq(pair_open(p), 1, "%zu links", pair_open(p));
    for (int s = 0; s < 2; s++)
        cr_assert(p->side[s]->up_n == 1 && p->side[s]->down_n == 0, "side %d: up %zu, down %zu", s,
                  p->side[s]->up_n, p->side[s]->down_n);
    pair_free(p);
}

Test(pair, both_dial_at_once_and_nobody_is_down)
{
    struct pair *p = met(true);
    assert_ring_of_two(p);
    cr_assert_eq(p->links_n, 2, "%zu links were opened", p->links_n);
    cr_assert_eq(pair_open(p), 1, "%zu links stay", pair_open(p));
    for (int s = 0; s < 2; s++)
        cr_assert(p->side[s]->up_n == 1 && p->side[s]->down_n == 0, "side %d: up %zu, down %zu", s,
                  p->side[s]->up_n, p->side[s]->down_n);
    pair_free(p);
}

Test(pair, comes_together_again_after_silence)
{
    struct pair *p = met(false);
    p->refuse = true;
    for (size_t i = 0; i < p->links_n; i++)
        p->links[i].cut = true;
    pair_wait(p, 3 * SECOND);
    for (int s = 0; s < 2; s++) {
        struct ring_view v;
        ring_look(p->side[s]->ring, &v);
        cr_assert(v.size == 1 && v.successors_n == 0, "side %d: a ring of %u", s, v.size);
        cr_assert_eq(p->side[s]->down_n, 1, "side %d: %zu times down", s, p->side[s]->down_n);
    }
    p->refuse = false;
    pair_wait(p, 20 * SECOND);
    assert_ring_of_two(p);
    cr_assert_eq(pair_open(p), 1, "%zu links", pair_open(p));
    pair_free(p);
}

Test(pair, messages_of_the_layer_above_go_both_ways)
{
    struct pair *p = met(false);
    for (int s = 0; s < 2; s++) {
        struct lone *o = p->side[s];
        struct wire_n_notice m = {.stamp = 0};
        lone_in(o);
        struct step_event ev = {.kind = STEP_TIMER,
                                .now_us = o->now_us,
                                .wall_ms = o->ring->wall,
                                .reader = &o->reader};
        int err = ring_send(o->ring, &ev, &o->u, &p->side[1 - s]->self.id, WIRE_n_notice, &m, true);
        cr_assert_eq(err, 0, "%s", err_name(err));
        struct lone_peer nobody = lone_peer(77);
        err = ring_send(o->ring, &ev, &o->u, &nobody.id, WIRE_n_notice, &m, true);
        cr_assert_eq(err, PEAL_E_UNAVAILABLE, "to nobody: %s", err_name(err));
        lone_out(o);
    }
    pair_wait(p, 10 * MS);
    for (int s = 0; s < 2; s++)
        cr_assert(p->side[s]->message_n == 1 &&
                      id_eq(&p->side[s]->last_from, &p->side[1 - s]->self.id),
                  "side %d has heard %zu", s, p->side[s]->message_n);
    struct lone *o = p->side[0];
    struct wire_n_notice m = {.stamp = 0};
    lone_in(o);
    struct step_event ev = {
        .kind = STEP_TIMER, .now_us = o->now_us, .wall_ms = o->ring->wall, .reader = &o->reader};
    int err = ring_send(o->ring, &ev, &o->u, &o->self.id, WIRE_n_notice, &m, false);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_out(o);
    cr_assert(o->message_n == 2 && id_eq(&o->last_from, &o->self.id), "not to itself");
    pair_free(p);
}

/* Whatever comes over a link, it costs no more than the link. */
Test(pair, survives_damaged_and_repeated_frames)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct pair *p = met(false);
        rng_init(&p->rng, seed);
        p->damage = 10;
        pair_wait(p, 60 * SECOND);
        cr_assert_gt(p->side[0]->down_n, 3, "nothing was damaged");
        p->damage = 0;
        pair_wait(p, 30 * SECOND);
        assert_ring_of_two(p);
        cr_assert_eq(pair_open(p), 1, "%zu links", pair_open(p));
        pair_free(p);
    }
}

/* What is idle costs little: each is pinged by one side, not by both. */
Test(pair, pings_are_left_out_when_the_other_side_pings)
{
    struct pair *p = met(false);
    uint64_t before = p->side[0]->ring->count.messages + p->side[1]->ring->count.messages;
    pair_wait(p, 30 * SECOND);
    uint64_t n = p->side[0]->ring->count.messages + p->side[1]->ring->count.messages - before;
    uint64_t all = 2 * 2 * 30 * SECOND / PING_US; /* both sides' pings and pongs */
    cr_assert(n < all * 9 / 10 && n > all / 4, "%llu messages; without leaving out: %llu",
              (unsigned long long)n, (unsigned long long)all);
    pair_free(p);
}
