/* The loop's thread and the writer's at full speed, with reads, cancelled puts and a disk that
 * fills up and heals: a plain program, since ThreadSanitizer has to see it. Its exit status is the
 * verdict. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peal/store.h"

enum { ROUNDS = 6, PER_ROUND = 3000, VALUE = 200 };

struct host {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned wakes;
};

static void woken(void *arg)
{
    struct host *h = arg;
    pthread_mutex_lock(&h->mutex);
    h->wakes++;
    pthread_cond_signal(&h->cond);
    pthread_mutex_unlock(&h->mutex);
}

static unsigned wakes(struct host *h)
{
    pthread_mutex_lock(&h->mutex);
    unsigned n = h->wakes;
    pthread_mutex_unlock(&h->mutex);
    return n;
}

static void wait_wake(struct host *h, unsigned seen)
{
    pthread_mutex_lock(&h->mutex);
    while (h->wakes == seen)
        pthread_cond_wait(&h->cond, &h->mutex);
    pthread_mutex_unlock(&h->mutex);
}

static void wait_durable(struct store *s, struct host *h, uint64_t ticket)
{
    for (;;) {
        unsigned seen = wakes(h);
        if (store_durable(s) >= ticket)
            return;
        wait_wake(h, seen);
    }
}

static void wait_health(struct store *s, struct host *h, int health)
{
    for (;;) {
        unsigned seen = wakes(h);
        if (store_health(s) == health)
            return;
        wait_wake(h, seen);
    }
}

static bool tally(void *arg, struct peal_bytes key, struct peal_bytes value)
{
    CHECK(key.n > 0 && value.n == VALUE);
    ++*(unsigned *)arg;
    return true;
}

/* Every third put is deleted again while it may be waiting, in flight or written. */
static void one_round(struct store *s, unsigned round, unsigned *rows)
{
    static uint8_t value[VALUE];
    uint8_t room[VALUE + 64];
    for (unsigned i = 0; i < PER_ROUND; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%u/%u", round, i);
        struct store_write w = {.space = STORE_ROWS,
                                .op = STORE_PUT_IF_ABSENT,
                                .key = peal_bytes_str(key),
                                .value = peal_bytes_of(value, sizeof value),
                                .lazy = i % 50 != 0,
                                .fresh = true};
        CHECK(store_submit(s, &w, 1, NULL) == 0);
        struct arena a;
        struct peal_bytes v;
        arena_init(&a, room, sizeof room);
        CHECK(store_get(s, STORE_ROWS, w.key, &a, &v) == 0 && v.n == VALUE);
        ++*rows;
        if (i % 3 != 0)
            continue;
        w.op = STORE_DEL;
        CHECK(store_submit(s, &w, 1, NULL) == 0);
        arena_reset(&a);
        CHECK(store_get(s, STORE_ROWS, w.key, &a, &v) == PEAL_E_NOT_FOUND);
        --*rows;
    }
    unsigned seen = 0;
    struct peal_bytes all = {0};
    CHECK(store_scan(s, STORE_ROWS, all, all, SIZE_MAX, tally, &seen) == 0);
    CHECK(seen == *rows);
}

/* The file may not grow for a while. */
static void fill_and_heal(struct store *s, struct host *h)
{
    static uint8_t big[100000];
    struct store_write w = {
        .space = STORE_META, .key = peal_bytes_str("big"), .value = peal_bytes_of(big, sizeof big)};
    struct store_write del = {.space = STORE_META, .op = STORE_DEL, .key = w.key};
    uint64_t ticket;
    CHECK(store_submit(s, NULL, 0, &ticket) == 0);
    store_flush(s);
    wait_durable(s, h, ticket);
    store_set_quota(s, 1);
    CHECK(store_submit(s, &w, 1, &ticket) == 0);
    wait_health(s, h, PEAL_E_NO_SPACE);
    CHECK(store_submit(s, &w, 1, NULL) == PEAL_E_NO_SPACE && store_durable(s) < ticket);
    store_set_quota(s, 0);
    wait_health(s, h, 0);
    wait_durable(s, h, ticket);
    CHECK(store_submit(s, &del, 1, &ticket) == 0);
    wait_durable(s, h, ticket);
}

int main(void)
{
    char folder[] = "/tmp/peal-store-threads-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char path[64], lock[80], why[STORE_TEXT_MAX];
    (void)snprintf(path, sizeof path, "%s/data.db", folder);
    (void)snprintf(lock, sizeof lock, "%s.lock", path);
    struct host h = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct store_config config = store_config_default();
    config.lazy_us = 1000;
    config.retry_ms = 1;
    config.recent_max = 1000;
    config.wake = woken;
    config.wake_arg = &h;
    struct store *s;
    unsigned rows = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int rc = store_open_sqlite(path, &config, why, &s);
        if (rc != 0) {
            fprintf(stderr, "%s\n", why);
            return 1;
        }
        one_round(s, round, &rows);
        fill_and_heal(s, &h);
        CHECK(store_close(s) == 0);
    }
    struct store_stats f;
    uint64_t count;
    struct peal_bytes all = {0};
    CHECK(store_open_sqlite(path, &config, why, &s) == 0);
    CHECK(store_count(s, STORE_ROWS, all, all, &count) == 0 && count == rows);
    store_stats(s, &f);
    CHECK(f.submits == 0 && store_close(s) == 0);
    CHECK(unlink(path) == 0 && unlink(lock) == 0 && rmdir(folder) == 0);
    printf("%u rows survived %d rounds\n", rows, ROUNDS);
    return 0;
}
