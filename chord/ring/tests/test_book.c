/* The book: order, what is believed, who gives way, and the disk. */
#include "lone.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint64_t LATER = UINT64_C(1700000100000) << 16; /* beyond the tests' own clock */

static struct lone *cheap_one(uint32_t hints)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1, .cheap = true, .hints = hints});
    lone_start(o);
    lone_in(o);
    return o;
}

static void end(struct lone *o)
{
    lone_out(o);
    lone_free(o);
}

static struct peal_id random_id(struct rng *r)
{
    struct peal_id id;
    rng_fill(r, id.b, sizeof id.b);
    return id;
}

/* An id whose distance from o lies in the bucket. */
static struct peal_id id_in_bucket(const struct lone *o, unsigned bucket, struct rng *r)
{
    struct peal_id id = id_add_pow2(&o->self.id, bucket);
    for (unsigned bit = 0; bit < bucket; bit++)
        if (rng_below(r, 2) == 1)
            id = id_add_pow2(&id, bit);
    return id;
}

static struct node *learn(struct lone *o, const struct peal_id *id, bool dead, uint64_t stamp)
{
    struct wire_contact w = lone_unsigned(id, 1);
    bool news;
    return book_learn(o->ring, &w, dead, stamp, &news);
}

/* Counts, order and buckets agree with each other. */
static void check_book(struct lone *o)
{
    const struct book *b = &o->ring->book;
    uint32_t living = 0, dead_listed = 0, in_buckets = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *n = book_at(o->ring, i);
        living += !n->dead;
        cr_assert(i == 0 || id_cmp(&book_at(o->ring, i - 1)->contact.id, &n->contact.id) < 0,
                  "node %u is not in the order of ids", i);
        cr_assert_eq(book_find(o->ring, &n->contact.id), n, "node %u is not found by its id", i);
        cr_assert_eq(book_rank(o->ring, &n->contact.id), i, "node %u has another rank", i);
    }
    for (uint32_t at = b->dead_first; at != UINT32_MAX; at = b->nodes[at].dead_next) {
        cr_assert(b->nodes[at].dead, "a living node is among the dead");
        dead_listed++;
    }
    for (size_t i = 0; i < ID_BITS; i++)
        in_buckets += b->buckets[i];
    cr_assert_eq(living, b->living, "%u nodes live, not %u", living, b->living);
    cr_assert_eq(dead_listed, b->n - living, "%u dead are listed of %u", dead_listed,
                 b->n - living);
    cr_assert_eq(in_buckets, b->n, "%u nodes are counted by distance, not %u", in_buckets, b->n);
}

Test(book, is_in_the_order_of_ids)
{
    struct lone *o = cheap_one(512);
    struct rng rng;
    rng_init(&rng, 7);
    for (size_t i = 0; i < 400; i++) {
        struct peal_id id = random_id(&rng);
        if (i % 3 == 0) /* many with the same first eight bytes */
            memset(id.b, 0x55, 8);
        cr_assert_not_null(learn(o, &id, i % 5 == 0, 1), "node %zu is not taken", i);
    }
    check_book(o);
    cr_assert_eq(o->ring->book.n, 400, "%u nodes, not 400", o->ring->book.n);
    end(o);
}

Test(book, counts_the_living_of_an_arc)
{
    struct lone *o = cheap_one(512);
    struct rng rng;
    rng_init(&rng, 8);
    struct peal_id ids[200];
    for (size_t i = 0; i < PEAL_COUNT(ids); i++) {
        ids[i] = random_id(&rng);
        (void)learn(o, &ids[i], i % 4 == 0, 1);
    }
    for (size_t k = 0; k < 300; k++) {
        struct peal_id from = k % 2 == 0 ? ids[rng_below(&rng, 200)] : random_id(&rng);
        struct peal_id upto = k % 3 == 0 ? ids[rng_below(&rng, 200)] : random_id(&rng);
        size_t n = 0;
        for (size_t i = 0; i < PEAL_COUNT(ids); i++)
            n += i % 4 != 0 && id_in_arc(&from, &ids[i], &upto);
        cr_assert_eq(book_living_in(o->ring, &from, &upto), n, "arc %zu: not %zu", k, n);
    }
    end(o);
}

