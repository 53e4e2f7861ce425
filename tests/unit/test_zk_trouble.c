/* tests/unit/test_zk_trouble.c - the ZooKeeper journal when storage hangs or is damaged, one
 * thing at a time; test_zk_drive.c has all of it at once. */
#include "journal/wal_impl.h"
#include "tests/unit/test_zk_world.h"

static struct zw zw_one;

static struct zw *zt_begin(uint64_t seed)
{
    struct zw *w = &zw_one;
    zw_init(w, seed);
    w->numbers_come = true;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_up(w, i);
    zw_run(w, 200);
    return w;
}

static void zt_lead(struct zw *w, uint32_t i)
{
    for (int k = 0; k < 30 && w->m[i].role != JOURNAL_LEADER; k++) {
        zw_call(w, i);
        zw_run(w, 100);
    }
    CU_ASSERT_FATAL(w->m[i].role == JOURNAL_LEADER);
}

static void zt_write(struct zw *w, uint32_t i, uint32_t n)
{
    uint32_t had = w->n_acked;
    for (uint32_t k = 0; k < n; k++) {
        CU_ASSERT(zw_submit(w, i, 100));
        zw_run(w, 2);
    }
    zw_run(w, 50);
    CU_ASSERT_EQUAL(w->n_acked, had + n);
}

static void zt_end(struct zw *w)
{
    CU_ASSERT(!w->bad);
    zw_drop(w);
}

/* why it would not come to lead */
static enum journal_bar zt_bar(struct zw *w, uint32_t i)
{
    struct journal_status st;
    journal_status(w->m[i].j, &st);
    return st.zk.bar;
}

/* --- who cannot reach the storage --- */

static void test_a_stuck_leader_lets_others(void)
{
    struct zw *w = zt_begin(1);
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    w->s.m[0].stuck = "";
    zw_submit(w, 0, 100);
    zw_run(w, 13000);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    CU_ASSERT(!w->m[0].stands);
    CU_ASSERT(zt_bar(w, 0) == JOURNAL_BAR_STORAGE || zt_bar(w, 0) == JOURNAL_BAR_CANDIDACY);
    CU_ASSERT_EQUAL(zt_bar(w, 1), JOURNAL_BAR_NONE);
    CU_ASSERT_EQUAL(w->n_unknown, 1);
    zt_lead(w, 1);
    zt_write(w, 1, 3);
    w->s.m[0].stuck = NULL;
    zw_run(w, 1000);
    CU_ASSERT(w->m[0].stands && w->m[0].applied >= w->acked);
    CU_ASSERT_EQUAL(zt_bar(w, 0), JOURNAL_BAR_NONE);
    zt_lead(w, 0);
    zt_end(w);
}

/* it was asked for nothing, and nothing was asked of it */
static void test_an_idle_stuck_leader_lets_others(void)
{
    struct zw *w = zt_begin(2);
    zt_lead(w, 0);
    w->s.m[0].stuck = "";
    zw_run(w, 14000);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    CU_ASSERT(!w->m[0].stands);
    zt_end(w);
}

static void test_a_stuck_candidate_lets_others(void)
{
    for (int at = 0; at < 24; at++) {
        struct zw *w = zt_begin(3 + (uint64_t)at);
        zt_lead(w, 0);
        zt_write(w, 0, 5);
        zw_submit(w, 0, 100);
        share_kill(&w->s, 0);
        zw_call(w, 1);
        for (int k = 0; k < at * 6; k++)
            share_step(&w->s);
        w->s.m[1].stuck = "";
        zw_run(w, 13000);
        CU_ASSERT(!w->m[1].stands);
        zt_lead(w, 2);
        zt_write(w, 2, 3);
        w->s.m[1].stuck = NULL;
        zw_run(w, 1000);
        CU_ASSERT(w->m[1].stands && w->m[1].role == JOURNAL_STANDBY);
        CU_ASSERT(w->m[1].applied >= w->acked);
        zt_lead(w, 1);
        zt_end(w);
    }
}

/* --- deadlines --- */

static void test_reads_end_in_time(void)
{
    struct zw *w = zt_begin(30);
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    w->s.m[0].stuck = w->s.m[1].stuck = "";
    zw_read(w, 0);
    zw_read(w, 1);
    zw_run(w, 4500);
    CU_ASSERT_EQUAL(w->n_reads_failed, 0);
    zw_run(w, 1000);
    CU_ASSERT_EQUAL(w->n_reads_failed, 2);
    zt_end(w);
}

/* the fence can be read all the time, and is, for reads */
static void test_a_log_that_hangs_ends_the_leadership(void)
{
    struct zw *w = zt_begin(31);
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    w->s.m[0].stuck = "wal-";
    zw_submit(w, 0, 100);
    for (int k = 0; k < 120; k++) {
        zw_read(w, 0);
        zw_run(w, 100);
        if (k < 80)
            CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_LEADER);
    }
    CU_ASSERT(w->n_reads > 80);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    CU_ASSERT_EQUAL(w->n_unknown, 1);
    zt_end(w);
}

