#include "talk.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"

json_t *history(struct world_client *wc, const char *name)
{
    return json_object_get(world_ok(wc, json_pack("{s:s,s:s}", "cmd", "history", "name", name)),
                           "messages");
}

const char *talk(struct world_client *wc, const char *name)
{
    static char line[4096];
    size_t i;
    json_t *m;
    line[0] = '\0';
    json_array_foreach(history(wc, name), i, m)
    {
        size_t n = strlen(line);
        bool deleted = json_object_get(m, "deleted_at") != NULL;
        snprintf(line + n, sizeof line - n, "%s%s%s", n != 0 ? " " : "",
                 deleted ? "-" : json_string_value(json_object_get(m, "text")),
                 json_object_get(m, "edited_at") != NULL ? "*" : "");
    }
    return line;
}

struct sight {
    struct world_client *wc;
    const char *name, *line;
};

static bool looks(void *user)
{
    struct sight *s = user;
    return strcmp(talk(s->wc, s->name), s->line) == 0;
}

void until(struct world_client *wc, const char *name, const char *line)
{
    struct sight s = {.wc = wc, .name = name, .line = line};
    fake_until(wc->w->loop, looks, &s, line);
}

void send_text(struct world_client *wc, const char *to, const char *text, char id[static ID_TEXT])
{
    snprintf(id, ID_TEXT, "%s", world_send(wc, to, text));
}

json_t *edit(struct world_client *wc, const char *id, const char *text)
{
    return world_ok(
        wc, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "edit", "id", id, "text", text, "wait", 30000));
}

json_t *unsend(struct world_client *wc, const char *id)
{
    return world_ok(wc, json_pack("{s:s,s:s,s:i}", "cmd", "unsend", "id", id, "wait", 30000));
}

const char *code_of_edit(struct world_client *wc, const char *id)
{
    return world_code(wc, json_pack("{s:s,s:s,s:s}", "cmd", "edit", "id", id, "text", "changed"));
}

void forge(struct world_client *wc, const char *to, const struct peal_msg_id *id,
           const struct content *content)
{
    struct client *c = wc->client;
    struct contact *contact;
    int err = contact_get(c, to, &contact);
    if (err == 0)
        err = profile_begin(c->profile);
    if (err == 0)
        err = outbox_content(c, contact, to, id, content, &content->target);
    if (err == 0)
        err = profile_commit(c->profile);
    cr_assert_eq(err, 0, "nothing is forged: %s", err_name(err));
    outbox_pump(c);
}

struct peal_msg_id id_of(const char *hex)
{
    struct peal_msg_id id;
    cr_assert_eq(peal_unhex(hex, sizeof id.b, id.b), 0, "no id: %s", hex);
    return id;
}

void forge_edit(struct world_client *wc, const char *to, const char *target, uint64_t stamp,
                const char *text)
{
    struct peal_msg_id id;
    struct content content = {.kind = text != NULL ? CONTENT_EDIT : CONTENT_DELETE,
                              .stamp = stamp,
                              .target = id_of(target),
                              .text = peal_bytes_str(text != NULL ? text : "")};
    client_msg_id(client_stamp(wc->client), &id);
    forge(wc, to, &id, &content);
}

int64_t number_of(struct world_client *wc, const char *sql)
{
    sqlite3_stmt *st = NULL;
    cr_assert_eq(sqlite3_prepare_v2(wc->profile->db, sql, -1, &st, NULL), SQLITE_OK, "%s", sql);
    cr_assert_eq(sqlite3_step(st), SQLITE_ROW, "no row: %s", sql);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

struct pair *meet(void)
{
    struct pair *p = calloc(1, sizeof *p);
    cr_assert_not_null(p, "no memory");
    world_up(&p->w);
    p->a = world_client(&p->w, 0);
    p->b = world_client(&p->w, 1);
    world_register(p->a, "alice");
    world_register(p->b, "bob");
    world_send(p->a, "bob", "hello");
    world_event(p->b, "message", "text", "hello");
    world_send(p->b, "alice", "hi");
    world_event(p->a, "message", "text", "hi");
    return p;
}

void part(struct pair *p)
{
    world_down(&p->w);
    free(p);
}
