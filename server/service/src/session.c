/* Sessions at their gateway: the server that the client is connected to. Which of several sessions
 * of an account counts is decided by its homes (home.c); a gateway announces its sessions to them
 * again and again, and obeys. */
#include "inner.h"

#include <string.h>

struct client *session_of(const struct svc *s, const struct peal_id *box)
{
    uint32_t h = 0;
    if (!map_get(&s->sessions, box->b, &h))
        return NULL;
    struct client *c = client_get(s, h);
    CHECK(c != NULL && c->state == CLIENT_SESSION && id_eq(&c->box, box));
    return c;
}

size_t session_homes(const struct svc *s, const struct peal_id *box,
                     struct peal_id out[static CHORD_REPLICAS_MAX + 1], uint64_t *mark)
{
    struct peal_id all[CHORD_REPLICAS_MAX + 1];
    size_t n = chord_home(s->chord, box, all);
    size_t up = 0;
    CHECK(n <= CHORD_REPLICAS_MAX + 1);
    *mark = 0xcbf29ce484222325; /* FNV-1a, 64 bits, over the first 8 bytes of each id: ids are
                                   hashes already */
    for (size_t i = 0; i < n; i++) {
        if (!id_eq(&all[i], &s->self) && !chord_is_up(s->chord, &all[i]))
            continue;
        for (size_t k = 0; k < 8; k++)
            *mark = (*mark ^ all[i].b[k]) * 0x100000001b3;
        out[up++] = all[i];
    }
    return up;
}

/* Tells all homes where the session is. It may end the session, when this node is a home and knows
 * of a newer one. */
static void announce(struct svc *s, struct client *c)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    struct peal_id box = c->box;
    size_t n = session_homes(s, &box, homes, &c->homes_mark);
    bool here = false;
    c->view = s->view;
    c->homes_ok = 0;
    c->refresh_us = s->ev->now_us + REFRESH_US;
    struct wire_n_session_open m = {.box = box, .generation = c->generation, .active = c->active};
    for (size_t i = 0; i < n; i++) {
        if (id_eq(&homes[i], &s->self))
            here = true;
        else
            (void)!chord_send(s->chord, s->u, &homes[i], WIRE_n_session_open, &m, true);
    }
    if (here) {
        struct wire_n_session_ok ok = {0};
        home_open(s, &s->self, &m, &ok);
        session_ok(s, &box, -(int)ok.code, ok.generation);
    }
}

int session_open(struct svc *s, struct client *c, const struct peal_id *box, struct peal_bytes name,
                 uint64_t generation)
{
    CHECK(c->state == CLIENT_GREETED && name.n >= 1 && name.n <= sizeof c->name);
    struct client *other = session_of(s, box);
    if (other != NULL && other->generation > generation)
        return PEAL_E_STALE;
    if (other != NULL && other->generation < generation)
        client_bye(s, other, PEAL_E_TAKEN_OVER, "the account is in use elsewhere now");
    else if (other != NULL)
        client_bye(s, other, PEAL_E_CLOSED, "this session goes on over another link");
    int err = map_put(&s->sessions, box->b, c->handle);
    CHECK(err == 0);
    c->state = CLIENT_SESSION;
    c->box = *box;
    memcpy(c->name, name.p, name.n);
    c->name_n = (uint8_t)name.n;
    c->generation = generation;
    c->active = chord_stamp(s->chord, s->ev);
    c->reading = c->more = c->held = c->has_cursor = c->told_empty = false;
    c->again = c->holding = true;
    c->retry_us = 0;
    c->reread_us = s->ev->now_us + REREAD_US;
    c->unseen_n = 0;
    c->unseen_more = false;
    s->sessions_n++;
    return 0;
}

