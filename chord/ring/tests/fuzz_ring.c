/* One node of the overlay, and an input that is a script of what happens to it: links that come and
 * go, messages with fields from a small world of a dozen nodes, time going on, calls of the layer
 * above, also from within its callbacks. Whatever peers say, no invariant breaks, what the node
 * says can be read, and what it shows is in order. Not for what it should answer: the unit tests
 * and the simulator see to that. */
#include "fuzz_fill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    LINKS = 24, /* open or about to be closed, as the host sees it */
    DIALS = 64,
    FINDS = 64,
    SAIDS = 16,   /* of what it said lately, to be answered */
    SELVES = 32,  /* messages to itself on their way */
    NESTED = 3,   /* calls within callbacks within calls */
    IDLING = 200, /* timers that may follow each other without time going on */
    BODY = 8192,
    INPUT_MAX = 4096,
};

struct host_link {
    uint32_t handle;
    size_t who;
    bool open, closing, dialled, greeted; /* greeted: its first message was said */
    char address[WIRE_ADDRESS_MAX];
};

struct said {
    uint16_t type;
    uint32_t handle;
    uint64_t op; /* or nonce */
    uint8_t kind;
    struct peal_id key, asker;
    struct peal_id path[WIRE_PATH_MAX];
    size_t path_n;
};

struct find_state {
    bool open;
    uint64_t until_us;
};

struct fuzz {
    struct script s;
    struct ring *ring;
    struct ring_config cfg;
    struct step_update u;
    struct step_reader reader;
    struct step_event ev; /* of the step under way */
    bool left_ring;
    struct host_link links[LINKS];
    uint32_t next_handle;
    char dials[DIALS][WIRE_ADDRESS_MAX];
    size_t dials_n;
    bool up[WORLD_NODES];
    struct find_state finds[FINDS];
    struct said saids[SAIDS];
    size_t saids_n;
    uint8_t selves[SELVES][BODY];
    size_t self_size[SELVES], selves_n;
    int nested;
    uint64_t incarnation;
};

/* Cheap, and refuses what is marked so. */
static int verify(void *ctx, const struct wire_contact *w)
{
    (void)ctx;
    return w->signature.p[0] == 0 ? 0 : PEAL_E_AUTH;
}

static const uint8_t zeros[WIRE_CAST_MAX];
static uint8_t lists_mem[1 << 20];

/* ---- the layer above ---- */

static void call(struct fuzz *f, uint8_t what, const struct peal_id *id);

static void react(struct fuzz *f, const struct peal_id *id)
{
    if (f->nested >= NESTED)
        return;
    f->nested++;
    uint8_t b = script_byte(&f->s);
    if (b >= 0xa0) /* mostly it does nothing */
        call(f, b, id);
    f->nested--;
}

static void app_up(void *ctx, struct step_update *u, const struct peal_id *id)
{
    struct fuzz *f = ctx;
    struct peal_id copy = *id;
    size_t who = world_who(id);
    CHECK(u == &f->u && who > 0 && who < WORLD_NODES && !f->up[who]);
    f->up[who] = true;
    CHECK(ring_is_up(f->ring, id));
    react(f, &copy);
}

static void app_down(void *ctx, struct step_update *u, const struct peal_id *id, const char *why)
{
    struct fuzz *f = ctx;
    struct peal_id copy = *id;
    size_t who = world_who(id);
    CHECK(u == &f->u && why != NULL && who > 0 && who < WORLD_NODES && f->up[who]);
    f->up[who] = false;
    CHECK(!ring_is_up(f->ring, id));
    react(f, &copy);
}

static void app_message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                        union wire_any *m)
{
    struct fuzz *f = ctx;
    struct peal_id copy = *from;
    CHECK(u == &f->u && type < WIRE_FIRST_RING && m != NULL && world_who(from) < WORLD_NODES);
    react(f, &copy);
}

