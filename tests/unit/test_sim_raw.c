/* tests/unit/test_sim_raw.c - raw connections in the simulator: cut and joined bytes, and all that
 * happens to connections. */
#include "core/fmt.h"
#include "sim/sim.h"
#include "tests/unit/test_raw_stream.h"

static const int64_t sec = 1000000000, ms = 1000000;

struct raw_sim {
    struct mem m;
    struct sim *s;
    struct sim_node *a, *b;
};

static struct sim_config raw_config; /* of the next world; seed 0: a quiet one */

static void raw_world_open(struct raw_world *w)
{
    struct raw_sim *x = calloc(1, sizeof *x);
    struct sim_config cfg = raw_config.node_mem_bytes ? raw_config : sim_config_quiet(1);
    w->world = x;
    unit_mem(&x->m, 1 << 30);
    x->s = sim_open(&x->m, &cfg);
    x->a = sim_node_add(x->s, "a");
    x->b = sim_node_add(x->s, "b");
    sim_net_secret(x->a, 1, 0);
    sim_net_secret(x->b, 2, 0); /* another one: nobody asks */
    w->a = sim_node_up(x->a);
    w->b = sim_node_up(x->b);
    fmt_into(w->addr, sizeof w->addr, "b:1");
    fmt_into(w->nobody, sizeof w->nobody, "b:2");
}

static bool raw_world_drive(struct raw_world *w, const bool *flag)
{
    struct raw_sim *x = w->world;
    int64_t end_ns = sim_now_ns(x->s) + 100 * sec;
    while (!*(volatile const bool *)flag && sim_now_ns(x->s) < end_ns && sim_step(x->s))
        ;
    return *flag;
}

static void raw_world_close(struct raw_world *w)
{
    struct raw_sim *x = w->world;
    sim_close(x->s);
    mem_drop(&x->m);
    free(x);
}

static struct raw_sim *raw_sim(struct raw_world *w)
{
    return w->world;
}

static void raw_for(struct raw_world *w, int64_t ns)
{
    sim_run_until(raw_sim(w)->s, sim_now_ns(raw_sim(w)->s) + ns);
}

static void raw_start_seed(struct raw_world *w, uint64_t seed)
{
    raw_config = sim_config_quiet(seed);
    raw_start(w);
    raw_config.node_mem_bytes = 0;
}

/* of sends in turns of their own some come in pieces, byte by byte, late or joined */
static void test_raw_cut_and_joined(void)
{
    unsigned whole = 0, by_byte = 0, late = 0, joined = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct raw_world w;
        raw_start_seed(&w, seed);
        CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
        w.server.wants = 40;
        raw_send(&w.client, 0, 20);
        raw_for(&w, 1000);
        raw_send(&w.client, 20, 20);
        while (!w.server.n)
            CU_ASSERT_FATAL(sim_step(raw_sim(&w)->s));
        late += w.server.n < 20;
        joined += w.server.n > 20;
        by_byte += w.server.pieces == w.server.n;
        whole += w.server.pieces == 1 && w.server.n == 20;
        CU_ASSERT(raw_world_drive(&w, &w.server.has_all));
        CU_ASSERT_EQUAL(w.server.n, 40);
        CU_ASSERT(raw_is_right(&w.server));
        raw_end(&w);
    }
    CU_ASSERT(whole > 20);
    CU_ASSERT(by_byte > 10);
    CU_ASSERT(late > 10);
    CU_ASSERT(joined > 50); /* 40 would be, if nothing were held back for what follows */
}

/* another seed cuts elsewhere, the same one does not */
static uint64_t raw_hash_of(uint64_t seed)
{
    struct raw_world w;
    uint64_t h[2];
    raw_start_seed(&w, seed);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    w.server.echoes = true;
    for (uint32_t i = 0; i < 50; i++) {
        raw_send(&w.client, i * 50, 50);
        raw_for(&w, ms / 10);
    }
    raw_for(&w, sec);
    CU_ASSERT_EQUAL(w.client.n, 2500);
    sim_hash(raw_sim(&w)->s, h);
    raw_end(&w);
    return h[0];
}

static void test_raw_same_seed_same_cuts(void)
{
    CU_ASSERT_EQUAL(raw_hash_of(3), raw_hash_of(3));
    CU_ASSERT_NOT_EQUAL(raw_hash_of(3), raw_hash_of(4));
}

