/* bench/bench_fuse.c - a tarn mount beside the plainest in-memory libfuse file system
 * (bench/memfs_main.c), in the same run, round by round in turn.
 *
 * A cluster of its own (one master, one worker, a mount; under-store and cache in --dir) serves a
 * tree that was read once, so that every page is in the worker.  Both sides get the same calls:
 *
 *   sequential   1 MiB reads of one large file, kernel pages dropped before each pass
 *   random       4 KiB O_DIRECT reads of it, one at a time
 *   small        open, read, close of 100 KB files: kernel pages kept, and dropped each time
 *   stat         of names and attributes that the kernel may keep
 *   create       create and close of an empty file
 *
 * These reads go through the mount process and a worker by TCP, as if the worker were elsewhere; a
 * second mount shows what passthrough makes of one on the same host (bench_fuse_pass.c).
 *
 * A create through tarn is durable: it waits for the disk several times.  What the disk takes for
 * one small durable write is printed too; without it the number says nothing.
 *
 * A third side is the same cluster through a mount that keeps no pages in memory (client.page_cache
 * 0): there every small read, and every small file, is a round trip to the worker.
 *
 * A fourth is memfs with its bytes in a second process (bench-memfs --peer): what a file system
 * that asks another process by TCP for each read can reach here at most.  The third side stands
 * beside it.
 *
 * All mounts have the same read-ahead: that of tarn's configuration, also for memfs.  --pin says
 * where processes run, on all sides alike: free (where the scheduler puts them), one (all on one
 * processor), two (the reader on one, everything that serves him on another). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "bench/bench.h"

enum {
    BENCH_FUSE_SMALL = 200,
    BENCH_FUSE_SMALL_BYTES = 100000,
    BENCH_FUSE_BLOCK = 1 << 20,
    BENCH_FUSE_BLOCKS = 128,   /* of the large file */
    BENCH_FUSE_READS = 6,      /* rows of the third side: those that create nothing */
    BENCH_FUSE_PEER_READS = 3, /* of the fourth: those of the large file */
};
enum { BENCH_FUSE_MEMFS, BENCH_FUSE_TARN, BENCH_FUSE_BARE, BENCH_FUSE_PEER, BENCH_FUSE_SIDES };

/* One mounted tree: a large file and many small ones, in directories that may differ. */
struct bench_fuse_side {
    const char *name;
    char big[640], small[640], create[640]; /* a file; a directory; a directory */
    char *buf;
    uint64_t serial;
};

static void bench_fuse_small_name(const struct bench_fuse_side *s, int i, char *to, size_t cap)
{
    snprintf(to, cap, "%s/f%06d", s->small, i % BENCH_FUSE_SMALL);
}

/* MB/s of one pass */
static double bench_fuse_sequential(struct bench_fuse_side *s, bool is_direct)
{
    int fd = open(s->big, O_RDONLY | (is_direct ? O_DIRECT : 0));
    if (fd < 0)
        return bench_fail(s->big);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    int64_t start = bench_now_ns(), bytes = 0;
    for (ssize_t n; (n = read(fd, s->buf, BENCH_FUSE_BLOCK)) > 0;)
        bytes += n;
    int64_t end = bench_now_ns();
    close(fd);
    return (double)bytes * 1e3 / (double)(end - start);
}

/* op/s of what one step does, for b->seconds */
static double bench_fuse_rate(const struct bench *b, struct bench_fuse_side *s,
                              bool (*step)(struct bench_fuse_side *s, int fd, int i), int fd)
{
    int64_t start = bench_now_ns(), end = start + (int64_t)(b->seconds * 1e9), now = start;
    int n = 0;
    for (; now < end; now = bench_now_ns())
        for (int k = 0; k < 16; k++, n++)
            if (!step(s, fd, n))
                return 0;
    return (double)n / ((double)(now - start) / 1e9);
}

