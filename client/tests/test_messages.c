/* What is done to messages after they were written: edits, deletions, answers. */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "world.h"

static json_t *history(struct world_client *wc, const char *name)
{
    return json_object_get(world_ok(wc, json_pack("{s:s,s:s}", "cmd", "history", "name", name)),
                           "messages");
}

/* The conversation as one line: texts in their order, '*' behind what was edited, "-" for what was
 * deleted. Valid until the next call. */
static const char *talk(struct world_client *wc, const char *name)
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

/* Waits until the conversation is that. */
static void until(struct world_client *wc, const char *name, const char *line)
{
    struct sight s = {.wc = wc, .name = name, .line = line};
    fake_until(wc->w->loop, looks, &s, line);
}

#define ID_TEXT (2 * MSG_ID_BYTES + 1)

static void send_text(struct world_client *wc, const char *to, const char *text,
                      char id[static ID_TEXT])
{
    snprintf(id, ID_TEXT, "%s", world_send(wc, to, text));
}

static json_t *edit(struct world_client *wc, const char *id, const char *text)
{
    return world_ok(
        wc, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "edit", "id", id, "text", text, "wait", 30000));
}

static json_t *unsend(struct world_client *wc, const char *id)
{
    return world_ok(wc, json_pack("{s:s,s:s,s:i}", "cmd", "unsend", "id", id, "wait", 30000));
}

static const char *code_of_edit(struct world_client *wc, const char *id)
{
    return world_code(wc, json_pack("{s:s,s:s,s:s}", "cmd", "edit", "id", id, "text", "changed"));
}

/* What a client that keeps to no rule sends: this content under this id. */
static void forge(struct world_client *wc, const char *to, const struct peal_msg_id *id,
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

static struct peal_msg_id id_of(const char *hex)
{
    struct peal_msg_id id;
    cr_assert_eq(peal_unhex(hex, sizeof id.b, id.b), 0, "no id: %s", hex);
    return id;
}

static void forge_edit(struct world_client *wc, const char *to, const char *target, uint64_t stamp,
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

static int64_t number_of(struct world_client *wc, const char *sql)
{
    sqlite3_stmt *st = NULL;
    cr_assert_eq(sqlite3_prepare_v2(wc->profile->db, sql, -1, &st, NULL), SQLITE_OK, "%s", sql);
    cr_assert_eq(sqlite3_step(st), SQLITE_ROW, "no row: %s", sql);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

struct pair {
    struct world w;
    struct world_client *a, *b;
};

/* Alice and Bob, who have each other's keys. */
static struct pair *meet(void)
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

static void part(struct pair *p)
{
    world_down(&p->w);
    free(p);
}

Test(messages, an_edit_is_seen_at_both_ends)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    send_text(p->a, "bob", "frist", id);
    world_event(p->b, "message", "text", "frist");
    json_t *answer = edit(p->a, id, "first");
    cr_assert_str_eq(json_string_value(json_object_get(answer, "id")), id, "another message");
    cr_assert_str_eq(json_string_value(json_object_get(answer, "state")), "stored",
                     "the state is %s", json_string_value(json_object_get(answer, "state")));
    json_t *shown = world_event(p->b, "changed", "text", "first");
    cr_assert_str_eq(json_string_value(json_object_get(shown, "id")), id, "another message");
    json_int_t there = json_integer_value(json_object_get(shown, "edited_at"));
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi first*", "%s", talk(p->b, "alice"));
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi first*", "%s", talk(p->a, "bob"));
    shown = world_event(p->a, "changed", "text", "first");
    cr_assert_eq(json_integer_value(json_object_get(shown, "edited_at")), there, "another time");
    edit(p->a, id, "second");
    until(p->b, "alice", "hello hi second*");
    world_event(p->a, "state", "state", "delivered");
    for (size_t i = 0; i < p->w.row_n; i++)
        cr_assert_null(memmem(p->w.rows[i].body, p->w.rows[i].body_n, "second", 6),
                       "the text passed the server");
    part(p);
}

Test(messages, a_deletion_leaves_nothing_of_the_text)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    send_text(p->a, "bob", "regrettable", id);
    world_event(p->b, "message", "text", "regrettable");
    unsend(p->a, id);
    until(p->b, "alice", "hello hi -");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi -", "%s", talk(p->a, "bob"));
    cr_assert_str_eq(code_of_edit(p->a, id), "refused", "a deleted message was edited");
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s}", "cmd", "unsend", "id", id)), "refused",
                     "deleted twice");
    static const char count[] = "SELECT count(*) FROM message WHERE text LIKE '%regret%'";
    cr_assert_eq(number_of(p->a, count) + number_of(p->b, count), 0, "the text is still there");
    json_t *r = world_ok(p->b, json_pack("{s:s}", "cmd", "recv"));
    cr_assert_eq(json_integer_value(json_object_get(r, "count")), 1, "%d unread",
                 (int)json_integer_value(json_object_get(r, "count")));
    part(p);
}

