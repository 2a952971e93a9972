/* What a profile does with its messages: forgets, counts, drafts, finds, gives out, takes in, lets
 * vanish. */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "talk.h"

static json_int_t forget(struct world_client *wc, const char *key, json_t *value)
{
    return json_integer_value(json_object_get(
        world_ok(wc, json_pack("{s:s,s:o}", "cmd", "forget", key, value)), "count"));
}

/* Gives every row again that ever went to somebody. */
static void deliver_again(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->row_n; i++)
        if (strcmp(w->rows[i].to, name) == 0)
            w->rows[i].acked = false;
    world_deliver(w, name);
}

Test(keeping, what_is_forgotten_stays_so)
{
    struct pair *p = meet();
    char ids[4][ID_TEXT];
    static const char *const texts[] = {"one", "two", "three", "four"};
    for (size_t i = 0; i < 4; i++)
        send_text(p->a, "bob", texts[i], ids[i]);
    world_event(p->b, "message", "text", "four");
    cr_assert_eq(forget(p->b, "ids", json_pack("[s,s,s]", ids[0], ids[2], ids[0] + 20)), 2,
                 "one was forgotten twice");
    json_t *told = world_event(p->b, "forgotten", NULL, NULL);
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(told, "ids"), 1)), ids[2],
                     "another one is told");
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi two four", "%s", talk(p->b, "alice"));
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM message WHERE text='three'"), 0,
                 "the text is still there");
    edit(p->a, ids[0], "one again");
    unsend(p->a, ids[2]);
    deliver_again(&p->w, "bob");
    send_text(p->a, "bob", "five", ids[0]);
    world_event(p->b, "message", "text", "five");
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi two four five", "%s", talk(p->b, "alice"));
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi one again* two - four five", "%s",
                     talk(p->a, "bob"));
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending"), 0, "a change of it is kept");
    cr_assert_str_eq(
        world_code(p->b, json_pack("{s:s,s:[s,s]}", "cmd", "forget", "ids", ids[1], ids[2])),
        "not_found", "something unknown was forgotten");
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi two four five", "half of it was done");
    part(p);
}

Test(keeping, a_conversation_is_forgotten_as_a_whole)
{
    struct pair *p = meet();
    struct world_client *m = world_client(&p->w, 2);
    char id[ID_TEXT];
    world_register(m, "carol");
    send_text(m, "bob", "from carol", id);
    world_event(p->b, "message", "text", "from carol");
    world_ok(p->b, json_pack("{s:s,s:s,s:s}", "cmd", "draft", "name", "alice", "text", "unsaid"));
    cr_assert_eq(forget(p->b, "name", json_string("Alice")), 2, "not two messages");
    deliver_again(&p->w, "bob");
    send_text(p->a, "bob", "new", id);
    world_event(p->b, "message", "text", "new");
    cr_assert_str_eq(talk(p->b, "alice"), "new", "%s", talk(p->b, "alice"));
    cr_assert_str_eq(talk(p->b, "carol"), "from carol", "%s", talk(p->b, "carol"));
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM draft"), 0, "the draft is still there");
    cr_assert_eq(forget(p->b, "name", json_string("nobody")), 0, "something of nobody's");
    part(p);
}

/* What is queued was asked to be sent, and is. */
Test(keeping, what_is_queued_is_sent_though_forgotten)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    world_client_close(p->a);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_kill(&p->w.servers[i]);
    world_client_open(p->a);
    send_text(p->a, "bob", "for you alone", id);
    cr_assert_eq(forget(p->a, "name", json_string("bob")), 3, "not three messages");
    world_client_close(p->a);
    world_client_close(p->b);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_start(&p->w.servers[i], p->w.loop, &p->w.ids[i]);
    world_client_open(p->a);
    world_client_open(p->b);
    world_event(p->b, "message", "text", "for you alone");
    cr_assert_str_eq(talk(p->a, "bob"), "", "%s", talk(p->a, "bob"));
    part(p);
}

