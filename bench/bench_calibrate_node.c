/* bench/bench_calibrate_node.c - a process of `tarn bench calibrate`: one thing after the other
 * through the loop, the disk path and the sockets of the daemons, and what it took.  Told by lines:
 *
 *     write SIZE DEPTH MS   so many durable writes outstanding, over a file that was written before
 *     listen ADDR           answers what comes from `ping`, and takes what comes from `stream`
 *     connect K ADDR        to such a one, the K-th (0, 1)
 *     quorum MS             one at a time: a frame to both, and a durable write of 4 KiB here; they
 *                           write as much and answer; done when it is here and on one of them
 *     ping SIZE MS          round trips, one at a time
 *     stream SIZE MS        a frame each turn, that nobody answers
 *     turns MS              turns in which nothing happens
 *     status                counters of the loop, and processor time
 *
 *     ->  ok, or: failed WHY
 *     ->  took N NS CPU_NS TURNS OPS : 33 times in ns, of N operations in NS; processor time, turns
 *              and disk operations or writes to sockets of all that (CALIBRATE_POINTS)
 *     ->  status CPU_NS TURNS READS WRITES DISK_OPS BYTES
 *
 * A tenth of the time warms up.  The last of the 33 is not the largest: the line from the one
 * before it to that one has the mean of what lies there, so that who draws from the table has the
 * mean of what was measured. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench_calibrate.h"
#include "bench/bench_load.h"
#include "net/net.h"

enum {
    CAL_SAMPLES = 1 << 20,
    CAL_DEPTH = 16,
    CAL_FILE = 16 << 20,
    CAL_SIZE_MAX = 256 * 1024,
    CAL_ECHO = 1,
    CAL_TAKE = 2,
    CAL_STORE = 3,
    CAL_BLOCK = 4096,
    CAL_LEAST = 16,
    CAL_LAG = 8, /* of who is later */
    CAL_CONNS = 8,
    CAL_STREAM_AHEAD = 256 * 1024,
};

struct cal;

struct cal_slot {
    struct env_op op;
    struct cal *c;
    int64_t began_ns;
    uint8_t *buf;
    struct env_peer *asked; /* a write that this one asked for */
};

struct cal_counts {
    int64_t cpu_ns;
    struct net_stats net;
};

struct cal {
    struct net *net;
    struct env *env;
    uv_poll_t in;
    struct bench_load_lines lines;
    /* what is measured */
    enum { CAL_IDLE, CAL_WRITE, CAL_PING, CAL_STREAM, CAL_TURNS, CAL_QUORUM } what;
    int size, depth, busy;
    int64_t from_ns, end_ns, counted_from_ns, last_ns;
    struct cal_counts before;
    uint32_t n;
    bool counting;
    /* disk */
    struct env_file *file;
    struct env_op file_op;
    struct cal_slot slot[CAL_DEPTH];
    uint64_t at;
    /* network */
    struct env_acceptor acceptor;
    struct env_op listen_op, connect_op, post_op;
    struct env_timer end;
    struct env_peer peer[CAL_CONNS], out[2];
    int64_t pinged_ns;
    /* a quorum */
    uint64_t asked, stored, answered[2];
    uint8_t frame[CAL_SIZE_MAX];
    int64_t sample[CAL_SAMPLES];
};

static struct cal cal;

static void cal_say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static void cal_failed(const char *what, int err)
{
    cal.what = CAL_IDLE;
    bench_load_failed("%s: %s", what, err_text(err));
}

static struct cal_counts cal_counts(void)
{
    struct cal_counts x;
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    x.cpu_ns = t.tv_sec * 1000000000LL + t.tv_nsec;
    net_stats(cal.net, &x.net);
    return x;
}

static int cal_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* the table of n sorted samples */
static void cal_points(const int64_t *s, uint32_t n, int64_t *ret)
{
    const uint32_t last = CALIBRATE_POINTS - 1;
    for (uint32_t i = 0; i < last; i++)
        ret[i] = n ? s[(uint64_t)n * i / last] : 0;
    uint32_t from = (uint32_t)((uint64_t)n * (last - 1) / last);
    double sum = 0;
    for (uint32_t i = from; i < n; i++)
        sum += (double)s[i];
    int64_t mean = n > from ? (int64_t)(sum / (n - from)) : 0, top = 2 * mean - ret[last - 1];
    ret[last] = top > ret[last - 1] ? top : ret[last - 1];
}