static void app_found(void *ctx, struct step_update *u, uint64_t token, int err,
                      const struct ring_found *found)
{
    struct fuzz *f = ctx;
    struct peal_id self = world_id(0);
    CHECK(u == &f->u && token < FINDS && f->finds[token].open);
    CHECK((err == 0) == (found != NULL));
    f->finds[token].open = false;
    if (found != NULL) {
        CHECK(found->path_n > 0 && found->path_n <= WIRE_PATH_MAX);
        CHECK(found->hops == found->path_n - 1 && id_eq(&found->path[0], &self));
    }
    react(f, &self);
}

static void app_cast(void *ctx, struct step_update *u, const struct peal_id *origin, uint8_t kind,
                     struct peal_bytes body)
{
    struct fuzz *f = ctx;
    struct peal_id copy = *origin;
    (void)kind;
    CHECK(u == &f->u && body.n <= WIRE_CAST_MAX);
    react(f, &copy);
}

static void app_changed(void *ctx, struct step_update *u)
{
    struct fuzz *f = ctx;
    struct peal_id who = world_id(script_byte(&f->s) % WORLD_NODES);
    CHECK(u == &f->u);
    react(f, &who);
}

static size_t app_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    (void)ctx;
    memset(out, 'l', 3);
    return 3;
}

static void app_peer_load(void *ctx, struct step_update *u, const struct peal_id *id,
                          struct peal_bytes load)
{
    struct fuzz *f = ctx;
    struct peal_id copy = *id;
    CHECK(u == &f->u && load.n <= WIRE_LOAD_MAX && world_who(id) < WORLD_NODES);
    react(f, &copy);
}

static void call_find(struct fuzz *f, uint8_t what)
{
    struct peal_id key = script_id(&f->s);
    size_t token = 0;
    while (token < FINDS && f->finds[token].open)
        token++;
    if (token == FINDS)
        return;
    uint64_t wait = 1000 + (uint64_t)(what & 7) * 400 * 1000;
    f->finds[token] = (struct find_state){.open = true, .until_us = f->s.now + wait};
    int err = ring_find(f->ring, &f->ev, &f->u, token, &key, wait);
    CHECK(err == 0 || err == PEAL_E_BUSY || err == PEAL_E_CLOSED);
    if (err < 0) {
        CHECK(f->finds[token].open);
        f->finds[token].open = false;
    }
}

static void call(struct fuzz *f, uint8_t what, const struct peal_id *id)
{
    struct wire_n_notice notice = {.box = *id};
    struct wire_contact w;
    struct peal_id out;
    bool self = world_who(id) == 0;
    int err = 0;
    switch (what % 11) {
    case 0:
    case 1:
        err = ring_send(f->ring, &f->ev, &f->u, id, WIRE_n_notice, &notice, (what & 16) != 0);
        CHECK(err == 0 || err == PEAL_E_UNAVAILABLE);
        break;
    case 2:
    case 3:
        if (!self && world_who(id) < WORLD_NODES)
            err = ring_want(f->ring, id, (what & 16) != 0);
        CHECK(err == 0);
        break;
    case 4:
        ring_refuse(f->ring, &f->ev, &f->u, id, PEAL_E_MALFORMED, "nonsense");
        break;
    case 5:
    case 6:
        call_find(f, what);
        break;
    case 7:
        err = ring_cast(f->ring, &f->ev, &f->u, 1, peal_bytes_of(zeros, what));
        CHECK(err == 0 || err == PEAL_E_UNAVAILABLE);
        break;
    case 8:
        w = script_contact(&f->s, script_byte(&f->s) % WORLD_NODES);
        err = ring_learn(f->ring, &f->ev, &f->u, &w);
        break;
    case 9:
        ring_set_eligible(f->ring, (what & 16) != 0);
        break;
    default:
        CHECK(ring_stamp(f->ring, &f->ev) < ring_stamp(f->ring, &f->ev));
        (void)ring_guess(f->ring, id, &out);
        break;
    }
}

/* ---- what it said ---- */

static struct host_link *link_of(struct fuzz *f, uint32_t handle)
{
    for (size_t i = 0; i < LINKS; i++)
        if (f->links[i].handle == handle && (f->links[i].open || f->links[i].closing))
            return &f->links[i];
    return NULL;
}

