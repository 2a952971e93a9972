/* options: peald's settings, from one typed table: defaults, then a file (INI, libinih), the
 * environment, and flags, the later winning over the earlier. The table also makes --help and the
 * manual page.
 *
 * Not for: checking that files exist or addresses can be bound; whoever uses a value does that,
 * with its own error. */
#ifndef PEALD_OPTIONS_H
#define PEALD_OPTIONS_H

#include "peal/net.h"

#include <stdio.h>

enum {
    OPT_TEXT_MAX = 512, /* bytes of one value with its NUL */
    OPT_JOINS_MAX = 16,
    OPT_WHY_MAX = 1024, /* bytes of an explanation */
};

enum opt_kind { OPT_TEXT, OPT_UINT, OPT_LIST, OPT_ENUM, OPT_SWITCH };

/* X(field, kind, flag, argument, default, lowest, highest, help). OPT_ENUM: argument lists the
 * words, with `|` between. OPT_SWITCH: a flag without a value, in file and environment yes or no. A
 * list's items are separated by commas; flag and file may repeat it as well. The environment's name
 * is PEAL_ and the flag in capitals, `-` becoming `_`. */
#define OPTIONS(X)                                                                                 \
    X(data, OPT_TEXT, "data", "DIR", "", 0, 0,                                                     \
      "Folder of this server's keys and database; made when it is missing. Required.")             \
    X(listen, OPT_TEXT, "listen", "ADDR:PORT", "", 0, 0,                                           \
      "Address to serve on, for servers and clients alike. Port 0 chooses a free one. Required.")  \
    X(announce, OPT_LIST, "announce", "ADDR:PORT[,ADDR:PORT]", "", 0, 0,                           \
      "Addresses that others are told, up to 4, the preferred one first; may be given several "    \
      "times. Default: the one listened on, or, when that is 0.0.0.0 or [::], those that this "    \
      "machine has.")                                                                              \
    X(ring_key_file, OPT_TEXT, "ring-key-file", "FILE", "", 0, 0,                                  \
      "The ring's key, the same on each of its servers: 64 hexadecimal digits. Made when it is "   \
      "missing. Default: ring.key in the data folder.")                                            \
    X(join, OPT_LIST, "join", "HOST:PORT", "", 0, 0,                                               \
      "A server of the ring to join, for networks without multicast. May be given up to 16 "       \
      "times.")                                                                                    \
    X(bootstrap_expect, OPT_UINT, "bootstrap-expect", "N", "0", 0, 64,                             \
      "How many servers, this one included, must be there before a ring is founded; one that is "  \
      "there already is joined at once. For scripted starts of exactly N. 0: whoever is there.")   \
    X(replicas, OPT_UINT, "replicas", "K", "2", 0, 7,                                              \
      "How many copies are kept besides the first. Counts when this server founds the ring.")      \
    X(domain, OPT_TEXT, "domain", "NAME", "", 0, 0,                                                \
      "What this server shares with others that may fail together with it: a rack, a house, a "    \
      "site. Copies are kept in as many domains as there are. At most 16 of a-z, 0-9, '.', '_', "  \
      "'-'. Default: one of its own.")                                                             \
    X(auto_remove_after, OPT_UINT, "auto-remove-after", "SECONDS", "86400", 0, 1 << 30,            \
      "A server that is gone for so long is taken out of the ring, so that others make new "       \
      "copies of what it kept, unless something could be lost by it. 0: never.")                   \
    X(multicast, OPT_TEXT, "multicast", "GROUP:PORT[,GROUP:PORT]|off", NET_GROUPS_DEFAULT, 0, 0,   \
      "Multicast groups on which servers and clients find each other, on every interface: one of " \
      "IPv4, one of IPv6 of link-local scope (ff02::), or both.")                                  \
    X(clients, OPT_UINT, "clients", "N", "4096", 1, 16384, "Clients served at the same time.")     \
    X(bcrypt_cost, OPT_UINT, "bcrypt-cost", "N", "10", 4, 18,                                      \
      "Cost of the hash that guards passwords; each step doubles the work of a login.")            \
    X(quota_mib, OPT_UINT, "quota", "MIB", "0", 0, 1 << 24,                                        \
      "Largest size of the database in MiB; 0: as large as the disk allows.")                      \
    X(metrics, OPT_TEXT, "metrics", "ADDR:PORT", "", 0, 0,                                         \
      "Serves figures for a program that watches this server at http://ADDR:PORT/metrics, and "    \
      "whether it serves at /health, to whoever reaches that address. Default: neither.")          \
    X(repair_rate, OPT_UINT, "repair-rate", "KIB", "4096", 64, 1 << 20,                            \
      "Most KiB a second that this server sends to make the copies of other servers equal to its " \
      "own; up to eight times as much comes on top while a new server copies from it.")            \
    X(mailbox_messages, OPT_UINT, "mailbox-messages", "N", "100000", 0, 1000000000,                \
      "How many messages may wait in one mailbox at this server; further ones are refused with a " \
      "clear word to the sender, whose client tries again. 0: no limit.")                          \
    X(mailbox_bytes, OPT_UINT, "mailbox-bytes", "BYTES", "268435456", 0, 1ull << 50,               \
      "How many bytes of messages may wait in one mailbox, likewise. 0: no limit.")                \
    X(message_days, OPT_UINT, "message-days", "N", "30", 1, 30,                                    \
      "How many days a message that is sent through this server waits to be fetched; then its "    \
      "sender is told that it has expired.")                                                       \
    X(all_lost, OPT_SWITCH, "all-lost", "", "", 0, 0,                                              \
      "With restore: no server of the ring, running or to come back, knows more than its backup, " \
      "so that the restored server is to be relied on. When that is not true, an account may "     \
      "come to have two owners.")                                                                  \
    X(log_level, OPT_ENUM, "log-level", "debug|info|warn", "info", 0, 0,                           \
      "Least important line to log.")

