/* Clients of the little world, in words. See people.h. */
#include "people.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct person person_of(struct host *h, uint32_t client, const char *name)
{
    struct person p = {.h = h, .client = client};
    (void)snprintf(p.name, sizeof p.name, "%s", name);
    memset(p.auth, (int)strlen(name) + name[0], sizeof p.auth);
    memset(p.new_auth, 0xa5, sizeof p.new_auth);
    memset(p.rescue, 0x5e, sizeof p.rescue);
    memset(p.new_rescue, 0x5f, sizeof p.new_rescue);
    return p;
}

void person_greet(struct person *p, uint32_t node)
{
    struct wire_c_hello m = {.version = WIRE_VERSION, .agent = peal_bytes_str("test")};
    host_connect(p->h, p->client, node);
    host_say(p->h, p->client, WIRE_c_hello, &m);
    cr_assert_not_null(host_expect(p->h, p->client, WIRE_c_welcome, PEOPLE_WAIT),
                       "%s is welcome: %s", p->name, host_reason(p->h, p->client));
}

static struct peal_msg_id number(uint64_t n)
{
    struct peal_msg_id id = {{0}};
    memcpy(id.b + 8, &n, sizeof n);
    return id;
}

void person_ask_register(struct person *p, uint64_t req_id)
{
    static const uint8_t salt[CRY_SALT_BYTES] = {1, 2, 3};
    static const uint8_t wrapped[200] = {7};
    uint8_t hash[CRY_HASH_BYTES];
    cry_recovery_hash(p->rescue, hash);
    struct wire_c_register m = {.req = ++p->req,
                                .req_id = number(req_id),
                                .name = peal_bytes_str(p->name),
                                .display = peal_bytes_str("Somebody"),
                                .salt = peal_bytes_of(salt, sizeof salt),
                                .ops = CRY_KDF_OPS_DEFAULT,
                                .mem_kib = CRY_KDF_MEM_DEFAULT / 1024,
                                .auth = peal_bytes_of(p->auth, sizeof p->auth),
                                .bundle = peal_bytes_of(p->auth, sizeof p->auth),
                                .wrapped = peal_bytes_of(wrapped, sizeof wrapped)};
    if (p->has_rescue) {
        m.recovery = peal_bytes_of(hash, sizeof hash);
        m.rescued = peal_bytes_of(wrapped, sizeof wrapped - 1);
    }
    host_say(p->h, p->client, WIRE_c_register, &m);
}

void person_ask_login(struct person *p, uint64_t req_id)
{
    struct wire_c_login m = {.req = ++p->req,
                             .req_id = number(req_id),
                             .name = peal_bytes_str(p->name),
                             .auth = peal_bytes_of(p->auth, sizeof p->auth)};
    host_say(p->h, p->client, WIRE_c_login, &m);
}

void person_ask_resume(struct person *p)
{
    struct wire_c_resume m = {.req = ++p->req,
                              .name = peal_bytes_str(p->name),
                              .token = peal_bytes_of(p->token, sizeof p->token)};
    host_say(p->h, p->client, WIRE_c_resume, &m);
}

void person_session(struct person *p)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_session, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s has a session: %s", p->name, host_reason(p->h, p->client));
    cr_assert_eq(m->c_session.req, p->req, "the answer is to the question");
    cr_assert_eq(m->c_session.token.n, WIRE_TOKEN_BYTES, "a token");
    cr_assert(peal_bytes_eq(m->c_session.name, peal_bytes_str(p->name)), "the name");
    memcpy(p->token, m->c_session.token.p, WIRE_TOKEN_BYTES);
    p->generation = m->c_session.generation;
}

void person_register(struct person *p, uint32_t node)
{
    person_greet(p, node);
    person_ask_register(p, rng_next(host_rng(p->h)));
    person_session(p);
}

void person_login(struct person *p, uint32_t node)
{
    person_greet(p, node);
    person_ask_login(p, rng_next(host_rng(p->h)));
    person_session(p);
}

void person_resume(struct person *p, uint32_t node)
{
    person_greet(p, node);
    person_ask_resume(p);
    person_session(p);
}

