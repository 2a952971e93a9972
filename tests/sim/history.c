/* history: the container, and the whole verdict. */
#include "history_inner.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST = 64, SHOWN_BYTES = 60 };

void *history_must(void *p)
{
    CHECK(p != NULL);
    return p;
}

/* ---- texts ---- */

/* FNV-1a: the texts are a test's own. */
static size_t hash_of(struct peal_bytes b)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < b.n; i++)
        h = (h ^ b.p[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

static size_t slot_of(const struct texts *t, struct peal_bytes b)
{
    size_t i = hash_of(b) & (t->slots_n - 1);
    while (t->slots[i] != 0 && !peal_bytes_eq(text_bytes(t, t->slots[i] - 1), b))
        i = (i + 1) & (t->slots_n - 1);
    return i;
}

static void grow_slots(struct texts *t)
{
    free(t->slots);
    t->slots_n = t->slots_n == 0 ? 2 * FIRST : 2 * t->slots_n;
    t->slots = history_must(calloc(t->slots_n, sizeof *t->slots));
    for (size_t i = 0; i < t->n; i++)
        t->slots[slot_of(t, text_bytes(t, (uint32_t)i))] = (uint32_t)i + 1;
}

uint32_t text_number(struct texts *t, struct peal_bytes b)
{
    if (2 * (t->n + 1) > t->slots_n)
        grow_slots(t);
    size_t slot = slot_of(t, b);
    if (t->slots[slot] != 0)
        return t->slots[slot] - 1;
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? FIRST : 2 * t->cap;
        t->at = history_must(realloc(t->at, t->cap * sizeof *t->at));
    }
    char *p = history_must(malloc(b.n + 1));
    if (b.n > 0)
        memcpy(p, b.p, b.n);
    p[b.n] = '\0';
    t->at[t->n] = (struct text){.p = p, .n = b.n};
    t->slots[slot] = (uint32_t)t->n + 1;
    return (uint32_t)t->n++;
}

struct peal_bytes text_bytes(const struct texts *t, uint32_t number)
{
    CHECK(number < t->n);
    return peal_bytes_of(t->at[number].p, t->at[number].n);
}

void text_show(FILE *out, const struct texts *t, uint32_t number)
{
    struct peal_bytes b = text_bytes(t, number);
    if (b.n == 0)
        fputs("null", out);
    else if (b.n <= SHOWN_BYTES)
        fprintf(out, "\"%.*s\"", (int)b.n, (const char *)b.p);
    else /* the end tells more than the beginning */
        fprintf(out, "\"%.8s ... %.*s\" (%zu bytes)", (const char *)b.p, SHOWN_BYTES - 8,
                (const char *)b.p + b.n - (SHOWN_BYTES - 8), b.n);
}

/* ---- recording ---- */

struct history *history_new(void)
{
    struct history *h = history_must(calloc(1, sizeof *h));
    h->texts = history_must(calloc(1, sizeof *h->texts));
    uint32_t null = text_number(h->texts, (struct peal_bytes){0});
    CHECK(null == 0);
    return h;
}

void history_free(struct history *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->texts->n; i++)
        free(h->texts->at[i].p);
    free(h->texts->at);
    free(h->texts->slots);
    free(h->texts);
    free(h->calls);
    free(h->said);
    free(h);
}

size_t history_invoke(struct history *h, uint64_t at_us, const char *by, struct peal_bytes key,
                      enum history_op op, struct peal_bytes from, struct peal_bytes value)
{
    CHECK(h->calls_n < HISTORY_OPS_MAX && key.n > 0);
    CHECK((op == HISTORY_CAS || from.n == 0) && (op != HISTORY_READ || value.n == 0));
    if (h->calls_n == h->calls_cap) {
        h->calls_cap = h->calls_cap == 0 ? FIRST : 2 * h->calls_cap;
        h->calls = history_must(realloc(h->calls, h->calls_cap * sizeof *h->calls));
    }
    h->calls[h->calls_n] = (struct reg_call){.op = op,
                                             .end = NOT_ENDED,
                                             .by = text_number(h->texts, peal_bytes_str(by)),
                                             .key = text_number(h->texts, key),
                                             .from = text_number(h->texts, from),
                                             .value = text_number(h->texts, value),
                                             .told = NO_TEXT,
                                             .began_us = at_us,
                                             .ended_us = UINT64_MAX};
    return h->calls_n++;
}

void history_finish(struct history *h, size_t op, uint64_t at_us, enum history_end end,
                    const struct peal_bytes *value)
{
    CHECK(op < h->calls_n && h->calls[op].end == NOT_ENDED);
    CHECK(at_us >= h->calls[op].began_us);
    struct reg_call *c = &h->calls[op];
    c->end = (int)end;
    c->ended_us = at_us;
    if (value != NULL)
        c->told = text_number(h->texts, *value);
}

