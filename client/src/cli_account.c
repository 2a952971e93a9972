/* peal passwd: what changes the account. */
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

int cli_account(const struct cli *cli, struct cli_port *port, const struct cli_secrets *secrets)
{
    CHECK(cli->command == CLI_PASSWD);
    return change_password(cli, port, secrets);
}