Test(keeping, unread_messages_are_counted)
{
    struct pair *p = meet();
    struct world_client *m = world_client(&p->w, 2);
    char id[ID_TEXT];
    world_register(m, "carol");
    send_text(p->a, "bob", "two", id);
    world_event(p->b, "message", "text", "two");
    send_text(m, "bob", "three", id);
    world_event(p->b, "message", "text", "three");
    json_t *r = world_ok(p->b, json_pack("{s:s}", "cmd", "unread"));
    char *text = json_dumps(r, JSON_COMPACT | JSON_SORT_KEYS);
    cr_assert_str_eq(text,
                     "{\"conversations\":[{\"name\":\"carol\",\"unread\":1},"
                     "{\"name\":\"alice\",\"unread\":2}],\"total\":3}",
                     "%s", text);
    free(text);
    world_ok(p->b, json_pack("{s:s,s:s}", "cmd", "read", "name", "alice"));
    unsend(m, id);
    until(p->b, "carol", "-");
    r = world_ok(p->b, json_pack("{s:s}", "cmd", "unread"));
    cr_assert_eq(json_integer_value(json_object_get(r, "total")), 0, "%d are unread",
                 (int)json_integer_value(json_object_get(r, "total")));
    part(p);
}

static const char *draft(struct world_client *wc, const char *name, const char *text)
{
    return json_string_value(json_object_get(
        world_ok(wc, json_pack("{s:s,s:s,s:s?}", "cmd", "draft", "name", name, "text", text)),
        "text"));
}

Test(keeping, a_draft_is_kept)
{
    struct pair *p = meet();
    cr_assert_str_eq(draft(p->a, "bob", NULL), "", "a draft from nowhere");
    cr_assert_str_eq(draft(p->a, "bob", "dear"), "dear", "not kept");
    cr_assert_str_eq(draft(p->a, "bob", "dear bob"), "dear bob", "not replaced");
    world_client_close(p->a);
    world_client_open(p->a);
    cr_assert_str_eq(draft(p->a, "Bob", NULL), "dear bob", "gone after a restart");
    json_t *r = world_ok(p->a, json_pack("{s:s}", "cmd", "conversations"));
    json_t *line = json_array_get(json_object_get(r, "conversations"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(line, "draft")), "dear bob",
                     "not in the list");
    cr_assert_str_eq(draft(p->a, "bob", ""), "", "not removed");
    cr_assert_str_eq(
        world_code(p->a, json_pack("{s:s,s:s,s:i}", "cmd", "draft", "name", "bob", "text", 7)),
        "usage", "a number was kept");
    cr_assert_eq(profile_begin(p->a->profile), 0, "no transaction");
    for (int i = 0; i < CLIENT_DRAFTS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        cr_assert_eq(profile_draft_set(p->a->profile, "alice", name, peal_bytes_str("x"), 1), 0,
                     "not kept");
    }
    cr_assert_eq(profile_commit(p->a->profile), 0, "not committed");
    cr_assert_str_eq(
        world_code(p->a, json_pack("{s:s,s:s,s:s}", "cmd", "draft", "name", "bob", "text", "x")),
        "quota", "one too many was kept");
    cr_assert_str_eq(draft(p->a, "n7", "y"), "y", "one that is there cannot be changed");
    part(p);
}

/* ---- search, export, import ---------------------------------------------------------- */

/* What is found, newest first, with '|' between them. */
static const char *find(struct world_client *wc, const char *text, const char *name,
                        json_int_t limit)
{
    static char line[1024];
    size_t i;
    json_t *m;
    json_t *r = world_ok(wc, json_pack("{s:s,s:s,s:s?,s:I}", "cmd", "search", "text", text, "name",
                                       name, "limit", limit));
    line[0] = '\0';
    json_array_foreach(json_object_get(r, "messages"), i, m)
    {
        size_t n = strlen(line);
        snprintf(line + n, sizeof line - n, "%s%s", n != 0 ? "|" : "",
                 json_string_value(json_object_get(m, "text")));
    }
    return line;
}

