#include "group.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 4096, VIEW_BYTES = 64 * 1024 };

/* ---- the app ---- */

static uint32_t number(const uint8_t *p)
{
    struct rd d;
    rd_init(&d, p, 4);
    return rd_u32(&d);
}

/* For each node the number of its last operation, and how many of them there were. */
static int tally(struct group_node *n, uint32_t op, struct peal_bytes old, struct peal_bytes *value)
{
    size_t all = n->group->cfg.nodes * GROUP_TALLY_BYTES;
    uint8_t *mine = n->scratch + n->at * GROUP_TALLY_BYTES;
    struct wr w;
    CHECK(old.n == 0 || old.n == all);
    memset(n->scratch, 0, all);
    if (old.n > 0)
        memcpy(n->scratch, old.p, all);
    if (number(mine) == op)
        return 0;
    uint32_t before = number(mine + 4);
    wr_init(&w, mine, GROUP_TALLY_BYTES);
    wr_u32(&w, op);
    wr_u32(&w, before + 1);
    *value = peal_bytes_of(n->scratch, all);
    return 1;
}

uint32_t group_tally(const struct group_op *o, size_t node)
{
    CHECK(o->value_n == 0 || o->value_n >= (node + 1) * GROUP_TALLY_BYTES);
    return o->value_n == 0 ? 0 : number(o->value + node * GROUP_TALLY_BYTES + 4);
}

static int reg_change(void *ctx, uint64_t token, struct peal_bytes old, struct peal_bytes *value)
{
    struct group_node *n = ctx;
    const struct group_op *o = &n->group->ops[token];
    uint8_t mine[4];
    struct wr w;
    wr_init(&w, mine, sizeof mine);
    wr_u32(&w, n->group->forgotten + (uint32_t)token + 1);
    CHECK(o->kind != GROUP_GET);
    if (o->kind == GROUP_LEAVE)
        return 0;
    if (o->kind == GROUP_TALLY)
        return tally(n, n->group->forgotten + (uint32_t)token + 1, old, value);
    if (o->kind == GROUP_CLAIM) {
        if (old.n == sizeof mine && memcmp(old.p, mine, sizeof mine) == 0)
            return 0;
        if (old.n > 0)
            return PEAL_E_EXISTS;
        memcpy(n->scratch, mine, sizeof mine);
        *value = peal_bytes_of(n->scratch, sizeof mine);
        return 1;
    }
    for (size_t i = 0; i + 4 <= old.n; i += 4)
        if (memcmp(old.p + i, mine, 4) == 0)
            return 0;
    if (old.n + 4 > sizeof n->scratch)
        return PEAL_E_FULL;
    if (old.n > 0)
        memcpy(n->scratch, old.p, old.n);
    memcpy(n->scratch + old.n, mine, 4);
    *value = peal_bytes_of(n->scratch, old.n + 4);
    return 1;
}

static void end_op(struct group *r, uint64_t token, int err)
{
    struct group_op *o = &r->ops[token];
    CHECK(token < r->ops_n && o->err == GROUP_RUNNING);
    o->err = err;
    o->ended_us = sim_now(r->sim);
}

static void reg_done(void *ctx, struct step_update *u, uint64_t token, int err,
                     struct peal_bytes value)
{
    struct group_node *n = ctx;
    struct group_op *o = &n->group->ops[token];
    (void)u;
    end_op(n->group, token, err);
    o->value = malloc(value.n + 1);
    CHECK(o->value != NULL);
    if (value.n > 0)
        memcpy(o->value, value.p, value.n);
    o->value_n = value.n;
}

/* Values begin with the number of the operation that wrote first. */
static bool reg_same(void *ctx, struct peal_bytes kept, struct peal_bytes other,
                     char name[static CHORD_LABEL_MAX + 1])
{
    struct group_node *n = ctx;
    (void)name;
    bool same = kept.n >= sizeof(uint32_t) && other.n >= sizeof(uint32_t) &&
                memcmp(kept.p, other.p, sizeof(uint32_t)) == 0;
    n->group->clashes += !same;
    return same;
}

