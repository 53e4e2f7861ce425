/* tests/unit/test_zk_group.c - masters with the ZooKeeper journal as they will run: an ensemble
 * (sim/lab_zk.h), a shared directory (sim/sim_shared.h), the election through the one, the log in
 * the other.
 *
 * Always checked: an index has one record for ever; what was answered for is at its index; a read
 * comes after all that was answered for before it. */
#include "core/fmt.h"
#include "journal/journal.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "sim/lab_zk.h"
#include "sim/sim_shared.h"
#include "tests/unit/unit.h"

enum { ZG_MEMBERS = 3, ZG_RECORDS = 1 << 14, ZG_OPS = 128, ZG_SLOTS = 512 };

static const int64_t zg_ms = 1000000;
static int64_t zg_session_ms = 1000;

struct zg_op {
    struct env_op op;
    struct zg *g;
    uint32_t member, life;
    bool busy, is_read;
    uint64_t id, least;
};

struct zg_member {
    struct zg *g;
    uint32_t i, life;
    uint32_t id;         /* 0: its own, i + 1 */
    const char *cluster; /* whose it is, as it thinks; NULL: it does not ask */
    struct sim_node *node;
    struct journal *j;
    struct journal_host host;
    struct zk_elect *elect;
    struct zk_config zk;
    enum journal_role role;
    uint64_t applied, epoch, in_applied;
    uint32_t out_left;
    uint64_t out_applied;
    struct env_acceptor acceptor; /* where the others see whether it is there */
    struct env_peer peer[ZG_MEMBERS];
    uint32_t n_peers;
    struct env_op listen_op;
};

struct zg_hand {
    struct env_op op;
    struct zg *g;
    bool busy;
    uint32_t i, life;
};

struct zg {
    struct mem mem;
    struct sim *s;
    struct lab_zk *zk;
    struct sim_shared *fs;
    struct zg_member m[ZG_MEMBERS];
    struct zg_op ops[ZG_OPS];
    struct zg_hand hand;
    uint32_t n_handed;
    char connect[128];
    uint64_t value_at[ZG_RECORDS], acked, next_id;
    uint32_t n_acked, n_unknown, n_reads, n_leads;
    int64_t last_ack_ns, longest_ns;
    bool bad;
};

static struct zg zg_one;
static const char *zg_weakness = "";
static bool zg_listens;
static const char *zg_cluster; /* that /cluster must say; NULL: anything */

#define ZG_EXPECT(g, cond)                                                            \
    do {                                                                              \
        if (!(cond) && !(g)->bad) {                                                   \
            (g)->bad = true;                                                          \
            fprintf(stderr, "expectation failed at line %d, %lld ms: %s\n", __LINE__, \
                    (long long)(sim_now_ns((g)->s) / zg_ms), #cond);                  \
        }                                                                             \
    } while (0)

static struct zg_member *zg_of(struct journal_host *h)
{
    return container_of(h, struct zg_member, host);
}

static void zg_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct zg_member *m = zg_of(h);
    struct zg *g = m->g;
    ZG_EXPECT(g, index > m->applied && index < ZG_RECORDS && len == 40);
    if (g->bad)
        return;
    uint64_t id = base_get_u64(rec);
    ZG_EXPECT(g, !g->value_at[index] || g->value_at[index] == id);
    g->value_at[index] = id;
    m->applied = index;
}

static void zg_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct zg_member *m = zg_of(h);
    (void)why;
    m->role = role;
    m->epoch = epoch;
    m->g->n_leads += role == JOURNAL_LEADER;
}

static void zg_image_begin(struct journal_host *h)
{
    zg_of(h)->out_left = 2;
    zg_of(h)->out_applied = zg_of(h)->applied;
}

static uint32_t zg_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct zg_member *m = zg_of(h);
    (void)cap;
    if (!m->out_left)
        return 0;
    memset(buf, 3, 2000);
    base_put_u64(buf, m->out_applied);
    return --m->out_left ? 2000 : 8;
}

static void zg_image_end(struct journal_host *h)
{
    zg_of(h)->out_left = 0;
}

static int zg_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct zg_member *m = zg_of(h);
    if (len == 8)
        m->in_applied = base_get_u64(piece);
    else if (len == 0)
        m->applied = m->in_applied;
    return 0;
}

static void zg_image_reset(struct journal_host *h)
{
    zg_of(h)->applied = 0;
}

static void zg_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n;
}

