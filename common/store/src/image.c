#include "image.h"

#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_HEAD = 32,
    FRAME_HEAD = 24,
    FRAME_BYTES = FRAME_HEAD + IMAGE_PAGE,
    FREE_FIRST = 32, /* places in the file's head */
    FREE_COUNT = 36,
    FREE_LEAVES_MAX = IMAGE_PAGE / 4 - 2,
};

#define LOG_MAGIC 0x377f0682U /* | 1: its checksums are of big-endian words */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Reads up to n bytes, the rest is zeroes; -1: the disk gives nothing. */
static ssize_t read_at(int fd, uint64_t at, size_t n, uint8_t *out)
{
    size_t have = 0;
    while (have < n) {
        ssize_t r = pread(fd, out + have, n - have, (off_t)(at + have));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        have += (size_t)r;
    }
    memset(out + have, 0, n - have);
    return (ssize_t)have;
}

/* ---- the log ---- */

struct log_reader {
    int fd;
    bool big;
    bool sound; /* its head */
    uint8_t salts[8];
    uint8_t sums[8]; /* stored in what stands before the next frame */
    uint32_t frames;
};

static void log_sum(const struct log_reader *l, const uint8_t *p, size_t n, uint32_t s[static 2])
{
    for (size_t i = 0; i < n; i += 8) {
        s[0] += (l->big ? be32(p + i) : le32(p + i)) + s[1];
        s[1] += (l->big ? be32(p + i + 4) : le32(p + i + 4)) + s[0];
    }
}

/* Of a head that is damaged: the salts that the first two frames agree on. */
static void log_salts(struct log_reader *l)
{
    uint8_t salts[2][8];
    for (size_t i = 0; i < 2; i++) {
        uint64_t at = LOG_HEAD + i * (uint64_t)FRAME_BYTES + 8;
        if (read_at(l->fd, at, sizeof salts[i], salts[i]) != sizeof salts[i])
            return;
    }
    if (memcmp(salts[0], salts[1], sizeof salts[0]) == 0)
        memcpy(l->salts, salts[1], sizeof l->salts);
}

/* A head that is damaged is guessed: this program's page size, this machine's order of bytes. */
static bool log_begin(struct log_reader *l, int fd)
{
    const uint16_t one = 1;
    uint8_t head[LOG_HEAD], first;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < LOG_HEAD ||
        read_at(fd, 0, LOG_HEAD, head) != LOG_HEAD)
        return false;
    memcpy(&first, &one, 1);
    bool known = (be32(head) & ~1U) == LOG_MAGIC;
    uint64_t frames = ((uint64_t)st.st_size - LOG_HEAD) / FRAME_BYTES;
    *l = (struct log_reader){.fd = fd,
                             .big = known ? (be32(head) & 1) != 0 : first == 0,
                             .frames =
                                 frames > IMAGE_PAGES_MAX ? IMAGE_PAGES_MAX : (uint32_t)frames};
    memcpy(l->salts, head + 16, sizeof l->salts);
    memcpy(l->sums, head + 24, sizeof l->sums);
    uint32_t s[2] = {0, 0};
    log_sum(l, head, LOG_HEAD - 8, s);
    l->sound = known && s[0] == be32(head + 24) && s[1] == be32(head + 28);
    if (!l->sound)
        log_salts(l);
    return true;
}

struct frame {
    bool ours;  /* of the log's present round, by its salts */
    bool sound; /* and by its checksum, which goes on from the one stored before it */
    bool commit;
    uint32_t page;
};

/* Frame i, frames in their order. A frame that is damaged does not make those behind it unsound, as
 * it does for SQLite: each goes on from the checksum that the one before it has stored. */
static struct frame log_frame(struct log_reader *l, uint32_t i)
{
    uint8_t bytes[FRAME_BYTES];
    uint32_t s[2];
    struct frame f = {0};
    if (read_at(l->fd, LOG_HEAD + (uint64_t)i * FRAME_BYTES, FRAME_BYTES, bytes) != FRAME_BYTES)
        return f;
    for (size_t k = 0; k < 2; k++)
        s[k] = be32(l->sums + 4 * k);
    log_sum(l, bytes, 8, s);
    log_sum(l, bytes + FRAME_HEAD, IMAGE_PAGE, s);
    f.page = be32(bytes);
    f.commit = be32(bytes + 4) != 0;
    f.ours = memcmp(bytes + 8, l->salts, sizeof l->salts) == 0;
    f.sound = f.ours && s[0] == be32(bytes + 16) && s[1] == be32(bytes + 20) && f.page > 0;
    memcpy(l->sums, bytes + 16, sizeof l->sums);
    return f;
}

/* How many frames there are up to the last that commits; *pages: the highest page of them, *all:
 * how many there are in all. */
static uint32_t log_committed(int fd, uint32_t *pages, uint32_t *all)
{
    struct log_reader l;
    uint32_t n = 0, highest = 0;
    *pages = *all = 0;
    if (!log_begin(&l, fd))
        return 0;
    *all = l.frames;
    for (uint32_t i = 0; i < l.frames; i++) {
        struct frame f = log_frame(&l, i);
        if (f.sound && f.page > highest)
            highest = f.page;
        if (!f.sound || !f.commit)
            continue;
        n = i + 1;
        *pages = highest;
    }
    return n;
}

/* Each transaction is made durable before the next is begun: what stands before a commit that other
 * frames follow was all on the disk, and is damaged if it is not sound now. Whereas the end of a
 * log may well be torn, and nobody relied on it. */
