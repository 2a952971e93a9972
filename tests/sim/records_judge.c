/* records: what is judged at rest. */
#include "records.h"

#include "peal/crypto.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENT_MAX = 12, BOX_NAME_MAX = 16 };

PEAL_PRINTF(2, 3) static bool wrong(struct records *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(t->why, sizeof t->why, format, args);
    va_end(args);
    return false;
}

/* ---- the history of the group's operations ---- */

static bool is_register(const struct group_op *o)
{
    return o->kind == GROUP_CLAIM || o->kind == GROUP_APPEND || o->kind == GROUP_GET;
}

/* A register holds the numbers of the operations that changed it; a text of them. The caller frees
 * it. */
static char *text_of(const uint8_t *p, size_t n)
{
    char *text = calloc(1, n / 4 * ELEMENT_MAX + 1);
    size_t at = 0;
    CHECK(text != NULL && n % 4 == 0);
    for (size_t i = 0; i < n; i += 4) {
        struct rd d;
        rd_init(&d, p + i, 4);
        at += (size_t)snprintf(text + at, ELEMENT_MAX + 1, "<%u>", rd_u32(&d));
    }
    return text;
}

static void invoke(struct records *t, size_t i)
{
    const struct group_op *o = &t->group->ops[i];
    char by[16], key[ID_HEX], mine[ELEMENT_MAX + 1];
    snprintf(by, sizeof by, "server %zu", o->node);
    snprintf(mine, sizeof mine, "<%u>", (uint32_t)i + 1);
    id_hex(&o->key, key);
    enum history_op op = o->kind == GROUP_GET     ? HISTORY_READ
                         : o->kind == GROUP_CLAIM ? HISTORY_CAS
                                                  : HISTORY_APPEND;
    struct peal_bytes value = op == HISTORY_READ ? (struct peal_bytes){0} : peal_bytes_str(mine);
    t->call[i] = history_invoke(t->history, o->began_us, by, peal_bytes_str(key), op,
                                (struct peal_bytes){0}, value);
}

/* chord.h: PEAL_E_UNAVAILABLE says that nothing was written; the change function's error, that the
 * register was found to hold something else. */
static void finish(struct records *t, size_t i)
{
    const struct group_op *o = &t->group->ops[i];
    char *text = text_of(o->value, o->value_n);
    struct peal_bytes value = peal_bytes_str(text);
    bool tells = o->err == PEAL_E_EXISTS || (o->err == 0 && o->kind != GROUP_CLAIM);
    enum history_end end = o->err == 0                    ? HISTORY_OK
                           : o->err == PEAL_E_EXISTS      ? HISTORY_REFUSED
                           : o->err == PEAL_E_UNAVAILABLE ? HISTORY_FAIL
                                                          : HISTORY_UNKNOWN;
    history_finish(t->history, t->call[i], o->ended_us, end, tells ? &value : NULL);
    free(text);
}

static void box_name(const struct group *r, const struct peal_id *key,
                     char out[static BOX_NAME_MAX])
{
    snprintf(out, BOX_NAME_MAX, "nowhere");
    for (uint32_t b = 0; b < RECORDS_BOXES; b++) {
        struct peal_id id = group_key((struct group *)(uintptr_t)r, 200 + b);
        if (id_eq(&id, key))
            snprintf(out, BOX_NAME_MAX, "box %u", b);
    }
}

static void message(struct records *t, uint64_t at_us, enum history_event e, const uint8_t *id,
                    const char *who, const char *reader)
{
    char hex[2 * MSG_ID_BYTES + 1];
    peal_hex(id, MSG_ID_BYTES, hex);
    history_message(t->history, at_us, e, peal_bytes_str(hex), who, reader);
}

static void row_began(struct records *t, const struct group_op *o)
{
    char by[16], box[BOX_NAME_MAX];
    snprintf(by, sizeof by, "server %zu", o->node);
    box_name(t->group, &o->key, box);
    if (o->kind == GROUP_PUT)
        message(t, o->began_us, HISTORY_SENT, o->id.b, by, box);
}

static void row_ended(struct records *t, const struct group_op *o)
{
    char box[BOX_NAME_MAX];
    box_name(t->group, &o->key, box);
    if (o->kind == GROUP_PUT)
        message(t, o->ended_us,
                o->err == 0                    ? HISTORY_STORED
                : o->err == PEAL_E_UNAVAILABLE ? HISTORY_NOT_STORED
                                               : HISTORY_NO_ANSWER,
                o->id.b, NULL, NULL);
    for (size_t k = 0; o->kind == GROUP_READ && k < o->value_n; k++)
        message(t, o->ended_us, HISTORY_DELIVERED, o->value + k * MSG_ID_BYTES, NULL, box);
}

