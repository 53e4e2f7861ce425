/* tests/unit/test_sim_net.c - the simulated network: order, closes, partitions, rma, bandwidth. */
#include "core/buf.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000, us = 1000;

enum { GOT_MAX = 4096 };

struct side {
    struct env_peer peer;
    unsigned frames, closes;
    int why;
    uint32_t got[GOT_MAX]; /* the number in each frame */
    int64_t at_ns[GOT_MAX];
    struct world *w;
    bool hang_up; /* on the first frame */
};

struct world {
    struct mem m;
    struct sim *s;
    struct sim_node *a, *b;
    struct env *ea, *eb;
    struct env_acceptor acc;
    struct env_op op;
    struct side client, server;
    bool refuse;
    const uint8_t *expect; /* an rma write must be whole when a frame arrives */
    uint8_t *target;
    uint32_t expect_len;
};

static void side_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct side *x = container_of(p, struct side, peer);
    CU_ASSERT_EQUAL(type, 7);
    CU_ASSERT_FATAL(n >= 4 && x->frames < GOT_MAX);
    x->at_ns[x->frames] = sim_now_ns(x->w->s);
    x->got[x->frames++] = base_get_u32(b);
    if (x->w->expect)
        CU_ASSERT(!memcmp(x->w->expect, x->w->target, x->w->expect_len));
    if (x->hang_up)
        env_hangup(p->conn);
}

static void side_close(struct env_peer *p, int why)
{
    struct side *x = container_of(p, struct side, peer);
    CU_ASSERT_PTR_NULL(p->conn);
    x->closes++;
    x->why = why;
}

static struct env_peer *world_open_peer(struct env_acceptor *a, const char *from)
{
    struct world *w = container_of(a, struct world, acc);
    CU_ASSERT_STRING_EQUAL(from, "a");
    return w->refuse ? NULL : &w->server.peer;
}

static int64_t world_listen(struct world *w)
{
    w->acc.on_open = world_open_peer;
    env_listen(w->eb, "b:1", &w->acc, &w->op);
    return sim_run_op(w->s, &w->op, sec);
}

static int64_t world_connect(struct world *w)
{
    env_connect(w->ea, "b:1", 2 * sec, &w->client.peer, &w->op);
    return sim_run_op(w->s, &w->op, 10 * sec);
}

static void world_start(struct world *w, const struct sim_config *cfg)
{
    memset(w, 0, sizeof *w);
    unit_mem(&w->m, 1 << 30);
    w->s = sim_open(&w->m, cfg);
    w->a = sim_node_add(w->s, "a");
    w->b = sim_node_add(w->s, "b");
    w->ea = sim_node_up(w->a);
    w->eb = sim_node_up(w->b);
    struct side *side[2] = {&w->client, &w->server};
    for (int i = 0; i < 2; i++) {
        side[i]->w = w;
        side[i]->peer.on_frame = side_frame;
        side[i]->peer.on_close = side_close;
    }
    CU_ASSERT_EQUAL(world_listen(w), 0);
}

static void world_end(struct world *w)
{
    sim_close(w->s);
    mem_drop(&w->m);
}

static void world_wait(struct world *w, int64_t ns)
{
    sim_run_until(w->s, sim_now_ns(w->s) + ns);
}

static void put(struct side *x, uint32_t number, uint32_t len)
{
    static uint8_t b[ENV_FRAME_MAX];
    memset(b, 'x', len);
    base_put_u32(b, number);
    struct env_iov iov[2] = {{b, 4}, {b + 4, len - 4}};
    env_send(x->peer.conn, 7, iov, 2);
}

struct look { /* a timer that counts the frames that are there when it fires */
    struct env_timer t;
    const struct side *x;
    unsigned saw;
};

static void look_done(struct env_op *op)
{
    struct look *k = container_of(op, struct look, t.op);
    k->saw = k->x->frames;
}

/* all that a machine received while its process stood still comes before the timers */
static void test_net_what_came_in_a_pause_comes_first(void)
{
    struct world w;
    struct sim_config cfg = sim_config_quiet(1);
    world_start(&w, &cfg);
    struct look k = {.t.op.done = look_done, .x = &w.server};
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    env_timer_set(w.eb, &k.t, env_now_ns(w.eb) + ms);
    sim_node_pause(w.b);
    for (uint32_t i = 0; i < 20; i++) {
        put(&w.client, i, 60000);
        world_wait(&w, 10 * ms);
    }
    CU_ASSERT_EQUAL(w.server.frames, 0);
    sim_node_resume(w.b);
    world_wait(&w, ms);
    CU_ASSERT_EQUAL(k.saw, 20);
    world_end(&w);
}

