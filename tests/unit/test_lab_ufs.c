/* tests/unit/test_lab_ufs.c - the model of the under-store: operations, crashes, history. */
#include "tests/unit/test_lab_content.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000;

static struct mem mem;
static struct sim *sim;
static struct lab_ufs *ufs;
static struct sim_node *node;
static struct ufs *store;
static struct ufs_op op;

static void begin(void)
{
    unit_mem(&mem, 256 << 20);
    struct sim_config cfg = sim_config_quiet(3);
    sim = sim_open(&mem, &cfg);
    struct lab_ufs_config uc = lab_ufs_config_default(3);
    ufs = lab_ufs_open(&mem, sim, &uc);
    CU_ASSERT_EQUAL(lab_ufs_mkdir(ufs, "main"), 0);
    node = sim_node_add(sim, "n");
    struct env *e = sim_node_up(node);
    struct ufs_factory *f = lab_ufs_factory(ufs);
    CU_ASSERT_EQUAL(f->open(f, e, "dir:/tmp", &store), E_INVAL);
    CU_ASSERT_EQUAL(f->open(f, e, "sim:none", &store), E_NOENT);
    CU_ASSERT_EQUAL_FATAL(f->open(f, e, "sim:main", &store), 0);
}

static void end(void)
{
    char why[200];
    CU_ASSERT(lab_ufs_check(ufs, why, sizeof why));
    sim_close(sim);
    mem_drop(&mem);
}

static int64_t go(enum ufs_kind kind, const char *path, const char *path2)
{
    op.kind = kind;
    op.path = path;
    op.path2 = path2;
    memset(op.impl, 0, sizeof op.impl);
    ufs_submit(store, &op);
    return sim_run_op(sim, &op.op, sec);
}

static void reset(void)
{
    memset(&op, 0, sizeof op);
    op.mode = 0644;
}

static void test_lab_ufs_names(void)
{
    begin();
    reset();
    CU_ASSERT_EQUAL(go(UFS_MKDIR, "a", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_MKDIR, "a", NULL), E_EXIST);
    op.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(go(UFS_MKDIR, "a", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "a", NULL), E_EXIST); /* of another type */
    op.flags = 0;
    CU_ASSERT_EQUAL(go(UFS_CREATE, "a/f", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "a/../f", NULL), E_INVAL);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "a//f", NULL), E_INVAL);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "b/f", NULL), E_NOENT);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "a/f/g", NULL), E_NOTDIR);
    CU_ASSERT_EQUAL(go(UFS_SYMLINK, "l", "a"), 0);
    CU_ASSERT_EQUAL(go(UFS_STAT, "l/f", NULL), E_LOOP); /* never through a link */
    CU_ASSERT_EQUAL(go(UFS_LINK, "a/f", "g"), 0);
    CU_ASSERT_EQUAL(op.ent.nlink, 2);
    CU_ASSERT_EQUAL(go(UFS_RMDIR, "a", NULL), E_NOTEMPTY);
    CU_ASSERT_EQUAL(go(UFS_RENAME, "a", "a/b"), E_INVAL);
    CU_ASSERT_EQUAL(go(UFS_RENAME, "a", "g"), E_NOTDIR);
    CU_ASSERT_EQUAL(go(UFS_RENAME, "a/f", "g"), 0); /* two names of one file: nothing happens */
    CU_ASSERT_EQUAL(go(UFS_STAT, "a/f", NULL), 0);
    op.hidden = ".tarn/orphan-1";
    CU_ASSERT_EQUAL(go(UFS_UNLINK, "a/f", NULL), 0);
    op.hidden = NULL;
    CU_ASSERT_EQUAL(go(UFS_STAT, ".tarn/orphan-1", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_STAT, ".tarn", NULL), E_NOENT);
    CU_ASSERT_EQUAL(go(UFS_RMDIR, "a", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_RMDIR, "a", NULL), E_NOENT);
    op.flags = UFS_F_RESUME;
    CU_ASSERT_EQUAL(go(UFS_RMDIR, "a", NULL), 0);
    end();
}

