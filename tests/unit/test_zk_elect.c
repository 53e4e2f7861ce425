/* tests/unit/test_zk_elect.c - who is first in the election by an ensemble (sim/lab_zk.h), with no
 * journal behind it. */
#include "core/fmt.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"
#include "sim/lab_zk.h"
#include "tests/unit/unit.h"

enum { TE_MEMBERS = 3 };

static const int64_t te_ms = 1000000;
static const char te_own[] = "tarn:a secret";

struct te_member {
    struct sim_node *node;
    struct zk_elect *elect;
    struct zk_config zk;
};

struct te {
    struct mem mem;
    struct sim *s;
    struct lab_zk *zk;
    struct te_member m[TE_MEMBERS];
    char connect[128];
};

static struct te te_one;

static void te_run(struct te *t, int64_t ms)
{
    sim_run_until(t->s, sim_now_ns(t->s) + ms * te_ms);
}

static void te_changed(struct zk_elect *e, void *ctx)
{
    (void)e, (void)ctx;
}

/* takes part; digest: its credentials, or NULL */
static void te_up(struct te *t, uint32_t i, const char *digest)
{
    struct te_member *m = &t->m[i];
    char addr[ENV_ADDR_MAX], name[8], why[200];
    struct zk_elect_config c = {.zk = &m->zk, .id = i + 1, .addr = addr};
    fmt_into(name, sizeof name, "m%u", i + 1);
    fmt_into(addr, sizeof addr, "m%u:19998", i + 1);
    m->node = sim_node_add(t->s, name);
    m->zk = zk_config_default();
    m->zk.connect = t->connect;
    m->zk.timeout_ns = 2000 * te_ms;
    m->zk.digest = digest;
    m->zk.frame_max = 64 << 10;
    m->zk.calls_bytes = 64 << 10;
    m->zk.window_bytes = 32 << 10;
    struct env *e = sim_node_up(m->node);
    CU_ASSERT_FATAL(!zk_elect_open(e, sim_mem(m->node), &c, &m->elect, why, sizeof why));
    m->elect->changed = te_changed;
    m->elect->vt->stand(m->elect, true);
    te_run(t, 1500);
}

static struct te *te_open(uint64_t seed)
{
    struct te *t = &te_one;
    struct sim_config world = sim_config_quiet(seed);
    struct lab_zk_config zk = lab_zk_config_default(3, seed);
    memset(t, 0, sizeof *t);
    unit_mem(&t->mem, 1ULL << 30);
    world.node_mem_bytes = 64 << 20;
    zk.tick_ns = 200 * te_ms;
    t->s = sim_open(&t->mem, &world);
    t->zk = lab_zk_open(&t->mem, t->s, &zk);
    lab_zk_connect_string(t->zk, t->connect, sizeof t->connect);
    fmt_into(t->connect + strlen(t->connect), sizeof t->connect - strlen(t->connect), "/tarn");
    lab_zk_start_all(t->zk);
    te_run(t, 1500);
    return t;
}

static void te_close(struct te *t)
{
    sim_close(t->s);
    mem_drop(&t->mem);
}

static bool te_is_first(const struct te *t, uint32_t i)
{
    return t->m[i].elect->standing == ZK_STANDING_FIRST;
}

static struct zk_elect_look te_look(const struct te *t, uint32_t i)
{
    struct zk_elect_look l;
    t->m[i].elect->vt->look(t->m[i].elect, &l);
    return l;
}

/* Who is first calls the other one while ZooKeeper is away, or stops meanwhile. */
static void test_nobody_is_called_without_a_session(void)
{
    struct te *t = te_open(1);
    struct env_op early = {0}, late = {0};
    te_up(t, 0, NULL);
    te_up(t, 1, NULL);
    CU_ASSERT_FATAL(te_is_first(t, 0) && !te_is_first(t, 1));
    for (uint32_t z = 0; z < 3; z++)
        sim_node_pause(lab_zk_node(t->zk, z));
    int64_t until = sim_now_ns(t->s) + 30000 * te_ms;
    t->m[0].elect->vt->call(t->m[0].elect, 2, until, &early);
    CU_ASSERT_EQUAL(sim_run_op(t->s, &early, 2100 * te_ms), E_SESSION_EXPIRED);
    CU_ASSERT(sim_now_ns(t->s) < until - 27800 * te_ms);
    te_run(t, 2000);
    CU_ASSERT(!te_look(t, 0).has_session && te_is_first(t, 0));
    int64_t began = sim_now_ns(t->s);
    t->m[0].elect->vt->call(t->m[0].elect, 2, until, &late);
    CU_ASSERT_EQUAL(sim_run_op(t->s, &late, 100 * te_ms), E_SESSION_EXPIRED);
    CU_ASSERT(sim_now_ns(t->s) - began < te_ms);
    te_close(t);
}

