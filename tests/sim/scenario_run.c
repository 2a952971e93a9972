/* scenario: the run that scenarios have in common: nodes and their lives, violations, figures. */
#include "scenario_inner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECK_US = US / 4,    /* how often the ring is held against the ideal one, while waiting */
    PATIENCE_ROUNDS = 60, /* of stabilise */
    PATIENCE_LEAST_S = 120,
    SILENT_PINGS = 4,
    PHASES_MOST = 1000, /* of one node in all its lives; a few for each trouble are usual */
    MANY = 2000,        /* nodes */
    BOOT_TRIES = 16,    /* to find BOOTSTRAPS different running nodes */
};

static void *must(void *p)
{
    CHECK(p != NULL);
    return p;
}

/* ---- options ---- */

uint64_t run_now(const struct run *r)
{
    return world_now(r->w);
}

uint32_t run_duration(const struct run *r)
{
    return r->opt->duration_s != 0 ? r->opt->duration_s : r->scenario->duration_s;
}

double run_fraction(const struct run *r, double own)
{
    return r->opt->fraction >= 0 ? r->opt->fraction : own;
}

double run_rate(const struct run *r, double own)
{
    return r->opt->rate >= 0 ? r->opt->rate : own;
}

double run_stabilise(const struct run *r)
{
    return r->opt->stabilise_s != 0 ? r->opt->stabilise_s : 1.0;
}

uint32_t run_patience(const struct run *r)
{
    uint32_t s = (uint32_t)(PATIENCE_ROUNDS * run_stabilise(r));
    return s > PATIENCE_LEAST_S ? s : PATIENCE_LEAST_S;
}

/* ---- what is said ---- */

void run_violation(struct run *r, uint32_t node, const char *fmt, ...)
{
    char why[ORACLE_WHY_MAX], again[LINE_MAX], id[9] = "";
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    uint64_t n = ++r->result->violations;
    if (r->out == NULL || n > VIOLATIONS_TOLD)
        return;
    scenario_command(r->opt, r->opt->seed, again);
    fprintf(r->out, "violation at %.6f s", (double)run_now(r) / US);
    if (node != WORLD_NOBODY) {
        struct peal_id self = world_id(r->w, node);
        peal_hex(self.b, 4, id);
        fprintf(r->out, ", node %u (%s)", node, id);
    }
    fprintf(r->out, ": %s\n  again: %s\n", why, again);
}

void run_figure(struct run *r, const char *name, double value, int decimals, const char *prose)
{
    struct outcome *o = r->result;
    CHECK(o->figures_n < FIGURES_MAX);
    struct figure *f = &o->figures[o->figures_n++];
    *f = (struct figure){.prose = prose, .value = value, .decimals = decimals};
    (void)snprintf(f->name, sizeof f->name, "%s%s", r->prefix != NULL ? r->prefix : "", name);
}

void run_excuse(struct run *r, bool on)
{
    const struct sim_options *o = r->opt;
    /* A link that loses, doubles or overtakes is none: its ends may drop it, and then a node that
     * lives counts as dead. */
    oracle_excuse(r->o, on || o->loss > 0 || o->duplicate > 0 || o->reorder > 0);
}

/* ---- contacts ---- */

/* A keyed mix (the finaliser of MurmurHash3 over words): refuses what was not made with the run's
 * key, and is no signature for anything but a simulation. */
static uint64_t mac(const uint64_t key[static 2], const uint8_t *p, size_t n)
{
    uint64_t h = key[0] ^ n;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = 0;
        memcpy(&v, p + i, n - i < 8 ? n - i : 8);
        h = (h ^ v) * 0xff51afd7ed558ccdu;
        h ^= h >> 33;
    }
    h = (h ^ key[1]) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

