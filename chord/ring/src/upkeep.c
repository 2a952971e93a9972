/* upkeep: Zave's operations (zave.c) as messages between nodes: stabilise in its two steps, joining
 * after a place that was found, and "pending" while one of them is under way.
 *
 * Not for: rings of no more than r members (small.c), who is alive (links.c), what others are
 * answered (answer.c), the predecessor (rectify.c).
 *
 * What the paper takes for granted and messages have to see to:
 * - A node's answer and the use of it must not overlap with answers of the user's own: enum
 * op_phase.
 * - A time-out means dead. A node that does not answer a query loses its link and so counts as dead
 *   everywhere in this node; one that answers "not a member" is alive, but no successor.
 * - A notify is owed until it could be said.
 *
 * What is not in the paper: a list is its successor's, one place on, so that news of r nodes on
 * would take r rounds to get here. A node whose list has changed therefore hints at it to its
 * predecessor, by a view that nobody asked for; which has no other effect than that the
 * predecessor's next round begins at once. */
#include "inner.h"

#include <string.h>

enum {
    /* After "pending" the answer comes by itself; when it does not, the operation begins again. */
    PENDING_WAIT_US = RTO_MAX_US,
    HINTS_A_ROUND = 16,   /* to the predecessor, of a list that keeps changing */
    REGAIN_US = 100 * MS, /* without a successor: before the next try, with jitter */
};

static uint64_t round_of(const struct ring *r)
{
    return r->cfg.stabilise_us != 0 ? r->cfg.stabilise_us : STABILISE_US;
}

static uint64_t silence_of(const struct ring *r)
{
    return r->cfg.silence_us != 0 ? r->cfg.silence_us : SILENCE_US;
}

bool upkeep_is_dead(struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_find(r, id);
    return n == NULL || n->contact.address_n == 0 ||
           (n->dead && n->link == UINT32_MAX && r->now >= n->doubt_us);
}

bool upkeep_is_gone(struct ring *r, const struct peal_id *id)
{
    const struct link *l = ring__link_to(r, id);
    if (l == NULL)
        return upkeep_is_dead(r, id);
    return l->state.phase == RING_SEEKING || l->state.phase == RING_LEFT;
}

static bool has(const struct zave *z, const struct peal_id *id)
{
    for (size_t i = 0; i < z->n; i++)
        if (!z->succ[i].artificial && id_eq(&z->succ[i].id, id))
            return true;
    return false;
}

/* Before the head, so that it should be queried; any node is when no head is left. */
static bool leads(const struct ring *r, const struct peal_id *id)
{
    const struct zave *z = &r->z;
    CHECK(z->n == z->r);
    if (id_eq(id, &z->self))
        return false;
    return z->succ[0].artificial || id_between(&z->self, id, &z->succ[0].id);
}

void upkeep_wake(struct ring *r)
{
    const struct upkeep *up = &r->up;
    if (up->phase != OP_IDLE) {
        ring__wake(r, PART_UPKEEP, up->due_us);
    } else if (r->phase == RING_LARGE) {
        ring__wake(r, PART_UPKEEP, up->round_us);
        if (up->hint_us != 0)
            ring__wake(r, PART_UPKEEP, up->hint_us);
        if (!id_is_zero(&up->candidate) && ring__link_to(r, &up->candidate) != NULL)
            ring__wake(r, PART_UPKEEP, up->candidate_us);
    }
    if (up->rectifying)
        ring__wake(r, PART_UPKEEP, up->rectify_us);
    if (!id_is_zero(&up->place))
        ring__wake(r, PART_UPKEEP, up->place_us);
}

void upkeep_reach(struct ring *r, const struct peal_id *id)
{
    struct node *n = book_find(r, id);
    if (n != NULL && n->link == UINT32_MAX && !upkeep_is_dead(r, id))
        ring__reach(r, n);
}

/* Who is a neighbour is of this ring, and lives as far as whoever told of him knows, whatever was
 * heard of him before the rings became one. That is no proof of life; but nobody else would find
 * out soon, and until then lookups would pass him over. */
