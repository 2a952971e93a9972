#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "world.h"

static const char *text_at(json_t *reply, size_t i, const char *key)
{
    json_t *m = json_array_get(json_object_get(reply, "messages"), i);
    const char *s = json_string_value(json_object_get(m, key));
    return s != NULL ? s : "";
}

static json_t *history(struct world_client *wc, const char *name)
{
    return world_ok(wc, json_pack("{s:s,s:s}", "cmd", "history", "name", name));
}

static const char *state_of(struct world_client *wc, const char *peer)
{
    return text_at(history(wc, peer), 0, "state");
}

Test(client, register_login_logout)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    json_t *me = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert(json_is_null(json_object_get(me, "name")), "somebody is logged in from nowhere");
    me = world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "register", "name", "Alice", "password",
                               "correct horse"));
    cr_assert_str_eq(json_string_value(json_object_get(me, "name")), "alice",
                     "registered as another");
    cr_assert(json_is_true(json_object_get(me, "connected")), "not connected");
    uint8_t fp[CRY_FP_BYTES];
    cr_assert_eq(cry_fp_parse(json_string_value(json_object_get(me, "fingerprint")), fp), 0,
                 "no fingerprint as in a link: %s",
                 json_string_value(json_object_get(me, "fingerprint")));

    struct world_client *b = world_client(&w, 1);
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:s,s:s}", "cmd", "register", "name", "alice",
                                             "password", "x")),
                     "exists", "the name was given twice");
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice",
                                             "password", "wrong")),
                     "auth", "a wrong password was taken");
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "nobody",
                                             "password", "x")),
                     "not_found", "somebody unknown was let in");
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "no body",
                                             "password", "x")),
                     "malformed", "a name with a space was taken");
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:s}", "cmd", "login", "name", "alice")),
                     "usage", "no password was needed");
    cr_assert_str_eq(
        world_code(b, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "alice", "text", "hi")),
        "auth", "sent without an account");
    world_ok(a, json_pack("{s:s}", "cmd", "logout"));
    me = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert(json_is_null(json_object_get(me, "name")), "still logged in");
    me = world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice", "password",
                               "correct horse"));
    cr_assert_str_eq(json_string_value(json_object_get(me, "name")), "alice",
                     "logged in as another");
    world_down(&w);
}

/* The whole way of a message and of what comes back: stored, delivered, read. */
Test(client, a_message_from_one_to_the_other)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    const char *id = world_send(a, "bob", "good morning");
    char hex[40];
    snprintf(hex, sizeof hex, "%s", id);
    json_t *got = world_event(b, "message", "text", "good morning");
    cr_assert_str_eq(json_string_value(json_object_get(got, "from")), "alice", "from another");
    cr_assert_str_eq(json_string_value(json_object_get(got, "id")), hex, "another id");
    cr_assert(json_is_true(json_object_get(got, "unread")), "read already");
    world_event(a, "state", "state", "stored");
    world_event(a, "state", "state", "delivered");
    cr_assert_str_eq(state_of(a, "bob"), "delivered", "the history says %s", state_of(a, "bob"));

    json_t *people = world_ok(b, json_pack("{s:s}", "cmd", "conversations"));
    json_t *line = json_array_get(json_object_get(people, "conversations"), 0);
    cr_assert_eq(json_integer_value(json_object_get(line, "unread")), 1, "not counted as unread");
    world_ok(b, json_pack("{s:s,s:s}", "cmd", "read", "name", "alice"));
    world_event(a, "state", "state", "read");
    cr_assert_str_eq(state_of(a, "bob"), "read", "the history says %s", state_of(a, "bob"));
    cr_assert_str_eq(state_of(b, "alice"), "read", "the other side says %s", state_of(b, "alice"));
    for (size_t i = 0; i < w.row_n; i++) {
        if (w.rows[i].kind == WIRE_ROW_MESSAGE)
            cr_assert_null(memmem(w.rows[i].body, w.rows[i].body_n, "morning", 7),
                           "the text passed the server");
    }
    world_down(&w);
}

Test(client, what_is_refused_before_it_is_sent)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "nobody",
                                             "text", "x", "wait", 30000)),
                     "not_found", "sent to nobody");
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", "")), "usage",
        "an empty message was taken");
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "alice", "text", "x")),
        "refused", "sent to oneself");
    char *big = malloc(CLIENT_TEXT_MAX + 2);
    memset(big, 'x', CLIENT_TEXT_MAX + 1);
    big[CLIENT_TEXT_MAX + 1] = '\0';
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", big)),
        "too_long", "too long a message was taken");
    cr_assert_str_eq(state_of(a, "nobody"), "failed", "the history says %s", state_of(a, "nobody"));
    cr_assert_eq(json_array_size(json_object_get(history(a, "bob"), "messages")), 0,
                 "half of it was done");
    cr_assert_str_eq(world_code(a, json_pack("{s:s}", "cmd", "frobnicate")), "usage",
                     "an unknown command");
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:i}", "cmd", "history", "name", "bob", "limit", -1)),
        "usage", "a negative limit");
    cr_assert_eq(w.sends, 0, "something was sent");

    struct world_client *b = world_client(&w, 1);
    world_register(b, "bob");
    big[CLIENT_TEXT_MAX] = '\0';
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", big, "wait", 30000));
    world_event(b, "message", "text", big);
    free(big);
    world_down(&w);
}

Test(client, offline_messages_come_once_and_in_order)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_client_close(b);
    while (world_account(&w, "bob")->link != NULL)
        world_turn(&w);
    for (int i = 1; i <= 3; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", i);
        world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", text, "wait",
                              30000));
    }
    world_client_open(b);
    world_event(b, "message", "text", "m3");
    world_deliver(&w, "bob"); /* and once more, as a server does that lost the acknowledgement */
    for (size_t i = 0; i < w.row_n; i++)
        w.rows[i].acked = false;
    world_deliver(&w, "bob");
    world_event(a, "state", "state", "delivered");
    json_t *h = history(b, "alice");
    cr_assert_eq(json_array_size(json_object_get(h, "messages")), 3, "%zu messages",
                 json_array_size(json_object_get(h, "messages")));
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(text_at(h, i, "text")[1], (char)('1' + i), "message %zu is %s", i,
                     text_at(h, i, "text"));
    size_t told = 0;
    size_t at;
    json_t *event;
    json_array_foreach(b->events, at, event)
    {
        told += strcmp(json_string_value(json_array_get(event, 0)), "message") == 0;
    }
    cr_assert_eq(told, 3, "told of %zu messages", told);
    world_down(&w);
}

