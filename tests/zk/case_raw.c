/* tests/zk/case_raw.c - bytes that our client would never send: malformed ones, and requests that
 * it refuses to make. */
#include <stdlib.h>
#include "tests/zk/zk_suite.h"

static struct zs_raw *raw_session(struct zs *t)
{
    struct zs_raw *r = zs_raw(t, 0);
    TRUE(zs_raw_connect(r, 0, NULL, 0, 20 * t->w->tick_ns));
    TRUE(r->c.session != 0);
    return r;
}

static const struct zk_request ping = {.xid = ZK_XID_PING, .op = ZK_OP_PING};

static uint32_t be32(uint32_t v)
{
    return __builtin_bswap32(v);
}

/* a packet of (xid, op) and n bytes */
static void send_packet(struct zs_raw *r, int32_t xid, int32_t op, const void *b, uint32_t n)
{
    uint32_t head[3] = {be32(8 + n), be32((uint32_t)xid), be32((uint32_t)op)};
    zs_raw_bytes(r, head, sizeof head);
    zs_raw_bytes(r, b, n);
}

/* the answer to a packet of ours: its err, or 1000 */
static int32_t answer(struct zs_raw *r, int32_t op, int32_t xid)
{
    struct zk_reply a;
    return zs_raw_next(r, op, &a) && a.xid == xid ? a.err : 1000;
}

static void ping_is_answered(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    struct zk_reply a;
    EQ(zs_raw_ask(r, &ping, &a), 0);
    TRUE(a.zxid > 0);
    EQ(zs_raw_ask(r, &ping, &a), 0);
}

static void bytes_one_by_one(struct zs *t)
{
    const struct zk_connect c = {.timeout_ms = 30000, .password_len = ZK_PASSWORD};
    const struct zk_request q = {
        .xid = 7, .op = ZK_OP_EXISTS, .path = t->dir, .path_len = (uint32_t)strlen(t->dir)};
    uint8_t b[256];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct zs_raw *r = zs_raw(t, 0);
    zk_proto_connect_put(&w, &c);
    for (size_t i = 0; i < w.len; i++) {
        zs_raw_bytes(r, b + i, 1);
        zs_pass(t, zs_ms);
    }
    for (int i = 0; i < 1000 && r->len < 41; i++)
        zs_pass(t, 10 * zs_ms);
    EQ(r->len, 41);
    r->taken = r->len;
    w.len = 0;
    zk_proto_request_put(&w, &q);
    for (size_t i = 0; i < w.len; i++) {
        zs_raw_bytes(r, b + i, 1);
        zs_pass(t, zs_ms);
    }
    EQ(answer(r, ZK_OP_EXISTS, 7), 0);
}

static void packets_joined(struct zs *t)
{
    uint8_t b[512];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct zs_raw *r = raw_session(t);
    for (int32_t xid = 1; xid <= 5; xid++) {
        const struct zk_request q = {
            .xid = xid, .op = ZK_OP_EXISTS, .path = t->dir, .path_len = (uint32_t)strlen(t->dir)};
        zk_proto_request_put(&w, xid == 3 ? &ping : &q);
    }
    zs_raw_bytes(r, b, (uint32_t)w.len);
    for (int32_t xid = 1; xid <= 5; xid++)
        EQ(answer(r, xid == 3 ? ZK_OP_PING : ZK_OP_EXISTS, xid == 3 ? ZK_XID_PING : xid), 0);
}

static void requests_behind_the_connect(struct zs *t) /* before it is answered */
{
    const struct zk_connect c = {.timeout_ms = 30000, .password_len = ZK_PASSWORD};
    uint8_t b[256];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct zs_raw *r = zs_raw(t, 0);
    zk_proto_connect_put(&w, &c);
    zk_proto_request_put(&w, &ping);
    zs_raw_bytes(r, b, (uint32_t)w.len);
    for (int i = 0; i < 1000 && r->len < 41; i++)
        zs_pass(t, 10 * zs_ms);
    r->taken = 41;
    EQ(answer(r, ZK_OP_PING, ZK_XID_PING), 0);
}

static void length_below_zero(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    uint32_t n = be32(0x80000001);
    zs_raw_bytes(r, &n, 4);
    TRUE(zs_raw_closed(r));
    struct zs_raw *first = zs_raw(t, 0); /* also as the first packet */
    zs_raw_bytes(first, &n, 4);
    TRUE(zs_raw_closed(first));
}

static void length_above_the_limit(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    uint32_t n = be32(64 << 20);
    zs_raw_bytes(r, &n, 4);
    TRUE(zs_raw_closed(r)); /* without waiting for them */
    EQ(r->len, r->taken);
}

static void connect_that_is_too_short(struct zs *t)
{
    struct zs_raw *r = zs_raw(t, 0);
    const uint32_t b[] = {be32(8), 0, 0};
    zs_raw_bytes(r, b, sizeof b);
    TRUE(zs_raw_closed(r));
    EQ(r->len, 0);
}

