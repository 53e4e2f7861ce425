/* tests/unit/unit.h - a CUnit program in a few lines.
 *
 *   static void test_list_push_orders(void) { ... CU_ASSERT_EQUAL(...); }
 *   UNIT_MAIN("list", UNIT(test_list_push_orders))
 *
 * Prints CUnit's summary; exit status 1 when an assertion failed.  One argument runs one test.
 * With -Dmutants=true UNIT_MUTANT=NAME turns that bug of core/mutant.h on: a test can fail. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/mem.h"
#include "core/mutant.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define UNIT_KEEPS true
#endif
#endif
#ifndef UNIT_KEEPS
#define UNIT_KEEPS                        false
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct unit_case {
    const char *name;
    void (*fn)(void);
};

static inline void unit_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
    fflush(NULL);
}

/* AddressSanitizer gets each large block from the system, page by page, which is most of what some
 * tests take: a few are kept, and nobody may touch them meanwhile. */
enum { UNIT_KEPT = 64, UNIT_LARGE = 128 * 1024 };
static struct unit_kept {
    void *p;
    size_t n;
} unit_kept[UNIT_KEPT];

/* aligned as what is asked for is, to 64 or to 4096 */
static inline void *unit_block(size_t n)
{
    for (uint32_t i = 0; UNIT_KEEPS && n >= UNIT_LARGE && i < UNIT_KEPT; i++)
        if (unit_kept[i].p && unit_kept[i].n == n) {
            void *p = unit_kept[i].p;
            unit_kept[i].p = NULL;
            ASAN_UNPOISON_MEMORY_REGION(p, n);
            return p;
        }
    return aligned_alloc(n % 4096 ? 64 : 4096, (n + 63) & ~(size_t)63);
}

static inline void *unit_get(void *ctx, size_t n)
{
    (void)ctx;
    void *p = unit_block(n);
    return p && n >= 256 * 1024 ? memset(p, 0, n) : p; /* as sim_open wants it */
}

static inline void unit_put(void *ctx, void *p, size_t n)
{
    (void)ctx;
    for (uint32_t i = 0; UNIT_KEEPS && n >= UNIT_LARGE && i < UNIT_KEPT; i++)
        if (!unit_kept[i].p) {
            unit_kept[i] = (struct unit_kept){p, n};
            ASAN_POISON_MEMORY_REGION(p, n);
            return;
        }
    free(p);
}

/* memory from the C library, for components under test */
static inline void unit_mem(struct mem *m, uint64_t budget)
{
    mem_init(m, (struct mem_source){unit_get, unit_put, NULL}, budget);
}

/* false: there is no such bug */
static inline bool unit_mutant(void)
{
    const char *want = getenv("UNIT_MUTANT");
#ifdef TARN_MUTANTS
#define UNIT_NAME(name, what) #name,
    static const char *const names[] = {MUTANTS(UNIT_NAME) RAFT_MUTANTS(UNIT_NAME)
                                            ZK_MUTANTS(UNIT_NAME)};
    for (uint32_t i = 0; want && i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], want))
            mutant_on = i + 1;
    return !want || !*want || mutant_on;
#else
    return !want || !*want;
#endif
}

static inline int unit_main(const char *suite, const struct unit_case *cases, size_t n, int argc,
                            char **argv)
{
    base_panic_hook = unit_panic;
    if (!unit_mutant() || CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite s = CU_add_suite(suite, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        if (argc < 2 || !strcmp(argv[1], cases[i].name))
            CU_add_test(s, cases[i].name, cases[i].fn);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures() + (CU_get_number_of_tests_run() == 0);
    CU_cleanup_registry();
    return failed ? 1 : 0;
}

#define UNIT(fn) \
    {            \
#fn, fn  \
    }
#define UNIT_MAIN(suite, ...)                                                       \
    int main(int argc, char **argv)                                                 \
    {                                                                               \
        static const struct unit_case cases[] = {__VA_ARGS__};                      \
        return unit_main(suite, cases, sizeof cases / sizeof cases[0], argc, argv); \
    }

#endif
