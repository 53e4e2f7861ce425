/* tests/unit/test_backup.c - backups: taken from a running member, checked, and copied into the
 * image that a restored member begins with. */
#include "journal/backup.h"
#include "journal/era.h"
#include "journal/raft_format.h"
#include "tests/unit/test_raft_world_sim.h"

enum { FILE_MAX = 4 << 20, PIECE = 60000 };

static uint8_t file[FILE_MAX], other[FILE_MAX];

/* an image of n pieces; its bytes */
static uint64_t image_make(uint8_t *to, uint32_t n, uint64_t index)
{
    static uint8_t buf[LOG_PIECE_MAX + LOG_BLOCK], piece[PIECE];
    struct log_image h = {.cluster_hi = 7, .cluster_lo = 8, .index = index, .epoch = 3};
    struct backup_out o = {.buf = buf};
    uint64_t at = 0;
    backup_out_begin(&o, &h);
    for (uint32_t i = 0; i <= n; i++) {
        memcpy(to + at, buf, o.len);
        at += o.len;
        o.len = 0;
        memset(piece, (int)i + 1, sizeof piece);
        if (i < n)
            backup_out_piece(&o, piece, 1 + i * 977 % PIECE);
    }
    backup_out_end(&o);
    memcpy(to + at, buf, o.len);
    return at + o.len;
}

/* pieces, or the error */
static int64_t image_walk(const uint8_t *p, uint64_t n)
{
    struct backup_walk w;
    const uint8_t *bytes;
    uint32_t len;
    int ret = backup_walk_begin(&w, p, n);
    while (!ret && (ret = backup_walk_next(&w, &bytes, &len)) == 1)
        ret = 0;
    if (ret)
        return ret;
    return w.number;
}

static void test_backup_image(void)
{
    for (uint32_t n = 1; n < 40; n += 7) {
        uint64_t len = image_make(file, n, 5);
        CU_ASSERT_EQUAL(len % LOG_BLOCK, 0);
        struct backup_walk w;
        const uint8_t *bytes;
        uint32_t piece, k = 0;
        CU_ASSERT_EQUAL(backup_walk_begin(&w, file, len), 0);
        while (backup_walk_next(&w, &bytes, &piece) == 1) {
            CU_ASSERT_EQUAL(piece, 1 + k * 977 % PIECE);
            CU_ASSERT(bytes[0] == k + 1 && bytes[piece - 1] == k + 1);
            k++;
        }
        CU_ASSERT_EQUAL(k, n);
        for (uint64_t cut = 0; cut < w.pos; cut += 1 + cut / 8) /* behind it: padding */
            CU_ASSERT(image_walk(file, cut) < 0);
        for (uint64_t at = 0; at < w.pos; at += 1 + at / 64) {
            file[at] ^= 0x40;
            int64_t ret = image_walk(file, len);
            /* bytes that only pad to 8 are nobody's */
            if (ret >= 0)
                CU_ASSERT(file[at] == 0x40);
            file[at] ^= 0x40;
        }
    }
}

static void test_backup_head(void)
{
    uint8_t block[LOG_BLOCK];
    struct backup b = {.head = {.chain = 9,
                                .cluster_hi = 1,
                                .cluster_lo = 2,
                                .index = 3,
                                .term = 4,
                                .era = 5,
                                .time_ns = 6,
                                .image_bytes = 7}},
                  c;
    b.conf =
        (struct raft_conf){.n = 1, .member = {{.id = {1}, .flags = RAFT_VOTER, .addr = "a:1"}}};
    backup_head_put(block, &b);
    CU_ASSERT_EQUAL(backup_head_get(block, &c), 0);
    CU_ASSERT(c.head.chain == 9 && c.head.cluster_hi == 1 && c.head.cluster_lo == 2);
    CU_ASSERT(c.head.index == 3 && c.head.term == 4 && c.head.era == 5 && c.head.time_ns == 6);
    CU_ASSERT(c.head.image_bytes == 7 && c.conf.n == 1 && !strcmp(c.conf.member[0].addr, "a:1"));
    for (uint32_t at = 0; at < LOG_BLOCK; at++) {
        block[at] ^= 1;
        CU_ASSERT(backup_head_get(block, &c) != 0);
        block[at] ^= 1;
    }
    memset(block, 0, sizeof block);
    CU_ASSERT_EQUAL(backup_head_get(block, &c), E_NODATA);
}