static bool settled(struct world_client *wc)
{
    return json_is_true(
        json_object_get(world_ok(wc, json_pack("{s:s,s:i}", "cmd", "sync", "wait", 0)), "settled"));
}

/* The server says so by a page without rows; the clock is only for servers that do not. */
Test(client, the_end_of_the_mailbox_is_heard_and_not_waited_for)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_ok(a, json_pack("{s:s}", "cmd", "ring")); /* answered behind the page */
    cr_assert(settled(a), "nothing waited");
    world_register(b, "bob");
    world_client_close(b);
    while (world_account(&w, "bob")->link != NULL)
        world_turn(&w);
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "m", "wait", 30000));
    world_client_open(b);
    world_event(b, "message", "text", "m");
    while (!w.rows[0].acked)
        world_turn(&w);
    world_deliver(&w, "bob");
    world_ok(b, json_pack("{s:s}", "cmd", "ring"));
    cr_assert(settled(b), "that was all");
    world_down(&w);
}

/* A crash between "on our disk" and "sent": the outbox sends it, under the same id. */
Test(client, the_outbox_survives_a_crash)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    w.hold_stored = true;
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", i);
        world_send(a, "bob", text);
    }
    while (w.sends < 5)
        world_turn(&w);
    cr_assert_str_eq(state_of(a, "bob"), "queued", "stored although nobody said so: %s",
                     state_of(a, "bob"));
    world_client_close(a);
    w.hold_stored = false;
    size_t rows = w.row_n;
    world_client_open(a);
    while (w.sends < 10)
        world_turn(&w);
    json_t *h = history(a, "bob");
    while (strcmp(text_at(h, 4, "state"), "queued") == 0) {
        world_turn(&w);
        h = history(a, "bob");
    }
    size_t messages = 0;
    for (size_t i = 0; i < w.row_n; i++)
        messages += w.rows[i].kind == WIRE_ROW_MESSAGE;
    cr_assert_eq(messages, 5, "%zu messages on the ring, %zu before", messages, rows);
    h = history(b, "alice");
    while (json_array_size(json_object_get(h, "messages")) < 5) {
        world_turn(&w);
        h = history(b, "alice");
    }
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(text_at(h, i, "text")[1], (char)('0' + i), "message %zu is %s", i,
                     text_at(h, i, "text"));
    world_down(&w);
}

Test(client, no_more_than_the_flights_are_under_way)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    w.hold_stored = true;
    for (int i = 0; i < CLIENT_FLIGHTS_MAX + 20; i++)
        world_send(a, "bob", "x");
    while (w.sends < CLIENT_FLIGHTS_MAX)
        world_turn(&w);
    /* a question behind them is answered, so all that was sent has arrived */
    world_ok(a, json_pack("{s:s}", "cmd", "ring"));
    cr_assert_eq(w.sends, CLIENT_FLIGHTS_MAX, "%u were under way", w.sends);
    world_down(&w);
}

Test(client, a_busy_ring_is_asked_again_and_a_refusal_is_final)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    w.busy = 2;
    json_t *r = world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 30000));
    cr_assert_str_eq(json_string_value(json_object_get(r, "state")), "stored", "not stored");
    world_event(a, "state", "state", "delivered");
    w.refuse_sends = true;
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob",
                                             "text", "y", "wait", 30000)),
                     "refused", "a refusal is no error");
    cr_assert_str_eq(text_at(history(a, "bob"), 1, "state"), "failed",
                     "the history hides the refusal");
    world_down(&w);
}

Test(client, goes_on_at_another_server)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    struct fake *first = world_account(&w, "alice")->at;
    fake_kill(first);
    json_t *r = world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text",
                                      "still here", "wait", 30000));
    cr_assert_str_eq(json_string_value(json_object_get(r, "state")), "stored",
                     "not stored after the fail-over");
    world_event(b, "message", "text", "still here");
    cr_assert_neq(world_account(&w, "alice")->at, first, "the session is at the dead server");
    world_down(&w);
}

Test(client, is_taken_over)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_ok(b, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice", "password",
                          "correct horse"));
    json_t *s = world_event(a, "session", "reason", "taken_over");
    cr_assert(json_is_null(json_object_get(s, "name")), "somebody is still logged in");
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", "x")),
        "taken_over", "sent although taken over");
    /* neither now nor after a restart does it come back by itself */
    world_client_close(a);
    world_client_open(a);
    json_t *me = world_ok(a, json_pack("{s:s,s:i}", "cmd", "whoami", "wait", 30000));
    cr_assert(json_is_null(json_object_get(me, "name")), "came back by itself");
    me = world_ok(b, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert_str_eq(json_string_value(json_object_get(me, "name")), "alice",
                     "the new session was lost");
    world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice", "password",
                          "correct horse"));
    world_event(b, "session", "reason", "taken_over");
    world_down(&w);
}

/* A login anew on a living session verifies the password; a wrong one leaves the session as it was.
 */
Test(client, a_second_login_is_a_real_one)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice",
                                             "password", "wrong")),
                     "auth", "a wrong password was taken");
    json_t *me = world_ok(a, json_pack("{s:s,s:i}", "cmd", "whoami", "wait", 30000));
    cr_assert_str_eq(json_string_value(json_object_get(me, "name")), "alice",
                     "the session was lost");
    world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice", "password",
                          "correct horse"));
    cr_assert_eq(world_account(&w, "alice")->generation, 2, "generation %lu",
                 (unsigned long)world_account(&w, "alice")->generation);
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "bob", "password", "x")),
        "refused", "a second account was let into the profile");
    world_down(&w);
}

