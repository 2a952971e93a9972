/* What changes an account, at one node: its password, its recovery key, its
 * settings, its end. */
#include "people.h"

#include <criterion/criterion.h>
#include <string.h>

static struct host *one(void)
{
    struct host_opts o = {
        .nodes = 1, .replicas = 0, .seed = 1, .sessions_max = 32, .locations_max = 64};
    struct host *h = host_new(&o);
    cr_assert(host_whole(h, 20 * HOST_SEC), "a ring of one");
    return h;
}

/* ---- the password ---- */

/* Everything that hangs on the old password ends; the session that changed it goes on. */
Test(credentials, another_password_ends_what_the_old_one_began)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    struct person old = person_of(h, 2, "alice"), fresh = person_of(h, 3, "alice");
    person_register(&alice, 0);
    person_register(&bob, 0);
    struct person before = alice;
    before.client = 2;
    person_ask_password(&alice, 5);
    person_session(&alice);
    cr_assert_eq(alice.generation, 2, "it is a new session");
    cr_assert_neq(memcmp(alice.token, before.token, WIRE_TOKEN_BYTES), 0, "with another token");
    struct peal_msg_id id = people_id(h, 1);
    person_send(&bob, "alice", id, "still there?");
    person_delivered(&alice, "bob", id, "still there?");
    person_send(&alice, "bob", people_id(h, 2), "yes");
    person_stored(&alice, people_id(h, 2));

    person_greet(&before, 0);
    person_ask_resume(&before);
    person_refused(&before, PEAL_E_AUTH);
    person_ask_login(&old, 6);
    const struct wire_c_error *e = person_refused(&old, PEAL_E_AUTH);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("the password is wrong")), "said plainly");
    cr_assert(host_connected(h, 0), "nobody is disturbed");

    const struct wire_c_user *u = person_find(&bob, "alice");
    cr_assert(u->salt.n == CRY_SALT_BYTES && u->salt.p[0] == 9 && u->ops == CRY_KDF_OPS_MIN &&
                  u->mem_kib == CRY_KDF_MEM_MIN / 1024,
              "salt and cost are the new password's");
    memcpy(fresh.auth, alice.new_auth, sizeof fresh.auth);
    person_greet(&fresh, 0);
    person_ask_login(&fresh, 7);
    const union wire_any *m = host_expect(h, 3, WIRE_c_session, PEOPLE_WAIT);
    cr_assert(m != NULL && m->c_session.generation == 3, "the new password logs in");
    cr_assert(m->c_session.wrapped.n == 220 && m->c_session.wrapped.p[0] == 8,
              "and opens what was wrapped anew");
    person_bye(&alice, PEAL_E_TAKEN_OVER);
    host_free(h);
}

/* Who has no session here takes it over by the way; the other client is told. */
Test(credentials, the_password_is_changed_from_elsewhere)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), thief = person_of(h, 1, "alice");
    person_register(&thief, 0);
    person_greet(&alice, 0);
    person_ask_password(&alice, 5);
    person_session(&alice);
    person_bye(&thief, PEAL_E_TAKEN_OVER);
    person_greet(&thief, 0);
    person_ask_resume(&thief);
    person_refused(&thief, PEAL_E_AUTH);
    host_free(h);
}

Test(credentials, a_wrong_password_changes_nothing_and_counts)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), thief = person_of(h, 1, "alice");
    person_register(&alice, 0);
    thief.auth[0] ^= 1;
    person_greet(&thief, 0);
    for (int i = 0; i < SVC_LOGIN_FAILURES; i++) {
        person_ask_password(&thief, 5);
        person_refused(&thief, PEAL_E_AUTH);
    }
    person_ask_password(&thief, 5);
    person_refused(&thief, PEAL_E_BUSY);
    person_ask_login(&thief, 6);
    person_refused(&thief, PEAL_E_BUSY);
    cr_assert(host_connected(h, 0), "the owner is not disturbed");
    host_run(h, 61 * (uint64_t)HOST_SEC);
    person_ask_password(&alice, 7);
    person_session(&alice);
    cr_assert_eq(alice.generation, 2, "the owner changes it");
    host_free(h);
}

