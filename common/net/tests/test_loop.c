/* The loop: timers never early, wakes from other threads, and an end that leaves nothing behind. */
#include "pair.h"

#include <pthread.h>
#include <string.h>
#include <uv.h>

TestSuite(net_loop, .init = watch);

struct ticks {
    struct net_loop *loop;
    struct net_timer *timer;
    uint64_t due_us, late_by_us;
    unsigned n;
    bool early;
};

static void on_tick(void *user)
{
    struct ticks *t = user;
    uint64_t now = net_now_us();
    t->n++;
    if (now < t->due_us)
        t->early = true;
}

Test(net_loop, a_timer_fires_once_and_never_early)
{
    struct ticks t = {0};
    cr_assert(net_loop_new(NULL, &t.loop) == 0, "net_loop_new");
    cr_assert(net_timer_new(t.loop, on_tick, &t, &t.timer) == 0, "net_timer_new");
    for (unsigned i = 0; i < 40; i++) {
        t.due_us = net_now_us() + i * 137;
        net_timer_at(t.timer, t.due_us);
        /* without sleeping, which would hide a timer that is early by a fraction of a millisecond
         */
        while (t.n == i)
            (void)net_loop_once(t.loop, false);
        cr_assert(t.n == i + 1, "fired %u times after %u starts", t.n, i + 1);
        cr_assert(!t.early, "too early");
    }
    net_timer_at(t.timer, 0);
    net_loop_run(t.loop);
    cr_assert(t.n == 41, "a due time in the past fires");
    net_timer_at(t.timer, net_now_us() + 1000);
    net_timer_stop(t.timer);
    net_timer_at(t.timer, UINT64_MAX);
    net_loop_run(t.loop);
    cr_assert(t.n == 41, "a stopped timer fires");
    net_loop_free(t.loop);
}

static void restart_sooner(void *user)
{
    struct ticks *t = user;
    if (++t->n == 1)
        net_timer_at(t->timer, net_now_us() + 100);
    else
        net_timer_free(t->timer);
}

Test(net_loop, a_timer_may_restart_and_free_itself)
{
    struct ticks t = {0};
    cr_assert(net_loop_new(NULL, &t.loop) == 0, "net_loop_new");
    cr_assert(net_timer_new(t.loop, restart_sooner, &t, &t.timer) == 0, "net_timer_new");
    net_timer_at(t.timer, net_now_us() + 3600ull * 1000 * 1000);
    net_timer_at(t.timer, net_now_us());
    net_loop_run(t.loop);
    cr_assert(t.n == 2, "fired %u times", t.n);
    net_loop_free(t.loop);
}

static void on_wake(void *user)
{
    struct ticks *t = user;
    t->n++;
    net_loop_stop(t->loop);
}

static void *fire(void *arg)
{
    net_wake_fire(arg);
    return NULL;
}

Test(net_loop, a_wake_comes_from_another_thread)
{
    struct ticks t = {0};
    struct net_wake *w;
    pthread_t thread;
    cr_assert(net_loop_new(NULL, &t.loop) == 0, "net_loop_new");
    cr_assert(net_wake_new(t.loop, on_wake, &t, &w) == 0, "net_wake_new");
    for (unsigned i = 0; i < 20; i++) {
        cr_assert(pthread_create(&thread, NULL, fire, w) == 0, "pthread_create");
        net_loop_run(t.loop);
        pthread_join(thread, NULL);
        cr_assert(t.n == i + 1, "woken %u times", t.n);
    }
    net_wake_hold(w, false);
    net_loop_run(t.loop);
    cr_assert(t.n == 20, "a wake that does not hold lets the loop end");
    net_loop_free(t.loop);
}

Test(net_loop, freeing_reports_each_link_once_and_leaves_nothing)
{
    struct world w;
    struct net_timer *timer;
    struct net_wake *wake;
    struct ticks t = {0};
    world_init(&w, NULL);
    world_connect(&w);
    (void)world_dial(&w, w.client, NET_ALPN_BIN);
    cr_assert(net_timer_new(w.loop, on_tick, &t, &timer) == 0, "net_timer_new");
    net_timer_at(timer, 0);
    cr_assert(net_wake_new(w.loop, on_wake, &t, &wake) == 0, "net_wake_new");
    net_wake_fire(wake);
    net_loop_stop(w.loop);
    world_free(&w);
    cr_assert(w.in.downs == 1, "the accepted link went down %u times", w.in.downs);
    cr_assert(w.out.downs == 2, "the dialled links went down %u times", w.out.downs);
    cr_assert(w.out.err == PEAL_E_CLOSED, "with %s", err_name(w.out.err));
    cr_assert(t.n == 0, "nothing else is called while the loop is freed");
}

Test(net_loop, shutdown_lets_the_loop_end)
{
    struct world w;
    world_init(&w, NULL);
    world_connect(&w);
    net_listener_free(w.listener);
    net_loop_shutdown(w.loop, "the end");
    net_loop_run(w.loop);
    cr_assert(w.in.downs == 1 && w.out.downs == 1, "down %u and %u times", w.in.downs, w.out.downs);
    cr_assert(strcmp(w.out.reason, "the end") == 0, "the reason is \"%s\"", w.out.reason);
    world_free(&w);
}

Test(net_loop, clocks_go_on)
{
    uint64_t a = net_now_us(), b = net_now_us();
    cr_assert(a <= b && a > 0, "the monotonic clock goes back");
    cr_assert(net_wall_ms() > 1600000000000ull, "Unix time in milliseconds");
}
