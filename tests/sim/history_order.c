/* One key's verdict: what each call asks of an order, the shortest beginning of the history that
 * has none, and how that is told. */
#include "history_inner.h"

#include <stdlib.h>
#include <string.h>

enum { REDUCE_MAX = 400 }; /* searches spent on making an explanation shorter */

struct steps {
    struct order_step *at; /* two per call at most */
    size_t n;
};

/* ---- what calls ask of an order ---- */

static struct order_step *add(struct steps *s, const struct reg_call *c, size_t call)
{
    struct order_step *t = &s->at[s->n++];
    *t = (struct order_step){.began_us = c->began_us, .ended_us = c->ended_us, .call = call};
    return t;
}

static void add_needs(struct steps *s, const struct reg_call *c, size_t call, enum step_needs needs,
                      uint32_t what)
{
    struct order_step *t = add(s, c, call);
    t->needs = needs;
    t->what = what;
}

/* What stood before the element in the text, which holds it; else false. */
static bool before_in(struct texts *t, uint32_t all, uint32_t element, uint32_t *before,
                      uint32_t *with)
{
    struct peal_bytes a = text_bytes(t, all), e = text_bytes(t, element);
    const uint8_t *p = a.n == 0 || e.n == 0 ? NULL : memmem(a.p, a.n, e.p, e.n);
    if (p == NULL)
        return false;
    size_t at = (size_t)(p - a.p);
    *before = text_number(t, peal_bytes_of(a.p, at));
    *with = text_number(t, peal_bytes_of(a.p, at + e.n));
    return true;
}

/* An append that tells what is there now stands for two steps: it went to one place, and later in
 * its time the whole was read. (Other appends may have come in between, where a first attempt took
 * effect and a later one found it so.) */
static void add_append(struct texts *t, struct steps *s, const struct reg_call *c, size_t call)
{
    uint32_t before = 0, with = 0;
    if (c->told == NO_TEXT) {
        struct order_step *step = add(s, c, call);
        step->does = DOES_APPEND;
        step->value = c->value;
    } else if (!before_in(t, c->told, c->value, &before, &with)) {
        add_needs(s, c, call, NEEDS_WHAT_CANNOT_BE, 0);
    } else {
        struct order_step *step = add(s, c, call);
        step->needs = NEEDS_IS;
        step->what = before;
        step->does = DOES_SET;
        step->value = with;
        if (with != c->told)
            add_needs(s, c, call, NEEDS_IS, c->told);
    }
}

static void add_ended(struct texts *t, struct steps *s, const struct reg_call *c, size_t call)
{
    if (c->end == HISTORY_FAIL)
        return;
    if (c->end == HISTORY_REFUSED) {
        if (c->op != HISTORY_CAS)
            return; /* it says nothing */
        if (c->told == NO_TEXT)
            add_needs(s, c, call, NEEDS_NOT, c->from);
        else
            add_needs(s, c, call, c->told == c->from ? NEEDS_WHAT_CANNOT_BE : NEEDS_IS, c->told);
        return;
    }
    CHECK(c->end == HISTORY_OK);
    switch (c->op) {
    case HISTORY_READ:
        add_needs(s, c, call, NEEDS_IS, c->told == NO_TEXT ? 0 : c->told);
        break;
    case HISTORY_WRITE:
    case HISTORY_CAS: {
        struct order_step *step = add(s, c, call);
        step->needs = c->op == HISTORY_CAS ? NEEDS_IS : NEEDS_NOTHING;
        step->what = c->from;
        step->does = DOES_SET;
        step->value = c->value;
        break;
    }
    case HISTORY_APPEND:
        add_append(t, s, c, call);
        break;
    }
}

/* What may have happened. An unknown append stands where a value that was seen has it. */
static void add_unknown(struct texts *t, struct steps *s, const struct reg_call *c, size_t call)
{
    uint32_t before = 0, with = 0;
    size_t known = s->n;
    if (c->op == HISTORY_READ)
        return;
    struct order_step *step = add(s, c, call);
    step->optional = true;
    step->ended_us = UINT64_MAX;
    step->needs = c->op == HISTORY_CAS ? NEEDS_IS : NEEDS_NOTHING;
    step->what = c->from;
    step->does = c->op == HISTORY_APPEND ? DOES_APPEND : DOES_SET;
    step->value = c->value;
    for (size_t i = 0; c->op == HISTORY_APPEND && i < known; i++) {
        const struct order_step *k = &s->at[i];
        if (k->optional || k->needs != NEEDS_IS || !before_in(t, k->what, c->value, &before, &with))
            continue;
        step->needs = NEEDS_IS;
        step->what = before;
        step->does = DOES_SET;
        step->value = with;
        return;
    }
}