static void te_state(struct zk_host *h, enum zk_state state, int why)
{
    (void)h, (void)state, (void)why;
}

/* `tarn journal bootstrap` with journal.zk.auth; or somebody takes that back */
static void te_close_nodes(struct te *t, bool is_on)
{
    static uint32_t n_callers;
    static const char *const paths[] = {"/tarn/election", "/tarn/epoch", "/tarn/masters", "/tarn"};
    static struct zk_host host = {te_state};
    struct zk_config c = zk_config_default();
    char servers[128], name[16];
    struct zk *zk;
    fmt_into(name, sizeof name, "b%u", n_callers++);
    struct sim_node *n = sim_node_add(t->s, name);
    lab_zk_connect_string(t->zk, servers, sizeof servers);
    c.connect = servers;
    c.digest = te_own;
    c.frame_max = 64 << 10;
    sim_node_up(n);
    CU_ASSERT_FATAL(!zk_open(sim_env(n), sim_mem(n), &c, &host, &zk, NULL, 0));
    for (uint32_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct zk_call call = {.what = ZK_OP_SET_ACL,
                               .path = paths[i],
                               .version = -1,
                               .acl = is_on ? zk_proto_acl_own : zk_proto_acl_open};
        zk_submit(zk, &call);
        CU_ASSERT_EQUAL_FATAL(sim_run_op(t->s, &call.op, 5000 * te_ms), 0);
    }
    sim_node_crash(n);
}

static int64_t te_number(struct te *t, uint32_t i)
{
    uint64_t number;
    struct env_op op = {0};
    t->m[i].elect->vt->number(t->m[i].elect, 0, &number, &op);
    return sim_run_op(t->s, &op, 5000 * te_ms);
}

/* Who is first, or is next, and has no credentials for what is closed since: others are called. */
static void test_whom_zookeeper_refuses_lets_others(void)
{
    for (int is_next = 0; is_next < 2; is_next++) {
        struct te *t = te_open(2);
        uint32_t refused = (uint32_t)is_next;
        for (uint32_t i = 0; i < TE_MEMBERS; i++) {
            te_up(t, i, i == refused ? NULL : te_own);
            if (!i)
                te_close_nodes(t, false); /* made before there were credentials */
        }
        CU_ASSERT_FATAL(te_is_first(t, 0));
        CU_ASSERT_EQUAL(te_look(t, refused).bar, JOURNAL_BAR_NONE);
        te_close_nodes(t, true);
        if (is_next)
            sim_node_crash(t->m[0].node);
        else
            CU_ASSERT_EQUAL(te_number(t, 0), E_ACCES);
        te_run(t, 6000);
        CU_ASSERT(!te_is_first(t, refused));
        CU_ASSERT_EQUAL(te_look(t, refused).bar, JOURNAL_BAR_ACCESS);
        CU_ASSERT_FATAL(te_is_first(t, is_next ? 2 : 1));
        CU_ASSERT_EQUAL(te_number(t, is_next ? 2 : 1), 0);
        te_close_nodes(t, false);
        te_run(t, 6000);
        CU_ASSERT_EQUAL(te_look(t, refused).bar, JOURNAL_BAR_NONE);
        CU_ASSERT(!te_is_first(t, refused) && te_is_first(t, is_next ? 2 : 1));
        te_close(t);
    }
}

/* A leader is in nobody's way: it goes on until another one claims. */
static void test_who_leads_is_refused_and_goes_on(void)
{
    struct te *t = te_open(3);
    te_up(t, 0, NULL);
    t->m[0].elect->vt->serves(t->m[0].elect, 5);
    te_run(t, 500);
    te_close_nodes(t, true);
    CU_ASSERT_EQUAL(te_number(t, 0), E_ACCES);
    te_run(t, 6000);
    CU_ASSERT(te_is_first(t, 0) && te_look(t, 0).has_session);
    CU_ASSERT_EQUAL(te_look(t, 0).bar, JOURNAL_BAR_ACCESS);
    te_close(t);
}

UNIT_MAIN("zk_elect", UNIT(test_nobody_is_called_without_a_session),
          UNIT(test_whom_zookeeper_refuses_lets_others),
          UNIT(test_who_leads_is_refused_and_goes_on))
