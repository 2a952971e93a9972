/* Carrying out updates, in the order that peal/step.h lays down. */
#include "host_internal.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* ---- worker threads ---- */

struct host_work {
    uv_work_t uv;
    struct host *host;
    enum step_work kind;
    uint64_t token;
    unsigned cost;
    struct peal_secret auth;
    char text[CRY_BCRYPT_SIZE];
    int err;
};

static void work_run(uv_work_t *uv)
{
    struct host_work *w = uv->data;
    switch (w->kind) {
    case STEP_WORK_HASH:
        w->err = cry_bcrypt_hash(&w->auth, w->cost, w->text);
        break;
    case STEP_WORK_VERIFY:
        w->err = cry_bcrypt_verify(&w->auth, w->text);
        break;
    }
}

static void work_done(uv_work_t *uv, int status)
{
    struct host_work *w = uv->data;
    struct host *h = w->host;
    struct step_event ev = {
        .kind = STEP_WORKED, .token = w->token, .err = status == 0 ? w->err : PEAL_E_BUSY};
    if (w->kind == STEP_WORK_HASH && ev.err == 0)
        ev.bytes = peal_bytes_str(w->text);
    CHECK(h->works > 0);
    h->works--;
    host_step(h, &ev);
    cry_wipe(w, sizeof *w);
    free(w);
}

static void work_start(struct host *h, const struct step_effect *e)
{
    struct host_work *w = calloc(1, sizeof *w);
    CHECK(w != NULL && e->bytes.n >= SECRET_BYTES && e->bytes.n < SECRET_BYTES + CRY_BCRYPT_SIZE);
    w->uv.data = w;
    w->host = h;
    w->kind = e->work;
    w->token = e->token;
    w->cost = h->cfg.bcrypt_cost;
    memcpy(w->auth.b, e->bytes.p, SECRET_BYTES);
    memcpy(w->text, e->bytes.p + SECRET_BYTES, e->bytes.n - SECRET_BYTES);
    int r = uv_queue_work(net_loop_uv(h->loop), &w->uv, work_run, work_done);
    CHECK(r == 0);
    h->works++;
}

/* ---- single effects ---- */

static void self_queue(struct host *h, struct peal_bytes message)
{
    struct host_self *s = malloc(sizeof *s + message.n);
    CHECK(s != NULL);
    s->next = NULL;
    s->n = message.n;
    memcpy(s->bytes, message.p, message.n);
    *h->self_end = s;
    h->self_end = &s->next;
}

static void send_out(struct host *h, const struct step_effect *e)
{
    if (e->link == STEP_SELF) {
        self_queue(h, e->bytes);
        return;
    }
    struct host_link *l = slab_get(&h->links, e->link);
    if (l != NULL && l->net != NULL && !l->ended)
        host_send(h, l, e->bytes);
}

