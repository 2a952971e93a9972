/* Lists of addresses as they are encoded: for each a byte that says how long it is, and its text.
 */
#include <peal/wire.h>

#include "wire_internal.h"

struct peal_bytes wire_address(struct peal_bytes list, size_t i)
{
    for (size_t at = 0; at < list.n; at += 1U + list.p[at], i--) {
        CHECK(list.p[at] > 0 && list.p[at] < list.n - at);
        if (i == 0)
            return peal_bytes_of(list.p + at + 1, list.p[at]);
    }
    return (struct peal_bytes){0};
}

size_t wire_address_count(struct peal_bytes list)
{
    size_t n = 0;
    while (wire_address(list, n).n > 0)
        n++;
    return n;
}

size_t wire_address_find(struct peal_bytes list, struct peal_bytes address)
{
    CHECK(address.n > 0);
    for (size_t i = 0; wire_address(list, i).n > 0; i++)
        if (peal_bytes_eq(wire_address(list, i), address))
            return i;
    return SIZE_MAX;
}

size_t wire_address_add(uint8_t out[static WIRE_ADDRESSES_BYTES], size_t n,
                        struct peal_bytes address)
{
    CHECK(address.n > 0 && address.n <= WIRE_ADDRESS_MAX);
    CHECK(wire_address_count(peal_bytes_of(out, n)) < WIRE_CONTACT_ADDRESSES_MAX);
    out[n] = (uint8_t)address.n;
    memcpy(out + n + 1, address.p, address.n);
    return n + 1 + address.n;
}

int wire_addresses_check(struct peal_bytes list, uint32_t max)
{
    uint32_t count = 0;
    for (size_t at = 0; at < list.n; at += 1U + list.p[at]) {
        size_t n = list.p[at];
        if (++count > max || n > WIRE_ADDRESS_MAX)
            return PEAL_E_TOO_LONG;
        if (n == 0 || n >= list.n - at || !peal_utf8_valid(peal_bytes_of(list.p + at + 1, n)))
            return PEAL_E_MALFORMED;
    }
    return 0;
}
