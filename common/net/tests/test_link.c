/* Links between sides that keep to the rules, and between sides that must not meet. */
#include "pair.h"

#include <stdlib.h>
#include <string.h>

TestSuite(net_link, .init = watch);

static void expect_down(const struct side *s, int err)
{
    cr_assert(s->downs == 1, "down came %u times", s->downs);
    cr_assert(s->err == err, "down with %s: %s", err_name(s->err), s->reason);
    cr_assert(s->reason[0], "a reason is given");
}

static void send_all(struct net_link *link, const uint8_t *p, size_t n)
{
    int err = net_link_send(link, peal_bytes_of(p, n));
    cr_assert(err == 0, "sending %zu bytes gives %s", n, err_name(err));
}

Test(net_link, nodes_of_one_ring_know_each_other)
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    cr_assert(w.in.info.alpn == NET_ALPN_NODE && !w.in.info.dialled, "the accepting side");
    cr_assert(w.out.info.alpn == NET_ALPN_NODE && w.out.info.dialled, "the dialling side");
    cr_assert(w.in.info.has_peer_id && id_eq(&w.in.info.peer_id, &w.b.id),
              "it sees the dialler's id");
    cr_assert(w.out.info.has_peer_id && id_eq(&w.out.info.peer_id, &w.a.id),
              "it sees the other's id");
    cr_assert(memcmp(w.in.info.fingerprint, w.a.fingerprint, 32) == 0, "the ring, accepting");
    cr_assert(memcmp(w.out.info.fingerprint, w.a.fingerprint, 32) == 0, "the ring, dialling");
    cr_assert(net_addr_eq(&w.in.info.peer, &w.out.info.local), "both name the dialler's address");
    cr_assert(net_addr_eq(&w.out.info.peer, net_listener_addr(w.listener)), "and the listener's");
    w.in.echo = true;
    send_all(w.out.link, (const uint8_t *)"hello", 5);
    UNTIL(w.loop, w.out.frames == 1);
    cr_assert(w.out.bytes == 5, "the echo has %d bytes", (int)w.out.bytes);
    world_free(&w);
}

Test(net_link, another_ring_is_foreign_on_both_sides)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    (void)world_dial(&w, w.foreign_node, NET_ALPN_NODE);
    UNTIL(w.loop, w.out.downs && w.in.refusals);
    expect_down(&w.out, PEAL_E_FOREIGN);
    cr_assert(strstr(w.out.reason, "another ring"), "the reason is \"%s\"", w.out.reason);
    cr_assert(w.in.err == PEAL_E_FOREIGN, "the accepting side: %s, %s", err_name(w.in.err),
              w.in.reason);
    cr_assert(w.in.ups == 0 && w.out.ups == 0 && w.in.downs == 0, "neither side came up");
    world_free(&w);
}

Test(net_link, a_foreign_node_that_does_not_look_is_refused)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    struct raw_tls r = {.w = &w, .identity = &w.foreign, .alpn = "peal-node/1"};
    raw_tls_start(&r);
    raw_tls_join(&r);
    UNTIL(w.loop, w.in.refusals);
    cr_assert(w.in.err == PEAL_E_FOREIGN && w.in.ups == 0, "%s: %s", err_name(w.in.err),
              w.in.reason);
    cr_assert(r.reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it is told by the alert, got %d",
              r.reason);
    world_free(&w);
}

Test(net_link, a_certificate_of_another_kind_is_refused)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    struct raw_tls r = {.w = &w, .strange = true, .alpn = "peal-node/1"};
    raw_tls_start(&r);
    raw_tls_join(&r);
    UNTIL(w.loop, w.in.refusals);
    cr_assert(w.in.err == PEAL_E_AUTH && w.in.ups == 0, "%s: %s", err_name(w.in.err), w.in.reason);
    cr_assert(r.reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it is told, got %d", r.reason);
    world_free(&w);
}

Test(net_link, a_node_without_a_certificate_is_refused)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    struct raw_tls r = {.w = &w, .alpn = "peal-node/1"};
    raw_tls_start(&r);
    raw_tls_join(&r);
    UNTIL(w.loop, w.in.refusals);
    cr_assert(w.in.err == PEAL_E_AUTH && w.in.ups == 0, "%s: %s", err_name(w.in.err), w.in.reason);
    cr_assert(r.reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "it is told, got %d", r.reason);
    world_free(&w);
}

