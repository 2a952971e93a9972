/* A little world for tests of the service. See host.h. */
#include "host.h"

#include "disk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LATENCY_US = 200,
    JITTER_US = 100,
    PING_US = 5 * HOST_SEC,
    WORK_US = 20 * HOST_MS,
    INBOX_HEAP = 256 * 1024,
    WALL_START = 1700000000,
};

/* ---- the world ---- */

enum event_kind { EV_FRAME, EV_UP, EV_DOWN, EV_DURABLE, EV_WORKED };

struct event {
    uint64_t at, seq;
    enum event_kind kind;
    bool to_client;
    uint32_t to;   /* node or client */
    uint32_t life; /* of a node: an event for an earlier life is nobody's */
    uint32_t link;
    enum step_link_kind link_kind;
    bool dialled;
    struct peal_id peer;
    struct blob bytes; /* frame, address, reason, work's output */
    uint64_t token;
    int err;
};

/* One end of a link; the other is link ^ 1 of the world's table. */
struct end {
    bool used, open;
    bool client; /* this end is a client's */
    uint32_t who;
    uint32_t life;
    enum step_link_kind kind;
    bool dialled;
    uint64_t last_at; /* frames to this end arrive in order */
};

struct held { /* effects that wait for an update's writes */
    uint64_t ticket;
    struct step_effect *v;
    size_t n;
};

struct node {
    bool alive;
    uint32_t life;
    struct cry_sign_key key;
    struct peal_id id;
    char address[WIRE_ADDRESS_MAX];
    uint64_t incarnation;
    void *mem;
    struct svc *svc;
    struct disk disk;
    struct step_reader reader;
    uint64_t ticket;
    uint64_t skew_ms;
    struct held *held;
    size_t held_n, held_cap;
    uint64_t durable_at;
};

struct inbox {
    struct blob *v;
    size_t n, at, cap;
};

struct client {
    uint32_t end; /* this client's end; UINT32_MAX: none */
    bool open, mute, pinging;
    uint32_t node;
    uint64_t ping_at;
    char reason[256];
    int err;
    struct inbox in;
    union wire_any last;
    uint8_t *heap;
    struct blob frame;
};

struct host {
    struct host_opts o;
    uint8_t lost[WIRE_FIRST_CLIENT]; /* percent, by type */
    struct rng rng;
    struct cry_sign_key operator_key;
    uint64_t now, seq;
    struct node nodes[HOST_NODES_MAX];
    struct client clients[HOST_CLIENTS_MAX];
    struct end *ends;
    size_t ends_n, ends_cap;
    struct event *events; /* a heap */
    size_t events_n, events_cap;
    void *update_mem;
    struct step_update u;
};

static bool event_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void event_add(struct host *h, struct event e)
{
    e.seq = h->seq++;
    h->events = grow(h->events, &h->events_cap, h->events_n + 1, sizeof *h->events);
    size_t i = h->events_n++;
    while (i > 0 && event_before(&e, &h->events[(i - 1) / 2])) {
        h->events[i] = h->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->events[i] = e;
}

static struct event event_take(struct host *h)
{
    struct event top = h->events[0];
    struct event e = h->events[--h->events_n];
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= h->events_n)
            break;
        if (k + 1 < h->events_n && event_before(&h->events[k + 1], &h->events[k]))
            k++;
        if (!event_before(&h->events[k], &e))
            break;
        h->events[i] = h->events[k];
        i = k;
    }
    if (h->events_n > 0)
        h->events[i] = e;
    return top;
}

uint64_t host_now(const struct host *h)
{
    return h->now;
}

uint64_t host_wall(const struct host *h)
{
    return (uint64_t)WALL_START * 1000 + h->now / 1000;
}

struct svc *host_svc(struct host *h, uint32_t node)
{
    return h->nodes[node].svc;
}

struct rng *host_rng(struct host *h)
{
    return &h->rng;
}

uint64_t host_row_reads(const struct host *h)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < h->o.nodes; i++)
        n += h->nodes[i].disk.row_reads;
    return n;
}

struct peal_id host_node_id(const struct host *h, uint32_t node)
{
    return h->nodes[node].id;
}

