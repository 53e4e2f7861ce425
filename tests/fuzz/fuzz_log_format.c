/* tests/fuzz/fuzz_log_format.c - a segment, image or meta file of arbitrary bytes: every decoder
 * says yes or no and stays inside what it was given.  The first byte chooses whether checksums are
 * made right first, so that the code behind them is reached too. */
#include "core/crc.h"
#include "journal/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t block[LOG_BLOCK];

static void fuzz_batches(uint8_t *b, size_t n, bool repair)
{
    struct log_expect ex = {1, 1, 0};
    for (size_t at = 0; at + LOG_BLOCK <= n;) {
        struct log_batch h;
        size_t need;
        memcpy(&h, b + at, sizeof h);
        if (repair) {
            h.payload_len %= (uint32_t)(n - at - sizeof h) + 1;
            h.payload_crc = crc_update(0, b + at + sizeof h, h.payload_len);
            h.prev_chain = ex.chain;
            log_format_seal(&h, sizeof h, LOG_BATCH_MAGIC);
            memcpy(b + at, &h, sizeof h);
        }
        int ret = log_format_batch_check(b + at, n - at, NULL, &h, &need);
        if (ret == 0) {
            struct log_record r;
            const void *bytes;
            uint32_t pos = 0, count = 0;
            ASSERT(need <= n - at && need % LOG_BLOCK == 0 && need > 0);
            while (log_format_record_next(b + at + sizeof h, h.payload_len, &pos, &r, &bytes)) {
                ASSERT((const uint8_t *)bytes + r.len <= b + n);
                count++;
            }
            ASSERT(count == h.records && pos == h.payload_len);
            ex.chain = h.crc;
            at += need;
        } else {
            at += LOG_BLOCK;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[1 << 17];
    static const uint32_t magics[] = {LOG_SEGMENT_MAGIC, LOG_BATCH_MAGIC, LOG_IMAGE_MAGIC,
                                      LOG_META_MAGIC};
    if (size < 1)
        return 0;
    uint8_t how = data[0];
    size_t n = size - 1 < sizeof copy ? size - 1 : sizeof copy;
    memset(copy, 0, sizeof copy);
    memcpy(copy, data + 1, n);
    memset(block, 0, sizeof block);
    memcpy(block, copy, n < sizeof block ? n : sizeof block);
    for (unsigned i = 0; i < ARRAY_LEN(magics); i++) {
        int ret = log_format_check(block, LOG_BLOCK, magics[i]);
        ASSERT(ret == 0 || ret == E_NODATA || ret == E_CORRUPT || ret == E_VERSION);
    }
    fuzz_batches(copy, base_align_up(n, LOG_BLOCK) < sizeof copy ? base_align_up(n, LOG_BLOCK) : n,
                 how & 1);
    char name[64];
    uint64_t number;
    memcpy(name, copy, sizeof name);
    name[sizeof name - 1] = 0;
    if (log_format_name_parse(name, "wal-", &number)) {
        char again[LOG_NAME_MAX];
        log_format_name(again, "wal-", number);
        ASSERT(!strcmp(name, again));
    }
    return 0;
}
