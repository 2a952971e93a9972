/* The service's object: its memory, which event is for whom, what chord asks and tells, and the
 * tick that does all slow things.
 *
 * A node with nothing to do has no tick: it starts with the first client, request or row to
 * announce. */
#include "inner.h"

#include <string.h>

/* ---- memory ---- */

/* The parts of the caller's block, in their order. */
struct layout {
    size_t svc, chord, clients, requests, drafts, sends, flights, watches, locations, notices;
    size_t lookups, removals, purges, links, sessions, located, in_flight, watched, seen, failures,
        heap;
    size_t size;
};

static size_t place(struct layout *l, size_t size)
{
    size_t at = l->size;
    l->size += (size + 15) / 16 * 16;
    return at;
}

static uint32_t at_most(uint64_t n, uint32_t max)
{
    return n < max ? (uint32_t)n : max;
}

struct sizes {
    uint32_t sessions, clients, watches, locations, sends, flights;
};

static struct sizes sizes_of(const struct svc_config *cfg)
{
    struct sizes z = {0};
    z.sessions = at_most(cfg->sessions_max != 0 ? cfg->sessions_max : SVC_SESSIONS_DEFAULT,
                         SLAB_MAX - SPARE_LINKS);
    z.clients = z.sessions + SPARE_LINKS;
    z.watches = at_most((uint64_t)z.sessions * WATCHES_PER_SESSION + WIRE_WATCH_MAX, SLAB_MAX);
    z.locations =
        at_most(cfg->locations_max != 0 ? cfg->locations_max : SVC_LOCATIONS_DEFAULT, SLAB_MAX);
    z.flights = at_most((uint64_t)z.sessions * FLIGHTS_PER_SESSION + FLIGHT_ROWS, SLAB_MAX);
    z.sends =
        at_most(cfg->chord.puts_max != 0 ? cfg->chord.puts_max : CHORD_PUTS_DEFAULT, SLAB_MAX);
    return z;
}

static struct layout layout_of(const struct svc_config *cfg)
{
    struct sizes z = sizes_of(cfg);
    struct layout l = {0};
    l.svc = place(&l, sizeof(struct svc));
    l.chord = place(&l, chord_size(&cfg->chord));
    l.clients = place(&l, slab_size(z.clients, sizeof(struct client)));
    l.requests = place(&l, slab_size(SVC_REQUESTS_MAX, sizeof(struct request)));
    l.drafts = place(&l, slab_size(DRAFTS_MAX, sizeof(struct draft)));
    l.sends = place(&l, slab_size(z.sends, sizeof(struct send)));
    l.flights = place(&l, slab_size(z.flights, sizeof(struct flight)));
    l.watches = place(&l, slab_size(z.watches, sizeof(struct watch)));
    l.locations = place(&l, slab_size(z.locations, sizeof(struct location)));
    l.notices = place(&l, slab_size(NOTICES_MAX, sizeof(struct notice)));
    l.lookups = place(&l, slab_size(LOOKUPS_MAX, sizeof(struct lookup)));
    l.removals = place(&l, slab_size(CHORD_REMOVES_MAX, sizeof(struct removal)));
    l.purges = place(&l, slab_size(PURGES_MAX, sizeof(struct purge)));
    l.links = place(&l, map_size(z.clients, sizeof(uint32_t)));
    l.sessions = place(&l, map_size(z.clients, ID_BYTES));
    l.located = place(&l, map_size(z.locations, ID_BYTES));
    l.in_flight = place(&l, map_size(z.flights, sizeof(struct flight_key)));
    l.watched = place(&l, map_size(z.watches, ID_BYTES));
    l.seen = place(&l, SEEN_SLOTS * sizeof(struct seen));
    l.failures = place(&l, FAILURE_CELLS * sizeof(struct failure_cell));
    l.heap = place(&l, WIRE_ARENA_MAX);
    return l;
}

