/* tests/fuzz/fuzz_fsop.c - every decoder of core/fsop.h accepts any bytes; what it accepts encodes
 * to bytes that decode to the same. */
#include "core/fsop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t out[1 << 20];

static void fuzz_op(const uint8_t *data, size_t size)
{
    struct fsop op, again;
    struct rbuf r = rbuf_make(data, size);
    if (fsop_get(&r, &op))
        return;
    struct wbuf w = wbuf_make(out, sizeof out);
    fsop_put(&w, &op);
    if (w.bad)
        return;
    struct rbuf r2 = rbuf_make(out, w.len);
    ASSERT(fsop_get(&r2, &again) == 0);
    ASSERT(again.kind == op.kind && again.seq == op.seq && again.name_len == op.name_len);
    ASSERT(again.data_len == op.data_len && again.n_groups == op.n_groups);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct rbuf r = rbuf_make(data + 1, size - 1);
    struct fsop_reply rep;
    struct fsattr a;
    struct fsent e;
    struct fsop_dirent d;
    struct fsop_statfs s;
    struct fsop_mount_info m;
    switch (data[0] % 7) {
    case 0:
        fuzz_op(data + 1, size - 1);
        break;
    case 1:
        (void)fsop_reply_get(&r, &rep);
        break;
    case 2:
        (void)fsop_attr_get(&r, &a);
        break;
    case 3:
        while (!fsop_ent_get(&r, &e))
            ;
        break;
    case 4:
        while (!fsop_dirent_get(&r, &d))
            ;
        break;
    case 5:
        (void)fsop_statfs_get(&r, &s);
        break;
    case 6:
        while (!fsop_mount_get(&r, &m))
            ;
        break;
    }
    return 0;
}
