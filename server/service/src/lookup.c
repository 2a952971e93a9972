/* Where the record of a name is, and the way there through the ring, for people who look at it: to
 * the client that asked, and to the observers, who see which key it was and not which name.
 *
 * Not for: what the record says (account.c), nor the homes of its copies (chord_home): the owner is
 * the first live server at or after the key, whether it holds a copy yet or not. */
#include "inner.h"

#include <stdio.h>
#include <string.h>

enum { SHORT_HEX = 6 };

static void refuse(struct svc *s, const struct client *c, uint64_t req, int err)
{
    CHECK(err < 0);
    if (err == PEAL_E_UNAVAILABLE)
        client_error(s, c, req, err, "the ring did not answer in time",
                     "try again in a moment; the ring closes over servers that are gone");
    else if (err == PEAL_E_TOO_LONG)
        client_error(s, c, req, PEAL_E_UNAVAILABLE, "the way through the ring was too long",
                     "try again in a moment; the ring is putting itself in order");
    else
        client_failure(s, c, req, err);
}

void lookup_ask(struct svc *s, struct client *c, const struct wire_c_lookup *m)
{
    uint32_t h = 0;
    if (!account_check_name(s, c, m->req, m->name))
        return;
    struct lookup *l = c->requests < SVC_LINK_REQUESTS_MAX ? slab_take(&s->lookups, &h) : NULL;
    if (l == NULL) {
        client_failure(s, c, m->req, PEAL_E_BUSY);
        return;
    }
    l->client = c->handle;
    l->req = m->req;
    c->requests++;
    struct peal_id key = cry_account_key(m->name);
    int err = chord_find(s->chord, s->ev, s->u, token_make(TOKEN_LOOKUP, 0, h), &key, LOOKUP_US);
    if (err != 0)
        lookup_found(s, h, err, NULL);
}

static void trace(struct svc *s, const struct wire_c_path *m)
{
    char text[WIRE_PATH_MAX * (SHORT_HEX + 1) + 1];
    char hex[ID_HEX];
    size_t n = 0;
    for (size_t i = 0; i < m->path.n; i++) {
        id_hex(&m->path.v[i], hex);
        int wrote = snprintf(text + n, sizeof text - n, " %.*s", SHORT_HEX, hex);
        CHECK(wrote == SHORT_HEX + 1);
        n += (size_t)wrote;
    }
    id_hex(&m->key, hex);
    step_trace(s->u, STEP_DEBUG, "lookup", "%.*s in %llu us, by%s", SHORT_HEX, hex,
               (unsigned long long)m->micros, text);
}

void lookup_found(struct svc *s, uint32_t handle, int err, const struct ring_found *f)
{
    struct peal_id path[WIRE_PATH_MAX];
    const struct lookup *l = slab_get(&s->lookups, handle);
    CHECK(l != NULL);
    uint64_t req = l->req;
    struct client *c = client_get(s, l->client);
    slab_release(&s->lookups, handle);
    if (c != NULL) {
        CHECK(c->requests > 0);
        c->requests--;
    }
    struct client *asker = c != NULL && c->state != CLIENT_CLOSING ? c : NULL;
    if (err != 0) {
        if (asker != NULL)
            refuse(s, asker, req, err);
        return;
    }
    CHECK(f->path_n >= 1 && f->path_n <= WIRE_PATH_MAX);
    memcpy(path, f->path, f->path_n * sizeof *path);
    struct wire_c_path m = {.req = req,
                            .key = f->key,
                            .owner = f->owner.id,
                            .path = {.v = path, .n = f->path_n},
                            .micros = f->took_us};
    if (asker != NULL)
        client_say(s, asker, WIRE_c_path, &m);
    trace(s, &m);
    watch_path(s, asker, &m);
}