static void note_said(struct fuzz *f, uint32_t handle, uint16_t type, const union wire_any *m)
{
    struct said s = {.type = type, .handle = handle};
    const struct wire_desc *d = wire_desc_of(type);
    for (uint32_t i = 0; i < d->field_count; i++)
        if (d->fields[i].kind == WIRE_KIND_U64)
            memcpy(&f->s.numbers[f->s.numbers_n++ % SCRIPT_NUMBERS],
                   (const uint8_t *)m + d->fields[i].offset, sizeof(uint64_t));
    if (type == WIRE_r_ping)
        s.op = m->r_ping.nonce;
    else if (type == WIRE_r_query)
        s.op = m->r_query.op;
    else if (type == WIRE_r_find) {
        s.op = m->r_find.op;
        s.kind = m->r_find.kind;
        s.key = m->r_find.key;
        s.path_n = m->r_find.path.n;
        CHECK(s.path_n > 0 && s.path_n <= WIRE_PATH_MAX);
        memcpy(s.path, m->r_find.path.v, s.path_n * sizeof s.path[0]);
        s.asker = s.path[0];
    } else {
        return;
    }
    f->saids[f->saids_n++ % SAIDS] = s;
}

static void take_send(struct fuzz *f, const struct step_effect *e)
{
    static uint8_t heap[WIRE_ARENA_MAX + 16];
    union wire_any m;
    struct arena a;
    uint16_t type = 0;
    arena_init(&a, heap, sizeof heap);
    int err = wire_decode(e->bytes.p, e->bytes.n, &type, &m, sizeof m, &a);
    CHECK(err == 0 && type < WIRE_FIRST_CLIENT);
    if (e->link == STEP_SELF) {
        CHECK(type < WIRE_FIRST_RING && world_who(&m.n_notice.to) == 0);
        if (f->selves_n < SELVES && e->bytes.n <= BODY) {
            memcpy(f->selves[f->selves_n], e->bytes.p, e->bytes.n);
            f->self_size[f->selves_n++] = e->bytes.n;
        }
        return;
    }
    struct host_link *l = link_of(f, e->link);
    CHECK(l != NULL && l->open);
    CHECK(world_who(&m.r_hello.to) == l->who);
    CHECK(l->greeted || type == WIRE_r_hello || type == WIRE_r_bye);
    l->greeted = true;
    note_said(f, e->link, type, &m);
}

static void take_effects(struct fuzz *f)
{
    for (size_t i = 0; i < f->u.n; i++) {
        const struct step_effect *e = &f->u.effects[i];
        struct host_link *l;
        switch (e->kind) {
        case STEP_SEND:
            take_send(f, e);
            break;
        case STEP_CLOSE:
            l = link_of(f, e->link);
            CHECK(l != NULL && l->open && e->err < 0);
            l->open = false;
            l->closing = true;
            break;
        case STEP_DIAL:
            CHECK(e->bytes.n > 0 && e->bytes.n < WIRE_ADDRESS_MAX && !f->left_ring);
            if (f->dials_n < DIALS) {
                char *to = f->dials[f->dials_n++];
                memcpy(to, e->bytes.p, e->bytes.n);
                to[e->bytes.n] = 0;
            }
            break;
        case STEP_WRITE:
            CHECK(f->cfg.remember && e->space == STEP_META && e->key.n <= WIRE_KEY_MAX);
            break;
        case STEP_SAY_BEACON:
            CHECK(f->cfg.beacons);
            break;
        case STEP_TRACE:
            CHECK(e->name != NULL);
            break;
        case STEP_WORK:
            CHECK(e->kind != STEP_WORK);
            break;
        }
    }
    step_update_reset(&f->u);
}

