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

struct unit_case {
    const char *name;
    void (*fn)(void);
};

static inline void unit_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
    fflush(NULL);
}

static inline void *unit_get(void *ctx, size_t n)
{
    (void)ctx;
    void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);
    return p && n >= 256 * 1024 ? memset(p, 0, n) : p; /* as sim_open wants it */
}

static inline void unit_put(void *ctx, void *p, size_t n)
{
    (void)ctx;
    (void)n;
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
