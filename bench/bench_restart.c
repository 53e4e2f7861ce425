/* bench/bench_restart.c - a master of three is killed and started again, with a large state: how
 * long until it is a standby that has everything.
 *
 * Three masters as an operator makes them, files made through the client, an image of each, then
 * more changes while the victim is down: the tail, which comes from its own log and from the
 * leader.  Baseline: reading the victim's image past the page cache and checksumming it, without
 * making anything of it.  What the restart takes beyond that is compared with what is wanted. */
#include "bench/bench_masters.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cluster/tarn.h"

enum { RESTART_OUT = 512, RESTART_DIR = 10000 };
static const double bench_restart_wanted_s = 5;

struct restart_slot {
    struct client_req req;
    char name[32];
};

static struct bench_restart {
    struct bench *b;
    struct bench_masters masters;
    struct tarn *t;
    char dir[512];
    struct restart_slot slot[RESTART_OUT];
    struct ino into;
    uint64_t made, until;
    int busy, err;
    bool over;
} bench_restart;

/* --- files --- */

static void bench_restart_create(struct restart_slot *s);

static void bench_restart_created(struct env_op *op)
{
    struct client_req *r = container_of(op, struct client_req, op);
    if (op->ret && !bench_restart.err)
        bench_restart.err = (int)op->ret;
    if (!bench_restart.err && bench_restart.made < bench_restart.until)
        bench_restart_create(container_of(r, struct restart_slot, req));
    else
        bench_restart.over = !--bench_restart.busy;
}

static void bench_restart_create(struct restart_slot *s)
{
    int n = snprintf(s->name, sizeof s->name, "f%011llu",
                     (unsigned long long)bench_restart.made++); /* 12 bytes */
    memset(&s->req, 0, sizeof s->req);
    s->req.op.done = bench_restart_created;
    s->req.fsop = (struct fsop){.kind = FSOP_MKNOD,
                                .ino = bench_restart.into,
                                .mode = FSOP_S_IFREG | 0644,
                                .name = s->name,
                                .name_len = (uint32_t)n};
    client_fs(tarn_client(bench_restart.t), &s->req);
}

/* n more files, by a client of its own: its session would not last until the next time */
static bool bench_restart_fill(uint64_t n)
{
    struct bench_restart *r = &bench_restart;
    struct tarn_options o = tarn_options_default();
    o.client.masters = r->masters.all;
    r->err = tarn_connect(&o, &r->t);
    for (uint64_t end = r->made + n; r->made < end && !r->err;) {
        char path[64];
        struct fsattr a;
        snprintf(path, sizeof path, "/d%llu", (unsigned long long)r->made);
        r->err = tarn_mkdir(r->t, path, 0755);
        if (r->err || (r->err = tarn_stat(r->t, path, &a)))
            break;
        r->into = a.ino;
        r->until = end - r->made < RESTART_DIR ? end : r->made + RESTART_DIR;
        r->over = false;
        r->busy = RESTART_OUT;
        for (int i = 0; i < RESTART_OUT; i++) {
            if (r->made < r->until)
                bench_restart_create(&r->slot[i]);
            else
                r->busy--;
        }
        int err = tarn_run_until(r->t, &r->over, env_now_ns(tarn_env(r->t)) + 60000000000LL);
        r->err = r->err ? r->err : err;
    }
    if (r->err)
        fprintf(stderr, "tarn bench: creating files: %s\n", err_text(r->err));
    if (r->t)
        tarn_disconnect(r->t);
    r->t = NULL;
    return !r->err;
}

/* --- rounds --- */

/* from its start until it is a standby that has applied all that was committed then; < 0: never */
static double bench_restart_once(struct bench_restart *r, int victim)
{
    struct bench_masters_member e[BENCH_MASTERS_MAX];
    double committed, now;
    if (bench_masters_ask(&r->masters, e, &committed) < 2)
        return -1;
    int64_t from = bench_now_ns();
    if (!bench_masters_start(&r->masters, victim))
        return -1;
    for (; bench_now_ns() - from < 300000000000LL; usleep(50000)) {
        int64_t asked = bench_now_ns();
        bench_masters_ask(&r->masters, e, &now);
        if (e[victim].answers && !strcmp(e[victim].role, "standby") &&
            e[victim].applied >= committed)
            return (double)(asked - from) / 1e9;
    }
    fprintf(stderr, "tarn bench: master %d does not come back; see %s\n", victim + 1, r->dir);
    return -1;
}

