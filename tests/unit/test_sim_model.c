/* tests/unit/test_sim_model.c - times drawn from tables have the tables' quantiles; turns that take
 * time wait for each other where they share processors; switched off, nothing changes. */
#include "sim/sim_internal.h"
#include "tests/unit/unit.h"

static const int64_t us = 1000, ms = 1000000;

enum { DRAWS = 64000 };

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* a table that is steep at its end, as times are: from 100 us on */
static void fill(int64_t *ns, int64_t times)
{
    for (int i = 0; i < SIM_POINTS; i++)
        ns[i] = times * (100 * us + i * us + (i > 28 ? (i - 28) * 50 * us : 0));
}

static struct sim_grid grid_of(void)
{
    struct sim_grid g = {.n_bytes = 2, .n_at_once = 2, .bytes = {4096, 12288}, .at_once = {1, 3}};
    fill(g.ns[0][0], 1);
    fill(g.ns[0][1], 2);
    fill(g.ns[1][0], 3);
    fill(g.ns[1][1], 6);
    return g;
}

/* the i-th of 32 parts of what was drawn ends at `times` the table's i-th point */
static void expect_table(const struct sim_grid *g, uint64_t bytes, uint64_t at_once, int64_t times)
{
    static int64_t draw[DRAWS];
    int64_t want[SIM_POINTS];
    struct prng p;
    prng_seed(&p, 7, "model", bytes + at_once);
    for (int i = 0; i < DRAWS; i++)
        draw[i] = sim_model_draw_ns(g, bytes, at_once, &p);
    qsort(draw, DRAWS, sizeof *draw, compare);
    fill(want, times);
    CU_ASSERT(draw[0] >= want[0] && draw[DRAWS - 1] <= want[SIM_POINTS - 1]);
    for (int i = 1; i < SIM_POINTS - 1; i++) {
        int64_t is = draw[i * (DRAWS / (SIM_POINTS - 1))], step = want[i + 1] - want[i];
        /* 5 standard errors of the rank, which are steps of the table */
        CU_ASSERT(is >= want[i] - 32 * step / 100 - 32 * (want[i] - want[i - 1]) / 100);
        CU_ASSERT(is <= want[i] + 32 * step / 100);
    }
}

static void test_model_gives_the_tables_quantiles(void)
{
    struct sim_grid g = grid_of();
    expect_table(&g, 4096, 1, 1);
    expect_table(&g, 12288, 1, 2);
    expect_table(&g, 4096, 3, 3);
    expect_table(&g, 12288, 3, 6);
    expect_table(&g, 100, 1, 1);    /* the smallest */
    expect_table(&g, 24576, 1, 4);  /* beyond: in proportion */
    expect_table(&g, 12288, 6, 12); /* beyond: they queue */
    expect_table(&g, 4096, 2, 2);   /* between 1 and 3 */
    struct prng a, b;
    prng_seed(&a, 1, "model", 0);
    prng_seed(&b, 1, "model", 0);
    int64_t half = sim_model_draw_ns(&g, 8192, 1, &a), whole = sim_model_draw_ns(&g, 4096, 1, &b);
    CU_ASSERT(half > whole * 3 / 2 - 2 && half < whole * 3 / 2 + 2);
    CU_ASSERT_EQUAL(prng_u64(&a), prng_u64(&b)); /* one number each, whatever was asked */
}

/* ---- a world ---- */

struct writer {
    struct sim *s;
    struct env_op op;
    struct env_file *f;
    int64_t done_ns;
};

static uint8_t block[4096];

static void write_done(struct env_op *op)
{
    struct writer *w = container_of(op, struct writer, op);
    w->done_ns = sim_now_ns(w->s);
}

static void writer_open(struct writer *w, struct sim_node *n, unsigned flags)
{
    w->s = n->sim;
    env_open(sim_node_up(n), "f", ENV_O_WRITE | ENV_O_CREATE | flags, &w->f, &w->op);
    CU_ASSERT_FATAL(sim_run_op(w->s, &w->op, 1000 * ms) >= 0);
    w->op.done = write_done;
}

