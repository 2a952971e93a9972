#include "merge.h"

#include <string.h>

/* Where a scan stands in each of its sources. */
struct merge {
    const struct entry *at[MERGE_LAYERS]; /* NULL: at its end */
    struct base_cursor *base;
    bool base_on; /* the base stands on a pair */
};

/* One key as the reader sees it. */
struct seen {
    struct peal_bytes key, value;
    bool present;
    bool from_base;
};

static int base_next(struct merge *m)
{
    int rc = m->base->step(m->base);
    m->base_on = rc == 1;
    return rc < 0 ? rc : 0;
}

/* The smallest key that any source stands on; false at the end of all. */
static bool next_key(const struct merge *m, struct peal_bytes *key)
{
    bool any = m->base_on;
    if (any)
        *key = m->base->key;
    for (size_t i = 0; i < MERGE_LAYERS; i++) {
        if (m->at[i] == NULL)
            continue;
        struct peal_bytes k = entry_key(m->at[i]);
        if (!any || key_cmp(k, *key) < 0)
            *key = k;
        any = true;
    }
    return any;
}

/* Lays the layers' writes on that key over the base, oldest first. */
static void look(const struct merge *m, struct seen *seen)
{
    seen->from_base = m->base_on && key_cmp(m->base->key, seen->key) == 0;
    seen->present = seen->from_base;
    for (size_t i = MERGE_LAYERS; i-- > 0;) {
        const struct entry *e = m->at[i];
        if (e == NULL || key_cmp(entry_key(e), seen->key) != 0)
            continue;
        if (e->op == STORE_PUT_IF_ABSENT && seen->present)
            continue;
        seen->present = e->op != STORE_DEL;
        seen->value = entry_value(e);
        seen->from_base = false;
    }
}

/* Leaves the key behind in every source that stands on it. The base comes last: the key may be a
 * view into it. */
static int pass(struct merge *m, struct peal_bytes key)
{
    bool base = m->base_on && key_cmp(m->base->key, key) == 0;
    for (size_t i = 0; i < MERGE_LAYERS; i++) {
        if (m->at[i] != NULL && key_cmp(entry_key(m->at[i]), key) == 0)
            m->at[i] = table_next(m->at[i]);
    }
    return base ? base_next(m) : 0;
}

static int base_value(struct base_cursor *base, struct scan *s, struct peal_bytes *value)
{
    int rc = base->read(base);
    *value = base->value;
    if (rc != ROW_UNSOUND)
        return rc;
    CHECK(base->key.n <= STORE_KEY_MAX);
    memcpy(s->corrupt_key, base->key.p, base->key.n);
    s->corrupt_size = base->key.n;
    return PEAL_E_CORRUPT;
}

int merge_scan(const struct queue *const layers[static MERGE_LAYERS], struct base_cursor *base,
               struct scan *s)
{
    struct merge m = {.base = base};
    for (size_t i = 0; i < MERGE_LAYERS; i++)
        m.at[i] = table_seek(&layers[i]->spaces[s->space], s->from);
    s->count = 0;
    int rc = s->limit > 0 ? base_next(&m) : 0;
    struct seen seen;
    while (rc == 0 && s->count < s->limit && next_key(&m, &seen.key)) {
        if (s->to.n > 0 && key_cmp(seen.key, s->to) >= 0)
            break;
        look(&m, &seen);
        if (seen.present) {
            if (s->each != NULL && seen.from_base)
                rc = base_value(base, s, &seen.value);
            if (rc != 0)
                return rc;
            s->count++;
            if (s->each != NULL && !s->each(s->arg, seen.key, seen.value))
                break;
        }
        rc = pass(&m, seen.key);
    }
    return rc;
}

enum merge_found merge_get(const struct queue *const layers[static MERGE_LAYERS],
                           enum store_space space, struct peal_bytes key, const struct entry **e)
{
    *e = NULL;
    for (size_t i = 0; i < MERGE_LAYERS; i++) {
        const struct entry *found = queue_find(layers[i], space, key);
        if (found == NULL)
            continue;
        if (found->op == STORE_DEL)
            return *e != NULL ? MERGE_VALUE : MERGE_ABSENT;
        *e = found;
        if (found->op == STORE_PUT)
            return MERGE_VALUE;
    }
    return MERGE_BELOW;
}
