#include "one.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct one_peer one_peer(uint8_t n)
{
    struct one_peer p = {.incarnation = 1};
    struct peal_secret seed;
    memset(seed.b, n, sizeof seed.b);
    cry_sign_key_from_seed(&seed, &p.key);
    p.id = cry_node_id(p.key.pub);
    snprintf(p.address, sizeof p.address, "10.1.0.%u:7000", (unsigned)n);
    return p;
}

struct wire_contact one_contact(struct one_peer *p)
{
    uint8_t body[RING_CONTACT_BODY_MAX];
    struct wire_contact w = {.id = p->id,
                             .incarnation = p->incarnation,
                             .addresses = peal_bytes_of(
                                 p->list, wire_address_add(p->list, 0, peal_bytes_str(p->address))),
                             .key = peal_bytes_of(p->key.pub, CRY_PUB_BYTES),
                             .signature = peal_bytes_of(p->sig, CRY_SIG_BYTES)};
    size_t n = ring_contact_body(&w, body);
    cry_sign(&p->key, RING_CONTACT_DOMAIN, peal_bytes_of(body, n), p->sig);
    return w;
}

/* ---- the app ---- */

static int reg_change(void *ctx, uint64_t token, struct peal_bytes old, struct peal_bytes *value)
{
    struct one *o = ctx;
    (void)token;
    o->changes++;
    if (o->want == 0)
        return 0;
    if (old.n > 0)
        memcpy(o->value, old.p, old.n);
    CHECK(old.n + o->grow <= sizeof o->value);
    memset(o->value + old.n, o->want, o->grow);
    *value = peal_bytes_of(o->value, old.n + o->grow);
    return 1;
}

static bool reg_same(void *ctx, struct peal_bytes kept, struct peal_bytes other,
                     char name[static CHORD_LABEL_MAX + 1])
{
    (void)ctx;
    (void)name;
    return peal_bytes_eq(kept, other);
}

static void reg_done(void *ctx, struct step_update *u, uint64_t token, int err,
                     struct peal_bytes value)
{
    struct one *o = ctx;
    (void)u;
    (void)token;
    o->done_err = err;
    o->done_n++;
    o->value_n = value.n;
    if (value.n > 0)
        memmove(o->value, value.p, value.n);
}

static void set_done(void *ctx, struct step_update *u, uint64_t token, int err)
{
    struct one *o = ctx;
    (void)u;
    (void)token;
    o->done_err = err;
    o->done_n++;
}

static bool set_rows(void *ctx, struct step_update *u, uint64_t token, int err,
                     const struct wire_row *rows, size_t n, bool last)
{
    struct one *o = ctx;
    (void)u;
    (void)token;
    (void)rows;
    o->rows_n += n;
    o->done_err = err;
    o->done_n += last;
    return true;
}

static void row_stored(void *ctx, struct step_update *u, const struct wire_row *row, bool push)
{
    (void)ctx;
    (void)u;
    (void)row;
    (void)push;
}

static bool row_expired(void *ctx, const struct wire_row *row, struct wire_row *word)
{
    (void)ctx;
    if (row->from.n == 0)
        return false;
    *word = (struct wire_row){.box = row->box,
                              .id = row->id,
                              .kind = WIRE_ROW_EXPIRED,
                              .stamp = row->stamp,
                              .expires = row->expires + 24 * 3600 * 1000};
    word->box.b[0] ^= 0xff;
    return true;
}

static void message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                    const void *msg)
{
    (void)ctx;
    (void)u;
    (void)from;
    (void)type;
    (void)msg;
}

static void removed(void *ctx, struct step_update *u, uint64_t token, int err,
                    struct peal_bytes text)
{
    struct one *o = ctx;
    CHECK(o->removed != NULL);
    o->removed(ctx, u, token, err, text);
}

static void changed(void *ctx, struct step_update *u)
{
    (void)ctx;
    (void)u;
}

/* ---- the host ---- */

static int get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
               struct peal_bytes *value)
{
    struct one *o = ctx;
    return store_get(o->store, (enum store_space)space, key, a, value);
}

static int scan(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
                size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    struct one *o = ctx;
    return store_scan(o->store, (enum store_space)space, from, to, limit, fn, fn_ctx);
}

uint64_t one_wall(const struct one *o)
{
    return 1700000000000 + o->now_us / 1000;
}

static void fill(struct one *o, struct step_event *ev)
{
    ev->now_us = o->now_us;
    ev->wall_ms = one_wall(o);
    ev->reader = &o->reader;
}