static bool log_damaged(int fd)
{
    struct log_reader l;
    if (!log_begin(&l, fd))
        return false;
    bool bad = !l.sound, committed = false;
    for (uint32_t i = 0; i < l.frames; i++) {
        struct frame f = log_frame(&l, i);
        if (f.sound && committed)
            return true;
        bad = bad || !f.sound;
        committed = bad && f.sound && f.commit;
    }
    return false;
}

static void log_lay(struct image *m, uint32_t committed)
{
    struct log_reader l;
    if (!log_begin(&l, m->log))
        return;
    for (uint32_t i = 0; i < m->frames; i++) {
        struct frame f = log_frame(&l, i);
        m->loose[i] = i < committed ? !f.sound : f.ours;
        if (f.page == 0 || f.page > m->pages)
            continue;
        if (i >= committed) {
            m->marks[f.page] |= f.ours ? IMAGE_LATE : 0;
        } else if (f.sound) {
            m->frame[f.page] = i + 1;
            m->marks[f.page] &= (uint8_t)~IMAGE_STALE;
        } else {
            m->marks[f.page] |= IMAGE_STALE;
        }
    }
}

/* ---- free pages ---- */

/* Goes through the list of free pages: as many as the head says, each of them once. */
static bool free_walk(struct image *m, uint8_t mark)
{
    uint8_t page[IMAGE_PAGE];
    if (!image_read(m, 1, page))
        return false;
    uint32_t trunk = be32(page + FREE_FIRST), left = be32(page + FREE_COUNT);
    while (trunk != 0 && left > 0) {
        if (trunk > m->pages || !image_read(m, trunk, page))
            return false;
        m->marks[trunk] |= mark;
        left--;
        uint32_t n = be32(page + 4);
        if (n > left || n > FREE_LEAVES_MAX)
            return false;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t leaf = be32(page + 8 + 4 * (size_t)i);
            if (leaf == 0 || leaf > m->pages)
                return false;
            m->marks[leaf] |= mark;
        }
        left -= n;
        trunk = be32(page);
    }
    return trunk == 0 && left == 0;
}

/* ---- the whole ---- */

int image_open(struct image *m, const char *path, char why[static STORE_TEXT_MAX])
{
    char log[STORE_PATH_MAX];
    struct stat st;
    *m = (struct image){.fd = -1, .log = -1};
    int rc = file_beside(path, "-wal", log, why);
    if (rc != 0)
        return rc;
    m->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (m->fd < 0 || fstat(m->fd, &st) != 0)
        return file_say(why, "cannot open", path);
    m->log = open(log, O_RDONLY | O_CLOEXEC);
    if (m->log < 0 && errno != ENOENT)
        return file_say(why, "cannot open", log);
    uint32_t beyond;
    uint32_t committed = log_committed(m->log, &beyond, &m->frames);
    uint64_t pages = ((uint64_t)st.st_size + IMAGE_PAGE - 1) / IMAGE_PAGE;
    if (pages < beyond)
        pages = beyond;
    if (pages > IMAGE_PAGES_MAX) {
        (void)snprintf(why, STORE_TEXT_MAX, "the data file is too large to be gone through");
        return PEAL_E_FULL;
    }
    m->pages = (uint32_t)pages;
    m->frame = calloc(pages + 1, sizeof *m->frame);
    m->marks = calloc(pages + 1, sizeof *m->marks);
    m->loose = calloc((size_t)m->frames + 1, sizeof *m->loose);
    if (m->frame == NULL || m->marks == NULL || m->loose == NULL) {
        (void)snprintf(why, STORE_TEXT_MAX, "no memory for the pages of the data file");
        return PEAL_E_NO_MEMORY;
    }
    log_lay(m, committed);
    /* Of a list that is broken off, what was met is free all the same. */
    (void)free_walk(m, IMAGE_STALE | IMAGE_FREE);
    return 0;
}

int image_check_log(const char *path, char why[static STORE_TEXT_MAX])
{
    char log[STORE_PATH_MAX];
    int rc = file_beside(path, "-wal", log, why);
    if (rc != 0)
        return rc;
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : file_say(why, "cannot open", log);
    bool damaged = log_damaged(fd);
    (void)close(fd);
    if (damaged)
        (void)snprintf(why, STORE_TEXT_MAX, "its write-ahead log is damaged");
    return damaged ? PEAL_E_CORRUPT : 0;
}

void image_close(struct image *m)
{
    if (m->fd >= 0)
        (void)close(m->fd);
    if (m->log >= 0)
        (void)close(m->log);
    free(m->frame);
    free(m->marks);
    free(m->loose);
    *m = (struct image){.fd = -1, .log = -1};
}

bool image_read(const struct image *m, uint32_t page, uint8_t out[static IMAGE_PAGE])
{
    if (page == 0 || page > m->pages)
        return false;
    if (m->frame[page] == 0)
        return read_at(m->fd, (uint64_t)(page - 1) * IMAGE_PAGE, IMAGE_PAGE, out) >= 0;
    return image_frame(m, m->frame[page] - 1, out);
}

bool image_frame(const struct image *m, uint32_t i, uint8_t out[static IMAGE_PAGE])
{
    uint64_t at = LOG_HEAD + (uint64_t)i * FRAME_BYTES + FRAME_HEAD;
    return i < m->frames && read_at(m->log, at, IMAGE_PAGE, out) == IMAGE_PAGE;
}
