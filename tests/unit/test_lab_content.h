/* tests/unit/test_lab_content.h - bytes of a past state of a model's file, copied. */
#ifndef TESTS_UNIT_TEST_LAB_CONTENT_H
#define TESTS_UNIT_TEST_LAB_CONTENT_H

#include "sim/lab_ufs_impl.h"

static uint32_t content(const struct lab_ufs *u, uint64_t ino, uint32_t k, uint64_t off,
                        uint8_t *to, uint32_t len)
{
    uint32_t n;
    const uint8_t *p = lab_ufs_content(u, ino, k, off, to, len, &n);
    if (p != to)
        memcpy(to, p, n);
    return n;
}

#endif