static void set_done(void *ctx, struct step_update *u, uint64_t token, int err)
{
    struct group_node *n = ctx;
    (void)u;
    end_op(n->group, token, err);
}

static bool set_rows(void *ctx, struct step_update *u, uint64_t token, int err,
                     const struct wire_row *rows, size_t count, bool last)
{
    struct group_node *n = ctx;
    struct group_op *o = &n->group->ops[token];
    (void)u;
    if (o->value == NULL)
        o->value = malloc((size_t)GROUP_READ_MAX * MSG_ID_BYTES);
    CHECK(o->value != NULL && o->value_n + count <= GROUP_READ_MAX);
    for (size_t i = 0; i < count; i++)
        memcpy(o->value + MSG_ID_BYTES * o->value_n++, rows[i].id.b, MSG_ID_BYTES);
    if (last)
        end_op(n->group, token, err);
    return true;
}

static void row_stored(void *ctx, struct step_update *u, const struct wire_row *row, bool push)
{
    struct group_node *n = ctx;
    (void)u;
    (void)row;
    n->stored++;
    n->pushed += push;
}

static void message(void *ctx, struct step_update *u, const struct peal_id *from, uint16_t type,
                    const void *msg)
{
    struct group_node *n = ctx;
    (void)u;
    (void)from;
    (void)type;
    (void)msg;
    n->messages++;
}

static void found(void *ctx, struct step_update *u, uint64_t token, int err,
                  const struct ring_found *f)
{
    struct group_node *n = ctx;
    struct group_op *o = &n->group->ops[token];
    (void)u;
    end_op(n->group, token, err);
    if (err < 0)
        return;
    CHECK(f != NULL && f->path_n > 0 && f->hops == f->path_n - 1);
    o->value = malloc(f->path_n * ID_BYTES);
    CHECK(o->value != NULL);
    memcpy(o->value, f->path, f->path_n * ID_BYTES);
    o->value_n = f->path_n;
}

static void removed(void *ctx, struct step_update *u, uint64_t token, int err,
                    struct peal_bytes text)
{
    struct group_node *n = ctx;
    struct group_op *o = &n->group->ops[token];
    (void)u;
    CHECK((err == 0) == (text.n == 0));
    end_op(n->group, token, err);
    o->value = malloc(text.n + 1);
    CHECK(o->value != NULL);
    if (text.n > 0)
        memcpy(o->value, text.p, text.n);
    o->value_n = text.n;
}

struct peal_id group_word_box(const struct peal_id *box)
{
    struct peal_id word = *box;
    word.b[0] ^= 0xff;
    return word;
}

static bool row_expired(void *ctx, const struct wire_row *row, struct wire_row *word)
{
    const struct group_node *n = ctx;
    *word = (struct wire_row){.box = group_word_box(&row->box),
                              .id = row->id,
                              .kind = WIRE_ROW_EXPIRED,
                              .stamp = row->stamp,
                              .expires = row->expires + 24 * 3600 * 1000};
    return n->group->tells_expired;
}

static void changed(void *ctx, struct step_update *u)
{
    struct group_node *n = ctx;
    (void)u;
    n->changes++;
}

/* ---- the core under test ---- */

static struct chord_config with_app(struct group *r, size_t node, const struct chord_config *base)
{
    struct chord_config cfg = *base;
    cfg.auto_remove_us = r->auto_remove_us;
    cfg.domain = peal_bytes_str(r->domain[node]);
    cfg.box_rows_max = r->nodes[node].box_rows_max;
    cfg.app = (struct chord_app){.ctx = &r->nodes[node],
                                 .reg_change = reg_change,
                                 .reg_done = reg_done,
                                 .reg_same = reg_same,
                                 .set_done = set_done,
                                 .set_rows = set_rows,
                                 .row_stored = row_stored,
                                 .row_expired = row_expired,
                                 .message = message,
                                 .found = found,
                                 .removed = removed,
                                 .changed = changed};
    return cfg;
}