/* ---- what is believed ---- */

struct word { /* what is said of a node known alive at stamp 100, incarnation 5 */
    uint64_t incarnation, stamp;
    bool dead, linked, want_news, want_dead;
    const char *what;
};

Test(book, believes_what_is_newer)
{
    static const struct word words[] = {
        {4, LATER, true, false, false, false, "an older incarnation's death"},
        {5, 99, true, false, false, false, "an earlier word"},
        {5, 100, true, false, false, false, "the same moment's word"},
        {5, 101, true, false, true, true, "a later word of death"},
        {5, 101, false, false, false, false, "a later word of life"},
        {6, 1, false, false, true, false, "a newer incarnation, by a slower clock"},
        {6, 1, true, false, true, true, "a newer incarnation, dead"},
        {5, LATER, true, true, false, false, "the death of a linked node"},
        {6, LATER, true, true, true, false, "a linked node's newer contact, said to be dead"},
    };
    for (size_t i = 0; i < PEAL_COUNT(words); i++) {
        const struct word *x = &words[i];
        struct lone *o = cheap_one(64);
        struct rng rng;
        rng_init(&rng, i);
        struct peal_id id = random_id(&rng);
        bool news;
        struct wire_contact w = lone_unsigned(&id, 5);
        struct node *n = book_learn(o->ring, &w, false, 100, &news);
        cr_assert(n != NULL && news && !n->dead, "the first word is not taken");
        if (x->linked)
            n->link = 0;
        w.incarnation = x->incarnation;
        cr_assert_eq(book_learn(o->ring, &w, x->dead, x->stamp, &news), n, "%s: refused", x->what);
        cr_assert_eq(news, x->want_news, "%s: news is %d", x->what, news);
        cr_assert_eq(n->dead, x->want_dead, "%s: dead is %d", x->what, n->dead);
        cr_assert_eq(n->contact.incarnation, x->incarnation < 5 ? 5 : x->incarnation,
                     "%s: the incarnation is another", x->what);
        if (x->linked)
            n->link = UINT32_MAX;
        check_book(o);
        end(o);
    }
}

Test(book, own_finding_is_the_last_word)
{
    struct lone *o = cheap_one(64);
    struct rng rng;
    rng_init(&rng, 3);
    struct peal_id id = random_id(&rng);
    struct node *n = learn(o, &id, true, LATER); /* by a clock that is ahead */
    book_living(o->ring, n);
    cr_assert(!n->dead, "it is dead still");
    bool news;
    struct wire_contact w = lone_unsigned(&id, 1);
    (void)book_learn(o->ring, &w, true, LATER, &news);
    cr_assert(!news && !n->dead, "the word that was there before is believed again");
    book_dead(o->ring, n);
    cr_assert(n->dead && n->stamp > LATER, "its death is no later word");
    check_book(o);
    end(o);
}

Test(book, refuses_the_forged)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1});
    lone_start(o);
    lone_in(o);
    struct lone_peer p = lone_peer(2), other = lone_peer(3);
    struct wire_contact w = lone_contact(&p);
    uint8_t sig[CRY_SIG_BYTES];
    bool news;
    memcpy(sig, p.sig, sizeof sig);
    sig[5] ^= 1;
    w.signature.p = sig;
    cr_assert_null(book_learn(o->ring, &w, false, 1, &news), "a bad signature is believed");
    w = lone_contact(&p);
    w.id = other.id;
    cr_assert_null(book_learn(o->ring, &w, false, 1, &news), "another's id is believed");
    w = lone_contact(&p);
    w.addresses = peal_bytes_str("\x0a"
                                 "10.6.6.6:6");
    cr_assert_null(book_learn(o->ring, &w, false, 1, &news), "another address is believed");
    w = lone_contact(&p);
    w.key.n--;
    cr_assert_null(book_learn(o->ring, &w, false, 1, &news), "a short key is believed");
    cr_assert_eq(o->ring->count.forged, 4, "%llu forged are counted, not 4",
                 (unsigned long long)o->ring->count.forged);
    cr_assert_eq(o->ring->book.n, 0, "something forged is in the book");
    w = lone_contact(&p);
    struct node *n = book_learn(o->ring, &w, false, 1, &news);
    cr_assert(n != NULL && news, "the true contact is refused");
    w.incarnation = 9; /* its signature is of another */
    cr_assert_null(book_learn(o->ring, &w, false, 2, &news), "a forged incarnation is believed");
    cr_assert_eq(n->contact.incarnation, 1, "a forged incarnation is in the book");
    struct wire_contact self = lone_contact(&o->self);
    cr_assert_null(book_learn(o->ring, &self, true, LATER, &news), "its own death is believed");
    end(o);
}

