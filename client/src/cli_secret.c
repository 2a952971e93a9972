/* What a command is given and must not stand on the command line: passwords, from the terminal or
 * from a file. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <peal/crypto.h>

int cli_read_all(int fd, size_t max, char **out, size_t *n)
{
    char *text = malloc(max + 3);
    size_t got = 0;
    ssize_t r = text != NULL ? 1 : -1;
    while (r > 0 && got < max + 3) {
        r = read(fd, text + got, max + 3 - got);
        if (r < 0 && errno == EINTR)
            r = 1;
        else if (r > 0)
            got += (size_t)r;
    }
    if (text == NULL || r < 0) {
        free(text);
        return text == NULL ? PEAL_E_NO_MEMORY : PEAL_E_IO;
    }
    if (got > 0 && text[got - 1] == '\n')
        got--;
    if (got > 0 && text[got - 1] == '\r')
        got--;
    if (got > max) {
        cry_wipe(text, max + 3);
        free(text);
        return PEAL_E_TOO_LONG;
    }
    text[got] = '\0';
    *out = text;
    *n = got;
    return 0;
}

/* A file descriptor that hears the signals after which the terminal must be as it was before, and
 * which are kept back from now on; -1. */
static int keep_back(sigset_t *before)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < PEAL_COUNT(signals); i++)
        sigaddset(&set, signals[i]);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd >= 0 && sigprocmask(SIG_BLOCK, &set, before) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Waits for a line or a signal; *signum is 0 or the signal. The number of bytes, 0 at the end of
 * input, -1. */
static ssize_t read_line(int tty, int signals, char *line, size_t cap, int *signum)
{
    struct pollfd fds[2] = {{.fd = tty, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo info;
    *signum = 0;
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return -1;
    }
    if (fds[1].revents == 0)
        return read(tty, line, cap); /* one line: the terminal is in canonical mode */
    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
        return -1;
    *signum = (int)info.ssi_signo;
    return -1;
}

/* Asks once, with the terminal's echo off meanwhile. A signal takes its effect once the terminal is
 * as before; whoever survives it (it was stopped and goes on, or ignores it) is to ask again. */
static ssize_t ask(int tty, const char *question, char *line, size_t cap, bool *again)
{
    struct termios shown;
    sigset_t before;
    ssize_t r = -1;
    int signum = 0;
    *again = false;
    int signals = keep_back(&before);
    if (signals < 0)
        return -1;
    if (tcgetattr(tty, &shown) == 0) {
        struct termios hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        if (tcsetattr(tty, TCSAFLUSH, &hidden) == 0) {
            (void)dprintf(tty, "%s: ", question);
            r = read_line(tty, signals, line, cap, &signum);
            (void)tcsetattr(tty, TCSAFLUSH, &shown);
            (void)dprintf(tty, "\n");
        }
    }
    close(signals);
    if (signum != 0)
        (void)raise(signum); /* comes with the mask that is restored next */
    if (sigprocmask(SIG_SETMASK, &before, NULL) != 0)
        return -1;
    *again = signum != 0;
    return r;
}

/* One line from the terminal, without showing it. PEAL_E_NOT_FOUND: there is no terminal;
 * PEAL_E_CLOSED: the end of input came instead. */
static int prompt(const char *question, char **out, size_t *n)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0)
        return PEAL_E_NOT_FOUND;
    char *line = calloc(1, CRY_PASSWORD_MAX + 3);
    ssize_t r = -1;
    bool again = line != NULL;
    while (again)
        r = ask(tty, question, line, CRY_PASSWORD_MAX + 2, &again);
    close(tty);
    if (r <= 0) {
        int err = line == NULL ? PEAL_E_NO_MEMORY : r == 0 ? PEAL_E_CLOSED : PEAL_E_NOT_FOUND;
        free(line);
        return err;
    }
    *n = (size_t)r;
    if (line[*n - 1] == '\n')
        (*n)--;
    line[*n] = '\0';
    *out = line;
    return 0;
}

/* What each command asks for, in this order; the last one is a new one where `twice` says so. */
static const struct wanted {
    const char *questions[CLI_SECRETS_MAX];
    bool twice;
    const char *file; /* what it holds */
} wanted[CLI_COMMANDS] = {
    [CLI_REGISTER] = {{"password", NULL}, true, "the password and nothing else"},
    [CLI_LOGIN] = {{"password", NULL}, false, "the password and nothing else"},
    [CLI_PASSWD] = {{"present password", "new password"},
                    true,
                    "two lines: the present password and the new one"},
    [CLI_RECOVERY] = {{"password", NULL}, false, "the password and nothing else"},
    [CLI_DELETE] = {{"password", NULL}, false, "the password and nothing else"},
    [CLI_RESET] = {{"recovery key", "new password"},
                   true,
                   "two lines: the recovery key and the new password"},
};

