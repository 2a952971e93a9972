#include "disk.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

enum { DISK_WHY_MAX = 512, SCRATCH_BYTES = 256 * 1024 };

static const char ROSTER_KEY[] = "roster", FRESH_KEY[] = "fresh";

/* ---- marks ---- */

static struct store_write meta(enum store_op op, const char *key, const char *value)
{
    return (struct store_write){
        .space = STORE_META, .op = op, .key = peal_bytes_str(key), .value = peal_bytes_str(value)};
}

void disk_distrust(const char *why, struct store_write out[static DISK_ALSO_MAX], size_t *n)
{
    *n = 0;
    out[(*n)++] = meta(STORE_PUT, DISK_DISTRUST_KEY, why);
    /* “It was never ready, so it has voted on nothing”: nobody can vouch for that now. */
    out[(*n)++] = meta(STORE_DEL, FRESH_KEY, "");
}

void disk_trust(struct store_write out[static DISK_ALSO_MAX], size_t *n)
{
    *n = 0;
    out[(*n)++] = meta(STORE_DEL, DISK_DISTRUST_KEY, "");
}

/* ---- opening ---- */

static bool look_on(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    (void)arg;
    (void)key;
    (void)value;
    return true;
}

static size_t members_of(uint16_t type, const union wire_any *m)
{
    if (type == WIRE_s_roster)
        return m->s_roster.decided.members.n;
    if (type == WIRE_s_roster_1)
        return m->s_roster_1.decided.members.n;
    return type == WIRE_s_roster_0 ? m->s_roster_0.decided.members.n : 0;
}

/* Whether what the server knows of itself can be read, the roster above all: who does not know it
 * does not know what it has promised. *members: how many servers it names, 0: it is not known. */
static int check_memory(struct store *s, size_t *members, char why[static DISK_WHY_MAX])
{
    static uint8_t mem[SCRATCH_BYTES];
    struct arena a;
    struct peal_bytes v;
    union wire_any m;
    uint16_t type = 0;
    *members = 0;
    arena_init(&a, mem, sizeof mem);
    int err = store_scan(s, STORE_META, (struct peal_bytes){0}, (struct peal_bytes){0}, SIZE_MAX,
                         look_on, NULL);
    if (err == 0)
        err = store_get(s, STORE_META, peal_bytes_str(ROSTER_KEY), &a, &v);
    if (err == PEAL_E_NOT_FOUND)
        return 0;
    if (err == 0) {
        err = wire_decode(v.p, v.n, &type, &m, sizeof m, &a);
        *members = err == 0 ? members_of(type, &m) : 0;
        (void)snprintf(why, DISK_WHY_MAX, "the roster cannot be read: %s", err_prose(err));
        return err == 0 ? 0 : PEAL_E_CORRUPT;
    }
    (void)snprintf(why, DISK_WHY_MAX, "%s", store_error_text(s));
    return err;
}

/* A server that is its whole ring has promised nothing to anybody else, and nobody else could give
 * it anything anew. */
static void trust_alone(struct store *s)
{
    struct store_write trust[DISK_ALSO_MAX];
    struct arena a;
    struct peal_bytes v;
    size_t n;
    arena_init(&a, NULL, 0);
    if (store_get(s, STORE_META, peal_bytes_str(DISK_DISTRUST_KEY), &a, &v) == PEAL_E_NOT_FOUND)
        return;
    log_line(
        STEP_WARN, "store",
        "this server is its whole ring: what its database has lost is lost, and it goes on with "
        "the rest");
    disk_trust(trust, &n);
    if (store_submit(s, trust, n, NULL) != 0)
        log_line(STEP_WARN, "store", "%s", store_error_text(s));
}

static int open_once(struct host *h, const struct store_config *sc, char why[static DISK_WHY_MAX])
{
    size_t members = 0;
    int err = store_open_sqlite(h->cfg.db_path, sc, why, &h->store);
    if (err == 0)
        err = check_memory(h->store, &members, why);
    if (err == 0 && members == 1)
        trust_alone(h->store);
    if (err != PEAL_E_CORRUPT || h->store == NULL)
        return err;
    int closed = store_close(h->store);
    h->store = NULL;
    return closed != 0 && closed != PEAL_E_CORRUPT ? closed : err;
}

static void say_salvaged(const struct host *h, const struct store_salvaged *s, const char *damage)
{
    log_line(STEP_WARN, "store", "%s is damaged (%s)", h->cfg.db_path, damage);
    log_line(
        STEP_WARN, "store",
        "saved from it: %llu registers (accounts), %llu rows (messages, receipts), %llu notes of "
        "this server; lost: %llu records that are not as they were written, and what else stood "
        "on %llu of %llu pages and %llu frames of the log",
        (unsigned long long)s->kept[STORE_REGISTERS], (unsigned long long)s->kept[STORE_ROWS],
        (unsigned long long)s->kept[STORE_META], (unsigned long long)s->lost,
        (unsigned long long)s->bad_pages, (unsigned long long)s->pages,
        (unsigned long long)s->bad_frames);
    log_line(
        STEP_WARN, "store",
        "the damaged file is kept as %s; delete it when you need the room; this server fetches "
        "what it has lost from the others, and has no say before it has it",
        s->aside);
}

