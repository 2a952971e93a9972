/* reload: what this node holds true of its ring and of its copies, once its store takes writes
 * again.
 *
 * Memory follows the disk by one update: what an update changes in memory is true when its writes
 * are. Where a store refuses writes the two part: a page of a copy counts as there and is not, an
 * epoch as adopted. Nobody else has heard of it, for what such an update had to say was not said,
 * and while the store is unwell this node has no say in anything; but as soon as it is well, it
 * would speak for copies that it does not have. So the disk counts, as after a restart; links and
 * operations under way go on.
 *
 * Not for: counts and digests of what lies on the disk (boxes.c, cells.c), which the sweep sets
 * right. */
#include "inner.h"

#include <string.h>

/* What roster_load reads. */
struct remembered {
    struct roster roster, proposal;
    uint64_t ready, base[ARCS_MAX];
    bool distrusted;
};

static struct remembered forget(struct chord *c)
{
    struct remembered was = {.roster = c->roster,
                             .proposal = c->proposal,
                             .ready = c->ready,
                             .distrusted = c->distrusted};
    memcpy(was.base, c->base, sizeof was.base);
    memset(&c->roster, 0, sizeof c->roster);
    memset(&c->proposal, 0, sizeof c->proposal);
    memset(&c->past, 0, sizeof c->past);
    memset(&c->promised, 0, sizeof c->promised);
    memset(&c->accepted, 0, sizeof c->accepted);
    memset(&c->of, 0, sizeof c->of);
    c->ready = c->trusted = 0;
    c->renewal = c->distrusted = false;
    c->prop.phase = PROPOSE_IDLE;
    return was;
}

static bool is_same(const struct chord *c, const struct remembered *was)
{
    if (!same_roster(&c->roster, &was->roster) || c->ready != was->ready)
        return false;
    for (size_t i = 0; i < c->arcs_n; i++) {
        size_t arc = c->arcs[i].index;
        if ((c->ready >> arc & 1) == 0 && c->base[arc] != was->base[arc])
            return false;
    }
    return true;
}

/* The disk knows of no ring: it was entered in vain. What was accepted stands. */
static void is_out(struct chord *c, const struct roster *was)
{
    struct roster proposal = c->proposal;
    struct wire_ballot promised = c->promised, accepted = c->accepted;
    bool renewal = c->renewal;
    c->roster = *was;
    roster_leave(c);
    c->proposal = proposal;
    c->promised = promised;
    c->accepted = accepted;
    c->renewal = renewal;
    roster_save(c);
}

static void is_in(struct chord *c, const struct roster *was)
{
    for (size_t i = 0; i < was->n; i++)
        if (!roster_has(&c->roster, &was->members[i]))
            want(c, &was->members[i], false);
    arcs_rebuild(c);
    votes_assign(c);
    members_refresh(c, was);
    peers_want(c);
    set_state(c, roster_sealed(&c->roster) ? CHORD_MOVING
                 : ready_all(c)            ? CHORD_MEMBER
                                           : CHORD_COPYING);
    copy_begin(c);
}

void reload(struct chord *c)
{
    if (c->state == CHORD_LEFT)
        return;
    struct remembered was = forget(c);
    roster_load(c);
    if (was.distrusted)
        distrust(c, peal_bytes_str("what was found on its disk could not be noted there"));
    if (is_same(c, &was)) {
        copy_begin(c); /* pages of a copy that is not complete may have been refused */
        return;
    }
    step_trace(c->u, STEP_WARN, "store", "epoch %llu is on the disk, epoch %llu was not written",
               (unsigned long long)c->roster.epoch, (unsigned long long)was.roster.epoch);
    take_stop(c);
    former_load(c);
    if (c->roster.epoch == 0)
        is_out(c, &was.roster);
    else
        is_in(c, &was.roster);
    coordinator_update(c);
    repair_soon(c);
    sweep_soon(c);
    ops_wake(c, c->now);
    c->changed = c->state_news = true;
}
