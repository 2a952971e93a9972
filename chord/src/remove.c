/* remove: taking a server out of the roster for good. Whoever is asked passes it on to the
 * coordinator, again and again until its own roster no longer names the server; the coordinator
 * keeps nothing of it: it proposes an epoch without the server (admit.c), or says why not.
 *
 * By itself the coordinator takes out who has been down for auto_remove_us. Each member writes down
 * when it saw another go, so that neither a restart nor another coordinator begins to count anew.
 */
#include "inner.h"

#include <stdio.h>
#include <string.h>

static void done(struct chord *c, struct removal *r, int err, const char *text)
{
    char said[WIRE_TEXT_MAX];
    uint64_t token = r->token;
    (void)snprintf(said, sizeof said, "%s", text);
    *r = (struct removal){.op = 0};
    c->cfg.app.removed(c->cfg.app.ctx, c->u, token, err, peal_bytes_str(said));
}

static void refused(struct chord *c, struct removal *r, int code, struct peal_bytes text)
{
    r->asked = false;
    r->code = code;
    (void)snprintf(r->why, sizeof r->why, "%.*s", (int)text.n, (const char *)text.p);
    if (code != PEAL_E_BUSY && code != PEAL_E_UNAVAILABLE)
        done(c, r, code, r->why);
}

/* ---- the coordinator ---- */

int remove_check(struct chord *c, const struct peal_id *id, char why[static WIRE_TEXT_MAX])
{
    struct peal_id live[WIRE_ROSTER_MAX];
    char name[9];
    (void)short_id(id, name);
    if (!roster_has(&c->roster, id)) {
        (void)snprintf(why, WIRE_TEXT_MAX, "%s is not in the ring", name);
        return PEAL_E_NOT_FOUND;
    }
    if (is_up(c, id)) {
        (void)snprintf(why, WIRE_TEXT_MAX, "%s is up: stop it first", name);
        return PEAL_E_REFUSED;
    }
    if (live_members(c, live) < majority(c->roster.n)) {
        (void)snprintf(why, WIRE_TEXT_MAX,
                       "only %zu of the ring's %zu servers are up, which is no "
                       "majority",
                       live_members(c, live), c->roster.n);
        return PEAL_E_UNAVAILABLE;
    }
    struct roster v = roster_without(&c->roster, id);
    if (!can_copy(c, &v, id, why))
        return PEAL_E_REFUSED;
    if (!may_propose(c)) {
        (void)snprintf(why, WIRE_TEXT_MAX,
                       "a server is still copying what the last change of the ring gave it");
        return PEAL_E_BUSY;
    }
    return 0;
}

void remove_propose(struct chord *c, const struct peal_id *id)
{
    struct peal_id nobody = {{0}};
    struct roster v = roster_without(&c->roster, id);
    propose(c, &v, &nobody, false);
}

void on_remove(struct chord *c, const struct source *src, const struct wire_n_remove *m)
{
    char why[WIRE_TEXT_MAX] = "";
    struct wire_n_removed a = {.op = m->op};
    int code = 0;
    if (!is_self(c, &src->id) && !chord_is_up(c, &src->id))
        return;
    if (roster_sealed(&c->roster) || !id_eq(&c->coordinator, &c->cfg.self)) {
        code = PEAL_E_UNAVAILABLE;
        (void)snprintf(why, sizeof why, "the ring has no coordinator now");
    } else if (c->prop.phase == PROPOSE_IDLE) {
        code = remove_check(c, &m->id, why);
        if (code == 0)
            remove_propose(c, &m->id);
    } /* else perhaps it is this that is being decided: it is asked again */
    if (code == 0)
        return;
    a.code = (uint16_t)-code;
    a.text = peal_bytes_str(why);
    union wire_any any;
    memset(&any, 0, sizeof any);
    any.n_removed = a;
    (void)request(c, &src->id, WIRE_n_removed, &any);
}

/* ---- who was asked ---- */

static void ask(struct chord *c, struct removal *r)
{
    union wire_any m;
    r->ask_us = c->now + REMOVE_AGAIN_US;
    if (c->state == CHORD_LEFT || c->roster.epoch == 0 || id_is_zero(&c->coordinator)) {
        refused(c, r, PEAL_E_UNAVAILABLE, peal_bytes_str("no coordinator can be reached"));
        return;
    }
    memset(&m, 0, sizeof m.n_remove);
    m.n_remove = (struct wire_n_remove){.op = r->op, .id = r->id};
    r->asked = true;
    if (!request(c, &c->coordinator, WIRE_n_remove, &m) && r->op != 0)
        refused(c, r, PEAL_E_UNAVAILABLE, peal_bytes_str("no coordinator can be reached"));
}

int chord_remove(struct chord *c, const struct step_event *ev, struct step_update *u,
                 uint64_t token, const struct peal_id *id, uint64_t timeout_us)
{
    note_call(c, ev, u);
    CHECK(c->cfg.app.removed != NULL);
    struct removal *r = NULL;
    for (size_t i = 0; i < CHORD_REMOVES_MAX; i++)
        if (c->removals[i].op == 0)
            r = &c->removals[i];
    if (r == NULL)
        return PEAL_E_BUSY;
    *r = (struct removal){
        .op = rng_next(&c->rng) | 1, .token = token, .id = *id, .until_us = c->now + timeout_us};
    if (c->roster.epoch == 0)
        done(c, r, PEAL_E_UNAVAILABLE, "this server is in no ring");
    else if (!roster_has(&c->roster, id))
        done(c, r, PEAL_E_NOT_FOUND, "it is not in the ring");
    else
        ask(c, r);
    return 0;
}

