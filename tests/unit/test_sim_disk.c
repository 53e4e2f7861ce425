/* tests/unit/test_sim_disk.c - the simulated disk: contents, names, faults, crash and power loss.
 */
#include "sim/sim.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000;

struct fix {
    struct mem m;
    struct sim *s;
    struct sim_node *n;
    struct env *e;
    struct env_op op;
};

static void fix_open(struct fix *f, const struct sim_config *cfg)
{
    memset(f, 0, sizeof *f);
    unit_mem(&f->m, 1 << 30);
    f->s = sim_open(&f->m, cfg);
    f->n = sim_node_add(f->s, "a");
    f->e = sim_node_up(f->n);
}

static void fix_close(struct fix *f)
{
    sim_close(f->s);
    mem_drop(&f->m);
}

static int64_t d_open(struct fix *f, const char *name, unsigned flags, struct env_file **ret)
{
    env_open(f->e, name, flags, ret, &f->op);
    return sim_run_op(f->s, &f->op, 100 * sec);
}

static int64_t d_write(struct fix *f, struct env_file *file, const void *b, uint32_t n,
                       uint64_t off)
{
    env_write(file, b, n, off, &f->op);
    return sim_run_op(f->s, &f->op, 100 * sec);
}

static int64_t d_read(struct fix *f, struct env_file *file, void *b, uint32_t n, uint64_t off)
{
    env_read(file, b, n, off, &f->op);
    return sim_run_op(f->s, &f->op, 100 * sec);
}

static int64_t d_sync(struct fix *f, struct env_file *file)
{
    env_sync(file, &f->op);
    return sim_run_op(f->s, &f->op, 100 * sec);
}

static int64_t d_rename(struct fix *f, const char *from, const char *to)
{
    env_rename(f->e, from, to, &f->op);
    return sim_run_op(f->s, &f->op, 100 * sec);
}

static int64_t d_unlink(struct fix *f, const char *name)
{
    env_unlink(f->e, name, &f->op);
    return sim_run_op(f->s, &f->op, 100 * sec);
}