bool host_alive(const struct host *h, uint32_t node)
{
    return h->nodes[node].alive;
}

/* ---- links ---- */

static void to_end(struct host *h, uint32_t end, enum event_kind kind, struct peal_bytes bytes,
                   int err)
{
    struct end *e = &h->ends[end];
    uint64_t at = h->now + LATENCY_US + rng_below(&h->rng, JITTER_US);
    if (at < e->last_at)
        at = e->last_at;
    e->last_at = at;
    event_add(h, (struct event){.at = at,
                                .kind = kind,
                                .to_client = e->client,
                                .to = e->who,
                                .life = e->life,
                                .link = end,
                                .link_kind = e->kind,
                                .dialled = e->dialled,
                                .bytes = blob_of(bytes),
                                .err = err});
}

static uint32_t pair(struct host *h, struct end a, struct end b)
{
    uint32_t at = (uint32_t)h->ends_n;
    h->ends = grow(h->ends, &h->ends_cap, h->ends_n + 2, sizeof *h->ends);
    a.used = b.used = a.open = b.open = true;
    h->ends[at] = a;
    h->ends[at + 1] = b;
    h->ends_n += 2;
    return at;
}

/* This end closes; the other one hears of it after what was sent before. */
static void close_end(struct host *h, uint32_t end, int err, struct peal_bytes reason,
                      bool tell_self)
{
    struct end *e = &h->ends[end];
    if (!e->open)
        return;
    e->open = false;
    if (tell_self)
        event_add(h, (struct event){.at = h->now,
                                    .kind = EV_DOWN,
                                    .to_client = e->client,
                                    .to = e->who,
                                    .life = e->life,
                                    .link = end,
                                    .link_kind = e->kind,
                                    .dialled = e->dialled,
                                    .bytes = blob_of(reason),
                                    .err = PEAL_E_CLOSED});
    if (h->ends[end ^ 1].open)
        to_end(h, end ^ 1, EV_DOWN, reason, err != 0 ? err : PEAL_E_CLOSED);
}

static void dial(struct host *h, uint32_t from, struct peal_bytes address)
{
    struct node *a = &h->nodes[from];
    uint32_t to = HOST_NODES_MAX;
    for (uint32_t i = 0; i < h->o.nodes; i++)
        if (peal_bytes_eq(address, peal_bytes_str(h->nodes[i].address)) && h->nodes[i].alive)
            to = i;
    if (to == HOST_NODES_MAX) {
        event_add(h, (struct event){.at = h->now + LATENCY_US,
                                    .kind = EV_DOWN,
                                    .to = from,
                                    .life = a->life,
                                    .link = UINT32_MAX,
                                    .link_kind = STEP_LINK_NODE,
                                    .dialled = true,
                                    .bytes = blob_of(address),
                                    .err = PEAL_E_REFUSED});
        return;
    }
    struct node *b = &h->nodes[to];
    uint32_t l = pair(h, (struct end){.who = from, .life = a->life, .dialled = true},
                      (struct end){.who = to, .life = b->life});
    to_end(h, l, EV_UP, address, 0);
    to_end(h, l + 1, EV_UP, peal_bytes_str(a->address), 0);
}

void host_lose(struct host *h, uint16_t type, uint32_t percent)
{
    cr_assert(type < WIRE_FIRST_CLIENT && percent <= 100, "a message between nodes");
    h->lost[type] = (uint8_t)percent;
}

static bool gets_lost(struct host *h, uint32_t from, struct peal_bytes frame)
{
    uint16_t type = (uint16_t)(frame.p[0] << 8 | frame.p[1]);
    return h->ends[from].kind == STEP_LINK_NODE && h->lost[type] > 0 &&
           rng_below(&h->rng, 100) < h->lost[type];
}

/* ---- steps ---- */

static void step(struct host *h, uint32_t n, struct step_event *ev);

