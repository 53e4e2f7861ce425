/* tests/unit/test_fuse_mount.c - the mount, for real, over a client that holds a small tree in
 * memory.
 *
 * The loop runs in a thread; the tests use the mount through system calls.  Where FUSE is
 * missing or forbidden every test passes with a message. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "core/fmt.h"
#include "fuse/fuse_mount.h"
#include "fuse/fuse_point.h"
#include "tests/unit/test_fuse_fake.h"
#include "tests/unit/unit.h"

/* ---- the mount under test ---- */

static struct {
    bool is_possible;
    char dir[64], path[256];
    pthread_t thread;
    struct net *net;
    struct fuse_mount_config cfg;
    struct client_config cc;
    int ready[2];
    int code;
} mnt;

static void quiet(void *ctx, enum env_log level, const char *node, const char *line)
{
    (void)ctx, (void)node;
    if (level <= ENV_LOG_WARN && getenv("VERBOSE"))
        fprintf(stderr, "%s\n", line);
}

static void *mnt_main(void *arg)
{
    (void)arg;
    mnt.code = fuse_mount_run(mnt.net, &mnt.cc, &mnt.cfg);
    if (mnt.code)
        close(mnt.ready[1]);
    return NULL;
}

static void mnt_start(const char *options)
{
    memset(fake.names, 0, sizeof fake.names);
    fake.n_nodes = fake.n_names = 0;
    fake.is_silent = fake.is_live = false;
    fake.lease_ns = 3600 * UINT64_C(1000000000);
    fake_new(FSOP_S_IFDIR | 0755);
    fake.nodes[0].a.nlink = 2;
    fake.files_open = 0;
    struct net_config nc = {.node = "test", .log_level = ENV_LOG_WARN, .log = quiet};
    CU_ASSERT_EQUAL_FATAL(net_open(&nc, &mnt.net), 0);
    mnt.cfg = fuse_mount_config_default();
    mnt.cfg.mountpoint = mnt.dir;
    mnt.cfg.options = options;
    mnt.cfg.no_signals = true;
    mnt.cfg.memory_bytes = 64 << 20;
    CU_ASSERT_EQUAL_FATAL(pipe(mnt.ready), 0);
    mnt.cfg.ready_fd = mnt.ready[1];
    mnt.cc = (struct client_config){.masters = "fake:1", .deadline_ns = 5000 * MS};
}

static bool mnt_go(void)
{
    char c;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&mnt.thread, NULL, mnt_main, NULL), 0);
    bool ok = read(mnt.ready[0], &c, 1) == 1;
    CU_ASSERT(ok);
    return ok;
}

/* the exit code */
static int mnt_join(void)
{
    pthread_join(mnt.thread, NULL);
    net_close(mnt.net);
    close(mnt.ready[0]);
    for (uint32_t i = 0; i < fake.n_nodes; i++) {
        free(fake.nodes[i].data);
        free(fake.nodes[i].xattr_name);
        free(fake.nodes[i].xattr_value);
    }
    return mnt.code;
}

static int mnt_stop(void)
{
    for (int i = 0; i < 20000 && fake.files_open; i++) /* the kernel tells of a close in its time */
        usleep(1000);
    net_stop(mnt.net);
    int code = mnt_join();
    CU_ASSERT_EQUAL(fake.files_open, 0);
    return code;
}

static const char *at(const char *name)
{
    static char paths[4][256];
    static int next;
    char *p = paths[next++ % 4];
    fmt_into(p, sizeof paths[0], "%s/%s", mnt.dir, name);
    return p;
}