static void zg_closed(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

static struct env_peer *zg_accept(struct env_acceptor *a, const char *from)
{
    struct zg_member *m = container_of(a, struct zg_member, acceptor);
    struct env_peer *p = &m->peer[m->n_peers++ % ZG_MEMBERS];
    (void)from;
    *p = (struct env_peer){.on_frame = zg_frame, .on_close = zg_closed};
    return p;
}

static void zg_listening(struct env_op *op)
{
    CU_ASSERT_EQUAL(op->ret, 0);
}

static void zg_boot(struct env *e, struct mem *mem, void *ctx)
{
    struct zg_member *m = ctx;
    struct zg *g = m->g;
    char addr[ENV_ADDR_MAX], why[200], who[32];
    struct journal_config cfg = journal_config_default();
    struct zk_elect_config ec = {.zk = &m->zk,
                                 .id = m->id ? m->id : m->i + 1,
                                 .addr = addr,
                                 .who = who,
                                 .cluster = m->cluster ? m->cluster : zg_cluster};
    struct env *shared = sim_shared_mount(g->fs, m->node);
    m->life++;
    m->applied = 0;
    m->role = JOURNAL_STARTING;
    m->out_left = 0;
    m->zk = zk_config_default();
    m->zk.connect = g->connect;
    m->zk.timeout_ns = zg_session_ms * zg_ms;
    m->zk.frame_max = 64 << 10;
    m->zk.calls_bytes = 64 << 10;
    m->zk.window_bytes = 32 << 10;
    fmt_into(addr, sizeof addr, "m%u:19998", m->i + 1);
    fmt_into(who, sizeof who, "pid %u on m%u", m->life, m->i + 1);
    CU_ASSERT_FATAL(zk_elect_open(e, mem, &ec, &m->elect, why, sizeof why) == 0);
    m->host = (struct journal_host){.apply = zg_apply,
                                    .role = zg_role,
                                    .image_begin = zg_image_begin,
                                    .image_next = zg_image_next,
                                    .image_end = zg_image_end,
                                    .image_load = zg_image_load,
                                    .image_reset = zg_image_reset};
    cfg.segment_bytes = 256 << 10;
    cfg.batch_bytes = 16 << 10;
    cfg.queue_bytes = 64 << 10;
    cfg.image_after_bytes = 512 << 10;
    cfg.zk.id = ec.id;
    cfg.zk.dir = "journal";
    m->j = zk_drive_open(e, shared, mem, &cfg, m->elect, &m->host);
    CU_ASSERT_FATAL(m->j != NULL);
    if (!zg_listens) /* so that one that is gone is seen to be */
        return;
    m->acceptor = (struct env_acceptor){.on_open = zg_accept};
    m->listen_op = (struct env_op){.done = zg_listening};
    env_listen(e, addr, &m->acceptor, &m->listen_op);
}

static void zg_start(struct zg *g, uint32_t i)
{
    g->m[i].j = NULL; /* until it has booted */
    sim_node_start(g->m[i].node, zg_boot, &g->m[i]);
}

static char zg_error[300]; /* the last one */

static void zg_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                   const char *line)
{
    (void)ctx;
    if (level == ENV_LOG_ERROR)
        fmt_into(zg_error, sizeof zg_error, "%s", line);
    if (getenv("ZG_LOG"))
        fprintf(stderr, "    %.6f %s %s\n", (double)at_ns / 1e9, sim_node_name(n), line);
}

/* ZG_WEAK: the storage is not what the journal needs, to see what breaks */
static const char *zg_weak(void)
{
    return getenv("ZG_WEAK") ? getenv("ZG_WEAK") : zg_weakness;
}

static struct sim_shared_config zg_storage(void)
{
    struct sim_shared_config c = sim_shared_quiet();
    const char *weak = zg_weak();
    if (strstr(weak, "names"))
        c.stale_names_ns = 2000 * zg_ms;
    if (strstr(weak, "sizes"))
        c.stale_sizes_ns = 2000 * zg_ms;
    if (strstr(weak, "pages"))
        c.stale_pages_ns = 2000 * zg_ms;
    c.stale_direct = strstr(weak, "direct") != NULL;
    if (strstr(weak, "writes")) {
        c.late_write_ppm = 50000;
        c.late_write_mean_ns = 1000 * zg_ms;
        c.write_back = strstr(weak, "back") != NULL;
    }
    if (strstr(weak, "moves")) {
        c.late_name_ppm = 200000;
        c.late_name_mean_ns = 1000 * zg_ms;
    }
    if (strstr(weak, "both")) {
        c.create_both_ppm = 500000;
        c.create_both_ns = 1000 * zg_ms;
    }
    return c;
}

static void zg_open(struct zg *g, uint64_t seed)
{
    struct sim_config world = sim_config_quiet(seed);
    struct sim_shared_config shared = zg_storage();
    struct lab_zk_config zk = lab_zk_config_default(3, seed);
    char name[8];
    struct zk_fence f;
    struct env_op op = {0};
    memset(g, 0, sizeof *g);
    unit_mem(&g->mem, 2ULL << 30);
    world.node_mem_bytes = 128 << 20;
    world.on_log = zg_log;
    zk.tick_ns = 200 * zg_ms;
    g->s = sim_open(&g->mem, &world);
    g->zk = lab_zk_open(&g->mem, g->s, &zk);
    g->fs = sim_shared_open(g->s, "nfs", &shared);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
        fmt_into(name, sizeof name, "m%u", i + 1);
        g->m[i] = (struct zg_member){.g = g, .i = i, .node = sim_node_add(g->s, name)};
    }
    g->next_id = 1;
    lab_zk_connect_string(g->zk, g->connect, sizeof g->connect);
    fmt_into(g->connect + strlen(g->connect), sizeof g->connect - strlen(g->connect), "/a/tarn");
    lab_zk_start_all(g->zk);
    struct sim_node *n = sim_node_add(g->s, "f");
    sim_node_up(n);
    CU_ASSERT_FATAL(zk_fence_init(&f, sim_shared_mount(g->fs, n), sim_mem(n), "journal/"));
    zk_fence_format(&f, 5, 7, ZG_SLOTS, &op);
    CU_ASSERT_FATAL(sim_run_op(g->s, &op, 10000 * zg_ms) == 0);
    zk_fence_drop(&f);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++)
        zg_start(g, i);
}

