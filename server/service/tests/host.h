/* host: a little world for tests of the service: some nodes that obey the host's law (peal/step.h),
 * their disks, links between them, and clients. Time is virtual and everything follows from the
 * seed.
 *
 * A crash loses the writes that are not durable yet and everything that waited for them. */
#ifndef PEAL_TEST_HOST_H
#define PEAL_TEST_HOST_H

#include <peal/crypto.h>
#include <peal/service.h>

enum { HOST_NODES_MAX = 8, HOST_CLIENTS_MAX = 64, HOST_NAME_MAX = 32 };

/* Milliseconds of virtual time. */
enum { HOST_MS = 1000, HOST_SEC = 1000 * 1000 };

struct host;

struct host_opts {
    uint32_t nodes;
    uint8_t replicas;
    uint64_t seed;
    uint32_t sessions_max, locations_max; /* 0: the defaults */
    uint64_t box_rows_max;                /* 0: no limit */
    uint32_t message_days;                /* 0: the default */
    uint64_t fsync_us;                    /* time until an update's writes are durable; 0: 1 ms */
};

struct host *host_new(const struct host_opts *o);
void host_free(struct host *h);
/* With which the operator of this ring signs. */
const struct cry_sign_key *host_operator(const struct host *h);
uint64_t host_now(const struct host *h);
uint64_t host_wall(const struct host *h);
struct svc *host_svc(struct host *h, uint32_t node);
struct rng *host_rng(struct host *h);

/* Lets us microseconds pass. */
void host_run(struct host *h, uint64_t us);
/* Lets time pass until the condition holds, at most us microseconds. */
bool host_until(struct host *h, uint64_t us, bool (*cond)(void *ctx), void *ctx);
/* Until all live nodes see one whole ring of themselves (and of those that are down, dead). */
bool host_whole(struct host *h, uint64_t us);
void host_kill(struct host *h, uint32_t node);
void host_start(struct host *h, uint32_t node);
bool host_alive(const struct host *h, uint32_t node);
void host_leave(struct host *h, uint32_t node);
void host_store_state(struct host *h, uint32_t node, int err);
/* The node's clock goes so many ms ahead from now on; also after a restart. */
void host_skew(struct host *h, uint32_t node, uint64_t ms);
/* Rows, tombstones not counted, that lie at the node. */
size_t host_rows(struct host *h, uint32_t node);
/* The node is down: its accounts are from now on as an earlier build stored them, of that form (0:
 * s_account_0, 1: s_account_1); how many. */
size_t host_age_accounts(struct host *h, uint32_t node, unsigned form);
/* The same, with tombstones. */
size_t host_keys(struct host *h, uint32_t node);
/* Rows that cores have read from the disks, one by one or in scans, of all nodes since the start.
 */
uint64_t host_row_reads(const struct host *h);
/* From now on so many of a hundred messages of this type between nodes get lost; 0: none. */
void host_lose(struct host *h, uint16_t type, uint32_t percent);
struct peal_id host_node_id(const struct host *h, uint32_t node);

/* ---- clients: numbered from 0 ---- */

/* Opens a link; frames may be sent at once. Any earlier link of this client is forgotten, and what
 * it had received. */
void host_connect(struct host *h, uint32_t client, uint32_t node);
/* As by a closed laptop: nothing more is said or heard, and the server is not told. */
void host_mute(struct host *h, uint32_t client);
void host_hang_up(struct host *h, uint32_t client);
bool host_connected(const struct host *h, uint32_t client);
uint32_t host_node_of(const struct host *h, uint32_t client);
/* The reason of the last LINK_DOWN that the server gave, or "". */
const char *host_reason(const struct host *h, uint32_t client);
int host_close_err(const struct host *h, uint32_t client);
/* Without pings the server hangs up; on by default. */
void host_pinging(struct host *h, uint32_t client, bool on);
void host_say(struct host *h, uint32_t client, uint16_t type, const void *msg);
void host_say_bytes(struct host *h, uint32_t client, struct peal_bytes b);
/* The next frame of the client, other than c_pong; NULL when there is none. Valid
 * until the client's next call. */
const union wire_any *host_next(struct host *h, uint32_t client, uint16_t *type);
/* Waits for a frame of this type, dropping the others before it; NULL after us microseconds. */
const union wire_any *host_expect(struct host *h, uint32_t client, uint16_t type, uint64_t us);
/* How many frames wait for host_next. */
size_t host_waiting(const struct host *h, uint32_t client);

#endif