static void test_net_connect_outcomes(void)
{
    struct sim_config cfg = sim_config_quiet(1);
    struct world w;
    world_start(&w, &cfg);
    env_connect(w.ea, "b:2", sec, &w.client.peer, &w.op);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &w.op, 9 * sec), E_REFUSED);
    env_connect(w.ea, "nobody:1", sec, &w.client.peer, &w.op);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &w.op, 9 * sec), E_REFUSED);
    env_connect(w.ea, "b", sec, &w.client.peer, &w.op);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &w.op, 9 * sec), E_INVAL);
    env_listen(w.eb, "b:1", &w.acc, &w.op);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &w.op, sec), E_ADDRINUSE);
    w.refuse = true;
    CU_ASSERT_EQUAL(world_connect(&w), E_REFUSED);
    w.refuse = false;
    sim_node_pause(w.b);
    CU_ASSERT_EQUAL(world_connect(&w), E_TIMEOUT);
    sim_node_resume(w.b);
    sim_net_partition(w.a, w.b, true);
    CU_ASSERT_EQUAL(world_connect(&w), E_TIMEOUT);
    sim_net_heal_all(w.s);
    CU_ASSERT_EQUAL(world_connect(&w), 0);
    CU_ASSERT(w.client.peer.conn && w.server.peer.conn);
    sim_node_crash(w.b);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.client.closes, 1);
    CU_ASSERT_EQUAL(world_connect(&w), E_REFUSED);
    sim_node_power_loss(w.b);
    CU_ASSERT_EQUAL(world_connect(&w), E_TIMEOUT);
    world_end(&w);
}

static void test_net_secrets(void)
{
    static const struct {
        uint64_t a[2], b[2];
        int64_t ret;
    } cases[] = {
        {{1}, {1}, 0},       {{1}, {2}, E_AUTH},    {{1}, {0}, E_AUTH},  {{0}, {1}, E_AUTH},
        {{1, 2}, {2}, 0},    {{2}, {1, 2}, 0},      {{1, 2}, {3, 1}, 0}, {{1, 2}, {3, 4}, E_AUTH},
        {{0, 2}, {2, 0}, 0}, {{0, 2}, {0}, E_AUTH}, {{0}, {0}, 0}};
    struct sim_config cfg = sim_config_quiet(1);
    struct world w;
    world_start(&w, &cfg);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        sim_net_secret(w.a, cases[i].a[0], cases[i].a[1]);
        sim_net_secret(w.b, cases[i].b[0], cases[i].b[1]);
        w.server.peer.conn = NULL;
        CU_ASSERT_EQUAL(world_connect(&w), cases[i].ret);
        CU_ASSERT_EQUAL(w.server.peer.conn != NULL, !cases[i].ret); /* not even its on_open */
        if (!cases[i].ret)
            env_hangup(w.client.peer.conn);
        world_wait(&w, sec);
    }
    CU_ASSERT_EQUAL(w.server.closes, 6);
    world_end(&w);
}

/* many frames under every kind of delay: each once, in order, or a close */
static void test_net_fifo_under_delays(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    cfg.net.loss_ppm = 50000;
    cfg.net.reorder_ppm = 200000;
    cfg.net.clog_ppm = 5000;
    cfg.net.pair_extra_max_ns = ms;
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    for (uint32_t i = 0; i < 2000; i++) {
        put(&w.client, i, 4 + i % 3000);
        if (i % 3 == 0)
            world_wait(&w, 20 * us);
        if (i % 5 == 0)
            put(&w.server, i / 5, 8);
    }
    CU_ASSERT(env_backlog(w.client.peer.conn) > 0);
    world_wait(&w, 300 * sec);
    CU_ASSERT_EQUAL(env_backlog(w.client.peer.conn), 0);
    CU_ASSERT_EQUAL(w.server.frames, 2000);
    CU_ASSERT_EQUAL(w.client.frames, 400);
    for (uint32_t i = 0; i < w.server.frames; i++)
        CU_ASSERT_EQUAL(w.server.got[i], i);
    const struct sim_stats *st = sim_stats(w.s);
    CU_ASSERT(st->lost && st->reordered && st->clogs && !st->resets && !st->half_opens);
    world_end(&w);
}