static void request_before_the_connect(struct zs *t)
{
    struct zs_raw *r = zs_raw(t, 0);
    zs_raw_send(r, &ping); /* is read as a ConnectRequest */
    TRUE(zs_raw_closed(r));
    EQ(r->len, 0);
}

static void request_without_a_header(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    const uint32_t b[] = {be32(4), be32(1)};
    zs_raw_bytes(r, b, sizeof b);
    TRUE(zs_raw_closed(r));
}

static void bodies_that_are_cut_off(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    const uint32_t longer[] = {be32(100), be32(0x2f616263)}; /* a path of 100 bytes */
    static const int32_t ops[] = {ZK_OP_CREATE,   ZK_OP_DELETE,  ZK_OP_EXISTS,       ZK_OP_GET_DATA,
                                  ZK_OP_SET_DATA, ZK_OP_GET_ACL, ZK_OP_GET_CHILDREN, ZK_OP_SET_ACL,
                                  ZK_OP_CREATE2,  ZK_OP_MULTI,   ZK_OP_GET_CHILDREN2};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        send_packet(r, 50 + (int32_t)i, ops[i], longer, sizeof longer);
        EQ(answer(r, ops[i], 50 + (int32_t)i), ZK_ERR_MARSHALLING);
        send_packet(r, 70 + (int32_t)i, ops[i], longer, 2);
        EQ(answer(r, ops[i], 70 + (int32_t)i), ZK_ERR_MARSHALLING);
    }
    EQ(zs_raw_ask(r, &ping, NULL), 0); /* it goes on */
}

static void operation_that_there_is_not(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    send_packet(r, 5, 4711, "", 0);
    EQ(answer(r, 4711, 5), ZK_ERR_UNIMPLEMENTED);
    TRUE(zs_raw_closed(r));
}

/* ---- what the client refuses to send ---- */

static int32_t create_at(struct zs_raw *r, const char *full, uint32_t len, int32_t flags)
{
    const struct zk_request q = {.op = ZK_OP_CREATE,
                                 .root = "",
                                 .path = full,
                                 .path_len = len,
                                 .data = "",
                                 .acl = zk_proto_acl_open,
                                 .flags = flags};
    return zs_raw_ask(r, &q, NULL);
}

static void paths_that_are_none(struct zs *t)
{
    static const struct {
        const char *tail;
        uint32_t len;
        int32_t err;
    } bad[] = {
        {"/", 1, ZK_ERR_BAD_ARGUMENTS},
        {"/a/", 3, ZK_ERR_NO_NODE},
        {"//a", 3, ZK_ERR_NO_NODE},
        {"/.", 2, ZK_ERR_BAD_ARGUMENTS},
        {"/..", 3, ZK_ERR_BAD_ARGUMENTS},
        {"/\x01", 2, ZK_ERR_BAD_ARGUMENTS},
        {"/\x1f", 2, ZK_ERR_BAD_ARGUMENTS},
        {"/\x7f", 2, ZK_ERR_BAD_ARGUMENTS},
        {"/a\0b", 4, ZK_ERR_BAD_ARGUMENTS},
        {"/\xee\x80\x80", 4, ZK_ERR_BAD_ARGUMENTS},
        {"/\xef\xbf\xbf", 4, ZK_ERR_BAD_ARGUMENTS},
        {"/\xf0\x9f\x98\x80", 5, ZK_ERR_BAD_ARGUMENTS},
    };
    struct zs_raw *r = raw_session(t);
    size_t dir = strlen(t->dir);
    char path[256];
    memcpy(path, t->dir, dir);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memcpy(path + dir, bad[i].tail, bad[i].len);
        EQ(create_at(r, path, (uint32_t)dir + bad[i].len, 0), bad[i].err);
    }
    EQ(create_at(r, "a", 1, 0), ZK_ERR_BAD_ARGUMENTS);
    EQ(create_at(r, "", 0, 0), ZK_ERR_BAD_ARGUMENTS);
}

static void paths_that_lead_nowhere(struct zs *t) /* reads look at nothing but the name */
{
    static const char *const odd[] = {"a", "/a/", "//", "/.", "/a/../b"};
    struct zs_raw *r = raw_session(t);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct zk_request q = {.op = ZK_OP_GET_DATA, .root = "", .path = odd[i]};
        EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_NO_NODE);
        q.op = ZK_OP_EXISTS;
        EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_NO_NODE);
        q.op = ZK_OP_GET_CHILDREN2;
        EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_NO_NODE);
        q.op = ZK_OP_SET_DATA;
        q.data = "";
        EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_BAD_ARGUMENTS); /* changes look at it */
    }
}