static int mend(struct host *h, const char *damage, char why[static HOST_WHY_MAX])
{
    struct store_write also[DISK_ALSO_MAX];
    struct store_salvaged out;
    char reason[STORE_TEXT_MAX], mark[DISK_WHY_MAX + 32];
    size_t n;
    (void)snprintf(mark, sizeof mark, "salvaged: %s", damage);
    disk_distrust(mark, also, &n);
    if (strncmp(damage, "the roster", 10) == 0)
        also[n++] = meta(STORE_DEL, ROSTER_KEY, "");
    int err = store_salvage(h->cfg.db_path, also, n, &out, reason);
    if (err == 0)
        say_salvaged(h, &out, damage);
    else
        (void)snprintf(
            why, HOST_WHY_MAX, "--data: %.300s is damaged (%.200s), and cannot be mended: %s%s",
            h->cfg.db_path, damage, reason,
            err == PEAL_E_NO_SPACE ? "; salvaging needs as much room again as the file takes" : "");
    return err;
}

int disk_open(struct host *h, char why[static HOST_WHY_MAX])
{
    char reason[DISK_WHY_MAX] = "";
    struct store_config sc = store_config_default();
    sc.wake = h->store_wake;
    sc.wake_arg = h;
    sc.quota_bytes = h->cfg.quota_bytes;
    int err = open_once(h, &sc, reason);
    if (err == PEAL_E_CORRUPT) {
        err = mend(h, reason, why);
        if (err != 0)
            return err;
        err = open_once(h, &sc, reason);
    }
    if (err != 0) {
        (void)snprintf(why, HOST_WHY_MAX, "--data: %s", reason);
        return err;
    }
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, h->arc, sizeof h->arc);
    h->arc_n =
        store_get(h->store, STORE_META, peal_bytes_str(STORE_ARC_KEY), &a, &v) == 0 ? v.n : 0;
    return 0;
}

/* ---- while it runs ---- */

void disk_read_failed(struct host *h, int err)
{
    if (h->read_err == 0)
        (void)snprintf(h->read_text, sizeof h->read_text, "%s", store_error_text(h->store));
    /* A page that is damaged stays so until the next start. */
    if (h->read_err != PEAL_E_CORRUPT)
        h->read_err = err;
}

int disk_health(struct host *h, bool *news)
{
    int err = store_health(h->store);
    const char *text = store_error_text(h->store);
    if (err == 0 && h->read_err != 0) {
        err = h->read_err;
        text = h->read_text;
    }
    *news = err != h->store_err;
    if (!*news)
        return err;
    h->store_err = err;
    if (err == 0)
        log_line(STEP_INFO, "store", "well again");
    else if (err == PEAL_E_CORRUPT)
        log_line(STEP_WARN, "store",
                 "%s; this server steps back; start it again, and it will salvage what it can",
                 text);
    else
        log_line(STEP_WARN, "store", "%s; this server steps back until it is well again", text);
    return err;
}

static void try_reading(struct host *h)
{
    uint8_t mem[STORE_KEY_MAX];
    struct arena a;
    struct peal_bytes v;
    arena_init(&a, mem, sizeof mem);
    int err = store_get(h->store, STORE_META, peal_bytes_str(ROSTER_KEY), &a, &v);
    if (err == 0 || err == PEAL_E_NOT_FOUND || err == PEAL_E_FULL)
        h->read_err = 0;
}

/* An arc is written when it was the same twice: links that come and go for a moment, as at every
 * start, write nothing. */
static void keep_arc(struct host *h)
{
    struct peal_id after, upto;
    uint8_t arc[2 * ID_BYTES];
    if (!chord_arc(svc_chord(h->svc), &after, &upto))
        return;
    memcpy(arc, after.b, ID_BYTES);
    memcpy(arc + ID_BYTES, upto.b, ID_BYTES);
    bool again = memcmp(arc, h->arc_seen, sizeof arc) == 0;
    memcpy(h->arc_seen, arc, sizeof arc);
    if (!again || (h->arc_n == sizeof arc && memcmp(arc, h->arc, sizeof arc) == 0))
        return;
    struct store_write w = {.space = STORE_META,
                            .op = STORE_PUT,
                            .key = peal_bytes_str(STORE_ARC_KEY),
                            .value = peal_bytes_of(arc, sizeof arc),
                            .lazy = true};
    if (store_submit(h->store, &w, 1, NULL) != 0)
        return; /* the disk is full, say: the next time */
    memcpy(h->arc, arc, sizeof arc);
    h->arc_n = sizeof arc;
}

void disk_tick(struct host *h)
{
    uint64_t now = net_now_us();
    if (now - h->disk_us < DISK_CHECK_US)
        return;
    h->disk_us = now;
    if (h->read_err == PEAL_E_IO)
        try_reading(h);
    keep_arc(h);
}