static bool skip(void)
{
    char text[256];
    if (!mnt.dir[0]) {
        strcpy(mnt.dir, "/tmp/tarn-fuse-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(mnt.dir));
        mnt.cfg = fuse_mount_config_default();
        mnt.cfg.mountpoint = mnt.dir;
        int code = fuse_mount_check(&mnt.cfg, text, sizeof text);
        mnt.is_possible = code == FUSE_MOUNT_DONE && !geteuid();
        if (!mnt.is_possible)
            fprintf(stderr, "\nSKIP: %s\n", code ? text : "mounting needs root in these tests");
    }
    return !mnt.is_possible;
}

struct inval {
    struct env_op call, ack;
    struct rpc_inval i;
    _Atomic bool acked;
};

static void inval_acked(struct env_op *op)
{
    container_of(op, struct inval, ack)->acked = true;
}

static void inval_call(struct env_op *op)
{
    struct inval *v = container_of(op, struct inval, call);
    fake.host->on_invalidate(fake.host, &v->i, &v->ack);
}

static bool inval(enum rpc_inval_kind kind, struct ino ino, const char *name)
{
    struct inval v = {.call.done = inval_call,
                      .ack.done = inval_acked,
                      .i = {kind, ino, name, (uint32_t)strlen(name)}};
    env_post(fake.env, &v.call);
    for (int i = 0; i < 4000 && !v.acked; i++)
        usleep(5000);
    return v.acked;
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0640);
    CU_ASSERT(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CU_ASSERT_EQUAL(fsync(fd), 0);
    CU_ASSERT_EQUAL(close(fd), 0);
}

static ssize_t get_file(const char *path, char *to, size_t cap)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, to, cap);
    close(fd);
    return n;
}

