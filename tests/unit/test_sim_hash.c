/* tests/unit/test_sim_hash.c - the hash of bytes: in parts as in one piece, copied as looked at,
 * zeros as anything else. */
#include "core/prng.h"
#include "sim/sim_internal.h"
#include "tests/unit/unit.h"

enum { BYTES = 300 * 1024 };
static uint8_t from[BYTES], to[BYTES];

static uint64_t copied(const uint8_t *p, size_t n)
{
    struct sim_hash_run h;
    sim_hash_begin(&h);
    sim_hash_copy(&h, to, p, n); /* there is no short way past zeros */
    return sim_hash_end(&h);
}

static uint64_t in_parts(const uint8_t *p, size_t n, size_t part)
{
    struct sim_hash_run h;
    sim_hash_begin(&h);
    for (; n > part; n -= part, p += part)
        sim_hash_copy(&h, NULL, p, part);
    sim_hash_copy(&h, NULL, p, n);
    return sim_hash_end(&h);
}

static void check(size_t n)
{
    uint64_t want = copied(from, n);
    CU_ASSERT(!memcmp(from, to, n));
    CU_ASSERT_EQUAL(sim_digest(from, n), want);
    CU_ASSERT_EQUAL(in_parts(from, n, 4096), want);
    CU_ASSERT_EQUAL(in_parts(from, n, 8192), want);
    CU_ASSERT_EQUAL(in_parts(from, n, 64), want);
}

/* zeros before, after and between others; the last byte of a block alone is seen */
static void test_hash_zeros(void)
{
    struct prng p;
    prng_seed(&p, 1, "hash", 0);
    for (int round = 0; round < 200; round++) {
        memset(from, 0, sizeof from);
        for (uint64_t k = prng_below(&p, 4); k > 0; k--)
            from[prng_below(&p, 2) ? prng_below(&p, BYTES) : 4096 * prng_below(&p, 70) + 4095] =
                (uint8_t)(1 + prng_below(&p, 255));
        check(prng_below(&p, BYTES + 1));
    }
    memset(from, 0, sizeof from);
    check(BYTES);
    uint64_t zeros = sim_digest(from, BYTES);
    CU_ASSERT_NOT_EQUAL(zeros, sim_digest(from, BYTES - 4096));
    from[8191] = 1;
    CU_ASSERT_NOT_EQUAL(zeros, sim_digest(from, BYTES));
}

static void test_hash_bytes(void)
{
    struct prng p;
    prng_seed(&p, 2, "hash", 0);
    for (size_t i = 0; i < BYTES; i++)
        from[i] = (uint8_t)prng_u64(&p);
    for (int round = 0; round < 50; round++)
        check(prng_below(&p, BYTES + 1));
}

UNIT_MAIN("sim_hash", UNIT(test_hash_zeros), UNIT(test_hash_bytes))
