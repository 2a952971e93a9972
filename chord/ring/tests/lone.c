#include "lone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t WALL_MS = 1700000000000;

struct lone_peer lone_peer(uint8_t n)
{
    struct lone_peer p = {.incarnation = 1};
    struct peal_secret seed;
    memset(seed.b, n, sizeof seed.b);
    cry_sign_key_from_seed(&seed, &p.key);
    p.id = cry_node_id(p.key.pub);
    snprintf(p.address, sizeof p.address, "10.1.0.%u:7000", (unsigned)n);
    return p;
}

struct wire_contact lone_contact(struct lone_peer *p)
{
    uint8_t body[RING_CONTACT_BODY_MAX];
    size_t list_n = wire_address_add(p->list, 0, peal_bytes_str(p->address));
    for (size_t i = 0; i < PEAL_COUNT(p->more) && p->more[i][0] != '\0'; i++)
        list_n = wire_address_add(p->list, list_n, peal_bytes_str(p->more[i]));
    struct wire_contact w = {.id = p->id,
                             .incarnation = p->incarnation,
                             .addresses = peal_bytes_of(p->list, list_n),
                             .key = peal_bytes_of(p->key.pub, CRY_PUB_BYTES),
                             .signature = peal_bytes_of(p->sig, CRY_SIG_BYTES)};
    size_t n = ring_contact_body(&w, body);
    cry_sign(&p->key, RING_CONTACT_DOMAIN, peal_bytes_of(body, n), p->sig);
    return w;
}

struct wire_contact lone_unsigned(const struct peal_id *id, uint64_t incarnation)
{
    static const uint8_t nothing[CRY_SIG_BYTES];
    return (struct wire_contact){.id = *id,
                                 .incarnation = incarnation,
                                 .addresses = peal_bytes_str("\x0a"
                                                             "10.9.9.9:9"),
                                 .key = peal_bytes_of(nothing, CRY_PUB_BYTES),
                                 .signature = peal_bytes_of(nothing, CRY_SIG_BYTES)};
}

static int verify_nothing(void *ctx, const struct wire_contact *w)
{
    (void)ctx;
    (void)w;
    return 0;
}

/* ---- the app ---- */

static void app_up(void *ctx, struct step_update *u, const struct peal_id *id)
{
    struct lone *o = ctx;
    (void)u;
    o->up_n++;
    o->last_up = *id;
}

static void app_down(void *ctx, struct step_update *u, const struct peal_id *id, const char *why)
{
    struct lone *o = ctx;
    (void)u;
    CHECK(why != NULL);
    o->down_n++;
    o->last_down = *id;
}

static void app_message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                        union wire_any *m)
{
    struct lone *o = ctx;
    (void)u;
    (void)m;
    CHECK(type < WIRE_FIRST_RING);
    o->message_n++;
    o->last_from = *from;
}

static void app_found(void *ctx, struct step_update *u, uint64_t token, int err,
                      const struct ring_found *f)
{
    struct lone *o = ctx;
    (void)u;
    (void)token;
    (void)f;
    o->found_n++;
    o->found_err = err;
}

static void app_cast(void *ctx, struct step_update *u, const struct peal_id *origin, uint8_t kind,
                     struct peal_bytes body)
{
    (void)ctx;
    (void)u;
    (void)origin;
    (void)kind;
    (void)body;
}

static void app_changed(void *ctx, struct step_update *u)
{
    struct lone *o = ctx;
    (void)u;
    o->changed_n++;
}

static size_t app_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    struct lone *o = ctx;
    o->load_n++;
    memcpy(out, o->load, o->load_bytes);
    return o->load_bytes;
}

static void app_peer_load(void *ctx, struct step_update *u, const struct peal_id *id,
                          struct peal_bytes load)
{
    struct lone *o = ctx;
    (void)u;
    (void)id;
    memcpy(o->heard_load, load.p, load.n);
    o->heard_load_n = load.n;
}

/* ---- the disk ---- */

