/* tests/unit/test_zk_proto.c - ZooKeeper's packets: bytes as the specification has them, the way
 * there and back of everything, and whatever is not a packet. */
#include "core/prng.h"
#include "journal/zk_address.h"
#include "journal/zk_proto.h"
#include "tests/unit/unit.h"

enum { CAP = 4096 };

static uint8_t wire[CAP], again[CAP], area[6][512];

/* --- samples of everything --- */

static struct zk_list texts(unsigned at, const char *const *t, uint32_t n)
{
    struct wbuf w = wbuf_make(area[at], sizeof area[at]);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        zk_proto_text_put(&w, &count, t[i], (uint32_t)strlen(t[i]));
    CU_ASSERT_FATAL(!w.bad && count == n);
    return (struct zk_list){w.p, (uint32_t)w.len, count};
}

static struct zk_list acls(unsigned at)
{
    struct wbuf w = wbuf_make(area[at], sizeof area[at]);
    uint32_t n = 0;
    zk_proto_acl_put(&w, &n, &(struct zk_acl){ZK_PERM_ALL, "digest", "a:hash", 6, 6});
    zk_proto_acl_put(&w, &n, &(struct zk_acl){ZK_PERM_READ, "world", "anyone", 5, 6});
    return (struct zk_list){w.p, (uint32_t)w.len, n};
}

static struct zk_stat stat_of(int64_t x)
{
    return (struct zk_stat){x, x + 1, x + 2, x + 3, 4, 5, 6, -x, 8, 9, x + 10};
}

static struct zk_request op_of(int32_t op)
{
    return (struct zk_request){.op = op,
                               .path = "/a/b",
                               .path_len = 4,
                               .data = "bytes",
                               .data_len = 5,
                               .version = 7,
                               .flags = ZK_CREATE_EPHEMERAL_SEQUENTIAL,
                               .watch = true,
                               .ttl_ms = 1234567890123,
                               .acl = acls(0)};
}

static struct zk_list ops(unsigned at, bool reads)
{
    static const int32_t writes[] = {ZK_OP_CREATE, ZK_OP_CREATE2, ZK_OP_DELETE, ZK_OP_SET_DATA,
                                     ZK_OP_CHECK};
    static const int32_t looks[] = {ZK_OP_GET_DATA, ZK_OP_GET_CHILDREN};
    struct wbuf w = wbuf_make(area[at], sizeof area[at]);
    uint32_t n = 0;
    for (uint32_t i = 0; i < (reads ? 2 : 5); i++) {
        struct zk_request q = op_of(reads ? looks[i] : writes[i]);
        zk_proto_op_put(&w, &n, &q);
    }
    CU_ASSERT_FATAL(!w.bad);
    return (struct zk_list){w.p, (uint32_t)w.len, n};
}

static const int32_t all_ops[] = {ZK_OP_CREATE,
                                  ZK_OP_DELETE,
                                  ZK_OP_EXISTS,
                                  ZK_OP_GET_DATA,
                                  ZK_OP_SET_DATA,
                                  ZK_OP_GET_ACL,
                                  ZK_OP_SET_ACL,
                                  ZK_OP_GET_CHILDREN,
                                  ZK_OP_SYNC,
                                  ZK_OP_PING,
                                  ZK_OP_GET_CHILDREN2,
                                  ZK_OP_CHECK,
                                  ZK_OP_MULTI,
                                  ZK_OP_CREATE2,
                                  ZK_OP_CHECK_WATCHES,
                                  ZK_OP_REMOVE_WATCHES,
                                  ZK_OP_CREATE_CONTAINER,
                                  ZK_OP_DELETE_CONTAINER,
                                  ZK_OP_CREATE_TTL,
                                  ZK_OP_MULTI_READ,
                                  ZK_OP_AUTH,
                                  ZK_OP_SET_WATCHES,
                                  ZK_OP_SASL,
                                  ZK_OP_GET_EPHEMERALS,
                                  ZK_OP_GET_ALL_CHILDREN_NUMBER,
                                  ZK_OP_SET_WATCHES2,
                                  ZK_OP_ADD_WATCH,
                                  ZK_OP_WHO_AM_I,
                                  ZK_OP_CLOSE_SESSION};

static struct zk_request request_of(int32_t op)
{
    static const char *const d[] = {"/d1", "/d2"}, *const e[] = {"/e"},
                             *const c[] = {"/c", "/", ""};
    struct zk_request q = op_of(op);
    q.xid = 77;
    q.zxid = 0x100000002;
    q.scheme = "digest";
    q.scheme_len = 6;
    q.ops = ops(1, op == ZK_OP_MULTI_READ);
    q.data_watches = texts(2, d, 2);
    q.exist_watches = texts(3, e, 1);
    q.child_watches = texts(4, c, 3);
    q.persistent_watches = texts(5, e, 1);
    return q;
}

