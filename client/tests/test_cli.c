#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

#include <peal/crypto.h>

enum { ARGS = 16 };

/* Splits at blanks. */
static int parse(const char *line, struct cli *out, char why[static CLIENT_WHY_MAX])
{
    static char text[512];
    static char *argv[ARGS + 1];
    int argc = 0;
    snprintf(text, sizeof text, "peal %s", line);
    for (char *s = strtok(text, " "); s != NULL && argc < ARGS; s = strtok(NULL, " "))
        argv[argc++] = s;
    argv[argc] = NULL;
    return cli_parse(argc, argv, out, why);
}

static const char *const good[] = {
    "register alice --password-file f",
    "register --password-file - alice",
    "login alice --password-file=f",
    "logout",
    "passwd",
    "passwd --password-file -",
    "delete",
    "delete --password-file f",
    "settings",
    "settings receipts=off",
    "settings unread=20 receipts=on session-days=65535 --json",
    "display Alice",
    "recovery",
    "recovery --password-file -",
    "reset alice",
    "reset alice --password-file f --json",
    "whoami",
    "--json whoami",
    "whoami --json",
    "--profile d --server 127.0.0.1:1 --server h:2 send bob hello",
    "send bob hello --profile d",
    "send bob -",
    "send bob hello --reply 12ab",
    "edit 12ab text",
    "edit 12ab -",
    "unsend 12ab",
    "forget bob",
    "forget --id 12ab",
    "forget --id 12ab 34cd 56ef",
    "draft bob",
    "draft bob text",
    "draft bob -",
    "unread",
    "vanish bob",
    "vanish bob 3600",
    "vanish bob off",
    "search text",
    "search text --with bob --limit 3 --ids",
    "export bob",
    "export bob --format json",
    "export bob --format=text",
    "import bob file",
    "import bob -",
    "history bob --ids",
    "recv --ids",
    "send bob -- --not-an-option",
    "recv",
    "recv --follow",
    "recv --wait 5 --max 3",
    "--wait 0 recv",
    "history bob",
    "history bob --limit 10",
    "status bob",
    "trust bob",
    "trust bob 00ff --json",
    "safety bob",
    "safety --qr bob --png f",
    "verify bob",
    "verify bob 12345",
    "ring status",
    "ring lookup bob",
    "--json ring lookup BOB",
    "ring lookup -- --bob",
    "ring remove 01ab --ring-key-file f",
    "--ring-key-file f --json ring remove 01ab",
    "ring --help",
    "web --listen 127.0.0.1:0",
    "--multicast off whoami",
    "--multicast 239.1.2.3:77 whoami",
    "--multicast 239.1.2.3:77,[ff02::1:2]:77 whoami",
    "--help",
    "send --help",
    "--version",
};

Test(cli, takes_what_scripts_rely_on)
{
    for (size_t i = 0; i < PEAL_COUNT(good); i++) {
        struct cli cli;
        char why[CLIENT_WHY_MAX];
        int err = parse(good[i], &cli, why);
        cr_assert_eq(err, 0, "peal %s: %s", good[i], why);
    }
}