/* Whoever takes a message back before it went anywhere has not sent it. */
Test(messages, what_was_not_sealed_is_never_sent)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    char other[ID_TEXT];
    world_client_close(p->a);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_kill(&p->w.servers[i]);
    world_client_open(p->a);
    send_text(p->a, "bob", "hasty", id);
    send_text(p->a, "bob", "slow", other);
    edit(p->a, id, "hasty indeed");
    json_t *answer = unsend(p->a, id);
    cr_assert_str_eq(json_string_value(json_object_get(answer, "state")), "failed",
                     "the state is %s", json_string_value(json_object_get(answer, "state")));
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi -* slow", "%s", talk(p->a, "bob"));
    cr_assert_eq(number_of(p->a, "SELECT count(*) FROM outbox WHERE kind=1"), 1, "it waits");
    world_client_close(p->a);
    world_client_close(p->b);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_start(&p->w.servers[i], p->w.loop, &p->w.ids[i]);
    world_client_open(p->a);
    world_client_open(p->b);
    until(p->b, "alice", "hello hi slow");
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending"), 0, "a change was sent");
    part(p);
}

/* Edits that are written without a server go out with their message. */
Test(messages, changes_wait_for_a_server_with_their_message)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    char other[ID_TEXT];
    send_text(p->a, "bob", "one", other);
    world_event(p->b, "message", "text", "one");
    world_client_close(p->a);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_kill(&p->w.servers[i]);
    world_client_open(p->a);
    send_text(p->a, "bob", "two", id);
    json_t *answer = edit(p->a, id, "two and a half");
    cr_assert_str_eq(json_string_value(json_object_get(answer, "state")), "queued",
                     "the state is %s", json_string_value(json_object_get(answer, "state")));
    unsend(p->a, other);
    world_client_close(p->a);
    world_client_close(p->b);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_start(&p->w.servers[i], p->w.loop, &p->w.ids[i]);
    world_client_open(p->a);
    world_client_open(p->b);
    until(p->b, "alice", "hello hi - two and a half*");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi - two and a half*", "%s", talk(p->a, "bob"));
    part(p);
}

Test(messages, the_greatest_stamp_wins_in_any_order)
{
    static const uint64_t orders[][3] = {{5, 9, 7}, {9, 7, 5}, {7, 5, 9}};
    struct pair *p = meet();
    char id[ID_TEXT];
    char line[256] = "hello hi";
    for (size_t i = 0; i < PEAL_COUNT(orders); i++) {
        send_text(p->a, "bob", "x", id);
        for (size_t j = 0; j < 3; j++) {
            char text[16];
            snprintf(text, sizeof text, "e%d", (int)orders[i][j]);
            forge_edit(p->a, "bob", id, orders[i][j], text);
        }
        snprintf(line + strlen(line), sizeof line - strlen(line), " e9*");
    }
    until(p->b, "alice", line);
    forge_edit(p->a, "bob", id, 6, NULL);
    forge_edit(p->a, "bob", id, 11, "too late");
    send_text(p->a, "bob", "end", id);
    world_event(p->b, "message", "text", "end");
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi e9* e9* -* end", "%s", talk(p->b, "alice"));
    part(p);
}

