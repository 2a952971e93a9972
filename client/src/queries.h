/* queries: commands that change nothing. */
#ifndef PEAL_CLIENT_QUERIES_H
#define PEAL_CLIENT_QUERIES_H

#include "core.h"

json_t *whoami_json(const struct client *c);
void cmd_whoami(struct client_call *call);
void cmd_history(struct client_call *call);
void cmd_status(struct client_call *call);
void cmd_conversations(struct client_call *call);
void cmd_watch(struct client_call *call);
void cmd_ring(struct client_call *call);
void cmd_lookup(struct client_call *call);
void cmd_remove(struct client_call *call);

#endif
