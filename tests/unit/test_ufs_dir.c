/* tests/unit/test_ufs_dir.c - the under-store over a directory, on a temporary one. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cluster/ufs_dir.h"
#include "net/net.h"
#include "tests/unit/unit.h"

/* An env whose work() is done at once: each operation is a plain call for these tests. */
static void inline_work(struct env *e, struct env_op *op, void (*fn)(struct env_op *op))
{
    (void)e;
    fn(op);
    op->done(op);
}

static void inline_done(struct env_op *op)
{
    (void)op;
}

static const struct env_vt inline_vt = {.work = inline_work};
static struct env inline_env = {&inline_vt};
static char root[64];
static struct ufs *u;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

static void setup(void)
{
    char uri[96];
    strcpy(root, "/tmp/tarn-ufs-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    snprintf(uri, sizeof uri, "dir:%s", root);
    struct ufs_factory *f = ufs_dir_factory();
    CU_ASSERT_EQUAL_FATAL(f->open(f, &inline_env, uri, &u), 0);
}

static void teardown(void)
{
    ufs_close(u);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *real(const char *name)
{
    static char path[4][256];
    static int i;
    char *p = path[i++ % 4];
    snprintf(p, 256, "%s/%s", root, name);
    return p;
}

static int64_t run(struct ufs_op *o)
{
    o->op.done = inline_done;
    ufs_submit(u, o);
    return o->op.ret;
}

#define RUN(...) run(&(struct ufs_op){__VA_ARGS__})

static int64_t create(const char *path, unsigned flags, uint32_t mode)
{
    return RUN(.kind = UFS_CREATE, .path = path, .flags = flags, .mode = FSOP_S_IFREG | mode,
               .uid = geteuid(), .gid = getegid());
}

static int64_t put(const char *path, const char *text)
{
    return RUN(.kind = UFS_WRITE, .path = path, .buf = (void *)(uintptr_t)text,
               .len = (uint32_t)strlen(text));
}

static int64_t get(const char *path, char *to, uint32_t cap, uint64_t off, uint64_t fp)
{
    return RUN(.kind = UFS_READ, .path = path, .buf = to, .len = cap, .off = off, .expect_fp = fp);
}

static bool holds(const char *path, const char *text)
{
    char b[64] = "";
    int64_t n = get(path, b, sizeof b, 0, 0);
    return n == (int64_t)strlen(text) && !memcmp(b, text, (size_t)n);
}

static void age(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 30 * 1000 * 1000}, NULL);
}

static void test_ufs_dir_uris(void)
{
    struct ufs_factory *f = ufs_dir_factory();
    struct ufs *x;
    CU_ASSERT_EQUAL(f->open(f, &inline_env, "s3:bucket", &x), E_INVAL);
    CU_ASSERT_EQUAL(f->open(f, &inline_env, "dir:relative", &x), E_INVAL);
    CU_ASSERT_EQUAL(f->open(f, &inline_env, "dir:/no/such/place", &x), E_NOENT);
    CU_ASSERT_EQUAL(f->open(f, &inline_env, "dir:/etc/passwd", &x), E_NOTDIR);
}

static void test_ufs_dir_files(void)
{
    setup();
    struct ufs_op o = {.kind = UFS_CREATE,
                       .path = "f",
                       .mode = FSOP_S_IFREG | 0640,
                       .uid = geteuid(),
                       .gid = getegid()};
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_EQUAL(o.ent.mode, FSOP_S_IFREG | 0640);
    CU_ASSERT_EQUAL(create("f", 0, 0600), E_EXIST);
    CU_ASSERT_EQUAL(create("f", UFS_F_RESUME, 0600), 0);
    CU_ASSERT_EQUAL(put("f", "hello world"), 11);
    CU_ASSERT_EQUAL(create("f", UFS_F_RESUME, 0600), E_EXIST);
    char b[64];
    CU_ASSERT_EQUAL(get("f", b, 5, 6, 0), 5);
    CU_ASSERT(!memcmp(b, "world", 5));
    CU_ASSERT_EQUAL(get("f", b, 5, 100, 0), 0);
    CU_ASSERT_EQUAL(get("g", b, 5, 0, 0), E_NOENT);
    CU_ASSERT_EQUAL(get("", b, 5, 0, 0), E_ISDIR);
    CU_ASSERT_EQUAL(put("g", "x"), E_NOENT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_SYNC, .path = "f"), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_SYNC, .path = "g"), E_NOENT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_ALLOC, .path = "f", .off = 5000, .size = 5000), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_ALLOC, .path = "f", .size = 90000, .mode = UFS_ALLOC_KEEP), 0);
    o = (struct ufs_op){.kind = UFS_STAT, .path = "f"};
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_EQUAL(o.ent.size, 10000);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_ALLOC, .path = "f", .size = 9, .mode = 8), E_INVAL);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_ALLOC, .path = "f", .size = UINT64_MAX), E_INVAL);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_ALLOC, .path = "f", .size = 9, .not_after_ns = 1), E_TIMEOUT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_MKDIR, .path = "late", .mode = 0755, .not_after_ns = 1),
                    E_TIMEOUT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "f", .not_after_ns = 1), E_TIMEOUT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_STAT, .path = "late"), E_NOENT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_STAT, .path = "f"), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_ALLOC, .path = "f", .size = 9, .expect_ino = 1), E_CHANGED);
    struct ufs_op s = {.kind = UFS_STATFS};
    CU_ASSERT_EQUAL(run(&s), 0);
    CU_ASSERT(s.statfs.bytes > 0 && s.statfs.name_max == 255);
    /* a FIFO must not hang the thread */
    CU_ASSERT_EQUAL(RUN(.kind = UFS_CREATE, .path = "p", .mode = FSOP_S_IFIFO | 0600,
                        .uid = geteuid(), .gid = getegid()),
                    0);
    CU_ASSERT_EQUAL(get("p", b, 5, 0, 0), E_INVAL);
    teardown();
}

