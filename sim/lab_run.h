/* sim/lab_run.h - one run of a scenario: boots the machines, lets things go wrong, and reports.
 *
 *   load and faults (duration) -> everything healed -> the load ends -> every client walks and
 *   writes -> namespace, model and under-store are compared
 *
 * Each step after the faults has the scenario's bound; missing it is a liveness failure. */
#ifndef SIM_LAB_RUN_H
#define SIM_LAB_RUN_H

#include "sim/lab_scenario.h"

struct lab_run;

/* What became of the service from a fault on. */
struct lab_run_fault {
    struct lab_fault f;
    int64_t began_ns;
    int64_t down_ns; /* the longest time without any success that began in its time */
};

struct lab_report {
    uint64_t seed, hash[2], events;
    int64_t virtual_ns, load_ns;
    uint32_t windows, windows_up;       /* of 100 ms, during the load, that are over */
    int64_t longest_down_ns, healed_ns; /* until the first success after the last fault ended */
    uint64_t records;
    uint32_t repairs;  /* damaged workers that were given an empty directory */
    const char *ended; /* "", or why there was nothing left to go on with */
    /* of several masters: times that one began to lead, processes that ended for their disk's sake,
     * changes of the group */
    uint64_t leaderships;
    uint32_t exits, changes;
    const char *core;  /* who had to serve alone at the end, or "" */
    const char *drawn; /* what the seed drew */
    const struct lab_run_fault *faults;
    uint32_t n_faults;
    const struct lab_load_stats *load;
    const struct lab_ufs_stats *store;
    const struct sim_stats *world;
    const struct lab_finding *findings[LAB_VERDICTS];
};

/* m outlives the run; s is copied and its random faults are drawn.  on_log may be NULL. */
struct lab_run *lab_run_open(struct mem *m, const struct lab_scenario *s, uint64_t seed,
                             sim_log_fn on_log, void *log_ctx);
/* until_ns 0: to the end; ret: false when it was cut short by until_ns */
bool lab_run_go(struct lab_run *r, int64_t until_ns);
/* from now on chance has it otherwise, in the k-th way; the faults stay; k > 0 */
void lab_run_vary(struct lab_run *r, uint64_t k);
void lab_run_report(const struct lab_run *r, struct lab_report *ret_rep);
void lab_run_close(struct lab_run *r);
struct sim *lab_run_sim(struct lab_run *r);
struct lab_load *lab_run_load(struct lab_run *r);
struct lab_check *lab_run_check(struct lab_run *r);

#endif
