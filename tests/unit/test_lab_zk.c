/* tests/unit/test_lab_zk.c - sim_zk (sim/lab_zk.h): the conformance suite of tests/zk against it,
 * with one server and with three; and what only a model can be asked: elections, lost leaders,
 * stale reads, the same run twice. */
#include "core/fmt.h"
#include "core/prng.h"
#include "sim/lab_zk.h"
#include "tests/unit/unit.h"
#include "tests/zk/zk_suite.h"

static const int64_t ms = 1000000;

struct world {
    struct zs_world w;
    struct mem mem;
    struct sim *sim;
    struct sim_node *client;
    struct lab_zk *zk;
};

static bool sim_until(struct zs_world *w, const bool *flag, int64_t ns)
{
    struct world *x = container_of(w, struct world, w);
    int64_t end = sim_now_ns(x->sim) + ns;
    while (sim_now_ns(x->sim) < end && !(flag && *flag)) {
        int64_t to = sim_now_ns(x->sim) + (flag ? ms / 5 : ns);
        sim_run_until(x->sim, to < end ? to : end);
    }
    return flag && *flag;
}

static void print_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                      const char *line)
{
    (void)ctx, (void)level;
    if (getenv("ZS_LOG"))
        fprintf(stderr, "    %.6f %s %s\n", (double)at_ns / 1e9, sim_node_name(n), line);
}

static void world_open_with(struct world *x, const struct lab_zk_config *cfg,
                            struct sim_config *world)
{
    memset(x, 0, sizeof *x);
    unit_mem(&x->mem, 1ULL << 30);
    world->node_mem_bytes = 128 << 20;
    world->on_log = print_log;
    x->sim = sim_open(&x->mem, world);
    x->zk = lab_zk_open(&x->mem, x->sim, cfg);
    x->client = sim_node_add(x->sim, "c");
    lab_zk_start_all(x->zk);
    x->w = (struct zs_world){.env = sim_node_up(x->client),
                             .mem = sim_mem(x->client),
                             .n_servers = cfg->servers,
                             .tick_ns = cfg->tick_ns,
                             .nonce = 1,
                             .until = sim_until};
    for (uint32_t i = 0; i < cfg->servers; i++)
        fmt_into(x->w.server[i], sizeof x->w.server[i], "z%u:2181", i + 1);
}

static struct lab_zk_config config(uint32_t servers, uint64_t seed)
{
    struct lab_zk_config cfg = lab_zk_config_default(servers, seed);
    cfg.tick_ns = 200 * ms;
    return cfg;
}

static void world_open(struct world *x, uint32_t servers, uint64_t seed)
{
    struct lab_zk_config cfg = config(servers, seed);
    struct sim_config world = sim_config_quiet(seed);
    world_open_with(x, &cfg, &world);
}

static void is_sound(struct world *x)
{
    char why[200] = "";
    bool ok = lab_zk_check(x->zk, why, sizeof why);
    if (!ok)
        fprintf(stderr, "\n  %s\n", why);
    CU_ASSERT_FATAL(ok);
}

static void world_close(struct world *x)
{
    is_sound(x);
    sim_close(x->sim);
    mem_drop(&x->mem);
}

static bool leads(struct world *x)
{
    for (int i = 0; i < 1000 && lab_zk_leader(x->zk) < 0; i++)
        sim_until(&x->w, NULL, 20 * ms);
    return lab_zk_leader(x->zk) >= 0;
}

/* ---- the suite ---- */

static void suite(uint32_t servers, uint32_t first, uint64_t seed, int64_t lag_ns)
{
    static struct zs t;
    uint32_t failed = 0, ran = 0;
    struct world x;
    world_open(&x, servers, seed);
    CU_ASSERT_FATAL(leads(&x));
    for (uint32_t i = 0; i < servers; i++)
        lab_zk_lag(x.zk, i, lag_ns * i);
    x.w.first = first;
    for (uint32_t i = 0; zs_case_at(i); i++) {
        const char *only = getenv("ZS_CASE");
        if (only && strcmp(only, zs_case_at(i)->name) != 0)
            continue;
        failed += zs_run(&t, &x.w, zs_case_at(i)) != 0;
        ran += !t.skipped;
    }
    CU_ASSERT_EQUAL(failed, 0);
    CU_ASSERT(ran >= (servers > 1 ? 100 : 95) || getenv("ZS_CASE"));
    world_close(&x);
}

static void test_suite_alone(void)
{
    suite(1, 0, 1, 0);
}

static void test_suite_at_leader_and_followers(void)
{
    for (uint32_t first = 0; first < 3; first++)
        suite(3, first, 2 + first, 0);
}

static void test_suite_of_five_that_lag(void)
{
    suite(5, 4, 7, 15 * ms);
}

/* ---- a counter, as long as the world is broken ---- */

struct counter {
    struct zs_world *w;
    struct zk *zk;
    struct zk_host host;
    struct zk_call call;
    int32_t version; /* that it knows of; -1: it must look */
    uint32_t acked, unknown, rounds;
    bool is_open, is_idle, is_over;
    int64_t zxid; /* of the last answer */
    char data[16];
};