static void test_a_look_that_failed_comes_again_soon(void)
{
    struct zw *w = zt_begin(32);
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    share_kill(&w->s, 1);
    share_kill(&w->s, 2);
    zw_run(w, 20);
    w->s.disk.fail_read_in = 1;
    w->s.disk.fail_with = E_IO;
    zw_submit(w, 0, 100);
    zw_run(w, 20);
    CU_ASSERT_EQUAL(w->n_acked, 3);
    zw_run(w, 100);
    CU_ASSERT_EQUAL(w->n_acked, 4);
    zt_end(w);
}

static void zt_stopped(struct env_op *op)
{
    container_of(op, struct zw_member, stop_op)->stopped = true;
}

/* Whatever hangs, a stop ends within a bound, and nobody is called after that, also when what hung
 * goes on. */
static void test_a_stop_does_not_wait_for_what_hangs(void)
{
    static const char *const parts[] = {"", "fence", "wal-", "images", "owner"};
    uint32_t left = 0;
    for (uint64_t seed = 100; seed < 160; seed++) {
        struct zw *w = zt_begin(seed);
        struct zw_member *m = &w->m[seed % 2];
        zt_lead(w, 0);
        zt_write(w, 0, 3);
        zw_image(w, m->i);
        zw_submit(w, 0, 100);
        for (uint64_t k = prng_below(&w->s.rng, 30); k; k--)
            share_step(&w->s);
        w->s.m[m->i].stuck = parts[seed / 2 % ARRAY_LEN(parts)];
        if (seed % 3 == 0)
            zw_call(w, m->i);
        for (uint64_t k = prng_below(&w->s.rng, 200); k; k--)
            share_step(&w->s);
        zw_read(w, m->i);
        int64_t began = w->s.disk.now_ns;
        m->stop_op.done = zt_stopped;
        journal_stop(m->j, &m->stop_op);
        while (!m->stopped && w->s.disk.now_ns < began + 60000 * ZW_MS && share_step(&w->s))
            ;
        CU_ASSERT_FATAL(m->stopped);
        CU_ASSERT(w->s.disk.now_ns - began < 4200 * ZW_MS);
        CU_ASSERT(m->stop_op.ret == 0 || m->stop_op.ret == E_TIMEOUT);
        CU_ASSERT(!m->imaging);
        left += m->stop_op.ret != 0;
        memset(&m->host, 0, sizeof m->host);
        m->elect.vt = NULL;
        w->s.m[m->i].stuck = NULL;
        zw_run(w, 1000);
        share_kill(&w->s, m->i);
        zt_lead(w, 2);
        zt_write(w, 2, 3);
        zt_end(w);
    }
    CU_ASSERT(left > 20);
}

/* An image whose writing hangs when its member leaves: it is not there as if it were whole. */
static void test_who_leaves_leaves_no_half_image(void)
{
    struct zw *w = zt_begin(100);
    struct zw_member *m = &w->m[1];
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    zw_submit(w, 0, 100);
    zw_run(w, 300);
    for (int k = 0; k < 20000 && !(zw_drive(w, 1)->snap_busy && zw_drive(w, 1)->busy); k++) {
        if (zw_drive(w, 1)->busy && !zw_drive(w, 1)->snap_busy)
            zw_image(w, 1);
        share_step(&w->s);
    }
    CU_ASSERT_FATAL(zw_drive(w, 1)->snap_busy && zw_drive(w, 1)->busy);
    w->s.m[1].stuck = "";
    zw_run(w, 100);
    m->stop_op.done = zt_stopped;
    journal_stop(m->j, &m->stop_op);
    zw_run(w, 5000);
    CU_ASSERT(m->stopped && m->stop_op.ret == E_TIMEOUT);
    w->s.m[1].stuck = NULL;
    zw_run(w, 1000);
    CU_ASSERT(!zw_has(w, "images/2/image-"));
    share_kill(&w->s, 1);
    zw_up(w, 1);
    zw_run(w, 1000);
    CU_ASSERT(m->applied >= w->acked);
    zt_end(w);
}

/* who is to stop is not to wait as long as others for what was asked of the journal */
static void test_an_ending_journal_answers_sooner(void)
{
    struct zw *w = zt_begin(33);
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    w->s.m[0].stuck = w->s.m[1].stuck = "";
    zw_submit(w, 0, 100);
    zw_read(w, 1);
    journal_ending(w->m[0].j);
    journal_ending(w->m[1].j);
    zw_run(w, 1500);
    CU_ASSERT(w->n_unknown == 0 && w->n_reads_failed == 0);
    zw_run(w, 1000);
    CU_ASSERT(w->n_unknown == 1 && w->n_reads_failed == 1);
    zt_end(w);
}

/* --- claims --- */