static void cal_finish(void)
{
    struct cal_counts now = cal_counts();
    int64_t point[CALIBRATE_POINTS];
    uint64_t ops = cal.what == CAL_WRITE || cal.what == CAL_QUORUM
                       ? now.net.disk_ops - cal.before.net.disk_ops
                       : now.net.writes - cal.before.net.writes;
    uint32_t n = cal.n < CAL_SAMPLES ? cal.n : CAL_SAMPLES;
    if (cal.what == CAL_STREAM || cal.what == CAL_TURNS)
        n = 0;
    cal.what = CAL_IDLE;
    qsort(cal.sample, n, sizeof *cal.sample, cal_compare);
    cal_points(cal.sample, n, point);
    printf("took %u %lld %lld %llu %llu :", cal.n, (long long)(cal.last_ns - cal.counted_from_ns),
           (long long)(now.cpu_ns - cal.before.cpu_ns),
           (unsigned long long)(now.net.turns - cal.before.net.turns), (unsigned long long)ops);
    for (int i = 0; i < CALIBRATE_POINTS; i++)
        printf(" %lld", (long long)point[i]);
    cal_say("");
}

/* one that began then is done; true: another one */
static bool cal_done(int64_t began_ns)
{
    int64_t now = bench_load_now_ns();
    if (!cal.counting && now >= cal.from_ns) {
        cal.counting = true;
        cal.before = cal_counts();
        cal.counted_from_ns = now;
    } else if (cal.counting) {
        cal.sample[cal.n % CAL_SAMPLES] = now - began_ns;
        cal.n++;
        cal.last_ns = now;
    }
    return now < cal.end_ns || cal.n < CAL_LEAST; /* on a busy machine time runs out */
}

static void cal_begin(int what, int size, int depth, int ms)
{
    int64_t now = bench_load_now_ns();
    cal.what = what;
    cal.size = size;
    cal.depth = depth;
    cal.from_ns = now + ms * 100000LL;
    cal.end_ns = now + ms * 1000000LL;
    cal.n = 0;
    cal.counting = false;
    cal.last_ns = cal.counted_from_ns = 0;
}

/* ---- disk ---- */

static void cal_stored(struct cal_slot *s);

static void cal_write_of(struct cal_slot *s, uint32_t size)
{
    if (cal.at + size > CAL_FILE)
        cal.at = 0;
    env_write(cal.file, s->buf, size, cal.at, &s->op);
    cal.at += size;
}

static void cal_write(struct cal_slot *s)
{
    s->began_ns = bench_load_now_ns();
    cal_write_of(s, (uint32_t)cal.size);
}

static void cal_written(struct env_op *op)
{
    struct cal_slot *s = container_of(op, struct cal_slot, op);
    if (s->asked || cal.what == CAL_QUORUM) {
        cal_stored(s);
        return;
    }
    if (op->ret != cal.size && cal.what == CAL_WRITE)
        cal_failed("write", op->ret < 0 ? (int)op->ret : E_IO);
    if (cal_done(s->began_ns) && cal.what == CAL_WRITE) {
        cal_write(s);
        return;
    }
    if (--cal.busy == 0 && cal.what == CAL_WRITE)
        cal_finish();
}

static void cal_writes(void)
{
    cal.busy = cal.depth;
    for (int i = 0; i < cal.depth; i++)
        cal_write(&cal.slot[i]);
}

/* the file is written once, as a segment of the log is */
static void cal_prepared(struct env_op *op)
{
    if (op->ret < 0) {
        cal_failed("the file", (int)op->ret);
        return;
    }
    if (cal.at < CAL_FILE) {
        env_write(cal.file, cal.slot[0].buf, CAL_SIZE_MAX, cal.at, op);
        cal.at += CAL_SIZE_MAX;
        return;
    }
    cal_say("ok");
}

