/* tests/unit/test_recent.c - what was changed is never taken for unchanged, whatever was changed
 * since; and what was not, is not taken for changed by a thousand others. */
#include "core/prng.h"
#include "core/recent.h"
#include "tests/unit/unit.h"

enum { KEYS = 20000, PUTS = 200000 };

static struct recent all;
static uint64_t last[KEYS];

static void test_recent_is_exact_for_the_last_ones(void)
{
    memset(&all, 0, sizeof all);
    CU_ASSERT_EQUAL(recent_at(&all, 7), 0);
    for (uint64_t k = 1; k <= RECENT_SETS; k++)
        recent_put(&all, k << 32 | k, k);
    unsigned wrong = 0;
    for (uint64_t k = 1; k <= RECENT_SETS; k++)
        wrong += recent_at(&all, k << 32 | k) != k;
    CU_ASSERT_EQUAL(wrong, 0);
    for (uint64_t k = RECENT_SETS + 1; k <= 2 * RECENT_SETS; k++)
        wrong += recent_at(&all, k << 32 | k) != 0;
    CU_ASSERT_EQUAL(wrong, 0);
    recent_put(&all, 1ULL << 32 | 1, 5000);
    CU_ASSERT_EQUAL(recent_at(&all, 1ULL << 32 | 1), 5000);
}

static void test_recent_is_never_too_early(void)
{
    struct prng p;
    prng_seed(&p, 5, "recent", 0);
    memset(&all, 0, sizeof all);
    memset(last, 0, sizeof last);
    unsigned early = 0, exact = 0, asked = 0;
    for (uint64_t at = 1; at <= PUTS; at++) {
        uint64_t k = prng_below(&p, KEYS);
        recent_put(&all, k + 1, at);
        last[k] = at;
        uint64_t q = prng_below(&p, KEYS), said = recent_at(&all, q + 1);
        early += said < last[q];
        if (last[q] && at - last[q] < RECENT_SETS) {
            asked++;
            exact += said == last[q];
        }
    }
    CU_ASSERT_EQUAL(early, 0);
    CU_ASSERT(asked > 1000 && exact > asked - asked / 1000);
}

UNIT_MAIN("recent", UNIT(test_recent_is_exact_for_the_last_ones),
          UNIT(test_recent_is_never_too_early))