/* durable writes take what the tables say, and beside another on the same machine what they say of
 * two; others take what they did */
static void test_model_of_a_disk(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_model model = {.write = grid_of()};
    struct sim_config cfg = sim_config_quiet(5);
    cfg.model = &model;
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n[3] = {sim_node_add(s, "a"), sim_node_add(s, "b"), sim_node_add(s, "c")};
    struct writer w[3] = {{0}};
    sim_node_together(n[1], n[0]);
    for (int i = 0; i < 3; i++)
        writer_open(&w[i], n[i], i == 2 ? 0 : ENV_O_DSYNC);
    for (int k = 0; k < 20; k++) {
        int64_t at = sim_now_ns(s);
        for (int i = 0; i < 3; i++)
            env_write(w[i].f, block, sizeof block, 0, &w[i].op);
        sim_run_until(s, at + 50 * ms);
        CU_ASSERT(w[0].done_ns >= at + 200 * us && w[0].done_ns <= at + 664 * us);
        CU_ASSERT(w[1].done_ns >= at + 200 * us && w[1].done_ns <= at + 664 * us);
        CU_ASSERT(w[2].done_ns > at && w[2].done_ns < at + 100 * us + 500 * us);
    }
    CU_ASSERT_EQUAL(n[0]->machine->writes, 0);
    env_write(w[0].f, block, sizeof block, 0, &w[0].op);
    CU_ASSERT_EQUAL(n[0]->machine->writes, 1);
    sim_node_crash(n[0]); /* what was under way is not any more */
    CU_ASSERT_EQUAL(n[0]->machine->writes, 0);
    sim_close(s);
    mem_drop(&m);
}

/* who comes later makes what is under way slower, and is faster when that is done */
static void test_model_of_writes_that_meet(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_model model = {.write = grid_of()};
    for (int i = 0; i < SIM_POINTS; i++) {
        model.write.ns[0][0][i] = 100 * us;
        model.write.ns[1][0][i] = 300 * us; /* of three; so 200 of two */
    }
    struct sim_config cfg = sim_config_quiet(5);
    cfg.model = &model;
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *n[2] = {sim_node_add(s, "a"), sim_node_add(s, "b")};
    struct writer w[2] = {{0}};
    sim_node_together(n[1], n[0]);
    for (int i = 0; i < 2; i++)
        writer_open(&w[i], n[i], ENV_O_DSYNC);
    int64_t at = sim_now_ns(s);
    env_write(w[0].f, block, sizeof block, 0, &w[0].op);
    sim_run_until(s, at + 50 * us);
    env_write(w[1].f, block, sizeof block, 0, &w[1].op);
    sim_run_until(s, at + ms);
    CU_ASSERT_EQUAL(w[0].done_ns - at, 150 * us); /* half alone, half at half the speed */
    CU_ASSERT_EQUAL(w[1].done_ns - at, 200 * us); /* 100 us at half the speed, 50 alone */
    sim_close(s);
    mem_drop(&m);
}

/* ---- turns ---- */

struct ticker {
    struct env_timer t;
    struct sim_node *n;
    struct env_op post;
    struct env *e;
    int64_t at_ns[4], posted_ns, clock_ns;
    int fired;
    int64_t spends_ns;
};

static void ticker_posted(struct env_op *op)
{
    struct ticker *x = container_of(op, struct ticker, post);
    x->posted_ns = sim_now_ns(x->n->sim);
}

static void ticker_done(struct env_op *op)
{
    struct ticker *x = container_of(op, struct ticker, t.op);
    x->at_ns[x->fired++ % 4] = sim_now_ns(x->n->sim);
    sim_node_spend(x->n, x->spends_ns);
    x->clock_ns = env_clock_ns(x->e);
    env_post(x->e, &x->post);
}

