/* Rings that become one, one core event by event among two servers that the test plays: what it may
 * not say, which decision follows on which, in what order registers come through several rings.
 *
 * Peer 0 and peer 1 are linked over LINK and LINK + 1 and each says of which ring it is. */
#include <criterion/criterion.h>

#include "one.h"

#include <string.h>

enum {
    LINK = 7,
    PEERS = 2,
    ROUND_BITS = 40,
    MS_US = 1000,
    STEP_US = 50 * MS_US,
    EARLY_US = 3 * 1000 * MS_US,
    LONG_US = 20 * 1000 * MS_US, /* longer than anything that happens by itself takes to begin */
    IDS_MOST = WIRE_ROSTER_MAX + 1,
};

struct roster { /* owns what a wire_roster shows */
    struct peal_id ring, into;
    uint64_t epoch; /* 0: none */
    size_t n, takes_n;
    struct peal_id members[IDS_MOST], takes[IDS_MOST];
};

struct scene {
    struct one *o;
    struct one_peer peer[PEERS];
    struct roster of[PEERS]; /* the ring that the peer says it is in */
};

static struct wire_roster shown(struct roster *r)
{
    return (struct wire_roster){.ring = r->ring,
                                .epoch = r->epoch,
                                .replicas = 2,
                                .members = {.v = r->members, .n = r->n},
                                .takes = {.v = r->takes, .n = r->takes_n},
                                .into = r->into};
}

static void put_sorted(struct peal_id *ids, size_t *n, const struct peal_id *id)
{
    size_t at = (*n)++;
    for (; at > 0 && id_cmp(&ids[at - 1], id) > 0; at--)
        ids[at] = ids[at - 1];
    ids[at] = *id;
}

/* Nobody is in it yet. first: the first byte of its id. */
static struct roster ring_named(uint8_t first, uint64_t epoch)
{
    return (struct roster){.ring = {{first, 1}}, .epoch = epoch};
}

static struct roster of_peer(const struct scene *s, size_t i, uint8_t first)
{
    struct roster r = ring_named(first, 2);
    put_sorted(r.members, &r.n, &s->peer[i].id);
    return r;
}

static struct roster of_all(const struct scene *s, uint8_t first, uint64_t epoch)
{
    struct roster r = ring_named(first, epoch);
    put_sorted(r.members, &r.n, &s->o->self.id);
    for (size_t i = 0; i < PEERS; i++)
        put_sorted(r.members, &r.n, &s->peer[i].id);
    return r;
}

static struct roster of_self(const struct scene *s, uint64_t epoch)
{
    struct roster r = {.ring = s->o->self.id, .epoch = epoch};
    put_sorted(r.members, &r.n, &s->o->self.id);
    return r;
}

static struct roster sealed(const struct roster *r, const struct peal_id *into)
{
    struct roster last = *r;
    last.epoch++;
    last.into = *into;
    return last;
}

/* ---- what the peers do ---- */

static void says(struct scene *s, size_t i)
{
    const struct roster *r = &s->of[i];
    struct wire_n_state m = {.state = {.epoch = r->epoch, .ready_epoch = r->epoch}};
    if (r->epoch != 0) {
        m.ring = r->ring;
        m.size = (uint32_t)r->n;
    }
    one_hear(s->o, (uint32_t)(LINK + i), WIRE_n_state, &m);
}

static void tells(struct scene *s, size_t i, struct roster *r)
{
    struct wire_n_roster m = {.roster = shown(r)};
    one_hear(s->o, (uint32_t)(LINK + i), WIRE_n_roster, &m);
}

/* Has it accept the epoch that admits it, as a newcomer does before anyone decides it. */
static void admits(struct scene *s, size_t i, struct roster *r)
{
    union wire_any m;
    struct wire_n_roster_accept a = {.epoch = r->epoch,
                                     .ballot = {.round = 1, .node = s->peer[i].id},
                                     .newcomer = s->o->self.id,
                                     .roster = shown(r)};
    one_hear(s->o, (uint32_t)(LINK + i), WIRE_n_roster_accept, &a);
    cr_assert_not_null(one_sent(s->o, (uint32_t)(LINK + i), WIRE_n_roster_accepted, &m),
                       "it answers");
    cr_assert_eq(m.n_roster_accepted.code, 0, "it wants to be in it");
}

static void tells_other(struct scene *s, size_t i, struct roster *r)
{
    struct wire_n_other m = {.roster = shown(r)};
    one_hear(s->o, (uint32_t)(LINK + i), WIRE_n_other, &m);
}

static void meet(struct scene *s, size_t i)
{
    struct wire_roster w = shown(&s->of[i]);
    one_link(s->o, (uint32_t)(LINK + i), &s->peer[i], false);
    one_hello(s->o, (uint32_t)(LINK + i), &s->peer[i], s->of[i].epoch != 0 ? &w : NULL);
    says(s, i);
}

/* It has nothing of any range that it was asked for. */
static void answers_copy(struct scene *s, size_t i)
{
    union wire_any m;
    uint32_t link = (uint32_t)(LINK + i);
    for (size_t k = 0, n = one_count(s->o, link, WIRE_n_copy); k < n; k++) {
        cr_assert_not_null(one_nth(s->o, link, WIRE_n_copy, k, &m), "it was sent");
        struct wire_n_copy_page a = {.epoch = m.n_copy.roster.epoch, .op = m.n_copy.op};
        one_hear(s->o, link, WIRE_n_copy_page, &a);
    }
}

/* A moment in which the peers that are linked say that they are there; what was said to them before
 * it is forgotten. */
static void moment(struct scene *s, uint64_t us)
{
    one_forget(s->o);
    for (size_t i = 0; i < PEERS; i++)
        if (chord_state(s->o->chord) != CHORD_LEFT && s->peer[i].incarnation != 0)
            says(s, i);
    one_wait(s->o, us);
}

/* Waits until something of the type is sent over the link; whether it was within us. */
static bool until_sent(struct scene *s, size_t i, uint16_t type, union wire_any *m, uint64_t us)
{
    for (uint64_t t = 0; t < us; t += STEP_US) {
        moment(s, STEP_US);
        if (one_sent(s->o, (uint32_t)(LINK + i), type, m) != NULL)
            return true;
    }
    return false;
}

/* ---- beginnings ---- */

static void begin(struct scene *s, bool discovery)
{
    *s = (struct scene){.o = one_new(1, discovery, NULL)};
    for (size_t i = 0; i < PEERS; i++)
        s->peer[i] = one_peer((uint8_t)(50 + i));
    one_event(s->o, (struct step_event){.kind = STEP_START});
}

/* A ring of its own with something in it, whose key is this node's own id. It is the coordinator
 * before it meets anyone, since the peers elect nobody. */