static const char *const bad[] = {
    "",
    "frobnicate",
    "register",
    "register a b",
    "send bob",
    "send bob two words",
    "recv bob",
    "recv --wait",
    "recv --wait x",
    "recv --wait -1",
    "recv --wait 1.5",
    "recv --wait 5s",
    "recv --wait 99999999999999999999",
    "recv --max 0",
    "recv --max=",
    "recv --follow=yes",
    "recv --password-file f",
    "passwd alice",
    "passwd --wait 3",
    "delete alice",
    "settings receipts",
    "settings receipts=maybe",
    "settings unread=",
    "settings unread=65536",
    "settings unread=100000",
    "settings unread=-1",
    "settings session-days=1x",
    "settings unread=1 unread=2",
    "settings receipts=on receipts=off",
    "display",
    "display two words",
    "recovery alice",
    "reset",
    "reset alice XXXX-XXXX",
    "whoami --follow",
    "history",
    "history bob --limit 0",
    "status",
    "trust",
    "trust bob 00ff more",
    "trust bob --qr",
    "safety",
    "safety bob 12345",
    "safety bob --png",
    "safety bob --qr=yes",
    "verify",
    "verify bob 12345 67890",
    "verify bob --png f",
    "status bob --qr",
    "ring",
    "ring round",
    "ring status bob",
    "ring lookup",
    "ring lookup bob dave",
    "ring round bob",
    "ring remove",
    "ring remove 01ab",
    "ring remove --ring-key-file f",
    "ring remove 01ab 02cd --ring-key-file f",
    "ring status --ring-key-file f",
    "ring lookup bob --ring-key-file f",
    "whoami --ring-key-file f",
    "web",
    "web --listen",
    "--server :: whoami",
    "--server host:99999 whoami",
    "--server peal://h:1#short whoami",
    "--multicast somewhere whoami",
    "--multicast 239.1.2.3:77,239.1.2.4:77 whoami",
    "send bob hello --ids",
    "edit 12ab",
    "edit 12ab two words",
    "unsend",
    "forget",
    "forget bob carol",
    "forget --id",
    "draft",
    "unread bob",
    "vanish",
    "vanish bob 1 2",
    "search",
    "search two words",
    "search text --limit 0",
    "export",
    "export bob --format xml",
    "import bob",
    "import bob file --format json",
    "--nonsense whoami",
};

Test(cli, refuses_the_rest_with_a_reason)
{
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        struct cli cli;
        char why[CLIENT_WHY_MAX];
        int err = parse(bad[i], &cli, why);
        cr_assert_eq(err, PEAL_E_USAGE, "peal %s was taken", bad[i]);
        cr_assert(why[0] != '\0', "peal %s: no reason", bad[i]);
    }
}

Test(cli, means_what_it_says)
{
    struct cli cli;
    char why[CLIENT_WHY_MAX];
    cr_assert_eq(
        parse("--json recv --follow --wait 7 --profile p --max 3 --server [::1]:4 --server a:5",
              &cli, why),
        0, "%s", why);
    cr_assert(cli.json && cli.follow && cli.wait_s == 7 && cli.max == 3, "the options");
    cr_assert_str_eq(cli.profile, "p", "the profile");
    cr_assert(cli.server_count == 2 && cli.places[0].port == 4 && cli.places[1].port == 5,
              "the servers");
    cr_assert_str_eq(cli.places[0].host, "::1", "the host is %s", cli.places[0].host);
    cr_assert_eq(parse("send bob -- --json", &cli, why), 0, "%s", why);
    cr_assert(!cli.json, "a word was taken for an option");
    cr_assert_str_eq(cli.words[1], "--json", "the text is %s", cli.words[1]);
    cr_assert_eq(parse("--multicast off recv", &cli, why), 0, "%s", why);
    cr_assert(cli.mcast_set && cli.mcast.n == 0, "multicast is not off");
}

/* An error of usage is shown as asked, wherever --json stands. */
Test(cli, shows_errors_as_asked, .init = cr_redirect_stdout)
{
    char *argv[] = {"peal", "frobnicate", "--json", NULL};
    cr_assert_eq(cli_main(3, argv), 2, "another exit status");
    fflush(stdout);
    cr_assert_stdout_eq_str("{\"error\":{\"code\":\"usage\",\"message\":\"there is no command "
                            "\\\"frobnicate\\\"\",\"hint\":"
                            "\"peal --help says what there is\"}}\n",
                            "another line");
}

