/* Peers that do not keep to the rules: each costs itself its link, and nobody else anything. */
#include "pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(net_abuse, .init = watch);

static uint8_t *header(uint8_t *p, uint32_t n)
{
    p[0] = (uint8_t)(n >> 24);
    p[1] = (uint8_t)(n >> 16);
    p[2] = (uint8_t)(n >> 8);
    p[3] = (uint8_t)n;
    return p + 4;
}

/* That a good link still carries frames. */
static void expect_alive(struct world *w)
{
    uint64_t n = w->in.frames;
    cr_assert(w->out.link, "the good link is there");
    int err = net_link_send(w->out.link, peal_bytes_str("still here"));
    cr_assert(err == 0, "sending gives %s", err_name(err));
    UNTIL(w->loop, w->in.frames > n);
    cr_assert(w->out.downs == 0, "the good link stays");
}

Test(net_abuse, garbage_ends_only_its_own_link)
{
    enum { CALLERS = 50 };
    struct world w;
    struct rng rng;
    rng_init(&rng, 3);
    world_init(&w, NULL);
    world_connect(&w);
    for (unsigned i = 0; i < CALLERS; i++) {
        uint8_t junk[3000];
        rng_fill(&rng, junk, sizeof junk);
        if (i % 3 == 1) /* looks like a handshake record at first */
            memcpy(junk, (const uint8_t[]){22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, 11);
        if (i % 3 == 2)
            memcpy(junk, "GET / HTTP/1.1\r\n\r\n", 18);
        size_t n = 1 + (size_t)rng_below(&rng, sizeof junk);
        int fd = raw_connect(&w);
        cr_assert(send(fd, junk, n, MSG_NOSIGNAL) == (ssize_t)n, "send");
        shutdown(fd, SHUT_WR);
        UNTIL(w.loop, w.in.refusals == i + 1);
        cr_assert(w.in.err < 0 && w.in.reason[0], "a reason is given");
        close(fd);
    }
    expect_alive(&w);
    world_free(&w);
}

Test(net_abuse, callers_that_say_nothing_time_out)
{
    struct world w;
    world_init(&w, NULL);
    w.listen.handshake_us = 30 * 1000;
    world_listen(&w);
    int silent = raw_connect(&w), slow = raw_connect(&w);
    cr_assert(send(slow, "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL) == 6, "send");
    UNTIL(w.loop, w.in.refusals == 2);
    cr_assert(w.in.err == PEAL_E_UNAVAILABLE, "%s: %s", err_name(w.in.err), w.in.reason);
    close(silent);
    close(slow);
    world_free(&w);
}

Test(net_abuse, a_server_that_says_nothing_times_out)
{
    struct world w;
    world_init(&w, NULL);
    world_listen(&w);
    /* a socket that accepts in the kernel and never answers */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && listen(fd, 5) == 0, "listen");
    struct sockaddr_storage ss;
    socklen_t n = sizeof ss;
    cr_assert(getsockname(fd, (struct sockaddr *)&ss, &n) == 0, "getsockname");
    struct net_dial_opts opts = {.tls = w.node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &events,
                                 .user = &w.out,
                                 .timeout_us = 30 * 1000};
    strcpy(opts.place.host, "127.0.0.1");
    opts.place.port = (uint16_t)(((uint8_t *)&ss)[2] << 8 | ((uint8_t *)&ss)[3]);
    struct net_link *link;
    cr_assert(net_dial(w.loop, &opts, &link) == 0, "net_dial");
    UNTIL(w.loop, w.out.downs);
    cr_assert(w.out.downs == 1 && w.out.err == PEAL_E_UNAVAILABLE, "%s", w.out.reason);
    close(fd);
    world_free(&w);
}

Test(net_abuse, the_oldest_handshake_gives_way)
{
    enum { MAX = 4, CALLERS = 12 };
    int fds[CALLERS];
    struct world w;
    world_init(&w, NULL);
    w.listen.half_open_max = MAX;
    world_listen(&w);
    for (unsigned i = 0; i < CALLERS; i++)
        fds[i] = raw_connect(&w);
    UNTIL(w.loop, w.in.refusals == CALLERS - MAX);
    cr_assert(w.in.err == PEAL_E_BUSY, "%s: %s", err_name(w.in.err), w.in.reason);
    (void)world_dial(&w, w.node, NET_ALPN_NODE);
    UNTIL(w.loop, w.in.ups && w.out.ups);
    cr_assert(w.in.refusals == CALLERS - MAX + 1, "an honest caller takes the place of one");
    for (unsigned i = 0; i < CALLERS; i++)
        close(fds[i]);
    world_free(&w);
}

Test(net_abuse, links_are_bounded)
{
    enum { MAX = 3, MORE = 5 };
    int fds[MORE];
    struct world w;
    world_init(&w, &(struct net_loop_config){.links_max = MAX});
    world_connect(&w);
    for (unsigned i = 0; i < MORE; i++)
        fds[i] = raw_connect(&w);
    UNTIL(w.loop, w.in.refusals == MORE - 1); /* two places are the good link's */
    cr_assert(w.in.err == PEAL_E_BUSY, "%s: %s", err_name(w.in.err), w.in.reason);
    struct net_link *link;
    struct net_dial_opts opts = {.place = net_place_of(net_listener_addr(w.listener)),
                                 .tls = w.node,
                                 .alpn = NET_ALPN_NODE,
                                 .events = &events,
                                 .user = &w.out};
    cr_assert(net_dial(w.loop, &opts, &link) == PEAL_E_BUSY && !link, "dialling too");
    for (unsigned i = 0; i < MORE; i++)
        close(fds[i]);
    UNTIL(w.loop, w.in.refusals == MORE);
    expect_alive(&w);
    net_link_abort(w.out.link, "make room");
    UNTIL(w.loop, w.out.downs == 1 && w.in.downs == 1);
    (void)world_dial(&w, w.node, NET_ALPN_NODE);
    UNTIL(w.loop, w.in.ups == 2);
    world_free(&w);
}

static void bad_length(uint32_t length, int want)
{
    struct world w;
    uint8_t bytes[16] = {0};
    header(bytes, length);
    world_init(&w, NULL);
    world_connect(&w);
    struct raw_tls r = {.w = &w, .alpn = "peal-bin/1", .send = bytes, .send_n = sizeof bytes};
    raw_tls_start(&r);
    UNTIL(w.loop, w.in.downs);
    raw_tls_join(&r);
    cr_assert(w.in.err == want, "length %u: %s, %s", length, err_name(w.in.err), w.in.reason);
    cr_assert(w.in.downs == 1 && w.in.frames == 0, "down once, no frame");
    expect_alive(&w);
    world_free(&w);
}

Test(net_abuse, an_empty_frame)
{
    bad_length(0, PEAL_E_MALFORMED);
}

Test(net_abuse, a_frame_just_too_long)
{
    bad_length(NET_FRAME_MAX + 1, PEAL_E_TOO_LONG);
}

Test(net_abuse, a_huge_frame)
{
    bad_length(UINT32_MAX, PEAL_E_TOO_LONG);
}

Test(net_abuse, a_bad_length_after_good_frames_in_small_pieces)
{
    struct world w;
    uint8_t bytes[64] = {0}, *p = bytes;
    p = header(p, 5) + 5;
    p = header(p, 1) + 1;
    p = header(p, 0);
    world_init(&w, NULL);
    world_listen(&w);
    struct raw_tls r = {
        .w = &w, .alpn = "peal-json/1", .send = bytes, .send_n = (size_t)(p - bytes), .piece = 1};
    raw_tls_start(&r);
    UNTIL(w.loop, w.in.downs);
    raw_tls_join(&r);
    cr_assert(w.in.frames == 2 && w.in.bytes == 6, "%d good frames", (int)w.in.frames);
    cr_assert(w.in.err == PEAL_E_MALFORMED, "%s", err_name(w.in.err));
    world_free(&w);
}

Test(net_abuse, half_a_frame_and_gone)
{
    static const size_t kept[] = {1, 3, 4, 5, 3000, 70000};
    static uint8_t bytes[70000];
    struct world w;
    header(bytes, 100000);
    world_init(&w, NULL);
    world_connect(&w);
    for (unsigned i = 0; i < PEAL_COUNT(kept); i++) {
        struct raw_tls r = {
            .w = &w, .alpn = "peal-bin/1", .send = bytes, .send_n = kept[i], .abrupt = true};
        raw_tls_start(&r);
        UNTIL(w.loop, w.in.downs == i + 1);
        raw_tls_join(&r);
        cr_assert(w.in.err == PEAL_E_CLOSED || w.in.err == PEAL_E_IO, "%s", err_name(w.in.err));
    }
    cr_assert(w.in.frames == 0, "no frame was made of halves");
    expect_alive(&w);
    world_free(&w);
}

Test(net_abuse, frames_in_pieces_of_any_size_come_whole)
{
    enum { FRAMES = 150, BYTES = 1 << 20 };
    static const size_t pieces[] = {7, 300, 20000, 100000};
    uint8_t *bytes = malloc(BYTES);
    cr_assert(bytes, "memory");
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned k = 0; k < PEAL_COUNT(pieces); k++) {
        struct world w;
        struct cry_hash sent;
        uint8_t want[CRY_HASH_BYTES], got[CRY_HASH_BYTES];
        cry_hash_init(&sent, "peal.test.net");
        size_t at = 0, frames = 0;
        size_t cap = pieces[k] < 100 ? 20000 : BYTES; /* tiny pieces: fewer bytes */
        while (frames < FRAMES) {
            size_t n = 1 + (size_t)rng_below(&rng, 1u << (1 + frames % 17));
            if (cap - at < 4 + n)
                break;
            uint8_t *p = header(bytes + at, (uint32_t)n);
            rng_fill(&rng, p, n);
            cry_hash_part(&sent, peal_bytes_of(p, n));
            at += 4 + n;
            frames++;
        }
        world_init(&w, NULL);
        world_listen(&w);
        struct raw_tls r = {.w = &w,
                            .alpn = "peal-bin/1",
                            .send = bytes,
                            .send_n = at,
                            .piece = pieces[k],
                            .rekey = k % 2,
                            .abrupt = true};
        raw_tls_start(&r);
        UNTIL(w.loop, w.in.downs);
        raw_tls_join(&r);
        cr_assert(w.in.frames == frames, "%zu of %zu frames: %d, %s", (size_t)w.in.frames, frames,
                  r.reason, w.in.reason);
        cry_hash_end(&sent, want);
        cry_hash_end(&w.in.hash, got);
        cr_assert(memcmp(want, got, sizeof want) == 0, "pieces up to %zu: contents", pieces[k]);
        world_free(&w);
    }
    free(bytes);
}

Test(net_abuse, a_slow_reader_is_closed_at_the_bound)
{
    enum { OUT_MAX = 1 << 20, SENDS = 10000 };
    static uint8_t data[64 * 1024];
    struct world w;
    world_init(&w, &(struct net_loop_config){.out_max = OUT_MAX});
    world_listen(&w);
    struct raw_tls r = {.w = &w, .alpn = "peal-bin/1", .wait = true};
    raw_tls_start(&r);
    UNTIL(w.loop, w.in.ups);
    int err = 0;
    size_t most = 0;
    for (unsigned i = 0; i < SENDS && err == 0; i++) {
        err = net_link_send(w.in.link, peal_bytes_of(data, sizeof data));
        size_t queued = net_link_queued(w.in.link);
        most = queued > most ? queued : most;
        (void)net_loop_once(w.loop, false);
        cr_assert(w.in.downs == (err != 0), "down only after FULL, and from the loop");
    }
    cr_assert(err == PEAL_E_FULL, "sending gives %s", err_name(err));
    UNTIL(w.loop, w.in.downs);
    cr_assert(most <= OUT_MAX + 2 * 16 * 1024, "%zu bytes waited", most);
    cr_assert(w.in.downs == 1 && w.in.err == PEAL_E_FULL, "%s", err_name(w.in.err));
    cr_assert(strstr(w.in.reason, "slow reader"), "the reason is \"%s\"", w.in.reason);
    raw_tls_release(&r);
    raw_tls_join(&r);
    world_free(&w);
}

Test(net_abuse, closing_does_not_wait_for_a_reader_that_never_reads)
{
    static uint8_t data[NET_FRAME_MAX];
    struct world w;
    world_init(&w, &(struct net_loop_config){.close_us = 30 * 1000, .out_max = 64 << 20});
    world_listen(&w);
    struct raw_tls r = {.w = &w, .alpn = "peal-bin/1", .wait = true};
    raw_tls_start(&r);
    UNTIL(w.loop, w.in.ups);
    for (unsigned i = 0; i < 200; i++)
        cr_assert(net_link_send(w.in.link, peal_bytes_of(data, sizeof data)) == 0, "sending");
    net_link_close(w.in.link, "time to go");
    UNTIL(w.loop, w.in.downs);
    cr_assert(w.in.err == PEAL_E_CLOSED && strcmp(w.in.reason, "time to go") == 0, "%s",
              w.in.reason);
    raw_tls_release(&r);
    raw_tls_join(&r);
    world_free(&w);
}

Test(net_abuse, a_listener_that_goes_drops_handshakes_and_keeps_links)
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    int fd = raw_connect(&w);
    expect_alive(&w); /* by then the caller is taken in */
    net_listener_free(w.listener);
    expect_alive(&w);
    cr_assert(w.in.refusals == 0, "dropped without a call");
    close(fd);
    world_free(&w);
}