static void counter_state(struct zk_host *h, enum zk_state state, int why)
{
    struct counter *c = container_of(h, struct counter, host);
    (void)why;
    c->is_open = state == ZK_CONNECTED;
    c->is_over = state == ZK_EXPIRED || state == ZK_CLOSED;
}

static void counter_go(struct counter *c)
{
    bool looks = c->version < 0;
    int n = (int)fmt_into(c->data, sizeof c->data, "%d", c->version + 1);
    c->is_idle = false;
    struct env_op op = c->call.op;
    c->call = (struct zk_call){.op = op,
                               .what = looks ? ZK_OP_GET_DATA : ZK_OP_SET_DATA,
                               .path = "/counter",
                               .data = looks ? NULL : c->data,
                               .data_len = looks ? 0 : (uint32_t)n,
                               .version = c->version,
                               .deadline_ns = env_now_ns(c->w->env) + 2000 * ms};
    zk_submit(c->zk, &c->call);
}

static void counter_done(struct env_op *op)
{
    struct counter *c = container_of(op, struct counter, call.op);
    const struct zk_reply *a = &c->call.reply;
    c->is_idle = true;
    c->rounds++;
    if (!c->call.is_answered) {
        c->unknown += c->call.is_sent && c->call.what == ZK_OP_SET_DATA;
        c->version = -1;
        return;
    }
    CU_ASSERT(a->zxid >= c->zxid); /* never back in time */
    c->zxid = a->zxid;
    if (c->call.what == ZK_OP_SET_DATA && !op->ret) {
        CU_ASSERT_EQUAL(a->stat.version, c->version + 1);
        c->acked++;
    }
    c->version = op->ret ? -1 : a->stat.version;
}

static void counter_open(struct counter *c, struct world *x)
{
    static char all[200];
    struct zk_config cfg = zk_config_default();
    lab_zk_connect_string(x->zk, all, sizeof all);
    *c = (struct counter){.w = &x->w, .host.state = counter_state, .is_idle = true};
    c->call.op.done = counter_done;
    c->version = -1;
    cfg.connect = all;
    cfg.timeout_ns = 4000 * ms;
    CU_ASSERT_FATAL(!zk_open(x->w.env, x->w.mem, &cfg, &c->host, &c->zk, NULL, 0));
}

static bool counter_until(struct counter *c, const bool *flag, int64_t ns)
{
    return c->w->until(c->w, flag, ns);
}

/* one call after the other, for so long */
static void counter_run(struct counter *c, int64_t ns)
{
    struct world *x = container_of(c->w, struct world, w);
    int64_t end = sim_now_ns(x->sim) + ns;
    while (sim_now_ns(x->sim) < end && !c->is_over) {
        if (c->is_idle)
            counter_go(c);
        counter_until(c, &c->is_idle, end - sim_now_ns(x->sim));
    }
}

static void counter_make(struct counter *c)
{
    struct zk_call make = {.op = c->call.op, .what = ZK_OP_CREATE, .path = "/counter", .data = ""};
    CU_ASSERT_FATAL(counter_until(c, &c->is_open, 20000 * ms));
    c->is_idle = false;
    c->call = make;
    zk_submit(c->zk, &c->call);
    CU_ASSERT_FATAL(counter_until(c, &c->is_idle, 20000 * ms));
    c->version = -1;
}

/* what is in the leader's tree, and so in all that was answered */
static int32_t counter_there(struct world *x)
{
    const struct lab_zk_node *n = NULL;
    if (leads(x))
        n = lab_zk_tree_find(lab_zk_tree(x->zk, (uint32_t)lab_zk_leader(x->zk)), "/counter", 8);
    CU_ASSERT_FATAL(n != NULL);
    return n->stat.version;
}

static void counter_is_right(struct counter *c, struct world *x)
{
    counter_run(c, 3000 * ms);
    int32_t there = counter_there(x);
    CU_ASSERT(there >= (int32_t)c->acked);
    CU_ASSERT(there <= (int32_t)(c->acked + c->unknown + 1));
}

/* ---- who leads ---- */

static void test_leader_is_lost(void)
{
    struct world x;
    struct counter c;
    world_open(&x, 3, 11);
    counter_open(&c, &x);
    counter_make(&c);
    counter_run(&c, 300 * ms);
    CU_ASSERT(c.acked > 10);
    for (int i = 0; i < 6; i++) {
        uint32_t old = (uint32_t)lab_zk_leader(x.zk), epoch = lab_zk_epoch(x.zk);
        uint32_t acked = c.acked;
        int64_t from = sim_now_ns(x.sim);
        sim_node_crash(lab_zk_node(x.zk, old));
        sim_until(&x.w, NULL, 100 * ms);
        CU_ASSERT_EQUAL(lab_zk_leader(x.zk), -1);
        CU_ASSERT(leads(&x));
        CU_ASSERT(lab_zk_leader(x.zk) != (int32_t)old);
        CU_ASSERT(sim_now_ns(x.sim) - from >= 200 * ms); /* no sooner than a real one */
        CU_ASSERT_EQUAL(lab_zk_epoch(x.zk), epoch + 1);
        lab_zk_start(x.zk, old);
        counter_run(&c, 2500 * ms);
        CU_ASSERT(c.acked > acked + 10);
        CU_ASSERT(lab_zk_role(x.zk, old) == LAB_ZK_FOLLOWING);
    }
    counter_is_right(&c, &x);
    CU_ASSERT(!c.is_over);
    CU_ASSERT(lab_zk_stats(x.zk)->elections == 7);
    world_close(&x);
}

