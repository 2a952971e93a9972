/* The memory back end: what waits is a queue as in the other one, what is "durable" is a table. */
#include "ops.h"

#include <stdlib.h>
#include <string.h>

struct memory {
    struct store store; /* first */
    struct table spaces[SPACE_COUNT];
    bool auto_commit;
    bool full;
};

static struct memory *memory_of(struct store *s)
{
    CHECK(s->ops == &store_memory_ops);
    return (struct memory *)s;
}

int store_open_memory(const struct store_config *config, struct store **out)
{
    *out = NULL;
    struct memory *m = calloc(1, sizeof *m);
    if (m == NULL)
        return PEAL_E_NO_MEMORY;
    store_init(&m->store, &store_memory_ops, config, true);
    *out = &m->store;
    return 0;
}

static void empty_table(struct table *t)
{
    for (struct entry *e = table_first(t), *next; e != NULL; e = next) {
        next = table_next(e);
        free(e);
    }
    *t = (struct table){0};
}

static int memory_close(struct store *s)
{
    struct memory *m = memory_of(s);
    int rc = store_memory_commit(s);
    for (size_t i = 0; i < SPACE_COUNT; i++)
        empty_table(&m->spaces[i]);
    store_fini(s);
    free(m);
    return rc;
}

/* ---- committing ---- */

/* Executes the one entry on the durable side, which then owns it; an entry that changes nothing is
 * freed. */
static void execute(struct memory *m, struct entry *e)
{
    struct table_path path;
    struct entry *old = table_path(&m->spaces[e->space], entry_key(e), &path);
    struct store_stats *stats = &m->store.stats;
    *(e->op == STORE_DEL ? &stats->dels_written : &stats->puts_written) += 1;
    if (e->op == STORE_PUT_IF_ABSENT && old != NULL) {
        free(e);
        return;
    }
    if (old != NULL) {
        table_unlink(&path, old);
        free(old);
    }
    if (e->op == STORE_DEL)
        free(e);
    else
        table_link(&path, e);
}

/* Executes what waits, as far as submit cut, on each key its newest write up to there, and empties
 * the queue. */
static void execute_until(struct memory *m, uint64_t cut)
{
    struct queue *q = &m->store.now;
    for (struct entry *e = q->first, *next; e != NULL; e = next) {
        next = e->next;
        struct entry *chosen = NULL;
        for (struct entry *o = e, *older; o != NULL; o = older) {
            older = o->older;
            if (chosen == NULL && o->own <= cut)
                chosen = o;
            else
                free(o);
        }
        if (chosen != NULL)
            execute(m, chosen);
    }
    q->first = NULL;
    queue_free(q);
}

static int commit(struct memory *m)
{
    struct store *s = &m->store;
    if (m->full && s->now.first != NULL) {
        s->stats.failures++;
        atomic_store(&s->health, PEAL_E_NO_SPACE);
        return store_health(s);
    }
    if (s->now.first != NULL)
        s->stats.commits++;
    execute_until(m, s->last);
    atomic_store(&s->health, 0);
    (void)store_advance(s);
    return 0;
}

static int memory_submit(struct store *s, struct unit *u)
{
    struct memory *m = memory_of(s);
    int rc = store_take(s, u);
    if (rc != 0)
        return rc;
    (void)store_advance(s);
    /* A commit that fails is no failure of the submit, which has its ticket and waits. */
    if (m->auto_commit)
        (void)commit(m);
    return 0;
}

static void memory_flush(struct store *s)
{
    (void)s;
}

static void memory_health_text(struct store *s, char text[static STORE_TEXT_MAX])
{
    (void)s;
    static const char full[] = "no room left to write in memory";
    memcpy(text, full, sizeof full);
}

static void memory_set_quota(struct store *s, uint64_t bytes)
{
    (void)s;
    (void)bytes;
}

static void memory_stats(struct store *s, struct store_stats *out)
{
    *out = s->stats;
    out->pending_bytes = s->now.bytes;
    out->pending_keys = s->now.keys;
}

/* ---- reading ---- */

static int memory_get(struct store *s, enum store_space space, struct peal_bytes key,
                      struct arena *a, struct peal_bytes *value)
{
    struct memory *m = memory_of(s);
    const struct queue *layers[MERGE_LAYERS] = {&s->now, &s->flight};
    const struct entry *e;
    enum merge_found found = merge_get(layers, space, key, &e);
    if (found == MERGE_BELOW) {
        const struct entry *durable = table_find(&m->spaces[space], key);
        if (durable != NULL && durable->bad)
            return store_say_corrupt(s, space, key);
        e = durable != NULL ? durable : e;
    }
    if (e == NULL)
        return PEAL_E_NOT_FOUND;
    return store_copy_out(s, a, entry_value(e), value);
}

struct memory_cursor {
    struct base_cursor base; /* first */
    const struct entry *at;
    const struct entry *next;
};

static int cursor_step(struct base_cursor *c)
{
    struct memory_cursor *mc = (struct memory_cursor *)c;
    mc->at = mc->next;
    if (mc->at == NULL)
        return 0;
    mc->next = table_next(mc->at);
    c->key = entry_key(mc->at);
    c->value = entry_value(mc->at);
    return 1;
}

static int cursor_read(struct base_cursor *c)
{
    return ((struct memory_cursor *)c)->at->bad ? ROW_UNSOUND : 0;
}

static int memory_scan(struct store *s, struct scan *scan)
{
    struct memory *m = memory_of(s);
    const struct queue *layers[MERGE_LAYERS] = {&s->now, &s->flight};
    struct memory_cursor c = {
        .base = {.step = cursor_step, .read = cursor_read},
        .next = table_seek(&m->spaces[scan->space], scan->from),
    };
    return merge_scan(layers, &c.base, scan);
}

/* ---- controls ---- */

int store_memory_commit(struct store *s)
{
    CHECK(!s->inside);
    return commit(memory_of(s));
}

void store_memory_auto(struct store *s, bool on)
{
    struct memory *m = memory_of(s);
    m->auto_commit = on;
    if (on)
        (void)commit(m);
}

void store_memory_crash(struct store *s, struct rng *r)
{
    struct memory *m = memory_of(s);
    CHECK(!s->inside);
    uint64_t durable = store_durable(s);
    CHECK(durable <= s->last);
    execute_until(m, durable + rng_below(r, s->last - durable + 1));
    s->last = 0;
    s->stats = (struct store_stats){0};
    s->text[0] = '\0';
    s->corrupt_size = 0;
    atomic_store(&s->health, 0);
    atomic_store(&s->durable, 0);
}

void store_memory_fill(struct store *s, bool full)
{
    struct memory *m = memory_of(s);
    m->full = full;
    if (!full && m->auto_commit)
        (void)commit(m);
}

int store_memory_damage(struct store *s, enum store_space space, struct peal_bytes key)
{
    struct memory *m = memory_of(s);
    CHECK((size_t)space < SPACE_COUNT);
    struct entry *e = table_find(&m->spaces[space], key);
    if (e == NULL)
        return PEAL_E_NOT_FOUND;
    e->bad = true;
    return 0;
}

const struct store_ops store_memory_ops = {
    .close = memory_close,
    .submit = memory_submit,
    .flush = memory_flush,
    .health_text = memory_health_text,
    .get = memory_get,
    .scan = memory_scan,
    .stats = memory_stats,
    .set_quota = memory_set_quota,
};
