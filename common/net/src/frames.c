/* Frames: cutting decrypted bytes into them, in place where they came whole, and queueing those
 * that leave in chunks of one TLS record. */
#include "net_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- in ---- */

static uint32_t frame_length(const uint8_t *p)
{
    struct rd r;
    rd_init(&r, p, NET_HEADER);
    return rd_u32(&r);
}

static bool length_ok(struct net_link *link, uint32_t n)
{
    if (n == 0)
        net_link_fail(link, PEAL_E_MALFORMED, "the other side sent an empty frame");
    else if (n > NET_FRAME_MAX)
        net_link_fail(link, PEAL_E_TOO_LONG, "the other side announced a frame of %u bytes", n);
    return n > 0 && n <= NET_FRAME_MAX;
}

static bool deliver(struct net_link *link, const uint8_t *p, size_t n)
{
    link->stats.frames_in++;
    if (link->events->frame)
        link->events->frame(link, peal_bytes_of(p, n));
    return link->state == LINK_UP;
}

/* The buffer grows as bytes come, not as a header promises them: strangers can make us hold only
 * what they sent. */
static bool partial_grow(struct net_partial *in)
{
    size_t cap = in->cap ? in->cap * 2 : NET_PARTIAL_MIN;
    if (cap > in->need && in->need > NET_HEADER)
        cap = in->need;
    if (cap < in->have)
        cap = in->have;
    uint8_t *p = realloc(in->p, cap);
    if (!p)
        return false;
    in->p = p;
    in->cap = cap;
    return true;
}

/* Keeps the beginning of a frame until the rest comes. */
static bool partial_begin(struct net_link *link, const uint8_t *p, size_t n)
{
    CHECK(!link->in.p && n > 0);
    struct net_partial in = {.have = n, .need = NET_HEADER};
    if (n >= NET_HEADER)
        in.need = NET_HEADER + frame_length(p);
    if (!partial_grow(&in)) {
        net_link_fail(link, PEAL_E_NO_MEMORY, "no memory for a frame");
        return false;
    }
    memcpy(in.p, p, n);
    link->in = in;
    return true;
}

uint8_t *net_frames_space(struct net_link *link, size_t *n)
{
    struct net_partial *in = &link->in;
    if (!in->p) {
        *n = sizeof link->loop->plain;
        return link->loop->plain;
    }
    CHECK(in->have < in->need);
    if (in->have == in->cap && !partial_grow(in)) {
        net_link_fail(link, PEAL_E_NO_MEMORY, "no memory for a frame");
        return NULL;
    }
    *n = (in->cap < in->need ? in->cap : in->need) - in->have;
    return in->p + in->have;
}

void net_frames_drop_in(struct net_link *link)
{
    free(link->in.p);
    link->in = (struct net_partial){0};
}

static bool partial_take(struct net_link *link, size_t n)
{
    struct net_partial *in = &link->in;
    in->have += n;
    CHECK(in->have <= in->need);
    if (in->have < in->need)
        return true;
    if (in->need == NET_HEADER) {
        uint32_t length = frame_length(in->p);
        if (!length_ok(link, length))
            return false;
        in->need = NET_HEADER + length;
        return true;
    }
    struct net_partial whole = *in;
    *in = (struct net_partial){0};
    bool on = deliver(link, whole.p + NET_HEADER, whole.need - NET_HEADER);
    free(whole.p);
    return on;
}

bool net_frames_take(struct net_link *link, size_t n)
{
    if (link->in.p)
        return partial_take(link, n);
    const uint8_t *p = link->loop->plain;
    while (n >= NET_HEADER) {
        uint32_t length = frame_length(p);
        if (!length_ok(link, length))
            return false;
        if (length > n - NET_HEADER)
            break;
        if (!deliver(link, p + NET_HEADER, length))
            return false;
        p += NET_HEADER + length;
        n -= NET_HEADER + length;
    }
    return n == 0 || partial_begin(link, p, n);
}

/* ---- out ---- */

static struct net_chunk *chunk_take(struct net_loop *loop)
{
    struct net_chunk *c = STAILQ_FIRST(&loop->pool);
    if (c) {
        STAILQ_REMOVE_HEAD(&loop->pool, next);
        loop->pool_n--;
    } else {
        c = malloc(sizeof *c);
    }
    if (c)
        c->n = 0;
    return c;
}

static void chunk_give(struct net_loop *loop, struct net_chunk *c)
{
    if (loop->pool_n >= NET_POOL_MAX) {
        free(c);
        return;
    }
    STAILQ_INSERT_HEAD(&loop->pool, c, next);
    loop->pool_n++;
}

static void chunks_drop(struct net_loop *loop, struct net_chunks *chunks)
{
    struct net_chunk *c;
    while ((c = STAILQ_FIRST(chunks))) {
        STAILQ_REMOVE_HEAD(chunks, next);
        chunk_give(loop, c);
    }
}

void net_frames_chunk_done(struct net_link *link)
{
    struct net_chunk *c = STAILQ_FIRST(&link->out);
    link->out_n -= c->n;
    STAILQ_REMOVE_HEAD(&link->out, next);
    chunk_give(link->loop, c);
}

void net_frames_drop_out(struct net_link *link)
{
    chunks_drop(link->loop, &link->out);
    link->out_n = 0;
}

static void append(struct net_chunk **c, const uint8_t *p, size_t n)
{
    while (n > 0) {
        if ((*c)->n == NET_CHUNK)
            *c = STAILQ_NEXT(*c, next);
        CHECK(*c);
        size_t take = NET_CHUNK - (*c)->n;
        if (take > n)
            take = n;
        memcpy((*c)->b + (*c)->n, p, take);
        (*c)->n += (uint32_t)take;
        p += take;
        n -= take;
    }
}

int net_frames_queue(struct net_link *link, struct peal_bytes payload)
{
    uint8_t header[NET_HEADER];
    struct wr w;
    wr_init(&w, header, sizeof header);
    wr_u32(&w, (uint32_t)payload.n);
    int err = wr_end(&w);
    CHECK(err == 0);
    size_t n = sizeof header + payload.n;
    struct net_chunk *last = STAILQ_EMPTY(&link->out) ? NULL : link->out_last;
    size_t room = last ? NET_CHUNK - last->n : 0;
    struct net_chunks more = STAILQ_HEAD_INITIALIZER(more);
    while (room < n) {
        struct net_chunk *c = chunk_take(link->loop);
        if (!c) {
            chunks_drop(link->loop, &more);
            return PEAL_E_NO_MEMORY;
        }
        STAILQ_INSERT_TAIL(&more, c, next);
        room += NET_CHUNK;
    }
    struct net_chunk *to = last ? last : STAILQ_FIRST(&more);
    STAILQ_CONCAT(&link->out, &more);
    append(&to, header, sizeof header);
    append(&to, payload.p, payload.n);
    link->out_last = to;
    link->out_n += n;
    link->stats.frames_out++;
    return 0;
}
