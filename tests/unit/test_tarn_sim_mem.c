/* tests/unit/test_tarn_sim_mem.c - the memory of simulated worlds: enough of it, zeros where zeros
 * are promised, nobody's twice, and the same again for who comes next. */
#include <sys/wait.h>
#include <unistd.h>
#include "core/prng.h"
#include "sim/tarn_sim.h"
#include "unit.h"

enum { PAGE = 4096 };
static struct mem world;

static void *get(size_t n)
{
    if (!world.source.get)
        tarn_sim_mem(&world);
    return world.source.get(world.source.ctx, n);
}

static void put(void *p, size_t n)
{
    world.source.put(world.source.ctx, p, n);
}

/* what is asked for is there to its last byte, and its size's class is its own */
static void test_mem_sizes(void)
{
    char *before = NULL;
    size_t had = 0;
    for (size_t n = 1; n <= (size_t)3 << 20; n += n < 300000 ? 1021 : 49999) {
        char *p = get(n);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT(p != before); /* that one is held */
        memset(p, 1, n);
        if (before)
            CU_ASSERT(before[0] == 1 && before[had - 1] == 1);
        if (before)
            put(before, had);
        before = p;
        had = n;
    }
    put(before, had);
}

static bool all_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* large blocks are zeros each time, also what was kept, wherever they were written */
static void test_mem_zeros(void)
{
    enum { LARGE = 3 << 20 };
    for (int i = 0; i < 20; i++) {
        char *a = get(LARGE), *b = get(SIM_ZEROED_MIN);
        CU_ASSERT_FATAL(a && b && a != b);
        CU_ASSERT(all_zero(a, LARGE) && all_zero(b, SIM_ZEROED_MIN));
        a[0] = a[i * PAGE + i] = a[LARGE - 1] = 1; /* the list's own words, a page, the end */
        memset(a + (1 << 20), 0xff, (size_t)i * 5000);
        memset(b, i, SIM_ZEROED_MIN);
        put(a, LARGE);
        put(b, SIM_ZEROED_MIN);
    }
}

/* in a child, too: /proc tells of who opened it */
static void test_mem_zeros_of_child(void)
{
    enum { LARGE = 1 << 20 };
    char *p = get(LARGE);
    memset(p, 1, LARGE);
    put(p, LARGE); /* pagemap is open now */
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (!pid) {
        char *q = get(2 * LARGE); /* no page of it is the parent's */
        bool ok = q && all_zero(q, 2 * LARGE);
        if (ok)
            memset(q, 1, 2 * LARGE);
        put(q, 2 * LARGE);
        q = get(2 * LARGE);
        _exit(ok && q && all_zero(q, 2 * LARGE) ? 0 : 1);
    }
    int status;
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    p = get(LARGE);
    CU_ASSERT(all_zero(p, LARGE));
    put(p, LARGE);
}

/* many at once, of all sizes, in any order: nobody's bytes are another's */
static void test_mem_apart(void)
{
    enum { N = 400 };
    static struct {
        char *p;
        size_t n;
        char with;
    } held[N];
    struct prng r;
    prng_seed(&r, 1, "mem", 0);
    for (int i = 0; i < 8000; i++) {
        unsigned k = (unsigned)prng_below(&r, N);
        if (held[k].p) {
            size_t n = held[k].n;
            CU_ASSERT(held[k].p[0] == held[k].with && held[k].p[n - 1] == held[k].with &&
                      held[k].p[n / 2] == held[k].with);
            put(held[k].p, n);
            held[k].p = NULL;
            continue;
        }
        size_t n = 1 + prng_below(&r, (uint64_t)1 << prng_range(&r, 4, 20));
        char *p = get(n);
        CU_ASSERT_FATAL(p && (uintptr_t)p % 64 == 0);
        if (n >= SIM_ZEROED_MIN)
            CU_ASSERT(!p[0] && !p[n / 2] && !p[n - 1]);
        held[k].with = (char)(1 + k % 100);
        held[k].p = memset(p, held[k].with, n);
        held[k].n = n;
    }
    for (unsigned k = 0; k < N; k++)
        if (held[k].p)
            put(held[k].p, held[k].n);
}

/* what one run had is what the next gets, so that no run asks the kernel for it again */
static void test_mem_kept(void)
{
    if (!TARN_SIM_MEM_KEEPS)
        return;
    char *small = get(20000), *other = get(20000);
    put(small, 20000);
    put(other, 20000);
    CU_ASSERT_PTR_EQUAL(get(5 * PAGE - 7), other); /* any size of the class */
    CU_ASSERT_PTR_EQUAL(get(20000), small);
}

UNIT_MAIN("tarn_sim_mem", UNIT(test_mem_sizes), UNIT(test_mem_zeros), UNIT(test_mem_zeros_of_child),
          UNIT(test_mem_apart), UNIT(test_mem_kept))