static struct zk_list results(unsigned at, bool reads)
{
    struct wbuf w = wbuf_make(area[at], sizeof area[at]);
    uint32_t n = 0;
    static const int32_t kinds[] = {ZK_OP_CREATE, ZK_OP_CREATE2, ZK_OP_DELETE, ZK_OP_SET_DATA,
                                    ZK_OP_CHECK,  ZK_OP_ERROR,   ZK_OP_ERROR};
    static const int32_t looks[] = {ZK_OP_GET_DATA, ZK_OP_GET_CHILDREN, ZK_OP_ERROR};
    for (uint32_t i = 0; i < (reads ? 3 : 7); i++)
        zk_proto_result_put(&w, &n,
                            &(struct zk_reply){.op = reads ? looks[i] : kinds[i],
                                               .err = i == 6 ? ZK_ERR_BAD_VERSION : 0,
                                               .path = "/a",
                                               .path_len = 2,
                                               .data = "",
                                               .stat = stat_of(i)});
    CU_ASSERT_FATAL(!w.bad);
    return (struct zk_list){w.p, (uint32_t)w.len, n};
}

static struct zk_reply reply_of(int32_t op)
{
    static const char *const c[] = {"x", "y0000000001"};
    return (struct zk_reply){.xid = op == ZK_OP_PING          ? ZK_XID_PING
                                    : op == ZK_OP_AUTH        ? ZK_XID_AUTH
                                    : op == ZK_OP_SET_WATCHES ? ZK_XID_SET_WATCHES
                                                              : 12,
                             .op = op,
                             .zxid = 0x7fffffff00000001,
                             .path = "/p",
                             .path_len = 2,
                             .data = "data",
                             .data_len = 4,
                             .stat = stat_of(1000),
                             .acl = acls(0),
                             .children = texts(2, c, 2),
                             .results = results(1, op == ZK_OP_MULTI_READ),
                             .number = 42};
}

static size_t put_request(const struct zk_request *q)
{
    struct wbuf w = wbuf_make(wire, sizeof wire);
    zk_proto_request_put(&w, q);
    CU_ASSERT_FATAL(!w.bad);
    CU_ASSERT_EQUAL(zk_proto_frame(wire, w.len, ZK_FRAME_MAX), (int64_t)w.len);
    return w.len - 4;
}

static size_t put_reply(const struct zk_reply *a)
{
    struct wbuf w = wbuf_make(wire, sizeof wire);
    zk_proto_reply_put(&w, a);
    CU_ASSERT_FATAL(!w.bad);
    return w.len - 4;
}

/* decoders read nothing behind their bytes, as far as a sanitizer can tell */
static int get_request(const void *p, size_t n, struct zk_request *q, void **ret_copy)
{
    *ret_copy = malloc(n ? n : 1);
    memcpy(*ret_copy, p, n);
    return zk_proto_request_get(*ret_copy, n, q);
}

static int get_reply(const void *p, size_t n, int32_t op, struct zk_reply *a, void **ret_copy)
{
    *ret_copy = malloc(n ? n : 1);
    memcpy(*ret_copy, p, n);
    return zk_proto_reply_get(*ret_copy, n, op, a);
}

static bool same_as_wire(const struct wbuf *w, size_t n)
{
    return !w->bad && w->len == n + 4 && !memcmp(w->p, wire, w->len);
}

/* --- there and back --- */

static void test_requests_survive(void)
{
    for (size_t i = 0; i < ARRAY_LEN(all_ops); i++) {
        struct zk_request q = request_of(all_ops[i]), got;
        size_t n = put_request(&q);
        void *copy;
        CU_ASSERT_EQUAL_FATAL(get_request(wire + 4, n, &got, &copy), 0);
        CU_ASSERT(got.xid == 77 && got.op == all_ops[i] && !got.root);
        struct wbuf w = wbuf_make(again, sizeof again);
        zk_proto_request_put(&w, &got);
        CU_ASSERT(same_as_wire(&w, n));
        free(copy);
    }
}

static void test_replies_survive(void)
{
    for (size_t i = 0; i < ARRAY_LEN(all_ops); i++) {
        struct zk_reply a = reply_of(all_ops[i]), got;
        size_t n = put_reply(&a);
        void *copy;
        CU_ASSERT_EQUAL_FATAL(get_reply(wire + 4, n, all_ops[i], &got, &copy), 0);
        CU_ASSERT(got.xid == a.xid && got.op == all_ops[i] && got.zxid == a.zxid && !got.err);
        struct wbuf w = wbuf_make(again, sizeof again);
        zk_proto_reply_put(&w, &got);
        CU_ASSERT(same_as_wire(&w, n));
        free(copy);
    }
}

