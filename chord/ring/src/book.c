/* book: everyone this node knows, sorted by id. Bounded, in nodes and in bytes of their addresses:
 * who is linked, needed or wanted stays; of the others the dead give way first, then those in the
 * most crowded distance, so that what is left is dense nearby and sparse far away, as fingers are.
 * On disk so that a restarted node finds its ring again. */
#include "inner.h"

#include <string.h>

enum { ALIGN = 16 };
#define NOBODY UINT32_MAX

static const char KNOWN[] = "known"; /* keys on disk: this and the id */
enum { KNOWN_N = sizeof KNOWN - 1, KNOWN_KEY = KNOWN_N + ID_BYTES };

/* Records read beyond the book's size, so that one that has become smaller takes those off the disk
 * in a few starts. */
enum { LOAD_MORE = 1024 };

/* The longest record: its number, a contact, a stamp and a flag. */
enum {
    KNOWN_VALUE_MAX =
        2 + ID_BYTES + 8 + 4 + WIRE_ADDRESSES_BYTES + 4 + CRY_PUB_BYTES + 4 + CRY_SIG_BYTES + 8 + 1
};

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

size_t book_bytes(uint32_t cap)
{
    return round_up(sizeof(struct node) * cap) + round_up(sizeof(struct place) * cap) +
           2 * round_up(sizeof(uint32_t) * cap) + round_up(sizeof(uint32_t) * BOOK_RECENT) +
           (size_t)BOOK_ADDRESS_BYTES * cap;
}

/* Touches little of the memory: of a large book most pages may never be needed. */
void book_init(struct book *b, void *mem, uint32_t cap)
{
    CHECK(mem != NULL && (uintptr_t)mem % ALIGN == 0 && cap > 0);
    uint8_t *at = mem;
    memset(b, 0, sizeof *b);
    b->cap = cap;
    b->nodes = (struct node *)at;
    at += round_up(sizeof(struct node) * cap);
    b->order = (struct place *)at;
    at += round_up(sizeof(struct place) * cap);
    b->free = (uint32_t *)at;
    at += round_up(sizeof(uint32_t) * cap);
    b->save = (uint32_t *)at;
    at += round_up(sizeof(uint32_t) * cap);
    b->recent = (uint32_t *)at;
    memset(b->recent, 0xff, sizeof(uint32_t) * BOOK_RECENT);
    at += round_up(sizeof(uint32_t) * BOOK_RECENT);
    heap_init(&b->heap, at, BOOK_ADDRESS_BYTES * cap);
    b->dead_first = b->dead_last = NOBODY;
}

/* ---- order ---- */

static uint64_t prefix_of(const struct peal_id *id)
{
    const uint8_t *b = id->b;
    return (uint64_t)b[0] << 56 | (uint64_t)b[1] << 48 | (uint64_t)b[2] << 40 |
           (uint64_t)b[3] << 32 | (uint64_t)b[4] << 24 | (uint64_t)b[5] << 16 |
           (uint64_t)b[6] << 8 | b[7];
}

static bool is_below(const struct book *b, uint32_t i, uint64_t prefix, const struct peal_id *id)
{
    const struct place *p = &b->order[i];
    return p->prefix < prefix ||
           (p->prefix == prefix && id_cmp(&b->nodes[p->at].contact.id, id) < 0);
}

/* Ids are hashes, so a place is near where its id says; from there in doubling steps, then by
 * halves. Ids that somebody has chosen cost twice a binary search at most. */