static void test_who_is_not_first_claims_nothing(void)
{
    static const uint8_t zeros[LOG_BLOCK];
    struct zw *w = zt_begin(40);
    w->number_uncalls = true;
    for (int k = 0; k < 5; k++) {
        zw_call(w, 0);
        zw_run(w, 300);
    }
    CU_ASSERT(w->n_numbers > 2);
    const uint8_t *fence = zw_file(w, "d/fence")->now;
    CU_ASSERT(!memcmp(fence + 2 * LOG_BLOCK, zeros, LOG_BLOCK)); /* of epoch 1 */
    w->number_uncalls = false;
    zt_lead(w, 0);
    CU_ASSERT(memcmp(fence + 2 * LOG_BLOCK, zeros, LOG_BLOCK) ||
              memcmp(fence + 7 * LOG_BLOCK, zeros, LOG_BLOCK));
    zt_end(w);
}

static void test_a_number_out_of_range_is_an_error(void)
{
    struct zw *w = zt_begin(41);
    w->number = 1ULL << 40;
    for (int k = 0; k < 200; k++) {
        zw_call(w, 0);
        zw_run(w, 100);
    }
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    CU_ASSERT(w->n_numbers > 0 && w->n_numbers < 4);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->s.disk.last_error, "set it to the number of used ones"));
    w->number = 0;
    zt_lead(w, 1);
    zt_end(w);
}

/* A slot may have been read from what the storage then loses. */
static void test_what_one_stands_on_stays(void)
{
    struct zw *w = zt_begin(42);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    uint64_t e = zw_drive(w, 0)->epoch;
    struct fake_inode *f = zw_file(w, "d/fence");
    for (uint64_t copy = 1; copy < 3; copy++) {
        uint64_t at = LOG_BLOCK * (1 + copy * ZW_SLOTS + e);
        memset(f->durable + at, 0, LOG_BLOCK);
        memset(f->dirty + at / FAKE_SECTOR, 1, LOG_BLOCK / FAKE_SECTOR);
        f->n_dirty += LOG_BLOCK / FAKE_SECTOR;
    }
    share_kill(&w->s, 0);
    zt_lead(w, 1);
    zt_write(w, 1, 5);
    for (uint64_t at = 0; at < 3 * ZW_SLOTS * LOG_BLOCK; at += FAKE_SECTOR)
        if (f->dirty[at / FAKE_SECTOR])
            memcpy(f->now + at, f->durable + at, FAKE_SECTOR);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        share_kill(&w->s, i);
        zw_up(w, i);
    }
    zw_run(w, 200);
    zt_lead(w, 2);
    CU_ASSERT(w->m[2].applied >= w->acked);
    zt_end(w);
}

/* 0 is dead, and 1 about to serve */
static void zt_fail_over(struct zw *w)
{
    share_kill(&w->s, 0);
    zw_call(w, 1);
    for (int k = 0; k < 20000 && zw_drive(w, 1)->state < ZK_SERVE_PREV; k++)
        share_step(&w->s);
    CU_ASSERT_EQUAL_FATAL(zw_drive(w, 1)->state, ZK_SERVE_PREV);
}

/* 1 is about to serve when 2 claims, serves and acknowledges */
static void test_who_was_overtaken_does_not_serve(void)
{
    struct zw *w = zt_begin(43);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    zt_fail_over(w);
    w->s.m[1].stuck = "fence";
    zt_lead(w, 2);
    zt_write(w, 2, 5);
    w->s.m[1].stuck = NULL;
    zw_run(w, 1000);
    CU_ASSERT_EQUAL(w->n_leads, 2);
    CU_ASSERT_EQUAL(w->m[1].role, JOURNAL_STANDBY);
    CU_ASSERT(w->m[1].applied >= w->acked);
    zt_end(w);
}

/* 1 has claimed, and makes the first file of its log when 2 claims: it writes nothing more there */
static void test_who_was_overtaken_begins_no_log(void)
{
    struct zw *w = zt_begin(48);
    bool began = false;
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    share_kill(&w->s, 0);
    zw_call(w, 1);
    for (int k = 0; k < 20000 && zw_drive(w, 1)->state != ZK_NAME; k++)
        share_step(&w->s);
    CU_ASSERT_EQUAL_FATAL(zw_drive(w, 1)->state, ZK_NAME);
    w->s.m[1].stuck = "owner";
    zt_lead(w, 2);
    w->s.m[1].stuck = NULL;
    for (int k = 0; k < 20000; k++) {
        share_step(&w->s);
        began |= zw_drive(w, 1)->state > ZK_NAME_CHECK && zw_drive(w, 1)->state < ZK_LEAD;
    }
    CU_ASSERT(!began);
    zt_write(w, 2, 3);
    zt_end(w);
}

/* 1 has found the epoch free and stands still; 2 claims it, has a log and stands still; 1 goes on
 */
static void test_two_of_one_epoch_do_not_share_a_log(void)
{
    struct zw *w = zt_begin(47);
    w->twice_ppm = 1000000;
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    share_kill(&w->s, 0);
    zw_call(w, 1);
    for (int k = 0; k < 20000 && zw_drive(w, 1)->fence.state != ZK_FENCE_CLAIM_FILL; k++)
        share_step(&w->s);
    w->s.m[1].stuck = "fence";
    zw_call(w, 2);
    for (int k = 0; k < 20000 && zw_drive(w, 2)->state != ZK_OWN_START; k++)
        share_step(&w->s);
    CU_ASSERT_EQUAL_FATAL(zw_drive(w, 2)->state, ZK_OWN_START);
    CU_ASSERT_EQUAL(zw_drive(w, 2)->number, zw_drive(w, 1)->number);
    w->s.m[2].stuck = "wal-";
    w->s.m[1].stuck = NULL;
    zw_run(w, 500);
    CU_ASSERT_EQUAL(w->n_leads, 1);
    w->s.m[2].stuck = NULL;
    zw_run(w, 500);
    CU_ASSERT_EQUAL(w->n_leads, 1); /* its claim is not the last one of its epoch */
    w->twice_ppm = 0;
    zt_lead(w, 1);
    zt_end(w);
}