/* key: the id and zeros; signature: the mac, eight times. */
static int cheap_verify(void *ctx, const struct wire_contact *w)
{
    const struct run *r = ctx;
    uint8_t body[RING_CONTACT_BODY_MAX];
    if (ring_contact_wrong(w) != NULL)
        return PEAL_E_MALFORMED;
    if (memcmp(w->key.p, w->id.b, ID_BYTES) != 0)
        return PEAL_E_AUTH;
    uint64_t m = mac(r->mac_key, body, ring_contact_body(w, body));
    for (size_t i = 0; i < CRY_SIG_BYTES; i += sizeof m)
        if (memcmp(w->signature.p + i, &m, sizeof m) != 0)
            return PEAL_E_AUTH;
    return 0;
}

struct signed_contact {
    uint8_t list[WIRE_ADDRESSES_BYTES];
    uint8_t key[CRY_PUB_BYTES], signature[CRY_SIG_BYTES];
};

/* Its addresses as a list (ADDRS); returns the list's bytes. */
static size_t run_addresses(const struct run *r, uint32_t node,
                            uint8_t out[static WIRE_ADDRESSES_BYTES])
{
    char text[WIRE_ADDRESS_MAX];
    uint32_t turn = r->near_first && node % 2 == 1;
    size_t n = 0;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t address = world_address_at(r->w, node, i ^ turn);
        if (address == WORLD_NOBODY)
            continue;
        world_address_text(address, text);
        n = wire_address_add(out, n, peal_bytes_str(text));
    }
    return n;
}

static struct wire_contact sign(struct run *r, uint32_t node, uint64_t incarnation,
                                struct signed_contact *s)
{
    const struct fellow *f = &r->fellows[node];
    uint8_t body[RING_CONTACT_BODY_MAX];
    memset(s, 0, sizeof *s);
    size_t list_n = run_addresses(r, node, s->list);
    CHECK(list_n > 0);
    struct wire_contact w = {.id = world_id(r->w, node),
                             .incarnation = incarnation,
                             .addresses = peal_bytes_of(s->list, list_n),
                             .key = peal_bytes_of(s->key, sizeof s->key),
                             .signature = peal_bytes_of(s->signature, sizeof s->signature)};
    size_t n = ring_contact_body(&w, body);
    if (f->key != NULL) {
        memcpy(s->key, f->key->pub, sizeof s->key);
        cry_sign(f->key, RING_CONTACT_DOMAIN, peal_bytes_of(body, n), s->signature);
        return w;
    }
    memcpy(s->key, w.id.b, ID_BYTES);
    uint64_t m = mac(r->mac_key, body, n);
    for (size_t i = 0; i < sizeof s->signature; i += sizeof m)
        memcpy(s->signature + i, &m, sizeof m);
    return w;
}

struct wire_contact run_contact(struct run *r, uint32_t node, uint64_t incarnation)
{
    if (r->contact == NULL)
        r->contact = must(calloc(1, sizeof *r->contact));
    return sign(r, node, incarnation, r->contact);
}

/* ---- the ring in the world ---- */

static void nothing_up(void *ctx, struct step_update *u, const struct peal_id *id)
{
    (void)ctx, (void)u, (void)id;
}

static void nothing_down(void *ctx, struct step_update *u, const struct peal_id *id,
                         const char *why)
{
    (void)ctx, (void)u, (void)id, (void)why;
}

static void nothing_said(void *ctx, struct step_update *u, const struct peal_id *from,
                         uint16_t type, union wire_any *m)
{
    (void)ctx, (void)u, (void)from, (void)type, (void)m;
}

static void found(void *ctx, struct step_update *u, uint64_t token, int err,
                  const struct ring_found *f)
{
    (void)u;
    run_lookup_found(ctx, token, err, f);
}

static void cast(void *ctx, struct step_update *u, const struct peal_id *origin, uint8_t kind,
                 struct peal_bytes body)
{
    struct fellow *f = ctx;
    uint64_t seq = 0;
    (void)u, (void)origin, (void)kind;
    if (body.n == sizeof seq)
        memcpy(&seq, body.p, sizeof seq);
    if (f->heard == seq) {
        f->run->cast_copies++;
        return;
    }
    f->heard = seq;
    f->run->cast_last_us = run_now(f->run);
    f->run->casts_heard += seq == f->run->cast_seq;
}

