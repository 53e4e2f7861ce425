/* tests/unit/test_log_meta.c - the two copies of journal.meta on a disk that reads and writes other
 * places than it was told. */
#include "journal/log_meta.h"
#include "core/crc.h"
#include "tests/unit/test_wal_fake.h"

static struct fake meta_disk;
static struct mem meta_mem;

struct meta_op {
    struct env_op op;
    bool done;
};

static void meta_op_done(struct env_op *op)
{
    container_of(op, struct meta_op, op)->done = true;
}

static int64_t meta_wait(struct meta_op *o)
{
    for (int i = 0; i < 10000 && !o->done; i++)
        CU_ASSERT_FATAL(fake_step(&meta_disk));
    CU_ASSERT_FATAL(o->done);
    return o->op.ret;
}

static void meta_begin(struct log_meta_file *f)
{
    memset(f, 0, sizeof *f);
    CU_ASSERT_FATAL(log_meta_init(f, &meta_disk.env, &meta_mem, "j/"));
}

static int64_t meta_read(struct log_meta_file *f)
{
    struct meta_op o = {.op.done = meta_op_done};
    meta_begin(f);
    log_meta_read(f, &o.op);
    return meta_wait(&o);
}

static void meta_save(struct log_meta_file *f, uint32_t vote)
{
    struct meta_op o = {.op.done = meta_op_done};
    f->meta.vote = vote;
    log_meta_save(f, &o.op);
    CU_ASSERT_EQUAL(meta_wait(&o), 0);
}

/* one that says 1, and was saved a second time with 2 */
static uint8_t *meta_two(void)
{
    static bool is_used;
    struct log_meta_file f;
    if (is_used)
        fake_drop(&meta_disk);
    is_used = true;
    fake_init(&meta_disk, 1);
    unit_mem(&meta_mem, 1 << 20);
    meta_begin(&f);
    f.is_new = true;
    f.meta.member = 3;
    meta_save(&f, 1);
    log_meta_drop(&f);
    CU_ASSERT_EQUAL(meta_read(&f), 0);
    CU_ASSERT(f.meta.vote == 1 && !f.is_single);
    meta_save(&f, 2);
    log_meta_drop(&f);
    fake_power_loss(&meta_disk);
    struct fake_inode *n = fake_file(&meta_disk, "j/journal.meta");
    CU_ASSERT_FATAL(n != NULL && n->size == 2 * LOG_BLOCK);
    return n->now;
}

/* what it says now; what is wrong is put right before anything is told */
static void meta_says(uint32_t vote, bool is_single)
{
    struct log_meta_file f;
    CU_ASSERT_EQUAL(meta_read(&f), 0);
    CU_ASSERT_EQUAL(f.meta.vote, vote);
    CU_ASSERT_EQUAL(f.is_single, is_single);
    meta_save(&f, f.meta.vote);
    log_meta_drop(&f);
    meta_disk.misread = 0;
    CU_ASSERT_EQUAL(meta_read(&f), 0);
    CU_ASSERT(f.meta.vote == vote && !f.is_single);
    log_meta_drop(&f);
}

/* a copy is read where the other one is, up to three times: the last save is known all the same */
static void test_a_copy_is_read_in_the_place_of_the_other(void)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t n = 0; n < 4; n++) {
            uint8_t other[LOG_BLOCK];
            uint8_t *b = meta_two();
            memcpy(other, b + !i * LOG_BLOCK, sizeof other);
            meta_disk.misread = (1u << n) - 1;
            meta_disk.misread_at = i * LOG_BLOCK;
            meta_disk.misread_as = other;
            meta_says(2, false);
        }
}

/* The second save's write of copy i went to the other's place, before that one was written or
 * after; and where the later copy is, the older one is read. */
static void test_a_copy_that_went_astray_is_not_forgotten(void)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t last = 0; last < 2; last++)
            for (uint32_t n = 0; n < 4; n++) {
                static uint8_t before[2 * LOG_BLOCK], after[2 * LOG_BLOCK];
                struct log_meta_file f;
                uint8_t *b = meta_two();
                memcpy(before, b, sizeof before);
                CU_ASSERT_EQUAL(meta_read(&f), 0);
                meta_save(&f, 7);
                log_meta_drop(&f);
                memcpy(after, b, sizeof after);
                memcpy(b, before, sizeof before);
                memcpy(b + !i * LOG_BLOCK, after + (last ? i : !i) * LOG_BLOCK, LOG_BLOCK);
                meta_disk.misread = (1u << n) - 1;
                meta_disk.misread_at = !i * LOG_BLOCK;
                meta_disk.misread_as = before + i * LOG_BLOCK;
                meta_says(7, true);
            }
}

/* What stays open is read back: a write that went astray is done again, before the next save. */
static void test_what_went_astray_is_written_again(void)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t n = 0; n < 3; n++) {
            static uint8_t before[2 * LOG_BLOCK];
            struct meta_op o = {.op.done = meta_op_done};
            struct log_meta_file f;
            uint8_t *b = meta_two();
            memcpy(before, b, sizeof before);
            CU_ASSERT_EQUAL(meta_read(&f), 0);
            f.keeps_open = true;
            meta_save(&f, 7);
            memcpy(b + i * LOG_BLOCK, before + i * LOG_BLOCK, LOG_BLOCK);
            if (n == 0) /* nobody is in the way */
                while (meta_disk.n_ops)
                    fake_step(&meta_disk);
            if (n == 1) /* the next save, which finds the worse copy and begins with it */
                meta_save(&f, 7);
            log_meta_close(&f, &o.op);
            CU_ASSERT_EQUAL(meta_wait(&o), 0);
            CU_ASSERT_EQUAL(meta_disk.n_ops, 0);
            log_meta_drop(&f);
            meta_says(7, n == 2); /* no time to */
        }
}