static void test_ufs_dir_read_only_mode_can_be_written_by_its_creator(void)
{
    setup();
    CU_ASSERT_EQUAL(create("ro", 0, 0444), 0);
    CU_ASSERT_EQUAL(put("ro", "abc"), 3);
    CU_ASSERT(holds("ro", "abc"));
    struct stat st;
    CU_ASSERT_EQUAL(stat(real("ro"), &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07777, 0444);
    teardown();
}

static void test_ufs_dir_fingerprints(void)
{
    setup();
    CU_ASSERT_EQUAL(create("f", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("f", "one"), 3);
    struct ufs_op o = {.kind = UFS_STAT, .path = "f"};
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_EQUAL(o.ent.fp, 0); /* too young to be trusted */
    age();
    CU_ASSERT_EQUAL(run(&o), 0);
    uint64_t fp = o.ent.fp;
    CU_ASSERT_NOT_EQUAL(fp, 0);
    char b[8];
    CU_ASSERT_EQUAL(get("f", b, 8, 0, fp), 3);
    CU_ASSERT_EQUAL(put("f", "two"), 3);
    CU_ASSERT_EQUAL(get("f", b, 8, 0, fp), E_CHANGED);
    age();
    CU_ASSERT_EQUAL(get("f", b, 8, 0, fp), E_CHANGED);
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_NOT_EQUAL(o.ent.fp, fp);
    teardown();
}

/* what was renamed meanwhile is neither read nor written in the place of the file that is meant */
static void test_ufs_dir_another_file_of_that_name_is_left_alone(void)
{
    setup();
    CU_ASSERT_EQUAL(create("f", 0, 0600), 0);
    struct ufs_op o = {.kind = UFS_STAT, .path = "f"};
    CU_ASSERT_EQUAL(run(&o), 0);
    uint64_t ino = o.ent.ufs_ino;
    char b[8] = "old";
    CU_ASSERT_NOT_EQUAL(ino, 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_WRITE, .path = "f", .buf = b, .len = 3, .expect_ino = ino), 3);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_RENAME, .path = "f", .path2 = "g"), 0);
    CU_ASSERT_EQUAL(create("f", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("f", "new"), 3);
    static const enum ufs_kind kinds[] = {UFS_READ, UFS_WRITE, UFS_SYNC};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        o = (struct ufs_op){.kind = kinds[i], .path = "f", .buf = b, .len = 3, .expect_ino = ino};
        CU_ASSERT_EQUAL(run(&o), E_CHANGED);
        o.path = "g";
        CU_ASSERT_EQUAL(run(&o), kinds[i] == UFS_SYNC ? 0 : 3);
        CU_ASSERT(!memcmp(b, "old", 3));
    }
    CU_ASSERT(holds("f", "new") && holds("g", "old"));
    /* whatever has the name now, it is the same answer */
    for (int what = 0; what < 5; what++) {
        CU_ASSERT_EQUAL(remove(real("f")), 0);
        CU_ASSERT_EQUAL(what == 0   ? symlink("g", real("f"))
                        : what == 1 ? mkdir(real("f"), 0700)
                        : what == 2 ? mkfifo(real("f"), 0600)
                        : what == 3 ? symlink(".", real("f"))
                                    : rename(real("g"), real("f")),
                        0);
        const char *path = what == 3 ? "f/g" : what == 4 ? "f/x" : "f";
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
            CU_ASSERT_EQUAL(
                RUN(.kind = kinds[i], .path = path, .buf = b, .len = 3, .expect_ino = ino),
                E_CHANGED);
    }
    CU_ASSERT(holds("f", "old"));
    teardown();
}