/* What has happened since it was called last. */
static void record(struct records *t)
{
    struct group *r = t->group;
    for (; t->recorded < r->ops_n; t->recorded++) {
        const struct group_op *o = &r->ops[t->recorded];
        if (is_register(o))
            invoke(t, t->recorded);
        else
            row_began(t, o);
    }
    for (size_t i = 0; i < r->ops_n; i++) {
        const struct group_op *o = &r->ops[i];
        if (t->done[i] || o->err == GROUP_RUNNING)
            continue;
        t->done[i] = true;
        if (is_register(o))
            finish(t, i);
        else
            row_ended(t, o);
    }
}

/* ---- reading everything ---- */

static size_t a_running_one(struct records *t)
{
    struct sim *s = t->group->sim;
    size_t at;
    do
        at = rng_below(sim_rng(s), t->group->cfg.nodes);
    while (!sim_running(s, at));
    return at;
}

/* SIZE_MAX: it cannot be read, and why says so. */
static size_t read_one(struct records *t, enum group_op_kind kind, uint32_t key)
{
    struct peal_id id = group_key(t->group, key);
    size_t node = a_running_one(t), op = group_begin(t->group, node, kind, &id, RECORDS_OP_US);
    CHECK(op != SIZE_MAX);
    int err = group_wait(t->group, op, RECORDS_OP_US + 1);
    if (err == 0)
        return op;
    (void)wrong(t, "%s %u cannot be read at server %zu: %s",
                kind == GROUP_READ ? "box" : "register", key, node,
                err == GROUP_RUNNING ? "no end" : err_name(err));
    return SIZE_MAX;
}

static bool read_boxes(struct records *t, size_t ops[static RECORDS_BOXES])
{
    for (uint32_t b = 0; b < RECORDS_BOXES; b++) {
        ops[b] = read_one(t, GROUP_READ, 200 + b);
        if (ops[b] == SIZE_MAX)
            return false;
        const struct group_op *o = &t->group->ops[ops[b]];
        for (size_t i = 1; i < o->value_n; i++)
            if (memcmp(o->value + (i - 1) * MSG_ID_BYTES, o->value + i * MSG_ID_BYTES,
                       MSG_ID_BYTES) >= 0)
                return wrong(t, "box %u is not in order", b);
    }
    return true;
}

static bool has_row(const struct group_op *read, const uint8_t *id)
{
    for (size_t i = 0; i < read->value_n; i++)
        if (memcmp(read->value + i * MSG_ID_BYTES, id, MSG_ID_BYTES) == 0)
            return true;
    return false;
}

static size_t box_of(struct records *t, const struct peal_id *key)
{
    for (uint32_t b = 0; b < RECORDS_BOXES; b++) {
        struct peal_id id = group_key(t->group, 200 + b);
        if (id_eq(&id, key))
            return b;
    }
    CHECK(false);
    return 0;
}

/* What was deleted while servers were cut off may be there or not. */
static void show_boxes(struct records *t, uint64_t at_us)
{
    struct group *r = t->group;
    for (size_t i = 0; i < r->ops_n; i++) {
        const struct group_op *o = &r->ops[i];
        if (o->kind == GROUP_PUT && o->deleted &&
            (t->sure[i] || !has_row(&r->ops[t->shown[box_of(t, &o->key)]], o->id.b)))
            message(t, at_us, HISTORY_DELETED, o->id.b, NULL, NULL);
    }
    for (size_t b = 0; b < RECORDS_BOXES; b++) {
        const struct group_op *o = &r->ops[t->shown[b]];
        char box[BOX_NAME_MAX];
        box_name(r, &o->key, box);
        for (size_t k = 0; k < o->value_n; k++)
            message(t, o->ended_us, HISTORY_SHOWN, o->value + k * MSG_ID_BYTES, NULL, box);
    }
}

static bool judge_history(struct records *t)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    CHECK(out != NULL);
    record(t);
    t->result = history_check(t->history, out);
    fclose(out);
    bool good = t->result.verdict == HISTORY_GOOD;
    if (!good)
        (void)wrong(t, "%s", text);
    free(text);
    return good;
}

bool records_judge(struct records *t)
{
    uint64_t at_us = sim_now(t->group->sim) - 1;
    for (uint32_t k = 0; k < RECORDS_NAMES + RECORDS_LISTS; k++)
        if (read_one(t, GROUP_GET, k < RECORDS_NAMES ? k : 100 + k - RECORDS_NAMES) == SIZE_MAX)
            return false;
    if (!read_boxes(t, t->shown))
        return false;
    record(t);
    show_boxes(t, at_us);
    return judge_history(t);
}

