/* db: what the files of the profile share: the open file and its prepared statements.
 *
 * A statement is taken with db_use, bound, stepped, and given back with db_done; a second use of
 * one that is not given back is a broken invariant. */
#ifndef PEAL_CLIENT_DB_H
#define PEAL_CLIENT_DB_H

#include <sqlite3.h>

#include "profile.h"

/* What makes up an entry, of a table that is called T ("" or "NAME."). */
#define DB_ENTRY(T)                                                                                \
    T "id," T "peer," T "outgoing," T "unread," T "state," T "stamp," T "text," T "reply_to," T    \
      "edit_stamp," T "edited," T "deleted," T "imported," T "vanish," T "vanishes"
enum { DB_ENTRY_COLUMNS = 14 };

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
    X(MESSAGE_ADD, "INSERT OR IGNORE INTO "                                                        \
                   "message(me,id,peer,outgoing,unread,state,stamp,text,raw,reply_to,vanish)"      \
                   " SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11"                                    \
                   " WHERE NOT EXISTS(SELECT 1 FROM gone WHERE me=?1 AND id=?2)")                  \
    X(MESSAGE_GET, "SELECT " DB_ENTRY("") " FROM message WHERE me=?1 AND id=?2")                   \
    X(MESSAGE_EDIT, "UPDATE message SET text=?5, edit_stamp=?6, edit_id=?7, edited=?8"             \
                    " WHERE me=?1 AND id=?2 AND peer=?3 AND outgoing=?4 AND deleted=0"             \
                    " AND state<>5 AND (edit_stamp,ifnull(edit_id,x''))<(?6,?7)")                  \
    X(MESSAGE_DELETE, "UPDATE message SET text='', raw=NULL, unread=0, deleted=?5"                 \
                      " WHERE me=?1 AND id=?2 AND peer=?3 AND outgoing=?4 AND deleted=0")          \
    X(MESSAGE_LIKE, "SELECT id FROM message WHERE me=?1"                                           \
                    " AND (hex(id) LIKE ?2||'%' OR hex(id) LIKE '%'||?2) LIMIT 2")                 \
    X(BACKWARDS,                                                                                   \
      "SELECT " DB_ENTRY("") " FROM message WHERE me=?1 AND (stamp,id)<(?3,?4)"                    \
                             " AND deleted=0 AND state<>5 ORDER BY stamp DESC, id DESC")           \
    X(BACKWARDS_PEER,                                                                              \
      "SELECT " DB_ENTRY(                                                                          \
          "") " FROM message WHERE me=?1 AND peer=?2"                                              \
              " AND (stamp,id)<(?3,?4) AND deleted=0 AND state<>5 ORDER BY stamp DESC, id DESC")   \
    X(FORWARDS, "SELECT " DB_ENTRY("") " FROM message WHERE me=?1 AND peer=?2"                     \
                                       " AND (stamp,id)>(?3,?4) AND vanish=0 ORDER BY stamp, id")  \
    X(IMPORT, "INSERT OR IGNORE INTO "                                                             \
              "message(me,id,peer,outgoing,unread,state,stamp,text,reply_to,edit_stamp,edited,"    \
              "deleted,imported)"                                                                  \
              " VALUES(?1,?2,?3,?4,0,?5,?6,?7,?8,?9,?10,?11,1)")                                   \
    X(GONE_DEL, "DELETE FROM gone WHERE me=?1 AND id=?2")                                          \
    X(VANISH_GET, "SELECT seconds FROM vanish WHERE me=?1 AND name=?2")                            \
    X(VANISH_SET,                                                                                  \
      "INSERT INTO vanish(me,name,seconds,stamp,op) VALUES(?1,?2,?3,?4,?5)"                        \
      " ON CONFLICT(me,name) DO UPDATE SET seconds=?3, stamp=?4, op=?5 WHERE (stamp,op)<(?4,?5)")  \
    X(VANISH_BEGIN, "UPDATE message SET vanishes=?3+1000*vanish WHERE me=?1 AND id=?2"             \
                    " AND vanish>0 AND vanishes=0")                                                \
    X(VANISH_NEXT, "SELECT id,vanishes FROM message WHERE me=?1 AND vanishes>0"                    \
                   " ORDER BY vanishes LIMIT 1")                                                   \
    X(GONE_HAS, "SELECT 1 FROM gone WHERE me=?1 AND id=?2")                                        \
    X(GONE_ADD, "INSERT OR REPLACE INTO gone(me,id,at) VALUES(?1,?2,?3)")                          \
    X(GONE_ADD_PEER, "INSERT OR REPLACE INTO gone(me,id,at)"                                       \
                     " SELECT me,id,?3 FROM message WHERE me=?1 AND peer=?2")                      \
    X(GONE_TRIM, "DELETE FROM gone WHERE at<?1")                                                   \
    X(MESSAGE_FORGET, "DELETE FROM message WHERE me=?1 AND id=?2")                                 \
    X(MESSAGE_FORGET_PEER, "DELETE FROM message WHERE me=?1 AND peer=?2")                          \
    X(PENDING_FORGET_PEER, "DELETE FROM pending WHERE me=?1 AND peer=?2")                          \
    X(UNREAD_COUNTS, "SELECT peer,count(*) FROM message WHERE me=?1 AND unread=1"                  \
                     " GROUP BY peer ORDER BY max(stamp) DESC, peer LIMIT ?2")                     \
    X(UNREAD_COUNT, "SELECT count(*) FROM message WHERE me=?1 AND unread=1")                       \
    X(DRAFT_GET, "SELECT text,at FROM draft WHERE me=?1 AND name=?2")                              \
    X(DRAFT_SET, "INSERT OR REPLACE INTO draft(me,name,text,at) VALUES(?1,?2,?3,?4)")              \
    X(DRAFT_DEL, "DELETE FROM draft WHERE me=?1 AND name=?2")                                      \
    X(DRAFT_COUNT, "SELECT count(*) FROM draft WHERE me=?1 AND name<>?2")                          \
    X(PENDING_PUT,                                                                                 \
      "INSERT INTO pending(me,peer,target,kind,stamp,op,at,text) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)"  \
      " ON CONFLICT(me,peer,target) DO UPDATE SET kind=?4, stamp=?5, op=?6, at=?7, text=?8"        \
      " WHERE (kind,stamp,op)<(?4,?5,?6)")                                                         \
    X(PENDING_TRIM,                                                                                \
      "DELETE FROM pending WHERE me=?1 AND peer=?2 AND seq<=(SELECT seq FROM pending"              \
      " WHERE me=?1 AND peer=?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)")                             \
    X(PENDING_GET, "SELECT kind,stamp,op,at,text FROM pending"                                     \
                   " WHERE me=?1 AND peer=?2 AND target=?3")                                       \
    X(PENDING_DEL, "DELETE FROM pending WHERE me=?1 AND peer=?2 AND target=?3")                    \
    X(MESSAGE_ADVANCE, "UPDATE message SET state=?4 WHERE me=?1 AND id=?2 AND outgoing=1"          \
                       " AND CASE WHEN ?4=6 THEN state=2 WHEN state=6 THEN ?4 IN (3,4)"            \
                       " ELSE state<?4 END AND (?3 IS NULL OR peer=?3)")                           \
    X(MESSAGE_PEER, "SELECT peer FROM message WHERE me=?1 AND id=?2 AND outgoing=1")               \
    X(MESSAGE_STATE, "SELECT state FROM message WHERE me=?1 AND id=?2")                            \
    X(MESSAGE_READ, "UPDATE message SET unread=0, state=max(state,4) WHERE me=?1 AND id=?2"        \
                    " AND outgoing=0")                                                             \
    X(LAST_STAMP, "SELECT max(stamp) FROM message WHERE me=?1")                                    \
    X(STAMP_OF, "SELECT stamp FROM message WHERE me=?1 AND id=?2")                                 \
    X(HISTORY, "SELECT " DB_ENTRY(                                                                 \
                   "") " FROM ("                                                                   \
                       "SELECT * FROM message WHERE me=?1 AND peer=?2 AND (stamp,id)<(?3,?4)"      \
                       " ORDER BY stamp DESC, id DESC LIMIT ?5) ORDER BY stamp, id")               \
    X(UNREAD,                                                                                      \
      "SELECT " DB_ENTRY(                                                                          \
          "") " FROM message"                                                                      \
              " WHERE me=?1 AND unread=1 AND (?2 IS NULL OR peer=?2) ORDER BY stamp, id LIMIT ?3") \
    X(CONVERSATIONS,                                                                               \
      "SELECT " DB_ENTRY(                                                                          \
          "m.") ",p.unread FROM"                                                                   \
                " (SELECT peer AS name, sum(unread) AS unread FROM message WHERE me=?1"            \
                "  GROUP BY peer) AS p, message AS m WHERE m.me=?1 AND m.id ="                     \
                " (SELECT id FROM message WHERE me=?1 AND peer=p.name"                             \
                "  ORDER BY stamp DESC, id DESC LIMIT 1)"                                          \
                " ORDER BY m.stamp DESC, m.id DESC LIMIT ?2")                                      \
    X(OUTBOX_ADD, "INSERT OR REPLACE INTO outbox(me,id,peer,kind,body,plain,target)"               \
                  " VALUES(?1,?2,?3,?4,?5,?6,?7)")                                                 \
    X(OUTBOX_CLEAR, "DELETE FROM outbox WHERE me=?1")                                              \
    X(OUTBOX_DEL, "DELETE FROM outbox WHERE me=?1 AND id=?2")                                      \
    X(OUTBOX_HAS, "SELECT 1 FROM outbox WHERE me=?1 AND id=?2")                                    \
    X(OUTBOX_TAKE_BACK, "DELETE FROM outbox WHERE me=?1 AND id=?2 AND body IS NULL")               \
    X(OUTBOX_FORGET, "DELETE FROM outbox WHERE me=?1 AND target=?2 AND body IS NULL")              \
    X(OUTBOX, "SELECT seq,id,peer,kind,body,target FROM outbox WHERE me=?1 AND seq>?2"             \
              " AND body IS NOT NULL ORDER BY seq")                                                \
    X(OUTBOX_COUNT, "SELECT count(*) FROM outbox WHERE me=?1")                                     \
    X(UNSEALED_NAMES, "SELECT DISTINCT peer FROM outbox WHERE me=?1 AND body IS NULL")             \
    X(UNSEALED, "SELECT seq,id,peer,kind,plain,target FROM outbox"                                 \
                " WHERE me=?1 AND peer=?2 AND body IS NULL ORDER BY seq")

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
/* The one number that a statement gives, which it gives back; PEAL_E_NOT_FOUND. */
PEAL_MUST int db_number(struct profile *p, enum db_sql sql, int64_t *out);
/* Steps a statement that gives no rows, and gives it back. */
PEAL_MUST int db_run(struct profile *p, enum db_sql sql);
struct peal_bytes db_col(sqlite3_stmt *st, int at);
/* PEAL_E_CORRUPT when it is no message's id. */
PEAL_MUST int db_id(struct peal_bytes b, struct peal_msg_id *out);
/* The next row's entry (DB_ENTRY, from column 0), its views valid until the next step. */
PEAL_MUST int db_entry(sqlite3_stmt *st, struct entry *e);
/* A statement of an account's message: ?1 and ?2. */
sqlite3_stmt *db_use_id(struct profile *p, enum db_sql sql, const char *me,
                        const struct peal_msg_id *id);
void db_text(sqlite3_stmt *st, int at, struct peal_bytes text);

#endif
