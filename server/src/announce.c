/* What a server says of itself and hears of others outside of links: beacons and probes on the
 * multicast groups, and its own addresses. When the kernel says that this machine's addresses have
 * changed, they are chosen anew, unless they were given; changed ones are a new incarnation, which
 * the core spreads. */
#include "host_internal.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

/* ---- own addresses ---- */

void announce_say_link(const struct host *h)
{
    for (size_t i = 0; i < h->announced.n; i++) {
        struct net_place place = net_place_of(&h->announced.v[i]);
        char text[NET_PLACE_TEXT];
        place.pinned = true;
        memcpy(place.fingerprint, h->cfg.identity.fingerprint, sizeof place.fingerprint);
        net_place_text(&place, text);
        log_line(STEP_INFO, "peald", "clients may %sconnect to %s", i == 0 ? "" : "also ", text);
    }
}

void announce_sign(struct host *h, struct wire_contact *c, uint8_t sig[static CRY_SIG_BYTES])
{
    uint64_t incarnation = 0;
    char why[ADDRESS_WHY_MAX];
    if (incarnation_next(h->cfg.incarnation_path, net_wall_ms(), &incarnation, why) != 0)
        log_line(STEP_WARN, "address",
                 "the incarnation cannot be kept (%s): should this machine's clock go back, others "
                 "will not believe this server's new addresses",
                 why);
    *c = (struct wire_contact){.id = h->cfg.identity.id,
                               .incarnation = incarnation,
                               .addresses = peal_bytes_of(h->announced_list, h->announced_list_n),
                               .key = peal_bytes_of(h->cfg.identity.key.pub, CRY_PUB_BYTES),
                               .signature = peal_bytes_of(sig, CRY_SIG_BYTES)};
    uint8_t body[RING_CONTACT_BODY_MAX];
    size_t n = ring_contact_body(c, body);
    cry_sign(&h->cfg.identity.key, RING_CONTACT_DOMAIN, peal_bytes_of(body, n), sig);
}

static void tell_contact(struct host *h)
{
    uint8_t sig[CRY_SIG_BYTES], mem[512];
    struct wire_contact c;
    struct wr w;
    announce_sign(h, &c, sig);
    struct wire_n_contacts m = {.to = h->cfg.identity.id, .contacts = {.v = &c, .n = 1}};
    wr_init(&w, mem, sizeof mem);
    int err = wire_encode(WIRE_n_contacts, &m, &w);
    CHECK(err == 0);
    struct step_event ev = {.kind = STEP_CONTACT, .bytes = peal_bytes_of(mem, w.n)};
    host_step(h, &ev);
}

static bool chosen_here(const struct host *h)
{
    return h->cfg.announce_n == 0 && net_addr_is_any(net_listener_addr(h->listener));
}

static void choose(struct host *h, const struct net_addr have[], size_t n)
{
    const struct net_addr *listen = net_listener_addr(h->listener);
    if (chosen_here(h)) {
        address_choose(listen, have, n, &h->announced);
    } else {
        h->announced.n = 0;
        for (size_t i = 0; i < h->cfg.announce_n; i++) {
            struct net_addr a = h->cfg.announce[i];
            if (a.port == 0)
                a.port = listen->port;
            addresses_add(&h->announced, &a);
        }
        if (h->cfg.announce_n == 0)
            addresses_add(&h->announced, listen);
    }
    h->announced_list_n = 0;
    for (size_t i = 0; i < h->announced.n; i++) {
        char text[NET_ADDR_TEXT];
        net_addr_text(&h->announced.v[i], text);
        h->announced_list_n =
            wire_address_add(h->announced_list, h->announced_list_n, peal_bytes_str(text));
    }
}

/* What came over an address that is gone will not come any more, and nobody could say so: the links
 * are given up now, not when their silence is noticed. */