static void begin_alone(struct scene *s)
{
    begin(s, false);
    one_wait(s->o, 1000 * MS_US);
    cr_assert_eq(one_change(s->o, &s->o->self.id, 'a'), 0, "a ring of one has a register");
}

static void all_are_in(struct scene *s, const struct roster *r)
{
    for (size_t i = 0; i < PEERS; i++)
        s->of[i] = *r;
}

/* Both peers are in r, and admit this node, which has no ring now. */
static void enter(struct scene *s, struct roster *r, bool to_the_end)
{
    all_are_in(s, r);
    for (size_t i = 0; i < PEERS; i++)
        says(s, i);
    admits(s, 0, r);
    tells(s, 0, r);
    cr_assert_eq(chord_state(s->o->chord), CHORD_COPYING, "it is admitted");
    for (int t = 0; t < 40 && to_the_end && chord_state(s->o->chord) == CHORD_COPYING; t++) {
        for (size_t i = 0; i < PEERS; i++)
            answers_copy(s, i);
        moment(s, STEP_US);
    }
    if (to_the_end)
        cr_assert_eq(chord_state(s->o->chord), CHORD_MEMBER, "it has its copies");
}

/* This node's ring r has gone into another, and it has set everything aside. */
static void end(struct scene *s, struct roster *last)
{
    tells(s, 0, last);
    cr_assert_eq(chord_state(s->o->chord), CHORD_MOVING, "its ring has ended");
    one_wait(s->o, 20 * MS_US);
    cr_assert_eq(chord_state(s->o->chord), CHORD_ASKING, "it is free to go");
}

static struct wire_ballot ballot_of(const struct scene *s, size_t i, uint64_t epoch, uint64_t count)
{
    return (struct wire_ballot){.round = epoch << ROUND_BITS | count, .node = s->peer[i].id};
}

/* A copy of the register `key`, accepted in ring r. */
static void give(struct scene *s, const struct roster *r, const struct peal_id *key,
                 const char *value)
{
    struct wire_record v = {
        .key = *key, .accepted = ballot_of(s, 0, r->epoch, 1), .value = peal_bytes_str(value)};
    struct wire_n_records m = {.ring = r->ring, .epoch = r->epoch, .records = {.v = &v, .n = 1}};
    one_hear(s->o, LINK, WIRE_n_records, &m);
}

/* A member of ring C (of all three), which holds "old" in the register of its own id. */
static struct roster begin_in_c(struct scene *s)
{
    begin(s, true);
    for (size_t i = 0; i < PEERS; i++)
        meet(s, i);
    struct roster c = of_all(s, 0xc0, 5);
    enter(s, &c, true);
    give(s, &c, &s->o->self.id, "old");
    return c;
}

/* ---- looks ---- */

static int prepare_code(struct scene *s, const struct peal_id *ring, uint64_t epoch, uint64_t count)
{
    union wire_any m;
    struct wire_n_reg_prepare q = {.ring = *ring,
                                   .epoch = epoch,
                                   .op = 5,
                                   .key = s->o->self.id,
                                   .ballot = ballot_of(s, 0, epoch, count)};
    one_forget(s->o);
    one_hear(s->o, LINK, WIRE_n_reg_prepare, &q);
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_reg_promise, &m), "it answers");
    return -(int)m.n_reg_promise.code;
}

/* What it says it holds of its own id's register in that former ring. */
static int former_code(struct scene *s, const struct peal_id *ring, union wire_any *m, bool *held)
{
    struct wire_n_former q = {.ring = *ring, .op = 9, .key = s->o->self.id};
    one_forget(s->o);
    one_hear(s->o, LINK, WIRE_n_former, &q);
    const struct one_said *said = one_sent(s->o, LINK, WIRE_n_former_is, m);
    cr_assert_not_null(said, "it answers");
    cr_assert_eq(m->n_former_is.op, 9, "what was asked");
    *held = said->held;
    return -(int)m->n_former_is.code;
}

static bool is_text(struct peal_bytes b, const char *text)
{
    return b.n == strlen(text) && memcmp(b.p, text, b.n) == 0;
}

static bool names(const struct wire_ids *ids, const struct peal_id *id)
{
    for (size_t i = 0; i < ids->n; i++)
        if (id_eq(&ids->v[i], id))
            return true;
    return false;
}

static bool warned(const struct one *o, const char *word)
{
    for (size_t i = 0; i < o->said_n; i++) {
        const struct one_said *s = &o->said[i];
        for (size_t k = 0; s->kind == STEP_TRACE && k + strlen(word) <= s->n; k++)
            if (memcmp(s->bytes + k, word, strlen(word)) == 0)
                return true;
    }
    return false;
}

/* Whether META has something under that word, the ring and the key. */
static bool on_disk(const struct scene *s, const char *word, const struct peal_id *ring,
                    const struct peal_id *key)
{
    static uint8_t mem[2 * WIRE_REGISTER_MAX];
    uint8_t k[6 + 2 * ID_BYTES];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, mem, sizeof mem);
    memcpy(k, word, 6);
    memcpy(k + 6, ring->b, ID_BYTES);
    memcpy(k + 6 + ID_BYTES, key->b, ID_BYTES);
    return store_get(s->o->store, STORE_META, peal_bytes_of(k, sizeof k), &a, &v) == 0;
}

/* ---- who goes ---- */

/* It has offered to take in peer 0's ring. */
static void begin_offered(struct scene *s)
{
    union wire_any m;
    bool offered = false;
    begin_alone(s);
    s->of[0] = of_peer(s, 0, 0xfe);
    meet(s, 0);
    for (uint64_t t = 0; t < EARLY_US; t += STEP_US)
        if (until_sent(s, 0, WIRE_n_roster, &m, STEP_US))
            cr_assert_eq(m.n_roster.roster.takes.n, 0,
                         "rings that are just being founded sort themselves out first");
    for (uint64_t t = 0; t < LONG_US && !offered; t += STEP_US)
        offered = until_sent(s, 0, WIRE_n_roster, &m, STEP_US) &&
                  names(&m.n_roster.roster.takes, &s->of[0].ring);
    cr_assert(offered, "of two of one size the lower id takes the other in");
    cr_assert_eq(chord_state(s->o->chord), CHORD_MEMBER, "and serves on");
}

/* Peer 1 is of a ring that offers to take this one in. */
static void is_offered(struct scene *s, uint8_t first)
{
    s->of[1] = of_peer(s, 1, first);
    put_sorted(s->of[1].takes, &s->of[1].takes_n, &s->o->self.id);
    meet(s, 1);
}