/* as tests/unit/test_ufs_dir.c has it of a directory */
static void test_lab_ufs_hidden_names_of_a_lost_history(void)
{
    begin();
    reset();
    CU_ASSERT_EQUAL(go(UFS_CREATE, "lost", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "a", NULL), 0);
    uint64_t a = op.ent.ufs_ino;
    CU_ASSERT_EQUAL(go(UFS_CREATE, "b", NULL), 0);
    op.hidden = ".tarn/orphan-1";
    CU_ASSERT_EQUAL(go(UFS_UNLINK, "lost", NULL), 0);
    op.expect_ino2 = a;
    CU_ASSERT_EQUAL(go(UFS_RENAME, "b", "a"), 0);
    CU_ASSERT_EQUAL(go(UFS_STAT, ".tarn/orphan-1", NULL), 0);
    CU_ASSERT_EQUAL(op.ent.ufs_ino, a);
    op.hidden = NULL;
    CU_ASSERT_EQUAL(go(UFS_CREATE, "b", NULL), 0);
    op.hidden = ".tarn/orphan-1";
    op.flags = UFS_F_RESUME;
    op.expect_ino = a; /* its name was another then */
    CU_ASSERT_EQUAL(go(UFS_UNLINK, "b", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_STAT, ".tarn/orphan-1", NULL), 0);
    CU_ASSERT_EQUAL(op.ent.ufs_ino, a);
    CU_ASSERT_EQUAL(go(UFS_STAT, "b", NULL), 0);
    end();
}

static void test_lab_ufs_exchange(void)
{
    begin();
    reset();
    CU_ASSERT_EQUAL(go(UFS_MKDIR, "a", NULL), 0);
    CU_ASSERT_EQUAL(go(UFS_MKDIR, "a/d", NULL), 0);
    uint64_t d = op.ent.ufs_ino;
    CU_ASSERT_EQUAL(go(UFS_CREATE, "f", NULL), 0);
    uint64_t f = op.ent.ufs_ino;
    op.flags = UFS_F_EXCHANGE;
    op.expect_ino = f;
    op.expect_ino2 = d;
    CU_ASSERT_EQUAL(go(UFS_RENAME, "f", "a/d"), 0);
    CU_ASSERT(op.ent.ufs_ino == f && op.ent2.ufs_ino == d);
    CU_ASSERT_EQUAL(go(UFS_RENAME, "f", "a/d"), E_CHANGED);
    op.flags |= UFS_F_RESUME;
    CU_ASSERT_EQUAL(go(UFS_RENAME, "f", "a/d"), 0);
    CU_ASSERT(op.ent.ufs_ino == f && op.ent2.ufs_ino == d);
    CU_ASSERT_EQUAL(go(UFS_RENAME, "f", "none"), E_NOENT);
    op.expect_ino = 0;
    op.expect_ino2 = 0;
    CU_ASSERT_EQUAL(go(UFS_RENAME, "f", "a/d"), E_CHANGED);
    CU_ASSERT_EQUAL(go(UFS_STAT, "f", NULL), 0);
    op.expect_ino = op.ent.ufs_ino;
    CU_ASSERT_EQUAL(go(UFS_STAT, "a", NULL), 0);
    op.expect_ino2 = op.ent.ufs_ino;
    CU_ASSERT_EQUAL(go(UFS_RENAME, "f", "a"), 0);
    CU_ASSERT_EQUAL(go(UFS_STAT, "f/d", NULL), 0);
    CU_ASSERT_EQUAL(op.ent.ufs_ino, f);
    end();
}

static void test_lab_ufs_list(void)
{
    static uint8_t buf[600];
    char path[32];
    unsigned seen = 0;
    begin();
    reset();
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "f%d", i);
        CU_ASSERT_EQUAL(go(UFS_CREATE, path, NULL), 0);
    }
    op.hidden = ".tarn/x";
    CU_ASSERT_EQUAL(go(UFS_UNLINK, "f3", NULL), 0);
    reset();
    op.kind = UFS_LIST;
    op.path = "";
    op.buf = buf;
    op.len = sizeof buf;
    for (int64_t n = 1; n > 0;) {
        ufs_submit(store, &op);
        n = sim_run_op(sim, &op.op, sec);
        struct rbuf r = rbuf_make(buf, n > 0 ? (size_t)n : 0);
        struct fsent e;
        while (rbuf_left(&r) && fsop_ent_get(&r, &e) == 0) {
            CU_ASSERT(e.name_len >= 2 && e.name[0] == 'f' && e.ufs_ino != 0);
            seen++;
        }
        CU_ASSERT(n >= 0);
    }
    CU_ASSERT_EQUAL(seen, 19);
    end();
}

