/* step: how a sans-I/O core talks to its host. An event goes in, an update comes out; the core
 * makes no system call, reads no clock and allocates nothing.
 *
 * The host's order is law. For each update:
 *   1. all WRITEs are submitted as one atomic unit;
 *   2. EAGER sends go out at once (they promise nothing);
 *   3. everything else waits until the update's writes are durable, then goes out in the order of
 * the update. An update without writes is not held. Updates with writes complete in the order in
 * which they were made. A crash may come between any two of these.
 *
 * A store that has failed refuses the writes of an update: then of the rest only what waits for
 * nothing else is done (all but sends that are not EAGER), and before any other event the core is
 * told so by STORE_STATE with the error; with STORE_STATE 0 when everything that was not refused is
 * on the disk and writes are taken again. What the core remembers may be ahead of its store then.
 *
 * A send to STEP_SELF comes back as an event RECEIVED from STEP_SELF, under the same law: so a core
 * counts its own durable copy exactly as it counts a peer's.
 *
 * Reads are synchronous through `struct step_reader` (docs/adr/0002): they see every write of every
 * earlier update, durable or not. What was only read may therefore be said to others only if saying
 * it is harmless after a crash. */
#ifndef PEAL_STEP_H
#define PEAL_STEP_H

#include "peal/base.h"
#include "peal/wire.h"

#include <stdarg.h>

/* Names of the ordered key-value spaces a core keeps; the host maps them to its store. */
enum step_space { STEP_META = 0, STEP_REGISTERS = 1, STEP_ROWS = 2 };

typedef bool step_scan_fn(void *ctx, struct peal_bytes key, struct peal_bytes value);

struct step_reader {
    void *ctx;
    /* The value, copied to the arena, or PEAL_E_NOT_FOUND, PEAL_E_CORRUPT, PEAL_E_IO,
     * PEAL_E_NO_MEMORY (arena too small). */
    int (*get)(void *ctx, enum step_space space, struct peal_bytes key, struct arena *a,
               struct peal_bytes *value);
    /* Calls fn for keys in [from, to) in ascending order (to.n == 0: no upper end), at most limit
     * times, until it returns false. The views live during the call only; a corrupt record is left
     * out. fn must not read or write the store. */
    int (*scan)(void *ctx, enum step_space space, struct peal_bytes from, struct peal_bytes to,
                size_t limit, step_scan_fn *fn, void *fn_ctx);
};

/* A link is the host's handle of one connection, never reused while the process runs. */
enum { STEP_NO_LINK = 0 };
#define STEP_SELF UINT32_MAX /* beyond what ISO C lets an enumerator be */

enum step_link_kind { STEP_LINK_NODE, STEP_LINK_CLIENT };

/* X(NAME, prose) */
#define STEP_EVENTS(X)                                                                             \
    X(START, "once, first: recover from the store")                                                \
    X(RECEIVED, "a frame came over a link, or from STEP_SELF")                                     \
    X(LINK_UP, "a link was opened and its TLS handshake passed")                                   \
    X(LINK_DOWN, "a link is gone; also for every DIAL that failed, with the dialled address")      \
    X(TIMER, "the deadline has come")                                                              \
    X(BEACON, "a beacon of this ring was heard; bytes: an encoded m_beacon")                       \
    X(WORKED, "a WORK effect is done")                                                             \
    X(STORE_STATE, "the store became unwell (err) or well again (0)")                              \
    X(CONTACT, "this node's own contact changed; bytes: an encoded n_contacts of one")             \
    X(LEAVE, "the node is asked to leave in good order")

enum step_event_kind {
#define X(name, prose) STEP_##name,
    STEP_EVENTS(X)
#undef X
};

struct step_event {
    enum step_event_kind kind;
    uint64_t now_us;  /* monotonic; never goes back */
    uint64_t wall_ms; /* Unix time; may jump */
    const struct step_reader *reader;

