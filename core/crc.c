/* core/crc.c - CRC-32C by the CPU's instruction where it has one, by table elsewhere.
 *
 * The instruction takes three cycles and one may begin each cycle, so a large block is cut into
 * rounds of three equal parts whose chains run side by side.  A part's sum is then moved over the
 * bytes that follow it: times x^(8n) modulo the polynomial.  The carry-less product with a constant
 * and one more step of the instruction, which itself multiplies by x^33 here, do that; hence the
 * constants are x^(8n-33), in the reflected order of bits.  Three parts of 1360 bytes and 16 more
 * are 4 KiB. */
#include "core/crc.h"

#if defined(__x86_64__)
enum { CRC_PART = 1360 };
static const uint32_t CRC_OVER_ONE = 0x3f70cc6f, CRC_OVER_TWO = 0x5aa1f3cf;

typedef long long crc_pair __attribute__((vector_size(16)));

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_move(uint32_t crc, uint32_t over)
{
    crc_pair a = {crc, 0}, b = {over, 0};
    crc_pair product = __builtin_ia32_pclmulqdq128(a, b, 0);
    return (uint32_t)__builtin_ia32_crc32di(0, (uint64_t)product[0]);
}

/* whole rounds only; ret: bytes done */
__attribute__((target("sse4.2,pclmul"))) static size_t crc_three(uint32_t *crc, const uint8_t *b,
                                                                 size_t n)
{
    size_t done = 0;
    for (; n - done >= 3 * CRC_PART; done += 3 * CRC_PART) {
        const uint8_t *p = b + done;
        uint64_t c0 = *crc, c1 = 0, c2 = 0;
        for (size_t i = 0; i < CRC_PART; i += 8) {
            c0 = __builtin_ia32_crc32di(c0, base_get_u64(p + i));
            c1 = __builtin_ia32_crc32di(c1, base_get_u64(p + CRC_PART + i));
            c2 = __builtin_ia32_crc32di(c2, base_get_u64(p + 2 * CRC_PART + i));
        }
        *crc = crc_move((uint32_t)c0, CRC_OVER_TWO) ^ crc_move((uint32_t)c1, CRC_OVER_ONE) ^
               (uint32_t)c2;
    }
    return done;
}

__attribute__((target("sse4.2"))) static uint32_t crc_hw(uint32_t crc, const uint8_t *b, size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; n -= 8, b += 8)
        c = __builtin_ia32_crc32di(c, base_get_u64(b));
    uint32_t c32 = (uint32_t)c;
    for (; n; n--, b++)
        c32 = __builtin_ia32_crc32qi(c32, *b);
    return c32;
}
#endif

static uint32_t crc_soft(uint32_t crc, const uint8_t *b, size_t n)
{
    /* one nibble at a time: 16 constants instead of a table that someone must initialise */
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; n; n--, b++) {
        crc ^= *b;
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return crc;
}

uint32_t crc_update(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        const uint8_t *b = p;
        uint32_t c = ~crc;
        if (n >= 3 * CRC_PART && __builtin_cpu_supports("pclmul")) {
            size_t done = crc_three(&c, p, n);
            b += done, n -= done; /* never of NULL, which an empty piece may be */
        }
        return ~crc_hw(c, b, n);
    }
#endif
    return ~crc_soft(~crc, p, n);
}