/* what the machine received while the process stood still comes when it goes on, connect among it
 */
static void test_raw_a_process_that_stands_still(void)
{
    struct raw_world w;
    raw_start(&w);
    sim_node_pause(raw_sim(&w)->b);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    raw_send(&w.client, 0, 100);
    raw_for(&w, 5 * sec);
    CU_ASSERT(!w.opened && !w.server.n && !w.client.closed);
    sim_node_resume(raw_sim(&w)->b);
    raw_for(&w, sec);
    CU_ASSERT(w.opened);
    CU_ASSERT_EQUAL(w.server.n, 100);
    CU_ASSERT(raw_is_right(&w.server));
    raw_end(&w);
}

/* ... it dies before it has heard of the connection */
static void test_raw_dies_before_it_knows(void)
{
    for (int how = 0; how < 4; how++) {
        bool power = how & 1, says = how & 2;
        struct raw_world w;
        raw_start(&w);
        sim_node_pause(raw_sim(&w)->b);
        CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
        raw_send(&w.client, 0, says ? 100 : 0);
        raw_for(&w, sec);
        if (power)
            sim_node_power_loss(raw_sim(&w)->b);
        else
            sim_node_crash(raw_sim(&w)->b);
        raw_for(&w, sec);
        CU_ASSERT_EQUAL(w.client.closed, !power); /* a dead machine says nothing */
        if (power) {
            sim_node_up(raw_sim(&w)->b);
            raw_send(&w.client, 100, 100);
            raw_for(&w, 30 * sec);
        }
        CU_ASSERT(w.client.closed);
        CU_ASSERT(!w.opened && !w.server.n);
        raw_end(&w);
    }
}

/* ... or who called goes first: it is told of all that there was */
static void test_raw_caller_gone_before_it_knows(void)
{
    for (int how = 0; how < 4; how++) {
        struct raw_world w;
        raw_start(&w);
        sim_node_pause(raw_sim(&w)->b);
        CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
        raw_send(&w.client, 0, 100);
        raw_for(&w, ms);
        if (how == 0)
            env_hangup(w.client.peer.conn);
        else if (how == 1)
            sim_node_crash(raw_sim(&w)->a);
        else if (how == 2)
            sim_node_power_loss(raw_sim(&w)->a);
        else
            CU_ASSERT_EQUAL(sim_net_reset(raw_sim(&w)->a, raw_sim(&w)->b), 0);
        raw_for(&w, sec);
        sim_node_resume(raw_sim(&w)->b);
        raw_for(&w, sec);
        CU_ASSERT(w.opened);
        CU_ASSERT_EQUAL(w.server.closed, how < 2);
        CU_ASSERT(how ? w.server.n <= 100 : w.server.n == 100); /* a death may lose the tail */
        CU_ASSERT(raw_is_right(&w.server));
        raw_end(&w);
    }
}

/* nobody answers: the deadline ends it, also when the answer alone is lost */
static void test_raw_connect_has_a_deadline(void)
{
    for (int later = 0; later < 2; later++) {
        struct raw_world w;
        raw_start(&w);
        struct raw_sim *x = raw_sim(&w);
        struct raw_wait wait = {.op.done = raw_wait_done};
        w.client.peer.is_raw = true;
        env_connect(w.a, w.addr, 3 * sec, &w.client.peer, &wait.op);
        while (later && !w.opened)
            CU_ASSERT_FATAL(sim_step(x->s));
        sim_net_partition(x->a, x->b, false);
        int64_t at_ns = sim_now_ns(x->s);
        CU_ASSERT_FATAL(raw_world_drive(&w, &wait.done));
        CU_ASSERT_EQUAL(wait.op.ret, E_TIMEOUT);
        CU_ASSERT(sim_now_ns(x->s) - at_ns <= 3 * sec);
        sim_net_heal_all(x->s);
        raw_for(&w, 60 * sec);
        CU_ASSERT_EQUAL(w.server.closed, w.opened);
        raw_end(&w);
    }
}