size_t svc_size(const struct svc_config *cfg)
{
    return layout_of(cfg).size;
}

/* ---- what chord asks and tells ---- */

static int on_reg_change(void *ctx, uint64_t token, struct peal_bytes old, struct peal_bytes *value)
{
    struct svc *s = ctx;
    CHECK(token_kind(token) == TOKEN_REQUEST);
    struct request *r = slab_get(&s->requests, (uint32_t)token);
    return r != NULL ? account_change(s, r, old, value) : 0;
}

static void on_reg_done(void *ctx, struct step_update *u, uint64_t token, int err,
                        struct peal_bytes value)
{
    struct svc *s = ctx;
    CHECK(u == s->u && token_kind(token) == TOKEN_REQUEST);
    struct request *r = slab_get(&s->requests, (uint32_t)token);
    if (r != NULL)
        account_done(s, r, err, value);
}

static bool on_reg_same(void *ctx, struct peal_bytes kept, struct peal_bytes other,
                        char name[static CHORD_LABEL_MAX + 1])
{
    (void)ctx;
    return record_same(kept, other, name);
}

static void on_set_done(void *ctx, struct step_update *u, uint64_t token, int err)
{
    struct svc *s = ctx;
    CHECK(u == s->u && token_kind(token) == TOKEN_SEND);
    struct send *m = slab_get(&s->sends, (uint32_t)token);
    CHECK(m != NULL);
    client_stored(s, m, err);
    slab_release(&s->sends, (uint32_t)token);
}

static bool on_set_rows(void *ctx, struct step_update *u, uint64_t token, int err,
                        const struct wire_row *rows, size_t n, bool last)
{
    struct svc *s = ctx;
    CHECK(u == s->u);
    if (token_kind(token) == TOKEN_PURGE)
        return purge_rows(s, (uint32_t)token, err, rows, n, last);
    CHECK(token_kind(token) == TOKEN_READ);
    struct client *c = client_get(s, (uint32_t)token);
    bool current = c != NULL && c->reading && (c->read_serial & 0xffffff) == token_serial(token);
    return current && deliver_rows(s, c, err, rows, n, last);
}

static void on_row_stored(void *ctx, struct step_update *u, const struct wire_row *row, bool push)
{
    struct svc *s = ctx;
    CHECK(u == s->u);
    home_row(s, row, push);
}

static bool on_row_expired(void *ctx, const struct wire_row *row, struct wire_row *word)
{
    (void)ctx;
    return home_expired(row, word);
}

static void on_push(struct svc *s, const struct wire_n_push *m)
{
    struct client *c = session_of(s, &m->row.box);
    if (c != NULL)
        deliver_push(s, c, &m->row);
}

static void on_notice(struct svc *s, const struct wire_n_notice *m)
{
    struct client *c = session_of(s, &m->box);
    if (c != NULL)
        deliver_notice(s, c, m->author, m->ids.v, m->ids.n);
}

static void on_presence(struct svc *s, const struct peal_id *from, const struct wire_n_presence *m)
{
    if (token_kind(m->op) == TOKEN_WATCH) {
        watch_presence(s, (uint32_t)m->op, m);
    } else if (token_kind(m->op) == TOKEN_REQUEST) {
        struct request *r = slab_get(&s->requests, (uint32_t)m->op);
        if (r != NULL && r->phase == PHASE_PRESENCE && id_eq(&r->box, &m->box))
            account_presence(s, r, from, m);
    }
}

static void on_session_open(struct svc *s, const struct peal_id *from,
                            const struct wire_n_session_open *m)
{
    struct wire_n_session_ok ok = {0};
    home_open(s, from, m, &ok);
    /* An answer that gets lost is as good as none: the session is announced again in REFRESH_US. */
    (void)!chord_send(s->chord, s->u, from, WIRE_n_session_ok, &ok, true);
}