static void check_view(struct fuzz *f)
{
    struct ring_view v;
    size_t living, dead, open = 0;
    ring_look(f->ring, &v);
    bool member = v.phase == RING_SMALL || v.phase == RING_LARGE;
    CHECK(world_who(&v.self) == 0 && v.phase <= RING_LEFT &&
          (v.phase == RING_LEFT) == f->left_ring);
    CHECK(member || (v.successors_n == 0 && id_is_zero(&v.predecessor)));
    CHECK(!member || !id_is_zero(&v.predecessor));
    CHECK(v.phase != RING_LARGE || v.successors_n == f->cfg.successors);
    CHECK(v.phase != RING_SMALL || v.successors_n <= f->cfg.successors);
    struct peal_id last = {{0}};
    for (size_t i = 0; i < v.successors_n; i++) {
        struct peal_id far = id_distance(&v.self, &v.successors[i]);
        CHECK(id_cmp(&last, &far) < 0); /* so none twice, and none is the node itself */
        CHECK(v.phase == RING_LARGE || !v.artificial[i]);
        last = far;
    }
    ring_known(f->ring, &living, &dead);
    CHECK(living + dead <= f->cfg.hints_max);
    for (size_t i = 0; i < LINKS; i++)
        open += f->links[i].open;
    CHECK(open <= f->cfg.links_max);
    for (size_t i = 1; i < WORLD_NODES; i++) {
        struct peal_id id = world_id(i);
        struct wire_contact w;
        CHECK(ring_is_up(f->ring, &id) == f->up[i]);
        CHECK(!f->up[i] || ring_contact(f->ring, &id, &w) == 0);
    }
    for (size_t i = 0; i < f->cfg.joins_n; i++) {
        struct peal_id who;
        CHECK(!ring_join_answered(f->ring, i, &who) || world_who(&who) < WORLD_NODES);
    }
    for (size_t i = 0; i < FINDS; i++)
        CHECK(!f->finds[i].open || (f->finds[i].until_us >= f->s.now && !f->left_ring));
}

/* ---- events ---- */

static void step(struct fuzz *f, struct step_event ev)
{
    ev.now_us = f->s.now;
    ev.wall_ms = SCRIPT_WALL_MS + f->s.now / 1000;
    ev.reader = &f->reader;
    f->ev = ev;
    ring_step(f->ring, &f->ev, &f->u);
    if (ev.kind == STEP_LEAVE)
        f->left_ring = true;
    take_effects(f);
}

/* What is due now and what it says to itself; neither goes on for ever. */
static void settle(struct fuzz *f)
{
    size_t turns = 0;
    while (ring_deadline(f->ring) <= f->s.now) {
        CHECK(turns++ < IDLING);
        step(f, (struct step_event){.kind = STEP_TIMER});
    }
    check_view(f);
    static uint8_t bytes[BODY];
    for (size_t i = 0; i < SELVES && f->selves_n > 0; i++) {
        size_t n = f->self_size[--f->selves_n];
        memcpy(bytes, f->selves[f->selves_n], n);
        step(f, (struct step_event){
                    .kind = STEP_RECEIVED, .link = STEP_SELF, .bytes = peal_bytes_of(bytes, n)});
    }
}

static void wait(struct fuzz *f, uint64_t us)
{
    uint64_t end = f->s.now + us;
    for (size_t i = 0; i < IDLING && ring_deadline(f->ring) <= end; i++) {
        if (f->s.now < ring_deadline(f->ring))
            f->s.now = ring_deadline(f->ring);
        settle(f);
    }
    if (ring_deadline(f->ring) > end)
        f->s.now = end;
}

static void link_up(struct fuzz *f, size_t who, const char *dialled)
{
    struct host_link *l = NULL;
    for (size_t i = 0; i < LINKS && l == NULL; i++)
        if (!f->links[i].open && !f->links[i].closing)
            l = &f->links[i];
    if (l == NULL)
        return;
    *l = (struct host_link){
        .handle = ++f->next_handle, .who = who, .open = true, .dialled = dialled != NULL};
    snprintf(l->address, sizeof l->address, "%s", dialled != NULL ? dialled : "10.0.1.1:4711");
    step(f, (struct step_event){.kind = STEP_LINK_UP,
                                .link = l->handle,
                                .link_kind = STEP_LINK_NODE,
                                .dialled = l->dialled,
                                .peer = world_id(who),
                                .address = peal_bytes_str(l->address)});
}