void history_message(struct history *h, uint64_t at_us, enum history_event event,
                     struct peal_bytes message, const char *who, const char *reader)
{
    CHECK(h->said_n < HISTORY_EVENTS_MAX && message.n > 0);
    CHECK((event == HISTORY_SENT) == (who != NULL));
    bool has = event == HISTORY_SENT || event == HISTORY_DELIVERED || event == HISTORY_SHOWN;
    CHECK(has == (reader != NULL));
    if (h->said_n == h->said_cap) {
        h->said_cap = h->said_cap == 0 ? FIRST : 2 * h->said_cap;
        h->said = history_must(realloc(h->said, h->said_cap * sizeof *h->said));
    }
    h->said[h->said_n] =
        (struct said){.event = event,
                      .message = text_number(h->texts, message),
                      .who = who == NULL ? 0 : text_number(h->texts, peal_bytes_str(who)),
                      .reader = reader == NULL ? 0 : text_number(h->texts, peal_bytes_str(reader)),
                      .at_us = at_us,
                      .seq = h->said_n};
    h->said_n++;
}

/* ---- the verdict ---- */

const char *history_kind_text(enum history_kind k)
{
    switch (k) {
    case HISTORY_NOTHING:
        return "nothing is wrong";
    case HISTORY_NOWHERE:
        return "a value was seen that nobody wrote";
    case HISTORY_FORESEEN:
        return "a value was seen before its writer began";
    case HISTORY_TWICE_SET:
        return "two changes replaced the same value";
    case HISTORY_LOST:
        return "an acknowledged change is missing in what its author was told";
    case HISTORY_ORDER:
        return "no order of the operations explains what was seen";
    case HISTORY_M_LOST:
        return "a stored message was never shown";
    case HISTORY_M_TWICE:
        return "a message was shown twice";
    case HISTORY_M_INVENTED:
        return "a message appeared that nobody had sent";
    case HISTORY_M_STRAY:
        return "a message reached somebody it was not for";
    case HISTORY_M_GHOST:
        return "a message appeared that was said not to be stored";
    case HISTORY_M_RISEN:
        return "a deleted message was shown";
    case HISTORY_KINDS:
        break;
    }
    CHECK(k < HISTORY_KINDS);
    return "";
}

static void add_fault(struct history_result *r, enum history_kind kind)
{
    if (r->faults++ == 0)
        r->kind = kind;
    r->verdict = HISTORY_BAD;
}

struct numbered {
    uint32_t key;
    size_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void check_registers(const struct history *h, FILE *out, struct history_result *r)
{
    struct numbered *all = history_must(calloc(h->calls_n + 1, sizeof *all));
    size_t *calls = history_must(calloc(h->calls_n + 1, sizeof *calls));
    for (size_t i = 0; i < h->calls_n; i++) {
        const struct reg_call *c = &h->calls[i];
        all[i] = (struct numbered){.key = c->key, .at = i};
        r->ops++;
        r->unknown += c->end == NOT_ENDED || c->end == HISTORY_UNKNOWN;
    }
    qsort(all, h->calls_n, sizeof *all, by_key);
    for (size_t i = 0, n; i < h->calls_n; i += n) {
        enum history_kind kind = HISTORY_NOTHING;
        for (n = 0; i + n < h->calls_n && all[i + n].key == all[i].key; n++)
            calls[n] = all[i + n].at;
        r->keys++;
        switch (order_check(h, calls, n, r->faults < HISTORY_FAULTS_MAX ? out : NULL, &kind)) {
        case HISTORY_GOOD:
            break;
        case HISTORY_BAD:
            add_fault(r, kind);
            break;
        case HISTORY_UNDECIDED:
            if (r->verdict == HISTORY_GOOD)
                r->verdict = HISTORY_UNDECIDED;
            break;
        }
    }
    free(calls);
    free(all);
}

static int by_message(const void *a, const void *b)
{
    const struct said *x = a, *y = b;
    if (x->message != y->message)
        return x->message < y->message ? -1 : 1;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void check_messages(const struct history *h, FILE *out, struct history_result *r)
{
    struct said *all = history_must(calloc(h->said_n + 1, sizeof *all));
    if (h->said_n > 0)
        memcpy(all, h->said, h->said_n * sizeof *all);
    qsort(all, h->said_n, sizeof *all, by_message);
    for (size_t i = 0, n; i < h->said_n; i += n) {
        for (n = 1; i + n < h->said_n && all[i + n].message == all[i].message; n++)
            ;
        enum history_kind kind =
            message_check(h, &all[i], n, r->faults < HISTORY_FAULTS_MAX ? out : NULL, r);
        if (kind != HISTORY_NOTHING)
            add_fault(r, kind);
    }
    free(all);
}

struct history_result history_check(const struct history *h, FILE *out)
{
    struct history_result r = {.verdict = HISTORY_GOOD, .kind = HISTORY_NOTHING};
    check_registers(h, out, &r);
    check_messages(h, out, &r);
    return r;
}
