/* tests/unit/test_zk_room.c - the ZooKeeper journal's use of the shared storage: what changes of
 * leader leave there is bounded, and one that is full has somebody who leads. */
#include "tests/unit/test_zk_world.h"

static struct zw zw_one;

static struct zw *tr_begin(uint64_t seed, uint64_t segment)
{
    struct zw *w = &zw_one;
    zw_init(w, seed);
    w->cfg.segment_bytes = segment;
    w->cfg.image_after_bytes = 4 * segment;
    w->numbers_come = true;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_up(w, i);
    zw_run(w, 200);
    return w;
}

static void tr_end(struct zw *w)
{
    if (w->bad)
        fprintf(stderr, "bad: see above\n");
    CU_ASSERT(!w->bad);
    zw_drop(w);
}

static bool tr_lead(struct zw *w, uint32_t i, int64_t ms)
{
    for (; ms > 0 && w->m[i].role != JOURNAL_LEADER && !w->bad; ms -= 100) {
        zw_call(w, i);
        zw_run(w, 100);
    }
    return w->m[i].role == JOURNAL_LEADER;
}

/* what files with that in their names take */
static uint64_t tr_bytes(const struct zw *w, const char *part)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < w->s.disk.n_names; k++) {
        const struct fake_name *f = &w->s.disk.names[k];
        if (f->now >= 0 && strstr(f->name, part))
            n += w->s.disk.inodes[f->now].size;
    }
    return n;
}

/* The leader changes 50 times: killed and started again each time, or called off.  Returns the most
 * that logs took. */
static uint64_t tr_changes(struct zw *w, bool is_killed, uint32_t records, int64_t ms)
{
    uint64_t most = 0;
    for (uint32_t turn = 0; turn < 50 && !w->bad; turn++) {
        uint32_t i = turn % ZW_MEMBERS;
        CU_ASSERT(tr_lead(w, i, 8000));
        for (uint32_t k = 0; k < records; k++)
            zw_submit(w, i, 100);
        for (int64_t k = 0; k < ms; k += 20) {
            zw_run(w, 20);
            most = base_max_u64(most, tr_bytes(w, "/wal"));
        }
        if (!is_killed) {
            zw_uncall(w, i, ZK_STANDING_LOST);
            continue;
        }
        share_kill(&w->s, i);
        zw_up(w, i);
    }
    return most;
}

/* docs/zookeeper-journal.md, room */
static uint64_t tr_bound(const struct zw *w)
{
    uint64_t segment = w->cfg.segment_bytes;
    return 2 * (base_max_u64(w->cfg.image_after_bytes, 4 * segment) + 3 * segment);
}

static void test_changes_of_leader_take_a_bounded_room(void)
{
    uint64_t most = 0;
    for (uint64_t seed = getenv("TR_SEED") ? strtoull(getenv("TR_SEED"), NULL, 0) : 1; seed <= 16;
         seed++) {
        struct zw *w = tr_begin(seed, 64 << 10);
        uint64_t n = tr_changes(w, seed % 2, seed % 3, seed % 4 < 2 ? 300 : 1200);
        most = base_max_u64(most, n);
        if (n > tr_bound(w))
            fprintf(stderr, "seed %llu: %llu bytes of logs ", (unsigned long long)seed,
                    (unsigned long long)n);
        CU_ASSERT(n <= tr_bound(w));
        CU_ASSERT_EQUAL(w->n_leads, 50);
        zw_heal(w, 0);
        tr_end(w);
    }
    fprintf(stderr, "at most %llu ", (unsigned long long)most);
}

/* Nothing else than a leader's images would do for the others' sake: one of three takes part. */
static void test_one_alone_takes_a_bounded_room(void)
{
    struct zw *w = tr_begin(20, 64 << 10);
    share_kill(&w->s, 1);
    share_kill(&w->s, 2);
    for (uint32_t turn = 0; turn < 50 && !w->bad; turn++) {
        CU_ASSERT(tr_lead(w, 0, 8000));
        zw_submit(w, 0, 100);
        zw_run(w, 500);
        CU_ASSERT(tr_bytes(w, "/wal") <= 2 * tr_bound(w));
        share_kill(&w->s, 0);
        zw_up(w, 0);
    }
    zw_heal(w, 0);
    tr_end(w);
}

