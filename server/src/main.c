/* peald: a server of a Peal ring. */
#include "commands.h"
#include "host.h"
#include "log.h"
#include "metrics.h"
#include "options.h"
#include "peal/keys.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, PATH_SIZE = OPT_TEXT_MAX + 32 };

struct program {
    struct net_loop *loop;
    struct host *host;
    struct metrics *metrics;
    uv_signal_t term, intr;
    bool asked;
};

static int say(int code, const char *what)
{
    fprintf(stderr, "peald: %s\n", what);
    return code;
}

static void on_ready(void *user, const struct peal_id *id, const char *listen)
{
    (void)user;
    char hex[ID_HEX];
    id_hex(id, hex);
    printf("ready id=%s listen=%s\n", hex, listen);
    (void)fflush(stdout);
}

static void on_signal(uv_signal_t *s, int signum)
{
    struct program *p = s->data;
    (void)signum;
    if (p->asked)
        _exit(EXIT_FAILED); /* asked twice: at once, as after a crash */
    p->asked = true;
    log_line(STEP_INFO, "peald", "leaving the ring");
    metrics_free(p->metrics); /* what it listens with would keep the loop */
    p->metrics = NULL;
    host_leave(p->host);
}

static void watch_signal(struct program *p, uv_signal_t *s, int signum)
{
    int r = uv_signal_init(net_loop_uv(p->loop), s);
    CHECK(r == 0);
    s->data = p;
    r = uv_signal_start(s, on_signal, signum);
    CHECK(r == 0);
    uv_unref((uv_handle_t *)s);
}

static void unwatch_signals(struct program *p)
{
    uv_close((uv_handle_t *)&p->term, NULL);
    uv_close((uv_handle_t *)&p->intr, NULL);
}

static int parse_address(const char *flag, const char *text, struct net_addr *out, char *why)
{
    if (net_addr_parse(text, out) == 0)
        return 0;
    (void)snprintf(
        why, OPT_WHY_MAX,
        "%s: “%s” is not of the form ADDR:PORT, for example 127.0.0.1:7401 or [::1]:7401", flag,
        text);
    return PEAL_E_USAGE;
}

static int parse_announce(const struct options *o, struct host_config *cfg, char *why)
{
    for (size_t i = 0; i < o->announce.n; i++) {
        if (cfg->announce_n == PEAL_COUNT(cfg->announce)) {
            (void)snprintf(why, OPT_WHY_MAX, "--announce: more than %zu addresses",
                           PEAL_COUNT(cfg->announce));
            return PEAL_E_USAGE;
        }
        struct net_addr *a = &cfg->announce[cfg->announce_n++];
        int err = parse_address("--announce", o->announce.v[i], a, why);
        if (err != 0)
            return err;
        for (size_t k = 0; k + 1 < cfg->announce_n; k++)
            if (net_addr_eq(&cfg->announce[k], a)) {
                (void)snprintf(why, OPT_WHY_MAX, "--announce: %s is given twice", o->announce.v[i]);
                return PEAL_E_USAGE;
            }
    }
    return 0;
}

static int parse_addresses(const struct options *o, struct host_config *cfg, char *why)
{
    char reason[NET_REASON_MAX];
    int err = parse_address("--listen", o->listen, &cfg->listen, why);
    if (err == 0)
        err = parse_announce(o, cfg, why);
    if (err == 0 && net_groups_parse(o->multicast, &cfg->groups, reason) != 0) {
        (void)snprintf(why, OPT_WHY_MAX, "--multicast: %s", reason);
        return PEAL_E_USAGE;
    }
    for (size_t i = 0; i < o->join.n && err == 0; i++) {
        struct net_place place;
        err = net_place_parse(o->join.v[i], 0, &place, reason);
        if (err != 0) {
            (void)snprintf(why, OPT_WHY_MAX, "--join: %s", reason);
            return PEAL_E_USAGE;
        }
        cfg->joins[cfg->joins_n++] = o->join.v[i];
    }
    return err;
}