static void on_presence_get(struct svc *s, const struct peal_id *from,
                            const struct wire_n_presence_get *m)
{
    struct wire_n_presence answer = {0};
    home_presence(s, &m->box, &answer);
    answer.op = m->op;
    (void)!chord_send(s->chord, s->u, from, WIRE_n_presence, &answer, true);
}

static void on_message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                       const void *msg)
{
    struct svc *s = ctx;
    CHECK(u == s->u);
    const struct wire_n_session_ok *ok = msg;
    const struct wire_n_session_taken *taken = msg;
    if (type == WIRE_n_push)
        on_push(s, msg);
    else if (type == WIRE_n_notice)
        on_notice(s, msg);
    else if (type == WIRE_n_session_open)
        on_session_open(s, from, msg);
    else if (type == WIRE_n_session_ok)
        session_ok(s, &ok->box, -(int)ok->code, ok->generation);
    else if (type == WIRE_n_session_close)
        home_close(s, from, msg);
    else if (type == WIRE_n_session_taken)
        session_taken(s, &taken->box, taken->generation);
    else if (type == WIRE_n_presence_get)
        on_presence_get(s, from, msg);
    else if (type == WIRE_n_presence)
        on_presence(s, from, msg);
}

static void on_found(void *ctx, struct step_update *u, uint64_t token, int err,
                     const struct ring_found *f)
{
    struct svc *s = ctx;
    CHECK(u == s->u && token_kind(token) == TOKEN_LOOKUP);
    lookup_found(s, (uint32_t)token, err, f);
}

static void on_removed(void *ctx, struct step_update *u, uint64_t token, int err,
                       struct peal_bytes text)
{
    struct svc *s = ctx;
    CHECK(u == s->u && token_kind(token) == TOKEN_REMOVE);
    remove_done(s, (uint32_t)token, err, text);
}

static void on_changed(void *ctx, struct step_update *u)
{
    struct svc *s = ctx;
    CHECK(u == s->u);
    s->view++;
    s->homes_dirty = true;
    s->servers_dirty = true;
    s->ring_dirty = true;
}

/* ---- beginning ---- */

static void init_tables(struct svc *s, uint8_t *p, const struct layout *l, const struct sizes *z,
                        struct rng *r)
{
    slab_init(&s->clients, p + l->clients, z->clients, sizeof(struct client));
    slab_init(&s->requests, p + l->requests, SVC_REQUESTS_MAX, sizeof(struct request));
    slab_init(&s->drafts, p + l->drafts, DRAFTS_MAX, sizeof(struct draft));
    slab_init(&s->sends, p + l->sends, z->sends, sizeof(struct send));
    slab_init(&s->flights, p + l->flights, z->flights, sizeof(struct flight));
    slab_init(&s->watches, p + l->watches, z->watches, sizeof(struct watch));
    slab_init(&s->locations, p + l->locations, z->locations, sizeof(struct location));
    slab_init(&s->notices, p + l->notices, NOTICES_MAX, sizeof(struct notice));
    slab_init(&s->lookups, p + l->lookups, LOOKUPS_MAX, sizeof(struct lookup));
    slab_init(&s->removals, p + l->removals, CHORD_REMOVES_MAX, sizeof(struct removal));
    slab_init(&s->purges, p + l->purges, PURGES_MAX, sizeof(struct purge));
    map_init(&s->links, p + l->links, z->clients, sizeof(uint32_t), r);
    map_init(&s->sessions, p + l->sessions, z->clients, ID_BYTES, r);
    map_init(&s->located, p + l->located, z->locations, ID_BYTES, r);
    map_init(&s->in_flight, p + l->in_flight, z->flights, sizeof(struct flight_key), r);
    map_init(&s->watched, p + l->watched, z->watches, ID_BYTES, r);
    s->seen = (void *)(p + l->seen);
    memset(s->seen, 0, SEEN_SLOTS * sizeof(struct seen));
    s->failures = (void *)(p + l->failures);
    memset(s->failures, 0, FAILURE_CELLS * sizeof(struct failure_cell));
    arena_init(&s->heap, p + l->heap, WIRE_ARENA_MAX);
}

