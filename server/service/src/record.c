/* The record of an account: the value of its register, in its present form and in those of earlier
 * builds, which are read and are written anew when they next change.
 *
 * Not for: who may change it and how (account.c, credentials.c). */
#include "inner.h"

#include <stdio.h>
#include <string.h>

static void take_1(const struct wire_s_account_1 *o, struct wire_s_account *a)
{
    *a = (struct wire_s_account){.version = o->version,
                                 .name = o->name,
                                 .display = o->display,
                                 .created = o->created,
                                 .cred_epoch = o->cred_epoch,
                                 .generation = o->generation,
                                 .token = o->token,
                                 .request = o->request,
                                 .logins = o->logins,
                                 .bcrypt = o->bcrypt,
                                 .salt = o->salt,
                                 .ops = o->ops,
                                 .mem_kib = o->mem_kib,
                                 .bundle = o->bundle,
                                 .wrapped = o->wrapped,
                                 .receipts = true};
}

/* Of logins it knew the last one, in the place of the registration. */
static void take_0(const struct wire_s_account_0 *o, struct wire_s_account *a)
{
    *a = (struct wire_s_account){.version = o->version,
                                 .name = o->name,
                                 .display = o->display,
                                 .created = o->created,
                                 .cred_epoch = o->cred_epoch,
                                 .generation = o->generation,
                                 .token = o->token,
                                 .request = o->request,
                                 .bcrypt = o->bcrypt,
                                 .salt = o->salt,
                                 .ops = o->ops,
                                 .mem_kib = o->mem_kib,
                                 .bundle = o->bundle,
                                 .wrapped = o->wrapped,
                                 .receipts = true};
}

int record_read(struct peal_bytes value, struct wire_s_account *a)
{
    union wire_any m;
    struct arena none;
    uint16_t type = 0;
    arena_init(&none, NULL, 0);
    if (wire_decode(value.p, value.n, &type, &m, sizeof m, &none) != 0)
        return PEAL_E_CORRUPT;
    if (type == WIRE_s_account)
        *a = m.s_account;
    else if (type == WIRE_s_account_1)
        take_1(&m.s_account_1, a);
    else if (type == WIRE_s_account_0)
        take_0(&m.s_account_0, a);
    else
        return PEAL_E_CORRUPT;
    if (a->version != 1 || a->bcrypt.n >= CRY_BCRYPT_SIZE || a->logins.n % MSG_ID_BYTES != 0)
        return PEAL_E_CORRUPT;
    return 0;
}

int record_write(struct svc *s, const struct wire_s_account *a, struct peal_bytes *value)
{
    struct wr w;
    wr_init(&w, s->scratch, sizeof s->scratch);
    int err = wire_encode(WIRE_s_account, a, &w);
    *value = peal_bytes_of(s->scratch, w.n);
    return err != 0 ? err : 1;
}

bool record_same(struct peal_bytes kept, struct peal_bytes other,
                 char name[static CHORD_LABEL_MAX + 1])
{
    _Static_assert(sizeof "the account " + WIRE_NAME_MAX <= CHORD_LABEL_MAX + 1, "a label's size");
    struct wire_s_account a, b;
    if (record_read(other, &b) < 0)
        return false;
    (void)snprintf(name, CHORD_LABEL_MAX + 1, "the account %.*s", (int)b.name.n,
                   (const char *)b.name.p);
    return record_read(kept, &a) == 0 && a.created == b.created && peal_bytes_eq(a.name, b.name);
}

bool record_is_free(const struct wire_s_account *a, uint64_t wall_ms)
{
    CHECK(a->deleted != 0);
    return wall_ms > a->deleted && wall_ms - a->deleted >= NAME_KEPT_DAYS * DAY_MS;
}

bool record_has_done(const struct wire_s_account *a, const struct peal_msg_id *id)
{
    for (size_t i = 0; i < a->logins.n; i += MSG_ID_BYTES)
        if (memcmp(a->logins.p + i, id->b, MSG_ID_BYTES) == 0)
            return true;
    return false;
}

void record_remember(struct wire_s_account *a, const struct peal_msg_id *id,
                     uint8_t mem[static RECORD_LOGINS_BYTES])
{
    size_t kept =
        a->logins.n < RECORD_LOGINS_BYTES ? a->logins.n : RECORD_LOGINS_BYTES - MSG_ID_BYTES;
    memcpy(mem, id->b, MSG_ID_BYTES);
    if (kept > 0)
        memcpy(mem + MSG_ID_BYTES, a->logins.p, kept);
    a->logins = peal_bytes_of(mem, MSG_ID_BYTES + kept);
}

/* What would move the reader's cursor, or turn the line around: C1, U+061C, U+200E, U+200F, U+2028
 * to U+202E, U+2066 to U+2069. p[0] to p[n-1] is valid UTF-8. */
static bool is_unruly(const uint8_t *p, size_t n)
{
    if (p[0] < 0x20 || p[0] == 0x7f)
        return true;
    if (n >= 2 && ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xd8 && p[1] == 0x9c)))
        return true;
    if (n < 3 || p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

bool record_is_text(struct peal_bytes b)
{
    if (!peal_utf8_valid(b))
        return false;
    for (size_t i = 0; i < b.n; i++)
        if (is_unruly(b.p + i, b.n - i))
            return false;
    return true;
}

const char *record_password_fault(const struct record_password *m)
{
    uint64_t mem = (uint64_t)m->mem_kib * 1024;
    if (m->auth.n != 32)
        return "the authentication key is not 32 bytes long";
    if (m->salt.n != CRY_SALT_BYTES)
        return "the salt is not 16 bytes long";
    if (m->ops < CRY_KDF_OPS_MIN || m->ops > CRY_KDF_OPS_MAX || mem < CRY_KDF_MEM_MIN ||
        mem > CRY_KDF_MEM_MAX)
        return "the password function's cost is outside its limits";
    if (m->wrapped.n == 0 || m->wrapped.n > RECORD_WRAPPED_MAX)
        return "the account's keys are missing, or too long";
    return NULL;
}

const char *record_recovery_fault(struct peal_bytes recovery, struct peal_bytes rescued,
                                  bool may_lack)
{
    if (may_lack && recovery.n == 0 && rescued.n == 0)
        return NULL;
    if (recovery.n != CRY_HASH_BYTES)
        return "the recovery key's hash is not 32 bytes long";
    if (rescued.n == 0 || rescued.n > RECORD_WRAPPED_MAX)
        return "the keys under the recovery key are missing, or too long";
    return NULL;
}
