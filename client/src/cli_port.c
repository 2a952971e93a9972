/* Who does what the command line asks: this process, when it can have the profile, otherwise the
 * client that has it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"

#include <peal/crypto.h>
#include <peal/reach.h>

enum {
    OPEN_TRIES = 300, /* while another command has the profile and ends */
    OPEN_PAUSE_MS = 50,
    DRAIN_US = 15 * 1000 * 1000,
    ANSWER_MS = 10000, /* for a short command, while signals are kept back */
};

struct cli_port {
    const struct cli *cli;
    char dir[CLIENT_PATH_MAX];
    /* what is under way */
    int (*each)(void *user, json_t *message);
    void *user;
    int each_err;
    json_t *reply;
    bool done;
    bool stopped; /* by a signal, or because standard output is gone */

    /* the other client */
    int fd; /* -1: this process has the profile */
    int signals;
    json_int_t req; /* the latest one's */
    char *in;
    size_t in_n, in_cap;

    /* this process */
    struct net_loop *loop;
    struct profile *profile;
    struct client *client;
    struct control *control;
    struct webui *webui;
    uv_signal_t watch[2];
    bool watching;
    uv_poll_t output; /* standard output, while it is followed */
    bool watching_output;
    bool late;
};

static bool wants_signals(const struct cli *cli)
{
    return cli->follow || cli->command == CLI_WEB;
}

