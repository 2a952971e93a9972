/* registers: how many operations on accounts' records a ring does in a second, all of them
 * linearizable.
 *
 *   peal-bench registers --server HOST:PORT [--server …]... [--clients 50] [--flight 4] [--seconds
 * 10]
 *
 * So many people register, spread over the servers. Then for so many seconds each keeps `flight`
 * questions for somebody's record under way (c_find: a read of the register, and where the person
 * is); and then, for as long, each changes the settings of the own account, one change after the
 * other (c_settings: a compare-and-swap of the register, on the disks of a majority before it is
 * answered). Prints one JSON object. */
#include "bench.h"

#include "peal/crypto.h"
#include "peal/net.h"
#include "peal/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE_MAX = 2000, NAME_SIZE = 32 };

enum phase { REGISTERING, FINDING, CHANGING };

struct registers;

struct person {
    struct registers *r;
    struct net_link *link;
    uint64_t began_us;
};

struct registers {
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_timer *timer;
    struct person *people;
    size_t n, registered;
    uint64_t flight, phase_us, next, req;
    enum phase phase;
    uint64_t finds, changes, slowest_us;
    uint8_t run[4];
    struct arena arena;
    void *arena_mem;
    uint8_t *out;
};

_Noreturn static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "peal-bench: %s: %s\n", what, why);
    exit(1);
}

static void say(struct person *p, uint16_t type, const void *msg)
{
    struct wr w;
    wr_init(&w, p->r->out, NET_FRAME_MAX);
    if (wire_encode(type, msg, &w) != 0 || net_link_send(p->link, peal_bytes_of(w.p, w.n)) != 0)
        die("sending", wire_type_name(type));
}

static struct peal_bytes name_of(const struct registers *r, size_t index,
                                 char out[static NAME_SIZE])
{
    char run[2 * sizeof r->run + 1];
    peal_hex(r->run, sizeof r->run, run);
    int n = snprintf(out, NAME_SIZE, "r%s-%zu", run, index);
    return peal_bytes_of(out, (size_t)n);
}

static struct peal_bytes own_name(const struct person *p, char out[static NAME_SIZE])
{
    return name_of(p->r, (size_t)(p - p->r->people), out);
}

/* ---- what each does ---- */

static const uint8_t zero[32];

static void enrol(struct person *p)
{
    char name[NAME_SIZE];
    struct wire_c_hello hello = {.version = WIRE_VERSION, .agent = peal_bytes_str("peal-bench")};
    struct wire_c_register m = {.req = ++p->r->req,
                                .name = own_name(p, name),
                                .display = own_name(p, name),
                                .salt = peal_bytes_of(zero, 16),
                                .ops = CRY_KDF_OPS_DEFAULT,
                                .mem_kib = CRY_KDF_MEM_DEFAULT >> 10,
                                .auth = peal_bytes_of(zero, 32),
                                .bundle = peal_bytes_of(zero, 32),
                                .wrapped = peal_bytes_of(zero, 32)};
    cry_random(m.req_id.b, sizeof m.req_id.b);
    say(p, WIRE_c_hello, &hello);
    say(p, WIRE_c_register, &m);
}

static void find(struct person *p)
{
    char name[NAME_SIZE];
    struct registers *r = p->r;
    struct wire_c_find m = {.req = ++r->req, .name = name_of(r, r->next++ % r->n, name)};
    say(p, WIRE_c_find, &m);
}

static void change(struct person *p)
{
    char name[NAME_SIZE];
    struct wire_c_settings m = {.req = ++p->r->req,
                                .display = own_name(p, name),
                                .receipts = true,
                                .unread = (uint16_t)p->r->req};
    p->began_us = net_now_us();
    say(p, WIRE_c_settings, &m);
}

static void changed(struct person *p)
{
    struct registers *r = p->r;
    uint64_t took = net_now_us() - p->began_us;
    if (took > r->slowest_us)
        r->slowest_us = took;
    r->changes++;
}

static void on_time(void *user)
{
    struct registers *r = user;
    net_loop_stop(r->loop);
}

/* ---- links ---- */

