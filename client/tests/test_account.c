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