static void test_ufs_dir_never_leaves_the_root(void)
{
    setup();
    CU_ASSERT_EQUAL(symlink("/etc", real("out")), 0);
    CU_ASSERT_EQUAL(symlink("/etc/passwd", real("pw")), 0);
    char b[16];
    CU_ASSERT(get("out/passwd", b, 16, 0, 0) < 0);
    CU_ASSERT(get("pw", b, 16, 0, 0) < 0);
    CU_ASSERT_EQUAL(get("../x", b, 16, 0, 0), E_INVAL);
    CU_ASSERT_EQUAL(get("/etc/passwd", b, 16, 0, 0), E_INVAL);
    CU_ASSERT_EQUAL(get("a//b", b, 16, 0, 0), E_INVAL);
    CU_ASSERT_EQUAL(get("a/", b, 16, 0, 0), E_INVAL);
    CU_ASSERT(create("out/tarn-test", 0, 0600) < 0);
    CU_ASSERT(put("pw", "x") < 0);
    char name[400];
    memset(name, 'n', sizeof name);
    name[300] = 0;
    CU_ASSERT_EQUAL(get(name, b, 16, 0, 0), E_NAMETOOLONG);
    /* mode and owner of a link are the link's own */
    CU_ASSERT(RUN(.kind = UFS_SETATTR, .path = "pw", .valid = FSOP_SET_MODE, .mode = 0777) < 0);
    teardown();
}

static void test_ufs_dir_listing(void)
{
    setup();
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%03d", i);
        CU_ASSERT_EQUAL(create(name, 0, 0600), 0);
    }
    CU_ASSERT_EQUAL(symlink("a target", real("link")), 0);
    CU_ASSERT_EQUAL(mkdir(real(".tarn"), 0700), 0);
    CU_ASSERT_EQUAL(mkdir(real("d"), 0755), 0);
    CU_ASSERT_EQUAL(mkdir(real("d/.tarn"), 0755), 0);
    char buf[700];
    struct ufs_op o = {.kind = UFS_LIST, .path = "", .buf = buf, .len = sizeof buf};
    int files = 0, links = 0, dirs = 0, batches = 0;
    int64_t n;
    while ((n = run(&o)) > 0) {
        struct rbuf r = rbuf_make(buf, (size_t)n);
        batches++;
        while (rbuf_left(&r)) {
            struct fsent e;
            CU_ASSERT_EQUAL_FATAL(fsop_ent_get(&r, &e), 0);
            files += (e.mode & FSOP_S_IFMT) == FSOP_S_IFREG;
            dirs += e.name_len == 1 && e.name[0] == 'd';
            links += e.target_len == 8 && !memcmp(e.target, "a target", 8);
            CU_ASSERT(e.name[0] != '.');
        }
    }
    CU_ASSERT_EQUAL(n, 0);
    CU_ASSERT_EQUAL(files, 100);
    CU_ASSERT_EQUAL(links, 1);
    CU_ASSERT_EQUAL(dirs, 1);
    CU_ASSERT(batches > 5);
    CU_ASSERT_EQUAL(o.impl[1], 0);
    struct ufs_op half = {.kind = UFS_LIST, .path = "", .buf = buf, .len = sizeof buf};
    CU_ASSERT(run(&half) > 0);
    half.kind = UFS_LIST_END;
    CU_ASSERT_EQUAL(run(&half), 0);
    struct ufs_op small = {.kind = UFS_LIST, .path = "", .buf = buf, .len = 8};
    CU_ASSERT_EQUAL(run(&small), E_RANGE);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_LIST, .path = ".tarn", .buf = buf, .len = 99), E_NOENT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_STAT, .path = ".tarn"), E_NOENT);
    CU_ASSERT_EQUAL(create(".tarn", 0, 0600), E_PERM);
    o = (struct ufs_op){.kind = UFS_LIST, .path = "d", .buf = buf, .len = sizeof buf};
    CU_ASSERT(run(&o) > 0); /* only the root's is reserved */
    o.kind = UFS_LIST_END;
    CU_ASSERT_EQUAL(run(&o), 0);
    teardown();
}

