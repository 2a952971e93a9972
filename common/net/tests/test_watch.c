/* The kernel's notices of changed interfaces and addresses, in a network of the test's own. */
#include "netns.h"
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(net_watch, .init = watch);

struct watcher {
    struct net_loop *loop;
    struct net_watch *w;
    unsigned changes;
    bool free_at_once;
};

static void on_changed(void *user)
{
    struct watcher *x = user;
    x->changes++;
    if (x->free_at_once) {
        net_watch_free(x->w);
        x->w = NULL;
    }
}

static void watcher_open(struct watcher *x)
{
    char why[NET_REASON_MAX] = "";
    cr_assert(net_loop_new(NULL, &x->loop) == 0, "net_loop_new");
    int err = net_watch_open(x->loop, on_changed, x, &x->w, why);
    cr_assert(err == 0, "net_watch_open gives %s: %s", err_name(err), why);
}

static bool have(const char *text)
{
    struct net_addr want, all[NET_ADDRS_MAX];
    cr_assert(net_addr_parse(text, &want) == 0, "%s", text);
    size_t n = net_addrs(all);
    for (size_t i = 0; i < n; i++) {
        all[i].zone = want.zone;
        if (net_addr_eq(&all[i], &want))
            return true;
    }
    return false;
}

static void add_interface(void)
{
    ip("link add left type veth peer name right");
    ip("link set right up");
    ip("link set left up");
}

/* Handles what is there already. */
static void settle(struct watcher *x)
{
    unsigned before;
    do {
        before = x->changes;
        (void)net_loop_once(x->loop, false);
    } while (x->changes != before);
    x->changes = 0;
}

Test(net_watch, addresses_that_come_and_go)
{
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct watcher x = {0};
    watcher_open(&x);
    settle(&x);
    add_interface();
    UNTIL(x.loop, x.changes);
    static const struct {
        const char *args, *addr;
        bool there;
    } steps[] = {{"addr add 192.0.2.7/24 dev left", "192.0.2.7:0", true},
                 {"addr add 2001:db8::7/64 dev left nodad", "[2001:db8::7]:0", true},
                 {"addr del 192.0.2.7/24 dev left", "192.0.2.7:0", false},
                 {"addr del 2001:db8::7/64 dev left", "[2001:db8::7]:0", false},
                 {"link set left down", "192.0.2.7:0", false},
                 {"link del left", "192.0.2.7:0", false}};
    for (size_t i = 0; i < PEAL_COUNT(steps); i++) {
        settle(&x);
        ip(steps[i].args);
        UNTIL(x.loop, x.changes);
        cr_assert(have(steps[i].addr) == steps[i].there, "after %s, %s", steps[i].args,
                  steps[i].addr);
    }
    net_watch_free(x.w);
    net_loop_free(x.loop);
}

/* Whether the address is there, and may be told to others. */
static bool lasting(const char *text)
{
    struct net_addr want, all[NET_ADDRS_MAX];
    cr_assert(net_addr_parse(text, &want) == 0, "%s", text);
    size_t n = net_addrs(all);
    for (size_t i = 0; i < n; i++)
        if (net_addr_eq(&all[i], &want))
            return !all[i].passing;
    return false;
}

Test(net_watch, an_address_under_test_or_deprecated_is_passing_and_a_change_of_that_is_told)
{
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct watcher x = {0};
    watcher_open(&x);
    add_interface();
    ip("addr add 192.0.2.7/24 dev left");
    ip("addr add 2001:db8::7/64 dev left nodad");
    cr_assert(lasting("192.0.2.7:0") && lasting("[2001:db8::7]:0"), "both are as good as any");
    ip("link set right down"); /* without a carrier no test begins */
    ip("addr add 2001:db8::8/64 dev left");
    settle(&x);
    cr_assert(have("[2001:db8::8]:0") && !lasting("[2001:db8::8]:0"), "it is not tested yet");
    ip("link set right up");
    UNTIL(x.loop, lasting("[2001:db8::8]:0"));
    settle(&x);
    ip("addr change 2001:db8::8/64 dev left preferred_lft 0 valid_lft forever");
    UNTIL(x.loop, x.changes);
    cr_assert(have("[2001:db8::8]:0") && !lasting("[2001:db8::8]:0"), "it is deprecated");
    cr_assert(lasting("[2001:db8::7]:0"), "the other is as good as before");
    net_watch_free(x.w);
    net_loop_free(x.loop);
}

Test(net_watch, many_changes_are_one_call_a_turn)
{
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct watcher x = {0};
    add_interface();
    watcher_open(&x);
    settle(&x);
    ip_batch("addr add 192.0.2.1/24 dev left\naddr add 192.0.2.2/24 dev left\n"
             "addr del 192.0.2.2/24 dev left\naddr add 192.0.2.3/24 dev left\n");
    (void)net_loop_once(x.loop, true);
    cr_assert(x.changes == 1, "four changes, %u calls", x.changes);
    net_loop_free(x.loop); /* frees the watch too */
}

/* More notices than the socket holds: the kernel drops some and says so, and the watch goes on. */
Test(net_watch, lost_notices_are_a_change_too)
{
    enum { ROUNDS = 1500, PAIR_MAX = 80 };
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct watcher x = {0};
    add_interface();
    watcher_open(&x);
    settle(&x);
    char *lines = malloc((size_t)ROUNDS * PAIR_MAX), *at = lines;
    cr_assert(lines, "memory");
    for (int i = 0; i < ROUNDS; i++)
        at += snprintf(at, PAIR_MAX,
                       "addr add 192.0.2.9/24 dev left\naddr del 192.0.2.9/24 dev left\n");
    ip_batch(lines);
    free(lines);
    UNTIL(x.loop, x.changes);
    settle(&x);
    ip("addr add 192.0.2.10/24 dev left");
    UNTIL(x.loop, x.changes);
    cr_assert(have("192.0.2.10:0"), "it still tells");
    net_loop_free(x.loop);
}

Test(net_watch, it_may_be_freed_from_its_call)
{
    if (!own_network())
        cr_skip_test("a network namespace of the test's own needs root and ip(8)");
    struct watcher x = {.free_at_once = true};
    watcher_open(&x);
    add_interface();
    UNTIL(x.loop, !x.w);
    cr_assert(x.changes == 1, "called %u times", x.changes);
    while (net_loop_once(x.loop, true))
        continue;
    net_loop_free(x.loop);
}
