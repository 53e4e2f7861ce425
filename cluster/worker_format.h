/* cluster/worker_format.h - what a worker keeps on disk, version 1.
 *
 *   worker                          identity of the directory
 *   <shard>/<ino>-<version>.data    the pages of one version of a file, each at its own place
 * (sparse) <shard>/<ino>-<version>.map     which of them are there, and the checksums of their
 * blocks
 *
 * All integers little-endian.  Identity, 64 bytes: u64 magic, u16 version, u16 0, u32 page bytes
 * (0: not told by a master yet), u64 worker id, zeros, u32 crc of the 60 bytes before it.
 *
 * Map: a head of 64 bytes (u64 magic, u16 version, u16 0, u32 page bytes, u32 block bytes, u32 0,
 * u64 ino, u64 file version, u64 file size, zeros, u32 crc), then one record per page of the file,
 * each of worker_format_rec_bytes(): u32 crc of ino, version and the rest of the record, u32 page
 * number, u32 state (1: there), u32 bytes in the page, u32 crc[blocks].  A record of zeros: absent.
 *
 * A record is written after its page, neither is synced: after a power loss the two may disagree,
 * and then the checksums say so when the page is read. */
#ifndef CLUSTER_WORKER_FORMAT_H
#define CLUSTER_WORKER_FORMAT_H

#include "core/cache.h"
#include "core/limits.h"

enum {
    WORKER_FORMAT_HEAD = 64,
    WORKER_FORMAT_ID = 64,
    WORKER_FORMAT_BLOCK = 16 * 1024,
    WORKER_FORMAT_REC_FIXED = 16,
    WORKER_FORMAT_REC_MAX = WORKER_FORMAT_REC_FIXED + 4 * (LIMIT_PAGE_MAX / WORKER_FORMAT_BLOCK),
    WORKER_FORMAT_NAME = 64, /* most bytes of a name below the directory, NUL included */
};

struct worker_format_head {
    struct ino ino;
    uint64_t version, file_size;
    uint32_t page_bytes;
};

struct worker_format_id {
    struct worker_id id;
    uint32_t page_bytes;
};

static inline uint32_t worker_format_blocks(uint32_t bytes)
{
    return (bytes + WORKER_FORMAT_BLOCK - 1) / WORKER_FORMAT_BLOCK;
}

static inline uint32_t worker_format_rec_bytes(uint32_t page_bytes)
{
    return WORKER_FORMAT_REC_FIXED + 4 * worker_format_blocks(page_bytes);
}

/* bytes that a page of a file has; 0 past its end */
uint32_t worker_format_page_len(uint64_t file_size, uint32_t page_bytes, uint32_t page);
bool worker_format_page_bytes_ok(uint64_t page_bytes);

void worker_format_id_put(uint8_t to[WORKER_FORMAT_ID], const struct worker_format_id *id);
/* E_CORRUPT, E_VERSION */
int worker_format_id_get(const void *from, size_t len, struct worker_format_id *ret_id);
void worker_format_head_put(uint8_t to[WORKER_FORMAT_HEAD], const struct worker_format_head *h);
int worker_format_head_get(const void *from, size_t len, struct worker_format_head *ret_h);
/* crc: one of each block of the page */
void worker_format_rec_put(uint8_t *to, const struct worker_format_head *h, uint32_t page,
                           uint32_t len, const uint32_t *crc);
/* ret: the page's bytes, 0 when it is absent, E_CORRUPT; *ret_crc points into the record */
int64_t worker_format_rec_get(const uint8_t *from, const struct worker_format_head *h,
                              uint32_t page, const uint8_t **ret_crc);

enum worker_format_kind { WORKER_FORMAT_NONE, WORKER_FORMAT_DATA, WORKER_FORMAT_MAP };

/* "<shard>/<ino>-<version>.data" behind a prefix that is "" or ends in '/' */
void worker_format_name(char *to, size_t cap, const char *prefix, struct ino ino, uint64_t version,
                        enum worker_format_kind kind);
uint32_t worker_format_shard(struct ino ino);
/* a name within a shard; NONE for anything else */
enum worker_format_kind worker_format_parse(const char *name, struct ino *ret_ino,
                                            uint64_t *ret_version);

#endif