/* An optional step matters only for what needs its value; for what needs the value to be another
 * one any of them may. Dropping one may make another needless. */
static void drop_needless(struct steps *s)
{
    bool appends = false;
    for (size_t i = 0; i < s->n; i++) {
        if (s->at[i].needs == NEEDS_NOT)
            return;
        appends = appends || (s->at[i].does == DOES_APPEND && !s->at[i].optional);
    }
    for (bool dropped = !appends; dropped;) {
        dropped = false;
        for (size_t i = 0; i < s->n; i++) {
            const struct order_step *t = &s->at[i];
            bool needed = false;
            for (size_t k = 0; t->optional && k < s->n; k++)
                needed = needed || (k != i && s->at[k].needs == NEEDS_IS &&
                                    s->at[k].what == t->value && t->does == DOES_SET);
            if (!t->optional || needed)
                continue;
            s->at[i--] = s->at[--s->n];
            dropped = true;
        }
    }
}

/* The beginning of the history, up to and with the instant. */
static void steps_until(const struct history *h, const size_t *calls, size_t n, uint64_t until_us,
                        struct steps *s)
{
    s->n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct reg_call *c = &h->calls[calls[i]];
        if (c->end != NOT_ENDED && c->end != HISTORY_UNKNOWN && c->ended_us <= until_us)
            add_ended(h->texts, s, c, calls[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct reg_call *c = &h->calls[calls[i]];
        bool ended = c->end != NOT_ENDED && c->end != HISTORY_UNKNOWN;
        if (c->began_us <= until_us && (!ended || c->ended_us > until_us) && c->end != HISTORY_FAIL)
            add_unknown(h->texts, s, c, calls[i]);
    }
    drop_needless(s);
}

/* ---- the explanation ---- */

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The instant at which the shortest beginning that has no order ends. What has no order has none
 * with more behind it, so halving finds it. */
static uint64_t bad_instant(const struct history *h, const size_t *calls, size_t n, struct steps *s)
{
    uint64_t *ends = history_must(calloc(n + 1, sizeof *ends));
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (h->calls[calls[i]].ended_us != UINT64_MAX)
            ends[m++] = h->calls[calls[i]].ended_us;
    qsort(ends, m, sizeof *ends, by_time);
    size_t lo = 0, hi = m - 1;
    CHECK(m > 0);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        steps_until(h, calls, n, ends[mid], s);
        if (order_search(h->texts, s->at, s->n) == HISTORY_BAD)
            hi = mid;
        else
            lo = mid + 1;
    }
    uint64_t at = ends[lo];
    free(ends);
    return at;
}

/* Leaves out reads that the contradiction does not need; what changed something stays. */
static void reduce(const struct history *h, struct steps *s)
{
    struct steps less = {.at = history_must(calloc(s->n + 1, sizeof *less.at))};
    size_t tries = 0;
    for (size_t i = s->n; i > 0 && tries < REDUCE_MAX; i--) {
        if (s->at[i - 1].does != DOES_NOTHING)
            continue;
        tries++;
        less.n = 0;
        for (size_t k = 0; k < s->n; k++)
            if (k != i - 1)
                less.at[less.n++] = s->at[k];
        if (order_search(h->texts, less.at, less.n) != HISTORY_BAD)
            continue;
        memcpy(s->at, less.at, less.n * sizeof *s->at);
        s->n = less.n;
    }
    free(less.at);
}

static size_t writers_of(const struct steps *s, uint32_t value)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->at[i].does == DOES_APPEND || (s->at[i].does == DOES_SET && s->at[i].value == value);
    return n;
}

static bool is_change(const struct order_step *t)
{
    return !t->optional && t->needs == NEEDS_IS && t->does == DOES_SET && t->what != t->value;
}

/* value: of HISTORY_NOWHERE, which. */
static enum history_kind kind_of(const struct steps *s, uint32_t *value)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i].needs == NEEDS_WHAT_CANNOT_BE)
            return HISTORY_LOST;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < i && is_change(&s->at[i]); k++)
            if (is_change(&s->at[k]) && s->at[k].what == s->at[i].what &&
                s->at[k].call != s->at[i].call &&
                writers_of(s, s->at[i].what) < 1 + (s->at[i].what != 0))
                return HISTORY_TWICE_SET;
    for (size_t i = 0; i < s->n; i++) {
        const struct order_step *t = &s->at[i];
        if (t->needs != NEEDS_IS || t->what == 0 || t->optional)
            continue;
        *value = t->what;
        if (writers_of(s, t->what) == 0)
            return HISTORY_NOWHERE;
    }
    return HISTORY_ORDER;
}