Test(client, a_changed_key_stops_sending)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    struct world_client *c = world_client(&w, 2);
    world_register(a, "alice");
    world_register(b, "bob");
    world_register(c, "carol");
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 30000));
    world_event(a, "state", "state", "delivered");
    struct world_account *bob = world_account(&w, "bob");
    struct world_account *carol = world_account(&w, "carol");
    uint8_t old[sizeof bob->bundle];
    memcpy(old, bob->bundle, sizeof old);
    memcpy(bob->bundle, carol->bundle, sizeof bob->bundle);
    world_client_close(a);
    world_client_open(a);
    /* found out by this message: it is on the disk already, and fails */
    json_t *reply = world_do(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text",
                                          "secret", "wait", 30000));
    json_t *error = json_object_get(reply, "error");
    cr_assert_str_eq(json_string_value(json_object_get(error, "code")), "auth",
                     "sent to a changed key");
    cr_assert_not_null(
        strstr(json_string_value(json_object_get(error, "message")), "key of bob has changed"),
        "the error does not say it: %s", json_string_value(json_object_get(error, "message")));
    cr_assert_not_null(strstr(json_string_value(json_object_get(error, "hint")), "peal trust"),
                       "the hint does not say what to do: %s",
                       json_string_value(json_object_get(error, "hint")));
    cr_assert_str_eq(text_at(history(a, "bob"), 1, "state"), "failed", "the history says %s",
                     text_at(history(a, "bob"), 1, "state"));
    uint64_t waiting = 1;
    cr_assert_eq(profile_outbox_count(a->profile, "alice", &waiting), 0, "no count");
    cr_assert_eq(waiting, 0, "it still waits to be sent");
    /* known by now: said at once, and nothing is kept */
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", "again")),
        "auth", "sent to a changed key");
    cr_assert_eq(json_array_size(json_object_get(history(a, "bob"), "messages")), 2,
                 "half of it was done");
    /* nobody waits for the answer: it is told to everybody, and the message stays */
    json_array_clear(a->events);
    world_client_close(a);
    world_client_open(a);
    world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", "unheard"));
    world_event(a, "trouble", "code", "auth");
    cr_assert_str_eq(text_at(history(a, "bob"), 2, "state"), "queued", "it was given up");
    /* the old key is back */
    memcpy(bob->bundle, old, sizeof old);
    world_client_close(a);
    world_client_open(a);
    world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "at last",
                          "wait", 30000));
    world_event(b, "message", "text", "unheard");
    world_event(b, "message", "text", "at last");
    world_down(&w);
}

Test(client, what_does_not_open_is_shown_and_kept)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_client_close(b);
    while (world_account(&w, "bob")->link != NULL)
        world_turn(&w);
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 30000));
    w.rows[0].body[w.rows[0].body_n - 1] ^= 1;
    world_client_open(b);
    json_t *m = world_event(b, "message", "state", "unreadable");
    cr_assert_not_null(strstr(json_string_value(json_object_get(m, "text")), "could not be read"),
                       "no reason is shown");
    world_event(b, "trouble", NULL, NULL);
    while (!w.rows[0].acked)
        world_turn(&w);
    cr_assert_str_eq(state_of(a, "bob"), "stored",
                     "a receipt was given for what nobody could read");
    world_ok(b, json_pack("{s:s}", "cmd", "recv"));
    cr_assert_eq(json_array_size(b->more), 1, "recv does not show it");
    world_down(&w);
}

/* Says that the messages that came with the last answer were shown. */
static json_t *read_more(struct world_client *wc)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < json_array_size(wc->more); i++)
        json_array_append(ids, json_object_get(json_array_get(wc->more, i), "id"));
    return world_ok(wc, json_pack("{s:s,s:o,s:i}", "cmd", "read", "ids", ids, "wait", 30000));
}

static void send_numbered(struct world_client *a, int n)
{
    for (int i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", i);
        world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", text, "wait",
                              30000));
    }
}

static const char *sent_text(json_t *more, size_t i)
{
    return json_string_value(json_object_get(json_array_get(more, i), "text"));
}

Test(client, recv_marks_nothing_and_read_does)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    send_numbered(a, 3);
    world_event(b, "message", "text", "m2");
    for (int i = 0; i < 2; i++) { /* whoever did not show them gets them again */
        json_t *r = world_ok(b, json_pack("{s:s,s:i}", "cmd", "recv", "max", 2));
        cr_assert_eq(json_integer_value(json_object_get(r, "count")), 2, "another count");
        cr_assert_eq(json_array_size(b->more), 2, "%zu messages", json_array_size(b->more));
        cr_assert_str_eq(sent_text(b->more, 0), "m0", "out of order");
    }
    world_event(a, "state", "state", "delivered");
    cr_assert_str_neq(text_at(history(a, "bob"), 0, "state"), "read", "told before it was shown");
    world_ok(b, json_pack("{s:s,s:i}", "cmd", "recv", "max", 2));
    json_t *r = read_more(b);
    cr_assert_eq(json_integer_value(json_object_get(r, "count")), 2, "another count");
    cr_assert_eq(json_integer_value(json_object_get(r, "queued")), 0, "receipts were not awaited");
    world_ok(b, json_pack("{s:s,s:i}", "cmd", "recv", "wait", 30));
    cr_assert_eq(json_array_size(b->more), 1, "%zu messages", json_array_size(b->more));
    cr_assert_str_eq(sent_text(b->more, 0), "m2", "another message");
    world_event(a, "state", "state", "read");
    cr_assert_str_eq(text_at(history(a, "bob"), 1, "state"), "read", "the sender does not know");
    cr_assert_str_neq(text_at(history(a, "bob"), 2, "state"), "read", "told before it was shown");
    world_down(&w);
}

/* The second half of more than one batch, marked before the first: found behind the others. */
static void hear_nothing(void *user, json_t *object, bool last)
{
    bool *over = user;
    cr_assert(last, "there was a message");
    cr_assert_eq(json_integer_value(json_object_get(object, "count")), 0, "a message was counted");
    *over = true;
}

/* The patience that a connection is given ends with the word that the mailbox is empty. */
Test(client, recv_waits_no_longer_than_was_asked)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    world_client_close(a);
    world_client_open(a);
    bool over = false;
    struct client_call *call = NULL;
    json_t *request = json_pack("{s:s,s:i}", "cmd", "recv", "wait", 1);
    client_command(a->client, request, hear_nothing, &over, &call);
    json_decref(request);
    cr_assert_not_null(call, "answered without a turn of the loop");
    cr_assert_geq(call->due_us, call->patience_us, "it is to give up before there is a server");
    while (!over && !settled(a))
        world_turn(&w);
    if (!over)
        cr_assert_eq(call->due_us, call->until_us, "the mailbox is empty, and it waits on");
    while (!over)
        world_turn(&w);
    world_down(&w);
}