static void test_net_quiet_has_no_faults(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        put(&w.client, i, 100);
        world_wait(&w, 10 * us);
    }
    world_wait(&w, sec);
    const struct sim_stats *st = sim_stats(w.s);
    CU_ASSERT_EQUAL(w.server.frames, 1000);
    CU_ASSERT(!st->lost && !st->reordered && !st->clogs && !st->resets && !st->half_opens);
    world_end(&w);
}

/* frames of one turn arrive in one turn */
static void send_ten(struct env_op *op)
{
    struct world *w = container_of(op, struct world, op);
    for (uint32_t i = 0; i < 10; i++)
        put(&w->client, i, 100);
}

static void test_net_one_turn_one_write(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    w.op.done = send_ten;
    env_post(w.ea, &w.op);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL_FATAL(w.server.frames, 10);
    CU_ASSERT_EQUAL(w.server.at_ns[0], w.server.at_ns[9]);
    world_end(&w);
}

static void test_net_resets_lose_a_tail_only(void)
{
    unsigned resets = 0, cut = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        cfg.net.reset_ppm = 20000;
        struct world w;
        world_start(&w, &cfg);
        if (world_connect(&w) == 0) {
            uint32_t n = 0;
            while (n < 300 && w.client.peer.conn) {
                for (int i = 0; i < 3; i++)
                    put(&w.client, n++, 50);
                world_wait(&w, 20 * us);
            }
            world_wait(&w, sec);
            for (uint32_t i = 0; i < w.server.frames; i++)
                CU_ASSERT_EQUAL(w.server.got[i], i);
            CU_ASSERT_EQUAL(w.client.closes, w.server.closes);
            resets += w.client.closes;
            cut += w.server.frames % 3 != 0;
        }
        world_end(&w);
    }
    CU_ASSERT(resets > 10);
    CU_ASSERT(cut > 0); /* in the middle of a write */
}

static void test_net_partition_heal_and_timeout(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    sim_net_partition(w.a, w.b, false);
    put(&w.client, 1, 10);
    world_wait(&w, 5 * sec);
    CU_ASSERT_EQUAL(w.server.frames, 0);
    sim_net_heal_all(w.s);
    world_wait(&w, sec); /* it was tried at 0.2, 0.6, 1.4 and 3.0 s; the next try is at 6.2 s */
    CU_ASSERT_EQUAL(w.server.frames, 0);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.server.frames, 1);
    CU_ASSERT_EQUAL(w.client.closes + w.server.closes, 0);
    sim_net_partition(w.a, w.b, false);
    put(&w.client, 2, 10);
    world_wait(&w, 11 * sec);
    CU_ASSERT_EQUAL(w.client.closes, 1); /* it has unacknowledged bytes */
    CU_ASSERT_EQUAL(w.server.closes, 0); /* the other side knows nothing */
    sim_net_heal(w.a, w.b);
    put(&w.server, 3, 10); /* until it speaks */
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.server.closes, 1);
    CU_ASSERT_EQUAL(w.server.frames, 1);
    world_end(&w);
}

/* one way: frames arrive, acknowledgements do not */
static void test_net_one_way_partition(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    struct sim_node *as[1] = {w.a}, *bs[1] = {w.b};
    sim_net_partition_sets(bs, 1, as, 1, true);
    put(&w.client, 1, 10);
    put(&w.server, 2, 10);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.server.frames, 1);
    CU_ASSERT_EQUAL(w.client.frames, 0);
    world_wait(&w, 11 * sec);
    CU_ASSERT_EQUAL(w.client.closes, 1);
    CU_ASSERT_EQUAL(w.server.closes, 1);
    world_end(&w);
}

static void test_net_half_open(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    CU_ASSERT_EQUAL(sim_net_half_open(w.a, w.b), 1);
    put(&w.client, 1, 10);
    world_wait(&w, 60 * sec);
    CU_ASSERT_EQUAL(w.client.closes, 1);
    CU_ASSERT_EQUAL(w.server.closes, 0);
    CU_ASSERT_EQUAL(world_connect(&w), 0); /* the machines still reach each other */
    CU_ASSERT_EQUAL(sim_net_reset(w.a, w.b), 1);
    world_wait(&w, ms);
    CU_ASSERT_EQUAL(w.client.closes, 2);
    world_end(&w);
}

