/* bench/bench_fuse_pass.c - a whole cached file that the kernel reads by itself (passthrough),
 * beside the very same file of the worker, opened without the mount.
 *
 * It is in the page cache for the sequential passes; the random reads are O_DIRECT, so they go to
 * the disk on both sides.  Samples alternate.  Whether the kernel reads by itself is told by the
 * mount process, which makes no system calls then. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench/bench.h"

enum {
    BENCH_PASS_BLOCK = 1 << 20,
    BENCH_PASS_SMALL = 4096,
    BENCH_PASS_TRIES = 100,
    BENCH_PASS_SLICES = 8
};

/* a file that is open on one side */
struct bench_pass_side {
    int fd;
    int64_t bytes;
    void *buf;
    uint64_t at; /* of the random reads */
};

/* read calls that a process made; -1: it cannot be told */
static int64_t bench_pass_calls(pid_t pid)
{
    char path[64];
    long long n = -1;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    for (char line[64]; fgets(line, sizeof line, f);)
        if (sscanf(line, "syscr: %lld", &n) == 1)
            break;
    fclose(f);
    return n;
}

/* MB/s of passes over the whole file for about `seconds` */
static double bench_pass_sequential(struct bench_pass_side *s, double seconds)
{
    int64_t start = bench_now_ns(), end = start + (int64_t)(seconds * 1e9), bytes = 0;
    do {
        for (int64_t at = 0; at < s->bytes; at += BENCH_PASS_BLOCK) {
            ssize_t n = pread(s->fd, s->buf, BENCH_PASS_BLOCK, at);
            if (n <= 0)
                return bench_fail("sequential read");
            bytes += n;
        }
    } while (bench_now_ns() < end);
    return (double)bytes * 1e3 / (double)(bench_now_ns() - start);
}

static double bench_pass_random(struct bench_pass_side *s, double seconds)
{
    int64_t start = bench_now_ns(), end = start + (int64_t)(seconds * 1e9), n = 0;
    do {
        for (int i = 0; i < 16; i++, n++) {
            uint64_t x = ++s->at * 0x9e3779b97f4a7c15u;
            off_t at = (off_t)(x % (uint64_t)(s->bytes / BENCH_PASS_SMALL)) * BENCH_PASS_SMALL;
            if (pread(s->fd, s->buf, BENCH_PASS_SMALL, at) != BENCH_PASS_SMALL)
                return bench_fail("random read");
        }
    } while (bench_now_ns() < end);
    return (double)n * 1e9 / (double)(bench_now_ns() - start);
}

static int bench_pass_open(struct bench_pass_side *s, const char *path, int flags)
{
    struct stat st;
    s->fd = open(path, O_RDONLY | flags);
    if (s->fd < 0 || fstat(s->fd, &st))
        return -1;
    s->bytes = st.st_size;
    return s->fd;
}

/* the worker's data file of that many bytes, below dir; false: there is none */
bool bench_fuse_pass_find(const char *dir, int64_t bytes, char *path, size_t cap)
{
    glob_t g;
    char pattern[700];
    struct stat st;
    bool found = false;
    snprintf(pattern, sizeof pattern, "%s/*/*.data", dir);
    if (glob(pattern, 0, NULL, &g))
        return false;
    for (size_t i = 0; i < g.gl_pathc && !found; i++)
        if (!stat(g.gl_pathv[i], &st) && st.st_size == bytes) {
            snprintf(path, cap, "%s", g.gl_pathv[i]);
            found = true;
        }
    globfree(&g);
    return found;
}

/* Reads the file through the mount until an open of it needs the mount no more. */
bool bench_fuse_pass_warm(const char *path, pid_t mount, void *buf)
{
    for (int i = 0; i < BENCH_PASS_TRIES; i++) {
        struct bench_pass_side s = {.buf = buf};
        if (bench_pass_open(&s, path, 0) < 0)
            return bench_fail(path);
        bench_pass_sequential(&s, 0);
        int64_t before = bench_pass_calls(mount);
        int direct = open(path, O_RDONLY | O_DIRECT);
        for (int64_t at = 0; direct >= 0 && at < s.bytes; at += BENCH_PASS_BLOCK)
            if (pread(direct, buf, BENCH_PASS_SMALL, at) < 0)
                break;
        int64_t after = bench_pass_calls(mount);
        close(direct);
        close(s.fd);
        if (before >= 0 && after - before < s.bytes / BENCH_PASS_BLOCK / 4)
            return true;
        usleep(100000);
    }
    return false;
}

/* one round: local and mounted in turn, a few times, for both kinds of reading */
bool bench_fuse_pass_round(struct bench *b, const char *local, const char *mounted, void *buf)
{
    static const struct {
        const char *name[2], *unit;
    } rows[] = {
        {{"local file: sequential read, 1 MiB, warm", "tarn, passed through: sequential, warm"},
         "MB/s"},
        {{"local file: random read, 4 KiB, direct", "tarn, passed through: random, direct"},
         "op/s"}};
    for (int kind = 0; kind < 2; kind++) {
        const char *path[2] = {local, mounted};
        struct bench_pass_side s[2] = {{.buf = buf}, {.buf = buf}};
        double sum[2] = {0, 0};
        bool ok = true;
        for (int i = 0; i < 2; i++)
            if (bench_pass_open(&s[i], path[i], kind ? O_DIRECT : 0) < 0)
                return bench_fail(path[i]);
        if (!kind)
            bench_pass_sequential(&s[0], 0); /* into the page cache, untimed */
        for (int i = 0; ok && i < 2 * BENCH_PASS_SLICES; i++) {
            double v = (kind ? bench_pass_random
                             : bench_pass_sequential)(&s[i % 2], b->seconds / BENCH_PASS_SLICES);
            sum[i % 2] += v;
            ok = v > 0;
        }
        for (int i = 0, row = -1; i < 2; i++) {
            close(s[i].fd);
            row = bench_row(b, rows[kind].name[i], rows[kind].unit, row);
            if (ok)
                bench_sample(b, row, sum[i] / BENCH_PASS_SLICES);
        }
        if (!ok)
            return false;
    }
    return true;
}
