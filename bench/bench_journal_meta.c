/* bench/bench_journal_meta.c - load on the masters themselves, over TCP, from a process of its own:
 * setxattr, each outstanding request on a file of its own, which is what setting a key or a node is
 * elsewhere.  With everything: sessions, so that none is applied twice, checks, the namespace.
 *
 *     journal-meta MASTERS     (told by lines, see bench_load.h)
 *
 * "watch N" begins a load of N outstanding that never ends, whatever fails; the lines of bench_gap
 * then say for how long nothing was acknowledged.  At the end of the input it ends and closes its
 * session, for which a new leader would wait otherwise. */
#include "bench/bench_journal.h"
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "bench/bench_load.h"
#include "cluster/tarn.h"

struct meta_slot {
    struct client_req req;
    struct ino ino;
    int64_t began_ns;
};

static struct meta_client {
    struct tarn *t;
    struct bench_load load;
    struct meta_slot slot[BENCH_LOAD_DEPTH_MAX];
    uint8_t value[BENCH_LOAD_SIZE_MAX];
    bool over, watches, ends;
    int err;
    struct bench_gap gap;
} meta_client;

static void meta_submit(struct meta_slot *s);

static void meta_answered(struct env_op *op)
{
    struct client_req *r = container_of(op, struct client_req, op);
    struct meta_slot *s = container_of(r, struct meta_slot, req);
    if (meta_client.watches) {
        if (op->ret)
            fprintf(stderr, "tarn bench: a change failed: %s\n", err_text((int)op->ret));
        bench_gap_done(&meta_client.gap, s->began_ns, !op->ret);
        if (meta_client.ends)
            meta_client.over = --meta_client.load.busy == 0;
        else
            meta_submit(s);
        return;
    }
    if (op->ret && !meta_client.err) {
        meta_client.err = (int)op->ret;
        meta_client.load.end_ns = 0;
    }
    if (bench_load_done(&meta_client.load, s->began_ns))
        meta_submit(s);
    else
        meta_client.over = !meta_client.load.busy;
}

static void meta_submit(struct meta_slot *s)
{
    memset(&s->req, 0, sizeof s->req);
    s->began_ns = bench_load_now_ns();
    s->req.op.done = meta_answered;
    s->req.fsop = (struct fsop){.kind = FSOP_SETXATTR,
                                .ino = s->ino,
                                .name = "user.v",
                                .name_len = 6,
                                .data = meta_client.value,
                                .data_len = (uint32_t)meta_client.load.size};
    client_fs(tarn_client(meta_client.t), &s->req);
}

static int64_t meta_in_ns(int64_t ns)
{
    return env_now_ns(tarn_env(meta_client.t)) + ns;
}

static void meta_load(void)
{
    meta_client.over = false;
    meta_client.err = 0;
    for (int i = 0, depth = meta_client.load.depth; i < depth; i++)
        meta_submit(&meta_client.slot[i]);
    int err = tarn_run_until(meta_client.t, &meta_client.over, meta_in_ns(120000000000LL));
    if (err || meta_client.err)
        bench_load_failed("%s", err_text(err ? err : meta_client.err));
    else
        bench_load_print(&meta_client.load);
    if (err) /* some are still on their way */
        _exit(1);
}

static void meta_watch(int depth)
{
    meta_client.watches = true;
    meta_client.load.size = 100;
    meta_client.load.busy = depth;
    for (int i = 0; i < depth; i++)
        meta_submit(&meta_client.slot[i]);
    puts("ok");
    fflush(stdout);
}

static void meta_line(void *ctx, const char *line)
{
    int depth;
    (void)ctx;
    if (bench_gap_line(&meta_client.gap, line))
        return;
    if (sscanf(line, "watch %d", &depth) == 1 && depth > 0 && depth <= BENCH_LOAD_DEPTH_MAX &&
        !meta_client.watches)
        meta_watch(depth);
    else if (bench_load_parse(&meta_client.load, line))
        meta_load();
    else
        bench_load_failed("not understood: %s", line);
}

/* one file for each request that may be outstanding */
static int meta_files(void)
{
    int err = tarn_mkdir(meta_client.t, "/bench", 0755);
    if (err && err != E_EXIST)
        return err;
    for (int i = 0; i < BENCH_LOAD_DEPTH_MAX; i++) {
        char path[64];
        struct fsattr a;
        snprintf(path, sizeof path, "/bench/%d", i);
        err = tarn_mkdir(meta_client.t, path, 0755); /* it need not be opened */
        if (!err || err == E_EXIST)
            err = tarn_stat(meta_client.t, path, &a);
        if (err)
            return err;
        meta_client.slot[i].ino = a.ino;
    }
    return 0;
}

int bench_journal_meta(int argc, char **argv)
{
    struct tarn_options o = tarn_options_default();
    struct bench_load_lines lines = {0};
    bool never = false;
    if (argc != 1)
        return 2;
    o.client.masters = argv[0];
    int err = tarn_connect(&o, &meta_client.t);
    err = err ? err : meta_files();
    if (err) {
        bench_load_failed("%s: %s", argv[0], err_text(err));
        return 1;
    }
    for (;;) {
        struct pollfd in = {.fd = 0, .events = POLLIN};
        if (poll(&in, 1, meta_client.watches ? 0 : 20) > 0 &&
            !bench_load_read(&lines, 0, meta_line, NULL))
            break;
        /* the session is kept alive meanwhile */
        if (tarn_run_until(meta_client.t, &never, meta_in_ns(1000000)) == 0)
            break;
    }
    meta_client.ends = true;
    if (meta_client.watches)
        (void)tarn_run_until(meta_client.t, &meta_client.over, meta_in_ns(10000000000LL));
    tarn_disconnect(meta_client.t);
    _exit(0);
}