static void zg_close(struct zg *g)
{
    char why[200] = "";
    CU_ASSERT(lab_zk_check(g->zk, why, sizeof why));
    CU_ASSERT(!g->bad);
    sim_close(g->s);
    mem_drop(&g->mem);
}

static void zg_done(struct env_op *op)
{
    struct zg_op *o = container_of(op, struct zg_op, op);
    struct zg *g = o->g;
    o->busy = false;
    if (o->is_read) {
        g->n_reads += op->ret == 0;
        ZG_EXPECT(g, op->ret || g->m[o->member].applied >= o->least);
        return;
    }
    if (op->ret < 0) {
        g->n_unknown++;
        return;
    }
    ZG_EXPECT(g, g->value_at[op->ret] == o->id);
    g->acked = base_max_u64(g->acked, (uint64_t)op->ret);
    g->n_acked++;
    if (g->last_ack_ns)
        g->longest_ns = g->longest_ns > sim_now_ns(g->s) - g->last_ack_ns
                            ? g->longest_ns
                            : sim_now_ns(g->s) - g->last_ack_ns;
    g->last_ack_ns = sim_now_ns(g->s);
}

static bool zg_asks(struct zg *g, uint32_t i, bool is_read)
{
    uint8_t rec[40] = {0};
    struct zg_member *m = &g->m[i];
    for (uint32_t k = 0; k < ZG_OPS; k++) {
        struct zg_op *o = &g->ops[k];
        if (o->busy && o->life == g->m[o->member].life)
            continue;
        *o = (struct zg_op){.op.done = zg_done,
                            .g = g,
                            .member = i,
                            .life = m->life,
                            .busy = true,
                            .is_read = is_read,
                            .least = g->acked,
                            .id = g->next_id};
        if (is_read) {
            journal_barrier(m->j, &o->op);
        } else {
            base_put_u64(rec, g->next_id++);
            journal_submit(m->j, rec, sizeof rec, &o->op);
        }
        return true;
    }
    return false;
}

static void zg_run(struct zg *g, int64_t ms)
{
    sim_run_until(g->s, sim_now_ns(g->s) + ms * zg_ms);
}

static uint32_t zg_leader(const struct zg *g)
{
    for (uint32_t i = 0; i < ZG_MEMBERS; i++)
        if (sim_node_is_up(g->m[i].node) && g->m[i].role == JOURNAL_LEADER)
            return i;
    return ZG_MEMBERS;
}

/* for so long every leader is given records, and everybody is asked */
static void zg_load(struct zg *g, int64_t ms)
{
    for (int64_t k = 0; k < ms && !g->bad && g->next_id + 8 < ZG_RECORDS / 2; k += 5) {
        for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
            if (!sim_node_is_up(g->m[i].node) || !g->m[i].j)
                continue;
            if (g->m[i].role == JOURNAL_LEADER)
                zg_asks(g, i, false);
            if (k % 50 == 0)
                zg_asks(g, i, true);
        }
        zg_run(g, 5);
    }
}

static void test_a_master_fails_and_another_leads(void)
{
    struct zg *g = &zg_one;
    zg_open(g, 1);
    zg_load(g, 5000);
    CU_ASSERT_FATAL(zg_leader(g) < ZG_MEMBERS && g->n_acked > 100);
    CU_ASSERT_EQUAL(g->n_leads, 1);
    zg_run(g, 100);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
        CU_ASSERT_EQUAL(g->m[i].elect->leader, zg_leader(g) + 1);
        CU_ASSERT(g->m[i].applied >= g->acked);
    }
    CU_ASSERT_STRING_EQUAL(zk_elect_leader_addr(g->m[0].elect), zg_leader(g) == 0   ? "m1:19998"
                                                                : zg_leader(g) == 1 ? "m2:19998"
                                                                                    : "m3:19998");
    for (int k = 0; k < 3; k++) {
        uint32_t was = zg_leader(g), acked = g->n_acked;
        g->last_ack_ns = sim_now_ns(g->s);
        g->longest_ns = 0;
        sim_node_crash(g->m[was].node);
        zg_load(g, 4000);
        CU_ASSERT(g->n_acked > acked + 50);
        printf("%lld ms ", (long long)(g->longest_ns / zg_ms));
        CU_ASSERT(g->longest_ns < 2000 * zg_ms);
        zg_start(g, was);
        zg_load(g, 1000);
    }
    zg_close(g);
}

