/* tests/unit/test_sim_hash.c - the hash of bytes: in parts as in one piece, copied as looked at,
 * zeros as anything else. */
#include "core/prng.h"
#include "sim/sim_internal.h"
#include "tests/unit/unit.h"

enum { BYTES = 300 * 1024 };
static uint8_t from[BYTES], to[BYTES];

/* word by word, with no short way past anything */
static uint64_t plain(const uint8_t *p, size_t n)
{
    struct sim_hash_run h;
    uint64_t key[8], d[8];
    sim_hash_begin(&h);
    memcpy(key, sim_hash_key, sizeof key);
    for (size_t at = 0; at < n; at += sizeof d) {
        memset(d, 0, sizeof d);
        memcpy(d, p + at, n - at < sizeof d ? n - at : sizeof d);
        for (int i = 0; i < 8; i++) {
            uint64_t x = d[i] ^ key[i];
            h.sum[i] += (x & 0xffffffff) * (x >> 32);
            h.sum[i ^ 2] += d[i];
            key[i] += sim_hash_key[0];
        }
    }
    h.n = n;
    return sim_hash_end(&h);
}

static uint64_t copied(const uint8_t *p, size_t n)
{
    struct sim_hash_run h;
    memset(to, 0xa5, sizeof to);
    sim_hash_begin(&h);
    sim_hash_copy(&h, to, p, n);
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
    uint64_t want = plain(from, n);
    CU_ASSERT_EQUAL(copied(from, n), want);
    CU_ASSERT(!memcmp(from, to, n));
    CU_ASSERT(n == BYTES || to[n] == 0xa5);
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
        size_t n = prng_below(&p, BYTES + 1);
        check(n);
        check(n - n % SIM_HASH_STEP);
    }
    memset(from, 0, sizeof from);
    check(BYTES);
    uint64_t zeros = sim_digest(from, BYTES);
    CU_ASSERT_NOT_EQUAL(zeros, sim_digest(from, BYTES - 4096));
    from[8191] = 1;
    CU_ASSERT_NOT_EQUAL(zeros, sim_digest(from, BYTES));
}

/* zeros that are told of hash as those that are there, also far into a run */
static void test_hash_of_told_zeros(void)
{
    struct prng p;
    prng_seed(&p, 3, "hash", 0);
    for (int round = 0; round < 100; round++) {
        struct sim_hash_run h;
        size_t front = 64 * prng_below(&p, BYTES / 64), n = front + prng_below(&p, BYTES - front);
        memset(from, 0, sizeof from);
        for (size_t i = 0; i < front; i++)
            from[i] = (uint8_t)prng_u64(&p) | 1;
        CU_ASSERT_EQUAL(sim_hash_front(from, n), front);
        sim_hash_begin(&h);
        sim_hash_copy(&h, NULL, from, front);
        sim_hash_zeros(&h, n - front);
        CU_ASSERT_EQUAL(sim_hash_end(&h), plain(from, n));
    }
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

UNIT_MAIN("sim_hash", UNIT(test_hash_zeros), UNIT(test_hash_of_told_zeros), UNIT(test_hash_bytes))
