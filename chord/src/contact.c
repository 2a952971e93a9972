/* contact: who is where. A contact is believed only with its own signature; a higher incarnation
 * replaces a lower. The table holds members of the roster first, then whoever is linked, then
 * whoever was heard last. */
#include "inner.h"

#include <string.h>

static const char CONTACTS_KEY[] = "contacts";

size_t chord_contact_body(const struct wire_contact *w, uint8_t out[static CHORD_CONTACT_BODY_MAX])
{
    CHECK(w->address.n <= WIRE_ADDRESS_MAX);
    struct wr b;
    wr_init(&b, out, CHORD_CONTACT_BODY_MAX);
    wr_id(&b, &w->id);
    wr_u64(&b, w->incarnation);
    wr_var(&b, w->address);
    int err = wr_end(&b);
    CHECK(err == 0);
    return b.n;
}

struct wire_contact contact_view(const struct contact *k)
{
    return (struct wire_contact){.id = k->id,
                                 .incarnation = k->incarnation,
                                 .address = peal_bytes_of(k->address, k->address_n),
                                 .key = peal_bytes_of(k->key, CRY_PUB_BYTES),
                                 .signature = peal_bytes_of(k->signature, CRY_SIG_BYTES)};
}

/* Checks form, id and signature; a peer's bytes. */
int contact_take(struct contact *out, const struct wire_contact *w)
{
    if (w->key.n != CRY_PUB_BYTES || w->signature.n != CRY_SIG_BYTES || w->address.n == 0 ||
        w->address.n > WIRE_ADDRESS_MAX)
        return PEAL_E_MALFORMED;
    struct peal_id id = cry_node_id(w->key.p);
    if (!id_eq(&id, &w->id) || id_is_zero(&id))
        return PEAL_E_AUTH;
    uint8_t body[CHORD_CONTACT_BODY_MAX];
    size_t n = chord_contact_body(w, body);
    int err = cry_verify(w->key.p, CHORD_CONTACT_DOMAIN, peal_bytes_of(body, n), w->signature.p);
    if (err < 0)
        return err;
    out->id = w->id;
    out->incarnation = w->incarnation;
    memcpy(out->address, w->address.p, w->address.n);
    out->address_n = w->address.n;
    memcpy(out->key, w->key.p, CRY_PUB_BYTES);
    memcpy(out->signature, w->signature.p, CRY_SIG_BYTES);
    return 0;
}

struct peer *peer_of(struct chord *c, const struct peal_id *id)
{
    for (size_t i = 0; i < c->peers_n; i++)
        if (c->peers[i].used && id_eq(&c->peers[i].contact.id, id))
            return &c->peers[i];
    return NULL;
}

const struct peer *peer_of_const(const struct chord *c, const struct peal_id *id)
{
    for (size_t i = 0; i < c->peers_n; i++)
        if (c->peers[i].used && id_eq(&c->peers[i].contact.id, id))
            return &c->peers[i];
    return NULL;
}

/* A free place, or that of the node heard longest ago which is neither a member nor linked. */
static struct peer *place_for(struct chord *c)
{
    struct peer *oldest = NULL;
    if (c->peers_n < CHORD_CONTACTS_MAX)
        return &c->peers[c->peers_n++];
    for (size_t i = 0; i < c->peers_n; i++) {
        struct peer *p = &c->peers[i];
        if (p->link != STEP_NO_LINK || roster_has(&c->roster, &p->contact.id))
            continue;
        if (oldest == NULL || p->heard_us < oldest->heard_us)
            oldest = p;
    }
    return oldest;
}

struct peer *contact_learn(struct chord *c, const struct wire_contact *w)
{
    if (is_self(c, &w->id))
        return NULL;
    struct peer *p = peer_of(c, &w->id);
    if (p != NULL && w->incarnation <= p->contact.incarnation)
        return p; /* what is known is as good, and was verified */
    struct contact k;
    int err = contact_take(&k, w);
    if (err < 0) {
        char id[9];
        step_trace(c->u, STEP_WARN, "refused", "contact of %s: %s", short_id(&w->id, id),
                   err_prose(err));
        return NULL;
    }
    bool moved = p == NULL || k.address_n != p->contact.address_n ||
                 memcmp(k.address, p->contact.address, k.address_n) != 0;
    if (p == NULL) {
        p = place_for(c);
        if (p == NULL)
            return NULL;
        memset(p, 0, sizeof *p);
        p->used = true;
    }
    p->contact = k;
    if (moved) {
        p->dial = (struct dial){.at_us = c->now};
        p->stranger = (struct peal_id){0};
        c->changed = true; /* clients are told where servers are */
        contacts_save(c);
    }
    CHECK(p->used && p->contact.address_n > 0);
    return p;
}