static void test_no_quorum_no_service(void)
{
    struct world x;
    struct counter c;
    world_open(&x, 3, 12);
    counter_open(&c, &x);
    counter_make(&c);
    uint32_t l = (uint32_t)lab_zk_leader(x.zk);
    sim_node_crash(lab_zk_node(x.zk, (l + 1) % 3));
    sim_node_crash(lab_zk_node(x.zk, (l + 2) % 3));
    sim_until(&x.w, NULL, 1000 * ms);
    CU_ASSERT_EQUAL(lab_zk_role(x.zk, l), LAB_ZK_LOOKING);
    uint32_t acked = c.acked;
    counter_run(&c, 2000 * ms);
    CU_ASSERT_EQUAL(c.acked, acked);
    lab_zk_start(x.zk, (l + 1) % 3);
    counter_run(&c, 4000 * ms);
    CU_ASSERT(c.acked > acked);
    CU_ASSERT(!c.is_over); /* a session outlives it: nobody was there to end it */
    counter_is_right(&c, &x);
    world_close(&x);
}

static void test_leader_that_is_cut_off(void)
{
    struct world x;
    struct counter c;
    static struct zs t;
    world_open(&x, 5, 13);
    counter_open(&c, &x);
    counter_make(&c);
    counter_run(&c, 200 * ms);
    uint32_t old = (uint32_t)lab_zk_leader(x.zk);
    t.w = &x.w;
    t.name = "cut";
    struct zs_session *s = zs_open(&t, &(struct zs_how){.server = old, .root = ""});
    lab_zk_split(x.zk, 1u << old);
    for (int i = 0; i < 200 && lab_zk_role(x.zk, (old + 1) % 5) != LAB_ZK_LEADING; i++) {
        sim_until(&x.w, NULL, 10 * ms);
        CU_ASSERT(lab_zk_role(x.zk, old) == LAB_ZK_LEADING || lab_zk_leader(x.zk) != (int32_t)old);
        if (lab_zk_leader(x.zk) >= 0 && lab_zk_leader(x.zk) != (int32_t)old)
            break;
    }
    sim_until(&x.w, NULL, 3000 * ms);
    CU_ASSERT(lab_zk_leader(x.zk) >= 0 && lab_zk_leader(x.zk) != (int32_t)old);
    CU_ASSERT_EQUAL(lab_zk_role(x.zk, old), LAB_ZK_LOOKING);
    CU_ASSERT(!s->is_connected);
    counter_run(&c, 2000 * ms);
    lab_zk_split(x.zk, 0);
    sim_until(&x.w, NULL, 1000 * ms);
    CU_ASSERT_EQUAL(lab_zk_role(x.zk, old), LAB_ZK_FOLLOWING);
    counter_is_right(&c, &x);
    world_close(&x);
}

/* A leader that stood still answers reads from what it had, until it sees that it is none. */
static void test_leader_that_stood_still(void)
{
    struct world x;
    static struct zs t;
    uint32_t stale = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        world_open(&x, 3, seed);
        CU_ASSERT_FATAL(leads(&x));
        uint32_t old = (uint32_t)lab_zk_leader(x.zk);
        t = (struct zs){.w = &x.w, .name = "still"};
        struct zs_session *s = zs_open(&t, &(struct zs_how){.server = old, .root = ""});
        CU_ASSERT_EQUAL(zs_create(s, "/a", "old", 0)->err, 0);
        sim_node_pause(lab_zk_node(x.zk, old));
        struct zs_session *n = zs_open(&t, &(struct zs_how){.server = (old + 1) % 3, .root = ""});
        CU_ASSERT(lab_zk_leader(x.zk) >= 0 && lab_zk_leader(x.zk) != (int32_t)old);
        CU_ASSERT_EQUAL(zs_set(n, "/a", "new", -1)->err, 0);
        struct zk_call get = {.what = ZK_OP_GET_DATA, .path = "/a"};
        struct zs_answer *g = zs_go(s, NULL, &get);
        sim_until(&x.w, NULL, 5 * ms);
        sim_node_resume(lab_zk_node(x.zk, old));
        sim_until(&x.w, &g->done, 30000 * ms);
        stale += g->is_answered && !strcmp(g->data, "old");
        sim_until(&x.w, NULL, 2000 * ms);
        CU_ASSERT_EQUAL(lab_zk_role(x.zk, old), LAB_ZK_FOLLOWING);
        world_close(&x);
    }
    CU_ASSERT(stale > 0);
}

/* ---- sessions and elections ---- */