void on_removed(struct chord *c, const struct source *src, const struct wire_n_removed *m)
{
    if (!id_eq(&src->id, &c->coordinator) || m->op == 0 || m->code == 0)
        return;
    for (size_t i = 0; i < CHORD_REMOVES_MAX; i++) {
        struct removal *r = &c->removals[i];
        if (r->op != m->op)
            continue;
        /* one who has not heard yet that it is done */
        if (m->code != (uint16_t)-PEAL_E_NOT_FOUND)
            refused(c, r, -(int)m->code, m->text);
        return;
    }
}

/* ---- who is down, and since when ---- */

enum { DOWN_KEY = 4 + ID_BYTES };

static void down_key(const struct peal_id *id, uint8_t out[static DOWN_KEY])
{
    memcpy(out, "down", 4);
    memcpy(out + 4, id->b, ID_BYTES);
}

static bool down_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct chord *c = ctx;
    struct rd r;
    if (key.n != DOWN_KEY || value.n != 8)
        return true;
    rd_init(&r, value.p, value.n);
    for (size_t i = 0; i < WIRE_ROSTER_MAX; i++)
        if (id_is_zero(&c->downs[i].id)) {
            c->downs[i] = (struct down){
                .id = id_from_bytes(key.p + 4), .since_ms = rd_u64(&r), .seen_us = c->now};
            return true;
        }
    return false;
}

void downs_load(struct chord *c)
{
    c->downs_us = c->now + DOWNS_FIRST_US;
    int err = c->rd->scan(c->rd->ctx, STEP_META, peal_bytes_str("down"), peal_bytes_str("dowo"),
                          WIRE_ROSTER_MAX, down_one, c);
    if (err < 0)
        step_trace(c->u, STEP_WARN, "store", "since when members are down cannot be read: %s",
                   err_prose(err));
}

static struct down *down_of(struct chord *c, const struct peal_id *id)
{
    for (size_t i = 0; i < WIRE_ROSTER_MAX; i++)
        if (id_eq(&c->downs[i].id, id))
            return &c->downs[i];
    return NULL;
}

static void note_down(struct chord *c, const struct peal_id *id)
{
    struct peal_id nobody = {{0}};
    struct down *d = down_of(c, &nobody);
    uint8_t key[DOWN_KEY], ms[8];
    struct wr w;
    if (down_of(c, id) != NULL || d == NULL)
        return;
    *d = (struct down){.id = *id, .since_ms = c->wall, .seen_us = c->now};
    down_key(id, key);
    wr_init(&w, ms, sizeof ms);
    wr_u64(&w, c->wall);
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_of(key, sizeof key),
               peal_bytes_of(ms, sizeof ms));
}

static void note_downs(struct chord *c)
{
    for (size_t i = 0; i < WIRE_ROSTER_MAX; i++) {
        struct down *d = &c->downs[i];
        uint8_t key[DOWN_KEY];
        if (id_is_zero(&d->id) || (roster_has(&c->roster, &d->id) && !is_up(c, &d->id)))
            continue;
        down_key(&d->id, key);
        step_write(c->u, STEP_META, STEP_DEL, peal_bytes_of(key, sizeof key),
                   (struct peal_bytes){0});
        *d = (struct down){.since_ms = 0};
    }
    for (size_t i = 0; i < c->roster.n; i++)
        if (!is_up(c, &c->roster.members[i]))
            note_down(c, &c->roster.members[i]);
}

/* ---- by itself ---- */

static bool all_alike(const struct chord *c)
{
    for (size_t i = 0; i < c->roster.n; i++) {
        const struct peer *p = peer_of_const(c, &c->roster.members[i]);
        if (p != NULL && p->up && !p->state.alike)
            return false;
    }
    return repair_alike(c);
}

static void remove_oldest(struct chord *c)
{
    const struct down *oldest = NULL;
    uint64_t least = c->cfg.auto_remove_us;
    char why[WIRE_TEXT_MAX], id[9];
    if (least == 0 || !may_propose(c) || !all_alike(c))
        return;
    for (size_t i = 0; i < WIRE_ROSTER_MAX; i++) {
        const struct down *d = &c->downs[i];
        uint64_t seen_us = least < DOWN_SEEN_US ? least : DOWN_SEEN_US;
        bool due = !id_is_zero(&d->id) && c->wall > d->since_ms &&
                   c->wall - d->since_ms >= least / MS && c->now - d->seen_us >= seen_us;
        if (due && (oldest == NULL || d->since_ms < oldest->since_ms) &&
            remove_check(c, &d->id, why) == 0)
            oldest = d;
    }
    if (oldest == NULL)
        return;
    step_trace(c->u, STEP_WARN, "removed", "%s has been down for too long, and is taken out",
               short_id(&oldest->id, id));
    remove_propose(c, &oldest->id);
}

void remove_timer(struct chord *c)
{
    if (c->roster.epoch != 0 && c->store_err == 0 && c->now >= c->downs_us) {
        c->downs_us = c->now + DOWNS_EVERY_US;
        note_downs(c);
        remove_oldest(c);
    }
    for (size_t i = 0; i < CHORD_REMOVES_MAX; i++) {
        struct removal *r = &c->removals[i];
        if (r->op == 0)
            continue;
        if (c->roster.epoch != 0 && !roster_has(&c->roster, &r->id))
            done(c, r, 0, "");
        else if (c->now >= r->until_us && !r->asked && r->code != 0)
            done(c, r, r->code, r->why);
        else if (c->now >= r->until_us)
            done(c, r, PEAL_E_UNKNOWN, "nobody has answered: it may be taken out, or may be yet");
        else if (c->now >= r->ask_us)
            ask(c, r);
    }
}