/* every past state, read from any place, is what plain bytes would be */
static void test_lab_ufs_history(void)
{
    enum { SIZE = 600, CHANGES = 60 };
    static uint8_t was[CHANGES + 2][SIZE], b[SIZE], w[CHANGES][SIZE];
    static uint32_t size[CHANGES + 2];
    struct fsent e;
    struct prng p;
    begin();
    prng_seed(&p, 5, "history", 0);
    CU_ASSERT_EQUAL(lab_ufs_file(ufs, "main/f", 300), 0);
    lab_ufs_look(ufs, "main/f", &e, NULL);
    struct lab_ufs_node *n = ufs->nodes[e.ufs_ino];
    uint32_t first = lab_ufs_changes(ufs, e.ufs_ino);
    size[0] = content(ufs, e.ufs_ino, first, 0, was[0], SIZE);
    CU_ASSERT_EQUAL(size[0], 300);
    for (uint32_t i = 0; i < CHANGES; i++) {
        memcpy(was[i + 1], was[i], SIZE);
        size[i + 1] = size[i];
        if (prng_below(&p, 4) == 0) {
            uint32_t to = (uint32_t)prng_below(&p, SIZE);
            lab_ufs_data_size(ufs, n, to);
            if (to < size[i])
                memset(was[i + 1] + to, 0, SIZE - to);
            size[i + 1] = to;
            continue;
        }
        uint32_t off = (uint32_t)prng_below(&p, SIZE - 1);
        uint32_t len = 1 + (uint32_t)prng_below(&p, prng_below(&p, 2) ? SIZE - off : 20);
        if (len > SIZE - off)
            len = SIZE - off;
        memset(w[i], (int)(i + 1), len);
        lab_ufs_data_write(ufs, n, off, w[i], len);
        memset(was[i + 1] + off, (int)(i + 1), len);
        size[i + 1] = (uint32_t)base_max_u64(size[i], off + len);
    }
    for (uint32_t i = 0; i <= CHANGES; i++)
        for (uint32_t off = 0; off < SIZE; off += 37) {
            uint32_t len = 1 + (uint32_t)prng_below(&p, SIZE - off);
            uint32_t have = size[i] > off ? size[i] - off : 0;
            uint32_t got = content(ufs, e.ufs_ino, first + i, off, b, len);
            CU_ASSERT_EQUAL(got, have < len ? have : len);
            CU_ASSERT_EQUAL(memcmp(b, was[i] + off, got), 0);
        }
    end();
}

static void test_lab_ufs_bytes(void)
{
    static uint8_t a[3000], b[3000];
    struct fsent e;
    begin();
    reset();
    CU_ASSERT_EQUAL(lab_ufs_file(ufs, "main/f", 2500), 0);
    lab_ufs_look(ufs, "main/f", &e, NULL);
    op.buf = a;
    op.len = sizeof a;
    CU_ASSERT_EQUAL(go(UFS_READ, "f", NULL), 2500);
    uint32_t k = lab_ufs_changes(ufs, e.ufs_ino);
    CU_ASSERT_EQUAL(content(ufs, e.ufs_ino, k, 0, b, sizeof b), 2500);
    CU_ASSERT_EQUAL(memcmp(a, b, 2500), 0);
    memset(b, 9, sizeof b);
    op.buf = b;
    op.len = 10;
    op.off = 2600; /* leaves a hole */
    CU_ASSERT_EQUAL(go(UFS_WRITE, "f", NULL), 10);
    op.off = 0;
    op.len = sizeof b;
    CU_ASSERT_EQUAL(go(UFS_READ, "f", NULL), 2610);
    CU_ASSERT_EQUAL(memcmp(a, b, 2500), 0);
    for (int i = 2500; i < 2610; i++)
        CU_ASSERT_EQUAL(b[i], i < 2600 ? 0 : 9);
    reset();
    op.valid = FSOP_SET_SIZE;
    op.size = 100;
    CU_ASSERT_EQUAL(go(UFS_SETATTR, "f", NULL), 0);
    op.size = 200;
    CU_ASSERT_EQUAL(go(UFS_SETATTR, "f", NULL), 0);
    k = lab_ufs_changes(ufs, e.ufs_ino);
    CU_ASSERT_EQUAL(content(ufs, e.ufs_ino, k, 50, b, 300), 150);
    CU_ASSERT_EQUAL(memcmp(a + 50, b, 50), 0);
    CU_ASSERT(b[50] == 0 && b[149] == 0);
    CU_ASSERT_EQUAL(content(ufs, e.ufs_ino, 1, 0, b, sizeof b), 2500); /* as it was */
    CU_ASSERT_EQUAL(memcmp(a, b, 2500), 0);
    end();
}