static void nothing_changed(void *ctx, struct step_update *u)
{
    (void)ctx, (void)u;
}

static size_t no_load(void *ctx, uint8_t out[static WIRE_LOAD_MAX])
{
    (void)ctx, (void)out;
    return 0;
}

static void nothing_loaded(void *ctx, struct step_update *u, const struct peal_id *id,
                           struct peal_bytes load)
{
    (void)ctx, (void)u, (void)id, (void)load;
}

static uint32_t hints_of(const struct run *r)
{
    uint32_t n = r->opt->hints != 0 ? r->opt->hints : r->nodes;
    uint32_t most = r->opt->hints != 0 ? RING_HINTS_MAX : RING_HINTS_DEFAULT;
    n = n < RING_HINTS_MIN ? RING_HINTS_MIN : n;
    return n > most ? most : n;
}

/* Of lookups: a world of many has fewer at each node, and less memory for them. */
static uint32_t fewer(const struct run *r, uint32_t normal)
{
    return r->nodes > MANY ? normal / 4 : normal;
}

/* The views in it live as long as `s` and `joins`. */
static struct ring_config config_of(struct run *r, uint32_t node, struct signed_contact *s,
                                    char joins[static BOOTSTRAPS][WIRE_ADDRESS_MAX])
{
    struct fellow *f = &r->fellows[node];
    uint64_t silence_us = (uint64_t)(r->opt->ping_s * SILENT_PINGS * US);
    struct ring_config c = {
        .contact = sign(r, node, f->incarnation, s),
        .joins_n = f->joins_n,
        .successors = r->r,
        .hints_max = hints_of(r),
        .gossip_bytes = r->opt->gossip,
        .finds_max = fewer(r, RING_FINDS_DEFAULT),
        .flights_max = fewer(r, RING_FLIGHTS_DEFAULT),
        .no_hints = r->opt->no_hints || r->no_hints,
        .beacons = r->beacons,
        .remember = r->remember,
        .stabilise_us = (uint64_t)r->opt->stabilise_s * US,
        .ping_us = (uint64_t)(r->opt->ping_s * US),
        .silence_us = r->opt->ping_s * SILENT_PINGS > 1 ? silence_us : 0,
        .seed = (r->opt->seed << 20 ^ node) * 0x9e3779b97f4a7c15u + f->incarnation,
        .eligible = true,
        .verify = r->opt->real_keys ? NULL : cheap_verify,
        .verify_ctx = r,
        .app = {.ctx = f,
                .up = nothing_up,
                .down = nothing_down,
                .message = nothing_said,
                .found = found,
                .cast = cast,
                .changed = nothing_changed,
                .load = no_load,
                .peer_load = nothing_loaded},
    };
    for (uint32_t i = 0; i < f->joins_n; i++) {
        world_address_text(f->joins[i], joins[i]);
        c.joins[i] = peal_bytes_str(joins[i]);
    }
    return c;
}

static size_t core_size(void *ctx, uint32_t node)
{
    struct signed_contact s;
    char joins[BOOTSTRAPS][WIRE_ADDRESS_MAX];
    struct ring_config c = config_of(ctx, node, &s, joins);
    return ring_size(&c);
}

size_t run_node_bytes(struct run *r)
{
    return core_size(r, r->running_n > 0 ? r->running[0] : 0);
}

static int core_init(void *ctx, uint32_t node, void *mem, void **core)
{
    struct signed_contact s;
    char joins[BOOTSTRAPS][WIRE_ADDRESS_MAX];
    struct ring_config c = config_of(ctx, node, &s, joins);
    struct ring *ring = NULL;
    int err = ring_init(mem, &c, &ring);
    *core = ring;
    return err;
}

static void core_step(void *core, const struct step_event *ev, struct step_update *u)
{
    ring_step(core, ev, u);
}

static uint64_t core_deadline(const void *core)
{
    return ring_deadline(core);
}

static const struct world_core RING_CORE = {
    .size = core_size, .init = core_init, .step = core_step, .deadline = core_deadline};

