/* peal passwd, recovery, reset: what changes the account. */
#include "cli.h"

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

int cli_account(const struct cli *cli, struct cli_port *port, const struct cli_secrets *secrets)
{
    switch ((int)cli->command) {
    case CLI_PASSWD:
        return change_password(cli, port, secrets);
    case CLI_RECOVERY:
        return with_password(cli, port, "recovery", secrets);
    case CLI_RESET:
        return reset(cli, port, secrets);
    default:
        CHECK(false);
        return 2;
    }
}
