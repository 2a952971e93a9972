/* A mailbox on its way to its owner: rows are pushed as they come and read from the homes when a
 * session begins, and each stays in flight until the client has it on its disk.
 *
 * - reading: a read is under way; its rows are delivered while there is room in flight.
 * - more: the last read was ended for want of room; it goes on after `cursor` when acknowledgements
 *   have made some.
 * - again: something may have been missed; the mailbox is read from its beginning.
 * - holding: what is pushed is held back, for something before it has not come: what waited when
 *   the session began, what there was no room for, or a row that is in `unseen` and of the same
 *   author. A read finds it then, in its place. Over when a read has ended during which nothing
 *   was held back.
 * - held: something was, since the read under way began, or since the last one; the next read
 *   begins before `held_low`, the least of it.
 * - unseen: rows that homes have announced, the first UNSEEN_MAX that have not come; their pusher
 *   may have failed, and what comes later of the same author from another one must not overtake.
 *   `unseen_more`: there are others. Missed if they have not come at `unseen_us`.
 * - told_empty: the client was told that all that had waited is there.
 *
 * What somebody says after something else was stored comes after it, unless the link with a home is
 * so late that the push comes before the announcement.
 *
 * A row is delivered at least once; in one session once, unless it was acknowledged so long ago
 * that `seen` has forgotten it, and all that is left of the deletion was lost. */
#include "inner.h"

#include <string.h>

static struct flight_key key_of(const struct client *c, const struct peal_msg_id *id)
{
    return (struct flight_key){.client = c->handle, .id = *id};
}

/* Where an id is remembered: by its random half, mixed as in MurmurHash3's finaliser, since nobody
 * promises that it is random. */
static struct seen *seen_slot(const struct svc *s, const struct client *c,
                              const struct peal_msg_id *id)
{
    uint64_t x = 0;
    memcpy(&x, id->b + MSG_ID_BYTES - sizeof x, sizeof x);
    x ^= (uint64_t)c->handle << 16;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccd;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53;
    x ^= x >> 33;
    return &s->seen[x & (SEEN_SLOTS - 1)];
}

static bool was_seen(const struct svc *s, const struct client *c, const struct peal_msg_id *id)
{
    struct flight_key key = key_of(c, id);
    const struct seen *x = seen_slot(s, c, id);
    return (x->client == c->handle && msg_id_eq(&x->id, id)) || map_get(&s->in_flight, &key, NULL);
}

static bool has_room(const struct svc *s, const struct client *c)
{
    return c->flight_rows < FLIGHT_ROWS && c->flight_bytes < FLIGHT_BYTES &&
           s->flights.used < s->flights.cap &&
           (c->flight_rows < FLIGHTS_PER_SESSION / 2 || s->flights.used < s->flights.cap / 2);
}

static void take_off(struct svc *s, struct client *c, const struct wire_row *row)
{
    uint32_t h = 0;
    struct flight *f = slab_take(&s->flights, &h);
    CHECK(f != NULL);
    struct flight_key key = key_of(c, &row->id);
    int err = map_put(&s->in_flight, &key, h);
    CHECK(err == 0);
    *f = (struct flight){
        .client = c->handle, .id = row->id, .bytes = (uint32_t)row->body.n, .next = c->flights};
    struct flight *next = slab_get(&s->flights, c->flights);
    if (next != NULL)
        next->prev = h;
    c->flights = h;
    c->flight_rows++;
    c->flight_bytes += f->bytes;
    s->stats.delivered++;
}

static void land(struct svc *s, struct client *c, uint32_t h)
{
    struct flight *f = slab_get(&s->flights, h);
    CHECK(f != NULL && f->client == c->handle && c->flight_rows > 0);
    struct flight_key key = key_of(c, &f->id);
    struct flight *prev = slab_get(&s->flights, f->prev);
    struct flight *next = slab_get(&s->flights, f->next);
    bool was = map_del(&s->in_flight, &key);
    CHECK(was);
    if (prev != NULL)
        prev->next = f->next;
    else
        c->flights = f->next;
    if (next != NULL)
        next->prev = f->prev;
    CHECK(c->flight_bytes >= f->bytes);
    c->flight_bytes -= f->bytes;
    c->flight_rows--;
    slab_release(&s->flights, h);
}