/* The storage is full while one leader after the other is killed: the next one leads each time.
 * is_taken: others take whatever is given back; else the clients' records do.  With room all goes
 * on. */
static void tr_dies_full(uint64_t seed, bool is_taken, uint32_t turns)
{
    struct zw *w = tr_begin(seed, 256 << 10);
    uint32_t i = 0;
    CU_ASSERT(tr_lead(w, 0, 3000));
    for (uint32_t k = 0; k < 100; k++) {
        zw_submit(w, 0, 1500);
        zw_run(w, 2);
    }
    zw_run(w, 2000); /* reserves */
    for (uint32_t k = 0; k < 250; k++) {
        if (is_taken || !k)
            w->s.disk.capacity = fake_used(&w->s.disk);
        zw_submit(w, 0, 1500);
        zw_run(w, 2);
    }
    CU_ASSERT(w->n_unknown > 0);
    for (uint32_t turn = 0; turn < turns && !w->bad; turn++) {
        uint32_t next = (i + 1 + (uint32_t)prng_below(&w->s.rng, 2)) % ZW_MEMBERS;
        if (is_taken)
            w->s.disk.capacity = fake_used(&w->s.disk);
        share_kill(&w->s, i);
        bool leads = tr_lead(w, next, 8000);
        if (!leads)
            fprintf(stderr, "seed %llu: turn %u, %u does not lead ", (unsigned long long)seed, turn,
                    next + 1);
        CU_ASSERT(leads);
        zw_read(w, next);
        zw_up(w, i);
        for (uint32_t k = 0; k < (is_taken ? 1 : 60); k++) {
            zw_submit(w, next, 1500);
            zw_run(w, 5);
        }
        zw_run(w, seed % 2 ? 300 : 3000);
        CU_ASSERT(w->n_reads == turn + 1);
        i = next;
    }
    w->s.disk.capacity += 4 << 20;
    zw_heal(w, i);
    zw_run(w, 15000);
    CU_ASSERT(!zw_drive(w, i)->full && !zw_drive(w, i)->room.lacks);
    tr_end(w);
}

static void test_leaders_die_while_it_is_full(void)
{
    for (uint64_t seed = 30; seed < 42; seed++)
        tr_dies_full(seed, false, 20);
}

static void test_leaders_die_while_others_take_the_room(void)
{
    for (uint64_t seed = 50; seed < 62; seed++)
        tr_dies_full(seed, true, 6);
}

static void tr_write(struct zw *w, uint32_t i, uint32_t n)
{
    uint32_t had = w->n_acked;
    for (uint32_t k = 0; k < n; k++) {
        zw_submit(w, i, 100);
        zw_run(w, 5);
    }
    zw_run(w, 50);
    CU_ASSERT_EQUAL(w->n_acked, had + n);
}

/* The leader has read the chain back to the best image only, and two images hold less: it reads
 * what is before. */
static void test_older_logs_go_though_their_epochs_were_not_read(void)
{
    struct zw *w = tr_begin(70, 64 << 10);
    w->cfg.image_after_bytes = 1 << 30;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        share_kill(&w->s, i);
        zw_up(w, i);
    }
    zw_run(w, 200);
    for (uint32_t turn = 0; turn < 3; turn++) {
        CU_ASSERT(tr_lead(w, turn % 2, 3000));
        tr_write(w, turn % 2, 5);
        if (turn)
            zw_image(w, turn);
        zw_run(w, 300);
        tr_write(w, turn % 2, 5);
        zw_uncall(w, turn % 2, ZK_STANDING_LOST);
        zw_run(w, 50);
    }
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        share_kill(&w->s, i);
        zw_up(w, i);
    }
    zw_run(w, 500);
    CU_ASSERT(zw_has(w, "log-0000000000000001/wal"));
    CU_ASSERT(tr_lead(w, 0, 3000));
    zw_run(w, 500);
    CU_ASSERT(!zw_has(w, "log-0000000000000001/wal"));
    CU_ASSERT(zw_has(w, "log-0000000000000002/wal"));
    tr_write(w, 0, 5);
    zw_heal(w, 2);
    tr_end(w);
}