bool records_same(struct records *t)
{
    struct group *r = t->group;
    size_t now[RECORDS_BOXES];
    if (!read_boxes(t, now))
        return false;
    for (size_t b = 0; b < RECORDS_BOXES; b++) {
        const struct group_op *before = &r->ops[t->shown[b]], *after = &r->ops[now[b]];
        size_t gone = 0;
        for (size_t i = 0; i < r->ops_n; i++) {
            const struct group_op *o = &r->ops[i];
            if (o->kind != GROUP_PUT || box_of(t, &o->key) != b)
                continue;
            bool was = has_row(before, o->id.b), is = has_row(after, o->id.b);
            if (is && (t->sure[i] || !was))
                return wrong(t, "row %zu of box %zu, which was %s, is there", i, b,
                             t->sure[i] ? "deleted" : "not there");
            if (was && !is && !t->sure[i])
                return wrong(t, "row %zu is no longer in box %zu", i, b);
            gone += was && !is;
        }
        if (after->value_n + gone != before->value_n)
            return wrong(t, "box %zu has %zu rows, had %zu, and %zu were deleted", b,
                         after->value_n, before->value_n, gone);
    }
    return true;
}

bool records_survive(struct records *t)
{
    struct group *r = t->group;
    for (uint32_t b = 0; b < RECORDS_BOXES; b++) {
        struct peal_id id = group_key(r, 200 + b);
        size_t node = a_running_one(t), op = group_begin(r, node, GROUP_READ, &id, RECORDS_OP_US);
        CHECK(op != SIZE_MAX);
        int err = group_wait(r, op, RECORDS_OP_US + 1);
        if (err != 0 && err != PEAL_E_UNAVAILABLE)
            return wrong(t, "box %u cannot be read at server %zu: %s", b, node, err_name(err));
        const struct group_op *had = &r->ops[t->shown[b]];
        for (size_t i = 0; i < had->value_n; i++)
            if (!has_row(&r->ops[op], had->value + i * MSG_ID_BYTES))
                return wrong(t, "box %u has lost rows: server %zu reads %zu of %zu", b, node,
                             r->ops[op].value_n, had->value_n);
    }
    for (uint32_t k = 0; k < RECORDS_NAMES + RECORDS_LISTS; k++) {
        struct peal_id id = group_key(r, k < RECORDS_NAMES ? k : 100 + k - RECORDS_NAMES);
        size_t op = group_begin(r, a_running_one(t), GROUP_GET, &id, RECORDS_OP_US);
        CHECK(op != SIZE_MAX);
        int err = group_wait(r, op, RECORDS_OP_US + 1);
        if (err != 0 && err != PEAL_E_UNAVAILABLE && err != PEAL_E_UNKNOWN)
            return wrong(t, "register %u cannot be read: %s", k, err_name(err));
    }
    return judge_history(t);
}

/* ---- where everything lies ---- */

struct found { /* a record on a disk */
    enum store_space space;
    uint8_t key[ID_BYTES + MSG_ID_BYTES];
    size_t key_n;
    size_t node;
    uint8_t kind;              /* a row's */
    struct wire_ballot ballot; /* a register's */
    uint8_t digest[CRY_HASH_BYTES];
};

struct looking {
    struct found *at;
    size_t n, cap, node;
    enum store_space space;
    bool bad;
};

static bool look_at(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    struct looking *l = arg;
    union wire_any m;
    uint16_t type = 0;
    struct arena none;
    arena_init(&none, NULL, 0);
    struct found f = {.space = l->space, .node = l->node, .key_n = key.n};
    if (key.n > sizeof f.key || wire_decode(value.p, value.n, &type, &m, sizeof m, &none) < 0) {
        l->bad = true;
        return false;
    }
    memcpy(f.key, key.p, key.n);
    if (l->space == STORE_REGISTERS) {
        if (m.s_register.accepted.round == 0)
            return true; /* a promise, and nothing else */
        f.ballot = m.s_register.accepted;
        cry_digest("records", m.s_register.value, f.digest);
    } else {
        f.kind = m.s_row.row.kind;
        if (f.kind != WIRE_ROW_TOMBSTONE) /* each home makes its own */
            cry_digest("records", m.s_row.row.body, f.digest);
    }
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 256 : 2 * l->cap;
        l->at = realloc(l->at, l->cap * sizeof *l->at);
        CHECK(l->at != NULL);
    }
    l->at[l->n++] = f;
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int cmp = x->space != y->space ? (x->space < y->space ? -1 : 1) : 0;
    if (cmp == 0)
        cmp = memcmp(x->key, y->key, sizeof x->key);
    return cmp != 0 ? cmp : x->node < y->node ? -1 : x->node > y->node;
}