static void test_new_leader_gives_sessions_their_time_again(void)
{
    struct world x;
    static struct zs t;
    world_open(&x, 3, 21);
    CU_ASSERT_FATAL(leads(&x));
    uint32_t l = (uint32_t)lab_zk_leader(x.zk);
    t.w = &x.w;
    t.name = "arm";
    struct zs_raw *r = zs_raw(&t, (l + 1) % 3);
    int64_t timeout = 3000 * ms, from = sim_now_ns(x.sim);
    CU_ASSERT_FATAL(zs_raw_connect(r, 0, NULL, 0, timeout));
    zs_raw_hangup(r);
    sim_until(&x.w, NULL, 2000 * ms);
    sim_node_crash(lab_zk_node(x.zk, l)); /* it would have ended it a second later */
    sim_until(&x.w, NULL, 100 * ms);
    CU_ASSERT_FATAL(leads(&x));
    int64_t armed = sim_now_ns(x.sim);
    uint32_t now = (uint32_t)lab_zk_leader(x.zk);
    while (lab_zk_tree_session(lab_zk_tree(x.zk, now), r->c.session) &&
           sim_now_ns(x.sim) < from + 20000 * ms)
        sim_until(&x.w, NULL, 10 * ms);
    int64_t lasted = sim_now_ns(x.sim) - armed;
    CU_ASSERT(lasted > timeout - 50 * ms && lasted < timeout + 500 * ms);
    free(r->in);
    free(r->out);
    world_close(&x);
}

static void test_session_is_ended_by_hand(void)
{
    struct world x;
    static struct zs t;
    world_open(&x, 3, 22);
    t.w = &x.w;
    t.name = "end";
    struct zs_session *s = zs_open(&t, &(struct zs_how){.root = "", .is_all = true});
    CU_ASSERT_EQUAL(zs_create(s, "/e", "", ZK_CREATE_EPHEMERAL)->err, 0);
    CU_ASSERT(lab_zk_expire(x.zk, zs_id(s)));
    CU_ASSERT(!lab_zk_expire(x.zk, zs_id(s) + 1));
    sim_until(&x.w, &s->is_over, 5000 * ms);
    CU_ASSERT_EQUAL(s->state, ZK_EXPIRED);
    CU_ASSERT(!lab_zk_tree_find(lab_zk_tree(x.zk, (uint32_t)lab_zk_leader(x.zk)), "/e", 2));
    world_close(&x);
}

static void test_somebody_sets_a_node(void)
{
    struct world x;
    static struct zs t;
    world_open(&x, 3, 24);
    t.w = &x.w;
    t.name = "set";
    struct zs_session *s = zs_open(&t, &(struct zs_how){.root = "", .is_all = true});
    CU_ASSERT_EQUAL(zs_create(s, "/e", "17", 0)->err, 0);
    CU_ASSERT(lab_zk_set(x.zk, "/e", "9"));
    CU_ASSERT(!lab_zk_set(x.zk, "/e", "8")); /* one at a time */
    sim_until(&x.w, NULL, 500 * ms);
    for (uint32_t i = 0; i < 3; i++) {
        const struct lab_zk_node *n = lab_zk_tree_find(lab_zk_tree(x.zk, i), "/e", 2);
        CU_ASSERT_FATAL(n != NULL);
        CU_ASSERT(n->data_cap == 1 && n->data[0] == '9' && n->stat.version == 1);
    }
    CU_ASSERT(lab_zk_set(x.zk, "/e/f", "8"));
    sim_until(&x.w, NULL, 500 * ms);
    CU_ASSERT(lab_zk_tree_find(lab_zk_tree(x.zk, 0), "/e/f", 4) != NULL);
    CU_ASSERT(lab_zk_set(x.zk, "/no/where", "8")); /* refused by everybody */
    sim_until(&x.w, NULL, 500 * ms);
    CU_ASSERT(lab_zk_set(x.zk, "/e", "7"));
    world_close(&x);
}

/* a connection that is slow both ways of a session: its pings come too late */
static void test_slow_session_expires(void)
{
    struct world x;
    static struct zs t;
    const struct zk_request ping = {.xid = ZK_XID_PING, .op = ZK_OP_PING};
    world_open(&x, 3, 23);
    CU_ASSERT_FATAL(leads(&x));
    t.w = &x.w;
    t.name = "slow";
    struct zs_raw *r = zs_raw(&t, 1);
    CU_ASSERT_FATAL(zs_raw_connect(r, 0, NULL, 0, 600 * ms));
    for (int i = 0; i < 20; i++) { /* as long as they come it lives */
        zs_raw_send(r, &ping);
        sim_until(&x.w, NULL, 100 * ms);
    }
    CU_ASSERT(!r->is_closed);
    CU_ASSERT(lab_zk_slow(x.zk, r->c.session, 60000 * ms));
    for (int i = 0; i < 20 && !r->is_closed; i++) {
        zs_raw_send(r, &ping);
        sim_until(&x.w, NULL, 100 * ms);
    }
    CU_ASSERT(r->is_closed);
    CU_ASSERT_EQUAL(lab_zk_stats(x.zk)->expired, 1);
    free(r->in);
    free(r->out);
    world_close(&x);
}

static void test_silent_connection_is_closed(void)
{
    struct world x;
    static struct zs t;
    world_open(&x, 1, 24);
    CU_ASSERT_FATAL(leads(&x));
    t.w = &x.w;
    t.name = "silent";
    struct zs_raw *r = zs_raw(&t, 0);
    sim_until(&x.w, NULL, 9000 * ms);
    CU_ASSERT(!r->is_closed);
    sim_until(&x.w, &r->is_closed, 12000 * ms);
    CU_ASSERT(r->is_closed && !r->len);
    free(r->in);
    free(r->out);
    world_close(&x);
}