/* 0 stands still while it makes a segment; 1 leads, and removes its log when images hold all */
static void zt_remove_under(struct zw *w)
{
    char part[64];
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    uint64_t e = zw_drive(w, 0)->epoch;
    for (int k = 0; k < 20000 && zw_drive(w, 0)->wal->prep.state != WAL_PREP_ZERO; k++) {
        if (k % 50 == 0)
            zw_submit(w, 0, 1500);
        share_step(&w->s);
    }
    CU_ASSERT_EQUAL_FATAL(zw_drive(w, 0)->wal->prep.state, WAL_PREP_ZERO);
    w->s.m[0].stuck = "";
    zt_lead(w, 1);
    zt_write(w, 1, 3);
    fmt_into(part, sizeof part, "log-%016llx/", (unsigned long long)e);
    for (int k = 0; k < 70 && zw_has(w, part); k++) {
        zw_image(w, 1);
        zw_image(w, 2);
        zw_submit(w, 1, 100);
        zw_run(w, 100);
    }
    CU_ASSERT(!zw_has(w, part));
    CU_ASSERT_EQUAL_FATAL(w->m[0].role, JOURNAL_LEADER);
}

/* Whose log was removed was superseded: that is no failure. */
static void test_a_log_that_is_gone_ends_the_leadership_only(void)
{
    struct zw *w = zt_begin(48);
    zt_remove_under(w);
    w->s.m[0].stuck = "fence"; /* it hears of the log first */
    zw_run(w, 100);
    CU_ASSERT(zw_drive(w, 0)->doubt != 0);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_LEADER);
    zw_submit(w, 0, 100);
    w->s.m[0].stuck = NULL;
    zw_run(w, 500);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    CU_ASSERT_STRING_EQUAL(w->s.disk.last_error, "");
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    zt_end(w);
}

/* nor is it one when nothing tells for so long */
static void test_a_log_that_is_gone_with_the_fence_away(void)
{
    struct zw *w = zt_begin(49);
    zt_remove_under(w);
    w->s.m[0].stuck = "fence";
    zw_run(w, 13000);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    w->s.m[0].stuck = NULL;
    zw_run(w, 1000);
    zt_lead(w, 0);
    zt_end(w);
}

/* It still leads, so its storage is sick. */
static void test_a_log_that_fails_is_an_error(void)
{
    struct zw *w = zt_begin(53);
    zt_lead(w, 0);
    zt_write(w, 0, 3);
    w->s.m[0].stuck = "fence";
    w->s.disk.fail_in = 1;
    w->s.disk.fail_with = E_IO;
    zw_submit(w, 0, 100);
    zw_run(w, 100);
    CU_ASSERT(zw_drive(w, 0)->doubt == E_IO && w->n_unknown == 0);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_LEADER);
    zw_submit(w, 0, 100);
    zw_run(w, 10);
    CU_ASSERT_EQUAL(w->n_unknown, 1); /* it takes nothing more */
    w->s.m[0].stuck = NULL;
    zw_run(w, 200);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(w->m[0].why, E_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->s.disk.last_error, "still leads, and its log"));
    zt_lead(w, 1);
    zt_end(w);
}

/* Its log takes nothing more, so it would lead, and nobody could write. */
static void test_who_cannot_append_does_not_lead(void)
{
    struct zw *w = zt_begin(55);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    zt_fail_over(w);
    w->s.m[1].stuck = "fence";
    w->s.disk.fail_in = 1;
    w->s.disk.fail_with = E_IO;
    zw_run(w, 200); /* a quiet log vouches for its end */
    CU_ASSERT_EQUAL(w->s.disk.fail_in, 0);
    w->s.m[1].stuck = NULL;
    zw_run(w, 100);
    CU_ASSERT_EQUAL(w->n_leads, 1);
    CU_ASSERT_EQUAL(w->m[1].role, JOURNAL_STANDBY);
    zt_lead(w, 1);
    zt_write(w, 1, 3);
    zt_end(w);
}

