/* tests/unit/test_log_mend.c - one flipped bit is found and put right; two are not, nor what a
 * crash tore. */
#include "journal/log_mend.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

enum { MEND_BYTES = 3 * LOG_BLOCK };

static const struct log_expect mend_expect = {.seq = 7, .index = 41, .chain = 99};

static uint32_t mend_make(uint8_t *p, uint32_t records, uint32_t len)
{
    static uint8_t bytes[2048];
    struct log_batch b = {.prev_chain = 99,
                          .seq = 7,
                          .epoch = 3,
                          .first_index = 41,
                          .durable_upto = 40,
                          .records = records};
    uint32_t seed = b.prev_chain;
    for (uint32_t i = 0; i < records; i++) {
        for (uint32_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)(base_mix_u64(i * 4096 + k) | 1);
        seed = log_format_record_put(p + sizeof b + b.payload_len, seed, 1, 3, bytes, len);
        b.payload_len += log_format_record_size(len);
    }
    return log_format_batch_put(p, &b);
}

/* as the reader does it */
static bool mend_read(uint8_t *p, size_t avail)
{
    struct log_batch b;
    size_t have = LOG_BLOCK, need = LOG_BLOCK;
    for (int i = 0; i < 6; i++) {
        int ret = log_format_batch_check(p, have, &mend_expect, &b, &need);
        if (!ret)
            return true;
        if (ret != E_EOF && (ret != E_CORRUPT || !log_mend_batch(p, have, &mend_expect, &need)))
            return false;
        if (need > avail)
            return false;
        have = need;
    }
    return false;
}

static void test_every_bit_of_a_batch(void)
{
    static uint8_t good[MEND_BYTES], bad[MEND_BYTES];
    for (uint32_t records = 0; records < 6; records += 5) {
        uint32_t size = mend_make(good, records, 1000);
        uint32_t used = (uint32_t)sizeof(struct log_batch) + records * log_format_record_size(1000);
        CU_ASSERT_FATAL(size <= MEND_BYTES);
        for (uint32_t bit = 0; bit < used * 8; bit += records ? 5 : 1) {
            memcpy(bad, good, size);
            bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CU_ASSERT(mend_read(bad, size) && !memcmp(bad, good, size));
        }
    }
}

static void test_every_bit_of_a_segments_header(void)
{
    static uint8_t good[LOG_BLOCK], bad[LOG_BLOCK];
    struct log_segment s = {.seq = 3, .first_index = 9, .bytes = 65536};
    memcpy(good, &s, sizeof s);
    log_format_seal(good, LOG_BLOCK, LOG_SEGMENT_MAGIC);
    CU_ASSERT_FALSE(log_mend_head(good, LOG_BLOCK, LOG_SEGMENT_MAGIC));
    for (uint32_t bit = 0; bit < LOG_BLOCK * 8; bit += bit < 1024 ? 1 : 37) {
        memcpy(bad, good, sizeof bad);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT(log_mend_head(bad, LOG_BLOCK, LOG_SEGMENT_MAGIC));
        CU_ASSERT(!memcmp(bad, good, sizeof bad));
    }
    memset(bad, 0, sizeof bad);
    CU_ASSERT_FALSE(log_mend_head(bad, LOG_BLOCK, LOG_SEGMENT_MAGIC));
    CU_ASSERT(bad[0] == 0 && !memcmp(bad, bad + 1, LOG_BLOCK - 1));
}

/* Whatever else is done to it: what is called good is what was written. */
static void test_nothing_else_is_mended(void)
{
    static uint8_t good[MEND_BYTES], bad[MEND_BYTES];
    uint32_t size = mend_make(good, 5, 1000), wholes = 0;
    struct prng r;
    prng_seed(&r, 1, "mend", 0);
    for (int i = 0; i < 3000; i++) {
        memcpy(bad, good, size);
        uint64_t at = prng_below(&r, size / 512) * 512, cut = prng_below(&r, 512);
        bool torn = i % 3 == 0;
        if (torn) /* a sector that did not come */
            memset(bad + at, 0, 512);
        else if (i % 3 == 1) /* a part of it, and garbage */
            for (uint64_t k = cut; k < 512; k++)
                bad[at + k] = (uint8_t)prng_u64(&r);
        else /* two bits */
            for (int k = 0; k < 2; k++)
                bad[prng_below(&r, 5000)] ^= (uint8_t)(1u << prng_below(&r, 8));
        bool changed = memcmp(bad, good, sizeof(struct log_batch) + 5 * 1024);
        bool whole = log_mend_is_whole(bad, size);
        CU_ASSERT(!torn || !changed || !whole);
        wholes += whole && changed;
        if (mend_read(bad, size))
            CU_ASSERT(!memcmp(bad, good, sizeof(struct log_batch) + 5 * 1024));
    }
    CU_ASSERT(wholes > 1500);
}

UNIT_MAIN("log mend", UNIT(test_every_bit_of_a_batch), UNIT(test_every_bit_of_a_segments_header),
          UNIT(test_nothing_else_is_mended))