static void take_in(struct ring *r, const struct peal_id *id)
{
    struct node *n = book_find(r, id);
    if (n == NULL)
        return;
    n->foreign = false;
    if (n->link == UINT32_MAX && n->contact.address_n > 0)
        ring__reach(r, n);
}

void upkeep_pointers_changed(struct ring *r)
{
    r->news = true;
    for (size_t i = 0; i < r->z.n; i++)
        if (!r->z.succ[i].artificial)
            take_in(r, &r->z.succ[i].id);
    take_in(r, &r->z.prdc);
}

static void list_changed(struct ring *r)
{
    struct upkeep *up = &r->up;
    uint64_t least = up->hinted_us + round_of(r) / HINTS_A_ROUND;
    upkeep_pointers_changed(r);
    if (up->hint_us == 0)
        up->hint_us = r->now > least ? r->now : least;
}

static bool same_list(const struct zave *a, const struct zave *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->succ[i].artificial != b->succ[i].artificial ||
            !id_eq(&a->succ[i].id, &b->succ[i].id))
            return false;
    return true;
}

/* Entries that were not in the list before: a neighbour names them, and what this node knows of
 * their deaths may be of a time when it was cut off itself. Of that only a try tells: without one
 * it would skip a live member. */
static void doubt_deaths(struct ring *r, const struct zave *before)
{
    for (size_t i = 0; i < r->z.n; i++) {
        const struct succ *s = &r->z.succ[i];
        struct node *n = s->artificial || has(before, &s->id) ? NULL : book_find(r, &s->id);
        if (n != NULL && n->dead && n->link == UINT32_MAX)
            n->doubt_us = r->now + silence_of(r);
    }
}

/* The operation is over: who waited is answered. */
static void idle(struct ring *r)
{
    r->up.phase = OP_IDLE;
    r->up.pending = false;
    answer_askers(r);
    upkeep_wake(r);
}

/* Nothing was changed since the query, so nothing is to be undone. */
static void give_up(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->phase != OP_IDLE);
    enum op_phase was = up->phase;
    uint64_t again = r->now + ring__jitter(r, PENDING_US);
    if (was == OP_STEP_2 && leads(r, &up->asked)) {
        up->candidate = up->asked;
        up->candidate_us = again;
    }
    if (was != OP_PLACING)
        up->round_us = again;
    idle(r);
    if (was == OP_PLACING)
        small_place_ended(r, PLACE_NONE);
}

/* ---- asking ---- */

/* Whether the view that this node has is of use: in a full book there may have been no room for
 * some of those in it, and "as you have it" would never tell their contacts again. */
static bool knows_view(struct ring *r)
{
    const struct zave *v = &r->up.have_view;
    CHECK(v->n <= RING_SUCCESSORS_MAX);
    for (size_t i = 0; i < v->n; i++)
        if (!v->succ[i].artificial && !ring__is_self(r, &v->succ[i].id) &&
            book_get(r, &v->succ[i].id) == NULL)
            return false;
    return true;
}

static void send_query(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->phase != OP_IDLE);
    struct wire_r_query q = {.op = up->op,
                             .have = up->phase != OP_PLACING && id_eq(&up->have_of, &up->asked) &&
                                             knows_view(r)
                                         ? up->have
                                         : 0};
    ring__say(r, &up->asked, WIRE_r_query, &q);
}

static void say_query(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->phase != OP_IDLE && up->tries < QUERY_TRIES);
    up->due_us = r->now + (ring__rto_to(r, &up->asked) << up->tries);
    up->tries++;
    /* A dead verdict on less than the silence that ends a link would be hasty. Who joins passes
     * none. */
    uint64_t wait = silence_of(r);
    if (up->phase == OP_PLACING && wait > PENDING_WAIT_US)
        wait = PENDING_WAIT_US;
    if (up->tries == QUERY_TRIES && up->due_us < up->asked_us + wait)
        up->due_us = up->asked_us + wait;
    send_query(r);
    upkeep_wake(r);
}

/* The queried node is late, perhaps dead, and that may last for all of a silence: who waits for
 * this node is answered as if it had given up, and it asks anew; what was asked before is
 * forgotten. */
