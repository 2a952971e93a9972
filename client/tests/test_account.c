/* What changes an account: commands, and what the user is told. */
#include <criterion/criterion.h>
#include <string.h>

#include "world.h"

static json_t *password_request(const char *old, const char *fresh)
{
    return json_pack("{s:s,s:s,s:s}", "cmd", "password", "old", old, "new", fresh);
}

static json_t *login_request(const char *name, const char *password)
{
    return json_pack("{s:s,s:s,s:s}", "cmd", "login", "name", name, "password", password);
}

static const char *name_in(json_t *whoami)
{
    const char *name = json_string_value(json_object_get(whoami, "name"));
    return name != NULL ? name : "";
}

/* The session that was set aside goes on. */
static void me_is_here(struct world_client *wc, const char *name)
{
    json_t *me = world_ok(wc, json_pack("{s:s,s:i}", "cmd", "whoami", "wait", 20000));
    cr_assert_str_eq(name_in(me), name, "%s is %s", name, name_in(me));
}

Test(account, another_password)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    struct world_client *c = world_client(&w, 2);
    world_register(a, "alice");
    world_register(b, "bob");
    json_t *me = world_ok(a, password_request("correct horse", "battery staple"));
    cr_assert_str_eq(name_in(me), "alice", "she is %s now", name_in(me));
    world_send(b, "alice", "to the old keys");
    world_event(a, "message", "text", "to the old keys");

    cr_assert_str_eq(world_code(c, login_request("alice", "correct horse")), "auth",
                     "the old password still counts");
    me = world_ok(c, login_request("alice", "battery staple"));
    cr_assert_str_eq(name_in(me), "alice", "she is %s there", name_in(me));
    world_event(a, "session", "reason", "taken_over");
    world_send(b, "alice", "to the same keys");
    world_event(c, "message", "text", "to the same keys");

    /* from where the session has ended it is a login as well */
    me = world_ok(a, password_request("battery staple", "third time"));
    cr_assert_str_eq(name_in(me), "alice", "she is %s here again", name_in(me));
    world_event(c, "session", "reason", "taken_over");
    world_down(&w);
}

Test(account, a_password_that_is_not_changed)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    cr_assert_str_eq(world_code(a, password_request("x", "y")), "auth", "nobody has a password");
    world_register(a, "alice");
    world_register(b, "bob");
    cr_assert_str_eq(world_code(a, password_request("wrong", "battery staple")), "auth",
                     "a wrong one was taken");
    world_ok(a, json_pack("{s:s,s:i}", "cmd", "whoami", "wait", 20000));
    world_send(b, "alice", "still there");
    world_event(a, "message", "text", "still there"); /* the session goes on */
    unsigned asks = w.password_asks;
    cr_assert_str_eq(world_code(a, password_request("correct horse", "")), "usage",
                     "an empty one was taken");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "password", "new", "x")), "usage",
                     "without the old one");
    char big[CRY_PASSWORD_MAX + 2];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    cr_assert_str_eq(world_code(a, password_request("correct horse", big)), "too_long",
                     "too long a one was taken");
    cr_assert_eq(w.password_asks, asks, "a server was asked");
    world_down(&w);
}

/* The answer is lost with the link: the same request at the next server has the first result. */
Test(account, the_answer_about_a_password_gets_lost)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    w.lose_password = true;
    json_t *me = world_ok(a, password_request("correct horse", "battery staple"));
    cr_assert_str_eq(name_in(me), "alice", "she is %s now", name_in(me));
    cr_assert_eq(w.password_asks, 2, "asked %u times", w.password_asks);
    cr_assert_eq(world_account(&w, "alice")->generation, 2, "and done once");
    world_client_close(a);
    world_client_open(a);
    me = world_ok(a, json_pack("{s:s,s:i}", "cmd", "whoami", "wait", 20000));
    cr_assert_str_eq(name_in(me), "alice", "the session's token is kept");
    world_down(&w);
}

/* ---- the recovery key ---------------------------------------------------------------- */

static json_t *reset_request(const char *name, const char *recovery, const char *password)
{
    return json_pack("{s:s,s:s,s:s,s:s}", "cmd", "reset", "name", name, "recovery", recovery,
                     "password", password);
}

