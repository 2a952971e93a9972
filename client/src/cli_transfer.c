/* Messages in numbers: looked for, written out, taken in. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SEARCH_LIMIT = 50, IMPORT_BYTES = 400 * 1024 }; /* below CONTROL_LINE_MAX */
_Static_assert((int)IMPORT_BYTES + 4096 < (int)CONTROL_LINE_MAX, "a request is a line");

/* Gives up request; *reply is the caller's. The exit status; an error has been shown. */
static int ask(const struct cli *cli, struct cli_port *port, json_t *request, json_t **reply)
{
    *reply = NULL;
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, reply) : PEAL_E_NO_MEMORY;
    json_decref(request);
    if (err == PEAL_E_STALE) {
        cli_print_error(cli, err, "the client on this profile ended before it answered",
                        "try again");
    } else if (err != 0) {
        cli_print_error(cli, err, err_prose(err), "");
    } else if (client_error_of(*reply) != 0) {
        err = client_error_of(*reply);
        cli_print_reply_error(cli, *reply);
    }
    return client_exit_status(err);
}

/* The exit status, and the last one's id, which is reply's. */
static int print_all(const struct cli *cli, json_t *messages, json_t **last)
{
    size_t i;
    json_t *m;
    *last = NULL;
    json_array_foreach(messages, i, m)
    {
        if (cli_print_message(cli, m) != 0)
            return 1;
        *last = json_object_get(m, "id");
    }
    return 0;
}

int cli_search(const struct cli *cli, struct cli_port *port)
{
    uint64_t left = cli->limit != 0 ? cli->limit : SEARCH_LIMIT;
    json_t *before = json_null();
    bool more = true;
    int code = 0;
    while (code == 0 && more && left > 0) {
        json_t *reply;
        json_t *last;
        json_int_t limit = left < CLIENT_PAGE_MAX ? (json_int_t)left : CLIENT_PAGE_MAX;
        code = ask(cli, port,
                   json_pack("{s:s,s:s,s:s?,s:I,s:O}", "cmd", "search", "text", cli->words[0],
                             "name", cli->with, "limit", limit, "before", before),
                   &reply);
        json_t *messages = json_object_get(reply, "messages");
        if (code == 0)
            code = print_all(cli, messages, &last);
        left -= json_array_size(messages);
        more = json_is_true(json_object_get(reply, "more"));
        json_decref(before);
        before = json_incref(json_object_get(reply, "before"));
        json_decref(reply);
    }
    json_decref(before);
    return code;
}

int cli_export(const struct cli *cli, struct cli_port *port)
{
    json_t *after = json_null();
    bool more = true;
    int code = 0;
    while (code == 0 && more) {
        json_t *reply;
        json_t *last = NULL;
        code =
            ask(cli, port,
                json_pack("{s:s,s:s,s:O}", "cmd", "export", "name", cli->words[0], "after", after),
                &reply);
        if (code == 0)
            code = print_all(cli, json_object_get(reply, "messages"), &last);
        more = last != NULL && json_is_true(json_object_get(reply, "more"));
        json_decref(after);
        after = json_incref(last);
        json_decref(reply);
    }
    json_decref(after);
    return code;
}

/* ---- import -------------------------------------------------------------------------- */

struct import {
    const struct cli *cli;
    struct cli_port *port;
    json_t *messages; /* of the next request */
    size_t bytes;     /* about as many in it */
    json_int_t added, passed;
};

static int hand_over(struct import *in)
{
    json_t *reply;
    if (json_array_size(in->messages) == 0)
        return 0;
    int code = ask(in->cli, in->port,
                   json_pack("{s:s,s:s,s:O}", "cmd", "import", "name", in->cli->words[0],
                             "messages", in->messages),
                   &reply);
    in->added += json_integer_value(json_object_get(reply, "added"));
    in->passed += json_integer_value(json_object_get(reply, "passed"));
    in->bytes = 0;
    if (code == 0 && json_array_clear(in->messages) != 0)
        code = 1;
    json_decref(reply);
    return code;
}

static int take(struct import *in, json_t *message)
{
    size_t n = json_dumpb(message, NULL, 0, JSON_COMPACT) + 1;
    int code = 0;
    if (n > IMPORT_BYTES) {
        cli_print_error(in->cli, PEAL_E_TOO_LONG, "the file has a line that is no message",
                        "give what peal export has printed");
        return 1;
    }
    if (in->bytes + n > IMPORT_BYTES || json_array_size(in->messages) == CLIENT_PAGE_MAX)
        code = hand_over(in);
    in->bytes += n;
    if (code == 0 && json_array_append(in->messages, message) != 0)
        code = 1;
    return code;
}

/* The next character that is no white space, still to be read; EOF. */
static int peek(FILE *f)
{
    int ch = fgetc(f);
    while (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n')
        ch = fgetc(f);
    return ch == EOF ? EOF : ungetc(ch, f);
}

static int import_file(struct import *in, FILE *f)
{
    char why[CLIENT_WHY_MAX];
    int code = 0;
    while (code == 0 && peek(f) != EOF) {
        json_error_t error;
        json_t *message = json_loadf(f, JSON_DISABLE_EOF_CHECK, &error);
        if (message == NULL) {
            (void)snprintf(why, sizeof why, "the file is not of its form: %.200s", error.text);
            cli_print_error(in->cli, PEAL_E_MALFORMED, why, "give what peal export has printed");
            return 1;
        }
        code = take(in, message);
        json_decref(message);
    }
    if (code == 0 && ferror(f)) {
        cli_print_error(in->cli, PEAL_E_IO, "the file cannot be read", strerror(errno));
        return 1;
    }
    return code == 0 ? hand_over(in) : code;
}

int cli_import(const struct cli *cli, struct cli_port *port)
{
    struct import in = {.cli = cli, .port = port, .messages = json_array()};
    const char *path = cli->words[1];
    char why[CLIENT_WHY_MAX];
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (f == NULL) {
        (void)snprintf(why, sizeof why, "%.300s cannot be read: %s", path, strerror(errno));
        cli_print_error(cli, PEAL_E_USAGE, why, "give what peal export has printed");
        json_decref(in.messages);
        return client_exit_status(PEAL_E_USAGE);
    }
    int code = import_file(&in, f);
    if (f != stdin)
        (void)fclose(f); /* only read */
    json_decref(in.messages);
    if (code != 0)
        return code;
    json_t *sum = json_pack("{s:I,s:I}", "added", in.added, "passed", in.passed);
    code = sum != NULL && cli_print_reply(cli, sum) == 0 ? 0 : 1;
    json_decref(sum);
    return code;
}
