/* core/prng.h - seeded random streams: xoshiro256** (Blackman & Vigna, 2018), seeded by splitmix64.
 * A stream is named, so that one more draw in one stream shifts nothing in another. */
#ifndef CORE_PRNG_H
#define CORE_PRNG_H

#include "core/base.h"

struct prng {
    uint64_t s[4];
};

/* the stream `name` (any text; may be NULL) number `n` of a seed */
void prng_seed(struct prng *p, uint64_t seed, const char *name, uint64_t n);
uint64_t prng_u64(struct prng *p);
/* uniform in [0, bound); bound > 0 (Lemire 2019, without bias) */
uint64_t prng_below(struct prng *p, uint64_t bound);
/* uniform in [lo, hi] */
int64_t prng_range(struct prng *p, int64_t lo, int64_t hi);
/* true in ppm of a million draws */
bool prng_chance_ppm(struct prng *p, uint32_t ppm);
/* Exponential with the given mean, in integers (no libm: the same on every machine). */
int64_t prng_exp(struct prng *p, int64_t mean);

#endif
