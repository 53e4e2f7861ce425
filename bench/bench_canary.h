/* bench/bench_canary.h - how long the machine itself stood still: one thread sleeps 10 ms at a
 * time, another makes a small durable write as often; each notes by how much it was late. */
#ifndef BENCH_BENCH_CANARY_H
#define BENCH_BENCH_CANARY_H

#include "bench/bench.h"

struct bench_canary {
    int64_t worst_ns, worst_write_ns;
    uint64_t long_ones, long_writes; /* of at least the time given at the start */
};

/* the writes go to a file in dir; false: said */
bool bench_canary_start(const char *dir, int64_t long_ns);
/* since the start or the last call */
struct bench_canary bench_canary_take(void);
void bench_canary_stop(void);

#endif
