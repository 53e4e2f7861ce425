/* tests/fuzz/fuzz_backup.c - any bytes as the head of a backup, and as an image that is walked. */
#include "journal/backup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t copy[1 << 20];

/* what cannot be guessed, checksums, is put right: a head's, and those of the first pieces */
static void put_right(uint64_t n)
{
    uint32_t crc;
    uint64_t at = LOG_BLOCK;
    log_format_seal(copy, LOG_BLOCK, LOG_IMAGE_MAGIC);
    memcpy(&crc, copy + offsetof(struct log_image, crc), sizeof crc);
    for (uint32_t k = 0; k < 16 && n - at >= sizeof(struct log_piece); k++) {
        struct log_piece h;
        memcpy(&h, copy + at, sizeof h);
        h.len %= 4096;
        h.number = k;
        h.kind = h.kind & 1 ? LOG_PIECE_DATA : LOG_PIECE_END;
        if (n - at - sizeof h < h.len)
            return;
        crc = h.crc = log_format_piece_crc(&h, copy + at + sizeof h, crc);
        memcpy(copy + at, &h, sizeof h);
        at = base_align_up(at + sizeof h + h.len, 8);
        if (at > n)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct backup b;
    struct backup_walk w;
    const uint8_t *bytes;
    uint32_t len;
    uint64_t sum = 0, n = size < sizeof copy ? size : sizeof copy;
    int ret;
    if (size < LOG_BLOCK)
        return 0;
    memcpy(copy, data, n);
    log_format_seal(copy, LOG_BLOCK, BACKUP_MAGIC);
    if (!backup_head_get(copy, &b))
        sum += b.conf.n;
    if (data[0] & 1)
        put_right(n);
    ret = backup_walk_begin(&w, copy, n);
    while (!ret && (ret = backup_walk_next(&w, &bytes, &len)) == 1)
        for (ret = 0; len > 0; len--)
            sum += bytes[len - 1];
    return sum == UINT64_MAX;
}
