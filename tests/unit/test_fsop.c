/* tests/unit/test_fsop.c - the codec: round trips, canonical bytes, hostile bytes. */
#include "core/fsop.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

static uint8_t bytes[256 * 1024], bytes2[256 * 1024];

static struct fsop op_random(struct prng *p)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz";
    struct fsop op = {.kind = (uint16_t)prng_below(p, 80), .flags = (uint16_t)prng_u64(p)};
    uint64_t pick = prng_u64(p);
#define MAYBE(bit, field, value) \
    if (pick >> (bit)&1)         \
    op.field = value
    MAYBE(0, session.v, prng_u64(p));
    MAYBE(1, seq, prng_u64(p));
    MAYBE(2, acked, prng_u64(p));
    MAYBE(3, time_ns, (int64_t)prng_u64(p));
    MAYBE(4, uid, (uint32_t)prng_u64(p));
    MAYBE(5, gid, (uint32_t)prng_u64(p));
    MAYBE(6, n_groups, (uint32_t)prng_below(p, LIMIT_GROUPS + 1));
    MAYBE(7, ino.v, prng_u64(p));
    MAYBE(8, ino2.v, prng_u64(p));
    MAYBE(9, mode, (uint32_t)prng_u64(p));
    MAYBE(10, rdev, (uint32_t)prng_u64(p));
    MAYBE(11, valid, (uint32_t)prng_u64(p));
    MAYBE(12, set_uid, (uint32_t)prng_u64(p));
    MAYBE(13, set_gid, (uint32_t)prng_u64(p));
    MAYBE(14, size, prng_u64(p));
    MAYBE(15, atime_ns, (int64_t)prng_u64(p));
    MAYBE(16, mtime_ns, (int64_t)prng_u64(p));
    MAYBE(17, arg, prng_u64(p));
    MAYBE(18, err, E_NOENT);
    MAYBE(19, name_len, (uint32_t)prng_below(p, 20));
    MAYBE(20, name2_len, (uint32_t)prng_below(p, 20));
    MAYBE(21, data_len, (uint32_t)prng_below(p, 26));
#undef MAYBE
    op.name = op.name_len ? text : NULL;
    op.name2 = op.name2_len ? text + 3 : NULL;
    op.data = op.data_len ? text : NULL;
    for (uint32_t i = 0; i < op.n_groups; i++)
        op.groups[i] = (uint32_t)prng_u64(p);
    return op;
}

static void test_fsop_round_trip(void)
{
    struct prng p;
    prng_seed(&p, 1, "fsop", 0);
    for (int i = 0; i < 5000; i++) {
        struct fsop op = op_random(&p), got;
        struct wbuf w = wbuf_make(bytes, sizeof bytes);
        fsop_put(&w, &op);
        CU_ASSERT_FALSE_FATAL(w.bad);
        struct rbuf r = rbuf_make(bytes, w.len);
        CU_ASSERT_EQUAL_FATAL(fsop_get(&r, &got), 0);
        CU_ASSERT_EQUAL(r.pos, w.len);
        CU_ASSERT_EQUAL(got.name_len, op.name_len);
        CU_ASSERT(!op.name_len || !memcmp(got.name, op.name, op.name_len));
        struct wbuf w2 = wbuf_make(bytes2, sizeof bytes2);
        fsop_put(&w2, &got);
        CU_ASSERT(w2.len == w.len && !memcmp(bytes, bytes2, w.len));
        got.name = op.name;
        got.name2 = op.name2;
        got.data = op.data;
        CU_ASSERT(got.ino.v == op.ino.v && got.seq == op.seq && got.n_groups == op.n_groups &&
                  got.err == op.err && got.mtime_ns == op.mtime_ns && got.valid == op.valid);
        for (size_t cut = 0; cut < w.len; cut += 1 + w.len / 7) {
            struct rbuf c = rbuf_make(bytes, cut);
            CU_ASSERT_EQUAL(fsop_get(&c, &got), E_PROTO);
        }
    }
}

static void test_fsop_unknown_mask_bit_is_proto(void)
{
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    wbuf_u16(&w, FSOP_MKDIR);
    wbuf_u16(&w, 0);
    wbuf_u32(&w, (uint32_t)1 << 31);
    struct fsop op;
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(fsop_get(&r, &op), E_PROTO);
}

static void test_fsop_too_many_groups_is_bad(void)
{
    struct fsop op = {.kind = FSOP_MKDIR, .n_groups = LIMIT_GROUPS + 1};
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    fsop_put(&w, &op);
    CU_ASSERT(w.bad);
    w = wbuf_make(bytes, sizeof bytes);
    wbuf_u32(&w, FSOP_MKDIR);
    wbuf_u32(&w, 1 << 6);
    wbuf_u8(&w, LIMIT_GROUPS + 1);
    wbuf_room(&w, 4 * (LIMIT_GROUPS + 1));
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(fsop_get(&r, &op), E_PROTO);
    w = wbuf_make(bytes, 3);
    op.n_groups = 0;
    fsop_put(&w, &op);
    CU_ASSERT(w.bad);
}

