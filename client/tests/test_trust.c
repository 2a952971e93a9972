/* Other people's keys: what a ring that shows a false one can do, and what the user says to it. */
#include <criterion/criterion.h>
#include <string.h>

#include "world.h"

static json_t *bob_of(struct world_client *wc)
{
    json_t *reply = world_ok(wc, json_pack("{s:s}", "cmd", "conversations"));
    json_t *line = json_array_get(json_object_get(reply, "conversations"), 0);
    cr_assert_not_null(line, "there is no conversation");
    return line;
}

static json_t *with(struct world_client *wc, const char *cmd, const char *name)
{
    return world_ok(wc, json_pack("{s:s,s:s}", "cmd", cmd, "name", name));
}

static json_t *trust(const char *name, const char *fingerprint)
{
    return json_pack("{s:s,s:s,s:s}", "cmd", "trust", "name", name, "fingerprint", fingerprint);
}

static json_t *verify(const char *name, const char *number)
{
    return json_pack("{s:s,s:s,s:s}", "cmd", "verify", "name", name, "number", number);
}

static bool is_changed(json_t *object)
{
    cr_assert(json_is_boolean(json_object_get(object, "changed")), "nothing is said of a change");
    return json_is_true(json_object_get(object, "changed"));
}

static bool is_verified(json_t *object)
{
    cr_assert(json_is_boolean(json_object_get(object, "verified")), "nothing is said of comparing");
    return json_is_true(json_object_get(object, "verified"));
}

/* The latest message of a history. */
static json_t *last_of(struct world_client *wc, const char *name)
{
    json_t *messages = json_object_get(with(wc, "history", name), "messages");
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    cr_assert_not_null(last, "there is no message");
    return last;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void reopen(struct world_client *wc)
{
    world_client_close(wc);
    json_array_clear(wc->events);
    world_client_open(wc);
}

static void say(struct world_client *from, const char *to, const char *text)
{
    world_ok(from,
             json_pack("{s:s,s:s,s:s,s:i}", "cmd", "send", "to", to, "text", text, "wait", 30000));
}

/* Alice and Bob know each other's keys. */
static void acquainted(struct world *w, struct world_client **a, struct world_client **b)
{
    world_up(w);
    *a = world_client(w, 0);
    *b = world_client(w, 1);
    world_register(*a, "alice");
    world_register(*b, "bob");
    say(*a, "bob", "who are you?");
    world_event(*a, "state", "state", "delivered");
    say(*b, "alice", "bob");
    world_event(*a, "message", "text", "bob");
}

/* What a server that lies shows of somebody from now on: somebody else's keys. */
static struct world_account falsify(struct world *w, const char *name, const char *others)
{
    struct world_account *a = world_account(w, name);
    struct world_account was = *a;
    const struct world_account *other = world_account(w, others);
    memcpy(a->bundle, other->bundle, other->bundle_n);
    a->bundle_n = other->bundle_n;
    return was;
}

static void restore(struct world *w, const struct world_account *was)
{
    struct world_account *a = world_account(w, was->name);
    memcpy(a->bundle, was->bundle, sizeof a->bundle);
    a->bundle_n = was->bundle_n;
}

/* The person loses all keys and begins anew under the same name, as another client. */
static struct world_client *begin_anew(struct world *w, const char *name)
{
    struct world_account *old = world_account(w, name);
    if (old->link != NULL)
        net_link_close(old->link, "gone");
    while (old->link != NULL)
        world_turn(w);
    (void)snprintf(old->name, sizeof old->name, "%s.former", name);
    struct world_client *again = world_client(w, 2);
    world_register(again, name);
    return again;
}

/* Messages that have reached the servers. */
static size_t sent_by(const struct world *w, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < w->row_n; i++)
        n += w->rows[i].kind == WIRE_ROW_MESSAGE && strcmp(w->rows[i].from, name) == 0;
    return n;
}

/* Whatever may go out has gone, and has reached its server: the session is there, and a question
 * that was asked after it is answered. Bob's key is still another. */