void person_ask_password(struct person *p, uint64_t req_id)
{
    static const uint8_t salt[CRY_SALT_BYTES] = {9, 8, 7};
    static const uint8_t wrapped[220] = {8};
    struct wire_c_password m = {.req = ++p->req,
                                .req_id = number(req_id),
                                .name = peal_bytes_str(p->name),
                                .auth = peal_bytes_of(p->auth, sizeof p->auth),
                                .salt = peal_bytes_of(salt, sizeof salt),
                                .ops = CRY_KDF_OPS_MIN,
                                .mem_kib = CRY_KDF_MEM_MIN / 1024,
                                .new_auth = peal_bytes_of(p->new_auth, sizeof p->new_auth),
                                .wrapped = peal_bytes_of(wrapped, sizeof wrapped)};
    host_say(p->h, p->client, WIRE_c_password, &m);
}

void person_ask_rescue(struct person *p)
{
    struct wire_c_rescue m = {.req = ++p->req,
                              .name = peal_bytes_str(p->name),
                              .auth = peal_bytes_of(p->rescue, sizeof p->rescue)};
    host_say(p->h, p->client, WIRE_c_rescue, &m);
}

void person_ask_reset(struct person *p, uint64_t req_id)
{
    static const uint8_t salt[CRY_SALT_BYTES] = {6, 5, 4};
    static const uint8_t wrapped[230] = {9};
    uint8_t hash[CRY_HASH_BYTES];
    cry_recovery_hash(p->new_rescue, hash);
    struct wire_c_reset m = {.req = ++p->req,
                             .req_id = number(req_id),
                             .name = peal_bytes_str(p->name),
                             .auth = peal_bytes_of(p->rescue, sizeof p->rescue),
                             .salt = peal_bytes_of(salt, sizeof salt),
                             .ops = CRY_KDF_OPS_MIN,
                             .mem_kib = CRY_KDF_MEM_MIN / 1024,
                             .new_auth = peal_bytes_of(p->new_auth, sizeof p->new_auth),
                             .wrapped = peal_bytes_of(wrapped, sizeof wrapped),
                             .recovery = peal_bytes_of(hash, sizeof hash),
                             .rescued = peal_bytes_of(wrapped, sizeof wrapped)};
    host_say(p->h, p->client, WIRE_c_reset, &m);
}

void person_ask_recovery(struct person *p, uint64_t req_id)
{
    static const uint8_t rescued[240] = {10};
    uint8_t hash[CRY_HASH_BYTES];
    cry_recovery_hash(p->new_rescue, hash);
    struct wire_c_recovery m = {.req = ++p->req,
                                .req_id = number(req_id),
                                .auth = peal_bytes_of(p->auth, sizeof p->auth),
                                .recovery = peal_bytes_of(hash, sizeof hash),
                                .rescued = peal_bytes_of(rescued, sizeof rescued)};
    host_say(p->h, p->client, WIRE_c_recovery, &m);
}

void person_ask_delete(struct person *p, uint64_t req_id)
{
    struct wire_c_delete m = {.req = ++p->req,
                              .req_id = number(req_id),
                              .name = peal_bytes_str(p->name),
                              .auth = peal_bytes_of(p->auth, sizeof p->auth)};
    host_say(p->h, p->client, WIRE_c_delete, &m);
}

void person_ask_settings(struct person *p, const char *display, bool receipts, uint16_t unread,
                         uint16_t session_days)
{
    struct wire_c_settings m = {.req = ++p->req,
                                .display = peal_bytes_str(display),
                                .receipts = receipts,
                                .unread = unread,
                                .session_days = session_days};
    host_say(p->h, p->client, WIRE_c_settings, &m);
}

void person_done(struct person *p)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_ok, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s's request is done: %s", p->name, host_reason(p->h, p->client));
    cr_assert_eq(m->c_ok.req, p->req, "the answer is to the question");
}

const struct wire_c_error *person_refused(struct person *p, int err)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_error, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s is refused: %s", p->name, host_reason(p->h, p->client));
    cr_assert_eq(-(int)m->c_error.code, err, "refused with %s, expected %s",
                 err_name(-(int)m->c_error.code), err_name(err));
    cr_assert(m->c_error.message.n > 0 && m->c_error.hint.n > 0,
              "an error says what was wrong and what to do");
    return &m->c_error;
}

