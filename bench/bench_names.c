/* bench/bench_names.c - names through the mount, by the programs that people use, each beside the
 * same program on the under-store's own file system in the same round.
 *
 *   find    over --files names in directories of 1,000, nothing cached: a new master and mount, and
 *           the kernel's caches dropped before either side where /proc/sys/vm/drop_caches allows it
 *   ls -l   of one directory with 100,000 files: the first time through the mount, then again;
 *           the local side has read it before; the same of a fresh bench-memfs, the floor of FUSE
 *   tar -c  reads 8,000 files of 1 to 16 KB in 80 directories that nobody has read yet
 *   tar -x  unpacks 10,000 files of 1,000 bytes in 100 directories, rm -r removes them
 *
 * With fewer --files than these numbers, all trees are that small.  What a program prints is
 * compared in length, so that a side that lists or reads less is no faster.  Peak memory of master
 * and mount is that of the whole round, and after find alone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench/bench.h"

enum { NAMES_PER_DIR = 1000, NAMES_LS = 100000, NAMES_TAR = 10000, NAMES_READ = 8000 };
enum { NAMES_PER_SMALL_DIR = 100, NAMES_SIZES = 16 };

struct bench_names {
    struct bench *b;
    char dir[512];
    pid_t master, worker, mount;
    bool can_drop;
};

/* --- trees --- */

static bool names_file(int dir, const char *name, size_t bytes)
{
    static char block[NAMES_SIZES * 1024];
    int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return bench_fail(name);
    bool ok = !bytes || write(fd, block, bytes) == (ssize_t)bytes;
    close(fd);
    return ok || bench_fail(name);
}

static int names_count(const struct bench_names *n, int most)
{
    return n->b->files < (uint64_t)most ? (int)n->b->files : most;
}

/* files of `bytes`, or where more than one `sizes` is wanted, of 1 to `sizes` times that */
static bool names_dir(const char *path, int files, size_t bytes, int sizes)
{
    char name[32];
    if (mkdir(path, 0755))
        return bench_fail(path);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = dir >= 0;
    for (int i = 0; ok && i < files; i++) {
        snprintf(name, sizeof name, "file-%06d", i);
        ok = names_file(dir, name, bytes * (size_t)(1 + i % sizes));
    }
    if (dir >= 0)
        close(dir);
    return ok;
}

static bool names_tree(const char *top, int dirs, int files, size_t bytes, int sizes)
{
    char path[1024];
    if (mkdir(top, 0755))
        return bench_fail(top);
    for (int i = 0; i < dirs; i++) {
        snprintf(path, sizeof path, "%s/dir-%05d", top, i);
        if (!names_dir(path, files, bytes, sizes))
            return false;
    }
    return true;
}

/* --- programs --- */

/* seconds that argv takes in directory `in`; its output goes to a file, *ret_bytes long */
static double names_run(const struct bench_names *n, const char *in, char *const argv[],
                        int64_t *ret_bytes)
{
    char out[600];
    struct stat st = {0};
    snprintf(out, sizeof out, "%s/output", n->dir);
    int64_t start = bench_now_ns();
    pid_t pid = fork();
    if (!pid) {
        int fd = open(out, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        if (fd < 0 || dup2(fd, 1) < 0 || chdir(in))
            _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
        fprintf(stderr, "tarn bench: %s in %s: status %d\n", argv[0], in, status);
        return -1;
    }
    int64_t end = bench_now_ns();
    if (ret_bytes && !stat(out, &st))
        *ret_bytes = st.st_size;
    return (double)(end - start) / 1e9;
}

static bool names_sample(struct bench_names *n, const char *name, const char *unit, double value,
                         int baseline, int *ret_row)
{
    int row = bench_row(n->b, name, unit, baseline);
    if (value < 0)
        return false;
    bench_sample(n->b, row, value);
    if (ret_row)
        *ret_row = row;
    return true;
}

static void names_drop(struct bench_names *n)
{
    if (n->b->files < NAMES_TAR)
        return; /* nothing that small is worth what this costs everybody else */
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    n->can_drop = fd >= 0 && write(fd, "3\n", 2) == 2;
    if (fd >= 0)
        close(fd);
}

static double names_peak_mb(pid_t pid)
{
    char path[64], line[256];
    double kb = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && kb < 0 && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6))
            kb = strtod(line + 6, NULL);
    if (f)
        fclose(f);
    return kb < 0 ? -1 : kb / 1024;
}

/* --- the cluster --- */

static void names_stop(struct bench_names *n)
{
    if (n->mount > 0)
        bench_end(n->mount);
    if (n->worker > 0)
        bench_end(n->worker);
    if (n->master > 0)
        bench_end(n->master);
    n->mount = n->worker = n->master = 0;
}

