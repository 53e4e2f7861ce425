/* tests/unit/test_zk_near.c - is the process that leads still there? */
#include "core/fmt.h"
#include "journal/zk_near.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

static const int64_t ms = 1000000;

static struct near_world {
    struct mem mem;
    struct sim *s;
    struct sim_node *node, *other;
    struct env *e;
    struct zk_near near;
    struct env_acceptor acceptor;
    struct env_peer peer;
    struct env_op listen, stopped;
    uint32_t n_gone, n_opened;
} w;

static void near_gone(struct zk_near *n)
{
    (void)n;
    w.n_gone++;
}

static void near_nothing(struct env_op *op)
{
    (void)op;
}

static void near_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n;
}

static void near_closed(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

static struct env_peer *near_open(struct env_acceptor *a, const char *from)
{
    (void)a, (void)from;
    w.peer = (struct env_peer){.on_frame = near_frame, .on_close = near_closed};
    w.n_opened++;
    return &w.peer;
}

static void near_listens(void)
{
    struct env *e = sim_node_up(w.other);
    w.acceptor = (struct env_acceptor){.on_open = near_open};
    w.listen = (struct env_op){.done = near_nothing};
    env_listen(e, "o:1", &w.acceptor, &w.listen);
}

static void near_for(int64_t ns)
{
    sim_run_until(w.s, sim_now_ns(w.s) + ns);
}

static void near_begin(bool listens)
{
    struct sim_config cfg = sim_config_quiet(3);
    memset(&w, 0, sizeof w);
    unit_mem(&w.mem, 64 << 20);
    w.s = sim_open(&w.mem, &cfg);
    w.node = sim_node_add(w.s, "n");
    w.other = sim_node_add(w.s, "o");
    if (listens)
        near_listens();
    w.e = sim_node_up(w.node);
    zk_near_init(&w.near, w.e, near_gone);
    zk_near_follow(&w.near, "o:1");
    near_for(3000 * ms);
}

static void near_end(void)
{
    w.stopped.done = near_nothing;
    zk_near_stop(&w.near, &w.stopped);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &w.stopped, 5000 * ms), 0);
    sim_close(w.s);
    mem_drop(&w.mem);
}

static void test_who_was_there_and_refuses_is_gone(void)
{
    near_begin(true);
    CU_ASSERT(w.n_gone == 0 && w.near.state == ZK_NEAR_UP);
    sim_node_crash(w.other);
    near_for(100 * ms);
    CU_ASSERT_EQUAL(w.n_gone, 1);
    near_for(10000 * ms); /* told once */
    CU_ASSERT_EQUAL(w.n_gone, 1);
    near_end();
}

static void test_who_never_was_there_says_nothing(void)
{
    near_begin(false);
    near_for(10000 * ms);
    CU_ASSERT_EQUAL(w.n_gone, 0);
    near_listens(); /* from then on it does */
    near_for(3000 * ms);
    CU_ASSERT_EQUAL(w.near.state, ZK_NEAR_UP);
    sim_node_crash(w.other);
    near_for(100 * ms);
    CU_ASSERT_EQUAL(w.n_gone, 1);
    near_end();
}

static void test_silence_says_nothing(void)
{
    near_begin(true);
    sim_net_partition(w.node, w.other, false);
    near_for(60000 * ms);
    CU_ASSERT_EQUAL(w.n_gone, 0);
    sim_net_heal_all(w.s);
    near_for(5000 * ms);
    CU_ASSERT(w.n_gone == 0 && w.near.state == ZK_NEAR_UP);
    near_end();
}

static void test_who_is_back_at_once_is_not_gone(void)
{
    near_begin(true);
    sim_node_crash(w.other);
    near_for(ms);
    near_listens();
    near_for(1000 * ms);
    CU_ASSERT(w.n_gone == 0 && w.near.state == ZK_NEAR_UP && w.n_opened == 2);
    near_end();
}

static void test_another_is_followed(void)
{
    near_begin(true);
    zk_near_follow(&w.near, "o:2"); /* where nobody is */
    near_for(3000 * ms);
    sim_node_crash(w.other);
    near_for(3000 * ms);
    CU_ASSERT_EQUAL(w.n_gone, 0);
    zk_near_follow(&w.near, "");
    near_for(3000 * ms);
    CU_ASSERT_EQUAL(w.near.state, ZK_NEAR_REST);
    near_end();
}

UNIT_MAIN("zk_near", UNIT(test_who_was_there_and_refuses_is_gone),
          UNIT(test_who_never_was_there_says_nothing), UNIT(test_silence_says_nothing),
          UNIT(test_who_is_back_at_once_is_not_gone), UNIT(test_another_is_followed))
