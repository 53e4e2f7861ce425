/* core/prng.c - integers only: a schedule must not depend on a libm or on rounding modes. */
#include "core/prng.h"

__extension__ typedef unsigned __int128 prng_u128;

static uint64_t prng_splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

void prng_seed(struct prng *p, uint64_t seed, const char *name, uint64_t n)
{
    uint64_t x = base_mix_u64(seed) ^ base_hash(name ? name : "", name ? strlen(name) : 0, n);
    for (int i = 0; i < 4; i++)
        p->s[i] = prng_splitmix(&x);
}

static uint64_t prng_rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->s, ret = prng_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotl(s[3], 45);
    return ret;
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
    ASSERT(bound > 0);
    prng_u128 m = (prng_u128)prng_u64(p) * bound;
    uint64_t low = (uint64_t)m;
    if (low < bound) {
        uint64_t floor = -bound % bound;
        while (low < floor) {
            m = (prng_u128)prng_u64(p) * bound;
            low = (uint64_t)m;
        }
    }
    return (uint64_t)(m >> 64);
}

int64_t prng_range(struct prng *p, int64_t lo, int64_t hi)
{
    ASSERT(lo <= hi);
    uint64_t span = (uint64_t)hi - (uint64_t)lo;
    return lo + (int64_t)(span == UINT64_MAX ? prng_u64(p) : prng_below(p, span + 1));
}

bool prng_chance_ppm(struct prng *p, uint32_t ppm)
{
    return ppm && prng_below(p, 1000000) < ppm;
}

int64_t prng_exp(struct prng *p, int64_t mean)
{
    /* -ln(u) by squaring: log2 of a 32.32 fixed-point number, 20 fractional bits, times ln 2 */
    uint64_t u = (prng_u64(p) >> 32) | 1; /* u / 2^32 in (0, 1) */
    int top = 63 - __builtin_clzll(u);
    uint64_t m = u << (62 - top); /* 1.62 fixed point in [1, 2) */
    uint64_t frac = 0;
    for (int i = 0; i < 20; i++) {
        m = (uint64_t)(((prng_u128)m * m) >> 62);
        uint64_t bit = m >> 63; /* as likely as not: no branch */
        frac = frac << 1 | bit;
        m >>= bit;
    }
    uint64_t neg_log2 = ((uint64_t)(32 - top) << 20) - frac; /* 20 fractional bits, >= 0 */
    const uint64_t ln2_q20 = 726817;                         /* ln 2 * 2^20 */
    prng_u128 v = (prng_u128)(uint64_t)mean * neg_log2;
    return (int64_t)((v * ln2_q20) >> 40);
}
