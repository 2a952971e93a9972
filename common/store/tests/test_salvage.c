/* Salvaging against files that are damaged at random, each of them by a seed: of what no damage has
 * touched nothing is lost, and nothing is taken that was never written. Which pairs a damage
 * touches is found without the code under test, by looking for their bytes in the file. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "twins.h"

enum {
    PAIRS = 420,
    VERSIONS = 3, /* values that a key has had, the last one first */
    KEY_BYTES = 36,
    BIG = 90000,
    SPANS_MAX = 64,
    FILE_MAX = 32 << 20,
    SEEDS = 60,
    SEEDS_END = 1 << 30,
    ASIDE_MAX = 8,
};

struct pair {
    enum store_space space;
    uint8_t key[KEY_BYTES];
    uint8_t *value[VERSIONS];
    size_t n[VERSIONS];
    size_t versions;
    bool gone; /* deleted in the end */
};

struct bytes {
    uint8_t *p;
    size_t n;
};

static struct twin t;
static struct pair pairs[PAIRS];
static struct bytes base[2]; /* the data file and its log, undamaged */
static const char *const suffixes[] = {"", "-wal"};

static void path_of(const char *suffix, char out[PATH_MAX + 8])
{
    snprintf(out, PATH_MAX + 8, "%s%s", t.path, suffix);
}

static struct bytes read_file(const char *path)
{
    struct bytes b = {.p = NULL};
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return b;
    b.p = malloc(FILE_MAX);
    cr_assert(b.p != NULL, "no memory");
    b.n = fread(b.p, 1, FILE_MAX, f);
    cr_assert(b.n < FILE_MAX, "%s is larger than this test expects", path);
    fclose(f);
    return b;
}

static void write_file(const char *path, struct bytes b)
{
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL, "cannot write %s", path);
    cr_assert(fwrite(b.p, 1, b.n, f) == b.n, "cannot write %s", path);
    fclose(f);
}

/* ---- what is in the file ---- */

static size_t size_of(struct rng *r, size_t i)
{
    if (i % 29 == 7)
        return 1500 + rng_below(r, BIG); /* several pages */
    return i % 5 == 0 ? rng_below(r, 12) + 20 : 40 + rng_below(r, 1900);
}

static void next_value(struct rng *r, struct pair *p, size_t n)
{
    memmove(&p->value[1], &p->value[0], (VERSIONS - 1) * sizeof p->value[0]);
    memmove(&p->n[1], &p->n[0], (VERSIONS - 1) * sizeof p->n[0]);
    p->versions++;
    cr_assert(p->versions <= VERSIONS, "more values than this test keeps");
    p->n[0] = n;
    p->value[0] = malloc(n);
    cr_assert(p->value[0] != NULL, "no memory");
    rng_fill(r, p->value[0], n);
}

static void submit(const struct pair *p, enum store_op op)
{
    struct store_write w = {.space = p->space,
                            .op = op,
                            .key = peal_bytes_of(p->key, KEY_BYTES),
                            .value = peal_bytes_of(p->value[0], p->n[0])};
    int rc = store_submit(t.s, &w, 1, NULL);
    cr_assert(rc == 0, "a submit: %s", store_error_text(t.s));
}

/* Fills the file in such a way that it has free pages, pairs in the log only, and others in both.
 */
static void fill(void)
{
    struct rng r;
    rng_init(&r, 20261120);
    twin_open(&t, true);
    for (size_t i = 0; i < PAIRS; i++) {
        struct pair *p = &pairs[i];
        p->space = i < 8 ? STORE_META : i % 3 == 0 ? STORE_REGISTERS : STORE_ROWS;
        rng_fill(&r, p->key, KEY_BYTES);
        next_value(&r, p, i < 8 ? 200 : size_of(&r, i));
        submit(p, STORE_PUT);
    }
    twin_replace(&t); /* now the log is empty */
    for (size_t i = 8; i < PAIRS; i++) {
        if (i % 7 == 3) {
            next_value(&r, &pairs[i], size_of(&r, i));
            submit(&pairs[i], STORE_PUT);
            twin_sync(&t);
        } else if (i % 11 == 5) {
            pairs[i].gone = true;
            submit(&pairs[i], STORE_DEL);
        }
    }
    twin_sync(&t);
    for (size_t i = 0; i < PEAL_COUNT(suffixes); i++) {
        char path[PATH_MAX + 8];
        path_of(suffixes[i], path);
        base[i] = read_file(path);
        cr_assert(base[i].n > 10 * 8192, "%s has %zu bytes", path, base[i].n);
    }
    int rc = store_close(t.s);
    cr_assert(rc == 0, "closing: %s", err_name(rc));
    t.s = NULL;
}