void deliver_forget(struct svc *s, struct client *c)
{
    while (c->flights != 0)
        land(s, c, c->flights);
    CHECK(c->flight_rows == 0 && c->flight_bytes == 0);
}

/* Forgets of what was announced that which has come. */
static void drop_seen(const struct svc *s, struct client *c)
{
    uint8_t n = 0;
    for (uint8_t i = 0; i < c->unseen_n; i++)
        if (!was_seen(s, c, &c->unseen[i].id))
            c->unseen[n++] = c->unseen[i];
    c->unseen_n = n;
}

/* Was something announced that the row's author said before it, and that has not come? */
static bool overtakes(const struct svc *s, struct client *c, const struct wire_row *row)
{
    if (c->unseen_n == 0)
        return false;
    drop_seen(s, c);
    uint64_t author = author_of(row);
    for (uint8_t i = 0; i < c->unseen_n; i++)
        if (c->unseen[i].author == author && msg_id_cmp(&c->unseen[i].id, &row->id) < 0)
            return true;
    return false;
}

static void hold_back(struct client *c, const struct peal_msg_id *id)
{
    if (!c->held || msg_id_cmp(id, &c->held_low) < 0)
        c->held_low = *id;
    c->held = c->holding = true;
}

void deliver_push(struct svc *s, struct client *c, const struct wire_row *row)
{
    if (was_seen(s, c, &row->id))
        return;
    if (overtakes(s, c, row))
        c->again = c->holding = true;
    if (c->holding || c->more || !has_room(s, c)) {
        hold_back(c, &row->id);
        return;
    }
    take_off(s, c, row);
    struct wire_row one = *row;
    struct wire_c_deliver m = {.rows = {.v = &one, .n = 1}};
    client_say(s, c, WIRE_c_deliver, &m);
}

static bool is_announced(const struct client *c, const struct peal_msg_id *id)
{
    for (uint8_t i = 0; i < c->unseen_n; i++)
        if (msg_id_eq(&c->unseen[i].id, id))
            return true;
    return false;
}

/* A home has these rows, and another one was to push them. */
void deliver_notice(struct svc *s, struct client *c, uint64_t author, const struct peal_msg_id *ids,
                    size_t n)
{
    drop_seen(s, c);
    for (size_t i = 0; i < n; i++) {
        if (was_seen(s, c, &ids[i]) || is_announced(c, &ids[i]))
            continue;
        if (c->unseen_n == 0 && !c->unseen_more)
            c->unseen_us = s->ev->now_us + NOTICE_US;
        if (c->unseen_n < UNSEEN_MAX)
            c->unseen[c->unseen_n++] = (struct unseen){.id = ids[i], .author = author};
        else
            c->unseen_more = true;
    }
}

/* The greatest id below; of the least one, itself. */
static struct peal_msg_id before(struct peal_msg_id id)
{
    size_t i = MSG_ID_BYTES;
    while (i > 0 && id.b[i - 1] == 0)
        i--;
    if (i == 0)
        return id;
    id.b[i - 1]--;
    memset(id.b + i, 0xff, MSG_ID_BYTES - i);
    return id;
}

/* Where the next read begins. */
static void set_cursor(struct client *c)
{
    struct peal_msg_id from = before(c->held_low);
    if (c->again && !c->more)
        c->has_cursor = false;
    else if (c->held && (!c->more || (c->has_cursor && msg_id_cmp(&from, &c->cursor) < 0))) {
        c->cursor = from;
        c->has_cursor = true;
    }
    c->again = c->again && c->more;
    c->held = c->more = false;
}

bool deliver_continue(struct svc *s, struct client *c)
{
    if (c->reading || !(c->more || c->again || c->held) || s->ev->now_us < c->retry_us)
        return false;
    if (c->flight_rows > FLIGHT_ROWS / 2 || c->flight_bytes > FLIGHT_BYTES / 2 || !has_room(s, c))
        return false;
    set_cursor(c);
    c->reading = true;
    c->read_serial++;
    uint64_t token = token_make(TOKEN_READ, c->read_serial, c->handle);
    struct peal_msg_id after = c->cursor;
    int err = chord_set_read(s->chord, s->ev, s->u, token, &c->box, c->has_cursor ? &after : NULL,
                             READ_US);
    if (err != 0) {
        c->reading = false;
        c->again = true;
        c->retry_us = s->ev->now_us + READ_RETRY_US;
    }
    return true;
}

