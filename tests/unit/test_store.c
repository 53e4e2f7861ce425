/* tests/unit/test_store.c - slots, blobs, the hash index, images under change. */
#include "core/prng.h"
#include "core/store.h"
#include "tests/unit/unit.h"

enum { T_REC, T_BUCKET, T_BLOB, T_COUNT = T_BLOB + STORE_BLOB_CLASSES };

struct rec {
    struct store_link link;
    uint64_t value;
};

static struct mem mem;

static void setup(struct store *s)
{
    struct store_def defs[T_COUNT] = {{sizeof(struct rec), STORE_PAGE_SMALL},
                                      {4, STORE_PAGE_SMALL}};
    store_blob_defs(defs + T_BLOB);
    store_init(s, &mem, defs, T_COUNT);
}

static void test_store_slots_are_reused_in_order(void)
{
    struct store s;
    unit_mem(&mem, 64 << 20);
    setup(&s);
    uint32_t a = store_new(&s, T_REC), b = store_new(&s, T_REC), c = store_new(&s, T_REC);
    CU_ASSERT(a == 1 && b == 2 && c == 3);
    store_free(&s, T_REC, a);
    store_free(&s, T_REC, c);
    CU_ASSERT(store_check(&s, &mem));
    CU_ASSERT_EQUAL(store_new(&s, T_REC), c);
    CU_ASSERT_EQUAL(store_new(&s, T_REC), a);
    CU_ASSERT_EQUAL(store_new(&s, T_REC), 4);
    store_free(&s, T_REC, b);
    store_free(&s, T_REC, b); /* a bug that the check must see */
    CU_ASSERT(!store_check(&s, &mem));
    mem_drop(&mem);
}

static void test_store_blob_sizes(void)
{
    static uint8_t in[70000], out[70000];
    struct store s;
    unit_mem(&mem, 64 << 20);
    setup(&s);
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7 + i / 251);
    static const uint32_t sizes[] = {0,   1,   7,    8,    15,   16,   63,   64,   254,  255,
                                     256, 257, 1015, 1016, 1017, 2032, 2033, 4096, 65536};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        uint32_t ref = store_blob_new(&s, T_BLOB, in, sizes[k]), n;
        CU_ASSERT_EQUAL(store_blob_len(&s, T_BLOB, ref), sizes[k]);
        memset(out, 0xee, sizeof out);
        CU_ASSERT_EQUAL(store_blob_copy(&s, T_BLOB, ref, out, sizeof out), sizes[k]);
        CU_ASSERT(!memcmp(in, out, sizes[k]));
        CU_ASSERT_EQUAL(out[sizes[k]], 0xee);
        CU_ASSERT_EQUAL(store_blob_short(&s, T_BLOB, ref, &n) != NULL,
                        sizes[k] > 0 && sizes[k] <= 255);
        if (sizes[k] > 10) {
            memset(out, 0xee, sizeof out);
            CU_ASSERT_EQUAL(store_blob_copy(&s, T_BLOB, ref, out, 10), sizes[k]);
            CU_ASSERT_EQUAL(out[10], 0xee);
        }
        store_blob_free(&s, T_BLOB, ref);
    }
    for (unsigned c = 0; c < STORE_BLOB_CLASSES; c++)
        CU_ASSERT_EQUAL(s.t[T_BLOB + c].live, 0);
    CU_ASSERT(store_check(&s, &mem));
    mem_drop(&mem);
}

static void test_store_index_finds_what_was_inserted(void)
{
    enum { N = 3000 };
    struct store s;
    struct prng p;
    bool in[N + 1] = {false};
    uint32_t n;
    unit_mem(&mem, 64 << 20);
    setup(&s);
    prng_seed(&p, 3, "index", 0);
    for (uint32_t i = 1; i <= N; i++)
        CU_ASSERT_EQUAL_FATAL(store_new_zero(&s, T_REC), i);
    for (int step = 0; step < 20000; step++) {
        uint32_t slot = 1 + (uint32_t)prng_below(&p, N);
        uint32_t hash = (uint32_t)base_mix_u64(slot / 2); /* pairs collide */
        if (in[slot])
            store_index_remove(&s, T_BUCKET, T_REC, slot);
        else
            store_index_insert(&s, T_BUCKET, T_REC, slot, hash);
        in[slot] = !in[slot];
    }
    uint32_t count = 0;
    for (uint32_t slot = 1; slot <= N; slot++) {
        bool found = false;
        uint32_t k = store_index_first(&s, T_BUCKET, T_REC, (uint32_t)base_mix_u64(slot / 2));
        for (; k; k = store_index_next(&s, T_REC, k))
            found |= k == slot;
        CU_ASSERT_EQUAL(found, in[slot]);
        count += in[slot];
    }
    CU_ASSERT(store_index_check(&s, T_BUCKET, T_REC, &n));
    CU_ASSERT_EQUAL(n, count);
    mem_drop(&mem);
}

