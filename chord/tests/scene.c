#include <criterion/criterion.h>

#include "scene.h"

#include <string.h>

const struct peal_id RING = {{0xcc, 1}};

struct wire_roster shown(struct ring *r)
{
    return (struct wire_roster){
        .ring = RING, .epoch = r->epoch, .replicas = 2, .members = {.v = r->members, .n = r->n}};
}

void put_in(struct ring *r, const struct peal_id *id)
{
    size_t at = r->n++;
    for (; at > 0 && id_cmp(&r->members[at - 1], id) > 0; at--)
        r->members[at] = r->members[at - 1];
    r->members[at] = *id;
}

struct ring take_out(const struct ring *r, const struct peal_id *id)
{
    struct ring v = {.epoch = r->epoch + 1};
    for (size_t i = 0; i < r->n; i++)
        if (!id_eq(&r->members[i], id))
            v.members[v.n++] = r->members[i];
    return v;
}

struct ring next(const struct ring *r)
{
    struct ring v = *r;
    v.epoch++;
    return v;
}

uint32_t link_of(size_t i)
{
    return (uint32_t)(LINK + i);
}

void says(struct scene *s, size_t i)
{
    struct wire_n_state m = {.ring = RING,
                             .size = (uint32_t)s->r.n,
                             .state = {.epoch = s->r.epoch, .ready_epoch = s->r.epoch}};
    one_hear(s->o, link_of(i), WIRE_n_state, &m);
}

void tells(struct scene *s, size_t i, struct ring *r, bool skips)
{
    struct wire_n_roster m = {.roster = shown(r), .skips = skips};
    one_hear(s->o, link_of(i), WIRE_n_roster, &m);
}

int accept_code(struct scene *s, struct ring *r, bool newcomer, bool lost)
{
    union wire_any m;
    struct wire_n_roster_accept a = {
        .epoch = r->epoch, .ballot = {.round = 9, .node = s->peer[0].id}, .roster = shown(r)};
    if (newcomer)
        a.newcomer = s->o->self.id;
    if (lost)
        a.lost = s->o->self.id;
    one_forget(s->o);
    one_hear(s->o, LINK, WIRE_n_roster_accept, &a);
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_roster_accepted, &m), "it answers");
    return -(int)m.n_roster_accepted.code;
}

int vote_code(struct scene *s, const struct peal_id *key)
{
    static uint64_t count;
    union wire_any m;
    struct wire_n_reg_prepare q = {
        .ring = RING,
        .epoch = s->r.epoch,
        .op = 5,
        .key = *key,
        .ballot = {.round = s->r.epoch << ROUND_BITS | ++count, .node = s->peer[0].id}};
    one_forget(s->o);
    one_hear(s->o, LINK, WIRE_n_reg_prepare, &q);
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_reg_promise, &m), "it answers");
    return -(int)m.n_reg_promise.code;
}

void linked(struct scene *s, size_t i)
{
    struct wire_roster w = shown(&s->r);
    one_link(s->o, link_of(i), &s->peer[i], false);
    one_hello(s->o, link_of(i), &s->peer[i], &w);
    says(s, i);
}

void begin(struct scene *s, size_t peers)
{
    *s = (struct scene){.o = one_new(1, true, NULL), .peers = peers, .r.epoch = EPOCH};
    put_in(&s->r, &s->o->self.id);
    for (size_t i = 0; i < PEERS; i++)
        s->peer[i] = one_peer((uint8_t)(50 + i));
    for (size_t i = 0; i < peers; i++)
        put_in(&s->r, &s->peer[i].id);
    one_event(s->o, (struct step_event){.kind = STEP_START});
}