int svc_init(void *mem, const struct svc_config *cfg, struct svc **out)
{
    CHECK(mem != NULL && (uintptr_t)mem % 16 == 0);
    struct layout l = layout_of(cfg);
    struct sizes z = sizes_of(cfg);
    uint8_t *p = mem;
    struct svc *s = mem;
    CHECK(l.svc == 0);
    memset(s, 0, sizeof *s);
    s->self = cfg->chord.self;
    s->sessions_max = z.sessions;
    CHECK(cfg->message_days <= SVC_MESSAGE_DAYS);
    s->message_days = cfg->message_days != 0 ? cfg->message_days : SVC_MESSAGE_DAYS;
    s->tick_us = NEVER;
    memcpy(s->operator_pub, cfg->operator_pub, sizeof s->operator_pub);
    uint64_t seed = 0;
    memcpy(&seed, cfg->secret, sizeof seed);
    struct rng r;
    rng_init(&r, seed ^ cfg->chord.seed);
    init_tables(s, p, &l, &z, &r);
    struct chord_config chord = cfg->chord;
    chord.app = (struct chord_app){.ctx = s,
                                   .reg_change = on_reg_change,
                                   .reg_done = on_reg_done,
                                   .reg_same = on_reg_same,
                                   .set_done = on_set_done,
                                   .set_rows = on_set_rows,
                                   .row_stored = on_row_stored,
                                   .row_expired = on_row_expired,
                                   .message = on_message,
                                   .found = on_found,
                                   .removed = on_removed,
                                   .changed = on_changed};
    int err = chord_init(p + l.chord, &chord, &s->chord);
    if (err == 0)
        *out = s;
    return err;
}

/* ---- the tick ---- */

/* How much one tick may start: its update is bounded. */
struct paces {
    uint32_t announces, reads;
};

static void tick_client(struct svc *s, struct client *c, struct paces *pace)
{
    if (client_tick(s, c) || c->state != CLIENT_SESSION)
        return;
    if (pace->announces > 0 && update_has_room(s) && session_tick(s, c))
        pace->announces--;
    if (c->state != CLIENT_SESSION)
        return;
    if (pace->reads > 0 && update_has_room(s) && deliver_tick(s, c))
        pace->reads--;
    if (c->watches != 0 && update_has_room(s))
        watch_tick(s, c);
}

/* Begins where the last tick's paces were used up, so that everybody has a turn. */
static void tick_clients(struct svc *s)
{
    struct paces pace = {.announces = ANNOUNCES_PER_TICK, .reads = READS_PER_TICK};
    uint32_t start = s->tick_at < s->clients.cap ? s->tick_at : 0;
    uint32_t at = start;
    uint32_t h = 0;
    struct client *c = NULL;
    s->tick_at = 0;
    while ((c = slab_each(&s->clients, &at, &h)) != NULL) {
        tick_client(s, c, &pace);
        if (s->tick_at == 0 && (pace.announces == 0 || pace.reads == 0 || !update_has_room(s)))
            s->tick_at = at;
    }
    for (at = 0; (c = slab_each(&s->clients, &at, &h)) != NULL && at <= start;) {
        tick_client(s, c, &pace);
        if (s->tick_at == 0 && (pace.announces == 0 || pace.reads == 0 || !update_has_room(s)))
            s->tick_at = at;
    }
}

static void say_goodbyes(struct svc *s)
{
    uint32_t at = 0;
    uint32_t h = 0;
    uint32_t said = 0;
    struct client *c = NULL;
    while (said < BYES_PER_STEP && (c = slab_each(&s->clients, &at, &h)) != NULL) {
        if (c->state == CLIENT_CLOSING)
            continue;
        client_bye(s, c, PEAL_E_UNAVAILABLE, "this server is stopping; another one will do");
        said++;
    }
    if (s->links_n == 0 && !s->left && !chord_is_needed(s->chord)) {
        s->left = true;
        struct step_event leave = *s->ev;
        leave.kind = STEP_LEAVE;
        chord_step(s->chord, &leave, s->u);
    }
}

