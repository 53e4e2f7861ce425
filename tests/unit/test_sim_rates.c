/* tests/unit/test_sim_rates.c - each chance of the world against what was asked for: a fault that
 * is switched on happens as often as it says, one that is not does not happen at all, and none
 * brings another with it.
 *
 * Seeds are fixed, so a test passes always or never; limits are four standard errors of what a
 * right world would show, and a rate that is wrong by a third is outside them. */
#include "sim/sim.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000, us = 1000;

struct pair { /* one node writes to another */
    struct mem m;
    struct sim *s;
    struct env *ea, *eb;
    struct env_acceptor acc;
    struct env_op op;
    struct env_peer client, server;
    unsigned frames, closes;
    int64_t at_ns; /* of the last frame */
};

static struct pair *pair_now;

static void pair_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n;
    pair_now->frames++;
    pair_now->at_ns = sim_now_ns(pair_now->s);
}

static void pair_close(struct env_peer *p, int why)
{
    (void)why;
    pair_now->closes += p == &pair_now->client;
}

static struct env_peer *pair_accept(struct env_acceptor *a, const char *from)
{
    (void)a, (void)from;
    return &pair_now->server;
}

static void pair_open(struct pair *p, const struct sim_config *cfg)
{
    memset(p, 0, sizeof *p);
    pair_now = p;
    unit_mem(&p->m, 1 << 30);
    p->s = sim_open(&p->m, cfg);
    p->ea = sim_node_up(sim_node_add(p->s, "a"));
    p->eb = sim_node_up(sim_node_add(p->s, "b"));
    p->client = p->server = (struct env_peer){.on_frame = pair_frame, .on_close = pair_close};
    p->acc.on_open = pair_accept;
    env_listen(p->eb, "b:1", &p->acc, &p->op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(p->s, &p->op, sec), 0);
}

static void pair_connect(struct pair *p)
{
    env_connect(p->ea, "b:1", 100 * sec, &p->client, &p->op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(p->s, &p->op, 100 * sec), 0);
}

/* one write; ret: how long it took, or -1: it has not come in a long time */
static int64_t pair_write(struct pair *p)
{
    struct env_iov iov = {"x", 1};
    unsigned had = p->frames;
    int64_t from = sim_now_ns(p->s);
    env_send(p->client.conn, 1, &iov, 1);
    while (p->frames == had && p->client.conn && sim_now_ns(p->s) < from + 100 * sec)
        if (!sim_step(p->s))
            break;
    int64_t took = p->frames > had ? p->at_ns - from : -1;
    sim_run_until(p->s, sim_now_ns(p->s) + 50 * ms);
    return took;
}

static void pair_end(struct pair *p)
{
    sim_close(p->s);
    mem_drop(&p->m);
}

__extension__ typedef __int128 wide;

/* k of n, where a share of ppm was asked for */
static bool share_is(uint64_t k, uint64_t n, uint64_t ppm)
{
    int64_t off = (int64_t)(k * 1000000) - (int64_t)(n * ppm); /* in millionths */
    uint64_t var = n * (ppm * (1000000 - ppm) / 1000000);      /* likewise, of the count */
    bool ok = (wide)off * off <= (wide)16 * var * 1000000;
    if (!ok)
        printf("\n%llu of %llu, asked for %llu ppm\n", (unsigned long long)k, (unsigned long long)n,
               (unsigned long long)ppm);
    return ok;
}

enum { WRITES = 4000 };

static void test_rates_of_loss(void)
{
    static const uint32_t asked[] = {0, 50000, 300000};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        struct sim_config cfg = sim_config_quiet(11);
        struct pair p;
        uint64_t once = 0, twice = 0;
        pair_open(&p, &cfg);
        pair_connect(&p);
        cfg.net.loss_ppm = asked[i];
        cfg.net.rto_ns = 10 * ms;
        cfg.net.user_timeout_ns = 1000 * sec;
        sim_net_set(p.s, &cfg.net);
        for (int k = 0; k < WRITES; k++) {
            int64_t took = pair_write(&p);
            once += took >= 10 * ms;
            twice += took >= 30 * ms; /* the delay doubles */
        }
        const struct sim_stats *st = sim_stats(p.s);
        CU_ASSERT(share_is(once, WRITES, asked[i]));
        CU_ASSERT(share_is(twice, WRITES, (uint64_t)asked[i] * asked[i] / 1000000));
        CU_ASSERT(st->lost >= once && (st->lost > 0) == (asked[i] > 0));
        CU_ASSERT(!st->reordered && !st->clogs && !st->resets && !st->half_opens);
        pair_end(&p);
    }
}