static void test_names(void)
{
    char buf[256];
    struct stat st;
    if (skip())
        return;
    mnt_start(NULL);
    if (!mnt_go())
        return;
    CU_ASSERT_EQUAL(mkdir(at("d"), 0750), 0);
    CU_ASSERT_EQUAL(mkdir(at("d"), 0750), -1);
    CU_ASSERT_EQUAL(errno, EEXIST);
    put_file(at("d/a"), "hello");
    CU_ASSERT_EQUAL(get_file(at("d/a"), buf, sizeof buf), 5);
    CU_ASSERT(!memcmp(buf, "hello", 5));
    CU_ASSERT_EQUAL(link(at("d/a"), at("d/b")), 0);
    CU_ASSERT_EQUAL(stat(at("d/b"), &st), 0);
    CU_ASSERT_EQUAL(st.st_nlink, 2);
    CU_ASSERT_EQUAL(st.st_size, 5);
    CU_ASSERT_EQUAL(symlink("d/a", at("s")), 0);
    memset(buf, 0, sizeof buf);
    CU_ASSERT_EQUAL(readlink(at("s"), buf, sizeof buf), 3);
    CU_ASSERT_STRING_EQUAL(buf, "d/a");
    CU_ASSERT_EQUAL(get_file(at("s"), buf, sizeof buf), 5);
    CU_ASSERT_EQUAL(rename(at("d/b"), at("c")), 0);
    CU_ASSERT_EQUAL(access(at("d/b"), F_OK), -1);
    CU_ASSERT_EQUAL(renameat2(AT_FDCWD, at("c"), AT_FDCWD, at("d/a"), RENAME_NOREPLACE), -1);
    CU_ASSERT_EQUAL(errno, EEXIST);
    CU_ASSERT_EQUAL(renameat2(AT_FDCWD, at("s"), AT_FDCWD, at("c"), RENAME_EXCHANGE), 0);
    CU_ASSERT_EQUAL(lstat(at("c"), &st), 0);
    CU_ASSERT(S_ISLNK(st.st_mode));
    CU_ASSERT_EQUAL(rmdir(at("d")), -1);
    CU_ASSERT_EQUAL(errno, ENOTEMPTY);
    CU_ASSERT_EQUAL(unlink(at("d/a")), 0);
    CU_ASSERT_EQUAL(rmdir(at("d")), 0);
    CU_ASSERT_EQUAL(mknod(at("p"), S_IFIFO | 0600, 0), 0);
    CU_ASSERT_EQUAL(stat(at("p"), &st), 0);
    CU_ASSERT(S_ISFIFO(st.st_mode));
    CU_ASSERT_EQUAL(get_file(at("none"), buf, sizeof buf), -ENOENT);
    struct statvfs v;
    CU_ASSERT_EQUAL(statvfs(mnt.dir, &v), 0);
    CU_ASSERT_EQUAL(v.f_blocks, (1 << 30) / 4096);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void test_attributes(void)
{
    struct stat st;
    char buf[64];
    if (skip())
        return;
    mnt_start(NULL);
    fake_file(INO_ROOT, "f", 1000);
    if (!mnt_go())
        return;
    const char *f = at("f");
    CU_ASSERT_EQUAL(stat(f, &st), 0);
    CU_ASSERT_EQUAL(st.st_size, 1000);
    CU_ASSERT_EQUAL(st.st_mtim.tv_sec, 1700000000);
    CU_ASSERT_EQUAL(st.st_mtim.tv_nsec, 123456789);
    CU_ASSERT_EQUAL(chmod(f, 0600), 0);
    CU_ASSERT_EQUAL(chown(f, 12, 34), 0);
    CU_ASSERT_EQUAL(truncate(f, 10), 0);
    struct timespec t[2] = {{5, 6}, {7, 8}};
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, f, t, 0), 0);
    CU_ASSERT_EQUAL(stat(f, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0600);
    CU_ASSERT(st.st_uid == 12 && st.st_gid == 34);
    CU_ASSERT_EQUAL(st.st_size, 10);
    CU_ASSERT(st.st_mtim.tv_sec == 7 && st.st_mtim.tv_nsec == 8);
    CU_ASSERT_EQUAL(setxattr(f, "user.k", "value", 5, 0), 0);
    CU_ASSERT_EQUAL(getxattr(f, "user.k", buf, sizeof buf), 5);
    CU_ASSERT_EQUAL(getxattr(f, "user.k", buf, 2), -1);
    CU_ASSERT_EQUAL(errno, ERANGE);
    CU_ASSERT_EQUAL(getxattr(f, "user.k", NULL, 0), 5);
    CU_ASSERT_EQUAL(listxattr(f, buf, sizeof buf), 7);
    CU_ASSERT_EQUAL(removexattr(f, "user.k"), 0);
    CU_ASSERT_EQUAL(getxattr(f, "user.k", buf, sizeof buf), -1);
    CU_ASSERT_EQUAL(errno, ENODATA);
    /* what the kernel asks before writes never leaves the process */
    uint64_t asked = fake.seen[FSOP_GETXATTR];
    CU_ASSERT_EQUAL(getxattr(f, "security.capability", buf, sizeof buf), -1);
    CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
    put_file(f, "x");
    CU_ASSERT_EQUAL(fake.seen[FSOP_GETXATTR], asked);
    /* the answer may be kept for its lease: the second stat does not ask */
    CU_ASSERT_EQUAL(stat(f, &st), 0);
    uint64_t n = fake.seen[FSOP_GETATTR] + fake.seen[FSOP_LOOKUP];
    CU_ASSERT_EQUAL(stat(f, &st), 0);
    CU_ASSERT_EQUAL(fake.seen[FSOP_GETATTR] + fake.seen[FSOP_LOOKUP], n);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void test_lease_bounds_the_kernel(void)
{
    struct stat st;
    if (skip())
        return;
    mnt_start(NULL);
    fake.lease_ns = 0;
    fake_file(INO_ROOT, "f", 1000);
    if (!mnt_go())
        return;
    for (int i = 0; i < 3; i++) {
        uint64_t n = fake.seen[FSOP_GETATTR] + fake.seen[FSOP_LOOKUP];
        CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
        CU_ASSERT(fake.seen[FSOP_GETATTR] + fake.seen[FSOP_LOOKUP] > n);
    }
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void test_io(void)
{
    enum { N = 3 * 1024 * 1024 + 777 };
    if (skip())
        return;
    mnt_start(NULL);
    fake_file(INO_ROOT, "f", N);
    if (!mnt_go())
        return;
    char *got = malloc(N + 1);
    const char *want = fake.nodes[1].data;
    for (int direct = 0; direct < 2; direct++) {
        int fd = open(at("f"), direct ? O_RDONLY | O_DIRECT : O_RDONLY);
        CU_ASSERT_FATAL(fd >= 0);
        size_t n = 0;
        ssize_t r;
        while ((r = read(fd, got + n, N + 1 - n)) > 0)
            n += (size_t)r;
        CU_ASSERT_EQUAL(n, N);
        CU_ASSERT(!memcmp(got, want, N));
        CU_ASSERT_EQUAL(pread(fd, got, 100, N - 50), 50);
        CU_ASSERT_EQUAL(pread(fd, got, 100, N + 50), 0);
        CU_ASSERT_EQUAL(lseek(fd, 10, SEEK_DATA), 10);
        CU_ASSERT_EQUAL(lseek(fd, 10, SEEK_HOLE), N);
        CU_ASSERT_EQUAL(lseek(fd, N, SEEK_DATA), -1);
        CU_ASSERT_EQUAL(errno, ENXIO);
        close(fd);
    }
    /* pages stay while the version does, and go with it */
    int fd = open(at("f"), O_RDONLY);
    uint64_t reads = fake.reads;
    CU_ASSERT_EQUAL(pread(fd, got, 4096, 8192), 4096);
    CU_ASSERT_EQUAL(fake.reads, reads);
    close(fd);
    for (int i = 0; i < 20000 && fake.files_open; i++)
        usleep(1000);
    memset(fake.nodes[1].data + 8192, 'Z', 4096);
    fake.nodes[1].a.version++;
    fd = open(at("f"), O_RDONLY);
    CU_ASSERT_EQUAL(pread(fd, got, 4096, 8192), 4096);
    CU_ASSERT_EQUAL(got[0], 'Z');
    close(fd);
    /* writing, with a size that no read-ahead hides */
    fd = open(at("w"), O_CREAT | O_EXCL | O_RDWR, 0644);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, want, N), N);
    CU_ASSERT_EQUAL(pwrite(fd, "mid", 3, 1000001), 3);
    CU_ASSERT_EQUAL(ftruncate(fd, N - 100), 0);
    CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_END), N - 100);
    close(fd);
    CU_ASSERT_EQUAL(get_file(at("w"), got, N + 1), N - 100);
    CU_ASSERT(!memcmp(got, want, 1000001) && !memcmp(got + 1000001, "mid", 3));
    CU_ASSERT(!memcmp(got + 1000004, want + 1000004, N - 100 - 1000004));
    /* open with O_TRUNC is one step */
    uint64_t sets = fake.seen[FSOP_SETATTR];
    put_file(at("w"), "short");
    CU_ASSERT_EQUAL(fake.seen[FSOP_SETATTR], sets);
    CU_ASSERT_EQUAL(get_file(at("w"), got, N), 5);
    free(got);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void test_live_is_direct_and_mappable(void)
{
    char buf[16];
    if (skip())
        return;
    mnt_start(NULL);
    fake_file(INO_ROOT, "f", 8192);
    fake.is_live = true;
    if (!mnt_go())
        return;
    int fd = open(at("f"), O_RDWR);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pread(fd, buf, 4, 0), 4);
    fake.nodes[1].data[0] = 'Q';
    CU_ASSERT_EQUAL(pread(fd, buf, 4, 0), 4);
    CU_ASSERT_EQUAL(buf[0], 'Q');
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        CU_ASSERT_EQUAL(errno, ENODEV); /* before Linux 6.6 */
    } else {
        p[5000] = 'M';
        CU_ASSERT_EQUAL(msync(p, 8192, MS_SYNC), 0);
        CU_ASSERT_EQUAL(munmap(p, 8192), 0);
        CU_ASSERT_EQUAL(fake.nodes[1].data[5000], 'M');
    }
    close(fd);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void test_listing(void)
{
    enum { N = 2000 };
    static bool seen[N];
    char name[32];
    if (skip())
        return;
    mnt_start(NULL);
    struct fake_node *d = fake_new(FSOP_S_IFDIR | 0755);
    fake_link(INO_ROOT, "d", 1, d->a.ino);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "entry-%d", i);
        fake_file(d->a.ino, name, 0);
    }
    if (!mnt_go())
        return;
    for (int round = 0; round < 2; round++) {
        DIR *dir = opendir(at("d"));
        CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
        memset(seen, 0, sizeof seen);
        int n = 0, dots = 0, twice = 0;
        long middle = 0;
        for (struct dirent *e; (e = readdir(dir));) {
            int i;
            if (sscanf(e->d_name, "entry-%d", &i) == 1) {
                twice += seen[i];
                seen[i] = true;
                if (++n == N / 2)
                    middle = telldir(dir);
                CU_ASSERT_EQUAL(e->d_type, DT_REG);
            } else {
                dots++;
                CU_ASSERT_EQUAL(e->d_ino, !strcmp(e->d_name, ".") ? d->a.ino.v : 1);
            }
            if (n == 10 && !round)
                unlink(at("d/entry-5")); /* seen already: no effect on the rest */
        }
        CU_ASSERT_EQUAL(n, N - round);
        CU_ASSERT_EQUAL(dots, 2);
        CU_ASSERT_EQUAL(twice, 0);
        seekdir(dir, middle);
        n = 0;
        while (readdir(dir))
            n++;
        CU_ASSERT_EQUAL(n, N - round - N / 2);
        closedir(dir);
    }
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