Test(unite_hand, who_has_offered_goes_into_a_ring_with_a_lower_id)
{
    struct scene s;
    union wire_any m;
    begin_offered(&s);
    is_offered(&s, 0);
    cr_assert_lt(id_cmp(&s.of[1].ring, &s.o->self.id), 0, "a lower one");
    bool gone = false;
    for (uint64_t t = 0; t < LONG_US && !gone; t += STEP_US)
        gone = until_sent(&s, 1, WIRE_n_roster, &m, STEP_US) &&
               id_eq(&m.n_roster.roster.into, &s.of[1].ring);
    cr_assert(gone, "it says that it goes");
    cr_assert(id_eq(&m.n_roster.roster.ring, &s.o->self.id), "and who that was");
    moment(&s, STEP_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "and has gone");
    cr_assert(until_sent(&s, 1, WIRE_n_admit, &m, LONG_US), "and asks there");
    one_free(s.o);
}

Test(unite_hand, who_has_offered_takes_in_a_ring_with_a_higher_id_as_well)
{
    struct scene s;
    union wire_any m;
    bool both = false;
    begin_offered(&s);
    is_offered(&s, 0xff);
    cr_assert_gt(id_cmp(&s.of[1].ring, &s.o->self.id), 0, "a higher one");
    for (uint64_t t = 0; t < LONG_US; t += STEP_US) {
        if (until_sent(&s, 1, WIRE_n_roster, &m, STEP_US)) {
            const struct wire_roster *r = &m.n_roster.roster;
            cr_assert(id_is_zero(&r->into), "it goes nowhere");
            both = names(&r->takes, &s.of[0].ring) && names(&r->takes, &s.of[1].ring);
        }
        cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "it stays");
    }
    cr_assert(both, "it takes in both");
    one_free(s.o);
}

Test(unite_hand, who_has_offered_nobody_goes_into_a_ring_with_a_higher_id)
{
    struct scene s;
    begin_alone(&s);
    is_offered(&s, 0xff);
    for (uint64_t t = 0; t < LONG_US && chord_state(s.o->chord) != CHORD_ASKING; t += STEP_US)
        moment(&s, STEP_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it goes");
    one_free(s.o);
}

Test(unite_hand, a_ring_that_is_not_offered_does_not_go)
{
    struct scene s;
    begin_alone(&s);
    s.of[1] = of_peer(&s, 1, 0);
    put_sorted(s.of[1].takes, &s.of[1].takes_n, &(struct peal_id){{3}});
    meet(&s, 1);
    for (uint64_t t = 0; t < LONG_US; t += STEP_US)
        moment(&s, STEP_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "the other has taken a third one only");
    one_free(s.o);
}

/* Who may not go, and cannot take the other in either. */
Test(unite_hand, rings_too_large_for_one_stay_apart_and_say_so)
{
    struct scene s;
    bool said = false;
    begin_offered(&s);
    s.of[1] = of_peer(&s, 1, 0xff);
    for (uint8_t i = 1; s.of[1].n < WIRE_ROSTER_MAX; i++)
        put_sorted(s.of[1].members, &s.of[1].n, &(struct peal_id){{i, i}});
    put_sorted(s.of[1].takes, &s.of[1].takes_n, &s.o->self.id);
    meet(&s, 1);
    for (uint64_t t = 0; t < LONG_US; t += STEP_US) {
        moment(&s, STEP_US);
        said = said || warned(s.o, "stay apart");
    }
    cr_assert(said, "it says why");
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "and stays");
    one_free(s.o);
}

/* It learns from peer 0 that its ring has offered as many as it can already. */
Test(unite_hand, a_ring_that_has_taken_in_as_many_as_it_can_stays_apart_and_says_so)
{
    struct scene s;
    bool said = false;
    begin_alone(&s);
    struct roster full = of_self(&s, 2);
    for (uint8_t i = 1; i <= WIRE_TAKES_MAX; i++)
        put_sorted(full.takes, &full.takes_n, &(struct peal_id){{i, 9}});
    s.of[0] = of_peer(&s, 0, 0xfe);
    meet(&s, 0);
    tells(&s, 0, &full);
    for (uint64_t t = 0; t < LONG_US; t += STEP_US) {
        moment(&s, STEP_US);
        said = said || warned(s.o, "stay apart");
    }
    cr_assert(said, "it says why");
    cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "and stays");
    one_free(s.o);
}

Test(unite_hand, a_ring_that_has_gone_itself_is_neither_gone_into_nor_taken_in)
{
    struct scene s;
    union wire_any m;
    begin_alone(&s);
    s.of[1] = of_peer(&s, 1, 0xff);
    put_sorted(s.of[1].takes, &s.of[1].takes_n, &s.o->self.id);
    s.of[1].into = (struct peal_id){{0x55}};
    meet(&s, 1);
    for (uint64_t t = 0; t < LONG_US; t += STEP_US) {
        if (until_sent(&s, 1, WIRE_n_roster, &m, STEP_US))
            cr_assert(m.n_roster.roster.takes.n == 0 && id_is_zero(&m.n_roster.roster.into),
                      "nothing is decided");
        cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "it stays");
    }
    one_free(s.o);
}

Test(unite_hand, who_is_offered_by_a_ring_that_has_no_room_left_stays_apart_and_says_so)
{
    struct scene s;
    bool said = false;
    begin_alone(&s);
    s.of[1] = of_peer(&s, 1, 0);
    for (uint8_t i = 1; s.of[1].n < WIRE_ROSTER_MAX; i++)
        put_sorted(s.of[1].members, &s.of[1].n, &(struct peal_id){{i, i}});
    put_sorted(s.of[1].takes, &s.of[1].takes_n, &s.o->self.id);
    meet(&s, 1);
    for (uint64_t t = 0; t < LONG_US; t += STEP_US) {
        moment(&s, STEP_US);
        said = said || warned(s.o, "stay apart");
        cr_assert_eq(chord_state(s.o->chord), CHORD_MEMBER, "nobody could admit it there");
    }
    cr_assert(said, "it says why");
    one_free(s.o);
}

/* ---- a ring that has ended ---- */

Test(unite_hand, a_ring_that_has_ended_gets_no_votes)
{
    struct scene s;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &(struct peal_id){{0xff}});
    cr_assert_eq(prepare_code(&s, &ring.ring, 1, 900), 0, "it votes");
    tells(&s, 0, &last);
    cr_assert_eq(chord_state(s.o->chord), CHORD_MOVING, "its ring has gone");
    cr_assert_eq(prepare_code(&s, &ring.ring, last.epoch, 900), PEAL_E_BUSY,
                 "what is voted on now would not be set aside");
    union wire_any m;
    struct wire_n_reg_accept a = {.ring = ring.ring,
                                  .epoch = last.epoch,
                                  .key = s.o->self.id,
                                  .ballot = ballot_of(&s, 0, last.epoch, 901),
                                  .value = peal_bytes_str("late")};
    one_hear(s.o, LINK, WIRE_n_reg_accept, &a);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_accepted, &m), "it answers");
    cr_assert_eq(m.n_reg_accepted.code, -PEAL_E_BUSY, "nor accepted");
    struct wire_n_roster_prepare next = {
        .epoch = last.epoch + 1, .ballot = ballot_of(&s, 0, 0, 900), .base = shown(&last)};
    one_hear(s.o, LINK, WIRE_n_roster_prepare, &next);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_roster_promise, &m), "it answers");
    cr_assert_eq(m.n_roster_promise.code, -PEAL_E_FOREIGN, "no epoch follows on the last");
    bool held = false;
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), PEAL_E_BUSY, "not all of it is aside yet");
    one_free(s.o);
}