/* ---- staleness ---- */

static void test_lagging_server_is_stale_until_a_sync(void)
{
    struct world x;
    static struct zs t;
    world_open(&x, 3, 31);
    CU_ASSERT_FATAL(leads(&x));
    uint32_t l = (uint32_t)lab_zk_leader(x.zk), f = (l + 1) % 3;
    t.w = &x.w;
    t.name = "lag";
    struct zs_session *a = zs_open(&t, &(struct zs_how){.root = "", .server = l});
    struct zs_session *b = zs_open(&t, &(struct zs_how){.root = "", .server = f});
    CU_ASSERT_EQUAL(zs_create(a, "/a", "1", 0)->err, 0);
    CU_ASSERT_EQUAL(zs_sync(b)->err, 0);
    lab_zk_lag(x.zk, f, 50 * ms);
    CU_ASSERT_EQUAL(zs_set(a, "/a", "2", -1)->err, 0);
    CU_ASSERT_STRING_EQUAL(zs_get(b, "/a")->data, "1");
    CU_ASSERT_EQUAL(zs_sync(b)->err, 0);
    CU_ASSERT_STRING_EQUAL(zs_get(b, "/a")->data, "2");
    CU_ASSERT_EQUAL(zs_set(b, "/a", "3", -1)->err, 0);
    CU_ASSERT_STRING_EQUAL(zs_get(b, "/a")->data, "3"); /* one's own is there at once */
    CU_ASSERT(lab_zk_stats(x.zk)->stale_reads > 0);
    /* who has seen more is not served by it */
    lab_zk_lag(x.zk, f, 2000 * ms);
    struct zs_answer *s = zs_set(a, "/a", "4", -1);
    struct zs_raw *r = zs_raw(&t, f);
    CU_ASSERT(!zs_raw_connect(r, 0, NULL, s->zxid, 1000 * ms));
    CU_ASSERT(r->is_closed && !r->len);
    CU_ASSERT(lab_zk_stats(x.zk)->ahead == 1);
    free(r->in);
    free(r->out);
    world_close(&x);
}

static void test_log_that_is_full_begins_anew(void)
{
    struct world x;
    struct counter c;
    world_open(&x, 3, 32);
    CU_ASSERT_FATAL(leads(&x));
    uint32_t l = (uint32_t)lab_zk_leader(x.zk), f = (l + 1) % 3;
    counter_open(&c, &x);
    counter_make(&c);
    lab_zk_lag(x.zk, f, 60000 * ms);
    counter_run(&c, 20000 * ms);
    CU_ASSERT(lab_zk_stats(x.zk)->kicked > 0);
    CU_ASSERT(lab_zk_stats(x.zk)->copies > 0);
    lab_zk_lag(x.zk, f, 0);
    counter_is_right(&c, &x);
    world_close(&x);
}

/* what is logged, sent and answered is given back; also what waited for a server that is cut off */
static void test_memory_is_given_back(void)
{
    struct world x;
    struct counter c;
    world_open(&x, 3, 33);
    CU_ASSERT_FATAL(leads(&x));
    counter_open(&c, &x);
    counter_make(&c);
    counter_run(&c, 5000 * ms);
    uint64_t used = x.mem.used;
    uint32_t acked = c.acked, f = ((uint32_t)lab_zk_leader(x.zk) + 1) % 3;
    for (int i = 0; i < 10; i++) {
        lab_zk_split(x.zk, i % 2 ? 0 : 1u << f);
        counter_run(&c, 3000 * ms);
    }
    CU_ASSERT(c.acked > acked + 3000);
    CU_ASSERT(x.mem.used <= used + (1 << 20));
    counter_is_right(&c, &x);
    world_close(&x);
}

/* ---- storms ---- */

/* Looks at the counter again whenever its watch has fired, or could not be set; never of its own
 * accord.  So if it does not know the last value in the end, a watch was lost. */
struct watcher {
    struct zs_world *w;
    struct zk *zk;
    struct zk_host host;
    struct zk_call call;
    struct zk_watch watch;
    int32_t seen;
    uint32_t fired;
    bool is_busy, is_over;
};

static void watcher_state(struct zk_host *h, enum zk_state state, int why)
{
    struct watcher *c = container_of(h, struct watcher, host);
    (void)why;
    c->is_over |= state == ZK_EXPIRED || state == ZK_CLOSED;
}

static void watcher_look(struct watcher *c)
{
    if (c->is_busy || c->is_over || c->watch.state != ZK_WATCH_IDLE)
        return;
    struct env_op op = c->call.op;
    c->is_busy = true;
    c->call =
        (struct zk_call){.op = op, .what = ZK_OP_GET_DATA, .path = "/counter", .watch = &c->watch};
    zk_submit(c->zk, &c->call);
}

static void watcher_done(struct env_op *op)
{
    struct watcher *c = container_of(op, struct watcher, call.op);
    c->is_busy = false;
    if (c->call.is_answered && !op->ret) {
        CU_ASSERT(c->call.reply.stat.version >= c->seen);
        c->seen = c->call.reply.stat.version;
    }
}