static void test_disk_reads_what_was_written(void)
{
    struct sim_config cfg = sim_config_quiet(1);
    struct fix f;
    fix_open(&f, &cfg);
    struct env_file *file;
    static uint8_t w[20000], r[30000];
    for (size_t i = 0; i < sizeof w; i++)
        w[i] = (uint8_t)(i * 7 + i / 256);
    CU_ASSERT_EQUAL(d_open(&f, "x/y", ENV_O_WRITE, &file), E_NOENT);
    CU_ASSERT_EQUAL(d_open(&f, "x/../y", ENV_O_WRITE | ENV_O_CREATE, &file), E_INVAL);
    CU_ASSERT_EQUAL(d_open(&f, "x/y", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
    CU_ASSERT_EQUAL(d_write(&f, file, w, sizeof w, 1000), (int64_t)sizeof w);
    CU_ASSERT_EQUAL(d_read(&f, file, r, sizeof r, 0), 21000);
    CU_ASSERT(!memcmp(r + 1000, w, sizeof w) && r[0] == 0 && r[999] == 0);
    env_punch(file, 4096, 8192, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
    env_resize(file, 15000, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
    env_resize(file, 18000, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
    CU_ASSERT_EQUAL(d_read(&f, file, r, sizeof r, 0), 18000);
    CU_ASSERT(!memcmp(r + 1000, w, 3096) && r[4096] == 0 && r[12287] == 0);
    CU_ASSERT(!memcmp(r + 12288, w + 11288, 15000 - 12288) && r[15000] == 0 && r[17999] == 0);
    CU_ASSERT_EQUAL(sim_disk_used(f.n), 2 * 4096);
    CU_ASSERT_EQUAL(d_write(&f, file, w, 1, 1ULL << 39), 1);
    CU_ASSERT_EQUAL(sim_disk_used(f.n), 3 * 4096);
    CU_ASSERT_EQUAL(d_open(&f, "x", ENV_O_WRITE, &file), E_ISDIR);
    CU_ASSERT_EQUAL(d_open(&f, "x/y/z", ENV_O_WRITE | ENV_O_CREATE, &file), E_NOTDIR);
    CU_ASSERT_EQUAL(d_open(&f, "x/y", ENV_O_WRITE | ENV_O_CREATE | ENV_O_EXCL, &file), E_EXIST);
    fix_close(&f);
}

static void test_disk_lists_in_order(void)
{
    struct sim_config cfg = sim_config_quiet(1);
    struct fix f;
    fix_open(&f, &cfg);
    const char *names[] = {"d/b/1", "d/a", "d/b/2", "d/c", "e", "d/b.x"};
    struct env_file *file;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        CU_ASSERT_EQUAL(d_open(&f, names[i], ENV_O_WRITE | ENV_O_CREATE, &file), 0);
    char b[64];
    env_list(f.e, "d", "", b, sizeof b, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 11);
    CU_ASSERT(!memcmp(b, "a\0b.x\0b/\0c", 11));
    env_list(f.e, "d/", "b/", b, sizeof b, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 2);
    CU_ASSERT_STRING_EQUAL(b, "c");
    env_list(f.e, "", "", b, 4, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 3);
    CU_ASSERT_STRING_EQUAL(b, "d/");
    env_list(f.e, "", "d/", b, 4, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 2);
    env_list(f.e, "nowhere", "", b, 4, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
    env_list(f.e, "d", "a", b, 3, &f.op);
    CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), E_RANGE);
    fix_close(&f);
}

enum { LOSE_RUNS = 40, LOSE_N = 64 };

/* synced sectors survive; unsynced ones meet every fate */
static void test_disk_power_loss_by_sector(void)
{
    struct sim_stats all = {0};
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        static uint8_t a[LOSE_N * 512], b[LOSE_N * 512], r[LOSE_N * 1024];
        memset(a, 'a', sizeof a);
        memset(b, 'b', sizeof b);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        d_write(&f, file, a, sizeof a, 0);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        d_write(&f, file, b, sizeof b / 2, 0); /* over the first half */
        sim_node_power_loss(f.n);
        CU_ASSERT(!sim_node_is_up(f.n));
        f.e = sim_node_up(f.n);
        CU_ASSERT_EQUAL(d_open(&f, "f", 0, &file), (int64_t)sizeof a);
        CU_ASSERT_EQUAL(d_read(&f, file, r, sizeof r, 0), (int64_t)sizeof a);
        CU_ASSERT(!memcmp(r + sizeof a / 2, a + sizeof a / 2, sizeof a / 2));
        const struct sim_stats *st = sim_stats(f.s);
        unsigned old = 0, new = 0;
        for (unsigned i = 0; i < LOSE_N / 2; i++) {
            old += !memcmp(r + i * 512, a, 512);
            new += !memcmp(r + i * 512, b, 512);
        }
        CU_ASSERT_EQUAL(old, st->sectors_dropped);
        CU_ASSERT_EQUAL(new, st->sectors_kept);
        CU_ASSERT_EQUAL(old + new + st->sectors_torn + st->sectors_garbage, LOSE_N / 2);
        all.sectors_kept += st->sectors_kept;
        all.sectors_dropped += st->sectors_dropped;
        all.sectors_torn += st->sectors_torn;
        all.sectors_garbage += st->sectors_garbage;
        fix_close(&f);
    }
    CU_ASSERT(all.sectors_kept && all.sectors_dropped && all.sectors_torn && all.sectors_garbage);
}

/* a plain crash loses nothing that was written */
static void test_disk_crash_keeps_the_cache(void)
{
    struct sim_config cfg = sim_config_quiet(3);
    struct fix f;
    fix_open(&f, &cfg);
    struct env_file *file;
    char r[8];
    CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
    CU_ASSERT_EQUAL(d_write(&f, file, "unsynced", 8, 0), 8);
    sim_node_crash(f.n);
    f.e = sim_node_up(f.n);
    CU_ASSERT_EQUAL(d_open(&f, "f", 0, &file), 8);
    CU_ASSERT_EQUAL(d_read(&f, file, r, 8, 0), 8);
    CU_ASSERT(!memcmp(r, "unsynced", 8));
    CU_ASSERT_EQUAL(sim_stats(f.s)->sectors_dropped, 0);
    fix_close(&f);
}

static void test_disk_write_under_way_at_a_crash(void)
{
    unsigned full = 0, part = 0, none = 0;
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        static uint8_t a[8192];
        memset(a, 'a', sizeof a);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        struct env_op op = {0};
        env_write(file, a, sizeof a, 0, &op);
        sim_node_crash(f.n);
        sim_run_until(f.s, sim_now_ns(f.s) + sec);
        int64_t n = sim_disk_size(f.n, "f");
        full += n == (int64_t)sizeof a;
        none += n == 0;
        part += n > 0 && n < (int64_t)sizeof a;
        fix_close(&f);
    }
    CU_ASSERT(full && part && none);
}

/* names: an unsynced creation and an unlink may be undone; a rename never */
static void test_disk_power_loss_of_names(void)
{
    unsigned created = 0, back = 0;
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        CU_ASSERT_EQUAL(d_open(&f, "new", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_open(&f, "gone", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, "g", 1, 0), 1);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        CU_ASSERT_EQUAL(d_unlink(&f, "gone"), 0);
        CU_ASSERT_EQUAL(d_open(&f, "old", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, "old", 3, 0), 3);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        CU_ASSERT_EQUAL(d_open(&f, "tmp", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, "next", 4, 0), 4);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        CU_ASSERT_EQUAL(d_rename(&f, "tmp", "old"), 0);
        sim_node_power_loss(f.n);
        char r[8];
        CU_ASSERT_EQUAL(sim_disk_read(f.n, "old", r, sizeof r, 0), 4);
        CU_ASSERT(!memcmp(r, "next", 4));
        CU_ASSERT_EQUAL(sim_disk_size(f.n, "tmp"), E_NOENT);
        created += sim_disk_size(f.n, "new") == 0;
        if (sim_disk_size(f.n, "gone") >= 0) {
            back++;
            CU_ASSERT_EQUAL(sim_disk_read(f.n, "gone", r, sizeof r, 0), 1);
            CU_ASSERT_EQUAL(r[0], 'g');
        }
        fix_close(&f);
    }
    CU_ASSERT(created > 0 && created < LOSE_RUNS);
    CU_ASSERT(back > 0 && back < LOSE_RUNS);
}

/* a truncation survives or is undone as a whole; after unlink_commit_ns an unlink is final */
static void test_disk_power_loss_of_sizes(void)
{
    unsigned undone = 0;
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file, *other;
        static uint8_t a[10000], r[10000];
        memset(a, 'a', sizeof a);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, a, sizeof a, 0), (int64_t)sizeof a);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        CU_ASSERT_EQUAL(d_open(&f, "g", ENV_O_WRITE | ENV_O_CREATE, &other), 0);
        CU_ASSERT_EQUAL(d_sync(&f, other), 0);
        CU_ASSERT_EQUAL(d_unlink(&f, "g"), 0);
        sim_run_until(f.s, sim_now_ns(f.s) + 6 * sec);
        env_resize(file, 0, &f.op);
        CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
        sim_node_power_loss(f.n);
        CU_ASSERT_EQUAL(sim_disk_size(f.n, "g"), E_NOENT);
        int64_t n = sim_disk_read(f.n, "f", r, sizeof r, 0);
        CU_ASSERT(n == 0 || n == (int64_t)sizeof a);
        if (n) {
            undone++;
            CU_ASSERT(!memcmp(a, r, sizeof a));
        }
        fix_close(&f);
    }
    CU_ASSERT(undone > 0 && undone < LOSE_RUNS);
}

