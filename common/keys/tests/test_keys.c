/* Key files: made once, agreed on by all who start together, private, and explained when they are
 * wrong. */
#include "peal/keys.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[96], why[KEYS_WHY_MAX];

static void setup(void)
{
    cr_assert_eq(cry_init(), 0, "randomness");
    strcpy(dir, "/tmp/peald-keys-XXXXXX");
    cr_assert_not_null(mkdtemp(dir), "a folder");
    snprintf(path, sizeof path, "%s/ring.key", dir);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(keys, .init = setup, .fini = teardown);

static void put(const void *p, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && write(fd, p, n) == (ssize_t)n && fchmod(fd, mode) == 0,
              "the file is written");
    close(fd);
}

Test(keys, made_once_and_private)
{
    struct peal_secret a, b;
    struct stat st;
    bool made = false;
    cr_assert_eq(keys_load(path, true, &a, &made, why), 0, "%s", why);
    cr_assert(made, "the first call makes it");
    cr_assert_eq(stat(path, &st), 0, "it is there");
    cr_assert_eq(st.st_mode & 0777, 0600, "only its owner reads it");
    cr_assert_eq(keys_load(path, true, &b, &made, why), 0, "%s", why);
    cr_assert(!made && cry_secret_eq(&a, &b), "the second call reads the same");
}

Test(keys, all_who_start_at_once_agree)
{
    enum { N = 8 };
    int p[2];
    cr_assert_eq(pipe(p), 0, "a pipe");
    for (int i = 0; i < N; i++) {
        if (fork() == 0) {
            struct peal_secret s;
            int err = keys_load(path, true, &s, NULL, why);
            _exit(err == 0 && write(p[1], s.b, sizeof s.b) == (ssize_t)sizeof s.b ? 0 : 1);
        }
    }
    struct peal_secret first, s;
    for (int i = 0; i < N; i++) {
        int status = 0;
        cr_assert(wait(&status) > 0 && status == 0, "process %d is content", i);
        cr_assert_eq(read(p[0], i == 0 ? first.b : s.b, SECRET_BYTES), SECRET_BYTES,
                     "it has a key");
        cr_assert(i == 0 || cry_secret_eq(&first, &s), "the same key");
    }
}

Test(keys, forms)
{
    struct peal_secret s;
    uint8_t raw[SECRET_BYTES];
    memset(raw, 7, sizeof raw);
    put(raw, sizeof raw, 0600);
    cr_assert_eq(keys_load(path, true, &s, NULL, why), 0, "raw bytes: %s", why);
    cr_assert_eq(memcmp(s.b, raw, sizeof raw), 0, "as they are");
    put("zz", 2, 0600);
    cr_assert_eq(keys_load(path, true, &s, NULL, why), PEAL_E_MALFORMED, "too short");
    cr_assert_not_null(strstr(why, path), "names the file: %s", why);
    put("", 0, 0600);
    cr_assert_eq(keys_load(path, true, &s, NULL, why), PEAL_E_MALFORMED,
                 "an empty file is not silently replaced");
    put(raw, sizeof raw, 0644);
    cr_assert_eq(keys_load(path, true, &s, NULL, why), PEAL_E_REFUSED, "readable by others");
    cr_assert_not_null(strstr(why, "chmod 600"), "says what to do: %s", why);
}

Test(keys, folder_missing)
{
    struct peal_secret s;
    cr_assert_eq(keys_load("/nonexistent/ring.key", true, &s, NULL, why), PEAL_E_IO,
                 "cannot be made");
    cr_assert_not_null(strstr(why, "/nonexistent/ring.key"), "names the file: %s", why);
}

Test(keys, not_made_unless_allowed)
{
    struct peal_secret s;
    cr_assert_eq(keys_load(path, false, &s, NULL, why), PEAL_E_NOT_FOUND, "missing");
    cr_assert_neq(access(path, F_OK), 0, "and not made");
}

Test(keys, a_folder_belongs_to_one_ring)
{
    uint8_t one[CRY_FP_BYTES] = {1}, other[CRY_FP_BYTES] = {2};
    cr_assert_eq(keys_bind(path, one, why), 0, "bound at first: %s", why);
    cr_assert_eq(keys_bind(path, one, why), 0, "the same ring: %s", why);
    cr_assert_eq(keys_bind(path, other, why), PEAL_E_FOREIGN, "another ring");
    cr_assert_not_null(strstr(why, "belongs to another ring"), "says so: %s", why);
    cr_assert_not_null(strstr(why, "--ring-key-file"), "says what to do: %s", why);
    put("damaged", 7, 0600);
    cr_assert_eq(keys_bind(path, one, why), PEAL_E_FOREIGN, "a damaged mark is not taken for ours");
}