/* It leads meanwhile: between two links comes a look that is due. */
static void test_what_is_appended_does_not_wait_for_the_chain(void)
{
    struct zw *w = tr_begin(71, 64 << 10);
    w->cfg.image_after_bytes = 1 << 30;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        share_kill(&w->s, i);
        zw_up(w, i);
    }
    zw_run(w, 200);
    for (uint32_t turn = 0; turn < 20; turn++) {
        CU_ASSERT(tr_lead(w, turn % 2, 3000));
        tr_write(w, turn % 2, 5);
        if (turn == 1 || turn == 19)
            zw_image(w, turn == 1 ? 0 : 1);
        zw_run(w, 300);
        zw_uncall(w, turn % 2, ZK_STANDING_LOST);
        zw_run(w, 50);
    }
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        share_kill(&w->s, i);
        zw_up(w, i);
    }
    zw_run(w, 500);
    zw_call(w, 0);
    const struct zk_drive *d = zw_drive(w, 0);
    for (int k = 0; k < 100000 && !d->gc.links_read; k++)
        share_step(&w->s);
    CU_ASSERT_FATAL(d->gc.links_read > 0);
    uint32_t had = w->n_acked;
    zw_submit(w, 0, 100);
    for (int k = 0; k < 100000 && w->n_acked == had; k++)
        share_step(&w->s);
    CU_ASSERT(d->gc.state == ZK_GC_CHAIN && d->gc.links_read < 12);
    zw_run(w, 500);
    CU_ASSERT(d->gc.links_read > 12 && d->gc.state == ZK_GC_REST);
    zw_heal(w, 2);
    tr_end(w);
}

/* the log is full, the reserve whole */
static void tr_fill(struct zw *w, uint64_t lacks)
{
    CU_ASSERT(tr_lead(w, 0, 3000));
    tr_write(w, 0, 50);
    zw_run(w, 2000);
    for (uint32_t k = 0; k < 500 && !zw_drive(w, 0)->full; k++) {
        w->s.disk.capacity = fake_used(&w->s.disk) - lacks;
        zw_submit(w, 0, 1500);
        zw_run(w, 2);
    }
    CU_ASSERT(zw_drive(w, 0)->full);
}

static struct zw *tr_full(uint64_t seed, uint64_t lacks)
{
    struct zw *w = tr_begin(seed, 256 << 10);
    tr_fill(w, lacks);
    return w;
}

/* An image takes of the reserve what it needs; room that is not enough for the log fills it up. */
static void test_a_reserve_goes_in_parts_and_grows_again(void)
{
    struct zw *w = tr_full(80, 0);
    zw_run(w, 500);
    w->s.disk.capacity = fake_used(&w->s.disk);
    zw_run(w, 5000); /* the image that a full log asks for */
    CU_ASSERT(snap_index(zw_drive(w, 0)->snap) == w->m[0].applied);
    uint64_t has = tr_bytes(w, "images/1/journal.reserve");
    CU_ASSERT(has < 256 << 10 && has >= 200 << 10);
    CU_ASSERT(zw_drive(w, 0)->full);
    w->s.disk.capacity += 100 << 10;
    zw_run(w, 12000);
    CU_ASSERT(zw_drive(w, 0)->full);
    CU_ASSERT_EQUAL(tr_bytes(w, "images/1/journal.reserve"), 256 << 10);
    w->s.disk.capacity += 1 << 20;
    zw_run(w, 2000);
    tr_write(w, 0, 5);
    tr_end(w);
}

