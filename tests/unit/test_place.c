/* tests/unit/test_place.c - balance, minimal movement and independence of order. */
#include "cluster/place.h"
#include "core/prng.h"
#include "unit.h"

enum { WORKERS = 10, STRIPES = 20000 };

static void fill(struct worker_id *w, uint32_t n, uint64_t seed)
{
    struct prng p;
    prng_seed(&p, seed, "place", 0);
    for (uint32_t i = 0; i < n; i++)
        w[i].v = prng_u64(&p) | 1;
}

static void test_place_balances(void)
{
    struct worker_id w[WORKERS];
    fill(w, WORKERS, 1);
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t count[WORKERS] = {0};
        for (uint32_t s = 0; s < STRIPES; s++)
            count[place_pick(w, WORKERS, (struct ino){s / 7 + 2}, s % 7, rank)]++;
        for (uint32_t i = 0; i < WORKERS; i++)
            CU_ASSERT(count[i] > STRIPES / WORKERS * 9 / 10 &&
                      count[i] < STRIPES / WORKERS * 11 / 10);
    }
}

static void test_place_moves_little(void)
{
    struct worker_id w[WORKERS], less[WORKERS];
    fill(w, WORKERS, 2);
    uint32_t gone = 3, n = 0;
    for (uint32_t i = 0; i < WORKERS; i++)
        if (i != gone)
            less[n++] = w[i];
    for (uint32_t s = 0; s < STRIPES; s++) {
        struct ino ino = {s + 2};
        uint32_t before = place_pick(w, WORKERS, ino, 0, 0);
        uint32_t after = place_pick(less, n, ino, 0, 0);
        /* what the lost one had goes to its second choice, all else stays */
        uint32_t want = before == gone ? place_pick(w, WORKERS, ino, 0, 1) : before;
        if (less[after].v != w[want].v)
            CU_FAIL("a stripe moved that need not");
    }
}

static void test_place_ranks_are_a_permutation(void)
{
    struct worker_id w[WORKERS];
    fill(w, WORKERS, 3);
    for (uint32_t s = 0; s < 100; s++) {
        uint32_t seen = 0;
        for (uint32_t r = 0; r < WORKERS; r++)
            seen |= 1u << place_pick(w, WORKERS, (struct ino){9}, s, r);
        CU_ASSERT_EQUAL(seen, (1u << WORKERS) - 1);
    }
    CU_ASSERT_EQUAL(place_pick(w, WORKERS, (struct ino){9}, 0, WORKERS), PLACE_NONE);
    CU_ASSERT_EQUAL(place_pick(w, 0, (struct ino){9}, 0, 0), PLACE_NONE);
}

static void test_place_ignores_order(void)
{
    struct worker_id w[WORKERS], back[WORKERS];
    fill(w, WORKERS, 4);
    for (uint32_t i = 0; i < WORKERS; i++)
        back[i] = w[WORKERS - 1 - i];
    for (uint32_t s = 0; s < 1000; s++)
        for (uint32_t r = 0; r < 3; r++)
            CU_ASSERT_EQUAL(w[place_pick(w, WORKERS, (struct ino){s}, s, r)].v,
                            back[place_pick(back, WORKERS, (struct ino){s}, s, r)].v);
}

/* stripes of one file spread: a file larger than a stripe is not one worker's load */
static void test_place_spreads_a_file(void)
{
    struct worker_id w[WORKERS];
    fill(w, WORKERS, 5);
    uint32_t seen = 0;
    for (uint32_t s = 0; s < 100; s++)
        seen |= 1u << place_pick(w, WORKERS, (struct ino){77}, s, 0);
    CU_ASSERT_EQUAL(seen, (1u << WORKERS) - 1);
}

UNIT_MAIN("place", UNIT(test_place_balances), UNIT(test_place_moves_little),
          UNIT(test_place_ranks_are_a_permutation), UNIT(test_place_ignores_order),
          UNIT(test_place_spreads_a_file))
