/* sim/lab_stats.h - how sure a campaign may be of its numbers.
 *
 * Quantiles have distribution-free intervals: order statistics whose ranks come from the binomial
 * distribution, so nothing is assumed of the measure.  Shares have Wilson's interval.  Both at 95 %
 * at least, and exact enough that every compiler prints the same. */
#ifndef SIM_LAB_STATS_H
#define SIM_LAB_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct lab_stats_ranks {
    uint64_t at;     /* of n sorted values, from 1: the quantile */
    uint64_t lo, hi; /* its interval; lo 0 or hi n + 1: n is too small for a bound on that side */
};

/* n > 0; ppm: 500000 is the median */
struct lab_stats_ranks lab_stats_quantile(uint64_t n, uint32_t ppm);
/* of k among n; n > 0 */
void lab_stats_wilson(uint64_t k, uint64_t n, double *ret_lo, double *ret_hi);

#endif