static void keep(struct one *o, const struct step_effect *e)
{
    CHECK(o->said_n < ONE_SAID_MAX);
    struct one_said *s = &o->said[o->said_n++];
    *s = (struct one_said){.kind = e->kind, .link = e->link, .err = e->err, .n = e->bytes.n};
    s->bytes = malloc(e->bytes.n + 1);
    CHECK(s->bytes != NULL);
    if (e->bytes.n > 0)
        memcpy(s->bytes, e->bytes.p, e->bytes.n);
    if (e->kind == STEP_SEND)
        s->type = (uint16_t)(s->bytes[0] << 8 | s->bytes[1]);
    for (size_t i = 0; i < o->u.n; i++)
        s->held = s->held || (o->u.effects[i].kind == STEP_WRITE && !e->eager);
}

/* Carries out what the update says; what it says to itself comes back at once. */
static void obey(struct one *o)
{
    struct one_said self[64];
    size_t self_n = 0;
    bool refused = false;
    for (size_t i = 0; i < o->u.n; i++)
        refused = refused || (o->refuses && o->u.effects[i].kind == STEP_WRITE);
    for (size_t i = 0; i < o->u.n; i++) {
        const struct step_effect *e = &o->u.effects[i];
        if (refused && (e->kind == STEP_WRITE || (e->kind == STEP_SEND && !e->eager)))
            continue;
        if (e->kind == STEP_WRITE) {
            struct store_write w = {.space = (enum store_space)e->space,
                                    .op = (enum store_op)e->op,
                                    .key = e->key,
                                    .value = e->bytes};
            int err = store_submit(o->store, &w, 1, NULL);
            CHECK(err == 0);
        } else {
            keep(o, e);
            if (e->kind == STEP_SEND && e->link == STEP_SELF) {
                CHECK(self_n < PEAL_COUNT(self));
                self[self_n++] = o->said[--o->said_n];
            }
        }
    }
    for (size_t i = 0; i < self_n; i++) {
        struct step_event ev = {.kind = STEP_RECEIVED,
                                .link = STEP_SELF,
                                .bytes = peal_bytes_of(self[i].bytes, self[i].n)};
        one_event(o, ev);
        free(self[i].bytes);
    }
}

static void found(void *ctx, struct step_update *u, uint64_t token, int err,
                  const struct ring_found *f)
{
    (void)ctx;
    (void)u;
    (void)token;
    (void)err;
    (void)f;
}

static struct one *new_one(uint8_t n, bool discovery, const char *join,
                           const struct one_limits *limits)
{
    struct one *o = calloc(1, sizeof *o);
    CHECK(o != NULL);
    o->limits = *limits;
    int err = cry_init();
    CHECK(err == 0);
    o->n = n;
    o->grow = 1;
    o->self = one_peer(n);
    o->now_us = 1000000;
    o->reader = (struct step_reader){.ctx = o, .get = get, .scan = scan};
    struct store_config store = store_config_default();
    err = store_open_memory(&store, &o->store);
    CHECK(err == 0);
    store_memory_auto(o->store, true);
    struct chord_config cfg = {.self = o->self.id,
                               .contact = one_contact(&o->self),
                               .discovery = discovery,
                               .replicas = 2,
                               .puts_max = ONE_PUTS,
                               .regs_max = ONE_REGS,
                               .cached_max = ONE_CACHED,
                               .cached_bytes = ONE_CACHED_BYTES,
                               .reads_max = ONE_READS,
                               .bodies_max = ONE_BODIES,
                               .box_rows_max = limits->rows,
                               .box_bytes_max = limits->bytes,
                               .seed = n,
                               .app = {.ctx = o,
                                       .reg_change = reg_change,
                                       .reg_done = reg_done,
                                       .reg_same = reg_same,
                                       .set_done = set_done,
                                       .set_rows = set_rows,
                                       .row_stored = row_stored,
                                       .row_expired = limits->tells ? row_expired : NULL,
                                       .message = message,
                                       .found = found,
                                       .removed = removed,
                                       .changed = changed}};
    if (join != NULL) {
        cfg.joins[0] = peal_bytes_str(join);
        cfg.joins_n = 1;
    }
    o->mem = aligned_alloc(16, (chord_size(&cfg) + 15) / 16 * 16);
    o->update_mem = aligned_alloc(16, (step_update_size() + 15) / 16 * 16);
    CHECK(o->mem != NULL && o->update_mem != NULL);
    step_update_init(&o->u, o->update_mem);
    err = chord_init(o->mem, &cfg, &o->chord);
    CHECK(err == 0);
    return o;
}

struct one *one_new(uint8_t n, bool discovery, const char *join)
{
    return new_one(n, discovery, join, &(struct one_limits){0});
}

