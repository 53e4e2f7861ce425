/* tests/unit/test_zk_real.c - the ZooKeeper client against a real ensemble: TARN_ZK says where one
 * is ("127.0.0.1:2181,..."); without it nothing is tested, and it says so.  tests/e2e/test_zk.sh
 * starts one.  What it makes lies below a node of its own, and is removed at the end. */
#include <stdlib.h>
#include <time.h>
#include "core/fmt.h"
#include "journal/zk_impl.h"
#include "net/net.h"
#include "tests/unit/unit.h"

#define MS  1000000LL
#define SEC 1000000000LL

struct side {
    struct net *net;
    struct env *env;
    struct mem mem;
    struct zk *z;
    struct zk_host host;
    enum zk_state state;
    uint32_t n_connected, n_suspended;
};

struct look {
    struct zk_watch watch;
    bool fired;
    enum zk_event event;
};

struct answer { /* of one call, its bytes copied */
    struct zk_call call;
    bool done;
    char path[256];
    uint32_t kids;
    char names[64][128]; /* of the first of them */
    char hex[256];
    uint64_t sum;
};

static struct side a, b;
static char where[1024], root[64];
static bool never;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * SEC + t.tv_nsec;
}

static void on_log(void *ctx, enum env_log level, const char *node, const char *line)
{
    (void)ctx, (void)level;
    if (getenv("TARN_ZK_LOG"))
        printf("%s: %s\n", node, line);
}

static void on_state(struct zk_host *h, enum zk_state s, int why)
{
    struct side *x = container_of(h, struct side, host);
    (void)why;
    x->state = s;
    x->n_connected += s == ZK_CONNECTED;
    x->n_suspended += s == ZK_SUSPENDED;
}

static void on_fired(struct zk_watch *w, enum zk_event event)
{
    struct look *l = container_of(w, struct look, watch);
    l->fired = true;
    l->event = event;
}

static void on_done(struct env_op *op)
{
    struct answer *r = container_of(op, struct answer, call.op);
    struct zk_list kids = r->call.reply.children;
    const char *name;
    uint32_t n;
    r->done = true;
    fmt_into(r->path, sizeof r->path, "%.*s", (int)r->call.reply.path_len,
             r->call.reply.path ? r->call.reply.path : "");
    r->kids = kids.n;
    while (zk_proto_text_next(&kids, &name, &n))
        if (kids.n < r->kids && r->kids - kids.n <= 64)
            fmt_into(r->names[r->kids - kids.n - 1], sizeof r->names[0], "%.*s", (int)n, name);
    if (!r->call.reply.data)
        fmt_into(r->hex, sizeof r->hex, "null");
    for (uint32_t i = 0; i < r->call.reply.data_len && i < 100; i++)
        fmt_into(r->hex + 2 * i, 3, "%02x", ((const uint8_t *)r->call.reply.data)[i]);
    for (uint32_t i = 0; i < r->call.reply.data_len; i++)
        r->sum = r->sum * 31 + ((const uint8_t *)r->call.reply.data)[i];
}

static bool turn(void)
{
    if (a.net)
        net_run_until(a.net, &never, now_ns() + MS);
    if (b.net)
        net_run_until(b.net, &never, now_ns() + MS);
    return true;
}

static bool until(const bool *flag)
{
    for (int64_t end = now_ns() + 30 * SEC; !*flag && now_ns() < end;)
        turn();
    return *flag;
}

static bool until_state(const struct side *x, enum zk_state s)
{
    for (int64_t end = now_ns() + 30 * SEC; x->state != s && now_ns() < end;)
        turn();
    return x->state == s;
}

static void side_open(struct side *x, const char *name, int64_t timeout_ns)
{
    char why[256] = "";
    struct net_config c = {.node = name, .log = on_log, .log_level = ENV_LOG_DEBUG};
    struct zk_config cfg = zk_config_default();
    memset(x, 0, sizeof *x);
    CU_ASSERT_EQUAL_FATAL(net_open(&c, &x->net), 0);
    x->env = net_env(x->net);
    unit_mem(&x->mem, 64 << 20);
    x->host.state = on_state;
    cfg.connect = where;
    cfg.timeout_ns = timeout_ns;
    cfg.calls_max = 2048;
    CU_ASSERT_EQUAL_FATAL(zk_open(x->env, &x->mem, &cfg, &x->host, &x->z, why, sizeof why), 0);
    CU_ASSERT_FATAL(until_state(x, ZK_CONNECTED));
}

