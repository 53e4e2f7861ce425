/* core/base.c - the panic path and the stable hash. */
#include "core/base.h"

void (*base_panic_hook)(const char *file, int line, const char *what);

void base_panic(const char *file, int line, const char *what)
{
    if (base_panic_hook)
        base_panic_hook(file, line, what);
    __builtin_trap();
}

uint64_t base_hash(const void *p, size_t n, uint64_t seed)
{
    const unsigned char *b = p;
    uint64_t h = base_mix_u64(seed ^ (n * 0x9e3779b97f4a7c15ULL));
    for (; n >= 8; n -= 8, b += 8)
        h = (base_mix_u64(h ^ base_get_u64(b)) + 0x9e3779b97f4a7c15ULL);
    if (n) {
        uint64_t tail = 0;
        memcpy(&tail, b, n);
        h ^= tail;
    }
    return base_mix_u64(h);
}
