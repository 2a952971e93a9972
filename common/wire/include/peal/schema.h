/* schema: the one table of everything Peal says over a link. Both codecs (peal/wire.h) and the C
 * structs are generated from it.
 *
 * F(kind, name, arg, max): arg is the struct's name for STRUCT and LIST, otherwise `_`; max is the
 * largest number of bytes (BYTES, STR) or items (LIST, IDS, MSGIDS, ADDRS), otherwise 0. Names are
 * part of the JSON encoding, numbers of the binary one; neither is ever reused. docs/protocol.md
 * says what each message means.
 *
 * Numbers: 1 to 63 between servers (ALPN peal-node/1; 32 to 39 the service's, 40 to 63 the
 * overlay's), 64 to 111 between client and server (peal-bin/1, peal-json/1), 112 to 127 on
 * multicast, 128 and up stored. A name is a canonical account name, 1 to 32 characters of up to 4
 * bytes. Times are Unix milliseconds; stamps are hybrid logical clocks (peal/base.h). A code is a
 * negated enum peal_err, 0 for success. */
#ifndef PEAL_SCHEMA_H
#define PEAL_SCHEMA_H

enum {
    WIRE_NAME_MAX = 128,   /* bytes of a canonical name: 32 characters */
    WIRE_ADDRESS_MAX = 64, /* "[v6]:port" or "v4:port" */
    WIRE_CONTACT_ADDRESSES_MAX = 4,
    WIRE_TEXT_MAX = 512,       /* prose of an error, a hint, a trace */
    WIRE_REGISTER_MAX = 8192,  /* bytes of a register's value */
    WIRE_BODY_MAX = 72 * 1024, /* bytes of a row's body: an envelope of 64 KiB of text */
    WIRE_BUNDLE_MAX = 1024,    /* public key bundle */
    WIRE_WRAPPED_MAX = 4096,   /* private keys under the password's wrapping key */
    WIRE_ROSTER_MAX = 64,      /* servers in a roster, in this form of Peal */
    WIRE_PAGE_ROWS = 64,       /* rows in a page, also bounded by WIRE_PAGE_BYTES */
    WIRE_PAGE_BYTES = 128 * 1024,
    WIRE_PAGE_IDS = 1024,
    WIRE_PAGE_ITEMS = 512,
    WIRE_ACK_MAX = 256,
    WIRE_RECEIPT_MAX = 4 + 16 * WIRE_ACK_MAX + 64, /* bytes of a receipt's body */
    WIRE_WATCH_MAX = 16,
    WIRE_TOKEN_BYTES = 32,
    WIRE_LOGINS_MAX = 8, /* ids of logins that an account remembers */
    WIRE_KEY_MAX = 64,
    WIRE_SUCCESSORS_MAX = 32, /* entries of a successor list */
    WIRE_PATH_MAX = 48,       /* nodes that a lookup may pass, the asker included */
    WIRE_RUMOURS_MAX = 32,    /* in one message */
    WIRE_DIGESTS_MAX = 16,    /* parts into which a range is cut to compare it */
    WIRE_LOAD_MAX = 256,      /* bytes of what the layer above says with each ping */
    WIRE_CAST_MAX = 4096,     /* bytes of a broadcast's body */
    WIRE_DOMAIN_MAX = 16,     /* bytes of a failure domain's name */
    WIRE_TAKES_MAX = 16,      /* rings that one ring may have offered to take in */
};

/* ---- embedded structs ---- */

/* Where a node is: 1 to WIRE_CONTACT_ADDRESSES_MAX addresses, none twice, in the order in which it
 * would have them tried; none in what stands for a node of which no contact is known. The signature
 * is the node's own, over id, incarnation and all addresses; a higher incarnation replaces a lower.
 */
#define WIRE_FIELDS_contact(F)                                                                     \
    F(ID, id, _, 0)                                                                                \
    F(U64, incarnation, _, 0)                                                                      \
    F(ADDRS, addresses, _, WIRE_CONTACT_ADDRESSES_MAX)                                             \
    F(BYTES, key, _, 32)                                                                           \
    F(BYTES, signature, _, 64)

/* What a node of the overlay says of itself. phase: enum ring_phase (peal/ring.h). size: how many
 * nodes it believes the ring has. */
#define WIRE_FIELDS_ring_state(F)                                                                  \
    F(U8, phase, _, 0)                                                                             \
    F(U32, size, _, 0)                                                                             \
    F(ID, successor, _, 0)                                                                         \
    F(ID, predecessor, _, 0)                                                                       \
    F(ID, coordinator, _, 0)

/* Word of a node: that it lives, or is dead, as somebody found at `stamp`. `limit`: the rumour is
 * to be passed on to the nodes before it, clockwise; the receiver's own id: to nobody. foreign: the
 * node belongs to a ring that is not yet one with this. */
#define WIRE_FIELDS_rumour(F)                                                                      \
    F(STRUCT, contact, contact, 0)                                                                 \
    F(U64, stamp, _, 0)                                                                            \
    F(BOOL, dead, _, 0)                                                                            \
    F(BOOL, foreign, _, 0)                                                                         \
    F(ID, limit, _, 0)

#define WIRE_FIELDS_ballot(F)                                                                      \
    F(U64, round, _, 0)                                                                            \
    F(ID, node, _, 0)

/* The admitted servers, dead or alive, sorted by id. `ring` is the id under which the ring was
 * founded. `takes`: rings that this one has offered to take in, sorted; `into`: the ring that this
 * one has gone into, zero: none. An epoch with `into` is a ring's last. `domains`: each
 * member's failure domain, WIRE_DOMAIN_MAX bytes each, zeros after its name; empty when none has
 * one. */
#define WIRE_FIELDS_roster(F)                                                                      \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U8, replicas, _, 0)                                                                          \
    F(IDS, members, _, WIRE_ROSTER_MAX)                                                            \
    F(IDS, takes, _, WIRE_TAKES_MAX)                                                               \
    F(ID, into, _, 0)                                                                              \
    F(BYTES, domains, _, WIRE_ROSTER_MAX * WIRE_DOMAIN_MAX)

/* A roster as it was stored before servers had failure domains, and before rings could unite. */
#define WIRE_FIELDS_roster_1(F)                                                                    \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U8, replicas, _, 0)                                                                          \
    F(IDS, members, _, WIRE_ROSTER_MAX)                                                            \
    F(IDS, takes, _, WIRE_TAKES_MAX)                                                               \
    F(ID, into, _, 0)
