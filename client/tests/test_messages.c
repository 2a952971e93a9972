/* What is done to messages after they were written: edits, deletions, answers. */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "talk.h"

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
    world_client_close(p->a);
    world_client_open(p->a);
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
