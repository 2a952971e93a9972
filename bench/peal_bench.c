/* peal-bench: load on servers of one's own, over the clients' protocol, and the speed of sealing.
 *
 *   peal-bench messages --server HOST:PORT [--pairs 50] [--flight 8] [--body 256] [--seconds 10]
 *   peal-bench append   --server HOST:PORT [--pairs 50] [--flight 8] [--body 256] [--seconds 10]
 *                       [--boxes 1000]
 *   peal-bench idle     --server HOST:PORT [--clients 1000]     (then waits for a line on stdin)
 *   peal-bench seal     [--body 256] [--seconds 3]
 *   peal-bench lookups  --server HOST:PORT [--server HOST:PORT]... [--seconds 10]   (lookups.c)
 *   peal-bench registers --server HOST:PORT [--server HOST:PORT]... [--clients 50] [--flight 4]
 *                       [--seconds 10]                                          (registers.c)
 *
 * messages: each pair is two logged-in links; one sends sealed envelopes (made beforehand), keeping
 * `flight` of them not yet stored or not yet acknowledged; the other acknowledges each to the
 * server and answers with a receipt; what counts is receipts that came back. Prints one JSON
 * object.
 *
 * append: `boxes` accounts register and go away; `pairs` links send them bodies of just `body`
 * bytes, to one after the other, each keeping `flight` of them not yet stored. What counts is
 * messages that were called stored: durable rows that nobody cancels.
 *
 * Not for: judging. It prints what it measured; bench/run.sh puts figures side by side. */
#include "bench.h"

#include "peal/crypto.h"
#include "peal/net.h"
#include "peal/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAIRS_MAX = 2000,
    FLIGHT_MAX = 64,
    BODY_MAX = 8192,
    SETUP_AT_ONCE = 16,
    RECEIPT_SIGNATURE = 64,
    SERVERS_MAX = 128
};

struct settings {
    const char *server;               /* the last one given */
    const char *servers[SERVERS_MAX]; /* all */
    size_t servers_n;
    uint64_t pairs, flight, body, seconds, clients, boxes;
};

struct bench;

/* One link: an account of its own, logged in. */
struct user {
    struct bench *b;
    struct net_link *link;
    size_t index;
    bool ready;
    uint64_t sent, stored,
        done; /* as a sender: messages sent, called stored, and receipts for them */
};

struct bench {
    struct settings s;
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_place place;
    struct user *users;
    size_t n, begun, ready;
    bool sending; /* pairs send as soon as all are ready */
    bool append;  /* nobody receives; who sends registers last, and so does not wait for long */
    uint64_t start_us, end_us, counted;
    uint64_t id;
    uint8_t run[4]; /* part of the accounts' names and the ids: runs on one server do not meet */
    uint8_t *body;
    size_t body_n;
    uint8_t bundle[CRY_BUNDLE_MAX];
    size_t bundle_n;
    uint8_t *out;
    struct arena arena;
    void *arena_mem;
    struct net_timer *timer;
    uint64_t unsent;
};

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "peal-bench: %s: %s\n", what, why);
    exit(1);
}

static void send_message(struct user *u, uint16_t type, const void *msg)
{
    struct wr w;
    wr_init(&w, u->b->out, NET_FRAME_MAX);
    int err = wire_encode(type, msg, &w);
    if (err == 0)
        err = net_link_send(u->link, peal_bytes_of(u->b->out, w.n));
    if (err != 0)
        die("a message cannot be sent", err_prose(err));
}

static size_t name_of(const struct bench *b, size_t index, char out[static 32])
{
    return (size_t)snprintf(out, 32, "b%02x%02x%02x%02x-%zu", b->run[0], b->run[1], b->run[2],
                            b->run[3], index);
}

static bool is_sender(const struct user *u)
{
    return u->b->append ? u->index >= u->b->s.boxes : u->index % 2 == 0;
}

static bool is_away(const struct user *u)
{
    return u->b->append && !is_sender(u);
}

/* To whom a sender's next message goes. */
static size_t recipient(const struct user *u)
{
    const struct bench *b = u->b;
    return b->append ? b->id % b->s.boxes : u->index + 1;
}