static void test_disk_dsync_survives(void)
{
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        static uint8_t a[6000], r[6000];
        memset(a, 'a', sizeof a);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE | ENV_O_DSYNC, &file), 0);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, a, sizeof a, 100), (int64_t)sizeof a);
        sim_node_power_loss(f.n);
        CU_ASSERT_EQUAL(sim_disk_read(f.n, "f", r, sizeof r, 100), (int64_t)sizeof a);
        CU_ASSERT(!memcmp(a, r, sizeof a));
        fix_close(&f);
    }
}

/* what a sync promised is not taken back by what was written after it was submitted */
static void test_disk_write_during_sync(void)
{
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        cfg.disk.sync_min_ns = 10000000;
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        char r[512], a[512], b[512];
        memset(a, 'a', sizeof a);
        memset(b, 'b', sizeof b);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, a, sizeof a, 0), 512);
        cfg.disk.lose_torn_ppm = cfg.disk.lose_garbage_ppm = 0;
        sim_disk_set(f.n, &cfg.disk);
        struct env_op sync = {0};
        env_sync(file, &sync);
        CU_ASSERT_EQUAL(d_write(&f, file, b, sizeof b, 0), 512);
        CU_ASSERT_EQUAL(sim_run_op(f.s, &sync, sec), 0);
        sim_node_power_loss(f.n);
        CU_ASSERT_EQUAL(sim_disk_read(f.n, "f", r, sizeof r, 0), 512);
        CU_ASSERT(!memcmp(r, a, 512) || !memcmp(r, b, 512));
        fix_close(&f);
    }
}

