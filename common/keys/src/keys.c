#include "peal/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_DIGITS = 2 * SECRET_BYTES, KEY_READ_MAX = 128, KEY_PATH_MAX = 4096 };

static int fail(char *why, int err, const char *path, const char *what)
{
    (void)snprintf(why, KEYS_WHY_MAX, "%.*s: %.200s", KEYS_WHY_MAX - 256, path, what);
    return err;
}

static int parse(const uint8_t *p, size_t n, struct peal_secret *out)
{
    if (n == SECRET_BYTES) {
        memcpy(out->b, p, SECRET_BYTES);
        return 0;
    }
    while (n > KEY_DIGITS && (p[n - 1] == '\n' || p[n - 1] == '\r'))
        n--;
    if (n != KEY_DIGITS)
        return PEAL_E_MALFORMED;
    char digits[KEY_DIGITS + 1];
    memcpy(digits, p, KEY_DIGITS);
    digits[KEY_DIGITS] = '\0';
    int err = peal_unhex(digits, SECRET_BYTES, out->b);
    cry_wipe(digits, sizeof digits);
    return err;
}

static int read_key(const char *path, struct peal_secret *out, char *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? PEAL_E_NOT_FOUND : fail(why, PEAL_E_IO, path, strerror(errno));
    uint8_t buf[KEY_READ_MAX];
    struct stat st;
    ssize_t n = fstat(fd, &st) == 0 ? read(fd, buf, sizeof buf) : -1;
    int err = 0;
    if (n < 0)
        err = fail(why, PEAL_E_IO, path, strerror(errno));
    else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        err = fail(why, PEAL_E_REFUSED, path,
                   "others than its owner may read this key; make it private: chmod 600");
    else if (parse(buf, (size_t)n, out) != 0)
        err = fail(why, PEAL_E_MALFORMED, path,
                   "not a key (64 hexadecimal digits); copy it again from a server of the ring");
    cry_wipe(buf, sizeof buf);
    (void)close(fd);
    return err;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return PEAL_E_IO;
        p += w;
        n -= (size_t)w;
    }
    return fsync(fd) == 0 ? 0 : PEAL_E_IO;
}

static int sync_folder(const char *path)
{
    char dir[KEY_PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
                   slash != NULL ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return PEAL_E_IO;
    int r = fsync(fd);
    (void)close(fd);
    return r == 0 ? 0 : PEAL_E_IO;
}

/* Writes aside and links into place: link(2) fails when somebody else was first, so that all agree
 * on one. */
static int place_file(const char *path, const char *line, size_t n, bool *mine, char *why)
{
    char tmp[KEY_PATH_MAX];
    if (snprintf(tmp, sizeof tmp, "%s.%ld.new", path, (long)getpid()) >= (int)sizeof tmp)
        return fail(why, PEAL_E_IO, path, "the path is too long");
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(why, PEAL_E_IO, tmp, strerror(errno));
    int err = write_all(fd, line, n);
    if (err != 0)
        (void)fail(why, err, tmp, strerror(errno));
    (void)close(fd);
    if (err == 0 && link(tmp, path) == 0)
        *mine = true;
    else if (err == 0 && errno != EEXIST)
        err = fail(why, PEAL_E_IO, path, strerror(errno));
    (void)unlink(tmp);
    if (err == 0 && sync_folder(path) != 0)
        err = fail(why, PEAL_E_IO, path, strerror(errno));
    return err;
}

static int make_key(const char *path, bool *made, char *why)
{
    struct peal_secret secret;
    char line[KEY_DIGITS + 2];
    cry_secret_new(&secret);
    peal_hex(secret.b, SECRET_BYTES, line);
    line[KEY_DIGITS] = '\n';
    int err = place_file(path, line, KEY_DIGITS + 1, made, why);
    cry_wipe(line, sizeof line);
    cry_wipe(&secret, sizeof secret);
    return err;
}

int keys_bind(const char *path, const uint8_t fingerprint[static CRY_FP_BYTES],
              char why[static KEYS_WHY_MAX])
{
    char line[CRY_FP_TEXT + 1], kept[KEY_READ_MAX];
    bool mine = false;
    cry_fp_text(fingerprint, line);
    line[CRY_FP_TEXT - 1] = '\n';
    int err = place_file(path, line, CRY_FP_TEXT, &mine, why);
    if (err != 0 || mine)
        return err;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, kept, sizeof kept);
    if (n < 0)
        err = fail(why, PEAL_E_IO, path, strerror(errno));
    else if (n != CRY_FP_TEXT || memcmp(kept, line, CRY_FP_TEXT) != 0)
        err = fail(why, PEAL_E_FOREIGN, path,
                   "this folder belongs to another ring than the given key; start with that ring's "
                   "key (--ring-key-file), or with a new --data folder");
    if (fd >= 0)
        (void)close(fd);
    return err;
}

int keys_load(const char *path, bool make, struct peal_secret *out, bool *made,
              char why[static KEYS_WHY_MAX])
{
    bool mine = false;
    int err = read_key(path, out, why);
    if (err == PEAL_E_NOT_FOUND && make) {
        err = make_key(path, &mine, why);
        if (err == 0)
            err = read_key(path, out, why);
    }
    if (made != NULL)
        *made = mine;
    return err;
}
