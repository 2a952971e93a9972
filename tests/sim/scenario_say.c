/* scenario: what nodes say to all: broadcast, election; and what a bad one says: forged. */
#include "scenario_inner.h"

#include <math.h>
#include <string.h>

/* ---- broadcast ---- */

enum { CASTS = 20, CAST_WAIT_US = 5 * US, WAY_US = 1000 };

static void one_way_each(struct world_config *c)
{
    c->latency = WORLD_CONSTANT;
    c->latency_us[0] = c->latency_us[1] = WAY_US;
}

static void say_cast(void *core, const struct step_event *ev, struct step_update *u, void *arg)
{
    struct run *r = arg;
    int err = ring_cast(core, ev, u, 1, peal_bytes_of(&r->cast_seq, sizeof r->cast_seq));
    if (err != 0)
        run_violation(r, WORLD_NOBODY, "a member may not broadcast: %s", err_prose(err));
}

void scenario_broadcast(struct run *r)
{
    double depth = 0, messages = 0;
    run_open(r, r->opt->nodes, one_way_each);
    if (!run_grow(r, 0, r->nodes))
        return;
    world_run(r->w, (uint64_t)run_duration(r) * US); /* fingers */
    for (uint32_t i = 0; i < CASTS; i++) {
        struct ring_counters before, after;
        run_counters(r, &before);
        r->cast_seq++;
        r->casts_heard = r->cast_copies = 0;
        uint64_t began = r->cast_last_us = run_now(r);
        uint32_t from = run_any(r);
        world_call(r->w, from, say_cast, r);
        world_run(r->w, CAST_WAIT_US);
        run_counters(r, &after);
        uint64_t said = after.casts - before.casts;
        double deep = (double)(r->cast_last_us - began) / WAY_US;
        depth = deep > depth ? deep : depth;
        messages += (double)said;
        if (r->opt->loss > 0)
            continue;
        if (r->casts_heard != r->running_n || r->cast_copies != 0)
            run_violation(r, from, "%llu of %u nodes heard a broadcast, %llu of them again",
                          (unsigned long long)r->casts_heard, r->running_n,
                          (unsigned long long)r->cast_copies);
        if (said != r->running_n - 1)
            run_violation(r, from, "a broadcast to %u nodes took %llu messages", r->running_n,
                          (unsigned long long)said);
    }
    run_figure(r, "messages_mean", messages / CASTS, 2, "messages of a broadcast (N - 1)");
    run_figure(r, "depth_most", depth, 2, "hops to the last to hear, at most");
    run_figure(r, "depth_log2", log2(r->nodes), 2, "log2 N");
}

/* ---- election ---- */

/* The coordinator that all running nodes agree on; zero when they do not. */
static struct peal_id agreed(const struct run *r)
{
    struct peal_id who = {{0}};
    for (uint32_t i = 0; i < r->running_n; i++) {
        struct ring_view v;
        ring_look(run_ring(r, r->running[i]), &v);
        if (i == 0)
            who = v.coordinator;
        else if (!id_eq(&who, &v.coordinator))
            return (struct peal_id){{0}};
    }
    return who;
}

/* A coordinator that lives stays, also when somebody lower joins: so it need not be the lowest. */
static bool elected(void *arg)
{
    const struct run *r = arg;
    struct peal_id who = agreed(r);
    uint32_t node = oracle_node_of(r->o, &who);
    return node != WORLD_NOBODY && oracle_is_member(r->o, node);
}

/* Seconds until all agree on one who lives; negative after a violation. */
static double settle_election(struct run *r, const char *after)
{
    uint64_t began = run_now(r);
    if (world_until(r->w, elected, r, US / 10, (uint64_t)run_patience(r) * US))
        return (double)(run_now(r) - began) / US;
    struct peal_id who = agreed(r);
    run_violation(r, WORLD_NOBODY, "%u s after %s %s", run_patience(r), after,
                  id_is_zero(&who) ? "the nodes do not agree on a coordinator"
                                   : "they agree on one who is gone");
    return -1;
}

static void figure_messages(struct run *r, const struct ring_counters *before)
{
    struct ring_counters after;
    run_counters(r, &after);
    run_figure(r, "elect_messages", (double)(after.elect_messages - before->elect_messages), 0,
               "candidatures sent");
    run_figure(r, "elected_messages", (double)(after.elected_messages - before->elected_messages),
               0, "announcements sent");
}

