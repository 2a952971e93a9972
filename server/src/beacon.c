#include "beacon.h"

#include <string.h>

/* What is signed: the message as it is encoded with an empty signature. */
static int signed_part(const struct wire_m_beacon *b, size_t cap, uint8_t out[], size_t *n)
{
    struct wire_m_beacon bare = *b;
    struct wr w;
    bare.signature = (struct peal_bytes){0};
    wr_init(&w, out, cap);
    int err = wire_encode(WIRE_m_beacon, &bare, &w);
    *n = w.n;
    return err;
}

static int take(struct peal_bytes body, struct wire_m_beacon *out)
{
    struct arena none; /* a beacon has no lists */
    uint16_t type = 0;
    union wire_any m;
    arena_init(&none, NULL, 0);
    int err = wire_decode(body.p, body.n, &type, &m, sizeof m, &none);
    if (err != 0 || type != WIRE_m_beacon)
        return PEAL_E_MALFORMED;
    *out = m.m_beacon;
    return 0;
}

int beacon_sign(struct beacons *b, const struct cry_sign_key *key, uint64_t wall_ms,
                struct peal_bytes body, size_t cap, uint8_t out[], size_t *n)
{
    struct wire_m_beacon m;
    uint8_t sig[CRY_SIG_BYTES];
    int err = take(body, &m);
    CHECK(err == 0); /* the core made it */
    m.stamp = wall_ms > b->said ? wall_ms : b->said + 1;
    err = signed_part(&m, cap, out, n);
    if (err != 0)
        return err;
    cry_sign(key, BEACON_DOMAIN, peal_bytes_of(out, *n), sig);
    m.signature = peal_bytes_of(sig, sizeof sig);
    struct wr w;
    wr_init(&w, out, cap);
    err = wire_encode(WIRE_m_beacon, &m, &w);
    *n = w.n;
    if (err == 0)
        b->said = m.stamp;
    return err;
}

static struct beacon_heard *find(struct beacons *b, const struct peal_id *id)
{
    for (size_t i = 0; i < b->n; i++)
        if (id_eq(&b->heard[i].id, id))
            return &b->heard[i];
    return NULL;
}

static struct beacon_heard *place_for(struct beacons *b, const struct peal_id *id)
{
    struct beacon_heard *h = &b->heard[0];
    CHECK(b->n <= BEACON_HEARD_MAX);
    if (b->n < BEACON_HEARD_MAX)
        h = &b->heard[b->n++];
    else
        for (size_t i = 1; i < b->n; i++)
            if (b->heard[i].heard_us < h->heard_us)
                h = &b->heard[i];
    *h = (struct beacon_heard){.id = *id};
    return h;
}

static bool proved(const struct wire_m_beacon *m)
{
    uint8_t part[CRY_BEACON_BODY_MAX];
    size_t n = 0;
    if (m->contact.key.n != CRY_PUB_BYTES || m->signature.n != CRY_SIG_BYTES)
        return false;
    struct peal_id id = cry_node_id(m->contact.key.p);
    return id_eq(&id, &m->contact.id) && signed_part(m, sizeof part, part, &n) == 0 &&
           cry_verify(m->contact.key.p, BEACON_DOMAIN, peal_bytes_of(part, n), m->signature.p) == 0;
}

int beacon_judge(struct beacons *b, struct peal_bytes body, uint64_t now_us, uint64_t wall_ms,
                 struct wire_m_beacon *out, enum beacon_verdict *verdict)
{
    *verdict = BEACON_IGNORE;
    int err = take(body, out);
    if (err != 0)
        return err;
    if (id_eq(&out->contact.id, &b->self))
        return 0;
    struct beacon_heard *h = find(b, &out->contact.id);
    uint64_t off = out->stamp > wall_ms ? out->stamp - wall_ms : wall_ms - out->stamp;
    bool far = off > BEACON_FAR_MS;
    /* Before the signature, which costs more: the same beacon comes by every interface. */
    if (h != NULL && (far ? now_us < h->dial_us : out->stamp <= h->stamp))
        return 0;
    if (!proved(out))
        return PEAL_E_AUTH;
    if (h == NULL)
        h = place_for(b, &out->contact.id);
    h->heard_us = now_us;
    if (far)
        h->dial_us = now_us + BEACON_DIAL_US;
    else
        h->stamp = out->stamp;
    *verdict = far ? BEACON_DIAL : BEACON_TAKE;
    return 0;
}
