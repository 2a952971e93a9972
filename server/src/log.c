#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {
    [STEP_DEBUG] = "debug", [STEP_INFO] = "info", [STEP_WARN] = "warn"};
static enum step_level least_level = STEP_INFO;

void log_level_set(enum step_level least)
{
    least_level = least;
}

int log_level_of(const char *word, enum step_level *out)
{
    for (size_t i = 0; i < PEAL_COUNT(level_names); i++) {
        if (strcmp(level_names[i], word) == 0) {
            *out = (enum step_level)i;
            return 0;
        }
    }
    return PEAL_E_USAGE;
}

void log_line(enum step_level level, const char *name, const char *fmt, ...)
{
    if (level < least_level)
        return;
    char line[LOG_LINE_MAX];
    struct timespec t;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %-5s %s: ", t.tv_nsec / 1000000,
                          level_names[level], name);
    size_t text = n;
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - n, fmt, ap);
    va_end(ap);
    n = m < 0 ? n : n + (size_t)m;
    if (n > sizeof line - 2)
        n = sizeof line - 2;
    for (size_t i = text; i < n; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[n++] = '\n';
    /* One write, so that lines of several threads and processes stay whole. A log that cannot be
     * written is not worth dying for. */
    ssize_t w = write(STDERR_FILENO, line, n);
    (void)w;
}