static void close_out(struct host *h, const struct step_effect *e)
{
    struct host_link *l = slab_get(&h->links, e->link);
    if (l == NULL || l->net == NULL || l->ended)
        return;
    char reason[NET_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%.*s", (int)e->bytes.n, (const char *)e->bytes.p);
    log_line(e->err == 0 || e->err == PEAL_E_CLOSED ? STEP_DEBUG : STEP_INFO, "link",
             "closing %s: %s", l->address, reason);
    l->ended = true;
    net_link_close(l->net, reason);
}

static void trace_out(const struct step_effect *e)
{
    log_line(e->level, e->name, "%.*s", (int)e->bytes.n, (const char *)e->bytes.p);
}

static void carry_out(struct host *h, const struct step_effect *e)
{
    switch (e->kind) {
    case STEP_WRITE:
        break; /* submitted with the whole update */
    case STEP_SEND:
        send_out(h, e);
        break;
    case STEP_CLOSE:
        close_out(h, e);
        break;
    case STEP_DIAL:
        host_dial(h, e->bytes);
        break;
    case STEP_WORK:
        work_start(h, e);
        break;
    case STEP_SAY_BEACON:
        announce_beacon(h, e->bytes);
        break;
    case STEP_TRACE:
        trace_out(e);
        break;
    }
}

/* Effects that need not wait for the update's writes: traces say what happens, eager sends promise
 * nothing. */
static bool at_once(const struct step_effect *e)
{
    return e->kind == STEP_TRACE || (e->kind == STEP_SEND && e->eager);
}

/* ---- updates ---- */

static enum store_op store_op_of(enum step_op op)
{
    switch (op) {
    case STEP_PUT:
        return STORE_PUT;
    case STEP_PUT_IF_ABSENT:
        return STORE_PUT_IF_ABSENT;
    case STEP_DEL:
        return STORE_DEL;
    }
    CHECK(false);
    return STORE_PUT;
}

static enum store_space store_space_of(enum step_space space)
{
    switch (space) {
    case STEP_META:
        return STORE_META;
    case STEP_REGISTERS:
        return STORE_REGISTERS;
    case STEP_ROWS:
        return STORE_ROWS;
    }
    CHECK(false);
    return STORE_META;
}

/* Submits the update's writes. *ticket is 0 when there are none. */
static int submit(struct host *h, uint64_t *ticket)
{
    struct store_write w[STORE_UNIT_MAX];
    size_t n = 0;
    for (size_t i = 0; i < h->update.n; i++) {
        const struct step_effect *e = &h->update.effects[i];
        if (e->kind != STEP_WRITE)
            continue;
        CHECK(n < STORE_UNIT_MAX);
        w[n++] = (struct store_write){.space = store_space_of(e->space),
                                      .op = store_op_of(e->op),
                                      .key = e->key,
                                      .value = e->bytes,
                                      .lazy = e->lazy,
                                      .fresh = e->fresh};
    }
    *ticket = 0;
    return n == 0 ? 0 : store_submit(h->store, w, n, ticket);
}

/* Copies what has to wait for `ticket`. */
static void hold(struct host *h, uint64_t ticket)
{
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < h->update.n; i++) {
        const struct step_effect *e = &h->update.effects[i];
        if (e->kind != STEP_WRITE && !at_once(e)) {
            n++;
            bytes += e->bytes.n;
        }
    }
    if (n == 0)
        return;
    struct host_held *b = malloc(sizeof *b + n * sizeof b->effects[0] + bytes);
    CHECK(b != NULL);
    b->next = NULL;
    b->ticket = ticket;
    b->n = n;
    uint8_t *at = (uint8_t *)&b->effects[n];
    n = 0;
    for (size_t i = 0; i < h->update.n; i++) {
        const struct step_effect *e = &h->update.effects[i];
        if (e->kind == STEP_WRITE || at_once(e))
            continue;
        b->effects[n] = *e;
        b->effects[n].bytes.p = at;
        if (e->bytes.n > 0)
            memcpy(at, e->bytes.p, e->bytes.n);
        at += e->bytes.n;
        n++;
    }
    *h->held_end = b;
    h->held_end = &b->next;
}

/* Of an update whose writes were refused: what promises nothing is still done. What was to be said
 * on the strength of the writes is not said: to the others that is a lost message, and is retried.
 */
static void apply_refused(struct host *h)
{
    /* That the disk fails is said once, and not at every write. */
    bool said = store_health(h->store) != 0;
    log_line(said ? STEP_DEBUG : STEP_WARN, "store", "a write was refused: %s",
             store_error_text(h->store));
    for (size_t i = 0; i < h->update.n; i++) {
        const struct step_effect *e = &h->update.effects[i];
        if (e->kind != STEP_SEND || e->eager)
            carry_out(h, e);
    }
}

int effects_apply(struct host *h)
{
    uint64_t ticket = 0;
    int err = submit(h, &ticket);
    if (err != 0) {
        apply_refused(h);
        return err;
    }
    for (size_t i = 0; i < h->update.n; i++) {
        if (at_once(&h->update.effects[i]))
            carry_out(h, &h->update.effects[i]);
    }
    /* Also behind older ones that wait, though this one's writes may be durable already: updates
     * with writes complete in their order. */
    if (ticket != 0 && (h->held != NULL || ticket > store_durable(h->store))) {
        hold(h, ticket);
        return 0;
    }
    for (size_t i = 0; i < h->update.n; i++) {
        if (!at_once(&h->update.effects[i]))
            carry_out(h, &h->update.effects[i]);
    }
    return 0;
}

void effects_release(struct host *h)
{
    uint64_t durable = store_durable(h->store);
    while (h->held != NULL && h->held->ticket <= durable) {
        struct host_held *b = h->held;
        h->held = b->next;
        if (h->held == NULL)
            h->held_end = &h->held;
        for (size_t i = 0; i < b->n; i++)
            carry_out(h, &b->effects[i]);
        free(b);
    }
}

void effects_drop(struct host *h)
{
    while (h->held != NULL) {
        struct host_held *b = h->held;
        h->held = b->next;
        free(b);
    }
    h->held_end = &h->held;
    while (h->self != NULL) {
        struct host_self *s = h->self;
        h->self = s->next;
        free(s);
    }
    h->self_end = &h->self;
    while (h->undialled != NULL) {
        struct host_undialled *u = h->undialled;
        h->undialled = u->next;
        free(u);
    }
    h->undialled_end = &h->undialled;
}