static size_t core_size(void *ctx, size_t node, const struct chord_config *base)
{
    struct chord_config cfg = with_app(ctx, node, base);
    return chord_size(&cfg);
}

static int core_init(void *ctx, size_t node, void *mem, const struct chord_config *base,
                     void **core)
{
    struct chord_config cfg = with_app(ctx, node, base);
    struct chord *c = NULL;
    int err = chord_init(mem, &cfg, &c);
    *core = c;
    return err;
}

static void core_step(void *core, const struct step_event *ev, struct step_update *u)
{
    chord_step(core, ev, u);
}

static uint64_t core_deadline(const void *core)
{
    return chord_deadline(core);
}

static const struct sim_core ring_core = {
    .size = core_size, .init = core_init, .step = core_step, .deadline = core_deadline};

static void traced(void *ctx, size_t node, const struct step_effect *e)
{
    struct group *r = ctx;
    (void)node;
    r->founded += strcmp(e->name, "founded") == 0;
    r->dissolved += strcmp(e->name, "dissolved") == 0;
    r->strangers += strcmp(e->name, "stranger") == 0;
    r->waiting += strcmp(e->name, "waiting") == 0;
    r->warned += e->level == STEP_WARN;
}

static void sent(void *ctx, size_t from, size_t to, struct peal_bytes frame)
{
    struct group *r = ctx;
    (void)to;
    uint16_t type = (uint16_t)(frame.p[0] << 8 | frame.p[1]);
    CHECK(frame.n >= 2 && type < GROUP_TYPES);
    r->sent[from][type].messages++;
    r->sent[from][type].bytes += frame.n;
}

struct group_sent group_sent(const struct group *r, uint16_t first, uint16_t last)
{
    struct group_sent sum = {0};
    CHECK(first <= last && last < GROUP_TYPES);
    for (size_t i = 0; i < SIM_NODES_MAX; i++)
        for (size_t t = first; t <= last; t++) {
            sum.messages += r->sent[i][t].messages;
            sum.bytes += r->sent[i][t].bytes;
        }
    return sum;
}

/* ---- the fixture ---- */

struct group *group_new(const struct sim_config *cfg)
{
    struct group *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->cfg = *cfg;
    r->cfg.core = &ring_core;
    r->cfg.ctx = r;
    r->cfg.trace = traced;
    r->cfg.sent = sent;
    r->sim = sim_new(&r->cfg);
    for (size_t i = 0; i < SIM_NODES_MAX; i++)
        r->nodes[i] = (struct group_node){.group = r, .at = i};
    return r;
}

void group_free(struct group *r)
{
    if (r == NULL)
        return;
    sim_free(r->sim);
    for (size_t i = 0; i < r->ops_n; i++)
        free(r->ops[i].value);
    free(r);
}

void group_forget(struct group *r)
{
    for (size_t i = 0; i < r->ops_n; i++) {
        CHECK(r->ops[i].err != GROUP_RUNNING);
        free(r->ops[i].value);
    }
    r->forgotten += (uint32_t)r->ops_n;
    r->ops_n = 0;
}

void group_start_all(struct group *r)
{
    for (size_t i = 0; i < r->cfg.nodes; i++)
        if (!sim_running(r->sim, i))
            sim_start(r->sim, i);
}

const struct chord *group_chord(const struct group *r, size_t node)
{
    return sim_core_of(r->sim, node);
}

size_t group_index(const struct group *r, const struct peal_id *id)
{
    for (size_t i = 0; i < r->cfg.nodes; i++) {
        struct peal_id mine = sim_id(r->sim, i);
        if (id_eq(&mine, id))
            return i;
    }
    return SIZE_MAX;
}

