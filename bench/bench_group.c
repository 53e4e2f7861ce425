/* bench/bench_group.c - three members of a group of masters, and a load by whoever leads (see
 * bench_calibrate.h; the members are those of bench_journal_node.c). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench_calibrate.h"

bool bench_group_open(struct bench_group *g, struct bench *b, const char *dir)
{
    char verb[] = "bench", mode[] = "journal-node", log[720], members[128];
    memset(g, 0, sizeof *g);
    snprintf(g->dir, sizeof g->dir, "%s", dir);
    g->ports = bench_proc_ports(GROUP_MEMBERS);
    if (!g->ports)
        return false;
    for (int i = 0, n = 0; i < GROUP_MEMBERS; i++)
        n += snprintf(members + n, sizeof members - (size_t)n, "%s%d@127.0.0.1:%d", i ? "," : "",
                      i + 1, g->ports + i);
    for (int i = 0; i < GROUP_MEMBERS; i++) {
        char id[16], addr[32], own[700];
        snprintf(id, sizeof id, "%d", i + 1);
        snprintf(addr, sizeof addr, "127.0.0.1:%d", g->ports + i);
        snprintf(own, sizeof own, "%s/member%d", g->dir, i + 1);
        snprintf(log, sizeof log, "%s.log", own);
        char *argv[] = {b->self, verb, mode, id, own, addr, members, NULL};
        if (mkdir(own, 0755) || !bench_proc_start(&g->member[i], argv, log, true))
            return bench_fail(own);
    }
    return true;
}

void bench_group_close(struct bench_group *g)
{
    for (int i = 0; i < GROUP_MEMBERS; i++)
        bench_proc_kill(&g->member[i]);
}

/* -1: nobody leads for 30 s */
static int bench_group_leader(struct bench_group *g)
{
    char line[256];
    for (int64_t limit = bench_now_ns() + 30000000000LL; bench_now_ns() < limit; usleep(50000))
        for (int i = 0; i < GROUP_MEMBERS; i++)
            if (bench_proc_ask(&g->member[i], "leads", line, sizeof line, 3000) &&
                !strcmp(line, "leads 1"))
                return i;
    return -1;
}

static double bench_group_field(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    return at ? atof(at + strlen(name)) : 0;
}

static bool bench_group_counts(struct bench_group *g, struct bench_group_counts *ret)
{
    for (int i = 0; i < GROUP_MEMBERS; i++) {
        char line[1000];
        clockid_t clock;
        struct timespec t;
        if (!bench_proc_ask(&g->member[i], "status", line, sizeof line, 5000) ||
            clock_getcpuclockid(g->member[i].pid, &clock) || clock_gettime(clock, &t))
            return false;
        ret[i] = (struct bench_group_counts){.cpu_ns = (double)t.tv_sec * 1e9 + (double)t.tv_nsec,
                                             .turns = bench_group_field(line, " turns "),
                                             .reads = bench_group_field(line, " reads "),
                                             .writes = bench_group_field(line, " writes "),
                                             .io = bench_group_field(line, " io "),
                                             .wire = bench_group_field(line, " wire ")};
    }
    return true;
}

/* one try; line: what it said */
static bool bench_group_try(struct bench_group *g, const char *question, int ms, char *line,
                            size_t cap, struct bench_group_ran *ret)
{
    struct bench_group_counts before[GROUP_MEMBERS];
    unsigned long long n, ns, p50, p99;
    snprintf(line, cap, "no leader");
    ret->leader = bench_group_leader(g);
    if (ret->leader < 0 || !bench_group_counts(g, before))
        return false;
    if (!bench_proc_ask(&g->member[ret->leader], question, line, cap, ms + 30000) ||
        sscanf(line, "ran %llu %llu %llu %llu", &n, &ns, &p50, &p99) != 4 || !n ||
        !bench_group_counts(g, ret->of))
        return false;
    ret->rate = (double)n * 1e9 / (double)ns;
    ret->p50_us = (double)p50 / 1e3;
    ret->p99_us = (double)p99 / 1e3;
    ret->records = (double)n / 0.9; /* the warm-up takes its tenth */
    for (int i = 0; i < GROUP_MEMBERS; i++) {
        ret->of[i].cpu_ns -= before[i].cpu_ns;
        ret->of[i].turns -= before[i].turns;
        ret->of[i].reads -= before[i].reads;
        ret->of[i].writes -= before[i].writes;
        ret->of[i].io -= before[i].io;
        ret->of[i].wire -= before[i].wire;
    }
    return true;
}

bool bench_group_run(struct bench_group *g, int depth, int size, int ms,
                     struct bench_group_ran *ret)
{
    char question[64], line[256];
    ms = ms > 10 ? ms : 10;
    snprintf(question, sizeof question, "run %d %d %d", depth, size, ms);
    for (int tries = 0; tries < 8;
         tries++) /* on a busy machine its leader may change, or nothing is done in time */
        if (bench_group_try(g, question, ms, line, sizeof line, ret))
            return true;
    fprintf(stderr, "tarn bench: journals, %d B, %d outstanding: %s; see %s\n", size, depth, line,
            g->dir);
    return false;
}