/* a clog holds one direction back; healing ends it */
static void test_net_clog_and_heal(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    sim_net_clog(w.a, w.b, 3 * sec);
    put(&w.client, 1, 10);
    put(&w.server, 2, 10);
    world_wait(&w, 2 * sec);
    CU_ASSERT_EQUAL(w.server.frames, 0);
    CU_ASSERT_EQUAL(w.client.frames, 1);
    sim_net_heal_all(w.s);
    world_wait(&w, ms);
    CU_ASSERT_EQUAL(w.server.frames, 1);
    sim_net_clog(w.a, w.b, 3 * sec);
    put(&w.client, 3, 10);
    world_wait(&w, 3 * sec - ms);
    CU_ASSERT_EQUAL(w.server.frames, 1);
    world_wait(&w, 2 * ms);
    CU_ASSERT_EQUAL(w.server.frames, 2);
    world_end(&w);
}

/* connections go silent at random, and whoever speaks learns it */
static void test_net_random_half_opens(void)
{
    unsigned closes = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        cfg.net.half_open_ppm = 100000;
        struct world w;
        world_start(&w, &cfg);
        if (world_connect(&w) == 0)
            for (uint32_t i = 0; i < 50 && w.client.peer.conn; i++) {
                put(&w.client, i, 50);
                world_wait(&w, sec);
            }
        CU_ASSERT_EQUAL(sim_stats(w.s)->half_opens > 0,
                        sim_stats(w.s)->timeouts > 0 || !w.client.peer.conn);
        closes += w.client.closes;
        world_end(&w);
    }
    CU_ASSERT(closes > 10);
}

/* healing another link does not make a dead machine acknowledge */
static void test_net_heal_and_a_dead_reader(void)
{
    static uint8_t from[1000], to[1000];
    struct sim_config cfg = sim_config_quiet(1);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    struct env_region r;
    struct env_key key;
    env_share(w.eb, to, sizeof to, &r, &key);
    struct env_op op = {0};
    env_rma(w.client.peer.conn, ENV_RMA_READ, from, sizeof from, key, 0, &op);
    sim_net_clog(w.b, w.a, sec); /* the request gets there, the answer does not */
    world_wait(&w, 10 * ms);
    sim_node_power_loss(w.b);
    sim_net_heal_all(w.s);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &op, 30 * sec), E_CLOSED);
    world_end(&w);
}

/* power loss is silent; a rebooted machine answers old connections with a reset */
static void test_net_power_loss_is_silent(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    sim_node_power_loss(w.b);
    put(&w.client, 1, 10);
    world_wait(&w, 5 * sec);
    CU_ASSERT_EQUAL(w.client.closes, 0);
    w.eb = sim_node_up(w.b);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.client.closes, 1);
    CU_ASSERT_EQUAL(w.server.frames + w.server.closes, 0);
    world_end(&w);
}

/* what was sent to a process that is gone, and waits because the next one stands still, is answered
 * by the kernel when that one dies, too */
static void test_net_two_deaths_and_a_pause(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    sim_node_power_loss(w.b);
    w.eb = sim_node_up(w.b);
    sim_node_pause(w.b);
    put(&w.client, 1, 10);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.client.closes, 0);
    sim_node_crash(w.b);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.client.closes, 1);
    world_end(&w);
}

static void test_net_hangup_delivers_then_closes(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    put(&w.client, 1, 10);
    put(&w.client, 2, 10);
    env_hangup(w.client.peer.conn);
    CU_ASSERT_PTR_NULL(w.client.peer.conn);
    w.server.hang_up = true; /* inside on_frame, with a frame still to come */
    world_wait(&w, 60 * sec);
    CU_ASSERT_EQUAL(w.server.frames, 1);
    CU_ASSERT_EQUAL(w.server.closes + w.client.closes, 0);
    w.server.hang_up = false;
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    put(&w.client, 3, 10);
    env_hangup(w.client.peer.conn);
    world_wait(&w, sec);
    CU_ASSERT_EQUAL(w.server.frames, 2);
    CU_ASSERT_EQUAL(w.server.closes, 1);
    world_end(&w);
}

static unsigned ended;

static void count_end(struct env_op *op)
{
    CU_ASSERT(op->ret == E_CLOSED || op->ret == E_STALE || op->ret == E_TIMEOUT ||
              op->ret == E_REFUSED || op->ret >= 0);
    ended++;
}