/* May a ring key that is missing be made? Not for a folder that belongs to a ring already, and not
 * for a server that is to join one: its new key would be another ring's. */
static bool may_make_key(const struct options *o, const char *path, char *why)
{
    char bound[PATH_SIZE];
    (void)snprintf(bound, sizeof bound, "%s/ring.id", o->data);
    if (access(bound, F_OK) == 0)
        (void)snprintf(why, OPT_WHY_MAX,
                       "%.400s is not there, and the server in %.300s belongs to a ring already; "
                       "put the ring's "
                       "key back, or name it with --ring-key-file",
                       path, o->data);
    else if (o->join.n > 0 && o->ring_key_file[0] == '\0')
        (void)snprintf(
            why, OPT_WHY_MAX,
            "%.600s is not there; to join a ring, copy the key of one of its servers and name it "
            "with --ring-key-file",
            path);
    else
        return true;
    return false;
}

static int load_ring_key(const struct options *o, struct peal_secret *ring, char *why)
{
    char path[PATH_SIZE], no[OPT_WHY_MAX];
    bool made = false;
    if (o->ring_key_file[0] != '\0')
        (void)snprintf(path, sizeof path, "%s", o->ring_key_file);
    else
        (void)snprintf(path, sizeof path, "%s/ring.key", o->data);
    bool make = may_make_key(o, path, no);
    int err = keys_load(path, make, ring, &made, why);
    if (err == PEAL_E_NOT_FOUND)
        memcpy(why, no, sizeof no);
    if (err == 0 && made)
        log_line(STEP_INFO, "peald",
                 "made a new ring key, %s: every server of this ring needs a copy of it", path);
    return err;
}

static int load_keys(const struct options *o, struct host_config *cfg, char *why)
{
    char path[PATH_SIZE];
    struct peal_secret ring = {{0}}, node = {{0}};
    int err = load_ring_key(o, &ring, why);
    (void)snprintf(path, sizeof path, "%s/node.key", o->data);
    if (err == 0)
        err = keys_load(path, true, &node, NULL, why);
    if (err == 0) {
        cry_ring_beacon_key(&ring, &cfg->beacon_key);
        struct cry_sign_key operator_key;
        cry_ring_operator_key(&ring, &operator_key);
        memcpy(cfg->operator_pub, operator_key.pub, sizeof cfg->operator_pub);
        cry_wipe(&operator_key, sizeof operator_key);
        err = cry_identity_make(&ring, &node, &cfg->identity);
        if (err != 0)
            (void)snprintf(why, OPT_WHY_MAX, "no certificate can be made: %s", err_prose(err));
    }
    (void)snprintf(path, sizeof path, "%s/ring.id", o->data);
    if (err == 0)
        err = keys_bind(path, cfg->identity.fingerprint, why);
    cry_wipe(&ring, sizeof ring);
    cry_wipe(&node, sizeof node);
    return err;
}