static void test_rates_of_late_segments(void)
{
    for (int on = 0; on < 2; on++) {
        struct sim_config cfg = sim_config_quiet(12);
        struct pair p;
        int64_t sum = 0;
        cfg.net.nic_bytes_per_s = 0;
        pair_open(&p, &cfg);
        pair_connect(&p);
        cfg.net.reorder_ppm = on ? 400000 : 0;
        sim_net_set(p.s, &cfg.net);
        for (int k = 0; k < WRITES; k++)
            sum += pair_write(&p);
        int64_t mean = cfg.net.latency_mean_ns * (on ? 14 : 10) / 10;
        CU_ASSERT(sum / WRITES > mean - 5 * us && sum / WRITES < mean + 5 * us);
        CU_ASSERT(share_is(sim_stats(p.s)->reordered, WRITES, cfg.net.reorder_ppm));
        CU_ASSERT(!sim_stats(p.s)->lost && !sim_stats(p.s)->clogs);
        pair_end(&p);
    }
}

/* how long a connection lives under a chance for each write */
static void rates_of_ends(bool half_open, uint32_t ppm)
{
    enum { CONNS = 200 };
    struct sim_config cfg = sim_config_quiet(13);
    struct pair p;
    uint64_t writes = 0, ends = 0;
    *(half_open ? &cfg.net.half_open_ppm : &cfg.net.reset_ppm) = ppm;
    cfg.net.user_timeout_ns = sec;
    for (uint64_t seed = 0; seed < CONNS; seed++) {
        cfg.seed = seed;
        pair_open(&p, &cfg);
        env_connect(p.ea, "b:1", 100 * sec, &p.client, &p.op);
        bool up = sim_run_op(p.s, &p.op, 100 * sec) == 0;
        uint64_t before = sim_stats(p.s)->writes;
        for (int k = 0; k < 200 && up && p.client.conn; k++)
            pair_write(&p);
        const struct sim_stats *st = sim_stats(p.s);
        writes += st->writes - (up ? before : st->writes);
        ends += up && p.closes;
        CU_ASSERT(half_open ? !st->resets : !st->half_opens);
        CU_ASSERT(!st->lost && !st->clogs && !st->reordered);
        pair_end(&p);
    }
    CU_ASSERT(share_is(ends, writes, ppm));
    CU_ASSERT((ends > 0) == (ppm > 0));
}

static void test_rates_of_ends(void)
{
    for (int half = 0; half < 2; half++) {
        rates_of_ends(half, 0);
        rates_of_ends(half, 50000);
    }
}

static void test_rates_of_clogs(void)
{
    for (int on = 0; on < 2; on++) {
        struct sim_config cfg = sim_config_quiet(14);
        struct pair p;
        pair_open(&p, &cfg);
        pair_connect(&p);
        cfg.net.clog_ppm = on ? 100000 : 0;
        cfg.net.clog_mean_ns = ms;
        sim_net_set(p.s, &cfg.net);
        for (int k = 0; k < WRITES; k++)
            CU_ASSERT(pair_write(&p) > 0);
        CU_ASSERT(share_is(sim_stats(p.s)->clogs, WRITES, cfg.net.clog_ppm));
        pair_end(&p);
    }
}

/* ---- disks ---- */

struct disk {
    struct mem m;
    struct sim *s;
    struct sim_node *n;
    struct env *e;
    struct env_op op;
    struct env_file *file;
};

static void disk_open(struct disk *d, const struct sim_config *cfg)
{
    memset(d, 0, sizeof *d);
    unit_mem(&d->m, 1 << 30);
    d->s = sim_open(&d->m, cfg);
    d->n = sim_node_add(d->s, "a");
    d->e = sim_node_up(d->n);
    env_open(d->e, "f", ENV_O_WRITE | ENV_O_CREATE, &d->file, &d->op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(d->s, &d->op, 100 * sec), 0);
}

static void disk_end(struct disk *d)
{
    sim_close(d->s);
    mem_drop(&d->m);
}