static void drop_links(struct host *h, const struct net_addr have[], size_t n)
{
    uint32_t at = 0, handle = 0;
    for (struct host_link *l = slab_each(&h->links, &at, &handle); l != NULL;
         l = slab_each(&h->links, &at, &handle)) {
        const struct net_addr *local = l->net == NULL ? NULL : &net_link_info(l->net)->local;
        if (local != NULL && local->ip_len != 0 && !address_is_there(local, have, n))
            net_link_abort(l->net, "this machine's address is gone");
    }
}

/* The system keeps a listener whose address is gone, and it serves again when the address is back.
 * Nothing else is listened on meanwhile: the address was the operator's choice. */
static void say_away(struct host *h, const struct net_addr have[], size_t n)
{
    const struct net_addr *listen = net_listener_addr(h->listener);
    char text[NET_ADDR_TEXT];
    bool away = !net_addr_is_any(listen) && !address_is_there(listen, have, n);
    if (away == h->away)
        return;
    h->away = away;
    net_addr_text(listen, text);
    if (away)
        log_line(STEP_WARN, "address",
                 "this machine no longer has %s, which this server listens on: nobody can reach it "
                 "until the address is back; --listen 0.0.0.0 follows whatever address there is",
                 text);
    else
        log_line(STEP_INFO, "address", "%s is this machine's again", text);
}

static void on_addresses(void *user)
{
    struct host *h = user;
    struct net_addr have[NET_ADDRS_MAX];
    struct addresses before = h->announced;
    size_t n = net_addrs(have);
    say_away(h, have, n);
    choose(h, have, n);
    if (!addresses_eq(&before, &h->announced)) {
        tell_contact(h);
        if (h->ready)
            announce_say_link(h);
    }
    if (n < NET_ADDRS_MAX) /* else not all are known */
        drop_links(h, have, n);
}

/* ---- multicast ---- */

void announce_beacon(struct host *h, struct peal_bytes body)
{
    uint8_t packet[CRY_BEACON_MAX], whole[CRY_BEACON_BODY_MAX];
    size_t n = 0, whole_n = 0;
    if (h->mcast == NULL)
        return;
    int err = beacon_sign(&h->beacons, &h->cfg.identity.key, net_wall_ms(), body, sizeof whole,
                          whole, &whole_n);
    if (err == 0)
        err = cry_beacon_seal(&h->cfg.beacon_key, peal_bytes_of(whole, whole_n), sizeof packet,
                              packet, &n);
    if (err == 0)
        err = net_mcast_send(h->mcast, peal_bytes_of(packet, n));
    if (err != 0)
        log_line(STEP_DEBUG, "multicast", "a beacon was not sent: %s", err_prose(err));
}

static void answer_probe(struct host *h, const struct net_addr *from)
{
    if (chord_state(svc_chord(h->svc)) != CHORD_MEMBER || h->leaving)
        return;
    struct peal_bytes list = peal_bytes_of(h->announced_list, h->announced_list_n);
    for (size_t i = 0; i < h->announced.n; i++) { /* which of them the asker sees is not known */
        struct wire_m_answer a = {.version = WIRE_VERSION,
                                  .address = wire_address(list, i),
                                  .fingerprint =
                                      peal_bytes_of(h->cfg.identity.fingerprint, CRY_FP_BYTES)};
        uint8_t out[256];
        struct wr w;
        wr_init(&w, out, sizeof out);
        int err = wire_encode(WIRE_m_answer, &a, &w);
        if (err == 0)
            err = net_mcast_reply(h->mcast, from, peal_bytes_of(out, w.n));
        if (err != 0)
            log_line(STEP_DEBUG, "multicast", "a probe was not answered: %s", err_prose(err));
    }
}

/* Whether a warning is due that was last said at *said. Each kind counts against its own limit:
 * other noise on the group must not hide it. */
static bool say_now(uint64_t *said)
{
    uint64_t now = net_now_us();
    if (*said != 0 && now - *said < HOST_SAY_US)
        return false;
    *said = now;
    return true;
}