static bool is_written_later(const struct history *h, const size_t *calls, size_t n, uint32_t value)
{
    struct steps all = {.at = history_must(calloc(2 * n + 1, sizeof *all.at))};
    for (size_t i = 0; i < n; i++) {
        const struct reg_call *c = &h->calls[calls[i]];
        if (c->end != HISTORY_FAIL && c->end != HISTORY_REFUSED)
            add_unknown(h->texts, &all, c, calls[i]);
    }
    bool written = writers_of(&all, value) > 0;
    free(all.at);
    return written;
}

static void show_call(const struct history *h, FILE *out, const struct reg_call *c,
                      uint64_t until_us)
{
    static const char *const ops[] = {"read", "write", "cas", "append"};
    static const char *const ends[] = {"ok", "refused", "fail", "unknown"};
    bool ended = c->end != NOT_ENDED && c->ended_us <= until_us;
    fprintf(out, "  %12llu ..", (unsigned long long)c->began_us);
    if (ended)
        fprintf(out, " %12llu", (unsigned long long)c->ended_us);
    else
        fprintf(out, " %12s", "...");
    fprintf(out, "  %-10s %s", (const char *)text_bytes(h->texts, c->by).p, ops[c->op]);
    if (c->op == HISTORY_CAS) {
        fputc(' ', out);
        text_show(out, h->texts, c->from);
        fputs(" ->", out);
    }
    if (c->op != HISTORY_READ) {
        fputc(' ', out);
        text_show(out, h->texts, c->value);
    }
    fprintf(out, ": %s", ended ? ends[c->end] : "not ended");
    if (ended && (c->told != NO_TEXT || (c->op == HISTORY_READ && c->end == HISTORY_OK))) {
        fputc(' ', out);
        text_show(out, h->texts, c->told == NO_TEXT ? 0 : c->told);
    }
    fputc('\n', out);
}

static void show(const struct history *h, FILE *out, const struct steps *s, size_t of,
                 uint64_t until_us, enum history_kind kind)
{
    const struct reg_call *any = &h->calls[s->at[0].call];
    size_t from = s->n > HISTORY_SHOWN_MAX ? s->n - HISTORY_SHOWN_MAX : 0;
    fprintf(out,
            "register %s: %s.\n  The shortest such beginning ends at %llu; of its %zu operations "
            "these matter, by time of beginning:\n",
            (const char *)text_bytes(h->texts, any->key).p, history_kind_text(kind),
            (unsigned long long)until_us, of);
    if (from > 0)
        fprintf(out, "  (%zu earlier ones are left out)\n", from);
    for (size_t i = from; i < s->n; i++) {
        bool twice = i > from && s->at[i].call == s->at[i - 1].call;
        if (!twice)
            show_call(h, out, &h->calls[s->at[i].call], until_us);
    }
}

enum history_verdict order_check(const struct history *h, const size_t *calls, size_t n, FILE *out,
                                 enum history_kind *kind)
{
    struct steps s = {.at = history_must(calloc(2 * n + 1, sizeof *s.at))};
    steps_until(h, calls, n, UINT64_MAX, &s);
    enum history_verdict v = order_search(h->texts, s.at, s.n);
    if (v == HISTORY_BAD) {
        uint64_t until_us = bad_instant(h, calls, n, &s);
        size_t of = 0;
        for (size_t i = 0; i < n; i++)
            of += h->calls[calls[i]].began_us <= until_us;
        steps_until(h, calls, n, until_us, &s);
        reduce(h, &s);
        uint32_t value = 0;
        *kind = kind_of(&s, &value);
        if (*kind == HISTORY_NOWHERE && is_written_later(h, calls, n, value))
            *kind = HISTORY_FORESEEN;
        (void)order_search(h->texts, s.at, s.n); /* sorts */
        if (out != NULL)
            show(h, out, &s, of, until_us, *kind);
    } else if (v == HISTORY_UNDECIDED && out != NULL) {
        fprintf(out, "register %s: too many orders of its %zu operations to look at\n",
                (const char *)text_bytes(h->texts, h->calls[calls[0]].key).p, n);
    }
    free(s.at);
    return v;
}