void contacts_save(struct chord *c)
{
    struct wire_contact v[CHORD_CONTACTS_MAX];
    struct wire_s_contacts s = {.contacts = {.v = v, .n = 0}};
    for (size_t i = 0; i < c->peers_n; i++)
        if (c->peers[i].used)
            v[s.contacts.n++] = contact_view(&c->peers[i].contact);
    size_t mark = c->scratch.used;
    size_t size = 0;
    int err = wire_encoded_size(WIRE_s_contacts, &s, &size);
    CHECK(err == 0);
    uint8_t *mem = arena_take(&c->scratch, size);
    CHECK(mem != NULL);
    struct wr w;
    wr_init(&w, mem, size);
    err = wire_encode(WIRE_s_contacts, &s, &w);
    CHECK(err == 0);
    step_write(c->u, STEP_META, STEP_PUT, peal_bytes_str(CONTACTS_KEY), peal_bytes_of(mem, w.n));
    c->scratch.used = mark;
}

void contacts_load(struct chord *c)
{
    size_t mark = c->scratch.used;
    struct peal_bytes v;
    int err = c->rd->get(c->rd->ctx, STEP_META, peal_bytes_str(CONTACTS_KEY), &c->scratch, &v);
    if (err == 0) {
        union wire_any m;
        uint16_t type = 0;
        err = wire_decode(v.p, v.n, &type, &m, sizeof m, &c->scratch);
        if (err == 0 && type != WIRE_s_contacts)
            err = PEAL_E_CORRUPT;
        for (size_t i = 0; err == 0 && i < m.s_contacts.contacts.n; i++)
            (void)contact_learn(c, &m.s_contacts.contacts.v[i]);
    }
    if (err < 0 && err != PEAL_E_NOT_FOUND)
        step_trace(c->u, STEP_WARN, "store", "the remembered contacts cannot be read: %s",
                   err_prose(err));
    c->scratch.used = mark;
}

/* Sends p what is known, in as many messages as it takes; except: not this one. */
void contacts_tell(struct chord *c, struct peer *p, const struct peal_id *except)
{
    struct wire_contact v[WIRE_ROSTER_MAX];
    struct wire_n_contacts m = {.contacts = {.v = v, .n = 0}};
    v[m.contacts.n++] = contact_view(&c->self);
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *q = &c->peers[i];
        if (!q->used || q == p || (except != NULL && id_eq(&q->contact.id, except)))
            continue;
        v[m.contacts.n++] = contact_view(&q->contact);
        if (m.contacts.n == WIRE_ROSTER_MAX) {
            (void)send_to(c, &p->contact.id, WIRE_n_contacts, &m);
            m.contacts.n = 0;
        }
    }
    if (m.contacts.n > 0)
        (void)send_to(c, &p->contact.id, WIRE_n_contacts, &m);
}

/* What is news here is passed on, once, to everyone linked. */
void on_contacts(struct chord *c, const struct source *src, const struct wire_n_contacts *m)
{
    struct wire_contact news[WIRE_ROSTER_MAX];
    struct wire_n_contacts on = {.contacts = {.v = news, .n = 0}};
    for (size_t i = 0; i < m->contacts.n; i++) {
        const struct wire_contact *w = &m->contacts.v[i];
        const struct peer *old = peer_of(c, &w->id);
        uint64_t before = old == NULL ? 0 : old->contact.incarnation;
        bool had = old != NULL;
        const struct peer *p = contact_learn(c, w);
        if (p != NULL && (!had || p->contact.incarnation > before))
            news[on.contacts.n++] = *w;
    }
    if (on.contacts.n == 0)
        return;
    for (size_t i = 0; i < c->peers_n; i++) {
        const struct peer *p = &c->peers[i];
        if (p->used && p->link != STEP_NO_LINK && !id_eq(&p->contact.id, &src->id))
            (void)send_to(c, &p->contact.id, WIRE_n_contacts, &on);
    }
}
