/* sim/lab_run_impl.h - shared by lab_run.c (machines, course of a run) and lab_nemesis.c (faults).
 */
#ifndef SIM_LAB_RUN_IMPL_H
#define SIM_LAB_RUN_IMPL_H

#include "core/fmt.h"
#include "core/prng.h"
#include "sim/lab_run.h"

enum { RUN_WINDOW_MS = 100 };

enum run_role { RUN_MASTER, RUN_WORKER, RUN_CLIENT };

struct run_node {
    struct lab_run *r;
    struct sim_node *node;
    enum run_role role;
    char addr[64];
    struct master *master; /* NULL: down */
    struct worker *worker;
    uint32_t down; /* faults that keep it down */
    bool paused;
    bool flipped; /* a bit of its disk: it may say so and want an empty directory */
};

struct run_event {
    struct env_op begin, end;
    struct lab_run *r;
    struct lab_run_fault *f;
    struct run_node *on;
    bool did;
};

enum run_phase { RUN_LOAD, RUN_DRAIN, RUN_SETTLE, RUN_PROBE, RUN_QUIET, RUN_OVER };

struct lab_run {
    struct mem *mem;
    struct lab_scenario s;
    uint64_t seed;
    struct sim *sim;
    struct lab_ufs *ufs;
    struct lab_check *check;
    struct lab_load *load;
    struct run_node *nodes;
    uint32_t n_nodes, max_nodes;
    char masters[512]; /* addresses */
    struct master_mount mount;
    struct env_op tick;
    enum run_phase phase;
    int64_t phase_until_ns, settled_ns;
    uint32_t ticks;
    struct lab_run_fault *faults;
    struct run_event *events;
    uint8_t *windows;
    uint32_t n_windows;
    int64_t last_fault_end_ns, healed_ns;
    uint32_t repairs;
};

/* ---- lab_run.c */
struct run_node *lab_run_node(struct lab_run *r, const char *name);
void lab_run_boot(struct run_node *n);
/* it runs no more; called with the world's function that does it */
void lab_run_down(struct run_node *n, void (*how)(struct sim_node *n));

/* ---- lab_nemesis.c */
void lab_nemesis_open(struct lab_run *r);
/* whatever is still wrong is put right */
void lab_nemesis_heal(struct lab_run *r);

#endif
