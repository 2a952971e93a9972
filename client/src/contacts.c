/* Other people: their pinned keys, and whether they are online. */
#include <stdio.h>
#include <string.h>

#include "core.h"

const char key_changed_hint[] =
    "somebody may be posing as this person: ask them over another channel, compare safety numbers, "
    "and accept the new key with `peal trust NAME` if it is theirs";

/* ---- keys ---------------------------------------------------------------------------------------
 */

static struct contact *cached(struct client *c, const char *name)
{
    for (size_t i = 0; i < CONTACTS_CACHED; i++) {
        if (c->contacts[i].keys != NULL && strcmp(c->contacts[i].name, name) == 0)
            return &c->contacts[i];
    }
    return NULL;
}

/* A free place, or that of the contact that was not used for longest. */
static struct contact *place(struct client *c)
{
    struct contact *oldest = &c->contacts[0];
    for (size_t i = 0; i < CONTACTS_CACHED; i++) {
        if (c->contacts[i].keys == NULL)
            return &c->contacts[i];
        if (c->contacts[i].used < oldest->used)
            oldest = &c->contacts[i];
    }
    cry_public_free(oldest->keys);
    return oldest;
}

int contact_get(struct client *c, const char *name, struct contact **out)
{
    struct contact *contact = cached(c, name);
    if (contact == NULL) {
        uint8_t bundle[CRY_BUNDLE_MAX];
        size_t n;
        bool changed;
        struct cry_public *keys;
        int err = profile_contact(c->profile, c->account.name, name, bundle, &n, &changed);
        if (err != 0)
            return err;
        err = cry_public_parse(peal_bytes_of(bundle, n), &keys);
        if (err != 0)
            return PEAL_E_CORRUPT;
        contact = place(c);
        *contact = (struct contact){.keys = keys, .changed = changed};
        (void)snprintf(contact->name, sizeof contact->name, "%s", name);
    }
    contact->used = ++c->contact_uses;
    *out = contact;
    return 0;
}

bool contact_is_changed(struct client *c, const char *name)
{
    uint8_t bundle[CRY_BUNDLE_MAX];
    size_t n;
    bool changed = false;
    const struct contact *contact = cached(c, name);
    if (contact != NULL)
        return contact->changed;
    int err = profile_contact(c->profile, c->account.name, name, bundle, &n, &changed);
    return err == 0 && changed;
}

static void emit_key(struct client *c, const char *name, bool changed)
{
    client_emit(c, "key", json_pack("{s:s,s:b}", "name", name, "changed", (int)changed));
}

int contact_repin(struct client *c, const char *name, struct peal_bytes bundle)
{
    struct contact *contact;
    int err = profile_begin(c->profile);
    if (err != 0)
        return err;
    err = profile_contact_repin(c->profile, c->account.name, name, bundle);
    if (err == 0)
        err = profile_commit(c->profile);
    else
        profile_rollback(c->profile);
    if (err != 0)
        return err;
    contact = cached(c, name);
    if (contact != NULL) {
        cry_public_free(contact->keys);
        *contact = (struct contact){.keys = NULL};
    }
    err = contact_get(c, name, &contact);
    if (err == 0) {
        contact->checked = true;
        emit_key(c, name, false);
    }
    return err;
}

void contacts_clear(struct client *c)
{
    for (size_t i = 0; i < CONTACTS_CACHED; i++)
        cry_public_free(c->contacts[i].keys);
    memset(c->contacts, 0, sizeof c->contacts);
}

static void tell_changed(struct client *c, const char *name)
{
    char text[NAME_BYTES_MAX + 64];
    (void)snprintf(text, sizeof text, "the key of %s has changed: nothing is sent", name);
    client_trouble(c, PEAL_E_AUTH, text, key_changed_hint);
}

/* The ring's bundle beside the pinned one; the first one is pinned. Once in a run a change is told
 * loudly. */
static int compare(struct client *c, const char *name, struct peal_bytes bundle)
{
    struct contact *contact;
    int err = contact_get(c, name, &contact);
    if (err == PEAL_E_NOT_FOUND) {
        struct cry_public *keys;
        err = cry_public_parse(bundle, &keys);
        if (err != 0)
            return PEAL_E_MALFORMED;
        cry_public_free(keys);
        err = profile_contact_pin(c->profile, c->account.name, name, bundle);
        if (err == 0)
            err = contact_get(c, name, &contact);
    }
    if (err != 0)
        return err;
    bool changed = !peal_bytes_eq(cry_public_bundle(contact->keys), bundle);
    bool news = changed && !(contact->checked && contact->changed);
    bool turned = changed != contact->changed;
    if (turned) {
        err = profile_contact_changed(c->profile, c->account.name, name, changed);
        if (err != 0)
            return err;
        c->cursor = 0; /* what was held back was passed by */
    }
    contact->changed = changed;
    contact->checked = true;
    if (turned)
        emit_key(c, name, changed);
    if (news)
        tell_changed(c, name);
    return 0;
}

