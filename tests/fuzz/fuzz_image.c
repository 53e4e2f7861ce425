/* tests/fuzz/fuzz_image.c - a damaged state image is refused and leaves a machine that works.
 *
 * The input says where to flip, cut and duplicate in a good image (and, first byte odd, is itself
 * offered as an image), and in which pieces it is handed over. */
#include "core/meta.h"
#include "tests/fuzz/fuzz.h"

static uint8_t good[256 * 1024], bad[256 * 1024];
static uint32_t good_len;

static struct meta *fuzz_open(struct mem *mem)
{
    struct meta *m;
    struct meta_limits limits = {.inodes_max = 1000, .sessions_max = 3};
    fuzz_mem(mem, (uint64_t)64 << 20);
    int err = meta_open(mem, &limits, &m);
    ASSERT(err == 0);
    return m;
}

static void fuzz_make_good(void)
{
    struct mem mem;
    struct meta_result r;
    struct meta *m = fuzz_open(&mem);
    uint64_t index = 0;
    for (char c = 'a'; c <= 'z'; c++) {
        struct fsop op = {.kind = c % 2 ? FSOP_MKDIR : FSOP_SYMLINK,
                          .ino = INO_ROOT,
                          .name = &c,
                          .name_len = 1,
                          .data = "t",
                          .data_len = 1};
        meta_apply(m, ++index, &op, &r);
    }
    meta_image_begin(m);
    good_len = meta_image_next(m, good, sizeof good);
    ASSERT(good_len < sizeof good);
    meta_image_end(m);
    meta_close(m);
    mem_drop(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rbuf r = rbuf_make(data, size);
    struct mem mem;
    struct meta_result res;
    char text[128];
    if (!good_len)
        fuzz_make_good();
    uint8_t how = rbuf_u8(&r);
    uint32_t piece = 1 + rbuf_u16(&r), len = good_len;
    memcpy(bad, good, good_len);
    if (how & 1) {
        len = (uint32_t)base_min_u64(rbuf_left(&r), sizeof bad);
        if (len)
            memcpy(bad, rbuf_bytes(&r, len), len);
    } else {
        for (int i = how >> 6; i > 0; i--)
            bad[rbuf_u32(&r) % good_len] ^= rbuf_u8(&r);
        if (how & 2)
            len = rbuf_u32(&r) % good_len;
    }
    struct meta *m = fuzz_open(&mem);
    int err = 0;
    for (uint32_t at = 0; at < len && !err; at += piece)
        err = meta_image_load(m, bad + at, (uint32_t)base_min_u64(piece, len - at));
    if (!err)
        err = meta_image_load(m, bad, 0);
    ASSERT((err == 0) == (len == good_len && !memcmp(bad, good, len)));
    bool ok = meta_check(m, text, sizeof text);
    ASSERT(ok);
    struct fsop op = {.kind = FSOP_MKDIR, .ino = INO_ROOT, .name = "new", .name_len = 3};
    meta_apply(m, meta_applied(m) + 1, &op, &res);
    ASSERT(res.reply.err == 0);
    meta_close(m);
    mem_drop(&mem);
    return 0;
}
