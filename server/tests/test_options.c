/* The table of settings: precedence, and what is said about input that is wrong. */
#include "options.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct options o;
static enum opt_command command;
static char why[OPT_WHY_MAX];

static int read_args(char *const argv[])
{
    int n = 0;
    while (argv[n] != NULL)
        n++;
    return options_read(&o, &command, n, argv, why);
}
#define READ(...) read_args((char *[]){"peald", __VA_ARGS__, NULL})

Test(options, defaults_and_flags_in_both_forms)
{
    cr_assert_eq(READ("--data", "d", "--listen=127.0.0.1:0", "--join", "a:1", "--join=b:2"), 0,
                 "%s", why);
    cr_assert_str_eq(o.data, "d", "the value after the flag");
    cr_assert_str_eq(o.listen, "127.0.0.1:0", "the value behind =");
    cr_assert_eq(o.replicas, 2, "K is 2 by default");
    cr_assert_eq(o.join.n, 2, "a list adds up");
    cr_assert_str_eq(o.join.v[1], "b:2", "in order");
}

Test(options, flags_win_over_environment_over_file)
{
    char path[] = "/tmp/peald-options-XXXXXX";
    int fd = mkstemp(path);
    const char *text = "replicas = 1\nquota = 5\nbcrypt-cost = 6\njoin = f:1\njoin = f:2\n";
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text),
              "the file is written");
    close(fd);
    setenv("PEAL_QUOTA", "7", 1);
    setenv("PEAL_BCRYPT_COST", "7", 1);
    int err = READ("--data", "d", "--listen", "l:1", "--bcrypt-cost", "8", "--config", path);
    unlink(path);
    cr_assert_eq(err, 0, "%s", why);
    cr_assert_eq(o.replicas, 1, "from the file");
    cr_assert_eq(o.quota_mib, 7, "the environment wins over the file");
    cr_assert_eq(o.bcrypt_cost, 8, "the flag wins over both");
    cr_assert_eq(o.join.n, 2, "a list in the file adds up");
}

Test(options, how_many_servers_to_expect)
{
    cr_assert_eq(READ("--data", "d", "--listen", "l:1"), 0, "%s", why);
    cr_assert_eq(o.bootstrap_expect, 0, "whoever is there, by default");
    cr_assert_eq(READ("--data", "d", "--listen", "l:1", "--bootstrap-expect", "64"), 0, "%s", why);
    cr_assert_eq(o.bootstrap_expect, 64, "from the flag");
    setenv("PEAL_BOOTSTRAP_EXPECT", "3", 1);
    cr_assert_eq(READ("--data", "d", "--listen", "l:1"), 0, "%s", why);
    cr_assert_eq(o.bootstrap_expect, 3, "from the environment");
    setenv("PEAL_BOOTSTRAP_EXPECT", "-3", 1);
    cr_assert_eq(READ("--data", "d", "--listen", "l:1"), PEAL_E_USAGE, "refused");
    cr_assert_not_null(strstr(why, "PEAL_BOOTSTRAP_EXPECT"), "names it: %s", why);
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    options_man(f);
    fclose(f);
    cr_assert_not_null(strstr(text, "bootstrap\\-expect"), "the manual page has it");
    free(text);
}

Test(options, limits_of_mailboxes)
{
    cr_assert_eq(READ("--data", "d", "--listen", "l:1"), 0, "%s", why);
    cr_assert_eq(o.mailbox_messages, 100000, "messages, by default");
    cr_assert_eq(o.mailbox_bytes, 256u << 20, "bytes, by default");
    cr_assert_eq(o.message_days, 30, "days, by default");
    cr_assert_eq(READ("--data", "d", "--listen", "l:1", "--mailbox-messages", "0",
                      "--mailbox-bytes", "0", "--message-days", "1"),
                 0, "%s", why);
    cr_assert(o.mailbox_messages == 0 && o.mailbox_bytes == 0 && o.message_days == 1, "none");
    setenv("PEAL_MAILBOX_MESSAGES", "5", 1);
    cr_assert_eq(READ("--data", "d", "--listen", "l:1"), 0, "%s", why);
    cr_assert_eq(o.mailbox_messages, 5, "from the environment");
    cr_assert_eq(READ("--data", "d", "--listen", "l:1", "--message-days", "31"), PEAL_E_USAGE,
                 "longer than the ring keeps anything");
    cr_assert_not_null(strstr(why, "from 1 to 30"), "says so: %s", why);
}