void scenario_election(struct run *r)
{
    struct ring_counters before = {0};
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    run_figure(r, "agreed_seconds", settle_election(r, "the ring was ideal"), 1,
               "seconds from the ideal ring until all agreed on a coordinator");
    r->prefix = "growing_";
    figure_messages(r, &before);
    world_run(r->w, (uint64_t)run_duration(r) * US);
    struct peal_id who = agreed(r);
    uint32_t node = oracle_node_of(r->o, &who);
    if (node == WORLD_NOBODY || !world_running(r->w, node)) {
        run_violation(r, WORLD_NOBODY, "the nodes no longer agree on a coordinator");
        return;
    }
    run_counters(r, &before);
    uint64_t began = run_now(r);
    run_crash(r, node, true);
    double took = settle_election(r, "the coordinator died");
    run_figure(r, "seconds", took < 0 ? -1 : (double)(run_now(r) - began) / US, 1,
               "seconds from the coordinator's death until all agreed on the next");
    r->prefix = "death_";
    run_settle(r, run_patience(r), "the coordinator died");
    figure_messages(r, &before);
    r->prefix = NULL;
    double n = r->running_n, harmonic = 0;
    for (uint32_t i = 1; i <= r->running_n; i++)
        harmonic += 1.0 / i;
    run_figure(r, "elect_theory_mean", n * harmonic, 0,
               "candidatures by theory, on average when all stand (N H_N)");
    run_figure(r, "elect_theory_worst", n * (n + 1) / 2, 0, "and at worst");
}

/* ---- forged ---- */

enum { FORGED_ROUNDS = 20, FLOOD = 200, GARBAGE_MAX = 200, FRAME_MAX = 8192 };

struct rogue {
    struct run *run;
    uint32_t node;
    uint64_t said;
};

static void inject(struct rogue *g, uint32_t to, uint16_t type, const void *m)
{
    uint8_t bytes[FRAME_MAX];
    struct wr w;
    wr_init(&w, bytes, sizeof bytes);
    int err = wire_encode(type, m, &w);
    CHECK(err == 0);
    g->said += world_inject(g->run->w, g->node, to, peal_bytes_of(bytes, w.n));
}

static struct peal_id any_id(struct run *r)
{
    struct peal_id id;
    rng_fill(&r->rng, id.b, ID_BYTES);
    return id;
}

/* Contacts: of a node that there is, with another address; of nobody; with a wrong key. */
static void forge_contacts(struct rogue *g, uint32_t to)
{
    struct run *r = g->run;
    uint32_t victim = run_any(r);
    char elsewhere[WIRE_ADDRESS_MAX];
    uint8_t list[WIRE_ADDRESSES_BYTES];
    world_address_text(r->nodes + victim, elsewhere);
    struct wire_rumour v[3];
    for (size_t i = 0; i < PEAL_COUNT(v); i++)
        v[i] = (struct wire_rumour){.contact =
                                        run_contact(r, victim, r->fellows[victim].incarnation + 1),
                                    .stamp = world_wall_ms(r->w, g->node) << 16,
                                    .limit = world_id(r->w, to)};
    v[0].contact.addresses =
        peal_bytes_of(list, wire_address_add(list, 0, peal_bytes_str(elsewhere)));
    v[1].contact.id = any_id(r);
    v[2].contact.incarnation += 1000;
    v[2].contact.key = v[2].contact.signature;
    v[2].contact.key.n = CRY_PUB_BYTES;
    struct wire_r_rumours m = {.to = world_id(r->w, to), .rumours = {.v = v, .n = 3}};
    inject(g, to, WIRE_r_rumours, &m);
}

/* Lookups that went through the receiver before, that may go no further, and whose paths are none.
 */
static void forge_finds(struct rogue *g, uint32_t to)
{
    struct run *r = g->run;
    struct peal_id path[WIRE_PATH_MAX];
    struct wire_r_find m = {.to = world_id(r->w, to), .path = {.v = path}};
    for (size_t i = 0; i < WIRE_PATH_MAX; i++)
        path[i] = any_id(r);
    m.key = any_id(r);
    path[1] = m.to;
    path[2] = path[WIRE_PATH_MAX - 1] = world_id(r->w, g->node);
    m.path.n = 3;
    m.op = rng_next(&r->rng);
    inject(g, to, WIRE_r_find, &m);
    path[1] = path[2] = any_id(r);
    path[2].b[0] ^= 1;
    m.path.n = WIRE_PATH_MAX;
    inject(g, to, WIRE_r_find, &m);
    switch (rng_below(&r->rng, 4)) { /* any of these costs the rogue its link */
    case 0:
        path[0] = path[WIRE_PATH_MAX - 1]; /* somebody twice */
        break;
    case 1:
        m.path.n = 0;
        break;
    case 2:
        m.path.n = 2; /* not from whom it came */
        break;
    default:
        m.kind = m.spare = UINT8_MAX;
        break;
    }
    inject(g, to, WIRE_r_find, &m);
}

