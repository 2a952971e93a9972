/* Any bytes: refused, or a message that encodes to the same bytes and survives JSON. */
#include <peal/wire.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUF = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(16) uint8_t lists[WIRE_ARENA_MAX], heap[BUF];
    static uint8_t out[BUF], json[BUF];
    union wire_any msg, again;
    struct arena a;
    struct wr w, j;
    uint16_t type = 0, type2 = 0;
    arena_init(&a, lists, sizeof lists);
    int err = wire_decode(data, size, &type, &msg, sizeof msg, &a);
    if (err == PEAL_E_FULL)
        abort(); /* WIRE_ARENA_MAX is enough for every message */
    if (err != 0)
        return 0;
    wr_init(&w, out, sizeof out);
    if (wire_encode(type, &msg, &w) != 0 || w.n != size || memcmp(out, data, size) != 0)
        abort();
    wr_init(&j, json, sizeof json);
    if (wire_to_json(type, &msg, &j) != 0)
        abort();
    arena_init(&a, heap, sizeof heap);
    err = wire_from_json((const char *)json, j.n, &type2, &again, sizeof again, &a, NULL);
    if (err == PEAL_E_TOO_LONG && j.n > WIRE_JSON_MAX)
        return 0;
    if (err != 0 || type2 != type)
        abort();
    wr_init(&w, out, sizeof out);
    if (wire_encode(type2, &again, &w) != 0 || w.n != size || memcmp(out, data, size) != 0)
        abort();
    return 0;
}
