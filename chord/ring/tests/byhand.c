#include "byhand.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

struct ring ring;
static struct step_update update;
static void *memory[8];
static size_t memory_n;

struct ended ended;

static void app_found(void *ctx, struct step_update *u, uint64_t token, int err,
                      const struct ring_found *f)
{
    (void)ctx;
    cr_assert_eq(u, ring.u, "told within the step");
    cr_assert_eq(f == NULL, err != 0, "an owner exactly when there is no error");
    ended.n++;
    ended.err = err;
    ended.token = token;
    if (f == NULL)
        return;
    ended.owner = f->owner.id;
    ended.path_n = f->path_n;
    cr_assert_eq(f->hops, f->path_n - 1, "hops");
    memcpy(ended.path, f->path, f->path_n * sizeof f->path[0]);
}

static void app_up(void *ctx, struct step_update *u, const struct peal_id *id)
{
    (void)ctx, (void)u, (void)id;
}

static void app_down(void *ctx, struct step_update *u, const struct peal_id *id, const char *why)
{
    (void)ctx, (void)u, (void)id, (void)why;
}

static void app_changed(void *ctx, struct step_update *u)
{
    (void)ctx, (void)u;
}

static size_t app_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    (void)ctx, (void)out;
    return 0;
}

static void *room(size_t n)
{
    cr_assert_lt(memory_n, PEAL_COUNT(memory), "room for another block");
    void *p = aligned_alloc(16, (n + 15) / 16 * 16);
    cr_assert_not_null(p, "memory");
    memset(p, 0, n);
    memory[memory_n++] = p;
    return p;
}

static int verify(void *ctx, const struct wire_contact *w)
{
    (void)ctx;
    return w->signature.n > 0 && w->signature.p[0] == FORGED ? PEAL_E_AUTH : 0;
}

void hand_set_up(void)
{
    memory_n = 0;
    memset(&ring, 0, sizeof ring);
    memset(&ended, 0, sizeof ended);
    step_update_init(&update, room(step_update_size()));
    book_init(&ring.book, room(book_bytes(NODES)), NODES);
    rng_init(&ring.rng, 1);
    map_init(&ring.handles, room(map_size(LINKS, sizeof(uint32_t))), LINKS, sizeof(uint32_t),
             &ring.rng);
    slab_init(&ring.finds, room(slab_size(FINDS, sizeof(struct find))), FINDS, sizeof(struct find));
    slab_init(&ring.flights, room(slab_size(FLIGHTS, sizeof(struct flight))), FLIGHTS,
              sizeof(struct flight));
    ring.links = room(LINKS * sizeof(struct link));
    ring.links_cap = LINKS;
    arena_init(&ring.scratch, room(SCRATCH_BYTES), SCRATCH_BYTES);
    ring.cfg.verify = verify;
    ring.cfg.stabilise_us = SECOND;
    ring.cfg.app.found = app_found;
    ring.cfg.app.up = app_up;
    ring.cfg.app.down = app_down;
    ring.cfg.app.changed = app_changed;
    ring.cfg.app.load = app_load;
    ring.u = &update;
    ring.now = T0;
    ring.wall = 1700000000000;
    ring.next_op = UINT64_MAX - 3; /* numbers wrap */
    ring.r = 4;
    for (size_t i = 0; i < PARTS; i++)
        ring.due[i] = UINT64_MAX;
}

void hand_tear_down(void)
{
    while (memory_n > 0)
        free(memory[--memory_n]);
}

/* ---- building a node ---- */

struct contact contact_of(const struct peal_id *who)
{
    struct peal_bytes list = peal_bytes_str("\x0e"
                                            "192.0.2.1:7400");
    return (struct contact){
        .id = *who, .incarnation = 1, .addresses = list.p, .address_n = (uint16_t)list.n};
}

