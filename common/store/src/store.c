/* The public functions: they check the form of what they are given and go through the back end's
 * table. */
#include "ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const space_names[] = {
#define X(name, table) table,
    STORE_SPACES(X)
#undef X
};

const char *store_space_name(enum store_space space)
{
    CHECK((size_t)space < PEAL_COUNT(space_names));
    return space_names[space];
}

struct store_config store_config_default(void)
{
    return (struct store_config){
        .lazy_us = STORE_LAZY_US,
        .pending_max = STORE_PENDING_MAX,
        .flush_bytes = STORE_FLUSH_BYTES,
        .retry_ms = STORE_RETRY_MS,
        .recent_max = STORE_RECENT_MAX,
    };
}

/* ---- common to the back ends ---- */

void store_init(struct store *s, const struct store_ops *ops, const struct store_config *config,
                bool keep_older)
{
    CHECK(config->retry_ms > 0);
    memset(s, 0, sizeof *s);
    s->ops = ops;
    s->config = *config;
    s->dice = 0x9e3779b97f4a7c15U;
    queue_init(&s->now, keep_older);
    queue_init(&s->flight, keep_older);
    atomic_init(&s->durable, 0);
    atomic_init(&s->health, 0);
}

void store_fini(struct store *s)
{
    queue_free(&s->now);
    queue_free(&s->flight);
}

int store_take(struct store *s, struct unit *u)
{
    if (u->bytes > s->config.pending_max) {
        store_say(s, "a unit of %zu bytes; %zu may wait", u->bytes, s->config.pending_max);
        return PEAL_E_TOO_LONG;
    }
    if (s->now.bytes + s->flight.bytes + u->bytes > s->config.pending_max) {
        store_say(s, "%zu bytes are waiting to be written", s->now.bytes + s->flight.bytes);
        return PEAL_E_BUSY;
    }
    u->ticket = ++s->last;
    s->stats.submits++;
    queue_take(&s->now, u, &s->stats);
    return 0;
}

bool store_advance(struct store *s)
{
    const struct entry *oldest = s->flight.first != NULL ? s->flight.first : s->now.first;
    uint64_t durable = oldest != NULL ? oldest->ticket - 1 : s->last;
    uint64_t before = atomic_load_explicit(&s->durable, memory_order_relaxed);
    CHECK(durable >= before);
    atomic_store_explicit(&s->durable, durable, memory_order_release);
    return durable != before;
}

void store_say(struct store *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
}

int store_say_corrupt(struct store *s, enum store_space space, struct peal_bytes key)
{
    CHECK(key.n <= STORE_KEY_MAX);
    memmove(s->corrupt_key, key.p, key.n);
    s->corrupt_size = key.n;
    char hex[2 * STORE_KEY_MAX + 1];
    peal_hex(s->corrupt_key, key.n, hex);
    store_say(s, "the row %s of %s does not match its checksum", hex, store_space_name(space));
    return PEAL_E_CORRUPT;
}

int store_copy_out(struct store *s, struct arena *a, struct peal_bytes v, struct peal_bytes *out)
{
    *out = arena_copy(a, v);
    if (out->p != NULL)
        return 0;
    store_say(s, "the value has %zu bytes, more than the room for it", v.n);
    return PEAL_E_FULL;
}

/* ---- form ---- */

static int check_space(struct store *s, enum store_space space)
{
    if ((size_t)space < SPACE_COUNT)
        return 0;
    store_say(s, "%d names no space", (int)space);
    return PEAL_E_USAGE;
}

static int check_key(struct store *s, enum store_space space, struct peal_bytes key)
{
    int rc = check_space(s, space);
    if (rc != 0)
        return rc;
    if (key.n == 0) {
        store_say(s, "an empty key");
        return PEAL_E_USAGE;
    }
    if (key.n > STORE_KEY_MAX) {
        store_say(s, "a key of %zu bytes; %d are allowed", key.n, STORE_KEY_MAX);
        return PEAL_E_TOO_LONG;
    }
    return 0;
}

