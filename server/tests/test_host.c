/* A whole server in this process, and what strangers, forgers and servers with wrong clocks say on
 * its multicast group. The test plays the other server: its own node key, the same ring key. */
#include "host_internal.h"
#include "log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_S = 60, OTHERS_RING = 5 /* servers in the ring that the other one tells of */ };

static char dir[64], db[96], incarnation[96], why[HOST_WHY_MAX];
static struct net_loop *loop;
static struct host *host;
static bool ready;
static struct cry_identity other;
static struct peal_secret beacon_key;
static struct net_mcast *group;
static struct net_tls *tls;
static struct net_listener *listener;
static unsigned calls; /* of the host at the other server's address */
static struct beacons said;

static void on_ready(void *user, const struct peal_id *id, const char *listen)
{
    (void)user;
    (void)id;
    (void)listen;
    ready = true;
}

static void on_up(struct net_link *link)
{
    (void)link;
    calls++;
}

static const struct net_events other_events = {.up = on_up};

static void on_datagram(void *user, const struct net_addr *from, struct peal_bytes data)
{
    (void)user;
    (void)from;
    (void)data;
}

static struct net_addr loopback(void)
{
    struct net_addr a;
    cr_assert_eq(net_addr_parse("127.0.0.1:0", &a), 0, "an address");
    return a;
}

static void open_other(const struct peal_secret *ring, const struct net_groups *groups)
{
    struct peal_secret seed;
    cry_secret_new(&seed);
    cr_assert_eq(cry_identity_make(ring, &seed, &other), 0, "an identity");
    cr_assert_eq(net_tls_server_new(&other, &tls), 0, "TLS");
    struct net_listen_opts lo = {.addr = loopback(), .tls = tls, .events = &other_events};
    cr_assert_eq(net_listen(loop, &lo, &listener, why), 0, "%s", why);
    struct net_mcast_opts mo = {.groups = *groups, .datagram = on_datagram};
    cr_assert_eq(net_mcast_open(loop, &mo, &group, why), 0, "%s", why);
}

static void setup(void)
{
    struct peal_secret ring, node;
    char text[NET_ADDR_TEXT];
    uint8_t random[4];
    (void)alarm(PATIENCE_S);
    log_level_set(STEP_WARN);
    cr_assert_eq(cry_init(), 0, "randomness");
    strcpy(dir, "/tmp/peald-host-XXXXXX");
    cr_assert_not_null(mkdtemp(dir), "a folder");
    snprintf(db, sizeof db, "%s/peald.db", dir);
    snprintf(incarnation, sizeof incarnation, "%s/incarnation", dir);
    cry_random(random, sizeof random);
    snprintf(text, sizeof text, "239.%u.%u.%u:%u", random[0], random[1], random[2],
             20000U + random[3]);
    cry_secret_new(&ring);
    cry_secret_new(&node);
    cry_ring_beacon_key(&ring, &beacon_key);
    cr_assert_eq(net_loop_new(NULL, &loop), 0, "a loop");
    struct host_config cfg = {.loop = loop,
                              .db_path = db,
                              .incarnation_path = incarnation,
                              .listen = loopback(),
                              .beacon_key = beacon_key,
                              .clients_max = 16,
                              .bcrypt_cost = 4,
                              .ready = on_ready};
    cr_assert_eq(net_groups_parse(text, &cfg.groups, why), 0, "%s", why);
    cr_assert_eq(cry_identity_make(&ring, &node, &cfg.identity), 0, "an identity");
    cr_assert_eq(host_new(&cfg, &host, why), 0, "%s", why);
    open_other(&ring, &cfg.groups);
    while (!ready)
        cr_assert(net_loop_once(loop, true), "it founds a ring of one");
}

static void teardown(void)
{
    char command[128];
    net_listener_free(listener);
    net_mcast_free(group);
    host_leave(host);
    net_loop_run(loop);
    cr_assert_eq(host_free(host), 0, "everything is durable");
    net_loop_free(loop);
    net_tls_free(tls);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0, "the folder is removed");
}

TestSuite(host, .init = setup, .fini = teardown);

static enum chord_state state(void)
{
    return chord_state(svc_chord(host->svc));
}

/* A beacon of the other server, which tells of a ring that is larger than the host's empty one: the
 * host gives its own up as soon as it believes that. Its listener's address is in the contact. */
static void say(uint64_t wall_ms, bool forge)
{
    static uint64_t last_incarnation;
    char address[NET_ADDR_TEXT];
    uint8_t body[CRY_BEACON_BODY_MAX], whole[CRY_BEACON_BODY_MAX], packet[CRY_BEACON_MAX];
    uint8_t part[RING_CONTACT_BODY_MAX], sig[CRY_SIG_BYTES];
    net_addr_text(net_listener_addr(listener), address);
    uint8_t list[WIRE_ADDRESSES_BYTES];
    size_t list_n = wire_address_add(list, 0, peal_bytes_str(address));
    struct wire_m_beacon m = {.contact = {.id = other.id,
                                          .incarnation = ++last_incarnation,
                                          .addresses = peal_bytes_of(list, list_n),
                                          .key = peal_bytes_of(other.key.pub, CRY_PUB_BYTES),
                                          .signature = peal_bytes_of(sig, CRY_SIG_BYTES)},
                              .ring = other.id,
                              .epoch = OTHERS_RING,
                              .size = OTHERS_RING};
    size_t n = ring_contact_body(&m.contact, part), whole_n = 0;
    cry_sign(&other.key, RING_CONTACT_DOMAIN, peal_bytes_of(part, n), sig);
    struct wr w;
    wr_init(&w, body, sizeof body);
    cr_assert_eq(wire_encode(WIRE_m_beacon, &m, &w), 0, "it encodes");
    cr_assert_eq(beacon_sign(&said, &other.key, wall_ms, peal_bytes_of(body, w.n), sizeof whole,
                             whole, &whole_n),
                 0, "it is signed");
    if (forge)
        whole[whole_n - 1] ^= 1;
    cr_assert_eq(
        cry_beacon_seal(&beacon_key, peal_bytes_of(whole, whole_n), sizeof packet, packet, &n), 0,
        "it is sealed");
    cr_assert_eq(net_mcast_send(group, peal_bytes_of(packet, n)), 0, "it is sent");
}

/* The host takes what comes in its order: when what a later beacon causes is seen, an earlier one
 * has been judged. */
Test(host, believes_only_a_true_beacon_of_this_time)
{
    cr_assert_eq(state(), CHORD_MEMBER, "a ring of one");
    uint64_t now = net_wall_ms();
    say(now, true);
    said.said = 0;
    say(1000, false); /* a machine whose clock began anew */
    while (calls == 0)
        cr_assert(net_loop_once(loop, true), "a far clock is a reason to dial");
    cr_assert_eq(state(), CHORD_MEMBER, "but neither it nor the forged one was believed");
    cr_assert_eq(host->beacons.n, 1, "only the one that is signed was noted");
    cr_assert_eq(host->beacons.heard[0].stamp, 0, "and not as heard");
    said.said = 0;
    say(net_wall_ms(), false);
    while (state() == CHORD_MEMBER)
        cr_assert(net_loop_once(loop, true), "a true one is believed");
    cr_assert_eq(host->beacons.n, 1, "of the same server");
    cr_assert_gt(host->beacons.heard[0].stamp, 0, "heard");
}