static bool linked(void *ctx, uint32_t node, const struct peal_id *other)
{
    const struct run *r = ctx;
    return ring_is_up(world_core_of(r->w, node), other);
}

static void stepped(void *ctx, uint32_t node)
{
    struct run *r = ctx;
    struct ring_view v;
    ring_look(world_core_of(r->w, node), &v);
    oracle_saw(r->o, node, &v);
}

static void trace(void *ctx, uint32_t node, const struct step_effect *e)
{
    const struct run *r = ctx;
    const struct sim_watcher *watcher = r->opt->watcher;
    if (watcher != NULL)
        watcher->trace(watcher->ctx, node, e);
    if (!r->opt->verbose)
        return;
    struct peal_id id = world_id(r->w, node);
    char hex[9];
    peal_hex(id.b, 4, hex);
    fprintf(stderr, "%12.6f %5u %s %s: %.*s\n", (double)run_now(r) / US, node, hex, e->name,
            (int)e->bytes.n, (const char *)e->bytes.p);
}

static void before(void *ctx, uint64_t at_us)
{
    const struct run *r = ctx;
    r->opt->watcher->before(r->opt->watcher->ctx, at_us);
}

static void violated(void *ctx, uint32_t node, const char *why)
{
    run_violation(ctx, node, "%s", why);
}

static void member(void *ctx, uint32_t node, bool is)
{
    run_member_changed(ctx, node, is);
}

/* ---- opening and closing ---- */

static uint32_t per_million(double share)
{
    return (uint32_t)(share * WORLD_PER_MILLION + 0.5);
}

/* Identifiers: random, or of real keys. */
static void make_ids(struct run *r, struct peal_id *ids)
{
    for (uint32_t i = 0; i < r->nodes; i++) {
        struct fellow *f = &r->fellows[i];
        *f = (struct fellow){.run = r, .node = i, .running_at = WORLD_NOBODY};
        if (!r->opt->real_keys) {
            rng_fill(&r->rng, ids[i].b, ID_BYTES);
            continue;
        }
        struct peal_secret seed;
        rng_fill(&r->rng, seed.b, sizeof seed.b);
        f->key = must(malloc(sizeof *f->key));
        cry_sign_key_from_seed(&seed, f->key);
        ids[i] = cry_node_id(f->key->pub);
    }
}

void run_open(struct run *r, uint32_t nodes, void (*tweak)(struct world_config *c))
{
    const struct sim_options *o = r->opt;
    CHECK(r->w == NULL && nodes > 0);
    r->nodes = nodes;
    r->r = (uint8_t)(r->r != 0            ? r->r
                     : o->successors != 0 ? o->successors
                                          : RING_SUCCESSORS_DEFAULT);
    r->fellows = must(calloc(nodes, sizeof *r->fellows));
    r->running = must(calloc(nodes, sizeof *r->running));
    r->under_way_free = WORLD_NOBODY;
    struct peal_id *ids = must(calloc(nodes, sizeof *ids));
    make_ids(r, ids);
    for (size_t i = 0; i < PEAL_COUNT(r->mac_key); i++)
        r->mac_key[i] = rng_next(&r->rng);
    struct world_config c = {.seed = o->seed,
                             .nodes = nodes,
                             .latency = o->latency,
                             .loss = per_million(o->loss),
                             .duplicate = per_million(o->duplicate),
                             .reorder = per_million(o->reorder),
                             .drift_ppm = o->drift_ppm,
                             .core = &RING_CORE,
                             .ctx = r,
                             .stepped = stepped,
                             .trace = o->verbose || o->watcher != NULL ? trace : NULL,
                             .before = o->watcher != NULL ? before : NULL};
    if (tweak != NULL)
        tweak(&c);
    struct oracle_config oc = {.ids = ids,
                               .nodes = nodes,
                               .r = r->r,
                               .ctx = r,
                               .violated = violated,
                               .member = member,
                               .linked = linked};
    r->w = world_new(&c, ids);
    r->o = oracle_new(&oc);
    run_excuse(r, false);
    free(ids);
    if (o->watcher != NULL)
        o->watcher->opened(o->watcher->ctx, r->w, nodes);
}

