/* Which way a lookup goes (hop.c), and how far it is then: against Chord's theory. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "byhand.h"

TestSuite(hop, .init = hand_set_up, .fini = hand_tear_down);

/* A lookup that has passed these (and now is here). */
static struct flight asked(enum ring_find_kind kind, const struct peal_id *key,
                           const unsigned *path, size_t n)
{
    struct flight f = {.kind = (uint8_t)kind, .key = *key, .op = 77, .spare = SPARE_HEDGES};
    for (size_t i = 0; i < n; i++)
        f.path[i] = id(path[i]);
    f.path[n] = id(SELF);
    f.path_n = (uint8_t)(n + 1);
    f.asker = f.path[0];
    return f;
}

static void assert_way(struct hop h, enum way way, unsigned to, const char *what)
{
    static const char *const names[] = {"self", "for", "on", "none"};
    cr_assert_eq(h.way, way, "%s: %s, not %s", what, names[way], names[h.way]);
    struct peal_id want = id(to);
    if (way == WAY_ON || way == WAY_FOR)
        cr_assert(id_eq(&h.to, &want), "%s: to %02x, not %02x", what, to, h.to.b[0]);
}

static struct hop owner_way(unsigned key)
{
    struct peal_id k = id(key);
    struct flight f = asked(RING_FIND_OWNER, &k, NULL, 0);
    return hop_choose(&ring, &f, false);
}

static struct hop place_way(unsigned key)
{
    struct peal_id k = id(key);
    struct flight f = asked(RING_FIND_PLACE, &k, NULL, 0);
    return hop_choose(&ring, &f, false);
}

/* ---- the next hop ---- */

Test(hop, classic)
{
    be_classic();
    linked(0x90), linked(0xc0), linked(0x08);
    finger(157, 0x90);
    finger(158, 0xc0);
    finger(159, 0x08);
    assert_way(owner_way(0x40), WAY_SELF, 0, "its own id");
    assert_way(owner_way(0x31), WAY_SELF, 0, "after the predecessor");
    assert_way(owner_way(0x41), WAY_ON, 0x50, "before the first successor");
    assert_way(owner_way(0x50), WAY_ON, 0x50, "a successor's own id");
    assert_way(owner_way(0x51), WAY_ON, 0x58, "the next one's");
    assert_way(owner_way(0x68), WAY_ON, 0x68, "the last one's");
    assert_way(owner_way(0x69), WAY_ON, 0x68, "beyond the list: the last one before it");
    assert_way(owner_way(0x90), WAY_ON, 0x68, "a finger's own id: who is before it decides");
    assert_way(owner_way(0x91), WAY_ON, 0x90, "the finger before the key");
    assert_way(owner_way(0x07), WAY_ON, 0xc0, "over the top of the ring");
    assert_way(owner_way(0x10), WAY_ON, 0x08, "and beyond it");
    assert_way(owner_way(0x30), WAY_ON, 0x08, "the predecessor's key: all the way round");
}

Test(hop, classic_leaves_out_the_dead)
{
    be_classic();
    linked(0x90);
    finger(157, 0x90);
    know(0xc0);
    finger(158, 0xc0);
    assert_way(owner_way(0xd0), WAY_ON, 0x90, "one with a link rather than a nearer one without");
    unlink_node(0x50);
    dies(0x50);
    assert_way(owner_way(0x45), WAY_ON, 0x58, "the first live successor");
    unlink_node(0x58);
    struct hop h = owner_way(0x55);
    assert_way(h, WAY_ON, 0x58, "not dead, only not linked");
    cr_assert_not(h.linked, "so a link is waited for");
    ring.z.succ[1].artificial = true;
    assert_way(owner_way(0x55), WAY_ON, 0x60, "an artificial entry is nobody");
    linked(0x60)->state.phase = RING_SEEKING;
    assert_way(owner_way(0x55), WAY_ON, 0x68, "nor is one that is not a member");
    unlink_node(0x68);
    dies(0x68);
    assert_way(owner_way(0x55), WAY_NONE, 0, "nobody is left between here and the key");
    unlink_node(0x90);
    dies(0x90);
    h = owner_way(0xd0);
    assert_way(h, WAY_ON, 0xc0, "without any link, one without");
    cr_assert_not(h.linked, "which is waited for");
}

