/* former: what a node keeps of rings that have gone into others (unite.c), and how the registers of
 * one that it was in come into the one it is in now.
 *
 * In the META space: "former" ‖ ring: its last roster. "moved/" ‖ ring ‖ key: what this node as an
 * acceptor held of a register; of a ring that is not known any more it stays there, under zeros.
 * Every server of the old ring goes through those that it has:
 *
 *   ASK     the old home of the key says what it has accepted; a majority of it, all of which have
 *           given up the old ring's last epoch but one, so that nothing more can be decided there:
 *           what has the highest ballot is, or may as well be, what was decided (CASPaxos's read)
 *   CHANGE  a register operation in the new ring: it is written there if there is nothing
 *   If the new ring is not the one that the old one has gone into, that one has ended as well; then
 *   its old home is asked first: what it has accepted came from here, and may have been changed.
 *
 *   Then it is dropped here. If there was something already, it was brought by another server of
 *   the old home (and has perhaps been changed since): dropped as well; or the new ring has given
 *   the name to somebody else: then it is put under "aside/" ‖ ring ‖ key, and said.
 *
 * That a server has dropped its copy makes the others' reads of the old home poorer; but it has
 * done so only when the new ring had the register, and then their operation there changes nothing.
 *
 * While anyone says that it has some left, a register that is read as empty is not said to be
 * (take_expected): a name that is on its way must be neither free nor unknown. */
#include "inner.h"

#include <string.h>

enum { HEAD = 6, PLACE = HEAD + ID_BYTES, MOVED_KEY = PLACE + ID_BYTES };

static const char FORMER[] = "former", MOVED[] = "moved/", ASIDE[] = "aside/", OF[] = "of";
_Static_assert(sizeof FORMER - 1 == HEAD && sizeof MOVED - 1 == HEAD && sizeof ASIDE - 1 == HEAD,
               "keys begin with a word of one length");
_Static_assert((int)MOVED_KEY <= (int)WIRE_KEY_MAX, "a key in META");

static void ring_key(const char *word, const struct peal_id *ring, uint8_t out[static PLACE])
{
    memcpy(out, word, HEAD);
    memcpy(out + HEAD, ring->b, ID_BYTES);
}

static void moved_key(const char *word, const struct peal_id *ring, const struct peal_id *key,
                      uint8_t out[static MOVED_KEY])
{
    ring_key(word, ring, out);
    memcpy(out + PLACE, key->b, ID_BYTES);
}

/* ---- rings ---- */

struct former *former_of(struct chord *c, const struct peal_id *ring)
{
    for (size_t i = 0; i < c->formers_n; i++)
        if (id_eq(&c->formers[i].roster.ring, ring))
            return &c->formers[i];
    return NULL;
}

/* Makes room for another one: the first of which nothing is left goes, or else the first. */
static void make_room(struct chord *c)
{
    size_t at = 0;
    uint8_t key[PLACE];
    char id[9];
    while (at < c->formers_n && !c->formers[at].done)
        at++;
    if (at == c->formers_n) {
        at = 0;
        step_trace(c->u, STEP_WARN, "unite",
                   "this node was in more than %d rings: what is left of %s stays on its disk",
                   FORMERS_MAX, short_id(&c->formers[0].roster.ring, id));
    }
    ring_key(FORMER, &c->formers[at].roster.ring, key);
    if (c->formers[at].done)
        step_write(c->u, STEP_META, STEP_DEL, peal_bytes_of(key, sizeof key),
                   (struct peal_bytes){0});
    c->formers_n--;
    memmove(&c->formers[at], &c->formers[at + 1], (c->formers_n - at) * sizeof c->formers[0]);
    take_stop(c); /* places have moved */
}