static void test_ufs_dir_names(void)
{
    setup();
    uint32_t uid = geteuid(), gid = getegid();
    struct ufs_op o = {
        .kind = UFS_MKDIR, .path = "d", .mode = FSOP_S_IFDIR | 01777, .uid = uid, .gid = gid};
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_EQUAL(o.ent.mode, FSOP_S_IFDIR | 01777);
    CU_ASSERT_EQUAL(run(&o), E_EXIST);
    o.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&o), 0);
    struct ufs_op s = {
        .kind = UFS_SYMLINK, .path = "d/s", .path2 = "some where", .uid = uid, .gid = gid};
    CU_ASSERT_EQUAL(run(&s), 0);
    CU_ASSERT_EQUAL(run(&s), E_EXIST);
    s.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&s), 0);
    s.path2 = "else where";
    CU_ASSERT_EQUAL(run(&s), E_EXIST);
    char buf[64];
    struct ufs_op st = {.kind = UFS_STAT, .path = "d/s", .buf = buf, .len = sizeof buf};
    CU_ASSERT_EQUAL(run(&st), 0);
    CU_ASSERT(st.ent.target_len == 10 && !memcmp(st.ent.target, "some where", 10));
    CU_ASSERT_EQUAL(create("d/f", 0, 0600), 0);
    struct ufs_op l = {.kind = UFS_LINK, .path = "d/f", .path2 = "g"};
    CU_ASSERT_EQUAL(run(&l), 0);
    CU_ASSERT_EQUAL(l.ent.nlink, 2);
    CU_ASSERT_EQUAL(run(&l), E_EXIST);
    l.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&l), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_RMDIR, .path = "d"), E_NOTEMPTY);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "d"), E_ISDIR);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "d/s"), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "d/s"), E_NOENT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "d/s", .flags = UFS_F_RESUME), 0);
    struct ufs_op left = {.kind = UFS_UNLINK, .path = "d/f"};
    CU_ASSERT_EQUAL(run(&left), 0);
    CU_ASSERT(left.ent.nlink == 1 && left.ent.ufs_ino == l.ent.ufs_ino);
    CU_ASSERT_EQUAL(create("d/n", 0, 0600), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_LINK, .path = "g", .path2 = "d/f"), 0);
    left = (struct ufs_op){.kind = UFS_RENAME, .path = "d/n", .path2 = "d/f"};
    CU_ASSERT_EQUAL(run(&left), 0);
    CU_ASSERT(left.ent2.nlink == 1 && left.ent2.ufs_ino == l.ent.ufs_ino);
    CU_ASSERT(left.ent.ufs_ino != l.ent.ufs_ino);
    left = (struct ufs_op){.kind = UFS_UNLINK, .path = "d/f"};
    CU_ASSERT_EQUAL(run(&left), 0);
    CU_ASSERT_EQUAL(left.ent.mode, 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_RMDIR, .path = "d"), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_RMDIR, .path = "d", .flags = UFS_F_RESUME), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_RMDIR, .path = "d"), E_NOENT);
    teardown();
}

static void test_ufs_dir_hidden_names_keep_the_bytes(void)
{
    setup();
    CU_ASSERT_EQUAL(create("a", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("a", "bytes of a"), 10);
    struct ufs_op o = {.kind = UFS_UNLINK, .path = "a", .hidden = ".tarn/7/1"};
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT(holds(".tarn/7/1", "bytes of a"));
    struct stat st;
    CU_ASSERT_EQUAL(stat(real(".tarn"), &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07777, 0700);
    CU_ASSERT_EQUAL(run(&o), E_NOENT);
    o.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&o), 0);
    /* two names of one file: the visible one must go */
    CU_ASSERT_EQUAL(link(real(".tarn/7/1"), real("b")), 0);
    o.path = "b";
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_STAT, .path = "b"), E_NOENT);

    CU_ASSERT_EQUAL(create("old", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("old", "old"), 3);
    CU_ASSERT_EQUAL(create("new", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("new", "new"), 3);
    struct ufs_op r = {.kind = UFS_RENAME, .path = "new", .path2 = "old", .hidden = ".tarn/2"};
    CU_ASSERT_EQUAL(run(&r), 0);
    CU_ASSERT(holds("old", "new"));
    CU_ASSERT(holds(".tarn/2", "old"));
    CU_ASSERT_EQUAL(r.ent.size, 3);
    CU_ASSERT_EQUAL(run(&r), E_NOENT);
    r.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&r), 0);
    /* a crash between the two steps: the hidden name exists already */
    CU_ASSERT_EQUAL(create("new2", 0, 0600), 0);
    CU_ASSERT_EQUAL(link(real("old"), real(".tarn/3")), 0);
    r.path = "new2";
    r.hidden = ".tarn/3";
    CU_ASSERT_EQUAL(run(&r), 0);
    CU_ASSERT(holds(".tarn/3", "new"));
    CU_ASSERT(holds("old", ""));
    /* a rename that fails keeps nothing */
    CU_ASSERT_EQUAL(mkdir(real("dir"), 0755), 0);
    r = (struct ufs_op){.kind = UFS_RENAME, .path = "dir", .path2 = "old", .hidden = ".tarn/4"};
    CU_ASSERT_EQUAL(run(&r), E_NOTDIR);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_STAT, .path = ".tarn/4"), E_NOENT);
    r = (struct ufs_op){.kind = UFS_RENAME, .path = "dir", .path2 = ".tarn"};
    CU_ASSERT_EQUAL(run(&r), E_PERM);
    teardown();
}