Test(hop, tried_and_passed)
{
    be_classic();
    struct peal_id key = id(0x4c);
    struct flight f = asked(RING_FIND_OWNER, &key, NULL, 0);
    f.tried[f.tried_n++] = id(0x50);
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x58, "what was tried is left out");
    assert_way(hop_choose(&ring, &f, true), WAY_NONE, 0,
               "but while it is only late no other is asked that might answer wrongly");
    f.waits = true;
    assert_way(hop_choose(&ring, &f, true), WAY_ON, 0x58, "unless it was never asked");
    static const unsigned path[] = {0x50, 0x18};
    f = asked(RING_FIND_OWNER, &key, path, 2);
    assert_way(hop_choose(&ring, &f, false), WAY_FOR, 0x50,
               "the owner has been passed, and did not know");
    unlink_node(0x50);
    dies(0x50);
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x58, "unless it is dead now");
}

Test(hop, back)
{
    be_classic();
    static const unsigned path[] = {0x18};
    struct peal_id key = id(0x28);
    struct flight f = asked(RING_FIND_OWNER, &key, path, 1);
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x30, "the predecessor");
    key = id(0x30);
    f = asked(RING_FIND_OWNER, &key, path, 1);
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x30, "for its own id, too");
    f.tried[f.tried_n++] = id(0x30);
    assert_way(hop_choose(&ring, &f, false), WAY_SELF, 0, "it does not answer: this node acts");
    assert_way(hop_choose(&ring, &f, true), WAY_NONE, 0, "not while it is only late");
    f.tried_n = 0;
    unlink_node(0x30);
    dies(0x30);
    assert_way(hop_choose(&ring, &f, false), WAY_SELF, 0, "or is dead");
    ring.cfg.no_hints = false;
    know(0x2c);
    f.key = id(0x2a);
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x2c, "a hint knows better");
    assert_way(hop_choose(&ring, &f, true), WAY_NONE, 0, "but has no link");
    f.key = id(0x2d);
    assert_way(hop_choose(&ring, &f, false), WAY_SELF, 0, "one before the key is no way back");
    linked(0x20);
    assert_way(hop_choose(&ring, &f, false), WAY_NONE, 0, "it knows better who comes next");
    static const unsigned around[] = {0x20, 0x50};
    f = asked(RING_FIND_OWNER, &f.key, around, 2);
    assert_way(hop_choose(&ring, &f, false), WAY_SELF, 0, "as it does when that one has asked");
}

/* Whoever asks may be the owner without knowing it yet. */
Test(hop, the_asker_owns_it)
{
    be_classic();
    static const unsigned path[] = {0x30, 0x20};
    struct peal_id key = id(0x28);
    struct flight f = asked(RING_FIND_OWNER, &key, path, 2);
    assert_way(hop_choose(&ring, &f, false), WAY_FOR, 0x30, "from behind");
    linked(0x24);
    assert_way(hop_choose(&ring, &f, false), WAY_NONE, 0, "unless somebody else knows better");
    ring.cfg.no_hints = false;
    static const unsigned first[] = {0x58};
    key = id(0x52);
    f = asked(RING_FIND_OWNER, &key, first, 1);
    assert_way(hop_choose(&ring, &f, false), WAY_FOR, 0x58, "from before");
    static const unsigned far[] = {0x90};
    know(0x94);
    ring.size = 10;
    key = id(0x8c);
    f = asked(RING_FIND_OWNER, &key, far, 1);
    know(0x90);
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x68, "from far away that is not certain");
}