Test(keeping, search_finds_pieces_whatever_their_case)
{
    struct pair *p = meet();
    struct world_client *m = world_client(&p->w, 2);
    char id[ID_TEXT];
    world_register(m, "carol");
    send_text(p->a, "bob", "The STRASSE is long", id);
    send_text(p->a, "carol",
              "stra\xc3\x9f"
              "e 7",
              id);
    send_text(p->a, "bob", "CAF\xc3\x89", id);
    cr_assert_str_eq(find(p->a,
                          "stra\xc3\x9f"
                          "e",
                          NULL, 9),
                     "stra\xc3\x9f"
                     "e 7|The STRASSE is long",
                     "%s", find(p->a, "strasse", NULL, 9));
    cr_assert_str_eq(find(p->a, "Strasse", "bob", 9), "The STRASSE is long", "not of one alone");
    cr_assert_str_eq(find(p->a, "cafe\xcc\x81", NULL, 9), "CAF\xc3\x89", "not when decomposed");
    cr_assert_str_eq(find(p->a, "cafe", NULL, 9), "", "a letter without its accent");
    cr_assert_str_eq(find(p->a, "%", NULL, 9), "", "a pattern");
    cr_assert_str_eq(find(p->a, "HELLO", NULL, 0), "hello", "a limit of 0 finds nothing");
    edit(p->a, id, "tea");
    cr_assert_str_eq(find(p->a, "caf", NULL, 9), "", "what was there before an edit");
    cr_assert_str_eq(find(p->a, "TEA", NULL, 9), "tea", "an edit is not found");
    unsend(p->a, id);
    cr_assert_str_eq(find(p->a, "tea", NULL, 9), "", "what is deleted is found");
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s}", "cmd", "search", "text", "")), "usage",
                     "nothing was looked for");
    part(p);
}

/* Each page goes on where the one before it ended, and ends by itself however much there is. */
Test(keeping, search_is_bounded_and_goes_on)
{
    enum { MANY = 50, BIG = 60000 };
    struct pair *p = meet();
    struct client *c = p->a->client;
    char *big = malloc(BIG + 1);
    int found = 0;
    int calls = 0;
    cr_assert_not_null(big, "no memory");
    cr_assert_eq(profile_begin(c->profile), 0, "no transaction");
    for (int i = 0; i < 200; i++) {
        struct entry e = {.peer = "bob", .state = MSG_READ, .stamp = 1000 + (uint64_t)i};
        memset(big, 'x', BIG);
        memcpy(big, i % 4 == 0 ? "needle" : "straws", 6);
        e.text = peal_bytes_of((uint8_t *)big, BIG);
        client_msg_id(e.stamp, &e.id);
        cr_assert_eq(profile_message_add(c->profile, "alice", &e), 0, "not added");
    }
    cr_assert_eq(profile_commit(c->profile), 0, "not committed");
    free(big);
    json_t *before = json_null();
    bool more = true;
    while (more && calls < 200) {
        json_t *r = world_ok(p->a, json_pack("{s:s,s:s,s:i,s:O}", "cmd", "search", "text", "NEEDLE",
                                             "limit", 30, "before", before));
        size_t n = json_array_size(json_object_get(r, "messages"));
        cr_assert_leq(n, 30, "%zu at once", n);
        found += (int)n;
        calls++;
        more = json_is_true(json_object_get(r, "more"));
        json_decref(before);
        before = json_incref(json_object_get(r, "before"));
    }
    json_decref(before);
    cr_assert_eq(found, MANY, "%d found", found);
    cr_assert_geq(calls, 200 * BIG / CLIENT_SEARCH_BYTES + 1, "in %d calls", calls);
    part(p);
}

/* The conversation as export's pages give it. */
static json_t *export(struct world_client *wc, const char *name, int limit)
{
    json_t *all = json_array();
    json_t *after = json_null();
    bool more = true;
    while (more) {
        json_t *r = world_ok(wc, json_pack("{s:s,s:s,s:i,s:O}", "cmd", "export", "name", name,
                                           "limit", limit, "after", after));
        json_t *page = json_object_get(r, "messages");
        cr_assert_eq(json_array_extend(all, page), 0, "no memory");
        more = json_is_true(json_object_get(r, "more"));
        json_decref(after);
        after = json_incref(json_object_get(json_array_get(page, json_array_size(page) - 1), "id"));
    }
    json_decref(after);
    return all;
}

static json_int_t import(struct world_client *wc, const char *name, json_t *messages)
{
    return json_integer_value(
        json_object_get(world_ok(wc, json_pack("{s:s,s:s,s:O}", "cmd", "import", "name", name,
                                               "messages", messages)),
                        "added"));
}