/* What cannot be read counts no more when another one has taken it over. */
static void test_damage_is_told_by_who_holds_the_claim(void)
{
    struct zw *w = zt_begin(54);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    uint64_t e = zw_drive(w, 0)->epoch;
    share_kill(&w->s, 0);
    zw_call(w, 1);
    for (int k = 0; k < 20000 && zw_drive(w, 1)->state != ZK_SEAL_OPEN; k++)
        share_step(&w->s);
    CU_ASSERT_EQUAL_FATAL(zw_drive(w, 1)->state, ZK_SEAL_OPEN);
    w->s.m[1].stuck = "";
    zt_lead(w, 2);
    zw_damage_batch(w, e, 2, false);
    w->s.m[1].stuck = NULL;
    for (int k = 0; k < 20000 && zw_drive(w, 1)->state != ZK_DOUBT; k++)
        share_step(&w->s);
    CU_ASSERT_EQUAL(zw_drive(w, 1)->state, ZK_DOUBT);
    zw_run(w, 1000);
    CU_ASSERT_PTR_NULL(strstr(w->s.disk.last_error, "cannot be read to its end"));
    zt_lead(w, 1);
    zt_end(w);
}

/* the telling of a segment hangs: nobody else would look for what is in it */
static void test_what_nobody_was_told_of_holds_nothing(void)
{
    struct zw *w = zt_begin(48);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    w->s.m[0].stuck = "owner";
    for (int k = 0; k < 300; k++) {
        zw_submit(w, 0, 1000);
        zw_run(w, 3);
    }
    CU_ASSERT(w->n_acked > 5);
    uint64_t acked = w->acked;
    share_kill(&w->s, 0);
    zt_lead(w, 1);
    CU_ASSERT(w->m[1].applied >= acked);
    zt_write(w, 1, 3);
    zt_end(w);
}

/* what 1 takes over is not durable in its own log yet */
static void test_who_has_not_relogged_does_not_serve(void)
{
    struct zw *w = zt_begin(46);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    w->s.m[0].stuck = "fence";
    for (int k = 0; k < 5; k++)
        zw_submit(w, 0, 100);
    zw_run(w, 50);
    zw_call(w, 1);
    for (int k = 0; k < 20000 && zw_drive(w, 1)->state < ZK_OWN_REPLAY; k++)
        share_step(&w->s);
    CU_ASSERT_FATAL(zw_drive(w, 1)->state <= ZK_RELOG);
    w->s.m[1].stuck = "wal-";
    zw_run(w, 1000);
    CU_ASSERT_EQUAL(zw_drive(w, 1)->state, ZK_RELOG);
    CU_ASSERT_EQUAL(w->n_leads, 1);
    w->s.m[1].stuck = NULL;
    zw_run(w, 100);
    CU_ASSERT_EQUAL(w->m[1].role, JOURNAL_LEADER);
    zt_end(w);
}

/* A leader that was overtaken writes on, and a standby that looked at the fence before that reads
 * it after. */
static void test_what_a_stale_leader_writes_counts_nowhere(void)
{
    struct zw *w = zt_begin(44);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    zw_run(w, 100);
    w->s.m[0].stuck = "fence";
    for (int k = 0; k < 20000 && zw_drive(w, 1)->state != ZK_LOOK; k++)
        share_step(&w->s);
    w->s.m[1].stuck = "wal-";
    zt_lead(w, 2);
    for (int k = 0; k < 6; k++) {
        zw_submit(w, 0, 100); /* each says up to where those before it are known */
        zw_run(w, 3);
    }
    zt_write(w, 2, 5);
    w->s.m[1].stuck = NULL;
    w->s.m[0].stuck = NULL;
    zw_run(w, 1000);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
    CU_ASSERT(w->m[1].applied >= w->acked);
    zt_end(w);
}

/* A look at the fence proves what was durable when it began: this one stands still between its
 * look and the answer, while another takes over and what it writes on lands. */
static void test_a_look_proves_nothing_later(void)
{
    for (uint64_t seed = 60; seed < 76; seed++) {
        struct zw *w = zt_begin(seed);
        zt_lead(w, 0);
        zt_write(w, 0, 3);
        w->s.m[0].stuck = "fence";
        zw_submit(w, 0, 100);
        for (int k = 0; k < 20000 && !zw_drive(w, 0)->is_checking; k++)
            share_step(&w->s);
        CU_ASSERT_FATAL(zw_drive(w, 0)->is_checking);
        w->s.m[0].stuck = "";
        zw_submit(w, 0, 100);
        zw_run(w, 5); /* both are under way */
        w->s.m[0].paused = true;
        w->s.m[0].stuck = "wal-";
        zw_run(w, 5);
        zt_lead(w, 1);
        w->s.m[0].stuck = NULL;
        zw_run(w, 50);
        w->s.m[0].paused = false;
        zw_run(w, 2000);
        CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
        zt_write(w, 1, 3);
        zt_end(w);
    }
}

static void test_what_was_dropped_is_told_again(void)
{
    struct zw *w = zt_begin(45);
    zt_lead(w, 0);
    zw_submit(w, 0, 100);
    for (int k = 0; k < 20000 && !zw_drive(w, 0)->is_telling; k++)
        share_step(&w->s);
    CU_ASSERT_FATAL(w->n_acked == 1 && zw_drive(w, 0)->is_telling);
    w->s.m[0].stuck = "wal-";
    struct wal_host *h = &container_of(w->m[0].j, struct zk_drive, journal)->wal_host;
    h->rejected(h, 1, E_NOSPC);
    CU_ASSERT(!zw_drive(w, 0)->is_telling);
    zw_run(w, 20);
    CU_ASSERT(zw_drive(w, 0)->is_telling);
    zt_end(w);
}