#define WIRE_FIELDS_roster_0(F)                                                                    \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U8, replicas, _, 0)                                                                          \
    F(IDS, members, _, WIRE_ROSTER_MAX)

/* What a node says of itself in every ping and pong. ready_epoch: its epoch, when it is ready for all
 * of its arcs, else 0. `taking`: it holds registers of a ring that has gone into another, which are
 * not taken in yet. `alike`: since a member went down last, each of its arcs was found the same as at
 * those of its live homes that it is the one to compare it with. `unwell`: its disk is full or
 * fails; it answers for no copies. */
#define WIRE_FIELDS_node_state(F)                                                                  \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, ready_epoch, _, 0)                                                                      \
    F(ID, successor, _, 0)                                                                         \
    F(ID, predecessor, _, 0)                                                                       \
    F(ID, coordinator, _, 0)                                                                       \
    F(U32, clients, _, 0)                                                                          \
    F(U64, rows, _, 0)                                                                             \
    F(BOOL, leaving, _, 0)                                                                         \
    F(BOOL, taking, _, 0)                                                                          \
    F(BOOL, alike, _, 0)                                                                           \
    F(BOOL, unwell, _, 0)

/* An immutable row of a set. kind: enum wire_row_kind. `from` is filled in by the sender's server.
 */
#define WIRE_FIELDS_row(F)                                                                         \
    F(ID, box, _, 0)                                                                               \
    F(MSGID, id, _, 0)                                                                             \
    F(U8, kind, _, 0)                                                                              \
    F(STR, from, _, WIRE_NAME_MAX)                                                                 \
    F(U64, stamp, _, 0)                                                                            \
    F(U64, expires, _, 0)                                                                          \
    F(BYTES, body, _, WIRE_BODY_MAX)

/* A register as an acceptor holds it: the highest ballot it accepted, and that value. */
#define WIRE_FIELDS_record(F)                                                                      \
    F(ID, key, _, 0)                                                                               \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(BYTES, value, _, WIRE_REGISTER_MAX)

/* A line of an arc's inventory: space (enum step_space), key, and a digest of its state. */
#define WIRE_FIELDS_item(F)                                                                        \
    F(U8, space, _, 0)                                                                             \
    F(BYTES, key, _, WIRE_KEY_MAX)                                                                 \
    F(MSGID, digest, _, 0)

#define WIRE_FIELDS_row_key(F)                                                                     \
    F(ID, box, _, 0)                                                                               \
    F(MSGID, id, _, 0)

/* An arc that its node is still copying, by its place in the roster, and the epoch whose homes it is
 * copied from. */
#define WIRE_FIELDS_arc_base(F)                                                                    \
    F(U8, arc, _, 0)                                                                               \
    F(U64, base, _, 0)

#define WIRE_FIELDS_server(F) F(STR, address, _, WIRE_ADDRESS_MAX)
#define WIRE_FIELDS_name(F)   F(STR, name, _, WIRE_NAME_MAX)

/* A server as another sees it. state: enum wire_node_status. */
#define WIRE_FIELDS_node(F)                                                                        \
    F(ID, id, _, 0)                                                                                \
    F(STR, address, _, WIRE_ADDRESS_MAX)                                                           \
    F(U64, incarnation, _, 0)                                                                      \
    F(U8, state, _, 0)                                                                             \
    F(ID, successor, _, 0)                                                                         \
    F(ID, predecessor, _, 0)                                                                       \
    F(U32, clients, _, 0)                                                                          \
    F(U64, rows, _, 0)                                                                             \
    F(STR, domain, _, WIRE_DOMAIN_MAX)

#define WIRE_STRUCTS(S)                                                                            \
    S(contact)                                                                                     \
    S(ring_state)                                                                                  \
    S(rumour)                                                                                      \
    S(ballot)                                                                                      \
    S(roster)                                                                                      \
    S(roster_0)                                                                                    \
    S(roster_1)                                                                                    \
    S(node_state)                                                                                  \
    S(row)                                                                                         \
    S(record)                                                                                      \
    S(item)                                                                                        \
    S(row_key)                                                                                     \
    S(arc_base)                                                                                    \
    S(server)                                                                                      \
    S(name)                                                                                        \
    S(node)

/* ---- between servers: every message names the id it is for ---- */

#define WIRE_NODE_HEADER(F)                                                                        \
    F(ID, to, _, 0)                                                                                \
    F(U64, stamp, _, 0)

/* What a node says of itself: at once on every new link and at every change; as the load of the
 * overlay's pings besides. ring: the id of the ring it is in, zero: none; size: its roster's. */
#define WIRE_FIELDS_n_state(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, ring, _, 0)                                                                              \
    F(U32, size, _, 0)                                                                             \
    F(STR, domain, _, WIRE_DOMAIN_MAX)                                                             \
    F(STRUCT, state, node_state, 0)

#define WIRE_FIELDS_n_contacts(F)                                                                  \
    WIRE_NODE_HEADER(F)                                                                            \
    F(LIST, contacts, contact, WIRE_ROSTER_MAX)

/* A node that is in no roster asks to be admitted; passed on to the coordinator. lost: the epoch of
 * the roster that names it all the same, since it has lost its state or may not trust it: it asks to
 * be renewed; 0: none does. */
#define WIRE_FIELDS_n_admit(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(STRUCT, contact, contact, 0)                                                                 \
    F(STR, domain, _, WIRE_DOMAIN_MAX)                                                             \
    F(U64, lost, _, 0)

/* A decided roster: to a member, the one that follows on its own. skips: those in between are no
 * longer known to the sender. */
#define WIRE_FIELDS_n_roster(F)                                                                    \
    WIRE_NODE_HEADER(F)                                                                            \
    F(STRUCT, roster, roster, 0)                                                                   \
    F(BOOL, skips, _, 0)

/* A decided roster of a ring that the sender is not in: one that it has met, or one that it was in
 * and that has gone into another. */
#define WIRE_FIELDS_n_other(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(STRUCT, roster, roster, 0)

/* Takes a server out of the roster; passed on to the coordinator, said again until the sender's own
 * roster no longer names it. The answer comes only when it is refused: why, for people. */
#define WIRE_FIELDS_n_remove(F)                                                                    \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, id, _, 0)
#define WIRE_FIELDS_n_removed(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(STR, text, _, WIRE_TEXT_MAX)

/* What the receiver holds of a register of a ring that has gone into another, of which it was a
 * member. The answer's code: NOT_FOUND (it was not a member), BUSY (not yet, or what it holds of
 * that ring was never complete). op 0: of one that is in no ring, and only has to know whether that
 * one has ended; n_other says so. */
