#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#include <peal/name.h>

/* Whether all that was printed since begun() is out. Says once why not, unless whoever read it is
 * gone while it follows, which ends with that: PEAL_E_CLOSED. */
static int flushed(const struct cli *cli)
{
    bool failed = ferror(stdout) != 0; /* errno is of that */
    if (!failed && fflush(stdout) == 0)
        return 0;
    if (errno == EPIPE && cli->follow)
        return PEAL_E_CLOSED;
    (void)fprintf(stderr, "peal: standard output cannot be written: %s\n", strerror(errno));
    return PEAL_E_IO;
}

/* PEAL_E_IO: standard output has failed before, and that was said. */
static int begun(void)
{
    errno = 0;
    return ferror(stdout) == 0 ? 0 : PEAL_E_IO;
}

static int print_json(const struct cli *cli, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    int err = text == NULL ? PEAL_E_NO_MEMORY : begun();
    if (err == 0) {
        (void)puts(text);
        err = flushed(cli);
    }
    free(text);
    return err;
}

void cli_print_error(const struct cli *cli, int err, const char *message, const char *hint)
{
    if (cli->json) {
        json_t *object = client_error(err, message, hint);
        int bad = print_json(cli, object);
        (void)bad; /* there is nobody left to tell */
        json_decref(object);
        return;
    }
    (void)fprintf(stderr, "peal: %s\n", message);
    if (hint != NULL && hint[0] != '\0')
        (void)fprintf(stderr, "hint: %s\n", hint);
}

void cli_print_reply_error(const struct cli *cli, json_t *reply)
{
    json_t *error = json_object_get(reply, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    cli_print_error(cli, client_error_of(reply), message != NULL ? message : "something went wrong",
                    json_string_value(json_object_get(error, "hint")));
}

/* What others wrote must not move the cursor or ring the bell: control characters (C0 but line feed
 * and tab, DEL, C1) become U+FFFD. */
static void print_text(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    while (*p != '\0') {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
        if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f || c1)
            (void)fputs("\xef\xbf\xbd", stdout);
        else
            (void)putchar(*p);
        p += c1 ? 2 : 1;
    }
}

static void print_time(json_int_t ms)
{
    char text[32] = "?";
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (localtime_r(&seconds, &tm) != NULL)
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    (void)fputs(text, stdout);
}