/* There was no room for an image, all of the reserve given: it is tried again. */
static void test_an_image_is_tried_again_while_it_is_full(void)
{
    struct zw *w = tr_full(81, 1 << 20);
    zw_run(w, 15000);
    CU_ASSERT(snap_index(zw_drive(w, 0)->snap) < w->m[0].applied);
    CU_ASSERT_EQUAL(tr_bytes(w, "images/1/journal.reserve"), 0);
    w->s.disk.capacity = fake_used(&w->s.disk) + (40 << 10);
    zw_run(w, 12000);
    CU_ASSERT(zw_drive(w, 0)->full);
    CU_ASSERT(snap_index(zw_drive(w, 0)->snap) == w->m[0].applied);
    tr_end(w);
}

/* The storage does not cut the reserve: the image ends so, and is tried again. */
static void test_a_reserve_that_cannot_be_cut(void)
{
    struct zw *w = tr_begin(82, 256 << 10);
    w->s.disk.resize_fails = true;
    tr_fill(w, 0);
    for (uint32_t k = 0; k < 100 && zw_drive(w, 0)->snap_busy; k++)
        zw_run(w, 20);
    CU_ASSERT(!zw_drive(w, 0)->snap_busy);
    CU_ASSERT(snap_index(zw_drive(w, 0)->snap) < w->m[0].applied);
    w->s.disk.resize_fails = false;
    zw_run(w, 25000);
    CU_ASSERT(snap_index(zw_drive(w, 0)->snap) >= w->m[0].applied);
    tr_end(w);
}

/* What is full may be a quota. */
static void test_a_quota_is_no_room_either(void)
{
    struct zw *w = tr_begin(83, 256 << 10);
    w->s.disk.full_with = E_DQUOT;
    tr_fill(w, 0);
    w->s.disk.capacity = fake_used(&w->s.disk);
    zw_run(w, 5000);
    CU_ASSERT(snap_index(zw_drive(w, 0)->snap) >= w->m[0].applied);
    tr_end(w);
}

/* What the dead leader had in its log is taken over, however little room there is. */
static void test_a_tail_is_taken_over_by_the_reserve(void)
{
    for (uint32_t n = 1; n < 60; n += n < 8 ? 1 : 3) {
        struct zw *w = tr_begin(90 + n, 256 << 10);
        CU_ASSERT(tr_lead(w, 0, 3000));
        tr_write(w, 0, 5);
        zw_run(w, 2000);
        w->s.m[0].stuck = "fence";
        for (uint32_t k = 0; k < n; k++) {
            zw_submit(w, 0, n < 8 ? 5000 : 1500);
            zw_run(w, 2);
        }
        zw_run(w, 100);
        w->s.disk.capacity = fake_used(&w->s.disk);
        share_kill(&w->s, 0);
        uint64_t epoch = w->number;
        CU_ASSERT(tr_lead(w, 1, 8000));
        CU_ASSERT(w->number <= epoch + 2);
        CU_ASSERT(w->m[1].applied >= n);
        tr_end(w);
    }
}

UNIT_MAIN("zk_room", UNIT(test_changes_of_leader_take_a_bounded_room),
          UNIT(test_one_alone_takes_a_bounded_room), UNIT(test_leaders_die_while_it_is_full),
          UNIT(test_leaders_die_while_others_take_the_room),
          UNIT(test_older_logs_go_though_their_epochs_were_not_read),
          UNIT(test_what_is_appended_does_not_wait_for_the_chain),
          UNIT(test_a_reserve_goes_in_parts_and_grows_again),
          UNIT(test_an_image_is_tried_again_while_it_is_full),
          UNIT(test_a_reserve_that_cannot_be_cut), UNIT(test_a_quota_is_no_room_either),
          UNIT(test_a_tail_is_taken_over_by_the_reserve))
