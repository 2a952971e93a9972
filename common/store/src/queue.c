#include "queue.h"

#include <stdlib.h>
#include <string.h>

void queue_init(struct queue *q, bool keep_older)
{
    memset(q, 0, sizeof *q);
    q->keep_older = keep_older;
}

static size_t cost_of(const struct entry *e)
{
    return entry_cost(e->key_size, e->value_size);
}

/* Frees e and what it replaced. */
static void entry_free(struct entry *e)
{
    while (e != NULL) {
        struct entry *older = e->older;
        free(e);
        e = older;
    }
}

void queue_free(struct queue *q)
{
    for (struct entry *e = q->first; e != NULL;) {
        struct entry *next = e->next;
        entry_free(e);
        e = next;
    }
    queue_init(q, q->keep_older);
}

int unit_make(uint64_t *dice, const struct store_write *w, size_t n, struct unit *u)
{
    *u = (struct unit){0};
    CHECK(n <= STORE_UNIT_MAX);
    for (size_t i = 0; i < n; i++) {
        struct entry *e = table_entry(dice, &w[i]);
        if (e == NULL) {
            unit_free(u);
            return PEAL_E_NO_MEMORY;
        }
        if (u->last != NULL)
            u->last->next = e;
        else
            u->first = e;
        u->last = e;
        u->bytes += cost_of(e);
    }
    return 0;
}

void unit_free(struct unit *u)
{
    for (struct entry *e = u->first; e != NULL;) {
        struct entry *next = e->next;
        free(e);
        e = next;
    }
    *u = (struct unit){0};
}

/* ---- the order of tickets ---- */

static void order_append(struct queue *q, struct entry *e)
{
    CHECK(q->last == NULL || q->last->ticket <= e->ticket);
    e->prev = q->last;
    e->next = NULL;
    if (q->last != NULL)
        q->last->next = e;
    else
        q->first = e;
    q->last = e;
}

static void order_remove(struct queue *q, struct entry *e)
{
    *(e->prev != NULL ? &e->prev->next : &q->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &q->last) = e->prev;
}

/* Puts e where old stands. */
static void order_replace(struct queue *q, struct entry *old, struct entry *e)
{
    e->prev = old->prev;
    e->next = old->next;
    *(e->prev != NULL ? &e->prev->next : &q->first) = e;
    *(e->next != NULL ? &e->next->prev : &q->last) = e;
}

/* ---- one write ---- */

static void add(struct queue *q, struct table_path *path, struct entry *e)
{
    table_link(path, e);
    order_append(q, e);
    q->bytes += cost_of(e);
    q->keys++;
}

/* Frees old, which is in no list any more, with what it replaced. */
static void discard(struct queue *q, struct entry *old)
{
    for (const struct entry *e = old; e != NULL; e = e->older)
        q->bytes -= cost_of(e);
    entry_free(old);
}

/* A put over a put or a deletion: it inherits the ticket that waits. */
static void replace(struct queue *q, struct table_path *path, struct entry *old, struct entry *e)
{
    e->ticket = old->ticket;
    e->deadline = old->deadline;
    e->fresh = old->fresh;
    e->rooted = old->rooted || old->op == STORE_DEL;
    table_unlink(path, old);
    table_link(path, e);
    order_replace(q, old, e);
    q->bytes += cost_of(e);
    if (q->keep_older)
        e->older = old;
    else
        discard(q, old);
}

/* A deletion over a put. */
static void cancel(struct queue *q, struct table_path *path, struct entry *old, struct entry *e)
{
    table_unlink(path, old);
    if (old->rooted) {
        e->ticket = e->own = old->ticket;
        e->deadline = old->deadline;
        order_replace(q, old, e);
        table_link(path, e);
        q->bytes += cost_of(e);
    } else {
        order_remove(q, old);
        q->keys--;
        if (old->fresh)
            free(e);
        else
            add(q, path, e);
    }
    discard(q, old);
}

static void take_put(struct queue *q, struct table_path *path, struct entry *old, struct entry *e,
                     struct store_stats *stats)
{
    q->urgent |= !e->lazy;
    stats->merged++;
    if (e->op == STORE_PUT_IF_ABSENT && old->op != STORE_DEL) {
        free(e);
        return;
    }
    e->op = STORE_PUT;
    replace(q, path, old, e);
}

static void take_del(struct queue *q, struct table_path *path, struct entry *old, struct entry *e,
                     struct store_stats *stats)
{
    if (old->op == STORE_DEL) {
        q->urgent |= !e->lazy;
        stats->merged++;
        free(e);
        return;
    }
    stats->cancelled++;
    cancel(q, path, old, e);
}

void queue_take(struct queue *q, struct unit *u, struct store_stats *stats)
{
    for (struct entry *e = u->first, *next; e != NULL; e = next) {
        next = e->next;
        e->ticket = e->own = u->ticket;
        e->deadline = u->deadline;
        struct table_path path;
        struct entry *old = table_path(&q->spaces[e->space], entry_key(e), &path);
        if (old != NULL && e->op == STORE_DEL) {
            take_del(q, &path, old, e, stats);
        } else if (old != NULL) {
            take_put(q, &path, old, e, stats);
        } else {
            q->urgent |= !e->lazy;
            add(q, &path, e);
        }
    }
    if (q->first == NULL)
        q->urgent = false;
    *u = (struct unit){.ticket = u->ticket};
}

struct entry *queue_find(const struct queue *q, enum store_space space, struct peal_bytes key)
{
    return table_find(&q->spaces[space], key);
}
