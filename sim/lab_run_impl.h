/* sim/lab_run_impl.h - shared by lab_run.c (course of a run), lab_run_node.c (machines),
 * lab_run_operator.c (the masters' group) and lab_nemesis.c (faults). */
#ifndef SIM_LAB_RUN_IMPL_H
#define SIM_LAB_RUN_IMPL_H

#include "core/fmt.h"
#include "core/prng.h"
#include "sim/lab_core.h"
#include "sim/lab_raft.h"
#include "sim/lab_run.h"
#include "sim/lab_zk_site.h"

enum { RUN_WINDOW_MS = 100, RUN_MASTERS = 9, RUN_CLUSTER = 1 }; /* CLUSTER: half of its id */
#define RUN_MS          1000000LL
#define LAB_RUN_TICK_NS (250 * RUN_MS)

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
    uint32_t rated; /* faults of its clock's rate under way */
    bool flipped;   /* a bit of its disk: it may say so and want an empty directory */
    /* of a master */
    struct master_observer *observer;
    struct raft_watch *watch;            /* NULL: no Raft */
    uint32_t id;                         /* its journal's member id; 0: spare, not running */
    bool founder;                        /* began with the group */
    bool joins;                          /* with an empty directory */
    bool was_in;                         /* seen in the group's configuration */
    uint32_t full, slow, unsynced, errs; /* faults of its disk under way */
    int64_t excused_until_ns;            /* it may fail for its disk's sake */
    int64_t full_until_ns;               /* it may not start for want of space */
    bool had_errs;                       /* its writes may have failed */
    uint32_t corrupt;                    /* how often in a row it ended with E_CORRUPT */
    bool has_served;                     /* this process of it */
    uint64_t checked;                    /* records that it had applied when its namespace was */
    struct env_op again;                 /* its process has ended, and starts again */
    struct env_op hand_over;             /* it was told to: */
    bool is_ending, is_handing;
};

struct run_operator;

struct run_event {
    struct env_op begin, end, more;
    struct lab_run *r;
    struct lab_run_fault *f;
    struct run_node *on, *to_leader;
    bool did;
    /* of several steps */
    struct run_node *led;
    uint32_t step, hit; /* hit: by whom, a bit for each */
    int64_t until_ns;
    bool paused, healing;
};

enum run_phase { RUN_LOAD, RUN_CORE, RUN_DRAIN, RUN_SETTLE, RUN_PROBE, RUN_QUIET, RUN_OVER };

struct lab_run {
    struct mem *mem;
    struct lab_scenario s;
    uint64_t seed;
    struct sim *sim;
    struct lab_ufs *ufs;
    struct lab_check *check;
    struct lab_raft *raft;  /* NULL: no Raft */
    struct lab_zk_site *zk; /* journal.zk; else NULL */
    struct lab_load *load;
    struct run_node *nodes;
    uint32_t n_nodes, max_nodes;
    char masters[512]; /* addresses */
    char members[512]; /* the group's, to begin with */
    uint32_t next_id;
    struct run_operator *oper; /* NULL: there is one master */
    struct master_mount mount;
    struct env_op tick;
    enum run_phase phase;
    int64_t phase_until_ns, settled_ns;
    uint32_t ticks;
    struct lab_run_fault *faults;
    struct run_event *events;
    struct lab_core core[2]; /* in RUN_CORE: of masters, of workers */
    struct lab_core_watch core_watch;
    char core_text[2 * LAB_CORE_TEXT];
    uint8_t *windows;
    uint32_t n_windows;
    int64_t last_fault_end_ns, healed_ns;
    bool errs; /* the keys bring errors of disks */
    uint32_t repairs, exits, changes;
    char ended[120];
};

/* after which somebody else is elected, at most */
static inline int64_t run_suspect_ns(const struct lab_run *r)
{
    return r->zk ? r->s.zk.session_ns : r->s.journal.suspect_max_ns;
}

/* ---- lab_run_node.c */
struct run_node *lab_run_node(struct lab_run *r, const char *name);
void lab_run_add(struct lab_run *r, enum run_role role, uint32_t number);
void lab_run_boot(struct run_node *n);
/* it runs no more; called with the world's function that does it */
void lab_run_down(struct run_node *n, void (*how)(struct sim_node *n));
/* the own checks of every machine; who fails with reason starts again, or is repaired */
void lab_run_check_nodes(struct lab_run *r);
/* the master that leads, by its journal's word, in the highest epoch; NULL: none does */
struct run_node *lab_run_leader(struct lab_run *r);

/* ---- lab_run_operator.c */
struct run_operator *lab_run_operator_open(struct lab_run *r);
void lab_run_operator_boot(struct run_operator *o);
void lab_run_operator_tick(struct run_operator *o);
/* LAB_FAULT_WIPE, _MEMBERS or _IMAGE, as soon as the group is tidy */
void lab_run_operator_wish(struct run_operator *o, enum lab_fault_kind k, struct run_node *on,
                           uint64_t chance);
/* by the leader's last word; of a group that is tidy */
bool lab_run_operator_votes(const struct run_operator *o, uint32_t id);
/* no more wishes */
void lab_run_operator_close(struct run_operator *o);
/* every member of the group runs, and every machine that runs is one */
bool lab_run_operator_is_tidy(const struct run_operator *o);
void lab_run_operator_say(const struct run_operator *o, char *ret_text, size_t cap);

/* ---- lab_run_plot.c: faults of several steps; the first step, and what comes next */
void lab_run_plot_usurp(struct run_event *e);
void lab_run_plot_usurp_next(struct run_event *e);
void lab_run_plot_blackout(struct run_event *e);
void lab_run_plot_blackout_end(struct run_event *e);

/* ---- lab_run_core.c: a bare majority must do alone */
bool lab_run_core_begin(struct lab_run *r); /* false: it is not known who votes */
bool lab_run_core_serves(struct lab_run *r);
void lab_run_core_end(struct lab_run *r);

/* ---- lab_nemesis.c */
void lab_nemesis_open(struct lab_run *r);
/* how many of several masters may have a damaged disk, all through the run */
uint32_t lab_nemesis_damaged(const struct lab_run *r);
/* whatever is still wrong is put right */
void lab_nemesis_heal(struct lab_run *r);

#endif
