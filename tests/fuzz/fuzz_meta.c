/* tests/fuzz/fuzz_meta.c - any records into the metadata machine: every invariant holds after.
 *
 * The input is a string of draws: each picks a kind, numbers among those that exist (or nearly),
 * short names from a small set, and now and then raw bytes as data or a whole encoded operation. */
#include "core/meta.h"
#include "tests/fuzz/fuzz.h"

static uint32_t draw(struct rbuf *r, uint32_t bound)
{
    return rbuf_u8(r) % bound;
}

/* fields by draws, so that most operations mean something */
static void fuzz_op(struct rbuf *r, struct fsop *op, const uint64_t *inos, const uint64_t *intents)
{
    static const char names[] = "abcdefgh";
    op->kind = (uint16_t)draw(r, 24);
    op->flags = rbuf_u8(r);
    op->ino.v = inos[draw(r, 32)];
    op->ino2.v = inos[draw(r, 32)];
    op->name = names + draw(r, 6);
    op->name_len = 1 + draw(r, 2);
    op->name2 = names + draw(r, 6);
    op->name2_len = 1 + draw(r, 2);
    op->mode = rbuf_u16(r);
    op->valid = rbuf_u8(r);
    op->uid = draw(r, 2);
    op->size = rbuf_u16(r);
    op->arg = draw(r, 4) ? intents[draw(r, 8)] : draw(r, 6);
    op->err = draw(r, 2) ? E_EXIST : 0;
    op->session.v = draw(r, 3);
    op->seq = op->session.v ? draw(r, 30) : 0;
    op->acked = op->seq > 10 ? op->seq - draw(r, 10) : 0;
    if (op->kind == FSOP_MOUNT || op->kind == FSOP_UNMOUNT) {
        op->name = draw(r, 2) ? "/a/b" : "/a";
        op->name_len = (uint32_t)strlen(op->name);
        op->session.v = 0;
        op->arg = draw(r, 4);
    }
    if (op->kind == FSOP_SETXATTR || op->kind == FSOP_REMOVEXATTR) {
        op->name = "user.abc";
        op->name_len = 6 + draw(r, 3);
    }
    size_t n = base_min_u64(draw(r, 200), rbuf_left(r));
    op->data = rbuf_bytes(r, n);
    op->data_len = op->data ? (uint32_t)n : 0;
    op->time_ns = 1;
}

/* a LOAD's entries, made rather than found */
static void fuzz_entries(struct rbuf *r, struct fsop *op, uint8_t *b, size_t cap)
{
    static const uint32_t types[] = {0, FSOP_S_IFREG, FSOP_S_IFDIR, FSOP_S_IFLNK};
    struct wbuf w = wbuf_make(b, cap);
    for (uint32_t n = draw(r, 5); n > 0; n--) {
        struct fsent e = {.name = "abcdefgh",
                          .name_len = draw(r, 3),
                          .mode = types[draw(r, 4)],
                          .fp = draw(r, 3),
                          .target = "t",
                          .target_len = 1};
        fsop_ent_put(&w, &e);
    }
    op->data = b;
    op->data_len = (uint32_t)w.len;
}

static void fuzz_queries(const struct meta *m, const struct fsop *op)
{
    static uint8_t out[4096];
    struct fsop_reply rep;
    for (uint16_t kind = FSOP_LOOKUP; kind <= FSOP_MOUNTS; kind++) {
        struct fsop q = *op;
        q.kind = kind;
        meta_query(m, &q, out, sizeof out, &rep);
        ASSERT(rep.data_len <= sizeof out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem mem;
    struct meta *m;
    struct meta_limits limits = {.inodes_max = 40, .sessions_max = 3};
    struct rbuf r = rbuf_make(data, size);
    uint64_t inos[32], intents[8] = {0}, index = 0;
    uint8_t b[512];
    char text[128];
    fuzz_mem(&mem, (uint64_t)256 << 20);
    if (meta_open(&mem, &limits, &m))
        return 0;
    for (int i = 0; i < 32; i++)
        inos[i] = 1;
    while (rbuf_left(&r) && index < 2000) {
        struct fsop op = {0};
        struct meta_result res;
        uint32_t how = draw(&r, 16);
        struct rbuf raw = r;
        if (how != 0 || fsop_get(&raw, &op)) {
            memset(&op, 0, sizeof op);
            fuzz_op(&r, &op, inos, intents);
        } else {
            r = raw;
        }
        if (op.kind == FSOP_LOAD && how < 12)
            fuzz_entries(&r, &op, b, sizeof b);
        meta_apply(m, ++index, &op, &res);
        ASSERT(res.reply.index <= index && res.n_changes <= META_CHANGES_MAX);
        if (res.reply.intent)
            intents[index % 8] = res.reply.intent;
        if (res.reply.attr.ino.v)
            inos[index % 32] = res.reply.attr.ino.v;
        if (how == 1)
            fuzz_queries(m, &op);
    }
    bool ok = meta_check(m, text, sizeof text);
    ASSERT(ok);
    meta_close(m);
    mem_drop(&mem);
    return 0;
}