static void save(struct chord *c, const struct former *f)
{
    struct peal_id ids[ROSTER_IDS];
    struct wire_s_former s = {.roster = roster_view(&f->roster, ids), .ready = f->ready};
    uint8_t mem[ROSTER_IDS * ID_BYTES + 256], key[PLACE];
    struct wr w;
    wr_init(&w, mem, sizeof mem);
    int err = wire_encode(WIRE_s_former, &s, &w);
    CHECK(err == 0);
    ring_key(FORMER, &f->roster.ring, key);
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_of(key, sizeof key), peal_bytes_of(mem, w.n));
}

void former_add(struct chord *c, const struct roster *r, bool ready)
{
    CHECK(roster_sealed(r) && former_of(c, &r->ring) == NULL);
    if (c->formers_n == FORMERS_MAX)
        make_room(c);
    struct former *f = &c->formers[c->formers_n++];
    bool held = roster_has(r, &c->cfg.self) || id_eq(&r->ring, &c->of);
    *f = (struct former){.roster = *r, .ready = ready, .done = !held};
    save(c, f);
}

static bool load_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct chord *c = ctx;
    union wire_any m;
    uint16_t type = 0;
    struct former f = {.done = false};
    size_t mark = c->scratch.used;
    int err = wire_decode(value.p, value.n, &type, &m, sizeof m, &c->scratch);
    if (err == 0 && type == WIRE_s_former_1) {
        struct wire_s_former_1 old = m.s_former_1;
        type = WIRE_s_former;
        m.s_former =
            (struct wire_s_former){.roster = roster_from_1(&old.roster), .ready = old.ready};
    }
    if (err == 0 && type == WIRE_s_former && key.n == PLACE)
        err = roster_take(&f.roster, &m.s_former.roster);
    if (err < 0 || type != WIRE_s_former || !roster_sealed(&f.roster)) {
        step_trace(c->u, STEP_WARN, "store", "what was left of a former ring cannot be read");
    } else {
        f.ready = m.s_former.ready;
        c->formers[c->formers_n++] = f;
    }
    c->scratch.used = mark;
    return c->formers_n < FORMERS_MAX;
}

void take_stop(struct chord *c)
{
    memset(&c->taking, 0, sizeof c->taking);
}

void former_load(struct chord *c)
{
    uint8_t from[PLACE] = {0}, to[PLACE];
    memcpy(from, FORMER, HEAD);
    memset(to, 0xff, sizeof to);
    memcpy(to, FORMER, HEAD);
    c->formers_n = 0;
    int err = c->rd->scan(c->rd->ctx, STEP_META, peal_bytes_of(from, HEAD),
                          peal_bytes_of(to, sizeof to), FORMERS_MAX, load_one, c);
    if (err < 0)
        step_trace(c->u, STEP_WARN, "store", "former rings cannot be read: %s", err_prose(err));
}

void former_tell(struct chord *c, const struct former *f, const struct peal_id *to)
{
    struct peal_id ids[ROSTER_IDS];
    struct past p;
    const struct peer *peer = peer_of(c, to);
    const struct roster *r = &f->roster;
    bool of_it = peer != NULL && id_eq(&peer->ring.id, &r->ring) && peer->ring.epoch != 0;
    if (of_it && peer->ring.epoch + 1 < r->epoch &&
        past_load(c, &r->ring, peer->ring.epoch + 1, &p))
        r = &p.roster; /* it was away, and is to go through its ring's last epochs in order */
    struct wire_n_other m = {.roster = roster_view(r, ids)};
    (void)send_to(c, to, WIRE_n_other, &m);
}

/* ---- whose the registers are ---- */

void of_load(struct chord *c)
{
    struct peal_bytes v;
    c->of_stored = (struct peal_id){{0}};
    if (c->rd->get(c->rd->ctx, STEP_META, peal_bytes_str(OF), &c->scratch, &v) == 0 &&
        v.n == ID_BYTES)
        c->of_stored = id_from_bytes(v.p);
}

void of_save(struct chord *c)
{
    if (id_eq(&c->of, &c->of_stored))
        return;
    c->of_stored = c->of;
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_str(OF), id_bytes(&c->of));
}

