/* lookups: a benchmark of its own file (lookups.c). */
#ifndef PEAL_BENCH_LOOKUPS_H
#define PEAL_BENCH_LOOKUPS_H

#include <stddef.h>
#include <stdint.h>

/* Ends the process when something is wrong. */
void bench_lookups(const char *const servers[], size_t n, uint64_t seconds);

#endif
