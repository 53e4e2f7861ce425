/* bench/bench_journal.c - appends to the journal of three masters, beside the least that any quorum
 * costs and beside other systems.
 *
 * All run at once on this machine, three processes each, directories on one file system, and are
 * measured in turn; whoever is not measured is idle.  In-process load: the process that leads makes
 * it (ours, cowsql/raft, the raw quorum).  Over TCP: one client process with one connection to the
 * leader (ours, etcd, ZooKeeper).  Each answers the same lines (bench_load.h) and keeps so many
 * records outstanding, with a new one for each that is done.
 *
 * Beside rates and times stands what other users of the machine change least: processor time of all
 * of a system's processes for one record.
 *
 * Ratios are taken within a round, and their median is what is compared with what is wanted. */
#include "bench/bench_journal.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench_load.h"
#include "bench/bench_masters.h"
#include "bench/bench_zookeeper.h"

enum { MEMBERS = 3, DEPTHS = 4, SIZES = 2 };

static const int bench_journal_depths[DEPTHS] = {1, 8, 64, 512};
static const int bench_journal_sizes[SIZES] = {100, 1024};

enum system {
    RAW,
    COWSQL,
    COWSQL_BATCH,
    TARN,
    ETCD,
    ZK,
    TARN_TCP,
    MASTERS,
    LOCAL,
    SHARED,
    ALONE,
    SYSTEMS
};

static const struct {
    const char *word, *name;
    enum system beside; /* its own: nothing */
} bench_journal_known[SYSTEMS] = {
    [RAW] = {"raw", "raw quorum", RAW},
    [COWSQL] = {"cowsql", "cowsql/raft", RAW},
    [COWSQL_BATCH] = {"batched", "cowsql/raft batched", RAW},
    [TARN] = {"tarn", "tarn", COWSQL},
    [ETCD] = {"etcd", "etcd, TCP", ETCD},
    [ZK] = {"zk", "ZooKeeper, TCP", ZK},
    [TARN_TCP] = {"tcp", "tarn, TCP", ETCD},
    [MASTERS] = {"masters", "tarn masters, TCP", ETCD},
    [LOCAL] = {"local", "tarn, one master", LOCAL},
    [SHARED] = {"shared", "tarn, shared log", LOCAL},
    [ALONE] = {"alone", "tarn, shared log, nobody follows", LOCAL},
};

struct measure {
    double rate, p50_us, p99_us;
    double cpu_us;           /* for one record, in all processes of this system */
    double writes, messages; /* ours: of all members, for one record */
};

struct system_run {
    bool has;
    int ports;
    struct bench_proc member[MEMBERS], client[MEMBERS];
    struct measure m[SIZES][DEPTHS]; /* of this round; rate 0: not measured */
};

struct bench_journal {
    struct bench *b;
    char dir[512];
    struct system_run sys[SYSTEMS];
    struct bench_masters masters;
    struct bench_proc elect[2]; /* the ZooKeeper servers of SHARED, ALONE */
};

static bool bench_journal_wants(const struct bench *b, enum system s)
{
    const char *word = bench_journal_known[s].word;
    size_t n = strlen(word);
    for (const char *at = b->only; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && !strncmp(at, word, n))
            return true;
    return !b->only;
}

static bool bench_journal_dir(struct bench_journal *j, const char *name, int i, char *ret,
                              size_t cap)
{
    snprintf(ret, cap, "%s/%s%d", j->dir, name, i + 1);
    return mkdir(ret, 0755) == 0 || bench_fail(ret);
}

/* --- starting each --- */

static bool bench_journal_start_raw(struct bench_journal *j, struct system_run *s)
{
    char verb[] = "bench", mode[] = "journal-raw", dir[600], log[600], port[3][16];
    for (int i = 0; i < 3; i++)
        snprintf(port[i], sizeof port[i], "%d", s->ports + i);
    snprintf(log, sizeof log, "%s/raw.log", j->dir);
    for (int i = MEMBERS - 1; i >= 0; i--) { /* the first leads, and connects to the others */
        if (!bench_journal_dir(j, "raw", i, dir, sizeof dir))
            return false;
        char *argv[] = {j->b->self,         verb, mode, dir, port[i], i ? NULL : port[1],
                        i ? NULL : port[2], NULL};
        if (!bench_proc_start(&s->member[i], argv, log, true))
            return false;
    }
    return true;
}