/* --- damage --- */

/* What a standby cannot read may have been acknowledged. */
static void test_a_standby_behind_damage_proves_nothing(void)
{
    struct zw *w = zt_begin(50);
    struct journal_status st;
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    zw_run(w, 100);
    uint64_t e = zw_drive(w, 0)->epoch, base = zw_drive(w, 0)->log.base;
    w->s.m[1].paused = true;
    zt_write(w, 0, 5);
    zw_damage_batch(w, e, w->acked - base - 2, false);
    w->s.m[1].paused = false;
    for (int k = 0; k < 10; k++) {
        zw_read(w, 1);
        zw_run(w, 700);
    }
    CU_ASSERT_EQUAL(w->n_reads, 0);
    CU_ASSERT(w->n_reads_failed > 1);
    journal_status(w->m[1].j, &st);
    CU_ASSERT(st.repairing);
    CU_ASSERT_EQUAL(st.zk.bar, JOURNAL_BAR_DAMAGED);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->s.disk.last_error, "cannot be read"));
    zt_write(w, 0, 3); /* the leader needs nothing of it */
    zt_end(w);
}

/* A batch that is under way delays reads, and no more. */
static void test_reads_wait_for_a_batch_under_way(void)
{
    struct zw *w = zt_begin(51);
    zt_lead(w, 0);
    zt_write(w, 0, 5);
    zw_run(w, 100);
    uint64_t e = zw_drive(w, 0)->epoch, base = zw_drive(w, 0)->log.base;
    w->s.m[1].paused = true;
    zt_write(w, 0, 5);
    zw_damage_batch(w, e, w->acked - base - 2, false);
    w->s.m[1].paused = false;
    zw_read(w, 1);
    zw_run(w, 700);
    CU_ASSERT_EQUAL(w->n_reads + w->n_reads_failed, 0);
    zw_mend_batch(w);
    zw_run(w, 100);
    CU_ASSERT_EQUAL(w->n_reads, 1);
    zt_end(w);
}

/* How far its log went when it began to count is known, also to who knows nothing else. */
static void test_nobody_leads_without_what_was_acknowledged(void)
{
    struct zw *w = zt_begin(52);
    zt_lead(w, 0);
    zt_write(w, 0, 2);
    zw_run(w, 100);
    w->s.m[0].stuck = "fence";
    for (int k = 0; k < 5; k++)
        zw_submit(w, 0, 100);
    zw_run(w, 50);
    zt_lead(w, 1);
    zw_run(w, 20);
    uint64_t e = zw_drive(w, 1)->epoch;
    CU_ASSERT_EQUAL(w->m[1].applied, zw_drive(w, 1)->log.base + 5);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        share_kill(&w->s, i);
    zw_damage_batch(w, e, 1, true);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_up(w, i);
    uint32_t leads = w->n_leads;
    for (int k = 0; k < 40; k++) {
        zw_call(w, (uint32_t)k % ZW_MEMBERS);
        zw_read(w, (uint32_t)(k + 1) % ZW_MEMBERS);
        zw_run(w, 200);
    }
    CU_ASSERT_EQUAL(w->n_leads, leads);
    CU_ASSERT_EQUAL(w->n_reads, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->s.disk.last_error, "does not check"));
    uint32_t numbers = w->n_numbers;
    for (int k = 0; k < 500; k++) {
        zw_call(w, (uint32_t)k % ZW_MEMBERS);
        zw_run(w, 500);
    }
    CU_ASSERT_EQUAL(w->n_leads, leads);
    CU_ASSERT(w->n_numbers - numbers >= 6 && w->n_numbers - numbers < 30);
    zt_end(w);
}

/* --- another one shall lead --- */

struct zt_change {
    struct env_op op;
    bool is_done;
};

static void zt_changed(struct env_op *op)
{
    container_of(op, struct zt_change, op)->is_done = true;
}

/* how it ended */
static int64_t zt_change(struct zw *w, uint32_t i, enum journal_verb verb, uint32_t id, int64_t ms)
{
    static struct zt_change c;
    struct journal_change what = {.verb = verb, .id = id};
    int64_t until = w->s.disk.now_ns + ms * ZW_MS;
    c = (struct zt_change){.op.done = zt_changed};
    journal_change(w->m[i].j, &what, until, &c.op);
    while (!c.is_done && w->s.disk.now_ns < until + 1000 * ZW_MS)
        zw_run(w, 1);
    CU_ASSERT_FATAL(c.is_done);
    return c.op.ret;
}

static void test_leadership_is_handed_over(void)
{
    for (uint64_t seed = 70; seed < 90; seed++) {
        struct zw *w = zt_begin(seed);
        uint32_t to = (uint32_t)(seed % 3);
        zt_lead(w, 0);
        for (int k = 0; k < 20; k++)
            zw_submit(w, 0, 1000);
        int64_t began = w->s.disk.now_ns;
        CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ELECT, to ? to + 1 : 0, 2000), 0);
        CU_ASSERT(w->s.disk.now_ns - began < 300 * ZW_MS);
        CU_ASSERT_EQUAL(w->n_acked, 20);
        CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_STANDBY);
        CU_ASSERT(!w->m[0].is_held);
        zw_run(w, 100);
        CU_ASSERT_EQUAL(w->m[to ? to : 1].role, JOURNAL_LEADER);
        zt_write(w, to ? to : 1, 3);
        zt_lead(w, 0);
        zt_end(w);
    }
}