/* The same request again is the same session; a late one undoes nothing. */
Test(credentials, a_password_is_changed_once)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), again = person_of(h, 1, "alice");
    person_register(&alice, 0);
    person_ask_password(&alice, 5);
    person_session(&alice);
    person_greet(&again, 0);
    person_ask_password(&again, 5);
    person_session(&again);
    cr_assert_eq(again.generation, 2, "no new session");
    cr_assert_eq(memcmp(again.token, alice.token, WIRE_TOKEN_BYTES), 0, "the same token");
    person_bye(&alice, PEAL_E_CLOSED);

    struct person third = again;
    third.client = 2;
    memcpy(third.auth, again.new_auth, sizeof third.auth);
    memset(third.new_auth, 0x33, sizeof third.new_auth);
    person_greet(&third, 0);
    person_ask_password(&third, 6);
    person_session(&third);
    cr_assert_eq(third.generation, 3, "another change");
    person_bye(&again, PEAL_E_TAKEN_OVER);
    person_greet(&again, 0);
    person_ask_password(&again, 5);
    person_refused(&again, PEAL_E_AUTH); /* its password is not the account's any more */
    cr_assert(host_connected(h, 2), "and the last one's session stays");

    memcpy(again.auth, third.new_auth, sizeof again.auth);
    person_ask_login(&again, 8);
    person_session(&again);
    person_bye(&third, PEAL_E_TAKEN_OVER);
    person_greet(&third, 0);
    person_ask_password(&third, 6);
    person_refused(&third, PEAL_E_TAKEN_OVER); /* done, and its session is over */
    host_free(h);
}

/* With the new password and the same req_id a login is the change's retry, by another way. */
Test(credentials, a_login_finds_the_session_that_the_change_began)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    person_ask_password(&alice, 5);
    person_session(&alice);
    struct person over = alice;
    over.client = 1;
    memcpy(over.auth, alice.new_auth, sizeof over.auth);
    person_greet(&over, 0);
    person_ask_login(&over, 5);
    person_session(&over);
    cr_assert_eq(over.generation, 2, "no new session");
    cr_assert_eq(memcmp(over.token, alice.token, WIRE_TOKEN_BYTES), 0, "the same token");
    host_free(h);
}

