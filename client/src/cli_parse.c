#include <stdio.h>
#include <string.h>

#include "cli.h"

#include <peal/reach.h>

#define GENERAL                                                                                    \
    "\noptions:\n"                                                                                 \
    "  --profile DIR        this client's folder (default: $XDG_DATA_HOME/peal)\n"                 \
    "  --server HOST:PORT   a server to connect to, or peal://HOST:PORT#FINGERPRINT; may be "      \
    "repeated\n"                                                                                   \
    "                       (default: ask on multicast); those remembered are tried too\n"         \
    "  --multicast GROUP:PORT[,GROUP:PORT]|off\n"                                                  \
    "                       where to ask for servers (default: PEAL_MULTICAST, or the usual\n"     \
    "                       groups, one of IPv4 and one of IPv6)\n"                                \
    "  --json               one JSON object per line\n"                                            \
    "  --help, --version\n"

#define ID_USAGE                                                                                   \
    "ID is a message's id, or its first or last digits (at least four), as --ids and\n"            \
    "--json show them. "

static const struct command {
    const char *name;
    size_t words_min, words_max; /* after the command's own */
    const char *usage;
} commands[CLI_COMMANDS] = {
    [CLI_NONE] =
        {"", 0, 0,
         "usage: peal [OPTION]... COMMAND\n\n"
         "  register NAME --password-file FILE|-   a new account\n"
         "  login NAME --password-file FILE|-      an account that exists\n"
         "  passwd [--password-file FILE|-]        another password\n"
         "  recovery [--password-file FILE|-]      another recovery key\n"
         "  reset NAME [--password-file FILE|-]    a forgotten password, by the recovery "
         "key\n"
         "  settings [receipts=on|off] [unread=N] [session-days=N]\n"
         "                                         the account's, for all its clients\n"
         "  display TEXT                           what it is called besides its name\n"
         "  delete [--password-file FILE|-]        the end of the account\n"
         "  logout                                 leave this client; its history stays\n"
         "  whoami                                 the account, the server, the ring\n"
         "  send NAME TEXT|- [--reply ID]          write to somebody\n"
         "  edit ID TEXT|-                         change what you have written\n"
         "  unsend ID                              delete it on both sides\n"
         "  forget NAME | --id ID...               delete messages here alone\n"
         "  draft NAME [TEXT|-]                    keep a text that is not to be sent yet\n"
         "  unread                                 how many messages are unread, by whom\n"
         "  search TEXT [--with NAME] [--limit N]  messages that have this text\n"
         "  export NAME [--format json|text]       a conversation, as lines\n"
         "  import NAME FILE|-                     what export has printed as JSON\n"
         "  vanish NAME [SECONDS|off]              messages that vanish, on both sides\n"
         "  recv [--follow] [--wait SECONDS] [--max N]\n"
         "                                         unread messages\n"
         "  history NAME [--limit N]               what was said with somebody\n"
         "  status NAME                            is somebody online?\n"
         "  trust NAME [FINGERPRINT]               look at a changed key, or accept it\n"
         "  safety NAME [--qr] [--png FILE]        the number to compare with somebody\n"
         "  verify NAME [NUMBER]                   it was compared, and is the same\n"
         "  ring status                            the servers of the ring\n"
         "  ring lookup NAME                       which server keeps a name, and the way "
         "there\n"
         "  ring remove ID --ring-key-file FILE    take out a server that is gone for "
         "good\n"
         "  web --listen ADDR:PORT                 the same in a browser\n"
         "\nexit status: 0 done; 1 refused; 2 usage; 3 no server reached\n" GENERAL},
    [CLI_REGISTER] =
        {"register", 1, 1,
         "usage: peal register NAME [--password-file FILE|-]\n\n"
         "Makes an account on the ring and logs in. Without --password-file the password is asked "
         "for\n"
         "on the terminal. It never leaves this machine. Prints the account's recovery key, once: "
         "note it;\n"
         "nothing else resets a forgotten password.\n" GENERAL},
    [CLI_LOGIN] =
        {"login", 1, 1,
         "usage: peal login NAME [--password-file FILE|-]\n\n"
         "Logs in to an account that exists; another client that uses it is logged out.\n" GENERAL},
    [CLI_LOGOUT] = {"logout", 0, 0,
                    "usage: peal logout\n\nEnds the session. History and outbox stay in the "
                    "profile.\n" GENERAL},
    [CLI_WHOAMI] = {"whoami", 0, 0,
                    "usage: peal whoami\n\nShows the account, the server, and the ring's "
                    "fingerprint.\n" GENERAL},
    [CLI_SEND] =
        {"send", 2, 2,
         "usage: peal send NAME TEXT|- [--reply ID]\n\n"
         "Sends a message; with -, what standard input holds. Says what became of it: "
         "stored (on the ring),\n"
         "or queued (only here: exit status 3; it goes out as soon as a client runs on "
         "this profile and\n"
         "reaches a server). After -- nothing is an option.\n"
         "  --reply ID        says which message of the conversation it answers\n" GENERAL},
    [CLI_EDIT] = {"edit", 2, 2,
                  "usage: peal edit ID TEXT|-\n\n"
                  "Gives a message that you have written another text, on both sides; with -, what "
                  "standard input\n"
                  "holds. " ID_USAGE "Exit status 3: the other side will hear of it as soon as "
                  "a client runs on\n"
                  "this profile and reaches a server.\n" GENERAL},
    [CLI_FORGET] = {"forget", 1, CLI_WORDS_MAX,
                    "usage: peal forget NAME\n"
                    "       peal forget --id ID...\n\n"
                    "Deletes a whole conversation, or some messages, in this profile; the other "
                    "side keeps them. What\n"
                    "is queued is sent all the same. " ID_USAGE "\n" GENERAL},
    [CLI_DRAFT] = {"draft", 1, 2,
                   "usage: peal draft NAME [TEXT|-]\n\n"
                   "Keeps a text for somebody that is not to be sent yet; an empty one removes it. "
                   "Without a text,\n"
                   "prints what is kept.\n" GENERAL},
    [CLI_UNREAD] = {"unread", 0, 0,
                    "usage: peal unread\n\n"
                    "Says how many unread messages there are, by whom and in all.\n" GENERAL},
    [CLI_SEARCH] = {"search", 1, 1,
                    "usage: peal search TEXT [--with NAME] [--limit N] [--ids]\n\n"
                    "Prints the messages of this profile that have the text in them, whatever the "
                    "case of letters,\n"
                    "the newest first.\n"
                    "  --with NAME       those with one person\n"
                    "  --limit N         at most N (default: 50)\n" GENERAL},
    [CLI_EXPORT] = {"export", 1, 1,
                    "usage: peal export NAME [--format json|text]\n\n"
                    "Prints the whole conversation with somebody as it is in this profile, oldest "
                    "first: a line of\n"
                    "JSON per message, as peal import takes it, or text to read.\n" GENERAL},
    [CLI_IMPORT] = {"import", 2, 2,
                    "usage: peal import NAME FILE|-\n\n"
                    "Takes what peal export has printed as JSON into this profile's conversation "
                    "with somebody, marked\n"
                    "as imported. Messages that are here already are passed over; forgotten ones "
                    "come back.\n" GENERAL},
    [CLI_VANISH] = {"vanish", 1, 2,
                    "usage: peal vanish NAME [SECONDS|off]\n\n"
                    "Says after how many seconds messages with somebody vanish that are written "
                    "from now on, or sets it,\n"
                    "for both sides: each side's client deletes a message so long after it was "
                    "read there, its author's\n"
                    "so long after it was sent. The other side can keep what it reads all the "
                    "same.\n" GENERAL},
    [CLI_UNSEND] = {"unsend", 1, 1,
                    "usage: peal unsend ID\n\n"
                    "Deletes a message that you have written, on both sides. The other side may "
                    "have read it before.\n" ID_USAGE "Exit status as of peal edit.\n" GENERAL},
    [CLI_RECV] = {"recv", 0, 0,
                  "usage: peal recv [--follow] [--wait SECONDS] [--max N] [--ids]\n\n"
                  "Prints the unread messages, oldest first, and marks them as read.\n"
                  "  --follow          goes on until interrupted\n"
                  "  --wait SECONDS    waits so long for a first message\n"
                  "  --max N           stops after N messages\n"
                  "  --ids             shows the last eight digits of each message's id\n" GENERAL},
    [CLI_HISTORY] = {"history", 1, 1,
                     "usage: peal history NAME [--limit N] [--ids]\n\n"
                     "Prints what was said with somebody, oldest first; with --limit, only the "
                     "last N messages;\n"
                     "with --ids, the last eight digits of each one's id.\n" GENERAL},
    [CLI_STATUS] = {"status", 1, 1,
                    "usage: peal status NAME\n\nSays whether somebody is online, and when they "
                    "were last.\n" GENERAL},
    [CLI_TRUST] =
        {"trust", 1, 2,
         "usage: peal trust NAME [FINGERPRINT]\n\n"
         "Shows the key of somebody that this client goes by, and the one that the ring shows now. "
         "When\n"
         "they differ, nothing is sent to that person until the new one is accepted, by its "
         "fingerprint,\n"
         "or the ring shows the former one again. What waited is sent then; what was sealed for "
         "the\n"
         "former key fails. Compare safety numbers before.\n" GENERAL},
    [CLI_SAFETY] =
        {"safety", 1, 1,
         "usage: peal safety NAME [--qr] [--png FILE]\n\n"
         "Shows the safety number with somebody: 60 digits, the same at both ends unless somebody "
         "stands\n"
         "between. Compare it over another channel.\n"
         "  --qr              shows it as a QR code as well\n"
         "  --png FILE        writes the QR code as a picture\n" GENERAL},
    [CLI_VERIFY] =
        {"verify", 1, 2,
         "usage: peal verify NAME [NUMBER]\n\n"
         "Remembers that the safety number was compared with somebody. Without NUMBER it is shown "
         "and\n"
         "asked about on the terminal; NUMBER is what the other side sees, in one word or in "
         "quotes, or\n"
         "what their QR code says. A change of either key ends it.\n" GENERAL},
    [CLI_RING] =
        {"ring", 1, 2,
         "usage: peal ring status\n"
         "       peal ring lookup NAME\n"
         "       peal ring remove ID --ring-key-file FILE\n\n"
         "status shows the ring as the server sees it that this client is connected to.\n"
         "lookup asks that server for the one that keeps a name's record, whether the "
         "name is taken\n"
         "or not, and shows the servers that the question passed.\n"
         "remove takes a server out of the ring that is gone for good, so that others make "
         "new copies\n"
         "of what it kept. ID is its id, or the first digits of it as ring status shows "
         "them; FILE is a\n"
         "copy of the ring's key, which every server has (ring.key in its folder). It is "
         "refused while\n"
         "the server is up, and when something would be lost by it.\n" GENERAL},
    [CLI_PASSWD] = {"passwd", 0, 0,
                    "usage: peal passwd [--password-file FILE|-]\n\n"
                    "Changes the account's password. Every other client that uses the account is "
                    "logged out.\n"
                    "Without --password-file the present password and the new one are asked for on "
                    "the terminal;\n"
                    "the file holds them in two lines.\n" GENERAL},
    [CLI_RECOVERY] =
        {"recovery", 0, 0,
         "usage: peal recovery [--password-file FILE|-]\n\n"
         "Prints another recovery key, once: note it. The one before does not count any "
         "more.\n" GENERAL},
    [CLI_RESET] =
        {"reset", 1, 1,
         "usage: peal reset NAME [--password-file FILE|-]\n\n"
         "Gives an account whose password is forgotten another one, and logs in. Without "
         "--password-file\n"
         "the recovery key and the new password are asked for on the terminal; the file "
         "holds them in\n"
         "two lines. Every client of the account is logged out, and the recovery key gives "
         "way to\n"
         "another one, which is printed, once.\n" GENERAL},
    [CLI_SETTINGS] =
        {"settings", 0, 3,
         "usage: peal settings [receipts=on|off] [unread=N] [session-days=N]\n\n"
         "Shows the account's settings, which hold for every client of it; those that are named\n"
         "are set first.\n"
         "  receipts=off      tells nobody what has been read, and does not show it of others\n"
         "  unread=N          recv prints at most N messages at a time; 0: all\n"
         "  session-days=N    a client is logged out N days after it was logged in; 0: "
         "never\n" GENERAL},
    [CLI_DISPLAY] =
        {"display", 1, 1,
         "usage: peal display TEXT\n\n"
         "Sets what the account is called besides its name: one line of text.\n" GENERAL},
    [CLI_DELETE] = {"delete", 0, 0,
                    "usage: peal delete [--password-file FILE|-]\n\n"
                    "Deletes the account, for good: its password, its keys, its settings and the "
                    "messages that wait\n"
                    "for it. Nobody can register its name for 30 days. This client's history "
                    "stays.\n" GENERAL},
    [CLI_WEB] = {"web", 0, 0,
                 "usage: peal web --listen ADDR:PORT\n\n"
                 "Serves this client's page until interrupted, and prints \"ready "
                 "web=http://ADDR:PORT/\" once it does.\n"
                 "Whoever can connect to that address can use this client: 127.0.0.1 is the "
                 "address to take.\n" GENERAL},
};

