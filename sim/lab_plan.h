/* sim/lab_plan.h - what a careful person would do next about a group of masters: decided from what
 * the leader says of the group and what is known of the machines, for whoever then does it (the
 * operators of lab_run and lab_group).
 *
 *  1. A machine's disk is given up only while the group is in order and has three voters or more,
 *     and the next one only when the group has let go of the lost one: what was acknowledged is
 *     then on a majority of those that may vote.
 *  2. No member id is ever given to a second disk: who is made fresh gets a new one.
 *  3. Nobody is removed who would leave so few voters that those whose disks are damaged are not
 *     fewer than half of them.
 *  4. Pure: the same question, the same answer. */
#ifndef SIM_LAB_PLAN_H
#define SIM_LAB_PLAN_H

#include "journal/journal.h"
#include "sim/lab_scenario.h"

struct lab_plan_machine {
    uint32_t id;     /* its journal's member id; 0: spare, not running */
    bool was_in;     /* seen in the group; lab_plan_mend keeps it */
    bool lost;       /* its disk was, and it is not replaced yet */
    bool is_corrupt; /* does not start: its disk is damaged */
    const char *addr;
};

struct lab_plan {
    const struct journal_status *view; /* the word of who surely leads */
    struct lab_plan_machine *machine;
    uint32_t n;
    uint32_t damaged;  /* disks that are damaged in this run */
    uint32_t removals; /* of eight wishes for other members, these are removals or additions */
};

enum lab_plan_kind {
    LAB_PLAN_REST,   /* all is in order; of a wish: it is not granted */
    LAB_PLAN_WAIT,   /* a change is under way */
    LAB_PLAN_EMPTY,  /* machine: stop it, wipe it; it is a spare */
    LAB_PLAN_FRESH,  /* machine: the same, and it starts with a new id, to be taken in */
    LAB_PLAN_CHANGE, /* ask the leader for it */
};

struct lab_plan_step {
    enum lab_plan_kind kind;
    uint32_t machine;
    struct journal_change change;
};

/* What is not in order.  After EMPTY and FRESH ask again: the machines have changed. */
struct lab_plan_step lab_plan_mend(const struct lab_plan *p);
/* a wish, when all is in order: LAB_FAULT_WIPE of a machine, LAB_FAULT_MEMBERS */
struct lab_plan_step lab_plan_grant(const struct lab_plan *p, enum lab_fault_kind wish,
                                    uint32_t machine, uint64_t chance);
uint32_t lab_plan_voters(const struct journal_status *view);

#endif
