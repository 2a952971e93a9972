/* above: small services for the layer above, which has messages of its own on the same links. */
#include "inner.h"

int ring_learn(struct ring *r, const struct step_event *ev, struct step_update *u,
               const struct wire_contact *w)
{
    ring__note_call(r, ev, u);
    if (ring__is_self(r, &w->id))
        return 0;
    bool news;
    struct node *n;
    return book_take(r, w, false, 0, &news, &n);
}

bool ring_join_answered(const struct ring *r, size_t i, struct peal_id *who)
{
    CHECK(i < r->cfg.joins_n);
    const struct join *j = &r->joins[i];
    *who = j->self ? r->self.id : j->peer;
    return j->known || j->self;
}

void ring_refuse(struct ring *r, const struct step_event *ev, struct step_update *u,
                 const struct peal_id *id, int err, const char *why)
{
    ring__note_call(r, ev, u);
    CHECK(err < 0);
    struct link *l = ring__is_self(r, id) ? NULL : ring__link_to(r, id);
    if (l != NULL)
        ring__drop(r, l, err, why);
}

uint64_t ring_stamp(struct ring *r, const struct step_event *ev)
{
    return clk_now(&r->clk, ev->wall_ms);
}
