/* bench/bench_calibrate.c - measures this machine and writes a model of it for the simulator (the
 * file's form: sim/lab_measured.h).
 *
 * Everything goes through the daemons' own code: processes of bench_calibrate_node.c, and, for what
 * a record costs its processes, a group of journals.  What is measured:
 *
 *   disk   durable writes by size and by how many are under way on the disk: of one process, two,
 *          three, and three with several each, as three masters on one disk have
 *   net    round trips by size
 *   quorum the least that one takes: a block written here and by one of two others who are told;
 *          it goes into nothing, but shows how far the parts make the whole
 *   wake   the same round trip with both processes on one processor, which never sleeps then: half
 *          of what it is faster by is what waking an idle processor takes
 *   cpu    of a turn: turns in which nothing happens.  Of a write to a connection and a read: a
 *          stream of small frames that nobody answers, one a turn, but no more than a round trip on
 *          one processor takes; of a byte: of large ones.  Of a disk operation: the writes above.
 *          Of a record and its bytes: what is left of the processor time of a group under a load of
 *          two sizes when all that is taken off
 *
 * The latter is processor time, at 256 outstanding, of records of 256 B and 2 KiB, and at 1
 * outstanding for what a batch takes beside its records: no latency and no rate of a journal goes
 * into the model.
 *
 * What is seen of a write or a round trip is more than the disk and the wire: bench_calibrate_fit.c
 * takes off what the simulator has by itself.
 *
 * A round measures each once; the model has the medians over rounds (and processes) of each
 * quantile, and of each cost. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench_calibrate.h"

static_assert((int)CALIBRATE_POINTS == (int)SIM_POINTS, "tables as the simulator has them");

enum { NODES = 3, SIZES = 4, LEVELS = 5, WAYS = 5, ROUNDS = 32, RECORDS = 2, STREAMS = 2 };
enum { RECORD_DEPTH = 256 };

static const int cal_sizes[SIZES] = {4096, 16384, 65536, 262144};
static const struct {
    int nodes, depth;
} cal_levels[LEVELS] = {{1, 1}, {2, 1}, {3, 1}, {3, 2}, {3, 4}};
static const int cal_ways[WAYS] = {100, 1024, 4096, 16384, 65536};
static const int cal_streams[STREAMS] = {100, 16384};
static const int cal_records[RECORDS] = {256, 2048};

struct took {
    unsigned long long n, turns, ops;
    long long ns, cpu_ns, point[CALIBRATE_POINTS];
};

struct status {
    double cpu_ns, turns, reads, writes, io, bytes;
};

struct list_of {
    double v[ROUNDS * NODES];
    int n;
};

struct calibrate {
    struct bench *b;
    char dir[512];
    struct bench_proc node[NODES];
    struct bench_group group;
    int ms, cores;
    cpu_set_t cpus;
    struct list_of write[LEVELS][SIZES][CALIBRATE_POINTS], ping[WAYS][CALIBRATE_POINTS];
    struct list_of one_ns, wake_ns, quorum_ns;
    struct list_of write_cpu_ns, turn_ns, send_ns, receive_ns, send_byte_ns, receive_byte_ns;
    struct list_of batch_ns;                                 /* in the mean of the members */
    struct list_of leader_ns[RECORDS], follower_ns[RECORDS]; /* of a record, in all */
    /* what came of it */
    struct bench_fit fit;
    double turn, send, receive, io, wake, batch, byte, submit, apply, submit_byte, apply_byte;
};

static int cal_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void cal_add(struct list_of *l, double v)
{
    if (l->n < (int)(sizeof l->v / sizeof l->v[0]))
        l->v[l->n++] = v;
}

static double cal_median(const struct list_of *l)
{
    struct list_of s = *l;
    qsort(s.v, (size_t)s.n, sizeof s.v[0], cal_ascending);
    return s.n ? s.v[s.n / 2] : 0;
}

static double cal_at_least(double v, double least)
{
    return v > least ? v : least;
}

static bool cal_complain(const struct calibrate *c, const char *what, const char *line)
{
    fprintf(stderr, "tarn bench: calibrate: %s: %s; see %s\n", what, line, c->dir);
    return false;
}

static bool cal_heard(struct calibrate *c, int node, const char *what, struct took *ret)
{
    char line[1000] = "no answer";
    int at = 0, n = 0;
    if (!bench_proc_hear(&c->node[node], line, sizeof line, c->ms + 30000) ||
        sscanf(line, "took %llu %lld %lld %llu %llu :%n", &ret->n, &ret->ns, &ret->cpu_ns,
               &ret->turns, &ret->ops, &at) != 5 ||
        !ret->n)
        return cal_complain(c, what, line);
    for (int i = 0; i < CALIBRATE_POINTS; i++, at += n)
        if (sscanf(line + at, "%lld%n", &ret->point[i], &n) != 1)
            return cal_complain(c, what, line);
    return true;
}