static bool alike(const struct found *a, const struct found *b)
{
    return a->kind == b->kind && a->ballot.round == b->ballot.round &&
           id_eq(&a->ballot.node, &b->ballot.node) &&
           memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

/* One record: n copies of it were found. */
static bool is_in_place(struct records *t, const struct found *f, size_t n)
{
    struct group *r = t->group;
    struct peal_id id = id_from_bytes(f->key), home[CHORD_REPLICAS_MAX + 1];
    size_t homes = chord_home(group_chord(r, a_running_one(t)), &id, home), there = 0, dead = 0;
    const char *what = f->space == STORE_REGISTERS ? "register" : "row";
    char name[9];
    peal_hex(f->key, 4, name);
    for (size_t k = 0; k < homes; k++)
        dead += t->gone[group_index(r, &home[k])];
    const struct found *first = NULL;
    for (size_t i = 0; i < n; i++) {
        bool is_home = false;
        for (size_t k = 0; k < homes; k++)
            is_home = is_home || group_index(r, &home[k]) == f[i].node;
        if (!is_home && dead == 0)
            return wrong(t, "a copy of %s %s is left at server %zu, which is no home of it", what,
                         name, f[i].node);
        if (!is_home)
            continue; /* kept for the one that is lost, as it was then */
        there++;
        first = first == NULL ? &f[i] : first;
        if (!alike(&f[i], first))
            return wrong(t, "%s %s is not the same at servers %zu and %zu", what, name, first->node,
                         f[i].node);
    }
    if (there != homes - dead)
        return wrong(t, "%s %s has %zu copies at its %zu homes", what, name, there, homes);
    return true;
}

/* A row that was acknowledged, or whose deletion was asked for at rest. */
static bool row_in_place(struct records *t, size_t i)
{
    struct group *r = t->group;
    const struct group_op *o = &r->ops[i];
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    if (o->kind != GROUP_PUT || o->err != 0 || (o->deleted && !t->sure[i]))
        return true;
    size_t homes = chord_home(group_chord(r, a_running_one(t)), &o->key, home);
    int want = !t->sure[i] ? WIRE_ROW_MESSAGE : homes > 1 ? WIRE_ROW_TOMBSTONE : -1;
    size_t most = 0;
    for (size_t k = 0; k < r->cfg.nodes; k++)
        most += t->begun[k] && !t->out[k];
    if (homes != (t->copies < most ? t->copies : most))
        return wrong(t, "row %zu has %zu homes", i, homes);
    for (size_t k = 0; k < homes; k++) {
        size_t at = group_index(r, &home[k]);
        int is = t->gone[at] ? want : group_disk_row(r, at, &o->key, &o->id);
        if (is != want)
            return wrong(t, "row %zu, which was %s, is %s on home %zu (server %zu)", i,
                         t->sure[i] ? "deleted" : "acknowledged",
                         is == -1                   ? "not"
                         : is == WIRE_ROW_TOMBSTONE ? "a tombstone"
                                                    : "there",
                         k, at);
    }
    return true;
}

bool records_in_place(struct records *t)
{
    struct group *r = t->group;
    struct looking l = {0};
    for (l.node = 0; l.node < r->cfg.nodes; l.node++)
        for (size_t s = 0; s < 2 && sim_running(r->sim, l.node); s++) {
            l.space = s == 0 ? STORE_REGISTERS : STORE_ROWS;
            int err = store_scan(sim_store(r->sim, l.node), l.space, (struct peal_bytes){0},
                                 (struct peal_bytes){0}, SIZE_MAX, look_at, &l);
            CHECK(err == 0);
        }
    bool good = !l.bad || wrong(t, "a record is not of its form");
    if (l.n > 0)
        qsort(l.at, l.n, sizeof *l.at, by_key);
    for (size_t i = 0, n; good && i < l.n; i += n) {
        for (n = 1; i + n < l.n && l.at[i + n].space == l.at[i].space &&
                    memcmp(l.at[i + n].key, l.at[i].key, sizeof l.at[i].key) == 0;
             n++)
            ;
        good = is_in_place(t, &l.at[i], n);
    }
    free(l.at);
    for (size_t i = 0; good && i < r->ops_n; i++)
        good = row_in_place(t, i);
    if (good)
        t->why[0] = '\0';
    return good;
}
