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
        if (h.len == 0 || n - at - sizeof h < h.len)
            return;
        crc = h.crc = log_format_piece_crc(&h, copy + at + sizeof h, crc);
        memcpy(copy + at, &h, sizeof h);
        at = base_align_up(at + sizeof h + h.len, 8);
        if (at > n)
            return;
    }
}

/* The first bytes are the beginning of block 0, the rest is what follows that block: most of a
 * block is zeros, and no fuzzer finds that. */
enum { FUZZ_HEAD = 160 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct backup b;
    struct backup_walk w;
    const uint8_t *bytes;
    uint32_t len;
    uint64_t sum = 0, head = base_min_u64(size, FUZZ_HEAD);
    uint64_t n = LOG_BLOCK + base_min_u64(size - head, sizeof copy - LOG_BLOCK);
    int ret;
    memset(copy, 0, LOG_BLOCK);
    memcpy(copy, data, head);
    memcpy(copy + LOG_BLOCK, data + head, n - LOG_BLOCK);
    bool is_right = size && data[0] & 1;
    log_format_seal(copy, LOG_BLOCK, BACKUP_MAGIC);
    if (!backup_head_get(copy, &b)) {
        struct raft_conf members = {.n = 1,
                                    .member = {{.id = {1}, .flags = RAFT_VOTER, .addr = "a:1"}}};
        const struct raft_conf *conf = b.conf.n ? &b.conf : &members;
        uint64_t era = backup_restore_era(&b, conf, 0, 1, 2);
        sum += b.conf.n + backup_restore_plan(&b, conf, era, true).cluster_hi;
    }
    if (is_right)
        put_right(n);
    ret = backup_walk_begin(&w, copy, n);
    while (!ret && (ret = backup_walk_next(&w, &bytes, &len)) == 1)
        for (ret = 0; len > 0; len--)
            sum += bytes[len - 1];
    return sum == UINT64_MAX;
}