/* one end is raw, the other is not */
static void test_raw_and_framed(void)
{
    for (int i = 0; i < 2; i++) {
        struct raw_world w;
        raw_start(&w);
        struct raw_wait wait = {.op.done = raw_wait_done};
        env_unlisten(w.b, &w.acc);
        w.acc.is_raw = i;
        w.client.peer.is_raw = !i;
        env_listen(w.b, w.addr, &w.acc, &wait.op);
        CU_ASSERT_FATAL(raw_world_drive(&w, &wait.done));
        struct raw_wait con = {.op.done = raw_wait_done};
        env_connect(w.a, w.addr, sec, &w.client.peer, &con.op);
        CU_ASSERT_FATAL(raw_world_drive(&w, &con.done));
        CU_ASSERT_EQUAL(con.op.ret, E_PROTO);
        CU_ASSERT(!w.opened);
        raw_end(&w);
    }
}

/* a partition holds bytes up until it heals, or the connection ends; half-open ones end, too */
static void test_raw_partition_and_half_open(void)
{
    struct raw_world w;
    raw_start(&w);
    struct raw_sim *x = raw_sim(&w);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    sim_net_partition(x->a, x->b, false);
    raw_send(&w.client, 0, 1000);
    raw_for(&w, 2 * sec);
    raw_send(&w.client, 1000, 1000);
    raw_for(&w, sec);
    CU_ASSERT_EQUAL(w.server.n, 0);
    sim_net_heal(x->a, x->b);
    raw_for(&w, 9 * sec);
    CU_ASSERT_EQUAL(w.server.n, 2000);
    CU_ASSERT(raw_is_right(&w.server));
    sim_net_clog(x->a, x->b, 3 * sec);
    raw_send(&w.client, 2000, 10);
    raw_for(&w, 2 * sec);
    CU_ASSERT_EQUAL(w.server.n, 2000);
    raw_for(&w, 2 * sec);
    CU_ASSERT_EQUAL(w.server.n, 2010);
    CU_ASSERT_EQUAL(sim_net_half_open(x->a, x->b), 1);
    raw_send(&w.client, 2010, 10);
    raw_for(&w, 60 * sec);
    CU_ASSERT(w.client.closed && !w.server.closed);
    CU_ASSERT_EQUAL(w.server.n, 2010);
    raw_end(&w);
}

/* whatever happens, what comes is a beginning of what was sent, in its order */
static void test_raw_storms(void)
{
    unsigned broken = 0, short_of = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct raw_world w;
        raw_config = sim_config_stormy(seed);
        raw_config.net.reset_ppm = 20000;
        raw_config.net.half_open_ppm = 5000;
        raw_config.net.reorder_ppm = 100000;
        raw_config.net.loss_ppm = 50000;
        if (seed & 1) /* turns take time */
            raw_config.serve = (struct sim_serve_config){1, 20000, 5000, 5000, 5000, 10000, 0, 100};
        raw_start(&w);
        raw_config.node_mem_bytes = 0;
        struct raw_sim *x = raw_sim(&w);
        if (raw_connect_to(&w, w.addr)) {
            raw_end(&w);
            continue;
        }
        uint32_t sent = 0;
        for (uint32_t i = 0; i < 100 && w.client.peer.conn; i++) {
            uint32_t n = 1 + (uint32_t)sim_random(x->s, 3000);
            raw_send(&w.client, sent, n);
            sent += n;
            raw_for(&w, (int64_t)sim_random(x->s, (uint64_t)(i % 10 ? 2 * ms : 300 * ms)));
            if (sim_random(x->s, 40) == 0)
                sim_node_pause(x->b);
            else
                sim_node_resume(x->b);
        }
        sim_node_resume(x->b);
        raw_for(&w, 60 * sec);
        CU_ASSERT_FATAL(w.server.n <= sent && raw_is_right(&w.server));
        broken += w.client.closed;
        short_of += w.server.n < sent;
        if (!w.client.closed)
            CU_ASSERT(w.server.n == sent);
        raw_end(&w);
    }
    CU_ASSERT(broken > 50 && broken < 300);
    CU_ASSERT(short_of > 20);
}

/* clang-format off */
UNIT_MAIN("sim_raw", RAW_TESTS, UNIT(test_raw_cut_and_joined), UNIT(test_raw_same_seed_same_cuts),
          UNIT(test_raw_a_process_that_stands_still), UNIT(test_raw_dies_before_it_knows),
          UNIT(test_raw_caller_gone_before_it_knows), UNIT(test_raw_connect_has_a_deadline),
          UNIT(test_raw_and_framed), UNIT(test_raw_partition_and_half_open), UNIT(test_raw_storms))
/* clang-format on */