#define WIRE_FIELDS_n_former(F)                                                                    \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, ring, _, 0)                                                                              \
    F(U64, op, _, 0)                                                                               \
    F(ID, key, _, 0)
#define WIRE_FIELDS_n_former_is(F)                                                                 \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(BYTES, value, _, WIRE_REGISTER_MAX)

/* Single-decree Paxos for the roster of `epoch`; acceptors are the members of the roster before it
 * and of the proposed one. newcomer: accepts first; lost: the member that has forgotten its votes, and
 * is not counted among the promises (zero: none). */
#define WIRE_FIELDS_n_roster_prepare(F)                                                            \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(STRUCT, base, roster, 0)
#define WIRE_FIELDS_n_roster_promise(F)                                                            \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(U16, code, _, 0)                                                                             \
    F(STRUCT, promised, ballot, 0)                                                                 \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(STRUCT, roster, roster, 0)
#define WIRE_FIELDS_n_roster_accept(F)                                                             \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(ID, newcomer, _, 0)                                                                          \
    F(ID, lost, _, 0)                                                                              \
    F(STRUCT, roster, roster, 0)
#define WIRE_FIELDS_n_roster_accepted(F)                                                           \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(U16, code, _, 0)                                                                             \
    F(STRUCT, promised, ballot, 0)

/* CASPaxos on home(key) (Rystsov, "CASPaxos: Replicated State Machines without logs", 2018).
 * `look`: nothing is to be promised. `next`: who accepts also promises this ballot, a higher one of
 * the same server's and epoch; round 0: none. */
#define WIRE_FIELDS_n_reg_prepare(F)                                                               \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(BOOL, look, _, 0)                                                                            \
    F(ID, key, _, 0)                                                                               \
    F(STRUCT, ballot, ballot, 0)
#define WIRE_FIELDS_n_reg_promise(F)                                                               \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(STRUCT, promised, ballot, 0)                                                                 \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(BYTES, value, _, WIRE_REGISTER_MAX)
#define WIRE_FIELDS_n_reg_accept(F)                                                                \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, key, _, 0)                                                                               \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(STRUCT, next, ballot, 0)                                                                     \
    F(BYTES, value, _, WIRE_REGISTER_MAX)
#define WIRE_FIELDS_n_reg_accepted(F)                                                              \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(STRUCT, ballot, ballot, 0)                                                                   \
    F(STRUCT, promised, ballot, 0)

/* Sets. `hint` is the dead home server that a stand-in holds the row for, or zero. `push` asks the
 * receiver to push the row to the recipient's server at once. */
#define WIRE_FIELDS_n_set_put(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, hint, _, 0)                                                                              \
    F(BOOL, push, _, 0)                                                                            \
    F(STRUCT, row, row, 0)
#define WIRE_FIELDS_n_set_ok(F)                                                                    \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)
#define WIRE_FIELDS_n_set_del(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, box, _, 0)                                                                               \
    F(MSGIDS, ids, _, WIRE_ACK_MAX)
/* Rows of a box with id > after, oldest first; `ids_only` answers with ids. */
#define WIRE_FIELDS_n_set_list(F)                                                                  \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, box, _, 0)                                                                               \
    F(MSGID, after, _, 0)                                                                          \
    F(BOOL, ids_only, _, 0)
#define WIRE_FIELDS_n_set_get(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, box, _, 0)                                                                               \
    F(MSGIDS, ids, _, WIRE_PAGE_ROWS)
#define WIRE_FIELDS_n_set_page(F)                                                                  \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(BOOL, more, _, 0)                                                                            \
    F(MSGIDS, ids, _, WIRE_PAGE_IDS)                                                               \
    F(LIST, rows, row, WIRE_PAGE_ROWS)

/* Repair. The roster cuts the ring into arcs whose keys share one home; an arc is (from, upto], both
 * roster members' ids. It is halved again and again: its parts at depth `bits` are numbered from 0,
 * clockwise; part i has the keys of which (key - from - 1) begins with the number i, written with
 * `bits` bits, when (upto - from - 1) is written without leading zeros. What is compared is as of
 * `cut`, in milliseconds: later rows, and those that are soon to expire, do not count.
 *
 * sums: of the parts from `first` on, 1 to WIRE_DIGESTS_MAX of them, a digest (u64) and a count (u32)
 * each. Whoever has the same says nothing. */
#define WIRE_FIELDS_n_arc_digest(F)                                                                \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(ID, from, _, 0)                                                                              \
    F(ID, upto, _, 0)                                                                              \
    F(U64, cut, _, 0)                                                                              \
    F(U8, bits, _, 0)                                                                              \
    F(U32, first, _, 0)                                                                            \
    F(BYTES, sums, _, 12 * WIRE_DIGESTS_MAX)
/* What the sender has of part `part`, in (space, key) order, from just after `after` (empty: from the
 * beginning); with `more` up to and with `end`, else to the part's end. Both are a space (u8) and a
 * key. */
#define WIRE_FIELDS_n_arc_items(F)                                                                 \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(ID, from, _, 0)                                                                              \
    F(ID, upto, _, 0)                                                                              \
    F(U64, cut, _, 0)                                                                              \
    F(U8, bits, _, 0)                                                                              \
    F(U32, part, _, 0)                                                                             \
    F(BYTES, after, _, WIRE_KEY_MAX)                                                               \
    F(BOOL, more, _, 0)                                                                            \
    F(BYTES, end, _, WIRE_KEY_MAX)                                                                 \
    F(LIST, items, item, WIRE_PAGE_ITEMS)
#define WIRE_FIELDS_n_pull(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(IDS, registers, _, WIRE_PAGE_ROWS)                                                           \
    F(LIST, rows, row_key, WIRE_PAGE_ROWS)
/* op != 0 asks for n_set_ok once all of it is durable: proof of possession. ring: whose registers
 * they are. */
#define WIRE_FIELDS_n_records(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(LIST, records, record, WIRE_PAGE_ROWS)                                                       \
    F(LIST, rows, row, WIRE_PAGE_ROWS)
/* Asks for the keys of ]from, upto], of which the receiver was a ready home in the epoch `base`; it
 * seals that one by adopting `roster` first. `cursor` is the last page's `next`. The answer's code:
 * NOT_FOUND (it was not ready for them then), STALE, BUSY. */