/* a crash in the middle of everything leaves nothing that touches the dead process */
static void test_net_crash_with_all_under_way(void)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sim_config cfg = sim_config_stormy(seed);
        struct world w;
        world_start(&w, &cfg);
        if (world_connect(&w) == 0 && w.client.peer.conn) {
            static uint8_t mem[100000], from[100000];
            struct env_region r;
            struct env_key key;
            struct env_op rma = {0}, con = {0};
            env_share(w.eb, mem, sizeof mem, &r, &key);
            put(&w.client, 1, 1000);
            env_rma(w.client.peer.conn, seed % 2 ? ENV_RMA_WRITE : ENV_RMA_READ, from, sizeof from,
                    key, 0, &rma);
            put(&w.client, 2, 1000);
            static struct side late;
            late = w.client;
            rma.done = con.done = count_end;
            ended = 0;
            env_connect(w.ea, "b:1", sec, &late.peer, &con);
            world_wait(&w, (int64_t)sim_random(w.s, 400000));
            struct sim_node *dies = seed % 4 < 2 ? w.a : w.b;
            if (seed % 3)
                sim_node_crash(dies);
            else
                sim_node_power_loss(dies);
            /* its callbacks must not run any more; the survivor's ops end */
            if (dies == w.a) {
                w.client.peer.on_frame = NULL;
                w.client.peer.on_close = NULL;
                rma.done = con.done = NULL;
                world_wait(&w, 30 * sec);
            } else {
                w.server.peer.on_frame = NULL;
                w.server.peer.on_close = NULL;
                world_wait(&w, 30 * sec);
                CU_ASSERT_EQUAL(ended, 2);
            }
        }
        world_end(&w);
    }
}

/* a transfer's op, ended by hangup at the latest */
static void test_net_rma_write_before_frame(void)
{
    uint64_t partial = 0;
    static uint8_t from[300000], to[400000];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * 31 + 1);
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct world w;
        world_start(&w, &cfg);
        CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
        memset(to, 0, sizeof to);
        struct env_region r;
        struct env_key key;
        env_share(w.eb, to, sizeof to, &r, &key);
        w.expect = from;
        w.target = to + 5000;
        w.expect_len = sizeof from;
        struct env_op op = {.done = count_end};
        env_rma(w.client.peer.conn, ENV_RMA_WRITE, from, sizeof from, key, 5000, &op);
        put(&w.client, 1, 10);
        while (!w.server.frames && sim_step(w.s)) {
            size_t n = 0;
            for (size_t i = 0; i < sizeof from; i += 1000)
                n += to[5000 + i] == from[i];
            partial += n > 0 && n < sizeof from / 1000;
        }
        CU_ASSERT_EQUAL(w.server.frames, 1);
        CU_ASSERT_EQUAL(to[4999], 0);
        world_wait(&w, sec);
        CU_ASSERT_EQUAL(op.ret, (int64_t)sizeof from);
        /* READ brings the same bytes back */
        static uint8_t back[300000];
        env_rma(w.client.peer.conn, ENV_RMA_READ, back, sizeof back, key, 5000, &op);
        CU_ASSERT_EQUAL(sim_run_op(w.s, &op, sec), (int64_t)sizeof back);
        CU_ASSERT(!memcmp(back, from, sizeof back));
        /* a revoked key drops writes and refuses reads */
        struct env_op rev = {0};
        env_revoke(&r, &rev);
        CU_ASSERT_EQUAL(sim_run_op(w.s, &rev, sec), 0);
        w.expect = NULL;
        memset(to, 9, sizeof to);
        env_rma(w.client.peer.conn, ENV_RMA_WRITE, from, sizeof from, key, 0, &op);
        CU_ASSERT_EQUAL(sim_run_op(w.s, &op, sec), (int64_t)sizeof from);
        for (size_t i = 0; i < sizeof to; i++)
            CU_ASSERT_FATAL(to[i] == 9);
        env_rma(w.client.peer.conn, ENV_RMA_READ, back, sizeof back, key, 0, &op);
        CU_ASSERT_EQUAL(sim_run_op(w.s, &op, sec), E_STALE);
        world_end(&w);
    }
    CU_ASSERT(partial > 0);
}

