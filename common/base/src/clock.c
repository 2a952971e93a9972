/* Hybrid logical clock. The counter carries over into the milliseconds when more than 2^16 stamps
 * are made within one, which keeps them increasing. */
#include <peal/base.h>

enum { COUNTER_BITS = 16, MS_BITS = 48 };

uint64_t clk_now(struct clk_hlc *c, uint64_t wall_ms)
{
    CHECK(wall_ms >> MS_BITS == 0);
    CHECK(c->last < UINT64_MAX);
    uint64_t wall = wall_ms << COUNTER_BITS;
    c->last = wall > c->last ? wall : c->last + 1;
    return c->last;
}

int clk_seen(struct clk_hlc *c, uint64_t stamp, uint64_t wall_ms)
{
    CHECK(wall_ms >> MS_BITS == 0);
    uint64_t ms = clk_ms(stamp);
    if (ms > wall_ms && ms - wall_ms > CLK_MAX_AHEAD_MS)
        return PEAL_E_MALFORMED;
    if (stamp > c->last)
        c->last = stamp;
    return 0;
}

uint64_t clk_ms(uint64_t stamp)
{
    return stamp >> COUNTER_BITS;
}
