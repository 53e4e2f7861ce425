/* bench/bench_load.h - one load, the same for every journal and peer: so many records outstanding
 * until the time is over, and how long each took.
 *
 * A process that makes load is told by lines on its standard input and answers by lines on its
 * standard output; it ends with its input.  So the same few lines drive our members, other
 * systems' members and clients of other systems, each written with what suits it:
 *
 *     run DEPTH SIZE MS    ->  ran COUNT NS P50 P99 P999 MAX    (of what was done after a tenth of
 *                              the time, which warms up; times in ns), or: failed WHY
 *     leads                ->  leads 1, or leads 0
 *
 * Links nothing of ours: also the small programs beside other libraries use it. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

enum { BENCH_LOAD_DEPTH_MAX = 512, BENCH_LOAD_SIZE_MAX = 64 * 1024, BENCH_LOAD_BUCKETS = 2560 };

struct bench_load {
    int depth, size;
    int64_t from_ns, end_ns; /* counted between them */
    int busy;                /* outstanding */
    uint64_t n, max_ns;
    uint32_t count[BENCH_LOAD_BUCKETS]; /* by duration, 64 buckets to a power of two */
};

int64_t bench_load_now_ns(void);
/* a "run" line; false: something else.  The time begins now. */
bool bench_load_parse(struct bench_load *l, const char *line);
/* One that began at began_ns is done; true: begin another.  At false one less is busy. */
bool bench_load_done(struct bench_load *l, int64_t began_ns);
/* so many of a thousand took no longer, in ns */
uint64_t bench_load_quantile(const struct bench_load *l, uint64_t of_1000);
/* the answer, when nothing is busy any more */
void bench_load_print(const struct bench_load *l);
void bench_load_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For how long nothing was acknowledged, told by lines as well:
 *
 *     fault   ->  ok         what will go wrong begins now: forget the longest silence
 *     mark    ->  ok         it has begun
 *     gap     ->  gap NS MARKED ALL FAILED      the longest silence since, the one that goes on
 *                            included; how many were acknowledged that began after the mark; how
 *                            many ever; how many failed */
struct bench_gap {
    int64_t last_ns, longest_ns, mark_ns;
    uint64_t marked, all, failed;
};
void bench_gap_done(struct bench_gap *g, int64_t began_ns, bool ok);
bool bench_gap_line(struct bench_gap *g, const char *line); /* false: something else */

/* Lines as they come in on a descriptor that may be read now. */
struct bench_load_lines {
    char text[512];
    unsigned n;
};
/* reads once; calls line() for each whole one.  false: the end */
bool bench_load_read(struct bench_load_lines *b, int fd, void (*line)(void *ctx, const char *text),
                     void *ctx);

#endif