/* a closed connection's write may land, until revoke is done and not after */
static void test_net_rma_late_until_revoked(void)
{
    static uint8_t from[200000], to[200000];
    uint64_t late = 0;
    memset(from, 1, sizeof from);
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct world w;
        world_start(&w, &cfg);
        CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
        memset(to, 0, sizeof to);
        struct env_region r;
        struct env_key key;
        env_share(w.eb, to, sizeof to, &r, &key);
        struct env_op op = {0}, rev = {0};
        env_rma(w.client.peer.conn, ENV_RMA_WRITE, from, sizeof from, key, 0, &op);
        world_wait(&w, 50 * us);
        env_hangup(w.client.peer.conn);
        CU_ASSERT_EQUAL(sim_run_op(w.s, &op, sec), E_CLOSED);
        memset(from, 2, sizeof from); /* ours again */
        env_revoke(&r, &rev);
        CU_ASSERT_EQUAL(sim_run_op(w.s, &rev, sec), 0);
        for (size_t i = 0; i < sizeof to; i++)
            CU_ASSERT_FATAL(to[i] != 2);
        memset(to, 3, sizeof to);
        world_wait(&w, sec);
        for (size_t i = 0; i < sizeof to; i++)
            CU_ASSERT_FATAL(to[i] == 3);
        memset(from, 1, sizeof from);
        late += sim_stats(w.s)->rma_late;
        world_end(&w);
    }
    CU_ASSERT(late > 0);
}

/* a lost connection ends an rma */
static void test_net_rma_ends_with_the_connection(void)
{
    static uint8_t from[1000], to[1000];
    struct sim_config cfg = sim_config_quiet(1);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    struct env_region r;
    struct env_key key;
    env_share(w.eb, to, sizeof to, &r, &key);
    struct env_op op = {0};
    sim_net_partition(w.a, w.b, false);
    env_rma(w.client.peer.conn, ENV_RMA_READ, from, sizeof from, key, 0, &op);
    CU_ASSERT_EQUAL(sim_run_op(w.s, &op, 30 * sec), E_CLOSED);
    CU_ASSERT_EQUAL(w.client.closes, 1);
    world_end(&w);
}

/* latencies follow the request: none below the minimum, the mean near the mean */
static void test_net_latency_histogram(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    cfg.net.nic_bytes_per_s = 0;
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    int64_t sum = 0, above = 0;
    enum { N = 2000 };
    for (uint32_t i = 0; i < N; i++) {
        int64_t t = sim_now_ns(w.s);
        put(&w.client, i, 10);
        world_wait(&w, 10 * ms);
        int64_t d = w.server.at_ns[i] - t;
        CU_ASSERT_FATAL(d >= cfg.net.latency_min_ns);
        sum += d;
        above += d > cfg.net.latency_mean_ns;
    }
    CU_ASSERT(sum / N > 95 * us && sum / N < 105 * us);
    CU_ASSERT(above > N * 32 / 100 && above < N * 42 / 100); /* 1/e of an exponential */
    world_end(&w);
}

static void test_net_bandwidth_queues(void)
{
    struct sim_config cfg = sim_config_quiet(5);
    struct world w;
    world_start(&w, &cfg);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w), 0);
    sim_net_nic(w.b, 10000000); /* the receiver is the slow one */
    int64_t t = sim_now_ns(w.s);
    for (uint32_t i = 0; i < 100; i++) {
        put(&w.client, i, 100000);
        world_wait(&w, 10 * us);
    }
    world_wait(&w, 10 * sec);
    CU_ASSERT_EQUAL_FATAL(w.server.frames, 100);
    int64_t took = w.server.at_ns[99] - t;
    CU_ASSERT(took > 980 * ms && took < 1100 * ms);
    world_end(&w);
}

UNIT_MAIN("sim_net", UNIT(test_net_what_came_in_a_pause_comes_first),
          UNIT(test_net_connect_outcomes), UNIT(test_net_secrets), UNIT(test_net_fifo_under_delays),
          UNIT(test_net_quiet_has_no_faults), UNIT(test_net_one_turn_one_write),
          UNIT(test_net_resets_lose_a_tail_only), UNIT(test_net_partition_heal_and_timeout),
          UNIT(test_net_one_way_partition), UNIT(test_net_half_open), UNIT(test_net_clog_and_heal),
          UNIT(test_net_random_half_opens), UNIT(test_net_heal_and_a_dead_reader),
          UNIT(test_net_power_loss_is_silent), UNIT(test_net_two_deaths_and_a_pause),
          UNIT(test_net_hangup_delivers_then_closes), UNIT(test_net_crash_with_all_under_way),
          UNIT(test_net_rma_write_before_frame), UNIT(test_net_rma_late_until_revoked),
          UNIT(test_net_rma_ends_with_the_connection), UNIT(test_net_latency_histogram),
          UNIT(test_net_bandwidth_queues))