Test(credentials, fields_are_checked)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    strcpy(alice.name, "bob");
    person_ask_password(&alice, 1);
    person_refused(&alice, PEAL_E_REFUSED); /* it is not her session's account */
    strcpy(alice.name, "alice");
    struct wire_c_password m = {.req = 9,
                                .name = peal_bytes_str("alice"),
                                .auth = peal_bytes_of(alice.auth, 32),
                                .new_auth = peal_bytes_of(alice.auth, 32)};
    host_say(h, 0, WIRE_c_password, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.salt = peal_bytes_of(alice.auth, CRY_SALT_BYTES);
    m.ops = CRY_KDF_OPS_MIN;
    m.mem_kib = CRY_KDF_MEM_MIN / 1024 - 1;
    m.wrapped = m.salt;
    host_say(h, 0, WIRE_c_password, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.mem_kib++;
    m.auth.n = 31;
    host_say(h, 0, WIRE_c_password, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.name = peal_bytes_str("Alice");
    host_say(h, 0, WIRE_c_password, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    struct person nobody = person_of(h, 2, "nobody");
    person_greet(&nobody, 0);
    person_ask_password(&nobody, 1);
    person_refused(&nobody, PEAL_E_NOT_FOUND);
    host_free(h);
}

/* ---- the recovery key ---- */

static struct person with_rescue(struct host *h, uint32_t client)
{
    struct person p = person_of(h, client, "alice");
    p.has_rescue = true;
    return p;
}

/* With it comes what it wrapped, and another password, once. */
Test(credentials, a_forgotten_password_is_reset)
{
    struct host *h = one();
    struct person alice = with_rescue(h, 0), other = with_rescue(h, 1),
                  bob = person_of(h, 2, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    struct peal_msg_id id = people_id(h, 1);
    person_greet(&other, 0);
    person_ask_rescue(&other);
    const union wire_any *m = host_expect(h, 1, WIRE_c_rescued, PEOPLE_WAIT);
    cr_assert_not_null(m, "her keys");
    cr_assert(m->c_rescued.req == other.req && m->c_rescued.wrapped.n == 199 &&
                  peal_bytes_eq(m->c_rescued.bundle, peal_bytes_of(alice.auth, 32)),
              "as she has left them");
    cr_assert(host_connected(h, 0), "nobody is disturbed");
    host_hang_up(h, 0);
    person_send(&bob, "alice", id, "where are you?");
    person_stored(&bob, id);

    person_ask_reset(&other, 5);
    person_session(&other);
    cr_assert_eq(other.generation, 2, "a new session");
    person_delivered(&other, "bob", id, "where are you?");
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    person_refused(&alice, PEAL_E_AUTH);
    person_ask_login(&alice, 6);
    person_refused(&alice, PEAL_E_AUTH); /* the forgotten password */
    person_ask_rescue(&alice);
    person_refused(&alice, PEAL_E_AUTH); /* the used key */
    memcpy(alice.rescue, alice.new_rescue, sizeof alice.rescue);
    person_ask_rescue(&alice);
    cr_assert_not_null(host_expect(h, 0, WIRE_c_rescued, PEOPLE_WAIT), "the one that follows");
    memcpy(alice.auth, alice.new_auth, sizeof alice.auth);
    person_ask_login(&alice, 7);
    person_session(&alice);
    cr_assert_eq(alice.generation, 3, "the new password logs in");
    host_free(h);
}

Test(credentials, a_reset_is_done_once)
{
    struct host *h = one();
    struct person alice = with_rescue(h, 0), again = with_rescue(h, 1);
    person_register(&alice, 0);
    host_hang_up(h, 0);
    person_greet(&alice, 0);
    person_ask_reset(&alice, 5);
    person_session(&alice);
    person_greet(&again, 0);
    person_ask_reset(&again, 5);
    person_session(&again);
    cr_assert_eq(again.generation, 2, "no new session");
    cr_assert_eq(memcmp(again.token, alice.token, WIRE_TOKEN_BYTES), 0, "the same token");
    struct person third = again;
    third.client = 2;
    memcpy(third.auth, again.new_auth, sizeof third.auth);
    person_login(&third, 0);
    person_greet(&again, 0);
    person_ask_reset(&again, 5);
    person_refused(&again, PEAL_E_TAKEN_OVER);
    person_ask_reset(&again, 6);
    person_refused(&again, PEAL_E_AUTH); /* the key has been used */
    cr_assert(host_connected(h, 2), "the later session stays");
    host_free(h);
}

Test(credentials, wrong_recovery_keys_count)
{
    struct host *h = one();
    struct person alice = with_rescue(h, 0), thief = with_rescue(h, 1),
                  bob = person_of(h, 2, "bob");
    person_register(&alice, 0);
    person_register(&bob, 0);
    thief.rescue[31] ^= 1;
    person_greet(&thief, 0);
    for (int i = 0; i < SVC_LOGIN_FAILURES; i += 2) {
        person_ask_rescue(&thief);
        person_refused(&thief, PEAL_E_AUTH);
        person_ask_reset(&thief, 5);
        person_refused(&thief, PEAL_E_AUTH);
    }
    person_ask_rescue(&thief);
    person_refused(&thief, PEAL_E_BUSY);
    person_ask_reset(&thief, 5);
    person_refused(&thief, PEAL_E_BUSY);
    person_ask_login(&thief, 5);
    person_refused(&thief, PEAL_E_BUSY);
    strcpy(thief.name, "bob");
    person_ask_rescue(&thief);
    const struct wire_c_error *e = person_refused(&thief, PEAL_E_REFUSED);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("this account has no recovery key")),
              "said plainly");
    strcpy(thief.name, "nobody");
    person_ask_rescue(&thief);
    person_refused(&thief, PEAL_E_NOT_FOUND);
    host_free(h);
}

/* Another key by the password; a second time the same request does nothing, as a later one shows.
 */
Test(credentials, another_recovery_key)
{
    struct host *h = one();
    struct person alice = with_rescue(h, 0), other = with_rescue(h, 1);
    person_register(&alice, 0);
    person_greet(&other, 0);
    person_ask_recovery(&alice, 5);
    person_done(&alice);
    person_ask_rescue(&other);
    person_refused(&other, PEAL_E_AUTH);
    memcpy(other.rescue, alice.new_rescue, sizeof other.rescue);
    person_ask_rescue(&other);
    const union wire_any *m = host_expect(h, 1, WIRE_c_rescued, PEOPLE_WAIT);
    cr_assert(m != NULL && m->c_rescued.wrapped.n == 240, "what the new one wrapped");
    memset(alice.new_rescue, 0x11, sizeof alice.new_rescue);
    person_ask_recovery(&alice, 6);
    person_done(&alice);
    memcpy(alice.new_rescue, other.rescue, sizeof alice.new_rescue);
    person_ask_recovery(&alice, 5);
    person_done(&alice);
    person_ask_rescue(&other);
    person_refused(&other, PEAL_E_AUTH);
    memset(other.rescue, 0x11, sizeof other.rescue);
    person_ask_rescue(&other);
    cr_assert_not_null(host_expect(h, 1, WIRE_c_rescued, PEOPLE_WAIT), "the last one counts");
    alice.auth[3] ^= 1;
    person_ask_recovery(&alice, 7);
    person_refused(&alice, PEAL_E_AUTH);
    cr_assert(host_connected(h, 0), "her session goes on");
    host_free(h);
}

/* Keys of the greatest length fit into the record, and are refused beyond. */
Test(credentials, the_longest_keys)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    static uint8_t big[WIRE_WRAPPED_MAX];
    memset(big, 5, sizeof big);
    char name[WIRE_NAME_MAX + 1] = "";
    for (int i = 0; i < 32; i++)
        strcat(name, "\xf0\x90\x90\xa8"); /* U+10428 */
    struct wire_c_register m = {.req = 1,
                                .req_id = {{1}},
                                .name = peal_bytes_str(name),
                                .display = peal_bytes_str(name),
                                .salt = peal_bytes_of(big, CRY_SALT_BYTES),
                                .ops = CRY_KDF_OPS_MIN,
                                .mem_kib = CRY_KDF_MEM_MIN / 1024,
                                .auth = peal_bytes_of(big, 32),
                                .bundle = peal_bytes_of(big, WIRE_BUNDLE_MAX),
                                .wrapped = peal_bytes_of(big, 3073),
                                .recovery = peal_bytes_of(big, 32),
                                .rescued = peal_bytes_of(big, 3072)};
    person_greet(&alice, 0);
    host_say(h, 0, WIRE_c_register, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.wrapped.n = 3072;
    m.rescued.n = 3073;
    host_say(h, 0, WIRE_c_register, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.rescued.n = 0;
    host_say(h, 0, WIRE_c_register, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.rescued.n = 3072;
    m.recovery.n = 0;
    host_say(h, 0, WIRE_c_register, &m);
    person_refused(&alice, PEAL_E_MALFORMED);
    m.recovery.n = 32;
    host_say(h, 0, WIRE_c_register, &m);
    const union wire_any *session = host_expect(h, 0, WIRE_c_session, PEOPLE_WAIT);
    cr_assert(session != NULL && session->c_session.wrapped.n == 3072, "the longest is kept");
    for (uint32_t i = 1; i <= WIRE_LOGINS_MAX;
         i++) { /* and stays when the list of logins is full */
        struct person p = person_of(h, i, "x");
        struct wire_c_login in = {.req = 1,
                                  .req_id = {{9, (uint8_t)i}},
                                  .name = peal_bytes_str(name),
                                  .auth = peal_bytes_of(big, 32)};
        person_greet(&p, 0);
        host_say(h, i, WIRE_c_login, &in);
        cr_assert_not_null(host_expect(h, i, WIRE_c_session, PEOPLE_WAIT), "login %u", i);
    }
    host_free(h);
}

/* ---- settings ---- */

/* Expects a session with these settings. */
static void session_with(struct person *p, const char *display, bool receipts, uint16_t unread,
                         uint16_t session_days)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_session, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s has a session: %s", p->name, host_reason(p->h, p->client));
    const struct wire_c_session *s = &m->c_session;
    cr_assert(peal_bytes_eq(s->display, peal_bytes_str(display)), "called %s, not %.*s", display,
              (int)s->display.n, (const char *)s->display.p);
    cr_assert(s->receipts == receipts && s->unread == unread && s->session_days == session_days,
              "receipts %d, unread %d, days %d", s->receipts, s->unread, s->session_days);
    memcpy(p->token, s->token.p, sizeof p->token);
    p->generation = s->generation;
}

Test(credentials, settings_are_kept_with_the_account)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    person_greet(&alice, 0);
    person_ask_register(&alice, 1);
    session_with(&alice, "Somebody", true, 0, 0);
    person_register(&bob, 0);
    person_ask_settings(&alice, "Alice \xc3\x84.", false, 20, 30);
    person_done(&alice);
    const struct wire_c_user *u = person_find(&bob, "alice");
    cr_assert(peal_bytes_eq(u->display, peal_bytes_str("Alice \xc3\x84.")), "her display name");
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    session_with(&alice, "Alice \xc3\x84.", false, 20, 30);
    person_ask_password(&alice, 2);
    session_with(&alice, "Alice \xc3\x84.", false, 20, 30);
    person_ask_settings(&alice, "", true, 0, 0);
    person_done(&alice);
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    session_with(&alice, "alice", true, 0, 0);
    host_free(h);
}

/* Nothing that moves the reader's cursor, and nothing from a session that is over. */
Test(credentials, settings_that_are_refused)
{
    static const char *const bad[] = {"a\nb",
                                      "a\x1b[2J",
                                      "\x7f",
                                      "a\xc2\x85",
                                      "\xe2\x80\xae"
                                      "ecila",
                                      "a\xe2\x81\xa6",
                                      "\xd8\x9c",
                                      "a\xe2\x80\xa8"
                                      "b",
                                      "\xe2\x80\x8f"};
    static const char *const good[] = {"O'Neill \"the\" <b>", "\xe2\x80\x99", "\xd8\xa7\xd9\x84",
                                       "\xf0\x9f\x94\x94", "\xc2\xa0"};
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), late = person_of(h, 1, "alice");
    person_register(&alice, 0);
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        person_ask_settings(&alice, bad[i], true, 0, 0);
        person_refused(&alice, PEAL_E_MALFORMED);
    }
    for (size_t i = 0; i < PEAL_COUNT(good); i++) {
        person_ask_settings(&alice, good[i], true, 0, 0);
        person_done(&alice);
    }
    struct wire_c_logout out = {.req = ++alice.req};
    host_say(h, 0, WIRE_c_logout, &out); /* and before that is done: */
    person_ask_settings(&alice, "x", true, 0, 0);
    alice.req--;
    person_done(&alice);
    const struct wire_c_error *e = person_refused(&alice, PEAL_E_TAKEN_OVER);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("this session is over")), "said plainly");
    person_greet(&late, 0);
    person_ask_settings(&late, "x", true, 0, 0);
    host_run(h, HOST_SEC);
    cr_assert(!host_connected(h, 1), "without a session the link is closed");
    host_free(h);
}