Test(client, recv_gives_batches)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    send_numbered(a, 70);
    world_event(b, "message", "text", "m69");
    json_t *r = world_ok(b, json_pack("{s:s}", "cmd", "recv"));
    cr_assert(json_is_true(json_object_get(r, "more")), "the rest is not announced");
    cr_assert_eq(json_array_size(b->more), 64, "%zu messages", json_array_size(b->more));
    read_more(b);
    r = world_ok(b, json_pack("{s:s}", "cmd", "recv"));
    cr_assert(json_is_false(json_object_get(r, "more")), "more than there is");
    cr_assert_eq(json_array_size(b->more), 6, "%zu messages", json_array_size(b->more));
    cr_assert_str_eq(sent_text(b->more, 0), "m64", "out of order");
    read_more(b);
    world_ok(b, json_pack("{s:s}", "cmd", "recv"));
    cr_assert_eq(json_array_size(b->more), 0, "a message came twice");
    world_down(&w);
}

Test(client, read_finds_a_message_behind_many)
{
    struct world w;
    world_up(&w);
    struct world_client *b = world_client(&w, 0);
    world_register(b, "bob");
    char id[2 * MSG_ID_BYTES + 1] = "";
    for (uint64_t i = 1; i <= 300; i++) {
        struct entry e = {.peer = "alice",
                          .unread = true,
                          .state = MSG_UNREADABLE,
                          .stamp = i,
                          .text = peal_bytes_str("x")};
        client_msg_id(i, &e.id);
        cr_assert_eq(profile_message_add(b->profile, "bob", &e), 0, "not added");
        peal_hex(e.id.b, sizeof e.id.b, id);
    }
    json_t *r = world_ok(b, json_pack("{s:s,s:[s]}", "cmd", "read", "ids", id));
    cr_assert_eq(json_integer_value(json_object_get(r, "count")), 1, "not found");
    r = world_ok(b, json_pack("{s:s,s:[s]}", "cmd", "read", "ids", id));
    cr_assert_eq(json_integer_value(json_object_get(r, "count")), 0, "marked twice");
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:[s]}", "cmd", "read", "ids", "zz")), "usage",
                     "taken for an id");
    cr_assert_str_eq(world_code(b, json_pack("{s:s,s:i}", "cmd", "read", "ids", 1)), "usage",
                     "taken for a list");
    world_down(&w);
}

static bool is_over(void *user)
{
    return ((struct world_client *)user)->done;
}

static void on_follow(void *user, json_t *object, bool last)
{
    struct world_client *wc = user;
    if (!last)
        json_array_append(wc->more, object);
    wc->done = last;
}

Test(client, recv_follow_waits_for_a_message)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    struct client_call *call;
    json_t *request = json_pack("{s:s,s:b}", "cmd", "recv", "follow", 1);
    json_array_clear(b->more);
    b->done = false;
    client_command(b->client, request, on_follow, b, &call);
    json_decref(request);
    cr_assert_not_null(call, "it was answered at once");
    world_send(a, "bob", "streamed");
    fake_until(w.loop, is_over, b, "a streamed message");
    cr_assert_eq(json_array_size(b->more), 1, "%zu messages", json_array_size(b->more));
    cr_assert_str_eq(sent_text(b->more, 0), "streamed", "another");
    world_down(&w);
}

/* Without a server: what needs none works, what needs one says so, and a message waits. */
Test(client, offline)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "before", "wait",
                          30000));
    world_event(a, "state", "state", "delivered");
    fake_kill(&w.servers[0]);
    fake_kill(&w.servers[1]);
    world_event(a, "connection", "reason", NULL);
    json_t *r = world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text",
                                      "later", "wait", 10000));
    cr_assert_str_eq(json_string_value(json_object_get(r, "state")), "queued", "not queued");
    r = world_ok(a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "carol", "text", "unknown",
                              "wait", 10000));
    cr_assert_str_eq(json_string_value(json_object_get(r, "state")), "queued", "not queued");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "status", "name", "bob")),
                     "unavailable", "a status from nowhere");
    cr_assert_eq(json_array_size(json_object_get(history(a, "bob"), "messages")), 2,
                 "the history needs a server");
    /* the servers come back elsewhere; carol still does not exist */
    world_client_close(a);
    world_client_close(b);
    for (size_t i = 0; i < WORLD_SERVERS; i++)
        fake_start(&w.servers[i], w.loop, &w.ids[i]);
    world_client_open(a);
    world_client_open(b);
    world_event(b, "message", "text", "later");
    json_t *failed = world_event(a, "state", "state", "failed");
    cr_assert_str_eq(json_string_value(json_object_get(failed, "peer")), "carol",
                     "another message failed");
    world_down(&w);
}

Test(client, written_before_the_other_was_known)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_client_close(a);
    fake_kill(&w.servers[0]);
    struct fake *last = &w.servers[1];
    last->silent = true;
    world_client_open(a);
    world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", "one"));
    world_ok(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", "two"));
    last->silent = false;
    world_event(b, "message", "text", "two");
    json_t *h = history(b, "alice");
    cr_assert_str_eq(text_at(h, 0, "text"), "one", "out of order: %s", text_at(h, 0, "text"));
    world_event(a, "state", "state", "delivered");
    world_down(&w);
}

Test(client, another_ring_is_not_ours)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    world_client_close(a);
    fake_kill(&w.servers[0]);
    fake_kill(&w.servers[1]);
    fake_identity(2, 1, &w.ids[0]);
    w.servers[0].hellos = 0; /* forget those of the time when it was ours */
    fake_start(&w.servers[0], w.loop, &w.ids[0]);
    world_client_open(a);
    json_t *reply = world_do(a, json_pack("{s:s,s:s}", "cmd", "status", "name", "bob"));
    json_t *error = json_object_get(reply, "error");
    cr_assert_eq(client_exit_status(client_error_of(reply)), 3, "exit %d",
                 client_exit_status(client_error_of(reply)));
    cr_assert_not_null(strstr(json_string_value(json_object_get(error, "hint")), "another ring"),
                       "it does not say why: %s",
                       json_string_value(json_object_get(error, "hint")));
    cr_assert_eq(w.servers[0].hellos, 0, "something was said to another ring");
    world_down(&w);
}

