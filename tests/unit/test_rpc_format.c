/* tests/unit/test_rpc_format.c - bodies of calls: round trips, short bytes, lying counts. */
#include "cluster/rpc_format.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

static uint8_t bytes[4096];

static void test_rpc_format_beats_round_trip(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    struct rpc_beat b = {.session = {7}, .workers_seen = 9}, b2;
    struct rpc_beat_reply br = {.epoch = 3, .lease_ns = 5, .page_bytes = 1 << 20, .n_workers = 2};
    struct rpc_beat_reply br2;
    struct rpc_worker_info i = {{11}, 1, "h:1", "here", 3, 4}, i2;
    rpc_format_beat_put(&w, &b);
    rpc_format_beat_reply_put(&w, &br);
    rpc_format_worker_info_put(&w, &i);
    i.id.v = 12;
    rpc_format_worker_info_put(&w, &i);
    CU_ASSERT_FALSE(w.bad);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_beat_get(&r, &b2), 0);
    CU_ASSERT_EQUAL(b2.session.v, 7);
    CU_ASSERT_EQUAL(b2.workers_seen, 9);
    CU_ASSERT_EQUAL(rpc_format_beat_reply_get(&r, &br2), 0);
    CU_ASSERT_EQUAL(br2.epoch, 3);
    CU_ASSERT_EQUAL(br2.lease_ns, 5);
    CU_ASSERT_EQUAL(br2.page_bytes, 1 << 20);
    CU_ASSERT_EQUAL(br2.n_workers, 2);
    for (unsigned k = 0; k < 2; k++) {
        CU_ASSERT_EQUAL(rpc_format_worker_info_get(&br2.items, &i2), 0);
        CU_ASSERT_EQUAL(i2.id.v, 11 + k);
        CU_ASSERT_EQUAL(i2.alive, 1);
        CU_ASSERT_EQUAL(i2.addr_len, 3);
        CU_ASSERT_NSTRING_EQUAL(i2.addr, "h:1", 3);
        CU_ASSERT_NSTRING_EQUAL(i2.host, "here", 4);
    }
    CU_ASSERT_EQUAL(rbuf_left(&br2.items), 0);
}

static void test_rpc_format_worker_beat_round_trip(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    struct rpc_worker_beat b = {.id = {1},
                                .incarnation = 2,
                                .flags = RPC_BEAT_FULL_BEGIN,
                                .addr = "a:2",
                                .addr_len = 3,
                                .capacity = 4,
                                .used = 5,
                                .page_bytes = 6,
                                .reads = 7,
                                .hits = 8,
                                .misses = 9,
                                .bytes_served = 10,
                                .ufs_bytes = 11,
                                .ufs_reads = 12,
                                .evictions = 13,
                                .corrupt = 14,
                                .errors = 15,
                                .handed_out = 16,
                                .held_bytes = 17,
                                .n_deltas = 1};
    struct rpc_worker_beat b2;
    struct rpc_page_delta d = {{20}, 21, 22, 23}, d2;
    rpc_format_worker_beat_put(&w, &b);
    rpc_format_delta_put(&w, &d);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_worker_beat_get(&r, &b2), 0);
    CU_ASSERT_EQUAL(b2.id.v, 1);
    CU_ASSERT_EQUAL(b2.incarnation, 2);
    CU_ASSERT_EQUAL(b2.flags, RPC_BEAT_FULL_BEGIN);
    CU_ASSERT_PTR_NULL(b2.host);
    CU_ASSERT_EQUAL(b2.capacity + b2.used + b2.page_bytes, 15);
    CU_ASSERT_EQUAL(b2.reads + b2.hits + b2.misses + b2.bytes_served, 34);
    CU_ASSERT_EQUAL(b2.ufs_bytes + b2.ufs_reads + b2.evictions + b2.corrupt + b2.errors, 65);
    CU_ASSERT_EQUAL(b2.handed_out + b2.held_bytes, 33);
    CU_ASSERT_EQUAL(rpc_format_delta_get(&b2.items, &d2), 0);
    CU_ASSERT_EQUAL(d2.ino.v + d2.version + d2.pages + d2.bytes, 86);
}

static void test_rpc_format_io_round_trip(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    struct rpc_io io = {.ino = {1},
                        .version = 2,
                        .size = 3,
                        .fp = 4,
                        .mount = 5,
                        .flags = RPC_IO_LIVE,
                        .off = 7,
                        .len = 8,
                        .key = {9, 10},
                        .key_off = 11,
                        .valid_ms = 12,
                        .path = "d/f",
                        .path_len = 3};
    struct rpc_io io2;
    struct rpc_io_reply rep = {1, 1, 1ULL << 40}, rep2;
    struct rpc_alloc alloc = {(uint64_t)1 << 40 | 5, 3}, alloc2;
    rpc_format_io_put(&w, &io);
    rpc_format_io_reply_put(&w, &rep);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_io_get(&r, &io2), 0);
    CU_ASSERT_EQUAL(rpc_format_io_reply_get(&r, &rep2), 0);
    CU_ASSERT_EQUAL(io2.ino.v + io2.version + io2.size + io2.fp + io2.mount + io2.flags, 16);
    CU_ASSERT_EQUAL(io2.off + io2.len + io2.key.token + io2.key.len + io2.key_off, 45);
    CU_ASSERT_EQUAL(io2.valid_ms, 12);
    CU_ASSERT_NSTRING_EQUAL(io2.path, "d/f", 3);
    CU_ASSERT_EQUAL(rep2.bytes + rep2.hit + rep2.kernel, 2 + (1ULL << 40));
    w = wbuf_make(bytes, sizeof bytes);
    rpc_format_alloc_put(&w, &alloc);
    CU_ASSERT_EQUAL(w.len, RPC_ALLOC_BYTES);
    r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_alloc_get(&r, &alloc2), 0);
    CU_ASSERT(alloc2.len == alloc.len && alloc2.how == alloc.how);
    r = rbuf_make(bytes, w.len - 1);
    CU_ASSERT_EQUAL(rpc_format_alloc_get(&r, &alloc2), E_PROTO);
}

