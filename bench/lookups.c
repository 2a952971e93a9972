/* lookups: how long a name's owner takes to be found, asked of many servers of one ring in turn, one
 * lookup at a time.
 *
 *   peal-bench lookups --server HOST:PORT [--server …]... [--seconds 10]
 *
 * Links and registers at each server, prints {"ready":N}, waits for a line on standard input -
 * whoever runs it may meanwhile kill servers - and then asks those that are left. Each answer is
 * checked: the owner is the first server that is still linked at or after the name's key. Prints one
 * JSON object. */
#include "bench.h"

#include "peal/crypto.h"
#include "peal/net.h"
#include "peal/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SERVERS_MAX = 128, SAMPLES_MAX = 1 << 20, FIRST_US = 1000000 };

struct server {
    struct lookups *l;
    struct net_place place;
    struct net_link *link; /* NULL: gone */
    struct peal_id id;
    bool ready;
};

struct lookups {
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_timer *timer;
    struct server servers[SERVERS_MAX];
    size_t n, up, at;
    bool asking;
    uint64_t start_us, end_us, sent_us, req;
    struct peal_id key;
    struct server *asked;
    uint32_t *samples; /* microseconds */
    size_t samples_n, wrong, refused, hops;
    size_t lost; /* asked of a server whose end had not been noticed yet */
    uint32_t worst_first; /* in the first second */
    struct arena arena;
    void *arena_mem;
    uint8_t *out;
};

_Noreturn static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "peal-bench: %s: %s\n", what, why);
    exit(1);
}

static void say(struct server *s, uint16_t type, const void *msg)
{
    struct wr w;
    wr_init(&w, s->l->out, NET_FRAME_MAX);
    if (wire_encode(type, msg, &w) != 0 || net_link_send(s->link, peal_bytes_of(w.p, w.n)) != 0)
        die("sending", wire_type_name(type));
}

/* ---- asking ---- */

static void ask(struct lookups *l)
{
    char name[32];
    uint64_t now = net_now_us();
    if (now >= l->end_us || l->up == 0 || l->samples_n == SAMPLES_MAX) {
        l->asking = false;
        net_loop_stop(l->loop);
        return;
    }
    do
        l->at = (l->at + 1) % l->n;
    while (l->servers[l->at].link == NULL);
    l->asked = &l->servers[l->at];
    int n = snprintf(name, sizeof name, "name%llu", (unsigned long long)++l->req);
    struct wire_c_lookup m = {.req = l->req, .name = peal_bytes_of(name, (size_t)n)};
    l->key = cry_account_key(m.name);
    l->sent_us = now;
    say(l->asked, WIRE_c_lookup, &m);
}

static bool owner_right(const struct lookups *l, const struct peal_id *owner)
{
    const struct peal_id *best = NULL;
    for (size_t i = 0; i < l->n; i++) {
        const struct peal_id *id = &l->servers[i].id;
        if (l->servers[i].link == NULL)
            continue;
        if (best == NULL || id_eq(id, &l->key) ||
            (!id_eq(best, &l->key) && id_between(&l->key, id, best)))
            best = id;
    }
    return best != NULL && id_eq(best, owner);
}

static void answered(struct lookups *l, const struct wire_c_path *m)
{
    uint64_t now = net_now_us();
    if (!l->asking || m->req != l->req)
        return;
    uint32_t took = (uint32_t)(now - l->sent_us);
    l->samples[l->samples_n++] = took;
    l->hops += m->path.n - 1;
    l->wrong += !owner_right(l, &m->owner);
    if (now - l->start_us < FIRST_US && took > l->worst_first)
        l->worst_first = took;
    ask(l);
}

/* ---- links ---- */