static void test_lab_ufs_fingerprint(void)
{
    static uint8_t a[100];
    begin();
    reset();
    lab_ufs_file(ufs, "main/f", 100);
    CU_ASSERT_EQUAL(go(UFS_STAT, "f", NULL), 0);
    CU_ASSERT_EQUAL(op.ent.fp, 0); /* too young */
    sim_run_until(sim, sim_now_ns(sim) + sec);
    CU_ASSERT_EQUAL(go(UFS_STAT, "f", NULL), 0);
    uint64_t fp = op.ent.fp, ino = op.ent.ufs_ino;
    CU_ASSERT_NOT_EQUAL(fp, 0);
    op.buf = a;
    op.len = sizeof a;
    op.expect_fp = fp;
    op.expect_ino = ino;
    CU_ASSERT_EQUAL(go(UFS_READ, "f", NULL), 100);
    lab_ufs_rewrite(ufs, "main/f", 100);
    CU_ASSERT_EQUAL(go(UFS_READ, "f", NULL), E_CHANGED);
    op.expect_fp = 0;
    CU_ASSERT_EQUAL(go(UFS_READ, "f", NULL), 100);
    lab_ufs_file(ufs, "main/f", 100); /* another file takes the name */
    CU_ASSERT_EQUAL(go(UFS_READ, "f", NULL), E_CHANGED);
    CU_ASSERT_EQUAL(go(UFS_WRITE, "f", NULL), E_CHANGED);
    end();
}

static void test_lab_ufs_faults(void)
{
    begin();
    reset();
    lab_ufs_outage(ufs, sim_now_ns(sim) + sec);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "f", NULL), E_IO);
    sim_run_until(sim, sim_now_ns(sim) + 2 * sec);
    CU_ASSERT_EQUAL(go(UFS_STAT, "f", NULL), E_NOENT);
    lab_ufs_full(ufs, sim_now_ns(sim) + sec);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "f", NULL), E_NOSPC);
    lab_ufs_full(ufs, 0);
    CU_ASSERT_EQUAL(go(UFS_CREATE, "f", NULL), 0);
    end();
}

/* what a dying process had asked for happens or does not, and nothing of it is left behind */
static void test_lab_ufs_crash(void)
{
    unsigned happened = 0;
    begin();
    for (unsigned i = 0; i < 40; i++) {
        struct fsent e;
        char path[32], full[40];
        snprintf(path, sizeof path, "f%u", i);
        snprintf(full, sizeof full, "main/f%u", i);
        reset();
        op.kind = UFS_CREATE;
        op.path = path;
        ufs_submit(store, &op);
        sim_node_crash(node);
        sim_run_until(sim, sim_now_ns(sim) + sec);
        happened += lab_ufs_look(ufs, full, &e, NULL) == 0;
        struct env *env = sim_node_up(node);
        struct ufs_factory *f = lab_ufs_factory(ufs);
        CU_ASSERT_EQUAL_FATAL(f->open(f, env, "sim:main", &store), 0);
    }
    CU_ASSERT(happened > 5 && happened < 35);
    end();
}

/* who is told that a file has a size knows of the change to that one, not of others of that time */
static void test_lab_ufs_firm(void)
{
    begin();
    CU_ASSERT_EQUAL(go(UFS_CREATE, "f", NULL), 0);
    uint64_t ino = op.ent.ufs_ino;
    int64_t from_ns = sim_now_ns(sim);
    for (uint64_t size = 10; size <= 20; size += 10) {
        reset();
        op.valid = FSOP_SET_SIZE;
        op.size = size;
        CU_ASSERT_EQUAL(go(UFS_SETATTR, "f", NULL), 0);
    }
    uint32_t n = lab_ufs_changes(ufs, ino);
    CU_ASSERT_FATAL(n >= 2);
    lab_ufs_firm(ufs, ino, 10, from_ns, sim_now_ns(sim));
    CU_ASSERT_EQUAL(lab_ufs_change(ufs, ino, n - 2)->size, 10);
    CU_ASSERT_EQUAL(lab_ufs_change(ufs, ino, n - 2)->firm_ns, sim_now_ns(sim));
    CU_ASSERT_EQUAL(lab_ufs_change(ufs, ino, n - 1)->size, 20);
    CU_ASSERT_EQUAL(lab_ufs_change(ufs, ino, n - 1)->firm_ns, 0);
    end();
}

UNIT_MAIN("lab_ufs", UNIT(test_lab_ufs_names), UNIT(test_lab_ufs_hidden_names_of_a_lost_history),
          UNIT(test_lab_ufs_exchange), UNIT(test_lab_ufs_list), UNIT(test_lab_ufs_bytes),
          UNIT(test_lab_ufs_history), UNIT(test_lab_ufs_fingerprint), UNIT(test_lab_ufs_faults),
          UNIT(test_lab_ufs_crash), UNIT(test_lab_ufs_firm))
