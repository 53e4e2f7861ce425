/* tests/unit/test_sim.c - the world: time, timers, determinism, processes, stalls, fault sites. */
#include "core/prng.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

struct tick {
    struct env_timer t;
    struct env_op op;
    struct env *e;
    unsigned *order;
    unsigned fired, place, sets_again;
    bool posts; /* and submits something each time */
    int64_t at_ns;
};

static void tick_done(struct env_op *op)
{
    struct tick *x = container_of(op, struct tick, t.op);
    x->fired++;
    x->place = ++*x->order;
    x->at_ns = env_now_ns(x->e);
    if (x->posts)
        env_post(x->e, &x->op);
    if (x->sets_again) {
        x->sets_again--;
        env_timer_set(x->e, &x->t, x->at_ns + ms);
    }
}

static void tick_op_done(struct env_op *op)
{
    struct tick *x = container_of(op, struct tick, op);
    if (x->posts)
        return;
    x->fired++;
    x->place = ++*x->order;
}

static void test_sim_timers(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    cfg.clock.drift_max_ppm = 500;
    cfg.clock.mono_offset_max_ns = 1000 * sec;
    struct sim *s = sim_open(&m, &cfg);
    struct env *e = sim_node_up(sim_node_add(s, "a"));
    unsigned order = 0;
    struct tick x[5];
    memset(x, 0, sizeof x);
    int64_t now = env_now_ns(e);
    for (int i = 0; i < 5; i++) {
        x[i].e = e;
        x[i].order = &order;
        x[i].t.op.done = tick_done;
    }
    env_timer_set(e, &x[0].t, now + 3 * ms);
    env_timer_set(e, &x[1].t, now + 2 * ms);
    env_timer_set(e, &x[2].t, now + 3 * ms);
    env_timer_set(e, &x[3].t, now + ms);
    env_timer_set(e, &x[4].t, now - sec); /* in the past: at once, but not inside the call */
    env_timer_set(e, &x[1].t, now + 4 * ms);
    env_timer_stop(e, &x[3].t);
    env_timer_stop(e, &x[3].t);
    x[0].sets_again = 2;
    CU_ASSERT_EQUAL(order, 0);
    CU_ASSERT(env_timer_is_set(&x[0].t) && !env_timer_is_set(&x[3].t));
    sim_run_until(s, sim_now_ns(s) + sec);
    CU_ASSERT_EQUAL(x[4].place, 1);
    CU_ASSERT_EQUAL(x[2].place, 3);
    CU_ASSERT_EQUAL(x[0].fired, 3);
    CU_ASSERT_EQUAL(x[1].fired, 1);
    CU_ASSERT_EQUAL(x[3].fired, 0);
    CU_ASSERT(x[1].at_ns >= now + 4 * ms && x[1].at_ns < now + 4 * ms + 10);
    sim_close(s);
    mem_drop(&m);
}

/* after a pause the network and the disk are served before timers that were due long ago */
static void test_sim_pause_serves_timers_last(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    struct env *e = sim_node_up(n);
    unsigned order = 0;
    struct tick t = {.e = e, .order = &order, .t.op.done = tick_done};
    struct tick o = {.e = e, .order = &order, .op.done = tick_op_done};
    struct env_file *file;
    env_timer_set(e, &t.t, env_now_ns(e) + 1);
    env_open(e, "f", ENV_O_WRITE | ENV_O_CREATE, &file, &o.op);
    sim_node_pause(n);
    sim_run_until(s, sec);
    CU_ASSERT_EQUAL(order, 0);
    sim_node_resume(n);
    sim_run_until(s, sec);
    CU_ASSERT_EQUAL(o.place, 1);
    CU_ASSERT_EQUAL(t.place, 2);
    CU_ASSERT_EQUAL(t.at_ns, sec);
    sim_close(s);
    mem_drop(&m);
}

static unsigned boots;

static void boot(struct env *e, struct mem *m, void *ctx)
{
    struct tick *x = mem_zalloc(m, sizeof *x);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    x->e = e;
    x->order = ctx;
    x->t.op.done = tick_done;
    env_timer_set(e, &x->t, env_now_ns(e) + ms);
    boots++;
}