static int key_cmp(struct peal_bytes a, struct peal_bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static struct peal_bytes key_of(const struct lone_record *x)
{
    return peal_bytes_of(x->key, x->key_n);
}

static void store_write(struct lone_store *s, const struct step_effect *e)
{
    size_t i = 0;
    while (i < s->n && key_cmp(key_of(&s->records[i]), e->key) < 0)
        i++;
    bool there = i < s->n && key_cmp(key_of(&s->records[i]), e->key) == 0;
    if (e->op == STEP_DEL) {
        if (there)
            memmove(&s->records[i], &s->records[i + 1], sizeof s->records[0] * (--s->n - i));
        return;
    }
    CHECK(s->n < LONE_STORE_MAX && e->bytes.n <= LONE_VALUE_MAX);
    if (!there)
        memmove(&s->records[i + 1], &s->records[i], sizeof s->records[0] * (s->n++ - i));
    struct lone_record *x = &s->records[i];
    memcpy(x->key, e->key.p, x->key_n = e->key.n);
    memcpy(x->value, e->bytes.p, x->value_n = e->bytes.n);
}

static int store_get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
                     struct peal_bytes *value)
{
    const struct lone *o = ctx;
    CHECK(space == STEP_META);
    for (size_t i = 0; i < o->store->n; i++)
        if (key_cmp(key_of(&o->store->records[i]), key) == 0) {
            const struct lone_record *x = &o->store->records[i];
            *value = arena_copy(a, peal_bytes_of(x->value, x->value_n));
            return value->p == NULL ? PEAL_E_NO_MEMORY : 0;
        }
    return PEAL_E_NOT_FOUND;
}

static int store_scan(void *ctx, enum step_space space, struct peal_bytes from,
                      struct peal_bytes to, size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    const struct lone *o = ctx;
    CHECK(space == STEP_META);
    for (size_t i = 0; i < o->store->n && limit > 0; i++) {
        const struct lone_record *x = &o->store->records[i];
        if (key_cmp(key_of(x), from) < 0 || (to.n > 0 && key_cmp(key_of(x), to) >= 0))
            continue;
        limit--;
        if (!fn(fn_ctx, key_of(x), peal_bytes_of(x->value, x->value_n)))
            break;
    }
    return 0;
}

/* ---- the host ---- */

static void fill(struct lone *o, struct step_event *ev)
{
    ev->now_us = o->now_us;
    ev->wall_ms = WALL_MS + o->now_us / 1000;
    ev->reader = &o->reader;
}

static void keep(struct lone *o, const struct step_effect *e)
{
    CHECK(o->said_n < LONE_SAID_MAX);
    struct lone_said *s = &o->said[o->said_n++];
    *s = (struct lone_said){.kind = e->kind, .link = e->link, .err = e->err, .n = e->bytes.n};
    s->bytes = malloc(e->bytes.n + 1);
    CHECK(s->bytes != NULL);
    if (e->bytes.n > 0)
        memcpy(s->bytes, e->bytes.p, e->bytes.n);
    if (e->kind == STEP_SEND)
        s->type = (uint16_t)(s->bytes[0] << 8 | s->bytes[1]);
}

void lone_out(struct lone *o)
{
    size_t first = o->said_n;
    for (size_t i = 0; i < o->u.n; i++) {
        if (o->u.effects[i].kind == STEP_WRITE)
            store_write(o->store, &o->u.effects[i]);
        keep(o, &o->u.effects[i]);
    }
    step_update_reset(&o->u);
    size_t end = o->said_n; /* what comes of the events below sees to itself */
    for (size_t i = first; i < end; i++) {
        const struct lone_said *s = &o->said[i];
        struct step_event ev = {
            .kind = STEP_RECEIVED, .link = STEP_SELF, .bytes = peal_bytes_of(s->bytes, s->n)};
        if (s->kind == STEP_SEND && s->link == STEP_SELF)
            lone_event(o, ev);
    }
}

void lone_in(struct lone *o)
{
    struct step_event ev = {.kind = STEP_TIMER};
    fill(o, &ev);
    ring__note_call(o->ring, &ev, &o->u);
}

void lone_event(struct lone *o, struct step_event ev)
{
    fill(o, &ev);
    ring_step(o->ring, &ev, &o->u);
    lone_out(o);
}

void lone_start(struct lone *o)
{
    lone_event(o, (struct step_event){.kind = STEP_START});
}