Test(cli, exit_and_http_statuses)
{
    static const struct {
        int err, exit;
        unsigned http;
    } want[] = {
        {0, 0, 200},
        {PEAL_E_USAGE, 2, 400},
        {PEAL_E_TOO_LONG, 1, 400},
        {PEAL_E_AUTH, 1, 403},
        {PEAL_E_TAKEN_OVER, 1, 403},
        {PEAL_E_NOT_FOUND, 1, 404},
        {PEAL_E_EXISTS, 1, 409},
        {PEAL_E_UNAVAILABLE, 3, 503},
        {PEAL_E_UNKNOWN, 3, 503},
        {PEAL_E_FOREIGN, 3, 503},
        {PEAL_E_NO_SPACE, 1, 503},
    };
    for (size_t i = 0; i < PEAL_COUNT(want); i++) {
        cr_assert_eq(client_exit_status(want[i].err), want[i].exit, "%s", err_name(want[i].err));
        cr_assert_eq(client_http_status(want[i].err), want[i].http, "%s", err_name(want[i].err));
    }
}

static struct cli shown = {.json = true, .command = CLI_RECV};

/* Exactly the fields that scripts rely on, and nothing that moves a terminal's cursor. */
Test(cli, prints_messages, .init = cr_redirect_stdout)
{
    json_t *m =
        json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:b}", "id", "01", "from", "alice", "to", "bob", "text",
                  "a\x1b[2Jb\nc\xc2\x9b", "sent_at", (json_int_t)5, "state", "read", "unread", 0);
    cr_assert_eq(cli_print_message(&shown, m), 0, "not printed");
    struct cli human = {.command = CLI_HISTORY};
    setenv("TZ", "UTC", 1);
    cr_assert_eq(cli_print_message(&human, m), 0, "not printed");
    json_decref(m);
    cr_assert_stdout_eq_str("{\"id\":\"01\",\"from\":\"alice\",\"to\":\"bob\",\"text\":\"a\\u001B["
                            "2Jb\\nc\xc2\x9b\",\"sent_at\":5,"
                            "\"state\":\"read\"}\n1970-01-01 00:00:00  alice: "
                            "a\xef\xbf\xbd[2Jb\nc\xef\xbf\xbd  (read)\n",
                            "another line");
}

/* ---- keys ---------------------------------------------------------------------------- */

Test(cli, says_what_a_changed_key_needs, .init = cr_redirect_stdout)
{
    struct cli look = {.command = CLI_TRUST, .words = {"Bob"}, .word_count = 1};
    struct cli accept = {.command = CLI_TRUST, .words = {"Bob", "b2"}, .word_count = 2};
    json_t *changed =
        json_pack("{s:s,s:s,s:s,s:b,s:s}", "name", "bob", "pinned", "a1", "shown", "b2", "changed",
                  1, "number", "00001 00002 00003 00004 00005 00006");
    json_t *same = json_pack("{s:s,s:s,s:s,s:b,s:s}", "name", "bob", "pinned", "b2", "shown", "b2",
                             "changed", 0, "number", "");
    cr_assert_eq(cli_print_reply(&look, changed), 0, "not printed");
    cr_assert_eq(cli_print_reply(&look, same), 0, "not printed");
    cr_assert_eq(cli_print_reply(&accept, same), 0, "not printed");
    json_decref(changed);
    json_decref(same);
    cr_assert_stdout_eq_str(
        "the key of bob has changed: nothing is sent to them\n"
        "  pinned  a1\n  now     b2\n"
        "Somebody may be posing as bob. Ask them over another channel for the safety number that\n"
        "they see for you; with the new key it is:\n"
        "  00001 00002 00003 00004\n  00005 00006\n"
        "If it is the same, accept the new key:\n  peal trust bob b2\n"
        "the key of bob is the one that was pinned:\n  b2\n"
        "the key of bob is accepted:\n  b2\n",
        "other lines");
}