static void gone(struct env_op *op)
{
    struct answer *r = container_of(op, struct answer, call.op);
    r->done = true;
}

static int64_t side_close(struct side *x, bool closes)
{
    struct answer r = {.call.op.done = gone};
    zk_stop(x->z, closes, &r.call.op);
    CU_ASSERT(until(&r.done));
    net_close(x->net);
    x->net = NULL;
    mem_drop(&x->mem);
    return r.call.op.ret;
}

static int64_t run(struct side *x, struct answer *r, struct zk_call call)
{
    memset(r, 0, sizeof *r);
    r->call = call;
    r->call.op.done = on_done;
    r->call.deadline_ns = env_now_ns(x->env) + 20 * SEC;
    zk_submit(x->z, &r->call);
    CU_ASSERT_FATAL(until(&r->done));
    return r->call.op.ret;
}

static int64_t simple(struct side *x, int32_t what, const char *path, int32_t flags)
{
    struct answer r;
    return run(
        x, &r,
        (struct zk_call){
            .what = what, .path = path, .flags = flags, .data = "d", .data_len = 1, .version = -1});
}

static int64_t watch(struct side *x, int32_t what, const char *path, struct look *l)
{
    struct answer r;
    l->watch.fired = on_fired;
    return run(x, &r, (struct zk_call){.what = what, .path = path, .watch = &l->watch});
}

/* sessions that outlast a busy machine, and elections */
static const int64_t long_ns = 10 * SEC;

static void begin(void)
{
    side_open(&a, "a", long_ns);
    side_open(&b, "b", long_ns);
}

static void end(void)
{
    CU_ASSERT_EQUAL(side_close(&a, true), 0);
    CU_ASSERT_EQUAL(side_close(&b, true), 0);
}

static void test_tree(void)
{
    struct answer r;
    begin();
    CU_ASSERT_EQUAL(
        run(&a, &r,
            (struct zk_call){.what = ZK_OP_CREATE2, .path = "/t", .data = "abc", .data_len = 3}),
        0);
    CU_ASSERT_STRING_EQUAL(r.path, "/t");
    const struct zk_stat st = r.call.reply.stat;
    CU_ASSERT(st.czxid == st.mzxid && st.czxid == r.call.reply.zxid && st.data_len == 3);
    CU_ASSERT(!st.version && !st.owner && st.ctime_ms > 1600000000000);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/t", 0), E_EXIST);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/no/t", 0), E_NOENT);
    CU_ASSERT_EQUAL(
        run(&a, &r,
            (struct zk_call){
                .what = ZK_OP_SET_DATA, .path = "/t", .data = "xy", .data_len = 2, .version = 0}),
        0);
    CU_ASSERT(r.call.reply.stat.version == 1 && r.call.reply.stat.mzxid > st.mzxid);
    CU_ASSERT_EQUAL(
        run(&a, &r, (struct zk_call){.what = ZK_OP_SET_DATA, .path = "/t", .version = 0}),
        E_CONFLICT);
    CU_ASSERT_EQUAL(r.call.reply.err, ZK_ERR_BAD_VERSION);
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_DATA, .path = "/t"}), 0);
    CU_ASSERT(r.call.reply.data_len == 2 && r.sum == 'x' * 31 + 'y');
    CU_ASSERT_EQUAL(run(&a, &r,
                        (struct zk_call){.what = ZK_OP_CREATE,
                                         .path = "/t/s-",
                                         .flags = ZK_CREATE_EPHEMERAL_SEQUENTIAL}),
                    0);
    CU_ASSERT_STRING_EQUAL(r.path, "/t/s-0000000000");
    CU_ASSERT_EQUAL(
        run(&a, &r,
            (struct zk_call){.what = ZK_OP_CREATE, .path = "/t/", .flags = ZK_CREATE_SEQUENTIAL}),
        0);
    CU_ASSERT_STRING_EQUAL(r.path, "/t/0000000001");
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/t/s-0000000000/x", 0), E_NOTDIR);
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_EXISTS, .path = "/t/s-0000000000"}),
                    0);
    CU_ASSERT_EQUAL(r.call.reply.stat.owner, a.z->session);
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_CHILDREN2, .path = "/t"}), 0);
    CU_ASSERT(r.kids == 2 && r.call.reply.stat.children == 2);
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_CHILDREN, .path = "/t"}), 0);
    CU_ASSERT_EQUAL(r.kids, 2);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/t", 0), E_NOTEMPTY);
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_ACL, .path = "/t"}), 0);
    struct zk_acl acl = {0};
    CU_ASSERT_EQUAL(r.call.reply.acl.n, 1);
    (void)acl;
    /* the other one sees it after a sync, and the ephemeral node goes with its session */
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_SYNC, "/t", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_EXISTS, "/t/s-0000000000", 0), 0);
    CU_ASSERT_EQUAL(side_close(&a, true), 0);
    side_open(&a, "a", long_ns);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_SYNC, "/t", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_EXISTS, "/t/s-0000000000", 0), E_NOENT);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_DELETE, "/t/0000000001", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_DELETE, "/t", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_WHO_AM_I, NULL, 0), 0);
    end();
}