static void watcher_fired(struct zk_watch *w, enum zk_event event)
{
    struct watcher *c = container_of(w, struct watcher, watch);
    (void)event;
    c->fired++;
}

static void watcher_open(struct watcher *c, struct world *x)
{
    static char all[200];
    struct zk_config cfg = zk_config_default();
    lab_zk_connect_string(x->zk, all, sizeof all);
    *c = (struct watcher){.w = &x->w,
                          .host.state = watcher_state,
                          .call.op.done = watcher_done,
                          .watch.fired = watcher_fired,
                          .seen = -1};
    cfg.connect = all;
    cfg.timeout_ns = 4000 * ms;
    CU_ASSERT_FATAL(!zk_open(x->w.env, x->w.mem, &cfg, &c->host, &c->zk, NULL, 0));
}

/* One more change, and every connection breaks at about that time: nothing follows that would wake
 * a watch that was armed again too late. */
static void eye_sees(struct watcher *eye, struct counter *c, struct world *x, struct prng *p)
{
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < 100 && (!c->is_idle || eye->watch.state != ZK_WATCH_ARMED); i++) {
            watcher_look(eye);
            sim_until(&x->w, NULL, 20 * ms);
        }
        if (c->is_idle && !c->is_over)
            counter_go(c);
        sim_until(&x->w, NULL, prng_range(p, 0, 4 * ms));
        for (uint32_t i = 0; i < x->w.n_servers; i++)
            sim_net_reset(x->client, lab_zk_node(x->zk, i));
        sim_until(&x->w, NULL, 4000 * ms);
        int32_t there = counter_there(x);
        for (int i = 0; i < 100 && eye->seen < there; i++) {
            watcher_look(eye);
            sim_until(&x->w, NULL, 20 * ms);
        }
        CU_ASSERT(eye->is_over || eye->seen >= there);
    }
}

static void storm(uint64_t seed, bool is_stormy, uint64_t ret_hash[2], struct lab_zk_stats *sum)
{
    struct world x;
    struct counter c[3];
    struct watcher eye;
    struct prng p;
    struct sim_config world = is_stormy ? sim_config_stormy(seed) : sim_config_quiet(seed);
    uint32_t servers = seed % 3 == 0 ? 5 : 3;
    struct lab_zk_config cfg = config(servers, seed);
    cfg.lag_ppm = 100000;
    cfg.slow_ppm = 50000;
    world_open_with(&x, &cfg, &world);
    prng_seed(&p, seed, "test", 0);
    for (uint32_t i = 0; i < 3; i++)
        counter_open(&c[i], &x);
    counter_make(&c[0]);
    watcher_open(&eye, &x);
    for (int i = 0; i < 60; i++) {
        watcher_look(&eye);
        uint32_t n = (uint32_t)prng_below(&p, servers);
        struct sim_node *node = lab_zk_node(x.zk, n);
        switch (prng_below(&p, 9)) {
        case 0:
            if (sim_node_is_up(node))
                sim_node_crash(node);
            break;
        case 1:
            if (sim_node_is_up(node))
                sim_node_pause(node);
            break;
        case 2:
            lab_zk_split(x.zk, (uint32_t)prng_below(&p, 1u << servers));
            break;
        case 3:
            lab_zk_lag(x.zk, n, prng_range(&p, 0, 300 * ms));
            break;
        case 4:
            lab_zk_depose(x.zk);
            break;
        case 5:
            sim_net_partition(node, x.client, prng_below(&p, 2));
            break;
        case 6:
            sim_net_partition(node, lab_zk_node(x.zk, (n + 1) % servers), false);
            break;
        default: /* and some of it ends */
            lab_zk_split(x.zk, 0);
            sim_net_heal_all(x.sim);
            if (!sim_node_is_up(node))
                lab_zk_start(x.zk, n);
            else
                sim_node_resume(node);
            break;
        }
        for (uint32_t k = 0; k < 3; k++)
            if (!c[k].is_over)
                counter_run(&c[k], prng_range(&p, 1, 200 * ms));
        is_sound(&x);
    }
    lab_zk_split(x.zk, 0);
    sim_net_heal_all(x.sim);
    for (uint32_t i = 0; i < servers; i++) {
        lab_zk_lag(x.zk, i, 0);
        if (!sim_node_is_up(lab_zk_node(x.zk, i)))
            lab_zk_start(x.zk, i);
        else
            sim_node_resume(lab_zk_node(x.zk, i));
    }
    sim_until(&x.w, NULL, 5000 * ms);
    CU_ASSERT_FATAL(leads(&x));
    struct counter after; /* once all is well, it goes on */
    counter_open(&after, &x);
    counter_run(&after, 3000 * ms);
    CU_ASSERT(after.acked > 0);
    eye_sees(&eye, &after, &x, &p);
    int32_t there = counter_there(&x);
    uint32_t acked = after.acked, unknown = after.unknown + !after.is_idle;
    for (uint32_t i = 0; i < 3; i++) {
        acked += c[i].acked;
        unknown += c[i].unknown + !c[i].is_idle;
    }
    if (sum)
        sum->events += eye.fired;
    CU_ASSERT(there >= (int32_t)acked); /* what was answered is there */
    CU_ASSERT(there <= (int32_t)(acked + unknown));
    for (uint32_t i = 0; i < servers; i++)
        CU_ASSERT(lab_zk_role(x.zk, i) >= LAB_ZK_FOLLOWING);
    const uint64_t *s = (const uint64_t *)lab_zk_stats(x.zk);
    for (size_t i = 0; sum && i < sizeof *sum / sizeof *s; i++)
        ((uint64_t *)sum)[i] += s[i];
    sim_hash(x.sim, ret_hash);
    world_close(&x);
}