static void test_sim_crash_drops_memory_and_ops(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    unsigned order = 0;
    boots = 0;
    sim_node_start(n, boot, &order);
    CU_ASSERT_EQUAL(boots, 0);
    sim_run_until(s, ms / 2);
    CU_ASSERT_EQUAL(boots, 1);
    sim_node_crash(n);
    sim_node_crash(n);
    sim_run_until(s, sec);
    CU_ASSERT_EQUAL(order, 0);
    sim_node_start(n, boot, &order);
    sim_run_until(s, 2 * sec);
    CU_ASSERT_EQUAL(order, 1);
    CU_ASSERT_EQUAL(sim_node_incarnation(n), 2);
    CU_ASSERT_PTR_EQUAL(sim_node_find(s, "a"), n);
    CU_ASSERT_PTR_NULL(sim_node_at(s, 1));
    sim_close(s);
    mem_drop(&m);
}

/* ---- a small busy world ---- */

struct busy {
    struct env *e;
    struct env_timer t;
    struct env_op op, work;
    struct env_file *file;
    struct env_peer peer;
    struct env_acceptor acc;
    struct env_peer in[64];
    unsigned n_in, turns;
    bool writing, connecting;
    char addr[16];
    uint8_t b[700];
};

static void busy_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct env_iov iov = {b, n};
    if (type && p->conn)
        env_send(p->conn, (uint16_t)(type - 1), &iov, 1);
}

static void busy_close(struct env_peer *p, int why)
{
    (void)p;
    (void)why;
}

static struct env_peer *busy_accept(struct env_acceptor *a, const char *from)
{
    struct busy *x = container_of(a, struct busy, acc);
    (void)from;
    if (x->n_in == ARRAY_LEN(x->in))
        return NULL;
    struct env_peer *p = &x->in[x->n_in++];
    p->on_frame = busy_frame;
    p->on_close = busy_close;
    return p;
}

static void busy_wrote(struct env_op *op)
{
    struct busy *x = container_of(op, struct busy, op);
    x->writing = false;
}

static void busy_connected(struct env_op *op)
{
    container_of(op, struct busy, work)->connecting = false;
}

static void busy_tick(struct env_op *op)
{
    struct busy *x = container_of(op, struct busy, t.op);
    uint64_t r = env_random(x->e);
    env_timer_set(x->e, &x->t, env_now_ns(x->e) + 100000 + (int64_t)(r % 1000000));
    if (!x->peer.conn && !x->connecting) {
        x->connecting = true;
        env_connect(x->e, x->addr, 500 * ms, &x->peer, &x->work);
    } else if (x->peer.conn) {
        struct env_iov iov = {&r, sizeof r};
        env_send(x->peer.conn, 3, &iov, 1);
    }
    if (x->file && !x->writing && !env_fault(x->e, "busy.skip_write")) {
        x->writing = true;
        memset(x->b, (int)(r & 255), sizeof x->b);
        if (r & 1)
            env_write(x->file, x->b, sizeof x->b, r % 100000, &x->op);
        else
            env_sync(x->file, &x->op);
    }
}

static void busy_nothing(struct env_op *op)
{
    (void)op;
}

static void busy_boot(struct env *e, struct mem *m, void *ctx)
{
    struct busy *x = mem_zalloc(m, sizeof *x);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    unsigned *self = ctx;
    x->e = e;
    x->t.op.done = busy_tick;
    x->op.done = busy_wrote;
    x->work.done = busy_connected;
    x->acc.on_open = busy_accept;
    x->peer.on_frame = busy_frame;
    x->peer.on_close = busy_close;
    char mine[] = {(char)('a' + *self), ':', '1', 0},
         next[] = {(char)('a' + (*self + 1) % 3), ':', '1', 0};
    memcpy(x->addr, next, sizeof next);
    struct env_op *listen = mem_zalloc(m, sizeof *listen);
    listen->done = busy_nothing;
    env_listen(e, mine, &x->acc, listen);
    x->writing = true;
    env_open(e, "f", ENV_O_WRITE | ENV_O_CREATE, &x->file, &x->op);
    env_timer_set(e, &x->t, env_now_ns(e));
}

struct nemesis {
    struct env_op op;
    struct sim *s;
};

static unsigned selves[3] = {0, 1, 2};