void enter(struct scene *s, size_t peers)
{
    begin(s, peers);
    struct ring before = take_out(&s->r, &s->o->self.id), now = s->r;
    before.epoch = EPOCH - 1;
    s->r = before;
    for (size_t i = 0; i < peers; i++)
        linked(s, i);
    s->r = now;
    cr_assert_eq(accept_code(s, &s->r, true, false), 0, "it accepts its admission");
    one_forget(s->o);
    tells(s, 0, &s->r, false);
    for (size_t i = 0; i < peers; i++)
        says(s, i);
    cr_assert_eq(chord_state(s->o->chord), CHORD_COPYING, "it is admitted");
    one_wait(s->o, STEP_US);
}

struct wire_n_copy asked(struct scene *s, size_t i, size_t k)
{
    union wire_any m;
    cr_assert_not_null(one_nth(s->o, link_of(i), WIRE_n_copy, k, &m), "it was asked");
    return m.n_copy;
}

void gives(struct scene *s, size_t i, uint64_t op, int code)
{
    struct wire_n_copy_page a = {.epoch = s->r.epoch, .op = op, .code = (uint16_t)-code};
    one_hear(s->o, link_of(i), WIRE_n_copy_page, &a);
}

void pass(struct scene *s, uint64_t us)
{
    for (uint64_t t = 0; t < us; t += STEP_US) {
        for (size_t i = 0; i < s->peers; i++)
            says(s, i);
        one_wait(s->o, STEP_US);
    }
}

void complete(struct scene *s)
{
    for (int t = 0; t < 60 && chord_state(s->o->chord) == CHORD_COPYING; t++) {
        for (size_t i = 0; i < s->peers; i++)
            for (size_t k = 0, n = one_count(s->o, link_of(i), WIRE_n_copy); k < n; k++)
                gives(s, i, asked(s, i, k).op, 0);
        one_forget(s->o);
        for (size_t i = 0; i < s->peers; i++)
            says(s, i);
        one_wait(s->o, STEP_US);
    }
    cr_assert_eq(chord_state(s->o->chord), CHORD_MEMBER, "it has its copies");
}

struct peal_id home_at(const struct ring *r, const struct peal_id *key, size_t i)
{
    size_t at = 0;
    while (at < r->n && id_cmp(&r->members[at], key) < 0)
        at++;
    return r->members[(at + i) % r->n];
}

bool is_home(const struct ring *r, const struct peal_id *key, const struct peal_id *id)
{
    for (size_t i = 0; i < 3 && i < r->n; i++) {
        struct peal_id h = home_at(r, key, i);
        if (id_eq(&h, id))
            return true;
    }
    return false;
}

int set_code(struct scene *s, const struct peal_id *box, bool put)
{
    union wire_any m;
    struct wire_n_set_put p = {.epoch = s->r.epoch,
                               .op = 6,
                               .row = {.box = *box,
                                       .id = {{1}},
                                       .kind = WIRE_ROW_MESSAGE,
                                       .expires = one_wall(s->o) + 3600 * 1000}};
    struct wire_n_set_list l = {.epoch = s->r.epoch, .op = 6, .box = *box, .ids_only = true};
    one_forget(s->o);
    if (put)
        one_hear(s->o, LINK, WIRE_n_set_put, &p);
    else
        one_hear(s->o, LINK, WIRE_n_set_list, &l);
    if (put) {
        cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_set_ok, &m), "it answers");
        return -(int)m.n_set_ok.code;
    }
    cr_assert_not_null(one_sent(s->o, LINK, WIRE_n_set_page, &m), "it answers");
    return -(int)m.n_set_page.code;
}

int give_code(struct scene *s, size_t to, uint64_t base, const struct peal_id *from,
              const struct peal_id *upto)
{
    union wire_any m;
    struct wire_n_copy q = {
        .roster = shown(&s->r), .base = base, .from = *from, .upto = *upto, .op = 77};
    one_forget(s->o);
    one_hear(s->o, link_of(to), WIRE_n_copy, &q);
    const struct one_said *said = one_sent(s->o, link_of(to), WIRE_n_copy_page, &m);
    cr_assert_not_null(said, "it answers");
    cr_assert(m.n_copy_page.code != 0 || said->held, "the seal is durable first");
    return -(int)m.n_copy_page.code;
}
