/* scenario: lookups, and whether they were right.
 *
 * A lookup is right when the owner that it names was, at some moment between its beginning and its
 * end, the first living member at or after the key, among those that the asker is not cut off from.
 * It has failed when no answer came in time, or a wrong one. When the asker dies, it does not
 * count. A paused node may be named and may be passed over. */
#include "scenario_inner.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_FIRST = 1024, TOOK_FIRST = 1024, LOOKUPS_FIRST = 256 };

static void *must(void *p)
{
    CHECK(p != NULL);
    return p;
}

/* ---- the truth ---- */

void run_member_changed(struct run *r, uint32_t node, bool joined)
{
    if (r->open == 0)
        r->log_n = 0; /* nobody asks for what was before */
    if (r->log_n == r->log_cap) {
        r->log_cap = r->log_cap == 0 ? LOG_FIRST : 2 * r->log_cap;
        r->log = must(realloc(r->log, r->log_cap * sizeof *r->log));
    }
    r->log[r->log_n++] = (struct change){.place = oracle_place(r->o, node), .joined = joined};
}

/* Whether the member at the place counts for the asker: it must be passed over by no lookup. */
static bool stands(const struct run *r, uint32_t asker, uint32_t place)
{
    uint32_t node = oracle_node_at(r->o, place);
    return node != r->rogue && !world_paused(r->w, node) && !world_is_cut(r->w, asker, node) &&
           !world_is_cut(r->w, node, asker);
}

/* Whether `named` owned the key at some moment since the change log_at. Goes back in time from now:
 * `before` members lie between the key and it, and it is one itself, or not. */
static bool owned(const struct run *r, const struct lookup *l, uint32_t named)
{
    uint32_t first = oracle_place_of(r->o, &l->key) % r->nodes;
    uint32_t place = oracle_place(r->o, named), before = 0;
    for (uint32_t p = first; p != place; p = (p + 1) % r->nodes)
        before += oracle_is_member(r->o, oracle_node_at(r->o, p)) && stands(r, l->asker, p);
    bool alive = oracle_is_member(r->o, named);
    if (alive && before == 0)
        return true;
    for (uint32_t i = r->log_n; i > l->log_at; i--) {
        const struct change *c = &r->log[i - 1];
        uint32_t ahead = (c->place + r->nodes - first) % r->nodes;
        if (c->place == place)
            alive = !c->joined;
        else if (ahead < (place + r->nodes - first) % r->nodes && stands(r, l->asker, c->place))
            before += c->joined ? UINT32_MAX : 1; /* joined: one less before that */
        if (alive && before == 0)
            return true;
    }
    return false;
}

/* ---- what is under way ---- */

static uint32_t lookup_take(struct run *r)
{
    if (r->under_way_free != WORLD_NOBODY) {
        uint32_t i = r->under_way_free;
        r->under_way_free = r->under_way[i].next;
        return i;
    }
    if (r->under_way_n == r->under_way_cap) {
        r->under_way_cap = r->under_way_cap == 0 ? LOOKUPS_FIRST : 2 * r->under_way_cap;
        r->under_way = must(realloc(r->under_way, r->under_way_cap * sizeof *r->under_way));
    }
    r->under_way[r->under_way_n] = (struct lookup){.serial = 0};
    return r->under_way_n++;
}

static void lookup_end(struct run *r, uint32_t i)
{
    struct lookup *l = &r->under_way[i];
    CHECK(l->under_way && r->open > 0);
    l->under_way = false;
    l->serial++;
    l->next = r->under_way_free;
    r->under_way_free = i;
    r->open--;
}

void run_lookups_abandon(struct run *r, uint32_t asker)
{
    for (uint32_t i = 0; i < r->under_way_n; i++)
        if (r->under_way[i].under_way && r->under_way[i].asker == asker) {
            r->lookups.abandoned++;
            lookup_end(r, i);
        }
}

static void note_right(struct run *r, const struct lookup *l, const struct ring_found *f)
{
    struct lookups *s = &r->lookups;
    s->right++;
    s->hops_sum += f->hops;
    s->hops[f->hops <= HOPS_MAX ? f->hops : HOPS_MAX]++;
    s->one_hop += f->hops <= 1;
    if (s->took_n == s->took_cap) {
        s->took_cap = s->took_cap == 0 ? TOOK_FIRST : 2 * s->took_cap;
        s->took_us = must(realloc(s->took_us, s->took_cap * sizeof *s->took_us));
    }
    s->took_us[s->took_n++] = (uint32_t)(run_now(r) - l->began_us);
}

