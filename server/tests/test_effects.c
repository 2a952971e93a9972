/* The host's law of peal/step.h: writes durable, then sends, in order; what promises nothing at
 * once; nothing said on the strength of a write that was refused. On the memory store, which makes
 * durable only what the test tells it to. */
#include "host_internal.h"
#include "log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host h;

static void setup(void)
{
    struct store_config sc = store_config_default();
    memset(&h, 0, sizeof h);
    h.held_end = &h.held;
    h.self_end = &h.self;
    h.undialled_end = &h.undialled;
    h.update_mem = aligned_alloc(64, (step_update_size() + 63) / 64 * 64);
    cr_assert_not_null(h.update_mem, "memory");
    step_update_init(&h.update, h.update_mem);
    cr_assert_eq(store_open_memory(&sc, &h.store), 0, "a store");
    log_level_set(STEP_WARN);
}

static void teardown(void)
{
    effects_drop(&h);
    int err = store_close(h.store);
    (void)err; /* one test leaves it full */
    free(h.update_mem);
}

TestSuite(effects, .init = setup, .fini = teardown);

static void add_write(uint8_t key)
{
    step_write(&h.update, STEP_ROWS, STEP_PUT, peal_bytes_of(&key, 1), peal_bytes_str("value"));
}

/* A message to this node itself that can be told by its number. */
static void add_send(uint64_t nonce, bool eager)
{
    struct wire_c_ping m = {.nonce = nonce};
    if (eager)
        step_send_eager(&h.update, STEP_SELF, WIRE_c_ping, &m);
    else
        step_send(&h.update, STEP_SELF, WIRE_c_ping, &m);
}

static int apply(void)
{
    int err = effects_apply(&h);
    step_update_reset(&h.update);
    return err;
}

static void durable(void)
{
    cr_assert_eq(store_memory_commit(h.store), 0, "the disk takes it");
    effects_release(&h);
}

/* The numbers that went out since the last call, as text: "1 2 ". */
static const char *out(void)
{
    static char text[256];
    text[0] = '\0';
    while (h.self != NULL) {
        struct host_self *s = h.self;
        struct wire_c_ping m;
        struct arena none;
        uint16_t type = 0;
        arena_init(&none, NULL, 0);
        cr_assert_eq(wire_decode(s->bytes, s->n, &type, &m, sizeof m, &none), 0, "a ping");
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d ", (int)m.nonce);
        h.self = s->next;
        free(s);
    }
    h.self_end = &h.self;
    return text;
}

Test(effects, what_depends_on_a_write_waits_for_it)
{
    add_send(1, false);
    add_write('a');
    add_send(2, true);
    add_send(3, false);
    cr_assert_eq(apply(), 0, "its writes are taken");
    cr_assert_str_eq(out(), "2 ", "only what promises nothing");
    effects_release(&h);
    cr_assert_str_eq(out(), "", "not before it is durable");
    durable();
    cr_assert_str_eq(out(), "1 3 ", "then all of it, in order");
}

Test(effects, an_update_without_writes_is_not_held)
{
    add_write('a');
    add_send(1, false);
    cr_assert_eq(apply(), 0, "its writes are taken");
    add_send(2, false);
    cr_assert_eq(apply(), 0, "its writes are taken");
    cr_assert_str_eq(out(), "2 ", "it waits for nobody");
    durable();
    cr_assert_str_eq(out(), "1 ", "the other for its write");
}

Test(effects, updates_with_writes_complete_in_their_order)
{
    add_write('a');
    add_send(1, false);
    cr_assert_eq(apply(), 0, "its writes are taken");
    store_memory_auto(h.store, true); /* from now on the disk is faster than the host */
    add_write('b');
    add_send(2, false);
    cr_assert_eq(apply(), 0, "its writes are taken");
    cr_assert_str_eq(out(), "", "the second does not overtake the first");
    effects_release(&h);
    cr_assert_str_eq(out(), "1 2 ", "both, in order");
}

Test(effects, nothing_is_said_on_the_strength_of_a_refused_write)
{
    store_memory_fill(h.store, true);
    add_write('a');
    cr_assert_eq(apply(), 0, "its writes are taken");
    cr_assert_eq(store_memory_commit(h.store), PEAL_E_NO_SPACE, "the disk is full");
    add_write('b');
    add_send(1, false);
    add_send(2, true);
    cr_assert_eq(apply(), PEAL_E_NO_SPACE, "it is refused");
    cr_assert_str_eq(out(), "2 ", "only what promises nothing");
    store_memory_fill(h.store, false);
    durable();
    cr_assert_str_eq(out(), "", "and nothing later either: to the others it is a lost message");
}