static void test_disk_failed_sync_leaves_clean_pages(void)
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < LOSE_RUNS; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        char r[4] = {0};
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        CU_ASSERT_EQUAL(d_write(&f, file, "data", 4, 0), 4);
        cfg.disk.sync_fail_ppm = 1000000;
        sim_disk_set(f.n, &cfg.disk);
        CU_ASSERT_EQUAL(d_sync(&f, file), E_IO);
        cfg.disk.sync_fail_ppm = 0;
        sim_disk_set(f.n, &cfg.disk);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        sim_node_power_loss(f.n);
        CU_ASSERT_EQUAL(sim_disk_read(f.n, "f", r, 4, 0), 4);
        lost += memcmp(r, "data", 4) != 0;
        fix_close(&f);
    }
    CU_ASSERT_EQUAL(lost, LOSE_RUNS);
}

/* many files and syncs at random: whatever a sync covered is there after the power loss */
static void test_disk_random_syncs(void)
{
    enum { BLOCKS = 300, STEPS = 400 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        static uint8_t b[4096], now[BLOCKS], safe[BLOCKS];
        bool dirty[BLOCKS] = {0};
        memset(now, 0, sizeof now);
        memset(safe, 0, sizeof safe);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        env_resize(file, BLOCKS * sizeof b, &f.op);
        CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        for (int i = 0; i < STEPS; i++) {
            uint64_t at = sim_random(f.s, BLOCKS);
            if (sim_random(f.s, 20) == 0) {
                CU_ASSERT_EQUAL(d_sync(&f, file), 0);
                memcpy(safe, now, sizeof safe);
                memset(dirty, 0, sizeof dirty);
                continue;
            }
            now[at] = (uint8_t)(1 + sim_random(f.s, 255));
            dirty[at] = true;
            memset(b, now[at], sizeof b);
            CU_ASSERT_EQUAL(d_write(&f, file, b, sizeof b, at * sizeof b), (int64_t)sizeof b);
        }
        sim_node_power_loss(f.n);
        for (uint64_t at = 0; at < BLOCKS; at++) {
            CU_ASSERT_EQUAL(sim_disk_read(f.n, "f", b, sizeof b, at * sizeof b), sizeof b);
            for (size_t i = 0; !dirty[at] && i < sizeof b; i++)
                CU_ASSERT_FATAL(b[i] == safe[at]);
        }
        fix_close(&f);
    }
}

/* blocks that end in zeros, written whole, in parts, over each other, cut and lost: as plain bytes
 * would be */