static void nemesis_done(struct env_op *op)
{
    struct nemesis *x = container_of(op, struct nemesis, op);
    unsigned who = (unsigned)sim_random(x->s, 3);
    struct sim_node *n = sim_node_at(x->s, who), *o = sim_node_at(x->s, (who + 1) % 3);
    switch (sim_random(x->s, 7)) {
    case 0:
        if (sim_node_is_up(n))
            sim_node_power_loss(n);
        break;
    case 1:
        sim_node_crash(n);
        break;
    case 2:
        sim_node_pause(n);
        break;
    case 3:
        sim_net_partition(n, o, sim_random(x->s, 2));
        break;
    case 4:
        sim_net_reset(n, o);
        break;
    case 5:
        sim_node_stall(n, 1, 50 * ms);
        sim_clock_set(n, (int32_t)sim_random(x->s, 1000) - 500);
        break;
    default:
        sim_net_heal_all(x->s);
        for (unsigned i = 0; i < 3; i++) {
            sim_node_resume(sim_node_at(x->s, i));
            if (!sim_node_is_up(sim_node_at(x->s, i)))
                sim_node_start(sim_node_at(x->s, i), busy_boot, &selves[i]);
        }
    }
    sim_at(x->s, sim_now_ns(x->s) + (int64_t)sim_random(x->s, (uint64_t)sec / 2), op);
}

/* two worlds at once, stepped in turns, must not touch each other */
static void busy_run(uint64_t seed_a, uint64_t seed_b, uint64_t ret[2][2], uint64_t *ret_frames)
{
    struct mem m;
    unit_mem(&m, 1 << 30);
    struct sim *s[2];
    struct nemesis x[2];
    memset(x, 0, sizeof x);
    for (int i = 0; i < 2; i++) {
        struct sim_config cfg = sim_config_stormy(i ? seed_b : seed_a);
        s[i] = sim_open(&m, &cfg);
        for (unsigned n = 0; n < 3; n++)
            sim_node_start(sim_node_add(s[i], (const char *[]){"a", "b", "c"}[n]), busy_boot,
                           &selves[n]);
        x[i].s = s[i];
        x[i].op.done = nemesis_done;
        sim_at(s[i], 100 * ms, &x[i].op);
    }
    for (int64_t t = 0; t < 20 * sec; t += sec)
        for (int i = 0; i < 2; i++)
            sim_run_until(s[i], t);
    for (int i = 0; i < 2; i++)
        sim_hash(s[i], ret[i]);
    *ret_frames = sim_stats(s[0])->frames;
    for (int i = 0; i < 2; i++)
        sim_close(s[i]);
    CU_ASSERT(list_empty(&m.large)); /* all was given back */
    mem_drop(&m);
}

static void test_sim_same_seed_same_hash(void)
{
    for (uint64_t seed = 1; seed < 4; seed++) {
        uint64_t one[2][2], two[2][2], frames;
        busy_run(seed, seed + 100, one, &frames);
        busy_run(seed + 100, seed, two, &frames);
        CU_ASSERT(frames > 100);
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < 2; k++) {
                CU_ASSERT_EQUAL(one[i][k], two[1 - i][k]);
                CU_ASSERT_NOT_EQUAL(one[0][k], one[1][k]);
            }
    }
}

/* one frame more, far from the end, changes both lanes */
static void test_sim_hash_sees_content(void)
{
    uint64_t h[2][2];
    for (int i = 0; i < 2; i++) {
        struct mem m;
        unit_mem(&m, 64 << 20);
        struct sim_config cfg = sim_config_quiet(1);
        struct sim *s = sim_open(&m, &cfg);
        struct env *e = sim_node_up(sim_node_add(s, "a"));
        struct env_file *file;
        struct env_op op = {0};
        env_open(e, "f", ENV_O_WRITE | ENV_O_CREATE, &file, &op);
        CU_ASSERT_EQUAL(sim_run_op(s, &op, sec), 0);
        env_write(file, i ? "abcdefgh" : "abcdefgi", 8, 0, &op);
        CU_ASSERT_EQUAL(sim_run_op(s, &op, sec), 8);
        sim_hash(s, h[i]);
        CU_ASSERT_EQUAL(sim_trace_back(s, 0)->kind, SIM_K_DISK);
        CU_ASSERT_STRING_EQUAL(sim_kind_name(SIM_K_DISK), "disk");
        CU_ASSERT_PTR_NULL(sim_trace_back(s, 1000));
        sim_close(s);
        mem_drop(&m);
    }
    CU_ASSERT_NOT_EQUAL(h[0][0], h[1][0]);
    CU_ASSERT_NOT_EQUAL(h[0][1], h[1][1]);
}