static void tick(struct svc *s)
{
    if (s->leaving)
        say_goodbyes(s);
    account_tick(s);
    purge_tick(s);
    tick_clients(s);
    home_flush_notices(s, ANNOUNCE_AT_TICK);
    client_servers_tick(s);
    watch_ring_tick(s);
}

static void arm(struct svc *s)
{
    bool busy = s->clients.used > 0 || s->requests.used > 0 || s->purges.used > 0 ||
                s->announce[ANNOUNCE_AT_TICK] != 0 || (s->leaving && !s->left);
    if (!busy)
        s->tick_us = NEVER;
    else if (s->tick_us == NEVER)
        s->tick_us = s->ev->now_us + TICK_US;
}

/* ---- events ---- */

static void on_timer(struct svc *s)
{
    if (s->ev->now_us >= chord_deadline(s->chord))
        chord_step(s->chord, s->ev, s->u);
    if (s->ev->now_us >= s->tick_us) {
        s->tick_us = NEVER;
        tick(s);
    }
}

static void on_link(struct svc *s)
{
    struct client *c = client_of_link(s, s->ev->link);
    switch (s->ev->kind) {
    case STEP_RECEIVED:
        if (c != NULL)
            client_received(s, c);
        else
            chord_step(s->chord, s->ev, s->u);
        break;
    case STEP_LINK_UP:
        if (s->ev->link_kind == STEP_LINK_CLIENT)
            client_up(s);
        else
            chord_step(s->chord, s->ev, s->u);
        break;
    case STEP_LINK_DOWN:
        if (s->ev->link_kind == STEP_LINK_NODE)
            chord_step(s->chord, s->ev, s->u);
        else if (c != NULL)
            client_down(s, c);
        break;
    case STEP_START:
    case STEP_TIMER:
    case STEP_BEACON:
    case STEP_WORKED:
    case STEP_STORE_STATE:
    case STEP_CONTACT:
    case STEP_LEAVE:
        break;
    }
}

void svc_step(struct svc *s, const struct step_event *ev, struct step_update *u)
{
    CHECK(s->ev == NULL && ev != NULL && u != NULL);
    size_t first = u->n;
    s->ev = ev;
    s->u = u;
    switch (ev->kind) {
    case STEP_RECEIVED:
    case STEP_LINK_UP:
    case STEP_LINK_DOWN:
        on_link(s);
        break;
    case STEP_TIMER:
        on_timer(s);
        break;
    case STEP_WORKED:
        account_worked(s);
        break;
    case STEP_LEAVE:
        s->leaving = true;
        say_goodbyes(s);
        break;
    case STEP_START:
    case STEP_BEACON:
    case STEP_STORE_STATE:
    case STEP_CONTACT:
        chord_step(s->chord, ev, u);
        break;
    }
    if (s->homes_dirty)
        account_homes_changed(s);
    s->homes_dirty = false;
    home_flush_notices(s, ANNOUNCE_IN_STEP);
    client_flush_stored(s);
    if (s->observers > 0)
        watch_traces(s, first);
    arm(s);
    s->ev = NULL;
    s->u = NULL;
}

uint64_t svc_deadline(const struct svc *s)
{
    uint64_t chord = chord_deadline(s->chord);
    return chord < s->tick_us ? chord : s->tick_us;
}

const struct chord *svc_chord(const struct svc *s)
{
    return s->chord;
}

void svc_stats(const struct svc *s, struct svc_stats *out)
{
    *out = s->stats;
    out->clients = s->links_n;
    out->sessions = s->sessions_n;
    out->locations = s->locations.used;
    out->requests = s->requests.used;
}
