/* tests/unit/test_net_disk.c - the same cases through io_uring and through the pool, in the env's
 * own directory and in a shared one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/fmt.h"
#include "journal/wal.h"
#include "net/net.h"
#include "tests/unit/unit.h"

struct disk {
    char dir[64], own[64]; /* own: the net's, where dir is shared */
    struct net *net;
    struct env *e;
};

struct wait {
    struct env_op op;
    bool done;
};

static void wait_done(struct env_op *op)
{
    container_of(op, struct wait, op)->done = true;
}

static int64_t await(struct disk *d, struct wait *w)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    CU_ASSERT_EQUAL_FATAL(net_run_until(d->net, &w->done, (t.tv_sec + 20LL) * 1000000000), 0);
    return w->op.ret;
}

/* submits, checks that it did not call back, waits: the result */
#define DO(d, call)                              \
    __extension__({                              \
        struct wait w_ = {.op.done = wait_done}; \
        struct env_op *op = &w_.op;              \
        call;                                    \
        CU_ASSERT(!w_.done);                     \
        await(d, &w_);                           \
    })

static void quiet(void *ctx, enum env_log level, const char *node, const char *line)
{
    (void)level;
    (void)node;
    if (ctx)
        fmt_into(ctx, 512, "%s", line);
}

static bool disk_open(struct disk *d, enum net_disk_kind kind)
{
    struct net_stats st;
    d->own[0] = 0;
    fmt_into(d->dir, sizeof d->dir, "/tmp/tarn-test-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(d->dir));
    struct net_config c = {.dir = d->dir, .disk = kind, .node = "disk", .log = quiet};
    int err = net_open(&c, &d->net);
    if (err == E_NOTSUP && kind == NET_DISK_URING) {
        printf("(no io_uring here: skipped) ");
        rmdir(d->dir);
        return false;
    }
    CU_ASSERT_EQUAL_FATAL(err, 0);
    d->e = net_env(d->net);
    net_stats(d->net, &st);
    CU_ASSERT_EQUAL(st.uring, kind == NET_DISK_URING);
    return true;
}

/* the env of another directory; the one that was opened becomes own */
static void disk_share(struct disk *d)
{
    memcpy(d->own, d->dir, sizeof d->own);
    fmt_into(d->dir, sizeof d->dir, "/tmp/tarn-test-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(d->dir));
    CU_ASSERT_EQUAL_FATAL(net_shared_open(d->net, d->dir, &d->e), 0);
    CU_ASSERT_STRING_EQUAL(env_disk(d->e, ""), d->dir);
}

static void disk_close(struct disk *d)
{
    char cmd[128];
    net_close(d->net);
    fmt_into(cmd, sizeof cmd, "rm -rf %s %s", d->dir, d->own);
    CU_ASSERT_EQUAL(system(cmd), 0);
}

static void both(void (*fn)(struct disk *d))
{
    static const enum net_disk_kind kinds[] = {NET_DISK_POOL, NET_DISK_URING};
    for (size_t i = 0; i < 2 * ARRAY_LEN(kinds); i++) {
        struct disk d = {.net = NULL};
        if (disk_open(&d, kinds[i / 2])) {
            if (i % 2)
                disk_share(&d);
            fn(&d);
            disk_close(&d);
        }
    }
}

static void files(struct disk *d)
{
    struct env_file *f, *g;
    static char b[300000], r[400000];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (char)(i * 31 + i / 1000);
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "a/b/c", ENV_O_WRITE, &f, op)), E_NOENT);
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "a/b/c", ENV_O_WRITE | ENV_O_CREATE, &f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof b, 5, op)), (int64_t)sizeof b);
    CU_ASSERT_EQUAL(DO(d, env_sync(f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_sync(f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_read(f, r, sizeof r, 0, op)), (int64_t)sizeof b + 5);
    CU_ASSERT(!memcmp(r, "\0\0\0\0\0", 5) && !memcmp(r + 5, b, sizeof b));
    CU_ASSERT_EQUAL(DO(d, env_read(f, r, 10, sizeof b + 5, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_read(f, r, 10, sizeof b, op)), 5);
    CU_ASSERT_EQUAL(DO(d, env_resize(f, 100000, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_punch(f, 8192, 8192, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_read(f, r, 200000, 0, op)), 100000);
    for (int i = 8192; i < 16384; i++)
        CU_ASSERT_FATAL(r[i] == 0);
    CU_ASSERT_EQUAL(memcmp(r + 16384, b + 16379, 1000), 0);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    unsigned excl = ENV_O_WRITE | ENV_O_CREATE | ENV_O_EXCL;
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "a/b/c", excl, &f, op)), E_EXIST);
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "a/b/c", ENV_O_READ, &f, op)), 100000);
    CU_ASSERT(DO(d, env_write(f, b, 1, 0, op)) < 0);
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "a/b/c", ENV_O_WRITE | ENV_O_TRUNC | ENV_O_DSYNC, &g, op)),
                    0);
    CU_ASSERT_EQUAL(DO(d, env_write(g, b, 7, 0, op)), 7);
    CU_ASSERT_EQUAL(DO(d, env_read(f, r, 10, 0, op)), 7);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_close(g, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "a/b", ENV_O_READ, &f, op)), E_ISDIR);
}