/* names of a directory of 300 files, and a stat of those from the from-th to before the to-th */
static void list_and_stat(const char *name, int from, int to)
{
    struct stat st;
    DIR *dir = opendir(at(name));
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir)); n++)
        if (n >= from && n < to)
            CU_ASSERT_EQUAL(fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
    CU_ASSERT_EQUAL(n, 302);
    closedir(dir);
}

static void test_listing_without_attributes(void)
{
    char name[32], dirs[][3] = {"d0", "d1", "d2", "d3", "d4", "d5"};
    if (skip())
        return;
    mnt_start(NULL);
    for (int d = 0; d < 6; d++) {
        struct fake_node *n = fake_new(FSOP_S_IFDIR | 0755);
        fake_link(INO_ROOT, dirs[d], 2, n->a.ino);
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "entry-%d", i);
            fake_file(n->a.ino, name, 0);
        }
    }
    if (!mnt_go())
        return;
    uint64_t before = fake.names_only;
    for (int d = 0; d < 3; d++) /* everybody looks: attributes come with the names */
        list_and_stat(dirs[d], 0, 302);
    CU_ASSERT_EQUAL(fake.names_only, before);
    for (int i = 0; i < 2; i++)
        list_and_stat("d3", 0, 0);
    uint64_t lists = fake.seen[FSOP_READDIR];
    list_and_stat("d3", 0, 0);
    lists = fake.seen[FSOP_READDIR] - lists; /* of one listing */
    CU_ASSERT(fake.names_only > before);     /* nobody does */
    CU_ASSERT_EQUAL(fake.neighbours, 0);
    uint64_t seen = fake.seen[FSOP_READDIR];
    list_and_stat("d4", 0, 0);
    for (int i = 10; i < 300; i++) { /* until somebody does */
        struct stat st;
        snprintf(name, sizeof name, "d4/entry-%d", i);
        CU_ASSERT_EQUAL(stat(at(name), &st), 0);
    }
    CU_ASSERT(fake.neighbours > 0);
    seen = fake.seen[FSOP_READDIR] - seen - lists; /* by the batch, but not for each question */
    CU_ASSERT(seen >= 20 && seen <= 302 / 4);
    before = fake.names_only;
    list_and_stat("d5", 0, 302);
    CU_ASSERT_EQUAL(fake.names_only, before);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

