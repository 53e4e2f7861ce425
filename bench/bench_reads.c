/* bench/bench_reads.c - questions about names, asked of the leader of three masters and of all
 * three: how many are answered, and what each costs the masters.
 *
 * A client keeps so many lookups outstanding and keeps no answer (ask_always); or so many clients,
 * each with a connection of its own, one.  What counts is the processor time of the master that has
 * most to do: on a machine of its own each master answers as many as that lets it, whatever this
 * one has to run beside it.  The two ways are measured in turn. */
#include "bench/bench_masters.h"
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "cluster/tarn.h"

enum { READS_MASTERS = 3, READS_DEPTH_MAX = 512, READS_CLIENTS = 32 };

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

static struct reads_thread {
    pthread_t thread;
    struct tarn *t;
    int64_t end_ns;
    uint64_t n, asides;
    int err;
} reads_thread[READS_WAYS][READS_CLIENTS];

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

static void *reads_main(void *ctx)
{
    struct reads_thread *h = ctx;
    struct client_stats from, to;
    struct fsattr a;
    client_stats(tarn_client(h->t), &from);
    while (!h->err && bench_now_ns() < h->end_ns)
        h->err = tarn_lstat(h->t, "/dir", &a);
    client_stats(tarn_client(h->t), &to);
    h->n = to.requests - from.requests;
    h->asides = to.asides - from.asides;
    return NULL;
}

/* what all of them were answered; 0: an error */
static uint64_t reads_threads(enum reads_way way, double seconds, uint64_t *ret_asides)
{
    uint64_t n = 0;
    bool ok = true;
    for (int i = 0; i < READS_CLIENTS; i++) {
        struct reads_thread *h = &reads_thread[way][i];
        h->end_ns = bench_now_ns() + (int64_t)(seconds * 1e9);
        if (pthread_create(&h->thread, NULL, reads_main, h))
            return 0;
    }
    for (int i = 0; i < READS_CLIENTS; i++) {
        struct reads_thread *h = &reads_thread[way][i];
        pthread_join(h->thread, NULL);
        ok = ok && !h->err;
        n += h->n;
        *ret_asides += h->asides;
    }
    return ok ? n : 0;
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
    uint64_t asides = 0;
    for (int i = 0; i < READS_WAYS * (READS_CLIENTS + 1); i++) {
        struct tarn_options o = tarn_options_default();
        int way = i % READS_WAYS, k = i / READS_WAYS;
        o.client.masters = m->all;
        o.client.ask_always = true;
        o.client.read_any = way == READS_ANY;
        o.client.buffer_bytes = o.client.page_cache_bytes = 4 << 20;
        o.uid = o.gid = 0;
        if (tarn_connect(&o, k ? &reads_thread[way][k - 1].t : &reads_client[way].t))
            return false;
    }
    return !tarn_mkdir(reads_client[0].t, "/dir", 0755) &&
           reads_run(&reads_client[READS_ANY], 8, 0.2) && /* all are connected to all of them */
           reads_threads(READS_ANY, 0.2, &asides);
}

static void reads_close(void)
{
    for (int way = 0; way < READS_WAYS; way++)
        for (int k = 0; k <= READS_CLIENTS; k++) {
            struct tarn *t = k ? reads_thread[way][k - 1].t : reads_client[way].t;
            if (t)
                tarn_disconnect(t);
        }
}

/* what was answered; 0: an error */
static uint64_t reads_measure(struct bench *b, int depth, enum reads_way way, uint64_t *ret_asides)
{
    struct reads_client *c = &reads_client[way];
    struct client_stats from, to;
    *ret_asides = 0;
    if (!depth)
        return reads_threads(way, b->seconds, ret_asides);
    client_stats(tarn_client(c->t), &from);
    if (!reads_run(c, depth, b->seconds))
        return 0;
    client_stats(tarn_client(c->t), &to);
    *ret_asides = to.asides - from.asides;
    return c->n;
}

static bool reads_round(struct bench *b, struct bench_masters *m, int depth, enum reads_way way)
{
    static const char *const names[] = {"leader", "any"};
    double cpu[READS_MASTERS], all = 0, most = 0;
    char text[64], load[32];
    uint64_t asides;
    int row[3];
    snprintf(load, sizeof load, depth ? "%d outstanding" : "%d clients",
             depth ? depth : READS_CLIENTS);
    for (int i = 0; i < 3; i++) {
        static const char *const what[] = {"answers", "CPU of the busiest master",
                                           "CPU of all masters"};
        snprintf(text, sizeof text, "leader, %s: %s", load, what[i]);
        row[i] = bench_row(b, text, i ? "us" : "/s", -1);
        snprintf(text, sizeof text, "%s, %s: %s", names[way], load, what[i]);
        if (way != READS_LEADER)
            row[i] = bench_row(b, text, i ? "us" : "/s", row[i]);
    }
    for (int i = 0; i < READS_MASTERS; i++)
        cpu[i] = reads_cpu_ns(m->proc[i].pid);
    int64_t t0 = bench_now_ns();
    uint64_t n = reads_measure(b, depth, way, &asides);
    if (!n)
        return false;
    bench_sample(b, row[0], (double)n * 1e9 / (double)(bench_now_ns() - t0));
    for (int i = 0; i < READS_MASTERS; i++) {
        double ns = reads_cpu_ns(m->proc[i].pid) - cpu[i];
        all += ns;
        most = ns > most ? ns : most;
    }
    bench_sample(b, row[1], most / 1000 / (double)n);
    bench_sample(b, row[2], all / 1000 / (double)n);
    if (way == READS_ANY) {
        snprintf(text, sizeof text, "any, %s: of standbys", load);
        bench_sample(b, bench_row(b, text, "%", -1), 100.0 * (double)asides / (double)n);
    }
    return true;
}

int bench_reads_main(struct bench *b)
{
    static const int depths[] = {1, 0, 64, 512}; /* 0: many clients */
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
    reads_close();
    bench_masters_close(&m);
    if (code) {
        fprintf(stderr, "tarn bench: see %s\n", dir);
        return code;
    }
    bench_remove(dir);
    bench_report(b);
    return 0;
}