static bool linked(const struct host *h, const struct peal_id *id)
{
    uint32_t at = 0, handle = 0;
    const struct host_link *l;
    while ((l = slab_each(&h->links, &at, &handle)) != NULL)
        if (l->node && l->up && l->net != NULL && id_eq(&net_link_info(l->net)->peer_id, id))
            return true;
    return false;
}

static void on_opened(struct host *h, const char *from, struct peal_bytes body)
{
    struct wire_m_beacon m;
    enum beacon_verdict verdict;
    int err = beacon_judge(&h->beacons, body, net_now_us(), net_wall_ms(), &m, &verdict);
    if (err != 0) {
        if (say_now(&h->forged_said_us))
            log_line(STEP_WARN, "multicast",
                     "a beacon from %s was not signed by the server that it names (%s): ignored",
                     from, err_prose(err));
        return;
    }
    struct step_event ev = {.kind = STEP_BEACON, .bytes = body};
    switch (verdict) {
    case BEACON_IGNORE:
        break;
    case BEACON_DIAL:
        log_line(STEP_DEBUG, "multicast",
                 "the clock of %s is more than %d minutes away from this machine's", from,
                 BEACON_FAR_MS / 60000);
        for (size_t i = 0; wire_address(m.contact.addresses, i).n > 0; i++)
            if (!linked(h, &m.contact.id))
                host_dial_now(h, wire_address(m.contact.addresses, i));
        break;
    case BEACON_TAKE:
        host_step(h, &ev);
        break;
    }
}

static void on_beacon(struct host *h, const struct net_addr *from, struct peal_bytes data)
{
    uint8_t body[CRY_BEACON_MAX];
    size_t n = 0;
    char text[NET_ADDR_TEXT];
    net_addr_text(from, text);
    int err = cry_beacon_open(&h->cfg.beacon_key, data, sizeof body, body, &n);
    if (err == 0)
        on_opened(h, text, peal_bytes_of(body, n));
    else if (err != PEAL_E_FOREIGN)
        log_line(STEP_DEBUG, "multicast", "a datagram from %s is no beacon: %s", text,
                 err_prose(err));
    else if (say_now(&h->foreign_said_us))
        log_line(STEP_WARN, "multicast",
                 "a beacon from %s is sealed under another ring's key and cannot be read; to be in "
                 "one ring with it, give both servers the same --ring-key-file",
                 text);
}

static void on_datagram(void *user, const struct net_addr *from, struct peal_bytes data)
{
    struct host *h = user;
    struct wire_m_probe probe;
    struct arena none;
    uint16_t type = 0;
    arena_init(&none, NULL, 0);
    if (wire_decode(data.p, data.n, &type, &probe, sizeof probe, &none) == 0 &&
        type == WIRE_m_probe) {
        answer_probe(h, from);
        return;
    }
    on_beacon(h, from, data);
}

/* ---- opening and closing ---- */

int announce_open(struct host *h, char why[static HOST_WHY_MAX])
{
    char reason[NET_REASON_MAX];
    struct net_addr have[NET_ADDRS_MAX];
    h->beacons.self = h->cfg.identity.id;
    /* watched before the first look, so that no change falls between the two */
    int err = net_watch_open(h->loop, on_addresses, h, &h->watch, reason);
    if (err != 0) {
        (void)snprintf(why, HOST_WHY_MAX, "%s", reason);
        return err;
    }
    choose(h, have, net_addrs(have));
    if (h->cfg.groups.n == 0)
        return 0;
    struct net_mcast_opts m = {.groups = h->cfg.groups, .datagram = on_datagram, .user = h};
    err = net_mcast_open(h->loop, &m, &h->mcast, reason);
    if (err != 0)
        (void)snprintf(why, HOST_WHY_MAX, "--multicast: %s", reason);
    else if (reason[0] != '\0')
        log_line(STEP_INFO, "multicast", "goes on without %s", reason);
    return err;
}

void announce_close(struct host *h)
{
    net_mcast_free(h->mcast);
    h->mcast = NULL;
    net_watch_free(h->watch);
    h->watch = NULL;
}