static void perform(struct host *h, uint32_t n, const struct step_effect *e)
{
    struct node *x = &h->nodes[n];
    switch (e->kind) {
    case STEP_SEND:
        if (e->link == STEP_SELF)
            event_add(h, (struct event){.at = h->now,
                                        .kind = EV_FRAME,
                                        .to = n,
                                        .life = x->life,
                                        .link = STEP_SELF,
                                        .bytes = blob_of(e->bytes)});
        else if (h->ends[e->link - 1].open && h->ends[(e->link - 1) ^ 1].open &&
                 !gets_lost(h, e->link - 1, e->bytes))
            to_end(h, (e->link - 1) ^ 1, EV_FRAME, e->bytes, 0);
        break;
    case STEP_CLOSE:
        close_end(h, e->link - 1, e->err, e->bytes, true);
        break;
    case STEP_DIAL:
        dial(h, n, e->bytes);
        break;
    case STEP_WORK: {
        struct peal_secret auth;
        char text[CRY_BCRYPT_SIZE] = "";
        int err = 0;
        memcpy(auth.b, e->bytes.p, 32);
        if (e->work == STEP_WORK_HASH) {
            err = cry_bcrypt_hash(&auth, CRY_BCRYPT_COST_MIN, text);
        } else {
            memcpy(text, e->bytes.p + 32, e->bytes.n - 32);
            err = cry_bcrypt_verify(&auth, text);
        }
        event_add(h, (struct event){.at = h->now + WORK_US,
                                    .kind = EV_WORKED,
                                    .to = n,
                                    .life = x->life,
                                    .token = e->token,
                                    .bytes = blob_of(peal_bytes_str(text)),
                                    .err = err});
        break;
    }
    case STEP_TRACE:
        if (getenv("HOST_TRACE") != NULL)
            fprintf(stderr, "%10.6f n%u %s: %.*s\n", (double)h->now / 1e6, n, e->name,
                    (int)e->bytes.n, (const char *)e->bytes.p);
        break;
    case STEP_WRITE:
    case STEP_SAY_BEACON:
        break;
    }
}

static struct step_effect effect_copy(const struct step_effect *e)
{
    struct step_effect c = *e;
    struct blob b = blob_of(e->bytes);
    c.bytes = view(&b);
    return c;
}

static void obey(struct host *h, uint32_t n)
{
    struct node *x = &h->nodes[n];
    struct step_update *u = &h->u;
    bool writes = false;
    for (size_t i = 0; i < u->n; i++)
        writes |= u->effects[i].kind == STEP_WRITE;
    uint64_t ticket = 0;
    if (writes)
        ticket = ++x->ticket;
    for (size_t i = 0; i < u->n; i++)
        if (u->effects[i].kind == STEP_WRITE)
            disk_write(&x->disk, &u->effects[i], ticket);
    for (size_t i = 0; i < u->n; i++)
        if (u->effects[i].kind == STEP_SEND && u->effects[i].eager)
            perform(h, n, &u->effects[i]);
    struct held held = {.ticket = ticket};
    for (size_t i = 0; i < u->n; i++) {
        const struct step_effect *e = &u->effects[i];
        if (e->kind == STEP_WRITE || (e->kind == STEP_SEND && e->eager))
            continue;
        if (!writes) {
            perform(h, n, e);
            continue;
        }
        held.v = realloc(held.v, (held.n + 1) * sizeof *held.v);
        cr_assert_not_null(held.v, "memory");
        held.v[held.n++] = effect_copy(e);
    }
    if (!writes)
        return;
    x->held = grow(x->held, &x->held_cap, x->held_n + 1, sizeof *x->held);
    x->held[x->held_n++] = held;
    uint64_t at = h->now + (h->o.fsync_us != 0 ? h->o.fsync_us : HOST_MS);
    x->durable_at = at > x->durable_at ? at : x->durable_at;
    event_add(
        h, (struct event){
               .at = x->durable_at, .kind = EV_DURABLE, .to = n, .life = x->life, .token = ticket});
}

static void step(struct host *h, uint32_t n, struct step_event *ev)
{
    struct node *x = &h->nodes[n];
    ev->now_us = h->now + 1000; /* clocks do not begin at zero */
    ev->wall_ms = host_wall(h) + x->skew_ms;
    ev->reader = &x->reader;
    step_update_reset(&h->u);
    svc_step(x->svc, ev, &h->u);
    obey(h, n);
}