/* ---- load ---- */

static void send_one(struct user *u)
{
    struct bench *b = u->b;
    char name[32];
    size_t n = name_of(b, recipient(u), name);
    struct wire_c_send m = {.name = peal_bytes_of(name, n),
                            .kind = WIRE_ROW_MESSAGE,
                            .body = peal_bytes_of(b->body, b->body_n)};
    struct wr w;
    wr_init(&w, m.id.b, sizeof m.id.b);
    wr_bytes(&w, b->run, sizeof b->run);
    wr_u32(&w, (uint32_t)u->index);
    wr_u64(&w, ++b->id);
    CHECK(wr_end(&w) == 0);
    send_message(u, WIRE_c_send, &m);
    u->sent++;
}

static void fill(struct user *u)
{
    uint64_t flight = u->b->s.flight;
    while (u->b->sending && u->sent - u->done < flight && u->sent - u->stored < flight)
        send_one(u);
}

/* A receipt of the real size for `messages` messages: a signature and their ids. The server does
 * not look into it; the number stands in the row's id too, for when it has to be sent again. */
static void send_receipt(struct user *u, size_t messages)
{
    struct bench *b = u->b;
    uint8_t receipt[RECEIPT_SIGNATURE + WIRE_PAGE_ROWS * MSG_ID_BYTES] = {0};
    char name[32];
    size_t n = name_of(b, u->index - 1, name);
    struct wire_c_send m = {
        .name = peal_bytes_of(name, n),
        .kind = WIRE_ROW_RECEIPT,
        .body = peal_bytes_of(receipt, RECEIPT_SIGNATURE + messages * MSG_ID_BYTES)};
    struct wr w;
    wr_init(&w, m.id.b, sizeof m.id.b);
    wr_bytes(&w, b->run, sizeof b->run);
    wr_u32(&w, (uint32_t)(messages << 16));
    wr_u64(&w, ++b->id);
    CHECK(wr_end(&w) == 0);
    send_message(u, WIRE_c_send, &m);
}

/* Receiver: the rows are "on disk"; one acknowledgement and one receipt for all that came together.
 */
static void acknowledge(struct user *u, const struct wire_c_deliver *d)
{
    struct peal_msg_id ids[WIRE_PAGE_ROWS];
    for (size_t i = 0; i < d->rows.n; i++)
        ids[i] = d->rows.v[i].id;
    if (d->rows.n == 0)
        return; /* the mailbox is empty */
    struct wire_c_ack ack = {.ids = {.v = ids, .n = d->rows.n}};
    send_message(u, WIRE_c_ack, &ack);
    size_t messages = 0;
    for (size_t i = 0; i < d->rows.n; i++)
        messages += d->rows.v[i].kind == WIRE_ROW_MESSAGE;
    if (messages == 0)
        return;
    send_receipt(u, messages);
}

/* Sender: receipts say how many messages arrived; as many new ones go out. */
static void receipts(struct user *u, const struct wire_c_deliver *d)
{
    struct bench *b = u->b;
    struct peal_msg_id ids[WIRE_PAGE_ROWS];
    uint64_t arrived = 0;
    if (d->rows.n == 0)
        return; /* the mailbox is empty */
    for (size_t i = 0; i < d->rows.n; i++) {
        ids[i] = d->rows.v[i].id;
        arrived += (d->rows.v[i].body.n - RECEIPT_SIGNATURE) / MSG_ID_BYTES;
    }
    struct wire_c_ack ack = {.ids = {.v = ids, .n = d->rows.n}};
    send_message(u, WIRE_c_ack, &ack);
    u->done += arrived;
    b->counted += arrived;
    fill(u);
}

/* BUSY: to be sent again later, when something was stored. */
static void unsent(struct user *u, const struct wire_c_unsent *m)
{
    if (u->b->unsent++ == 0)
        fprintf(stderr, "peal-bench: unsent (%s): %.*s\n", err_name(-(int)m->code),
                (int)m->message.n, (const char *)m->message.p);
    if (is_sender(u))
        u->sent--;
    else
        send_receipt(u, m->id.b[5]);
}