static void ticker_open(struct ticker *x, struct sim_node *n, int64_t spends_ns)
{
    memset(x, 0, sizeof *x);
    x->n = n;
    x->e = sim_node_up(n);
    x->t.op.done = ticker_done;
    x->post.done = ticker_posted;
    x->spends_ns = spends_ns;
}

/* three processes and two processors: who comes last waits for the first that is done */
static void test_serve_shares_processors(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(5);
    cfg.serve = (struct sim_serve_config){.cores = 2, .turn_ns = 10 * us};
    struct sim *s = sim_open(&m, &cfg);
    struct ticker x[4];
    for (int i = 0; i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        struct sim_node *n = sim_node_add(s, name);
        if (i == 1 || i == 2)
            sim_node_together(n, x[0].n);
        ticker_open(&x[i], n, (i + 1) * 100 * us);
    }
    for (int i = 0; i < 4; i++)
        env_timer_set(x[i].e, &x[i].t, env_now_ns(x[i].e) + ms);
    sim_run_until(s, 10 * ms);
    CU_ASSERT_EQUAL(x[0].at_ns[0], ms);
    CU_ASSERT_EQUAL(x[1].at_ns[0], ms);
    CU_ASSERT_EQUAL(x[2].at_ns[0], ms + 110 * us); /* a's turn and what it spent */
    CU_ASSERT_EQUAL(x[3].at_ns[0], ms);            /* another machine */
    CU_ASSERT_EQUAL(x[0].posted_ns, ms);           /* in the same turn */
    CU_ASSERT_EQUAL(x[1].clock_ns, ms + 210 * us);
    /* what comes meanwhile is the next turn */
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e));
    sim_run_until(s, 10 * ms + 50 * us);
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e));
    sim_run_until(s, 20 * ms);
    CU_ASSERT_EQUAL(x[0].fired, 3);
    CU_ASSERT_EQUAL(x[0].at_ns[2], 10 * ms + 110 * us);
    /* the dead need none */
    for (int i = 0; i < 3; i++)
        env_timer_set(x[i].e, &x[i].t, env_now_ns(x[i].e));
    sim_run_until(s, 20 * ms + us);
    sim_node_crash(x[0].n);
    sim_run_until(s, 20 * ms + 2 * us);
    CU_ASSERT_EQUAL(x[2].at_ns[1], 20 * ms + us);
    sim_close(s);
    mem_drop(&m);
}

/* who comes to an idle processor waits until it is awake, and has then all that came until then;
 * who takes it over does not */
static void test_serve_wakes(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(5);
    cfg.serve = (struct sim_serve_config){.cores = 1, .turn_ns = 10 * us, .wake_ns = 20 * us};
    struct sim *s = sim_open(&m, &cfg);
    struct ticker x[2];
    struct sim_node *a = sim_node_add(s, "a"), *b = sim_node_add(s, "b");
    sim_node_together(b, a);
    ticker_open(&x[0], a, 100 * us);
    ticker_open(&x[1], b, 100 * us);
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e) + ms);
    env_timer_set(x[1].e, &x[1].t, env_now_ns(x[1].e) + ms + us);
    sim_run_until(s, ms + 60 * us);
    CU_ASSERT_EQUAL(x[0].at_ns[0], ms + 20 * us);
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e)); /* while b waits, and a's turn goes on */
    sim_run_until(s, 3 * ms);
    CU_ASSERT_EQUAL(x[1].at_ns[0], ms + 130 * us); /* a's turn is over */
    CU_ASSERT_EQUAL(x[0].at_ns[1], ms + 240 * us); /* b's */
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e));
    sim_run_until(s, 3 * ms + 60 * us);
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e));
    sim_run_until(s, 4 * ms);
    CU_ASSERT_EQUAL(x[0].at_ns[2], 3 * ms + 20 * us);
    CU_ASSERT_EQUAL(x[0].at_ns[3], 3 * ms + 130 * us); /* it goes on at once */
    /* the one that is being waked for dies: the other is next */
    env_timer_set(x[0].e, &x[0].t, env_now_ns(x[0].e));
    env_timer_set(x[1].e, &x[1].t, env_now_ns(x[1].e));
    sim_run_until(s, 4 * ms + us);
    sim_node_crash(a);
    sim_run_until(s, 5 * ms);
    CU_ASSERT_EQUAL(x[1].at_ns[1], 4 * ms + us);
    CU_ASSERT_EQUAL(a->machine->busy, 0);
    sim_close(s);
    mem_drop(&m);
}