static void link_down(struct fuzz *f, struct host_link *l)
{
    struct host_link was = *l;
    l->open = l->closing = false;
    step(f, (struct step_event){.kind = STEP_LINK_DOWN,
                                .link = was.handle,
                                .link_kind = STEP_LINK_NODE,
                                .dialled = was.dialled,
                                .address = peal_bytes_str(was.address),
                                .err = PEAL_E_CLOSED});
}

static void dial_ends(struct fuzz *f)
{
    if (f->dials_n == 0)
        return;
    char address[WIRE_ADDRESS_MAX];
    size_t at = script_byte(&f->s) % f->dials_n, who = 1;
    memcpy(address, f->dials[at], sizeof address);
    memmove(f->dials[at], f->dials[--f->dials_n], sizeof address);
    uint8_t b = script_byte(&f->s);
    while (who < WORLD_NODES && !peal_bytes_eq(world_address(who), peal_bytes_str(address)))
        who++;
    if (b < 160 && who < WORLD_NODES)
        link_up(f, who, address);
    else if (b < 192)
        link_up(f, b % WORLD_NODES, address); /* somebody else answers there, or the node itself */
    else
        step(f, (struct step_event){.kind = STEP_LINK_DOWN,
                                    .link_kind = STEP_LINK_NODE,
                                    .dialled = true,
                                    .address = peal_bytes_str(address),
                                    .err = PEAL_E_CLOSED});
}

/* A link that is open, or that the node has closed a moment ago. */
static struct host_link *some_link(struct fuzz *f)
{
    size_t at = script_byte(&f->s) % LINKS;
    for (size_t i = 0; i < LINKS; i++) {
        struct host_link *l = &f->links[(at + i) % LINKS];
        if (l->open || l->closing)
            return l;
    }
    return NULL;
}

static void hear(struct fuzz *f, uint32_t handle, uint16_t type, void *m, uint8_t how)
{
    static uint8_t out[1 << 18];
    struct wr w;
    struct wire_r_bye head = {.to = world_id(how < 0xf8 ? 0 : how % WORLD_NODES)};
    head.stamp = (SCRIPT_WALL_MS + f->s.now / 1000) << 16;
    memcpy(m, &head, offsetof(struct wire_r_bye, code));
    wr_init(&w, out, sizeof out);
    if (wire_encode(type, m, &w) < 0)
        return; /* no peer can say it */
    step(f, (struct step_event){
                .kind = STEP_RECEIVED, .link = handle, .bytes = peal_bytes_of(out, w.n)});
}

static void hear_hello(struct fuzz *f, const struct host_link *l)
{
    union wire_any m;
    memset(&m, 0, sizeof m);
    uint8_t b = script_byte(&f->s);
    m.r_hello.version = WIRE_VERSION;
    m.r_hello.contact = b < 0xf0 ? world_contact(l->who, b / 64) : script_contact(&f->s, l->who);
    m.r_hello.state = (struct wire_ring_state){.phase = b % 4, .size = b % 16};
    if (m.r_hello.state.phase == RING_LARGE)
        m.r_hello.state.successor = script_id(&f->s);
    hear(f, l->handle, WIRE_r_hello, &m, 0);
}

static void hear_any(struct fuzz *f, const struct host_link *l, uint8_t which)
{
    union wire_any m;
    struct arena a;
    uint16_t type = (uint16_t)(WIRE_r_hello + which % (WIRE_r_bye - WIRE_r_hello + 1));
    memset(&m, 0, sizeof m);
    arena_init(&a, lists_mem, sizeof lists_mem);
    script_fill(&f->s, wire_desc_of(type), &m, &a);
    struct peal_id from = world_id(l->who);
    if (type == WIRE_r_find && m.r_find.path.n > 0 && which < 0xf0)
        m.r_find.path.v[m.r_find.path.n - 1] = from;
    if (type == WIRE_r_hello)
        m.r_hello.contact.id = from;
    hear(f, l->handle, type, &m, script_byte(&f->s));
}