static void ask_anew(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->phase != OP_IDLE && up->tries > 0);
    uint64_t least = r->now + 2 * ring__rto_to(r, &up->asked);
    uint64_t most = up->asked_us + 2 * silence_of(r); /* or askers could put it off for ever */
    least = least < most ? least : most;
    answer_askers(r);
    up->op = ++r->next_op;
    if (up->due_us < least)
        up->due_us = least;
    send_query(r);
    upkeep_wake(r);
}

static void ask(struct ring *r, enum op_phase phase, const struct peal_id *id)
{
    struct upkeep *up = &r->up;
    CHECK(phase != OP_IDLE);
    CHECK(up->phase == OP_IDLE || (up->phase == OP_STEP_1 && phase == OP_STEP_2));
    up->phase = phase;
    up->op = ++r->next_op;
    up->asked = *id;
    up->asked_us = r->now;
    up->tries = 0;
    up->pending = false;
    say_query(r);
}

void ring__on_query(struct ring *r, struct link *l, const struct wire_r_query *m)
{
    struct upkeep *up = &r->up;
    struct asker a = {.id = l->peer, .op = m->op, .have = m->have};
    bool mine = answer_is_for(r, &l->peer);
    /* a SMALL node that is about to be of the asker's ring will soon be able to answer */
    bool soon = r->phase == RING_SMALL && r->small.placing;
    if (mine && up->phase != OP_IDLE && up->pending)
        give_up(r);
    if (mine ? up->phase == OP_IDLE : !soon) {
        answer_one(r, &a);
        return;
    }
    answer_later(up, &a);
    if (mine && up->tries > 1)
        ask_anew(r);
    else
        answer_without(r, l, m->op, PEAL_E_BUSY);
}

static void notify(struct ring *r, const struct peal_id *to)
{
    struct wire_r_notify m = {0};
    ring__my_state(r, &m.state);
    if (ring__say(r, to, WIRE_r_notify, &m)) {
        r->up.owed = (struct peal_id){0};
        return;
    }
    r->up.owed = *to;
    upkeep_reach(r, to);
}

static void notify_head(struct ring *r)
{
    if (!r->z.succ[0].artificial)
        notify(r, &r->z.succ[0].id);
}

/* STEP_1: the head is dead or no member any more. */
static void drop_head(struct ring *r)
{
    CHECK(r->phase == RING_LARGE && r->z.n == r->z.r);
    zave_drop_head(&r->z);
    list_changed(r);
}

/* The queried node is dead or no member. */
static void query_failed(struct ring *r)
{
    struct upkeep *up = &r->up;
    switch (up->phase) {
    case OP_IDLE:
        return;
    case OP_STEP_1:
        if (!r->z.succ[0].artificial && id_eq(&r->z.succ[0].id, &up->asked))
            drop_head(r);
        notify_head(r);
        r->count.stabilised++;
        up->round_us = r->now; /* with the next head at once */
        idle(r);
        return;
    case OP_STEP_2:
        notify_head(r);
        idle(r);
        return;
    case OP_PLACING:
        idle(r);
        small_place_ended(r, PLACE_NONE);
        return;
    }
}

static void query_late(struct ring *r)
{
    struct upkeep *up = &r->up;
    if (up->pending) {
        give_up(r);
        return;
    }
    if (up->tries < QUERY_TRIES) {
        if (up->askers_n > 0) {
            answer_askers(r);
            up->op = ++r->next_op;
        }
        say_query(r);
        return;
    }
    r->count.timeouts++;
    uint64_t op = up->op;
    struct link *l = ring__link_to(r, &up->asked);
    if (l != NULL && up->phase != OP_PLACING)
        ring__drop(r, l, PEAL_E_UNAVAILABLE, "it does not answer");
    if (up->phase != OP_IDLE && up->op == op)
        query_failed(r);
}

/* ---- stabilise ---- */

/* The member next to this one, clockwise, of those that are linked. */
static const struct link *next_linked(const struct ring *r)
{
    const struct link *next = NULL;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        if (l->hello && l->state.phase == RING_LARGE && !ring__is_self(r, &l->peer) &&
            (next == NULL || id_between(&r->z.self, &l->peer, &next->peer)))
            next = l;
    }
    return next;
}

