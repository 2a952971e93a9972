/* A raw HTTP client in the same loop as the server under test: what is sent is exactly what the
 * test says. Waiting runs the loop until the awaited thing is there; a guard timer ends a test that
 * would wait for ever. */
#ifndef PEAL_WEB_TEST_CLIENT_H
#define PEAL_WEB_TEST_CLIENT_H

#include <peal/web.h>

enum { CLIENT_BUF = 1 << 20 };

struct client {
    uv_tcp_t tcp;
    uv_connect_t connect;
    bool connected, closed, freed;
    size_t n;
    char buf[CLIENT_BUF + 1]; /* what came, NUL-terminated */
};

/* Connects and waits until it is; reading: whether what comes is read (a slow reader's is not). */
struct client *client_new(uv_loop_t *loop, unsigned port, bool reading);
void client_write(struct client *c, const char *data, size_t n);
void client_say(struct client *c, const char *text);
/* Runs the loop until what came contains text; false when the connection ended without it. */
bool client_wait(struct client *c, const char *text);
/* Runs the loop until the server closed the connection. */
void client_wait_closed(struct client *c);
/* Forgets what came so far. */
void client_clear(struct client *c);
void client_free(struct client *c);

/* Runs the loop until *what >= n. */
void wait_count(uv_loop_t *loop, const unsigned *what, unsigned n);

#endif
