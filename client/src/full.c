/* Mailboxes that the ring has said to be full. What is written to their owners stays in the outbox,
 * in its order: one message at a time is tried, ever more rarely, while those to others go on. */
#include <stdio.h>
#include <string.h>

#include "core.h"

/* FULL_MAX: none. */
static size_t place_of(const struct client *c, const char *peer)
{
    size_t i = 0;
    while (i < FULL_MAX && (c->full[i].peer[0] == '\0' || strcmp(c->full[i].peer, peer) != 0))
        i++;
    return i;
}

static struct full_box *box_of(struct client *c, const char *peer)
{
    size_t i = place_of(c, peer);
    return i < FULL_MAX ? &c->full[i] : NULL;
}

const char *full_why(const struct client *c, const char *peer)
{
    size_t i = place_of(c, peer);
    return i < FULL_MAX ? c->full[i].why : NULL;
}

bool full_lets(struct client *c, const char *peer)
{
    struct full_box *b = box_of(c, peer);
    if (b == NULL)
        return true;
    if (net_now_us() < b->retry_us)
        return false;
    b->retry_us = CLIENT_NEVER;
    return true;
}

/* A free place, or that of the one which is tried next anyway. */
static struct full_box *place(struct client *c)
{
    struct full_box *first = &c->full[0];
    for (size_t i = 0; i < FULL_MAX; i++) {
        if (c->full[i].peer[0] == '\0')
            return &c->full[i];
        if (c->full[i].retry_us < first->retry_us)
            first = &c->full[i];
    }
    return first;
}

/* Between half of us and one and a half. */
static uint64_t about(uint64_t us)
{
    uint64_t r = 0;
    cry_random(&r, sizeof r);
    return us / 2 + r % us;
}

void full_note(struct client *c, const char *peer, const char *why)
{
    struct full_box *b = box_of(c, peer);
    bool is_new = b == NULL;
    if (!is_new && b->retry_us > net_now_us())
        return; /* one of those that were sent together with the first */
    if (is_new) {
        b = place(c);
        *b = (struct full_box){.pause_us = FULL_FIRST_US};
        (void)snprintf(b->peer, sizeof b->peer, "%s", peer);
    }
    (void)snprintf(b->why, sizeof b->why, "%s", why);
    b->retry_us = net_now_us() + about(b->pause_us);
    b->pause_us = 2 * b->pause_us < FULL_MOST_US ? 2 * b->pause_us : FULL_MOST_US;
    if (is_new)
        client_trouble(c, PEAL_E_QUOTA, why,
                       "the message stays queued and is tried again by itself");
}

void full_landed(struct client *c, const char *peer)
{
    struct full_box *b = box_of(c, peer);
    if (b != NULL && b->retry_us == CLIENT_NEVER)
        b->retry_us = 0;
}

bool full_over(struct client *c, const char *peer)
{
    struct full_box *b = box_of(c, peer);
    if (b != NULL)
        b->peer[0] = '\0';
    return b != NULL;
}

void full_try(struct client *c, const char *peer)
{
    struct full_box *b = box_of(c, peer);
    if (b != NULL && b->retry_us != CLIENT_NEVER) {
        b->retry_us = 0;
        c->cursor = 0;
    }
}

void full_link_down(struct client *c)
{
    for (size_t i = 0; i < FULL_MAX; i++)
        c->full[i].retry_us = 0;
}

uint64_t full_due(const struct client *c)
{
    uint64_t due = CLIENT_NEVER;
    for (size_t i = 0; i < FULL_MAX; i++) {
        if (c->full[i].peer[0] != '\0' && c->full[i].retry_us < due)
            due = c->full[i].retry_us;
    }
    return due;
}

void full_forget_due(struct client *c, uint64_t now)
{
    for (size_t i = 0; i < FULL_MAX; i++) {
        if (c->full[i].retry_us <= now)
            c->full[i].peer[0] = '\0';
    }
}