#define WIRE_FIELDS_n_copy(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(STRUCT, roster, roster, 0)                                                                   \
    F(U64, base, _, 0)                                                                             \
    F(ID, from, _, 0)                                                                              \
    F(ID, upto, _, 0)                                                                              \
    F(U64, op, _, 0)                                                                               \
    F(BYTES, cursor, _, WIRE_KEY_MAX)
#define WIRE_FIELDS_n_copy_page(F)                                                                 \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, epoch, _, 0)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(BOOL, more, _, 0)                                                                            \
    F(BYTES, next, _, WIRE_KEY_MAX)                                                                \
    F(LIST, records, record, WIRE_PAGE_ROWS)                                                       \
    F(LIST, rows, row, WIRE_PAGE_ROWS)

/* Where an account's session is (soft state at home(box)); generation fences older sessions. */
#define WIRE_FIELDS_n_session_open(F)                                                              \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, box, _, 0)                                                                               \
    F(U64, generation, _, 0)                                                                       \
    F(U64, active, _, 0)
#define WIRE_FIELDS_n_session_ok(F)                                                                \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, box, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(U64, generation, _, 0)
#define WIRE_FIELDS_n_session_close(F)                                                             \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, box, _, 0)                                                                               \
    F(U64, generation, _, 0)                                                                       \
    F(U64, last_seen, _, 0)
#define WIRE_FIELDS_n_session_taken(F)                                                             \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, box, _, 0)                                                                               \
    F(U64, generation, _, 0)
#define WIRE_FIELDS_n_presence_get(F)                                                              \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, box, _, 0)
#define WIRE_FIELDS_n_presence(F)                                                                  \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, box, _, 0)                                                                               \
    F(BOOL, online, _, 0)                                                                          \
    F(U64, last_seen, _, 0)                                                                        \
    F(U64, generation, _, 0)
#define WIRE_FIELDS_n_push(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(STRUCT, row, row, 0)
/* author: the same for rows whose `from` is the same, and hardly ever for others. */
#define WIRE_FIELDS_n_notice(F)                                                                    \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, box, _, 0)                                                                               \
    F(U64, author, _, 0)                                                                           \
    F(MSGIDS, ids, _, WIRE_ACK_MAX)

/* ---- the overlay (peal/ring.h): between nodes, 40 to 63 ---- */

/* First on every link, from both sides. `to` is zero when only an address was dialled. */
#define WIRE_FIELDS_r_hello(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U16, version, _, 0)                                                                          \
    F(STRUCT, contact, contact, 0)                                                                 \
    F(STRUCT, state, ring_state, 0)
/* Answered at once, whatever else goes on. `load`: opaque, the layer above's. */
#define WIRE_FIELDS_r_ping(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, nonce, _, 0)                                                                            \
    F(STRUCT, state, ring_state, 0)                                                                \
    F(BYTES, load, _, WIRE_LOAD_MAX)                                                               \
    F(LIST, rumours, rumour, WIRE_RUMOURS_MAX)
#define WIRE_FIELDS_r_pong(F) WIRE_FIELDS_r_ping(F)
/* Asks for predecessor and successor list. `have`: digest of the answer that the asker got last
 * from this node, or 0. */
#define WIRE_FIELDS_r_query(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U64, have, _, 0)
/* code 0: here it is; STALE: as `have` says, and the lists are empty; BUSY: pending, the answer
 * comes later; REFUSED: not a member. predecessor: none (its id zero) or one; an artificial
 * successor has an id and no address. Unasked (op 0, STALE): the sender's list is another than
 * before, and its predecessor may ask at once. */
#define WIRE_FIELDS_r_view(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U16, code, _, 0)                                                                             \
    F(U64, digest, _, 0)                                                                           \
    F(STRUCT, state, ring_state, 0)                                                                \
    F(LIST, predecessor, contact, 1)                                                               \
    F(LIST, successors, contact, WIRE_SUCCESSORS_MAX)
/* Zave's notify: the sender believes that the receiver is its successor. */
#define WIRE_FIELDS_r_notify(F)                                                                    \
    WIRE_NODE_HEADER(F)                                                                            \
    F(STRUCT, state, ring_state, 0)
/* A lookup on its way. kind: enum ring_find_kind. path: who it passed, the asker first, the sender
 * last. spare: how many more hedges it may have. Acknowledged at once by r_find_ack. */
#define WIRE_FIELDS_r_find(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U8, kind, _, 0)                                                                              \
    F(U8, spare, _, 0)                                                                             \
    F(ID, key, _, 0)                                                                               \
    F(IDS, path, _, WIRE_PATH_MAX)
#define WIRE_FIELDS_r_find_ack(F)                                                                  \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(ID, asker, _, 0)
/* Goes back along the path: `at` is the place in path of the node that it is for now. code 0; or
 * UNAVAILABLE, TOO_LONG (hop limit). BUSY and REFUSED come instead of an acknowledgement and end at
 * the hop before: `at` is the last place of the path. */
#define WIRE_FIELDS_r_found(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U64, op, _, 0)                                                                               \
    F(U8, kind, _, 0)                                                                              \
    F(U16, code, _, 0)                                                                             \
    F(ID, key, _, 0)                                                                               \
    F(LIST, owner, contact, 1)                                                                     \
    F(LIST, predecessor, contact, 1)                                                               \
    F(U8, at, _, 0)                                                                                \
    F(IDS, path, _, WIRE_PATH_MAX)
/* Rumours that no ping took along in time. */
#define WIRE_FIELDS_r_rumours(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(LIST, rumours, rumour, WIRE_RUMOURS_MAX)
/* Compares what two nodes know of the ring: a digest, 8 bytes, for each equal part of (from, upto],
 * over the living in it, the sender among them; 0: it knows of nobody there. from == upto: all of
 * the ring, `from` last. 1 to WIRE_DIGESTS_MAX parts; the k-th of n, counted from 1, ends at k/n of
 * the distance, rounded down. */
#define WIRE_FIELDS_r_compare(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, from, _, 0)                                                                              \
    F(ID, upto, _, 0)                                                                              \
    F(BYTES, digests, _, 8 * WIRE_DIGESTS_MAX)
/* Who lives in (from, upto], as far as the sender knows. ask: that is all of them, send back who is
 * missing. */
#define WIRE_FIELDS_r_known(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, from, _, 0)                                                                              \
    F(ID, upto, _, 0)                                                                              \
    F(BOOL, ask, _, 0)                                                                             \
    F(LIST, rumours, rumour, WIRE_RUMOURS_MAX)
