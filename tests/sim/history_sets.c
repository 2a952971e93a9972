/* One message's verdict. */
#include "history_inner.h"

#include <stdlib.h>

struct reader {
    uint32_t name;
    size_t delivered, shown;
};

struct fate { /* of a message, as it goes on */
    struct reader *readers;
    size_t readers_n;
    bool stored, refused;
    uint64_t deleted_us; /* UINT64_MAX: not */
};

static struct reader *reader_of(struct fate *f, uint32_t name)
{
    for (size_t i = 0; i < f->readers_n; i++)
        if (f->readers[i].name == name)
            return &f->readers[i];
    return NULL;
}

static enum history_kind appear(struct fate *f, const struct said *e, struct history_result *r)
{
    struct reader *to = reader_of(f, e->reader);
    if (f->readers_n == 0)
        return HISTORY_M_INVENTED;
    if (to == NULL)
        return HISTORY_M_STRAY;
    if (f->refused && !f->stored)
        return HISTORY_M_GHOST;
    if (e->event == HISTORY_DELIVERED) {
        r->duplicates += to->delivered++ > 0;
        return HISTORY_NOTHING;
    }
    r->shown++;
    if (e->at_us > f->deleted_us)
        return HISTORY_M_RISEN;
    return to->shown++ > 0 ? HISTORY_M_TWICE : HISTORY_NOTHING;
}

static enum history_kind happen(struct fate *f, const struct said *e, struct history_result *r)
{
    switch (e->event) {
    case HISTORY_SENT:
        f->refused = false;
        if (reader_of(f, e->reader) == NULL) {
            f->readers = history_must(realloc(f->readers, (f->readers_n + 1) * sizeof *f->readers));
            f->readers[f->readers_n++] = (struct reader){.name = e->reader};
        }
        break;
    case HISTORY_STORED:
        if (f->readers_n == 0)
            return HISTORY_M_INVENTED;
        r->stored += !f->stored;
        f->stored = true;
        break;
    case HISTORY_NOT_STORED:
        f->refused = true;
        break;
    case HISTORY_NO_ANSWER:
        break;
    case HISTORY_DELETED:
        if (e->at_us < f->deleted_us)
            f->deleted_us = e->at_us;
        break;
    case HISTORY_DELIVERED:
    case HISTORY_SHOWN:
        return appear(f, e, r);
    }
    return HISTORY_NOTHING;
}

static enum history_kind at_the_end(const struct fate *f)
{
    for (size_t i = 0; f->stored && f->deleted_us == UINT64_MAX && i < f->readers_n; i++)
        if (f->readers[i].shown == 0)
            return HISTORY_M_LOST;
    return HISTORY_NOTHING;
}

static void show(const struct history *h, FILE *out, const struct said *said, size_t n,
                 enum history_kind kind)
{
    static const char *const events[] = {"sent",      "stored", "fail",   "unknown",
                                         "delivered", "shown",  "deleted"};
    fprintf(out, "message %s: %s:\n", (const char *)text_bytes(h->texts, said->message).p,
            history_kind_text(kind));
    for (size_t i = 0; i < n && i < HISTORY_SHOWN_MAX; i++) {
        const struct said *e = &said[i];
        fprintf(out, "  %12llu  %s", (unsigned long long)e->at_us, events[e->event]);
        if (e->event == HISTORY_SENT)
            fprintf(out, " by %s", (const char *)text_bytes(h->texts, e->who).p);
        if (e->event == HISTORY_SENT || e->event == HISTORY_DELIVERED || e->event == HISTORY_SHOWN)
            fprintf(out, " to %s", (const char *)text_bytes(h->texts, e->reader).p);
        fputc('\n', out);
    }
    if (n > HISTORY_SHOWN_MAX)
        fprintf(out, "  (%zu more)\n", n - HISTORY_SHOWN_MAX);
}

enum history_kind message_check(const struct history *h, const struct said *said, size_t n,
                                FILE *out, struct history_result *r)
{
    struct fate f = {.deleted_us = UINT64_MAX};
    enum history_kind kind = HISTORY_NOTHING;
    r->messages++;
    for (size_t i = 0; i < n; i++) {
        enum history_kind k = happen(&f, &said[i], r);
        if (kind == HISTORY_NOTHING)
            kind = k;
    }
    if (kind == HISTORY_NOTHING)
        kind = at_the_end(&f);
    free(f.readers);
    if (kind != HISTORY_NOTHING && out != NULL)
        show(h, out, said, n, kind);
    return kind;
}
