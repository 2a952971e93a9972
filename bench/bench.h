/* bench: the benchmarks of peal-bench that have a file of their own. */
#ifndef PEAL_BENCH_H
#define PEAL_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Each prints one JSON object, and ends the process when something is wrong. */
void bench_lookups(const char *const servers[], size_t n, uint64_t seconds);
void bench_registers(const char *const servers[], size_t n, uint64_t clients, uint64_t flight,
                     uint64_t seconds);

#endif