static void flags_that_there_are_not(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    const char *path = zs_path(t, "/a");
    uint32_t len = (uint32_t)strlen(path);
    EQ(create_at(r, path, len, 99), ZK_ERR_BAD_ARGUMENTS);
    EQ(create_at(r, path, len, -1), ZK_ERR_BAD_ARGUMENTS);
    EQ(create_at(r, path, len, ZK_CREATE_EPHEMERAL_SEQUENTIAL), 0);
}

static void acl_of_nobody(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    struct zk_request q = {.op = ZK_OP_CREATE, .path = "/a", .data = ""};
    EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_INVALID_ACL);
    q.path = "/no/a";
    EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_INVALID_ACL);
    q.path = "/a";
    q.acl = zk_proto_acl_open;
    EQ(zs_raw_ask(r, &q, NULL), 0);
    const struct zk_request s = {.op = ZK_OP_SET_ACL, .path = "/a", .version = -1};
    EQ(zs_raw_ask(r, &s, NULL), ZK_ERR_INVALID_ACL);
}

static void multi_of_nothing(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    const struct zk_request q = {.op = ZK_OP_MULTI};
    struct zk_reply a;
    EQ(zs_raw_ask(r, &q, &a), 0);
    EQ(a.results.n, 0);
}

static void multi_of_what_cannot_be_in_it(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    static const uint8_t head[9] = {0, 0, 0, ZK_OP_SYNC, 0, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t path[6] = {0, 0, 0, 2, '/', 'a'};
    static const uint8_t end[9] = {0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff};
    uint8_t b[sizeof head + sizeof path + sizeof end];
    memcpy(b, head, sizeof head);
    memcpy(b + sizeof head, path, sizeof path);
    memcpy(b + sizeof head + sizeof path, end, sizeof end);
    send_packet(r, 9, ZK_OP_MULTI, b, sizeof b);
    EQ(answer(r, ZK_OP_MULTI, 9), ZK_ERR_MARSHALLING);
    EQ(zs_raw_ask(r, &ping, NULL), 0);
}

static void answers_without_a_body(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    const struct zk_request q = {.op = ZK_OP_GET_DATA, .path = "/a"};
    zs_raw_send(r, &q);
    for (int i = 0; i < 1000 && r->len - r->taken < 20; i++)
        zs_pass(t, 10 * zs_ms);
    EQ(r->len - r->taken, 4 + 16); /* an error is a header alone */
}

static void word_instead_of_a_packet(struct zs *t)
{
    struct zs_raw *r = zs_raw(t, 0);
    zs_raw_bytes(r, "srvr", 4);
    TRUE(zs_raw_closed(r));
    r->in[r->len] = 0;
    TRUE(strstr((char *)r->in, "Zookeeper version") != NULL);
    TRUE(strstr((char *)r->in, "Mode: ") != NULL);
    r = zs_raw(t, 0);
    zs_raw_bytes(r, "stat", 4);
    TRUE(zs_raw_closed(r));
    r->in[r->len] = 0;
    TRUE(strstr((char *)r->in, "not in the whitelist") != NULL);
}

static void packet_of_the_largest_size(struct zs *t)
{
    enum { MOST = 0xfffff };
    struct zs_raw *r = raw_session(t);
    const char *path = zs_path(t, "/a");
    uint32_t n = MOST - 8 - 4 - (uint32_t)strlen(path) - 4 - (4 + zk_proto_acl_open.len) - 4;
    struct zk_request q = {.op = ZK_OP_CREATE,
                           .root = "",
                           .path = path,
                           .data = calloc(1, n + 1),
                           .data_len = n,
                           .acl = zk_proto_acl_open};
    EQ(zs_raw_ask(r, &q, NULL), 0);
    q.data_len = n + 1;
    zs_raw_send(r, &q);
    TRUE(zs_raw_closed(r));
    EQ(r->len, r->taken);
    free((void *)(uintptr_t)q.data);
}

/* ---- calls that only tools use ---- */

static void ephemerals_of_a_session(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    struct zs_session *a = zs_open(t, NULL);
    struct zk_request q = {.op = ZK_OP_CREATE,
                           .path = "/e1",
                           .data = "",
                           .acl = zk_proto_acl_open,
                           .flags = ZK_CREATE_EPHEMERAL};
    struct zk_request list = {.op = ZK_OP_GET_EPHEMERALS, .path = "/e"};
    struct zk_reply x;
    EQ(zs_raw_ask(r, &q, NULL), 0);
    q.path = "/f2";
    EQ(zs_raw_ask(r, &q, NULL), 0);
    OK(zs_create(a, "/e3", "", ZK_CREATE_EPHEMERAL)); /* is another's */
    EQ(zs_raw_ask(r, &list, &x), 0);
    EQ(x.children.n, 1);
    list.path = "/";
    list.root = "";
    EQ(zs_raw_ask(r, &list, &x), 0);
    EQ(x.children.n, 2);
}

static void children_at_any_depth(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    struct zs_session *a = zs_open(t, NULL);
    struct zk_request q = {.op = ZK_OP_GET_ALL_CHILDREN_NUMBER, .path = "/p"};
    struct zk_reply x;
    EQ(zs_raw_ask(r, &q, &x), ZK_ERR_NO_NODE);
    OK(zs_create(a, "/p", "", 0));
    EQ(zs_raw_ask(r, &q, &x), 0);
    EQ(x.number, 0);
    OK(zs_create(a, "/p/1", "", 0));
    OK(zs_create(a, "/p/1/2", "", 0));
    OK(zs_create(a, "/p/1/2/3", "", 0));
    OK(zs_create(a, "/p/4", "", 0));
    OK(zs_create(a, "/pp", "", 0));
    EQ(zs_raw_ask(r, &q, &x), 0);
    EQ(x.number, 4);
}

static void who_am_i(struct zs *t)
{
    struct zs_raw *r = raw_session(t);
    const struct zk_request q = {.op = ZK_OP_WHO_AM_I};
    const struct zk_request auth = {.xid = ZK_XID_AUTH,
                                    .op = ZK_OP_AUTH,
                                    .scheme = "digest",
                                    .scheme_len = 6,
                                    .data = "user:pass",
                                    .data_len = 9};
    struct zk_reply x;
    const char *text;
    uint32_t len;
    EQ(zs_raw_ask(r, &q, &x), 0);
    EQ(x.children.n, 2);
    EQ(zs_raw_ask(r, &auth, NULL), 0);
    EQ(zs_raw_ask(r, &auth, NULL), 0); /* again is once */
    EQ(zs_raw_ask(r, &q, &x), 0);
    EQ(x.children.n, 4);
    bool has_user = false;
    while (zk_proto_text_next(&x.children, &text, &len))
        has_user |= len == 4 && !memcmp(text, "user", 4);
    TRUE(has_user);
}

static void null_instead_of_a_path(struct zs *t)
{
    static const int32_t ops[] = {ZK_OP_GET_DATA, ZK_OP_EXISTS, ZK_OP_GET_CHILDREN2, ZK_OP_GET_ACL};
    static const uint8_t body[] = {0xff, 0xff, 0xff, 0xff, 0};
    struct zs_raw *r = raw_session(t);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        send_packet(r, 20 + (int32_t)i, ops[i], body, ops[i] == ZK_OP_GET_ACL ? 4 : 5);
        EQ(answer(r, ops[i], 20 + (int32_t)i), ZK_ERR_MARSHALLING);
    }
    const struct zk_request q = {.op = ZK_OP_CREATE, .data = "", .acl = zk_proto_acl_open};
    EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_MARSHALLING);
    EQ(zs_raw_ask(r, &ping, NULL), 0);
}