/* As much of it as there is room for in a violation. */
static void path_text(const struct ring_found *f, char out[static ORACLE_WHY_MAX])
{
    out[0] = 0;
    for (size_t i = 0; i < f->path_n && 9 * i + 10 < ORACLE_WHY_MAX / 2; i++) {
        out[9 * i] = ' ';
        peal_hex(f->path[i].b, 4, out + 9 * i + 1);
    }
}

static void note_wrong(struct run *r, const struct lookup *l, const struct ring_found *f)
{
    char key[9], owner[9], path[ORACLE_WHY_MAX];
    uint32_t named = oracle_node_of(r->o, &f->owner.id);
    r->lookups.wrong++;
    if (!r->opt->verbose)
        return;
    peal_hex(l->key.b, 4, key);
    peal_hex(f->owner.id.b, 4, owner);
    path_text(f, path);
    fprintf(stderr, "%12.6f %5u wrong: %s of %s was found along%s, which %s\n",
            (double)run_now(r) / US, l->asker, owner, key, path,
            named == WORLD_NOBODY           ? "there is not"
            : oracle_is_member(r->o, named) ? "does not own it"
                                            : "is no member");
}

/* The path is what peal/ring.h says: the asker first, the owner last. Nobody is passed twice; the
 * owner may have been passed, when it did not know yet that it is one. */
static void check_path(struct run *r, uint32_t asker, const struct ring_found *f)
{
    struct peal_id self = world_id(r->w, asker);
    bool good = f->path_n > 0 && f->path_n <= WIRE_PATH_MAX && f->hops == f->path_n - 1 &&
                id_eq(&f->path[0], &self) && id_eq(&f->path[f->path_n - 1], &f->owner.id);
    for (size_t i = 0; good && i + 1 < f->path_n; i++)
        for (size_t k = 0; good && k < i; k++)
            good = !id_eq(&f->path[i], &f->path[k]);
    if (good)
        return;
    char path[ORACLE_WHY_MAX], owner[9];
    peal_hex(f->owner.id.b, 4, owner);
    path_text(f, path);
    run_violation(r, asker, "a lookup's path does not go from the asker to the owner %s:%s", owner,
                  path);
}

void run_lookup_found(struct fellow *f, uint64_t token, int err, const struct ring_found *found)
{
    struct run *r = f->run;
    uint32_t i = (uint32_t)token;
    if (f->running_at == WORLD_NOBODY)
        return; /* it leaves, and its lookups were abandoned */
    world_note(r->w, token ^ (uint64_t)(uint32_t)err << 32);
    if (i >= r->under_way_n || !r->under_way[i].under_way ||
        r->under_way[i].serial != (uint32_t)(token >> 32) || r->under_way[i].asker != f->node) {
        run_violation(r, f->node, "a lookup ended that was not begun, or ended twice");
        return;
    }
    const struct lookup *l = &r->under_way[i];
    if (err != 0) {
        r->lookups.failed++;
    } else {
        const struct sim_watcher *watcher = r->opt->watcher;
        check_path(r, f->node, found);
        if (watcher != NULL)
            watcher->found(watcher->ctx, f->node, found);
        uint32_t named = oracle_node_of(r->o, &found->owner.id);
        if (!id_eq(&found->key, &l->key))
            run_violation(r, f->node, "a lookup ended with another's key");
        if (named != WORLD_NOBODY && owned(r, l, named))
            note_right(r, l, found);
        else
            note_wrong(r, l, found);
        if (named != WORLD_NOBODY)
            world_note(r->w, named);
    }
    lookup_end(r, i);
}

struct begin {
    struct peal_id key;
    uint64_t token;
    int err;
};

static void begin(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    struct begin *b = arg;
    b->err = ring_find(core, ev, u, b->token, &b->key, FIND_TIMEOUT_US);
}

void run_lookup(struct run *r, uint32_t asker, const struct peal_id *key)
{
    uint32_t i = lookup_take(r);
    struct lookup *l = &r->under_way[i];
    uint32_t serial = l->serial;
    *l = (struct lookup){
        .key = *key, .began_us = run_now(r), .asker = asker, .under_way = true, .serial = serial};
    if (r->open++ == 0)
        r->log_n = 0;
    l->log_at = r->log_n;
    r->lookups.begun++;
    struct begin b = {.key = *key, .token = (uint64_t)serial << 32 | i};
    world_call(r->w, asker, begin, &b);
    if (b.err != 0) {
        r->lookups.busy++;
        lookup_end(r, i);
    }
}