/* The recovery key in an answer, kept in out. */
static void note(json_t *reply, char out[static CRY_RECOVERY_TEXT])
{
    const char *text = json_string_value(json_object_get(reply, "recovery"));
    cr_assert_not_null(text, "no recovery key");
    cr_assert_eq(strlen(text), CRY_RECOVERY_TEXT - 1, "%s", text);
    memcpy(out, text, CRY_RECOVERY_TEXT);
}

static void register_noting(struct world_client *wc, const char *name,
                            char out[static CRY_RECOVERY_TEXT])
{
    note(world_ok(wc, json_pack("{s:s,s:s,s:s}", "cmd", "register", "name", name, "password",
                                "correct horse")),
         out);
}

/* Messages that were sealed before are read after: the keys are the same. */
Test(account, a_forgotten_password)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    struct world_client *c = world_client(&w, 2);
    char first[CRY_RECOVERY_TEXT], second[CRY_RECOVERY_TEXT];
    register_noting(a, "alice", first);
    world_register(b, "bob");
    world_client_close(a);
    while (world_account(&w, "alice")->link != NULL)
        world_turn(&w);
    world_ok(b, json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", "alice", "text", "waiting",
                          "wait", 20000));
    w.lose_password = true; /* and it is asked again at the next server */
    json_t *me = world_ok(c, reset_request("Alice", first, "battery staple"));
    cr_assert_str_eq(name_in(me), "alice", "she is %s", name_in(me));
    note(me, second);
    cr_assert_str_neq(first, second, "the same recovery key");
    cr_assert_eq(world_account(&w, "alice")->generation, 2, "done once");
    world_event(c, "message", "text", "waiting");

    world_client_open(a);
    cr_assert_str_eq(world_code(a, login_request("alice", "correct horse")), "auth",
                     "the forgotten password counts");
    cr_assert_str_eq(world_code(a, reset_request("alice", first, "x")), "auth",
                     "the used recovery key counts");
    world_ok(a, login_request("alice", "battery staple"));
    world_event(c, "session", "reason", "taken_over");
    world_down(&w);
}

Test(account, a_recovery_key_that_is_none)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    char key[CRY_RECOVERY_TEXT], wrong[CRY_RECOVERY_TEXT];
    register_noting(a, "alice", key);
    memcpy(wrong, key, sizeof wrong);
    wrong[0] = wrong[0] == 'Q' ? 'R' : 'Q';
    cr_assert_str_eq(world_code(b, reset_request("alice", wrong, "x")), "malformed",
                     "a mistyped one was taken");
    const char *said =
        json_string_value(json_object_get(json_object_get(b->reply, "error"), "message"));
    cr_assert_str_eq(said, "the recovery key is mistyped", "it says %s", said);
    cr_assert_str_eq(world_code(b, reset_request("alice", "0000", "x")), "malformed", "too short");
    cr_assert_str_eq(world_code(b, reset_request("alice", "", "x")), "usage", "none at all");
    cr_assert_str_eq(world_code(b, reset_request("alice", key, "")), "usage", "no password");
    cr_assert_eq(w.rescue_asks, 0, "a server was asked");
    cr_assert_str_eq(world_code(b, reset_request("bob", key, "x")), "not_found", "nobody's");
    world_register(b, "bob");
    cr_assert_str_eq(world_code(b, reset_request("alice", key, "x")), "refused",
                     "into another account's profile");
    cr_assert_str_eq(world_code(b, reset_request("bob", key, "x")), "auth", "another account's");
    me_is_here(b, "bob");
    world_down(&w);
}

/* Another key takes the place of the first, at once and for good. */
Test(account, another_recovery_key)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    char first[CRY_RECOVERY_TEXT], second[CRY_RECOVERY_TEXT];
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "recovery", "password", "x")),
                     "auth", "for nobody");
    register_noting(a, "alice", first);
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "recovery", "password", "wrong")),
                     "auth", "by a wrong password");
    w.lose_password = true;
    note(world_ok(a, json_pack("{s:s,s:s}", "cmd", "recovery", "password", "correct horse")),
         second);
    cr_assert_str_eq(world_code(b, reset_request("alice", first, "x")), "auth",
                     "the first one counts");
    world_ok(b, reset_request("alice", second, "battery staple"));
    world_event(a, "session", "reason", "taken_over");
    cr_assert_str_eq(
        world_code(a, json_pack("{s:s,s:s}", "cmd", "recovery", "password", "battery staple")),
        "auth", "without the session");
    world_down(&w);
}