enum cli_ring cli_ring_of(const struct cli *cli)
{
    static const char *const words[] = {
        [CLI_RING_STATUS] = "status", [CLI_RING_LOOKUP] = "lookup", [CLI_RING_REMOVE] = "remove"};
    if (cli->command == CLI_RING && cli->word_count > 0)
        for (int i = CLI_RING_STATUS; i <= CLI_RING_REMOVE; i++)
            if (strcmp(cli->words[0], words[i]) == 0)
                return (enum cli_ring)i;
    return CLI_RING_NONE;
}

const char *cli_usage(enum cli_command command)
{
    return commands[command].usage;
}

/* ---- options ------------------------------------------------------------------------- */

enum option_id {
    OPT_PROFILE,
    OPT_SERVER,
    OPT_MULTICAST,
    OPT_JSON,
    OPT_HELP,
    OPT_VERSION,
    OPT_PASSWORD_FILE,
    OPT_FOLLOW,
    OPT_WAIT,
    OPT_MAX,
    OPT_LIMIT,
    OPT_LISTEN,
    OPT_RING_KEY_FILE,
    OPT_QR,
    OPT_PNG,
    OPT_REPLY,
    OPT_IDS,
    OPT_ID,
    OPT_WITH,
    OPT_FORMAT,
    OPTIONS
};

