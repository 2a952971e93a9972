/* The event loop with its timers and wakes. */
#include "net_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void on_prepare(uv_prepare_t *h)
{
    net_link_flush_all(h->data);
}

static void on_check(uv_check_t *h)
{
    net_link_flush_all(h->data);
}

static void config_set(struct net_loop *loop, const struct net_loop_config *config)
{
    if (config)
        loop->config = *config;
    if (loop->config.links_max == 0)
        loop->config.links_max = NET_LINKS_MAX;
    if (loop->config.out_max == 0)
        loop->config.out_max = NET_OUT_MAX;
    if (loop->config.close_us == 0)
        loop->config.close_us = NET_CLOSE_US;
    CHECK(loop->config.out_max >= NET_FRAME_MAX + NET_HEADER);
}

int net_loop_new(const struct net_loop_config *config, struct net_loop **out)
{
    *out = NULL;
    struct net_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return PEAL_E_NO_MEMORY;
    config_set(loop, config);
    TAILQ_INIT(&loop->links);
    TAILQ_INIT(&loop->dirty);
    STAILQ_INIT(&loop->pool);
    loop->bio = net_bio_method();
    if (!loop->bio)
        goto no_bio;
    if (uv_loop_init(&loop->uv))
        goto no_uv;
    (void)signal(SIGPIPE, SIG_IGN);
    loop->uv.data = loop;
    int err = uv_prepare_init(&loop->uv, &loop->prepare);
    err |= uv_check_init(&loop->uv, &loop->check);
    err |= uv_prepare_start(&loop->prepare, on_prepare);
    err |= uv_check_start(&loop->check, on_check);
    CHECK(err == 0);
    loop->prepare.data = loop;
    loop->check.data = loop;
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    *out = loop;
    return 0;

no_uv:
    BIO_meth_free(loop->bio);
no_bio:
    free(loop);
    return PEAL_E_NO_MEMORY;
}

struct uv_loop_s *net_loop_uv(struct net_loop *loop)
{
    return &loop->uv;
}