static void give_chance(struct world_client *wc)
{
    json_t *synced = world_ok(wc, json_pack("{s:s,s:i}", "cmd", "sync", "wait", 30000));
    cr_assert(json_is_true(json_object_get(synced, "settled")), "there is no session");
    cr_assert(is_changed(with(wc, "status", "bob")), "the change is forgotten");
}

Test(trust, a_false_key_is_caught_and_nothing_is_sent_under_it)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    struct world_client *m = world_client(&w, 2);
    world_register(m, "mallory");
    struct world_account was = falsify(&w, "bob", "mallory");
    size_t sends = sent_by(&w, "alice");
    reopen(a);
    world_send(a, "bob", "secret"); /* nobody waits for the answer */
    json_t *trouble = world_event(a, "trouble", "code", "auth");
    cr_assert_not_null(strstr(text_of(trouble, "message"), "key of bob has changed"),
                       "the user is told: %s", text_of(trouble, "message"));
    cr_assert(is_changed(world_event(a, "key", "name", "bob")), "the event says another thing");
    cr_assert(is_changed(bob_of(a)), "conversations hide it");
    cr_assert(is_changed(with(a, "status", "bob")), "status hides it");
    json_t *last = last_of(a, "bob");
    cr_assert_str_eq(text_of(last, "state"), "queued", "it is %s", text_of(last, "state"));
    cr_assert_not_null(strstr(text_of(last, "reason"), "key has changed"), "the reason is %s",
                       text_of(last, "reason"));
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s,s:s}", "cmd", "send", "to", "bob", "text",
                                             "another secret")),
                     "auth", "a known change is no error");
    /* the same again with a client that begins anew: the profile remembers */
    reopen(a);
    world_event(a, "trouble", "code", "auth");
    give_chance(a);
    cr_assert_str_eq(text_of(last_of(a, "bob"), "state"), "queued", "what was queued did not stay");
    cr_assert_eq(sent_by(&w, "alice"), sends, "something was sent");
    /* what the true bob writes is still his */
    say(b, "alice", "it is me");
    world_event(a, "message", "text", "it is me");
    /* the true key is back: all goes on by itself */
    restore(&w, &was);
    cr_assert(!is_changed(with(a, "status", "bob")), "still changed");
    world_event(b, "message", "text", "secret");
    cr_assert(!is_changed(bob_of(a)), "conversations still say it");
    say(a, "bob", "on we go");
    world_event(b, "message", "text", "on we go");
    for (size_t i = 0; i < json_array_size(m->events); i++)
        cr_assert_str_neq(json_string_value(json_array_get(json_array_get(m->events, i), 0)),
                          "message", "somebody else got something");
    world_down(&w);
}

Test(trust, a_new_key_is_accepted_by_its_fingerprint_alone)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    char pinned[2 * CRY_FP_BYTES + 1];
    char shown[2 * CRY_FP_BYTES + 1];
    char number[SAFETY_TEXT];
    json_t *seen = with(a, "trust", "bob");
    cr_assert(!is_changed(seen), "nothing has changed yet");
    cr_assert_str_eq(text_of(seen, "pinned"), text_of(seen, "shown"), "two keys of one person");
    struct world_client *anew = begin_anew(&w, "bob");
    reopen(a);
    world_send(a, "bob", "are you the same?");
    world_event(a, "key", "name", "bob");
    seen = with(a, "trust", "bob");
    cr_assert(is_changed(seen), "a look alone accepts");
    (void)snprintf(pinned, sizeof pinned, "%s", text_of(seen, "pinned"));
    (void)snprintf(shown, sizeof shown, "%s", text_of(seen, "shown"));
    (void)snprintf(number, sizeof number, "%s", text_of(seen, "number"));
    cr_assert_str_neq(pinned, shown, "the two keys are one");
    cr_assert_str_eq(world_code(a, trust("bob", pinned)), "stale", "another one was accepted");
    cr_assert_str_eq(world_code(a, trust("bob", "12ab")), "usage", "half a fingerprint");
    cr_assert(is_changed(with(a, "trust", "bob")), "a refusal changed something");
    cr_assert_str_eq(text_of(last_of(a, "bob"), "state"), "queued", "a refusal sent something");
    /* the number that they compare before: the new bob sees the same */
    cr_assert_str_eq(text_of(with(anew, "safety", "alice"), "number"), number,
                     "the two ends see different numbers");
    json_t *done = world_ok(a, trust("bob", shown));
    cr_assert(!is_changed(done), "accepted, and still changed");
    cr_assert_str_eq(text_of(done, "pinned"), shown, "another key is pinned");
    world_event(anew, "message", "text", "are you the same?");
    cr_assert_str_eq(text_of(with(a, "safety", "bob"), "number"), number, "another number");
    reopen(a);
    say(a, "bob", "and again");
    world_event(anew, "message", "text", "and again");
    world_down(&w);
}

