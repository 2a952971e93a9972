#include <peal/crypto.h>
#include <peal/reach.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"

enum {
    FIRST_PAUSE_US = 200 * 1000,
    RTT_GUESS_US = 100 * 1000,
    LOST_REASON_MAX = NET_REASON_MAX,
};

#define NEVER UINT64_MAX

enum state { STOPPED, SEARCHING, UP };

/* A link that is being made, or the present one. A link whose user is NULL was given up: its events
 * are ignored. */
struct dial {
    struct reach *r;
    struct net_link *link; /* NULL: the slot is free */
    int place;
    uint64_t deadline_us;
};

struct reach {
    struct net_loop *loop;
    const struct reach_events *events;
    void *user;
    char agent[REACH_AGENT_MAX + 1];
    enum net_alpn alpn;
    bool pinned;
    uint8_t pin[NET_FINGERPRINT_BYTES];
    struct net_tls *tls;
    struct net_timer *timer;
    struct net_groups groups;
    struct net_mcast *mcast;

    enum state state;
    struct places places;
    struct rng rng;
    struct dial dials[REACH_DIALS];
    struct dial *present; /* in UP */
    char address[NET_PLACE_TEXT];

    uint64_t dial_us; /* when the next dial is due */
    uint64_t pause_us;
    uint64_t mcast_us;

    uint64_t heard_us; /* last frame */
    uint64_t ping_us;  /* when the next heartbeat is due */
    uint64_t probe_us; /* when silence after a request is looked into */
    uint64_t sent_us;  /* of the ping under way */
    uint64_t dead_us;  /* its deadline; NEVER: none is under way */
    uint64_t nonce;
    uint64_t srtt_us, rttvar_us;

    struct arena arena;
    void *arena_mem;
    uint8_t *out;
    size_t out_cap;
};

static void tick(void *user);

/* ---- timer --------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void arm(struct reach *r)
{
    uint64_t due = NEVER;
    if (r->state == SEARCHING) {
        due = earlier(r->dial_us, r->mcast_us);
        for (size_t i = 0; i < REACH_DIALS; i++) {
            if (r->dials[i].link != NULL)
                due = earlier(due, r->dials[i].deadline_us);
        }
    } else if (r->state == UP) {
        due = earlier(earlier(r->ping_us, r->probe_us), r->dead_us);
    }
    net_timer_at(r->timer, due);
}

/* ---- giving up and searching ----------------------------------------------------------------- */

static void place_text(const struct reach *r, int place, char out[static NET_PLACE_TEXT])
{
    struct net_place at = r->places.v[place].at;
    at.pinned = false;
    net_place_text(&at, out);
}

static void release(struct dial *d)
{
    d->link = NULL;
    d->r->places.v[d->place].busy = false;
}

static void abandon(struct dial *d, const char *reason)
{
    net_link_user_set(d->link, NULL);
    net_link_abort(d->link, reason);
    release(d);
}

static void search(struct reach *r, uint64_t now)
{
    r->state = SEARCHING;
    r->present = NULL;
    r->address[0] = '\0';
    r->pause_us = 0;
    r->dial_us = now;
    r->mcast_us = r->groups.n != 0 ? now : NEVER;
    places_again(&r->places);
}

static void report_failed(struct reach *r, int place, int err, const char *reason)
{
    char text[NET_PLACE_TEXT];
    place_text(r, place, text);
    if (r->events->failed != NULL)
        r->events->failed(r->user, text, err, reason);
}

/* One attempt came to nothing: the next place is due now. */
static void failed(struct reach *r, struct dial *d, int err, const char *reason)
{
    int place = d->place;
    d->link = NULL;
    places_failed(&r->places, place);
    r->dial_us = earlier(r->dial_us, net_now_us());
    report_failed(r, place, err, reason);
    if (r->state == SEARCHING)
        arm(r);
}