/* ---- settings ------------------------------------------------------------------------ */

/* Expects these in an answer. */
static void set_to(json_t *reply, const char *display, bool receipts, int unread, int days)
{
    const char *shown = json_string_value(json_object_get(reply, "display"));
    cr_assert_str_eq(shown, display, "called %s", shown);
    cr_assert_eq(json_is_true(json_object_get(reply, "receipts")), receipts, "receipts");
    cr_assert_eq(json_integer_value(json_object_get(reply, "unread")), unread, "unread");
    cr_assert_eq(json_integer_value(json_object_get(reply, "session_days")), days, "session_days");
}

static json_t *settings(struct world_client *wc)
{
    return world_ok(wc, json_pack("{s:s}", "cmd", "settings"));
}

Test(account, settings_go_with_the_account)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    cr_assert_str_eq(world_code(a, json_pack("{s:s}", "cmd", "settings")), "auth", "of nobody");
    world_register(a, "alice");
    set_to(settings(a), "alice", true, 0, 0);
    set_to(world_ok(a, json_pack("{s:s,s:i}", "cmd", "settings", "unread", 20)), "alice", true, 20,
           0);
    set_to(world_ok(a, json_pack("{s:s,s:s}", "cmd", "display", "text", "Alice \xc3\x84.")),
           "Alice \xc3\x84.", true, 20, 0);
    w.lose_password = true; /* the answer is: asked again in the session at the next server */
    set_to(world_ok(
               a, json_pack("{s:s,s:b,s:i}", "cmd", "settings", "receipts", 0, "session_days", 90)),
           "Alice \xc3\x84.", false, 20, 90);
    world_client_close(a);
    world_client_open(a);
    set_to(settings(a), "Alice \xc3\x84.", false, 20, 90);
    world_account(&w, "alice")->unread = 7;
    world_client_close(a);
    world_client_open(a);
    me_is_here(a, "alice");
    set_to(settings(a), "Alice \xc3\x84.", false, 7, 90); /* as the session brings it */
    world_account(&w, "alice")->unread = 20;

    world_ok(b, login_request("alice", "correct horse"));
    set_to(settings(b), "Alice \xc3\x84.", false, 20, 90);
    world_event(a, "session", "reason", "taken_over");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:i}", "cmd", "settings", "unread", 1)), "auth",
                     "set without the session");
    set_to(settings(a), "Alice \xc3\x84.", false, 7, 90);
    json_t *me = world_ok(b, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert_str_eq(json_string_value(json_object_get(me, "display")), "Alice \xc3\x84.",
                     "whoami knows it");
    world_down(&w);
}

Test(account, settings_out_of_form)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    static const char *const bad[] = {
        "{\"cmd\":\"settings\",\"receipts\":1}",
        "{\"cmd\":\"settings\",\"receipts\":\"off\"}",
        "{\"cmd\":\"settings\",\"unread\":65536}",
        "{\"cmd\":\"settings\",\"unread\":-1}",
        "{\"cmd\":\"settings\",\"unread\":\"5\"}",
        "{\"cmd\":\"settings\",\"session_days\":1.5}",
        "{\"cmd\":\"display\"}",
        "{\"cmd\":\"display\",\"text\":\"\"}",
        "{\"cmd\":\"display\",\"text\":7}",
    };
    for (size_t i = 0; i < PEAL_COUNT(bad); i++)
        cr_assert_str_eq(world_code(a, json_loads(bad[i], 0, NULL)), "usage", "%s", bad[i]);
    char big[WIRE_NAME_MAX + 2];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "display", "text", big)),
                     "too_long", "too long a name");
    set_to(settings(a), "alice", true, 0, 0);
    world_down(&w);
}

static size_t receipts_in(const struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->row_n; i++)
        n += w->rows[i].kind == WIRE_ROW_RECEIPT;
    return n;
}

static const char *state_with(struct world_client *wc, const char *peer, size_t i)
{
    json_t *h = world_ok(wc, json_pack("{s:s,s:s}", "cmd", "history", "name", peer));
    json_t *m = json_array_get(json_object_get(h, "messages"), i);
    return json_string_value(json_object_get(m, "state"));
}

