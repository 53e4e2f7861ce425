/* sim/sim_hash.c - the hash of bytes for traces.
 *
 *  1. One run of parts hashes like their bytes in one piece; every part but the last is a multiple
 *     of SIM_HASH_STEP long.
 *  2. Half of what a simulation moves comes past here: eight products of halves of words for each
 *     step, none of which waits for another, and what is copied anyway is hashed on its way.
 *
 * Each word goes into one sum by a product (with a key that its place changes) and into another as
 * it is, so nothing that makes a product zero is lost: this tells runs apart, it keeps out nobody.
 */
#include "sim/sim_internal.h"

__extension__ typedef unsigned __int128 sim_hash_u128;
typedef uint64_t sim_hash_pair __attribute__((vector_size(16)));
typedef int32_t sim_hash_quad __attribute__((vector_size(16)));

enum { SIM_HASH_PAIRS = 4, SIM_HASH_BLOCK = 4096, SIM_HASH_BLOCKS = 64 };
static_assert(SIM_HASH_PAIRS * sizeof(sim_hash_pair) == SIM_HASH_STEP, "a step");

static const uint64_t sim_hash_key[8] = {
    0x9e3779b97f4a7c15ULL, 0xff51afd7ed558ccdULL, 0xc4ceb9fe1a85ec53ULL, 0xd6e8feb86659fd93ULL,
    0xbf58476d1ce4e5b9ULL, 0x94d049bb133111ebULL, 0x2545f4914f6cdd1dULL, 0xd1342543de82ef95ULL};

/* the lower half of each word times its upper half */
static inline sim_hash_pair sim_hash_halves(sim_hash_pair x)
{
#if defined(__x86_64__) /* one instruction, which compilers do not find by themselves */
    return (sim_hash_pair)__builtin_ia32_pmuludq128((sim_hash_quad)x, (sim_hash_quad)(x >> 32));
#else
    return (x & 0xffffffff) * (x >> 32);
#endif
}

static uint64_t sim_hash_fold(uint64_t x, uint64_t y)
{
    sim_hash_u128 m = (sim_hash_u128)x * y;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

void sim_hash_begin(struct sim_hash_run *h)
{
    *h = (struct sim_hash_run){.sum = {1, 2, 3, 4, 5, 6, 7, 8}};
}

struct sim_hash_state {
    sim_hash_pair sum[SIM_HASH_PAIRS], key[SIM_HASH_PAIRS];
};

static inline __attribute__((always_inline)) void sim_hash_step(struct sim_hash_state *s,
                                                                uint8_t *to, const uint8_t *from)
{
    for (int i = 0; i < SIM_HASH_PAIRS; i++) {
        sim_hash_pair d;
        memcpy(&d, from + 16 * i, sizeof d);
        if (to)
            memcpy(to + 16 * i, &d, sizeof d);
        s->sum[i] += sim_hash_halves(d ^ s->key[i]);
        s->sum[i ^ 1] += d;
        s->key[i] += sim_hash_key[0];
    }
}

static inline __attribute__((always_inline)) void
sim_hash_steps(struct sim_hash_state *s, uint8_t *to, const uint8_t *from, size_t n)
{
    struct sim_hash_state in_registers = *s;
    for (size_t at = 0; at < n; at += SIM_HASH_STEP)
        sim_hash_step(&in_registers, to ? to + at : NULL, from + at);
    *s = in_registers;
}

static void sim_hash_part(struct sim_hash_run *h, void *to, const void *from, size_t n)
{
    struct sim_hash_state s;
    size_t tail = n % SIM_HASH_STEP, whole = n - tail;
    ASSERT(h->n % SIM_HASH_STEP == 0);
    memcpy(s.sum, h->sum, sizeof s.sum);
    memcpy(s.key, sim_hash_key, sizeof s.key);
    for (int i = 0; i < SIM_HASH_PAIRS; i++)
        s.key[i] += h->n / SIM_HASH_STEP * sim_hash_key[0];
    h->n += n;
    if (to)
        sim_hash_steps(&s, to, from, whole);
    else
        sim_hash_steps(&s, NULL, from, whole);
    if (tail) {
        uint8_t last[SIM_HASH_STEP] = {0};
        memcpy(last, (const uint8_t *)from + whole, tail);
        if (to)
            memcpy((uint8_t *)to + whole, last, tail);
        sim_hash_step(&s, NULL, last);
    }
    memcpy(h->sum, s.sum, sizeof s.sum);
}

/* what so many bytes of zeros add to the sums of a run that has `block` times as many before them:
 * it depends on nothing else */
static const uint64_t *sim_hash_zeros(uint64_t block)
{
    static const uint8_t zeros[SIM_HASH_BLOCK];
    static struct sim_hash_run of[SIM_HASH_BLOCKS];
    struct sim_hash_run *h = &of[block];
    if (!h->n) {
        h->n = block * SIM_HASH_BLOCK;
        sim_hash_part(h, NULL, zeros, sizeof zeros);
    }
    return h->sum;
}

void sim_hash_copy(struct sim_hash_run *h, void *to, const void *from, size_t n)
{
    const uint8_t *p = from;
    /* a log writes zeros before it writes anything else, so every other byte on a disk is one */
    while (!to && n >= SIM_HASH_BLOCK && h->n % SIM_HASH_BLOCK == 0 &&
           h->n / SIM_HASH_BLOCK < SIM_HASH_BLOCKS && !base_get_u64(p) &&
           !memcmp(p, p + 8, SIM_HASH_BLOCK - 8)) {
        const uint64_t *add = sim_hash_zeros(h->n / SIM_HASH_BLOCK);
        for (int i = 0; i < 8; i++)
            h->sum[i] += add[i];
        h->n += SIM_HASH_BLOCK;
        p += SIM_HASH_BLOCK;
        n -= SIM_HASH_BLOCK;
    }
    if (n)
        sim_hash_part(h, to, p, n);
}

uint64_t sim_hash_end(const struct sim_hash_run *h)
{
    const uint64_t *k = sim_hash_key;
    uint64_t x = h->n * k[0];
    for (int i = 0; i < 8; i += 2)
        x += sim_hash_fold(h->sum[i] ^ k[i], h->sum[i + 1] ^ k[i + 1]);
    return base_mix_u64(x);
}

void sim_hash_words(uint64_t h[2], uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t x = h[0] ^ a, y = h[1] ^ c;
    h[0] = (sim_hash_fold(x, sim_hash_key[0] ^ b) ^ x) + y;
    h[1] = sim_hash_fold(y, sim_hash_key[1] ^ d) ^ y ^ h[0];
}

uint64_t sim_digest(const void *p, size_t n)
{
    struct sim_hash_run h;
    sim_hash_begin(&h);
    sim_hash_copy(&h, NULL, p, n);
    return sim_hash_end(&h);
}