Test(client, a_full_disk_refuses_and_keeps_what_is_there)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 30000));
    world_event(a, "state", "state", "delivered");
    char *big = calloc(1, 50001);
    memset(big, 'x', 50000);
    cr_assert_eq(sqlite3_exec(a->profile->db, "PRAGMA max_page_count=1", NULL, NULL, NULL),
                 SQLITE_OK, "no pragma");
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text", big)),
        "no_space", "a full disk took a message");
    cr_assert_eq(json_array_size(json_object_get(history(a, "bob"), "messages")), 1,
                 "half of it was done");
    cr_assert_eq(sqlite3_exec(a->profile->db, "PRAGMA max_page_count=1000000", NULL, NULL, NULL),
                 SQLITE_OK, "no pragma");
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", big, "wait", 30000));
    free(big);
    world_down(&w);
}

Test(client, a_full_disk_loses_nothing_that_arrives)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    char *big = calloc(1, 50001);
    memset(big, 'x', 50000);
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "hi", "wait", 30000));
    world_event(a, "state", "state", "delivered");
    cr_assert_eq(sqlite3_exec(b->profile->db, "PRAGMA max_page_count=1", NULL, NULL, NULL),
                 SQLITE_OK, "no pragma");
    world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", big, "wait", 30000));
    world_event(b, "trouble", "code", "no_space");
    cr_assert_eq(sqlite3_exec(b->profile->db, "PRAGMA max_page_count=1000000", NULL, NULL, NULL),
                 SQLITE_OK, "no pragma");
    world_event(b, "message", "text", big);
    free(big);
    world_down(&w);
}

Test(client, status_ring_and_presence)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    json_t *s = world_ok(a, json_pack("{s:s,s:s}", "cmd", "status", "name", "BOB"));
    cr_assert_str_eq(json_string_value(json_object_get(s, "name")), "bob", "another name");
    cr_assert(json_is_true(json_object_get(s, "online")), "bob is offline");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "status", "name", "nobody")),
                     "not_found", "nobody is there");
    json_t *ring = world_ok(a, json_pack("{s:s}", "cmd", "ring"));
    cr_assert(json_is_true(json_object_get(ring, "whole")), "the ring is not whole");
    cr_assert_eq(json_integer_value(json_object_get(ring, "epoch")), 3, "another epoch");
    world_ok(a, json_pack("{s:s,s:s}", "cmd", "watch", "name", "bob"));
    world_event(a, "presence", "name", "bob");
    world_ok(a, json_pack("{s:s,s:n}", "cmd", "watch", "name"));
    world_down(&w);
}

/* A server closes the link of who logs out before the session is there: so it is waited for. */
Test(client, logs_out_right_after_the_start)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    world_client_close(a);
    world_client_open(a);
    world_ok(a, json_pack("{s:s}", "cmd", "logout"));
    static const uint8_t none[32];
    cr_assert_arr_eq(world_account(&w, "alice")->token, none, 32, "the server was not told");
    world_down(&w);
}

Test(client, sync_waits_for_the_mailbox)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_client_close(a);
    world_client_open(a);
    json_t *r = world_ok(a, json_pack("{s:s}", "cmd", "sync"));
    cr_assert(json_is_true(json_object_get(r, "settled")), "not settled");
    cr_assert_eq((int)a->client->session, SESSION_ACTIVE, "settled without a session");
    world_down(&w);
}

struct heard {
    int told;
    bool connected;
    char reason[CLIENT_WHY_MAX];
};

static void hear_queued(void *user, json_t *object, bool last)
{
    struct heard *heard = user;
    cr_assert(last, "half an answer");
    cr_assert_str_eq(json_string_value(json_object_get(object, "state")), "queued", "not queued");
    (void)snprintf(heard->reason, sizeof heard->reason, "%s",
                   json_string_value(json_object_get(object, "reason")));
    heard->connected = json_is_true(json_object_get(object, "connected"));
    heard->told++;
}

/* Sends, and hears that it is queued; the answer is never to be later than most_ms after the
 * beginning. The machine may be. */
static void send_and_hear(struct world *w, struct world_client *wc, int wait_ms, int most_ms,
                          struct heard *heard)
{
    json_t *request =
        json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "y", "wait", wait_ms);
    struct client_call *call = NULL;
    client_command(wc->client, request, hear_queued, heard, &call);
    json_decref(request);
    uint64_t latest = net_now_us() + (uint64_t)most_ms * 1000;
    while (heard->told == 0) {
        cr_assert_leq(call->due_us, latest, "it would wait for more than %d ms", most_ms);
        world_turn(w);
    }
}

/* Whatever happens in the first moment of a send, the message is on the disk: the recipient's keys
 * are not even asked for. */
Test(client, a_first_message_is_on_the_disk_before_anything_is_asked)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    json_t *request =
        json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "mine", "wait", 30000);
    struct client_call *call = NULL;
    struct heard heard = {.told = 0};
    client_command(a->client, request, hear_queued, &heard, &call);
    json_decref(request);
    cr_assert_not_null(call, "answered without a turn of the loop");
    uint64_t waiting = 0;
    cr_assert_eq(profile_outbox_count(a->profile, "alice", &waiting), 0, "no count");
    cr_assert_eq(waiting, 1, "%lu messages are in the outbox", (unsigned long)waiting);
    cr_assert_str_eq(text_at(history(a, "bob"), 0, "text"), "mine", "it is not in the history");
    world_client_close(a); /* nothing was said to the ring yet */
    world_client_open(a);
    world_event(b, "message", "text", "mine");
    cr_assert_eq(json_array_size(json_object_get(history(b, "alice"), "messages")), 1,
                 "it came twice");
    world_down(&w);
}

