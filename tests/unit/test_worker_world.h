/* tests/unit/test_worker_world.h - a worker in the simulated world, over an under-store that is
 * made up.
 *
 * A file of the under-store is (size, generation); its bytes are a function of path, generation and
 * offset, so that every byte that arrives can be checked. */
#ifndef TESTS_UNIT_TEST_WORKER_WORLD_H
#define TESTS_UNIT_TEST_WORKER_WORLD_H

#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "cluster/worker.h"
#include "cluster/worker_format.h"
#include "core/fmt.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

enum { PAGE = 64 * 1024, FILES = 40, CALLS = 120, BUF = 4 * PAGE, OPS = 64 };
static const int64_t SECOND = 1000000000LL;

/* ---- the under-store ---- */

struct fake_file {
    uint64_t size, gen;
    uint8_t written[256]; /* bytes 0..n_written were written */
    uint32_t n_written;
    uint64_t alloc_off, alloc_len;
    uint32_t alloc_how;
    bool is_dir; /* one has taken its place */
};

struct fake_op {
    struct env_timer t;
    struct ufs_op *op;
};

static struct fake_ufs {
    struct ufs u;
    struct env *env;
    struct fake_file file[FILES]; /* path "fN" */
    struct fake_op op[OPS];
    uint64_t reads, syncs, hung;
    int64_t latency_ns;
    int fail;
} fake;

static uint64_t fake_fp(uint64_t gen)
{
    return 1000 + gen;
}

static uint8_t fake_byte(uint32_t n, uint64_t gen, uint64_t off)
{
    return (uint8_t)(base_mix_u64(off / 8 + ((uint64_t)n << 40) + (gen << 52)) >> (off % 8 * 8));
}

static int64_t fake_do(struct ufs_op *o)
{
    if (fake.fail)
        return fake.fail;
    uint32_t n = (uint32_t)atoi(o->path + 1);
    if (o->path[0] != 'f' || n >= FILES || !fake.file[n].gen)
        return E_NOENT;
    struct fake_file *f = &fake.file[n];
    if (o->kind == UFS_SYNC) {
        fake.syncs++;
        return 0;
    }
    if (o->kind == UFS_WRITE) {
        CU_ASSERT_FATAL(o->off + o->len <= sizeof f->written);
        if (o->not_after_ns && env_now_ns(fake.env) > o->not_after_ns)
            return E_TIMEOUT;
        memcpy(f->written + o->off, o->buf, o->len);
        f->n_written = (uint32_t)(o->off + o->len);
        return o->len;
    }
    if (o->kind == UFS_ALLOC) {
        if (o->not_after_ns && env_now_ns(fake.env) > o->not_after_ns)
            return E_TIMEOUT;
        f->alloc_off = o->off;
        f->alloc_len = o->size;
        f->alloc_how = o->mode;
        return 0;
    }
    if (o->kind != UFS_READ)
        return E_NOTSUP;
    fake.reads++;
    if (f->is_dir)
        return o->expect_ino ? E_CHANGED : E_ISDIR;
    if (o->expect_fp && o->expect_fp != fake_fp(f->gen))
        return E_CHANGED;
    uint64_t got = o->off >= f->size ? 0 : base_min_u64(o->len, f->size - o->off);
    for (uint64_t i = 0; i < got; i++) {
        uint64_t at = o->off + i;
        ((uint8_t *)o->buf)[i] = at < f->n_written ? f->written[at] : fake_byte(n, f->gen, at);
    }
    return (int64_t)got;
}

static void fake_timer(struct env_op *op)
{
    struct fake_op *p = container_of(op, struct fake_op, t.op);
    struct ufs_op *o = p->op;
    p->op = NULL;
    o->op.ret = fake_do(o);
    o->op.done(&o->op);
}

