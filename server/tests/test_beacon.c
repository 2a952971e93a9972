/* Beacons of others: whose they are, that they are said now, and what a wrong clock may do. */
#include "beacon.h"

#include <criterion/criterion.h>
#include <string.h>

enum { NOW_US = 1000 * 1000 * 1000, SECOND_US = 1000 * 1000, PACKET_MAX = CRY_BEACON_BODY_MAX };
static const uint64_t wall_ms = 1800000000000;

struct sender {
    struct cry_sign_key key;
    struct peal_id id;
    struct beacons own;
};

struct packet {
    uint8_t b[PACKET_MAX];
    size_t n;
};

static struct beacons here;
static struct wire_m_beacon heard;

static void setup(void)
{
    cr_assert_eq(cry_init(), 0, "randomness");
    memset(&here, 0, sizeof here);
    here.self.b[0] = 1;
}

TestSuite(beacon, .init = setup);

static struct sender sender_new(void)
{
    struct sender s = {0};
    struct peal_secret seed;
    cry_secret_new(&seed);
    cry_sign_key_from_seed(&seed, &s.key);
    s.id = cry_node_id(s.key.pub);
    s.own.self = s.id;
    return s;
}

/* As the core makes it. */
static struct packet core_beacon(const struct sender *s, const struct peal_id *id)
{
    static const uint8_t sig[CRY_SIG_BYTES];
    struct packet p;
    struct wire_m_beacon m = {.contact = {.id = *id,
                                          .incarnation = 7,
                                          .addresses = peal_bytes_str("\x0e"
                                                                      "192.0.2.1:7000"),
                                          .key = peal_bytes_of(s->key.pub, CRY_PUB_BYTES),
                                          .signature = peal_bytes_of(sig, CRY_SIG_BYTES)},
                              .ring = *id,
                              .epoch = 3,
                              .size = 2};
    struct wr w;
    wr_init(&w, p.b, sizeof p.b);
    cr_assert_eq(wire_encode(WIRE_m_beacon, &m, &w), 0, "it encodes");
    p.n = w.n;
    return p;
}

static struct packet say_as(struct sender *s, const struct peal_id *id, uint64_t at_ms)
{
    struct packet bare = core_beacon(s, id), p;
    int err =
        beacon_sign(&s->own, &s->key, at_ms, peal_bytes_of(bare.b, bare.n), sizeof p.b, p.b, &p.n);
    cr_assert_eq(err, 0, "signing gives %s", err_name(err));
    return p;
}

static struct packet say(struct sender *s, uint64_t at_ms)
{
    return say_as(s, &s->id, at_ms);
}

static int hear_at(const struct packet *p, uint64_t now_us, enum beacon_verdict *v)
{
    return beacon_judge(&here, peal_bytes_of(p->b, p->n), now_us, wall_ms, &heard, v);
}

static enum beacon_verdict hear(const struct packet *p)
{
    enum beacon_verdict v;
    int err = hear_at(p, NOW_US, &v);
    cr_assert_eq(err, 0, "judging gives %s", err_name(err));
    return v;
}

Test(beacon, is_taken_once)
{
    struct sender s = sender_new();
    struct packet first = say(&s, wall_ms), second = say(&s, wall_ms);
    cr_assert_eq(hear(&first), BEACON_TAKE, "the first time");
    cr_assert(heard.epoch == 3 && heard.size == 2 && id_eq(&heard.contact.id, &s.id),
              "it says what was said");
    cr_assert_eq(hear(&first), BEACON_IGNORE, "the same one again");
    cr_assert_eq(hear(&second), BEACON_TAKE, "the next one, of the same millisecond");
    cr_assert_eq(hear(&first), BEACON_IGNORE, "an older one");
    struct packet back = say(&s, wall_ms - 60000);
    cr_assert_eq(hear(&back), BEACON_TAKE, "a sender whose clock goes back keeps counting");
}

Test(beacon, each_sender_counts_for_itself)
{
    struct sender a = sender_new(), b = sender_new();
    struct packet late = say(&a, wall_ms + 1000), early = say(&b, wall_ms - 1000);
    cr_assert_eq(hear(&late), BEACON_TAKE, "one");
    cr_assert_eq(hear(&early), BEACON_TAKE, "the other, whose clock is behind");
}

Test(beacon, of_this_server_is_not_heard)
{
    struct sender s = sender_new();
    struct packet p = say(&s, wall_ms);
    here.self = s.id;
    cr_assert_eq(hear(&p), BEACON_IGNORE, "its own");
    cr_assert_eq(here.n, 0, "and not noted");
}

Test(beacon, any_changed_byte_is_refused)
{
    struct sender s = sender_new();
    struct packet p = say(&s, wall_ms);
    for (size_t i = 0; i < p.n; i++) {
        enum beacon_verdict v;
        struct packet q = p;
        q.b[i] ^= 1;
        int err = hear_at(&q, NOW_US, &v);
        cr_assert(err == PEAL_E_MALFORMED || err == PEAL_E_AUTH, "byte %zu: %s", i, err_name(err));
        cr_assert_eq(v, BEACON_IGNORE, "byte %zu", i);
    }
    cr_assert_eq(here.n, 0, "nobody was noted");
    cr_assert_eq(hear(&p), BEACON_TAKE, "the true one is taken still");
}

