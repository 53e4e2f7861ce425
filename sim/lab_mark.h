/* sim/lab_mark.h - what a run came to: marks of core/sometimes.h, rare paths of the code
 * (env_fault), faults of the world's network and disks, faults that the scenario lists.
 *
 *  1. A mark is armed when the run could come to it by its configuration: the seed switched that
 *     rare path on, the chance of that fault is not zero, the group of the mark is simulated.
 *  2. hits counts how often it did.  A campaign judges marks that were armed in some run. */
#ifndef SIM_LAB_MARK_H
#define SIM_LAB_MARK_H

#include "sim/lab_scenario.h"

struct lab_mark {
    char name[48];
    bool armed;
    uint64_t hits;
};

enum { LAB_MARKS_MAX = 400 };

/* of all marks that there may be, the i-th; false: there are no more */
bool lab_mark_name(uint32_t i, char *ret_name, size_t cap);
/* forgets what earlier runs of this process passed */
void lab_mark_begin(void);
/* after a run; s with what the seed drew (lab_scenario_draw); ret: how many, at most LAB_MARKS_MAX,
 * always in one order */
uint32_t lab_mark_list(const struct lab_scenario *s, const struct sim *w, struct lab_mark *ret_m);

#endif