static bool cal_order(struct calibrate *c, int node, const char *order)
{
    char line[1000] = "no answer";
    return (bench_proc_ask(&c->node[node], order, line, sizeof line, 60000) &&
            !strcmp(line, "ok")) ||
           cal_complain(c, order, line);
}

static bool cal_status(struct calibrate *c, int node, struct status *ret)
{
    char line[1000] = "no answer";
    return (bench_proc_ask(&c->node[node], "status", line, sizeof line, 30000) &&
            sscanf(line, "status %lf %lf %lf %lf %lf %lf", &ret->cpu_ns, &ret->turns, &ret->reads,
                   &ret->writes, &ret->io, &ret->bytes) == 6) ||
           cal_complain(c, "status", line);
}

/* ---- one round ---- */

static bool cal_disk(struct calibrate *c)
{
    for (int l = 0; l < LEVELS; l++)
        for (int i = 0; i < SIZES; i++) {
            char order[64];
            int nodes = cal_levels[l].nodes;
            snprintf(order, sizeof order, "write %d %d %d", cal_sizes[i], cal_levels[l].depth,
                     c->ms);
            for (int k = 0; k < nodes; k++)
                if (!bench_proc_tell(&c->node[k], order))
                    return cal_complain(c, order, "gone");
            for (int k = 0; k < nodes; k++) {
                struct took t;
                if (!cal_heard(c, k, order, &t))
                    return false;
                for (int q = 0; q < CALIBRATE_POINTS; q++)
                    cal_add(&c->write[l][i][q], (double)t.point[q]);
                if (!l && !i && t.ops)
                    cal_add(&c->write_cpu_ns, (double)t.cpu_ns / (double)t.ops);
            }
        }
    return true;
}

/* both ends of the round trips on the first processor, or where they were */
static bool cal_together(struct calibrate *c, bool together)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &c->cpus)) {
            CPU_SET(i, &set);
            break;
        }
    for (int k = 0; k < 2; k++)
        if (sched_setaffinity(c->node[k].pid, sizeof set, together ? &set : &c->cpus))
            return bench_fail("sched_setaffinity");
    return true;
}

static bool cal_wake(struct calibrate *c, double usual_ns)
{
    struct took t;
    char order[64];
    snprintf(order, sizeof order, "ping %d %d", cal_ways[0], c->ms);
    bool ok =
        cal_together(c, true) && bench_proc_tell(&c->node[0], order) && cal_heard(c, 0, order, &t);
    if (!cal_together(c, false) || !ok)
        return false;
    double one = (double)t.point[CALIBRATE_POINTS / 2];
    cal_add(&c->one_ns, one);
    cal_add(&c->wake_ns, cal_at_least((usual_ns - one) / 2, 0));
    return true;
}

static bool cal_net(struct calibrate *c)
{
    struct took t;
    char order[64];
    snprintf(order, sizeof order, "quorum %d", c->ms);
    if (!bench_proc_tell(&c->node[0], order) || !cal_heard(c, 0, order, &t))
        return false;
    cal_add(&c->quorum_ns, (double)t.point[CALIBRATE_POINTS / 2]);
    snprintf(order, sizeof order, "turns %d", c->ms);
    if (!bench_proc_tell(&c->node[0], order) || !cal_heard(c, 0, order, &t) || !t.turns)
        return false;
    double turn = (double)t.cpu_ns / (double)t.turns;
    cal_add(&c->turn_ns, turn);
    for (int i = 0; i < WAYS; i++) {
        snprintf(order, sizeof order, "ping %d %d", cal_ways[i], c->ms);
        if (!bench_proc_tell(&c->node[0], order) || !cal_heard(c, 0, order, &t))
            return false;
        for (int q = 0; q < CALIBRATE_POINTS; q++)
            cal_add(&c->ping[i][q], (double)t.point[q]);
        if (!i && !cal_wake(c, (double)t.point[CALIBRATE_POINTS / 2]))
            return false;
    }
    double send = 0, receive = 0;
    for (int i = 0; i < STREAMS; i++) {
        struct status a[2], z[2];
        snprintf(order, sizeof order, "stream %d %d", cal_streams[i], c->ms);
        if (!cal_status(c, 0, &a[0]) || !cal_status(c, 1, &a[1]) ||
            !bench_proc_tell(&c->node[0], order) || !cal_heard(c, 0, order, &t) ||
            !cal_status(c, 0, &z[0]) || !cal_status(c, 1, &z[1]))
            return false;
        double out = z[0].cpu_ns - a[0].cpu_ns - turn * (z[0].turns - a[0].turns);
        double in = z[1].cpu_ns - a[1].cpu_ns - turn * (z[1].turns - a[1].turns);
        double writes = z[0].writes - a[0].writes, turns = z[1].turns - a[1].turns;
        double bytes = z[1].bytes - a[1].bytes;
        if (writes < 1 || turns < 1 || bytes < 1)
            return cal_complain(c, order, "nothing came");
        if (!i) {
            cal_add(&c->send_ns, send = out / writes);
            cal_add(&c->receive_ns, receive = in / turns);
        } else {
            cal_add(&c->send_byte_ns, (out - send * writes) / bytes);
            cal_add(&c->receive_byte_ns, (in - receive * turns) / bytes);
        }
    }
    return true;
}