Test(unite_hand, who_stopped_before_all_was_aside_goes_on_with_that)
{
    struct scene s;
    union wire_any m;
    bool held = false;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &(struct peal_id){{0xff}});
    tells(&s, 0, &last);
    s.o = one_again(s.o, false);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    cr_assert_neq(chord_state(s.o->chord), CHORD_MEMBER, "it is no member any more");
    one_wait(s.o, 100 * MS_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it is free to go");
    meet(&s, 0);
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), 0, "all of it is aside");
    cr_assert(is_text(m.n_former_is.value, "a"), "what was accepted");
    one_free(s.o);
}

Test(unite_hand, what_was_held_of_a_ring_that_has_ended_is_said_only_when_the_end_is_durable)
{
    struct scene s;
    union wire_any m;
    bool held = false;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &(struct peal_id){{0xff}});
    end(&s, &last);
    for (int process = 1; process <= 2; process++) {
        cr_assert_eq(former_code(&s, &ring.ring, &m, &held), 0, "process %d has it", process);
        cr_assert(is_text(m.n_former_is.value, "a"), "process %d: what was accepted", process);
        cr_assert_neq(m.n_former_is.accepted.round, 0, "process %d: under a ballot", process);
        cr_assert(held, "process %d: the answer waits for the disk", process);
        s.o = one_again(s.o, false);
        one_event(s.o, (struct step_event){.kind = STEP_START});
        meet(&s, 0);
    }
    one_event(s.o, (struct step_event){.kind = STEP_STORE_STATE, .err = PEAL_E_NO_SPACE});
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), PEAL_E_NO_SPACE, "a sick disk says so");
    one_free(s.o);
}

Test(unite_hand, of_a_ring_that_is_only_known_nothing_is_answered)
{
    struct scene s;
    union wire_any m;
    bool held = false;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_peer(&s, 0, 0x77), last = sealed(&ring, &s.o->self.id);
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), PEAL_E_NOT_FOUND, "nobody knows it");
    tells_other(&s, 0, &last);
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), PEAL_E_BUSY,
                 "it was not in it: that it has nothing says nothing");
    s.o = one_again(s.o, false);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    meet(&s, 0);
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), PEAL_E_BUSY, "it remembers that");
    one_free(s.o);
}

Test(unite_hand, a_member_that_was_still_copying_never_answers_for_its_ring)
{
    struct scene s;
    union wire_any m;
    bool held = false;
    begin(&s, true);
    for (size_t i = 0; i < PEERS; i++)
        meet(&s, i);
    struct roster c = of_all(&s, 0xc0, 5), last = sealed(&c, &(struct peal_id){{0xb0, 1}});
    enter(&s, &c, false);
    give(&s, &c, &s.o->self.id, "some");
    end(&s, &last);
    cr_assert(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "it has some of it");
    cr_assert_eq(former_code(&s, &c.ring, &m, &held), PEAL_E_BUSY, "but perhaps not all");
    s.o = one_again(s.o, true);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    for (size_t i = 0; i < PEERS; i++)
        meet(&s, i);
    cr_assert_eq(former_code(&s, &c.ring, &m, &held), PEAL_E_BUSY, "nor after a restart");
    struct roster b = of_all(&s, 0xb0, 9);
    enter(&s, &b, true);
    cr_assert_eq(former_code(&s, &c.ring, &m, &held), PEAL_E_BUSY, "nor as another's member");
    one_free(s.o);
}

Test(unite_hand, a_ring_that_was_left_gets_no_votes_on_its_roster)
{
    struct scene s;
    union wire_any m;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &(struct peal_id){{0xff}});
    end(&s, &last);
    struct wire_n_roster_prepare p = {
        .epoch = 2, .ballot = ballot_of(&s, 0, 0, 900), .base = shown(&ring)};
    one_forget(s.o);
    one_hear(s.o, LINK, WIRE_n_roster_prepare, &p);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_roster_promise, &m), "it answers");
    cr_assert_eq(m.n_roster_promise.code, -PEAL_E_FOREIGN, "its last epoch is decided");
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_other, &m), "and says which that is");
    cr_assert(id_eq(&m.n_other.roster.ring, &ring.ring) &&
                  id_eq(&m.n_other.roster.into, &last.into),
              "the roster that ends it");
    struct roster next = ring;
    next.epoch = 2;
    put_sorted(next.members, &next.n, &s.peer[0].id);
    struct wire_n_roster_accept a = {
        .epoch = 2, .ballot = p.ballot, .newcomer = s.peer[0].id, .roster = shown(&next)};
    one_forget(s.o);
    one_hear(s.o, LINK, WIRE_n_roster_accept, &a);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_roster_accepted, &m), "it answers");
    cr_assert_eq(m.n_roster_accepted.code, -PEAL_E_FOREIGN, "nothing else is accepted there");
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_other, &m), "and again the roster is said");
    tells(&s, 0, &ring);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "nor is its old roster adopted again");
    tells(&s, 0, &next);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "nor one like it");
    tells_other(&s, 0, &next);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "whoever says it");
    one_free(s.o);
}

/* The next ring's epoch may have the same number as the last one of the ring that was left. */
Test(unite_hand, no_operation_goes_on_with_answers_from_the_ring_that_was_left)
{
    struct scene s;
    union wire_any m;
    struct roster c = begin_in_c(&s), last = sealed(&c, &(struct peal_id){{0xa0}});
    struct roster a = of_all(&s, 0xa0, last.epoch);
    s.o->want = 'a';
    tells(&s, 0, &last);
    cr_assert_eq(chord_state(s.o->chord), CHORD_MOVING, "its ring has ended");
    cr_assert_eq(one_begin_change(s.o), 0, "begun in the last epoch");
    one_wait(s.o, 20 * MS_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it is free to go");
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, &m), "its old home was asked");
    struct wire_n_reg_promise late = {.epoch = m.n_reg_prepare.epoch,
                                      .op = m.n_reg_prepare.op,
                                      .ballot = m.n_reg_prepare.ballot,
                                      .promised = m.n_reg_prepare.ballot,
                                      .accepted = ballot_of(&s, 0, c.epoch, 1),
                                      .value = peal_bytes_str("old")};
    cr_assert_eq(late.epoch, a.epoch, "in an epoch of that number");
    enter(&s, &a, false);
    one_forget(s.o);
    for (size_t i = 0; i < PEERS; i++)
        one_hear(s.o, (uint32_t)(LINK + i), WIRE_n_reg_promise, &late);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert_null(one_sent(s.o, (uint32_t)(LINK + i), WIRE_n_reg_accept, &m),
                       "nothing was promised in the ring that it is in now");
    one_free(s.o);
}