/* A broadcast: to be passed on to the nodes before `limit`, clockwise. (origin, seq) names it. */
#define WIRE_FIELDS_r_cast(F)                                                                      \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, origin, _, 0)                                                                            \
    F(U64, seq, _, 0)                                                                              \
    F(U8, kind, _, 0)                                                                              \
    F(U8, depth, _, 0)                                                                             \
    F(ID, limit, _, 0)                                                                             \
    F(BYTES, body, _, WIRE_CAST_MAX)
/* Chang and Roberts: a candidature, and the winner's announcement, both clockwise. */
#define WIRE_FIELDS_r_elect(F)                                                                     \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, candidate, _, 0)                                                                         \
    F(U32, hops, _, 0)
#define WIRE_FIELDS_r_elected(F)                                                                   \
    WIRE_NODE_HEADER(F)                                                                            \
    F(ID, coordinator, _, 0)                                                                       \
    F(U32, hops, _, 0)
/* code 0: the sender leaves in good order, it counts as failed from now on. Else: only this link
 * ends, for want of room (BUSY) or need (CLOSED); the sender lives. */
#define WIRE_FIELDS_r_bye(F)                                                                       \
    WIRE_NODE_HEADER(F)                                                                            \
    F(U16, code, _, 0)

/* ---- between client and server: req is the client's, echoed in the one answer ---- */

#define WIRE_FIELDS_c_hello(F)                                                                     \
    F(U16, version, _, 0)                                                                          \
    F(STR, agent, _, WIRE_ADDRESS_MAX)
#define WIRE_FIELDS_c_welcome(F)                                                                   \
    F(U16, version, _, 0)                                                                          \
    F(STR, agent, _, WIRE_ADDRESS_MAX)                                                             \
    F(ID, server, _, 0)                                                                            \
    F(U64, now, _, 0)                                                                              \
    F(LIST, servers, server, WIRE_ROSTER_MAX)
#define WIRE_FIELDS_c_error(F)                                                                     \
    F(U64, req, _, 0)                                                                              \
    F(U16, code, _, 0)                                                                             \
    F(STR, message, _, WIRE_TEXT_MAX)                                                              \
    F(STR, hint, _, WIRE_TEXT_MAX)
#define WIRE_FIELDS_c_ok(F) F(U64, req, _, 0)
#define WIRE_FIELDS_c_find(F)                                                                      \
    F(U64, req, _, 0)                                                                              \
    F(STR, name, _, WIRE_NAME_MAX)
#define WIRE_FIELDS_c_user(F)                                                                      \
    F(U64, req, _, 0)                                                                              \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(STR, display, _, WIRE_NAME_MAX)                                                              \
    F(BYTES, bundle, _, WIRE_BUNDLE_MAX)                                                           \
    F(BYTES, salt, _, 16)                                                                          \
    F(U32, ops, _, 0)                                                                              \
    F(U32, mem_kib, _, 0)                                                                          \
    F(BOOL, online, _, 0)                                                                          \
    F(U64, last_seen, _, 0)
/* req_id makes a retry return the first outcome instead of "taken". recovery: what the server keeps
 * of the recovery key (crypto.h), rescued: the private keys under its other half; both empty: there
 * is no such key. */
#define WIRE_FIELDS_c_register(F)                                                                  \
    F(U64, req, _, 0)                                                                              \
    F(MSGID, req_id, _, 0)                                                                         \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(STR, display, _, WIRE_NAME_MAX)                                                              \
    F(BYTES, salt, _, 16)                                                                          \
    F(U32, ops, _, 0)                                                                              \
    F(U32, mem_kib, _, 0)                                                                          \
    F(BYTES, auth, _, 32)                                                                          \
    F(BYTES, bundle, _, WIRE_BUNDLE_MAX)                                                           \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)                                                         \
    F(BYTES, recovery, _, 32)                                                                      \
    F(BYTES, rescued, _, WIRE_WRAPPED_MAX)
#define WIRE_FIELDS_c_login(F)                                                                     \
    F(U64, req, _, 0)                                                                              \
    F(MSGID, req_id, _, 0)                                                                         \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BYTES, auth, _, 32)
#define WIRE_FIELDS_c_resume(F)                                                                    \
    F(U64, req, _, 0)                                                                              \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BYTES, token, _, WIRE_TOKEN_BYTES)
#define WIRE_FIELDS_c_session(F)                                                                   \
    F(U64, req, _, 0)                                                                              \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(STR, display, _, WIRE_NAME_MAX)                                                              \
    F(U64, generation, _, 0)                                                                       \
    F(BYTES, token, _, WIRE_TOKEN_BYTES)                                                           \
    F(BYTES, bundle, _, WIRE_BUNDLE_MAX)                                                           \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)                                                         \
    F(BOOL, receipts, _, 0)                                                                        \
    F(U16, unread, _, 0)                                                                           \
    F(U16, session_days, _, 0)
#define WIRE_FIELDS_c_logout(F) F(U64, req, _, 0)
/* kind: WIRE_ROW_MESSAGE or WIRE_ROW_RECEIPT. Answered by c_stored or c_unsent with the same id, in
 * any order. */
#define WIRE_FIELDS_c_send(F)                                                                      \
    F(MSGID, id, _, 0)                                                                             \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(U8, kind, _, 0)                                                                              \
    F(BYTES, body, _, WIRE_BODY_MAX)
#define WIRE_FIELDS_c_stored(F) F(MSGIDS, ids, _, WIRE_ACK_MAX)
#define WIRE_FIELDS_c_unsent(F)                                                                    \
    F(MSGID, id, _, 0)                                                                             \
    F(U16, code, _, 0)                                                                             \
    F(STR, message, _, WIRE_TEXT_MAX)                                                              \
    F(STR, hint, _, WIRE_TEXT_MAX)
#define WIRE_FIELDS_c_deliver(F) F(LIST, rows, row, WIRE_PAGE_ROWS)
/* The client has these rows on its disk; the ring forgets them. */
#define WIRE_FIELDS_c_ack(F) F(MSGIDS, ids, _, WIRE_ACK_MAX)
/* Replaces the set of names whose presence is pushed. */
#define WIRE_FIELDS_c_watch(F) F(LIST, names, name, WIRE_WATCH_MAX)
#define WIRE_FIELDS_c_presence(F)                                                                  \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BOOL, online, _, 0)                                                                          \
    F(U64, last_seen, _, 0)
