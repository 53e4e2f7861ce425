/* tests/fuzz/fuzz_zk_client.c - the ZooKeeper client at a server that says anything, at any moment,
 * in any pieces: each call is done exactly once, nothing is called after the end, and no watch
 * outlives it.
 *
 * The input is a list of commands, each a byte and its arguments. */
#include "core/heap.h"
#include "journal/zk_client.h"
#include "tests/fuzz/fuzz.h"

enum { CALLS = 24, WATCHES = 6, ASKED = 512 };

struct fuzz_call {
    struct zk_call call;
    struct zk_multi ops[3];
    bool is_out, submits_again;
};

static struct fuzz_world {
    struct env env; /* first: env_* get back to it */
    struct env_conn conn;
    struct heap timers;
    struct list posted;
    int64_t now_ns;
    uint64_t chance;
    struct env_peer *peer;
    struct env_op *dial;
    bool is_gone;
    struct zk *z;
    struct zk_host host;
    struct fuzz_call call[CALLS];
    struct zk_watch watch[WATCHES];
    struct env_op stop;
    struct zk_request asked[ASKED]; /* sent and not answered; their paths are void */
    uint32_t n_asked;
} w;

static const char *const paths[] = {"/", "/a", "/a/b", "/c-", "/dddddddddddddddddddddddddddddd"};

/* --- an env of one connection --- */

static int64_t fuzz_now(struct env *e)
{
    (void)e;
    return w.now_ns;
}

static uint64_t fuzz_random(struct env *e)
{
    (void)e;
    return w.chance = base_mix_u64(w.chance + 1);
}

static void fuzz_log(struct env *e, enum env_log level, const char *line)
{
    (void)e, (void)level;
    ASSERT(strlen(line) < 1024 && !strstr(line, "geheim"));
}

static void fuzz_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    (void)e;
    heap_set(&w.timers, t, at_ns);
}

static void fuzz_timer_stop(struct env *e, struct env_timer *t)
{
    (void)e;
    heap_remove(&w.timers, t);
}

static void fuzz_post(struct env *e, struct env_op *op)
{
    (void)e;
    list_push_back(&w.posted, &op->link);
}

static void fuzz_connect(struct env *e, const char *addr, int64_t timeout_ns, struct env_peer *p,
                         struct env_op *op)
{
    (void)e;
    ASSERT(!w.dial && !w.peer && p->is_raw && timeout_ns > 0 && strlen(addr) > 3);
    w.peer = p;
    w.dial = op;
}

static void fuzz_send(struct env_conn *c, uint16_t type, const struct env_iov *iov, unsigned n)
{
    struct zk_request q;
    (void)type;
    ASSERT(c == &w.conn && w.peer && !w.dial && n == 1 && iov->n <= ENV_FRAME_MAX);
    bool is_whole = zk_proto_frame(iov->p, iov->n, ZK_FRAME_MAX) == (int64_t)iov->n;
    if (is_whole && !zk_proto_request_get((const uint8_t *)iov->p + 4, iov->n - 4, &q) &&
        w.n_asked < ASKED)
        w.asked[w.n_asked++] = q;
}

static void fuzz_hangup(struct env_conn *c)
{
    ASSERT(c == &w.conn && w.peer && !w.dial);
    w.peer = NULL;
    w.n_asked = 0;
}

static const struct env_vt fuzz_vt = {.now_ns = fuzz_now,
                                      .clock_ns = fuzz_now,
                                      .wall_ns = fuzz_now,
                                      .random = fuzz_random,
                                      .log = fuzz_log,
                                      .timer_set = fuzz_timer_set,
                                      .timer_stop = fuzz_timer_stop,
                                      .post = fuzz_post,
                                      .connect = fuzz_connect,
                                      .send = fuzz_send,
                                      .hangup = fuzz_hangup};

static void fuzz_turn(void)
{
    struct list *l;
    while ((l = list_pop(&w.posted))) {
        struct env_op *op = list_entry(l, struct env_op, link);
        op->done(op);
    }
}

static void fuzz_pass(int64_t ns)
{
    int64_t to_ns = w.now_ns + ns;
    struct env_timer *t;
    while ((t = heap_peek(&w.timers)) && t->at_ns <= to_ns) {
        if (t->at_ns > w.now_ns)
            w.now_ns = t->at_ns;
        heap_remove(&w.timers, t);
        t->op.done(&t->op);
        fuzz_turn();
    }
    w.now_ns = to_ns;
}