Test(unite_hand, who_still_speaks_of_a_ring_that_has_ended_is_told)
{
    struct scene s;
    union wire_any m;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &(struct peal_id){{0xff}});
    end(&s, &last);
    s.of[0] = ring;
    one_forget(s.o);
    says(&s, 0);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_other, &m), "its state is enough");
    cr_assert(id_eq(&m.n_other.roster.into, &last.into) && m.n_other.roster.epoch == last.epoch,
              "it is told the last epoch");
    s.of[0] = last;
    one_forget(s.o);
    says(&s, 0);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_other, &m), "who knows it is not");
    one_free(s.o);
}

/* Peer 0 is of some ring, peer 1 of that into which this node's has gone. */
Test(unite_hand, whose_ring_has_gone_asks_where_it_has_gone_after_a_restart_too)
{
    struct scene s;
    begin_alone(&s);
    meet(&s, 1);
    s.of[0] = of_peer(&s, 0, 0x77);
    s.of[1] = of_peer(&s, 1, 0xff);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &s.of[1].ring);
    tells(&s, 1, &last);
    one_wait(s.o, 5 * LONG_US);
    s.o = one_again(s.o, true);
    one_event(s.o, (struct step_event){.kind = STEP_START});
    for (size_t i = 0; i < PEERS; i++)
        meet(&s, i);
    bool asked = false;
    for (uint64_t t = 0; t < LONG_US; t += STEP_US) {
        asked = until_sent(&s, 1, WIRE_n_admit, NULL, STEP_US) || asked;
        cr_assert_null(one_sent(s.o, LINK, WIRE_n_admit, NULL), "not just anyone");
    }
    cr_assert(asked, "it asks there");
    one_free(s.o);
}

/* ---- taking in ---- */

/* Answers as peer i what it holds of the register that was asked for last. */
static void answers_former(struct scene *s, size_t i, int code, uint64_t epoch, const char *value)
{
    union wire_any m;
    uint32_t link = (uint32_t)(LINK + i);
    cr_assert_not_null(one_sent(s->o, link, WIRE_n_former, &m), "peer %zu was asked", i);
    struct wire_n_former_is a = {.op = m.n_former.op, .code = (uint16_t)-code};
    if (value != NULL) {
        a.accepted = ballot_of(s, 0, epoch, 9);
        a.value = peal_bytes_str(value);
    }
    one_hear(s->o, link, WIRE_n_former_is, &a);
}

/* Waits for the register's operation in this node's ring, and answers as peer i what it has there
 * (NULL: nothing); *m: what it wants accepted then. */
static bool promises(struct scene *s, size_t i, uint64_t epoch, const char *has, union wire_any *m)
{
    uint32_t link = (uint32_t)(LINK + i);
    if (one_sent(s->o, link, WIRE_n_reg_prepare, m) == NULL &&
        !until_sent(s, i, WIRE_n_reg_prepare, m, LONG_US))
        return false;
    struct wire_n_reg_promise a = {.epoch = m->n_reg_prepare.epoch,
                                   .op = m->n_reg_prepare.op,
                                   .ballot = m->n_reg_prepare.ballot,
                                   .promised = m->n_reg_prepare.ballot};
    if (has != NULL) {
        a.accepted = (struct wire_ballot){.round = epoch << ROUND_BITS | 1, .node = {{0}}};
        a.value = peal_bytes_str(has);
    }
    one_hear(s->o, link, WIRE_n_reg_promise, &a);
    return one_sent(s->o, link, WIRE_n_reg_accept, m) != NULL;
}

static void accepts(struct scene *s, size_t i, const union wire_any *m)
{
    struct wire_n_reg_accepted a = {.epoch = m->n_reg_accept.epoch,
                                    .op = m->n_reg_accept.op,
                                    .ballot = m->n_reg_accept.ballot,
                                    .promised = m->n_reg_accept.ballot};
    one_hear(s->o, (uint32_t)(LINK + i), WIRE_n_reg_accepted, &a);
}

/* From ring C into B; the register's old home is asked. */
static struct roster begin_taking(struct scene *s, struct roster *c)
{
    union wire_any m;
    *c = begin_in_c(s);
    struct roster b = of_all(s, 0xb0, 9), last = sealed(c, &b.ring);
    put_sorted(b.takes, &b.takes_n, &c->ring);
    end(s, &last);
    enter(s, &b, true);
    cr_assert(one_sent(s->o, LINK, WIRE_n_former, &m) != NULL ||
                  until_sent(s, 0, WIRE_n_former, &m, LONG_US),
              "what is left of C is taken in");
    cr_assert(id_eq(&m.n_former.ring, &c->ring) && id_eq(&m.n_former.key, &s->o->self.id),
              "the old home is asked");
    return b;
}

Test(unite_hand, a_server_that_lags_behind_does_not_bring_its_old_value)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct roster b = begin_taking(&s, &c);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "one of three says little");
    answers_former(&s, 0, PEAL_E_BUSY, 0, NULL);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "who was not ready, nothing");
    answers_former(&s, 1, 0, c.epoch, "new");
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "two of three are enough");
    cr_assert(promises(&s, 0, b.epoch, NULL, &m), "nothing is there yet");
    cr_assert(is_text(m.n_reg_accept.value, "new"), "what the majority has is written");
    accepts(&s, 0, &m);
    cr_assert_not(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "it is done with");
    cr_assert_not(on_disk(&s, "aside/", &c.ring, &s.o->self.id), "nothing is left over");
    one_free(s.o);
}

Test(unite_hand, what_was_not_brought_is_kept_and_begun_again)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct roster b = begin_taking(&s, &c);
    answers_former(&s, 1, 0, c.epoch, NULL);
    cr_assert(promises(&s, 0, b.epoch, NULL, &m), "it is brought");
    cr_assert(until_sent(&s, 0, WIRE_n_former, &m, LONG_US),
              "nobody accepts it: it is asked again");
    cr_assert(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "it is kept");
    answers_former(&s, 1, 0, c.epoch, NULL);
    cr_assert(promises(&s, 0, b.epoch, NULL, &m), "it is brought again");
    accepts(&s, 0, &m);
    cr_assert_not(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "then it is done with");
    one_free(s.o);
}