static void stored(struct user *u, size_t n)
{
    u->stored += n;
    if (u->b->append) {
        u->done += n;
        u->b->counted += n;
    }
    fill(u);
}

static void finish(struct bench *b)
{
    b->end_us = net_now_us();
    b->sending = false;
    net_loop_stop(b->loop);
}

static void on_time(void *user)
{
    finish(user);
}

static void connect_next(struct bench *b);

static void all_ready(struct bench *b)
{
    if (b->s.pairs == 0) {
        net_loop_stop(b->loop);
        return;
    }
    b->sending = true;
    b->start_us = net_now_us();
    net_timer_at(b->timer, b->start_us + b->s.seconds * 1000000);
    for (size_t i = 0; i < b->n; i++) {
        for (uint64_t k = 0; is_sender(&b->users[i]) && k < b->s.flight; k++)
            send_one(&b->users[i]);
    }
}

/* ---- links ---- */

static void on_up(struct net_link *link)
{
    struct user *u = net_link_user(link);
    struct wire_c_hello hello = {.version = WIRE_VERSION, .agent = peal_bytes_str("peal-bench")};
    send_message(u, WIRE_c_hello, &hello);
    char name[32];
    uint8_t zero[32] = {0};
    size_t n = name_of(u->b, u->index, name);
    struct wire_c_register r = {.req = 1,
                                .name = peal_bytes_of(name, n),
                                .display = peal_bytes_of(name, n),
                                .salt = peal_bytes_of(zero, 16),
                                .ops = CRY_KDF_OPS_DEFAULT,
                                .mem_kib = CRY_KDF_MEM_DEFAULT >> 10,
                                .auth = peal_bytes_of(zero, 32),
                                .bundle = peal_bytes_of(u->b->bundle, u->b->bundle_n),
                                .wrapped = peal_bytes_of(zero, 32)};
    cry_random(r.req_id.b, sizeof r.req_id.b);
    send_message(u, WIRE_c_register, &r);
}

static void on_message(struct user *u, enum wire_type type, const union wire_any *m)
{
    struct bench *b = u->b;
    if (type == WIRE_c_deliver && !is_sender(u))
        acknowledge(u, &m->c_deliver);
    else if (type == WIRE_c_deliver)
        receipts(u, &m->c_deliver);
    else if (type == WIRE_c_unsent)
        unsent(u, &m->c_unsent);
    else if (type == WIRE_c_stored && is_sender(u))
        stored(u, m->c_stored.ids.n);
    else if (type == WIRE_c_error)
        die("refused", (const char *)m->c_error.message.p);
    else if (type == WIRE_c_session && !u->ready) {
        u->ready = true;
        if (is_away(u))
            net_link_close(u->link, "away");
        if (++b->ready == b->n)
            all_ready(b);
        else
            connect_next(b);
    }
}

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    struct user *u = net_link_user(link);
    union wire_any m;
    uint16_t type = 0;
    arena_reset(&u->b->arena);
    int err = wire_decode(payload.p, payload.n, &type, &m, sizeof m, &u->b->arena);
    if (err != 0)
        die("a message of the server does not decode", err_prose(err));
    on_message(u, (enum wire_type)type, &m);
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    const struct user *u = net_link_user(link);
    if (u->ready && is_away(u))
        return;
    if (u->b->sending || u->b->append || !u->ready)
        die(err_name(err), reason);
}

static const struct net_events events = {.up = on_up, .frame = on_frame, .down = on_down};

static void connect_next(struct bench *b)
{
    if (b->begun == b->n)
        return;
    struct user *u = &b->users[b->begun];
    *u = (struct user){.b = b, .index = b->begun};
    b->begun++;
    struct net_dial_opts o = {
        .place = b->place, .tls = b->tls, .alpn = NET_ALPN_BIN, .events = &events, .user = u};
    int err = net_dial(b->loop, &o, &u->link);
    if (err != 0)
        die("dialling", err_prose(err));
}

/* ---- sealing ---- */