/* ---- finding ------------------------------------------------------------------------- */

static int send_find(struct ask *a)
{
    struct wire_c_find msg = {.req = a->req, .name = peal_bytes_str(a->name)};
    return reach_send(a->c->reach, WIRE_c_find, &msg);
}

static void found(struct ask *a, const struct answer *given)
{
    struct client *c = a->c;
    struct answer answer = *given;
    if (answer.err == 0) {
        const struct wire_c_user *user = answer.msg;
        if (!peal_bytes_eq(user->name, peal_bytes_str(a->name))) {
            answer.err = PEAL_E_MALFORMED;
            answer.message = "the server answered about somebody else";
        } else if (c->session != SESSION_NOBODY && strcmp(a->name, c->account.name) != 0) {
            answer.err = compare(c, a->name, user->bundle);
            if (answer.err != 0)
                answer.message = "the user's keys cannot be used";
            presence_note(c, a->name, user->online, user->last_seen);
        }
    }
    if (c->session != SESSION_NOBODY) {
        outbox_found(c, a->name, &answer);
        held_found(c, a->name, &answer);
    }
    for (struct client_call *call = c->calls; call != NULL; call = call->next) {
        if (call->over || strcmp(call->finding, a->name) != 0)
            continue;
        call->finding[0] = '\0';
        call->found(call, &answer);
    }
}

int contact_find(struct client *c, const char *name)
{
    for (const struct ask *a = c->asks; a != NULL; a = a->next) {
        if (a->done == found && strcmp(a->name, name) == 0)
            return 0;
    }
    struct ask *a = ask_new(c, WIRE_c_user, send_find, found, NULL);
    if (a == NULL)
        return PEAL_E_BUSY;
    (void)snprintf(a->name, sizeof a->name, "%s", name);
    return 0;
}

/* ---- presence ------------------------------------------------------------------------ */

const struct presence *presence_get(const struct client *c, const char *name)
{
    for (size_t i = 0; i < c->presence_count; i++) {
        if (strcmp(c->presence[i].name, name) == 0)
            return &c->presence[i];
    }
    return NULL;
}

void presence_note(struct client *c, const char *name, bool online, uint64_t last_seen)
{
    struct presence *p = (struct presence *)presence_get(c, name);
    if (p == NULL) {
        if (c->presence_count < PRESENCE_CACHED)
            c->presence_count++;
        p = &c->presence[c->presence_next];
        c->presence_next = (c->presence_next + 1) % PRESENCE_CACHED;
        (void)snprintf(p->name, sizeof p->name, "%s", name);
    } else if (p->online == online && p->last_seen == last_seen) {
        return;
    }
    p->online = online;
    p->last_seen = last_seen;
    client_emit(c, "presence",
                json_pack("{s:s,s:b,s:I}", "name", name, "online", (int)online, "last_seen",
                          (json_int_t)last_seen));
}

void on_presence(struct client *c, const struct wire_c_presence *msg)
{
    char name[NAME_BYTES_MAX + 1];
    if (peal_bytes_to_str(msg->name, sizeof name, name) == 0 && name_is_canonical(msg->name))
        presence_note(c, name, msg->online, msg->last_seen);
}

struct watch_list {
    char names[WIRE_WATCH_MAX][NAME_BYTES_MAX + 1];
    size_t n;
};

static void add_watch(struct watch_list *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->names[i], name) == 0)
            return;
    }
    if (list->n < WIRE_WATCH_MAX)
        (void)snprintf(list->names[list->n++], sizeof list->names[0], "%s", name);
}

static void watch_peer(void *user, const struct entry *last, uint64_t unread)
{
    (void)unread;
    add_watch(user, last->peer);
}

void presence_watch(struct client *c)
{
    if (c->session != SESSION_ACTIVE)
        return;
    struct watch_list list = {.n = 0};
    struct wire_name names[WIRE_WATCH_MAX];
    if (c->watched[0] != '\0')
        add_watch(&list, c->watched);
    int err = profile_conversations(c->profile, c->account.name, WIRE_WATCH_MAX, watch_peer, &list);
    (void)err; /* whom to watch is a matter of comfort: the watched name is in */
    for (size_t i = 0; i < list.n; i++)
        names[i].name = peal_bytes_str(list.names[i]);
    struct wire_c_watch msg = {.names = {.v = names, .n = list.n}};
    err = reach_send(c->reach, WIRE_c_watch, &msg);
    (void)err; /* when the link is going, the next session says it again */
}