static bool bench_fuse_random(struct bench_fuse_side *s, int fd, int i)
{
    uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u;
    off_t at = (off_t)(x % (BENCH_FUSE_BLOCKS * (uint64_t)BENCH_FUSE_BLOCK / 4096)) * 4096;
    return pread(fd, s->buf, 4096, at) == 4096 || bench_fail(s->big);
}

static bool bench_fuse_small(struct bench_fuse_side *s, int is_dropping, int i)
{
    char path[700];
    bench_fuse_small_name(s, i, path, sizeof path);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return bench_fail(path);
    ssize_t n = read(fd, s->buf, BENCH_FUSE_SMALL_BYTES);
    if (is_dropping)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return n == BENCH_FUSE_SMALL_BYTES || bench_fail(path);
}

static bool bench_fuse_stat(struct bench_fuse_side *s, int unused, int i)
{
    char path[700];
    struct stat st;
    (void)unused;
    bench_fuse_small_name(s, i, path, sizeof path);
    return !stat(path, &st) || bench_fail(path);
}

static bool bench_fuse_create(struct bench_fuse_side *s, int unused, int i)
{
    char path[700];
    (void)unused, (void)i;
    snprintf(path, sizeof path, "%s/c%llu", s->create, (unsigned long long)s->serial++);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
    return fd < 0 ? bench_fail(path) : !close(fd);
}

static bool bench_fuse_durable(struct bench_fuse_side *s, int fd, int i)
{
    return pwrite(fd, s->buf, 4096, (off_t)(i % 256) * 4096) == 4096 || bench_fail("the disk");
}

/* op/s of 4 KiB O_DSYNC writes over blocks that are there already */
static double bench_fuse_disk(const struct bench *b, struct bench_fuse_side *s, const char *dir)
{
    char path[700];
    snprintf(path, sizeof path, "%s/durable", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_DSYNC, 0600);
    if (fd < 0)
        return bench_fail(path);
    double rate = pwrite(fd, s->buf, BENCH_FUSE_BLOCK, 0) == BENCH_FUSE_BLOCK
                      ? bench_fuse_rate(b, s, bench_fuse_durable, fd)
                      : bench_fail(path);
    close(fd);
    return rate;
}

static bool bench_fuse_round(struct bench *b, struct bench_fuse_side *sides, const char *dir)
{
    static const struct {
        const char *name, *unit;
    } rows[] = {{"sequential read, 1 MiB", "MB/s"},
                {"sequential read, 1 MiB, direct", "MB/s"},
                {"random read, 4 KiB, direct", "op/s"},
                {"small files, pages kept", "op/s"},
                {"small files, pages dropped", "op/s"},
                {"stat, cached", "op/s"},
                {"create + close", "op/s"}};
    enum { ROWS = sizeof rows / sizeof rows[0] };
    static bool (*const steps[])(struct bench_fuse_side * s, int flag, int i) = {
        bench_fuse_small, bench_fuse_small, bench_fuse_stat, bench_fuse_create};
    static const int order[] = {BENCH_FUSE_MEMFS, BENCH_FUSE_TARN, BENCH_FUSE_PEER,
                                BENCH_FUSE_BARE};
    static const int rows_of[] = {ROWS, ROWS, BENCH_FUSE_READS, BENCH_FUSE_PEER_READS};
    int peer[BENCH_FUSE_PEER_READS] = {0};
    for (int k = 0; k < BENCH_FUSE_SIDES; k++) {
        int side = order[k], n = rows_of[side];
        struct bench_fuse_side *s = &sides[side];
        int fd = open(s->big, O_RDONLY | O_DIRECT);
        if (fd < 0)
            return bench_fail(s->big);
        double v[ROWS] = {bench_fuse_sequential(s, false), bench_fuse_sequential(s, true),
                          bench_fuse_rate(b, s, bench_fuse_random, fd)};
        for (int i = BENCH_FUSE_PEER_READS; i < n; i++)
            v[i] = bench_fuse_rate(b, s, steps[i - BENCH_FUSE_PEER_READS], i == 4);
        close(fd);
        for (int i = 0; i < n; i++) {
            char name[64];
            if (v[i] <= 0)
                return false;
            snprintf(name, sizeof name, "%s: %s", s->name, rows[i].name);
            int row = bench_row(b, name, rows[i].unit, side ? i : -1);
            bench_sample(b, row, v[i]);
            if (side == BENCH_FUSE_PEER)
                peer[i] = row;
            if (side != BENCH_FUSE_BARE || i >= BENCH_FUSE_PEER_READS)
                continue;
            snprintf(name, sizeof name, "  beside memfs over TCP: %s", rows[i].name);
            bench_sample(b, bench_row(b, name, rows[i].unit, peer[i]), v[i]);
        }
    }
    double disk = bench_fuse_disk(b, &sides[0], dir);
    bench_sample(b, bench_row(b, "disk: durable write, 4 KiB", "op/s", -1), disk);
    return disk > 0;
}