/* A process that is plainly gone: nobody waits for the end of its session. */
static void test_a_dead_process_is_not_waited_for(void)
{
    struct zg *g = &zg_one;
    zg_listens = true;
    zg_open(g, 1);
    zg_load(g, 5000);
    for (int k = 0; k < 4; k++) {
        uint32_t was = zg_leader(g), acked = g->n_acked;
        CU_ASSERT_FATAL(was < ZG_MEMBERS);
        g->last_ack_ns = sim_now_ns(g->s);
        g->longest_ns = 0;
        sim_node_crash(g->m[was].node);
        zg_load(g, 900); /* less than a session */
        CU_ASSERT(g->n_acked > acked + 20);
        CU_ASSERT(g->longest_ns < 300 * zg_ms);
        zg_start(g, was);
        zg_load(g, 500);
    }
    zg_listens = false;
    zg_close(g);
}

/* The second process of a number is refused, and the first one goes on. */
static void test_two_of_one_number(void)
{
    struct zg *g = &zg_one;
    for (uint64_t seed = 1; seed < 6; seed++) {
        zg_open(g, seed);
        zg_load(g, 3000);
        sim_node_crash(g->m[2].node);
        zg_load(g, 3000);
        g->m[2].id = 1;
        *zg_error = 0;
        zg_start(g, 2);
        int64_t began = sim_now_ns(g->s);
        for (int k = 0; k < 200 && g->m[2].role != JOURNAL_FAILED; k++)
            zg_load(g, 50);
        CU_ASSERT_EQUAL(g->m[2].role, JOURNAL_FAILED);
        CU_ASSERT(sim_now_ns(g->s) - began < 3500 * zg_ms);
        CU_ASSERT_PTR_NOT_NULL(
            strstr(zg_error, "number 1 is taken: m1:19998, pid 1 on m1 takes part as member 1"));
        uint32_t acked = g->n_acked;
        zg_load(g, 5000);
        CU_ASSERT(g->n_acked > acked + 50);
        CU_ASSERT(g->m[0].role == JOURNAL_STANDBY || g->m[0].role == JOURNAL_LEADER);
        sim_node_crash(g->m[2].node);
        g->m[2].id = 0;
        zg_start(g, 2);
        zg_load(g, 8000);
        CU_ASSERT(g->m[2].role == JOURNAL_STANDBY || g->m[2].role == JOURNAL_LEADER);
        zg_close(g);
    }
}

/* --- ZooKeeper's data lost --- */

static const char zg_id[] = "00000000000000050000000000000007";

static void zg_zk_state(struct zk_host *h, enum zk_state state, int why)
{
    (void)h, (void)state, (void)why;
}

static void zg_zk_called(struct env_op *op)
{
    (void)op;
}

/* as `tarn journal bootstrap` does it */
static void zg_bootstrap(struct zg *g)
{
    static const char *const paths[] = {"/a", "/a/tarn", "/a/tarn/cluster"};
    static struct zk_host host = {zg_zk_state};
    struct sim_node *n;
    struct zk_config c = zk_config_default();
    char servers[128], name[16];
    struct zk *zk;
    fmt_into(name, sizeof name, "b%llu", (unsigned long long)sim_now_ns(g->s));
    n = sim_node_add(g->s, name);
    lab_zk_connect_string(g->zk, servers, sizeof servers);
    c.connect = servers;
    c.frame_max = 64 << 10;
    sim_node_up(n);
    CU_ASSERT_FATAL(zk_open(sim_env(n), sim_mem(n), &c, &host, &zk, NULL, 0) == 0);
    for (uint32_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct zk_call call = {.op.done = zg_zk_called, .what = ZK_OP_CREATE, .path = paths[i]};
        call.data = zg_id;
        call.data_len = sizeof zg_id - 1;
        zk_submit(zk, &call);
        for (int k = 0; k < 1000 && !call.is_answered; k++)
            zg_run(g, 10);
        CU_ASSERT_FATAL(call.is_answered);
    }
    sim_node_crash(n);
}

/* the servers' disks are emptied, or go back to what was kept */
static void zg_lose(struct zg *g, bool to_kept, int64_t away_ms)
{
    for (uint32_t i = 0; i < 3; i++)
        sim_node_crash(lab_zk_node(g->zk, i));
    zg_load(g, away_ms);
    lab_zk_lose(g->zk, to_kept);
    lab_zk_start_all(g->zk);
}

static bool zg_zk_has(const struct zg *g, const char *path)
{
    int32_t led = lab_zk_leader(g->zk);
    return led >= 0 &&
           lab_zk_tree_find(lab_zk_tree(g->zk, (uint32_t)led), path, (uint32_t)strlen(path));
}