Test(options, wrong_input_is_named)
{
    static const struct {
        const char *flag, *value, *said;
    } cases[] = {
        {"--replicas", "8", "--replicas: “8” is not a whole number from 0 to 7"},
        {"--replicas", "-1", "from 0 to 7"},
        {"--bootstrap-expect", "65", "--bootstrap-expect: “65” is not a whole number from 0 to 64"},
        {"--bootstrap-expect", "some", "“some”"},
        {"--replicas", "2x", "“2x”"},
        {"--replicas", "", "“”"},
        {"--replicas", "99999999999999999999", "whole number"},
        {"--log-level", "loud", "“loud” is none of debug|info|warn"},
        {"--log-level", "inf", "none of"},
        {"--nonsense", "1", "--nonsense: no such option"},
        {"--config", "/nonexistent/peald.ini", "cannot be read"},
    };
    for (size_t i = 0; i < PEAL_COUNT(cases); i++) {
        int err =
            READ("--data", "d", "--listen", "l:1", (char *)cases[i].flag, (char *)cases[i].value);
        cr_assert_eq(err, PEAL_E_USAGE, "case %zu is refused", i);
        cr_assert_not_null(strstr(why, cases[i].said), "case %zu says: %s", i, why);
    }
    cr_assert_eq(READ("--data", "d"), PEAL_E_USAGE, "--listen is required");
    cr_assert_not_null(strstr(why, "--listen is required"), "%s", why);
    cr_assert_eq(READ("stray"), PEAL_E_USAGE, "a stray word is refused");
    cr_assert_eq(READ("--data"), PEAL_E_USAGE, "a flag without its value is refused");
    cr_assert_not_null(strstr(why, "needs a value"), "%s", why);
}

Test(options, too_many_joins_and_too_long_values)
{
    char *argv[2 * OPT_JOINS_MAX + 4] = {"peald"};
    int n = 1;
    for (int i = 0; i <= OPT_JOINS_MAX; i++) {
        argv[n++] = "--join";
        argv[n++] = "h:1";
    }
    cr_assert_eq(options_read(&o, &command, n, argv, why), PEAL_E_USAGE, "one join too many");
    static char lots[OPT_TEXT_MAX + 1];
    memset(lots, 'x', OPT_TEXT_MAX);
    cr_assert_eq(READ("--data", lots, "--listen", "l:1"), PEAL_E_USAGE, "a value that is too long");
    lots[OPT_TEXT_MAX - 1] = '\0';
    cr_assert_eq(READ("--data", lots, "--listen", "l:1"), 0, "the longest value fits: %s", why);
}

Test(options, a_list_is_given_repeatedly_or_with_commas)
{
    static const char *const want[] = {"a:1", "b:2", "c:3"};
    for (int way = 0; way < 3; way++) {
        int err = 0;
        unsetenv("PEAL_ANNOUNCE");
        if (way == 0)
            err = READ("--data", "d", "--listen", "l:1", "--announce", "a:1,b:2,c:3");
        if (way == 1)
            err = READ("--data", "d", "--listen", "l:1", "--announce", "a:1", "--announce=b:2",
                       "--announce", "c:3");
        if (way == 2) {
            setenv("PEAL_ANNOUNCE", "a:1, b:2 c:3", 1);
            err = READ("--data", "d", "--listen", "l:1");
            unsetenv("PEAL_ANNOUNCE");
        }
        cr_assert_eq(err, 0, "way %d: %s", way, why);
        cr_assert_eq(o.announce.n, PEAL_COUNT(want), "way %d: %zu", way, o.announce.n);
        for (size_t i = 0; i < PEAL_COUNT(want); i++)
            cr_assert_str_eq(o.announce.v[i], want[i], "way %d: item %zu", way, i);
    }
}