/* All successors have died since they were heard of: the proof assumes that away. This node stays a
 * member, for whoever has it as the only live entry would be lost next: any live member is a
 * candidate for a head, and who is nearer will be the next, found as always. */
static void regain_head(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(r->phase == RING_LARGE && r->z.succ[0].artificial);
    const struct link *l = next_linked(r);
    if (l == NULL) {
        small_round(r);
        return;
    }
    const struct peal_id linked = l->peer, after = id_add_pow2(&r->z.self, 0);
    const struct node *known = r->cfg.no_hints ? NULL : hop_first_living(r, &after);
    if (known != NULL && known->link == UINT32_MAX)
        upkeep_candidate(r, &known->contact.id);
    up->round_us = r->now + ring__jitter(r, REGAIN_US); /* if this was in vain */
    ask(r, OP_STEP_2, &linked);
}

static void begin_round(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(up->phase == OP_IDLE && r->phase == RING_LARGE);
    up->round_us = r->now + ring__jitter(r, round_of(r));
    bool dropped = false;
    while (!r->z.succ[0].artificial && upkeep_is_dead(r, &r->z.succ[0].id)) {
        drop_head(r); /* at most r times: then all are artificial */
        dropped = true;
    }
    if (r->z.succ[0].artificial) {
        regain_head(r);
        return;
    }
    if (dropped)
        notify_head(r);
    const struct peal_id head = r->z.succ[0].id;
    if (ring__link_to(r, &head) != NULL)
        ask(r, OP_STEP_1, &head);
    else
        upkeep_reach(r, &head); /* upkeep_up or upkeep_dead goes on */
}

static void begin_candidate(struct ring *r)
{
    struct upkeep *up = &r->up;
    const struct peal_id id = up->candidate;
    const struct link *l = ring__link_to(r, &id);
    if (l == NULL)
        return;
    up->candidate = (struct peal_id){0};
    if (leads(r, &id) && l->state.phase == RING_LARGE)
        ask(r, OP_STEP_2, &id);
}

/* Whether the list that has reached round to this node is of everyone. A live member that was in
 * the list before, or is the predecessor, or linked, and is not in it now says that it is not: then
 * the list came from somebody who does not know. */
static bool is_everyone(struct ring *r, const struct zave *before)
{
    const struct zave *z = &r->z;
    if (!zave_is_round(z))
        return false;
    for (uint32_t i = 0; i < r->links_n; i++) {
        const struct link *l = &r->links[i];
        if (l->hello && l->state.phase == RING_LARGE && !has(z, &l->peer))
            return false;
    }
    if (!id_is_zero(&z->prdc) && !upkeep_is_gone(r, &z->prdc) && !has(z, &z->prdc))
        return false;
    for (size_t i = 0; i < before->n; i++) {
        const struct succ *s = &before->succ[i];
        if (!s->artificial && !upkeep_is_gone(r, &s->id) && !has(z, &s->id))
            return false;
    }
    return true;
}

/* The list was taken. True: the ring is a small one now, and that is all. */
static bool list_taken(struct ring *r, const struct zave *before)
{
    if (!same_list(before, &r->z)) {
        doubt_deaths(r, before);
        list_changed(r);
    }
    if (!is_everyone(r, before))
        return false;
    idle(r);
    small_round(r);
    return true;
}

static void end_step_1(struct ring *r, const struct zave *view, const struct peal_id *prdc)
{
    if (r->z.succ[0].artificial || !id_eq(&r->z.succ[0].id, &view->self)) {
        idle(r);
        return;
    }
    struct zave before = r->z;
    bool go_on = zave_take(&r->z, view, prdc);
    r->count.stabilised++;
    if (list_taken(r, &before))
        return;
    if (go_on && !upkeep_is_dead(r, prdc)) {
        const struct link *l = ring__link_to(r, prdc);
        if (l != NULL && l->state.phase == RING_LARGE) {
            ask(r, OP_STEP_2, prdc);
            return;
        }
        if (l == NULL)
            upkeep_candidate(r, prdc);
    }
    notify_head(r);
    idle(r);
}