static void test_multi(void)
{
    struct answer r;
    begin();
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/m", 0), 0);
    struct zk_multi ops[4] = {{.what = ZK_OP_CHECK, .path = "/m", .version = 0},
                              {.what = ZK_OP_CREATE, .path = "/m/x"},
                              {.what = ZK_OP_SET_DATA, .path = "/m", .data = "1", .data_len = 1},
                              {.what = ZK_OP_CREATE2, .path = "/m/y"}};
    struct zk_call call = {.what = ZK_OP_MULTI, .ops = ops, .n_ops = 4};
    CU_ASSERT_EQUAL(run(&a, &r, call), 0);
    CU_ASSERT(ops[2].reply.stat.version == 1 && ops[2].reply.stat.mzxid == r.call.reply.zxid);
    CU_ASSERT(ops[3].reply.path_len && !ops[3].reply.err);
    CU_ASSERT_EQUAL(run(&a, &r, call), E_CONFLICT); /* the version is another one */
    CU_ASSERT(r.call.fault == 0 && r.call.reply.err == ZK_ERR_BAD_VERSION);
    struct zk_multi second[3] = {{.what = ZK_OP_CREATE, .path = "/m/z"},
                                 {.what = ZK_OP_DELETE, .path = "/m/none", .version = -1},
                                 {.what = ZK_OP_CREATE, .path = "/m/w"}};
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_MULTI, .ops = second, .n_ops = 3}),
                    E_NOENT);
    CU_ASSERT(r.call.fault == 1 && second[0].reply.err == 0);
    CU_ASSERT_EQUAL(second[2].reply.err, ZK_ERR_INCONSISTENCY);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_EXISTS, "/m/z", 0), E_NOENT);
    struct zk_multi last[3] = {{.what = ZK_OP_DELETE, .path = "/m/x", .version = -1},
                               {.what = ZK_OP_DELETE, .path = "/m/y", .version = 0},
                               {.what = ZK_OP_DELETE, .path = "/m", .version = 1}};
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_MULTI, .ops = last, .n_ops = 3}), 0);
    end();
}

static void test_watches(void)
{
    struct look data = {0}, gone_ = {0}, born = {0}, kids = {0};
    begin();
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/w", 0), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_SYNC, "/w", &data), E_INVAL);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_SYNC, "/w", 0), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_GET_DATA, "/w", &data), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_EXISTS, "/w/x", &born), E_NOENT);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_GET_CHILDREN2, "/w", &kids), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_SET_DATA, "/w", 0), 0);
    CU_ASSERT(until(&data.fired) && data.event == ZK_EVENT_DATA);
    CU_ASSERT(!born.fired && !kids.fired);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/w/x", 0), 0);
    CU_ASSERT(until(&born.fired) && born.event == ZK_EVENT_CREATED);
    CU_ASSERT(until(&kids.fired) && kids.event == ZK_EVENT_CHILDREN);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_EXISTS, "/w/x", &gone_), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/w/x", 0), 0);
    CU_ASSERT(until(&gone_.fired) && gone_.event == ZK_EVENT_DELETED);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/w", 0), 0);
    end();
}