static void test_disk_files(void)
{
    both(files);
}

static void names(struct disk *d)
{
    struct env_file *f;
    char buf[ENV_NAME_MAX], long_name[ENV_NAME_MAX + 10];
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    const char *bad[] = {"",   "/etc/passwd", "../x",  "a/../b", "a//b",
                         "a/", ".",           "a/./b", long_name};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(DO(d, env_open(d->e, bad[i], ENV_O_CREATE | ENV_O_WRITE, &f, op)), E_INVAL);
        CU_ASSERT_EQUAL(DO(d, env_unlink(d->e, bad[i], op)), E_INVAL);
        CU_ASSERT_EQUAL(DO(d, env_rename(d->e, "q", bad[i], op)), E_INVAL);
    }
    const char *good[] = {"b", "a", "dir/x", "..c", "B"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CU_ASSERT_EQUAL(DO(d, env_open(d->e, good[i], ENV_O_CREATE | ENV_O_WRITE, &f, op)), 0);
        CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    }
    static const char all[] = "..c\0B\0a\0b\0dir/";
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "", "", buf, sizeof buf, op)), (int64_t)sizeof all);
    CU_ASSERT_EQUAL(memcmp(buf, all, sizeof all), 0);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "", "", buf, 9, op)), 8); /* whole names only */
    CU_ASSERT_EQUAL(memcmp(buf, all, 8), 0);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "", "a", buf, sizeof buf, op)), 7);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "", "dir/", buf, sizeof buf, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "", "", buf, 2, op)), E_RANGE);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "no/such", "", buf, sizeof buf, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "a", "", buf, sizeof buf, op)), E_NOTDIR);
    CU_ASSERT_EQUAL(DO(d, env_rename(d->e, "a", "new/deep/a", op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_rename(d->e, "b", "new/deep/a", op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_rename(d->e, "b", "c", op)), E_NOENT);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "new/deep", "", buf, sizeof buf, op)), 2);
    CU_ASSERT_EQUAL(DO(d, env_unlink(d->e, "new/deep/a", op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_unlink(d->e, "new/deep/a", op)), E_NOENT);
}

static void test_disk_names(void)
{
    both(names);
}