static int run(const struct options *o)
{
    struct program p = {0};
    struct host_config cfg = {.replicas = (uint8_t)o->replicas,
                              .expect = (uint8_t)o->bootstrap_expect,
                              .domain = o->domain,
                              .auto_remove_us = o->auto_remove_after * 1000 * 1000,
                              .clients_max = (uint32_t)o->clients,
                              .bcrypt_cost = (unsigned)o->bcrypt_cost,
                              .quota_bytes = o->quota_mib << 20,
                              .repair_bytes = (uint32_t)o->repair_rate << 10,
                              .mailbox_messages = o->mailbox_messages,
                              .mailbox_bytes = o->mailbox_bytes,
                              .message_days = (uint32_t)o->message_days,
                              .ready = on_ready,
                              .user = &p};
    char why[OPT_WHY_MAX], db[STORE_PATH_MAX], incarnation[PATH_SIZE];
    if (parse_addresses(o, &cfg, why) != 0)
        return say(EXIT_USAGE, why);
    if (o->domain[0] != '\0' && !chord_is_domain(peal_bytes_str(o->domain))) {
        (void)snprintf(why, sizeof why,
                       "--domain: \"%.40s\" is no name of a domain: 1 to %d of a-z, 0-9, '.', '_', "
                       "'-', for example house-2",
                       o->domain, WIRE_DOMAIN_MAX);
        return say(EXIT_USAGE, why);
    }
    if (mkdir(o->data, 0700) != 0 && errno != EEXIST) {
        (void)snprintf(why, sizeof why, "--data: %s cannot be made: %s", o->data, strerror(errno));
        return say(EXIT_FAILED, why);
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on files is a full disk, not a reason to die */
    if (cry_init() != 0)
        return say(EXIT_FAILED, "the system gives no randomness");
    if (load_keys(o, &cfg, why) != 0)
        return say(EXIT_FAILED, why);
    struct net_loop_config lc = {.links_max = cfg.clients_max + 1024};
    if (net_loop_new(&lc, &p.loop) != 0)
        return say(EXIT_FAILED, "no event loop can be made");
    cfg.loop = p.loop;
    bool fits = commands_db(o, db);
    CHECK(fits);
    cfg.db_path = db;
    (void)snprintf(incarnation, sizeof incarnation, "%s/incarnation", o->data);
    cfg.incarnation_path = incarnation;
    int err = 0;
    if (o->metrics[0] != '\0')
        err = metrics_new(p.loop, o->metrics, &p.metrics, why);
    /* Before the host: it may say that it is ready, and is then asked to leave, at once. */
    watch_signal(&p, &p.term, SIGTERM);
    watch_signal(&p, &p.intr, SIGINT);
    if (err == 0)
        err = host_new(&cfg, &p.host, why);
    cry_wipe(&cfg.beacon_key, sizeof cfg.beacon_key);
    cry_wipe(&cfg.identity, sizeof cfg.identity);
    if (err != 0) {
        metrics_free(p.metrics);
        unwatch_signals(&p);
        (void)uv_run(net_loop_uv(p.loop), UV_RUN_NOWAIT);
        net_loop_free(p.loop);
        return say(EXIT_FAILED, why);
    }
    metrics_show(p.metrics, p.host);
    if (p.metrics != NULL)
        log_line(STEP_INFO, "peald", "figures at %smetrics, and whether it serves at %shealth",
                 metrics_url(p.metrics), metrics_url(p.metrics));
    net_loop_run(p.loop);
    unwatch_signals(&p);
    err = host_free(p.host);
    net_loop_free(p.loop);
    if (err != 0)
        return say(EXIT_FAILED,
                   "the last writes could not be made durable; what was acknowledged is safe");
    log_line(STEP_INFO, "peald", "left in good order");
    return EXIT_OK;
}

int main(int argc, char *argv[])
{
    static struct options o;
    enum opt_command command = OPT_RUN;
    enum step_level level = STEP_INFO;
    char why[OPT_WHY_MAX];
    if (options_read(&o, &command, argc, argv, why) != 0)
        return say(EXIT_USAGE, why);
    switch (command) {
    case OPT_HELP:
        options_help(stdout);
        return EXIT_OK;
    case OPT_VERSION:
        puts("peald " PEAL_VERSION);
        return EXIT_OK;
    case OPT_MAN:
        options_man(stdout);
        return EXIT_OK;
    case OPT_BACKUP:
        return commands_backup(&o, why) == 0 ? EXIT_OK : say(EXIT_FAILED, why);
    case OPT_RESTORE:
        return commands_restore(&o, why) == 0 ? EXIT_OK : say(EXIT_FAILED, why);
    case OPT_RUN:
        break;
    }
    int err = log_level_of(o.log_level, &level);
    CHECK(err == 0);
    log_level_set(level);
    return run(&o);
}
