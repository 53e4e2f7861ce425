/* tests/unit/test_lab_stats.c - intervals against tables, and against what they promise: of many
 * samples, 95 % have the truth inside. */
#include <stdlib.h>
#include "core/prng.h"
#include "sim/lab_stats.h"
#include "unit.h"

static void test_lab_stats_ranks(void)
{
    static const struct {
        uint64_t n;
        uint32_t ppm;
        uint64_t at, lo, hi;
    } rows[] = {
        {1, 500000, 1, 0, 2},       {5, 500000, 3, 0, 6},          {10, 500000, 5, 2, 9},
        {100, 500000, 50, 40, 61},  {1000, 500000, 500, 469, 532}, {60, 950000, 57, 53, 61},
        {100, 950000, 95, 90, 100}, {1000, 950000, 950, 936, 964}, {1000, 990000, 990, 983, 997}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lab_stats_ranks r = lab_stats_quantile(rows[i].n, rows[i].ppm);
        CU_ASSERT_EQUAL(r.at, rows[i].at);
        CU_ASSERT_EQUAL(r.lo, rows[i].lo);
        CU_ASSERT_EQUAL(r.hi, rows[i].hi);
    }
    /* a large one neither takes for ever nor loses its way */
    struct lab_stats_ranks r = lab_stats_quantile(100000000, 500000);
    CU_ASSERT(r.lo > 49990000 && r.lo < 49990400 && r.hi < 50010000 && r.hi > 50009600);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_lab_stats_cover(void)
{
    enum { TRIALS = 2000, N = 80 };
    static const uint32_t ppms[] = {500000, 900000};
    struct prng p;
    prng_seed(&p, 1, "cover", 0);
    for (size_t q = 0; q < ARRAY_LEN(ppms); q++) {
        unsigned inside = 0;
        for (unsigned t = 0; t < TRIALS; t++) {
            uint64_t v[N];
            for (unsigned i = 0; i < N; i++)
                v[i] = prng_below(&p, 1000000);
            qsort(v, N, sizeof *v, by_value);
            struct lab_stats_ranks r = lab_stats_quantile(N, ppms[q]);
            inside += (!r.lo || v[r.lo - 1] <= ppms[q]) && (r.hi > N || v[r.hi - 1] >= ppms[q]);
        }
        CU_ASSERT(inside >= TRIALS * 94 / 100 && inside <= TRIALS * 985 / 1000);
    }
}

static void test_lab_stats_wilson(void)
{
    static const struct {
        uint64_t k, n;
        double lo, hi;
    } rows[] = {{0, 10, 0, 0.277533},
                {5, 10, 0.236593, 0.763407},
                {10, 10, 0.722467, 1},
                {1, 1000, 0.000177, 0.005642}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double lo, hi;
        lab_stats_wilson(rows[i].k, rows[i].n, &lo, &hi);
        CU_ASSERT_DOUBLE_EQUAL(lo, rows[i].lo, 0.00001);
        CU_ASSERT_DOUBLE_EQUAL(hi, rows[i].hi, 0.00001);
    }
}

UNIT_MAIN("lab_stats", UNIT(test_lab_stats_ranks), UNIT(test_lab_stats_cover),
          UNIT(test_lab_stats_wilson))
