#include "views.h"

#include <stdio.h>
#include <string.h>

/* The arc as it stands in META under STORE_ARC_KEY. */
#define ARC                                                                                        \
    "SELECT substr(value, 1, 20) AS after, substr(value, 21, 20) AS upto FROM meta"                \
    " WHERE key = CAST('" STORE_ARC_KEY "' AS BLOB) AND length(value) = 40"

/* Whether the key of 20 bytes lies in the arc, clockwise; one from a point to itself is the whole
 * ring. */
#define IN_ARC(key)                                                                                \
    "CASE WHEN after < upto THEN " key " > after AND " key " <= upto"                              \
    " WHEN after > upto THEN " key " > after OR " key " <= upto ELSE 1 END"

#define REGISTERS_IN(which)                                                                        \
    "SELECT lower(hex(key)) AS key, length(value) AS bytes FROM registers, arc"                    \
    " WHERE " which "(" IN_ARC("key") ")"

/* A row's key is its mailbox, then its id. */
#define ROWS_IN(which)                                                                             \
    "SELECT lower(hex(substr(key, 1, 20))) AS mailbox, lower(hex(substr(key, 21))) AS id,"         \
    " length(value) AS bytes FROM rows, arc WHERE " which "(" IN_ARC("substr(key, 1, 20)") ")"

static const struct {
    const char *name, *query;
} views[] = {
    {"arc", ARC},          {"users", REGISTERS_IN("")},       {"backups", REGISTERS_IN("NOT ")},
    {"mail", ROWS_IN("")}, {"mail_backups", ROWS_IN("NOT ")},
};

enum { VIEW_SQL_MAX = 1024 };

/* 1 when the view is there in just this form, 0 when it is not; negative: an error. */
static int is_made(sqlite3 *db, const char *name, const char *sql)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(
        db, "SELECT sql = ?2 FROM sqlite_schema WHERE type = 'view' AND name = ?1", -1, &stmt,
        NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 2, sql, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    int made = rc == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : 0;
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? made : -1;
}

static int make(sqlite3 *db, size_t i)
{
    char sql[VIEW_SQL_MAX], all[VIEW_SQL_MAX + 128];
    int n = snprintf(sql, sizeof sql, "CREATE VIEW %s AS %s", views[i].name, views[i].query);
    CHECK(n > 0 && (size_t)n < sizeof sql);
    int made = is_made(db, views[i].name, sql);
    if (made != 0)
        return made > 0 ? SQLITE_OK : sqlite3_errcode(db);
    (void)snprintf(all, sizeof all, "BEGIN IMMEDIATE; DROP VIEW IF EXISTS %s; %s; COMMIT;",
                   views[i].name, sql);
    int rc = sqlite3_exec(db, all, NULL, NULL, NULL);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

void views_make(sqlite3 *db)
{
    for (size_t i = 0; i < PEAL_COUNT(views); i++)
        if (make(db, i) != SQLITE_OK)
            return;
}