/* As a session that is opened, and ended at once. */
void session_fence(struct svc *s, const struct peal_id *box, uint64_t generation)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = 0;
    size_t n = session_homes(s, box, homes, &mark);
    struct wire_n_session_open open = {
        .box = *box, .generation = generation, .active = chord_stamp(s->chord, s->ev)};
    struct wire_n_session_close over = {
        .box = *box, .generation = generation, .last_seen = s->ev->wall_ms};
    struct wire_n_session_ok ok = {0};
    for (size_t i = 0; i < n; i++) {
        if (id_eq(&homes[i], &s->self)) {
            home_open(s, &s->self, &open, &ok);
            home_close(s, &s->self, &over);
            continue;
        }
        (void)!chord_send(s->chord, s->u, &homes[i], WIRE_n_session_open, &open, true);
        (void)!chord_send(s->chord, s->u, &homes[i], WIRE_n_session_close, &over, true);
    }
    session_taken(s, box, generation); /* here, whatever the homes know */
}

void session_begin(struct svc *s, struct client *c)
{
    CHECK(c->state == CLIENT_SESSION);
    announce(s, c);
    if (c->state == CLIENT_SESSION)
        (void)deliver_continue(s, c);
}

void session_end(struct svc *s, struct client *c, bool tell)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = 0;
    CHECK(c->state == CLIENT_SESSION && s->sessions_n > 0);
    uint64_t ago_ms = (s->ev->now_us - c->heard_us) / MS;
    struct wire_n_session_close m = {
        .box = c->box,
        .generation = c->generation,
        .last_seen = s->ev->wall_ms > ago_ms ? s->ev->wall_ms - ago_ms : 0,
    };
    bool was = map_del(&s->sessions, c->box.b);
    CHECK(was);
    s->sessions_n--;
    c->state = CLIENT_GREETED;
    c->reading = false;
    deliver_forget(s, c);
    watch_forget(s, c);
    size_t n = tell ? session_homes(s, &c->box, homes, &mark) : 0;
    for (size_t i = 0; i < n; i++) {
        if (id_eq(&homes[i], &s->self))
            home_close(s, &s->self, &m);
        else
            (void)!chord_send(s->chord, s->u, &homes[i], WIRE_n_session_close, &m, true);
    }
}

/* A home's answer to an announcement. */
void session_ok(struct svc *s, const struct peal_id *box, int code, uint64_t generation)
{
    struct client *c = session_of(s, box);
    if (c == NULL)
        return;
    if (code == 0)
        c->homes_ok++;
    else if (code == PEAL_E_STALE && generation > c->generation)
        client_bye(s, c, PEAL_E_TAKEN_OVER, "the account is in use elsewhere now");
    else if (code == PEAL_E_STALE && generation == c->generation)
        client_bye(s, c, PEAL_E_CLOSED, "this session goes on at another server");
}

/* A home has heard of another session. One of the same generation is the same client's at another
 * server: which of the two is the later one, the answer to a new announcement tells. */
void session_taken(struct svc *s, const struct peal_id *box, uint64_t generation)
{
    struct client *c = session_of(s, box);
    if (c == NULL)
        return;
    if (generation > c->generation)
        client_bye(s, c, PEAL_E_TAKEN_OVER, "the account is in use elsewhere now");
    else if (generation == c->generation)
        announce(s, c);
}

/* Announces the session when it is time, or when its homes are others than before. The latter may
 * have cost a push, and a session that no home knows of gets none: then it looks for itself, as it
 * does now and then in any case. True when it announced. */
bool session_tick(struct svc *s, struct client *c)
{
    struct peal_id homes[CHORD_REPLICAS_MAX + 1];
    uint64_t mark = c->homes_mark;
    if (c->view != s->view) {
        (void)session_homes(s, &c->box, homes, &mark);
        c->view = s->view;
    }
    bool moved = mark != c->homes_mark;
    if (!moved && s->ev->now_us < c->refresh_us)
        return false;
    if (moved || c->homes_ok == 0 || s->ev->now_us >= c->reread_us) {
        c->again = true;
        c->reread_us = s->ev->now_us + REREAD_US;
    }
    announce(s, c);
    return true;
}
