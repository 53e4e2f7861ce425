/* sim/lab_fault.h - what a fault does to a link or a disk, in whole clusters and in groups of
 * journals alike. */
#ifndef SIM_LAB_FAULT_H
#define SIM_LAB_FAULT_H

#include "sim/lab_scenario.h"

/* A draw below `bound` that makes a fault what it is: as given, or else from the world's chance; is
 * recorded in f. */
uint64_t lab_fault_chance(struct lab_fault *f, struct sim *s, uint64_t bound);
/* one way: from cannot reach to */
void lab_fault_partition(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
void lab_fault_clog(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
void lab_fault_reset(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
void lab_fault_heal(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
/* n's disk as the faults that are under way want it; d: how it is without any */
void lab_fault_disk(struct sim_node *n, struct sim_disk_config d, bool full, bool slow,
                    bool unsynced);

#endif
