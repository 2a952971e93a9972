#include "cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peal/crypto.h>

enum {
    PAGE = CLIENT_PAGE_MAX,
    WHOAMI_WAIT_MS = 2000,
    SYNC_WAIT_MS = 2500,
    RECEIPT_WAIT_MS = 3000,
};

/* ---- commands ------------------------------------------------------------------------ */

int cli_simple(const struct cli *cli, struct cli_port *port, json_t *request)
{
    json_t *reply = NULL;
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, &reply) : PEAL_E_NO_MEMORY;
    int code = 0;
    json_decref(request);
    if (err == PEAL_E_STALE) {
        cli_print_error(cli, PEAL_E_UNKNOWN, "the client on this profile ended before it answered",
                        "look at the history before trying again");
        code = client_exit_status(PEAL_E_UNKNOWN);
    } else if (err != 0) {
        cli_print_error(cli, err, err_prose(err), "");
        code = client_exit_status(err);
    } else if (client_error_of(reply) != 0) {
        cli_print_reply_error(cli, reply);
        code = client_exit_status(client_error_of(reply));
    } else {
        const char *state = json_string_value(json_object_get(reply, "state"));
        code = cli_print_reply(cli, reply) == 0 ? 0 : 1;
        if (state != NULL && strcmp(state, "queued") == 0)
            code = client_exit_status(PEAL_E_UNAVAILABLE);
    }
    json_decref(reply);
    return code;
}

static int enter(const struct cli *cli, struct cli_port *port, const struct cli_secrets *secrets)
{
    json_t *text = cli_secret_json(cli, &secrets->v[0]);
    if (text == NULL)
        return 1;
    return cli_simple(cli, port,
                      json_pack("{s:s,s:s,s:o}", "cmd",
                                cli->command == CLI_REGISTER ? "register" : "login", "name",
                                cli->words[0], "password", text));
}

int cli_text(const struct cli *cli, const char *word, json_t **out)
{
    char *owned = NULL;
    size_t n = strlen(word);
    const char *text = word;
    if (strcmp(text, "-") == 0) {
        int err = cli_read_all(STDIN_FILENO, CLIENT_TEXT_MAX, &owned, &n);
        if (err != 0) {
            cli_print_error(cli, err,
                            err == PEAL_E_TOO_LONG ? "the message is longer than 64 KiB"
                                                   : "standard input cannot be read",
                            "send it in parts");
            return err;
        }
        text = owned;
    }
    *out = json_stringn(text, n);
    free(owned);
    if (*out != NULL)
        return 0;
    cli_print_error(cli, PEAL_E_MALFORMED, "the message is not valid UTF-8 text",
                    "Peal sends text, not binary data");
    return PEAL_E_MALFORMED;
}

static int send_text(const struct cli *cli, struct cli_port *port)
{
    json_t *text;
    if (cli_text(cli, cli->words[1], &text) != 0)
        return 1;
    return cli_simple(cli, port,
                      json_pack("{s:s,s:s,s:o,s:i,s:s?}", "cmd", "send", "to", cli->words[0],
                                "text", text, "wait", CLI_SEND_WAIT_MS, "reply_to", cli->reply));
}

struct heard {
    const struct cli *cli;
    uint64_t n;
    json_t *ids; /* written out, and not marked as read yet */
};

static int hear_message(void *user, json_t *message)
{
    struct heard *heard = user;
    int err = cli_print_message(heard->cli, message);
    if (err == 0 && json_array_append(heard->ids, json_object_get(message, "id")) != 0)
        err = PEAL_E_NO_MEMORY;
    heard->n += err == 0;
    return err;
}

/* Marks what was written out. PEAL_E_STALE: the other client ended; any other error has been
 * shown. */
static int confirm(const struct cli *cli, struct cli_port *port, struct heard *heard)
{
    json_t *reply = NULL;
    json_t *request = json_pack("{s:s,s:O,s:i}", "cmd", "read", "ids", heard->ids, "wait",
                                cli->follow ? 0 : RECEIPT_WAIT_MS);
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, &reply) : PEAL_E_NO_MEMORY;
    json_decref(request);
    if (err == 0 && client_error_of(reply) != 0) {
        err = client_error_of(reply);
        cli_print_reply_error(cli, reply);
    } else if (err == 0) {
        err = json_array_clear(heard->ids) == 0 ? 0 : PEAL_E_NO_MEMORY;
    } else if (err != PEAL_E_STALE) {
        cli_print_error(cli, err, "what was printed could not be marked as read", err_prose(err));
    }
    json_decref(reply);
    return err;
}

/* One batch. *more: there may be others at once. Errors as of confirm, and PEAL_E_CLOSED after a
 * signal or when nobody reads any more. */
