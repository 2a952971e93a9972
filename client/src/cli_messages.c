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

static int unsend(const struct cli *cli, struct cli_port *port)
{
    return cli_simple(
        cli, port,
        json_pack("{s:s,s:s,s:i}", "cmd", "unsend", "id", cli->words[0], "wait", CLI_SEND_WAIT_MS));
}

static int forget(const struct cli *cli, struct cli_port *port)
{
    if (!cli->by_id)
        return cli_simple(cli, port,
                          json_pack("{s:s,s:s}", "cmd", "forget", "name", cli->words[0]));
    json_t *ids = json_array();
    for (size_t i = 0; i < cli->word_count; i++)
        json_array_append_new(ids, json_string(cli->words[i]));
    return cli_simple(cli, port, json_pack("{s:s,s:o}", "cmd", "forget", "ids", ids));
}

static int draft(const struct cli *cli, struct cli_port *port)
{
    json_t *text = NULL;
    if (cli->word_count > 1 && cli_text(cli, cli->words[1], &text) != 0)
        return 1;
    return cli_simple(
        cli, port,
        json_pack("{s:s,s:s,s:o?}", "cmd", "draft", "name", cli->words[0], "text", text));
}

int cli_messages(const struct cli *cli, struct cli_port *port)
{
    switch ((int)cli->command) {
    case CLI_EDIT:
        return edit(cli, port);
    case CLI_UNSEND:
        return unsend(cli, port);
    case CLI_FORGET:
        return forget(cli, port);
    case CLI_DRAFT:
        return draft(cli, port);
    case CLI_SEARCH:
        return cli_search(cli, port);
    case CLI_EXPORT:
        return cli_export(cli, port);
    case CLI_IMPORT:
        return cli_import(cli, port);
    default:
        CHECK(cli->command == CLI_UNREAD);
        return cli_simple(cli, port, json_pack("{s:s}", "cmd", "unread"));
    }
}
