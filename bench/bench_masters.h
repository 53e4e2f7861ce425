/* bench/bench_masters.h - a cluster of several masters, as an operator makes one: bootstrapped,
 * then started; no worker, and names that are held by the journal alone (mode meta) unless it is
 * said otherwise. */
#ifndef BENCH_BENCH_MASTERS_H
#define BENCH_BENCH_MASTERS_H

#include "bench/bench_proc.h"

enum { BENCH_MASTERS_MAX = 5 };

struct bench_masters {
    struct bench *b;
    char dir[512], config[600]; /* the masters' directories are dir/master1, ... */
    char listen[BENCH_MASTERS_MAX][32], all[200];
    const char
        *mounts; /* JSON of all mounts, and what follows it; NULL: "/" by the journal alone */
    int n;
    struct bench_proc proc[BENCH_MASTERS_MAX];
};

/* With m->mounts set or m zeroed: n masters at ports, ports + 1, ...; memory as master.memory has
 * it; false: said */
bool bench_masters_open(struct bench_masters *m, struct bench *b, const char *dir, int n, int ports,
                        const char *memory);
/* starts master i (from 0) again */
bool bench_masters_start(struct bench_masters *m, int i);
void bench_masters_close(struct bench_masters *m);
/* Who leads, from 0, as the masters themselves say; -1 when nobody does for timeout_ms.  With
 * whole, only once all are there and at most 1000 records behind. */
int bench_masters_leader(struct bench_masters *m, bool whole, int timeout_ms);

struct bench_masters_member {
    bool answers;
    char role[16];
    double match, applied, image;
};
/* what `tarn journal status` says of each; how many answer */
int bench_masters_ask(struct bench_masters *m, struct bench_masters_member *ret,
                      double *ret_committed);

#endif