static void test_fields_arrive(void)
{
    struct zk_request q = request_of(ZK_OP_CREATE), got;
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(wire + 4, put_request(&q), &got), 0);
    CU_ASSERT(got.path_len == 4 && !memcmp(got.path, "/a/b", 4));
    CU_ASSERT(got.data_len == 5 && !memcmp(got.data, "bytes", 5));
    CU_ASSERT(got.flags == 3 && !got.version && got.acl.n == 2);
    struct zk_acl acl;
    CU_ASSERT_FATAL(zk_proto_acl_next(&got.acl, &acl));
    CU_ASSERT(acl.perms == 31 && acl.scheme_len == 6 && !memcmp(acl.id, "a:hash", 6));
    CU_ASSERT(zk_proto_acl_next(&got.acl, &acl) && acl.perms == 1);
    CU_ASSERT_FALSE(zk_proto_acl_next(&got.acl, &acl));

    struct zk_reply a = reply_of(ZK_OP_GET_CHILDREN2), seen;
    CU_ASSERT_EQUAL_FATAL(zk_proto_reply_get(wire + 4, put_reply(&a), ZK_OP_GET_CHILDREN2, &seen),
                          0);
    const struct zk_stat *st = &seen.stat;
    CU_ASSERT(st->czxid == 1000 && st->mzxid == 1001 && st->ctime_ms == 1002);
    CU_ASSERT(st->mtime_ms == 1003 && st->version == 4 && st->cversion == 5 && st->aversion == 6);
    CU_ASSERT(st->owner == -1000 && st->data_len == 8 && st->children == 9);
    CU_ASSERT(seen.stat.pzxid == 1010 && seen.children.n == 2 && !seen.data);
    const char *t;
    uint32_t len;
    CU_ASSERT_FATAL(zk_proto_text_next(&seen.children, &t, &len) && len == 1 && *t == 'x');
    CU_ASSERT_FATAL(zk_proto_text_next(&seen.children, &t, &len) && len == 11);
    CU_ASSERT_FALSE(zk_proto_text_next(&seen.children, &t, &len));
}

static void test_null_and_empty_are_two(void)
{
    struct zk_request q = request_of(ZK_OP_SET_DATA), got;
    q.data = NULL;
    q.data_len = 0;
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(wire + 4, put_request(&q), &got), 0);
    CU_ASSERT(!got.data && !got.data_len);
    q.data = "";
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(wire + 4, put_request(&q), &got), 0);
    CU_ASSERT(got.data && !got.data_len);
}

static void test_root_goes_before_paths(void)
{
    struct zk_request q = request_of(ZK_OP_GET_DATA), got;
    q.root = "/tarn";
    q.root_len = 5;
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(wire + 4, put_request(&q), &got), 0);
    CU_ASSERT(got.path_len == 9 && !memcmp(got.path, "/tarn/a/b", 9));
    q.path = "/";
    q.path_len = 1;
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(wire + 4, put_request(&q), &got), 0);
    CU_ASSERT(got.path_len == 5 && !memcmp(got.path, "/tarn", 5));
}

static void test_multi_is_walked(void)
{
    struct zk_request q = request_of(ZK_OP_MULTI), got, op;
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(wire + 4, put_request(&q), &got), 0);
    CU_ASSERT_EQUAL(got.ops.n, 5);
    static const int32_t order[] = {ZK_OP_CREATE, ZK_OP_CREATE2, ZK_OP_DELETE, ZK_OP_SET_DATA,
                                    ZK_OP_CHECK};
    for (uint32_t i = 0; i < 5; i++) {
        CU_ASSERT_FATAL(zk_proto_op_next(&got.ops, &op));
        CU_ASSERT(op.op == order[i] && op.path_len == 4);
        CU_ASSERT_EQUAL(op.version, i < 2 ? 0 : 7);
    }
    CU_ASSERT_FALSE(zk_proto_op_next(&got.ops, &op));
    /* the same packet without a list beforehand */
    struct wbuf w = wbuf_make(again, sizeof again);
    uint32_t n = 0;
    size_t at = zk_proto_multi_begin(&w, 77, ZK_OP_MULTI);
    for (uint32_t i = 0; i < 5; i++) {
        struct zk_request o = op_of(order[i]);
        zk_proto_op_put(&w, &n, &o);
    }
    zk_proto_multi_end(&w, at);
    CU_ASSERT(n == 5 && same_as_wire(&w, w.len - 4));

    struct zk_reply a = reply_of(ZK_OP_MULTI), seen, one = {0};
    CU_ASSERT_EQUAL_FATAL(zk_proto_reply_get(wire + 4, put_reply(&a), ZK_OP_MULTI, &seen), 0);
    CU_ASSERT_EQUAL(seen.results.n, 7);
    for (uint32_t i = 0; i < 7; i++)
        CU_ASSERT_FATAL(zk_proto_result_next(&seen.results, &one));
    CU_ASSERT(one.op == ZK_OP_ERROR && one.err == ZK_ERR_BAD_VERSION);
}

