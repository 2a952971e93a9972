/* fake: a server of a ring within the test's process: real TLS and frames, scripted answers. */
#ifndef PEAL_FAKE_H
#define PEAL_FAKE_H

#include <peal/crypto.h>
#include <peal/net.h>
#include <peal/wire.h>

enum { FAKE_LINKS = 16, FAKE_PATIENCE_S = 60 };

struct fake {
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_listener *listener; /* NULL: killed */
    struct net_link *links[FAKE_LINKS];
    char address[NET_ADDR_TEXT];
    struct net_place place;
    bool silent;      /* takes everything, answers nothing */
    bool unwelcoming; /* only the hello is not answered */
    unsigned hellos, pings;
    const char *tells[4]; /* addresses of servers in the welcome */
    /* all but hello and ping, which are answered as a server does */
    void (*on)(struct fake *f, struct net_link *link, uint16_t type, const union wire_any *msg);
    void (*gone)(struct fake *f, struct net_link *link); /* may be NULL */
    void *user;
};

/* Identities of one ring, from a number. */
void fake_identity(unsigned ring, unsigned node, struct cry_identity *out);
/* Listens on a free port of 127.0.0.1. */
void fake_start(struct fake *f, struct net_loop *loop, const struct cry_identity *self);
void fake_say(struct net_link *link, uint16_t type, const void *msg);
/* As kill -9 does: every link ends, nobody listens. */
void fake_kill(struct fake *f);

/* Runs the loop until cond(user) holds; fails the test after FAKE_PATIENCE_S. */
void fake_until(struct net_loop *loop, bool (*cond)(void *user), void *user, const char *what);

#endif
