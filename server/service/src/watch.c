/* For those who watch: the presence of accounts that a session has on its screen, and the ring with
 * its events and lookups for anybody who asks. */
#include "inner.h"

#include <string.h>

/* ---- presence ---- */

static struct watch *watch_at(const struct svc *s, uint32_t h)
{
    return h != 0 ? slab_get(&s->watches, h) : NULL;
}

static void link_box(struct svc *s, struct watch *w, uint32_t h)
{
    uint32_t first = 0;
    if (map_get(&s->watched, w->box.b, &first)) {
        struct watch *next = watch_at(s, first);
        CHECK(next != NULL && next->prev_box == 0);
        next->prev_box = h;
        w->next_box = first;
    }
    int err = map_put(&s->watched, w->box.b, h);
    CHECK(err == 0);
}

static void unlink_box(struct svc *s, struct watch *w)
{
    struct watch *prev = watch_at(s, w->prev_box);
    struct watch *next = watch_at(s, w->next_box);
    if (next != NULL)
        next->prev_box = w->prev_box;
    if (prev != NULL) {
        prev->next_box = w->next_box;
    } else if (next != NULL) {
        int err = map_put(&s->watched, w->box.b, w->next_box);
        CHECK(err == 0);
    } else {
        bool was = map_del(&s->watched, w->box.b);
        CHECK(was);
    }
}

void watch_forget(struct svc *s, struct client *c)
{
    while (c->watches != 0) {
        uint32_t h = c->watches;
        struct watch *w = watch_at(s, h);
        CHECK(w != NULL && w->client == c->handle);
        c->watches = w->next;
        unlink_box(s, w);
        slab_release(&s->watches, h);
    }
}

/* Tells the client when it is news. */
static void learn(struct svc *s, struct watch *w, bool online, uint64_t last_seen)
{
    struct client *c = client_get(s, w->client);
    CHECK(c != NULL && c->state == CLIENT_SESSION);
    bool news = !w->known || w->online != online || (!online && w->last_seen != last_seen);
    w->known = true;
    w->online = online;
    w->last_seen = last_seen;
    if (!news)
        return;
    struct wire_c_presence m = {
        .name = peal_bytes_of(w->name, w->name_n), .online = online, .last_seen = last_seen};
    client_say(s, c, WIRE_c_presence, &m);
}

/* Takes an answer, unless a better one to the same question came, or it is from a home that has
 * restarted and does not know yet (generation 0) when something is known. */
static void take(struct svc *s, struct watch *w, const struct wire_n_presence *m)
{
    if (w->known && (m->generation == 0 || m->generation < w->generation))
        return;
    w->generation = m->generation;
    w->heard_us = s->ev->now_us;
    learn(s, w, m->online, m->last_seen);
}

/* Asks this node when it is a home that knows, otherwise every live home: the highest generation
 * counts.
 */
static void ask(struct svc *s, struct watch *w, uint32_t h)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = 0;
    w->ask_us = s->ev->now_us + WATCH_US;
    w->generation = 0;
    /* All homes forgot at once, or none is there: what was known online does not stay so for ever.
     */
    if (w->known && w->online && s->ev->now_us - w->heard_us > LOCATION_TTL_US)
        learn(s, w, false, w->last_seen);
    size_t n = session_homes(s, &w->box, homes, &mark);
    for (size_t i = 0; i < n; i++) {
        if (!id_eq(&homes[i], &s->self))
            continue;
        struct wire_n_presence here = {0};
        home_presence(s, &w->box, &here);
        take(s, w, &here);
        if (here.generation > 0)
            return;
    }
    struct wire_n_presence_get m = {.op = token_make(TOKEN_WATCH, 0, h), .box = w->box};
    for (size_t i = 0; i < n; i++)
        if (!id_eq(&homes[i], &s->self))
            (void)!chord_send(s->chord, s->u, &homes[i], WIRE_n_presence_get, &m, true);
}

void watch_set(struct svc *s, struct client *c, const struct wire_c_watch *m)
{
    watch_forget(s, c);
    for (size_t i = 0; i < m->names.n; i++) {
        struct peal_bytes name = m->names.v[i].name;
        uint32_t h = 0;
        if (!name_is_canonical(name)) {
            client_error(s, c, 0, PEAL_E_MALFORMED, "a watched name is not in its canonical form",
                         "watch names as c_user gives them");
            continue;
        }
        struct watch *w = slab_take(&s->watches, &h);
        if (w == NULL) {
            client_failure(s, c, 0, PEAL_E_BUSY);
            return;
        }
        w->client = c->handle;
        w->box = cry_account_key(name);
        memcpy(w->name, name.p, name.n);
        w->name_n = (uint8_t)name.n;
        w->next = c->watches;
        c->watches = h;
        link_box(s, w, h);
        ask(s, w, h);
    }
}