static bool bench_journal_start_cowsql(struct bench_journal *j, struct system_run *s)
{
    char program[600], dir[600], log[600], addr[MEMBERS][32], one[] = "one", batch[] = "batch";
    bool batches = s == &j->sys[COWSQL_BATCH];
    if (!bench_proc_beside(j->b, "bench-raft_cowsql", program, sizeof program)) {
        fprintf(stderr, "cowsql/raft left out: not built (package libraft-dev)\n");
        return s->has = false, true;
    }
    for (int i = 0; i < MEMBERS; i++)
        snprintf(addr[i], sizeof addr[i], "127.0.0.1:%d", s->ports + i);
    snprintf(log, sizeof log, "%s/cowsql.log", j->dir);
    for (int i = 0; i < MEMBERS; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i + 1);
        char *argv[] = {program, batches ? batch : one, id, dir, addr[0], addr[1], addr[2], NULL};
        if (!bench_journal_dir(j, batches ? "batched" : "cowsql", i, dir, sizeof dir) ||
            !bench_proc_start(&s->member[i], argv, log, true))
            return false;
    }
    return true;
}

/* n members; of: what is between them (bench_journal.h) */
static bool bench_journal_nodes(struct bench_journal *j, struct system_run *s, const char *name,
                                int n, char *of)
{
    char verb[] = "bench", mode[] = "journal-node", dir[600], log[600];
    for (int i = 0; i < n; i++) {
        char id[16], addr[32];
        snprintf(id, sizeof id, "%d", i + 1);
        snprintf(addr, sizeof addr, "127.0.0.1:%d", s->ports + i);
        snprintf(log, sizeof log, "%s/%s%d.log", j->dir, name, i + 1);
        char *argv[] = {j->b->self, verb, mode, id, dir, addr, of, NULL};
        if (!bench_journal_dir(j, name, i, dir, sizeof dir) ||
            !bench_proc_start(&s->member[i], argv, log, true))
            return false;
    }
    return true;
}

static bool bench_journal_start_ours(struct bench_journal *j, struct system_run *s)
{
    char members[128];
    for (int i = 0, n = 0; i < MEMBERS; i++)
        n += snprintf(members + n, sizeof members - (size_t)n, "%s%d@127.0.0.1:%d", i ? "," : "",
                      i + 1, s->ports + i);
    return bench_journal_nodes(j, s, "tarn", MEMBERS, members);
}

static bool bench_journal_start_etcd(struct bench_journal *j, struct system_run *s)
{
    char program[] = "etcd", client[600], dir[600], log[600], cluster[256];
    if (!bench_proc_beside(j->b, "bench-etcd", client, sizeof client) ||
        system("command -v etcd > /dev/null")) {
        fprintf(stderr, "etcd left out: packages etcd-server and libnghttp2-dev (then build)\n");
        return s->has = false, true;
    }
    snprintf(
        cluster, sizeof cluster,
        "--initial-cluster=m1=http://127.0.0.1:%d,m2=http://127.0.0.1:%d,m3=http://127.0.0.1:%d",
        s->ports + 3, s->ports + 4, s->ports + 5);
    snprintf(log, sizeof log, "%s/etcd.log", j->dir);
    for (int i = 0; i < MEMBERS; i++) {
        char name[16], data[700], urls[4][80], quiet[] = "--log-level=error",
                                               quota[] = "--quota-backend-bytes=8589934592";
        snprintf(name, sizeof name, "--name=m%d", i + 1);
        if (!bench_journal_dir(j, "etcd", i, dir, sizeof dir))
            return false;
        snprintf(data, sizeof data, "--data-dir=%s", dir);
        for (int k = 0; k < 4; k++)
            snprintf(urls[k], sizeof urls[k], "--%s=http://127.0.0.1:%d",
                     (const char *[]){"listen-client-urls", "advertise-client-urls",
                                      "listen-peer-urls", "initial-advertise-peer-urls"}[k],
                     s->ports + i + (k < 2 ? 0 : 3));
        char *argv[] = {program, name,    data,  urls[0], urls[1], urls[2],
                        urls[3], cluster, quiet, quota,   NULL};
        if (!bench_proc_start(&s->member[i], argv, log, false))
            return false;
    }
    return true;
}