/* A list such as the peer may have: ascending from it, of nodes there are. */
static size_t some_list(struct fuzz *f, size_t who, struct wire_contact *out)
{
    size_t n = script_byte(&f->s) % (2U * f->cfg.successors);
    n = n < f->cfg.successors ? f->cfg.successors : n - f->cfg.successors;
    static const size_t order[WORLD_NODES] = {1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12, 13};
    size_t place = 0;
    while (order[place] != who)
        place++;
    for (size_t i = 0; i < n; i++) {
        place = (place + 1 + script_byte(&f->s) % 2) % WORLD_NODES;
        out[i] = world_contact(order[place], 1);
    }
    if (n > 0 && script_byte(&f->s) >= 0xe0) { /* the last stands for nobody */
        struct peal_id before = n > 1 ? out[n - 2].id : world_id(who);
        out[n - 1] = (struct wire_contact){.id = id_add_pow2(&before, 0)};
    }
    return n;
}

static void answer_query(struct fuzz *f, const struct said *s, const struct host_link *l)
{
    union wire_any m;
    struct wire_contact list[RING_SUCCESSORS_MAX], before;
    uint8_t b = script_byte(&f->s);
    memset(&m, 0, sizeof m);
    m.r_view = (struct wire_r_view){.op = s->op, .digest = script_number(&f->s)};
    if (b >= 0xe0)
        m.r_view.code = b % 32;
    if (m.r_view.code == 0 || b >= 0xf8)
        m.r_view.successors =
            (struct wire_contact_list){.v = list, .n = some_list(f, l->who, list)};
    before = world_contact(script_byte(&f->s) % WORLD_NODES, 1);
    m.r_view.predecessor = (struct wire_contact_list){.v = &before, .n = b & 1};
    m.r_view.state.phase = b & 2 ? RING_LARGE : (script_byte(&f->s) & 3);
    hear(f, l->handle, WIRE_r_view, &m, 0);
}

static void answer_find(struct fuzz *f, const struct said *s, const struct host_link *l)
{
    union wire_any m;
    struct peal_id path[WIRE_PATH_MAX];
    struct wire_contact owner, before;
    uint8_t b = script_byte(&f->s);
    memset(&m, 0, sizeof m);
    if (b & 1) {
        m.r_find_ack = (struct wire_r_find_ack){.op = s->op, .asker = s->asker};
        hear(f, l->handle, WIRE_r_find_ack, &m, 0);
        return;
    }
    size_t n = s->path_n;
    memcpy(path, s->path, n * sizeof path[0]);
    for (size_t more = script_byte(&f->s) % 3; more > 0 && n + 1 < WIRE_PATH_MAX; more--)
        path[n++] = script_id(&f->s);
    if (b & 2)
        path[n++] = world_id(l->who);
    size_t last = world_who(&path[n - 1]);
    owner = world_contact(
        b >= 0xe0 || last == WORLD_NODES ? script_byte(&f->s) % WORLD_NODES : last, 1);
    before = world_contact(script_byte(&f->s) % WORLD_NODES, 1);
    m.r_found = (struct wire_r_found){.op = s->op,
                                      .kind = s->kind,
                                      .key = s->key,
                                      .at = (uint8_t)(s->path_n - 1),
                                      .owner = {.v = &owner, .n = 1},
                                      .predecessor = {.v = &before, .n = (b & 4) != 0},
                                      .path = {.v = path, .n = n}};
    if ((b & 0x38) == 0x38) {
        m.r_found.code = script_byte(&f->s) % 32;
        m.r_found.owner.n = m.r_found.predecessor.n = 0;
    }
    hear(f, l->handle, WIRE_r_found, &m, 0);
}

static void answer_something(struct fuzz *f)
{
    const struct said s = f->saids[script_byte(&f->s) % SAIDS];
    const struct host_link *l = s.handle == 0 ? NULL : link_of(f, s.handle);
    union wire_any m;
    if (l == NULL)
        return;
    if (s.type == WIRE_r_query) {
        answer_query(f, &s, l);
    } else if (s.type == WIRE_r_find) {
        answer_find(f, &s, l);
    } else {
        memset(&m, 0, sizeof m);
        m.r_pong.nonce = s.op;
        m.r_pong.state = (struct wire_ring_state){.phase = script_byte(&f->s) & 3, .size = 3};
        if (m.r_pong.state.phase > RING_SEEKING)
            m.r_pong.state.coordinator = script_id(&f->s);
        hear(f, l->handle, WIRE_r_pong, &m, 0);
    }
}

