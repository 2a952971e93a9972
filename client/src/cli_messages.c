#include "cli.h"

static int edit(const struct cli *cli, struct cli_port *port)
{
    json_t *text;
    if (cli_text(cli, cli->words[1], &text) != 0)
        return 1;
    return cli_simple(cli, port,
                      json_pack("{s:s,s:s,s:o,s:i}", "cmd", "edit", "id", cli->words[0], "text",
                                text, "wait", CLI_SEND_WAIT_MS));
}

int cli_messages(const struct cli *cli, struct cli_port *port)
{
    if (cli->command == CLI_EDIT)
        return edit(cli, port);
    CHECK(cli->command == CLI_UNSEND);
    return cli_simple(
        cli, port,
        json_pack("{s:s,s:s,s:i}", "cmd", "unsend", "id", cli->words[0], "wait", CLI_SEND_WAIT_MS));
}
