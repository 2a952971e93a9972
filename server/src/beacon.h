/* beacon: signs this server's beacons and judges those of others, before the core sees them.
 *
 * A beacon comes sealed under the ring's beacon key, which every server holds; who says it is
 * proved by the sender's own signature, and that it is said now by its stamp: the sender's clock in
 * milliseconds, made to grow from one beacon to the next. What was recorded and is sent again has a
 * stamp that is not higher than the last one heard.
 *
 * Clocks may be wrong (a machine without a battery for its clock starts in 1970). A stamp that is
 * more than BEACON_FAR_MS away from this machine's clock proves nothing: such a beacon is only a
 * reason to dial the sender, once in BEACON_DIAL_US; the link then tells for itself. It is not
 * noted as heard, so that a clock that is put right is believed at once. */
#ifndef PEALD_BEACON_H
#define PEALD_BEACON_H

#include "peal/crypto.h"
#include "peal/wire.h"

#define BEACON_DOMAIN "peal.beacon.1"

enum {
    BEACON_HEARD_MAX = 256, /* senders remembered; the one heard longest ago is forgotten first */
    BEACON_FAR_MS = 5 * 60 * 1000,
    BEACON_DIAL_US = 10 * 1000 * 1000,
};

struct beacon_heard {
    struct peal_id id;
    uint64_t stamp;   /* of the last beacon that was taken; 0: none */
    uint64_t dial_us; /* when the next far one may cause a dial */
    uint64_t heard_us;
};

/* Zero at first, but for self. */
struct beacons {
    struct peal_id self; /* whoever sends also hears itself: ignored */
    struct beacon_heard heard[BEACON_HEARD_MAX];
    size_t n;
    uint64_t said; /* the stamp of this server's last one */
};

enum beacon_verdict {
    BEACON_IGNORE, /* its own or heard before, or too soon after the last one with a stamp far away
                    */
    BEACON_DIAL,   /* its stamp is far away: it is a reason to dial the sender, and nothing else */
    BEACON_TAKE,
};

/* body: an encoded m_beacon as the core made it. Writes the same with this moment's stamp and the
 * signature, at most cap bytes. PEAL_E_FULL: cap is too small. */
PEAL_MUST int beacon_sign(struct beacons *b, const struct cry_sign_key *key, uint64_t wall_ms,
                          struct peal_bytes body, size_t cap, uint8_t out[], size_t *n);

/* body: an opened beacon, of which *out becomes a view. PEAL_E_MALFORMED: no beacon; PEAL_E_AUTH:
 * the id is not that of the key, or the signature is wrong. now_us: monotonic. */
PEAL_MUST int beacon_judge(struct beacons *b, struct peal_bytes body, uint64_t now_us,
                           uint64_t wall_ms, struct wire_m_beacon *out,
                           enum beacon_verdict *verdict);

#endif
