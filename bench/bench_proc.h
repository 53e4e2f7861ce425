/* bench/bench_proc.h - processes that a benchmark starts and talks to by lines (bench_load.h). */
#ifndef BENCH_BENCH_PROC_H
#define BENCH_BENCH_PROC_H

#include "bench/bench.h"

struct bench_proc {
    pid_t pid; /* 0: none */
    int in, out;
    char held[1024]; /* came after the line that was asked for */
    unsigned n_held;
};

/* argv[] ended by NULL, found by PATH; all it says of itself goes to log.  With talks, in and out
 * are its standard input and output. */
bool bench_proc_start(struct bench_proc *p, char *const argv[], const char *log, bool talks);
bool bench_proc_tell(struct bench_proc *p, const char *line);
/* the next line that it says; false: none within timeout_ms, or it is gone */
bool bench_proc_hear(struct bench_proc *p, char *line, size_t cap, int timeout_ms);
bool bench_proc_ask(struct bench_proc *p, const char *question, char *line, size_t cap,
                    int timeout_ms);
/* kills it at once, as a power loss of its own; and reaps */
void bench_proc_kill(struct bench_proc *p);
/* ends its input, and kills it unless it is gone by then */
void bench_proc_end(struct bench_proc *p, int timeout_ms);
/* of a program beside this one, e.g. "bench-etcd"; false: it is not there */
bool bench_proc_beside(const struct bench *b, const char *name, char *path, size_t cap);
/* a range of n ports on loopback that are free now; 0: none */
int bench_proc_ports(int n);

#endif