struct one *one_new_limited(uint8_t n, const struct one_limits *limits)
{
    return new_one(n, false, NULL, limits);
}

void one_free(struct one *o)
{
    one_forget(o);
    int err = store_close(o->store);
    CHECK(err == 0);
    free(o->mem);
    free(o->update_mem);
    free(o);
}

struct one *one_again(struct one *o, bool discovery)
{
    struct one *again = new_one(o->n, discovery, NULL, &o->limits);
    struct store *empty = again->store;
    again->store = o->store;
    again->now_us = o->now_us;
    o->store = empty;
    one_free(o);
    return again;
}

void one_event(struct one *o, struct step_event ev)
{
    fill(o, &ev);
    step_update_reset(&o->u);
    chord_step(o->chord, &ev, &o->u);
    obey(o);
}

void one_wait(struct one *o, uint64_t us)
{
    uint64_t end = o->now_us + us;
    while (chord_deadline(o->chord) <= end) {
        uint64_t at = chord_deadline(o->chord);
        o->now_us = at > o->now_us ? at : o->now_us + 1;
        one_event(o, (struct step_event){.kind = STEP_TIMER});
    }
    if (o->now_us < end)
        o->now_us = end;
}

void one_link(struct one *o, uint32_t link, const struct one_peer *p, bool dialled)
{
    one_event(o, (struct step_event){.kind = STEP_LINK_UP,
                                     .link = link,
                                     .link_kind = STEP_LINK_NODE,
                                     .dialled = dialled,
                                     .peer = p->id,
                                     .address = peal_bytes_str(p->address)});
}

void one_hear(struct one *o, uint32_t link, uint16_t type, void *msg)
{
    static uint8_t frame[ONE_FRAME_MAX];
    struct wr w;
    memcpy(msg, &o->self.id, sizeof o->self.id); /* the header's `to` */
    wr_init(&w, frame, sizeof frame);
    int err = wire_encode(type, msg, &w);
    CHECK(err == 0);
    one_event(o, (struct step_event){
                     .kind = STEP_RECEIVED, .link = link, .bytes = peal_bytes_of(frame, w.n)});
}

void one_hello(struct one *o, uint32_t link, struct one_peer *p, const struct wire_roster *r)
{
    struct wire_r_hello m = {
        .version = WIRE_VERSION,
        .contact = one_contact(p),
        .state = {.phase = RING_SMALL, .size = 1, .successor = p->id, .predecessor = p->id}};
    one_hear(o, link, WIRE_r_hello, &m);
    struct wire_n_state s = {0};
    if (r != NULL) {
        s.ring = r->ring;
        s.size = (uint32_t)r->members.n;
        s.state.epoch = r->epoch;
    }
    one_hear(o, link, WIRE_n_state, &s);
    if (r != NULL) {
        struct wire_n_roster n = {.roster = *r};
        one_hear(o, link, WIRE_n_roster, &n);
    }
}

static void decode(const struct one_said *s, uint16_t type, union wire_any *m)
{
    static uint8_t mem[2 * WIRE_ARENA_MAX];
    struct arena a;
    uint16_t got = 0;
    arena_init(&a, mem, sizeof mem);
    int err = wire_decode(s->bytes, s->n, &got, m, sizeof *m, &a);
    CHECK(err == 0 && (type == 0 || got == type));
}

/* link 0: over any. */
static const struct one_said *find(const struct one *o, enum step_effect_kind kind, uint32_t link,
                                   uint16_t type, union wire_any *m)
{
    for (size_t i = o->said_n; i > 0; i--) {
        const struct one_said *s = &o->said[i - 1];
        if (s->kind != kind || s->type != type || (link != 0 && s->link != link))
            continue;
        if (m != NULL)
            decode(s, type, m);
        return s;
    }
    return NULL;
}

size_t one_count(const struct one *o, uint32_t link, uint16_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < o->said_n; i++)
        n += o->said[i].kind == STEP_SEND && o->said[i].link == link && o->said[i].type == type;
    return n;
}

const struct one_said *one_nth(const struct one *o, uint32_t link, uint16_t type, size_t nth,
                               union wire_any *m)
{
    for (size_t i = 0; i < o->said_n; i++) {
        const struct one_said *s = &o->said[i];
        if (s->kind != STEP_SEND || s->link != link || s->type != type || nth-- > 0)
            continue;
        decode(s, type, m);
        return s;
    }
    return NULL;
}

const struct one_said *one_find(const struct one *o, enum step_effect_kind kind, uint16_t type,
                                union wire_any *m)
{
    return find(o, kind, 0, type, m);
}

