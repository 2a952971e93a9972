/* Replays saved inputs through a libFuzzer entry point, so that every build runs the corpus and not
 * only clang's fuzz build. Not a fuzzer: it makes no inputs of its own. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLAY_MAX = 1 << 20 };

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return -1;
    }
    uint8_t *buf = malloc(REPLAY_MAX);
    size_t n = buf != NULL ? fread(buf, 1, REPLAY_MAX, f) : 0;
    (void)fclose(f);
    /* An exact-size copy lets AddressSanitizer see a read of one byte too many. */
    uint8_t *exact = malloc(n > 0 ? n : 1);
    if (buf == NULL || exact == NULL)
        abort();
    memcpy(exact, buf, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    free(buf);
    return 0;
}

int main(int argc, char **argv)
{
    size_t ran = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (d == NULL) {
            perror(argv[i]);
            return 1;
        }
        for (const struct dirent *e; (e = readdir(d)) != NULL;) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (replay(path) != 0)
                return 1;
            ran++;
        }
        (void)closedir(d);
    }
    printf("%zu inputs replayed\n", ran);
    return ran > 0 ? 0 : 1;
}
