/* Looking for a piece of text in the history. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core.h"

/* Without the case of its letters, composed. The caller frees out->p. */
static int fold(struct peal_bytes text, struct peal_bytes *out)
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n =
        utf8proc_map(text.p, (utf8proc_ssize_t)text.n, &folded,
                     (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_CASEFOLD | UTF8PROC_COMPOSE));
    if (n < 0)
        return n == UTF8PROC_ERROR_NOMEM ? PEAL_E_NO_MEMORY : PEAL_E_MALFORMED;
    *out = peal_bytes_of(folded, (size_t)n);
    return 0;
}

struct search {
    struct client *c;
    struct peal_bytes piece; /* folded */
    json_t *found;
    size_t limit, looked, bytes;
    struct peal_msg_id last; /* that was looked at */
    bool more;
    int err;
};

static bool look(void *user, const struct entry *e)
{
    struct search *s = user;
    struct peal_bytes text;
    if (json_array_size(s->found) == s->limit || s->looked == CLIENT_SEARCH_MESSAGES ||
        s->bytes >= CLIENT_SEARCH_BYTES) {
        s->more = true;
        return false;
    }
    s->looked++;
    s->bytes += e->text.n;
    s->last = e->id;
    s->err = fold(e->text, &text);
    if (s->err == PEAL_E_MALFORMED)
        s->err = 0; /* no text: there is nothing in it */
    else if (s->err == 0) {
        if (memmem(text.p, text.n, s->piece.p, s->piece.n) != NULL &&
            json_array_append_new(s->found, entry_json(s->c, e)) != 0)
            s->err = PEAL_E_NO_MEMORY;
        free((void *)text.p);
    }
    return s->err == 0;
}

static void search_over(struct client_call *call, struct search *s)
{
    char hex[2 * MSG_ID_BYTES + 1];
    peal_hex(s->last.b, sizeof s->last.b, hex);
    if (s->err == 0)
        call_reply(call, json_pack("{s:O,s:b,s:s?}", "messages", s->found, "more", (int)s->more,
                                   "before", s->more ? hex : NULL));
    else
        call_fail(call, s->err, "the history cannot be read", err_prose(s->err));
}

void cmd_search(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    struct peal_bytes text;
    struct peal_msg_id id;
    uint64_t stamp;
    uint64_t limit;
    bool has_id;
    json_t *who = json_object_get(call->args, "name");
    bool one = who != NULL && !json_is_null(who);
    if (call_account(call) != 0 || call_text(call, &text) != 0 ||
        (one && call_name(call, "name", name) != 0) ||
        call_number(call, "limit", 50, CLIENT_PAGE_MAX, &limit) != 0 ||
        call_before(call, &stamp, &id, &has_id) != 0)
        return;
    struct search s = {.c = c, .limit = limit > 0 ? (size_t)limit : 1, .found = json_array()};
    s.err = fold(text, &s.piece);
    if (s.err == 0) {
        int err = profile_backwards(c->profile, c->account.name, one ? name : NULL, stamp,
                                    has_id ? &id : NULL, look, &s);
        if (err != 0)
            s.err = err;
    }
    search_over(call, &s);
    json_decref(s.found);
    free((void *)s.piece.p);
}