#define OF(command) (1u << CLI_##command)
#define OF_ALL      (~0u)

static const struct option {
    const char *name;
    bool has_value;
    unsigned commands; /* that take it */
} options[OPTIONS] = {
    [OPT_PROFILE] = {"profile", true, OF_ALL},
    [OPT_SERVER] = {"server", true, OF_ALL},
    [OPT_MULTICAST] = {"multicast", true, OF_ALL},
    [OPT_JSON] = {"json", false, OF_ALL},
    [OPT_HELP] = {"help", false, OF_ALL},
    [OPT_VERSION] = {"version", false, OF_ALL},
    [OPT_PASSWORD_FILE] = {"password-file", true,
                           OF(REGISTER) | OF(LOGIN) | OF(PASSWD) | OF(RECOVERY) | OF(RESET) |
                               OF(DELETE)},
    [OPT_FOLLOW] = {"follow", false, OF(RECV)},
    [OPT_WAIT] = {"wait", true, OF(RECV)},
    [OPT_MAX] = {"max", true, OF(RECV)},
    [OPT_LIMIT] = {"limit", true, OF(HISTORY) | OF(SEARCH)},
    [OPT_LISTEN] = {"listen", true, OF(WEB)},
    [OPT_RING_KEY_FILE] = {"ring-key-file", true, OF(RING)},
    [OPT_QR] = {"qr", false, OF(SAFETY)},
    [OPT_PNG] = {"png", true, OF(SAFETY)},
    [OPT_REPLY] = {"reply", true, OF(SEND)},
    [OPT_ID] = {"id", false, OF(FORGET)},
    [OPT_IDS] = {"ids", false, OF(RECV) | OF(HISTORY) | OF(SEARCH)},
    [OPT_WITH] = {"with", true, OF(SEARCH)},
    [OPT_FORMAT] = {"format", true, OF(EXPORT)},
};