const struct one_said *one_sent(const struct one *o, uint32_t link, uint16_t type,
                                union wire_any *m)
{
    return find(o, STEP_SEND, link, type, m);
}

void one_forget(struct one *o)
{
    for (size_t i = 0; i < o->said_n; i++)
        free(o->said[i].bytes);
    o->said_n = 0;
}

int one_change(struct one *o, const struct peal_id *key, uint8_t append)
{
    struct step_event ev = {.kind = STEP_TIMER};
    o->want = append;
    o->done_err = 1;
    fill(o, &ev);
    step_update_reset(&o->u);
    int err = chord_reg_change(o->chord, &ev, &o->u, 0, key, 400000);
    CHECK(err == 0);
    obey(o);
    for (int i = 0; i < 20 && o->done_err == 1;
         i++) /* a ballot that was too low is raised after a pause */
        one_wait(o, 10000);
    return o->done_err;
}

static struct step_event begin(struct one *o)
{
    struct step_event ev = {.kind = STEP_TIMER};
    fill(o, &ev);
    step_update_reset(&o->u);
    return ev;
}

void one_on_removed(struct one *o, void (*fn)(void *ctx, struct step_update *u, uint64_t token,
                                              int err, struct peal_bytes text))
{
    o->removed = fn;
}

int one_begin_remove(struct one *o, const struct peal_id *id, uint64_t token)
{
    struct step_event ev = begin(o);
    int err = chord_remove(o->chord, &ev, &o->u, token, id, 1000000);
    obey(o);
    return err;
}

int one_begin_change(struct one *o)
{
    struct step_event ev = begin(o);
    int err = chord_reg_change(o->chord, &ev, &o->u, 0, &o->self.id, 400000);
    obey(o);
    return err;
}

int one_begin_put(struct one *o, size_t body_n)
{
    static const uint8_t body[WIRE_BODY_MAX] = {1};
    struct wire_row row = {.box = o->self.id,
                           .kind = WIRE_ROW_MESSAGE,
                           .expires = one_wall(o) + 3600 * 1000,
                           .body = peal_bytes_of(body, body_n)};
    struct step_event ev = begin(o);
    int err = chord_set_put(o->chord, &ev, &o->u, 0, &row, false, 400000);
    obey(o);
    return err;
}

int one_begin_read(struct one *o)
{
    struct step_event ev = begin(o);
    int err = chord_set_read(o->chord, &ev, &o->u, 0, &o->self.id, NULL, 400000);
    obey(o);
    return err;
}

int one_put(struct one *o, const struct wire_row *row)
{
    struct step_event ev = begin(o);
    size_t before = o->done_n;
    int err = chord_set_put(o->chord, &ev, &o->u, 0, row, false, 400000);
    obey(o);
    for (int i = 0; err == 0 && o->done_n == before && i < 100; i++)
        one_wait(o, 10000);
    CHECK(err != 0 || o->done_n == before + 1);
    return err != 0 ? err : o->done_err;
}

void one_delete(struct one *o, const struct peal_id *box, const struct peal_msg_id *ids, size_t n)
{
    struct step_event ev = begin(o);
    chord_set_del(o->chord, &ev, &o->u, box, ids, n);
    obey(o);
}

int one_disk_row(struct one *o, const struct peal_id *box, const struct peal_msg_id *id)
{
    static uint8_t mem[4 * WIRE_BODY_MAX];
    uint8_t key[ID_BYTES + MSG_ID_BYTES];
    struct arena a;
    struct peal_bytes v;
    union wire_any m;
    uint16_t type = 0;
    arena_init(&a, mem, sizeof mem);
    memcpy(key, box->b, ID_BYTES);
    memcpy(key + ID_BYTES, id->b, MSG_ID_BYTES);
    if (store_get(o->store, STORE_ROWS, peal_bytes_of(key, sizeof key), &a, &v) < 0)
        return -1;
    int err = wire_decode(v.p, v.n, &type, &m, sizeof m, &a);
    CHECK(err == 0 && type == WIRE_s_row);
    return m.s_row.row.kind;
}

size_t one_rows(struct one *o, const struct peal_id *box)
{
    struct step_event ev = begin(o);
    size_t before = o->done_n;
    o->rows_n = 0;
    int err = chord_set_read(o->chord, &ev, &o->u, 0, box, NULL, 400000);
    obey(o);
    for (int i = 0; err == 0 && o->done_n == before && i < 100; i++)
        one_wait(o, 10000);
    CHECK(err == 0 && o->done_err == 0);
    return o->rows_n;
}
