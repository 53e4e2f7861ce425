/* sim/lab_group.h - one run of a scenario with "journal.only": masters that are a journal and a few
 * registers each, and clients of those; everything else is left out, so that seeds are cheap.
 *
 *   load and faults (duration) -> everything healed, the operator tidies the group -> the load ends
 *   -> a client writes, and reads what it wrote on every member -> all members are compared
 *
 * WHAT IS CHECKED, always
 *  leaders   an epoch has one leader; a node's epochs rise; a leader has all that was acknowledged
 *            in earlier epochs; nobody else begins to lead, or commits, while a leader has a lease
 *  log       every member applies the same bytes at the same index, skips nothing, and has the same
 *            state after it, also from images; a submit is applied once at most; what was answered
 *            with an index is there
 *  answers   white-box linearizability: each answer carries its place in the log; places respect
 *            real time, values are those of a second machine.  O(1) an operation
 *  linear    the same from outside: lab_wgl on each register
 *  liveness  after all is healed everybody works within the scenario's bound
 *  structure the journal fails only where its disk was made to fail
 *  raft      the properties of sim/lab_raft.h, after every step of every member
 *
 * Registers, sessions and records: sim/lab_group_impl.h. */
#ifndef SIM_LAB_GROUP_H
#define SIM_LAB_GROUP_H

#include <stdio.h>
#include "sim/lab_check.h"
#include "sim/lab_core.h"
#include "sim/lab_scenario.h"

enum lab_group_verdict {
    LAB_GROUP_LEADERS,
    LAB_GROUP_LOG,
    LAB_GROUP_ANSWERS,
    LAB_GROUP_LINEAR,
    LAB_GROUP_LIVENESS,
    LAB_GROUP_STRUCTURE,
    LAB_GROUP_RAFT,
    LAB_GROUP_VERDICTS
};

struct lab_group_report {
    uint64_t seed, hash[2], events;
    int64_t virtual_ns, longest_down_ns, healed_ns;
    uint32_t windows, windows_up;
    uint64_t writes, reads, standby_reads, unanswered, records, duplicates;
    uint64_t leaderships, images_loaded, images_cut, changes, changes_failed, exits;
    uint64_t wgl_steps;
    uint64_t fed; /* journal.outstanding: done in the last third of the load, fed_ns */
    int64_t fed_ns, fed_p50_ns, fed_p99_ns;
    bool stopped;             /* more was damaged than can be recovered, and it did not recover */
    char core[LAB_CORE_TEXT]; /* who had to serve alone at the end, or "" */
    const char *drawn;
    const struct lab_fault *faults;
    uint32_t n_faults;
    const struct lab_finding *findings; /* LAB_VERDICTS, of which it has LAB_GROUP_VERDICTS */
};

struct lab_group;

/* What a client asks; its number is one of all threads of all clients. */
struct lab_group_op {
    const char *client, *what; /* what: "read", "write", "cas" */
    uint32_t thread, number;
    int64_t from_ns;
    uint64_t key, a, b; /* write a, or from a to b */
    enum { LAB_GROUP_ASKED, LAB_GROUP_ANSWERED, LAB_GROUP_GIVEN_UP } phase;
    uint64_t value, index; /* answered: of a read; its place in the log */
    bool did;              /* not of a cas whose comparison failed */
    const char *by;
};

/* For who wants to see a run as it happens. */
struct lab_group_watch {
    void *ctx;
    void (*on_op)(void *ctx, int64_t at_ns, const struct lab_group_op *op);
    /* not when it dies */
    void (*on_lead)(void *ctx, int64_t at_ns, const char *node, uint64_t epoch, bool begins);
    void (*on_record)(void *ctx, int64_t at_ns, uint64_t index, const char *node); /* the first */
};

/* m outlives the run; s is copied and its random parts are drawn.  on_log may be NULL. */
struct lab_group *lab_group_open(struct mem *m, const struct lab_scenario *s, uint64_t seed,
                                 sim_log_fn on_log, void *log_ctx);
/* until_ns 0: to the end; ret: false when it was cut short by until_ns */
bool lab_group_go(struct lab_group *g, int64_t until_ns);
/* from now on chance has it otherwise, in the k-th way; the faults stay; k > 0 */
void lab_group_vary(struct lab_group *g, uint64_t k);
void lab_group_report(struct lab_group *g, struct lab_group_report *ret_rep);
void lab_group_close(struct lab_group *g);
struct sim *lab_group_sim(struct lab_group *g);
const char *lab_group_verdict_name(enum lab_group_verdict v);
/* every record, answer, role and fault as text, as it happens; call it before lab_group_go */
void lab_group_history(struct lab_group *g, FILE *to);
/* call it before lab_group_go; w is copied, and any of its functions may be NULL */
void lab_group_watch(struct lab_group *g, const struct lab_group_watch *w);
/* keeps every operation that is begun; call it before lab_group_go */
void lab_group_keep(struct lab_group *g, struct lab_ops *to);
/* the report for people, or as JSON, an object that is not closed yet; wall_s: how long it took;
 * over: it was not cut short */
void lab_group_print(FILE *to, const struct lab_scenario *s, const struct lab_group_report *r,
                     double wall_s, bool over, bool json);

#endif
