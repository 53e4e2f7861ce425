/* journal/log_mend.c - a step of the checksum's register for every bit, from the end backwards: the
 * difference that the flip of that bit leaves.  A megabyte takes some 20 ms, once, at a start. */
#include "journal/log_mend.h"
#include "core/crc.h"

enum { LOG_MEND_SECTOR = 512 };

static const uint32_t LOG_MEND_POLY = 0x82f63b78u; /* CRC-32C, bits reversed */

/* the bit whose flip makes the difference d in the checksum of n bytes; n * 8: there is none */
static uint64_t log_mend_find(uint32_t d, size_t n)
{
    uint64_t bits = (uint64_t)n * 8;
    uint32_t c = 1;
    for (uint64_t left = bits; left-- > 0;) {
        c = c >> 1 ^ (c & 1 ? LOG_MEND_POLY : 0);
        if (c == d)
            return left;
    }
    return bits;
}

static void log_mend_flip(uint8_t *p, uint64_t bit)
{
    p[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

bool log_mend_head(void *p, size_t n, uint32_t magic)
{
    static const uint8_t zero[4];
    const size_t at = offsetof(struct log_head, crc);
    uint8_t *b = p;
    uint32_t stored = base_get_u32(b + at);
    uint32_t c = crc_update(crc_update(0, b, at), zero, sizeof zero);
    uint32_t d = crc_update(c, b + at + sizeof zero, n - at - sizeof zero) ^ stored;
    uint64_t bit;
    if (d == 0)
        return false;
    if ((d & (d - 1)) == 0) /* of the checksum itself */
        bit = at * 8 + (uint64_t)__builtin_ctz(d);
    else if ((bit = log_mend_find(d, n)) == n * 8 || bit / 32 == at / 4)
        return false;
    log_mend_flip(b, bit);
    if (!log_format_check(p, n, magic))
        return true;
    log_mend_flip(b, bit);
    return false;
}

bool log_mend_batch(void *p, size_t avail, const struct log_expect *ex, size_t *ret_need)
{
    struct log_batch b;
    uint8_t *payload = (uint8_t *)p + sizeof b;
    ASSERT(avail >= LOG_BLOCK);
    bool head = log_mend_head(p, sizeof b, LOG_BATCH_MAGIC);
    int ret = log_format_batch_check(p, avail, ex, &b, ret_need);
    if (head && (!ret || ret == E_EOF))
        return true;
    if (log_format_batch_head(p, &b) || log_format_batch_size(&b) > avail)
        return false;
    uint32_t d = crc_update(0, payload, b.payload_len) ^ b.payload_crc;
    uint64_t bit = d ? log_mend_find(d, b.payload_len) : (uint64_t)b.payload_len * 8;
    if (bit == (uint64_t)b.payload_len * 8)
        return false;
    log_mend_flip(payload, bit);
    if (!log_format_batch_check(p, avail, ex, &b, ret_need))
        return true;
    log_mend_flip(payload, bit);
    return false;
}

bool log_mend_is_whole(const void *p, size_t avail)
{
    static const uint8_t zeros[LOG_MEND_SECTOR];
    struct log_batch b;
    if (log_format_batch_head(p, &b))
        return memcmp(p, zeros, sizeof zeros) != 0;
    uint64_t len = sizeof b + (uint64_t)b.payload_len;
    if (log_format_batch_size(&b) > avail)
        return false;
    for (uint64_t at = 0; at < len; at += LOG_MEND_SECTOR)
        if (!memcmp((const uint8_t *)p + at, zeros,
                    (size_t)base_min_u64(LOG_MEND_SECTOR, len - at)))
            return false;
    return true;
}