Test(client, queued_says_why)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    w.busy = 1000000;
    json_t *r = world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 1500));
    cr_assert_str_eq(json_string_value(json_object_get(r, "state")), "queued", "not queued");
    cr_assert(json_is_true(json_object_get(r, "connected")), "connected, but it says otherwise");
    cr_assert_str_eq(json_string_value(json_object_get(r, "reason")), "not now", "the reason: %s",
                     json_string_value(json_object_get(r, "reason")));
    cr_assert_geq(w.sends, 2, "it was not tried again");
    size_t told = 0;
    size_t at;
    json_t *event;
    json_array_foreach(a->events, at, event)
    {
        told += strcmp(json_string_value(json_array_get(event, 0)), "trouble") == 0;
    }
    cr_assert_eq(told, 1, "told %zu times", told);
    w.busy = 0;
    world_event(b, "message", "text", "x");
    world_event(a, "state", "state", "delivered");

    fake_kill(&w.servers[0]);
    fake_kill(&w.servers[1]);
    struct heard heard = {.told = 0};
    send_and_hear(&w, a, 4000, 4000, &heard);
    cr_assert(!heard.connected, "no server, but it says otherwise");
    cr_assert_neq(heard.reason[0], '\0', "no reason");
    r = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert_neq(json_string_value(json_object_get(r, "reason"))[0], '\0', "no reason");
    world_down(&w);
}

/* The server is there, and cannot say whose session this is: its disk is full, say. */
Test(client, queued_says_why_the_session_is_not_resumed)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_client_close(a);
    w.lost_resumes = 1000000;
    world_client_open(a);
    json_t *r = world_ok(
        a, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 1500));
    cr_assert_str_eq(json_string_value(json_object_get(r, "state")), "queued", "not queued");
    cr_assert(json_is_true(json_object_get(r, "connected")), "connected, but it says otherwise");
    cr_assert_str_eq(json_string_value(json_object_get(r, "reason")), "too few servers",
                     "the reason: %s", json_string_value(json_object_get(r, "reason")));
    w.lost_resumes = 0;
    world_event(b, "message", "text", "x");
    world_down(&w);
}

static void hear_reply(void *user, json_t *object, bool last)
{
    json_t **reply = user;
    cr_assert(last, "half an answer");
    *reply = json_incref(object);
}

/* When its time is over, a question that the ring could not answer has not gone unanswered. */
Test(client, what_the_ring_said_last_is_told)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    w.lost_lookups = 1000000;
    json_t *request = json_pack("{s:s,s:s}", "cmd", "lookup", "name", "alice");
    json_t *reply = NULL;
    client_command(a->client, request, hear_reply, &reply, NULL);
    json_decref(request);
    while (a->client->asks->why[0] == '\0')
        world_turn(&w);
    a->client->asks->deadline_us = net_now_us();
    client_arm(a->client);
    while (reply == NULL)
        world_turn(&w);
    json_t *error = json_object_get(reply, "error");
    cr_assert_str_eq(json_string_value(json_object_get(error, "code")), "unavailable", "its code");
    cr_assert_str_eq(json_string_value(json_object_get(error, "message")),
                     "the ring did not answer in time", "the message: %s",
                     json_string_value(json_object_get(error, "message")));
    json_decref(reply);
    world_down(&w);
}

Test(client, without_a_server_a_send_does_not_wait_for_its_whole_time)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    world_client_close(a);
    fake_kill(&w.servers[0]);
    fake_kill(&w.servers[1]);
    fake_identity(2, 1, &w.ids[0]);
    fake_start(&w.servers[0], w.loop, &w.ids[0]);
    world_client_open(a);
    struct heard first = {.told = 0};
    send_and_hear(&w, a, 30000, CLIENT_LINK_WAIT_MS, &first);
    cr_assert_not_null(strstr(first.reason, "another ring"), "the reason: %s", first.reason);
    /* the link had its chance: the next one is answered within the call */
    json_t *request =
        json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "y", "wait", 30000);
    struct client_call *call = NULL;
    struct heard heard = {.told = 0};
    client_command(a->client, request, hear_queued, &heard, &call);
    json_decref(request);
    cr_assert_null(call, "it waits again");
    cr_assert_eq(heard.told, 1, "answered %d times", heard.told);
    world_down(&w);
}

Test(client, a_profile_says_whose_it_is)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    json_t *me = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert(json_is_null(json_object_get(me, "account")), "an account from nowhere");
    cr_assert_str_eq(json_string_value(json_object_get(me, "session")), "none", "a session");
    world_register(a, "bob");
    me = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert_str_eq(json_string_value(json_object_get(me, "session")), "here", "no session");
    cr_assert_str_eq(json_string_value(json_object_get(me, "reason")), "", "connected, and yet");
    world_ok(
        b, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "bob", "password", "correct horse"));
    world_event(a, "session", "reason", "taken_over");
    me = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert(json_is_null(json_object_get(me, "name")), "still logged in");
    cr_assert_str_eq(json_string_value(json_object_get(me, "account")), "bob", "whose?");
    cr_assert_str_eq(json_string_value(json_object_get(me, "session")), "elsewhere", "where?");
    static const char *const ways[] = {"register", "login"};
    for (size_t i = 0; i < 2; i++) {
        json_t *reply = world_do(
            a, json_pack("{s:s,s:s,s:s}", "cmd", ways[i], "name", "carol", "password", "x"));
        json_t *error = json_object_get(reply, "error");
        cr_assert_str_eq(json_string_value(json_object_get(error, "code")), "refused",
                         "%s let a second account in", ways[i]);
        cr_assert_not_null(strstr(json_string_value(json_object_get(error, "message")), "bob"),
                           "%s does not say whose profile it is", ways[i]);
        cr_assert_not_null(strstr(json_string_value(json_object_get(error, "hint")), "profile"),
                           "%s does not say what to do", ways[i]);
    }
    world_down(&w);
}

/* A fresh client that learns of its end only while the send waits: nothing is gained by waiting on.
 */
Test(client, a_send_whose_session_is_over_says_so)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_client_close(a);
    world_ok(b, json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", "alice", "password",
                          "correct horse"));
    world_client_open(a);
    json_t *request =
        json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "bob", "text", "x", "wait", 30000);
    struct client_call *call = NULL;
    struct heard heard = {.told = 0};
    client_command(a->client, request, hear_queued, &heard, &call);
    json_decref(request);
    cr_assert_not_null(call, "answered without a turn of the loop");
    world_event(a, "session", "reason", "this session has ended");
    cr_assert_eq(heard.told, 1, "it waits on");
    cr_assert_not_null(strstr(heard.reason, "elsewhere"), "the reason: %s", heard.reason);
    world_down(&w);
}