Test(options, unknown_setting_in_a_file)
{
    char path[] = "/tmp/peald-options-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, "color = red\n", 12) == 12, "the file is written");
    close(fd);
    int err = READ("--data", "d", "--listen", "l:1", "--config", path);
    unlink(path);
    cr_assert_eq(err, PEAL_E_USAGE, "refused");
    cr_assert_not_null(strstr(why, "color"), "names the setting: %s", why);
}

Test(options, commands_and_their_file)
{
    static const struct {
        char *argv[6];
        const char *said;
    } wrong[] = {
        {{"peald", "backup"}, "needs a file"},
        {{"peald", "backup", "f"}, "--data is required"},
        {{"peald", "backup", "f", "g", "--data", "d"}, "“g” is neither"},
        {{"peald", "restor", "f", "--data", "d"}, "“restor” is neither"},
        {{"peald", "backup", "f", "--data", "d", "--all-lost"}, "for peald restore only"},
        {{"peald", "restore", "f", "--data", "d", "--all-lost=maybe"}, "none of yes|no"},
        {{"peald", "--all-lost", "--data=d", "--listen=l:1"}, "for peald restore only"},
    };
    for (size_t i = 0; i < PEAL_COUNT(wrong); i++) {
        int n = 0;
        while (n < 6 && wrong[i].argv[n] != NULL)
            n++;
        int err = options_read(&o, &command, n, wrong[i].argv, why);
        cr_assert_eq(err, PEAL_E_USAGE, "case %zu is refused", i);
        cr_assert_not_null(strstr(why, wrong[i].said), "case %zu says: %s", i, why);
    }
    cr_assert_eq(READ("backup", "f", "--data", "d"), 0, "%s", why);
    cr_assert_eq(command, OPT_BACKUP, "the command");
    cr_assert_str_eq(o.file, "f", "its file");
    cr_assert_eq(READ("--data", "d", "restore", "--all-lost", "f"), 0, "%s", why);
    cr_assert_eq(command, OPT_RESTORE, "between the flags");
    cr_assert(o.all_lost, "a switch takes no value");
    cr_assert_str_eq(o.file, "f", "so that this is the file");
    setenv("PEAL_DATA", "d", 1);
    cr_assert_eq(READ("restore", "f"), 0, "%s", why);
    cr_assert(!o.all_lost, "not unless asked");
    setenv("PEAL_ALL_LOST", "yes", 1);
    cr_assert_eq(READ("restore", "f"), 0, "%s", why);
    cr_assert(o.all_lost, "from the environment");
    cr_assert_eq(READ("restore", "f", "--all-lost=no"), 0, "%s", why);
    cr_assert(!o.all_lost, "the flag wins");
}

Test(options, help_version_man)
{
    cr_assert_eq(READ("--help"), 0, "help needs nothing else");
    cr_assert_eq(command, OPT_HELP, "help");
    cr_assert_eq(READ("--version"), 0, "version needs nothing else");
    cr_assert_eq(command, OPT_VERSION, "version");
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    options_help(f);
    options_man(f);
    fclose(f);
    cr_assert_not_null(strstr(text, "--bcrypt-cost N"), "the help lists every option");
    cr_assert_not_null(strstr(text, ".SH OPTIONS"), "the manual page has its section");
    cr_assert_not_null(strstr(text, "  backup FILE\n"), "the help lists the commands");
    cr_assert_not_null(strstr(text, ".SH COMMANDS\n.TP\n\\fBbackup"),
                       "and so does the manual page");
    cr_assert_not_null(strstr(text, "  --all-lost\n"), "a switch has no argument");
    free(text);
}