void of_lost(struct chord *c)
{
    struct peal_bytes all = {0};
    bool any = false, known = !id_is_zero(&c->of_stored);
    int err = c->rd->scan(c->rd->ctx, STEP_REGISTERS, all, all, 1, any_key, &any);
    c->of = c->of_stored;
    c->strange = !known && (any || err < 0);
    if (known || c->strange) /* there was a roster */
        distrust_mark(c, true);
    if (c->strange)
        step_trace(c->u, STEP_WARN, "store",
                   "of which ring this server's registers are is not known: they are set aside");
}

/* ---- setting aside ---- */

struct aside {
    struct chord *c;
    int n;
};

static bool aside_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct aside *a = ctx;
    uint8_t to[MOVED_KEY];
    a->n++;
    if (key.n == ID_BYTES) {
        struct peal_id id = id_from_bytes(key.p);
        moved_key(MOVED, &a->c->of, &id, to);
        step_write(a->c->u, STEP_META, STEP_PUT, peal_bytes_of(to, sizeof to), value);
    }
    step_write(a->c->u, STEP_REGISTERS, STEP_DEL, key, (struct peal_bytes){0});
    return true;
}

int former_set_aside(struct chord *c)
{
    struct aside a = {.c = c};
    int err = c->rd->scan(c->rd->ctx, STEP_REGISTERS, (struct peal_bytes){0},
                          (struct peal_bytes){0}, MOVE_BATCH, aside_one, &a);
    return err < 0 ? err : a.n;
}

/* ---- what others ask ---- */

/* What this node holds of it, in the scratch arena. */
static int held(struct chord *c, const struct former *f, const struct peal_id *key,
                struct reg_state *out)
{
    uint8_t k[MOVED_KEY];
    struct peal_bytes v;
    *out = (struct reg_state){0};
    moved_key(MOVED, &f->roster.ring, key, k);
    int err = c->rd->get(c->rd->ctx, STEP_META, peal_bytes_of(k, sizeof k), &c->scratch, &v);
    if (err == PEAL_E_NOT_FOUND)
        return 0;
    return err < 0 ? err : reg_decode(v, out);
}

void on_former(struct chord *c, const struct source *src, const struct wire_n_former *m)
{
    size_t mark = c->scratch.used;
    const struct former *f = former_of(c, &m->ring);
    struct reg_state s = {0};
    bool in_it = c->roster.epoch != 0 && id_eq(&m->ring, &c->roster.ring);
    if (f != NULL && m->op == 0) { /* of one that is in no ring, and has to know */
        former_tell(c, f, &src->id);
        return;
    }
    int code = f != NULL ? 0 : in_it ? PEAL_E_BUSY : PEAL_E_NOT_FOUND;
    if (code == 0 && !f->ready)
        code = PEAL_E_BUSY;
    if (code == 0)
        code = c->store_err < 0 ? c->store_err : held(c, f, &m->key, &s);
    if (code == 0)
        hold_answer(c); /* that it votes no more in that ring must be durable first */
    struct wire_n_former_is a = {
        .op = m->op, .code = (uint16_t)-code, .accepted = s.accepted, .value = s.value};
    answer(c, src, WIRE_n_former_is, &a);
    c->scratch.used = mark;
}

/* ---- taking in ---- */

static void drop(struct chord *c, const struct take *t, bool keep)
{
    uint8_t key[MOVED_KEY];
    const struct peal_id *ring = &c->formers[t->former].roster.ring;
    if (keep) {
        struct wire_s_register s = {.accepted = t->best,
                                    .value = peal_bytes_of(t->value, t->value_n)};
        uint8_t mem[WIRE_REGISTER_MAX + 128];
        struct wr w;
        wr_init(&w, mem, sizeof mem);
        int err = wire_encode(WIRE_s_register, &s, &w);
        CHECK(err == 0);
        moved_key(ASIDE, ring, &t->key, key);
        step_write(c->u, STEP_META, STEP_PUT, peal_bytes_of(key, sizeof key),
                   peal_bytes_of(mem, w.n));
    }
    moved_key(MOVED, ring, &t->key, key);
    step_write(c->u, STEP_META, STEP_DEL, peal_bytes_of(key, sizeof key), (struct peal_bytes){0});
}