struct sealing {
    struct cry_keys *from, *to;
    struct cry_context ctx;
    uint8_t plain[BODY_MAX];
    uint8_t envelope[CRY_ENVELOPE_OVERHEAD + BODY_MAX + CRY_PAD_BLOCK];
    size_t n;
};

static void sealing_init(struct sealing *s, size_t body)
{
    if (cry_keys_new(&s->from) != 0 || cry_keys_new(&s->to) != 0)
        die("keys", "cannot be made");
    s->ctx = (struct cry_context){.from = peal_bytes_str("alice"), .to = peal_bytes_str("bob")};
    memset(s->plain, 'x', sizeof s->plain);
    int err =
        cry_envelope_seal(s->from, cry_keys_public(s->to), &s->ctx, peal_bytes_of(s->plain, body),
                          sizeof s->envelope, s->envelope, &s->n);
    if (err != 0)
        die("sealing", err_prose(err));
}

static void bench_seal(const struct settings *set)
{
    static struct sealing s;
    static uint8_t out[sizeof s.envelope];
    sealing_init(&s, set->body);
    uint64_t sealed = 0, opened = 0, t0 = net_now_us(), limit = set->seconds * 1000000;
    uint64_t t = t0;
    for (; t - t0 < limit; t = net_now_us(), sealed++) {
        size_t n = 0;
        if (cry_envelope_seal(s.from, cry_keys_public(s.to), &s.ctx,
                              peal_bytes_of(s.plain, set->body), sizeof out, out, &n) != 0)
            die("sealing", "failed");
    }
    double seal_s = (double)(t - t0) / 1e6;
    for (t0 = t = net_now_us(); t - t0 < limit; t = net_now_us(), opened++) {
        size_t n = 0;
        if (cry_envelope_open(s.to, cry_keys_public(s.from), &s.ctx, peal_bytes_of(s.envelope, s.n),
                              sizeof out, out, &n) != 0)
            die("opening", "failed");
    }
    printf("{\"bench\":\"seal\",\"body\":%llu,\"envelope\":%zu,\"sealed_per_s\":%.0f,\"opened_per_"
           "s\":%.0f}\n",
           (unsigned long long)set->body, s.n, (double)sealed / seal_s,
           (double)opened / ((double)(t - t0) / 1e6));
    cry_keys_free(s.from);
    cry_keys_free(s.to);
}

/* ---- programs ---- */

static void setup(struct bench *b, size_t users)
{
    static struct sealing s;
    char why[NET_REASON_MAX];
    if (b->s.server == NULL || net_place_parse(b->s.server, 0, &b->place, why) != 0)
        die("--server", b->s.server == NULL ? "is required" : why);
    sealing_init(&s, b->s.body);
    struct peal_bytes bundle = cry_public_bundle(cry_keys_public(s.to));
    memcpy(b->bundle, bundle.p, bundle.n);
    b->bundle_n = bundle.n;
    b->body = s.envelope;
    b->body_n = b->append ? b->s.body : s.n; /* the server takes any bytes for a body */
    cry_random(b->run, sizeof b->run);
    b->n = users;
    b->users = calloc(users, sizeof *b->users);
    b->out = malloc(NET_FRAME_MAX);
    b->arena_mem = malloc(WIRE_ARENA_MAX);
    struct net_loop_config lc = {.links_max = (uint32_t)users + 16};
    if (b->users == NULL || b->out == NULL || b->arena_mem == NULL ||
        net_loop_new(&lc, &b->loop) != 0 || net_tls_client_new(NULL, &b->tls) != 0 ||
        net_timer_new(b->loop, on_time, b, &b->timer) != 0)
        die("setting up", "no memory");
    arena_init(&b->arena, b->arena_mem, WIRE_ARENA_MAX);
    for (int i = 0; i < SETUP_AT_ONCE; i++)
        connect_next(b);
    net_loop_run(b->loop);
}