/* what changes while there is no connection fires on the next one; what does not stays armed */
static void test_watches_outlive_connections(void)
{
    struct look l[5] = {0};
    begin();
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_CREATE, "/o", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_CREATE, "/o/same", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_CREATE, "/o/gone", 0), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_GET_DATA, "/o", &l[0]), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_GET_DATA, "/o/same", &l[1]), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_GET_DATA, "/o/gone", &l[2]), 0);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_EXISTS, "/o/new", &l[3]), E_NOENT);
    CU_ASSERT_EQUAL(watch(&b, ZK_OP_GET_CHILDREN2, "/o", &l[4]), 0);
    struct net *b_net = b.net;
    int64_t session = b.z->session;
    zk_session_lost(b.z, E_CLOSED, "the test cuts it");
    b.net = NULL; /* b stands still meanwhile */
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_SET_DATA, "/o", 0), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/o/gone", 0), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/o/new", 0), 0);
    b.net = b_net;
    for (int i = 0; i < 5; i++)
        if (i != 1)
            CU_ASSERT(until(&l[i].fired));
    CU_ASSERT(l[0].event == ZK_EVENT_DATA && l[2].event == ZK_EVENT_DELETED);
    CU_ASSERT(l[3].event == ZK_EVENT_CREATED && l[4].event == ZK_EVENT_CHILDREN);
    CU_ASSERT(!l[1].fired && b.z->session == session && b.n_connected == 2);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_SET_DATA, "/o/same", 0), 0);
    CU_ASSERT(until(&l[1].fired));
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/o/same", 0), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/o/new", 0), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/o", 0), 0);
    end();
}

static void test_auth(void)
{
    struct answer r;
    uint8_t area[64];
    struct wbuf w = wbuf_make(area, sizeof area);
    uint32_t n = 0;
    begin();
    zk_proto_acl_put(&w, &n, &(struct zk_acl){ZK_PERM_ALL, "auth", "", 4, 0});
    struct zk_call mine = {.what = ZK_OP_CREATE, .path = "/p", .acl = {w.p, (uint32_t)w.len, n}};
    CU_ASSERT_EQUAL(run(&a, &r, mine), E_INVAL); /* nobody is authenticated */
    CU_ASSERT_EQUAL(r.call.reply.err, ZK_ERR_INVALID_ACL);
    CU_ASSERT_EQUAL(zk_auth(a.z, "digest", "tarn:geheim", 11), 0);
    CU_ASSERT_EQUAL(run(&a, &r, mine), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_SYNC, "/p", 0), 0);
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_GET_DATA, "/p", 0), E_ACCES);
    zk_session_lost(a.z, E_CLOSED, "the test cuts it"); /* and again on the next connection */
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_GET_DATA, "/p", 0), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/p", 0), 0);
    CU_ASSERT_EQUAL(zk_auth(b.z, "nosuchscheme", "x", 1), 0);
    CU_ASSERT(until_state(&b, ZK_AUTH_FAILED));
    CU_ASSERT_EQUAL(side_close(&a, true), 0);
    CU_ASSERT_EQUAL(side_close(&b, true), 0);
}