static void test_multi_in_multi_is_refused(void)
{
    struct zk_request q = op_of(ZK_OP_MULTI), got;
    struct wbuf w = wbuf_make(wire, sizeof wire);
    uint32_t n = 0;
    zk_proto_op_put(&w, &n, &q);
    CU_ASSERT(w.bad);
    /* by hand: 14 inside 14 */
    static const uint8_t nested[] = {0,   0,   0,   1,   0,   0,   0,   14,  0,   0,   0,   14,
                                     0,   255, 255, 255, 255, 255, 255, 255, 255, 1,   255, 255,
                                     255, 255, 255, 255, 255, 255, 1,   255, 255, 255, 255};
    CU_ASSERT_EQUAL(zk_proto_request_get(nested, sizeof nested, &got), E_PROTO);
}

/* --- the specification's bytes --- */

static void test_golden_connect(void)
{
    static const uint8_t want[] = {
        0, 0, 0,    45,                                                   /* length */
        0, 0, 0,    0,                                                    /* protocol */
        0, 0, 0,    1,    0, 0, 0, 5,                                     /* lastZxidSeen */
        0, 0, 0x0f, 0xa0,                                                 /* 4000 ms */
        1, 2, 3,    4,    5, 6, 7, 8,                                     /* session */
        0, 0, 0,    16,   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* password */
        0                                                                 /* readOnly */
    };
    struct zk_connect c = {.zxid = 0x100000005,
                           .timeout_ms = 4000,
                           .session = 0x0102030405060708,
                           .password_len = 16},
                      got;
    memset(c.password, 1, 16);
    struct wbuf w = wbuf_make(wire, sizeof wire);
    zk_proto_connect_put(&w, &c);
    CU_ASSERT_EQUAL_FATAL(w.len, sizeof want);
    CU_ASSERT_EQUAL(memcmp(wire, want, sizeof want), 0);
    CU_ASSERT_EQUAL(zk_proto_connect_get(want + 4, sizeof want - 4, &got), 0);
    CU_ASSERT(got.session == c.session && got.zxid == c.zxid && !got.is_old && !got.read_only);
    /* a client of before the last byte */
    CU_ASSERT_EQUAL(zk_proto_connect_get(want + 4, sizeof want - 5, &got), 0);
    CU_ASSERT(got.is_old && got.timeout_ms == 4000);
    got.is_old = true;
    struct wbuf old = wbuf_make(again, sizeof again);
    zk_proto_connect_put(&old, &got);
    CU_ASSERT_EQUAL(old.len, sizeof want - 1);
    CU_ASSERT_EQUAL(zk_proto_connect_get(want + 4, sizeof want - 6, &got), E_PROTO);
}

static void test_golden_connected(void)
{
    static const uint8_t want[] = {0, 0, 0, 37, 0, 0, 0, 0, 0, 0,  0x75, 0x30, 1, 0,
                                   0, 0, 0, 0,  0, 9, 0, 0, 0, 16, 2,    2,    2, 2,
                                   2, 2, 2, 2,  2, 2, 2, 2, 2, 2,  2,    2,    1};
    struct zk_connected c = {.timeout_ms = 30000,
                             .session = 0x0100000000000009,
                             .password_len = 16,
                             .read_only = true},
                        got;
    memset(c.password, 2, 16);
    struct wbuf w = wbuf_make(wire, sizeof wire);
    zk_proto_connected_put(&w, &c);
    CU_ASSERT_EQUAL_FATAL(w.len, sizeof want);
    CU_ASSERT_EQUAL(memcmp(wire, want, sizeof want), 0);
    CU_ASSERT_EQUAL(zk_proto_connected_get(want + 4, 37, &got), 0);
    CU_ASSERT(got.read_only && got.timeout_ms == 30000 && got.password[15] == 2);
    CU_ASSERT_EQUAL(zk_proto_connected_get(want + 4, 36, &got), 0);
    CU_ASSERT(got.is_old && !got.read_only);
    for (size_t n = 0; n < 36; n++)
        CU_ASSERT_EQUAL(zk_proto_connected_get(want + 4, n, &got), E_PROTO);
    /* a password of another length */
    uint8_t odd[40];
    memcpy(odd, want + 4, 37);
    odd[19] = 15;
    CU_ASSERT_EQUAL(zk_proto_connected_get(odd, 36, &got), E_PROTO);
}