/* Delivers those rows of a page that are not in flight, as far as there is room. Those that this
 * session has acknowledged were read before their deletion, or it was lost on its way: they are
 * deleted once more. */
static void deliver_page(struct svc *s, struct client *c, const struct wire_row *rows, size_t n)
{
    struct wire_row out[WIRE_PAGE_ROWS];
    struct peal_msg_id gone[WIRE_PAGE_ROWS];
    size_t k = 0;
    size_t gone_n = 0;
    CHECK(n <= WIRE_PAGE_ROWS);
    for (size_t i = 0; i < n && !c->more; i++) {
        struct flight_key key = key_of(c, &rows[i].id);
        bool flying = map_get(&s->in_flight, &key, NULL);
        if (!flying && was_seen(s, c, &rows[i].id)) {
            gone[gone_n++] = rows[i].id;
        } else if (!flying && !has_room(s, c)) {
            c->more = true;
            break;
        } else if (!flying) {
            take_off(s, c, &rows[i]);
            out[k++] = rows[i];
        }
        c->cursor = rows[i].id;
        c->has_cursor = true;
    }
    struct wire_c_deliver m = {.rows = {.v = out, .n = k}};
    if (k > 0)
        client_say(s, c, WIRE_c_deliver, &m);
    if (gone_n > 0)
        chord_set_del(s->chord, s->ev, s->u, &c->box, gone, gone_n);
}

/* The mailbox was read to its end. The client is told so once, by an empty page, unless something
 * has come in the meantime, for then the next read is to find it: it begins at once. */
static void caught_up(struct svc *s, struct client *c)
{
    struct wire_c_deliver nothing = {0};
    if (c->again || c->held) {
        if (update_has_room(s))
            (void)deliver_continue(s, c);
        return;
    }
    c->holding = false;
    if (c->told_empty)
        return;
    c->told_empty = true;
    client_say(s, c, WIRE_c_deliver, &nothing);
}

bool deliver_rows(struct svc *s, struct client *c, int err, const struct wire_row *rows, size_t n,
                  bool last)
{
    CHECK(c->state == CLIENT_SESSION && c->reading);
    deliver_page(s, c, rows, n);
    c->reading = !last && !c->more;
    if (!last)
        return c->reading;
    if (err != 0) { /* what homes are there have given what they had: no reason to hold up more */
        c->again = true;
        c->holding = c->held;
        c->retry_us = s->ev->now_us + READ_RETRY_US;
    } else {
        caught_up(s, c);
    }
    return false;
}

/* Only what was delivered in this session can be acknowledged: anything else would leave a
 * tombstone for something that never was. */
void deliver_ack(struct svc *s, struct client *c, const struct wire_msgids *ids)
{
    struct peal_msg_id gone[WIRE_ACK_MAX];
    size_t n = 0;
    CHECK(ids->n <= WIRE_ACK_MAX);
    for (size_t i = 0; i < ids->n; i++) {
        struct flight_key key = key_of(c, &ids->v[i]);
        uint32_t h = 0;
        if (!map_get(&s->in_flight, &key, &h))
            continue;
        struct seen *x = seen_slot(s, c, &ids->v[i]);
        x->client = c->handle;
        x->id = ids->v[i];
        land(s, c, h);
        gone[n++] = ids->v[i];
    }
    if (n > 0)
        chord_set_del(s->chord, s->ev, s->u, &c->box, gone, n);
    (void)deliver_continue(s, c);
}

/* Has what was announced been pushed by now? True when a read began. */
bool deliver_tick(struct svc *s, struct client *c)
{
    if ((c->unseen_n > 0 || c->unseen_more) && s->ev->now_us >= c->unseen_us) {
        drop_seen(s, c);
        if (c->unseen_more || c->unseen_n > 0)
            c->again = c->holding = true;
        c->unseen_n = 0;
        c->unseen_more = false;
    }
    return deliver_continue(s, c);
}