static void test_disk_zeros_at_the_end(void)
{
    enum { BLOCKS = 8, BYTES = BLOCKS * 4096, STEPS = 300 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_config cfg = sim_config_quiet(seed);
        struct fix f;
        struct env_file *file;
        static uint8_t now[BYTES], safe[BYTES], r[BYTES], w[4096];
        cfg.disk.lose_drop_ppm = 1000000;
        fix_open(&f, &cfg);
        memset(now, 0, sizeof now);
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        env_resize(file, BYTES, &f.op);
        CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
        for (int i = 0; i < STEPS; i++) {
            uint64_t at = 4096 * sim_random(f.s, BLOCKS), n = 4096, what = sim_random(f.s, 8);
            if (what == 0) {
                CU_ASSERT_EQUAL(d_sync(&f, file), 0);
                what = 7;
            }
            if (what < 3) { /* a part; otherwise a whole block */
                at += sim_random(f.s, 4096);
                n = 1 + sim_random(f.s, 4096 - at % 4096);
            }
            memset(w, 0, sizeof w);
            for (uint64_t k = what == 4 ? 0 : sim_random(f.s, n + 1); k > 0; k--)
                w[k - 1] = (uint8_t)sim_random(f.s, 256);
            memcpy(now + at, w, n);
            if (what == 3) {
                memset(now + at, 0, n);
                env_punch(file, at, n, &f.op);
                CU_ASSERT_EQUAL(sim_run_op(f.s, &f.op, sec), 0);
            } else {
                CU_ASSERT_EQUAL(d_write(&f, file, w, (uint32_t)n, at), (int64_t)n);
            }
            at = 64 * sim_random(f.s, BYTES / 64);
            n = sim_random(f.s, BYTES - at + 1);
            CU_ASSERT_EQUAL(d_read(&f, file, r, (uint32_t)n, at), (int64_t)n);
            CU_ASSERT_FATAL(!memcmp(r, now + at, n));
        }
        CU_ASSERT_EQUAL(d_sync(&f, file), 0);
        memcpy(safe, now, BYTES);
        for (int i = 0; i < BLOCKS; i++) { /* some of what is dropped again */
            uint64_t n = 512 * (1 + sim_random(f.s, 8));
            memset(w, 0, sizeof w);
            memset(w, 0xee, sim_random(f.s, n));
            CU_ASSERT_EQUAL(d_write(&f, file, w, (uint32_t)n, (uint64_t)i * 4096), (int64_t)n);
        }
        sim_node_power_loss(f.n);
        CU_ASSERT_EQUAL(sim_disk_read(f.n, "f", r, BYTES, 0), BYTES);
        CU_ASSERT(!memcmp(r, safe, BYTES));
        fix_close(&f);
    }
}

static void test_disk_faults_on_and_off(void)
{
    for (int on = 0; on < 2; on++) {
        struct sim_config cfg = sim_config_quiet(9);
        cfg.disk.read_eio_ppm = cfg.disk.write_eio_ppm = on ? 100000 : 0;
        cfg.disk.misdirect_ppm = cfg.disk.stall_ppm = on ? 100000 : 0;
        cfg.disk.capacity = on ? 40 * 4096 : 0;
        struct fix f;
        fix_open(&f, &cfg);
        struct env_file *file;
        uint8_t b[4096] = {1};
        CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
        unsigned nospc = 0, eio = 0;
        for (uint64_t i = 0; i < 60; i++) {
            int64_t w = d_write(&f, file, b, sizeof b, i * 4096);
            int64_t r = d_read(&f, file, b, sizeof b, 0);
            nospc += w == E_NOSPC;
            eio += (w == E_IO) + (r == E_IO);
        }
        const struct sim_stats *st = sim_stats(f.s);
        CU_ASSERT_EQUAL(nospc > 0, on);
        CU_ASSERT_EQUAL(eio > 0, on);
        CU_ASSERT_EQUAL(st->stalls > 0, on);
        CU_ASSERT_EQUAL(st->misdirected > 0, on);
        fix_close(&f);
    }
}