static void test_nobody_is_called_before_the_host_is_ready(void)
{
    struct zw *w = zt_begin(91);
    zt_lead(w, 0);
    w->hold_waits = true;
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ELECT, 2, 5000), E_BUSY);
    CU_ASSERT_EQUAL(w->n_calls, 0);
    CU_ASSERT(!w->m[0].is_held);
    zt_write(w, 0, 3);
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ELECT, 2, 1000), E_TIMEOUT);
    CU_ASSERT_EQUAL(w->n_calls, 0);
    zt_write(w, 0, 3);
    struct journal_change what = {.verb = JOURNAL_ELECT, .id = 2};
    struct zt_change c = {.op.done = zt_changed}, other = {.op.done = zt_changed};
    journal_change(w->m[0].j, &what, w->s.disk.now_ns + 5000 * ZW_MS, &c.op);
    zw_run(w, 300);
    journal_change(w->m[0].j, &what, w->s.disk.now_ns + 5000 * ZW_MS, &other.op);
    zw_run(w, 1);
    CU_ASSERT(other.is_done && other.op.ret == E_AGAIN);
    zt_write(w, 0, 3); /* what it began may need records */
    CU_ASSERT(!c.is_done && w->n_calls == 0);
    journal_held(w->m[0].j);
    zw_run(w, 300);
    CU_ASSERT(c.is_done && c.op.ret == 0);
    CU_ASSERT_EQUAL(w->m[1].role, JOURNAL_LEADER);
    zt_end(w);
}

static void test_what_cannot_be_changed(void)
{
    struct zw *w = zt_begin(92);
    zt_lead(w, 0);
    CU_ASSERT_EQUAL(zt_change(w, 1, JOURNAL_ELECT, 2, 1000), E_NOT_LEADER);
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ELECT, 1, 1000), E_EXIST);
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ADD, 4, 1000), E_NOTSUP);
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_REMOVE, 2, 1000), E_NOTSUP);
    w->s.m[2].stuck = "";
    zw_run(w, 13000);
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ELECT, 3, 1000), E_UNAVAILABLE);
    zt_write(w, 0, 3);
    w->s.m[0].stuck = "wal-";
    zw_submit(w, 0, 100);
    CU_ASSERT_EQUAL(zt_change(w, 0, JOURNAL_ELECT, 2, 1000), E_TIMEOUT); /* it is not proven */
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_LEADER);
    CU_ASSERT(!w->m[0].is_held);
    w->s.m[0].stuck = NULL;
    zw_run(w, 100);
    zt_write(w, 0, 3);
    zt_end(w);
}

/* --- all of it --- */

struct zt_storm {
    struct zt_change c[ZW_MEMBERS];
    uint32_t life[ZW_MEMBERS]; /* that c is of; 0: it is free */
    uint32_t handed;
};

static void zt_hand(struct zw *w, struct zt_storm *t, uint32_t i)
{
    struct journal_change what = {.verb = JOURNAL_ELECT,
                                  .id = (uint32_t)prng_below(&w->s.rng, ZW_MEMBERS + 1)};
    if (t->life[i] == w->m[i].life && !t->c[i].is_done)
        return;
    t->handed += t->life[i] == w->m[i].life && t->c[i].op.ret == 0;
    t->life[i] = w->m[i].life;
    t->c[i] = (struct zt_change){.op.done = zt_changed};
    w->hold_waits = prng_below(&w->s.rng, 4) == 0;
    journal_change(w->m[i].j, &what,
                   w->s.disk.now_ns + (int64_t)prng_below(&w->s.rng, 4000) * ZW_MS, &t->c[i].op);
}

static void zt_storm(struct zw *w, struct zt_storm *t)
{
    static const char *const parts[] = {"", "fence", "wal-", "images", "owner"};
    struct prng *r = &w->s.rng;
    uint32_t i = (uint32_t)prng_below(r, ZW_MEMBERS);
    bool is_up = zw_is_up(w, i);
    uint64_t dice = prng_below(r, 100);
    if (dice < 35 && is_up && w->m[i].role == JOURNAL_LEADER)
        zw_submit(w, i, 8 + (uint32_t)prng_below(r, 1500));
    else if (dice < 50 && is_up)
        zw_read(w, i);
    else if (dice < 56 && is_up && w->last_epoch < ZW_SLOTS / 2)
        zw_call(w, i);
    else if (dice < 58 && is_up)
        zw_uncall(w, i, prng_below(r, 2) ? ZK_STANDING_LOST : ZK_STANDING_NOT);
    else if (dice < 61 && is_up && w->m[i].role == JOURNAL_LEADER)
        zt_hand(w, t, i);
    else if (dice < 62 && is_up && w->m[i].is_held && prng_below(r, 2))
        journal_held(w->m[i].j);
    else if (dice < 65)
        w->s.m[i].stuck = parts[prng_below(r, ARRAY_LEN(parts))];
    else if (dice < 70)
        w->s.m[i].stuck = NULL;
    else if (dice == 70)
        share_kill(&w->s, i);
    else if (dice < 73 && !w->s.m[i].alive)
        zw_up(w, i);
    else if (dice == 73)
        zw_run(w, (int64_t)prng_below(r, 4000));
    else
        zw_run(w, (int64_t)prng_below(r, 20));
}