static void direct(struct disk *d)
{
    struct env_file *f;
    struct mem_source s = net_mem_source();
    char *b = s.get(s.ctx, 131072);
    memset(b, 'd', 65536);
    unsigned flags = ENV_O_WRITE | ENV_O_CREATE | ENV_O_DIRECT | ENV_O_DSYNC;
    CU_ASSERT_EQUAL_FATAL(DO(d, env_open(d->e, "wal/1", flags, &f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, 65536, 0, op)), 65536);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b + 1, 4096, 0, op)), E_INVAL);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, 4095, 0, op)), E_INVAL);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, 4096, 512, op)), E_INVAL);
    CU_ASSERT_EQUAL(DO(d, env_resize(f, 10000, op)), 0);
    memset(b, 0, 65536);
    CU_ASSERT_EQUAL(DO(d, env_read(f, b, 65536, 0, op)), 10000);
    CU_ASSERT(b[9999] == 'd');
    CU_ASSERT_EQUAL(DO(d, env_read(f, b, 65536, 12288, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    s.put(s.ctx, b, 131072);
}

static void test_disk_direct(void)
{
    both(direct);
}

enum { MANY = 1500, PIECE = 4096 };

static void many(struct disk *d)
{
    struct env_file *f;
    struct net_stats before, after;
    static struct wait w[MANY];
    static char from[MANY][PIECE], to[MANY][PIECE];
    CU_ASSERT_EQUAL_FATAL(DO(d, env_open(d->e, "m", ENV_O_WRITE | ENV_O_CREATE, &f, op)), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            w[i] = (struct wait){.op.done = wait_done};
            memset(from[i], i & 255, PIECE);
            if (round == 0)
                env_write(f, from[i], PIECE, (uint64_t)i * PIECE, &w[i].op);
            else
                env_read(f, to[i], PIECE, (uint64_t)i * PIECE, &w[i].op);
        }
        for (int i = 0; i < MANY; i++)
            CU_ASSERT_EQUAL(await(d, &w[i]), PIECE);
    }
    CU_ASSERT_EQUAL(memcmp(from, to, sizeof from), 0);
    /* what fits the ring goes to the kernel by one call */
    net_stats(d->net, &before);
    for (int i = 0; i < 200; i++) {
        w[i].done = false;
        env_read(f, to[i], PIECE, (uint64_t)i * PIECE, &w[i].op);
    }
    for (int i = 0; i < 200; i++)
        CU_ASSERT_EQUAL(await(d, &w[i]), PIECE);
    net_stats(d->net, &after);
    CU_ASSERT_EQUAL(after.disk_ops - before.disk_ops, after.uring ? 200 : 0);
    CU_ASSERT_EQUAL(after.disk_submits - before.disk_submits, after.uring ? 1 : 0);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
}

static void test_disk_many_at_once(void)
{
    both(many);
}

static void too_large(struct disk *d)
{
    struct env_file *f;
    static char b[64 * 1024];
    struct rlimit old, small;
    CU_ASSERT_EQUAL_FATAL(DO(d, env_open(d->e, "f", ENV_O_WRITE | ENV_O_CREATE, &f, op)), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){10000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    /* the first part fits, so the system call is short: it must not pass for success */
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof b, 0, op)), E_FBIG);
    setrlimit(RLIMIT_FSIZE, &old);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof b, 0, op)), (int64_t)sizeof b);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, 10, INT64_MAX, op)), E_FBIG);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
}

static void test_disk_short_write_is_an_error(void)
{
    both(too_large);
}

static void full(struct disk *d)
{
    struct env_file *f;
    char path[128];
    static char b[512 * 1024];
    fmt_into(path, sizeof path, "%s/small", d->dir);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    if (mount("none", path, "tmpfs", 0, "size=128k")) {
        printf("(no tmpfs for us: skipped) ");
        return;
    }
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "small/f", ENV_O_WRITE | ENV_O_CREATE, &f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof b, 0, op)), E_NOSPC);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    CU_ASSERT_EQUAL(umount(path), 0);
}

static void test_disk_full(void)
{
    both(full);
}