void run_close(struct run *r)
{
    struct oracle_figures f;
    const struct sim_watcher *watcher = r->opt->watcher;
    if (r->w == NULL)
        return;
    if (watcher != NULL)
        watcher->closing(watcher->ctx);
    oracle_check(r->o);
    oracle_figures(r->o, &f);
    if (r->result->digest == 0)
        r->result->digest = world_digest(r->w);
    else
        r->result->digest = r->result->digest * 0x100000001b3u ^ world_digest(r->w);
    r->oracle_updates += f.updates;
    r->oracle_checks += f.checks;
    r->oracle_excused += f.excused;
    r->oracle_assumed += f.assumed;
    r->oracle_armed += f.armed;
    if (f.phases_most > r->phases_most)
        r->phases_most = f.phases_most;
    if (f.phases_most > PHASES_MOST)
        run_violation(r, WORLD_NOBODY, "a node has changed its phase %u times: it finds no rest",
                      f.phases_most);
    r->events += world_figures(r->w)->events;
    world_free(r->w);
    oracle_free(r->o);
    for (uint32_t i = 0; i < r->nodes; i++)
        free(r->fellows[i].key);
    free(r->fellows);
    free(r->running);
    free(r->under_way);
    free(r->log);
    free(r->lookups.took_us);
    free(r->contact);
    r->w = NULL;
    r->o = NULL;
    r->fellows = NULL;
    r->running = NULL;
    r->under_way = NULL;
    r->log = NULL;
    r->contact = NULL;
    r->lookups = (struct lookups){0};
    r->running_n = r->under_way_n = r->under_way_cap = r->open = r->log_n = r->log_cap = 0;
    r->lookup_rate = 0;
    r->gone = (struct ring_counters){0};
}

/* ---- lives ---- */

struct ring *run_ring(const struct run *r, uint32_t node)
{
    return world_core_of(r->w, node);
}

uint32_t run_any(struct run *r)
{
    return r->running_n == 0 ? WORLD_NOBODY : r->running[rng_below(&r->rng, r->running_n)];
}

static void add_running(struct run *r, uint32_t node)
{
    CHECK(r->running_n < r->nodes);
    r->fellows[node].running_at = r->running_n;
    r->running[r->running_n++] = node;
}

static void remove_running(struct run *r, uint32_t node)
{
    uint32_t at = r->fellows[node].running_at, last = r->running[--r->running_n];
    CHECK(at != WORLD_NOBODY && r->running[at] == node);
    r->running[at] = last;
    r->fellows[last].running_at = at;
    r->fellows[node].running_at = WORLD_NOBODY;
}

static void start(struct run *r, uint32_t node, bool keep)
{
    struct fellow *f = &r->fellows[node];
    f->incarnation++;
    f->heard = 0;
    world_start(r->w, node, keep);
    add_running(r, node);
}

void run_start_with(struct run *r, uint32_t node, bool keep, uint32_t join)
{
    struct fellow *f = &r->fellows[node];
    f->joins_n = 0;
    if (join != WORLD_NOBODY)
        f->joins[f->joins_n++] = world_address(r->w, join);
    start(r, node, keep);
}

void run_start(struct run *r, uint32_t node, bool keep)
{
    struct fellow *f = &r->fellows[node];
    f->joins_n = 0;
    for (int i = 0; i < BOOT_TRIES && r->running_n > 0 && f->joins_n < BOOTSTRAPS; i++) {
        uint32_t peer = run_any(r), address = world_address(r->w, peer);
        bool again = address == WORLD_NOBODY || world_is_cut(r->w, node, peer);
        for (uint32_t k = 0; k < f->joins_n; k++)
            again = again || f->joins[k] == address;
        if (!again)
            f->joins[f->joins_n++] = address;
    }
    start(r, node, keep);
}

