/* tests/unit/test_sim_shared.h - three machines that share a directory, and what is asked of it;
 * test_sim_shared.c tests that. */
#ifndef TESTS_UNIT_TEST_SIM_SHARED_H
#define TESTS_UNIT_TEST_SIM_SHARED_H

#include "journal/wal.h"
#include "sim/sim.h"
#include "sim/sim_shared.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

enum { NODES = 3, PAGE = 4096, PLAIN = ENV_O_WRITE, DIRECT = ENV_O_WRITE | ENV_O_DIRECT };

struct shared {
    struct mem m;
    struct sim *s;
    struct sim_node *n[NODES];
    struct env *e[NODES];
    struct sim_shared *fs;
};

static void shared_open(struct shared *x, uint64_t seed, const struct sim_shared_config *cfg)
{
    static const char *const names[NODES] = {"a", "b", "c"};
    struct sim_config world = sim_config_quiet(seed);
    if (seed % 4 == 3) /* turns take time */
        world.serve = (struct sim_serve_config){1, 20000, 5000, 5000, 5000, 10000, 0, 100};
    memset(x, 0, sizeof *x);
    unit_mem(&x->m, 1 << 30);
    x->s = sim_open(&x->m, &world);
    for (int i = 0; i < NODES; i++)
        x->n[i] = sim_node_add(x->s, names[i]);
    x->fs = sim_shared_open(x->s, "nfs", cfg);
    for (int i = 0; i < NODES; i++) {
        sim_node_up(x->n[i]);
        x->e[i] = sim_shared_mount(x->fs, x->n[i]);
        CU_ASSERT_PTR_EQUAL(x->e[i], sim_shared_mount(x->fs, x->n[i]));
    }
}

static void shared_close(struct shared *x)
{
    sim_close(x->s);
    mem_drop(&x->m);
}

static void shared_for(struct shared *x, int64_t ns)
{
    sim_run_until(x->s, sim_now_ns(x->s) + ns);
}

/* submits and waits: the result */
#define DO(x, call)                        \
    __extension__({                        \
        struct env_op op_ = {0};           \
        struct env_op *op = &op_;          \
        call;                              \
        sim_run_op((x)->s, op, 100 * sec); \
    })

static struct env_file *file_of(struct shared *x, int i, const char *name, unsigned flags)
{
    struct env_file *f = NULL;
    int64_t ret = DO(x, env_open(x->e[i], name, flags, &f, op));
    CU_ASSERT_FATAL(ret >= 0 && f);
    CU_ASSERT_PTR_EQUAL(f->env, x->e[i]);
    return f;
}

/* writes a page of v */
static int64_t put(struct shared *x, struct env_file *f, uint32_t page, uint8_t v)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    memset(b, v, PAGE);
    return DO(x, env_write(f, b, PAGE, (uint64_t)page * PAGE, op));
}

/* what a page holds; -1: it is not all of one value, -2: not all there */
static int get(struct shared *x, struct env_file *f, uint32_t page)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    int64_t ret = DO(x, env_read(f, b, PAGE, (uint64_t)page * PAGE, op));
    CU_ASSERT(ret >= 0);
    for (int64_t i = 1; i < ret; i++)
        if (b[i] != b[0])
            return -1;
    return ret == PAGE ? b[0] : -2;
}

static int64_t sync_of(struct shared *x, struct env_file *f)
{
    return DO(x, env_sync(f, op));
}

/* what the server has, whatever a client is told */
static int there(struct shared *x, const char *name, uint32_t page)
{
    static uint8_t b[PAGE];
    int64_t ret = sim_disk_read(sim_shared_node(x->fs), name, b, PAGE, (uint64_t)page * PAGE);
    return ret == PAGE ? b[0] : -2;
}

static bool no_weakness(const struct shared *x)
{
    const struct sim_stats *t = sim_stats(x->s);
    return !(t->shared_late | t->shared_names_late | t->shared_both | t->stale_names |
             t->stale_sizes | t->stale_pages);
}

/* a client dies; its process starts again */
static void dies(struct shared *x, int i, bool power)
{
    if (power)
        sim_node_power_loss(x->n[i]);
    else
        sim_node_crash(x->n[i]);
    sim_node_up(x->n[i]);
}

#endif
