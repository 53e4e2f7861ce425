/* bench/bench_calibrate_fit.c - tables with which the simulator's processes measure what real ones
 * did.
 *
 * What a process sees of a write is more than what the disk takes: its own turn goes on, it is
 * waked, and where there are more processes than processors it waits for one.  The simulator has
 * all that by itself (sim/sim_serve.c), so it must not be in the tables as well.  How much of it
 * there is cannot be said beforehand: fewer writes are on the disk at a time than processes keep
 * outstanding, because part of their time goes elsewhere.  So the load that was measured is
 * repeated in a simulated world, and a table is shifted until the median is that of the
 * measurement: more or less the same for all its points.
 *
 *  1. Only loads of calibrate are repeated: nothing of a journal is known here.
 *  2. A table stays between almost nothing and what was measured; with more under way at once
 *     nothing is faster. */
#include <stdlib.h>
#include <string.h>
#include "bench/bench_calibrate.h"

enum { FIT_SAMPLES = 600, FIT_NODES = 3, FIT_DEPTH = 16, FIT_ROUNDS = 8, FIT_LEAST_NS = 500 };
enum { FIT_BLOCK = 4096, FIT_FRAME = 100, FIT_ANSWER = 8, FIT_LAG = 8 };

struct fit_node;

struct fit_slot {
    struct env_op op;
    struct fit_node *n;
    int64_t began_ns;
};

struct fit_node {
    struct sim_node *node;
    struct env *env;
    struct env_file *file;
    struct env_op op;
    struct fit_slot slot[FIT_DEPTH];
    uint32_t bytes;
    int n, want;
    int64_t sample[FIT_SAMPLES];
    /* of a ping */
    struct env_acceptor acceptor;
    struct env_peer in, out, other; /* other: the second one's, of a quorum */
    int64_t began_ns;
    int asked, stored, answered[2];
};

static struct fit_node fit[FIT_NODES];
static uint8_t fit_bytes[256 * 1024];

static void *fit_get(void *ctx, size_t n)
{
    (void)ctx;
    return calloc(1, n);
}

static void fit_put(void *ctx, void *p, size_t n)
{
    (void)ctx, (void)n;
    free(p);
}

static int fit_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static struct sim *fit_world(struct mem *m, const struct sim_model *model,
                             const struct sim_serve_config *serve, int nodes)
{
    struct sim_config cfg = sim_config_quiet(1);
    mem_init(m, (struct mem_source){fit_get, fit_put, NULL}, (uint64_t)1 << 30);
    cfg.model = model;
    cfg.serve = *serve;
    struct sim *s = sim_open(m, &cfg);
    memset(fit, 0, sizeof fit);
    for (int i = 0; i < nodes; i++) {
        char name[2] = {(char)('a' + i), 0};
        fit[i].node = sim_node_add(s, name);
        if (i)
            sim_node_together(fit[i].node, fit[0].node);
    }
    for (int i = 0; i < nodes; i++)
        fit[i].env = sim_node_up(fit[i].node);
    return s;
}

/* the first tenth warms up */
static int64_t fit_median(int nodes)
{
    static int64_t all[FIT_NODES * FIT_SAMPLES];
    size_t n = 0;
    for (int i = 0; i < nodes; i++)
        for (int k = fit[i].n / 10; k < fit[i].n; k++)
            all[n++] = fit[i].sample[k];
    qsort(all, n, sizeof *all, fit_compare);
    return n ? all[n / 2] : 0;
}

/* ---- durable writes ---- */

static void fit_write(struct fit_slot *x)
{
    x->began_ns = sim_node_at_ns(x->n->node);
    env_write(x->n->file, fit_bytes, x->n->bytes, 0, &x->op);
}

static void fit_written(struct env_op *op)
{
    struct fit_slot *x = container_of(op, struct fit_slot, op);
    struct fit_node *n = x->n;
    if (n->n < FIT_SAMPLES)
        n->sample[n->n++] = sim_node_at_ns(n->node) - x->began_ns;
    fit_write(x); /* as long as the others do */
}

static bool fit_is_done(int nodes)
{
    for (int i = 0; i < nodes; i++)
        if (fit[i].n < FIT_SAMPLES)
            return false;
    return true;
}