static void test_disk_directory_refusals(void)
{
    struct disk d;
    struct net *other;
    char line[512] = "", path[128];
    CU_ASSERT_FATAL(disk_open(&d, NET_DISK_POOL));
    struct net_config c = {.dir = d.dir, .log = quiet, .log_ctx = line};
    CU_ASSERT_EQUAL(net_open(&c, &other), E_BUSY);
    CU_ASSERT(strstr(line, "in use by another process") != NULL);
    c.dir = "/proc/version/below";
    CU_ASSERT_EQUAL(net_open(&c, &other), E_NOTDIR);
    CU_ASSERT(strstr(line, "/proc/version/below") != NULL);
    fmt_into(path, sizeof path, "%s/made/for/us/", d.dir);
    c.dir = path;
    CU_ASSERT_EQUAL(net_open(&c, &other), 0);
    net_close(other);
    c.dir = NULL;
    CU_ASSERT_EQUAL_FATAL(net_open(&c, &other), 0);
    struct disk none = {.net = other, .e = net_env(other)};
    struct env_file *f;
    CU_ASSERT_EQUAL(DO(&none, env_open(none.e, "x", ENV_O_READ, &f, op)), E_INVAL);
    net_close(other);
    disk_close(&d);
}

/* two processes in one directory: nobody is kept out, and each sees the other's files */
static void shared(struct disk *d)
{
    struct disk other = {.net = NULL};
    struct env_file *f, *g;
    static _Alignas(ENV_DIRECT_ALIGN) char b[ENV_DIRECT_ALIGN], r[ENV_DIRECT_ALIGN];
    unsigned excl = ENV_O_WRITE | ENV_O_CREATE | ENV_O_EXCL | ENV_O_DIRECT;
    if (!d->own[0])
        return;
    CU_ASSERT_FATAL(disk_open(&other, NET_DISK_POOL));
    struct env *e;
    CU_ASSERT_EQUAL_FATAL(net_shared_open(other.net, d->dir, &e), 0);
    CU_ASSERT_EQUAL_FATAL(DO(d, env_open(d->e, "x/log", excl, &f, op)), 0);
    memset(b, 'b', sizeof b);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof b, 0, op)), (int64_t)sizeof b);
    CU_ASSERT_EQUAL(DO(d, env_sync(f, op)), 0);
    CU_ASSERT_EQUAL(DO(&other, env_open(e, "x/log", excl, &g, op)), E_EXIST);
    CU_ASSERT_EQUAL(DO(&other, env_open(other.e, "x/log", ENV_O_READ, &g, op)), E_NOENT);
    CU_ASSERT_EQUAL(DO(&other, env_open(e, "x/log", ENV_O_READ | ENV_O_DIRECT, &g, op)),
                    (int64_t)sizeof b);
    CU_ASSERT_EQUAL(DO(&other, env_read(g, r, sizeof r, 0, op)), (int64_t)sizeof r);
    CU_ASSERT_EQUAL(memcmp(b, r, sizeof b), 0);
    CU_ASSERT_PTR_EQUAL(g->env, e);
    CU_ASSERT_EQUAL(DO(&other, env_rename(e, "x/log", "y", op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_list(d->e, "", "", r, sizeof r, op)), 5);
    CU_ASSERT(!memcmp(r, "x/\0y", 5));
    CU_ASSERT_EQUAL(DO(d, env_unlink(d->e, "y", op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    /* who would have it alone is kept out, and keeps others out */
    struct net_config alone = {.dir = d->dir, .node = "alone", .log = quiet};
    struct net *net;
    alone.dir_readonly = true;
    CU_ASSERT_EQUAL(net_open(&alone, &net), E_BUSY);
    CU_ASSERT_EQUAL_FATAL(net_shared_open(other.net, other.dir, &e), E_BUSY);
    disk_close(&other); /* with g open */
}

static void test_disk_shared(void)
{
    struct disk d = {.net = NULL};
    struct env *e;
    both(shared);
    CU_ASSERT_FATAL(disk_open(&d, NET_DISK_POOL));
    CU_ASSERT_EQUAL(net_shared_open(d.net, "/proc/version/below", &e), E_NOTDIR);
    disk_close(&d);
}

/* ---- who reads coherently sees what was written by the time he asked ---- */

enum { COHERENT_WRITES = 100, COHERENT_SLOT = 2 };

static atomic_uint coherent_written;
static atomic_bool coherent_ended;

static void *coherent_writer(void *ctx)
{
    static _Alignas(ENV_DIRECT_ALIGN) unsigned b[ENV_DIRECT_ALIGN / sizeof(unsigned)];
    int fd = open(ctx, O_WRONLY | O_DSYNC | O_DIRECT);
    if (fd < 0) /* no direct I/O here */
        fd = open(ctx, O_WRONLY | O_DSYNC);
    for (unsigned i = 1; i <= COHERENT_WRITES; i++) {
        b[0] = b[ARRAY_LEN(b) - 1] = i;
        if (pwrite(fd, b, sizeof b, COHERENT_SLOT * (off_t)sizeof b) != (ssize_t)sizeof b)
            break;
        atomic_store(&coherent_written, i);
    }
    if (fd >= 0)
        close(fd);
    atomic_store(&coherent_ended, true);
    return NULL;
}

/* descriptors of path, or of anything */
static int coherent_open_files(const char *path)
{
    int n = 0;
    struct stat want, st;
    if (path)
        CU_ASSERT_EQUAL_FATAL(stat(path, &want), 0);
    for (int fd = 0; fd < 256; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        n += !path || (!fstat(fd, &st) && st.st_dev == want.st_dev && st.st_ino == want.st_ino);
    }
    return n;
}

static bool coherent_is_known(const char *path)
{
    struct statfs s;
    CU_ASSERT_EQUAL_FATAL(statfs(path, &s), 0);
    unsigned long type = (unsigned long)s.f_type;
    return type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC || type == F2FS_SUPER_MAGIC ||
           type == TMPFS_MAGIC;
}

static bool coherent_is_cached(const char *path)
{
    unsigned char in = 0;
    int fd = open(path, O_RDONLY);
    CU_ASSERT_FATAL(fd >= 0);
    void *at = mmap(NULL, ENV_DIRECT_ALIGN, PROT_READ, MAP_SHARED, fd,
                    COHERENT_SLOT * (off_t)ENV_DIRECT_ALIGN);
    CU_ASSERT_FATAL(at != MAP_FAILED);
    CU_ASSERT_EQUAL(mincore(at, ENV_DIRECT_ALIGN, &in), 0);
    munmap(at, ENV_DIRECT_ALIGN);
    close(fd);
    return in & 1;
}

/* reads beside a writer until that one has ended, well */
static void coherent_beside(struct disk *d, struct env_file *f, char *path)
{
    static _Alignas(ENV_DIRECT_ALIGN) unsigned r[ENV_DIRECT_ALIGN / sizeof(unsigned)];
    pthread_t t;
    atomic_store(&coherent_written, 0);
    atomic_store(&coherent_ended, false);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, coherent_writer, path), 0);
    for (bool is_last = false; !is_last;) {
        is_last = atomic_load(&coherent_ended);
        unsigned written = atomic_load(&coherent_written);
        CU_ASSERT_EQUAL(DO(d, env_read(f, r, sizeof r, COHERENT_SLOT * sizeof r, op)),
                        (int64_t)sizeof r);
        CU_ASSERT(r[0] >= written);
    }
    pthread_join(t, NULL);
    CU_ASSERT_EQUAL(atomic_load(&coherent_written), COHERENT_WRITES);
    CU_ASSERT_EQUAL(r[0], COHERENT_WRITES);
}

static void coherent(struct disk *d)
{
    static _Alignas(ENV_DIRECT_ALIGN) char r[ENV_DIRECT_ALIGN], b[8 * ENV_DIRECT_ALIGN];
    char path[128];
    struct env_file *f;
    unsigned flags = ENV_O_WRITE | ENV_O_DIRECT | ENV_O_DSYNC;
    int before = coherent_open_files(NULL);
    memset(b, 0, sizeof b);
    fmt_into(path, sizeof path, "%s/fence", d->dir);
    CU_ASSERT_EQUAL_FATAL(DO(d, env_open(d->e, "fence", flags | ENV_O_CREATE, &f, op)), 0);
    CU_ASSERT_EQUAL(coherent_open_files(path), 1);
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof b, 0, op)), (int64_t)sizeof b);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    CU_ASSERT_EQUAL_FATAL(DO(d, env_open(d->e, "fence", flags | ENV_O_COHERENT, &f, op)),
                          (int64_t)sizeof b);
    bool is_known = coherent_is_known(path);
    if (!is_known)
        printf("(a file system whose pages are not used: that part is skipped) ");
    CU_ASSERT_EQUAL(coherent_open_files(path), is_known ? 2 : 1);
    coherent_beside(d, f, path);
    memset(b, 'x', sizeof r); /* and what was written here */
    CU_ASSERT_EQUAL(DO(d, env_write(f, b, sizeof r, COHERENT_SLOT * sizeof r, op)),
                    (int64_t)sizeof r);
    CU_ASSERT_EQUAL(DO(d, env_read(f, r, sizeof r, COHERENT_SLOT * sizeof r, op)),
                    (int64_t)sizeof r);
    CU_ASSERT_EQUAL(memcmp(r, b, sizeof r), 0);
    if (is_known)
        CU_ASSERT(coherent_is_cached(path));
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    CU_ASSERT_EQUAL(coherent_open_files(NULL), before);
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "fence", flags | ENV_O_COHERENT, &f, op)),
                    (int64_t)sizeof b); /* the net closes it */
}

