/* tests/zk/zk_suite_main.c - the conformance suite against real ZooKeeper servers.
 *
 *   zk-suite --connect 127.0.0.1:2181[,...] --tick 200 [--server N] [--list] [CASE...]
 *
 * --tick: the servers' tickTime in ms.  --server: cases are at the N-th of the servers.
 * Prints a line for each case; status 1 if one failed, 2 if it could not begin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/fmt.h"
#include "net/net.h"
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

static void quiet(void *ctx, enum env_log level, const char *node, const char *line)
{
    (void)ctx, (void)level, (void)node;
    if (getenv("ZS_LOG"))
        fprintf(stderr, "    %s\n", line);
}

static int usage(void)
{
    fprintf(stderr, "usage: zk-suite --connect HOST:PORT[,...] --tick MS [--server N] [--list] "
                    "[CASE...]\n");
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

int main(int argc, char **argv)
{
    static struct real_world r;
    const char *connect = "";
    int i = 1;
    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--list")) {
            for (uint32_t k = 0; zs_case_at(k); k++)
                puts(zs_case_at(k)->name);
            return 0;
        }
        if (i + 1 == argc)
            return usage();
        if (!strcmp(argv[i], "--connect"))
            connect = argv[++i];
        else if (!strcmp(argv[i], "--tick"))
            r.w.tick_ns = atoll(argv[++i]) * zs_ms;
        else if (!strcmp(argv[i], "--server"))
            r.w.first = (uint32_t)atoi(argv[++i]);
        else
            return usage();
    }
    if (r.w.tick_ns <= 0 || !servers(&r.w, connect) || r.w.first >= r.w.n_servers)
        return usage();
    const struct net_config cfg = {.node = "zk-suite", .log = quiet, .log_level = ENV_LOG_DEBUG};
    if (net_open(&cfg, &r.net))
        return 2;
    mem_init(&r.mem, net_mem_source(), 256 << 20);
    r.w.env = net_env(r.net);
    r.w.mem = &r.mem;
    r.w.nonce = env_random(r.w.env) >> 16;
    r.w.until = real_until;
    int failed = run_all(&r.w, argv + i, argc - i);
    net_close(r.net);
    mem_drop(&r.mem);
    return failed;
}