static void durable(struct host *h, uint32_t n, uint64_t ticket)
{
    struct node *x = &h->nodes[n];
    disk_commit(&x->disk, ticket);
    cr_assert(x->held_n > 0 && x->held[0].ticket == ticket, "updates complete in their order");
    struct held first = x->held[0];
    memmove(x->held, x->held + 1, --x->held_n * sizeof *x->held);
    for (size_t i = 0; i < first.n; i++) {
        perform(h, n, &first.v[i]);
        free((void *)first.v[i].bytes.p);
    }
    free(first.v);
}

/* ---- nodes ---- */

void host_start(struct host *h, uint32_t n)
{
    struct node *x = &h->nodes[n];
    struct svc_config cfg = {.message_days = h->o.message_days,
                             .chord = {.self = x->id,
                                       .box_rows_max = h->o.box_rows_max,
                                       .replicas = h->o.replicas,
                                       .seed = rng_next(&h->rng),
                                       .discovery = false},
                             .sessions_max = h->o.sessions_max,
                             .locations_max = h->o.locations_max};
    uint8_t body[RING_CONTACT_BODY_MAX];
    uint8_t sig[CRY_SIG_BYTES], list[WIRE_ADDRESSES_BYTES];
    size_t list_n = wire_address_add(list, 0, peal_bytes_str(x->address));
    cr_assert(!x->alive, "a node that runs is not started");
    cfg.chord.contact = (struct wire_contact){.id = x->id,
                                              .incarnation = ++x->incarnation,
                                              .addresses = peal_bytes_of(list, list_n),
                                              .key = peal_bytes_of(x->key.pub, CRY_PUB_BYTES)};
    size_t body_n = ring_contact_body(&cfg.chord.contact, body);
    cry_sign(&x->key, RING_CONTACT_DOMAIN, peal_bytes_of(body, body_n), sig);
    cfg.chord.contact.signature = peal_bytes_of(sig, sizeof sig);
    if (h->o.nodes > 1 && n > 0)
        cfg.chord.joins[cfg.chord.joins_n++] = peal_bytes_str(h->nodes[0].address);
    rng_fill(&h->rng, cfg.secret, sizeof cfg.secret);
    memcpy(cfg.operator_pub, h->operator_key.pub, sizeof cfg.operator_pub);
    x->mem = aligned_alloc(16, (svc_size(&cfg) + 15) / 16 * 16);
    cr_assert_not_null(x->mem, "memory");
    int err = svc_init(x->mem, &cfg, &x->svc);
    cr_assert_eq(err, 0, "svc_init: %s", err_name(err));
    x->alive = true;
    x->reader = (struct step_reader){.ctx = &x->disk, .get = disk_get, .scan = disk_scan};
    struct step_event ev = {.kind = STEP_START};
    step(h, n, &ev);
}

void host_kill(struct host *h, uint32_t n)
{
    struct node *x = &h->nodes[n];
    cr_assert(x->alive, "a node that does not run is not killed");
    x->alive = false;
    x->life++;
    disk_crash(&x->disk);
    for (size_t i = 0; i < x->held_n; i++) {
        for (size_t k = 0; k < x->held[i].n; k++)
            free((void *)x->held[i].v[k].bytes.p);
        free(x->held[i].v);
    }
    x->held_n = 0;
    free(x->mem);
    x->mem = NULL;
    x->svc = NULL;
    for (uint32_t e = 0; e < h->ends_n; e++)
        if (!h->ends[e].client && h->ends[e].who == n && h->ends[e].open)
            close_end(h, e, PEAL_E_IO, peal_bytes_str("the node was killed"), false);
}

void host_leave(struct host *h, uint32_t n)
{
    struct step_event ev = {.kind = STEP_LEAVE};
    step(h, n, &ev);
}

void host_skew(struct host *h, uint32_t n, uint64_t ms)
{
    h->nodes[n].skew_ms = ms;
}

void host_store_state(struct host *h, uint32_t n, int err)
{
    struct step_event ev = {.kind = STEP_STORE_STATE, .err = err};
    step(h, n, &ev);
}

size_t host_age_accounts(struct host *h, uint32_t n, unsigned form)
{
    CHECK(!h->nodes[n].alive);
    return disk_age_accounts(&h->nodes[n].disk, form);
}