static void cal_costs(struct calibrate *c)
{
    c->turn = cal_at_least(cal_median(&c->turn_ns), 100);
    c->send = cal_at_least(cal_median(&c->send_ns), 0);
    c->receive = cal_at_least(cal_median(&c->receive_ns), 0);
    /* a round trip on one processor is two turns, each with a read and a write, and nothing else */
    double most = cal_at_least(cal_median(&c->one_ns) / 2 - c->turn, 100);
    if (c->send + c->receive > most) {
        double both = c->send + c->receive;
        c->send *= most / both;
        c->receive *= most / both;
    }
    c->io = cal_at_least(cal_median(&c->write_cpu_ns) - c->turn, 0);
    c->wake = cal_median(&c->wake_ns);
    c->byte = cal_at_least((cal_median(&c->send_byte_ns) + cal_median(&c->receive_byte_ns)) / 2, 0);
}

/* processor time of a member when turns, messages and writes are taken off */
static double cal_left(const struct calibrate *c, const struct bench_group_counts *n)
{
    double reads = n->reads < n->turns ? n->reads : n->turns;
    return n->cpu_ns - c->turn * n->turns - c->send * n->writes - c->receive * reads -
           c->io * n->io - c->byte * n->wire;
}

/* With one record outstanding each is a batch.  What that takes of a member whose caches are cold
 * is more than its part of a large one. */
static bool cal_batches(struct calibrate *c)
{
    struct bench_group_ran ran;
    double left = 0, io = 0;
    if (!bench_group_run(&c->group, 1, cal_records[0], c->ms, &ran))
        return false;
    for (int k = 0; k < GROUP_MEMBERS; k++) {
        const struct list_of *of = k == ran.leader ? c->leader_ns : c->follower_ns;
        left += cal_left(c, &ran.of[k]) - cal_median(&of[0]) * ran.records;
        io += ran.of[k].io;
    }
    cal_add(&c->batch_ns, cal_at_least(left / cal_at_least(io, 1), 0));
    return true;
}

static bool cal_journals(struct calibrate *c)
{
    cal_costs(c);
    for (int i = 0; i < RECORDS; i++) {
        struct bench_group_ran ran;
        if (!bench_group_run(&c->group, RECORD_DEPTH, cal_records[i], c->ms, &ran))
            return false;
        for (int k = 0; k < GROUP_MEMBERS; k++)
            cal_add(k == ran.leader ? &c->leader_ns[i] : &c->follower_ns[i],
                    cal_at_least(cal_left(c, &ran.of[k]) / ran.records, 0));
    }
    return cal_batches(c);
}

/* a record and a byte of it, of what two sizes take */
static void cal_line(const struct list_of *of, double *ret_record, double *ret_byte)
{
    double a = cal_median(&of[0]), z = cal_median(&of[1]);
    *ret_byte = cal_at_least((z - a) / (cal_records[1] - cal_records[0]), 0);
    *ret_record = cal_at_least(a - *ret_byte * cal_records[0], 0);
}

static void cal_records_cost(struct calibrate *c)
{
    double record, byte;
    cal_line(c->follower_ns, &c->apply, &c->apply_byte);
    cal_line(c->leader_ns, &record, &byte);
    c->batch = cal_median(&c->batch_ns);
    c->submit = cal_at_least(record - c->apply, 0);
    c->submit_byte = cal_at_least(byte - c->apply_byte, 0);
}

/* ---- the file ---- */

