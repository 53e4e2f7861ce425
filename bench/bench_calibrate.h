/* bench/bench_calibrate.h - what was measured of this machine, and what a simulation says of it.
 *
 * `tarn bench calibrate` writes the model that sim/lab_measured.h describes; `tarn bench predict`
 * does the same work by real processes and by tarn-sim with that model, and compares. */
#ifndef BENCH_BENCH_CALIBRATE_H
#define BENCH_BENCH_CALIBRATE_H

#include "bench/bench_proc.h"
#include "sim/sim.h"

enum { CALIBRATE_POINTS = 33, GROUP_MEMBERS = 3 };

int bench_calibrate_main(struct bench *b);
int bench_predict_main(struct bench *b);
/* DIR: a process of calibrate, told by lines (bench_calibrate_node.c) */
int bench_calibrate_node(int argc, char **argv);

/* ---- bench_calibrate_fit.c: what is of the disk and the wires alone ---- */

struct bench_fit {
    struct sim_model model; /* as measured of processes; bench_fit makes the simulator's of it */
    struct sim_serve_config serve;
    int nodes[SIM_GRID], depth[SIM_GRID]; /* of each number at once: so many processes, each with */
    int64_t write_ns[SIM_GRID][SIM_GRID], ping_ns[SIM_GRID]; /* medians, there and back */
};

void bench_fit(struct bench_fit *f);
/* medians that simulated processes measure */
int64_t bench_fit_writes(const struct sim_model *model, const struct sim_serve_config *serve,
                         int nodes, int depth, uint32_t bytes);
int64_t bench_fit_ping(const struct sim_model *model, const struct sim_serve_config *serve,
                       uint32_t bytes);
int64_t bench_fit_quorum(const struct sim_model *model, const struct sim_serve_config *serve);

/* ---- bench_group.c: three members of a group of masters, as `tarn bench journal` has them ---- */

struct bench_group {
    struct bench_proc member[GROUP_MEMBERS];
    char dir[600];
    int ports;
};

/* what a member's process has done, or did in between */
struct bench_group_counts {
    double cpu_ns, turns, reads, writes, io, wire; /* wire: bytes on sockets */
};

struct bench_group_ran {
    double rate, p50_us, p99_us, records; /* records: all, warm-up included */
    int leader;
    struct bench_group_counts of[GROUP_MEMBERS];
};

/* in an empty directory; false: said */
bool bench_group_open(struct bench_group *g, struct bench *b, const char *dir);
bool bench_group_run(struct bench_group *g, int depth, int size, int ms,
                     struct bench_group_ran *ret);
void bench_group_close(struct bench_group *g);

#endif