static uint64_t number_of(const char *name)
{
    struct stat st = {0};
    CU_ASSERT_EQUAL(lstat(real(name), &st), 0);
    return st.st_ino;
}

static void fresh(const char *name)
{
    CU_ASSERT_EQUAL(create(name, 0, 0600), 0);
    CU_ASSERT_EQUAL(put(name, name), (int64_t)strlen(name));
}

/* after a restore the journal gives inode numbers again, and the hidden names of before are there
 */
static void test_ufs_dir_hidden_names_of_a_lost_history(void)
{
    setup();
    fresh("lost");
    fresh("a");
    fresh("b");
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "lost", .hidden = ".tarn/1"), 0);
    struct ufs_op r = {.kind = UFS_RENAME, .path = "b", .path2 = "a", .hidden = ".tarn/1"};
    CU_ASSERT_EQUAL(run(&r), E_EXIST); /* nobody says that it may go */
    r.expect_ino2 = number_of("b");
    CU_ASSERT_EQUAL(run(&r), E_EXIST); /* it is to make room for another than what is here */
    CU_ASSERT(holds(".tarn/1", "lost") && holds("a", "a") && holds("b", "b"));
    r.expect_ino2 = number_of("a");
    CU_ASSERT_EQUAL(link(real("b"), real(".tarn/1.new")), 0); /* left by one that was cut off */
    CU_ASSERT_EQUAL(run(&r), 0);
    CU_ASSERT(holds(".tarn/1", "a") && holds("a", "b"));
    CU_ASSERT_EQUAL(number_of(".tarn/1"), r.expect_ino2);
    CU_ASSERT_EQUAL(access(real(".tarn/1.new"), F_OK), -1);
    /* the answer is lost, and somebody makes the old name again: what is kept stays */
    fresh("b");
    r.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&r), E_EXIST);
    CU_ASSERT(holds(".tarn/1", "a") && holds("a", "b"));
    /* a crash between the two steps */
    fresh("lost");
    fresh("c");
    CU_ASSERT_EQUAL(rename(real("lost"), real(".tarn/2")), 0);
    r = (struct ufs_op){.kind = UFS_RENAME, .path = "b", .path2 = "c", .hidden = ".tarn/2"};
    r.flags = UFS_F_RESUME;
    r.expect_ino2 = number_of("c");
    CU_ASSERT_EQUAL(link(real("c"), real(".tarn/2.new")), 0);
    CU_ASSERT_EQUAL(run(&r), 0);
    CU_ASSERT(holds(".tarn/2", "c") && holds("c", "b"));
    CU_ASSERT_EQUAL(access(real(".tarn/2.new"), F_OK), -1);
    CU_ASSERT_EQUAL(run(&r), 0);
    CU_ASSERT(holds(".tarn/2", "c"));

    fresh("lost");
    CU_ASSERT_EQUAL(rename(real("lost"), real(".tarn/3")), 0);
    struct ufs_op u = {.kind = UFS_UNLINK, .path = "c", .hidden = ".tarn/3"};
    u.expect_ino = number_of("c");
    CU_ASSERT_EQUAL(run(&u), 0);
    CU_ASSERT(holds(".tarn/3", "b"));
    fresh("c"); /* by somebody else, while the answer is lost */
    u.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&u), 0);
    CU_ASSERT(holds(".tarn/3", "b") && holds("c", "c"));
    teardown();
}

/* what is meant is exchanged, once, however often it is asked for */
static void test_ufs_dir_exchange(void)
{
    setup();
    CU_ASSERT_EQUAL(create("f", 0, 0600), 0);
    CU_ASSERT_EQUAL(mkdir(real("d"), 0755), 0);
    CU_ASSERT_EQUAL(mkdir(real("d/e"), 0755), 0);
    CU_ASSERT_EQUAL(create("d/e/g", 0, 0600), 0);
    uint64_t f = number_of("f"), e = number_of("d/e");
    struct ufs_op x = {.kind = UFS_RENAME,
                       .flags = UFS_F_EXCHANGE,
                       .path = "f",
                       .path2 = "d/e",
                       .expect_ino = f,
                       .expect_ino2 = e};
    struct ufs_op again = x;
    again.flags |= UFS_F_RESUME;
    CU_ASSERT_EQUAL(run(&again), 0); /* it was not done before */
    CU_ASSERT(number_of("f") == e && number_of("d/e") == f);
    CU_ASSERT(again.ent.ufs_ino == f && again.ent2.ufs_ino == e);
    CU_ASSERT_EQUAL(number_of("f/g"), number_of("f/g"));
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(run(&again), 0); /* it was */
        CU_ASSERT(number_of("f") == e && number_of("d/e") == f);
        CU_ASSERT(again.ent.ufs_ino == f && again.ent2.ufs_ino == e);
        CU_ASSERT_EQUAL(run(&x), E_CHANGED); /* nobody has begun this before: these are others */
    }
    /* somebody put another thing in the place of one of them meanwhile */
    CU_ASSERT_EQUAL(unlink(real("d/e")), 0);
    CU_ASSERT_EQUAL(create("d/e", 0, 0600), 0);
    if (number_of("d/e") != f) {
        CU_ASSERT_EQUAL(run(&again), 0);
        CU_ASSERT(number_of("f") == e);
        CU_ASSERT_EQUAL(rename(real("f"), real("away")), 0);
        CU_ASSERT_EQUAL(create("f", 0, 0600), 0);
        CU_ASSERT_EQUAL(run(&again), E_CHANGED);
    }
    x.path2 = "none";
    CU_ASSERT_EQUAL(run(&x), E_NOENT);
    x.path2 = ".tarn";
    CU_ASSERT_EQUAL(run(&x), E_PERM);
    teardown();
}