/* writes a block when its timer fires; what that cost the turn */
struct batcher {
    struct sim_node *n;
    struct env *e;
    struct env_file *f;
    struct env_timer t;
    struct env_op op[4];
    int n_ops;
    int64_t cost_ns;
};

static void batcher_written(struct env_op *op)
{
    (void)op;
}

static void batcher_fires(struct env_op *op)
{
    struct batcher *x = container_of(container_of(op, struct env_timer, op), struct batcher, t);
    int64_t at = sim_node_at_ns(x->n);
    env_write(x->f, block, sizeof block, 0, &x->op[x->n_ops++]);
    x->cost_ns = sim_node_at_ns(x->n) - at;
}

/* what a batch costs is for who begins on an idle processor, and not for who goes on */
static void test_serve_batches(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(5);
    cfg.serve = (struct sim_serve_config){.cores = 1, .turn_ns = 10 * us, .batch_ns = 50 * us};
    struct sim *s = sim_open(&m, &cfg);
    struct batcher x = {.n = sim_node_add(s, "a")};
    x.e = sim_node_up(x.n);
    x.t.op.done = batcher_fires;
    for (int i = 0; i < 4; i++)
        x.op[i].done = batcher_written;
    env_open(x.e, "f", ENV_O_WRITE | ENV_O_CREATE | ENV_O_DSYNC, &x.f, &x.op[x.n_ops++]);
    sim_run_until(s, ms);
    env_timer_set(x.e, &x.t, 2 * ms);
    sim_run_until(s, 2 * ms + 5 * us);
    CU_ASSERT_EQUAL(x.cost_ns, 50 * us);
    env_timer_set(x.e, &x.t, 2 * ms + 20 * us); /* while that turn's time goes on */
    sim_run_until(s, 4 * ms);
    CU_ASSERT_EQUAL(x.cost_ns, 0);
    env_timer_set(x.e, &x.t, 5 * ms);
    sim_run_until(s, 6 * ms);
    CU_ASSERT_EQUAL(x.cost_ns, 50 * us);
    sim_close(s);
    mem_drop(&m);
}

/* more processes than processors, all with timers: each gets its turn */
static void test_serve_starves_nobody(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(5);
    cfg.serve = (struct sim_serve_config){.cores = 1, .turn_ns = us};
    struct sim *s = sim_open(&m, &cfg);
    struct ticker x[3];
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        struct sim_node *n = sim_node_add(s, name);
        if (i)
            sim_node_together(n, x[0].n);
        ticker_open(&x[i], n, us);
    }
    for (int k = 0; k < 100; k++) {
        for (int i = 0; i < 3; i++)
            env_timer_set(x[i].e, &x[i].t, env_now_ns(x[i].e) + us);
        sim_run_until(s, sim_now_ns(s) + 100 * us);
    }
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(x[i].fired, 100);
    CU_ASSERT(sim_events(s) < 5000); /* nobody turns for nothing */
    sim_close(s);
    mem_drop(&m);
}

/* ---- frames ---- */

struct talker {
    struct sim *s;
    struct env_acceptor acc;
    struct env_peer in, out;
    struct env_op listen_op, connect_op;
    int64_t heard_ns;
};

static void talker_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct talker *t = container_of(p, struct talker, in);
    (void)type, (void)b, (void)n;
    t->heard_ns = sim_now_ns(t->s);
}