static void fake_submit(struct ufs *u, struct ufs_op *o)
{
    (void)u;
    for (int i = 0; i < OPS; i++) {
        struct fake_op *p = &fake.op[i];
        if (p->op)
            continue;
        memset(p, 0, sizeof *p);
        p->op = o;
        p->t.op.done = fake_timer;
        env_timer_set(fake.env, &p->t, env_now_ns(fake.env) + fake.latency_ns);
        return;
    }
    CU_FAIL_FATAL("more under-store operations than the worker may have");
}

static void fake_close(struct ufs *u)
{
    (void)u;
}

/* another under-store, that never answers */
static void hung_submit(struct ufs *u, struct ufs_op *o)
{
    (void)u;
    (void)o;
    fake.hung++;
}

static int fake_open(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u)
{
    static const struct ufs_vt vt = {fake_submit, fake_close}, hung_vt = {hung_submit, fake_close};
    static struct ufs hung = {&hung_vt};
    (void)f;
    if (!strcmp(uri, "hung:")) {
        *ret_u = &hung;
        return 0;
    }
    if (strcmp(uri, "fake:"))
        return E_INVAL;
    fake.u.vt = &vt;
    fake.env = e;
    *ret_u = &fake.u;
    return 0;
}

static struct ufs_factory fake_factory = {fake_open};

/* ---- the world: a master that only listens, a worker, a client ---- */

struct call {
    struct rpc_call rpc;
    bool done, is_io;
    int err;
    struct rpc_io_reply reply;
};

static struct mem mem;
static struct sim *sim;
static struct sim_node *node_m, *node_w, *node_c;
static struct worker *worker;
static struct worker_config cfg;
static struct rpc_host master, client;
static struct rpc_conn *to_worker, *from_worker;
static struct env_op op;
static uint8_t *buf;
static struct env_region region;
static struct env_key key;
static struct call calls[CALLS];
static uint32_t told[FILES + 1]; /* pages that the master believes in, by inode */
static uint64_t told_incarnation, page_bytes;
static uint64_t page_cache_bytes; /* of the worker's memory */
static uint32_t beats, full_reports, leaving;
static bool drop_beats, want_full, two_mounts;
static const char *named[3]; /* masters, in the answer to a beat */
static uint16_t use_mount = 1;
static const char *policy;

static const char *counted; /* lines that say this */
static unsigned n_counted;

static void done(struct env_op *o)
{
    (void)o;
}

static void world_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                      const char *line)
{
    (void)ctx;
    (void)at_ns;
    (void)n;
    (void)level;
    n_counted += counted && strstr(line, counted);
}

static void master_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                        uint32_t len)
{
    (void)h;
    CU_ASSERT_EQUAL(method, RPC_WORKER_BEAT);
    if (drop_beats)
        return;
    struct rbuf r = rbuf_make(body, len);
    struct rpc_worker_beat b;
    CU_ASSERT_EQUAL_FATAL(rpc_format_worker_beat_get(&r, &b), 0);
    from_worker = t.conn;
    beats++;
    if (b.flags & RPC_BEAT_FULL_BEGIN)
        memset(told, 0, sizeof told);
    full_reports += (b.flags & RPC_BEAT_FULL_END) != 0;
    leaving += (b.flags & RPC_BEAT_LEAVING) != 0;
    for (uint32_t i = 0; i < b.n_deltas; i++) {
        struct rpc_page_delta d;
        CU_ASSERT_EQUAL_FATAL(rpc_format_delta_get(&b.items, &d), 0);
        CU_ASSERT_FATAL(d.ino.v <= FILES);
        told[d.ino.v] = d.pages;
    }
    struct rpc_worker_beat_reply a = {
        .epoch = 1,
        .interval_ns = 100000000,
        .page_bytes = page_bytes,
        .want_full =
            want_full || (told_incarnation != b.incarnation && !(b.flags & RPC_BEAT_FULL_BEGIN)),
        .n_mounts = two_mounts ? 2 : 1};
    told_incarnation = b.incarnation;
    struct rpc_mount_item m = {1, 0, "fake:", 5}, m2 = {2, 0, "hung:", 5};
    uint8_t out[256];
    struct wbuf w = wbuf_make(out, sizeof out);
    rpc_format_worker_beat_reply_put(&w, &a);
    rpc_format_mount_put(&w, &m);
    if (two_mounts)
        rpc_format_mount_put(&w, &m2);
    for (unsigned i = 0; i < ARRAY_LEN(named) && named[i]; i++)
        rpc_format_addr_put(&w, named[i], (uint32_t)strlen(named[i]));
    rpc_reply(t, 0, out, (uint32_t)w.len);
}