static bool bench_journal_start_zk(struct bench_journal *j, struct system_run *s)
{
    char client[600], dir[600], log[600], servers[200];
    if (!bench_proc_beside(j->b, "bench-zookeeper", client, sizeof client) ||
        !bench_zookeeper_is_there()) {
        fprintf(stderr, "ZooKeeper left out: packages zookeeper and libzookeeper-mt-dev (then "
                        "build)\n");
        return s->has = false, true;
    }
    snprintf(log, sizeof log, "%s/zk.log", j->dir);
    for (int k = 0, n = 0; k < MEMBERS; k++)
        n += snprintf(servers + n, sizeof servers - (size_t)n, "server.%d=127.0.0.1:%d:%d\n", k + 1,
                      s->ports + 3 + k, s->ports + 6 + k);
    for (int i = 0; i < MEMBERS; i++)
        if (!bench_journal_dir(j, "zk", i, dir, sizeof dir) ||
            !bench_zookeeper_start(&s->member[i], dir, log, s->ports + i, i + 1, servers))
            return false;
    return true;
}

/* the journal of one master, and the one that lies on a shared directory */
static bool bench_journal_start_local(struct bench_journal *j, struct system_run *s)
{
    char of[] = "local";
    return bench_journal_nodes(j, s, "local", 1, of);
}

static bool bench_journal_start_shared(struct bench_journal *j, struct system_run *s)
{
    char dir[600], log[600], of[700];
    bool is_alone = s == &j->sys[ALONE];
    if (!bench_zookeeper_is_there()) {
        fprintf(stderr, "the shared log left out: package zookeeper\n");
        return s->has = false, true;
    }
    snprintf(log, sizeof log, "%s/elect%d.log", j->dir, is_alone + 1);
    snprintf(of, sizeof of, "zk 127.0.0.1:%d %s/log%d", s->ports + MEMBERS, j->dir, is_alone + 1);
    return bench_journal_dir(j, "elect", is_alone, dir, sizeof dir) &&
           bench_zookeeper_start(&j->elect[is_alone], dir, log, s->ports + MEMBERS, 1, NULL) &&
           bench_journal_nodes(j, s, is_alone ? "alone" : "shared", is_alone ? 1 : MEMBERS, of);
}

static bool bench_journal_start_masters(struct bench_journal *j, struct system_run *s)
{
    if (!bench_masters_open(&j->masters, j->b, j->dir, MEMBERS, s->ports, "256MiB"))
        return false;
    for (int i = 0; i < MEMBERS; i++)
        s->member[i].pid = j->masters.proc[i].pid; /* for their processor time */
    return true;
}

/* --- who leads, and who makes the load --- */

/* ZooKeeper's own answer to "srvr" */
static bool bench_journal_zk_leads(int port)
{
    char command[160];
    snprintf(command, sizeof command,
             "exec 2> /dev/null; (exec 3<> /dev/tcp/127.0.0.1/%d && echo srvr >&3 && timeout 2 cat "
             "<&3) | grep -q 'Mode: leader'",
             port);
    char line[200];
    snprintf(line, sizeof line, "bash -c \"%s\"", command);
    return system(line) == 0;
}

static bool bench_journal_says_leads(struct bench_proc *p)
{
    char line[256];
    return p->pid && bench_proc_ask(p, "leads", line, sizeof line, 3000) &&
           !strcmp(line, "leads 1");
}

