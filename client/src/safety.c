/* safety: the number that two people compare, and that they have. */
#include <stdio.h>
#include <string.h>

#include "core.h"

/* What a QR code says besides the digits. */
static const char qr_head[] = "peal-safety:1:";

enum { GROUP = 5 };

static void digests(const struct client *c, const char *name, struct peal_bytes bundle,
                    uint8_t own[static CRY_HASH_BYTES], uint8_t theirs[static CRY_HASH_BYTES])
{
    cry_safety_digest(peal_bytes_str(c->account.name), cry_public_bundle(cry_keys_public(c->keys)),
                      own);
    cry_safety_digest(peal_bytes_str(name), bundle, theirs);
}

void safety_text(const struct client *c, const char *name, struct peal_bytes bundle,
                 char out[static SAFETY_TEXT])
{
    uint8_t own[CRY_HASH_BYTES];
    uint8_t theirs[CRY_HASH_BYTES];
    char number[CRY_SAFETY_DIGITS + 1];
    size_t n = 0;
    digests(c, name, bundle, own, theirs);
    cry_safety_number(own, theirs, number);
    for (size_t i = 0; i < CRY_SAFETY_DIGITS; i++) {
        if (i != 0 && i % GROUP == 0)
            out[n++] = ' ';
        out[n++] = number[i];
    }
    out[n] = '\0';
    CHECK(n == SAFETY_TEXT - 1);
}

static bool is_verified(struct client *c, const char *name, struct peal_bytes bundle)
{
    uint8_t own[CRY_HASH_BYTES];
    uint8_t theirs[CRY_HASH_BYTES];
    uint8_t then_own[CRY_HASH_BYTES];
    uint8_t then_theirs[CRY_HASH_BYTES];
    if (profile_verified(c->profile, c->account.name, name, then_own, then_theirs) != 0)
        return false;
    digests(c, name, bundle, own, theirs);
    return cry_equal(own, then_own, sizeof own) && cry_equal(theirs, then_theirs, sizeof theirs);
}

struct key_flags key_flags(struct client *c, const char *name)
{
    struct key_flags flags = {.changed = false};
    uint8_t bundle[CRY_BUNDLE_MAX];
    size_t n;
    bool changed = false;
    if (c->session == SESSION_NOBODY ||
        profile_contact(c->profile, c->account.name, name, bundle, &n, &changed) != 0)
        return flags;
    flags.changed = changed;
    flags.verified = !changed && is_verified(c, name, peal_bytes_of(bundle, n));
    return flags;
}

/* ---- commands ------------------------------------------------------------------------ */

static void safety_reply(struct client_call *call, const struct contact *contact)
{
    char number[SAFETY_TEXT];
    char qr[sizeof qr_head + CRY_SAFETY_DIGITS];
    size_t n = sizeof qr_head - 1;
    struct key_flags flags = key_flags(call->c, contact->name);
    safety_text(call->c, contact->name, cry_public_bundle(contact->keys), number);
    memcpy(qr, qr_head, n);
    for (const char *s = number; *s != '\0'; s++) {
        if (*s != ' ')
            qr[n++] = *s;
    }
    qr[n] = '\0';
    call_reply(call,
               json_pack("{s:s,s:s,s:s,s:b,s:b}", "name", contact->name, "number", number, "qr", qr,
                         "verified", (int)flags.verified, "changed", (int)flags.changed));
}

/* Are these the number's digits? Blanks do not count; a code's beginning may be there. */
static bool is_number(const char *given, const char *number)
{
    size_t head = sizeof qr_head - 1;
    if (strncmp(given, qr_head, head) == 0)
        given += head;
    for (; *number != '\0'; number++) {
        if (*number == ' ')
            continue;
        given += strspn(given, " ");
        if (*given++ != *number)
            return false;
    }
    return given[strspn(given, " ")] == '\0';
}

static void verify_known(struct client_call *call, const struct contact *contact)
{
    struct client *c = call->c;
    const char *given = json_string_value(json_object_get(call->args, "number"));
    struct peal_bytes bundle = cry_public_bundle(contact->keys);
    uint8_t own[CRY_HASH_BYTES];
    uint8_t theirs[CRY_HASH_BYTES];
    char number[SAFETY_TEXT];
    if (contact->changed) {
        call_fail(call, PEAL_E_AUTH, "their key has changed: the number is of the former one",
                  key_changed_hint);
        return;
    }
    safety_text(c, contact->name, bundle, number);
    if (given == NULL || !is_number(given, number)) {
        call_fail(call, PEAL_E_AUTH, "that is not the number that is here",
                  "if the other side sees it for you, somebody stands between you: write nothing "
                  "secret, and tell whoever runs the servers");
        return;
    }
    digests(c, contact->name, bundle, own, theirs);
    int err = profile_verified_set(c->profile, c->account.name, contact->name, own, theirs);
    if (err != 0)
        call_fail(call, err, "the profile cannot be written", err_prose(err));
    else
        safety_reply(call, contact);
}

static void have_contact(struct client_call *call, const struct contact *contact)
{
    const char *cmd = json_string_value(json_object_get(call->args, "cmd"));
    if (strcmp(cmd, "verify") == 0)
        verify_known(call, contact);
    else
        safety_reply(call, contact);
}

static void safety_found(struct client_call *call, const struct answer *answer)
{
    struct contact *contact;
    char name[NAME_BYTES_MAX + 1];
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    int err = contact_get(call->c, name, &contact);
    if (err != 0)
        call_fail(call, err, "their keys cannot be read", err_prose(err));
    else
        have_contact(call, contact);
}

void cmd_safety(struct client_call *call)
{
    struct client *c = call->c;
    struct contact *contact;
    char name[NAME_BYTES_MAX + 1];
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    if (strcmp(name, c->account.name) == 0) {
        call_fail(call, PEAL_E_REFUSED, "that is you", "give another name");
        return;
    }
    int err = contact_get(c, name, &contact);
    if (err == 0) {
        have_contact(call, contact);
        return;
    }
    if (err != PEAL_E_NOT_FOUND) {
        call_fail(call, err, "their keys cannot be read", err_prose(err));
        return;
    }
    if (contact_find(c, name) != 0) {
        call_fail(call, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
        return;
    }
    (void)snprintf(call->finding, sizeof call->finding, "%s", name);
    call->found = safety_found;
}

void cmd_verify(struct client_call *call)
{
    if (!json_is_string(json_object_get(call->args, "number")))
        call_fail(call, PEAL_E_USAGE, "the number is missing",
                  "give the safety number that was compared");
    else
        cmd_safety(call);
}