static size_t count_rows(struct host *h, uint32_t n, bool tombstones)
{
    size_t rows = 0;
    const struct disk *d = &h->nodes[n].disk;
    for (size_t i = 0; i < d->n; i++) {
        struct wire_s_row s;
        uint16_t type = 0;
        struct arena none;
        arena_init(&none, NULL, 0);
        if (d->v[i].space == STEP_ROWS &&
            wire_decode(d->v[i].value.p, d->v[i].value.n, &type, &s, sizeof s, &none) == 0 &&
            type == WIRE_s_row && (tombstones || s.row.kind != WIRE_ROW_TOMBSTONE))
            rows++;
    }
    return rows;
}

size_t host_rows(struct host *h, uint32_t n)
{
    return count_rows(h, n, false);
}

size_t host_keys(struct host *h, uint32_t n)
{
    return count_rows(h, n, true);
}

struct host *host_new(const struct host_opts *o)
{
    struct host *h = calloc(1, sizeof *h);
    cr_assert_not_null(h, "memory");
    cr_assert_eq(cry_init(), 0, "crypto");
    cr_assert_leq(o->nodes, HOST_NODES_MAX, "nodes");
    h->o = *o;
    rng_init(&h->rng, o->seed);
    h->update_mem = aligned_alloc(16, (step_update_size() + 15) / 16 * 16);
    cr_assert_not_null(h->update_mem, "memory");
    step_update_init(&h->u, h->update_mem);
    for (uint32_t i = 0; i < o->nodes; i++) {
        struct node *x = &h->nodes[i];
        struct peal_secret seed;
        rng_fill(&h->rng, seed.b, sizeof seed.b);
        cry_sign_key_from_seed(&seed, &x->key);
        x->id = cry_node_id(x->key.pub);
        (void)snprintf(x->address, sizeof x->address, "10.0.0.%u:7000", i + 1);
    }
    static const struct peal_secret ring_key = {{1, 2, 3}};
    cry_ring_operator_key(&ring_key, &h->operator_key);
    for (uint32_t i = 0; i < HOST_CLIENTS_MAX; i++) {
        h->clients[i].end = UINT32_MAX;
        h->clients[i].pinging = true;
    }
    for (uint32_t i = 0; i < o->nodes; i++)
        host_start(h, i);
    return h;
}

const struct cry_sign_key *host_operator(const struct host *h)
{
    return &h->operator_key;
}

void host_free(struct host *h)
{
    for (uint32_t i = 0; i < h->o.nodes; i++) {
        if (h->nodes[i].alive)
            host_kill(h, i);
        disk_free(&h->nodes[i].disk);
        free(h->nodes[i].held);
    }
    while (h->events_n > 0)
        free(event_take(h).bytes.p);
    for (uint32_t i = 0; i < HOST_CLIENTS_MAX; i++) {
        struct client *c = &h->clients[i];
        for (; c->in.at < c->in.n; c->in.at++)
            free(c->in.v[c->in.at].p);
        free(c->in.v);
        free(c->heap);
        free(c->frame.p);
    }
    free(h->events);
    free(h->ends);
    free(h->update_mem);
    free(h);
}

/* ---- time ---- */

static void to_client(struct host *h, const struct event *e)
{
    struct client *c = &h->clients[e->to];
    if (c->end != e->link)
        return;
    if (e->kind == EV_DOWN) {
        c->open = false;
        h->ends[e->link].open = false;
        c->err = e->err;
        (void)snprintf(c->reason, sizeof c->reason, "%.*s", (int)e->bytes.n,
                       (const char *)e->bytes.p);
    } else if (e->kind == EV_FRAME && !c->mute) {
        uint16_t type = (uint16_t)(e->bytes.p[0] << 8 | e->bytes.p[1]);
        if (type == WIRE_c_pong)
            return;
        c->in.v = grow(c->in.v, &c->in.cap, c->in.n + 1, sizeof *c->in.v);
        c->in.v[c->in.n++] = blob_of(view(&e->bytes));
    }
}

