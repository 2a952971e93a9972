/* unite: rings that were founded apart, and that hold something, become one. The smaller one goes
 * into the larger: its servers ask there for admission, one by one, as any other server does.
 *
 * Two decisions, each an epoch of the ring that takes it (Paxos, roster.c):
 *
 *   the larger ring L:   roster.takes gains S        "we take in S"
 *   the smaller ring S:  roster.into becomes L       "we go into L"; S's last epoch: it seals S
 *
 * What is undone by no one: a ring never takes back either. S may go into L only when it has seen
 * that L takes it, and
 *
 *   S has offered nobody to take them in, or L's id is lower than S's.                          (*)
 *
 * Why rings never go into each other, in a circle of any length, however stale what they know of
 * each other's sizes: in a circle each ring is gone into by its neighbour, so it had offered to
 * take that one in before it was sealed itself (a sealed ring decides nothing any more). Hence for
 * each the second half of (*) holds, and the ids fall all the way round, which they cannot. Why
 * none waits for ever, either: if L takes S and S may not go for (*), S's id is the lower one; then
 * S takes L as well, and L may go.
 *
 * Sealed: every server of S that learns of the last epoch refuses votes on S's registers and sets
 * them aside (former.c); rows are safe wherever they lie, and are taken as before until the server
 * leaves for L, where they find their homes through the sweep. Servers of S that were away learn of
 * it from whoever they meet.
 *
 * Not for: rings of one that hold nothing, which just give way (found.c). */
#include "inner.h"

#include <string.h>

/* ---- other rings ---- */

static struct other *other_of(struct chord *c, const struct peal_id *ring)
{
    for (size_t i = 0; i < OTHERS_MAX; i++)
        if (c->others[i].roster.epoch != 0 && id_eq(&c->others[i].roster.ring, ring))
            return &c->others[i];
    return NULL;
}

void unite_met(struct chord *c, const struct roster *r)
{
    CHECK(r->epoch != 0 && !id_eq(&r->ring, &c->roster.ring));
    struct other *o = other_of(c, &r->ring);
    if (o == NULL) {
        o = &c->others[0];
        for (size_t i = 1; i < OTHERS_MAX; i++)
            if (c->others[i].heard_us < o->heard_us)
                o = &c->others[i];
        *o = (struct other){.met_us = c->now};
    }
    if (c->now - o->heard_us > UNITE_HEARD_US)
        o->met_us = c->now;
    o->heard_us = c->now;
    if (r->epoch > o->roster.epoch)
        o->roster = *r;
}

void unite_heard(struct chord *c, const struct peer *p)
{
    struct other *o = other_of(c, &p->ring.id);
    if (o != NULL && p->linked)
        o->heard_us = c->now;
}

void on_other(struct chord *c, const struct source *src, const struct wire_n_other *m)
{
    struct roster r;
    if (roster_take(&r, &m->roster) < 0) {
        ring_refuse(c->ring, c->ev, c->u, &src->id, PEAL_E_MALFORMED,
                    "the other ring's roster is not of its form");
        return;
    }
    bool ours = c->roster.epoch != 0 && id_eq(&r.ring, &c->roster.ring);
    if (former_of(c, &r.ring) != NULL)
        return;
    struct peer *p = peer_of(c, &src->id);
    if (ours && p != NULL)
        roster_offered(c, p, &r, roster_sealed(&r)); /* nobody else may be left to say more */
    else if (!ours && roster_sealed(&r))
        former_add(c, &r, false);
    else if (!ours && c->roster.epoch != 0)
        unite_met(c, &r);
}

static void say_other(struct chord *c, const struct roster *r, const struct peal_id *to)
{
    struct peal_id ids[ROSTER_IDS];
    struct wire_n_other m = {.roster = roster_view(r, ids)};
    (void)send_to(c, to, WIRE_n_other, &m);
}

/* ---- the two decisions ---- */

static struct roster next_epoch(const struct chord *c)
{
    struct roster v = c->roster;
    v.epoch++;
    return v;
}

static bool is_larger(const struct roster *a, const struct roster *b)
{
    return a->n > b->n || (a->n == b->n && id_cmp(&a->ring, &b->ring) < 0);
}

static void take(struct chord *c, const struct roster *other)
{
    struct roster v = next_epoch(c);
    struct peal_id nobody = {{0}};
    char mine[9], theirs[9];
    size_t at = 0;
    CHECK(v.takes_n < WIRE_TAKES_MAX && !roster_takes(&v, &other->ring));
    while (at < v.takes_n && id_cmp(&v.takes[at], &other->ring) < 0)
        at++;
    memmove(&v.takes[at + 1], &v.takes[at], (v.takes_n - at) * sizeof v.takes[0]);
    v.takes[at] = other->ring;
    v.takes_n++;
    step_trace(c->u, STEP_INFO, "unite", "this ring, %s (%zu servers), takes in ring %s (%zu)",
               short_id(&v.ring, mine), v.n, short_id(&other->ring, theirs), other->n);
    propose(c, &v, &nobody, false);
}