static void hear_raw(struct fuzz *f, const struct host_link *l)
{
    size_t n = script_byte(&f->s);
    n = n < f->s.left ? n : f->s.left;
    const uint8_t *p = f->s.in;
    f->s.in += n;
    f->s.left -= n;
    step(f, (struct step_event){
                .kind = STEP_RECEIVED, .link = l->handle, .bytes = peal_bytes_of(p, n)});
}

static void outside(struct fuzz *f, uint8_t b)
{
    uint8_t out[1024];
    struct wire_contact w = world_contact(0, ++f->incarnation);
    struct wire_n_contacts own = {.contacts = {.v = &w, .n = 1}};
    struct wire_m_beacon beacon = {.size = b};
    struct wr o;
    int err;
    wr_init(&o, out, sizeof out);
    if (b < 64) {
        w.addresses = world_addresses(b % (WORLD_NODES + 1));
        err = wire_encode(WIRE_n_contacts, &own, &o);
    } else {
        beacon.contact = script_contact(&f->s, script_byte(&f->s) % WORLD_NODES);
        beacon.ring = script_id(&f->s);
        err = wire_encode(WIRE_m_beacon, &beacon, &o);
    }
    if (err == 0)
        step(f, (struct step_event){.kind = b < 64 ? STEP_CONTACT : STEP_BEACON,
                                    .bytes = peal_bytes_of(out, o.n)});
}

/* More nodes than the book has room for: others give way. */
static void hear_of_many(struct fuzz *f)
{
    const struct host_link *l = some_link(f);
    struct wire_rumour many[WIRE_RUMOURS_MAX];
    uint8_t from = script_byte(&f->s), way = script_byte(&f->s), dead = script_byte(&f->s);
    union wire_any m;
    if (l == NULL)
        return;
    for (size_t i = 0; i < PEAL_COUNT(many); i++) {
        many[i] = (struct wire_rumour){.contact = world_contact(WORLD_NODES, 1),
                                       .stamp = ((SCRIPT_WALL_MS + f->s.now / 1000) << 16) - i,
                                       .dead = dead > i * 8,
                                       .limit = world_id(way % WORLD_NODES)};
        many[i].contact.id.b[0] = (uint8_t)(from + i * (way | 1U));
        many[i].contact.id.b[1] = way;
    }
    memset(&m, 0, sizeof m);
    m.r_rumours.rumours = (struct wire_rumour_list){.v = many, .n = PEAL_COUNT(many)};
    hear(f, l->handle, WIRE_r_rumours, &m, 0);
}

static void one_event(struct fuzz *f)
{
    uint8_t b = script_byte(&f->s);
    struct host_link *l = NULL;
    if (b % 16 >= 1 && b % 16 <= 6)
        l = some_link(f);
    switch (b % 16) {
    case 0:
        link_up(f, 1 + script_byte(&f->s) % (WORLD_NODES - 1), NULL);
        break;
    case 1:
        if (l != NULL && b >= 0x40)
            link_down(f, l);
        else if (l != NULL)
            hear_raw(f, l);
        break;
    case 2:
        if (l != NULL)
            hear_hello(f, l);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        if (l != NULL)
            hear_any(f, l, script_byte(&f->s));
        break;
    case 7:
    case 8:
    case 9:
        answer_something(f);
        break;
    case 10:
        dial_ends(f);
        break;
    case 11:
        if (ring_deadline(f->ring) != UINT64_MAX && ring_deadline(f->ring) > f->s.now)
            f->s.now = ring_deadline(f->ring);
        break;
    case 12:
        wait(f, (uint64_t)(1 + b / 16) * (1 + script_byte(&f->s)) * 1000);
        break;
    case 13:
        outside(f, script_byte(&f->s));
        break;
    case 14:
        if (b == 0xfe && script_byte(&f->s) > 0xf0 && !f->left_ring)
            step(f, (struct step_event){.kind = STEP_LEAVE});
        else if (b < 0xfe)
            hear_of_many(f);
        break;
    default: {
        struct peal_id id = script_id(&f->s);
        call(f, script_byte(&f->s), &id);
        take_effects(f);
        break;
    }
    }
    settle(f);
}