static void run_for(int64_t ns)
{
    sim_run_until(sim, sim_now_ns(sim) + ns);
}

static void connect_client(void)
{
    struct env_op o = {.done = done};
    rpc_connect(&client, "w:1", SECOND, &o, &to_worker);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(sim, &o, 10 * SECOND), 0);
}

static void worker_up(void)
{
    struct env *e = sim_node_up(node_w);
    CU_ASSERT_EQUAL_FATAL(worker_open(e, sim_mem(node_w), &cfg, &worker), 0);
    for (int i = 0; i < 100 && worker_state(worker, NULL) == WORKER_STARTING; i++)
        run_for(SECOND / 10);
}

static void make_world(uint64_t seed, uint64_t capacity)
{
    unit_mem(&mem, 1 << 30);
    struct sim_config sc = sim_config_quiet(seed);
    sc.node_mem_bytes = 64 << 20;
    sc.on_log = world_log;
    counted = NULL;
    n_counted = 0;
    sim = sim_open(&mem, &sc);
    node_m = sim_node_add(sim, "m");
    node_w = sim_node_add(sim, "w");
    node_c = sim_node_add(sim, "c");
    memset(&fake, 0, sizeof fake);
    fake.latency_ns = 5000000;
    for (uint64_t i = 0; i < FILES; i++)
        fake.file[i] = (struct fake_file){.size = i * PAGE / 2 + 100, .gen = 1};
    memset(told, 0, sizeof told);
    told_incarnation = 0;
    page_bytes = PAGE;
    beats = full_reports = leaving = 0;
    drop_beats = want_full = false;
    memset(&master, 0, sizeof master);
    memset(&client, 0, sizeof client);
    struct env *em = sim_node_up(node_m), *ec = sim_node_up(node_c);
    master.on_call = master_call;
    CU_ASSERT_EQUAL_FATAL(rpc_host_init(&master, em, sim_mem(node_m), 16, 64), 0);
    CU_ASSERT_EQUAL_FATAL(rpc_host_init(&client, ec, sim_mem(node_c), 16, 256), 0);
    op.done = done;
    rpc_listen(&master, "m:1", &op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(sim, &op, SECOND), 0);
    cfg = worker_config_default();
    cfg.listen = "w:1";
    cfg.host = "w";
    cfg.masters = "m:1";
    cfg.capacity_bytes = capacity;
    cfg.buffer_bytes = 16 * PAGE;
    cfg.page_cache_bytes = page_cache_bytes;
    cfg.ufs = &fake_factory;
    cfg.eviction = policy;
    worker_up();
    CU_ASSERT_EQUAL_FATAL(worker_state(worker, NULL), WORKER_SERVING);
    run_for(SECOND); /* mounts are known */
    buf = mem_alloc(sim_mem(node_c), BUF);
    env_share(ec, buf, BUF, &region, &key);
    connect_client();
}

static void end_world(void)
{
    char why[256] = "";
    if (worker && !worker_check(worker, why, sizeof why))
        CU_FAIL_FATAL(why);
    sim_close(sim);
    mem_drop(&mem);
    worker = NULL;
}

static void call_done(struct env_op *o)
{
    struct call *c = container_of(o, struct call, rpc.op);
    c->done = true;
    c->err = (int)o->ret;
    memset(&c->reply, 0, sizeof c->reply);
    struct rbuf r = rbuf_make(c->rpc.reply, c->rpc.reply_len);
    if (!c->err && c->is_io && c->rpc.reply_len)
        CU_ASSERT_EQUAL(rpc_format_io_reply_get(&r, &c->reply), 0);
}

