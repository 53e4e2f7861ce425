/* sim/lab_stats.c - intervals (see sim/lab_stats.h). */
#include "sim/lab_stats.h"

/* Chances of k = 0..n are taken relative to that of the likeliest k, and fall off so fast on both
 * sides that walking from there until they vanish costs O(sqrt(n)). */
struct lab_stats_ranks lab_stats_quantile(uint64_t n, uint32_t ppm)
{
    double q = ppm / 1e6, r = q / (1 - q), sum = 1, w = 1, below = 0;
    uint64_t mode = (uint64_t)((double)(n + 1) * q), from, to;
    struct lab_stats_ranks ret = {.at = (n * ppm + 999999) / 1000000};
    ret.at = ret.at ? ret.at : 1;
    mode = mode > n ? n : mode;
    for (from = mode; from > 0 && w > 1e-18; from--, sum += w)
        w *= (double)from / (double)(n - from + 1) / r;
    double first = w;
    w = 1;
    for (to = mode; to < n && w > 1e-18; to++, sum += w)
        w *= (double)(n - to) / (double)(to + 1) * r;
    /* lo: the largest rank with P(B < lo) <= 2.5 %; hi: the least with P(B < hi) >= 97.5 % */
    ret.hi = n + 1;
    w = first;
    for (uint64_t k = from; k <= to; k++) {
        if (below <= 0.025 * sum)
            ret.lo = k;
        if (below >= 0.975 * sum) {
            ret.hi = k;
            break;
        }
        below += w;
        w *= (double)(n - k) / (double)(k + 1) * r;
    }
    return ret;
}

static double root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 60; i++)
        r = (r + x / r) / 2;
    return r;
}

void lab_stats_wilson(uint64_t k, uint64_t n, double *ret_lo, double *ret_hi)
{
    const double z = 1.959963984540054;
    double p = (double)k / (double)n, m = (double)n, d = 1 + z * z / m;
    double mid = p + z * z / (2 * m), half = z * root(p * (1 - p) / m + z * z / (4 * m * m));
    *ret_lo = k ? (mid - half) / d : 0;
    *ret_hi = k < n ? (mid + half) / d : 1;
}