static void test_large_and_many(void)
{
    enum { N = 1000 };
    static uint8_t large[1000000];
    static struct answer many[N];
    struct answer r;
    uint64_t sum = 0;
    begin();
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t)(i * 7 + i / 251);
        sum = sum * 31 + large[i];
    }
    CU_ASSERT_EQUAL(
        run(&a, &r,
            (struct zk_call){
                .what = ZK_OP_CREATE, .path = "/l", .data = large, .data_len = sizeof large}),
        0);
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_DATA, .path = "/l"}), 0);
    CU_ASSERT(r.call.reply.data_len == sizeof large && r.sum == sum);
    int64_t from_ns = now_ns();
    for (int i = 0; i < N; i++) {
        memset(&many[i], 0, sizeof many[i]);
        many[i].call = (struct zk_call){.op.done = on_done,
                                        .what = ZK_OP_CREATE,
                                        .path = "/l/some-name-of-a-child-",
                                        .flags = ZK_CREATE_SEQUENTIAL};
        zk_submit(a.z, &many[i].call);
    }
    for (int i = 0; i < N; i++) {
        CU_ASSERT_FATAL(until(&many[i].done));
        CU_ASSERT_EQUAL(many[i].call.op.ret, 0);
        CU_ASSERT(!i || strcmp(many[i - 1].path, many[i].path) < 0);
    }
    printf("\n    %d creates in flight: %lld ms\n", N, (long long)((now_ns() - from_ns) / MS));
    CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_CHILDREN2, .path = "/l"}), 0);
    CU_ASSERT_EQUAL(r.kids, N);
    for (int i = 0; i < N; i++) {
        char path[256];
        memcpy(path, many[i].path, sizeof path);
        CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, path, 0), 0);
    }
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/l", 0), 0);
    end();
}

/* The process stands still for longer than its session: what it learns when it goes on. */
static void test_expiry(void)
{
    struct look l = {0};
    side_open(&a, "a", long_ns);
    side_open(&b, "b", 2 * SEC); /* servers may say more */
    int64_t timeout_ns = b.z->timeout_ns;
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_CREATE, "/e", ZK_CREATE_EPHEMERAL), 0);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_SYNC, "/e", 0), 0);
    CU_ASSERT_EQUAL(watch(&a, ZK_OP_EXISTS, "/e", &l), 0);
    struct net *b_net = b.net;
    b.net = NULL;
    int64_t from_ns = now_ns();
    CU_ASSERT(until(&l.fired) && l.event == ZK_EVENT_DELETED);
    int64_t took_ns = now_ns() - from_ns;
    printf("\n    a session of %lld ms ends after %lld ms\n", (long long)(timeout_ns / MS),
           (long long)(took_ns / MS));
    CU_ASSERT(took_ns >= timeout_ns * 9 / 10 - 500 * MS);
    b.net = b_net;
    CU_ASSERT(until_state(&b, ZK_EXPIRED));
    CU_ASSERT_EQUAL(simple(&b, ZK_OP_EXISTS, "/e", 0), E_SESSION_EXPIRED);
    end();
}

/* pings alone keep a session */
static void test_idle(void)
{
    side_open(&a, "a", 2 * SEC);
    for (int64_t end_ns = now_ns() + 3 * a.z->timeout_ns; now_ns() < end_ns;)
        turn();
    CU_ASSERT(a.state == ZK_CONNECTED && a.n_connected == 1);
    struct zk_status s;
    zk_status(a.z, &s);
    CU_ASSERT(env_clock_ns(a.env) - s.heard_clock_ns < s.timeout_ns * 2 / 3);
    CU_ASSERT_EQUAL(side_close(&a, true), 0);
}

/* the node below which everything lies is the chroot; made and removed by a client without it */
static bool prepare(bool makes)
{
    bool ok;
    char with_root[sizeof where];
    memcpy(with_root, where, sizeof where);
    *strchr(where, '/') = 0;
    memset(&b, 0, sizeof b);
    side_open(&a, "prepare", long_ns);
    ok = simple(&a, makes ? ZK_OP_CREATE : ZK_OP_DELETE, root, 0) == 0;
    side_close(&a, true);
    memcpy(where, with_root, sizeof where);
    return ok;
}

/* A counter is raised by compare-and-set for so many seconds, while somebody breaks the servers
 * (tests/e2e/test_zk.sh).  What was answered counts once, what is unknown is looked up, and a
 * second client that only ever looks when its watch has fired sees the last value in the end. */
static struct {
    uint64_t value;
    struct answer got;
    struct look look;
    bool asked;
} seen;