static void golden(const uint8_t *want, size_t n, const struct zk_request *q)
{
    struct wbuf w = wbuf_make(wire, sizeof wire);
    zk_proto_request_put(&w, q);
    CU_ASSERT_EQUAL_FATAL(w.len, n);
    CU_ASSERT_EQUAL(memcmp(wire, want, n), 0);
}

static void test_golden_requests(void)
{
    static const uint8_t create[] = {0, 0, 0,   50,  0,   0,   0,   1,   0,   0,   0,   1,   0, 0,
                                     0, 2, '/', 'a', 0,   0,   0,   1,   'd', 0,   0,   0,   1, 0,
                                     0, 0, 31,  0,   0,   0,   5,   'w', 'o', 'r', 'l', 'd', 0, 0,
                                     0, 6, 'a', 'n', 'y', 'o', 'n', 'e', 0,   0,   0,   1};
    golden(create, sizeof create,
           &(struct zk_request){.xid = 1,
                                .op = ZK_OP_CREATE,
                                .path = "/a",
                                .path_len = 2,
                                .data = "d",
                                .data_len = 1,
                                .acl = zk_proto_acl_open,
                                .flags = ZK_CREATE_EPHEMERAL});
    static const uint8_t get[] = {0, 0, 0, 15, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 2, '/', 'a', 1};
    golden(get, sizeof get,
           &(struct zk_request){
               .xid = 2, .op = ZK_OP_GET_DATA, .path = "/a", .path_len = 2, .watch = true});
    static const uint8_t ping[] = {0, 0, 0, 8, 255, 255, 255, 254, 0, 0, 0, 11};
    golden(ping, sizeof ping, &(struct zk_request){.xid = ZK_XID_PING, .op = ZK_OP_PING});
    static const uint8_t bye[] = {0, 0, 0, 8, 0, 0, 0, 9, 255, 255, 255, 245};
    golden(bye, sizeof bye, &(struct zk_request){.xid = 9, .op = ZK_OP_CLOSE_SESSION});
    static const uint8_t auth[] = {0,   0,   0,   29,  255, 255, 255, 252, 0,   0,   0,
                                   100, 0,   0,   0,   0,   0,   0,   0,   6,   'd', 'i',
                                   'g', 'e', 's', 't', 0,   0,   0,   3,   'u', ':', 'p'};
    golden(auth, sizeof auth,
           &(struct zk_request){.xid = ZK_XID_AUTH,
                                .op = ZK_OP_AUTH,
                                .scheme = "digest",
                                .scheme_len = 6,
                                .data = "u:p",
                                .data_len = 3});
}

static void test_golden_multi_and_watches(void)
{
    static const uint8_t multi[] = {
        0,   0,   0,   55,  0,   0,   0,   3,   0,   0, 0, 14, /* multi */
        0,   0,   0,   13,  0,   255, 255, 255, 255, 0, 0, 0,
        2,   '/', 'f', 0,   0,   0,   4, /* check */
        0,   0,   0,   2,   0,   255, 255, 255, 255, 0, 0, 0,
        2,   '/', 'g', 255, 255, 255, 255, /* delete */
        255, 255, 255, 255, 1,   255, 255, 255, 255};
    struct wbuf w = wbuf_make(area[0], sizeof area[0]);
    uint32_t n = 0;
    zk_proto_op_put(
        &w, &n, &(struct zk_request){.op = ZK_OP_CHECK, .path = "/f", .path_len = 2, .version = 4});
    zk_proto_op_put(
        &w, &n,
        &(struct zk_request){.op = ZK_OP_DELETE, .path = "/g", .path_len = 2, .version = -1});
    golden(multi, sizeof multi,
           &(struct zk_request){.xid = 3, .op = ZK_OP_MULTI, .ops = {w.p, (uint32_t)w.len, n}});
    static const uint8_t again_armed[] = {0, 0, 0,   34,  255, 255, 255, 248, 0, 0, 0, 101, 0,
                                          0, 0, 0,   0,   0,   0,   7,   0,   0, 0, 1, 0,   0,
                                          0, 2, '/', 'd', 0,   0,   0,   0,   0, 0, 0, 0};
    static const char *const d[] = {"/d"};
    golden(again_armed, sizeof again_armed,
           &(struct zk_request){.xid = ZK_XID_SET_WATCHES,
                                .op = ZK_OP_SET_WATCHES,
                                .zxid = 7,
                                .data_watches = texts(1, d, 1)});
}