Test(hop, hints)
{
    be(RING_LARGE, four, 4);
    know(0x90), know(0x98), know(0xa0), know(0xa4), know(0xa6);
    linked(0x88);
    assert_way(owner_way(0x8c), WAY_ON, 0x88, "few are known: by who is before the key");
    ring.size = 14;
    cr_assert(hop_covers(&ring), "nearly all are known now");
    struct hop h = owner_way(0x8c);
    assert_way(h, WAY_ON, 0x90, "the first at or after the key");
    cr_assert_not(h.linked, "not linked");
    assert_way(owner_way(0x98), WAY_ON, 0x98, "its own id");
    know(0x90)->foreign = true;
    assert_way(owner_way(0x8c), WAY_ON, 0x98, "not one of another ring");
    dies(0x98);
    assert_way(owner_way(0x8c), WAY_ON, 0xa0, "not a dead one");
    assert_way(owner_way(0xa8), WAY_ON, 0x30, "over the top of the ring");
    know(0x45);
    assert_way(owner_way(0x44), WAY_ON, 0x45, "a newcomer before the first successor");
    struct peal_id key = id(0x8c);
    struct flight f = asked(RING_FIND_OWNER, &key, NULL, 0);
    assert_way(hop_choose(&ring, &f, true), WAY_ON, 0x88, "over an open link: before the key");
    linked(0xa0);
    assert_way(hop_choose(&ring, &f, true), WAY_ON, 0xa0, "or just after it");
    f.tried[f.tried_n++] = id(0xa0);
    f.tried[f.tried_n++] = id(0x88);
    assert_way(hop_choose(&ring, &f, true), WAY_ON, 0x68, "then the last successor");
    linked(0x70)->state.phase = RING_SEEKING;
    assert_way(hop_choose(&ring, &f, true), WAY_ON, 0x68, "not one that is still joining");
}

/* Few successors lie densely by chance: the ring seems larger than it is, but not to the fingers.
 */
Test(hop, fingers_know_the_size_as_well)
{
    be(RING_LARGE, four, 4);
    know(0x8d);
    static const unsigned at[] = {0x90, 0xc0, 0x08};
    for (unsigned i = 0; i < PEAL_COUNT(at); i++) {
        linked(at[i])->state.size = i == 0 ? 60 : 20;
        finger(157 + i, at[i]);
    }
    ring.size = 60;
    cr_assert_eq(ring.book.living + 1, 10, "of 20 this is half");
    cr_assert(hop_covers(&ring), "two of three say that there are no more than 20");
    assert_way(owner_way(0x8c), WAY_ON, 0x8d, "the owner");
    linked(0xc0)->state.size = 21;
    cr_assert_not(hop_covers(&ring), "one of three does not count");
    linked(0xc0)->state.size = 20;
    linked(0x08)->state.phase = RING_SEEKING;
    cr_assert_not(hop_covers(&ring), "one that is no member has no say, and two are too few");
    linked(0x08)->state.phase = RING_LARGE;
    finger(156, 0xc0);
    finger(155, 0xc0);
    linked(0x08)->state.size = 60;
    cr_assert_not(hop_covers(&ring), "a node that is several fingers has one voice");
}

/* The predecessor is dead and nobody is known before this node: others decide whether the key is
 * its own. */
Test(hop, hints_and_a_dead_predecessor)
{
    be(RING_LARGE, four, 4);
    ring.size = 6;
    unlink_node(0x30);
    dies(0x30);
    know(0x10);
    struct hop h = owner_way(0x28);
    assert_way(h, WAY_ON, 0x68, "by an open link towards the key");
    struct peal_id key = id(0x28);
    struct flight f = asked(RING_FIND_OWNER, &key, NULL, 0);
    for (size_t i = 0; i < 4; i++)
        f.tried[i] = id(four[i]);
    f.tried_n = 4;
    assert_way(hop_choose(&ring, &f, false), WAY_ON, 0x10, "or to the last one before it");
}

Test(hop, place)
{
    be_classic();
    linked(0x90);
    finger(157, 0x90);
    assert_way(place_way(0x41), WAY_SELF, 0, "after this node");
    assert_way(place_way(0x50), WAY_SELF, 0, "a successor that looks for itself");
    assert_way(place_way(0x51), WAY_ON, 0x50, "the last before the key");
    assert_way(place_way(0x90), WAY_ON, 0x68, "not the node that has the key for its id");
    assert_way(place_way(0x28), WAY_ON, 0x90, "far away");
    assert_way(place_way(SELF), WAY_ON, 0x90, "this node's own: its predecessor will answer");
    unlink_node(0x50);
    dies(0x50);
    assert_way(place_way(0x52), WAY_SELF, 0, "the first live successor counts");
    ring.cfg.no_hints = false;
    ring.size = 8;
    know(0xb0);
    assert_way(place_way(0xb8), WAY_ON, 0xb0, "with hints at once the last before the key");
    assert_way(place_way(SELF), WAY_ON, 0x30, "for this node's own it is the predecessor");
}