static void cal_table(FILE *f, const int64_t *ns)
{
    fprintf(f, "\"ns\": [");
    for (int q = 0; q < CALIBRATE_POINTS; q++)
        fprintf(f, "%s%lld", q ? ", " : "", (long long)ns[q]);
    fprintf(f, "]}");
}

/* the medians of each quantile; ret: that of the median */
static int64_t cal_medians(const struct list_of *points, int64_t *ret)
{
    for (int q = 0; q < CALIBRATE_POINTS; q++)
        ret[q] = (int64_t)cal_median(&points[q]);
    return ret[CALIBRATE_POINTS / 2];
}

static void cal_fit(struct calibrate *c)
{
    struct bench_fit *f = &c->fit;
    struct sim_grid *w = &f->model.write, *n = &f->model.way;
    w->n_at_once = LEVELS;
    w->n_bytes = SIZES;
    for (int l = 0; l < LEVELS; l++) {
        f->nodes[l] = cal_levels[l].nodes;
        f->depth[l] = cal_levels[l].depth;
        w->at_once[l] = (uint64_t)f->nodes[l] * (uint64_t)f->depth[l];
        for (int i = 0; i < SIZES; i++) {
            w->bytes[i] = (uint64_t)cal_sizes[i];
            f->write_ns[l][i] = cal_medians(c->write[l][i], w->ns[l][i]);
        }
    }
    n->n_at_once = 1;
    n->at_once[0] = 1;
    n->n_bytes = WAYS;
    for (int i = 0; i < WAYS; i++) {
        n->bytes[i] = (uint64_t)cal_ways[i];
        f->ping_ns[i] = cal_medians(c->ping[i], n->ns[0][i]);
        for (int q = 0; q < CALIBRATE_POINTS; q++)
            n->ns[0][i][q] /= 2;
    }
    f->serve = (struct sim_serve_config){.cores = (uint32_t)c->cores,
                                         .turn_ns = (int64_t)c->turn,
                                         .send_ns = (int64_t)c->send,
                                         .receive_ns = (int64_t)c->receive,
                                         .io_ns = (int64_t)c->io,
                                         .wake_ns = (int64_t)c->wake,
                                         .byte_ps = (uint32_t)(c->byte * 1e3)};
    bench_fit(f);
}

static bool cal_write_model(const struct calibrate *c, const char *path)
{
    char machine[512], commit[64], date[40];
    time_t now = time(NULL);
    struct tm tm;
    FILE *f = fopen(path, "we");
    if (!f)
        return bench_fail(path);
    bench_machine(machine, sizeof machine);
    bench_commit(commit, sizeof commit);
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(f,
            "{\"tarn_model\": 1,\n\"about\": {\"machine\": \"%s\", \"commit\": \"%s\", \"date\": "
            "\"%s\", \"rounds\": %d, \"seconds\": %g},\n",
            machine, commit, date, c->b->rounds, c->b->seconds);
    fprintf(f,
            "\"cpu\": {\"cores\": %d, \"turn\": %.0f, \"send\": %.0f, \"receive\": %.0f, \"io\": "
            "%.0f, \"wake\": %.0f, \"batch\": %.0f, \"byte\": %.0f, \"submit\": %.0f, "
            "\"submit_byte\": %.0f, \"apply\": %.0f, \"apply_byte\": %.0f},\n\"disk\": {\"write\": "
            "[",
            c->cores, c->turn, c->send, c->receive, c->io, c->wake, c->batch, c->byte * 1e3,
            c->submit, c->submit_byte * 1e3, c->apply, c->apply_byte * 1e3);
    for (int l = 0; l < LEVELS; l++)
        for (int i = 0; i < SIZES; i++) {
            fprintf(f, "%s\n{\"bytes\": %d, \"at_once\": %d, ", l || i ? "," : "", cal_sizes[i],
                    cal_levels[l].nodes * cal_levels[l].depth);
            cal_table(f, c->fit.model.write.ns[l][i]);
        }
    fprintf(f, "]},\n\"net\": {\"way\": [");
    for (int i = 0; i < WAYS; i++) {
        fprintf(f, "%s\n{\"bytes\": %d, ", i ? "," : "", cal_ways[i]);
        cal_table(f, c->fit.model.way.ns[0][i]);
    }
    fprintf(f, "]}}\n");
    bool ok = !ferror(f);
    return (fclose(f) == 0 && ok) || bench_fail(path);
}