Test(client, the_ring_says_how_many_are_up)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    json_t *r = world_ok(a, json_pack("{s:s}", "cmd", "ring"));
    size_t up = 0;
    size_t i;
    json_t *node;
    json_array_foreach(json_object_get(r, "nodes"), i, node)
    {
        up += strcmp(json_string_value(json_object_get(node, "state")), "up") == 0;
    }
    cr_assert(json_is_integer(json_object_get(r, "up")), "it does not say so");
    cr_assert_eq((size_t)json_integer_value(json_object_get(r, "up")), up, "another number");
    cr_assert_eq(up, 1, "one is up and one is joining");
    world_down(&w);
}

/* What a member of an object must be. */
struct field {
    const char *name;
    json_type type;
    size_t hex; /* digits, when it is an id */
};

static const struct field of_ring[] = {
    {"whole", JSON_TRUE, 0},    {"size", JSON_INTEGER, 0},        {"up", JSON_INTEGER, 0},
    {"epoch", JSON_INTEGER, 0}, {"coordinator", JSON_STRING, 40}, {"nodes", JSON_ARRAY, 0},
};

static const struct field of_node[] = {
    {"id", JSON_STRING, 40},      {"address", JSON_STRING, 0},    {"incarnation", JSON_INTEGER, 0},
    {"state", JSON_STRING, 0},    {"successor", JSON_STRING, 40}, {"predecessor", JSON_STRING, 40},
    {"clients", JSON_INTEGER, 0}, {"rows", JSON_INTEGER, 0},      {"domain", JSON_STRING, 0},
};

static const struct field of_path[] = {
    {"key", JSON_STRING, 40},  {"owner", JSON_STRING, 40},        {"path", JSON_ARRAY, 0},
    {"hops", JSON_INTEGER, 0}, {"microseconds", JSON_INTEGER, 0},
};

/* Exactly these, in this order. */
static void has_fields(json_t *object, const struct field *fields, size_t n)
{
    size_t i = 0;
    const char *key;
    json_t *value;
    cr_assert_eq(json_object_size(object), n, "%zu fields", json_object_size(object));
    json_object_foreach(object, key, value)
    {
        cr_assert_str_eq(key, fields[i].name, "field %zu", i);
        cr_assert_eq(json_typeof(value), fields[i].type, "%s is of another type", key);
        if (fields[i].hex > 0)
            cr_assert_eq(strspn(json_string_value(value), "0123456789abcdef"), fields[i].hex,
                         "%s is %s", key, json_string_value(value));
        i++;
    }
}

Test(client, the_ring_has_the_fields_that_scripts_rely_on)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    json_t *r = world_ok(a, json_pack("{s:s}", "cmd", "ring"));
    has_fields(r, of_ring, PEAL_COUNT(of_ring));
    json_t *nodes = json_object_get(r, "nodes");
    cr_assert_eq(json_array_size(nodes), 2, "%zu nodes", json_array_size(nodes));
    cr_assert_eq(json_integer_value(json_object_get(r, "size")), 2, "another size");
    for (size_t i = 0; i < 2; i++)
        has_fields(json_array_get(nodes, i), of_node, PEAL_COUNT(of_node));
    world_down(&w);
}

Test(client, looks_up_the_way_to_a_name)
{
    static const char *const path[] = {"0100000000000000000000000000000000000000",
                                       "0300000000000000000000000000000000000000",
                                       "0200000000000000000000000000000000000000"};
    struct world w;
    char key[ID_HEX];
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *nobody = world_client(&w, 1);
    world_register(a, "alice");
    w.lost_lookups = 1; /* and it is asked again */
    json_t *r = world_ok(nobody, json_pack("{s:s,s:s}", "cmd", "lookup", "name", "ALICE"));
    has_fields(r, of_path, PEAL_COUNT(of_path));
    struct peal_id id = cry_account_key(peal_bytes_str("alice"));
    id_hex(&id, key);
    cr_assert_str_eq(json_string_value(json_object_get(r, "key")), key, "another key");
    cr_assert_str_eq(json_string_value(json_object_get(r, "owner")), path[2], "another owner");
    cr_assert_eq(json_integer_value(json_object_get(r, "hops")), 2, "another number of hops");
    cr_assert_eq(json_integer_value(json_object_get(r, "microseconds")), 640, "another time");
    for (size_t i = 0; i < PEAL_COUNT(path); i++)
        cr_assert_str_eq(json_string_value(json_array_get(json_object_get(r, "path"), i)), path[i],
                         "step %zu", i);
    r = world_ok(nobody, json_pack("{s:s,s:s}", "cmd", "lookup", "name", "nobody"));
    cr_assert_eq(json_integer_value(json_object_get(r, "hops")), 0, "the asked server has it");
    cr_assert_eq(json_array_size(json_object_get(r, "path")), 1, "another path");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "lookup", "name", "a b")),
                     "malformed", "no name");
    cr_assert_str_eq(world_code(a, json_pack("{s:s}", "cmd", "lookup")), "usage", "no name at all");
    world_down(&w);
}

/* ---- full mailboxes, and messages that nobody fetched -------------------------------- */

static size_t events_named(struct world_client *wc, const char *name)
{
    size_t n = 0;
    size_t at;
    json_t *event;
    json_array_foreach(wc->events, at, event)
    {
        n += strcmp(json_string_value(json_array_get(event, 0)), name) == 0;
    }
    return n;
}

