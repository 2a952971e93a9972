/* peal trust, safety and verify: whose key is whose. */
#include "cli.h"
#include "qr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 };

static int fail(const struct cli *cli, int err, const char *message, const char *hint)
{
    cli_print_error(cli, err, message, hint);
    return client_exit_status(err);
}

static const char *str(json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

/* ---- showing ------------------------------------------------------------------------- */

/* Twelve groups, three lines of four. */
static void print_number(const char *number)
{
    size_t group = 0;
    (void)fputs("  ", stdout);
    for (const char *s = number; *s != '\0'; s++) {
        if (*s == ' ' && ++group % 4 == 0)
            (void)fputs("\n  ", stdout);
        else
            (void)putchar(*s);
    }
    (void)putchar('\n');
}

static void print_code(const char *text)
{
    struct qr code;
    char *lines = NULL;
    if (qr_make(text, &code) == 0 && qr_lines(&code, isatty(STDOUT_FILENO) == 1, &lines) == 0)
        (void)fputs(lines, stdout);
    free(lines);
    qr_free(&code);
}

static void print_safety(const struct cli *cli, json_t *r)
{
    const char *name = str(r, "name");
    if (cli->qr)
        print_code(str(r, "qr"));
    (void)printf("your safety number with %s:\n", name);
    print_number(str(r, "number"));
    if (json_is_true(json_object_get(r, "changed")))
        (void)printf("%s's key has changed: this number is of the former one; see peal trust %s\n",
                     name, name);
    else if (json_is_true(json_object_get(r, "verified")))
        (void)printf("verified: it was compared with %s\n", name);
    else
        (void)printf("not verified: compare it with what %s sees for you, then: peal verify %s\n",
                     name, name);
}

static void print_trust(const struct cli *cli, json_t *r)
{
    const char *name = str(r, "name");
    if (!json_is_true(json_object_get(r, "changed"))) {
        (void)printf(cli->word_count > 1 ? "the key of %s is accepted:\n  %s\n"
                                         : "the key of %s is the one that was pinned:\n  %s\n",
                     name, str(r, "pinned"));
        return;
    }
    (void)printf(
        "the key of %s has changed: nothing is sent to them\n"
        "  pinned  %s\n  now     %s\n"
        "Somebody may be posing as %s. Ask them over another channel for the safety number "
        "that\nthey see for you; with the new key it is:\n",
        name, str(r, "pinned"), str(r, "shown"), name);
    print_number(str(r, "number"));
    (void)printf("If it is the same, accept the new key:\n  peal trust %s %s\n", name,
                 str(r, "shown"));
}

void cli_keys_print(const struct cli *cli, json_t *reply)
{
    if (cli->command == CLI_TRUST)
        print_trust(cli, reply);
    else
        print_safety(cli, reply);
}

/* ---- doing --------------------------------------------------------------------------- */

/* The answer of one command, NULL when an error has been shown, with the exit status. */
static json_t *answer_of(const struct cli *cli, struct cli_port *port, json_t *request, int *code)
{
    json_t *reply = NULL;
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, &reply) : PEAL_E_NO_MEMORY;
    json_decref(request);
    if (err == 0 && client_error_of(reply) == 0)
        return reply;
    if (err == 0)
        cli_print_reply_error(cli, reply);
    else
        cli_print_error(cli, err, err_prose(err), "");
    *code = client_exit_status(err == 0 ? client_error_of(reply) : err);
    json_decref(reply);
    return NULL;
}

static json_t *safety_of(const struct cli *cli, struct cli_port *port, int *code)
{
    return answer_of(cli, port, json_pack("{s:s,s:s}", "cmd", "safety", "name", cli->words[0]),
                     code);
}

static int write_file(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *f = fopen(path, "wbe");
    if (f == NULL)
        return PEAL_E_IO;
    size_t put = fwrite(bytes, 1, n, f);
    int why = errno;
    if (fclose(f) == 0 && put == n)
        return 0;
    errno = put == n ? errno : why;
    return PEAL_E_IO;
}