/* ---- who gives way ---- */

Test(book, keeps_who_is_needed)
{
    enum { CAP = 64, KEPT = 24 };
    struct lone *o = cheap_one(CAP);
    struct rng rng;
    rng_init(&rng, 11);
    struct peal_id kept[KEPT];
    for (size_t i = 0; i < KEPT; i++) {
        kept[i] = id_in_bucket(o, 159, &rng); /* where it is most crowded */
        struct node *n = learn(o, &kept[i], i % 4 == 3, 1);
        cr_assert_not_null(n, "node %zu is not taken", i);
        if (i % 4 == 3)
            ring__reach(o->ring, n);
    }
    dial_timer(o->ring);
    for (size_t i = 0; i < KEPT; i++) {
        struct node *n = book_find(o->ring, &kept[i]);
        cr_assert(n->dialling || i % 4 != 3, "node %zu is not dialled", i);
        n->wanted = i % 4 == 0;
        n->mate = i % 4 == 1;
        n->link = i % 4 == 2 ? 0 : UINT32_MAX;
    }
    for (size_t i = 0; i < 3000; i++) {
        struct peal_id id = random_id(&rng);
        (void)learn(o, &id, false, i + 2);
        if (i % 1000 == 0)
            check_book(o);
    }
    for (size_t i = 0; i < KEPT; i++) {
        struct node *n = book_find(o->ring, &kept[i]);
        cr_assert_not_null(n, "node %zu, which is needed, has given way", i);
        n->link = UINT32_MAX;
    }
    cr_assert_eq(o->ring->book.n, CAP, "%u nodes, not %d", o->ring->book.n, CAP);
    cr_assert_eq(o->ring->count.evicted, 3000 + KEPT - CAP, "%llu have given way",
                 (unsigned long long)o->ring->count.evicted);
    end(o);
}

Test(book, is_dense_nearby_after_a_flood)
{
    enum { CAP = 256, NEAR = 8 };
    struct lone *o = cheap_one(CAP);
    struct rng rng;
    rng_init(&rng, 12);
    struct peal_id near[NEAR];
    for (size_t i = 0; i < NEAR; i++) {
        near[i] = id_in_bucket(o, 100 + (unsigned)i, &rng);
        (void)learn(o, &near[i], false, 1);
    }
    for (size_t i = 0; i < 20000; i++) {
        struct peal_id id = random_id(&rng);
        (void)learn(o, &id, false, i + 2);
    }
    check_book(o);
    for (size_t i = 0; i < NEAR; i++)
        cr_assert_not_null(book_find(o->ring, &near[i]), "the only node at distance 2^%zu is gone",
                           100 + i);
    const uint32_t *b = o->ring->book.buckets;
    cr_assert_lt(b[159], CAP / 4, "half the ring has %u of %d places", b[159], CAP);
    cr_assert_gt(b[153], 8, "a 128th of the ring has only %u of %d places", b[153], CAP);
    end(o);
}

Test(book, the_dead_give_way_first)
{
    enum { CAP = 64 };
    struct lone *o = cheap_one(CAP);
    struct rng rng;
    rng_init(&rng, 13);
    struct peal_id dead[10], living[CAP - 10];
    for (size_t i = 0; i < PEAL_COUNT(living); i++) {
        living[i] = random_id(&rng);
        (void)learn(o, &living[i], false, 5);
    }
    for (size_t i = 0; i < PEAL_COUNT(dead); i++) {
        dead[i] = random_id(&rng);
        (void)learn(o, &dead[i], true, 100 - i); /* the last is heard of longest ago */
    }
    struct peal_id id = random_id(&rng);
    cr_assert_not_null(learn(o, &id, true, 200), "a dead one finds no place among the dead");
    cr_assert_null(book_find(o->ring, &dead[9]), "who is dead longest has not given way");
    for (size_t i = 0; i < 10; i++) {
        id = random_id(&rng);
        cr_assert_not_null(learn(o, &id, false, 300), "a living one finds no place");
    }
    cr_assert_eq(o->ring->book.living, CAP, "some dead are left while living ones gave way");
    for (size_t i = 0; i < PEAL_COUNT(living); i++)
        cr_assert_not_null(book_find(o->ring, &living[i]), "living node %zu has given way", i);
    id = random_id(&rng);
    cr_assert_null(learn(o, &id, true, 400), "a dead one has taken a living one's place");
    check_book(o);
    end(o);
}