static void test_disk_coherent(void)
{
    int before = coherent_open_files(NULL);
    both(coherent);
    CU_ASSERT_EQUAL(coherent_open_files(NULL), before);
}

/* ---- a directory whose server does not answer ---- */

struct far {
    char behind[64], at[64];
    pid_t server;
};

/* false: no FUSE for us, or fuse-through is not built */
static bool far_up(struct far *r)
{
    char exe[4096];
    struct stat st, was;
    fmt_into(r->behind, sizeof r->behind, "/tmp/tarn-test-disk-XXXXXX");
    fmt_into(r->at, sizeof r->at, "/tmp/tarn-test-disk-XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(r->behind) && mkdtemp(r->at) && !stat(r->at, &was));
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 32);
    CU_ASSERT_FATAL(n > 0);
    exe[n] = 0;
    fmt_into(strrchr(exe, '/'), 32, "/fuse-through");
    r->server = fork();
    if (!r->server) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        execl(exe, exe, r->behind, r->at, "-f", (char *)NULL);
        _exit(1);
    }
    for (int i = 0; i < 1000 && !waitpid(r->server, NULL, WNOHANG); i++) {
        if (!stat(r->at, &st) && st.st_dev != was.st_dev)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    printf("(no fuse-through here: skipped) ");
    rmdir(r->at);
    rmdir(r->behind);
    return false;
}