/* N of each kind of operation with one chance switched on: it happens, and no other does */
static void test_rates_of_disk_faults(void)
{
    enum { N = 2000 };
    const uint32_t ppm = 100000;
    for (int which = -1; which < 6; which++) {
        struct sim_config cfg = sim_config_quiet(15);
        struct disk d;
        static uint8_t b[8 * 4096];
        uint64_t reads = 0, writes = 0, syncs = 0;
        cfg.disk.stall_mean_ns = ms;
        disk_open(&d, &cfg);
        env_write(d.file, b, sizeof b, 0, &d.op);
        CU_ASSERT_EQUAL(sim_run_op(d.s, &d.op, 100 * sec), (int64_t)sizeof b);
        uint32_t *knob[] = {&cfg.disk.read_eio_ppm,  &cfg.disk.write_eio_ppm,
                            &cfg.disk.sync_fail_ppm, &cfg.disk.misdirect_ppm,
                            &cfg.disk.stall_ppm,     &cfg.disk.misdirect_read_ppm};
        if (which >= 0)
            *knob[which] = ppm;
        sim_disk_set(d.n, &cfg.disk);
        for (uint64_t i = 0; i < N; i++) {
            env_write(d.file, b, 512, 512 * (i % 8), &d.op);
            writes += sim_run_op(d.s, &d.op, 100 * sec) < 0;
            env_read(d.file, b, 512, 512 * (i % 8), &d.op);
            reads += sim_run_op(d.s, &d.op, 100 * sec) < 0;
            env_sync(d.file, &d.op);
            syncs += sim_run_op(d.s, &d.op, 100 * sec) < 0;
        }
        const struct sim_stats *st = sim_stats(d.s);
        CU_ASSERT(share_is(reads, N, which == 0 ? ppm : 0));
        CU_ASSERT(share_is(writes, N, which == 1 ? ppm : 0));
        CU_ASSERT(share_is(syncs, N, which == 2 ? ppm : 0));
        CU_ASSERT(share_is(st->misdirected, N, which == 3 ? ppm : 0));
        CU_ASSERT(share_is(st->stalls, (uint64_t)3 * N, which == 4 ? ppm : 0));
        CU_ASSERT(share_is(st->misread, N, which == 5 ? ppm : 0));
        CU_ASSERT_EQUAL(st->eio, reads + writes + syncs);
        disk_end(&d);
    }
}

/* what a power loss leaves of unsynced sectors, and of an unsynced name */
static void rates_of_power_loss(uint32_t drop, uint32_t torn, uint32_t garbage, uint32_t name)
{
    enum { RUNS = 120, SECTORS = 64 };
    struct sim_stats all = {0};
    uint64_t n = 0, undone = 0;
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct disk d;
        struct env_file *file;
        static uint8_t b[SECTORS * 512];
        cfg.disk.lose_drop_ppm = drop;
        cfg.disk.lose_torn_ppm = torn;
        cfg.disk.lose_garbage_ppm = garbage;
        cfg.disk.lose_name_ppm = name;
        disk_open(&d, &cfg);
        memset(b, 'a', sizeof b);
        for (int pass = 0; pass < 2; pass++) { /* over what is durable */
            env_write(d.file, b, sizeof b, 0, &d.op);
            sim_run_op(d.s, &d.op, 100 * sec);
            if (!pass)
                env_sync(d.file, &d.op);
            if (!pass)
                CU_ASSERT_EQUAL(sim_run_op(d.s, &d.op, 100 * sec), 0);
            memset(b, 'b', sizeof b);
        }
        env_open(d.e, "new", ENV_O_WRITE | ENV_O_CREATE, &file, &d.op);
        CU_ASSERT_EQUAL(sim_run_op(d.s, &d.op, 100 * sec), 0);
        sim_node_power_loss(d.n);
        undone += sim_disk_size(d.n, "new") == E_NOENT;
        const struct sim_stats *st = sim_stats(d.s);
        all.sectors_kept += st->sectors_kept;
        all.sectors_dropped += st->sectors_dropped;
        all.sectors_torn += st->sectors_torn;
        all.sectors_garbage += st->sectors_garbage;
        n += SECTORS;
        disk_end(&d);
    }
    CU_ASSERT_EQUAL(all.sectors_kept + all.sectors_dropped + all.sectors_torn + all.sectors_garbage,
                    n);
    CU_ASSERT(share_is(undone, RUNS, name));
    CU_ASSERT(share_is(all.sectors_dropped, n, drop));
    CU_ASSERT(share_is(all.sectors_torn, n, torn));
    CU_ASSERT(share_is(all.sectors_garbage, n, garbage));
}