Test(unite_hand, what_was_not_asked_does_not_count)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    (void)begin_taking(&s, &c);
    struct wire_n_former_is a = {.op = 12345, .accepted = ballot_of(&s, 0, 6, 1)};
    one_hear(s.o, LINK, WIRE_n_former_is, &a);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "nobody asked that");
    cr_assert_null(one_find(s.o, STEP_CLOSE, 0, NULL), "it may have been asked before a restart");
    for (int i = 0; i < 3; i++)
        answers_former(&s, 0, PEAL_E_BUSY, 0, NULL);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "busy is no answer");
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_former, &m), "asked");
    struct wire_n_former_is zero = {.op = 0, .accepted = ballot_of(&s, 0, 6, 1)};
    one_hear(s.o, LINK, WIRE_n_former_is, &zero);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "nor that of a free place");
    one_free(s.o);
}

/* C has ended: it has no epochs after its last one. */
Test(unite_hand, a_ballot_that_the_old_ring_never_came_to_closes_the_link)
{
    for (uint64_t more = 1; more <= 2; more++) {
        struct scene s;
        struct roster c;
        (void)begin_taking(&s, &c);
        answers_former(&s, 1, 0, c.epoch + more, "from nowhere");
        const struct one_said *closed = one_find(s.o, STEP_CLOSE, 0, NULL);
        bool bad = more > 1; /* c is the last epoch but one */
        cr_assert_eq(closed != NULL && closed->link == LINK + 1, bad, "%d after", (int)more);
        cr_assert_eq(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL) == NULL, bad, "or believed");
        one_free(s.o);
    }
}

Test(unite_hand, who_is_no_home_of_it_has_no_say)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct one_peer stranger = one_peer(99);
    struct roster b = begin_taking(&s, &c);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_former, &m), "a home was asked");
    struct wire_n_former_is a = {.op = m.n_former.op,
                                 .accepted = ballot_of(&s, 0, c.epoch, 900),
                                 .value = peal_bytes_str("its own")};
    one_link(s.o, LINK + PEERS, &stranger, false);
    one_hello(s.o, LINK + PEERS, &stranger, NULL);
    one_hear(s.o, LINK + PEERS, WIRE_n_former_is, &a);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, NULL), "it does not count");
    answers_former(&s, 0, 0, 0, NULL);
    cr_assert(promises(&s, 0, b.epoch, NULL, &m), "two homes do");
    cr_assert(is_text(m.n_reg_accept.value, "old"), "and theirs is written");
    one_free(s.o);
}

Test(unite_hand, what_the_new_ring_has_stands)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct roster b = begin_taking(&s, &c);
    answers_former(&s, 1, 0, c.epoch, NULL);
    cr_assert(promises(&s, 0, b.epoch, "kept", &m), "it is settled first");
    cr_assert(is_text(m.n_reg_accept.value, "kept"), "and not overwritten");
    cr_assert(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "until then all is kept");
    accepts(&s, 0, &m);
    cr_assert(on_disk(&s, "aside/", &c.ring, &s.o->self.id), "the other stays on the disk");
    cr_assert_not(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "it is not brought again");
    cr_assert(warned(s.o, "set aside"), "and that is said");
    one_free(s.o);
}

Test(unite_hand, what_another_has_brought_already_is_dropped)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct roster b = begin_taking(&s, &c);
    answers_former(&s, 1, 0, c.epoch, NULL);
    cr_assert(promises(&s, 0, b.epoch, "old", &m), "it is settled");
    accepts(&s, 0, &m);
    cr_assert_not(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "done with");
    cr_assert_not(on_disk(&s, "aside/", &c.ring, &s.o->self.id), "it is the same thing");
    cr_assert_not(warned(s.o, "set aside"), "nothing to say");
    one_free(s.o);
}

/* Lets peer 0 promise for every operation that asks it, with nothing there. */
static void promises_nothing(struct scene *s)
{
    union wire_any m;
    if (one_sent(s->o, LINK, WIRE_n_reg_prepare, &m) != NULL)
        (void)promises(s, 0, 0, NULL, &m);
}

Test(unite_hand, while_something_is_on_its_way_nothing_is_said_to_be_empty)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct peal_id other = {{0x42}};
    struct roster b = begin_taking(&s, &c);
    cr_assert_eq(one_change(s.o, &other, 0), 1, "it is asked for");
    for (int i = 0; i < 10; i++) {
        promises_nothing(&s);
        one_wait(s.o, 10 * MS_US);
    }
    cr_assert_eq(s.o->done_err, 1, "two of three have nothing, and it is not said yet");
    one_forget(s.o);
    one_wait(s.o, 500 * MS_US);
    cr_assert_eq(s.o->done_err, PEAL_E_UNAVAILABLE, "rather it fails");
    if (one_sent(s.o, LINK, WIRE_n_former, &m) == NULL)
        cr_assert(until_sent(&s, 0, WIRE_n_former, &m, LONG_US), "asked again");
    answers_former(&s, 1, 0, c.epoch, NULL);
    cr_assert(promises(&s, 0, b.epoch, NULL, &m), "it is brought");
    accepts(&s, 0, &m);
    moment(&s, 200 * MS_US);
    one_forget(s.o);
    cr_assert_eq(one_change(s.o, &other, 0), 1, "it is asked for once more");
    promises_nothing(&s);
    cr_assert_eq(s.o->done_err, 0, "nothing is on its way");
    cr_assert_eq(s.o->value_n, 0, "and nothing is there");
    one_free(s.o);
}

static int cannot_scan(void *ctx, enum step_space space, struct peal_bytes from,
                       struct peal_bytes to, size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    (void)ctx;
    (void)space;
    (void)from;
    (void)to;
    (void)limit;
    (void)fn;
    (void)fn_ctx;
    return PEAL_E_IO;
}

Test(unite_hand, what_cannot_be_read_is_not_taken_for_done)
{
    struct scene s;
    union wire_any m;
    struct roster c = begin_in_c(&s), b = of_all(&s, 0xb0, 9), last = sealed(&c, &b.ring);
    put_sorted(b.takes, &b.takes_n, &c.ring);
    end(&s, &last);
    struct step_reader well = s.o->reader;
    s.o->reader.scan = cannot_scan;
    enter(&s, &b, true);
    bool said = false;
    for (uint64_t t = 0; t < LONG_US && !said; t += STEP_US) {
        moment(&s, STEP_US);
        said = warned(s.o, "cannot be read");
    }
    cr_assert(said, "it goes on trying, and says so");
    s.o->reader = well;
    cr_assert(until_sent(&s, 0, WIRE_n_former, &m, LONG_US), "it tries again");
    cr_assert(id_eq(&m.n_former.key, &s.o->self.id), "and finds it");
    one_free(s.o);
}