static void talker_close(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

static struct env_peer *talker_open(struct env_acceptor *a, const char *from)
{
    (void)from;
    return &container_of(a, struct talker, acc)->in;
}

struct teller {
    struct env_timer t;
    struct talker *to;
    int64_t at_ns;
};

static void teller_done(struct env_op *op)
{
    struct teller *x = container_of(op, struct teller, t.op);
    uint8_t body[1000] = {0};
    x->at_ns = sim_now_ns(x->to->s);
    env_send(x->to->out.conn, 1, &(struct env_iov){body, sizeof body}, 1);
}

/* what a turn sends leaves when what it cost so far is over, and takes what the table says */
static void test_serve_of_what_is_sent(void)
{
    struct mem m;
    unit_mem(&m, 64 << 20);
    struct sim_model model = {
        .way = {.n_bytes = 1, .n_at_once = 1, .bytes = {2000}, .at_once = {1}}};
    for (int i = 0; i < SIM_POINTS; i++)
        model.way.ns[0][0][i] = 40 * us;
    struct sim_config cfg = sim_config_quiet(5);
    cfg.model = &model;
    cfg.serve = (struct sim_serve_config){
        .turn_ns = 10 * us, .send_ns = 5 * us, .receive_ns = 3 * us, .byte_ps = 1000};
    struct sim *s = sim_open(&m, &cfg);
    struct sim_node *a = sim_node_add(s, "a"), *b = sim_node_add(s, "b");
    struct env *ea = sim_node_up(a), *eb = sim_node_up(b);
    struct talker t = {.s = s};
    t.in.on_frame = t.out.on_frame = talker_frame;
    t.in.on_close = t.out.on_close = talker_close;
    t.acc.on_open = talker_open;
    env_listen(eb, "b:1", &t.acc, &t.listen_op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(s, &t.listen_op, 100 * ms), 0);
    env_connect(ea, "b:1", 100 * ms, &t.out, &t.connect_op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(s, &t.connect_op, 100 * ms), 0);
    struct teller x = {.to = &t, .t.op.done = teller_done};
    sim_run_until(s, 200 * ms);
    env_timer_set(ea, &x.t, env_now_ns(ea) + ms);
    sim_run_until(s, 300 * ms);
    /* the turn, the write, 1,072 bytes and heads; then the way */
    CU_ASSERT_EQUAL(t.heard_ns - x.at_ns, 10 * us + 5 * us + 1072 + 40 * us);
    sim_close(s);
    mem_drop(&m);
}

/* a model that says nothing, and turns that take nothing, change nothing */
static void test_model_switched_off(void)
{
    uint64_t hash[2][2];
    struct sim_model nothing = {0};
    for (int k = 0; k < 2; k++) {
        struct mem m;
        unit_mem(&m, 64 << 20);
        struct sim_config cfg = sim_config_stormy(9);
        cfg.model = k ? &nothing : NULL;
        struct sim *s = sim_open(&m, &cfg);
        struct sim_node *a = sim_node_add(s, "a"), *b = sim_node_add(s, "b");
        if (k)
            sim_node_together(b, a);
        struct writer w[2] = {{0}};
        writer_open(&w[0], a, ENV_O_DSYNC);
        writer_open(&w[1], b, 0);
        for (int i = 0; i < 50; i++) {
            env_write(w[0].f, block, sizeof block, 0, &w[0].op);
            env_write(w[1].f, block, sizeof block, 0, &w[1].op);
            sim_run_until(s, sim_now_ns(s) + 1000 * ms);
        }
        sim_hash(s, hash[k]);
        sim_close(s);
        mem_drop(&m);
    }
    CU_ASSERT(hash[0][0] == hash[1][0] && hash[0][1] == hash[1][1]);
}

UNIT_MAIN("sim_model", UNIT(test_model_gives_the_tables_quantiles), UNIT(test_model_of_a_disk),
          UNIT(test_model_of_writes_that_meet), UNIT(test_serve_shares_processors),
          UNIT(test_serve_wakes), UNIT(test_serve_batches), UNIT(test_serve_starves_nobody),
          UNIT(test_serve_of_what_is_sent), UNIT(test_model_switched_off))