Test(keeping, what_is_exported_can_be_imported)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    char answer[ID_TEXT];
    send_text(p->a, "bob", "x", id);
    world_event(p->b, "message", "text", "x");
    world_ok(p->b, json_pack("{s:s,s:s,s:s,s:s}", "cmd", "send", "to", "alice", "text", "y",
                             "reply_to", id));
    edit(p->a, id, "z");
    send_text(p->a, "bob", "w", answer);
    unsend(p->a, answer);
    until(p->b, "alice", "hello hi z* y -");
    world_event(p->a, "message", "text", "y");
    json_t *out = export(p->a, "bob", 2);
    cr_assert_eq(json_array_size(out), 5, "%zu messages", json_array_size(out));
    cr_assert_eq(import(p->a, "bob", out), 0, "what is there was added");
    forget(p->a, "name", json_string("bob"));
    cr_assert_eq(import(p->a, "bob", out), 5, "not all were added");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi z* y -", "%s", talk(p->a, "bob"));
    json_t *back = export(p->a, "bob", 500);
    size_t i;
    json_t *m;
    json_array_foreach(back, i, m)
    {
        cr_assert(json_is_true(json_object_get(m, "imported")), "%zu is not marked", i);
        json_object_del(m, "imported");
        json_object_del(m, "state");
        json_object_del(json_array_get(out, i), "state");
        cr_assert(json_equal(m, json_array_get(out, i)), "message %zu is another", i);
    }
    json_t *r = world_ok(p->a, json_pack("{s:s}", "cmd", "unread"));
    cr_assert_eq(json_integer_value(json_object_get(r, "total")), 0, "they are unread");
    edit(p->a, id, "edited after all");
    until(p->b, "alice", "hello hi edited after all* y -");
    json_decref(back);
    json_decref(out);
    part(p);
}

Test(keeping, what_is_no_export_is_not_imported)
{
    static const struct {
        const char *why, *key, *value;
    } cases[] = {
        {"no text", "text", "null"},
        {"an empty text", "text", "\"\""},
        {"no id", "id", "\"12\""},
        {"of somebody else", "from", "\"carol\""},
        {"of no time", "sent_at", "\"now\""},
        {"from the far future", "stamp", "\"7fffffffffffffff\""},
        {"a stamp beyond 63 bits", "stamp", "\"ffffffffffffffff\""},
        {"a short stamp", "stamp", "\"12\""},
        {"no time of an edit", "edited_at", "-1"},
        {"deleted, and still there", "deleted_at", "1700000000000"},
        {"no id that it answers", "reply_to", "7"},
    };
    struct pair *p = meet();
    json_t *good =
        json_loads("{\"id\":\"00112233445566778899aabbccddeeff\",\"from\":\"bob\",\"to\":"
                   "\"alice\",\"text\":\"from the file\",\"sent_at\":1700000000000,"
                   "\"state\":\"delivered\"}",
                   0, NULL);
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        json_t *other = json_deep_copy(good);
        json_t *fine = json_deep_copy(good);
        json_object_set_new(other, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        json_object_set_new(fine, "id", json_string("ff112233445566778899aabbccddeeff"));
        json_t *r = world_do(p->a, json_pack("{s:s,s:s,s:[o,o]}", "cmd", "import", "name", "bob",
                                             "messages", fine, other));
        cr_assert_eq(client_error_of(r), PEAL_E_MALFORMED, "%s", cases[i].why);
        cr_assert_str_eq(talk(p->a, "bob"), "hello hi", "half of it was done: %s", cases[i].why);
    }
    json_t *list = json_pack("[O,s]", good, "text");
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s,s:o}", "cmd", "import", "name", "bob",
                                                "messages", list)),
                     "malformed", "a text was taken");
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s,s:O}", "cmd", "import", "name", "bob",
                                                "messages", good)),
                     "usage", "no list was taken");
    list = json_pack("[o]", good);
    cr_assert_eq(import(p->a, "bob", list), 1, "a message without a stamp was not taken");
    cr_assert_str_eq(talk(p->a, "bob"), "from the file hello hi", "%s", talk(p->a, "bob"));
    uint64_t now = client_stamp(p->a->client);
    cr_assert_leq(clk_ms(now), net_wall_ms() + 1000, "the clock was drawn along");
    json_decref(list);
    part(p);
}

/* ---- messages that vanish ------------------------------------------------------------ */

static json_int_t vanish_of(struct world_client *wc, const char *name)
{
    return json_integer_value(json_object_get(
        world_ok(wc, json_pack("{s:s,s:s}", "cmd", "vanish", "name", name)), "seconds"));
}