static uint32_t zg_masters_there(const struct zg *g)
{
    uint32_t n = 0;
    char path[40];
    for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
        fmt_into(path, sizeof path, "/a/tarn/masters/%u", i + 1);
        n += zg_zk_has(g, path);
    }
    return n;
}

/* Who leads goes on without a moment's rest, the path is made again by those who run, and another
 * one can lead. */
static void test_zookeeper_begins_anew(void)
{
    struct zg *g = &zg_one;
    zg_cluster = zg_id;
    for (uint64_t seed = 1; seed < 9; seed++) {
        bool to_kept = seed % 2 == 0;
        zg_open(g, seed);
        zg_bootstrap(g);
        zg_load(g, 5000);
        CU_ASSERT_FATAL(zg_leader(g) < ZG_MEMBERS);
        if (to_kept) {
            CU_ASSERT(lab_zk_keep(g->zk));
            for (int k = 0; k < 3; k++) { /* so that its epoch is behind */
                lab_zk_depose(g->zk);
                zg_load(g, 3000);
            }
        }
        uint32_t was = zg_leader(g), leads = g->n_leads;
        uint64_t epoch = g->m[was].epoch;
        g->longest_ns = 0;
        *zg_error = 0;
        zg_lose(g, to_kept, seed % 3 * 700);
        zg_load(g, 12000);
        CU_ASSERT_EQUAL(zg_leader(g), was);
        CU_ASSERT_EQUAL(g->n_leads, leads);
        CU_ASSERT_EQUAL(g->m[was].epoch, epoch);
        CU_ASSERT(g->longest_ns < 200 * zg_ms);
        CU_ASSERT_PTR_NOT_NULL(strstr(zg_error, "has lost its data"));
        CU_ASSERT(zg_zk_has(g, "/a/tarn/cluster") && zg_zk_has(g, "/a/tarn/leader"));
        CU_ASSERT_EQUAL(zg_masters_there(g), 3);
        for (uint32_t i = 0; i < ZG_MEMBERS; i++)
            CU_ASSERT_EQUAL(g->m[i].elect->leader, was + 1);
        sim_node_crash(g->m[was].node);
        zg_load(g, 4000);
        CU_ASSERT(zg_leader(g) < ZG_MEMBERS && zg_leader(g) != was);
        CU_ASSERT(g->m[zg_leader(g)].epoch > epoch);
        zg_close(g);
    }
    zg_cluster = NULL;
}

/* A master that was started since does not know whose path it was, and makes none: the others do,
 * or the operator. */
static void test_who_does_not_know_makes_no_path(void)
{
    struct zg *g = &zg_one;
    zg_cluster = zg_id;
    zg_open(g, 3);
    zg_bootstrap(g);
    zg_load(g, 3000);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++)
        sim_node_crash(g->m[i].node);
    zg_lose(g, false, 1000);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++)
        zg_start(g, i);
    zg_load(g, 5000);
    CU_ASSERT(zg_leader(g) == ZG_MEMBERS && !zg_zk_has(g, "/a"));
    CU_ASSERT_PTR_NOT_NULL(strstr(zg_error, "`tarn journal bootstrap` makes the path"));
    zg_bootstrap(g);
    zg_load(g, 3000);
    CU_ASSERT(zg_leader(g) < ZG_MEMBERS && zg_masters_there(g) == 3);
    zg_close(g);
    zg_cluster = NULL;
}

/* Who is of another cluster than ZooKeeper's path does not stand there, and ends. */
static void test_another_clusters_path(void)
{
    struct zg *g = &zg_one;
    zg_open(g, 3);
    sim_node_crash(g->m[0].node);
    zg_load(g, 3000);
    CU_ASSERT(lab_zk_set(g->zk, "/a/tarn/cluster", "theirs"));
    zg_load(g, 500);
    for (int own = 0; own < 2; own++) {
        g->m[0].cluster = own ? "theirs" : "ours";
        *zg_error = 0;
        zg_start(g, 0);
        zg_load(g, 2000);
        CU_ASSERT_EQUAL(g->m[0].role == JOURNAL_FAILED, !own);
        CU_ASSERT_EQUAL(strstr(zg_error, "has the journal of cluster ours, but") != NULL, !own);
        if (!own)
            sim_node_crash(g->m[0].node);
    }
    zg_close(g);
}

/* who was killed and starts anew finds its node there until its old session is over */
static void test_a_restart_is_not_refused(void)
{
    struct zg *g = &zg_one;
    zg_session_ms = 8000; /* longer than it takes to refuse */
    for (uint64_t seed = 1; seed < 6; seed++) {
        zg_open(g, seed);
        zg_load(g, 3000);
        sim_node_crash(g->m[1].node);
        zg_start(g, 1);
        zg_load(g, 7000); /* it is looked at a few times */
        CU_ASSERT(g->m[1].role == JOURNAL_STANDBY || g->m[1].role == JOURNAL_LEADER);
        sim_node_crash(g->m[1].node);
        zg_start(g, 1); /* once more, while the first session is still there */
        zg_load(g, 25000);
        for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
            CU_ASSERT(g->m[i].role == JOURNAL_STANDBY || g->m[i].role == JOURNAL_LEADER);
            CU_ASSERT_EQUAL_FATAL(g->m[i].elect->n_members, 3);
            CU_ASSERT(g->m[i].elect->member[1].applied + 2000 > g->m[i].applied);
        }
        zg_close(g);
    }
    zg_session_ms = 1000;
}