/* a client of member i, if there is none yet */
static struct bench_proc *bench_journal_client_of(struct bench_journal *j, enum system which, int i)
{
    struct system_run *s = &j->sys[which];
    char program[600], verb[] = "bench", mode[] = "journal-client", meta[] = "journal-meta",
                       addr[32], log[600];
    if (s->client[i].pid)
        return &s->client[i];
    snprintf(log, sizeof log, "%s/client.log", j->dir);
    if (which == MASTERS) {
        char *args[] = {j->b->self, verb, meta, j->masters.all, NULL};
        return bench_proc_start(&s->client[i], args, log, true) ? &s->client[i] : NULL;
    }
    if (which == TARN_TCP) {
        snprintf(addr, sizeof addr, "127.0.0.1:%d", j->sys[TARN].ports + i);
        char *argv[] = {j->b->self, verb, mode, addr, NULL};
        return bench_proc_start(&s->client[i], argv, log, true) ? &s->client[i] : NULL;
    }
    snprintf(addr, sizeof addr, "%d", s->ports + i);
    bench_proc_beside(j->b, which == ETCD ? "bench-etcd" : "bench-zookeeper", program,
                      sizeof program);
    char *argv[] = {program, addr, NULL};
    return bench_proc_start(&s->client[i], argv, log, true) ? &s->client[i] : NULL;
}

/* the process that makes the load: of the leader, or its client; NULL: nobody leads for 30 s */
static struct bench_proc *bench_journal_loader(struct bench_journal *j, enum system which)
{
    struct system_run *s = &j->sys[which];
    int members = which == LOCAL || which == ALONE ? 1 : MEMBERS;
    int64_t limit = bench_now_ns() + 30000000000LL;
    if (which == RAW)
        return bench_journal_says_leads(&s->member[0]) ? &s->member[0] : NULL;
    for (; bench_now_ns() < limit; usleep(50000))
        for (int i = 0; i < members; i++) {
            struct bench_proc *p;
            switch (which) {
            case TARN:
            case COWSQL:
            case COWSQL_BATCH:
            case LOCAL:
            case SHARED:
            case ALONE:
                if (bench_journal_says_leads(&s->member[i]))
                    return &s->member[i];
                break;
            case TARN_TCP:
                if (bench_journal_says_leads(&j->sys[TARN].member[i]))
                    return bench_journal_client_of(j, which, i);
                break;
            case ETCD:
                p = bench_journal_client_of(j, which, i);
                if (p && bench_journal_says_leads(p))
                    return p;
                if (p) /* perhaps the server was not ready */
                    bench_proc_kill(p);
                break;
            case ZK:
                if (bench_journal_zk_leads(s->ports + i))
                    return bench_journal_client_of(j, which, i);
                break;
            case MASTERS: /* it finds the leader itself, and goes after it */
                return bench_journal_client_of(j, which, 0);
            case RAW:
            case SYSTEMS:
                break;
            }
        }
    return NULL;
}