/* --- what is measured --- */

struct bench_fuse_run {
    struct bench *b;
    struct bench_fuse_side sides[BENCH_FUSE_SIDES];
    char dir[512];
    int readahead_kb; /* of tarn's mount */
    bool is_alike;    /* memfs has the same */
    pid_t pid[12];
    int n_pids;
    char passed[640]; /* the large file in the second mount; "": it is not passed through here */
    char local[640];  /* the same file, where the worker has it */
};

static bool bench_fuse_start(struct bench_fuse_run *r, const char *log, char *const argv[])
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s.log", r->dir, log);
    pid_t pid = bench_spawn(argv, path);
    if (pid > 0)
        r->pid[r->n_pids++] = pid;
    return pid > 0;
}

static bool bench_fuse_memfs(struct bench_fuse_run *r, const char *name, const char *files,
                             const char *bytes, bool has_peer, char *ret_at, size_t cap)
{
    char program[600], at[600];
    snprintf(program, sizeof program, "%s", r->b->self);
    char *slash = strrchr(program, '/');
    snprintf(slash ? slash + 1 : program, 32, "bench-memfs");
    snprintf(at, sizeof at, "%s/%s", r->dir, name);
    if (mkdir(at, 0755))
        return bench_fail(at);
    char f[] = "--files", n[32], s[] = "--size", z[32], keep[] = "--keep-cache", peer[] = "--peer";
    snprintf(n, sizeof n, "%s", files);
    snprintf(z, sizeof z, "%s", bytes);
    char *argv[] = {program, f, n, s, z, keep, has_peer ? peer : at, has_peer ? at : NULL, NULL};
    snprintf(ret_at, cap, "%s", at);
    return bench_fuse_start(r, name, argv);
}

static bool bench_fuse_write(const char *path, int64_t bytes)
{
    static char block[BENCH_FUSE_SMALL_BYTES];
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (fd < 0)
        return bench_fail(path);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 2654435761u >> 24);
    while (bytes > 0) {
        size_t want = bytes < (int64_t)sizeof block ? (size_t)bytes : sizeof block;
        ssize_t n = write(fd, block, want);
        if (n <= 0)
            break;
        bytes -= n;
    }
    close(fd);
    return bytes == 0 || bench_fail(path);
}

static bool bench_fuse_tree(struct bench_fuse_side *s, const char *under)
{
    char path[700];
    bool ok = true;
    snprintf(path, sizeof path, "%s/small", under);
    ok = !mkdir(under, 0755) && !mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/create", under);
    ok = ok && !mkdir(path, 0755);
    if (!ok)
        return bench_fail(path);
    for (int i = 0; ok && i < BENCH_FUSE_SMALL; i++) {
        snprintf(path, sizeof path, "%s/small/f%06d", under, i);
        ok = bench_fuse_write(path, BENCH_FUSE_SMALL_BYTES);
    }
    snprintf(path, sizeof path, "%s/big", under);
    (void)s;
    return ok && bench_fuse_write(path, (int64_t)BENCH_FUSE_BLOCKS * BENCH_FUSE_BLOCK);
}

