/* sim/lab_shrink.h - makes a scenario that fails smaller, as long as it fails in the same way.
 *
 *   random chances off -> cut at the failure -> faults, then operations, then what chance did
 * (delta debugging: halves, quarters, ... one by one) -> what each fault and operation says ->
 * machines, knobs, sizes, gaps of time -> again, until nothing gives way -> of what is few then,
 * every smaller set at other times -> again
 *
 *  1. What is kept has failed in the same way: nothing is taken for granted.
 *  2. The same scenario and the same answers of `fails` give the same result; only the budget
 *     depends on time.
 *  3. What says how much may be asked of the cluster (bound, deadlines, leases) is not touched: a
 *     smaller one would fail for reasons of its own. */
#ifndef SIM_LAB_SHRINK_H
#define SIM_LAB_SHRINK_H

#include "sim/lab_scenario.h"

struct lab_shrink_size {
    uint32_t faults, operations, chances, steps, masters, workers, clients;
    int64_t duration_ns;
};

struct lab_shrink {
    void *ctx;
    /* does it fail in the same way?  When (virtual)? */
    bool (*fails)(void *ctx, const struct lab_scenario *s, int64_t *ret_at_ns);
    /* is there time for one more run? */
    bool (*may_go_on)(void *ctx);
    /* something gave way; may be NULL */
    void (*on_smaller)(void *ctx, const struct lab_scenario *best);
};

/* s: explicit (what was drawn is written down), fails at at_ns, and is made smaller in place.  ret:
 * true when nothing more gives way, false when the time was over before. */
bool lab_shrink(struct lab_scenario *s, int64_t at_ns, const struct lab_shrink *how);
void lab_shrink_measure(const struct lab_scenario *s, struct lab_shrink_size *ret);
/* What kind of failure a checker's text tells of: numbers, names and codes are left out. */
void lab_shrink_kind(const char *what, char *ret, size_t cap);

#endif
