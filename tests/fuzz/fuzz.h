/* tests/fuzz/fuzz.h - what fuzz targets share: memory from the C library. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdlib.h>
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void *fuzz_get(void *ctx, size_t n)
{
    (void)ctx;
    return aligned_alloc(64, base_align_up(n, 64));
}

static inline void fuzz_put(void *ctx, void *p, size_t n)
{
    (void)ctx;
    (void)n;
    free(p);
}

static inline void fuzz_mem(struct mem *m, uint64_t budget_bytes)
{
    mem_init(m, (struct mem_source){fuzz_get, fuzz_put, NULL}, budget_bytes);
}

#endif
