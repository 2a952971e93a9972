/* A node's store for tests of the service. See disk.h. */
#include "disk.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void *grow(void *p, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return p;
    *cap = *cap * 2 > need ? *cap * 2 : need + 16;
    p = realloc(p, *cap * size);
    cr_assert_not_null(p, "memory");
    return p;
}

struct blob blob_of(struct peal_bytes b)
{
    struct blob x = {.p = malloc(b.n + 1), .n = b.n};
    cr_assert_not_null(x.p, "memory");
    if (b.n > 0)
        memcpy(x.p, b.p, b.n);
    return x;
}

struct peal_bytes view(const struct blob *b)
{
    return peal_bytes_of(b->p, b->n);
}

static int key_cmp(enum step_space sa, struct peal_bytes a, enum step_space sb, struct peal_bytes b)
{
    if (sa != sb)
        return sa < sb ? -1 : 1;
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static size_t lower_bound(const struct disk *d, enum step_space space, struct peal_bytes key)
{
    size_t lo = 0, hi = d->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (key_cmp(d->v[mid].space, view(&d->v[mid].key), space, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct record *disk_find(const struct disk *d, enum step_space space, struct peal_bytes key)
{
    size_t i = lower_bound(d, space, key);
    bool there = i < d->n && key_cmp(d->v[i].space, view(&d->v[i].key), space, key) == 0;
    return there ? &d->v[i] : NULL;
}

static void disk_put(struct disk *d, enum step_space space, struct peal_bytes key,
                     struct peal_bytes value)
{
    struct record *r = disk_find(d, space, key);
    if (r != NULL) {
        struct blob old = r->value;
        r->value = blob_of(value);
        free(old.p);
        return;
    }
    size_t i = lower_bound(d, space, key);
    d->v = grow(d->v, &d->cap, d->n + 1, sizeof *d->v);
    memmove(d->v + i + 1, d->v + i, (d->n - i) * sizeof *d->v);
    d->v[i] = (struct record){.space = space, .key = blob_of(key), .value = blob_of(value)};
    d->n++;
}

static void disk_del(struct disk *d, enum step_space space, struct peal_bytes key)
{
    struct record *r = disk_find(d, space, key);
    if (r == NULL)
        return;
    size_t i = (size_t)(r - d->v);
    free(r->key.p);
    free(r->value.p);
    d->n--;
    memmove(d->v + i, d->v + i + 1, (d->n - i) * sizeof *d->v);
}

void disk_write(struct disk *d, const struct step_effect *e, uint64_t ticket)
{
    struct record *r = disk_find(d, e->space, e->key);
    if (e->op == STEP_PUT_IF_ABSENT && r != NULL)
        return;
    d->undo = grow(d->undo, &d->undo_cap, d->undo_n + 1, sizeof *d->undo);
    struct undo *u = &d->undo[d->undo_n++];
    *u = (struct undo){
        .ticket = ticket, .space = e->space, .key = blob_of(e->key), .had = r != NULL};
    if (r != NULL)
        u->value = blob_of(view(&r->value));
    if (e->op == STEP_DEL)
        disk_del(d, e->space, e->key);
    else
        disk_put(d, e->space, e->key, e->bytes);
}

void disk_commit(struct disk *d, uint64_t ticket)
{
    size_t keep = 0;
    for (size_t i = 0; i < d->undo_n; i++) {
        if (d->undo[i].ticket > ticket) {
            d->undo[keep++] = d->undo[i];
            continue;
        }
        free(d->undo[i].key.p);
        free(d->undo[i].value.p);
    }
    d->undo_n = keep;
}

void disk_crash(struct disk *d)
{
    while (d->undo_n > 0) {
        struct undo *u = &d->undo[--d->undo_n];
        if (u->had)
            disk_put(d, u->space, view(&u->key), view(&u->value));
        else
            disk_del(d, u->space, view(&u->key));
        free(u->key.p);
        free(u->value.p);
    }
}

void disk_free(struct disk *d)
{
    disk_commit(d, UINT64_MAX);
    for (size_t i = 0; i < d->n; i++) {
        free(d->v[i].key.p);
        free(d->v[i].value.p);
    }
    free(d->v);
    free(d->undo);
}

int disk_get(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
             struct peal_bytes *value)
{
    struct disk *d = ctx;
    const struct record *r = disk_find(d, space, key);
    d->row_reads += space == STEP_ROWS;
    if (r == NULL)
        return PEAL_E_NOT_FOUND;
    *value = arena_copy(a, view(&r->value));
    return value->p != NULL ? 0 : PEAL_E_NO_MEMORY;
}

int disk_scan(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
              size_t limit, step_scan_fn *fn, void *fn_ctx)
{
    struct disk *d = ctx;
    size_t n = 0;
    for (size_t i = lower_bound(d, space, from); i < d->n && n < limit; i++, n++) {
        const struct record *r = &d->v[i];
        if (r->space != space || (to.n > 0 && key_cmp(space, view(&r->key), space, to) >= 0))
            break;
        d->row_reads += space == STEP_ROWS;
        if (!fn(fn_ctx, view(&r->key), view(&r->value)))
            break;
    }
    return 0;
}

/* The account as earlier builds stored it, encoded in out; its size. */
static size_t older(const struct wire_s_account *a, unsigned form,
                    uint8_t out[static WIRE_REGISTER_MAX])
{
    struct wire_s_account_1 one = {.version = a->version,
                                   .name = a->name,
                                   .display = a->display,
                                   .created = a->created,
                                   .cred_epoch = a->cred_epoch,
                                   .generation = a->generation,
                                   .token = a->token,
                                   .request = a->request,
                                   .logins = a->logins,
                                   .bcrypt = a->bcrypt,
                                   .salt = a->salt,
                                   .ops = a->ops,
                                   .mem_kib = a->mem_kib,
                                   .bundle = a->bundle,
                                   .wrapped = a->wrapped};
    struct wire_s_account_0 none = {.version = a->version,
                                    .name = a->name,
                                    .display = a->display,
                                    .created = a->created,
                                    .cred_epoch = a->cred_epoch,
                                    .generation = a->generation,
                                    .token = a->token,
                                    .request = a->request,
                                    .bcrypt = a->bcrypt,
                                    .salt = a->salt,
                                    .ops = a->ops,
                                    .mem_kib = a->mem_kib,
                                    .bundle = a->bundle,
                                    .wrapped = a->wrapped};
    struct wr w;
    wr_init(&w, out, WIRE_REGISTER_MAX);
    int err = form == 1 ? wire_encode(WIRE_s_account_1, &one, &w)
                        : wire_encode(WIRE_s_account_0, &none, &w);
    CHECK(err == 0);
    return w.n;
}

/* An encoded s_register whose account is of that form, in out; its size, 0 when it holds none. */
static size_t aged(const struct blob *value, unsigned form,
                   uint8_t out[static WIRE_REGISTER_MAX + 256])
{
    static uint8_t account[WIRE_REGISTER_MAX];
    union wire_any m, v;
    struct arena none;
    uint16_t type = 0;
    struct wr w;
    arena_init(&none, NULL, 0);
    if (wire_decode(value->p, value->n, &type, &m, sizeof m, &none) != 0 ||
        type != WIRE_s_register || m.s_register.value.n == 0)
        return 0;
    struct wire_s_register *r = &m.s_register;
    if (wire_decode(r->value.p, r->value.n, &type, &v, sizeof v, &none) != 0 ||
        type != WIRE_s_account)
        return 0;
    r->value = peal_bytes_of(account, older(&v.s_account, form, account));
    wr_init(&w, out, WIRE_REGISTER_MAX + 256);
    int err = wire_encode(WIRE_s_register, r, &w);
    CHECK(err == 0);
    return w.n;
}

size_t disk_age_accounts(struct disk *d, unsigned form)
{
    static uint8_t out[WIRE_REGISTER_MAX + 256];
    size_t done = 0;
    for (size_t i = 0; i < d->n; i++) {
        struct record *r = &d->v[i];
        size_t n = r->space == STEP_REGISTERS ? aged(&r->value, form, out) : 0;
        if (n == 0)
            continue;
        free(r->value.p);
        r->value = blob_of(peal_bytes_of(out, n));
        done++;
    }
    return done;
}