static void fuzz_dialled(int ret)
{
    struct env_op *op = w.dial;
    if (!op)
        return;
    w.dial = NULL;
    if (ret)
        w.peer = NULL;
    else
        w.peer->conn = &w.conn;
    op->ret = ret;
    op->done(op);
}

static void fuzz_closed(void)
{
    struct env_peer *p = w.peer;
    if (!p || w.dial)
        return;
    w.peer = NULL;
    w.n_asked = 0;
    p->conn = NULL;
    p->on_close(p, E_CLOSED);
}

static void fuzz_deliver(const void *p, size_t n)
{
    for (size_t at = 0; at < n && w.peer && !w.dial;) {
        size_t k = 1 + (size_t)(fuzz_random(&w.env) % (n - at));
        w.peer->on_frame(w.peer, 0, (const uint8_t *)p + at, (uint32_t)k);
        at += k;
    }
}

/* --- the user --- */

static void fuzz_submit(struct fuzz_call *c)
{
    ASSERT(!c->is_out);
    c->is_out = true;
    zk_submit(w.z, &c->call);
}

static void fuzz_done(struct env_op *op)
{
    struct fuzz_call *c = container_of(op, struct fuzz_call, call.op);
    ASSERT(c->is_out);
    c->is_out = false;
    ASSERT(c->call.is_answered ? c->call.is_sent : c->call.op.ret < 0);
    if (c->submits_again && !w.is_gone) {
        c->submits_again = false;
        c->call.watch = NULL;
        fuzz_submit(c);
    }
}

static void fuzz_fired(struct zk_watch *v, enum zk_event event)
{
    ASSERT(v->state == ZK_WATCH_IDLE && event > 0);
    zk_unwatch(w.z, &w.watch[0]);
}

static void fuzz_state(struct zk_host *h, enum zk_state s, int why)
{
    ASSERT(h == &w.host && s <= ZK_CLOSED && why <= 0);
}

static void fuzz_gone(struct env_op *op)
{
    (void)op;
    w.is_gone = true;
}

static void fuzz_ask(uint8_t a, uint8_t b)
{
    static const int32_t what[] = {ZK_OP_CREATE,        ZK_OP_DELETE,   ZK_OP_EXISTS,
                                   ZK_OP_GET_DATA,      ZK_OP_SET_DATA, ZK_OP_MULTI,
                                   ZK_OP_GET_CHILDREN2, ZK_OP_SYNC};
    for (uint32_t i = 0; i < CALLS; i++) {
        struct fuzz_call *c = &w.call[i];
        if (c->is_out)
            continue;
        *c = (struct fuzz_call){.submits_again = b >> 7};
        c->call = (struct zk_call){.op.done = fuzz_done,
                                   .what = what[a % 8],
                                   .path = paths[(a >> 3) % 5],
                                   .data = paths[4],
                                   .data_len = b & 15,
                                   .flags = b & 3,
                                   .version = -1,
                                   .ops = c->ops,
                                   .n_ops = b % 4,
                                   .deadline_ns = a & 128 ? w.now_ns + b * 10000000LL : 0};
        for (uint32_t k = 0; k < 3; k++)
            c->ops[k] = (struct zk_multi){.what = k ? ZK_OP_DELETE : ZK_OP_CHECK, .path = "/a"};
        struct zk_watch *v = &w.watch[b % WATCHES];
        v->fired = fuzz_fired;
        if ((b & 64) && v->state == ZK_WATCH_IDLE)
            c->call.watch = v;
        fuzz_submit(c);
        return;
    }
}

/* --- the server --- */

static void fuzz_greet(uint8_t a)
{
    uint8_t bytes[64];
    struct wbuf b = wbuf_make(bytes, sizeof bytes);
    struct zk_connected c = {.timeout_ms = a ? a * 50 : 0, .session = 77, .password_len = 16};
    zk_proto_connected_put(&b, &c);
    fuzz_deliver(b.p, b.len);
}

