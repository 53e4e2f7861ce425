/* bench/bench_meta.c - metadata on one master over TCP, from one client process.
 *
 * A master of its own (a META mount: names held by the journal alone, so that the under-store is
 * not what is measured) is asked with 1, 8, 64 and 512 requests outstanding.  Baselines of the same
 * run: durable 4 KiB writes to a pre-written O_DIRECT file (what one unbatched create cannot beat),
 * and 100-byte round trips over loopback with as many outstanding (what a stat cannot beat).
 *
 * Beside each rate stands what does not depend on who else uses the machine: processor time of
 * either process for one operation, and how many records one write of the log carried. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench.h"
#include "cluster/tarn.h"

enum { BENCH_META_OUT_MAX = BENCH_DEPTH_MAX, BENCH_META_MESSAGE = 100 };

static const int bench_meta_depths[] = {1, 8, 64, 512};

/* --- raw baselines --- */

static double bench_meta_raw_log(const struct bench *b, const char *dir)
{
    enum { BLOCK = 4096, BLOCKS = 4096 };
    char path[600];
    void *block = NULL;
    snprintf(path, sizeof path, "%s/raw.log", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0 || posix_memalign(&block, BLOCK, (size_t)BLOCK * 64)) {
        fprintf(stderr, "tarn bench: %s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return 0;
    }
    memset(block, 0, (size_t)BLOCK * 64);
    for (int i = 0; i < BLOCKS; i += 64)
        if (pwrite(fd, block, (size_t)BLOCK * 64, (off_t)i * BLOCK) < 0)
            break;
    fdatasync(fd);
    int64_t start = bench_now_ns(), end = start + (int64_t)(b->seconds * 1e9), n = 0, now = start;
    for (; now < end; now = bench_now_ns(), n++)
        if (pwrite(fd, block, BLOCK, (off_t)(n % BLOCKS) * BLOCK) != BLOCK || fdatasync(fd))
            break;
    close(fd);
    unlink(path);
    free(block);
    return (double)n / ((double)(now - start) / 1e9);
}

static void *bench_meta_echo(void *arg)
{
    int fd = *(int *)arg;
    char buf[BENCH_META_MESSAGE * BENCH_META_OUT_MAX];
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;)
        for (ssize_t done = 0, w; done < n; done += w)
            if ((w = write(fd, buf + done, (size_t)(n - done))) <= 0)
                return NULL;
    return NULL;
}

