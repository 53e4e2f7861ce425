/* tests/fuzz/fuzz_rpc_format.c - any bytes into every get of rpc_format; lists are walked to their
 * end.  The first byte picks the body, so that the fuzzer can go deep into each. */
#include "cluster/rpc_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum;

static void fuzz_text(const char *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum += (unsigned char)s[i];
}

static void fuzz_beats(struct rbuf *r, unsigned pick)
{
    struct rpc_beat b;
    struct rpc_beat_reply br;
    struct rpc_worker_info wi;
    struct rpc_worker_beat wb;
    struct rpc_page_delta d;
    struct rpc_worker_beat_reply wr;
    struct rpc_mount_item mi;
    if (pick == 0)
        (void)rpc_format_beat_get(r, &b);
    if (pick == 1 && !rpc_format_beat_reply_get(r, &br))
        for (uint32_t i = 0; i < br.n_workers && !rpc_format_worker_info_get(&br.items, &wi); i++) {
            fuzz_text(wi.addr, wi.addr_len);
            fuzz_text(wi.host, wi.host_len);
        }
    if (pick == 2 && !rpc_format_worker_beat_get(r, &wb)) {
        fuzz_text(wb.addr, wb.addr_len);
        fuzz_text(wb.host, wb.host_len);
        for (uint32_t i = 0; i < wb.n_deltas && !rpc_format_delta_get(&wb.items, &d); i++)
            sum += d.bytes;
    }
    if (pick == 3 && !rpc_format_worker_beat_reply_get(r, &wr))
        for (uint32_t i = 0; i < wr.n_mounts && !rpc_format_mount_get(&wr.items, &mi); i++)
            fuzz_text(mi.uri, mi.uri_len);
    const char *addr;
    uint32_t len;
    while (pick == 3 && rbuf_left(r) && !rpc_format_addr_get(r, &addr, &len))
        fuzz_text(addr, len);
}

static void fuzz_rest(struct rbuf *r, unsigned pick)
{
    struct rpc_admin a;
    struct rpc_file f;
    struct rpc_location l;
    struct rpc_location_item li;
    struct rpc_inval v;
    struct rpc_inos in;
    struct rpc_io io;
    struct rpc_io_reply ir;
    struct rpc_alloc alloc;
    struct rpc_free fr;
    struct rpc_local lo;
    struct rpc_local_reply lr;
    struct rpc_change ch;
    struct rpc_backup ba;
    if (pick == 4 && !rpc_format_admin_get(r, &a))
        fuzz_text(a.path, a.path_len);
    if (pick == 5)
        (void)rpc_format_file_get(r, &f);
    if (pick == 6 && !rpc_format_location_get(r, &l))
        for (uint32_t i = 0; i < l.n && !rpc_format_location_item_get(&l.items, &li); i++)
            sum += li.pages;
    while (pick == 7 && rbuf_left(r) && !rpc_format_inval_get(r, &v))
        fuzz_text(v.name, v.name_len);
    if (pick == 8 && !rpc_format_inos_get(r, &in))
        for (uint32_t i = 0; i < in.n; i++)
            sum += rbuf_u64(&in.items);
    if (pick == 9 && !rpc_format_io_get(r, &io))
        fuzz_text(io.path, io.path_len);
    if (pick == 10 && !rpc_format_io_reply_get(r, &ir) && !rpc_format_alloc_get(r, &alloc))
        sum += alloc.len;
    while (pick == 11 && rbuf_left(r) && !rpc_format_free_get(r, &fr))
        sum += fr.below;
    if (pick == 12 && !rpc_format_local_get(r, &lo))
        fuzz_text(lo.host, lo.host_len);
    if (pick == 13 && !rpc_format_local_reply_get(r, &lr))
        fuzz_text(lr.address, lr.address_len);
    if (pick == 14 && !rpc_format_change_get(r, &ch))
        fuzz_text(ch.addr, ch.addr_len);
    if (pick == 15 && !rpc_format_backup_get(r, &ba))
        sum += ba.offset;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct rbuf r = rbuf_make(data + 1, size - 1);
    if (data[0] % 16 < 4)
        fuzz_beats(&r, data[0] % 16);
    else
        fuzz_rest(&r, data[0] % 16);
    return 0;
}
