/* peal-bench-repair: what repair between homes costs, in the simulator: virtual time, real
 * messages.
 *
 *   peal-bench-repair differ N D      two homes with N records, of which D are at one only
 *   peal-bench-repair quiet N         five servers with N records in all, nothing happening
 *   peal-bench-repair lost N [RATE]   one of five servers with N records in all comes back with an
 *                                     empty disk; RATE: bytes a second that each server sends
 *   peal-bench-repair away N D        one of five servers was away while D records came
 *
 * Prints one JSON object. Records are rows with bodies of BODY bytes. Not for: judging. */
#include "group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY = 500,
    COPIES = 3,
    FORM_US = 20 * 1000 * 1000,
    LOOK_US = 100 * 1000,
    SETTLE_US = 180 * 1000 * 1000,
};

#define HOUR_US ((uint64_t)3600 * 1000 * 1000)

static const uint64_t FAR = (uint64_t)1 << 50; /* milliseconds: nothing expires */

struct bench {
    struct group *r;
    struct rng g;
    size_t n; /* records */
    uint64_t next_us;
    uint64_t *want; /* rows that belong on each node's disk */
};

static struct bench begin(size_t nodes, size_t n, uint32_t rate)
{
    struct sim_config cfg = {.seed = 1,
                             .nodes = nodes,
                             .replicas = COPIES - 1,
                             .join_first = true,
                             .repair_bytes = rate};
    struct bench b = {.r = group_new(&cfg), .n = n};
    b.want = calloc(nodes, sizeof b.want[0]);
    CHECK(b.want != NULL);
    rng_init(&b.g, 2);
    group_start_all(b.r);
    CHECK(group_wait_whole(b.r, nodes, nodes, FORM_US));
    return b;
}

static void end(struct bench *b)
{
    group_free(b->r);
    free(b->want);
}

/* The place-th home: servers have the places of their ids, in ascending order. */
static size_t home_of(const struct bench *b, const struct peal_id *key, size_t place)
{
    size_t first = 0, nodes = b->r->cfg.nodes;
    while (first < nodes) {
        struct peal_id id = sim_id(b->r->sim, first);
        if (id_cmp(&id, key) >= 0)
            break;
        first++;
    }
    return (first + place) % nodes;
}

/* All nodes stop; n rows come onto their homes' disks, but not onto that of node `but`. */
static void fill(struct bench *b, size_t n, size_t but)
{
    static uint8_t body[BODY];
    size_t nodes = b->r->cfg.nodes, homes = nodes < COPIES ? nodes : COPIES;
    struct wire_row row = {.kind = WIRE_ROW_MESSAGE,
                           .from = peal_bytes_str("alice"),
                           .stamp = 1 << 16,
                           .expires = FAR,
                           .body = peal_bytes_of(body, BODY)};
    for (size_t i = 0; i < nodes; i++)
        if (sim_running(b->r->sim, i))
            sim_crash(b->r->sim, i);
    for (size_t i = 0; i < n; i++) {
        rng_fill(&b->g, row.box.b, ID_BYTES);
        rng_fill(&b->g, row.id.b, MSG_ID_BYTES);
        for (size_t k = 0; k < homes; k++) {
            size_t node = home_of(b, &row.box, k);
            b->want[node]++;
            if (node != but)
                group_disk_put(b->r, node, &row, 1);
        }
    }
}

static bool is_whole(void *arg)
{
    struct bench *b = arg;
    if (sim_now(b->r->sim) < b->next_us)
        return false;
    b->next_us = sim_now(b->r->sim) + LOOK_US;
    for (size_t i = 0; i < b->r->cfg.nodes; i++)
        if (group_disk_count(b->r, i, STORE_ROWS) < b->want[i])
            return false;
    return true;
}

static uint64_t heal(struct bench *b)
{
    uint64_t from = sim_now(b->r->sim);
    CHECK(sim_until(b->r->sim, is_whole, b, HOUR_US));
    return sim_now(b->r->sim) - from;
}