/* By the server's wall clock, from when the token was given. */
Test(credentials, a_session_expires)
{
    const uint64_t day = (uint64_t)24 * 3600 * 1000;
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    person_ask_settings(&alice, "alice", true, 0, 2);
    person_done(&alice);
    host_skew(h, 0, 2 * day - 60 * 1000);
    person_resume(&alice, 0);
    cr_assert_eq(alice.generation, 1, "not yet");
    host_skew(h, 0, 2 * day);
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    const struct wire_c_error *e = person_refused(&alice, PEAL_E_AUTH);
    cr_assert(peal_bytes_eq(e->message, peal_bytes_str("this session has expired")),
              "said plainly");
    person_ask_login(&alice, 9);
    person_session(&alice);
    person_resume(&alice, 0);
    cr_assert_eq(alice.generation, 2, "the new one has two days again");
    host_skew(h, 0, 4 * day);
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    person_refused(&alice, PEAL_E_AUTH);
    person_ask_password(&alice, 10);
    person_session(&alice);
    person_resume(&alice, 0);
    cr_assert_eq(alice.generation, 3, "so has that of another password");
    host_free(h);
}

/* A token that an earlier build gave counts from the first settings on. */
Test(credentials, settings_of_an_account_that_an_earlier_build_stored)
{
    const uint64_t day = (uint64_t)24 * 3600 * 1000;
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice");
    person_register(&alice, 0);
    host_run(h, HOST_SEC);
    host_kill(h, 0);
    cr_assert_eq(host_age_accounts(h, 0, 1), 1, "as it was then");
    host_start(h, 0);
    cr_assert(host_whole(h, 20 * HOST_SEC), "a ring of one");
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    session_with(&alice, "Somebody", true, 0, 0);
    person_ask_settings(&alice, "Somebody", false, 0, 1);
    person_done(&alice);
    person_resume(&alice, 0);
    host_skew(h, 0, day);
    person_greet(&alice, 0);
    person_ask_resume(&alice);
    person_refused(&alice, PEAL_E_AUTH);
    host_free(h);
}

