#include "migrate.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define X(name, table)                                                                             \
    "CREATE TABLE " table                                                                          \
    " (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL)"                  \
    " STRICT, WITHOUT ROWID;"
/* migrations[v] leads from version v to v + 1. The checksum stands before the value so that reading
 * the key of a long row reads none of its overflow pages. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
    STORE_SPACES(X),
    "ALTER TABLE rows RENAME TO rows_1;"
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, key BLOB NOT NULL, sum INTEGER NOT NULL,"
    " value BLOB NOT NULL) STRICT;"
    "CREATE TABLE rows_index (key BLOB NOT NULL PRIMARY KEY, id INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE rows_mark (id INTEGER NOT NULL) STRICT;"
    "INSERT INTO rows_mark (id) VALUES (0);"
    "UPDATE meta SET sum = peal_sum_2(0, key, value, sum);"
    "UPDATE registers SET sum = peal_sum_2(1, key, value, sum);",
};
#undef X

static const char move_some[] =
    "BEGIN IMMEDIATE;"
    "INSERT INTO rows (key, value, sum) SELECT key, value, peal_sum_2(2, key, value, sum)"
    " FROM rows_1 ORDER BY key LIMIT 1024;"
    "INSERT INTO rows_index (key, id) SELECT key, id FROM rows"
    " WHERE id > (SELECT id FROM rows_mark) ORDER BY id;"
    "UPDATE rows_mark SET id = (SELECT coalesce(max(id), 0) FROM rows);"
    "DELETE FROM rows_1 WHERE key <="
    " (SELECT key FROM rows WHERE id = (SELECT id FROM rows_mark));"
    "COMMIT;";

static const char cannot[] = "cannot bring the data file up to date";

static int run(sqlite3 *db, const char *sql, char why[static STORE_TEXT_MAX])
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    int err = sqlite_say_open(why, db, rc, cannot);
    if (!sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static int ask(sqlite3 *db, const char *sql, int64_t *answer, char why[static STORE_TEXT_MAX])
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    int err = 0;
    if (rc == SQLITE_ROW)
        *answer = sqlite3_column_int64(stmt, 0);
    else
        err = sqlite_say_open(why, db, rc, "cannot read the data file");
    (void)sqlite3_finalize(stmt);
    return err;
}

/* The first 8 bytes of BLAKE2b over space, the key's length, key and value. */
sqlite3_int64 migrate_checksum_1(enum store_space space, struct peal_bytes key,
                                 struct peal_bytes value)
{
    uint8_t head[2] = {(uint8_t)space, (uint8_t)key.n};
    uint8_t hash[crypto_generichash_BYTES_MIN];
    crypto_generichash_state st;
    (void)crypto_generichash_init(&st, NULL, 0, sizeof hash);
    (void)crypto_generichash_update(&st, head, sizeof head);
    (void)crypto_generichash_update(&st, key.p, key.n);
    (void)crypto_generichash_update(&st, value.p, value.n);
    (void)crypto_generichash_final(&st, hash, sizeof hash);
    struct rd r;
    rd_init(&r, hash, sizeof hash);
    return (sqlite3_int64)rd_u64(&r);
}

/* peal_sum_2(space, key, value, sum): the checksum for version 2 of a row of version 1; of a
 * damaged one, a wrong one, so that it stays one that is known to be damaged. */
static void sum_2(sqlite3_context *ctx, int n, sqlite3_value *v[])
{
    CHECK(n == 4);
    enum store_space space = (enum store_space)sqlite3_value_int(v[0]);
    const void *key_p = sqlite3_value_blob(v[1]);
    struct peal_bytes key = peal_bytes_of(key_p, (size_t)sqlite3_value_bytes(v[1]));
    const void *value_p = sqlite3_value_blob(v[2]);
    struct peal_bytes value = peal_bytes_of(value_p, (size_t)sqlite3_value_bytes(v[2]));
    if (key.n == 0 || key.n > STORE_KEY_MAX) {
        sqlite3_result_int64(ctx, 0);
        return;
    }
    bool sound = migrate_checksum_1(space, key, value) == sqlite3_value_int64(v[3]);
    sqlite3_int64 sum = sqlite_checksum(space, key, value);
    sqlite3_result_int64(ctx, sound ? sum : ~sum);
}

static int move_rows(sqlite3 *db, char why[static STORE_TEXT_MAX])
{
    int64_t waiting = 0;
    int rc =
        ask(db, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'rows_1')", &waiting, why);
    if (rc != 0 || waiting == 0)
        return rc;
    while (rc == 0 && waiting != 0) {
        rc = ask(db, "SELECT EXISTS (SELECT 1 FROM rows_1)", &waiting, why);
        if (rc == 0 && waiting != 0)
            rc = run(db, move_some, why);
    }
    return rc == 0 ? run(db, "DROP TABLE rows_1", why) : rc;
}

int migrate(sqlite3 *db, char why[static STORE_TEXT_MAX])
{
    int64_t version = 0;
    int rc = ask(db, "PRAGMA user_version", &version, why);
    if (rc == 0 && (version < 0 || version > STORE_SCHEMA_VERSION)) {
        (void)snprintf(why, STORE_TEXT_MAX,
                       "the data file has version %lld, this program knows %d and older",
                       (long long)version, STORE_SCHEMA_VERSION);
        return PEAL_E_VERSION;
    }
    /* Views of the file's go by the name of a table, not by what it is renamed to. */
    if (rc == 0)
        rc = run(db, "PRAGMA legacy_alter_table = ON", why);
    int made = sqlite3_create_function(db, "peal_sum_2", 4, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                       NULL, sum_2, NULL, NULL);
    if (rc == 0 && made != SQLITE_OK)
        rc = sqlite_say_open(why, db, made, cannot);
    for (; rc == 0 && version < STORE_SCHEMA_VERSION; version++) {
        char sql[1024];
        int n = snprintf(sql, sizeof sql, "BEGIN IMMEDIATE; %s PRAGMA user_version = %lld; COMMIT;",
                         migrations[version], (long long)version + 1);
        CHECK(n > 0 && (size_t)n < sizeof sql);
        rc = run(db, sql, why);
    }
    return rc == 0 ? move_rows(db, why) : rc;
}