/* An image shows the state at its begin, however the store changes while it is written. */
static void test_store_image_under_change(void)
{
    enum { N = 5000 };
    static uint64_t at_begin[N + 1];
    struct store s, t;
    struct prng p;
    static uint8_t piece[5000];
    unit_mem(&mem, 64 << 20);
    setup(&s);
    prng_seed(&p, 4, "image", 0);
    for (uint32_t i = 1; i <= N; i++) {
        uint32_t slot = store_new_zero(&s, T_REC);
        ((struct rec *)store_mut(&s, T_REC, slot))->value = i;
    }
    for (int round = 0; round < 5; round++) {
        for (uint32_t i = 1; i <= N; i++)
            at_begin[i] = ((const struct rec *)store_get(&s, T_REC, i))->value;
        uint32_t high = s.t[T_REC].high;
        setup(&t);
        store_image_begin(&s);
        store_image_load_begin(&t);
        uint32_t n;
        while ((n = store_image_next(&s, piece, 1 + (uint32_t)prng_below(&p, sizeof piece)))) {
            CU_ASSERT_EQUAL_FATAL(store_image_load(&t, piece, n), 0);
            for (int k = 0; k < 20; k++) {
                uint32_t slot = 1 + (uint32_t)prng_below(&p, N);
                ((struct rec *)store_mut(&s, T_REC, slot))->value = prng_u64(&p);
            }
            (void)store_new_zero(&s, T_REC);
        }
        store_image_end(&s);
        CU_ASSERT_EQUAL_FATAL(store_image_load(&t, piece, 0), 0);
        CU_ASSERT_EQUAL(t.t[T_REC].high, high);
        bool same = true;
        for (uint32_t i = 1; i <= N; i++)
            same &= ((const struct rec *)store_get(&t, T_REC, i))->value == at_begin[i];
        CU_ASSERT(same);
        store_reset(&t);
        for (unsigned k = 0; k < T_COUNT; k++)
            for (uint32_t g = 0; g < s.t[k].n_pages; g++)
                CU_ASSERT_PTR_NULL(s.t[k].pages[g].copy);
    }
    mem_drop(&mem);
}

static void test_store_image_damage_is_found(void)
{
    static uint8_t whole[64 * 1024];
    struct store s, t;
    unit_mem(&mem, 64 << 20);
    setup(&s);
    for (int i = 0; i < 300; i++)
        ((struct rec *)store_mut(&s, T_REC, store_new_zero(&s, T_REC)))->value = (uint64_t)i;
    store_image_begin(&s);
    uint32_t n = store_image_next(&s, whole, sizeof whole);
    CU_ASSERT(n < sizeof whole);
    store_image_end(&s);
    setup(&t);
    for (uint32_t at = 0; at < n; at += 13) {
        whole[at] ^= 4;
        store_image_load_begin(&t);
        int err = store_image_load(&t, whole, n);
        if (!err)
            err = store_image_load(&t, whole, 0);
        CU_ASSERT(err == E_CORRUPT || err == E_VERSION);
        whole[at] ^= 4;
    }
    for (uint32_t cut = 1; cut < n; cut += 101) {
        store_image_load_begin(&t);
        CU_ASSERT_EQUAL(store_image_load(&t, whole, cut), 0);
        CU_ASSERT_EQUAL(store_image_load(&t, whole, 0), E_CORRUPT);
    }
    store_image_load_begin(&t);
    CU_ASSERT_EQUAL(store_image_load(&t, whole, n), 0);
    CU_ASSERT_EQUAL(store_image_load(&t, whole, 0), 0);
    CU_ASSERT_EQUAL(store_image_load(&t, whole, 1), E_CORRUPT);
    whole[8] = 99; /* the version */
    store_image_load_begin(&t);
    CU_ASSERT_EQUAL(store_image_load(&t, whole, n), E_VERSION);
    mem_drop(&mem);
}

UNIT_MAIN("store", UNIT(test_store_slots_are_reused_in_order), UNIT(test_store_blob_sizes),
          UNIT(test_store_index_finds_what_was_inserted), UNIT(test_store_image_under_change),
          UNIT(test_store_image_damage_is_found))