/* One copy went to the other's place, so that one place has what was saved and the other what was
 * before: whatever is written next, a crash that tears it leaves what was saved. */
static void test_astray_and_then_torn(void)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t n = 0; n < 40; n++) {
            static uint8_t before[2 * LOG_BLOCK], copy[LOG_BLOCK];
            struct meta_op o = {.op.done = meta_op_done};
            struct log_meta_file f;
            uint8_t *b = meta_two();
            memcpy(before, b, sizeof before);
            CU_ASSERT_EQUAL(meta_read(&f), 0);
            f.keeps_open = true;
            meta_save(&f, 7);
            memcpy(copy, b + !i * LOG_BLOCK, sizeof copy); /* of the place that keeps the old one */
            memcpy(b + !i * LOG_BLOCK, before + !i * LOG_BLOCK, LOG_BLOCK);
            memcpy(b + i * LOG_BLOCK, copy, LOG_BLOCK);
            f.meta.vote = 8;
            if (n % 2) { /* once it was read back */
                fake_step(&meta_disk);
                log_meta_save(&f, &o.op);
            }
            static uint8_t was[2 * LOG_BLOCK];
            memcpy(was, b, sizeof was);
            for (uint32_t k = 0; k <= n / 2 && meta_disk.n_ops; k++) {
                memcpy(was, b, sizeof was);
                fake_step(&meta_disk);
            }
            for (uint32_t at = 0; at < 2; at++) /* what the last step wrote is torn */
                if (memcmp(was + at * LOG_BLOCK, b + at * LOG_BLOCK, LOG_BLOCK))
                    memset(b + at * LOG_BLOCK + 8, 0x5a, 100);
            fake_kill(&meta_disk);
            mem_drop(&meta_mem); /* of the one that was killed */
            unit_mem(&meta_mem, 1 << 20);
            CU_ASSERT_EQUAL(meta_read(&f), 0);
            CU_ASSERT(f.meta.vote == 7 || (n % 2 && f.meta.vote == 8));
            log_meta_drop(&f);
        }
}

/* a save that fails while the one before is read back */
static void test_a_save_that_fails_waits_for_the_reading(void)
{
    struct meta_op o = {.op.done = meta_op_done};
    struct log_meta_file f;
    (void)meta_two();
    CU_ASSERT_EQUAL(meta_read(&f), 0);
    f.keeps_open = true;
    for (uint32_t n = 0; n < 20; n++)
        meta_save(&f, n);
    meta_disk.fail_in = 1;
    meta_disk.fail_with = E_IO;
    log_meta_save(&f, &o.op);
    CU_ASSERT_EQUAL(meta_wait(&o), E_IO);
    CU_ASSERT(meta_disk.n_ops == 0 && !f.file);
    log_meta_drop(&f);
}

/* If it goes on, there is no start: who knows what the other copy says? */
static void test_one_copy_for_both_is_no_start(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct log_meta_file f;
        uint8_t other[LOG_BLOCK];
        uint8_t *b = meta_two();
        memcpy(other, b + !i * LOG_BLOCK, sizeof other);
        uint64_t hash = fake_hash(&meta_disk);
        meta_disk.misread = UINT64_MAX;
        meta_disk.misread_at = i * LOG_BLOCK;
        meta_disk.misread_as = other;
        CU_ASSERT_EQUAL(meta_read(&f), E_IO);
        CU_ASSERT(strstr(meta_disk.last_error, "the same one") != NULL);
        log_meta_drop(&f);
        CU_ASSERT_EQUAL(fake_hash(&meta_disk), hash);
        meta_disk.misread = 0;
        meta_says(2, false);
    }
}

/* what is read badly a few times is no rot; what is, leaves the other */
static void test_a_copy_that_reads_badly(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *b = meta_two();
        meta_disk.misread = 7;
        meta_disk.misread_at = i * LOG_BLOCK;
        meta_says(2, false);
        b[i * LOG_BLOCK + 50] ^= 4;
        meta_says(2, true);
        memset(b + i * LOG_BLOCK, 0, LOG_BLOCK);
        meta_says(2, true);
    }
}

/* version 1: the two copies are equal, and do not say which they are */
static void test_the_version_before_is_read(void)
{
    uint8_t *b = meta_two();
    for (uint32_t i = 0; i < 2; i++) {
        struct log_meta m;
        memcpy(&m, b + i * LOG_BLOCK, sizeof m);
        CU_ASSERT(m.version == LOG_META_VERSION && m.place == i + 1);
        m.version = 1;
        m.place = 0;
        m.crc = 0;
        memcpy(b + i * LOG_BLOCK, &m, sizeof m);
        m.crc = crc_update(0, b + i * LOG_BLOCK, LOG_BLOCK);
        memcpy(b + i * LOG_BLOCK, &m, sizeof m);
    }
    CU_ASSERT(!memcmp(b, b + LOG_BLOCK, LOG_BLOCK));
    meta_says(2, false);
    struct log_meta m;
    memcpy(&m, b + LOG_BLOCK, sizeof m);
    CU_ASSERT(m.version == LOG_META_VERSION && m.place == 2);
}

UNIT_MAIN("log_meta", UNIT(test_a_copy_is_read_in_the_place_of_the_other),
          UNIT(test_a_copy_that_went_astray_is_not_forgotten),
          UNIT(test_what_went_astray_is_written_again), UNIT(test_astray_and_then_torn),
          UNIT(test_a_save_that_fails_waits_for_the_reading),
          UNIT(test_one_copy_for_both_is_no_start), UNIT(test_a_copy_that_reads_badly),
          UNIT(test_the_version_before_is_read))