/* the chroot was not there; every member is known to all; the one behind all others is called */
static void test_leadership_is_handed_over(void)
{
    struct zg *g = &zg_one;
    struct journal_status st;
    zg_open(g, 2);
    zg_load(g, 6000);
    CU_ASSERT_FATAL(zg_leader(g) < ZG_MEMBERS);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
        journal_status(g->m[i].j, &st);
        CU_ASSERT_EQUAL(st.n, ZG_MEMBERS);
        for (uint32_t k = 0; k < st.n && k < ZG_MEMBERS; k++) {
            CU_ASSERT_EQUAL(st.member[k].id, k + 1);
            CU_ASSERT_EQUAL(st.member[k].leads, k == zg_leader(g));
            CU_ASSERT(st.member[k].match > 0);
            CU_ASSERT(!strcmp(st.member[k].addr + 2, ":19998"));
        }
    }
    for (uint32_t k = 0; k < 9 && !g->bad; k++) {
        uint32_t was = zg_leader(g), to = (was + 1 + k % 2) % ZG_MEMBERS;
        struct journal_change what = {.verb = JOURNAL_ELECT, .id = k % 3 ? to + 1 : 0};
        struct env_op op = {0};
        int64_t began = sim_now_ns(g->s), took;
        g->last_ack_ns = 0;
        g->longest_ns = 0;
        for (int n = 0; n < 20; n++)
            zg_asks(g, was, false);
        journal_change(g->m[was].j, &what, began + 2000 * zg_ms, &op);
        CU_ASSERT_EQUAL(sim_run_op(g->s, &op, 3000 * zg_ms), 0);
        took = sim_now_ns(g->s) - began;
        zg_load(g, 1000);
        CU_ASSERT_FATAL(zg_leader(g) < ZG_MEMBERS && zg_leader(g) != was);
        if (what.id)
            CU_ASSERT_EQUAL(zg_leader(g), to);
        printf("%lld/%lld ms ", (long long)(took / zg_ms), (long long)(g->longest_ns / zg_ms));
        CU_ASSERT(took <= 300 * zg_ms && g->longest_ns <= 300 * zg_ms);
        zg_load(g, 1000);
    }
    CU_ASSERT_EQUAL(g->n_leads, 10);
    sim_node_crash(g->m[(zg_leader(g) + 1) % ZG_MEMBERS].node);
    zg_load(g, 6000);
    journal_status(g->m[zg_leader(g)].j, &st);
    CU_ASSERT_EQUAL(st.n, ZG_MEMBERS - 1);
    zg_close(g);
}

/* of those that vote, as the leader tells (deploy/prometheus/alerts.yml counts them) */
static uint32_t zg_connected(struct zg *g)
{
    struct journal_status st;
    uint32_t n = 0;
    CU_ASSERT_FATAL(zg_leader(g) < ZG_MEMBERS);
    journal_status(g->m[zg_leader(g)].j, &st);
    for (uint32_t k = 0; k < st.n; k++)
        n += st.member[k].votes && st.member[k].connected;
    return n;
}

/* how many would come to lead, by their own word; all that would not say that */
static uint32_t zg_electable(struct zg *g, enum journal_bar bar)
{
    struct journal_status st;
    uint32_t n = 0;
    for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
        journal_status(g->m[i].j, &st);
        CU_ASSERT(st.is_zk && st.zk.room_ago_ns == -1);
        CU_ASSERT_EQUAL(st.zk.has_session, st.zk.bar != JOURNAL_BAR_SESSION);
        CU_ASSERT_EQUAL(st.zk.barred_ns > 0, st.zk.bar != JOURNAL_BAR_NONE);
        n += st.zk.bar == JOURNAL_BAR_NONE;
        if (st.zk.bar != JOURNAL_BAR_NONE) {
            CU_ASSERT_EQUAL(st.zk.bar, bar);
            CU_ASSERT(st.zk.session_ns > 5000000000LL && st.zk.session_ns < 15000000000LL);
            CU_ASSERT(st.zk.barred_ns > 5000000000LL && st.zk.barred_ns < 15000000000LL);
        }
    }
    return n;
}