Test(hop, small)
{
    static const unsigned two[] = {0x90, 0x30};
    be(RING_SMALL, two, 2);
    know(0x60); /* heard of; not of this ring */
    assert_way(owner_way(0x50), WAY_ON, 0x90, "a mate");
    assert_way(owner_way(0xa0), WAY_ON, 0x30, "the other one, over the top");
    assert_way(owner_way(0x38), WAY_SELF, 0, "its own");
    assert_way(place_way(0x50), WAY_SELF, 0, "a place after it");
    assert_way(place_way(0xa0), WAY_ON, 0x90, "after another");
    ring.z = (struct zave){.self = id(SELF), .r = 4, .prdc = id(SELF)};
    assert_way(owner_way(0xf0), WAY_SELF, 0, "alone: everything");
    assert_way(place_way(0xf0), WAY_SELF, 0, "and every place");
}

/* The walk over the book is bounded. */
Test(hop, passes_by_many_dead)
{
    be(RING_LARGE, four, 4);
    for (unsigned i = 0; i < 100; i++) {
        struct peal_id who = id(0x90);
        who.b[1] = (uint8_t)i;
        book_dead(&ring, know_id(&who));
    }
    know(0x91);
    ring.size = 8;
    assert_way(owner_way(0x8c), WAY_ON, 0x91, "the first living one behind a hundred dead");
    struct peal_id from = id(0x8c);
    const struct node *n = hop_first_living(&ring, &from);
    cr_assert(n != NULL && n->contact.id.b[0] == 0x91, "likewise for fingers");
    from = id(0x92);
    n = hop_first_living(&ring, &from);
    cr_assert(n != NULL && n->contact.id.b[0] == 0x30, "up to the predecessor");
    from = id(0x31);
    cr_assert_null(hop_first_living(&ring, &from), "and none beyond it");
}

/* ---- path lengths, against Chord's theory ---- */

enum { MANY_MAX = 1024 };

struct world {
    struct peal_id ids[MANY_MAX];
    bool dead[MANY_MAX];
    size_t n;
};
static struct world world;

static int by_id(const void *a, const void *b)
{
    return id_cmp(a, b);
}

static void make_world(size_t n, struct rng *g)
{
    world.n = n;
    for (size_t i = 0; i < n; i++)
        rng_fill(g, &world.ids[i], sizeof world.ids[i]);
    qsort(world.ids, n, sizeof world.ids[0], by_id);
    memset(world.dead, 0, sizeof world.dead);
}