/* Without receipts nobody is told of what is read, in either direction; what is delivered is told.
 */
Test(account, receipts_are_off)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    world_ok(a, json_pack("{s:s,s:b}", "cmd", "settings", "receipts", 0));
    world_send(b, "alice", "for your eyes only");
    world_event(b, "state", "state", "delivered");
    size_t before = receipts_in(&w);
    world_ok(a, json_pack("{s:s,s:s}", "cmd", "read", "name", "bob"));
    cr_assert_str_eq(state_with(a, "bob", 0), "read", "she has read it");

    world_send(a, "bob", "an answer");
    world_event(a, "state", "state", "delivered"); /* of it, behind any receipt of hers */
    cr_assert_eq(receipts_in(&w), before + 1, "bob's alone");
    cr_assert_str_eq(state_with(b, "alice", 0), "delivered", "bob is told that she has read it");
    world_ok(b, json_pack("{s:s,s:s}", "cmd", "read", "name", "alice"));
    world_send(b, "alice", "read and answered");
    world_event(a, "message", "text", "read and answered"); /* comes behind bob's receipt */
    cr_assert_eq(receipts_in(&w), before + 2, "bob has sent it");
    cr_assert_str_eq(state_with(a, "bob", 1), "delivered", "she is told that he has read it");

    world_ok(a, json_pack("{s:s,s:b}", "cmd", "settings", "receipts", 1));
    world_ok(a, json_pack("{s:s,s:s}", "cmd", "read", "name", "bob"));
    world_event(b, "state", "state", "read");
    world_down(&w);
}

Test(account, so_many_unread_at_a_time)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    for (int i = 0; i < 5; i++)
        world_send(b, "alice", i < 4 ? "early" : "last");
    world_event(a, "message", "text", "last");
    json_t *got = world_ok(a, json_pack("{s:s}", "cmd", "recv"));
    cr_assert_eq(json_integer_value(json_object_get(got, "count")), 5, "all of them");
    world_ok(a, json_pack("{s:s,s:i}", "cmd", "settings", "unread", 2));
    got = world_ok(a, json_pack("{s:s}", "cmd", "recv"));
    cr_assert_eq(json_integer_value(json_object_get(got, "count")), 2, "two at a time");
    got = world_ok(a, json_pack("{s:s,s:i}", "cmd", "recv", "max", 4));
    cr_assert_eq(json_integer_value(json_object_get(got, "count")), 4, "unless one says");
    world_down(&w);
}

/* ---- the end ------------------------------------------------------------------------- */

static json_t *delete_request(const char *password)
{
    return json_pack("{s:s,s:s}", "cmd", "delete", "password", password);
}

Test(account, deleted)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    uint64_t queued = 1;
    cr_assert_str_eq(world_code(a, delete_request("x")), "auth", "nobody's");
    world_register(a, "alice");
    world_register(b, "bob");
    world_send(b, "alice", "hello");
    world_event(a, "message", "text", "hello");
    cr_assert_str_eq(world_code(a, delete_request("wrong")), "auth", "by a wrong password");
    cr_assert(!world_account(&w, "alice")->deleted, "nothing is done");
    me_is_here(a, "alice");
    w.hold_stored = true;
    world_send(a, "bob", "will not go out");
    w.lose_password = true; /* the answer: the same is asked at the next server */
    world_ok(a, delete_request("correct horse"));
    world_event(a, "session", "reason", "deleted");
    cr_assert(world_account(&w, "alice")->deleted, "done");
    json_t *me = world_ok(a, json_pack("{s:s}", "cmd", "whoami"));
    cr_assert(json_is_null(json_object_get(me, "account")), "the profile is free");
    cr_assert_eq(profile_outbox_count(a->profile, "alice", &queued), 0, "the outbox is read");
    cr_assert_eq(queued, 0, "%d wait to be sent", (int)queued);
    cr_assert_str_eq(world_code(a, login_request("alice", "correct horse")), "not_found",
                     "logged in to nothing");
    const char *said =
        json_string_value(json_object_get(json_object_get(a->reply, "error"), "message"));
    cr_assert_str_eq(said, "the account was deleted", "it says %s", said);
    w.hold_stored = false;
    world_register(a, "carol");
    me_is_here(a, "carol");
    world_down(&w);
}