/* the answer to the oldest request */
static void fuzz_answer(uint8_t a)
{
    static uint8_t bytes[4096], area[1024];
    struct wbuf b = wbuf_make(bytes, sizeof bytes), l = wbuf_make(area, sizeof area);
    uint32_t n = 0;
    if (!w.n_asked)
        return;
    struct zk_request q = w.asked[0];
    memmove(w.asked, w.asked + 1, --w.n_asked * sizeof *w.asked);
    struct zk_reply r = {.xid = q.xid, .op = q.op, .zxid = a, .path = "/a", .path_len = 2};
    static const int32_t errs[] = {0, 0, 0, ZK_ERR_NO_NODE, ZK_ERR_SESSION_MOVED, -999, 0, 0};
    r.err = errs[a & 7];
    if (q.op == ZK_OP_MULTI) {
        for (uint32_t i = 0; i < q.ops.n; i++)
            zk_proto_result_put(&l, &n,
                                &(struct zk_reply){.op = a & 8 ? ZK_OP_ERROR
                                                         : i   ? ZK_OP_DELETE
                                                               : ZK_OP_CHECK,
                                                   .err = a & 8 ? -101 : 0});
        r.results = (struct zk_list){l.p, (uint32_t)l.len, n};
    }
    zk_proto_reply_put(&b, &r);
    fuzz_deliver(b.p, b.len);
}

static void fuzz_event(uint8_t a)
{
    uint8_t bytes[256];
    struct wbuf b = wbuf_make(bytes, sizeof bytes);
    const char *path = paths[(a >> 3) % 5];
    zk_proto_reply_put(&b, &(struct zk_reply){.xid = ZK_XID_EVENT,
                                              .event = a & 7,
                                              .keeper = 3,
                                              .path = path,
                                              .path_len = (uint32_t)strlen(path)});
    fuzz_deliver(b.p, b.len);
}

static void fuzz_command(struct rbuf *in)
{
    uint8_t what = rbuf_u8(in), a = rbuf_u8(in), b = rbuf_u8(in);
    switch (what % 12) {
    case 0: {
        size_t n = base_min_u64(a, rbuf_left(in));
        const void *p = rbuf_bytes(in, n);
        fuzz_deliver(p, n);
        break;
    }
    case 1:
        fuzz_dialled(a % 4 ? 0 : E_REFUSED);
        break;
    case 2:
        fuzz_greet(a);
        break;
    case 3:
    case 4:
        fuzz_ask(a, b);
        break;
    case 5:
    case 6:
        fuzz_answer(a);
        break;
    case 7:
        fuzz_event(a);
        break;
    case 8:
        fuzz_pass((int64_t)a * b * 1000000);
        break;
    case 9:
        fuzz_closed();
        break;
    case 10:
        zk_unwatch(w.z, &w.watch[a % WATCHES]);
        break;
    default:
        if (a % 16 == 0)
            (void)zk_auth(w.z, "digest", "u:geheim", 8);
        else if (a % 16 == 1 && !w.stop.done) {
            w.stop.done = fuzz_gone;
            zk_stop(w.z, b & 1, &w.stop);
        }
    }
    fuzz_turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem mem, heap_mem;
    struct zk_config cfg = zk_config_default();
    char why[128];
    fuzz_mem(&mem, 8 << 20);
    fuzz_mem(&heap_mem, 8 << 20);
    memset(&w, 0, sizeof w);
    w.env.vt = &fuzz_vt;
    w.conn.env = &w.env;
    w.now_ns = 1000000000;
    list_init(&w.posted);
    heap_init(&w.timers, &heap_mem);
    w.host.state = fuzz_state;
    cfg.connect = "h1,h2:99,h3";
    cfg.calls_max = 16;
    cfg.watches_max = 4;
    cfg.window_bytes = 200;
    cfg.frame_max = ZK_FRAME_MIN;
    int err = zk_open(&w.env, &mem, &cfg, &w.host, &w.z, why, sizeof why);
    ASSERT(!err);
    fuzz_pass(0);
    for (struct rbuf in = rbuf_make(data, size); rbuf_left(&in) >= 3 && !w.is_gone;)
        fuzz_command(&in);
    if (!w.stop.done) {
        w.stop.done = fuzz_gone;
        zk_stop(w.z, true, &w.stop);
        fuzz_turn();
    }
    for (uint32_t i = 0; i < 4 && !w.is_gone; i++) { /* what it waits for comes to its deadline */
        fuzz_dialled(E_TIMEOUT);
        fuzz_turn();
        fuzz_pass(20000000000);
    }
    ASSERT(w.is_gone && !w.peer && !heap_peek(&w.timers));
    for (uint32_t i = 0; i < CALLS; i++)
        ASSERT(!w.call[i].is_out);
    for (uint32_t i = 0; i < WATCHES; i++)
        ASSERT(w.watch[i].state == ZK_WATCH_IDLE);
    mem_drop(&mem);
    mem_drop(&heap_mem);
    return 0;
}
