#include <peal/reach.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"

struct seen {
    unsigned ups, downs, failures, messages, pins, foreign;
    int down_err, failed_err;
    char address[NET_PLACE_TEXT];
    uint8_t pin[NET_FINGERPRINT_BYTES];
    size_t servers;
    uint64_t wanted_ups;
    enum wire_type last;
};

static void on_up(void *user, const char *address, const struct wire_c_welcome *welcome)
{
    struct seen *s = user;
    (void)welcome;
    s->ups++;
    snprintf(s->address, sizeof s->address, "%s", address);
}

static void on_message(void *user, enum wire_type type, const void *msg)
{
    struct seen *s = user;
    (void)msg;
    s->messages++;
    s->last = type;
}

static void on_down(void *user, int err, const char *reason)
{
    struct seen *s = user;
    (void)reason;
    s->downs++;
    s->down_err = err;
}

static void on_failed(void *user, const char *address, int err, const char *reason)
{
    struct seen *s = user;
    (void)address;
    (void)reason;
    s->failures++;
    s->failed_err = err;
    s->foreign += err == PEAL_E_FOREIGN;
}

static void on_pinned(void *user, const uint8_t fingerprint[static NET_FINGERPRINT_BYTES])
{
    struct seen *s = user;
    s->pins++;
    memcpy(s->pin, fingerprint, sizeof s->pin);
}

static void on_servers(void *user, const struct wire_server_list *servers)
{
    struct seen *s = user;
    s->servers = servers->n;
}

static const struct reach_events events = {
    .up = on_up,
    .message = on_message,
    .down = on_down,
    .failed = on_failed,
    .pinned = on_pinned,
    .servers = on_servers,
};

struct rig {
    struct net_loop *loop;
    struct reach *reach;
    struct seen seen;
    struct fake a, b;
    struct cry_identity id_a, id_b;
};

static void rig_up(struct rig *r, unsigned ring_b, const uint8_t *pin)
{
    memset(r, 0, sizeof *r);
    struct net_loop_config config = {.close_us = 100 * 1000};
    int err = net_loop_new(&config, &r->loop);
    cr_assert_eq(err, 0, "no loop");
    fake_identity(1, 1, &r->id_a);
    fake_identity(ring_b, 2, &r->id_b);
    fake_start(&r->a, r->loop, &r->id_a);
    fake_start(&r->b, r->loop, &r->id_b);
    struct reach_config rc = {.events = &events, .user = &r->seen, .agent = "test", .pin = pin};
    err = reach_new(r->loop, &rc, &r->reach);
    cr_assert_eq(err, 0, "no reach: %s", err_name(err));
}

static void rig_down(struct rig *r)
{
    reach_free(r->reach);
    if (r->a.listener != NULL)
        fake_kill(&r->a);
    if (r->b.listener != NULL)
        fake_kill(&r->b);
    net_loop_free(r->loop);
}

static void use(struct rig *r, struct fake *f)
{
    int err = reach_add(r->reach, &f->place, true);
    cr_assert_eq(err, 0, "the place was refused: %s", err_name(err));
}

static bool is_up(void *user)
{
    struct rig *r = user;
    return reach_is_up(r->reach) && r->seen.ups >= r->seen.wanted_ups;
}

static void until_up(struct rig *r, unsigned times)
{
    r->seen.wanted_ups = times;
    fake_until(r->loop, is_up, r, "a link");
}

Test(reach, first_server_pins_the_ring)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    use(&r, &r.a);
    struct wire_c_ring_get early = {.req = 1};
    int err = reach_send(r.reach, WIRE_c_ring_get, &early);
    cr_assert_eq(err, PEAL_E_UNAVAILABLE, "a message was taken without a server: %s",
                 err_name(err));
    reach_start(r.reach);
    until_up(&r, 1);
    cr_assert_eq(r.seen.pins, 1, "pinned %u times", r.seen.pins);
    cr_assert_arr_eq(r.seen.pin, r.id_a.fingerprint, sizeof r.seen.pin, "another ring was pinned");
    cr_assert_str_eq(r.seen.address, r.a.address, "the address is %s", r.seen.address);
    cr_assert_str_eq(reach_address(r.reach), r.a.address, "the address is %s",
                     reach_address(r.reach));
    rig_down(&r);
}

static void answer_ring(struct fake *f, struct net_link *link, uint16_t type,
                        const union wire_any *msg)
{
    (void)f;
    if (type != WIRE_c_ring_get)
        return;
    struct wire_c_ring ring = {.req = msg->c_ring_get.req, .whole = true};
    fake_say(link, WIRE_c_ring, &ring);
}

static bool has_message(void *user)
{
    return ((struct rig *)user)->seen.messages > 0;
}