static void test_storms(void)
{
    struct lab_zk_stats sum = {0};
    uint64_t h[2];
    const char *n = getenv("ZS_SEEDS");
    for (uint64_t seed = 1; seed <= (n ? (uint64_t)atoll(n) : 30); seed++)
        storm(seed, seed % 2, h, &sum);
    CU_ASSERT(sum.elections > 60 && sum.lost > 0 && sum.copies > 0 && sum.stale_reads > 0);
    CU_ASSERT(sum.reattached > 0 && sum.ahead > 0 && sum.expired > 0 && sum.slow > 0);
}

static void test_same_run_twice(void)
{
    uint64_t a[2], b[2], other[2];
    storm(5, true, a, NULL);
    storm(5, true, b, NULL);
    storm(6, true, other, NULL);
    CU_ASSERT(!memcmp(a, b, sizeof a));
    CU_ASSERT(memcmp(a, other, sizeof a) != 0);
}

/* ---- the tree alone ---- */

static int32_t tree_do(struct lab_zk_tree *t, const struct zk_request *q)
{
    static struct lab_zk_result r[LAB_ZK_OPS];
    const struct lab_zk_change c = {.zxid = t->zxid + 1, .time_ms = 5, .session = 1, .q = q};
    return lab_zk_tree_apply(t, &c, r);
}

static void draw_op(struct prng *p, struct zk_request *q, char path[32])
{
    static const int32_t ops[] = {ZK_OP_CREATE,   ZK_OP_CREATE2, ZK_OP_DELETE,
                                  ZK_OP_SET_DATA, ZK_OP_CHECK,   ZK_OP_CREATE};
    size_t at = 0;
    for (uint64_t i = 0, deep = 1 + prng_below(p, 3); i < deep; i++)
        at += fmt_into(path + at, 32 - at, "/%c", (char)('a' + (char)prng_below(p, 4)));
    *q = (struct zk_request){.op = ops[prng_below(p, ARRAY_LEN(ops))],
                             .path = path,
                             .path_len = (uint32_t)at,
                             .version = prng_below(p, 4) ? -1 : (int32_t)prng_below(p, 3),
                             .data = "data",
                             .data_len = (uint32_t)prng_below(p, 5),
                             .flags = prng_below(p, 6) ? 0 : (int32_t)prng_below(p, 4),
                             .acl = zk_proto_acl_open};
}

/* A multi that fails leaves no trace but its zxid, and a copy is the same in all that follows. */
static void test_tree_undoes(void)
{
    const struct lab_zk_bounds bounds = {.nodes = 60, .sessions = 4, .bytes = 4000};
    struct mem m;
    struct lab_zk_tree a, b;
    struct prng p;
    uint32_t failed = 0, done = 0, full = 0;
    unit_mem(&m, 64 << 20);
    prng_seed(&p, 3, "tree", 0);
    lab_zk_tree_init(&a, &m, &bounds);
    lab_zk_tree_init(&b, &m, &bounds);
    CU_ASSERT_EQUAL(lab_zk_tree_session_open(&a, 1, 1, 1000), 0);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[4096];
        char path[8][32];
        struct zk_request q, multi = {.op = ZK_OP_MULTI};
        struct wbuf w = wbuf_make(bytes, sizeof bytes);
        for (uint64_t k = 0, n = 1 + prng_below(&p, 2) * 3; k < n; k++) {
            draw_op(&p, &q, path[k]);
            zk_proto_op_put(&w, &multi.ops.n, &q);
        }
        multi.ops.p = w.p;
        multi.ops.len = (uint32_t)w.len;
        uint64_t before = lab_zk_tree_hash(&a) - (uint64_t)a.zxid;
        int32_t err = tree_do(&a, &multi);
        if (err)
            CU_ASSERT_EQUAL(before, lab_zk_tree_hash(&a) - (uint64_t)a.zxid);
        failed += err != 0;
        full += err == ZK_ERR_SYSTEM;
        done += !err;
        CU_ASSERT_FATAL(lab_zk_tree_check(&a));
        if (i % 1000 == 500) {
            lab_zk_tree_copy(&b, &a);
            CU_ASSERT(lab_zk_tree_check(&b));
            CU_ASSERT_EQUAL(lab_zk_tree_hash(&a), lab_zk_tree_hash(&b));
        }
        if (i % 2000 == 1999) { /* sequential ones have filled it */
            lab_zk_tree_drop(&a);
            lab_zk_tree_init(&a, &m, &bounds);
            CU_ASSERT_EQUAL(lab_zk_tree_session_open(&a, 1, 1, 1000), 0);
        } else if (i % 700 == 699) {
            lab_zk_tree_session_close(&a, a.zxid + 1, 1);
            CU_ASSERT_EQUAL(lab_zk_tree_session_open(&a, a.zxid + 1, 1, 1000), 0);
        }
    }
    if (failed < 1000 || done < 1000)
        fprintf(stderr, "\n  %u failed, %u done\n", failed, done);
    CU_ASSERT(failed > 1000 && done > 1000);
    CU_ASSERT(full > 0);
    lab_zk_tree_drop(&a);
    lab_zk_tree_drop(&b);
    mem_drop(&m);
}