/* ---- what it remembers ---- */

static int no_get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
                  struct peal_bytes *value)
{
    (void)ctx;
    (void)space;
    (void)key;
    (void)a;
    (void)value;
    return PEAL_E_NOT_FOUND;
}

static int some_scan(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
                     size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    struct fuzz *f = ctx;
    (void)to;
    CHECK(space == STEP_META && from.n + ID_BYTES <= WIRE_KEY_MAX);
    for (size_t n = script_byte(&f->s) % 8; n > 0 && limit > 0; n--, limit--) {
        uint8_t key[WIRE_KEY_MAX], value[1024];
        size_t who = script_byte(&f->s) % WORLD_NODES;
        struct wire_s_known s = {.contact = script_contact(&f->s, who),
                                 .stamp = script_number(&f->s)};
        struct wr w;
        s.dead = script_byte(&f->s) & 1;
        memcpy(key, from.p, from.n);
        memcpy(key + from.n, s.contact.id.b, ID_BYTES);
        wr_init(&w, value, sizeof value);
        if (wire_encode(WIRE_s_known, &s, &w) < 0)
            continue;
        if (script_byte(&f->s) >= 0xf0)
            value[script_byte(&f->s) % w.n] ^= script_byte(&f->s);
        if (!fn(fn_ctx, peal_bytes_of(key, from.n + ID_BYTES), peal_bytes_of(value, w.n)))
            break;
    }
    return 0;
}

/* ---- */

static void configure(struct fuzz *f)
{
    static const uint8_t lists[] = {1, 2, 3, 8};
    uint8_t b = script_byte(&f->s), how = script_byte(&f->s);
    f->cfg = (struct ring_config){.contact = world_contact(0, 1),
                                  .successors = lists[b % PEAL_COUNT(lists)],
                                  .hints_max = RING_HINTS_MIN,
                                  .links_max = b & 0x20 ? 10 : 40,
                                  .finds_max = b & 0x40 ? 2 : 32,
                                  .flights_max = b & 0x80 ? 2 : 32,
                                  .gossip_bytes = how & 0x10 ? RING_GOSSIP_NONE : 0,
                                  .no_hints = (how & 1) != 0,
                                  .beacons = (how & 2) != 0,
                                  .remember = (how & 4) != 0,
                                  .eligible = (how & 8) == 0,
                                  .seed = b,
                                  .verify = verify,
                                  .app = {.ctx = f,
                                          .up = app_up,
                                          .down = app_down,
                                          .message = app_message,
                                          .found = app_found,
                                          .cast = app_cast,
                                          .changed = app_changed,
                                          .load = app_load,
                                          .peer_load = app_peer_load}};
    static const size_t joins[] = {1, WORLD_NODES, 0};
    for (size_t i = 0; i < (size_t)(how >> 6) && i < PEAL_COUNT(joins); i++)
        f->cfg.joins[f->cfg.joins_n++] = world_address(joins[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f;
    static _Alignas(16) uint8_t mem[4 << 20];
    static void *update;
    if (size > INPUT_MAX)
        return 0;
    if (update == NULL)
        update = aligned_alloc(16, step_update_size()); /* for as long as the program runs */
    CHECK(update != NULL);
    memset(&f, 0, sizeof f);
    f.s.in = data;
    f.s.left = size;
    f.s.now = 1000000;
    f.incarnation = 1;
    f.reader = (struct step_reader){.ctx = &f, .get = no_get, .scan = some_scan};
    configure(&f);
    CHECK(ring_size(&f.cfg) <= sizeof mem);
    step_update_init(&f.u, update);
    int err = ring_init(mem, &f.cfg, &f.ring);
    CHECK(err == 0);
    step(&f, (struct step_event){.kind = STEP_START});
    settle(&f);
    while (f.s.left > 0)
        one_event(&f);
    wait(&f, 5 * 1000 * 1000); /* whatever it is in the middle of comes to an end */
    check_view(&f);
    return 0;
}