/* reads on to the end: each entry once, and what is not there yet; returns how many */
static int read_on(DIR *dir, bool seen[300], int stats, long *ret_fifth)
{
    int n = 0, k;
    struct stat st;
    for (struct dirent *e; (e = readdir(dir)); n++) {
        if (n == 4 && ret_fifth)
            *ret_fifth = telldir(dir);
        if (sscanf(e->d_name, "entry-%d", &k) != 1)
            continue;
        CU_ASSERT_FALSE_FATAL(seen[k]);
        seen[k] = true;
        if (n < stats)
            CU_ASSERT_EQUAL(fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
    }
    return n;
}

/* begun with names, in the under-store's order, and attributes wanted after all */
static void test_listing_turns(void)
{
    char name[32], dirs[][2] = {"d", "e"};
    bool seen[300];
    long fifth = 0;
    if (skip())
        return;
    mnt_start(NULL);
    for (int d = 0; d < 2; d++) {
        struct fake_node *n = fake_new(FSOP_S_IFDIR | 0755);
        fake_link(INO_ROOT, dirs[d], 1, n->a.ino);
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "entry-%d", i);
            fake_file(n->a.ino, name, 0);
        }
    }
    if (!mnt_go())
        return;
    for (int d = 0; d < 2; d++) {
        for (int i = 0; i < 3; i++)
            list_and_stat(dirs[d], 0, 0);
        CU_ASSERT(fake.names_only > 0);
        fake.below = d + 1;
        memset(seen, 0, sizeof seen);
        uint64_t lookups = fake.seen[FSOP_LOOKUP];
        DIR *dir = opendir(at(dirs[d]));
        CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
        CU_ASSERT_EQUAL(read_on(dir, seen, 400, &fifth), 302);
        lookups = fake.seen[FSOP_LOOKUP] - lookups;
        CU_ASSERT(lookups > 0 && lookups < 30); /* those of the first batch of names */
        memset(seen, 0, sizeof seen);
        seekdir(dir, fifth); /* a place below is still one */
        CU_ASSERT_EQUAL(read_on(dir, seen, 0, NULL), 302 - 5);
        memset(seen, 0, sizeof seen);
        rewinddir(dir);
        CU_ASSERT_EQUAL(read_on(dir, seen, 0, NULL), 302);
        closedir(dir);
        fake.below = 0;
    }
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void test_invalidation(void)
{
    struct stat st;
    char buf[8];
    if (skip())
        return;
    mnt_start(NULL);
    struct ino f = fake_file(INO_ROOT, "f", 8192), g = fake_file(INO_ROOT, "g", 1);
    if (!mnt_go())
        return;
    CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
    CU_ASSERT_EQUAL(stat(at("g"), &st), 0);
    fake.nodes[f.v - 1].a.mode = FSOP_S_IFREG | 0611;
    CU_ASSERT(inval(RPC_INVAL_ATTR, f, ""));
    CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07777, 0611);
    /* a name that is gone, and one that came */
    CU_ASSERT_EQUAL(stat(at("new"), &st), -1);
    fake_find(INO_ROOT, "g", 1)->ino.v = 0;
    fake_link(INO_ROOT, "new", 3, g);
    CU_ASSERT(inval(RPC_INVAL_ENTRY, INO_ROOT, "g"));
    CU_ASSERT(inval(RPC_INVAL_ENTRY, INO_ROOT, "new"));
    CU_ASSERT_EQUAL(stat(at("g"), &st), -1);
    CU_ASSERT_EQUAL(stat(at("new"), &st), 0);
    /* pages of an open file */
    int fd = open(at("f"), O_RDONLY);
    CU_ASSERT_EQUAL(pread(fd, buf, 1, 4096), 1);
    fake.nodes[f.v - 1].data[4096] = '#';
    CU_ASSERT_EQUAL(pread(fd, buf, 1, 4096), 1);
    CU_ASSERT_NOT_EQUAL(buf[0], '#');
    CU_ASSERT(inval(RPC_INVAL_DATA, f, ""));
    CU_ASSERT_EQUAL(pread(fd, buf, 1, 4096), 1);
    CU_ASSERT_EQUAL(buf[0], '#');
    close(fd);
    /* a directory's every name, then everything */
    for (int all = 0; all < 2; all++) {
        CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
        struct fake_name *n = fake_find(INO_ROOT, all ? "x" : "f", 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(n);
        strcpy(n->name, all ? "f" : "x");
        CU_ASSERT(inval(RPC_INVAL_DIR, all ? (struct ino){0} : INO_ROOT, ""));
        CU_ASSERT_EQUAL(stat(at("f"), &st), all - 1);
        if (!all) {
            CU_ASSERT_EQUAL(stat(at("x"), &st), 0);
            strcpy(n->name, "f"); /* back, so that the second round has something to see */
            CU_ASSERT(inval(RPC_INVAL_DIR, INO_ROOT, ""));
            CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
            strcpy(n->name, "x");
        }
    }
    /* what the kernel never saw costs nothing */
    CU_ASSERT(inval(RPC_INVAL_DATA, (struct ino){4711}, ""));
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

static void on_alarm(int s)
{
    (void)s;
}

static void test_silent_master(void)
{
    struct stat st;
    if (skip())
        return;
    mnt_start("attr_timeout=0,entry_timeout=0");
    mnt.cc.deadline_ns = 1500 * MS;
    fake_file(INO_ROOT, "f", 100);
    if (!mnt_go())
        return;
    CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
    fake.is_silent = true;
    CU_ASSERT_EQUAL(stat(at("f"), &st), -1);
    CU_ASSERT_EQUAL(errno, ETIMEDOUT);
    /* a signal ends a request that is stuck, long before a long deadline */
    fake.deadline_ns = 60000 * MS;
    struct sigaction sa = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &sa, NULL);
    pid_t child = fork();
    if (!child) {
        alarm(1);
        _exit(stat(at("f"), &st) == -1 && errno == EINTR ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    /* and the mount ends in spite of it */
    child = fork();
    if (!child)
        _exit(stat(at("f"), &st) == -1 ? 0 : 1);
    usleep(100000);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    struct fuse_point p;
    CU_ASSERT(!fuse_point_find(mnt.dir, &p));
}

static void test_ends(void)
{
    char text[256];
    struct fuse_point p;
    if (skip())
        return;
    mnt_start("ro,fsname=a:1,max_read=131072"); /* unmounted by somebody else */
    fake_file(INO_ROOT, "f", 100);
    if (!mnt_go())
        return;
    CU_ASSERT_EQUAL(open(at("n"), O_CREAT | O_WRONLY, 0600), -1);
    CU_ASSERT_EQUAL(errno, EROFS);
    CU_ASSERT(fuse_point_find(mnt.dir, &p));
    CU_ASSERT_STRING_EQUAL(p.type, "fuse.tarn");
    CU_ASSERT_STRING_EQUAL(p.source, "a:1");
    CU_ASSERT_EQUAL(fuse_mount_unmount(mnt.dir, false, text, sizeof text), 0);
    CU_ASSERT_EQUAL(mnt_join(), 0);
    /* in use: detached */
    mnt_start(NULL);
    fake_file(INO_ROOT, "f", 100);
    if (!mnt_go())
        return;
    int fd = open(at("f"), O_RDONLY);
    CU_ASSERT_EQUAL(fuse_mount_unmount(mnt.dir, false, text, sizeof text), E_BUSY);
    net_stop(mnt.net);
    CU_ASSERT_EQUAL(mnt_join(), 0);
    CU_ASSERT(!fuse_point_find(mnt.dir, &p));
    CU_ASSERT_EQUAL(read(fd, text, 1), -1);
    close(fd);
    /* a second mount over the first is refused */
    mnt_start(NULL);
    if (!mnt_go())
        return;
    struct fuse_mount_config again = fuse_mount_config_default();
    again.mountpoint = mnt.dir;
    CU_ASSERT_EQUAL(fuse_mount_check(&again, text, sizeof text), FUSE_MOUNT_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "busy"));
    CU_ASSERT_EQUAL(mnt_stop(), 0);
}

/* a mount whose process was killed is replaced */
static void test_stale_mount(void)
{
    struct stat st;
    if (skip())
        return;
    int ready[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        mnt_start(NULL);
        mnt.cfg.ready_fd = ready[1];
        _exit(fuse_mount_run(mnt.net, &mnt.cc, &mnt.cfg));
    }
    char c;
    CU_ASSERT_EQUAL(read(ready[0], &c, 1), 1);
    CU_ASSERT_EQUAL(stat(mnt.dir, &st), 0); /* kept by the kernel: it still answers later */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    CU_ASSERT_EQUAL(access(at("f"), F_OK), -1);
    CU_ASSERT_EQUAL(errno, ENOTCONN);
    mnt_start(NULL);
    fake_file(INO_ROOT, "f", 100);
    if (!mnt_go())
        return;
    CU_ASSERT_EQUAL(stat(at("f"), &st), 0);
    CU_ASSERT_EQUAL(mnt_stop(), 0);
    CU_ASSERT_EQUAL(rmdir(mnt.dir), 0);
    mnt.dir[0] = '\0';
}

UNIT_MAIN("fuse_mount", UNIT(test_names), UNIT(test_attributes), UNIT(test_lease_bounds_the_kernel),
          UNIT(test_io), UNIT(test_live_is_direct_and_mappable), UNIT(test_listing),
          UNIT(test_listing_without_attributes), UNIT(test_listing_turns), UNIT(test_invalidation),
          UNIT(test_silent_master), UNIT(test_ends), UNIT(test_stale_mount))
