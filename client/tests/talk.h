/* talk: two people who write to each other, and what their clients show of it. */
#ifndef PEAL_CLIENT_TALK_H
#define PEAL_CLIENT_TALK_H

#include "world.h"

#define ID_TEXT (2 * MSG_ID_BYTES + 1)

struct pair {
    struct world w;
    struct world_client *a, *b;
};

json_t *history(struct world_client *wc, const char *name);
/* The conversation as one line: texts in their order, '*' behind what was edited, "-" for what was
 * deleted. Valid until the next call. */
const char *talk(struct world_client *wc, const char *name);
/* Waits until the conversation is that. */
void until(struct world_client *wc, const char *name, const char *line);
void send_text(struct world_client *wc, const char *to, const char *text, char id[static ID_TEXT]);
json_t *edit(struct world_client *wc, const char *id, const char *text);
json_t *unsend(struct world_client *wc, const char *id);
const char *code_of_edit(struct world_client *wc, const char *id);
/* What a client that keeps to no rule sends: this content under this id. */
void forge(struct world_client *wc, const char *to, const struct peal_msg_id *id,
           const struct content *content);
struct peal_msg_id id_of(const char *hex);
void forge_edit(struct world_client *wc, const char *to, const char *target, uint64_t stamp,
                const char *text);
int64_t number_of(struct world_client *wc, const char *sql);
/* Alice and Bob, who have each other's keys. */
struct pair *meet(void);
void part(struct pair *p);

#endif
