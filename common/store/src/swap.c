#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_SUFFIX ".lock"

enum { SWAP_NAMES_MAX = 100 /* of one second */ };

/* What SQLite keeps beside a file. */
static const char *const parts[] = {"-wal", "-shm", "-journal"};

int file_say(char why[static STORE_TEXT_MAX], const char *what, const char *path)
{
    int e = errno;
    (void)snprintf(why, STORE_TEXT_MAX, "%s %.160s: %s", what, path, strerror(e));
    return e == ENOSPC || e == EDQUOT ? PEAL_E_NO_SPACE : PEAL_E_IO;
}

int file_beside(const char *path, const char *suffix, char out[static STORE_PATH_MAX],
                char why[static STORE_TEXT_MAX])
{
    int n = snprintf(out, STORE_PATH_MAX, "%s%s", path, suffix);
    if (n >= 0 && n < STORE_PATH_MAX)
        return 0;
    (void)snprintf(why, STORE_TEXT_MAX, "the path of the data file is too long");
    return PEAL_E_USAGE;
}

/* One process at a time: the lock goes with the process, however it ends. */
int file_lock(const char *path, int *fd, char why[static STORE_TEXT_MAX])
{
    char name[STORE_PATH_MAX];
    *fd = -1;
    int rc = file_beside(path, LOCK_SUFFIX, name, why);
    if (rc != 0)
        return rc;
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return file_say(why, "cannot open", name);
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        *fd = lock;
        return 0;
    }
    rc = PEAL_E_BUSY;
    if (errno == EWOULDBLOCK)
        (void)snprintf(why, STORE_TEXT_MAX, "another peald uses %.200s", path);
    else
        rc = file_say(why, "cannot lock", name);
    (void)close(lock);
    return rc;
}

int file_sync_folder(const char *path, char why[static STORE_TEXT_MAX])
{
    char folder[STORE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash != NULL ? (size_t)(slash - path) : 0;
    if (slash == NULL)
        (void)snprintf(folder, sizeof folder, ".");
    else
        (void)snprintf(folder, sizeof folder, "%.*s", n > 0 ? (int)n : 1, path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return file_say(why, "cannot open", folder);
    int rc = fsync(fd) == 0 ? 0 : file_say(why, "cannot sync", folder);
    (void)close(fd);
    return rc;
}

void file_remove(const char *path, const char *suffix)
{
    char name[STORE_PATH_MAX], part[STORE_PATH_MAX], why[STORE_TEXT_MAX];
    if (file_beside(path, suffix, name, why) != 0)
        return;
    (void)unlink(name);
    for (size_t i = 0; i < PEAL_COUNT(parts); i++)
        if (file_beside(name, parts[i], part, why) == 0)
            (void)unlink(part);
    if (file_beside(name, LOCK_SUFFIX, part, why) == 0)
        (void)unlink(part);
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* A name that neither a file nor any of its parts has. */
static int choose_name(const char *path, char out[static STORE_PATH_MAX],
                       char why[static STORE_TEXT_MAX])
{
    char date[32], suffix[64], part[STORE_PATH_MAX];
    struct tm tm;
    time_t now = time(NULL);
    (void)gmtime_r(&now, &tm);
    (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &tm);
    for (int i = 1; i <= SWAP_NAMES_MAX; i++) {
        if (i == 1)
            (void)snprintf(suffix, sizeof suffix, ".aside-%s", date);
        else
            (void)snprintf(suffix, sizeof suffix, ".aside-%s-%d", date, i);
        int rc = file_beside(path, suffix, out, why);
        bool taken = is_there(out);
        for (size_t k = 0; rc == 0 && k < PEAL_COUNT(parts); k++) {
            rc = file_beside(out, parts[k], part, why);
            taken = taken || is_there(part);
        }
        if (rc != 0 || !taken)
            return rc;
    }
    (void)snprintf(why, STORE_TEXT_MAX, "too many files beside %.160s have been set aside", path);
    return PEAL_E_FULL;
}

static int move_part(const char *path, const char *part, const char *aside, bool *moved,
                     char why[static STORE_TEXT_MAX])
{
    char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
    int rc = file_beside(path, part, from, why);
    if (rc == 0)
        rc = file_beside(aside, part, to, why);
    if (rc != 0 || !is_there(from))
        return rc;
    if (rename(from, to) != 0)
        return file_say(why, "cannot move aside", from);
    *moved = true;
    return 0;
}

int swap_finish(const char *path, char aside[static STORE_PATH_MAX],
                char why[static STORE_TEXT_MAX])
{
    char next[STORE_PATH_MAX];
    bool moved = false;
    aside[0] = '\0';
    int rc = file_beside(path, SWAP_SUFFIX, next, why);
    if (rc != 0 || !is_there(next))
        return rc;
    rc = choose_name(path, aside, why);
    if (rc == 0)
        rc = move_part(path, "", aside, &moved, why);
    /* SQLite would take an older file's log for the new one's. */
    for (size_t i = 0; rc == 0 && i < PEAL_COUNT(parts); i++)
        rc = move_part(path, parts[i], aside, &moved, why);
    if (rc == 0)
        rc = file_sync_folder(path, why);
    if (rc == 0 && rename(next, path) != 0)
        rc = file_say(why, "cannot move", next);
    if (rc == 0)
        rc = file_sync_folder(path, why);
    if (!moved)
        aside[0] = '\0';
    return rc;
}

int swap_in(const char *path, const char *suffix, char aside[static STORE_PATH_MAX],
            char why[static STORE_TEXT_MAX])
{
    char from[STORE_PATH_MAX], to[STORE_PATH_MAX], part[STORE_PATH_MAX];
    aside[0] = '\0';
    int rc = file_beside(path, suffix, from, why);
    if (rc == 0)
        rc = file_beside(path, SWAP_SUFFIX, to, why);
    for (size_t i = 0; rc == 0 && i < PEAL_COUNT(parts); i++) {
        rc = file_beside(from, parts[i], part, why);
        if (rc == 0 && is_there(part)) {
            (void)snprintf(why, STORE_TEXT_MAX, "the new data file could not be completed");
            rc = PEAL_E_IO;
        }
    }
    if (rc == 0 && rename(from, to) != 0)
        rc = file_say(why, "cannot move", from);
    if (rc == 0)
        rc = file_sync_folder(path, why);
    return rc == 0 ? swap_finish(path, aside, why) : rc;
}
