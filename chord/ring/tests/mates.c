/* One node among mates that are played by the test. See mates.h. */
#include "mates.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct peal_id mates_random_id(struct rng *g)
{
    struct peal_id id;
    rng_fill(g, &id, sizeof id);
    return id;
}

static int compare_ids(const void *a, const void *b)
{
    return id_cmp(a, b);
}

void mates_random_ring(struct rng *g, struct peal_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = mates_random_id(g);
    qsort(ids, n, sizeof *ids, compare_ids);
    for (size_t i = 1; i < n; i++)
        cr_assert(!id_eq(&ids[i - 1], &ids[i]), "random ids are distinct");
}

static int verify(void *ctx, const struct wire_contact *w)
{
    (void)ctx;
    return w->signature.n == CRY_SIG_BYTES && w->signature.p[0] == 1 ? 0 : PEAL_E_AUTH;
}

static void on_node(void *ctx, struct step_update *u, const struct peal_id *id)
{
    (void)ctx, (void)u, (void)id;
}

static void on_down(void *ctx, struct step_update *u, const struct peal_id *id, const char *why)
{
    (void)ctx, (void)u, (void)id, (void)why;
}

static void on_message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                       union wire_any *m)
{
    (void)ctx, (void)u, (void)from, (void)type, (void)m;
}

static void on_found(void *ctx, struct step_update *u, uint64_t token, int err,
                     const struct ring_found *f)
{
    (void)ctx, (void)u, (void)token, (void)err, (void)f;
}

static void on_cast(void *ctx, struct step_update *u, const struct peal_id *origin, uint8_t kind,
                    struct peal_bytes body)
{
    struct one *o = ctx;
    (void)u, (void)kind, (void)body;
    o->casts++;
    o->cast_origin = *origin;
}

static void on_changed(void *ctx, struct step_update *u)
{
    (void)ctx, (void)u;
}

static size_t no_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    (void)ctx, (void)out;
    return 0;
}

static void on_load(void *ctx, struct step_update *u, const struct peal_id *id,
                    struct peal_bytes load)
{
    (void)ctx, (void)u, (void)id, (void)load;
}

static int get_nothing(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
                       struct peal_bytes *value)
{
    (void)ctx, (void)space, (void)key, (void)a, (void)value;
    return PEAL_E_NOT_FOUND;
}

static int scan_nothing(void *ctx, enum step_space space, struct peal_bytes from,
                        struct peal_bytes to, size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    (void)ctx, (void)space, (void)from, (void)to, (void)limit, (void)fn, (void)fn_ctx;
    return 0;
}

const struct step_reader mates_store = {.get = get_nothing, .scan = scan_nothing};
static const uint8_t KEY[CRY_PUB_BYTES] = {7}, SIGNATURE[CRY_SIG_BYTES] = {1};

struct wire_contact mates_contact(const struct peal_id *id, uint64_t incarnation)
{
    return (struct wire_contact){.id = *id,
                                 .incarnation = incarnation,
                                 .addresses = peal_bytes_str("\x0e"
                                                             "192.0.2.1:7400"),
                                 .key = peal_bytes_of(KEY, sizeof KEY),
                                 .signature = peal_bytes_of(SIGNATURE, sizeof SIGNATURE)};
}

struct one *mates_node(const struct peal_id *self, uint32_t gossip_bytes)
{
    struct one *o = calloc(1, sizeof *o);
    cr_assert_not_null(o, "memory");
    o->now = 1000;
    arena_init(&o->arena, o->keep, sizeof o->keep);
    struct ring_config cfg = {.contact = mates_contact(self, 1),
                              .hints_max = 1024,
                              .links_max = 32,
                              .finds_max = 16,
                              .flights_max = 16,
                              .gossip_bytes = gossip_bytes,
                              .seed = 5,
                              .eligible = true,
                              .verify = verify,
                              .app = {.ctx = o,
                                      .up = on_node,
                                      .down = on_down,
                                      .message = on_message,
                                      .found = on_found,
                                      .cast = on_cast,
                                      .changed = on_changed,
                                      .load = no_load,
                                      .peer_load = on_load}};
    o->mem = aligned_alloc(16, (ring_size(&cfg) + 15) / 16 * 16);
    o->update_mem = aligned_alloc(16, (step_update_size() + 15) / 16 * 16);
    cr_assert(o->mem != NULL && o->update_mem != NULL, "memory");
    step_update_init(&o->u, o->update_mem);
    cr_assert_eq(ring_init(o->mem, &cfg, &o->r), 0, "a node");
    return o;
}

void mates_free(struct one *o)
{
    free(o->mem);
    free(o->update_mem);
    free(o);
}