Test(book, who_is_used_stays)
{
    enum { CAP = 64 };
    struct lone *o = cheap_one(CAP);
    struct rng rng;
    rng_init(&rng, 14);
    struct peal_id used = id_in_bucket(o, 159, &rng);
    (void)learn(o, &used, false, 1);
    for (size_t i = 0; i < 200; i++) {
        struct node *n = book_find(o->ring, &used);
        cr_assert_not_null(n, "after %zu it is gone", i);
        n->uses += 4; /* more than it loses by being looked at */
        struct peal_id id = id_in_bucket(o, 159, &rng);
        (void)learn(o, &id, false, i + 2);
    }
    end(o);
}

/* ---- on disk ---- */

static size_t known_on_disk(const struct lone_store *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->records[i].key_n > 5 && memcmp(s->records[i].key, "known", 5) == 0;
    return n;
}

static struct lone *remembering(struct lone_store *s, uint32_t hints)
{
    struct lone *o = lone_new(&(struct lone_options){
        .n = 1, .cheap = true, .remember = true, .hints = hints, .store = s});
    lone_start(o);
    return o;
}

Test(book, is_there_again_after_a_restart)
{
    enum { N = 150 };
    static struct lone_store disk;
    struct peal_id ids[N];
    struct rng rng;
    rng_init(&rng, 15);
    struct lone *o = remembering(&disk, 256);
    lone_in(o);
    for (size_t i = 0; i < N; i++) {
        ids[i] = random_id(&rng);
        (void)learn(o, &ids[i], i % 3 == 0, 1000 + i);
    }
    lone_out(o);
    cr_assert_eq(known_on_disk(&disk), 0, "written at once");
    size_t most = 0;
    for (size_t i = 0; i < 5; i++) {
        lone_forget(o);
        lone_wait(o, SAVE_EVERY_US);
        size_t n = lone_count(o, STEP_WRITE, 0);
        most = n > most ? n : most;
    }
    cr_assert_leq(most, 2 * SAVE_BATCH, "%zu are written in a second", most);
    cr_assert_eq(known_on_disk(&disk), N, "%zu are on disk, not %d", known_on_disk(&disk), N);
    lone_free(o);

    o = remembering(&disk, 256);
    lone_in(o);
    check_book(o);
    cr_assert_eq(o->ring->book.n, N, "%u are known after the restart", o->ring->book.n);
    for (size_t i = 0; i < N; i++) {
        const struct node *n = book_find(o->ring, &ids[i]);
        cr_assert_not_null(n, "node %zu is not known any more", i);
        cr_assert(n->dead == (i % 3 == 0) && n->stamp == 1000 + i, "node %zu is another", i);
        cr_assert(!n->unsaved, "node %zu would be written again", i);
    }
    lone_out(o);
    cr_assert(lone_count(o, STEP_DIAL, 0) > 0, "nobody remembered is dialled");
    lone_free(o);
}

Test(book, who_gave_way_is_off_the_disk)
{
    static struct lone_store disk;
    struct rng rng;
    rng_init(&rng, 16);
    struct lone *o = remembering(&disk, 64);
    for (size_t i = 0; i < 40; i++) {
        lone_in(o);
        for (size_t k = 0; k < 10; k++) {
            struct peal_id id = random_id(&rng);
            (void)learn(o, &id, false, i + 1);
        }
        lone_out(o);
        lone_wait(o, SAVE_EVERY_US / 2);
        lone_forget(o);
    }
    lone_wait(o, 5 * SAVE_EVERY_US);
    cr_assert_eq(known_on_disk(&disk), o->ring->book.n, "%zu on disk, %u known",
                 known_on_disk(&disk), o->ring->book.n);
    for (uint32_t i = 0; i < o->ring->book.n; i++)
        cr_assert(memcmp(disk.records[i].key + 5, book_at(o->ring, i)->contact.id.b, ID_BYTES) == 0,
                  "record %u is of another node", i);
    lone_free(o);
}

