/* core/base.h - what every file may take for granted: assertions, containers, ids, byte order.
 *
 * ASSERT is for bugs in this program and stays on in release builds.  Bytes from the wire, the
 * disk, a config file or a user are checked and answered with an E_* code, never asserted. */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <assert.h>

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK                      __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_at, args_at)    __attribute__((format(printf, fmt_at, args_at)))
#define UNUSED                          __attribute__((unused))

#define ASSERT(cond)                               \
    do {                                           \
        if (__builtin_expect(!(cond), 0))          \
            base_panic(__FILE__, __LINE__, #cond); \
    } while (0)

/* Reports a bug and ends the process.  The composition root may set base_panic_hook to print the
 * place (core itself has no stderr); the hook may also longjmp out, as the fuzzers do not. */
__attribute__((noreturn)) void base_panic(const char *file, int line, const char *what);
extern void (*base_panic_hook)(const char *file, int line, const char *what);

/* Ids are structs so that one kind cannot pass for another. */
struct ino { /* a file, directory or link: (generation << 32 | slot); never reused; 0 is none */
    uint64_t v;
};
struct session_id { /* a client's session: index of the record that opened it; 0 is none */
    uint64_t v;
};
struct worker_id { /* chosen at random when a worker's directory is formatted; 0 is none */
    uint64_t v;
};

#define INO_ROOT ((struct ino){1})

static inline int64_t base_min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t base_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t base_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* x rounded up to a multiple of a power of two */
static inline uint64_t base_align_up(uint64_t x, uint64_t pow2)
{
    return (x + pow2 - 1) & ~(pow2 - 1);
}

/* Stored and sent integers are little-endian; memcpy keeps unaligned access legal. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats assume a little-endian machine");

static inline uint16_t base_get_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t base_get_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t base_get_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void base_put_u16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void base_put_u32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void base_put_u64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

/* A full-avalanche mix of 64 bits (the finalizer of MurmurHash3); for hash tables and placement. */
static inline uint64_t base_mix_u64(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;
    return x;
}

/* A seeded 64-bit hash of n bytes.  Stable: it is part of stored formats. */
uint64_t base_hash(const void *p, size_t n, uint64_t seed);

#endif