/* X(NAME, word, argument, help): what peald does instead of serving. A command and its argument may
 * stand anywhere between the flags. */
#define OPT_COMMANDS(X)                                                                            \
    X(BACKUP, "backup", "FILE",                                                                    \
      "Copies the database in the data folder to FILE, which must not be there, as it is at one "  \
      "moment, whether the server runs or not. Keep with it, once, node.key and ring.key from "    \
      "the "                                                                                       \
      "data folder: without them the copy is nobody's. Needs --data only.")                        \
    X(RESTORE, "restore", "FILE",                                                                  \
      "Puts a copy of FILE, a backup, in the place of the database in the data folder, while the " \
      "server does not run. The database that was there is kept beside it. Since an old backup "   \
      "has forgotten what the server has promised since, the server then fetches everything from " \
      "the others before it has a say; see --all-lost. Needs --data only.")

struct opt_list {
    char v[OPT_JOINS_MAX][OPT_TEXT_MAX];
    size_t n;
};

struct options {
#define OPT_FIELD_OPT_TEXT(field)                    char field[OPT_TEXT_MAX];
#define OPT_FIELD_OPT_ENUM(field)                    char field[OPT_TEXT_MAX];
#define OPT_FIELD_OPT_UINT(field)                    uint64_t field;
#define OPT_FIELD_OPT_LIST(field)                    struct opt_list field;
#define OPT_FIELD_OPT_SWITCH(field)                  bool field;
#define X(field, kind, flag, arg, def, lo, hi, help) OPT_FIELD_##kind(field)
    OPTIONS(X)
#undef X
    char file[OPT_TEXT_MAX]; /* the command's argument */
};

/* What the command line asks for besides settings. */
enum opt_command {
    OPT_RUN,
    OPT_HELP,
    OPT_VERSION,
    OPT_MAN,
#define X(name, word, arg, help) OPT_##name,
    OPT_COMMANDS(X)
#undef X
};

/* Reads everything; argv and environ are only read. On PEAL_E_USAGE, why says what was wrong,
 * where, and what is expected. */
PEAL_MUST int options_read(struct options *o, enum opt_command *command, int argc,
                           char *const argv[], char why[static OPT_WHY_MAX]);
void options_help(FILE *out);
/* The manual page, in man(7) form. */
void options_man(FILE *out);

#endif