static void setup(void)
{
    fill();
}

static void empty_folder(void)
{
    DIR *d = opendir(t.folder);
    cr_assert(d != NULL, "no folder");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[PATH_MAX + 256];
        snprintf(path, sizeof path, "%s/%s", t.folder, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
}

static void teardown(void)
{
    twin_close(&t);
    for (size_t i = 0; i < PAIRS; i++)
        for (size_t k = 0; k < VERSIONS; k++)
            free(pairs[i].value[k]);
    for (size_t i = 0; i < PEAL_COUNT(base); i++)
        free(base[i].p);
}

TestSuite(salvage, .init = setup, .fini = teardown);

/* ---- which pairs a damage touches ---- */

struct span {
    size_t from, to;
};

/* Where the pair's present record stands in the file, with the little around it that belongs to it;
 * of one that is longer than a page, the pages. */
static size_t spans_of(const struct pair *p, struct bytes file, struct span out[SPANS_MAX])
{
    enum { AROUND = 12, SUM = 8, PIECE = 24, PAGE = 8192 };
    size_t n = 0, between = p->space == STORE_ROWS ? SUM : 0; /* key and value */
    for (const uint8_t *at = file.p; n < SPANS_MAX; at++) {
        at = memmem(at, file.n - (size_t)(at - file.p), p->key, KEY_BYTES);
        if (at == NULL)
            break;
        size_t from = (size_t)(at - file.p), value = from + KEY_BYTES + between;
        if (value + PIECE > file.n || memcmp(file.p + value, p->value[0], 20) != 0)
            continue;
        size_t whole = p->n[0] < 2000 ? p->n[0] : PAGE;
        out[n++] = (struct span){from - AROUND, value + whole + AROUND};
    }
    for (size_t i = 2000; i + PIECE <= p->n[0] && n < SPANS_MAX; i += 4000) {
        const uint8_t *at = memmem(file.p, file.n, p->value[0] + i, PIECE);
        if (at != NULL) /* a page begins anywhere before it, in the file or in a frame of the log */
            out[n++] =
                (struct span){(size_t)(at - file.p) < PAGE ? 0 : (size_t)(at - file.p) - PAGE,
                              (size_t)(at - file.p) + PAGE};
    }
    return n;
}

static bool touched(size_t pair, const size_t at[], size_t n, size_t which)
{
    static struct {
        bool known;
        size_t n;
        struct span v[SPANS_MAX];
    } cache[PAIRS][2];
    struct span *spans = cache[pair][which].v;
    if (!cache[pair][which].known)
        cache[pair][which].n = spans_of(&pairs[pair], base[which], spans);
    cache[pair][which].known = true;
    size_t spans_n = cache[pair][which].n;
    if (spans_n == SPANS_MAX)
        return true; /* too scattered to be judged */
    for (size_t i = 0; i < spans_n; i++)
        for (size_t k = 0; k < n; k++)
            if (at[k] >= spans[i].from && at[k] < spans[i].to)
                return true;
    return false;
}

/* ---- looking at what was salvaged ---- */

struct look {
    size_t found;
    enum store_space space;
    bool missing[PAIRS];
    bool old[PAIRS]; /* found with a value that is not the last one */
};

static bool look_at(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    struct look *l = arg;
    for (size_t i = 0; i < PAIRS; i++) {
        const struct pair *p = &pairs[i];
        if (p->space != l->space || !peal_bytes_eq(key, peal_bytes_of(p->key, KEY_BYTES)))
            continue;
        for (size_t k = 0; k < p->versions; k++) {
            if (!peal_bytes_eq(value, peal_bytes_of(p->value[k], p->n[k])))
                continue;
            l->missing[i] = false;
            l->old[i] = k > 0;
            l->found++;
            return true;
        }
    }
    cr_assert(false, "a pair that was never written, in %s", store_space_name(l->space));
    return false;
}

static void look(struct look *l)
{
    memset(l, 0, sizeof *l);
    memset(l->missing, 1, sizeof l->missing);
    for (size_t i = 0; i < STORE_SPACE_COUNT; i++) {
        l->space = (enum store_space)i;
        int rc = store_scan(t.s, l->space, (struct peal_bytes){0}, (struct peal_bytes){0}, SIZE_MAX,
                            look_at, l);
        cr_assert(rc == 0, "the new file is read: %s", store_error_text(t.s));
    }
}

static void lay_out(const struct bytes files[static 2])
{
    empty_folder();
    for (size_t i = 0; i < PEAL_COUNT(suffixes); i++) {
        char path[PATH_MAX + 8];
        path_of(suffixes[i], path);
        if (files[i].n > 0)
            write_file(path, files[i]);
    }
}

static struct store_salvaged salvage(void)
{
    static const char mark[] = "mark";
    struct store_salvaged out;
    char why[STORE_TEXT_MAX];
    struct store_write also = {
        .space = STORE_META, .key = peal_bytes_str(mark), .value = peal_bytes_str("made")};
    int rc = store_salvage(t.path, &also, 1, &out, why);
    cr_assert(rc == 0, "%s: %s", err_name(rc), why);
    rc = store_open_sqlite(t.path, &t.config, why, &t.s);
    cr_assert(rc == 0, "the new file opens: %s", why);
    cr_assert(strcmp(twin_get(&t, STORE_META, mark), "made") == 0, "what was to be added is there");
    twin_do(&t, twin_del(STORE_META, mark));
    return out;
}

static void close_store(void)
{
    int rc = store_close(t.s);
    cr_assert(rc == 0, "closing: %s", err_name(rc));
    t.s = NULL;
}

/* Damages both files, or only one, at random places; a place is a byte, or some that follow. */
static size_t damage(struct rng *r, struct bytes files[static 2], size_t at[2][SPANS_MAX],
                     size_t counts[static 2])
{
    size_t all = 0;
    counts[0] = counts[1] = 0;
    size_t places = 1 + rng_below(r, 12);
    for (size_t i = 0; i < places; i++) {
        size_t which = rng_below(r, 3) == 0;
        size_t from = rng_below(r, files[which].n);
        size_t n = rng_below(r, 3) > 0 ? 1 : 1 + rng_below(r, 5);
        if (rng_below(r, 2) == 0) /* pages' heads and lists are small: aim at them as well */
            from = from / 8192 * 8192 + rng_below(r, 64);
        for (size_t k = 0; k < n && from + k < files[which].n; k++) {
            files[which].p[from + k] ^= (uint8_t)(1 + rng_below(r, 255));
            at[which][counts[which]++] = from + k;
            all++;
        }
    }
    return all;
}

Test(salvage, what_no_damage_touches_is_kept_and_nothing_else_is_taken, .timeout = 300)
{
    static struct look l;
    uint64_t first = 1, seeds = SEEDS;
    const char *given = getenv("SALVAGE_SEEDS"); /* “17” or “1000:5000”, to look further */
    if (given != NULL && sscanf(given, "%lu:%lu", &first, &seeds) < 2)
        seeds = 1;
    size_t kept = 0, lost = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct rng r;
        struct bytes files[2];
        static size_t at[2][SPANS_MAX];
        size_t counts[2];
        rng_init(&r, seed);
        for (size_t i = 0; i < 2; i++) {
            files[i] = (struct bytes){.p = malloc(base[i].n), .n = base[i].n};
            cr_assert(files[i].p != NULL, "no memory");
            memcpy(files[i].p, base[i].p, base[i].n);
        }
        (void)damage(&r, files, at, counts);
        lay_out((const struct bytes *)files);
        struct store_salvaged out = salvage();
        look(&l);
        for (size_t i = 0; i < PAIRS; i++) {
            const struct pair *p = &pairs[i];
            bool hit = touched(i, at[0], counts[0], 0) || touched(i, at[1], counts[1], 1);
            lost += l.missing[i];
            if (hit || p->gone)
                continue;
            kept++;
            cr_assert(!l.missing[i], "seed %lu: pair %zu in %s (%zu bytes) is lost",
                      (unsigned long)seed, i, store_space_name(p->space), p->n[0]);
            cr_assert(!l.old[i] || counts[1] > 0, "seed %lu: pair %zu is an old one",
                      (unsigned long)seed, i);
        }
        cr_assert(out.aside[0] != '\0', "the damaged file is kept");
        struct bytes was = read_file(out.aside);
        cr_assert(was.n == files[0].n && memcmp(was.p, files[0].p, was.n) == 0,
                  "seed %lu: just as it was", (unsigned long)seed);
        free(was.p);
        for (size_t i = 0; i < 2; i++)
            free(files[i].p);
        close_store();
    }
    cr_assert(kept > 100 * seeds, "the damage left something to be kept");
    cr_assert(lost > 0, "and took something");
    lay_out(base);
    twin_replace(&t);
}