#define WIRE_FIELDS_c_ping(F)    F(U64, nonce, _, 0)
#define WIRE_FIELDS_c_pong(F)    F(U64, nonce, _, 0)
#define WIRE_FIELDS_c_servers(F) F(LIST, servers, server, WIRE_ROSTER_MAX)
/* The server ends the session or the link. code TAKEN_OVER: do not come back by yourself. */
#define WIRE_FIELDS_c_bye(F)                                                                       \
    F(U16, code, _, 0)                                                                             \
    F(STR, message, _, WIRE_TEXT_MAX)
/* The ring as the server sees it; `observe` asks for c_ring at every change and for c_trace, on
 * this link from now on. */
#define WIRE_FIELDS_c_ring_get(F)                                                                  \
    F(U64, req, _, 0)                                                                              \
    F(BOOL, observe, _, 0)
#define WIRE_FIELDS_c_ring(F)                                                                      \
    F(U64, req, _, 0)                                                                              \
    F(ID, seen_by, _, 0)                                                                           \
    F(U64, at, _, 0)                                                                               \
    F(BOOL, whole, _, 0)                                                                           \
    F(U64, epoch, _, 0)                                                                            \
    F(ID, coordinator, _, 0)                                                                       \
    F(LIST, nodes, node, WIRE_ROSTER_MAX)
#define WIRE_FIELDS_c_trace(F)                                                                     \
    F(U64, at, _, 0)                                                                               \
    F(ID, node, _, 0)                                                                              \
    F(STR, kind, _, WIRE_ADDRESS_MAX)                                                              \
    F(STR, text, _, WIRE_TEXT_MAX)
/* Where the record of a name is, and the way there. */
#define WIRE_FIELDS_c_lookup(F)                                                                    \
    F(U64, req, _, 0)                                                                              \
    F(STR, name, _, WIRE_NAME_MAX)
/* path: the asked server first, the owner last. With req 0, to observers: somebody else asked. */
#define WIRE_FIELDS_c_path(F)                                                                      \
    F(U64, req, _, 0)                                                                              \
    F(ID, key, _, 0)                                                                               \
    F(ID, owner, _, 0)                                                                             \
    F(IDS, path, _, WIRE_PATH_MAX)                                                                 \
    F(U64, micros, _, 0)

/* The operator takes a server that is gone for good out of the ring (crypto.h, cry_remove_sign): out
 * of the roster of that epoch, and of no other. Answered with c_ok, once it is done, or c_error. */
#define WIRE_FIELDS_c_remove(F)                                                                    \
    F(U64, req, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(ID, id, _, 0)                                                                                \
    F(BYTES, proof, _, 64)

/* Another password, said with the old one's authentication key: hash, salt and cost, the wrapped
 * keys and the token change together, and every other session ends. Outside a session it is a login
 * as well. A retry by req_id, through any server, has the first outcome. */
#define WIRE_FIELDS_c_password(F)                                                                  \
    F(U64, req, _, 0)                                                                              \
    F(MSGID, req_id, _, 0)                                                                         \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BYTES, auth, _, 32)                                                                          \
    F(BYTES, salt, _, 16)                                                                          \
    F(U32, ops, _, 0)                                                                              \
    F(U32, mem_kib, _, 0)                                                                          \
    F(BYTES, new_auth, _, 32)                                                                      \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)

/* The keys of an account whose password is forgotten; auth: the recovery key's authenticating half.
 */
#define WIRE_FIELDS_c_rescue(F)                                                                    \
    F(U64, req, _, 0)                                                                              \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BYTES, auth, _, 32)
#define WIRE_FIELDS_c_rescued(F)                                                                   \
    F(U64, req, _, 0)                                                                              \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)                                                         \
    F(BYTES, bundle, _, WIRE_BUNDLE_MAX)
/* Another password, said with the recovery key, and another recovery key instead of this one:
 * otherwise as c_password outside a session. */
#define WIRE_FIELDS_c_reset(F)                                                                     \
    F(U64, req, _, 0)                                                                              \
    F(MSGID, req_id, _, 0)                                                                         \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BYTES, auth, _, 32)                                                                          \
    F(BYTES, salt, _, 16)                                                                          \
    F(U32, ops, _, 0)                                                                              \
    F(U32, mem_kib, _, 0)                                                                          \
    F(BYTES, new_auth, _, 32)                                                                      \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)                                                         \
    F(BYTES, recovery, _, 32)                                                                      \
    F(BYTES, rescued, _, WIRE_WRAPPED_MAX)
/* Another recovery key for the session's account, said with the password's authentication key. */
#define WIRE_FIELDS_c_recovery(F)                                                                  \
    F(U64, req, _, 0)                                                                              \
    F(MSGID, req_id, _, 0)                                                                         \
    F(BYTES, auth, _, 32)                                                                          \
    F(BYTES, recovery, _, 32)                                                                      \
    F(BYTES, rescued, _, WIRE_WRAPPED_MAX)

/* What the session's account is called and how it is used, all of it at once: whether its clients
 * tell others what they have read, how many unread messages they show at a time (0: all), after how
 * many days a session's token is void (0: never). */
#define WIRE_FIELDS_c_settings(F)                                                                  \
    F(U64, req, _, 0)                                                                              \
    F(STR, display, _, WIRE_NAME_MAX)                                                              \
    F(BOOL, receipts, _, 0)                                                                        \
    F(U16, unread, _, 0)                                                                           \
    F(U16, session_days, _, 0)

/* The end of the account, said with the password's authentication key: credentials, keys and
 * settings are erased, sessions end, the mailbox is emptied. Its name stays taken for 30 days. In a
 * session it is of this name; it needs none. */
#define WIRE_FIELDS_c_delete(F)                                                                    \
    F(U64, req, _, 0)                                                                              \
    F(MSGID, req_id, _, 0)                                                                         \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(BYTES, auth, _, 32)

/* ---- multicast ----
 * m_beacon travels sealed under the ring's beacon key. Its signature is the sender's own (cry_sign,
 * domain "peal.beacon.1") over the message encoded with an empty signature; stamp: the sender's
 * clock in milliseconds, higher with each beacon. The core leaves both empty, the host fills them
 * in. m_probe and m_answer are for clients, which
 * hold no ring key: in the clear, and trusted for nothing but an address to try; the fingerprint is
 * checked against the pin by TLS. */
#define WIRE_FIELDS_m_beacon(F)                                                                    \
    F(STRUCT, contact, contact, 0)                                                                 \
    F(ID, ring, _, 0)                                                                              \
    F(U64, epoch, _, 0)                                                                            \
    F(U32, size, _, 0)                                                                             \
    F(U64, stamp, _, 0)                                                                            \
    F(BYTES, signature, _, 64)