bool group_whole(struct group *r, size_t size, size_t live)
{
    static uint8_t mem[VIEW_BYTES];
    uint64_t epoch = 0;
    size_t running = 0;
    for (size_t i = 0; i < r->cfg.nodes; i++) {
        if (!sim_running(r->sim, i))
            continue;
        struct arena a;
        struct wire_c_ring v;
        arena_init(&a, mem, sizeof mem);
        chord_ring(group_chord(r, i), &a, &v);
        size_t up = 0;
        for (size_t k = 0; k < v.nodes.n; k++)
            up += v.nodes.v[k].state == WIRE_NODE_UP;
        running++;
        if (chord_state(group_chord(r, i)) != CHORD_MEMBER || !v.whole || v.nodes.n != size ||
            up != live || (epoch != 0 && v.epoch != epoch))
            return false;
        epoch = v.epoch;
    }
    return running == live;
}

struct waiting {
    struct group *r;
    size_t size, live, op;
    uint64_t next_us;
};

static bool whole_now(void *arg)
{
    struct waiting *w = arg;
    if (sim_now(w->r->sim) < w->next_us)
        return false;
    w->next_us = sim_now(w->r->sim) + 10000; /* looking costs more than most events do */
    return group_whole(w->r, w->size, w->live);
}

bool group_wait_whole(struct group *r, size_t size, size_t live, uint64_t us)
{
    struct waiting w = {.r = r, .size = size, .live = live};
    return sim_until(r->sim, whole_now, &w, us) || group_whole(r, size, live);
}

/* ---- operations ---- */

struct beginning {
    struct group *r;
    size_t op;
    uint64_t timeout_us;
    struct wire_row row;
    const struct peal_msg_id *del;
    int err;
};

static void begin_it(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    struct beginning *b = arg;
    struct group_op *o = &b->r->ops[b->op];
    switch (o->kind) {
    case GROUP_GET:
        b->err = chord_reg_read(core, ev, u, b->op, &o->key, b->timeout_us);
        break;
    case GROUP_CLAIM:
    case GROUP_APPEND:
    case GROUP_LEAVE:
    case GROUP_TALLY:
        b->err = chord_reg_change(core, ev, u, b->op, &o->key, b->timeout_us);
        break;
    case GROUP_PUT:
        b->row.stamp = chord_stamp(core, ev);
        b->row.expires = ev->wall_ms + 3600 * 1000;
        b->err = chord_set_put(core, ev, u, b->op, &b->row, (o->id.b[15] & 1) != 0, b->timeout_us);
        break;
    case GROUP_READ:
        b->err = chord_set_read(core, ev, u, b->op, &o->key, NULL, b->timeout_us);
        break;
    case GROUP_FIND:
        b->err = chord_find(core, ev, u, b->op, &o->key, b->timeout_us);
        break;
    case GROUP_REMOVE:
        b->err = chord_remove(core, ev, u, b->op, &o->key, b->timeout_us);
        break;
    }
}

static size_t begin_op(struct group *r, size_t node, enum group_op_kind kind,
                       const struct peal_id *key, struct beginning *b)
{
    CHECK(r->ops_n < GROUP_OPS_MAX);
    size_t op = r->ops_n++;
    r->ops[op] = (struct group_op){
        .kind = kind, .node = node, .key = *key, .began_us = sim_now(r->sim), .err = GROUP_RUNNING};
    if (kind == GROUP_PUT)
        rng_fill(sim_rng(r->sim), r->ops[op].id.b, MSG_ID_BYTES);
    b->r = r;
    b->op = op;
    b->row.box = *key;
    b->row.id = r->ops[op].id;
    b->row.kind = WIRE_ROW_MESSAGE;
    b->row.from = peal_bytes_str("alice");
    sim_call(r->sim, node, begin_it, b);
    if (b->err == 0)
        return op;
    CHECK(b->err == PEAL_E_BUSY && r->ops[op].err == GROUP_RUNNING);
    r->ops_n--;
    return SIZE_MAX;
}

size_t group_begin(struct group *r, size_t node, enum group_op_kind kind, const struct peal_id *key,
                   uint64_t timeout_us)
{
    CHECK(kind != GROUP_PUT);
    struct beginning b = {.timeout_us = timeout_us};
    return begin_op(r, node, kind, key, &b);
}