void mates_step(struct one *o, struct step_event ev)
{
    ev.now_us = o->now;
    ev.wall_ms = MATES_WALL_MS + o->now / MS;
    ev.reader = &mates_store;
    ring_step(o->r, &ev, &o->u);
    for (size_t i = 0; i < o->u.n; i++)
        if (o->u.effects[i].kind == STEP_CLOSE && o->u.effects[i].link <= MATES)
            o->closed[o->u.effects[i].link - 1] = true;
}

bool mates_said(struct one *o, size_t *at, uint16_t type, struct said *out)
{
    for (; *at < o->u.n; ++*at) {
        const struct step_effect *e = &o->u.effects[*at];
        if (e->kind != STEP_SEND)
            continue;
        arena_reset(&o->arena);
        out->link = e->link;
        cr_assert_eq(
            wire_decode(e->bytes.p, e->bytes.n, &out->type, &out->m, sizeof out->m, &o->arena), 0,
            "what it says decodes");
        if (out->type != type)
            continue;
        ++*at;
        return true;
    }
    return false;
}

void mates_say(struct one *o, size_t i, uint16_t type, void *msg)
{
    static uint8_t bytes[64 * 1024];
    struct wire_r_bye head = {.to = o->r->self.id, .stamp = (MATES_WALL_MS + o->now / MS) << 16};
    memcpy(msg, &head, offsetof(struct wire_r_bye, code));
    struct wr w;
    wr_init(&w, bytes, sizeof bytes);
    cr_assert_eq(wire_encode(type, msg, &w), 0, "what a mate says encodes");
    step_update_reset(&o->u);
    mates_step(o, (struct step_event){.kind = STEP_RECEIVED,
                                      .link = (uint32_t)i + 1,
                                      .bytes = peal_bytes_of(bytes, w.n)});
}

static struct wire_ring_state state_of(const struct one *o)
{
    return (struct wire_ring_state){
        .phase = RING_SMALL, .size = MATES + 1, .coordinator = o->r->elect.coordinator};
}

void mates_ping(struct one *o, size_t i)
{
    struct wire_r_ping m = {.state = state_of(o)};
    mates_say(o, i, WIRE_r_ping, &m);
}

struct one *mates_ring(uint32_t gossip_bytes)
{
    struct rng g;
    rng_init(&g, 6);
    struct peal_id ids[MATES + 1];
    mates_random_ring(&g, ids, MATES + 1);
    struct one *o = mates_node(&ids[2], gossip_bytes);
    mates_step(o, (struct step_event){.kind = STEP_START});
    for (size_t i = 0; i < MATES; i++) {
        o->mate[i] = ids[(3 + i) % (MATES + 1)];
        step_update_reset(&o->u);
        mates_step(o, (struct step_event){.kind = STEP_LINK_UP,
                                          .link = (uint32_t)i + 1,
                                          .peer = o->mate[i],
                                          .address = peal_bytes_str("192.0.2.1:7400")});
        struct wire_r_hello m = {.version = WIRE_VERSION,
                                 .contact = mates_contact(&o->mate[i], 1),
                                 .state = state_of(o)};
        mates_say(o, i, WIRE_r_hello, &m);
    }
    for (size_t round = 0; round < 20 && !ring__is_member(o->r); round++) {
        o->now += 100 * MS;
        step_update_reset(&o->u);
        mates_step(o, (struct step_event){.kind = STEP_TIMER});
    }
    for (size_t i = 0; i < MATES; i++)
        mates_ping(o, i);
    cr_assert_eq(o->r->phase, RING_SMALL, "it is a member");
    cr_assert_eq(o->r->z.n, MATES, "with all mates, not %u", o->r->z.n);
    struct peal_id ways[WAYS_MAX];
    cr_assert_eq(finger_ways(o->r, ways), MATES, "that it may hand things to");
    return o;
}

void mates_learn(struct one *o, const struct peal_id *id, uint64_t incarnation, bool dead)
{
    bool news;
    struct wire_contact w = mates_contact(id, incarnation);
    o->r->u = &o->u;
    o->r->wall = MATES_WALL_MS;
    cr_assert_not_null(book_learn(o->r, &w, dead, MATES_WALL_MS << 16, &news), "learnt");
}

struct wire_rumour mates_life(const struct one *o, const struct peal_id *id,
                              const struct peal_id *limit)
{
    return (struct wire_rumour){.contact = mates_contact(id, 1),
                                .stamp = (MATES_WALL_MS + o->now / MS) << 16,
                                .limit = *limit};
}

struct wire_rumour mates_death(const struct one *o, const struct peal_id *id,
                               const struct peal_id *limit)
{
    return (struct wire_rumour){.contact = {.id = *id, .incarnation = 1},
                                .stamp = (MATES_WALL_MS + o->now / MS + 1) << 16,
                                .dead = true,
                                .limit = *limit};
}

void mates_rumour(struct one *o, size_t mate, struct wire_rumour w)
{
    struct wire_r_rumours m = {.rumours = {.v = &w, .n = 1}};
    mates_say(o, mate, WIRE_r_rumours, &m);
}
