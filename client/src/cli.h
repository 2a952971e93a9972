/* cli: the command line of `peal`: what is asked (cli_parse.c), who does it (cli_port.c: this
 * process, or the client that runs on the profile), how it is shown (cli_print.c). */
#ifndef PEAL_CLI_H
#define PEAL_CLI_H

#include <peal/client.h>

enum cli_command {
    CLI_NONE,
    CLI_REGISTER,
    CLI_LOGIN,
    CLI_LOGOUT,
    CLI_WHOAMI,
    CLI_SEND,
    CLI_RECV,
    CLI_HISTORY,
    CLI_STATUS,
    CLI_TRUST,
    CLI_SAFETY,
    CLI_VERIFY,
    CLI_RING,
    CLI_WEB,
    CLI_PASSWD,
    CLI_RECOVERY,
    CLI_RESET,
    CLI_SETTINGS,
    CLI_DISPLAY,
    CLI_DELETE,
    CLI_EDIT,
    CLI_UNSEND,
    CLI_FORGET,
    CLI_DRAFT,
    CLI_UNREAD,
    CLI_SEARCH,
    CLI_EXPORT,
    CLI_IMPORT,
    CLI_VANISH,
    CLI_COMMANDS
};

enum { CLI_WORDS_MAX = 64 };

/* What the command line says. Strings point into argv. */
struct cli {
    enum cli_command command;
    bool help, version, json, follow, qr, ids;
    const char *png; /* the file to write; NULL: none */
    const char *profile;
    const char *servers[CLIENT_SERVERS_MAX];
    struct net_place places[CLIENT_SERVERS_MAX];
    size_t server_count;
    bool mcast_set;
    struct net_groups mcast;   /* n 0: off */
    const char *password_file; /* NULL: ask on the terminal */
    const char *listen;
    const char *ring_key_file;   /* NULL: not given */
    const char *reply;           /* a message's id; NULL: not given */
    uint64_t wait_s, max, limit; /* 0: not given */
    bool by_id;                  /* the words are messages' ids */
    const char *with;            /* a name; NULL: not given */
    bool as_text;
    const char *words[CLI_WORDS_MAX];
    size_t word_count;
};

/* PEAL_E_USAGE with a sentence in why. json is set as far as it was read, so that the error can be
 * shown as asked. */
PEAL_MUST int cli_parse(int argc, char **argv, struct cli *out, char why[static CLIENT_WHY_MAX]);
/* What a CLI_RING with its words is. */
enum cli_ring { CLI_RING_NONE, CLI_RING_STATUS, CLI_RING_LOOKUP, CLI_RING_REMOVE };
enum cli_ring cli_ring_of(const struct cli *cli);
/* The usage of a command, or of peal itself (CLI_NONE); static. */
const char *cli_usage(enum cli_command command);

/* ---- showing: each returns 0, PEAL_E_IO when standard output cannot be written (said once on
 * standard error), or PEAL_E_CLOSED when --follow's reader is gone (nothing is said) */
void cli_print_error(const struct cli *cli, int err, const char *message, const char *hint);
void cli_print_reply_error(const struct cli *cli, json_t *reply);
PEAL_MUST int cli_print_reply(const struct cli *cli, json_t *reply);
PEAL_MUST int cli_print_message(const struct cli *cli, json_t *message);

/* ---- input (cli_secret.c) */

/* All of a file, at most max bytes, without one line end at its end; NUL-terminated, the caller
 * frees. PEAL_E_IO, PEAL_E_TOO_LONG, PEAL_E_NO_MEMORY. */
PEAL_MUST int cli_read_all(int fd, size_t max, char **out, size_t *n);

/* What a command asks for that must not stand on the command line; text NULL: nothing. */
enum { CLI_SECRETS_MAX = 2 };
struct cli_secret {
    char *text;
    size_t n;
};
struct cli_secrets {
    struct cli_secret v[CLI_SECRETS_MAX];
};
/* From --password-file, one line each, or else from the terminal, what is new twice. An error has
 * been shown, and out is empty. */
PEAL_MUST int cli_secrets_read(const struct cli *cli, struct cli_secrets *out);
void cli_secrets_wipe(struct cli_secrets *s);
/* NULL, and has said why, when it is no text. */
json_t *cli_secret_json(const struct cli *cli, const struct cli_secret *s);

/* ---- doing */

struct cli_port;
/* Opens the profile, or the way to whoever has it. An error has been shown. */
PEAL_MUST int cli_port_open(const struct cli *cli, struct cli_port **out);
/* Gives one command and waits for its end; each (may be NULL) hears what comes before the answer,
 * and *reply is the answer, the caller's to release. Returns 0, PEAL_E_CLOSED when a signal
 * (SIGINT, SIGTERM) came first, or another error, which has been shown. */
PEAL_MUST int cli_port_run(struct cli_port *port, json_t *request,
                           int (*each)(void *user, json_t *message), void *user, json_t **reply);
/* Serves the page until a signal. Only where this process has the profile. */
PEAL_MUST int cli_port_web(struct cli_port *port);
void cli_port_close(struct cli_port *port);

/* A message's text as a word says it; "-": what standard input holds. An error has been shown. */
PEAL_MUST int cli_text(const struct cli *cli, const char *word, json_t **out);
enum { CLI_SEND_WAIT_MS = 10000 }; /* what the ring gets to take a message */
/* Gives up request and shows what came of it; the exit status. */
int cli_simple(const struct cli *cli, struct cli_port *port, json_t *request);
/* peal ring remove (cli_remove.c); the exit status. */
int cli_remove(const struct cli *cli, struct cli_port *port);
/* peal trust, safety and verify (cli_keys.c); the exit status. */
int cli_trust(const struct cli *cli, struct cli_port *port);
int cli_safety(const struct cli *cli, struct cli_port *port);
int cli_verify(const struct cli *cli, struct cli_port *port);
/* What they answer, as text. */
void cli_keys_print(const struct cli *cli, json_t *reply);

/* The command that `peal settings` with its words is; NULL, and why says why, when they are not of
 * their form. */
json_t *cli_settings(const struct cli *cli, char why[static CLIENT_WHY_MAX]);
/* What changes the account (cli_account.c); the exit status. */
int cli_account(const struct cli *cli, struct cli_port *port, const struct cli_secrets *secrets);
/* What is done with messages besides sending and reading them (cli_messages.c); the exit status. */
int cli_messages(const struct cli *cli, struct cli_port *port);
/* peal search, export, import (cli_transfer.c); the exit status. */
int cli_search(const struct cli *cli, struct cli_port *port);
int cli_export(const struct cli *cli, struct cli_port *port);
int cli_import(const struct cli *cli, struct cli_port *port);

/* The whole program; the exit status. */
int cli_main(int argc, char **argv);

#endif
