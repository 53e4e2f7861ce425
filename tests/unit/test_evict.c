/* tests/unit/test_evict.c - eviction policies: exact miss counts, pins, growth.
 *
 * With TARN_TEST_DATA set to a folder that holds traces/ and data/cache-truth.csv, the policies are
 * compared with known miss counts of public traces; without it that test has nothing to do. */
#include <unistd.h>
#include "core/evict.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

/* A cache over a policy: key -> slot by open addressing, enough for a test. */
struct sim_cache {
    struct mem mem;
    struct evict e;
    uint64_t *key; /* of a slot, 0: free */
    uint32_t *table, table_n;
    uint32_t slots, free_from;
    uint64_t misses;
};

static uint32_t *cell(struct sim_cache *c, uint64_t key)
{
    uint32_t i = (uint32_t)base_mix_u64(key ^ 0x1234) & (c->table_n - 1);
    while (c->table[i] != EVICT_NONE && c->key[c->table[i]] != key)
        i = (i + 1) & (c->table_n - 1);
    return &c->table[i];
}

static void cell_remove(struct sim_cache *c, uint64_t key)
{
    uint32_t i = (uint32_t)(cell(c, key) - c->table), mask = c->table_n - 1;
    c->table[i] = EVICT_NONE;
    for (uint32_t k = (i + 1) & mask; c->table[k] != EVICT_NONE; k = (k + 1) & mask) {
        uint32_t slot = c->table[k];
        c->table[k] = EVICT_NONE;
        *cell(c, c->key[slot]) = slot;
    }
}

static void cache_make(struct sim_cache *c, const char *policy, uint64_t capacity, uint32_t slots)
{
    memset(c, 0, sizeof *c);
    unit_mem(&c->mem, 1 << 30);
    c->slots = slots + 1;
    for (c->table_n = 64; c->table_n < c->slots * 2; c->table_n *= 2)
        ;
    c->key = mem_zalloc(&c->mem, c->slots * sizeof *c->key);
    c->table = mem_alloc(&c->mem, c->table_n * sizeof *c->table);
    memset(c->table, 0xff, c->table_n * sizeof *c->table);
    struct evict_config cfg = {.capacity_bytes = capacity, .slots = 1};
    CU_ASSERT_EQUAL_FATAL(evict_init(&c->e, &c->mem, evict_find(policy), &cfg), 0);
    CU_ASSERT_EQUAL_FATAL(evict_grow(&c->e, 3), 0);
    if (c->slots > 3)
        CU_ASSERT_EQUAL_FATAL(evict_grow(&c->e, c->slots), 0);
}

static bool cache_evict(struct sim_cache *c)
{
    uint32_t v = evict_victim(&c->e);
    if (v == EVICT_NONE)
        return false;
    evict_remove(&c->e, v, EVICT_EVICTED);
    cell_remove(c, c->key[v]);
    c->key[v] = 0;
    c->free_from = v;
    return true;
}

/* key > 0; true for a hit */
static bool cache_get(struct sim_cache *c, uint64_t key, uint32_t size)
{
    uint32_t slot = *cell(c, key);
    if (slot != EVICT_NONE) {
        evict_hit(&c->e, slot);
        return true;
    }
    c->misses++;
    enum evict_class class = evict_admit(&c->e, key, size);
    if (class == EVICT_CLASS_REJECT)
        return false;
    while (c->e.used + size > c->e.capacity)
        if (!cache_evict(c))
            return false;
    for (slot = c->free_from; c->key[slot]; slot = (slot + 1) % c->slots)
        ;
    c->key[slot] = key;
    *cell(c, key) = slot;
    evict_insert(&c->e, slot, key, size, class);
    return false;
}

static void cache_drop(struct sim_cache *c)
{
    char why[128] = "";
    CU_ASSERT(evict_check(&c->e, why, sizeof why));
    evict_free(&c->e);
    mem_drop(&c->mem);
}

static void test_evict_lru_and_fifo_order(void)
{
    struct sim_cache c;
    cache_make(&c, "lru", 3, 3);
    for (uint64_t k = 1; k <= 3; k++)
        CU_ASSERT(!cache_get(&c, k, 1));
    CU_ASSERT(cache_get(&c, 1, 1));
    CU_ASSERT(!cache_get(&c, 4, 1)); /* 2 goes */
    CU_ASSERT(cache_get(&c, 1, 1));
    CU_ASSERT(!cache_get(&c, 2, 1));
    cache_drop(&c);
    cache_make(&c, "fifo", 3, 3);
    for (uint64_t k = 1; k <= 3; k++)
        CU_ASSERT(!cache_get(&c, k, 1));
    CU_ASSERT(cache_get(&c, 1, 1));
    CU_ASSERT(!cache_get(&c, 4, 1)); /* 1 goes */
    CU_ASSERT(!cache_get(&c, 1, 1));
    CU_ASSERT(cache_get(&c, 3, 1));
    cache_drop(&c);
    CU_ASSERT_PTR_NULL(evict_find("magic"));
}