#define WIRE_FIELDS_m_probe(F) F(U16, version, _, 0)
#define WIRE_FIELDS_m_answer(F)                                                                    \
    F(U16, version, _, 0)                                                                          \
    F(STR, address, _, WIRE_ADDRESS_MAX)                                                           \
    F(BYTES, fingerprint, _, 32)

/* ---- stored: never on a link; the values of a node's own spaces (docs/protocol.md) ---- */

/* An account's register. `token` is the BLAKE2b-256 of the session token that may resume, given at
 * `token_at`; `request` the registration that made it, `logins` the last logins and other requests
 * that changed it, the newest first, 16 bytes each (a retry of any of these returns the first
 * outcome). `salt`, ops, mem_kib: the client's Argon2id. `recovery`: the hash of the recovery key's
 * authenticating half (crypto.h), empty: none; `rescued`: the private keys under its other half.
 * `receipts`, `unread`, `session_days`: the account's settings (c_settings). `deleted`: when it
 * was, 0: it was not; of a deleted one name, created, cred_epoch, generation and logins are left. */
#define WIRE_FIELDS_s_account(F)                                                                   \
    WIRE_FIELDS_s_account_1(F)                                                                     \
    F(BYTES, recovery, _, 32)                                                                      \
    F(BYTES, rescued, _, WIRE_WRAPPED_MAX)                                                         \
    F(BOOL, receipts, _, 0)                                                                        \
    F(U16, unread, _, 0)                                                                           \
    F(U16, session_days, _, 0)                                                                     \
    F(U64, token_at, _, 0)                                                                         \
    F(U64, deleted, _, 0)

/* The same as it was stored before there were recovery keys and settings. */
#define WIRE_FIELDS_s_account_1(F)                                                                 \
    F(U8, version, _, 0)                                                                           \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(STR, display, _, WIRE_NAME_MAX)                                                              \
    F(U64, created, _, 0)                                                                          \
    F(U64, cred_epoch, _, 0)                                                                       \
    F(U64, generation, _, 0)                                                                       \
    F(BYTES, token, _, 32)                                                                         \
    F(MSGID, request, _, 0)                                                                        \
    F(BYTES, logins, _, WIRE_LOGINS_MAX * 16)                                                      \
    F(STR, bcrypt, _, 64)                                                                          \
    F(BYTES, salt, _, 16)                                                                          \
    F(U32, ops, _, 0)                                                                              \
    F(U32, mem_kib, _, 0)                                                                          \
    F(BYTES, bundle, _, WIRE_BUNDLE_MAX)                                                           \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)

/* The same as it was stored before logins were remembered. */
#define WIRE_FIELDS_s_account_0(F)                                                                 \
    F(U8, version, _, 0)                                                                           \
    F(STR, name, _, WIRE_NAME_MAX)                                                                 \
    F(STR, display, _, WIRE_NAME_MAX)                                                              \
    F(U64, created, _, 0)                                                                          \
    F(U64, cred_epoch, _, 0)                                                                       \
    F(U64, generation, _, 0)                                                                       \
    F(BYTES, token, _, 32)                                                                         \
    F(MSGID, request, _, 0)                                                                        \
    F(STR, bcrypt, _, 64)                                                                          \
    F(BYTES, salt, _, 16)                                                                          \
    F(U32, ops, _, 0)                                                                              \
    F(U32, mem_kib, _, 0)                                                                          \
    F(BYTES, bundle, _, WIRE_BUNDLE_MAX)                                                           \
    F(BYTES, wrapped, _, WIRE_WRAPPED_MAX)

/* A row in STEP_ROWS under box ‖ id; `hint` is the home it is held for, or zero. */
#define WIRE_FIELDS_s_row(F)                                                                       \
    F(ID, hint, _, 0)                                                                              \
    F(STRUCT, row, row, 0)

/* An acceptor's state of a register, in STEP_REGISTERS under its key. */
#define WIRE_FIELDS_s_register(F)                                                                  \
    F(STRUCT, promised, ballot, 0)                                                                 \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(BYTES, value, _, WIRE_REGISTER_MAX)

/* The roster's acceptor, in STEP_META under "roster": the decided roster, what was promised and
 * accepted for the next epoch (or, in none, the one that admits or renews this node), and what this
 * node's copies are worth. ready: a bit for each arc, by its place in the roster. trusted: what it was
 * ready for before that epoch does not count. of: the ring whose registers it has, zero: none. */
#define WIRE_FIELDS_s_roster(F)                                                                    \
    F(STRUCT, decided, roster, 0)                                                                  \
    F(U64, ready, _, 0)                                                                            \
    F(LIST, copying, arc_base, WIRE_ROSTER_MAX)                                                    \
    F(U64, trusted, _, 0)                                                                          \
    F(STRUCT, promised, ballot, 0)                                                                 \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(STRUCT, proposal, roster, 0)                                                                 \
    F(BOOL, renewal, _, 0)                                                                         \
    F(ID, of, _, 0)

/* The same as earlier builds wrote it: read, and written anew in the other form. ready_epoch: the
 * epoch for which this node's copies were complete. */
#define WIRE_FIELDS_s_roster_1(F)                                                                  \
    F(STRUCT, decided, roster_1, 0)                                                                \
    F(U64, ready_epoch, _, 0)                                                                      \
    F(STRUCT, promised, ballot, 0)                                                                 \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(STRUCT, proposal, roster_1, 0)
#define WIRE_FIELDS_s_roster_0(F)                                                                  \
    F(STRUCT, decided, roster_0, 0)                                                                \
    F(U64, ready_epoch, _, 0)                                                                      \
    F(STRUCT, promised, ballot, 0)                                                                 \
    F(STRUCT, accepted, ballot, 0)                                                                 \
    F(STRUCT, proposal, roster_0, 0)

/* An epoch that is over, and what this node was ready for at its end, in STEP_META under "past" ‖
 * the ring's id ‖ epoch, a u64. */
#define WIRE_FIELDS_s_past(F)                                                                      \
    F(STRUCT, roster, roster, 0)                                                                   \
    F(U64, ready, _, 0)

/* A ring that this node was a member of and that has gone into another: its last roster, and whether
 * this node's copies of its registers were complete. In STEP_META under "former" ‖ the ring's id;
 * its registers that are not taken in yet (s_register) are under "moved/" ‖ the ring's id ‖ key, those
 * that cannot be, since the name belongs to somebody else, under "aside/" ‖ the same. */