static void test_fsop_reply_round_trip(void)
{
    struct fsop_reply rep = {.err = E_EXIST,
                             .flags = FSOP_R_EOF,
                             .index = 9,
                             .value = 8,
                             .intent = 7,
                             .lease_ns = 6,
                             .data = "xyz",
                             .data_len = 3};
    rep.attr = (struct fsattr){.ino = {5},
                               .version = 4,
                               .size = 3,
                               .fp = 2,
                               .atime_ns = -1,
                               .mtime_ns = 11,
                               .ctime_ns = 12,
                               .mode = 0100644,
                               .nlink = 2,
                               .uid = 13,
                               .gid = 14,
                               .rdev = 15,
                               .mount = 16,
                               .flags = 17};
    struct fsop_reply got;
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    fsop_reply_put(&w, &rep);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(fsop_reply_get(&r, &got), 0);
    CU_ASSERT(!memcmp(&got.attr, &rep.attr, sizeof rep.attr));
    CU_ASSERT(got.err == rep.err && got.flags == rep.flags && got.index == 9 && got.value == 8 &&
              got.intent == 7 && got.lease_ns == 6 && got.data_len == 3);
    struct fsop_reply empty = {0};
    w = wbuf_make(bytes, sizeof bytes);
    fsop_reply_put(&w, &empty);
    CU_ASSERT_EQUAL(w.len, 2);
    r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(fsop_reply_get(&r, &got), 0);
    CU_ASSERT(!got.data && !got.attr.ino.v);
}

static void test_fsop_parts_round_trip(void)
{
    struct fsent e = {.name = "n",
                      .name_len = 1,
                      .mode = 1,
                      .nlink = 2,
                      .uid = 3,
                      .gid = 4,
                      .rdev = 5,
                      .size = 6,
                      .fp = 7,
                      .ufs_ino = 8,
                      .atime_ns = 9,
                      .mtime_ns = 10,
                      .ctime_ns = 11,
                      .target = "tt",
                      .target_len = 2},
                 e2;
    struct fsop_dirent d = {.cookie = 1, .attr = {.ino = {2}}, .name = "nm", .name_len = 2}, d2;
    struct fsop_statfs s = {1, 2, 3, 4, 5, 6}, s2;
    struct fsop_mount_info m = {.number = 1,
                                .mode = 2,
                                .check_interval_ns = 3,
                                .root = {4},
                                .path = "/p",
                                .path_len = 2,
                                .uri = "u",
                                .uri_len = 1},
                           m2;
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    fsop_ent_put(&w, &e);
    fsop_dirent_put(&w, &d);
    fsop_statfs_put(&w, &s);
    fsop_mount_put(&w, &m);
    struct rbuf r = rbuf_make(bytes, w.len);
    CU_ASSERT_EQUAL(fsop_ent_get(&r, &e2), 0);
    CU_ASSERT_EQUAL(fsop_dirent_get(&r, &d2), 0);
    CU_ASSERT_EQUAL(fsop_statfs_get(&r, &s2), 0);
    CU_ASSERT_EQUAL(fsop_mount_get(&r, &m2), 0);
    CU_ASSERT_EQUAL(rbuf_left(&r), 0);
    CU_ASSERT(e2.ctime_ns == 11 && e2.target_len == 2 && !memcmp(e2.target, "tt", 2) &&
              e2.ufs_ino == 8);
    CU_ASSERT(d2.cookie == 1 && d2.attr.ino.v == 2 && !memcmp(d2.name, "nm", 2));
    CU_ASSERT(!memcmp(&s, &s2, sizeof s));
    CU_ASSERT(m2.root.v == 4 && m2.uri_len == 1 && !memcmp(m2.path, "/p", 2));
    r = rbuf_make(bytes, 20);
    CU_ASSERT_EQUAL(fsop_ent_get(&r, &e2), E_PROTO);
}

static void test_fsop_kinds_have_names(void)
{
    CU_ASSERT_STRING_EQUAL(fsop_kind_name(FSOP_RENAME), "rename");
    CU_ASSERT_STRING_EQUAL(fsop_kind_name(FSOP_MOUNTS), "mounts");
    CU_ASSERT_STRING_EQUAL(fsop_kind_name(9999), "unknown");
    CU_ASSERT(fsop_is_query(FSOP_LOOKUP) && !fsop_is_query(FSOP_VERSION));
}

UNIT_MAIN("fsop", UNIT(test_fsop_round_trip), UNIT(test_fsop_unknown_mask_bit_is_proto),
          UNIT(test_fsop_too_many_groups_is_bad), UNIT(test_fsop_reply_round_trip),
          UNIT(test_fsop_parts_round_trip), UNIT(test_fsop_kinds_have_names))