static bool bench_fuse_cluster(struct bench_fuse_run *r)
{
    struct bench_fuse_side *s = &r->sides[1];
    char config[600], under[600], at[600], second[600], third[600];
    char master[] = "master", worker[] = "worker", mount[] = "mount", flag[] = "--config";
    snprintf(under, sizeof under, "%s/under", r->dir);
    snprintf(at, sizeof at, "%s/mnt", r->dir);
    if (!bench_fuse_tree(s, under))
        return false;
    if (mkdir(at, 0755))
        return bench_fail(at);
    snprintf(second, sizeof second, "%s/second", r->dir);
    if (mkdir(second, 0755))
        return bench_fail(second);
    snprintf(third, sizeof third, "%s/third", r->dir);
    if (mkdir(third, 0755))
        return bench_fail(third);
    if (!bench_config(r->dir, config, sizeof config))
        return false;
    char *m[] = {r->b->self, master, flag, config, NULL};
    char *w[] = {r->b->self, worker, flag, config, NULL};
    char option[] = "-o", no_pass[] = "no_passthrough";
    char *c[] = {r->b->self, mount, at, flag, config, option, no_pass, NULL};
    char *p[] = {r->b->self, mount, second, flag, config, NULL};
    char set[] = "--set", no_pages[] = "client.page_cache=0";
    char *n[] = {r->b->self, mount, third, flag, config, option, no_pass, set, no_pages, NULL};
    struct bench_fuse_side *bare = &r->sides[2];
    snprintf(bare->big, sizeof bare->big, "%s/big", third);
    snprintf(bare->small, sizeof bare->small, "%s/small", third);
    snprintf(r->passed, sizeof r->passed, "%s/big", second);
    snprintf(s->big, sizeof s->big, "%s/big", at);
    snprintf(s->small, sizeof s->small, "%s/small", at);
    snprintf(s->create, sizeof s->create, "%s/create", at);
    return bench_fuse_start(r, "master", m) && bench_fuse_start(r, "worker", w) &&
           bench_fuse_start(r, "mount", c) && bench_fuse_start(r, "third", n) &&
           bench_fuse_start(r, "second", p);
}

/* the read-ahead of the mount that a path is in: read (kb 0) or set; 0: it cannot be */
static int bench_fuse_readahead(const char *path, int kb)
{
    struct stat st;
    char name[64];
    if (stat(path, &st))
        return 0;
    snprintf(name, sizeof name, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
             minor(st.st_dev));
    FILE *f = fopen(name, kb ? "we" : "re");
    if (!f)
        return 0;
    bool ok = kb ? fprintf(f, "%d", kb) > 0 : fscanf(f, "%d", &kb) == 1;
    return !fclose(f) && ok ? kb : 0;
}

static void bench_fuse_alike(struct bench_fuse_run *r)
{
    r->readahead_kb = bench_fuse_readahead(r->sides[1].big, 0);
    int big = bench_fuse_readahead(r->sides[0].big, r->readahead_kb);
    int small = bench_fuse_readahead(r->sides[0].small, r->readahead_kb);
    int peer = bench_fuse_readahead(r->sides[BENCH_FUSE_PEER].big, r->readahead_kb);
    r->is_alike = r->readahead_kb && big == r->readahead_kb && small == big && peer == big;
}

/* every page into the worker, every name into the kernel */
static bool bench_fuse_warm(struct bench_fuse_run *r)
{
    for (int side = 0; side < BENCH_FUSE_SIDES; side++) {
        struct bench_fuse_side *s = &r->sides[side];
        if (bench_fuse_sequential(s, false) <= 0)
            return false;
        for (int i = 0; side != BENCH_FUSE_PEER && i < BENCH_FUSE_SMALL; i++)
            if (!bench_fuse_small(s, 0, i))
                return false;
    }
    char worker[600];
    snprintf(worker, sizeof worker, "%s/worker", r->dir);
    if (!bench_fuse_pass_warm(r->passed, r->pid[r->n_pids - 1], r->sides[1].buf) ||
        !bench_fuse_pass_find(worker, (int64_t)BENCH_FUSE_BLOCKS * BENCH_FUSE_BLOCK, r->local,
                              sizeof r->local))
        r->passed[0] = '\0';
    return true;
}