static void test_golden_replies(void)
{
    struct zk_reply a;
    static const uint8_t event[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                    255, 255, 0,   0,   0,   0,   0,   0,   0,   3,
                                    0,   0,   0,   3,   0,   0,   0,   2,   '/', 'w'};
    CU_ASSERT_EQUAL_FATAL(zk_proto_reply_get(event, sizeof event, ZK_OP_CREATE, &a), 0);
    CU_ASSERT(a.xid == ZK_XID_EVENT && a.event == ZK_EVENT_DATA && a.keeper == ZK_KEEPER_CONNECTED);
    CU_ASSERT(a.op == ZK_OP_NONE && a.path_len == 2 && !memcmp(a.path, "/w", 2));
    static const uint8_t created[] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0,   0,
                                      8, 0, 0, 0, 0, 0, 0, 0, 2, '/', 'a'};
    CU_ASSERT_EQUAL_FATAL(zk_proto_reply_get(created, sizeof created, ZK_OP_CREATE, &a), 0);
    CU_ASSERT(a.xid == 1 && a.zxid == 8 && a.path_len == 2);
    static const uint8_t failed[] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 255, 255, 255, 0x9b, 1, 2};
    CU_ASSERT_EQUAL_FATAL(zk_proto_reply_get(failed, sizeof failed, ZK_OP_CREATE, &a), 0);
    CU_ASSERT(a.err == ZK_ERR_NO_NODE && !a.path);
    /* a multi of two that failed: the first would have been, the second is at fault */
    static const uint8_t multi[] = {0,   0,   0,    5,   0,   0,   0,   0, 0,   0,   0,   8,    0,
                                    0,   0,   0,    255, 255, 255, 255, 0, 0,   0,   0,   0,    0,
                                    0,   0,   0,    255, 255, 255, 255, 0, 255, 255, 255, 0x99, 255,
                                    255, 255, 0x99, 255, 255, 255, 255, 1, 255, 255, 255, 255};
    struct zk_reply one;
    CU_ASSERT_EQUAL_FATAL(zk_proto_reply_get(multi, sizeof multi, ZK_OP_MULTI, &a), 0);
    CU_ASSERT_EQUAL_FATAL(a.results.n, 2);
    CU_ASSERT(zk_proto_result_next(&a.results, &one) && one.op == ZK_OP_ERROR && !one.err);
    CU_ASSERT(zk_proto_result_next(&a.results, &one) && one.err == ZK_ERR_BAD_VERSION);
    /* an event of a newer server has a zxid, an error none: events never fail */
    uint8_t odd[sizeof event];
    memcpy(odd, event, sizeof odd);
    odd[15] = 1;
    CU_ASSERT_EQUAL(zk_proto_reply_get(odd, sizeof odd, 0, &a), 0);
}

/* --- what is no packet --- */

static void test_frames_are_cut(void)
{
    static const uint8_t p[] = {0, 0, 0, 2, 'a', 'b', 0};
    for (size_t n = 0; n < 6; n++)
        CU_ASSERT_EQUAL(zk_proto_frame(p, n, 10), 0);
    CU_ASSERT_EQUAL(zk_proto_frame(p, 6, 10), 6);
    CU_ASSERT_EQUAL(zk_proto_frame(p, 7, 2), 6);
    CU_ASSERT_EQUAL(zk_proto_frame(p, 4, 1), E_PROTO);
    CU_ASSERT_EQUAL(zk_proto_frame("\xff\xff\xff\xff", 4, ZK_FRAME_MAX), E_PROTO);
    CU_ASSERT_EQUAL(zk_proto_frame("\0\0\0\0", 4, 1), 4);
}

static void test_every_cut_is_refused(void)
{
    struct zk_request q;
    struct zk_reply a;
    void *copy;
    for (size_t i = 0; i < ARRAY_LEN(all_ops); i++) {
        q = request_of(all_ops[i]);
        size_t n = put_request(&q);
        for (size_t cut = 0; cut < n; cut++) {
            CU_ASSERT_EQUAL(get_request(wire + 4, cut, &q, &copy), E_PROTO);
            free(copy);
        }
        wire[n + 4] = 0;
        CU_ASSERT_EQUAL(zk_proto_request_get(wire + 4, n + 1, &q), E_PROTO);
        a = reply_of(all_ops[i]);
        n = put_reply(&a);
        for (size_t cut = 0; cut < n; cut++) {
            CU_ASSERT_EQUAL(get_reply(wire + 4, cut, all_ops[i], &a, &copy), E_PROTO);
            free(copy);
        }
        wire[n + 4] = 0;
        CU_ASSERT_EQUAL(zk_proto_reply_get(wire + 4, n + 1, all_ops[i], &a), E_PROTO);
    }
}