static int receive_some(const struct cli *cli, struct cli_port *port, struct heard *heard,
                        bool *more)
{
    json_t *reply = NULL;
    uint64_t max = cli->max != 0 ? cli->max - heard->n : 0;
    json_int_t wait = heard->n == 0 ? (json_int_t)cli->wait_s : 0;
    json_t *request = json_pack("{s:s,s:I,s:I,s:b}", "cmd", "recv", "wait", wait, "max",
                                (json_int_t)max, "follow", (int)cli->follow);
    int err = request != NULL ? cli_port_run(port, request, hear_message, heard, &reply)
                              : PEAL_E_NO_MEMORY;
    json_decref(request);
    bool away = client_error_of(reply) == PEAL_E_UNAVAILABLE;
    if (err == 0 && client_error_of(reply) != 0 && (cli->follow || heard->n == 0 || !away)) {
        err = client_error_of(reply);
        cli_print_reply_error(cli, reply);
    }
    *more = json_is_true(json_object_get(reply, "more"));
    json_decref(reply);
    return err;
}

/* The client that it went through has ended: it goes on by itself, or through the next. */
static int reopen(const struct cli *cli, struct cli_port **port)
{
    cli_port_close(*port);
    *port = NULL;
    return cli_port_open(cli, port);
}

/* As many as the account's settings say, when the command line does not. */
static uint64_t most_unread(const struct cli *cli, struct cli_port *port)
{
    json_t *reply = NULL;
    json_t *request = json_pack("{s:s}", "cmd", "settings");
    uint64_t most = cli->max;
    if (most == 0 && !cli->follow && request != NULL &&
        cli_port_run(port, request, NULL, NULL, &reply) == 0)
        most = (uint64_t)json_integer_value(json_object_get(reply, "unread"));
    json_decref(request);
    json_decref(reply);
    return most;
}

/* A message is marked as read once it is written out, however the rest goes. */
static int receive(const struct cli *line, struct cli_port **port)
{
    struct cli own = *line;
    const struct cli *cli = &own;
    own.max = most_unread(line, *port);
    struct heard heard = {.cli = cli, .ids = json_array()};
    int err = heard.ids != NULL ? 0 : PEAL_E_NO_MEMORY;
    bool over = false;
    while (err == 0 && !over) {
        bool more = false;
        int bad = 0;
        err = receive_some(cli, *port, &heard, &more);
        bool ended = err == PEAL_E_STALE;
        if (ended)
            err = bad = reopen(cli, port);
        while (bad == 0 && json_array_size(heard.ids) > 0) {
            bad = confirm(cli, *port, &heard);
            if (bad == PEAL_E_STALE)
                bad = reopen(cli, port);
        }
        if (bad != 0)
            err = bad;
        bool enough = cli->max != 0 && heard.n >= cli->max;
        over = enough || (!cli->follow && !more && (heard.n > 0 || !ended));
    }
    json_decref(heard.ids);
    return err == PEAL_E_CLOSED ? 0 : client_exit_status(err);
}

/* Fetches what waits on the ring, so that states are shown as they are; without a server what is
 * known here does. */
static int sync_first(struct cli_port *port)
{
    json_t *reply = NULL;
    json_t *request = json_pack("{s:s,s:i}", "cmd", "sync", "wait", SYNC_WAIT_MS);
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, &reply) : PEAL_E_NO_MEMORY;
    json_decref(request);
    json_decref(reply);
    return err;
}

/* One page of the history; *reply is the caller's to release, also after an error. Returns an exit
 * status, and has shown what was wrong. */
static int fetch_page(const struct cli *cli, struct cli_port *port, json_t *before, uint64_t limit,
                      json_t **reply)
{
    json_t *request = json_pack("{s:s,s:s,s:I,s:O}", "cmd", "history", "name", cli->words[0],
                                "limit", (json_int_t)limit, "before", before);
    *reply = NULL;
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, reply) : PEAL_E_NO_MEMORY;
    json_decref(request);
    if (err != 0) {
        cli_print_error(cli, err, err_prose(err), "");
    } else if (client_error_of(*reply) != 0) {
        err = client_error_of(*reply);
        cli_print_reply_error(cli, *reply);
    }
    return client_exit_status(err);
}

/* Pages, the latest first, back to the beginning or as far as --limit says. */
static int fetch_pages(const struct cli *cli, struct cli_port *port, json_t *pages)
{
    json_t *before = json_null();
    uint64_t left = cli->limit != 0 ? cli->limit : UINT64_MAX;
    bool more = true;
    int code = 0;
    while (code == 0 && more && left > 0) {
        json_t *reply = NULL;
        code = fetch_page(cli, port, before, left < PAGE ? left : PAGE, &reply);
        json_t *messages = json_object_get(reply, "messages");
        json_decref(before);
        before = json_incref(json_object_get(json_array_get(messages, 0), "id"));
        left -= json_array_size(messages);
        more = before != NULL && json_is_true(json_object_get(reply, "more"));
        if (code == 0 && json_array_append(pages, messages) != 0) {
            cli_print_error(cli, PEAL_E_NO_MEMORY, "no memory", "");
            code = 1;
        }
        json_decref(reply);
    }
    json_decref(before);
    return code;
}