static json_t *send_to(struct world_client *wc, const char *to, const char *text)
{
    return world_ok(
        wc, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", to, "text", text, "wait", 30000));
}

static void expect_full(json_t *sent)
{
    cr_assert_str_eq(json_string_value(json_object_get(sent, "state")), "queued", "not queued");
    cr_assert_str_eq(json_string_value(json_object_get(sent, "reason")),
                     "the mailbox of bob is full", "the reason: %s",
                     json_string_value(json_object_get(sent, "reason")));
}

static void three_people(struct world *w, struct world_client *p[static 3])
{
    static const char *const names[] = {"alice", "bob", "carol"};
    world_up(w);
    for (size_t i = 0; i < 3; i++) {
        p[i] = world_client(w, i);
        world_register(p[i], names[i]);
    }
}

Test(client, a_full_mailbox_holds_up_nobody_else)
{
    struct world w;
    struct world_client *p[3];
    three_people(&w, p);
    send_to(p[0], "bob", "before");
    world_event(p[1], "message", "text", "before");
    (void)snprintf(w.full, sizeof w.full, "bob");
    expect_full(send_to(p[0], "bob", "first"));
    expect_full(send_to(p[0], "bob", "second"));
    cr_assert_eq(w.full_told, 1, "it was tried %u times", w.full_told);
    json_t *m = world_event(p[0], "state", "state", "queued");
    cr_assert_str_eq(json_string_value(json_object_get(m, "reason")), "the mailbox of bob is full",
                     "the page is not told why");
    cr_assert_eq(events_named(p[0], "trouble"), 1, "the trouble is said %zu times",
                 events_named(p[0], "trouble"));
    json_t *h = history(p[0], "bob");
    for (size_t i = 1; i <= 2; i++)
        cr_assert_str_eq(text_at(h, i, "reason"), "the mailbox of bob is full",
                         "the history does not say why of message %zu", i);
    cr_assert_str_eq(text_at(h, 0, "reason"), "", "a reason for what is not queued");
    json_t *sent = send_to(p[0], "carol", "you");
    cr_assert_str_eq(json_string_value(json_object_get(sent, "state")), "stored",
                     "carol's waits for bob's: %s",
                     json_string_value(json_object_get(sent, "state")));
    world_event(p[2], "message", "text", "you");
    cr_assert_eq(w.full_told, 1, "it was tried %u times", w.full_told);

    w.full[0] = '\0'; /* he has read what he had: there is room */
    world_ok(p[1], json_pack("{s:s,s:s}", "cmd", "read", "name", "alice"));
    world_event(p[1], "message", "text", "second");
    h = history(p[1], "alice");
    cr_assert_str_eq(text_at(h, 1, "text"), "first", "out of order");
    cr_assert_str_eq(text_at(h, 2, "text"), "second", "out of order");
    sent = send_to(p[0], "bob", "third");
    cr_assert_str_eq(json_string_value(json_object_get(sent, "state")), "stored",
                     "it still counts as full");
    world_down(&w);
}

/* Nothing is heard of him; and another program goes on with what the first one left. */
Test(client, a_full_mailbox_is_tried_again_by_itself)
{
    struct world w;
    struct world_client *p[3];
    three_people(&w, p);
    (void)snprintf(w.full, sizeof w.full, "bob");
    expect_full(send_to(p[0], "bob", "first"));
    while (w.full_told < 2)
        world_turn(&w);
    cr_assert_eq(events_named(p[0], "trouble"), 1, "the trouble is said again");
    w.full[0] = '\0';
    world_event(p[1], "message", "text", "first");
    (void)snprintf(w.full, sizeof w.full, "bob");
    expect_full(send_to(p[0], "bob", "second"));
    expect_full(send_to(p[0], "bob", "third"));
    world_client_close(p[0]);
    w.full[0] = '\0';
    world_client_open(p[0]);
    world_event(p[1], "message", "text", "third");
    cr_assert_str_eq(text_at(history(p[1], "alice"), 1, "text"), "second", "out of order");
    world_down(&w);
}

/* The second one is not even sealed when the first is refused: it cannot go out before that. */
Test(client, what_is_behind_a_refused_one_is_known_to_wait)
{
    struct world w;
    struct world_client *p[3];
    three_people(&w, p);
    (void)snprintf(w.full, sizeof w.full, "bob");
    expect_full(send_to(p[0], "bob", "first"));
    world_client_close(p[0]);
    w.hold_finds = true;
    world_client_open(p[0]);
    expect_full(send_to(p[0], "bob", "second"));
    cr_assert_eq(w.full_told, 2, "the first was tried %u times in the meantime", w.full_told - 1);
    world_down(&w);
}

/* A server's word to alice that a message expired; n bytes of its id. */
static void say_expired(struct world *w, const uint8_t *id, size_t n)
{
    struct world_row *r = &w->rows[w->row_n++];
    *r = (struct world_row){.kind = WIRE_ROW_EXPIRED, .stamp = net_wall_ms() << 16, .body_n = n};
    (void)snprintf(r->to, sizeof r->to, "alice");
    cry_random(r->id.b, sizeof r->id.b);
    r->body = malloc(n);
    memcpy(r->body, id, n);
    world_deliver(w, "alice");
    while (!r->acked)
        world_turn(w);
}

Test(client, expired_is_a_servers_word_and_a_receipt_has_the_last)
{
    struct world w;
    struct world_client *p[3];
    three_people(&w, p);
    world_client_close(p[1]);
    while (world_account(&w, "bob")->link != NULL)
        world_turn(&w);
    send_to(p[0], "bob", "x");
    struct peal_msg_id id = w.rows[0].id, other = {{1}};
    say_expired(&w, other.b, sizeof other.b);
    say_expired(&w, id.b, sizeof id.b - 1);
    cr_assert_str_eq(state_of(p[0], "bob"), "stored", "it is %s", state_of(p[0], "bob"));
    say_expired(&w, id.b, sizeof id.b);
    json_t *m = world_event(p[0], "state", "state", "expired");
    cr_assert_str_eq(json_string_value(json_object_get(m, "peer")), "bob", "of another's");
    cr_assert_str_eq(state_of(p[0], "bob"), "expired", "it is %s", state_of(p[0], "bob"));
    world_client_open(p[1]); /* the server was wrong: there it is */
    world_event(p[1], "message", "text", "x");
    world_event(p[0], "state", "state", "delivered");
    say_expired(&w, id.b, sizeof id.b);
    cr_assert_str_eq(state_of(p[0], "bob"), "delivered", "it is %s", state_of(p[0], "bob"));
    world_ok(p[1], json_pack("{s:s,s:s}", "cmd", "read", "name", "alice"));
    world_event(p[0], "state", "state", "read");
    say_expired(&w, id.b, sizeof id.b);
    cr_assert_str_eq(state_of(p[0], "bob"), "read", "it is %s", state_of(p[0], "bob"));
    world_down(&w);
}

/* What is still being sent has not expired. */
Test(client, what_is_queued_does_not_expire)
{
    struct world w;
    struct world_client *p[3];
    three_people(&w, p);
    w.hold_stored = true;
    world_send(p[0], "bob", "x");
    while (w.row_n == 0)
        world_turn(&w);
    struct peal_msg_id id = w.rows[0].id;
    say_expired(&w, id.b, sizeof id.b);
    cr_assert_str_eq(state_of(p[0], "bob"), "queued", "it is %s", state_of(p[0], "bob"));
    world_down(&w);
}