Test(beacon, in_anothers_name_is_refused)
{
    struct sender a = sender_new(), b = sender_new();
    enum beacon_verdict v;
    struct packet p = say_as(&b, &a.id, wall_ms);
    cr_assert_eq(hear_at(&p, NOW_US, &v), PEAL_E_AUTH, "another's id with its own key");
    struct sender forger = a; /* shows a's public key, and has not its secret one */
    forger.key = b.key;
    memcpy(forger.key.pub, a.key.pub, CRY_PUB_BYTES);
    p = say(&forger, wall_ms);
    cr_assert_eq(hear_at(&p, NOW_US, &v), PEAL_E_AUTH, "another's key without its secret");
    struct packet bare = core_beacon(&a, &a.id);
    cr_assert_eq(hear_at(&bare, NOW_US, &v), PEAL_E_AUTH, "not signed at all");
    cr_assert_eq(here.n, 0, "nobody was noted");
}

Test(beacon, what_is_no_beacon)
{
    enum beacon_verdict v;
    struct packet p = {.n = 0};
    cr_assert_eq(hear_at(&p, NOW_US, &v), PEAL_E_MALFORMED, "nothing");
    struct wire_m_probe probe = {.version = WIRE_VERSION};
    struct wr w;
    wr_init(&w, p.b, sizeof p.b);
    cr_assert_eq(wire_encode(WIRE_m_probe, &probe, &w), 0, "a probe encodes");
    p.n = w.n;
    cr_assert_eq(hear_at(&p, NOW_US, &v), PEAL_E_MALFORMED, "another message");
}

/* A sender whose clock is wrong, ahead or behind: dialled, seldom, and believed in nothing. */
Test(beacon, a_clock_far_away_is_a_reason_to_dial)
{
    static const int64_t off[] = {-BEACON_FAR_MS - 60000, BEACON_FAR_MS + 60000, -1700000000000};
    for (size_t i = 0; i < PEAL_COUNT(off); i++) {
        struct sender s = sender_new();
        enum beacon_verdict v;
        uint64_t theirs = (uint64_t)((int64_t)wall_ms + off[i]);
        struct packet p = say(&s, theirs), q = say(&s, theirs + 1000), r = say(&s, theirs + 2000);
        cr_assert_eq(hear(&p), BEACON_DIAL, "case %zu", i);
        cr_assert(hear_at(&q, NOW_US + SECOND_US, &v) == 0 && v == BEACON_IGNORE, "too soon");
        cr_assert(hear_at(&r, NOW_US + BEACON_DIAL_US, &v) == 0 && v == BEACON_DIAL, "then again");
        cr_assert(hear_at(&p, NOW_US + 2 * (uint64_t)BEACON_DIAL_US, &v) == 0 && v == BEACON_DIAL,
                  "a recorded one does no more than that either");
        s.own.said = 0; /* it was started again with its clock put right */
        p = say(&s, wall_ms);
        cr_assert(hear_at(&p, NOW_US + SECOND_US, &v) == 0 && v == BEACON_TAKE,
                  "case %zu: a clock put right is believed at once", i);
    }
    struct sender s = sender_new();
    struct packet p = say(&s, wall_ms - BEACON_FAR_MS);
    cr_assert_eq(hear(&p), BEACON_TAKE, "five minutes are not far");
}

Test(beacon, a_far_clock_needs_a_true_signature_too)
{
    struct sender a = sender_new(), b = sender_new();
    enum beacon_verdict v;
    struct packet p = say_as(&b, &a.id, 1000);
    cr_assert_eq(hear_at(&p, NOW_US, &v), PEAL_E_AUTH, "nobody is dialled for a forger");
    cr_assert_eq(v, BEACON_IGNORE, "ignored");
}

Test(beacon, the_table_is_bounded_and_forgets_the_oldest)
{
    static struct packet first, second, more;
    struct sender s = sender_new(), t = sender_new();
    enum beacon_verdict v;
    first = say(&s, wall_ms);
    second = say(&t, wall_ms);
    cr_assert(hear_at(&first, NOW_US, &v) == 0 && v == BEACON_TAKE, "the first");
    cr_assert(hear_at(&second, NOW_US + 1, &v) == 0 && v == BEACON_TAKE, "the second");
    for (uint64_t i = 2; i <= BEACON_HEARD_MAX; i++) {
        struct sender other = sender_new();
        more = say(&other, wall_ms);
        cr_assert(hear_at(&more, NOW_US + i, &v) == 0 && v == BEACON_TAKE, "sender %d", (int)i);
    }
    cr_assert_eq(here.n, BEACON_HEARD_MAX, "full, and no more");
    cr_assert(hear_at(&second, NOW_US + 1000, &v) == 0 && v == BEACON_IGNORE,
              "the second is remembered");
    cr_assert(hear_at(&first, NOW_US + 1000, &v) == 0 && v == BEACON_TAKE,
              "the first was forgotten for the last");
}