static size_t first_from(const struct peal_id *key, bool living)
{
    size_t low = 0, high = world.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (id_cmp(&world.ids[mid], key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    while (living && world.dead[low % world.n])
        low++;
    return low % world.n;
}

/* Knows the node, with a link if it lives: its death has been noticed. */
static void meet(size_t i)
{
    if (book_find(&ring, &world.ids[i]) != NULL)
        return;
    struct node *n = know_id(&world.ids[i]);
    if (world.dead[i])
        book_dead(&ring, n);
    else
        link_node(n);
}

/* The node as it is in an ideal ring, but for those that have died since: it has noticed, and no
 * more. */
static void become(size_t i, uint8_t r)
{
    memset(ring.book.nodes, 0, NODES * sizeof(struct node));
    book_init(&ring.book, ring.book.nodes, NODES);
    ring.links_n = 0;
    map_init(&ring.handles, ring.handles.slots, LINKS, sizeof(uint32_t), &ring.rng);
    ring.self = contact_of(&world.ids[i]);
    size_t before = (i + world.n - 1) % world.n;
    ring.z = (struct zave){.self = world.ids[i], .r = r, .n = r, .prdc = world.ids[before]};
    meet(before);
    for (uint8_t k = 0; k < r; k++) {
        size_t s = (i + k + 1U) % world.n;
        ring.z.succ[k].id = world.ids[s];
        meet(s);
    }
    ring.fingers.low = FINGERS_MAX;
    for (unsigned bit = ID_BITS; bit-- > 0;) {
        struct peal_id target = id_add_pow2(&world.ids[i], bit);
        if (id_in_arc(&world.ids[i], &target, &ring.z.succ[r - 1].id))
            break;
        size_t f = first_from(&target, false);
        ring.fingers.low = (int)bit;
        ring.fingers.at[bit] = f == i ? (struct peal_id){{0}} : world.ids[f];
        if (f != i)
            meet(f);
    }
}

/* Follows a lookup; returns its hops, counting the last. */
static size_t follow(size_t from, const struct peal_id *key, uint8_t r, size_t *owner)
{
    struct flight f = {.kind = RING_FIND_OWNER, .key = *key};
    size_t at = from;
    for (;;) {
        cr_assert_lt(f.path_n, WIRE_PATH_MAX, "the lookup ends");
        f.path[f.path_n++] = world.ids[at];
        become(at, r);
        size_t last = f.path_n - 1U;
        cr_assert(last == 0 || !hop_passed(&f, last - 1) || hop_passed(&f, last),
                  "once beyond the key it stays beyond");
        struct hop h = hop_choose(&ring, &f, false);
        cr_assert_neq(h.way, WAY_NONE, "there is a way");
        if (h.way == WAY_SELF) {
            *owner = at;
            return last;
        }
        at = first_from(&h.to, false);
        if (h.way == WAY_FOR) {
            *owner = at;
            return last + 1;
        }
        cr_assert_not(world.dead[at], "it does not go to a dead node");
    }
}

struct theory {
    uint8_t r;
    double mean;
};

/* About half of log2 N, and less the more successors are kept: the figures of the reference
 * simulator for 1,024 nodes (after Stoica et al., 2003, section V). */
Test(hop, path_lengths_are_chords)
{
    static const struct theory theory[] = {{1, 5.86}, {4, 4.94}, {8, 4.5}, {16, 4.00}};
    struct rng g;
    rng_init(&g, 11);
    ring.phase = RING_LARGE;
    ring.cfg.no_hints = true;
    for (size_t t = 0; t < PEAL_COUNT(theory); t++) {
        enum { LOOKUPS = 1500 };
        double sum = 0;
        make_world(MANY_MAX, &g);
        for (int i = 0; i < LOOKUPS; i++) {
            struct peal_id key;
            size_t owner = 0;
            rng_fill(&g, &key, sizeof key);
            sum += (double)follow((size_t)rng_below(&g, world.n), &key, theory[t].r, &owner);
            cr_assert_eq(owner, first_from(&key, true), "the owner is right");
        }
        double mean = sum / LOOKUPS;
        cr_log_info("r = %d: %.2f hops, theory %.2f", theory[t].r, mean, theory[t].mean);
        cr_assert(mean > theory[t].mean - 0.35 && mean < theory[t].mean + 0.35,
                  "r = %d: %.2f hops on average, theory says %.2f", theory[t].r, mean,
                  theory[t].mean);
    }
}

/* Half of all nodes die at once, before anyone has stabilised: with 16 successors each lookup finds
 * the live owner. */
Test(hop, half_of_the_nodes_die)
{
    struct rng g;
    rng_init(&g, 12);
    ring.phase = RING_LARGE;
    ring.cfg.no_hints = true;
    make_world(512, &g);
    for (size_t dead = 0; dead < world.n / 2;) {
        size_t i = (size_t)rng_below(&g, world.n);
        dead += !world.dead[i];
        world.dead[i] = true;
    }
    size_t worst = 0;
    for (int i = 0; i < 1500; i++) {
        struct peal_id key;
        size_t owner = 0, from;
        rng_fill(&g, &key, sizeof key);
        do
            from = (size_t)rng_below(&g, world.n);
        while (world.dead[from]);
        size_t hops = follow(from, &key, 16, &owner);
        worst = hops > worst ? hops : worst;
        cr_assert_eq(owner, first_from(&key, true), "the owner is the first live one");
    }
    cr_assert_leq(worst, 20, "no lookup wanders: %zu hops", worst);
}