static void to_node(struct host *h, const struct event *e)
{
    struct node *x = &h->nodes[e->to];
    struct step_event ev = {.link = e->link == UINT32_MAX ? STEP_NO_LINK : e->link + 1,
                            .link_kind = e->link_kind,
                            .dialled = e->dialled};
    if (!x->alive || x->life != e->life)
        return;
    if (e->kind == EV_DURABLE) {
        durable(h, e->to, e->token);
        return;
    }
    if (e->kind == EV_FRAME) {
        ev.kind = STEP_RECEIVED;
        ev.link = e->link == STEP_SELF ? STEP_SELF : e->link + 1;
        ev.bytes = view(&e->bytes);
        if (e->link != STEP_SELF && !h->ends[e->link].open)
            return;
    } else if (e->kind == EV_WORKED) {
        ev.kind = STEP_WORKED;
        ev.token = e->token;
        ev.err = e->err;
        ev.bytes = view(&e->bytes);
    } else if (e->kind == EV_UP) {
        if (!h->ends[e->link].open)
            return;
        ev.kind = STEP_LINK_UP;
        ev.address = view(&e->bytes);
        const struct end *other = &h->ends[e->link ^ 1];
        if (!other->client)
            ev.peer = h->nodes[other->who].id;
    } else {
        ev.kind = STEP_LINK_DOWN;
        ev.err = e->err;
        if (e->link != UINT32_MAX)
            h->ends[e->link].open = false;
        else
            ev.address = view(&e->bytes);
    }
    step(h, e->to, &ev);
}

/* The next thing that happens, at most at `limit`; false when nothing does. */
static bool advance(struct host *h, uint64_t limit)
{
    uint64_t at = limit;
    uint32_t timer = HOST_NODES_MAX;
    for (uint32_t i = 0; i < h->o.nodes; i++) {
        uint64_t due = h->nodes[i].alive ? svc_deadline(h->nodes[i].svc) : UINT64_MAX;
        if (due == UINT64_MAX)
            continue;
        due = due > h->now + 1000 ? due - 1000 : h->now;
        if (due < at) {
            at = due;
            timer = i;
        }
    }
    for (uint32_t i = 0; i < HOST_CLIENTS_MAX; i++) {
        struct client *c = &h->clients[i];
        if (c->open && !c->mute && c->pinging && c->ping_at <= at && c->ping_at <= h->now) {
            struct wire_c_ping ping = {.nonce = h->now};
            c->ping_at = h->now + PING_US;
            host_say(h, i, WIRE_c_ping, &ping);
        } else if (c->open && !c->mute && c->pinging && c->ping_at < at) {
            at = c->ping_at;
            timer = HOST_NODES_MAX;
        }
    }
    if (h->events_n > 0 && h->events[0].at <= at) {
        struct event e = event_take(h);
        h->now = e.at > h->now ? e.at : h->now;
        if (e.to_client)
            to_client(h, &e);
        else
            to_node(h, &e);
        free(e.bytes.p);
        return true;
    }
    h->now = at > h->now ? at : h->now;
    if (timer != HOST_NODES_MAX) {
        struct step_event ev = {.kind = STEP_TIMER};
        step(h, timer, &ev);
        return true;
    }
    return at < limit;
}

void host_run(struct host *h, uint64_t us)
{
    uint64_t end = h->now + us;
    while (advance(h, end))
        ;
}

bool host_until(struct host *h, uint64_t us, bool (*cond)(void *ctx), void *ctx)
{
    uint64_t end = h->now + us;
    while (!cond(ctx))
        if (!advance(h, end))
            return cond(ctx);
    return true;
}

static bool is_whole(void *ctx)
{
    struct host *h = ctx;
    static uint8_t mem[1 << 16];
    size_t alive = 0;
    for (uint32_t i = 0; i < h->o.nodes; i++)
        alive += h->nodes[i].alive;
    for (uint32_t i = 0; i < h->o.nodes; i++) {
        struct arena a;
        struct wire_c_ring r = {0};
        size_t up = 0;
        if (!h->nodes[i].alive)
            continue;
        arena_init(&a, mem, sizeof mem);
        chord_ring(svc_chord(h->nodes[i].svc), &a, &r);
        for (size_t k = 0; k < r.nodes.n; k++)
            up += r.nodes.v[k].state == WIRE_NODE_UP;
        if (!r.whole || up != alive)
            return false;
    }
    return true;
}

