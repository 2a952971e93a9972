/* Salvaging: every record of a damaged file that matches its checksum goes into a new file. The
 * trees of the damaged one are not followed, since one broken page would hide all below it: each
 * page is looked at for itself, and what stands in it is believed for its checksum alone, which
 * also says to which space it belongs.
 *
 * First the pages that are what they should be, with the sound records of those that are not; then
 * the damaged ones byte by byte, for what their own lists no longer name; then what the log has
 * besides, the newest first; last the pages that may be old. The first finding of a key counts.
 * What version 1 wrote is older than what this one did, and so all this is done for it once more,
 * if there is any. Only on free pages it is left alone: a migration leaves all that it moves there.
 */
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "migrate.h"
#include "sqlite.h"
#include "swap.h"

#define SALVAGE_SUFFIX ".salvage"

enum {
    SINK_BYTES = 4 << 20, /* in memory on their way into the new file */
    RECORD_MAX = STORE_KEY_MAX + STORE_VALUE_MAX + 64,
    COLUMNS_MAX = 8,
    CHAIN_MAX = RECORD_MAX / (IMAGE_PAGE - 4) + 2, /* pages of one record */
    FILE_HEAD = 100,                               /* bytes of page 1 before its tree */
    LOCK_PAGE = 0x40000000 / IMAGE_PAGE + 1,       /* never used */
    CELL_LEAST = 4,
};

/* The kinds of pages that have cells. */
enum { INDEX_INNER = 2, TABLE_INNER = 5, INDEX_LEAF = 10, TABLE_LEAF = 13 };

/* Where the tables keep key, value and checksum, by the number of a row's columns. A table whose
 * rows look different needs its line here. */
static const struct form {
    size_t columns, key, value, sum;
} forms[] = {{.columns = 3, .key = 0, .value = 1, .sum = 2},
             {.columns = 4, .key = 1, .value = 3, .sum = 2}}; /* rows */

enum order { ORDER_SOUND, ORDER_BROKEN, ORDER_STALE };

struct sink {
    struct store *s;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
    size_t bytes; /* since it last was all durable */
};

struct salvage {
    struct image image;
    struct sink sink;
    enum order order;
    bool former;           /* what version 1 wrote is looked for, not what this one did */
    bool formerly;         /* and there is some of that */
    enum store_space last; /* what the last record belonged to: likely the next one's as well */
    struct store_salvaged *out;
    int err;
    uint8_t mark; /* of the page at hand, enum image_mark; 0: it is the log's */
    uint8_t page[IMAGE_PAGE];
    uint8_t covered[IMAGE_PAGE];
    uint8_t record[RECORD_MAX];
    uint32_t chain[CHAIN_MAX];
    size_t chain_n;
};

/* ---- the new file ---- */

static void sink_wake(void *arg)
{
    struct sink *k = arg;
    (void)pthread_mutex_lock(&k->mutex);
    k->woken = true;
    (void)pthread_cond_signal(&k->cond);
    (void)pthread_mutex_unlock(&k->mutex);
}

static int sink_open(struct sink *k, const char *path, char why[static STORE_TEXT_MAX])
{
    struct store_config config = store_config_default();
    config.wake = sink_wake;
    config.wake_arg = k;
    (void)pthread_mutex_init(&k->mutex, NULL);
    (void)pthread_cond_init(&k->cond, NULL);
    return store_open_sqlite(path, &config, why, &k->s);
}

/* Waits until everything is durable, or the new file's disk fails. */
static int sink_sync(struct sink *k)
{
    uint64_t ticket;
    int rc = store_submit(k->s, NULL, 0, &ticket);
    store_flush(k->s);
    while (rc == 0 && store_durable(k->s) < ticket) {
        (void)pthread_mutex_lock(&k->mutex);
        while (!k->woken)
            (void)pthread_cond_wait(&k->cond, &k->mutex);
        k->woken = false;
        (void)pthread_mutex_unlock(&k->mutex);
        rc = store_health(k->s);
    }
    k->bytes = 0;
    return rc;
}