static void end_step_2(struct ring *r, const struct zave *view)
{
    struct zave before = r->z;
    if (zave_take_candidate(&r->z, view)) {
        r->count.candidates++;
        if (list_taken(r, &before))
            return;
    }
    notify_head(r);
    idle(r);
}

/* A node that comes back may still be the head of m's list. What m would do when it found that the
 * old one is dead is done for it: the list without it. */
static void end_placing(struct ring *r, const struct zave *view, bool large)
{
    struct zave m = *view;
    bool was_head = m.n > 0 && !m.succ[0].artificial && id_eq(&m.succ[0].id, &r->z.self);
    if (was_head) {
        m.n--;
        memmove(&m.succ[0], &m.succ[1], m.n * sizeof m.succ[0]);
    }
    bool live = false;
    for (size_t i = 0; i < m.n && i < r->z.r && !live; i++)
        live = !m.succ[i].artificial && !upkeep_is_dead(r, &m.succ[i].id);
    r->up.phase = OP_IDLE; /* who waits is answered when it is clear as what */
    r->up.pending = false;
    if (large && was_head && !live) {
        small_place_ended(r, PLACE_ALONE);
        return;
    }
    if (!large || !live || !id_between(&m.self, &r->z.self, &m.succ[0].id)) {
        small_place_ended(r, PLACE_NONE);
        return;
    }
    zave_join(&r->z, &m);
    doubt_deaths(r, &(struct zave){0});
    small_place_ended(r, PLACE_TAKEN);
    upkeep_pointers_changed(r);
    notify_head(r);
}

/* The view in m: into the memory of the last one. False: the link was dropped. */
static bool keep_view(struct ring *r, struct link *l, const struct wire_r_view *m)
{
    const char *why = NULL;
    if (m->digest == 0)
        why = "a view without a digest";
    for (size_t i = 0; i < m->successors.n && why == NULL; i++)
        if (id_is_zero(&m->successors.v[i].id))
            why = "a successor without an id";
    if (m->predecessor.n > 0 &&
        (m->predecessor.v[0].addresses.n == 0 || id_eq(&m->predecessor.v[0].id, &l->peer)))
        why = "a predecessor that is none";
    if (why != NULL) {
        ring__drop(r, l, PEAL_E_MALFORMED, why);
        return false;
    }
    struct zave *v = &r->up.have_view;
    memset(v, 0, sizeof *v);
    v->self = l->peer;
    for (size_t i = 0; i < m->successors.n; i++) {
        v->succ[i].id = m->successors.v[i].id;
        v->succ[i].artificial = m->successors.v[i].addresses.n == 0;
    }
    v->n = (uint8_t)m->successors.n;
    r->up.have_prdc = m->predecessor.n > 0;
    if (r->up.have_prdc)
        v->prdc = m->predecessor.v[0].id;
    r->up.have = m->digest;
    r->up.have_of = l->peer;
    return true;
}

/* Being in a list is no proof of life: stamp 0 is believed only of nodes not known before. But who
 * joins may have been cut off for a time: of the head the member that it asks knows better. */
static void learn_view(struct ring *r, const struct wire_r_view *m)
{
    bool news;
    uint64_t stamp = r->up.phase == OP_PLACING ? clk_now(&r->clk, r->wall) : 0;
    for (size_t i = 0; i < m->predecessor.n; i++)
        if (!ring__is_self(r, &m->predecessor.v[i].id))
            book_learn(r, &m->predecessor.v[i], false, 0, &news);
    for (size_t i = 0; i < m->successors.n; i++)
        if (m->successors.v[i].addresses.n > 0 && !ring__is_self(r, &m->successors.v[i].id))
            book_learn(r, &m->successors.v[i], false, i == 0 ? stamp : 0, &news);
}

static void end_query(struct ring *r, bool large)
{
    struct upkeep *up = &r->up;
    const struct zave view = up->have_view;
    CHECK(id_eq(&view.self, &up->asked));
    switch (up->phase) {
    case OP_IDLE:
        return;
    case OP_STEP_1:
        end_step_1(r, &view, up->have_prdc ? &view.prdc : NULL);
        return;
    case OP_STEP_2:
        end_step_2(r, &view);
        return;
    case OP_PLACING:
        end_placing(r, &view, large);
        return;
    }
}