int64_t bench_fit_writes(const struct sim_model *model, const struct sim_serve_config *serve,
                         int nodes, int depth, uint32_t bytes)
{
    struct mem m;
    struct sim *s = fit_world(&m, model, serve, nodes);
    ASSERT(nodes <= FIT_NODES && depth <= FIT_DEPTH && bytes <= sizeof fit_bytes);
    for (int i = 0; i < nodes; i++) {
        struct fit_node *n = &fit[i];
        n->bytes = bytes;
        env_open(n->env, "f", ENV_O_WRITE | ENV_O_CREATE | ENV_O_DSYNC, &n->file, &n->op);
        ASSERT(sim_run_op(s, &n->op, 1000000000) >= 0);
    }
    for (int i = 0; i < nodes; i++)
        for (int k = 0; k < depth; k++) {
            fit[i].slot[k] = (struct fit_slot){.op.done = fit_written, .n = &fit[i]};
            fit_write(&fit[i].slot[k]);
        }
    while (!fit_is_done(nodes) && sim_step(s))
        ;
    int64_t median = fit_median(nodes);
    sim_close(s);
    mem_drop(&m);
    return median;
}

/* ---- round trips ---- */

static void fit_closed(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

static void fit_ping(struct fit_node *n)
{
    n->began_ns = sim_node_at_ns(n->node);
    env_send(n->out.conn, 1, &(struct env_iov){fit_bytes, n->bytes}, 1);
}

static void fit_echo(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    env_send(p->conn, type, &(struct env_iov){b, len}, 1);
}

static void fit_ponged(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    struct fit_node *n = container_of(p, struct fit_node, out);
    (void)type, (void)b, (void)len;
    n->sample[n->n++] = sim_node_at_ns(n->node) - n->began_ns;
    if (n->n < FIT_SAMPLES)
        fit_ping(n);
}

static struct env_peer *fit_open(struct env_acceptor *a, const char *from)
{
    (void)from;
    return &container_of(a, struct fit_node, acceptor)->in;
}

int64_t bench_fit_ping(const struct sim_model *model, const struct sim_serve_config *serve,
                       uint32_t bytes)
{
    struct mem m;
    struct sim *s = fit_world(&m, model, serve, 2);
    struct fit_node *a = &fit[0], *b = &fit[1];
    a->bytes = bytes;
    a->out = (struct env_peer){.on_frame = fit_ponged, .on_close = fit_closed};
    b->in = (struct env_peer){.on_frame = fit_echo, .on_close = fit_closed};
    b->acceptor.on_open = fit_open;
    env_listen(b->env, "b:1", &b->acceptor, &b->op);
    ASSERT(sim_run_op(s, &b->op, 1000000000) == 0);
    env_connect(a->env, "b:1", 1000000000, &a->out, &a->op);
    ASSERT(sim_run_op(s, &a->op, 1000000000) == 0);
    fit_ping(a);
    while (a->n < FIT_SAMPLES && sim_step(s))
        ;
    int64_t median = fit_median(1);
    sim_close(s);
    mem_drop(&m);
    return median;
}

/* ---- a quorum: fit[0] asks, and writes itself ---- */

static void fit_ask(struct fit_node *n)
{
    n->began_ns = sim_node_at_ns(n->node);
    n->asked++;
    env_send(n->out.conn, 1, &(struct env_iov){fit_bytes, FIT_FRAME}, 1);
    env_send(n->other.conn, 1, &(struct env_iov){fit_bytes, FIT_FRAME}, 1);
    env_write(n->file, fit_bytes, FIT_BLOCK, 0, &n->slot[0].op);
}

static void fit_quorum(struct fit_node *n)
{
    int k = n->asked, *a = n->answered;
    if (n->stored < k || (a[0] < k && a[1] < k) || a[0] + FIT_LAG < k || a[1] + FIT_LAG < k)
        return;
    n->sample[n->n++] = sim_node_at_ns(n->node) - n->began_ns;
    if (n->n < FIT_SAMPLES)
        fit_ask(n);
}

static void fit_stored(struct env_op *op)
{
    struct fit_slot *x = container_of(op, struct fit_slot, op);
    x->began_ns = 0;
    if (x->n == &fit[0]) {
        x->n->stored++;
        fit_quorum(x->n);
    } else {
        env_send(x->n->in.conn, 1, &(struct env_iov){fit_bytes, FIT_ANSWER}, 1);
    }
}

static void fit_answered(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    (void)type, (void)b, (void)len;
    fit[0].answered[p == &fit[0].other]++;
    fit_quorum(&fit[0]);
}

static void fit_store(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    struct fit_node *n = container_of(p, struct fit_node, in);
    (void)type, (void)b, (void)len;
    for (int i = 0; i < FIT_DEPTH; i++)
        if (!n->slot[i].began_ns) {
            n->slot[i].began_ns = 1;
            env_write(n->file, fit_bytes, FIT_BLOCK, 0, &n->slot[i].op);
            return;
        }
    ASSERT(!"no more than FIT_LAG are outstanding");
}

int64_t bench_fit_quorum(const struct sim_model *model, const struct sim_serve_config *serve)
{
    static const char *const addr[FIT_NODES] = {"a:1", "b:1", "c:1"};
    struct mem m;
    struct sim *s = fit_world(&m, model, serve, FIT_NODES);
    for (int i = 0; i < FIT_NODES; i++) {
        struct fit_node *n = &fit[i];
        env_open(n->env, "f", ENV_O_WRITE | ENV_O_CREATE | ENV_O_DSYNC, &n->file, &n->op);
        ASSERT(sim_run_op(s, &n->op, 1000000000) >= 0);
        for (int k = 0; k < FIT_DEPTH; k++)
            n->slot[k] = (struct fit_slot){.op.done = fit_stored, .n = n};
        n->in = (struct env_peer){.on_frame = fit_store, .on_close = fit_closed};
        n->out = n->other = (struct env_peer){.on_frame = fit_answered, .on_close = fit_closed};
        n->acceptor.on_open = fit_open;
        env_listen(n->env, addr[i], &n->acceptor, &n->op);
        ASSERT(sim_run_op(s, &n->op, 1000000000) == 0);
    }
    for (int i = 1; i < FIT_NODES; i++) {
        env_connect(fit[0].env, addr[i], 1000000000, i == 1 ? &fit[0].out : &fit[0].other,
                    &fit[0].op);
        ASSERT(sim_run_op(s, &fit[0].op, 1000000000) == 0);
    }
    fit_ask(&fit[0]);
    while (fit[0].n < FIT_SAMPLES && sim_step(s))
        ;
    int64_t median = fit_median(1);
    sim_close(s);
    mem_drop(&m);
    return median;
}

/* ---- the fit ---- */

/* all points by as much, between almost nothing and most[] */
static void fit_shift(int64_t *ns, const int64_t *most, int64_t by)
{
    for (int q = 0; q < CALIBRATE_POINTS; q++) {
        int64_t v = ns[q] + by;
        v = v < most[q] ? v : most[q];
        ns[q] = v > FIT_LEAST_NS ? v : FIT_LEAST_NS;
    }
}

static void fit_grid(struct bench_fit *f, bool writes, const struct sim_grid *most)
{
    struct sim_grid *g = writes ? &f->model.write : &f->model.way;
    for (int round = 0; round < FIT_ROUNDS; round++)
        for (uint32_t l = 0; l < g->n_at_once; l++)
            for (uint32_t i = 0; i < g->n_bytes; i++) {
                int64_t is = writes ? bench_fit_writes(&f->model, &f->serve, f->nodes[l],
                                                       f->depth[l], (uint32_t)g->bytes[i])
                                    : bench_fit_ping(&f->model, &f->serve, (uint32_t)g->bytes[i]);
                int64_t off = (writes ? f->write_ns[l][i] : f->ping_ns[i]) - is;
                fit_shift(g->ns[l][i], most->ns[l][i], writes ? off * 3 / 4 : off / 2);
                for (int q = 0; l && q < CALIBRATE_POINTS; q++)
                    if (g->ns[l][i][q] < g->ns[l - 1][i][q])
                        g->ns[l][i][q] = g->ns[l - 1][i][q];
            }
}

/* With fewer under way at once nothing is slower: what was, was somebody else's doing. */
static void fit_smooth(struct bench_fit *f)
{
    struct sim_grid *g = &f->model.write;
    for (uint32_t l = g->n_at_once - 1; l-- > 0;)
        for (uint32_t i = 0; i < g->n_bytes; i++) {
            if (f->write_ns[l][i] > f->write_ns[l + 1][i])
                f->write_ns[l][i] = f->write_ns[l + 1][i];
            for (int q = 0; q < CALIBRATE_POINTS; q++)
                if (g->ns[l][i][q] > g->ns[l + 1][i][q])
                    g->ns[l][i][q] = g->ns[l + 1][i][q];
        }
}

void bench_fit(struct bench_fit *f)
{
    static struct sim_grid way, write;
    fit_smooth(f);
    way = f->model.way;
    write = f->model.write;
    fit_grid(f, false, &way);
    fit_grid(f, true, &write);
}
