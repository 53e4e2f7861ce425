/* bench/bench_zookeeper.h - a server of Apache ZooKeeper, Debian's package, for a benchmark. */
#ifndef BENCH_BENCH_ZOOKEEPER_H
#define BENCH_BENCH_ZOOKEEPER_H

#include "bench/bench_proc.h"

/* java, and the package `zookeeper` */
bool bench_zookeeper_is_there(void);
/* Server `id` with its data in dir, which is there and empty, for clients on the loopback's port.
 * servers: the lines of its ensemble; NULL: it is alone. */
bool bench_zookeeper_start(struct bench_proc *p, const char *dir, const char *log, int port, int id,
                           const char *servers);

#endif