/* a file system mounted below the root: nothing of it can be kept under a name outside */
static void test_ufs_dir_names_on_another_file_system(void)
{
    setup();
    CU_ASSERT_EQUAL(mkdir(real("m"), 0700), 0);
    if (mount("none", real("m"), "tmpfs", 0, "size=1m")) {
        printf("(not privileged: skipped) ");
        teardown();
        return;
    }
    CU_ASSERT_EQUAL(create("m/a", 0, 0600), 0);
    CU_ASSERT_EQUAL(create("m/b", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("m/b", "b"), 1);
    CU_ASSERT_EQUAL(
        RUN(.kind = UFS_RENAME, .path = "m/b", .path2 = "m/a", .hidden = ".tarn/orphans/1"), 0);
    CU_ASSERT(holds("m/a", "b"));
    CU_ASSERT_EQUAL(RUN(.kind = UFS_UNLINK, .path = "m/a", .hidden = ".tarn/orphans/2"), 0);
    char c[1];
    CU_ASSERT_EQUAL(get("m/a", c, 1, 0, 0), E_NOENT);
    CU_ASSERT_EQUAL(create("r", 0, 0600), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_RENAME, .path = "r", .path2 = "m/r"), E_XDEV);
    CU_ASSERT_EQUAL(umount(real("m")), 0);
    teardown();
}

enum { CROWD = 96 };

struct crowd {
    struct ufs_op o;
    char path[16], b[64];
    int round;
};

static unsigned crowd_left, crowd_to_come;
static bool crowd_over;
static struct ufs *crowd_ufs;

/* create, write, read, sync, close to done: each on whichever thread is free */
static void crowd_step(struct env_op *op)
{
    struct crowd *c = container_of(op, struct crowd, o.op);
    static const enum ufs_kind kinds[] = {UFS_CREATE,  UFS_WRITE, UFS_READ,
                                          UFS_SETATTR, UFS_SYNC,  UFS_STAT};
    if (c->round)
        CU_ASSERT(op->ret >= 0);
    if (c->round == 3)
        CU_ASSERT(op->ret == 16 && !memcmp(c->b, c->path, strlen(c->path)));
    if (c->round == ARRAY_LEN(kinds)) {
        crowd_over = --crowd_left == 0;
        return;
    }
    struct ufs_op o = {.kind = kinds[c->round++],
                       .op.done = crowd_step,
                       .path = c->path,
                       .mode = FSOP_S_IFREG | 0400, /* each write has to force it open */
                       .uid = geteuid(),
                       .gid = getegid(),
                       .valid = FSOP_SET_MTIME,
                       .mtime_ns = 5,
                       .buf = c->b,
                       .len = 16};
    c->o = o;
    memcpy(c->b, c->path, sizeof c->path);
    ufs_submit(crowd_ufs, &c->o);
    if (c->round == ARRAY_LEN(kinds) && --crowd_to_come == 0)
        ufs_close(crowd_ufs); /* it lives on until the last operation has ended */
}

static void test_ufs_dir_on_many_threads(void)
{
    static struct crowd crowd[CROWD];
    setup();
    struct net *net;
    struct net_config nc = {.node = "test"};
    char uri[96];
    snprintf(uri, sizeof uri, "dir:%s", root);
    CU_ASSERT_EQUAL_FATAL(net_open(&nc, &net), 0);
    struct ufs_factory *f = ufs_dir_factory();
    CU_ASSERT_EQUAL_FATAL(f->open(f, net_env(net), uri, &crowd_ufs), 0);
    memset(crowd, 0, sizeof crowd);
    crowd_left = crowd_to_come = CROWD;
    crowd_over = false;
    for (unsigned i = 0; i < CROWD; i++) {
        snprintf(crowd[i].path, sizeof crowd[i].path, "file%03u", i);
        crowd_step(&crowd[i].o.op);
    }
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    CU_ASSERT_EQUAL(net_run_until(net, &crowd_over, (t.tv_sec + 20LL) * 1000000000), 0);
    net_close(net);
    teardown();
}