/* Answers that nobody asked for, of lists that are none. */
static void forge_answers(struct rogue *g, uint32_t to)
{
    struct run *r = g->run;
    struct peal_id path[2] = {world_id(r->w, to), world_id(r->w, g->node)};
    struct wire_contact c[WIRE_SUCCESSORS_MAX];
    for (size_t i = 0; i < PEAL_COUNT(c); i++)
        c[i] = run_contact(r, g->node, r->fellows[g->node].incarnation);
    struct wire_r_view v = {.to = path[0],
                            .op = rng_below(&r->rng, 1000),
                            .predecessor = {.v = c, .n = 1},
                            .successors = {.v = c, .n = PEAL_COUNT(c)}};
    inject(g, to, WIRE_r_view, &v);
    struct wire_r_found f = {.to = path[0],
                             .op = rng_below(&r->rng, 1000),
                             .key = any_id(r),
                             .owner = {.v = c, .n = 1},
                             .at = UINT8_MAX,
                             .path = {.v = path, .n = 2}};
    inject(g, to, WIRE_r_found, &f);
    f.at = 0;
    inject(g, to, WIRE_r_found, &f);
    struct wire_r_elected e = {.to = path[0], .coordinator = any_id(r), .hops = UINT32_MAX};
    inject(g, to, WIRE_r_elected, &e);
    struct wire_r_notify n = {.to = any_id(r)}; /* for somebody else */
    inject(g, to, WIRE_r_notify, &n);
}

/* No message at all, a cut one, many queries and joins at once. */
static void flood(struct rogue *g, uint32_t to)
{
    struct run *r = g->run;
    uint8_t bytes[GARBAGE_MAX];
    rng_fill(&r->rng, bytes, sizeof bytes);
    g->said +=
        world_inject(r->w, g->node, to, peal_bytes_of(bytes, 1 + rng_below(&r->rng, sizeof bytes)));
    struct peal_id self = world_id(r->w, g->node);
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct wire_r_query q = {.to = world_id(r->w, to), .op = i};
        inject(g, to, WIRE_r_query, &q);
        struct wire_r_find f = {.to = world_id(r->w, to),
                                .op = rng_next(&r->rng),
                                .kind = RING_FIND_PLACE,
                                .key = any_id(r),
                                .path = {.v = &self, .n = 1}};
        inject(g, to, WIRE_r_find, &f);
    }
}

void scenario_forged(struct run *r)
{
    struct ring_counters before, after;
    run_open(r, r->opt->nodes, NULL);
    if (!run_grow(r, 0, r->nodes))
        return;
    struct rogue g = {.run = r, .node = r->nodes - 1};
    r->rogue = g.node;
    run_counters(r, &before);
    run_excuse(r, true); /* the rogue is a member that does not keep to the protocol */
    run_lookups_reset(r);
    run_lookups(r, 10);
    for (uint32_t i = 0; i < FORGED_ROUNDS; i++) {
        for (uint32_t to = 0; to + 1 < r->nodes; to++) {
            switch (rng_below(&r->rng, 4)) {
            case 0:
                forge_contacts(&g, to);
                break;
            case 1:
                forge_finds(&g, to);
                break;
            case 2:
                forge_answers(&g, to);
                break;
            default:
                flood(&g, to);
                break;
            }
        }
        world_run(r->w, 2 * US);
    }
    run_lookups_end(r);
    run_all_right(r, "while a rogue member spoke");
    run_lookup_figures(r);
    run_counters(r, &after);
    run_figure(r, "said", (double)g.said, 0, "messages that the rogue said");
    run_figure(r, "forged", (double)(after.forged - before.forged), 0, "contacts refused");
    run_figure(r, "loops", (double)(after.loops - before.loops), 0, "lookups refused");
    run_figure(r, "ideal_seconds", run_settle(r, run_patience(r), "a rogue member's words"), 1,
               "seconds until the ring was ideal");
    run_excuse(r, false);
    if (after.forged == before.forged || after.loops == before.loops)
        run_violation(r, g.node, "%llu forged contacts and %llu looping lookups were counted",
                      (unsigned long long)(after.forged - before.forged),
                      (unsigned long long)(after.loops - before.loops));
    run_lookups_over(r, FLOOD, 10);
    run_all_right(r, "after a rogue member's words");
}