Test(net_link, other_protocols_and_older_tls_are_refused)
{
    static const struct {
        const char *alpn;
        int max_version;
    } odd[] = {{NULL, 0}, {"http/1.1", 0}, {"peal-node/10", 0}, {"peal-bin/1", TLS1_2_VERSION}};
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    for (unsigned i = 0; i < PEAL_COUNT(odd); i++) {
        struct raw_tls r = {
            .w = &w, .identity = &w.b, .alpn = odd[i].alpn, .max_version = odd[i].max_version};
        raw_tls_start(&r);
        raw_tls_join(&r);
        UNTIL(w.loop, w.in.refusals == i + 1);
        cr_assert(w.in.ups == 0, "case %u came up", i);
    }
    world_free(&w);
}

Test(net_link, a_client_without_a_pin_learns_the_fingerprint)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    (void)world_dial(&w, w.client, NET_ALPN_JSON);
    UNTIL(w.loop, w.in.ups && w.out.ups);
    cr_assert(w.in.info.alpn == NET_ALPN_JSON && w.out.info.alpn == NET_ALPN_JSON, "the protocol");
    cr_assert(!w.in.info.has_peer_id, "a client shows no certificate");
    cr_assert(memcmp(w.out.info.fingerprint, w.a.fingerprint, 32) == 0, "the fingerprint");
    cr_assert(id_eq(&w.out.info.peer_id, &w.a.id), "the server's id");
    world_free(&w);
}

Test(net_link, a_client_with_the_right_pin_comes_up)
{
    struct world w;
    struct net_tls *tls;
    world_init(&w, NULL);
    world_listen(&w);
    cr_assert(net_tls_client_new(w.a.fingerprint, &tls) == 0, "net_tls_client_new");
    (void)world_dial(&w, tls, NET_ALPN_BIN);
    net_tls_free(tls); /* the link holds its share */
    UNTIL(w.loop, w.in.ups && w.out.ups);
    cr_assert(w.in.info.alpn == NET_ALPN_BIN, "the protocol");
    world_free(&w);
}

Test(net_link, a_client_with_another_pin_does_not)
{
    struct world w;
    struct net_tls *tls;
    world_init(&w, NULL);
    world_listen(&w);
    cr_assert(net_tls_client_new(w.foreign.fingerprint, &tls) == 0, "net_tls_client_new");
    (void)world_dial(&w, tls, NET_ALPN_BIN);
    UNTIL(w.loop, w.out.downs && w.in.refusals);
    expect_down(&w.out, PEAL_E_FOREIGN);
    cr_assert(w.out.ups == 0 && w.in.ups == 0, "neither side came up");
    net_tls_free(tls);
    world_free(&w);
}

Test(net_link, a_server_whose_certificate_is_not_of_its_authority_is_refused)
{
    struct world w;
    world_init(&w, NULL);
    struct cry_identity liar = w.foreign; /* claims w.a's ring, without its signature */
    memcpy(liar.ca, w.a.ca, w.a.ca_n);
    liar.ca_n = w.a.ca_n;
    memcpy(liar.fingerprint, w.a.fingerprint, sizeof liar.fingerprint);
    struct net_tls *server, *client;
    cr_assert(net_tls_server_new(&liar, &server) == 0, "net_tls_server_new");
    cr_assert(net_tls_client_new(w.a.fingerprint, &client) == 0, "net_tls_client_new");
    w.listen.tls = server;
    world_listen(&w);
    (void)world_dial(&w, client, NET_ALPN_BIN);
    UNTIL(w.loop, w.out.downs && w.in.refusals);
    expect_down(&w.out, PEAL_E_AUTH);
    (void)world_dial(&w, w.node, NET_ALPN_NODE);
    UNTIL(w.loop, w.out.downs == 2);
    cr_assert(w.out.err == PEAL_E_FOREIGN && w.out.ups == 0, "a node: %s", err_name(w.out.err));
    net_tls_free(server);
    net_tls_free(client);
    world_free(&w);
}