static void test_sim_fault_sites(void)
{
    unsigned on = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct mem m;
        unit_mem(&m, 64 << 20);
        struct sim_config cfg = sim_config_quiet(seed);
        cfg.fault_on_ppm = 250000;
        cfg.fault_fire_ppm = 100000;
        struct sim *s = sim_open(&m, &cfg);
        struct env *e = sim_node_up(sim_node_add(s, "a"));
        unsigned fired = 0;
        for (int i = 0; i < 200; i++)
            fired += env_fault(e, "x");
        const struct sim_site *site = sim_fault_site(s, 0);
        CU_ASSERT_EQUAL(site->fired, fired);
        CU_ASSERT_EQUAL(site->asked, 200);
        CU_ASSERT_EQUAL(site->on, fired > 0);
        on += site->on;
        sim_fault_set(s, "x", 1000000);
        CU_ASSERT(env_fault(e, "x"));
        sim_fault_set(s, "x", 0);
        CU_ASSERT(!env_fault(e, "x"));
        CU_ASSERT_PTR_NULL(sim_fault_site(s, 1));
        sim_close(s);
        mem_drop(&m);
    }
    CU_ASSERT(on > 30 && on < 70);
}

/* of the sites in the code those may be on that the scenario names */
static void test_sim_fault_sites_are_chosen(void)
{
    for (uint64_t bit = 1; bit <= 4; bit *= 2) {
        unsigned fired[3] = {0};
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct mem m;
            unit_mem(&m, 64 << 20);
            struct sim_config cfg = sim_config_quiet(seed);
            CU_ASSERT_EQUAL(cfg.fault_sites, 1);
            cfg.fault_on_ppm = 500000;
            cfg.fault_fire_ppm = 500000;
            cfg.fault_sites = bit;
            struct sim *s = sim_open(&m, &cfg);
            struct env *e = sim_node_up(sim_node_add(s, "a"));
            for (uint32_t i = 0; i < 60; i++)
                fired[i % 3] += env_fault(e, sim_fault_known(i % 3)->name);
            sim_close(s);
            mem_drop(&m);
        }
        for (unsigned i = 0; i < 3; i++)
            CU_ASSERT_EQUAL(fired[i] > 0, bit == 1u << i);
    }
    CU_ASSERT_PTR_NULL(sim_fault_known(64));
}

/* a stall between a check and its use: what is submitted after it happens late */
struct staller {
    struct env_op op, first, second;
    struct env *e;
    struct sim *s;
    int64_t first_ns, second_ns;
};

static void stall_first(struct env_op *op)
{
    struct staller *x = container_of(op, struct staller, first);
    x->first_ns = sim_now_ns(x->s);
}

static void stall_second(struct env_op *op)
{
    struct staller *x = container_of(op, struct staller, second);
    x->second_ns = sim_now_ns(x->s);
}

static void stall_turn(struct env_op *op)
{
    struct staller *x = container_of(op, struct staller, op);
    env_post(x->e, &x->first);
    env_post(x->e, &x->second);
}

static void test_sim_stall_inside_a_turn(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    struct staller x = {
        .op.done = stall_turn, .first.done = stall_first, .second.done = stall_second};
    x.s = s;
    x.e = sim_node_up(n);
    sim_node_stall(n, 1, 70 * ms);
    env_post(x.e, &x.op);
    sim_run_until(s, sec);
    CU_ASSERT_EQUAL(x.first_ns, 70 * ms); /* the loop itself stood still */
    CU_ASSERT_EQUAL(x.second_ns, 70 * ms);
    sim_close(s);
    mem_drop(&m);
}

/* Stalls end before their time: what was posted in the turn that stood still comes before what is
 * posted after that. */
static void test_sim_stalls_end(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    struct staller x = {
        .op.done = stall_turn, .first.done = stall_first, .second.done = stall_second};
    struct staller later = {.first.done = stall_first};
    x.s = later.s = s;
    x.e = sim_node_up(n);
    sim_node_stall(n, 1, 70 * ms);
    env_post(x.e, &x.op);
    sim_run_until(s, 10 * ms);
    sim_stalls_end(s);
    env_post(x.e, &later.first);
    sim_run_until(s, 20 * ms);
    CU_ASSERT_EQUAL(x.second_ns, 10 * ms);
    CU_ASSERT_EQUAL(later.first_ns, 10 * ms);
    sim_run_until(s, sec);
    sim_close(s);
    mem_drop(&m);
}

