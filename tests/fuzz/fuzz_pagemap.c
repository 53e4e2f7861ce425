/* tests/fuzz/fuzz_pagemap.c - identity, head and records of a worker's cache directory, and names.
 *
 * Whatever decodes must have the values that the encoder would write again. */
#include "cluster/worker_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_records(const struct worker_format_head *h, const uint8_t *data, size_t size)
{
    static uint8_t rec[WORKER_FORMAT_REC_MAX], again[WORKER_FORMAT_REC_MAX];
    static uint32_t crc[LIMIT_PAGE_MAX / WORKER_FORMAT_BLOCK];
    uint32_t n = worker_format_rec_bytes(h->page_bytes);
    for (uint32_t page = 0; page < 4; page++) {
        memset(rec, 0, n);
        memcpy(rec, data, size < n ? size : n);
        const uint8_t *at;
        int64_t len = worker_format_rec_get(rec, h, page, &at);
        ASSERT(len == E_CORRUPT || (len >= 0 && len <= h->page_bytes));
        if (len > 0) {
            memcpy(crc, at, 4 * (size_t)worker_format_blocks((uint32_t)len));
            worker_format_rec_put(again, h, page, (uint32_t)len, crc);
            ASSERT(base_get_u32(again + 12) == base_get_u32(rec + 12));
        }
        /* a good record is accepted, and refused with any bit of it flipped */
        uint32_t want = worker_format_page_len(h->file_size, h->page_bytes, page);
        if (!want || !size)
            continue;
        for (uint32_t i = 0; i < worker_format_blocks(want); i++)
            crc[i] = data[i % size] * 0x01010101u;
        worker_format_rec_put(rec, h, page, want, crc);
        ASSERT(worker_format_rec_get(rec, h, page, &at) == want);
        rec[data[0] % n] ^= (uint8_t)(1u << (data[size - 1] % 8));
        ASSERT(worker_format_rec_get(rec, h, page, &at) == E_CORRUPT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct worker_format_id id;
    struct worker_format_head h;
    uint8_t fixed[WORKER_FORMAT_HEAD];
    if (worker_format_id_get(data, size, &id) == 0)
        ASSERT(id.id.v && (!id.page_bytes || worker_format_page_bytes_ok(id.page_bytes)));
    if (worker_format_head_get(data, size, &h) == 0)
        try_records(&h, data + WORKER_FORMAT_HEAD, size - WORKER_FORMAT_HEAD);
    if (size >= 26) {
        h = (struct worker_format_head){{base_get_u64(data)},
                                        base_get_u64(data + 8),
                                        base_get_u64(data + 16),
                                        (uint32_t)LIMIT_PAGE_MIN << (data[24] % 9)};
        if (data[25] & 1)
            h.file_size %= 5ull * h.page_bytes;
        struct worker_format_head got;
        worker_format_head_put(fixed, &h);
        ASSERT(worker_format_head_get(fixed, sizeof fixed, &got) == 0 && got.ino.v == h.ino.v &&
               got.file_size == h.file_size && got.page_bytes == h.page_bytes);
        try_records(&h, data + 26, size - 26);
    }
    char name[64];
    size_t n = size < sizeof name - 1 ? size : sizeof name - 1;
    memcpy(name, data, n);
    name[n] = 0;
    struct ino ino;
    uint64_t version;
    worker_format_parse(name, &ino, &version);
    worker_format_name(name, sizeof name, "", (struct ino){size}, n, WORKER_FORMAT_MAP);
    ASSERT(worker_format_parse(name + 3, &ino, &version) == WORKER_FORMAT_MAP && ino.v == size &&
           version == n);
    return 0;
}
