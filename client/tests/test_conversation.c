/* Two clients and a model of what they are to show: random writing, answering, editing and
 * deleting, while clients end and begin again, servers go and come, and rows come late, in any
 * order and more than once. In the end both show what the model says. PEAL_SEED is one more seed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talk.h"

enum { STEPS = 90, SAID_MAX = STEPS + 2 };

struct said {
    char id[ID_TEXT];
    char text[32];
    char reply_to[ID_TEXT]; /* "": none */
    int author;
    bool edited, deleted;
    bool taken_back; /* before it was sent: the other side never sees it */
};

struct story {
    struct rng rng;
    struct pair *p;
    struct world_client *who[2]; /* client NULL: not running */
    struct said said[SAID_MAX];
    size_t n;
    bool servers;
    json_int_t vanish;
    unsigned counter;
};

static const char *const names[] = {"alice", "bob"};

static size_t below(struct story *s, size_t n)
{
    return (size_t)rng_below(&s->rng, n);
}

/* ---- what happens -------------------------------------------------------------------- */

static void write_one(struct story *s, int me)
{
    struct said *m = &s->said[s->n];
    const struct said *question = s->n > 0 && below(s, 3) == 0 ? &s->said[below(s, s->n)] : NULL;
    json_t *known = NULL;
    *m = (struct said){.author = me};
    snprintf(m->text, sizeof m->text, "t%u", s->counter++);
    if (question != NULL) {
        struct peal_msg_id id = id_of(question->id);
        known = message_json(s->who[me]->client, &id);
    }
    if (known != NULL)
        memcpy(m->reply_to, question->id, sizeof m->reply_to);
    json_decref(known);
    json_t *r = world_ok(s->who[me], json_pack("{s:s,s:s,s:s,s:s?}", "cmd", "send", "to",
                                               names[!me], "text", m->text, "reply_to",
                                               m->reply_to[0] != '\0' ? m->reply_to : NULL));
    snprintf(m->id, sizeof m->id, "%s", json_string_value(json_object_get(r, "id")));
    cr_assert(m->reply_to[0] == '\0' || strcmp(m->id, m->reply_to) > 0,
              "an answer comes before what it answers");
    s->n++;
}

/* One's own, not deleted; NULL. */
static struct said *own(struct story *s, int me)
{
    size_t from = s->n > 0 ? below(s, s->n) : 0;
    for (size_t i = 0; i < s->n; i++) {
        struct said *m = &s->said[(from + i) % s->n];
        if (m->author == me && !m->deleted)
            return m;
    }
    return NULL;
}

static void edit_one(struct story *s, int me)
{
    struct said *m = own(s, me);
    if (m == NULL)
        return;
    snprintf(m->text, sizeof m->text, "e%u", s->counter++);
    m->edited = true;
    world_ok(s->who[me], json_pack("{s:s,s:s,s:s}", "cmd", "edit", "id", m->id, "text", m->text));
}

static void delete_one(struct story *s, int me)
{
    struct said *m = own(s, me);
    if (m == NULL)
        return;
    json_t *r = world_ok(s->who[me], json_pack("{s:s,s:s}", "cmd", "unsend", "id", m->id));
    m->deleted = true;
    m->taken_back = strcmp(json_string_value(json_object_get(r, "state")), "failed") == 0;
}

static void agree(struct story *s, int me)
{
    s->vanish = 100000 + (json_int_t)s->counter++;
    world_ok(s->who[me],
             json_pack("{s:s,s:s,s:I}", "cmd", "vanish", "name", names[!me], "seconds", s->vanish));
}

static void end(struct story *s, int me)
{
    if (s->who[me]->client != NULL)
        world_client_close(s->who[me]);
}

static void begin(struct story *s, int me)
{
    if (s->who[me]->client == NULL)
        world_client_open(s->who[me]);
}

/* The servers come back on other ports: only who begins anew finds them. */
static void turn_servers(struct story *s, bool on)
{
    if (s->servers == on)
        return;
    s->servers = on;
    if (on) {
        end(s, 0);
        end(s, 1);
    }
    for (size_t i = 0; i < WORLD_SERVERS; i++) {
        if (on)
            fake_start(&s->p->w.servers[i], s->p->w.loop, &s->p->w.ids[i]);
        else
            fake_kill(&s->p->w.servers[i]);
    }
    if (on) {
        begin(s, 0);
        begin(s, 1);
    }
}

