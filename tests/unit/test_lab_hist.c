/* tests/unit/test_lab_hist.c - what is read from counted times is off by less than 1 %. */
#include "sim/lab_hist.h"
#include "tests/unit/unit.h"

static struct lab_hist h;

static void test_hist_error(void)
{
    for (uint64_t v = 1; v < (uint64_t)16000 * 1000000000; v += v / 7 + 1) {
        memset(&h, 0, sizeof h);
        lab_hist_add(&h, (int64_t)v);
        uint64_t got = (uint64_t)lab_hist_quantile(&h, 500000), off = got > v ? got - v : v - got;
        CU_ASSERT(off * 100 <= v);
    }
}

static void test_hist_ends(void)
{
    memset(&h, 0, sizeof h);
    CU_ASSERT_EQUAL(lab_hist_quantile(&h, 500000), 0);
    lab_hist_add(&h, -5);
    CU_ASSERT_EQUAL(lab_hist_quantile(&h, 990000), 0);
    lab_hist_add(&h, INT64_MAX);
    lab_hist_add(&h, INT64_MAX);
    CU_ASSERT(lab_hist_quantile(&h, 500000) > (int64_t)17000 * 1000000000);
    CU_ASSERT_EQUAL(h.n, 3);
}

/* of many, as a sorted list has it */
static void test_hist_quantiles(void)
{
    enum { N = 10000 };
    static const uint32_t ppms[] = {1, 10000, 500000, 900000, 990000, 999000, 1000000};
    memset(&h, 0, sizeof h);
    for (int i = 1; i <= N; i++) /* 10 us to 100 ms */
        lab_hist_add(&h, (int64_t)i * 10000);
    for (size_t k = 0; k < ARRAY_LEN(ppms); k++) {
        int64_t want = ((int64_t)ppms[k] * N + 999999) / 1000000 * 10000;
        int64_t got = lab_hist_quantile(&h, ppms[k]);
        CU_ASSERT(got * 100 >= want * 99 && got * 100 <= want * 101);
    }
}

UNIT_MAIN("lab_hist", UNIT(test_hist_error), UNIT(test_hist_ends), UNIT(test_hist_quantiles))
