/* sim/tarn_sim_mem.c - the memory of simulated worlds, kept from one process of a node to the next
 * and from one run to the next, because giving pages back and faulting them in again would cost a
 * third of a run.
 *
 *  1. Sizes are classes of whole pages, eight for each doubling; what is put goes on its class's
 *     list, and is the first to be given again.
 *  2. Blocks of SIM_ZEROED_MIN and more are zeros when given.  They are mostly untouched, so when
 *     one is put only the pages that it really has are wiped; /proc/self/pagemap tells which (a
 *     page that was swapped out counts).  Where nobody tells, or when enough is kept already, such
 *     a block goes back to the kernel.
 *  3. Smaller ones are cut from slabs, which are never given back.  Not of huge pages: to clear
 *     those of a short run costs more than their faults.
 *  4. Under AddressSanitizer small blocks are malloc's and nothing is kept, so that a use of what
 *     a dead process had is seen. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "sim/sim.h"
#include "sim/tarn_sim.h"

enum { PAGE = 4096, SLAB = 16 << 20, CLASSES = 8 * 30, ASK = 1024 };
static const uint64_t touched_max = (uint64_t)512 << 20; /* bytes of large blocks that are kept */

struct kept { /* at the start of a block that nobody has */
    struct kept *next;
    uint64_t touched; /* bytes of its pages that exist */
};

static struct {
    struct kept *list[CLASSES];
    char *slab;
    size_t slab_left;
    uint64_t touched, taken;
    int pagemap; /* the process that opened it is the one that it tells of */
    pid_t pid;
} all;

static unsigned class_of(size_t n, size_t *ret_size)
{
    size_t pages = n ? (n - 1) / PAGE + 1 : 1;
    if (pages <= 8) {
        *ret_size = pages * PAGE;
        return (unsigned)pages - 1;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(pages - 1); /* 2^shift < pages */
    size_t step = (size_t)1 << (shift - 3);
    size_t eighth = (pages - 1 - ((size_t)1 << shift)) / step;
    *ret_size = (((size_t)1 << shift) + (eighth + 1) * step) * PAGE;
    return 8 + (shift - 3) * 8 + (unsigned)eighth;
}

static void *map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void *cut(size_t size)
{
    if (all.slab_left < size) {
        char *p = map(SLAB);
        if (!p)
            return NULL;
        all.slab = p;
        all.slab_left = SLAB;
    }
    void *ret = all.slab;
    all.slab += size;
    all.slab_left -= size;
    return ret;
}

static bool is_zero(const char *page)
{
    return !base_get_u64(page) && !memcmp(page, page + 8, PAGE - 8);
}

/* zeros what was touched; ret: its bytes, or UINT64_MAX when nobody tells */
static uint64_t wipe(char *p, size_t size)
{
    const uint64_t exists = (uint64_t)3 << 62; /* in memory, or swapped out */
    uint64_t entry[ASK], touched = 0;
    if (all.pid != getpid()) {
        all.pid = getpid();
        all.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    }
    if (all.pagemap < 0 || sysconf(_SC_PAGESIZE) != PAGE)
        return UINT64_MAX;
    for (size_t at = 0; at < size; at += (size_t)ASK * PAGE) {
        size_t n = base_min_u64((size - at) / PAGE, ASK);
        off_t from = (off_t)((uintptr_t)(p + at) / PAGE * sizeof *entry);
        if (pread(all.pagemap, entry, n * sizeof *entry, from) != (ssize_t)(n * sizeof *entry))
            return UINT64_MAX;
        for (size_t i = 0; i < n; i++)
            if (entry[i] & exists) {
                touched += PAGE;
                if (!is_zero(p + at + i * PAGE)) /* what was only read is all one page */
                    memset(p + at + i * PAGE, 0, PAGE);
            }
    }
    return touched;
}

static void *source_get(void *ctx, size_t n)
{
    (void)ctx;
    size_t size;
    unsigned c = class_of(n, &size);
    bool large = size >= SIM_ZEROED_MIN;
    ASSERT(c < CLASSES);
    struct kept *k = all.list[c];
    all.taken += k ? 0 : size;
    if (!k && large)
        return map(size);
    if (!k)
        return TARN_SIM_MEM_KEEPS ? cut(size) : aligned_alloc(64, size);
    all.list[c] = k->next;
    all.touched -= k->touched;
    if (large)
        memset(k, 0, sizeof *k);
    return k;
}

static void source_put(void *ctx, void *p, size_t n)
{
    (void)ctx;
    size_t size;
    unsigned c = class_of(n, &size);
    bool large = size >= SIM_ZEROED_MIN;
    struct kept *k = p;
    uint64_t touched = 0;
    if (!TARN_SIM_MEM_KEEPS && !large) {
        free(p);
        return;
    }
    if (large) {
        touched = TARN_SIM_MEM_KEEPS && all.touched < touched_max ? wipe(p, size) : UINT64_MAX;
        if (touched == UINT64_MAX) {
            munmap(p, size);
            return;
        }
    }
    *k = (struct kept){all.list[c], touched};
    all.list[c] = k;
    all.touched += touched;
}

uint64_t tarn_sim_mem_taken(void)
{
    return all.taken;
}

void tarn_sim_mem(struct mem *m)
{
    mem_init(m, (struct mem_source){source_get, source_put, NULL, SIM_ZEROED_MIN},
             (uint64_t)8 << 30);
}
