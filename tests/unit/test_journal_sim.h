/* tests/unit/test_journal_sim.h - one master's local journal in the simulated world. */
#ifndef TESTS_UNIT_TEST_JOURNAL_SIM_H
#define TESTS_UNIT_TEST_JOURNAL_SIM_H

#include "sim/sim.h"
#include "tests/unit/test_journal_host.h"

#define WORLD_MS 1000000LL

/* a virtual minute */
static void world_patience(struct world *w)
{
    w->patience = sim_now_ns(w->s) + 60000 * WORLD_MS;
}

static bool world_step(struct world *w)
{
    return sim_now_ns(w->s) < w->patience && sim_step(w->s);
}

static void world_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                      const char *line)
{
    struct world *w = ctx;
    (void)n;
    if (getenv("WORLD_LOG"))
        fprintf(stderr, "%12lld [%d] %s\n", (long long)at_ns, (int)level, line);
    if (level == ENV_LOG_ERROR)
        fmt_into(w->last_error, sizeof w->last_error, "%s", line);
    if (level == ENV_LOG_WARN) {
        fmt_into(w->last_warning, sizeof w->last_warning, "%s", line);
        w->warnings++;
    }
}

static void world_init(struct world *w, const struct sim_config *sc)
{
    struct sim_config c = *sc;
    world_init_truth(w, c.seed);
    unit_mem(&w->mem, 1 << 30);
    c.on_log = world_log;
    c.log_ctx = w;
    w->s = sim_open(&w->mem, &c);
    w->n = sim_node_add(w->s, "m");
}

static UNUSED void world_init_quiet(struct world *w, uint64_t seed)
{
    struct sim_config c = sim_config_quiet(seed);
    world_init(w, &c);
}

static void world_open(struct world *w)
{
    struct env *e = sim_node_up(w->n); /* which makes the memory */
    world_open_in(w, e, sim_mem(w->n));
}

static void world_crash(struct world *w, bool power)
{
    if (power)
        sim_node_power_loss(w->n);
    else
        sim_node_crash(w->n);
    w->j = NULL;
}

static UNUSED void world_settle(struct world *w, int64_t ms)
{
    sim_run_until(w->s, sim_now_ns(w->s) + ms * WORLD_MS);
}

static UNUSED bool world_start(struct world *w)
{
    world_open(w);
    return world_until_role(w);
}

static UNUSED void world_stop(struct world *w)
{
    world_until_stopped(w);
    CU_ASSERT(list_empty(&sim_mem(w->n)->large)); /* every buffer given back */
    world_crash(w, false);
}

/* the k-th file (from the end when negative) whose name begins with prefix; false: none */
static UNUSED bool world_file(struct world *w, const char *prefix, int k, char *ret_name)
{
    char names[64][ENV_NAME_MAX];
    int n = 0;
    const char *at = "";
    for (const char *f; (f = sim_disk_next(w->n, at)) && n < 64; at = f)
        if (!strncmp(f, prefix, strlen(prefix)))
            snprintf(names[n++], ENV_NAME_MAX, "%s", f);
    int i = k < 0 ? n + k : k;
    if (i < 0 || i >= n)
        return false;
    memcpy(ret_name, names[i], ENV_NAME_MAX);
    return true;
}

static UNUSED int world_files(struct world *w, const char *prefix)
{
    char name[ENV_NAME_MAX];
    int n = 0;
    while (world_file(w, prefix, n, name))
        n++;
    return n;
}

/* over names and bytes of all files */
static UNUSED uint64_t world_disk_hash(struct world *w)
{
    static uint8_t b[1 << 20];
    uint64_t h = 0;
    const char *at = "";
    for (const char *f; (f = sim_disk_next(w->n, at)); at = f) {
        int64_t n = sim_disk_read(w->n, f, b, sizeof b, 0);
        for (const char *c = f; *c; c++)
            h = base_mix_u64(h ^ (uint8_t)*c);
        for (int64_t i = 0; i < n; i++)
            h = (h ^ b[i]) * 0x100000001b3ULL;
        h = base_mix_u64(h ^ (uint64_t)n);
    }
    return h;
}

static void world_drop(struct world *w)
{
    sim_close(w->s);
    mem_drop(&w->mem);
    world_drop_truth(w);
}

#endif