/* An env whose threads all hang: what was given to them is remembered. */
static struct env_op *hung[64];
static unsigned n_hung;

static void hung_work(struct env *e, struct env_op *op, void (*fn)(struct env_op *op))
{
    (void)e;
    fn(op);
    hung[n_hung++] = op;
}

static void turn_end(struct env_op *op)
{
    op->ret = -1000;
}

static void test_ufs_dir_one_that_hangs_leaves_threads_to_others(void)
{
    static const struct env_vt hung_vt = {.work = hung_work};
    static struct env e = {&hung_vt};
    static struct ufs_op o[32];
    char uri[96];
    struct ufs *two[2];
    setup();
    snprintf(uri, sizeof uri, "dir:%s", root);
    struct ufs_factory *f = ufs_dir_factory();
    unsigned threads = net_work_threads();
    n_hung = 0;
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(f->open(f, &e, uri, &two[i]), 0);
    for (unsigned i = 0; i < 32; i++)
        o[i] = (struct ufs_op){.kind = UFS_STAT, .path = "", .op.done = turn_end};
    for (unsigned i = 0; i < 24; i++)
        ufs_submit(two[0], &o[i]);
    CU_ASSERT(n_hung >= 1 && n_hung < threads);
    unsigned first = n_hung;
    ufs_submit(two[1], &o[24]); /* the other's turn comes at once */
    CU_ASSERT_EQUAL(n_hung, first + 1);
    for (unsigned i = 0; i < n_hung; i++) /* they come back, and the next ones in their order */
        hung[i]->done(hung[i]);
    CU_ASSERT_EQUAL(n_hung, 25);
    for (unsigned i = 0; i < 25; i++)
        CU_ASSERT_EQUAL(o[i].op.ret, -1000);
    ufs_close(two[0]);
    n_hung = 0;
    for (unsigned i = 0; i < 24; i++) { /* one that is alone may have all */
        o[i].op.done = turn_end;
        ufs_submit(two[1], &o[i]);
    }
    CU_ASSERT_EQUAL(n_hung, 24);
    for (unsigned i = 0; i < n_hung; i++)
        hung[i]->done(hung[i]);
    ufs_close(two[1]);
    teardown();
}

static void test_ufs_dir_attributes(void)
{
    setup();
    CU_ASSERT_EQUAL(create("f", 0, 0600), 0);
    CU_ASSERT_EQUAL(put("f", "0123456789"), 10);
    struct ufs_op o = {.kind = UFS_SETATTR,
                       .path = "f",
                       .valid = FSOP_SET_SIZE | FSOP_SET_MODE | FSOP_SET_ATIME | FSOP_SET_MTIME |
                                FSOP_SET_UID | FSOP_SET_GID,
                       .size = 4,
                       .mode = 04755,
                       .uid = geteuid(),
                       .gid = getegid(),
                       .atime_ns = 1234567890123456789,
                       .mtime_ns = -1500000000};
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT_EQUAL(o.ent.size, 4);
    CU_ASSERT_EQUAL(o.ent.mode, FSOP_S_IFREG | 04755);
    CU_ASSERT_EQUAL(o.ent.atime_ns, 1234567890123456789);
    CU_ASSERT_EQUAL(o.ent.mtime_ns, -1500000000);
    CU_ASSERT(holds("f", "0123"));
    o.valid = FSOP_SET_SIZE;
    o.size = UINT64_MAX;
    CU_ASSERT_EQUAL(run(&o), E_FBIG);
    o.valid = FSOP_SET_MTIME_NOW;
    o.mtime_ns = 0;
    CU_ASSERT_EQUAL(run(&o), 0);
    CU_ASSERT(o.ent.mtime_ns > 1500000000LL * 1000000000);
    o.path = "none";
    CU_ASSERT_EQUAL(run(&o), E_NOENT);
    teardown();
}

/* what one NAMES gives is added to seen[]; the place to go on from */
static uint64_t names_from(uint64_t at, uint32_t room, unsigned *seen, bool *is_end)
{
    char buf[4096];
    struct ufs_op o = {.kind = UFS_NAMES, .path = "", .off = at, .buf = buf, .len = room};
    int64_t n = run(&o);
    CU_ASSERT_FATAL(n >= 0);
    struct rbuf r = rbuf_make(buf, (size_t)n);
    struct fsop_dirent d;
    while (rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
        char name[16] = "";
        CU_ASSERT_FATAL(d.name_len < sizeof name);
        memcpy(name, d.name, d.name_len);
        CU_ASSERT((d.attr.flags & FSATTR_BARE) && d.attr.ino.v);
        CU_ASSERT(d.cookie & FSOP_COOKIE_BELOW && d.cookie < INT64_MAX - 2);
        uint32_t want = name[0] == 'f'   ? FSOP_S_IFREG
                        : name[0] == 'd' ? FSOP_S_IFDIR
                                         : FSOP_S_IFLNK;
        CU_ASSERT_EQUAL(d.attr.mode, want);
        seen[name[0] == 'f' ? atoi(name + 1) : name[0] == 'd' ? 500 : 501]++;
        at = d.cookie;
    }
    *is_end = o.is_end;
    return at;
}

