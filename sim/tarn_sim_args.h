/* sim/tarn_sim_args.h - the command line of tarn-sim campaign. */
#ifndef SIM_TARN_SIM_ARGS_H
#define SIM_TARN_SIM_ARGS_H

#include "sim/tarn_sim_row.h"
#include "sim/tarn_sim_summary.h"

struct args {
    struct row_plan plan;
    uint64_t from, to, jobs, shard, shards;
    int64_t budget_ns, seed_timeout_ns;
    const char *db;
    bool twice, first, json, quiet, help, is_worker;
    enum summary_marks marks;
    char *excuses[SUMMARY_EXCUSES];
    unsigned n_excuses;
};

/* 0, or EXIT_USAGE when it has said why; with help it has printed that */
int tarn_sim_args(int argc, char **argv, struct args *ret_a);

/* ---- for the other commands, too ---- */

/* "fail", "warn" or "off" */
bool tarn_sim_args_marks(const char *word, enum summary_marks *ret_m);
/* splits a list at its commas; false: too many */
bool tarn_sim_args_excuse(const char *list, char **names, unsigned *n);

#endif