/* the newest image's name; it is what is loaded */
static bool bench_restart_image(const char *dir, char *ret_name, size_t cap)
{
    DIR *d = opendir(dir);
    *ret_name = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, "image", 5) && strcmp(e->d_name, ret_name) > 0)
            snprintf(ret_name, cap, "%s", e->d_name);
    if (d)
        closedir(d);
    return *ret_name;
}

static uint64_t bench_restart_tail(const struct bench *b)
{
    return b->tail ? b->tail : b->files / 20;
}

static bool bench_restart_round(struct bench_restart *r)
{
    struct bench *b = r->b;
    char command[2000], path[600], image[256];
    double bytes;
    snprintf(command, sizeof command,
             "'%s' journal snapshot --all --timeout 300s --config '%s' >> '%s/snapshot.log' 2>&1",
             b->self, r->masters.config, r->dir);
    if (system(command)) {
        fprintf(stderr, "tarn bench: %s: failed; see %s\n", command, r->dir);
        return false;
    }
    int leader = bench_masters_leader(&r->masters, true, 120000);
    if (leader < 0)
        return false;
    int victim = (leader + 1) % r->masters.n;
    bench_proc_kill(&r->masters.proc[victim]);
    if (!bench_restart_fill(bench_restart_tail(b)))
        return false;
    snprintf(path, sizeof path, "%s/master%d", r->dir, victim + 1);
    if (!bench_restart_image(path, image, sizeof image))
        return false;
    double raw = bench_image_raw(path, image, &bytes), took = bench_restart_once(r, victim);
    if (raw < 0 || bytes <= 0 || took < 0)
        return false;
    int read = bench_row(b, "image read and checksummed", "s", -1);
    bench_sample(b, read, raw);
    bench_sample(b, bench_row(b, "a standby that has everything", "s", read), took);
    char name[64];
    snprintf(name, sizeof name, "beyond reading its image (<= %.0f)", bench_restart_wanted_s);
    bench_sample(b, bench_row(b, name, "s", -1), took - raw);
    bench_sample(b, bench_row(b, "image", "MB", -1), bytes / 1e6);
    fprintf(stderr, "%.1f s, and %.1f s to read its image\n", took, raw);
    return true;
}

int bench_restart_main(struct bench *b)
{
    struct bench_restart *r = &bench_restart;
    char memory[32];
    int ports = bench_proc_ports(3), code = 1;
    r->b = b;
    if (!ports || !bench_temp_dir(b, r->dir, sizeof r->dir))
        return 1;
    b->title = "a master of three started again with a large state";
    snprintf(b->params, sizeof b->params,
             "%llu files in directories of %d, names of 12 bytes; a tail of %llu more",
             (unsigned long long)b->files, RESTART_DIR, (unsigned long long)bench_restart_tail(b));
    /* the tables may be copied while an image is written */
    uint64_t mib = 512 + b->files * 2 / 1000;
    snprintf(memory, sizeof memory, "%lluMiB", (unsigned long long)mib);
    if (bench_masters_open(&r->masters, b, r->dir, 3, ports, memory) &&
        bench_masters_leader(&r->masters, true, 60000) >= 0) {
        int64_t start = bench_now_ns();
        code = bench_restart_fill(b->files) ? 0 : 1;
        bench_sample(b, bench_row(b, "creates, 512 outstanding", "op/s", -1),
                     (double)b->files * 1e9 / (double)(bench_now_ns() - start));
        for (int i = 0; i < b->rounds && !code; i++) {
            code = bench_restart_round(r) ? 0 : 1;
            fprintf(stderr, "round %d of %d\n", i + 1, b->rounds);
        }
    }
    bench_masters_close(&r->masters);
    if (!code) {
        bench_report(b);
        bench_remove(r->dir);
    }
    return code;
}
