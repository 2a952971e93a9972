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