struct node *know_id(const struct peal_id *who)
{
    struct contact k = contact_of(who);
    struct wire_contact w = ring__contact_view(&k);
    bool news;
    enum ring_phase phase = ring.phase;
    ring.phase = RING_LEFT; /* nobody is dialled for being news */
    struct node *n = book_learn(&ring, &w, false, 1, &news);
    ring.phase = phase;
    cr_assert_not_null(n, "known");
    return n;
}

struct node *know(unsigned first)
{
    struct peal_id who = id(first);
    struct node *n = book_find(&ring, &who);
    return n != NULL ? n : know_id(&who);
}

struct link *link_node(struct node *n)
{
    cr_assert_lt(ring.links_n, LINKS, "room for the link");
    struct link *l = &ring.links[ring.links_n];
    *l = (struct link){.handle = 1000 + ring.links_n, .hello = true, .peer = n->contact.id};
    l->state.phase = RING_LARGE;
    cr_assert_eq(map_put(&ring.handles, &l->handle, ring.links_n), 0, "the handle");
    n->link = ring.links_n++;
    return l;
}

struct link *linked(unsigned first)
{
    struct node *n = know(first);
    return n->link == UINT32_MAX ? link_node(n) : &ring.links[n->link];
}

void be(enum ring_phase phase, const unsigned *succ, size_t n)
{
    struct peal_id self = id(SELF);
    ring.self = contact_of(&self);
    ring.phase = phase;
    ring.z = (struct zave){.self = self, .r = ring.r, .n = (uint8_t)n, .prdc = id(0x30)};
    for (size_t i = 0; i < n; i++) {
        ring.z.succ[i].id = id(succ[i]);
        linked(succ[i]);
    }
    linked(0x30);
    ring.fingers.low = FINGERS_MAX;
    ring.fingers.next = FINGERS_MAX - 1;
    ring.size = 1000;
}

const unsigned four[4] = {0x50, 0x58, 0x60, 0x68};

void be_classic(void)
{
    ring.cfg.no_hints = true;
    be(RING_LARGE, four, 4);
}

void finger(unsigned bit, unsigned first)
{
    ring.fingers.at[bit] = id(first);
    if (ring.fingers.low > (int)bit)
        ring.fingers.low = (int)bit;
}

void dies(unsigned first)
{
    struct node *n = know(first);
    cr_assert_eq(n->link, UINT32_MAX, "only who has no link is dead");
    book_dead(&ring, n);
}

void unlink_node(unsigned first)
{
    struct node *n = know(first);
    cr_assert_neq(n->link, UINT32_MAX, "it is linked");
    ring.links[n->link].hello = false;
    n->link = UINT32_MAX;
}

/* ---- messages ---- */

struct said said[SAID_MAX];
size_t said_n;
static _Alignas(16) uint8_t decoded[SAID_MAX][4096];

void collect(void)
{
    said_n = 0;
    for (size_t i = 0; i < update.n; i++) {
        const struct step_effect *e = &update.effects[i];
        struct said *s = &said[said_n];
        struct arena a;
        if (e->kind != STEP_SEND && e->kind != STEP_CLOSE)
            continue;
        cr_assert_lt(said_n, SAID_MAX, "room");
        *s = (struct said){.link = e->link, .err = e->err};
        arena_init(&a, decoded[said_n], sizeof decoded[0]);
        if (e->kind == STEP_SEND)
            cr_assert_eq(wire_decode(e->bytes.p, e->bytes.n, &s->type, &s->m, sizeof s->m, &a), 0,
                         "what is said decodes");
        if (s->type == 0 || s->type == WIRE_r_find || s->type == WIRE_r_find_ack ||
            s->type == WIRE_r_found)
            said_n++;
    }
    step_update_reset(&update);
}

const struct said *assert_said(size_t i, unsigned to, uint16_t type, const char *what)
{
    cr_assert_lt(i, said_n, "%s: something was said", what);
    const struct node *n = know(to);
    cr_assert_eq(said[i].type, type, "%s: %s, not %s", what, wire_type_name(type),
                 wire_type_name(said[i].type));
    cr_assert_eq(said[i].link, ring.links[n->link].handle, "%s: to %02x", what, to);
    return &said[i];
}