static void fail(struct chord *c, struct take *t)
{
    *t = (struct take){.phase = TAKE_FREE};
    c->taking.left++;
}

static void succeed(struct chord *c, struct take *t, bool keep)
{
    drop(c, t, keep);
    *t = (struct take){.phase = TAKE_FREE};
    c->taking.taken++;
}

static struct take *take_of(struct chord *c, uint64_t op, enum take_phase phase)
{
    for (size_t i = 0; i < TAKE_MAX; i++)
        if (c->taking.at[i].phase == phase && c->taking.at[i].op == op)
            return &c->taking.at[i];
    return NULL;
}

int take_change(struct chord *c, uint64_t op, struct peal_bytes old, struct peal_bytes *value)
{
    if (op == REG_SETTLE) {
        *value = old;
        return old.n > 0;
    }
    const struct take *t = take_of(c, op, TAKE_CHANGE);
    if (t == NULL || old.n > 0)
        return 0;
    *value = peal_bytes_of(t->value, t->value_n);
    return 1;
}

void take_done(struct chord *c, uint64_t op, int err, struct peal_bytes value)
{
    struct take *t = take_of(c, op, TAKE_CHANGE);
    if (t == NULL)
        return; /* taking was begun anew meanwhile */
    struct peal_bytes ours = peal_bytes_of(t->value, t->value_n);
    char label[CHORD_LABEL_MAX + 1] = "";
    if (err < 0) {
        fail(c, t);
    } else if (peal_bytes_eq(value, ours) ||
               c->cfg.app.reg_same(c->cfg.app.ctx, value, ours, label)) {
        succeed(c, t, false);
    } else {
        char ring[9];
        step_trace(c->u, STEP_WARN, "unite",
                   "%s of ring %s is set aside: both rings had one, and this ring's stands",
                   label[0] != 0 ? label : "a register",
                   short_id(&c->formers[t->former].roster.ring, ring));
        succeed(c, t, true);
    }
}

static void ask_home(struct chord *c, struct take *t, size_t former);

/* Of the rings that the register's went into, one after the other, and itself: the one that went
 * into `upto`. -1: the way there is not known. */
static int last_before(struct chord *c, const struct take *t, const struct peal_id *upto)
{
    const struct former *f = &c->formers[t->former];
    for (size_t i = 0; f != NULL && i < FORMERS_MAX; i++) {
        if (id_eq(&f->roster.into, upto))
            return (int)(f - c->formers);
        f = former_of(c, &f->roster.into);
    }
    return -1;
}

/* A majority has said what it has. */
static void change(struct chord *c, struct take *t)
{
    if (t->best.round == 0 && t->asked != t->former) {
        int before = last_before(c, t, &c->formers[t->asked].roster.ring);
        CHECK(before >= 0);
        ask_home(c, t, (size_t)before);
        return;
    }
    if (t->best.round == 0) { /* promised once, and never accepted by those of whom a decision
                                 would have needed one */
        succeed(c, t, false);
        return;
    }
    t->phase = TAKE_CHANGE;
    if (reg_begin_take(c, t->op, &t->key, TAKE_CHANGE_US) < 0)
        fail(c, t);
}

static void hear(struct chord *c, struct take *t, const struct peal_id *from, int code,
                 const struct wire_ballot *accepted, struct peal_bytes value)
{
    size_t at = 0;
    while (at < t->homes && !id_eq(&t->home[at], from))
        at++;
    if (code != 0 || at == t->homes || (t->answered >> at & 1) != 0)
        return;
    t->answered |= (uint8_t)(1u << at);
    t->oks++;
    if (ballot_cmp(accepted, &t->best) > 0) {
        CHECK(value.n <= WIRE_REGISTER_MAX);
        t->best = *accepted;
        t->value_n = value.n;
        if (value.n > 0)
            memcpy(t->value, value.p, value.n);
    }
    if (t->oks >= t->need && t->phase == TAKE_ASK)
        change(c, t);
}