/* walks all lists: what a decoder let through is sound */
static uint32_t walk_request(struct zk_request *q)
{
    struct zk_list *const t[] = {&q->data_watches, &q->exist_watches, &q->child_watches,
                                 &q->persistent_watches, &q->recursive_watches};
    const char *s;
    struct zk_acl a;
    struct zk_request op;
    uint32_t len, n = 0;
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        while (zk_proto_text_next(t[i], &s, &len))
            n += len;
    while (zk_proto_acl_next(&q->acl, &a))
        n += a.id_len + a.scheme_len;
    while (zk_proto_op_next(&q->ops, &op))
        n += op.path_len + walk_request(&op);
    return n;
}

static uint32_t walk_reply(struct zk_reply *r)
{
    const char *s;
    struct zk_acl a;
    struct zk_reply one;
    uint32_t len, n = 0;
    while (zk_proto_text_next(&r->children, &s, &len))
        n += len;
    while (zk_proto_acl_next(&r->acl, &a))
        n += a.id_len + a.scheme_len;
    while (zk_proto_result_next(&r->results, &one))
        n += one.path_len + walk_reply(&one);
    return n;
}

static void mutate(struct prng *p, uint8_t *b, size_t n)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
    for (uint64_t k = 1 + prng_below(p, 3); k > 0; k--)
        b[prng_below(p, n)] = prng_below(p, 2) ? odd[prng_below(p, 6)] : (uint8_t)prng_u64(p);
}

static void test_mutations_are_borne(void)
{
    struct prng p;
    uint32_t sound = 0, refused = 0;
    prng_seed(&p, 1, "zk", 0);
    for (uint32_t round = 0; round < 20000; round++) {
        int32_t op = all_ops[prng_below(&p, ARRAY_LEN(all_ops))];
        struct zk_request q = request_of(op);
        struct zk_reply a = reply_of(op);
        void *copy;
        size_t n = put_request(&q);
        mutate(&p, wire + 4, n);
        if (get_request(wire + 4, n, &q, &copy)) {
            refused++;
        } else {
            sound++;
            struct zk_request first = q;
            struct wbuf w = wbuf_make(again, sizeof again);
            zk_proto_request_put(&w, &first);
            CU_ASSERT_FALSE(w.bad);
            walk_request(&q);
        }
        free(copy);
        n = put_reply(&a);
        mutate(&p, wire + 4, n);
        if (!get_reply(wire + 4, n, op, &a, &copy))
            walk_reply(&a);
        free(copy);
    }
    CU_ASSERT(sound > 1000 && refused > 1000);
}

static void test_no_room_is_told(void)
{
    for (size_t i = 0; i < ARRAY_LEN(all_ops); i++) {
        struct zk_request q = request_of(all_ops[i]);
        struct zk_reply a = reply_of(all_ops[i]);
        size_t n = put_request(&q) + 4, m = put_reply(&a) + 4;
        for (size_t cap = 0; cap < n; cap++) {
            struct wbuf w = wbuf_make(again, cap);
            zk_proto_request_put(&w, &q);
            CU_ASSERT(w.bad);
        }
        for (size_t cap = 0; cap < m; cap++) {
            struct wbuf w = wbuf_make(again, cap);
            zk_proto_reply_put(&w, &a);
            CU_ASSERT(w.bad);
        }
    }
}

/* --- texts --- */