/* While this node was away C went into B, and B into A: what B's homes have came from C, and was
 * changed there. */
static struct roster begin_through_b(struct scene *s, struct roster *c, struct roster *b)
{
    *c = begin_in_c(s);
    struct roster a = of_all(s, 0xa0, 20);
    *b = of_all(s, 0xb0, 9);
    put_sorted(b->takes, &b->takes_n, &c->ring);
    put_sorted(a.takes, &a.takes_n, &b->ring);
    struct roster last_c = sealed(c, &b->ring);
    end(s, &last_c);
    return a;
}

Test(unite_hand, a_register_is_read_in_the_last_ring_that_it_went_through)
{
    struct scene s;
    struct roster c, b;
    union wire_any m;
    struct roster a = begin_through_b(&s, &c, &b), last_b = sealed(&b, &a.ring);
    tells_other(&s, 0, &last_b);
    enter(&s, &a, true);
    cr_assert(one_sent(s.o, LINK, WIRE_n_former, &m) != NULL ||
                  until_sent(&s, 0, WIRE_n_former, &m, LONG_US),
              "what is left of C is taken in");
    cr_assert(id_eq(&m.n_former.ring, &b.ring), "B is asked first");
    answers_former(&s, 0, 0, b.epoch, "newer");
    answers_former(&s, 1, 0, 0, NULL);
    cr_assert(promises(&s, 0, a.epoch, NULL, &m), "nothing is in A yet");
    cr_assert(is_text(m.n_reg_accept.value, "newer"), "what B had is written");
    accepts(&s, 0, &m);
    cr_assert_not(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "what C had is done with");
    one_free(s.o);
}

Test(unite_hand, a_register_that_never_came_into_the_ring_between_is_read_where_it_was)
{
    struct scene s;
    struct roster c, b;
    union wire_any m;
    struct roster a = begin_through_b(&s, &c, &b), last_b = sealed(&b, &a.ring);
    tells_other(&s, 0, &last_b);
    enter(&s, &a, true);
    cr_assert(one_sent(s.o, LINK, WIRE_n_former, &m) != NULL ||
                  until_sent(&s, 0, WIRE_n_former, &m, LONG_US),
              "what is left of C is taken in");
    struct wire_n_former_is none = {.op = m.n_former.op};
    one_forget(s.o);
    for (int i = 0; i < 3; i++)
        one_hear(s.o, LINK, WIRE_n_former_is, &none);
    cr_assert_null(one_sent(s.o, LINK, WIRE_n_former, &m),
                   "one of three, however often it says it");
    one_hear(s.o, LINK + 1, WIRE_n_former_is, &none);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_former, &m), "B had nothing");
    cr_assert(id_eq(&m.n_former.ring, &c.ring), "then C is asked");
    answers_former(&s, 0, 0, c.epoch, "last");
    cr_assert(promises(&s, 0, a.epoch, NULL, &m), "nothing is in A yet");
    cr_assert(is_text(m.n_reg_accept.value, "last"), "what C had is written");
    one_free(s.o);
}

Test(unite_hand, whose_ring_went_through_another_asks_at_the_end_of_the_way)
{
    struct scene s;
    struct roster c, b;
    struct roster a = begin_through_b(&s, &c, &b), last_b = sealed(&b, &a.ring);
    tells_other(&s, 0, &last_b);
    a = of_peer(&s, 0, 0xa0); /* which has not admitted it yet */
    put_sorted(a.members, &a.n, &s.peer[1].id);
    all_are_in(&s, &a);
    for (int process = 1; process <= 2; process++) {
        cr_assert(until_sent(&s, 0, WIRE_n_admit, NULL, LONG_US) ||
                      until_sent(&s, 1, WIRE_n_admit, NULL, LONG_US / 2),
                  "process %d asks in A", process);
        s.o = one_again(s.o, true);
        one_event(s.o, (struct step_event){.kind = STEP_START});
        for (size_t i = 0; i < PEERS; i++)
            meet(&s, i);
    }
    one_free(s.o);
}

Test(unite_hand, until_it_is_known_where_a_ring_has_gone_nothing_is_taken_past_it)
{
    struct scene s;
    struct roster c, b;
    union wire_any m;
    struct roster a = begin_through_b(&s, &c, &b), last_b = sealed(&b, &a.ring);
    enter(&s, &a, true);
    cr_assert_not(until_sent(&s, 0, WIRE_n_former, &m, LONG_US), "B may have changed it");
    cr_assert(on_disk(&s, "moved/", &c.ring, &s.o->self.id), "it is kept");
    tells_other(&s, 0, &last_b);
    cr_assert(until_sent(&s, 0, WIRE_n_former, &m, LONG_US), "now it is asked for");
    cr_assert(id_eq(&m.n_former.ring, &b.ring), "in B");
    one_free(s.o);
}

/* Whether the register's old home is asked, over peer 0's link. */
static bool is_asked(const struct one *o, const struct peal_id *key)
{
    static uint8_t mem[WIRE_ARENA_MAX];
    for (size_t i = 0; i < o->said_n; i++) {
        const struct one_said *said = &o->said[i];
        union wire_any m;
        uint16_t type = 0;
        struct arena a;
        arena_init(&a, mem, sizeof mem);
        if (said->kind == STEP_SEND && said->link == LINK && said->type == WIRE_n_former &&
            wire_decode(said->bytes, said->n, &type, &m, sizeof m, &a) == 0 &&
            id_eq(&m.n_former.key, key))
            return true;
    }
    return false;
}

/* Of C's register nobody answers. */
Test(unite_hand, what_cannot_be_taken_in_of_one_ring_does_not_hold_up_another)
{
    struct scene s;
    struct roster c;
    struct peal_id key = {{0x42}};
    struct roster b = begin_taking(&s, &c), a = of_all(&s, 0xa0, 20), last_b = sealed(&b, &a.ring);
    put_sorted(a.takes, &a.takes_n, &b.ring);
    give(&s, &b, &key, "of B");
    end(&s, &last_b);
    enter(&s, &a, true);
    bool of_b = false, of_c = false, again = false;
    for (uint64_t t = 0; t < 3 * (uint64_t)LONG_US; t += STEP_US) {
        again = again || (of_b && is_asked(s.o, &s.o->self.id));
        of_b = of_b || is_asked(s.o, &key);
        of_c = of_c || is_asked(s.o, &s.o->self.id);
        moment(&s, STEP_US);
    }
    cr_assert(of_c, "C's is asked for");
    cr_assert(of_b, "then B's, although C's is left");
    cr_assert(again, "and C's again");
    one_free(s.o);
}

