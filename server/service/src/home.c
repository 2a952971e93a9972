/* Where sessions are, as the homes of their accounts know it. Soft state: it is announced again and
 * again, lost when a home restarts, and what is stale costs a wasted push, never a message.
 *
 * Of two sessions of an account the higher (generation, stamp of its opening, server) counts. */
#include "inner.h"

static struct location *location_of(const struct svc *s, const struct peal_id *box)
{
    uint32_t h = 0;
    if (!map_get(&s->located, box->b, &h))
        return NULL;
    struct location *l = slab_get(&s->locations, h);
    CHECK(l != NULL && id_eq(&l->box, box));
    return l;
}

/* A session whose server is down has until ORPHAN_TTL_US to turn up at another one. */
static bool is_online(const struct svc *s, const struct location *l)
{
    bool up = id_eq(&l->gateway, &s->self) || chord_is_up(s->chord, &l->gateway);
    uint64_t ttl = up ? LOCATION_TTL_US : ORPHAN_TTL_US;
    return l->online && s->ev->now_us - l->heard_us <= ttl;
}

/* Makes room by forgetting when somebody who is offline was last seen. */
static void evict(struct svc *s)
{
    uint32_t h = 0;
    for (int tries = 0; tries < EVICT_TRIES; tries++) {
        struct location *l = slab_each(&s->locations, &s->evict_at, &h);
        if (l == NULL) {
            s->evict_at = 0;
            continue;
        }
        if (is_online(s, l) || l->due)
            continue;
        bool was = map_del(&s->located, l->box.b);
        CHECK(was);
        slab_release(&s->locations, h);
        return;
    }
}

static struct location *location_add(struct svc *s, const struct peal_id *box)
{
    uint32_t h = 0;
    if (s->locations.used == s->locations.cap)
        evict(s);
    struct location *l = slab_take(&s->locations, &h);
    if (l == NULL)
        return NULL;
    int err = map_put(&s->located, box->b, h);
    CHECK(err == 0);
    l->box = *box;
    return l;
}

/* Does what is announced count for more than what is known? */
static bool is_newer(const struct svc *s, const struct location *l, const struct peal_id *from,
                     const struct wire_n_session_open *m)
{
    if (m->generation != l->generation)
        return m->generation > l->generation;
    bool up = id_eq(&l->gateway, &s->self) || chord_is_up(s->chord, &l->gateway);
    if (!up || !is_online(s, l))
        return true;
    if (m->active != l->active)
        return m->active > l->active;
    return id_cmp(from, &l->gateway) >= 0;
}

static void tell_taken(struct svc *s, const struct peal_id *gateway, const struct peal_id *box,
                       uint64_t generation)
{
    struct wire_n_session_taken m = {.box = *box, .generation = generation};
    if (id_eq(gateway, &s->self))
        session_taken(s, box, generation);
    else
        (void)!chord_send(s->chord, s->u, gateway, WIRE_n_session_taken, &m, true);
}

void home_open(struct svc *s, const struct peal_id *from, const struct wire_n_session_open *m,
               struct wire_n_session_ok *ok)
{
    struct location *l = location_of(s, &m->box);
    ok->box = m->box;
    ok->generation = m->generation;
    ok->code = 0;
    if (l != NULL && !is_newer(s, l, from, m)) {
        ok->code = code_of(PEAL_E_STALE);
        ok->generation = l->generation;
        return;
    }
    if (l == NULL && (l = location_add(s, &m->box)) == NULL) {
        ok->code = code_of(PEAL_E_FULL);
        return;
    }
    struct peal_id old = l->gateway;
    bool was_online = is_online(s, l);
    bool moved = was_online && !id_eq(&old, from);
    l->gateway = *from;
    l->generation = m->generation;
    l->active = m->active;
    l->heard_us = s->ev->now_us;
    l->last_seen = s->ev->wall_ms;
    l->online = true;
    if (moved)
        tell_taken(s, &old, &m->box, m->generation);
    if (!was_online)
        watch_changed(s, &m->box);
}

void home_close(struct svc *s, const struct peal_id *from, const struct wire_n_session_close *m)
{
    struct location *l = location_of(s, &m->box);
    if (l == NULL) {
        if ((l = location_add(s, &m->box)) == NULL)
            return;
        l->gateway = *from;
        l->generation = m->generation;
    }
    /* The session may have moved on meanwhile. */
    if (l->generation != m->generation || !id_eq(&l->gateway, from))
        return;
    l->online = false;
    l->last_seen = m->last_seen;
    watch_changed(s, &m->box);
}

void home_presence(struct svc *s, const struct peal_id *box, struct wire_n_presence *out)
{
    const struct location *l = location_of(s, box);
    out->box = *box;
    if (l == NULL)
        return;
    out->generation = l->generation;
    out->online = is_online(s, l);
    out->last_seen = out->online ? s->ev->wall_ms : l->last_seen;
}

/* ---- rows ---- */