Test(salvage, of_a_sound_file_everything_is_kept)
{
    static struct look l;
    lay_out(base);
    struct store_salvaged out = salvage();
    look(&l);
    for (size_t i = 0; i < PAIRS; i++) {
        cr_assert(l.missing[i] == pairs[i].gone || (pairs[i].gone && l.old[i]) || !l.missing[i],
                  "pair %zu", i);
        cr_assert(pairs[i].gone || !l.missing[i], "pair %zu is lost", i);
        cr_assert(pairs[i].gone || !l.old[i], "pair %zu is an old one", i);
    }
    cr_assert(out.lost == 0, "no record is found damaged, but %lu are", (unsigned long)out.lost);
    cr_assert(out.bad_frames == 0, "nor a frame of the log");
    cr_assert(out.kept[STORE_META] == 8, "what was counted: %lu", (unsigned long)out.kept[0]);
}

/* SQLite takes a damaged frame for the end of the log: what was committed behind it would be
 * forgotten without a word. A torn end, though, is what a crash may leave. */
Test(salvage, a_log_that_is_damaged_before_its_end_is_noticed)
{
    enum { HEAD = 32, FRAME = 8192 + 24 };
    char why[STORE_TEXT_MAX];
    size_t frames = (base[1].n - HEAD) / FRAME;
    cr_assert(frames > 40, "a log of many transactions");
    for (size_t i = 0; i <= 6; i++) {
        struct bytes files[2] = {base[0], {.p = malloc(base[1].n), .n = base[1].n}};
        cr_assert(files[1].p != NULL, "no memory");
        memcpy(files[1].p, base[1].p, base[1].n);
        size_t at = HEAD + i * frames / 6 * FRAME + 1000;
        if (i == 5)
            at = HEAD + (frames - 1) * FRAME + 1000;
        if (i == 6)
            at = 20; /* in its head */
        files[1].p[at] ^= 1;
        lay_out((const struct bytes *)files);
        int rc = store_open_sqlite(t.path, &t.config, why, &t.s);
        if (i != 5) {
            cr_assert(rc == PEAL_E_CORRUPT, "place %zu: %s", i, err_name(rc));
            cr_assert(strstr(why, "log is damaged") != NULL, "it says: %s", why);
        } else {
            cr_assert(rc == 0, "the end may be torn: %s", why);
            close_store();
        }
        free(files[1].p);
    }
}