static void far_down(struct far *r)
{
    char cmd[256];
    umount2(r->at, MNT_DETACH);
    kill(r->server, SIGKILL);
    waitpid(r->server, NULL, 0);
    fmt_into(cmd, sizeof cmd, "rmdir %s && rm -rf %s", r->at, r->behind);
    CU_ASSERT_EQUAL(system(cmd), 0);
}

static atomic_bool far_answers;

/* so that a loop that hangs is found and not waited for */
static void *far_answer(void *ctx)
{
    for (int i = 0; i < 300 && !atomic_load(&far_answers); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    atomic_store(&far_answers, true);
    kill(((struct far *)ctx)->server, SIGCONT);
    return NULL;
}

struct far_timer {
    struct env_timer t;
    bool done;
};

static void far_timer_done(struct env_op *op)
{
    container_of(op, struct far_timer, t.op)->done = true;
}

/* The write is behind the end: that one a kernel waits for, whatever it was told. */
static void far_hangs(struct disk *d, struct far *r, struct env *e)
{
    static _Alignas(ENV_DIRECT_ALIGN) char b[ENV_DIRECT_ALIGN], to[ENV_DIRECT_ALIGN];
    static struct wait w[3];
    char path[128];
    struct env_file *f[3];
    struct far_timer timer = {.t.op.done = far_timer_done};
    pthread_t answer;
    unsigned flags = ENV_O_WRITE | ENV_O_CREATE | ENV_O_DIRECT | ENV_O_COHERENT;
    static const char *const names[] = {"f", "g", "h"};
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        CU_ASSERT_EQUAL_FATAL(DO(d, env_open(e, names[i], flags, &f[i], op)), 0);
        CU_ASSERT_EQUAL(DO(d, env_write(f[i], b, sizeof b, 0, op)), (int64_t)sizeof b);
        w[i] = (struct wait){.op.done = wait_done};
    }
    fmt_into(path, sizeof path, "%s/f", r->at);
    CU_ASSERT_EQUAL(coherent_open_files(path), 1); /* others may write there */
    atomic_store(&far_answers, false);
    kill(r->server, SIGSTOP);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&answer, NULL, far_answer, r), 0);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    env_read(f[0], to, sizeof to, 0, &w[0].op);
    env_write(f[1], b, sizeof b, sizeof b, &w[1].op);
    env_close(f[2], &w[2].op);
    env_timer_set(d->e, &timer.t, env_now_ns(d->e) + 200000000);
    CU_ASSERT_EQUAL(net_run_until(d->net, &timer.done, INT64_MAX), 0);
    CU_ASSERT(!atomic_load(&far_answers));
    CU_ASSERT(!w[0].done && !w[1].done);
    atomic_store(&far_answers, true);
    pthread_join(answer, NULL);
    for (size_t i = 0; i < ARRAY_LEN(w); i++)
        CU_ASSERT_EQUAL(await(d, &w[i]), i < 2 ? (int64_t)sizeof b : 0);
    for (size_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(DO(d, env_close(f[i], op)), 0);
}