void on_former_is(struct chord *c, const struct source *src, const struct wire_n_former_is *m)
{
    struct take *t = take_of(c, m->op, TAKE_ASK);
    if (t != NULL && reg_ballot_sound(c, src, &m->accepted, c->formers[t->asked].roster.epoch))
        hear(c, t, &src->id, -(int)m->code, &m->accepted, m->value);
}

static void ask_home(struct chord *c, struct take *t, size_t former)
{
    const struct former *f = &c->formers[former];
    size_t mark = c->scratch.used;
    struct reg_state s;
    t->phase = TAKE_ASK;
    t->asked = former;
    t->homes = roster_home(&f->roster, &t->key, t->home);
    t->need = majority(t->homes);
    t->oks = t->answered = 0;
    t->best = (struct wire_ballot){0};
    t->value_n = 0;
    t->op = rng_next(&c->rng) | 1;
    t->until_us = c->now + TAKE_ASK_US;
    for (size_t i = 0; i < t->homes; i++) {
        struct wire_n_former m = {.ring = f->roster.ring, .op = t->op, .key = t->key};
        if (!is_self(c, &t->home[i]))
            (void)send_to(c, &t->home[i], WIRE_n_former, &m);
    }
    int err = f->ready ? held(c, f, &t->key, &s) : PEAL_E_BUSY;
    if (err == 0)
        hear(c, t, &c->cfg.self, 0, &s.accepted, s.value);
    c->scratch.used = mark;
}

/* Another server of the old home is up here, and comes before this one. */
static bool is_anothers(const struct chord *c, const struct take *t)
{
    struct peal_id home[CHORD_REPLICAS_MAX + 1];
    size_t n = roster_home(&c->formers[t->former].roster, &t->key, home);
    for (size_t i = 0; i < n; i++) {
        if (is_self(c, &home[i]))
            return false;
        if (chord_is_up(c, &home[i]))
            return true;
    }
    return false;
}

struct next {
    bool found;
    struct peal_id key;
};

static bool next_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct next *n = ctx;
    (void)value;
    if (key.n != MOVED_KEY)
        return true;
    n->found = true;
    n->key = id_from_bytes(key.p + PLACE);
    return false;
}

/* The first key of the former ring after the one that was last seen. */
static struct next next_of(struct chord *c, const struct former *f)
{
    struct next n = {.found = false};
    uint8_t from[MOVED_KEY + 1] = {0}, to[MOVED_KEY + 1];
    ring_key(MOVED, &f->roster.ring, from);
    memcpy(from + PLACE, c->taking.after.b, ID_BYTES);
    memset(to, 0xff, sizeof to);
    ring_key(MOVED, &f->roster.ring, to);
    size_t len = c->taking.begun ? sizeof from : PLACE; /* a zero byte behind: the first after it */
    int err = c->rd->scan(c->rd->ctx, STEP_META, peal_bytes_of(from, len),
                          peal_bytes_of(to, sizeof to), SIZE_MAX, next_one, &n);
    if (err < 0) {
        c->taking.left++; /* at least: the pass is not the last one */
        step_trace(c->u, STEP_WARN, "store", "what was set aside cannot be read: %s",
                   err_prose(err));
    }
    return n;
}

static void begin_pass(struct chord *c, bool all)
{
    struct taking *k = &c->taking;
    k->begun = k->ended = false;
    k->all = all;
    k->left = k->taken = 0;
}

/* The next former ring that has something left, round and round; formers_n: none has. */
static size_t former_after(const struct chord *c, size_t former)
{
    for (size_t i = 1; i <= c->formers_n; i++) {
        size_t at = (former + i) % c->formers_n;
        if (!c->formers[at].done)
            return at;
    }
    return c->formers_n;
}

/* Nothing is under way, and the last key was seen. What cannot be taken in of one ring does not
 * hold up what is left of the others. */
