/* sim/lab_hist.h - counts of times in buckets of a sixty-fourth of an octave: what is read from
 * them is off by less than 1 %, whatever the times are, and they take the same memory in any run.
 */
#ifndef SIM_LAB_HIST_H
#define SIM_LAB_HIST_H

#include "core/base.h"

enum {
    LAB_HIST_SUB = 64, /* buckets of an octave */
    LAB_HIST_BUCKETS =
        39 * LAB_HIST_SUB /* 0 to 5 hours, in ns; what is longer is in the last one */
};

struct lab_hist {
    uint64_t n;
    uint32_t count[LAB_HIST_BUCKETS];
};

void lab_hist_add(struct lab_hist *h, int64_t ns);
/* the middle of the bucket of that one which so many in a million do not exceed; 0: there is none
 */
int64_t lab_hist_quantile(const struct lab_hist *h, uint32_t ppm);

#endif
