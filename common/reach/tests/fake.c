#include "fake.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void fake_identity(unsigned ring, unsigned node, struct cry_identity *out)
{
    struct peal_secret ring_key = {{(uint8_t)ring, 1}};
    struct peal_secret seed = {{(uint8_t)node, (uint8_t)ring, 2}};
    int err = cry_init();
    cr_assert_eq(err, 0, "no randomness");
    err = cry_identity_make(&ring_key, &seed, out);
    cr_assert_eq(err, 0, "no identity: %s", err_name(err));
}

void fake_say(struct net_link *link, uint16_t type, const void *msg)
{
    size_t n = 0;
    int err = wire_encoded_size(type, msg, &n);
    cr_assert_eq(err, 0, "%s does not encode: %s", wire_type_name(type), err_name(err));
    uint8_t *bytes = malloc(n);
    struct wr w;
    wr_init(&w, bytes, n);
    err = wire_encode(type, msg, &w);
    cr_assert_eq(err, 0, "%s does not encode: %s", wire_type_name(type), err_name(err));
    err = net_link_send(link, peal_bytes_of(bytes, n));
    cr_assert(err == 0 || err == PEAL_E_CLOSED, "the frame is not taken: %s", err_name(err));
    free(bytes);
}

static void on_up(struct net_link *link)
{
    struct fake *f = net_link_user(link);
    for (size_t i = 0; i < FAKE_LINKS; i++) {
        if (f->links[i] == NULL) {
            f->links[i] = link;
            return;
        }
    }
    cr_assert_fail("too many links");
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    struct fake *f = net_link_user(link);
    (void)err;
    (void)reason;
    for (size_t i = 0; i < FAKE_LINKS; i++) {
        if (f->links[i] == link)
            f->links[i] = NULL;
    }
    if (f->gone != NULL)
        f->gone(f, link);
}

static void welcome(struct fake *f, struct net_link *link)
{
    struct wire_server servers[PEAL_COUNT(f->tells)];
    struct wire_c_welcome w = {
        .version = WIRE_VERSION, .agent = peal_bytes_str("fake"), .now = net_wall_ms()};
    w.servers.v = servers;
    for (size_t i = 0; i < PEAL_COUNT(f->tells) && f->tells[i] != NULL; i++)
        servers[w.servers.n++].address = peal_bytes_str(f->tells[i]);
    fake_say(link, WIRE_c_welcome, &w);
}

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    static uint8_t heap[WIRE_ARENA_MAX];
    struct fake *f = net_link_user(link);
    struct arena arena;
    union wire_any msg;
    uint16_t type;
    arena_init(&arena, heap, sizeof heap);
    int err = wire_decode(payload.p, payload.n, &type, &msg, sizeof msg, &arena);
    cr_assert_eq(err, 0, "the client sent what does not decode: %s", err_name(err));
    f->hellos += type == WIRE_c_hello;
    f->pings += type == WIRE_c_ping;
    if (f->silent)
        return;
    if (type == WIRE_c_hello) {
        if (!f->unwelcoming)
            welcome(f, link);
    } else if (type == WIRE_c_ping) {
        struct wire_c_pong pong = {.nonce = msg.c_ping.nonce};
        fake_say(link, WIRE_c_pong, &pong);
    } else if (f->on != NULL) {
        f->on(f, link, type, &msg);
    }
}

static const struct net_events events = {.up = on_up, .frame = on_frame, .down = on_down};

void fake_start(struct fake *f, struct net_loop *loop, const struct cry_identity *self)
{
    char why[NET_REASON_MAX];
    struct net_listen_opts opts = {.events = &events, .user = f};
    f->loop = loop;
    int err = net_addr_parse("127.0.0.1:0", &opts.addr);
    cr_assert_eq(err, 0, "the address does not parse");
    err = net_tls_server_new(self, &f->tls);
    cr_assert_eq(err, 0, "no TLS: %s", err_name(err));
    opts.tls = f->tls;
    err = net_listen(loop, &opts, &f->listener, why);
    cr_assert_eq(err, 0, "cannot listen: %s", why);
    net_addr_text(net_listener_addr(f->listener), f->address);
    f->place = net_place_of(net_listener_addr(f->listener));
}

void fake_kill(struct fake *f)
{
    net_listener_free(f->listener);
    f->listener = NULL;
    for (size_t i = 0; i < FAKE_LINKS; i++) {
        if (f->links[i] != NULL)
            net_link_abort(f->links[i], "killed");
    }
    net_tls_free(f->tls);
    f->tls = NULL;
}

static void too_late(void *user)
{
    *(bool *)user = true;
}

void fake_until(struct net_loop *loop, bool (*cond)(void *user), void *user, const char *what)
{
    struct net_timer *timer;
    bool late = false;
    int err = net_timer_new(loop, too_late, &late, &timer);
    cr_assert_eq(err, 0, "no timer");
    net_timer_at(timer, net_now_us() + (uint64_t)FAKE_PATIENCE_S * 1000000);
    while (!cond(user) && !late)
        net_loop_once(loop, true);
    net_timer_free(timer);
    cr_assert(!late, "waited in vain: %s", what);
}
