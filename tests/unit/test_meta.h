/* tests/unit/test_meta.h - a metadata machine under test: records in, answers out. */
#ifndef TESTS_UNIT_TEST_META_H
#define TESTS_UNIT_TEST_META_H

#include "core/meta.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

struct kit {
    struct mem mem;
    struct meta *m;
    uint64_t index;
    struct meta_result r;
    uint8_t buf[128 * 1024]; /* of queries */
    struct fsop_reply q;
};

static inline void kit_open(struct kit *k, uint64_t inodes_max)
{
    memset(k, 0, sizeof *k);
    unit_mem(&k->mem, (uint64_t)4 << 30);
    struct meta_limits limits = {.inodes_max = inodes_max, .sessions_max = 16};
    int err = meta_open(&k->mem, &limits, &k->m);
    CU_ASSERT_EQUAL_FATAL(err, 0);
}

static inline void kit_check(struct kit *k)
{
    char text[256];
    bool ok = meta_check(k->m, text, sizeof text);
    if (!ok)
        fprintf(stderr, "meta_check at %llu: %s\n", (unsigned long long)k->index, text);
    CU_ASSERT_FATAL(ok);
}

static inline void kit_close(struct kit *k)
{
    kit_check(k);
    meta_close(k->m);
    mem_drop(&k->mem);
}

/* applies and returns the answer's error */
static inline int kit_apply(struct kit *k, struct fsop op)
{
    if (!op.time_ns)
        op.time_ns = (int64_t)(k->index + 1) * 1000;
    meta_apply(k->m, ++k->index, &op, &k->r);
    return k->r.reply.err;
}

static inline int kit_query(struct kit *k, struct fsop op)
{
    meta_query(k->m, &op, k->buf, sizeof k->buf, &k->q);
    return k->q.err;
}

#define NAME(s)  .name = (s), .name_len = (uint32_t)strlen(s)
#define NAME2(s) .name2 = (s), .name2_len = (uint32_t)strlen(s)
#define DATA(s)  .data = (s), .data_len = (uint32_t)strlen(s)

static inline struct ino kit_make(struct kit *k, uint16_t kind, struct ino dir, const char *name)
{
    int err = kit_apply(k, (struct fsop){.kind = kind, .ino = dir, NAME(name), .mode = 0755});
    CU_ASSERT_EQUAL(err, 0);
    return k->r.reply.attr.ino;
}

/* number of a name, 0 when the lookup fails */
static inline struct ino kit_find(struct kit *k, struct ino dir, const char *name)
{
    if (kit_query(k, (struct fsop){.kind = FSOP_LOOKUP, .ino = dir, NAME(name)}))
        return (struct ino){0};
    return k->q.attr.ino;
}

static inline struct fsattr kit_attr(struct kit *k, struct ino ino)
{
    (void)kit_query(k, (struct fsop){.kind = FSOP_GETATTR, .ino = ino});
    return k->q.attr;
}

static inline struct session_id kit_session(struct kit *k)
{
    CU_ASSERT_EQUAL(kit_apply(k, (struct fsop){.kind = FSOP_SESSION_OPEN, NAME("test")}), 0);
    return (struct session_id){k->r.reply.value};
}

/* cuts an image and loads it into another machine, in pieces of the given sizes */
static inline int kit_copy(struct kit *from, struct kit *to, uint32_t piece)
{
    static uint8_t b[70000];
    uint32_t n;
    int err = 0;
    meta_image_begin(from->m);
    while (err == 0 && (n = meta_image_next(from->m, b, piece)))
        err = meta_image_load(to->m, b, n);
    meta_image_end(from->m);
    to->index = from->index;
    return err ? err : meta_image_load(to->m, b, 0);
}

#endif