bool host_whole(struct host *h, uint64_t us)
{
    return host_until(h, us, is_whole, h);
}

/* ---- clients ---- */

void host_connect(struct host *h, uint32_t client, uint32_t node)
{
    struct client *c = &h->clients[client];
    char address[32];
    for (; c->in.at < c->in.n; c->in.at++)
        free(c->in.v[c->in.at].p);
    c->in.n = c->in.at = 0;
    c->reason[0] = 0;
    c->err = 0;
    c->node = node;
    c->mute = false;
    c->open = false;
    c->end = UINT32_MAX;
    if (!h->nodes[node].alive) {
        c->err = PEAL_E_REFUSED;
        return;
    }
    c->open = true;
    c->ping_at = h->now + PING_US;
    (void)snprintf(address, sizeof address, "192.0.2.%u:%u", client + 1, 40000 + client);
    c->end = pair(
        h, (struct end){.client = true, .who = client, .kind = STEP_LINK_CLIENT, .dialled = true},
        (struct end){.who = node, .life = h->nodes[node].life, .kind = STEP_LINK_CLIENT});
    to_end(h, c->end + 1, EV_UP, peal_bytes_str(address), 0);
}

void host_mute(struct host *h, uint32_t client)
{
    h->clients[client].mute = true;
}

void host_hang_up(struct host *h, uint32_t client)
{
    struct client *c = &h->clients[client];
    if (c->open)
        close_end(h, c->end, 0, peal_bytes_str("the client hung up"), false);
    c->open = false;
}

bool host_connected(const struct host *h, uint32_t client)
{
    return h->clients[client].open;
}

uint32_t host_node_of(const struct host *h, uint32_t client)
{
    return h->clients[client].node;
}

const char *host_reason(const struct host *h, uint32_t client)
{
    return h->clients[client].reason;
}

int host_close_err(const struct host *h, uint32_t client)
{
    return h->clients[client].err;
}

void host_pinging(struct host *h, uint32_t client, bool on)
{
    h->clients[client].pinging = on;
}

void host_say_bytes(struct host *h, uint32_t client, struct peal_bytes b)
{
    struct client *c = &h->clients[client];
    if (c->open && !c->mute && h->ends[c->end + 1].open)
        to_end(h, c->end + 1, EV_FRAME, b, 0);
}

void host_say(struct host *h, uint32_t client, uint16_t type, const void *msg)
{
    static uint8_t buf[256 * 1024];
    struct wr w;
    wr_init(&w, buf, sizeof buf);
    int err = wire_encode(type, msg, &w);
    cr_assert_eq(err, 0, "%s: %s", wire_type_name(type), err_name(err));
    host_say_bytes(h, client, peal_bytes_of(buf, w.n));
}

size_t host_waiting(const struct host *h, uint32_t client)
{
    return h->clients[client].in.n - h->clients[client].in.at;
}

const union wire_any *host_next(struct host *h, uint32_t client, uint16_t *type)
{
    struct client *c = &h->clients[client];
    struct arena a;
    if (c->in.at == c->in.n)
        return NULL;
    if (c->heap == NULL)
        c->heap = aligned_alloc(16, INBOX_HEAP);
    cr_assert_not_null(c->heap, "memory");
    free(c->frame.p);
    c->frame = c->in.v[c->in.at++];
    arena_init(&a, c->heap, INBOX_HEAP);
    int err = wire_decode(c->frame.p, c->frame.n, type, &c->last, sizeof c->last, &a);
    cr_assert_eq(err, 0, "what servers say can be read: %s", err_name(err));
    return &c->last;
}

struct waiting {
    struct host *h;
    uint32_t client;
    uint16_t type;
    const union wire_any *m;
};

static bool has_come(void *ctx)
{
    struct waiting *w = ctx;
    uint16_t type = 0;
    const union wire_any *m = NULL;
    while ((m = host_next(w->h, w->client, &type)) != NULL)
        if (type == w->type) {
            w->m = m;
            return true;
        }
    return false;
}

const union wire_any *host_expect(struct host *h, uint32_t client, uint16_t type, uint64_t us)
{
    struct waiting w = {.h = h, .client = client, .type = type};
    return host_until(h, us, has_come, &w) ? w.m : NULL;
}