static void test_rpc_format_small_bodies_round_trip(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    struct rpc_admin a = {RPC_ADMIN_FREE, "/x", 2}, a2;
    struct rpc_file f = {{3}, 4}, f2;
    struct rpc_inval v = {RPC_INVAL_ENTRY, {5}, "n", 1}, v2;
    struct rpc_free fr = {{6}, UINT64_MAX}, fr2;
    struct rpc_mount_item mi = {1, 2, "dir:/", 5}, mi2;
    struct rpc_local lo = {RPC_LOCAL_HOLD, {7}, 8, 9, 10, "here", 4}, lo2;
    struct rpc_local_reply lr = {"@a", 2}, lr2;
    rpc_format_admin_put(&w, &a);
    rpc_format_file_put(&w, &f);
    rpc_format_inval_put(&w, &v);
    rpc_format_free_put(&w, &fr);
    rpc_format_mount_put(&w, &mi);
    rpc_format_local_put(&w, &lo);
    rpc_format_local_reply_put(&w, &lr);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT(!rpc_format_admin_get(&r, &a2) && !rpc_format_file_get(&r, &f2));
    CU_ASSERT(!rpc_format_inval_get(&r, &v2) && !rpc_format_free_get(&r, &fr2));
    CU_ASSERT(!rpc_format_mount_get(&r, &mi2));
    CU_ASSERT(!rpc_format_local_get(&r, &lo2) && !rpc_format_local_reply_get(&r, &lr2));
    CU_ASSERT(lo2.kind == RPC_LOCAL_HOLD && lo2.ino.v == 7 && lo2.version == 8);
    CU_ASSERT(lo2.size == 9 && lo2.token == 10 && lo2.host_len == 4);
    CU_ASSERT(lr2.address_len == 2 && !memcmp(lr2.address, "@a", 2));
    CU_ASSERT(a2.kind == RPC_ADMIN_FREE && a2.path_len == 2 && !memcmp(a2.path, "/x", 2));
    CU_ASSERT(f2.ino.v == 3 && f2.version == 4);
    CU_ASSERT(v2.kind == RPC_INVAL_ENTRY && v2.ino.v == 5 && v2.name_len == 1);
    CU_ASSERT(fr2.ino.v == 6 && fr2.below == UINT64_MAX);
    CU_ASSERT(mi2.number == 1 && mi2.mode == 2 && mi2.uri_len == 5);
}

static void test_rpc_format_short_bytes_are_proto(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    struct rpc_io io = {.path = "abc", .path_len = 3}, io2;
    rpc_format_io_put(&w, &io);
    for (size_t n = 0; n < w.len; n++) {
        struct rbuf r = rbuf_make(bytes, n);
        CU_ASSERT_EQUAL(rpc_format_io_get(&r, &io2), E_PROTO);
    }
    w.len = 0;
    struct rpc_worker_beat b = {.id = {1}}, b2;
    rpc_format_worker_beat_put(&w, &b);
    for (size_t n = 0; n < w.len; n++) {
        struct rbuf r = rbuf_make(bytes, n);
        CU_ASSERT_EQUAL(rpc_format_worker_beat_get(&r, &b2), E_PROTO);
    }
}

static void test_rpc_format_lying_count_is_proto(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    rpc_format_inos_put(&w, 3);
    wbuf_u64(&w, 1);
    wbuf_u64(&w, 2);
    struct rpc_inos i;
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_inos_get(&r, &i), E_PROTO);
    CU_ASSERT_EQUAL(rbuf_left(&i.items), 0);
    wbuf_u64(&w, 3);
    r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_inos_get(&r, &i), 0);
    CU_ASSERT_EQUAL(i.n, 3);
    struct rpc_location l = {.n = UINT32_MAX}, l2;
    w.len = 0;
    rpc_format_location_put(&w, &l);
    r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_location_get(&r, &l2), E_PROTO);
}

static void test_rpc_format_change(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    struct rpc_change c = {RPC_CHANGE_REPLACE, 2, 4, 255, 1ULL << 40, "h:77", 4}, c2;
    rpc_format_change_put(&w, &c);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_change_get(&r, &c2), 0);
    CU_ASSERT(c2.verb == RPC_CHANGE_REPLACE && c2.id == 2 && c2.new_id == 4 && c2.priority == 255);
    CU_ASSERT(c2.timeout_ns == 1ULL << 40 && c2.addr_len == 4 && !memcmp(c2.addr, "h:77", 4));
    for (size_t n = 0; n < w.len; n++) {
        r = rbuf_make(bytes, n);
        CU_ASSERT_EQUAL(rpc_format_change_get(&r, &c2), E_PROTO);
    }
    bytes[0] = RPC_CHANGE_ELECT + 1;
    r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_change_get(&r, &c2), E_PROTO);
    bytes[0] = 0;
    bytes[13] = 1; /* priority 511 */
    r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(rpc_format_change_get(&r, &c2), E_PROTO);
}

UNIT_MAIN("rpc_format", UNIT(test_rpc_format_beats_round_trip), UNIT(test_rpc_format_change),
          UNIT(test_rpc_format_worker_beat_round_trip), UNIT(test_rpc_format_io_round_trip),
          UNIT(test_rpc_format_small_bodies_round_trip),
          UNIT(test_rpc_format_short_bytes_are_proto), UNIT(test_rpc_format_lying_count_is_proto))
