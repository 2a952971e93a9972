/* peal-check: judges histories in files (history.h says what is in them). */
#include "history.h"

#include <errno.h>
#include <string.h>

static const char usage[] =
    "usage: peal-check FILE...\n"
    "Judges what clients of a ring did and were told (tests/sim/history.h says in what form):\n"
    "registers must be linearizable, stored messages shown once. Several files are one history.\n"
    "Exit status: 0 all is right, 1 it is not, 2 usage, 3 a file cannot be read, 4 undecided.\n";

static int load(struct history *h, const char *path)
{
    char why[HISTORY_WHY_MAX];
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (in == NULL) {
        fprintf(stderr, "peal-check: %s: %s\n", path, strerror(errno));
        return -1;
    }
    int err = history_load(h, in, why);
    if (in != stdin)
        fclose(in);
    if (err < 0)
        fprintf(stderr, "peal-check: %s: %s\n", path, why);
    return err;
}

int main(int argc, char **argv)
{
    if (argc < 2 || (argv[1][0] == '-' && argv[1][1] != '\0')) {
        bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fputs(usage, asked ? stdout : stderr);
        return asked ? 0 : 2;
    }
    struct history *h = history_new();
    for (int i = 1; i < argc; i++)
        if (load(h, argv[i]) < 0) {
            history_free(h);
            return 3;
        }
    struct history_result r = history_check(h, stdout);
    history_free(h);
    printf("%zu operations on %zu registers, %zu of them of unknown outcome; %zu messages, "
           "%zu stored, %zu shown, %zu duplicates; %zu wrong\n",
           r.ops, r.keys, r.unknown, r.messages, r.stored, r.shown, r.duplicates, r.faults);
    return r.verdict == HISTORY_GOOD ? 0 : r.verdict == HISTORY_BAD ? 1 : 4;
}
