/* tests/unit/test_core_base.c - errors, codec, memory, checksum, random streams, timer heap. */
#include "core/buf.h"
#include "core/crc.h"
#include "core/err.h"
#include "core/fmt.h"
#include "core/heap.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

static void test_err_codes_are_unique_and_known(void)
{
    int seen = 0;
#define CHECK(name, number, class, text)           \
    CU_ASSERT_EQUAL(name, -(number));              \
    CU_ASSERT_STRING_EQUAL(err_name(name), #name); \
    seen++;
    ERR_LIST(CHECK)
#undef CHECK
    CU_ASSERT(seen > 30);
    CU_ASSERT(err_is_retry(E_TIMEOUT));
    CU_ASSERT(!err_is_retry(E_NOENT));
    CU_ASSERT_EQUAL(err_checked(-777), E_PROTO);
    CU_ASSERT_EQUAL(err_checked(5), E_PROTO);
    CU_ASSERT_EQUAL(err_checked(E_BUSY), E_BUSY);
}

static void test_buf_overrun_is_sticky(void)
{
    uint8_t b[8];
    struct wbuf w = wbuf_make(b, sizeof b);
    wbuf_u32(&w, 7);
    wbuf_str16(&w, "abc", 3);
    CU_ASSERT(w.bad);
    wbuf_u8(&w, 1);
    CU_ASSERT(w.bad);
    struct rbuf r = rbuf_make(b, 4);
    CU_ASSERT_EQUAL(rbuf_u32(&r), 7);
    CU_ASSERT_EQUAL(rbuf_u64(&r), 0);
    CU_ASSERT(r.bad);
    CU_ASSERT_EQUAL(rbuf_left(&r), 0);
}

static void test_mem_budget_and_reuse(void)
{
    struct mem m;
    unit_mem(&m, 8 << 20);
    void *a = mem_alloc(&m, 100), *b = mem_alloc(&m, 300 * 1024);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_EQUAL((uintptr_t)b % 64, 0);
    CU_ASSERT_PTR_NULL(mem_alloc(&m, 8 << 20));
    mem_free(&m, a, 100);
    CU_ASSERT_PTR_EQUAL(mem_alloc(&m, 110), a);
    mem_free(&m, b, 300 * 1024);
    for (size_t n = 1; n < 40000; n = n * 5 / 4 + 1) {
        char *p = mem_alloc(&m, n);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        memset(p, 1, n);
        mem_free(&m, p, n);
    }
    mem_drop(&m);
    CU_ASSERT_EQUAL(m.used, 0);
}

static void test_pool_runs_dry_and_refills(void)
{
    struct mem m;
    struct pool p;
    unit_mem(&m, 1 << 20);
    CU_ASSERT_EQUAL_FATAL(pool_init(&p, &m, 24, 2), 0);
    void *a = pool_get(&p), *b = pool_get(&p);
    CU_ASSERT(a && b && a != b);
    CU_ASSERT_PTR_NULL(pool_get(&p));
    pool_put(&p, a);
    CU_ASSERT_PTR_EQUAL(pool_get(&p), a);
    mem_drop(&m);
}

static void test_crc_known_vectors(void)
{
    CU_ASSERT_EQUAL(crc_update(0, "123456789", 9), 0xe3069283u);
    uint8_t zeros[32] = {0};
    CU_ASSERT_EQUAL(crc_update(0, zeros, 32), 0x8a9136aau); /* RFC 3720 B.4 */
    CU_ASSERT_EQUAL(crc_update(crc_update(0, "1234", 4), "56789", 5), 0xe3069283u);
}

/* a block taken at once (several chains) and byte by byte (one) */
static void test_crc_of_blocks_is_that_of_their_bytes(void)
{
    static uint8_t b[20000];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (uint8_t)(i * 2654435761u >> 13);
    static const size_t sizes[] = {4079, 4080, 4081, 4096, 8159, 8160, 16384, sizeof b - 3};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        uint32_t one = 77;
        for (size_t i = 0; i < sizes[k]; i++)
            one = crc_update(one, b + 3 + i, 1);
        CU_ASSERT_EQUAL(crc_update(77, b + 3, sizes[k]), one);
    }
}