struct lone *lone_new(const struct lone_options *opt)
{
    struct lone *o = calloc(1, sizeof *o);
    CHECK(o != NULL);
    int err = cry_init();
    CHECK(err == 0);
    o->self = lone_peer(opt->n);
    o->now_us = 1000000;
    o->reader = (struct step_reader){.ctx = o, .get = store_get, .scan = store_scan};
    o->store = opt->store != NULL ? opt->store : &o->own_store;
    struct ring_config cfg = {.contact = lone_contact(&o->self),
                              .hints_max = opt->hints,
                              .links_max = opt->links,
                              .remember = opt->remember,
                              .beacons = opt->beacons,
                              .eligible = true,
                              .seed = opt->n,
                              .verify = opt->cheap ? verify_nothing : NULL,
                              .app = {.ctx = o,
                                      .up = app_up,
                                      .down = app_down,
                                      .message = app_message,
                                      .found = app_found,
                                      .cast = app_cast,
                                      .changed = app_changed,
                                      .load = app_load,
                                      .peer_load = app_peer_load}};
    if (opt->join != NULL)
        cfg.joins[cfg.joins_n++] = peal_bytes_str(opt->join);
    o->mem = aligned_alloc(16, (ring_size(&cfg) + 15) / 16 * 16);
    o->update_mem = aligned_alloc(16, step_update_size());
    CHECK(o->mem != NULL && o->update_mem != NULL);
    step_update_init(&o->u, o->update_mem);
    err = ring_init(o->mem, &cfg, &o->ring);
    CHECK(err == 0);
    return o;
}

void lone_free(struct lone *o)
{
    lone_forget(o);
    free(o->mem);
    free(o->update_mem);
    free(o);
}

void lone_forget(struct lone *o)
{
    for (size_t i = 0; i < o->said_n; i++)
        free(o->said[i].bytes);
    o->said_n = 0;
}

void lone_wait(struct lone *o, uint64_t us)
{
    uint64_t end = o->now_us + us;
    for (;;) {
        uint64_t at = ring_deadline(o->ring);
        if (at > end)
            break;
        if (at > o->now_us)
            o->now_us = at;
        lone_event(o, (struct step_event){.kind = STEP_TIMER});
    }
    o->now_us = end;
}

void lone_link(struct lone *o, uint32_t link, const struct lone_peer *p, bool dialled)
{
    lone_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                      .link = link,
                                      .link_kind = STEP_LINK_NODE,
                                      .dialled = dialled,
                                      .peer = p->id,
                                      .address = peal_bytes_str(p->address)});
}

void lone_unlink(struct lone *o, uint32_t link, const char *address, bool dialled)
{
    lone_event(o, (struct step_event){.kind = STEP_LINK_DOWN,
                                      .link = link,
                                      .link_kind = STEP_LINK_NODE,
                                      .dialled = dialled,
                                      .address = peal_bytes_str(address),
                                      .err = PEAL_E_CLOSED});
}

static void hear_for(struct lone *o, uint32_t link, uint16_t type, void *msg,
                     const struct peal_id *to)
{
    uint8_t buf[8192];
    struct wr w;
    uint64_t stamp = (WALL_MS + o->now_us / 1000) << 16;
    memcpy(msg, to, sizeof *to); /* the header: to and stamp come first */
    memcpy((uint8_t *)msg + offsetof(struct wire_r_bye, stamp), &stamp, sizeof stamp);
    wr_init(&w, buf, sizeof buf);
    int err = wire_encode(type, msg, &w);
    CHECK(err == 0);
    lone_event(o, (struct step_event){
                      .kind = STEP_RECEIVED, .link = link, .bytes = peal_bytes_of(buf, w.n)});
}

void lone_hear(struct lone *o, uint32_t link, uint16_t type, void *msg)
{
    hear_for(o, link, type, msg, &o->self.id);
}

void lone_hello(struct lone *o, uint32_t link, struct lone_peer *p, enum ring_phase phase)
{
    struct wire_r_hello m = {.version = WIRE_VERSION,
                             .contact = lone_contact(p),
                             .state = {.phase = (uint8_t)phase, .size = 1}};
    lone_hear(o, link, WIRE_r_hello, &m);
}

void lone_meet(struct lone *o, uint32_t link, struct lone_peer *p, bool dialled)
{
    lone_link(o, link, p, dialled);
    lone_hello(o, link, p, RING_SEEKING);
}