/* Kept over a restart, applied once, and only the greatest; a deletion is greater than any edit. */
Test(messages, a_change_may_come_before_its_message)
{
    struct pair *p = meet();
    struct peal_msg_id ids[2];
    char hex[2][ID_TEXT];
    char id[ID_TEXT];
    for (size_t i = 0; i < 2; i++) {
        client_msg_id(client_stamp(p->a->client), &ids[i]);
        peal_hex(ids[i].b, sizeof ids[i].b, hex[i]);
    }
    forge_edit(p->a, "bob", hex[0], 70, "later");
    forge_edit(p->a, "bob", hex[0], 90, "latest");
    forge_edit(p->a, "bob", hex[0], 80, "late");
    forge_edit(p->a, "bob", hex[1], 80, NULL);
    forge_edit(p->a, "bob", hex[1], 90, "not any more");
    send_text(p->a, "bob", "end", id);
    world_event(p->b, "message", "text", "end");
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending"), 2, "%d are kept",
                 (int)number_of(p->b, "SELECT count(*) FROM pending"));
    world_client_close(p->b);
    world_client_open(p->b);
    for (size_t i = 0; i < 2; i++) {
        struct content content = {.kind = CONTENT_TEXT,
                                  .stamp = client_stamp(p->a->client),
                                  .text = peal_bytes_str("early")};
        forge(p->a, "bob", &ids[i], &content);
    }
    until(p->b, "alice", "hello hi end latest* -");
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending"), 0, "they are still kept");
    part(p);
}

/* The server gives the rows again: nothing happens twice. */
Test(messages, changes_that_come_again_change_nothing)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    char other[ID_TEXT];
    send_text(p->a, "bob", "x", id);
    edit(p->a, id, "y");
    edit(p->a, id, "z");
    send_text(p->a, "bob", "w", other);
    unsend(p->a, other);
    until(p->b, "alice", "hello hi z* -");
    unsigned rows = (unsigned)p->w.row_n;
    for (size_t i = 0; i < p->w.row_n; i++)
        p->w.rows[i].acked = p->w.rows[i].acked && strcmp(p->w.rows[i].to, "bob") != 0;
    json_array_clear(p->b->events);
    world_deliver(&p->w, "bob");
    send_text(p->a, "bob", "end", id);
    json_t *told = world_event(p->b, "message", NULL, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(told, "text")), "end", "told again: %s",
                     json_string_value(json_object_get(told, "text")));
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi z* - end", "%s", talk(p->b, "alice"));
    cr_assert_leq(p->w.row_n, rows + 2, "receipts went out again");
    part(p);
}

/* Carol knows the ids, and is nobody here. */
Test(messages, only_the_author_changes_a_message)
{
    struct pair *p = meet();
    struct world_client *m = world_client(&p->w, 2);
    char of_alice[ID_TEXT];
    char of_bob[ID_TEXT];
    char id[ID_TEXT];
    world_register(m, "mallory");
    world_send(m, "bob", "good day");
    world_event(p->b, "message", "text", "good day");
    send_text(p->b, "alice", "mine", of_bob);
    world_event(p->a, "message", "text", "mine");
    send_text(p->a, "bob", "ours", of_alice);
    world_event(p->b, "message", "text", "ours");
    cr_assert_str_eq(code_of_edit(p->b, of_alice), "refused", "the recipient edited a message");
    forge_edit(m, "bob", of_alice, INT64_MAX, "forged");
    forge_edit(m, "bob", of_bob, INT64_MAX, "forged");
    forge_edit(m, "bob", of_alice, INT64_MAX, NULL);
    forge_edit(m, "bob", of_bob, INT64_MAX, NULL);
    forge_edit(p->b, "alice", of_alice, INT64_MAX, "forged");
    forge_edit(p->a, "bob", of_bob, INT64_MAX, NULL);
    send_text(m, "bob", "end", id);
    world_event(p->b, "message", "text", "end");
    send_text(p->a, "bob", "end", id);
    world_event(p->b, "trouble", "message", "mallory tried to change a message of somebody else");
    until(p->b, "alice", "hello hi mine ours end");
    send_text(p->b, "alice", "last", id);
    world_event(p->a, "message", "text", "last");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi mine ours end last", "%s", talk(p->a, "bob"));
    cr_assert_str_eq(talk(p->b, "mallory"), "good day end", "%s", talk(p->b, "mallory"));
    part(p);
}