/* Without ZooKeeper the leader goes on, and nobody could be called after it. */
static void test_without_zookeeper_one_is_alone(void)
{
    struct zg *g = &zg_one;
    zg_open(g, 4);
    zg_load(g, 6000);
    CU_ASSERT_EQUAL(zg_connected(g), ZG_MEMBERS);
    CU_ASSERT_EQUAL(zg_electable(g, JOURNAL_BAR_NONE), ZG_MEMBERS);
    for (uint32_t z = 0; z < 3; z++)
        sim_node_crash(lab_zk_node(g->zk, z));
    uint32_t had = g->n_acked;
    zg_load(g, 15000);
    CU_ASSERT(g->n_acked > had + 100);
    CU_ASSERT_EQUAL(zg_connected(g), 1);
    CU_ASSERT_EQUAL(zg_electable(g, JOURNAL_BAR_SESSION), 0);
    for (uint32_t z = 0; z < 3; z++)
        lab_zk_start(g->zk, z);
    zg_load(g, 15000);
    CU_ASSERT_EQUAL(zg_connected(g), ZG_MEMBERS);
    CU_ASSERT_EQUAL(zg_electable(g, JOURNAL_BAR_NONE), ZG_MEMBERS);
    zg_close(g);
}

/* Who is told to stop leaves nothing behind, in ZooKeeper or in memory that it goes on to read
 * (AddressSanitizer). */
static void test_a_stop_is_clean(void)
{
    struct zg *g = &zg_one;
    zg_open(g, 5);
    zg_load(g, 6000);
    uint32_t i = (zg_leader(g) + 1) % ZG_MEMBERS;
    struct env_op op = {0};
    journal_stop(g->m[i].j, &op);
    CU_ASSERT_EQUAL(sim_run_op(g->s, &op, 10000 * zg_ms), 0);
    op = (struct env_op){0};
    zk_elect_stop(g->m[i].elect, &op);
    CU_ASSERT_EQUAL(sim_run_op(g->s, &op, 10000 * zg_ms), 0);
    sim_node_crash(g->m[i].node);
    g->m[i].j = NULL;
    zg_run(g, 5000);
    struct journal_status st;
    journal_status(g->m[zg_leader(g)].j, &st);
    CU_ASSERT_EQUAL(st.n, ZG_MEMBERS - 1);
    zg_close(g);
}

static void zg_quiet(struct zk_host *h, enum zk_state state, int why)
{
    (void)h, (void)state, (void)why;
}

/* Somebody has written a number into ZooKeeper that is no epoch of this journal. */
static void test_a_number_out_of_range_is_an_error(void)
{
    struct zg *g = &zg_one;
    struct zk_host host = {.state = zg_quiet};
    struct zk_config cfg = zk_config_default();
    struct zk *z;
    zg_open(g, 3);
    zg_load(g, 5000);
    CU_ASSERT_FATAL(zg_leader(g) < ZG_MEMBERS);
    struct sim_node *n = sim_node_add(g->s, "a");
    struct env *e = sim_node_up(n);
    cfg.connect = g->connect;
    CU_ASSERT_FATAL(!zk_open(e, sim_mem(n), &cfg, &host, &z, NULL, 0));
    struct zk_call high = {
        .what = ZK_OP_SET_DATA, .path = "/epoch", .data = "999999", .data_len = 6, .version = -1};
    struct zk_call get = {.what = ZK_OP_EXISTS, .path = "/epoch"};
    zk_submit(z, &high);
    CU_ASSERT_EQUAL(sim_run_op(g->s, &high.op, 2000 * zg_ms), 0);
    int32_t version = high.reply.stat.version;
    sim_node_crash(g->m[zg_leader(g)].node);
    zg_load(g, 30000);
    CU_ASSERT_EQUAL(zg_leader(g), ZG_MEMBERS);
    zk_submit(z, &get);
    CU_ASSERT_EQUAL(sim_run_op(g->s, &get.op, 2000 * zg_ms), 0);
    CU_ASSERT_EQUAL(get.reply.stat.version, version); /* not raised further */
    high.data = "1";
    high.data_len = 1;
    zk_submit(z, &high);
    CU_ASSERT_EQUAL(sim_run_op(g->s, &high.op, 2000 * zg_ms), 0);
    zg_load(g, 12000);
    CU_ASSERT(zg_leader(g) < ZG_MEMBERS);
    zg_close(g);
}

static void zg_handed(struct env_op *op)
{
    struct zg_hand *h = container_of(op, struct zg_hand, op);
    h->busy = false;
    h->g->n_handed += op->ret == 0;
}

/* a leader is asked to let any other one lead */
static void zg_hand(struct zg *g)
{
    struct journal_change what = {.verb = JOURNAL_ELECT,
                                  .id = (uint32_t)sim_random(g->s, ZG_MEMBERS + 1)};
    uint32_t i = zg_leader(g);
    if (i == ZG_MEMBERS || !g->m[i].j || (g->hand.busy && g->hand.life == g->m[g->hand.i].life))
        return;
    g->hand =
        (struct zg_hand){.op.done = zg_handed, .g = g, .busy = true, .i = i, .life = g->m[i].life};
    journal_change(g->m[i].j, &what, sim_now_ns(g->s) + 3000 * zg_ms, &g->hand.op);
}