const struct wire_c_bye *person_bye(struct person *p, int err)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_bye, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s is told good-bye", p->name);
    cr_assert_eq(-(int)m->c_bye.code, err, "good-bye with %s, expected %s",
                 err_name(-(int)m->c_bye.code), err_name(err));
    return &m->c_bye;
}

struct peal_msg_id people_id(struct host *h, uint64_t n)
{
    struct peal_msg_id id;
    uint64_t ms = host_wall(h);
    struct wr w;
    wr_init(&w, id.b, sizeof id.b);
    wr_u16(&w, (uint16_t)(ms >> 32));
    wr_u32(&w, (uint32_t)ms);
    wr_u16(&w, 0);
    wr_u64(&w, n);
    cr_assert_eq(wr_end(&w), 0, "an id");
    return id;
}

void person_send(struct person *p, const char *to, struct peal_msg_id id, const char *text)
{
    struct wire_c_send m = {.id = id,
                            .name = peal_bytes_str(to),
                            .kind = WIRE_ROW_MESSAGE,
                            .body = peal_bytes_str(text)};
    host_say(p->h, p->client, WIRE_c_send, &m);
}

void person_stored(struct person *p, struct peal_msg_id id)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_stored, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s's message is stored", p->name);
    cr_assert(m->c_stored.ids.n == 1 && msg_id_eq(&m->c_stored.ids.v[0], &id),
              "this one, and no other");
}

const struct wire_c_deliver *person_rows(struct person *p, uint64_t us)
{
    uint64_t end = host_now(p->h) + us;
    const union wire_any *m = NULL;
    do {
        m = host_expect(p->h, p->client, WIRE_c_deliver, end - host_now(p->h));
    } while (m != NULL && m->c_deliver.rows.n == 0);
    return m != NULL ? &m->c_deliver : NULL;
}

