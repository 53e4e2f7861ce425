/* sim/lab_zk_digest.c - the scheme "digest" of ZooKeeper: SHA-1 (FIPS 180-4) in base64.  Nothing
 * is safe because of it; it is what servers compare. */
#include "sim/lab_zk.h"

struct sha1 {
    uint32_t h[5];
    uint8_t block[64];
    uint64_t n;
};

static uint32_t rol(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static void sha1_block(struct sha1 *s)
{
    uint32_t w[80], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4];
    for (unsigned i = 0; i < 16; i++)
        w[i] = __builtin_bswap32(base_get_u32(s->block + (size_t)i * 4));
    for (unsigned i = 16; i < 80; i++)
        w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else
            f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t t = rol(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = t;
    }
    s->h[0] += a;
    s->h[1] += b;
    s->h[2] += c;
    s->h[3] += d;
    s->h[4] += e;
}

static void sha1_byte(struct sha1 *s, uint8_t v)
{
    s->block[s->n++ % 64] = v;
    if (s->n % 64 == 0)
        sha1_block(s);
}

static void sha1_of(const void *p, uint32_t n, uint8_t ret[20])
{
    struct sha1 s = {{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, {0}, 0};
    for (uint32_t i = 0; i < n; i++)
        sha1_byte(&s, ((const uint8_t *)p)[i]);
    sha1_byte(&s, 0x80);
    while (s.n % 64 != 56)
        sha1_byte(&s, 0);
    for (unsigned i = 0; i < 8; i++)
        sha1_byte(&s, (uint8_t)((uint64_t)n * 8 >> (56 - 8 * i)));
    for (unsigned i = 0; i < 5; i++)
        base_put_u32(ret + (size_t)i * 4, __builtin_bswap32(s.h[i]));
}

bool lab_zk_digest(const char *text, uint32_t len, char *ret, size_t cap)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *colon = len ? memchr(text, ':', len) : NULL;
    uint8_t sum[21] = {0};
    if (!colon || (size_t)(colon - text) + 1 + 28 + 1 > cap)
        return false;
    sha1_of(text, len, sum);
    char *to = ret + (colon - text) + 1;
    memcpy(ret, text, (size_t)(colon - text) + 1);
    for (unsigned i = 0; i < 28; i++) { /* 160 bits are 26 digits and 4 bits */
        unsigned bit = i * 6, at = bit / 8;
        unsigned pair = (unsigned)sum[at] << 8 | (at + 1 < sizeof sum ? sum[at + 1] : 0);
        to[i] = bit < 160 ? digits[pair >> (10 - bit % 8) & 63] : '=';
    }
    to[28] = 0;
    return true;
}