Test(cli, says_whether_a_number_was_compared, .init = cr_redirect_stdout)
{
    struct cli cli = {.command = CLI_SAFETY, .words = {"bob"}, .word_count = 1};
    static const int states[][2] = {{0, 0}, {1, 0}, {0, 1}};
    for (size_t i = 0; i < PEAL_COUNT(states); i++) {
        json_t *r = json_pack("{s:s,s:s,s:s,s:b,s:b}", "name", "bob", "number", "00001 00002", "qr",
                              "x", "verified", states[i][0], "changed", states[i][1]);
        cr_assert_eq(cli_print_reply(&cli, r), 0, "not printed");
        json_decref(r);
    }
    cr_assert_stdout_eq_str(
        "your safety number with bob:\n  00001 00002\n"
        "not verified: compare it with what bob sees for you, then: peal verify bob\n"
        "your safety number with bob:\n  00001 00002\n"
        "verified: it was compared with bob\n"
        "your safety number with bob:\n  00001 00002\n"
        "bob's key has changed: this number is of the former one; see peal trust bob\n",
        "other lines");
}

/* ---- standard output ----------------------------------------------------------------- */

/* Runs show with standard output and error replaced; what it wrote to error. */
static int shown_to(int out, int (*show)(void), char said[static 256])
{
    int err[2];
    cr_assert_eq(pipe(err), 0, "no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_IGN); /* as the loop does */
        dup2(out, STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        _exit(show());
    }
    close(err[1]);
    size_t n = 0;
    ssize_t r;
    while (n < 255 && (r = read(err[0], said + n, 255 - n)) > 0)
        n += (size_t)r;
    said[n] = '\0';
    close(err[0]);
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid, "no child");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int show(bool follow, bool as_json)
{
    struct cli cli = {.command = CLI_RECV, .follow = follow, .json = as_json};
    json_t *m = json_pack("{s:s,s:s,s:s,s:s,s:I,s:s}", "id", "01", "from", "alice", "to", "bob",
                          "text", "x", "sent_at", (json_int_t)5, "state", "read");
    int first = cli_print_message(&cli, m);
    return first == cli_print_message(&cli, m) || first == PEAL_E_CLOSED ? -first : 99;
}

static int show_plain(void)
{
    return show(false, false);
}

static int show_json(void)
{
    return show(false, true);
}

static int show_following(void)
{
    return show(true, true);
}

Test(cli, says_once_that_output_cannot_be_written)
{
    char said[256];
    int full = open("/dev/full", O_WRONLY);
    int (*const shows[])(void) = {show_plain, show_json, show_following};
    for (size_t i = 0; i < PEAL_COUNT(shows); i++) {
        cr_assert_eq(shown_to(full, shows[i], said), -PEAL_E_IO, "%zu: another result", i);
        cr_assert_str_eq(said, "peal: standard output cannot be written: No space left on device\n",
                         "%zu", i);
    }
    close(full);
}

Test(cli, a_reader_that_went_ends_following_quietly)
{
    char said[256];
    int fds[2];
    cr_assert_eq(pipe(fds), 0, "no pipe");
    close(fds[0]);
    cr_assert_eq(shown_to(fds[1], show_following, said), -PEAL_E_CLOSED, "another result");
    cr_assert_str_eq(said, "", "it said %s", said);
    cr_assert_eq(shown_to(fds[1], show_plain, said), -PEAL_E_IO, "another result");
    cr_assert_str_eq(said, "peal: standard output cannot be written: Broken pipe\n", "%s", said);
    close(fds[1]);
}

/* Closed from the beginning: no other file takes its place. */
static int closed_output(void)
{
    char *argv[] = {"peal", "--version", NULL};
    close(STDOUT_FILENO);
    int code = cli_main(2, argv);
    return code == 1 && fcntl(STDOUT_FILENO, F_GETFD) >= 0 ? 1 : 99;
}

Test(cli, a_closed_output_stays_unused)
{
    char said[256];
    cr_assert_eq(shown_to(STDOUT_FILENO, closed_output, said), 1, "another result");
}

static const struct {
    int whole, size, up;
    const char *first;
} rings[] = {
    {1, 5, 5, "the ring is whole: 5 of 5 servers up, epoch 7\n"},
    {1, 5, 4, "the ring is closed over what is down: 4 of 5 servers up, epoch 7\n"},
    {0, 3, 2, "the ring is not whole yet: 2 of 3 servers up, epoch 7\n"},
};

static size_t ring_at;

static int show_ring(void)
{
    struct cli cli = {.command = CLI_RING, .words = {"status"}, .word_count = 1};
    json_t *nodes = json_array();
    for (int i = 0; i < rings[ring_at].size; i++)
        json_array_append_new(nodes, json_pack("{s:s,s:s,s:s}", "id", "00", "address", "a:1",
                                               "state", i < rings[ring_at].up ? "up" : "down"));
    json_t *r = json_pack("{s:b,s:i,s:i,s:s,s:o}", "whole", rings[ring_at].whole, "size",
                          rings[ring_at].size, "epoch", 7, "coordinator", "01", "nodes", nodes);
    return cli_print_reply(&cli, r) == 0 ? 0 : 1;
}

Test(cli, says_how_many_servers_are_up)
{
    for (ring_at = 0; ring_at < PEAL_COUNT(rings); ring_at++) {
        char said[256], text[1024] = "";
        int fds[2];
        cr_assert_eq(pipe(fds), 0, "no pipe");
        cr_assert_eq(shown_to(fds[1], show_ring, said), 0, "not printed");
        close(fds[1]);
        cr_assert_gt(read(fds[0], text, sizeof text - 1), 0, "nothing");
        close(fds[0]);
        cr_assert_eq(strncmp(text, rings[ring_at].first, strlen(rings[ring_at].first)), 0, "%s",
                     text);
    }
}

static const struct {
    const char *typed;
    int steps;
    const char *text;
} ways[] = {
    {"Alice", 1,
     "alice's key 3fa2b1c4d5e6… is at server 12ab34cd56ef… (0 hops, 640 µs)\n"
     "  this server 12ab34cd56ef…\n"},
    {"bob", 2,
     "bob's key 3fa2b1c4d5e6… is at server 77fe01a2b3c4… (1 hop, 640 µs)\n"
     "  this server 12ab34cd56ef… → 77fe01a2b3c4…\n"},
    {"ZOË", 3,
     "zoë's key 3fa2b1c4d5e6… is at server 91bc22334455… (2 hops, 640 µs)\n"
     "  this server 12ab34cd56ef… → 77fe01a2b3c4… → 91bc22334455…\n"},
};

static size_t way_at;

static int show_way(void)
{
    static const char *const ids[] = {"12ab34cd56ef0000000000000000000000000000",
                                      "77fe01a2b3c40000000000000000000000000000",
                                      "91bc223344550000000000000000000000000000"};
    struct cli cli = {
        .command = CLI_RING, .words = {"lookup", ways[way_at].typed}, .word_count = 2};
    json_t *path = json_array();
    for (int i = 0; i < ways[way_at].steps; i++)
        json_array_append_new(path, json_string(ids[i]));
    json_t *r =
        json_pack("{s:s,s:s,s:o,s:i,s:i}", "key", "3fa2b1c4d5e60000000000000000000000000000",
                  "owner", ids[ways[way_at].steps - 1], "path", path, "hops",
                  ways[way_at].steps - 1, "microseconds", 640);
    return cli_print_reply(&cli, r) == 0 ? 0 : 1;
}

Test(cli, shows_the_way_to_a_name)
{
    for (way_at = 0; way_at < PEAL_COUNT(ways); way_at++) {
        char said[256], text[1024] = "";
        int fds[2];
        cr_assert_eq(pipe(fds), 0, "no pipe");
        cr_assert_eq(shown_to(fds[1], show_way, said), 0, "not printed: %s", said);
        close(fds[1]);
        cr_assert_gt(read(fds[0], text, sizeof text - 1), 0, "nothing");
        close(fds[0]);
        cr_assert_str_eq(text, ways[way_at].text, "%s", text);
    }
}

/* ---- passwords from a file ----------------------------------------------------------- */

static int read_secrets(enum cli_command command, const char *text, size_t n,
                        struct cli_secrets *out)
{
    char path[] = "/tmp/peal-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0, "no file");
    cr_assert_eq(write(fd, text, n), (ssize_t)n, "not written");
    close(fd);
    struct cli cli = {.command = command, .json = true, .password_file = path};
    int err = cli_secrets_read(&cli, out);
    unlink(path);
    return err;
}

Test(cli, reads_passwords_from_a_file, .init = cr_redirect_stdout)
{
    struct cli_secrets s;
    static const char one[] = "two words\n";
    cr_assert_eq(read_secrets(CLI_LOGIN, one, sizeof one - 1, &s), 0, "one line");
    cr_assert_str_eq(s.v[0].text, "two words", "it is \"%s\"", s.v[0].text);
    cr_assert_null(s.v[1].text, "there is no second");
    cli_secrets_wipe(&s);
    cr_assert_null(s.v[0].text, "wiped");
    static const char *const two[] = {"old one\nnew one\n", "old one\r\nnew one\r\n",
                                      "old one\nnew one"};
    for (size_t i = 0; i < PEAL_COUNT(two); i++) {
        cr_assert_eq(read_secrets(CLI_PASSWD, two[i], strlen(two[i]), &s), 0, "two lines");
        cr_assert_str_eq(s.v[0].text, "old one", "the first is \"%s\"", s.v[0].text);
        cr_assert_str_eq(s.v[1].text, "new one", "the second is \"%s\"", s.v[1].text);
        cr_assert(s.v[0].n == 7 && s.v[1].n == 7, "their lengths");
        cli_secrets_wipe(&s);
    }
    cr_assert_eq(read_secrets(CLI_PASSWD, one, sizeof one - 1, &s), PEAL_E_TRUNCATED,
                 "one line for two");
    cr_assert(s.v[0].text == NULL && s.v[1].text == NULL, "nothing is left");
    static char big[3 * CRY_PASSWORD_MAX];
    memset(big, 'x', sizeof big);
    cr_assert_eq(read_secrets(CLI_PASSWD, big, sizeof big, &s), PEAL_E_TOO_LONG, "far too long");
    big[4] = '\n';
    cr_assert_eq(read_secrets(CLI_PASSWD, big, CRY_PASSWORD_MAX + 6, &s), PEAL_E_TOO_LONG,
                 "the second is too long");
    cr_assert_eq(read_secrets(CLI_PASSWD, big, CRY_PASSWORD_MAX + 5, &s), 0, "as long as may be");
    cli_secrets_wipe(&s);
    static const char rescue[] = "000G-40R4\nnew one\n";
    cr_assert_eq(read_secrets(CLI_RESET, rescue, sizeof rescue - 1, &s), 0, "two lines as well");
    cr_assert(strcmp(s.v[0].text, "000G-40R4") == 0 && strcmp(s.v[1].text, "new one") == 0,
              "the key, and the password");
    cli_secrets_wipe(&s);
    cr_assert_eq(read_secrets(CLI_WHOAMI, one, sizeof one - 1, &s), 0, "nothing is asked for");
    cr_assert_null(s.v[0].text, "nor read");
}

/* ---- the password prompt ------------------------------------------------------------- */

struct report {
    int status;
    bool echo; /* the terminal's, afterwards */
};

struct terminal {
    int master, reports;
    pid_t leader;
    char text[4096];
    size_t n;
};

/* As a shell: runs peal in the foreground, continues it when it was stopped, tells of both. */
static void be_shell(int out, const char *command)
{
    char *argv[] = {"peal", "--profile", "/nonexistent/profile", (char *)command, "alice", NULL};
    int status = 0;
    signal(SIGTTOU, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        int code = cli_main(5, argv);
        fflush(stdout);
        _exit(code);
    }
    do {
        struct termios now;
        waitpid(pid, &status, WUNTRACED);
        struct report r = {.status = status};
        r.echo = tcgetattr(STDIN_FILENO, &now) == 0 && (now.c_lflag & ECHO) != 0;
        if (write(out, &r, sizeof r) != (ssize_t)sizeof r)
            _exit(1);
        if (WIFSTOPPED(status))
            kill(pid, SIGCONT);
    } while (WIFSTOPPED(status));
    _exit(0);
}

static void terminal_open(struct terminal *t, const char *command)
{
    int fds[2];
    memset(t, 0, sizeof *t);
    cr_assert_eq(pipe(fds), 0, "no pipe");
    t->leader = forkpty(&t->master, NULL, NULL, NULL);
    cr_assert_geq(t->leader, 0, "no terminal");
    if (t->leader == 0)
        be_shell(fds[1], command);
    close(fds[1]);
    t->reports = fds[0];
}

/* Waits until the terminal shows text, and forgets what it showed; echo must be off when it asks.
 */
static void terminal_shows(struct terminal *t, const char *text)
{
    char *at;
    while ((at = strstr(t->text, text)) == NULL) {
        ssize_t r = read(t->master, t->text + t->n, sizeof t->text - 1 - t->n);
        cr_assert_gt(r, 0, "waited in vain for %s; it shows %s", text, t->text);
        t->n += (size_t)r;
        t->text[t->n] = '\0';
    }
    at += strlen(text);
    t->n -= (size_t)(at - t->text);
    memmove(t->text, at, t->n + 1);
}

static void terminal_asks(struct terminal *t, const char *question)
{
    struct termios now;
    terminal_shows(t, question);
    cr_assert_eq(tcgetattr(t->master, &now), 0, "no terminal");
    cr_assert_eq(now.c_lflag & ECHO, 0, "a password would be shown");
}

static void terminal_type(struct terminal *t, const char *keys)
{
    cr_assert_eq(write(t->master, keys, strlen(keys)), (ssize_t)strlen(keys), "not typed");
}

static int terminal_status(struct terminal *t)
{
    struct report r;
    cr_assert_eq(read(t->reports, &r, sizeof r), (ssize_t)sizeof r, "no report");
    cr_assert(r.echo, "the terminal was left without echo");
    return r.status;
}

static void terminal_close(struct terminal *t)
{
    waitpid(t->leader, NULL, 0);
    close(t->master);
    close(t->reports);
}

Test(cli, a_signal_leaves_the_terminal_as_it_was)
{
    static const struct {
        const char *key;
        int signum;
    } keys[] = {{"\x03", SIGINT}, {"\x1c", SIGQUIT}};
    for (size_t i = 0; i < PEAL_COUNT(keys); i++) {
        struct terminal t;
        terminal_open(&t, "login");
        terminal_asks(&t, "password: ");
        terminal_type(&t, keys[i].key);
        int status = terminal_status(&t);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == keys[i].signum, "status %x",
                  (unsigned)status);
        terminal_close(&t);
    }
}

