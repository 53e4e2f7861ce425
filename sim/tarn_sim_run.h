/* sim/tarn_sim_run.h - what the commands run, seeds and points of tarn-sim share. */
#ifndef SIM_TARN_SIM_RUN_H
#define SIM_TARN_SIM_RUN_H

#include "sim/lab_run.h"
#include "sim/tarn_sim.h"

struct options {
    const char *scenario;
    uint64_t seed, from, to;
    const char *sets[64];
    unsigned n_sets;
    bool twice, json, first, has_seed, has_branch, has_vary, is_auto;
    uint64_t stride, at, at2;
    const char *mode;
    int64_t until_ns, branch_ns;
    uint64_t vary, stop_event, plant_event;
    const char *log_node, *trace, *history, *timeline, *plant, *mutant;
    FILE *out; /* of the report: standard error, if a file is "-" */
};

struct run_end {
    bool over; /* not cut short */
    double wall_s;
};

/* the report; as JSON it is an object that is not closed yet */
void tarn_sim_print(FILE *to, const struct lab_scenario *s, const struct lab_report *p,
                    const struct run_end *e, bool json);

int tarn_sim_points(const struct options *o);

/* what a failed assertion says how to get there again by, from now on */
void tarn_sim_on_panic(const char *again, uint64_t seed);

#endif
