/* tests/fuzz/fuzz_rpc_calls.c - any calls into a simulated master: it must answer or refuse each,
 * and its tables must hold afterwards.
 *
 * Input: calls, each u8 method, u8 length, bytes.  A file system call with an even length byte gets
 * a sound head (kind, flags, mask from the bytes), so that the fuzzer reaches the operations. */
#include "cluster/master.h"
#include "cluster/rpc.h"
#include "sim/sim.h"
#include "tests/fuzz/fuzz.h"

enum { CALLS_MAX = 32 };

static struct master *master;
static struct master_config cfg;
static const struct master_mount mount = {"/", "", FSOP_MOUNT_META, 0};

static void fuzz_boot(struct env *e, struct mem *m, void *ctx)
{
    (void)ctx;
    if (master_open(e, m, &cfg, &master) != 0)
        abort();
}

static void fuzz_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                         uint32_t len)
{
    (void)h;
    (void)method;
    rpc_reply(t, 0, body, len);
}

static unsigned answers;

static void fuzz_done(struct env_op *op)
{
    (void)op;
    answers++;
}

/* a body for RPC_FS whose head is sound as far as the bytes allow */
static uint32_t fuzz_fs(const uint8_t *from, size_t n, uint64_t session, uint8_t *to, uint32_t cap)
{
    struct wbuf w = wbuf_make(to, cap);
    struct fsop op = {.session = {session}};
    op.kind = n > 0 ? from[0] : 0;
    op.flags = n > 1 ? from[1] : 0;
    op.seq = n > 2 ? from[2] : 0;
    op.ino.v = n > 3 ? from[3] % 8 : 0;
    op.ino2.v = n > 4 ? from[4] % 8 : 0;
    op.mode = n > 5 ? (uint32_t)from[5] << 9 | 0755 : 0;
    op.valid = n > 6 ? from[6] : 0;
    op.arg = n > 7 ? from[7] : 0;
    op.name = (const char *)from + (n > 8 ? 8 : 0);
    op.name_len = n > 8 ? (uint32_t)(n - 8) / 2 : 0;
    op.name2 = op.name + op.name_len;
    op.name2_len = op.name_len;
    op.data = op.name;
    op.data_len = op.name_len;
    fsop_put(&w, &op);
    return w.bad ? 0 : (uint32_t)w.len;
}

static void fuzz_calls(struct sim *s, struct env *e, struct rpc_conn *c, const uint8_t *data,
                       size_t size)
{
    static struct rpc_call calls[CALLS_MAX];
    uint8_t body[1024];
    unsigned n = 0;
    answers = 0;
    for (size_t at = 0; at + 2 <= size && n < CALLS_MAX; n++) {
        uint16_t method = data[at] % 40;
        size_t len = data[at + 1];
        const uint8_t *p = data + at + 2;
        len = len < size - at - 2 ? len : size - at - 2;
        at += 2 + len;
        memset(&calls[n], 0, sizeof calls[n]);
        calls[n].op.done = fuzz_done;
        uint32_t body_len = (uint32_t)len;
        memcpy(body, p, len);
        if (method % 4 != 3 && len % 2 == 0) {
            method = RPC_FS;
            body_len = fuzz_fs(p, len, 2, body, sizeof body);
        }
        rpc_call(c, method, body, body_len, env_now_ns(e) + 120000000000LL, &calls[n]);
        sim_run_until(s, sim_now_ns(s) + 2000000);
    }
    sim_run_until(s, sim_now_ns(s) + 70000000000LL);
    if (answers != n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem m;
    char text[256];
    fuzz_mem(&m, 1u << 30);
    struct sim_config sc = sim_config_quiet(3);
    sc.node_mem_bytes = 64 << 20;
    struct sim *s = sim_open(&m, &sc);
    cfg = master_config_default();
    cfg.listen = "master:1";
    cfg.journal.segment_bytes = 1 << 20;
    cfg.journal.cluster_hi = 1;
    cfg.limits = (struct meta_limits){.inodes_max = 256, .sessions_max = 4};
    cfg.mounts = &mount;
    cfg.n_mounts = 1;
    cfg.requests_max = 16;
    cfg.clients_max = 4;
    sim_node_start(sim_node_add(s, "master"), fuzz_boot, NULL);
    struct sim_node *node = sim_node_add(s, "client");
    struct env *e = sim_node_up(node);
    static struct rpc_host host;
    memset(&host, 0, sizeof host);
    host.on_call = fuzz_on_call;
    if (rpc_host_init(&host, e, sim_mem(node), 2, CALLS_MAX) != 0)
        abort();
    struct rpc_conn *c = NULL;
    struct env_op op;
    sim_run_until(s, 1000000000);
    memset(&op, 0, sizeof op);
    rpc_connect(&host, "master:1", 1000000000, &op, &c);
    if (sim_run_op(s, &op, 2000000000) != 0)
        abort();
    fuzz_calls(s, e, c, data, size);
    if (!master_check(master, true, text, sizeof text))
        abort();
    sim_close(s);
    mem_drop(&m);
    return 0;
}