static int number(const char *text, uint64_t min, uint64_t max, const char *name, uint64_t *out,
                  char why[static CLIENT_WHY_MAX])
{
    uint64_t value = 0;
    const char *s = text;
    for (; *s >= '0' && *s <= '9' && value <= max; s++)
        value = value * 10 + (uint64_t)(*s - '0');
    if (s == text || *s != '\0' || value < min || value > max) {
        (void)snprintf(why, CLIENT_WHY_MAX,
                       "--%s takes a whole number from %llu to %llu, not \"%.60s\"", name,
                       (unsigned long long)min, (unsigned long long)max, text);
        return PEAL_E_USAGE;
    }
    *out = value;
    return 0;
}

static int add_server(struct cli *cli, const char *text, char why[static CLIENT_WHY_MAX])
{
    char reason[NET_REASON_MAX];
    if (cli->server_count == CLIENT_SERVERS_MAX) {
        (void)snprintf(why, CLIENT_WHY_MAX, "--server may be given at most %d times",
                       CLIENT_SERVERS_MAX);
        return PEAL_E_USAGE;
    }
    if (net_place_parse(text, REACH_PORT, &cli->places[cli->server_count], reason) != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "--server %.100s: %.200s", text, reason);
        return PEAL_E_USAGE;
    }
    cli->servers[cli->server_count++] = text;
    return 0;
}