uint32_t book_rank(const struct ring *r, const struct peal_id *id)
{
    const struct book *b = &r->book;
    uint64_t prefix = prefix_of(id);
    if (b->n == 0)
        return 0;
    uint32_t low = (uint32_t)((prefix >> 32) * b->n >> 32), high = low;
    CHECK(low < b->n);
    if (is_below(b, low, prefix, id)) {
        for (uint32_t step = 4; high < b->n && is_below(b, high, prefix, id); step *= 2) {
            low = high + 1;
            high = step < b->n - high ? high + step : b->n;
        }
    } else {
        for (uint32_t step = 4; low > 0 && !is_below(b, low, prefix, id); step *= 2) {
            high = low;
            low = step < low ? low - step : 0;
        }
    }
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (is_below(b, mid, prefix, id))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct node *book_get(const struct ring *r, const struct peal_id *id)
{
    const struct book *b = &r->book;
    uint64_t prefix = prefix_of(id);
    uint32_t *recent = &b->recent[prefix % BOOK_RECENT];
    /* The place of one forgotten holds no id, or another's. */
    if (*recent != NOBODY && prefix != 0 && id_eq(&b->nodes[*recent].contact.id, id))
        return &b->nodes[*recent];
    uint32_t i = book_rank(r, id);
    if (i == b->n || b->order[i].prefix != prefix)
        return NULL;
    const struct node *n = &b->nodes[b->order[i].at];
    if (!id_eq(&n->contact.id, id))
        return NULL;
    *recent = b->order[i].at;
    return n;
}

struct node *book_find(struct ring *r, const struct peal_id *id)
{
    const struct node *n = book_get(r, id);
    return n == NULL ? NULL : &r->book.nodes[n - r->book.nodes];
}

struct node *book_at(struct ring *r, uint32_t i)
{
    CHECK(i < r->book.n);
    return &r->book.nodes[r->book.order[i].at];
}

static unsigned bucket_of(const struct ring *r, const struct peal_id *id)
{
    struct peal_id d = id_distance(&r->self.id, id);
    for (unsigned i = 0; i < ID_BYTES; i++)
        if (d.b[i] != 0)
            return (ID_BYTES - 1 - i) * 8 + 31 - (unsigned)__builtin_clz(d.b[i]);
    peal_check_failed("this node's own id is in its book", __FILE__, __LINE__);
}

static uint32_t place_of(const struct book *b, const struct node *n)
{
    CHECK(n >= b->nodes && n < b->nodes + b->cap);
    return (uint32_t)(n - b->nodes);
}

/* ---- life and death ---- */

static void dead_link(struct book *b, struct node *n)
{
    uint32_t at = place_of(b, n);
    n->dead_prev = b->dead_last;
    n->dead_next = NOBODY;
    if (b->dead_last == NOBODY)
        b->dead_first = at;
    else
        b->nodes[b->dead_last].dead_next = at;
    b->dead_last = at;
}

static void dead_unlink(struct book *b, struct node *n)
{
    if (n->dead_prev == NOBODY)
        b->dead_first = n->dead_next;
    else
        b->nodes[n->dead_prev].dead_next = n->dead_next;
    if (n->dead_next == NOBODY)
        b->dead_last = n->dead_prev;
    else
        b->nodes[n->dead_next].dead_prev = n->dead_prev;
}

static void save_later(struct ring *r, struct node *n)
{
    struct book *b = &r->book;
    if (!r->cfg.remember || n->unsaved)
        return;
    CHECK(b->save_n < b->cap);
    n->unsaved = true;
    b->save[(b->save_at + b->save_n++) % b->cap] = place_of(b, n);
    ring__wake(r, PART_BOOK, r->now + SAVE_EVERY_US);
}

static void set_dead(struct ring *r, struct node *n, bool dead)
{
    struct book *b = &r->book;
    if (n->dead == dead)
        return;
    CHECK(!dead || n->link == NOBODY);
    n->dead = dead;
    if (dead) {
        CHECK(b->living > 0);
        b->living--;
        dead_link(b, n);
    } else {
        b->living++;
        dead_unlink(b, n);
    }
    CHECK(b->living <= b->n);
    save_later(r, n);
}

/* What this node finds itself is later than all that was said before, by whatever clock. */
static void found(struct ring *r, struct node *n, bool dead)
{
    uint64_t now = clk_now(&r->clk, r->wall);
    if (n->stamp < now)
        n->stamp = now;
    else if (n->stamp < UINT64_MAX)
        n->stamp++;
    set_dead(r, n, dead);
}

void book_dead(struct ring *r, struct node *n)
{
    found(r, n, true);
}

void book_living(struct ring *r, struct node *n)
{
    found(r, n, false);
}

/* ---- eviction ---- */

static bool may_go(const struct book *b, const struct node *n)
{
    return n != b->kept && n->link == NOBODY && !n->up && !n->mate && !n->wanted && !n->dialling;
}

static void forget(struct ring *r, struct node *n)
{
    struct book *b = &r->book;
    uint32_t i = book_rank(r, &n->contact.id);
    CHECK(i < b->n && &b->nodes[b->order[i].at] == n);
    dial_up(r, n); /* it waits for its turn no more */
    memmove(&b->order[i], &b->order[i + 1], sizeof b->order[0] * (b->n - i - 1));
    b->n--;
    if (n->dead)
        dead_unlink(b, n);
    else
        b->living--;
    b->buckets[bucket_of(r, &n->contact.id)]--;
    if (n->stored) {
        if (b->gone_n == GONE_MAX)
            book_timer(r);
        b->gone[b->gone_n++] = n->contact.id;
        ring__wake(r, PART_BOOK, r->now + SAVE_EVERY_US);
    }
    bool queued = n->unsaved; /* its place stays in the queue, for whoever has it then */
    heap_drop(b, place_of(b, n));
    memset(n, 0, sizeof *n);
    n->unsaved = queued;
    b->free[b->free_n++] = place_of(b, n);
    r->count.evicted++;
}

/* Whether a is to go rather than z. */
static bool rather(const struct node *a, const struct node *z)
{
    if (z == NULL)
        return true;
    if (a->uses != z->uses)
        return a->uses < z->uses;
    if (a->stamp != z->stamp)
        return a->stamp < z->stamp;
    return id_cmp(&a->contact.id, &z->contact.id) < 0;
}

/* The best of a sample to go; those that the ring needs are asked about last, since that is the
 * dearest question. */
static struct node *worst_of(struct ring *r, struct node *sample[], size_t n)
{
    while (n > 0) {
        size_t worst = 0;
        for (size_t i = 1; i < n; i++)
            if (rather(sample[i], sample[worst]))
                worst = i;
        if (!ring__points_to(r, &sample[worst]->contact.id))
            return sample[worst];
        sample[worst] = sample[--n];
    }
    return NULL;
}

/* Those dead longest come first in their list, so a look at its beginning is enough. */
static struct node *dead_to_go(struct ring *r)
{
    struct book *b = &r->book;
    struct node *best = NULL;
    uint32_t at = b->dead_first;
    for (size_t i = 0; i < EVICT_SAMPLE && at != NOBODY; i++) {
        struct node *n = &b->nodes[at];
        at = n->dead_next;
        if (may_go(b, n) && (best == NULL || n->stamp < best->stamp) &&
            !ring__points_to(r, &n->contact.id))
            best = n;
    }
    return best;
}

/* Of a sample of the bucket's nodes; they age by being looked at, so that uses of long ago do
 * not count for ever. */
static struct node *bucket_to_go(struct ring *r, unsigned bucket)
{
    struct node *sample[EVICT_SAMPLE];
    size_t n = 0;
    struct peal_id from = id_add_pow2(&r->self.id, bucket);
    uint32_t count = r->book.buckets[bucket];
    uint32_t skip = count > EVICT_SAMPLE ? (uint32_t)rng_below(&r->rng, count) : 0;
    uint32_t first = book_rank(r, &from);
    for (uint32_t i = 0; i < EVICT_SAMPLE && i < count; i++) {
        struct node *x = book_at(r, (first + (skip + i) % count) % r->book.n);
        CHECK(bucket_of(r, &x->contact.id) == bucket);
        if (may_go(&r->book, x))
            sample[n++] = x;
    }
    struct node *go = worst_of(r, sample, n);
    for (size_t i = 0; i < n; i++)
        sample[i]->uses /= 2;
    return go;
}

static struct node *living_to_go(struct ring *r)
{
    bool looked[ID_BITS] = {false};
    for (size_t i = 0; i < EVICT_BUCKETS; i++) {
        unsigned most = 0;
        uint32_t count = 0;
        for (unsigned k = 0; k < ID_BITS; k++)
            if (!looked[k] && r->book.buckets[k] > count) {
                most = k;
                count = r->book.buckets[k];
            }
        if (count == 0)
            return NULL;
        looked[most] = true;
        struct node *go = bucket_to_go(r, most);
        if (go != NULL)
            return go;
    }
    return NULL;
}

/* False: nobody may go. Somebody dead takes the place of the dead only. */
static bool make_room(struct ring *r, bool dead)
{
    struct node *go = dead_to_go(r);
    if (go == NULL && !dead)
        go = living_to_go(r);
    if (go == NULL)
        return false;
    forget(r, go);
    return true;
}

/* A place of nodes, and as many bytes of addresses; or NOBODY. */
static uint32_t room_for(struct ring *r, bool dead, size_t bytes)
{
    struct book *b = &r->book;
    while (b->n == b->cap || !heap_has(&b->heap, bytes, 0))
        if (!make_room(r, dead))
            return NOBODY;
    CHECK(b->n < b->cap);
    if (b->free_n > 0)
        return b->free[--b->free_n];
    b->nodes[b->n].unsaved = false; /* never used: what the memory holds means nothing yet */
    return b->n;
}

/* ---- learning ---- */

static struct node *insert(struct ring *r, const struct contact *k, bool dead, uint64_t stamp)
{
    struct book *b = &r->book;
    uint32_t at = room_for(r, dead, k->address_n);
    if (at == NOBODY)
        return NULL;
    struct node *n = &b->nodes[at];
    bool queued = n->unsaved;
    *n = (struct node){.contact = *k, .stamp = stamp, .link = NOBODY, .unsaved = queued};
    heap_put(b, at, ring__addresses(k));
    uint32_t i = book_rank(r, &k->id);
    memmove(&b->order[i + 1], &b->order[i], sizeof b->order[0] * (b->n - i));
    b->order[i] = (struct place){.prefix = prefix_of(&k->id), .at = at};
    b->n++;
    b->living++;
    b->buckets[bucket_of(r, &k->id)]++;
    set_dead(r, n, dead);
    save_later(r, n);
    for (uint32_t w = 0; w < r->wants_n; w++)
        if (id_eq(&r->wants[w], &k->id))
            n->wanted = true;
    if (n->wanted)
        ring__reach(r, n);
    return n;
}

static int take_contact(struct ring *r, struct contact *k, const struct wire_contact *w)
{
    int err = ring__contact_take(r, k, w);
    if (err < 0) {
        char id[9];
        r->count.forged++;
        const char *wrong = ring_contact_wrong(w);
        step_trace(r->u, STEP_WARN, "refused", "contact of %s: %s", ring__short_id(&w->id, id),
                   wrong != NULL ? wrong : err_prose(err));
    }
    return err;
}

/* The node's contact is this one now. *moved: it has other addresses. PEAL_E_FULL: no room for
 * them. */
static int renew(struct ring *r, struct node *n, const struct contact *k, bool *moved)
{
    struct book *b = &r->book;
    struct peal_bytes had = ring__addresses(&n->contact), has = ring__addresses(k);
    *moved = !peal_bytes_eq(had, has);
    b->kept = n;
    while (*moved && !heap_has(&b->heap, has.n, had.n))
        if (!make_room(r, n->dead))
            break;
    b->kept = NULL;
    if (*moved && !heap_has(&b->heap, has.n, had.n))
        return PEAL_E_FULL;
    struct contact now = *k;
    now.addresses = n->contact.addresses;
    now.address_n = n->contact.address_n;
    n->contact = now;
    if (!*moved)
        return 0;
    size_t best = wire_address_find(has, dial_address(n));
    n->best = best == SIZE_MAX ? 0 : (uint8_t)best;
    heap_drop(b, place_of(b, n));
    heap_put(b, place_of(b, n), has);
    return 0;
}

/* What is said of a known node. Stamps are compared for one incarnation only: a new one is a new
 * life. */
static int update(struct ring *r, struct node *n, const struct wire_contact *w, bool dead,
                  uint64_t stamp, bool *news)
{
    if (w->incarnation < n->contact.incarnation)
        return 0;
    bool later = stamp > n->stamp;
    if (w->incarnation > n->contact.incarnation) {
        struct contact k;
        bool moved = false;
        int err = take_contact(r, &k, w);
        if (err == 0)
            err = renew(r, n, &k, &moved);
        if (err < 0)
            return err;
        *news = later = true;
        save_later(r, n);
        if (moved)
            dial_moved(r, n);
    }
    if (!later || (dead && n->link != NOBODY))
        return 0;
    n->stamp = stamp;
    *news = *news || n->dead != dead;
    set_dead(r, n, dead);
    return 0;
}

int book_take(struct ring *r, const struct wire_contact *w, bool dead, uint64_t stamp, bool *news,
              struct node **out)
{
    *news = false;
    *out = NULL;
    if (ring__is_self(r, &w->id))
        return PEAL_E_USAGE;
    struct node *n = book_find(r, &w->id);
    if (n != NULL) {
        int err = update(r, n, w, dead, stamp, news);
        if (err < 0)
            return err;
    } else {
        struct contact k;
        int err = take_contact(r, &k, w);
        if (err < 0)
            return err;
        n = insert(r, &k, dead, stamp);
        if (n == NULL)
            return PEAL_E_FULL;
        *news = true;
    }
    CHECK(id_eq(&n->contact.id, &w->id));
    if (*news && !n->dead)
        upkeep_candidate(r, &w->id);
    *out = n;
    return 0;
}

struct node *book_learn(struct ring *r, const struct wire_contact *w, bool dead, uint64_t stamp,
                        bool *news)
{
    struct node *n = NULL;
    int err = book_take(r, w, dead, stamp, news, &n);
    CHECK((err == 0) == (n != NULL));
    return n;
}

size_t book_living_in(struct ring *r, const struct peal_id *from, const struct peal_id *upto)
{
    const struct book *b = &r->book;
    if (id_eq(from, upto))
        return b->living;
    uint32_t first = book_rank(r, from), end = book_rank(r, upto);
    if (first < b->n && id_eq(&book_at(r, first)->contact.id, from))
        first++;
    if (end < b->n && id_eq(&book_at(r, end)->contact.id, upto))
        end++;
    bool wraps = id_cmp(from, upto) > 0;
    size_t n = wraps ? b->n - first + end : end - first;
    size_t living = 0;
    for (size_t i = 0; i < n; i++)
        living += !b->nodes[b->order[(first + i) % b->n].at].dead;
    return living;
}

/* ---- on disk ---- */

static struct peal_bytes known_key(const struct peal_id *id, uint8_t out[static KNOWN_KEY])
{
    memcpy(out, KNOWN, KNOWN_N);
    memcpy(out + KNOWN_N, id->b, ID_BYTES);
    return peal_bytes_of(out, KNOWN_KEY);
}

static void write_known(struct ring *r, struct node *n)
{
    uint8_t key[KNOWN_KEY], value[KNOWN_VALUE_MAX];
    struct wire_s_known s = {
        .contact = ring__contact_view(&n->contact), .stamp = n->stamp, .dead = n->dead};
    struct wr w;
    wr_init(&w, value, sizeof value);
    int err = wire_encode(WIRE_s_known, &s, &w);
    CHECK(err == 0);
    step_write(r->u, STEP_META, STEP_PUT, known_key(&n->contact.id, key),
               peal_bytes_of(value, w.n));
    n->stored = true;
}

void book_timer(struct ring *r)
{
    struct book *b = &r->book;
    uint8_t key[KNOWN_KEY];
    for (uint32_t i = 0; i < b->gone_n; i++)
        step_write(r->u, STEP_META, STEP_DEL, known_key(&b->gone[i], key), (struct peal_bytes){0});
    b->gone_n = 0;
    for (uint32_t i = 0; i < SAVE_BATCH && b->save_n > 0; i++) {
        struct node *n = &b->nodes[b->save[b->save_at]];
        b->save_at = (b->save_at + 1) % b->cap;
        b->save_n--;
        CHECK(n->unsaved);
        n->unsaved = false;
        if (n->contact.address_n > 0) /* else it was evicted meanwhile */
            write_known(r, n);
    }
    if (b->save_n > 0)
        ring__wake(r, PART_BOOK, r->now + SAVE_EVERY_US);
}

struct loading {
    struct ring *r;
    size_t bad;
};

/* A record that says nothing now will say nothing later. */
static void load_bad(struct loading *l, struct peal_bytes key)
{
    if (l->bad < SAVE_BATCH && key.n <= WIRE_KEY_MAX)
        step_write(l->r->u, STEP_META, STEP_DEL, key, (struct peal_bytes){0});
    l->bad++;
}

static bool load_one(void *ctx, struct peal_bytes key, struct peal_bytes value)
{
    struct loading *l = ctx;
    struct ring *r = l->r;
    union wire_any m;
    uint16_t type = 0;
    size_t mark = r->scratch.used;
    int err = wire_decode(value.p, value.n, &type, &m, sizeof m, &r->scratch);
    if (err == 0 && (type != WIRE_s_known || key.n != KNOWN_KEY ||
                     memcmp(key.p + KNOWN_N, m.s_known.contact.id.b, ID_BYTES) != 0))
        err = PEAL_E_CORRUPT;
    if (err == 0 && !ring__is_self(r, &m.s_known.contact.id)) {
        bool news;
        struct node *n;
        err = book_take(r, &m.s_known.contact, m.s_known.dead, m.s_known.stamp, &news, &n);
        if (err == 0)
            n->stored = true;
    }
    if (err < 0 && err != PEAL_E_FULL)
        load_bad(l, key);
    r->scratch.used = mark;
    return true;
}

void book_load(struct ring *r)
{
    if (!r->cfg.remember)
        return;
    CHECK(r->book.n == 0 && r->book.save_n == 0);
    struct loading l = {.r = r};
    uint8_t upto[KNOWN_N]; /* the first key after all of them */
    memcpy(upto, KNOWN, KNOWN_N);
    upto[KNOWN_N - 1]++;
    r->cfg.remember = false; /* what comes from the disk is not written back to it */
    int err = r->rd->scan(r->rd->ctx, STEP_META, peal_bytes_str(KNOWN),
                          peal_bytes_of(upto, sizeof upto), r->book.cap + LOAD_MORE, load_one, &l);
    r->cfg.remember = true;
    if (err < 0)
        step_trace(r->u, STEP_WARN, "store", "the remembered contacts cannot be read: %s",
                   err_prose(err));
    if (l.bad > 0)
        step_trace(r->u, STEP_WARN, "store", "%zu remembered contacts are damaged: left out",
                   l.bad);
}