/* A row, and what replaced it: all that is left of both stands in frames that are damaged. */
Test(salvage, of_several_damaged_frames_the_newest_counts)
{
    enum { HEAD = 32, FRAME_HEAD = 24, FRAME = 8192 + FRAME_HEAD };
    char why[STORE_TEXT_MAX], value[] = "value0";
    struct bytes files[2];
    empty_folder();
    int rc = store_open_sqlite(t.path, &t.config, why, &t.s);
    cr_assert(rc == 0, "it opens: %s", why);
    twin_do(&t, twin_put(STORE_ROWS, "row", value));
    twin_replace(&t);
    for (char i = '1'; i <= '4'; i++) {
        value[5] = i;
        twin_do(&t, twin_put(STORE_ROWS, "row", value));
        twin_sync(&t);
    }
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX + 8];
        path_of(suffixes[i], path);
        files[i] = read_file(path);
    }
    close_store();
    size_t frames = 0;
    for (size_t at = HEAD; at + FRAME <= files[1].n; at += FRAME, frames++)
        files[1].p[at + FRAME_HEAD] ^= 0xff; /* the page's kind */
    cr_assert(frames >= 4, "%zu frames", frames);
    lay_out(files);
    (void)salvage();
    const char *got = twin_get(&t, STORE_ROWS, "row");
    cr_assert(strcmp(got, "value4") == 0, "it is %s", got);
    for (size_t i = 0; i < 2; i++)
        free(files[i].p);
}

/* Where the list of free pages begins. */
enum { FREE_FIRST = 32, FREE_COUNT = 36 };