Test(reach, messages_go_both_ways)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    r.a.on = answer_ring;
    use(&r, &r.a);
    reach_start(r.reach);
    until_up(&r, 1);
    struct wire_c_ring_get get = {.req = 5};
    int err = reach_send(r.reach, WIRE_c_ring_get, &get);
    cr_assert_eq(err, 0, "the message was not taken: %s", err_name(err));
    fake_until(r.loop, has_message, &r, "an answer");
    cr_assert_eq((int)r.seen.last, WIRE_c_ring, "message %d came", (int)r.seen.last);
    rig_down(&r);
}

Test(reach, another_ring_is_refused_and_named)
{
    struct rig r;
    struct cry_identity ours;
    fake_identity(1, 1, &ours);
    rig_up(&r, 2, ours.fingerprint);
    use(&r, &r.b);
    use(&r, &r.a);
    fake_kill(&r.a);
    reach_start(r.reach);
    while (r.seen.foreign == 0)
        net_loop_once(r.loop, true);
    cr_assert(!reach_is_up(r.reach), "a server of another ring was taken");
    cr_assert_eq(r.b.hellos, 0, "something was said to another ring's server");
    cr_assert_eq(r.seen.pins, 0, "the pin was changed");
    rig_down(&r);
}

Test(reach, a_link_with_the_wrong_fingerprint_is_refused_at_once)
{
    struct rig r;
    struct cry_identity ours;
    fake_identity(1, 1, &ours);
    rig_up(&r, 2, ours.fingerprint);
    struct net_place place = r.b.place;
    place.pinned = true;
    memcpy(place.fingerprint, r.id_b.fingerprint, sizeof place.fingerprint);
    int err = reach_add(r.reach, &place, true);
    cr_assert_eq(err, PEAL_E_FOREIGN, "the place was taken: %s", err_name(err));
    rig_down(&r);
}

Test(reach, fails_over_when_killed)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    r.a.tells[0] = r.b.address;
    r.a.tells[1] = "nonsense";
    use(&r, &r.a);
    reach_start(r.reach);
    until_up(&r, 1);
    while (r.seen.servers == 0)
        net_loop_once(r.loop, true);
    cr_assert_eq(r.seen.servers, 2, "the list has %zu servers", r.seen.servers);
    fake_kill(&r.a);
    until_up(&r, 2);
    cr_assert_str_eq(reach_address(r.reach), r.b.address, "went to %s", reach_address(r.reach));
    cr_assert_eq(r.seen.downs, 1, "down came %u times", r.seen.downs);
    rig_down(&r);
}

/* A server that is stopped, not dead: only silence tells. */
Test(reach, fails_over_when_silent)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    use(&r, &r.a);
    reach_start(r.reach);
    until_up(&r, 1);
    use(&r, &r.b);
    r.a.silent = true;
    struct wire_c_ring_get get = {.req = 1};
    int err = reach_send(r.reach, WIRE_c_ring_get, &get);
    cr_assert_eq(err, 0, "the message was not taken: %s", err_name(err));
    until_up(&r, 2);
    cr_assert_eq(r.seen.down_err, PEAL_E_UNAVAILABLE, "down with %s", err_name(r.seen.down_err));
    cr_assert_str_eq(reach_address(r.reach), r.b.address, "went to %s", reach_address(r.reach));
    cr_assert_geq(r.a.pings, 1, "the silent server was given up without a ping");
    rig_down(&r);
}

Test(reach, a_server_that_does_not_welcome_is_passed_by)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    r.a.unwelcoming = true;
    use(&r, &r.a);
    reach_start(r.reach);
    while (r.a.hellos == 0)
        net_loop_once(r.loop, true);
    use(&r, &r.b);
    until_up(&r, 1);
    cr_assert_str_eq(reach_address(r.reach), r.b.address, "went to %s", reach_address(r.reach));
    rig_down(&r);
}

Test(reach, comes_back_to_a_server_that_was_away)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    struct net_listener *gone = r.a.listener;
    struct net_addr addr = *net_listener_addr(gone);
    use(&r, &r.a);
    fake_kill(&r.a);
    reach_start(r.reach);
    while (r.seen.failures < 2)
        net_loop_once(r.loop, true);
    use(&r, &r.b);
    until_up(&r, 1);
    cr_assert_neq(r.b.place.port, addr.port, "the rig gave one port twice");
    rig_down(&r);
}

static void gibberish(struct fake *f, struct net_link *link, uint16_t type,
                      const union wire_any *msg)
{
    (void)f;
    (void)type;
    (void)msg;
    int err = net_link_send(link, peal_bytes_str("\x01\x02gibberish"));
    cr_assert_eq(err, 0, "not sent");
}

Test(reach, gibberish_ends_the_link_with_a_reason)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    r.a.on = gibberish;
    use(&r, &r.a);
    reach_start(r.reach);
    until_up(&r, 1);
    use(&r, &r.b);
    struct wire_c_ring_get get = {.req = 1};
    int err = reach_send(r.reach, WIRE_c_ring_get, &get);
    cr_assert_eq(err, 0, "not taken");
    until_up(&r, 2);
    cr_assert_eq(r.seen.down_err, PEAL_E_VERSION, "down with %s", err_name(r.seen.down_err));
    rig_down(&r);
}