Test(unite_hand, what_was_being_taken_in_does_not_go_on_in_another_ring)
{
    struct scene s;
    struct roster c;
    union wire_any m;
    struct roster b = begin_taking(&s, &c), a = of_all(&s, 0xa0, 20), last_b = sealed(&b, &a.ring);
    put_sorted(a.takes, &a.takes_n, &b.ring);
    answers_former(&s, 1, 0, c.epoch, NULL);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_reg_prepare, &m), "it is being written in B");
    end(&s, &last_b);
    enter(&s, &a, true);
    bool asked = false;
    for (uint64_t t = 0; t < LONG_US && !asked; t += STEP_US) {
        for (size_t i = 0; i < PEERS; i++)
            if (one_sent(s.o, (uint32_t)(LINK + i), WIRE_n_reg_prepare, &m) != NULL)
                cr_assert_not(promises(&s, i, a.epoch, NULL, &m),
                              "C's value is written past B, where it may have been changed");
        asked = one_sent(s.o, LINK, WIRE_n_former, &m) != NULL;
        if (!asked)
            moment(&s, STEP_US);
    }
    cr_assert(asked, "it is begun anew");
    cr_assert(id_eq(&m.n_former.ring, &b.ring), "in B");
    one_free(s.o);
}

/* ---- what is said of other rings ---- */

static void expect_malformed(struct scene *s, const char *why)
{
    const struct one_said *said = one_find(s->o, STEP_CLOSE, 0, NULL);
    cr_assert(said != NULL && said->link == LINK, "%s: the link is closed", why);
    cr_assert_eq(said->err, PEAL_E_MALFORMED, "%s: as %s", why, err_name(said->err));
    cr_assert_gt(said->n, 0, "%s: with a reason", why);
    one_free(s->o);
}

enum fault {
    UNSORTED_MEMBERS,
    ONE_MEMBER_TWICE,
    NO_MEMBERS,
    NO_EPOCH,
    EPOCH_TOO_HIGH,
    NO_RING,
    UNSORTED_TAKES,
    ONE_TAKEN_TWICE,
    TAKES_ITSELF,
    TAKES_NONE,
    INTO_ITSELF,
    FAULTS
};

static const char *const fault_names[FAULTS] = {
    "unsorted members", "one member twice", "no members",      "no epoch",
    "epoch too high",   "no ring",          "unsorted takes",  "one taken in twice",
    "takes in itself",  "takes in a zero",  "goes into itself"};

static void spoil(struct roster *r, enum fault f)
{
    struct peal_id low = {{1}}, high = {{2}};
    r->takes[0] = r->members[0] = low;
    r->takes[1] = r->members[1] = high;
    r->takes_n = r->n = 2;
    switch (f) {
    case UNSORTED_MEMBERS:
        r->members[0] = high;
        r->members[1] = low;
        break;
    case ONE_MEMBER_TWICE:
        r->members[1] = low;
        break;
    case NO_MEMBERS:
        r->n = 0;
        break;
    case NO_EPOCH:
        r->epoch = 0;
        break;
    case EPOCH_TOO_HIGH:
        r->epoch = UINT64_MAX;
        break;
    case NO_RING:
        r->ring = (struct peal_id){{0}};
        break;
    case UNSORTED_TAKES:
        r->takes[0] = high;
        r->takes[1] = low;
        break;
    case ONE_TAKEN_TWICE:
        r->takes[1] = low;
        break;
    case TAKES_ITSELF:
        r->takes[1] = r->ring;
        break;
    case TAKES_NONE:
        r->takes[0] = (struct peal_id){{0}};
        break;
    case INTO_ITSELF:
        r->into = r->ring;
        break;
    case FAULTS:
        break;
    }
}

Test(unite_hand, closes_on_another_rings_roster_that_is_not_of_its_form)
{
    for (enum fault f = 0; f <= FAULTS; f++) {
        struct scene s;
        begin_alone(&s);
        meet(&s, 0);
        struct roster r = ring_named(0x77, 3);
        spoil(&r, f);
        tells_other(&s, 0, &r);
        if (f < FAULTS) {
            expect_malformed(&s, fault_names[f]);
            continue;
        }
        cr_assert_null(one_find(s.o, STEP_CLOSE, 0, NULL), "without a fault it does not");
        one_free(s.o);
    }
}

Test(unite_hand, more_than_the_most_that_a_ring_takes_in_cannot_be_said)
{
    static uint8_t mem[16 * 1024];
    struct roster r = ring_named(0x77, 3);
    for (uint8_t i = 1; i <= WIRE_TAKES_MAX + 1; i++)
        put_sorted(r.takes, &r.takes_n, &(struct peal_id){{i}});
    put_sorted(r.members, &r.n, &(struct peal_id){{1}});
    for (; r.takes_n >= WIRE_TAKES_MAX; r.takes_n--) {
        struct wire_n_other m = {.roster = shown(&r)};
        struct wr w;
        wr_init(&w, mem, sizeof mem);
        cr_assert_eq(wire_encode(WIRE_n_other, &m, &w) == 0, r.takes_n <= WIRE_TAKES_MAX,
                     "%zu of them", r.takes_n);
    }
}

/* It was taken out of the ring before that went into another. */
Test(unite_hand, a_last_roster_of_its_own_ring_that_does_not_name_it_ends_the_ring_for_it)
{
    struct scene s;
    begin_alone(&s);
    meet(&s, 0);
    struct roster without = of_peer(&s, 0, 0), last;
    without.ring = s.o->self.id;
    last = sealed(&without, &(struct peal_id){{0xff}});
    tells_other(&s, 0, &last);
    tells(&s, 0, &last);
    moment(&s, 2 * STEP_US);
    cr_assert_eq(chord_state(s.o->chord), CHORD_ASKING, "it is in no ring");
    cr_assert_eq(prepare_code(&s, &s.o->self.id, 1, 900), PEAL_E_STALE, "and votes on nothing");
    cr_assert(on_disk(&s, "moved/", &s.o->self.id, &s.o->self.id),
              "what it had is set aside, to be taken in where it goes");
    s.of[0] = of_self(&s, 1);
    one_forget(s.o);
    says(&s, 0);
    cr_assert_not_null(one_sent(s.o, LINK, WIRE_n_other, NULL),
                       "and it says that the ring is over");
    one_free(s.o);
}

Test(unite_hand, a_server_that_was_away_learns_of_its_rings_end_from_anyone)
{
    struct scene s;
    union wire_any m;
    bool held = false;
    begin_alone(&s);
    meet(&s, 0);
    struct roster ring = of_self(&s, 1), last = sealed(&ring, &(struct peal_id){{0xff}});
    tells_other(&s, 0, &last);
    cr_assert_eq(chord_state(s.o->chord), CHORD_MOVING, "who says so is not in it");
    one_wait(s.o, 20 * MS_US);
    cr_assert_eq(former_code(&s, &ring.ring, &m, &held), 0, "and it is gone");
    one_free(s.o);
}
