/* core/crc.h - CRC-32C (Castagnoli; RFC 3720 B.4): 0xe3069283 for "123456789". */
#ifndef CORE_CRC_H
#define CORE_CRC_H

#include "core/base.h"

/* crc of the bytes that gave `crc` followed by p[0..n); start with 0 */
uint32_t crc_update(uint32_t crc, const void *p, size_t n);

#endif
