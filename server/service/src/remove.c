/* Taking a server that is gone for good out of the ring, on the word of somebody who holds the
 * ring's key. The word names the roster it is meant for, so that it cannot be said again later.
 *
 * Not for: whether it may go and how (chord_remove). */
#include "inner.h"

#include <stdio.h>
#include <string.h>

static void refuse(struct svc *s, const struct client *c, uint64_t req, int err,
                   struct peal_bytes text)
{
    char message[WIRE_TEXT_MAX + 1];
    (void)snprintf(message, sizeof message, "%.*s", (int)text.n, (const char *)text.p);
    const char *hint = "peal ring status shows the ring; nothing was changed";
    if (err == PEAL_E_UNKNOWN)
        hint = "peal ring status shows whether it is still there; say it again if so";
    else if (err == PEAL_E_BUSY)
        hint = "say it again when peal ring status calls the ring whole or closed";
    else if (err == PEAL_E_UNAVAILABLE)
        hint = "say it again when more servers are up; nothing was changed";
    CHECK(err < 0);
    client_error(s, c, req, err, text.n > 0 ? message : err_prose(err), hint);
}

/* Whether the word is the operator's, for the present roster; if not, it has been answered. */
static bool is_meant(struct svc *s, const struct client *c, const struct wire_c_remove *m)
{
    struct wire_c_ring ring;
    size_t mark = s->heap.used;
    chord_ring(s->chord, &s->heap, &ring);
    s->heap.used = mark;
    bool ours = m->proof.n == CRY_SIG_BYTES &&
                cry_remove_verify(s->operator_pub, m->epoch, &m->id, m->proof.p) == 0;
    if (!ours) {
        char hex[ID_HEX];
        id_hex(&m->id, hex);
        s->stats.refused++;
        step_trace(s->u, STEP_WARN, "refused",
                   "a client without this ring's key wants server %.12s removed", hex);
        client_error(s, c, m->req, PEAL_E_AUTH, "this is not said with the key of this ring",
                     "give the ring's key with --ring-key-file: a copy of the file that every "
                     "server has");
    } else if (m->epoch != ring.epoch) {
        client_error(s, c, m->req, PEAL_E_STALE, "the ring's roster has changed meanwhile",
                     "look at peal ring status, and say it again if it is still to be done");
    }
    return ours && m->epoch == ring.epoch;
}

void remove_ask(struct svc *s, struct client *c, const struct wire_c_remove *m)
{
    uint32_t h = 0;
    if (!is_meant(s, c, m))
        return;
    struct removal *r = c->requests < SVC_LINK_REQUESTS_MAX ? slab_take(&s->removals, &h) : NULL;
    if (r == NULL) {
        client_failure(s, c, m->req, PEAL_E_BUSY);
        return;
    }
    *r = (struct removal){.client = c->handle, .req = m->req, .id = m->id};
    c->requests++;
    char hex[ID_HEX];
    id_hex(&m->id, hex);
    step_trace(s->u, STEP_INFO, "remove", "an operator wants server %.12s out of the ring", hex);
    int err =
        chord_remove(s->chord, s->ev, s->u, token_make(TOKEN_REMOVE, 0, h), &m->id, REMOVE_US);
    if (err != 0)
        remove_done(s, h, err, (struct peal_bytes){0});
}

void remove_done(struct svc *s, uint32_t handle, int err, struct peal_bytes text)
{
    const struct removal *found = slab_get(&s->removals, handle);
    CHECK(found != NULL && err <= 0);
    struct removal r = *found;
    slab_release(&s->removals, handle);
    struct client *c = client_get(s, r.client);
    char hex[ID_HEX];
    id_hex(&r.id, hex);
    if (err == 0)
        step_trace(s->u, STEP_INFO, "remove", "server %.12s is out of the ring", hex);
    if (c == NULL)
        return;
    CHECK(c->requests > 0);
    c->requests--;
    if (c->state == CLIENT_CLOSING)
        return;
    struct wire_c_ok ok = {.req = r.req};
    if (err == 0)
        client_say(s, c, WIRE_c_ok, &ok);
    else
        refuse(s, c, r.req, err, text);
}