static void test_paths(void)
{
    static const char *const good[] = {"/", "/a", "/a/b.c", "/.a", "/...", "/a b", "/\xc3\xa4"};
    static const char *const bad[] = {"",
                                      "a",
                                      "/a/",
                                      "//",
                                      "/a//b",
                                      "/./a",
                                      "/a/..",
                                      "/a\n",
                                      "/a\x7f",
                                      "/\xc2\x85",
                                      "/\xff",
                                      "/\xc3",
                                      "/\xf0\x9f\x98\x80",
                                      "/\xee\x80\x80",
                                      "/\xef\xbf\xbf"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CU_ASSERT_PTR_NULL(zk_proto_path_wrong(good[i], strlen(good[i]), false));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_PTR_NOT_NULL(zk_proto_path_wrong(bad[i], strlen(bad[i]), false));
    CU_ASSERT_PTR_NULL(zk_proto_path_wrong("/a/", 3, true));
    CU_ASSERT_PTR_NULL(zk_proto_path_wrong("/", 1, true));
    CU_ASSERT_PTR_NOT_NULL(zk_proto_path_wrong("//", 2, true));
    CU_ASSERT_PTR_NOT_NULL(zk_proto_path_wrong("/a\0b", 4, false));
}

static void test_names(void)
{
    CU_ASSERT_STRING_EQUAL(zk_proto_op_name(ZK_OP_GET_CHILDREN2), "getChildren2");
    CU_ASSERT_STRING_EQUAL(zk_proto_op_name(ZK_OP_CLOSE_SESSION), "closeSession");
    CU_ASSERT_STRING_EQUAL(zk_proto_op_name(99), "unknown");
    CU_ASSERT_STRING_EQUAL(zk_proto_err_name(-101), "NO_NODE");
    CU_ASSERT_STRING_EQUAL(zk_proto_err_name(-999), "UNKNOWN");
    CU_ASSERT_EQUAL(zk_proto_err_to_e(-110), E_EXIST);
    CU_ASSERT_EQUAL(zk_proto_err_to_e(0), 0);
    CU_ASSERT_EQUAL(zk_proto_err_to_e(-999), E_IO);
    CU_ASSERT_STRING_EQUAL(zk_proto_event_name(ZK_EVENT_DELETED), "deleted");
    CU_ASSERT_STRING_EQUAL(zk_proto_event_name(-7), "unknown");
}

static void test_addresses(void)
{
    struct zk_address a;
    char why[256] = "";
    CU_ASSERT_EQUAL(zk_address_parse("h1:2181,h2,[::1]:99/tarn/a", &a, why, sizeof why), 0);
    CU_ASSERT_EQUAL_FATAL(a.n, 3);
    CU_ASSERT_STRING_EQUAL(a.server[0], "h1:2181");
    CU_ASSERT_STRING_EQUAL(a.server[1], "h2:2181");
    CU_ASSERT_STRING_EQUAL(a.server[2], "[::1]:99");
    CU_ASSERT_STRING_EQUAL(a.root, "/tarn/a");
    CU_ASSERT_EQUAL(zk_address_parse("h1/", &a, why, sizeof why), 0);
    CU_ASSERT_STRING_EQUAL(a.root, "");
    CU_ASSERT_EQUAL(zk_address_parse("[fe80::1]", &a, why, sizeof why), 0);
    CU_ASSERT_STRING_EQUAL(a.server[0], "[fe80::1]:2181");
    static const struct {
        const char *text, *part;
    } bad[] = {{"", "names no server"},    {"/tarn", "names no server"},
               {"h1:2181,", "server 2"},   {",h1", "server 1"},
               {"h1:", "no port"},         {"h1:0", "no port"},
               {"h1:65536", "no port"},    {"h1:x", "no port"},
               {"h1: 2181", "no port"},    {":2181", "no host"},
               {"h 1", "no host"},         {"[::1", "no host"},
               {"h1/a/", "ends in"},       {"h1//a", "empty name"},
               {"h1/a,h2/a", "said once"}, {"h1/a:2", "said once"},
               {"h1:2181/a/../b", "'.'"},  {"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "one too many"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(zk_address_parse(bad[i].text, &a, why, sizeof why), E_CONFIG);
        if (!strstr(why, bad[i].part))
            printf("%s: %s\n", bad[i].text, why);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, bad[i].part));
    }
    char longer[400];
    memset(longer, 'h', sizeof longer);
    longer[sizeof longer - 1] = 0;
    CU_ASSERT_EQUAL(zk_address_parse(longer, &a, why, sizeof why), E_CONFIG);
    longer[0] = 'h', longer[1] = '/';
    CU_ASSERT_EQUAL(zk_address_parse(longer, &a, why, sizeof why), E_CONFIG);
}

UNIT_MAIN("zk_proto", UNIT(test_requests_survive), UNIT(test_replies_survive),
          UNIT(test_fields_arrive), UNIT(test_null_and_empty_are_two),
          UNIT(test_root_goes_before_paths), UNIT(test_multi_is_walked),
          UNIT(test_multi_in_multi_is_refused), UNIT(test_golden_connect),
          UNIT(test_golden_connected), UNIT(test_golden_requests),
          UNIT(test_golden_multi_and_watches), UNIT(test_golden_replies), UNIT(test_frames_are_cut),
          UNIT(test_every_cut_is_refused), UNIT(test_mutations_are_borne),
          UNIT(test_no_room_is_told), UNIT(test_paths), UNIT(test_names), UNIT(test_addresses))