static void cal_prepare(void)
{
    cal.file_op.done = cal_prepared;
    env_open(cal.env, "file", ENV_O_WRITE | ENV_O_CREATE | ENV_O_DIRECT | ENV_O_DSYNC, &cal.file,
             &cal.file_op);
}

/* ---- a quorum ---- */

static void cal_ask(void)
{
    cal.pinged_ns = bench_load_now_ns();
    cal.asked++;
    for (int i = 0; i < 2; i++)
        env_send(cal.out[i].conn, CAL_STORE, &(struct env_iov){cal.frame, (size_t)cal.size}, 1);
    cal_write_of(&cal.slot[0], CAL_BLOCK);
}

static void cal_quorum(void)
{
    uint64_t n = cal.asked, *a = cal.answered;
    if (cal.what != CAL_QUORUM || cal.stored < n || (a[0] < n && a[1] < n) || a[0] + CAL_LAG < n ||
        a[1] + CAL_LAG < n)
        return;
    if (cal_done(cal.pinged_ns))
        cal_ask();
    else
        cal_finish();
}

/* a write for somebody else, or our own part */
static void cal_stored(struct cal_slot *s)
{
    struct env_peer *p = s->asked;
    s->asked = NULL;
    if (s->op.ret != CAL_BLOCK) {
        cal_failed("write", s->op.ret < 0 ? (int)s->op.ret : E_IO);
    } else if (!p) {
        cal.stored++;
        cal_quorum();
    } else if (p->conn) {
        env_send(p->conn, CAL_STORE, &(struct env_iov){cal.frame, 8}, 1);
    }
}

static void cal_store(struct env_peer *p)
{
    for (int i = 0; i < CAL_DEPTH; i++)
        if (!cal.slot[i].asked) {
            cal.slot[i].asked = p;
            cal_write_of(&cal.slot[i], CAL_BLOCK);
            return;
        }
    cal_failed("quorum", E_AGAIN);
}

/* ---- network ---- */

static void cal_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    if (type == CAL_ECHO && p != &cal.out[0]) {
        env_send(p->conn, CAL_ECHO, &(struct env_iov){b, len}, 1);
    } else if (type == CAL_STORE && (p == &cal.out[0] || p == &cal.out[1])) {
        cal.answered[p - cal.out]++;
        cal_quorum();
    } else if (type == CAL_STORE) {
        cal_store(p);
    } else if (p == &cal.out[0] && cal.what == CAL_PING) {
        if (!cal_done(cal.pinged_ns)) {
            cal_finish();
            return;
        }
        cal.pinged_ns = bench_load_now_ns();
        env_send(p->conn, CAL_ECHO, &(struct env_iov){cal.frame, (size_t)cal.size}, 1);
    }
}

static void cal_closed(struct env_peer *p, int why)
{
    (void)why;
    p->conn = NULL;
}

static struct env_peer *cal_open(struct env_acceptor *a, const char *from)
{
    (void)a, (void)from;
    for (int i = 0; i < CAL_CONNS; i++)
        if (!cal.peer[i].conn) {
            cal.peer[i] = (struct env_peer){.on_frame = cal_frame, .on_close = cal_closed};
            return &cal.peer[i];
        }
    return NULL;
}

static void cal_answer(struct env_op *op)
{
    if (op->ret < 0)
        cal_failed("network", (int)op->ret);
    else
        cal_say("ok");
}

/* ---- turns ---- */

static void cal_turn(struct env_op *op)
{
    (void)op;
    if (cal.what == CAL_IDLE)
        return;
    if (cal.what == CAL_STREAM) {
        if (!cal.out[0].conn) {
            cal_failed("stream", E_CLOSED);
            return;
        }
        if (env_backlog(cal.out[0].conn) < CAL_STREAM_AHEAD)
            env_send(cal.out[0].conn, CAL_TAKE, &(struct env_iov){cal.frame, (size_t)cal.size}, 1);
    }
    if (!cal_done(0)) {
        cal_finish();
        return;
    }
    /* a timer, not a post: the loop takes several rounds of posts in one turn */
    env_timer_set(cal.env, &cal.end, env_now_ns(cal.env));
}

/* ---- what it is told ---- */