/* What lies in the mailboxes changes its order, and some of what was fetched comes again. */
static void shuffle(struct story *s)
{
    struct world *w = &s->p->w;
    for (size_t i = w->row_n; i > 1; i--) {
        size_t j = below(s, i);
        struct world_row row = w->rows[i - 1];
        w->rows[i - 1] = w->rows[j];
        w->rows[j] = row;
    }
    for (size_t i = 0; i < w->row_n; i++) {
        if (below(s, 4) == 0)
            w->rows[i].acked = false;
    }
    for (size_t i = 0; s->servers && i < 2; i++) {
        if (s->who[i]->client != NULL)
            world_deliver(w, names[i]);
    }
}

static void turn(struct story *s)
{
    for (size_t n = below(s, 40); n > 0; n--)
        (void)net_loop_once(s->p->w.loop, false); /* it may have nothing to do */
}

static void step(struct story *s)
{
    int me = (int)below(s, 2);
    switch (below(s, 16)) {
    case 0:
        end(s, me);
        break;
    case 1:
        turn_servers(s, !s->servers);
        break;
    case 2:
        shuffle(s);
        break;
    case 3:
    case 4:
        begin(s, me);
        shuffle(s);
        break;
    case 5:
        turn_servers(s, true);
        break;
    default:
        if (s->who[me]->client == NULL)
            begin(s, me);
        else if (below(s, 12) == 0)
            agree(s, me);
        else if (below(s, 6) == 0)
            delete_one(s, me);
        else if (below(s, 2) == 0)
            edit_one(s, me);
        else
            write_one(s, me);
    }
    if (s->servers)
        turn(s);
}

/* ---- what it comes to ---------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct said *)a)->id, ((const struct said *)b)->id);
}

/* Whether a message that is shown is the model's. */
static bool is_shown(json_t *m, const struct said *said)
{
    const char *reply = json_string_value(json_object_get(m, "reply_to"));
    return strcmp(json_string_value(json_object_get(m, "id")), said->id) == 0 &&
           strcmp(json_string_value(json_object_get(m, "from")), names[said->author]) == 0 &&
           strcmp(json_string_value(json_object_get(m, "text")), said->deleted ? "" : said->text) ==
               0 &&
           (json_object_get(m, "edited_at") != NULL) == said->edited &&
           (json_object_get(m, "deleted_at") != NULL) == said->deleted &&
           strcmp(reply != NULL ? reply : "", said->reply_to) == 0;
}

static bool agrees(struct story *s, int me)
{
    json_t *list =
        json_object_get(world_ok(s->who[me], json_pack("{s:s,s:s,s:i}", "cmd", "history", "name",
                                                       names[!me], "limit", CLIENT_PAGE_MAX)),
                        "messages");
    size_t at = 2; /* behind how they met */
    for (size_t i = 0; i < s->n; i++) {
        const struct said *said = &s->said[i];
        if (said->taken_back && said->author != me)
            continue;
        if (at >= json_array_size(list) || !is_shown(json_array_get(list, at), said))
            return false;
        at++;
    }
    return at == json_array_size(list);
}

static json_int_t vanish_of(struct story *s, int me)
{
    return json_integer_value(json_object_get(
        world_ok(s->who[me], json_pack("{s:s,s:s}", "cmd", "vanish", "name", names[!me])),
        "seconds"));
}

static bool is_over(void *user)
{
    struct story *s = user;
    return agrees(s, 0) && agrees(s, 1) && vanish_of(s, 0) == vanish_of(s, 1);
}

static void play(uint64_t seed)
{
    struct story *s = calloc(1, sizeof *s);
    char what[64];
    cr_assert_not_null(s, "no memory");
    rng_init(&s->rng, seed);
    s->p = meet();
    s->who[0] = s->p->a;
    s->who[1] = s->p->b;
    s->servers = true;
    for (int i = 0; i < STEPS; i++)
        step(s);
    turn_servers(s, true);
    for (int i = 0; i < 2; i++)
        begin(s, i);
    qsort(s->said, s->n, sizeof s->said[0], by_id);
    snprintf(what, sizeof what, "seed %llu: both show the same", (unsigned long long)seed);
    fake_until(s->p->w.loop, is_over, s, what);
    for (int i = 0; i < 2; i++) { /* and it stays so */
        end(s, i);
        begin(s, i);
    }
    shuffle(s);
    fake_until(s->p->w.loop, is_over, s, what);
    cr_assert_gt(s->n, 10, "seed %llu: little was said", (unsigned long long)seed);
    part(s->p);
    free(s);
}

Test(conversation, seed_1)
{
    play(1);
}

Test(conversation, seed_2)
{
    play(2);
}

Test(conversation, seed_3)
{
    play(3);
}

Test(conversation, seed_of_the_environment)
{
    const char *text = getenv("PEAL_SEED");
    play(text != NULL ? strtoull(text, NULL, 10) : 4);
}