static void test_rates_of_power_loss(void)
{
    rates_of_power_loss(0, 0, 0, 0);
    rates_of_power_loss(1000000, 0, 0, 1000000);
    rates_of_power_loss(300000, 200000, 100000, 500000);
    rates_of_power_loss(0, 0, 400000, 200000);
}

/* ---- turns, rare paths, clocks ---- */

static void rates_count_stalls(void *ctx, const struct sim_trace *t)
{
    *(uint64_t *)ctx += t->kind == SIM_K_PAUSE && t->a == 2;
}

struct turn { /* one that submits five things, so that it can be stopped in the middle */
    struct env *e;
    struct env_op op, ops[5];
};

static void turn_op(struct env_op *op)
{
    (void)op;
}

static void turn_submit(struct env_op *op)
{
    struct turn *t = container_of(op, struct turn, op);
    for (size_t i = 0; i < ARRAY_LEN(t->ops); i++) {
        t->ops[i].done = turn_op;
        env_post(t->e, &t->ops[i]);
    }
}

static void test_rates_of_stalls(void)
{
    for (int on = 0; on < 2; on++) {
        enum { ROUNDS = 4000 };
        struct sim_config cfg = sim_config_quiet(16);
        struct disk d;
        uint64_t stalls = 0;
        cfg.stall_ppm = on ? 10000 : 0;
        cfg.stall_mean_ns = ms;
        disk_open(&d, &cfg);
        sim_trace_hook(d.s, rates_count_stalls, &stalls);
        struct turn t = {.e = d.e, .op.done = turn_submit};
        for (int i = 0; i < ROUNDS; i++) {
            env_post(d.e, &t.op);
            sim_run_until(d.s, sim_now_ns(d.s) + 50 * ms);
        }
        /* six turns a round; who is to stop where nothing is submitted stops in the next round */
        CU_ASSERT(share_is(stalls, ROUNDS, on ? 58520 : 0));
        disk_end(&d);
    }
}

static void test_rates_of_rare_paths(void)
{
    static const uint32_t on[] = {0, 250000, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(on); i++) {
        enum { SITES = 400, ASKS = 100 };
        uint64_t ons = 0, fired = 0;
        for (uint64_t seed = 0; seed < SITES; seed++) {
            struct sim_config cfg = sim_config_quiet(seed);
            struct disk d;
            cfg.fault_on_ppm = on[i];
            cfg.fault_fire_ppm = 200000;
            disk_open(&d, &cfg);
            for (int k = 0; k < ASKS; k++)
                fired += env_fault(d.e, "here");
            for (uint32_t k = 0; sim_fault_site(d.s, k); k++)
                ons += !strcmp(sim_fault_site(d.s, k)->name, "here") && sim_fault_site(d.s, k)->on;
            disk_end(&d);
        }
        CU_ASSERT(share_is(ons, SITES, on[i]));
        CU_ASSERT(share_is(fired, ons * ASKS, 200000));
    }
}

static void test_rates_of_clocks(void)
{
    for (int on = 0; on < 2; on++) {
        enum { CLOCKS = 1000 };
        const int64_t most = on ? 10000 : 0; /* millionths; over 1000 s: ms */
        uint64_t fast = 0, far = 0;
        for (uint64_t seed = 0; seed < CLOCKS; seed++) {
            struct sim_config cfg = sim_config_quiet(seed);
            struct disk d;
            cfg.clock.drift_max_ppm = (uint32_t)most;
            disk_open(&d, &cfg);
            int64_t from = sim_clock_at(d.n, 0), to = sim_clock_at(d.n, 1000 * sec);
            int64_t off = (to - from - 1000 * sec) / ms;
            CU_ASSERT(off >= -most && off <= most);
            fast += off > 0;
            far += off > most / 2 || off < -most / 2;
            disk_end(&d);
        }
        CU_ASSERT(share_is(fast, CLOCKS, on ? 500000 : 0)); /* even, within its limits */
        CU_ASSERT(share_is(far, CLOCKS, on ? 500000 : 0));
    }
}

UNIT_MAIN("sim_rates", UNIT(test_rates_of_loss), UNIT(test_rates_of_late_segments),
          UNIT(test_rates_of_ends), UNIT(test_rates_of_clogs), UNIT(test_rates_of_disk_faults),
          UNIT(test_rates_of_power_loss), UNIT(test_rates_of_stalls),
          UNIT(test_rates_of_rare_paths), UNIT(test_rates_of_clocks))