/* a master that knows nothing */
static bool names_start(struct bench_names *n)
{
    char config[600], at[600], old[600], log[600];
    char master[] = "master", worker[] = "worker", mount[] = "mount", flag[] = "--config";
    names_stop(n);
    snprintf(at, sizeof at, "%s/mnt", n->dir);
    snprintf(log, sizeof log, "%s/tarn.log", n->dir);
    snprintf(old, sizeof old, "%s/master", n->dir);
    bench_remove(old);
    snprintf(old, sizeof old, "%s/worker", n->dir);
    bench_remove(old);
    if (!bench_config(n->dir, config, sizeof config))
        return false;
    char *m[] = {n->b->self, master, flag, config, NULL};
    char *w[] = {n->b->self, worker, flag, config, NULL};
    char *c[] = {n->b->self, mount, at, flag, config, NULL};
    return (n->master = bench_spawn(m, log)) > 0 && (n->worker = bench_spawn(w, log)) > 0 &&
           (n->mount = bench_spawn(c, log)) > 0;
}

/* --- a round --- */

/* where a tree lies below, and where through the mount */
struct names_place {
    char under[600], mnt[600];
};

static struct names_place names_place(const struct bench_names *n, const char *tree)
{
    struct names_place p;
    snprintf(p.under, sizeof p.under, "%s/under/%s", n->dir, tree);
    snprintf(p.mnt, sizeof p.mnt, "%s/mnt/%s", n->dir, tree);
    return p;
}

/* the same program on both sides, nothing of either in the kernel's caches */
static bool names_cold(struct bench_names *n, const char *local, const char *through,
                       const char *tree, char *const argv[], double work, const char *unit)
{
    struct names_place p = names_place(n, tree);
    int64_t want = 0, have = 0;
    int base;
    names_drop(n);
    double t = names_run(n, p.under, argv, &want);
    if (!names_sample(n, local, unit, t < 0 || work == 0 ? t : work / t, -1, &base))
        return false;
    names_drop(n);
    t = names_run(n, p.mnt, argv, &have);
    if (!names_sample(n, through, unit, t < 0 || work == 0 ? t : work / t, base, NULL))
        return false;
    if (want == have)
        return true;
    fprintf(stderr, "tarn bench: %s printed %lld bytes, below %lld\n", argv[0], (long long)have,
            (long long)want);
    return false;
}

static bool names_find(struct bench_names *n)
{
    char find[] = "find", dot[] = ".";
    char *argv[] = {find, dot, NULL};
    return names_cold(n, "local: find", "tarn: find", "tree", argv, 0, "s") &&
           names_sample(n, "tarn: master after find", "MB", names_peak_mb(n->master), -1, NULL) &&
           names_sample(n, "tarn: mount after find", "MB", names_peak_mb(n->mount), -1, NULL);
}

static bool names_read(struct bench_names *n)
{
    char tar[] = "tar", c[] = "-c", dot[] = ".";
    char *argv[] = {tar, c, dot, NULL};
    return names_cold(n, "local: read small files", "tarn: read small files", "small", argv,
                      names_count(n, NAMES_READ), "files/s");
}

/* the plainest FUSE file system with as many files */
static bool names_ls_memfs(struct bench_names *n, char *const ls[], int base)
{
    char program[600], at[600], log[600], files[16];
    char f[] = "--files", s[] = "--size", zero[] = "0";
    snprintf(program, sizeof program, "%s", n->b->self);
    char *slash = strrchr(program, '/');
    snprintf(slash ? slash + 1 : program, 32, "bench-memfs");
    snprintf(at, sizeof at, "%s/memfs", n->dir);
    snprintf(log, sizeof log, "%s/memfs.log", n->dir);
    snprintf(files, sizeof files, "%d", names_count(n, NAMES_LS));
    char *argv[] = {program, f, files, s, zero, at, NULL};
    pid_t pid = bench_spawn(argv, log);
    bool ok =
        pid > 0 &&
        names_sample(n, "memfs: ls -l, the first", "s", names_run(n, at, ls, NULL), base, NULL) &&
        names_sample(n, "memfs: ls -l, again", "s", names_run(n, at, ls, NULL), base, NULL);
    if (pid > 0)
        bench_end(pid);
    return ok;
}

static bool names_ls(struct bench_names *n)
{
    struct names_place p = names_place(n, "large");
    char ls[] = "ls", l[] = "-l";
    char *argv[] = {ls, l, NULL};
    int base;
    return names_run(n, p.under, argv, NULL) >= 0 && /* into the kernel's caches */
           names_sample(n, "local: ls -l", "s", names_run(n, p.under, argv, NULL), -1, &base) &&
           names_ls_memfs(n, argv, base) &&
           names_sample(n, "tarn: ls -l, the first", "s", names_run(n, p.mnt, argv, NULL), base,
                        NULL) &&
           names_sample(n, "tarn: ls -l, again", "s", names_run(n, p.mnt, argv, NULL), base, NULL);
}