static void end_pass(struct chord *c)
{
    struct taking *k = &c->taking;
    size_t was_at = k->former;
    struct former *f = &c->formers[k->former];
    char ring[9];
    if (k->taken > 0)
        step_trace(c->u, STEP_INFO, "unite", "%zu registers of ring %s were taken in, %zu are left",
                   k->taken, short_id(&f->roster.ring, ring), k->left);
    k->fruitless = k->taken > 0 || !k->all ? 0 : k->fruitless + 1;
    bool was = take_pending(c);
    f->done = k->left == 0;
    k->due_us = c->now + (k->fruitless < TAKE_STUCK ? TAKE_REST_US : TAKE_AGAIN_US);
    if (f->done) {
        k->fruitless = 0;
        k->due_us = c->now;
    }
    if (f->done || k->all)
        k->former = former_after(c, k->former);
    if (was != take_pending(c))
        c->state_news = true;
    begin_pass(c, k->former == was_at);
}

static void take_next(struct chord *c)
{
    struct taking *k = &c->taking;
    const struct former *f = &c->formers[k->former];
    struct take *t;
    while (!k->ended && (t = take_of(c, 0, TAKE_FREE)) != NULL && ops_room(c)) {
        struct next n = next_of(c, f);
        if (!n.found) {
            k->ended = true;
            return;
        }
        k->begun = true;
        k->after = n.key;
        *t = (struct take){.former = k->former, .key = n.key};
        int last = last_before(c, t, &c->roster.ring);
        if (last < 0 || (!k->all && is_anothers(c, t)))
            fail(c, t); /* for a later pass, which knows more, or finds it done */
        else
            ask_home(c, t, (size_t)last);
    }
}

void take_timer(struct chord *c)
{
    struct taking *k = &c->taking;
    bool busy = false;
    if (c->state != CHORD_MEMBER || c->store_err < 0)
        return;
    for (size_t i = 0; i < TAKE_MAX; i++) {
        struct take *t = &k->at[i];
        if (t->phase == TAKE_ASK && c->now >= t->until_us)
            fail(c, t);
    }
    while (k->former < c->formers_n && c->formers[k->former].done)
        k->former++;
    if (k->former == c->formers_n || c->now < k->due_us)
        return;
    take_next(c);
    for (size_t i = 0; i < TAKE_MAX; i++)
        busy = busy || k->at[i].phase != TAKE_FREE;
    if (k->ended && !busy)
        end_pass(c);
}

/* As soon as a place is free for another one. */
uint64_t take_deadline(const struct chord *c)
{
    const struct taking *k = &c->taking;
    if (c->state != CHORD_MEMBER || c->store_err < 0 || k->former == c->formers_n || k->ended)
        return UINT64_MAX;
    for (size_t i = 0; i < TAKE_MAX; i++)
        if (k->at[i].phase == TAKE_FREE)
            return k->due_us;
    return UINT64_MAX;
}

bool take_pending(const struct chord *c)
{
    if (c->state == CHORD_MOVING)
        return true;
    if (c->taking.fruitless >= TAKE_STUCK)
        return false;
    for (size_t i = 0; i < c->formers_n; i++)
        if (!c->formers[i].done)
            return true;
    return false;
}

bool take_expected(const struct chord *c)
{
    if (take_pending(c))
        return true;
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *p = &c->peers[i];
        bool lately = p->linked || c->now - p->heard_us < TAKE_UNSURE_US;
        if (p->used && lately && p->state.taking)
            return true;
    }
    /* One that this node has not heard yet since it was started may be about to say so. */
    bool unsure = c->roster.takes_n > 0 && c->now - c->start_us < TAKE_UNSURE_US;
    for (size_t i = 0; unsure && i < c->roster.n; i++) {
        const struct peer *p = peer_of_const(c, &c->roster.members[i]);
        if (!is_self(c, &c->roster.members[i]) && (p == NULL || p->state.epoch == 0))
            return true;
    }
    return false;
}
