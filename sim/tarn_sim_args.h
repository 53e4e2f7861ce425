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

struct args_flag { /* an option without a value */
    const char *name;
    bool *to;
};
struct args_table {
    void *ctx;
    const struct args_flag *flags;
    size_t n_flags;
    const char *command; /* whose options these are */
    /* 1: it is such an option with a good value, 0: its value is bad or missing (v: NULL), -1:
     * there is no such */
    int (*valued)(void *ctx, const char *o, const char *v);
    /* 0, or EXIT_USAGE when it has said why not */
    int (*operand)(void *ctx, char *v);
    bool help; /* -h and --help; all is read nevertheless */
};
/* reads what follows the subcommand; 0, or EXIT_USAGE when it has said why not */
int tarn_sim_args_read(int argc, char **argv, struct args_table *t);

/* "fail", "warn" or "off" */
bool tarn_sim_args_marks(const char *word, enum summary_marks *ret_m);
/* splits a list at its commas; false, and said: too many, or no such mark */
bool tarn_sim_args_excuse(const char *list, char **names, unsigned *n);

#endif
