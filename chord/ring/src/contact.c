/* contact: form and signature of who is where. A contact is believed only with its node's own
 * signature. */
#include "inner.h"

#include <string.h>

size_t ring_contact_body(const struct wire_contact *w, uint8_t out[static RING_CONTACT_BODY_MAX])
{
    CHECK(w->addresses.n <= WIRE_ADDRESSES_BYTES);
    struct wr b;
    wr_init(&b, out, RING_CONTACT_BODY_MAX);
    wr_id(&b, &w->id);
    wr_u64(&b, w->incarnation);
    wr_var(&b, w->addresses);
    int err = wr_end(&b);
    CHECK(err == 0);
    return b.n;
}

/* ---- form ---- */

/* A port without leading zeros. */
static bool is_port(const uint8_t *p, size_t n)
{
    uint32_t port = 0;
    if (n == 0 || n > 5 || p[0] == '0')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(p[i] - '0');
    }
    return port <= UINT16_MAX;
}

/* HOST:PORT or [HOST]:PORT, of characters that may stand in a log line; what a host is, is the
 * dialler's to say. */
static bool is_address(struct peal_bytes a)
{
    size_t colon = a.n;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] <= ' ' || a.p[i] > '~' || a.p[i] == ',')
            return false;
        if (a.p[i] == ':')
            colon = i;
    }
    if (colon == 0 || colon == a.n || !is_port(a.p + colon + 1, a.n - colon - 1))
        return false;
    bool bracketed = a.p[0] == '[';
    if (bracketed)
        return colon > 2 && a.p[colon - 1] == ']';
    return memchr(a.p, ':', colon) == NULL;
}

static const char *addresses_wrong(struct peal_bytes list)
{
    size_t n = wire_address_count(list);
    if (n == 0)
        return "a contact without an address";
    if (n > WIRE_CONTACT_ADDRESSES_MAX)
        return "a contact with too many addresses";
    for (size_t i = 0; i < n; i++) {
        struct peal_bytes a = wire_address(list, i);
        if (!is_address(a))
            return "a contact with an address that is not HOST:PORT";
        if (wire_address_find(list, a) != i)
            return "a contact with the same address twice";
    }
    return NULL;
}

const char *ring_contact_wrong(const struct wire_contact *w)
{
    if (id_is_zero(&w->id))
        return "a contact without an id";
    if (w->key.n != CRY_PUB_BYTES || w->signature.n != CRY_SIG_BYTES)
        return "a contact without a key or a signature";
    return addresses_wrong(w->addresses);
}

int ring_contact_verify(void *ctx, const struct wire_contact *w)
{
    (void)ctx;
    if (ring_contact_wrong(w) != NULL)
        return PEAL_E_MALFORMED;
    struct peal_id id = cry_node_id(w->key.p);
    if (!id_eq(&id, &w->id))
        return PEAL_E_AUTH;
    uint8_t body[RING_CONTACT_BODY_MAX];
    size_t n = ring_contact_body(w, body);
    return cry_verify(w->key.p, RING_CONTACT_DOMAIN, peal_bytes_of(body, n), w->signature.p);
}

/* ---- as kept ---- */

struct wire_contact ring__contact_view(const struct contact *k)
{
    CHECK(k->address_n > 0 && k->address_n <= WIRE_ADDRESSES_BYTES);
    return (struct wire_contact){.id = k->id,
                                 .incarnation = k->incarnation,
                                 .addresses = ring__addresses(k),
                                 .key = peal_bytes_of(k->key, CRY_PUB_BYTES),
                                 .signature = peal_bytes_of(k->signature, CRY_SIG_BYTES)};
}

struct peal_bytes ring__addresses(const struct contact *k)
{
    return peal_bytes_of(k->addresses, k->address_n);
}

int ring__contact_take(struct ring *r, struct contact *out, const struct wire_contact *w)
{
    if (ring_contact_wrong(w) != NULL)
        return PEAL_E_MALFORMED;
    CHECK(r->cfg.verify != NULL);
    int err = r->cfg.verify(r->cfg.verify_ctx, w);
    if (err < 0)
        return err;
    memset(out, 0, sizeof *out);
    out->id = w->id;
    out->incarnation = w->incarnation;
    out->addresses = w->addresses.p;
    out->address_n = (uint16_t)w->addresses.n;
    memcpy(out->key, w->key.p, CRY_PUB_BYTES);
    memcpy(out->signature, w->signature.p, CRY_SIG_BYTES);
    return 0;
}

int ring__self_take(struct ring *r, const struct wire_contact *w)
{
    struct contact k;
    int err = ring__contact_take(r, &k, w);
    if (err < 0)
        return err;
    r->self = k;
    memcpy(r->self_addresses, k.addresses, k.address_n);
    r->self.addresses = r->self_addresses;
    return 0;
}
