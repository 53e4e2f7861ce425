/* tests/zk/zk_suite_main.c - the conformance suite against real ZooKeeper servers, or the model.
 *
 *   zk-suite --connect 127.0.0.1:2181[,...] --tick 200 [--server N] [CASE...]
 *   zk-suite --sim 3 [--server N] [CASE...]     the same against sim_zk, of three servers
 *   zk-suite ... --random N                     N random programs instead: a line for each step
 *   zk-suite --list
 *
 * --tick: the servers' tickTime in ms.  --server: cases are at the N-th of the servers, from 0.
 * Status 1 if a case failed, 2 if it could not begin.  Random programs of two worlds give the same
 * lines, or one of the worlds is wrong (tests/e2e/test_zk_conformance.sh). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/fmt.h"
#include "net/net.h"
#include "sim/lab_zk.h"
#include "tests/zk/zk_suite.h"

struct real_world {
    struct zs_world w;
    struct net *net;
    struct mem mem;
};

static bool real_until(struct zs_world *w, const bool *flag, int64_t ns)
{
    struct real_world *r = container_of(w, struct real_world, w);
    bool never = false;
    net_run_until(r->net, flag ? flag : &never, env_now_ns(w->env) + ns);
    return flag && *flag;
}

struct sim_world {
    struct zs_world w;
    struct mem mem;
    struct sim *sim;
};

static bool sim_until(struct zs_world *w, const bool *flag, int64_t ns)
{
    struct sim_world *x = container_of(w, struct sim_world, w);
    int64_t end = sim_now_ns(x->sim) + ns;
    while (sim_now_ns(x->sim) < end && !(flag && *flag)) {
        int64_t to = flag ? sim_now_ns(x->sim) + zs_ms / 5 : end;
        sim_run_until(x->sim, to < end ? to : end);
    }
    return flag && *flag;
}

static void *sim_get(void *ctx, size_t n)
{
    (void)ctx;
    void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);
    return p && n >= SIM_ZEROED_MIN ? memset(p, 0, n) : p;
}

static void sim_put(void *ctx, void *p, size_t n)
{
    (void)ctx, (void)n;
    free(p);
}

static void sim_begin(struct sim_world *x, uint32_t servers)
{
    struct lab_zk_config cfg = lab_zk_config_default(servers, 1);
    struct sim_config world = sim_config_quiet(1);
    cfg.tick_ns = 500 * zs_ms;
    world.node_mem_bytes = 128 << 20;
    mem_init(&x->mem, (struct mem_source){sim_get, sim_put, NULL, 0}, 1ULL << 30);
    x->sim = sim_open(&x->mem, &world);
    struct lab_zk *z = lab_zk_open(&x->mem, x->sim, &cfg);
    struct sim_node *client = sim_node_add(x->sim, "c");
    lab_zk_start_all(z);
    x->w.env = sim_node_up(client);
    x->w.mem = sim_mem(client);
    x->w.n_servers = servers;
    for (uint32_t i = 0; i < servers; i++)
        fmt_into(x->w.server[i], sizeof x->w.server[i], "z%u:2181", i + 1);
    x->w.tick_ns = cfg.tick_ns;
    x->w.until = sim_until;
}

static void quiet(void *ctx, enum env_log level, const char *node, const char *line)
{
    (void)ctx, (void)level, (void)node;
    if (getenv("ZS_LOG"))
        fprintf(stderr, "    %s\n", line);
}

static int usage(void)
{
    fprintf(stderr, "usage: zk-suite --connect HOST:PORT[,...] --tick MS | --sim N  [--server N] "
                    "[--random N] [--list] [CASE...]\n");
    return 2;
}

static bool servers(struct zs_world *w, const char *text)
{
    while (*text && w->n_servers < ZS_SERVERS) {
        size_t n = strcspn(text, ",");
        if (!n || n >= sizeof w->server[0])
            return false;
        memcpy(w->server[w->n_servers++], text, n);
        text += n + (text[n] == ',');
    }
    return w->n_servers && !*text;
}

static bool wanted(const char *name, char **names, int n)
{
    bool found = n == 0;
    for (int i = 0; i < n; i++)
        found |= !strcmp(names[i], name);
    return found;
}

static int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int run_all(struct zs_world *w, char **names, int n)
{
    struct zs *t = malloc(sizeof *t);
    uint32_t ran = 0, failed = 0, skipped = 0;
    for (uint32_t i = 0; zs_case_at(i); i++) {
        const struct zs_case *c = zs_case_at(i);
        if (!wanted(c->name, names, n))
            continue;
        int64_t from = clock_ms();
        uint32_t bad = zs_run(t, w, c);
        ran += !t->skipped;
        skipped += t->skipped;
        failed += bad != 0;
        printf("%-7s %5lld ms  %s\n",
               t->skipped ? "skipped"
               : bad      ? "FAILED"
                          : "ok",
               (long long)(clock_ms() - from), c->name);
        fflush(stdout);
    }
    printf("%u cases, %u failed, %u skipped\n", ran, failed, skipped);
    free(t);
    return failed || !ran;
}

static void run_random(struct zs_world *w, uint32_t n)
{
    struct zs *t = malloc(sizeof *t);
    for (uint32_t seed = 1; seed <= n; seed++)
        zs_random(t, w, seed, 300, stdout);
    free(t);
}

struct options {
    const char *connect;
    uint32_t sim, random, first;
    int64_t tick_ns;
    bool list;
};

/* the place of the first case's name; 0: no good */
static int parse(int argc, char **argv, struct options *o)
{
    int i = 1;
    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        o->list |= !strcmp(argv[i], "--list");
        if (!strcmp(argv[i], "--list"))
            continue;
        if (i + 1 == argc)
            return 0;
        uint32_t n = (uint32_t)atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--connect"))
            o->connect = argv[i + 1];
        else if (!strcmp(argv[i], "--tick"))
            o->tick_ns = n * zs_ms;
        else if (!strcmp(argv[i], "--server"))
            o->first = n;
        else if (!strcmp(argv[i], "--sim"))
            o->sim = n;
        else if (!strcmp(argv[i], "--random"))
            o->random = n;
        else
            return 0;
        i++;
    }
    return o->list || o->sim || (o->tick_ns > 0 && o->connect) ? i : 0;
}