static void test_evict_s3fifo_keeps_what_returns(void)
{
    struct sim_cache c;
    cache_make(&c, "s3fifo", 100, 100);
    for (uint64_t k = 1; k <= 100; k++)
        cache_get(&c, k, 1);
    for (uint64_t k = 1000; k < 1200; k++) /* a scan flows through the small queue */
        cache_get(&c, k, 1);
    uint64_t kept = 0;
    for (uint64_t k = 1; k <= 100; k++)
        kept += *cell(&c, k) != EVICT_NONE;
    CU_ASSERT(kept >= 85);
    uint64_t ghost = 1195 - 20; /* left small lately: comes back to main */
    CU_ASSERT(!cache_get(&c, ghost, 1));
    CU_ASSERT_EQUAL(c.e.node[*cell(&c, ghost)].queue, 2);
    cache_drop(&c);
}

static void test_evict_pinned_stay(void)
{
    static const char *const names[] = {"lru", "fifo", "s3fifo"};
    for (unsigned p = 0; p < 3; p++) {
        struct sim_cache c;
        cache_make(&c, names[p], 64, 64);
        for (uint64_t k = 1; k <= 64; k++)
            cache_get(&c, k, 1);
        for (uint64_t k = 1; k <= 60; k++)
            evict_pin(&c.e, *cell(&c, k));
        for (uint64_t k = 100; k < 1000; k++)
            cache_get(&c, k, 1);
        for (uint64_t k = 1; k <= 60; k++)
            CU_ASSERT(*cell(&c, k) != EVICT_NONE);
        CU_ASSERT(c.e.used <= 64);
        for (uint32_t s = 0; s < c.slots; s++)
            if (c.key[s] > 60)
                evict_pin(&c.e, s);
        CU_ASSERT_EQUAL(evict_victim(&c.e), EVICT_NONE);
        uint32_t gone = *cell(&c, 7);
        evict_remove(&c.e, gone, EVICT_DELETED); /* pinned: may be deleted all the same */
        evict_unpin(&c.e, gone);
        cache_drop(&c);
    }
}

static void test_evict_random_sizes_keep_the_invariants(void)
{
    static const char *const names[] = {"lru", "fifo", "s3fifo"};
    for (unsigned p = 0; p < 3; p++) {
        struct sim_cache c;
        struct prng r;
        char why[128] = "";
        prng_seed(&r, 11, "evict", p);
        cache_make(&c, names[p], 100000, 2000);
        for (int i = 0; i < 20000; i++) {
            uint64_t key = 1 + prng_below(&r, 1 + prng_below(&r, 2000));
            cache_get(&c, key, 100 + (uint32_t)(base_mix_u64(key) % 5000));
            CU_ASSERT_FATAL(c.e.used <= 100000);
            if (i % 500 == 0)
                CU_ASSERT_FATAL(evict_check(&c.e, why, sizeof why));
        }
        CU_ASSERT_FATAL(evict_grow(&c.e, c.slots * 2) == 0);
        for (int i = 0; i < 2000; i++)
            cache_get(&c, 1 + prng_below(&r, 2000), 1000);
        cache_drop(&c);
    }
}

/* One row: trace,policy,cache_size,ignore_obj_size,n_req,n_miss,... */
static void replay_row(const char *dir, const char *trace, const char *policy, uint64_t capacity,
                       uint64_t want)
{
    char cmd[512], line[64];
    snprintf(cmd, sizeof cmd, "gzip -dc '%s/traces/%s.lirs.gz'", dir, trace);
    FILE *f = popen(cmd, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    struct sim_cache c;
    cache_make(&c, policy, capacity, (uint32_t)capacity);
    while (fgets(line, sizeof line, f))
        if (line[0] >= '0' && line[0] <= '9')
            cache_get(&c, strtoull(line, NULL, 10) + 1, 1);
    pclose(f);
    if (c.misses != want)
        fprintf(stderr, "%s %s %llu: %llu misses, not %llu\n", trace, policy,
                (unsigned long long)capacity, (unsigned long long)c.misses,
                (unsigned long long)want);
    CU_ASSERT_EQUAL(c.misses, want);
    cache_drop(&c);
}

static void test_evict_miss_counts_of_public_traces(void)
{
    const char *dir = getenv("TARN_TEST_DATA");
    char path[512], line[256];
    snprintf(path, sizeof path, "%s/data/cache-truth.csv", dir ? dir : "");
    FILE *f = fopen(path, "r");
    unsigned rows = 0;
    if (!f) {
        fprintf(stderr,
                "\nSKIP public traces: TARN_TEST_DATA names no folder with data/cache-truth.csv\n");
        return;
    }
    while (fgets(line, sizeof line, f)) {
        char trace[64], policy[32];
        unsigned long long size, unit, reqs, misses;
        if (sscanf(line, "%63[^,],%31[^,],%llu,%llu,%llu,%llu", trace, policy, &size, &unit, &reqs,
                   &misses) != 6)
            continue;
        /* small traces only, and sizes where a tenth is more than one page */
        if (!unit || size < 20 || !evict_find(policy) ||
            (strcmp(trace, "2_pools") && strcmp(trace, "multi1") && strcmp(trace, "multi2") &&
             strcmp(trace, "multi3") && strcmp(trace, "sprite") && strcmp(trace, "loop")))
            continue;
        replay_row(dir, trace, policy, size, misses);
        rows++;
    }
    fclose(f);
    printf("(%u rows) ", rows);
    CU_ASSERT(rows > 10);
}

UNIT_MAIN("evict", UNIT(test_evict_lru_and_fifo_order), UNIT(test_evict_s3fifo_keeps_what_returns),
          UNIT(test_evict_pinned_stay), UNIT(test_evict_random_sizes_keep_the_invariants),
          UNIT(test_evict_miss_counts_of_public_traces))