/* ---- the end ---- */

static bool is_said(const struct wire_c_error *e, const char *message)
{
    return peal_bytes_eq(e->message, peal_bytes_str(message));
}

/* Nothing is left but the name, for 30 days; then it is anybody's. */
Test(credentials, a_deleted_account)
{
    const uint64_t day = (uint64_t)24 * 3600 * 1000;
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), bob = person_of(h, 1, "bob");
    struct person other = person_of(h, 2, "alice");
    alice.has_rescue = true;
    person_register(&alice, 0);
    person_register(&bob, 0);
    for (uint64_t i = 1; i <= 300; i++) {
        person_send(&bob, "alice", people_id(h, i), "unread");
        if (i % 100 == 0)
            host_run(h, 100 * HOST_MS);
    }
    host_run(h, HOST_SEC);
    cr_assert_eq(host_rows(h, 0), 300, "they wait: %zu", host_rows(h, 0));
    alice.auth[0] ^= 1;
    person_ask_delete(&alice, 5);
    person_refused(&alice, PEAL_E_AUTH);
    alice.auth[0] ^= 1;
    person_ask_delete(&alice, 6);
    person_done(&alice);
    cr_assert(host_connected(h, 0), "the link stays");
    host_run(h, 2 * HOST_SEC);
    cr_assert_eq(host_rows(h, 0), 0, "the mailbox is empty: %zu", host_rows(h, 0));

    person_ask_resume(&alice);
    cr_assert(is_said(person_refused(&alice, PEAL_E_AUTH), "this account was deleted"), "resumed");
    person_ask_login(&alice, 7);
    cr_assert(is_said(person_refused(&alice, PEAL_E_NOT_FOUND), "the account alice was deleted"),
              "logged in");
    person_ask_password(&alice, 8);
    person_refused(&alice, PEAL_E_NOT_FOUND);
    person_ask_rescue(&alice);
    person_refused(&alice, PEAL_E_NOT_FOUND);
    person_ask_reset(&alice, 9);
    person_refused(&alice, PEAL_E_NOT_FOUND);
    struct wire_c_find find = {.req = 9, .name = peal_bytes_str("alice")};
    host_say(h, 1, WIRE_c_find, &find);
    cr_assert(is_said(person_refused(&bob, PEAL_E_NOT_FOUND), "the account alice was deleted"),
              "found");
    person_ask_delete(&alice, 6);
    person_done(&alice); /* that was done */
    person_ask_delete(&alice, 10);
    person_refused(&alice, PEAL_E_NOT_FOUND);

    person_greet(&other, 0);
    person_ask_register(&other, 11);
    cr_assert(is_said(person_refused(&other, PEAL_E_EXISTS),
                      "the account alice was deleted; its name can be registered again in 30 days"),
              "taken for now");
    host_skew(h, 0, 29 * day);
    person_ask_register(&other, 11);
    cr_assert(is_said(person_refused(&other, PEAL_E_EXISTS),
                      "the account alice was deleted; its name can be registered again in 1 day"),
              "for a day");
    host_skew(h, 0, 30 * day);
    other.auth[0] ^= 1;
    person_ask_register(&other, 11);
    person_session(&other);
    cr_assert_eq(other.generation, 3, "later than all sessions before");
    person_greet(&bob, 0);
    cr_assert(peal_bytes_eq(person_find(&bob, "alice")->bundle, peal_bytes_of(other.auth, 32)),
              "another one's keys");
    person_greet(&alice, 0);
    person_ask_login(&alice, 12);
    person_refused(&alice, PEAL_E_AUTH);
    cr_assert(host_connected(h, 2), "and another one's account");
    host_free(h);
}

/* Without a session as well; whoever has it is told. */
Test(credentials, an_account_is_deleted_from_elsewhere)
{
    struct host *h = one();
    struct person alice = person_of(h, 0, "alice"), here = person_of(h, 1, "alice");
    person_register(&alice, 0);
    person_greet(&here, 0);
    person_ask_delete(&here, 5);
    person_done(&here);
    person_bye(&alice, PEAL_E_TAKEN_OVER);
    struct person bob = person_of(h, 2, "bob");
    person_register(&bob, 0);
    strcpy(bob.name, "alice");
    person_ask_delete(&bob, 6);
    person_refused(&bob, PEAL_E_REFUSED);
    host_free(h);
}