/* A misdirected read gives one other block of the file, and leaves the disk as it is. */
static void test_disk_misread(void)
{
    enum { BLOCKS = 6 };
    struct sim_config cfg = sim_config_quiet(9);
    struct fix f;
    fix_open(&f, &cfg);
    struct env_file *file;
    static uint8_t b[BLOCKS][4096];
    CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
    for (int i = 0; i < BLOCKS; i++)
        memset(b[i], i + 1, sizeof b[i]);
    CU_ASSERT_EQUAL(d_write(&f, file, b, sizeof b, 0), (int64_t)sizeof b);
    cfg.disk.misdirect_read_ppm = 1000000;
    sim_disk_set(f.n, &cfg.disk);
    unsigned seen = 0;
    for (int k = 0; k < 200; k++) {
        uint64_t at = sim_random(f.s, BLOCKS), n = 1 + sim_random(f.s, BLOCKS - at), other = 0;
        CU_ASSERT_EQUAL(d_read(&f, file, b, n * 4096, at * 4096), (int64_t)n * 4096);
        for (uint64_t i = 0; i < n; i++) {
            CU_ASSERT(b[i][0] >= 1 && b[i][0] <= BLOCKS && b[i][0] == b[i][4095]);
            other += b[i][0] != at + i + 1;
            seen |= b[i][0] != at + i + 1 ? 1U << b[i][0] : 0;
        }
        CU_ASSERT_EQUAL(other, 1);
    }
    CU_ASSERT_EQUAL(seen, (1U << (BLOCKS + 1)) - 2); /* any of them */
    cfg.disk.misdirect_read_ppm = 0;
    sim_disk_set(f.n, &cfg.disk);
    CU_ASSERT_EQUAL(d_read(&f, file, b, sizeof b, 0), (int64_t)sizeof b);
    for (int i = 0; i < BLOCKS; i++)
        CU_ASSERT_EQUAL(b[i][7], i + 1);
    fix_close(&f);
}

static void test_disk_rot_and_bad_block(void)
{
    struct sim_config cfg = sim_config_quiet(9);
    struct fix f;
    fix_open(&f, &cfg);
    struct env_file *file;
    uint8_t b[2] = {1, 2};
    CU_ASSERT_EQUAL(d_open(&f, "f", ENV_O_WRITE | ENV_O_CREATE, &file), 0);
    CU_ASSERT_EQUAL(d_write(&f, file, b, 2, 0), 2);
    CU_ASSERT_EQUAL(sim_disk_flip(f.n, "f", 1, 7), 0);
    CU_ASSERT_EQUAL(sim_disk_flip(f.n, "f", 2, 7), E_RANGE);
    CU_ASSERT_EQUAL(d_read(&f, file, b, 2, 0), 2);
    CU_ASSERT_EQUAL(b[0], 1);
    CU_ASSERT_EQUAL(b[1], 0x82);
    CU_ASSERT_EQUAL(sim_disk_bad(f.n, "f", 0), 0);
    CU_ASSERT_EQUAL(d_read(&f, file, b, 2, 0), E_IO);
    CU_ASSERT_EQUAL(d_write(&f, file, b, 2, 0), 2);
    CU_ASSERT_EQUAL(d_read(&f, file, b, 2, 0), 2);
    CU_ASSERT_STRING_EQUAL(sim_disk_next(f.n, ""), "f");
    CU_ASSERT_PTR_NULL(sim_disk_next(f.n, "f"));
    sim_node_crash(f.n);
    sim_node_wipe(f.n);
    CU_ASSERT_PTR_NULL(sim_disk_next(f.n, ""));
    fix_close(&f);
}

UNIT_MAIN("sim_disk", UNIT(test_disk_reads_what_was_written), UNIT(test_disk_lists_in_order),
          UNIT(test_disk_power_loss_by_sector), UNIT(test_disk_crash_keeps_the_cache),
          UNIT(test_disk_write_under_way_at_a_crash), UNIT(test_disk_power_loss_of_names),
          UNIT(test_disk_power_loss_of_sizes), UNIT(test_disk_dsync_survives),
          UNIT(test_disk_write_during_sync), UNIT(test_disk_failed_sync_leaves_clean_pages),
          UNIT(test_disk_random_syncs), UNIT(test_disk_zeros_at_the_end),
          UNIT(test_disk_faults_on_and_off), UNIT(test_disk_misread),
          UNIT(test_disk_rot_and_bad_block))