static void bench_messages(struct bench *b)
{
    setup(b, 2 * b->s.pairs);
    double s = (double)(b->end_us - b->start_us) / 1e6;
    printf("{\"bench\":\"messages\",\"pairs\":%llu,\"flight\":%llu,\"body\":%llu,\"envelope\":%zu,"
           "\"seconds\":%.2f,\"acknowledged\":%llu,"
           "\"per_s\":%.0f,\"unsent\":%llu}\n",
           (unsigned long long)b->s.pairs, (unsigned long long)b->s.flight,
           (unsigned long long)b->s.body, b->body_n, s, (unsigned long long)b->counted,
           (double)b->counted / s, (unsigned long long)b->unsent);
}

static void bench_append(struct bench *b)
{
    b->append = true;
    setup(b, b->s.pairs + b->s.boxes);
    double s = (double)(b->end_us - b->start_us) / 1e6;
    printf("{\"bench\":\"append\",\"connections\":%llu,\"flight\":%llu,\"boxes\":%llu,"
           "\"body\":%zu,\"seconds\":%.2f,\"stored\":%llu,\"per_s\":%.0f,\"unsent\":%llu}\n",
           (unsigned long long)b->s.pairs, (unsigned long long)b->s.flight,
           (unsigned long long)b->s.boxes, b->body_n, s, (unsigned long long)b->counted,
           (double)b->counted / s, (unsigned long long)b->unsent);
}

static void bench_idle(struct bench *b)
{
    b->s.pairs = 0;
    setup(b, b->s.clients);
    printf("{\"bench\":\"idle\",\"clients\":%zu}\n", b->n);
    (void)fflush(stdout);
    char line[16];
    ssize_t n = read(STDIN_FILENO, line, sizeof line);
    (void)n;
}

static uint64_t number(const char *flag, const char *text, uint64_t lo, uint64_t hi)
{
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || v < lo || v > hi)
        die(flag, "not a whole number within its limits");
    return v;
}

static void add_server(struct settings *s, const char *place)
{
    if (s->servers_n == SERVERS_MAX)
        die("--server", "too many of them");
    s->server = s->servers[s->servers_n++] = place;
}

int main(int argc, char *argv[])
{
    struct bench b = {
        .s = {
            .pairs = 50, .flight = 8, .body = 256, .seconds = 10, .clients = 1000, .boxes = 1000}};
    if (argc < 2 || cry_init() != 0)
        die("usage", "peal-bench messages|append|idle|seal|lookups|registers [OPTION VALUE]...");
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--server") == 0)
            add_server(&b.s, argv[i + 1]);
        else if (strcmp(argv[i], "--pairs") == 0)
            b.s.pairs = number(argv[i], argv[i + 1], 1, PAIRS_MAX);
        else if (strcmp(argv[i], "--flight") == 0)
            b.s.flight = number(argv[i], argv[i + 1], 1, FLIGHT_MAX);
        else if (strcmp(argv[i], "--body") == 0)
            b.s.body = number(argv[i], argv[i + 1], 1, BODY_MAX);
        else if (strcmp(argv[i], "--seconds") == 0)
            b.s.seconds = number(argv[i], argv[i + 1], 1, 600);
        else if (strcmp(argv[i], "--clients") == 0)
            b.s.clients = number(argv[i], argv[i + 1], 1, 2 * PAIRS_MAX);
        else if (strcmp(argv[i], "--boxes") == 0)
            b.s.boxes = number(argv[i], argv[i + 1], 1, 10 * PAIRS_MAX);
        else
            die("no such option", argv[i]);
    }
    if (strcmp(argv[1], "messages") == 0)
        bench_messages(&b);
    else if (strcmp(argv[1], "append") == 0)
        bench_append(&b);
    else if (strcmp(argv[1], "idle") == 0)
        bench_idle(&b);
    else if (strcmp(argv[1], "lookups") == 0)
        bench_lookups(b.s.servers, b.s.servers_n, b.s.seconds);
    else if (strcmp(argv[1], "registers") == 0)
        bench_registers(b.s.servers, b.s.servers_n, b.s.clients, b.s.flight, b.s.seconds);
    else if (strcmp(argv[1], "seal") == 0)
        bench_seal(&b.s);
    else
        die("no such benchmark", argv[1]);
    return 0;
}
