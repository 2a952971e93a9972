/* peal passwd, recovery, reset, settings, display, delete: what changes the account. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int change_password(const struct cli *cli, struct cli_port *port,
                           const struct cli_secrets *secrets)
{
    json_t *old = cli_secret_json(cli, &secrets->v[0]);
    json_t *fresh = old != NULL ? cli_secret_json(cli, &secrets->v[1]) : NULL;
    if (fresh == NULL) {
        json_decref(old);
        return 1;
    }
    return cli_simple(cli, port,
                      json_pack("{s:s,s:o,s:o}", "cmd", "password", "old", old, "new", fresh));
}

static int with_password(const struct cli *cli, struct cli_port *port, const char *command,
                         const struct cli_secrets *secrets)
{
    json_t *password = cli_secret_json(cli, &secrets->v[0]);
    if (password == NULL)
        return 1;
    return cli_simple(cli, port, json_pack("{s:s,s:o}", "cmd", command, "password", password));
}

static int reset(const struct cli *cli, struct cli_port *port, const struct cli_secrets *secrets)
{
    json_t *key = cli_secret_json(cli, &secrets->v[0]);
    json_t *fresh = key != NULL ? cli_secret_json(cli, &secrets->v[1]) : NULL;
    if (fresh == NULL) {
        json_decref(key);
        return 1;
    }
    return cli_simple(cli, port,
                      json_pack("{s:s,s:s,s:o,s:o}", "cmd", "reset", "name", cli->words[0],
                                "recovery", key, "password", fresh));
}

/* A whole number of at most 16 bits, or -1. */
static int small_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    long value = n > 0 && n <= 5 && text[n] == '\0' ? strtol(text, NULL, 10) : -1;
    return value <= UINT16_MAX ? (int)value : -1;
}

/* One word; NULL: it is none of these. */
static json_t *setting_of(const char *word, const char **key)
{
    static const char *const names[][2] = {{"unread=", "unread"},
                                           {"session-days=", "session_days"}};
    if (strcmp(word, "receipts=on") == 0 || strcmp(word, "receipts=off") == 0) {
        *key = "receipts";
        return json_boolean(word[sizeof "receipts=o" - 1] == 'n');
    }
    for (size_t i = 0; i < PEAL_COUNT(names); i++) {
        size_t n = strlen(names[i][0]);
        if (strncmp(word, names[i][0], n) != 0)
            continue;
        int value = small_number(word + n);
        *key = names[i][1];
        return value >= 0 ? json_integer(value) : NULL;
    }
    return NULL;
}

json_t *cli_settings(const struct cli *cli, char why[static CLIENT_WHY_MAX])
{
    json_t *request = json_pack("{s:s}", "cmd", "settings");
    for (size_t i = 0; i < cli->word_count && request != NULL; i++) {
        const char *key = NULL;
        json_t *value = setting_of(cli->words[i], &key);
        bool twice = key != NULL && json_object_get(request, key) != NULL;
        if (value != NULL && !twice && json_object_set_new(request, key, value) == 0)
            continue;
        if (twice)
            json_decref(value);
        (void)snprintf(why, CLIENT_WHY_MAX,
                       twice ? "\"%.60s\" says again what was said"
                             : "\"%.60s\" is no setting: receipts=on|off, unread=N or "
                               "session-days=N, N from 0 to 65535",
                       cli->words[i]);
        json_decref(request);
        request = NULL;
    }
    return request;
}

static int display(const struct cli *cli, struct cli_port *port)
{
    json_t *text = json_string(cli->words[0]);
    if (text == NULL) {
        cli_print_error(cli, PEAL_E_MALFORMED, "the display name is not valid UTF-8 text",
                        "one line of text");
        return 1;
    }
    return cli_simple(cli, port, json_pack("{s:s,s:o}", "cmd", "display", "text", text));
}

int cli_account(const struct cli *cli, struct cli_port *port, const struct cli_secrets *secrets)
{
    char why[CLIENT_WHY_MAX];
    switch ((int)cli->command) {
    case CLI_PASSWD:
        return change_password(cli, port, secrets);
    case CLI_RECOVERY:
        return with_password(cli, port, "recovery", secrets);
    case CLI_DELETE:
        return with_password(cli, port, "delete", secrets);
    case CLI_SETTINGS:
        return cli_simple(cli, port, cli_settings(cli, why));
    case CLI_DISPLAY:
        return display(cli, port);
    case CLI_RESET:
        return reset(cli, port, secrets);
    default:
        CHECK(false);
        return 2;
    }
}