/* A running member at random, that is not paused; WORLD_NOBODY when none is met soon. */
static uint32_t any_member(struct run *r)
{
    enum { TRIES = 32 };
    for (int i = 0; i < TRIES; i++) {
        uint32_t node = run_any(r);
        if (node != WORLD_NOBODY && node != r->rogue && oracle_is_member(r->o, node) &&
            !world_paused(r->w, node))
            return node;
    }
    return WORLD_NOBODY;
}

uint32_t run_lookups_now(struct run *r, uint32_t n)
{
    uint32_t begun = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct peal_id key;
        uint32_t asker = any_member(r);
        rng_fill(&r->rng, key.b, ID_BYTES);
        if (asker == WORLD_NOBODY)
            continue;
        run_lookup(r, asker, &key);
        begun++;
    }
    return begun;
}

static void tick(void *arg, uint64_t epoch)
{
    struct run *r = arg;
    if (r->lookup_rate <= 0 || r->lookup_epoch != epoch)
        return;
    uint64_t mean = (uint64_t)(US / r->lookup_rate);
    world_at(r->w, run_now(r) + 1 + rng_below(&r->rng, 2 * mean + 1), tick, r, epoch);
    run_lookups_now(r, 1);
}

void run_lookups(struct run *r, double rate)
{
    r->lookup_rate = rate;
    r->lookup_epoch++;
    tick(r, r->lookup_epoch);
}

static bool none_open(void *arg)
{
    const struct run *r = arg;
    return r->open == 0;
}

void run_lookups_end(struct run *r)
{
    r->lookup_rate = 0;
    if (world_until(r->w, none_open, r, US / 10, FIND_TIMEOUT_US + FIND_GRACE_US))
        return;
    for (uint32_t i = 0; i < r->under_way_n; i++) {
        if (!r->under_way[i].under_way)
            continue;
        run_violation(r, r->under_way[i].asker, "a lookup did not end within its time-out");
        r->lookups.failed++;
        lookup_end(r, i);
    }
}

/* ---- figures ---- */

void run_lookups_reset(struct run *r)
{
    free(r->lookups.took_us);
    r->lookups = (struct lookups){0};
}

double run_mean_hops(const struct run *r)
{
    return r->lookups.right == 0 ? 0 : (double)r->lookups.hops_sum / (double)r->lookups.right;
}

uint32_t run_hops_percentile(const struct run *r, double share)
{
    uint64_t sum = 0;
    for (uint32_t h = 0; h <= HOPS_MAX; h++) {
        sum += r->lookups.hops[h];
        if (sum > 0 && (double)sum >= share * (double)r->lookups.right)
            return h;
    }
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double run_took_percentile_ms(struct run *r, double share)
{
    struct lookups *s = &r->lookups;
    if (s->took_n == 0)
        return 0;
    qsort(s->took_us, s->took_n, sizeof *s->took_us, by_time);
    size_t i = (size_t)(share * (double)(s->took_n - 1) + 0.5);
    return s->took_us[i] / 1000.0;
}

double run_failed_share(const struct run *r)
{
    const struct lookups *s = &r->lookups;
    uint64_t n = s->right + s->wrong + s->failed + s->busy;
    return n == 0 ? 0 : (double)(n - s->right) / (double)n;
}

void run_lookup_figures(struct run *r)
{
    const struct lookups *s = &r->lookups;
    run_figure(r, "lookups", (double)s->begun, 0, "lookups begun");
    run_figure(r, "lookups_right", (double)s->right, 0, "that named the right owner");
    run_figure(r, "lookups_wrong", (double)s->wrong, 0, "that named a wrong one");
    run_figure(r, "lookups_unanswered", (double)(s->failed + s->busy), 0,
               "that had no answer in time");
    run_figure(r, "lookups_abandoned", (double)s->abandoned, 0,
               "whose asker died (they do not count)");
    run_figure(r, "failed_percent", 100 * run_failed_share(r), 3, "failed: wrong or unanswered, %");
    run_figure(r, "hops_mean", run_mean_hops(r), 3, "hops of the right ones, mean");
    run_figure(r, "hops_p01", run_hops_percentile(r, 0.01), 0, "their 1st percentile");
    run_figure(r, "hops_p50", run_hops_percentile(r, 0.5), 0, "their median");
    run_figure(r, "hops_p99", run_hops_percentile(r, 0.99), 0, "their 99th percentile");
    run_figure(r, "lookup_ms_p50", run_took_percentile_ms(r, 0.5), 3,
               "milliseconds they took, median");
    run_figure(r, "lookup_ms_p99", run_took_percentile_ms(r, 0.99), 3, "99th percentile");
}