/* the end of a stall does not end a pause that a driver asked for */
static void test_sim_pause_outlives_a_stall(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    struct staller x = {
        .op.done = stall_turn, .first.done = stall_first, .second.done = stall_second};
    x.s = s;
    x.e = sim_node_up(n);
    sim_node_stall(n, 0, 70 * ms);
    env_post(x.e, &x.op);
    sim_run_until(s, 10 * ms);
    sim_node_pause(n);
    sim_run_until(s, 500 * ms);
    CU_ASSERT_EQUAL(x.first_ns, 0);
    sim_node_resume(n);
    sim_run_until(s, sec);
    CU_ASSERT_EQUAL(x.first_ns, 500 * ms);
    sim_close(s);
    mem_drop(&m);
}

/* stalls at random: on or off as configured */
static void test_sim_random_stalls(void)
{
    for (int on = 0; on < 2; on++) {
        struct mem m;
        unit_mem(&m, 64 << 20);
        struct sim_config cfg = sim_config_quiet(1);
        cfg.stall_ppm = on ? 100000 : 0;
        struct sim *s = sim_open(&m, &cfg);
        struct env *e = sim_node_up(sim_node_add(s, "a"));
        unsigned order = 0, late = 0;
        struct tick x = {.e = e, .order = &order, .t.op.done = tick_done, .sets_again = 1};
        x.posts = true;
        x.op.done = tick_op_done;
        env_timer_set(e, &x.t, env_now_ns(e));
        for (int i = 0; i < 300; i++) {
            int64_t before = x.at_ns;
            x.sets_again = 1;
            unsigned had = x.fired;
            while (x.fired == had && sim_step(s))
                continue;
            late += x.at_ns - before > 2 * ms;
        }
        CU_ASSERT_EQUAL(late > 0, on);
        sim_close(s);
        mem_drop(&m);
    }
}

static void work_fn(struct env_op *op)
{
    op->ret = 42;
}

static void test_sim_work_and_clocks(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    cfg.work_ns = 5 * ms;
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    struct env *e = sim_node_up(n);
    struct env_op op = {0};
    env_work(e, &op, work_fn);
    CU_ASSERT_EQUAL(op.ret, 0);
    CU_ASSERT_EQUAL(sim_run_op(s, &op, sec), 42);
    CU_ASSERT_EQUAL(sim_now_ns(s), 5 * ms);
    sim_clock_set(n, 1000);
    int64_t t = env_now_ns(e), w = env_wall_ns(e);
    sim_clock_step_wall(n, -sec);
    sim_run_until(s, sim_now_ns(s) + sec);
    CU_ASSERT_EQUAL(env_now_ns(e) - t, sec + ms);
    CU_ASSERT_EQUAL(env_wall_ns(e), w);
    sim_close(s);
    mem_drop(&m);
}

static void test_sim_node_memory_is_budgeted(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    cfg.node_mem_bytes = 1 << 20;
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n = sim_node_add(s, "a");
    sim_node_up(n);
    CU_ASSERT_PTR_NULL(mem_alloc(sim_mem(n), 2 << 20));
    /* fresh memory is the same in every run: filled when small, zero when large */
    const uint8_t *p = mem_alloc(sim_mem(n), 100000), *q = mem_alloc(sim_mem(n), 500000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(q);
    CU_ASSERT_EQUAL(p[99999], 0xa5);
    CU_ASSERT_EQUAL(q[499999], 0);
    CU_ASSERT(!sim_step(s));
    sim_close(s);
    mem_drop(&m);
}

UNIT_MAIN("sim", UNIT(test_sim_timers), UNIT(test_sim_pause_serves_timers_last),
          UNIT(test_sim_crash_drops_memory_and_ops), UNIT(test_sim_same_seed_same_hash),
          UNIT(test_sim_hash_sees_content), UNIT(test_sim_fault_sites),
          UNIT(test_sim_fault_sites_are_chosen), UNIT(test_sim_stall_inside_a_turn),
          UNIT(test_sim_stalls_end), UNIT(test_sim_pause_outlives_a_stall),
          UNIT(test_sim_random_stalls), UNIT(test_sim_work_and_clocks),
          UNIT(test_sim_node_memory_is_budgeted))