static void wait_for(struct call *c)
{
    for (int i = 0; i < 40000 && !c->done; i++)
        run_for(SECOND / 1000);
    CU_ASSERT_FATAL(c->done);
}

/* `to` is to_worker (the client calls) or from_worker (the master does) */
static void send(struct call *c, struct rpc_conn *to, uint16_t method, const void *body,
                 uint32_t len)
{
    struct env *e = sim_env(to == from_worker ? node_m : node_c);
    memset(c, 0, sizeof *c);
    c->rpc.op.done = call_done;
    rpc_call(to, method, body, len, env_now_ns(e) + 30 * SECOND, &c->rpc);
}

/* the master has versions of file n freed that are older */
static void start_free(struct call *c, uint32_t n, uint64_t version)
{
    uint8_t body[64];
    struct rpc_free f = {{n + 1}, version};
    struct wbuf w = wbuf_make(body, sizeof body);
    rpc_format_free_put(&w, &f);
    send(c, from_worker, RPC_FREE, body, (uint32_t)w.len);
}

/* file n is inode n + 1; its version is its generation */
static uint16_t start_valid_ms; /* of what is started from now on */

static void start(struct call *c, uint16_t method, uint32_t n, uint16_t flags, uint64_t off,
                  uint32_t len, uint64_t key_off)
{
    char path[16];
    struct fake_file *f = &fake.file[n];
    snprintf(path, sizeof path, "f%u", n);
    struct rpc_io io = {.ino = {n + 1},
                        .version = f->gen,
                        .size = f->size,
                        .mount = use_mount,
                        .fp = fake_fp(f->gen),
                        .ufs_ino = 100 + n,
                        .flags = flags,
                        .off = off,
                        .len = len,
                        .key = key,
                        .key_off = key_off,
                        .valid_ms = start_valid_ms,
                        .path = path,
                        .path_len = (uint32_t)strlen(path)};
    uint8_t body[256];
    struct wbuf w = wbuf_make(body, sizeof body);
    rpc_format_io_put(&w, &io);
    send(c, to_worker, method, body, (uint32_t)w.len);
    c->is_io = true;
}

static int io(uint16_t method, uint32_t n, uint16_t flags, uint64_t off, uint32_t len)
{
    start(&calls[0], method, n, flags, off, len, 0);
    wait_for(&calls[0]);
    return calls[0].err;
}

static bool bytes_right(uint32_t n, uint64_t off, uint32_t len, uint64_t at)
{
    for (uint32_t i = 0; i < len; i++)
        if (buf[at + i] != fake_byte(n, fake.file[n].gen, off + i))
            return false;
    return true;
}

/* reads and checks the bytes; ret: 1 hit, 0 miss, or an error */
static int read_file(uint32_t n, uint64_t off, uint32_t len)
{
    memset(buf, 0xaa, BUF);
    int err = io(RPC_READ, n, 0, off, len);
    if (err) { /* its bytes may still be on their way: not into the next one's buffer */
        struct env_op o = {.done = done};
        env_revoke(&region, &o);
        CU_ASSERT_EQUAL_FATAL(sim_run_op(sim, &o, 10 * SECOND), 0);
        env_share(sim_env(node_c), buf, BUF, &region, &key);
        return err;
    }
    uint64_t size = fake.file[n].size;
    uint64_t want = off >= size ? 0 : base_min_u64(len, size - off);
    CU_ASSERT_EQUAL(calls[0].reply.bytes, want);
    CU_ASSERT(bytes_right(n, off, (uint32_t)want, 0));
    CU_ASSERT(want == BUF || buf[want] == 0xaa);
    return (int)calls[0].reply.hit;
}

static struct worker_stats stats(void)
{
    struct worker_stats s;
    worker_stats(worker, &s);
    return s;
}

static void name_of(uint32_t n, enum worker_format_kind kind, char to[ENV_NAME_MAX])
{
    worker_format_name(to, ENV_NAME_MAX, "", (struct ino){n + 1}, fake.file[n].gen, kind);
}

#endif
