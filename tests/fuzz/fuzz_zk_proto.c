/* tests/fuzz/fuzz_zk_proto.c - any bytes as a ZooKeeper packet, of either side.  The first byte
 * picks which, the second what was asked.  What a decoder lets through is walked to its end, and
 * comes out of the encoder as it went in. */
#include "journal/zk_proto.h"
#include "tests/fuzz/fuzz.h"

static uint8_t again[ZK_FRAME_MAX + ZK_FRAME_HEAD];
static uint64_t sum;

static void fuzz_bytes(const void *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum += ((const uint8_t *)p)[i];
}

static void fuzz_texts(struct zk_list l)
{
    const char *t;
    uint32_t n;
    while (zk_proto_text_next(&l, &t, &n))
        fuzz_bytes(t, n);
}

static void fuzz_acls(struct zk_list l)
{
    struct zk_acl a;
    while (zk_proto_acl_next(&l, &a)) {
        fuzz_bytes(a.scheme, a.scheme_len);
        fuzz_bytes(a.id, a.id_len);
    }
}

static void fuzz_request(const uint8_t *p, size_t n)
{
    struct zk_request q, op;
    if (zk_proto_request_get(p, n, &q))
        return;
    struct wbuf w = wbuf_make(again, sizeof again);
    zk_proto_request_put(&w, &q);
    ASSERT(!w.bad);
    fuzz_bytes(q.path, q.path_len);
    fuzz_bytes(q.data, q.data_len);
    fuzz_bytes(q.scheme, q.scheme_len);
    fuzz_acls(q.acl);
    fuzz_texts(q.data_watches);
    fuzz_texts(q.exist_watches);
    fuzz_texts(q.child_watches);
    fuzz_texts(q.persistent_watches);
    fuzz_texts(q.recursive_watches);
    while (zk_proto_op_next(&q.ops, &op)) {
        fuzz_bytes(op.path, op.path_len);
        fuzz_acls(op.acl);
    }
    if (q.path) /* what it says of a path depends on nothing else */
        sum += zk_proto_path_wrong(q.path, q.path_len, true) != NULL;
    ASSERT(!zk_proto_request_get(again + ZK_FRAME_HEAD, w.len - ZK_FRAME_HEAD, &q));
}

static void fuzz_reply(const uint8_t *p, size_t n, int32_t op)
{
    struct zk_reply a, one;
    if (zk_proto_reply_get(p, n, op, &a))
        return;
    struct wbuf w = wbuf_make(again, sizeof again);
    zk_proto_reply_put(&w, &a);
    ASSERT(!w.bad);
    fuzz_bytes(a.path, a.path_len);
    fuzz_bytes(a.data, a.data_len);
    fuzz_acls(a.acl);
    fuzz_texts(a.children);
    while (zk_proto_result_next(&a.results, &one)) {
        fuzz_bytes(one.path, one.path_len);
        fuzz_bytes(one.data, one.data_len);
        fuzz_texts(one.children);
    }
    ASSERT(!zk_proto_reply_get(again + ZK_FRAME_HEAD, w.len - ZK_FRAME_HEAD, op, &a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zk_connect c;
    struct zk_connected d;
    if (size < 2 || size > ZK_FRAME_MAX)
        return 0;
    const uint8_t *p = data + 2;
    size_t n = size - 2;
    switch (data[0] % 5) {
    case 0:
        (void)zk_proto_connect_get(p, n, &c);
        break;
    case 1:
        (void)zk_proto_connected_get(p, n, &d);
        break;
    case 2:
        fuzz_request(p, n);
        break;
    case 3:
        fuzz_reply(p, n, (int8_t)data[1]);
        break;
    default:
        sum += (uint64_t)zk_proto_frame(p, n, ZK_FRAME_MAX);
    }
    return 0;
}