Test(net_link, frames_of_all_sizes_come_back_whole)
{
    static const size_t edges[] = {1,
                                   2,
                                   3,
                                   4,
                                   5,
                                   1399,
                                   16379,
                                   16380,
                                   16381,
                                   16384,
                                   32768,
                                   65531,
                                   65532,
                                   65536,
                                   100000,
                                   NET_FRAME_MAX - 1,
                                   NET_FRAME_MAX};
    enum { RANDOM = 60 };
    struct world w;
    struct rng rng;
    rng_init(&rng, 11);
    uint8_t *data = malloc(NET_FRAME_MAX);
    cr_assert(data, "memory");
    rng_fill(&rng, data, NET_FRAME_MAX);
    struct cry_hash sent;
    cry_hash_init(&sent, "peal.test.net");
    uint8_t want[CRY_HASH_BYTES], got[CRY_HASH_BYTES];
    world_init(&w, NULL);
    world_connect(&w);
    w.in.echo = true;
    uint64_t bytes = 0;
    for (size_t i = 0; i < PEAL_COUNT(edges) + RANDOM; i++) {
        size_t n =
            i < PEAL_COUNT(edges) ? edges[i] : 1 + (size_t)rng_below(&rng, 1u << (1 + i % 18));
        size_t off = (size_t)rng_below(&rng, NET_FRAME_MAX - n + 1);
        send_all(w.out.link, data + off, n);
        cry_hash_part(&sent, peal_bytes_of(data + off, n));
        bytes += n;
        if (i % 5 == 0)
            UNTIL(w.loop, w.out.frames == i + 1);
    }
    UNTIL(w.loop, w.out.frames == PEAL_COUNT(edges) + RANDOM);
    cry_hash_end(&sent, want);
    cry_hash_end(&w.out.hash, got);
    cr_assert(memcmp(want, got, sizeof want) == 0, "the echo differs");
    struct net_link_stats s;
    net_link_stats(w.out.link, &s);
    cr_assert(s.frames_in == w.out.frames && s.frames_out == w.out.frames, "frames are counted");
    cr_assert(s.bytes_in > bytes && s.bytes_out > bytes && s.records_in && s.records_out &&
                  s.writes,
              "bytes and records are counted");
    cr_assert(net_link_queued(w.out.link) == 0, "nothing waits any more");
    free(data);
    world_free(&w);
}

Test(net_link, what_is_queued_in_one_turn_leaves_together)
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    struct net_link_stats before, after;
    net_link_stats(w.out.link, &before);
    for (unsigned i = 0; i < 100; i++)
        send_all(w.out.link, (const uint8_t *)"0123456789", 10);
    cr_assert(net_link_queued(w.out.link) == 1400, "%zu bytes wait", net_link_queued(w.out.link));
    UNTIL(w.loop, w.in.frames == 100);
    net_link_stats(w.out.link, &after);
    cr_assert(after.writes - before.writes == 1, "%d writes", (int)(after.writes - before.writes));
    cr_assert(after.records_out - before.records_out == 1, "one record");
    world_free(&w);
}

Test(net_link, frames_queued_before_the_handshake_arrive)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    struct net_link *link = world_dial(&w, w.client, NET_ALPN_BIN);
    send_all(link, (const uint8_t *)"early", 5);
    UNTIL(w.loop, w.in.frames == 1);
    cr_assert(w.in.bytes == 5, "five bytes");
    world_free(&w);
}

Test(net_link, sends_out_of_bounds_are_refused)
{
    static uint8_t big[NET_FRAME_MAX + 1];
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    cr_assert(net_link_send(w.out.link, peal_bytes_of(NULL, 0)) == PEAL_E_USAGE, "empty");
    cr_assert(net_link_send(w.out.link, peal_bytes_of(big, sizeof big)) == PEAL_E_USAGE,
              "too long");
    send_all(w.out.link, big, 1);
    net_link_close(w.out.link, "done");
    cr_assert(net_link_send(w.out.link, peal_bytes_of(big, 1)) == PEAL_E_CLOSED, "after close");
    UNTIL(w.loop, w.in.downs && w.out.downs);
    cr_assert(w.in.frames == 1, "what was queued before the close arrives");
    world_free(&w);
}

Test(net_link, close_flushes_what_is_queued)
{
    enum { FRAMES = 15 };
    static uint8_t data[NET_FRAME_MAX];
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    for (unsigned i = 0; i < FRAMES; i++)
        send_all(w.out.link, data, sizeof data);
    net_link_close(w.out.link, "moving house");
    net_link_close(w.out.link, "a second time");
    UNTIL(w.loop, w.in.downs && w.out.downs);
    cr_assert(w.in.frames == FRAMES, "%d frames arrived", (int)w.in.frames);
    expect_down(&w.in, PEAL_E_CLOSED);
    expect_down(&w.out, PEAL_E_CLOSED);
    cr_assert(strcmp(w.out.reason, "moving house") == 0, "the reason is \"%s\"", w.out.reason);
    world_free(&w);
}