void person_caught_up(struct person *p)
{
    const union wire_any *m = host_expect(p->h, p->client, WIRE_c_deliver, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s is told that there is nothing more", p->name);
    cr_assert_eq(m->c_deliver.rows.n, 0, "that, and no rows");
}

void person_delivered(struct person *p, const char *from, struct peal_msg_id id, const char *text)
{
    const struct wire_c_deliver *m = person_rows(p, PEOPLE_WAIT);
    cr_assert_not_null(m, "%s gets \"%s\"", p->name, text);
    cr_assert_eq(m->rows.n, 1, "one row");
    const struct wire_row *r = &m->rows.v[0];
    cr_assert(msg_id_eq(&r->id, &id), "the id of \"%s\"", text);
    cr_assert(peal_bytes_eq(r->from, peal_bytes_str(from)), "from %s", from);
    cr_assert(peal_bytes_eq(r->body, peal_bytes_str(text)), "\"%s\", not \"%.*s\"", text,
              (int)r->body.n, (const char *)r->body.p);
}

void person_ack(struct person *p, struct peal_msg_id id)
{
    struct wire_c_ack m = {.ids = {.v = &id, .n = 1}};
    host_say(p->h, p->client, WIRE_c_ack, &m);
}

const struct wire_c_user *person_find(struct person *p, const char *name)
{
    struct wire_c_find m = {.req = ++p->req, .name = peal_bytes_str(name)};
    host_say(p->h, p->client, WIRE_c_find, &m);
    const union wire_any *u = host_expect(p->h, p->client, WIRE_c_user, PEOPLE_WAIT);
    cr_assert_not_null(u, "%s finds %s", p->name, name);
    cr_assert_eq(u->c_user.req, p->req, "the answer is to the question");
    return &u->c_user;
}

void person_silence(struct person *p, uint16_t type, uint64_t us)
{
    cr_assert_null(host_expect(p->h, p->client, type, us), "%s gets no %s", p->name,
                   wire_type_name(type));
}

void person_no_rows(struct person *p, uint64_t us)
{
    cr_assert_null(person_rows(p, us), "%s gets no rows", p->name);
}

enum { WAITING = 1500, LIVE = 50, ALL = WAITING + LIVE };

struct mailbox {
    struct person *bob;
    struct peal_msg_id ids[ALL];
    bool seen[ALL];
    size_t got;
};

/* Takes what has come and acknowledges it; true when there was some. */
static bool take_mail(struct mailbox *b)
{
    struct peal_msg_id batch[WIRE_ACK_MAX];
    size_t n = 0;
    uint16_t type = 0;
    const union wire_any *m = NULL;
    while (n + WIRE_PAGE_ROWS <= WIRE_ACK_MAX &&
           (m = host_next(b->bob->h, b->bob->client, &type)) != NULL) {
        for (size_t k = 0; type == WIRE_c_deliver && k < m->c_deliver.rows.n; k++) {
            size_t i = 0;
            while (i < ALL && !msg_id_eq(&b->ids[i], &m->c_deliver.rows.v[k].id))
                i++;
            cr_assert_lt(i, ALL, "only what was sent");
            cr_assert(!b->seen[i], "number %zu comes once", i);
            cr_assert(i >= WAITING || i == b->got, "number %zu is in its place, not in that of %zu",
                      i, b->got);
            cr_assert(i < WAITING || b->got >= WAITING, "what waited comes first");
            b->seen[i] = true;
            b->got++;
            batch[n++] = b->ids[i];
        }
    }
    struct wire_c_ack ack = {.ids = {.v = batch, .n = n}};
    if (n > 0)
        host_say(b->bob->h, b->bob->client, WIRE_c_ack, &ack);
    return n > 0;
}

void people_full_mailbox(struct person *alice, struct person *bob, uint32_t node)
{
    struct host *h = alice->h;
    static struct mailbox b;
    memset(&b, 0, sizeof b);
    b.bob = bob;
    host_hang_up(h, bob->client);
    host_run(h, HOST_SEC);
    for (size_t i = 0; i < WAITING; i++) {
        b.ids[i] = people_id(h, i);
        person_send(alice, bob->name, b.ids[i], "x");
        if (i % 100 == 99)
            host_run(h, HOST_SEC);
    }
    person_resume(bob, node);
    host_run(h, 5 * HOST_SEC);
    take_mail(&b);
    cr_assert_leq(b.got, 256, "not all at once: %zu", b.got);
    size_t said = 0;
    uint64_t from = host_now(h);
    while (b.got < ALL && host_now(h) - from < 20 * HOST_SEC) {
        if (said < LIVE) {
            b.ids[WAITING + said] = people_id(h, WAITING + said);
            person_send(alice, bob->name, b.ids[WAITING + said], "y");
            said++;
        }
        host_run(h, HOST_MS);
        while (take_mail(&b))
            ;
    }
    cr_assert_eq(b.got, ALL, "all of it comes: %zu", b.got);
    cr_assert_lt(host_now(h) - from, HOST_SEC / 2, "as fast as it is acknowledged: %lu ms",
                 (unsigned long)(host_now(h) - from) / HOST_MS);
    host_run(h, 15 * HOST_SEC);
    cr_assert(!take_mail(&b), "and nothing more");
}

uint64_t people_count_reads(struct person *alice, struct person *bob, uint32_t node, size_t many)
{
    struct host *h = alice->h;
    host_hang_up(h, bob->client);
    host_run(h, HOST_SEC);
    for (size_t i = 1; i <= many; i++) {
        person_send(alice, bob->name, people_id(h, i), "x");
        if (i % 100 == 0)
            host_run(h, 100 * HOST_MS);
    }
    host_run(h, HOST_SEC);
    uint64_t before = host_row_reads(h);
    person_resume(bob, node);
    size_t got = 0;
    while (got < many) {
        struct peal_msg_id ids[WIRE_PAGE_ROWS];
        const struct wire_c_deliver *m = person_rows(bob, PEOPLE_WAIT);
        cr_assert_not_null(m, "after %zu of %zu there is more", got, many);
        for (size_t k = 0; k < m->rows.n; k++)
            ids[k] = m->rows.v[k].id;
        struct wire_c_ack ack = {.ids = {.v = ids, .n = m->rows.n}};
        got += m->rows.n;
        host_say(h, bob->client, WIRE_c_ack, &ack);
    }
    person_caught_up(bob);
    return host_row_reads(h) - before;
}
