/* contact: form and signature of who is where. A contact is believed only with its node's own
 * signature. */
#include "inner.h"

#include <string.h>

size_t ring_contact_body(const struct wire_contact *w, uint8_t out[static RING_CONTACT_BODY_MAX])
{
    CHECK(w->address.n <= WIRE_ADDRESS_MAX);
    struct wr b;
    wr_init(&b, out, RING_CONTACT_BODY_MAX);
    wr_id(&b, &w->id);
    wr_u64(&b, w->incarnation);
    wr_var(&b, w->address);
    int err = wr_end(&b);
    CHECK(err == 0);
    return b.n;
}

static bool has_form(const struct wire_contact *w)
{
    return w->key.n == CRY_PUB_BYTES && w->signature.n == CRY_SIG_BYTES && w->address.n > 0 &&
           w->address.n <= WIRE_ADDRESS_MAX && !id_is_zero(&w->id);
}

int ring_contact_verify(void *ctx, const struct wire_contact *w)
{
    (void)ctx;
    if (!has_form(w))
        return PEAL_E_MALFORMED;
    struct peal_id id = cry_node_id(w->key.p);
    if (!id_eq(&id, &w->id))
        return PEAL_E_AUTH;
    uint8_t body[RING_CONTACT_BODY_MAX];
    size_t n = ring_contact_body(w, body);
    return cry_verify(w->key.p, RING_CONTACT_DOMAIN, peal_bytes_of(body, n), w->signature.p);
}

struct wire_contact ring__contact_view(const struct contact *k)
{
    CHECK(k->address_n > 0 && k->address_n <= WIRE_ADDRESS_MAX);
    return (struct wire_contact){.id = k->id,
                                 .incarnation = k->incarnation,
                                 .address = peal_bytes_of(k->address, k->address_n),
                                 .key = peal_bytes_of(k->key, CRY_PUB_BYTES),
                                 .signature = peal_bytes_of(k->signature, CRY_SIG_BYTES)};
}

int ring__contact_take(struct ring *r, struct contact *out, const struct wire_contact *w)
{
    if (!has_form(w))
        return PEAL_E_MALFORMED;
    CHECK(r->cfg.verify != NULL);
    int err = r->cfg.verify(r->cfg.verify_ctx, w);
    if (err < 0)
        return err;
    memset(out, 0, sizeof *out);
    out->id = w->id;
    out->incarnation = w->incarnation;
    memcpy(out->address, w->address.p, w->address.n);
    out->address_n = (uint8_t)w->address.n;
    memcpy(out->key, w->key.p, CRY_PUB_BYTES);
    memcpy(out->signature, w->signature.p, CRY_SIG_BYTES);
    return 0;
}
