/* sim/lab_points.h - the master dies at every point of every operation.
 *
 * A point is an event after which something outside the master's memory may differ: a frame came
 * to it or from it, its disk or the under-store did something for it, a timer or an operation of
 * its own completed.  One run counts the points from the moment a client sends the operation until
 * a while after its answer; then there is one run for each of them in which the master dies right
 * after that point and starts again a little later, while the client repeats its request:
 *
 *   crash   kill -9
 *   power   power loss: what was not synced is kept, lost, torn or garbage
 *   torn    the next turn of its loop does the first thing it wants to do, and then it dies
 *   double  a power loss there, and another one at some point of the recovery
 *
 * Of each run all verdicts must be ok, and at the end answer, namespace and under-store must be
 * those of the run in which nothing happened: the operation took effect exactly once. */
#ifndef SIM_LAB_POINTS_H
#define SIM_LAB_POINTS_H

#include "sim/lab_run.h"

enum lab_points_mode {
    LAB_POINTS_CRASH,
    LAB_POINTS_POWER,
    LAB_POINTS_TORN,
    LAB_POINTS_DOUBLE,
    LAB_POINTS_MODES
};

struct lab_points_result {
    uint32_t points; /* of the run without a crash, or of the recovery */
    uint32_t by_disk, by_net, by_store, by_rest;
    int err;                 /* the answer */
    uint64_t digest, events; /* of namespace and under-store at the end */
    bool ok;
    char why[512];
};

/* the i-th operation's name and script, or NULL */
const char *lab_points_name(uint32_t i);
const char *lab_points_script(uint32_t i);
const char *lab_points_mode_name(enum lab_points_mode m);
/* at 0: nothing happens; else the master dies at that point (and at that one of the recovery) */
void lab_points_run(struct mem *m, uint32_t op, uint64_t seed, enum lab_points_mode mode,
                    uint32_t at, uint32_t at2, struct lab_points_result *ret_r);

#endif