Test(trust, what_came_under_a_new_key_is_read_once_it_is_accepted)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    struct world_client *anew = begin_anew(&w, "bob");
    say(anew, "alice", "I have a new machine");
    say(anew, "alice", "answer me");
    world_event(a, "message", "state", "unreadable");
    world_event(a, "trouble", "code", "auth"); /* found out by that message */
    cr_assert(is_changed(bob_of(a)), "conversations hide it");
    while (strcmp(text_of(json_object_get(bob_of(a), "last"), "state"), "unreadable") != 0 ||
           json_integer_value(json_object_get(bob_of(a), "unread")) != 3)
        world_turn(&w);
    json_t *messages = json_object_get(with(a, "history", "bob"), "messages");
    size_t count = json_array_size(messages);
    for (size_t i = 0; i < count; i++)
        cr_assert_null(strstr(text_of(json_array_get(messages, i), "text"), "new machine"),
                       "shown as the pinned person's");
    cr_assert_str_neq(text_of(last_of(anew, "alice"), "state"), "delivered",
                      "a receipt for what nobody could read");
    char shown[2 * CRY_FP_BYTES + 1];
    (void)snprintf(shown, sizeof shown, "%s", text_of(with(a, "trust", "bob"), "shown"));
    world_ok(a, trust("bob", shown));
    world_event(a, "message", "text", "I have a new machine");
    world_event(a, "message", "text", "answer me");
    messages = json_object_get(with(a, "history", "bob"), "messages");
    cr_assert_eq(json_array_size(messages), count, "%zu messages instead of %zu",
                 json_array_size(messages), count);
    for (size_t i = 0; i < count; i++)
        cr_assert_str_neq(text_of(json_array_get(messages, i), "state"), "unreadable",
                          "it is still unreadable");
    json_array_clear(anew->events);
    while (strcmp(text_of(last_of(anew, "alice"), "state"), "delivered") != 0)
        world_turn(&w);
    world_down(&w);
}

/* Sealed, and then the key changed: it stays here while that lasts, and nobody else gets it. */
Test(trust, what_was_sealed_for_the_former_key_fails)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    (void)snprintf(w.full, sizeof w.full, "bob");
    world_send(a, "bob", "for the old bob"); /* known to be the pinned key: sealed at once */
    world_event(a, "state", "reason", "the mailbox of bob is full");
    struct world_client *anew = begin_anew(&w, "bob");
    cr_assert(is_changed(with(a, "status", "bob")), "not found out");
    w.full[0] = '\0';
    size_t sends = sent_by(&w, "alice");
    reopen(a);
    give_chance(a);
    cr_assert_eq(sent_by(&w, "alice"), sends, "it was sent while the key is another");
    char shown[2 * CRY_FP_BYTES + 1];
    (void)snprintf(shown, sizeof shown, "%s", text_of(with(a, "trust", "bob"), "shown"));
    world_ok(a, trust("bob", shown));
    world_event(a, "state", "state", "failed");
    json_t *trouble = world_event(a, "trouble", "code", "stale");
    cr_assert_not_null(strstr(text_of(trouble, "message"), "former key"), "the reason is %s",
                       text_of(trouble, "message"));
    say(a, "bob", "for the new bob");
    world_event(anew, "message", "text", "for the new bob");
    for (size_t i = 0; i < json_array_size(anew->events); i++)
        cr_assert_str_neq(text_of(json_array_get(json_array_get(anew->events, i), 1), "state"),
                          "unreadable", "it got what it cannot read");
    world_down(&w);
}