static int history(const struct cli *cli, struct cli_port *port)
{
    int err = sync_first(port);
    if (err != 0) {
        cli_print_error(cli, err, "the client on this profile ended before it answered",
                        "try again");
        return client_exit_status(err);
    }
    json_t *pages = json_array();
    int code = fetch_pages(cli, port, pages);
    for (size_t i = json_array_size(pages); code == 0 && i-- > 0;) {
        size_t at;
        json_t *message;
        json_array_foreach(json_array_get(pages, i), at, message)
        {
            if (code == 0 && cli_print_message(cli, message) != 0)
                code = 1;
        }
    }
    json_decref(pages);
    return code;
}

static int ring(const struct cli *cli, struct cli_port *port)
{
    switch (cli_ring_of(cli)) {
    case CLI_RING_STATUS:
        return cli_simple(cli, port, json_pack("{s:s}", "cmd", "ring"));
    case CLI_RING_LOOKUP:
        return cli_simple(cli, port,
                          json_pack("{s:s,s:s}", "cmd", "lookup", "name", cli->words[1]));
    case CLI_RING_REMOVE:
        return cli_remove(cli, port);
    case CLI_RING_NONE:
        break;
    }
    CHECK(false);
    return 2;
}

static int run(const struct cli *cli, struct cli_port **port, const struct cli_secrets *secrets)
{
    switch (cli->command) {
    case CLI_REGISTER:
    case CLI_LOGIN:
        return enter(cli, *port, secrets);
    case CLI_PASSWD:
    case CLI_RECOVERY:
    case CLI_RESET:
    case CLI_SETTINGS:
    case CLI_DISPLAY:
    case CLI_DELETE:
        return cli_account(cli, *port, secrets);
    case CLI_LOGOUT:
        return cli_simple(cli, *port, json_pack("{s:s}", "cmd", "logout"));
    case CLI_WHOAMI:
        return cli_simple(cli, *port,
                          json_pack("{s:s,s:i}", "cmd", "whoami", "wait", WHOAMI_WAIT_MS));
    case CLI_SEND:
        return send_text(cli, *port);
    case CLI_RECV:
        return receive(cli, port);
    case CLI_HISTORY:
        return history(cli, *port);
    case CLI_STATUS:
        return cli_simple(cli, *port,
                          json_pack("{s:s,s:s}", "cmd", "status", "name", cli->words[0]));
    case CLI_TRUST:
        return cli_trust(cli, *port);
    case CLI_SAFETY:
        return cli_safety(cli, *port);
    case CLI_VERIFY:
        return cli_verify(cli, *port);
    case CLI_RING:
        return ring(cli, *port);
    case CLI_WEB:
        return client_exit_status(cli_port_web(*port));
    case CLI_EDIT:
    case CLI_UNSEND:
    case CLI_FORGET:
    case CLI_DRAFT:
    case CLI_UNREAD:
    case CLI_SEARCH:
    case CLI_EXPORT:
    case CLI_IMPORT:
    case CLI_VANISH:
        return cli_messages(cli, *port);
    case CLI_NONE:
    case CLI_COMMANDS:
        break;
    }
    CHECK(false);
    return 2;
}

/* A place that is closed would be taken by the next file or socket, and what is printed would go
 * there. What stands in for standard input and output refuses to be used. */
static void fill_standard_places(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDWR};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        int got = open("/dev/null", modes[fd]);
        CHECK(got == fd || got < 0);
    }
}

int cli_main(int argc, char **argv)
{
    struct cli cli;
    char why[CLIENT_WHY_MAX];
    struct cli_secrets secrets;
    struct cli_port *port = NULL;
    fill_standard_places();
    int err = cli_parse(argc, argv, &cli, why);
    if (err != 0) {
        cli_print_error(&cli, PEAL_E_USAGE, why, "peal --help says what there is");
        return client_exit_status(PEAL_E_USAGE);
    }
    if (cli.version || cli.help) {
        (void)fputs(cli.version ? "peal " PEAL_VERSION "\n" : cli_usage(cli.command), stdout);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (cli_secrets_read(&cli, &secrets) != 0)
        return client_exit_status(PEAL_E_USAGE);
    int code = 0;
    err = cli_port_open(&cli, &port);
    if (err != 0)
        code = client_exit_status(err);
    else
        code = run(&cli, &port, &secrets);
    cli_port_close(port);
    cli_secrets_wipe(&secrets);
    return code;
}