/* The exit status. */
static int write_picture(const struct cli *cli, const char *text)
{
    struct qr code;
    uint8_t *png = NULL;
    size_t n = 0;
    char why[CLIENT_WHY_MAX];
    int err = qr_make(text, &code);
    if (err == 0)
        err = qr_png(&code, &png, &n);
    qr_free(&code);
    if (err != 0)
        return fail(cli, err, "the picture cannot be made", err_prose(err));
    err = write_file(cli->png, png, n);
    if (err != 0) {
        (void)snprintf(why, sizeof why, "the picture cannot be written to %.300s: %s", cli->png,
                       strerror(errno));
        (void)fail(cli, err, why, "");
    }
    free(png);
    return client_exit_status(err);
}

int cli_safety(const struct cli *cli, struct cli_port *port)
{
    int code = 0;
    json_t *reply = safety_of(cli, port, &code);
    if (reply == NULL)
        return code;
    if (cli->png != NULL)
        code = write_picture(cli, str(reply, "qr"));
    if (code == 0)
        code = cli_print_reply(cli, reply) == 0 ? 0 : 1;
    json_decref(reply);
    return code;
}

/* PEAL_E_NOT_FOUND: there is no terminal; PEAL_E_REFUSED: anything but yes was said. */
static int ask_yes(const char *question)
{
    char line[ANSWER_MAX];
    FILE *tty = fopen("/dev/tty", "r+e");
    if (tty == NULL)
        return PEAL_E_NOT_FOUND;
    (void)fputs(question, tty);
    (void)fflush(tty);
    bool yes = fgets(line, sizeof line, tty) != NULL && strcmp(line, "yes\n") == 0;
    (void)fclose(tty);
    return yes ? 0 : PEAL_E_REFUSED;
}

/* Shows the number and asks; gives it out when the answer is yes, the caller's to release. */
static json_t *look(const struct cli *cli, struct cli_port *port, int *code)
{
    json_t *reply = safety_of(cli, port, code);
    if (reply == NULL)
        return NULL;
    json_t *number = json_incref(json_object_get(reply, "number"));
    bool changed = json_is_true(json_object_get(reply, "changed"));
    *code = cli_print_reply(cli, reply) == 0 ? 0 : 1;
    json_decref(reply);
    int err = 0;
    if (*code == 0 && !changed)
        err = ask_yes("Does the other side see the same number for you? (yes or no) ");
    if (err == PEAL_E_NOT_FOUND)
        *code = fail(cli, PEAL_E_USAGE, "there is no terminal to ask on",
                     "give the number that was compared: peal verify NAME NUMBER");
    else if (err != 0)
        *code = fail(cli, PEAL_E_REFUSED, "nothing was verified", "");
    if (*code == 0)
        return number; /* of a changed key: verify says why not */
    json_decref(number);
    return NULL;
}

int cli_verify(const struct cli *cli, struct cli_port *port)
{
    int code = 0;
    json_t *number = NULL;
    if (cli->word_count > 1) {
        number = json_string(cli->words[1]);
        if (number == NULL)
            return fail(cli, PEAL_E_MALFORMED, "the number is not valid UTF-8 text", "");
    } else if (cli->json) {
        return fail(cli, PEAL_E_USAGE, "with --json nothing is asked",
                    "give the number that was compared: peal verify NAME NUMBER");
    } else {
        number = look(cli, port, &code);
        if (number == NULL)
            return code;
    }
    return cli_simple(
        cli, port,
        json_pack("{s:s,s:s,s:o}", "cmd", "verify", "name", cli->words[0], "number", number));
}

int cli_trust(const struct cli *cli, struct cli_port *port)
{
    json_t *request = json_pack("{s:s,s:s}", "cmd", "trust", "name", cli->words[0]);
    if (cli->word_count > 1) {
        json_t *fingerprint = json_string(cli->words[1]);
        if (request == NULL || json_object_set_new(request, "fingerprint", fingerprint) != 0) {
            json_decref(request);
            return fail(cli, PEAL_E_USAGE, "the fingerprint is not of its form",
                        "give the 64 digits that peal trust NAME shows");
        }
    }
    return cli_simple(cli, port, request);
}