static void on_up(struct net_link *link)
{
    struct server *s = net_link_user(link);
    struct wire_c_hello hello = {.version = WIRE_VERSION, .agent = peal_bytes_str("peal-bench")};
    uint8_t zero[32] = {0}, random[8];
    char name[32];
    cry_random(random, sizeof random);
    memcpy(name, "l-", 2);
    peal_hex(random, sizeof random, name + 2);
    struct wire_c_register r = {.req = 1,
                                .name = peal_bytes_str(name),
                                .display = peal_bytes_str(name),
                                .salt = peal_bytes_of(zero, 16),
                                .ops = CRY_KDF_OPS_DEFAULT,
                                .mem_kib = CRY_KDF_MEM_DEFAULT >> 10,
                                .auth = peal_bytes_of(zero, 32),
                                .bundle = peal_bytes_of(zero, 32),
                                .wrapped = peal_bytes_of(zero, 32)};
    cry_random(r.req_id.b, sizeof r.req_id.b);
    say(s, WIRE_c_hello, &hello);
    say(s, WIRE_c_register, &r);
}

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    struct server *s = net_link_user(link);
    struct lookups *l = s->l;
    union wire_any m;
    uint16_t type = 0;
    arena_reset(&l->arena);
    int err = wire_decode(payload.p, payload.n, &type, &m, sizeof m, &l->arena);
    if (err != 0)
        die("a message of the server does not decode", err_prose(err));
    if (type == WIRE_c_welcome) {
        s->id = m.c_welcome.server;
    } else if (type == WIRE_c_session && !s->ready) {
        s->ready = true;
        if (++l->up == l->n)
            net_loop_stop(l->loop);
    } else if (type == WIRE_c_path) {
        answered(l, &m.c_path);
    } else if (type == WIRE_c_error && !s->ready) {
        die("refused", (const char *)m.c_error.message.p);
    } else if (type == WIRE_c_error && l->asking && m.c_error.req == l->req) {
        l->refused++;
        ask(l);
    }
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    struct server *s = net_link_user(link);
    struct lookups *l = s->l;
    s->link = NULL;
    if (!s->ready)
        die(err_name(err), reason);
    l->up--;
    if (l->asking && l->asked == s) {
        l->lost++;
        ask(l);
    }
}

static const struct net_events events = {.up = on_up, .frame = on_frame, .down = on_down};

static void on_time(void *user)
{
    struct lookups *l = user;
    net_loop_stop(l->loop);
}

/* ---- the whole ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double at(const struct lookups *l, double share)
{
    if (l->samples_n == 0)
        return 0;
    size_t i = (size_t)(share * (double)(l->samples_n - 1));
    return (double)l->samples[i] / 1000.0;
}

static void setup(struct lookups *l, const char *const servers[], size_t n)
{
    char why[NET_REASON_MAX];
    struct net_loop_config lc = {.links_max = SERVERS_MAX + 16};
    l->n = n;
    l->samples = calloc(SAMPLES_MAX, sizeof *l->samples);
    l->arena_mem = malloc(WIRE_ARENA_MAX);
    l->out = malloc(NET_FRAME_MAX);
    if (l->samples == NULL || l->arena_mem == NULL || l->out == NULL ||
        net_loop_new(&lc, &l->loop) != 0 || net_tls_client_new(NULL, &l->tls) != 0 ||
        net_timer_new(l->loop, on_time, l, &l->timer) != 0)
        die("setting up", "no memory");
    arena_init(&l->arena, l->arena_mem, WIRE_ARENA_MAX);
    for (size_t i = 0; i < n; i++) {
        struct server *s = &l->servers[i];
        s->l = l;
        if (net_place_parse(servers[i], 0, &s->place, why) != 0)
            die(servers[i], why);
        struct net_dial_opts o = {
            .place = s->place, .tls = l->tls, .alpn = NET_ALPN_BIN, .events = &events, .user = s};
        int err = net_dial(l->loop, &o, &s->link);
        if (err != 0)
            die("dialling", err_prose(err));
    }
    net_loop_run(l->loop);
}

void bench_lookups(const char *const servers[], size_t n, uint64_t seconds)
{
    static struct lookups l;
    char line[16];
    if (n == 0 || n > SERVERS_MAX)
        die("--server", "1 to 128 of them are required");
    setup(&l, servers, n);
    printf("{\"ready\":%zu}\n", l.up);
    (void)fflush(stdout);
    ssize_t got = read(STDIN_FILENO, line, sizeof line);
    (void)got;
    l.asking = true;
    l.start_us = net_now_us();
    l.end_us = l.start_us + seconds * 1000000;
    net_timer_at(l.timer, l.end_us + FIRST_US); /* should the last one stay without an answer */
    ask(&l);
    net_loop_run(l.loop);
    qsort(l.samples, l.samples_n, sizeof *l.samples, by_value);
    printf("{\"bench\":\"lookups\",\"servers\":%zu,\"left\":%zu,\"lookups\":%zu,\"wrong\":%zu,"
           "\"refused\":%zu,\"asked_the_dead\":%zu,\"unanswered\":%d,\"hops\":%.3f,\"ms_p50\":%.3f,\"ms_p99\":%.3f,"
           "\"ms_worst\":%.3f,\"ms_worst_first_second\":%.3f}\n",
           l.n, l.up, l.samples_n, l.wrong, l.refused, l.lost, l.asking,
           l.samples_n == 0 ? 0 : (double)l.hops / (double)l.samples_n, at(&l, 0.5), at(&l, 0.99),
           at(&l, 1), (double)l.worst_first / 1000.0);
}
