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

enum { SIM_HASH_PAIRS = 4, SIM_HASH_ZEROS = 4096, SIM_HASH_STRIDE = 512 };
static_assert(SIM_HASH_PAIRS * sizeof(sim_hash_pair) == SIM_HASH_STEP, "a step");

const uint64_t sim_hash_key[8] = {
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

/* what the first `steps` steps add to a run when all their bytes are zeros: it depends on nothing
 * else, so any stretch of zeros adds the difference of two of these */
static const uint64_t *sim_hash_zeros_of(uint64_t steps)
{
    static uint64_t of[SIM_HASH_ZEROS + 1][2 * SIM_HASH_PAIRS];
    static bool is_made;
    for (uint64_t k = 0; !is_made && k < SIM_HASH_ZEROS; k++) {
        static const uint8_t zeros[SIM_HASH_STEP];
        struct sim_hash_run h = {.n = k * SIM_HASH_STEP};
        memcpy(h.sum, of[k], sizeof h.sum);
        sim_hash_part(&h, NULL, zeros, sizeof zeros);
        memcpy(of[k + 1], h.sum, sizeof h.sum);
    }
    is_made = true;
    return of[steps];
}

size_t sim_hash_front(const void *p, size_t n)
{
    static const uint8_t zeros[SIM_HASH_STRIDE];
    const uint8_t *at = p;
    n -= n % SIM_HASH_STEP;
    while (n >= sizeof zeros && !memcmp(at + n - sizeof zeros, zeros, sizeof zeros))
        n -= sizeof zeros;
    while (n && !memcmp(at + n - SIM_HASH_STEP, zeros, SIM_HASH_STEP))
        n -= SIM_HASH_STEP;
    return n;
}

void sim_hash_zeros(struct sim_hash_run *h, size_t n)
{
    while (n) {
        size_t step = h->n / SIM_HASH_STEP,
               known = step < SIM_HASH_ZEROS ? SIM_HASH_ZEROS - step : 0;
        size_t part = base_min_u64(n, known * SIM_HASH_STEP);
        ASSERT(h->n % SIM_HASH_STEP == 0);
        if (!part) { /* far into a run, which is rare */
            static const uint8_t zeros[SIM_HASH_STEP];
            part = base_min_u64(n, sizeof zeros);
            sim_hash_part(h, NULL, zeros, part);
        } else { /* a last step that is not whole is filled with zeros anyway */
            const uint64_t *a = sim_hash_zeros_of(step);
            const uint64_t *b =
                sim_hash_zeros_of(step + (part + SIM_HASH_STEP - 1) / SIM_HASH_STEP);
            for (int i = 0; i < 2 * SIM_HASH_PAIRS; i++)
                h->sum[i] += b[i] - a[i];
            h->n += part;
        }
        n -= part;
    }
}

void sim_hash_copy(struct sim_hash_run *h, void *to, const void *from, size_t n)
{
    /* a log writes zeros before it writes anything else, and pads what it writes with them, so most
     * bytes on a disk are zeros at the end of something */
    size_t front = n % SIM_HASH_STEP ? n : sim_hash_front(from, n);
    if (front)
        sim_hash_part(h, to, from, front);
    if (to && n > front)
        memset((uint8_t *)to + front, 0, n - front);
    sim_hash_zeros(h, n - front);
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
