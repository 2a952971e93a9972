/* remove: taking a server out of the roster for good. Whoever is asked passes it on to the
 * coordinator, which proposes an epoch without it (admit.c) or says why not. */
#include "inner.h"

int chord_remove(struct chord *c, const struct step_event *ev, struct step_update *u,
                 uint64_t token, const struct peal_id *id, uint64_t timeout_us)
{
    note_call(c, ev, u);
    CHECK(c->cfg.app.removed != NULL);
    (void)id;
    (void)timeout_us;
    c->cfg.app.removed(c->cfg.app.ctx, u, token, PEAL_E_UNAVAILABLE,
                       peal_bytes_str("this server cannot take others out of the ring yet"));
    return 0;
}