/* what hangs there holds up nothing else of this loop */
static void test_disk_goes_on_beside_a_far_one_that_hangs(void)
{
    static const enum net_disk_kind kinds[] = {NET_DISK_POOL, NET_DISK_URING};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct disk d = {.net = NULL};
        struct far r;
        struct env *e;
        if (!disk_open(&d, kinds[i]))
            continue;
        bool is_up = far_up(&r);
        if (is_up) {
            CU_ASSERT_EQUAL_FATAL(net_shared_open(d.net, r.at, &e), 0);
            far_hangs(&d, &r, e);
        }
        disk_close(&d);
        if (is_up)
            far_down(&r);
    }
}

/* all but the files is the net's */
static void beside(struct disk *d)
{
    struct wait posted = {.op.done = wait_done};
    struct env_timer t = {.op.done = wait_done};
    CU_ASSERT_EQUAL(env_now_ns(d->e), env_now_ns(net_env(d->net)));
    env_reply(d->e, &posted.op, 7);
    CU_ASSERT(!posted.done);
    CU_ASSERT_EQUAL(await(d, &posted), 7);
    env_timer_set(d->e, &t, env_now_ns(d->e) + 1000000);
    CU_ASSERT(env_timer_is_set(&t));
    env_timer_stop(net_env(d->net), &t);
    CU_ASSERT(!env_timer_is_set(&t));
}

static void test_disk_beside_its_files(void)
{
    both(beside);
}

struct logged {
    struct wal_host host;
    uint64_t n;
};

static void log_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                       const void *bytes)
{
    struct logged *l = container_of(h, struct logged, host);
    CU_ASSERT(index == ++l->n && r->len == 100 && *(const uint8_t *)bytes == (uint8_t)index);
}

static void log_failed(struct wal_host *h, int why)
{
    (void)h;
    (void)why;
    CU_FAIL("the log failed");
}