/* A view that was not asked for: the head's list is another than the one known here. */
static void heed(struct ring *r, const struct peal_id *peer, const struct wire_r_view *m)
{
    struct upkeep *up = &r->up;
    bool head = r->phase == RING_LARGE && !r->z.succ[0].artificial && id_eq(&r->z.succ[0].id, peer);
    if (!head || m->op != 0 || -(int)m->code != PEAL_E_STALE ||
        (id_eq(&up->have_of, peer) && m->digest == up->have))
        return;
    up->round_us = r->now;
    upkeep_wake(r);
}

void ring__on_view(struct ring *r, struct link *l, const struct wire_r_view *m)
{
    struct upkeep *up = &r->up;
    bool large = m->state.phase == RING_LARGE;
    int code = -(int)m->code;
    if (code != 0 && code != PEAL_E_STALE && code != PEAL_E_BUSY && code != PEAL_E_REFUSED) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a view of an unknown code");
        return;
    }
    if (code != 0 && (m->successors.n > 0 || m->predecessor.n > 0)) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a view that is none, with nodes");
        return;
    }
    const struct peal_id peer = l->peer;
    if (up->phase == OP_IDLE || m->op != up->op || !id_eq(&peer, &up->asked)) {
        heed(r, &peer, m);
        ring__node_state(r, l, &m->state);
        return;
    }
    if (code == PEAL_E_STALE && (!id_eq(&up->have_of, &peer) || m->digest != up->have)) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a view that this node is said to have");
        return;
    }
    if (code == 0 && !keep_view(r, l, m))
        return;
    if (up->tries == 1 && !up->pending)
        ring__link_sample(l, r->now - up->asked_us);
    ring__node_state(r, l, &m->state);
    if (code == 0)
        learn_view(r, m);
    if (up->phase == OP_IDLE || m->op != up->op)
        return; /* what it said of itself has ended the operation */
    if (code == PEAL_E_REFUSED) {
        query_failed(r);
    } else if (code != PEAL_E_BUSY) {
        end_query(r, large);
    } else if (up->askers_n > 0) {
        give_up(r);
    } else {
        up->pending = true;
        up->due_us = r->now + PENDING_WAIT_US;
        upkeep_wake(r);
    }
}

/* ---- what else happens ---- */

void upkeep_start(struct ring *r)
{
    struct upkeep *up = &r->up;
    CHECK(r->phase == RING_LARGE && r->z.n == r->z.r);
    up->candidate = up->owed = up->place = (struct peal_id){0};
    up->rectifying = false;
    up->round_us = r->now;
    upkeep_pointers_changed(r);
    idle(r);
}

void upkeep_answer(struct ring *r)
{
    if (r->up.phase == OP_IDLE)
        idle(r);
}

void upkeep_stop(struct ring *r)
{
    struct upkeep *up = &r->up;
    up->candidate = up->owed = up->place = (struct peal_id){0};
    up->rectifying = false;
    up->phase = OP_IDLE;
    up->pending = false;
}

void upkeep_timer(struct ring *r)
{
    struct upkeep *up = &r->up;
    rectify_timer(r);
    if (!id_is_zero(&up->place) && r->now >= up->place_us) {
        up->place = (struct peal_id){0};
        small_place_ended(r, PLACE_NONE);
    }
    if (up->phase != OP_IDLE && r->now >= up->due_us)
        query_late(r);
    if (up->phase == OP_IDLE && r->phase == RING_LARGE && !id_is_zero(&up->candidate) &&
        r->now >= up->candidate_us)
        begin_candidate(r);
    if (up->phase == OP_IDLE && r->phase == RING_LARGE && up->hint_us != 0 && r->now >= up->hint_us)
        answer_hint(r);
    if (up->phase == OP_IDLE && r->phase == RING_LARGE && r->now >= up->round_us)
        begin_round(r);
    upkeep_wake(r);
}

