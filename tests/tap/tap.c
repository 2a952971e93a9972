/* peal-tap: stands before a server of a ring and writes down what passes inside its TLS links,
 * which a listener on the network cannot
 * see: towards callers it is that server, towards the server it is the caller. It can be both
 * because it is given the ring's key
 * and every node's key, as only a test is.
 *
 *   peal-tap --ring-key-file FILE --node FOLDER --listen ADDR:PORT --target-file FILE --out FILE
 * [--peer FOLDER]...
 *
 * --node is the data folder of the server behind it, --peer those of the servers that may call.
 * The server's address is read from
 * --target-file anew for each link, so that it may be known later and may change. Prints "ready
 * listen=ADDR:PORT".
 *
 * The record, one per frame: length of the payload (u32, big-endian), direction (u8: 0 towards the
 * server, 1 back), what is
 * spoken (u8: enum net_alpn), the payload. Each is written before the frame is passed on. */
#include <peal/crypto.h>
#include <peal/net.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PEERS_MAX = 16,
    TEXT_MAX = 256,
    PATH_SIZE = 4096,
    RECORD_HEAD = 6,
    KEY_DIGITS = 2 * SECRET_BYTES
};

struct node {
    struct cry_identity identity;
    struct net_tls *tls;
};

static struct tap {
    struct net_loop *loop;
    struct node peers[PEERS_MAX];
    size_t peers_n;
    struct net_tls *client;
    const char *target_file;
    int out;
} tap;

/* One caller and its link to the server; lives until both are down. */
struct pair {
    struct net_link *caller, *server;
    enum net_alpn alpn;
};

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "peal-tap: %s: %s\n", what, why);
    exit(1);
}

static void must(int err, const char *what)
{
    if (err != 0)
        die(what, err_name(err));
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The first line of a small file; false when there is none. */
static bool first_line(const char *path, char out[static TEXT_MAX])
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool any = fgets(out, TEXT_MAX, f) != NULL;
    fclose(f);
    if (any)
        out[strcspn(out, "\r\n")] = '\0';
    return any && out[0] != '\0';
}

static void read_key(const char *path, struct peal_secret *out)
{
    char line[TEXT_MAX];
    if (!first_line(path, line) || strlen(line) != KEY_DIGITS ||
        peal_unhex(line, SECRET_BYTES, out->b) != 0)
        die(path, "not a key of 64 hexadecimal digits");
}

static void read_identity(const struct peal_secret *ring, const char *folder,
                          struct cry_identity *out)
{
    char path[PATH_SIZE];
    struct peal_secret seed;
    snprintf(path, sizeof path, "%s/node.key", folder);
    read_key(path, &seed);
    must(cry_identity_make(ring, &seed, out), folder);
}

static void record(const struct pair *p, bool back, struct peal_bytes payload)
{
    static uint8_t buf[RECORD_HEAD + NET_FRAME_MAX];
    struct wr w;
    wr_init(&w, buf, sizeof buf);
    wr_u32(&w, (uint32_t)payload.n);
    wr_u8(&w, back);
    wr_u8(&w, (uint8_t)p->alpn);
    wr_bytes(&w, payload.p, payload.n);
    must(wr_end(&w), "a frame");
    if (write(tap.out, buf, w.n) != (ssize_t)w.n)
        die("the record", "cannot be written");
}

/* ---- links ----------------------------------------------------------------------------------- */

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    struct pair *p = net_link_user(link);
    bool back = link == p->server;
    struct net_link *to = back ? p->caller : p->server;
    record(p, back, payload);
    if (to != NULL && net_link_send(to, payload) != 0)
        net_link_abort(link, "the other side is gone");
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    struct pair *p = net_link_user(link);
    (void)err;
    if (p == NULL)
        return;
    struct net_link **mine = link == p->server ? &p->server : &p->caller;
    struct net_link *other = link == p->server ? p->caller : p->server;
    *mine = NULL;
    if (other != NULL)
        net_link_close(other, reason);
    else
        free(p);
}

static const struct net_events server_events = {.frame = on_frame, .down = on_down};