/* the log runs on it as on any other */
static void log_runs(struct disk *d)
{
    struct logged l = {.host = {.record = log_record, .failed = log_failed}};
    struct wal_config cfg = {"log", 1 << 20, 64 * 1024, 2, 1 << 20, 1, 1};
    uint8_t b[100] = {0};
    struct mem m;
    for (uint64_t life = 0; life < 3; life++) {
        mem_init(&m, net_mem_source(), 64 << 20);
        struct wal *w = wal_create(d->e, &m, &cfg, &l.host);
        CU_ASSERT_PTR_NOT_NULL_FATAL(w);
        CU_ASSERT_EQUAL_FATAL(DO(d, wal_recover(w, 1, 0, op)), 0);
        CU_ASSERT_EQUAL(wal_last_index(w), 100 * life);
        CU_ASSERT_EQUAL(DO(d, wal_recover_start(w, life + 1, op)), 0);
        l.n = 0;
        CU_ASSERT_EQUAL(DO(d, wal_recover_replay(w, 1, op)), 0);
        for (uint64_t i = 0, index; i < 100; i++) {
            struct env_iov iov = {b, sizeof b};
            b[0] = (uint8_t)(100 * life + i + 1);
            CU_ASSERT_EQUAL(wal_append(w, 1, life + 1, &iov, 1, &index), 0);
        }
        CU_ASSERT_EQUAL(DO(d, wal_stop(w, op)), 0);
        CU_ASSERT_EQUAL(l.n, 100 * (life + 1));
        wal_free(w);
        mem_drop(&m);
    }
}

static void test_disk_log(void)
{
    both(log_runs);
}

static void never_done(struct env_op *op)
{
    (void)op;
    CU_FAIL("a completion after net_close");
}

static void leave_open(struct disk *d)
{
    struct env_file *f;
    static char b[1 << 20];
    static struct env_op op[100];
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "f", ENV_O_WRITE | ENV_O_CREATE, &f, op)), 0);
    for (size_t i = 0; i < ARRAY_LEN(op); i++) {
        op[i] = (struct env_op){.done = never_done};
        env_write(f, b, sizeof b, 0, &op[i]);
    }
}

static void test_disk_close_under_way(void)
{
    both(leave_open);
}

static _Atomic bool is_hung;

static void hung_run(struct env_op *op)
{
    while (is_hung)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    op->ret = 0;
}

static void behind_hung_work(struct disk *d)
{
    static struct wait work[40];
    struct env_file *f;
    is_hung = true;
    for (size_t i = 0; i < ARRAY_LEN(work); i++) {
        work[i] = (struct wait){.op.done = wait_done};
        env_work(d->e, &work[i].op, hung_run);
    }
    CU_ASSERT_EQUAL(DO(d, env_open(d->e, "new", ENV_O_WRITE | ENV_O_CREATE, &f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_write(f, "x", 1, 0, op)), 1);
    CU_ASSERT_EQUAL(DO(d, env_sync(f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_close(f, op)), 0);
    CU_ASSERT_EQUAL(DO(d, env_rename(d->e, "new", "old", op)), 0);
    CU_ASSERT(!work[0].done);
    is_hung = false;
    for (size_t i = 0; i < ARRAY_LEN(work); i++)
        CU_ASSERT_EQUAL(await(d, &work[i]), 0);
}

/* an under-store that hangs must not hold up our own files */
static void test_disk_goes_on_beside_work_that_hangs(void)
{
    both(behind_hung_work);
}

UNIT_MAIN("net_disk", UNIT(test_disk_files), UNIT(test_disk_names), UNIT(test_disk_direct),
          UNIT(test_disk_many_at_once), UNIT(test_disk_short_write_is_an_error),
          UNIT(test_disk_full), UNIT(test_disk_directory_refusals), UNIT(test_disk_close_under_way),
          UNIT(test_disk_goes_on_beside_work_that_hangs), UNIT(test_disk_shared),
          UNIT(test_disk_coherent), UNIT(test_disk_goes_on_beside_a_far_one_that_hangs),
          UNIT(test_disk_beside_its_files), UNIT(test_disk_log))