    uint32_t link;                 /* RECEIVED, LINK_UP, LINK_DOWN */
    enum step_link_kind link_kind; /* LINK_UP, LINK_DOWN */
    bool dialled;                  /* LINK_UP, LINK_DOWN: this side opened it */
    struct peal_id peer;           /* LINK_UP of a node link: the id its certificate proves */
    struct peal_bytes address;     /* LINK_UP, LINK_DOWN: the peer's address as text; for a dialled
                                      link, as dialled */
    struct peal_bytes bytes; /* RECEIVED: one message; BEACON, CONTACT; WORKED: the work's output */
    uint64_t token;          /* WORKED */
    int err;                 /* LINK_DOWN, WORKED, STORE_STATE */
};

enum step_effect_kind {
    STEP_WRITE,
    STEP_SEND,
    STEP_CLOSE,
    STEP_DIAL,
    STEP_WORK,
    STEP_SAY_BEACON,
    STEP_TRACE
};

enum step_op { STEP_PUT, STEP_PUT_IF_ABSENT, STEP_DEL };

/* WORK: what is too slow for the loop. HASH: bcrypt of `bytes` (an auth key) -> its text; VERIFY:
 * bytes = auth key (32) followed by the stored text -> err 0 or PEAL_E_AUTH. */
enum step_work { STEP_WORK_HASH, STEP_WORK_VERIFY };

struct step_effect {
    enum step_effect_kind kind;
    /* WRITE */
    enum step_space space;
    enum step_op op;
    bool lazy;  /* may wait a few milliseconds for a write that cancels it (peal/store.h) */
    bool fresh; /* the key was certainly never stored before */
    struct peal_bytes key;
    /* SEND, CLOSE */
    uint32_t link;
    bool eager;
    /* WRITE: value; SEND: the encoded message; CLOSE: reason; DIAL: address; WORK: input;
     * SAY_BEACON: an encoded m_beacon; TRACE: text. All views point into the update's arena. */
    struct peal_bytes bytes;
    /* WORK */
    enum step_work work;
    uint64_t token;
    /* CLOSE: why; DIAL: unused */
    int err;
    /* TRACE: a static name such as "member" or "epoch" */
    const char *name;
    /* TRACE: how much it matters */
    enum step_level { STEP_DEBUG, STEP_INFO, STEP_WARN } level;
};

/* An update: filled by a step, in the host's memory, emptied by the host before the next step. The
 * limits are such that no step comes near them; a step that would overflow them is a broken
 * invariant. */
enum { STEP_EFFECTS_MAX = 8192, STEP_ARENA_BYTES = 8 << 20 };

struct step_update {
    struct step_effect *effects;
    size_t n;
    size_t cap;
    struct arena arena;
};

/* Memory: STEP_EFFECTS_MAX effects and STEP_ARENA_BYTES from the caller (step_update_size() bytes,
 * 16-byte aligned). */
size_t step_update_size(void);
void step_update_init(struct step_update *u, void *mem);
void step_update_reset(struct step_update *u);

/* What the cores use to add effects. Copies go to the update's arena. */
void step_write(struct step_update *u, enum step_space space, enum step_op op,
                struct peal_bytes key, struct peal_bytes value);
/* As step_write with the two promises about cancelling. */
void step_write_lazy(struct step_update *u, enum step_space space, enum step_op op,
                     struct peal_bytes key, struct peal_bytes value, bool fresh);
/* Encodes msg (struct wire_NAME of `type`) into the arena. */
void step_send(struct step_update *u, uint32_t link, uint16_t type, const void *msg);
void step_send_eager(struct step_update *u, uint32_t link, uint16_t type, const void *msg);
void step_close(struct step_update *u, uint32_t link, int err, const char *reason);
void step_dial(struct step_update *u, struct peal_bytes address);
void step_work(struct step_update *u, enum step_work work, uint64_t token, struct peal_bytes input);
void step_beacon(struct step_update *u, const struct wire_m_beacon *b);
void step_trace(struct step_update *u, enum step_level level, const char *name, const char *fmt,
                ...) PEAL_PRINTF(4, 5);

#endif