static const char *str(json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

static json_int_t integer(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The last digits of an id are random: they tell messages apart. */
static void print_id(const char *id)
{
    size_t n = strlen(id);
    print_text(n > 8 ? id + n - 8 : id);
}

static void print_said(const struct cli *cli, json_t *m)
{
    print_time(integer(m, "sent_at"));
    (void)fputs("  ", stdout);
    if (cli->ids) {
        print_id(str(m, "id"));
        (void)fputs("  ", stdout);
    }
    if (cli->command == CLI_SEARCH)
        (void)printf("%s to %s: ", str(m, "from"), str(m, "to"));
    else
        (void)printf("%s: ", str(m, "from"));
    if (str(m, "reply_to")[0] != '\0') {
        (void)fputs("(to ", stdout);
        print_id(str(m, "reply_to"));
        (void)fputs(") ", stdout);
    }
    if (json_object_get(m, "deleted_at") != NULL)
        (void)fputs("(deleted)", stdout);
    else
        print_text(str(m, "text"));
    if (json_object_get(m, "edited_at") != NULL && json_object_get(m, "deleted_at") == NULL)
        (void)fputs(" (edited)", stdout);
}

int cli_print_message(const struct cli *cli, json_t *m)
{
    static const char *const marks[] = {"reason",   "reply_to", "edited_at", "deleted_at",
                                        "imported", "stamp",    "vanish",    "vanishes_at"};
    if (cli->command == CLI_EXPORT ? !cli->as_text : cli->json) {
        json_t *shown =
            json_pack("{s:O,s:O,s:O,s:O,s:O,s:O}", "id", json_object_get(m, "id"), "from",
                      json_object_get(m, "from"), "to", json_object_get(m, "to"), "text",
                      json_object_get(m, "text"), "sent_at", json_object_get(m, "sent_at"), "state",
                      json_object_get(m, "state"));
        for (size_t i = 0; shown != NULL && i < PEAL_COUNT(marks); i++) {
            json_t *mark = json_object_get(m, marks[i]);
            if (mark != NULL)
                json_object_set(shown, marks[i], mark);
        }
        int err = print_json(cli, shown);
        json_decref(shown);
        return err;
    }
    if (begun() != 0)
        return PEAL_E_IO;
    print_said(cli, m);
    if (cli->command == CLI_HISTORY) {
        (void)printf("  (%s", str(m, "state"));
        if (str(m, "reason")[0] != '\0') {
            (void)fputs(": ", stdout);
            print_text(str(m, "reason"));
        }
        (void)putchar(')');
    }
    (void)putchar('\n');
    return flushed(cli);
}

static void print_whoami(json_t *r)
{
    if (json_is_string(json_object_get(r, "name")))
        (void)printf("logged in as %s\n", str(r, "name"));
    else if (json_is_string(json_object_get(r, "account")))
        (void)printf("logged out: %s is in use elsewhere; log in again to use it here\n",
                     str(r, "account"));
    else
        (void)puts("nobody is logged in here");
    if (json_is_true(json_object_get(r, "connected"))) {
        (void)printf("connected to %s\n", str(r, "server"));
    } else {
        (void)fputs("not connected: ", stdout);
        print_text(str(r, "reason"));
        (void)putchar('\n');
    }
    if (str(r, "fingerprint")[0] != '\0')
        (void)printf("ring %s\n", str(r, "fingerprint"));
}

/* What is printed now is nowhere else. */
static void print_recovery(json_t *r)
{
    if (str(r, "recovery")[0] != '\0')
        (void)printf("recovery key %s\n"
                     "  note it: it resets a forgotten password, and is not shown again\n",
                     str(r, "recovery"));
}

static void print_settings(json_t *r)
{
    (void)fputs("display name  ", stdout);
    print_text(str(r, "display"));
    (void)printf("\nreceipts=%s unread=%lld session-days=%lld\n",
                 json_is_true(json_object_get(r, "receipts")) ? "on" : "off",
                 (long long)integer(r, "unread"), (long long)integer(r, "session_days"));
}

static void print_status(json_t *r)
{
    if (json_is_true(json_object_get(r, "online"))) {
        (void)printf("%s is online\n", str(r, "name"));
    } else if (integer(r, "last_seen") > 0) {
        (void)printf("%s is offline, last seen ", str(r, "name"));
        print_time(integer(r, "last_seen"));
        (void)putchar('\n');
    } else {
        (void)printf("%s is offline\n", str(r, "name"));
    }
    if (json_is_true(json_object_get(r, "changed")))
        (void)printf("the key of %s has changed: nothing is sent; see peal trust %s\n",
                     str(r, "name"), str(r, "name"));
}

static void print_ring(json_t *r)
{
    size_t i;
    json_t *node;
    json_int_t size = integer(r, "size");
    json_int_t up = 0;
    json_array_foreach(json_object_get(r, "nodes"), i, node) up +=
        strcmp(str(node, "state"), "up") == 0;
    const char *how = !json_is_true(json_object_get(r, "whole")) ? "not whole yet"
                      : up < size                                ? "closed over what is down"
                                                                 : "whole";
    (void)printf("the ring is %s: %lld of %lld servers up, epoch %lld\n", how, (long long)up,
                 (long long)size, (long long)integer(r, "epoch"));
    json_array_foreach(json_object_get(r, "nodes"), i, node)
    {
        bool leads = strcmp(str(node, "id"), str(r, "coordinator")) == 0;
        bool apart = str(node, "domain")[0] != '\0';
        (void)printf("  %.12s  %-24s %-8s clients %lld, rows %lld%s%s%s\n", str(node, "id"),
                     str(node, "address"), str(node, "state"), (long long)integer(node, "clients"),
                     (long long)integer(node, "rows"), apart ? ", domain " : "",
                     str(node, "domain"), leads ? ", coordinator" : "");
    }
}

static void print_lookup(const struct cli *cli, json_t *r)
{
    char name[NAME_BYTES_MAX + 1];
    size_t i;
    json_t *id;
    json_int_t hops = integer(r, "hops");
    if (name_canonical(peal_bytes_str(cli->words[1]), name) == 0)
        (void)fputs(name, stdout);
    else
        print_text(cli->words[1]);
    (void)printf("'s key %.12s… is at server %.12s… (%lld hop%s, %lld µs)\n", str(r, "key"),
                 str(r, "owner"), (long long)hops, hops == 1 ? "" : "s",
                 (long long)integer(r, "microseconds"));
    json_array_foreach(json_object_get(r, "path"), i, id)(void)
        printf("%s%.12s…", i == 0 ? "  this server " : " → ", json_string_value(id));
    (void)putchar('\n');
}

static void print_of_ring(const struct cli *cli, json_t *r)
{
    switch (cli_ring_of(cli)) {
    case CLI_RING_LOOKUP:
        print_lookup(cli, r);
        break;
    case CLI_RING_REMOVE:
        (void)printf("server %.12s… is out of the ring; what it kept is being copied to others\n",
                     str(r, "removed"));
        break;
    case CLI_RING_STATUS:
    case CLI_RING_NONE:
        print_ring(r);
        break;
    }
}

static void print_sent(json_t *r)
{
    (void)printf("%s: %s", str(r, "to"), str(r, "state"));
    if (strcmp(str(r, "state"), "queued") == 0) {
        bool up = json_is_true(json_object_get(r, "connected"));
        const char *reason = str(r, "reason");
        (void)fputs(up ? ": the ring has not taken it yet" : ": no server was reached", stdout);
        if (reason[0] != '\0') {
            (void)fputs(" (", stdout);
            print_text(reason);
            (void)putchar(')');
        }
        (void)fputs("; it goes out as soon as it can, while a client runs", stdout);
    }
    (void)putchar('\n');
}

static void print_draft(json_t *r)
{
    if (str(r, "text")[0] == '\0')
        return;
    print_text(str(r, "text"));
    (void)putchar('\n');
}

static void print_unread(json_t *r)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(r, "conversations"), i, line)(void)
        printf("%8lld  %s\n", (long long)integer(line, "unread"), str(line, "name"));
    (void)printf("%8lld  in all\n", (long long)integer(r, "total"));
}