const struct lone_said *lone_find(const struct lone *o, enum step_effect_kind kind, uint16_t type,
                                  union wire_any *m)
{
    static uint8_t heap[WIRE_ARENA_MAX + 16];
    for (size_t i = o->said_n; i > 0; i--) {
        const struct lone_said *s = &o->said[i - 1];
        if (s->kind != kind || (kind == STEP_SEND && s->type != type))
            continue;
        if (m != NULL) {
            struct arena a;
            uint16_t got = 0;
            arena_init(&a, heap, sizeof heap);
            int err = wire_decode(s->bytes, s->n, &got, m, sizeof *m, &a);
            CHECK(err == 0);
        }
        return s;
    }
    return NULL;
}

size_t lone_count(const struct lone *o, enum step_effect_kind kind, uint16_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < o->said_n; i++)
        n += o->said[i].kind == kind && (kind != STEP_SEND || o->said[i].type == type);
    return n;
}

/* ---- two of them ---- */

struct pair *pair_new(const struct lone_options *a, const struct lone_options *b)
{
    struct pair *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->side[0] = lone_new(a);
    p->side[1] = lone_new(b);
    p->now_us = p->side[0]->now_us;
    p->next_handle = 1;
    return p;
}

void pair_free(struct pair *p)
{
    for (size_t i = 0; i < p->flight_n; i++)
        free(p->flight[i].bytes);
    lone_free(p->side[0]);
    lone_free(p->side[1]);
    free(p);
}

/* To arrive after all that is on its way to that side already. */
static void fly(struct pair *p, int side, struct step_event ev, const uint8_t *bytes, size_t n)
{
    CHECK(p->flight_n < PAIR_FLIGHT_MAX);
    struct pair_event *e = &p->flight[p->flight_n++];
    *e = (struct pair_event){.at_us = p->now_us + PAIR_WAY_US, .side = side, .ev = ev};
    if (ev.address.n > 0)
        memcpy(e->address, ev.address.p, ev.address.n);
    e->ev.address.p = NULL; /* set again when it arrives: events move */
    if (n == 0)
        return;
    e->bytes = malloc(n);
    CHECK(e->bytes != NULL);
    memcpy(e->bytes, bytes, n);
    e->ev.bytes.n = n;
}

static struct pair_link *pair_link_of(struct pair *p, int side, uint32_t handle)
{
    for (size_t i = 0; i < p->links_n; i++)
        if (p->links[i].handle[side] == handle)
            return &p->links[i];
    return NULL;
}

static struct step_event link_event(const struct pair *p, const struct pair_link *l, int side,
                                    enum step_event_kind kind)
{
    const struct lone *other = p->side[1 - side];
    bool dialled = l->dialler == side;
    return (struct step_event){.kind = kind,
                               .link = l->handle[side],
                               .link_kind = STEP_LINK_NODE,
                               .dialled = dialled,
                               .peer = other->self.id,
                               .address =
                                   peal_bytes_str(dialled ? other->self.address : "10.1.0.99:1"),
                               .err = kind == STEP_LINK_DOWN ? PEAL_E_CLOSED : 0};
}

void pair_dial(struct pair *p, int side)
{
    size_t at = 0; /* of a link that is closed at both sides, or a new one */
    while (at < p->links_n && (p->links[at].handle[0] != 0 || p->links[at].handle[1] != 0))
        at++;
    CHECK(at < PAIR_LINKS_MAX);
    if (at == p->links_n)
        p->links_n++;
    struct pair_link *l = &p->links[at];
    *l = (struct pair_link){.dialler = side};
    l->handle[0] = p->next_handle++;
    l->handle[1] = p->next_handle++;
    for (int s = 0; s < 2; s++)
        fly(p, s, link_event(p, l, s, STEP_LINK_UP), NULL, 0);
}

