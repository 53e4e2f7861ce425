/* sim/lab_hist.c - see sim/lab_hist.h.
 *
 * Bucket i below 2 * SUB is the number i itself; from then on each octave has SUB of them. */
#include "sim/lab_hist.h"

static uint32_t hist_bucket(uint64_t ns)
{
    if (ns < 2 * LAB_HIST_SUB)
        return (uint32_t)ns;
    uint32_t shift = 57 - (uint32_t)__builtin_clzll(ns);
    uint64_t at = LAB_HIST_SUB * shift + (ns >> shift);
    return at < LAB_HIST_BUCKETS ? (uint32_t)at : LAB_HIST_BUCKETS - 1;
}

static int64_t hist_middle(uint32_t i)
{
    if (i < 2 * LAB_HIST_SUB)
        return i;
    uint32_t shift = i / LAB_HIST_SUB - 1;
    return (int64_t)(((uint64_t)(i - LAB_HIST_SUB * shift) << shift) + ((uint64_t)1 << shift) / 2);
}

void lab_hist_add(struct lab_hist *h, int64_t ns)
{
    h->n++;
    h->count[hist_bucket(ns > 0 ? (uint64_t)ns : 0)]++;
}

int64_t lab_hist_quantile(const struct lab_hist *h, uint32_t ppm)
{
    uint64_t want = base_max_u64((h->n * ppm + 999999) / 1000000, 1), seen = 0;
    for (uint32_t i = 0; i < LAB_HIST_BUCKETS && h->n; i++) {
        seen += h->count[i];
        if (seen >= want)
            return hist_middle(i);
    }
    return 0;
}