static bool bench_meta_pair(int fd[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = l >= 0 && !bind(l, (struct sockaddr *)&a, len) && !listen(l, 1) &&
              !getsockname(l, (struct sockaddr *)&a, &len);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ok = ok && !connect(fd[0], (struct sockaddr *)&a, len) && (fd[1] = accept(l, NULL, NULL)) >= 0;
    if (l >= 0)
        close(l);
    for (int i = 0; ok && i < 2; i++)
        setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return ok;
}

static double bench_meta_raw_trips(const struct bench *b, int depth)
{
    int fd[2];
    pthread_t echo;
    char buf[BENCH_META_MESSAGE * BENCH_META_OUT_MAX] = {0};
    if (!bench_meta_pair(fd) || pthread_create(&echo, NULL, bench_meta_echo, &fd[1]))
        return 0;
    int64_t start = bench_now_ns(), end = start + (int64_t)(b->seconds * 1e9), bytes = 0,
            now = start;
    ssize_t n = write(fd[0], buf, (size_t)depth * BENCH_META_MESSAGE);
    while (now < end && n > 0) {
        n = read(fd[0], buf, sizeof buf);
        if (n > 0) {
            bytes += n;
            n = write(fd[0], buf, (size_t)n);
        }
        now = bench_now_ns();
    }
    shutdown(fd[0], SHUT_RDWR);
    pthread_join(echo, NULL);
    close(fd[0]);
    close(fd[1]);
    return (double)bytes / BENCH_META_MESSAGE / ((double)(now - start) / 1e9);
}

/* --- the load: `depth` requests outstanding until the time is over --- */

struct bench_meta_load;

struct bench_meta_slot {
    struct client_req req;
    struct rpc_link_call call;
    struct bench_meta_load *l;
    char name[32];
    uint8_t body[128];
};

struct bench_meta_load {
    struct tarn *t;
    struct ino dir;
    pid_t master;
    bool create, is_over;
    int busy;
    int64_t end_ns, done;
    uint64_t next_name;
    int err;
    struct bench_meta_slot slot[BENCH_META_OUT_MAX];
};

static void bench_meta_send(struct bench_meta_slot *s);

static void bench_meta_one(struct bench_meta_slot *s, int64_t ret)
{
    struct bench_meta_load *l = s->l;
    if (ret && !l->err)
        l->err = (int)ret;
    l->done += !ret;
    if (!l->err && bench_now_ns() < l->end_ns)
        bench_meta_send(s);
    else if (!--l->busy)
        l->is_over = true;
}

static void bench_meta_created(struct env_op *op)
{
    struct client_req *r = container_of(op, struct client_req, op);
    bench_meta_one(container_of(r, struct bench_meta_slot, req), op->ret);
}

static void bench_meta_answered(struct env_op *op)
{
    struct rpc_link_call *k = container_of(op, struct rpc_link_call, op);
    bench_meta_one(container_of(k, struct bench_meta_slot, call), op->ret);
}

static void bench_meta_send(struct bench_meta_slot *s)
{
    struct bench_meta_load *l = s->l;
    if (l->create) {
        memset(&s->req, 0, sizeof s->req);
        int n = snprintf(s->name, sizeof s->name, "f%llu", (unsigned long long)l->next_name++);
        s->req.op.done = bench_meta_created;
        s->req.fsop = (struct fsop){.kind = FSOP_MKNOD,
                                    .ino = l->dir,
                                    .mode = FSOP_S_IFREG | 0644,
                                    .name = s->name,
                                    .name_len = (uint32_t)n};
        client_fs(tarn_client(l->t), &s->req);
        return;
    }
    /* past the client's cache: the master is what is measured */
    struct wbuf w = wbuf_make(s->body, sizeof s->body);
    fsop_put(&w, &(struct fsop){.kind = FSOP_GETATTR, .ino = l->dir});
    memset(&s->call, 0, sizeof s->call);
    s->call.op.done = bench_meta_answered;
    client_call(tarn_client(l->t), RPC_FS, s->body, (uint32_t)w.len,
                env_now_ns(tarn_env(l->t)) + 30000000000LL, &s->call);
}

static double bench_meta_run(const struct bench *b, struct bench_meta_load *l, bool create,
                             int depth)
{
    l->create = create;
    l->is_over = false;
    l->done = l->err = 0;
    l->busy = depth;
    int64_t start = bench_now_ns();
    l->end_ns = start + (int64_t)(b->seconds * 1e9);
    for (int i = 0; i < depth; i++) {
        l->slot[i].l = l;
        bench_meta_send(&l->slot[i]);
    }
    int err = tarn_run_until(l->t, &l->is_over, env_now_ns(tarn_env(l->t)) + 120000000000LL);
    err = err ? err : l->err;
    if (err) {
        fprintf(stderr, "tarn bench: %s, %d outstanding: %s\n", create ? "create" : "stat", depth,
                err_text(err));
        return -1;
    }
    return (double)l->done / ((double)(bench_now_ns() - start) / 1e9);
}

/* --- what an operation costs --- */

struct bench_meta_cost {
    double client_us, master_us, records, writes;
};

static double bench_meta_cpu_us(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        return 0;
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct bench_meta_status {
    struct rpc_link_call call;
    char text[64 * 1024];
    bool is_over;
};

static void bench_meta_status_done(struct env_op *op)
{
    struct rpc_link_call *k = container_of(op, struct rpc_link_call, op);
    struct bench_meta_status *s = container_of(k, struct bench_meta_status, call);
    size_t n = op->ret ? 0 : k->call.reply_len;
    n = n < sizeof s->text ? n : sizeof s->text - 1;
    if (n)
        memcpy(s->text, k->call.reply, n);
    s->text[n] = 0;
    s->is_over = true;
}

/* so far */
static struct bench_meta_cost bench_meta_cost_now(struct bench_meta_load *l)
{
    static struct bench_meta_status s;
    struct bench_meta_cost c = {.client_us = bench_meta_cpu_us(0),
                                .master_us = bench_meta_cpu_us(l->master)};
    memset(&s, 0, sizeof s);
    s.call.op.done = bench_meta_status_done;
    int64_t deadline = env_now_ns(tarn_env(l->t)) + 30000000000LL;
    client_call(tarn_client(l->t), RPC_STATUS, NULL, 0, deadline, &s.call);
    if (tarn_run_until(l->t, &s.is_over, deadline + 1000000000LL) == 0) {
        const char *records = strstr(s.text, "journal.records "),
                   *writes = strstr(s.text, "journal.batches ");
        c.records = records ? atof(records + strlen("journal.records ")) : 0;
        c.writes = writes ? atof(writes + strlen("journal.batches ")) : 0;
    }
    return c;
}

static bool bench_meta_one_kind(struct bench *b, struct bench_meta_load *l, bool create, int depth,
                                int baseline)
{
    const char *what = create ? "create" : "stat";
    char name[64];
    struct bench_meta_cost from = bench_meta_cost_now(l);
    double rate = bench_meta_run(b, l, create, depth);
    struct bench_meta_cost to = bench_meta_cost_now(l);
    if (rate < 0)
        return false;
    snprintf(name, sizeof name,
             create ? "durable create, %d outstanding" : "stat at the master, %d outstanding",
             depth);
    bench_sample(b, bench_row(b, name, "op/s", baseline), rate);
    double n = l->done > 0 ? (double)l->done : 1;
    snprintf(name, sizeof name, "  one %s (of %d): processor, client", what, depth);
    bench_sample(b, bench_row(b, name, "us", -1), (to.client_us - from.client_us) / n);
    snprintf(name, sizeof name, "  one %s (of %d): processor, master", what, depth);
    bench_sample(b, bench_row(b, name, "us", -1), (to.master_us - from.master_us) / n);
    if (!create)
        return true;
    double writes = to.writes > from.writes ? to.writes - from.writes : 1;
    snprintf(name, sizeof name, "  one write of the log (%d outstanding)", depth);
    bench_sample(b, bench_row(b, name, "rec", -1), (to.records - from.records) / writes);
    return true;
}

static int bench_meta_rounds(struct bench *b, struct bench_meta_load *l, const char *dir)
{
    char name[64];
    for (int round = 0; round < b->rounds; round++) {
        int raw = bench_row(b, "raw durable 4 KiB log write", "op/s", -1);
        bench_sample(b, raw, bench_meta_raw_log(b, dir));
        for (size_t i = 0; i < (b->depth ? 1 : ARRAY_LEN(bench_meta_depths)); i++) {
            int depth = b->depth ? b->depth : bench_meta_depths[i];
            snprintf(name, sizeof name, "raw round trips, %d outstanding", depth);
            int trips = bench_row(b, name, "op/s", -1);
            bench_sample(b, trips, bench_meta_raw_trips(b, depth));
            if ((!b->only || !strcmp(b->only, "create")) &&
                !bench_meta_one_kind(b, l, true, depth, raw))
                return 1;
            if ((!b->only || !strcmp(b->only, "stat")) &&
                !bench_meta_one_kind(b, l, false, depth, trips))
                return 1;
        }
        fprintf(stderr, "round %d of %d\n", round + 1, b->rounds);
    }
    return 0;
}

static int bench_meta_client(struct bench *b, const char *masters, const char *dir, pid_t master)
{
    static struct bench_meta_load l;
    struct tarn_options o = tarn_options_default();
    struct fsattr a;
    o.client.masters = masters;
    l.master = master;
    int code = 1, err = tarn_connect(&o, &l.t);
    if (err) {
        fprintf(stderr, "tarn bench: %s: %s; see %s/master.log\n", masters, err_text(err), dir);
        return 1;
    }
    err = tarn_mkdir(l.t, "/bench", 0755);
    if (!err)
        err = tarn_stat(l.t, "/bench", &a);
    if (err) {
        fprintf(stderr, "tarn bench: /bench: %s\n", err_text(err));
    } else {
        l.dir = a.ino;
        b->title = "metadata: one master, one client process, TCP loopback";
        snprintf(b->params, sizeof b->params, "%.2g s each, local journal, mount mode meta",
                 b->seconds);
        code = bench_meta_rounds(b, &l, dir);
    }
    tarn_disconnect(l.t);
    return code;
}

int bench_meta_main(struct bench *b)
{
    char dir[512], log[600], listen[64], set_dir[600], set_listen[96], config[600];
    char master[] = "master", set[] = "--set", config_flag[] = "--config";
    if (!bench_temp_dir(b, dir, sizeof dir))
        return 1;
    snprintf(log, sizeof log, "%s/master.log", dir);
    snprintf(config, sizeof config, "%s/tarn.json", dir);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", bench_port());
    snprintf(set_dir, sizeof set_dir, "master.dir=%s/master", dir);
    snprintf(set_listen, sizeof set_listen, "master.listen=%s", listen);
    FILE *f = fopen(config, "we");
    if (f) {
        fputs("{\"mounts\": [{\"path\": \"/\", \"mode\": \"meta\"}]}\n", f);
        fclose(f);
    }
    char *argv[] = {b->self, master, config_flag, config, set, set_dir, set, set_listen, NULL};
    pid_t pid = bench_spawn(argv, log);
    int code = 1;
    if (pid > 0) {
        code = bench_meta_client(b, listen, dir, pid);
        bench_end(pid);
    }
    if (!code) {
        bench_report(b);
        bench_remove(dir);
    }
    return code;
}