/* It was passed by while the ring showed a false key, and goes out when the true one is back. */
Test(trust, what_was_sealed_and_held_back_goes_out_with_the_true_key)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    struct world_client *m = world_client(&w, 2);
    world_register(m, "mallory");
    (void)snprintf(w.full, sizeof w.full, "bob");
    world_send(a, "bob", "held back"); /* known to be the pinned key: sealed at once */
    world_event(a, "state", "reason", "the mailbox of bob is full");
    struct world_account was = falsify(&w, "bob", "mallory");
    cr_assert(is_changed(with(a, "status", "bob")), "not found out");
    w.full[0] = '\0';
    size_t sends = sent_by(&w, "alice");
    reopen(a);
    give_chance(a);
    cr_assert_eq(sent_by(&w, "alice"), sends, "it was sent while the key is another");
    restore(&w, &was);
    cr_assert(!is_changed(with(a, "status", "bob")), "still changed");
    world_event(b, "message", "text", "held back");
    world_down(&w);
}

Test(trust, what_is_no_key_is_not_accepted)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    struct world_account was = *world_account(&w, "bob");
    world_account(&w, "bob")->bundle[20] ^= 1;
    size_t sends = sent_by(&w, "alice");
    reopen(a);
    world_send(a, "bob", "secret");
    world_event(a, "trouble", "code", "auth");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "trust", "name", "bob")),
                     "malformed", "shown as a key");
    cr_assert_eq(sent_by(&w, "alice"), sends, "something was sent");
    restore(&w, &was);
    cr_assert(!is_changed(with(a, "trust", "bob")), "it has not come back");
    world_event(b, "message", "text", "secret");
    world_down(&w);
}

Test(trust, a_safety_number_is_compared_and_remembered)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    char number[SAFETY_TEXT];
    char code[128];
    json_t *mine = with(a, "safety", "bob");
    (void)snprintf(number, sizeof number, "%s", text_of(mine, "number"));
    (void)snprintf(code, sizeof code, "%s", text_of(mine, "qr"));
    cr_assert(!is_verified(mine), "verified by nobody");
    cr_assert_eq(strlen(number), (size_t)SAFETY_TEXT - 1, "not twelve groups: %s", number);
    cr_assert_eq(strspn(number, "0123456789 "), strlen(number), "not digits: %s", number);
    cr_assert_str_eq(text_of(with(b, "safety", "alice"), "number"), number,
                     "the two ends see different numbers");
    cr_assert_eq(strncmp(code, "peal-safety:1:", 14), 0, "the code says %s", code);
    cr_assert_eq(strlen(code), 14 + (size_t)CRY_SAFETY_DIGITS, "the code says %s", code);

    char wrong[SAFETY_TEXT];
    (void)snprintf(wrong, sizeof wrong, "%s", number);
    wrong[SAFETY_TEXT - 2] = wrong[SAFETY_TEXT - 2] == '0' ? '1' : '0';
    cr_assert_str_eq(world_code(a, verify("bob", wrong)), "auth", "one digit does not count");
    wrong[SAFETY_TEXT - 2] = '\0';
    cr_assert_str_eq(world_code(a, verify("bob", wrong)), "auth", "59 digits are enough");
    cr_assert_str_eq(world_code(a, verify("bob", "")), "auth", "none is enough");
    (void)snprintf(code, sizeof code, "%s5", number);
    cr_assert_str_eq(world_code(a, verify("bob", code)), "auth", "61 digits are taken");
    cr_assert_str_eq(world_code(a, json_pack("{s:s,s:s}", "cmd", "verify", "name", "bob")), "usage",
                     "without a number");
    cr_assert(!is_verified(bob_of(a)), "a refusal verifies");

    cr_assert(is_verified(world_ok(a, verify("bob", number))), "not verified");
    cr_assert(is_verified(bob_of(a)), "conversations do not say it");
    cr_assert(is_verified(with(a, "status", "bob")), "status does not say it");
    reopen(a);
    cr_assert(is_verified(with(a, "safety", "bob")), "forgotten");
    cr_assert(!is_verified(with(b, "safety", "alice")), "one end's word is the other's");
    (void)snprintf(code, sizeof code, "%s", text_of(with(a, "safety", "bob"), "qr"));
    cr_assert(is_verified(world_ok(b, verify("alice", code))), "the code is not taken");
    world_down(&w);
}

