/* tests/unit/test_wal_cursor.c - a log that many use at once: records of any epoch in pieces, and
 * readers of it while it runs. */
#include "tests/unit/test_wal_log.h"

static struct tlog log_one;
static struct fake log_disk;

static void test_pieces_and_epochs_come_back(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 3);
    t->epoch = 5;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int life = 0; life < 4; life++) {
        for (int i = 0; i < 300; i++) {
            uint32_t len = (uint32_t)prng_below(&t->rng, i % 10 ? 300 : 15000);
            while (tlog_append(t, len) == E_AGAIN)
                CU_ASSERT_FATAL(tlog_step(t));
            if (i % 50 == 7)
                t->epoch += 3;
            if (i % 3 == 0)
                tlog_step(t);
        }
        if (life == 3)
            break;
        tlog_crash(t, life != 1);
        CU_ASSERT_FATAL(tlog_open(t, 1));
        CU_ASSERT_FATAL(wal_epoch(t->wal) >= t->at[t->seen].epoch);
    }
    for (int i = 0; i < 20000 && t->handed < t->appended; i++)
        tlog_step(t);
    CU_ASSERT_EQUAL(t->handed, t->appended);
    CU_ASSERT_EQUAL(wal_durable(t->wal), t->appended);
    tlog_stop(t);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    tlog_stop(t);
    tlog_drop(t);
}

static void test_what_is_too_big_or_too_much_is_refused(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 4);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    CU_ASSERT_EQUAL(tlog_append(t, t->cfg.batch_bytes - 23), E_TOOBIG);
    struct env_iov huge[2] = {{t->at, SIZE_MAX}, {t->at, 2}};
    uint64_t place;
    CU_ASSERT_EQUAL(wal_append(t->wal, 0, 1, huge, 2, &place), E_TOOBIG);
    int ret, n = 0;
    while ((ret = tlog_append(t, 1000)) == 0)
        n++;
    CU_ASSERT_EQUAL(ret, E_AGAIN);
    CU_ASSERT_EQUAL(n, 64 * 1024 / 1016);
    tlog_stop(t);
    CU_ASSERT_EQUAL(t->handed, (uint64_t)n);
    tlog_drop(t);
}

UNIT_MAIN("wal_cursor", UNIT(test_pieces_and_epochs_come_back),
          UNIT(test_what_is_too_big_or_too_much_is_refused))