static void test_ufs_dir_names_in_pieces(void)
{
    static unsigned seen[502];
    setup();
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%03d", i);
        CU_ASSERT_EQUAL(create(name, 0, 0600), 0);
    }
    CU_ASSERT_EQUAL(symlink("nowhere", real("link")), 0);
    CU_ASSERT_EQUAL(mkdir(real(".tarn"), 0700), 0);
    CU_ASSERT_EQUAL(mkdir(real("d"), 0755), 0);
    uint64_t at = 0;
    bool is_end = false;
    for (int i = 0; i < 600 && !is_end; i++)
        at = names_from(at, 110 + (uint32_t)i * 7, seen, &is_end);
    CU_ASSERT(is_end);
    for (int i = 0; i < 502; i++)
        CU_ASSERT_EQUAL(seen[i], 1);
    char buf[4096];
    CU_ASSERT_EQUAL(RUN(.kind = UFS_NAMES, .path = "d", .buf = buf, .len = sizeof buf), 0);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_NAMES, .path = "", .buf = buf, .len = 20), E_RANGE);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_NAMES, .path = "no", .buf = buf, .len = 200), E_NOENT);
    CU_ASSERT_EQUAL(RUN(.kind = UFS_NAMES, .path = ".tarn", .buf = buf, .len = 200), E_NOENT);
    CU_ASSERT(RUN(.kind = UFS_NAMES, .path = "f001", .buf = buf, .len = 200) < 0);
    teardown();
}

static void test_ufs_dir_look(void)
{
    setup();
    CU_ASSERT_EQUAL(create("f", 3, 0640), 0);
    CU_ASSERT_EQUAL(symlink("f", real("s")), 0);
    static const uint8_t names[] = {1, 0, 'f', 2, 0, 'n', 'o', 1, 0, 's'};
    static const uint8_t bad[] = {3, 0, 'a', '/', 'b'};
    char buf[1024];
    struct ufs_op o = {.kind = UFS_LOOK,
                       .path = "",
                       .names = names,
                       .names_len = sizeof names,
                       .buf = buf,
                       .len = sizeof buf};
    int64_t n = run(&o);
    CU_ASSERT_FATAL(n > 0);
    CU_ASSERT_EQUAL(o.ent.mode & FSOP_S_IFMT, FSOP_S_IFDIR);
    struct rbuf r = rbuf_make(buf, (size_t)n);
    struct fsent e;
    CU_ASSERT_EQUAL(fsop_ent_get(&r, &e), 0);
    CU_ASSERT(e.name[0] == 'f' && (e.mode & FSOP_S_IFMT) == FSOP_S_IFREG);
    CU_ASSERT_EQUAL(fsop_ent_get(&r, &e), 0);
    CU_ASSERT(e.name_len == 2 && e.mode == 0);
    CU_ASSERT_EQUAL(fsop_ent_get(&r, &e), 0);
    CU_ASSERT(e.name[0] == 's' && e.target_len == 1 && e.target[0] == 'f');
    CU_ASSERT_EQUAL(rbuf_left(&r), 0);
    o.len = 100; /* one fits */
    CU_ASSERT(run(&o) > 0 && run(&o) < 100);
    o.names = bad;
    o.names_len = sizeof bad;
    CU_ASSERT_EQUAL(run(&o), E_INVAL);
    teardown();
}

UNIT_MAIN("ufs_dir", UNIT(test_ufs_dir_names_in_pieces), UNIT(test_ufs_dir_look),
          UNIT(test_ufs_dir_uris), UNIT(test_ufs_dir_files),
          UNIT(test_ufs_dir_read_only_mode_can_be_written_by_its_creator),
          UNIT(test_ufs_dir_fingerprints),
          UNIT(test_ufs_dir_another_file_of_that_name_is_left_alone),
          UNIT(test_ufs_dir_never_leaves_the_root), UNIT(test_ufs_dir_listing),
          UNIT(test_ufs_dir_names), UNIT(test_ufs_dir_hidden_names_keep_the_bytes),
          UNIT(test_ufs_dir_hidden_names_of_a_lost_history), UNIT(test_ufs_dir_exchange),
          UNIT(test_ufs_dir_names_on_another_file_system), UNIT(test_ufs_dir_on_many_threads),
          UNIT(test_ufs_dir_one_that_hangs_leaves_threads_to_others), UNIT(test_ufs_dir_attributes))