/* processor time of all processes of a system so far */
static double bench_journal_cpu_us(const struct bench_journal *j, enum system which)
{
    const struct system_run *s = &j->sys[which],
                            *servers = &j->sys[which == TARN_TCP ? TARN : which];
    double us = 0;
    for (int i = 0; i < 2 * MEMBERS; i++) {
        pid_t pid = i < MEMBERS ? servers->member[i].pid : s->client[i - MEMBERS].pid;
        clockid_t clock;
        struct timespec t;
        if (pid && !clock_getcpuclockid(pid, &clock) && !clock_gettime(clock, &t))
            us += (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
    }
    return us;
}

/* what our members have written and sent to each other so far */
static void bench_journal_counts(struct bench_journal *j, double *ret_writes, double *ret_messages)
{
    *ret_writes = *ret_messages = 0;
    for (int i = 0; i < MEMBERS; i++) {
        char line[512];
        struct bench_proc *p = &j->sys[TARN].member[i];
        if (!p->pid || !bench_proc_ask(p, "status", line, sizeof line, 5000))
            continue;
        const char *writes = strstr(line, " batches "), *messages = strstr(line, " messages ");
        *ret_writes += writes ? atof(writes + 9) : 0;
        *ret_messages += messages ? atof(messages + 10) : 0;
    }
}

static bool bench_journal_measure(struct bench_journal *j, enum system which, int size, int depth,
                                  struct measure *ret)
{
    char question[64], line[256] = "no leader";
    unsigned long long n, ns, p50, p99;
    int ms = (int)(j->b->seconds * 1000);
    const char *name = bench_journal_known[which].name;
    snprintf(question, sizeof question, "run %d %d %d", depth, size, ms > 10 ? ms : 10);
    for (int tries = 0; tries < 3; tries++) { /* on a busy machine its leader may change */
        struct bench_proc *p = bench_journal_loader(j, which);
        if (!p)
            break;
        bool ours = which == TARN || which == TARN_TCP;
        double cpu = bench_journal_cpu_us(j, which), writes[2], messages[2];
        if (ours)
            bench_journal_counts(j, &writes[0], &messages[0]);
        if (!bench_proc_ask(p, question, line, sizeof line, ms + 30000))
            snprintf(line, sizeof line, "no answer");
        if (sscanf(line, "ran %llu %llu %llu %llu", &n, &ns, &p50, &p99) == 4) {
            /* the warm-up was not counted, but took its tenth */
            double all = (n ? (double)n : 1) / 0.9;
            *ret = (struct measure){.rate = (double)n * 1e9 / (double)ns,
                                    .p50_us = (double)p50 / 1e3,
                                    .p99_us = (double)p99 / 1e3,
                                    .cpu_us = (bench_journal_cpu_us(j, which) - cpu) / all};
            if (ours) {
                bench_journal_counts(j, &writes[1], &messages[1]);
                ret->writes = (writes[1] - writes[0]) / all;
                ret->messages = (messages[1] - messages[0]) / all;
            }
            return true;
        }
        fprintf(stderr, "tarn bench: %s, %d B, %d outstanding: %s; see %s\n", name, size, depth,
                line, j->dir);
        if (strncmp(line, "failed", 6))
            break;
    }
    fprintf(stderr, "tarn bench: %s: %s\n", name, line);
    return false;
}

/* --- rows --- */

static int bench_journal_rows(struct bench_journal *j, enum system s, int size, int depth)
{
    struct bench *b = j->b;
    enum system beside = bench_journal_known[s].beside;
    char name[64];
    int base = -1;
    if (beside != s && j->sys[beside].has)
        base = bench_journal_rows(j, beside, size, depth);
    int first = 0;
    static const char *const what[] = {"",         ", p50",     ", p99", ", processor",
                                       ", writes", ", messages"};
    static const char *const unit[] = {"op/s", "us", "us", "us", "/rec", "/rec"};
    for (int k = 0; k < (s == TARN || s == TARN_TCP ? 6 : 4); k++) {
        snprintf(name, sizeof name, "%s: %d B, %d outstanding%s", bench_journal_known[s].name, size,
                 depth, what[k]);
        int row = bench_row(b, name, unit[k], base < 0 || k > 3 ? -1 : base + k);
        first = k ? first : row;
    }
    return first;
}

/* wanted at most, or at least; of this round */
static void bench_journal_target(struct bench *b, const char *what, int size, double have,
                                 double over, bool at_most, double wanted)
{
    char name[64];
    if (have <= 0 || over <= 0)
        return;
    snprintf(name, sizeof name, "%s, %d B (%s %.1f)", what, size, at_most ? "<=" : ">=", wanted);
    bench_sample(b, bench_row(b, name, "x", -1), have / over);
}

static void bench_journal_ratio(struct bench *b, const char *what, int size, double have,
                                double over)
{
    char name[64];
    snprintf(name, sizeof name, "%s, %d B", what, size);
    if (have > 0 && over > 0)
        bench_sample(b, bench_row(b, name, "x", -1), have / over);
}

static void bench_journal_targets(struct bench_journal *j)
{
    for (int i = 0; i < SIZES; i++) {
        int size = bench_journal_sizes[i];
        const struct measure *raw = j->sys[RAW].m[i], *cowsql = j->sys[COWSQL].m[i],
                             *tarn = j->sys[TARN].m[i], *etcd = j->sys[ETCD].m[i],
                             *zk = j->sys[ZK].m[i], *tcp = j->sys[TARN_TCP].m[i];
        bench_journal_target(j->b, "p50 at 1, tarn / raw quorum", size, tarn[0].p50_us,
                             raw[0].p50_us, true, 1.2);
        bench_journal_target(j->b, "p50 at 1, tarn / cowsql", size, tarn[0].p50_us,
                             cowsql[0].p50_us, true, 1.0);
        bench_journal_target(j->b, "rate at 64, tarn / cowsql", size, tarn[2].rate, cowsql[2].rate,
                             false, 2);
        bench_journal_target(j->b, "rate at 512, tarn / cowsql", size, tarn[3].rate, cowsql[3].rate,
                             false, 2);
        const struct measure *batched = j->sys[COWSQL_BATCH].m[i];
        bench_journal_ratio(j->b, "rate at 64, tarn / cowsql batched", size, tarn[2].rate,
                            batched[2].rate);
        bench_journal_ratio(j->b, "rate at 512, tarn / cowsql batched", size, tarn[3].rate,
                            batched[3].rate);
        bench_journal_ratio(j->b, "p99 / p50 at 64, raw quorum", size, raw[2].p99_us,
                            raw[2].p50_us);
        bench_journal_target(j->b, "p99 / p50 at 64, tarn", size, tarn[2].p99_us, tarn[2].p50_us,
                             true, 5);
        bench_journal_ratio(j->b, "p99 at 64, tarn / raw quorum", size, tarn[2].p99_us,
                            raw[2].p99_us);
        bench_journal_target(j->b, "rate at 64 over TCP, tarn / etcd", size, tcp[2].rate,
                             etcd[2].rate, false, 4);
        bench_journal_target(j->b, "rate at 64 over TCP, tarn / ZooKeeper", size, tcp[2].rate,
                             zk[2].rate, false, 8);
        bench_journal_target(j->b, "rate at 64, shared log / one master", size,
                             j->sys[SHARED].m[i][2].rate, j->sys[LOCAL].m[i][2].rate, false, 0.8);
        bench_journal_ratio(j->b, "the same, nobody follows", size, j->sys[ALONE].m[i][2].rate,
                            j->sys[LOCAL].m[i][2].rate);
        const struct measure *masters = j->sys[MASTERS].m[i];
        bench_journal_ratio(j->b, "rate at 64 over TCP, tarn masters / etcd", size, masters[2].rate,
                            etcd[2].rate);
        bench_journal_ratio(j->b, "rate at 64 over TCP, tarn masters / ZK", size, masters[2].rate,
                            zk[2].rate);
    }
}

/* what the disk itself does, one process and one write at a time, before each round */
static bool bench_journal_disk(struct bench_journal *j)
{
    static struct bench_load l;
    static const char *const name[4] = {"disk: durable write of 4 KiB, p50", "disk: p90",
                                        "disk: p99", "disk: p99.9"};
    static const uint64_t of_1000[4] = {500, 900, 990, 999};
    char line[64], path[600];
    void *block = NULL;
    snprintf(path, sizeof path, "%s/disk", j->dir);
    snprintf(line, sizeof line, "run 1 4096 %d", (int)(j->b->seconds * 1000) + 10);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && !posix_memalign(&block, 4096, 1 << 20);
    if (ok) {
        memset(block, 0, 1 << 20);
        for (off_t at = 0; at < 16 << 20 && ok; at += 1 << 20) /* written before, as a segment is */
            ok = pwrite(fd, block, 1 << 20, at) == 1 << 20;
        off_t at = 0;
        int64_t began;
        ok = ok && bench_load_parse(&l, line);
        do {
            began = bench_load_now_ns();
            ok = ok && pwrite(fd, block, 4096, at) == 4096;
            at = (at + 4096) % (16 << 20);
        } while (ok && bench_load_done(&l, began));
    }
    for (int i = 0; i < 4 && ok; i++)
        bench_sample(j->b, bench_row(j->b, name[i], "us", -1),
                     (double)bench_load_quantile(&l, of_1000[i]) / 1e3);
    if (fd >= 0)
        close(fd);
    free(block);
    return ok || bench_fail(path);
}

static bool bench_journal_round(struct bench_journal *j)
{
    if (j->sys[RAW].has && !bench_journal_disk(j))
        return false;
    for (int i = 0; i < SIZES; i++)
        for (int k = 0; k < DEPTHS; k++)
            for (int s = 0; s < SYSTEMS; s++) {
                struct measure *m = &j->sys[s].m[i][k];
                int size = bench_journal_sizes[i], depth = bench_journal_depths[k];
                memset(m, 0, sizeof *m);
                if (!j->sys[s].has || (j->b->depth && j->b->depth != depth))
                    continue;
                if (!bench_journal_measure(j, (enum system)s, size, depth, m))
                    return false;
                int row = bench_journal_rows(j, (enum system)s, size, depth);
                bench_sample(j->b, row, m->rate);
                bench_sample(j->b, row + 1, m->p50_us);
                bench_sample(j->b, row + 2, m->p99_us);
                bench_sample(j->b, row + 3, m->cpu_us);
                if (s == TARN || s == TARN_TCP) {
                    bench_sample(j->b, row + 4, m->writes);
                    bench_sample(j->b, row + 5, m->messages);
                }
            }
    bench_journal_targets(j);
    return true;
}

static bool bench_journal_start(struct bench_journal *j)
{
    static bool (*const start[SYSTEMS])(struct bench_journal * j, struct system_run * s) = {
        [RAW] = bench_journal_start_raw,
        [COWSQL] = bench_journal_start_cowsql,
        [COWSQL_BATCH] = bench_journal_start_cowsql,
        [TARN] = bench_journal_start_ours,
        [ETCD] = bench_journal_start_etcd,
        [ZK] = bench_journal_start_zk,
        [MASTERS] = bench_journal_start_masters,
        [LOCAL] = bench_journal_start_local,
        [SHARED] = bench_journal_start_shared,
        [ALONE] = bench_journal_start_shared,
    };
    int ports = bench_proc_ports(SYSTEMS * 10);
    if (!ports)
        return false;
    for (int s = 0; s < SYSTEMS; s++) {
        j->sys[s].has = bench_journal_wants(j->b, (enum system)s);
        j->sys[s].ports = ports + 10 * s;
    }
    for (int s = 0; s < SYSTEMS; s++)
        if (start[s] && (j->sys[s].has || (s == TARN && j->sys[TARN_TCP].has)) &&
            !start[s](j, &j->sys[s]))
            return false;
    return true;
}

/* once, unmeasured: connections, files that are made at first use, what a virtual machine compiles
 */
static bool bench_journal_warm(struct bench_journal *j)
{
    struct measure m;
    for (int s = 0; s < SYSTEMS; s++)
        if (j->sys[s].has && !bench_journal_measure(j, (enum system)s, 100, 64, &m))
            return false;
    return true;
}

int bench_journal_main(struct bench *b)
{
    static struct bench_journal j;
    j.b = b;
    if (!bench_temp_dir(b, j.dir, sizeof j.dir))
        return 1;
    b->title = "appends to a journal of three masters, all processes on this machine";
    snprintf(b->params, sizeof b->params, "%.2g s each", b->seconds);
    bool ok = bench_journal_start(&j) && bench_journal_warm(&j);
    for (int round = 0; ok && round < b->rounds; round++) {
        ok = bench_journal_round(&j);
        fprintf(stderr, "round %d of %d\n", round + 1, b->rounds);
    }
    for (int s = 0; s < SYSTEMS; s++)
        for (int i = 0; i < MEMBERS; i++) {
            bench_proc_kill(&j.sys[s].client[i]);
            if (s != MASTERS)
                bench_proc_kill(&j.sys[s].member[i]);
        }
    bench_proc_kill(&j.elect[0]);
    bench_proc_kill(&j.elect[1]);
    bench_masters_close(&j.masters);
    if (ok && b->n_rows)
        bench_report(b);
    if (ok)
        bench_remove(j.dir);
    if (ok && !b->n_rows)
        fprintf(stderr, "tarn bench: --only %s: nothing to measure\n", b->only ? b->only : "");
    return !ok ? 1 : b->n_rows ? 0 : 2;
}
