/* bench/bench_reads.c - questions about names, asked of the leader of three masters and of all
 * three: how many are answered, and what each costs the masters.
 *
 * One client keeps so many lookups outstanding and keeps no answer (ask_always).  What counts is
 * the processor time of the master that has most to do: on a machine of its own each master
 * answers as many as that lets it, whatever this one has to run beside it.  The two ways are
 * measured in turn. */
#include "bench/bench_masters.h"
#include <string.h>
#include <unistd.h>
#include "cluster/tarn.h"

enum { READS_MASTERS = 3, READS_DEPTH_MAX = 512 };

enum reads_way { READS_LEADER, READS_ANY, READS_WAYS };

struct reads_slot {
    struct client_req req;
    struct reads_client *c;
};

static struct reads_client {
    struct tarn *t;
    struct reads_slot slot[READS_DEPTH_MAX];
    int64_t end_ns;
    uint64_t n, failed;
    int busy;
    bool over;
} reads_client[READS_WAYS];

static void reads_submit(struct reads_slot *s);

static void reads_answered(struct env_op *op)
{
    struct reads_slot *s =
        container_of(container_of(op, struct client_req, op), struct reads_slot, req);
    s->c->n++;
    s->c->failed += op->ret != 0;
    if (bench_now_ns() < s->c->end_ns)
        reads_submit(s);
    else
        s->c->over = --s->c->busy == 0;
}

static void reads_submit(struct reads_slot *s)
{
    memset(&s->req, 0, sizeof s->req);
    s->req.op.done = reads_answered;
    s->req.fsop = (struct fsop){.kind = FSOP_LOOKUP, .ino = INO_ROOT, .name = "dir", .name_len = 3};
    client_fs(tarn_client(s->c->t), &s->req);
}

static bool reads_run(struct reads_client *c, int depth, double seconds)
{
    c->n = c->failed = 0;
    c->over = false;
    c->busy = depth;
    c->end_ns = bench_now_ns() + (int64_t)(seconds * 1e9);
    for (int i = 0; i < depth; i++) {
        c->slot[i].c = c;
        reads_submit(&c->slot[i]);
    }
    int err = tarn_run_until(c->t, &c->over, env_now_ns(tarn_env(c->t)) + 120000000000LL);
    if (err || c->failed)
        fprintf(stderr, "tarn bench: %llu of %llu reads failed\n", (unsigned long long)c->failed,
                (unsigned long long)c->n);
    return !err && !c->failed;
}

/* processor time of a process until now, all of its threads; ns */
static double reads_cpu_ns(pid_t pid)
{
    char path[64];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                     &system) != 2)
        user = system = 0;
    if (f)
        fclose(f);
    return (double)(user + system) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

static bool reads_open(struct bench_masters *m)
{
    for (int way = 0; way < READS_WAYS; way++) {
        struct tarn_options o = tarn_options_default();
        o.client.masters = m->all;
        o.client.ask_always = true;
        o.client.read_any = way == READS_ANY;
        o.uid = o.gid = 0;
        if (tarn_connect(&o, &reads_client[way].t))
            return false;
    }
    return !tarn_mkdir(reads_client[0].t, "/dir", 0755) &&
           reads_run(&reads_client[READS_ANY], 8, 0.2); /* it is connected to all of them */
}

static bool reads_round(struct bench *b, struct bench_masters *m, int depth, enum reads_way way)
{
    static const char *const names[] = {"leader", "any"};
    struct reads_client *c = &reads_client[way];
    struct client_stats from, to;
    double cpu[READS_MASTERS], all = 0, most = 0;
    char text[64];
    int row[3];
    for (int i = 0; i < 3; i++) {
        static const char *const what[] = {"answers", "CPU of the busiest master",
                                           "CPU of all masters"};
        snprintf(text, sizeof text, "leader, %d outstanding: %s", depth, what[i]);
        row[i] = bench_row(b, text, i ? "us" : "/s", -1);
        snprintf(text, sizeof text, "%s, %d outstanding: %s", names[way], depth, what[i]);
        if (way != READS_LEADER)
            row[i] = bench_row(b, text, i ? "us" : "/s", row[i]);
    }
    for (int i = 0; i < READS_MASTERS; i++)
        cpu[i] = reads_cpu_ns(m->proc[i].pid);
    client_stats(tarn_client(c->t), &from);
    int64_t t0 = bench_now_ns();
    if (!reads_run(c, depth, b->seconds))
        return false;
    bench_sample(b, row[0], (double)c->n * 1e9 / (double)(bench_now_ns() - t0));
    client_stats(tarn_client(c->t), &to);
    for (int i = 0; i < READS_MASTERS; i++) {
        double ns = reads_cpu_ns(m->proc[i].pid) - cpu[i];
        all += ns;
        most = ns > most ? ns : most;
    }
    bench_sample(b, row[1], most / 1000 / (double)c->n);
    bench_sample(b, row[2], all / 1000 / (double)c->n);
    if (way == READS_ANY) {
        snprintf(text, sizeof text, "any, %d outstanding: of standbys", depth);
        bench_sample(b, bench_row(b, text, "%", -1),
                     100.0 * (double)(to.asides - from.asides) / (double)c->n);
    }
    return true;
}

int bench_reads_main(struct bench *b)
{
    static const int depths[] = {1, 64, 512};
    static struct bench_masters m;
    char dir[512];
    int ports = bench_proc_ports(READS_MASTERS), code = 1;
    if (!ports || !bench_temp_dir(b, dir, sizeof dir))
        return 1;
    b->title = "questions to three masters: to the leader, and to all in turn";
    snprintf(b->params, sizeof b->params, "lookups of one name, no cache; CPU for each answer");
    if (bench_masters_open(&m, b, dir, READS_MASTERS, ports, "256MiB") &&
        bench_masters_leader(&m, true, 60000) >= 0 && reads_open(&m)) {
        code = 0;
        for (int r = 0; r < b->rounds && !code; r++)
            for (size_t d = 0; d < sizeof depths / sizeof depths[0] && !code; d++)
                for (int way = 0; way < READS_WAYS && !code; way++)
                    if (!b->depth || b->depth == depths[d])
                        code = reads_round(b, &m, depths[d], (enum reads_way)way) ? 0 : 1;
    }
    for (int way = 0; way < READS_WAYS; way++)
        if (reads_client[way].t)
            tarn_disconnect(reads_client[way].t);
    bench_masters_close(&m);
    if (code) {
        fprintf(stderr, "tarn bench: see %s\n", dir);
        return code;
    }
    bench_remove(dir);
    bench_report(b);
    return 0;
}