static struct net_tls *tls_as(const struct net_link_info *caller)
{
    if (caller->alpn != NET_ALPN_NODE)
        return tap.client;
    for (size_t i = 0; i < tap.peers_n; i++)
        if (id_eq(&tap.peers[i].identity.id, &caller->peer_id))
            return tap.peers[i].tls;
    return NULL;
}

static int dial_server(struct pair *p)
{
    const struct net_link_info *info = net_link_info(p->caller);
    char text[TEXT_MAX], why[NET_REASON_MAX];
    struct net_dial_opts opts = {
        .tls = tls_as(info), .alpn = info->alpn, .events = &server_events, .user = p};
    if (opts.tls == NULL || !first_line(tap.target_file, text))
        return PEAL_E_NOT_FOUND;
    int err = net_place_parse(text, 0, &opts.place, why);
    /* The server sees the caller's own address, by which it counts wrong passwords. */
    opts.from = info->peer;
    opts.from.port = 0;
    return err != 0 ? err : net_dial(tap.loop, &opts, &p->server);
}

static void on_up(struct net_link *link)
{
    struct pair *p = calloc(1, sizeof *p);
    net_link_user_set(link, p);
    if (p == NULL)
        die("a link", "no memory");
    p->caller = link;
    p->alpn = net_link_info(link)->alpn;
    int err = dial_server(p);
    if (err != 0) {
        p->server = NULL;
        net_link_abort(link, err_name(err));
    }
}

static const struct net_events caller_events = {.up = on_up, .frame = on_frame, .down = on_down};

/* ---- beginning ------------------------------------------------------------------------------- */

struct arguments {
    const char *ring, *node, *listen, *target, *out;
    const char *peers[PEERS_MAX];
    size_t peers_n;
};

static void read_arguments(int argc, char *const argv[], struct arguments *a)
{
    const struct {
        const char *flag;
        const char **to;
    } flags[] = {{"--ring-key-file", &a->ring},
                 {"--node", &a->node},
                 {"--listen", &a->listen},
                 {"--target-file", &a->target},
                 {"--out", &a->out}};
    for (int i = 1; i < argc; i += 2) {
        bool known = false;
        if (i + 1 == argc)
            die(argv[i], "has no value");
        for (size_t k = 0; k < PEAL_COUNT(flags) && !known; k++) {
            known = strcmp(argv[i], flags[k].flag) == 0;
            if (known)
                *flags[k].to = argv[i + 1];
        }
        if (!known && strcmp(argv[i], "--peer") == 0 && a->peers_n < PEERS_MAX)
            a->peers[a->peers_n++] = argv[i + 1];
        else if (!known)
            die(argv[i], "unknown, or too often");
    }
    for (size_t k = 0; k < PEAL_COUNT(flags); k++)
        if (*flags[k].to == NULL)
            die(flags[k].flag, "is missing");
}

static void load_keys(const struct arguments *a, struct cry_identity *self)
{
    struct peal_secret ring;
    read_key(a->ring, &ring);
    read_identity(&ring, a->node, self);
    for (size_t i = 0; i < a->peers_n; i++) {
        struct node *n = &tap.peers[tap.peers_n++];
        read_identity(&ring, a->peers[i], &n->identity);
        must(net_tls_node_new(&n->identity, &n->tls), a->peers[i]);
    }
    must(net_tls_client_new(self->fingerprint, &tap.client), "TLS");
}

int main(int argc, char *argv[])
{
    struct arguments a = {0};
    struct net_listener *listener = NULL;
    static struct cry_identity self;
    char why[NET_REASON_MAX], text[NET_ADDR_TEXT];
    read_arguments(argc, argv, &a);
    must(cry_init(), "randomness");
    load_keys(&a, &self);
    tap.target_file = a.target;
    tap.out = open(a.out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (tap.out < 0)
        die(a.out, "cannot be opened");
    must(net_loop_new(NULL, &tap.loop), "a loop");
    struct net_listen_opts opts = {.events = &caller_events};
    must(net_addr_parse(a.listen, &opts.addr), "--listen");
    must(net_tls_server_new(&self, &opts.tls), "TLS");
    if (net_listen(tap.loop, &opts, &listener, why) != 0)
        die("--listen", why);
    net_addr_text(net_listener_addr(listener), text);
    printf("ready listen=%s\n", text);
    fflush(stdout);
    net_loop_run(tap.loop);
    return 0;
}
