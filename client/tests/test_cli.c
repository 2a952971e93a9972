#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

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
    "whoami",
    "--json whoami",
    "whoami --json",
    "--profile d --server 127.0.0.1:1 --server h:2 send bob hello",
    "send bob hello --profile d",
    "send bob -",
    "send bob -- --not-an-option",
    "recv",
    "recv --follow",
    "recv --wait 5 --max 3",
    "--wait 0 recv",
    "history bob",
    "history bob --limit 10",
    "status bob",
    "ring status",
    "web --listen 127.0.0.1:0",
    "--multicast off whoami",
    "--multicast 239.1.2.3:77 whoami",
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
    "whoami --follow",
    "history",
    "history bob --limit 0",
    "status",
    "ring",
    "ring round",
    "web",
    "web --listen",
    "--server :: whoami",
    "--server host:99999 whoami",
    "--server peal://h:1#short whoami",
    "--multicast somewhere whoami",
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
    cr_assert(cli.mcast_set && cli.mcast.ip_len == 0, "multicast is not off");
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
