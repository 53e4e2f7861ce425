/* tests/unit/test_cache.c - the index of a worker's cache. */
#include "core/cache.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

static uint32_t freed;

static void on_free(void *ctx, void *tag, uint32_t size)
{
    (void)ctx;
    (void)tag;
    (void)size;
    freed++;
}

static struct mem mem;
static struct cache c;

static void setup(uint64_t capacity, uint32_t gone_max)
{
    unit_mem(&mem, 256 << 20);
    freed = 0;
    struct cache_config cfg = {.capacity_bytes = capacity,
                               .slots_max = 1 << 16,
                               .gone_max = gone_max,
                               .policy = evict_find("lru"),
                               .on_free = on_free};
    CU_ASSERT_EQUAL_FATAL(cache_init(&c, &mem, &cfg), 0);
}

static void teardown(void)
{
    char why[128] = "";
    CU_ASSERT(cache_check(&c, why, sizeof why));
    cache_free(&c);
    mem_drop(&mem);
}

static struct cache_key key(uint64_t ino, uint64_t version, uint32_t page)
{
    return (struct cache_key){{ino}, version, page};
}

static uint32_t add(struct cache_key k, uint32_t size)
{
    enum evict_class class = cache_admit(&c, k, size);
    while (!cache_reserve(&c, size)) {
        uint32_t v = cache_victim(&c);
        if (v == CACHE_NONE)
            return CACHE_NONE;
        cache_remove(&c, v, EVICT_EVICTED);
    }
    uint32_t slot = CACHE_NONE;
    CU_ASSERT_EQUAL_FATAL(cache_insert(&c, k, 1 << 30, size, class, NULL, &slot), 0);
    return slot;
}

static void test_cache_finds_and_evicts(void)
{
    setup(100, 10);
    for (uint32_t i = 0; i < 10; i++)
        add(key(7, 1, i), 10);
    CU_ASSERT_EQUAL(cache_find_file(&c, (struct ino){7}, 1)->pages, 10);
    CU_ASSERT_EQUAL(cache_find(&c, key(7, 2, 0)), CACHE_NONE);
    cache_hit(&c, cache_find(&c, key(7, 1, 0)));
    add(key(8, 1, 0), 15);
    CU_ASSERT_NOT_EQUAL(cache_find(&c, key(7, 1, 0)), CACHE_NONE);
    CU_ASSERT_EQUAL(cache_find(&c, key(7, 1, 1)), CACHE_NONE);
    CU_ASSERT_EQUAL(cache_find(&c, key(7, 1, 2)), CACHE_NONE);
    CU_ASSERT_EQUAL(freed, 2);
    CU_ASSERT_EQUAL(c.evict.used, 95);
    CU_ASSERT_PTR_NOT_NULL(cache_find_below(&c, (struct ino){7}, 2));
    CU_ASSERT_PTR_NULL(cache_find_below(&c, (struct ino){7}, 1));
    CU_ASSERT_PTR_NULL(cache_find_below(&c, (struct ino){9}, UINT64_MAX));
    teardown();
}

static void test_cache_removed_while_pinned(void)
{
    setup(100, 10);
    uint32_t s = add(key(1, 1, 0), 10);
    cache_pin(&c, s);
    cache_pin(&c, s);
    cache_remove(&c, s, EVICT_DELETED);
    CU_ASSERT_EQUAL(cache_find(&c, key(1, 1, 0)), CACHE_NONE);
    CU_ASSERT_EQUAL(freed, 0);
    uint32_t again = add(key(1, 1, 0), 10); /* the same page, while the old one is still read */
    CU_ASSERT_NOT_EQUAL(again, s);
    cache_unpin(&c, s);
    CU_ASSERT_EQUAL(freed, 0);
    char why[128];
    CU_ASSERT(cache_check(&c, why, sizeof why));
    cache_unpin(&c, s);
    CU_ASSERT_EQUAL(freed, 1);
    CU_ASSERT_EQUAL(cache_find(&c, key(1, 1, 0)), again);
    teardown();
}

static void test_cache_fills(void)
{
    setup(100, 10);
    struct cache_fill a = {.key = key(1, 1, 0)}, b = {.key = key(1, 1, 1)};
    CU_ASSERT_PTR_NULL(cache_fill_find(&c, a.key));
    cache_fill_add(&c, &a);
    cache_fill_add(&c, &b);
    CU_ASSERT_PTR_EQUAL(cache_fill_find(&c, a.key), &a);
    CU_ASSERT_PTR_EQUAL(cache_fill_find(&c, b.key), &b);
    cache_fill_remove(&c, &a);
    CU_ASSERT_PTR_NULL(cache_fill_find(&c, a.key));
    CU_ASSERT_EQUAL(c.n_fills, 1);
    teardown();
}