static void on_up(struct net_link *link)
{
    enrol(net_link_user(link));
}

static void on_message(struct person *p, uint16_t type, const union wire_any *m)
{
    struct registers *r = p->r;
    if (type == WIRE_c_error) {
        die("refused", (const char *)m->c_error.message.p);
    } else if (type == WIRE_c_bye) {
        die("the server ends the session", (const char *)m->c_bye.message.p);
    } else if (type == WIRE_c_session && r->phase == REGISTERING) {
        if (++r->registered == r->n)
            net_loop_stop(r->loop);
    } else if (type == WIRE_c_user && r->phase == FINDING) {
        r->finds++;
        find(p);
    } else if (type == WIRE_c_ok && r->phase == CHANGING) {
        changed(p);
        change(p);
    }
}

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    struct person *p = net_link_user(link);
    union wire_any m;
    uint16_t type = 0;
    arena_reset(&p->r->arena);
    int err = wire_decode(payload.p, payload.n, &type, &m, sizeof m, &p->r->arena);
    if (err != 0)
        die("a message of the server does not decode", err_prose(err));
    on_message(p, type, &m);
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    (void)link;
    die(err_name(err), reason);
}

static const struct net_events events = {.up = on_up, .frame = on_frame, .down = on_down};

/* ---- the whole ---- */

static void setup(struct registers *r, const char *const servers[], size_t n)
{
    char why[NET_REASON_MAX];
    struct net_loop_config lc = {.links_max = (uint32_t)r->n + 16};
    r->people = calloc(r->n, sizeof *r->people);
    r->arena_mem = malloc(WIRE_ARENA_MAX);
    r->out = malloc(NET_FRAME_MAX);
    if (r->people == NULL || r->arena_mem == NULL || r->out == NULL ||
        net_loop_new(&lc, &r->loop) != 0 || net_tls_client_new(NULL, &r->tls) != 0 ||
        net_timer_new(r->loop, on_time, r, &r->timer) != 0)
        die("setting up", "no memory");
    arena_init(&r->arena, r->arena_mem, WIRE_ARENA_MAX);
    cry_random(r->run, sizeof r->run);
    for (size_t i = 0; i < r->n; i++) {
        struct person *p = &r->people[i];
        struct net_dial_opts o = {
            .tls = r->tls, .alpn = NET_ALPN_BIN, .events = &events, .user = p};
        p->r = r;
        if (net_place_parse(servers[i % n], 0, &o.place, why) != 0)
            die(servers[i % n], why);
        int err = net_dial(r->loop, &o, &p->link);
        if (err != 0)
            die("dialling", err_prose(err));
    }
    net_loop_run(r->loop);
}

/* Returns how many seconds it took. */
static double run_phase(struct registers *r, enum phase phase)
{
    uint64_t start = net_now_us();
    r->phase = phase;
    net_timer_at(r->timer, start + r->phase_us);
    for (size_t i = 0; i < r->n; i++) {
        if (phase == CHANGING)
            change(&r->people[i]);
        for (uint64_t k = 0; phase == FINDING && k < r->flight; k++)
            find(&r->people[i]);
    }
    net_loop_run(r->loop);
    return (double)(net_now_us() - start) / 1e6;
}

void bench_registers(const char *const servers[], size_t n, uint64_t clients, uint64_t flight,
                     uint64_t seconds)
{
    static struct registers r;
    if (n == 0)
        die("--server", "at least one is required");
    if (clients > PEOPLE_MAX)
        die("--clients", "at most 2000 here");
    r.n = (size_t)clients;
    r.flight = flight;
    r.phase_us = seconds * 1000000;
    setup(&r, servers, n);
    double finding = run_phase(&r, FINDING);
    double changing = run_phase(&r, CHANGING);
    printf("{\"bench\":\"registers\",\"servers\":%zu,\"clients\":%zu,\"flight\":%llu,"
           "\"reads_per_s\":%.0f,\"changes_per_s\":%.0f,\"slowest_change_ms\":%.1f}\n",
           n, r.n, (unsigned long long)flight, (double)r.finds / finding,
           (double)r.changes / changing, (double)r.slowest_us / 1000);
}
