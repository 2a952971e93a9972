/* cast: broadcast along the tree of El-Ansary et al. (IPTPS 2003): whoever is to reach everyone in
 * a range hands a piece of it to each node that it may hand things to (fingers, successors; in a
 * small ring all mates), from that node up to the next one. So each member gets it once, in N - 1
 * messages and about log2 N steps.
 *
 * Best effort: a node without a good link is left out, which hands its piece to the one before it;
 * pieces before the first linked node are lost. What a node dies with is not sent again. */
#include "inner.h"

#include <string.h>

/* ---- the tree ---- */

bool cast_farther(const struct peal_id *self, const struct peal_id *a, const struct peal_id *b)
{
    if (id_eq(a, b) || id_eq(b, self))
        return false;
    return id_eq(a, self) || id_between(self, b, a);
}

size_t cast_split(const struct peal_id *self, const struct peal_id *limit,
                  const struct peal_id *ways, size_t n, struct branch out[static WAYS_MAX])
{
    CHECK(n <= WAYS_MAX);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!id_between(self, &ways[i], limit))
            continue;
        CHECK(k == 0 || id_between(self, &out[k - 1].to, &ways[i]));
        if (k > 0)
            out[k - 1].limit = ways[i];
        out[k++] = (struct branch){.to = ways[i], .limit = *limit};
    }
    return k;
}

size_t cast_branches(struct ring *r, const struct peal_id *limit,
                     struct branch out[static WAYS_MAX])
{
    struct peal_id ways[WAYS_MAX];
    size_t n = finger_ways(r, ways), k = 0;
    CHECK(n <= WAYS_MAX);
    for (size_t i = 0; i < n; i++)
        if (ring__link_to(r, &ways[i]) != NULL)
            ways[k++] = ways[i];
    return cast_split(&r->self.id, limit, ways, k, out);
}

/* ---- broadcast ---- */

/* False when this node has had it. */
static bool remember(struct ring *r, const struct peal_id *origin, uint64_t seq)
{
    size_t n = r->casts_n < CASTS_MAX ? r->casts_n : CASTS_MAX;
    for (size_t i = 0; i < n; i++)
        if (r->casts[i].seq == seq && id_eq(&r->casts[i].origin, origin))
            return false;
    r->casts[r->casts_n++ % CASTS_MAX] = (struct seen_cast){.origin = *origin, .seq = seq};
    return true;
}

static void pass_on(struct ring *r, const struct wire_r_cast *m, const struct peal_id *limit,
                    uint8_t depth)
{
    struct branch out[WAYS_MAX];
    size_t n = cast_branches(r, limit, out);
    for (size_t i = 0; i < n; i++) {
        struct wire_r_cast next = *m;
        next.depth = depth;
        next.limit = out[i].limit;
        if (ring__say(r, &out[i].to, WIRE_r_cast, &next))
            r->count.casts++;
    }
}

int ring_cast(struct ring *r, const struct step_event *ev, struct step_update *u, uint8_t kind,
              struct peal_bytes body)
{
    CHECK(r != NULL && ev != NULL && u != NULL);
    if (body.n > WIRE_CAST_MAX)
        return PEAL_E_TOO_LONG;
    if (!ring__is_member(r))
        return PEAL_E_UNAVAILABLE;
    ring__note_call(r, ev, u);
    /* a clock's stamp, so that after a restart the numbers are new ones */
    uint64_t stamp = clk_now(&r->clk, r->wall);
    r->cast_seq = stamp > r->cast_seq ? stamp : r->cast_seq + 1;
    bool fresh = remember(r, &r->self.id, r->cast_seq);
    CHECK(fresh);
    struct wire_r_cast m = {.origin = r->self.id, .seq = r->cast_seq, .kind = kind, .body = body};
    pass_on(r, &m, &r->self.id, 1);
    r->cfg.app.cast(r->cfg.app.ctx, u, &r->self.id, kind, body);
    return 0;
}

void ring__on_cast(struct ring *r, struct link *l, const struct wire_r_cast *m)
{
    CHECK(l->hello);
    if (id_is_zero(&m->origin) || m->depth == 0 || m->depth > CAST_DEPTH_MAX) {
        ring__drop(r, l, PEAL_E_MALFORMED, "a broadcast without origin, or deeper than may be");
        return;
    }
    if (!ring__is_member(r) || ring__is_self(r, &m->origin) || !remember(r, &m->origin, m->seq))
        return;
    /* A piece never goes round to the one who gave it, whatever limit it names. Its limit is this
     * node when the piece is this node alone. */
    struct peal_id limit = id_in_arc(&r->self.id, &m->limit, &l->peer) ? m->limit : l->peer;
    if (!ring__is_self(r, &m->limit) && m->depth < CAST_DEPTH_MAX)
        pass_on(r, m, &limit, (uint8_t)(m->depth + 1));
    r->cfg.app.cast(r->cfg.app.ctx, r->u, &m->origin, m->kind, m->body);
}