/* Whoever read standard output is gone: nothing that is written will be seen. */
static bool is_output_gone(short revents)
{
    return (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

static void hear(struct cli_port *port, json_t *object, bool last)
{
    if (last) {
        port->done = true;
        port->reply = json_incref(object);
    } else if (port->each != NULL && port->each_err == 0) {
        port->each_err = port->each(port->user, object);
        if (port->each_err != 0)
            port->stopped = true;
    }
}

/* ---- through another client ---------------------------------------------------------- */

static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

static int remote_open(struct cli_port *port)
{
    sigset_t set = ending_signals();
    port->signals = -1;
    if (!wants_signals(port->cli))
        return 0;
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return PEAL_E_IO;
    port->signals = signalfd(-1, &set, SFD_CLOEXEC);
    return port->signals >= 0 ? 0 : PEAL_E_IO;
}

static int remote_write(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t put = send(fd, text, n, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return PEAL_E_STALE;
        text += put;
        n -= (size_t)put;
    }
    return 0;
}

/* Handles the lines that are there. */
static int remote_lines(struct cli_port *port)
{
    size_t at = 0;
    char *end;
    while (!port->done && (end = memchr(port->in + at, '\n', port->in_n - at)) != NULL) {
        size_t n = (size_t)(end - (port->in + at));
        json_t *line = json_loadb(port->in + at, n, 0, NULL);
        json_t *reply = json_object_get(line, "reply");
        /* what is left of a command that was given up is nobody's */
        if (reply != NULL && json_integer_value(json_object_get(line, "req")) == port->req)
            hear(port, reply, json_is_true(json_object_get(line, "last")));
        bool ok = reply != NULL;
        json_decref(line);
        if (!ok)
            return PEAL_E_MALFORMED;
        at += n + 1;
    }
    memmove(port->in, port->in + at, port->in_n - at);
    port->in_n -= at;
    return 0;
}

static int remote_read(struct cli_port *port)
{
    if (port->in_cap - port->in_n < 4096) {
        size_t cap = port->in_cap == 0 ? 16384 : 2 * port->in_cap;
        char *more = cap <= (size_t)4 * CONTROL_OUT_MAX ? realloc(port->in, cap) : NULL;
        if (more == NULL)
            return PEAL_E_NO_MEMORY;
        port->in = more;
        port->in_cap = cap;
    }
    ssize_t got = read(port->fd, port->in + port->in_n, port->in_cap - port->in_n);
    if (got < 0 && errno == EINTR)
        return 0;
    if (got <= 0)
        return PEAL_E_STALE;
    port->in_n += (size_t)got;
    return remote_lines(port);
}

/* Commands that stream end with a signal or with the reader of standard output. The others are
 * short, and where signals are kept back their wait has an end. */
static int remote_wait(struct cli_port *port)
{
    bool streams = port->each != NULL;
    int patience = !streams && port->signals >= 0 ? ANSWER_MS : -1;
    int err = 0;
    while (err == 0 && !port->done && !(streams && port->stopped)) {
        struct pollfd fds[3] = {
            {.fd = port->fd, .events = POLLIN},
            {.fd = streams ? port->signals : -1, .events = POLLIN},
            {.fd = streams && port->cli->follow ? STDOUT_FILENO : -1},
        };
        int n = poll(fds, PEAL_COUNT(fds), patience);
        if (n < 0 && errno != EINTR)
            err = PEAL_E_IO;
        else if (n == 0)
            err = PEAL_E_UNAVAILABLE;
        else if (n > 0 && (fds[1].revents != 0 || is_output_gone(fds[2].revents)))
            port->stopped = true;
        else if (n > 0 && fds[0].revents != 0)
            err = remote_read(port);
    }
    return err;
}

/* PEAL_E_STALE: the other client ended. */
static int remote_run(struct cli_port *port, json_t *request)
{
    char *text = json_object_set_new(request, "req", json_integer(++port->req)) == 0
                     ? json_dumps(request, JSON_COMPACT)
                     : NULL;
    int err = text != NULL ? remote_write(port->fd, text, strlen(text)) : PEAL_E_NO_MEMORY;
    if (err == 0)
        err = remote_write(port->fd, "\n", 1);
    if (text != NULL)
        cry_wipe(text, strlen(text));
    free(text);
    return err == 0 ? remote_wait(port) : err;
}

/* ---- in this process ----------------------------------------------------------------- */

static void on_event(void *user, const char *name, json_t *data)
{
    struct cli_port *port = user;
    if (port->control != NULL)
        control_event(port->control, name, data);
    if (port->webui != NULL)
        webui_event(port->webui, name, data);
    if (strcmp(name, "trouble") == 0)
        (void)fprintf(stderr, "peal: %s (%s)\n",
                      json_string_value(json_object_get(data, "message")),
                      json_string_value(json_object_get(data, "hint")));
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct cli_port *port = handle->data;
    (void)signum;
    port->stopped = true;
}

static void watch_signals(struct cli_port *port)
{
    static const int signals[2] = {SIGINT, SIGTERM};
    if (!wants_signals(port->cli))
        return;
    port->watching = true;
    for (size_t i = 0; i < 2; i++) {
        int rc = uv_signal_init(net_loop_uv(port->loop), &port->watch[i]);
        CHECK(rc == 0);
        port->watch[i].data = port;
        rc = uv_signal_start(&port->watch[i], on_signal, signals[i]);
        CHECK(rc == 0);
    }
    /* blocked since this process went through another client: what came in between is heard now */
    sigset_t set = ending_signals();
    int rc = sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(rc == 0);
}

static void on_output(uv_poll_t *handle, int status, int events)
{
    struct cli_port *port = handle->data;
    struct pollfd fd = {.fd = STDOUT_FILENO};
    (void)events;
    if (status < 0 || (poll(&fd, 1, 0) > 0 && is_output_gone(fd.revents))) {
        port->stopped = true;
        uv_poll_stop(handle);
    }
}

static void watch_output(struct cli_port *port)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (!port->cli->follow || flags < 0 ||
        uv_poll_init(net_loop_uv(port->loop), &port->output, STDOUT_FILENO) != 0)
        return; /* a plain file has no reader that could go */
    port->watching_output = true;
    port->output.data = port;
    /* libuv makes it non-blocking, also for those who share it; it is only watched here */
    (void)fcntl(STDOUT_FILENO, F_SETFL, flags);
    int rc = uv_poll_start(&port->output, UV_PRIORITIZED, on_output); /* errors come unasked */
    CHECK(rc == 0);
}

static int local_client(struct cli_port *port, char why[static CLIENT_WHY_MAX])
{
    const struct cli *cli = port->cli;
    struct client_config config = {
        .profile = port->profile,
        .servers = cli->places,
        .server_count = cli->server_count,
        .mcast = cli->mcast,
        .event = on_event,
        .user = port,
    };
    /* named servers are meant: nobody else is asked */
    if (!cli->mcast_set && cli->server_count == 0) {
        char no[NET_REASON_MAX];
        int err = net_groups_parse(NET_GROUPS_DEFAULT, &config.mcast, no);
        CHECK(err == 0);
    }
    return client_new(port->loop, &config, &port->client, why);
}

static int local_open(struct cli_port *port, char why[static CLIENT_WHY_MAX])
{
    int err = net_loop_new(NULL, &port->loop);
    if (err != 0)
        return err;
    err = local_client(port, why);
    if (err == 0)
        err = control_new(port->loop, port->client, port->dir, &port->control, why);
    if (err != 0)
        return err;
    watch_signals(port);
    watch_output(port);
    client_start(port->client);
    return 0;
}

static void on_local_reply(void *user, json_t *object, bool last)
{
    hear(user, object, last);
}

static void local_run(struct cli_port *port, json_t *request)
{
    struct client_call *call = NULL;
    client_command(port->client, request, on_local_reply, port, &call);
    while (!port->done && !(port->each != NULL && port->stopped))
        net_loop_once(port->loop, true);
    if (!port->done)
        client_cancel(call);
}

static void on_late(void *user)
{
    struct cli_port *port = user;
    port->late = true;
}

/* Others whose commands run through this process get their answers first. */
static void local_drain(struct cli_port *port)
{
    struct net_timer *timer;
    control_drain(port->control);
    if (net_timer_new(port->loop, on_late, port, &timer) != 0)
        return;
    net_timer_at(timer, net_now_us() + DRAIN_US);
    while (!control_is_idle(port->control) && !port->late && !port->stopped)
        net_loop_once(port->loop, true);
    net_timer_free(timer);
}

static void local_close(struct cli_port *port)
{
    if (port->control != NULL)
        local_drain(port);
    control_free(port->control);
    if (port->client != NULL)
        client_stop(port->client);
    webui_free(port->webui);
    for (size_t i = 0; i < 2 && port->watching; i++)
        uv_close((uv_handle_t *)&port->watch[i], NULL);
    if (port->watching_output)
        uv_close((uv_handle_t *)&port->output, NULL);
    net_loop_shutdown(port->loop, "the program ends");
    net_loop_run(port->loop);
    client_free(port->client);
    net_loop_free(port->loop);
}

/* ---- both ---------------------------------------------------------------------------- */

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = 0, .tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

/* The profile, or a way to its owner. An owner that is just ending has neither: then again. */
static int take(struct cli_port *port, char why[static CLIENT_WHY_MAX])
{
    int err = PEAL_E_BUSY;
    for (int i = 0; i < OPEN_TRIES; i++) {
        err = profile_open(port->dir, &port->profile, why);
        if (err != PEAL_E_BUSY)
            return err;
        if (port->cli->command == CLI_WEB && i > 0) {
            (void)snprintf(why, CLIENT_WHY_MAX, "another client runs on this profile already");
            return PEAL_E_BUSY;
        }
        if (port->cli->command != CLI_WEB) {
            err = control_dial(port->dir, &port->fd, why);
            if (err != PEAL_E_NOT_FOUND)
                return err;
        }
        pause_ms(OPEN_PAUSE_MS);
    }
    return PEAL_E_BUSY;
}

int cli_port_open(const struct cli *cli, struct cli_port **out)
{
    char why[CLIENT_WHY_MAX] = "";
    struct cli_port *port = calloc(1, sizeof *port);
    if (port == NULL) {
        cli_print_error(cli, PEAL_E_NO_MEMORY, "no memory", NULL);
        return PEAL_E_NO_MEMORY;
    }
    port->cli = cli;
    port->fd = port->signals = -1;
    int err = 0;
    if (cli->profile != NULL)
        (void)snprintf(port->dir, sizeof port->dir, "%s", cli->profile);
    else
        err = profile_default(port->dir);
    if (err != 0)
        (void)snprintf(why, sizeof why,
                       "it is not known where this client's folder is: HOME is not set");
    if (err == 0)
        err = cry_init();
    if (err == 0)
        err = take(port, why);
    if (err == 0)
        err = port->fd >= 0 ? remote_open(port) : local_open(port, why);
    if (err != 0) {
        const char *hint = err == PEAL_E_BUSY       ? "wait for it to end, or use another --profile"
                           : err == PEAL_E_NO_SPACE ? "make space, or use another --profile"
                                                    : "";
        cli_print_error(cli, err, why[0] != '\0' ? why : err_prose(err), hint);
        cli_port_close(port);
        return err;
    }
    if (port->fd >= 0 && cli->server_count > 0)
        (void)fprintf(stderr, "peal: --server is not used: another client runs on this profile, "
                              "and its servers are\n");
    *out = port;
    return 0;
}

int cli_port_run(struct cli_port *port, json_t *request, int (*each)(void *user, json_t *message),
                 void *user, json_t **reply)
{
    int err = 0;
    port->each = each;
    port->user = user;
    port->reply = NULL;
    port->each_err = 0;
    port->done = false;
    *reply = NULL;
    if (port->fd >= 0)
        err = remote_run(port, request);
    else
        local_run(port, request);
    *reply = port->reply;
    if (port->each_err != 0)
        return port->each_err;
    if (port->done)
        return 0;
    if (port->stopped)
        return PEAL_E_CLOSED;
    return err;
}

int cli_port_web(struct cli_port *port)
{
    char why[CLIENT_WHY_MAX] = "";
    int err = webui_new(port->loop, port->client, port->cli->listen, &port->webui, why);
    if (err != 0) {
        cli_print_error(port->cli, err, why, "choose another port, or end what uses it");
        return err;
    }
    if (port->cli->json)
        (void)printf("{\"ready\":{\"web\":\"%s\"}}\n", webui_url(port->webui));
    else
        (void)printf("ready web=%s\n", webui_url(port->webui));
    if (fflush(stdout) != 0)
        return PEAL_E_IO;
    while (!port->stopped)
        net_loop_once(port->loop, true);
    return 0;
}

void cli_port_close(struct cli_port *port)
{
    if (port == NULL)
        return;
    if (port->loop != NULL)
        local_close(port);
    profile_close(port->profile);
    if (port->fd >= 0)
        close(port->fd);
    if (port->signals >= 0)
        close(port->signals);
    free(port->in);
    free(port);
}