static void cal_print(const struct calibrate *c)
{
    const struct bench_fit *f = &c->fit;
    fprintf(stderr, "durable writes, us in the median, by how many processes keep outstanding "
                    "(in brackets: simulated with the model):\n");
    for (int i = 0; i < SIZES; i++) {
        fprintf(stderr, "  %7d B ", cal_sizes[i]);
        for (int l = 0; l < LEVELS; l++)
            fprintf(stderr, "  %d: %.0f (%.0f)", f->nodes[l] * f->depth[l],
                    (double)f->write_ns[l][i] / 1e3,
                    (double)bench_fit_writes(&f->model, &f->serve, f->nodes[l], f->depth[l],
                                             (uint32_t)cal_sizes[i]) /
                        1e3);
        fputc('\n', stderr);
    }
    fprintf(stderr, "round trips, us:");
    for (int i = 0; i < WAYS; i++)
        fprintf(stderr, "  %d B: %.0f (%.0f)", cal_ways[i], (double)f->ping_ns[i] / 1e3,
                (double)bench_fit_ping(&f->model, &f->serve, (uint32_t)cal_ways[i]) / 1e3);
    fprintf(stderr, "; on one processor %d B: %.0f\na quorum of blocks, us: %.0f (%.0f)\n",
            cal_ways[0], cal_median(&c->one_ns) / 1e3, cal_median(&c->quorum_ns) / 1e3,
            (double)bench_fit_quorum(&f->model, &f->serve) / 1e3);
    fprintf(
        stderr,
        "processor, ns: turn %.0f, send %.0f, receive %.0f, disk operation %.0f, waking %.0f, "
        "byte %.2f\n  batch: %.0f; record: submit %.0f + %.2f a byte, apply %.0f + %.2f a byte\n",
        c->turn, c->send, c->receive, c->io, c->wake, c->byte, c->batch, c->submit, c->submit_byte,
        c->apply, c->apply_byte);
}

/* ---- all ---- */

static bool cal_start(struct calibrate *c)
{
    char verb[] = "bench", mode[] = "calibrate-node", log[600], dir[600], order[64];
    int port = bench_proc_ports(2);
    snprintf(log, sizeof log, "%s/calibrate.log", c->dir);
    for (int k = 0; k < NODES; k++) {
        snprintf(dir, sizeof dir, "%s/node%d", c->dir, k);
        char *argv[] = {c->b->self, verb, mode, dir, NULL};
        if (mkdir(dir, 0755) || !bench_proc_start(&c->node[k], argv, log, true))
            return bench_fail(dir);
        if (!cal_order(c, k, "prepare"))
            return false;
    }
    for (int k = 0; k < 2; k++) {
        snprintf(order, sizeof order, "listen 127.0.0.1:%d", port + k);
        if (!port || !cal_order(c, 1 + k, order))
            return false;
        snprintf(order, sizeof order, "connect %d 127.0.0.1:%d", k, port + k);
        if (!cal_order(c, 0, order))
            return false;
    }
    /* the group makes its files at first */
    struct bench_group_ran warm;
    return bench_group_open(&c->group, c->b, c->dir) &&
           bench_group_run(&c->group, RECORD_DEPTH, cal_records[0], 300, &warm);
}

int bench_calibrate_main(struct bench *b)
{
    static struct calibrate c;
    c.b = b;
    c.ms = (int)(b->seconds * 1000);
    if (sched_getaffinity(0, sizeof c.cpus, &c.cpus))
        return bench_fail("sched_getaffinity") ? 0 : 1;
    c.cores = CPU_COUNT(&c.cpus);
    if (b->rounds > ROUNDS) {
        fprintf(stderr, "tarn bench: calibrate: --rounds is 1 to %d\n", ROUNDS);
        return 2;
    }
    if (!bench_temp_dir(b, c.dir, sizeof c.dir))
        return 1;
    bool ok = cal_start(&c);
    for (int round = 0; ok && round < b->rounds; round++) {
        ok = cal_disk(&c) && cal_net(&c) && cal_journals(&c);
        fprintf(stderr, "round %d of %d\n", round + 1, b->rounds);
    }
    for (int k = 0; k < NODES; k++)
        bench_proc_kill(&c.node[k]);
    bench_group_close(&c.group);
    if (ok) {
        cal_costs(&c);
        cal_records_cost(&c);
        cal_fit(&c);
        cal_print(&c);
        ok = cal_write_model(&c, b->out ? b->out : "model.json");
    }
    if (ok) {
        bench_remove(c.dir);
        fprintf(stderr, "%s is written; tarn bench predict --model %s compares\n",
                b->out ? b->out : "model.json", b->out ? b->out : "model.json");
    }
    return !ok;
}