static int bench_fuse_all(struct bench_fuse_run *r)
{
    struct bench *b = r->b;
    struct bench_fuse_side *s = &r->sides[0];
    char at[600];
    s->name = "memfs";
    r->sides[BENCH_FUSE_TARN].name = "tarn";
    r->sides[BENCH_FUSE_BARE].name = "tarn, no pages kept";
    r->sides[BENCH_FUSE_PEER].name = "memfs over TCP";
    bench_pin(b, true);
    char files[32], bytes[32];
    snprintf(bytes, sizeof bytes, "%d", BENCH_FUSE_BLOCKS * BENCH_FUSE_BLOCK);
    if (!bench_fuse_memfs(r, "memfs-big", "1", bytes, false, at, sizeof at))
        return 1;
    snprintf(s->big, sizeof s->big, "%s/f000000", at);
    if (!bench_fuse_memfs(r, "memfs-peer", "1", bytes, true, at, sizeof at))
        return 1;
    struct bench_fuse_side *peer = &r->sides[BENCH_FUSE_PEER];
    snprintf(peer->big, sizeof peer->big, "%s/f000000", at);
    snprintf(files, sizeof files, "%d", BENCH_FUSE_SMALL);
    snprintf(bytes, sizeof bytes, "%d", BENCH_FUSE_SMALL_BYTES);
    if (!bench_fuse_memfs(r, "memfs-small", files, bytes, false, at, sizeof at))
        return 1;
    snprintf(s->small, sizeof s->small, "%s", at);
    snprintf(s->create, sizeof s->create, "%s", at);
    if (!bench_fuse_cluster(r))
        return 1;
    bench_fuse_alike(r);
    bench_pin(b, false);
    if (!bench_fuse_warm(r))
        return 1;
    b->title = "FUSE mount: tarn beside a trivial in-memory libfuse file system";
    snprintf(b->params, sizeof b->params,
             "one master, one worker, TCP loopback, everything cached; %d MiB file, %d files of "
             "%d bytes, %.2g s each, read-ahead %d KiB%s, pinned %s",
             BENCH_FUSE_BLOCKS, BENCH_FUSE_SMALL, BENCH_FUSE_SMALL_BYTES, b->seconds,
             r->readahead_kb, r->is_alike ? "" : " (memfs: not the same, root can set it)", b->pin);
    for (int i = 0; i < b->rounds; i++)
        if (!bench_fuse_round(b, r->sides, r->dir) ||
            (r->passed[0] && !bench_fuse_pass_round(b, r->local, r->passed, s->buf)))
            return 1;
    return 0;
}

int bench_fuse_main(struct bench *b)
{
    struct bench_fuse_run r = {.b = b};
    void *buf = NULL;
    if (posix_memalign(&buf, 4096, BENCH_FUSE_BLOCK) || !bench_temp_dir(b, r.dir, sizeof r.dir))
        return 1;
    char real[PATH_MAX];
    if (realpath(r.dir, real) && strlen(real) < sizeof r.dir)
        memcpy(r.dir, real, strlen(real) + 1);
    for (int i = 0; i < BENCH_FUSE_SIDES; i++)
        r.sides[i].buf = buf;
    int code = bench_fuse_all(&r);
    while (r.n_pids > 0)
        bench_end(r.pid[--r.n_pids]);
    if (code)
        fprintf(stderr, "tarn bench: not measured; logs are in %s\n", r.dir);
    else
        bench_report(b);
    if (!code)
        bench_remove(r.dir);
    free(buf);
    return code;
}
