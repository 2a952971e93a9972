#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "world.h"

struct other {
    const char *dir;
    const char *say;
    size_t lines; /* to wait for */
    char got[4096];
    size_t n;
    int err;
    bool eof;
    pthread_t thread;
    struct net_wake *wake;
    bool done;
};

static void on_wake(void *user)
{
    ((struct other *)user)->done = true;
}

/* Another process, as far as the socket can tell. */
static void *be_other(void *user)
{
    struct other *o = user;
    char why[CLIENT_WHY_MAX];
    int fd = -1;
    o->err = control_dial(o->dir, &fd, why);
    if (o->err == 0) {
        size_t lines = 0;
        if (write(fd, o->say, strlen(o->say)) != (ssize_t)strlen(o->say))
            o->err = PEAL_E_IO;
        while (o->err == 0 && lines < o->lines && o->n < sizeof o->got - 1) {
            ssize_t r = read(fd, o->got + o->n, 1);
            if (r <= 0) {
                o->eof = true;
                break;
            }
            lines += o->got[o->n] == '\n';
            o->n++;
        }
        close(fd);
    }
    net_wake_fire(o->wake);
    return NULL;
}

static bool is_done(void *user)
{
    return ((struct other *)user)->done;
}

static void start(struct other *o, struct world *w)
{
    int err = net_wake_new(w->loop, on_wake, o, &o->wake);
    cr_assert_eq(err, 0, "no wake");
    cr_assert_eq(pthread_create(&o->thread, NULL, be_other, o), 0, "no thread");
}

static void finish(struct other *o, struct world *w)
{
    fake_until(w->loop, is_done, o, "the other process");
    pthread_join(o->thread, NULL);
    net_wake_free(o->wake);
}

static void run(struct other *o, struct world *w)
{
    start(o, w);
    finish(o, w);
}

static struct control *serve(struct world *w, struct world_client *wc)
{
    char why[CLIENT_WHY_MAX];
    struct control *s;
    int err = control_new(w->loop, wc->client, wc->dir, &s, why);
    cr_assert_eq(err, 0, "no socket: %s", why);
    return s;
}

Test(control, commands_go_through_the_owner)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct control *s = serve(&w, a);
    struct stat st;
    char path[108];
    cr_assert_eq(profile_control(a->dir, false, path), 0, "no path");
    cr_assert_eq(stat(path, &st), 0, "no socket");
    cr_assert_eq(st.st_mode & 0777, 0600, "its mode is %o", st.st_mode & 0777);
    struct other o = {.dir = a->dir,
                      .lines = 2,
                      .say = "{\"req\":7,\"cmd\":\"whoami\"}\n{\"req\":8,\"cmd\":\"nonsense\"}\n"};
    run(&o, &w);
    cr_assert_eq(o.err, 0, "not served: %s", err_name(o.err));
    cr_assert_not_null(strstr(o.got, "{\"req\":7,\"reply\":{\"name\":null"), "%s", o.got);
    cr_assert_not_null(strstr(o.got, "{\"req\":8,\"reply\":{\"error\":{\"code\":\"usage\""), "%s",
                       o.got);
    control_free(s);
    world_down(&w);
}

Test(control, nobody_there_is_told_at_once)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    char why[CLIENT_WHY_MAX];
    int fd;
    cr_assert_eq(control_dial(a->dir, &fd, why), PEAL_E_NOT_FOUND, "somebody was there");
    struct control *s = serve(&w, a);
    control_free(s);
    cr_assert_eq(control_dial(a->dir, &fd, why), PEAL_E_NOT_FOUND, "somebody was there");
    world_down(&w);
}

Test(control, bad_lines_end_one_peer_only)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct control *s = serve(&w, a);
    static const char *const bad[] = {
        "nonsense\n",    "[]\n", "{\"cmd\":\"whoami\"}\n", "{\"req\":\"x\",\"cmd\":\"whoami\"}\n",
        "{\"req\":1}\n", "\n"};
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        struct other o = {.dir = a->dir, .lines = 1, .say = bad[i]};
        run(&o, &w);
        cr_assert(o.eof && o.n == 0, "%s was answered with %s", bad[i], o.got);
    }
    struct other o = {.dir = a->dir, .lines = 1, .say = "{\"req\":1,\"cmd\":\"whoami\"}\n"};
    run(&o, &w);
    cr_assert_gt(o.n, 0, "a good peer was refused after bad ones");
    control_free(s);
    world_down(&w);
}

static struct control *server;

static void pass_on(void *user, const char *name, json_t *data)
{
    (void)user;
    control_event(server, name, data);
}

Test(control, events_are_passed_on)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    struct world_client *b = world_client(&w, 1);
    world_register(a, "alice");
    world_register(b, "bob");
    server = serve(&w, a);
    a->client->event = pass_on;
    struct other o = {.dir = a->dir,
                      .lines = 3,
                      .say = "{\"req\":1,\"cmd\":\"events\"}\n{\"req\":2,\"cmd\":\"send\",\"to\":"
                             "\"bob\",\"text\":\"hi\"}\n"};
    run(&o, &w);
    cr_assert_not_null(strstr(o.got, "\"event\":\"message\""), "%s", o.got);
    control_free(server);
    world_down(&w);
}

/* An owner that ends answers what it has taken; recv alone ends without an answer. */
Test(control, draining_answers_what_was_taken)
{
    struct world w;
    world_up(&w);
    struct world_client *a = world_client(&w, 0);
    world_register(a, "alice");
    struct control *s = serve(&w, a);
    struct other slow = {
        .dir = a->dir, .lines = 1, .say = "{\"req\":1,\"cmd\":\"status\",\"name\":\"nobody\"}\n"};
    struct other follows = {
        .dir = a->dir, .lines = 1, .say = "{\"req\":1,\"cmd\":\"recv\",\"follow\":true}\n"};
    w.servers[0].silent = w.servers[1].silent = true;
    start(&slow, &w);
    start(&follows, &w);
    while (a->client->call_count < 2)
        world_turn(&w);
    control_drain(s);
    cr_assert(!control_is_idle(s), "idle with a command under way");
    finish(&follows, &w);
    cr_assert(follows.eof, "recv was answered with %s", follows.got);
    w.servers[0].silent = w.servers[1].silent = false;
    finish(&slow, &w);
    cr_assert_not_null(strstr(slow.got, "\"error\""), "the answer is %s", slow.got);
    while (!control_is_idle(s))
        world_turn(&w);
    control_free(s);
    world_down(&w);
}