static void soak_look(void)
{
    bool is_over = !seen.asked || seen.got.done;
    if (seen.asked && seen.got.done) {
        seen.asked = false;
        if (!seen.got.call.op.ret)
            seen.value = (uint64_t)seen.got.call.reply.stat.version;
    }
    if (is_over && seen.look.watch.state == ZK_WATCH_IDLE && b.state == ZK_CONNECTED) {
        memset(&seen.got, 0, sizeof seen.got);
        seen.look.watch.fired = on_fired;
        seen.got.call = (struct zk_call){.op.done = on_done,
                                         .what = ZK_OP_GET_DATA,
                                         .path = "/counter",
                                         .watch = &seen.look.watch,
                                         .deadline_ns = env_now_ns(b.env) + 5 * SEC};
        seen.asked = true;
        zk_submit(b.z, &seen.got.call);
    }
}

static void soak_until(const bool *flag)
{
    for (int64_t end = now_ns() + 60 * SEC; !*flag && now_ns() < end;) {
        turn();
        soak_look();
    }
    CU_ASSERT_FATAL(*flag);
}

static int64_t soak_run(struct answer *r, struct zk_call call)
{
    memset(r, 0, sizeof *r);
    r->call = call;
    r->call.op.done = on_done;
    r->call.deadline_ns = env_now_ns(a.env) + 5 * SEC;
    zk_submit(a.z, &r->call);
    soak_until(&r->done);
    return r->call.op.ret;
}

/* the version of the counter as the ensemble has it */
static int32_t soak_version(void)
{
    struct answer r;
    for (;;) {
        if (soak_run(&r, (struct zk_call){.what = ZK_OP_SYNC, .path = "/counter"}))
            continue;
        if (!soak_run(&r, (struct zk_call){.what = ZK_OP_EXISTS, .path = "/counter"}))
            return r.call.reply.stat.version;
    }
}

static void test_soak(void)
{
    const char *seconds = getenv("TARN_ZK_SOAK");
    struct answer r;
    uint32_t ok = 0, unknown = 0, unsent = 0, happened = 0;
    int32_t version = 0;
    if (!seconds)
        return;
    CU_ASSERT_FATAL(prepare(true));
    begin();
    memset(&seen, 0, sizeof seen);
    CU_ASSERT_EQUAL_FATAL(simple(&a, ZK_OP_CREATE, "/counter", 0), 0);
    for (int64_t end_ns = now_ns() + atoi(seconds) * SEC; now_ns() < end_ns;) {
        int64_t ret = soak_run(
            &r, (struct zk_call){.what = ZK_OP_SET_DATA, .path = "/counter", .version = version});
        if (!ret) {
            ok++;
            CU_ASSERT_EQUAL_FATAL(r.call.reply.stat.version, ++version);
            continue;
        }
        CU_ASSERT_NOT_EQUAL_FATAL(ret, E_CONFLICT); /* nobody else raises it */
        CU_ASSERT(a.state < ZK_EXPIRED && b.state < ZK_EXPIRED);
        unknown += r.call.is_sent && !r.call.is_answered;
        unsent += !r.call.is_sent;
        int32_t now = soak_version();
        CU_ASSERT_FATAL(now == version || (now == version + 1 && r.call.is_sent));
        happened += now != version;
        version = now;
    }
    CU_ASSERT_EQUAL(soak_version(), version);
    for (int64_t end_ns = now_ns() + 10 * SEC;
         seen.value != (uint64_t)version && now_ns() < end_ns;) {
        turn();
        soak_look();
    }
    CU_ASSERT_EQUAL(seen.value, (uint64_t)version);
    printf("\n    raised to %d: %u answered, %u unknown of which %u had happened, %u not sent; "
           "connections lost %u and %u times\n",
           version, ok, unknown, happened, unsent, a.n_suspended, b.n_suspended);
    CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/counter", 0), 0);
    end();
    CU_ASSERT(prepare(false));
}