static size_t count_of(const struct cli *cli)
{
    size_t n = 0;
    while (n < CLI_SECRETS_MAX && wanted[cli->command].questions[n] != NULL)
        n++;
    return n;
}

void cli_secrets_wipe(struct cli_secrets *s)
{
    for (size_t i = 0; i < CLI_SECRETS_MAX; i++) {
        if (s->v[i].text != NULL)
            cry_wipe(s->v[i].text, s->v[i].n);
        free(s->v[i].text);
        s->v[i] = (struct cli_secret){0};
    }
}

/* As prompt; PEAL_E_TRUNCATED: an empty one, PEAL_E_MALFORMED: two different ones. */
static int prompt_secret(const char *question, bool twice, struct cli_secret *out)
{
    char *again = NULL;
    size_t again_n = 0;
    int err = prompt(question, &out->text, &out->n);
    if (err != 0)
        return err;
    if (out->n == 0)
        err = PEAL_E_TRUNCATED;
    else if (twice)
        err = prompt("the same again", &again, &again_n);
    if (again != NULL && (out->n != again_n || memcmp(out->text, again, again_n) != 0))
        err = PEAL_E_MALFORMED;
    if (again != NULL)
        cry_wipe(again, again_n);
    free(again);
    return err;
}

static void show_prompt_error(const struct cli *cli, int err)
{
    const char *message = "there is no terminal to ask for the password on";
    const char *hint = "give --password-file FILE, or - for standard input";
    if (err == PEAL_E_MALFORMED)
        message = "the two passwords differ";
    else if (err == PEAL_E_TRUNCATED)
        message = "the password is empty";
    else if (err == PEAL_E_CLOSED)
        message = "no password was given";
    else if (err == PEAL_E_NO_MEMORY)
        message = "no memory";
    cli_print_error(cli, PEAL_E_USAGE, message, err == PEAL_E_NOT_FOUND ? hint : "try again");
}

static int prompt_all(const struct cli *cli, struct cli_secrets *out)
{
    size_t n = count_of(cli);
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++)
        err = prompt_secret(wanted[cli->command].questions[i],
                            wanted[cli->command].twice && i + 1 == n, &out->v[i]);
    if (err != 0)
        show_prompt_error(cli, err);
    return err;
}

/* The text's first line becomes the first one, what follows the second. PEAL_E_TRUNCATED: there is
 * no second line. */
static int cut_in_two(struct cli_secrets *s)
{
    struct cli_secret *a = &s->v[0], *b = &s->v[1];
    char *end = memchr(a->text, '\n', a->n);
    if (end == NULL)
        return PEAL_E_TRUNCATED;
    size_t first = (size_t)(end - a->text);
    size_t rest = a->n - first - 1;
    b->text = malloc(rest + 1);
    if (b->text == NULL)
        return PEAL_E_NO_MEMORY;
    memcpy(b->text, end + 1, rest);
    b->text[rest] = '\0';
    b->n = rest;
    cry_wipe(end, rest + 1);
    a->n = first > 0 && a->text[first - 1] == '\r' ? first - 1 : first;
    a->text[a->n] = '\0';
    return a->n > CRY_PASSWORD_MAX || b->n > CRY_PASSWORD_MAX ? PEAL_E_TOO_LONG : 0;
}

static int read_file(const struct cli *cli, struct cli_secrets *out)
{
    const char *path = cli->password_file;
    char why[CLIENT_WHY_MAX], hint[128];
    bool two = count_of(cli) == 2;
    size_t max = two ? 2 * CRY_PASSWORD_MAX + 2 : CRY_PASSWORD_MAX;
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int err = fd >= 0 ? cli_read_all(fd, max, &out->v[0].text, &out->v[0].n) : PEAL_E_IO;
    if (err == 0 && two)
        err = cut_in_two(out);
    if (err != 0) {
        (void)snprintf(why, sizeof why, "%s cannot be read from %.300s: %s",
                       two ? "the two lines" : "the password", path,
                       err == PEAL_E_IO ? strerror(errno) : err_prose(err));
        (void)snprintf(hint, sizeof hint, "the file holds %s", wanted[cli->command].file);
        cli_print_error(cli, PEAL_E_USAGE, why, hint);
    }
    if (fd > STDIN_FILENO)
        close(fd);
    return err;
}

int cli_secrets_read(const struct cli *cli, struct cli_secrets *out)
{
    *out = (struct cli_secrets){0};
    if (count_of(cli) == 0)
        return 0;
    int err = cli->password_file != NULL ? read_file(cli, out) : prompt_all(cli, out);
    if (err != 0)
        cli_secrets_wipe(out);
    return err;
}

json_t *cli_secret_json(const struct cli *cli, const struct cli_secret *s)
{
    json_t *text = json_stringn(s->text, s->n);
    if (text == NULL)
        cli_print_error(cli, PEAL_E_MALFORMED, "the password is not valid UTF-8 text",
                        "choose another one");
    return text;
}