/* The other side gets it as it is, or damaged, or twice. */
static void pair_send(struct pair *p, int to, uint32_t handle, const struct lone_said *s)
{
    struct step_event ev = {.kind = STEP_RECEIVED, .link = handle};
    size_t n = s->n;
    bool twice = p->damage > 0 && rng_below(&p->rng, 2 * (uint64_t)p->damage) == 0;
    if (p->damage > 0 && rng_below(&p->rng, p->damage) == 0) {
        for (uint64_t i = 1 + rng_below(&p->rng, 4); i > 0; i--)
            s->bytes[rng_below(&p->rng, n)] ^= (uint8_t)(1U << rng_below(&p->rng, 8));
        if (rng_below(&p->rng, 8) == 0)
            n = 1 + rng_below(&p->rng, n);
    }
    fly(p, to, ev, s->bytes, n);
    if (twice)
        fly(p, to, ev, s->bytes, n);
}

static void pair_carry(struct pair *p, int side, const struct lone_said *s)
{
    struct lone *other = p->side[1 - side];
    struct pair_link *l = s->link == STEP_NO_LINK ? NULL : pair_link_of(p, side, s->link);
    switch (s->kind) {
    case STEP_SEND:
        if (l != NULL && !l->cut && l->handle[1 - side] != 0)
            pair_send(p, 1 - side, l->handle[1 - side], s);
        break;
    case STEP_CLOSE:
        if (l == NULL)
            break;
        fly(p, side, link_event(p, l, side, STEP_LINK_DOWN), NULL, 0);
        if (!l->cut && l->handle[1 - side] != 0)
            fly(p, 1 - side, link_event(p, l, 1 - side, STEP_LINK_DOWN), NULL, 0);
        l->handle[side] = 0;
        break;
    case STEP_DIAL:
        if (!p->refuse &&
            peal_bytes_eq(peal_bytes_of(s->bytes, s->n), peal_bytes_str(other->self.address))) {
            pair_dial(p, side);
        } else {
            struct step_event ev = {.kind = STEP_LINK_DOWN,
                                    .link_kind = STEP_LINK_NODE,
                                    .dialled = true,
                                    .address = peal_bytes_of(s->bytes, s->n),
                                    .err = PEAL_E_CLOSED};
            fly(p, side, ev, NULL, 0);
        }
        break;
    case STEP_WRITE:
    case STEP_WORK:
    case STEP_SAY_BEACON:
    case STEP_TRACE:
        break;
    }
}

static void pair_obey(struct pair *p)
{
    for (int s = 0; s < 2; s++) {
        struct lone *o = p->side[s];
        for (size_t i = 0; i < o->said_n; i++)
            pair_carry(p, s, &o->said[i]);
        lone_forget(o);
    }
}

static void pair_arrive(struct pair *p)
{
    struct pair_event e = p->flight[0];
    memmove(&p->flight[0], &p->flight[1], sizeof p->flight[0] * --p->flight_n);
    e.ev.address.p = (const uint8_t *)e.address;
    e.ev.bytes.p = e.bytes;
    struct pair_link *l = e.ev.link == STEP_NO_LINK ? NULL : pair_link_of(p, e.side, e.ev.link);
    bool closed = e.ev.kind == STEP_LINK_DOWN;
    if (l != NULL || closed) /* else it was closed meanwhile */
        lone_event(p->side[e.side], e.ev);
    if (closed && l != NULL)
        l->handle[e.side] = 0;
    free(e.bytes);
}

void pair_start(struct pair *p, int side)
{
    p->side[side]->now_us = p->now_us;
    lone_start(p->side[side]);
    pair_obey(p);
}

void pair_wait(struct pair *p, uint64_t us)
{
    uint64_t end = p->now_us + us;
    for (;;) {
        uint64_t at = p->flight_n > 0 ? p->flight[0].at_us : UINT64_MAX;
        int side = -1;
        for (int s = 0; s < 2; s++)
            if (ring_deadline(p->side[s]->ring) < at) {
                at = ring_deadline(p->side[s]->ring);
                side = s;
            }
        if (at > end)
            break;
        if (at > p->now_us)
            p->now_us = at;
        p->side[0]->now_us = p->side[1]->now_us = p->now_us;
        if (side < 0)
            pair_arrive(p);
        else
            lone_event(p->side[side], (struct step_event){.kind = STEP_TIMER});
        pair_obey(p);
    }
    p->now_us = p->side[0]->now_us = p->side[1]->now_us = end;
}

size_t pair_open(const struct pair *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->links_n; i++)
        n += p->links[i].handle[0] != 0 && p->links[i].handle[1] != 0;
    return n;
}
