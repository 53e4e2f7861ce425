/* tests/unit/test_tarn_sim_mem.c - the memory of simulated worlds: enough of it, zeros where zeros
 * are promised, nobody's twice, the same again for who comes next, and none at all for who goes on.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/prng.h"
#include "sim/lab_group.h"
#include "sim/lab_run.h"
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

/* ---- a world that goes on asks nobody for memory ---- */

static struct {
    uint64_t mallocs, maps, taken;
} asked;

/* Whoever in this process asks the C library or the kernel comes past here. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define COUNTS true
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
    asked.mallocs++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    asked.mallocs++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    asked.mallocs++;
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    asked.mallocs++;
    return __libc_memalign(align, n);
}

void *mmap(void *at, size_t n, int protect, int flags, int fd, off_t off)
{
    asked.maps++;
    return (void *)syscall(SYS_mmap, at, n, protect, flags, fd, off);
}
#else
#define COUNTS false
#endif

static struct lab_scenario steady;

static void steady_load(const char *json)
{
    char why[LAB_ERROR] = "";
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&steady, json, why), 0);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_check(&steady, why), 0);
}

static void steady_begin(void)
{
    asked.mallocs = asked.maps = 0;
    asked.taken = tarn_sim_mem_taken();
}

static void steady_end(const char *what, uint64_t events)
{
    uint64_t taken = tarn_sim_mem_taken() - asked.taken, mallocs = asked.mallocs, maps = asked.maps;
    if (taken || mallocs || maps)
        printf("\n%s: in %llu events %llu bytes of memory that nobody had, %llu calls of malloc, "
               "%llu of mmap\n",
               what, (unsigned long long)events, (unsigned long long)taken,
               (unsigned long long)mallocs, (unsigned long long)maps);
    CU_ASSERT(events > 5000);
    CU_ASSERT_EQUAL(taken, 0);
    CU_ASSERT_EQUAL(mallocs, 0);
    CU_ASSERT_EQUAL(maps, 0);
}

enum {
    WARM_S = 40,
    STEADY_S = 5
}; /* caches are full, and every queue was once as long as it gets */
static const int64_t second_ns = 1000000000;

static void test_mem_steady_journals(void)
{
    struct mem m;
    if (!TARN_SIM_MEM_KEEPS)
        return;
    steady_load("{\"duration\": \"46s\", \"masters\": 3, \"workers\": 0, \"clients\": 4,"
                " \"journal\": {\"only\": 1}, \"load\": {\"threads\": 4, \"think\": \"20ms\"}}");
    tarn_sim_mem(&m);
    struct lab_group *g = lab_group_open(&m, &steady, 1, NULL, NULL);
    lab_group_go(g, WARM_S * second_ns);
    uint64_t events = sim_events(lab_group_sim(g));
    steady_begin();
    lab_group_go(g, (WARM_S + STEADY_S) * second_ns);
    steady_end("journals", sim_events(lab_group_sim(g)) - events);
    lab_group_close(g);
    mem_drop(&m);
}

/* a file system: the namespace stays as large as it is, the files are read and written */
static void test_mem_steady_files(void)
{
    struct mem m;
    if (!TARN_SIM_MEM_KEEPS)
        return;
    steady_load("{\"duration\": \"46s\", \"masters\": 3, \"workers\": 2, \"clients\": 4,"
                " \"store\": {\"file_bytes\": 4096},"
                " \"load\": {\"threads\": 2, \"think\": \"20ms\", \"io_bytes\": 4096,"
                " \"file_bytes\": 8192, \"create\": 0, \"mkdir\": 0, \"symlink\": 0, \"link\": 0,"
                " \"unlink\": 0, \"rmdir\": 0, \"rename\": 0, \"xattr\": 0}}");
    tarn_sim_mem(&m);
    struct lab_run *r = lab_run_open(&m, &steady, 1, NULL, NULL);
    lab_run_go(r, WARM_S * second_ns);
    uint64_t events = sim_events(lab_run_sim(r));
    steady_begin();
    lab_run_go(r, (WARM_S + STEADY_S) * second_ns);
    steady_end("files", sim_events(lab_run_sim(r)) - events);
    lab_run_close(r);
    mem_drop(&m);
}

/* each of the three doors is seen */
static void test_mem_steady_counts(void)
{
    if (!TARN_SIM_MEM_KEEPS)
        return;
    steady_begin();
    char *p = get(37 << 20);
    CU_ASSERT(tarn_sim_mem_taken() - asked.taken >= 37 << 20);
    CU_ASSERT(asked.maps == COUNTS);
    CU_ASSERT(asked.mallocs == 0);
    put(p, 37 << 20);
    char *volatile q = malloc(100); /* volatile: else it is not asked for at all */
    free(q);
    q = calloc(1, 100);
    q = realloc(q, 200);
    free(q);
    CU_ASSERT_EQUAL(asked.mallocs, COUNTS ? 3 : 0);
}

UNIT_MAIN("tarn_sim_mem", UNIT(test_mem_sizes), UNIT(test_mem_zeros), UNIT(test_mem_zeros_of_child),
          UNIT(test_mem_apart), UNIT(test_mem_kept), UNIT(test_mem_steady_counts),
          UNIT(test_mem_steady_journals), UNIT(test_mem_steady_files))