/* The present link is gone. */
static void lost(struct reach *r, int err, const char *reason)
{
    char why[LOST_REASON_MAX];
    (void)snprintf(why, sizeof why, "%s", reason);
    places_failed(&r->places, r->present->place);
    r->present->link = NULL;
    uint64_t now = net_now_us();
    search(r, now);
    r->dial_us = now + rng_below(&r->rng, REACH_JITTER_US);
    arm(r);
    if (r->events->down != NULL)
        r->events->down(r->user, err, why);
}

static void lose(struct reach *r, int err, const char *reason)
{
    net_link_user_set(r->present->link, NULL);
    net_link_abort(r->present->link, reason);
    lost(r, err, reason);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static int send_on(struct reach *r, struct net_link *link, uint16_t type, const void *msg)
{
    size_t n = 0;
    int err =
        r->alpn == NET_ALPN_JSON ? wire_json_size(type, msg, &n) : wire_encoded_size(type, msg, &n);
    if (err != 0)
        return err;
    if (n > r->out_cap) {
        uint8_t *more = realloc(r->out, n);
        if (more == NULL)
            return PEAL_E_NO_MEMORY;
        r->out = more;
        r->out_cap = n;
    }
    struct wr w;
    wr_init(&w, r->out, r->out_cap);
    err = r->alpn == NET_ALPN_JSON ? wire_to_json(type, msg, &w) : wire_encode(type, msg, &w);
    if (err != 0)
        return err;
    return net_link_send(link, peal_bytes_of(w.p, w.n));
}

/* Messages that no answer need follow. */
static bool is_quiet(enum wire_type type)
{
    return type == WIRE_c_ack || type == WIRE_c_watch || type == WIRE_c_ping;
}

static uint64_t silence_us(const struct reach *r)
{
    uint64_t rtt = r->srtt_us != 0 ? r->srtt_us + 4 * r->rttvar_us : RTT_GUESS_US;
    uint64_t limit = 4 * rtt;
    if (limit < REACH_SILENCE_MIN_US)
        return REACH_SILENCE_MIN_US;
    return limit > REACH_SILENCE_MAX_US ? REACH_SILENCE_MAX_US : limit;
}

/* An answer is expected from now on. */
static void watch_silence(struct reach *r)
{
    uint64_t now = net_now_us();
    if (r->dead_us != NEVER)
        r->dead_us = earlier(r->dead_us, now + REACH_PROBE_US + silence_us(r));
    else if (r->probe_us == NEVER)
        r->probe_us = now + REACH_PROBE_US;
    else
        return;
    arm(r);
}

int reach_send(struct reach *r, enum wire_type type, const void *msg)
{
    if (r->state != UP)
        return PEAL_E_UNAVAILABLE;
    int err = send_on(r, r->present->link, (uint16_t)type, msg);
    if (err == 0 && !is_quiet(type))
        watch_silence(r);
    return err;
}

/* ---- heartbeats --------------------------------------------------------------------------------
 */

static void ping(struct reach *r, uint64_t now, uint64_t limit_us)
{
    struct wire_c_ping msg = {.nonce = ++r->nonce};
    r->probe_us = NEVER;
    r->ping_us = now + REACH_PING_US;
    r->sent_us = now;
    r->dead_us = now + limit_us;
    int err = send_on(r, r->present->link, WIRE_c_ping, &msg);
    if (err != 0)
        lose(r, err, "the heartbeat cannot be sent");
}

/* RFC 6298, section 2. */
static void measured(struct reach *r, uint64_t rtt)
{
    if (r->srtt_us == 0) {
        r->srtt_us = rtt + 1;
        r->rttvar_us = rtt / 2;
        return;
    }
    uint64_t off = r->srtt_us > rtt ? r->srtt_us - rtt : rtt - r->srtt_us;
    r->rttvar_us = (3 * r->rttvar_us + off) / 4;
    r->srtt_us = (7 * r->srtt_us + rtt) / 8 + 1;
}

static void beat(struct reach *r, uint64_t now)
{
    if (now >= r->dead_us) {
        lose(r, PEAL_E_UNAVAILABLE, "the server is silent");
        return;
    }
    if (now >= r->probe_us) {
        uint64_t quiet = now - r->heard_us;
        if (r->dead_us != NEVER)
            r->probe_us = NEVER;
        else if (quiet < REACH_PROBE_US)
            r->probe_us = r->heard_us + REACH_PROBE_US;
        else
            ping(r, now, silence_us(r));
    }
    if (r->state == UP && now >= r->ping_us)
        ping(r, now, REACH_SILENCE_MAX_US);
}

/* ---- frames -------------------------------------------------------------------------- */

static int repin(struct reach *r, const uint8_t *pin)
{
    struct net_tls *tls = NULL;
    int err = net_tls_client_new(pin, &tls);
    if (err != 0)
        return err;
    net_tls_free(r->tls);
    r->tls = tls;
    memcpy(r->pin, pin, sizeof r->pin);
    r->pinned = true;
    return 0;
}

static void learn(struct reach *r, const struct wire_server_list *servers)
{
    for (size_t i = 0; i < servers->n; i++) {
        char text[WIRE_ADDRESS_MAX + 1];
        char why[NET_REASON_MAX];
        struct net_place at;
        bool fresh;
        if (peal_bytes_to_str(servers->v[i].address, sizeof text, text) != 0 ||
            net_place_parse(text, 0, &at, why) != 0)
            continue; /* an address that cannot be used is no address */
        at.pinned = false;
        if (places_add(&r->places, &at, false, &fresh) == PEAL_E_FULL)
            break;
    }
    if (r->events->servers != NULL)
        r->events->servers(r->user, servers);
}

static void give_up(struct reach *r, struct dial *d, int err, const char *reason)
{
    net_link_user_set(d->link, NULL);
    net_link_abort(d->link, reason);
    failed(r, d, err, reason);
}

static void welcomed(struct reach *r, struct dial *d, const struct wire_c_welcome *msg)
{
    if (msg->version != WIRE_VERSION) {
        give_up(r, d, PEAL_E_VERSION, "the server speaks another version");
        return;
    }
    const struct net_link_info *info = net_link_info(d->link);
    if (!r->pinned) {
        int err = repin(r, info->fingerprint);
        if (err != 0) {
            give_up(r, d, err, "the ring cannot be pinned");
            return;
        }
        if (r->events->pinned != NULL)
            r->events->pinned(r->user, r->pin);
    }
    for (size_t i = 0; i < REACH_DIALS; i++) {
        if (&r->dials[i] != d && r->dials[i].link != NULL)
            abandon(&r->dials[i], "another server answered first");
    }
    uint64_t now = net_now_us();
    r->state = UP;
    r->present = d;
    r->heard_us = now;
    r->ping_us = now;
    r->probe_us = NEVER;
    r->dead_us = NEVER;
    r->srtt_us = 0;
    net_mcast_free(r->mcast);
    r->mcast = NULL;
    places_served(&r->places, d->place);
    place_text(r, d->place, r->address);
    arm(r);
    if (r->events->up != NULL)
        r->events->up(r->user, r->address, msg);
    learn(r, &msg->servers);
}

static void on_present(struct reach *r, uint16_t type, const union wire_any *msg)
{
    switch (type) {
    case WIRE_c_welcome:
        lose(r, PEAL_E_MALFORMED, "a second welcome");
        break;
    case WIRE_c_pong:
        if (msg->c_pong.nonce == r->nonce && r->sent_us != 0) {
            measured(r, r->heard_us - r->sent_us);
            r->sent_us = 0;
        }
        break;
    case WIRE_c_servers:
        learn(r, &msg->c_servers.servers);
        break;
    default:
        r->events->message(r->user, (enum wire_type)type, msg);
        break;
    }
}

/* Before the welcome a server may only refuse. */
static void on_early(struct reach *r, struct dial *d, uint16_t type, const union wire_any *msg)
{
    char text[NET_REASON_MAX] = "something else came instead of a welcome";
    int err = PEAL_E_MALFORMED;
    if (type == WIRE_c_welcome) {
        welcomed(r, d, &msg->c_welcome);
        return;
    }
    if (type == WIRE_c_bye || type == WIRE_c_error) {
        struct peal_bytes why = type == WIRE_c_bye ? msg->c_bye.message : msg->c_error.message;
        uint16_t code = type == WIRE_c_bye ? msg->c_bye.code : msg->c_error.code;
        (void)snprintf(text, sizeof text, "%.*s", (int)why.n,
                       why.n == 0 ? "" : (const char *)why.p);
        err = code == 0 ? PEAL_E_CLOSED : -(int)code;
    }
    give_up(r, d, err, text);
}

static void on_frame(struct net_link *link, struct peal_bytes payload)
{
    struct dial *d = net_link_user(link);
    if (d == NULL)
        return;
    struct reach *r = d->r;
    union wire_any msg;
    uint16_t type;
    int err = r->alpn == NET_ALPN_JSON
                  ? wire_from_json((const char *)payload.p, payload.n, &type, &msg, sizeof msg,
                                   &r->arena, NULL)
                  : wire_decode(payload.p, payload.n, &type, &msg, sizeof msg, &r->arena);
    if (err == 0 && (type < WIRE_FIRST_CLIENT || type >= WIRE_FIRST_MULTICAST))
        err = PEAL_E_MALFORMED;
    if (d != r->present) {
        if (err != 0)
            give_up(r, d, err, "the server's message is not of its form");
        else
            on_early(r, d, type, &msg);
    } else if (err != 0) {
        lose(r, err, "the server's message is not of its form");
    } else {
        r->heard_us = net_now_us();
        r->dead_us = NEVER;
        on_present(r, type, &msg);
    }
    arena_reset(&r->arena);
}

static void on_up(struct net_link *link)
{
    struct dial *d = net_link_user(link);
    if (d == NULL)
        return;
    struct wire_c_hello msg = {.version = WIRE_VERSION, .agent = peal_bytes_str(d->r->agent)};
    int err = send_on(d->r, link, WIRE_c_hello, &msg);
    if (err != 0)
        give_up(d->r, d, err, "the hello cannot be sent");
}

static void on_down(struct net_link *link, int err, const char *reason)
{
    struct dial *d = net_link_user(link);
    if (d == NULL)
        return;
    if (d == d->r->present)
        lost(d->r, err, reason);
    else
        failed(d->r, d, err, reason);
}

static const struct net_events link_events = {.up = on_up, .frame = on_frame, .down = on_down};

/* ---- multicast ----------------------------------------------------------------------- */

static void on_answer(struct reach *r, const struct wire_m_answer *answer)
{
    char text[WIRE_ADDRESS_MAX + 1];
    struct net_addr addr;
    bool fresh;
    if (answer->version != WIRE_VERSION ||
        peal_bytes_to_str(answer->address, sizeof text, text) != 0 ||
        net_addr_parse(text, &addr) != 0 || net_addr_is_any(&addr) || addr.port == 0)
        return;
    struct peal_bytes pin = peal_bytes_of(r->pin, sizeof r->pin);
    if (r->pinned && !peal_bytes_eq(answer->fingerprint, pin)) {
        if (r->events->failed != NULL)
            r->events->failed(r->user, text, PEAL_E_FOREIGN, "it announces another ring");
        return;
    }
    struct net_place at = net_place_of(&addr);
    if (places_add(&r->places, &at, false, &fresh) < 0 || !fresh)
        return;
    r->dial_us = earlier(r->dial_us, net_now_us());
    arm(r);
}

static void on_datagram(void *user, const struct net_addr *from, struct peal_bytes data)
{
    struct reach *r = user;
    union wire_any msg;
    uint16_t type;
    (void)from;
    int err = wire_decode(data.p, data.n, &type, &msg, sizeof msg, &r->arena);
    if (err == 0 && type == WIRE_m_answer && r->state == SEARCHING)
        on_answer(r, &msg.m_answer);
    arena_reset(&r->arena);
}

static void ask(struct reach *r, uint64_t now)
{
    r->mcast_us = now + REACH_MCAST_US;
    if (r->mcast == NULL) {
        struct net_mcast_opts opts = {.groups = r->groups, .datagram = on_datagram, .user = r};
        char why[NET_REASON_MAX];
        int err = net_mcast_open(r->loop, &opts, &r->mcast, why);
        if (err != 0) {
            char text[NET_ADDR_TEXT];
            net_addr_text(&r->groups.v[0], text);
            r->mcast = NULL;
            if (r->events->failed != NULL)
                r->events->failed(r->user, text, err, why);
            return;
        }
    }
    struct wire_m_probe probe = {.version = WIRE_VERSION};
    uint8_t packet[64];
    struct wr w;
    wr_init(&w, packet, sizeof packet);
    int err = wire_encode(WIRE_m_probe, &probe, &w);
    CHECK(err == 0);
    err = net_mcast_send(r->mcast, peal_bytes_of(w.p, w.n));
    (void)err; /* no interface takes it now; asked again in REACH_MCAST_US */
}

/* ---- dialling ------------------------------------------------------------------------ */

static struct dial *free_slot(struct reach *r)
{
    for (size_t i = 0; i < REACH_DIALS; i++) {
        if (r->dials[i].link == NULL)
            return &r->dials[i];
    }
    return NULL;
}

static bool is_dialling(const struct reach *r)
{
    for (size_t i = 0; i < REACH_DIALS; i++) {
        if (r->dials[i].link != NULL)
            return true;
    }
    return false;
}

/* Every place was tried in vain: a pause, then all over again. */
static void rest(struct reach *r, uint64_t now)
{
    r->pause_us = r->pause_us == 0 ? FIRST_PAUSE_US : 2 * r->pause_us;
    if (r->pause_us > REACH_PAUSE_MAX_US)
        r->pause_us = REACH_PAUSE_MAX_US;
    places_again(&r->places);
    r->dial_us = now + r->pause_us / 2 + rng_below(&r->rng, r->pause_us / 2);
}

static void dial(struct reach *r, uint64_t now)
{
    struct dial *d = free_slot(r);
    if (d == NULL) {
        r->dial_us = NEVER; /* until an attempt ends */
        return;
    }
    int place = places_take(&r->places);
    if (place == PLACES_NONE) {
        if (is_dialling(r) || r->places.n == 0)
            r->dial_us = NEVER;
        else
            rest(r, now);
        return;
    }
    struct net_dial_opts opts = {
        .place = r->places.v[place].at,
        .tls = r->tls,
        .alpn = r->alpn,
        .events = &link_events,
        .user = d,
        .timeout_us = REACH_DIAL_US,
    };
    *d = (struct dial){.r = r, .place = place, .deadline_us = now + REACH_DIAL_US};
    r->dial_us = now + REACH_HEDGE_US;
    int err = net_dial(r->loop, &opts, &d->link);
    if (err != 0) {
        d->link = NULL;
        places_failed(&r->places, place);
        report_failed(r, place, err, err_prose(err));
    }
}

static void tick(void *user)
{
    struct reach *r = user;
    uint64_t now = net_now_us();
    if (r->state == UP) {
        beat(r, now);
    } else if (r->state == SEARCHING) {
        for (size_t i = 0; i < REACH_DIALS && r->state == SEARCHING; i++) {
            if (r->dials[i].link != NULL && now >= r->dials[i].deadline_us)
                give_up(r, &r->dials[i], PEAL_E_UNAVAILABLE, "no welcome in time");
        }
        if (r->state == SEARCHING && now >= r->mcast_us)
            ask(r, now);
        if (r->state == SEARCHING && now >= r->dial_us)
            dial(r, now);
    }
    arm(r);
}

/* ---- the owner's side ---------------------------------------------------------------- */

static int reach_init(struct reach *r, const struct reach_config *config)
{
    uint64_t seed;
    cry_random(&seed, sizeof seed);
    places_init(&r->places, seed);
    rng_init(&r->rng, ~seed);
    (void)snprintf(r->agent, sizeof r->agent, "%s", config->agent != NULL ? config->agent : "peal");
    r->alpn = config->json ? NET_ALPN_JSON : NET_ALPN_BIN;
    r->groups = config->mcast;
    r->dead_us = r->probe_us = NEVER;
    size_t cap = WIRE_ARENA_MAX;
    if (config->json && wire_json_arena(NET_FRAME_MAX) > cap)
        cap = wire_json_arena(NET_FRAME_MAX);
    r->arena_mem = malloc(cap); /* large and mostly never touched */
    if (r->arena_mem == NULL)
        return PEAL_E_NO_MEMORY;
    arena_init(&r->arena, r->arena_mem, cap);
    int err = config->pin != NULL ? repin(r, config->pin) : net_tls_client_new(NULL, &r->tls);
    if (err != 0)
        return err;
    return net_timer_new(r->loop, tick, r, &r->timer);
}

int reach_new(struct net_loop *loop, const struct reach_config *config, struct reach **out)
{
    CHECK(config->events != NULL && config->events->message != NULL);
    int err = cry_init();
    if (err != 0)
        return err;
    struct reach *r = calloc(1, sizeof *r);
    if (r == NULL)
        return PEAL_E_NO_MEMORY;
    r->loop = loop;
    r->events = config->events;
    r->user = config->user;
    err = reach_init(r, config);
    if (err != 0) {
        reach_free(r);
        return err;
    }
    *out = r;
    return 0;
}

int reach_add(struct reach *r, const struct net_place *place, bool chosen)
{
    if (place->pinned) {
        if (r->pinned && memcmp(r->pin, place->fingerprint, sizeof r->pin) != 0)
            return PEAL_E_FOREIGN;
        if (!r->pinned) {
            int err = repin(r, place->fingerprint);
            if (err != 0)
                return err;
        }
    }
    bool fresh;
    int index = places_add(&r->places, place, chosen, &fresh);
    if (index < 0)
        return index;
    if (fresh && r->state == SEARCHING) {
        r->dial_us = earlier(r->dial_us, net_now_us());
        arm(r);
    }
    return 0;
}

void reach_start(struct reach *r)
{
    if (r->state != STOPPED)
        return;
    search(r, net_now_us());
    arm(r);
}

void reach_stop(struct reach *r, const char *reason)
{
    for (size_t i = 0; i < REACH_DIALS; i++) {
        struct dial *d = &r->dials[i];
        if (d->link == NULL)
            continue;
        net_link_user_set(d->link, NULL);
        net_link_close(d->link, reason);
        release(d);
    }
    net_mcast_free(r->mcast);
    r->mcast = NULL;
    r->present = NULL;
    r->address[0] = '\0';
    r->state = STOPPED;
    arm(r);
}

/* `down` must come from the loop: the link's own down brings it. */
void reach_renew(struct reach *r, const char *reason)
{
    if (r->state == UP)
        net_link_abort(r->present->link, reason);
}

void reach_free(struct reach *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < REACH_DIALS; i++) {
        if (r->dials[i].link != NULL)
            abandon(&r->dials[i], "the program is done with it");
    }
    net_mcast_free(r->mcast);
    net_timer_free(r->timer);
    net_tls_free(r->tls);
    free(r->arena_mem);
    free(r->out);
    free(r);
}

bool reach_is_up(const struct reach *r)
{
    return r->state == UP;
}

const char *reach_address(const struct reach *r)
{
    return r->address;
}

const uint8_t *reach_pin(const struct reach *r)
{
    return r->pinned ? r->pin : NULL;
}

size_t reach_queued(const struct reach *r)
{
    return r->state == UP ? net_link_queued(r->present->link) : 0;
}

uint64_t reach_rtt_us(const struct reach *r)
{
    return r->srtt_us;
}
