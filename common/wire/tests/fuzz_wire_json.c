/* Any text: refused with an explanation, or a message that both codecs carry unchanged. */
#include <peal/wire.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUF = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(16) uint8_t heap[BUF], lists[WIRE_ARENA_MAX];
    static uint8_t bin[BUF], json[BUF], json2[BUF];
    char why[WIRE_WHY_MAX] = "";
    union wire_any msg, again;
    struct arena a;
    struct wr w, j, j2;
    uint16_t type = 0, type2 = 0;
    arena_init(&a, heap, sizeof heap);
    int err = wire_from_json((const char *)data, size, &type, &msg, sizeof msg, &a, why);
    if (err == PEAL_E_FULL || (err != 0 && why[0] == '\0'))
        abort();
    if (err != 0)
        return 0;
    wr_init(&j, json, sizeof json);
    wr_init(&w, bin, sizeof bin);
    if (wire_to_json(type, &msg, &j) != 0 || wire_encode(type, &msg, &w) != 0)
        abort();
    arena_init(&a, lists, sizeof lists);
    if (wire_decode(bin, w.n, &type2, &again, sizeof again, &a) != 0 || type2 != type)
        abort();
    wr_init(&j2, json2, sizeof json2);
    if (wire_to_json(type2, &again, &j2) != 0 || j.n != j2.n || memcmp(json, json2, j.n) != 0)
        abort();
    return 0;
}