const struct zs_case zs_raws[] = {
    {"ping_is_answered", ping_is_answered, 0},
    {"bytes_one_by_one", bytes_one_by_one, 0},
    {"packets_joined", packets_joined, 0},
    {"requests_behind_the_connect", requests_behind_the_connect, 0},
    {"length_below_zero", length_below_zero, 0},
    {"length_above_the_limit", length_above_the_limit, 0},
    {"connect_that_is_too_short", connect_that_is_too_short, 0},
    {"request_before_the_connect", request_before_the_connect, 0},
    {"request_without_a_header", request_without_a_header, 0},
    {"bodies_that_are_cut_off", bodies_that_are_cut_off, 0},
    {"operation_that_there_is_not", operation_that_there_is_not, 0},
    {"paths_that_are_none", paths_that_are_none, 0},
    {"paths_that_lead_nowhere", paths_that_lead_nowhere, 0},
    {"flags_that_there_are_not", flags_that_there_are_not, 0},
    {"acl_of_nobody", acl_of_nobody, 0},
    {"multi_of_nothing", multi_of_nothing, 0},
    {"multi_of_what_cannot_be_in_it", multi_of_what_cannot_be_in_it, 0},
    {"answers_without_a_body", answers_without_a_body, 0},
    {"word_instead_of_a_packet", word_instead_of_a_packet, 0},
    {"packet_of_the_largest_size", packet_of_the_largest_size, 0},
    {"ephemerals_of_a_session", ephemerals_of_a_session, 0},
    {"children_at_any_depth", children_at_any_depth, 0},
    {"who_am_i", who_am_i, 0},
    {"null_instead_of_a_path", null_instead_of_a_path, 0},
    {NULL, NULL, 0}};

extern const struct zs_case zs_nodes[], zs_sessions[], zs_watches[], zs_multis[];

const struct zs_case *const zs_lists[] = {zs_nodes,  zs_sessions, zs_watches,
                                          zs_multis, zs_raws,     NULL};