/* A message under an id that another one has is refused, and what Mallory keeps ready for an id
 * does nothing to Alice's message of that id. */
Test(messages, ids_of_two_authors_do_not_mix)
{
    struct pair *p = meet();
    struct world_client *m = world_client(&p->w, 2);
    struct peal_msg_id next;
    char hex[ID_TEXT];
    char id[ID_TEXT];
    world_register(m, "mallory");
    world_send(m, "bob", "good day");
    world_event(p->b, "message", "text", "good day");
    send_text(p->a, "bob", "first", id);
    world_event(p->b, "message", "text", "first");
    struct peal_msg_id taken = id_of(id);
    struct content content = {.kind = CONTENT_TEXT, .stamp = 1, .text = peal_bytes_str("second")};
    taken.b[15] ^= 1; /* the server of the test knows an id once */
    forge(p->a, "bob", &taken, &content);
    world_event(p->b, "message", "text", "second");
    for (size_t i = 0; i < p->w.row_n; i++)
        if (msg_id_eq(&p->w.rows[i].id, &taken)) {
            p->w.rows[i].acked = true;
            p->w.rows[i].id.b[0] ^= 0xff;
        }
    content.text = peal_bytes_str("third");
    forge(m, "bob", &taken, &content);
    world_event(p->b, "trouble", "message",
                "a message from mallory was refused: its id is another message's");
    client_msg_id(client_stamp(p->a->client), &next);
    peal_hex(next.b, sizeof next.b, hex);
    forge_edit(m, "bob", hex, INT64_MAX, "forged");
    send_text(m, "bob", "done", id);
    world_event(p->b, "message", "text", "done");
    content.stamp = client_stamp(p->a->client);
    forge(p->a, "bob", &next, &content);
    world_event(p->b, "message", "text", "third");
    cr_assert_str_eq(talk(p->b, "alice"), "second hello hi first third", "%s", talk(p->b, "alice"));
    cr_assert_str_eq(talk(p->b, "mallory"), "good day done", "%s", talk(p->b, "mallory"));
    part(p);
}

/* However many changes an author sends of what is not there, few are kept. */
Test(messages, changes_of_nothing_are_few)
{
    enum { MANY = CLIENT_PENDING_MAX + 60 };
    struct pair *p = meet();
    struct client *c = p->b->client;
    struct peal_msg_id target = {{0}};
    struct content content = {
        .kind = CONTENT_EDIT, .stamp = 1, .text = peal_bytes_str("of nothing")};
    bool changed;
    cr_assert_eq(profile_begin(c->profile), 0, "no transaction");
    for (unsigned i = 1; i <= MANY; i++) {
        target.b[14] = (uint8_t)(i >> 8);
        target.b[15] = (uint8_t)i;
        content.target = target;
        cr_assert_eq(amend_received(c, "alice", &target, &content, 1, &changed), 0, "not kept");
    }
    for (unsigned i = 0; i < MANY; i++) {
        content.stamp = i;
        cr_assert_eq(amend_received(c, "alice", &target, &content, 1, &changed), 0, "not kept");
    }
    content.target = (struct peal_msg_id){.b = {[15] = 1}};
    cr_assert_eq(amend_received(c, "mallory", &target, &content, 1, &changed), 0, "not kept");
    cr_assert_eq(profile_commit(c->profile), 0, "not committed");
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending WHERE peer='alice'"),
                 CLIENT_PENDING_MAX, "%d are kept",
                 (int)number_of(p->b, "SELECT count(*) FROM pending WHERE peer='alice'"));
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending WHERE peer='mallory'"), 1,
                 "one author's are another's");
    cr_assert_eq(number_of(p->b, "SELECT count(*) FROM pending WHERE target=x'"
                                 "0000000000000000000000000000013c'"),
                 1, "not the latest ones");
    part(p);
}