Test(salvage, pages_that_are_wrongly_listed_as_free_are_read_all_the_same)
{
    static struct look l;
    lay_out(base);
    twin_replace(&t);
    close_store(); /* now all is in the one file */
    struct bytes files[2] = {read_file(t.path), {.p = NULL, .n = 0}};
    size_t pages = files[0].n / 8192, listed = 0;
    for (size_t i = 1; i < pages; i++)
        if (files[0].p[i * 8192] == 10) /* a leaf */
            listed = i;
    cr_assert(listed > 0, "a page that can be taken for free");
    files[0].p[FREE_FIRST + 2] = (uint8_t)((listed + 1) >> 8);
    files[0].p[FREE_FIRST + 3] = (uint8_t)(listed + 1);
    files[0].p[FREE_COUNT + 3] = 1;
    files[0].p[8192 + 3] ^= 0xff; /* and something that salvaging is needed for */
    lay_out((const struct bytes *)files);
    (void)salvage();
    look(&l);
    size_t missing = 0;
    for (size_t i = 0; i < PAIRS; i++)
        missing += l.missing[i] && !pairs[i].gone && pairs[i].space != STORE_META;
    cr_assert(missing == 0, "%zu pairs are lost", missing);
    free(files[0].p);
}

Test(salvage, a_file_without_its_first_page_or_cut_off)
{
    static struct look l;
    struct bytes files[2] = {{.p = malloc(base[0].n), .n = base[0].n}, {.p = NULL, .n = 0}};
    cr_assert(files[0].p != NULL, "no memory");
    memcpy(files[0].p, base[0].p, base[0].n);
    memset(files[0].p, 0xff, 8192);
    files[0].n = base[0].n / 2;
    lay_out((const struct bytes *)files);
    struct store_salvaged out = salvage();
    look(&l);
    cr_assert(l.found > PAIRS / 8, "of half a file %zu pairs are kept", l.found);
    cr_assert(out.bad_pages > 0, "it says that pages were damaged");
    free(files[0].p);
}

Test(salvage, a_file_that_is_no_database)
{
    static struct look l;
    struct bytes files[2] = {{.p = (uint8_t *)"this is no database", .n = 19}, {.p = NULL, .n = 0}};
    lay_out((const struct bytes *)files);
    struct store_salvaged out = salvage();
    look(&l);
    cr_assert(l.found == 0, "nothing is in it");
    cr_assert(strstr(out.aside, ".aside-2") != NULL, "kept as %s", out.aside);
}

Test(salvage, is_refused_while_another_has_the_file)
{
    struct store_salvaged out;
    char why[STORE_TEXT_MAX];
    lay_out(base);
    twin_replace(&t);
    int rc = store_salvage(t.path, NULL, 0, &out, why);
    cr_assert(rc == PEAL_E_BUSY, "%s", err_name(rc));
    cr_assert(strstr(why, "another peald uses") != NULL, "it says: %s", why);
}

/* A crash at any moment: the file that is to take the place is there, and the others are where the
 * crash left them. */
Test(salvage, the_next_start_completes_what_a_crash_broke_off)
{
    static struct look l;
    for (int moment = 0; moment < 3; moment++) {
        char path[PATH_MAX + 8], next[PATH_MAX + 8], aside[PATH_MAX + 256];
        char why[STORE_TEXT_MAX];
        lay_out(base);
        (void)salvage();
        close_store();
        path_of(".next", next);
        cr_assert(rename(t.path, next) == 0, "the new file waits");
        struct bytes old[2] = {{.p = (uint8_t *)"damaged", .n = 7},
                               {.p = (uint8_t *)"log", .n = 3}};
        for (size_t i = (size_t)moment; i < 2; i++) { /* moved aside so far: none, one, both */
            path_of(suffixes[i], path);
            write_file(path, old[i]);
        }
        int rc = store_open_sqlite(t.path, &t.config, why, &t.s);
        cr_assert(rc == 0, "moment %d: %s", moment, why);
        look(&l);
        cr_assert(l.found >= PAIRS * 9 / 10, "moment %d: %zu pairs", moment, l.found);
        cr_assert(access(next, F_OK) != 0, "moment %d: nothing waits any more", moment);
        size_t kept = 0;
        DIR *d = opendir(t.folder);
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            snprintf(aside, sizeof aside, "%s/%s", t.folder, e->d_name);
            if (strstr(e->d_name, ".aside-") == NULL)
                continue;
            struct bytes b = read_file(aside);
            kept += (b.n == 7 && memcmp(b.p, "damaged", 7) == 0) ||
                    (b.n == 3 && memcmp(b.p, "log", 3) == 0);
            free(b.p);
        }
        closedir(d);
        cr_assert(kept == (size_t)(2 - moment), "moment %d: %zu files are kept aside", moment,
                  kept);
        close_store();
    }
    lay_out(base);
    twin_replace(&t);
}
