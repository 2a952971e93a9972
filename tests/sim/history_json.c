/* Histories in files: a JSON object per line. */
#include "history_inner.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const op_names[] = {"read", "write", "cas", "append"};
static const char *const end_names[] = {"ok", "refused", "fail", "unknown"};
static const char *const event_names[] = {"sent",      "stored", "fail",   "unknown",
                                          "delivered", "shown",  "deleted"};

static int index_of(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

/* ---- reading ---- */

struct line {
    char *text;
    size_t number;
    json_t *json;
    size_t read; /* fields that were asked for */
    char *why;
};

PEAL_PRINTF(2, 3) static int bad(struct line *l, const char *format, ...)
{
    va_list args;
    int n = snprintf(l->why, HISTORY_WHY_MAX, "line %zu: ", l->number);
    CHECK(n > 0 && n < HISTORY_WHY_MAX);
    va_start(args, format);
    (void)vsnprintf(l->why + n, HISTORY_WHY_MAX - (size_t)n, format, args);
    va_end(args);
    return PEAL_E_MALFORMED;
}

/* A text field; NULL: missing, or null (then *is_null). */
static int text_field(struct line *l, const char *name, const char **out, bool *is_null)
{
    const json_t *v = json_object_get(l->json, name);
    *out = NULL;
    if (is_null != NULL)
        *is_null = v != NULL && json_is_null(v);
    if (v == NULL)
        return 0;
    l->read++;
    if (json_is_null(v) && is_null != NULL)
        return 0;
    if (!json_is_string(v))
        return bad(l, "\"%s\" is no text", name);
    if (json_string_length(v) > HISTORY_TEXT_MAX)
        return bad(l, "\"%s\" is longer than %d bytes", name, HISTORY_TEXT_MAX);
    *out = json_string_value(v);
    return 0;
}

static int needed_field(struct line *l, const char *name, const char **out)
{
    int err = text_field(l, name, out, NULL);
    if (err == 0 && (*out == NULL || **out == '\0'))
        return bad(l, "\"%s\" is missing", name);
    return err;
}

static struct peal_bytes bytes_of(const char *s)
{
    return s == NULL ? (struct peal_bytes){0} : peal_bytes_str(s);
}

/* Operations by their ids; events may come in any order, so ends wait for the file's end. */
struct pending {
    uint32_t id;
    bool ends;
    enum history_op op;
    enum history_end end;
    uint64_t at_us;
    uint32_t by, key, from, value;
    bool told;
    size_t line;
};

struct loading {
    struct history *h;
    struct pending *at;
    size_t n, cap;
};

static struct pending *pending_add(struct loading *g)
{
    if (g->n == g->cap) {
        g->cap = g->cap == 0 ? 256 : 2 * g->cap;
        g->at = history_must(realloc(g->at, g->cap * sizeof *g->at));
    }
    return &g->at[g->n++];
}

static int take_invoke(struct loading *g, struct line *l, uint64_t at_us, const char *id)
{
    const char *op = NULL, *key = NULL, *from = NULL, *value = NULL, *by = NULL;
    bool from_null, value_null;
    int err = needed_field(l, "op", &op);
    if (err == 0)
        err = needed_field(l, "key", &key);
    if (err == 0)
        err = text_field(l, "from", &from, &from_null);
    if (err == 0)
        err = text_field(l, "value", &value, &value_null);
    if (err == 0)
        err = text_field(l, "by", &by, NULL);
    if (err < 0)
        return err;
    int kind = index_of(op_names, PEAL_COUNT(op_names), op);
    if (kind < 0)
        return bad(l, "no operation is called \"%.40s\"", op);
    if ((kind == HISTORY_CAS) != (from != NULL || from_null))
        return bad(l, "a cas has \"from\", no other operation has");
    if ((kind == HISTORY_READ) == (value != NULL || value_null))
        return bad(l, "a read has no \"value\", each other operation has one");
    if (kind == HISTORY_APPEND && bytes_of(value).n == 0)
        return bad(l, "nothing is appended");
    struct texts *t = g->h->texts;
    *pending_add(g) = (struct pending){.id = text_number(t, peal_bytes_str(id)),
                                       .op = (enum history_op)kind,
                                       .at_us = at_us,
                                       .by = text_number(t, bytes_of(by)),
                                       .key = text_number(t, bytes_of(key)),
                                       .from = text_number(t, bytes_of(from)),
                                       .value = text_number(t, bytes_of(value)),
                                       .line = l->number};
    return 0;
}

static int take_register(struct loading *g, struct line *l, uint64_t at_us, const char *event)
{
    const char *id = NULL, *value = NULL;
    bool value_null = false;
    int err = needed_field(l, "id", &id);
    if (err < 0)
        return err;
    if (strcmp(event, "invoke") == 0)
        return take_invoke(g, l, at_us, id);
    int end = index_of(end_names, PEAL_COUNT(end_names), event);
    if (end < 0)
        return bad(l, "no event of a register is called \"%.40s\"", event);
    err = text_field(l, "value", &value, &value_null);
    if (err < 0)
        return err;
    *pending_add(g) = (struct pending){.id = text_number(g->h->texts, peal_bytes_str(id)),
                                       .ends = true,
                                       .end = (enum history_end)end,
                                       .at_us = at_us,
                                       .value = text_number(g->h->texts, bytes_of(value)),
                                       .told = value != NULL || value_null,
                                       .line = l->number};
    return 0;
}

static int take_message(struct loading *g, struct line *l, uint64_t at_us, const char *event)
{
    const char *message = NULL, *who = NULL, *reader = NULL;
    int e = index_of(event_names, PEAL_COUNT(event_names), event);
    if (e < 0)
        return bad(l, "no event of a message is called \"%.40s\"", event);
    int err = needed_field(l, "message", &message);
    if (err == 0 && e == HISTORY_SENT)
        err = needed_field(l, "from", &who);
    if (err == 0 && (e == HISTORY_SENT || e == HISTORY_DELIVERED || e == HISTORY_SHOWN))
        err = needed_field(l, "to", &reader);
    if (err < 0)
        return err;
    if (g->h->said_n == HISTORY_EVENTS_MAX)
        return bad(l, "more than %d events", HISTORY_EVENTS_MAX);
    history_message(g->h, at_us, (enum history_event)e, peal_bytes_str(message), who, reader);
    return 0;
}

static int take_line(struct loading *g, struct line *l)
{
    const char *event = NULL;
    json_error_t why;
    l->json = json_loads(l->text, JSON_REJECT_DUPLICATES, &why);
    l->read = 0;
    if (!json_is_object(l->json))
        return bad(l, "no JSON object: %s", l->json == NULL ? why.text : "another value");
    const json_t *at = json_object_get(l->json, "at_us");
    if (!json_is_integer(at) || json_integer_value(at) < 0)
        return bad(l, "\"at_us\" is no number of microseconds");
    l->read++;
    uint64_t at_us = (uint64_t)json_integer_value(at);
    int err = needed_field(l, "event", &event);
    if (err < 0)
        return err;
    err = json_object_get(l->json, "message") != NULL ? take_message(g, l, at_us, event)
                                                      : take_register(g, l, at_us, event);
    if (err == 0 && l->read != json_object_size(l->json))
        return bad(l, "a field that this event has not");
    return err;
}

static int by_id(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    if (x->ends != y->ends)
        return x->ends ? 1 : -1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Begins and ends each operation. */
static int settle(struct loading *g, struct line *l)
{
    qsort(g->at, g->n, sizeof *g->at, by_id);
    for (size_t i = 0; i < g->n; i++) {
        const struct pending *p = &g->at[i];
        const struct pending *end = i + 1 < g->n && g->at[i + 1].id == p->id ? &g->at[i + 1] : NULL;
        l->number = end != NULL ? end->line : p->line;
        if (p->ends)
            return bad(l, "an end of what has not begun, or has ended");
        if (end != NULL && !end->ends)
            return bad(l, "an operation has an id that another one has");
        if (end != NULL && end->at_us < p->at_us)
            return bad(l, "an operation ended before it began");
        if (g->h->calls_n == HISTORY_OPS_MAX)
            return bad(l, "more than %d operations", HISTORY_OPS_MAX);
        const struct texts *t = g->h->texts;
        size_t op = history_invoke(g->h, p->at_us, (const char *)text_bytes(t, p->by).p,
                                   text_bytes(t, p->key), p->op, text_bytes(t, p->from),
                                   text_bytes(t, p->value));
        if (end == NULL)
            continue;
        struct peal_bytes value = text_bytes(t, end->value);
        history_finish(g->h, op, end->at_us, end->end, end->told ? &value : NULL);
        i++;
    }
    return 0;
}

int history_load(struct history *h, FILE *in, char why[static HISTORY_WHY_MAX])
{
    struct loading g = {.h = h};
    struct line l = {.text = history_must(malloc(HISTORY_LINE_MAX + 2)), .why = why};
    int err = 0;
    why[0] = '\0';
    while (err == 0 && fgets(l.text, HISTORY_LINE_MAX + 2, in) != NULL) {
        size_t n = strlen(l.text);
        l.number++;
        if (n > HISTORY_LINE_MAX && l.text[n - 1] != '\n')
            err = bad(&l, "longer than %d bytes", HISTORY_LINE_MAX);
        else if (n == 0 || (l.text[n - 1] != '\n' && !feof(in)))
            err = bad(&l, "it holds a zero byte");
        else
            err = take_line(&g, &l);
        json_decref(l.json);
        l.json = NULL;
    }
    if (err == 0 && ferror(in)) {
        (void)bad(&l, "cannot be read");
        err = PEAL_E_IO;
    }
    if (err == 0)
        err = settle(&g, &l);
    free(g.at);
    free(l.text);
    return err;
}

/* ---- writing ---- */

struct moment {
    uint64_t at_us;
    size_t seq;
    json_t *json;
};

static int by_moment(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void put(json_t *o, const char *name, json_t *value)
{
    int err = json_object_set_new(o, name, value);
    CHECK(err == 0);
}

static json_t *json_text(const struct texts *t, uint32_t number)
{
    struct peal_bytes b = text_bytes(t, number);
    if (b.n == 0)
        return json_null();
    json_t *v = json_stringn((const char *)b.p, b.n);
    CHECK(v != NULL); /* histories are of UTF-8 */
    return v;
}

static json_t *moment_at(struct moment *m, uint64_t at_us, size_t seq)
{
    *m = (struct moment){.at_us = at_us, .seq = seq, .json = history_must(json_object())};
    put(m->json, "at_us", json_integer((json_int_t)at_us));
    return m->json;
}

static size_t call_moments(const struct history *h, size_t i, struct moment *m)
{
    const struct reg_call *c = &h->calls[i];
    const struct texts *t = h->texts;
    char id[24];
    snprintf(id, sizeof id, "%zu", i);
    json_t *o = moment_at(m, c->began_us, 2 * i);
    put(o, "id", json_string(id));
    put(o, "event", json_string("invoke"));
    put(o, "key", json_text(t, c->key));
    put(o, "op", json_string(op_names[c->op]));
    if (c->op == HISTORY_CAS)
        put(o, "from", json_text(t, c->from));
    if (c->op != HISTORY_READ)
        put(o, "value", json_text(t, c->value));
    if (c->by != 0)
        put(o, "by", json_text(t, c->by));
    if (c->end == NOT_ENDED)
        return 1;
    o = moment_at(m + 1, c->ended_us, 2 * i + 1);
    put(o, "id", json_string(id));
    put(o, "event", json_string(end_names[c->end]));
    if (c->told != NO_TEXT)
        put(o, "value", json_text(t, c->told));
    return 2;
}

static void said_moment(const struct history *h, size_t i, struct moment *m)
{
    const struct said *e = &h->said[i];
    json_t *o = moment_at(m, e->at_us, 2 * h->calls_n + i);
    put(o, "event", json_string(event_names[e->event]));
    put(o, "message", json_text(h->texts, e->message));
    if (e->event == HISTORY_SENT)
        put(o, "from", json_text(h->texts, e->who));
    if (e->event == HISTORY_SENT || e->event == HISTORY_DELIVERED || e->event == HISTORY_SHOWN)
        put(o, "to", json_text(h->texts, e->reader));
}

void history_save(const struct history *h, FILE *out)
{
    struct moment *all = history_must(calloc(2 * h->calls_n + h->said_n + 1, sizeof *all));
    size_t n = 0;
    for (size_t i = 0; i < h->calls_n; i++)
        n += call_moments(h, i, &all[n]);
    for (size_t i = 0; i < h->said_n; i++)
        said_moment(h, i, &all[n++]);
    qsort(all, n, sizeof *all, by_moment);
    for (size_t i = 0; i < n; i++) {
        char *text = history_must(json_dumps(all[i].json, JSON_COMPACT));
        fprintf(out, "%s\n", text);
        free(text);
        json_decref(all[i].json);
    }
    free(all);
}