static void start(struct bench *b)
{
    memset(b->r->sent, 0, sizeof b->r->sent);
    group_start_all(b->r);
}

static void differ(size_t n, size_t d)
{
    struct bench b = begin(2, n, 0);
    fill(&b, n - d, SIZE_MAX);
    fill(&b, d - d / 2, 0);
    fill(&b, d / 2, 1);
    start(&b);
    uint64_t us = heal(&b);
    struct group_sent talk = group_sent(b.r, WIRE_n_arc_digest, WIRE_n_pull),
                      rows = group_sent(b.r, WIRE_n_records, WIRE_n_records);
    printf("{\"repair\":\"differ\",\"records\":%zu,\"differ\":%zu,\"messages\":%llu,"
           "\"talk_bytes\":%llu,\"record_bytes\":%llu,\"ms\":%llu}\n",
           n, d, (unsigned long long)talk.messages, (unsigned long long)talk.bytes,
           (unsigned long long)rows.bytes, (unsigned long long)us / 1000);
    end(&b);
}

static void quiet(size_t n)
{
    struct bench b = begin(5, n, 0);
    fill(&b, n, SIZE_MAX);
    start(&b);
    sim_run(b.r->sim, SETTLE_US);
    memset(b.r->sent, 0, sizeof b.r->sent);
    sim_run(b.r->sim, HOUR_US);
    struct group_sent s = group_sent(b.r, WIRE_n_arc_digest, WIRE_n_records);
    printf("{\"repair\":\"quiet\",\"servers\":5,\"records\":%zu,\"messages_per_server_hour\":%llu,"
           "\"bytes_per_server_hour\":%llu}\n",
           n, (unsigned long long)s.messages / 5, (unsigned long long)s.bytes / 5);
    end(&b);
}

static void came_back(const char *what, struct bench *b, size_t missing)
{
    uint64_t us = heal(b);
    struct group_sent talk = group_sent(b->r, WIRE_n_arc_digest, WIRE_n_pull),
                      rows = group_sent(b->r, WIRE_n_records, WIRE_n_records),
                      copied = group_sent(b->r, WIRE_n_copy, WIRE_n_copy_page);
    printf("{\"repair\":\"%s\",\"servers\":5,\"records\":%zu,\"missing\":%zu,"
           "\"missing_bytes\":%zu,\"copied_bytes\":%llu,\"record_bytes\":%llu,"
           "\"talk_bytes\":%llu,\"ms\":%llu}\n",
           what, b->n, missing, missing * (BODY + 96), (unsigned long long)copied.bytes,
           (unsigned long long)rows.bytes, (unsigned long long)talk.bytes,
           (unsigned long long)us / 1000);
}

static void lost(size_t n, uint32_t rate)
{
    struct bench b = begin(5, n, rate);
    fill(&b, n, 0);
    sim_wipe(b.r->sim, 0);
    start(&b);
    came_back("lost", &b, b.want[0]);
    end(&b);
}

static void away(size_t n, size_t d)
{
    struct bench b = begin(5, n, 0);
    fill(&b, n - d, SIZE_MAX);
    uint64_t before = b.want[0];
    group_start_all(b.r);
    CHECK(group_wait_whole(b.r, 5, 5, FORM_US));
    fill(&b, d, 0);
    start(&b);
    came_back("away", &b, b.want[0] - before);
    end(&b);
}

int main(int argc, char **argv)
{
    size_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    size_t d = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    const char *what = argc > 2 ? argv[1] : "";
    if (strcmp(what, "differ") == 0 && d <= n) {
        differ(n, d);
    } else if (strcmp(what, "quiet") == 0) {
        quiet(n);
    } else if (strcmp(what, "lost") == 0 && d <= CHORD_REPAIR_BYTES_MAX) {
        lost(n, (uint32_t)d);
    } else if (strcmp(what, "away") == 0 && d <= n) {
        away(n, d);
    } else {
        fprintf(stderr,
                "usage: peal-bench-repair differ N D | quiet N | lost N [RATE] | away N D\n");
        return 2;
    }
    return 0;
}
