/* peal ring remove: finds the server meant, says with the ring's key that it is to go, and says it
 * again when the roster has changed meanwhile. The key stays in this process. */
#include "cli.h"

#include "peal/crypto.h"
#include "peal/keys.h"

#include <stdio.h>
#include <string.h>

enum {
    REMOVE_TRIES = 4, /* rosters that it is said for */
    PREFIX_LEAST = 4, /* digits of an id */
};

/* One command; NULL when an error has been shown, with the exit status. */
static json_t *command(const struct cli *cli, struct cli_port *port, json_t *request, int *code)
{
    json_t *reply = NULL;
    int err = request != NULL ? cli_port_run(port, request, NULL, NULL, &reply) : PEAL_E_NO_MEMORY;
    json_decref(request);
    if (err == 0 && client_error_of(reply) == 0)
        return reply;
    if (err == 0 && client_error_of(reply) == PEAL_E_STALE)
        return reply; /* the caller's to see to */
    if (err == 0)
        cli_print_reply_error(cli, reply);
    else
        cli_print_error(cli, err, err_prose(err), "");
    *code = client_exit_status(err == 0 ? client_error_of(reply) : err);
    json_decref(reply);
    return NULL;
}

/* The one server whose id begins so. PEAL_E_NOT_FOUND; PEAL_E_USAGE: several do. */
static int find(json_t *ring, const char *prefix, const char **id)
{
    size_t i;
    json_t *node;
    int found = 0;
    json_array_foreach(json_object_get(ring, "nodes"), i, node)
    {
        const char *text = json_string_value(json_object_get(node, "id"));
        if (text == NULL || strncmp(text, prefix, strlen(prefix)) != 0)
            continue;
        *id = text;
        found++;
    }
    return found == 1 ? 0 : found == 0 ? PEAL_E_NOT_FOUND : PEAL_E_USAGE;
}

static json_t *request_for(const struct cry_sign_key *key, json_t *ring, const char *text)
{
    struct peal_id id;
    uint8_t sig[CRY_SIG_BYTES];
    char hex[2 * CRY_SIG_BYTES + 1];
    json_int_t epoch = json_integer_value(json_object_get(ring, "epoch"));
    if (peal_unhex(text, ID_BYTES, id.b) != 0 || epoch < 0)
        return NULL;
    cry_remove_sign(key, (uint64_t)epoch, &id, sig);
    peal_hex(sig, sizeof sig, hex);
    return json_pack("{s:s,s:s,s:I,s:s}", "cmd", "remove", "id", text, "epoch", epoch, "proof",
                     hex);
}

static int fail(const struct cli *cli, int err, const char *message, const char *hint)
{
    cli_print_error(cli, err, message, hint);
    return client_exit_status(err);
}

/* Says it for the present roster; the exit status, or -1 when the roster was another by then.
 * whole: the id found at the first try, empty before. */
static int try_once(const struct cli *cli, struct cli_port *port, const struct cry_sign_key *key,
                    char whole[static ID_HEX])
{
    int code = 0;
    const char *id = NULL, *prefix = whole[0] != '\0' ? whole : cli->words[1];
    json_t *ring = command(cli, port, json_pack("{s:s}", "cmd", "ring"), &code);
    if (ring == NULL)
        return code;
    int err = find(ring, prefix, &id);
    if (err == PEAL_E_NOT_FOUND && whole[0] != '\0') {
        json_t *done = json_pack("{s:s}", "removed", whole); /* by what was said before */
        code = done != NULL && cli_print_reply(cli, done) == 0 ? 0 : 1;
        json_decref(done);
    } else if (err == PEAL_E_NOT_FOUND) {
        code = fail(cli, err, "no server of the ring has an id that begins so",
                    "peal ring status shows the ids");
    } else if (err != 0) {
        code = fail(cli, err, "several servers have ids that begin so", "give more of its digits");
    } else {
        (void)snprintf(whole, ID_HEX, "%s", id);
        json_t *reply = command(cli, port, request_for(key, ring, id), &code);
        if (reply != NULL && client_error_of(reply) == PEAL_E_STALE)
            code = -1;
        else if (reply != NULL)
            code = cli_print_reply(cli, reply) == 0 ? 0 : 1;
        json_decref(reply);
    }
    json_decref(ring);
    return code;
}

int cli_remove(const struct cli *cli, struct cli_port *port)
{
    struct peal_secret ring;
    struct cry_sign_key key;
    char why[KEYS_WHY_MAX], whole[ID_HEX] = "";
    size_t n = strlen(cli->words[1]);
    if (n < PREFIX_LEAST || n >= ID_HEX || strspn(cli->words[1], "0123456789abcdef") != n)
        return fail(cli, PEAL_E_USAGE, "this is no server's id",
                    "give at least four of its hexadecimal digits, as peal ring status shows them");
    int err = keys_load(cli->ring_key_file, false, &ring, NULL, why);
    if (err == PEAL_E_NOT_FOUND)
        return fail(cli, err, "there is no such file as --ring-key-file says",
                    "every server has a copy of the ring's key: ring.key in its folder");
    if (err != 0)
        return fail(cli, err, why, "");
    cry_ring_operator_key(&ring, &key);
    cry_wipe(&ring, sizeof ring);
    int code = -1;
    for (int i = 0; i < REMOVE_TRIES && code < 0; i++)
        code = try_once(cli, port, &key, whole);
    cry_wipe(&key, sizeof key);
    if (code < 0)
        code = fail(cli, PEAL_E_STALE, "the ring's roster goes on changing",
                    "try again when peal ring status calls the ring whole");
    return code;
}
