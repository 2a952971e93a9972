/* trust: the user's word that a changed key is to be gone by. */
#include <stdio.h>
#include <string.h>

#include "core.h"

enum { FP_HEX = 2 * CRY_FP_BYTES + 1 };

static json_t *trust_json(const struct client *c, const struct contact *contact,
                          const struct cry_public *shown)
{
    char pinned[FP_HEX];
    char now[FP_HEX];
    char number[SAFETY_TEXT];
    peal_hex(cry_public_fingerprint(contact->keys), CRY_FP_BYTES, pinned);
    peal_hex(cry_public_fingerprint(shown), CRY_FP_BYTES, now);
    safety_text(c, contact->name, cry_public_bundle(shown), number);
    return json_pack("{s:s,s:s,s:s,s:b,s:s}", "name", contact->name, "pinned", pinned, "shown", now,
                     "changed", (int)contact->changed, "number", number);
}

/* What was sealed to the former key is given up first: were this cut short, nothing of it could go
 * to somebody who cannot read it. */
static int accept_key(struct client *c, const char *name, const struct cry_public *shown)
{
    struct answer known = {.err = 0, .message = "", .hint = ""};
    int err = outbox_renounce(c, name);
    if (err == 0)
        err = contact_repin(c, name, cry_public_bundle(shown));
    if (err == 0)
        outbox_found(c, name, &known);
    return err;
}

/* The fingerprint that the user gives. PEAL_E_NOT_FOUND: none; PEAL_E_USAGE: not of its form. */
static int wanted(const struct client_call *call, uint8_t out[static CRY_FP_BYTES])
{
    json_t *given = json_object_get(call->args, "fingerprint");
    if (given == NULL)
        return PEAL_E_NOT_FOUND;
    if (json_string_length(given) != FP_HEX - 1 ||
        peal_unhex(json_string_value(given), CRY_FP_BYTES, out) != 0)
        return PEAL_E_USAGE;
    return 0;
}

static void decide(struct client_call *call, const char *name, const struct cry_public *shown)
{
    struct client *c = call->c;
    struct contact *contact;
    const uint8_t *now = cry_public_fingerprint(shown);
    uint8_t fp[CRY_FP_BYTES];
    bool accepts = wanted(call, fp) == 0;
    int err = contact_get(c, name, &contact);
    if (err == 0 && accepts && !cry_equal(fp, now, sizeof fp)) {
        call_fail(call, PEAL_E_STALE, "the ring shows another key by now: nothing was accepted",
                  "look at it with `peal trust NAME`, and compare safety numbers anew");
        return;
    }
    if (err == 0 && accepts) {
        if (contact->changed)
            err = accept_key(c, name, shown);
        if (err == 0)
            recv_reopen(c, name, now);
        if (err == 0)
            err = contact_get(c, name, &contact);
    }
    if (call->over)
        return; /* whoever heard what was told meanwhile has gone */
    if (err != 0)
        call_fail(call, err, "the profile cannot be written", err_prose(err));
    else
        call_reply(call, trust_json(c, contact, shown));
}

static void trust_found(struct client_call *call, const struct answer *answer)
{
    struct cry_public *shown;
    char name[NAME_BYTES_MAX + 1];
    if (answer->err != 0) {
        call_fail_answer(call, answer);
        return;
    }
    const struct wire_c_user *user = answer->msg;
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    if (cry_public_parse(user->bundle, &shown) != 0) {
        call_fail(call, PEAL_E_MALFORMED, "what the ring shows is no key",
                  "ask whoever runs its servers; the pinned key stays");
        return;
    }
    decide(call, name, shown);
    cry_public_free(shown);
}

void cmd_trust(struct client_call *call)
{
    struct client *c = call->c;
    char name[NAME_BYTES_MAX + 1];
    uint8_t fp[CRY_FP_BYTES];
    if (call_account(call) != 0 || call_name(call, "name", name) != 0)
        return;
    if (wanted(call, fp) == PEAL_E_USAGE) {
        call_fail(call, PEAL_E_USAGE, "the fingerprint is not of its form",
                  "give the 64 digits that trust shows, without blanks");
        return;
    }
    if (strcmp(name, c->account.name) == 0) {
        call_fail(call, PEAL_E_REFUSED, "that is you", "give another name");
        return;
    }
    if (contact_find(c, name) != 0) {
        call_fail(call, PEAL_E_BUSY, "too many requests at once", "try again in a moment");
        return;
    }
    (void)snprintf(call->finding, sizeof call->finding, "%s", name);
    call->found = trust_found;
}