static void stop_in_frame(void (*stop)(struct net_link *, const char *))
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    w.in.stop_at = 3;
    w.in.stop = stop;
    for (unsigned i = 0; i < 50; i++)
        send_all(w.out.link, (const uint8_t *)"x", 1);
    UNTIL(w.loop, w.in.downs && w.out.downs);
    expect_down(&w.in, PEAL_E_CLOSED);
    cr_assert(strcmp(w.in.reason, "enough") == 0, "the reason is \"%s\"", w.in.reason);
    cr_assert(w.in.frames == 3 && w.in.frames_after_stop == 0, "%d frames", (int)w.in.frames);
    cr_assert(w.out.downs == 1, "the other side went down once");
    world_free(&w);
}

Test(net_link, close_from_within_a_frame)
{
    stop_in_frame(net_link_close);
}

Test(net_link, abort_from_within_a_frame)
{
    stop_in_frame(net_link_abort);
}

Test(net_link, both_sides_close_at_once)
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    net_link_close(w.in.link, "here");
    net_link_close(w.out.link, "there");
    UNTIL(w.loop, w.in.downs && w.out.downs);
    expect_down(&w.in, PEAL_E_CLOSED);
    expect_down(&w.out, PEAL_E_CLOSED);
    world_free(&w);
}

Test(net_link, nobody_listens)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    struct net_dial_opts opts = {.place = net_place_of(net_listener_addr(w.listener)),
                                 .tls = w.node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &events,
                                 .user = &w.out};
    net_listener_free(w.listener);
    while (net_loop_once(w.loop, true))
        continue;
    struct net_link *link;
    cr_assert(net_dial(w.loop, &opts, &link) == 0, "net_dial");
    cr_assert(w.out.downs == 0, "not from within the call");
    UNTIL(w.loop, w.out.downs);
    expect_down(&w.out, PEAL_E_REFUSED);
    cr_assert(strstr(w.out.reason, "127.0.0.1:"), "the reason is \"%s\"", w.out.reason);
    world_free(&w);
}

Test(net_link, a_name_is_looked_up_and_its_addresses_are_tried)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    struct net_dial_opts opts = {.place = net_place_of(net_listener_addr(w.listener)),
                                 .tls = w.node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &events,
                                 .user = &w.out};
    strcpy(opts.place.host, "localhost");
    struct net_link *link;
    cr_assert(net_dial(w.loop, &opts, &link) == 0, "net_dial");
    UNTIL(w.loop, w.out.ups || w.out.downs);
    cr_assert(w.out.ups == 1, "%s", w.out.reason);
    world_free(&w);
}

Test(net_link, an_unknown_name_is_said_to_be_unknown)
{
    struct world w;
    world_init(&w, NULL);
    struct net_dial_opts opts = {.place = {.host = "no-such-host.invalid", .port = 1},
                                 .tls = w.node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &events,
                                 .user = &w.out};
    struct net_link *link;
    cr_assert(net_dial(w.loop, &opts, &link) == 0, "net_dial");
    UNTIL(w.loop, w.out.downs);
    /* without a name server nobody can know */
    cr_assert(w.out.err == PEAL_E_NOT_FOUND || w.out.err == PEAL_E_UNAVAILABLE, "%s",
              err_name(w.out.err));
    cr_assert(strstr(w.out.reason, "no-such-host.invalid"), "the reason is \"%s\"", w.out.reason);
    cr_assert(net_dial(w.loop, &opts, &link) == 0, "net_dial");
    net_link_abort(link, "changed my mind");
    UNTIL(w.loop, w.out.downs == 2);
    cr_assert(w.out.err == PEAL_E_CLOSED, "an abort during the look-up");
    world_free(&w);
}

