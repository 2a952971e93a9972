/* What the codecs share: generic access to a field of a struct by its descriptor. */
#ifndef PEAL_WIRE_INTERNAL_H
#define PEAL_WIRE_INTERNAL_H

#include <peal/wire.h>

#include <string.h>

/* A list of any kind as the walker sees it. */
struct wire_span {
    void *v;
    size_t n;
};

/* All lists are laid out alike, so that a span can be copied in and out of each. */
#define WIRE_SAME_LAYOUT(list)                                                                     \
    _Static_assert(sizeof(struct list) == sizeof(struct wire_span) &&                              \
                       offsetof(struct list, v) == offsetof(struct wire_span, v) &&                \
                       offsetof(struct list, n) == offsetof(struct wire_span, n),                  \
                   "lists are laid out alike");
WIRE_SAME_LAYOUT(wire_ids)
WIRE_SAME_LAYOUT(wire_msgids)
#define WIRE_SAME_LAYOUT_OF(name) WIRE_SAME_LAYOUT(wire_##name##_list)
WIRE_STRUCTS(WIRE_SAME_LAYOUT_OF)

/* 0, or what is wrong with the form of a list of addresses of which max are allowed. */
int wire_addresses_check(struct peal_bytes list, uint32_t max);

static inline struct wire_span wire_get_span(const void *member)
{
    struct wire_span s;
    memcpy(&s, member, sizeof s);
    return s;
}

static inline void wire_set_span(void *member, struct wire_span s)
{
    memcpy(member, &s, sizeof s);
}

#endif