void net_loop_run(struct net_loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

bool net_loop_once(struct net_loop *loop, bool wait)
{
    return uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0;
}

void net_loop_stop(struct net_loop *loop)
{
    uv_stop(&loop->uv);
}

void net_loop_shutdown(struct net_loop *loop, const char *reason)
{
    struct net_link *link;
    /* closing takes no link out of the list: that is done from the loop */
    TAILQ_FOREACH(link, &loop->links, entry)
    net_link_close(link, reason);
}

static void must_be_closing(uv_handle_t *h, void *arg)
{
    (void)arg;
    CHECK(uv_is_closing(h));
}

static void pool_free(struct net_loop *loop)
{
    struct net_chunk *c;
    while ((c = STAILQ_FIRST(&loop->pool))) {
        STAILQ_REMOVE_HEAD(&loop->pool, next);
        free(c);
    }
}

void net_loop_free(struct net_loop *loop)
{
    if (!loop)
        return;
    loop->ending = true;
    struct net_timer *t;
    LIST_FOREACH(t, &loop->timers, entry)
    net_timer_stop(t);
    while (!LIST_EMPTY(&loop->listeners))
        net_listener_free(LIST_FIRST(&loop->listeners));
    while (!LIST_EMPTY(&loop->mcasts))
        net_mcast_free(LIST_FIRST(&loop->mcasts));
    while (!LIST_EMPTY(&loop->watches))
        net_watch_free(LIST_FIRST(&loop->watches));
    struct net_link *link;
    TAILQ_FOREACH(link, &loop->links, entry)
    net_link_fail(link, PEAL_E_CLOSED, "the program is ending");
    while (!TAILQ_EMPTY(&loop->links))
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    while (!LIST_EMPTY(&loop->timers))
        net_timer_free(LIST_FIRST(&loop->timers));
    while (!LIST_EMPTY(&loop->wakes))
        net_wake_free(LIST_FIRST(&loop->wakes));
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_walk(&loop->uv, must_be_closing, NULL);
    /* more than once when net_loop_stop came outside of a run */
    while (uv_run(&loop->uv, UV_RUN_DEFAULT))
        continue;
    int err = uv_loop_close(&loop->uv);
    CHECK(err == 0);
    pool_free(loop);
    BIO_meth_free(loop->bio);
    free(loop);
}

uint64_t net_now_us(void)
{
    return uv_hrtime() / 1000;
}

uint64_t net_wall_ms(void)
{
    struct timespec t;
    int err = clock_gettime(CLOCK_REALTIME, &t);
    CHECK(err == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- timers ---- */

int net_timer_new(struct net_loop *loop, void (*fire)(void *user), void *user,
                  struct net_timer **out)
{
    *out = NULL;
    if (loop->ending)
        return PEAL_E_CLOSED;
    struct net_timer *t = calloc(1, sizeof *t);
    if (!t)
        return PEAL_E_NO_MEMORY;
    *t = (struct net_timer){.loop = loop, .due_us = UINT64_MAX, .fire = fire, .user = user};
    int err = uv_timer_init(&loop->uv, &t->uv);
    CHECK(err == 0);
    t->uv.data = t;
    LIST_INSERT_HEAD(&loop->timers, t, entry);
    *out = t;
    return 0;
}

static void on_timer(uv_timer_t *h)
{
    struct net_timer *t = h->data;
    /* libuv's clock is of the turn's beginning and in milliseconds, so it may be early by one */
    if (net_now_us() < t->due_us) {
        net_timer_at(t, t->due_us);
        return;
    }
    t->due_us = UINT64_MAX;
    t->fire(t->user);
}

void net_timer_at(struct net_timer *t, uint64_t due_us)
{
    if (due_us == UINT64_MAX || t->loop->ending) {
        net_timer_stop(t);
        return;
    }
    t->due_us = due_us;
    uint64_t now = net_now_us();
    uint64_t ms = due_us > now ? (due_us - now) / 1000 + ((due_us - now) % 1000 != 0) : 0;
    uv_update_time(&t->loop->uv);
    int err = uv_timer_start(&t->uv, on_timer, ms, 0);
    CHECK(err == 0);
}

void net_timer_stop(struct net_timer *t)
{
    t->due_us = UINT64_MAX;
    (void)uv_timer_stop(&t->uv);
}

static void on_data_closed(uv_handle_t *h)
{
    free(h->data);
}

void net_timer_free(struct net_timer *t)
{
    if (!t)
        return;
    LIST_REMOVE(t, entry);
    uv_close((uv_handle_t *)&t->uv, on_data_closed);
}

/* ---- wakes ---- */

static void on_wake(uv_async_t *h)
{
    struct net_wake *w = h->data;
    if (!w->loop->ending)
        w->wake(w->user);
}

int net_wake_new(struct net_loop *loop, void (*wake)(void *user), void *user, struct net_wake **out)
{
    *out = NULL;
    if (loop->ending)
        return PEAL_E_CLOSED;
    struct net_wake *w = calloc(1, sizeof *w);
    if (!w)
        return PEAL_E_NO_MEMORY;
    *w = (struct net_wake){.loop = loop, .wake = wake, .user = user};
    if (uv_async_init(&loop->uv, &w->uv, on_wake)) {
        free(w);
        return PEAL_E_IO;
    }
    w->uv.data = w;
    LIST_INSERT_HEAD(&loop->wakes, w, entry);
    *out = w;
    return 0;
}

void net_wake_fire(struct net_wake *w)
{
    (void)uv_async_send(&w->uv);
}

void net_wake_hold(struct net_wake *w, bool hold)
{
    if (hold)
        uv_ref((uv_handle_t *)&w->uv);
    else
        uv_unref((uv_handle_t *)&w->uv);
}

void net_wake_free(struct net_wake *w)
{
    if (!w)
        return;
    LIST_REMOVE(w, entry);
    uv_close((uv_handle_t *)&w->uv, on_data_closed);
}