Test(trust, a_change_of_key_ends_what_was_verified)
{
    struct world w;
    struct world_client *a;
    struct world_client *b;
    acquainted(&w, &a, &b);
    struct world_client *m = world_client(&w, 2);
    world_register(m, "mallory");
    char number[SAFETY_TEXT];
    (void)snprintf(number, sizeof number, "%s", text_of(with(a, "safety", "bob"), "number"));
    world_ok(a, verify("bob", number));
    struct world_account was = falsify(&w, "bob", "mallory");
    cr_assert(!is_verified(with(a, "status", "bob")), "a false key is verified");
    cr_assert_str_eq(world_code(a, verify("bob", number)), "auth", "verified while it is changed");
    json_t *seen = with(a, "safety", "bob");
    cr_assert(is_changed(seen) && !is_verified(seen), "safety hides it");
    /* the very pair that was compared is back */
    restore(&w, &was);
    cr_assert(is_verified(with(a, "status", "bob")), "the same pair of keys is not known");
    /* accepted is not verified, and the former key accepted again is not either */
    (void)falsify(&w, "bob", "mallory");
    char fp[2 * CRY_FP_BYTES + 1];
    (void)snprintf(fp, sizeof fp, "%s", text_of(with(a, "trust", "bob"), "shown"));
    world_ok(a, trust("bob", fp));
    cr_assert(!is_verified(with(a, "safety", "bob")), "accepted by fingerprint, called verified");
    cr_assert_str_eq(world_code(a, verify("bob", number)), "auth", "the former number is taken");
    restore(&w, &was);
    (void)snprintf(fp, sizeof fp, "%s", text_of(with(a, "trust", "bob"), "shown"));
    world_ok(a, trust("bob", fp));
    cr_assert(!is_verified(with(a, "safety", "bob")), "verified without a look");
    world_down(&w);
}

Test(trust, of_people_that_are_new_unknown_or_oneself)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    static const char *const commands[] = {"trust", "safety", "verify"};
    for (size_t i = 0; i < PEAL_COUNT(commands); i++) {
        json_t *ask = json_pack("{s:s,s:s,s:s}", "cmd", commands[i], "name", "bob", "number", "1");
        cr_assert_str_eq(world_code(a, ask), "auth", "%s without an account", commands[i]);
    }
    world_register(a, "alice");
    for (size_t i = 0; i < PEAL_COUNT(commands); i++) {
        json_t *ask =
            json_pack("{s:s,s:s,s:s}", "cmd", commands[i], "name", "nobody", "number", "1");
        cr_assert_str_eq(world_code(a, ask), "not_found", "%s of nobody", commands[i]);
        ask = json_pack("{s:s,s:s,s:s}", "cmd", commands[i], "name", "ALICE", "number", "1");
        cr_assert_str_eq(world_code(a, ask), "refused", "%s of oneself", commands[i]);
        ask = json_pack("{s:s,s:s,s:s}", "cmd", commands[i], "name", "a b", "number", "1");
        cr_assert_str_eq(world_code(a, ask), "malformed", "%s of no name", commands[i]);
    }
    struct world_client *b = world_client(&w, 1);
    world_register(b, "bob");
    char number[SAFETY_TEXT];
    (void)snprintf(number, sizeof number, "%s", text_of(with(a, "safety", "Bob"), "number"));
    cr_assert_str_eq(text_of(with(b, "safety", "alice"), "number"), number, "different numbers");
    cr_assert(!is_changed(with(a, "trust", "bob")), "a first look is no change");
    world_down(&w);
}
