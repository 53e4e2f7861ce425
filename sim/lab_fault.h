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
/* ends with lab_fault_fast */
void lab_fault_slow(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
void lab_fault_fast(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
void lab_fault_heal(const struct lab_fault *f, struct sim_node *from, struct sim_node *to);
/* What follows are draws of the fault itself: lab_fault_draw comes first, once. */
void lab_fault_draw(struct lab_fault *f, struct sim *s);
/* fn for every link between the two halves that `on` alone joins */
void lab_fault_bridge(const struct lab_fault *f, struct sim *s, const struct sim_node *on,
                      void (*fn)(const struct lab_fault *f, struct sim_node *from,
                                 struct sim_node *to));
/* Links whose time has come after after_ns, and until now, stop until their other time; ret: when
 * the next one does, or 0 */
int64_t lab_fault_swizzle(const struct lab_fault *f, struct sim *s, const struct sim_node *on,
                          int64_t after_ns);
/* n's wall clock is put on or back; begin false: as it was */
void lab_fault_clock(const struct lab_fault *f, struct sim_node *n, bool begin);
/* n's monotonic clock runs at another rate, off by max_ppm at most */
void lab_fault_rate(const struct lab_fault *f, struct sim_node *n, uint32_t max_ppm);
/* what is spared of a disk's errors: of a master that others rest on what destroys something */
enum lab_fault_spared { LAB_FAULT_SPARES_NOTHING, LAB_FAULT_SPARES_DATA, LAB_FAULT_SPARES_ALL };
/* the faults of a disk that are under way */
struct lab_fault_disks {
    bool full, slow, unsynced, errs;
    enum lab_fault_spared spared; /* also of what the scenario's keys bring */
};
/* n's disk as they want it; d: how it is without any */
void lab_fault_disk(struct sim_node *n, struct sim_disk_config d, struct lab_fault_disks f);
/* do the scenario's keys bring errors? */
bool lab_fault_errs(const struct sim_disk_config *d);
/* nothing goes wrong with it any more */
void lab_fault_disk_calm(struct sim_disk_config *d);

#endif