static void cal_status(void)
{
    struct cal_counts x = cal_counts();
    printf("status %lld %llu %llu %llu %llu %llu\n", (long long)x.cpu_ns,
           (unsigned long long)x.net.turns, (unsigned long long)x.net.reads,
           (unsigned long long)x.net.writes, (unsigned long long)x.net.disk_ops,
           (unsigned long long)(x.net.bytes_in + x.net.bytes_out));
    fflush(stdout);
}

static void cal_line(void *ctx, const char *line)
{
    int size = 0, depth = 0, ms = 0;
    static char addr[64];
    (void)ctx;
    if (sscanf(line, "write %d %d %d", &size, &depth, &ms) == 3 && size > 0 && !(size % 4096) &&
        size <= CAL_SIZE_MAX && depth > 0 && depth <= CAL_DEPTH) {
        cal_begin(CAL_WRITE, size, depth, ms);
        cal_writes();
    } else if (!strcmp(line, "prepare")) {
        cal_prepare();
    } else if (sscanf(line, "listen %63s", addr) == 1) {
        cal.listen_op.done = cal_answer;
        env_listen(cal.env, addr, &cal.acceptor, &cal.listen_op);
    } else if (sscanf(line, "connect %d %63s", &depth, addr) == 2 && depth >= 0 && depth < 2) {
        cal.connect_op.done = cal_answer;
        cal.out[depth] = (struct env_peer){.on_frame = cal_frame, .on_close = cal_closed};
        env_connect(cal.env, addr, 5000000000LL, &cal.out[depth], &cal.connect_op);
    } else if (sscanf(line, "quorum %d", &ms) == 1 && cal.out[0].conn && cal.out[1].conn) {
        cal_begin(CAL_QUORUM, 100, 1, ms);
        cal.answered[0] = cal.answered[1] = cal.stored = cal.asked;
        cal_ask();
    } else if (sscanf(line, "ping %d %d", &size, &ms) == 2 && size > 0 && size <= CAL_SIZE_MAX &&
               cal.out[0].conn) {
        cal_begin(CAL_PING, size, 1, ms);
        cal.pinged_ns = bench_load_now_ns();
        env_send(cal.out[0].conn, CAL_ECHO, &(struct env_iov){cal.frame, (size_t)size}, 1);
    } else if (sscanf(line, "stream %d %d", &size, &ms) == 2 && size > 0 && size <= CAL_SIZE_MAX &&
               cal.out[0].conn) {
        cal_begin(CAL_STREAM, size, 1, ms);
        cal_turn(NULL);
    } else if (sscanf(line, "turns %d", &ms) == 1) {
        cal_begin(CAL_TURNS, 0, 0, ms);
        cal_turn(NULL);
    } else if (!strcmp(line, "status")) {
        cal_status();
    } else {
        bench_load_failed("not understood: %s", line);
    }
}

static void cal_readable(uv_poll_t *h, int status, int events)
{
    (void)h, (void)events;
    if (status < 0 || !bench_load_read(&cal.lines, 0, cal_line, NULL))
        net_stop(cal.net);
    net_event(cal.net);
}

int bench_calibrate_node(int argc, char **argv)
{
    struct net_config nc = {.dir = argv[0], .node = "calibrate", .cluster_hi = 1, .cluster_lo = 1};
    void *all = NULL;
    if (argc != 1 || net_open(&nc, &cal.net) ||
        posix_memalign(&all, 4096, (size_t)CAL_DEPTH * CAL_SIZE_MAX))
        return 1;
    memset(all, 7, (size_t)CAL_DEPTH * CAL_SIZE_MAX);
    cal.env = net_env(cal.net);
    for (int i = 0; i < CAL_DEPTH; i++)
        cal.slot[i] = (struct cal_slot){
            .op.done = cal_written, .c = &cal, .buf = (uint8_t *)all + (size_t)i * CAL_SIZE_MAX};
    cal.acceptor.on_open = cal_open;
    cal.end.op.done = cal_turn;
    fcntl(0, F_SETFL, O_NONBLOCK);
    if (uv_poll_init(net_uv(cal.net), &cal.in, 0) ||
        uv_poll_start(&cal.in, UV_READABLE, cal_readable))
        return 1;
    net_run(cal.net);
    _exit(0);
}