Test(messages, an_answer_names_what_it_answers)
{
    struct pair *p = meet();
    struct world_client *m = world_client(&p->w, 2);
    char question[ID_TEXT];
    char other[ID_TEXT];
    world_register(m, "carol");
    send_text(p->a, "bob", "where?", question);
    world_event(p->b, "message", "text", "where?");
    send_text(p->b, "carol", "elsewhere", other);
    world_ok(p->b, json_pack("{s:s,s:s,s:s,s:s}", "cmd", "send", "to", "alice", "text", "here",
                             "reply_to", question));
    json_t *got = world_event(p->a, "message", "text", "here");
    cr_assert_str_eq(json_string_value(json_object_get(got, "reply_to")), question,
                     "another question");
    got = json_array_get(history(p->b, "alice"), 3);
    cr_assert_str_eq(json_string_value(json_object_get(got, "reply_to")), question,
                     "not in the history");
    cr_assert_null(json_object_get(json_array_get(history(p->b, "alice"), 2), "reply_to"),
                   "the question answers something");
    cr_assert_str_eq(world_code(p->b, json_pack("{s:s,s:s,s:s,s:s}", "cmd", "send", "to", "alice",
                                                "text", "x", "reply_to", other)),
                     "not_found", "an answer to another conversation");
    cr_assert_str_eq(world_code(p->b, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "alice",
                                                "text", "x", "reply_to", 7)),
                     "usage", "an answer to a number");
    part(p);
}

/* Bob's clock is most of an hour ahead; Alice's answer comes after what it answers all the same,
 * also when her client has been started anew. */
Test(messages, an_answer_comes_after_what_it_answers)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    p->b->client->clock.last += (uint64_t)(CLK_MAX_AHEAD_MS - 60000) << 16;
    send_text(p->b, "alice", "question", id);
    world_event(p->a, "message", "text", "question");
    send_text(p->a, "bob", "answer", id);
    world_event(p->b, "message", "text", "answer");
    world_client_close(p->a);
    world_client_open(p->a);
    send_text(p->a, "bob", "more", id);
    world_event(p->b, "message", "text", "more");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi question answer more", "%s", talk(p->a, "bob"));
    cr_assert_str_eq(talk(p->b, "alice"), "hello hi question answer more", "%s",
                     talk(p->b, "alice"));
    part(p);
}

Test(messages, an_id_may_be_short)
{
    struct pair *p = meet();
    char id[ID_TEXT];
    send_text(p->a, "bob", "one", id);
    edit(p->a, id + 16, "two");
    cr_assert_str_eq(talk(p->a, "bob"), "hello hi two*", "%s", talk(p->a, "bob"));
    cr_assert_str_eq(code_of_edit(p->a, "00"), "not_found", "two digits are enough");
    id[6] = '\0';
    cr_assert_str_eq(code_of_edit(p->a, id), "usage", "the beginning of several was taken");
    cr_assert_str_eq(code_of_edit(p->a, "%%%%%"), "not_found", "a pattern was taken");
    cr_assert_str_eq(code_of_edit(p->a, ""), "not_found", "nothing was taken");
    cr_assert_str_eq(world_code(p->a, json_pack("{s:s,s:s}", "cmd", "unsend", "id",
                                                "0123456789abcdef"
                                                "0123456789abcdef")),
                     "not_found", "an unknown message was deleted");
    part(p);
}

/* ---- what the other side does not hear of -------------------------------------------- */

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

Test(messages, what_is_forgotten_stays_so)
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

Test(messages, a_conversation_is_forgotten_as_a_whole)
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
Test(messages, what_is_queued_is_sent_though_forgotten)
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

Test(messages, unread_messages_are_counted)
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

Test(messages, a_draft_is_kept)
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

Test(messages, search_finds_pieces_whatever_their_case)
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
Test(messages, search_is_bounded_and_goes_on)
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

Test(messages, what_is_exported_can_be_imported)
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

Test(messages, what_is_no_export_is_not_imported)
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