size_t group_put(struct group *r, size_t node, const struct peal_id *box, size_t body_n,
                 uint64_t timeout_us)
{
    uint8_t *body = malloc(body_n + 1);
    CHECK(body != NULL);
    memset(body, 'x', body_n);
    struct beginning b = {.timeout_us = timeout_us, .row = {.body = peal_bytes_of(body, body_n)}};
    size_t op = begin_op(r, node, GROUP_PUT, box, &b);
    free(body);
    return op;
}

struct deletion {
    const struct peal_id *box;
    const struct peal_msg_id *id;
};

static void delete_it(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    const struct deletion *d = arg;
    chord_set_del(core, ev, u, d->box, d->id, 1);
}

void group_del(struct group *r, size_t node, const struct peal_id *box,
               const struct peal_msg_id *id)
{
    struct deletion d = {.box = box, .id = id};
    sim_call(r->sim, node, delete_it, &d);
}

static bool op_ended(void *arg)
{
    const struct waiting *w = arg;
    return w->r->ops[w->op].err != GROUP_RUNNING;
}

int group_wait(struct group *r, size_t op, uint64_t us)
{
    struct waiting w = {.r = r, .op = op};
    CHECK(op < r->ops_n);
    (void)sim_until(r->sim, op_ended, &w, us);
    return r->ops[op].err;
}

/* ---- disks ---- */

int group_disk_row(struct group *r, size_t node, const struct peal_id *box,
                   const struct peal_msg_id *id)
{
    static uint8_t mem[BODY_MAX + WIRE_BODY_MAX];
    uint8_t key[ID_BYTES + MSG_ID_BYTES];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, mem, sizeof mem);
    memcpy(key, box->b, ID_BYTES);
    memcpy(key + ID_BYTES, id->b, MSG_ID_BYTES);
    if (store_get(sim_store(r->sim, node), STORE_ROWS, peal_bytes_of(key, sizeof key), &a, &v) < 0)
        return -1;
    union wire_any m;
    uint16_t type = 0;
    int err = wire_decode(v.p, v.n, &type, &m, sizeof m, &a);
    CHECK(err == 0 && type == WIRE_s_row);
    return m.s_row.row.kind;
}

void group_disk_put(struct group *r, size_t node, const struct wire_row *rows, size_t n)
{
    static uint8_t mem[BODY_MAX + WIRE_BODY_MAX];
    CHECK(!sim_running(r->sim, node));
    for (size_t i = 0; i < n; i++) {
        uint8_t key[ID_BYTES + MSG_ID_BYTES];
        struct wire_s_row s = {.row = rows[i]};
        struct wr w;
        memcpy(key, rows[i].box.b, ID_BYTES);
        memcpy(key + ID_BYTES, rows[i].id.b, MSG_ID_BYTES);
        wr_init(&w, mem, sizeof mem);
        int err = wire_encode(WIRE_s_row, &s, &w);
        CHECK(err == 0);
        struct store_write put = {.space = STORE_ROWS,
                                  .op = STORE_PUT,
                                  .key = peal_bytes_of(key, sizeof key),
                                  .value = peal_bytes_of(mem, w.n)};
        err = store_submit(sim_store(r->sim, node), &put, 1, NULL);
        CHECK(err == 0);
        if (i % 1024 == 1023 || i + 1 == n) {
            err = store_memory_commit(sim_store(r->sim, node));
            CHECK(err == 0);
        }
    }
}

uint64_t group_disk_count(struct group *r, size_t node, enum store_space space)
{
    uint64_t n = 0;
    int err = store_count(sim_store(r->sim, node), space, (struct peal_bytes){0},
                          (struct peal_bytes){0}, &n);
    CHECK(err == 0);
    return n;
}

struct peal_id group_key(struct group *r, uint32_t n)
{
    struct rng g;
    struct peal_id id;
    rng_init(&g, r->cfg.seed ^ ((uint64_t)n << 32));
    rng_fill(&g, id.b, ID_BYTES);
    return id;
}