#define WIRE_FIELDS_s_former(F)                                                                    \
    F(STRUCT, roster, roster, 0)                                                                   \
    F(BOOL, ready, _, 0)
/* The same as earlier builds wrote it. */
#define WIRE_FIELDS_s_former_1(F)                                                                  \
    F(STRUCT, roster, roster_1, 0)                                                                 \
    F(BOOL, ready, _, 0)

/* A node that the overlay knows, in STEP_META under "known" ‖ id. */
#define WIRE_FIELDS_s_known(F)                                                                     \
    F(STRUCT, contact, contact, 0)                                                                 \
    F(U64, stamp, _, 0)                                                                            \
    F(BOOL, dead, _, 0)

#define WIRE_MESSAGES(M)                                                                           \
    M(1, n_state)                                                                                  \
    M(4, n_contacts)                                                                               \
    M(5, n_admit)                                                                                  \
    M(6, n_roster)                                                                                 \
    M(7, n_roster_prepare)                                                                         \
    M(8, n_roster_promise)                                                                         \
    M(9, n_roster_accept)                                                                          \
    M(10, n_roster_accepted)                                                                       \
    M(11, n_reg_prepare)                                                                           \
    M(12, n_reg_promise)                                                                           \
    M(13, n_reg_accept)                                                                            \
    M(14, n_reg_accepted)                                                                          \
    M(15, n_set_put)                                                                               \
    M(16, n_set_ok)                                                                                \
    M(17, n_set_del)                                                                               \
    M(18, n_set_list)                                                                              \
    M(19, n_set_get)                                                                               \
    M(20, n_set_page)                                                                              \
    M(21, n_arc_digest)                                                                            \
    M(22, n_arc_items)                                                                             \
    M(23, n_pull)                                                                                  \
    M(24, n_records)                                                                               \
    M(25, n_copy)                                                                                  \
    M(26, n_copy_page)                                                                             \
    M(27, n_other)                                                                                 \
    M(28, n_former)                                                                                \
    M(29, n_former_is)                                                                             \
    M(30, n_remove)                                                                                \
    M(31, n_removed)                                                                               \
    M(32, n_session_open)                                                                          \
    M(33, n_session_ok)                                                                            \
    M(34, n_session_close)                                                                         \
    M(35, n_session_taken)                                                                         \
    M(36, n_presence_get)                                                                          \
    M(37, n_presence)                                                                              \
    M(38, n_push)                                                                                  \
    M(39, n_notice)                                                                                \
    M(40, r_hello)                                                                                 \
    M(41, r_ping)                                                                                  \
    M(42, r_pong)                                                                                  \
    M(43, r_query)                                                                                 \
    M(44, r_view)                                                                                  \
    M(45, r_notify)                                                                                \
    M(46, r_find)                                                                                  \
    M(47, r_find_ack)                                                                              \
    M(48, r_found)                                                                                 \
    M(49, r_rumours)                                                                               \
    M(50, r_compare)                                                                               \
    M(51, r_known)                                                                                 \
    M(52, r_cast)                                                                                  \
    M(53, r_elect)                                                                                 \
    M(54, r_elected)                                                                               \
    M(55, r_bye)                                                                                   \
    M(64, c_hello)                                                                                 \
    M(65, c_welcome)                                                                               \
    M(66, c_error)                                                                                 \
    M(67, c_ok)                                                                                    \
    M(68, c_find)                                                                                  \
    M(69, c_user)                                                                                  \
    M(70, c_register)                                                                              \
    M(71, c_login)                                                                                 \
    M(72, c_resume)                                                                                \
    M(73, c_session)                                                                               \
    M(74, c_logout)                                                                                \
    M(75, c_send)                                                                                  \
    M(76, c_stored)                                                                                \
    M(77, c_unsent)                                                                                \
    M(78, c_deliver)                                                                               \
    M(79, c_ack)                                                                                   \
    M(80, c_watch)                                                                                 \
    M(81, c_presence)                                                                              \
    M(82, c_ping)                                                                                  \
    M(83, c_pong)                                                                                  \
    M(84, c_servers)                                                                               \
    M(85, c_bye)                                                                                   \
    M(86, c_ring_get)                                                                              \
    M(87, c_ring)                                                                                  \
    M(88, c_trace)                                                                                 \
    M(89, c_lookup)                                                                                \
    M(90, c_path)                                                                                  \
    M(91, c_remove)                                                                                \
    M(92, c_password)                                                                              \
    M(93, c_rescue)                                                                                \
    M(94, c_rescued)                                                                               \
    M(95, c_reset)                                                                                 \
    M(96, c_recovery)                                                                              \
    M(97, c_settings)                                                                              \
    M(98, c_delete)                                                                                \
    M(112, m_beacon)                                                                               \
    M(113, m_probe)                                                                                \
    M(114, m_answer)                                                                               \
    M(128, s_account_0)                                                                            \
    M(129, s_row)                                                                                  \
    M(130, s_register)                                                                             \
    M(131, s_roster_0)                                                                             \
    M(133, s_known)                                                                                \
    M(134, s_former_1)                                                                             \
    M(135, s_roster_1)                                                                             \
    M(136, s_roster)                                                                               \
    M(137, s_past)                                                                                 \
    M(138, s_former)                                                                               \
    M(139, s_account_1)                                                                            \
    M(140, s_account)

enum {
    WIRE_FIRST_SERVICE = 32,
    WIRE_FIRST_RING = 40,
    WIRE_FIRST_CLIENT = 64,
    WIRE_FIRST_MULTICAST = 112,
    WIRE_FIRST_STORED = 128
};

enum { WIRE_VERSION = 1 };

enum wire_row_kind {
    WIRE_ROW_TOMBSTONE = 0, /* the row was acknowledged; stands until `expires` so that repair
                               cannot bring it back */
    WIRE_ROW_MESSAGE = 1,   /* body: an envelope */
    WIRE_ROW_RECEIPT = 2,   /* body: a receipt signed by its author */
    WIRE_ROW_EXPIRED = 3, /* a server's word that a message waited in vain. body: the message's id;
                             its own id and everything else follow from the message's row */
};

enum wire_node_status {
    WIRE_NODE_DOWN = 0,
    WIRE_NODE_UP = 1,
    WIRE_NODE_JOINING = 2,
    WIRE_NODE_LEAVING = 3,
    WIRE_NODE_UNWELL = 4 /* it is there, but its disk is full or fails */
};

#endif