/* Rows of one author that follow each other go together. */
static void flush_one(struct svc *s, struct location *l)
{
    struct peal_msg_id ids[WIRE_ACK_MAX];
    bool online = is_online(s, l);
    for (uint32_t h = l->notices; h != 0;) {
        struct wire_n_notice m = {.box = l->box, .ids = {.v = ids}};
        struct notice *x = slab_get(&s->notices, h);
        CHECK(x != NULL);
        m.author = x->author;
        for (; x != NULL && x->author == m.author && m.ids.n < WIRE_ACK_MAX; m.ids.n++) {
            uint32_t next = x->next;
            ids[m.ids.n] = x->id;
            slab_release(&s->notices, h);
            h = next;
            x = slab_get(&s->notices, h);
        }
        struct client *c = online ? session_of(s, &l->box) : NULL;
        if (c != NULL)
            deliver_notice(s, c, m.author, ids, m.ids.n);
        else if (online)
            (void)!chord_send(s->chord, s->u, &l->gateway, WIRE_n_notice, &m, false);
    }
    l->notices = 0;
}

void home_flush_notices(struct svc *s, enum announcing when)
{
    while (s->announce[when] != 0) {
        struct location *l = slab_get(&s->locations, s->announce[when]);
        CHECK(l != NULL && l->due);
        s->announce[when] = l->next_due;
        l->next_due = 0;
        l->due = false;
        flush_one(s, l);
    }
}

uint64_t author_of(const struct wire_row *row)
{
    static const uint8_t nothing_secret[CRY_SHORT_KEY_BYTES];
    return cry_short(nothing_secret, row->from);
}

/* The first two homes that are up: one of them is to push, and the other tells the gateway of each
 * row before the row's sender hears that it is stored, so that nothing said later overtakes it
 * when the push is lost. The others save words, and tell of many rows together. */
static enum announcing pace_of(const struct svc *s, struct location *l)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = 0;
    if (l->paced && l->view == s->view)
        return l->pace;
    size_t n = session_homes(s, &l->box, homes, &mark);
    l->paced = true;
    l->view = s->view;
    l->pace = ANNOUNCE_AT_TICK;
    for (size_t i = 0; i < n && i < 2; i++)
        if (id_eq(&homes[i], &s->self))
            l->pace = ANNOUNCE_IN_STEP;
    return l->pace;
}

static void announce(struct svc *s, struct location *l, const struct wire_row *row)
{
    uint32_t h = 0;
    enum announcing when = pace_of(s, l);
    if (s->notices.used == s->notices.cap) {
        home_flush_notices(s, ANNOUNCE_IN_STEP);
        home_flush_notices(s, ANNOUNCE_AT_TICK);
    }
    struct notice *n = slab_take(&s->notices, &h);
    CHECK(n != NULL);
    n->id = row->id;
    n->author = author_of(row);
    n->next = l->notices;
    l->notices = h;
    if (!l->due) {
        uint32_t lh = 0;
        bool known = map_get(&s->located, l->box.b, &lh);
        CHECK(known);
        l->due = true;
        l->when = when;
        l->next_due = s->announce[when];
        s->announce[when] = lh;
    } else if (when == ANNOUNCE_IN_STEP && l->when == ANNOUNCE_AT_TICK) {
        flush_one(s, l);
    }
}

/* A row is being written at this home. It is pushed before it is durable: that promises nothing. */
void home_row(struct svc *s, const struct wire_row *row, bool push)
{
    if (row->kind == WIRE_ROW_TOMBSTONE)
        return;
    struct client *c = session_of(s, &row->box);
    if (c != NULL && push) {
        deliver_push(s, c, row);
        return;
    }
    struct location *l = location_of(s, &row->box);
    if (l == NULL || !is_online(s, l))
        return;
    if (!push) {
        announce(s, l, row);
    } else if (!id_eq(&l->gateway, &s->self)) {
        struct wire_n_push m = {.row = *row};
        (void)!chord_send(s->chord, s->u, &l->gateway, WIRE_n_push, &m, true);
    }
}

bool home_expired(const struct wire_row *row, struct wire_row *word)
{
    const uint64_t keep = (uint64_t)CHORD_ROW_DAYS * 24 * 3600 * 1000;
    uint8_t hash[CRY_HASH_BYTES];
    struct cry_hash h;
    struct wr w;
    if (!name_is_canonical(row->from))
        return false;
    cry_hash_init(&h, "peal.expired.1");
    cry_hash_add(&h, row->box.b, ID_BYTES);
    cry_hash_add(&h, row->id.b, MSG_ID_BYTES);
    cry_hash_end(&h, hash);
    *word = (struct wire_row){.box = cry_account_key(row->from),
                              .kind = WIRE_ROW_EXPIRED,
                              .stamp = row->expires << 16,
                              .expires = row->expires + keep,
                              .body = peal_bytes_of(row->id.b, MSG_ID_BYTES)};
    wr_init(&w, word->id.b, MSG_ID_BYTES); /* in its place among what came at that time */
    wr_u16(&w, (uint16_t)(row->expires >> 32));
    wr_u32(&w, (uint32_t)row->expires);
    wr_bytes(&w, hash, MSG_ID_BYTES - 6);
    CHECK(wr_end(&w) == 0);
    return true;
}