static void test_storms_of_storage_that_hangs(void)
{
    struct zw *w = &zw_one;
    const char *from = getenv("ZW_SEED"), *n = getenv("ZW_SEEDS");
    uint64_t first = from ? strtoull(from, NULL, 0) : 1;
    uint64_t seeds = n ? strtoull(n, NULL, 0) : from ? 1 : 60;
    uint64_t acked = 0, reads = 0, leads = 0, handed = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct zt_storm t = {0};
        zw_init(w, seed);
        w->s.disk.faults_ppm = seed % 3 == 0 ? 20000 : 0;
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        for (int k = 0; k < 1500 && !w->bad; k++)
            zt_storm(w, &t);
        w->hold_waits = false;
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            w->s.m[i].stuck = NULL;
        if (!w->bad)
            zw_run(w, 4000); /* what was asked of them has its deadline */
        if (!w->bad)
            zw_heal(w, (uint32_t)(seed % ZW_MEMBERS));
        acked += w->n_acked;
        reads += w->n_reads;
        leads += w->n_leads;
        handed += t.handed;
        zw_drop(w);
        if (w->bad) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
            break;
        }
    }
    fprintf(stderr, "%llu acked, %llu reads, %llu leaderships, %llu handed over\n",
            (unsigned long long)acked, (unsigned long long)reads, (unsigned long long)leads,
            (unsigned long long)handed);
    CU_ASSERT(!w->bad && acked && handed);
}

/* --- only looking --- */

static void test_who_only_looks_changes_nothing(void)
{
    struct zw *w = zt_begin(60);
    zt_lead(w, 0);
    zt_write(w, 0, 300);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_stop(w, i);
    uint64_t writes = w->s.disk.writes_done;
    w->cfg.check_only = true;
    w->cfg.image_after_bytes = 4096;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_up(w, i);
    for (int k = 0; k < 20; k++) {
        zw_call(w, (uint32_t)k % ZW_MEMBERS);
        zw_run(w, 100);
    }
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        CU_ASSERT_EQUAL(w->m[i].role, JOURNAL_STANDBY);
        CU_ASSERT(!w->m[i].stands);
        CU_ASSERT(w->m[i].applied >= w->acked);
        zw_stop(w, i);
    }
    CU_ASSERT_EQUAL(w->n_numbers, 1);
    CU_ASSERT_EQUAL(w->s.disk.writes_done, writes);
    zt_end(w);
}

UNIT_MAIN(
    "zk_trouble", UNIT(test_a_stuck_leader_lets_others),
    UNIT(test_an_idle_stuck_leader_lets_others), UNIT(test_a_stuck_candidate_lets_others),
    UNIT(test_reads_end_in_time), UNIT(test_a_log_that_hangs_ends_the_leadership),
    UNIT(test_a_stop_does_not_wait_for_what_hangs), UNIT(test_an_ending_journal_answers_sooner),
    UNIT(test_who_leaves_leaves_no_half_image), UNIT(test_a_look_that_failed_comes_again_soon),
    UNIT(test_who_is_not_first_claims_nothing), UNIT(test_a_number_out_of_range_is_an_error),
    UNIT(test_what_one_stands_on_stays), UNIT(test_who_was_overtaken_does_not_serve),
    UNIT(test_who_was_overtaken_begins_no_log), UNIT(test_two_of_one_epoch_do_not_share_a_log),
    UNIT(test_a_log_that_is_gone_ends_the_leadership_only),
    UNIT(test_a_log_that_is_gone_with_the_fence_away), UNIT(test_a_log_that_fails_is_an_error),
    UNIT(test_who_cannot_append_does_not_lead), UNIT(test_damage_is_told_by_who_holds_the_claim),
    UNIT(test_what_nobody_was_told_of_holds_nothing),
    UNIT(test_who_has_not_relogged_does_not_serve),
    UNIT(test_what_a_stale_leader_writes_counts_nowhere), UNIT(test_a_look_proves_nothing_later),
    UNIT(test_what_was_dropped_is_told_again), UNIT(test_a_standby_behind_damage_proves_nothing),
    UNIT(test_reads_wait_for_a_batch_under_way),
    UNIT(test_nobody_leads_without_what_was_acknowledged), UNIT(test_leadership_is_handed_over),
    UNIT(test_nobody_is_called_before_the_host_is_ready), UNIT(test_what_cannot_be_changed),
    UNIT(test_storms_of_storage_that_hangs), UNIT(test_who_only_looks_changes_nothing))
