/* bench/bench_journal.h - the processes of `tarn bench journal` and `tarn bench failover`.
 *
 * The frames between a client and the front of a member, which stands beside the journal's own on
 * the same address: SUBMIT is a record that begins with a u64 of the client's; DONE is that u64,
 * i32 result (0 or an E_*), u32 id of the leader as this member knows it (0: it does not). */
#ifndef BENCH_BENCH_JOURNAL_H
#define BENCH_BENCH_JOURNAL_H

#include "bench/bench.h"

enum { BENCH_JOURNAL_SUBMIT = 1, BENCH_JOURNAL_DONE = 2, BENCH_JOURNAL_DONE_LEN = 16 };

/* ID DIR ADDR MEMBERS: one member, told by lines (bench_load.h; also "elect ID" -> "elected RET",
 * "status" -> "status KEY VALUE ..."); MEMBERS "local": the journal of one master; "zk CONNECT
 * SHARED_DIR": one log there, elected by ZooKeeper (the first member makes it) */
int bench_journal_node(int argc, char **argv);
/* ADDR: a client of the front of the member at ADDR */
int bench_journal_client(int argc, char **argv);
/* MASTERS: a client of masters (bench_journal_meta.c) */
int bench_journal_meta(int argc, char **argv);
/* DEPTH ADDR...: a client that never gives up (bench_journal_watch.c) */
int bench_journal_watch(int argc, char **argv);
/* DIR THREADS: writes small files there and never gives up (bench_failover_files.c) */
int bench_failover_files(int argc, char **argv);
/* DIR PORT [PORT PORT]: the least that a quorum costs; with other ports it leads the two */
int bench_journal_raw(int argc, char **argv);

/* the rows of `failover` that are measured through a client of masters, and through a mount
 * (bench_failover_fs.c); dir is there */
bool bench_failover_fs(struct bench *b, const char *dir, bool wants_masters, bool wants_mount,
                       bool graceful);

#endif