/* the same file, list and era: the same cluster; another file or list does not fit the era */
static void test_backup_plan(void)
{
    const int64_t now = 1795000000LL * 1000000000;
    struct backup b = {.head = {.chain = 9,
                                .crc = 77,
                                .cluster_hi = 1,
                                .cluster_lo = 2,
                                .index = 3,
                                .term = 4,
                                .era = (1700000000ULL << 32) | 123}};
    struct raft_conf m = {.n = 1, .member = {{.id = {1}, .flags = RAFT_VOTER, .addr = "a:1"}}};
    uint64_t era = backup_restore_era(&b, &m, 0, now, 5), known = 1795000005ULL << 32;
    CU_ASSERT_EQUAL(era_number(era), 1795000000);
    CU_ASSERT(backup_restore_fits(&b, &m, era));
    CU_ASSERT(backup_restore_era(&b, &m, 0, now, 6) != era); /* in the same second */
    /* whatever the clock says it is above the backup's, and above what is known */
    CU_ASSERT_EQUAL(era_number(backup_restore_era(&b, &m, 0, 0, 5)), 1700000001);
    CU_ASSERT_EQUAL(era_number(backup_restore_era(&b, &m, known, now, 5)), 1795000006);
    CU_ASSERT(!backup_restore_fits(&b, &m, b.head.era));
    struct backup_plan p = backup_restore_plan(&b, &m, era, false);
    CU_ASSERT(p.cluster_hi == 1 && p.cluster_lo == 2 && p.era == era);
    struct backup_plan fresh = backup_restore_plan(&b, &m, era, true);
    CU_ASSERT(fresh.cluster_hi != 1 && fresh.cluster_lo != 2 && fresh.era == era);
    p = backup_restore_plan(&b, &m, era, true);
    CU_ASSERT(p.cluster_hi == fresh.cluster_hi && p.cluster_lo == fresh.cluster_lo);
    CU_ASSERT(backup_restore_plan(&b, &m, era + (1 << 16), true).cluster_hi != fresh.cluster_hi);
    m.member[0].id.v = 2;
    CU_ASSERT(!backup_restore_fits(&b, &m, era));
    CU_ASSERT(backup_restore_plan(&b, &m, era, true).cluster_hi != fresh.cluster_hi);
    m.member[0].id.v = 1;
    b.head.chain++;
    CU_ASSERT(!backup_restore_fits(&b, &m, era));
    b.head.chain--;
    CU_ASSERT(backup_restore_fits(&b, &m, era));
}

/* era.c, the rule: the later one counts, and of two at once neither */
static void test_eras(void)
{
    const int64_t s = 1000000000;
    uint64_t none = 0, a = era_next(0, 1000 * s, 1), b = era_next(a, 2000 * s, 2);
    CU_ASSERT(era_number(a) == 1000 && era_number(b) == 2000);
    CU_ASSERT(era_is_over(none, a) && era_is_over(a, b) && !era_is_over(b, a));
    uint64_t c = era_next(b, 1500 * s, 3); /* the clock was set back */
    CU_ASSERT(era_number(c) == 2001 && era_is_over(b, c));
    uint64_t d = era_next(a, 2000 * s, 4);
    CU_ASSERT(d != b && !era_is_over(b, d) && !era_is_over(d, b));
    CU_ASSERT(era_number(era_next(a, -1, 5)) == 1001);
    CU_ASSERT(era_number(era_next(UINT64_MAX, 1, 6)) == UINT32_MAX);
}

struct waited {
    struct env_op op;
    bool done;
};

static void waited_done(struct env_op *op)
{
    container_of(op, struct waited, op)->done = true;
}

static int64_t wait_for(struct gang *g, struct waited *o)
{
    for (int k = 0; k < 5000 && !o->done; k++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(o->done);
    return o->op.ret;
}

/* the bytes of the newest image of a member, as a backup gets them */
static uint64_t image_pull(struct gang *g, struct gang_member *m, uint64_t index, uint8_t *to)
{
    uint64_t n = 0;
    for (;;) {
        static struct waited o;
        o = (struct waited){.op = {.done = waited_done}};
        journal_image_read(m->j, index, n, to + n, 64 * 1024, &o.op);
        if (wait_for(g, &o) < 0)
            return 0;
        n += (uint64_t)o.op.ret;
        if (o.op.ret < 64 * 1024)
            return n;
    }
}

static void test_backup_of_a_running_group(void)
{
    struct sim_config c = sim_config_quiet(1);
    struct gang *g = gang_new(&c, 3);
    g->ballast = 7;
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 100, 100));
    gang_run(g, 2000); /* the members' disks are written down, everywhere */
    CU_ASSERT(gang_await_equal(g, 5000));
    uint64_t n[3], index[3];
    for (uint32_t i = 0; i < 3; i++) {
        static struct waited o;
        o = (struct waited){.op = {.done = waited_done}};
        journal_image_now(g->m[i].j, &o.op);
        index[i] = (uint64_t)wait_for(g, &o);
        n[i] = image_pull(g, &g->m[i], index[i], i ? other : file);
        CU_ASSERT_EQUAL(image_walk(i ? other : file, n[i]), 9); /* the group's, the state's */
        CU_ASSERT(index[i] == index[0] && n[i] == n[0] && (!i || !memcmp(file, other, n[0])));
    }
    CU_ASSERT_EQUAL(image_pull(g, &g->m[0], index[0] + 1, other), 0); /* none of that index */
    CU_ASSERT(gang_write(g, 10, 100));
    /* a stop waits for a read that is under way */
    struct waited rd = {.op = {.done = waited_done}}, st = {.op = {.done = waited_done}};
    journal_image_read(g->m[2].j, index[2], 0, other, 4096, &rd.op);
    env_unlisten(sim_env(g->m[2].node), &g->m[2].acceptor);
    journal_stop(g->m[2].j, &st.op);
    wait_for(g, &st);
    CU_ASSERT(rd.done);
    g->m[2].j = NULL;
    CU_ASSERT(list_empty(&sim_mem(g->m[2].node)->large));
    gang_free(g);
}

UNIT_MAIN("backup", UNIT(test_backup_image), UNIT(test_backup_head), UNIT(test_backup_plan),
          UNIT(test_eras), UNIT(test_backup_of_a_running_group))
