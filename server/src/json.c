/* The JSON encoding of the client protocol, turned into the binary one at the edge, so that the
 * core knows one form only. */
#include "host_internal.h"

#include <stdlib.h>

enum {
    JSON_SCRATCH = 6 << 20, /* the decoded message, its lists and strings, and its binary form */
    JSON_OUT_MAX = 2 * NET_FRAME_MAX,
};

int json_init(struct host *h)
{
    h->json_mem = malloc(JSON_SCRATCH);
    h->json_out = malloc(JSON_OUT_MAX);
    if (h->json_mem == NULL || h->json_out == NULL)
        return PEAL_E_NO_MEMORY;
    arena_init(&h->json, h->json_mem, JSON_SCRATCH);
    return 0;
}

void json_fini(struct host *h)
{
    free(h->json_mem);
    free(h->json_out);
}

int json_to_binary(struct host *h, struct peal_bytes text, struct peal_bytes *out,
                   char why[static WIRE_WHY_MAX])
{
    union wire_any msg;
    uint16_t type = 0;
    arena_reset(&h->json);
    int err = wire_from_json((const char *)text.p, text.n, &type, &msg, sizeof msg, &h->json, why);
    if (err != 0)
        return err;
    uint8_t *p = arena_take(&h->json, NET_FRAME_MAX);
    CHECK(p != NULL);
    struct wr w;
    wr_init(&w, p, NET_FRAME_MAX);
    err = wire_encode(type, &msg, &w);
    *out = peal_bytes_of(p, w.n);
    return err;
}

int json_from_binary(struct host *h, struct peal_bytes message, struct peal_bytes *out)
{
    union wire_any msg;
    uint16_t type = 0;
    arena_reset(&h->json);
    int err = wire_decode(message.p, message.n, &type, &msg, sizeof msg, &h->json);
    CHECK(err == 0); /* the core made it */
    struct wr w;
    wr_init(&w, h->json_out, JSON_OUT_MAX);
    err = wire_to_json(type, &msg, &w);
    *out = peal_bytes_of(h->json_out, w.n);
    return err;
}
