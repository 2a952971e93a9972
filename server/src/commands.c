#include "commands.h"

#include "disk.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool commands_db(const struct options *o, char out[static STORE_PATH_MAX])
{
    int n = snprintf(out, STORE_PATH_MAX, "%s/peald.db", o->data);
    return n > 0 && n < STORE_PATH_MAX;
}

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    int *shown = arg;
    int percent = total == 0 ? 100 : (int)(done * 100 / total);
    if (percent == *shown)
        return;
    *shown = percent;
    fprintf(stderr, "\r%3d %% of %llu MiB", percent, (unsigned long long)(total >> 20));
    if (percent == 100)
        fputc('\n', stderr);
}

static store_progress *progress_wanted(void)
{
    return isatty(STDERR_FILENO) == 1 ? show_progress : NULL;
}

static void say_copied(const char *what, const char *file, const struct store_copied *c)
{
    printf(
        "%s %s: %llu registers (accounts), %llu rows (messages, receipts), %llu bytes, checked\n",
        what, file, (unsigned long long)c->pairs[STORE_REGISTERS],
        (unsigned long long)c->pairs[STORE_ROWS], (unsigned long long)c->bytes);
    if (c->damaged > 0)
        printf("%llu records in it do not match their checksums; a server fetches these from the "
               "others\n",
               (unsigned long long)c->damaged);
}

int commands_backup(const struct options *o, char why[static COMMANDS_WHY_MAX])
{
    char db[STORE_PATH_MAX], reason[STORE_TEXT_MAX] = "the path is too long";
    struct store_copied copied;
    int shown = -1;
    int err = PEAL_E_USAGE;
    if (commands_db(o, db))
        err = store_backup(db, o->file, progress_wanted(), &shown, &copied, reason);
    if (err != 0) {
        (void)snprintf(why, COMMANDS_WHY_MAX, "backup: %s", reason);
        return err;
    }
    say_copied("wrote", o->file, &copied);
    printf("keep with it, in a safe place, %s/node.key and the ring's key: without them it is "
           "nobody's\n",
           o->data);
    return 0;
}

/* Without its key the server would be another one, of which the restored roster knows nothing. */
static int node_key(const struct options *o, char why[static STORE_TEXT_MAX])
{
    char path[STORE_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/node.key", o->data);
    if (n < 0 || n >= (int)sizeof path || access(path, F_OK) == 0)
        return 0;
    (void)snprintf(why, STORE_TEXT_MAX,
                   "%.120s is not there; put back the key of the server that the backup is of",
                   path);
    return PEAL_E_REFUSED;
}

int commands_restore(const struct options *o, char why[static COMMANDS_WHY_MAX])
{
    char db[STORE_PATH_MAX], aside[STORE_PATH_MAX], reason[STORE_TEXT_MAX] = "the path is too long";
    char mark[64];
    struct store_write also[DISK_ALSO_MAX];
    struct store_copied copied;
    struct tm tm;
    time_t now = time(NULL);
    size_t n;
    int shown = -1;
    (void)gmtime_r(&now, &tm);
    (void)strftime(mark, sizeof mark, "restored from a backup on %Y-%m-%d", &tm);
    if (o->all_lost)
        disk_trust(also, &n);
    else
        disk_distrust(mark, also, &n);
    int err = commands_db(o, db) ? node_key(o, reason) : PEAL_E_USAGE;
    if (err == 0)
        err =
            store_restore(db, o->file, also, n, progress_wanted(), &shown, &copied, aside, reason);
    if (err != 0) {
        (void)snprintf(why, COMMANDS_WHY_MAX, "restore: %s", reason);
        return err;
    }
    say_copied("restored", o->file, &copied);
    if (aside[0] != '\0')
        printf("the database that was there is kept as %s\n", aside);
    puts(o->all_lost
             ? "this server relies on it, as asked: see that every other one that ever comes "
               "back is restored as well"
             : "this server will fetch everything from the others before it has a say");
    return 0;
}