static int set_multicast(struct cli *cli, const char *text, char why[static CLIENT_WHY_MAX])
{
    char reason[NET_REASON_MAX];
    cli->mcast_set = true;
    if (net_groups_parse(text, &cli->mcast, reason) == 0)
        return 0;
    (void)snprintf(why, CLIENT_WHY_MAX, "--multicast: %s", reason);
    return PEAL_E_USAGE;
}

static int apply(struct cli *cli, enum option_id id, const char *value,
                 char why[static CLIENT_WHY_MAX])
{
    switch (id) {
    case OPT_PROFILE:
        cli->profile = value;
        return 0;
    case OPT_SERVER:
        return add_server(cli, value, why);
    case OPT_MULTICAST:
        return set_multicast(cli, value, why);
    case OPT_JSON:
        cli->json = true;
        return 0;
    case OPT_HELP:
        cli->help = true;
        return 0;
    case OPT_VERSION:
        cli->version = true;
        return 0;
    case OPT_PASSWORD_FILE:
        cli->password_file = value;
        return 0;
    case OPT_FOLLOW:
        cli->follow = true;
        return 0;
    case OPT_WAIT:
        return number(value, 0, 1000000, "wait", &cli->wait_s, why);
    case OPT_MAX:
        return number(value, 1, INT32_MAX, "max", &cli->max, why);
    case OPT_LIMIT:
        return number(value, 1, INT32_MAX, "limit", &cli->limit, why);
    case OPT_LISTEN:
        cli->listen = value;
        return 0;
    case OPT_RING_KEY_FILE:
        cli->ring_key_file = value;
        return 0;
    case OPT_QR:
        cli->qr = true;
        return 0;
    case OPT_PNG:
        cli->png = value;
        return 0;
    case OPT_REPLY:
        cli->reply = value;
        return 0;
    case OPT_ID:
        cli->by_id = true;
        return 0;
    case OPT_WITH:
        cli->with = value;
        return 0;
    case OPT_FORMAT:
        cli->as_text = strcmp(value, "text") == 0;
        if (cli->as_text || strcmp(value, "json") == 0)
            return 0;
        (void)snprintf(why, CLIENT_WHY_MAX, "--format is json or text, not \"%.60s\"", value);
        return PEAL_E_USAGE;
    case OPT_IDS:
        cli->ids = true;
        return 0;
    case OPTIONS:
        break;
    }
    CHECK(false);
    return PEAL_E_USAGE;
}

/* "--name", "--name value" or "--name=value" at *at; moves *at past what it took. */
static int option(struct cli *cli, int argc, char **argv, int *at, unsigned *used,
                  char why[static CLIENT_WHY_MAX])
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t n = equals != NULL ? (size_t)(equals - name) : strlen(name);
    for (int i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        if (strlen(o->name) != n || strncmp(o->name, name, n) != 0)
            continue;
        const char *value = equals != NULL ? equals + 1 : "";
        if (!o->has_value && equals != NULL) {
            (void)snprintf(why, CLIENT_WHY_MAX, "--%s takes no value", o->name);
            return PEAL_E_USAGE;
        }
        if (o->has_value && equals == NULL) {
            if (*at + 1 >= argc) {
                (void)snprintf(why, CLIENT_WHY_MAX, "--%s needs a value", o->name);
                return PEAL_E_USAGE;
            }
            value = argv[++*at];
        }
        *used |= 1u << i;
        return apply(cli, (enum option_id)i, value, why);
    }
    (void)snprintf(why, CLIENT_WHY_MAX, "there is no option %.60s", argv[*at]);
    return PEAL_E_USAGE;
}

/* ---- words --------------------------------------------------------------------------- */

static int word(struct cli *cli, const char *text, char why[static CLIENT_WHY_MAX])
{
    if (cli->command == CLI_NONE) {
        for (int i = CLI_NONE + 1; i < CLI_COMMANDS; i++) {
            if (strcmp(commands[i].name, text) == 0)
                cli->command = (enum cli_command)i;
        }
        if (cli->command == CLI_NONE)
            (void)snprintf(why, CLIENT_WHY_MAX, "there is no command \"%.60s\"", text);
        return cli->command != CLI_NONE ? 0 : PEAL_E_USAGE;
    }
    if (cli->word_count == commands[cli->command].words_max) {
        (void)snprintf(why, CLIENT_WHY_MAX, "peal %s does not take \"%.60s\"",
                       commands[cli->command].name, text);
        return PEAL_E_USAGE;
    }
    cli->words[cli->word_count++] = text;
    return 0;
}