/* ---- bytes that nobody should send ---- */

static void test_garbage_harms_nobody(void)
{
    static const int32_t ops[] = {ZK_OP_CREATE,   ZK_OP_CREATE2, ZK_OP_DELETE,      ZK_OP_SET_DATA,
                                  ZK_OP_GET_DATA, ZK_OP_SET_ACL, ZK_OP_SET_WATCHES, ZK_OP_MULTI,
                                  ZK_OP_AUTH,     ZK_OP_SYNC,    ZK_OP_GET_ACL,     ZK_OP_EXISTS};
    struct world x;
    static struct zs t;
    struct prng p;
    uint32_t closed = 0;
    world_open(&x, 3, 41);
    CU_ASSERT_FATAL(leads(&x));
    prng_seed(&p, 41, "garbage", 0);
    for (int i = 0; i < 400; i++) {
        t = (struct zs){.w = &x.w, .name = "garbage"};
        x.w.first = (uint32_t)i % 3;
        struct zs_raw *r = zs_raw(&t, 0);
        bool is_first = i % 10 == 0; /* in place of a ConnectRequest */
        CU_ASSERT(is_first || zs_raw_connect(r, 0, NULL, 0, 1000 * ms));
        for (int k = 0; k < 20 && !r->is_closed; k++) {
            uint8_t b[512], list[256];
            struct wbuf w = wbuf_make(b, sizeof b), l = wbuf_make(list, sizeof list);
            struct zk_request o = {.op = ZK_OP_CREATE,
                                   .path = "/m",
                                   .path_len = 2,
                                   .data = "x",
                                   .data_len = 1,
                                   .acl = zk_proto_acl_open};
            struct zk_request q = {.xid = k + 1,
                                   .op = ops[prng_below(&p, ARRAY_LEN(ops))],
                                   .path = "/g",
                                   .path_len = 2,
                                   .data = "user:pass",
                                   .data_len = 9,
                                   .scheme = "digest",
                                   .scheme_len = 6,
                                   .acl = zk_proto_acl_open,
                                   .version = -1};
            zk_proto_op_put(&l, &q.ops.n, &o);
            q.ops.p = l.p;
            q.ops.len = (uint32_t)l.len;
            zk_proto_request_put(&w, &q);
            for (uint64_t bad = prng_below(&p, 4); bad; bad--)
                b[(prng_below(&p, 8) ? 4 : 0) + prng_below(&p, w.len - 4)] = (uint8_t)prng_u64(&p);
            zs_raw_bytes(r, b, (uint32_t)w.len);
            sim_until(&x.w, NULL, 2 * ms);
        }
        closed += r->is_closed;
        zs_raw_hangup(r);
        free(r->in);
        free(r->out);
    }
    CU_ASSERT(closed > 50);
    is_sound(&x);
    t = (struct zs){.w = &x.w, .name = "garbage"};
    struct zs_session *s = zs_open(&t, &(struct zs_how){.root = "", .is_all = true});
    CU_ASSERT_EQUAL(zs_create(s, "/after", "", 0)->err, 0);
    world_close(&x);
}

static void test_digest(void)
{
    char b[64];
    CU_ASSERT(lab_zk_digest("user:pass", 9, b, sizeof b));
    CU_ASSERT_STRING_EQUAL(b, "user:smGaoVKd/cQkjm7b88GyorAUz20=");
    CU_ASSERT(lab_zk_digest("a:b:c", 5, b, sizeof b));
    CU_ASSERT_STRING_EQUAL(b, "a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0=");
    CU_ASSERT(!lab_zk_digest("nocolon", 7, b, sizeof b));
    CU_ASSERT(!lab_zk_digest("user:pass", 9, b, 20));
}

UNIT_MAIN("lab_zk", UNIT(test_digest), UNIT(test_tree_undoes), UNIT(test_garbage_harms_nobody),
          UNIT(test_suite_alone), UNIT(test_suite_at_leader_and_followers),
          UNIT(test_suite_of_five_that_lag), UNIT(test_leader_is_lost),
          UNIT(test_no_quorum_no_service), UNIT(test_leader_that_is_cut_off),
          UNIT(test_leader_that_stood_still), UNIT(test_new_leader_gives_sessions_their_time_again),
          UNIT(test_session_is_ended_by_hand), UNIT(test_somebody_sets_a_node),
          UNIT(test_slow_session_expires), UNIT(test_silent_connection_is_closed),
          UNIT(test_lagging_server_is_stale_until_a_sync), UNIT(test_log_that_is_full_begins_anew),
          UNIT(test_memory_is_given_back), UNIT(test_storms), UNIT(test_same_run_twice))