void watch_tick(struct svc *s, struct client *c)
{
    for (uint32_t h = c->watches; h != 0;) {
        struct watch *w = watch_at(s, h);
        CHECK(w != NULL);
        if (s->ev->now_us >= w->ask_us)
            ask(s, w, h);
        h = w->next;
    }
}

void watch_presence(struct svc *s, uint32_t handle, const struct wire_n_presence *m)
{
    struct watch *w = watch_at(s, handle);
    if (w != NULL && id_eq(&w->box, &m->box))
        take(s, w, m);
}

void watch_changed(struct svc *s, const struct peal_id *box)
{
    uint32_t h = 0;
    if (!map_get(&s->watched, box->b, &h))
        return;
    struct wire_n_presence here = {0};
    home_presence(s, box, &here);
    for (struct watch *w = watch_at(s, h); w != NULL; w = watch_at(s, w->next_box))
        learn(s, w, here.online, here.last_seen);
}

/* ---- the ring ---- */

static void ring_of(struct svc *s, struct wire_c_ring *m)
{
    chord_ring(s->chord, &s->u->arena, m);
    m->seen_by = s->self;
    m->at = s->ev->wall_ms;
}

void watch_ring_get(struct svc *s, struct client *c, const struct wire_c_ring_get *m)
{
    if (m->observe && !c->observer && s->observers >= OBSERVERS_MAX) {
        client_error(s, c, m->req, PEAL_E_BUSY, "this server is observed by many already",
                     "ask another server, or ask without observing");
        return;
    }
    if (m->observe && !c->observer)
        s->observers++;
    else if (!m->observe && c->observer)
        s->observers--;
    c->observer = m->observe;
    struct wire_c_ring ring = {0};
    ring_of(s, &ring);
    ring.req = m->req;
    client_say(s, c, WIRE_c_ring, &ring);
}

void watch_ring_tick(struct svc *s)
{
    uint64_t since = s->ev->now_us - s->ring_us;
    if (s->observers == 0 || since < RING_US || (!s->ring_dirty && since < RING_QUIET_US))
        return;
    struct wire_c_ring ring = {0};
    ring_of(s, &ring);
    ring.req = 0;
    uint32_t at = 0;
    uint32_t h = 0;
    const struct client *c = NULL;
    while ((c = slab_each(&s->clients, &at, &h)) != NULL)
        if (c->observer)
            client_say(s, c, WIRE_c_ring, &ring);
    s->ring_us = s->ev->now_us;
    s->ring_dirty = false;
}

/* What the step says of itself from effect `first` on, for the observers. */
void watch_traces(struct svc *s, size_t first)
{
    size_t end = s->u->n;
    unsigned told = 0;
    for (size_t i = first; i < end && told < TRACES_PER_STEP; i++) {
        const struct step_effect *e = &s->u->effects[i];
        if (e->kind != STEP_TRACE || e->level < STEP_INFO)
            continue;
        struct wire_c_trace m = {.at = s->ev->wall_ms,
                                 .node = s->self,
                                 .kind = peal_bytes_str(e->name),
                                 .text = e->bytes};
        if (m.text.n > WIRE_TEXT_MAX || m.kind.n > WIRE_ADDRESS_MAX || !peal_utf8_valid(m.text))
            continue;
        uint32_t at = 0;
        uint32_t h = 0;
        const struct client *c = NULL;
        while ((c = slab_each(&s->clients, &at, &h)) != NULL)
            if (c->observer)
                client_say(s, c, WIRE_c_trace, &m);
        told++;
    }
}

void watch_path(struct svc *s, const struct client *asker, const struct wire_c_path *m)
{
    uint64_t now = s->ev->now_us;
    CHECK(m->path.n > 0);
    if (s->observers == 0)
        return;
    if (now - s->paths_us >= SEC) {
        s->paths_us = now;
        s->paths_told = 0;
    }
    if (s->paths_told == LOOKUPS_TOLD)
        return;
    s->paths_told++;
    struct wire_c_path told = *m;
    told.req = 0;
    uint32_t at = 0;
    uint32_t h = 0;
    const struct client *c = NULL;
    while ((c = slab_each(&s->clients, &at, &h)) != NULL)
        if (c->observer && c != asker)
            client_say(s, c, WIRE_c_path, &told);
}
