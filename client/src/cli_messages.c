#include "cli.h"

#include <stdio.h>
#include <string.h>

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

static int vanish(const struct cli *cli, struct cli_port *port)
{
    const char *text = cli->word_count > 1 ? cli->words[1] : NULL;
    uint64_t seconds = 0;
    if (text == NULL)
        return cli_simple(cli, port,
                          json_pack("{s:s,s:s}", "cmd", "vanish", "name", cli->words[0]));
    const char *s = text;
    for (; *s >= '0' && *s <= '9' && seconds <= CLIENT_VANISH_MAX_S; s++)
        seconds = seconds * 10 + (uint64_t)(*s - '0');
    if (strcmp(text, "off") != 0 && (s == text || *s != '\0' || seconds > CLIENT_VANISH_MAX_S)) {
        char why[CLIENT_WHY_MAX];
        (void)snprintf(why, sizeof why, "\"%.60s\" is no number of seconds up to %d", text,
                       CLIENT_VANISH_MAX_S);
        cli_print_error(cli, PEAL_E_USAGE, why, "give seconds, or off");
        return client_exit_status(PEAL_E_USAGE);
    }
    return cli_simple(cli, port,
                      json_pack("{s:s,s:s,s:I,s:i}", "cmd", "vanish", "name", cli->words[0],
                                "seconds", (json_int_t)seconds, "wait", CLI_SEND_WAIT_MS));
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
    case CLI_VANISH:
        return vanish(cli, port);
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