static void test_cache_reports(void)
{
    setup(1000, 3);
    struct cache_item it;
    struct cache_cursor k, slow;
    cache_cursor_open(&c, &k);
    CU_ASSERT(!cache_cursor_next(&c, &k, &it));
    uint32_t s = add(key(1, 1, 0), 10);
    add(key(1, 1, 1), 10);
    add(key(2, 5, 0), 10);
    CU_ASSERT(cache_cursor_next(&c, &k, &it));
    CU_ASSERT(it.ino.v == 1 && it.pages == 2 && it.bytes == 20);
    CU_ASSERT(cache_cursor_next(&c, &k, &it));
    CU_ASSERT(it.ino.v == 2 && it.version == 5);
    CU_ASSERT(!cache_cursor_next(&c, &k, &it));
    cache_cursor_rollback(&c, &k); /* the beat was lost: all of it again */
    CU_ASSERT(cache_cursor_next(&c, &k, &it) && it.ino.v == 1);
    uint64_t sent = k.sent;
    CU_ASSERT(cache_cursor_next(&c, &k, &it) && it.ino.v == 2);
    cache_cursor_back(&c, &k, sent); /* no room in the frame */
    CU_ASSERT(cache_cursor_next(&c, &k, &it) && it.ino.v == 2);
    cache_cursor_ack(&c, &k);
    cache_remove(&c, s, EVICT_DELETED);
    cache_remove(&c, cache_find(&c, key(1, 1, 1)), EVICT_DELETED);
    CU_ASSERT(cache_cursor_next(&c, &k, &it) && it.ino.v == 1 && it.pages == 0);
    CU_ASSERT(!cache_cursor_next(&c, &k, &it));
    CU_ASSERT_EQUAL(c.n_gone, 1);
    cache_cursor_ack(&c, &k);
    CU_ASSERT_EQUAL(c.n_gone, 0);
    CU_ASSERT_EQUAL(c.n_files, 1);
    cache_cursor_open(&c, &slow); /* begins with everything */
    CU_ASSERT(cache_cursor_next(&c, &slow, &it) && it.ino.v == 2);
    cache_cursor_ack(&c, &slow);
    for (uint64_t i = 10; i < 20; i++)
        cache_remove(&c, add(key(i, 1, 0), 10), EVICT_DELETED);
    CU_ASSERT_EQUAL(c.n_gone, 3);
    CU_ASSERT(cache_cursor_lost(&c, &slow));
    cache_cursor_reset(&c, &slow);
    CU_ASSERT(!cache_cursor_lost(&c, &slow));
    cache_cursor_close(&c, &slow);
    cache_cursor_close(&c, &k);
    CU_ASSERT_EQUAL(c.n_gone, 0);
    teardown();
}

/* Random life against a receiver that applies the reports: it must end up with the truth. */
static void test_cache_random_reports_converge(void)
{
    setup(5000, 8);
    struct prng r;
    prng_seed(&r, 3, "cache", 0);
    struct cache_cursor k;
    cache_cursor_open(&c, &k);
    static uint32_t told[64], saved[64];
    memset(told, 0, sizeof told);
    for (int i = 0; i < 20000; i++) {
        struct cache_key q = key(1 + prng_below(&r, 63), 1, (uint32_t)prng_below(&r, 20));
        uint32_t s = cache_find(&c, q);
        if (s == CACHE_NONE)
            add(q, 10 + (uint32_t)prng_below(&r, 90));
        else if (prng_below(&r, 3) == 0)
            cache_remove(&c, s, EVICT_DELETED);
        else
            cache_hit(&c, s);
        if (prng_below(&r, 40))
            continue;
        if (cache_cursor_lost(&c, &k)) {
            cache_cursor_reset(&c, &k);
            memset(told, 0, sizeof told);
        }
        memcpy(saved, told, sizeof told);
        struct cache_item it;
        for (uint64_t n = prng_below(&r, 50); n && cache_cursor_next(&c, &k, &it); n--)
            told[it.ino.v] = it.pages;
        if (prng_below(&r, 4)) {
            cache_cursor_ack(&c, &k);
        } else {
            memcpy(told, saved, sizeof told);
            cache_cursor_rollback(&c, &k);
        }
    }
    struct cache_item it;
    if (cache_cursor_lost(&c, &k)) {
        cache_cursor_reset(&c, &k);
        memset(told, 0, sizeof told);
    }
    while (cache_cursor_next(&c, &k, &it))
        told[it.ino.v] = it.pages;
    for (uint64_t i = 1; i < 64; i++) {
        struct cache_file *f = cache_find_file(&c, (struct ino){i}, 1);
        CU_ASSERT_EQUAL(told[i], f ? f->pages : 0);
    }
    cache_cursor_close(&c, &k);
    teardown();
}

UNIT_MAIN("cache", UNIT(test_cache_finds_and_evicts), UNIT(test_cache_removed_while_pinned),
          UNIT(test_cache_fills), UNIT(test_cache_reports),
          UNIT(test_cache_random_reports_converge))