static int check_ring(const struct cli *cli, char why[static CLIENT_WHY_MAX])
{
    enum cli_ring what = cli_ring_of(cli);
    if (what == CLI_RING_NONE)
        (void)snprintf(why, CLIENT_WHY_MAX, "there is no command \"ring %.60s\"", cli->words[0]);
    else if (what == CLI_RING_LOOKUP && cli->word_count == 1)
        (void)snprintf(why, CLIENT_WHY_MAX, "peal ring lookup needs a name");
    else if (what == CLI_RING_REMOVE && cli->word_count == 1)
        (void)snprintf(why, CLIENT_WHY_MAX, "peal ring remove needs a server's id");
    else if (what == CLI_RING_REMOVE && cli->ring_key_file == NULL)
        (void)snprintf(why, CLIENT_WHY_MAX,
                       "peal ring remove needs --ring-key-file: a copy of the ring's key");
    else if (what != CLI_RING_REMOVE && cli->ring_key_file != NULL)
        (void)snprintf(why, CLIENT_WHY_MAX, "--ring-key-file does not belong to peal ring %.20s",
                       cli->words[0]);
    else if (what == CLI_RING_STATUS && cli->word_count == 2)
        (void)snprintf(why, CLIENT_WHY_MAX, "peal ring status does not take \"%.60s\"",
                       cli->words[1]);
    else
        return 0;
    return PEAL_E_USAGE;
}

static int check(const struct cli *cli, unsigned used, char why[static CLIENT_WHY_MAX])
{
    const struct command *command = &commands[cli->command];
    for (int i = 0; i < OPTIONS; i++) {
        if ((used & 1u << i) == 0 || (options[i].commands & 1u << cli->command) != 0)
            continue;
        (void)snprintf(why, CLIENT_WHY_MAX, "--%s does not belong to peal %s", options[i].name,
                       command->name);
        return PEAL_E_USAGE;
    }
    if (cli->command == CLI_NONE) {
        (void)snprintf(why, CLIENT_WHY_MAX, "a command is missing");
        return PEAL_E_USAGE;
    }
    if (cli->word_count < command->words_min) {
        (void)snprintf(why, CLIENT_WHY_MAX, "peal %s needs more", command->name);
        return PEAL_E_USAGE;
    }
    if (cli->command == CLI_FORGET && !cli->by_id && cli->word_count > 1) {
        (void)snprintf(why, CLIENT_WHY_MAX,
                       "peal forget takes one name, or --id and messages' ids");
        return PEAL_E_USAGE;
    }
    if (cli->command == CLI_RING && check_ring(cli, why) != 0)
        return PEAL_E_USAGE;
    if (cli->command == CLI_SETTINGS) {
        json_t *request = cli_settings(cli, why);
        json_decref(request);
        if (request == NULL)
            return PEAL_E_USAGE;
    }
    if (cli->command == CLI_WEB && cli->listen == NULL) {
        (void)snprintf(why, CLIENT_WHY_MAX, "peal web needs --listen ADDR:PORT");
        return PEAL_E_USAGE;
    }
    return 0;
}

int cli_parse(int argc, char **argv, struct cli *out, char why[static CLIENT_WHY_MAX])
{
    unsigned used = 0;
    bool only_words = false;
    int err = 0;
    memset(out, 0, sizeof *out);
    why[0] = '\0';
    /* how errors are to be shown must be known before the first one */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        out->json = out->json || strcmp(argv[i], "--json") == 0;
    for (int i = 1; i < argc && err == 0; i++) {
        if (only_words || strncmp(argv[i], "--", 2) != 0)
            err = !only_words && strcmp(argv[i], "-h") == 0 ? apply(out, OPT_HELP, "", why)
                                                            : word(out, argv[i], why);
        else if (argv[i][2] == '\0')
            only_words = true;
        else
            err = option(out, argc, argv, &i, &used, why);
    }
    const char *group = getenv("PEAL_MULTICAST");
    if (err == 0 && !out->mcast_set && out->server_count == 0 && group != NULL && group[0] != '\0')
        err = set_multicast(out, group, why);
    if (err == 0 && !out->help && !out->version)
        err = check(out, used, why);
    return err;
}
