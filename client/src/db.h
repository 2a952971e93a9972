/* db: what the files of the profile share: the open file and its prepared statements.
 *
 * A statement is taken with db_use, bound, stepped, and given back with db_done; a second use of
 * one that is not given back is a broken invariant. */
#ifndef PEAL_CLIENT_DB_H
#define PEAL_CLIENT_DB_H

#include <sqlite3.h>

#include "profile.h"

/* X(NAME, text) */
#define DB_STATEMENTS(X)                                                                           \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(META_GET, "SELECT value FROM meta WHERE key=?1")                                             \
    X(META_SET, "INSERT INTO meta(key,value) VALUES(?1,?2)"                                        \
                " ON CONFLICT(key) DO UPDATE SET value=?2")                                        \
    X(ACCOUNT_GET, "SELECT name,display,token,generation,keys FROM account WHERE one=1")           \
    X(ACCOUNT_SET, "INSERT OR REPLACE INTO account(one,name,display,token,generation,keys)"        \
                   " VALUES(1,?1,?2,?3,?4,?5)")                                                    \
    X(ACCOUNT_CLEAR, "DELETE FROM account")                                                        \
    X(SERVER_ADD, "INSERT OR REPLACE INTO server(address,seen) VALUES(?1,?2)")                     \
    X(SERVER_TRIM, "DELETE FROM server WHERE address NOT IN"                                       \
                   " (SELECT address FROM server ORDER BY seen DESC LIMIT ?1)")                    \
    X(SERVERS, "SELECT address FROM server ORDER BY seen DESC")                                    \
    X(CONTACT_GET, "SELECT bundle,changed FROM contact WHERE me=?1 AND name=?2")                   \
    X(CONTACT_PIN, "INSERT INTO contact(me,name,bundle,changed) VALUES(?1,?2,?3,0)")               \
    X(CONTACT_CHANGED, "UPDATE contact SET changed=?3 WHERE me=?1 AND name=?2")                    \
    X(CONTACT_REPIN, "UPDATE contact SET bundle=?3, changed=0 WHERE me=?1 AND name=?2")            \
    X(VERIFIED_GET, "SELECT own,theirs FROM verified WHERE me=?1 AND name=?2")                     \
    X(VERIFIED_SET, "INSERT OR REPLACE INTO verified(me,name,own,theirs) VALUES(?1,?2,?3,?4)")     \
    X(VERIFIED_DEL, "DELETE FROM verified WHERE me=?1 AND name=?2")                                \
    X(SEALED, "SELECT id,stamp,raw FROM message WHERE me=?1 AND peer=?2 AND outgoing=0"            \
              " AND state=5 AND raw IS NOT NULL AND (stamp,id)>(?3,?4)"                            \
              " ORDER BY stamp, id LIMIT ?5")                                                      \
    X(SEALED_DEL, "DELETE FROM message WHERE me=?1 AND id=?2 AND outgoing=0 AND state=5"           \
                  " AND raw IS NOT NULL")                                                          \
    X(MESSAGE_ADD,                                                                                 \
      "INSERT OR IGNORE INTO message(me,id,peer,outgoing,unread,state,stamp,text,raw)"             \
      " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)")                                                       \
    X(MESSAGE_ADVANCE, "UPDATE message SET state=?4 WHERE me=?1 AND id=?2 AND outgoing=1"          \
                       " AND CASE WHEN ?4=6 THEN state=2 WHEN state=6 THEN ?4 IN (3,4)"            \
                       " ELSE state<?4 END AND (?3 IS NULL OR peer=?3)")                           \
    X(MESSAGE_PEER, "SELECT peer FROM message WHERE me=?1 AND id=?2 AND outgoing=1")               \
    X(MESSAGE_STATE, "SELECT state FROM message WHERE me=?1 AND id=?2")                            \
    X(MESSAGE_READ, "UPDATE message SET unread=0, state=max(state,4) WHERE me=?1 AND id=?2"        \
                    " AND outgoing=0")                                                             \
    X(LAST_STAMP, "SELECT max(stamp) FROM message WHERE me=?1 AND outgoing=1")                     \
    X(STAMP_OF, "SELECT stamp FROM message WHERE me=?1 AND id=?2")                                 \
    X(HISTORY, "SELECT id,peer,outgoing,unread,state,stamp,text FROM ("                            \
               "SELECT * FROM message WHERE me=?1 AND peer=?2 AND (stamp,id)<(?3,?4)"              \
               " ORDER BY stamp DESC, id DESC LIMIT ?5) ORDER BY stamp, id")                       \
    X(UNREAD, "SELECT id,peer,outgoing,unread,state,stamp,text FROM message"                       \
              " WHERE me=?1 AND unread=1 AND (?2 IS NULL OR peer=?2) ORDER BY stamp, id LIMIT ?3") \
    X(CONVERSATIONS, "SELECT m.id,m.peer,m.outgoing,m.unread,m.state,m.stamp,m.text,p.unread FROM" \
                     " (SELECT peer AS name, sum(unread) AS unread FROM message WHERE me=?1"       \
                     "  GROUP BY peer) AS p, message AS m WHERE m.me=?1 AND m.id ="                \
                     " (SELECT id FROM message WHERE me=?1 AND peer=p.name"                        \
                     "  ORDER BY stamp DESC, id DESC LIMIT 1)"                                     \
                     " ORDER BY m.stamp DESC, m.id DESC LIMIT ?2")                                 \
    X(OUTBOX_ADD, "INSERT OR REPLACE INTO outbox(me,id,peer,kind,body) VALUES(?1,?2,?3,?4,?5)")    \
    X(OUTBOX_CLEAR, "DELETE FROM outbox WHERE me=?1")                                              \
    X(OUTBOX_DEL, "DELETE FROM outbox WHERE me=?1 AND id=?2")                                      \
    X(OUTBOX, "SELECT seq,id,peer,kind,body FROM outbox WHERE me=?1 AND seq>?2"                    \
              " AND body IS NOT NULL ORDER BY seq")                                                \
    X(OUTBOX_COUNT, "SELECT count(*) FROM outbox WHERE me=?1")                                     \
    X(UNSEALED_NAMES, "SELECT DISTINCT peer FROM outbox WHERE me=?1 AND body IS NULL")             \
    X(UNSEALED, "SELECT o.seq,o.id,o.peer,o.kind,m.text FROM outbox AS o, message AS m"            \
                " WHERE o.me=?1 AND o.peer=?2 AND o.body IS NULL AND m.me=o.me AND m.id=o.id"      \
                " ORDER BY o.seq")

enum db_sql {
#define X(NAME, text) DB_##NAME,
    DB_STATEMENTS(X)
#undef X
        DB_STATEMENTS_N
};

struct profile {
    char dir[CLIENT_PATH_MAX];
    int lock;
    sqlite3 *db;
    sqlite3_stmt *stmts[DB_STATEMENTS_N];
    bool used[DB_STATEMENTS_N];
    bool in_txn;
};

/* SQLite's error as ours. */
int db_err(int rc);
/* Never NULL: all statements are prepared when the profile is opened. */
sqlite3_stmt *db_use(struct profile *p, enum db_sql sql);
void db_done(struct profile *p, enum db_sql sql);
void db_str(sqlite3_stmt *st, int at, const char *s);
void db_blob(sqlite3_stmt *st, int at, const void *bytes, size_t n);
void db_int(sqlite3_stmt *st, int at, int64_t v);
/* Steps a statement that gives no rows, and gives it back. */
PEAL_MUST int db_run(struct profile *p, enum db_sql sql);
struct peal_bytes db_col(sqlite3_stmt *st, int at);

#endif