static void set_vanish(struct world_client *wc, const char *name, int seconds)
{
    world_ok(wc, json_pack("{s:s,s:s,s:i,s:i}", "cmd", "vanish", "name", name, "seconds", seconds,
                           "wait", 30000));
}

struct agreement {
    struct world_client *wc;
    const char *name;
    json_int_t seconds;
};

static bool is_agreed(void *user)
{
    struct agreement *a = user;
    return vanish_of(a->wc, a->name) == a->seconds;
}

static void until_agreed(struct world_client *wc, const char *name, json_int_t seconds)
{
    struct agreement a = {.wc = wc, .name = name, .seconds = seconds};
    fake_until(wc->w->loop, is_agreed, &a, "what is agreed");
}

Test(keeping, both_agree_when_messages_vanish)
{
    struct pair *p = meet();
    cr_assert_eq(vanish_of(p->a, "bob"), 0, "they vanish from the start");
    set_vanish(p->a, "bob", 3600);
    json_t *told = world_event(p->b, "vanish", "by", "alice");
    cr_assert_eq(json_integer_value(json_object_get(told, "seconds")), 3600, "another time");
    until_agreed(p->b, "alice", 3600);
    set_vanish(p->b, "alice", 60);
    until_agreed(p->a, "bob", 60);
    /* what is older comes later, and a stamp from the far future counts as one of today */
    struct content old = {.kind = CONTENT_VANISH, .stamp = 5, .vanish = 7};
    struct content far = {.kind = CONTENT_VANISH, .stamp = INT64_MAX, .vanish = 9};
    struct peal_msg_id id;
    client_msg_id(client_stamp(p->a->client), &id);
    forge(p->a, "bob", &id, &old);
    client_msg_id(client_stamp(p->a->client), &id);
    forge(p->a, "bob", &id, &far);
    until_agreed(p->b, "alice", 9);
    set_vanish(p->b, "alice", 0);
    until_agreed(p->b, "alice", 0);
    until_agreed(p->a, "bob", 0);
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s,s:i}", "cmd", "vanish", "name", "bob",
                                                "seconds", CLIENT_VANISH_MAX_S + 1)),
                     "usage", "for longer than a year");
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s,s:i}", "cmd", "vanish", "name", "alice",
                                                "seconds", 1)),
                     "refused", "with oneself");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi", "it has a line: %s", talk(p->a, "bob"));
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi", "it has a line: %s", talk(p->b, "alice"));
    part(p);
}

/* One second after it was read there, on each side; what is not read stays, and so does what was
 * written before. */
Test(keeping, what_is_read_vanishes)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    char unread[ID_TEXT];
    set_vanish(p->a, "bob", 1);
    send_text(p->a, "bob", "burn this", id);
    until(p->a, "bob", "hello hi");
    world_event(p->b, "message", "text", "burn this");
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi burn this", "gone before it was read");
    world_ok(p->b, json_pack("{s:s,s:[s]}", "cmd", "read", "ids", id));
    world_event(p->a, "state", "state", "delivered");
    until(p->b, "alice", "hello hi");
    json_t *told = world_event(p->b, "forgotten", NULL, NULL);
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(told, "ids"), 0)), id,
                     "another one is told");
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM message WHERE text LIKE '%burn%'"), 0,
                 "the text is still there");
    send_text(p->a, "bob", "and this", unread);
    world_event(p->b, "message", "text", "and this");
    deliver_again(&p->w, "bob");
    json_t *out = export(p->b, "alice", 9);
    cr_assert_eq(json_array_size(out), 2, "it is exported");
    json_decref(out);
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi and this", "%s", talk(p->b, "alice"));
    /* what becomes due while nobody runs is gone before anybody can look */
    world_ok(p->b, json_pack("{s:s,s:[s]}", "cmd", "read", "ids", unread));
    world_client_close(p->b);
    char why[CLIENT_WHY_MAX];
    cr_assert_eq(profile_open(p->b->dir, &p->b->profile, why), 0, "%s", why);
    cr_assert_eq(sqlite3_exec(p->b->profile->db, "UPDATE message SET vanishes=1 WHERE vanishes>0",
                              NULL, NULL, NULL),
                 SQLITE_OK, "not changed");
    profile_close(p->b->profile);
    world_client_open(p->b);
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi", "%s", talk(p->b, "alice"));
    part(p);
}