/* as bench/zktree_main.c has it of ZooKeeper's own library */
static void print_tree(const char *path)
{
    struct answer r, kids;
    static char names[64][128];
    CU_ASSERT_EQUAL_FATAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_DATA, .path = path}), 0);
    const struct zk_stat *s = &r.call.reply.stat;
    printf("node %s %llx %llx %llx %d %d %d %llx %d %s\n", path, (unsigned long long)s->czxid,
           (unsigned long long)s->mzxid, (unsigned long long)s->pzxid, s->version, s->cversion,
           s->aversion, (unsigned long long)s->owner, s->children, r.hex);
    CU_ASSERT_EQUAL_FATAL(
        run(&a, &kids, (struct zk_call){.what = ZK_OP_GET_CHILDREN2, .path = path}), 0);
    if (!kids.kids)
        return;
    CU_ASSERT_FATAL(kids.kids <= 64); /* one level: their names are kept here */
    memcpy(names, kids.names, sizeof names);
    qsort(names, kids.kids, sizeof names[0], (int (*)(const void *, const void *))strcmp);
    for (uint32_t i = 0; i < kids.kids; i++) {
        char below[512];
        fmt_into(below, sizeof below, "%s/%s", path, names[i]);
        print_tree(below);
    }
}

/* Beside ZooKeeper's own command line (tests/e2e/test_zk.sh): what ours makes is read by it, and
 * the other way round. */
static void test_beside_cli(void)
{
    struct answer r;
    const char *verb = getenv("TARN_ZK_CLI"), *slash = strchr(where, '/');
    if (!verb)
        return;
    where[slash - where] = 0;
    memset(&b, 0, sizeof b);
    side_open(&a, "a", long_ns);
    if (!strcmp(verb, "tree")) {
        printf("\n");
        print_tree("/by-library");
    } else if (!strcmp(verb, "make")) {
        CU_ASSERT_EQUAL(
            run(&a, &r,
                (struct zk_call){
                    .what = ZK_OP_CREATE, .path = "/by-tarn", .data = "one", .data_len = 3}),
            0);
        CU_ASSERT_EQUAL(run(&a, &r,
                            (struct zk_call){.what = ZK_OP_SET_DATA,
                                             .path = "/by-tarn",
                                             .data = "two",
                                             .data_len = 3,
                                             .version = 0}),
                        0);
        CU_ASSERT_EQUAL(simple(&a, ZK_OP_CREATE, "/by-tarn/s-", ZK_CREATE_SEQUENTIAL), 0);
    } else {
        CU_ASSERT_EQUAL(run(&a, &r, (struct zk_call){.what = ZK_OP_GET_DATA, .path = "/by-cli"}),
                        0);
        CU_ASSERT(r.call.reply.data_len == 5 && r.call.reply.stat.children == 1);
        CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/by-cli/kid", 0), 0);
        CU_ASSERT_EQUAL(simple(&a, ZK_OP_DELETE, "/by-cli", 0), 0);
    }
    CU_ASSERT_EQUAL(side_close(&a, true), 0);
}

static void test_prepare(void)
{
    CU_ASSERT_FATAL(prepare(true));
}

static void test_remove(void)
{
    CU_ASSERT(prepare(false)); /* E_NOTEMPTY: a test left something behind */
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {UNIT(test_prepare),
                                             UNIT(test_tree),
                                             UNIT(test_multi),
                                             UNIT(test_watches),
                                             UNIT(test_watches_outlive_connections),
                                             UNIT(test_auth),
                                             UNIT(test_large_and_many),
                                             UNIT(test_expiry),
                                             UNIT(test_idle),
                                             UNIT(test_remove),
                                             UNIT(test_soak),
                                             UNIT(test_beside_cli)};
    const char *zk = getenv("TARN_ZK");
    if (!zk || !*zk) {
        printf("skipped: TARN_ZK names no ZooKeeper (host:port,...); tests/e2e/test_zk.sh starts "
               "one\n");
        return 77;
    }
    fmt_into(root, sizeof root, "/tarn-test-%llx", (unsigned long long)now_ns());
    fmt_into(where, sizeof where, "%s%s", zk, root);
    return unit_main("zk_real", cases, ARRAY_LEN(cases), argc, argv);
}