static void add_counters(struct ring_counters *sum, const struct ring_counters *c)
{
#define X(name, prose) sum->name += c->name;
    RING_COUNTERS(X)
#undef X
}

void run_counters(const struct run *r, struct ring_counters *out)
{
    *out = r->gone;
    for (uint32_t i = 0; i < r->running_n; i++)
        add_counters(out, ring_count(run_ring(r, r->running[i])));
}

static void ending(struct run *r, uint32_t node)
{
    add_counters(&r->gone, ring_count(run_ring(r, node)));
    remove_running(r, node);
    run_lookups_abandon(r, node);
}

void run_crash(struct run *r, uint32_t node, bool silent)
{
    ending(r, node);
    world_crash(r->w, node, silent);
    oracle_gone(r->o, node);
}

void run_leave(struct run *r, uint32_t node)
{
    ending(r, node);
    world_leave(r->w, node);
}

static void say_contact(struct run *r, uint32_t node)
{
    struct fellow *f = &r->fellows[node];
    struct signed_contact s;
    struct wire_contact c = sign(r, node, ++f->incarnation, &s);
    struct wire_n_contacts m = {.contacts = {.v = &c, .n = 1}};
    uint8_t bytes[LINE_MAX];
    struct wr w;
    wr_init(&w, bytes, sizeof bytes);
    m.to = c.id;
    int err = wire_encode(WIRE_n_contacts, &m, &w);
    CHECK(err == 0);
    struct step_event ev = {.kind = STEP_CONTACT, .bytes = peal_bytes_of(bytes, w.n)};
    world_event(r->w, node, &ev);
}

void run_move(struct run *r, uint32_t node, uint32_t address, bool torn)
{
    world_move(r->w, node, address, torn);
    say_contact(r, node);
}

void run_hear(struct run *r, uint32_t hearer, uint32_t of)
{
    struct ring_view v;
    ring_look(run_ring(r, of), &v);
    struct wire_m_beacon b = {.contact = run_contact(r, of, r->fellows[of].incarnation),
                              .ring = v.coordinator,
                              .size = v.size};
    uint8_t bytes[LINE_MAX];
    struct wr w;
    wr_init(&w, bytes, sizeof bytes);
    int err = wire_encode(WIRE_m_beacon, &b, &w);
    CHECK(err == 0);
    struct step_event ev = {.kind = STEP_BEACON, .bytes = peal_bytes_of(bytes, w.n)};
    world_event(r->w, hearer, &ev);
}

void run_introduce(struct run *r)
{
    for (uint32_t i = 1; i < r->running_n && !r->beacons; i++)
        run_hear(r, r->running[i], r->running[0]);
}

/* ---- waiting for the ideal ring ---- */

static bool is_awake(void *ctx, uint32_t node)
{
    const struct run *r = ctx;
    return !world_paused(r->w, node);
}

bool run_is_ideal(struct run *r, char why[static ORACLE_WHY_MAX])
{
    return oracle_ideal(r->o, is_awake, r, why);
}

static bool ideal(void *arg)
{
    char why[ORACLE_WHY_MAX];
    return run_is_ideal(arg, why);
}

double run_settle(struct run *r, uint32_t seconds, const char *after)
{
    char why[ORACLE_WHY_MAX];
    uint64_t began = run_now(r);
    if (world_until(r->w, ideal, r, CHECK_US, (uint64_t)seconds * US)) {
        oracle_check(r->o);
        return (double)(run_now(r) - began) / US;
    }
    run_is_ideal(r, why);
    run_violation(r, WORLD_NOBODY, "no ideal ring %u s after %s: %s", seconds, after, why);
    return -1;
}

bool run_grow(struct run *r, uint32_t first, uint32_t n)
{
    for (uint32_t done = 0; done < n;) {
        uint32_t batch = r->running_n == 0 ? 1 : r->running_n;
        for (uint32_t i = 0; i < batch && done < n; i++, done++)
            run_start(r, first + done, false);
        if (run_settle(r, run_patience(r), "newcomers started") < 0)
            return false;
    }
    return true;
}