static int sink_put(struct sink *k, const struct store_write *w)
{
    int rc = store_submit(k->s, w, 1, NULL);
    k->bytes += w->key.n + w->value.n;
    return rc == 0 && k->bytes >= SINK_BYTES ? sink_sync(k) : rc;
}

static int sink_close(struct sink *k)
{
    int rc = store_close(k->s);
    k->s = NULL;
    return rc;
}

/* ---- records ---- */

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

/* SQLite's variable-length number: its bytes, 0 when it does not end before p + n. */
static size_t varint(const uint8_t *p, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < 9 && i < n; i++) {
        if (i == 8) {
            *v = *v << 8 | p[i];
            return 9;
        }
        *v = *v << 7 | (p[i] & 0x7f);
        if ((p[i] & 0x80) == 0)
            return i + 1;
    }
    return 0;
}

struct column {
    bool blob, integer;
    struct peal_bytes bytes;
};

static bool column_of(uint64_t type, const uint8_t *at, size_t left, struct column *out)
{
    static const size_t widths[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
    size_t n = type < PEAL_COUNT(widths) ? widths[type] : (size_t)(type - 12) / 2;
    if (type == 10 || type == 11 || type > 13 + 2 * (uint64_t)RECORD_MAX || n > left)
        return false;
    *out = (struct column){.blob = type >= 12 && type % 2 == 0,
                           .integer = type >= 1 && type <= 9 && type != 7,
                           .bytes = peal_bytes_of(at, n)};
    if (type == 9) /* the numbers 0 and 1 take no bytes */
        out->bytes = peal_bytes_of("\x01", 1);
    return true;
}

static sqlite3_int64 integer_of(const struct column *c)
{
    uint64_t v = c->bytes.n > 0 && (c->bytes.p[0] & 0x80) != 0 ? UINT64_MAX : 0;
    sqlite3_int64 out;
    for (size_t i = 0; i < c->bytes.n; i++)
        v = v << 8 | c->bytes.p[i];
    memcpy(&out, &v, sizeof out);
    return out;
}

/* The columns of the record of n bytes; 0: it is none. */
static size_t columns_of(const uint8_t *p, size_t n, struct column out[static COLUMNS_MAX])
{
    uint64_t head, type;
    size_t at = varint(p, n, &head), count = 0;
    if (at == 0 || head > n || head <= at)
        return 0;
    size_t body = (size_t)head;
    while (at < head) {
        size_t k = varint(p + at, (size_t)head - at, &type);
        if (k == 0 || count == COLUMNS_MAX || !column_of(type, p + body, n - body, &out[count]))
            return 0;
        at += k;
        body += type == 9 ? 0 : out[count].bytes.n;
        count++;
    }
    return body == n ? count : 0;
}

enum verdict {
    NOT_OURS,    /* no row of a space */
    NOT_WRITTEN, /* it looks like one, and is not as it was written */
    ELSEWHEN,    /* as it was written, but by the version that is not looked for */
    WRITTEN,
};

/* Whether the checksum is that of the pair; *space is the likely one, and becomes the right one. */
static bool matches(bool former, struct peal_bytes key, struct peal_bytes value, sqlite3_int64 sum,
                    enum store_space *space)
{
    for (size_t k = 0; k < SPACE_COUNT; k++) {
        enum store_space it = (enum store_space)((*space + k) % SPACE_COUNT);
        if ((former ? migrate_checksum_1(it, key, value) : sqlite_checksum(it, key, value)) != sum)
            continue;
        *space = it;
        return true;
    }
    return false;
}

/* What the record in v->record is, and to which space it belongs. */
static enum verdict judge(struct salvage *v, size_t n, struct store_write *w)
{
    struct column c[COLUMNS_MAX];
    size_t columns = columns_of(v->record, n, c);
    for (size_t i = 0; i < PEAL_COUNT(forms); i++) {
        const struct form *f = &forms[i];
        if (columns != f->columns || !c[f->key].blob || !c[f->value].blob || !c[f->sum].integer)
            continue;
        struct peal_bytes key = c[f->key].bytes, value = c[f->value].bytes;
        if (key.n == 0 || key.n > STORE_KEY_MAX || value.n > STORE_VALUE_MAX)
            continue;
        sqlite3_int64 sum = integer_of(&c[f->sum]);
        if (matches(v->former, key, value, sum, &v->last)) {
            *w = (struct store_write){
                .space = v->last, .op = STORE_PUT_IF_ABSENT, .key = key, .value = value};
            return WRITTEN;
        }
        return matches(!v->former, key, value, sum, &v->last) ? ELSEWHEN : NOT_WRITTEN;
    }
    return NOT_OURS;
}

/* Takes a record that is as it was written. */
static void keep(struct salvage *v, enum verdict is, const struct store_write *w)
{
    for (size_t i = 0; i < v->chain_n; i++)
        v->image.marks[v->chain[i]] |= IMAGE_USED;
    if (is == ELSEWHEN) {
        v->formerly = v->formerly || (v->mark & IMAGE_FREE) == 0;
        return;
    }
    /* What a node knows of itself is small and never far from its newest form. */
    if ((v->mark & IMAGE_STALE) != 0 && w->space == STORE_META)
        return;
    if (v->err == 0)
        v->err = sink_put(&v->sink, w);
}

/* ---- cells ---- */

struct cell {
    size_t size;    /* in its page */
    uint64_t bytes; /* of its record, 0: it has none */
    size_t at, local;
};

/* How much of a record of n bytes its cell holds itself. */
static size_t local_part(uint8_t type, uint64_t n)
{
    const size_t u = IMAGE_PAGE, least = (u - 12) * 32 / 255 - 23;
    size_t most = type == TABLE_LEAF ? u - 35 : (u - 12) * 64 / 255 - 23;
    if (n <= most)
        return (size_t)n;
    size_t k = least + (size_t)((n - least) % (u - 4));
    return k <= most ? k : least;
}

/* The cell at `at` of a page of that type; false when there can be none. */
static bool cell_at(const uint8_t *page, uint8_t type, size_t at, struct cell *out)
{
    uint64_t n = 0, rowid;
    size_t p = at + (type == INDEX_INNER || type == TABLE_INNER ? 4 : 0), k = 0;
    *out = (struct cell){0};
    if (p >= IMAGE_PAGE)
        return false;
    if (type != TABLE_INNER) {
        k = varint(page + p, IMAGE_PAGE - p, &n);
        if (k == 0 || n == 0)
            return false;
        p += k;
    }
    if (type == TABLE_INNER || type == TABLE_LEAF) {
        k = p < IMAGE_PAGE ? varint(page + p, IMAGE_PAGE - p, &rowid) : 0;
        if (k == 0)
            return false;
        p += k;
    }
    out->bytes = n;
    out->at = p;
    out->local = type == TABLE_INNER ? 0 : local_part(type, n);
    size_t size = p + out->local + (out->local < n ? 4 : 0) - at;
    out->size = size < CELL_LEAST ? CELL_LEAST : size;
    return size <= IMAGE_PAGE - at;
}

/* Gathers the cell's record, from as many pages as it takes. */
static bool gather(struct salvage *v, const struct cell *c)
{
    v->chain_n = 0;
    if (c->bytes == 0 || c->bytes > RECORD_MAX)
        return false;
    memcpy(v->record, v->page + c->at, c->local);
    size_t have = c->local, n = (size_t)c->bytes;
    uint32_t next = have < n ? be32(v->page + c->at + c->local) : 0;
    while (have < n) {
        uint8_t page[IMAGE_PAGE];
        if (v->chain_n == CHAIN_MAX || !image_read(&v->image, next, page))
            return false;
        v->chain[v->chain_n++] = next;
        size_t part = n - have < IMAGE_PAGE - 4 ? n - have : IMAGE_PAGE - 4;
        memcpy(v->record + have, page + 4, part);
        have += part;
        next = be32(page);
    }
    return true;
}

/* ---- pages ---- */

struct header {
    uint8_t type;
    size_t free, cells, content, fragments, pointers;
};

static bool header_of(const uint8_t *page, uint32_t number, struct header *h)
{
    const uint8_t *p = page + (number == 1 ? FILE_HEAD : 0);
    bool inner = p[0] == INDEX_INNER || p[0] == TABLE_INNER;
    *h = (struct header){.type = p[0],
                         .free = be16(p + 1),
                         .cells = be16(p + 3),
                         .content = be16(p + 5),
                         .fragments = p[7],
                         .pointers = (size_t)(p - page) + (inner ? 12 : 8)};
    return (inner || p[0] == INDEX_LEAF || p[0] == TABLE_LEAF) && h->content <= IMAGE_PAGE &&
           h->pointers + 2 * h->cells <= IMAGE_PAGE;
}

/* Marks [at, at + n); false when some of it was marked already, or is no content. */
static bool cover(struct salvage *v, const struct header *h, size_t at, size_t n)
{
    if (at < h->content || n > IMAGE_PAGE - at)
        return false;
    for (size_t i = at; i < at + n; i++) {
        if (v->covered[i] != 0)
            return false;
        v->covered[i] = 1;
    }
    return true;
}

/* Whether free blocks, fragments and the cells that were marked make up the page's content: else a
 * list of the page is damaged, and may leave out cells. */
static bool adds_up(struct salvage *v, const struct header *h)
{
    for (size_t at = h->free; at != 0;) {
        size_t next = at + 4 <= IMAGE_PAGE ? be16(v->page + at) : 0;
        size_t n = at + 4 <= IMAGE_PAGE ? be16(v->page + at + 2) : 0;
        if (n < 4 || (next != 0 && next <= at) || !cover(v, h, at, n))
            return false;
        at = next;
    }
    size_t holes = 0;
    for (size_t i = h->content; i < IMAGE_PAGE; i++)
        holes += v->covered[i] == 0;
    return holes == h->fragments;
}

/* The records that the page's list names; number 0: it may be any page. Whether it is whole. */
static bool listed(struct salvage *v, uint32_t number)
{
    struct header h;
    if (!header_of(v->page, number, &h))
        return false;
    bool whole = h.pointers + 2 * h.cells <= h.content;
    memset(v->covered, 0, sizeof v->covered);
    for (size_t i = 0; i < h.cells; i++) {
        size_t at = be16(v->page + h.pointers + 2 * i);
        struct store_write w;
        struct cell c;
        if (!cell_at(v->page, h.type, at, &c) || !cover(v, &h, at, c.size)) {
            whole = false;
            continue;
        }
        if (h.type == TABLE_INNER)
            continue;
        enum verdict is = gather(v, &c) ? judge(v, (size_t)c.bytes, &w) : NOT_WRITTEN;
        if (is >= ELSEWHEN)
            keep(v, is, &w);
        if (is == NOT_WRITTEN) {
            whole = false;
            v->out->lost += v->order == ORDER_SOUND && !v->former;
        }
    }
    return whole && adds_up(v, &h);
}

/* The records that begin at any byte of the page. An inner cell is a leaf's behind four bytes. From
 * the end: between a page's lists and its content stands what it once held. */
static void anywhere(struct salvage *v)
{
    static const uint8_t types[] = {INDEX_LEAF, TABLE_LEAF};
    for (size_t at = IMAGE_PAGE - CELL_LEAST + 1; at-- > 0;) {
        for (size_t i = 0; i < PEAL_COUNT(types); i++) {
            struct store_write w;
            struct cell c;
            enum verdict is = NOT_OURS;
            if (cell_at(v->page, types[i], at, &c) && gather(v, &c))
                is = judge(v, (size_t)c.bytes, &w);
            if (is >= ELSEWHEN)
                keep(v, is, &w);
        }
    }
}

static void go_through(struct salvage *v, enum order order)
{
    v->order = order;
    for (uint32_t i = 1; i <= v->image.pages && v->err == 0; i++) {
        uint8_t *mark = &v->image.marks[i];
        bool stale = (*mark & (IMAGE_STALE | IMAGE_LATE)) != 0;
        if (stale != (order == ORDER_STALE) || i == LOCK_PAGE)
            continue;
        v->mark = *mark;
        if (v->former && (v->mark & IMAGE_FREE) != 0)
            continue;
        if (order == ORDER_BROKEN && (*mark & (IMAGE_BAD | IMAGE_USED)) != IMAGE_BAD)
            continue;
        if (!image_read(&v->image, i, v->page)) {
            *mark |= IMAGE_BAD;
            continue;
        }
        if (order != ORDER_BROKEN)
            *mark |= listed(v, i) ? IMAGE_USED : IMAGE_BAD;
        bool broken = (*mark & (IMAGE_BAD | IMAGE_USED)) == IMAGE_BAD;
        if (broken && order != ORDER_SOUND && (*mark & IMAGE_FREE) == 0)
            anywhere(v);
    }
}

/* What the log has besides the pages, the newest first. */
static void go_through_log(struct salvage *v)
{
    v->order = ORDER_BROKEN;
    v->mark = 0;
    for (uint32_t i = v->image.frames; i-- > 0 && v->err == 0;) {
        if (v->image.loose[i] == 0 || !image_frame(&v->image, i, v->page))
            continue;
        v->out->bad_frames += !v->former;
        if (!listed(v, 0))
            anywhere(v);
    }
}

static void go_through_all(struct salvage *v)
{
    go_through(v, ORDER_SOUND);
    go_through(v, ORDER_BROKEN);
    go_through_log(v);
    go_through(v, ORDER_STALE);
}

/* ---- the whole ---- */

static int put_also(struct salvage *v, const struct store_write *also, size_t n)
{
    int rc = v->err;
    for (size_t i = 0; i < SPACE_COUNT && rc == 0; i++)
        rc = store_count(v->sink.s, (enum store_space)i, (struct peal_bytes){0},
                         (struct peal_bytes){0}, &v->out->kept[i]);
    if (rc == 0)
        rc = store_submit(v->sink.s, also, n, NULL);
    return rc == 0 ? sink_sync(&v->sink) : rc;
}

static int salvage_into(struct salvage *v, const char *path, const struct store_write *also,
                        size_t n, char why[static STORE_TEXT_MAX])
{
    int rc = image_open(&v->image, path, why);
    if (rc != 0)
        return rc;
    go_through_all(v);
    v->former = true;
    if (v->formerly)
        go_through_all(v);
    for (uint32_t i = 1; i <= v->image.pages; i++)
        v->out->bad_pages +=
            (v->image.marks[i] & (IMAGE_BAD | IMAGE_USED | IMAGE_STALE)) == IMAGE_BAD;
    v->out->pages = v->image.pages;
    rc = put_also(v, also, n);
    if (rc != 0)
        (void)snprintf(why, STORE_TEXT_MAX, "%s", store_error_text(v->sink.s));
    return rc;
}

int store_salvage(const char *path, const struct store_write *also, size_t n,
                  struct store_salvaged *out, char why[static STORE_TEXT_MAX])
{
    char fresh[STORE_PATH_MAX];
    int lock = -1;
    *out = (struct store_salvaged){0};
    why[0] = '\0';
    struct salvage *v = sodium_init() >= 0 ? calloc(1, sizeof *v) : NULL;
    int rc = v != NULL ? 0 : PEAL_E_NO_MEMORY;
    if (rc == 0) {
        v->out = out;
        v->image.fd = v->image.log = -1;
        rc = file_lock(path, &lock, why);
    }
    if (rc == 0)
        rc = file_beside(path, SALVAGE_SUFFIX, fresh, why);
    if (rc == 0) {
        file_remove(path, SALVAGE_SUFFIX); /* what a crash has left */
        rc = sink_open(&v->sink, fresh, why);
        if (rc == 0)
            rc = salvage_into(v, path, also, n, why);
        int closed = sink_close(&v->sink);
        rc = rc == 0 ? closed : rc;
        if (rc == 0)
            rc = swap_in(path, SALVAGE_SUFFIX, out->aside, why);
        file_remove(path, SALVAGE_SUFFIX);
        (void)pthread_cond_destroy(&v->sink.cond);
        (void)pthread_mutex_destroy(&v->sink.mutex);
    }
    if (rc != 0 && why[0] == '\0')
        (void)snprintf(why, STORE_TEXT_MAX, "%s", err_prose(rc));
    if (v != NULL)
        image_close(&v->image);
    free(v);
    if (lock >= 0)
        (void)close(lock);
    return rc;
}