static void zg_storm(struct zg *g)
{
    uint32_t i = (uint32_t)sim_random(g->s, ZG_MEMBERS), z = (uint32_t)sim_random(g->s, 3);
    struct sim_node *m = g->m[i].node, *s = lab_zk_node(g->zk, z);
    switch (sim_random(g->s, 16)) {
    case 0:
    case 1:
        if (sim_node_is_up(m))
            sim_node_crash(m);
        break;
    case 2:
        if (sim_node_is_up(m))
            sim_node_power_loss(m);
        break;
    case 3:
    case 4:
    case 5:
        if (!sim_node_is_up(m))
            zg_start(g, i);
        break;
    case 6:
        if (sim_node_is_up(m))
            sim_node_pause(m); /* longer than its session, mostly */
        break;
    case 7:
    case 8:
        if (sim_node_is_up(m))
            sim_node_resume(m);
        break;
    case 9:
        if (sim_node_is_up(s))
            sim_node_crash(s);
        else
            lab_zk_start(g->zk, z);
        break;
    case 10:
        sim_net_partition(m, s, sim_random(g->s, 2));
        break;
    case 11:
        lab_zk_depose(g->zk);
        break;
    case 12:
        if (*zg_weak() && sim_random(g->s, 4) == 0) {
            sim_shared_down(g->fs);
            sim_shared_up(g->fs);
        }
        sim_shared_outage(g->fs, (int64_t)sim_random(g->s, 3000) * zg_ms, sim_random(g->s, 2));
        break;
    case 13:
    case 14:
        zg_hand(g);
        break;
    default:
        sim_net_heal_all(g->s);
    }
}

static void zg_heal(struct zg *g)
{
    sim_net_heal_all(g->s);
    for (uint32_t z = 0; z < 3; z++)
        if (!sim_node_is_up(lab_zk_node(g->zk, z)))
            lab_zk_start(g->zk, z);
    for (uint32_t i = 0; i < ZG_MEMBERS; i++) {
        if (sim_node_is_up(g->m[i].node))
            sim_node_resume(g->m[i].node);
        if (sim_node_is_up(g->m[i].node) && g->m[i].role == JOURNAL_FAILED)
            sim_node_crash(g->m[i].node);
        if (!sim_node_is_up(g->m[i].node))
            zg_start(g, i);
    }
}

static bool zg_all_have_all(const struct zg *g)
{
    bool is_all = true;
    for (uint32_t i = 0; i < ZG_MEMBERS; i++)
        is_all &= g->m[i].applied >= g->acked;
    return is_all;
}

static void test_storms(void)
{
    struct zg *g = &zg_one;
    const char *from = getenv("ZG_SEED"), *n = getenv("ZG_SEEDS");
    uint64_t first = from ? strtoull(from, NULL, 0) : 1;
    uint64_t seeds = n      ? strtoull(n, NULL, 0)
                     : from ? 1
                            : 12,
             acked = 0, leads = 0, reads = 0, handed = 0;
    for (uint64_t seed = first; seed < first + seeds && !g->bad; seed++) {
        zg_open(g, seed);
        zg_load(g, 1000);
        for (int k = 0; k < 60 && !g->bad; k++) {
            zg_storm(g);
            zg_load(g, (int64_t)sim_random(g->s, 800));
        }
        uint32_t had = g->n_acked;
        for (int k = 0; k < 10 && !g->bad; k++) {
            zg_heal(g);
            zg_load(g, 3000);
        }
        for (int k = 0; k < 100 && !zg_all_have_all(g); k++)
            zg_run(g, 100);
        ZG_EXPECT(g, g->n_acked > had + 100);
        ZG_EXPECT(g, zg_all_have_all(g));
        acked += g->n_acked;
        leads += g->n_leads;
        reads += g->n_reads;
        handed += g->n_handed;
        if (g->bad)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        zg_close(g);
    }
    fprintf(stderr, "%llu acked, %llu reads, %llu leaderships, %llu handed over\n",
            (unsigned long long)acked, (unsigned long long)reads, (unsigned long long)leads,
            (unsigned long long)handed);
}

/* Clients that cache directories, also for exact names; and sizes and pages of what is not read
 * past the caches; and a server whose crash loses what was not synced. */
static void test_storms_with_old_names(void)
{
    zg_weakness = "names sizes pages";
    test_storms();
    zg_weakness = "";
}

UNIT_MAIN("zk_group", UNIT(test_a_master_fails_and_another_leads),
          UNIT(test_a_dead_process_is_not_waited_for), UNIT(test_two_of_one_number),
          UNIT(test_another_clusters_path), UNIT(test_a_restart_is_not_refused),
          UNIT(test_leadership_is_handed_over), UNIT(test_zookeeper_begins_anew),
          UNIT(test_who_does_not_know_makes_no_path), UNIT(test_without_zookeeper_one_is_alone),
          UNIT(test_a_stop_is_clean), UNIT(test_a_number_out_of_range_is_an_error),
          UNIT(test_storms), UNIT(test_storms_with_old_names))