Test(net_link, dialling_from_a_chosen_address_to_another)
{
    struct world w;
    world_init(&w, NULL);
    cr_assert(net_addr_parse("127.0.0.3:0", &w.listen.addr) == 0, "address");
    world_listen(&w);
    struct net_dial_opts opts = {.place = net_place_of(net_listener_addr(w.listener)),
                                 .tls = w.node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &events,
                                 .user = &w.out};
    cr_assert(net_addr_parse("127.0.0.2:0", &opts.from) == 0, "address");
    struct net_link *link;
    cr_assert(net_dial(w.loop, &opts, &link) == 0, "net_dial");
    UNTIL(w.loop, w.in.ups && w.out.ups);
    char text[NET_ADDR_TEXT];
    net_addr_ip_text(&w.in.info.peer, text);
    cr_assert(strcmp(text, "127.0.0.2") == 0, "it came from %s", text);
    net_addr_ip_text(&w.in.info.local, text);
    cr_assert(strcmp(text, "127.0.0.3") == 0, "it came to %s", text);
    world_free(&w);
}

Test(net_link, ipv6)
{
    struct world w;
    if (!has_ipv6())
        cr_skip_test("this machine has no IPv6");
    world_init(&w, NULL);
    cr_assert(net_addr_parse("[::1]:0", &w.listen.addr) == 0, "address");
    world_connect(&w);
    cr_assert(w.in.info.peer.ip_len == 16 && net_addr_is_loopback(&w.in.info.peer), "from ::1");
    world_free(&w);
}

Test(net_link, a_taken_port_and_a_strange_address_are_explained)
{
    struct world w;
    char why[NET_REASON_MAX];
    struct net_listener *l;
    world_init(&w, NULL);
    world_listen(&w);
    struct net_listen_opts opts = w.listen;
    opts.addr = *net_listener_addr(w.listener);
    int err = net_listen(w.loop, &opts, &l, why);
    cr_assert(err == PEAL_E_EXISTS && !l, "a taken port gives %s", err_name(err));
    cr_assert(strstr(why, "already in use") && strstr(why, "127.0.0.1"), "it says: %s", why);
    cr_assert(net_addr_parse("198.51.100.1:0", &opts.addr) == 0, "address");
    err = net_listen(w.loop, &opts, &l, why);
    cr_assert(err == PEAL_E_NOT_FOUND, "a strange address gives %s", err_name(err));
    cr_assert(strstr(why, "198.51.100.1"), "it says: %s", why);
    world_free(&w);
}

Test(net_link, silence_beyond_the_idle_bound_ends_a_link)
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    net_link_idle_set(w.out.link, 20 * 1000);
    UNTIL(w.loop, w.out.downs && w.in.downs);
    expect_down(&w.out, PEAL_E_UNAVAILABLE);
    cr_assert(w.in.downs == 1 && w.in.err != PEAL_E_UNAVAILABLE, "the other side sees it go");
    world_free(&w);
}

Test(net_link, two_hundred_links_come_and_go)
{
    enum { ROUNDS = 10, EACH = 20 };
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    unsigned n = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct net_link *links[EACH];
        for (unsigned i = 0; i < EACH; i++) {
            links[i] =
                world_dial(&w, i % 3 ? w.client : w.node, i % 3 ? NET_ALPN_BIN : NET_ALPN_NODE);
            send_all(links[i], (const uint8_t *)"hello", 5);
        }
        n += EACH;
        UNTIL(w.loop, w.out.ups == n && w.in.ups == n && w.in.frames == n);
        for (unsigned i = 0; i < EACH; i++) {
            if (i % 2)
                net_link_close(links[i], "bye");
            else
                net_link_abort(links[i], "bye");
        }
        UNTIL(w.loop, w.out.downs == n && w.in.downs == n);
    }
    cr_assert(w.in.ups == ROUNDS * EACH && w.in.refusals == 0, "all came up, once each");
    world_free(&w);
}

Test(net_link, a_turn_that_sends_on_many_links)
{
    enum { LINKS = 280 };
    static const uint8_t data[100];
    struct net_link *links[LINKS];
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    for (unsigned i = 0; i < LINKS; i++) {
        links[i] = world_dial(&w, w.client, NET_ALPN_BIN);
        UNTIL(w.loop, w.out.ups == i + 1 && w.in.ups == i + 1);
    }
    for (unsigned i = 0; i < LINKS; i++)
        send_all(links[i], data, sizeof data);
    struct net_link_stats first, last;
    net_link_stats(links[0], &first);
    net_link_stats(links[LINKS - 1], &last);
    cr_assert(first.writes == last.writes + 1, "the earliest need not wait for the turn's end");
    UNTIL(w.loop, w.in.frames == LINKS);
    cr_assert(w.in.bytes == LINKS * sizeof data, "all of it came");
    world_free(&w);
}