void upkeep_candidate(struct ring *r, const struct peal_id *id)
{
    if (r->phase != RING_LARGE) {
        small_heard(r, id);
        return;
    }
    struct upkeep *up = &r->up;
    if (!leads(r, id) || upkeep_is_dead(r, id))
        return;
    const struct link *l = ring__link_to(r, id);
    if (l != NULL && l->state.phase != RING_LARGE)
        return; /* alive, but no member that could answer */
    if (!id_is_zero(&up->candidate) && !id_eq(&up->candidate, id) &&
        !id_between(&r->z.self, id, &up->candidate) &&
        (l == NULL || ring__link_to(r, &up->candidate) != NULL))
        return;
    if (!id_eq(&up->candidate, id))
        up->candidate_us = r->now; /* else give_up's pause, if there is one, goes on */
    up->candidate = *id;
    if (l == NULL)
        upkeep_reach(r, id);
    else
        upkeep_wake(r);
}

void upkeep_place(struct ring *r, const struct peal_id *m)
{
    struct upkeep *up = &r->up;
    CHECK(r->phase != RING_LARGE);
    if (up->phase != OP_IDLE || ring__is_self(r, m) || upkeep_is_dead(r, m)) {
        small_place_ended(r, PLACE_NONE);
        return;
    }
    if (ring__link_to(r, m) != NULL) {
        ask(r, OP_PLACING, m);
        return;
    }
    up->place = *m;
    up->place_us = r->now + DIAL_GIVE_UP_US;
    upkeep_reach(r, m);
    upkeep_wake(r);
}

void upkeep_up(struct ring *r, const struct peal_id *id)
{
    struct upkeep *up = &r->up;
    if (id_eq(&up->place, id) && up->phase == OP_IDLE && r->phase != RING_LARGE) {
        up->place = (struct peal_id){0};
        ask(r, OP_PLACING, id);
        return;
    }
    if (r->phase != RING_LARGE)
        return;
    if (id_eq(&up->owed, id))
        notify(r, id);
    rectify_up(r, id);
    if (!r->z.succ[0].artificial && id_eq(&r->z.succ[0].id, id))
        up->round_us = r->now;
    upkeep_candidate(r, id);
    upkeep_wake(r);
}

void upkeep_dead(struct ring *r, const struct peal_id *id)
{
    struct upkeep *up = &r->up;
    struct node *n = book_find(r, id);
    if (n != NULL)
        n->doubt_us = 0;
    if (id_eq(&up->candidate, id))
        up->candidate = (struct peal_id){0};
    if (id_eq(&up->owed, id))
        up->owed = (struct peal_id){0};
    if (id_eq(&up->place, id)) {
        up->place = (struct peal_id){0};
        small_place_ended(r, PLACE_NONE);
    }
    rectify_dead(r, id);
    if (up->phase != OP_IDLE && id_eq(&up->asked, id))
        query_failed(r);
    if (r->phase == RING_LARGE && !r->z.succ[0].artificial && id_eq(&r->z.succ[0].id, id))
        up->round_us = r->now;
    upkeep_wake(r);
}

const struct peal_id *upkeep_best(struct ring *r)
{
    if (!ring__is_member(r))
        return NULL;
    for (size_t i = 0; i < r->z.n; i++)
        if (!r->z.succ[i].artificial && !upkeep_is_dead(r, &r->z.succ[i].id))
            return &r->z.succ[i].id;
    return NULL;
}

bool upkeep_near(struct ring *r, const struct peal_id *id)
{
    const struct peal_id *best = upkeep_best(r);
    return best != NULL && (id_eq(best, id) || id_eq(&r->z.prdc, id));
}

bool upkeep_needs(struct ring *r, const struct peal_id *id)
{
    const struct upkeep *up = &r->up;
    if (id_eq(&up->place, id) || (up->phase != OP_IDLE && id_eq(&up->asked, id)))
        return true;
    if (r->phase != RING_LARGE)
        return false;
    if (rectify_needs(r, id))
        return true;
    return has(&r->z, id) || id_eq(&r->z.prdc, id) || id_eq(&up->candidate, id) ||
           id_eq(&up->owed, id);
}

bool upkeep_owns(struct ring *r, const struct peal_id *key)
{
    return ring__is_member(r) && id_in_arc(&r->z.prdc, key, &r->z.self);
}