static int check_write(struct store *s, const struct store_write *w)
{
    int rc = check_key(s, w->space, w->key);
    if (rc != 0)
        return rc;
    switch (w->op) {
    case STORE_DEL:
        return 0;
    case STORE_PUT:
    case STORE_PUT_IF_ABSENT:
        if (w->value.n <= STORE_VALUE_MAX)
            return 0;
        store_say(s, "a value of %zu bytes; %d are allowed", w->value.n, STORE_VALUE_MAX);
        return PEAL_E_TOO_LONG;
    }
    store_say(s, "%d names no operation", (int)w->op);
    return PEAL_E_USAGE;
}

/* ---- the public functions ---- */

int store_close(struct store *s)
{
    if (s == NULL)
        return 0;
    CHECK(!s->inside);
    return s->ops->close(s);
}

int store_submit(struct store *s, const struct store_write *w, size_t n, uint64_t *ticket)
{
    CHECK(!s->inside);
    if (n > STORE_UNIT_MAX) {
        store_say(s, "%zu writes in one unit; %d are allowed", n, STORE_UNIT_MAX);
        return PEAL_E_USAGE;
    }
    for (size_t i = 0; i < n; i++) {
        int rc = check_write(s, &w[i]);
        if (rc != 0)
            return rc;
    }
    int rc = store_health(s);
    if (rc != 0)
        return rc;
    struct unit u;
    rc = unit_make(&s->dice, w, n, &u);
    if (rc != 0) {
        store_say(s, "no memory for a write");
        return rc;
    }
    rc = s->ops->submit(s, &u);
    if (rc != 0)
        unit_free(&u);
    else if (ticket != NULL)
        *ticket = u.ticket;
    return rc;
}

uint64_t store_durable(struct store *s)
{
    return atomic_load_explicit(&s->durable, memory_order_acquire);
}

void store_flush(struct store *s)
{
    CHECK(!s->inside);
    s->ops->flush(s);
}

int store_health(struct store *s)
{
    int health = atomic_load_explicit(&s->health, memory_order_acquire);
    if (health != 0)
        s->ops->health_text(s, s->text);
    return health;
}

const char *store_error_text(const struct store *s)
{
    return s->text;
}

void store_set_quota(struct store *s, uint64_t bytes)
{
    s->ops->set_quota(s, bytes);
}

int store_get(struct store *s, enum store_space space, struct peal_bytes key, struct arena *a,
              struct peal_bytes *value)
{
    CHECK(!s->inside);
    *value = (struct peal_bytes){0};
    int rc = check_key(s, space, key);
    if (rc == 0)
        rc = s->ops->get(s, space, key, a, value);
    if (rc == PEAL_E_NOT_FOUND)
        store_say(s, "%s", err_prose(rc));
    return rc;
}

static int scan(struct store *s, struct scan *scan)
{
    CHECK(!s->inside);
    int rc = check_space(s, scan->space);
    if (rc != 0)
        return rc;
    s->inside = true;
    rc = s->ops->scan(s, scan);
    s->inside = false;
    if (rc == PEAL_E_CORRUPT && scan->corrupt_size > 0)
        rc =
            store_say_corrupt(s, scan->space, peal_bytes_of(scan->corrupt_key, scan->corrupt_size));
    return rc;
}

int store_scan(struct store *s, enum store_space space, struct peal_bytes from,
               struct peal_bytes to, size_t limit, store_each *each, void *arg)
{
    struct scan sc = {
        .space = space, .from = from, .to = to, .limit = limit, .each = each, .arg = arg};
    CHECK(each != NULL);
    return scan(s, &sc);
}

int store_count(struct store *s, enum store_space space, struct peal_bytes from,
                struct peal_bytes to, uint64_t *count)
{
    struct scan sc = {.space = space, .from = from, .to = to, .limit = SIZE_MAX};
    int rc = scan(s, &sc);
    *count = rc == 0 ? sc.count : 0;
    return rc;
}

struct peal_bytes store_corrupt_key(const struct store *s)
{
    return peal_bytes_of(s->corrupt_key, s->corrupt_size);
}

void store_stats(struct store *s, struct store_stats *out)
{
    s->ops->stats(s, out);
}
