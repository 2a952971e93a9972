#include "faults.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum { KINDS = 4 }; /* of files that SQLite tells apart */

/* SQLite's own functions for a kind of file, and ours. */
struct kind {
    const sqlite3_io_methods *own;
    sqlite3_io_methods ours;
};

static struct {
    sqlite3_vfs shim, *base;
    struct kind kinds[KINDS];
    atomic_uint calls;
    unsigned last;
} f;

static bool is_last(void)
{
    return atomic_fetch_add(&f.calls, 1) + 1 == f.last;
}

static _Noreturn void die(void)
{
    (void)kill(getpid(), SIGKILL);
    abort();
}

static const sqlite3_io_methods *own(const sqlite3_file *file)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (file->pMethods == &f.kinds[i].ours)
            return f.kinds[i].own;
    }
    abort();
}

static int on_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    if (is_last()) {
        (void)own(file)->xWrite(file, p, n / 2, at);
        die();
    }
    return own(file)->xWrite(file, p, n, at);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (is_last())
        die();
    return own(file)->xTruncate(file, size);
}

static int on_sync(sqlite3_file *file, int flags)
{
    if (is_last())
        die();
    return own(file)->xSync(file, flags);
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    int rc = f.base->xOpen(f.base, name, file, flags, out);
    if (rc != SQLITE_OK)
        return rc;
    for (size_t i = 0; i < KINDS; i++) {
        struct kind *k = &f.kinds[i];
        if (k->own == NULL) {
            k->own = file->pMethods;
            k->ours = *k->own;
            k->ours.xWrite = on_write;
            k->ours.xTruncate = on_truncate;
            k->ours.xSync = on_sync;
        }
        if (k->own == file->pMethods) {
            file->pMethods = &k->ours;
            return rc;
        }
    }
    abort();
}

void faults_kill_at(unsigned n)
{
    f.last = n;
    f.base = sqlite3_vfs_find(NULL);
    f.shim = *f.base;
    f.shim.zName = "faults";
    f.shim.xOpen = on_open;
    if (sqlite3_vfs_register(&f.shim, 1) != SQLITE_OK)
        abort();
}