Test(book, a_damaged_record_is_left_out)
{
    static struct lone_store disk;
    struct rng rng;
    rng_init(&rng, 17);
    struct lone *o = remembering(&disk, 64);
    lone_in(o);
    for (size_t i = 0; i < 6; i++) {
        struct peal_id id = random_id(&rng);
        (void)learn(o, &id, false, 1);
    }
    lone_out(o);
    lone_wait(o, 2 * SAVE_EVERY_US);
    lone_free(o);
    cr_assert_eq(disk.n, 6, "%zu records", disk.n);
    disk.records[1].value_n -= 3;  /* cut short */
    disk.records[2].value[3] ^= 1; /* another id than its key's */
    disk.records[3].value[1] = (uint8_t)(disk.records[3].value[1] ^ 1); /* another type */
    disk.records[4].key_n--;
    o = remembering(&disk, 64);
    cr_assert_eq(o->ring->book.n, 2, "%u of two good records are known", o->ring->book.n);
    bool told = false;
    for (size_t i = 0; i < o->said_n; i++)
        told = told || (o->said[i].kind == STEP_TRACE &&
                        memmem(o->said[i].bytes, o->said[i].n, "damaged", 7) != NULL);
    cr_assert(told, "nobody is told");
    cr_assert_eq(known_on_disk(&disk), 2, "the damaged ones are on disk still");
    lone_free(o);
}

/* A signature that is not good any more is as bad as a damaged record. */
Test(book, what_comes_from_the_disk_is_verified)
{
    static struct lone_store disk;
    struct rng rng;
    rng_init(&rng, 18);
    struct lone *o = remembering(&disk, 64);
    lone_in(o);
    struct peal_id id = random_id(&rng);
    (void)learn(o, &id, false, 1);
    lone_out(o);
    lone_wait(o, 2 * SAVE_EVERY_US);
    lone_free(o);
    o = lone_new(&(struct lone_options){.n = 1, .remember = true, .store = &disk});
    lone_start(o);
    cr_assert_eq(o->ring->book.n, 0, "an unsigned contact is believed");
    lone_free(o);
}

Test(book, a_wanted_node_is_dialled_once_it_is_known)
{
    struct lone *o = lone_new(&(struct lone_options){.n = 1});
    lone_start(o);
    struct lone_peer p = lone_peer(2);
    int err = ring_want(o->ring, &p.id, true);
    cr_assert_eq(err, 0, "%s", err_name(err));
    lone_wait(o, 10);
    cr_assert_null(lone_find(o, STEP_DIAL, 0, NULL), "somebody is dialled");
    lone_in(o);
    bool news;
    struct wire_contact w = lone_contact(&p);
    struct node *n = book_learn(o->ring, &w, true, 1, &news);
    cr_assert(n != NULL && n->wanted, "it is not wanted");
    lone_out(o);
    lone_wait(o, 10);
    const struct lone_said *s = lone_find(o, STEP_DIAL, 0, NULL);
    cr_assert_not_null(s, "it is not dialled");
    cr_assert(peal_bytes_eq(peal_bytes_of(s->bytes, s->n), peal_bytes_str(p.address)),
              "another address is dialled");
    struct peal_id ids[RING_WANTS_MAX];
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t i = 0; i < RING_WANTS_MAX; i++) {
        ids[i] = random_id(&rng);
        err = ring_want(o->ring, &ids[i], true);
        cr_assert_eq(err, i + 1 < RING_WANTS_MAX ? 0 : PEAL_E_FULL, "want %zu: %s", i,
                     err_name(err));
    }
    err = ring_want(o->ring, &p.id, false);
    cr_assert(err == 0 && !n->wanted, "it is wanted still");
    err = ring_want(o->ring, &ids[RING_WANTS_MAX - 1], true);
    cr_assert_eq(err, 0, "there is no room: %s", err_name(err));
    lone_free(o);
}
