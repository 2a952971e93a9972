/* Arithmetic on the ring of identifiers. */
#include <peal/base.h>

#include <string.h>

int id_cmp(const struct peal_id *a, const struct peal_id *b)
{
    return memcmp(a->b, b->b, ID_BYTES);
}

bool id_eq(const struct peal_id *a, const struct peal_id *b)
{
    return memcmp(a->b, b->b, ID_BYTES) == 0;
}

bool id_is_zero(const struct peal_id *a)
{
    static const struct peal_id zero;
    return id_eq(a, &zero);
}

bool id_between(const struct peal_id *a, const struct peal_id *x, const struct peal_id *b)
{
    bool after_a = id_cmp(a, x) < 0;
    bool before_b = id_cmp(x, b) < 0;
    return id_cmp(a, b) < 0 ? after_a && before_b : after_a || before_b;
}

bool id_in_arc(const struct peal_id *a, const struct peal_id *x, const struct peal_id *b)
{
    return id_eq(x, b) || id_between(a, x, b);
}

struct peal_id id_add_pow2(const struct peal_id *a, unsigned bit)
{
    CHECK(bit < ID_BITS);
    struct peal_id r = *a;
    unsigned carry = 1U << (bit % 8);
    for (int i = ID_BYTES - 1 - (int)(bit / 8); i >= 0 && carry != 0; i--) {
        unsigned sum = r.b[i] + carry;
        r.b[i] = (uint8_t)sum;
        carry = sum >> 8;
    }
    return r;
}

struct peal_id id_distance(const struct peal_id *a, const struct peal_id *b)
{
    struct peal_id r;
    int borrow = 0;
    for (int i = ID_BYTES - 1; i >= 0; i--) {
        int d = b->b[i] - a->b[i] - borrow;
        borrow = d < 0;
        r.b[i] = (uint8_t)(d + (borrow ? 256 : 0));
    }
    return r;
}

struct peal_id id_from_bytes(const uint8_t b[static ID_BYTES])
{
    struct peal_id r;
    memcpy(r.b, b, ID_BYTES);
    return r;
}

void id_hex(const struct peal_id *a, char out[static ID_HEX])
{
    peal_hex(a->b, ID_BYTES, out);
}

int id_unhex(const char *s, struct peal_id *out)
{
    return peal_unhex(s, ID_BYTES, out->b);
}

bool msg_id_eq(const struct peal_msg_id *a, const struct peal_msg_id *b)
{
    return memcmp(a->b, b->b, MSG_ID_BYTES) == 0;
}

int msg_id_cmp(const struct peal_msg_id *a, const struct peal_msg_id *b)
{
    return memcmp(a->b, b->b, MSG_ID_BYTES);
}