static void go(struct chord *c, const struct roster *other)
{
    struct roster v = next_epoch(c);
    struct peal_id nobody = {{0}};
    char mine[9], theirs[9];
    v.into = other->ring;
    step_trace(c->u, STEP_INFO, "unite", "this ring, %s (%zu servers), goes into ring %s (%zu)",
               short_id(&v.ring, mine), v.n, short_id(&other->ring, theirs), other->n);
    propose(c, &v, &nobody, false);
}

static void say_apart(struct chord *c, const struct roster *other, const char *why)
{
    char mine[9], theirs[9];
    if (c->now < c->waiting_us)
        return;
    c->waiting_us = c->now + WAITING_SAY_US;
    step_trace(c->u, STEP_WARN, "unite", "ring %s and this one, %s, stay apart: %s",
               short_id(&other->ring, theirs), short_id(&c->roster.ring, mine), why);
}

/* Whether something was proposed. */
static bool decide(struct chord *c, const struct other *o)
{
    const struct roster *us = &c->roster, *they = &o->roster;
    bool offered = roster_takes(they, &us->ring), taken = roster_takes(us, &they->ring);
    bool free = us->takes_n == 0 || id_cmp(&they->ring, &us->ring) < 0;
    if (roster_sealed(they))
        return false; /* its servers come by themselves, to here or to where it goes */
    bool goes = offered && free;
    if (!goes &&
        (taken || c->now - o->met_us < UNITE_WAIT_US || (!offered && !is_larger(us, they))))
        return false;
    if (us->n + they->n > WIRE_ROSTER_MAX) {
        say_apart(c, they, "together they have more servers than one ring may have (64)");
        return false;
    }
    if (goes) {
        go(c, they);
        return true;
    }
    if (us->takes_n == WIRE_TAKES_MAX) {
        say_apart(c, they, "this one has taken in as many others as it can (16)");
        return false;
    }
    take(c, they);
    return true;
}

/* ---- time ---- */

static bool is_here(const struct chord *c, const struct other *o)
{
    return o->roster.epoch != 0 && !id_eq(&o->roster.ring, &c->roster.ring) &&
           c->now - o->heard_us < UNITE_HEARD_US;
}

/* Whoever is linked and of another ring hears what this one has decided; this ring's coordinator
 * hears of the others; whoever takes registers in, of the rings that have ended. */
static void spread(struct chord *c)
{
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        struct source src = {.id = p->id};
        if (p->used && p->linked && p->ring.epoch != 0 && !same_ring(c, p) &&
            former_of(c, &p->ring.id) == NULL)
            roster_tell(c, &src);
        for (size_t k = 0; p->used && p->up && p->state.taking && k < c->formers_n; k++)
            former_tell(c, &c->formers[k], &p->id);
    }
    if (id_is_zero(&c->coordinator) || is_self(c, &c->coordinator))
        return;
    for (size_t i = 0; i < OTHERS_MAX; i++)
        if (is_here(c, &c->others[i]))
            say_other(c, &c->others[i].roster, &c->coordinator);
}

/* The last register is set aside: this node is free to go. Some of those that it goes to are to be
 * linked, so that there is somebody to ask. */
static void leave_for_other(struct chord *c)
{
    const struct other *o = other_of(c, &c->roster.into);
    former_add(c, &c->roster, ready_all(c));
    c->moved_us = c->now;
    c->of = (struct peal_id){{0}};
    roster_leave(c);
    if (o != NULL)
        roster_call_on(c, &o->roster);
}

/* One that was taken out of its ring, which has gone into another since; or that does not know its
 * ring any more. */
static bool is_left_over(struct chord *c)
{
    return c->roster.epoch == 0 && (c->strange || former_of(c, &c->of) != NULL);
}

static void set_aside(struct chord *c)
{
    if (c->store_err < 0 || c->now < c->move_us)
        return;
    int n = former_set_aside(c);
    c->move_us = c->now + (n < 0 ? SECOND : MOVE_REST_US);
    if (n < 0)
        step_trace(c->u, STEP_WARN, "store", "registers cannot be set aside: %s", err_prose(n));
    else if (n < MOVE_BATCH && c->roster.epoch != 0)
        leave_for_other(c);
    else if (n < MOVE_BATCH) {
        c->of = (struct peal_id){{0}};
        c->strange = false;
        roster_save(c);
    }
}

uint64_t unite_deadline(const struct chord *c)
{
    bool moving = c->state == CHORD_MOVING || c->strange;
    return moving && c->store_err == 0 ? c->move_us : UINT64_MAX;
}

void unite_timer(struct chord *c)
{
    if (c->state == CHORD_MOVING || is_left_over(c)) {
        set_aside(c);
        return;
    }
    if (c->state != CHORD_MEMBER || c->now < c->unite_us)
        return;
    c->unite_us = c->now + jitter(c, UNITE_EVERY_US);
    spread(c);
    for (size_t i = 0; i < OTHERS_MAX && may_propose(c); i++)
        if (is_here(c, &c->others[i]) && decide(c, &c->others[i]))
            return;
}
