/* log: lines on standard error, "2026-01-31T12:00:00.000Z info  member: text". One process-wide
 * level; any thread. Control characters in the text are shown as `?`, so that a peer's bytes cannot
 * forge a line. */
#ifndef PEALD_LOG_H
#define PEALD_LOG_H

#include "peal/step.h"

enum { LOG_LINE_MAX = 1024 };

void log_level_set(enum step_level least);
/* PEAL_E_USAGE: the word is none of debug, info, warn. */
PEAL_MUST int log_level_of(const char *word, enum step_level *out);
void log_line(enum step_level level, const char *name, const char *fmt, ...) PEAL_PRINTF(3, 4);

#endif