static bool has_down(void *user)
{
    return ((struct rig *)user)->seen.downs > 0;
}

Test(reach, stop_and_renew)
{
    struct rig r;
    rig_up(&r, 1, NULL);
    use(&r, &r.a);
    use(&r, &r.b);
    reach_start(r.reach);
    until_up(&r, 1);
    char first[NET_PLACE_TEXT];
    snprintf(first, sizeof first, "%s", reach_address(r.reach));
    reach_renew(r.reach, "the test wants another");
    fake_until(r.loop, has_down, &r, "down");
    until_up(&r, 2);
    cr_assert_str_neq(reach_address(r.reach), first, "came back to the server that was left");
    reach_stop(r.reach, "the test is over");
    cr_assert(!reach_is_up(r.reach), "still up");
    cr_assert_eq(r.seen.downs, 1, "stopping is no loss");
    reach_start(r.reach);
    until_up(&r, 3);
    rig_down(&r);
}

/* ---- multicast ---------------------------------------------------------------------------- */

struct beacon {
    struct rig *rig;
    struct net_mcast *mcast;
    unsigned probes;
    const char *lies; /* an address to answer with first */
};

static void say_address(struct beacon *b, const struct net_addr *to, const char *address,
                        const uint8_t *fingerprint)
{
    uint8_t packet[256];
    struct wr w;
    struct wire_m_answer m = {.version = WIRE_VERSION,
                              .address = peal_bytes_str(address),
                              .fingerprint = peal_bytes_of(fingerprint, 32)};
    wr_init(&w, packet, sizeof packet);
    cr_assert_eq(wire_encode(WIRE_m_answer, &m, &w), 0, "the answer does not encode");
    int err = net_mcast_reply(b->mcast, to, peal_bytes_of(w.p, w.n));
    cr_assert_eq(err, 0, "the answer is not sent: %s", err_name(err));
}

static void on_probe(void *user, const struct net_addr *from, struct peal_bytes data)
{
    struct beacon *b = user;
    uint16_t type;
    union wire_any msg;
    struct arena none;
    arena_init(&none, NULL, 0);
    if (wire_decode(data.p, data.n, &type, &msg, sizeof msg, &none) != 0 || type != WIRE_m_probe)
        return;
    b->probes++;
    int err = net_mcast_reply(b->mcast, from, peal_bytes_str("nonsense"));
    cr_assert_eq(err, 0, "nonsense is not sent");
    say_address(b, from, "no address", b->rig->id_a.fingerprint);
    say_address(b, from, "0.0.0.0:1", b->rig->id_a.fingerprint);
    if (b->lies != NULL)
        say_address(b, from, b->lies, b->rig->id_a.fingerprint);
    say_address(b, from, b->rig->a.address, b->rig->id_a.fingerprint);
}

/* A group and port of this process, so that tests beside this one are not heard. */
static void open_beacon(struct beacon *b, struct rig *r, struct net_groups *groups)
{
    char text[NET_ADDR_TEXT];
    char why[NET_REASON_MAX];
    uint8_t random[4];
    cry_random(random, sizeof random);
    snprintf(text, sizeof text, "239.%u.%u.%u:%u", random[0], random[1], random[2],
             20000U + random[3]);
    cr_assert_eq(net_groups_parse(text, groups, why), 0, "%s: %s", text, why);
    b->rig = r;
    struct net_mcast_opts opts = {.groups = *groups, .datagram = on_probe, .user = b};
    int err = net_mcast_open(r->loop, &opts, &b->mcast, why);
    cr_assert_eq(err, 0, "no multicast: %s", why);
}

static void found_by_multicast(const uint8_t *pin, bool lies)
{
    struct rig r;
    struct beacon b = {0};
    struct net_groups groups;
    rig_up(&r, 2, NULL);
    reach_free(r.reach);
    open_beacon(&b, &r, &groups);
    b.lies = lies ? r.b.address : NULL; /* another ring's server, announced as ours */
    struct reach_config rc = {.events = &events, .user = &r.seen, .mcast = groups, .pin = pin};
    cr_assert_eq(reach_new(r.loop, &rc, &r.reach), 0, "no reach");
    reach_start(r.reach);
    until_up(&r, 1);
    cr_assert_geq(b.probes, 1, "nobody asked");
    cr_assert_str_eq(reach_address(r.reach), r.a.address, "went to %s", reach_address(r.reach));
    net_mcast_free(b.mcast);
    rig_down(&r);
}

Test(reach, multicast_finds_a_server)
{
    found_by_multicast(NULL, false);
}

Test(reach, multicast_cannot_lead_to_another_ring)
{
    struct cry_identity ours;
    fake_identity(1, 1, &ours);
    found_by_multicast(ours.fingerprint, true);
}