static void print_vanish(json_t *r)
{
    if (!json_is_integer(json_object_get(r, "seconds")))
        print_sent(r);
    else if (integer(r, "seconds") == 0)
        (void)printf("messages with %s stay\n", str(r, "name"));
    else
        (void)printf("messages with %s vanish %lld seconds after they are read\n", str(r, "name"),
                     (long long)integer(r, "seconds"));
}

int cli_print_reply(const struct cli *cli, json_t *r)
{
    if (cli->json)
        return print_json(cli, r);
    if (begun() != 0)
        return PEAL_E_IO;
    switch (cli->command) {
    case CLI_REGISTER:
    case CLI_LOGIN:
    case CLI_WHOAMI:
    case CLI_RESET:
        print_whoami(r);
        print_recovery(r);
        break;
    case CLI_RECOVERY:
        print_recovery(r);
        break;
    case CLI_SETTINGS:
    case CLI_DISPLAY:
        print_settings(r);
        break;
    case CLI_PASSWD:
        (void)puts("the password is changed; other clients of this account are logged out");
        break;
    case CLI_DELETE:
        (void)puts("the account is deleted; nobody can register its name for 30 days");
        break;
    case CLI_LOGOUT:
        (void)puts("logged out");
        break;
    case CLI_SEND:
    case CLI_EDIT:
    case CLI_UNSEND:
        print_sent(r);
        break;
    case CLI_FORGET:
        (void)printf("forgotten here: %lld\n", (long long)integer(r, "count"));
        break;
    case CLI_DRAFT:
        print_draft(r);
        break;
    case CLI_UNREAD:
        print_unread(r);
        break;
    case CLI_IMPORT:
        (void)printf("imported: %lld; here already: %lld\n", (long long)integer(r, "added"),
                     (long long)integer(r, "passed"));
        break;
    case CLI_VANISH:
        print_vanish(r);
        break;
    case CLI_STATUS:
        print_status(r);
        break;
    case CLI_TRUST:
    case CLI_SAFETY:
    case CLI_VERIFY:
        cli_keys_print(cli, r);
        break;
    case CLI_RING:
        print_of_ring(cli, r);
        break;
    case CLI_NONE:
    case CLI_RECV:
    case CLI_HISTORY:
    case CLI_SEARCH:
    case CLI_EXPORT:
    case CLI_WEB:
    case CLI_COMMANDS:
        break;
    }
    return flushed(cli);
}