static int real_begin(struct real_world *r, const struct options *o)
{
    const struct net_config cfg = {.node = "zk-suite", .log = quiet, .log_level = ENV_LOG_DEBUG};
    r->w.tick_ns = o->tick_ns;
    if (!servers(&r->w, o->connect) || net_open(&cfg, &r->net))
        return 2;
    mem_init(&r->mem, net_mem_source(), 256 << 20);
    r->w.env = net_env(r->net);
    r->w.mem = &r->mem;
    r->w.until = real_until;
    return 0;
}

int main(int argc, char **argv)
{
    static struct real_world r;
    static struct sim_world x;
    struct options o = {0};
    int i = parse(argc, argv, &o);
    if (!i || o.sim > LAB_ZK_SERVERS)
        return usage();
    for (uint32_t k = 0; o.list && zs_case_at(k); k++)
        puts(zs_case_at(k)->name);
    if (o.list)
        return 0;
    if (o.sim)
        sim_begin(&x, o.sim);
    else if (real_begin(&r, &o))
        return usage();
    struct zs_world *w = o.sim ? &x.w : &r.w;
    w->first = o.first % w->n_servers;
    w->nonce = env_random(w->env) >> 16;
    int failed = 0;
    if (o.random)
        run_random(w, o.random);
    else
        failed = run_all(w, argv + i, argc - i);
    if (o.sim)
        sim_close(x.sim);
    else
        net_close(r.net);
    mem_drop(o.sim ? &x.mem : &r.mem);
    return failed;
}