Test(cli, a_stopped_prompt_asks_again)
{
    struct terminal t;
    terminal_open(&t, "login");
    terminal_asks(&t, "password: ");
    terminal_type(&t, "\x1a");
    int status = terminal_status(&t);
    cr_assert(WIFSTOPPED(status), "status %x", (unsigned)status);
    terminal_asks(&t, "password: ");
    terminal_type(&t, "\x04");
    terminal_shows(&t, "peal: no password was given");
    status = terminal_status(&t);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2, "status %x", (unsigned)status);
    terminal_close(&t);
}

Test(cli, an_empty_password_is_refused_at_once)
{
    struct terminal t;
    terminal_open(&t, "register");
    terminal_asks(&t, "password: ");
    terminal_type(&t, "\n");
    terminal_shows(&t, "peal: the password is empty");
    int status = terminal_status(&t);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2, "status %x", (unsigned)status);
    terminal_close(&t);
}

Test(cli, two_passwords_must_be_the_same)
{
    struct terminal t;
    terminal_open(&t, "register");
    terminal_asks(&t, "password: ");
    terminal_type(&t, "one\n");
    terminal_asks(&t, "the same again: ");
    terminal_type(&t, "two\n");
    terminal_shows(&t, "peal: the two passwords differ");
    int status = terminal_status(&t);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2, "status %x", (unsigned)status);
    terminal_close(&t);
}