static void test_prng_streams_are_independent_and_uniform(void)
{
    struct prng a, b;
    prng_seed(&a, 7, "net", 0);
    prng_seed(&b, 7, "disk", 0);
    CU_ASSERT_NOT_EQUAL(prng_u64(&a), prng_u64(&b));
    int64_t sum = 0;
    for (int i = 0; i < 100000; i++) {
        sum += prng_exp(&a, 1000);
        int64_t v = prng_range(&a, -3, 3);
        CU_ASSERT(v >= -3 && v <= 3);
    }
    CU_ASSERT(sum / 100000 > 980 && sum / 100000 < 1020);
}

static void heap_nop(struct env_op *op)
{
    (void)op;
}

static void test_heap_orders_by_time_then_age(void)
{
    struct mem m;
    struct heap h;
    static struct env_timer t[500];
    struct prng r;
    unit_mem(&m, 1 << 20);
    heap_init(&h, &m);
    prng_seed(&r, 1, NULL, 0);
    for (int i = 0; i < 500; i++) {
        t[i].op.done = heap_nop;
        heap_set(&h, &t[i], prng_range(&r, 0, 50));
    }
    for (int i = 0; i < 100; i++)
        heap_remove(&h, &t[prng_below(&r, 500)]);
    for (int i = 0; i < 100; i++)
        heap_set(&h, &t[prng_below(&r, 500)], prng_range(&r, 0, 50));
    CU_ASSERT(heap_check(&h));
    int64_t last = -1;
    uint64_t last_seq = 0;
    struct env_timer *e;
    while ((e = heap_peek(&h))) {
        CU_ASSERT(e->at_ns > last || (e->at_ns == last && e->seq > last_seq));
        last = e->at_ns;
        last_seq = e->seq;
        heap_remove(&h, e);
    }
    mem_drop(&m);
}

/* nobody else uses up what a part was promised, and a part no more than that */
static void test_mem_part(void)
{
    struct mem m, part;
    unit_mem(&m, 8 << 20);
    CU_ASSERT_FALSE(mem_part(&part, &m, 8 << 20)); /* its own cost comes on top */
    CU_ASSERT_FATAL(mem_part(&part, &m, 5 << 20));
    while (mem_alloc(&m, 100000))
        ;
    CU_ASSERT(m.used > (2 << 20) && m.used <= (3 << 20));
    uint32_t pages = 0;
    void *last = NULL;
    for (void *p; (p = mem_alloc(&part, 16 << 10)); pages++)
        last = p;
    CU_ASSERT(pages >= 316 && pages <= 320);
    CU_ASSERT(m.used <= m.budget && part.used <= part.budget);
    mem_free(&part, last, 16 << 10);
    CU_ASSERT_PTR_NULL(mem_alloc(&m, 100000)); /* still the part's */
    CU_ASSERT_PTR_NOT_NULL(mem_alloc(&part, 16 << 10));
    mem_part_end(&part);
    CU_ASSERT_PTR_NOT_NULL(mem_alloc(&m, 4 << 20));
    mem_drop(&m);
}

UNIT_MAIN("core_base", UNIT(test_err_codes_are_unique_and_known), UNIT(test_buf_overrun_is_sticky),
          UNIT(test_mem_budget_and_reuse), UNIT(test_mem_part),
          UNIT(test_pool_runs_dry_and_refills), UNIT(test_crc_known_vectors),
          UNIT(test_crc_of_blocks_is_that_of_their_bytes),
          UNIT(test_prng_streams_are_independent_and_uniform),
          UNIT(test_heap_orders_by_time_then_age))