static bool names_untar(struct bench_names *n)
{
    char local[600], mnt[600], archive[600];
    char tar[] = "tar", x[] = "-xf", rm[] = "rm", r[] = "-r", src[] = "src";
    char *unpack[] = {tar, x, archive, NULL}, *remove_all[] = {rm, r, src, NULL};
    double files = names_count(n, NAMES_TAR), t;
    int base, base_rm;
    snprintf(local, sizeof local, "%s/local", n->dir);
    snprintf(mnt, sizeof mnt, "%s/mnt", n->dir);
    snprintf(archive, sizeof archive, "%s/src.tar", n->dir);
    t = names_run(n, local, unpack, NULL);
    bool ok = names_sample(n, "local: untar", "files/s", t < 0 ? t : files / t, -1, &base);
    t = ok ? names_run(n, mnt, unpack, NULL) : -1;
    ok = ok && names_sample(n, "tarn: untar", "files/s", t < 0 ? t : files / t, base, NULL);
    t = ok ? names_run(n, local, remove_all, NULL) : -1;
    ok = ok && names_sample(n, "local: rm -r", "files/s", t < 0 ? t : files / t, -1, &base_rm);
    t = ok ? names_run(n, mnt, remove_all, NULL) : -1;
    return ok && names_sample(n, "tarn: rm -r", "files/s", t < 0 ? t : files / t, base_rm, NULL);
}

static bool names_prepare(struct bench_names *n)
{
    static const char *const made[] = {"under", "mnt", "local", "memfs"};
    char path[700], archive[600];
    char tar[] = "tar", c[] = "-cf", src[] = "src";
    char *pack[] = {tar, c, archive, src, NULL};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", n->dir, made[i]);
        if (mkdir(path, 0755))
            return bench_fail(path);
    }
    snprintf(archive, sizeof archive, "%s/src.tar", n->dir);
    snprintf(path, sizeof path, "%s/src", n->dir);
    const int small = NAMES_PER_SMALL_DIR;
    if (!names_tree(path, names_count(n, NAMES_TAR) / small, small, 1000, 1) ||
        names_run(n, n->dir, pack, NULL) < 0)
        return false;
    snprintf(path, sizeof path, "%s/under/small", n->dir);
    if (!names_tree(path, names_count(n, NAMES_READ) / small, small, 1024, NAMES_SIZES))
        return false;
    snprintf(path, sizeof path, "%s/under/large", n->dir);
    if (!names_dir(path, names_count(n, NAMES_LS), 0, 1))
        return false;
    snprintf(path, sizeof path, "%s/under/tree", n->dir);
    const int per_dir = names_count(n, NAMES_PER_DIR);
    return names_tree(path, (int)(n->b->files / (uint64_t)per_dir), per_dir, 0, 1);
}

static bool names_all(struct bench_names *n)
{
    struct bench *b = n->b;
    b->title = "names: programs on the mount beside the same on the under-store's file system";
    if (!names_prepare(n))
        return false;
    for (int i = 0; i < b->rounds; i++) {
        if (!names_start(n) || !names_find(n) || !names_ls(n) || !names_read(n) ||
            !names_untar(n) ||
            !names_sample(n, "tarn: master, all", "MB", names_peak_mb(n->master), -1, NULL) ||
            !names_sample(n, "tarn: mount, all", "MB", names_peak_mb(n->mount), -1, NULL))
            return false;
        fprintf(stderr, "round %d of %d\n", i + 1, b->rounds);
    }
    snprintf(b->params, sizeof b->params,
             "one master, one worker, TCP loopback, mode through; find of %d files, caches %s; "
             "ls -l of %d; %d small files; untar of %d",
             (int)b->files, n->can_drop ? "dropped" : "NOT dropped", names_count(n, NAMES_LS),
             names_count(n, NAMES_READ), names_count(n, NAMES_TAR));
    return true;
}

int bench_names_main(struct bench *b)
{
    struct bench_names n = {.b = b};
    char real[PATH_MAX];
    if (!bench_temp_dir(b, n.dir, sizeof n.dir))
        return 1;
    if (realpath(n.dir, real) && strlen(real) < sizeof n.dir)
        memcpy(n.dir, real, strlen(real) + 1);
    bool ok = names_all(&n);
    names_stop(&n);
    if (!ok) {
        fprintf(stderr, "tarn bench: not measured; files and logs are in %s\n", n.dir);
        return 1;
    }
    bench_report(b);
    bench_remove(n.dir);
    return 0;
}
